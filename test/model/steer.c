/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which queue a frame goes to: rules of rte_flow, by address and tag, or addresses of VMDq pools.
 *
 * Memory of a guest belongs into a queue only while a rule gives that queue to one address: looked
 * at when a rule comes, when it goes, and whenever a buffer is posted.
 */
#include <errno.h>
#include <stdlib.h>

#include <rte_flow_driver.h>

#include "model.h"

struct rte_flow {
	struct rte_flow *next;
	uint32_t priority; /* smaller goes first */
	bool any;          /* address */
	struct rte_ether_addr mac;
	uint16_t vlan; /* 0: any frame's, tagged or not */
	uint16_t queue;
	uint32_t index; /* of VMDq's table, 0: of rte_flow */
	bool asleep;    /* an address that the NIC doesn't have again since its start */
};

/* ---- frames ---- */

static uint16_t
vlan_of(const uint8_t *frame)
{
	return frame[12] == 0x81 && frame[13] == 0x00 ? (frame[14] & 0xf) << 8 | frame[15] : 0;
}

static bool
matches(const struct rte_flow *rule, const uint8_t *frame)
{
	return !rule->asleep && (rule->any || memcmp(&rule->mac, frame, sizeof(rule->mac)) == 0) &&
			(rule->vlan == 0 || rule->vlan == vlan_of(frame));
}

static const struct rte_flow *
rule_of(const struct model *model, const uint8_t *frame)
{
	const struct rte_flow *best = NULL;

	for (const struct rte_flow *rule = model->rule; rule != NULL; rule = rule->next)
		if (matches(rule, frame) && (best == NULL || rule->priority < best->priority))
			best = rule;
	return best;
}

/* With a tag: to pool 0, as igb has it. For many: to all. */
static uint32_t
vmdq_frame(const struct model *model, const uint8_t *frame)
{
	const struct rte_flow *rule = rule_of(model, frame);
	uint32_t all = 0;

	if (!(frame[0] & 1))
		return 1u << (rule != NULL && vlan_of(frame) == 0 ? rule->queue : 0);
	for (uint16_t i = 0; i < model->data->nb_rx_queues; i += model->row->vmdq_gap)
		all |= 1u << i;
	return all;
}

uint32_t
steer_frame(const struct model *model, const uint8_t *frame)
{
	const struct rte_flow *rule;

	if (model->vmdq)
		return vmdq_frame(model, frame);
	rule = rule_of(model, frame);
	if (rule != NULL)
		return 1u << rule->queue;
	return 1u << (model->traits.spread ? frame[5] % model->data->nb_rx_queues : 0);
}

uint32_t
steer_ruled(const struct model *model, const uint8_t *frame)
{
	const struct rte_flow *rule = rule_of(model, frame);
	uint32_t ruled = 0;

	if (!model->vmdq || !(frame[0] & 1))
		return rule != NULL && !rule->any ? 1u << rule->queue : 0;
	for (uint16_t i = 0; i < model->data->nb_rx_queues; i++)
		ruled |= (uint32_t)steer_gives(model, i) << i;
	return ruled;
}

bool
steer_gives(const struct model *model, uint16_t queue)
{
	for (const struct rte_flow *rule = model->rule; rule != NULL; rule = rule->next)
		if (rule->queue == queue && !rule->any)
			return true;
	return false;
}

unsigned int
steer_rules(const struct model *model)
{
	unsigned int n = 0;

	for (const struct rte_flow *rule = model->rule; rule != NULL; rule = rule->next)
		n++;
	return n;
}

/* ---- rte_flow ---- */

static int
parse_eth(const struct rte_flow_item *item, struct rte_flow *rule)
{
	const struct rte_flow_item_eth *eth = item->spec, *mask = item->mask;

	rule->any = eth == NULL;
	if (rule->any)
		return 0;
	rule->mac = eth->hdr.dst_addr;
	return mask != NULL && rte_is_broadcast_ether_addr(&mask->hdr.dst_addr) ? 0 : -ENOTSUP;
}

static int
parse_vlan(const struct rte_flow_item *item, struct rte_flow *rule)
{
	const struct rte_flow_item_vlan *vlan = item->spec, *mask = item->mask;

	if (vlan == NULL || mask == NULL || mask->hdr.vlan_tci != rte_cpu_to_be_16(0x0fff))
		return -ENOTSUP;
	rule->vlan = rte_be_to_cpu_16(vlan->hdr.vlan_tci);
	return 0;
}

static int
parse_items(const struct rte_flow_item *item, struct rte_flow *rule)
{
	int ret = item->type == RTE_FLOW_ITEM_TYPE_ETH ? parse_eth(item++, rule) : -ENOTSUP;

	if (ret == 0 && item->type == RTE_FLOW_ITEM_TYPE_VLAN)
		ret = parse_vlan(item++, rule);
	return ret == 0 && item->type != RTE_FLOW_ITEM_TYPE_END ? -ENOTSUP : ret;
}

static int
parse_actions(const struct model *model, const struct rte_flow_action *action,
		struct rte_flow *rule)
{
	const struct rte_flow_action_queue *queue = action->conf;

	if (action[0].type != RTE_FLOW_ACTION_TYPE_QUEUE || queue == NULL ||
			queue->index >= model->data->nb_rx_queues ||
			action[1].type != RTE_FLOW_ACTION_TYPE_END)
		return -ENOTSUP;
	rule->queue = queue->index;
	return 0;
}

static struct rte_flow *
parse(const struct model *model, const struct rte_flow_attr *attr,
		const struct rte_flow_item *items, const struct rte_flow_action *actions)
{
	struct rte_flow *rule = calloc(1, sizeof(struct rte_flow));
	int ret = rule == NULL ? -ENOMEM : attr->ingress ? 0 : -ENOTSUP;

	if (ret == 0)
		ret = parse_items(items, rule);
	if (ret == 0)
		ret = parse_actions(model, actions, rule);
	if (ret == 0 && steer_rules(model) >= model->traits.rules)
		ret = -ENOSPC;
	if (ret == 0) {
		rule->priority = attr->priority;
		return rule;
	}
	free(rule);
	rte_errno = -ret;
	return NULL;
}

/* No guest's buffer is there before the first rule for the queue, and none when the last goes. */
static void
check_unarmed(const struct model *model, uint16_t queue)
{
	const struct rx_queue *q = model->rx[queue];

	if (!steer_gives(model, queue) && q != NULL && rx_has_guests(q))
		violation(model, VIOLATION_armed_unsteered, "queue %u, as its rule came or went",
				queue);
}

static void
insert(struct model *model, struct rte_flow *rule)
{
	engine_lock();
	check_unarmed(model, rule->queue);
	rule->next = model->rule;
	model->rule = rule;
	engine_unlock();
}

static void
remove_rule(struct model *model, struct rte_flow *rule)
{
	struct rte_flow **at = &model->rule;

	engine_lock();
	while (*at != rule)
		at = &(*at)->next;
	*at = rule->next;
	check_unarmed(model, rule->queue);
	engine_unlock();
	free(rule);
}

static struct rte_flow *
create(struct rte_eth_dev *dev, const struct rte_flow_attr *attr, const struct rte_flow_item *items,
		const struct rte_flow_action *actions, struct rte_flow_error *error)
{
	struct model *model = model_of(dev);
	struct rte_flow *rule = parse(model, attr, items, actions);

	if (rule == NULL) {
		rte_flow_error_set(error, rte_errno, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
				"the model takes no such rule, or no more");
		return NULL;
	}
	insert(model, rule);
	return rule;
}

static int
destroy(struct rte_eth_dev *dev, struct rte_flow *rule, struct rte_flow_error *error)
{
	(void)error;
	remove_rule(model_of(dev), rule);
	return 0;
}

static const struct rte_flow_ops flow_ops = {
	.create = create,
	.destroy = destroy,
};

int
model_flow_ops(struct rte_eth_dev *dev, const struct rte_flow_ops **ops)
{
	*ops = model_of(dev)->row->steer & ZC_STEER_FLOW ? &flow_ops : NULL;
	return 0;
}

/* ---- VMDq ---- */

static struct rte_flow *
rule_at(const struct model *model, uint32_t index)
{
	struct rte_flow *rule = model->rule;

	while (rule != NULL && rule->index != index)
		rule = rule->next;
	return rule;
}

int
model_mac_add(struct rte_eth_dev *dev, struct rte_ether_addr *mac, uint32_t index, uint32_t pool)
{
	struct model *model = model_of(dev);
	struct rte_flow *rule = rule_at(model, index);

	if (index == 0 || !model->vmdq)
		return 0; /* its own */
	if (rule != NULL) {
		engine_lock();
		rule->asleep = false;
		engine_unlock();
		return 0;
	}
	if (steer_rules(model) >= model->traits.rules)
		return -ENOSPC;
	rule = calloc(1, sizeof(*rule));
	if (rule == NULL)
		return -ENOMEM;
	rule->mac = *mac;
	rule->queue = pool * model->row->vmdq_gap;
	rule->index = index;
	insert(model, rule);
	return 0;
}

void
model_mac_remove(struct rte_eth_dev *dev, uint32_t index)
{
	struct rte_flow *rule = rule_at(model_of(dev), index);

	if (rule != NULL && index > 0)
		remove_rule(model_of(dev), rule);
}

void
steer_restart(struct model *model)
{
	for (struct rte_flow *rule = model->rule; rule != NULL; rule = rule->next)
		rule->asleep = rule->index > 0;
}

void
steer_flush(struct model *model)
{
	engine_lock();
	while (model->rule != NULL) {
		struct rte_flow *rule = model->rule;

		model->rule = rule->next;
		free(rule);
	}
	engine_unlock();
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering by rte_flow. Two rules do it, in this order: all there is goes to queue 0; what has the
 * address, and the tag if one is asked for, goes to the guest's queue instead. Without the first
 * one some drivers spread the rest over all queues. Rules stay when the NIC stops and starts.
 */
#include <errno.h>
#include <string.h>

#include <rte_flow.h>

#include "../core/error.h"
#include "steer_way.h"

/* Smaller goes first. */
#define PRIORITY_GUEST 0
#define PRIORITY_REST 1
#define VLAN_MASK 0x0fff

static struct rte_flow *
create_rule(struct ethdev_port *ep, uint32_t priority, const struct rte_flow_item *items,
		uint16_t queue)
{
	const struct rte_flow_attr attr = { .priority = priority, .ingress = 1 };
	const struct rte_flow_action_queue to = { .index = queue };
	const struct rte_flow_action actions[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow = rte_flow_create(ep->port_id, &attr, items, actions, &error);

	if (flow == NULL)
		zc_fail(ENOTSUP, "port %s: its driver refuses the rule: %s", ep->port.name,
				error.message != NULL ? error.message : rte_strerror(rte_errno));
	return flow;
}

static struct rte_flow *
rule_for_guest(struct ethdev_port *ep, const uint8_t *mac, uint16_t vlan, uint16_t queue)
{
	struct rte_flow_item_vlan tag = { .hdr.vlan_tci = rte_cpu_to_be_16(vlan) };
	struct rte_flow_item_vlan tag_mask = { .hdr.vlan_tci = rte_cpu_to_be_16(VLAN_MASK) };
	struct rte_flow_item_eth eth = { 0 }, eth_mask = { 0 };
	const struct rte_flow_item items[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &eth, .mask = &eth_mask },
		{ .type = vlan > 0 ? RTE_FLOW_ITEM_TYPE_VLAN : RTE_FLOW_ITEM_TYPE_END,
				.spec = vlan > 0 ? &tag : NULL,
				.mask = vlan > 0 ? &tag_mask : NULL },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};

	memcpy(&eth.hdr.dst_addr, mac, sizeof(eth.hdr.dst_addr));
	memset(&eth_mask.hdr.dst_addr, 0xff, sizeof(eth_mask.hdr.dst_addr));
	return create_rule(ep, PRIORITY_GUEST, items, queue);
}

static struct rte_flow *
rule_for_rest(struct ethdev_port *ep)
{
	const struct rte_flow_item items[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};

	return create_rule(ep, PRIORITY_REST, items, 0);
}

static void
destroy_rule(struct ethdev_port *ep, struct rte_flow **flow)
{
	struct rte_flow_error error = { 0 };

	if (*flow == NULL)
		return;
	if (!ep->removed && rte_flow_destroy(ep->port_id, *flow, &error) < 0)
		ZC_LOG(ERR, "port %s: a rule can't be removed: %s", ep->port.name,
				error.message != NULL ? error.message : rte_strerror(rte_errno));
	*flow = NULL;
}

static int
flow_add(struct ethdev_port *ep, uint16_t queue, const uint8_t *mac, uint16_t vlan)
{
	struct zc_steered *to = &ep->queue[queue].steered;

	if (ep->rest == NULL)
		ep->rest = rule_for_rest(ep);
	if (ep->rest != NULL)
		to->rule = rule_for_guest(ep, mac, vlan, queue);
	return to->rule != NULL ? 0 : -ENOTSUP;
}

static void
flow_remove(struct ethdev_port *ep, uint16_t queue)
{
	destroy_rule(ep, &ep->queue[queue].steered.rule);
}

static void
flow_end(struct ethdev_port *ep)
{
	destroy_rule(ep, &ep->rest);
}

const struct zc_steer_way zc_steer_flow = {
	.bit = ZC_STEER_FLOW,
	.add = flow_add,
	.remove = flow_remove,
	.end = flow_end,
};

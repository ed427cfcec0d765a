/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of rte_flow. See steer.h. */
#include "steer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_flow.h>

#include "../core/error.h"
#include "ethdev.h"

/* Smaller goes first. */
#define PRIORITY_GUEST 0
#define PRIORITY_REST 1
#define VLAN_MASK 0x0fff
/* A frame that is on its way into the queue when the rule comes is there by then. */
#define SETTLE_MS 2
#define DRAIN_BURSTS 1000

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
		snprintf(ep->steer_note, sizeof(ep->steer_note), "its driver refuses the rule: %s",
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

/* Frames that were in the queue before the rule may be anybody's. */
static void
drain(struct ethdev_port *ep, uint16_t queue)
{
	struct zcnet_port *port = &ep->port;
	struct rte_mbuf *pkts[ZC_BURST];

	rte_delay_us_sleep(SETTLE_MS * 1000);
	for (unsigned int i = 0; i < DRAIN_BURSTS; i++) {
		uint16_t n = port->ops->rx(port, queue, pkts, ZC_BURST);

		if (n == 0)
			return;
		rte_pktmbuf_free_bulk(pkts, n);
		port->ops->dropped(port, queue, ZCNET_Q_drop_flushed, n);
	}
}

/* The rule for all the rest goes with the last guest's. */
static void
end_rest(struct ethdev_port *ep)
{
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		if (ep->queue[i].rule != NULL)
			return;
	destroy_rule(ep, &ep->rest);
}

static int
refuse(struct ethdev_port *ep, int err)
{
	end_rest(ep);
	return zc_fail(err, "port %s: %s", ep->port.name, ep->steer_note);
}

int
zc_steer(struct zcnet_port *port, uint16_t queue, const uint8_t *mac, uint16_t vlan)
{
	struct ethdev_port *ep = (struct ethdev_port *)port;

	ep->steer_note[0] = '\0';
	if (ep->driver == NULL || !(ep->driver->steer & ZC_STEER_FLOW) || !ep->driver->proven) {
		snprintf(ep->steer_note, sizeof(ep->steer_note),
				"it is not known that %s can steer frames",
				ep->dev_info.driver_name);
		return refuse(ep, ENOTSUP);
	}
	if (ep->rest == NULL)
		ep->rest = rule_for_rest(ep);
	if (ep->rest == NULL)
		return refuse(ep, ENOTSUP);
	ep->queue[queue].rule = rule_for_guest(ep, mac, vlan, queue);
	if (ep->queue[queue].rule == NULL)
		return refuse(ep, ENOTSUP);
	drain(ep, queue);
	return 0;
}

void
zc_steer_end(struct zcnet_port *port, uint16_t queue)
{
	struct ethdev_port *ep = (struct ethdev_port *)port;

	destroy_rule(ep, &ep->queue[queue].rule);
	end_rest(ep);
}

const char *
zc_steer_note(const struct zcnet_port *port)
{
	return ((const struct ethdev_port *)port)->steer_note;
}

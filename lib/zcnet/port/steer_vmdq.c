/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering by VMDq: the NIC has pools, each with queues and addresses of its own. A guest's address
 * is given to the pool of its queue. What has none of these addresses, or a VLAN tag, goes to
 * pool 0, which is the host's. A frame for many goes to every pool, a copy each.
 *
 * A NIC is in this mode or spreads frames over its queues, by how it is configured: it is restarted
 * for the first guest and after the last one. Addresses are given to it again at each start, when
 * it receives already; until then their frames go to pool 0.
 */
#include <errno.h>

#include "../core/error.h"
#include "steer_way.h"

/* The pool whose first queue this is, 0: none that is a guest's. */
static uint32_t
pool_of(const struct ethdev_port *ep, uint16_t queue)
{
	const struct rte_eth_dev_info *info = &ep->dev_info;
	uint16_t step = ep->driver->vmdq_gap;

	if (queue < info->vmdq_queue_base || (queue - info->vmdq_queue_base) % step != 0)
		return 0;
	queue = (queue - info->vmdq_queue_base) / step;
	return queue < info->max_vmdq_pools ? info->vmdq_pool_base + queue : 0;
}

static const char *
refusal(const struct ethdev_port *ep, uint32_t pool, const struct rte_ether_addr *mac,
		uint16_t vlan)
{
	struct rte_ether_addr own;

	if (pool == 0)
		return "its VMDq has no pool with this queue";
	if (vlan > 0)
		return "its VMDq is by address, and not by VLAN";
	if (ep->mtu > RTE_ETHER_MTU)
		return "its VMDq takes no MTU above 1500";
	if (rte_eth_macaddr_get(ep->port_id, &own) == 0 && rte_is_same_ether_addr(&own, mac))
		return "the guest's address is its own";
	return NULL;
}

static int
give_address(struct ethdev_port *ep, struct rte_ether_addr *mac, uint32_t pool)
{
	int ret = zc_ethdev_set_vmdq(ep, true);

	if (ret < 0)
		return ret;
	ret = rte_eth_dev_mac_addr_add(ep->port_id, mac, pool);
	if (ret < 0)
		return zc_fail(-ret, "port %s: its VMDq takes no address more: %s", ep->port.name,
				rte_strerror(-ret));
	return 0;
}

static int
vmdq_add(struct ethdev_port *ep, uint16_t queue, const uint8_t *bytes, uint16_t vlan)
{
	struct rte_ether_addr *mac = &ep->queue[queue].steered.mac;
	uint32_t pool = pool_of(ep, queue);
	const char *why;

	memcpy(mac, bytes, sizeof(*mac));
	why = refusal(ep, pool, mac, vlan);
	if (why == NULL)
		return give_address(ep, mac, pool);
	return zc_fail(ENOTSUP, "port %s: %s", ep->port.name, why);
}

static void
vmdq_remove(struct ethdev_port *ep, uint16_t queue)
{
	int ret = 0;

	if (!ep->removed)
		ret = rte_eth_dev_mac_addr_remove(ep->port_id, &ep->queue[queue].steered.mac);
	if (ret < 0)
		ZC_LOG(ERR, "port %s: an address can't be removed: %s", ep->port.name,
				rte_strerror(-ret));
}

static void
vmdq_end(struct ethdev_port *ep)
{
	zc_ethdev_set_vmdq(ep, false);
}

const struct zc_steer_way zc_steer_vmdq = {
	.bit = ZC_STEER_VMDQ,
	.copies = true,
	.add = vmdq_add,
	.remove = vmdq_remove,
	.end = vmdq_end,
};

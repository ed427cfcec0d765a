/* SPDX-License-Identifier: BSD-3-Clause */
/* Which way a NIC steers, and what has to be so before a queue is one guest's. See steer.h. */
#include "steer.h"

#include <errno.h>

#include <rte_cycles.h>

#include "../core/error.h"
#include "steer_way.h"

/* A frame that is on its way into the queue when the rule comes is there by then. */
#define SETTLE_MS 2
#define DRAIN_BURSTS 1000

static const struct zc_steer_way *const ways[] = { &zc_steer_flow, &zc_steer_vmdq };

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

static bool
is_used(const struct ethdev_port *ep)
{
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		if (ep->queue[i].steered.on)
			return true;
	return false;
}

static int
add(struct ethdev_port *ep, const struct zc_steer_way *way, uint16_t queue, const uint8_t *mac,
		uint16_t vlan)
{
	int ret = way->add(ep, queue, mac, vlan);

	if (ret == 0) {
		ep->way = way;
		ep->queue[queue].steered.on = true;
	} else if (!is_used(ep)) {
		way->end(ep);
	}
	return ret;
}

/* One way for all of a port's queues: the first that its driver has and that works. */
static int
add_somehow(struct ethdev_port *ep, uint16_t queue, const uint8_t *mac, uint16_t vlan)
{
	int ret = -ENOTSUP;

	if (is_used(ep))
		return add(ep, ep->way, queue, mac, vlan);
	for (size_t i = 0; i < RTE_DIM(ways) && ret < 0; i++)
		if (ep->driver->steer & ways[i]->bit)
			ret = add(ep, ways[i], queue, mac, vlan);
	return ret;
}

int
zc_steer(struct zcnet_port *port, uint16_t queue, const uint8_t *mac, uint16_t vlan)
{
	struct ethdev_port *ep = (struct ethdev_port *)port;
	int ret;

	if (ep->driver == NULL || ep->driver->steer == 0 || !ep->driver->proven)
		return zc_fail(ENOTSUP, "port %s: it is not known that %s can steer frames",
				port->name, ep->dev_info.driver_name);
	ret = add_somehow(ep, queue, mac, vlan);
	if (ret == 0)
		drain(ep, queue);
	return ret;
}

void
zc_steer_end(struct zcnet_port *port, uint16_t queue)
{
	struct ethdev_port *ep = (struct ethdev_port *)port;

	ep->way->remove(ep, queue);
	ep->queue[queue].steered.on = false;
	if (!is_used(ep))
		ep->way->end(ep);
}

bool
zc_steer_copies(const struct zcnet_port *port)
{
	const struct ethdev_port *ep = (const struct ethdev_port *)port;

	return is_used(ep) && ep->way->copies;
}

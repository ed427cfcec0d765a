/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting and stopping a NIC, or one of its queues, because that makes it give back what it holds
 * of guests.
 */
#include "ethdev.h"

#include <errno.h>

#include "../core/error.h"
#include "../core/quiesce.h"

static struct ethdev_port *
ethdev_port(const struct zcnet_port *port)
{
	return (struct ethdev_port *)(uintptr_t)port;
}

static void
hold_queue(struct ethdev_queue *q)
{
	__atomic_store_n(&q->state, ZC_QUEUE_HELD, __ATOMIC_RELEASE);
	zc_quiesce_wait();
}

static void
set_state(struct ethdev_port *ep, enum zc_queue_state state)
{
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		__atomic_store_n(&ep->queue[i].state, state, __ATOMIC_RELEASE);
	if (state != ZC_QUEUE_LIVE)
		zc_quiesce_wait();
}

/*
 * What goes to a second ring at start is no buffer that a frame will come in. A ring is full with
 * one descriptor less than it has.
 */
static void
park_second_ring(struct ethdev_port *ep, uint16_t queue, bool starting)
{
	if (ep->driver != NULL && ep->driver->second_ring)
		ep->queue[queue].ctor.park_after = starting ? ep->rx_desc - 1 : 0;
}

static void
park_second_rings(struct ethdev_port *ep, bool starting)
{
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		park_second_ring(ep, i, starting);
}

static int
configure_as(struct ethdev_port *ep, bool vmdq)
{
	int ret;

	ep->vmdq = vmdq;
	ret = zc_ethdev_configure(ep);
	if (ret == 0)
		ret = zc_ethdev_setup_queues(ep);
	ep->forgotten = ret < 0;
	return ret;
}

int
zc_ethdev_start(struct zcnet_port *port)
{
	struct ethdev_port *ep = ethdev_port(port);
	int ret;

	if (ep->removed)
		return zc_fail(ENODEV, "port %s: the device was removed: delete the port",
				port->name);
	if (ep->forgotten) {
		ret = configure_as(ep, ep->vmdq);
		if (ret < 0)
			return ret;
	}
	park_second_rings(ep, true);
	ret = rte_eth_dev_start(ep->port_id);
	park_second_rings(ep, false);
	if (ret < 0)
		return zc_fail(-ret, "port %s: start: %s", port->name, rte_strerror(-ret));
	if (ep->promiscuous)
		rte_eth_promiscuous_enable(ep->port_id);
	zc_ethdev_look_at_link(ep);
	set_state(ep, ZC_QUEUE_LIVE);
	return 0;
}

void
zc_ethdev_collect(struct ethdev_port *ep)
{
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		if (ep->queue[i].ctor.pool.mp != NULL)
			zc_ctor_collect(&ep->queue[i].ctor);
}

/*
 * Stop the NIC; everything it held of guests comes back. Stopping frees what most drivers hold,
 * but tap keeps its receive buffers until the queue is set up anew; so that is done for all.
 * The streams from it stand still meanwhile, because their frames belong to the constructors
 * too.
 */
static int
stop(struct ethdev_port *ep)
{
	int ret = 0;

	set_state(ep, ZC_QUEUE_HELD);
	if (ep->removed)
		return 0;
	ret = rte_eth_dev_stop(ep->port_id);
	if (ret < 0) {
		set_state(ep, ZC_QUEUE_LIVE);
		return zc_fail(-ret, "port %s: stop: %s", ep->port.name, rte_strerror(-ret));
	}
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		ep->queue[i].ctor.disarmed = true;
	ret = zc_ethdev_setup_rx(ep);
	zc_ethdev_collect(ep);
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		ep->queue[i].ctor.disarmed = false;
	return ret;
}

int
zc_ethdev_stop(struct zcnet_port *port)
{
	struct ethdev_port *ep = ethdev_port(port);
	int ret = stop(ep);

	if (ret == 0)
		set_state(ep, ZC_QUEUE_DOWN);
	return ret;
}

void
zc_ethdev_release(struct zcnet_port *port)
{
	struct ethdev_port *ep = ethdev_port(port);

	if (!port->started || ep->removed || stop(ep) < 0)
		return;
	if (zc_ethdev_start(port) < 0) {
		set_state(ep, ZC_QUEUE_DOWN);
		port->started = false;
	}
}

/* Stop one queue, and fill it anew. Its mbufs come back while nobody else is in its constructor. */
static int
refill_queue(struct ethdev_port *ep, uint16_t queue)
{
	struct ethdev_queue *q = &ep->queue[queue];
	int ret;

	hold_queue(q);
	ret = rte_eth_dev_rx_queue_stop(ep->port_id, queue);
	if (ret < 0)
		return ret;
	zc_ctor_collect(&q->ctor);
	park_second_ring(ep, queue, true);
	ret = rte_eth_dev_rx_queue_start(ep->port_id, queue);
	park_second_ring(ep, queue, false);
	if (ret == 0)
		__atomic_store_n(&q->state, ZC_QUEUE_LIVE, __ATOMIC_RELEASE);
	return ret;
}

void
zc_ethdev_release_rx(struct zcnet_port *port, uint16_t queue)
{
	struct ethdev_port *ep = ethdev_port(port);

	if (!port->started || ep->removed)
		return;
	if (ep->driver == NULL || !ep->driver->queue_stop || refill_queue(ep, queue) < 0)
		zc_ethdev_release(port);
}

int
zc_ethdev_set_vmdq(struct ethdev_port *ep, bool on)
{
	bool runs = ep->port.started;
	int ret;

	if (ep->vmdq == on || ep->removed)
		return 0;
	ret = runs ? stop(ep) : 0;
	if (ret < 0)
		return ret;
	ret = configure_as(ep, on);
	if ((ret == 0 || configure_as(ep, !on) == 0) && (!runs || zc_ethdev_start(&ep->port) == 0))
		return ret;
	set_state(ep, ZC_QUEUE_DOWN);
	ep->port.started = false;
	ZC_LOG(ERR, "%s", zc_last_error());
	return -EIO;
}

/*
 * The device forgets its configuration, and would forget rules for steering: no driver that asks
 * for resets (those of virtual functions) is known to steer.
 */
static int
reset(struct ethdev_port *ep)
{
	int ret = stop(ep);

	if (ret < 0)
		return ret;
	ep->forgotten = true;
	ret = rte_eth_dev_reset(ep->port_id);
	if (ret < 0)
		return zc_fail(-ret, "port %s: reset: %s", ep->port.name, rte_strerror(-ret));
	return zc_ethdev_start(&ep->port);
}

void
zc_ethdev_reset(struct ethdev_port *ep)
{
	ZC_LOG(WARNING, "port %s: the NIC asks for a reset", ep->port.name);
	if (reset(ep) == 0)
		return;
	set_state(ep, ZC_QUEUE_DOWN);
	ep->port.started = false;
	ZC_LOG(ERR, "%s; 'port start %s' tries again", zc_last_error(), ep->port.name);
}

void
zc_ethdev_removed(struct ethdev_port *ep)
{
	struct rte_device *device = ep->dev_info.device;

	ZC_LOG(WARNING, "port %s: the device was removed", ep->port.name);
	set_state(ep, ZC_QUEUE_HELD);
	/* It may be past answering. What it held of guests comes back with its queues. */
	if (rte_eth_dev_stop(ep->port_id) < 0)
		ZC_LOG(WARNING, "port %s: it could not be stopped", ep->port.name);
	zc_ethdev_let_go(ep);
	/* vfio-pci gives it to the kernel when its last descriptor is closed. */
	if (rte_dev_remove(device) < 0)
		ZC_LOG(WARNING, "port %s: %s is not given back", ep->port.name, ep->device);
	ep->removed = true;
	ep->link_up = false;
	ep->port.started = false;
	set_state(ep, ZC_QUEUE_DOWN);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ethdev port at work. Events of the NIC only set bits here; tick() acts on them, because a
 * driver may wait for its interrupt handler while control holds the lock.
 */
#include "ethdev.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_malloc.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "host_pool.h"

#define LINK_POLL_MS 100
#define EVENT_RESET 1u
#define EVENT_REMOVED 2u
#define EVENT_LINK 4u

static const struct zc_port_ops ethdev_ops;

static struct ethdev_port *
ethdev_port(const struct zcnet_port *port)
{
	return (struct ethdev_port *)(uintptr_t)port;
}

/* ---- data path ---- */

static uint64_t
bytes_of(struct rte_mbuf *const *pkts, uint16_t n)
{
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++)
		bytes += pkts[i]->pkt_len;
	return bytes;
}

static uint16_t
ethdev_rx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev_queue *q = &ethdev_port(port)->queue[queue];

	if (unlikely(__atomic_load_n(&q->state, __ATOMIC_ACQUIRE) != ZC_QUEUE_LIVE))
		return 0;
	n = rte_eth_rx_burst(q->port_id, queue, pkts, n);
	if (n == 0)
		return 0;
	if (q->ctor.pool.mp != NULL)
		zc_ctor_received(&q->ctor, pkts, n);
	ZC_COUNT(&q->rx, frames, n);
	ZC_COUNT(&q->rx, bytes, bytes_of(pkts, n));
	return n;
}

static uint16_t
ethdev_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev_queue *q = &ethdev_port(port)->queue[queue];
	uint64_t bytes;
	uint16_t sent;

	uint8_t state = __atomic_load_n(&q->state, __ATOMIC_ACQUIRE);

	if (unlikely(state == ZC_QUEUE_HELD))
		return 0;
	if (unlikely(state == ZC_QUEUE_DOWN || !q->link_up)) {
		ZC_COUNT(&q->tx, drop_link_down, n);
		rte_pktmbuf_free_bulk(pkts, n);
		return n;
	}
	bytes = bytes_of(pkts, n);
	sent = rte_eth_tx_burst(q->port_id, queue, pkts, n);
	if (unlikely(sent < n))
		bytes -= bytes_of(pkts + sent, n - sent);
	ZC_COUNT(&q->tx, frames, sent);
	ZC_COUNT(&q->tx, bytes, bytes);
	return sent;
}

static bool
ethdev_reap(struct zcnet_port *port, uint16_t queue)
{
	struct ethdev_port *ep = ethdev_port(port);
	struct ethdev_queue *q = &ep->queue[queue];
	bool all = false;
	uint8_t done;

	if (ep->driver == NULL || __atomic_load_n(&q->state, __ATOMIC_ACQUIRE) != ZC_QUEUE_LIVE)
		return false;
	done = ep->driver->tx_done;
	/* The last one given: descriptors are done in order. */
	if (done & ZC_DONE_STATUS)
		all = rte_eth_tx_descriptor_status(q->port_id, queue, ep->tx_desc - 1) ==
				RTE_ETH_TX_DESC_DONE;
	if (done & ZC_DONE_CLEANUP)
		rte_eth_tx_done_cleanup(q->port_id, queue, 0);
	if (done & ZC_DONE_EMPTY)
		rte_eth_tx_burst(q->port_id, queue, NULL, 0);
	return all;
}

/* ---- events and link ---- */

static int
events(uint16_t port_id, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct ethdev_port *ep = arg;
	unsigned int bit = type == RTE_ETH_EVENT_INTR_RMV ? EVENT_REMOVED :
			type == RTE_ETH_EVENT_INTR_RESET  ? EVENT_RESET :
							    EVENT_LINK;

	(void)port_id, (void)ret;
	__atomic_fetch_or(&ep->events, bit, __ATOMIC_RELAXED);
	return 0;
}

static const enum rte_eth_event_type event_types[] = {
	RTE_ETH_EVENT_INTR_LSC,
	RTE_ETH_EVENT_INTR_RESET,
	RTE_ETH_EVENT_INTR_RMV,
};

/* vfio-pci's wish to have the device back comes this way, not as RTE_ETH_EVENT_INTR_RMV. */
static void
device_event(const char *device, enum rte_dev_event_type type, void *arg)
{
	struct ethdev_port *ep = arg;

	(void)device;
	if (type == RTE_DEV_EVENT_REMOVE)
		__atomic_fetch_or(&ep->events, EVENT_REMOVED, __ATOMIC_RELAXED);
}

static void
register_events(struct ethdev_port *ep)
{
	for (size_t i = 0; i < RTE_DIM(event_types); i++)
		rte_eth_dev_callback_register(ep->port_id, event_types[i], events, ep);
	rte_dev_event_callback_register(rte_dev_name(ep->dev_info.device), device_event, ep);
}

static void
unregister_events(struct ethdev_port *ep)
{
	for (size_t i = 0; i < RTE_DIM(event_types); i++)
		rte_eth_dev_callback_unregister(ep->port_id, event_types[i], events, ep);
	/* Busy while it runs, for as long as it takes to set a bit. */
	while (rte_dev_event_callback_unregister(rte_dev_name(ep->dev_info.device), device_event,
			       ep) == -EAGAIN)
		rte_pause();
}

void
zc_ethdev_look_at_link(struct ethdev_port *ep)
{
	struct rte_eth_link link = { 0 };

	ep->link_tsc = rte_rdtsc();
	if (rte_eth_link_get_nowait(ep->port_id, &link) < 0)
		return;
	if (ep->link_up == (link.link_status == RTE_ETH_LINK_UP))
		return;
	ep->link_up = !ep->link_up;
	ZC_LOG(NOTICE, "port %s: link %s", ep->port.name, ep->link_up ? "up" : "down");
	for (uint16_t i = 0; i < ep->port.nqueues; i++)
		__atomic_store_n(&ep->queue[i].link_up, ep->link_up, __ATOMIC_RELAXED);
}

/* ---- control calls ---- */

void
zc_ethdev_let_go(struct ethdev_port *ep)
{
	unregister_events(ep);
	rte_eth_dev_close(ep->port_id);
	zc_ethdev_collect(ep);
	/* The container forgets everything with its last NIC. */
	zc_iommu_put(ep->iommu);
	ep->iommu = NULL;
}

static void
ethdev_destroy(struct zcnet_port *port)
{
	struct ethdev_port *ep = ethdev_port(port);

	if (!ep->removed) {
		zc_ethdev_let_go(ep);
		if (ep->probed)
			rte_dev_remove(ep->dev_info.device);
	}
	for (uint16_t i = 0; i < port->nqueues; i++)
		zc_ctor_fini(&ep->queue[i].ctor);
	zc_host_pool_unreserve(ep->host_mp, ep->host_held);
	rte_free(ep->queue);
	free(ep);
}

/* From guest memory. */
static bool
can_send(const struct ethdev_port *ep)
{
	return zc_driver_sends(ep->driver) && ep->port.zerocopy && ep->refused == NULL;
}

static void
ethdev_info(const struct zcnet_port *port, struct zcnet_port_info *info)
{
	const struct ethdev_port *ep = ethdev_port(port);
	struct rte_eth_link link = { 0 };
	struct rte_ether_addr mac;

	snprintf(info->device, sizeof(info->device), "%s", ep->device);
	snprintf(info->driver, sizeof(info->driver), "%s", ep->dev_info.driver_name);
	info->port_id = ep->port_id;
	info->rx_desc = ep->rx_desc;
	info->tx_desc = ep->tx_desc;
	info->mtu = ep->mtu;
	info->split_bytes = ep->port.split;
	info->link_up = ep->link_up;
	info->socket = rte_eth_dev_socket_id(ep->port_id);
	if (!ep->removed && rte_eth_link_get_nowait(ep->port_id, &link) == 0)
		info->link_mbps = link.link_speed;
	if (!ep->removed && rte_eth_macaddr_get(ep->port_id, &mac) == 0)
		memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	info->zerocopy_tx = can_send(ep);
	info->zerocopy_rx = zc_ethdev_can_arm(ep);
	if (ep->removed)
		snprintf(info->note, sizeof(info->note), "the device was removed");
	else if (!port->zerocopy)
		snprintf(info->note, sizeof(info->note), "zero copy is off by configuration");
	else if (ep->driver == NULL)
		snprintf(info->note, sizeof(info->note), "copies: %s is not in the driver table",
				ep->dev_info.driver_name);
	else if (ep->refused != NULL)
		snprintf(info->note, sizeof(info->note), "%s", ep->refused);
	else if (ep->driver->note != NULL)
		snprintf(info->note, sizeof(info->note), "%s", ep->driver->note);
}

static void
ethdev_stats(const struct zcnet_port *port, enum zcnet_dir dir, uint16_t queue,
		struct zcnet_queue_stats *stats)
{
	const struct ethdev_queue *q = &ethdev_port(port)->queue[queue];

	zc_counters_add_to(dir == ZCNET_RX ? &q->rx : &q->tx, stats->counter);
	stats->enabled = true;
	if (dir == ZCNET_RX) {
		stats->out = q->ctor.armed;
		stats->out_peak = q->ctor.armed_peak;
		stats->bounces =
				q->ctor.in_nic > q->ctor.armed ? q->ctor.in_nic - q->ctor.armed : 0;
	}
}

static void
ethdev_stats_clear(struct zcnet_port *port)
{
	for (uint16_t i = 0; i < port->nqueues; i++) {
		struct ethdev_queue *q = &ethdev_port(port)->queue[i];

		zc_counters_clear(&q->rx);
		zc_counters_clear(&q->tx);
		q->ctor.armed_peak = q->ctor.armed;
	}
}

static const uint8_t *
ethdev_source_state(struct zcnet_port *port, uint16_t queue)
{
	return &ethdev_port(port)->queue[queue].state;
}

static void
ethdev_dropped(struct zcnet_port *port, uint16_t queue, enum zcnet_queue_counter why, uint16_t n)
{
	ethdev_port(port)->queue[queue].rx.value[why] += n;
}

static uint16_t
ethdev_queues_used(const struct zcnet_port *port)
{
	return port->nqueues;
}

static void
ethdev_takes(const struct zcnet_port *port, struct zc_port_takes *takes)
{
	const struct ethdev_port *ep = ethdev_port(port);
	uint16_t limit = ep->dev_info.tx_desc_lim.nb_mtu_seg_max;

	takes->attached = can_send(ep) && !ep->removed;
	takes->dma = ep->iommu;
	takes->nic = (struct zcnet_port *)(uintptr_t)port;
	takes->copy_mp = ep->host_mp;
	takes->segs_max = ep->driver != NULL ? ep->driver->segs_max : 1;
	if (limit > 0)
		takes->segs_max = RTE_MIN(takes->segs_max, limit);
	takes->frame_min = ep->driver != NULL ? ep->driver->tx_min : 0;
	takes->frame_max = zc_ethdev_frame_max(ep);
	/* Drivers of the table are known to send segments, whatever they say of themselves. */
	if (ep->driver == NULL && !(ep->tx_conf.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)) {
		takes->segs_max = 1;
		takes->frame_max = RTE_MIN(takes->frame_max, (uint32_t)RTE_MBUF_DEFAULT_DATAROOM);
	}
}

static struct zc_ctor *
ethdev_ctor(struct zcnet_port *port, uint16_t queue)
{
	struct ethdev_port *ep = ethdev_port(port);

	return zc_ethdev_can_arm(ep) ? &ep->queue[queue].ctor : NULL;
}

static void
ethdev_tick(struct zcnet_port *port, uint64_t now)
{
	struct ethdev_port *ep = ethdev_port(port);
	unsigned int bits = __atomic_exchange_n(&ep->events, 0, __ATOMIC_RELAXED);

	if ((bits & EVENT_REMOVED) && !ep->removed) {
		zc_ethdev_removed(ep);
		zc_control_changed();
	}
	if (!port->started)
		return;
	if (bits & EVENT_RESET)
		zc_ethdev_reset(ep);
	if ((bits & EVENT_LINK) || now - ep->link_tsc > rte_get_tsc_hz() / 1000 * LINK_POLL_MS)
		zc_ethdev_look_at_link(ep);
}

bool
zc_ethdev_link_up(const struct zcnet_port *port)
{
	return ethdev_port(port)->link_up;
}

static const struct zc_port_ops ethdev_ops = {
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.start = zc_ethdev_start,
	.stop = zc_ethdev_stop,
	.destroy = ethdev_destroy,
	.info = ethdev_info,
	.stats = ethdev_stats,
	.stats_clear = ethdev_stats_clear,
	.queues_used = ethdev_queues_used,
	.takes = ethdev_takes,
	.ctor = ethdev_ctor,
	.release = zc_ethdev_release,
	.release_rx = zc_ethdev_release_rx,
	.tick = ethdev_tick,
	.reap = ethdev_reap,
	.source_state = ethdev_source_state,
	.dropped = ethdev_dropped,
};

/* ---- creation ---- */

ZC_EXPORT void
zcnet_ethdev_conf_init(struct zcnet_ethdev_conf *conf)
{
	*conf = (struct zcnet_ethdev_conf){ .queues = 1, .promiscuous = true, .zerocopy = true };
}

static int
check_unused(const struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	const struct zcnet_port *port = NULL;

	while ((port = zcnet_port_next(port)) != NULL)
		if (port->ops == &ethdev_ops && ethdev_port(port)->port_id == ep->port_id)
			return zc_fail(EBUSY, "port %s: %s belongs to port %s", conf->name,
					conf->device, port->name);
	return 0;
}

static int
know_device(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	int ret = rte_eth_dev_info_get(ep->port_id, &ep->dev_info);

	if (ret == 0)
		ret = rte_eth_dev_get_name_by_port(ep->port_id, ep->device);
	return ret < 0 ? zc_fail(-ret, "port %s: %s: %s", conf->name, conf->device,
					 rte_strerror(-ret)) :
			 0;
}

/* Find the device, or probe it when the name is devargs of one that isn't there. */
static int
find_device(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	int ret;

	if (conf->device == NULL || conf->device[0] == '\0')
		return zc_fail(EINVAL, "port %s: no device given", conf->name);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(conf->device, ","), conf->device);
	if (rte_eth_dev_get_port_by_name(name, &ep->port_id) == 0)
		return check_unused(ep, conf);
	ret = rte_dev_probe(conf->device);
	if (ret == 0)
		ret = rte_eth_dev_get_port_by_name(name, &ep->port_id);
	if (ret < 0)
		return zc_fail(ENODEV, "port %s: no device '%s': try EAL -a or --vdev, or devargs",
				conf->name, conf->device);
	ep->probed = true;
	return 0;
}

static struct zcnet_port *
create(const struct zcnet_ethdev_conf *conf)
{
	struct ethdev_port *ep;

	if (zc_port_check(conf->name, conf->queues) < 0)
		return NULL;
	ep = calloc(1, sizeof(*ep));
	if (ep == NULL) {
		zc_fail(ENOMEM, "port %s: out of memory", conf->name);
		return NULL;
	}
	ep->queue = rte_zmalloc("zc_ethdev", sizeof(ep->queue[0]) * conf->queues,
			RTE_CACHE_LINE_SIZE);
	if (ep->queue == NULL) {
		zc_fail(ENOMEM, "port %s: out of memory", conf->name);
		goto free_port;
	}
	if (find_device(ep, conf) < 0 || know_device(ep, conf) < 0)
		goto free_port;
	zc_port_add(&ep->port, &ethdev_ops, conf->name, ZCNET_PORT_ETHDEV, conf->queues,
			conf->zerocopy);
	ep->promiscuous = conf->promiscuous;
	register_events(ep);
	if (zc_ethdev_set_up(ep, conf) < 0 || zcnet_port_start(&ep->port) < 0) {
		int err = rte_errno;

		zc_port_remove(&ep->port);
		ethdev_destroy(&ep->port);
		rte_errno = err;
		return NULL;
	}
	return &ep->port;

free_port:
	rte_free(ep->queue);
	free(ep);
	return NULL;
}

ZC_EXPORT struct zcnet_port *
zcnet_port_ethdev_create(const struct zcnet_ethdev_conf *conf)
{
	struct zcnet_port *port;

	zc_control_lock();
	port = create(conf);
	zc_control_unlock();
	return port;
}

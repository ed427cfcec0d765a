/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost port: data path, settings, statistics, creation. See vhost.h. */
#include "vhost.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "../core/quiesce.h"
#include "../guest/dma.h"
#include "host_pool.h"

#define HEADER_BYTES_MAX 256
/* A frame of 64 KB and its Ethernet header with a VLAN tag. */
#define FRAME_MAX (65535 + 18)

/* ---- data path ---- */

static uint16_t
vhost_rx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_queue *q = vhost_port(port)->queue[queue];

	if (unlikely(__atomic_load_n(&q->tx_state, __ATOMIC_ACQUIRE) != ZC_QUEUE_LIVE))
		return 0;
	return zc_tx_take(&q->tx, pkts, n);
}

static uint16_t
vhost_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_queue *q = vhost_port(port)->queue[queue];

	uint8_t state = __atomic_load_n(&q->rx_state, __ATOMIC_ACQUIRE);

	if (likely(state == ZC_QUEUE_LIVE))
		return zc_rx_put(&q->rx, pkts, n);
	if (state == ZC_QUEUE_HELD)
		return 0;
	ZC_COUNT(&q->rx.counters, drop_no_guest, n);
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static struct zc_done
vhost_complete(struct zcnet_port *port, uint16_t queue, uint64_t now)
{
	struct vhost_queue *q = vhost_port(port)->queue[queue];
	bool worked = likely(__atomic_load_n(&q->tx_state, __ATOMIC_ACQUIRE) == ZC_QUEUE_LIVE) &&
			zc_tx_is_busy(&q->tx) && zc_tx_poll(&q->tx, now);

	return (struct zc_done){ .out = zc_tx_out(&q->tx), .worked = worked };
}

static bool
vhost_notify(struct zcnet_port *port, uint16_t queue)
{
	struct vhost_queue *q = vhost_port(port)->queue[queue];

	return likely(__atomic_load_n(&q->rx_state, __ATOMIC_ACQUIRE) == ZC_QUEUE_LIVE) &&
			zc_rx_notify(&q->rx);
}

uint32_t
zc_vhost_complete(struct zcnet_port *port, uint16_t queue)
{
	struct zc_tx *tx = &vhost_port(port)->queue[queue]->tx;

	if (tx->vq.window != NULL)
		zc_tx_complete(tx, rte_rdtsc());
	return zc_tx_out(tx);
}

/* ---- what decides how frames are taken ---- */

static enum zc_tx_copy
copy_of(const struct vhost_port *vp, const struct vhost_queue *q)
{
	if (!vp->port.zerocopy || !vp->takes.attached)
		return ZC_TX_COPY_OFF;
	if (!zc_vhost_is_reachable(vp))
		return ZC_TX_COPY_DMA;
	return q->recover ? ZC_TX_COPY_RECOVER : ZC_TX_ATTACH;
}

/* Of frames that aren't in this guest's buffers. */
static enum zcnet_queue_counter
rx_copy_counter(const struct vhost_port *vp, const struct vhost_queue *q)
{
	/* All of it was in the host mbuf. */
	if (q->rx.ctor != NULL && q->rx.ctor->split > 0)
		return ZCNET_Q_copy_small;
	if (vp->takes.shared)
		return ZCNET_Q_copy_shared;
	if (vp->takes.nic == NULL)
		return ZCNET_Q_copy_foreign;
	return zc_vhost_is_reachable(vp) ? ZCNET_Q_copy_off : ZCNET_Q_copy_dma;
}

void
zc_vhost_name_copies(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		vp->queue[i]->rx.copy_counter = rx_copy_counter(vp, vp->queue[i]);
}

void
zc_vhost_apply_limits(struct vhost_port *vp)
{
	zc_vhost_name_copies(vp);
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		struct vhost_queue *q = vp->queue[i];

		q->tx.limits = (struct zc_tx_limits){
			.threshold = vp->conf.threshold,
			.frame_min = RTE_MAX(vp->takes.frame_min, RTE_ETHER_HDR_LEN),
			.frame_max = vp->takes.frame_max,
			.header_bytes = vp->conf.header_bytes,
			.out_max = vp->conf.out_max,
			.segs_max = vp->takes.segs_max,
			.copy = copy_of(vp, q),
		};
		q->tx.copy_mp = vp->takes.copy_mp != NULL ? vp->takes.copy_mp : vp->copy_mp;
		q->rx.full = vp->conf.rx_full;
	}
}

struct zc_tx *
zc_vhost_tx(struct zcnet_port *port, uint16_t queue)
{
	return &vhost_port(port)->queue[queue]->tx;
}

/* Said once, until it is mapped. */
static void
tell_dma_failure(struct vhost_port *vp)
{
	const char *why = zc_dma_failure(vp->map);

	if (why == NULL || vp->dma_told)
		return;
	ZC_LOG(WARNING, "port %s: copies: its memory can't be mapped for DMA: %s", vp->port.name,
			why);
	vp->dma_told = true;
}

/* Mapping for DMA takes time and happens elsewhere; the port copies until it is done. */
static void
look_at_dma(struct vhost_port *vp)
{
	bool needed = vp->map != NULL && vp->takes.dma != NULL;
	bool ready = needed && zc_dma_is_ready(vp->map, vp->takes.dma);

	if (needed && !ready) {
		zc_dma_request(vp->map, vp->takes.dma);
		tell_dma_failure(vp);
	}
	if (ready == vp->dma_ready)
		return;
	if (ready && vp->dma_told)
		ZC_LOG(NOTICE, "port %s: its memory is mapped for DMA now", vp->port.name);
	vp->dma_told &= !ready;
	vp->dma_ready = ready;
	zc_vhost_apply_limits(vp);
	zc_vhost_arm_all(vp);
}

void
zc_vhost_set_takes(struct zcnet_port *port, const struct zc_port_takes *takes)
{
	vhost_port(port)->takes = *takes;
	/* Another NIC may be behind another IOMMU, which doesn't know the guest's memory yet. */
	look_at_dma(vhost_port(port));
	zc_vhost_apply_limits(vhost_port(port));
}

void
zc_vhost_set_recover(struct zcnet_port *port, uint16_t queue, bool on)
{
	vhost_port(port)->queue[queue]->recover = on;
	zc_vhost_apply_limits(vhost_port(port));
}

void
zc_vhost_set_source(struct zcnet_port *port, uint16_t queue, struct zcnet_port *nic,
		uint16_t nic_queue)
{
	struct vhost_queue *q = vhost_port(port)->queue[queue];

	if (q->nic == nic && q->nic_queue == nic_queue)
		return;
	q->nic = nic;
	q->nic_queue = nic_queue;
	zc_vhost_bind_sources(vhost_port(port));
}

/* Lock for a change of a setting; end_setting() puts it in force. */
static int
begin_setting(const struct zcnet_port *port, const char *what)
{
	if (port->type != ZCNET_PORT_VHOST)
		return zc_fail(ENOTSUP, "port %s: %s is a setting of vhost ports", port->name,
				what);
	zc_control_lock();
	return 0;
}

static void
end_setting(struct zcnet_port *port)
{
	zc_vhost_apply_limits(vhost_port(port));
	zc_control_unlock();
}

static int
check_header_bytes(const char *name, uint16_t bytes)
{
	if (bytes > HEADER_BYTES_MAX)
		return zc_fail(EINVAL, "port %s: header-bytes %u, 0 to %u are possible", name,
				bytes, HEADER_BYTES_MAX);
	return 0;
}

ZC_EXPORT int
zcnet_port_set_threshold(struct zcnet_port *port, uint32_t bytes)
{
	int ret = begin_setting(port, "threshold");

	if (ret < 0)
		return ret;
	vhost_port(port)->conf.threshold = bytes;
	end_setting(port);
	return 0;
}

ZC_EXPORT int
zcnet_port_set_header_bytes(struct zcnet_port *port, uint16_t bytes)
{
	int ret = begin_setting(port, "header-bytes");

	if (ret < 0)
		return ret;
	ret = check_header_bytes(port->name, bytes);
	if (ret == 0)
		vhost_port(port)->conf.header_bytes = bytes;
	end_setting(port);
	return ret;
}

ZC_EXPORT int
zcnet_port_set_zerocopy(struct zcnet_port *port, bool on)
{
	int ret = begin_setting(port, "zerocopy at run time");

	if (ret < 0)
		return ret;
	port->zerocopy = on;
	zc_vhost_apply_limits(vhost_port(port));
	zc_vhost_bind_sources(vhost_port(port));
	zc_control_unlock();
	return 0;
}

ZC_EXPORT int
zcnet_port_set_rx_full(struct zcnet_port *port, enum zcnet_rx_full rx_full)
{
	int ret = begin_setting(port, "rx-full");

	if (ret < 0)
		return ret;
	vhost_port(port)->conf.rx_full = rx_full;
	end_setting(port);
	return 0;
}

/* ---- control calls ---- */

static int
vhost_start(struct zcnet_port *port)
{
	struct vhost_port *vp = vhost_port(port);

	return vp->running ? zc_vhost_guest_up(vp) : 0;
}

static int
vhost_stop(struct zcnet_port *port)
{
	zc_vhost_guest_down(vhost_port(port));
	return 0;
}

static void
free_queues(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		struct vhost_queue *q = vp->queue[i];

		if (q == NULL)
			continue;
		vp->queue[i] = NULL;
		if (zc_tx_fini(&q->tx))
			rte_free(q);
		else
			ZC_LOG(ERR, "port %s: %u buffers of queue %u are still out: memory kept",
					vp->port.name, zc_tx_out(&q->tx), i);
	}
}

static void
vhost_destroy(struct zcnet_port *port)
{
	struct vhost_port *vp = vhost_port(port);

	zc_vhost_unregister(vp);
	zc_vhost_reap_maps(vp);
	free_queues(vp);
	free(vp);
}

static void
vhost_all_done(struct zcnet_port *port, uint16_t queue)
{
	zc_tx_all_done(&vhost_port(port)->queue[queue]->tx);
}

static const uint8_t *
vhost_source_state(struct zcnet_port *port, uint16_t queue)
{
	return &vhost_port(port)->queue[queue]->tx_state;
}

static void
vhost_dropped(struct zcnet_port *port, uint16_t queue, enum zcnet_queue_counter why, uint16_t n)
{
	vhost_port(port)->queue[queue]->tx.counters.value[why] += n;
}

static uint16_t
vhost_queues_used(const struct zcnet_port *port)
{
	const struct vhost_port *vp = vhost_port(port);
	uint16_t n = 0;

	while (n < vp->pairs_most && vp->queue[n]->tx_state != ZC_QUEUE_DOWN &&
			vp->queue[n]->rx_state != ZC_QUEUE_DOWN)
		n++;
	return n;
}

static bool
is_armed(const struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		if (vp->queue[i]->rx.ctor != NULL)
			return true;
	return false;
}

static void
vhost_info(const struct zcnet_port *port, struct zcnet_port_info *info)
{
	const struct vhost_port *vp = vhost_port(port);

	info->link_up = vp->map != NULL;
	info->features = vp->running ? vp->features : 0;
	snprintf(info->path, sizeof(info->path), "%s", vp->path);
	info->client = vp->conf.client;
	info->threshold = vp->conf.threshold;
	info->header_bytes = vp->conf.header_bytes;
	info->out_max = vp->conf.out_max;
	info->rx_full = vp->conf.rx_full;
	info->ring_size = vp->queue[0]->tx_state != ZC_QUEUE_DOWN ? vp->queue[0]->tx.vq.size : 0;
	info->zerocopy_tx = copy_of(vp, vp->queue[0]) == ZC_TX_ATTACH;
	info->zerocopy_rx = is_armed(vp);
	if (!port->zerocopy)
		snprintf(info->note, sizeof(info->note), "zero copy is off by configuration");
	else if (port->bound == NULL)
		snprintf(info->note, sizeof(info->note), "not bound");
	else if (vp->queue[0]->recover)
		snprintf(info->note, sizeof(info->note), "copies while its NIC recovers");
	else if (!zc_vhost_is_reachable(vp) && vp->map != NULL)
		snprintf(info->note, sizeof(info->note), "copies: %s",
				zc_dma_failure(vp->map) != NULL ?
						zc_dma_failure(vp->map) :
						"its memory is about to be mapped for DMA");
	else if (!vp->takes.attached)
		snprintf(info->note, sizeof(info->note),
				"copies: its peer doesn't send from guest memory");
}

static void
vhost_stats(const struct zcnet_port *port, enum zcnet_dir dir, uint16_t queue,
		struct zcnet_queue_stats *stats)
{
	const struct vhost_queue *q = vhost_port(port)->queue[queue];
	uint32_t undone;

	if (dir == ZCNET_RX) {
		zc_counters_add_to(&q->tx.counters, stats->counter);
		stats->enabled = q->tx_state != ZC_QUEUE_DOWN;
		stats->broken = stats->enabled ? zc_vq_fault_text(q->tx.vq.fault) : NULL;
		stats->out = zc_tx_out(&q->tx);
		stats->out_peak = q->tx.out_peak;
		stats->oldest_us = zc_tx_age(&q->tx) * 1000000 / rte_get_tsc_hz();
		return;
	}
	zc_counters_add_to(&q->rx.counters, stats->counter);
	stats->enabled = q->rx_state != ZC_QUEUE_DOWN;
	stats->broken = stats->enabled ? zc_vq_fault_text(q->rx.vq.fault) : NULL;
	if (stats->enabled && q->rx.ctor != NULL) {
		undone = zc_rx_undone(&q->rx);
		stats->out = q->rx.ctor->armed;
		stats->out_peak = q->rx.ctor->armed_peak;
		stats->holes = undone > stats->out ? undone - stats->out : 0;
	}
}

static void
vhost_stats_clear(struct zcnet_port *port)
{
	for (uint16_t i = 0; i < port->nqueues; i++) {
		struct vhost_queue *q = vhost_port(port)->queue[i];

		zc_counters_clear(&q->tx.counters);
		zc_counters_clear(&q->rx.counters);
		q->tx.out_peak = zc_tx_out(&q->tx);
		if (q->rx.ctor != NULL)
			q->rx.ctor->armed_peak = q->rx.ctor->armed;
	}
}

static void
vhost_takes(const struct zcnet_port *port, struct zc_port_takes *takes)
{
	(void)port;
	*takes = (struct zc_port_takes){ .attached = true,
		.segs_max = ZC_TX_SLOTS,
		.frame_max = FRAME_MAX };
}

/* Segments of a guest that is gone may still come back. */
static void
collect_late(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		if (vp->queue[i]->tx.vq.window == NULL)
			zc_tx_collect(&vp->queue[i]->tx);
}

static void
vhost_tick(struct zcnet_port *port, uint64_t now)
{
	(void)now;
	zc_vhost_look_at_memory(vhost_port(port));
	zc_vhost_settle_rings(vhost_port(port));
	zc_vhost_discard_disabled(vhost_port(port));
	zc_vhost_report_faults(vhost_port(port));
	collect_late(vhost_port(port));
	look_at_dma(vhost_port(port));
	zc_vhost_reap_maps(vhost_port(port));
}

static const struct zc_port_ops vhost_ops = {
	.rx = vhost_rx,
	.tx = vhost_tx,
	.complete = vhost_complete,
	.notify = vhost_notify,
	.all_done = vhost_all_done,
	.source_state = vhost_source_state,
	.dropped = vhost_dropped,
	.start = vhost_start,
	.stop = vhost_stop,
	.destroy = vhost_destroy,
	.info = vhost_info,
	.stats = vhost_stats,
	.stats_clear = vhost_stats_clear,
	.queues_used = vhost_queues_used,
	.takes = vhost_takes,
	.tick = vhost_tick,
};

/* ---- creation ---- */

ZC_EXPORT void
zcnet_vhost_conf_init(struct zcnet_vhost_conf *conf)
{
	*conf = (struct zcnet_vhost_conf){
		.queues = 1,
		.mergeable = true,
		.zerocopy = true,
		.threshold = 256,
		.out_max = ZC_TX_SLOTS,
		.rx_full = ZCNET_RX_FULL_DROP,
	};
}

static int
check(const struct zcnet_vhost_conf *conf)
{
	int ret = zc_port_check(conf->name, conf->queues);

	if (ret < 0)
		return ret;
	if (conf->path == NULL || conf->path[0] == '\0' || strlen(conf->path) >= ZCNET_PATH_MAX)
		return zc_fail(EINVAL, "port %s: a socket path of 1 to %d bytes is needed",
				conf->name, ZCNET_PATH_MAX - 1);
	ret = check_header_bytes(conf->name, conf->header_bytes);
	if (ret < 0)
		return ret;
	if (conf->out_max < 1 || conf->out_max > ZC_TX_SLOTS)
		return zc_fail(EINVAL, "port %s: out-max %u, 1 to %u are possible", conf->name,
				conf->out_max, ZC_TX_SLOTS);
	return conf->client ? 0 : zc_socket_check(conf);
}

static void
copy_conf(struct vhost_port *vp, const struct zcnet_vhost_conf *conf)
{
	vp->conf = *conf;
	snprintf(vp->path, sizeof(vp->path), "%s", conf->path);
	vp->conf.path = vp->path;
	vp->conf.name = vp->port.name;
	if (conf->owner != NULL) {
		snprintf(vp->owner, sizeof(vp->owner), "%s", conf->owner);
		vp->conf.owner = vp->owner;
	}
	if (conf->group != NULL) {
		snprintf(vp->group, sizeof(vp->group), "%s", conf->group);
		vp->conf.group = vp->group;
	}
}

static int
make_queues(struct vhost_port *vp)
{
	static unsigned int serial; /* mempools of a deleted port of the same name may live on */
	struct rte_mempool *mp = zc_host_pool_reserve(SOCKET_ID_ANY, 0);
	char name[RTE_MEMPOOL_NAMESIZE];

	if (mp == NULL)
		return -rte_errno;
	vp->copy_mp = mp;
	serial++;
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		struct vhost_queue *q = rte_zmalloc("zc_vhost", sizeof(*q), RTE_CACHE_LINE_SIZE);
		int ret;

		if (q == NULL)
			return zc_fail(ENOMEM, "port %s: out of memory", vp->port.name);
		vp->queue[i] = q;
		snprintf(name, sizeof(name), "tx_%u_%u", serial, i);
		ret = zc_tx_init(&q->tx, name, mp, SOCKET_ID_ANY);
		if (ret < 0)
			return ret;
	}
	zc_vhost_apply_limits(vp);
	return 0;
}

static struct zcnet_port *
create(const struct zcnet_vhost_conf *conf)
{
	struct vhost_port *vp;

	if (check(conf) < 0)
		return NULL;
	vp = calloc(1, sizeof(*vp));
	if (vp == NULL) {
		zc_fail(ENOMEM, "port %s: out of memory", conf->name);
		return NULL;
	}
	vp->vid = -1;
	vp->waiting.vid = -1;
	vp->pairs_most = conf->queues;
	zc_port_add(&vp->port, &vhost_ops, conf->name, ZCNET_PORT_VHOST, conf->queues,
			conf->zerocopy);
	copy_conf(vp, conf);
	if (make_queues(vp) < 0)
		goto remove_port;
	vp->port.started = true;
	if (zc_vhost_register(vp) < 0)
		goto remove_port;
	return &vp->port;

remove_port:
	zc_port_remove(&vp->port);
	free_queues(vp);
	free(vp);
	return NULL;
}

ZC_EXPORT struct zcnet_port *
zcnet_port_vhost_create(const struct zcnet_vhost_conf *conf)
{
	struct zcnet_port *port;

	zc_vhost_registration_lock();
	zc_control_lock();
	port = create(conf);
	zc_control_unlock();
	zc_vhost_registration_unlock();
	return port;
}

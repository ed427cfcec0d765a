/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost port's rings: where they lie, who may touch them, and which NIC queue is armed from
 * them.
 *
 * A ring is taken from its worker by changing its state and waiting with zc_quiesce_wait(),
 * changed, and given back. Runs on control threads with the control lock held.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_vhost.h>

#include <linux/virtio_net.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/quiesce.h"
#include "vhost.h"

/*
 * Our address of what librte_vhost has at @ptr: its mapping goes away with the next memory
 * table, ours doesn't.
 */
static void *
own_address(const struct zc_map *map, const struct rte_vhost_memory *mem, const void *ptr,
		uint64_t len)
{
	for (uint32_t i = 0; i < mem->nregions; i++) {
		const struct rte_vhost_mem_region *region = &mem->regions[i];
		uint64_t off = (uintptr_t)ptr - region->host_user_addr;

		if (off < region->size)
			return zc_map_hva(map, region->guest_phys_addr + off, len);
	}
	return NULL;
}

/* ---- one ring ---- */

static bool
is_eventfd(int fd)
{
	char link[32], target[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

/*
 * The guest's interrupt: a duplicate of our own, because librte_vhost closes its descriptor
 * whenever the guest sends a new one. Nothing but an eventfd is written to.
 */
static int
own_callfd(const struct vhost_port *vp, int callfd)
{
	int fd;

	if (callfd < 0)
		return -1;
	if (!is_eventfd(callfd)) {
		ZC_LOG(ERR, "port %s: the guest's call descriptor is no eventfd: no interrupts",
				vp->port.name);
		return -1;
	}
	fd = fcntl(callfd, F_DUPFD_CLOEXEC, 0);
	/* Where the kernel can't be made to signal it (vq/kick.c) a full one must not block. */
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

/* Does each part begin where the specification lets it (virtio 1.2, 2.7)? */
static bool
is_aligned(const struct zc_vq_conf *conf)
{
	return (uintptr_t)conf->desc % 16 == 0 && (uintptr_t)conf->avail % 2 == 0 &&
			(uintptr_t)conf->used % 4 == 0;
}

/* Fill @conf with where the ring lies now. */
static int
ring_conf(struct vhost_port *vp, uint16_t vring, struct zc_vq_conf *conf)
{
	struct rte_vhost_vring ring;
	uint16_t last_avail, last_used;

	if (vp->mem == NULL)
		return zc_fail(EINVAL, "port %s: ring %u: the guest's memory is unknown",
				vp->port.name, vring);
	if (rte_vhost_get_vhost_vring(vp->vid, vring, &ring) < 0 ||
			rte_vhost_get_vring_base(vp->vid, vring, &last_avail, &last_used) < 0)
		return zc_fail(EINVAL, "port %s: librte_vhost doesn't know ring %u", vp->port.name,
				vring);
	*conf = (struct zc_vq_conf){
		.desc = own_address(vp->map, vp->mem, ring.desc,
				sizeof(struct vring_desc) * ring.size),
		.avail = own_address(vp->map, vp->mem, ring.avail,
				sizeof(uint16_t) * (3 + ring.size)),
		.used = own_address(vp->map, vp->mem, ring.used,
				sizeof(uint16_t) * 3 + sizeof(struct vring_used_elem) * ring.size),
		.size = ring.size,
		/* Used entries are in avail order: what isn't used hasn't been taken. */
		.next_avail = last_used,
		.next_used = last_used,
		.hdr_len = vp->features &
						((1ULL << VIRTIO_NET_F_MRG_RXBUF) |
								(1ULL << VIRTIO_F_VERSION_1)) ?
				12 :
				10,
		.event_idx = vp->features & (1ULL << VIRTIO_RING_F_EVENT_IDX),
		.indirect = vp->features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC),
		.callfd = ring.callfd,
		.map = vp->map,
	};
	if (conf->desc == NULL || conf->avail == NULL || conf->used == NULL)
		return zc_fail(EINVAL, "port %s: ring %u lies outside of the guest's memory",
				vp->port.name, vring);
	if (!is_aligned(conf))
		return zc_fail(EINVAL,
				"port %s: ring %u is misaligned: descriptors at %p, avail at %p, "
				"used at %p; 16, 2 and 4 bytes are right",
				vp->port.name, vring, (void *)conf->desc, (void *)conf->avail,
				(void *)conf->used);
	return 0;
}

static bool
is_tx(uint16_t vring)
{
	return vring % 2 == 1;
}

static struct zc_vq *
vq_of(struct vhost_port *vp, uint16_t vring)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	return is_tx(vring) ? &q->tx.vq : &q->rx.vq;
}

static uint8_t *
state_of(struct vhost_port *vp, uint16_t vring)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	return is_tx(vring) ? &q->tx_state : &q->rx_state;
}

static bool
is_enabled(const struct vhost_port *vp, uint16_t vring)
{
	const struct vhost_queue *q = vp->queue[vring / 2];

	return is_tx(vring) ? q->tx_enabled : q->rx_enabled;
}

/*
 * Take the ring away from its worker and from the page constructor; in force after
 * zc_quiesce_wait().
 */
static void
suspend(struct vhost_port *vp, uint16_t vring, enum zc_queue_state state)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	if (!is_tx(vring) && q->rx.ctor != NULL)
		__atomic_store_n(&q->rx.ctor->rx, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(state_of(vp, vring), state, __ATOMIC_RELEASE);
}

void
zc_vhost_suspend(struct vhost_port *vp, uint16_t vring)
{
	if (*state_of(vp, vring) == ZC_QUEUE_DOWN)
		return;
	suspend(vp, vring, ZC_QUEUE_HELD);
	zc_quiesce_wait();
}

void
zc_vhost_suspend_all(struct vhost_port *vp, enum zc_queue_state state)
{
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		if (*state_of(vp, i) != ZC_QUEUE_DOWN)
			suspend(vp, i, state);
	zc_quiesce_wait();
}

static void
resume(struct vhost_port *vp, uint16_t vring)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	if (*state_of(vp, vring) != ZC_QUEUE_HELD || !is_enabled(vp, vring))
		return;
	__atomic_store_n(state_of(vp, vring), ZC_QUEUE_LIVE, __ATOMIC_RELEASE);
	/* What is armed already is delivered in place whether more is armed or not. */
	if (!is_tx(vring) && q->rx.ctor != NULL && zc_vhost_is_reachable(vp))
		__atomic_store_n(&q->rx.ctor->rx, &q->rx, __ATOMIC_RELEASE);
}

void
zc_vhost_resume_held(struct vhost_port *vp)
{
	/* Receive rings first: what a guest sends may be answered at once. */
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		resume(vp, 2 * i);
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		resume(vp, 2 * i + 1);
}

void
zc_vhost_settle_rings(struct vhost_port *vp)
{
	bool changed = vp->pairs_most < vp->port.nqueues;

	vp->pairs_most = vp->port.nqueues;
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++) {
		if (*state_of(vp, i) != ZC_QUEUE_HELD || is_enabled(vp, i))
			continue;
		__atomic_store_n(state_of(vp, i), ZC_QUEUE_DOWN, __ATOMIC_RELEASE);
		changed = true;
	}
	if (changed)
		zc_control_changed();
}

/* So much at a time: the guest may send on, and others wait for this thread. */
#define DISCARD_MOST 1024

static void
discard(struct zc_tx *tx)
{
	struct rte_mbuf *pkts[ZC_BURST];
	uint16_t taken = 0, n;

	do {
		n = zc_tx_take(tx, pkts, ZC_BURST);
		rte_pktmbuf_free_bulk(pkts, n);
		ZC_COUNT(&tx->counters, drop_flushed, n);
		taken += n;
	} while (n > 0 && taken < DISCARD_MOST);
	zc_tx_complete(tx, rte_rdtsc());
}

/* vhost-user, "Ring states": processed, without any effect. No worker has such a ring. */
void
zc_vhost_discard_disabled(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		struct vhost_queue *q = vp->queue[i];

		if (q->tx_state == ZC_QUEUE_DOWN && !q->tx_enabled && q->tx.vq.window != NULL)
			discard(&q->tx);
	}
}

static int
ring_attach(struct vhost_port *vp, uint16_t vring)
{
	struct vhost_queue *q = vp->queue[vring / 2];
	struct zc_vq_conf conf = { 0 };
	int ret = ring_conf(vp, vring, &conf);

	if (ret < 0)
		return ret;
	conf.callfd = own_callfd(vp, conf.callfd);
	ret = is_tx(vring) ? zc_tx_attach(&q->tx, &conf) :
			     zc_rx_attach(&q->rx, &conf,
					     vp->features & (1ULL << VIRTIO_NET_F_MRG_RXBUF));
	if (ret < 0 && conf.callfd >= 0)
		close(conf.callfd);
	if (ret < 0)
		return zc_fail(-ret, "port %s: ring %u of %u descriptors: %s", vp->port.name, vring,
				conf.size, rte_strerror(-ret));
	return 0;
}

/* The ring's memory or its eventfd may be new. The queue is suspended. */
static int
ring_refresh(struct vhost_port *vp, uint16_t vring)
{
	struct zc_vq *vq = vq_of(vp, vring);
	struct zc_vq_conf conf = { 0 };
	int ret = ring_conf(vp, vring, &conf);

	if (ret < 0)
		return ret;
	if (conf.size != vq->size)
		return zc_fail(EINVAL, "port %s: ring %u changes its size while it is in use",
				vp->port.name, vring);
	if (vq->callfd >= 0)
		close(vq->callfd);
	vq->callfd = own_callfd(vp, conf.callfd);
	vq->desc = conf.desc;
	vq->avail = conf.avail;
	vq->used = conf.used;
	vq->map = conf.map;
	vq->hot = conf.map->region[0];
	/* Our last notification may have gone to a descriptor that nobody reads any more. */
	zc_vq_kick(vq);
	return 0;
}

static int
ring_up(struct vhost_port *vp, uint16_t vring)
{
	int ret;

	if (vq_of(vp, vring)->window == NULL) {
		ret = ring_attach(vp, vring);
	} else {
		suspend(vp, vring, ZC_QUEUE_HELD);
		zc_quiesce_wait();
		ret = ring_refresh(vp, vring);
	}
	*state_of(vp, vring) = ret == 0 ? ZC_QUEUE_HELD : ZC_QUEUE_DOWN;
	if (ret < 0)
		ZC_LOG(ERR, "%s", zc_last_error());
	return ret;
}

int
zc_vhost_ring_enable(struct vhost_port *vp, uint16_t vring)
{
	int ret;

	/* Who shares a NIC with the guest stands still while streams are laid out: once for all. */
	if (*state_of(vp, vring) == ZC_QUEUE_DOWN)
		vp->pairs_most = vp->port.ops->queues_used(&vp->port);
	ret = ring_up(vp, vring);
	zc_vhost_resume_held(vp);
	return ret;
}

void
zc_vhost_rings_attach(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		if (is_enabled(vp, i))
			ring_up(vp, i);
}

static void
ring_detach(struct vhost_port *vp, uint16_t vring)
{
	struct zc_vq *vq = vq_of(vp, vring);
	struct vhost_queue *q = vp->queue[vring / 2];

	if (vq->window == NULL)
		return;
	/* The guest may go on elsewhere, and must know of what it was given here. */
	if (zc_vq_owes_kick(vq))
		zc_vq_kick(vq);
	/* In avail order, so what wasn't used is posted again. */
	rte_vhost_set_vring_base(vp->vid, vring, vq->next_used, vq->next_used);
	if (vq->callfd >= 0)
		close(vq->callfd);
	if (is_tx(vring))
		zc_tx_detach(&q->tx);
	else
		zc_rx_detach(&q->rx);
}

void
zc_vhost_rings_refresh(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		if (vq_of(vp, i)->window != NULL && ring_refresh(vp, i) < 0) {
			ZC_LOG(ERR, "%s", zc_last_error());
			*state_of(vp, i) = ZC_QUEUE_DOWN;
			/* Its memory goes with the old map: nothing may be completed there. */
			if (is_tx(i))
				ring_detach(vp, i);
		}
}

void
zc_vhost_rings_detach(struct vhost_port *vp)
{
	/* A guest may break a queue and reset it between two ticks. */
	zc_vhost_report_faults(vp);
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		ring_detach(vp, i);
	zc_vhost_report_faults(vp);
}

/* ---- arming ---- */

static bool
wait_disarmed(const struct zc_ctor *ctor, unsigned int ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;

	while (__atomic_load_n(&ctor->armed, __ATOMIC_ACQUIRE) > 0) {
		if (rte_rdtsc() > end)
			return false;
		usleep(200);
	}
	return true;
}

/* Get armed buffers back from the NIC. The receive ring is suspended. */
static void
disarm(struct vhost_port *vp, struct vhost_queue *q)
{
	struct zc_ctor *ctor = q->rx.ctor;

	if (ctor == NULL)
		return;
	if (ctor->armed > 0) {
		/* Frames that the worker holds would stay armed: it drops them. */
		__atomic_store_n(&q->rx_state, ZC_QUEUE_DOWN, __ATOMIC_RELEASE);
		q->source->ops->release_rx(q->source, q->source_queue);
	}
	if (!wait_disarmed(ctor, AFTER_RELEASE_MS)) {
		ZC_LOG(ERR, "port %s: port %s keeps %u guest buffers; their memory stays mapped",
				vp->port.name, q->source->name, ctor->armed);
		zc_map_get(vp->map);
	}
	zc_rx_rewind(&q->rx);
	ctor->bound = NULL;
	q->rx.ctor = NULL;
}

/* Arm from the NIC queue that the connection chose. The receive ring is suspended. */
static void
arm(struct vhost_port *vp, struct vhost_queue *q)
{
	struct zc_ctor *ctor = NULL;

	if (q->nic != NULL && vp->port.zerocopy && zc_vhost_is_reachable(vp))
		ctor = q->nic->ops->ctor(q->nic, q->nic_queue);
	if (ctor == NULL || ctor->armed > 0 || q->rx.ctor != NULL)
		return;
	ctor->bound = &q->rx;
	q->rx.ctor = ctor;
	q->source = q->nic;
	q->source_queue = q->nic_queue;
}

void
zc_vhost_disarm_all(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		disarm(vp, vp->queue[i]);
}

static void
bind_sources(struct vhost_port *vp, bool again)
{
	bool up[ZCNET_QUEUES_MAX];

	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		up[i] = vp->queue[i]->rx_state != ZC_QUEUE_DOWN;
		if (up[i])
			suspend(vp, 2 * i, ZC_QUEUE_HELD);
	}
	zc_quiesce_wait();
	if (again)
		zc_vhost_disarm_all(vp);
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		if (!up[i])
			continue;
		arm(vp, vp->queue[i]);
		vp->queue[i]->rx_state = ZC_QUEUE_HELD;
	}
	zc_vhost_name_copies(vp);
	zc_vhost_resume_held(vp);
}

void
zc_vhost_bind_sources(struct vhost_port *vp)
{
	bind_sources(vp, true);
}

void
zc_vhost_arm_all(struct vhost_port *vp)
{
	bind_sources(vp, false);
}

/* ---- faults ---- */

static void
report_fault(struct vhost_port *vp, uint16_t vring, bool *logged)
{
	const struct zc_vq *vq = vq_of(vp, vring);
	const char *text = vq->window != NULL ? zc_vq_fault_text(vq->fault) : NULL;

	if (text != NULL && !*logged)
		ZC_LOG(WARNING, "port %s: ring %u is stopped until the guest resets it: %s",
				vp->port.name, vring, text);
	*logged = text != NULL;
}

void
zc_vhost_report_faults(struct vhost_port *vp)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		report_fault(vp, 2 * i, &vp->queue[i]->rx_fault_logged);
		report_fault(vp, 2 * i + 1, &vp->queue[i]->tx_fault_logged);
	}
}

/* ---- maps that buffers may still point into ---- */

void
zc_vhost_retire_map(struct vhost_port *vp, struct zc_map *map)
{
	struct vhost_retired *retired;

	if (map == NULL)
		return;
	retired = calloc(1, sizeof(*retired));
	if (retired == NULL)
		return; /* leaked on purpose: a map too many is better than a DMA into nothing */
	retired->map = map;
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		struct zc_ctor *ctor = vp->queue[i]->rx.ctor;

		retired->seg[i] = vp->queue[i]->tx.seg_head;
		if (ctor != NULL) {
			ctor->armed_old = ctor->armed;
			ctor->gen++;
		}
	}
	retired->next = vp->retired;
	vp->retired = retired;
}

static bool
is_unused(const struct vhost_port *vp, const struct vhost_retired *retired)
{
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		const struct vhost_queue *q = vp->queue[i];

		if (q == NULL)
			continue;
		if ((int32_t)(retired->seg[i] -
				    __atomic_load_n(&q->tx.seg_done, __ATOMIC_RELAXED)) > 0)
			return false;
		if (q->rx.ctor != NULL &&
				__atomic_load_n(&q->rx.ctor->armed_old, __ATOMIC_RELAXED) > 0)
			return false;
	}
	return true;
}

unsigned int
zc_vhost_reap_maps(struct vhost_port *vp)
{
	struct vhost_retired **link = &vp->retired;
	unsigned int left = 0;

	while (*link != NULL) {
		struct vhost_retired *retired = *link;

		if (is_unused(vp, retired)) {
			*link = retired->next;
			zc_map_put(retired->map);
			free(retired);
		} else {
			link = &retired->next;
			left++;
		}
	}
	return left;
}

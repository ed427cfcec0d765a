/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest comes, goes, changes its rings or its memory.
 *
 * Everything here runs on librte_vhost's one event thread, or on a control thread, with the
 * control lock held. It never waits for a worker longer than one of its turns, and for a NIC
 * about DRAIN_MS: that thread serves every guest.
 *
 * Order seen with QEMU: ring state 1 comes before new_device; ring state flaps 0 -> 1 at
 * SET_VRING_KICK and SET_VRING_CALL, also while the guest runs: then only the eventfd is read
 * again. The end is destroy_device, memory and rings still valid.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_vhost.h>

#include <linux/virtio_net.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/quiesce.h"
#include "vhost.h"

#define DRAIN_MS 500
#define AFTER_RELEASE_MS 100
#define REQUEST_SET_MEM_TABLE 5 /* vhost-user protocol */

/* What is fully served; everything else that librte_vhost would offer is masked. */
#define FEATURES \
	((1ULL << VIRTIO_NET_F_CTRL_VQ) | (1ULL << VIRTIO_NET_F_CTRL_RX) | \
			(1ULL << VIRTIO_NET_F_GUEST_ANNOUNCE) | (1ULL << VIRTIO_NET_F_MQ) | \
			(1ULL << VIRTIO_NET_F_MTU) | (1ULL << VIRTIO_F_VERSION_1) | \
			(1ULL << VIRTIO_F_ANY_LAYOUT) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC) | \
			(1ULL << VIRTIO_RING_F_EVENT_IDX) | \
			(1ULL << VHOST_USER_F_PROTOCOL_FEATURES))
/* Postcopy needs pages that aren't there yet; zero copy needs them pinned. */
#define PROTOCOL_FEATURES_OFF (1ULL << VHOST_USER_PROTOCOL_F_PAGEFAULT)

static TAILQ_HEAD(, vhost_port) vports = TAILQ_HEAD_INITIALIZER(vports);

static struct vhost_port *
find_by_vid(int vid)
{
	char path[ZCNET_PATH_MAX];
	struct vhost_port *vp;

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) < 0)
		return NULL;
	TAILQ_FOREACH(vp, &vports, next)
		if (strcmp(vp->path, path) == 0)
			return vp;
	return NULL;
}

/* ---- memory ---- */

static struct zc_map *
make_map(struct vhost_port *vp, const struct rte_vhost_memory *mem)
{
	struct zc_region_desc desc[ZC_MAP_REGIONS_MAX];

	if (mem->nregions > ZC_MAP_REGIONS_MAX) {
		zc_fail(EINVAL, "port %s: %u memory regions, %u are served", vp->port.name,
				mem->nregions, ZC_MAP_REGIONS_MAX);
		return NULL;
	}
	for (uint32_t i = 0; i < mem->nregions; i++) {
		const struct rte_vhost_mem_region *region = &mem->regions[i];

		desc[i] = (struct zc_region_desc){
			.fd = region->fd,
			.offset = region->host_user_addr - (uintptr_t)region->mmap_addr,
			.gpa = region->guest_phys_addr,
			.uva = region->guest_user_addr,
			.size = region->size,
		};
	}
	return zc_map_create(desc, mem->nregions, vp->map);
}

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

/* Buffers may still point into @map: keep it until they are back. */
static void
retire_map(struct vhost_port *vp, struct zc_map *map)
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
			ctor->gen = (ctor->gen + 1) % ZC_CTOR_GENS;
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
				    __atomic_load_n(&q->tx.seg_back, __ATOMIC_RELAXED)) > 0)
			return false;
		if (q->rx.ctor != NULL &&
				__atomic_load_n(&q->rx.ctor->armed_old, __ATOMIC_RELAXED) > 0)
			return false;
	}
	return true;
}

void
zc_vhost_reap_maps(struct vhost_port *vp)
{
	struct vhost_retired **link = &vp->retired;

	while (*link != NULL) {
		struct vhost_retired *retired = *link;

		if (is_unused(vp, retired)) {
			*link = retired->next;
			zc_map_put(retired->map);
			free(retired);
		} else {
			link = &retired->next;
		}
	}
}

/* ---- one ring ---- */

/*
 * The guest's interrupt: a duplicate of our own, because librte_vhost closes its descriptor
 * whenever the guest sends a new one.
 */
static int
own_callfd(int callfd)
{
	int fd = callfd >= 0 ? fcntl(callfd, F_DUPFD_CLOEXEC, 0) : -1;

	/* A full eventfd must not block a worker. */
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

/* Fill @conf with where the ring lies now. */
static int
ring_conf(struct vhost_port *vp, uint16_t vring, const struct rte_vhost_memory *mem,
		struct zc_vq_conf *conf)
{
	struct rte_vhost_vring ring;
	uint16_t last_avail, last_used;

	if (rte_vhost_get_vhost_vring(vp->vid, vring, &ring) < 0 ||
			rte_vhost_get_vring_base(vp->vid, vring, &last_avail, &last_used) < 0)
		return zc_fail(EINVAL, "port %s: librte_vhost doesn't know ring %u", vp->port.name,
				vring);
	*conf = (struct zc_vq_conf){
		.desc = own_address(vp->map, mem, ring.desc, sizeof(struct vring_desc) * ring.size),
		.avail = own_address(vp->map, mem, ring.avail, sizeof(uint16_t) * (3 + ring.size)),
		.used = own_address(vp->map, mem, ring.used,
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

/*
 * Take the ring away from its worker and from the page constructor; in force after
 * zc_quiesce_wait().
 */
static void
suspend(struct vhost_port *vp, uint16_t vring)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	if (is_tx(vring)) {
		__atomic_store_n(&q->tx_live, false, __ATOMIC_RELEASE);
		return;
	}
	if (q->rx.ctor != NULL)
		__atomic_store_n(&q->rx.ctor->rx, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&q->rx_live, false, __ATOMIC_RELEASE);
}

static void
resume(struct vhost_port *vp, uint16_t vring)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	if (is_tx(vring)) {
		__atomic_store_n(&q->tx_live, true, __ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&q->rx_live, true, __ATOMIC_RELEASE);
	if (q->rx.ctor != NULL)
		__atomic_store_n(&q->rx.ctor->rx, &q->rx, __ATOMIC_RELEASE);
}

static int
ring_attach(struct vhost_port *vp, uint16_t vring, const struct rte_vhost_memory *mem)
{
	struct vhost_queue *q = vp->queue[vring / 2];
	struct zc_vq_conf conf;
	int ret = ring_conf(vp, vring, mem, &conf);

	if (ret < 0)
		return ret;
	conf.callfd = own_callfd(conf.callfd);
	ret = is_tx(vring) ? zc_tx_attach(&q->tx, &conf) :
			     zc_rx_attach(&q->rx, &conf,
					     vp->features & (1ULL << VIRTIO_NET_F_MRG_RXBUF));
	if (ret < 0)
		return zc_fail(-ret, "port %s: ring %u of %u descriptors: %s", vp->port.name, vring,
				conf.size, rte_strerror(-ret));
	return 0;
}

/* The ring's memory or its eventfd may be new. The queue is suspended. */
static int
ring_refresh(struct vhost_port *vp, uint16_t vring, const struct rte_vhost_memory *mem)
{
	struct zc_vq *vq = vq_of(vp, vring);
	struct zc_vq_conf conf;
	int ret = ring_conf(vp, vring, mem, &conf);

	if (ret < 0)
		return ret;
	if (vq->callfd >= 0)
		close(vq->callfd);
	vq->callfd = own_callfd(conf.callfd);
	vq->desc = conf.desc;
	vq->avail = conf.avail;
	vq->used = conf.used;
	vq->map = conf.map;
	vq->hot = conf.map->region[0];
	return 0;
}

/* The device runs and the front-end enabled the ring: take it up, or look at it again. */
static int
ring_up(struct vhost_port *vp, uint16_t vring)
{
	struct rte_vhost_memory *mem = NULL;
	int ret;

	if (rte_vhost_get_mem_table(vp->vid, &mem) < 0)
		return zc_fail(EINVAL, "port %s: no memory table", vp->port.name);
	if (vq_of(vp, vring)->window == NULL) {
		ret = ring_attach(vp, vring, mem);
	} else {
		suspend(vp, vring);
		zc_quiesce_wait();
		ret = ring_refresh(vp, vring, mem);
	}
	free(mem);
	if (ret == 0)
		resume(vp, vring);
	return ret;
}

static void
ring_detach(struct vhost_port *vp, uint16_t vring)
{
	struct zc_vq *vq = vq_of(vp, vring);
	struct vhost_queue *q = vp->queue[vring / 2];

	if (vq->window == NULL)
		return;
	/* In avail order, so what wasn't used is posted again. */
	rte_vhost_set_vring_base(vp->vid, vring, vq->next_used, vq->next_used);
	if (vq->callfd >= 0)
		close(vq->callfd);
	if (is_tx(vring))
		zc_tx_detach(&q->tx);
	else
		zc_rx_detach(&q->rx);
}

/* ---- arming ---- */

static bool
wait_disarmed(const struct zc_ctor *ctor, unsigned int ms)
{
	for (unsigned int i = 0; __atomic_load_n(&ctor->armed, __ATOMIC_RELAXED) > 0; i++) {
		if (i == ms * 5)
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
	if (ctor->armed > 0)
		q->source->ops->release(q->source);
	/*
	 * Frames received before that are with the worker, which drops them: the ring is not
	 * live.
	 */
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
	struct zc_ctor *ctor = q->nic != NULL && vp->port.zerocopy ?
			q->nic->ops->ctor(q->nic, q->nic_queue) :
			NULL;

	if (ctor == NULL || ctor->armed > 0)
		return;
	ctor->bound = &q->rx;
	q->rx.ctor = ctor;
	q->source = q->nic;
}

void
zc_vhost_bind_sources(struct vhost_port *vp)
{
	bool live[ZCNET_QUEUES_MAX];

	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		live[i] = vp->queue[i]->rx_live;
		suspend(vp, 2 * i);
	}
	zc_quiesce_wait();
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		disarm(vp, vp->queue[i]);
	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		if (!live[i])
			continue;
		arm(vp, vp->queue[i]);
		resume(vp, 2 * i);
	}
}

/* ---- the guest ---- */

static bool
is_enabled(const struct vhost_port *vp, uint16_t vring)
{
	const struct vhost_queue *q = vp->queue[vring / 2];

	return is_tx(vring) ? q->tx_enabled : q->rx_enabled;
}

int
zc_vhost_guest_up(struct vhost_port *vp)
{
	struct rte_vhost_memory *mem = NULL;

	if (rte_vhost_get_mem_table(vp->vid, &mem) < 0)
		return zc_fail(EINVAL, "port %s: no memory table", vp->port.name);
	vp->map = make_map(vp, mem);
	free(mem);
	if (vp->map == NULL)
		return -rte_errno;
	rte_vhost_get_negotiated_features(vp->vid, &vp->features);
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		if (is_enabled(vp, i))
			ring_up(vp, i);
	zc_vhost_bind_sources(vp);
	zc_control_changed();
	return 0;
}

static uint32_t
out_of_all(struct vhost_port *vp)
{
	uint32_t out = 0;

	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		struct vhost_queue *q = vp->queue[i];

		if (q->tx.vq.window == NULL)
			continue;
		zc_tx_complete(&q->tx, rte_rdtsc());
		out += zc_tx_out(&q->tx);
	}
	return out;
}

/* Sleep until no buffer is out. Workers go on asking the NIC meanwhile. */
static uint32_t
wait_tx(struct vhost_port *vp, unsigned int ms)
{
	uint32_t out;

	for (unsigned int i = 0; (out = out_of_all(vp)) > 0 && i < ms * 5; i++)
		usleep(200);
	return out;
}

static void
drain_tx(struct vhost_port *vp)
{
	struct zcnet_port *nic = vp->queue[0]->nic;
	uint32_t out = wait_tx(vp, DRAIN_MS);

	if (out > 0 && nic != NULL) {
		ZC_LOG(WARNING, "port %s: %u buffers are out after %u ms: restarting port %s",
				vp->port.name, out, DRAIN_MS, nic->name);
		nic->ops->release(nic);
		out = wait_tx(vp, AFTER_RELEASE_MS);
	}
	if (out > 0)
		ZC_LOG(ERR, "port %s: %u buffers stay out; their memory stays mapped",
				vp->port.name, out);
}

void
zc_vhost_guest_down(struct vhost_port *vp)
{
	if (vp->map == NULL)
		return;
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		suspend(vp, i);
	zc_quiesce_wait();
	for (uint16_t i = 0; i < vp->port.nqueues; i++)
		disarm(vp, vp->queue[i]);
	drain_tx(vp);
	retire_map(vp, vp->map);
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		ring_detach(vp, i);
	vp->map = NULL;
	zc_vhost_reap_maps(vp);
	zc_control_changed();
}

/*
 * The front-end sent a new memory table while the device runs; librte_vhost has unmapped the
 * old one already.
 */
static void
guest_memory_changed(struct vhost_port *vp)
{
	struct rte_vhost_memory *mem = NULL;
	struct zc_map *map;

	if (rte_vhost_get_mem_table(vp->vid, &mem) < 0)
		return;
	map = make_map(vp, mem);
	if (map == NULL) {
		ZC_LOG(ERR, "port %s: the new memory table is refused, the guest keeps the old one",
				vp->port.name);
		free(mem);
		return;
	}
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		suspend(vp, i);
	zc_quiesce_wait();
	retire_map(vp, vp->map);
	vp->map = map;
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		if (vq_of(vp, i)->window != NULL && is_enabled(vp, i) &&
				ring_refresh(vp, i, mem) == 0)
			resume(vp, i);
	free(mem);
}

/* ---- librte_vhost's callbacks ---- */

static enum rte_vhost_msg_result
after_message(int vid, void *msg)
{
	struct vhost_port *vp;

	if (*(const uint32_t *)msg != REQUEST_SET_MEM_TABLE)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL && vp->running && vp->map != NULL)
		guest_memory_changed(vp);
	zc_control_unlock();
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops extern_ops = {
	.post_msg_handle = after_message,
};

static int
new_device(int vid)
{
	struct vhost_port *vp;
	int ret = -1;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp == NULL || vp->running)
		goto unlock;
	rte_vhost_extern_callback_register(vid, &extern_ops, NULL);
	vp->vid = vid;
	vp->running = true;
	ret = vp->port.started ? zc_vhost_guest_up(vp) : 0;
	if (ret < 0)
		vp->running = false;
	else
		ZC_LOG(NOTICE, "port %s: guest connected, features %#jx", vp->port.name,
				(uintmax_t)vp->features);
unlock:
	zc_control_unlock();
	return ret;
}

static void
destroy_device(int vid)
{
	struct vhost_port *vp;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL && vp->running && vp->vid == vid) {
		zc_vhost_guest_down(vp);
		vp->running = false;
		ZC_LOG(NOTICE, "port %s: guest gone", vp->port.name);
	}
	zc_control_unlock();
}

static void
set_enabled(struct vhost_port *vp, uint16_t vring, bool enabled)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	if (is_tx(vring))
		q->tx_enabled = enabled;
	else
		q->rx_enabled = enabled;
}

static int
vring_state_changed(int vid, uint16_t vring, int enable)
{
	struct vhost_port *vp;
	int ret = 0;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp == NULL)
		goto unlock;
	if (vring >= 2 * vp->port.nqueues) {
		ZC_LOG(WARNING, "port %s: ring %u is beyond %u queue pairs: set queues",
				vp->port.name, vring, vp->port.nqueues);
		goto unlock;
	}
	set_enabled(vp, vring, enable);
	if (!vp->running || vp->map == NULL)
		goto unlock;
	if (enable) {
		ret = ring_up(vp, vring);
	} else {
		suspend(vp, vring);
		zc_quiesce_wait();
	}
	zc_control_changed();
unlock:
	zc_control_unlock();
	return ret;
}

static const struct rte_vhost_device_ops device_ops = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
};

/* ---- the socket ---- */

static int
offer(struct vhost_port *vp)
{
	uint64_t wanted = FEATURES | (vp->conf.mergeable ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0);
	uint64_t protocol = 0;

	if (rte_vhost_driver_disable_features(vp->path, ~wanted) < 0 ||
			rte_vhost_driver_get_protocol_features(vp->path, &protocol) < 0 ||
			rte_vhost_driver_set_protocol_features(vp->path,
					protocol & ~PROTOCOL_FEATURES_OFF) < 0)
		return zc_fail(EINVAL, "port %s: librte_vhost refused the feature set",
				vp->port.name);
	if (rte_vhost_driver_callback_register(vp->path, &device_ops) < 0 ||
			rte_vhost_driver_start(vp->path) < 0)
		return zc_fail(EINVAL,
				"port %s: socket %s: can't be opened: is its folder writable?",
				vp->port.name, vp->path);
	return vp->conf.client ? 0 : zc_socket_own(&vp->conf);
}

int
zc_vhost_register(struct vhost_port *vp)
{
	int ret = vp->conf.client ? 0 : zc_socket_remove_stale(vp->port.name, vp->path);

	if (ret < 0)
		return ret;
	if (rte_vhost_driver_register(vp->path, vp->conf.client ? RTE_VHOST_USER_CLIENT : 0) < 0)
		return zc_fail(EINVAL, "port %s: socket %s: can't be opened: no folder, or in use?",
				vp->port.name, vp->path);
	TAILQ_INSERT_TAIL(&vports, vp, next);
	ret = offer(vp);
	if (ret < 0) {
		TAILQ_REMOVE(&vports, vp, next);
		rte_vhost_driver_unregister(vp->path);
	}
	return ret;
}

void
zc_vhost_unregister(struct vhost_port *vp)
{
	/* It waits for the event thread, which may be waiting for the lock. */
	zc_control_unlock();
	rte_vhost_driver_unregister(vp->path);
	zc_control_lock();
	TAILQ_REMOVE(&vports, vp, next);
}

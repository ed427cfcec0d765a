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
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_vhost.h>

#include <linux/virtio_net.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/quiesce.h"
#include "../guest/dma.h"
#include "../guest/lost.h"
#include "vhost.h"

#define DRAIN_MS 500
/* Memory tables that buffers may be out of at a time, and how long to wait for it to be fewer. */
#define RETIRED_MOST 8u
#define RETIRED_MS 100

/* What is fully served; everything else that librte_vhost would offer is masked. */
#define FEATURES \
	((1ULL << VIRTIO_NET_F_CTRL_VQ) | (1ULL << VIRTIO_NET_F_CTRL_RX) | \
			(1ULL << VIRTIO_NET_F_GUEST_ANNOUNCE) | (1ULL << VIRTIO_NET_F_MQ) | \
			(1ULL << VIRTIO_NET_F_MTU) | (1ULL << VIRTIO_F_VERSION_1) | \
			(1ULL << VIRTIO_F_ANY_LAYOUT) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC) | \
			(1ULL << VIRTIO_RING_F_EVENT_IDX) | \
			(1ULL << VHOST_USER_F_PROTOCOL_FEATURES))
/* With guest-tso: the guest takes merged frames, and so posts large buffers. */
#define LARGE_RECEIVE ((1ULL << VIRTIO_NET_F_GUEST_CSUM) | (1ULL << VIRTIO_NET_F_GUEST_TSO4))
/* Not postcopy, which needs pages that aren't there yet: zero copy needs them pinned. */
#define PROTOCOL_FEATURES \
	((1ULL << VHOST_USER_PROTOCOL_F_MQ) | (1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK) | \
			(1ULL << VHOST_USER_PROTOCOL_F_NET_MTU) | \
			(1ULL << VHOST_USER_PROTOCOL_F_STATUS))

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

static void
forget_memory(struct vhost_port *vp)
{
	free(vp->mem);
	vp->mem = NULL;
}

/* Learn the table while librte_vhost surely has one: it may lose it with the next message. */
static void
learn_memory(struct vhost_port *vp)
{
	forget_memory(vp);
	if (rte_vhost_get_mem_table(vp->vid, &vp->mem) < 0)
		vp->mem = NULL;
}

static struct zc_map *
make_map(struct vhost_port *vp)
{
	const struct rte_vhost_memory *mem = vp->mem;
	struct zc_region_desc desc[ZC_MAP_REGIONS_MAX];

	if (mem == NULL || mem->nregions > ZC_MAP_REGIONS_MAX) {
		zc_fail(EINVAL, "port %s: %u memory regions, 1 to %u are served", vp->port.name,
				mem != NULL ? mem->nregions : 0, ZC_MAP_REGIONS_MAX);
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

/* ---- the guest ---- */

int
zc_vhost_guest_up(struct vhost_port *vp)
{
	rte_vhost_get_negotiated_features(vp->vid, &vp->features);
	vp->map = make_map(vp);
	if (vp->map == NULL)
		return -rte_errno;
	zc_vhost_rings_attach(vp);
	zc_vhost_bind_sources(vp);
	zc_control_changed();
	return 0;
}

static uint32_t
out_of_all(struct vhost_port *vp)
{
	uint32_t out = 0;

	for (uint16_t i = 0; i < vp->port.nqueues; i++) {
		if (vp->queue[i]->tx.vq.window != NULL)
			out += zc_vhost_complete(&vp->port, i);
	}
	return out;
}

/* Sleep until no buffer is out. Workers go on asking the NIC meanwhile. */
static uint32_t
wait_tx(struct vhost_port *vp, unsigned int ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;
	uint32_t out;

	while ((out = out_of_all(vp)) > 0 && rte_rdtsc() < end)
		usleep(200);
	return out;
}

static void
drain_tx(struct vhost_port *vp)
{
	struct zcnet_port *nic = vp->takes.nic;
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
	zc_vhost_suspend_all(vp, ZC_QUEUE_DOWN);
	zc_vhost_disarm_all(vp);
	drain_tx(vp);
	zc_vhost_retire_map(vp, vp->map);
	zc_vhost_rings_detach(vp);
	vp->map = NULL;
	vp->dma_ready = false;
	vp->dma_told = false;
	zc_vhost_reap_maps(vp);
	zc_control_changed();
}

void
zc_vhost_look_at_memory(struct vhost_port *vp)
{
	if (vp->map == NULL || !zc_map_is_lost(vp->map))
		return;
	ZC_LOG(WARNING,
			"port %s: the guest's memory vanished: its file shrank, or no hugepage was "
			"left for it: no guest until it starts its device again",
			vp->port.name);
	zc_vhost_guest_down(vp);
}

/*
 * Old maps that buffers still point into are memory that stays mapped: a NIC that receives nothing
 * would keep as many of them as a front-end cares to send.
 */
static void
bound_retired(struct vhost_port *vp)
{
	if (zc_vhost_reap_maps(vp) < RETIRED_MOST)
		return;
	zc_vhost_bind_sources(vp);
	for (unsigned int ms = 0; ms < RETIRED_MS; ms++) {
		if (zc_vhost_reap_maps(vp) < RETIRED_MOST)
			return;
		usleep(1000);
	}
	ZC_LOG(WARNING,
			"port %s: buffers are out of each of the last %u memory tables: no guest "
			"until it starts its device again",
			vp->port.name, RETIRED_MOST);
	zc_vhost_guest_down(vp);
}

/*
 * The front-end sent a new memory table while the device runs; librte_vhost has unmapped the old
 * one already.
 */
static void
guest_memory_changed(struct vhost_port *vp)
{
	struct zc_map *map = make_map(vp);

	if (map == NULL) {
		ZC_LOG(ERR, "%s; the guest keeps its old memory", zc_last_error());
		return;
	}
	zc_vhost_suspend_all(vp, ZC_QUEUE_HELD);
	zc_vhost_retire_map(vp, vp->map);
	vp->map = map;
	/* What is new may not be mapped for DMA yet: neither sent nor armed until it is. */
	vp->dma_ready = vp->takes.dma != NULL && zc_dma_is_ready(map, vp->takes.dma);
	zc_vhost_apply_limits(vp);
	zc_vhost_rings_refresh(vp);
	zc_vhost_resume_held(vp);
	bound_retired(vp);
}

/* ---- librte_vhost's callbacks ---- */

static struct vhost_port *
find_running(int vid)
{
	struct vhost_port *vp = find_by_vid(vid);

	return vp != NULL && vp->vid == vid && vp->running ? vp : NULL;
}

/* When the message fails librte_vhost is left without a table, and after_message() isn't called. */
static enum rte_vhost_msg_result
before_message(int vid, void *msg)
{
	enum rte_vhost_msg_result ret = RTE_VHOST_MSG_RESULT_ERR;
	struct vhost_port *vp;

	/* What comes now may read rings through librte_vhost's own mapping. */
	zc_lost_guard_thread();
	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL)
		ret = zc_vhost_msg_check(vp, msg);
	vp = find_running(vid);
	if (vp != NULL && ret == RTE_VHOST_MSG_RESULT_NOT_HANDLED && zc_vhost_msg_is_table(msg))
		forget_memory(vp);
	zc_control_unlock();
	return ret;
}

static enum rte_vhost_msg_result
after_message(int vid, void *msg)
{
	struct vhost_port *vp;

	if (!zc_vhost_msg_is_table(msg))
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	zc_vhost_msg_table_taken();
	zc_control_lock();
	vp = find_running(vid);
	if (vp != NULL) {
		learn_memory(vp);
		if (vp->map != NULL)
			guest_memory_changed(vp);
	}
	zc_control_unlock();
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops extern_ops = {
	.pre_msg_handle = before_message,
	.post_msg_handle = after_message,
};

static void
set_enabled(struct vhost_port *vp, uint16_t vring, bool enabled)
{
	struct vhost_queue *q = vp->queue[vring / 2];

	if (vring % 2 == 1)
		q->tx_enabled = enabled;
	else
		q->rx_enabled = enabled;
}

/* The device of the front-end that is served is ready. */
static int
device_up(struct vhost_port *vp)
{
	int ret;

	vp->running = true;
	learn_memory(vp);
	ret = vp->port.started ? zc_vhost_guest_up(vp) : 0;
	if (ret < 0) {
		ZC_LOG(ERR, "%s", zc_last_error());
		vp->running = false;
		return ret;
	}
	ZC_LOG(NOTICE, "port %s: guest connected, features %#jx", vp->port.name,
			(uintmax_t)vp->features);
	return 0;
}

/* The front-end before it is gone. */
static void
serve_waiting(struct vhost_port *vp)
{
	vp->vid = vp->waiting.vid;
	vp->waiting.vid = -1;
	for (uint16_t i = 0; i < 2 * vp->port.nqueues; i++)
		set_enabled(vp, i, vp->vid >= 0 && (vp->waiting.enabled >> i & 1));
	if (vp->vid >= 0 && vp->waiting.ready)
		device_up(vp);
}

/*
 * One guest a port: a second client of the socket must not touch the first one's rings. A guest
 * that comes back at once may be seen here before its old connection is seen to end.
 */
static int
new_connection(int vid)
{
	struct vhost_port *vp;
	int ret = 0;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp == NULL || (vp->vid >= 0 && vp->waiting.vid >= 0)) {
		ZC_LOG(WARNING, "port %s: a further front-end is refused",
				vp != NULL ? vp->port.name : "?");
		ret = -1;
	} else if (vp->vid < 0) {
		vp->vid = vid;
	} else {
		vp->waiting = (struct vhost_waiting){ .vid = vid };
	}
	if (ret == 0) {
		zc_socket_bound_waits(vp->path);
		rte_vhost_extern_callback_register(vid, &extern_ops, NULL);
	}
	zc_control_unlock();
	return ret;
}

static void
destroy_connection(int vid)
{
	struct vhost_port *vp;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL && vp->waiting.vid == vid)
		vp->waiting.vid = -1;
	else if (vp != NULL && vp->vid == vid)
		serve_waiting(vp);
	zc_control_unlock();
}

static int
new_device(int vid)
{
	struct vhost_port *vp;
	int ret = -1;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL && vp->waiting.vid == vid) {
		vp->waiting.ready = true;
		ret = 0;
	} else if (vp != NULL && vp->vid == vid && !vp->running) {
		ret = device_up(vp);
	}
	zc_control_unlock();
	return ret;
}

static void
destroy_device(int vid)
{
	struct vhost_port *vp;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL && vp->waiting.vid == vid)
		vp->waiting.ready = false;
	vp = find_running(vid);
	if (vp != NULL) {
		zc_vhost_guest_down(vp);
		forget_memory(vp);
		vp->running = false;
		ZC_LOG(NOTICE, "port %s: guest gone", vp->port.name);
	}
	zc_control_unlock();
}

static int
change_ring(struct vhost_port *vp, uint16_t vring, bool enable)
{
	if (vring >= 2 * vp->port.nqueues)
		return 0;
	set_enabled(vp, vring, enable);
	if (!vp->running || vp->map == NULL)
		return 0;
	if (enable)
		return zc_vhost_ring_enable(vp, vring);
	/* A ring that is disabled for good goes down with the next tick. */
	zc_vhost_suspend(vp, vring);
	return 0;
}

static int
vring_state_changed(int vid, uint16_t vring, int enable)
{
	struct vhost_port *vp;
	int ret = 0;

	zc_control_lock();
	vp = find_by_vid(vid);
	if (vp != NULL && vp->vid == vid)
		ret = change_ring(vp, vring, enable);
	else if (vp != NULL && vp->waiting.vid == vid && vring < 2 * ZCNET_QUEUES_MAX && enable)
		vp->waiting.enabled |= 1ULL << vring;
	else if (vp != NULL && vp->waiting.vid == vid && vring < 2 * ZCNET_QUEUES_MAX)
		vp->waiting.enabled &= ~(1ULL << vring);
	zc_control_unlock();
	return ret;
}

static const struct rte_vhost_device_ops device_ops = {
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
};

/* ---- the socket ---- */

static pthread_mutex_t registration = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void
zc_vhost_registration_lock(void)
{
	pthread_mutex_lock(&registration);
}

void
zc_vhost_registration_unlock(void)
{
	pthread_mutex_unlock(&registration);
}

static int
offer(struct vhost_port *vp)
{
	uint64_t wanted = FEATURES | (vp->conf.mergeable ? 1ULL << VIRTIO_NET_F_MRG_RXBUF : 0) |
			(vp->conf.guest_tso ? LARGE_RECEIVE : 0);
	uint64_t protocol = 0;

	if (rte_vhost_driver_disable_features(vp->path, ~wanted) < 0 ||
			rte_vhost_driver_get_protocol_features(vp->path, &protocol) < 0 ||
			rte_vhost_driver_set_protocol_features(vp->path,
					protocol & PROTOCOL_FEATURES) < 0)
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
	if (ret < 0)
		zc_vhost_unregister(vp);
	return ret;
}

void
zc_vhost_unregister(struct vhost_port *vp)
{
	/* It waits for the event thread, which may be waiting for the lock. */
	zc_control_unlock();
	zc_vhost_registration_lock();
	rte_vhost_driver_unregister(vp->path);
	zc_vhost_registration_unlock();
	zc_control_lock();
	TAILQ_REMOVE(&vports, vp, next);
}

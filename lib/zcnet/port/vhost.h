/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost port: one guest's virtio-net device. librte_vhost does the socket, zcnet runs the
 * rings.
 *
 *   vhost.c        the port: data path, settings, statistics, creation
 *   vhost_guest.c  a guest comes, goes, changes its memory: librte_vhost's callbacks
 *   vhost_msg.c    what a front-end may say
 *   vhost_ring.c   its rings and the NIC queues armed from them
 *   socket.c       the socket's file
 */
#ifndef ZC_PORT_VHOST_H
#define ZC_PORT_VHOST_H

#include <rte_vhost.h>

#include "port.h"

/** How long a NIC that was stopped may take to give everything back. */
#define AFTER_RELEASE_MS 100

/** A queue pair. Names are the guest's: tx is what it sends. */
struct vhost_queue {
	/* control writes, owner reads */
	uint8_t tx_state; /* enum zc_queue_state */
	uint8_t rx_state;
	/* control */
	bool tx_enabled; /* by the front-end */
	bool rx_enabled;
	bool tx_fault_logged;
	bool rx_fault_logged;
	bool recover;           /* copy while the peer recovers */
	struct zcnet_port *nic; /* whose queue is to be armed from rx, NULL: none */
	uint16_t nic_queue;
	struct zcnet_port *source; /* whose queue is bound: owner of rx.ctor */
	uint16_t source_queue;
	struct zc_tx tx;
	struct zc_rx rx;
} __rte_cache_aligned;

/** A map that buffers may still point into. */
struct vhost_retired {
	struct zc_map *map;
	uint32_t seg[ZCNET_QUEUES_MAX]; /* of each tx, back when seg_done has reached it */
	struct vhost_retired *next;
};

/** A front-end that connected while the one before it is still there: it is served after that. */
struct vhost_waiting {
	int vid;          /* -1: none */
	bool ready;       /* between new_device and destroy_device */
	uint64_t enabled; /* a bit a ring */
};

struct vhost_port {
	struct zcnet_port port;
	/* control */
	struct zcnet_vhost_conf conf; /* strings point to the copies below */
	char path[ZCNET_PATH_MAX];
	char owner[64], group[64];
	int vid; /* librte_vhost's number of the guest, -1: none */
	struct vhost_waiting waiting;
	bool running;        /* between new_device and destroy_device */
	uint16_t pairs_most; /* in use until the next tick: others came since the last one */
	uint64_t features;   /* negotiated */
	struct rte_vhost_memory
			*mem; /* librte_vhost's table that map is made from, NULL: unknown */
	struct zc_map *map;
	bool dma_ready; /* NICs can reach all of map */
	bool dma_told;  /* that they can't, since they could last */
	struct vhost_retired *retired;
	struct rte_mempool *copy_mp; /* for copies to who has no pool for them */
	struct zc_port_takes takes;
	struct vhost_queue *queue[ZCNET_QUEUES_MAX];
	TAILQ_ENTRY(vhost_port) next;
};

static inline struct vhost_port *
vhost_port(const struct zcnet_port *port)
{
	return (struct vhost_port *)(uintptr_t)port;
}

/**
 * librte_vhost calls back with its own lock held, which registering takes: registering and
 * unregistering exclude each other. To be taken before the control lock. Recursive.
 */
void zc_vhost_registration_lock(void);
void zc_vhost_registration_unlock(void);

/** Offer or take the connection. 0 or what zc_fail() gave. */
int zc_vhost_register(struct vhost_port *vp);

/** Close the connection; the guest is told. Drops and takes the control lock. */
void zc_vhost_unregister(struct vhost_port *vp);

/**
 * @name Take up a guest whose device runs, and let go of it: all buffers back, ring positions
 * stored.
 */
/**@{*/
int zc_vhost_guest_up(struct vhost_port *vp);
void zc_vhost_guest_down(struct vhost_port *vp);

/** Let go of a guest whose memory has gone away. */
void zc_vhost_look_at_memory(struct vhost_port *vp);
/**@}*/

/** Can NICs reach all memory that the guest may give them? */
static inline bool
zc_vhost_is_reachable(const struct vhost_port *vp)
{
	return vp->takes.dma == NULL || vp->dma_ready;
}

/** Put settings, what the peer takes, and whether memory can be reached in force. */
void zc_vhost_apply_limits(struct vhost_port *vp);

/** Put what frames that aren't in this guest's buffers are counted as in force. */
void zc_vhost_name_copies(struct vhost_port *vp);

/** @name Rings, numbered as vhost-user does: 2i receives, 2i + 1 sends, from the guest's view. */
/**@{*/
/** Attach the rings that the front-end enabled; they are held then. */
void zc_vhost_rings_attach(struct vhost_port *vp);

/** The rings lie elsewhere now. They are suspended. */
void zc_vhost_rings_refresh(struct vhost_port *vp);

/** Store ring positions with librte_vhost and let go. Nothing is out or armed. */
void zc_vhost_rings_detach(struct vhost_port *vp);

/** The front-end enabled a ring, or changed one that is. 0 or what zc_fail() gave. */
int zc_vhost_ring_enable(struct vhost_port *vp, uint16_t vring);

/** Hold one ring that isn't down. Nobody touches it when this returns. */
void zc_vhost_suspend(struct vhost_port *vp, uint16_t vring);

/** Hold all rings, or take them down. */
void zc_vhost_suspend_all(struct vhost_port *vp, enum zc_queue_state state);

/** Held rings that are enabled go on. */
void zc_vhost_resume_held(struct vhost_port *vp);

/** Rings that were disabled and did not come back at once go down; new ones get streams. */
void zc_vhost_settle_rings(struct vhost_port *vp);

/** Throw away what guests send on rings that are started and disabled. */
void zc_vhost_discard_disabled(struct vhost_port *vp);

/** Log, once each, queues that broke the rules. */
void zc_vhost_report_faults(struct vhost_port *vp);

/** Get every armed buffer back from the NICs. The receive rings are suspended. */
void zc_vhost_disarm_all(struct vhost_port *vp);
/**@}*/

/** Buffers may still point into @p map: keep it until they are back. The rings are suspended. */
void zc_vhost_retire_map(struct vhost_port *vp, struct zc_map *map);

/** Bind constructors of live queues, after the source or the zero-copy setting changed. */
void zc_vhost_bind_sources(struct vhost_port *vp);

/** Bind constructors that aren't, and let them go on arming, after memory was mapped for DMA. */
void zc_vhost_arm_all(struct vhost_port *vp);

/** Free maps that nothing points into any more. @return those that are left */
unsigned int zc_vhost_reap_maps(struct vhost_port *vp);

/**
 * Judge a message before librte_vhost acts on it; what is refused loses its file descriptors, and
 * what librte_vhost has lost of the message before is closed. Runs on: its event thread.
 *
 * @param msg  as an external handler gets it
 * @return what the handler is to answer; NOT_HANDLED: librte_vhost may have it
 */
enum rte_vhost_msg_result zc_vhost_msg_check(const struct vhost_port *vp, void *msg);

/** The table that was let through last is in use: its descriptors are librte_vhost's. */
void zc_vhost_msg_table_taken(void);

/** Is it a memory table? */
bool zc_vhost_msg_is_table(const void *msg);

/**
 * Bound how long connections of the socket at @p path can keep librte_vhost's event thread, which
 * waits for the rest of a message, and for room for an answer.
 */
void zc_socket_bound_waits(const char *path);

/** Remove a socket at @p path that nobody listens on. Anything else there is an error. */
int zc_socket_remove_stale(const char *port, const char *path);

/** Check that user and group exist. */
int zc_socket_check(const struct zcnet_vhost_conf *conf);

/** Set owner, group and mode as configured. */
int zc_socket_own(const struct zcnet_vhost_conf *conf);

#endif

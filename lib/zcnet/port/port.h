/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One interface over guests and NICs: bursts of mbufs in and out of (port, queue).
 *
 * The four data-path calls run on the lcore that owns the queue, and may be called whatever
 * state the port is in: a queue that isn't live gives nothing, and drops or refuses what it is
 * given. Control takes a queue away by changing its state and waiting with zc_quiesce_wait().
 */
#ifndef ZC_PORT_PORT_H
#define ZC_PORT_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <rte_mbuf.h>

#include <zcnet/port.h>
#include <zcnet/stats.h>

#include "../guest/iommu.h"
#include "../zcopy/ctor.h"
#include "../zcopy/rx.h"
#include "../zcopy/tx.h"

/**
 * Frames of a burst. A turn costs about 450 cycles whatever it moves (clocks, polling the other
 * way, publishing), as much as 15 frames; beyond 64 the mbufs of a burst begin to leave the cache.
 */
#define ZC_BURST 64

/** What the data path does with a (port, queue). Control writes it, the owner reads it. */
enum zc_queue_state {
	ZC_QUEUE_DOWN, /* nothing there, or stopped: frames for it are dropped */
	ZC_QUEUE_HELD, /* control is changing something: frames wait */
	ZC_QUEUE_LIVE,
};

/** What a port that sends takes from the one that it is bound to. */
struct zc_port_takes {
	bool attached;               /* guest memory */
	struct zc_iommu *dma;        /* that must know it first, NULL: none */
	struct zcnet_port *nic;      /* that can be told to give it back, NULL: none */
	struct rte_mempool *copy_mp; /* for copies, NULL: any */
	bool shared;                 /* with other guests */
	uint16_t segs_max;
	uint16_t frame_min; /* bytes */
	uint32_t frame_max;
};

/** What giving back to a guest has come to. */
struct zc_done {
	uint32_t out; /* guest buffers still out */
	bool worked;  /* used entries were published, or the guest was interrupted */
};

struct zc_port_ops {
	/* data path, owner of the queue */

	/** Frames that came in. */
	uint16_t (*rx)(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
	/** Send. @return frames consumed; the rest stays the caller's, who tries again */
	uint16_t (*tx)(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
	/** Give back to the guest what is done. NULL: nothing to do */
	struct zc_done (*complete)(struct zcnet_port *port, uint16_t queue, uint64_t now);
	/**
	 * Tell the guest what it was given by tx(). @return it was interrupted. NULL: nobody to
	 * tell
	 */
	bool (*notify)(struct zcnet_port *port, uint16_t queue);
	/**
	 * Ask the NIC for finished transmits. NULL: nothing to ask.
	 *
	 * @return true when it is done with everything it was given, though mbufs may still be out
	 */
	bool (*reap)(struct zcnet_port *port, uint16_t queue);
	/** Everything that came from the queue was sent. NULL: nobody waits for it */
	void (*all_done)(struct zcnet_port *port, uint16_t queue);

	/** Count frames that came from the queue and were freed under way. Also for control. */
	void (*dropped)(struct zcnet_port *port, uint16_t queue, enum zcnet_queue_counter why,
			uint16_t n);
	/** State of the queue as a source; a stream stands still while it is ZC_QUEUE_HELD. */
	const uint8_t *(*source_state)(struct zcnet_port *port, uint16_t queue);

	/* control, lock held */

	int (*start)(struct zcnet_port *port);
	int (*stop)(struct zcnet_port *port);
	/** The port is stopped. May drop and take the lock again. */
	void (*destroy)(struct zcnet_port *port);
	void (*info)(const struct zcnet_port *port, struct zcnet_port_info *info);
	/** Add one queue's counters to @p stats, and set the gauges. */
	void (*stats)(const struct zcnet_port *port, enum zcnet_dir dir, uint16_t queue,
			struct zcnet_queue_stats *stats);
	void (*stats_clear)(struct zcnet_port *port);
	/** Queues that carry traffic at present. */
	uint16_t (*queues_used)(const struct zcnet_port *port);
	void (*takes)(const struct zcnet_port *port, struct zc_port_takes *takes);
	/** The queue's page constructor, or NULL when it can't be armed. ethdev only, else NULL */
	struct zc_ctor *(*ctor)(struct zcnet_port *port, uint16_t queue);
	/**
	 * Make the NIC give back everything it holds of guests: receive buffers and transmits.
	 * ethdev only
	 */
	void (*release)(struct zcnet_port *port);
	/**
	 * The same for what one queue receives into, and the others go on where the NIC can do
	 * that. ethdev only
	 */
	void (*release_rx)(struct zcnet_port *port, uint16_t queue);
	/** Regular work, about every 10 ms. */
	void (*tick)(struct zcnet_port *port, uint64_t now);
};

struct zcnet_port {
	/* data path: constant */
	const struct zc_port_ops *ops;
	/* control */
	char name[ZCNET_NAME_MAX];
	enum zcnet_port_type type;
	uint16_t nqueues;
	bool started;
	bool zerocopy;
	uint16_t split; /* bytes of its frames that come in a host mbuf of their own; ethdev */
	void *bound;    /* who uses the port: connection, share; NULL: nobody */
	int8_t worker[ZCNET_QUEUES_MAX]; /* index of the worker that owns a queue, -1: none */
	TAILQ_ENTRY(zcnet_port) next;
};

/** Check name and queue count, and that the name is free. 0 or what zc_fail() gave. */
int zc_port_check(const char *name, uint16_t queues);

/** Enter the port in the list; the caller has filled what is special to it. */
void zc_port_add(struct zcnet_port *port, const struct zc_port_ops *ops, const char *name,
		enum zcnet_port_type type, uint16_t queues, bool zerocopy);

/** Take the port out of the list. */
void zc_port_remove(struct zcnet_port *port);

/** @name Vhost ports only. Lock held. */
/**@{*/
struct zc_tx *zc_vhost_tx(struct zcnet_port *port, uint16_t queue);

/**
 * Arm @p queue's buffers on a NIC queue from now on, whenever a guest is there. NULL, 0: no
 * more.
 */
void zc_vhost_set_source(struct zcnet_port *port, uint16_t queue, struct zcnet_port *nic,
		uint16_t nic_queue);

/**
 * What the peer takes; decides with the port's own settings how frames are taken from the
 * guest.
 */
void zc_vhost_set_takes(struct zcnet_port *port, const struct zc_port_takes *takes);

/**
 * Give back to the guest all that is done. Nobody polls the queue.
 *
 * @return guest buffers still out
 */
uint32_t zc_vhost_complete(struct zcnet_port *port, uint16_t queue);

/** Copy instead of attaching while the peer recovers. */
void zc_vhost_set_recover(struct zcnet_port *port, uint16_t queue, bool on);
/**@}*/

/** ethdev: false while the link is down or the NIC is gone. */
bool zc_ethdev_link_up(const struct zcnet_port *port);

#endif

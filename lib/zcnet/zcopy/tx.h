/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames out of a guest.
 *
 * zc_tx_take() turns posted chains into mbufs. A short frame is copied into a host mbuf; the
 * payload of a longer one is attached to segment slots: mbufs of a pool of our own that are
 * taken in turn and come back by being freed, on whichever lcore. zc_tx_poll() publishes the
 * chains whose segments are all back.
 *
 *   segments    seg_done ............. seg_head      count up for ever; slot = low bits
 *                  |  out, with the NIC   |
 *   window      next_used ............ next_avail    each knows which segment it waits for
 *
 * Segments are used in turn, so a slot can only be used again after its mbuf came back: a late
 * free can't hit a slot that is in use again. Copied chains wait for nothing but the chains
 * before them: used entries are in avail order.
 */
#ifndef ZC_ZCOPY_TX_H
#define ZC_ZCOPY_TX_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "../core/counters.h"
#include "../vq/vq.h"
#include "pool.h"

/** Segment slots of a queue: the most guest buffers that can be out. */
#define ZC_TX_SLOTS 1024
/** Of a segment number: its slot. */
#define ZC_TX_SLOT_MASK (ZC_TX_SLOTS - 1)
/** Host mbufs fetched from the copy pool at a time. */
#define ZC_TX_SPARE 32
/**
 * Bytes after which a burst ends, so that one queue's jumbo frames don't hold up the others on
 * its worker.
 */
#define ZC_TX_BURST_BYTES (256 * 1024)

/** Why payload is copied whatever its length. */
enum zc_tx_copy {
	ZC_TX_ATTACH,       /* it isn't */
	ZC_TX_COPY_OFF,     /* this port or its peer doesn't do zero copy */
	ZC_TX_COPY_DMA,     /* NICs can't reach all of the guest's memory */
	ZC_TX_COPY_RECOVER, /* the peer NIC stalled or lost its link */
};

/**
 * What the peer takes, and how this queue is set. Control writes single fields at any time; the
 * owner reads each once.
 */
struct zc_tx_limits {
	uint32_t threshold;    /* bytes; shorter frames are copied */
	uint32_t frame_max;    /* bytes of the longest frame the peer takes */
	uint16_t header_bytes; /* bytes copied in front of attached payload */
	uint16_t out_max;      /* segments out at a time, 1..ZC_TX_SLOTS */
	uint16_t segs_max;     /* segments of one frame the peer takes, at least 1 */
	uint16_t frame_min;    /* bytes of the shortest frame the peer takes, at least 14 */
	uint8_t copy;          /* enum zc_tx_copy */
};

struct zc_tx {
	/* owner */
	struct zc_vq vq;
	/* [vq.size]: the chain at a position is done when seg_done has reached this */
	uint32_t *seg_end;
	uint32_t seg_head; /* next segment to attach */
	uint32_t seg_back; /* segments before this one are back in the pool */
	/* NICs are done with segments before this one, though a driver may keep the mbufs */
	uint32_t seg_done;
	uint32_t out_peak; /* control may lower */
	uint32_t mark_seg; /* segment that the age is told by, and when it was already out */
	uint64_t mark_tsc;
	uint64_t seen_tsc;    /* when the owner last looked */
	uint64_t publish_tsc; /* when used entries were last published */
	/* turns to be passed over: what malformed and long chains cost is paid in turns */
	uint32_t debt;
	bool fault_counted;
	bool idle; /* nothing was taken the last time */
	uint16_t nspare;
	struct rte_mbuf *spare[2 * ZC_TX_SPARE];
	struct zc_counters counters;
	/* control, constant while the queue is live */
	struct rte_mempool *copy_mp;
	uint32_t copy_room;      /* bytes that fit an mbuf of it */
	uint64_t publish_cycles; /* for which used entries may be held back */
	struct rte_mbuf **slot;  /* [ZC_TX_SLOTS] */
	struct zc_pool pool;
	/* control */
	struct zc_tx_limits limits;
	/* any lcore sets with release order when a segment comes back, the owner clears */
	uint8_t back[ZC_TX_SLOTS] __rte_cache_aligned;
};

/**
 * Create the slots of a queue, for the lifetime of the port. Runs on: control threads.
 *
 * @param copy_mp host mbufs for copies, each with room for 256 bytes at least; outlives the queue
 */
int zc_tx_init(struct zc_tx *tx, const char *name, struct rte_mempool *copy_mp, int socket);

/** False when segments are still out: nothing was freed then. */
bool zc_tx_fini(struct zc_tx *tx);

/**
 * Begin and end serving a guest's ring. Segments of an earlier guest may still be out. Runs on:
 * control, not live.
 */
int zc_tx_attach(struct zc_tx *tx, const struct zc_vq_conf *conf);
void zc_tx_detach(struct zc_tx *tx);

/**
 * Take frames the guest has queued.
 *
 * Each mbuf points into guest memory or is a copy. The guest gets the buffer back after the
 * last reference is dropped, on whichever lcore that happens, and the owner's next
 * zc_tx_poll().
 *
 * Runs on: the owner. Never blocks.
 *
 * @return frames taken, 0..n. A malformed chain is a counted drop, not an error.
 */
uint16_t zc_tx_take(struct zc_tx *tx, struct rte_mbuf **pkts, uint16_t n);

/**
 * One turn of the owner: notify of what was published before, publish what is done. While frames
 * keep coming, used entries are held back until they are many, for microseconds; once nothing was
 * taken, all that is done is published.
 *
 * Runs on: the owner.
 *
 * @param now TSC, for the age of the oldest buffer
 * @return something was published, or the guest was interrupted
 */
bool zc_tx_poll(struct zc_tx *tx, uint64_t now);

/** Is there anything for zc_tx_poll() to do, now or later? */
static inline bool
zc_tx_is_busy(const struct zc_tx *tx)
{
	return tx->vq.next_used != tx->vq.next_avail || zc_vq_owes_kick(&tx->vq);
}

/**
 * Publish all that is done, and notify the guest.
 *
 * Runs on: the owner; control while the queue is not live.
 */
void zc_tx_complete(struct zc_tx *tx, uint64_t now);

/**
 * The NIC has sent everything it was given, and the stream holds nothing. Runs on: the owner.
 */
static inline void
zc_tx_all_done(struct zc_tx *tx)
{
	__atomic_store_n(&tx->seg_done, tx->seg_head, __ATOMIC_RELAXED);
}

/** Count a queue that broke the rules, once. */
static inline void
zc_tx_count_fault(struct zc_tx *tx)
{
	if (likely(tx->vq.fault == ZC_VQ_OK || tx->fault_counted))
		return;
	tx->fault_counted = true;
	ZC_COUNT(&tx->counters, broken, 1);
}

/** Guest buffers out. Exact for the owner, recent for others. */
static inline uint32_t
zc_tx_out(const struct zc_tx *tx)
{
	/* In this order the difference is never negative. */
	uint32_t done = __atomic_load_n(&tx->seg_done, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&tx->seg_head, __ATOMIC_RELAXED) - done;
}

/**
 * TSC cycles for which the oldest buffer has been out at least, by when the owner last looked: a
 * worker that wasn't scheduled is no slow NIC. 0 when none is out.
 */
uint64_t zc_tx_age(const struct zc_tx *tx);

/** Count segments that came back. For a queue without a guest. Runs on: control. */
void zc_tx_collect(struct zc_tx *tx);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page constructor of one NIC receive queue: the mempool from which the driver refills its
 * ring.
 *
 * While a guest's receive queue is bound to it, mbufs are dispensed that point at the guest's
 * posted buffers ("armed"), so that the NIC writes frames where the guest wants them. Else, and
 * where no posted buffer fits, they point at the mbuf's own host buffer (a "bounce").
 *
 * Three orders have to agree: avail, arrival, used. The NIC takes buffers first-in first-out,
 * so it is enough that the number of mbufs with the NIC equals the number of posted chains
 * taken and not yet filled; the oldest frame then belongs to the oldest such chain. An armed
 * mbuf adds one to both sides. When the sides differ:
 *
 *   more chains than mbufs   an armed buffer came back without a frame for it: a hole.
 *                            A bounce is dispensed for it and takes no chain.
 *   more mbufs than chains   bounces were dispensed when the guest had nothing posted.
 *                            Chains are taken as their holes before anything more is armed.
 *
 * With split, a frame's first bytes come in a host mbuf of another mempool, and what is dispensed
 * here is for the rest alone: it is armed that much further into the guest's buffer.
 *
 * How frames are placed when they arrive is in rx.c. Only for drivers that receive first-in
 * first-out (port/driver.c).
 */
#ifndef ZC_ZCOPY_CTOR_H
#define ZC_ZCOPY_CTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ring.h>

#include "pool.h"

struct zc_rx;

struct zc_ctor {
	/* control while the queue is not polled, else constant */
	/* guest queue to arm from, NULL: host buffers only; read by the owner at each refill */
	struct zc_rx *rx;
	/* guest queue whose buffers may be armed still; equals rx but while that is suspended */
	struct zc_rx *bound;
	bool disarmed; /* host buffers only, whatever rx says */
	/* while a NIC starts: mbufs beyond these are never filled, 0: all are */
	uint16_t park_after;
	unsigned int owner; /* lcore that polls the NIC queue */
	uint16_t capacity;  /* bytes the NIC may write into one buffer */
	uint16_t split;     /* bytes of a frame that come in a host mbuf ahead of it, 0: none */
	/* owner */
	uint32_t in_nic;     /* mbufs with the driver */
	uint32_t armed;      /* mbufs that point at guest buffers, with the driver or received */
	uint32_t armed_peak; /* control may lower */
	uint32_t armed_old;  /* of these, the ones armed from an older map */
	uint8_t gen;         /* of the guest's map */
	uint32_t nfree;
	struct rte_mbuf **free; /* [pool.size], last in first out */
	struct zc_pool pool;
	/* any lcore: mbufs freed elsewhere than on the owner */
	struct rte_ring *returns;
};

/**
 * Create the constructor of a NIC queue. Runs on: control threads.
 *
 * @param size     mbufs: descriptors of the queue, plus what can be under way
 * @param capacity bytes the NIC may write into one buffer, at most 65535 - RTE_PKTMBUF_HEADROOM
 */
int zc_ctor_init(struct zc_ctor *ctor, const char *name, uint32_t size, uint16_t capacity,
		int socket);

/** Free it; kept, with a log line, while mbufs are out. A zeroed constructor is accepted. */
void zc_ctor_fini(struct zc_ctor *ctor);

/**
 * Account for a receive burst, before anything else looks at its frames: most drivers clear
 * RTE_MBUF_F_EXTERNAL, and a clone of an mbuf that lost it would write a reference count into
 * guest memory. With split, a frame that needed no buffer leaves the one it has: it is one mbuf.
 *
 * Runs on: the owner.
 */
void zc_ctor_received(struct zc_ctor *ctor, struct rte_mbuf **pkts, uint16_t n);

/**
 * Point an mbuf of the constructor at a guest buffer; @p hva and @p iova are where the frame goes.
 * Drivers write behind a headroom; here that is foreign memory, and nobody may use it.
 */
static inline void
zc_arm(struct rte_mbuf *m, uint8_t *hva, uint64_t iova, uint32_t armed)
{
	m->buf_addr = hva - RTE_PKTMBUF_HEADROOM;
	m->buf_iova = iova - RTE_PKTMBUF_HEADROOM;
	zc_priv(m)->armed = armed;
}

/**
 * Take in mbufs that other lcores freed. Runs on: the owner; control while the queue is not
 * polled.
 */
void zc_ctor_collect(struct zc_ctor *ctor);

#endif

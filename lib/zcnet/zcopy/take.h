/* SPDX-License-Identifier: BSD-3-Clause */
/* What the ways of taking a chain share, see take.c: the figures of a burst, and making mbufs. */
#ifndef ZC_ZCOPY_TAKE_H
#define ZC_ZCOPY_TAKE_H

#include <string.h>

#include <rte_memcpy.h>

#include "tx.h"

/* rte_mbuf counts the bytes of a segment in 16 bits. */
#define ZC_SEG_BYTES_MAX UINT16_MAX

/* Figures of one burst, added to the counters at its end. */
struct zc_take_burst {
	struct zc_tx_limits limits;
	uint32_t room;   /* segments that may still be attached */
	uint32_t walked; /* descriptors of chains that aren't a single one */
	uint32_t frames;
	uint32_t bytes;
	uint32_t zc_frames;
	uint32_t zc_bytes;
	uint32_t small;  /* copied, shorter than the threshold */
	uint32_t forced; /* copied whatever their length */
};

/**
 * A run of chains that are all alike and simple, by the way that suits the next one.
 *
 * @return chains taken; 0: the next one has to be looked at as a whole, or there is no room
 */
uint16_t zc_take_run(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts,
		uint16_t n);

/* ---- mbufs ---- */

/* What is the same in all mbufs of a kind, as it lies in struct rte_mbuf from rearm_data on. */
struct zc_mbuf_kind {
	uint16_t data_off;
	uint16_t refcnt;
	uint16_t nb_segs;
	uint16_t port;
	uint64_t ol_flags;
};

static const struct zc_mbuf_kind zc_guest_mbuf = { 0, 1, 1, RTE_MBUF_PORT_INVALID,
	RTE_MBUF_F_EXTERNAL };
static const struct zc_mbuf_kind zc_copy_mbuf = { RTE_PKTMBUF_HEADROOM, 1, 1, RTE_MBUF_PORT_INVALID,
	0 };

/* Everything of an mbuf that was used before but where its buffer is. */
static inline void
zc_mbuf_begin(struct rte_mbuf *m, const struct zc_mbuf_kind *kind, uint32_t len)
{
	memcpy(&m->rearm_data, kind, sizeof(*kind));
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
}

static inline void
zc_mbuf_attach(struct rte_mbuf *m, uint8_t *hva, uint64_t iova, uint32_t len)
{
	m->buf_addr = hva;
	m->buf_iova = iova;
	m->buf_len = len;
	zc_mbuf_begin(m, &zc_guest_mbuf, len);
}

/* Point the mbuf of segment @seg at guest memory. */
static inline struct rte_mbuf *
zc_take_attach(struct zc_tx *tx, uint32_t seg, uint8_t *hva, uint64_t iova, uint32_t len)
{
	struct rte_mbuf *m = tx->slot[seg & ZC_TX_SLOT_MASK];

	tx->back[seg & ZC_TX_SLOT_MASK] = 0;
	zc_mbuf_attach(m, hva, iova, len);
	return m;
}

/* Host mbufs for @n frames, at most ZC_TX_SPARE, come to lie at the end. @return for how many */
static inline uint32_t
zc_take_spare(struct zc_tx *tx, uint32_t n)
{
	if (unlikely(tx->nspare < n) &&
			rte_mempool_get_bulk(tx->copy_mp, (void **)&tx->spare[tx->nspare],
					ZC_TX_SPARE) == 0)
		tx->nspare += ZC_TX_SPARE;
	return RTE_MIN(n, (uint32_t)tx->nspare);
}

/* A host mbuf for @len bytes, or NULL. They come from the pool many at a time. */
static inline struct rte_mbuf *
zc_take_host_mbuf(struct zc_tx *tx, uint32_t len)
{
	struct rte_mbuf *m;

	if (unlikely(zc_take_spare(tx, 1) == 0))
		return NULL;
	m = tx->spare[--tx->nspare];
	zc_mbuf_begin(m, &zc_copy_mbuf, len);
	return m;
}

/* Up to this length frames are copied in whole blocks: fewer decisions, and no call. */
#define ZC_COPY_BLOCKS_MOST 256u
#define ZC_COPY_BLOCK 64u

/* Bytes that are read when @len are copied; none of them beyond the region. */
#define ZC_COPY_READS(len) RTE_ALIGN_CEIL((uint32_t)(len), ZC_COPY_BLOCK)

/* Fill a host mbuf, which has room for ZC_COPY_READS(@len) bytes. */
static __rte_always_inline void
zc_mbuf_copy(struct rte_mbuf *m, const uint8_t *hva, uint32_t len)
{
	uint8_t *to = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

	zc_mbuf_begin(m, &zc_copy_mbuf, len);
	/* For many bytes the C library is faster: it isn't bound to what -march allows. */
	if (unlikely(len > ZC_COPY_BLOCKS_MOST)) {
		memcpy(to, hva, len);
		return;
	}
	for (uint32_t off = 0; off < len; off += ZC_COPY_BLOCK)
		rte_mov64(to + off, hva + off);
}

/* A host mbuf with a copy of @len bytes, which fit it. NULL: out of host mbufs */
static inline struct rte_mbuf *
zc_take_copied(struct zc_tx *tx, const uint8_t *hva, uint32_t len)
{
	struct rte_mbuf *m = zc_take_host_mbuf(tx, len);

	if (likely(m != NULL))
		zc_mbuf_copy(m, hva, len);
	return m;
}

#endif

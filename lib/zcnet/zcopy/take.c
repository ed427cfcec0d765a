/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking what a guest has queued: from posted chains to mbufs. See tx.h for the idea.
 *
 * Three ways, tried in this order. Each reads the descriptors for itself, so that what one has
 * checked is never what another uses:
 *
 *   take_plain_...() a run of chains that are one descriptor each: read and checked, then attached,
 *                    copied, or attached but for their first bytes
 *   take_pieces()    a run of chains of several descriptors, attached while they are walked
 *   take_any()       whatever is left: walked first, judged as a whole, then attached or copied
 *
 * The first two are in take_run.c.
 */
#include <rte_ether.h>

#include "take.h"

/* Where frames are counted that are copied whatever their length. */
static const enum zcnet_queue_counter forced_counter[] = {
	[ZC_TX_COPY_OFF] = ZCNET_Q_copy_off,
	[ZC_TX_COPY_DMA] = ZCNET_Q_copy_dma,
	[ZC_TX_COPY_RECOVER] = ZCNET_Q_copy_recover,
};

/* ---- anything ---- */

enum taken {
	TAKEN,   /* a frame */
	DROPPED, /* counted, nothing to forward */
	NO_ROOM, /* try again when segments are back */
};

/* A frame being put together. Lengths and segments are written to its head at the end. */
struct frame {
	struct rte_mbuf *head;
	struct rte_mbuf *tail;
	uint32_t nsegs;
	uint32_t len;
};

static inline void
frame_append(struct frame *frame, struct rte_mbuf *m)
{
	if (frame->head == NULL)
		frame->head = m;
	else
		frame->tail->next = m;
	frame->tail = m;
	frame->nsegs++;
	frame->len += m->data_len;
}

static inline struct rte_mbuf *
frame_end(const struct frame *frame)
{
	frame->head->nb_segs = frame->nsegs;
	frame->head->pkt_len = frame->len;
	return frame->head;
}

/* Attach the pieces of a chain. There are slots for all of them. */
static void
attach_chain(struct zc_tx *tx, const struct zc_chain *chain, struct frame *frame)
{
	for (uint32_t i = 0; i < chain->nseg; i++) {
		const struct zc_seg *seg = &chain->seg[i];
		uint32_t len;

		for (uint32_t off = 0; off < seg->len; off += len) {
			len = RTE_MIN(seg->len - off, (uint32_t)ZC_SEG_BYTES_MAX);
			frame_append(frame,
					zc_take_attach(tx, tx->seg_head++, seg->hva + off,
							seg->iova + off, len));
		}
	}
}

/*
 * Copy the first @bytes of a chain to host mbufs; the chain keeps the rest. False: out of host
 * mbufs.
 */
static bool
copy_chain(struct zc_tx *tx, struct zc_chain *chain, uint32_t bytes, struct frame *frame)
{
	uint32_t i = 0, off = 0, left = bytes;

	while (left > 0) {
		struct rte_mbuf *m = zc_take_host_mbuf(tx, 0);
		uint32_t room;

		if (m == NULL)
			return false;
		for (room = rte_pktmbuf_tailroom(m); room > 0 && left > 0;) {
			const struct zc_seg *seg = &chain->seg[i];
			uint32_t n = RTE_MIN(RTE_MIN(seg->len - off, room), left);

			memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), seg->hva + off,
					n);
			m->data_len += n;
			room -= n;
			left -= n;
			off += n;
			if (off == seg->len) {
				off = 0;
				i++;
			}
		}
		frame_append(frame, m);
	}
	zc_chain_trim(chain, bytes);
	return true;
}

static uint32_t
segments_of(const struct zc_chain *chain)
{
	uint32_t n = chain->nseg;

	for (uint32_t i = 0; i < chain->nseg; i++)
		n += (chain->seg[i].len - 1) / ZC_SEG_BYTES_MAX;
	return n;
}

/* Attach the payload (zc_frames), or copy it, and for which reason? */
static enum zcnet_queue_counter
way_of(const struct zc_tx_limits *limits, uint32_t nsegs, uint32_t len)
{
	if (len < limits->frame_min)
		return ZCNET_Q_copy_short;
	if (len < limits->threshold || len <= limits->header_bytes)
		return ZCNET_Q_copy_small;
	if (limits->copy != ZC_TX_ATTACH)
		return forced_counter[limits->copy];
	if (nsegs > limits->segs_max || nsegs > limits->out_max)
		return ZCNET_Q_copy_segs;
	return ZCNET_Q_zc_frames;
}

static enum taken
drop(struct zc_tx *tx, const struct frame *frame, enum zcnet_queue_counter why)
{
	rte_pktmbuf_free(frame->head);
	tx->counters.value[why]++;
	return DROPPED;
}

/* Zeroes at the end of a copied frame that is shorter than the peer takes. */
static void
pad(struct frame *frame, uint32_t len)
{
	struct rte_mbuf *m = frame->tail;

	memset(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), 0, len - frame->len);
	m->data_len += len - frame->len;
	frame->len = len;
}

/* Any layout: walk, then attach or copy. */
static __rte_noinline enum taken
take_any(struct zc_tx *tx, struct zc_take_burst *burst, uint16_t head, struct rte_mbuf **pkt)
{
	struct zc_chain *chain = &tx->vq.chain;
	struct frame frame = { 0 };
	enum zcnet_queue_counter way;
	uint32_t nsegs, len, copy;

	bool good = zc_vq_chain(&tx->vq, head, false, chain) == 0 &&
			zc_chain_trim(chain, tx->vq.hdr_len) == 0;

	burst->walked += chain->walked;
	if (!good) {
		tx->debt += chain->walked;
		return drop(tx, &frame, ZCNET_Q_drop_bad_chain);
	}
	len = chain->len;
	if (len < RTE_ETHER_HDR_LEN || len > burst->limits.frame_max) {
		tx->debt += chain->walked;
		return drop(tx, &frame, ZCNET_Q_drop_bad_size);
	}
	nsegs = segments_of(chain) + (burst->limits.header_bytes > 0);
	way = way_of(&burst->limits, nsegs, len);
	if (way == ZCNET_Q_zc_frames && nsegs > burst->room)
		return NO_ROOM;
	copy = way == ZCNET_Q_zc_frames ? burst->limits.header_bytes : len;
	if (copy > 0 && !copy_chain(tx, chain, copy, &frame))
		return drop(tx, &frame, ZCNET_Q_drop_no_mbuf);
	if (way == ZCNET_Q_zc_frames) {
		attach_chain(tx, chain, &frame);
		burst->room -= nsegs;
		burst->zc_bytes += len;
	} else if (frame.nsegs > burst->limits.segs_max) {
		return drop(tx, &frame, ZCNET_Q_drop_segs);
	} else if (len < burst->limits.frame_min) {
		pad(&frame, burst->limits.frame_min);
	}
	tx->counters.value[way]++;
	*pkt = frame_end(&frame);
	return TAKEN;
}

/* ---- a burst ---- */

static enum taken
take_one(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkt)
{
	uint16_t pos = tx->vq.next_avail;
	uint16_t head = zc_vq_head(&tx->vq, pos);
	enum taken what;

	if (unlikely(head >= tx->vq.size)) {
		zc_vq_break(&tx->vq, ZC_VQ_BAD_HEAD);
		return NO_ROOM;
	}
	what = take_any(tx, burst, head, pkt);
	if (what == NO_ROOM)
		return what;
	if (what == TAKEN) {
		burst->frames++;
		burst->bytes += (*pkt)->pkt_len;
	}
	*zc_vq_entry(&tx->vq, pos) = zc_vq_used(head, 0);
	tx->seg_end[pos & tx->vq.mask] = tx->seg_head;
	tx->vq.next_avail = pos + 1;
	return what;
}

static uint32_t
room(const struct zc_tx *tx, const struct zc_tx_limits *limits)
{
	uint32_t out = zc_tx_out(tx), kept = tx->seg_head - tx->seg_back;
	uint32_t room = limits->out_max > out ? limits->out_max - out : 0;

	return RTE_MIN(room, ZC_TX_SLOTS - kept);
}

static void
count(struct zc_tx *tx, const struct zc_take_burst *burst)
{
	ZC_COUNT(&tx->counters, frames, burst->frames);
	ZC_COUNT(&tx->counters, bytes, burst->bytes);
	ZC_COUNT(&tx->counters, zc_frames, burst->zc_frames);
	ZC_COUNT(&tx->counters, zc_bytes, burst->zc_bytes);
	ZC_COUNT(&tx->counters, copy_small, burst->small);
	if (burst->forced > 0)
		tx->counters.value[forced_counter[burst->limits.copy]] += burst->forced;
	tx->out_peak = RTE_MAX(tx->out_peak, zc_tx_out(tx));
}

uint16_t
zc_tx_take(struct zc_tx *tx, struct rte_mbuf **pkts, uint16_t n)
{
	struct zc_take_burst burst = { .limits = tx->limits };
	uint16_t left, begin = tx->vq.next_avail;

	if (unlikely(tx->debt > 0)) {
		tx->debt--;
		return 0;
	}
	left = RTE_MIN(n, zc_vq_avail(&tx->vq));
	zc_tx_count_fault(tx);
	if (left == 0) {
		tx->idle = true;
		return 0;
	}
	burst.room = room(tx, &burst.limits);
	zc_vq_prefetch_used(&tx->vq, begin, left);
	while (left > 0 && burst.bytes < ZC_TX_BURST_BYTES && burst.walked < ZC_WALK_TURN) {
		uint16_t run = zc_take_run(tx, &burst, pkts + burst.frames, left);

		if (run == 0 && take_one(tx, &burst, pkts + burst.frames) == NO_ROOM)
			break;
		left -= run > 0 ? run : 1;
	}
	tx->debt += burst.walked / ZC_WALK_TURN;
	tx->idle = tx->vq.next_avail == begin;
	count(tx, &burst);
	return burst.frames;
}

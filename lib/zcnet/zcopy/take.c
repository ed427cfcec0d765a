/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking what a guest has queued: from posted chains to mbufs. See tx.h for the idea.
 *
 * Three ways, tried in this order. Each reads the descriptors for itself, so that what one has
 * checked is never what another uses:
 *
 *   take_plain()     a run of chains that are one descriptor each, attached or copied whole
 *   take_pieces()    one chain of any number of descriptors, attached while it is walked
 *   take_any()       whatever is left: walked first, judged as a whole, then attached or copied
 *
 * They are kept apart as functions for the registers' sake: together in one, the loops would keep
 * their state on the stack.
 */
#include <string.h>

#include <rte_ether.h>

#include "tx.h"

/* rte_mbuf counts the bytes of a segment in 16 bits. */
#define SEG_BYTES_MAX UINT16_MAX

/* Where frames are counted that are copied whatever their length. */
static const enum zcnet_queue_counter forced_counter[] = {
	[ZC_TX_COPY_OFF] = ZCNET_Q_copy_off,
	[ZC_TX_COPY_DMA] = ZCNET_Q_copy_dma,
	[ZC_TX_COPY_RECOVER] = ZCNET_Q_copy_recover,
};

/* Figures of one burst, added to the counters at its end. */
struct burst {
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

/* ---- mbufs ---- */

/* Everything of an mbuf that was used before but where its buffer is. */
static inline void
mbuf_begin(struct rte_mbuf *m, uint16_t data_off, uint64_t ol_flags, uint32_t len)
{
	m->data_off = data_off;
	m->refcnt = 1;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	m->ol_flags = ol_flags;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
}

/* Point the mbuf of segment @seg at guest memory. */
static inline struct rte_mbuf *
attach(struct zc_tx *tx, uint32_t seg, uint8_t *hva, uint64_t iova, uint32_t len)
{
	struct rte_mbuf *m = tx->slot[seg & ZC_TX_SLOT_MASK];

	tx->back[seg & ZC_TX_SLOT_MASK] = 0;
	m->buf_addr = hva;
	m->buf_iova = iova;
	m->buf_len = len;
	mbuf_begin(m, 0, RTE_MBUF_F_EXTERNAL, len);
	return m;
}

/* An empty host mbuf, or NULL. They come from the pool many at a time. */
static inline struct rte_mbuf *
host_mbuf(struct zc_tx *tx)
{
	struct rte_mbuf *m;

	if (unlikely(tx->nspare == 0)) {
		if (rte_mempool_get_bulk(tx->copy_mp, (void **)tx->spare, ZC_TX_SPARE) < 0)
			return NULL;
		tx->nspare = ZC_TX_SPARE;
	}
	m = tx->spare[--tx->nspare];
	mbuf_begin(m, RTE_PKTMBUF_HEADROOM, 0, 0);
	return m;
}

/* A host mbuf with a copy of @len bytes, which fit it. NULL: out of host mbufs */
static __rte_noinline struct rte_mbuf *
copied(struct zc_tx *tx, const uint8_t *hva, uint32_t len)
{
	struct rte_mbuf *m = host_mbuf(tx);

	if (likely(m != NULL)) {
		memcpy(rte_pktmbuf_mtod(m, void *), hva, len);
		m->pkt_len = len;
		m->data_len = len;
	}
	return m;
}

/* ---- chains of one descriptor ---- */

/*
 * Header and frame in one descriptor, in the region of the last one and not at its end, neither too
 * short nor too long: nearly all there is. State is in locals, since stores to mbufs may alias it.
 *
 * @return chains taken; the one after them is something else, or nothing
 */
static __rte_noinline uint16_t
take_plain(struct zc_tx *tx, struct burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	const struct zc_vq_view ring = zc_vq_view(&tx->vq);
	const struct zc_region hot = tx->vq.hot;
	const uint32_t hdr_len = tx->vq.hdr_len;
	const uint32_t longest = RTE_MIN(burst->limits.frame_max, SEG_BYTES_MAX);
	const uint32_t shortest = burst->limits.frame_min;
	const uint32_t threshold = burst->limits.threshold;
	const uint32_t attach_from = burst->limits.copy == ZC_TX_ATTACH ? threshold : UINT32_MAX;
	const uint32_t begin = tx->seg_head;
	uint32_t *seg_end = tx->seg_end;
	uint32_t seg = begin, last_seg = seg + (burst->limits.header_bytes == 0 ? burst->room : 0);
	uint32_t bytes = burst->bytes, zc_bytes = 0, small = 0;
	uint16_t pos = tx->vq.next_avail, i;
	uint64_t last;

	if (longest < shortest || !zc_region_last(&hot, hdr_len + longest, &last))
		return 0;
	for (i = 0; i < n && bytes < ZC_TX_BURST_BYTES; i++, pos++) {
		uint32_t slot = pos & ring.mask, len;
		uint16_t head = __atomic_load_n(&ring.head[slot], __ATOMIC_RELAXED);
		struct vring_desc desc;
		struct rte_mbuf *m;
		uint64_t off;

		if (unlikely(head >= ring.size))
			break;
		desc = zc_desc_read(&ring.desc[head]);
		len = desc.len - hdr_len;
		off = desc.addr - hot.gpa;
		/* A length below the least has wrapped, and is above the most. */
		if (unlikely(desc.flags != 0 || off > last || len - shortest > longest - shortest))
			break;
		off += hdr_len;
		if (len >= attach_from) {
			if (unlikely(seg == last_seg))
				break;
			m = attach(tx, seg++, hot.hva + off, hot.iova + off, len);
			zc_bytes += len;
		} else {
			m = len <= tx->copy_room ? copied(tx, hot.hva + off, len) : NULL;
			if (unlikely(m == NULL))
				break;
			small += len < threshold;
		}
		pkts[i] = m;
		bytes += len;
		ring.window[slot] = (struct vring_used_elem){ .id = head, .len = 0 };
		seg_end[slot] = seg;
	}
	burst->room -= seg - begin;
	burst->frames += i;
	burst->zc_frames += seg - begin;
	burst->small += small;
	burst->forced += i - (seg - begin) - small;
	burst->bytes = bytes;
	burst->zc_bytes += zc_bytes;
	tx->seg_head = seg;
	tx->vq.next_avail = pos;
	return i;
}

/* ---- chains of several descriptors, or with a header segment ---- */

/* The frame from @m on isn't taken after all: its mbufs are as they were. */
static void
pieces_undo(struct zc_tx *tx, struct rte_mbuf *m)
{
	if (m != NULL && m->pool == tx->copy_mp)
		tx->nspare++;
	while (m != NULL) {
		struct rte_mbuf *next = m->next;

		m->next = NULL;
		m = next;
	}
}

/* May a frame of @len bytes go out as it was attached? */
static inline bool
is_attachable(const struct zc_tx_limits *limits, uint32_t len)
{
	return len >= limits->frame_min && len >= limits->threshold && len <= limits->frame_max;
}

/* What the walks of a burst share. */
struct walk {
	struct zc_region hot; /* of the last piece */
	uint64_t last;        /* offset in it from which the longest piece fits; near_end: none */
	bool near_end;
	uint32_t hdr_len; /* of the virtio-net header */
	uint32_t header;  /* bytes to be copied into a segment of their own */
	uint32_t seg;     /* next to attach */
	uint32_t last_seg;
	uint32_t most; /* segments of a frame */
};

static inline void
walk_in(struct walk *w, const struct zc_region *region)
{
	w->hot = *region;
	w->near_end = !zc_region_last(region, w->hdr_len + SEG_BYTES_MAX, &w->last);
}

/*
 * Attach the pieces of a chain while walking it: the ring's own descriptors, or one table. The walk
 * is bounded by the segments that may go out and by the size of the ring; one piece more may be the
 * virtio-net header alone.
 *
 * @return the frame; NULL, with nothing taken, for all that needs to be looked at as a whole
 */
static inline struct rte_mbuf *
walk(struct zc_tx *tx, struct walk *w, uint16_t head, const struct zc_tx_limits *limits)
{
	struct zc_vq *vq = &tx->vq;
	const struct vring_desc *table = vq->desc;
	const uint32_t last_seg = w->seg + RTE_MIN(w->last_seg - w->seg, w->most);
	uint32_t count = vq->size, skip = w->hdr_len, seg = w->seg, bytes = 0, nsegs;
	struct vring_desc desc = zc_vq_desc(vq, head);
	struct rte_mbuf *first = NULL, **link = &first;

	if (desc.flags == VRING_DESC_F_INDIRECT) {
		table = zc_vq_table(vq, desc, &count);
		if (unlikely(table == NULL))
			return NULL;
		desc = zc_desc_read(table);
	}
	for (;;) {
		uint64_t off = desc.addr - w->hot.gpa;
		uint32_t len = desc.len - skip;

		/* A length below what is skipped has wrapped, and is above the most. */
		if (unlikely(len > SEG_BYTES_MAX || desc.len == 0 ||
				    (desc.flags & ~VRING_DESC_F_NEXT) != 0))
			goto undo;
		if (unlikely(w->near_end || off > w->last)) {
			if (!zc_vq_holds(vq, desc.addr, desc.len))
				goto undo;
			walk_in(w, &vq->hot);
			off = desc.addr - w->hot.gpa;
		}
		off += skip;
		if (unlikely(w->header > 0 && first == NULL && len > 0)) {
			first = len > w->header ? copied(tx, w->hot.hva + off, w->header) : NULL;
			if (first == NULL)
				return NULL;
			link = &first->next;
			off += w->header;
			len -= w->header;
			bytes = w->header;
		}
		if (likely(len > 0)) {
			if (unlikely(seg == last_seg))
				goto undo;
			*link = attach(tx, seg++, w->hot.hva + off, w->hot.iova + off, len);
			link = &(*link)->next;
			bytes += len;
		}
		if (!(desc.flags & VRING_DESC_F_NEXT))
			break;
		if (unlikely(desc.next >= count))
			goto undo;
		skip = 0;
		desc = zc_desc_read(&table[desc.next]);
	}
	if (unlikely(!is_attachable(limits, bytes)))
		goto undo;
	nsegs = seg - w->seg + (w->header > 0);
	first->nb_segs = nsegs;
	first->pkt_len = bytes;
	w->seg = seg;
	return first;

undo:
	pieces_undo(tx, first);
	return NULL;
}

/* A run of chains that can be attached as they are walked. @return chains taken */
static __rte_noinline uint16_t
take_pieces(struct zc_tx *tx, struct burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	const struct zc_tx_limits *limits = &burst->limits;
	const struct zc_vq_view ring = zc_vq_view(&tx->vq);
	struct walk w = {
		.hdr_len = tx->vq.hdr_len,
		.header = limits->header_bytes,
		.seg = tx->seg_head,
		.last_seg = tx->seg_head + burst->room,
		.most = RTE_MIN(limits->segs_max - (limits->header_bytes > 0), ring.size - 1u),
	};
	const uint32_t full = w.seg + ZC_WALK_TURN;
	uint16_t pos = tx->vq.next_avail, i;
	uint32_t bytes = burst->bytes;

	walk_in(&w, &tx->vq.hot);
	for (i = 0; i < n && bytes < ZC_TX_BURST_BYTES && w.seg < full; i++, pos++) {
		uint32_t slot = pos & ring.mask;
		uint16_t head = __atomic_load_n(&ring.head[slot], __ATOMIC_RELAXED);

		pkts[i] = head < ring.size ? walk(tx, &w, head, limits) : NULL;
		if (unlikely(pkts[i] == NULL))
			break;
		bytes += pkts[i]->pkt_len;
		ring.window[slot] = (struct vring_used_elem){ .id = head, .len = 0 };
		tx->seg_end[slot] = w.seg;
	}
	burst->room -= w.seg - tx->seg_head;
	burst->walked += w.seg - tx->seg_head;
	burst->frames += i;
	burst->zc_frames += i;
	burst->zc_bytes += bytes - burst->bytes;
	burst->bytes = bytes;
	tx->seg_head = w.seg;
	tx->vq.next_avail = pos;
	return i;
}

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
			len = RTE_MIN(seg->len - off, (uint32_t)SEG_BYTES_MAX);
			frame_append(frame,
					attach(tx, tx->seg_head++, seg->hva + off, seg->iova + off,
							len));
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
		struct rte_mbuf *m = host_mbuf(tx);
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
		n += (chain->seg[i].len - 1) / SEG_BYTES_MAX;
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
take_any(struct zc_tx *tx, struct burst *burst, uint16_t head, struct rte_mbuf **pkt)
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
take_one(struct zc_tx *tx, struct burst *burst, struct rte_mbuf **pkt)
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
	*zc_vq_entry(&tx->vq, pos) = (struct vring_used_elem){ .id = head, .len = 0 };
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
count(struct zc_tx *tx, const struct burst *burst)
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

/* Is the next chain one descriptor? Nothing relies on the answer. */
static inline bool
looks_plain(const struct zc_tx *tx)
{
	uint16_t head = zc_vq_head(&tx->vq, tx->vq.next_avail);

	return head < tx->vq.size && zc_vq_desc(&tx->vq, head).flags == 0;
}

/* @return chains taken by the way that suits the next one, 0: it needs take_one() */
static inline uint16_t
take_run(struct zc_tx *tx, struct burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	bool attaching = burst->limits.copy == ZC_TX_ATTACH;

	if ((!attaching || burst->limits.header_bytes == 0) && looks_plain(tx))
		return take_plain(tx, burst, pkts, n);
	return attaching ? take_pieces(tx, burst, pkts, n) : 0;
}

uint16_t
zc_tx_take(struct zc_tx *tx, struct rte_mbuf **pkts, uint16_t n)
{
	struct burst burst = { .limits = tx->limits };
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
		uint16_t run = take_run(tx, &burst, pkts + burst.frames, left);

		if (run == 0 && take_one(tx, &burst, pkts + burst.frames) == NO_ROOM)
			break;
		left -= run > 0 ? run : 1;
	}
	tx->debt += burst.walked / ZC_WALK_TURN;
	tx->idle = tx->vq.next_avail == begin;
	count(tx, &burst);
	return burst.frames;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs of chains that are alike: the loops that nearly all frames of a guest go through. They are
 * kept apart as functions for the registers' sake: together in one, they would keep their state on
 * the stack.
 */
#include "take.h"

/* ---- chains of one descriptor ---- */

enum plain {
	ATTACHED,
	HEADED, /* the first bytes in a segment of their own, copied; the rest attached */
	COPIED,
};

/* Frames of one way: from least to most bytes. */
struct plain_limits {
	uint32_t least;
	uint32_t most;
	uint32_t header; /* HEADED: bytes that are copied, fewer than least */
};

/* The frame at @hva. @seg is the segment to attach, if one is. NULL: out of host mbufs */
static __rte_always_inline struct rte_mbuf *
plain_frame(struct zc_tx *tx, const enum plain way, uint32_t seg, uint8_t *hva, uint64_t iova,
		uint32_t len, uint32_t header)
{
	struct rte_mbuf *m;

	if (way == ATTACHED)
		return zc_take_attach(tx, seg, hva, iova, len);
	m = zc_take_copied(tx, hva, way == COPIED ? len : header);
	if (way == HEADED && likely(m != NULL)) {
		m->next = zc_take_attach(tx, seg, hva + header, iova + header, len - header);
		m->nb_segs = 2;
		m->pkt_len = len;
	}
	return m;
}

/*
 * Header and frame in one descriptor, in the region of the last one and not at its end: nearly all
 * there is. State is in locals, since stores to mbufs may alias it. A frame that is none of this
 * way ends the run.
 *
 * @return chains taken; the one after them is something else, or nothing
 */
static __rte_always_inline uint16_t
take_plain(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n,
		const enum plain way, const struct plain_limits limits)
{
	const struct zc_vq_view ring = zc_vq_view(&tx->vq);
	const struct zc_region hot = tx->vq.hot;
	const uint32_t hdr_len = tx->vq.hdr_len;
	const uint32_t last_seg = tx->seg_head + burst->room;
	uint32_t *seg_end = tx->seg_end;
	uint32_t seg = tx->seg_head, bytes = burst->bytes;
	uint16_t pos = tx->vq.next_avail, i;
	uint64_t last;

	if (limits.least > limits.most || !zc_region_last(&hot, hdr_len + limits.most, &last))
		return 0;
	for (i = 0; i < n && bytes < ZC_TX_BURST_BYTES; i++, pos++) {
		uint32_t slot = pos & ring.mask, len;
		uint16_t head = __atomic_load_n(&ring.head[slot], __ATOMIC_RELAXED);
		struct vring_desc desc;
		uint64_t off;

		if (unlikely(head >= ring.size))
			break;
		desc = zc_desc_read(&ring.desc[head]);
		len = desc.len - hdr_len;
		off = desc.addr - hot.gpa;
		/* A length below the least has wrapped, and is above the most. */
		if (unlikely(desc.flags != 0 || off > last ||
				    len - limits.least > limits.most - limits.least))
			break;
		if (way != COPIED && unlikely(seg == last_seg))
			break;
		off += hdr_len;
		pkts[i] = plain_frame(tx, way, seg, hot.hva + off, hot.iova + off, len,
				limits.header);
		if (way != ATTACHED && unlikely(pkts[i] == NULL))
			break;
		seg += way != COPIED;
		bytes += len;
		ring.window[slot] = (struct vring_used_elem){ .id = head, .len = 0 };
		seg_end[slot] = seg;
	}
	burst->room -= seg - tx->seg_head;
	burst->frames += i;
	burst->bytes = bytes;
	tx->seg_head = seg;
	tx->vq.next_avail = pos;
	return i;
}

/* @param header bytes that are copied, 0 with ATTACHED */
static __rte_always_inline uint16_t
take_plain_zc(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n,
		const enum plain way, uint32_t header)
{
	const struct zc_tx_limits *limits = &burst->limits;
	const uint32_t bytes = burst->bytes;
	const struct plain_limits mine = {
		.least = RTE_MAX(RTE_MAX(limits->frame_min, limits->threshold), header + 1),
		.most = RTE_MIN(limits->frame_max, ZC_SEG_BYTES_MAX),
		.header = header,
	};

	n = take_plain(tx, burst, pkts, n, way, mine);
	burst->zc_frames += n;
	burst->zc_bytes += burst->bytes - bytes;
	return n;
}

static __rte_noinline uint16_t
take_plain_attached(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts,
		uint16_t n)
{
	return take_plain_zc(tx, burst, pkts, n, ATTACHED, 0);
}

static __rte_noinline uint16_t
take_plain_headed(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	if (burst->limits.segs_max < 2)
		return 0;
	return take_plain_zc(tx, burst, pkts, n, HEADED, burst->limits.header_bytes);
}

static __rte_noinline uint16_t
take_plain_copied(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	const struct zc_tx_limits *limits = &burst->limits;
	const bool forced = limits->copy != ZC_TX_ATTACH;
	struct plain_limits mine = {
		.least = limits->frame_min,
		.most = RTE_MIN(limits->frame_max, tx->copy_room),
	};
	uint32_t small = 0;

	if (!forced && limits->threshold == 0)
		return 0;
	if (!forced)
		mine.most = RTE_MIN(mine.most, limits->threshold - 1);
	n = take_plain(tx, burst, pkts, n, COPIED, mine);
	for (uint16_t i = 0; i < n; i++)
		small += pkts[i]->data_len < limits->threshold;
	burst->small += small;
	burst->forced += n - small;
	return n;
}

/* ---- chains of several descriptors ---- */

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
	uint64_t fits;        /* offsets in it from which the longest piece fits */
	uint32_t hdr_len;     /* of the virtio-net header */
	uint32_t header;      /* bytes to be copied into a segment of their own */
	uint32_t seg;         /* next to attach */
	uint32_t last_seg;
	uint32_t most; /* segments of a frame */
};

/* Descriptors of one chain: the ring's own, or one indirect table. */
struct table {
	const struct vring_desc *desc;
	uint32_t count;
};

static inline void
walk_in(struct walk *w, const struct zc_region *region)
{
	uint64_t last;

	w->hot = *region;
	w->fits = zc_region_last(region, ZC_SEG_BYTES_MAX, &last) ? last + 1 : 0;
}

/* A piece that can be attached: of one region, which is hot then, and of a length that fits. */
static inline bool
walk_holds(struct zc_vq *vq, struct walk *w, const struct vring_desc *piece)
{
	if (unlikely(piece->len - 1 > ZC_SEG_BYTES_MAX - 1 ||
			    (piece->flags & ~VRING_DESC_F_NEXT) != 0))
		return false;
	if (likely(piece->addr - w->hot.gpa < w->fits))
		return true;
	if (!zc_vq_holds(vq, piece->addr, piece->len))
		return false;
	walk_in(w, &vq->hot);
	return true;
}

/* The descriptor after @piece, which has one. */
static inline bool
walk_next(const struct table *table, struct vring_desc *piece)
{
	if (unlikely(piece->next >= table->count))
		return false;
	*piece = zc_desc_read(&table->desc[piece->next]);
	return true;
}

/* The first descriptor without its virtio-net header, or the one after it if that is all of it. */
static inline bool
walk_begin(struct zc_vq *vq, struct walk *w, struct table *table, uint16_t head,
		struct vring_desc *piece)
{
	*table = (struct table){ vq->desc, vq->size };
	*piece = zc_vq_desc(vq, head);
	if (piece->flags == VRING_DESC_F_INDIRECT) {
		table->desc = zc_vq_table(vq, *piece, &table->count);
		if (unlikely(table->desc == NULL))
			return false;
		*piece = zc_desc_read(table->desc);
	}
	if (unlikely(!walk_holds(vq, w, piece) || piece->len < w->hdr_len))
		return false;
	piece->addr += w->hdr_len;
	piece->len -= w->hdr_len;
	return piece->len > 0 || ((piece->flags & VRING_DESC_F_NEXT) && walk_next(table, piece));
}

static inline uint8_t *
walk_hva(const struct walk *w, const struct vring_desc *piece)
{
	return w->hot.hva + (piece->addr - w->hot.gpa);
}

/* A copy of the first bytes of @piece, which keeps the rest. NULL: they are all there is of it */
static inline struct rte_mbuf *
walk_header(struct zc_tx *tx, struct walk *w, struct vring_desc *piece)
{
	struct rte_mbuf *m;

	if (!walk_holds(&tx->vq, w, piece) || piece->len <= w->header)
		return NULL;
	m = zc_take_copied(tx, walk_hva(w, piece), w->header);
	piece->addr += w->header;
	piece->len -= w->header;
	return m;
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
	const uint32_t last_seg = w->seg + RTE_MIN(w->last_seg - w->seg, w->most);
	struct rte_mbuf *first = NULL, **link = &first;
	uint32_t seg = w->seg, bytes = 0;
	struct vring_desc piece;
	struct table table;

	if (unlikely(!walk_begin(&tx->vq, w, &table, head, &piece)))
		return NULL;
	if (w->header > 0) {
		first = walk_header(tx, w, &piece);
		if (first == NULL)
			return NULL;
		link = &first->next;
		bytes = w->header;
	}
	for (;;) {
		uint64_t off;

		if (unlikely(seg == last_seg || !walk_holds(&tx->vq, w, &piece)))
			goto undo;
		off = piece.addr - w->hot.gpa;
		*link = zc_take_attach(tx, seg++, w->hot.hva + off, w->hot.iova + off, piece.len);
		link = &(*link)->next;
		bytes += piece.len;
		if (!(piece.flags & VRING_DESC_F_NEXT))
			break;
		if (unlikely(!walk_next(&table, &piece)))
			goto undo;
	}
	if (unlikely(!is_attachable(limits, bytes)))
		goto undo;
	first->nb_segs = seg - w->seg + (w->header > 0);
	first->pkt_len = bytes;
	w->seg = seg;
	return first;

undo:
	pieces_undo(tx, first);
	return NULL;
}

/* A run of chains that can be attached as they are walked. @return chains taken */
static __rte_noinline uint16_t
take_pieces(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n)
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

/* ---- which ---- */

/* Is the next chain one descriptor? Nothing relies on the answer. */
static inline bool
looks_plain(const struct zc_tx *tx)
{
	uint16_t head = zc_vq_head(&tx->vq, tx->vq.next_avail);

	return head < tx->vq.size && zc_vq_desc(&tx->vq, head).flags == 0;
}

uint16_t
zc_take_run(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	bool attaching = burst->limits.copy == ZC_TX_ATTACH;
	uint16_t run = 0;

	if (looks_plain(tx)) {
		if (attaching && burst->limits.header_bytes == 0)
			run = take_plain_attached(tx, burst, pkts, n);
		else if (attaching)
			run = take_plain_headed(tx, burst, pkts, n);
		if (run == 0)
			run = take_plain_copied(tx, burst, pkts, n);
	}
	return run == 0 && attaching ? take_pieces(tx, burst, pkts, n) : run;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs of chains that are alike: the loops that nearly all frames of a guest go through. They are
 * kept apart as functions for the registers' sake: together in one, they would keep their state on
 * the stack.
 */
#include "take.h"

/* ---- chains of one descriptor ---- */

/* Chains of a run. */
#define PLAIN_MOST ZC_TX_SPARE
/* A frame that is copied is asked for when the one so many before it is: it may be out of cache. */
#define PLAIN_AHEAD 12

/* Frames in one descriptor each, without their virtio-net headers. */
struct plain_run {
	uint64_t off[PLAIN_MOST + PLAIN_AHEAD]; /* in the hot region */
	uint32_t len[PLAIN_MOST];
	uint32_t n;
	uint32_t bytes;
};

/* Frames of one way. */
struct plain_limits {
	uint32_t least; /* bytes */
	uint32_t most;
	uint32_t reads; /* bytes that are read from where a frame begins, however short it is */
};

/* Chains from the next one on that lie in the ring without a wrap. */
static inline uint32_t
plain_chains(const struct zc_tx *tx, uint32_t n)
{
	const struct zc_vq *vq = &tx->vq;

	return RTE_MIN(RTE_MIN(n, (uint32_t)PLAIN_MOST), vq->size - (vq->next_avail & vq->mask));
}

/* Segments from the next one on that may be attached, and whose slots lie without a wrap. */
static inline uint32_t
plain_segs(const struct zc_tx *tx, const struct zc_take_burst *burst)
{
	return RTE_MIN(burst->room, ZC_TX_SLOTS - (tx->seg_head & ZC_TX_SLOT_MASK));
}

/*
 * Read and check chains: header and frame in one descriptor, in the region of the last one and not
 * at its end. That is nearly all there is; what is something else ends the run.
 */
static __rte_noinline void
plain_read(struct zc_tx *tx, const struct zc_take_burst *burst, const struct plain_limits *limits,
		uint32_t n, struct plain_run *run)
{
	const struct zc_vq *vq = &tx->vq;
	const uint32_t first = vq->next_avail & vq->mask, size = vq->size, hdr_len = vq->hdr_len;
	const uint32_t least = limits->least, spread = limits->most - limits->least;
	const uint16_t *heads = &vq->avail->ring[first];
	struct vring_used_elem *used = &vq->window[first];
	const struct vring_desc *desc = vq->desc;
	const uint64_t gpa = vq->hot.gpa;
	uint32_t left = ZC_TX_BURST_BYTES - burst->bytes, bytes = 0;
	uint64_t last;
	size_t i = 0;

	if (least > limits->most ||
			!zc_region_last(&vq->hot, hdr_len + RTE_MAX(limits->most, limits->reads),
					&last))
		n = 0;
	for (; i < n && bytes < left; i++) {
		size_t head = __atomic_load_n(&heads[i], __ATOMIC_RELAXED);
		const struct vring_desc *at = &desc[head];
		uint64_t off;
		uint32_t len;

		if (unlikely(head >= size || __atomic_load_n(&at->flags, __ATOMIC_RELAXED) != 0))
			break;
		off = __atomic_load_n(&at->addr, __ATOMIC_RELAXED) - gpa;
		len = __atomic_load_n(&at->len, __ATOMIC_RELAXED) - hdr_len;
		/* A length below the least has wrapped, and is above the most. */
		if (unlikely(off > last || len - least > spread))
			break;
		run->off[i] = off + hdr_len;
		run->len[i] = len;
		used[i] = zc_vq_used(head, 0);
		bytes += len;
	}
	run->n = i;
	run->bytes = bytes;
}

/* The host mbufs that the run takes. */
static inline struct rte_mbuf **
plain_hosts(struct zc_tx *tx, const struct plain_run *run)
{
	tx->nspare -= run->n;
	return &tx->spare[tx->nspare];
}

/* The run was taken, and each of its chains has @segs segments attached. */
static inline uint16_t
plain_taken(struct zc_tx *tx, struct zc_take_burst *burst, const struct plain_run *run,
		uint32_t segs)
{
	uint32_t *seg_end = &tx->seg_end[tx->vq.next_avail & tx->vq.mask];

	memset(&tx->back[tx->seg_head & ZC_TX_SLOT_MASK], 0, run->n * segs);
	for (uint32_t i = 0; i < run->n; i++)
		seg_end[i] = tx->seg_head + (i + 1) * segs;
	tx->seg_head += run->n * segs;
	burst->room -= run->n * segs;
	tx->vq.next_avail += run->n;
	burst->frames += run->n;
	burst->bytes += run->bytes;
	return run->n;
}

static inline void
plain_count_zc(struct zc_take_burst *burst, const struct plain_run *run)
{
	burst->zc_frames += run->n;
	burst->zc_bytes += run->bytes;
}

/* Frames that are attached, all but the first @header bytes. */
static inline struct plain_limits
plain_limits_zc(const struct zc_tx_limits *limits, uint32_t header)
{
	return (struct plain_limits){
		.least = RTE_MAX(RTE_MAX(limits->frame_min, limits->threshold), header + 1),
		.most = RTE_MIN(limits->frame_max, ZC_SEG_BYTES_MAX),
		.reads = ZC_COPY_READS(header),
	};
}

static __rte_noinline uint16_t
take_plain_attached(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts,
		uint16_t n)
{
	const struct plain_limits limits = plain_limits_zc(&burst->limits, 0);
	struct rte_mbuf **slot = &tx->slot[tx->seg_head & ZC_TX_SLOT_MASK];
	const struct zc_region hot = tx->vq.hot;
	struct plain_run run;

	plain_read(tx, burst, &limits, RTE_MIN(plain_chains(tx, n), plain_segs(tx, burst)), &run);
	for (size_t i = 0; i < run.n; i++) {
		pkts[i] = slot[i];
		zc_mbuf_attach(pkts[i], hot.hva + run.off[i], hot.iova + run.off[i], run.len[i]);
	}
	plain_count_zc(burst, &run);
	return plain_taken(tx, burst, &run, 1);
}

/* The first bytes in a segment of their own, copied; the rest attached. */
static __rte_noinline uint16_t
take_plain_headed(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	const uint32_t header = burst->limits.header_bytes;
	const struct plain_limits limits = plain_limits_zc(&burst->limits, header);
	struct rte_mbuf **slot = &tx->slot[tx->seg_head & ZC_TX_SLOT_MASK];
	const struct zc_region hot = tx->vq.hot;
	struct rte_mbuf **host;
	struct plain_run run;

	if (burst->limits.segs_max < 2)
		return 0;
	n = RTE_MIN(plain_chains(tx, n), plain_segs(tx, burst));
	plain_read(tx, burst, &limits, zc_take_spare(tx, n), &run);
	host = plain_hosts(tx, &run);
	for (size_t i = 0; i < run.n; i++) {
		uint64_t rest = run.off[i] + header;
		struct rte_mbuf *m = host[i];

		zc_mbuf_copy(m, hot.hva + run.off[i], header);
		m->next = slot[i];
		m->nb_segs = 2;
		m->pkt_len = run.len[i];
		zc_mbuf_attach(slot[i], hot.hva + rest, hot.iova + rest, run.len[i] - header);
		pkts[i] = m;
	}
	plain_count_zc(burst, &run);
	return plain_taken(tx, burst, &run, 1);
}

/* By the reason for which they are copied. */
static inline void
plain_count_copied(struct zc_take_burst *burst, const struct plain_run *run)
{
	uint32_t small = 0;

	for (uint32_t i = 0; i < run->n; i++)
		small += run->len[i] < burst->limits.threshold;
	burst->small += small;
	burst->forced += run->n - small;
}

static __rte_noinline uint16_t
take_plain_copied(struct zc_tx *tx, struct zc_take_burst *burst, struct rte_mbuf **pkts, uint16_t n)
{
	const bool forced = burst->limits.copy != ZC_TX_ATTACH;
	struct plain_limits limits = {
		.least = burst->limits.frame_min,
		.most = RTE_MIN(burst->limits.frame_max, tx->copy_room),
	};
	const uint8_t *hot = tx->vq.hot.hva;
	struct rte_mbuf **host;
	struct plain_run run;

	if (!forced && burst->limits.threshold == 0)
		return 0;
	if (!forced)
		limits.most = RTE_MIN(limits.most, burst->limits.threshold - 1);
	limits.reads = ZC_COPY_READS(limits.most);
	plain_read(tx, burst, &limits, zc_take_spare(tx, plain_chains(tx, n)), &run);
	host = plain_hosts(tx, &run);
	for (size_t i = run.n; i < run.n + PLAIN_AHEAD; i++)
		run.off[i] = 0;
	for (size_t i = 0; i < run.n; i++) {
		rte_prefetch0(hot + run.off[i + PLAIN_AHEAD]);
		pkts[i] = host[i];
		zc_mbuf_copy(host[i], hot + run.off[i], run.len[i]);
	}
	plain_count_copied(burst, &run);
	return plain_taken(tx, burst, &run, 0);
}

/* ---- chains of several descriptors ---- */

/* The frame from @m on isn't taken after all: its mbufs are as they were. */
static void
pieces_undo(struct zc_tx *tx, struct rte_mbuf *m)
{
	if (m != NULL && m->pool != tx->pool.mp)
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

/* The next descriptor, which can be attached. */
static inline bool
walk_on(struct zc_vq *vq, struct walk *w, const struct table *table, struct vring_desc *piece)
{
	return walk_next(table, piece) && walk_holds(vq, w, piece);
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
	return piece->len > 0 ||
			((piece->flags & VRING_DESC_F_NEXT) && walk_on(vq, w, table, piece));
}

static inline uint8_t *
walk_hva(const struct walk *w, const struct vring_desc *piece)
{
	return w->hot.hva + (piece->addr - w->hot.gpa);
}

/*
 * A copy of the first bytes of @piece, which keeps the rest. NULL: they are all there is of it, or
 * it is at the end of its region.
 */
static inline struct rte_mbuf *
walk_header(struct zc_tx *tx, struct walk *w, struct vring_desc *piece)
{
	struct rte_mbuf *m;

	if (piece->len <= w->header || piece->addr - w->hot.gpa >= w->fits)
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

	if (unlikely(seg == last_seg || !walk_begin(&tx->vq, w, &table, head, &piece)))
		return NULL;
	if (w->header > 0) {
		first = walk_header(tx, w, &piece);
		if (first == NULL)
			return NULL;
		link = &first->next;
		bytes = w->header;
	}
	for (;;) {
		uint64_t off = piece.addr - w->hot.gpa;

		*link = zc_take_attach(tx, seg++, w->hot.hva + off, w->hot.iova + off, piece.len);
		link = &(*link)->next;
		bytes += piece.len;
		if (!(piece.flags & VRING_DESC_F_NEXT))
			break;
		if (unlikely(seg == last_seg || !walk_on(&tx->vq, w, &table, &piece)))
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
		ring.window[slot] = zc_vq_used(head, 0);
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

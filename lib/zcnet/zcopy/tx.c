/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to switch: attach or copy, and complete. See tx.h for the idea. */
#include "tx.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ether.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "../core/error.h"

#define SLOT_MASK (ZC_TX_SLOTS - 1)
/* rte_mbuf counts the bytes of a segment in 16 bits. */
#define SEG_BYTES_MAX UINT16_MAX

/* ---- the pool: slots are taken by number, not by allocation ---- */

static int
slot_dequeue(struct zc_pool *pool, struct rte_mbuf **obj, unsigned int n)
{
	(void)pool, (void)obj, (void)n;
	return -ENOBUFS;
}

static unsigned int
slot_count(const struct zc_pool *pool)
{
	return pool->size;
}

static const struct zc_pool_calls slot_calls = {
	.dequeue = slot_dequeue,
	.count = slot_count,
};

int
zc_tx_init(struct zc_tx *tx, const char *name, struct rte_mempool *copy_mp, int socket)
{
	const struct zc_pool_conf conf = {
		.name = name,
		.size = ZC_TX_SLOTS,
		.capacity = 0,
		.socket = socket,
		.calls = &slot_calls,
		.back = tx->back,
	};
	int ret;

	memset(tx, 0, sizeof(*tx));
	tx->copy_mp = copy_mp;
	tx->limits = (struct zc_tx_limits){ .out_max = ZC_TX_SLOTS,
		.segs_max = 1,
		.frame_min = RTE_ETHER_HDR_LEN,
		.copy = ZC_TX_COPY_OFF };
	ret = zc_pool_init(&tx->pool, &conf);
	if (ret < 0)
		return ret;
	tx->slot = tx->pool.mbuf;
	return 0;
}

/* ---- life ---- */

/* Marks of eight slots at a time: all set. */
#define EIGHT_BACK 0x0101010101010101ULL

static bool
is_back(const struct zc_tx *tx, uint32_t seg)
{
	/* Acquire: what the NIC did with the buffer happened before we give it to the guest. */
	return __atomic_load_n(&tx->back[seg & SLOT_MASK], __ATOMIC_ACQUIRE);
}

static bool
are_eight_back(const struct zc_tx *tx, uint32_t seg)
{
	const uint64_t *marks = (const uint64_t *)(const void *)tx->back;

	return __atomic_load_n(&marks[(seg & SLOT_MASK) / 8], __ATOMIC_ACQUIRE) == EIGHT_BACK;
}

static void
count_back(struct zc_tx *tx)
{
	uint32_t seg = tx->seg_back, head = tx->seg_head;

	while (seg != head) {
		if (seg % 8 == 0 && head - seg >= 8 && are_eight_back(tx, seg))
			seg += 8;
		else if (is_back(tx, seg))
			seg += 1;
		else
			break;
	}
	__atomic_store_n(&tx->seg_back, seg, __ATOMIC_RELAXED);
	if ((int32_t)(seg - tx->seg_done) > 0)
		__atomic_store_n(&tx->seg_done, seg, __ATOMIC_RELAXED);
}

void
zc_tx_collect(struct zc_tx *tx)
{
	count_back(tx);
}

bool
zc_tx_fini(struct zc_tx *tx)
{
	count_back(tx);
	if (tx->seg_back != tx->seg_head)
		return false;
	zc_pool_fini(&tx->pool);
	return true;
}

int
zc_tx_attach(struct zc_tx *tx, const struct zc_vq_conf *conf)
{
	int ret = zc_vq_init(&tx->vq, conf);

	if (ret < 0)
		return ret;
	tx->seg_end = calloc(conf->size, sizeof(tx->seg_end[0]));
	if (tx->seg_end == NULL) {
		zc_vq_fini(&tx->vq);
		return -ENOMEM;
	}
	tx->debt = 0;
	tx->fault_counted = false;
	zc_vq_suppress(&tx->vq);
	return 0;
}

static inline void
count_fault(struct zc_tx *tx)
{
	if (likely(tx->vq.fault == ZC_VQ_OK || tx->fault_counted))
		return;
	tx->fault_counted = true;
	ZC_COUNT(&tx->counters, broken, 1);
}

void
zc_tx_detach(struct zc_tx *tx)
{
	rte_pktmbuf_free_bulk(tx->spare, tx->nspare);
	tx->nspare = 0;
	count_fault(tx);
	zc_vq_fini(&tx->vq);
	free(tx->seg_end);
	tx->seg_end = NULL;
}

/* ---- segments ---- */

/* Point the next slot at guest memory. */
static inline struct rte_mbuf *
attach(struct zc_tx *tx, uint8_t *hva, uint64_t iova, uint32_t len)
{
	uint32_t slot = tx->seg_head++ & SLOT_MASK;
	struct rte_mbuf *m = tx->slot[slot];

	tx->back[slot] = 0;
	m->buf_addr = hva;
	m->buf_iova = iova;
	m->data_off = 0;
	m->refcnt = 1;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
	m->buf_len = len;
	return m;
}

static inline struct rte_mbuf *
host_mbuf(struct zc_tx *tx)
{
	if (unlikely(tx->nspare == 0)) {
		if (rte_pktmbuf_alloc_bulk(tx->copy_mp, tx->spare, ZC_TX_SPARE) < 0)
			return NULL;
		tx->nspare = ZC_TX_SPARE;
	}
	return tx->spare[--tx->nspare];
}

/* A frame being put together from pieces of guest memory. */
struct frame {
	struct rte_mbuf *head;
	struct rte_mbuf *tail;
};

static inline void
frame_append(struct frame *frame, struct rte_mbuf *m)
{
	if (frame->head == NULL) {
		frame->head = m;
	} else {
		frame->tail->next = m;
		frame->head->nb_segs++;
		frame->head->pkt_len += m->data_len;
	}
	frame->tail = m;
}

/* Attach the pieces of a chain. There are slots for all of them. */
static void
attach_chain(struct zc_tx *tx, const struct zc_chain *chain, struct frame *frame)
{
	for (uint32_t i = 0; i < chain->nseg; i++) {
		const struct zc_seg *seg = &chain->seg[i];
		uint32_t off = 0;

		while (unlikely(seg->len - off > SEG_BYTES_MAX)) {
			frame_append(frame,
					attach(tx, seg->hva + off, seg->iova + off, SEG_BYTES_MAX));
			off += SEG_BYTES_MAX;
		}
		frame_append(frame, attach(tx, seg->hva + off, seg->iova + off, seg->len - off));
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

			rte_memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len),
					seg->hva + off, n);
			m->data_len += n;
			room -= n;
			left -= n;
			off += n;
			if (off == seg->len) {
				off = 0;
				i++;
			}
		}
		m->pkt_len = m->data_len;
		frame_append(frame, m);
	}
	zc_chain_trim(chain, bytes);
	return true;
}

/* Zeroes at the end of a copied frame that is shorter than the peer takes. */
static void
pad(struct rte_mbuf *m, uint32_t len)
{
	memset(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), 0, len - m->data_len);
	m->data_len = len;
	m->pkt_len = len;
}

/* ---- one chain ---- */

enum taken {
	TAKEN,   /* a frame */
	DROPPED, /* counted, nothing to forward */
	NO_ROOM, /* try again when segments are back */
};

/* Figures of one burst, added to the counters at its end. */
struct burst {
	struct zc_tx_limits limits;
	uint32_t shortest; /* bytes of a chain with the shortest frame */
	uint32_t room;     /* segments that may still be attached */
	uint32_t most;     /* bytes at which it ends; 0 once enough descriptors were walked */
	uint32_t walked;   /* of chains that aren't a single one */
	uint32_t bytes;
	uint32_t zc_frames;
	uint32_t zc_bytes;
	uint32_t small;
};

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
	if (limits->copy == ZC_TX_COPY_OFF)
		return ZCNET_Q_copy_off;
	if (limits->copy == ZC_TX_COPY_DMA)
		return ZCNET_Q_copy_dma;
	if (limits->copy == ZC_TX_COPY_RECOVER)
		return ZCNET_Q_copy_recover;
	if (nsegs > limits->segs_max || nsegs > limits->out_max)
		return ZCNET_Q_copy_segs;
	return ZCNET_Q_zc_frames;
}

static uint32_t
room(const struct zc_tx *tx)
{
	uint32_t out = zc_tx_out(tx), kept = tx->seg_head - tx->seg_back;
	uint32_t room = tx->limits.out_max > out ? tx->limits.out_max - out : 0;

	return RTE_MIN(room, ZC_TX_SLOTS - kept);
}

static enum taken
drop(struct zc_tx *tx, struct frame *frame, enum zcnet_queue_counter why)
{
	rte_pktmbuf_free(frame->head);
	tx->counters.value[why]++;
	return DROPPED;
}

/* Any layout: walk, then attach or copy. */
static enum taken
take_chain(struct zc_tx *tx, struct burst *burst, uint16_t head, struct rte_mbuf **pkt)
{
	struct zc_chain *chain = &tx->vq.chain;
	struct frame frame = { 0 };
	enum zcnet_queue_counter way;
	uint32_t nsegs, len, copy;
	bool good = zc_vq_chain(&tx->vq, head, false, chain) == 0 &&
			zc_chain_trim(chain, tx->vq.hdr_len) == 0;

	burst->walked += chain->walked;
	if (unlikely(burst->walked >= ZC_WALK_TURN))
		burst->most = 0;
	if (!good) {
		ZC_COUNT(&tx->counters, drop_bad_chain, 1);
		tx->debt += chain->walked;
		return DROPPED;
	}
	len = chain->len;
	if (len < RTE_ETHER_HDR_LEN || len > burst->limits.frame_max) {
		ZC_COUNT(&tx->counters, drop_bad_size, 1);
		tx->debt += chain->walked;
		return DROPPED;
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
	} else if (frame.head->nb_segs > burst->limits.segs_max) {
		return drop(tx, &frame, ZCNET_Q_drop_segs);
	} else if (len < burst->limits.frame_min) {
		pad(frame.head, burst->limits.frame_min);
	}
	tx->counters.value[way]++;
	burst->bytes += frame.head->pkt_len;
	*pkt = frame.head;
	return TAKEN;
}

/*
 * Header and frame in one descriptor and one region, neither too short nor too long: nearly all
 * there is.
 */
static inline enum taken
take_one(struct zc_tx *tx, struct burst *burst, uint16_t head, struct rte_mbuf **pkt)
{
	struct vring_desc desc = zc_vq_desc(&tx->vq, head);
	uint32_t len = desc.len - tx->vq.hdr_len;
	struct rte_mbuf *m;
	uint64_t iova;
	uint8_t *hva;

	if (unlikely(desc.flags != 0 || desc.len < burst->shortest || len > SEG_BYTES_MAX))
		return take_chain(tx, burst, head, pkt);
	hva = zc_vq_translate(&tx->vq, desc.addr, desc.len, &iova);
	if (unlikely(hva == NULL || len > burst->limits.frame_max))
		return take_chain(tx, burst, head, pkt);
	if (len < burst->limits.threshold) {
		m = host_mbuf(tx);
		if (unlikely(m == NULL || len > rte_pktmbuf_tailroom(m))) {
			if (m != NULL)
				tx->nspare++;
			return take_chain(tx, burst, head, pkt);
		}
		rte_memcpy(rte_pktmbuf_mtod(m, void *), hva + tx->vq.hdr_len, len);
		m->data_len = len;
		m->pkt_len = len;
		burst->small++;
	} else if (likely(burst->limits.copy == ZC_TX_ATTACH && burst->limits.header_bytes == 0)) {
		if (unlikely(burst->room == 0))
			return NO_ROOM;
		burst->room--;
		m = attach(tx, hva + tx->vq.hdr_len, iova + tx->vq.hdr_len, len);
		burst->zc_frames++;
		burst->zc_bytes += len;
	} else {
		return take_chain(tx, burst, head, pkt);
	}
	burst->bytes += len;
	*pkt = m;
	return TAKEN;
}

uint16_t
zc_tx_take(struct zc_tx *tx, struct rte_mbuf **pkts, uint16_t n)
{
	struct burst burst = { .limits = tx->limits, .most = ZC_TX_BURST_BYTES };
	uint16_t avail = zc_vq_avail(&tx->vq);
	uint16_t taken = 0;

	if (unlikely(tx->debt > 0)) {
		tx->debt--;
		return 0;
	}
	count_fault(tx);
	burst.shortest = tx->vq.hdr_len + burst.limits.frame_min;
	burst.room = room(tx);
	n = RTE_MIN(n, avail);
	if (n > 0)
		zc_vq_prefetch_used(&tx->vq, tx->vq.next_avail, n);
	while (n-- > 0 && burst.bytes < burst.most) {
		uint16_t pos = tx->vq.next_avail;
		uint16_t head = zc_vq_head(&tx->vq, pos);
		enum taken what;

		if (unlikely(head >= tx->vq.size)) {
			zc_vq_break(&tx->vq, ZC_VQ_BAD_HEAD);
			break;
		}
		what = take_one(tx, &burst, head, &pkts[taken]);
		if (what == NO_ROOM)
			break;
		taken += what == TAKEN;
		*zc_vq_entry(&tx->vq, pos) = (struct vring_used_elem){ .id = head, .len = 0 };
		tx->seg_end[pos & tx->vq.mask] = tx->seg_head;
		tx->vq.next_avail = pos + 1;
	}
	tx->debt += burst.walked / ZC_WALK_TURN;
	ZC_COUNT(&tx->counters, frames, taken);
	ZC_COUNT(&tx->counters, bytes, burst.bytes);
	ZC_COUNT(&tx->counters, zc_frames, burst.zc_frames);
	ZC_COUNT(&tx->counters, zc_bytes, burst.zc_bytes);
	ZC_COUNT(&tx->counters, copy_small, burst.small);
	tx->out_peak = RTE_MAX(tx->out_peak, zc_tx_out(tx));
	return taken;
}

/* ---- completion ---- */

static void
update_mark(struct zc_tx *tx, uint64_t now)
{
	if ((int32_t)(tx->mark_seg - tx->seg_done) > 0)
		return;
	tx->mark_seg = tx->seg_head;
	tx->mark_tsc = now;
}

void
zc_tx_complete(struct zc_tx *tx, uint64_t now)
{
	struct zc_vq *vq = &tx->vq;
	uint16_t pos = vq->next_used;

	count_back(tx);
	tx->seen_tsc = now;
	update_mark(tx, now);
	while (pos != vq->next_avail && (int32_t)(tx->seg_end[pos & vq->mask] - tx->seg_done) <= 0)
		pos++;
	if (pos == vq->next_used)
		return;
	zc_vq_publish(vq, pos);
	if (zc_vq_wants_kick(vq)) {
		zc_vq_kick(vq);
		ZC_COUNT(&tx->counters, kicks_sent, 1);
	} else {
		ZC_COUNT(&tx->counters, kicks_suppressed, 1);
	}
}

uint64_t
zc_tx_age(const struct zc_tx *tx)
{
	uint64_t mark = __atomic_load_n(&tx->mark_tsc, __ATOMIC_RELAXED);
	uint64_t seen = __atomic_load_n(&tx->seen_tsc, __ATOMIC_RELAXED);
	uint32_t seg = __atomic_load_n(&tx->mark_seg, __ATOMIC_RELAXED);

	/* The mark speaks of a segment that may be back by now. */
	if ((int32_t)(seg - __atomic_load_n(&tx->seg_done, __ATOMIC_RELAXED)) <= 0 || seen < mark)
		return 0;
	return seen - mark;
}

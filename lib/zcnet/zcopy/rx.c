/* SPDX-License-Identifier: BSD-3-Clause */
/* Switch to guest: buffers to be armed, delivery in place. See rx.h; copying is in rx_copy.c. */
#include "rx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "ctor.h"

int
zc_rx_attach(struct zc_rx *rx, const struct zc_vq_conf *conf, bool mergeable)
{
	int ret = zc_vq_init(&rx->vq, conf);

	if (ret < 0)
		return ret;
	rx->hdr = calloc(conf->size, sizeof(rx->hdr[0]));
	if (rx->hdr == NULL) {
		zc_vq_fini(&rx->vq);
		return -ENOMEM;
	}
	rx->fill = conf->next_avail;
	rx->mergeable = mergeable;
	rx->fault_counted = false;
	rx->waiting = false;
	rx->debt = 0;
	rx->walked = 0;
	zc_vq_suppress(&rx->vq);
	return 0;
}

static inline void
count_fault(struct zc_rx *rx)
{
	if (likely(rx->vq.fault == ZC_VQ_OK || rx->fault_counted))
		return;
	rx->fault_counted = true;
	ZC_COUNT(&rx->counters, broken, 1);
}

void
zc_rx_detach(struct zc_rx *rx)
{
	count_fault(rx);
	zc_vq_fini(&rx->vq);
	free(rx->hdr);
	rx->hdr = NULL;
}

void
zc_rx_rewind(struct zc_rx *rx)
{
	rx->vq.next_avail = rx->fill;
	rx->vq.seen_avail = rx->fill;
}

/* ---- taking posted chains ---- */

/* Head of the next posted chain, or -1. */
static int
next_head(struct zc_rx *rx)
{
	uint16_t head;

	if (zc_vq_avail(&rx->vq) == 0)
		return -1;
	head = zc_vq_head(&rx->vq, rx->vq.next_avail);
	if (unlikely(head >= rx->vq.size)) {
		zc_vq_break(&rx->vq, ZC_VQ_BAD_HEAD);
		return -1;
	}
	return head;
}

/* The chain with @head is ours now; @hdr is where its header goes when it is armed. */
static void
take(struct zc_rx *rx, uint16_t head, uint8_t *hdr)
{
	uint16_t pos = rx->vq.next_avail++;

	zc_vq_entry(&rx->vq, pos)->id = head;
	rx->hdr[pos & rx->vq.mask] = hdr;
}

bool
zc_rx_take_hole(struct zc_rx *rx)
{
	int head = next_head(rx);

	if (head < 0)
		return false;
	take(rx, head, NULL);
	return true;
}

/* Several descriptors: header and data in one piece, or a piece each. */
static enum zc_rx_take
take_armed_chain(struct zc_rx *rx, uint16_t head, const struct zc_ctor *ctor, struct zc_seg *seg)
{
	const uint32_t frame = ctor->split + ctor->capacity;
	struct zc_chain *chain = &rx->vq.chain;
	uint8_t hdr_len = rx->vq.hdr_len;
	bool good = zc_vq_chain(&rx->vq, head, true, chain) == 0 && chain->len >= hdr_len;

	rx->walked += chain->walked;
	if (!good) {
		zc_vq_break(&rx->vq, ZC_VQ_BAD_CHAIN);
		return ZC_RX_NONE;
	}
	*seg = chain->seg[0];
	if (seg->len == hdr_len && chain->nseg > 1) {
		*seg = chain->seg[1];
	} else if (seg->len > hdr_len) {
		seg->hva += hdr_len;
		seg->iova += hdr_len;
		seg->len -= hdr_len;
	} else {
		seg->len = 0;
	}
	if (seg->len < frame) {
		take(rx, head, NULL);
		return ZC_RX_HOLE;
	}
	/* The NIC would write what we then read: descriptors, or what we have published. */
	if (zc_vq_is_over_ring(&rx->vq, chain->seg[0].hva, hdr_len) ||
			zc_vq_is_over_ring(&rx->vq, seg->hva, frame)) {
		zc_vq_break(&rx->vq, ZC_VQ_BAD_CHAIN);
		return ZC_RX_NONE;
	}
	take(rx, head, chain->seg[0].hva);
	seg->hva += ctor->split;
	seg->iova += ctor->split;
	return ZC_RX_ARMED;
}

uint16_t
zc_rx_arm_run(struct zc_rx *rx, const struct zc_ctor *ctor, struct rte_mbuf *const *m, uint16_t n)
{
	const struct zc_vq *vq = &rx->vq;
	const uint32_t first = vq->next_avail & vq->mask, size = vq->size;
	const uint16_t *heads = &vq->avail->ring[first];
	struct vring_used_elem *used = &vq->window[first];
	const struct vring_desc *desc = vq->desc;
	uint8_t **hdr = &rx->hdr[first];
	const struct zc_region hot = vq->hot;
	const uint32_t ahead = vq->hdr_len + ctor->split, least = ahead + ctor->capacity;
	const uint32_t armed = zc_armed(ctor->gen, vq->next_avail);
	/* Offsets from which the NIC would write over a part of the ring, or nearly. */
	const struct zc_span span = zc_vq_ring_span(vq);
	const uint64_t over = span.begin - (uintptr_t)hot.hva - (least - 1);
	const uint64_t over_len = span.end - span.begin + least - 1;
	/* Without a wrap: one index does for all, and the position is the first one's plus that. */
	const size_t most = RTE_MIN((uint32_t)RTE_MIN(n, zc_vq_avail(&rx->vq)), size - first);
	uint64_t last;
	size_t i;

	if (unlikely(!zc_region_last(&hot, least, &last)))
		return 0;
	for (i = 0; i < most; i++) {
		size_t head = __atomic_load_n(&heads[i], __ATOMIC_RELAXED);
		const struct vring_desc *at = &desc[head];
		uint64_t off;

		if (unlikely(head >= size ||
				    __atomic_load_n(&at->flags, __ATOMIC_RELAXED) !=
						    VRING_DESC_F_WRITE ||
				    __atomic_load_n(&at->len, __ATOMIC_RELAXED) < least))
			break;
		off = __atomic_load_n(&at->addr, __ATOMIC_RELAXED) - hot.gpa;
		if (unlikely(off > last || off - over < over_len))
			break;
		zc_arm(m[i], hot.hva + off + ahead, hot.iova + off + ahead, armed + i);
		used[i].id = head;
		hdr[i] = hot.hva + off;
	}
	rx->vq.next_avail += i;
	return i;
}

enum zc_rx_take
zc_rx_take_armed(struct zc_rx *rx, const struct zc_ctor *ctor, struct zc_seg *seg)
{
	int head = next_head(rx);

	if (head < 0)
		return ZC_RX_NONE;
	return take_armed_chain(rx, head, ctor, seg);
}

/* ---- one frame ---- */

/* The mbuf that the constructor dispensed for a frame, NULL: none was needed. */
static inline struct rte_mbuf *
buffer_of(struct rte_mbuf *m, bool split)
{
	return split ? m->next : m;
}

/*
 * Did the NIC write the frame to the very place, and to nothing but it? With split: what is in the
 * host mbuf fills the room in front, no byte more or less.
 */
static inline bool
is_in_place(const struct zc_ctor *ctor, struct rte_mbuf *m, uint16_t pos, const bool split)
{
	struct rte_mbuf *buf = buffer_of(m, split);

	if (split && (buf == NULL || m->data_len != ctor->split))
		return false;
	return buf->pool == ctor->pool.mp && zc_is_armed_at(zc_priv(buf)->armed, pos) &&
			m->nb_segs == (split ? 2 : 1) && buf->data_off == RTE_PKTMBUF_HEADROOM &&
			m->pkt_len <= (split ? ctor->split : 0u) + ctor->capacity;
}

/*
 * Frames that the NIC wrote in place: only headers are missing. State is in locals, because stores
 * to guest memory may alias it.
 *
 * @return how many, from the front
 */
static __rte_always_inline uint16_t
deliver(struct zc_rx *rx, struct zc_ctor *ctor, struct rte_mbuf **pkts, uint16_t n,
		const bool split)
{
	const uint32_t hdr_len = rx->vq.hdr_len, first = rx->fill & rx->vq.mask;
	struct vring_used_elem *used = &rx->vq.window[first];
	struct rte_mbuf **free = ctor->free + ctor->nfree;
	uint8_t *const *hdr = &rx->hdr[first];
	/* Without a wrap: one index does for all. */
	const size_t most = RTE_MIN(n, rx->vq.size - first);
	const uint16_t fill = rx->fill;
	const uint8_t gen = ctor->gen;
	uint32_t bytes = 0, old = 0;
	size_t i;

	for (i = 0; i < most; i++) {
		struct rte_mbuf *m = pkts[i], *buf;
		uint32_t len = m->pkt_len;

		if (unlikely(!is_in_place(ctor, m, fill + i, split)))
			break;
		buf = buffer_of(m, split);
		old += zc_armed_gen(zc_priv(buf)->armed) != gen;
		zc_priv(buf)->armed = 0;
		zc_rx_write_header(hdr[i], hdr_len);
		if (split) {
			memcpy(rte_pktmbuf_mtod(buf, uint8_t *) - ctor->split,
					rte_pktmbuf_mtod(m, uint8_t *), ctor->split);
			m->next = NULL;
			m->nb_segs = 1;
		}
		used[i].len = len + hdr_len;
		free[i] = buf;
		bytes += len;
	}
	rx->fill += i;
	ctor->nfree += i;
	ctor->armed -= i;
	ctor->armed_old -= old;
	ZC_COUNT(&rx->counters, frames, i);
	ZC_COUNT(&rx->counters, bytes, bytes);
	ZC_COUNT(&rx->counters, zc_frames, i);
	ZC_COUNT(&rx->counters, zc_bytes, bytes);
	return i;
}

static uint16_t
deliver_in_place(struct zc_rx *rx, struct zc_ctor *ctor, struct rte_mbuf **pkts, uint16_t n)
{
	return deliver(rx, ctor, pkts, n, false);
}

/* Likewise, with host mbufs in front, whose bytes no guest has seen before this. */
static __rte_noinline uint16_t
put_split(struct zc_rx *rx, struct rte_mbuf **pkts, uint16_t n)
{
	if (rx->ctor == NULL || rx->ctor->split == 0)
		return 0;
	n = deliver(rx, rx->ctor, pkts, n, true);
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

/* @buf is the mbuf of it that might have been the guest's. */
static enum zcnet_queue_counter
copy_counter(const struct zc_rx *rx, struct rte_mbuf *buf)
{
	if (rx->ctor == NULL || buf->pool != rx->ctor->pool.mp)
		return rx->copy_counter;
	return zc_priv(buf)->armed ? ZCNET_Q_copy_hole : ZCNET_Q_copy_bounce;
}

static inline void
count_copied(struct zc_rx *rx, struct rte_mbuf *m, struct rte_mbuf *buf)
{
	ZC_COUNT(&rx->counters, frames, 1);
	ZC_COUNT(&rx->counters, bytes, m->pkt_len);
	rx->counters.value[copy_counter(rx, buf)]++;
}

/* Copy those that need no more than that. @return how many, from the front */
static uint16_t
put_copies(struct zc_rx *rx, struct rte_mbuf **pkts, uint16_t n)
{
	n = zc_rx_copy_run(rx, pkts, n);
	for (uint16_t i = 0; i < n; i++)
		count_copied(rx, pkts[i], pkts[i]);
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

/* Copy or drop. False: no buffers, and the frame is to wait. */
static bool
put_copy(struct zc_rx *rx, struct rte_mbuf *m)
{
	int drop = zc_rx_copy(rx, m);

	if (drop == ZCNET_Q_drop_no_buffer && rx->full == ZCNET_RX_FULL_WAIT &&
			rx->vq.fault == ZC_VQ_OK)
		return false;
	if (drop == 0)
		count_copied(rx, m, rte_pktmbuf_lastseg(m));
	else
		rx->counters.value[drop]++;
	rte_pktmbuf_free(m);
	return true;
}

/* Once for a burst, however often it is tried again without a frame of it going. */
static void
count_wait(struct zc_rx *rx, bool is_new)
{
	if (is_new || !rx->waiting)
		ZC_COUNT(&rx->counters, waits, 1);
	rx->waiting = true;
}

uint16_t
zc_rx_put(struct zc_rx *rx, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i = 0, run;

	if (unlikely(rx->debt > 0)) {
		rx->debt--;
		return 0;
	}
	zc_vq_prefetch_used(&rx->vq, rx->fill, n);
	while (i < n && rx->walked < ZC_WALK_TURN) {
		if (likely(rx->ctor != NULL && is_in_place(rx->ctor, pkts[i], rx->fill, false)))
			i += deliver_in_place(rx, rx->ctor, pkts + i, n - i);
		else if ((run = put_copies(rx, pkts + i, n - i)) > 0 ||
				(run = put_split(rx, pkts + i, n - i)) > 0)
			i += run;
		else if (put_copy(rx, pkts[i]))
			i++;
		else {
			count_wait(rx, i > 0);
			break;
		}
	}
	if (likely(i == n))
		rx->waiting = false;
	rx->debt = rx->walked / ZC_WALK_TURN;
	rx->walked = 0;
	count_fault(rx);
	zc_vq_publish(&rx->vq, rx->fill);
	return i;
}

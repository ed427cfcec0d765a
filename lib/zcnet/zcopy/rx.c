/* SPDX-License-Identifier: BSD-3-Clause */
/* Switch to guest: deliver in place or copy. See rx.h for the idea. */
#include "rx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_memcpy.h>

#include <linux/virtio_net.h>

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
	rx->debt = 0;
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
take_armed_chain(struct zc_rx *rx, uint16_t head, uint32_t capacity, struct zc_seg *seg)
{
	struct zc_chain *chain = &rx->vq.chain;
	uint8_t hdr_len = rx->vq.hdr_len;

	if (zc_vq_chain(&rx->vq, head, true, chain) < 0 || chain->len < hdr_len) {
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
	if (seg->len < capacity) {
		take(rx, head, NULL);
		return ZC_RX_HOLE;
	}
	/* The NIC would write what we then read: descriptors, or what we have published. */
	if (zc_vq_is_over_ring(&rx->vq, chain->seg[0].hva, hdr_len) ||
			zc_vq_is_over_ring(&rx->vq, seg->hva, capacity)) {
		zc_vq_break(&rx->vq, ZC_VQ_BAD_CHAIN);
		return ZC_RX_NONE;
	}
	take(rx, head, chain->seg[0].hva);
	return ZC_RX_ARMED;
}

uint16_t
zc_rx_arm_run(struct zc_rx *rx, const struct zc_ctor *ctor, struct rte_mbuf *const *m, uint16_t n)
{
	const struct zc_vq_view ring = zc_vq_view(&rx->vq);
	const struct zc_region hot = rx->vq.hot;
	const uint32_t hdr_len = rx->vq.hdr_len, least = hdr_len + ctor->capacity;
	const uint32_t armed = zc_armed(ctor->gen, 0);
	/* Offsets from which the NIC would write over a part of the ring, or nearly. */
	const struct zc_span span = zc_vq_ring_span(&rx->vq);
	const uint64_t over = span.begin - (uintptr_t)hot.hva - (least - 1);
	const uint64_t over_len = span.end - span.begin + least - 1;
	uint16_t avail = zc_vq_avail(&rx->vq), pos = rx->vq.next_avail, i;
	uint8_t **hdr = rx->hdr;
	uint64_t last;

	if (unlikely(!zc_region_last(&hot, least, &last)))
		return 0;
	n = RTE_MIN(n, avail);
	for (i = 0; i < n; i++, pos++) {
		uint32_t slot = pos & ring.mask;
		uint16_t head = __atomic_load_n(&ring.head[slot], __ATOMIC_RELAXED);
		struct vring_desc desc;
		uint64_t off;

		if (unlikely(head >= ring.size))
			break;
		desc = zc_desc_read(&ring.desc[head]);
		off = desc.addr - hot.gpa;
		if (unlikely(desc.flags != VRING_DESC_F_WRITE || desc.len < least || off > last ||
				    off - over < over_len))
			break;
		zc_arm(m[i], hot.hva + off + hdr_len, hot.iova + off + hdr_len, armed | pos);
		ring.window[slot].id = head;
		hdr[slot] = hot.hva + off;
	}
	rx->vq.next_avail = pos;
	return i;
}

enum zc_rx_take
zc_rx_take_armed(struct zc_rx *rx, uint32_t capacity, struct zc_seg *seg)
{
	int head = next_head(rx);

	if (head < 0)
		return ZC_RX_NONE;
	return take_armed_chain(rx, head, capacity, seg);
}

/* ---- copying ---- */

/* Where the next byte of a frame goes, and where it comes from. */
struct cursor {
	const struct rte_mbuf *src;
	uint32_t src_off;
	uint32_t left;
};

/* Fill a chain of guest memory from the cursor. @return bytes copied */
static uint32_t
copy_into(const struct zc_chain *chain, struct cursor *cur)
{
	uint32_t copied = 0;

	for (uint32_t i = 0; i < chain->nseg && cur->left > 0; i++) {
		uint32_t off = 0;

		while (off < chain->seg[i].len && cur->left > 0) {
			uint32_t n = RTE_MIN(cur->src->data_len - cur->src_off,
					chain->seg[i].len - off);

			rte_memcpy(chain->seg[i].hva + off,
					rte_pktmbuf_mtod_offset(cur->src, const uint8_t *,
							cur->src_off),
					n);
			off += n;
			copied += n;
			cur->left -= n;
			cur->src_off += n;
			if (cur->src_off == cur->src->data_len) {
				cur->src = cur->src->next;
				cur->src_off = 0;
			}
		}
	}
	return copied;
}

static void
copy_header(const struct zc_chain *chain, const struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t len)
{
	const uint8_t *src = (const uint8_t *)hdr;

	for (uint32_t i = 0; i < chain->nseg && len > 0; i++) {
		uint32_t n = RTE_MIN(chain->seg[i].len, len);

		memcpy(chain->seg[i].hva, src, n);
		src += n;
		len -= n;
	}
}

/*
 * The chain at @pos, taken from the ring if need be, to be written by us. @return 0 or the
 * counter of the drop
 */
static int
open_position(struct zc_rx *rx, uint16_t pos)
{
	if (pos == rx->vq.next_avail) {
		if (!zc_rx_take_hole(rx))
			return ZCNET_Q_drop_no_buffer;
	} else if (rx->hdr[pos & rx->vq.mask] != NULL) {
		return ZCNET_Q_drop_no_hole;
	}
	if (zc_vq_chain(&rx->vq, zc_vq_entry(&rx->vq, pos)->id, true, &rx->vq.chain) < 0 ||
			rx->vq.chain.len < rx->vq.hdr_len) {
		zc_vq_break(&rx->vq, ZC_VQ_BAD_CHAIN);
		return ZCNET_Q_drop_no_buffer;
	}
	rx->walked += rx->vq.chain.walked;
	return 0;
}

/* num_buffers is known last, and lies in the first buffer. */
static void
write_num_buffers(struct zc_rx *rx, uint16_t pos, uint16_t num)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = { .num_buffers = num };

	if (num > 1 && zc_vq_chain(&rx->vq, zc_vq_entry(&rx->vq, pos)->id, true, &rx->vq.chain) < 0)
		return;
	copy_header(&rx->vq.chain, &hdr, rx->vq.hdr_len);
}

/*
 * Copy a frame to the oldest chains that aren't filled. All of them or none are used up.
 * @return 0 or the counter of the drop
 */
static int
deliver_copy(struct zc_rx *rx, const struct rte_mbuf *m)
{
	struct cursor cur = { .src = m, .left = m->pkt_len };
	uint16_t num = 0;

	while (cur.left > 0) {
		uint16_t pos = rx->fill + num;
		uint32_t hdr_len = num == 0 ? rx->vq.hdr_len : 0;
		int ret;

		if (num > 0 && (!rx->mergeable || num == rx->vq.size))
			return ZCNET_Q_drop_no_fit;
		ret = open_position(rx, pos);
		if (ret != 0)
			return ret;
		if (num == 0) {
			write_num_buffers(rx, pos, 1);
			zc_chain_trim(&rx->vq.chain, hdr_len);
		}
		zc_vq_entry(&rx->vq, pos)->len = hdr_len + copy_into(&rx->vq.chain, &cur);
		num++;
	}
	if (num > 1)
		write_num_buffers(rx, rx->fill, num);
	rx->fill += num;
	return 0;
}

/* ---- one frame ---- */

/*
 * Spec 5.1.6.4: num_buffers is 1 without mergeable buffers too. From a constant, since one made on
 * the stack is stored in parts and loaded whole, which waits for the stores.
 */
static inline void
write_plain_header(uint8_t *hdr, uint32_t hdr_len)
{
	static const struct virtio_net_hdr_mrg_rxbuf plain = { .num_buffers = 1 };

	if (likely(hdr_len == sizeof(plain)))
		memcpy(hdr, &plain, sizeof(plain));
	else
		memset(hdr, 0, sizeof(struct virtio_net_hdr));
}

/* Did the NIC write the frame to the very place, and to nothing but it? */
static inline bool
is_in_place(const struct zc_ctor *ctor, struct rte_mbuf *m, uint16_t pos)
{
	return m->pool == ctor->pool.mp && zc_is_armed_at(zc_priv(m)->armed, pos) &&
			m->nb_segs == 1 && m->data_off == RTE_PKTMBUF_HEADROOM &&
			m->pkt_len <= ctor->capacity;
}

/*
 * Frames that the NIC wrote in place: only the virtio-net header is missing. State is in locals,
 * because stores to guest memory may alias it.
 *
 * @return how many, from the front
 */
static uint16_t
deliver_in_place(struct zc_rx *rx, struct zc_ctor *ctor, struct rte_mbuf **pkts, uint16_t n)
{
	const uint32_t hdr_len = rx->vq.hdr_len, mask = rx->vq.mask;
	struct vring_used_elem *window = rx->vq.window;
	struct rte_mbuf **free = ctor->free + ctor->nfree;
	uint8_t *const *hdr = rx->hdr;
	const uint8_t gen = ctor->gen;
	uint16_t fill = rx->fill, i;
	uint32_t bytes = 0, old = 0;

	for (i = 0; i < n; i++, fill++) {
		struct rte_mbuf *m = pkts[i];
		uint32_t len = m->pkt_len, slot = fill & mask;

		if (unlikely(!is_in_place(ctor, m, fill)))
			break;
		old += zc_armed_gen(zc_priv(m)->armed) != gen;
		zc_priv(m)->armed = 0;
		write_plain_header(hdr[slot], hdr_len);
		window[slot].len = len + hdr_len;
		free[i] = m;
		bytes += len;
	}
	rx->fill = fill;
	ctor->nfree += i;
	ctor->armed -= i;
	ctor->armed_old -= old;
	ZC_COUNT(&rx->counters, frames, i);
	ZC_COUNT(&rx->counters, bytes, bytes);
	ZC_COUNT(&rx->counters, zc_frames, i);
	ZC_COUNT(&rx->counters, zc_bytes, bytes);
	return i;
}

static enum zcnet_queue_counter
copy_counter(const struct zc_rx *rx, struct rte_mbuf *m)
{
	if (rx->ctor == NULL || m->pool != rx->ctor->pool.mp)
		return rx->copy_counter;
	return zc_priv(m)->armed ? ZCNET_Q_copy_hole : ZCNET_Q_copy_bounce;
}

/* Copy or drop. False: no buffers, and the frame is to wait. */
static bool
put_copy(struct zc_rx *rx, struct rte_mbuf *m)
{
	int drop = deliver_copy(rx, m);

	if (drop == ZCNET_Q_drop_no_buffer && rx->full == ZCNET_RX_FULL_WAIT &&
			rx->vq.fault == ZC_VQ_OK)
		return false;
	if (drop == 0) {
		ZC_COUNT(&rx->counters, frames, 1);
		ZC_COUNT(&rx->counters, bytes, m->pkt_len);
		rx->counters.value[copy_counter(rx, m)]++;
	} else {
		rx->counters.value[drop]++;
	}
	rte_pktmbuf_free(m);
	return true;
}

uint16_t
zc_rx_put(struct zc_rx *rx, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i = 0;

	if (unlikely(rx->debt > 0)) {
		rx->debt--;
		return 0;
	}
	rx->walked = 0;
	zc_vq_prefetch_used(&rx->vq, rx->fill, n);
	while (i < n && rx->walked < ZC_WALK_TURN) {
		if (likely(rx->ctor != NULL && is_in_place(rx->ctor, pkts[i], rx->fill)))
			i += deliver_in_place(rx, rx->ctor, pkts + i, n - i);
		else if (put_copy(rx, pkts[i]))
			i++;
		else
			break;
	}
	rx->debt = rx->walked / ZC_WALK_TURN;
	count_fault(rx);
	zc_vq_publish(&rx->vq, rx->fill);
	return i;
}

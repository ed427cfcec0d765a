/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Switch to guest by copying. Two ways, like take.c: a run of frames that fill one buffer of one
 * descriptor each, and one frame to any chains.
 *
 * Not rte_memcpy(): the C library picks its copy by the processor it runs on, DPDK's is what -march
 * allowed. memmove(), because a guest that sends to itself can make both ends overlap.
 */
#include "rx.h"

#include <string.h>

#include <rte_common.h>

/* ---- frames of one segment into chains of one descriptor ---- */

/*
 * State is in locals, because stores to guest memory may alias it. Chains up to next_avail are
 * taken already, and those of them that are armed aren't to be written.
 */
uint16_t
zc_rx_copy_run(struct zc_rx *rx, struct rte_mbuf *const *pkts, uint16_t n)
{
	const struct zc_vq_view ring = zc_vq_view(&rx->vq);
	const struct zc_region hot = rx->vq.hot;
	const uint32_t hdr_len = rx->vq.hdr_len;
	uint16_t taken = zc_rx_undone(rx), posted = zc_vq_avail(&rx->vq);
	uint16_t fill = rx->fill, i;
	uint8_t **hdr = rx->hdr;

	n = RTE_MIN(n, taken + posted);
	for (i = 0; i < n; i++, fill++) {
		const struct rte_mbuf *m = pkts[i];
		uint32_t slot = fill & ring.mask, len = hdr_len + m->data_len;
		struct vring_desc desc;
		uint16_t head;

		if (i < taken)
			head = hdr[slot] == NULL ? ring.window[slot].id : UINT16_MAX;
		else
			head = __atomic_load_n(&ring.head[slot], __ATOMIC_RELAXED);
		if (unlikely(head >= ring.size || m->nb_segs != 1))
			break;
		desc = zc_desc_read(&ring.desc[head]);
		if (unlikely(desc.flags != VRING_DESC_F_WRITE || desc.len < len ||
				    !zc_region_holds(&hot, desc.addr, len)))
			break;
		zc_rx_write_header(hot.hva + (desc.addr - hot.gpa), hdr_len);
		memmove(hot.hva + (desc.addr - hot.gpa) + hdr_len,
				rte_pktmbuf_mtod(m, const void *), m->data_len);
		ring.window[slot] = (struct vring_used_elem){ .id = head, .len = len };
		hdr[slot] = NULL;
	}
	rx->fill = fill;
	if (i > taken)
		rx->vq.next_avail = fill;
	return i;
}

/* ---- one frame, any chains ---- */

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

			memmove(chain->seg[i].hva + off,
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

	if (num > 1) {
		if (zc_vq_chain(&rx->vq, zc_vq_entry(&rx->vq, pos)->id, true, &rx->vq.chain) < 0)
			return;
		rx->walked += rx->vq.chain.walked;
	}
	copy_header(&rx->vq.chain, &hdr, rx->vq.hdr_len);
}

/*
 * May the frame go on in another chain? Not without mergeable buffers, nor through more descriptors
 * than a ring has: chains of next to nothing would keep us walking.
 */
static bool
may_go_on(const struct zc_rx *rx, uint16_t num, uint32_t walked)
{
	return num == 0 || (rx->mergeable && num < rx->vq.size && walked < rx->vq.size);
}

int
zc_rx_copy(struct zc_rx *rx, const struct rte_mbuf *m)
{
	struct cursor cur = { .src = m, .left = m->pkt_len };
	uint32_t before = rx->walked;
	uint16_t num = 0;

	while (cur.left > 0) {
		uint16_t pos = rx->fill + num;
		uint32_t hdr_len = num == 0 ? rx->vq.hdr_len : 0;
		int ret;

		if (!may_go_on(rx, num, rx->walked - before))
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

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending: what the driver does with a burst, and what the NIC does with its descriptors.
 *
 *   freed ............. done ............. tail
 *     | sent, the mbufs   | posted, with     |
 *     | are here still    | the NIC          |
 *
 * How mbufs come back is up to the row. A NIC that sends within the burst is its own engine.
 */
#include <rte_mbuf.h>

#include "clock.h"
#include "model.h"
#include "rng.h"

static struct slot *
slot_at(const struct tx_queue *q, uint32_t n)
{
	return &q->slot[n % q->size];
}

/* ---- the NIC ---- */

static void
check_unchanged(const struct tx_queue *q, const struct slot *slot)
{
	const struct rte_mbuf *m = slot->mbuf;

	if (m->buf_iova + m->data_off != slot->addr || m->data_len != slot->len)
		violation(q->model, VIOLATION_changed_under_nic, "%#jx+%u, now %#jx+%u",
				(uintmax_t)slot->addr, slot->len,
				(uintmax_t)(m->buf_iova + m->data_off), m->data_len);
}

static void
read_segment(struct tx_queue *q, const struct slot *slot, uint32_t at)
{
	const uint8_t *from = iommu_reach(q->model, slot, 0);

	check_unchanged(q, slot);
	if (from == NULL)
		violation(q->model, VIOLATION_unmapped_tx, "read of %u bytes at %#jx", slot->len,
				(uintmax_t)slot->addr);
	else if (at + slot->len <= sizeof(q->wire->sent))
		memcpy(q->wire->sent + at, from, slot->len);
}

/* Without what was added to a frame that was too short. */
static uint32_t
unpadded(const struct tx_queue *q, uint32_t len)
{
	const uint8_t *frame = q->wire->sent;
	struct frame_tag tag;

	if (len != q->model->row->tx_min || !frame_tag_get(frame, len, &tag) || tag.len >= len)
		return len;
	for (uint32_t i = tag.len; i < len; i++)
		if (frame[i] != 0)
			return len;
	return tag.len;
}

/* Does the NIC receive what it sends? */
static bool
is_loop(const struct tx_queue *q)
{
	return q->model->data->dev_conf.lpbk_mode != 0;
}

/* Whose checker looks at it: the queue's, or that of the guest with its address. */
static struct wire *
receiver(const struct tx_queue *q)
{
	struct model *model = q->model;

	for (uint16_t i = 0; i < model->guests; i++)
		if (memcmp(model->wire[i].peer.dst.byte, q->wire->sent, 6) == 0)
			return &model->wire[i];
	return q->wire;
}

/* The frame that begins at @first, onto the wire. @return its descriptors */
static uint32_t
send_frame(struct tx_queue *q, uint32_t first)
{
	uint32_t len = 0, n = 0;
	struct wire *wire;
	struct slot *slot;
	uint64_t foreign;
	int64_t bad;

	do {
		slot = slot_at(q, first + n++);
		read_segment(q, slot, len);
		len += slot->len;
		__atomic_store_n(&slot->posted, false, __ATOMIC_RELEASE);
	} while (!slot->last);
	wire = receiver(q);
	foreign = wire->checker.foreign;
	wire->seen++;
	if (is_loop(q)) {
		memcpy(wire->next, q->wire->sent, len);
		wire->len = len;
		return n;
	}
	len = unpadded(q, len);
	bad = checker_take(&wire->checker, q->wire->sent, len);
	if (bad >= 0)
		violation(q->model, VIOLATION_altered, "sent, %u bytes, byte %jd", len,
				(intmax_t)bad);
	if (wire->checker.foreign != foreign)
		violation(q->model, VIOLATION_foreign, "sent, %u bytes", len);
	return n;
}

static void
free_done(struct tx_queue *q, uint32_t done)
{
	for (; q->freed != done; q->freed++) {
		struct slot *slot = slot_at(q, q->freed);

		rte_pktmbuf_free_seg(slot->mbuf);
		slot->mbuf = NULL;
	}
}

unsigned int
tx_work(struct tx_queue *q, uint64_t now)
{
	uint32_t tail = __atomic_load_n(&q->tail, __ATOMIC_ACQUIRE), done = q->done, n = 0;

	/* Frames are posted whole. */
	while (done != tail && n < q->model->traits.batch && slot_at(q, done)->due_us <= now &&
			!(is_loop(q) && q->wire->len > 0)) {
		done += send_frame(q, done);
		n++;
	}
	if (n == 0)
		return 0;
	/* Written back for all of them together. */
	if (q->model->traits.engine_frees)
		free_done(q, done);
	__atomic_store_n(&q->done, done, __ATOMIC_RELEASE);
	return n;
}

void
tx_flush(struct tx_queue *q)
{
	for (uint32_t i = q->done; i != q->tail; i++)
		q->wire->tx_flushed += slot_at(q, i)->last;
	for (uint32_t i = 0; i < q->size; i++) {
		q->slot[i].posted = false;
		if (q->slot[i].mbuf != NULL)
			rte_pktmbuf_free_seg(q->slot[i].mbuf);
		q->slot[i].mbuf = NULL;
	}
	q->done = q->freed = q->tail;
}

/* ---- the driver ---- */

static uint32_t
done_of(const struct tx_queue *q)
{
	return __atomic_load_n(&q->done, __ATOMIC_ACQUIRE);
}

static bool
is_fine(const struct tx_queue *q, const struct rte_mbuf *m)
{
	uint32_t len = 0, n = 0;

	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next, n++) {
		len += seg->data_len;
		if (seg->data_len == 0)
			len = UINT32_MAX / 2;
	}
	if (len != m->pkt_len || n != m->nb_segs || len > sizeof(q->wire->sent)) {
		violation(q->model, VIOLATION_bad_frame, "%u bytes in %u segments are %u in %u",
				m->pkt_len, m->nb_segs, len, n);
		return false;
	}
	if (n > q->model->row->segs_max)
		violation(q->model, VIOLATION_too_many_segments, "%u, %u bytes", n, len);
	if (len < q->model->row->tx_min)
		violation(q->model, VIOLATION_too_short, "%u bytes", len);
	return true;
}

/* A descriptor that is used again lets go of what it sent before. */
static void
post(struct tx_queue *q, struct rte_mbuf *m, uint32_t n, uint64_t due_us)
{
	struct slot *slot = slot_at(q, n);

	if (slot->mbuf != NULL) {
		rte_pktmbuf_free_seg(slot->mbuf);
		q->freed++;
	}
	slot->mbuf = m;
	slot->addr = rte_mbuf_data_iova(m);
	slot->va = rte_pktmbuf_mtod(m, uint8_t *);
	slot->len = m->data_len;
	slot->last = m->next == NULL;
	slot->due_us = due_us;
	if (iommu_reach(q->model, slot, 0) == NULL)
		violation(q->model, VIOLATION_unmapped_tx, "%u bytes at %#jx", slot->len,
				(uintmax_t)slot->addr);
	__atomic_store_n(&slot->posted, true, __ATOMIC_RELEASE);
}

static void
post_frame(struct tx_queue *q, struct rte_mbuf *m, uint64_t now)
{
	uint64_t due = now + rng_range(&q->rng, 0, q->model->traits.delay_us);
	uint32_t n = q->tail;

	for (struct rte_mbuf *seg = m; seg != NULL; seg = seg->next)
		post(q, seg, n++, due);
	__atomic_store_n(&q->tail, n, __ATOMIC_RELEASE);
}

static uint16_t
post_burst(struct tx_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t now = clock_us();
	uint16_t i;

	for (i = 0; i < n; i++) {
		if (!is_fine(q, pkts[i])) {
			rte_pktmbuf_free(pkts[i]);
			continue;
		}
		if (pkts[i]->nb_segs > q->size - (q->tail - done_of(q)))
			break;
		post_frame(q, pkts[i], now);
		if (!tx_is_async(q))
			tx_work(q, UINT64_MAX);
	}
	return i;
}

static void
give_back(struct tx_queue *q)
{
	if (!tx_is_async(q) || (q->model->row->tx_done & ZC_DONE_EMPTY))
		free_done(q, done_of(q));
}

/* One that sends within the burst can't do so when it stands still. */
static bool
refuses(const struct tx_queue *q)
{
	const struct model *model = q->model;

	return model_is(&model->refuse) ||
			(!tx_is_async(q) &&
					(model_is(&model->stall_tx) ||
							model_is(&model->link_down)));
}

static uint16_t
send_burst(struct tx_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	if (!q->running || refuses(q))
		return 0;
	give_back(q);
	if (n == 0)
		return 0;
	iommu_hold();
	n = post_burst(q, pkts, n);
	iommu_release();
	give_back(q);
	return n;
}

uint16_t
model_tx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct tx_queue *q = queue;

	__atomic_store_n(&q->busy, true, __ATOMIC_SEQ_CST);
	if (!q->running)
		violation(q->model, VIOLATION_touched_after_stop, "transmit queue %u", q->index);
	n = send_burst(q, pkts, n);
	__atomic_store_n(&q->busy, false, __ATOMIC_RELEASE);
	return n;
}

/*
 * As em's: of the descriptor so many after the tail, which for the last is the one before it. Only
 * what was asked for with tx_rs_thresh is told at once, and cleanup clears it.
 */
int
model_tx_status(void *queue, uint16_t offset)
{
	struct tx_queue *q = queue;
	uint32_t last = q->tail + offset + 1 - q->size, rs = q->model->row->tx_rs_thresh;

	if (!(q->model->row->tx_done & ZC_DONE_STATUS))
		return -ENOTSUP;
	if (offset >= q->size)
		return -EINVAL;
	if ((rs > 0 && !q->rs_each) || q->cleaned == last)
		return RTE_ETH_TX_DESC_FULL;
	return (int32_t)(done_of(q) - last) >= 0 ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL;
}

/* Where there is a status too, the last mbuf is missed: ixgbe, i40e, ice. */
int
model_tx_cleanup(void *queue, uint32_t n)
{
	struct tx_queue *q = queue;
	uint8_t how = q->model->row->tx_done;
	uint32_t done = done_of(q), before = q->freed;

	if (!(how & ZC_DONE_CLEANUP))
		return -ENOTSUP;
	if (how & ZC_DONE_STATUS)
		q->cleaned = done;
	if ((how & ZC_DONE_STATUS) && done != before)
		done--;
	if (n > 0 && done - before > n)
		done = before + n;
	free_done(q, done);
	return (int)(q->freed - before);
}

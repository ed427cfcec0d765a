/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving: how the driver keeps the NIC's ring filled, and what the NIC writes where.
 *
 *   empty ----> posted ----> [pool] ----> done ----> empty
 *    driver      to the NIC    NIC         to the driver
 *
 * Slots wander through rings of their numbers. A NIC that isn't first-in first-out takes any of its
 * pool. One that splits has two buffers for each number: head and slot.
 */
#include <rte_mbuf.h>

#include "model.h"
#include "rng.h"

#define SCRIBBLE 0x5c
#define SCRIBBLE_ONE_IN 16

/* ---- the NIC ---- */

static struct slot *
next_slot(struct rx_queue *q, uint16_t *number)
{
	uint32_t tail = __atomic_load_n(&q->posted_tail, __ATOMIC_ACQUIRE);
	uint16_t i;

	if (q->fifo) {
		*number = q->posted[q->posted_head++ % q->size];
		return &q->slot[*number];
	}
	while (q->posted_head != tail)
		q->pool[q->npool++] = q->posted[q->posted_head++ % q->size];
	i = (uint16_t)rng_range(&q->rng, 0, q->npool - 1);
	*number = q->pool[i];
	q->pool[i] = q->pool[--q->npool];
	return &q->slot[*number];
}

static uint32_t
slots_posted(const struct rx_queue *q)
{
	return q->npool + __atomic_load_n(&q->posted_tail, __ATOMIC_ACQUIRE) - q->posted_head;
}

/* Sometimes the rest of the buffer too: that is the NIC's until it says that it is done. */
static void
write_slot(struct rx_queue *q, struct slot *slot, const uint8_t *from, uint32_t len, bool ruled)
{
	uint32_t before = q->model->row->rx_before;
	uint8_t *to = iommu_reach(q->model, slot, before);

	if (to == NULL) {
		violation(q->model, VIOLATION_unmapped_rx, "write of %u bytes at %#jx", len,
				(uintmax_t)slot->addr);
		return;
	}
	if (q->model->guests > 0 && !ruled && iommu_is_guests(slot))
		violation(q->model, VIOLATION_stray, "queue %u, %u bytes", q->index, len);
	memset(to - before, SCRIBBLE, before);
	memcpy(to, from, len);
	if (rng_range(&q->rng, 1, SCRIBBLE_ONE_IN) == 1)
		memset(to + len, SCRIBBLE, slot->len - len);
}

static void
give_out(struct rx_queue *q, uint16_t number)
{
	__atomic_store_n(&q->slot[number].posted, false, __ATOMIC_RELEASE);
	q->done[q->done_written++ % q->size] = number;
}

static void
receive_split(struct rx_queue *q, struct wire *wire, bool ruled)
{
	uint16_t number;
	struct slot *slot = next_slot(q, &number), *head = &q->head[number];

	wire->bounced += ruled && !iommu_is_guests(slot);
	head->got = RTE_MIN(wire->len, q->split);
	slot->got = wire->len - head->got;
	slot->last = true;
	if (slot->got == 0 && q->model->traits.split == SPLIT_KEPT)
		violation(q->model, VIOLATION_kept, "%u of %u bytes", wire->len, q->split);
	write_slot(q, head, wire->next, head->got, ruled);
	write_slot(q, slot, wire->next + head->got, slot->got, ruled);
	give_out(q, number);
}

static void
receive_frame(struct rx_queue *q, struct wire *wire, bool ruled)
{
	if (q->split > 0) {
		receive_split(q, wire, ruled);
		return;
	}
	for (uint32_t at = 0; at < wire->len;) {
		uint32_t n = RTE_MIN((uint32_t)q->room, wire->len - at);
		uint16_t number;
		struct slot *slot = next_slot(q, &number);

		wire->bounced += ruled && at == 0 && !iommu_is_guests(slot);
		write_slot(q, slot, wire->next + at, n, ruled);
		at += n;
		slot->got = n;
		slot->last = at == wire->len;
		give_out(q, number);
	}
}

static void
put_tag(struct wire *wire)
{
	const uint8_t tag[4] = { 0x81, 0x00, wire->vlan >> 8, (uint8_t)wire->vlan };

	memmove(wire->next + 16, wire->next + 12, wire->len - 12);
	memcpy(wire->next + 12, tag, sizeof(tag));
	wire->len += sizeof(tag);
}

/* The frame that is next to come in. False: there is none. */
static bool
make_frame(struct wire *wire)
{
	if (wire->len > 0)
		return true;
	if (wire->seq >= __atomic_load_n(&wire->frames, __ATOMIC_RELAXED))
		return false;
	if (wire->word != 0)
		wire->len = frame_words(&wire->plan, wire->tag, wire->seq++, &wire->word,
				wire->next);
	else
		wire->len = frame_make(&wire->plan, wire->tag, wire->seq++, wire->next);
	if (wire->vlan > 0)
		put_tag(wire);
	return true;
}

/* Slots that a frame takes. */
static uint32_t
slots_for(const struct rx_queue *q, uint32_t len)
{
	return RTE_MAX((len - RTE_MIN(len, q->split) + q->room - 1) / q->room, 1u);
}

static bool
is_ready(const struct rx_queue *q, uint32_t len)
{
	return q != NULL && q->running && slots_posted(q) >= slots_for(q, len);
}

static bool
is_too_long(const struct rx_queue *q, uint32_t len)
{
	uint32_t need = slots_for(q, len);

	return need > 1 && (!q->scatter || q->split > 0 || need > q->size);
}

/*
 * Into all of @queues that are ready; a queue that is no guest's, nor the first, may miss it.
 * False: it stays on the cable.
 */
static bool
receive_by(struct model *model, struct wire *wire, uint32_t queues, uint32_t ruled)
{
	for (unsigned int i = 0; i < MODEL_QUEUES_MAX; i++)
		if ((queues >> i & 1) && !is_ready(model->rx[i], wire->len) &&
				(i == 0 || (ruled >> i & 1) || queues == 1u << i))
			return false;
	for (unsigned int i = 0; i < MODEL_QUEUES_MAX; i++)
		if ((queues >> i & 1) && is_ready(model->rx[i], wire->len))
			receive_frame(model->rx[i], wire, ruled >> i & 1);
	wire->len = 0;
	return true;
}

static bool
receive(struct model *model, struct wire *wire)
{
	bool shared = model->guests > 0;
	uint32_t queues = shared ? steer_frame(model, wire->next) : 1u << (wire - model->wire);
	uint32_t ruled = shared ? steer_ruled(model, wire->next) : 0;
	const struct rx_queue *q;

	if (wire == &model->wire[model->guests + 1] && model_is(&model->mislead))
		queues = ruled = 1u << 1;
	q = model->rx[__builtin_ctz(queues)];
	if (q == NULL || !q->running)
		return false;
	if (is_too_long(q, wire->len)) {
		wire->oversize++;
		wire->len = 0;
		return true;
	}
	return receive_by(model, wire, queues, ruled);
}

static void
tell_driver(struct model *model)
{
	for (unsigned int i = 0; i < MODEL_QUEUES_MAX; i++)
		if (model->rx[i] != NULL)
			__atomic_store_n(&model->rx[i]->done_tail, model->rx[i]->done_written,
					__ATOMIC_RELEASE);
}

unsigned int
rx_work(struct model *model, struct wire *wire, uint64_t now)
{
	uint64_t rng = model->seed ^ wire->seq;
	unsigned int n = 0;

	if (now < wire->due_us)
		return 0;
	while (n < model->traits.batch && make_frame(wire) && receive(model, wire))
		n++;
	if (n == 0)
		return 0;
	tell_driver(model);
	wire->due_us = now + rng_range(&rng, 0, model->traits.delay_us);
	return n;
}

/* ---- the driver: filling ---- */

static void
check_buffer(const struct rx_queue *q, const struct rte_mbuf *m, const struct slot *slot)
{
	if (m->next != NULL || m->nb_segs != 1 || rte_mbuf_refcnt_read(m) != 1 ||
			m->buf_len < q->at + q->told)
		violation(q->model, VIOLATION_dirty_buffer,
				"next %p, %u segments, %u references, %u bytes", m->next,
				m->nb_segs, rte_mbuf_refcnt_read(m), m->buf_len);
	if (iommu_reach(q->model, slot, q->model->row->rx_before) == NULL)
		violation(q->model, VIOLATION_unmapped_rx, "%u bytes at %#jx", slot->len,
				(uintmax_t)slot->addr);
	if (q->model->guests > 0 && iommu_is_guests(slot) && !steer_gives(q->model, q->index))
		violation(q->model, VIOLATION_armed_unsteered, "queue %u", q->index);
}

static void
fill_slot(struct slot *slot, struct rte_mbuf *m, uint32_t at, uint32_t len)
{
	slot->mbuf = m;
	slot->addr = m->buf_iova + at;
	slot->va = (uint8_t *)m->buf_addr + at;
	slot->len = len;
}

static void
post_head(struct rx_queue *q, struct slot *head)
{
	fill_slot(head, q->head_spare[--q->nhead_spare], RTE_PKTMBUF_HEADROOM, q->split);
	if (iommu_is_guests(head) || iommu_reach(q->model, head, 0) == NULL)
		violation(q->model, VIOLATION_header_in_guest, "%u bytes at %#jx", head->len,
				(uintmax_t)head->addr);
}

static void
post(struct rx_queue *q, uint16_t number, struct rte_mbuf *m)
{
	struct slot *slot = &q->slot[number];

	if (q->split > 0)
		post_head(q, &q->head[number]);
	fill_slot(slot, m, q->at, q->room);
	check_buffer(q, m, slot);
	__atomic_store_n(&slot->posted, true, __ATOMIC_RELEASE);
	q->posted[q->posted_tail % q->size] = number;
	__atomic_store_n(&q->posted_tail, q->posted_tail + 1, __ATOMIC_RELEASE);
}

static bool
take_heads(struct rx_queue *q, uint16_t n)
{
	void **heads = (void **)(q->head_spare + q->nhead_spare);

	if (q->split == 0)
		return true;
	if (rte_mempool_get_bulk(q->head_mp, heads, n) < 0)
		return false;
	q->nhead_spare += n;
	return true;
}

static bool
take_mbufs(struct rx_queue *q, struct rte_mbuf **m, uint16_t n)
{
	if (take_heads(q, n)) {
		if (rte_mempool_get_bulk(q->mp, (void **)m, n) == 0)
			return true;
		for (uint16_t i = 0; q->split > 0 && i < n; i++)
			rte_mbuf_raw_free(q->head_spare[--q->nhead_spare]);
	}
	q->wire->no_mbuf++;
	return false;
}

static void
post_all(struct rx_queue *q, struct rte_mbuf **m, uint16_t n)
{
	iommu_hold();
	for (uint16_t i = 0; i < n; i++)
		post(q, q->empty[q->empty_head++ % q->size], m[i]);
	iommu_release();
}

/* So many of the empty slots, or none. */
static bool
refill(struct rx_queue *q, uint16_t n)
{
	struct rte_mbuf *m[q->size];

	if (n == 0)
		return true;
	if (!take_mbufs(q, m, n))
		return false;
	post_all(q, m, n);
	return true;
}

static uint16_t
nempty(const struct rx_queue *q)
{
	return q->empty_tail - q->empty_head;
}

/* So many at a time, but for what would leave the longest frame without room. */
static void
refill_by(struct rx_queue *q, uint16_t n)
{
	uint16_t need = slots_for(q, q->model->len_max);

	n = RTE_MIN(n, q->size > need ? q->size - need + 1 : 1);
	while (nempty(q) >= n && refill(q, n))
		;
}

static void
refill_as_it_does(struct rx_queue *q)
{
	switch (q->model->traits.refill) {
	case REFILL_ONE:
		refill_by(q, 1);
		break;
	case REFILL_32:
		refill_by(q, 32);
		break;
	case REFILL_64:
		refill_by(q, 64);
		break;
	case REFILL_ALL:
		refill(q, nempty(q));
		break;
	case REFILL_RING:
		refill_by(q, q->size);
		break;
	}
}

int
rx_fill(struct rx_queue *q)
{
	if (nempty(q) == 0)
		return 0; /* kept since the last stop */
	for (uint16_t n = q->size; n > 0; n--)
		if (!refill(q, 1))
			return -ENOMEM;
	if (!q->model->row->second_ring)
		return 0;
	for (; q->nparked < q->size; q->nparked++)
		if (rte_mempool_get(q->mp, (void **)&q->parked[q->nparked]) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- the driver: frames ---- */

static struct rte_mbuf *
take_buffer(const struct rx_queue *q, struct slot *slot, uint16_t at)
{
	struct rte_mbuf *m = slot->mbuf;

	slot->mbuf = NULL;
	/* As most drivers do, and what most drivers leave alone. */
	m->data_off = at;
	m->ol_flags = 0;
	m->packet_type = 0;
	m->port = q->model->data->port_id;
	m->data_len = slot->got;
	m->pkt_len = slot->got;
	return m;
}

static struct rte_mbuf *
take_slot(struct rx_queue *q)
{
	uint16_t number = q->done[q->done_head++ % q->size];
	struct rte_mbuf *m = take_buffer(q, &q->slot[number], q->at), *head;

	q->empty[q->empty_tail++ % q->size] = number;
	if (q->split == 0)
		return m;
	head = take_buffer(q, &q->head[number], RTE_PKTMBUF_HEADROOM);
	head->next = m;
	head->nb_segs = 2;
	head->pkt_len += m->data_len;
	return head;
}

static bool
is_last(const struct rx_queue *q, uint32_t done)
{
	return q->slot[q->done[done % q->size]].last;
}

/* The NIC is done with whole frames only. */
static struct rte_mbuf *
take_frame(struct rx_queue *q)
{
	bool last = is_last(q, q->done_head);
	struct rte_mbuf *head = take_slot(q), *tail = head;

	while (!last) {
		last = is_last(q, q->done_head);
		tail->next = take_slot(q);
		tail = tail->next;
		head->nb_segs++;
		head->pkt_len += tail->data_len;
	}
	return head;
}

static uint16_t
receive_burst(struct rx_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	bool one = q->model->traits.refill == REFILL_ONE;
	struct rte_mbuf *m;
	uint16_t i;

	if (q->model->traits.refill == REFILL_32)
		refill_as_it_does(q);
	for (i = 0; i < n && q->done_head != __atomic_load_n(&q->done_tail, __ATOMIC_ACQUIRE);
			i++) {
		/* Without something to put in its place no frame is given out. */
		if (one && !take_mbufs(q, &m, 1))
			break;
		pkts[i] = take_frame(q);
		if (one)
			post_all(q, &m, 1);
	}
	if (q->model->traits.refill != REFILL_32)
		refill_as_it_does(q);
	return i;
}

uint16_t
model_rx(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct rx_queue *q = queue;

	__atomic_store_n(&q->busy, true, __ATOMIC_SEQ_CST);
	if (!q->running)
		violation(q->model, VIOLATION_touched_after_stop, "receive queue %u", q->index);
	n = q->running ? receive_burst(q, pkts, n) : 0;
	__atomic_store_n(&q->busy, false, __ATOMIC_RELEASE);
	return n;
}

/* ---- the end ---- */

bool
rx_has_guests(const struct rx_queue *q)
{
	for (uint16_t i = 0; i < q->size; i++)
		if (__atomic_load_n(&q->slot[i].posted, __ATOMIC_ACQUIRE) &&
				iommu_is_guests(&q->slot[i]))
			return true;
	return false;
}

static void
free_buffer(struct slot *slot)
{
	if (slot->mbuf != NULL)
		rte_mbuf_raw_free(slot->mbuf);
	slot->mbuf = NULL;
}

void
rx_flush(struct rx_queue *q)
{
	for (; q->done_head != q->done_tail; q->done_head++)
		q->wire->rx_flushed += is_last(q, q->done_head);
	for (uint16_t i = 0; i < q->size; i++) {
		struct slot *slot = &q->slot[i];

		slot->posted = false;
		free_buffer(slot);
		free_buffer(&q->head[i]);
		q->empty[i] = i;
	}
	while (q->nparked > 0)
		rte_mbuf_raw_free(q->parked[--q->nparked]);
	while (q->nhead_spare > 0)
		rte_mbuf_raw_free(q->head_spare[--q->nhead_spare]);
	q->posted_head = q->posted_tail = 0;
	q->done_head = q->done_tail = q->done_written = 0;
	q->npool = 0;
	q->empty_head = 0;
	q->empty_tail = q->size;
}

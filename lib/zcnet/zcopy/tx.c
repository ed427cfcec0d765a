/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to switch: life of a queue, and completion. Taking frames is in take.c. */
#include "tx.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ether.h>

#include "../core/error.h"

/*
 * Used entries that are gathered before they are published, and for how long, while more is coming.
 * Each publication moves two or three cache lines to the guest's core and back.
 */
#define PUBLISH_MOST 64
#define PUBLISH_US 20

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
	tx->publish_cycles = rte_get_tsc_hz() / 1000000 * PUBLISH_US;
	tx->copy_room = rte_pktmbuf_data_room_size(copy_mp) - RTE_PKTMBUF_HEADROOM;
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
	return __atomic_load_n(&tx->back[seg & ZC_TX_SLOT_MASK], __ATOMIC_ACQUIRE);
}

static bool
are_eight_back(const struct zc_tx *tx, uint32_t seg)
{
	const uint64_t *marks = (const uint64_t *)(const void *)tx->back;

	return __atomic_load_n(&marks[(seg & ZC_TX_SLOT_MASK) / 8], __ATOMIC_ACQUIRE) == EIGHT_BACK;
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

void
zc_tx_detach(struct zc_tx *tx)
{
	rte_pktmbuf_free_bulk(tx->spare, tx->nspare);
	tx->nspare = 0;
	zc_tx_count_fault(tx);
	zc_vq_fini(&tx->vq);
	free(tx->seg_end);
	tx->seg_end = NULL;
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

/* The first position that isn't done. */
static uint16_t
done_end(const struct zc_tx *tx)
{
	const struct zc_vq *vq = &tx->vq;
	uint16_t pos = vq->next_used;

	if (tx->seg_done == tx->seg_head)
		return vq->next_avail;
	while (pos != vq->next_avail && (int32_t)(tx->seg_end[pos & vq->mask] - tx->seg_done) <= 0)
		pos++;
	return pos;
}

/* More is coming soon, or there is time: let used entries gather. */
static bool
is_early(const struct zc_tx *tx, uint16_t end, uint64_t now)
{
	const struct zc_vq *vq = &tx->vq;

	return !tx->idle && (uint16_t)(end - vq->next_used) < RTE_MIN(vq->size / 4, PUBLISH_MOST) &&
			now - tx->publish_tsc < tx->publish_cycles;
}

bool
zc_tx_poll(struct zc_tx *tx, uint64_t now)
{
	struct zc_vq *vq = &tx->vq;
	bool kicked = zc_vq_owes_kick(vq) && zc_vq_notify(vq, &tx->counters);
	uint16_t end;

	count_back(tx);
	tx->seen_tsc = now;
	update_mark(tx, now);
	end = done_end(tx);
	if (end == vq->next_used || is_early(tx, end, now))
		return kicked;
	zc_vq_publish(vq, end);
	tx->publish_tsc = now;
	return true;
}

void
zc_tx_complete(struct zc_tx *tx, uint64_t now)
{
	tx->idle = true;
	zc_tx_poll(tx, now);
	if (zc_vq_owes_kick(&tx->vq))
		zc_vq_notify(&tx->vq, &tx->counters);
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

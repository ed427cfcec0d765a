/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What broke other back-ends, said to ours: one test for each row of doc/conformance.md, with the
 * very input. Those that come as messages are cases of zcnet-said.
 */
#include "pair_rig.h"

#include <pthread.h>
#include <sched.h>

#define RACE_BURSTS 20000

static struct pair p;

/* A place of the slot for a header and some data. */
static uint64_t
place(struct gqueue *q, uint32_t len)
{
	static const uint8_t zero[4096];
	int slot = gqueue_slot_take(q);
	uint64_t gpa = gqueue_slot_gpa(q, slot, 0);

	gqueue_slot_give(q, slot);
	gmem_write(&p.g->mem, gpa, zero, RTE_MIN(len, (uint32_t)sizeof(zero)));
	return gpa;
}

static void
receives_again(void)
{
	pair_reset(&p);
	pair_posts(&p, 2048, &layouts[0]);
	pair_puts(&p, 1000, 1);
	pair_gets(&p, 1000, 1);
}

/* The receive chain just posted can't be used: the queue stops, and a reset mends it. */
static void
stops_receiving(void)
{
	pair_puts(&p, 1000, 1);
	assert_int_equal(p.rx.vq.fault, ZC_VQ_BAD_CHAIN);
	assert_int_equal(drv_ring_used_count(&p.rxq->ring), 0);
	receives_again();
}

/* Ranges that end in another region, or in none. */
static void
cve_2018_1059_region_end(void **state)
{
	static const enum hostile_move bad[] = { HOSTILE_MOVE_ADDR_END, HOSTILE_MOVE_ADDR_HOLE,
		HOSTILE_MOVE_LEN_MAX, HOSTILE_MOVE_ADDR_WRAP, HOSTILE_MOVE_TABLE_END,
		HOSTILE_MOVE_TABLE_HOLE };
	struct rte_mbuf *m;

	(void)state;
	pair_init(&p, 0, 0);
	/* One address after the other for the guest, and far from it here. */
	pair_sends(&p, layout_by_name("cross"), NULL, 1500);
	pair_sends(&p, layout_by_name("cross-pieces"), NULL, 1500);
	pair_posts(&p, 1512, layout_by_name("cross"));
	pair_puts(&p, 1500, 1);
	pair_gets(&p, 1500, 1);
	assert_true(hostile_post(p.txq, HOSTILE_MOVE_TABLE_CROSS) >= 0);
	drv_ring_publish(&p.txq->ring);
	assert_int_equal(pair_take(&p, &m, 1), 1);
	rte_pktmbuf_free(m);
	zc_tx_complete(&p.tx, 0);
	assert_int_equal(gqueue_tx_reclaim(p.txq), 1);
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		assert_true(hostile_post(p.txq, bad[i]) >= 0);
		drv_ring_publish(&p.txq->ring);
		pair_drops(&p);
		assert_true(hostile_post(p.rxq, bad[i]) >= 0);
		drv_ring_publish(&p.rxq->ring);
		stops_receiving();
	}
	pair_fini(&p);
}

/* No bytes at an address that isn't there. */
static void
cve_2020_10725_empty_descriptor(void **state)
{
	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int at = 0; at < 3; at++) {
		for (unsigned int rx = 0; rx < 2; rx++) {
			struct gqueue *q = rx ? p.rxq : p.txq;
			uint64_t gpa = place(q, 2048);
			struct drv_buf buf[3] = { { gpa, 12, rx }, { gpa + 12, 1000, rx },
				{ gpa + 1012, 1000, rx } };

			buf[at].gpa = gmem_hole(&p.g->mem);
			buf[at].len = 0;
			pair_raw(q, buf, 3);
			if (rx)
				stops_receiving();
			else
				pair_drops(&p);
		}
	}
	pair_fini(&p);
}

/* ---- somebody else writes while we read ---- */

static bool race_over;

/* Descriptors turn good and bad, tables appear and go, headers change. */
static void *
flip(void *arg)
{
	struct gqueue *q = arg;
	const struct vring_desc good = q->ring.split.desc[0];
	uint64_t rng = 7;

	while (!__atomic_load_n(&race_over, __ATOMIC_ACQUIRE)) {
		volatile struct vring_desc *d = &q->ring.split.desc[rng_next(&rng) % q->conf.size];
		uint64_t bits = rng_next(&rng);

		d->addr = bits & 1 ? good.addr : rng_next(&rng);
		d->len = bits & 2 ? good.len : (uint32_t)rng_next(&rng);
		d->flags = bits & 4 ? good.flags : (uint16_t)rng_next(&rng) & 7;
		d->next = (uint16_t)(bits & 8 ? rng_next(&rng) % q->conf.size : bits >> 16);
		for (unsigned int i = 0; i < 12; i++)
			((volatile uint8_t *)gmem_va(&p.g->mem, good.addr, 12))[i] =
					(uint8_t)(bits >> i);
		if (bits % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/* All descriptors equal and good, and every one of them posted. */
static void
arm(struct gqueue *q, bool rx)
{
	uint64_t gpa = place(q, 2048);

	for (uint16_t i = 0; i < q->conf.size; i++) {
		q->ring.split.desc[i] = (struct vring_desc){ .addr = gpa,
			.len = 2048,
			.flags = rx ? VRING_DESC_F_WRITE : 0 };
		q->ring.split.avail->ring[i] = i;
	}
}

/* Ids given back are heads, and none more than were posted. */
static void
ids_are_heads(const struct gqueue *q, uint16_t from, uint16_t posted)
{
	const struct vring_used *used = q->ring.split.used;

	assert_true((uint16_t)(used->idx - from) <= posted);
	for (; from != used->idx; from++)
		assert_true(used->ring[from % q->conf.size].id < q->conf.size);
}

/* Good chains and bad ones. */
static bool
both_were_met(bool rx)
{
	if (rx)
		return p.rx.counters.value[ZCNET_Q_broken] > 0 &&
				p.rx.counters.value[ZCNET_Q_frames] > 0;
	return p.tx.counters.value[ZCNET_Q_drop_bad_chain] > 0 &&
			p.tx.counters.value[ZCNET_Q_frames] > 0;
}

/* Until each kind was met, however late the machine lets the other thread run. */
static void
race(bool rx)
{
	struct vring_avail *avail;
	struct gqueue *q;
	pthread_t thread;

	pair_init(&p, 0, 0);
	q = rx ? p.rxq : p.txq;
	avail = q->ring.split.avail;
	arm(q, rx);
	race_over = false;
	assert_int_equal(pthread_create(&thread, NULL, flip, q), 0);
	for (unsigned int i = 0; i < RACE_BURSTS || !both_were_met(rx); i++) {
		uint16_t from = q->ring.split.used->idx;
		struct rte_mbuf *m[32];

		avail->idx += 32;
		if (rx) {
			struct rte_mbuf *one = pair_mbuf(&p, 1500, i);

			assert_int_equal(pair_put(&p, &one, 1), 1);
			if (p.rx.vq.fault != ZC_VQ_OK || zc_vq_avail(&p.rx.vq) > 128) {
				avail->idx = q->ring.split.used->idx;
				pair_detach(&p);
				pair_attach(&p);
			} else {
				ids_are_heads(q, from, 256);
			}
			continue;
		}
		rte_pktmbuf_free_bulk(m, pair_take(&p, m, 32));
		zc_tx_complete(&p.tx, 0);
		ids_are_heads(q, from, 256);
	}
	__atomic_store_n(&race_over, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	pair_fini(&p);
}

static void
cve_2020_14375_racing_writer(void **state)
{
	(void)state;
	race(false);
	race(true);
}

/* csum_start and the rest of the header, read twice by others (DPDK 285e6b8b18). */
static void
dpdk_285e6b8b18_header_changes(void **state)
{
	uint8_t frame[1000] = { 2 };

	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		struct rte_mbuf *m;
		uint64_t gpa;
		int id = gqueue_tx_frame(p.txq, &layouts[0], NULL, frame, sizeof(frame));

		assert_true(id >= 0);
		gpa = p.txq->ring.split.desc[id].addr;
		drv_ring_publish(&p.txq->ring);
		memset(gmem_va(&p.g->mem, gpa, 12), 0xff, 12);
		assert_int_equal(pair_take(&p, &m, 1), 1);
		memset(gmem_va(&p.g->mem, gpa, 12), 0x01, 12);
		assert_int_equal(m->ol_flags & ~RTE_MBUF_F_EXTERNAL, 0);
		pair_same(m, frame, sizeof(frame));
		rte_pktmbuf_free(m);
		zc_tx_complete(&p.tx, 0);
		memset(gmem_va(&p.g->mem, gpa, 12), 0, 12);
		assert_int_equal(gqueue_tx_reclaim(p.txq), 1);
	}
	pair_fini(&p);
}

/* ---- counters and bounds ---- */

static void
cve_2020_14378_counter_wraps(void **state)
{
	struct drv_buf buf[256];
	struct rte_mbuf *m;
	uint64_t gpa;

	(void)state;
	pair_init(&p, 0, 0);
	/* Lengths whose sum is 2^32 and a frame. */
	gpa = place(p.txq, 2048);
	for (unsigned int i = 0; i < 4; i++)
		buf[i] = (struct drv_buf){ gpa, i < 3 ? UINT32_MAX : 1003, false };
	pair_raw(p.txq, buf, 4);
	pair_drops(&p);
	/* As many as the ring has, then more, then without an end. */
	for (unsigned int i = 0; i < 256; i++)
		buf[i] = (struct drv_buf){ gpa + i, i == 0 ? 12 : 1, false };
	pair_raw(p.txq, buf, 256);
	assert_int_equal(pair_take(&p, &m, 1), 1);
	assert_int_equal(m->pkt_len, 255);
	rte_pktmbuf_free(m);
	zc_tx_complete(&p.tx, 0);
	assert_int_equal(gqueue_tx_reclaim(p.txq), 1);
	for (enum hostile_move move = HOSTILE_MOVE_LOOP; move <= HOSTILE_MOVE_NEXT_MAX; move++) {
		assert_true(hostile_post(p.txq, move) >= 0);
		drv_ring_publish(&p.txq->ring);
		pair_drops(&p);
	}
	assert_true(hostile_post(p.txq, HOSTILE_MOVE_TABLE_LONG) >= 0);
	drv_ring_publish(&p.txq->ring);
	pair_drops(&p);
	pair_fini(&p);
}

static void
cve_2022_2132_header_in_pieces(void **state)
{
	static const uint32_t totals[] = { 1, 11, 12 };
	uint8_t frame[60] = { 0 };
	struct drv_buf buf[13];
	struct rte_mbuf *m;
	uint64_t gpa;

	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int round = 0; round < 10000; round++) {
		/* A byte a descriptor. */
		gpa = place(p.txq, 128);
		for (unsigned int i = 0; i < 12; i++)
			buf[i] = (struct drv_buf){ gpa + 2 * i, 1, false };
		buf[12] = (struct drv_buf){ gpa + 64, sizeof(frame), false };
		pair_raw(p.txq, buf, 13);
		assert_int_equal(pair_take(&p, &m, 1), 1);
		pair_same(m, frame, sizeof(frame));
		rte_pktmbuf_free(m);
		zc_tx_complete(&p.tx, 0);
		assert_int_equal(gqueue_tx_reclaim(p.txq), 1);
		/* No longer than the header. pair_fini() counts host mbufs. */
		buf[0] = (struct drv_buf){ gpa, totals[round % 3], false };
		pair_raw(p.txq, buf, 1);
		assert_int_equal(pair_take(&p, &m, 1), 0);
		zc_tx_complete(&p.tx, 0);
		assert_int_equal(gqueue_tx_reclaim(p.txq), 1);
	}
	assert_int_equal(p.tx.counters.value[ZCNET_Q_drop_bad_chain] +
					p.tx.counters.value[ZCNET_Q_drop_bad_size],
			10000);
	pair_fini(&p);
}

/* ---- offloads that aren't negotiated: no field of the header counts ---- */

static void
cve_2024_11614_csum_range(void **state)
{
	static const uint16_t at[] = { 0, 59, 60, 61, 999, 1000, 0x7fff, 0xffff };

	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int start = 0; start < RTE_DIM(at); start++)
		for (unsigned int offset = 0; offset < RTE_DIM(at); offset++)
			for (uint8_t flags = 0; flags < 2; flags++) {
				const struct virtio_net_hdr_mrg_rxbuf hdr = {
					.hdr = { .flags = flags ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
							.csum_start = at[start],
							.csum_offset = at[offset] }
				};

				assert_int_equal(pair_sends(&p, &layouts[0], &hdr, 60), 0);
				assert_int_equal(pair_sends(&p, &layouts[0], &hdr, 1000), 0);
			}
	pair_fini(&p);
}

static void
dpdk_7023f3e532_gso_size(void **state)
{
	static const uint16_t sizes[] = { 0, 1, 0xffff };

	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int type = 0; type < 256; type++)
		for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
			const struct virtio_net_hdr_mrg_rxbuf hdr = {
				.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						.gso_type = (uint8_t)type,
						.gso_size = sizes[i],
						.hdr_len = sizes[i] }
			};

			assert_int_equal(pair_sends(&p, &layouts[0], &hdr, 1000), 0);
		}
	pair_fini(&p);
}

static void
cve_2026_16457_indirect_and_next(void **state)
{
	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_true(hostile_post(p.txq, HOSTILE_MOVE_TABLE_AND_NEXT) >= 0);
		drv_ring_publish(&p.txq->ring);
		pair_drops(&p);
	}
	pair_fini(&p);
}

static int
group_setup(void **state)
{
	if (unit_eal_init(state) < 0)
		return -1;
	p.mp = unit_host_pool(PAIR_MBUFS, 2048);
	return p.mp != NULL ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cve_2018_1059_region_end),
		cmocka_unit_test(cve_2020_10725_empty_descriptor),
		cmocka_unit_test(cve_2020_14375_racing_writer),
		cmocka_unit_test(cve_2020_14378_counter_wraps),
		cmocka_unit_test(cve_2022_2132_header_in_pieces),
		cmocka_unit_test(cve_2024_11614_csum_range),
		cmocka_unit_test(cve_2026_16457_indirect_and_next),
		cmocka_unit_test(dpdk_285e6b8b18_header_changes),
		cmocka_unit_test(dpdk_7023f3e532_gso_size),
	};

	return cmocka_run_group_tests_name("cve", tests, group_setup, unit_eal_fini);
}

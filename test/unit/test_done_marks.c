/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers freed on other threads: the owner sees each back after it was freed, never before, and
 * gives them to the guest in order. For ThreadSanitizer: the hand-over to the freeing threads is
 * made of plain atomics, because rte_ring's barriers mean nothing to it.
 */
#include <pthread.h>
#include <sched.h>

#include "rig.h"

#include "eal.h"
#include "zcopy/tx.h"

#define THREADS 3
#define QUEUE 64
#define FRAMES 40000u
#define BURST 32

/*
 * The owner looks at eight marks at once where as many segments are out. ThreadSanitizer follows
 * atomics by address and would see only the first: it gets fewer segments.
 */
#if defined(__SANITIZE_THREAD__)
#define OUT_MAX 7
#else
#define OUT_MAX 200
#endif

/* One producer, one consumer. */
struct handover {
	struct rte_mbuf *m[QUEUE];
	uint64_t seq[QUEUE];
	unsigned int head; /* owner */
	unsigned int tail; /* the freeing thread */
};

static struct zc_tx tx;
static struct handover to[THREADS];
static uint8_t freed[FRAMES];
static bool stop;

static void *
free_frames(void *arg)
{
	struct handover *h = arg;
	uint64_t rng = h - to;

	for (;;) {
		bool last = __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
		unsigned int head = __atomic_load_n(&h->head, __ATOMIC_ACQUIRE);

		if (h->tail == head && last)
			break;
		if (h->tail == head || rng_range(&rng, 0, 7) == 0) {
			sched_yield();
			continue;
		}
		for (unsigned int i = h->tail; i != head; i++) {
			struct rte_mbuf *m = h->m[i % QUEUE];

			/* As a NIC reads it, up to the last moment. */
			for (struct rte_mbuf *seg = m; seg != NULL; seg = seg->next)
				(void)*rte_pktmbuf_mtod(seg, volatile uint8_t *);
			__atomic_store_n(&freed[h->seq[i % QUEUE]], 1, __ATOMIC_RELAXED);
			rte_pktmbuf_free(m);
			/* The marks alone tell the owner: nothing else is released yet. */
			if (i % 5 == 0)
				sched_yield();
		}
		__atomic_store_n(&h->tail, head, __ATOMIC_RELEASE);
	}
	return NULL;
}

static bool
hand_over(struct handover *h, struct rte_mbuf *m, uint64_t seq)
{
	if (h->head - __atomic_load_n(&h->tail, __ATOMIC_ACQUIRE) == QUEUE)
		return false;
	h->m[h->head % QUEUE] = m;
	h->seq[h->head % QUEUE] = seq;
	__atomic_store_n(&h->head, h->head + 1, __ATOMIC_RELEASE);
	return true;
}

/* The guest writes its buffers again as soon as they are back: a race when that was early. */
static void
post(struct gqueue *q, uint64_t *rng, uint64_t *posted)
{
	static const struct layout ways[] = { { .name = "one" },
		{ .name = "three", .hdr = LAYOUT_HDR_ALONE, .pieces = 3 } };
	uint8_t frame[600];

	for (unsigned int n = rng_range(rng, 0, 16); n > 0 && *posted < FRAMES; n--) {
		memset(frame, (int)*posted, sizeof(frame));
		if (gqueue_tx_frame(q, &ways[rng_range(rng, 0, 1)], NULL, frame, sizeof(frame)) < 0)
			break;
		(*posted)++;
	}
	drv_ring_publish(&q->ring);
}

static void
give_away(struct rte_mbuf **pkts, uint16_t n, uint64_t *rng, uint64_t *taken)
{
	for (uint16_t i = 0; i < n; i++) {
		unsigned int who = rng_range(rng, 0, THREADS);
		uint64_t seq = (*taken)++;

		for (struct rte_mbuf *s = pkts[i]; s != NULL; s = s->next)
			assert_int_equal(*rte_pktmbuf_mtod(s, uint8_t *), (uint8_t)seq);
		if (who < THREADS && hand_over(&to[who], pkts[i], seq))
			continue;
		__atomic_store_n(&freed[seq], 1, __ATOMIC_RELAXED);
		rte_pktmbuf_free(pkts[i]);
	}
}

static void
never_early_and_in_order(void **state)
{
	struct rte_mempool *copy_mp = unit_host_pool(64, 2048);
	struct fake_guest *g = rig_guest(128, 4096, 0);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct zc_map *map = rig_map(&g->mem);
	struct zc_vq_conf conf;
	struct rte_mbuf *pkts[BURST];
	pthread_t thread[THREADS];
	uint64_t rng = 1, posted = 0, taken = 0, back = 0;

	(void)state;
	assert_int_equal(zc_tx_init(&tx, unit_pool_name(), copy_mp, SOCKET_ID_ANY), 0);
	tx.limits = (struct zc_tx_limits){ .threshold = 14,
		.frame_min = 14,
		.frame_max = 9000,
		.out_max = OUT_MAX,
		.segs_max = 64,
		.copy = ZC_TX_ATTACH };
	rig_start_at(q, 65000);
	conf = rig_vq_conf(q, map);
	assert_int_equal(zc_tx_attach(&tx, &conf), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, free_frames, &to[i]), 0);
	while (back < FRAMES) {
		int used;

		post(q, &rng, &posted);
		give_away(pkts, zc_tx_take(&tx, pkts, BURST), &rng, &taken);
		zc_tx_complete(&tx, 0);
		used = gqueue_tx_reclaim(q);
		if (used < 0)
			fail_msg("%s", q->err);
		assert_int_equal(q->ring.out_of_order, 0);
		for (int i = 0; i < used; i++)
			assert_true(__atomic_load_n(&freed[back++], __ATOMIC_RELAXED));
		if (used == 0)
			sched_yield();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_true(to[i].head > FRAMES / 16);
	}
	assert_int_equal(zc_tx_out(&tx), 0);
	assert_int_equal(tx.counters.value[ZCNET_Q_zc_frames], FRAMES);
	zc_tx_detach(&tx);
	assert_true(zc_tx_fini(&tx));
	zc_map_put(map);
	fake_guest_destroy(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(never_early_and_in_order) };

	return cmocka_run_group_tests_name("done_marks", tests, unit_eal_init, unit_eal_fini);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes while zcnet reads: one thread rewrites descriptors, tables, headers and
 * indices of two rings all the time, another serves both rings, a third frees what was sent.
 *
 * Whatever was checked has to be what is used, so nothing outside of the guest is touched, and
 * everything comes back. Runs under ASan for the first, and under TSan for what zcnet's own threads
 * share: the guest's writes are kept from TSan (they are races, and meant to be), its memory is
 * then touched by one thread that TSan sees, and reports about it can't arise.
 *
 * usage: race [SECONDS [SEED]]
 */
#include <pthread.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "../unit/eal.h"
#include "guest.h"
#include "rng.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"
#include "zcopy/tx.h"

/* The guest's thread: see above. */
#define GUEST_CODE __attribute__((no_sanitize("thread"), noinline))

#define OWNER 5
#define MBUFS 64
#define CAPACITY 512
#define BURST 32
/* On a machine that has no time for us. */
#define SECONDS_MORE 60
#define FRAMES_LEAST 100
#define HANDED 256 /* power of two */

static struct {
	struct guest out, in; /* guests whose transmit and receive ring are served */
	struct zc_tx tx;
	struct zc_rx rx;
	struct zc_ctor ctor;
	struct rte_mempool *mp;
	struct rte_mbuf *fifo[MBUFS];
	unsigned int n;
	/* owner to the thread that frees */
	struct rte_mbuf *handed[HANDED];
	uint32_t head, tail;
	bool stop;
	uint64_t writes, sent, resets;
} s;

/* ---- the guest ---- */

static uint64_t GUEST_CODE
some_gpa(uint64_t r)
{
	const struct zc_map *map = s.out.maps[0];
	const struct zc_region *region = &map->region[r % 3];

	switch (r >> 3 & 31) {
	case 0: /* behind it, or over its end */
		return region->gpa + region->size - (r >> 8) % 64;
	case 1:
		return r >> 8;
	default:
		return region->gpa + (r >> 8) % (region->size - 2048);
	}
}

static uint32_t GUEST_CODE
some_len(uint64_t r)
{
	static const uint32_t lens[] = { 0, 1, 12, 13, 26, 4096, 70000, UINT32_MAX };

	return r & 31 ? 12 + 14 + (r >> 8) % 1500 : lens[r >> 5 & 7];
}

static void GUEST_CODE
write_desc(volatile struct vring_desc *d, uint64_t r, uint16_t flags)
{
	d->addr = some_gpa(r);
	d->len = some_len(r >> 11);
	d->flags = flags | (r >> 36 & 63 ? 0 : r >> 42 & 7);
	d->next = r >> 48 & 63;
}

static void GUEST_CODE
post(struct guest *g, uint64_t r, uint16_t flags)
{
	uint16_t used = *(volatile uint16_t *)&g->used->idx;

	/* After a reset the device begins where the ring is. */
	if ((uint16_t)(g->avail_idx - used) > g->size)
		g->avail_idx = used;
	if ((uint16_t)(g->avail_idx - used) == g->size)
		return;
	write_desc(&g->desc[r % g->size], r >> 8, flags);
	*(volatile uint16_t *)&g->avail->ring[g->avail_idx % g->size] = r % g->size;
	g->avail_idx++;
	__atomic_store_n(&g->avail->idx, g->avail_idx, __ATOMIC_RELEASE);
}

/* One change; flags are those of an honest descriptor. */
static void GUEST_CODE
scribble(struct guest *g, uint64_t r, uint64_t more, uint16_t flags)
{
	volatile struct vring_desc *d = &g->desc[r >> 8 & 31];
	volatile struct vring_desc *table = (void *)g->mem[1];

	switch (r & 15) {
	case 0:
		d->addr = some_gpa(more);
		break;
	case 1:
		d->len = some_len(more);
		break;
	case 2:
		d->flags = more & 0x1f8 ? flags : more & 7;
		break;
	case 3:
		write_desc(&table[more & 63], r >> 16, flags);
		break;
	case 4:
		d->addr = g->map->region[1].gpa;
		d->len = 16 * (more & 63);
		d->flags = VRING_DESC_F_INDIRECT;
		break;
	case 5:
		*(volatile uint16_t *)&g->avail->ring[more & 31] =
				more >> 8 & (more >> 52 ? 31 : 63);
		break;
	case 6:
		if ((more & 0xffff) == 0)
			*(volatile uint16_t *)&g->avail->idx = more >> 16;
		break;
	case 7:
		((volatile uint8_t *)g->mem[2])[more % (32 * 4096)] = r >> 8;
		break;
	default:
		post(g, more, flags);
	}
}

static void *GUEST_CODE
guest_thread(void *arg)
{
	uint64_t rng = *(uint64_t *)arg, n = 0;

	while (!__atomic_load_n(&s.stop, __ATOMIC_RELAXED)) {
		scribble(&s.out, rng_next(&rng), rng_next(&rng), 0);
		scribble(&s.in, rng_next(&rng), rng_next(&rng), VRING_DESC_F_WRITE);
		n += 2;
	}
	s.writes = n;
	return NULL;
}

/* ---- frames that are sent come back from another thread ---- */

static void *
free_thread(void *arg)
{
	bool stop;

	do {
		stop = __atomic_load_n(&s.stop, __ATOMIC_ACQUIRE);
		while (s.tail != __atomic_load_n(&s.head, __ATOMIC_ACQUIRE)) {
			rte_pktmbuf_free(s.handed[s.tail % HANDED]);
			__atomic_store_n(&s.tail, s.tail + 1, __ATOMIC_RELEASE);
		}
	} while (!stop);
	return arg;
}

/* Host mbufs go back by the thread that took them: rte_ring's order is unknown to TSan. */
static bool
hand_over(struct rte_mbuf *m)
{
	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next)
		if (seg->pool != s.tx.pool.mp)
			return false;
	if (s.head - __atomic_load_n(&s.tail, __ATOMIC_ACQUIRE) == HANDED)
		return false;
	s.handed[s.head % HANDED] = m;
	__atomic_store_n(&s.head, s.head + 1, __ATOMIC_RELEASE);
	return true;
}

/* ---- the rings, as they are when the device looks ---- */

static void GUEST_CODE
ring_of(struct guest *g, struct zc_vq_conf *conf)
{
	uint16_t at = *(volatile uint16_t *)&g->avail->idx;

	conf->next_avail = conf->next_used = at;
	*(volatile uint16_t *)&g->used->idx = at;
}

static void
begin(struct guest *g, struct zc_vq_conf *conf)
{
	const uint8_t how[] = { 0, 4 << 1 };
	struct bytes in = { how, how + sizeof(how) };

	guest_init(g);
	guest_begin(g, &in, conf);
}

/* ---- transmit ---- */

static void
check_frame(const struct rte_mbuf *m)
{
	const char *why = "";

	FUZZ_CHECK(rte_mbuf_check(m, 1, &why) == 0, "%s", why);
	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next) {
		uint8_t *hva = rte_pktmbuf_mtod(seg, uint8_t *);

		FUZZ_CHECK(seg->pool != s.tx.pool.mp || guest_holds(&s.out, hva, seg->data_len),
				"%u bytes outside of the guest", seg->data_len);
	}
}

static void
serve_tx(struct zc_vq_conf *conf, uint64_t r)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n;

	/* Attached, copied, or both in a frame. */
	s.tx.limits.threshold = r & 1 ? 64 : 700;
	s.tx.limits.header_bytes = r & 2 ? 0 : 64;
	s.tx.limits.copy = r & 0x1c ? ZC_TX_ATTACH : ZC_TX_COPY_OFF;
	n = zc_tx_take(&s.tx, pkts, BURST);
	for (uint16_t i = 0; i < n; i++) {
		check_frame(pkts[i]);
		if (!hand_over(pkts[i]))
			rte_pktmbuf_free(pkts[i]);
	}
	s.sent += n;
	zc_tx_complete(&s.tx, rte_rdtsc());
	if (s.tx.vq.fault == ZC_VQ_OK)
		return;
	zc_tx_detach(&s.tx);
	ring_of(&s.out, conf);
	FUZZ_CHECK(zc_tx_attach(&s.tx, conf) == 0, "attach");
	s.resets++;
}

/* ---- receive ---- */

static void
refill(void)
{
	if (s.n + 8 <= MBUFS / 2 &&
			rte_mempool_get_bulk(s.ctor.pool.mp, (void **)&s.fifo[s.n], 8) == 0)
		s.n += 8;
}

/* The NIC has written all that a buffer holds. */
static uint16_t
receive(struct rte_mbuf **pkts, uint16_t n, uint16_t len)
{
	n = RTE_MIN(n, s.n);
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i] = s.fifo[i];

		memset((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, 0xa7, CAPACITY);
		m->data_off = RTE_PKTMBUF_HEADROOM;
		m->data_len = m->pkt_len = 14 + len % (CAPACITY - 14);
		m->ol_flags = 0;
	}
	s.n -= n;
	memmove(s.fifo, s.fifo + n, s.n * sizeof(s.fifo[0]));
	zc_ctor_received(&s.ctor, pkts, n);
	return n;
}

static void
bind_ctor(struct zc_ctor *ctor)
{
	s.ctor.rx = ctor != NULL ? &s.rx : NULL;
	s.ctor.bound = s.ctor.rx;
	s.rx.ctor = ctor;
}

static void
reset_rx(struct zc_vq_conf *conf)
{
	s.ctor.rx = NULL;
	rte_pktmbuf_free_bulk(s.fifo, s.n);
	s.n = 0;
	FUZZ_CHECK(s.ctor.armed == 0 && s.ctor.nfree == MBUFS, "%u armed, %u free", s.ctor.armed,
			s.ctor.nfree);
	zc_rx_rewind(&s.rx);
	bind_ctor(NULL);
	zc_rx_detach(&s.rx);
	ring_of(&s.in, conf);
	FUZZ_CHECK(zc_rx_attach(&s.rx, conf, true) == 0, "attach");
	bind_ctor(&s.ctor);
	s.resets++;
}

static void
serve_rx(struct zc_vq_conf *conf, uint64_t r)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n, put;

	refill();
	if ((r & 15) == 0 && s.n > 0) {
		rte_pktmbuf_free(s.fifo[0]);
		memmove(s.fifo, s.fifo + 1, --s.n * sizeof(s.fifo[0]));
	}
	n = receive(pkts, r >> 4 & 15, r >> 8);
	if (r >> 24 & 1 && (pkts[n] = rte_pktmbuf_alloc(s.mp)) != NULL) {
		pkts[n]->data_len = pkts[n]->pkt_len = 60 + (r >> 32) % 1900;
		n++;
	}
	/* Chains that take long to walk are paid in turns. */
	put = zc_rx_put(&s.rx, pkts, n);
	rte_pktmbuf_free_bulk(pkts + put, n - put);
	if (s.rx.vq.fault != ZC_VQ_OK)
		reset_rx(conf);
}

/* ---- the test ---- */

/* A race that nobody ran in proves nothing. */
static bool
is_enough(void)
{
	return s.tx.counters.value[ZCNET_Q_zc_frames] > FRAMES_LEAST &&
			s.rx.counters.value[ZCNET_Q_zc_frames] > FRAMES_LEAST;
}

static void
run(unsigned int seconds, uint64_t seed)
{
	uint64_t end = rte_rdtsc() + seconds * rte_get_tsc_hz(), rng = seed;
	uint64_t last = end + SECONDS_MORE * rte_get_tsc_hz();
	struct zc_vq_conf out, in;
	pthread_t guest, freer;

	begin(&s.out, &out);
	begin(&s.in, &in);
	FUZZ_CHECK(zc_tx_attach(&s.tx, &out) == 0 && zc_rx_attach(&s.rx, &in, true) == 0, "attach");
	bind_ctor(&s.ctor);
	pthread_create(&guest, NULL, guest_thread, &seed);
	pthread_create(&freer, NULL, free_thread, NULL);
	while (rte_rdtsc() < end || (!is_enough() && rte_rdtsc() < last)) {
		serve_tx(&out, rng_next(&rng));
		serve_rx(&in, rng_next(&rng));
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	pthread_join(guest, NULL);
	pthread_join(freer, NULL);
	zc_tx_complete(&s.tx, 0);
	FUZZ_CHECK(s.tx.vq.next_used == s.tx.vq.next_avail, "chains stay taken");
	zc_tx_detach(&s.tx);
	FUZZ_CHECK(zc_tx_fini(&s.tx), "%u segments stay out", zc_tx_out(&s.tx));
	reset_rx(&in);
	zc_rx_detach(&s.rx);
}

int
main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10, before;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : rte_rdtsc();

	printf("seed %ju\n", (uintmax_t)seed);
	fflush(stdout);
	if (unit_eal_start() < 0 || unit_register_ops() < 0)
		return 1;
	unit_be_lcore(OWNER);
	s.mp = unit_host_pool(512, 2048);
	before = rte_mempool_avail_count(s.mp);
	FUZZ_CHECK(zc_tx_init(&s.tx, unit_pool_name(), s.mp, SOCKET_ID_ANY) == 0, "pool");
	FUZZ_CHECK(zc_ctor_init(&s.ctor, unit_pool_name(), MBUFS, CAPACITY, SOCKET_ID_ANY) == 0,
			"pool");
	s.ctor.owner = OWNER;
	s.rx.copy_counter = ZCNET_Q_copy_foreign;
	s.tx.limits = (struct zc_tx_limits){ .frame_min = 60,
		.frame_max = 9018,
		.out_max = ZC_TX_SLOTS / 2,
		.segs_max = 64 };
	run(seconds, seed);
	FUZZ_CHECK(rte_mempool_avail_count(s.mp) == before, "host mbufs stay");
	zc_ctor_fini(&s.ctor);
	printf("%ju writes, %ju frames sent (%ju in place), %ju received (%ju in place), "
	       "%ju resets\n",
			(uintmax_t)s.writes, (uintmax_t)s.sent,
			(uintmax_t)s.tx.counters.value[ZCNET_Q_zc_frames],
			(uintmax_t)s.rx.counters.value[ZCNET_Q_frames],
			(uintmax_t)s.rx.counters.value[ZCNET_Q_zc_frames], (uintmax_t)s.resets);
	unit_eal_fini(NULL);
	return is_enough() ? 0 : 1;
}

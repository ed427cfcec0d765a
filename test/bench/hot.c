/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two ways through zcopy/ on heap rings in one thread, with next to nothing around them: a
 * guest's frames to a NIC that frees them at once, and frames of a NIC to a guest.
 *
 * Run as it is, it prints cycles per frame. Under callgrind, told by instructions.py to look only
 * at what measured() calls, it is counted: the same instructions on every run. What the guest
 * does, and what a NIC does to its own descriptors, is outside of measured().
 *
 *     out/BYTES[xDESCRIPTORS][/h64][/single]   guest to NIC; a 64-byte header segment; the NIC's
 *                                              driver frees one by one and not the whole burst
 *     in/BYTES[/bounce|/foreign]               NIC to guest: in place, or copied out of one of the
 *                                              constructor's host buffers or another pool's
 *
 * With "scale" it compares two threads, each with a queue and a core of its own, with one.
 */
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

#include "eal.h"
#include "guest/map.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"
#include "zcopy/tx.h"

#define RING 256
#define BUF 2368 /* as far apart as mbufs of a DPDK guest */
#define GPA 0x10000000ULL
#define HDR 12
#define BURST 32
#define WARM_ROUNDS 16
#define ROUNDS_MAX 100000

enum way { OUT, IN };
enum from { IN_PLACE, BOUNCE, FOREIGN };

struct cell {
	const char *name;
	enum way way;
	uint32_t bytes;
	uint32_t desc; /* descriptors of a frame from the guest */
	uint32_t header_bytes;
	bool single;
	enum from from;
};

/* clang-format off */
static const struct cell cells[] = {
	{ "out/64", OUT, 64, 1, 0, false, 0 },
	{ "out/64/single", OUT, 64, 1, 0, true, 0 },
	{ "out/1518", OUT, 1518, 1, 0, false, 0 },
	{ "out/1518/single", OUT, 1518, 1, 0, true, 0 },
	{ "out/1518/h64", OUT, 1518, 1, 64, false, 0 },
	{ "out/1518/h64/single", OUT, 1518, 1, 64, true, 0 },
	{ "out/4096x3", OUT, 4096, 3, 0, false, 0 },
	{ "out/4096x3/single", OUT, 4096, 3, 0, true, 0 },
	{ "out/9000x6", OUT, 9000, 6, 0, false, 0 },
	{ "out/9000x6/single", OUT, 9000, 6, 0, true, 0 },
	{ "out/9000x6/h64", OUT, 9000, 6, 64, false, 0 },
	{ "in/64", IN, 64, 1, 0, false, IN_PLACE },
	{ "in/1518", IN, 1518, 1, 0, false, IN_PLACE },
	{ "in/64/bounce", IN, 64, 1, 0, false, BOUNCE },
	{ "in/1518/bounce", IN, 1518, 1, 0, false, BOUNCE },
	{ "in/64/foreign", IN, 64, 1, 0, false, FOREIGN },
	{ "in/1518/foreign", IN, 1518, 1, 0, false, FOREIGN },
};
/* clang-format on */

/* One cell being run. */
struct rig {
	const struct cell *cell;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct rte_mempool *host;
	uint32_t posted; /* chains, for ever */
	struct zc_tx *tx;
	struct zc_rx *rx;
	struct zc_ctor *ctor;
	struct rte_mbuf *pkts[BURST];
};

static struct zc_map *map;

static void
die(const char *what, const struct rig *rig)
{
	fprintf(stderr, "hot: %s: %s\n", rig->cell->name, what);
	exit(1);
}

static void *
lines(size_t size)
{
	void *p = aligned_alloc(4096, RTE_ALIGN_CEIL(size, 4096));

	if (p == NULL)
		exit(1);
	return memset(p, 0, size);
}

/* ---- the guest ---- */

static void
lay_out(struct rig *rig)
{
	uint32_t n = rig->cell->desc, frame = rig->cell->bytes + HDR;
	uint16_t flags = rig->cell->way == IN ? VRING_DESC_F_WRITE : 0;

	rig->desc = lines(RING * sizeof(struct vring_desc));
	rig->avail = lines(4096);
	rig->used = lines(4096);
	rig->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (uint32_t i = 0; i < RING; i++) {
		bool last = i % n == n - 1;

		rig->desc[i] = (struct vring_desc){
			.addr = GPA + i * BUF,
			.len = rig->cell->way == IN ? 2048 :
					last        ? frame - (n - 1) * (frame / n) :
						      frame / n,
			.flags = flags | (last ? 0 : VRING_DESC_F_NEXT),
			.next = i + 1,
		};
	}
}

/* Frames of a round: a burst, unless that is more than a queue may take at once. */
static uint16_t
burst_of(const struct cell *cell)
{
	return cell->bytes * BURST < ZC_TX_BURST_BYTES ? BURST : BURST / 2;
}

static void
post(struct rig *rig, uint32_t n)
{
	uint32_t chains = RING / rig->cell->desc;

	for (; n > 0; n--, rig->posted++)
		rig->avail->ring[rig->posted % RING] = rig->posted % chains * rig->cell->desc;
	__atomic_store_n(&rig->avail->idx, (uint16_t)rig->posted, __ATOMIC_RELEASE);
}

static void
attach(struct rig *rig)
{
	const struct zc_vq_conf conf = {
		.desc = rig->desc,
		.avail = rig->avail,
		.used = rig->used,
		.size = RING,
		.hdr_len = HDR,
		.callfd = -1,
		.map = map,
	};

	if (rig->cell->way == OUT) {
		rig->tx = lines(sizeof(*rig->tx));
		if (zc_tx_init(rig->tx, unit_pool_name(), rig->host, SOCKET_ID_ANY) < 0 ||
				zc_tx_attach(rig->tx, &conf) < 0)
			die("no queue", rig);
		rig->tx->limits = (struct zc_tx_limits){
			.threshold = 256,
			.frame_min = 14,
			.frame_max = RTE_MAX(rig->cell->bytes, 1518u),
			.header_bytes = rig->cell->header_bytes,
			.out_max = 1024,
			.segs_max = 64,
			.copy = ZC_TX_ATTACH,
		};
		return;
	}
	rig->rx = lines(sizeof(*rig->rx));
	rig->ctor = lines(sizeof(*rig->ctor));
	if (zc_rx_attach(rig->rx, &conf, true) < 0 ||
			zc_ctor_init(rig->ctor, unit_pool_name(), 512, 1518, SOCKET_ID_ANY) < 0)
		die("no queue", rig);
	rig->ctor->owner = rte_lcore_id();
	rig->ctor->bound = rig->rx;
	rig->ctor->rx = rig->rx;
	rig->ctor->disarmed = rig->cell->from != IN_PLACE;
	rig->rx->ctor = rig->ctor;
	rig->rx->copy_counter = ZCNET_Q_copy_off;
}

/* ---- what is measured ---- */

static void
burst_out(struct rig *rig)
{
	uint16_t n = zc_tx_take(rig->tx, rig->pkts, BURST);

	if (rig->cell->single)
		for (uint16_t i = 0; i < n; i++)
			rte_pktmbuf_free(rig->pkts[i]);
	else
		rte_pktmbuf_free_bulk(rig->pkts, n);
	zc_tx_complete(rig->tx, 0);
}

static void
refill(struct rig *rig)
{
	if (rte_mempool_get_bulk(rig->ctor->pool.mp, (void **)rig->pkts, BURST) < 0)
		die("out of mbufs", rig);
}

static void
burst_in(struct rig *rig)
{
	if (rig->cell->from != FOREIGN)
		zc_ctor_received(rig->ctor, rig->pkts, BURST);
	zc_rx_put(rig->rx, rig->pkts, BURST);
}

/* Functions that callgrind is told by name: called as they stand here. */
#ifdef __clang__
#define ON_ITS_OWN __rte_noinline
#else
#define ON_ITS_OWN __attribute__((noipa))
#endif

/* callgrind counts from here to its return, whatever is called. */
static ON_ITS_OWN void
measured(void (*part)(struct rig *), struct rig *rig)
{
	part(rig);
	__asm__ volatile(""); /* no jump instead of a call */
}

/* callgrind begins at 0 where a cell begins, and writes down what it has where one ends. */
static ON_ITS_OWN void
cell_begins(void)
{
	__asm__ volatile("");
}

static ON_ITS_OWN void
cell_ends(void)
{
	__asm__ volatile("");
}

/* ---- rounds ---- */

/* @return cycles */
static uint64_t
timed(void (*part)(struct rig *), struct rig *rig)
{
	uint64_t begin = rte_rdtsc();

	measured(part, rig);
	return rte_rdtsc() - begin;
}

/* What a NIC's receive path writes into an mbuf. */
static void
receive(struct rig *rig)
{
	for (uint16_t i = 0; i < BURST; i++) {
		rig->pkts[i]->data_off = RTE_PKTMBUF_HEADROOM;
		rig->pkts[i]->pkt_len = rig->cell->bytes;
		rig->pkts[i]->data_len = rig->cell->bytes;
	}
}

static uint64_t
one_round(struct rig *rig)
{
	uint64_t cycles = 0;

	if (rig->cell->way == OUT) {
		post(rig, burst_of(rig->cell));
		return timed(burst_out, rig);
	}
	if (rig->cell->from != FOREIGN)
		cycles = timed(refill, rig);
	else if (rte_pktmbuf_alloc_bulk(rig->host, rig->pkts, BURST) < 0)
		die("out of mbufs", rig);
	receive(rig);
	cycles += timed(burst_in, rig);
	post(rig, BURST);
	return cycles;
}

/* Did every frame go the way that the cell is named after? */
static void
check(const struct rig *rig, uint32_t rounds)
{
	const struct cell *cell = rig->cell;
	uint64_t frames = (uint64_t)(rounds + WARM_ROUNDS) * burst_of(cell), found;
	const uint64_t *count;

	if (cell->way == OUT) {
		count = rig->tx->counters.value;
		found = count[cell->bytes < 256 ? ZCNET_Q_copy_small : ZCNET_Q_zc_frames];
	} else {
		count = rig->rx->counters.value;
		found = count[cell->from == IN_PLACE                 ? ZCNET_Q_zc_frames :
						cell->from == BOUNCE ? ZCNET_Q_copy_bounce :
								       ZCNET_Q_copy_off];
	}
	if (found != frames || rig->used->idx != (uint16_t)frames)
		die("frames went another way", rig);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Cycles a frame: half of the bursts took less, and a hundredth of them. */
struct result {
	double median, best;
};

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static void
make(struct rig *rig)
{
	pthread_mutex_lock(&making);
	lay_out(rig);
	attach(rig);
	pthread_mutex_unlock(&making);
}

static void
drop(struct rig *rig)
{
	pthread_mutex_lock(&making);
	if (rig->tx != NULL) {
		zc_tx_detach(rig->tx);
		if (!zc_tx_fini(rig->tx))
			die("buffers are still out", rig);
	} else {
		zc_rx_detach(rig->rx);
		zc_ctor_fini(rig->ctor);
	}
	pthread_mutex_unlock(&making);
	free(rig->tx);
	free(rig->rx);
	free(rig->ctor);
	free(rig->desc);
	free(rig->avail);
	free(rig->used);
}

static struct result
run(const struct cell *cell, struct rte_mempool *host, uint32_t rounds, pthread_barrier_t *begin)
{
	struct rig rig = { .cell = cell, .host = host };
	uint64_t *sample = lines(rounds * sizeof(*sample));
	struct result result;

	make(&rig);
	if (cell->way == IN)
		post(&rig, RING);
	for (uint32_t i = 0; i < WARM_ROUNDS; i++)
		one_round(&rig);
	if (begin != NULL)
		pthread_barrier_wait(begin);
	cell_begins();
	for (uint32_t i = 0; i < rounds; i++)
		sample[i] = one_round(&rig);
	cell_ends();
	check(&rig, rounds);
	drop(&rig);
	qsort(sample, rounds, sizeof(sample[0]), by_value);
	result.median = (double)sample[rounds / 2] / burst_of(cell);
	result.best = (double)sample[rounds / 100] / burst_of(cell);
	free(sample);
	return result;
}

/* ---- two threads beside one ---- */

#define SCALE_ROUNDS 20000
#define SCALE_TIMES 7

struct worker {
	unsigned int lcore;
	const struct cell *cell;
	struct rte_mempool *host;
	pthread_barrier_t *begin;
	double cycles;
};

static void *
work(void *arg)
{
	struct worker *worker = arg;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(worker->lcore, &cpu);
	pthread_setaffinity_np(pthread_self(), sizeof(cpu), &cpu);
	unit_be_lcore(worker->lcore);
	worker->cycles = run(worker->cell, worker->host, SCALE_ROUNDS, worker->begin).median;
	return NULL;
}

/* @return frames a cycle of @n threads together */
static double
together(const struct cell *cell, struct rte_mempool *host, unsigned int n)
{
	struct worker worker[2];
	pthread_t thread[2];
	pthread_barrier_t begin;
	double sum = 0;

	pthread_barrier_init(&begin, NULL, n);
	for (unsigned int i = 0; i < n; i++) {
		worker[i] = (struct worker){ i, cell, host, &begin, 0 };
		pthread_create(&thread[i], NULL, work, &worker[i]);
	}
	for (unsigned int i = 0; i < n; i++) {
		pthread_join(thread[i], NULL);
		sum += 1 / worker[i].cycles;
	}
	pthread_barrier_destroy(&begin);
	return sum;
}

/* One line a cell, as JSON: how many times what one does two do, several times over. */
static void
scale(struct rte_mempool *host)
{
	static const char *const of[] = { "out/64", "out/1518", "out/9000x6", "in/1518" };

	for (size_t i = 0; i < RTE_DIM(cells); i++) {
		for (size_t k = 0; k < RTE_DIM(of); k++) {
			if (strcmp(cells[i].name, of[k]) != 0)
				continue;
			printf("{\"cell\": \"%s\", \"times\": [", of[k]);
			for (int n = 0; n < SCALE_TIMES; n++)
				printf("%s%.3f", n > 0 ? ", " : "",
						together(&cells[i], host, 2) /
								together(&cells[i], host, 1));
			printf("]}\n");
		}
	}
}

/* ---- the program ---- */

/* On what the number of instructions depends, besides the code. */
static void
tell_tools(void)
{
	printf("tools: %s %s, %s, glibc %s%s\n",
#ifdef __clang__
			"clang",
#else
			"gcc",
#endif
			__VERSION__, rte_version(), gnu_get_libc_version(),
			__builtin_cpu_supports("avx2") ? ", AVX2" : "");
}

static bool
is_chosen(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(name, argv[i]) == 0)
			return true;
	return argc <= 2;
}

static void
run_chosen(struct rte_mempool *host, uint32_t rounds, int argc, char **argv)
{
	for (size_t i = 0; i < RTE_DIM(cells); i++) {
		struct result result;

		if (!is_chosen(cells[i].name, argc, argv))
			continue;
		result = run(&cells[i], host, rounds, NULL);
		printf("%-20s %7.1f cycles a frame, at best %.1f, of %" PRIu64 " frames\n",
				cells[i].name, result.median, result.best,
				(uint64_t)rounds * burst_of(&cells[i]));
	}
}

int
main(int argc, char **argv)
{
	bool scaling = argc == 2 && strcmp(argv[1], "scale") == 0;
	uint32_t rounds = argc > 1 && !scaling ? strtoul(argv[1], NULL, 10) : 20000;
	struct zc_region region = { .gpa = GPA, .size = RING * BUF };
	struct rte_mempool *host;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: hot [ROUNDS [CELL...]] | hot scale\n");
		return 2;
	}
	if (!scaling)
		tell_tools();
	if (unit_eal_start() < 0 || unit_register_ops() < 0)
		return 1;
	region.hva = lines(region.size);
	region.iova = (uintptr_t)region.hva;
	map = zc_map_create_plain(&region, 1);
	host = rte_pktmbuf_pool_create("hot", 2047, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
			SOCKET_ID_ANY);
	if (map == NULL || host == NULL)
		return 1;
	if (scaling)
		scale(host);
	else
		run_chosen(host, rounds, argc, argv);
	unit_eal_fini(NULL);
	return 0;
}

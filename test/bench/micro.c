/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles per frame of the two ways through zcopy/, on heap rings in one thread: guest to a NIC
 * that frees at once, and a NIC that receives at once to guest. Prints the minimum and the
 * median of many bursts, so that it says something on a machine that does other work.
 *
 * usage: micro [EAL arguments] -- [BYTES...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <zcnet_mempool_guest.h>

#include "guest/map.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"
#include "zcopy/tx.h"

#define RING 256
#define BUF 2368 /* as far apart as mbufs of a DPDK guest */
#define GPA 0x10000000ULL
#define BURST 32
#define ROUNDS 100000

struct ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

static uint8_t *memory;
static struct zc_map *map;
static uint64_t sample[ROUNDS];

static struct ring
make_ring(uint32_t len, uint16_t flags)
{
	struct ring r = {
		.desc = aligned_alloc(4096, RING * sizeof(struct vring_desc)),
		.avail = aligned_alloc(4096, 4096),
		.used = aligned_alloc(4096, 4096),
	};

	memset(r.avail, 0, 4096);
	memset(r.used, 0, 4096);
	for (int i = 0; i < RING; i++) {
		r.desc[i] = (struct vring_desc){ .addr = GPA + i * BUF,
			.len = len,
			.flags = flags };
		r.avail->ring[i] = i;
	}
	return r;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
report(const char *what, uint32_t bytes)
{
	qsort(sample, ROUNDS, sizeof(sample[0]), by_value);
	printf("%s %u bytes: %.1f cycles per frame at least, %.1f median\n", what, bytes,
			(double)sample[ROUNDS / 100] / BURST, (double)sample[ROUNDS / 2] / BURST);
}

static struct zc_vq_conf
conf_of(const struct ring *r)
{
	return (struct zc_vq_conf){
		.desc = r->desc,
		.avail = r->avail,
		.used = r->used,
		.size = RING,
		.hdr_len = 12,
		.callfd = -1,
		.map = map,
	};
}

static void
out(uint32_t bytes, struct rte_mempool *mp)
{
	struct ring r = make_ring(bytes + 12, 0);
	struct zc_vq_conf conf = conf_of(&r);
	struct zc_tx *tx = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*tx), 64));
	struct rte_mbuf *pkts[BURST];
	uint16_t avail = 0;

	if (zc_tx_init(tx, "micro_tx", mp, SOCKET_ID_ANY) < 0 || zc_tx_attach(tx, &conf) < 0)
		rte_exit(1, "tx\n");
	tx->limits = (struct zc_tx_limits){
		.threshold = 256,
		.frame_max = 65535,
		.out_max = 1024,
		.segs_max = 64,
		.copy = ZC_TX_ATTACH,
	};
	r.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin;
		uint16_t n;

		avail += BURST;
		__atomic_store_n(&r.avail->idx, avail, __ATOMIC_RELEASE);
		begin = rte_rdtsc();
		n = zc_tx_take(tx, pkts, BURST);
		for (int k = 0; k < n; k++)
			rte_pktmbuf_free(pkts[k]);
		zc_tx_complete(tx, begin);
		sample[i] = rte_rdtsc() - begin;
		if (n != BURST || r.used->idx != avail)
			rte_exit(1, "took %u, used %u of %u\n", n, r.used->idx, avail);
	}
	report("guest to NIC", bytes);
	zc_tx_detach(tx);
	zc_tx_fini(tx);
	free(tx);
}

static void
in(uint32_t bytes)
{
	struct ring r = make_ring(2048 + 12, VRING_DESC_F_WRITE);
	struct zc_vq_conf conf = conf_of(&r);
	struct zc_rx *rx = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*rx), 64));
	struct zc_ctor *ctor = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*ctor), 64));
	struct rte_mbuf *pkts[BURST];
	uint16_t avail = RING;

	memset(rx, 0, sizeof(*rx));
	if (zc_rx_attach(rx, &conf, true) < 0 ||
			zc_ctor_init(ctor, "micro_rx", 512, 1518, SOCKET_ID_ANY) < 0)
		rte_exit(1, "rx\n");
	ctor->owner = rte_lcore_id();
	ctor->bound = rx;
	ctor->rx = rx;
	rx->ctor = ctor;
	r.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	r.avail->idx = avail;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin = rte_rdtsc();

		if (rte_pktmbuf_alloc_bulk(ctor->pool.mp, pkts, BURST) != 0)
			rte_exit(1, "alloc\n");
		for (int k = 0; k < BURST; k++) {
			pkts[k]->pkt_len = bytes;
			pkts[k]->data_len = bytes;
		}
		zc_ctor_received(ctor, pkts, BURST);
		zc_rx_put(rx, pkts, BURST);
		sample[i] = rte_rdtsc() - begin;
		avail += BURST;
		__atomic_store_n(&r.avail->idx, avail, __ATOMIC_RELEASE);
	}
	if (rx->counters.value[ZCNET_Q_zc_frames] != (uint64_t)ROUNDS * BURST)
		rte_exit(1, "not in place\n");
	report("NIC to guest", bytes);
	zc_rx_detach(rx);
	zc_ctor_fini(ctor);
	free(rx);
	free(ctor);
}

int
main(int argc, char **argv)
{
	static const uint32_t usual[] = { 64, 256, 1518 };
	int ret = rte_eal_init(argc, argv);
	struct zc_region region = { .gpa = GPA, .size = RING * BUF };
	struct rte_mempool *mp;

	if (ret < 0 || zcnet_mempool_guest_register() < 0)
		return 1;
	memory = rte_zmalloc(NULL, RING * BUF, 4096);
	memset(memory, 0, RING * BUF);
	region.hva = memory;
	region.iova = (uintptr_t)memory;
	map = zc_map_create_plain(&region, 1);
	mp = rte_pktmbuf_pool_create("micro_copy", 1023, 256, 0, 2176, SOCKET_ID_ANY);
	if (map == NULL || mp == NULL)
		return 1;
	for (size_t i = 0; i < RTE_DIM(usual); i++) {
		if (getenv("MB_IN") == NULL)
			out(usual[i], mp);
		if (getenv("MB_OUT") == NULL)
			in(usual[i]);
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two guests on one worker: what the chains of one cost the other.
 *
 * A turn takes a burst from the first queue and 32 small frames from the second, as the worker
 * does. The first guest costs nothing itself: its ring is always full, with the same chains. How
 * long a turn takes, against one with the first ring empty, is what the second guest loses. The
 * shortest of many samples counts, so that a busy machine does not.
 */
#include <rte_cycles.h>

#include "rig.h"

#include "eal.h"
#include "zcopy/rx.h"
#include "zcopy/tx.h"

#define RING 1024
#define GPA 0x10000000ULL
#define BYTES (8u << 20)
#define BURST 32
#define TURNS 600
#define SAMPLES 30
#define SAMPLES_MAX 1000 /* while one of the two has seen no quiet moment */

/* A ring on plain memory, worked by nobody: the test writes avail->idx and that is all. */
struct guest {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct zc_tx tx;
	struct zc_rx rx;
};

static struct rte_mempool *host_mp;
static struct zc_map *map;
static struct guest a, b;

static void *
zeros(size_t size)
{
	void *p = aligned_alloc(4096, RTE_ALIGN_CEIL(size, 4096));

	assert_non_null(p);
	return memset(p, 0, size);
}

static void
guest_create(struct guest *g)
{
	g->desc = zeros(RING * sizeof(g->desc[0]));
	g->avail = zeros(sizeof(*g->avail) + (RING + 1) * sizeof(g->avail->ring[0]));
	g->used = zeros(sizeof(*g->used) + (RING + 1) * sizeof(g->used->ring[0]));
	g->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_int_equal(zc_tx_init(&g->tx, unit_pool_name(), host_mp, SOCKET_ID_ANY), 0);
	g->tx.limits = (struct zc_tx_limits){ .threshold = 256,
		.frame_min = 14,
		.frame_max = 1522,
		.out_max = ZC_TX_SLOTS,
		.segs_max = 4,
		.copy = ZC_TX_ATTACH };
}

static struct zc_vq_conf
vq_conf(const struct guest *g)
{
	return (struct zc_vq_conf){ .desc = g->desc,
		.avail = g->avail,
		.used = g->used,
		.size = RING,
		.hdr_len = 12,
		.indirect = true,
		.callfd = -1,
		.map = map };
}

static void
guest_destroy(struct guest *g)
{
	assert_true(zc_tx_fini(&g->tx));
	free(g->desc);
	free(g->avail);
	free(g->used);
}

/* ---- chains ---- */

/* Every chain @n descriptors of @len bytes, one after the other in the table. */
static void
chains(struct guest *g, unsigned int n, uint32_t len, uint16_t flags)
{
	for (unsigned int i = 0; i < RING; i++) {
		g->desc[i] = (struct vring_desc){ .addr = GPA + i * 4096ULL,
			.len = len,
			.flags = flags | ((i + 1) % n != 0 ? VRING_DESC_F_NEXT : 0),
			.next = (i + 1) % RING };
		g->avail->ring[i] = i / n * n;
	}
}

static void
good(struct guest *g)
{
	chains(g, 1, 12 + 64, 0);
}

static void
wrong_address(struct guest *g)
{
	good(g);
	for (unsigned int i = 0; i < RING; i++)
		g->desc[i].addr = 1;
}

static void
wrong_direction(struct guest *g)
{
	chains(g, 4, 100, 0);
	for (unsigned int i = 3; i < RING; i += 4)
		g->desc[i].flags = VRING_DESC_F_WRITE;
}

static void
header_alone(struct guest *g)
{
	chains(g, 1, 12, 0);
}

static void
too_long(struct guest *g)
{
	chains(g, 1, 12 + 1523, 0);
}

static void
loop(struct guest *g)
{
	chains(g, 1, 1, 0);
	for (unsigned int i = 0; i < RING; i++)
		g->desc[i].flags = VRING_DESC_F_NEXT;
}

/* A table of 512 entries, the last with the wrong direction. */
static void
long_table(struct guest *g)
{
	struct vring_desc *table = zc_map_hva(map, GPA + BYTES - 65536, 65536);

	for (unsigned int i = 0; i < 512; i++)
		table[i] = (struct vring_desc){ .addr = GPA + i,
			.len = 1,
			.flags = i < 511 ? VRING_DESC_F_NEXT : VRING_DESC_F_WRITE,
			.next = i + 1 };
	good(g);
	for (unsigned int i = 0; i < RING; i++)
		g->desc[i] = (struct vring_desc){ .addr = GPA + BYTES - 65536,
			.len = 512 * sizeof(table[0]),
			.flags = VRING_DESC_F_INDIRECT };
}

static void
eight(struct guest *g)
{
	chains(g, 8, 16, 0);
}

static void
five_hundred(struct guest *g)
{
	chains(g, 512, 2, 0);
}

static void
two_hundred(struct guest *g)
{
	chains(g, 256, 4, 0);
}

/* For receiving. */
static void
pieces_512(struct guest *g)
{
	chains(g, 512, 2, VRING_DESC_F_WRITE);
}

static void
pieces_256(struct guest *g)
{
	chains(g, 256, 1, VRING_DESC_F_WRITE);
}

static void
pieces_8(struct guest *g)
{
	chains(g, 8, 128, VRING_DESC_F_WRITE);
}

static void
one_byte(struct guest *g)
{
	chains(g, 1, 13, VRING_DESC_F_WRITE);
}

static void
none_fits(struct guest *g)
{
	chains(g, 1, 12, VRING_DESC_F_WRITE);
}

/* ---- turns ---- */

static struct rte_mbuf *frames[BURST]; /* for the first guest, NULL: it sends */

static void
run_tx(struct guest *g)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = zc_tx_take(&g->tx, m, BURST);

	rte_pktmbuf_free_bulk(m, n);
	if (g->tx.vq.next_used != g->tx.vq.next_avail)
		zc_tx_complete(&g->tx, 0);
}

/* A stream keeps what isn't taken, so frames don't run out. */
static void
run_rx(struct guest *g)
{
	for (unsigned int k = 0; k < BURST; k++)
		rte_mbuf_refcnt_set(frames[k], 2);
	zc_rx_put(&g->rx, frames, BURST);
}

static uint64_t
turns(bool posts, bool rx)
{
	uint64_t begin = rte_rdtsc();

	for (unsigned int i = 0; i < TURNS; i++) {
		if (rx)
			run_rx(&a);
		else
			run_tx(&a);
		run_tx(&b);
		b.avail->idx = b.tx.vq.next_used + RING;
		if (posts)
			a.avail->idx = (rx ? a.rx.vq.next_used : a.tx.vq.next_used) + RING;
	}
	return rte_rdtsc() - begin;
}

/* Turns with the first guest's ring full of what @fill makes; NULL: empty. */
static uint64_t
sample(void (*fill)(struct guest *g), bool rx, bool mergeable)
{
	struct zc_vq_conf conf_a = vq_conf(&a), conf_b = vq_conf(&b);
	uint64_t cycles;

	if (fill != NULL)
		fill(&a);
	good(&b);
	a.avail->idx = b.avail->idx = 0;
	assert_int_equal(rx ? zc_rx_attach(&a.rx, &conf_a, mergeable) :
			      zc_tx_attach(&a.tx, &conf_a),
			0);
	assert_int_equal(zc_tx_attach(&b.tx, &conf_b), 0);
	cycles = turns(fill != NULL, rx);
	assert_int_equal(b.tx.vq.fault, ZC_VQ_OK);
	assert_int_equal(rx ? a.rx.vq.fault : a.tx.vq.fault, ZC_VQ_OK);
	if (rx)
		zc_rx_detach(&a.rx);
	else
		zc_tx_detach(&a.tx);
	zc_tx_detach(&b.tx);
	return cycles;
}

struct kind {
	const char *name;
	void (*fill)(struct guest *g);
	bool rx, mergeable;
};

/*
 * How much longer a turn takes with one kind than with another. Turn by turn: a machine that
 * slows down does so for both.
 */
static void
costs(const struct kind *kind, const struct kind *base, double most)
{
	uint64_t one = UINT64_MAX, other = UINT64_MAX;
	double ratio = 0;

	for (unsigned int i = 0; i < SAMPLES || (i < SAMPLES_MAX && ratio > most); i++) {
		one = RTE_MIN(one, sample(base->fill, base->rx, base->mergeable));
		other = RTE_MIN(other, sample(kind->fill, kind->rx, kind->mergeable));
		ratio = (double)other / (double)one;
	}
	print_message("  %-16s %6u cycles a turn, %s %6u: %.2f\n", kind->name,
			(unsigned int)(other / TURNS), base->name, (unsigned int)(one / TURNS),
			ratio);
	if (ratio > most)
		fail_msg("%s: a turn takes %.2f times as long, %.2f at most", kind->name, ratio,
				most);
}

static void
malformed_chains(void **state)
{
	static const struct kind idle = { "idle", NULL, false, false };
	static const struct kind kinds[] = {
		{ "wrong address", wrong_address, false, false },
		{ "wrong direction", wrong_direction, false, false },
		{ "header alone", header_alone, false, false },
		{ "too long", too_long, false, false },
		{ "loop", loop, false, false },
		{ "long table", long_table, false, false },
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		costs(&kinds[i], &idle, 1.10);
}

/* Legal, and no dearer than 32 frames of 8 descriptors. */
static void
long_chains(void **state)
{
	static const struct kind many = { "32 x 8", eight, false, false };
	static const struct kind kinds[] = {
		{ "256", two_hundred, false, false },
		{ "512", five_hundred, false, false },
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		costs(&kinds[i], &many, 1.5);
}

static void
long_receive_chains(void **state)
{
	static const struct kind many = { "32 x 8", pieces_8, true, false };
	static const struct kind kinds[] = {
		{ "512", pieces_512, true, false },
		{ "256, merged", pieces_256, true, true },
		/* A frame takes 77 chains, or is dropped for want of them. */
		{ "1 byte, merged", one_byte, true, true },
		{ "none fits", none_fits, true, false },
	};

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(host_mp, frames, BURST), 0);
	for (unsigned int i = 0; i < BURST; i++)
		assert_non_null(rte_pktmbuf_append(frames[i], 1000));
	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		costs(&kinds[i], &many, 1.5);
	for (unsigned int i = 0; i < BURST; i++) {
		rte_mbuf_refcnt_set(frames[i], 1);
		rte_pktmbuf_free(frames[i]);
	}
}

static int
group_setup(void **state)
{
	struct zc_region region = { .gpa = GPA, .size = BYTES, .iova = RIG_IOVA(GPA) };

	if (unit_eal_init(state) < 0)
		return -1;
	host_mp = unit_host_pool(4096, 2048);
	region.hva = zeros(BYTES);
	map = zc_map_create_plain(&region, 1);
	if (map == NULL)
		return -1;
	guest_create(&a);
	guest_create(&b);
	return 0;
}

static int
group_teardown(void **state)
{
	guest_destroy(&a);
	guest_destroy(&b);
	free(map->region[0].hva);
	zc_map_put(map);
	rte_mempool_free(host_mp);
	return unit_eal_fini(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_chains),
		cmocka_unit_test(long_chains),
		cmocka_unit_test(long_receive_chains),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

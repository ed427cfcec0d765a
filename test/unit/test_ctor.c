/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page constructor as a driver meets it: real mempool calls on one side, a guest's ring on the
 * other.
 */
#include <rte_lcore.h>

#include "rig.h"

#include "eal.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"

#define OWNER 3
#define OTHER 4
#define SIZE 96
#define CAPACITY 2048
#define FIT (12 + CAPACITY)

static struct zc_ctor ctor;
static struct zc_rx rx;
static struct rte_mempool *host_mp;
static struct fake_guest *g;
static struct gqueue *q;
static struct zc_map *map;

/* @return the pool, no guest behind it */
static struct rte_mempool *
ctor_create(void)
{
	assert_int_equal(zc_ctor_init(&ctor, unit_pool_name(), SIZE, CAPACITY, SOCKET_ID_ANY), 0);
	ctor.owner = OWNER;
	unit_be_lcore(OWNER);
	return ctor.pool.mp;
}

static void
ctor_destroy(void)
{
	zc_ctor_collect(&ctor);
	assert_int_equal(ctor.nfree, SIZE);
	assert_int_equal(ctor.in_nic, 0);
	assert_int_equal(ctor.armed, 0);
	zc_ctor_fini(&ctor);
	assert_null(ctor.pool.mp);
}

static struct rte_mempool *
armed_create(uint64_t without)
{
	struct rte_mempool *mp = ctor_create();
	struct zc_vq_conf conf;

	g = rig_guest(64, 8192, without);
	q = fake_guest_rx(g, 0);
	rig_start_at(q, 65520);
	map = rig_map(&g->mem);
	conf = rig_vq_conf(q, map);
	memset(&rx, 0, sizeof(rx));
	assert_int_equal(zc_rx_attach(&rx, &conf, !(without & BIT(VIRTIO_NET_F_MRG_RXBUF))), 0);
	rx.copy_counter = ZCNET_Q_copy_foreign;
	rx.ctor = &ctor;
	ctor.bound = &rx;
	ctor.rx = &rx;
	return mp;
}

static void
armed_destroy(void)
{
	ctor.rx = NULL;
	zc_ctor_collect(&ctor);
	assert_int_equal(ctor.armed_old, 0);
	zc_rx_rewind(&rx);
	ctor.bound = NULL;
	ctor_destroy();
	zc_rx_detach(&rx);
	zc_map_put(map);
	fake_guest_destroy(g);
}

static void
post(unsigned int n, uint32_t len, const char *layout)
{
	for (; n > 0; n--) {
		int ret = gqueue_rx_post(q, len, layout_by_name(layout));

		if (ret < 0)
			fail_msg("post %u bytes, %s: %d", len, layout, ret);
	}
	drv_ring_publish(&q->ring);
}

static bool
is_bounce(struct rte_mbuf *m)
{
	struct zc_priv *priv = zc_priv(m);

	assert_int_equal(m->buf_addr == priv->host_addr, !priv->armed);
	assert_int_equal(m->buf_iova == priv->host_iova, !priv->armed);
	return !priv->armed;
}

/* Points the mbuf at the buffer of the chain at @p pos, @p skip bytes behind its header? */
static void
aims_at(struct rte_mbuf *m, uint16_t pos, unsigned int piece, uint32_t skip)
{
	uint16_t id = q->ring.split.avail->ring[pos % 64];
	uint64_t slot = q->ring.chain[id].token;
	uint64_t gpa = q->slot[slot].buf[piece].gpa + skip;

	assert_true(zc_priv(m)->armed);
	assert_int_equal(zc_armed_pos(zc_priv(m)->armed), pos);
	assert_ptr_equal((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM,
			gmem_va(&g->mem, gpa, CAPACITY));
	assert_int_equal(m->buf_iova + RTE_PKTMBUF_HEADROOM, RIG_IOVA(gpa));
	assert_int_equal(m->buf_len, RTE_PKTMBUF_HEADROOM + CAPACITY);
	assert_true(q->slot[slot].buf[piece].len >= skip + CAPACITY);
}

/* What a driver does with a frame: most clear the flags. */
static void
receive(struct rte_mbuf **m, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		m[i]->data_off = RTE_PKTMBUF_HEADROOM;
		m[i]->data_len = len;
		m[i]->pkt_len = len;
		m[i]->nb_segs = 1;
		m[i]->ol_flags = 0;
		memset(rte_pktmbuf_mtod(m[i], void *), 0x40 + i, len);
	}
	zc_ctor_received(&ctor, m, n);
}

static void
guest_got(uint32_t len, uint8_t byte, uint16_t buffers)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t frame[4096];
	int ret = gqueue_rx_frame(q, frame, sizeof(frame), &hdr);

	if (ret != (int)len)
		fail_msg("%d instead of %u bytes: %s", ret, len, q->err);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(frame[i], byte);
	if (q->hdr_len == 12)
		assert_int_equal(hdr.num_buffers, buffers);
	assert_int_equal(q->ring.out_of_order, 0);
}

/* ---- host buffers alone ---- */

static void
bounces_without_a_guest(void **state)
{
	struct rte_mempool *mp = ctor_create();
	struct rte_mbuf *m[SIZE];

	(void)state;
	m[0] = rte_pktmbuf_alloc(mp);
	assert_non_null(m[0]);
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 1, 40), 0);
	assert_int_equal(rte_mempool_get_bulk(mp, (void **)m + 41, SIZE - 41), 0);
	assert_int_equal(ctor.in_nic, SIZE);
	for (int i = 0; i < SIZE; i++) {
		assert_true(is_bounce(m[i]));
		assert_int_equal(m[i]->data_off, RTE_PKTMBUF_HEADROOM);
		assert_int_equal(rte_pktmbuf_tailroom(m[i]), CAPACITY);
		memset(rte_pktmbuf_append(m[i], CAPACITY), i, CAPACITY);
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(m[k], m[i]);
	}
	/* Nobody's buffer is anybody else's. */
	for (int i = 0; i < SIZE; i++)
		for (int k = 0; k < CAPACITY; k += 64)
			assert_int_equal(*rte_pktmbuf_mtod_offset(m[i], uint8_t *, k), i);
	rte_pktmbuf_free_bulk(m, SIZE);
	assert_int_equal(ctor.nfree, SIZE);
	ctor_destroy();
}

static void
nothing_left_touches_nothing(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[SIZE], *table[SIZE + 1];

	(void)state;
	post(30, FIT, "together");
	assert_int_equal(rte_mempool_get_bulk(mp, (void **)m, SIZE - 4), 0);
	for (unsigned int n = 5; n <= SIZE; n++) {
		uint32_t in_nic = ctor.in_nic, armed = ctor.armed;
		uint16_t next = rx.vq.next_avail;

		memset(table, 0xab, sizeof(table));
		assert_int_equal(rte_mempool_get_bulk(mp, (void **)table, n), -ENOBUFS);
		assert_int_equal(rte_pktmbuf_alloc_bulk(mp, table, n), -ENOBUFS);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal((uintptr_t)table[i], 0xabababababababab);
		assert_int_equal(ctor.in_nic, in_nic);
		assert_int_equal(ctor.armed, armed);
		assert_int_equal(rx.vq.next_avail, next);
	}
	assert_int_equal(rte_mempool_get_bulk(mp, (void **)m + SIZE - 4, 4), 0);
	assert_null(rte_pktmbuf_alloc(mp));
	rte_pktmbuf_free_bulk(m, SIZE);
	armed_destroy();
}

/* netvsc sizes its ring by it. */
static void
count_is_never_zero(void **state)
{
	struct rte_mempool *mp = ctor_create();
	struct rte_mbuf *m[SIZE];

	(void)state;
	assert_int_equal(rte_mempool_avail_count(mp), SIZE);
	for (int i = 0; i < SIZE; i++) {
		m[i] = rte_pktmbuf_alloc(mp);
		assert_int_equal(rte_mempool_avail_count(mp), i + 1 < SIZE ? SIZE - i - 1 : 1);
	}
	rte_pktmbuf_free_bulk(m, SIZE);
	ctor_destroy();
}

static void
freed_by_others(void **state)
{
	static const unsigned int others[] = { OTHER, LCORE_ID_ANY, 0 };
	struct rte_mempool *mp = ctor_create();
	struct rte_mbuf *m[SIZE];

	(void)state;
	for (unsigned int round = 0; round < 9; round++) {
		assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, SIZE), 0);
		if (round % 2)
			receive(m, SIZE, 60);
		unit_be_lcore(others[round % 3]);
		rte_pktmbuf_free_bulk(m, SIZE);
		unit_be_lcore(OWNER);
		/* The owner takes them in when it needs some. */
		assert_int_equal(ctor.nfree, 0);
		assert_non_null(m[0] = rte_pktmbuf_alloc(mp));
		assert_int_equal(ctor.nfree, SIZE - 1);
		assert_int_equal(ctor.in_nic, 1);
		rte_pktmbuf_free(m[0]);
	}
	ctor_destroy();
}

/* ---- a guest's buffers ---- */

static void
armed_in_avail_order(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[30];

	(void)state;
	drv_ring_shuffle(&q->ring, 5);
	post(30, FIT, "together");
	assert_int_equal(rte_mempool_get_bulk(mp, (void **)m, 10), 0);
	for (int i = 10; i < 20; i++)
		assert_int_equal(rte_mempool_get(mp, (void **)&m[i]), 0);
	assert_int_equal(rte_mempool_get_bulk(mp, (void **)m + 20, 10), 0);
	for (int i = 0; i < 30; i++)
		aims_at(m[i], (uint16_t)(65520 + i), 0, 12);
	assert_int_equal(ctor.armed, 30);
	assert_int_equal(ctor.in_nic, 30);
	assert_int_equal(zc_rx_undone(&rx), 30);
	rte_pktmbuf_free_bulk(m, 30);
	assert_int_equal(ctor.armed, 0);
	assert_int_equal(ctor.armed_peak, 30);
	armed_destroy();
}

static void
armed_where_the_data_lies(void **state)
{
	static const struct {
		const char *layout;
		uint32_t len;
		bool fits;
		uint8_t piece, skip;
	} ways[] = {
		{ "together", FIT, true, 0, 12 },
		{ "together", FIT - 1, false, 0, 0 },
		{ "together", FIT + 1000, true, 0, 12 },
		{ "hdr-alone", FIT, true, 1, 0 },
		{ "hdr-alone", FIT - 1, false, 0, 0 },
		{ "indirect", FIT, true, 1, 0 },
		{ "indirect-1", FIT, true, 0, 12 },
		{ "indirect-1", FIT - 1, false, 0, 0 },
		{ "hdr-split-1", 5000, false, 0, 0 },
		{ "hdr-split-9", 5000, false, 0, 0 },
		/* Two pieces of half the length, the first with the header. */
		{ "pieces-2", 2 * FIT, true, 0, 12 },
		{ "pieces-2", 2 * FIT - 2, false, 0, 0 },
		{ "pieces-3-alone", 12 + 3 * CAPACITY, true, 1, 0 },
		{ "pieces-3-alone", 12 + 3 * CAPACITY - 3, false, 0, 0 },
		{ "cross", 2 * FIT, true, 0, 12 },
		{ "cross", 2 * FIT - 2, false, 0, 0 },
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ways); i++) {
		struct rte_mempool *mp = armed_create(0);
		struct rte_mbuf *m;

		post(1, ways[i].len, ways[i].layout);
		m = rte_pktmbuf_alloc(mp);
		if (is_bounce(m) == ways[i].fits)
			fail_msg("%s of %u bytes is %sarmed", ways[i].layout, ways[i].len,
					ways[i].fits ? "not " : "");
		assert_int_equal(zc_rx_undone(&rx), 1);
		/* As far as the NIC may write: guard bytes are beside. */
		receive(&m, 1, ways[i].fits ? CAPACITY : 1500);
		if (strcmp(ways[i].layout, "cross") != 0 && ways[i].fits)
			aims_at(m, 65520, ways[i].piece, ways[i].skip);
		assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
		guest_got(ways[i].fits ? CAPACITY : 1500, 0x40, 1);
		assert_int_equal(rx.counters.value[ZCNET_Q_zc_frames], ways[i].fits);
		assert_int_equal(rx.counters.value[ZCNET_Q_copy_bounce], !ways[i].fits);
		armed_destroy();
	}
}

static void
delivered_where_it_lies(void **state)
{
	static const uint64_t guests[] = { 0, BIT(VIRTIO_NET_F_MRG_RXBUF),
		BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1) };
	struct rte_mbuf *m[20];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(guests); i++) {
		struct rte_mempool *mp = armed_create(guests[i]);
		uint8_t *where[20];

		post(20, q->hdr_len + CAPACITY, "together");
		assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 20), 0);
		receive(m, 20, 1000);
		for (int k = 0; k < 20; k++)
			where[k] = rte_pktmbuf_mtod(m[k], uint8_t *);
		assert_int_equal(ctor.in_nic, 0);
		assert_int_equal(zc_rx_put(&rx, m, 20), 20);
		for (int k = 0; k < 20; k++) {
			uint16_t pos = (65520 + k) % 64;
			uint16_t id = q->ring.split.used->ring[pos].id;
			uint64_t gpa = q->ring.split.desc[id].addr;

			/* Address identity: the frame's bytes never moved. */
			assert_ptr_equal(where[k], gmem_va(&g->mem, gpa + q->hdr_len, CAPACITY));
			assert_int_equal(q->ring.split.used->ring[pos].len, q->hdr_len + 1000);
			guest_got(1000, 0x40 + k, 1);
		}
		assert_int_equal(rx.counters.value[ZCNET_Q_frames], 20);
		assert_int_equal(rx.counters.value[ZCNET_Q_zc_frames], 20);
		assert_int_equal(rx.counters.value[ZCNET_Q_zc_bytes], 20000);
		assert_int_equal(ctor.nfree, SIZE);
		armed_destroy();
	}
}

/* ---- out of step ---- */

static void
guest_posts_late(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[16];

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 8), 0);
	assert_int_equal(zc_rx_undone(&rx), 0);
	post(12, FIT, "together");
	/* Eight holes for the eight bounces, before anything is armed. */
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 8, 4), 0);
	for (int i = 0; i < 12; i++)
		assert_int_equal(is_bounce(m[i]), i < 8);
	aims_at(m[8], (uint16_t)(65520 + 8), 0, 12);
	assert_int_equal(zc_rx_undone(&rx), 12);
	receive(m, 12, 100);
	assert_int_equal(zc_rx_put(&rx, m, 12), 12);
	for (int i = 0; i < 12; i++)
		guest_got(100, 0x40 + i, 1);
	assert_int_equal(rx.counters.value[ZCNET_Q_copy_bounce], 8);
	assert_int_equal(rx.counters.value[ZCNET_Q_zc_frames], 4);
	armed_destroy();
}

static void
frame_lost_by_the_nic(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[12];

	(void)state;
	post(20, FIT, "together");
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 10), 0);
	/* A receive error: the driver frees the third. */
	rte_pktmbuf_free(m[2]);
	memmove(&m[2], &m[3], 7 * sizeof(m[0]));
	assert_int_equal(ctor.in_nic, 9);
	assert_int_equal(ctor.armed, 9);
	/* One bounce for the hole, then armed again. */
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 9, 2), 0);
	assert_true(is_bounce(m[9]));
	aims_at(m[10], (uint16_t)(65520 + 10), 0, 12);
	receive(m, 11, 100);
	assert_int_equal(zc_rx_put(&rx, m, 11), 11);
	for (int i = 0; i < 11; i++)
		guest_got(100, 0x40 + i, 1);
	assert_int_equal(rx.counters.value[ZCNET_Q_copy_hole], 7);
	assert_int_equal(rx.counters.value[ZCNET_Q_copy_bounce], 1);
	assert_int_equal(rx.counters.value[ZCNET_Q_zc_frames], 3);
	armed_destroy();
}

static void
frame_for_somebody_else(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[6], *other;

	(void)state;
	post(20, FIT, "together");
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 4), 0);
	receive(m, 4, 100);
	/* Its buffer is still read elsewhere: nothing may be written there or be passed by. */
	assert_int_equal(zc_rx_put(&rx, m + 1, 3), 3);
	assert_int_equal(rx.counters.value[ZCNET_Q_drop_no_hole], 3);
	assert_int_equal(drv_ring_used_count(&q->ring), 0);
	other = rte_pktmbuf_alloc(host_mp);
	memset(rte_pktmbuf_append(other, 100), 0, 100);
	assert_int_equal(zc_rx_put(&rx, &other, 1), 1);
	assert_int_equal(rx.counters.value[ZCNET_Q_drop_no_hole], 4);
	unit_be_lcore(OTHER);
	rte_pktmbuf_free(m[0]);
	unit_be_lcore(OWNER);
	/* Four holes, so four bounces; the fifth is armed. */
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 5), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(is_bounce(m[i]), i < 4);
	receive(m, 5, 200);
	assert_int_equal(zc_rx_put(&rx, m, 5), 5);
	for (int i = 0; i < 5; i++)
		guest_got(200, 0x40 + i, 1);
	assert_int_equal(rx.counters.value[ZCNET_Q_zc_frames], 1);
	armed_destroy();
}

/* Walking what is armed costs the queue turns, as walking what is copied to does. */
static void
long_chains_are_paid_for(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[40];

	(void)state;
	post(40, 4096, "indirect-8");
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 40), 0);
	assert_true(rx.walked > ZC_WALK_TURN);
	receive(m, 1, 100);
	assert_int_equal(zc_rx_put(&rx, m, 1), 0);
	assert_true(rx.debt > 0);
	while (rx.debt > 0)
		assert_int_equal(zc_rx_put(&rx, m, 1), 0);
	assert_int_equal(zc_rx_put(&rx, m, 1), 1);
	rte_pktmbuf_free_bulk(m + 1, 39);
	armed_destroy();
}

static void
suspended_and_resumed(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[16];

	(void)state;
	post(20, FIT, "together");
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 6), 0);
	ctor.rx = NULL;
	rte_pktmbuf_free_bulk(m, 2);
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 6, 4), 0);
	for (int i = 6; i < 10; i++)
		assert_true(is_bounce(m[i]));
	assert_int_equal(zc_rx_undone(&rx), 6);
	ctor.rx = &rx;
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 10, 3), 0);
	receive(m + 2, 11, 100);
	assert_int_equal(zc_rx_put(&rx, m + 2, 11), 11);
	for (int i = 0; i < 11; i++)
		guest_got(100, 0x40 + i, 1);
	assert_int_equal(zc_rx_undone(&rx), 0);
	armed_destroy();
}

static void
disarmed_by_setting(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[8];

	(void)state;
	post(20, FIT, "together");
	ctor.disarmed = true;
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 4), 0);
	for (int i = 0; i < 4; i++)
		assert_true(is_bounce(m[i]));
	assert_int_equal(zc_rx_undone(&rx), 0);
	ctor.disarmed = false;
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 4, 4), 0);
	aims_at(m[4], (uint16_t)(65520 + 4), 0, 12);
	receive(m, 8, 100);
	assert_int_equal(zc_rx_put(&rx, m, 8), 8);
	for (int i = 0; i < 8; i++)
		guest_got(100, 0x40 + i, 1);
	armed_destroy();
}

static void
generations_are_told_apart(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[20];

	(void)state;
	for (unsigned int gen = 0; gen < 2 * 256; gen++) {
		post(9, FIT, "together");
		assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 6), 0);
		/* A new memory table. */
		ctor.armed_old = ctor.armed;
		ctor.gen++;
		assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m + 6, 3), 0);
		assert_int_equal(ctor.armed, 9);
		assert_int_equal(ctor.armed_old, 6);
		receive(m, 9, 100);
		assert_int_equal(zc_rx_put(&rx, m, 4), 4);
		assert_int_equal(ctor.armed_old, 2);
		rte_pktmbuf_free_bulk(m + 4, 2);
		assert_int_equal(ctor.armed_old, 0);
		assert_int_equal(ctor.armed, 3);
		rte_pktmbuf_free_bulk(m + 6, 3);
		assert_int_equal(ctor.armed, 0);
		for (int i = 0; i < 4; i++)
			guest_got(100, 0x40 + i, 1);
		zc_rx_rewind(&rx);
		/* Five are posted still. */
		assert_int_equal(gqueue_detach(q), 5);
		rx.vq.seen_avail = rx.vq.next_avail;
	}
	armed_destroy();
}

/* ---- flags ---- */

/* Without EXTERNAL, a clone would count its references in the guest's memory. */
static void
clones_write_nothing_into_the_guest(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[4], *clone[4], *spare[4];
	const struct gmem_region *r = &g->mem.region[1];
	uint8_t *before = malloc(r->size);

	(void)state;
	/* Not the first buffers of the region: what is in front of these is the guest's, too. */
	post(8, FIT, "together");
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, spare, 4), 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 4), 0);
	receive(m, 4, 500);
	memcpy(before, r->va, r->size);
	for (int i = 0; i < 4; i++) {
		assert_true(m[i]->ol_flags & RTE_MBUF_F_EXTERNAL);
		clone[i] = rte_pktmbuf_clone(m[i], host_mp);
		assert_non_null(clone[i]);
		assert_ptr_equal(rte_pktmbuf_mtod(clone[i], void *),
				rte_pktmbuf_mtod(m[i], void *));
	}
	rte_pktmbuf_free_bulk(m, 4);
	assert_int_equal(ctor.armed, 8);
	rte_pktmbuf_free_bulk(clone, 4);
	assert_int_equal(ctor.armed, 4);
	rte_pktmbuf_free_bulk(spare, 4);
	assert_int_equal(ctor.nfree, SIZE);
	assert_memory_equal(before, r->va, r->size);
	free(before);
	armed_destroy();
}

/* ---- a hostile guest ---- */

/* The only buffer posted, moved to @gpa. @return the mbuf that a NIC would get */
static struct rte_mbuf *
arm_at(struct rte_mempool *mp, uint64_t gpa)
{
	struct rte_mbuf *m;

	post(1, FIT, "together");
	q->ring.split.desc[q->ring.split.avail->ring[65520 % 64]].addr = gpa;
	m = rte_pktmbuf_alloc(mp);
	assert_non_null(m);
	return m;
}

/* A used ring amid the buffers, far from the other parts. */
#define USED_GPA (g->mem.region[1].gpa + 65536)
#define USED_BYTES (2 * 3 + 8 * 64)

/* A buffer at @gpa: is it refused, and the queue with it? */
static void
over_the_ring_one(struct rte_mempool *mp, uint64_t gpa, bool refused)
{
	struct rte_mbuf *m;

	rx.vq.used = gmem_va(&g->mem, USED_GPA, USED_BYTES);
	m = arm_at(mp, gpa);
	assert_int_equal(is_bounce(m), refused);
	assert_int_equal(rx.vq.fault, refused ? ZC_VQ_BAD_CHAIN : ZC_VQ_OK);
	rte_pktmbuf_free(m);
	armed_destroy();
}

static void
over_the_ring(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct rte_mempool *mp = armed_create(0);
		const struct drv_ring *r = &q->ring;
		const struct {
			uint64_t gpa;
			bool refused;
		} way[8] = {
			{ USED_GPA - FIT, false },
			{ USED_GPA - FIT + 1, true },
			{ USED_GPA, true },
			{ USED_GPA + USED_BYTES - 1, true },
			{ USED_GPA + USED_BYTES, false },
			{ gmem_gpa(&g->mem, r->split.desc), true },
			{ gmem_gpa(&g->mem, r->split.avail) + 2 * (3 + 64) - 1, true },
			/* Behind them, and before the used ring. */
			{ gmem_gpa(&g->mem, r->split.avail) + 2 * (3 + 64), false },
		};

		over_the_ring_one(mp, way[i].gpa, way[i].refused);
	}
}

/* Armed as often as it is posted: that harms whoever reads it, the guest. */
static void
posted_twice(void **state)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[4];

	(void)state;
	post(4, FIT, "together");
	for (int i = 1; i < 4; i += 2)
		q->ring.split.desc[q->ring.split.avail->ring[(65520 + i) % 64]].addr =
				q->ring.split.desc[q->ring.split.avail->ring[65520 % 64]].addr;
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 4), 0);
	assert_int_equal(ctor.armed, 4);
	assert_ptr_equal(m[1]->buf_addr, m[0]->buf_addr);
	assert_ptr_equal(m[3]->buf_addr, m[0]->buf_addr);
	/* One comes back without a frame; the NIC still has the same memory. */
	receive(m, 4, 1500);
	rte_pktmbuf_free(m[1]);
	assert_int_equal(zc_rx_put(&rx, &m[0], 1), 1);
	assert_int_equal(zc_rx_put(&rx, &m[2], 2), 2);
	assert_int_equal(ctor.armed, 0);
	assert_int_equal(rx.vq.fault, ZC_VQ_OK);
	/* Three frames are three used entries, in avail order; their bytes are its own worry. */
	assert_int_equal(drv_ring_used_count(&q->ring), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(q->ring.split.used->ring[(65520 + i) % 64].id,
				q->ring.split.avail->ring[(65520 + i) % 64]);
	armed_destroy();
}

static void
play(enum hostile_move move, unsigned int before)
{
	struct rte_mempool *mp = armed_create(0);
	struct rte_mbuf *m[32];

	post(before, FIT, "together");
	assert_true(hostile_post(q, move) >= 0);
	if (move != HOSTILE_MOVE_AVAIL_BACK && move != HOSTILE_MOVE_AVAIL_JUMP)
		drv_ring_publish(&q->ring);
	for (int round = 0; round < 4; round++) {
		assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, 32), 0);
		for (int i = 0; i < 32; i++) {
			uint8_t *data = (uint8_t *)m[i]->buf_addr + RTE_PKTMBUF_HEADROOM;

			if (!is_bounce(m[i]))
				assert_non_null(gmem_va(&g->mem, gmem_gpa(&g->mem, data),
						CAPACITY));
		}
		receive(m, 32, CAPACITY);
		rx.full = round % 2 ? ZCNET_RX_FULL_DROP : ZCNET_RX_FULL_WAIT;
		for (uint16_t n = 0; n < 32; n++)
			if (zc_rx_put(&rx, &m[n], 1) == 0)
				rte_pktmbuf_free(m[n]);
	}
	assert_int_equal(ctor.nfree, SIZE);
	assert_int_equal(ctor.armed, 0);
	if (hostile_kind(move) == HOSTILE_CHAIN && move != HOSTILE_MOVE_HDR_ONLY)
		assert_int_equal(rx.counters.value[ZCNET_Q_broken], 1);
	armed_destroy();
}

static void
hostile_moves_aim_nowhere(void **state)
{
	(void)state;
	for (enum hostile_move m = 0; m < HOSTILE_N_MOVES; m++)
		for (unsigned int before = 0; before < 3; before++)
			play(m, before);
}

/* ---- life ---- */

static void
sizes_and_names(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 1023, 4096 };
	static const uint16_t capacities[] = { 1522, 2048, 9018, 16384 };
	struct rte_mbuf *m[4096];

	(void)state;
	unit_be_lcore(OWNER);
	for (unsigned int i = 0; i < RTE_DIM(sizes) * RTE_DIM(capacities); i++) {
		uint32_t size = sizes[i / RTE_DIM(capacities)];
		uint16_t capacity = capacities[i % RTE_DIM(capacities)];

		if ((uint64_t)size * capacity > 30000000)
			continue;
		assert_int_equal(zc_ctor_init(&ctor, "a_name_of_22_characters", size, capacity,
						 SOCKET_ID_ANY),
				0);
		ctor.owner = OWNER;
		assert_int_equal(rte_mempool_get_bulk(ctor.pool.mp, (void **)m, size), 0);
		/* All of them can be on their way back at once. */
		unit_be_lcore(OTHER);
		rte_mempool_put_bulk(ctor.pool.mp, (void **)m, size);
		unit_be_lcore(OWNER);
		zc_ctor_collect(&ctor);
		assert_int_equal(ctor.nfree, size);
		zc_ctor_fini(&ctor);
		zc_ctor_fini(&ctor);
	}
}

static void
fini_with_mbufs_on_their_way(void **state)
{
	struct rte_mempool *mp = ctor_create();
	struct rte_mbuf *m[SIZE];

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, m, SIZE), 0);
	unit_be_lcore(OTHER);
	rte_pktmbuf_free_bulk(m, SIZE);
	unit_be_lcore(OWNER);
	zc_ctor_fini(&ctor);
	assert_null(ctor.pool.mp);
}

static void
fini_with_mbufs_out_keeps_them(void **state)
{
	struct rte_mempool *mp = ctor_create();
	struct rte_mbuf *m = rte_pktmbuf_alloc(mp);

	(void)state;
	zc_ctor_fini(&ctor);
	assert_ptr_equal(ctor.pool.mp, mp);
	memset(rte_pktmbuf_append(m, CAPACITY), 1, CAPACITY);
	rte_pktmbuf_free(m);
	ctor_destroy();
}

static int
group_setup(void **state)
{
	if (unit_eal_init(state) < 0)
		return -1;
	host_mp = unit_host_pool(128, 2048);
	return host_mp != NULL ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounces_without_a_guest),
		cmocka_unit_test(nothing_left_touches_nothing),
		cmocka_unit_test(count_is_never_zero),
		cmocka_unit_test(freed_by_others),
		cmocka_unit_test(armed_in_avail_order),
		cmocka_unit_test(armed_where_the_data_lies),
		cmocka_unit_test(delivered_where_it_lies),
		cmocka_unit_test(guest_posts_late),
		cmocka_unit_test(frame_lost_by_the_nic),
		cmocka_unit_test(frame_for_somebody_else),
		cmocka_unit_test(long_chains_are_paid_for),
		cmocka_unit_test(suspended_and_resumed),
		cmocka_unit_test(disarmed_by_setting),
		cmocka_unit_test(generations_are_told_apart),
		cmocka_unit_test(clones_write_nothing_into_the_guest),
		cmocka_unit_test(hostile_moves_aim_nowhere),
		cmocka_unit_test(over_the_ring),
		cmocka_unit_test(posted_twice),
		cmocka_unit_test(sizes_and_names),
		cmocka_unit_test(fini_with_mbufs_on_their_way),
		cmocka_unit_test(fini_with_mbufs_out_keeps_them),
	};

	return cmocka_run_group_tests_name("ctor", tests, group_setup, unit_eal_fini);
}

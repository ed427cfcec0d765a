/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames whose first bytes come in a host mbuf: where the rest is aimed at, what the guest sees
 * and when, and what it never sees.
 */
#include <rte_ether.h>
#include <rte_lcore.h>

#include "rig.h"

#include "eal.h"
#include "fwd/share.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"

#define OWNER 3
#define SIZE 96
#define HEADS 256
#define SPLIT 64
#define REST 1984
#define FRAME (SPLIT + REST)
#define CANARY 0xc5

static struct zc_ctor ctor;
static struct zc_rx rx;
static struct rte_mempool *heads;
static struct fake_guest *g;
static struct gqueue *q;
static struct zc_map *map;

static int
setup(void **state)
{
	struct zc_vq_conf conf;

	(void)state;
	assert_int_equal(zc_ctor_init(&ctor, unit_pool_name(), SIZE, REST, SOCKET_ID_ANY), 0);
	ctor.owner = OWNER;
	ctor.split = SPLIT;
	unit_be_lcore(OWNER);
	g = rig_guest(64, 8192, 0);
	q = fake_guest_rx(g, 0);
	rig_start_at(q, 65520);
	map = rig_map(&g->mem);
	conf = rig_vq_conf(q, map);
	memset(&rx, 0, sizeof(rx));
	assert_int_equal(zc_rx_attach(&rx, &conf, true), 0);
	rx.copy_counter = ZCNET_Q_copy_small;
	rx.ctor = &ctor;
	ctor.bound = &rx;
	ctor.rx = &rx;
	return 0;
}

/* Every mbuf is back, and no chain was lost. */
static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(ctor.nfree, SIZE);
	assert_int_equal(ctor.in_nic, 0);
	assert_int_equal(ctor.armed, 0);
	assert_int_equal(rte_mempool_avail_count(heads), HEADS);
	for (int i = 0; i < SIZE; i++) {
		assert_null(ctor.free[i]->next);
		assert_int_equal(ctor.free[i]->nb_segs, 1);
	}
	zc_rx_rewind(&rx);
	zc_ctor_fini(&ctor);
	zc_rx_detach(&rx);
	zc_map_put(map);
	fake_guest_destroy(g);
	return 0;
}

static void
post(unsigned int n, uint32_t len, const char *layout)
{
	for (; n > 0; n--)
		assert_true(gqueue_rx_post(q, len, layout_by_name(layout)) >= 0);
	drv_ring_publish(&q->ring);
}

/* The first is the tag, the others are like no other frame's. */
static uint8_t
byte_of(uint8_t tag, uint32_t at)
{
	return at == 0 ? tag : (tag << 16 | at) * 2654435761u >> 24;
}

static void
fill(struct rte_mbuf *m, uint8_t tag, uint32_t from, uint32_t len)
{
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->data_len = len;
	for (uint32_t i = 0; i < len; i++)
		*rte_pktmbuf_mtod_offset(m, uint8_t *, i) = byte_of(tag, from + i);
}

/* What drivers do: each frame takes one of each, whatever is left for the second. */
static struct rte_mbuf *
frame(struct rte_mbuf *buf, uint8_t tag, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(heads);
	uint32_t first = RTE_MIN(len, (uint32_t)SPLIT);

	fill(m, tag, 0, first);
	fill(buf, tag, first, len - first);
	buf->ol_flags = 0;
	m->next = buf;
	m->nb_segs = 2;
	m->pkt_len = len;
	return m;
}

static void
take(struct rte_mbuf **bufs, unsigned int n)
{
	assert_int_equal(rte_mempool_get_bulk(ctor.pool.mp, (void **)bufs, n), 0);
}

/* One frame of @p len bytes each in those buffers. Tags go up from 1. */
static void
receive(struct rte_mbuf **pkts, unsigned int n, const uint32_t *len)
{
	for (unsigned int i = 0; i < n; i++)
		pkts[i] = frame(pkts[i], 1 + i, len[i]);
	zc_ctor_received(&ctor, pkts, n);
}

static void
guest_got(uint8_t tag, uint32_t len)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t bytes[4096];
	int ret = gqueue_rx_frame(q, bytes, sizeof(bytes), &hdr);

	if (ret != (int)len)
		fail_msg("%d instead of %u bytes: %s", ret, len, q->err);
	for (uint32_t i = 0; i < len; i++)
		if (bytes[i] != byte_of(tag, i))
			fail_msg("frame %u of %u bytes is wrong at %u", tag, len, i);
	assert_int_equal(hdr.num_buffers, 1);
	assert_int_equal(q->ring.out_of_order, 0);
}

static void
counted(enum zcnet_queue_counter counter, uint64_t n)
{
	if (rx.counters.value[counter] != n)
		fail_msg("%s: %u, not %u", zcnet_queue_counter_name(counter),
				(unsigned int)rx.counters.value[counter], (unsigned int)n);
}

/* Nothing in these bytes in front of the buffer but what the guest left there. */
static void
spoil_front(struct rte_mbuf *buf, uint32_t len)
{
	memset((uint8_t *)buf->buf_addr + RTE_PKTMBUF_HEADROOM - len, CANARY, len);
}

static void
front_is_spoilt(struct rte_mbuf *buf, uint32_t len)
{
	const uint8_t *front = (uint8_t *)buf->buf_addr + RTE_PKTMBUF_HEADROOM - len;

	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(front[i], CANARY);
}

/* ---- where the rest goes ---- */

static void
armed_that_much_further(void **state)
{
	static const struct {
		const char *layout;
		uint32_t len;
		bool fits;
		uint8_t piece, hdr;
	} ways[] = {
		{ "together", 12 + FRAME, true, 0, 12 },
		{ "together", 12 + FRAME - 1, false, 0, 0 },
		{ "hdr-alone", 12 + FRAME, true, 1, 0 },
		{ "hdr-alone", 12 + FRAME - 1, false, 0, 0 },
		{ "indirect", 12 + FRAME, true, 1, 0 },
		{ "indirect-1", 12 + FRAME, true, 0, 12 },
		{ "indirect-1", 12 + FRAME - 1, false, 0, 0 },
	};
	const uint32_t whole = FRAME, longest[] = { whole };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ways); i++) {
		uint64_t in_place = rx.counters.value[ZCNET_Q_zc_frames];
		uint16_t slot = q->free_slot[q->n_free_slot - 1];
		struct rte_mbuf *m;

		post(1, ways[i].len, ways[i].layout);
		take(&m, 1);
		assert_int_equal(zc_priv(m)->armed != 0, ways[i].fits);
		if (ways[i].fits) {
			uint64_t gpa = q->slot[slot].buf[ways[i].piece].gpa + ways[i].hdr + SPLIT;

			assert_ptr_equal((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM,
					gmem_va(&g->mem, gpa, REST));
			assert_int_equal(m->buf_iova + RTE_PKTMBUF_HEADROOM, RIG_IOVA(gpa));
		}
		/* As far as the NIC may write: guard bytes are beside. */
		receive(&m, 1, ways[i].fits ? longest : (const uint32_t[]){ 1500 });
		assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
		guest_got(1, ways[i].fits ? whole : 1500);
		counted(ZCNET_Q_zc_frames, in_place + ways[i].fits);
	}
}

/* ---- what the guest sees, and when ---- */

static void
delivered_where_it_lies(void **state)
{
	uint32_t len[20];
	struct rte_mbuf *m[20];
	uint8_t *where[20];

	(void)state;
	post(20, 12 + FRAME, "together");
	take(m, 20);
	for (int i = 0; i < 20; i++) {
		len[i] = SPLIT + 1 + i * 100;
		where[i] = (uint8_t *)m[i]->buf_addr + RTE_PKTMBUF_HEADROOM;
		spoil_front(m[i], 12 + SPLIT);
	}
	receive(m, 20, len);
	for (int i = 0; i < 20; i++)
		front_is_spoilt(m[i]->next, 12 + SPLIT);
	assert_int_equal(zc_rx_put(&rx, m, 20), 20);
	for (int i = 0; i < 20; i++) {
		uint16_t id = q->ring.split.used->ring[(65520 + i) % 64].id;

		assert_ptr_equal(where[i],
				gmem_va(&g->mem, q->ring.split.desc[id].addr + 12 + SPLIT, REST));
		guest_got(1 + i, len[i]);
	}
	counted(ZCNET_Q_frames, 20);
	counted(ZCNET_Q_zc_frames, 20);
	counted(ZCNET_Q_zc_bytes, 20 * (SPLIT + 1) + 190 * 100);
	assert_int_equal(ctor.nfree, SIZE);
}

/* A driver hands out the second segment empty: the buffer is a hole for its own frame. */
static void
short_ones_are_copied(void **state)
{
	static const uint32_t len[] = { 60, 1500, SPLIT, SPLIT + 1, 60, 60, SPLIT - 1, 1000 };
	struct rte_mbuf *m[RTE_DIM(len)];

	(void)state;
	post(20, 12 + FRAME, "together");
	for (unsigned int round = 0; round < 3; round++) {
		take(m, RTE_DIM(len));
		assert_int_equal(ctor.armed, RTE_DIM(len));
		receive(m, RTE_DIM(len), len);
		assert_int_equal(ctor.in_nic, 0);
		assert_int_equal(m[0]->nb_segs, 1);
		assert_int_equal(zc_rx_put(&rx, m, RTE_DIM(len)), RTE_DIM(len));
		for (unsigned int i = 0; i < RTE_DIM(len); i++)
			guest_got(1 + i, len[i]);
		counted(ZCNET_Q_copy_small, 5 * (round + 1));
		counted(ZCNET_Q_zc_frames, 3 * (round + 1));
		post(RTE_DIM(len), 12 + FRAME, "together");
	}
}

static void
bounces_and_holes_are_copied(void **state)
{
	static const uint32_t len[] = { 1500, 60, 1500, 1500, 1500, 700 };
	struct rte_mbuf *m[RTE_DIM(len) + 1];

	(void)state;
	take(m, 2); /* nothing is posted yet */
	post(20, 12 + FRAME, "together");
	take(m + 2, 5);
	assert_int_equal(ctor.armed, 5);
	/* A receive error: the third's buffer is a hole, and all behind it come one too early. */
	rte_pktmbuf_free(m[2]);
	memmove(m + 2, m + 3, 4 * sizeof(m[0]));
	receive(m, RTE_DIM(len), len);
	assert_int_equal(zc_rx_put(&rx, m, RTE_DIM(len)), RTE_DIM(len));
	for (unsigned int i = 0; i < 3; i++)
		guest_got(1 + i, len[i]);
	counted(ZCNET_Q_copy_bounce, 1);
	counted(ZCNET_Q_copy_small, 1);
	counted(ZCNET_Q_copy_hole, 4);
	for (unsigned int i = 3; i < RTE_DIM(len); i++)
		guest_got(1 + i, len[i]);
}

/*
 * As mlx5 does with a frame shorter than any on the wire: it keeps the buffer for the ring's next
 * round. What it may still write to isn't given to the guest, and order comes back by itself.
 */
static void
a_buffer_is_kept(void **state)
{
	const uint32_t len[] = { 1500, 1500, 1500, 1500 };
	struct rte_mbuf *m[8], *kept, *runt = rte_pktmbuf_alloc(heads);

	(void)state;
	post(30, 12 + FRAME, "together");
	take(m, 4);
	kept = m[0];
	spoil_front(kept, 12 + SPLIT);
	fill(runt, 1, 0, 40);
	runt->pkt_len = 40;
	zc_ctor_received(&ctor, &runt, 1);
	assert_int_equal(zc_rx_put(&rx, &runt, 1), 1);
	take(m + 4, 3);
	memmove(m, m + 1, 6 * sizeof(m[0]));
	receive(m, 3, len);
	assert_int_equal(zc_rx_put(&rx, m, 3), 3);
	counted(ZCNET_Q_drop_no_hole, 4);
	front_is_spoilt(kept, 12 + SPLIT);
	/* Its turn. */
	m[0] = kept;
	receive(m, 1, len);
	memmove(m + 1, m + 3, 3 * sizeof(m[0]));
	assert_int_equal(zc_rx_put(&rx, m, 1), 1);
	guest_got(1, 1500);
	receive(m + 1, 3, len);
	assert_int_equal(zc_rx_put(&rx, m + 1, 3), 3);
	for (int i = 0; i < 3; i++)
		guest_got(1 + i, 1500);
	counted(ZCNET_Q_drop_no_hole, 4);
	counted(ZCNET_Q_broken, 0);
}

/* Cut elsewhere than agreed, it doesn't lie where it belongs, and its buffer may not be written. */
static void
another_cut_is_not_in_place(void **state)
{
	const uint32_t len = 1500;
	struct rte_mbuf *m, *buf;

	(void)state;
	post(20, 12 + FRAME, "together");
	for (int by = -1; by <= 1; by += 2) {
		take(&buf, 1);
		m = buf;
		spoil_front(buf, 12 + SPLIT);
		receive(&m, 1, &len);
		m->data_len += by;
		m->pkt_len += by;
		assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
		front_is_spoilt(buf, 12 + SPLIT);
		take(&m, 1);
		receive(&m, 1, &len);
		assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
		guest_got(1, len);
	}
	counted(ZCNET_Q_drop_no_hole, 2);
}

/* ---- what it never sees ---- */

static uint64_t refused;

static void
nic_dropped(struct zcnet_port *port, uint16_t queue, enum zcnet_queue_counter why, uint16_t n)
{
	(void)port, (void)queue;
	assert_int_equal(why, ZCNET_Q_drop_wrong_queue);
	refused += n;
}

static const uint8_t *
nic_source_state(struct zcnet_port *port, uint16_t queue)
{
	static const uint8_t live;

	(void)port, (void)queue;
	return &live;
}

static uint16_t
guest_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	(void)port, (void)queue;
	return zc_rx_put(&rx, pkts, n);
}

static const struct zc_port_ops nic_ops = { .dropped = nic_dropped,
	.source_state = nic_source_state };
static const struct zc_port_ops guest_ops = { .tx = guest_tx };

/* Is the frame's header anywhere in the guest's memory? */
static bool
guest_has_header(uint8_t tag)
{
	uint8_t header[RTE_ETHER_HDR_LEN];

	for (unsigned int i = 0; i < sizeof(header); i++)
		header[i] = byte_of(tag, i);
	for (unsigned int i = 0; i < g->mem.n; i++)
		if (memmem(g->mem.region[i].va, g->mem.region[i].size, header, sizeof(header)))
			return true;
	return false;
}

static void
a_refused_header_is_not_seen(void **state)
{
	/* Tags are 1 to 6: the second frame has this guest's address, odd ones are for many. */
	static const uint32_t len[] = { 1500, 1500, 60, 1500, 1500, 60 };
	static const bool wanted[] = { true, true, true, false, true, false };
	struct zcnet_port nic = { .ops = &nic_ops, .nqueues = 2 }, guest = { .ops = &guest_ops };
	struct zc_member member = { .guest = &guest, .queue = 1 };
	struct zc_share *share = zc_share_get(&nic, -1);
	struct rte_mbuf *m[RTE_DIM(len)];
	uint8_t mac[RTE_ETHER_ADDR_LEN];

	(void)state;
	for (unsigned int i = 0; i < sizeof(mac); i++)
		mac[i] = byte_of(2, i);
	member.mac = zc_share_mac(mac);
	zc_share_init_gate(share, &member);
	post(20, 12 + FRAME, "together");
	take(m, RTE_DIM(len));
	receive(m, RTE_DIM(len), len);
	for (unsigned int i = 0; i < RTE_DIM(len); i++)
		assert_false(guest_has_header(1 + i));
	assert_int_equal(member.gate.ops->tx(&member.gate, 0, m, RTE_DIM(len)), RTE_DIM(len));
	assert_int_equal(refused, 2);
	counted(ZCNET_Q_frames, 4);
	for (unsigned int i = 0; i < RTE_DIM(len); i++) {
		assert_int_equal(guest_has_header(1 + i), wanted[i]);
		if (wanted[i])
			guest_got(1 + i, len[i]);
	}
	zc_share_put(share);
}

static int
init(void **state)
{
	int ret = unit_eal_init(state);

	heads = unit_host_pool(HEADS, 2048);
	return ret;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(armed_that_much_further),
		TEST(delivered_where_it_lies),
		TEST(short_ones_are_copied),
		TEST(bounces_and_holes_are_copied),
		TEST(a_buffer_is_kept),
		TEST(another_cut_is_not_in_place),
		TEST(a_refused_header_is_not_seen),
#undef TEST
	};

	return cmocka_run_group_tests_name("split", tests, init, unit_eal_fini);
}

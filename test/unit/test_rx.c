/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames into a guest by copy: any frame into any buffers, headers and lengths as the spec has
 * them, and what happens when there is no room. Delivery in place is in test_ctor and
 * test_rx_order.
 */
#include "rig.h"

#include "eal.h"
#include "zcopy/rx.h"

#define MBUFS 1024

static struct rte_mempool *mp;
static struct zc_rx rx;

struct rig {
	struct fake_guest *g;
	struct gqueue *q;
	struct zc_map *map;
	bool mergeable;
};

static void
rig_init(struct rig *rig, uint16_t ring_size, uint32_t slot_bytes, uint64_t without)
{
	struct zc_vq_conf conf;

	memset(&rx, 0, sizeof(rx));
	rig->mergeable = !(without & BIT(VIRTIO_NET_F_MRG_RXBUF));
	rig->g = rig_guest(ring_size, slot_bytes, without);
	rig->q = fake_guest_rx(rig->g, 0);
	rig_start_at(rig->q, 65530);
	rig->map = rig_map(&rig->g->mem);
	conf = rig_vq_conf(rig->q, rig->map);
	assert_int_equal(zc_rx_attach(&rx, &conf, rig->mergeable), 0);
	rx.copy_counter = ZCNET_Q_copy_foreign;
	rx.full = ZCNET_RX_FULL_DROP;
}

static void
rig_fini(struct rig *rig)
{
	zc_rx_detach(&rx);
	zc_map_put(rig->map);
	fake_guest_destroy(rig->g);
	/* Every frame was freed once. */
	assert_int_equal(rte_mempool_avail_count(mp), MBUFS);
}

static uint64_t
counted(enum zcnet_queue_counter counter)
{
	return rx.counters.value[counter];
}

static const uint8_t *
random_bytes(uint32_t len, uint64_t seed)
{
	static uint8_t frame[1 << 17];

	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)rng_next(&seed);
	return frame;
}

/* A frame in @n mbufs, cut anywhere; some may be empty. */
static struct rte_mbuf *
frame_of(const uint8_t *bytes, uint32_t len, unsigned int n, uint64_t *rng)
{
	struct rte_mbuf *head = NULL, *tail = NULL;

	for (uint32_t at = 0; at < len || head == NULL;) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(mp);
		uint32_t left = len - at, part;

		assert_non_null(m);
		part = n > 1 ? rng_range(rng, 0, 2 * (left / n)) : left;
		part = RTE_MIN(RTE_MIN(part, left), (uint32_t)rte_pktmbuf_tailroom(m));
		n -= n > 1;
		memcpy(rte_pktmbuf_append(m, part), bytes + at, part);
		at += part;
		if (head == NULL) {
			head = m;
		} else {
			tail->next = m;
			head->nb_segs++;
			head->pkt_len += part;
		}
		tail = m;
	}
	return head;
}

static uint16_t
put(uint32_t len, uint64_t seed)
{
	struct rte_mbuf *m = frame_of(random_bytes(len, seed), len, 1, &seed);
	uint16_t n = zc_rx_put(&rx, &m, 1);

	if (n == 0)
		rte_pktmbuf_free(m);
	return n;
}

static void
post(struct rig *rig, uint32_t len, const struct layout *l)
{
	int ret = gqueue_rx_post(rig->q, len, l);

	if (ret < 0)
		fail_msg("post %u bytes, %s: %d", len, l->name, ret);
	drv_ring_publish(&rig->q->ring);
}

/* The next frame the guest has is the one made from @seed. */
static void
arrived(struct rig *rig, uint32_t len, uint64_t seed, uint16_t buffers)
{
	const struct virtio_net_hdr_mrg_rxbuf zero = { 0 };
	static uint8_t got[1 << 17];
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint64_t used = rig->q->ring.n_used;
	int ret = gqueue_rx_frame(rig->q, got, sizeof(got), &hdr);

	if (ret != (int)len)
		fail_msg("%d instead of %u bytes: %s", ret, len, rig->q->err);
	assert_memory_equal(got, random_bytes(len, seed), len);
	assert_memory_equal(&hdr.hdr, &zero.hdr, sizeof(zero.hdr));
	if (rig->q->hdr_len == 12)
		assert_int_equal(hdr.num_buffers, buffers);
	assert_int_equal(rig->q->ring.n_used - used, buffers);
	assert_int_equal(rig->q->ring.out_of_order, 0);
}

static void
nothing_arrived(struct rig *rig)
{
	assert_int_equal(drv_ring_used_count(&rig->q->ring), 0);
}

/* ---- layouts ---- */

static void
any_frame_into_any_layout(uint64_t without)
{
	uint64_t rng = 2, n = 0, bytes = 0;
	struct rig rig;

	rig_init(&rig, 0, 0, without);
	for (const struct layout *l = layouts; l->name != NULL; l++) {
		if (l->table && (without & BIT(VIRTIO_RING_F_INDIRECT_DESC)))
			continue;
		for (int i = 0; i < 40; i++) {
			uint32_t len = rng_range(&rng, 14, 9000);
			uint32_t room = len + rig.q->hdr_len +
					(i % 2 ? rng_range(&rng, 0, 500) : 0);
			struct rte_mbuf *m;

			post(&rig, room, l);
			m = frame_of(random_bytes(len, i), len, rng_range(&rng, 1, 20), &rng);
			assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
			arrived(&rig, len, i, 1);
			nothing_arrived(&rig);
			n++;
			bytes += len;
		}
	}
	assert_int_equal(counted(ZCNET_Q_frames), n);
	assert_int_equal(counted(ZCNET_Q_bytes), bytes);
	assert_int_equal(counted(ZCNET_Q_copy_foreign), n);
	assert_int_equal(counted(ZCNET_Q_zc_frames), 0);
	rig_fini(&rig);
}

static void
layouts_mergeable(void **state)
{
	(void)state;
	any_frame_into_any_layout(0);
}

static void
layouts_not_mergeable(void **state)
{
	(void)state;
	any_frame_into_any_layout(BIT(VIRTIO_NET_F_MRG_RXBUF));
}

static void
layouts_legacy(void **state)
{
	(void)state;
	any_frame_into_any_layout(BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1) |
			BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX));
}

/* ---- several buffers ---- */

static void
merged_at_each_length(void **state)
{
	const uint32_t room = 256;
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	for (uint32_t len = 14; len < 1100; len++) {
		uint16_t buffers = (len + 12 + room - 1) / room;

		while (gqueue_rx_post(rig.q, room, &layouts[0]) >= 0)
			;
		drv_ring_publish(&rig.q->ring);
		assert_int_equal(put(len, len), 1);
		arrived(&rig, len, len, buffers);
		nothing_arrived(&rig);
	}
	rig_fini(&rig);
}

/* Spec 5.1.6.4.1: all buffers but the last are filled to the end. */
static void
merged_buffers_are_full(void **state)
{
	struct drv_used u;
	struct rig rig;
	uint64_t rng = 5;

	(void)state;
	rig_init(&rig, 64, 16384, 0);
	for (int round = 0; round < 200; round++) {
		uint32_t room[64], left;
		uint16_t n = 0;

		for (left = 9012; left > 0; n++) {
			room[n] = rng_range(&rng, 200, 3000);
			post(&rig, room[n], n % 3 ? &layouts[0] : layout_by_name("indirect-8"));
			left -= RTE_MIN(left, room[n]);
		}
		assert_int_equal(put(9000, round), 1);
		left = 9012;
		for (uint16_t i = 0; i < n; i++) {
			assert_int_equal(drv_ring_get_used(&rig.q->ring, &u), 1);
			assert_int_equal(u.len, RTE_MIN(left, room[i]));
			left -= u.len;
			gqueue_slot_give(rig.q, (int)u.token);
		}
		assert_int_equal(left, 0);
	}
	rig_fini(&rig);
}

static void
sixty_four_kilobytes(void **state)
{
	struct rig rig;
	uint64_t rng = 6;
	struct rte_mbuf *m;

	(void)state;
	rig_init(&rig, 64, 70000, 0);
	for (int i = 0; i < 44; i++)
		post(&rig, 1526, &layouts[0]);
	m = frame_of(random_bytes(65535, 1), 65535, 40, &rng);
	assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
	arrived(&rig, 65535, 1, 43);
	rig_fini(&rig);
	rig_init(&rig, 64, 70000, BIT(VIRTIO_NET_F_MRG_RXBUF));
	post(&rig, 65562, layout_by_name("pieces-17-uneven"));
	m = frame_of(random_bytes(65535, 2), 65535, 40, &rng);
	assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
	arrived(&rig, 65535, 2, 1);
	rig_fini(&rig);
}

/* A buffer for the header alone is strange, and allowed. */
static void
buffer_of_a_header(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	post(&rig, 12, &layouts[0]);
	post(&rig, 1000, &layouts[0]);
	assert_int_equal(put(60, 1), 1);
	arrived(&rig, 60, 1, 2);
	rig_fini(&rig);
}

/* ---- no room ---- */

static void
too_large_for_one_buffer(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 4096, BIT(VIRTIO_NET_F_MRG_RXBUF));
	for (int i = 0; i < 3; i++)
		post(&rig, 1000 + 12, &layouts[0]);
	assert_int_equal(put(1001, 1), 1);
	assert_int_equal(counted(ZCNET_Q_drop_no_fit), 1);
	nothing_arrived(&rig);
	/* The buffer is not lost, and the order is kept. */
	assert_int_equal(put(1000, 2), 1);
	assert_int_equal(put(60, 3), 1);
	arrived(&rig, 1000, 2, 1);
	arrived(&rig, 60, 3, 1);
	assert_int_equal(counted(ZCNET_Q_frames), 2);
	rig_fini(&rig);
}

/* Chains of next to nothing: a frame goes through no more descriptors than a ring has. */
static void
walks_no_further_than_a_ring(void **state)
{
	const uint32_t room = 16;
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 16384, 0);
	for (int i = 0; i < 60; i++)
		post(&rig, room, layout_by_name("indirect-8"));
	assert_int_equal(put(60 * room - 12, 1), 1);
	assert_int_equal(counted(ZCNET_Q_drop_no_fit), 1);
	nothing_arrived(&rig);
	assert_int_equal(put(3 * room, 2), 1);
	arrived(&rig, 3 * room, 2, 4);
	rig_fini(&rig);
}

static void
larger_than_the_whole_ring(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 8, 16384, 0);
	rx.full = ZCNET_RX_FULL_WAIT;
	for (int i = 0; i < 8; i++)
		post(&rig, 100, &layouts[0]);
	assert_int_equal(put(1000, 1), 1);
	assert_int_equal(counted(ZCNET_Q_drop_no_fit), 1);
	assert_int_equal(put(8 * 100 - 12, 2), 1);
	arrived(&rig, 8 * 100 - 12, 2, 8);
	rig_fini(&rig);
}

static void
drop_without_a_buffer(void **state)
{
	struct rte_mbuf *m[3];
	struct rig rig;
	uint64_t rng = 1;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	assert_int_equal(put(100, 1), 1);
	post(&rig, 1012, &layouts[0]);
	for (int i = 0; i < 3; i++)
		m[i] = frame_of(random_bytes(100, i), 100, 1, &rng);
	assert_int_equal(zc_rx_put(&rx, m, 3), 3);
	assert_int_equal(counted(ZCNET_Q_drop_no_buffer), 3);
	assert_int_equal(counted(ZCNET_Q_waits), 0);
	assert_int_equal(counted(ZCNET_Q_frames), 1);
	arrived(&rig, 100, 0, 1);
	nothing_arrived(&rig);
	rig_fini(&rig);
}

static void
wait_for_a_buffer(void **state)
{
	struct rte_mbuf *m[4];
	struct rig rig;
	uint64_t rng = 1;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	rx.full = ZCNET_RX_FULL_WAIT;
	post(&rig, 1012, &layouts[0]);
	for (int i = 0; i < 4; i++)
		m[i] = frame_of(random_bytes(900, i), 900, 3, &rng);
	assert_int_equal(zc_rx_put(&rx, m, 4), 1);
	arrived(&rig, 900, 0, 1);
	assert_int_equal(counted(ZCNET_Q_waits), 1);
	assert_int_equal(zc_rx_put(&rx, m + 1, 3), 0);
	/* Half of a frame has to wait for its other half, and is not shown before. */
	post(&rig, 512, &layouts[0]);
	assert_int_equal(zc_rx_put(&rx, m + 1, 3), 0);
	nothing_arrived(&rig);
	assert_int_equal(counted(ZCNET_Q_waits), 1);
	post(&rig, 512, &layouts[0]);
	post(&rig, 1012, &layouts[0]);
	assert_int_equal(zc_rx_put(&rx, m + 1, 3), 2);
	assert_int_equal(counted(ZCNET_Q_waits), 2);
	arrived(&rig, 900, 1, 2);
	arrived(&rig, 900, 2, 1);
	post(&rig, 1012, &layouts[0]);
	assert_int_equal(zc_rx_put(&rx, m + 3, 1), 1);
	arrived(&rig, 900, 3, 1);
	assert_int_equal(counted(ZCNET_Q_drop_no_buffer), 0);
	assert_int_equal(counted(ZCNET_Q_frames), 4);
	/* Another burst, of which nothing goes at first. */
	m[0] = frame_of(random_bytes(900, 4), 900, 1, &rng);
	assert_int_equal(zc_rx_put(&rx, m, 1), 0);
	assert_int_equal(counted(ZCNET_Q_waits), 3);
	post(&rig, 1012, &layouts[0]);
	assert_int_equal(zc_rx_put(&rx, m, 1), 1);
	arrived(&rig, 900, 4, 1);
	assert_int_equal(counted(ZCNET_Q_waits), 3);
	assert_int_equal(counted(ZCNET_Q_drop_no_buffer), 0);
	rig_fini(&rig);
}

/* What a frame that didn't fit had opened is used by the next. */
static void
drop_with_half_the_buffers(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	post(&rig, 512, &layouts[0]);
	post(&rig, 512, &layouts[0]);
	assert_int_equal(put(1500, 1), 1);
	assert_int_equal(counted(ZCNET_Q_drop_no_buffer), 1);
	assert_int_equal(zc_rx_undone(&rx), 2);
	assert_int_equal(put(500, 2), 1);
	assert_int_equal(put(60, 3), 1);
	arrived(&rig, 500, 2, 1);
	arrived(&rig, 60, 3, 1);
	assert_int_equal(zc_rx_undone(&rx), 0);
	rig_fini(&rig);
}

static void
rewind_posts_again(void **state)
{
	struct zc_vq_conf conf;
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	for (int i = 0; i < 10; i++)
		post(&rig, 1012, &layouts[0]);
	assert_int_equal(put(100, 1), 1);
	for (int i = 0; i < 5; i++)
		assert_true(zc_rx_take_hole(&rx));
	assert_int_equal(zc_rx_undone(&rx), 5);
	zc_rx_rewind(&rx);
	assert_int_equal(zc_rx_undone(&rx), 0);
	arrived(&rig, 100, 1, 1);
	assert_int_equal(put(200, 2), 1);
	arrived(&rig, 200, 2, 1);
	/* And again from the used index, as after a stop. */
	assert_true(zc_rx_take_hole(&rx));
	zc_rx_rewind(&rx);
	zc_rx_detach(&rx);
	conf = rig_vq_conf(rig.q, rig.map);
	assert_int_equal(zc_rx_attach(&rx, &conf, true), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(put(300, i), 1);
		arrived(&rig, 300, i, 1);
	}
	assert_int_equal(drv_ring_pending(&rig.q->ring), 0);
	rig_fini(&rig);
}

/* ---- notification ---- */

static void
one_kick_a_burst(void **state)
{
	struct rte_mbuf *m[8];
	struct rig rig;
	uint64_t rng = 1;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 8; i++) {
			post(&rig, 1012, &layouts[0]);
			m[i] = frame_of(random_bytes(100, i), 100, 1, &rng);
		}
		if (round % 2)
			drv_ring_call_never(&rig.q->ring);
		else
			drv_ring_call_after(&rig.q->ring, 5);
		assert_int_equal(zc_rx_put(&rx, m, 8), 8);
		zc_rx_notify(&rx);
		for (int i = 0; i < 8; i++)
			arrived(&rig, 100, i, 1);
	}
	assert_int_equal(counted(ZCNET_Q_kicks_sent), 2);
	assert_int_equal(counted(ZCNET_Q_kicks_suppressed), 2);
	assert_int_equal(put(100, 1), 1);
	zc_rx_notify(&rx);
	assert_int_equal(counted(ZCNET_Q_kicks_sent) + counted(ZCNET_Q_kicks_suppressed), 4);
	rig_fini(&rig);
}

/* ---- a hostile guest ---- */

static void
play(enum hostile_move move, enum zcnet_rx_full full)
{
	enum hostile_kind kind = hostile_kind(move);
	bool good = kind == HOSTILE_LEGAL || kind == HOSTILE_SELF;
	struct rig rig;

	rig_init(&rig, 0, 8192, 0);
	rx.full = full;
	post(&rig, 2048, &layouts[0]);
	assert_true(hostile_post(rig.q, move) >= 0);
	if (move != HOSTILE_MOVE_AVAIL_BACK && move != HOSTILE_MOVE_AVAIL_JUMP)
		drv_ring_publish(&rig.q->ring);
	for (int i = 0; i < 6; i++)
		put(60, i);
	/* Broken until its reset, or the chain was as good as any. */
	if (move == HOSTILE_MOVE_HDR_ONLY)
		good = true;
	if (!good && move != HOSTILE_MOVE_AVAIL_BACK && move != HOSTILE_MOVE_HEAD_TWICE) {
		if (rx.vq.fault == ZC_VQ_OK)
			fail_msg("%s: not broken", hostile_name(move));
		assert_int_equal(counted(ZCNET_Q_broken), 1);
		/* Not waited for: it will not get better. */
		assert_int_equal(put(60, 1), 1);
	} else if (good && rx.vq.fault != ZC_VQ_OK && kind != HOSTILE_SELF) {
		fail_msg("%s: broken", hostile_name(move));
	}
	rig_fini(&rig);
}

static void
hostile_moves_break_the_queue(void **state)
{
	(void)state;
	for (enum hostile_move m = 0; m < HOSTILE_N_MOVES; m++) {
		play(m, ZCNET_RX_FULL_DROP);
		play(m, ZCNET_RX_FULL_WAIT);
	}
}

/* A chain that was good when it was opened as a hole, and isn't any more. */
static void
chain_changes_while_it_is_held(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 64, 4096, 0);
	post(&rig, 2048, &layouts[0]);
	post(&rig, 2048, &layouts[0]);
	assert_true(zc_rx_take_hole(&rx));
	rig.q->ring.split.desc[rig.q->ring.split.avail->ring[65530 % 64]].addr = 1;
	assert_int_equal(put(60, 1), 1);
	assert_int_equal(rx.vq.fault, ZC_VQ_BAD_CHAIN);
	nothing_arrived(&rig);
	rig_fini(&rig);
}

static void
nothing_to_free(void *addr, void *opaque)
{
	(void)addr, (void)opaque;
}

/*
 * A guest sends to itself, and receives where it sends from. Whoever copies may not be upset by
 * that; ASan says whether it is.
 */
static void
into_the_buffer_it_comes_from(void **state)
{
	static struct rte_mbuf_ext_shared_info shared = { .free_cb = nothing_to_free };
	const uint32_t len = 500;

	(void)state;
	for (unsigned int extra = 0; extra < 2; extra++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(mp);
		struct rig rig;
		uint8_t *from;

		rig_init(&rig, 64, 4096, 0);
		post(&rig, 2048, &layouts[0]);
		from = gmem_va(&rig.g->mem, rig.q->ring.split.desc[0].addr + 100, len);
		memcpy(from, random_bytes(len, extra), len);
		rte_mbuf_ext_refcnt_set(&shared, 1);
		rte_pktmbuf_attach_extbuf(m, from, 0, len, &shared);
		rte_pktmbuf_append(m, len);
		/* A second segment makes it a frame that is copied by itself. */
		if (extra > 0)
			assert_int_equal(rte_pktmbuf_chain(m, rte_pktmbuf_alloc(mp)), 0);
		assert_int_equal(zc_rx_put(&rx, &m, 1), 1);
		arrived(&rig, len, extra, 1);
		rig_fini(&rig);
	}
}

static int
group_setup(void **state)
{
	if (unit_eal_init(state) < 0)
		return -1;
	mp = unit_host_pool(MBUFS, 2048);
	return mp != NULL ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts_mergeable),
		cmocka_unit_test(layouts_not_mergeable),
		cmocka_unit_test(layouts_legacy),
		cmocka_unit_test(merged_at_each_length),
		cmocka_unit_test(merged_buffers_are_full),
		cmocka_unit_test(sixty_four_kilobytes),
		cmocka_unit_test(buffer_of_a_header),
		cmocka_unit_test(too_large_for_one_buffer),
		cmocka_unit_test(walks_no_further_than_a_ring),
		cmocka_unit_test(larger_than_the_whole_ring),
		cmocka_unit_test(drop_without_a_buffer),
		cmocka_unit_test(wait_for_a_buffer),
		cmocka_unit_test(drop_with_half_the_buffers),
		cmocka_unit_test(rewind_posts_again),
		cmocka_unit_test(one_kick_a_burst),
		cmocka_unit_test(hostile_moves_break_the_queue),
		cmocka_unit_test(chain_changes_while_it_is_held),
		cmocka_unit_test(into_the_buffer_it_comes_from),
	};

	return cmocka_run_group_tests_name("rx", tests, group_setup, unit_eal_fini);
}

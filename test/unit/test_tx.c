/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames out of a guest: attached where they lie or copied exactly, and given back in order.
 */
#include "rig.h"

#include "eal.h"
#include "zcopy/tx.h"

#define FRAME_MAX 65553u
#define BURST 32
#define SPARE_MBUFS 4096

static struct rte_mempool *copy_mp;
static struct zc_tx tx;
static unsigned int mbufs_before;

struct rig {
	struct fake_guest *g;
	struct gqueue *q;
	struct zc_map *map;
	uint64_t offered; /* chains posted */
};

static void
tx_create(void)
{
	assert_int_equal(zc_tx_init(&tx, unit_pool_name(), copy_mp, SOCKET_ID_ANY), 0);
	mbufs_before = rte_mempool_avail_count(copy_mp);
	tx.limits = (struct zc_tx_limits){
		.threshold = 256,
		.frame_min = 14,
		.frame_max = FRAME_MAX,
		.out_max = ZC_TX_SLOTS,
		.segs_max = 1024,
		.copy = ZC_TX_ATTACH,
	};
}

static void
rig_attach(struct rig *rig, struct fake_guest *g, uint16_t at)
{
	struct zc_vq_conf conf;

	*rig = (struct rig){ .g = g, .q = fake_guest_tx(g, 0) };
	rig_start_at(rig->q, at);
	rig->map = rig_map(&g->mem);
	conf = rig_vq_conf(rig->q, rig->map);
	assert_int_equal(zc_tx_attach(&tx, &conf), 0);
}

static void
rig_init(struct rig *rig, struct fake_guest *g)
{
	tx_create();
	rig_attach(rig, g, 65500);
}

static void
rig_detach(struct rig *rig)
{
	zc_tx_detach(&tx);
	zc_map_put(rig->map);
	fake_guest_destroy(rig->g);
}

static void
rig_fini(struct rig *rig)
{
	const uint64_t *n = tx.counters.value;
	uint64_t copies = 0, drops = 0;

	zc_tx_complete(&tx, 0);
	assert_int_equal(zc_tx_out(&tx), 0);
	for (unsigned int i = ZCNET_Q_copy_small; i <= ZCNET_Q_copy_foreign; i++)
		copies += n[i];
	for (unsigned int i = ZCNET_Q_drop_bad_chain; i <= ZCNET_Q_drop_no_guest; i++)
		drops += n[i];
	assert_int_equal(n[ZCNET_Q_frames], n[ZCNET_Q_zc_frames] + copies);
	if (rig->offered > 0)
		assert_int_equal(rig->offered, n[ZCNET_Q_frames] + drops);
	assert_true(n[ZCNET_Q_zc_bytes] <= n[ZCNET_Q_bytes]);
	rig_detach(rig);
	assert_true(zc_tx_fini(&tx));
	/* Every host mbuf is back. */
	assert_int_equal(rte_mempool_avail_count(copy_mp), mbufs_before);
}

static uint64_t
counted(enum zcnet_queue_counter counter)
{
	return tx.counters.value[counter];
}

static void
post(struct rig *rig, const struct layout *l, const void *frame, uint32_t len)
{
	int id = gqueue_tx_frame(rig->q, l, NULL, frame, len);

	if (id < 0)
		fail_msg("frame of %u bytes, layout %s: %d", len, l->name, id);
	drv_ring_publish(&rig->q->ring);
	rig->offered++;
}

/* Turns in which the queue is passed over for what its chains cost. */
static void
pay(void)
{
	struct rte_mbuf *none[BURST];

	while (tx.debt > 0)
		assert_int_equal(zc_tx_take(&tx, none, BURST), 0);
}

static struct rte_mbuf *
take(void)
{
	struct rte_mbuf *m = NULL;

	pay();
	assert_int_equal(zc_tx_take(&tx, &m, 1), 1);
	return m;
}

static void
complete(struct rig *rig, int chains)
{
	zc_tx_complete(&tx, 0);
	assert_int_equal(gqueue_tx_reclaim(rig->q), chains);
	assert_int_equal(rig->q->ring.out_of_order, 0);
}

/* Our address of what a segment holds, when that is guest memory. */
static bool
is_guest_memory(const struct rig *rig, const struct rte_mbuf *seg)
{
	uint64_t gpa = gmem_gpa(&rig->g->mem, rte_pktmbuf_mtod(seg, void *));

	if (gpa == 0)
		return false;
	assert_int_equal(rte_pktmbuf_iova(seg), RIG_IOVA(gpa));
	assert_true(seg->pool == tx.pool.mp);
	assert_true(seg->ol_flags & RTE_MBUF_F_EXTERNAL);
	return true;
}

static void
same_bytes(const struct rte_mbuf *m, const uint8_t *frame, uint32_t len)
{
	const char *why = NULL;
	uint32_t at = 0;

	if (rte_mbuf_check(m, 1, &why) < 0)
		fail_msg("%s", why);
	assert_int_equal(m->pkt_len, len);
	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next) {
		assert_memory_equal(rte_pktmbuf_mtod(seg, void *), frame + at, seg->data_len);
		at += seg->data_len;
	}
	assert_int_equal(at, len);
}

static const uint8_t *
random_bytes(uint32_t len, uint64_t seed)
{
	static uint8_t frame[1 << 18];

	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)rng_next(&seed);
	return frame;
}

/* ---- attaching ---- */

static void
attached_where_it_lies(void **state)
{
	static const uint32_t lens[] = { 256, 1500, 1518, 9000 };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	for (unsigned int i = 0; i < RTE_DIM(lens); i++) {
		const uint8_t *frame = random_bytes(lens[i], i);
		int id = gqueue_tx_frame(rig.q, &layouts[0], NULL, frame, lens[i]);
		uint64_t gpa = rig.q->ring.split.desc[id].addr + 12;
		struct rte_mbuf *m;

		drv_ring_publish(&rig.q->ring);
		rig.offered++;
		m = take();
		assert_ptr_equal(rte_pktmbuf_mtod(m, void *), gmem_va(&rig.g->mem, gpa, lens[i]));
		assert_int_equal(rte_pktmbuf_iova(m), RIG_IOVA(gpa));
		assert_int_equal(rte_mbuf_refcnt_read(m), 1);
		assert_int_equal(m->nb_segs, 1);
		assert_null(m->next);
		assert_int_equal(rte_pktmbuf_headroom(m), 0);
		assert_int_equal(rte_pktmbuf_tailroom(m), 0);
		same_bytes(m, frame, lens[i]);
		complete(&rig, 0);
		rte_pktmbuf_free(m);
		complete(&rig, 1);
	}
	assert_int_equal(counted(ZCNET_Q_zc_frames), RTE_DIM(lens));
	assert_int_equal(counted(ZCNET_Q_zc_bytes), 256 + 1500 + 1518 + 9000);
	rig_fini(&rig);
}

static void
threshold_divides(void **state)
{
	static const uint32_t thresholds[] = { 0, 14, 60, 255, 256, 257, 1518, 65535 };
	static const uint32_t lens[] = { 14, 59, 60, 61, 254, 255, 256, 257, 1517, 1518, 1519,
		9000 };
	const struct layout *const ways[] = { &layouts[0], layout_by_name("hdr-alone"),
		layout_by_name("pieces-2") };
	uint64_t small = 0;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	for (unsigned int t = 0; t < RTE_DIM(thresholds); t++) {
		for (unsigned int i = 0; i < RTE_DIM(lens) * RTE_DIM(ways); i++) {
			uint32_t len = lens[i / RTE_DIM(ways)];
			const uint8_t *frame = random_bytes(len, i);
			struct rte_mbuf *m;

			tx.limits.threshold = thresholds[t];
			post(&rig, ways[i % RTE_DIM(ways)], frame, len);
			m = take();
			same_bytes(m, frame, len);
			assert_int_equal(is_guest_memory(&rig, m), len >= thresholds[t]);
			small += len < thresholds[t];
			rte_pktmbuf_free(m);
			complete(&rig, 1);
		}
	}
	assert_int_equal(counted(ZCNET_Q_copy_small), small);
	rig_fini(&rig);
}

static void
any_layout_with_any_header_segment(void **state)
{
	static const uint16_t headers[] = { 0, 1, 14, 54, 64, 128, 256 };
	struct rig rig;
	uint64_t rng = 1;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	for (const struct layout *l = layouts; l->name != NULL; l++) {
		for (unsigned int i = 0; i < 3 * RTE_DIM(headers); i++) {
			uint32_t len = rng_range(&rng, 257, 9000), in_guest = 0;
			const uint8_t *frame = random_bytes(len, rng);
			struct rte_mbuf *m;

			tx.limits.header_bytes = headers[i / 3];
			post(&rig, l, frame, len);
			m = take();
			same_bytes(m, frame, len);
			for (struct rte_mbuf *s = m; s != NULL; s = s->next)
				in_guest += is_guest_memory(&rig, s) ? s->data_len : 0;
			assert_int_equal(in_guest, len - tx.limits.header_bytes);
			if (tx.limits.header_bytes > 0)
				assert_false(is_guest_memory(&rig, m));
			complete(&rig, 0);
			rte_pktmbuf_free(m);
			complete(&rig, 1);
		}
	}
	rig_fini(&rig);
}

/* Copies read whole blocks: under ASan, never one that begins in a region and ends behind it. */
static void
copied_up_to_the_end_of_memory(void **state)
{
	static const struct {
		const char *layout;
		uint32_t len;
		uint16_t header;
	} frames[] = {
		{ "together", 14, 0 },
		{ "together", 60, 0 },
		{ "together", 64, 0 },
		{ "together", 255, 0 },
		{ "together", 300, 0 },
		{ "together", 300, 256 },
		{ "together", 1518, 64 },
		{ "pieces-2", 256, 100 },
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	for (unsigned int i = 0; i < 4 * RTE_DIM(frames); i++) {
		const uint32_t len = frames[i / 4].len, space = i % 4 / 2 * 63;
		const uint8_t *frame = random_bytes(len, i);
		int id = gqueue_tx_frame(rig.q, layout_by_name(frames[i / 4].layout), NULL, frame,
				len);
		struct vring_desc *first = &rig.q->ring.split.desc[id];
		uint64_t end = gmem_dead_end(&rig.g->mem) - space;
		struct rte_mbuf *m;

		tx.limits.header_bytes = frames[i / 4].header;
		first->addr = end - first->len;
		assert_int_equal(gmem_write(&rig.g->mem, end - (first->len - 12), frame,
						 first->len - 12),
				0);
		drv_ring_publish(&rig.q->ring);
		rig.offered++;
		m = take();
		same_bytes(m, frame, len);
		rte_pktmbuf_free(m);
		complete(&rig, 1);
	}
	rig_fini(&rig);
}

static void
frame_no_longer_than_the_header_segment(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.threshold = 0;
	tx.limits.header_bytes = 128;
	for (uint32_t len = 126; len <= 130; len++) {
		const uint8_t *frame = random_bytes(len, len);
		struct rte_mbuf *m;

		post(&rig, &layouts[0], frame, len);
		m = take();
		same_bytes(m, frame, len);
		assert_int_equal(m->nb_segs, len > 128 ? 2 : 1);
		rte_pktmbuf_free(m);
		complete(&rig, 1);
	}
	assert_int_equal(counted(ZCNET_Q_copy_small), 3);
	assert_int_equal(counted(ZCNET_Q_zc_frames), 2);
	rig_fini(&rig);
}

/* rte_mbuf counts the bytes of a segment in 16 bits. */
static void
long_descriptor_is_split(void **state)
{
	static const uint32_t lens[] = { 65523, 65524, 65535, 65536, 65553 };
	const struct layout *const ways[] = { &layouts[0], layout_by_name("hdr-alone"),
		layout_by_name("indirect-1") };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(16, 70000, 0));
	for (unsigned int i = 0; i < RTE_DIM(lens) * RTE_DIM(ways); i++) {
		uint32_t len = lens[i / RTE_DIM(ways)];
		const uint8_t *frame = random_bytes(len, i);
		struct rte_mbuf *m;

		post(&rig, ways[i % RTE_DIM(ways)], frame, len);
		m = take();
		same_bytes(m, frame, len);
		assert_int_equal(m->nb_segs, len > 65535 ? 2 : 1);
		for (struct rte_mbuf *s = m; s != NULL; s = s->next)
			assert_true(is_guest_memory(&rig, s));
		rte_pktmbuf_free(m);
		complete(&rig, 1);
	}
	rig_fini(&rig);
}

static void
many_descriptors(void **state)
{
	struct layout l = { .name = "many", .hdr = LAYOUT_HDR_ALONE };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 16384, 0));
	for (uint8_t pieces = 1; pieces < 120; pieces++) {
		const uint8_t *frame = random_bytes(9000, pieces);
		unsigned int segs = 0;
		struct rte_mbuf *m;

		l.pieces = pieces;
		post(&rig, &l, frame, 9000);
		m = take();
		same_bytes(m, frame, 9000);
		for (struct rte_mbuf *s = m; s != NULL; s = s->next)
			segs += is_guest_memory(&rig, s);
		assert_int_equal(segs, m->nb_segs);
		assert_int_equal(zc_tx_out(&tx), segs);
		rte_pktmbuf_free(m);
		complete(&rig, 1);
	}
	rig_fini(&rig);
}

/* ---- what is copied all the same ---- */

static void
copied(struct rig *rig, const struct layout *l, uint32_t len, enum zcnet_queue_counter why)
{
	const uint8_t *frame = random_bytes(len, len);
	uint64_t before = counted(why);
	struct rte_mbuf *m;

	post(rig, l, frame, len);
	m = take();
	same_bytes(m, frame, len);
	for (struct rte_mbuf *s = m; s != NULL; s = s->next)
		assert_false(is_guest_memory(rig, s));
	assert_int_equal(counted(why), before + 1);
	/* The guest doesn't wait for a copy to be sent. */
	complete(rig, 1);
	rte_pktmbuf_free(m);
}

static void
copies_by_setting(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(32, 70000, 0));
	for (const struct layout *l = layouts; l->name != NULL; l++) {
		tx.limits.copy = ZC_TX_COPY_OFF;
		copied(&rig, l, 255, ZCNET_Q_copy_small);
		copied(&rig, l, 256, ZCNET_Q_copy_off);
		copied(&rig, l, 9000, ZCNET_Q_copy_off);
		copied(&rig, l, l->cross ? 65000 : 65550, ZCNET_Q_copy_off);
		tx.limits.copy = ZC_TX_COPY_RECOVER;
		copied(&rig, l, 1518, ZCNET_Q_copy_recover);
	}
	assert_int_equal(counted(ZCNET_Q_zc_frames), 0);
	rig_fini(&rig);
}

static void
more_segments_than_the_nic_takes(void **state)
{
	const struct layout five = { .name = "5", .hdr = LAYOUT_HDR_ALONE, .pieces = 5 };
	struct rte_mbuf *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.segs_max = 4;
	copied(&rig, &five, 1000, ZCNET_Q_copy_segs);
	tx.limits.segs_max = 5;
	post(&rig, &five, random_bytes(1000, 1), 1000);
	m = take();
	assert_int_equal(m->nb_segs, 5);
	rte_pktmbuf_free(m);
	complete(&rig, 1);
	/* The header segment counts. */
	tx.limits.header_bytes = 64;
	copied(&rig, &five, 1000, ZCNET_Q_copy_segs);
	tx.limits.segs_max = 6;
	post(&rig, &five, random_bytes(1000, 1), 1000);
	m = take();
	assert_int_equal(m->nb_segs, 6);
	rte_pktmbuf_free(m);
	complete(&rig, 1);
	/* More than can ever be out would wait for ever. */
	tx.limits.header_bytes = 0;
	tx.limits.segs_max = 1024;
	tx.limits.out_max = 4;
	copied(&rig, &five, 1000, ZCNET_Q_copy_segs);
	rig_fini(&rig);
}

/* ---- bounds ---- */

static void
out_is_bounded(void **state)
{
	struct rte_mbuf *pkts[BURST];
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.out_max = 10;
	for (int i = 0; i < 20; i++)
		post(&rig, &layouts[0], random_bytes(1000, i), 1000);
	assert_int_equal(zc_tx_take(&tx, pkts, BURST), 10);
	assert_int_equal(zc_tx_out(&tx), 10);
	assert_int_equal(tx.out_peak, 10);
	assert_int_equal(zc_tx_take(&tx, pkts + 10, BURST - 10), 0);
	/* Newer ones back first: their slots are not free before the oldest. */
	rte_pktmbuf_free_bulk(pkts + 1, 9);
	complete(&rig, 0);
	assert_int_equal(zc_tx_take(&tx, pkts + 10, BURST - 10), 0);
	rte_pktmbuf_free(pkts[0]);
	complete(&rig, 10);
	assert_int_equal(zc_tx_take(&tx, pkts, BURST), 10);
	for (int i = 0; i < 10; i++)
		same_bytes(pkts[i], random_bytes(1000, 10 + i), 1000);
	rte_pktmbuf_free_bulk(pkts, 10);
	complete(&rig, 10);
	rig_fini(&rig);
}

static void
out_bound_holds_with_pieces(void **state)
{
	const struct layout three = { .name = "3", .hdr = LAYOUT_HDR_ALONE, .pieces = 3 };
	struct rte_mbuf *pkts[BURST];
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.out_max = 8;
	for (int i = 0; i < 4; i++)
		post(&rig, &three, random_bytes(900, i), 900);
	assert_int_equal(zc_tx_take(&tx, pkts, BURST), 2);
	assert_int_equal(zc_tx_out(&tx), 6);
	/* Copies don't count, but keep their turn. */
	tx.limits.threshold = 5000;
	assert_int_equal(zc_tx_take(&tx, pkts + 2, BURST - 2), 2);
	complete(&rig, 0);
	rte_pktmbuf_free_bulk(pkts, 4);
	complete(&rig, 4);
	rig_fini(&rig);
}

/* They are counted in 32 bits: order, bound and age hold where those wrap. */
static void
segment_numbers_wrap(void **state)
{
	const struct layout three = { .name = "3", .hdr = LAYOUT_HDR_ALONE, .pieces = 3 };
	struct rte_mbuf *pkts[5];
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.seg_head = tx.seg_back = tx.seg_done = tx.mark_seg = UINT32_MAX - 4;
	tx.limits.out_max = 12;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 5; i++)
			post(&rig, &three, random_bytes(900, i), 900);
		assert_int_equal(zc_tx_take(&tx, pkts, 5), 4);
		assert_int_equal(zc_tx_out(&tx), 12);
		zc_tx_complete(&tx, 1000);
		zc_tx_complete(&tx, 1500);
		assert_int_equal(zc_tx_age(&tx), 500);
		rte_pktmbuf_free_bulk(pkts + 1, 3);
		complete(&rig, 0);
		assert_int_equal(zc_tx_take(&tx, pkts + 4, 1), 0);
		rte_pktmbuf_free(pkts[0]);
		complete(&rig, 4);
		assert_int_equal(zc_tx_out(&tx), 0);
		rte_pktmbuf_free(take());
		complete(&rig, 1);
	}
	assert_true(tx.seg_head < 100);
	rig_fini(&rig);
}

static void
out_of_slots_and_back(void **state)
{
	static struct rte_mbuf *pkts[2048];
	uint16_t n = 0, got;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(2048, 512, 0));
	tx.limits.threshold = 0;
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 1500; i++)
			post(&rig, &layouts[0], random_bytes(60, i), 60);
		for (n = 0; (got = zc_tx_take(&tx, pkts + n, BURST)) > 0; n += got)
			complete(&rig, 0);
		assert_int_equal(n, ZC_TX_SLOTS);
		rte_pktmbuf_free_bulk(pkts, 500);
		complete(&rig, 500);
		while ((got = zc_tx_take(&tx, pkts + n, BURST)) > 0)
			n += got;
		assert_int_equal(n, 1500);
		for (int i = 0; i < 1500; i++)
			same_bytes(i < 500 ? pkts[1000 + i] : pkts[i],
					random_bytes(60, i < 500 ? 1000 + i : i), 60);
		rte_pktmbuf_free_bulk(pkts + 500, 1000);
		complete(&rig, 1000);
	}
	rig_fini(&rig);
}

static void
burst_is_bounded_in_bytes(void **state)
{
	struct rte_mbuf *pkts[BURST];
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(64, 70000, 0));
	for (int i = 0; i < 20; i++)
		post(&rig, &layouts[0], random_bytes(65000, i), 65000);
	/* The frame that reaches the bound is the last: 5 x 65,000 > 262,144. */
	for (int left = 20; left > 0; left -= 5) {
		assert_int_equal(zc_tx_take(&tx, pkts, BURST), 5);
		rte_pktmbuf_free_bulk(pkts, 5);
	}
	complete(&rig, 20);
	rig_fini(&rig);
}

/* Linearised as far as host mbufs go: a NIC never sees more segments than it takes. */
static void
copies_with_more_segments_than_the_nic_takes(void **state)
{
	static const struct {
		uint16_t segs_max;
		uint32_t len;
		bool taken;
	} cases[] = { { 1, 1518, true }, { 1, 9000, false }, { 4, 9000, false }, { 5, 9000, true },
		{ 1, 2049, false }, { 2, 2049, true }, { 1, 2048, true } };
	unsigned int dropped = 0;
	struct rte_mbuf *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 10000, 0));
	tx.limits.copy = ZC_TX_COPY_OFF;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		tx.limits.segs_max = cases[i].segs_max;
		post(&rig, &layouts[0], random_bytes(cases[i].len, i), cases[i].len);
		assert_int_equal(zc_tx_take(&tx, &m, 1), cases[i].taken);
		dropped += !cases[i].taken;
		if (cases[i].taken) {
			assert_true(m->nb_segs <= cases[i].segs_max);
			rte_pktmbuf_free(m);
		}
		complete(&rig, 1);
	}
	assert_int_equal(counted(ZCNET_Q_drop_segs), dropped);
	rig_fini(&rig);
}

/* Some NICs stop their queue for a frame that is too short: it is padded with zeroes. */
static void
shorter_than_the_nic_takes(void **state)
{
	static const uint8_t zeroes[17];
	unsigned int padded = 0;
	struct rte_mbuf *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.frame_min = 17;
	tx.limits.threshold = 0;
	for (const struct layout *l = layouts; l->name != NULL; l++)
		for (uint32_t len = 14; len <= 18; len++) {
			const uint8_t *frame = random_bytes(len, len);

			if (l->pieces > 1 || l->cross)
				continue;
			post(&rig, l, frame, len);
			m = take();
			assert_int_equal(m->pkt_len, RTE_MAX(len, 17u));
			assert_memory_equal(rte_pktmbuf_mtod(m, void *), frame, len);
			if (len < 17) {
				assert_int_equal(m->data_len, 17);
				assert_memory_equal(rte_pktmbuf_mtod_offset(m, void *, len), zeroes,
						17 - len);
				padded++;
			}
			rte_pktmbuf_free(m);
			complete(&rig, 1);
		}
	assert_true(padded > 0);
	assert_int_equal(counted(ZCNET_Q_copy_short), padded);
	rig_fini(&rig);
}

static void
sizes_that_are_no_frames(void **state)
{
	const struct layout *const ways[] = { &layouts[0], layout_by_name("hdr-alone"),
		layout_by_name("indirect") };
	struct rte_mbuf *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.frame_max = 1518;
	for (unsigned int i = 0; i < RTE_DIM(ways); i++) {
		static const struct {
			uint32_t len;
			bool good;
		} sizes[] = { { 1, false }, { 13, false }, { 14, true }, { 1518, true },
			{ 1519, false }, { 9000, false } };

		for (unsigned int k = 0; k < RTE_DIM(sizes); k++) {
			post(&rig, ways[i], random_bytes(sizes[k].len, k), sizes[k].len);
			pay();
			assert_int_equal(zc_tx_take(&tx, &m, 1), sizes[k].good);
			if (sizes[k].good)
				rte_pktmbuf_free(m);
			complete(&rig, 1);
		}
	}
	assert_int_equal(counted(ZCNET_Q_drop_bad_size), 12);
	rig_fini(&rig);
}

/* Leave @n of the host mbufs; 0 gives them back. */
static void
hoard(unsigned int n)
{
	static struct rte_mbuf *taken[SPARE_MBUFS];
	static unsigned int ntaken;

	rte_mempool_put_bulk(copy_mp, (void **)taken, ntaken);
	ntaken = n > 0 ? rte_mempool_avail_count(copy_mp) - n : 0;
	if (ntaken > 0)
		assert_int_equal(rte_mempool_get_bulk(copy_mp, (void **)taken, ntaken), 0);
}

static void
out_of_host_mbufs(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(16, 70000, 0));
	hoard(ZC_TX_SPARE + 1);
	tx.limits.copy = ZC_TX_COPY_OFF;
	/* Mbufs of 2,048 bytes. What was begun is given back. */
	for (int i = 0; i < 3; i++) {
		post(&rig, &layouts[0], random_bytes(65537, 1), 65537);
		assert_int_equal(zc_tx_take(&tx, &m, 1), 0);
		complete(&rig, 1);
	}
	assert_int_equal(counted(ZCNET_Q_drop_no_mbuf), 3);
	copied(&rig, &layouts[0], 9000, ZCNET_Q_copy_off);
	copied(&rig, &layouts[0], 100, ZCNET_Q_copy_small);
	hoard(0);
	copied(&rig, &layouts[0], 65537, ZCNET_Q_copy_off);
	rig_fini(&rig);
}

/* ---- coming back ---- */

struct flight {
	struct rte_mbuf *m;
	uint64_t seq;
};

/* Frames of every kind, freed in any order: chains come back in avail order and never early. */
static void
frees_in_random_order(void **state)
{
	static struct flight out[512];
	static bool freed[60000];
	struct rte_mbuf *pkts[BURST];
	uint64_t rng = 12, posted = 0, taken = 0, back = 0;
	unsigned int n = 0;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(64, 16384, 0));
	tx.limits.out_max = 200;
	while (back < RTE_DIM(freed)) {
		uint16_t got;
		int used;

		for (int i = rng_range(&rng, 0, 8); i > 0 && posted < RTE_DIM(freed); i--) {
			struct layout l = layout_random(&rng, rig.q->conf.features, LAYOUT_MAY_MIX);
			uint32_t len = rng_range(&rng, 60, 2000);

			if (gqueue_tx_frame(rig.q, &l, NULL, random_bytes(len, posted), len) < 0)
				break;
			posted++;
		}
		drv_ring_publish(&rig.q->ring);
		got = zc_tx_take(&tx, pkts, rng_range(&rng, 1, BURST));
		for (uint16_t i = 0; i < got; i++) {
			bool attached = is_guest_memory(&rig, pkts[i]);

			same_bytes(pkts[i], random_bytes(pkts[i]->pkt_len, taken),
					pkts[i]->pkt_len);
			freed[taken] = !attached;
			out[n++] = (struct flight){ pkts[i], taken++ };
		}
		for (unsigned int i = rng_range(&rng, 0, n); i > 0; i--) {
			unsigned int k = rng_range(&rng, 0, n - 1);

			freed[out[k].seq] = true;
			rte_pktmbuf_free(out[k].m);
			out[k] = out[--n];
		}
		zc_tx_complete(&tx, 0);
		used = gqueue_tx_reclaim(rig.q);
		assert_true(used >= 0);
		assert_int_equal(rig.q->ring.out_of_order, 0);
		for (; used > 0; used--)
			assert_true(freed[back++]);
		/* Nothing that could be back is kept. */
		if (back < taken)
			assert_false(freed[back]);
	}
	rig.offered = posted;
	assert_int_equal(counted(ZCNET_Q_frames), posted);
	rig_fini(&rig);
}

static struct rte_mbuf *
clone_of(struct rte_mbuf *m)
{
	struct rte_mbuf *clone = rte_pktmbuf_clone(m, copy_mp);

	assert_non_null(clone);
	return clone;
}

static void
clone_outlives_its_original(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	for (const struct layout *l = layouts; l->name != NULL; l++) {
		for (unsigned int i = 0; i < 12; i++) {
			const uint8_t *frame = random_bytes(3000, i);
			struct rte_mbuf *m, *clone, *second;

			tx.limits.header_bytes = i % 2 ? 64 : 0;
			post(&rig, l, frame, 3000);
			m = take();
			clone = clone_of(m);
			second = clone_of(i % 3 ? m : clone);
			rte_pktmbuf_free(m);
			complete(&rig, 0);
			same_bytes(clone, frame, 3000);
			rte_pktmbuf_free(clone);
			complete(&rig, 0);
			same_bytes(second, frame, 3000);
			rte_pktmbuf_free(second);
			complete(&rig, 1);
		}
	}
	/* Slots are as good as new. */
	for (uint32_t i = 0; i < ZC_TX_SLOTS; i++) {
		assert_int_equal(rte_mbuf_refcnt_read(tx.slot[i]), 1);
		assert_int_equal(rte_mbuf_ext_refcnt_read(tx.slot[i]->shinfo), 1);
		assert_null(tx.slot[i]->next);
	}
	rig_fini(&rig);
}

static void
references_count(void **state)
{
	struct rte_mbuf *m, *clone;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	for (int i = 0; i < 2000; i++) {
		post(&rig, &layouts[0], random_bytes(600, i), 600);
		m = take();
		rte_mbuf_refcnt_update(m, 1);
		clone = i % 2 ? clone_of(m) : NULL;
		rte_pktmbuf_free(m);
		complete(&rig, 0);
		rte_pktmbuf_free(m);
		if (clone != NULL) {
			complete(&rig, 0);
			rte_pktmbuf_free(clone);
		}
		complete(&rig, 1);
	}
	for (uint32_t i = 0; i < ZC_TX_SLOTS; i++)
		assert_int_equal(rte_mbuf_refcnt_read(tx.slot[i]), 1);
	rig_fini(&rig);
}

static void
header_segment_first_payload_later(void **state)
{
	struct rte_mbuf *m, *payload;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	tx.limits.header_bytes = 64;
	post(&rig, &layouts[0], random_bytes(1000, 1), 1000);
	m = take();
	payload = m->next;
	rte_pktmbuf_free_seg(m);
	complete(&rig, 0);
	rte_pktmbuf_free_seg(payload);
	complete(&rig, 1);
	rig_fini(&rig);
}

/* ---- who is told, and when ---- */

static void
one_kick_a_batch(void **state)
{
	struct rte_mbuf *pkts[BURST];
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, BIT(VIRTIO_RING_F_EVENT_IDX)));
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 7; i++)
			post(&rig, &layouts[0], random_bytes(60 + 300 * i, i), 60 + 300 * i);
		assert_int_equal(zc_tx_take(&tx, pkts, BURST), 7);
		rte_pktmbuf_free_bulk(pkts, 7);
		if (round % 2)
			drv_ring_call_never(&rig.q->ring);
		else
			drv_ring_call_after(&rig.q->ring, 1);
		complete(&rig, 7);
		complete(&rig, 0);
	}
	assert_int_equal(counted(ZCNET_Q_kicks_sent), 2);
	assert_int_equal(counted(ZCNET_Q_kicks_suppressed), 2);
	rig_fini(&rig);
}

/* What a worker counts as work: publishing, and then the interrupt. */
static void
poll_tells_what_it_did(void **state)
{
	struct rte_mbuf *m, *none;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, BIT(VIRTIO_RING_F_EVENT_IDX)));
	for (int never = 0; never < 2; never++) {
		if (never)
			drv_ring_call_never(&rig.q->ring);
		else
			drv_ring_call_after(&rig.q->ring, 1);
		post(&rig, &layouts[0], random_bytes(1000, 1), 1000);
		m = take();
		assert_int_equal(zc_tx_take(&tx, &none, 1), 0);
		assert_false(zc_tx_poll(&tx, 1000));
		rte_pktmbuf_free(m);
		assert_true(zc_tx_poll(&tx, 2000));
		assert_int_equal(zc_tx_poll(&tx, 3000), !never);
		assert_false(zc_tx_poll(&tx, 4000));
	}
	rig_fini(&rig);
}

static void
age_is_of_what_is_out(void **state)
{
	struct rte_mbuf *a, *b;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	zc_tx_complete(&tx, 1000);
	assert_int_equal(zc_tx_age(&tx), 0);
	/* After silence: taken just now, looked at before the next completion. */
	post(&rig, &layouts[0], random_bytes(1000, 1), 1000);
	a = take();
	assert_int_equal(zc_tx_age(&tx), 0);
	/* Known as soon as the owner looks, and as of then. */
	zc_tx_complete(&tx, 1000000);
	assert_int_equal(zc_tx_age(&tx), 0);
	zc_tx_complete(&tx, 1000300);
	assert_int_equal(zc_tx_age(&tx), 300);
	post(&rig, &layouts[0], random_bytes(1000, 2), 1000);
	b = take();
	zc_tx_complete(&tx, 1000500);
	assert_int_equal(zc_tx_age(&tx), 500);
	/* The oldest is back; the other has been out for less, and is not said to be older. */
	rte_pktmbuf_free(a);
	zc_tx_complete(&tx, 1000600);
	assert_int_equal(zc_tx_age(&tx), 0);
	zc_tx_complete(&tx, 1000700);
	assert_int_equal(zc_tx_age(&tx), 100);
	rte_pktmbuf_free(b);
	zc_tx_complete(&tx, 1000800);
	assert_int_equal(zc_tx_age(&tx), 0);
	rig_fini(&rig);
}

/* ---- life ---- */

static void
fini_waits_for_what_is_out(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0));
	post(&rig, &layouts[0], random_bytes(1000, 1), 1000);
	m = take();
	rig_detach(&rig);
	assert_false(zc_tx_fini(&tx));
	rte_pktmbuf_free(m);
	assert_true(zc_tx_fini(&tx));
	assert_int_equal(rte_mempool_avail_count(copy_mp), mbufs_before);
}

static void
next_guest_while_the_last_ones_buffers_are_out(void **state)
{
	struct rte_mbuf *old[8], *m[8], *copies[2];
	struct fake_guest *first = rig_guest(0, 0, 0);
	struct zc_map *map;
	struct rig rig;

	(void)state;
	rig_init(&rig, first);
	for (int i = 0; i < 8; i++)
		post(&rig, &layouts[0], random_bytes(1000, i), 1000);
	assert_int_equal(zc_tx_take(&tx, old, 8), 8);
	post(&rig, &layouts[0], random_bytes(60, 9), 60);
	copies[0] = take();
	map = rig.map;
	zc_tx_detach(&tx);
	rig_attach(&rig, rig_guest(32, 0, 0), 0);
	for (int i = 0; i < 8; i++)
		post(&rig, &layouts[0], random_bytes(1000, 10 + i), 1000);
	assert_int_equal(zc_tx_take(&tx, m, 8), 8);
	for (int i = 0; i < 8; i++)
		same_bytes(m[i], random_bytes(1000, 10 + i), 1000);
	post(&rig, &layouts[0], random_bytes(60, 9), 60);
	copies[1] = take();
	assert_ptr_not_equal(copies[0], copies[1]);
	rte_pktmbuf_free_bulk(copies, 2);
	rte_pktmbuf_free_bulk(old, 7);
	complete(&rig, 0);
	rte_pktmbuf_free_bulk(m, 8);
	rte_pktmbuf_free(old[7]);
	complete(&rig, 9);
	rig.offered = 0;
	rig_fini(&rig);
	zc_map_put(map);
	fake_guest_destroy(first);
}

/* ---- a hostile guest ---- */

static void
play(enum hostile_move move, uint32_t threshold)
{
	enum hostile_kind kind = hostile_kind(move);
	struct rte_mbuf *pkts[BURST] = { NULL };
	const uint8_t *frame = random_bytes(600, move);
	uint16_t got, before;
	struct rig rig;

	rig_init(&rig, rig_guest(0, 8192, 0));
	tx.limits.threshold = threshold;
	assert_true(gqueue_tx_frame(rig.q, &layouts[0], NULL, frame, 600) >= 0);
	assert_true(hostile_post(rig.q, move) >= 0);
	before = rig.q->ring.avail_idx;
	if (kind != HOSTILE_RING) {
		assert_true(gqueue_tx_frame(rig.q, &layouts[0], NULL, frame, 600) >= 0);
		before++;
	}
	if (move != HOSTILE_MOVE_AVAIL_BACK && move != HOSTILE_MOVE_AVAIL_JUMP)
		drv_ring_publish(&rig.q->ring);
	got = zc_tx_take(&tx, pkts, BURST);
	pay();
	got += zc_tx_take(&tx, pkts + got, BURST - got);
	for (uint16_t i = 0; i < got; i++)
		if (pkts[i]->pkt_len == 600 && kind != HOSTILE_SELF)
			same_bytes(pkts[i], frame, 600);
	if (kind == HOSTILE_CHAIN) {
		/* Dropped, counted and given back; its neighbours pass. */
		if (got != 2 || tx.vq.fault != ZC_VQ_OK)
			fail_msg("%s: %u frames, fault %u", hostile_name(move), got, tx.vq.fault);
		assert_int_equal(counted(ZCNET_Q_drop_bad_chain) + counted(ZCNET_Q_drop_bad_size),
				1);
		assert_int_equal(tx.vq.next_avail, before);
	} else if (kind == HOSTILE_RING && move != HOSTILE_MOVE_HEAD_TWICE &&
			move != HOSTILE_MOVE_AVAIL_BACK) {
		/* Broken until its reset: counted once, and nothing more is taken. */
		zc_tx_take(&tx, pkts + got, BURST - got);
		assert_int_equal(zc_tx_take(&tx, pkts + got, BURST - got), 0);
		assert_int_not_equal(tx.vq.fault, ZC_VQ_OK);
		assert_int_equal(counted(ZCNET_Q_broken), 1);
	} else if (kind != HOSTILE_RING) {
		if (got < 2)
			fail_msg("%s: %u frames", hostile_name(move), got);
	}
	rte_pktmbuf_free_bulk(pkts, got);
	zc_tx_complete(&tx, 0);
	if (kind == HOSTILE_CHAIN || kind == HOSTILE_LEGAL)
		assert_true(gqueue_tx_reclaim(rig.q) >= 3);
	rig_fini(&rig);
}

static void
hostile_moves_harm_nobody(void **state)
{
	(void)state;
	for (enum hostile_move m = 0; m < HOSTILE_N_MOVES; m++) {
		play(m, 0);
		play(m, 256);
		play(m, 65535);
	}
}

/* The index goes back by one while all of a ring is with the NIC. */
static void
index_back_while_all_is_out(void **state)
{
	static struct rte_mbuf *pkts[2048];
	uint16_t n = 0, got;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(64, 0, 0));
	for (int i = 0; i < 64; i++)
		post(&rig, &layouts[0], random_bytes(600, i), 600);
	while ((got = zc_tx_take(&tx, pkts + n, BURST)) > 0)
		n += got;
	assert_int_equal(n, 64);
	rig.q->ring.split.avail->idx--;
	for (int i = 0; i < 40; i++)
		n += zc_tx_take(&tx, pkts + n, BURST);
	rte_pktmbuf_free_bulk(pkts, n);
	zc_tx_complete(&tx, 0);
	assert_int_equal(n, 64);
	assert_int_equal(tx.vq.fault, ZC_VQ_AVAIL_JUMP);
	rig_fini(&rig);
}

static int
group_setup(void **state)
{
	if (unit_eal_init(state) < 0)
		return -1;
	copy_mp = unit_host_pool(SPARE_MBUFS, 2048);
	return copy_mp != NULL ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attached_where_it_lies),
		cmocka_unit_test(threshold_divides),
		cmocka_unit_test(any_layout_with_any_header_segment),
		cmocka_unit_test(copied_up_to_the_end_of_memory),
		cmocka_unit_test(frame_no_longer_than_the_header_segment),
		cmocka_unit_test(long_descriptor_is_split),
		cmocka_unit_test(many_descriptors),
		cmocka_unit_test(copies_by_setting),
		cmocka_unit_test(more_segments_than_the_nic_takes),
		cmocka_unit_test(out_is_bounded),
		cmocka_unit_test(out_bound_holds_with_pieces),
		cmocka_unit_test(segment_numbers_wrap),
		cmocka_unit_test(out_of_slots_and_back),
		cmocka_unit_test(burst_is_bounded_in_bytes),
		cmocka_unit_test(copies_with_more_segments_than_the_nic_takes),
		cmocka_unit_test(shorter_than_the_nic_takes),
		cmocka_unit_test(sizes_that_are_no_frames),
		cmocka_unit_test(out_of_host_mbufs),
		cmocka_unit_test(frees_in_random_order),
		cmocka_unit_test(clone_outlives_its_original),
		cmocka_unit_test(references_count),
		cmocka_unit_test(header_segment_first_payload_later),
		cmocka_unit_test(one_kick_a_batch),
		cmocka_unit_test(poll_tells_what_it_did),
		cmocka_unit_test(age_is_of_what_is_out),
		cmocka_unit_test(fini_waits_for_what_is_out),
		cmocka_unit_test(next_guest_while_the_last_ones_buffers_are_out),
		cmocka_unit_test(hostile_moves_harm_nobody),
		cmocka_unit_test(index_back_while_all_is_out),
	};

	return cmocka_run_group_tests_name("tx", tests, group_setup, unit_eal_fini);
}

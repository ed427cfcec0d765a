/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Normative statements of virtio 1.2 about a device, one test for each, named after its row in
 * doc/conformance.md. Rows that need the whole program are cases of zcnet-said.
 */
#include "pair_rig.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

static struct pair p;

/* ---- N1 to N3: descriptors ---- */

static void
n01_any_arrangement(void **state)
{
	struct layout l = { .name = "cut" };

	(void)state;
	pair_init(&p, 0, 0);
	for (l.hdr = LAYOUT_HDR_TOGETHER; l.hdr <= LAYOUT_HDR_SPLIT; l.hdr++)
		for (l.hdr_split = 1; l.hdr_split < 12; l.hdr_split++)
			for (l.pieces = 1; l.pieces < 64; l.pieces = l.pieces * 4 - 1) {
				/* With 60 pieces each is a byte. */
				pair_sends(&p, &l, NULL, 60);
				pair_sends(&p, &l, NULL, 1500);
				pair_posts(&p, 12 + 1500, &l);
				pair_puts(&p, 1500, l.pieces);
				pair_gets(&p, 1500, l.pieces);
			}
	l.hdr = LAYOUT_HDR_ALONE;
	l.pieces = 60;
	pair_sends(&p, &l, NULL, 60);
	pair_posts(&p, 12 + 60, &l);
	pair_puts(&p, 60, 1);
	pair_gets(&p, 60, 1);
	pair_fini(&p);
}

static void
n02_read_only_is_not_written(void **state)
{
	static struct vring_desc before[256];

	(void)state;
	pair_init(&p, 0, 0);
	for (const struct layout *l = layouts; l->name != NULL; l++)
		for (p.tx.limits.header_bytes = 0; p.tx.limits.header_bytes <= 128;
				p.tx.limits.header_bytes += 64) {
			/* gqueue_tx_reclaim() compares the buffers' bytes. */
			pair_sends(&p, l, NULL, 1500);
			pair_posts(&p, 12 + 1500, l);
			memcpy(before, p.rxq->ring.split.desc, sizeof(before));
			pair_puts(&p, 1500, 1);
			assert_memory_equal(before, p.rxq->ring.split.desc, sizeof(before));
			pair_gets(&p, 1500, 1);
		}
	pair_fini(&p);
}

/* Its descriptors while a frame of it is out. */
static void
n02_descriptors_are_not_written(void **state)
{
	static struct vring_desc before[256];
	static uint8_t tables[256 * 64 * 16];
	static uint8_t frame[1500];
	struct rte_mbuf *m;

	(void)state;
	pair_init(&p, 0, 0);
	for (const struct layout *l = layouts; l->name != NULL; l++) {
		assert_true(gqueue_tx_frame(p.txq, l, NULL, frame, sizeof(frame)) >= 0);
		drv_ring_publish(&p.txq->ring);
		memcpy(before, p.txq->ring.split.desc, sizeof(before));
		gmem_read(&p.g->mem, p.txq->ring.table_gpa, tables, sizeof(tables));
		assert_int_equal(pair_take(&p, &m, 1), 1);
		rte_pktmbuf_free(m);
		zc_tx_complete(&p.tx, 0);
		assert_memory_equal(before, p.txq->ring.split.desc, sizeof(before));
		assert_memory_equal(gmem_va(&p.g->mem, p.txq->ring.table_gpa, sizeof(tables)),
				tables, sizeof(tables));
		assert_int_equal(gqueue_tx_reclaim(p.txq), 1);
	}
	pair_fini(&p);
}

/* Every descriptor that points to a table has the flag from now on. */
static void
set_write_flag(struct gqueue *q)
{
	for (unsigned int i = 0; i < q->conf.size; i++)
		if (q->ring.split.desc[i].flags & VRING_DESC_F_INDIRECT)
			q->ring.split.desc[i].flags ^= VRING_DESC_F_WRITE;
}

static void
n03_write_flag_of_a_table(void **state)
{
	static const char *const names[] = { "indirect", "indirect-1", "mixed", "mixed-split" };
	uint8_t frame[1000];
	struct rte_mbuf *m;

	(void)state;
	pair_init(&p, 0, 0);
	pair_pattern(frame, sizeof(frame), 1);
	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		const struct layout *l = layout_by_name(names[i]);

		pair_sends(&p, l, NULL, sizeof(frame));
		assert_true(gqueue_tx_frame(p.txq, l, NULL, frame, sizeof(frame)) >= 0);
		set_write_flag(p.txq);
		drv_ring_publish(&p.txq->ring);
		assert_int_equal(pair_take(&p, &m, 1), 1);
		pair_same(m, frame, sizeof(frame));
		rte_pktmbuf_free(m);
		zc_tx_complete(&p.tx, 0);
		assert_int_equal(gqueue_tx_reclaim(p.txq), 1);

		assert_true(gqueue_rx_post(p.rxq, 12 + sizeof(frame), l) >= 0);
		set_write_flag(p.rxq);
		drv_ring_publish(&p.rxq->ring);
		pair_puts(&p, sizeof(frame), i);
		pair_gets(&p, sizeof(frame), i);
	}
	pair_fini(&p);
}

/* ---- N4, N14: what is there when the used index moves ---- */

#define BUFFERS_A_FRAME 3
#define PIECE 100u
#define FRAME (BUFFERS_A_FRAME * PIECE - 12)
#define PAGE 4096
#define RACE_FRAMES 80
#define RACE_ROUNDS 50

static void
post_pieces(unsigned int frames)
{
	for (unsigned int i = 0; i < frames * BUFFERS_A_FRAME; i++)
		assert_true(gqueue_rx_post(p.rxq, PIECE, &layouts[0]) >= 0);
	drv_ring_publish(&p.rxq->ring);
}

/*
 * A used ring that lies so that flags and index end a page: once that page is read-only, the
 * write of the index stops in our handler.
 */
static struct {
	uint8_t *page;
	uint16_t from; /* used index before */
	unsigned int writes;
	bool early;
} watch;

static bool
is_filled(unsigned int part)
{
	struct vring_used_elem e =
			p.rxq->ring.split.used->ring[(uint16_t)(watch.from + part) % 256];
	const struct vring_desc *d = &p.rxq->ring.split.desc[e.id % 256];
	const uint8_t *at = gmem_va(&p.g->mem, d->addr, d->len);
	uint8_t frame[FRAME];

	pair_pattern(frame, sizeof(frame), watch.from);
	if (e.len != PIECE)
		return false;
	return part == 0 ? memcmp(at + 12, frame, PIECE - 12) == 0 :
			   memcmp(at, frame + part * PIECE - 12, PIECE) == 0;
}

static void
on_index_write(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if ((uint8_t *)info->si_addr - watch.page >= PAGE) {
		signal(sig, SIG_DFL);
		return;
	}
	watch.writes++;
	for (unsigned int part = 0; part < BUFFERS_A_FRAME; part++)
		watch.early |= !is_filled(part);
	mprotect(watch.page, PAGE, PROT_READ | PROT_WRITE);
}

static void
n04_bytes_before_the_index(void **state)
{
	const struct sigaction action = { .sa_sigaction = on_index_write, .sa_flags = SA_SIGINFO };
	struct sigaction before;
	struct vring_used *used;

	(void)state;
	pair_init(&p, 0, 0);
	pair_detach(&p);
	watch.page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	assert_ptr_not_equal(watch.page, MAP_FAILED);
	used = (struct vring_used *)(watch.page + PAGE - offsetof(struct vring_used, ring));
	p.rxq->ring.split.used = used;
	pair_attach(&p);
	sigaction(SIGSEGV, &action, &before);
	for (unsigned int i = 0; i < 1000; i++) {
		post_pieces(1);
		watch.from = used->idx;
		memset(used->ring, 0, 256 * sizeof(used->ring[0]));
		mprotect(watch.page, PAGE, PROT_READ);
		pair_puts(&p, FRAME, watch.from);
		assert_int_equal(watch.writes, i + 1);
		assert_false(watch.early);
		pair_gets(&p, FRAME, watch.from);
	}
	sigaction(SIGSEGV, &before, NULL);
	pair_fini(&p);
	munmap(watch.page, 2 * PAGE);
}

static bool race_over;
static unsigned int torn;

/* As fast as the device writes. */
static void *
read_index(void *arg)
{
	uint16_t from = p.rxq->ring.split.used->idx;

	(void)arg;
	while (!__atomic_load_n(&race_over, __ATOMIC_ACQUIRE)) {
		uint16_t now = __atomic_load_n(&p.rxq->ring.split.used->idx, __ATOMIC_ACQUIRE);

		torn += (uint16_t)(now - from) % BUFFERS_A_FRAME != 0;
		sched_yield();
	}
	return NULL;
}

static void
n14_buffers_of_a_frame_together(void **state)
{
	pthread_t thread;

	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int i = 0; i < RACE_ROUNDS; i++) {
		post_pieces(RACE_FRAMES);
		race_over = false;
		assert_int_equal(pthread_create(&thread, NULL, read_index, NULL), 0);
		for (unsigned int k = 0; k < RACE_FRAMES; k++)
			pair_puts(&p, FRAME, k);
		__atomic_store_n(&race_over, true, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
		for (unsigned int k = 0; k < RACE_FRAMES; k++)
			assert_int_equal(pair_gets(&p, FRAME, k), BUFFERS_A_FRAME);
		assert_int_equal(torn, 0);
	}
	pair_fini(&p);
}

/* ---- N5, N6, N8: notifications ---- */

static uint16_t *
used_event(struct gqueue *q)
{
	return &q->ring.split.avail->ring[q->conf.size];
}

static void
n05_flags_without_event_idx(void **state)
{
	(void)state;
	pair_init(&p, 0, BIT(VIRTIO_RING_F_EVENT_IDX));
	for (unsigned int i = 0; i < 100; i++) {
		bool wanted = i % 3 == 0;

		/* used_event means nothing. */
		*used_event(p.txq) = (uint16_t)(i * 7919);
		*used_event(p.rxq) = (uint16_t)(i * 104729);
		p.txq->ring.split.avail->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
		p.rxq->ring.split.avail->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
		pair_sends(&p, &layouts[0], NULL, 1000);
		pair_posts(&p, 2048, &layouts[0]);
		pair_puts(&p, 100, i);
		pair_gets(&p, 100, i);
		assert_int_equal(pair_calls(p.tx_call), wanted);
		assert_int_equal(pair_calls(p.rx_call), wanted);
	}
	pair_fini(&p);
}

static void
n06_used_event_with_event_idx(void **state)
{
	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int i = 0; i < 100; i++) {
		uint16_t tx = p.txq->ring.split.used->idx, rx = p.rxq->ring.split.used->idx;
		bool wanted = i % 3 == 0;

		/* The flags mean nothing. */
		p.txq->ring.split.avail->flags = i % 2;
		p.rxq->ring.split.avail->flags = i % 2;
		*used_event(p.txq) = wanted ? tx : (uint16_t)(tx + 1);
		*used_event(p.rxq) = wanted ? rx : (uint16_t)(rx - 1);
		pair_sends(&p, &layouts[0], NULL, 1000);
		pair_posts(&p, 2048, &layouts[0]);
		pair_puts(&p, 100, i);
		pair_gets(&p, 100, i);
		assert_int_equal(pair_calls(p.tx_call), wanted);
		assert_int_equal(pair_calls(p.rx_call), wanted);
	}
	pair_fini(&p);
}

static void
n08_used_flags(void **state)
{
	static const uint64_t without[] = { 0, BIT(VIRTIO_RING_F_EVENT_IDX) };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(without); i++) {
		uint16_t flags = without[i] ? VRING_USED_F_NO_NOTIFY : 0;

		pair_init(&p, 0, without[i]);
		for (unsigned int n = 0; n < 300; n++) {
			pair_sends(&p, &layouts[0], NULL, 1000);
			assert_int_equal(p.txq->ring.split.used->flags, flags);
			assert_int_equal(p.rxq->ring.split.used->flags, flags);
		}
		pair_fini(&p);
	}
}

/* ---- N11 to N15: the virtio-net header, receive buffers ---- */

static void
n11_header_of_what_is_sent(void **state)
{
	uint64_t rng = 11;

	(void)state;
	pair_init(&p, 0, 0);
	for (unsigned int i = 0; i < 2000; i++) {
		struct virtio_net_hdr_mrg_rxbuf hdr;

		for (unsigned int k = 0; k < sizeof(hdr); k++)
			((uint8_t *)&hdr)[k] = (uint8_t)rng_next(&rng);
		if (i % 2)
			hdr.hdr.flags &= ~VIRTIO_NET_HDR_F_NEEDS_CSUM;
		p.tx.limits.header_bytes = i % 3 * 64;
		assert_int_equal(pair_sends(&p, &layouts[i % 5], &hdr, 60 + i), 0);
	}
	pair_fini(&p);
}

static void
n12_num_buffers(void **state)
{
	(void)state;
	pair_init(&p, 0, 0);
	for (uint32_t len = 60; len < 2000; len += 7) {
		unsigned int n = (len + 12 + 499) / 500;

		for (unsigned int i = 0; i < n; i++)
			pair_posts(&p, 500, &layouts[0]);
		pair_puts(&p, len, len);
		assert_int_equal(pair_gets(&p, len, len), n);
	}
	pair_fini(&p);

	pair_init(&p, 0, BIT(VIRTIO_NET_F_MRG_RXBUF));
	pair_posts(&p, 500, &layouts[0]);
	pair_puts(&p, 489, 1);
	assert_int_equal(p.rx.counters.value[ZCNET_Q_drop_no_fit], 1);
	assert_int_equal(drv_ring_used_count(&p.rxq->ring), 0);
	pair_puts(&p, 488, 2);
	assert_int_equal(pair_gets(&p, 488, 2), 1);
	pair_fini(&p);
}

static void
n13_all_but_the_last_are_full(void **state)
{
	static const uint32_t lens[] = { 1524, 100, 1530, 12, 13, 101, 999 };
	uint32_t posted[64];

	(void)state;
	pair_init(&p, 0, 0);
	for (uint32_t len = 60; len < 2000; len += 13) {
		unsigned int n = 0, used;
		struct drv_used u;
		uint32_t room = 0;

		for (; room < len + 12; n++) {
			posted[n] = lens[(len + n) % RTE_DIM(lens)];
			room += posted[n];
			pair_posts(&p, posted[n], &layouts[0]);
		}
		pair_puts(&p, len, 1);
		used = drv_ring_used_count(&p.rxq->ring);
		assert_int_equal(used, n);
		for (unsigned int i = 0; i < n; i++) {
			assert_int_equal(drv_ring_get_used(&p.rxq->ring, &u), 1);
			gqueue_slot_give(p.rxq, (int)u.token);
			if (i + 1 < n)
				assert_int_equal(u.len, posted[i]);
			else
				assert_int_equal(u.len, len + 12 - (room - posted[i]));
		}
	}
	pair_fini(&p);
}

static void
n15_header_without_offloads(void **state)
{
	static const uint64_t flags[] = { 0, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
		RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD, RTE_MBUF_F_RX_LRO,
		RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, ~RTE_MBUF_F_EXTERNAL };
	static const uint64_t without[] = { 0, BIT(VIRTIO_NET_F_MRG_RXBUF),
		BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1) };
	const struct virtio_net_hdr zero = { 0 };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(without); i++) {
		pair_init(&p, 0, without[i]);
		for (unsigned int k = 0; k < RTE_DIM(flags); k++) {
			struct rte_mbuf *m = pair_mbuf(&p, 500, 1);
			struct virtio_net_hdr_mrg_rxbuf hdr;
			uint8_t frame[500];

			m->ol_flags |= flags[k] & ~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL);
			m->tso_segsz = 1448;
			pair_posts(&p, 2048, &layouts[0]);
			assert_int_equal(pair_put(&p, &m, 1), 1);
			assert_int_equal(gqueue_rx_frame(p.rxq, frame, sizeof(frame), &hdr), 500);
			assert_memory_equal(&hdr.hdr, &zero, sizeof(zero));
		}
		pair_fini(&p);
	}
}

/* ---- N17, N20 ---- */

static void
n17_used_in_avail_order(void **state)
{
	struct rte_mbuf *m[64];
	uint8_t frame[1500];
	uint64_t rng = 17;

	(void)state;
	pair_init(&p, 0, 0);
	drv_ring_shuffle(&p.txq->ring, 17);
	memset(frame, 2, sizeof(frame));
	for (unsigned int round = 0; round < 200; round++) {
		unsigned int left = RTE_DIM(m), got = 0;

		for (unsigned int i = 0; i < RTE_DIM(m); i++)
			gqueue_tx_frame(p.txq, &layouts[0], NULL, frame, i % 2 ? 60 : 1500);
		drv_ring_publish(&p.txq->ring);
		while (got < RTE_DIM(m))
			got += pair_take(&p, m + got, RTE_DIM(m) - got);
		while (left > 0) {
			unsigned int i = rng_range(&rng, 0, left - 1);

			rte_pktmbuf_free(m[i]);
			m[i] = m[--left];
			zc_tx_complete(&p.tx, 0);
		}
		assert_int_equal(gqueue_tx_reclaim(p.txq), RTE_DIM(m));
		assert_int_equal(p.txq->ring.out_of_order, 0);
	}
	pair_fini(&p);
}

static void
n20_receive_buffers_too_short(void **state)
{
	(void)state;
	for (uint32_t bytes = 1; bytes <= 26; bytes++) {
		pair_init(&p, 32, 0);
		for (unsigned int i = 0; i < 20; i++)
			pair_posts(&p, bytes, &layouts[0]);
		pair_puts(&p, 60, bytes);
		/* Shorter than a header is no buffer. */
		assert_int_equal(p.rx.vq.fault != ZC_VQ_OK, bytes < 12);
		if (bytes >= 12)
			pair_gets(&p, 60, bytes);
		else
			assert_int_equal(drv_ring_used_count(&p.rxq->ring), 0);
		pair_reset(&p);
		pair_posts(&p, 2048, &layouts[0]);
		pair_puts(&p, 60, 1);
		pair_gets(&p, 60, 1);
		pair_fini(&p);
	}
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
		cmocka_unit_test(n01_any_arrangement),
		cmocka_unit_test(n02_read_only_is_not_written),
		cmocka_unit_test(n02_descriptors_are_not_written),
		cmocka_unit_test(n03_write_flag_of_a_table),
		cmocka_unit_test(n04_bytes_before_the_index),
		cmocka_unit_test(n05_flags_without_event_idx),
		cmocka_unit_test(n06_used_event_with_event_idx),
		cmocka_unit_test(n08_used_flags),
		cmocka_unit_test(n11_header_of_what_is_sent),
		cmocka_unit_test(n12_num_buffers),
		cmocka_unit_test(n13_all_but_the_last_are_full),
		cmocka_unit_test(n14_buffers_of_a_frame_together),
		cmocka_unit_test(n15_header_without_offloads),
		cmocka_unit_test(n17_used_in_avail_order),
		cmocka_unit_test(n20_receive_buffers_too_short),
	};

	return cmocka_run_group_tests_name("conformance", tests, group_setup, unit_eal_fini);
}

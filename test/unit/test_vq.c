/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split rings on heap memory: what a guest can post, honest or not, and what it is told back.
 *
 * Each region of the guest is an allocation of its own, so a sanitizer sees the first byte outside.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "rig.h"

#include "vq/kick.h"

static struct zc_vq vq;

struct rig {
	struct fake_guest *g;
	struct gqueue *q;
	struct zc_map *map;
};

static void
rig_init(struct rig *rig, struct fake_guest *g, bool rx, uint16_t at)
{
	struct zc_vq_conf conf;

	rig->g = g;
	rig->q = rx ? fake_guest_rx(g, 0) : fake_guest_tx(g, 0);
	rig_start_at(rig->q, at);
	rig->map = rig_map(&g->mem);
	conf = rig_vq_conf(rig->q, rig->map);
	assert_int_equal(zc_vq_init(&vq, &conf), 0);
}

static void
rig_fini(struct rig *rig)
{
	zc_vq_fini(&vq);
	zc_map_put(rig->map);
	fake_guest_destroy(rig->g);
}

/* Touch every byte that the chain says the device may touch. */
static uint32_t
touch(const struct zc_chain *chain)
{
	uint32_t sum = 0, len = 0;

	for (uint32_t i = 0; i < chain->nseg; i++) {
		len += chain->seg[i].len;
		for (uint32_t k = 0; k < chain->seg[i].len; k++)
			sum += chain->seg[i].hva[k];
	}
	assert_int_equal(len, chain->len);
	return sum;
}

static void
gather(const struct rig *rig, const struct zc_chain *chain, uint8_t *bytes)
{
	for (uint32_t i = 0; i < chain->nseg; i++) {
		const struct zc_seg *seg = &chain->seg[i];

		assert_int_equal(seg->iova, RIG_IOVA(gmem_gpa(&rig->g->mem, seg->hva)));
		memcpy(bytes, seg->hva, seg->len);
		bytes += seg->len;
	}
}

/* Take the next chain as the device does. @return zc_vq_chain()'s answer */
static int
take(bool rx)
{
	uint16_t head;
	int ret;

	assert_true(zc_vq_avail(&vq) > 0);
	head = zc_vq_head(&vq, vq.next_avail);
	assert_true(head < vq.size);
	ret = zc_vq_chain(&vq, head, rx, &vq.chain);
	*zc_vq_entry(&vq, vq.next_avail) = (struct vring_used_elem){ .id = head };
	vq.next_avail++;
	return ret;
}

static void
pop_and_compare(struct rig *rig, const struct layout *l, uint64_t *rng)
{
	static uint8_t frame[12000], bytes[12000 + 12];
	uint32_t len = rng_range(rng, 14, 9000);
	struct gqueue *q = rig->q;

	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)rng_next(rng);
	assert_true(gqueue_tx_frame(q, l, NULL, frame, len) >= 0);
	drv_ring_publish(&q->ring);
	assert_int_equal(take(false), 0);
	assert_int_equal(vq.chain.len, q->hdr_len + len);
	gather(rig, &vq.chain, bytes);
	assert_memory_equal(bytes + q->hdr_len, frame, len);
	zc_vq_publish(&vq, vq.next_avail);
	assert_int_equal(gqueue_tx_reclaim(q), 1);
}

static void
layouts_pop(uint64_t without)
{
	struct rig rig;
	uint64_t rng = 3;

	rig_init(&rig, rig_guest(0, 0, without), false, 65500);
	for (const struct layout *l = layouts; l->name != NULL; l++)
		for (int i = 0; i < 10; i++)
			if (!l->table || !(without & BIT(VIRTIO_RING_F_INDIRECT_DESC)))
				pop_and_compare(&rig, l, &rng);
	rig_fini(&rig);
}

static void
every_layout_pops(void **state)
{
	(void)state;
	layouts_pop(0);
	layouts_pop(BIT(VIRTIO_RING_F_INDIRECT_DESC));
	layouts_pop(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF));
}

static void
random_layouts_pop(void **state)
{
	struct rig rig;
	uint64_t rng = 4;

	(void)state;
	rig_init(&rig, rig_guest(64, 0, 0), false, 0);
	drv_ring_shuffle(&rig.q->ring, 9);
	for (int i = 0; i < 3000; i++) {
		struct layout l = layout_random(&rng, rig.q->conf.features,
				LAYOUT_MAY_CROSS | LAYOUT_MAY_MIX);

		pop_and_compare(&rig, &l, &rng);
	}
	rig_fini(&rig);
}

static void
receive_chains_pop(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0), true, 65535);
	for (const struct layout *l = layouts; l->name != NULL; l++) {
		assert_true(fake_guest_rx_post(rig.g, 2060, l) >= 0);
		assert_int_equal(take(true), 0);
		assert_int_equal(vq.chain.len, 2060);
		for (uint32_t i = 0; i < vq.chain.nseg; i++)
			memset(vq.chain.seg[i].hva, 0xee, vq.chain.seg[i].len);
		zc_vq_entry(&vq, vq.next_avail - 1)->len = 2060;
		zc_vq_publish(&vq, vq.next_avail);
		/* The guest's guard bytes are whole. */
		assert_int_equal(gqueue_rx_frame(rig.q, (uint8_t[2048]){ 0 }, 2048, NULL), -EPROTO);
		assert_non_null(strstr(rig.q->err, "num_buffers"));
	}
	rig_fini(&rig);
}

static void
chain_across_regions_is_two_pieces(void **state)
{
	const struct layout *cross = layout_by_name("cross");
	uint8_t frame[1000] = { 1 };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(0, 0, 0), false, 0);
	assert_true(fake_guest_tx_frame(rig.g, cross, frame, sizeof(frame)) >= 0);
	assert_int_equal(take(false), 0);
	assert_int_equal(vq.chain.nseg, 2);
	assert_int_equal(vq.chain.seg[0].len, 506);
	assert_ptr_equal(vq.chain.seg[0].hva + 506,
			rig.map->region[1].hva + rig.map->region[1].size);
	assert_ptr_equal(vq.chain.seg[1].hva, rig.map->region[2].hva);
	assert_int_equal(vq.chain.seg[1].iova, rig.map->region[2].iova);
	touch(&vq.chain);
	rig_fini(&rig);
}

/* ---- indices ---- */

static void
publish_wraps(void **state)
{
	static const struct layout one = { .name = "one" };
	uint8_t frame[64] = { 0 };
	struct rig rig;
	uint64_t rng = 5;

	(void)state;
	rig_init(&rig, rig_guest(8, 1024, 0), false, 65531);
	drv_ring_shuffle(&rig.q->ring, 1);
	while (rig.q->frames < 80000) {
		uint16_t n;

		for (n = rng_range(&rng, 0, 8); n > 0; n--)
			gqueue_tx_frame(rig.q, &one, NULL, frame, sizeof(frame));
		drv_ring_publish(&rig.q->ring);
		n = zc_vq_avail(&vq);
		for (n = rng_range(&rng, 0, n); n > 0; n--)
			assert_int_equal(take(false), 0);
		n = (uint16_t)(vq.next_avail - vq.next_used);
		n = rng_range(&rng, 0, n);
		zc_vq_publish(&vq, vq.next_used + n);
		assert_int_equal(vq.used->idx, vq.next_used);
		assert_int_equal(gqueue_tx_reclaim(rig.q), n);
	}
	assert_int_equal(rig.q->ring.out_of_order, 0);
	rig_fini(&rig);
}

static void
publish_writes_its_entries_only(void **state)
{
	const struct vring_used_elem mine = { .id = 3, .len = 77 }, other = { .id = 9, .len = 9 };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(8, 1024, 0), false, 0);
	for (uint16_t at = 0; at < 8; at++) {
		for (uint16_t n = 0; n <= 8; n++) {
			for (uint16_t i = 0; i < 8; i++)
				vq.used->ring[i] = other;
			for (uint16_t i = 0; i < 8; i++)
				*zc_vq_entry(&vq, i) = mine;
			vq.next_used = at;
			zc_vq_publish(&vq, at + n);
			for (uint16_t i = 0; i < 8; i++)
				assert_int_equal(vq.used->ring[(at + i) % 8].len,
						i < n ? mine.len : other.len);
		}
	}
	rig_fini(&rig);
}

static void
avail_is_bounded_by_the_ring(void **state)
{
	struct rig rig;

	(void)state;
	for (uint16_t out = 0; out <= 8; out++) {
		rig_init(&rig, rig_guest(8, 1024, 0), false, 65533);
		vq.next_avail += out;
		vq.seen_avail = vq.next_avail;
		vq.avail->idx = (uint16_t)(65533 + 8);
		assert_int_equal(zc_vq_refresh(&vq), 8 - out);
		assert_int_equal(vq.fault, ZC_VQ_OK);
		vq.seen_avail = vq.next_avail;
		vq.avail->idx = (uint16_t)(65533 + 9);
		assert_int_equal(zc_vq_refresh(&vq), 0);
		assert_int_equal(vq.fault, ZC_VQ_AVAIL_JUMP);
		assert_int_equal(zc_vq_avail(&vq), 0);
		rig_fini(&rig);
	}
}

/* An index that goes back would let the window lap itself. */
static void
avail_goes_back_while_chains_are_out(void **state)
{
	struct rig rig;

	(void)state;
	for (uint16_t out = 0; out <= 8; out++) {
		for (uint16_t back = 1; back <= 12; back++) {
			rig_init(&rig, rig_guest(8, 1024, 0), false, 65533);
			vq.next_avail += out;
			vq.seen_avail = vq.next_avail;
			vq.avail->idx = vq.next_avail - back;
			if (zc_vq_refresh(&vq) != 0)
				fail_msg("%u chains out, index %u back: %u chains to take", out,
						back, zc_vq_avail(&vq));
			assert_int_equal(vq.fault, ZC_VQ_AVAIL_JUMP);
			rig_fini(&rig);
		}
	}
}

static void
known_chains_need_no_look(void **state)
{
	uint8_t frame[64] = { 0 };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(8, 1024, 0), false, 0);
	for (int i = 0; i < 3; i++)
		fake_guest_tx_frame(rig.g, &layouts[0], frame, sizeof(frame));
	assert_int_equal(zc_vq_avail(&vq), 3);
	fake_guest_tx_frame(rig.g, &layouts[0], frame, sizeof(frame));
	assert_int_equal(zc_vq_avail(&vq), 3);
	assert_int_equal(zc_vq_refresh(&vq), 4);
	rig_fini(&rig);
}

static void
first_fault_stays(void **state)
{
	uint8_t frame[64] = { 0 };
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(8, 1024, 0), false, 0);
	fake_guest_tx_frame(rig.g, &layouts[0], frame, sizeof(frame));
	assert_int_equal(zc_vq_avail(&vq), 1);
	zc_vq_break(&vq, ZC_VQ_BAD_HEAD);
	zc_vq_break(&vq, ZC_VQ_BAD_CHAIN);
	assert_int_equal(vq.fault, ZC_VQ_BAD_HEAD);
	assert_int_equal(zc_vq_avail(&vq), 0);
	assert_null(zc_vq_fault_text(ZC_VQ_OK));
	for (enum zc_vq_fault f = ZC_VQ_AVAIL_JUMP; f < ZC_VQ_FAULT_COUNT; f++)
		assert_non_null(zc_vq_fault_text(f));
	assert_null(zc_vq_fault_text(ZC_VQ_FAULT_COUNT));
	rig_fini(&rig);
}

static void
bad_sizes_are_refused(void **state)
{
	static const uint16_t bad[] = { 0, 1, 3, 100, 255, 32769, 65535 };
	struct fake_guest *g = rig_guest(8, 1024, 0);
	struct zc_map *map = rig_map(&g->mem);
	struct zc_vq_conf conf = rig_vq_conf(fake_guest_tx(g, 0), map);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		conf.size = bad[i];
		assert_int_equal(zc_vq_init(&vq, &conf), -EINVAL);
	}
	conf.size = 32768;
	assert_int_equal(zc_vq_init(&vq, &conf), 0);
	zc_vq_fini(&vq);
	zc_vq_fini(&vq);
	zc_map_put(map);
	fake_guest_destroy(g);
}

/* ---- notification ---- */

static void
kick_by_event_idx(void **state)
{
	struct rig rig;
	uint64_t rng = 6;
	unsigned int kicks = 0;

	(void)state;
	rig_init(&rig, rig_guest(256, 1024, 0), false, 0);
	for (int i = 0; i < 200000; i++) {
		uint16_t old = rng_next(&rng), n = rng_range(&rng, 0, 256);
		uint16_t event = rng_range(&rng, 0, 1) ? old + rng_range(&rng, 0, 300) - 20 :
							 rng_next(&rng);
		bool wants = false;

		/* Spec 2.7.7.2: an entry at index used_event was written. */
		for (uint16_t k = 0; k < n; k++)
			wants |= (uint16_t)(old + k) == event;
		vq.kicked_used = old;
		vq.next_used = old + n;
		vq.avail->ring[256] = event;
		vq.avail->flags = rng_range(&rng, 0, 1);
		assert_int_equal(zc_vq_wants_kick(&vq), wants);
		assert_false(zc_vq_wants_kick(&vq));
		kicks += wants;
	}
	assert_true(kicks > 1000);
	rig_fini(&rig);
}

static void
kick_by_flags(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(256, 1024, BIT(VIRTIO_RING_F_EVENT_IDX)), false, 65535);
	assert_false(zc_vq_wants_kick(&vq));
	vq.next_used++;
	assert_true(zc_vq_wants_kick(&vq));
	assert_false(zc_vq_wants_kick(&vq));
	vq.next_used++;
	vq.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_false(zc_vq_wants_kick(&vq));
	vq.next_used++;
	vq.avail->flags = (uint16_t)~VRING_AVAIL_F_NO_INTERRUPT;
	assert_true(zc_vq_wants_kick(&vq));
	rig_fini(&rig);
}

static void
kick_reaches_the_eventfd(void **state)
{
	eventfd_t n = 0;
	struct rig rig;
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	rig_init(&rig, rig_guest(8, 1024, 0), false, 0);
	zc_vq_kick(&vq);
	vq.callfd = fd;
	zc_vq_kick(&vq);
	zc_vq_kick(&vq);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(n, 2);
	/* Full: counts as delivered, and must not block. */
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	zc_vq_kick(&vq);
	close(fd);
	rig_fini(&rig);
}

/* The front-end's file is blocking again, and as full as it gets. */
static void
full_eventfd_blocks_nobody(void **state)
{
	const unsigned int times = 1000;
	eventfd_t value;
	int fd = eventfd(0, 0);

	(void)state;
	assert_int_equal(zc_kick_init(), 0);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	alarm(10); /* ends the test, if it hangs */
	zc_kick(fd);
	alarm(0);
	assert_int_equal(eventfd_read(fd, &value), 0);
	for (unsigned int i = 0; i < times; i++)
		zc_kick(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, times);
	close(fd);
	zc_kick_fini();
}

/* Chains go through in bursts of any size; the driver must never be asked to notify. */
static void
suppressed(uint16_t size, uint64_t without, uint32_t chains)
{
	struct drv_buf buf;
	struct drv_used u;
	struct rig rig;
	uint64_t rng = size;
	uint32_t done = 0, keep;

	rig_init(&rig, rig_guest(size, 128, without), false, (uint16_t)rng_next(&rng));
	buf = (struct drv_buf){ .gpa = rig.q->conf.area_gpa[0], .len = 100 };
	zc_vq_suppress(&vq);
	while (done < chains) {
		for (uint32_t n = rng_range(&rng, 1, size); n > 0; n--)
			drv_ring_add(&rig.q->ring, &buf, 1, DRV_ALL_DIRECT, 0);
		if (drv_ring_publish(&rig.q->ring))
			fail_msg("ring of %u: asked to notify after %u chains", size, done);
		for (uint32_t n = rng_range(&rng, 0, zc_vq_avail(&vq)); n > 0; n--)
			assert_int_equal(take(false), 0);
		keep = rng_range(&rng, 0, (uint16_t)(vq.next_avail - vq.next_used));
		keep *= rng_range(&rng, 0, 1);
		zc_vq_publish(&vq, vq.next_avail - keep);
		while (drv_ring_get_used(&rig.q->ring, &u) == 1)
			done++;
	}
	assert_null(rig.q->ring.err);
	rig_fini(&rig);
}

static void
suppression_by_event_idx_holds(void **state)
{
	(void)state;
	for (uint16_t size = 2; size <= 16384; size *= 2)
		suppressed(size, 0, 200000);
}

static void
suppression_by_flags_holds(void **state)
{
	(void)state;
	suppressed(256, BIT(VIRTIO_RING_F_EVENT_IDX), 200000);
}

/* ---- limits of a chain ---- */

/* A direct chain of @n descriptors of one byte each. */
static int
walk_direct(struct rig *rig, uint16_t n)
{
	struct vring_desc *desc = rig->q->ring.split.desc;

	for (uint16_t i = 0; i < n; i++)
		desc[i] = (struct vring_desc){ .addr = rig->q->conf.area_gpa[0] + i,
			.len = 1,
			.flags = i + 1 < n ? VRING_DESC_F_NEXT : 0,
			.next = i + 1 };
	return zc_vq_chain(&vq, 0, false, &vq.chain);
}

/* A table of @n such descriptors at @gpa, behind @direct descriptors in the ring. */
static int
walk_table(struct rig *rig, uint16_t direct, uint16_t n, uint64_t gpa)
{
	struct vring_desc *desc = rig->q->ring.split.desc;

	walk_direct(rig, direct + 1);
	desc[direct] = (struct vring_desc){ .addr = gpa,
		.len = n * sizeof(struct vring_desc),
		.flags = VRING_DESC_F_INDIRECT };
	for (uint16_t i = 0; i < n; i++) {
		struct vring_desc d = { .addr = rig->q->conf.area_gpa[0] + i,
			.len = 1,
			.flags = i + 1 < n ? VRING_DESC_F_NEXT : 0,
			.next = i + 1 };

		assert_int_equal(gmem_write(&rig->g->mem, gpa + i * sizeof(d), &d, sizeof(d)), 0);
	}
	return zc_vq_chain(&vq, 0, false, &vq.chain);
}

static void
chain_as_long_as_the_ring(void **state)
{
	uint64_t table;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(256, 0, 0), false, 0);
	table = rig.q->conf.area_gpa[0] + 8192;
	assert_int_equal(walk_direct(&rig, 256), 0);
	assert_int_equal(vq.chain.nseg, 256);
	assert_int_equal(walk_table(&rig, 0, 256, table), 0);
	assert_int_equal(vq.chain.nseg, 256);
	assert_int_equal(walk_table(&rig, 0, 257, table), -EINVAL);
	assert_int_equal(walk_table(&rig, 100, 156, table), 0);
	assert_int_equal(vq.chain.nseg, 256);
	assert_int_equal(walk_table(&rig, 100, 157, table), -EINVAL);
	rig_fini(&rig);
}

static void
pieces_are_bounded(void **state)
{
	uint64_t table;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(1024, 2048, 0), false, 0);
	table = rig.q->conf.area_gpa[0] + 65536;
	assert_int_equal(walk_direct(&rig, ZC_CHAIN_SEGS_MAX), 0);
	assert_int_equal(vq.chain.nseg, ZC_CHAIN_SEGS_MAX);
	assert_int_equal(walk_direct(&rig, ZC_CHAIN_SEGS_MAX + 1), -E2BIG);
	assert_int_equal(walk_table(&rig, 0, ZC_CHAIN_SEGS_MAX, table), 0);
	assert_int_equal(walk_table(&rig, 0, ZC_CHAIN_SEGS_MAX + 1, table), -E2BIG);
	assert_int_equal(walk_table(&rig, 1, ZC_CHAIN_SEGS_MAX, table), -E2BIG);
	/* The last buffer crosses regions, and is two pieces. */
	for (uint16_t n = ZC_CHAIN_SEGS_MAX - 2; n <= ZC_CHAIN_SEGS_MAX; n++) {
		struct vring_desc *last = &rig.q->ring.split.desc[n - 1];

		walk_direct(&rig, n);
		last->addr = rig.g->mem.cross_gpa - 1;
		last->len = 2;
		assert_int_equal(zc_vq_chain(&vq, 0, false, &vq.chain),
				n < ZC_CHAIN_SEGS_MAX ? 0 : -E2BIG);
	}
	rig_fini(&rig);
}

static void
bytes_of_a_chain_do_not_wrap(void **state)
{
	struct vring_desc *desc;
	struct rig rig;

	(void)state;
	/* The same big buffer again and again: 2^32 bytes and more in all. */
	rig_init(&rig, rig_guest(1024, 16384, 0), false, 0);
	desc = rig.q->ring.split.desc;
	for (unsigned int i = 0; i < 300; i++)
		desc[i] = (struct vring_desc){ .addr = rig.q->conf.area_gpa[0],
			.len = 15 << 20,
			.flags = i < 299 ? VRING_DESC_F_NEXT : 0,
			.next = i + 1 };
	assert_int_equal(zc_vq_chain(&vq, 0, false, &vq.chain), -EINVAL);
	desc[270].flags = 0;
	assert_int_equal(zc_vq_chain(&vq, 0, false, &vq.chain), 0);
	assert_int_equal(vq.chain.len, 271u * (15u << 20));
	rig_fini(&rig);
}

static void
table_at_any_address(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(256, 0, 0), false, 0);
	for (uint64_t off = 0; off < 16; off++) {
		assert_int_equal(walk_table(&rig, 2, 20, rig.q->conf.area_gpa[0] + 4096 + off), 0);
		assert_int_equal(vq.chain.nseg, 22);
	}
	rig_fini(&rig);
}

/* One that would end well. */
static void
table_in_a_table_is_refused(void **state)
{
	struct vring_desc nested;
	uint64_t table;
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(256, 0, 0), false, 0);
	table = rig.q->conf.area_gpa[0] + 4096;
	assert_int_equal(walk_table(&rig, 0, 2, table + 1024), 0);
	nested = rig.q->ring.split.desc[0];
	assert_int_equal(walk_table(&rig, 0, 2, table), 0);
	gmem_write(&rig.g->mem, table + sizeof(nested), &nested, sizeof(nested));
	assert_int_equal(zc_vq_chain(&vq, 0, false, &vq.chain), -EINVAL);
	rig_fini(&rig);
}

static void
indirect_needs_the_feature(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, rig_guest(256, 0, BIT(VIRTIO_RING_F_INDIRECT_DESC)), false, 0);
	assert_int_equal(walk_table(&rig, 0, 2, rig.q->conf.area_gpa[0] + 4096), -EINVAL);
	rig_fini(&rig);
}

static void
trim_cuts_at_each_byte(void **state)
{
	uint8_t bytes[64];
	struct zc_chain chain;

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (uint32_t cut = 0; cut <= 41; cut++) {
		const struct zc_seg seg[] = { { bytes, 1000, 10 }, { bytes + 20, 1020, 1 },
			{ bytes + 30, 1030, 30 } };
		uint32_t left = 0;
		uint8_t at;

		chain.len = 41;
		chain.nseg = 3;
		memcpy(chain.seg, seg, sizeof(seg));
		assert_int_equal(zc_chain_trim(&chain, cut), 0);
		assert_int_equal(chain.len, 41 - cut);
		for (uint32_t i = 0; i < chain.nseg; i++) {
			assert_true(chain.seg[i].len > 0);
			assert_int_equal(chain.seg[i].iova, 1000 + *chain.seg[i].hva);
			left += chain.seg[i].len;
		}
		assert_int_equal(left, chain.len);
		at = cut < 10 ? cut : cut < 11 ? 20 : 30 + cut - 11;
		if (cut < 41)
			assert_int_equal(*chain.seg[0].hva, at);
		else
			assert_int_equal(chain.nseg, 0);
	}
	chain.len = 41;
	assert_int_equal(zc_chain_trim(&chain, 42), -EINVAL);
	assert_int_equal(chain.len, 41);
}

/* ---- a hostile guest ---- */

static void
play(bool rx, enum hostile_move move, uint16_t out)
{
	enum hostile_kind kind = hostile_kind(move);
	bool good = kind == HOSTILE_LEGAL || kind == HOSTILE_SELF;
	uint16_t head, before;
	struct rig rig;
	int ret;

	rig_init(&rig, rig_guest(0, 8192, 0), rx, 65535);
	for (uint16_t i = 0; i < out; i++) {
		if (rx)
			fake_guest_rx_post(rig.g, 2048, &layouts[0]);
		else
			fake_guest_tx_frame(rig.g, &layouts[0], (uint8_t[60]){ 0 }, 60);
		assert_int_equal(take(rx), 0);
	}
	assert_true(fake_guest_hostile(rig.g, rx, move) >= 0);
	before = vq.next_avail;
	if (move == HOSTILE_MOVE_AVAIL_JUMP || move == HOSTILE_MOVE_AVAIL_BACK) {
		if (zc_vq_avail(&vq) != 0)
			fail_msg("%s with %u out: %u chains to take", hostile_name(move), out,
					zc_vq_avail(&vq));
		assert_int_equal(vq.fault, ZC_VQ_AVAIL_JUMP);
		goto fini;
	}
	assert_true(zc_vq_avail(&vq) > 0);
	head = zc_vq_head(&vq, vq.next_avail);
	if (move == HOSTILE_MOVE_HEAD_RANGE || move == HOSTILE_MOVE_HEAD_MAX) {
		assert_true(head >= vq.size);
		goto fini;
	}
	ret = zc_vq_chain(&vq, head, rx, &vq.chain);
	if (ret == 0)
		touch(&vq.chain);
	if (ret == 0 && zc_chain_trim(&vq.chain, vq.hdr_len) < 0)
		ret = -EINVAL;
	if (ret == 0 && move == HOSTILE_MOVE_HDR_ONLY)
		ret = vq.chain.len == 0 ? -EINVAL : 0;
	/* One head twice is two good chains; they harm the guest alone. */
	if (ret != (good || move == HOSTILE_MOVE_HEAD_TWICE ? 0 : -EINVAL))
		fail_msg("%s, %s: %d", hostile_name(move), rx ? "receive" : "transmit", ret);
	assert_int_equal(vq.next_avail, before);
fini:
	rig_fini(&rig);
}

static void
hostile_moves_are_caught(void **state)
{
	(void)state;
	for (enum hostile_move m = 0; m < HOSTILE_N_MOVES; m++)
		for (int rx = 0; rx < 2; rx++)
			for (uint16_t out = 0; out < 3; out++)
				play(rx, m, out);
}

static uint64_t
random_address(const struct gmem *mem, uint64_t *rng)
{
	const struct gmem_region *r = &mem->region[rng_range(rng, 0, mem->n - 1)];

	switch (rng_range(rng, 0, 5)) {
	case 0:
		return r->gpa + r->size - rng_range(rng, 0, 64);
	case 1:
		return r->gpa - 32 + rng_range(rng, 0, 64);
	case 2:
		return rng_next(rng);
	default:
		return r->gpa + rng_next(rng) % r->size;
	}
}

static struct vring_desc
random_desc(const struct gmem *mem, uint16_t count, uint64_t *rng)
{
	static const uint16_t flags[] = { 0, VRING_DESC_F_NEXT, VRING_DESC_F_NEXT,
		VRING_DESC_F_NEXT, VRING_DESC_F_INDIRECT };
	struct vring_desc d = {
		.addr = random_address(mem, rng),
		.len = rng_range(rng, 0, 7) ? rng_range(rng, 1, 300) * 16 : (uint32_t)rng_next(rng),
		.flags = flags[rng_range(rng, 0, 4)],
		.next = rng_range(rng, 0, count),
	};

	return d;
}

/* Any bytes whatever as descriptors: the walk ends, and stays inside. */
static void
random_descriptors_are_survived(void **state)
{
	unsigned int good = 0, bad = 0;
	struct rig rig;
	uint64_t rng = 8;

	(void)state;
	rig_init(&rig, rig_guest(16, 4096, 0), false, 0);
	for (int i = 0; i < 100000; i++) {
		struct vring_desc *desc = rig.q->ring.split.desc;
		int ret;

		for (uint16_t k = 0; k < 16; k++)
			desc[k] = random_desc(&rig.g->mem, 16, &rng);
		/* Buffers are read as tables too. */
		for (uint16_t k = 0; k < 16; k++) {
			struct vring_desc d = random_desc(&rig.g->mem, 4, &rng);

			d.flags &= VRING_DESC_F_NEXT;
			if (desc[k].flags & VRING_DESC_F_INDIRECT)
				gmem_write(&rig.g->mem, desc[k].addr, &d, sizeof(d));
		}
		ret = zc_vq_chain(&vq, rng_range(&rng, 0, 15), false, &vq.chain);
		assert_true(ret == 0 || ret == -EINVAL || ret == -E2BIG);
		if (ret == 0)
			touch(&vq.chain);
		good += ret == 0;
		bad += ret < 0;
	}
	assert_true(good > 1000 && bad > 1000);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layout_pops),
		cmocka_unit_test(random_layouts_pop),
		cmocka_unit_test(receive_chains_pop),
		cmocka_unit_test(chain_across_regions_is_two_pieces),
		cmocka_unit_test(publish_wraps),
		cmocka_unit_test(publish_writes_its_entries_only),
		cmocka_unit_test(avail_is_bounded_by_the_ring),
		cmocka_unit_test(avail_goes_back_while_chains_are_out),
		cmocka_unit_test(known_chains_need_no_look),
		cmocka_unit_test(first_fault_stays),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(kick_by_event_idx),
		cmocka_unit_test(kick_by_flags),
		cmocka_unit_test(kick_reaches_the_eventfd),
		cmocka_unit_test(full_eventfd_blocks_nobody),
		cmocka_unit_test(suppression_by_event_idx_holds),
		cmocka_unit_test(suppression_by_flags_holds),
		cmocka_unit_test(chain_as_long_as_the_ring),
		cmocka_unit_test(pieces_are_bounded),
		cmocka_unit_test(bytes_of_a_chain_do_not_wrap),
		cmocka_unit_test(table_at_any_address),
		cmocka_unit_test(table_in_a_table_is_refused),
		cmocka_unit_test(indirect_needs_the_feature),
		cmocka_unit_test(trim_cuts_at_each_byte),
		cmocka_unit_test(hostile_moves_are_caught),
		cmocka_unit_test(random_descriptors_are_survived),
	};

	return cmocka_run_group_tests_name("vq", tests, NULL, NULL);
}

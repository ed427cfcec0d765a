/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest side of rings, against a small and strict device.
 *
 * The device here is the plainest there can be: it walks one chain at a time through gmem_read()
 * and gmem_write() and believes nothing. What it refuses, the library must refuse too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_config.h>

#include "fake_guest.h"
#include "flood.h"
#include "frame.h"
#include "rng.h"

#define BIT(n) (1ULL << (n))
#define FRAME_ROOM (FRAME_LEN_MAX + 8)

/* ---- the device ---- */

struct device {
	const struct gqueue *q;
	uint16_t avail, used;
};

struct chain {
	uint16_t head;
	unsigned int n;
	struct drv_buf buf[1024];
	uint64_t bytes;
};

static int
walk_table(const struct gqueue *q, uint64_t gpa, unsigned int n_desc, unsigned int at,
		bool in_table, struct chain *c)
{
	struct vring_desc d;

	for (unsigned int steps = 0;; at = d.next) {
		if (at >= n_desc || steps++ > n_desc || c->n >= q->conf.size)
			return -EPROTO;
		if (gmem_read(q->mem, gpa + at * sizeof(d), &d, sizeof(d)) < 0)
			return -EFAULT;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (in_table || (d.flags & VRING_DESC_F_NEXT) || d.len == 0 ||
					d.len % sizeof(d) != 0 || d.len / sizeof(d) > 1024)
				return -EPROTO;
			return walk_table(q, d.addr, d.len / sizeof(d), 0, true, c);
		}
		if (d.len == 0 || !!(d.flags & VRING_DESC_F_WRITE) != q->conf.rx)
			return -EPROTO;
		c->buf[c->n++] = (struct drv_buf){ .gpa = d.addr, .len = d.len };
		c->bytes += d.len;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
	}
}

/* 1 and the next chain, 0 if there is none, or what is wrong with it. */
static int
device_pop(struct device *dev, struct chain *c)
{
	const struct drv_ring *r = &dev->q->ring;
	uint16_t idx = __atomic_load_n(&r->split.avail->idx, __ATOMIC_ACQUIRE);
	uint8_t byte;
	int ret;

	c->n = 0;
	c->bytes = 0;
	if ((uint16_t)(idx - dev->avail) > r->size)
		return -EPROTO;
	if (idx == dev->avail)
		return 0;
	c->head = r->split.avail->ring[dev->avail++ % r->size];
	ret = walk_table(dev->q, r->desc_gpa, r->size, c->head, false, c);
	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i < c->n; i++) {
		uint64_t end = c->buf[i].gpa + c->buf[i].len - 1;

		if (end < c->buf[i].gpa || gmem_read(dev->q->mem, c->buf[i].gpa, &byte, 1) < 0 ||
				gmem_read(dev->q->mem, end, &byte, 1) < 0)
			return -EFAULT;
	}
	return c->bytes <= dev->q->hdr_len ? -EBADMSG : 1;
}

static void
device_push(struct device *dev, uint16_t head, uint32_t len)
{
	const struct drv_ring *r = &dev->q->ring;

	r->split.used->ring[dev->used % r->size] = (struct vring_used_elem){ head, len };
	dev->used++;
	__atomic_store_n(&r->split.used->idx, dev->used, __ATOMIC_RELEASE);
}

static void
chain_read(const struct device *dev, const struct chain *c, uint8_t *bytes)
{
	for (unsigned int i = 0; i < c->n; bytes += c->buf[i++].len)
		assert_int_equal(gmem_read(dev->q->mem, c->buf[i].gpa, bytes, c->buf[i].len), 0);
}

static void
chain_write(const struct device *dev, const struct chain *c, const uint8_t *bytes, uint32_t len)
{
	for (unsigned int i = 0; i < c->n && len > 0; i++) {
		uint32_t n = len < c->buf[i].len ? len : c->buf[i].len;

		assert_int_equal(gmem_write(dev->q->mem, c->buf[i].gpa, bytes, n), 0);
		bytes += n;
		len -= n;
	}
}

/* Put a frame into as many chains as it needs; the index moves once. */
static void
device_deliver(struct device *dev, const uint8_t *frame, uint32_t len)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = { 0 };
	static uint8_t bytes[FRAME_ROOM + 12];
	uint32_t left = len + dev->q->hdr_len, at = 0;
	const struct drv_ring *r = &dev->q->ring;
	struct chain c, first = { .n = 0 };
	unsigned int n = 0;

	memcpy(bytes + dev->q->hdr_len, frame, len);
	for (; left > 0; n++) {
		uint32_t now;

		assert_int_equal(device_pop(dev, &c), 1);
		if (n == 0)
			first = c;
		now = left < c.bytes ? left : c.bytes;
		chain_write(dev, &c, bytes + at, now);
		r->split.used->ring[(uint16_t)(dev->used + n) % r->size] =
				(struct vring_used_elem){ c.head, now };
		at += now;
		left -= now;
	}
	hdr.num_buffers = n;
	chain_write(dev, &first, (uint8_t *)&hdr, dev->q->hdr_len);
	dev->used += n;
	__atomic_store_n(&r->split.used->idx, dev->used, __ATOMIC_RELEASE);
}

/* ---- fixtures ---- */

static const struct frame_plan plan = {
	.seed = 7,
	.len_min = 60,
	.len_max = 9000,
	.dst = { { 2, 0, 0, 0, 0, 2 } },
	.src = { { 2, 0, 0, 0, 0, 1 } },
};

static struct fake_guest *
guest(uint16_t ring_size, uint64_t without)
{
	struct fake_guest_conf conf;
	struct fake_guest *g;

	fake_guest_conf_init(&conf);
	conf.ring_size = ring_size;
	conf.features &= ~without;
	g = fake_guest_create(&conf);
	assert_non_null(g);
	return g;
}

/* ---- ring ---- */

static void
ring_wraps_at_65535(void **state)
{
	struct fake_guest *g = guest(4, 0);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct device dev = { .q = q };
	uint8_t frame[64] = { 0 };
	struct chain c;

	(void)state;
	for (unsigned int i = 0; i < 70000; i++) {
		assert_true(fake_guest_tx_frame(g, &layouts[0], frame, sizeof(frame)) >= 0);
		assert_int_equal(device_pop(&dev, &c), 1);
		device_push(&dev, c.head, 0);
		assert_int_equal(gqueue_tx_reclaim(q), 1);
	}
	assert_int_equal(q->frames, 70000);
	assert_int_equal(q->bytes, 70000 * sizeof(frame));
	fake_guest_destroy(g);
}

static void
ring_full_and_empty(void **state)
{
	struct fake_guest *g = guest(8, 0);
	struct gqueue *q = fake_guest_rx(g, 0);

	(void)state;
	assert_int_equal(gqueue_rx_fill(q, 2048, &layouts[0]), 8);
	assert_int_equal(gqueue_rx_post(q, 2048, &layouts[0]), -ENOSPC);
	assert_int_equal(drv_ring_pending(&q->ring), 8);
	assert_int_equal(gqueue_detach(q), 8);
	assert_int_equal(q->ring.n_free, 8);
	assert_int_equal(gqueue_rx_fill(q, 2048, layout_by_name("hdr-alone")), 4);
	fake_guest_destroy(g);
}

static void
used_out_of_order(void **state)
{
	struct fake_guest *g = guest(16, 0);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct device dev = { .q = q };
	uint8_t frame[64] = { 0 };
	struct chain c[16];
	uint64_t rng = 5;

	(void)state;
	for (unsigned int round = 0; round < 500; round++) {
		unsigned int n = 0;

		while (fake_guest_tx_frame(g, &layouts[0], frame, sizeof(frame)) >= 0)
			assert_int_equal(device_pop(&dev, &c[n++]), 1);
		assert_int_equal(n, 16);
		for (; n > 0; n--) {
			unsigned int i = rng_range(&rng, 0, n - 1);

			device_push(&dev, c[i].head, 0);
			c[i] = c[n - 1];
		}
		assert_int_equal(gqueue_tx_reclaim(q), 16);
	}
	assert_true(q->ring.out_of_order > 0);
	fake_guest_destroy(g);
}

/* One frame out; the device answers with (id, len) and an index. */
static const char *
used_lie(uint32_t id_xor, uint32_t len, uint16_t extra)
{
	static const char *err;
	struct fake_guest *g = guest(16, 0);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct device dev = { .q = q };
	uint8_t frame[64] = { 0 };
	int id = fake_guest_tx_frame(g, &layouts[0], frame, sizeof(frame));

	assert_true(id >= 0);
	dev.used = extra;
	device_push(&dev, (uint16_t)id, 0);
	if (extra == 0)
		q->ring.split.used->ring[0] =
				(struct vring_used_elem){ (uint32_t)id ^ id_xor, len };
	assert_int_equal(gqueue_tx_reclaim(q), -EPROTO);
	err = q->err;
	fake_guest_destroy(g);
	return err;
}

static void
used_lies_are_found(void **state)
{
	(void)state;
	assert_non_null(strstr(used_lie(0x100, 0, 0), "out of range"));
	assert_non_null(strstr(used_lie(1, 0, 0), "not out"));
	assert_non_null(strstr(used_lie(0, 1, 0), "length"));
	assert_non_null(strstr(used_lie(0, 0, 1), "ahead"));
}

static void
kick_and_call_by_event_idx(void **state)
{
	struct fake_guest *g = guest(16, 0);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct drv_ring *r = &q->ring;
	uint16_t *avail_event = (uint16_t *)&r->split.used->ring[16];
	uint8_t frame[64] = { 0 };

	(void)state;
	*avail_event = 1;
	gqueue_tx_frame(q, &layouts[0], NULL, frame, sizeof(frame));
	assert_false(drv_ring_publish(r));
	gqueue_tx_frame(q, &layouts[0], NULL, frame, sizeof(frame));
	assert_true(drv_ring_publish(r));
	drv_ring_call_after(r, 3);
	assert_int_equal(r->split.avail->ring[16], 2);
	drv_ring_call_never(r);
	assert_int_equal(r->split.avail->ring[16], UINT16_MAX);
	fake_guest_destroy(g);
}

static void
kick_and_call_by_flags(void **state)
{
	struct fake_guest *g = guest(16, BIT(VIRTIO_RING_F_EVENT_IDX));
	struct gqueue *q = fake_guest_tx(g, 0);
	struct drv_ring *r = &q->ring;
	uint8_t frame[64] = { 0 };

	(void)state;
	gqueue_tx_frame(q, &layouts[0], NULL, frame, sizeof(frame));
	assert_true(drv_ring_publish(r));
	r->split.used->flags = VRING_USED_F_NO_NOTIFY;
	gqueue_tx_frame(q, &layouts[0], NULL, frame, sizeof(frame));
	assert_false(drv_ring_publish(r));
	drv_ring_call_never(r);
	assert_int_equal(r->split.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	drv_ring_call_after(r, 1);
	assert_int_equal(r->split.avail->flags, 0);
	fake_guest_destroy(g);
}

/* ---- frames ---- */

static void
send_and_compare(struct fake_guest *g, struct device *dev, const struct layout *l, uint64_t seq)
{
	static uint8_t frame[FRAME_ROOM], bytes[FRAME_ROOM];
	uint32_t len = frame_make(&plan, 0, seq, frame);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct chain c;

	assert_true(fake_guest_tx_frame(g, l, frame, len) >= 0);
	assert_int_equal(device_pop(dev, &c), 1);
	assert_int_equal(c.bytes, q->hdr_len + len);
	chain_read(dev, &c, bytes);
	assert_memory_equal(bytes + q->hdr_len, frame, len);
	assert_int_equal(frame_check(&plan, bytes + q->hdr_len, len), -1);
	device_push(dev, c.head, 0);
	assert_int_equal(gqueue_tx_reclaim(q), 1);
}

static void
receive_and_compare(struct fake_guest *g, struct device *dev, const struct layout *l, uint32_t buf,
		uint64_t seq)
{
	static uint8_t frame[FRAME_ROOM], got[FRAME_ROOM];
	uint32_t len = frame_make(&plan, 0, seq, frame);
	struct gqueue *q = fake_guest_rx(g, 0);

	for (uint32_t room = 0; room < len + q->hdr_len; room += buf) {
		int ret = fake_guest_rx_post(g, buf, l);

		assert_true(ret >= 0);
	}
	device_deliver(dev, frame, len);
	assert_int_equal(fake_guest_rx_frame(g, got, sizeof(got)), (int)len);
	assert_memory_equal(got, frame, len);
	assert_int_equal(fake_guest_rx_frame(g, got, sizeof(got)), -EAGAIN);
}

static void
all_layouts(uint64_t without)
{
	struct fake_guest *g = guest(256, without);
	struct device tx = { .q = fake_guest_tx(g, 0) }, rx = { .q = fake_guest_rx(g, 0) };
	bool merge = !(without & BIT(VIRTIO_NET_F_MRG_RXBUF));

	for (const struct layout *l = layouts; l->name != NULL; l++) {
		if (l->table && (without & BIT(VIRTIO_RING_F_INDIRECT_DESC)))
			continue;
		for (uint64_t seq = 0; seq < 20; seq++) {
			send_and_compare(g, &tx, l, seq);
			/* Only one chain at a time can lie across the border. */
			receive_and_compare(g, &rx, l, merge && !l->cross ? 1500 : 9012, seq);
		}
	}
	fake_guest_destroy(g);
}

static void
layouts_pass(void **state)
{
	(void)state;
	all_layouts(0);
}

static void
layouts_pass_legacy(void **state)
{
	(void)state;
	all_layouts(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF));
	all_layouts(BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_RING_F_INDIRECT_DESC));
}

static void
header_splits_at_each_byte(void **state)
{
	struct fake_guest *g = guest(256, 0);
	struct device tx = { .q = fake_guest_tx(g, 0) };

	(void)state;
	for (uint8_t at = 1; at < 12; at++) {
		struct layout l = { .name = "split", .hdr = LAYOUT_HDR_SPLIT, .hdr_split = at };

		send_and_compare(g, &tx, &l, at);
		assert_int_equal(fake_guest_tx(g, 0)->slot[0].n, 2);
	}
	fake_guest_destroy(g);
}

static void
random_layouts_pass(void **state)
{
	struct fake_guest *g = guest(64, 0);
	struct device tx = { .q = fake_guest_tx(g, 0) };
	uint64_t rng = 11;

	(void)state;
	drv_ring_shuffle(&fake_guest_tx(g, 0)->ring, 3);
	for (uint64_t seq = 0; seq < 20000; seq++) {
		struct layout l = layout_random(&rng, tx.q->conf.features,
				LAYOUT_MAY_CROSS | LAYOUT_MAY_MIX);

		send_and_compare(g, &tx, &l, seq);
	}
	fake_guest_destroy(g);
}

static void
one_crossing_chain_at_a_time(void **state)
{
	struct fake_guest *g = guest(16, 0);
	uint8_t frame[64] = { 0 };
	const struct layout *l = layout_by_name("cross");

	(void)state;
	assert_true(fake_guest_tx_frame(g, l, frame, sizeof(frame)) >= 0);
	assert_int_equal(fake_guest_tx_frame(g, l, frame, sizeof(frame)), -EBUSY);
	fake_guest_reset(g);
	assert_true(fake_guest_tx_frame(g, l, frame, sizeof(frame)) >= 0);
	fake_guest_destroy(g);
}

static void
write_past_a_buffer_is_found(void **state)
{
	struct fake_guest *g = guest(16, 0);
	struct gqueue *q = fake_guest_rx(g, 0);
	struct device dev = { .q = q };
	uint8_t got[FRAME_ROOM];
	struct chain c;

	(void)state;
	assert_true(fake_guest_rx_post(g, 2048, &layouts[0]) >= 0);
	assert_int_equal(device_pop(&dev, &c), 1);
	gmem_write(q->mem, c.buf[0].gpa + c.buf[0].len, "!", 1);
	device_push(&dev, c.head, 100);
	assert_int_equal(fake_guest_rx_frame(g, got, sizeof(got)), -EPROTO);
	assert_non_null(strstr(q->err, "beside"));
	fake_guest_destroy(g);
}

static void
write_to_a_sent_frame_is_found(void **state)
{
	struct fake_guest *g = guest(16, 0);
	struct gqueue *q = fake_guest_tx(g, 0);
	struct device dev = { .q = q };
	uint8_t frame[64] = { 0 };
	struct chain c;

	(void)state;
	assert_true(fake_guest_tx_frame(g, &layouts[0], frame, sizeof(frame)) >= 0);
	assert_int_equal(device_pop(&dev, &c), 1);
	gmem_write(q->mem, c.buf[0].gpa, "!", 1);
	device_push(&dev, c.head, 0);
	assert_int_equal(gqueue_tx_reclaim(q), -EPROTO);
	fake_guest_destroy(g);
}

static void
receive_lies_are_found(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = { .num_buffers = 2 };
	struct fake_guest *g = guest(16, 0);
	struct gqueue *q = fake_guest_rx(g, 0);
	struct device dev = { .q = q };
	uint8_t got[FRAME_ROOM];
	struct chain c;

	(void)state;
	gqueue_rx_fill(q, 2048, &layouts[0]);
	drv_ring_publish(&q->ring);
	assert_int_equal(device_pop(&dev, &c), 1);
	device_push(&dev, c.head, 11);
	assert_int_equal(fake_guest_rx_frame(g, got, sizeof(got)), -EPROTO);
	assert_non_null(strstr(q->err, "shorter"));
	assert_int_equal(device_pop(&dev, &c), 1);
	chain_write(&dev, &c, (uint8_t *)&hdr, sizeof(hdr));
	device_push(&dev, c.head, 100);
	assert_int_equal(fake_guest_rx_frame(g, got, sizeof(got)), -EPROTO);
	assert_non_null(strstr(q->err, "exceeds"));
	fake_guest_destroy(g);
}

static void
frame_check_finds_each_byte(void **state)
{
	uint8_t frame[FRAME_ROOM];
	uint32_t len = frame_make(&plan, 3, 99, frame);
	struct frame_tag tag;

	(void)state;
	assert_true(frame_tag_get(frame, len, &tag));
	assert_int_equal(tag.queue, 3);
	assert_int_equal(tag.seq, 99);
	assert_int_equal(frame_len(&plan, 3, 99), len);
	for (uint32_t i = 38; i < len; i += 7) {
		frame[i] ^= 1;
		assert_int_equal(frame_check(&plan, frame, len), i);
		frame[i] ^= 1;
	}
	assert_int_equal(frame_check(&plan, frame, len), -1);
	assert_true(frame_check(&plan, frame, len - 1) >= 0);
}

/* ---- hostile moves ---- */

static int
play(enum hostile_move move, bool rx)
{
	struct fake_guest *g = guest(256, 0);
	struct device dev = { .q = rx ? fake_guest_rx(g, 0) : fake_guest_tx(g, 0) };
	struct chain c;
	int ret;

	ret = fake_guest_hostile(g, rx, move);
	if (ret < 0)
		fail_msg("%s cannot be posted: %d", hostile_name(move), ret);
	ret = device_pop(&dev, &c);
	if (ret == 1 && move == HOSTILE_MOVE_HEAD_TWICE) {
		uint16_t head = c.head;

		ret = device_pop(&dev, &c);
		ret = ret == 1 && c.head == head ? -EPROTO : ret;
	}
	fake_guest_reset(g);
	fake_guest_destroy(g);
	return ret;
}

static void
hostile_moves_are_what_they_say(void **state)
{
	(void)state;
	for (enum hostile_move m = 0; m < HOSTILE_N_MOVES; m++) {
		for (int rx = 0; rx < 2; rx++) {
			bool good = hostile_kind(m) == HOSTILE_LEGAL ||
					hostile_kind(m) == HOSTILE_SELF;
			int ret = play(m, rx);

			if ((ret == 1) != good)
				fail_msg("%s (%s): the device says %d", hostile_name(m),
						hostile_text(m), ret);
		}
	}
}

static void
hostile_needs_indirect(void **state)
{
	struct fake_guest *g = guest(256, BIT(VIRTIO_RING_F_INDIRECT_DESC));

	(void)state;
	assert_int_equal(fake_guest_hostile(g, false, HOSTILE_MOVE_TABLE_LOOP), -ENOTSUP);
	assert_int_equal(fake_guest_tx(g, 0)->n_free_slot, 256);
	fake_guest_destroy(g);
}

/* ---- flood ---- */

/* A front-end that is only its queue: the flood needs no socket. */
static void
flood_round(const struct flood_conf *conf, bool rx, bool shuffle)
{
	struct fake_guest *g = guest(256, 0);
	struct frontend_queue fq = { .gq = *(rx ? fake_guest_rx(g, 0) : fake_guest_tx(g, 0)),
		.kick_fd = -1 };
	struct frontend fe = { .queue = &fq, .mem = g->mem };
	struct device dev = { .q = &fq.gq };
	struct flood_conf fc = *conf;
	uint16_t out[64];
	struct flood f;
	struct chain c;
	uint64_t rng = 1;
	unsigned int n = 0;

	assert_int_equal(flood_init(&f, &fe, 0, &fc), 0);
	for (unsigned int round = 0; round < 70000 / 32; round++) {
		while (n < 64 && device_pop(&dev, &c) == 1)
			out[n++] = c.head;
		assert_true(n >= 32);
		for (unsigned int k = 0; k < 32; k++) {
			unsigned int i = shuffle ? rng_range(&rng, 0, n - 1) : 0;

			device_push(&dev, out[i], rx ? 72 : 0);
			memmove(&out[i], &out[i + 1], (--n - i) * sizeof(out[0]));
		}
		assert_int_equal(flood_poll(&f), 32);
	}
	assert_int_equal(f.ordered, !shuffle);
	assert_int_equal(f.count, 70000 / 32 * 32);
	flood_fini(&f);
	fake_guest_destroy(g);
}

static void
flood_goes_round(void **state)
{
	struct flood_conf conf;

	(void)state;
	flood_conf_init(&conf);
	conf.batch = 32;
	flood_round(&conf, false, false);
	flood_round(&conf, true, false);
	conf.size = 1518;
	conf.desc = 2;
	flood_round(&conf, false, false);
	conf.desc = 5;
	conf.table = true;
	flood_round(&conf, false, false);
	conf.hdr_alone = true;
	flood_round(&conf, true, false);
}

static void
flood_survives_disorder(void **state)
{
	struct flood_conf conf;

	(void)state;
	flood_conf_init(&conf);
	conf.batch = 32;
	flood_round(&conf, false, true);
	flood_round(&conf, true, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_wraps_at_65535),
		cmocka_unit_test(ring_full_and_empty),
		cmocka_unit_test(used_out_of_order),
		cmocka_unit_test(used_lies_are_found),
		cmocka_unit_test(kick_and_call_by_event_idx),
		cmocka_unit_test(kick_and_call_by_flags),
		cmocka_unit_test(layouts_pass),
		cmocka_unit_test(layouts_pass_legacy),
		cmocka_unit_test(header_splits_at_each_byte),
		cmocka_unit_test(random_layouts_pass),
		cmocka_unit_test(one_crossing_chain_at_a_time),
		cmocka_unit_test(write_past_a_buffer_is_found),
		cmocka_unit_test(write_to_a_sent_frame_is_found),
		cmocka_unit_test(receive_lies_are_found),
		cmocka_unit_test(frame_check_finds_each_byte),
		cmocka_unit_test(hostile_moves_are_what_they_say),
		cmocka_unit_test(hostile_needs_indirect),
		cmocka_unit_test(flood_goes_round),
		cmocka_unit_test(flood_survives_disorder),
	};

	return cmocka_run_group_tests_name("fake_guest", tests, NULL, NULL);
}

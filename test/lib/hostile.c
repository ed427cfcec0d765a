/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hostile moves: a good chain is added through the ring, then its descriptors are bent.
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "hostile.h"

#define DATA_BYTES 64

struct info {
	const char *name, *text;
	enum hostile_kind kind;
};

static const struct info info[] = {
#define X(name, kind, text) [HOSTILE_MOVE_##name] = { #name, text, HOSTILE_##kind },
	HOSTILE_MOVES(X)
#undef X
};

const char *
hostile_name(enum hostile_move move)
{
	return info[move].name;
}

const char *
hostile_text(enum hostile_move move)
{
	return info[move].text;
}

enum hostile_kind
hostile_kind(enum hostile_move move)
{
	return info[move].kind;
}

/* Header and DATA_BYTES in two buffers, to be bent before or after they are posted. */
struct bend {
	struct gqueue *q;
	int slot;
	struct drv_buf buf[2];
	unsigned int n;
	struct vring_desc *desc[2]; /* in the ring, once posted */
	uint16_t id[2];
};

static int
bend_begin(struct bend *b, struct gqueue *q)
{
	uint64_t gpa;
	uint8_t zero[512] = { 0 };

	b->q = q;
	b->n = 2;
	b->slot = gqueue_slot_take(q);
	if (b->slot < 0)
		return b->slot;
	gpa = gqueue_slot_gpa(q, b->slot, 0);
	gmem_write(q->mem, gpa, zero,
			sizeof(zero) < q->conf.slot_bytes ? sizeof(zero) : q->conf.slot_bytes);
	b->buf[0] = (struct drv_buf){ gpa, q->hdr_len, q->conf.rx };
	b->buf[1] = (struct drv_buf){ gpa + 128, DATA_BYTES, q->conf.rx };
	return 0;
}

static int
bend_post(struct bend *b)
{
	uint16_t second = b->q->ring.next[b->q->ring.free_head];
	int id = gqueue_post_raw(b->q, b->slot, b->buf, b->n, DRV_ALL_DIRECT);

	if (id < 0) {
		gqueue_slot_give(b->q, b->slot);
		return id;
	}
	b->id[0] = id;
	b->id[1] = second;
	b->desc[0] = &b->q->ring.split.desc[id];
	b->desc[1] = &b->q->ring.split.desc[second];
	return id;
}

/* Next pointers of the descriptors in the ring. */
static int
move_next(struct gqueue *q, enum hostile_move move)
{
	struct bend b;
	int id = bend_begin(&b, q);

	if (id == 0)
		id = bend_post(&b);
	if (id < 0)
		return id;
	b.desc[1]->flags |= VRING_DESC_F_NEXT;
	switch (move) {
	case HOSTILE_MOVE_LOOP:
		b.desc[1]->next = b.id[0];
		break;
	case HOSTILE_MOVE_LOOP_SELF:
		b.desc[1]->next = b.id[1];
		break;
	case HOSTILE_MOVE_NEXT_RANGE:
		b.desc[1]->next = q->conf.size;
		break;
	case HOSTILE_MOVE_FLAGS_UNKNOWN:
		b.desc[0]->flags |= 0x0040;
		b.desc[1]->flags = (b.desc[1]->flags & ~VRING_DESC_F_NEXT) | 0x0040;
		break;
	default:
		b.desc[1]->next = UINT16_MAX;
		break;
	}
	return id;
}

/* Avail entries and index. */
static int
move_avail(struct gqueue *q, enum hostile_move move)
{
	struct drv_ring *r = &q->ring;
	struct bend b;
	int id = bend_begin(&b, q);
	uint16_t last, jump;

	if (id == 0)
		id = bend_post(&b);
	if (id < 0)
		return id;
	last = r->avail_idx - 1;
	switch (move) {
	case HOSTILE_MOVE_HEAD_RANGE:
		r->split.avail->ring[last % r->size] = r->size;
		return id;
	case HOSTILE_MOVE_HEAD_MAX:
		r->split.avail->ring[last % r->size] = UINT16_MAX;
		return id;
	case HOSTILE_MOVE_HEAD_TWICE:
		r->split.avail->ring[r->avail_idx % r->size] = id;
		r->avail_idx++;
		return id;
	default:
		break;
	}
	jump = move == HOSTILE_MOVE_AVAIL_JUMP ? r->avail_idx + r->size : r->shown_idx - 1;
	__atomic_store_n(&r->split.avail->idx, jump, __ATOMIC_RELEASE);
	r->shown_idx = r->avail_idx = jump;
	return id;
}

/* Addresses, lengths and directions. */
static int
move_buffer(struct gqueue *q, enum hostile_move move)
{
	const struct drv_ring *r = &q->ring;
	struct bend b;
	int ret = bend_begin(&b, q);
	struct drv_buf *d = &b.buf[1];

	if (ret < 0)
		return ret;
	switch (move) {
	case HOSTILE_MOVE_LEN_ZERO:
		d->len = 0;
		break;
	case HOSTILE_MOVE_LEN_MAX:
		d->len = UINT32_MAX;
		break;
	case HOSTILE_MOVE_ADDR_NULL:
		d->gpa = 0;
		break;
	case HOSTILE_MOVE_ADDR_HOLE:
		d->gpa = gmem_hole(q->mem);
		break;
	case HOSTILE_MOVE_ADDR_END:
		d->gpa = gmem_dead_end(q->mem) - d->len / 2;
		break;
	case HOSTILE_MOVE_ADDR_WRAP:
		d->gpa = UINT64_MAX - d->len / 2;
		break;
	case HOSTILE_MOVE_DIR_WRONG:
		b.buf[0].writable = d->writable = !q->conf.rx;
		break;
	case HOSTILE_MOVE_DIR_MIXED:
		d->writable = !q->conf.rx;
		break;
	case HOSTILE_MOVE_BUF_IN_USED:
		d->gpa = r->device_gpa;
		break;
	case HOSTILE_MOVE_BUF_IN_DESC:
		d->gpa = r->desc_gpa;
		break;
	default:
		b.n = 1;
		d = &b.buf[0];
		d->len = move == HOSTILE_MOVE_LEN_ZERO_ALL     ? 0 :
				move == HOSTILE_MOVE_HDR_ONE   ? 1 :
				move == HOSTILE_MOVE_HDR_SHORT ? q->hdr_len - 1 :
								 q->hdr_len;
		break;
	}
	return bend_post(&b);
}

static int
move_garbage(struct gqueue *q)
{
	uint8_t ff[12];
	struct bend b;
	int ret = bend_begin(&b, q);

	if (ret < 0)
		return ret;
	memset(ff, 0xff, sizeof(ff));
	gmem_write(q->mem, b.buf[0].gpa, ff, q->hdr_len);
	return bend_post(&b);
}

static int
move_twice(struct gqueue *q)
{
	struct bend a, b;
	int ret = bend_begin(&a, q);

	if (ret == 0)
		ret = bend_post(&a);
	if (ret < 0)
		return ret;
	ret = bend_begin(&b, q);
	if (ret < 0)
		return ret;
	memcpy(b.buf, a.buf, sizeof(b.buf));
	return bend_post(&b);
}

/* A table of @p n entries at @p gpa: the header first, then pieces of the same data buffer. */
static int
table_write(const struct bend *b, uint64_t gpa, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct drv_buf *buf = &b->buf[i > 0];
		struct vring_desc d = { .addr = buf->gpa,
			.len = buf->len,
			.flags = buf->writable ? VRING_DESC_F_WRITE : 0 };

		if (i + 1 < n) {
			d.flags |= VRING_DESC_F_NEXT;
			d.next = i + 1;
		}
		if (gmem_write(b->q->mem, gpa + i * sizeof(d), &d, sizeof(d)) < 0)
			return -EFAULT;
	}
	return 0;
}

/* Bend the second entry of the table at @p gpa. */
static void
table_bend(const struct bend *b, uint64_t gpa, uint16_t flags, uint16_t next)
{
	struct vring_desc d;

	gmem_read(b->q->mem, gpa + sizeof(d), &d, sizeof(d));
	d.flags |= flags;
	d.next = next;
	if (flags & VRING_DESC_F_INDIRECT) {
		d.flags = flags;
		d.addr = gpa;
		d.len = 2 * sizeof(d);
	}
	gmem_write(b->q->mem, gpa + sizeof(d), &d, sizeof(d));
}

static int
move_table(struct gqueue *q, enum hostile_move move)
{
	const uint32_t entry = sizeof(struct vring_desc);
	unsigned int n = move == HOSTILE_MOVE_TABLE_LONG ? q->conf.size + 1u : 2;
	struct drv_buf table;
	struct bend b;
	int id;

	if (((q->conf.features >> VIRTIO_RING_F_INDIRECT_DESC) & 1) == 0 ||
			(move == HOSTILE_MOVE_TABLE_CROSS && q->mem->cross_gpa == 0))
		return -ENOTSUP;
	if (256 + n * entry > q->conf.slot_bytes)
		return -EMSGSIZE;
	id = bend_begin(&b, q);
	if (id < 0)
		return id;
	table = (struct drv_buf){ b.buf[0].gpa + 256, n * entry, false };
	if (move == HOSTILE_MOVE_TABLE_CROSS)
		table.gpa = q->mem->cross_gpa - entry;
	table_write(&b, table.gpa, n);

	switch (move) {
	case HOSTILE_MOVE_TABLE_EMPTY:
		table.len = 0;
		break;
	case HOSTILE_MOVE_TABLE_ODD:
		table.len = entry + entry / 2;
		break;
	case HOSTILE_MOVE_TABLE_HUGE:
		table.len = UINT32_MAX - 15;
		break;
	case HOSTILE_MOVE_TABLE_NESTED:
		table_bend(&b, table.gpa, VRING_DESC_F_INDIRECT, 0);
		break;
	case HOSTILE_MOVE_TABLE_LOOP:
		table_bend(&b, table.gpa, VRING_DESC_F_NEXT, 0);
		break;
	case HOSTILE_MOVE_TABLE_NEXT_RANGE:
		table_bend(&b, table.gpa, VRING_DESC_F_NEXT, 2);
		break;
	case HOSTILE_MOVE_TABLE_HOLE:
		table.gpa = gmem_hole(q->mem);
		break;
	case HOSTILE_MOVE_TABLE_END:
		table.gpa = gmem_dead_end(q->mem) - entry;
		break;
	default:
		break;
	}
	b.buf[0] = table;
	b.n = move == HOSTILE_MOVE_TABLE_AND_NEXT ? 2 : 1;
	id = bend_post(&b);
	if (id < 0)
		return id;
	b.desc[0]->flags |= VRING_DESC_F_INDIRECT;
	/* What the table lets the device write counts, should it give the chain back. */
	q->ring.chain[id].writable = q->conf.rx ? UINT32_MAX : 0;
	return id;
}

int
hostile_post(struct gqueue *q, enum hostile_move move)
{
	switch (move) {
	case HOSTILE_MOVE_LOOP:
	case HOSTILE_MOVE_LOOP_SELF:
	case HOSTILE_MOVE_NEXT_RANGE:
	case HOSTILE_MOVE_NEXT_MAX:
	case HOSTILE_MOVE_FLAGS_UNKNOWN:
		return move_next(q, move);
	case HOSTILE_MOVE_HEAD_RANGE:
	case HOSTILE_MOVE_HEAD_MAX:
	case HOSTILE_MOVE_HEAD_TWICE:
	case HOSTILE_MOVE_AVAIL_JUMP:
	case HOSTILE_MOVE_AVAIL_BACK:
		return move_avail(q, move);
	case HOSTILE_MOVE_HDR_GARBAGE:
		return move_garbage(q);
	case HOSTILE_MOVE_BUF_TWICE:
		return move_twice(q);
	case HOSTILE_MOVE_TABLE_EMPTY ... HOSTILE_MOVE_TABLE_NEXT_RANGE:
		return move_table(q, move);
	case HOSTILE_N_MOVES:
		return -EINVAL;
	default:
		return move_buffer(q, move);
	}
}

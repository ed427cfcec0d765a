/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Driver side of a split virtqueue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "ring.h"
#include "rng.h"

#define HAS(r, bit) (((r)->features >> (bit)) & 1)

static uint64_t
align(uint64_t x, uint64_t a)
{
	return (x + a - 1) & ~(a - 1);
}

static size_t
avail_off(uint16_t size)
{
	return sizeof(struct vring_desc) * size;
}

static size_t
used_off(uint16_t size)
{
	return align(avail_off(size) + 6 + 2 * (size_t)size, 64);
}

static size_t
tables_off(uint16_t size)
{
	return align(used_off(size) + 6 + sizeof(struct vring_used_elem) * size, 64);
}

static size_t
table_bytes(uint16_t table_len)
{
	return sizeof(struct vring_desc) * table_len;
}

size_t
drv_ring_bytes(uint16_t size, uint16_t table_len)
{
	return tables_off(size) + size * table_bytes(table_len);
}

int
drv_ring_remap(struct drv_ring *r)
{
	uint8_t *va = gmem_va(r->mem, r->desc_gpa, drv_ring_bytes(r->size, r->table_len));

	if (va == NULL)
		return -EFAULT;
	r->split.desc = (void *)va;
	r->split.avail = (void *)(va + avail_off(r->size));
	r->split.used = (void *)(va + used_off(r->size));
	return 0;
}

int
drv_ring_init(struct drv_ring *r, const struct gmem *mem, uint64_t gpa, uint16_t size,
		uint16_t table_len, uint64_t features)
{
	int ret;

	memset(r, 0, sizeof(*r));
	if (size == 0 || size > 32768 || (size & (size - 1)) != 0 || gpa % 16 != 0)
		return -EINVAL;
	r->mem = mem;
	r->features = features;
	r->size = size;
	r->table_len = table_len;
	r->desc_gpa = gpa;
	r->driver_gpa = gpa + avail_off(size);
	r->device_gpa = gpa + used_off(size);
	r->table_gpa = gpa + tables_off(size);
	ret = drv_ring_remap(r);
	if (ret < 0)
		return ret;
	r->chain = calloc(size, sizeof(*r->chain));
	r->next = calloc(size, sizeof(*r->next));
	r->order = calloc(size, sizeof(*r->order));
	if (r->chain == NULL || r->next == NULL || r->order == NULL) {
		drv_ring_fini(r);
		return -ENOMEM;
	}
	drv_ring_reset(r);
	return 0;
}

void
drv_ring_fini(struct drv_ring *r)
{
	free(r->chain);
	free(r->next);
	free(r->order);
	r->chain = NULL;
	r->next = r->order = NULL;
}

void
drv_ring_reset(struct drv_ring *r)
{
	memset(r->split.desc, 0, tables_off(r->size));
	memset(r->chain, 0, sizeof(*r->chain) * r->size);
	for (unsigned int i = 0; i < r->size; i++)
		r->next[i] = (i + 1) % r->size;
	r->free_head = 0;
	r->n_free = r->size;
	r->avail_idx = r->shown_idx = r->used_idx = 0;
	r->n_added = r->n_used = r->out_of_order = 0;
	r->err = NULL;
}

void
drv_ring_shuffle(struct drv_ring *r, uint64_t seed)
{
	uint16_t *id = malloc(sizeof(*id) * r->size);
	uint16_t n = r->n_free;

	if (id == NULL || n < 2) {
		free(id);
		return;
	}
	for (uint16_t i = 0, d = r->free_head; i < n; i++, d = r->next[d])
		id[i] = d;
	for (uint16_t i = n - 1; i > 0; i--) {
		uint16_t j = rng_range(&seed, 0, i), swap = id[i];

		id[i] = id[j];
		id[j] = swap;
	}
	for (uint16_t i = 0; i + 1 < n; i++)
		r->next[id[i]] = id[i + 1];
	r->free_head = id[0];
	free(id);
}

static void
desc_set(struct vring_desc *d, const struct drv_buf *buf)
{
	d->addr = buf->gpa;
	d->len = buf->len;
	d->flags = buf->writable ? VRING_DESC_F_WRITE : 0;
	d->next = 0;
}

/* Fill the table of chain @p id; answers the buffer that points to it. */
static struct drv_buf
table_fill(struct drv_ring *r, uint16_t id, const struct drv_buf *buf, unsigned int n)
{
	uint64_t gpa = r->table_gpa + id * table_bytes(r->table_len);
	struct vring_desc *t = gmem_va(r->mem, gpa, table_bytes(r->table_len));

	for (unsigned int i = 0; i < n; i++) {
		desc_set(&t[i], &buf[i]);
		if (i + 1 < n) {
			t[i].flags |= VRING_DESC_F_NEXT;
			t[i].next = i + 1;
		}
	}
	return (struct drv_buf){ .gpa = gpa, .len = table_bytes(n) };
}

static void
avail_push(struct drv_ring *r, uint16_t id)
{
	uint16_t pos = r->avail_idx % r->size;

	r->split.avail->ring[pos] = id;
	r->order[pos] = id;
	r->avail_idx++;
	r->n_added++;
}

int
drv_ring_add(struct drv_ring *r, const struct drv_buf *buf, unsigned int n, int n_direct,
		uint64_t token)
{
	bool table = n_direct >= 0 && (unsigned int)n_direct < n;
	unsigned int in_ring = table ? (unsigned int)n_direct + 1 : n;
	uint16_t id = r->free_head, d = id;

	if (n == 0)
		return -EINVAL;
	if (table && !HAS(r, VIRTIO_RING_F_INDIRECT_DESC))
		return -ENOTSUP;
	if (in_ring > r->n_free || (table && n - n_direct > r->table_len))
		return -ENOSPC;

	r->chain[id] = (struct drv_chain){ .token = token, .n_desc = in_ring, .busy = true };
	for (unsigned int i = 0; i < n; i++)
		r->chain[id].writable += buf[i].writable ? buf[i].len : 0;
	for (unsigned int i = 0; i < in_ring; i++) {
		struct vring_desc *desc = &r->split.desc[d];

		if (table && i + 1 == in_ring) {
			struct drv_buf t = table_fill(r, id, buf + i, n - i);

			desc_set(desc, &t);
			desc->flags |= VRING_DESC_F_INDIRECT;
		} else {
			desc_set(desc, &buf[i]);
		}
		if (i + 1 < in_ring) {
			desc->flags |= VRING_DESC_F_NEXT;
			desc->next = r->next[d];
		}
		d = r->next[d];
	}
	r->free_head = d;
	r->n_free -= in_ring;
	avail_push(r, id);
	return id;
}

static uint16_t *
used_event(struct drv_ring *r)
{
	return &r->split.avail->ring[r->size];
}

static bool
kick_wanted(const struct drv_ring *r, uint16_t from)
{
	if (HAS(r, VIRTIO_RING_F_EVENT_IDX)) {
		const uint16_t *event = (const uint16_t *)&r->split.used->ring[r->size];

		return vring_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), r->avail_idx,
				from);
	}
	return (__atomic_load_n(&r->split.used->flags, __ATOMIC_RELAXED) &
			       VRING_USED_F_NO_NOTIFY) == 0;
}

bool
drv_ring_publish(struct drv_ring *r)
{
	uint16_t from = r->shown_idx;

	if (from == r->avail_idx)
		return false;
	__atomic_store_n(&r->split.avail->idx, r->avail_idx, __ATOMIC_RELEASE);
	r->shown_idx = r->avail_idx;
	/* The index must be out before the wish for a kick is read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return kick_wanted(r, from);
}

void
drv_ring_call_after(struct drv_ring *r, uint16_t n)
{
	if (HAS(r, VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n(used_event(r), (uint16_t)(r->used_idx + n - 1), __ATOMIC_RELAXED);
	__atomic_store_n(&r->split.avail->flags, 0, __ATOMIC_RELAXED);
	/* The wish must be out before the caller looks for used entries once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void
drv_ring_call_never(struct drv_ring *r)
{
	if (HAS(r, VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n(used_event(r), (uint16_t)(r->used_idx - 1), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&r->split.avail->flags, VRING_AVAIL_F_NO_INTERRUPT,
				__ATOMIC_RELAXED);
}

unsigned int
drv_ring_used_count(const struct drv_ring *r)
{
	return (uint16_t)(__atomic_load_n(&r->split.used->idx, __ATOMIC_ACQUIRE) - r->used_idx);
}

unsigned int
drv_ring_pending(const struct drv_ring *r)
{
	return (unsigned int)(r->n_added - r->n_used);
}

uint32_t
drv_ring_crash_base(const struct drv_ring *r)
{
	return __atomic_load_n(&r->split.used->idx, __ATOMIC_ACQUIRE);
}

static void
desc_free(struct drv_ring *r, uint16_t id)
{
	uint16_t last = id;

	for (unsigned int i = 1; i < r->chain[id].n_desc; i++)
		last = r->next[last];
	r->next[last] = r->free_head;
	r->free_head = id;
	r->n_free += r->chain[id].n_desc;
	r->chain[id].busy = false;
	r->n_used++;
}

static int
broken(struct drv_ring *r, const char *err)
{
	r->err = err;
	return -EPROTO;
}

/* Keep the chains that are still out in order[used_idx ..], oldest first. */
static void
order_take(struct drv_ring *r, uint16_t id)
{
	uint16_t mask = r->size - 1, pos = r->used_idx;

	if (r->order[pos & mask] == id)
		return;
	r->out_of_order++;
	while (r->order[pos & mask] != id)
		pos++;
	for (; pos != r->used_idx; pos--)
		r->order[pos & mask] = r->order[(pos - 1) & mask];
}

int
drv_ring_get_used(struct drv_ring *r, struct drv_used *u)
{
	unsigned int n = drv_ring_used_count(r);
	struct vring_used_elem e;

	if (n == 0)
		return 0;
	if (n > (uint16_t)(r->shown_idx - r->used_idx))
		return broken(r, "used index runs ahead of what is available");
	e = r->split.used->ring[r->used_idx % r->size];
	if (e.id >= r->size)
		return broken(r, "used id out of range");
	if (!r->chain[e.id].busy)
		return broken(r, "used id is not out: given back twice or never posted");
	if (e.len > r->chain[e.id].writable)
		return broken(r, "used length above what the chain lets the device write");
	*u = (struct drv_used){ .id = e.id, .len = e.len, .token = r->chain[e.id].token };
	order_take(r, e.id);
	desc_free(r, e.id);
	r->used_idx++;
	return 1;
}

int
drv_ring_detach(struct drv_ring *r, struct drv_used *u)
{
	uint16_t id;

	if (r->avail_idx == r->used_idx)
		return 0;
	r->avail_idx--;
	r->shown_idx = r->avail_idx;
	__atomic_store_n(&r->split.avail->idx, r->avail_idx, __ATOMIC_RELEASE);
	id = r->order[r->avail_idx % r->size];
	*u = (struct drv_used){ .id = id, .token = r->chain[id].token };
	desc_free(r, id);
	return 1;
}

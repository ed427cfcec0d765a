/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prebuilt chains going round.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "flood.h"

#define HEADROOM 64     /* the header lies right before a cache line */
#define CHECKED_LAPS 64 /* one ring in so many is checked entry by entry */
#define STILL_TAKE 64   /* looks before a short batch is taken */
#define STILL_NAP 4096  /* looks before the first nap */

void
flood_conf_init(struct flood_conf *conf)
{
	*conf = (struct flood_conf){ .size = 64, .desc = 1 };
}

static uint16_t
power_below(unsigned int n)
{
	unsigned int p = 1;

	while (2 * p <= n)
		p *= 2;
	return (uint16_t)p;
}

static uint32_t
chain_bytes(const struct flood *f)
{
	return f->q->conf.rx ? f->conf.size : f->q->hdr_len + f->conf.size;
}

/* Where the next chain's bytes go: header first. */
static uint64_t
buffer_next(struct flood *f)
{
	uint64_t gpa = f->buf_next;

	f->buf_next += f->stride;
	if (f->buf_next + f->stride > f->buf_end)
		f->buf_next = f->buf_gpa;
	return gpa + HEADROOM - f->q->hdr_len;
}

static int
buffers_place(struct flood *f)
{
	const struct gqueue_conf *c = &f->q->conf;
	uint64_t room = f->conf.walk ? f->fe->conf.extra_bytes :
				       gqueue_area_bytes(c->size, c->slot_bytes);
	uint64_t n = f->conf.buffers && f->conf.buffers < f->chains ? f->conf.buffers : f->chains;

	f->stride = (HEADROOM + (uint64_t)f->conf.size + 127) & ~63ULL;
	f->buf_gpa = f->conf.walk ? f->fe->queue[f->index].extra_gpa : c->area_gpa[0];
	if (f->conf.walk)
		n = room / f->stride;
	if (n < 1 || n * f->stride > room)
		return -ENOSPC;
	f->buf_next = f->buf_gpa;
	f->buf_end = f->buf_gpa + n * f->stride;
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *va = gmem_va(f->q->mem, f->buf_gpa + i * f->stride, f->stride);

		memset(va, 0, f->stride);
		if (!c->rx)
			frame_plain(va + HEADROOM, f->conf.size, &f->conf.plan);
	}
	return 0;
}

/* Cut the chain at @p gpa into conf.desc equal pieces, or one more with the header alone. */
static unsigned int
chain_cut(const struct flood *f, uint64_t gpa, struct drv_buf *buf)
{
	uint32_t left = chain_bytes(f);
	unsigned int n = 0;

	if (f->conf.hdr_alone) {
		buf[n++] = (struct drv_buf){ gpa, f->q->hdr_len, f->q->conf.rx };
		gpa += f->q->hdr_len;
		left -= f->q->hdr_len;
	}
	for (unsigned int i = 0; i < f->conf.desc; i++) {
		uint32_t len = left / (f->conf.desc - i);

		buf[n++] = (struct drv_buf){ gpa, len, f->q->conf.rx };
		gpa += len;
		left -= len;
	}
	return n;
}

static int
chains_build(struct flood *f)
{
	struct drv_buf buf[GQ_PIECES_MAX];

	for (unsigned int i = 0; i < f->chains; i++) {
		unsigned int n = chain_cut(f, buffer_next(f), buf);
		int id = drv_ring_add(&f->q->ring, buf, n, f->conf.table ? 0 : DRV_ALL_DIRECT, i);

		if (id < 0)
			return id;
		f->head[i] = (uint16_t)id;
	}
	for (unsigned int p = 0; p <= f->mask; p++)
		f->q->ring.split.avail->ring[p] = f->head[p & (f->chains - 1)];
	return 0;
}

int
flood_init(struct flood *f, struct frontend *fe, unsigned int index, const struct flood_conf *conf)
{
	unsigned int per_chain = conf->table ? 1 : conf->desc + conf->hdr_alone;
	int ret;

	memset(f, 0, sizeof(*f));
	f->fe = fe;
	f->q = &fe->queue[index].gq;
	f->index = index;
	f->conf = *conf;
	f->ordered = true;
	f->mask = f->q->conf.size - 1;
	if (conf->desc == 0 || conf->desc >= GQ_PIECES_MAX || per_chain > f->q->conf.size ||
			f->q->ring.n_added != 0 || chain_bytes(f) <= f->q->hdr_len + conf->desc)
		return -EINVAL;
	f->chains = power_below(f->q->conf.size / per_chain);
	if (f->conf.batch == 0)
		f->conf.batch = 32;
	if (f->conf.batch > f->chains / 4)
		f->conf.batch = f->chains > 4 ? f->chains / 4 : 1;
	f->head = calloc(f->chains, sizeof(*f->head));
	f->out = calloc(f->q->conf.size, sizeof(*f->out));
	ret = f->head == NULL || f->out == NULL ? -ENOMEM : buffers_place(f);
	if (ret == 0)
		ret = chains_build(f);
	if (ret < 0) {
		flood_fini(f);
		return ret;
	}
	f->avail = f->chains;
	frontend_publish(fe, index);
	return 0;
}

void
flood_fini(struct flood *f)
{
	free(f->head);
	free(f->out);
	f->head = NULL;
	f->out = NULL;
}

static int
broken(struct flood *f, const char *err)
{
	f->err = err;
	return -EPROTO;
}

static struct vring_used_elem *
used_at(const struct flood *f, uint16_t pos)
{
	return &f->q->ring.split.used->ring[pos & f->mask];
}

static bool
in_order(struct flood *f, uint16_t n)
{
	uint16_t last = f->used + n - 1, from = last;

	if (f->lap <= n) {
		f->lap = CHECKED_LAPS * (f->mask + 1u);
		from = f->used;
	} else {
		f->lap -= n;
		if (f->lap > (CHECKED_LAPS - 1) * (f->mask + 1u))
			from = f->used;
	}
	for (uint16_t p = from; p != (uint16_t)(last + 1); p++)
		if (used_at(f, p)->id != f->head[p & (f->chains - 1)])
			return false;
	return true;
}

/* From here on ids are taken one by one: remember which are out. */
static void
order_lost(struct flood *f)
{
	f->ordered = false;
	for (unsigned int i = 0; i < f->chains; i++)
		f->out[f->head[i]] = true;
}

/* Make the chains of n used entries available again, in the order they came. */
static int
recycle_by_id(struct flood *f, uint16_t n)
{
	uint16_t again[32768];

	for (uint16_t i = 0; i < n; i++) {
		uint32_t id = used_at(f, f->used + i)->id;

		if (id > f->mask || !f->out[id])
			return broken(f, "used id is not out: given back twice or never posted");
		f->out[id] = false;
		again[i] = (uint16_t)id;
	}
	for (uint16_t i = 0; i < n; i++) {
		uint16_t pos = f->avail + i;

		f->q->ring.split.avail->ring[pos & f->mask] = again[i];
		f->out[again[i]] = true;
	}
	return 0;
}

/* Move the chains of the next n positions on in memory. */
static void
walk(struct flood *f, uint16_t n)
{
	const struct drv_ring *r = &f->q->ring;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t id = r->split.avail->ring[(f->avail + i) & f->mask];
		struct vring_desc *d = &r->split.desc[id];
		uint64_t gpa = buffer_next(f);

		if (d->flags & VRING_DESC_F_INDIRECT)
			d = gmem_va(f->q->mem, r->table_gpa + 16ULL * id * r->table_len, 16);
		/* The descriptors of a prebuilt chain stand side by side. */
		for (; d->flags & VRING_DESC_F_NEXT; d++) {
			d->addr = gpa;
			gpa += d->len;
		}
		d->addr = gpa;
	}
}

static const struct virtio_net_hdr_mrg_rxbuf *
header_at(const struct flood *f, uint16_t pos)
{
	const struct drv_ring *r = &f->q->ring;
	uint32_t id = used_at(f, pos)->id;
	const struct vring_desc *d = &r->split.desc[id & f->mask];

	if (d->flags & VRING_DESC_F_INDIRECT)
		d = gmem_va(f->q->mem, d->addr, sizeof(*d));
	return gmem_va(f->q->mem, d->addr, f->q->hdr_len);
}

static void
account_rx(struct flood *f, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		f->bytes += used_at(f, f->used + i)->len;
		if (f->more > 0) {
			f->more--;
			continue;
		}
		f->bytes -= f->q->hdr_len;
		f->frames++;
		if (f->q->ring.features >> VIRTIO_NET_F_MRG_RXBUF & 1)
			f->more = header_at(f, f->used + i)->num_buffers - 1;
	}
}

static int
recycle(struct flood *f, uint16_t n)
{
	struct drv_ring *r = &f->q->ring;
	int ret = 0;

	if (f->conf.exact && f->q->conf.rx)
		account_rx(f, n);
	if (f->ordered && !in_order(f, n))
		order_lost(f);
	if (!f->ordered)
		ret = recycle_by_id(f, n);
	if (ret < 0)
		return ret;
	if (f->conf.walk)
		walk(f, n);
	f->used += n;
	f->avail += n;
	f->count += n;
	r->avail_idx = f->avail;
	frontend_publish(f->fe, f->index);
	return n;
}

/* So long the worker wanted its CPU and somebody else had it, since it began. */
static uint64_t
worker_wait_us(const struct flood *f)
{
	unsigned long long ran_ns, wait_ns = 0;
	FILE *file = f->conf.worker != NULL ? fopen(f->conf.worker, "re") : NULL;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu %llu", &ran_ns, &wait_ns) != 2)
		wait_ns = 0;
	fclose(file);
	return wait_ns / 1000;
}

/* Nothing came back: that it is so at vain_us is known, however late this process is later. */
static void
nap_still(struct flood *f)
{
	if (f->still == STILL_NAP + 1) {
		f->still_us = f->nap_us = clock_us();
		f->still_wait_us = worker_wait_us(f);
	}
	f->vain_us = f->nap_us;
	clock_nap_us(20);
	f->nap_us = clock_us();
}

static void
note_gap(struct flood *f)
{
	uint64_t gap = f->vain_us - f->still_us, wait = worker_wait_us(f) - f->still_wait_us;

	if (gap > wait && gap - wait > f->gap_us)
		f->gap_us = gap - wait;
}

/* Whether there is enough to do; a device that writes is left in peace for a while. */
static bool
look(struct flood *f, uint16_t *n)
{
	uint16_t idx = __atomic_load_n(&f->q->ring.split.used->idx, __ATOMIC_ACQUIRE);

	*n = idx - f->used;
	if (*n >= f->conf.batch)
		return true;
	f->still = idx == f->seen ? f->still + 1 : 0;
	f->seen = idx;
	if (*n > 0 && f->still > STILL_TAKE)
		return true;
	if (f->still > STILL_NAP)
		nap_still(f);
	for (int i = 0; i < 16; i++)
		clock_pause();
	return false;
}

int
flood_poll(struct flood *f)
{
	uint64_t start;
	uint16_t n;
	int ret;

	if (!look(f, &n))
		return 0;
	start = clock_cycles();
	if (n > (uint16_t)(f->avail - f->used))
		return broken(f, "used index runs ahead of what is available");
	if (f->still > STILL_NAP)
		note_gap(f);
	f->still = 0;
	f->dry += n == (uint16_t)(f->avail - f->used);
	ret = recycle(f, n);
	f->busy_cycles += clock_cycles() - start;
	f->turns++;
	return ret;
}

int
flood_drain(struct flood *f, unsigned int timeout_us)
{
	uint64_t end = clock_us() + timeout_us;
	uint16_t n;

	do {
		n = __atomic_load_n(&f->q->ring.split.used->idx, __ATOMIC_ACQUIRE) - f->used;
		if (n > (uint16_t)(f->avail - f->used))
			return broken(f, "used index runs ahead of what is available");
		f->used += n;
		f->count += n;
		if (f->used == f->avail)
			return 0;
		clock_nap_us(20);
	} while (clock_us() < end);
	return -ETIMEDOUT;
}

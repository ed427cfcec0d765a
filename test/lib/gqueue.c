/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames on a ring: layouts into slots, slots into chains, and back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "gqueue.h"
#include "rng.h"

#define GUARD_BYTE 0xa5

#define HAS(q, bit) (((q)->conf.features >> (bit)) & 1)

size_t
gqueue_area_bytes(uint16_t size, uint32_t slot_bytes)
{
	return (size_t)size * slot_bytes;
}

size_t
gqueue_ring_bytes(uint16_t size, uint16_t table_len)
{
	return (drv_ring_bytes(size, table_len) + 63) & ~(size_t)63;
}

static void
slots_reset(struct gqueue *q)
{
	q->n_free_slot = q->conf.size;
	for (unsigned int i = 0; i < q->conf.size; i++) {
		q->free_slot[i] = q->conf.size - 1 - i;
		if (q->slot[i].crosses)
			__atomic_store_n(&q->mem->cross_busy, false, __ATOMIC_RELEASE);
		q->slot[i].crosses = false;
		q->slot[i].taken = false;
	}
}

int
gqueue_init(struct gqueue *q, struct gmem *mem, const struct gqueue_conf *conf)
{
	int ret;

	memset(q, 0, sizeof(*q));
	q->conf = *conf;
	q->mem = mem;
	ret = drv_ring_init(&q->ring, mem, conf->ring_gpa, conf->size, conf->table_len,
			conf->features);
	if (ret < 0)
		return ret;
	q->hdr_len = HAS(q, VIRTIO_F_VERSION_1) || HAS(q, VIRTIO_NET_F_MRG_RXBUF) ? 12 : 10;
	q->slot = calloc(conf->size, sizeof(*q->slot));
	q->free_slot = calloc(conf->size, sizeof(*q->free_slot));
	if (q->slot == NULL || q->free_slot == NULL) {
		gqueue_fini(q);
		return -ENOMEM;
	}
	slots_reset(q);
	return 0;
}

void
gqueue_fini(struct gqueue *q)
{
	for (unsigned int i = 0; q->slot != NULL && i < q->conf.size; i++)
		free(q->slot[i].buf);
	free(q->slot);
	free(q->free_slot);
	q->slot = NULL;
	q->free_slot = NULL;
	drv_ring_fini(&q->ring);
}

void
gqueue_reset(struct gqueue *q)
{
	drv_ring_reset(&q->ring);
	slots_reset(q);
	q->err = NULL;
}

int
gqueue_move(struct gqueue *q, unsigned int area, uint64_t gpa)
{
	if (area >= q->conf.n_areas)
		return -EINVAL;
	q->conf.area_gpa[area] = gpa;
	return 0;
}

int
gqueue_slot_take(struct gqueue *q)
{
	int slot;

	if (q->n_free_slot == 0)
		return -ENOSPC;
	slot = q->free_slot[--q->n_free_slot];
	q->slot[slot].taken = true;
	q->slot[slot].n = 0;
	return slot;
}

void
gqueue_slot_give(struct gqueue *q, int slot)
{
	if (q->slot[slot].crosses)
		__atomic_store_n(&q->mem->cross_busy, false, __ATOMIC_RELEASE);
	q->slot[slot].crosses = false;
	q->slot[slot].taken = false;
	q->free_slot[q->n_free_slot++] = slot;
}

bool
gqueue_uses(const struct gqueue *q, uint64_t gpa, uint64_t bytes)
{
	for (unsigned int i = 0; i < q->conf.size; i++)
		for (unsigned int k = 0; q->slot[i].taken && k < q->slot[i].n; k++)
			if (q->slot[i].buf[k].gpa - gpa < bytes)
				return true;
	return false;
}

uint64_t
gqueue_slot_gpa(const struct gqueue *q, int slot, unsigned int area)
{
	return q->conf.area_gpa[area % q->conf.n_areas] + (uint64_t)slot * q->conf.slot_bytes;
}

/*
 * As Linux posts buffers for GUEST_TSO4 without mergeable ones (add_recvbuf_big() in its
 * drivers/net/virtio_net.c): the header, padded to 16 bytes, and the data share the first page.
 */
static unsigned int
pages_cut(uint32_t hdr_len, uint32_t total, uint32_t *end)
{
	unsigned int n = 0;

	end[n++] = hdr_len;
	for (uint32_t at = hdr_len + 4096 - 16; at < total && n < GQ_PIECES_MAX - 1; at += 4096)
		end[n++] = at;
	end[n++] = total;
	return n;
}

/* Where the byte stream "header, frame" is cut: end[i] is the end of piece i. */
static unsigned int
layout_cut(const struct layout *l, uint32_t hdr_len, uint32_t total, uint32_t *end)
{
	uint32_t first = 0, data, pieces = l->pieces ? l->pieces : 1;
	uint64_t rng = l->uneven;
	unsigned int n = 0;

	if (l->pages && total > hdr_len)
		return pages_cut(hdr_len, total, end);
	if (l->hdr == LAYOUT_HDR_ALONE)
		first = hdr_len;
	else if (l->hdr == LAYOUT_HDR_SPLIT)
		first = l->hdr_split < hdr_len ? l->hdr_split : hdr_len - 1;
	if (first >= total)
		first = 0;
	if (first > 0)
		end[n++] = first;
	data = total - first;
	if (pieces > GQ_PIECES_MAX - 1)
		pieces = GQ_PIECES_MAX - 1;
	for (uint32_t i = 1; i < pieces; i++) {
		uint32_t left = total - (n ? end[n - 1] : 0), step = data / pieces;

		if (l->uneven)
			step = rng_range(&rng, 1, 2 * (left / (pieces - i + 1)) + 1);
		if (step == 0 || step >= left)
			break;
		end[n] = (n ? end[n - 1] : 0) + step;
		n++;
	}
	end[n++] = total;
	return n;
}

static int
cross_take(struct gqueue *q, uint32_t total)
{
	if (q->mem->cross_gpa == 0)
		return -ENOTSUP;
	if (total > q->mem->cross_room)
		return -EMSGSIZE;
	if (__atomic_exchange_n(&q->mem->cross_busy, true, __ATOMIC_ACQUIRE))
		return -EBUSY;
	return 0;
}

/* Give each piece its place. Pieces of a crossing layout lie back to back around the border. */
static int
slot_place(struct gqueue *q, int slot, const struct layout *l, uint32_t total)
{
	uint64_t at[GQ_AREAS_MAX] = { GQ_GUARD, GQ_GUARD };
	struct gslot *s = &q->slot[slot];
	uint32_t end[GQ_PIECES_MAX], begin = 0;

	s->n = layout_cut(l, q->hdr_len, total, end);
	if (s->n > s->room) {
		struct drv_buf *buf = realloc(s->buf, sizeof(*buf) * s->n);

		if (buf == NULL)
			return -ENOMEM;
		s->buf = buf;
		s->room = s->n;
	}
	if (l->cross) {
		int ret = cross_take(q, total);

		if (ret < 0)
			return ret;
		s->crosses = true;
	}
	for (unsigned int i = 0; i < s->n; begin = end[i++]) {
		unsigned int a = l->spread ? i % q->conf.n_areas : 0;

		s->buf[i] = (struct drv_buf){ .len = end[i] - begin, .writable = q->conf.rx };
		if (s->crosses) {
			s->buf[i].gpa = q->mem->cross_gpa - total / 2 + begin;
			continue;
		}
		s->buf[i].gpa = gqueue_slot_gpa(q, slot, a) + at[a];
		at[a] += s->buf[i].len + GQ_GUARD;
		if (at[a] > q->conf.slot_bytes)
			return -EMSGSIZE;
	}
	return 0;
}

static int
slot_write(struct gqueue *q, const struct gslot *s, uint32_t off, const void *src, uint32_t len)
{
	const uint8_t *from = src;

	for (unsigned int i = 0; i < s->n && len > 0; off -= s->buf[i++].len) {
		uint32_t n;

		if (off >= s->buf[i].len)
			continue;
		n = s->buf[i].len - off < len ? s->buf[i].len - off : len;
		if (gmem_write(q->mem, s->buf[i].gpa + off, from, n) < 0)
			return -EFAULT;
		from += n;
		len -= n;
		off = s->buf[i].len;
	}
	return 0;
}

static int
slot_read(struct gqueue *q, const struct gslot *s, uint32_t off, void *dst, uint32_t len)
{
	uint8_t *to = dst;

	for (unsigned int i = 0; i < s->n && len > 0; off -= s->buf[i++].len) {
		uint32_t n;

		if (off >= s->buf[i].len)
			continue;
		n = s->buf[i].len - off < len ? s->buf[i].len - off : len;
		if (gmem_read(q->mem, s->buf[i].gpa + off, to, n) < 0)
			return -EFAULT;
		to += n;
		len -= n;
		off = s->buf[i].len;
	}
	return 0;
}

static uint64_t
sum_add(uint64_t sum, const uint8_t *p, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum = (sum ^ word) * 0x9e3779b97f4a7c15;
		sum ^= sum >> 32;
	}
	word = 0;
	memcpy(&word, p, len);
	return (sum ^ word ^ len) * 0x9e3779b97f4a7c15;
}

static uint64_t
sum_range(const struct gqueue *q, uint64_t sum, uint64_t gpa, uint32_t len)
{
	uint8_t chunk[4096];

	while (len > 0) {
		uint32_t n = len < sizeof(chunk) ? len : sizeof(chunk);
		const uint8_t *va = gmem_va(q->mem, gpa, n);

		if (va == NULL && gmem_read(q->mem, gpa, chunk, n) == 0)
			va = chunk;
		if (va == NULL)
			return 0;
		sum = sum_add(sum, va, n);
		gpa += n;
		len -= n;
	}
	return sum;
}

/* Sum of all bytes that the device has no business writing: guards, and the whole of transmit. */
static uint64_t
slot_sum(const struct gqueue *q, const struct gslot *s)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		if (!s->crosses) {
			sum = sum_range(q, sum, s->buf[i].gpa - GQ_GUARD, GQ_GUARD);
			sum = sum_range(q, sum, s->buf[i].gpa + s->buf[i].len, GQ_GUARD);
		}
		if (!s->buf[i].writable)
			sum = sum_range(q, sum, s->buf[i].gpa, s->buf[i].len);
	}
	return sum;
}

static void
slot_guard(struct gqueue *q, const struct gslot *s)
{
	uint8_t guard[GQ_GUARD];

	memset(guard, GUARD_BYTE, sizeof(guard));
	for (unsigned int i = 0; !s->crosses && i < s->n; i++) {
		gmem_write(q->mem, s->buf[i].gpa - GQ_GUARD, guard, GQ_GUARD);
		gmem_write(q->mem, s->buf[i].gpa + s->buf[i].len, guard, GQ_GUARD);
	}
}

static int
slot_post(struct gqueue *q, int slot, const struct layout *l)
{
	struct gslot *s = &q->slot[slot];
	int direct = l->table && l->direct < s->n ? l->direct : DRV_ALL_DIRECT;

	slot_guard(q, s);
	s->sum = slot_sum(q, s);
	return drv_ring_add(&q->ring, s->buf, s->n, direct, (uint64_t)slot);
}

int
gqueue_tx_frame(struct gqueue *q, const struct layout *l,
		const struct virtio_net_hdr_mrg_rxbuf *hdr, const void *frame, uint32_t len)
{
	static const struct virtio_net_hdr_mrg_rxbuf zero;
	int slot = gqueue_slot_take(q), ret;

	if (slot < 0)
		return slot;
	ret = slot_place(q, slot, l, q->hdr_len + len);
	if (ret == 0)
		ret = slot_write(q, &q->slot[slot], 0, hdr ? hdr : &zero, q->hdr_len);
	if (ret == 0)
		ret = slot_write(q, &q->slot[slot], q->hdr_len, frame, len);
	if (ret == 0)
		ret = slot_post(q, slot, l);
	if (ret < 0)
		gqueue_slot_give(q, slot);
	return ret;
}

int
gqueue_rx_post(struct gqueue *q, uint32_t len, const struct layout *l)
{
	int slot = gqueue_slot_take(q), ret;

	if (slot < 0)
		return slot;
	ret = slot_place(q, slot, l, len);
	if (ret == 0)
		ret = slot_post(q, slot, l);
	if (ret < 0)
		gqueue_slot_give(q, slot);
	return ret;
}

int
gqueue_rx_fill(struct gqueue *q, uint32_t len, const struct layout *l)
{
	int n = 0, ret;

	while ((ret = gqueue_rx_post(q, len, l)) >= 0)
		n++;
	return ret == -ENOSPC ? n : ret;
}

static int
broken(struct gqueue *q, const char *err)
{
	q->err = err;
	return -EPROTO;
}

/* Next used chain, its untouchable bytes checked; the caller gives the slot back. */
static int
take_used(struct gqueue *q, struct drv_used *u)
{
	int ret = drv_ring_get_used(&q->ring, u);
	struct gslot *s;

	if (ret == -EPROTO)
		return broken(q, q->ring.err);
	if (ret <= 0)
		return ret;
	s = &q->slot[u->token];
	if (slot_sum(q, s) == s->sum)
		return 1;
	gqueue_slot_give(q, (int)u->token);
	return broken(q,
			q->conf.rx ? "bytes beside a receive buffer were written" :
				     "a transmit buffer, or bytes beside it, were written");
}

static uint32_t
slot_bytes(const struct gslot *s)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < s->n; i++)
		n += s->buf[i].len;
	return n;
}

int
gqueue_tx_reclaim(struct gqueue *q)
{
	struct drv_used u;
	int n = 0, ret;

	while ((ret = take_used(q, &u)) == 1) {
		q->frames++;
		q->bytes += slot_bytes(&q->slot[u.token]) - q->hdr_len;
		gqueue_slot_give(q, (int)u.token);
		n++;
	}
	return ret < 0 ? ret : n;
}

/* Bytes [off, len) of a used chain to *at; moves *at on. */
static int
copy_out(struct gqueue *q, const struct drv_used *u, uint32_t off, uint8_t **at, uint32_t *cap)
{
	uint32_t len = u->len - off;

	if (len > *cap)
		return -EMSGSIZE;
	if (slot_read(q, &q->slot[u->token], off, *at, len) < 0)
		return -EFAULT;
	*at += len;
	*cap -= len;
	return 0;
}

static int
first_buffer(struct gqueue *q, const struct drv_used *u, struct virtio_net_hdr_mrg_rxbuf *h)
{
	memset(h, 0, sizeof(*h));
	if (u->len < q->hdr_len)
		return broken(q, "used length is shorter than the virtio-net header");
	if (slot_read(q, &q->slot[u->token], 0, h, q->hdr_len) < 0)
		return -EFAULT;
	if (HAS(q, VIRTIO_NET_F_MRG_RXBUF) && h->num_buffers == 0)
		return broken(q, "num_buffers is 0");
	return 0;
}

int
gqueue_rx_frame(struct gqueue *q, void *frame, uint32_t cap, struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct virtio_net_hdr_mrg_rxbuf h;
	unsigned int n_buf = 1;
	uint8_t *at = frame;
	struct drv_used u;
	int ret = 0;

	for (unsigned int i = 0; i < n_buf && ret == 0; i++) {
		ret = take_used(q, &u);
		if (ret == 0)
			return i == 0 ? -EAGAIN : broken(q, "num_buffers exceeds the used entries");
		if (ret < 0)
			return ret;
		ret = i == 0 ? first_buffer(q, &u, &h) : 0;
		if (ret == 0)
			ret = copy_out(q, &u, i == 0 ? q->hdr_len : 0, &at, &cap);
		if (i == 0 && HAS(q, VIRTIO_NET_F_MRG_RXBUF) && h.num_buffers > 0)
			n_buf = h.num_buffers;
		gqueue_slot_give(q, (int)u.token);
	}
	if (ret < 0)
		return ret;
	if (hdr != NULL)
		*hdr = h;
	q->frames++;
	q->bytes += at - (uint8_t *)frame;
	return (int)(at - (uint8_t *)frame);
}

unsigned int
gqueue_detach(struct gqueue *q)
{
	struct drv_used u;
	unsigned int n = 0;

	for (; drv_ring_detach(&q->ring, &u) == 1; n++)
		gqueue_slot_give(q, (int)u.token);
	return n;
}

int
gqueue_post_raw(struct gqueue *q, int slot, const struct drv_buf *buf, unsigned int n, int n_direct)
{
	q->slot[slot].n = 0;
	q->slot[slot].sum = 0;
	return drv_ring_add(&q->ring, buf, n, n_direct, (uint64_t)slot);
}

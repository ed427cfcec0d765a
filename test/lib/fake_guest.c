/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest on the heap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "fake_guest.h"

#define RINGS_GPA 0x10000000ULL
#define BUFFERS_GPA 0x40000000ULL
#define CROSS_ROOM 65536
#define BIT(n) (1ULL << (n))

void
fake_guest_conf_init(struct fake_guest_conf *conf)
{
	*conf = (struct fake_guest_conf){
		.pairs = 1,
		.ring_size = 256,
		.table_len = 64,
		.slot_bytes = 16384,
		.features = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
				BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX),
	};
}

static int
region_add(struct fake_guest *g, uint64_t gpa, size_t size)
{
	struct gmem_region *r = &g->mem.region[g->mem.n];

	r->gpa = gpa;
	r->size = (size + 4095) & ~(size_t)4095;
	r->va = aligned_alloc(4096, r->size);
	if (r->va == NULL)
		return -ENOMEM;
	memset(r->va, 0, r->size);
	g->mem.n++;
	return 0;
}

/* Buffers of area 0 lie in region 1, of area 1 in region 2; the border between them stays free. */
static int
memory_create(struct fake_guest *g, const struct fake_guest_conf *c)
{
	size_t rings = 2 * c->pairs * gqueue_ring_bytes(c->ring_size, c->table_len);
	size_t area = 2 * c->pairs * gqueue_area_bytes(c->ring_size, c->slot_bytes);
	int ret = region_add(g, RINGS_GPA, rings);

	if (ret == 0)
		ret = region_add(g, BUFFERS_GPA, area + CROSS_ROOM);
	if (ret < 0)
		return ret;
	g->mem.cross_gpa = g->mem.region[1].gpa + g->mem.region[1].size;
	g->mem.cross_room = CROSS_ROOM;
	return region_add(g, g->mem.cross_gpa, area + CROSS_ROOM);
}

static int
queue_create(struct fake_guest *g, const struct fake_guest_conf *c, unsigned int i)
{
	size_t area = gqueue_area_bytes(c->ring_size, c->slot_bytes);
	struct gqueue_conf qc = {
		.rx = i % 2 == 0,
		.size = c->ring_size,
		.table_len = c->table_len,
		.slot_bytes = c->slot_bytes,
		.features = c->features,
		.ring_gpa = RINGS_GPA + i * gqueue_ring_bytes(c->ring_size, c->table_len),
		.n_areas = 2,
		.area_gpa = { BUFFERS_GPA + i * area, g->mem.cross_gpa + CROSS_ROOM + i * area },
	};

	return gqueue_init(&g->queue[i], &g->mem, &qc);
}

struct fake_guest *
fake_guest_create(const struct fake_guest_conf *conf)
{
	struct fake_guest *g = calloc(1, sizeof(*g));
	struct fake_guest_conf defaults;
	int ret;

	if (g == NULL)
		return NULL;
	fake_guest_conf_init(&defaults);
	if (conf == NULL)
		conf = &defaults;
	g->pairs = conf->pairs;
	g->queue = calloc(2 * conf->pairs, sizeof(*g->queue));
	ret = g->queue == NULL ? -ENOMEM : memory_create(g, conf);
	for (unsigned int i = 0; ret == 0 && i < 2 * conf->pairs; i++)
		ret = queue_create(g, conf, i);
	if (ret == 0)
		return g;
	fake_guest_destroy(g);
	errno = -ret;
	return NULL;
}

void
fake_guest_destroy(struct fake_guest *g)
{
	if (g == NULL)
		return;
	for (unsigned int i = 0; g->queue != NULL && i < 2 * g->pairs; i++)
		gqueue_fini(&g->queue[i]);
	for (unsigned int i = 0; i < g->mem.n; i++)
		free(g->mem.region[i].va);
	free(g->queue);
	free(g);
}

void
fake_guest_reset(struct fake_guest *g)
{
	for (unsigned int i = 0; i < 2 * g->pairs; i++)
		gqueue_reset(&g->queue[i]);
}

struct gqueue *
fake_guest_rx(struct fake_guest *g, unsigned int pair)
{
	return &g->queue[2 * pair];
}

struct gqueue *
fake_guest_tx(struct fake_guest *g, unsigned int pair)
{
	return &g->queue[2 * pair + 1];
}

int
fake_guest_tx_frame(struct fake_guest *g, const struct layout *l, const void *frame, uint32_t len)
{
	struct gqueue *q = fake_guest_tx(g, 0);
	int ret = gqueue_tx_frame(q, l, NULL, frame, len);

	drv_ring_publish(&q->ring);
	return ret;
}

int
fake_guest_rx_post(struct fake_guest *g, uint32_t len, const struct layout *l)
{
	struct gqueue *q = fake_guest_rx(g, 0);
	int ret = gqueue_rx_post(q, len, l);

	drv_ring_publish(&q->ring);
	return ret;
}

int
fake_guest_rx_frame(struct fake_guest *g, void *frame, uint32_t cap)
{
	return gqueue_rx_frame(fake_guest_rx(g, 0), frame, cap, NULL);
}

int
fake_guest_hostile(struct fake_guest *g, bool rx, enum hostile_move move)
{
	struct gqueue *q = rx ? fake_guest_rx(g, 0) : fake_guest_tx(g, 0);
	int ret = hostile_post(q, move);

	drv_ring_publish(&q->ring);
	return ret;
}

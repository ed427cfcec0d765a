/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What most unit tests need: cmocka with its headers in order, and a fake guest's memory and rings
 * as the library wants to be told of them.
 */
#ifndef RIG_H
#define RIG_H

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
#include "frame.h"
#include "guest/map.h"
#include "rng.h"
#include "vq/vq.h"

#define BIT(n) (1ULL << (n))

/* Device address of a byte: never its address here, so that a mix-up shows. */
#define RIG_IOVA(gpa) (0x8000000000ULL + (gpa))

static inline struct zc_map *
rig_map(const struct gmem *mem)
{
	struct zc_region region[ZC_MAP_REGIONS_MAX] = { 0 };
	struct zc_map *map;

	for (unsigned int i = 0; i < mem->n; i++)
		region[i] = (struct zc_region){
			.gpa = mem->region[i].gpa,
			.size = mem->region[i].size,
			.hva = mem->region[i].va,
			.iova = RIG_IOVA(mem->region[i].gpa),
		};
	map = zc_map_create_plain(region, mem->n);
	assert_non_null(map);
	return map;
}

static inline struct zc_vq_conf
rig_vq_conf(const struct gqueue *q, const struct zc_map *map)
{
	return (struct zc_vq_conf){
		.desc = q->ring.split.desc,
		.avail = q->ring.split.avail,
		.used = q->ring.split.used,
		.size = q->conf.size,
		.next_avail = q->ring.split.used->idx,
		.next_used = q->ring.split.used->idx,
		.hdr_len = q->hdr_len,
		.event_idx = q->conf.features & BIT(VIRTIO_RING_F_EVENT_IDX),
		.indirect = q->conf.features & BIT(VIRTIO_RING_F_INDIRECT_DESC),
		.callfd = -1,
		.map = map,
	};
}

/** A guest like the default one, but for what is not 0 here. */
static inline struct fake_guest *
rig_guest(uint16_t ring_size, uint32_t slot_bytes, uint64_t without)
{
	struct fake_guest_conf conf;
	struct fake_guest *g;

	fake_guest_conf_init(&conf);
	if (ring_size != 0)
		conf.ring_size = ring_size;
	if (slot_bytes != 0)
		conf.slot_bytes = slot_bytes;
	conf.features &= ~without;
	g = fake_guest_create(&conf);
	assert_non_null(g);
	return g;
}

/** Rings begin anywhere: as if @p at chains had gone through before. Nothing is posted yet. */
static inline void
rig_start_at(struct gqueue *q, uint16_t at)
{
	q->ring.avail_idx = q->ring.shown_idx = q->ring.used_idx = at;
	q->ring.split.avail->idx = at;
	q->ring.split.used->idx = at;
}

#endif

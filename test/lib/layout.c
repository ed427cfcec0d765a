/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways to cut header and frame into descriptors.
 */
#include <string.h>

#include <linux/virtio_config.h>

#include "gqueue.h"
#include "rng.h"

const struct layout layouts[] = {
	{ .name = "together" },
	{ .name = "hdr-alone", .hdr = LAYOUT_HDR_ALONE },
	{ .name = "hdr-split-1", .hdr = LAYOUT_HDR_SPLIT, .hdr_split = 1 },
	{ .name = "hdr-split-6", .hdr = LAYOUT_HDR_SPLIT, .hdr_split = 6 },
	{ .name = "hdr-split-9", .hdr = LAYOUT_HDR_SPLIT, .hdr_split = 9 },
	{ .name = "pieces-2", .pieces = 2 },
	{ .name = "pieces-3-alone", .hdr = LAYOUT_HDR_ALONE, .pieces = 3 },
	{ .name = "pieces-17-uneven", .pieces = 17, .uneven = 1 },
	{ .name = "indirect", .hdr = LAYOUT_HDR_ALONE, .table = true },
	{ .name = "indirect-1", .table = true },
	{ .name = "indirect-8", .hdr = LAYOUT_HDR_ALONE, .pieces = 8, .table = true },
	{ .name = "mixed", .hdr = LAYOUT_HDR_ALONE, .pieces = 4, .table = true, .direct = 2 },
	{ .name = "mixed-split",
			.hdr = LAYOUT_HDR_SPLIT,
			.hdr_split = 5,
			.pieces = 3,
			.table = true,
			.direct = 1,
			.uneven = 1 },
	{ .name = "spread", .hdr = LAYOUT_HDR_ALONE, .pieces = 4, .spread = true },
	{ .name = "cross", .cross = true },
	{ .name = "cross-pieces", .hdr = LAYOUT_HDR_ALONE, .pieces = 3, .cross = true },
	{ .name = "linux-big", .pages = true, .table = true },
	{ .name = NULL },
};

const struct layout *
layout_by_name(const char *name)
{
	for (const struct layout *l = layouts; l->name != NULL; l++)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}

struct layout
layout_random(uint64_t *rng, uint64_t features, unsigned int may)
{
	struct layout l = { .name = "random" };

	l.hdr = rng_range(rng, LAYOUT_HDR_TOGETHER, LAYOUT_HDR_SPLIT);
	l.hdr_split = rng_range(rng, 1, 9);
	l.pieces = rng_range(rng, 0, 3) == 0 ? rng_range(rng, 5, 20) : rng_range(rng, 1, 4);
	l.uneven = rng_range(rng, 0, 1) ? rng_range(rng, 1, UINT32_MAX) : 0;
	l.spread = rng_range(rng, 0, 3) == 0;
	l.cross = rng_range(rng, 0, 7) == 0 && (may & LAYOUT_MAY_CROSS);
	if ((features >> VIRTIO_RING_F_INDIRECT_DESC) & 1 && rng_range(rng, 0, 1)) {
		l.table = true;
		if (rng_range(rng, 0, 2) == 0 && (may & LAYOUT_MAY_MIX))
			l.direct = rng_range(rng, 1, 3);
	}
	return l;
}

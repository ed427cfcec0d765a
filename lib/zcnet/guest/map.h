/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's memory as zcnet sees it: regions mapped by zcnet itself from the front-end's file
 * descriptors.
 *
 * A map never changes. A new memory table is a new map; regions that both have (same file,
 * offset, length and guest address) share one mapping. Whoever points into guest memory holds a
 * reference, so a mapping can't vanish under a DMA.
 */
#ifndef ZC_GUEST_MAP_H
#define ZC_GUEST_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Most regions of a table: VHOST_MEMORY_MAX_NREGIONS of DPDK 22.11 is 8. */
#define ZC_MAP_REGIONS_MAX 8

/** One region of a memory table, as the front-end describes it. */
struct zc_region_desc {
	int fd;
	uint64_t offset; /* bytes from the start of the file to guest address gpa */
	uint64_t gpa;
	uint64_t uva; /* the front-end's own address of it */
	uint64_t size;
};

struct zc_mapping;

/** A range of guest memory, contiguous in all four address spaces. */
struct zc_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva;
	uint64_t iova;
	uint64_t uva;
	struct zc_mapping *mapping;
};

struct zc_map {
	unsigned int refcnt;
	unsigned int nregions;
	struct zc_region region[ZC_MAP_REGIONS_MAX];
};

/**
 * Can this table be mapped, as far as that can be told beforehand?
 *
 * @return 0, or what zc_fail() gave: overlap, wrap, bad count or size, a file that is shorter
 */
int zc_map_check(const struct zc_region_desc *desc, unsigned int n);

/**
 * Map a memory table.
 *
 * @param desc   regions; the descriptors stay the caller's
 * @param prev   map to share unchanged regions with, or NULL
 * @return the map with one reference, or NULL with rte_errno EINVAL (overlap, wrap, bad count
 *   or size) or mmap's
 */
struct zc_map *zc_map_create(const struct zc_region_desc *desc, unsigned int n,
		const struct zc_map *prev);

/**
 * A map over plain memory, for tests and for applications that bring their own. The memory
 * stays the caller's.
 */
struct zc_map *zc_map_create_plain(const struct zc_region *region, unsigned int n);

/** References may be taken and dropped on any control thread. NULL is accepted. */
struct zc_map *zc_map_get(struct zc_map *map);
void zc_map_put(struct zc_map *map);

/** True once memory of it has gone away, and zeros are in its place: see lost.h. Any thread. */
bool zc_map_is_lost(const struct zc_map *map);

/** The region that holds @p gpa, or NULL. */
static inline const struct zc_region *
zc_map_region(const struct zc_map *map, uint64_t gpa)
{
	for (unsigned int i = 0; i < map->nregions; i++)
		if (gpa - map->region[i].gpa < map->region[i].size)
			return &map->region[i];
	return NULL;
}

/** True when @p len bytes from @p gpa lie in @p region. No sum is formed that could wrap. */
static inline bool
zc_region_holds(const struct zc_region *region, uint64_t gpa, uint64_t len)
{
	uint64_t off = gpa - region->gpa;

	return off < region->size && len <= region->size - off;
}

/**
 * The last offset in @p region from which @p len bytes lie in it, for loops that compare once a
 * buffer. False: there is none.
 */
static inline bool
zc_region_last(const struct zc_region *region, uint64_t len, uint64_t *last)
{
	*last = region->size - len;
	return len <= region->size;
}

/** Our address of @p gpa when @p len bytes from there are in one region, else NULL. */
static inline void *
zc_map_hva(const struct zc_map *map, uint64_t gpa, uint64_t len)
{
	const struct zc_region *region = zc_map_region(map, gpa);

	if (region == NULL || !zc_region_holds(region, gpa, len))
		return NULL;
	return region->hva + (gpa - region->gpa);
}

#endif

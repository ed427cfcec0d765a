/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps of guest memory: checking a table, sharing what two tables have in common. */
#include "map.h"

#include <errno.h>
#include <stdlib.h>

#include "../core/error.h"
#include "mapping.h"

/* The mapping of the same bytes in @prev, with a new reference. */
static struct zc_mapping *
share(const struct zc_region_desc *desc, const struct zc_map *prev)
{
	if (prev == NULL)
		return NULL;
	for (unsigned int i = 0; i < prev->nregions; i++) {
		const struct zc_region *region = &prev->region[i];

		if (region->mapping != NULL && region->gpa == desc->gpa &&
				region->size == desc->size &&
				zc_mapping_is_of(region->mapping, desc))
			return zc_mapping_get(region->mapping);
	}
	return NULL;
}

static int
region_check(const struct zc_region_desc *desc, unsigned int i)
{
	if (desc[i].size == 0 || desc[i].gpa > UINT64_MAX - desc[i].size ||
			desc[i].uva > UINT64_MAX - desc[i].size)
		return zc_fail(EINVAL, "guest memory: region %u has size %#jx at %#jx", i,
				(uintmax_t)desc[i].size, (uintmax_t)desc[i].gpa);
	for (unsigned int j = 0; j < i; j++)
		if (desc[i].gpa < desc[j].gpa + desc[j].size &&
				desc[j].gpa < desc[i].gpa + desc[i].size)
			return zc_fail(EINVAL, "guest memory: regions %u and %u overlap at %#jx", j,
					i, (uintmax_t)desc[i].gpa);
	return 0;
}

static int
regions_check(const struct zc_region_desc *desc, unsigned int n)
{
	int ret = 0;

	if (n == 0 || n > ZC_MAP_REGIONS_MAX)
		return zc_fail(EINVAL, "guest memory: %u regions, 1 to %u are served", n,
				ZC_MAP_REGIONS_MAX);
	for (unsigned int i = 0; i < n && ret == 0; i++)
		ret = region_check(desc, i);
	return ret;
}

int
zc_map_check(const struct zc_region_desc *desc, unsigned int n)
{
	int ret = regions_check(desc, n);

	for (unsigned int i = 0; i < n && ret == 0; i++)
		ret = zc_mapping_check(&desc[i]);
	return ret;
}

struct zc_map *
zc_map_create(const struct zc_region_desc *desc, unsigned int n, const struct zc_map *prev)
{
	struct zc_map *map;

	if (regions_check(desc, n) < 0)
		return NULL;
	map = calloc(1, sizeof(*map));
	if (map == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	map->refcnt = 1;
	for (unsigned int i = 0; i < n; i++) {
		struct zc_region *region = &map->region[i];

		region->mapping = share(&desc[i], prev);
		if (region->mapping == NULL)
			region->mapping = zc_mapping_create(&desc[i]);
		if (region->mapping == NULL)
			goto put_map;
		region->gpa = desc[i].gpa;
		region->uva = desc[i].uva;
		region->size = desc[i].size;
		region->hva = zc_mapping_hva(region->mapping);
		region->iova = zc_mapping_iova(region->mapping);
		map->nregions++;
	}
	return map;

put_map:
	zc_map_put(map);
	return NULL;
}

struct zc_map *
zc_map_create_plain(const struct zc_region *region, unsigned int n)
{
	struct zc_map *map = calloc(1, sizeof(*map));

	if (map == NULL)
		return NULL;
	map->refcnt = 1;
	map->nregions = n;
	for (unsigned int i = 0; i < n; i++)
		map->region[i] = region[i];
	return map;
}

struct zc_map *
zc_map_get(struct zc_map *map)
{
	if (map != NULL)
		__atomic_add_fetch(&map->refcnt, 1, __ATOMIC_RELAXED);
	return map;
}

void
zc_map_put(struct zc_map *map)
{
	if (map == NULL || __atomic_sub_fetch(&map->refcnt, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (unsigned int i = 0; i < map->nregions; i++)
		zc_mapping_put(map->region[i].mapping);
	free(map);
}

bool
zc_map_is_lost(const struct zc_map *map)
{
	for (unsigned int i = 0; i < map->nregions; i++)
		if (zc_mapping_is_lost(map->region[i].mapping))
			return true;
	return false;
}

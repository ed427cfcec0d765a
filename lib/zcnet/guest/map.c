/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping, sharing and releasing guest memory. */
#include "map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <rte_errno.h>

#include "../core/error.h"

/** One mmap, shared by every map that has the region. */
struct zc_mapping {
	unsigned int refcnt;
	void *base;
	size_t len;
	dev_t dev;
	ino_t ino;
	uint64_t offset;
};

/*
 * Alignment that mmap and munmap of the file want: the huge page size on hugetlbfs, else the
 * page size.
 */
static size_t
block_size(const struct stat *st)
{
	return st->st_blksize > 4096 ? (size_t)st->st_blksize : 4096;
}

static struct zc_mapping *
mapping_create(const struct zc_region_desc *desc)
{
	struct zc_mapping *mapping;
	struct stat st;
	size_t block;

	if (fstat(desc->fd, &st) < 0) {
		zc_fail(errno, "guest memory: fstat: %s", strerror(errno));
		return NULL;
	}
	if (desc->offset > UINT64_MAX - desc->size ||
			(S_ISREG(st.st_mode) && desc->offset + desc->size > (uint64_t)st.st_size)) {
		zc_fail(EINVAL, "guest memory: %#jx bytes at %#jx exceed a file of %#jx",
				(uintmax_t)desc->size, (uintmax_t)desc->offset,
				(uintmax_t)st.st_size);
		return NULL;
	}
	mapping = calloc(1, sizeof(*mapping));
	if (mapping == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	block = block_size(&st);
	mapping->refcnt = 1;
	mapping->len = (desc->offset + desc->size + block - 1) / block * block;
	mapping->dev = st.st_dev;
	mapping->ino = st.st_ino;
	mapping->offset = desc->offset;
	mapping->base = mmap(NULL, mapping->len, PROT_READ | PROT_WRITE, MAP_SHARED, desc->fd, 0);
	if (mapping->base == MAP_FAILED) {
		zc_fail(errno, "guest memory: mmap of %zu bytes: %s", mapping->len,
				strerror(errno));
		free(mapping);
		return NULL;
	}
	/* A core dump of the switch must not carry guests' memory (DPDK 338ad77c9e). */
	madvise(mapping->base, mapping->len, MADV_DONTDUMP);
	return mapping;
}

static void
mapping_put(struct zc_mapping *mapping)
{
	if (mapping == NULL || __atomic_sub_fetch(&mapping->refcnt, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	munmap(mapping->base, mapping->len);
	free(mapping);
}

/* The mapping of the same bytes in @prev, with a new reference. */
static struct zc_mapping *
mapping_share(const struct zc_region_desc *desc, const struct zc_map *prev)
{
	struct stat st;

	if (prev == NULL || fstat(desc->fd, &st) < 0)
		return NULL;
	for (unsigned int i = 0; i < prev->nregions; i++) {
		const struct zc_region *region = &prev->region[i];
		struct zc_mapping *mapping = region->mapping;

		if (mapping != NULL && mapping->dev == st.st_dev && mapping->ino == st.st_ino &&
				mapping->offset == desc->offset && region->gpa == desc->gpa &&
				region->size == desc->size) {
			__atomic_add_fetch(&mapping->refcnt, 1, __ATOMIC_RELAXED);
			return mapping;
		}
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

struct zc_map *
zc_map_create(const struct zc_region_desc *desc, unsigned int n, const struct zc_map *prev)
{
	struct zc_map *map;

	if (n == 0 || n > ZC_MAP_REGIONS_MAX) {
		zc_fail(EINVAL, "guest memory: %u regions, 1 to %u are served", n,
				ZC_MAP_REGIONS_MAX);
		return NULL;
	}
	map = calloc(1, sizeof(*map));
	if (map == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	map->refcnt = 1;
	for (unsigned int i = 0; i < n; i++) {
		struct zc_region *region = &map->region[i];

		if (region_check(desc, i) < 0)
			goto put_map;
		region->mapping = mapping_share(&desc[i], prev);
		if (region->mapping == NULL)
			region->mapping = mapping_create(&desc[i]);
		if (region->mapping == NULL)
			goto put_map;
		region->gpa = desc[i].gpa;
		region->uva = desc[i].uva;
		region->size = desc[i].size;
		region->hva = (uint8_t *)region->mapping->base + desc[i].offset;
		region->iova = (uintptr_t)region->hva;
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
		mapping_put(map->region[i].mapping);
	free(map);
}

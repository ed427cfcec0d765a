/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping a region of guest memory, for us and for NICs. */
#include "mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <rte_vfio.h>

#include "../core/error.h"
#include "dma.h"
#include "lost.h"

struct zc_mapping {
	unsigned int refcnt;
	void *base; /* of the file, from its beginning */
	size_t len;
	struct zc_range *range; /* watched: the file may shrink */
	dev_t dev;
	ino_t ino;
	uint64_t offset; /* of the region */
	uint64_t size;
	uint64_t iova;   /* 0: the window was full */
	bool dma_failed; /* said already; housekeeping */
	bool has_dma;    /* housekeeping writes with release order */
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

static int
check(const struct zc_region_desc *desc, const struct stat *st)
{
	if (desc->offset > UINT64_MAX - desc->size ||
			(S_ISREG(st->st_mode) && desc->offset + desc->size > (uint64_t)st->st_size))
		return zc_fail(EINVAL, "guest memory: %#jx bytes at %#jx exceed a file of %#jx",
				(uintmax_t)desc->size, (uintmax_t)desc->offset,
				(uintmax_t)st->st_size);
	return 0;
}

int
zc_mapping_check(const struct zc_region_desc *desc)
{
	struct stat st;

	if (fstat(desc->fd, &st) < 0)
		return zc_fail(errno, "guest memory: fstat: %s", strerror(errno));
	return check(desc, &st);
}

struct zc_mapping *
zc_mapping_create(const struct zc_region_desc *desc)
{
	struct zc_mapping *mapping;
	struct stat st;
	size_t block;

	if (fstat(desc->fd, &st) < 0) {
		zc_fail(errno, "guest memory: fstat: %s", strerror(errno));
		return NULL;
	}
	if (check(desc, &st) < 0)
		return NULL;
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
	mapping->size = desc->size;
	mapping->base = mmap(NULL, mapping->len, PROT_READ | PROT_WRITE, MAP_SHARED, desc->fd, 0);
	if (mapping->base == MAP_FAILED) {
		zc_fail(errno, "guest memory: mmap of %zu bytes: %s", mapping->len,
				strerror(errno));
		free(mapping);
		return NULL;
	}
	/* A core dump of the switch must not carry guests' memory (DPDK 338ad77c9e). */
	madvise(mapping->base, mapping->len, MADV_DONTDUMP);
	mapping->range = zc_lost_watch(mapping->base, mapping->len);
	if (mapping->range == NULL) {
		munmap(mapping->base, mapping->len);
		free(mapping);
		rte_errno = ENOMEM;
		return NULL;
	}
	mapping->iova = zc_dma_range_take(mapping->size);
	return mapping;
}

bool
zc_mapping_is_of(const struct zc_mapping *mapping, const struct zc_region_desc *desc)
{
	struct stat st;

	return fstat(desc->fd, &st) == 0 && mapping->dev == st.st_dev &&
			mapping->ino == st.st_ino && mapping->offset == desc->offset &&
			mapping->size == desc->size;
}

struct zc_mapping *
zc_mapping_get(struct zc_mapping *mapping)
{
	__atomic_add_fetch(&mapping->refcnt, 1, __ATOMIC_RELAXED);
	return mapping;
}

void
zc_mapping_put(struct zc_mapping *mapping)
{
	if (mapping == NULL || __atomic_sub_fetch(&mapping->refcnt, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	/* NICs first: nobody may reach memory that isn't the guest's any more. */
	if (mapping->has_dma &&
			rte_vfio_container_dma_unmap(RTE_VFIO_DEFAULT_CONTAINER_FD,
					(uintptr_t)zc_mapping_hva(mapping), mapping->iova,
					mapping->size) < 0)
		ZC_LOG(ERR, "guest memory: DMA unmapping of %#jx bytes at %#jx failed",
				(uintmax_t)mapping->size, (uintmax_t)mapping->iova);
	zc_lost_unwatch(mapping->range);
	munmap(mapping->base, mapping->len);
	zc_dma_range_give(mapping->iova, mapping->size);
	free(mapping);
}

uint8_t *
zc_mapping_hva(const struct zc_mapping *mapping)
{
	return (uint8_t *)mapping->base + mapping->offset;
}

uint64_t
zc_mapping_iova(const struct zc_mapping *mapping)
{
	return mapping->iova;
}

int
zc_mapping_map_dma(struct zc_mapping *mapping)
{
	int ret = -ENOSPC;

	if (mapping->has_dma)
		return 0;
	if (mapping->iova != 0)
		ret = rte_vfio_container_dma_map(RTE_VFIO_DEFAULT_CONTAINER_FD,
				(uintptr_t)zc_mapping_hva(mapping), mapping->iova, mapping->size);
	if (ret < 0) {
		if (!mapping->dma_failed)
			ZC_LOG(WARNING, "guest memory: %#jx bytes can't be mapped for DMA: copying",
					(uintmax_t)mapping->size);
		mapping->dma_failed = true;
		return ret;
	}
	__atomic_store_n(&mapping->has_dma, true, __ATOMIC_RELEASE);
	return 0;
}

bool
zc_mapping_has_dma(const struct zc_mapping *mapping)
{
	return mapping != NULL && __atomic_load_n(&mapping->has_dma, __ATOMIC_ACQUIRE);
}

bool
zc_mapping_is_lost(const struct zc_mapping *mapping)
{
	return mapping != NULL && zc_lost_is(mapping->range);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping a region of guest memory, for us and for NICs. */
#include "mapping.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include <rte_cycles.h>
#include <rte_memory.h>

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
	uint64_t iova; /* 0: the window was full */
	/* housekeeping */
	uint64_t retry_tsc;
	int error; /* why it couldn't be mapped last, 0: it could */
	/* under the lock; read anywhere */
	uint32_t known; /* bits of the IOMMUs that it is mapped in */
	bool own;       /* a driver's own mapping: registered with EAL */
	TAILQ_ENTRY(zc_mapping) next;
};

/* After a failure: somebody may have gone meanwhile. */
#define RETRY_S 1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static TAILQ_HEAD(, zc_mapping) mappings = TAILQ_HEAD_INITIALIZER(mappings);

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
	/* Many descriptors are of the one anonymous inode: nothing tells them apart. */
	if (!S_ISREG(st->st_mode) && !S_ISCHR(st->st_mode))
		return zc_fail(EINVAL, "guest memory: it is no file");
	if (desc->offset > UINT64_MAX - desc->size ||
			(S_ISREG(st->st_mode) && desc->offset + desc->size > (uint64_t)st->st_size))
		return zc_fail(EINVAL, "guest memory: %#jx bytes at %#jx exceed a file of %#jx",
				(uintmax_t)desc->size, (uintmax_t)desc->offset,
				(uintmax_t)st->st_size);
	return 0;
}

/* The file from its beginning to the region's end. @return NULL with rte_errno */
static void *
map_file(const struct zc_region_desc *desc, struct stat *st, size_t *len)
{
	size_t block;
	void *base;

	if (fstat(desc->fd, st) < 0) {
		zc_fail(errno, "guest memory: fstat: %s", strerror(errno));
		return NULL;
	}
	if (check(desc, st) < 0)
		return NULL;
	block = block_size(st);
	*len = (desc->offset + desc->size + block - 1) / block * block;
	base = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, desc->fd, 0);
	if (base != MAP_FAILED)
		return base;
	zc_fail(errno, "guest memory: mmap of %zu bytes: %s", *len, strerror(errno));
	return NULL;
}

int
zc_mapping_check(const struct zc_region_desc *desc)
{
	struct stat st;
	size_t len;
	void *base = map_file(desc, &st, &len);

	if (base == NULL)
		return -rte_errno;
	munmap(base, len);
	return 0;
}

struct zc_mapping *
zc_mapping_create(const struct zc_region_desc *desc)
{
	struct zc_mapping *mapping = calloc(1, sizeof(*mapping));
	struct stat st;

	if (mapping == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	mapping->base = map_file(desc, &st, &mapping->len);
	if (mapping->base == NULL) {
		free(mapping);
		return NULL;
	}
	mapping->refcnt = 1;
	mapping->dev = st.st_dev;
	mapping->ino = st.st_ino;
	mapping->offset = desc->offset;
	mapping->size = desc->size;
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
	zc_mapping_lock();
	TAILQ_INSERT_TAIL(&mappings, mapping, next);
	zc_mapping_unlock();
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

/* @return did the IOMMU forget it? */
static bool
unmap(const struct zc_mapping *mapping, const struct zc_iommu *iommu)
{
	int ret = zc_iommu_calls.unmap(iommu->own, zc_mapping_hva(mapping), mapping->iova,
			mapping->size);

	if (ret < 0)
		ZC_LOG(ERR, "guest memory: DMA unmapping of %#jx bytes at %#jx: %s",
				(uintmax_t)mapping->size, (uintmax_t)mapping->iova, strerror(-ret));
	return ret == 0;
}

static void
release(struct zc_mapping *mapping)
{
	bool forgotten = true;

	/* NICs first: nobody may reach memory that isn't the guest's any more. */
	for (unsigned int i = 0; i < ZC_IOMMUS_MAX; i++)
		if (mapping->known >> i & 1)
			forgotten &= unmap(mapping, zc_iommu_by_number(i));
	if (mapping->own)
		rte_extmem_unregister(zc_mapping_hva(mapping), mapping->size);
	zc_lost_unwatch(mapping->range);
	munmap(mapping->base, mapping->len);
	/* Else its device addresses still lead to this memory. */
	if (forgotten)
		zc_dma_range_give(mapping->iova, mapping->size);
	free(mapping);
}

void
zc_mapping_put(struct zc_mapping *mapping)
{
	bool last;

	if (mapping == NULL)
		return;
	zc_mapping_lock();
	last = __atomic_sub_fetch(&mapping->refcnt, 1, __ATOMIC_ACQ_REL) == 0;
	if (last)
		TAILQ_REMOVE(&mappings, mapping, next);
	zc_mapping_unlock();
	if (last)
		release(mapping);
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

void
zc_mapping_lock(void)
{
	pthread_mutex_lock(&lock);
}

void
zc_mapping_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* Mapped: NICs may use it, unless the last one went meanwhile. */
static void
set_known(struct zc_mapping *mapping, const struct zc_iommu *iommu, unsigned int epoch)
{
	bool gone;

	zc_mapping_lock();
	gone = iommu->nics == 0 || iommu->epoch != epoch;
	mapping->own |= iommu->own != NULL;
	if (!gone)
		__atomic_fetch_or(&mapping->known, iommu->bit, __ATOMIC_RELEASE);
	zc_mapping_unlock();
	if (gone)
		unmap(mapping, iommu);
}

static unsigned int
iommu_epoch(const struct zc_iommu *iommu)
{
	unsigned int epoch;

	zc_mapping_lock();
	epoch = iommu->epoch;
	zc_mapping_unlock();
	return epoch;
}

void
zc_mapping_map(struct zc_mapping *mapping, const struct zc_iommu *iommu)
{
	unsigned int epoch = iommu_epoch(iommu);
	int ret = -ENOSPC;

	if (zc_mapping_is_known(mapping, iommu) || rte_rdtsc() < mapping->retry_tsc)
		return;
	if (mapping->iova != 0)
		ret = zc_iommu_calls.map(iommu->own, zc_mapping_hva(mapping), mapping->iova,
				mapping->size);
	if (ret == 0)
		set_known(mapping, iommu, epoch);
	else
		mapping->retry_tsc = rte_rdtsc() + RETRY_S * rte_get_tsc_hz();
	__atomic_store_n(&mapping->error, ret, __ATOMIC_RELAXED);
}

bool
zc_mapping_is_known(const struct zc_mapping *mapping, const struct zc_iommu *iommu)
{
	return mapping != NULL &&
			(__atomic_load_n(&mapping->known, __ATOMIC_ACQUIRE) & iommu->bit) != 0;
}

int
zc_mapping_error(const struct zc_mapping *mapping)
{
	return mapping != NULL ? __atomic_load_n(&mapping->error, __ATOMIC_RELAXED) : 0;
}

void
zc_mapping_unmap_all(const struct zc_iommu *iommu)
{
	struct zc_mapping *mapping;

	/* Nothing is mapped in it meanwhile: set_known() sees that it has no NIC. */
	zc_mapping_lock();
	TAILQ_FOREACH(mapping, &mappings, next)
		if (mapping->known & iommu->bit) {
			__atomic_fetch_and(&mapping->known, ~iommu->bit, __ATOMIC_RELEASE);
			unmap(mapping, iommu);
		}
	zc_mapping_unlock();
}

bool
zc_mapping_is_lost(const struct zc_mapping *mapping)
{
	return mapping != NULL && zc_lost_is(mapping->range);
}

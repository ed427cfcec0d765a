/* SPDX-License-Identifier: BSD-3-Clause */
/* The IOMMUs that NICs are behind. See iommu.h. */
#include "iommu.h"

#include <errno.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <rte_common.h>
#include <rte_dev.h>
#include <rte_memory.h>
#include <rte_vfio.h>

#include "../core/error.h"
#include "dma.h"
#include "mapping.h"

static struct zc_iommu iommus[ZC_IOMMUS_MAX];

/* ---- the container ---- */

static int
container_map(void *hva, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)hva,
		.iova = iova,
		.size = len,
	};

	return ioctl(rte_vfio_get_container_fd(), VFIO_IOMMU_MAP_DMA, &map) < 0 ? -errno : 0;
}

static int
container_unmap(uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
		.iova = iova,
		.size = len };

	return ioctl(rte_vfio_get_container_fd(), VFIO_IOMMU_UNMAP_DMA, &unmap) < 0 ? -errno : 0;
}

/* ---- a driver's own ---- */

/* EAL keeps a record for each page: the fewer the better, and any size will do. */
static size_t
page_size(const void *hva, size_t len)
{
	uint64_t size = 1ULL << __builtin_ctzll((uintptr_t)hva | len);

	return RTE_MIN(size, 1ULL << 30);
}

static int
own_map(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	/* Several drivers may know it. It stays registered as long as it is mapped here. */
	if (rte_extmem_register(hva, len, NULL, 0, page_size(hva, len)) < 0 && rte_errno != EEXIST)
		return -rte_errno;
	if (rte_dev_dma_map(own, hva, iova, len) < 0)
		return rte_errno != 0 ? -rte_errno : -EIO;
	return 0;
}

static int
own_unmap(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	return rte_dev_dma_unmap(own, hva, iova, len) < 0 ? -rte_errno : 0;
}

static int
map(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	return own != NULL ? own_map(own, hva, iova, len) : container_map(hva, iova, len);
}

static int
unmap(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	return own != NULL ? own_unmap(own, hva, iova, len) : container_unmap(iova, len);
}

struct zc_iommu_calls zc_iommu_calls = { .map = map, .unmap = unmap };

/* ---- NICs that come and go ---- */

static int
is_in_window(const struct rte_memseg_list *msl, const struct rte_memseg *ms, size_t len, void *arg)
{
	(void)arg;
	return !msl->external && ms->iova < ZC_DMA_WINDOW_END &&
			ms->iova + len > ZC_DMA_WINDOW_BEGIN;
}

static struct zc_iommu *
find(struct rte_device *own)
{
	struct zc_iommu *unused = NULL;

	/* The first is the container. */
	iommus[0].bit = 1;
	for (size_t i = 0; i < RTE_DIM(iommus); i++) {
		struct zc_iommu *iommu = &iommus[i];

		if (iommu->bit != 0 && iommu->own == own)
			return iommu;
		if (iommu->nics == 0 && i > 0 && unused == NULL)
			unused = iommu;
	}
	if (unused != NULL) {
		unused->own = own;
		unused->bit = UINT32_C(1) << (unused - iommus);
	}
	return unused;
}

struct zc_iommu *
zc_iommu_by_number(unsigned int number)
{
	return &iommus[number];
}

struct zc_iommu *
zc_iommu_get(struct rte_device *own)
{
	struct zc_iommu *iommu = find(own);

	if (iommu == NULL) {
		rte_errno = ENOSPC;
		return NULL;
	}
	if (own == NULL && rte_memseg_contig_walk(is_in_window, NULL) != 0) {
		rte_errno = EBUSY;
		return NULL;
	}
	zc_mapping_lock();
	iommu->nics++;
	zc_mapping_unlock();
	return iommu;
}

void
zc_iommu_put(struct zc_iommu *iommu)
{
	unsigned int left;

	if (iommu == NULL)
		return;
	zc_mapping_lock();
	left = --iommu->nics;
	iommu->epoch += left == 0;
	zc_mapping_unlock();
	if (left == 0)
		zc_mapping_unmap_all(iommu);
}

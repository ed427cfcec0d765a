/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who translates what NICs read and write: VFIO's container for all NICs on vfio-pci, and drivers
 * that register memory themselves, one each.
 *
 * Calls into the container go past EAL: it keeps no more than 256 mappings (VFIO_MAX_USER_MEM_MAPS
 * in eal_vfio.c), merges only what adjoins here and there alike, maps all of them again on its own
 * when a first NIC comes, and hides the kernel's reason when one fails. The kernel forgets them
 * with the container's last NIC.
 */
#ifndef ZC_GUEST_IOMMU_H
#define ZC_GUEST_IOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_device;

#define ZC_IOMMUS_MAX 32

struct zc_iommu {
	/* control, under zc_mapping_lock() */
	unsigned int nics;  /* that are there */
	unsigned int epoch; /* how often the last one went */
	/* constant while there are any */
	struct rte_device *own; /* whose driver maps memory itself, NULL: the container */
	uint32_t bit;           /* in a mapping's set of those that know it */
};

/** Calls behind it, to be replaced by tests. 0 or a negative errno. */
struct zc_iommu_calls {
	int (*map)(struct rte_device *own, void *hva, uint64_t iova, size_t len);
	int (*unmap)(struct rte_device *own, void *hva, uint64_t iova, size_t len);
};
extern struct zc_iommu_calls zc_iommu_calls;

/**
 * A NIC is there. Runs on: control threads.
 *
 * @param own the NIC when its driver maps memory itself, else NULL
 * @return for zc_iommu_put(); NULL with rte_errno ENOSPC, or EBUSY when EAL's memory lies where
 *   guests' device addresses do
 */
struct zc_iommu *zc_iommu_get(struct rte_device *own);

struct zc_iommu *zc_iommu_by_number(unsigned int number);

/** It is gone, and gave everything back. With the last one all mappings go. NULL is accepted. */
void zc_iommu_put(struct zc_iommu *iommu);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory for NICs that do DMA: device addresses, and the IOMMU's mappings.
 *
 * Device addresses come from a window of our own, one range a mapping, so that they don't depend on
 * where memory is mapped: a 39-bit IOMMU refuses addresses of the kind 0x7f.... Mapping pins memory
 * and takes time, so it is asked for here and done by a thread that holds no lock; until then, and
 * when it failed, the port copies.
 */
#ifndef ZC_GUEST_DMA_H
#define ZC_GUEST_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iommu.h"
#include "map.h"

/** The window: above any memory of the host that a NIC also sees, below 2^39. */
#define ZC_DMA_WINDOW_BEGIN 0x4000000000ULL
#define ZC_DMA_WINDOW_END 0x8000000000ULL
/** What doesn't fit goes above it, which needs an IOMMU of 48 bits. */
#define ZC_DMA_HIGH_END 0x400000000000ULL

/** Take a range of the window. @return its address, 0 when the window is full */
uint64_t zc_dma_range_take(size_t len);
void zc_dma_range_give(uint64_t iova, size_t len);

/** Make @p map known to @p iommu some time soon, unless it is. Runs on: control threads. */
void zc_dma_request(struct zc_map *map, const struct zc_iommu *iommu);

/** True once the NICs behind @p iommu can reach every region of @p map. */
bool zc_dma_is_ready(const struct zc_map *map, const struct zc_iommu *iommu);

/** Why @p map couldn't be mapped last, with the way out, NULL: it could, or wasn't tried yet. */
const char *zc_dma_failure(const struct zc_map *map);

/** Do what was requested. Runs on: housekeeping, without the control lock. */
void zc_dma_work(void);

#endif

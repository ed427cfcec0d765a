/* SPDX-License-Identifier: BSD-3-Clause */
/* One mmap of a guest's file, shared by every map that has the region. */
#ifndef ZC_GUEST_MAPPING_H
#define ZC_GUEST_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "iommu.h"
#include "map.h"

/** Can the region be mapped from the file? 0 or what zc_fail() gave. */
int zc_mapping_check(const struct zc_region_desc *desc);

/** Map a region. @return with one reference, or NULL with rte_errno */
struct zc_mapping *zc_mapping_create(const struct zc_region_desc *desc);

/** Is it a mapping of these very bytes? */
bool zc_mapping_is_of(const struct zc_mapping *mapping, const struct zc_region_desc *desc);

struct zc_mapping *zc_mapping_get(struct zc_mapping *mapping);
void zc_mapping_put(struct zc_mapping *mapping);

/** Where the region begins. */
uint8_t *zc_mapping_hva(const struct zc_mapping *mapping);

/** Its device address; 0 when the window was full. */
uint64_t zc_mapping_iova(const struct zc_mapping *mapping);

/** @name NICs. An IOMMU may go while housekeeping maps memory in it. */
/**@{*/
/**
 * Make it known to an IOMMU, unless it is. After a failure it is tried again a second later.
 *
 * Runs on: housekeeping.
 */
void zc_mapping_map(struct zc_mapping *mapping, const struct zc_iommu *iommu);

/** Can the NICs behind @p iommu reach it? Any thread. NULL, memory of somebody else: no */
bool zc_mapping_is_known(const struct zc_mapping *mapping, const struct zc_iommu *iommu);

/** Why it couldn't be mapped last: a negative errno, 0: it could, or wasn't tried. Any thread. */
int zc_mapping_error(const struct zc_mapping *mapping);

/** @p iommu has no NIC any more: it forgets everything. Runs on: control threads. */
void zc_mapping_unmap_all(const struct zc_iommu *iommu);

/** What zc_iommu.nics and the list of mappings are changed under. */
void zc_mapping_lock(void);
void zc_mapping_unlock(void);
/**@}*/

/** Has the file behind it shrunk, or lost pages? Any thread. NULL: no */
bool zc_mapping_is_lost(const struct zc_mapping *mapping);

#endif

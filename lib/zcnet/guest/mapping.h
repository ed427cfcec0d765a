/* SPDX-License-Identifier: BSD-3-Clause */
/* One mmap of a guest's file, shared by every map that has the region. */
#ifndef ZC_GUEST_MAPPING_H
#define ZC_GUEST_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"

/** Does the file hold the region? 0 or what zc_fail() gave. */
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

/** Make it reachable for NICs, once. 0 or a negative errno, logged once a mapping. */
int zc_mapping_map_dma(struct zc_mapping *mapping);

/** Can NICs reach it? Any thread. NULL, memory of somebody else: no */
bool zc_mapping_has_dma(const struct zc_mapping *mapping);

/** Has the file behind it shrunk, or lost pages? Any thread. NULL: no */
bool zc_mapping_is_lost(const struct zc_mapping *mapping);

#endif

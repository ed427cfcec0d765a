/* SPDX-License-Identifier: BSD-3-Clause */
/* Every difference between the DPDK versions that zcnet builds with: 22.11 and 24.11. */
#ifndef ZC_CORE_COMPAT_H
#define ZC_CORE_COMPAT_H

#include <rte_mbuf.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "zcnet needs DPDK 22.11 or newer"
#endif

#endif

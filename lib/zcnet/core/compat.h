/* SPDX-License-Identifier: BSD-3-Clause */
/* Every difference between the DPDK versions that zcnet builds with: 22.11 and 24.11. */
#ifndef ZC_CORE_COMPAT_H
#define ZC_CORE_COMPAT_H

/* Powers of two are in rte_common.h, and from 24.11 on in rte_bitops.h. */
#include <rte_bitops.h>
#include <rte_common.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "zcnet needs DPDK 22.11 or newer"
#endif

/*
 * Bytes of the largest payload that librte_vhost has room for in struct vhu_msg_context, behind
 * which the file descriptors lie (lib/vhost/vhost_user.h). A session of crypto is the largest; it
 * grew with DPDK 25.03.
 */
#if RTE_VERSION < RTE_VERSION_NUM(25, 3, 0, 0)
#define ZC_VHOST_PAYLOAD_MAX 632
#else
#define ZC_VHOST_PAYLOAD_MAX 1072
#endif

#endif

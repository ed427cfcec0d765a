/* SPDX-License-Identifier: BSD-3-Clause */
/* The mempool ops "zcnet_guest". */
#ifndef ZCNET_MEMPOOL_GUEST_H
#define ZCNET_MEMPOOL_GUEST_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Register the mempool ops "zcnet_guest". Once, after rte_eal_init(); a second call does nothing.
 *
 * Not done by a constructor: mempool ops are numbered in order of registration, and a number
 * that shifts breaks secondary processes that were built without this driver, such as dpdk-
 * dumpcap.
 *
 * @return 0, or -ENOSPC when the process has RTE_MEMPOOL_MAX_OPS_IDX ops already
 */
int zcnet_mempool_guest_register(void);

#ifdef __cplusplus
}
#endif

#endif

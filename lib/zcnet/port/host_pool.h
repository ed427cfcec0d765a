/* SPDX-License-Identifier: BSD-3-Clause */
/* Ordinary mbufs for copies, one mempool a NUMA node. */
#ifndef ZC_PORT_HOST_POOL_H
#define ZC_PORT_HOST_POOL_H

#include <rte_mempool.h>

/**
 * The pool of @p socket, created at the first call; NULL with rte_errno. Runs on: control
 * threads.
 */
struct rte_mempool *zc_host_pool(int socket);

/** Free all of them. No mbuf may be out. */
void zc_host_pool_fini(void);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ordinary mbufs for copies, of mempools on each NUMA node.
 *
 * Most drivers keep what they sent until its descriptor is used again, so what NICs may hold is
 * reserved: else NICs that are silent would hold what their neighbours need.
 */
#ifndef ZC_PORT_HOST_POOL_H
#define ZC_PORT_HOST_POOL_H

#include <rte_mempool.h>

/**
 * A mempool of @p socket, or of any for SOCKET_ID_ANY, with @p held mbufs that nobody else
 * reserved, beside those that are under way. Lives until zc_host_pool_fini(). NULL: zc_fail().
 * Lock held.
 */
struct rte_mempool *zc_host_pool_reserve(int socket, unsigned int held);

/** Others may reserve them: the NIC holds none any more. Lock held. */
void zc_host_pool_unreserve(const struct rte_mempool *mp, unsigned int held);

/** Free all of them. No mbuf may be out. */
void zc_host_pool_fini(void);

#endif

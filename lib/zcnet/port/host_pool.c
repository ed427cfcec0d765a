/* SPDX-License-Identifier: BSD-3-Clause */
/* Ordinary mbufs for copies. */
#include "host_pool.h"

#include <stdio.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "../core/error.h"

#define HOST_MBUFS 8191
#define HOST_CACHE 256

static struct rte_mempool *pool[RTE_MAX_NUMA_NODES];

struct rte_mempool *
zc_host_pool(int socket)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	unsigned int node = socket >= 0 && socket < RTE_MAX_NUMA_NODES ? (unsigned int)socket : 0;

	if (pool[node] != NULL)
		return pool[node];
	snprintf(name, sizeof(name), "host_%u", node);
	pool[node] = rte_pktmbuf_pool_create(name, HOST_MBUFS, HOST_CACHE, 0,
			RTE_MBUF_DEFAULT_BUF_SIZE, socket);
	if (pool[node] == NULL)
		zc_fail(rte_errno, "%u host buffers on node %u: %s; give EAL more memory (-m)",
				HOST_MBUFS, node, rte_strerror(rte_errno));
	return pool[node];
}

void
zc_host_pool_fini(void)
{
	for (unsigned int i = 0; i < RTE_MAX_NUMA_NODES; i++) {
		if (pool[i] != NULL && !rte_mempool_full(pool[i]))
			ZC_LOG(WARNING, "pool %s: %u host buffers are still out", pool[i]->name,
					rte_mempool_in_use_count(pool[i]));
		rte_mempool_free(pool[i]);
		pool[i] = NULL;
	}
}

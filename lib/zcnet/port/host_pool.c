/* SPDX-License-Identifier: BSD-3-Clause */
/* Ordinary mbufs for copies. */
#include "host_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "../core/error.h"

#define HOST_MBUFS 8191u
#define HOST_CACHE 256
/* Of each pool for frames under way: bursts, and what lcores keep. */
#define UNDER_WAY 4096u

struct host_pool {
	struct rte_mempool *mp;
	int socket;
	unsigned int held, held_most;
	TAILQ_ENTRY(host_pool) next;
};

static TAILQ_HEAD(, host_pool) pools = TAILQ_HEAD_INITIALIZER(pools);
static unsigned int serial;

static struct host_pool *
find(int socket, unsigned int held)
{
	struct host_pool *pool;

	TAILQ_FOREACH(pool, &pools, next)
		if ((socket == SOCKET_ID_ANY || pool->socket == socket) &&
				pool->held_most - pool->held >= held)
			return pool;
	return NULL;
}

static struct host_pool *
create(int socket, unsigned int held)
{
	unsigned int size = RTE_MAX(HOST_MBUFS, held + UNDER_WAY);
	struct host_pool *pool = calloc(1, sizeof(*pool));
	char name[RTE_MEMPOOL_NAMESIZE];

	if (pool == NULL) {
		zc_fail(ENOMEM, "out of memory");
		return NULL;
	}
	*pool = (struct host_pool){ .socket = socket, .held_most = size - UNDER_WAY };
	snprintf(name, sizeof(name), "host_%u", serial);
	pool->mp = rte_pktmbuf_pool_create(name, size, HOST_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
			socket);
	if (pool->mp == NULL) {
		zc_fail(rte_errno, "%u host buffers on node %d: %s; give EAL more memory (-m)",
				size, socket, rte_strerror(rte_errno));
		free(pool);
		return NULL;
	}
	serial++;
	TAILQ_INSERT_TAIL(&pools, pool, next);
	return pool;
}

struct rte_mempool *
zc_host_pool_reserve(int socket, unsigned int held)
{
	struct host_pool *pool = find(socket, held);

	if (pool == NULL)
		pool = create(socket, held);
	if (pool == NULL)
		return NULL;
	pool->held += held;
	return pool->mp;
}

void
zc_host_pool_unreserve(const struct rte_mempool *mp, unsigned int held)
{
	struct host_pool *pool;

	TAILQ_FOREACH(pool, &pools, next)
		if (pool->mp == mp)
			pool->held -= held;
}

void
zc_host_pool_fini(void)
{
	struct host_pool *pool;

	while ((pool = TAILQ_FIRST(&pools)) != NULL) {
		TAILQ_REMOVE(&pools, pool, next);
		if (!rte_mempool_full(pool->mp))
			ZC_LOG(WARNING, "pool %s: %u host buffers are still out", pool->mp->name,
					rte_mempool_in_use_count(pool->mp));
		rte_mempool_free(pool->mp);
		free(pool);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mempools of mbufs that point at memory which is not theirs.
 *
 * One kind of pool for both ways: pinned external buffers, no cache, mbufs that also own a host
 * buffer each. What it means to take an mbuf from the pool and to give one back is up to the
 * pool's owner: zcopy/tx.c (an mbuf is a segment slot, coming back is its completion) and
 * zcopy/ctor.c (the page constructor). The mempool ops driver in drivers/mempool/guest forwards
 * its calls to the four functions at the end.
 */
#ifndef ZC_ZCOPY_POOL_H
#define ZC_ZCOPY_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "../core/export.h"

/** Name of the mempool ops that drivers/mempool/guest registers. */
#define ZC_POOL_OPS "zcnet_guest"

/**
 * Private state of an mbuf, in host memory behind struct rte_mbuf. Nothing of it is ever in
 * memory the guest writes.
 */
struct zc_priv {
	struct rte_mbuf_ext_shared_info shinfo; /* read by every free of a pinned mbuf */
	uint32_t index;                         /* of the mbuf in its pool */
	uint32_t armed;  /* ctor: points at a guest buffer, zc_armed() says which; 0: it doesn't */
	uint8_t in_nic;  /* ctor: handed to the driver and not yet received */
	void *host_addr; /* the mbuf's own buffer, headroom included; NULL without one */
	rte_iova_t host_iova;
} __rte_cache_aligned;

/** Armed with the buffer at ring position @p pos, of the guest's map of generation @p gen. */
static inline uint32_t
zc_armed(uint8_t gen, uint16_t pos)
{
	return 1u << 31 | (uint32_t)gen << 16 | pos;
}

static inline uint8_t
zc_armed_gen(uint32_t armed)
{
	return armed >> 16;
}

static inline uint16_t
zc_armed_pos(uint32_t armed)
{
	return armed;
}

/** Of whatever generation. */
static inline bool
zc_is_armed_at(uint32_t armed, uint16_t pos)
{
	return (armed & ~(0xffu << 16)) == zc_armed(0, pos);
}

static inline struct zc_priv *
zc_priv(struct rte_mbuf *m)
{
	return (struct zc_priv *)(m + 1);
}

struct zc_pool;

/** What a pool's owner does; called on whichever lcore frees or allocates. */
struct zc_pool_calls {
	/** Fill all of @p obj or, without touching it, return -ENOBUFS. */
	int (*dequeue)(struct zc_pool *pool, struct rte_mbuf **obj, unsigned int n);
	void (*enqueue)(struct zc_pool *pool, struct rte_mbuf *const *obj, unsigned int n);
	/** Free mbufs; plausible, and never 0: netvsc sizes its ring by it. */
	unsigned int (*count)(const struct zc_pool *pool);
};

struct zc_pool {
	const struct zc_pool_calls *calls;
	struct rte_mempool *mp;
	struct rte_mbuf **mbuf; /* [size], by index */
	/* [size]: set with release order when an mbuf comes back; NULL: calls->enqueue does it */
	uint8_t *back;
	uint32_t size;
	uint32_t filled; /* objects collected while the mempool is being populated */
	bool ready;      /* populated: objects are mbufs from here on */
};

struct zc_pool_conf {
	const char *name;  /* of the mempool, unique in the process */
	uint32_t size;     /* mbufs */
	uint32_t room;     /* bytes of the host buffer of each, headroom included, 0: none */
	uint16_t capacity; /* data bytes that drivers may count on, behind RTE_PKTMBUF_HEADROOM */
	int socket;        /* NUMA node or SOCKET_ID_ANY */
	const struct zc_pool_calls *calls;
	uint8_t *back; /* see struct zc_pool */
};

/**
 * Create a pool. Runs on: control threads.
 *
 * @return 0; -ENOENT when the mempool ops are not registered; -ENOMEM, -EEXIST from rte_mempool
 */
int zc_pool_init(struct zc_pool *pool, const struct zc_pool_conf *conf);

/** Free a pool. All its mbufs must be back. A zeroed pool is accepted. */
void zc_pool_fini(struct zc_pool *pool);

/** @name The mempool ops, called by drivers/mempool/guest. */
/**@{*/
ZC_EXPORT int zc_pool_ops_alloc(struct rte_mempool *mp);
ZC_EXPORT int zc_pool_ops_enqueue(struct rte_mempool *mp, void *const *obj, unsigned int n);
ZC_EXPORT int zc_pool_ops_dequeue(struct rte_mempool *mp, void **obj, unsigned int n);
ZC_EXPORT unsigned int zc_pool_ops_count(const struct rte_mempool *mp);
/**@}*/

#endif

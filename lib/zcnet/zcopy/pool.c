/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Building the mempools of pool.h: rte_pktmbuf_pool_create_extbuf() can't be told which mempool
 * ops to use.
 */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>

#include "../core/error.h"

/* The last reference was a clone's: the mbuf itself, freed before, goes back now. */
static void
clone_gone(void *addr, void *opaque)
{
	struct rte_mbuf *m = opaque;

	(void)addr;
	rte_mbuf_ext_refcnt_set(m->shinfo, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->next = NULL;
	m->nb_segs = 1;
	rte_mbuf_refcnt_set(m, 1);
	rte_mbuf_raw_free(m);
}

static void
mbuf_init(struct rte_mempool *mp, void *arg, void *obj, unsigned int index)
{
	const struct zc_pool_conf *conf = arg;
	struct rte_mbuf *m = obj;
	struct zc_priv *priv = zc_priv(m);

	memset(m, 0, sizeof(*m) + sizeof(*priv));
	priv->shinfo.free_cb = clone_gone;
	priv->shinfo.fcb_opaque = m;
	rte_mbuf_ext_refcnt_set(&priv->shinfo, 1);
	priv->index = index;
	if (conf->room > 0) {
		priv->host_addr = priv + 1;
		priv->host_iova = rte_mempool_virt2iova(m) + sizeof(*m) + sizeof(*priv);
	}
	m->priv_size = sizeof(*priv);
	m->buf_addr = priv->host_addr;
	m->buf_iova = priv->host_iova;
	m->buf_len = RTE_PKTMBUF_HEADROOM + conf->capacity;
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->pool = mp;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->shinfo = &priv->shinfo;
	rte_mbuf_refcnt_set(m, 1);
	((struct zc_pool *)mp->pool_data)->mbuf[index] = m;
}

int
zc_pool_init(struct zc_pool *pool, const struct zc_pool_conf *conf)
{
	struct rte_pktmbuf_pool_private priv = {
		.mbuf_data_room_size = RTE_PKTMBUF_HEADROOM + conf->capacity,
		.mbuf_priv_size = sizeof(struct zc_priv),
		.flags = RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF,
	};
	uint32_t elt_size = sizeof(struct rte_mbuf) + sizeof(struct zc_priv) + conf->room;
	int ret;

	memset(pool, 0, sizeof(*pool));
	pool->calls = conf->calls;
	pool->back = conf->back;
	pool->size = conf->size;
	pool->mbuf = calloc(conf->size, sizeof(pool->mbuf[0]));
	if (pool->mbuf == NULL)
		return zc_fail(ENOMEM, "pool %s: out of memory", conf->name);
	/* No cache: vector receive paths take from a cache behind our back and in LIFO order. */
	pool->mp = rte_mempool_create_empty(conf->name, conf->size, elt_size, 0, sizeof(priv),
			conf->socket, 0);
	if (pool->mp == NULL) {
		ret = zc_fail(rte_errno, "pool %s: %s", conf->name, rte_strerror(rte_errno));
		goto free_mbuf;
	}
	ret = rte_mempool_set_ops_byname(pool->mp, ZC_POOL_OPS, pool);
	if (ret < 0) {
		ret = zc_fail(ENOENT, "pool %s: no mempool ops '%s': register them first",
				conf->name, ZC_POOL_OPS);
		goto free_mp;
	}
	rte_pktmbuf_pool_init(pool->mp, &priv);
	ret = rte_mempool_populate_default(pool->mp);
	if (ret < 0) {
		ret = zc_fail(-ret, "pool %s: %u mbufs of %u bytes: %s; give EAL more memory (-m)",
				conf->name, conf->size, elt_size, rte_strerror(-ret));
		goto free_mp;
	}
	rte_mempool_obj_iter(pool->mp, mbuf_init, (void *)(uintptr_t)conf);
	pool->ready = true;
	return 0;

free_mp:
	rte_mempool_free(pool->mp);
free_mbuf:
	free(pool->mbuf);
	memset(pool, 0, sizeof(*pool));
	return ret;
}

void
zc_pool_fini(struct zc_pool *pool)
{
	pool->ready = false;
	rte_mempool_free(pool->mp);
	free(pool->mbuf);
	memset(pool, 0, sizeof(*pool));
}

int
zc_pool_ops_alloc(struct rte_mempool *mp)
{
	mp->pool_data = mp->pool_config;
	return mp->pool_data != NULL ? 0 : -EINVAL;
}

int
zc_pool_ops_enqueue(struct rte_mempool *mp, void *const *obj, unsigned int n)
{
	struct zc_pool *pool = mp->pool_data;

	if (unlikely(!pool->ready)) {
		pool->filled += n;
		return 0;
	}
	if (pool->back == NULL) {
		pool->calls->enqueue(pool, (struct rte_mbuf *const *)obj, n);
		return 0;
	}
	for (unsigned int i = 0; i < n; i++)
		/* Release: the NIC is done with the buffer before the owner can see it back. */
		__atomic_store_n(&pool->back[zc_priv(obj[i])->index], 1, __ATOMIC_RELEASE);
	return 0;
}

int
zc_pool_ops_dequeue(struct rte_mempool *mp, void **obj, unsigned int n)
{
	struct zc_pool *pool = mp->pool_data;

	if (unlikely(!pool->ready)) {
		/* rte_mempool_free() takes every object out once. */
		for (unsigned int i = 0; i < n; i++)
			obj[i] = pool->mbuf[--pool->filled];
		return 0;
	}
	return pool->calls->dequeue(pool, (struct rte_mbuf **)obj, n);
}

unsigned int
zc_pool_ops_count(const struct rte_mempool *mp)
{
	const struct zc_pool *pool = mp->pool_data;

	return pool->ready ? pool->calls->count(pool) : pool->filled;
}

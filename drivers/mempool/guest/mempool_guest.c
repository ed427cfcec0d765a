/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page constructor as DPDK sees it: a mempool ops driver. All it does is forward; taking a
 * buffer from a guest and giving one back are in zcopy/.
 */
#include "zcnet_mempool_guest.h"

#include <rte_mempool.h>

#include "pool.h"

static void
guest_free(struct rte_mempool *mp)
{
	/* The pool structure belongs to whoever created it. */
	mp->pool_data = NULL;
}

static const struct rte_mempool_ops guest_ops = {
	.name = ZC_POOL_OPS,
	.alloc = zc_pool_ops_alloc,
	.free = guest_free,
	.enqueue = zc_pool_ops_enqueue,
	.dequeue = zc_pool_ops_dequeue,
	.get_count = zc_pool_ops_count,
};

ZC_EXPORT int
zcnet_mempool_guest_register(void)
{
	static bool registered;
	int ret;

	if (registered)
		return 0;
	ret = rte_mempool_register_ops(&guest_ops);
	if (ret < 0)
		return ret;
	registered = true;
	return 0;
}

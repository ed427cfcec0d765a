/* SPDX-License-Identifier: BSD-3-Clause */
/* Dispensing guest buffers to a NIC queue, and taking them back. See ctor.h for the rule. */
#include "ctor.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_lcore.h>

#include "../core/error.h"
#include "rx.h"

static void
dispense_bounce(struct rte_mbuf *m)
{
	struct zc_priv *priv = zc_priv(m);

	m->buf_addr = priv->host_addr;
	m->buf_iova = priv->host_iova;
}

/* In step, and buffers as they should be: nothing to decide for each. @return mbufs armed */
static unsigned int
dispense_run(struct zc_ctor *ctor, struct zc_rx *rx, struct rte_mbuf *const *obj, unsigned int n)
{
	if (zc_rx_undone(rx) != ctor->in_nic)
		return 0;
	n = zc_rx_arm_run(rx, ctor, obj, RTE_MIN(n, (unsigned int)UINT16_MAX));
	ctor->armed += n;
	ctor->in_nic += n;
	return n;
}

/* Any state. */
static void
dispense(struct zc_ctor *ctor, struct zc_rx *rx, struct rte_mbuf *m)
{
	struct zc_seg seg;

	/* Bounces ahead of us that have no chain yet come first. */
	while (zc_rx_undone(rx) < ctor->in_nic && zc_rx_take_hole(rx))
		;
	if (zc_rx_undone(rx) == ctor->in_nic && zc_rx_take_armed(rx, ctor, &seg) == ZC_RX_ARMED) {
		zc_arm(m, seg.hva, seg.iova, zc_armed(ctor->gen, rx->vq.next_avail - 1));
		ctor->armed++;
	} else {
		dispense_bounce(m);
	}
	ctor->in_nic++;
}

/* Host buffers, of which those for the second ring don't count: no frame will come in them. */
static int
dispense_at_start(struct zc_ctor *ctor, struct rte_mbuf **obj, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		obj[i] = ctor->free[--ctor->nfree];
		dispense_bounce(obj[i]);
		if (ctor->in_nic == ctor->park_after)
			continue;
		zc_priv(obj[i])->in_nic = 1;
		ctor->in_nic++;
	}
	return 0;
}

static int
ctor_dequeue(struct zc_pool *pool, struct rte_mbuf **obj, unsigned int n)
{
	struct zc_ctor *ctor = container_of(pool, struct zc_ctor, pool);
	struct zc_rx *rx = __atomic_load_n(&ctor->rx, __ATOMIC_ACQUIRE);
	unsigned int i;

	if (unlikely(!rte_ring_empty(ctor->returns)))
		zc_ctor_collect(ctor);
	if (unlikely(ctor->nfree < n))
		return -ENOBUFS;
	if (unlikely(ctor->park_after > 0))
		return dispense_at_start(ctor, obj, n);
	for (i = 0; i < n; i++) {
		obj[i] = ctor->free[--ctor->nfree];
		zc_priv(obj[i])->in_nic = 1;
	}
	i = 0;
	while (rx != NULL && !ctor->disarmed && i < n) {
		unsigned int run = dispense_run(ctor, rx, obj + i, n - i);

		i += run;
		if (run == 0)
			dispense(ctor, rx, obj[i++]);
	}
	ctor->armed_peak = RTE_MAX(ctor->armed_peak, ctor->armed);
	for (; i < n; i++) {
		dispense_bounce(obj[i]);
		ctor->in_nic++;
	}
	return 0;
}

/* An mbuf comes back that was not delivered in place. */
static void
take_back(struct zc_ctor *ctor, struct rte_mbuf *m)
{
	struct zc_priv *priv = zc_priv(m);

	if (priv->in_nic) {
		priv->in_nic = 0;
		ctor->in_nic--;
	}
	if (priv->armed) {
		ctor->armed_old -= zc_armed_gen(priv->armed) != ctor->gen;
		ctor->armed--;
		if (ctor->bound != NULL)
			zc_rx_disarmed(ctor->bound, zc_armed_pos(priv->armed));
		priv->armed = 0;
	}
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	ctor->free[ctor->nfree++] = m;
}

static void
ctor_enqueue(struct zc_pool *pool, struct rte_mbuf *const *obj, unsigned int n)
{
	struct zc_ctor *ctor = container_of(pool, struct zc_ctor, pool);

	if (likely(rte_lcore_id() == ctor->owner)) {
		for (unsigned int i = 0; i < n; i++)
			take_back(ctor, obj[i]);
		return;
	}
	/* The ring holds every mbuf of the pool: this can't fail. */
	rte_ring_mp_enqueue_bulk(ctor->returns, (void *const *)obj, n, NULL);
}

static unsigned int
ctor_count(const struct zc_pool *pool)
{
	const struct zc_ctor *ctor = container_of(pool, const struct zc_ctor, pool);

	return ctor->nfree > 0 ? ctor->nfree : 1;
}

static const struct zc_pool_calls ctor_calls = {
	.dequeue = ctor_dequeue,
	.enqueue = ctor_enqueue,
	.count = ctor_count,
};

int
zc_ctor_init(struct zc_ctor *ctor, const char *name, uint32_t size, uint16_t capacity, int socket)
{
	const struct zc_pool_conf conf = {
		.name = name,
		.size = size,
		.room = RTE_ALIGN_CEIL(RTE_PKTMBUF_HEADROOM + capacity, RTE_CACHE_LINE_SIZE),
		.capacity = capacity,
		.socket = socket,
		.calls = &ctor_calls,
	};
	char ring_name[RTE_RING_NAMESIZE];
	int ret;

	memset(ctor, 0, sizeof(*ctor));
	ctor->capacity = capacity;
	ctor->owner = LCORE_ID_ANY - 1;
	ret = zc_pool_init(&ctor->pool, &conf);
	if (ret < 0)
		return ret;
	snprintf(ring_name, sizeof(ring_name), "%.24s", name);
	ctor->free = calloc(size, sizeof(ctor->free[0]));
	ctor->returns = rte_ring_create(ring_name, rte_align32pow2(size + 1), socket,
			RING_F_SC_DEQ);
	if (ctor->free == NULL || ctor->returns == NULL) {
		zc_pool_fini(&ctor->pool);
		rte_ring_free(ctor->returns);
		free(ctor->free);
		return zc_fail(ENOMEM, "pool %s: out of memory", name);
	}
	for (uint32_t i = 0; i < size; i++)
		ctor->free[ctor->nfree++] = ctor->pool.mbuf[i];
	return 0;
}

void
zc_ctor_fini(struct zc_ctor *ctor)
{
	if (ctor->pool.mp == NULL)
		return;
	zc_ctor_collect(ctor);
	if (ctor->nfree < ctor->pool.size) {
		ZC_LOG(ERR, "pool %s: %u mbufs are still out; it is kept", ctor->pool.mp->name,
				ctor->pool.size - ctor->nfree);
		return;
	}
	zc_pool_fini(&ctor->pool);
	rte_ring_free(ctor->returns);
	free(ctor->free);
	memset(ctor, 0, sizeof(*ctor));
}

/* The buffers are behind host mbufs that are nobody's here. */
static __rte_noinline void
received_split(struct zc_ctor *ctor, struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *buf = pkts[i]->next;

		if (buf == NULL)
			continue;
		buf->ol_flags = RTE_MBUF_F_EXTERNAL;
		zc_priv(buf)->in_nic = 0;
		ctor->in_nic--;
		if (buf->data_len > 0)
			continue;
		pkts[i]->next = NULL;
		pkts[i]->nb_segs = 1;
		rte_pktmbuf_free_seg(buf);
	}
}

void
zc_ctor_received(struct zc_ctor *ctor, struct rte_mbuf **pkts, uint16_t n)
{
	if (unlikely(ctor->split > 0)) {
		received_split(ctor, pkts, n);
		return;
	}
	for (uint16_t i = 0; i < n; i++) {
		pkts[i]->ol_flags |= RTE_MBUF_F_EXTERNAL;
		zc_priv(pkts[i])->in_nic = 0;
	}
	ctor->in_nic -= n;
}

void
zc_ctor_collect(struct zc_ctor *ctor)
{
	struct rte_mbuf *m;

	while (rte_ring_sc_dequeue(ctor->returns, (void **)&m) == 0)
		take_back(ctor, m);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both queues of a fake guest, served by the library: for tests that go by a rule and not by a
 * function. Interrupts go to eventfds that are counted.
 */
#ifndef PAIR_RIG_H
#define PAIR_RIG_H

#include "rig.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_ether.h>

#include "eal.h"
#include "zcopy/rx.h"
#include "zcopy/tx.h"

#define PAIR_MBUFS 4096

struct pair {
	struct rte_mempool *mp;
	struct fake_guest *g;
	struct gqueue *txq, *rxq;
	struct zc_map *map;
	int tx_call, rx_call;
	struct zc_tx tx;
	struct zc_rx rx;
};

/** Serve the rings from where they are. */
static inline void
pair_attach(struct pair *p)
{
	struct zc_vq_conf tx = rig_vq_conf(p->txq, p->map), rx = rig_vq_conf(p->rxq, p->map);

	tx.callfd = p->tx_call;
	rx.callfd = p->rx_call;
	assert_int_equal(zc_tx_attach(&p->tx, &tx), 0);
	assert_int_equal(zc_rx_attach(&p->rx, &rx,
					 p->rxq->conf.features & BIT(VIRTIO_NET_F_MRG_RXBUF)),
			0);
}

static inline void
pair_detach(struct pair *p)
{
	zc_tx_complete(&p->tx, 0);
	zc_tx_detach(&p->tx);
	zc_rx_detach(&p->rx);
}

/** A guest like the default one, but for what is not 0. */
static inline void
pair_init(struct pair *p, uint16_t ring_size, uint64_t without)
{
	struct rte_mempool *mp = p->mp;

	memset(p, 0, sizeof(*p));
	p->mp = mp;
	p->g = rig_guest(ring_size, 0, without);
	p->txq = fake_guest_tx(p->g, 0);
	p->rxq = fake_guest_rx(p->g, 0);
	p->map = rig_map(&p->g->mem);
	p->tx_call = eventfd(0, EFD_NONBLOCK);
	p->rx_call = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(zc_tx_init(&p->tx, unit_pool_name(), mp, SOCKET_ID_ANY), 0);
	p->tx.limits = (struct zc_tx_limits){ .threshold = 256,
		.frame_max = 65535,
		.frame_min = RTE_ETHER_HDR_LEN,
		.out_max = ZC_TX_SLOTS,
		.segs_max = 1024,
		.copy = ZC_TX_ATTACH };
	pair_attach(p);
	p->rx.copy_counter = ZCNET_Q_copy_foreign;
	p->rx.full = ZCNET_RX_FULL_DROP;
}

static inline void
pair_fini(struct pair *p)
{
	pair_detach(p);
	assert_true(zc_tx_fini(&p->tx));
	assert_int_equal(rte_mempool_avail_count(p->mp), PAIR_MBUFS);
	zc_map_put(p->map);
	fake_guest_destroy(p->g);
	close(p->tx_call);
	close(p->rx_call);
}

/** What a device reset does. */
static inline void
pair_reset(struct pair *p)
{
	pair_detach(p);
	gqueue_reset(p->txq);
	gqueue_reset(p->rxq);
	pair_attach(p);
}

static inline void
pair_pattern(uint8_t *frame, uint32_t len, unsigned int seed)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed * 31 + i + (i >> 8));
}

static inline void
pair_same(const struct rte_mbuf *m, const uint8_t *frame, uint32_t len)
{
	assert_int_equal(m->pkt_len, len);
	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next) {
		assert_memory_equal(rte_pktmbuf_mtod(seg, void *), frame, seg->data_len);
		frame += seg->data_len;
	}
}

/** @name As the calls of the library, in the turn after what earlier chains cost was paid. */
/**@{*/
static inline uint16_t
pair_take(struct pair *p, struct rte_mbuf **m, uint16_t n)
{
	while (p->tx.debt > 0)
		assert_int_equal(zc_tx_take(&p->tx, m, n), 0);
	return zc_tx_take(&p->tx, m, n);
}

static inline uint16_t
pair_put(struct pair *p, struct rte_mbuf **m, uint16_t n)
{
	uint16_t taken;

	while (p->rx.debt > 0)
		assert_int_equal(zc_rx_put(&p->rx, m, n), 0);
	taken = zc_rx_put(&p->rx, m, n);
	zc_rx_notify(&p->rx);
	return taken;
}
/**@}*/

/** The frame goes from guest to switch as it is, and its buffers come back. @return its flags */
static inline uint64_t
pair_sends(struct pair *p, const struct layout *l, const struct virtio_net_hdr_mrg_rxbuf *hdr,
		uint32_t len)
{
	static uint8_t frame[65536];
	struct rte_mbuf *m;
	uint64_t flags;
	int id;

	pair_pattern(frame, len, len);
	id = gqueue_tx_frame(p->txq, l, hdr, frame, len);
	if (id < 0)
		fail_msg("frame of %u bytes, layout %s: %d", len, l->name, id);
	drv_ring_publish(&p->txq->ring);
	assert_int_equal(pair_take(p, &m, 1), 1);
	pair_same(m, frame, len);
	flags = m->ol_flags & ~RTE_MBUF_F_EXTERNAL;
	rte_pktmbuf_free(m);
	zc_tx_complete(&p->tx, 0);
	if (gqueue_tx_reclaim(p->txq) != 1)
		fail_msg("layout %s: %s", l->name, p->txq->err);
	return flags;
}

static inline struct rte_mbuf *
pair_mbuf(struct pair *p, uint32_t len, unsigned int seed)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->mp);

	assert_non_null(m);
	pair_pattern((uint8_t *)rte_pktmbuf_append(m, len), len, seed);
	return m;
}

/** A frame of up to 2000 bytes to the guest. */
static inline void
pair_puts(struct pair *p, uint32_t len, unsigned int seed)
{
	struct rte_mbuf *m = pair_mbuf(p, len, seed);

	assert_int_equal(pair_put(p, &m, 1), 1);
}

/** The guest has it. @return buffers that it lies in, by its header */
static inline unsigned int
pair_gets(struct pair *p, uint32_t len, unsigned int seed)
{
	static uint8_t want[65536], got[65536];
	struct virtio_net_hdr_mrg_rxbuf hdr = { 0 };
	int ret = gqueue_rx_frame(p->rxq, got, sizeof(got), &hdr);

	if (ret != (int)len)
		fail_msg("%d instead of %u bytes: %s", ret, len, p->rxq->err);
	pair_pattern(want, len, seed);
	assert_memory_equal(got, want, len);
	return hdr.num_buffers;
}

static inline void
pair_posts(struct pair *p, uint32_t len, const struct layout *l)
{
	int ret = gqueue_rx_post(p->rxq, len, l);

	if (ret < 0)
		fail_msg("post %u bytes, %s: %d", len, l->name, ret);
	drv_ring_publish(&p->rxq->ring);
}

/** Notifications since the last call. */
static inline uint64_t
pair_calls(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/** Of any buffers, on a queue of the guest's. */
static inline int
pair_raw(struct gqueue *q, const struct drv_buf *buf, unsigned int n)
{
	int id = gqueue_post_raw(q, gqueue_slot_take(q), buf, n, DRV_ALL_DIRECT);

	assert_true(id >= 0);
	drv_ring_publish(&q->ring);
	return id;
}

/** A chain that was posted is dropped and given back, and the queue lives. */
static inline void
pair_drops(struct pair *p)
{
	uint64_t bad = p->tx.counters.value[ZCNET_Q_drop_bad_chain] +
			p->tx.counters.value[ZCNET_Q_drop_bad_size];
	struct rte_mbuf *m = NULL;

	assert_int_equal(pair_take(p, &m, 1), 0);
	assert_int_equal(p->tx.counters.value[ZCNET_Q_drop_bad_chain] +
					p->tx.counters.value[ZCNET_Q_drop_bad_size],
			bad + 1);
	zc_tx_complete(&p->tx, 0);
	assert_int_equal(gqueue_tx_reclaim(p->txq), 1);
	pair_sends(p, &layouts[0], NULL, 1000);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* The ethdev: configure, queues, start, stop, link. Every call that changes a queue stops the
 * engine first.
 */
#include <errno.h>
#include <stdlib.h>

#include "model.h"
#include "rng.h"

#define DESC_MIN 1
#define DESC_MAX 4096

static struct model *
held(const struct rte_eth_dev *dev)
{
	engine_lock();
	return model_of(dev);
}

static int
configure(struct rte_eth_dev *dev)
{
	bool vmdq = dev->data->dev_conf.rxmode.mq_mode == RTE_ETH_MQ_RX_VMDQ_ONLY;

	if (vmdq && !(model_of(dev)->row->steer & ZC_STEER_VMDQ))
		return -ENOTSUP;
	held(dev)->vmdq = vmdq;
	engine_unlock();
	return 0;
}

static int
info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct model *model = model_of(dev);

	dev->device->driver = model_alias(dev);
	info->max_mac_addrs = 1;
	if (model->row->steer & ZC_STEER_VMDQ) {
		info->max_mac_addrs = MODEL_MACS_MAX;
		info->max_vmdq_pools = MODEL_QUEUES_MAX / model->row->vmdq_gap;
	}
	info->min_rx_bufsize = 64;
	info->max_rx_pktlen = MODEL_FRAME_MAX;
	info->max_mtu = MODEL_MTU_MAX;
	info->max_rx_queues = MODEL_QUEUES_MAX;
	info->max_tx_queues = MODEL_QUEUES_MAX;
	info->rx_desc_lim = (struct rte_eth_desc_lim){ .nb_max = DESC_MAX,
		.nb_min = DESC_MIN,
		.nb_align = 1 };
	info->tx_desc_lim = info->rx_desc_lim;
	info->rx_offload_capa = model->traits.scatter ? RTE_ETH_RX_OFFLOAD_SCATTER : 0;
	if (model->traits.split != SPLIT_NONE) {
		info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;
		info->rx_seg_capa.max_nseg = 2;
		info->rx_seg_capa.multi_pools = 1;
		info->rx_seg_capa.offset_allowed = model->traits.split != SPLIT_PROTOCOL;
	}
	/* A driver of the table: there the limit is the row's. */
	info->tx_desc_lim.nb_mtu_seg_max = model->known ? 0 : model->row->segs_max;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	return 0;
}

/* ---- queues ---- */

static void
tx_queue_release(struct rte_eth_dev *dev, uint16_t index)
{
	struct model *model = held(dev);
	struct tx_queue *q = model->tx[index];

	model->tx[index] = NULL;
	if (q != NULL) {
		tx_flush(q);
		free(q->slot);
		free(q);
	}
	engine_unlock();
}

static int
tx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t size, unsigned int socket,
		const struct rte_eth_txconf *conf)
{
	struct model *model = model_of(dev);
	struct tx_queue *q = calloc(1, sizeof(*q));

	(void)socket;
	if (q == NULL)
		return -ENOMEM;
	q->slot = calloc(size, sizeof(q->slot[0]));
	if (q->slot == NULL) {
		free(q);
		return -ENOMEM;
	}
	q->model = model;
	q->wire = &model->wire[index];
	q->index = index;
	q->size = size;
	q->rs_each = conf->tx_rs_thresh == 1;
	q->rng = model->seed + 2 * index;
	engine_lock();
	model->tx[index] = q;
	engine_unlock();
	dev->data->tx_queues[index] = q;
	return 0;
}

static void
rx_queue_free(struct rx_queue *q)
{
	free(q->slot);
	free(q->empty);
	free(q->posted);
	free(q->done);
	free(q->pool);
	free(q->parked);
	free(q->head);
	free(q->head_spare);
	free(q);
}

static void
rx_queue_release(struct rte_eth_dev *dev, uint16_t index)
{
	struct model *model = held(dev);
	struct rx_queue *q = model->rx[index];

	model->rx[index] = NULL;
	if (q != NULL) {
		rx_flush(q);
		rx_queue_free(q);
	}
	engine_unlock();
}

/* What a net_ring receives lies where the other side had it. */
static struct rte_mempool *
foreign_pool(void)
{
	struct rte_mempool *mp = rte_mempool_lookup("model_foreign");

	return mp != NULL ? mp :
			    rte_pktmbuf_pool_create("model_foreign", 8192, 0, 0,
					    RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
}

/* What the NIC can be told: the table's word for it isn't taken. */
static uint16_t
usable(enum zc_granularity grain, uint16_t told)
{
	uint16_t size = 256;

	switch (grain) {
	case ZC_GRAIN_BYTE:
		return told;
	case ZC_GRAIN_128:
		return told / 128 * 128;
	case ZC_GRAIN_1K:
		return told / 1024 * 1024;
	case ZC_GRAIN_POWER:
		while (size < 16384 && size * 2 <= told)
			size *= 2;
		break;
	}
	return size;
}

/* Where a frame's bytes go in an mbuf, and how many are told of. */
static int
lay_out(struct rx_queue *q, const struct rte_eth_rxconf *conf, struct rte_mempool *mp)
{
	const union rte_eth_rxseg *seg = conf->rx_seg;

	q->at = RTE_PKTMBUF_HEADROOM;
	if (mp != NULL) {
		q->mp = q->model->row->rx_order == ZC_RX_FOREIGN ? foreign_pool() : mp;
		q->told = rte_pktmbuf_data_room_size(q->mp) - q->at;
		return 0;
	}
	if (conf->rx_nseg != 2 || seg[0].split.length == 0 || seg[1].split.length == 0 ||
			q->model->traits.split == SPLIT_PROTOCOL)
		return -EINVAL;
	q->head_mp = seg[0].split.mp;
	q->split = seg[0].split.length;
	q->mp = seg[1].split.mp;
	q->at = seg[1].split.offset;
	q->told = seg[1].split.length;
	return 0;
}

static int
rx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t size, unsigned int socket,
		const struct rte_eth_rxconf *conf, struct rte_mempool *mp)
{
	struct model *model = model_of(dev);
	struct rx_queue *q = calloc(1, sizeof(*q));
	int ret = -ENOMEM;

	(void)socket;
	if (q == NULL)
		return ret;
	q->slot = calloc(size, sizeof(q->slot[0]));
	q->empty = calloc(size, sizeof(q->empty[0]));
	q->posted = calloc(size, sizeof(q->posted[0]));
	q->done = calloc(size, sizeof(q->done[0]));
	q->pool = calloc(size, sizeof(q->pool[0]));
	q->parked = calloc(size, sizeof(q->parked[0]));
	q->head = calloc(size, sizeof(q->head[0]));
	q->head_spare = calloc(size, sizeof(q->head_spare[0]));
	q->model = model;
	if (q->slot != NULL && q->empty != NULL && q->posted != NULL && q->done != NULL &&
			q->pool != NULL && q->parked != NULL && q->head != NULL &&
			q->head_spare != NULL && foreign_pool() != NULL)
		ret = lay_out(q, conf, mp);
	if (ret < 0) {
		rx_queue_free(q);
		return ret;
	}
	q->wire = &model->wire[index];
	q->index = index;
	/* Rings that are full with one descriptor less than they have. */
	q->size = model->row->second_ring ? size - 1 : size;
	/* One of net_tap's kind is in order with so many descriptors alone. */
	q->fifo = model->row->rx_order == ZC_RX_FIFO &&
			(model->row->rx_desc == 0 || model->row->rx_desc == size);
	q->room = usable(model->row->grain, q->told);
	q->scatter = ((conf->offloads | dev->data->dev_conf.rxmode.offloads) &
				     RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
	q->rng = model->seed + 2 * index + 1;
	rx_flush(q);
	engine_lock();
	model->rx[index] = q;
	engine_unlock();
	dev->data->rx_queues[index] = q;
	return 0;
}

/* ---- start and stop ---- */

/* A driver's stop takes a queue apart that nobody may be in. */
static void
check_left(const struct model *model, const bool *busy, const char *what)
{
	if (__atomic_load_n(busy, __ATOMIC_SEQ_CST))
		violation(model, VIOLATION_touched_after_stop, "%s, at stop", what);
}

static int
stop(struct rte_eth_dev *dev)
{
	struct model *model = held(dev);

	for (unsigned int i = 0; i < MODEL_QUEUES_MAX; i++) {
		if (model->tx[i] != NULL) {
			model->tx[i]->running = false;
			check_left(model, &model->tx[i]->busy, "transmit");
			if (!model->traits.keeps_tx)
				tx_flush(model->tx[i]);
		}
		if (model->rx[i] != NULL) {
			model->rx[i]->running = false;
			check_left(model, &model->rx[i]->busy, "receive");
			if (!model->traits.keeps_rx)
				rx_flush(model->rx[i]);
		}
	}
	engine_unlock();
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	return 0;
}

static int
start(struct rte_eth_dev *dev)
{
	struct model *model = model_of(dev);

	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
		if (rx_fill(model->rx[i]) < 0) {
			stop(dev);
			return -ENOMEM;
		}
	}
	engine_lock();
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
		model->rx[i]->running = true;
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	}
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		model->tx[i]->running = true;
	model->starts++;
	steer_restart(model);
	engine_unlock();
	model_link_update(dev, 0);
	return 0;
}

/* One queue alone, by a driver that can. */
static int
rx_queue_stop(struct rte_eth_dev *dev, uint16_t index)
{
	struct model *model = model_of(dev);
	struct rx_queue *q = model->rx[index];

	if (!model->row->queue_stop)
		return -ENOTSUP;
	engine_lock();
	q->running = false;
	check_left(model, &q->busy, "receive");
	rx_flush(q);
	engine_unlock();
	dev->data->rx_queue_state[index] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

static int
rx_queue_start(struct rte_eth_dev *dev, uint16_t index)
{
	struct rx_queue *q = model_of(dev)->rx[index];

	if (rx_fill(q) < 0)
		return -ENOMEM;
	engine_lock();
	q->running = true;
	engine_unlock();
	dev->data->rx_queue_state[index] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static void
release_queues(struct rte_eth_dev *dev)
{
	for (uint16_t i = 0; i < MODEL_QUEUES_MAX; i++) {
		tx_queue_release(dev, i);
		rx_queue_release(dev, i);
	}
}

/* As drivers do that end a device and begin it anew: nothing of its configuration is left. */
static int
reset(struct rte_eth_dev *dev)
{
	release_queues(dev);
	memset(dev->data->rx_queues, 0, dev->data->nb_rx_queues * sizeof(dev->data->rx_queues[0]));
	memset(dev->data->tx_queues, 0, dev->data->nb_tx_queues * sizeof(dev->data->tx_queues[0]));
	dev->data->nb_rx_queues = dev->data->nb_tx_queues = 0;
	model_of(dev)->resets++;
	return 0;
}

int
model_close(struct rte_eth_dev *dev)
{
	stop(dev);
	release_queues(dev);
	steer_flush(model_of(dev));
	model_forget(model_of(dev));
	dev->data->mac_addrs = NULL; /* part of dev_private */
	return 0;
}

/* ---- the rest ---- */

int
model_link_update(struct rte_eth_dev *dev, int wait)
{
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_10G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_status = model_is(&model_of(dev)->link_down) ? RTE_ETH_LINK_DOWN :
								     RTE_ETH_LINK_UP,
	};

	(void)wait;
	return rte_eth_linkstatus_set(dev, &link);
}

static int
mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	(void)dev, (void)mtu;
	return 0;
}

static int
promiscuous_set(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

const struct eth_dev_ops model_ops = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_reset = reset,
	.dev_close = model_close,
	.dev_infos_get = info,
	.link_update = model_link_update,
	.mtu_set = mtu_set,
	.promiscuous_enable = promiscuous_set,
	.promiscuous_disable = promiscuous_set,
	.rx_queue_setup = rx_queue_setup,
	.rx_queue_release = rx_queue_release,
	.rx_queue_start = rx_queue_start,
	.rx_queue_stop = rx_queue_stop,
	.tx_queue_setup = tx_queue_setup,
	.tx_queue_release = tx_queue_release,
	.tx_done_cleanup = model_tx_cleanup,
	.flow_ops_get = model_flow_ops,
	.mac_addr_add = model_mac_add,
	.mac_addr_remove = model_mac_remove,
};

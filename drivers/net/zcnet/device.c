/* SPDX-License-Identifier: BSD-3-Clause */
/* Configure, start, stop, close, queues, link, and the two bursts. */
#include <errno.h>
#include <string.h>

#include <rte_alarm.h>
#include <rte_malloc.h>

#include "net_zcnet.h"

/* Longest frame: 64 KB and an Ethernet header with a VLAN tag. */
#define FRAME_MAX (65535 + 18)

/* ---- data path ---- */

uint16_t
net_zcnet_rx(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	struct net_queue *queue = arg;

	n = zcnet_poll_rx(queue->poll, queue->index, pkts, n);
	for (uint16_t i = 0; i < n; i++)
		pkts[i]->port = queue->port_id;
	return n;
}

uint16_t
net_zcnet_tx(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	struct net_queue *queue = arg;

	return zcnet_poll_tx(queue->poll, queue->index, pkts, n);
}

/* ---- link ---- */

int
net_zcnet_link_update(struct rte_eth_dev *dev, int wait)
{
	const struct net_device *net = net_device(dev);
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_UNKNOWN,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
		.link_status = dev->data->dev_started &&
				__atomic_load_n(&net->up, __ATOMIC_RELAXED),
	};

	(void)wait;
	return rte_eth_linkstatus_set(dev, &link);
}

/* On the interrupt thread, where a NIC's link events come from too. */
static void
tell(void *arg)
{
	struct rte_eth_dev *dev = arg;

	if (net_zcnet_link_update(dev, 0) == 0)
		rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

void
net_zcnet_changed(void *arg, bool up)
{
	__atomic_store_n(&net_device(arg)->up, up, __ATOMIC_RELAXED);
	if (rte_eal_alarm_set(1, tell, arg) < 0)
		NET_LOG(WARNING, "a link event of the guest is lost");
}

/* ---- queues ---- */

static struct net_queue *
queue_create(struct rte_eth_dev *dev, uint16_t index)
{
	struct net_queue *queue = rte_zmalloc_socket("net_zcnet", sizeof(*queue),
			RTE_CACHE_LINE_SIZE, dev->data->numa_node);

	if (queue == NULL)
		return NULL;
	queue->poll = net_device(dev)->poll;
	queue->index = index;
	queue->port_id = dev->data->port_id;
	return queue;
}

static int
rx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t ndesc, unsigned int socket,
		const struct rte_eth_rxconf *conf, struct rte_mempool *mp)
{
	(void)ndesc, (void)socket, (void)conf;
	if (rte_pktmbuf_priv_size(mp) > 0) {
		NET_LOG(ERR,
				"%s: the application keeps %u bytes of its own behind each mbuf; "
				"mbufs of guest buffers have no room for them",
				dev->data->name, rte_pktmbuf_priv_size(mp));
		return -ENOTSUP;
	}
	dev->data->rx_queues[index] = queue_create(dev, index);
	return dev->data->rx_queues[index] != NULL ? 0 : -ENOMEM;
}

static int
tx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t ndesc, unsigned int socket,
		const struct rte_eth_txconf *conf)
{
	(void)ndesc, (void)socket, (void)conf;
	dev->data->tx_queues[index] = queue_create(dev, index);
	return dev->data->tx_queues[index] != NULL ? 0 : -ENOMEM;
}

static void
rx_queue_release(struct rte_eth_dev *dev, uint16_t index)
{
	rte_free(dev->data->rx_queues[index]);
	dev->data->rx_queues[index] = NULL;
}

static void
tx_queue_release(struct rte_eth_dev *dev, uint16_t index)
{
	rte_free(dev->data->tx_queues[index]);
	dev->data->tx_queues[index] = NULL;
}

static int
rx_queue_start(struct rte_eth_dev *dev, uint16_t index)
{
	zcnet_poll_rx_start(net_device(dev)->poll, index);
	dev->data->rx_queue_state[index] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int
rx_queue_stop(struct rte_eth_dev *dev, uint16_t index)
{
	zcnet_poll_rx_stop(net_device(dev)->poll, index);
	dev->data->rx_queue_state[index] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

static int
tx_queue_start(struct rte_eth_dev *dev, uint16_t index)
{
	zcnet_poll_tx_start(net_device(dev)->poll, index);
	dev->data->tx_queue_state[index] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int
tx_queue_stop(struct rte_eth_dev *dev, uint16_t index)
{
	zcnet_poll_tx_stop(net_device(dev)->poll, index);
	dev->data->tx_queue_state[index] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

/* ---- device ---- */

static int
configure(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

static int
start(struct rte_eth_dev *dev)
{
	int ret = zcnet_port_start(net_device(dev)->port);

	if (ret < 0)
		return ret;
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		rx_queue_start(dev, i);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		tx_queue_start(dev, i);
	return 0;
}

static int
stop(struct rte_eth_dev *dev)
{
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	/* Waits for the guest's buffers. */
	return zcnet_port_stop(net_device(dev)->port);
}

int
net_zcnet_close(struct rte_eth_dev *dev)
{
	struct net_device *net = net_device(dev);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	if (dev->data->dev_started)
		stop(dev);
	zcnet_poll_close(net->poll);
	net->poll = NULL;
	rte_eal_alarm_cancel(tell, dev);
	/* A program that ended the library has ended its ports too. */
	if (zcnet_port_find(dev->data->name) == net->port)
		zcnet_port_destroy(net->port);
	net->port = NULL;
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		rx_queue_release(dev, i);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		tx_queue_release(dev, i);
	dev->data->mac_addrs = NULL; /* part of dev_private */
	return 0;
}

/*
 * No checksum or segmentation offloads: the guest is not offered any. Frames come in as many
 * segments as the guest used, and may be sent in any number.
 */
static int
info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct net_device *net = net_device(dev);

	info->max_mac_addrs = 1;
	info->min_rx_bufsize = 0;
	info->max_rx_pktlen = FRAME_MAX;
	info->max_mtu = FRAME_MAX - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
	info->max_rx_queues = net->queues;
	info->max_tx_queues = net->queues;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	return 0;
}

/* Frames of any length pass: there is nothing to set. */
static int
mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	(void)dev, (void)mtu;
	return 0;
}

static int
mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	(void)dev, (void)mac;
	return 0;
}

const struct eth_dev_ops net_zcnet_ops = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = net_zcnet_close,
	.dev_infos_get = info,
	.link_update = net_zcnet_link_update,
	.mtu_set = mtu_set,
	.mac_addr_set = mac_set,
	.rx_queue_setup = rx_queue_setup,
	.tx_queue_setup = tx_queue_setup,
	.rx_queue_release = rx_queue_release,
	.tx_queue_release = tx_queue_release,
	.rx_queue_start = rx_queue_start,
	.rx_queue_stop = rx_queue_stop,
	.tx_queue_start = tx_queue_start,
	.tx_queue_stop = tx_queue_stop,
	.stats_get = net_zcnet_stats_get,
	.stats_reset = net_zcnet_stats_reset,
	.xstats_get = net_zcnet_xstats_get,
	.xstats_get_names = net_zcnet_xstats_names,
	.xstats_reset = net_zcnet_stats_reset,
};

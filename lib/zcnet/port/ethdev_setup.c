/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuring a NIC, its queues, and the mempools that they are filled from. */
#include "ethdev.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_kvargs.h>
#include <rte_vfio.h>

#include "../core/error.h"
#include "host_pool.h"

/* Fewer than a guest's 256, so that posted buffers outnumber the NIC's. */
#define ZC_RX_DESC 128
#define ZC_TX_DESC 512
/*
 * Mbufs of a constructor beyond the NIC's ring: bursts under way, and frames queued at a slower
 * NIC.
 */
#define ZC_CTOR_EXTRA 1024
#define ZC_CTOR_EXTRA_JUMBO 256

bool
zc_ethdev_can_arm(const struct ethdev_port *ep)
{
	return zc_driver_arms(ep->driver) && ep->port.zerocopy && ep->refused == NULL;
}

uint32_t
zc_ethdev_frame_max(const struct ethdev_port *ep)
{
	return ep->mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
}

uint32_t
zc_ethdev_capacity(const struct ethdev_port *ep)
{
	/* net_vmxnet3 wants more than the frame: its 1518 and a headroom. */
	uint32_t capacity = RTE_MAX(zc_driver_capacity(ep->driver,
						    zc_ethdev_frame_max(ep) - ep->port.split),
			ep->dev_info.min_rx_bufsize);

	return ep->port.split + RTE_MIN(capacity, (uint32_t)UINT16_MAX - RTE_PKTMBUF_HEADROOM);
}

uint32_t
zc_ethdev_usable(const struct ethdev_port *ep, uint32_t bytes)
{
	return ep->port.split +
			zc_driver_usable(ep->driver, bytes - RTE_MIN(bytes, ep->port.split));
}

static int
make_pools(struct ethdev_port *ep)
{
	int socket = rte_eth_dev_socket_id(ep->port_id);
	char name[RTE_MEMPOOL_NAMESIZE];
	uint32_t capacity, size;

	ep->host_held = ep->port.nqueues * ep->tx_desc;
	if (!zc_ethdev_can_arm(ep) || ep->port.split > 0)
		ep->host_held += ep->port.nqueues * ep->rx_desc;
	ep->host_mp = zc_host_pool_reserve(socket, ep->host_held);
	if (ep->host_mp == NULL)
		return -rte_errno;
	if (!zc_ethdev_can_arm(ep))
		return 0;
	capacity = zc_ethdev_capacity(ep) - ep->port.split;
	size = ep->rx_desc * (ep->driver->second_ring ? 2 : 1);
	size += capacity > 2048 ? ZC_CTOR_EXTRA_JUMBO : ZC_CTOR_EXTRA;
	for (uint16_t i = 0; i < ep->port.nqueues; i++) {
		int ret;

		snprintf(name, sizeof(name), "rx_%u_%u", ep->port_id, i);
		ret = zc_ctor_init(&ep->queue[i].ctor, name, size, capacity, socket);
		if (ret < 0)
			return ret;
		ep->queue[i].ctor.split = ep->port.split;
	}
	return 0;
}

/*
 * Both segments begin behind a headroom. Without an offset the second has none, and without a
 * length it is as long as its mbufs, headroom included.
 */
static int
setup_split_queue(struct ethdev_port *ep, uint16_t queue)
{
	const struct zc_ctor *ctor = &ep->queue[queue].ctor;
	union rte_eth_rxseg seg[] = {
		{ .split = { .mp = ep->host_mp, .length = ctor->split } },
		{ .split = { .mp = ctor->pool.mp,
				  .length = ctor->capacity,
				  .offset = RTE_PKTMBUF_HEADROOM } },
	};
	struct rte_eth_rxconf conf = ep->rx_conf;

	conf.rx_seg = seg;
	conf.rx_nseg = RTE_DIM(seg);
	return rte_eth_rx_queue_setup(ep->port_id, queue, ep->rx_desc,
			rte_eth_dev_socket_id(ep->port_id), &conf, NULL);
}

static int
setup_rx_queue(struct ethdev_port *ep, uint16_t queue)
{
	struct rte_mempool *mp = ep->queue[queue].ctor.pool.mp;

	if (ep->port.split > 0)
		return setup_split_queue(ep, queue);
	return rte_eth_rx_queue_setup(ep->port_id, queue, ep->rx_desc,
			rte_eth_dev_socket_id(ep->port_id), &ep->rx_conf,
			mp != NULL ? mp : ep->host_mp);
}

int
zc_ethdev_setup_rx(struct ethdev_port *ep)
{
	for (uint16_t i = 0; i < ep->port.nqueues; i++) {
		int ret = setup_rx_queue(ep, i);

		if (ret < 0)
			return zc_fail(-ret, "port %s: receive queue %u with %u descriptors: %s",
					ep->port.name, i, ep->rx_desc, rte_strerror(-ret));
	}
	return 0;
}

static int
setup_tx(struct ethdev_port *ep)
{
	int socket = rte_eth_dev_socket_id(ep->port_id);

	for (uint16_t i = 0; i < ep->port.nqueues; i++) {
		int ret = rte_eth_tx_queue_setup(ep->port_id, i, ep->tx_desc, socket, &ep->tx_conf);

		if (ret < 0)
			return zc_fail(-ret, "port %s: transmit queue %u with %u descriptors: %s",
					ep->port.name, i, ep->tx_desc, rte_strerror(-ret));
	}
	return 0;
}

int
zc_ethdev_setup_queues(struct ethdev_port *ep)
{
	int ret = zc_ethdev_setup_rx(ep);

	return ret == 0 ? setup_tx(ep) : ret;
}

/* A driver without the call takes what it is given (net_ring). */
static int
set_mtu(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	uint32_t most = RTE_MIN((uint32_t)ep->dev_info.max_mtu, ep->dev_info.max_rx_pktlen);
	int ret = 0;

	if (conf->mtu > 0)
		ret = rte_eth_dev_set_mtu(ep->port_id, conf->mtu);
	rte_eth_dev_get_mtu(ep->port_id, &ep->mtu);
	if (ret == -ENOTSUP)
		ep->mtu = conf->mtu;
	else if (ret < 0)
		return zc_fail(-ret, "port %s: MTU %u: %s takes frames of at most %u bytes (%s)",
				conf->name, conf->mtu, conf->device, most, rte_strerror(-ret));
	return 0;
}

/*
 * Where a descriptor keeps its mbuf until it is used again, a ring as large as a guest's slots
 * would keep them all, and the guest could send nothing that gives one back.
 */
static int
check_tx_desc(const struct ethdev_port *ep)
{
	uint16_t most;

	if (!zc_driver_sends(ep->driver) || ep->driver->tx_done != ZC_DONE_STATUS)
		return 0;
	most = ZC_TX_SLOTS - ep->driver->segs_max;
	if (!ep->port.zerocopy || ep->tx_desc <= most)
		return 0;
	return zc_fail(EINVAL, "port %s: tx-desc %u: %s takes at most %u, or zerocopy = off",
			ep->port.name, ep->tx_desc, ep->dev_info.driver_name, most);
}

/* All frames that have no pool of their own go to the first, those for many to all. */
static void
use_vmdq(const struct ethdev_port *ep, struct rte_eth_conf *conf)
{
	struct rte_eth_vmdq_rx_conf *vmdq = &conf->rx_adv_conf.vmdq_rx_conf;

	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_VMDQ_ONLY;
	vmdq->nb_queue_pools = (enum rte_eth_nb_pools)ep->dev_info.max_vmdq_pools;
	vmdq->enable_default_pool = 1;
	vmdq->rx_mode = RTE_ETH_VMDQ_ACCEPT_UNTAG | RTE_ETH_VMDQ_ACCEPT_BROADCAST |
			RTE_ETH_VMDQ_ACCEPT_MULTICAST;
}

static void
use_rss(const struct ethdev_port *ep, struct rte_eth_conf *conf)
{
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = ep->dev_info.flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
}

int
zc_ethdev_configure(struct ethdev_port *ep)
{
	const struct rte_eth_dev_info *info = &ep->dev_info;
	struct rte_eth_conf conf = { .rxmode.mtu = ep->mtu, .lpbk_mode = ep->loopback };
	int ret;

	/* Never MBUF_FAST_FREE: it puts mbufs back that still point at guest memory. */
	conf.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	/*
	 * Host buffers hold 2 KB. Guest buffers hold a whole frame, or all the rest of one that is
	 * split, or aren't armed. mlx5 splits only when it may scatter.
	 */
	if (!zc_ethdev_can_arm(ep) || ep->port.split > 0)
		conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	if (ep->port.split > 0)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;
	if (ep->vmdq)
		use_vmdq(ep, &conf);
	else if (ep->port.nqueues > 1 && info->flow_type_rss_offloads != 0)
		use_rss(ep, &conf);
	conf.intr_conf.lsc = (*info->dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
	conf.intr_conf.rmv = (*info->dev_flags & RTE_ETH_DEV_INTR_RMV) != 0;
	ret = rte_eth_dev_configure(ep->port_id, ep->port.nqueues, ep->port.nqueues, &conf);
	if (ret < 0)
		return zc_fail(-ret, "port %s: %s can't be configured: %s", ep->port.name,
				rte_dev_name(info->device), rte_strerror(-ret));
	ep->rx_conf = info->default_rxconf;
	ep->rx_conf.offloads = conf.rxmode.offloads;
	/* One queue without buffers must not hold up the others. */
	ep->rx_conf.rx_drop_en = 1;
	ep->tx_conf = info->default_txconf;
	ep->tx_conf.offloads = conf.txmode.offloads;
	if (ep->driver != NULL && ep->driver->tx_rs_thresh > 0) {
		ep->tx_conf.tx_rs_thresh = ep->driver->tx_rs_thresh;
		ep->tx_conf.tx_thresh.wthresh = 0;
	}
	return 0;
}

static int
check_loopback(const struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	if (conf->loopback && (ep->driver == NULL || !ep->driver->loopback))
		return zc_fail(ENOTSUP, "port %s: loopback: %s is not known to have one",
				conf->name, ep->dev_info.driver_name);
	return 0;
}

bool
zc_ethdev_splits(const struct ethdev_port *ep)
{
	const struct rte_eth_rxseg_capa *capa = &ep->dev_info.rx_seg_capa;

	return (ep->dev_info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT) &&
			capa->max_nseg >= 2 && capa->multi_pools && capa->offset_allowed &&
			RTE_PKTMBUF_HEADROOM % (1u << capa->offset_align_log2) == 0;
}

/* Where all frames are received into the host's memory there is nothing to split. */
static int
choose_split(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	const struct zc_driver *driver = ep->driver;

	if (conf->split_bytes == 0)
		return 0;
	if (conf->split_bytes < ZCNET_SPLIT_MIN || conf->split_bytes > ZCNET_SPLIT_MAX)
		return zc_fail(EINVAL, "port %s: split-bytes %u, 0 or %u to %u are possible",
				conf->name, conf->split_bytes, ZCNET_SPLIT_MIN, ZCNET_SPLIT_MAX);
	if (!zc_ethdev_can_arm(ep))
		return 0;
	if (driver->split_max == 0 || !zc_ethdev_splits(ep))
		return zc_fail(ENOTSUP, "port %s: split-bytes: %s doesn't split at a length%s%s",
				conf->name, ep->dev_info.driver_name,
				driver->no_split != NULL ? "; it does " : "",
				driver->no_split != NULL ? driver->no_split : "");
	if (conf->split_bytes > driver->split_max)
		return zc_fail(EINVAL, "port %s: split-bytes %u: %s takes at most %u", conf->name,
				conf->split_bytes, ep->dev_info.driver_name, driver->split_max);
	ep->port.split = conf->split_bytes;
	return 0;
}

static int
configure(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	uint16_t only = ep->driver != NULL ? ep->driver->rx_desc : 0;
	int ret;

	if (conf->queues > ep->dev_info.max_rx_queues || conf->queues > ep->dev_info.max_tx_queues)
		return zc_fail(EINVAL, "port %s: %u queues, %s has %u to receive and %u to send",
				conf->name, conf->queues, conf->device, ep->dev_info.max_rx_queues,
				ep->dev_info.max_tx_queues);
	ret = check_loopback(ep, conf);
	if (ret == 0)
		ret = choose_split(ep, conf);
	if (ret < 0)
		return ret;
	ep->loopback = conf->loopback;
	ret = zc_ethdev_configure(ep);
	if (ret == 0)
		ret = set_mtu(ep, conf);
	if (ret < 0)
		return ret;
	ep->rx_desc = conf->rx_desc;
	if (ep->rx_desc == 0)
		ep->rx_desc = only > 0 ? only : ZC_RX_DESC;
	if (zc_ethdev_can_arm(ep) && only > 0 && ep->rx_desc != only)
		return zc_fail(EINVAL, "port %s: rx-desc %u: %s needs %u, or zerocopy = off",
				conf->name, ep->rx_desc, ep->dev_info.driver_name, only);
	ep->tx_desc = conf->tx_desc > 0 ? conf->tx_desc : ZC_TX_DESC;
	ret = check_tx_desc(ep);
	if (ret < 0)
		return ret;
	ret = rte_eth_dev_adjust_nb_rx_tx_desc(ep->port_id, &ep->rx_desc, &ep->tx_desc);
	if (ret < 0)
		return zc_fail(-ret, "port %s: descriptors: %s", conf->name, rte_strerror(-ret));
	return 0;
}

/* Without an IOMMU a NIC reaches all memory, and memory that it writes may be somebody else's. */
static const char *
iommu_missing(const struct ethdev_port *ep)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
			rte_dev_name(ep->dev_info.device));
	if (access(path, F_OK) < 0 || rte_vfio_noiommu_is_enabled() == 1 ||
			!rte_vfio_is_enabled("vfio_pci"))
		return "copies: no IOMMU: enable it (intel_iommu=on) and bind the NIC to vfio-pci";
	return NULL;
}

/* What has to know guests' memory before this NIC may reach it, or why that can't be. */
static void
find_iommu(struct ethdev_port *ep)
{
	const struct zc_driver *driver = ep->driver;

	if (driver == NULL || !driver->dma || !ep->port.zerocopy ||
			(!zc_driver_sends(driver) && !zc_driver_arms(driver)))
		return;
	if (!driver->own_map)
		ep->refused = iommu_missing(ep);
	if (ep->refused != NULL)
		return;
	ep->iommu = zc_iommu_get(driver->own_map ? ep->dev_info.device : NULL);
	if (ep->iommu != NULL)
		return;
	ep->refused = "copies: too many NICs that map memory themselves";
	if (rte_errno == EBUSY)
		ep->refused = "copies: DPDK's memory is where guests' addresses go: --iova-mode va";
}

/*
 * Arguments of the device that make its driver write elsewhere than into the frame's own buffer.
 * Without zero copy they are welcome.
 */
static int
check_args(const struct ethdev_port *ep)
{
	const struct rte_devargs *devargs = rte_dev_devargs(ep->dev_info.device);
	const char *const *refused = ep->driver != NULL ? ep->driver->refused_args : NULL;
	struct rte_kvargs *args;
	const char *bad = NULL;

	if (refused == NULL || !ep->port.zerocopy || devargs == NULL || devargs->args == NULL)
		return 0;
	args = rte_kvargs_parse(devargs->args, NULL);
	if (args == NULL)
		return 0;
	for (; *refused != NULL && bad == NULL; refused++) {
		const char *value = rte_kvargs_get(args, *refused);

		bad = value != NULL && strcmp(value, "0") != 0 ? *refused : NULL;
	}
	rte_kvargs_free(args);
	if (bad != NULL)
		return zc_fail(EINVAL,
				"port %s: %s's %s doesn't go with zero copy: leave it out, "
				"or set zerocopy = off",
				ep->port.name, ep->driver->name, bad);
	return 0;
}

int
zc_ethdev_set_up(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf)
{
	int ret;

	ep->driver = zc_driver_find(ep->dev_info.driver_name);
	find_iommu(ep);
	ret = check_args(ep);
	if (ret == 0)
		ret = configure(ep, conf);
	if (ret < 0)
		return ret;
	for (uint16_t i = 0; i < conf->queues; i++)
		ep->queue[i].port_id = ep->port_id;
	ret = make_pools(ep);
	return ret == 0 ? zc_ethdev_setup_queues(ep) : ret;
}

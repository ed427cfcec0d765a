/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_zcnet: a guest port as an ethdev, for applications that know nothing of zcnet.
 *
 *   probe.c    devargs, probe, remove
 *   device.c   configure, start, stop, close, queues, link, and the two bursts
 *   stats.c    statistics
 *
 * One ethdev is one zcnet vhost port; a queue pair is the guest's. Everything that takes thought
 * is in the library.
 */
#ifndef NET_ZCNET_H
#define NET_ZCNET_H

#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>
#include <zcnet/zcnet.h>

/** One direction of a queue pair: what the bursts get. */
struct net_queue {
	struct zcnet_poll *poll;
	uint16_t index;
	uint16_t port_id;
};

/** dev_private. */
struct net_device {
	struct zcnet_port *port;
	struct zcnet_poll *poll;
	struct rte_ether_addr mac;
	uint16_t queues; /* that the guest is offered */
	bool up;         /* the guest's driver is ready */
};

static inline struct net_device *
net_device(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

extern int net_zcnet_logtype;

#define NET_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, net_zcnet_logtype, "net_zcnet: " fmt "\n", ##__VA_ARGS__)

extern const struct eth_dev_ops net_zcnet_ops;

uint16_t net_zcnet_rx(void *queue, struct rte_mbuf **pkts, uint16_t n);
uint16_t net_zcnet_tx(void *queue, struct rte_mbuf **pkts, uint16_t n);

/** The guest came or went; called by the library. @p arg is the ethdev */
void net_zcnet_changed(void *arg, bool up);

/** @name In net_zcnet_ops. */
/**@{*/
int net_zcnet_link_update(struct rte_eth_dev *dev, int wait);
int net_zcnet_close(struct rte_eth_dev *dev);
int net_zcnet_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
int net_zcnet_stats_reset(struct rte_eth_dev *dev);
int net_zcnet_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int net_zcnet_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names,
		unsigned int n);
/**@}*/

#endif

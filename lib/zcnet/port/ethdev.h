/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ethdev port: a NIC behind any DPDK driver.
 *
 *   ethdev.c        data path, events, statistics
 *   ethdev_run.c    start and stop
 *   steer.c         a queue for one address alone, by steer_flow.c or steer_vmdq.c
 *   ethdev_setup.c  configuring the device, its queues and the mempools they are filled from
 *
 * Every receive queue of a driver that can be armed is filled from a page constructor of its own;
 * it dispenses host buffers until a guest is bound to it. Other drivers get an ordinary mempool.
 */
#ifndef ZC_PORT_ETHDEV_H
#define ZC_PORT_ETHDEV_H

#include <rte_ethdev.h>

#include "../core/counters.h"
#include "driver.h"
#include "port.h"

/** What brings one guest's frames to a queue. Control. */
struct zc_steered {
	bool on;
	struct rte_flow *rule;     /* of steer_flow.c */
	struct rte_ether_addr mac; /* of steer_vmdq.c */
};

struct ethdev_queue {
	uint8_t state; /* enum zc_queue_state */
	bool link_up;  /* control writes, owner reads */
	uint16_t port_id;
	struct zc_steered steered;
	struct zc_counters rx;
	struct zc_counters tx;
	struct zc_ctor ctor;
} __rte_cache_aligned;

struct ethdev_port {
	struct zcnet_port port;
	/* control */
	uint16_t port_id;
	const struct zc_driver *driver; /* NULL: not in the table, copies */
	struct rte_eth_dev_info dev_info;
	struct rte_eth_rxconf rx_conf;
	struct rte_eth_txconf tx_conf;
	uint16_t rx_desc, tx_desc, mtu;
	struct zc_iommu *iommu; /* in front of it, NULL: none that it needs */
	const char *refused;    /* why zero copy isn't safe here, NULL: it is */
	bool promiscuous;
	bool loopback;
	bool probed;    /* by us, so we remove it */
	bool removed;   /* the device is gone */
	bool forgotten; /* by the device: how it was configured */
	char device[RTE_ETH_NAME_MAX_LEN];
	bool link_up;
	uint64_t link_tsc;              /* last look at the link */
	struct rte_mempool *host_mp;    /* copies that it sends, what it receives by copy, heads */
	unsigned int host_held;         /* mbufs that its rings may hold of it */
	struct ethdev_queue *queue;     /* [nqueues] */
	const struct zc_steer_way *way; /* while a queue is steered */
	struct rte_flow *rest;          /* of steer_flow.c: rule for all that isn't steered */
	bool vmdq;                      /* it is configured for steer_vmdq.c */
	/* the interrupt thread sets, control clears */
	unsigned int events;
};

/** May receive queues be armed with guest buffers? */
bool zc_ethdev_can_arm(const struct ethdev_port *ep);

/** Bytes that a guest's buffer must have behind the header to be armed. */
uint32_t zc_ethdev_capacity(const struct ethdev_port *ep);

/** Of a guest's buffer with @p bytes behind the header: the longest frame that goes in place. */
uint32_t zc_ethdev_usable(const struct ethdev_port *ep, uint32_t bytes);

/** Can the NIC put a frame's first bytes elsewhere, at a length and with an offset? */
bool zc_ethdev_splits(const struct ethdev_port *ep);

/** Longest frame on the wire without CRC: one VLAN tag is within the MTU's allowance. */
uint32_t zc_ethdev_frame_max(const struct ethdev_port *ep);

/** Configure the device found, and set up its queues. 0 or what zc_fail() gave. */
int zc_ethdev_set_up(struct ethdev_port *ep, const struct zcnet_ethdev_conf *conf);

/** @name Calls of struct zc_port_ops. */
/**@{*/
int zc_ethdev_start(struct zcnet_port *port);
int zc_ethdev_stop(struct zcnet_port *port);
void zc_ethdev_release(struct zcnet_port *port);
void zc_ethdev_release_rx(struct zcnet_port *port, uint16_t queue);
/**@}*/

/** The NIC asked for it. */
void zc_ethdev_reset(struct ethdev_port *ep);

/** The device is gone, or is to go: the kernel waits until nobody uses it. */
void zc_ethdev_removed(struct ethdev_port *ep);

/** Close the device; everything it held of guests comes back. No worker has a queue of it. */
void zc_ethdev_let_go(struct ethdev_port *ep);

/** Configure it for VMDq, or no more: a restart, if it runs. 0 or what zc_fail() gave. */
int zc_ethdev_set_vmdq(struct ethdev_port *ep, bool on);

void zc_ethdev_look_at_link(struct ethdev_port *ep);

/** Take in the mbufs that others freed. No worker has a queue of it. */
void zc_ethdev_collect(struct ethdev_port *ep);

/** Configure the device as its port says. It is stopped; its queues are to be set up then. */
int zc_ethdev_configure(struct ethdev_port *ep);

/** Set up all queues, or those that receive alone. The device is stopped. */
int zc_ethdev_setup_queues(struct ethdev_port *ep);
int zc_ethdev_setup_rx(struct ethdev_port *ep);

#endif

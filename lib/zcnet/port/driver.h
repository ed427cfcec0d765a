/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver table: what zero copy may count on, one row a driver, each from its source. A
 * driver without a row copies.
 */
#ifndef ZC_PORT_DRIVER_H
#define ZC_PORT_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

/** How to learn that a transmit is finished when nothing more is sent: bits, in order of use. */
enum zc_tx_done {
	/* nothing: mbufs are freed before rte_eth_tx_burst() returns, or by who needs no asking */
	ZC_DONE_IN_BURST = 1,
	/* rte_eth_tx_descriptor_status() of the last one; the mbufs may be freed later */
	ZC_DONE_STATUS = 2,
	ZC_DONE_CLEANUP = 4, /* rte_eth_tx_done_cleanup() */
	ZC_DONE_EMPTY = 8,   /* rte_eth_tx_burst() of nothing */
};

/** In which order receive buffers come back filled. */
enum zc_rx_order {
	ZC_RX_FIFO,      /* as the driver took them, one frame into one buffer */
	ZC_RX_UNORDERED, /* any */
	ZC_RX_FOREIGN,   /* none of the queue's: frames lie where somebody else put them */
};

/** Sizes of receive buffers that a driver tells its NIC; it rounds down to them. */
enum zc_granularity {
	ZC_GRAIN_BYTE,
	ZC_GRAIN_128,
	ZC_GRAIN_1K,
	ZC_GRAIN_POWER, /* powers of two */
};

/** How a driver can give one destination MAC a receive queue of its own: bits. */
enum zc_steer {
	ZC_STEER_FLOW = 1, /* rte_flow: ETH item, QUEUE action */
	ZC_STEER_VMDQ = 2, /* RTE_ETH_MQ_RX_VMDQ_ONLY */
};

struct zc_driver {
	const char *name; /* rte_eth_dev_info.driver_name */
	bool proven;      /* by a test here; else the row stands on the driver's source alone */
	bool dma;         /* the NIC reads and writes memory itself: an IOMMU is needed */
	bool own_map;     /* it maps memory for DMA itself: not by VFIO's container */
	bool queue_stop;  /* a receive queue can be stopped alone, and gives back what it holds */
	uint8_t steer;    /* enum zc_steer */
	uint8_t vmdq_gap; /* from a VMDq pool's first queue to the next one's */
	bool loopback;    /* struct rte_eth_conf, lpbk_mode 1: what it sends, it receives */
	const char *note; /* what a user should know, NULL: nothing */
	/* device arguments that zero copy forbids but with the value 0, to NULL; NULL: none */
	const char *const *refused_args;
	/* transmit */
	const char *no_tx;     /* why guest memory isn't sent from, NULL: it is */
	uint8_t tx_done;       /* enum zc_tx_done, 0: there is no way */
	uint16_t tx_rs_thresh; /* 0: the driver's default */
	uint16_t segs_max;     /* segments of one frame */
	uint16_t segs_tso;     /* and of one to be segmented by the NIC */
	uint16_t tx_min;       /* bytes of the shortest frame that it takes */
	/* receive */
	const char *no_rx; /* why guest buffers aren't armed, NULL: they are */
	enum zc_rx_order rx_order;
	enum zc_granularity grain;
	uint16_t rx_before; /* bytes that the NIC writes in front of the frame */
	bool second_ring;   /* as many buffers again that frames don't go to, taken at start */
	uint16_t rx_desc;   /* the only number of descriptors that is in order, 0: any */
	/* bytes of the first of two segments up to which buffers stay in order, 0: it isn't used */
	uint16_t split_max;
	const char *no_split; /* why it isn't, though the NIC can split; NULL: it can't */
};

/** The row of a driver, or NULL. */
const struct zc_driver *zc_driver_find(const char *name);

/** May it send from guest memory, and be armed with it? NULL: no */
bool zc_driver_sends(const struct zc_driver *driver);
bool zc_driver_arms(const struct zc_driver *driver);

/** Bytes that a buffer for frames of @p frame bytes must have, so that the NIC uses one a frame. */
uint32_t zc_driver_capacity(const struct zc_driver *driver, uint32_t frame);

/** Bytes that the NIC writes of a buffer with @p bytes: the longest frame that goes in place. */
uint32_t zc_driver_usable(const struct zc_driver *driver, uint32_t bytes);

#endif

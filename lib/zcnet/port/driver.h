/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver table: what zero copy may count on, one row a driver, each from its source. A
 * driver without a row copies.
 */
#ifndef ZC_PORT_DRIVER_H
#define ZC_PORT_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

/** How to learn that a transmit is finished when nothing more is sent. */
enum zc_tx_done {
	/* mbufs are freed before rte_eth_tx_burst() returns, or by somebody who needs no asking */
	ZC_DONE_IN_BURST,
	ZC_DONE_EMPTY, /* rte_eth_tx_burst() of nothing */
	/* rte_eth_tx_descriptor_status() of the last one; the mbufs are freed later */
	ZC_DONE_STATUS,
};

/** Sizes of receive buffers that a driver tells its NIC. */
enum zc_granularity {
	ZC_GRAIN_BYTE,
	ZC_GRAIN_POWER, /* powers of two, rounded down */
};

struct zc_driver {
	const char *name; /* rte_eth_dev_info.driver_name */
	bool tx_attach;   /* may send from guest memory */
	/* takes receive buffers first-in first-out and writes one frame into one buffer */
	bool rx_arm;
	bool dma;         /* the NIC reads and writes memory itself: an IOMMU is needed */
	bool second_ring; /* rx: as many buffers again that frames don't go to, taken at start */
	enum zc_tx_done tx_done;
	enum zc_granularity grain;
	uint16_t tx_rs_thresh; /* 0: the driver's default */
	uint16_t segs_max;     /* segments of one frame */
	uint16_t rx_desc;      /* the only number of receive descriptors that is in order, 0: any */
	const char *note;      /* what a user should know, NULL: nothing */
};

/** The row of a driver, or NULL. */
const struct zc_driver *zc_driver_find(const char *name);

/** Bytes that a buffer for frames of @p frame bytes must have, so that the NIC uses one a frame. */
uint32_t zc_driver_capacity(const struct zc_driver *driver, uint32_t frame);

#endif

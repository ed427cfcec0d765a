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
	ZC_DONE_CLEANUP, /* rte_eth_tx_done_cleanup() */
};

struct zc_driver {
	const char *name; /* rte_eth_dev_info.driver_name */
	bool tx_attach;   /* may send from guest memory */
	/* takes receive buffers first-in first-out and writes one frame into one buffer */
	bool rx_arm;
	/* rte_eth_dev_tx_queue_stop() gives the buffers back; else the port is stopped */
	bool queue_stop;
	enum zc_tx_done tx_done;
	uint16_t segs_max; /* segments of one frame */
	uint16_t rx_desc;  /* the only number of receive descriptors that is in order, 0: any */
	const char *note;  /* what a user should know, NULL: nothing */
};

/** The row of a driver, or NULL. */
const struct zc_driver *zc_driver_find(const char *name);

#endif

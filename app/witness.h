/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A witness of zero copy: looks at the mbufs that a NIC's driver is given and gives, and counts
 * those whose bytes lie in a guest's memory. It asks neither counters nor flags of libzcnet.
 */
#ifndef APP_WITNESS_H
#define APP_WITNESS_H

#include <stdint.h>

/** Mappings of one file that are looked for: ours, zcnet's and librte_vhost's. */
#define APP_WITNESS_MAPS 8

struct app_seen {
	uint64_t frames;
	uint64_t inside; /**< all of their bytes are in the file's memory */
	/** The first that was inside: where the CPU finds it, and where the NIC does. */
	uint64_t address, iova;
};

struct app_witness {
	uint16_t port_id;
	const void *tx_hook, *rx_hook;
	struct {
		uint64_t begin, end;
	} map[APP_WITNESS_MAPS];
	unsigned int nmaps;
	struct app_seen sent, received; /**< written by the lcore that polls the NIC's queue 0 */
	int log;                        /**< of the kernel, -1: not readable */
};

/** Begin: what @p fd is mapped as at present is the guest's memory. @return 0 or -errno */
int app_witness_begin(struct app_witness *witness, uint16_t port_id, int fd);

/** End. Frames may still flow. */
void app_witness_end(struct app_witness *witness);

/** Faults of DMA that the kernel told of since the beginning; -1: its messages aren't readable. */
int app_witness_faults(struct app_witness *witness);

#endif

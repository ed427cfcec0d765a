/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest on the heap: memory, queue pairs, no device, no process, no EAL.
 *
 * Its memory is three regions, none at guest-physical 0: one with the rings, a hole, and two that
 * touch in guest-physical space only. Each is an allocation of its own, so that a sanitizer sees
 * the first byte past any of them. What is inside a queue: gqueue.h; what it can do wrong:
 * hostile.h.
 */
#ifndef FAKE_GUEST_H
#define FAKE_GUEST_H

#include "gqueue.h"
#include "hostile.h"

struct fake_guest_conf {
	unsigned int pairs;  /* default 1 */
	uint16_t ring_size;  /* default 256 */
	uint16_t table_len;  /* default 64 */
	uint32_t slot_bytes; /* room for one chain, default 16 KiB */
	uint64_t features;   /* default VERSION_1, MRG_RXBUF, INDIRECT_DESC, EVENT_IDX */
};

struct fake_guest {
	struct gmem mem;
	unsigned int pairs;
	struct gqueue *queue; /* rx 0, tx 0, rx 1, tx 1, ... */
};

void fake_guest_conf_init(struct fake_guest_conf *conf);

/** @param conf  NULL for defaults. @return NULL with errno */
struct fake_guest *fake_guest_create(const struct fake_guest_conf *conf);
void fake_guest_destroy(struct fake_guest *g);
/** As after a device reset. */
void fake_guest_reset(struct fake_guest *g);

struct gqueue *fake_guest_rx(struct fake_guest *g, unsigned int pair);
struct gqueue *fake_guest_tx(struct fake_guest *g, unsigned int pair);

/* On pair 0, published at once; errors as in gqueue.h. */
int fake_guest_tx_frame(struct fake_guest *g, const struct layout *l, const void *frame,
		uint32_t len);
int fake_guest_rx_post(struct fake_guest *g, uint32_t len, const struct layout *l);
int fake_guest_rx_frame(struct fake_guest *g, void *frame, uint32_t cap);
int fake_guest_hostile(struct fake_guest *g, bool rx, enum hostile_move move);

#endif

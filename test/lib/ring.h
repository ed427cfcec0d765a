/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver side of a virtqueue, on any memory.
 *
 * A chain is a list of buffers; the ring gives it an id and remembers it until the device hands it
 * back. What the driver believes lives in private arrays: nothing is ever read back from memory
 * that the device can write, except used entries, and those are checked. Add and publish are
 * separate, so that a test decides when the device sees what.
 *
 * Callers speak of chains, ids and areas only; what is particular to the split layout is in
 * struct drv_split, for the hostile moves and the flood. Nothing here locks: one thread a ring.
 */
#ifndef RING_H
#define RING_H

#include <linux/virtio_ring.h>

#include "gmem.h"

#define DRV_ALL_DIRECT (-1) /* drv_ring_add(): no indirect table */

struct drv_buf {
	uint64_t gpa;
	uint32_t len;  /* bytes */
	bool writable; /* by the device */
};

struct drv_used {
	uint16_t id;
	uint32_t len;   /* bytes that the device says it wrote */
	uint64_t token; /* as given to drv_ring_add() */
};

struct drv_chain {
	uint64_t token;
	uint64_t writable; /* bytes */
	uint16_t n_desc;   /* ring descriptors taken */
	bool busy;
};

struct drv_split {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

struct drv_ring {
	const struct gmem *mem;
	uint64_t features;
	uint64_t desc_gpa, driver_gpa, device_gpa; /* descriptor, driver and device area */
	uint64_t table_gpa;                        /* indirect tables, one for each id */
	uint16_t table_len;                        /* descriptors in each */
	uint16_t size;
	struct drv_split split;

	struct drv_chain *chain; /* by id */
	uint16_t *next;          /* private links of free and taken descriptors */
	uint16_t *order;         /* ids by position, in the order made available */
	uint16_t free_head;
	uint16_t n_free;
	uint16_t avail_idx; /* next position to fill */
	uint16_t shown_idx; /* published so far */
	uint16_t used_idx;  /* next used entry to take */

	uint64_t n_added, n_used; /* chains */
	uint64_t out_of_order;    /* used entries that were not the oldest available chain */
	const char *err;          /* what the device did wrong, after -EPROTO */
};

/** Bytes that a ring and its indirect tables take, for drv_ring_init(). */
size_t drv_ring_bytes(uint16_t size, uint16_t table_len);

/**
 * Lay a ring out at @p gpa (16-byte aligned, drv_ring_bytes() long, inside one region).
 *
 * @param features   negotiated virtio features; EVENT_IDX and INDIRECT_DESC matter here
 * @param size       descriptors, a power of two up to 32768
 * @param table_len  descriptors in each indirect table, 0 for none
 * @return 0, -EINVAL (size, alignment), -EFAULT (outside of memory), -ENOMEM
 */
int drv_ring_init(struct drv_ring *r, const struct gmem *mem, uint64_t gpa, uint16_t size,
		uint16_t table_len, uint64_t features);
void drv_ring_fini(struct drv_ring *r);

/** Forget every chain and clear the ring's memory, as a driver does after a device reset. */
void drv_ring_reset(struct drv_ring *r);

/** Where the memory of the ring is mapped now; call it after regions moved. */
int drv_ring_remap(struct drv_ring *r);

/** Hand out free descriptors in random order from now on, so that ids tell nothing about age. */
void drv_ring_shuffle(struct drv_ring *r, uint64_t seed);

/**
 * Add a chain; the device sees it after drv_ring_publish().
 *
 * @param n_direct  buffers described in the ring itself, the rest in one indirect table that
 *                  ends the chain; DRV_ALL_DIRECT for no table
 * @param token     handed back with the used entry
 * @return id of the chain, -ENOSPC (descriptors or table too short), -ENOTSUP (indirect not
 *         negotiated), -EINVAL (no buffer)
 */
int drv_ring_add(struct drv_ring *r, const struct drv_buf *buf, unsigned int n, int n_direct,
		uint64_t token);

/** Let the device see what was added. @return whether it asked for a kick. */
bool drv_ring_publish(struct drv_ring *r);

/** Ask for a call once @p n more chains are used (1: the next; only 1 without EVENT_IDX). */
void drv_ring_call_after(struct drv_ring *r, uint16_t n);
/** Ask for no calls. */
void drv_ring_call_never(struct drv_ring *r);

/** Used entries that wait to be taken. */
unsigned int drv_ring_used_count(const struct drv_ring *r);

/**
 * Take the next used entry and free its descriptors.
 *
 * @return 1, 0 if there is none, -EPROTO if the device broke the rules (r->err says which)
 */
int drv_ring_get_used(struct drv_ring *r, struct drv_used *u);

/** Chains that the device has. */
unsigned int drv_ring_pending(const struct drv_ring *r);

/** The ring state a back-end has to start from when the last one is gone without a word. */
uint32_t drv_ring_crash_base(const struct drv_ring *r);

/** Take back every chain that is not used, newest first; only while the device is stopped. */
int drv_ring_detach(struct drv_ring *r, struct drv_used *u);

#endif

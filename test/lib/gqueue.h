/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One virtio-net queue of a guest: frames on a ring.
 *
 * Each chain owns one slot of buffer memory. A layout says how header and frame are cut into
 * descriptors; the pieces lie in the slot with guard bytes between them. A device that writes past
 * a receive buffer, or into a transmit buffer at all, is found out when it hands the chain back.
 */
#ifndef GQUEUE_H
#define GQUEUE_H

#include <linux/virtio_net.h>

#include "ring.h"

#define GQ_PIECES_MAX 128 /* buffers in a chain */
#define GQ_AREAS_MAX 2
#define GQ_GUARD 16 /* bytes before and after each piece */

enum layout_hdr {
	LAYOUT_HDR_TOGETHER, /* in the first descriptor, with data */
	LAYOUT_HDR_ALONE,    /* has a descriptor of its own */
	LAYOUT_HDR_SPLIT,    /* cut after hdr_split bytes, the rest together with data */
};

struct layout {
	const char *name;
	enum layout_hdr hdr;
	uint8_t hdr_split; /* bytes, 1 to header length - 1 */
	uint8_t pieces;    /* of the data; 0 means 1 */
	bool pages;        /* header alone, then pages: Linux without mergeable buffers */
	bool table;        /* the buffers from the direct-th on go into an indirect table */
	uint8_t direct;
	bool spread;     /* every second piece in the other area */
	bool cross;      /* no gaps, and the border of two regions in the middle */
	uint32_t uneven; /* seed of the cuts; 0: equal pieces */
};

/** Layouts worth trying one by one; ends with an entry without name. */
extern const struct layout layouts[];
const struct layout *layout_by_name(const char *name);

#define LAYOUT_MAY_CROSS 1 /* some cross the border of two regions; see gmem.cross_gpa */
#define LAYOUT_MAY_MIX 2   /* some have direct descriptors and then a table */
/** A random one that a queue with these @p features can carry. */
struct layout layout_random(uint64_t *rng, uint64_t features, unsigned int may);

struct gslot {
	struct drv_buf *buf;
	uint16_t n;
	uint16_t room; /* in buf */
	bool crosses;
	bool taken;
	uint64_t sum; /* of the bytes that the device must not change */
};

struct gqueue_conf {
	bool rx;
	uint16_t size;       /* descriptors */
	uint16_t table_len;  /* descriptors of an indirect table, 0: none */
	uint32_t slot_bytes; /* room for one chain: frame, header, GQ_GUARD per piece */
	uint64_t features;
	uint64_t ring_gpa;
	unsigned int n_areas;
	uint64_t area_gpa[GQ_AREAS_MAX]; /* gqueue_area_bytes() each */
};

struct gqueue {
	struct drv_ring ring;
	struct gmem *mem;
	struct gqueue_conf conf;
	uint8_t hdr_len; /* 10 or 12 */
	struct gslot *slot;
	uint16_t *free_slot;
	uint16_t n_free_slot;
	uint64_t frames, bytes; /* completed (tx) or received (rx) */
	const char *err;        /* what the device did wrong, after -EPROTO */
};

size_t gqueue_area_bytes(uint16_t size, uint32_t slot_bytes);
size_t gqueue_ring_bytes(uint16_t size, uint16_t table_len);

/** @return as drv_ring_init(). */
int gqueue_init(struct gqueue *q, struct gmem *mem, const struct gqueue_conf *conf);
void gqueue_fini(struct gqueue *q);
/** Forget everything that was posted, as after a device reset; keeps the buffers' places. */
void gqueue_reset(struct gqueue *q);

/** Put buffers elsewhere from now on; chains that are out keep theirs. @return 0, -EINVAL */
int gqueue_move(struct gqueue *q, unsigned int area, uint64_t gpa);

/** Whether a chain that is out has a buffer in these @p bytes of memory. */
bool gqueue_uses(const struct gqueue *q, uint64_t gpa, uint64_t bytes);

/**
 * Queue a frame. Seen by the device after drv_ring_publish().
 *
 * @param hdr  virtio-net header to put in front, NULL for zeros
 * @return id of the chain, -ENOSPC when ring or slots are full, -EMSGSIZE when the slot is too
 *         small, -EBUSY when the border is taken by another crossing chain, -ENOTSUP
 */
int gqueue_tx_frame(struct gqueue *q, const struct layout *l,
		const struct virtio_net_hdr_mrg_rxbuf *hdr, const void *frame, uint32_t len);

/**
 * Queue a buffer of @p len bytes, header included, for reception.
 * @return as gqueue_tx_frame()
 */
int gqueue_rx_post(struct gqueue *q, uint32_t len, const struct layout *l);

/** Post buffers of @p len bytes until the ring is full. @return how many, or a negative error. */
int gqueue_rx_fill(struct gqueue *q, uint32_t len, const struct layout *l);

/**
 * Take back completed transmit chains.
 * @return how many, or -EPROTO (q->err says why)
 */
int gqueue_tx_reclaim(struct gqueue *q);

/**
 * Take one received frame, however many buffers it lies in.
 *
 * @param cap  room in @p frame, bytes
 * @param hdr  receives the header of the first buffer; may be NULL
 * @return bytes of the frame, -EAGAIN when there is none, -EMSGSIZE when it does not fit, -EPROTO
 */
int gqueue_rx_frame(struct gqueue *q, void *frame, uint32_t cap,
		struct virtio_net_hdr_mrg_rxbuf *hdr);

/** Take back chains that the device, now stopped, never used. @return how many */
unsigned int gqueue_detach(struct gqueue *q);

/* For hostile moves: a slot of one's own, and a chain of any buffers that owns it. */
int gqueue_slot_take(struct gqueue *q);
void gqueue_slot_give(struct gqueue *q, int slot);
uint64_t gqueue_slot_gpa(const struct gqueue *q, int slot, unsigned int area);
int gqueue_post_raw(struct gqueue *q, int slot, const struct drv_buf *buf, unsigned int n,
		int n_direct);

#endif

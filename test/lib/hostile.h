/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest must not do, one move at a time.
 *
 * A move is posted on an otherwise well-behaved queue. Most add one chain, so that the device may
 * give it back as dropped, and drv_ring_get_used() goes on checking. After a move that lies about
 * the ring itself, only a reset (gqueue_reset(), frontend_reset()) makes the queue usable again.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "gqueue.h"

enum hostile_kind {
	HOSTILE_LEGAL, /* strange but allowed, or without harm: other frames must still pass */
	HOSTILE_CHAIN, /* one bad chain: dropped and counted, or the queue is broken */
	HOSTILE_SELF,  /* harms the guest's own queue at most; it may pass */
	HOSTILE_RING,  /* the ring itself lies: the queue is broken until its reset */
};

/* name, kind, what it is */
#define HOSTILE_MOVES(X) \
	X(LOOP, CHAIN, "two descriptors that point at each other") \
	X(LOOP_SELF, CHAIN, "a descriptor that points at itself") \
	X(NEXT_RANGE, CHAIN, "next is the ring size") \
	X(NEXT_MAX, CHAIN, "next is 65535") \
	X(HEAD_RANGE, RING, "the avail entry is the ring size") \
	X(HEAD_MAX, RING, "the avail entry is 65535") \
	X(HEAD_TWICE, RING, "one head made available twice") \
	X(AVAIL_JUMP, RING, "avail index runs ahead by more than the ring size") \
	X(AVAIL_BACK, RING, "avail index goes back by one") \
	X(LEN_ZERO, CHAIN, "a descriptor of zero bytes ends the chain") \
	X(LEN_ZERO_ALL, CHAIN, "the only descriptor has zero bytes") \
	X(LEN_MAX, CHAIN, "length 0xffffffff from a good address") \
	X(ADDR_NULL, CHAIN, "guest-physical address 0") \
	X(ADDR_HOLE, CHAIN, "an address between two regions") \
	X(ADDR_END, CHAIN, "good begin, the end lies behind the last region") \
	X(ADDR_WRAP, CHAIN, "address plus length wraps at 2^64") \
	X(TABLE_EMPTY, CHAIN, "indirect table of zero bytes") \
	X(TABLE_ODD, CHAIN, "indirect table of 24 bytes") \
	X(TABLE_HUGE, CHAIN, "indirect table of 0xfffffff0 bytes") \
	X(TABLE_LONG, CHAIN, "indirect chain of one more descriptor than the ring has") \
	X(TABLE_NESTED, CHAIN, "indirect descriptor inside an indirect table") \
	X(TABLE_AND_NEXT, CHAIN, "indirect descriptor with a next one") \
	X(TABLE_HOLE, CHAIN, "indirect table between two regions") \
	X(TABLE_END, CHAIN, "indirect table reaches behind the last region") \
	X(TABLE_CROSS, LEGAL, "indirect table lies across the border of two regions") \
	X(TABLE_LOOP, CHAIN, "loop inside an indirect table") \
	X(TABLE_NEXT_RANGE, CHAIN, "next points out of the indirect table") \
	X(DIR_WRONG, CHAIN, "all buffers have the wrong direction") \
	X(DIR_MIXED, CHAIN, "the last buffer has the wrong direction") \
	X(FLAGS_UNKNOWN, LEGAL, "unknown descriptor flags are set") \
	X(HDR_ONE, CHAIN, "one byte in all") \
	X(HDR_SHORT, CHAIN, "one byte less than the virtio-net header") \
	X(HDR_ONLY, CHAIN, "the virtio-net header and nothing else") \
	X(HDR_GARBAGE, SELF, "a virtio-net header of 0xff bytes") \
	X(BUF_TWICE, LEGAL, "the same buffer in two chains") \
	X(BUF_IN_USED, SELF, "the buffer lies over the used ring") \
	X(BUF_IN_DESC, SELF, "the buffer lies over the descriptors")

enum hostile_move {
#define X(name, kind, text) HOSTILE_MOVE_##name,
	HOSTILE_MOVES(X)
#undef X
			HOSTILE_N_MOVES
};

const char *hostile_name(enum hostile_move move);
const char *hostile_text(enum hostile_move move);
enum hostile_kind hostile_kind(enum hostile_move move);

/**
 * Add the move to a queue. The caller publishes; the AVAIL moves are out at once.
 *
 * @return id of the chain, or the error of gqueue_post_raw(); -ENOTSUP when the queue lacks what
 *         the move needs: indirect descriptors, or two regions that touch
 */
int hostile_post(struct gqueue *q, enum hostile_move move);

#endif

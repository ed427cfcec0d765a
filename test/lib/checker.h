/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What became of the frames that a sender made from a plan: none lost, altered, out of order.
 */
#ifndef CHECKER_H
#define CHECKER_H

#include "frame.h"

struct checker {
	const struct frame_plan *plan; /* the sender's */
	unsigned int queues;           /* of the sender */
	uint64_t count;                /* frames from each */
	uint64_t *next;                /* sequence number expected, by the sender's queue */
	uint64_t frames, foreign, lost, altered, reordered;
	uint64_t first_lost; /* sequence number of one, where lost is not 0 */
};

/** @return 0, -ENOMEM */
int checker_init(struct checker *c, const struct frame_plan *plan, unsigned int queues,
		uint64_t count);
void checker_fini(struct checker *c);

/** Look at a received frame. @return offset of the first wrong byte, -1 when there is none */
int64_t checker_take(struct checker *c, const void *frame, uint32_t len);

/** Whether the last frame of every queue was seen. */
bool checker_done(const struct checker *c);

/** Frames from any queue that were neither seen nor overtaken. */
uint64_t checker_missing(const struct checker *c);

/** Whether nothing was lost, altered or out of order. */
bool checker_fine(const struct checker *c);

/** Members of a JSON object on stdout: "frames":...,"foreign":... */
void checker_print(const struct checker *c);

#endif

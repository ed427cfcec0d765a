/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream: everything that comes in on one (port, queue) goes out on another. What workers poll.
 *
 * Frames that the destination doesn't take now stay in the stream, and nothing more is taken
 * from the source until they are gone: a full NIC slows its guest down instead of losing its
 * frames.
 */
#ifndef ZC_FWD_STREAM_H
#define ZC_FWD_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "../port/port.h"

/** Longer than a burst takes: 64 copied frames of 1518 bytes, out of cache, take 12. */
#define ZC_LONG_RUN_US 20

struct zc_stream {
	/* constant while a worker has it */
	struct zcnet_port *src, *dst;
	const uint8_t *src_state; /* enum zc_queue_state */
	uint16_t src_queue, dst_queue;
	/* streams of one connection and group share (port, queue)s: one worker has them all */
	uint16_t group;
	/* owner; control while no worker has it */
	uint16_t npending;
	uint64_t refused_tsc; /* last time that the destination took nothing */
	uint64_t reap_tsc;    /* last time the NIC was asked for finished transmits */
	uint64_t busy_tsc;    /* last time that there was a frame, or a guest's buffer out */
	/* last time that a frame was taken or given, used entries published, a guest interrupted */
	uint64_t work_tsc;
	uint64_t rest_tsc; /* up to then it isn't run: its last run was a long one */
	struct rte_mbuf *pending[ZC_BURST];
	/* control: frames that the destination had taken when that last changed, and when it did */
	uint64_t taken, taken_tsc;
} __rte_cache_aligned;

/**
 * Move one burst, and complete what is done.
 *
 * Runs on: the worker that has the stream.
 *
 * @param now  TSC
 * @param reap TSC cycles between two askings for finished transmits
 * @return frames moved
 */
uint16_t zc_stream_run(struct zc_stream *stream, uint64_t now, uint64_t reap);

/**
 * Tell the destination, if it is a guest, what it was given. Runs on: the worker that has the
 * stream; control while none has.
 *
 * @return a guest was interrupted
 */
bool zc_stream_notify(struct zc_stream *stream);

/** Free and count what the destination didn't take. Runs on: control, no worker has the stream. */
void zc_stream_flush(struct zc_stream *stream);

#endif

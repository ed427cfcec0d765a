/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Statistics. Every counter is declared once, in the list below; the list gives enum, name and
 * text.
 */
#ifndef ZCNET_STATS_H
#define ZCNET_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <zcnet/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Counters of one direction of one queue. A frame offered is counted once: in frames (it went
 * on), or in one drop_*. Of a guest's frames, those without a payload copy are in zc_frames and
 * the others in one copy_*; a NIC's queues count frames, bytes and drops only.
 */
#define ZCNET_QUEUE_COUNTERS(X) \
	X(frames, "frames moved") \
	X(bytes, "bytes moved, without virtio-net header and CRC") \
	X(zc_frames, "frames moved without copying payload") \
	X(zc_bytes, "bytes in frames moved without copying payload") \
	X(copy_small, "copied: shorter than the threshold, or no longer than split-bytes") \
	X(copy_short, "copied: shorter than the NIC takes, and padded") \
	X(copy_off, "copied: zero copy is off for this port or its peer") \
	X(copy_dma, "copied: the guest's memory is not mapped for DMA yet, or can't be") \
	X(copy_recover, "copied: the peer NIC stalled or lost its link") \
	X(copy_segs, "copied: more segments than the NIC takes") \
	X(copy_bounce, "copied: received on a host buffer") \
	X(copy_hole, "copied: received in a guest buffer behind a hole") \
	X(copy_shared, "copied: received on a NIC queue that guests share") \
	X(copy_foreign, "copied: the frame lay in another port's memory") \
	X(drop_bad_chain, "dropped: malformed descriptor chain") \
	X(drop_bad_size, "dropped: shorter than an Ethernet header or longer than the peer takes") \
	X(drop_segs, "dropped: more segments than the NIC takes, even copied") \
	X(drop_no_buffer, "dropped: the guest has no buffer posted") \
	X(drop_no_hole, "dropped: all posted buffers are with the NIC") \
	X(drop_no_fit, "dropped: larger than the guest's buffers") \
	X(drop_no_mbuf, "dropped: out of host buffers") \
	X(drop_flushed, "dropped: under way when a NIC was restarted or a path changed") \
	X(drop_no_member, "dropped: for none of the guests that share the NIC") \
	X(drop_not_taken, "dropped: a guest that shares the NIC had no room at once") \
	X(drop_wrong_queue, "dropped: steered to a guest that it is not for") \
	X(drop_link_down, "dropped: the link of the peer is down") \
	X(drop_no_guest, "dropped: no guest, or its driver is not ready") \
	X(waits, "bursts that waited for the guest's buffers") \
	X(kicks_sent, "notifications sent to the guest") \
	X(kicks_suppressed, "notifications the guest did not want") \
	X(broken, "times the queue was stopped for breaking the rules")

enum zcnet_queue_counter {
#define ZCNET_COUNTER_ENUM(name, text) ZCNET_Q_##name,
	ZCNET_QUEUE_COUNTERS(ZCNET_COUNTER_ENUM)
#undef ZCNET_COUNTER_ENUM
			ZCNET_QUEUE_COUNTER_COUNT
};

/** "copy_small"; NULL out of range */
const char *zcnet_queue_counter_name(unsigned int counter);
/** "copied: more segments than the NIC takes"; NULL out of range */
const char *zcnet_queue_counter_text(unsigned int counter);

enum zcnet_dir {
	ZCNET_RX, /**< into the switch: from the guest, from the wire */
	ZCNET_TX, /**< out of the switch */
};

struct zcnet_queue_stats {
	uint64_t counter[ZCNET_QUEUE_COUNTER_COUNT]; /**< since the last clear */
	bool enabled;       /**< the guest uses the queue; always true on a NIC */
	const char *broken; /**< why the queue was stopped until the next reset, NULL: it wasn't */
	uint32_t out;       /**< guest buffers out now: sent (vhost rx) or armed */
	uint32_t out_peak;  /**< most at a time since the last clear */
	uint64_t oldest_us; /**< vhost rx: how long the oldest has been out at least, 0: none is */
	uint32_t holes; /**< vhost tx: posted buffers held unarmed for a frame to be copied into */
	uint32_t bounces; /**< ethdev rx: host buffers in the NIC's queue */
	int worker;       /**< index of the worker that owns the queue, -1: none */
};

/** Figures of one direction of one queue. -EINVAL when there is no such queue. */
int zcnet_queue_stats_get(const struct zcnet_port *port, enum zcnet_dir dir, uint16_t queue,
		struct zcnet_queue_stats *stats);

/**
 * Sum over the queues of a direction: counters, out and holes summed, peaks and ages the
 * highest.
 */
int zcnet_port_stats_get(const struct zcnet_port *port, enum zcnet_dir dir,
		struct zcnet_queue_stats *stats);

/** Forget the counters and peaks of a port. */
void zcnet_port_stats_clear(struct zcnet_port *port);

#ifdef __cplusplus
}
#endif

#endif

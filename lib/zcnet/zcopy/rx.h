/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames into a guest.
 *
 * A frame goes to the oldest posted chain that has been taken and not filled. When it already
 * lies there, because the NIC wrote it there, only the virtio-net header is missing, and with split
 * the frame's own. Otherwise it is copied: into the hole at that position, or into chains taken
 * from the ring now.
 *
 *      next_used           fill                    next_avail
 *          | filled, to be   | armed buffers and       |
 *          | published       | holes, in avail order   |
 */
#ifndef ZC_ZCOPY_RX_H
#define ZC_ZCOPY_RX_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

#include <linux/virtio_net.h>

#include <zcnet/stats.h>

#include "../core/counters.h"
#include "../vq/vq.h"

struct zc_ctor;

struct zc_rx {
	/* owner */
	struct zc_vq vq;
	/* [vq.size]: virtio-net header of the buffer armed at a position, NULL: a hole */
	uint8_t **hdr;
	uint16_t fill;   /* next position to fill */
	uint32_t walked; /* descriptors since the last burst, for arming and copies */
	uint32_t debt;   /* turns to be passed over, for chains that take long to walk */
	bool fault_counted;
	bool waiting; /* a burst waits for buffers, and was counted */
	bool mergeable;
	struct zc_counters counters;
	/* control, constant while the queue is live */
	struct zc_ctor *ctor; /* of the NIC queue that is armed from here, NULL: none */
	/* enum zcnet_queue_counter: why frames that aren't from ctor are copied */
	uint8_t copy_counter;
	/* control */
	uint8_t full; /* enum zcnet_rx_full */
};

/** Begin and end serving a guest's ring. Runs on: control, not live. */
int zc_rx_attach(struct zc_rx *rx, const struct zc_vq_conf *conf, bool mergeable);
void zc_rx_detach(struct zc_rx *rx);

/**
 * Put frames into the guest and publish them. The caller has zc_rx_notify() follow.
 *
 * Runs on: the owner. Never blocks.
 *
 * @return frames consumed, 0..n: delivered, or dropped and counted. Fewer than n with
 *   ZCNET_RX_FULL_WAIT when the guest has no buffers, and when its chains take long to walk; the
 *   rest stays the caller's.
 */
uint16_t zc_rx_put(struct zc_rx *rx, struct rte_mbuf **pkts, uint16_t n);

/**
 * Interrupt the guest, if it wants that, for what was published. Runs on: the owner.
 *
 * @return it was interrupted
 */
static inline bool
zc_rx_notify(struct zc_rx *rx)
{
	return zc_vq_owes_kick(&rx->vq) && zc_vq_notify(&rx->vq, &rx->counters);
}

/** Chains taken from the ring and not filled: armed buffers and holes. */
static inline uint16_t
zc_rx_undone(const struct zc_rx *rx)
{
	return rx->vq.next_avail - rx->fill;
}

/**
 * Put every chain that isn't filled back to the posted ones. Nothing may be armed. Runs on:
 * control, not live.
 */
void zc_rx_rewind(struct zc_rx *rx);

/** @name Copying. Runs on: the owner. Frames stay the caller's. */
/**@{*/
/**
 * Copy frames of one segment to the oldest chains that aren't filled, as long as these are one
 * descriptor each and large enough.
 *
 * @return how many, from the front; the one after them may be anything
 */
uint16_t zc_rx_copy_run(struct zc_rx *rx, struct rte_mbuf *const *pkts, uint16_t n);

/**
 * Copy a frame to the oldest chains that aren't filled. All of them or none are used up.
 *
 * @return 0 or the counter of the drop
 */
int zc_rx_copy(struct zc_rx *rx, const struct rte_mbuf *m);

/**
 * The virtio-net header of a frame that needs nothing done.
 * Spec 5.1.6.4: num_buffers is 1 without mergeable buffers too. From a constant, since one made on
 * the stack is stored in parts and loaded whole, which waits for the stores.
 */
static inline void
zc_rx_write_header(uint8_t *hdr, uint32_t hdr_len)
{
	static const struct virtio_net_hdr_mrg_rxbuf plain = { .num_buffers = 1 };

	if (likely(hdr_len == sizeof(plain)))
		memcpy(hdr, &plain, sizeof(plain));
	else
		memset(hdr, 0, sizeof(struct virtio_net_hdr));
}
/**@}*/

/** @name For the page constructor. Runs on: the owner. */
/**@{*/
enum zc_rx_take {
	ZC_RX_NONE,  /* nothing posted */
	ZC_RX_HOLE,  /* taken, can't be armed */
	ZC_RX_ARMED, /* taken; the NIC may write where the seg says */
};

/**
 * Arm up to @p n mbufs with the next posted chains, as long as these are one descriptor each and
 * large enough, as nearly all are.
 *
 * @return how many, from the front; the chain after them may be anything
 */
uint16_t zc_rx_arm_run(struct zc_rx *rx, const struct zc_ctor *ctor, struct rte_mbuf *const *m,
		uint16_t n);

/** Take the next posted chain to be armed. */
enum zc_rx_take zc_rx_take_armed(struct zc_rx *rx, const struct zc_ctor *ctor, struct zc_seg *seg);

/** Take the next posted chain as a hole. False: nothing posted. */
bool zc_rx_take_hole(struct zc_rx *rx);

/** The buffer armed at @p pos came back: it is a hole now. */
static inline void
zc_rx_disarmed(struct zc_rx *rx, uint16_t pos)
{
	rx->hdr[pos & rx->vq.mask] = NULL;
}
/**@}*/

#endif

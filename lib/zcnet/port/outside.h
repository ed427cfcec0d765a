/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost port that the lcores of another program poll, instead of workers: what drivers/net/zcnet
 * stands on.
 *
 * The port takes no connection while it is open here. It attaches whatever the guest sends; the
 * program may hold an mbuf as long as it likes, and its guest waits for that buffer.
 */
#ifndef ZC_PORT_OUTSIDE_H
#define ZC_PORT_OUTSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "../core/export.h"

struct rte_mbuf;
struct zcnet_port;
struct zc_outside;

/**
 * Take a vhost port over. Runs on: control threads.
 *
 * @param changed a guest came or went; called within 10 ms of it, on a control thread that must not
 *   wait for anything
 * @return NULL with rte_errno EBUSY (a connection has the port), ENOSPC (too many queues), ENOMEM
 */
ZC_EXPORT struct zc_outside *zc_outside_open(struct zcnet_port *port,
		void (*changed)(void *arg, bool up), void *arg);

/** Give it back. Nobody polls it any more. NULL is accepted. Runs on: control threads. */
ZC_EXPORT void zc_outside_close(struct zc_outside *outside);

/**
 * Frames from the guest; and it gets back what is done. Runs on: any lcore, one at a time for a
 * queue.
 */
ZC_EXPORT uint16_t zc_outside_rx(struct zc_outside *outside, uint16_t queue, struct rte_mbuf **pkts,
		uint16_t n);

/**
 * Frames for the guest. Runs on: any lcore, one at a time for a queue.
 *
 * @return frames consumed; the rest stays the caller's
 */
ZC_EXPORT uint16_t zc_outside_tx(struct zc_outside *outside, uint16_t queue, struct rte_mbuf **pkts,
		uint16_t n);

/**
 * @name Stop and start one direction of a queue. While it is stopped the two calls above do
 * nothing, and nobody is in them when stop returns; rx waits up to 100 ms for the guest's buffers,
 * because nobody else would give them back. Started at first. Runs on: control threads.
 */
/**@{*/
ZC_EXPORT void zc_outside_rx_stop(struct zc_outside *outside, uint16_t queue);
ZC_EXPORT void zc_outside_rx_start(struct zc_outside *outside, uint16_t queue);
ZC_EXPORT void zc_outside_tx_stop(struct zc_outside *outside, uint16_t queue);
ZC_EXPORT void zc_outside_tx_start(struct zc_outside *outside, uint16_t queue);
/**@}*/

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost port that the program's own lcores poll, instead of workers: for a forwarding engine of
 * one's own. drivers/net/zcnet stands on it.
 *
 * The port takes no connection while it is open here. It attaches whatever the guest sends; the
 * program may hold an mbuf as long as it likes, and its guest waits for that buffer.
 */
#ifndef ZCNET_POLL_H
#define ZCNET_POLL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rte_mbuf;
struct zcnet_port;
struct zcnet_poll;

/**
 * Take a vhost port over. Runs on: control threads.
 *
 * @param changed a guest came or went; called within 10 ms of it, on a control thread that must not
 *   wait for anything. NULL: don't tell
 * @return NULL with rte_errno EBUSY (a connection has the port), ENOSPC (too many queues), ENOMEM
 */
struct zcnet_poll *zcnet_poll_open(struct zcnet_port *port, void (*changed)(void *arg, bool up),
		void *arg);

/** Give it back. Nobody polls it any more. NULL is accepted. Runs on: control threads. */
void zcnet_poll_close(struct zcnet_poll *poll);

/**
 * Frames from the guest; and it gets back what is done. Runs on: any lcore, one at a time for a
 * queue.
 */
uint16_t zcnet_poll_rx(struct zcnet_poll *poll, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);

/**
 * Frames for the guest. Runs on: any lcore, one at a time for a queue.
 *
 * @return frames consumed; the rest stays the caller's
 */
uint16_t zcnet_poll_tx(struct zcnet_poll *poll, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);

/**
 * @name Stop and start one direction of a queue. While it is stopped the two calls above do
 * nothing, and nobody is in them when stop returns; rx waits up to 100 ms for the guest's buffers,
 * because nobody else would give them back. Started at first. Runs on: control threads.
 */
/**@{*/
void zcnet_poll_rx_stop(struct zcnet_poll *poll, uint16_t queue);
void zcnet_poll_rx_start(struct zcnet_poll *poll, uint16_t queue);
void zcnet_poll_tx_stop(struct zcnet_poll *poll, uint16_t queue);
void zcnet_poll_tx_start(struct zcnet_poll *poll, uint16_t queue);
/**@}*/

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering: a receive queue of a NIC that gets one guest's frames and nobody else's, so that it
 * may be filled from that guest's memory.
 *
 * What has the address, and the tag if one is asked for, goes to the guest's queue; all else goes
 * to queue 0. How that is done is up to the driver: steer_way.h. It stays so when the NIC stops
 * and starts.
 *
 * Ethdev ports only. Runs on: control, lock held, no worker has the port.
 */
#ifndef ZC_PORT_STEER_H
#define ZC_PORT_STEER_H

#include "port.h"

/**
 * Steer frames for @p mac, and with tag @p vlan unless that is 0, to @p queue, and nothing else.
 *
 * When this returns 0, no frame that came before the rule is left in the queue.
 *
 * @return 0, or what zc_fail() gave
 */
int zc_steer(struct zcnet_port *port, uint16_t queue, const uint8_t *mac, uint16_t vlan);

/** Remove the rule; nothing may be armed on the queue. */
void zc_steer_end(struct zcnet_port *port, uint16_t queue);

/** Do frames for many come to each steered queue too, a copy each? */
bool zc_steer_copies(const struct zcnet_port *port);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A way to steer, as steer.c uses it:
 *
 *   steer_flow.c   rules of rte_flow
 *   steer_vmdq.c   addresses of VMDq pools
 *
 * Runs on: control, lock held, no worker has the port.
 */
#ifndef ZC_PORT_STEER_WAY_H
#define ZC_PORT_STEER_WAY_H

#include "ethdev.h"

struct zc_steer_way {
	enum zc_steer bit; /* of the driver table, where it is known to work */
	bool copies;       /* frames for many come to each steered queue too */
	/** 0, or what zc_fail() gave; end() follows when nothing is steered. */
	int (*add)(struct ethdev_port *ep, uint16_t queue, const uint8_t *mac, uint16_t vlan);
	void (*remove)(struct ethdev_port *ep, uint16_t queue);
	/** Nothing is steered any more. */
	void (*end)(struct ethdev_port *ep);
};

extern const struct zc_steer_way zc_steer_flow, zc_steer_vmdq;

#endif

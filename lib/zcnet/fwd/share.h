/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A NIC that several guests share: what it receives goes to the guest with that address, what
 * is for many goes to all of them, and what is for none is dropped.
 *
 *   NIC queues --- stream ---> share: whose address? --- copy ---> first queue of that guest
 *
 * To the streams the share is a port that only takes. One worker runs all of them, and everything
 * else on these NIC queues and on the guests' first queues: see zc_place().
 *
 * A guest that has no room at once loses the frame, whatever its rx-full says: it must not hold
 * up the others.
 */
#ifndef ZC_FWD_SHARE_H
#define ZC_FWD_SHARE_H

#include <sys/queue.h>

#include "stream.h"

/** Guests of one NIC: a bit for each in a word. */
#define ZC_SHARE_MEMBERS_MAX 64

/** One guest of a shared NIC. Constant while a worker has the share's streams. */
struct zc_member {
	struct zcnet_port *guest;
	uint64_t mac;  /* as it lies in a frame, the first byte lowest */
	uint16_t vlan; /* only frames with this tag, 0: any, tagged or not */
};

struct zc_share {
	/* constant while a worker has the streams */
	struct zcnet_port port; /* in no list */
	struct zcnet_port *nic;
	uint16_t nmembers;
	const struct zc_member *member[ZC_SHARE_MEMBERS_MAX];
	/* owner */
	uint64_t given; /* a bit for each member that is to be told of frames */
	/* control */
	unsigned int users;                        /* connections */
	int worker;                                /* that the first of them wants, -1: any */
	struct zc_stream stream[ZCNET_QUEUES_MAX]; /* from the NIC queue of that index */
	TAILQ_ENTRY(zc_share) next;
};

/** The share of a NIC for one connection more, created when there is none. NULL: zc_fail(). */
struct zc_share *zc_share_get(struct zcnet_port *nic, int worker);

/** One connection less. No worker has the streams of a share without members. */
void zc_share_put(struct zc_share *share);

/** The share of a port, NULL: it is not shared. */
struct zc_share *zc_share_find(const struct zcnet_port *nic);

/** Shares in order of creation: the first for NULL, NULL after the last. */
struct zc_share *zc_share_next(const struct zc_share *prev);

/** @name Who takes part, told anew at each placement. No worker has the streams. */
/**@{*/
void zc_share_clear(struct zc_share *share);
void zc_share_add(struct zc_share *share, const struct zc_member *member);
/**@}*/

/** Address bytes as struct zc_member has them. */
uint64_t zc_share_mac(const uint8_t *bytes);

#endif

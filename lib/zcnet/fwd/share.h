/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A NIC that several guests share: what it receives goes to the guest with that address, what
 * is for many goes to all of them, and what is for none is dropped.
 *
 *   common queues --- stream ---> share: whose address? --- copy ---> first queue of that guest
 *   a guest's own --- stream ---> gate: its address?    --- in place ---> its second queue
 *
 * To the streams share and gates are ports that only take. One worker runs all that is common, and
 * everything else on these NIC queues and on the guests' first queues: see zc_place().
 *
 * A guest whose memory makes the worker wait again and again, as its pages aren't there, rests as
 * long as the others have waited for it: what comes for it then is lost.
 *
 * A guest that has no room at once loses a frame from a common queue, whatever its rx-full says: it
 * must not hold up the others.
 *
 * Why two queues of the guest. Used entries are in avail order, and a queue whose posted buffers
 * are all with the NIC can take nothing else before frames have come in them: a broadcast that
 * the NIC brought on queue 0 would wait as long as nobody sends to the guest, an ARP request
 * for ever. So frames that are copied have a queue of the guest to themselves. A guest that
 * uses one queue pair gets copies alone.
 */
#ifndef ZC_FWD_SHARE_H
#define ZC_FWD_SHARE_H

#include <sys/queue.h>

#include "stream.h"

/** Guests of one NIC: a bit for each in a word. */
#define ZC_SHARE_MEMBERS_MAX 64

/** One guest of a shared NIC. Most is constant while a worker has the share's streams. */
struct zc_member {
	struct zcnet_port *guest;
	uint64_t mac;   /* its bytes, as zc_share_mac() has them */
	uint16_t vlan;  /* only frames with this tag, 0: any, tagged or not */
	uint16_t queue; /* the NIC's, that may be steered to us alone, 0: there was none left */
	bool steered;   /* it is */
	bool copied;    /* steered, and what is for many comes to each of these queues too */
	bool pauses;    /* it isn't for a while: the guest gave it up too often */
	bool refused;   /* it can't be, because: */
	char why[128];
	/* the owner of the common queues */
	uint16_t slow;     /* more with a slow burst, less with another */
	uint64_t rest_tsc; /* up to then it is given nothing */
	/* constant */
	struct zc_share *share;
	struct zcnet_port gate; /* in no list */
};

/** Which queue of a guest takes the frames of its own NIC queue. */
#define ZC_SHARE_OWN_PAIR 1

struct zc_share {
	/* constant while a worker has the streams */
	struct zcnet_port port; /* in no list */
	struct zcnet_port *nic;
	uint16_t nmembers;
	bool own[ZCNET_QUEUES_MAX]; /* queues that aren't common */
	uint64_t copied; /* a bit for each member whose own queue gets what is for many */
	struct zc_member *member[ZC_SHARE_MEMBERS_MAX];
	uint64_t long_cycles; /* a burst for one member that takes longer is slow */
	/* owner */
	uint64_t given; /* a bit for each member that is to be told of frames */
	/* control */
	bool stale;                                /* one of the connections is */
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
void zc_share_add(struct zc_share *share, struct zc_member *member);
/**@}*/

/** Fill in what is the share's: @p member's gate. */
void zc_share_init_gate(struct zc_share *share, struct zc_member *member);

/** The bytes of an address, then two of 0. */
uint64_t zc_share_mac(const uint8_t *bytes);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-connects: two ports and the streams between them. */
#ifndef ZC_FWD_CONN_H
#define ZC_FWD_CONN_H

#include <sys/queue.h>

#include <zcnet/conn.h>

#include "share.h"
#include "stream.h"

/* Both ways between every queue of both sides. */
#define ZC_CONN_STREAMS_MAX (2 * ZCNET_QUEUES_MAX)

/** Where the answer to a NIC that holds guest buffers too long stands. */
struct zc_conn_recovery {
	bool on;
	uint64_t clean_tsc;   /* since when the NIC has been well */
	uint64_t release_tsc; /* when the NIC was last made to give everything back */
};

struct zcnet_conn {
	/* control */
	char name[ZCNET_NAME_MAX];
	struct zcnet_port *a, *b;
	int worker;
	struct zc_share *share; /* of the NIC with other guests, NULL: the ports are ours alone */
	struct zc_member member;
	struct zc_conn_recovery recovery;
	bool stale;            /* it is being laid out anew: no worker has its streams */
	bool flush;            /* frames under way are to be dropped at the next layout */
	bool leaves;           /* the share: its own queue is given up at the next layout */
	uint64_t restarts_tsc; /* when what it cost the others is paid: see layout.c */
	uint16_t na, nb;       /* queues of a and b that the streams are laid out for */
	uint16_t nstreams;
	struct zc_stream stream[ZC_CONN_STREAMS_MAX];
	TAILQ_ENTRY(zcnet_conn) next;
};

/** Longest wait for frames under way to come back of themselves, before a NIC is restarted. */
#define ZC_CONN_SETTLE_MS 100

static inline bool
zc_is_nic(const struct zcnet_port *port)
{
	return port->type == ZCNET_PORT_ETHDEV;
}

/** @name The two sides of a connection between a guest and a NIC. */
/**@{*/
static inline struct zcnet_port *
zc_conn_guest(const struct zcnet_conn *conn)
{
	return zc_is_nic(conn->a) ? conn->b : conn->a;
}

static inline struct zcnet_port *
zc_conn_nic(const struct zcnet_conn *conn)
{
	return zc_is_nic(conn->a) ? conn->a : conn->b;
}
/**@}*/

/** Would a layout change which streams there are, or what they carry? Lock held. */
bool zc_conn_is_stale(const struct zcnet_conn *conn);

/**
 * Lay the streams out again after queues came or went: queue i goes with queue i, modulo the
 * smaller side. No worker has any of them; they may have those of a connection that isn't stale,
 * which stay as they are.
 */
void zc_conn_layout(struct zcnet_conn *conn);

/** Drop what waits in its streams, and tell guests of what they got. No worker has any of them. */
void zc_conn_flush(struct zcnet_conn *conn);

/** @p guest's buffers are armed on no NIC, and nobody takes its frames, from now on. Lock held. */
void zc_conn_forget_peer(struct zcnet_port *guest);

/** Regular work: let a guest have a queue of its own again that has waited for it. Lock held. */
void zc_conn_end_pause(struct zcnet_conn *conn, uint64_t now);

/** Copy all that @p guest sends from now on, or no more. Lock held. */
void zc_conn_recover(struct zcnet_conn *conn, struct zcnet_port *guest, bool on);

/** Regular work, about every 10 ms: stalls and link loss. Lock held. */
void zc_conn_tick(struct zcnet_conn *conn, uint64_t now);

#endif

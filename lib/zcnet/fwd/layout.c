/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which streams a connection has, and which NIC queue is filled from a guest's memory.
 *
 * A guest that shares a NIC gets a queue of its own, and gives it up with each reset. Either may
 * restart the NIC, for all who share it: so who gives its queue up again and again waits for it,
 * and what it receives is copied meanwhile.
 */
#include "conn.h"

#include <stdio.h>

#include <rte_cycles.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../port/steer.h"

/* A queue of one's own may be given up so often in a row, and once in as many seconds. */
#define GIVEN_UP_MOST 4u
#define GIVEN_UP_SECONDS 60u

static void
add_stream(struct zcnet_conn *conn, struct zcnet_port *src, uint16_t src_queue,
		struct zcnet_port *dst, uint16_t dst_queue, uint16_t group)
{
	struct zc_stream *stream = &conn->stream[conn->nstreams++];

	stream->src = src;
	stream->dst = dst;
	stream->src_queue = src_queue;
	stream->dst_queue = dst_queue;
	stream->src_state = src->ops->source_state(src, src_queue);
	stream->group = group;
}

void
zc_conn_flush(struct zcnet_conn *conn)
{
	for (uint16_t i = 0; i < conn->nstreams; i++) {
		zc_stream_notify(&conn->stream[i]);
		zc_stream_flush(&conn->stream[i]);
	}
}

/*
 * A guest's buffers are armed on the NIC queue of the same number, unless several NIC queues
 * feed one guest queue.
 */
static void
choose_sources(struct zcnet_port *guest, struct zcnet_port *nic, uint16_t pairs)
{
	bool armed = nic != NULL && nic->nqueues <= pairs;

	for (uint16_t i = 0; i < guest->nqueues; i++)
		zc_vhost_set_source(guest, i, armed && i < pairs ? nic : NULL, i);
}

static void
choose_takes(struct zcnet_port *src, const struct zcnet_port *dst, bool shared)
{
	struct zc_port_takes takes;

	dst->ops->takes(dst, &takes);
	takes.shared = shared;
	if (!zc_is_nic(src))
		zc_vhost_set_takes(src, &takes);
}

void
zc_conn_forget_peer(struct zcnet_port *guest)
{
	const struct zc_port_takes nothing = { 0 };

	choose_sources(guest, NULL, 0);
	zc_vhost_set_takes(guest, &nothing);
}

static void
lay_out(struct zcnet_conn *conn, uint16_t na, uint16_t nb)
{
	uint16_t pairs = RTE_MIN(na, nb);

	zc_conn_flush(conn);
	conn->na = na;
	conn->nb = nb;
	conn->nstreams = 0;
	for (uint16_t i = 0; i < na; i++)
		add_stream(conn, conn->a, i, conn->b, i % pairs, i % pairs);
	for (uint16_t i = 0; i < nb; i++)
		add_stream(conn, conn->b, i, conn->a, i % pairs, i % pairs);
}

/* The first queues go with what is common, the others with the NIC queue of the guest's own. */
static void
lay_out_shared(struct zcnet_conn *conn, uint16_t pairs)
{
	struct zc_member *member = &conn->member;
	struct zcnet_port *guest = zc_conn_guest(conn), *nic = zc_conn_nic(conn);

	conn->na = pairs;
	conn->nstreams = 0;
	for (uint16_t i = 0; i < pairs; i++) {
		bool own = member->steered && i >= ZC_SHARE_OWN_PAIR;

		add_stream(conn, guest, i, nic, own ? member->queue : 0, own);
	}
	if (member->steered)
		add_stream(conn, nic, member->queue, &member->gate, ZC_SHARE_OWN_PAIR, 1);
}

static uint64_t
longest_debt(void)
{
	return (GIVEN_UP_MOST - 1) * GIVEN_UP_SECONDS * rte_get_tsc_hz();
}

/* The guest did it, not the NIC's owner. */
static void
gave_up(struct zcnet_conn *conn)
{
	uint64_t now = rte_rdtsc();

	conn->restarts_tsc = RTE_MAX(conn->restarts_tsc, now) + GIVEN_UP_SECONDS * rte_get_tsc_hz();
	conn->member.pauses = conn->restarts_tsc - now > longest_debt();
	if (conn->member.pauses)
		ZC_LOG(WARNING,
				"connection %s: port %s gave up its NIC queue %u times in a row: "
				"what it receives is copied for up to %u s",
				conn->name, zc_conn_guest(conn)->name, GIVEN_UP_MOST,
				GIVEN_UP_SECONDS);
}

void
zc_conn_end_pause(struct zcnet_conn *conn, uint64_t now)
{
	if (!conn->member.pauses || now + longest_debt() < conn->restarts_tsc)
		return;
	conn->member.pauses = false;
	zc_control_changed();
}

/* The rule comes before the first buffer is armed, and goes after the last one is back. */
static void
steer(struct zcnet_conn *conn, bool wanted)
{
	struct zc_member *member = &conn->member;
	struct zcnet_port *guest = zc_conn_guest(conn), *nic = zc_conn_nic(conn);

	zc_conn_flush(conn);
	if (wanted) {
		member->steered = zc_steer(nic, member->queue, (const uint8_t *)&member->mac,
						  member->vlan) == 0;
		member->refused = !member->steered;
		if (member->refused)
			snprintf(member->why, sizeof(member->why), "%s", zc_last_error());
		member->copied = member->steered && zc_steer_copies(nic);
		if (member->steered)
			zc_vhost_set_source(guest, ZC_SHARE_OWN_PAIR, nic, member->queue);
	} else {
		zc_vhost_set_source(guest, ZC_SHARE_OWN_PAIR, NULL, 0);
		zc_steer_end(nic, member->queue);
		member->steered = member->copied = false;
		if (nic->started && !conn->leaves)
			gave_up(conn);
	}
}

static uint16_t
pairs_of(const struct zcnet_port *port)
{
	return RTE_MAX(port->ops->queues_used(port), 1);
}

/* A NIC queue of the guest's own. */
static bool
wants_steering(const struct zcnet_conn *conn)
{
	return !conn->leaves && conn->member.queue > 0 && !conn->member.pauses &&
			pairs_of(zc_conn_guest(conn)) > ZC_SHARE_OWN_PAIR &&
			zc_conn_nic(conn)->started;
}

static void
layout_shared(struct zcnet_conn *conn)
{
	struct zc_member *member = &conn->member;
	uint16_t pairs = pairs_of(zc_conn_guest(conn));
	bool was_steered = member->steered;
	bool wanted = wants_steering(conn);

	if (!wanted)
		member->refused = false;
	if (wanted != member->steered && !member->refused)
		steer(conn, wanted);
	if (pairs != conn->na)
		zc_conn_flush(conn);
	if (pairs != conn->na || member->steered != was_steered)
		lay_out_shared(conn, pairs);
	choose_takes(zc_conn_guest(conn), zc_conn_nic(conn), true);
	if (conn->stale)
		zc_share_add(conn->share, &conn->member);
}

static void
layout_alone(struct zcnet_conn *conn)
{
	uint16_t na = pairs_of(conn->a), nb = pairs_of(conn->b);
	uint16_t pairs = RTE_MIN(na, nb);

	if (na != conn->na || nb != conn->nb)
		lay_out(conn, na, nb);
	choose_takes(conn->a, conn->b, false);
	choose_takes(conn->b, conn->a, false);
	if (!zc_is_nic(conn->a))
		choose_sources(conn->a, zc_is_nic(conn->b) ? conn->b : NULL, pairs);
	if (!zc_is_nic(conn->b))
		choose_sources(conn->b, zc_is_nic(conn->a) ? conn->a : NULL, pairs);
}

bool
zc_conn_is_stale(const struct zcnet_conn *conn)
{
	const struct zc_member *member = &conn->member;
	bool steers = conn->share != NULL && wants_steering(conn);

	if (conn->flush || conn->nstreams == 0)
		return true;
	if (conn->share == NULL)
		return pairs_of(conn->a) != conn->na || pairs_of(conn->b) != conn->nb;
	return pairs_of(zc_conn_guest(conn)) != conn->na ||
			(steers != member->steered && !(steers && member->refused));
}

void
zc_conn_layout(struct zcnet_conn *conn)
{
	if (conn->share != NULL)
		layout_shared(conn);
	else
		layout_alone(conn);
	if (conn->flush)
		zc_conn_flush(conn);
	conn->flush = false;
}

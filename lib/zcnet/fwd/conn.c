/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cross-connects.
 *
 * Used entries are published in avail order, so one buffer that a NIC keeps would stop its
 * guest's queue. The answer, for a guest bound to a NIC: when the oldest buffer has been out
 * for STALL_MS, or the link goes down, the NIC is stopped and started, which gives every buffer
 * back; the guest's frames are copied from then on, and attached again after the NIC has been
 * well for CLEAN_MS. A NIC that takes no frame for STALL_MS is treated the same, though copies
 * that wait for it hold no buffer.
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "../core/quiesce.h"
#include "../port/steer.h"

#define STALL_MS 100
#define CLEAN_MS 1000
#define SETTLE_MS 100

static TAILQ_HEAD(, zcnet_conn) conns = TAILQ_HEAD_INITIALIZER(conns);

ZC_EXPORT struct zcnet_conn *
zcnet_conn_find(const char *name)
{
	struct zcnet_conn *conn;

	TAILQ_FOREACH(conn, &conns, next)
		if (strcmp(conn->name, name) == 0)
			return conn;
	return NULL;
}

ZC_EXPORT struct zcnet_conn *
zcnet_conn_next(const struct zcnet_conn *prev)
{
	return prev == NULL ? TAILQ_FIRST(&conns) : TAILQ_NEXT(prev, next);
}

static bool
is_nic(const struct zcnet_port *port)
{
	return port->type == ZCNET_PORT_ETHDEV;
}

/* The two sides of a connection between a guest and a NIC. */

static struct zcnet_port *
guest_of(const struct zcnet_conn *conn)
{
	return is_nic(conn->a) ? conn->b : conn->a;
}

static struct zcnet_port *
nic_of(const struct zcnet_conn *conn)
{
	return is_nic(conn->a) ? conn->a : conn->b;
}

/* ---- streams ---- */

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

static void
flush_streams(struct zcnet_conn *conn)
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
	if (!is_nic(src))
		zc_vhost_set_takes(src, &takes);
}

static void
lay_out(struct zcnet_conn *conn, uint16_t na, uint16_t nb)
{
	uint16_t pairs = RTE_MIN(na, nb);

	flush_streams(conn);
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
	struct zcnet_port *guest = guest_of(conn), *nic = nic_of(conn);

	conn->na = pairs;
	conn->nstreams = 0;
	for (uint16_t i = 0; i < pairs; i++) {
		bool own = member->steered && i >= ZC_SHARE_OWN_PAIR;

		add_stream(conn, guest, i, nic, own ? member->queue : 0, own);
	}
	if (member->steered)
		add_stream(conn, nic, member->queue, &member->gate, ZC_SHARE_OWN_PAIR, 1);
}

/* The rule comes before the first buffer is armed, and goes after the last one is back. */
static void
steer(struct zcnet_conn *conn, bool wanted)
{
	struct zc_member *member = &conn->member;
	struct zcnet_port *guest = guest_of(conn), *nic = nic_of(conn);

	flush_streams(conn);
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
	return !conn->leaves && conn->member.queue > 0 &&
			pairs_of(guest_of(conn)) > ZC_SHARE_OWN_PAIR && nic_of(conn)->started;
}

static void
layout_shared(struct zcnet_conn *conn)
{
	struct zc_member *member = &conn->member;
	uint16_t pairs = pairs_of(guest_of(conn));
	bool was_steered = member->steered;
	bool wanted = wants_steering(conn);

	if (!wanted)
		member->refused = false;
	if (wanted != member->steered && !member->refused)
		steer(conn, wanted);
	if (pairs != conn->na)
		flush_streams(conn);
	if (pairs != conn->na || member->steered != was_steered)
		lay_out_shared(conn, pairs);
	choose_takes(guest_of(conn), nic_of(conn), true);
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
	if (!is_nic(conn->a))
		choose_sources(conn->a, is_nic(conn->b) ? conn->b : NULL, pairs);
	if (!is_nic(conn->b))
		choose_sources(conn->b, is_nic(conn->a) ? conn->a : NULL, pairs);
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
	return pairs_of(guest_of(conn)) != conn->na ||
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
		flush_streams(conn);
	conn->flush = false;
}

/* ---- stalls ---- */

static void
set_recovery(struct zcnet_conn *conn, struct zcnet_port *guest, bool on)
{
	conn->recovery.on = on;
	for (uint16_t i = 0; i < guest->nqueues; i++)
		zc_vhost_set_recover(guest, i, on);
}

static uint32_t
out_of(struct zcnet_port *guest)
{
	uint32_t out = 0;

	for (uint16_t i = 0; i < guest->nqueues; i++)
		out += zc_tx_out(zc_vhost_tx(guest, i));
	return out;
}

/*
 * Get the guest's buffers back. Frames that wait for the NIC would go right back into it: they are
 * dropped, unless they are copies. A NIC that has no buffer and takes frames is left alone:
 * restarting it might bring up a link that somebody took down.
 */
static void
take_back(struct zcnet_conn *conn, struct zcnet_port *guest, struct zcnet_port *nic, bool refuses,
		uint64_t now)
{
	conn->recovery.release_tsc = now;
	conn->flush = out_of(guest) > 0;
	zc_control_changed();
	/* The worker has to see first that what was dropped is back. */
	for (unsigned int i = 0; i < SETTLE_MS && out_of(guest) > 0; i++)
		rte_delay_us_sleep(1000);
	if (out_of(guest) > 0 || refuses)
		nic->ops->release(nic);
}

static uint64_t
taken_by(const struct zc_stream *stream)
{
	struct zcnet_queue_stats stats = { 0 };

	stream->dst->ops->stats(stream->dst, ZCNET_TX, stream->dst_queue, &stats);
	return stats.counter[ZCNET_Q_frames] + stats.counter[ZCNET_Q_drop_link_down];
}

static bool
is_refused(struct zc_stream *stream, uint64_t now)
{
	uint64_t taken = taken_by(stream);

	if (__atomic_load_n(&stream->npending, __ATOMIC_RELAXED) == 0 || taken != stream->taken) {
		stream->taken = taken;
		stream->taken_tsc = now;
		return false;
	}
	if (now - stream->taken_tsc < rte_get_tsc_hz() / 1000 * STALL_MS)
		return false;
	/* A worker that wasn't scheduled is no slow NIC: it has tried once more after this. */
	zc_quiesce_wait();
	return taken_by(stream) == taken;
}

/* Does the NIC take nothing of what waits for it? */
static bool
refuses(struct zcnet_conn *conn, const struct zcnet_port *nic, uint64_t now)
{
	bool refuses = false;

	for (uint16_t i = 0; i < conn->nstreams; i++)
		if (conn->stream[i].dst == nic)
			refuses |= is_refused(&conn->stream[i], now);
	return refuses;
}

static uint64_t
oldest(struct zcnet_port *guest)
{
	uint64_t age = 0;

	for (uint16_t i = 0; i < guest->nqueues; i++)
		age = RTE_MAX(age, zc_tx_age(zc_vhost_tx(guest, i)));
	return age;
}

static void
tick(struct zcnet_conn *conn, struct zcnet_port *guest, struct zcnet_port *nic, uint64_t now)
{
	struct zc_conn_recovery *recovery = &conn->recovery;
	uint64_t ms = rte_get_tsc_hz() / 1000;
	uint64_t age = oldest(guest);
	bool link_up = zc_ethdev_link_up(nic);
	bool refused, well;

	if (!nic->started)
		return;
	refused = link_up && refuses(conn, nic, now);
	well = link_up && !refused && age < STALL_MS * ms;
	if (!well)
		recovery->clean_tsc = now;
	if (!recovery->on && !well) {
		ZC_LOG(WARNING, "connection %s: %s: copying, getting %s's buffers back from %s",
				conn->name,
				!link_up                ? "link down" :
						refused ? "no frame was taken for 100 ms" :
							  "a buffer has been out for 100 ms",
				guest->name, nic->name);
		set_recovery(conn, guest, true);
		take_back(conn, guest, nic, refused, now);
	} else if (recovery->on && !well && now - recovery->release_tsc > CLEAN_MS * ms) {
		take_back(conn, guest, nic, refused, now);
	} else if (recovery->on && now - recovery->clean_tsc > CLEAN_MS * ms) {
		ZC_LOG(NOTICE, "connection %s: %s has been well for a second: zero copy again",
				conn->name, nic->name);
		set_recovery(conn, guest, false);
	}
}

void
zc_conn_tick(struct zcnet_conn *conn, uint64_t now)
{
	if (is_nic(conn->a) != is_nic(conn->b))
		tick(conn, guest_of(conn), nic_of(conn), now);
}

/* ---- life ---- */

static bool
is_shared(const struct zcnet_conn_conf *conf)
{
	return zc_share_mac(conf->mac) != 0;
}

/* May the port be bound? A NIC that is shared may, by one who shares it. */
static bool
is_free(const struct zcnet_port *port, const struct zcnet_conn_conf *conf)
{
	const struct zc_share *share = zc_share_find(port);

	return port->bound == NULL || (is_shared(conf) && share != NULL);
}

static int
check_address(const struct zcnet_conn_conf *conf, const struct zcnet_port *nic)
{
	const struct zc_share *share = zc_share_find(nic);
	uint64_t mac = zc_share_mac(conf->mac);
	const struct zcnet_conn *conn;

	TAILQ_FOREACH(conn, &conns, next)
		if (conn->share != NULL && conn->share == share && conn->member.mac == mac &&
				(conn->member.vlan == conf->vlan || conn->member.vlan == 0 ||
						conf->vlan == 0))
			return zc_fail(EEXIST, "connection %s: connection %s has this address",
					conf->name, conn->name);
	return 0;
}

static int
check_shared(const struct zcnet_conn_conf *conf)
{
	const struct zcnet_port *nic = is_nic(conf->a) ? conf->a : conf->b;
	const struct zc_share *share = zc_share_find(nic);

	if (!is_shared(conf))
		return conf->vlan == 0 ?
				0 :
				zc_fail(EINVAL, "connection %s: vlan needs mac", conf->name);
	if (is_nic(conf->a) == is_nic(conf->b))
		return zc_fail(EINVAL, "connection %s: mac is for a guest and a NIC", conf->name);
	if (conf->mac[0] & 1)
		return zc_fail(EINVAL, "connection %s: the address is one of many, not a guest's",
				conf->name);
	if (conf->vlan > RTE_ETHER_MAX_VLAN_ID - 1)
		return zc_fail(EINVAL, "connection %s: vlan %u, 1 to %u are possible", conf->name,
				conf->vlan, RTE_ETHER_MAX_VLAN_ID - 1);
	if (share != NULL && share->users == ZC_SHARE_MEMBERS_MAX)
		return zc_fail(ENOSPC, "connection %s: %u guests share port %s already", conf->name,
				share->users, nic->name);
	return check_address(conf, nic);
}

static int
check(const struct zcnet_conn_conf *conf)
{
	if (conf->name == NULL || conf->name[0] == '\0' || strlen(conf->name) >= ZCNET_NAME_MAX)
		return zc_fail(EINVAL, "connection: a name of 1 to %d bytes is needed",
				ZCNET_NAME_MAX - 1);
	if (zcnet_conn_find(conf->name) != NULL)
		return zc_fail(EEXIST, "connection %s exists already: choose another name",
				conf->name);
	if (conf->a == NULL || conf->b == NULL || conf->a == conf->b)
		return zc_fail(EINVAL, "connection %s: two different ports are needed", conf->name);
	if (!is_free(conf->a, conf) || !is_free(conf->b, conf))
		return zc_fail(EBUSY, "connection %s: port %s is bound already: unbind it first",
				conf->name, is_free(conf->a, conf) ? conf->b->name : conf->a->name);
	return check_shared(conf);
}

/* A NIC queue that no other guest may have for its own, 0: none is left. */
static uint16_t
free_queue(const struct zc_share *share)
{
	bool used[ZCNET_QUEUES_MAX] = { false };
	const struct zcnet_conn *conn;

	TAILQ_FOREACH(conn, &conns, next)
		if (conn->share == share)
			used[conn->member.queue] = true;
	for (uint16_t i = 1; i < share->nic->nqueues; i++)
		if (!used[i])
			return i;
	return 0;
}

static struct zcnet_conn *
create(const struct zcnet_conn_conf *conf)
{
	struct zcnet_conn *conn;

	if (check(conf) < 0)
		return NULL;
	conn = rte_zmalloc("zc_conn", sizeof(*conn), RTE_CACHE_LINE_SIZE);
	if (conn == NULL) {
		zc_fail(ENOMEM, "connection %s: out of memory", conf->name);
		return NULL;
	}
	snprintf(conn->name, sizeof(conn->name), "%s", conf->name);
	conn->a = conf->a;
	conn->b = conf->b;
	conn->worker = conf->worker;
	if (is_shared(conf)) {
		conn->share = zc_share_get(nic_of(conn), conf->worker);
		if (conn->share == NULL) {
			rte_free(conn);
			return NULL;
		}
		conn->member = (struct zc_member){ .guest = guest_of(conn),
			.mac = zc_share_mac(conf->mac),
			.vlan = conf->vlan,
			.queue = free_queue(conn->share) };
		zc_share_init_gate(conn->share, &conn->member);
		guest_of(conn)->bound = conn;
	} else {
		conn->a->bound = conn;
		conn->b->bound = conn;
	}
	TAILQ_INSERT_TAIL(&conns, conn, next);
	zc_control_changed();
	return conn;
}

ZC_EXPORT struct zcnet_conn *
zcnet_conn_create(const struct zcnet_conn_conf *conf)
{
	struct zcnet_conn *conn;

	zc_control_lock();
	conn = create(conf);
	zc_control_unlock();
	return conn;
}

/* Take everything of the other side's out of @port. */
static void
part(struct zcnet_conn *conn, struct zcnet_port *port)
{
	const struct zc_port_takes nothing = { 0 };

	if (port->bound == conn)
		port->bound = NULL;
	if (is_nic(port))
		return;
	set_recovery(conn, port, false);
	for (uint16_t i = 0; i < port->nqueues; i++)
		zc_vhost_complete(port, i);
	choose_sources(port, NULL, 0);
	zc_vhost_set_takes(port, &nothing);
}

/* Others send by the NIC that is shared: it is not stopped for nothing. */
static bool
is_idle(struct zcnet_port *guest)
{
	for (unsigned int i = 0; i < SETTLE_MS; i++) {
		uint32_t out = 0;

		for (uint16_t q = 0; q < guest->nqueues; q++)
			out += guest->ops->complete(guest, q, rte_rdtsc()).out;
		if (out == 0)
			return true;
		rte_delay_us_sleep(1000);
	}
	return false;
}

ZC_EXPORT void
zcnet_conn_destroy(struct zcnet_conn *conn)
{
	if (conn == NULL)
		return;
	zc_control_lock();
	conn->leaves = true;
	if (conn->share != NULL)
		zc_control_changed();
	TAILQ_REMOVE(&conns, conn, next);
	/* Takes the streams from the workers. */
	zc_control_changed();
	flush_streams(conn);
	/* What is under way comes back now: nobody will ask the NIC for it any more. */
	if (is_nic(conn->a) != is_nic(conn->b) && (conn->share == NULL || !is_idle(guest_of(conn))))
		nic_of(conn)->ops->release(nic_of(conn));
	part(conn, conn->a);
	part(conn, conn->b);
	if (conn->share != NULL)
		zc_share_put(conn->share);
	rte_free(conn);
	zc_control_unlock();
}

/* Why a guest has no NIC queue of its own. */
static void
tell_why_copied(const struct zcnet_conn *conn, char *text, size_t size)
{
	const struct zc_member *member = &conn->member;

	if (member->queue == 0)
		snprintf(text, size, "all it receives is copied: %s has no queue left for it",
				nic_of(conn)->name);
	else if (member->refused)
		snprintf(text, size, "all it receives is copied: %s", member->why);
	else if (!member->steered)
		snprintf(text, size,
				"all it receives is copied: it uses one queue pair, a second "
				"would be filled in place");
}

ZC_EXPORT int
zcnet_conn_info_get(const struct zcnet_conn *conn, struct zcnet_conn_info *info)
{
	zc_control_lock();
	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "%s", conn->name);
	info->a = conn->a;
	info->b = conn->b;
	info->streams = conn->nstreams;
	info->worker = conn->worker;
	info->copying = conn->recovery.on;
	if (conn->share != NULL) {
		memcpy(info->mac, &conn->member.mac, sizeof(info->mac));
		info->vlan = conn->member.vlan;
		info->own_queue = conn->member.steered ? conn->member.queue : 0;
		tell_why_copied(conn, info->note, sizeof(info->note));
	}
	zc_control_unlock();
	return 0;
}

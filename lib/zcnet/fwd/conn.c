/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cross-connects.
 *
 * Used entries are published in avail order, so one buffer that a NIC keeps would stop its
 * guest's queue. The answer, for a guest bound to a NIC: when the oldest buffer has been out
 * for STALL_MS, or the link goes down, the NIC is stopped and started, which gives every buffer
 * back; the guest's frames are copied from then on, and attached again after the NIC has been
 * well for CLEAN_MS.
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"

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
	for (uint16_t i = 0; i < conn->nstreams; i++)
		zc_stream_flush(&conn->stream[i]);
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

static bool
is_nic(const struct zcnet_port *port)
{
	return port->type == ZCNET_PORT_ETHDEV;
}

static void
choose_takes(struct zcnet_port *src, const struct zcnet_port *dst)
{
	struct zc_port_takes takes;

	dst->ops->takes(dst, &takes);
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

void
zc_conn_layout(struct zcnet_conn *conn)
{
	uint16_t na = RTE_MAX(conn->a->ops->queues_used(conn->a), 1);
	uint16_t nb = RTE_MAX(conn->b->ops->queues_used(conn->b), 1);
	uint16_t pairs = RTE_MIN(na, nb);

	if (na != conn->na || nb != conn->nb)
		lay_out(conn, na, nb);
	if (conn->flush)
		flush_streams(conn);
	conn->flush = false;
	choose_takes(conn->a, conn->b);
	choose_takes(conn->b, conn->a);
	if (!is_nic(conn->a))
		choose_sources(conn->a, is_nic(conn->b) ? conn->b : NULL, pairs);
	if (!is_nic(conn->b))
		choose_sources(conn->b, is_nic(conn->a) ? conn->a : NULL, pairs);
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
 * dropped. A NIC that has none is left alone: restarting it might bring up a link that somebody
 * took down.
 */
static void
take_back(struct zcnet_conn *conn, struct zcnet_port *guest, struct zcnet_port *nic, uint64_t now)
{
	conn->recovery.release_tsc = now;
	conn->flush = true;
	zc_control_changed();
	/* The worker has to see first that what was dropped is back. */
	for (unsigned int i = 0; i < SETTLE_MS && out_of(guest) > 0; i++)
		rte_delay_us_sleep(1000);
	if (out_of(guest) > 0)
		nic->ops->release(nic);
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
	bool well = link_up && age < STALL_MS * ms;

	if (!nic->started)
		return;
	if (!well)
		recovery->clean_tsc = now;
	if (!recovery->on && !well) {
		ZC_LOG(WARNING, "connection %s: %s: copying, getting %s's buffers back from %s",
				conn->name,
				link_up ? "a buffer has been out for 100 ms" : "link down",
				guest->name, nic->name);
		set_recovery(conn, guest, true);
		take_back(conn, guest, nic, now);
	} else if (recovery->on && !well && now - recovery->release_tsc > CLEAN_MS * ms) {
		take_back(conn, guest, nic, now);
	} else if (recovery->on && now - recovery->clean_tsc > CLEAN_MS * ms) {
		ZC_LOG(NOTICE, "connection %s: %s has been well for a second: zero copy again",
				conn->name, nic->name);
		set_recovery(conn, guest, false);
	}
}

void
zc_conn_tick(struct zcnet_conn *conn, uint64_t now)
{
	if (!is_nic(conn->a) && is_nic(conn->b))
		tick(conn, conn->a, conn->b, now);
	else if (is_nic(conn->a) && !is_nic(conn->b))
		tick(conn, conn->b, conn->a, now);
}

/* ---- life ---- */

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
	if (conf->a->bound != NULL || conf->b->bound != NULL)
		return zc_fail(EBUSY, "connection %s: port %s is bound already: unbind it first",
				conf->name, conf->a->bound != NULL ? conf->a->name : conf->b->name);
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
	conn->a->bound = conn;
	conn->b->bound = conn;
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

	port->bound = NULL;
	if (is_nic(port))
		return;
	set_recovery(conn, port, false);
	for (uint16_t i = 0; i < port->nqueues; i++)
		port->ops->complete(port, i, rte_rdtsc());
	choose_sources(port, NULL, 0);
	zc_vhost_set_takes(port, &nothing);
}

ZC_EXPORT void
zcnet_conn_destroy(struct zcnet_conn *conn)
{
	if (conn == NULL)
		return;
	zc_control_lock();
	TAILQ_REMOVE(&conns, conn, next);
	/* Takes the streams from the workers. */
	zc_control_changed();
	flush_streams(conn);
	if (is_nic(conn->a) != is_nic(conn->b)) {
		struct zcnet_port *nic = is_nic(conn->a) ? conn->a : conn->b;

		/* What is under way comes back now: nobody will ask the NIC for it any more. */
		nic->ops->release(nic);
	}
	part(conn, conn->a);
	part(conn, conn->b);
	rte_free(conn);
	zc_control_unlock();
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
	zc_control_unlock();
	return 0;
}

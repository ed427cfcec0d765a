/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-connects: made, told about, and ended. */
#include "conn.h"

#include <errno.h>
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"

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
	const struct zcnet_port *nic = zc_is_nic(conf->a) ? conf->a : conf->b;
	const struct zc_share *share = zc_share_find(nic);

	if (!is_shared(conf))
		return conf->vlan == 0 ?
				0 :
				zc_fail(EINVAL, "connection %s: vlan needs mac", conf->name);
	if (zc_is_nic(conf->a) == zc_is_nic(conf->b))
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

/* Not every NIC takes more than one segment, and nothing is gained. */
static int
check_split(const struct zcnet_conn_conf *conf)
{
	if (zc_is_nic(conf->a) && zc_is_nic(conf->b) && (conf->a->split > 0 || conf->b->split > 0))
		return zc_fail(EINVAL, "connection %s: split-bytes is for a NIC and a guest",
				conf->name);
	return 0;
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
	if (check_split(conf) < 0)
		return -EINVAL;
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
		conn->share = zc_share_get(zc_conn_nic(conn), conf->worker);
		if (conn->share == NULL) {
			rte_free(conn);
			return NULL;
		}
		conn->member = (struct zc_member){ .guest = zc_conn_guest(conn),
			.mac = zc_share_mac(conf->mac),
			.vlan = conf->vlan,
			.queue = free_queue(conn->share) };
		zc_share_init_gate(conn->share, &conn->member);
		zc_conn_guest(conn)->bound = conn;
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
	if (port->bound == conn)
		port->bound = NULL;
	if (zc_is_nic(port))
		return;
	zc_conn_recover(conn, port, false);
	for (uint16_t i = 0; i < port->nqueues; i++)
		zc_vhost_complete(port, i);
	zc_conn_forget_peer(port);
}

/* Others send by the NIC that is shared: it is not stopped for nothing. */
static bool
is_idle(struct zcnet_port *guest)
{
	for (unsigned int i = 0; i < ZC_CONN_SETTLE_MS; i++) {
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
	zc_conn_flush(conn);
	/* What is under way comes back now: nobody will ask the NIC for it any more. */
	if (zc_is_nic(conn->a) != zc_is_nic(conn->b) &&
			(conn->share == NULL || !is_idle(zc_conn_guest(conn))))
		zc_conn_nic(conn)->ops->release(zc_conn_nic(conn));
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
				zc_conn_nic(conn)->name);
	else if (member->refused)
		snprintf(text, size, "all it receives is copied: %s", member->why);
	else if (member->pauses)
		snprintf(text, size,
				"all it receives is copied: it gave up its queue too often, it "
				"gets it back within a minute");
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

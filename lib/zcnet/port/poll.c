/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports polled by others. See poll.h. */
#include <zcnet/poll.h>

#include <errno.h>
#include <stdlib.h>

#include <rte_cycles.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "../core/quiesce.h"
#include "port.h"

#define DRAIN_MS 100

enum { RX, TX };

/* One direction of a queue. */
struct side {
	int reader;   /* zc_quiesce, constant; -1: none */
	bool stopped; /* control writes, the polling lcore reads */
};

struct zcnet_poll {
	struct zcnet_port *port;
	const struct zc_port_ops *inner;
	struct zc_port_ops ops; /* the port's own, but for tick */
	void (*changed)(void *arg, bool up);
	void *arg;
	bool up;
	struct side side[ZCNET_QUEUES_MAX][2];
};

/* ---- data path ---- */

ZC_EXPORT uint16_t
zcnet_poll_rx(struct zcnet_poll *poll, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	const struct side *side = &poll->side[queue][RX];
	uint16_t taken = 0;

	zc_quiesce_enter(side->reader);
	if (likely(!__atomic_load_n(&side->stopped, __ATOMIC_RELAXED))) {
		poll->inner->complete(poll->port, queue, rte_rdtsc());
		taken = poll->inner->rx(poll->port, queue, pkts, n);
	}
	zc_quiesce_leave(side->reader);
	return taken;
}

ZC_EXPORT uint16_t
zcnet_poll_tx(struct zcnet_poll *poll, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	const struct side *side = &poll->side[queue][TX];
	uint16_t sent = 0;

	zc_quiesce_enter(side->reader);
	if (likely(!__atomic_load_n(&side->stopped, __ATOMIC_RELAXED))) {
		sent = poll->inner->tx(poll->port, queue, pkts, n);
		/* Nobody says when the next call comes. */
		poll->inner->notify(poll->port, queue);
	}
	zc_quiesce_leave(side->reader);
	return sent;
}

/* ---- stop and start of a queue ---- */

static void
set_stopped(struct zcnet_poll *poll, uint16_t queue, unsigned int way, bool stopped)
{
	/* Release, and the barrier of zc_quiesce_enter(): who enters later sees it. */
	__atomic_store_n(&poll->side[queue][way].stopped, stopped, __ATOMIC_RELEASE);
	if (stopped)
		zc_quiesce_wait();
}

ZC_EXPORT void
zcnet_poll_rx_stop(struct zcnet_poll *poll, uint16_t queue)
{
	struct zcnet_port *port = poll->port;
	uint32_t out;

	zc_control_lock();
	set_stopped(poll, queue, RX, true);
	out = zc_vhost_complete(port, queue);
	for (int ms = 0; out > 0 && ms < DRAIN_MS; ms++) {
		rte_delay_us_sleep(1000);
		out = zc_vhost_complete(port, queue);
	}
	zc_control_unlock();
}

ZC_EXPORT void
zcnet_poll_rx_start(struct zcnet_poll *poll, uint16_t queue)
{
	set_stopped(poll, queue, RX, false);
}

ZC_EXPORT void
zcnet_poll_tx_stop(struct zcnet_poll *poll, uint16_t queue)
{
	set_stopped(poll, queue, TX, true);
}

ZC_EXPORT void
zcnet_poll_tx_start(struct zcnet_poll *poll, uint16_t queue)
{
	set_stopped(poll, queue, TX, false);
}

/* ---- life ---- */

static void
tick(struct zcnet_port *port, uint64_t now)
{
	struct zcnet_poll *poll = container_of(port->ops, struct zcnet_poll, ops);
	struct zcnet_port_info info = { 0 };

	poll->inner->tick(port, now);
	poll->inner->info(port, &info);
	if (info.link_up == poll->up)
		return;
	poll->up = info.link_up;
	if (poll->changed != NULL)
		poll->changed(poll->arg, poll->up);
}

static void
readers_del(struct zcnet_poll *poll)
{
	for (unsigned int i = 0; i < 2 * ZCNET_QUEUES_MAX; i++)
		if (poll->side[i / 2][i % 2].reader >= 0)
			zc_quiesce_reader_del(poll->side[i / 2][i % 2].reader);
}

static int
readers_add(struct zcnet_poll *poll)
{
	for (unsigned int i = 0; i < 2 * ZCNET_QUEUES_MAX; i++)
		poll->side[i / 2][i % 2].reader = -1;
	for (unsigned int i = 0; i < 2u * poll->port->nqueues; i++) {
		int id = zc_quiesce_reader_add();

		if (id < 0) {
			readers_del(poll);
			return zc_fail(ENOSPC, "port %s: %u queues are polled by programs already",
					poll->port->name, ZC_QUIESCE_READERS / 2);
		}
		poll->side[i / 2][i % 2].reader = id;
	}
	return 0;
}

static struct zcnet_poll *
open_port(struct zcnet_port *port)
{
	struct zc_port_takes takes;
	struct zcnet_poll *poll;

	if (port->bound != NULL) {
		zc_fail(EBUSY, "port %s is bound already: unbind it first", port->name);
		return NULL;
	}
	poll = calloc(1, sizeof(*poll));
	if (poll == NULL) {
		zc_fail(ENOMEM, "port %s: out of memory", port->name);
		return NULL;
	}
	poll->port = port;
	if (readers_add(poll) < 0) {
		free(poll);
		return NULL;
	}
	poll->inner = port->ops;
	poll->ops = *port->ops;
	poll->ops.tick = tick;
	port->ops = &poll->ops;
	port->bound = poll;
	/* What a guest takes, a program takes. */
	poll->inner->takes(port, &takes);
	zc_vhost_set_takes(port, &takes);
	return poll;
}

ZC_EXPORT struct zcnet_poll *
zcnet_poll_open(struct zcnet_port *port, void (*changed)(void *arg, bool up), void *arg)
{
	struct zcnet_poll *poll;

	zc_control_lock();
	poll = open_port(port);
	if (poll != NULL) {
		poll->changed = changed;
		poll->arg = arg;
	}
	zc_control_unlock();
	return poll;
}

ZC_EXPORT void
zcnet_poll_close(struct zcnet_poll *poll)
{
	const struct zc_port_takes nothing = { 0 };

	if (poll == NULL)
		return;
	zc_control_lock();
	poll->port->ops = poll->inner;
	poll->port->bound = NULL;
	zc_vhost_set_takes(poll->port, &nothing);
	readers_del(poll);
	zc_control_unlock();
	free(poll);
}

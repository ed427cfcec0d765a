/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports polled by others. See outside.h. */
#include "outside.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_cycles.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/quiesce.h"
#include "port.h"

#define DRAIN_MS 100

enum { RX, TX };

/* One direction of a queue. */
struct side {
	int reader;   /* zc_quiesce, constant; -1: none */
	bool stopped; /* control writes, the polling lcore reads */
};

struct zc_outside {
	struct zcnet_port *port;
	const struct zc_port_ops *inner;
	struct zc_port_ops ops; /* the port's own, but for tick */
	void (*changed)(void *arg, bool up);
	void *arg;
	bool up;
	struct side side[ZCNET_QUEUES_MAX][2];
};

/* ---- data path ---- */

uint16_t
zc_outside_rx(struct zc_outside *outside, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	const struct side *side = &outside->side[queue][RX];
	uint16_t taken = 0;

	zc_quiesce_enter(side->reader);
	if (likely(!__atomic_load_n(&side->stopped, __ATOMIC_RELAXED))) {
		outside->inner->complete(outside->port, queue, rte_rdtsc());
		taken = outside->inner->rx(outside->port, queue, pkts, n);
	}
	zc_quiesce_leave(side->reader);
	return taken;
}

uint16_t
zc_outside_tx(struct zc_outside *outside, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	const struct side *side = &outside->side[queue][TX];
	uint16_t sent = 0;

	zc_quiesce_enter(side->reader);
	if (likely(!__atomic_load_n(&side->stopped, __ATOMIC_RELAXED)))
		sent = outside->inner->tx(outside->port, queue, pkts, n);
	zc_quiesce_leave(side->reader);
	return sent;
}

/* ---- stop and start of a queue ---- */

static void
set_stopped(struct zc_outside *outside, uint16_t queue, unsigned int way, bool stopped)
{
	/* Release, and the barrier of zc_quiesce_enter(): who enters later sees it. */
	__atomic_store_n(&outside->side[queue][way].stopped, stopped, __ATOMIC_RELEASE);
	if (stopped)
		zc_quiesce_wait();
}

void
zc_outside_rx_stop(struct zc_outside *outside, uint16_t queue)
{
	struct zcnet_port *port = outside->port;
	uint32_t out;

	zc_control_lock();
	set_stopped(outside, queue, RX, true);
	out = outside->inner->complete(port, queue, rte_rdtsc());
	for (int ms = 0; out > 0 && ms < DRAIN_MS; ms++) {
		rte_delay_us_sleep(1000);
		out = outside->inner->complete(port, queue, rte_rdtsc());
	}
	zc_control_unlock();
}

void
zc_outside_rx_start(struct zc_outside *outside, uint16_t queue)
{
	set_stopped(outside, queue, RX, false);
}

void
zc_outside_tx_stop(struct zc_outside *outside, uint16_t queue)
{
	set_stopped(outside, queue, TX, true);
}

void
zc_outside_tx_start(struct zc_outside *outside, uint16_t queue)
{
	set_stopped(outside, queue, TX, false);
}

/* ---- life ---- */

static void
tick(struct zcnet_port *port, uint64_t now)
{
	struct zc_outside *outside = container_of(port->ops, struct zc_outside, ops);
	struct zcnet_port_info info = { 0 };

	outside->inner->tick(port, now);
	outside->inner->info(port, &info);
	if (info.link_up == outside->up)
		return;
	outside->up = info.link_up;
	outside->changed(outside->arg, outside->up);
}

static void
readers_del(struct zc_outside *outside)
{
	for (unsigned int i = 0; i < 2 * ZCNET_QUEUES_MAX; i++)
		if (outside->side[i / 2][i % 2].reader >= 0)
			zc_quiesce_reader_del(outside->side[i / 2][i % 2].reader);
}

static int
readers_add(struct zc_outside *outside)
{
	for (unsigned int i = 0; i < 2 * ZCNET_QUEUES_MAX; i++)
		outside->side[i / 2][i % 2].reader = -1;
	for (unsigned int i = 0; i < 2u * outside->port->nqueues; i++) {
		int id = zc_quiesce_reader_add();

		if (id < 0) {
			readers_del(outside);
			return zc_fail(ENOSPC, "port %s: %u queues are polled from outside already",
					outside->port->name, ZC_QUIESCE_READERS / 2);
		}
		outside->side[i / 2][i % 2].reader = id;
	}
	return 0;
}

static struct zc_outside *
open_port(struct zcnet_port *port)
{
	struct zc_port_takes takes;
	struct zc_outside *outside;

	if (port->bound != NULL) {
		zc_fail(EBUSY, "port %s is bound already: unbind it first", port->name);
		return NULL;
	}
	outside = calloc(1, sizeof(*outside));
	if (outside == NULL) {
		zc_fail(ENOMEM, "port %s: out of memory", port->name);
		return NULL;
	}
	outside->port = port;
	if (readers_add(outside) < 0) {
		free(outside);
		return NULL;
	}
	outside->inner = port->ops;
	outside->ops = *port->ops;
	outside->ops.tick = tick;
	port->ops = &outside->ops;
	port->bound = outside;
	/* What a guest takes, a program takes. */
	outside->inner->takes(port, &takes);
	zc_vhost_set_takes(port, &takes);
	return outside;
}

struct zc_outside *
zc_outside_open(struct zcnet_port *port, void (*changed)(void *arg, bool up), void *arg)
{
	struct zc_outside *outside;

	zc_control_lock();
	outside = open_port(port);
	if (outside != NULL) {
		outside->changed = changed;
		outside->arg = arg;
	}
	zc_control_unlock();
	return outside;
}

void
zc_outside_close(struct zc_outside *outside)
{
	const struct zc_port_takes nothing = { 0 };

	if (outside == NULL)
		return;
	zc_control_lock();
	outside->port->ops = outside->inner;
	outside->port->bound = NULL;
	zc_vhost_set_takes(outside->port, &nothing);
	readers_del(outside);
	zc_control_unlock();
	free(outside);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that looks after ports and connections every 10 ms: events, links, stalls, maps to
 * free.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../guest/dma.h"
#include "worker.h"

#define TICK_US 10000

static pthread_t thread;
static bool running;

static void
tick(void)
{
	struct zcnet_port *port = NULL;
	struct zcnet_conn *conn = NULL;
	uint64_t now = rte_rdtsc();

	zc_control_lock();
	while ((port = zcnet_port_next(port)) != NULL)
		port->ops->tick(port, now);
	while ((conn = zcnet_conn_next(conn)) != NULL)
		zc_conn_tick(conn, now);
	zc_control_unlock();
}

static void *
housekeeping(void *arg)
{
	while (__atomic_load_n(&running, __ATOMIC_RELAXED)) {
		tick();
		zc_dma_work();
		usleep(TICK_US);
	}
	return arg;
}

int
zc_housekeeping_start(void)
{
	int ret;

	running = true;
	ret = pthread_create(&thread, NULL, housekeeping, NULL);
	if (ret != 0) {
		running = false;
		return zc_fail(ret, "housekeeping thread: %s", rte_strerror(ret));
	}
	pthread_setname_np(thread, "zcnet-house");
	return 0;
}

void
zc_housekeeping_stop(void)
{
	if (!running)
		return;
	__atomic_store_n(&running, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

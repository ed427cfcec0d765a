/* SPDX-License-Identifier: BSD-3-Clause */
/* The poll loop, and starting and stopping it. */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include <zcnet/worker.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "../core/quiesce.h"

/* How often a NIC is asked for finished transmits while buffers are out and nothing is sent. */
#define REAP_US 100
/* How long a stream carries nothing before it is polled by time, and how often it is then. */
#define QUIET_US 1000
#define WAIT_US 50

struct zc_worker zc_workers[ZC_WORKERS_MAX];
unsigned int zc_nworkers;
bool zc_workers_running;

static struct zc_stream_list empty_list;

/* The poll loop; returns when told to stop. */
static int
worker_main(void *arg)
{
	struct zc_worker *worker = arg;
	uint64_t now = rte_rdtsc(), then;
	bool worked = false;

	zc_quiesce_online(worker->index);
	while (!__atomic_load_n(&worker->stop, __ATOMIC_RELAXED)) {
		worked = zc_turn(worker, __atomic_load_n(&worker->list, __ATOMIC_ACQUIRE), now,
				!worked);
		zc_quiesce_report(worker->index);
		then = now;
		now = rte_rdtsc();
		if (worked)
			worker->figures.busy_cycles += now - then;
		else
			worker->figures.idle_cycles += now - then;
	}
	zc_quiesce_offline(worker->index);
	return 0;
}

struct zc_stream_list *
zc_worker_publish(struct zc_worker *worker, struct zc_stream_list *list)
{
	struct zc_stream_list *old = worker->list;

	__atomic_store_n(&worker->list, list != NULL ? list : &empty_list, __ATOMIC_RELEASE);
	return old != &empty_list ? old : NULL;
}

static void
find_lcores(void)
{
	unsigned int lcore;

	zc_nworkers = 0;
	RTE_LCORE_FOREACH_WORKER(lcore) {
		struct zc_worker *worker = &zc_workers[zc_nworkers];

		if (zc_nworkers == ZC_WORKERS_MAX)
			break;
		*worker = (struct zc_worker){
			.list = &empty_list,
			.index = zc_nworkers,
			.lcore = lcore,
			.reap_cycles = rte_get_tsc_hz() / 1000000 * REAP_US,
			.wait_cycles = rte_get_tsc_hz() / 1000000 * WAIT_US,
			.quiet_cycles = rte_get_tsc_hz() / 1000000 * QUIET_US,
			.long_cycles = rte_get_tsc_hz() / 1000000 * ZC_LONG_RUN_US,
		};
		zc_nworkers++;
	}
}

/* The first @n of them. */
static void
stop(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		__atomic_store_n(&zc_workers[i].stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < n; i++)
		rte_eal_wait_lcore(zc_workers[i].lcore);
}

static int
start(void)
{
	if (zc_workers_running)
		return zc_fail(EALREADY, "the workers are running");
	find_lcores();
	if (zc_nworkers == 0)
		return zc_fail(ENODEV,
				"no worker lcore: give EAL at least two lcores, such as -l 0,1");
	for (unsigned int i = 0; i < zc_nworkers; i++) {
		int ret = rte_eal_remote_launch(worker_main, &zc_workers[i], zc_workers[i].lcore);

		if (ret < 0)
			stop(i);
		if (ret < 0)
			return zc_fail(-ret, "lcore %u can't be launched: it is busy",
					zc_workers[i].lcore);
	}
	zc_workers_running = true;
	zc_place();
	return 0;
}

ZC_EXPORT int
zcnet_workers_start(void)
{
	int ret;

	zc_control_lock();
	ret = start();
	zc_control_unlock();
	return ret;
}

ZC_EXPORT int
zcnet_workers_stop(void)
{
	zc_control_lock();
	if (zc_workers_running) {
		stop(zc_nworkers);
		zc_workers_running = false;
		/* Nobody has the streams now, and nobody owns the queues. */
		zc_place();
	}
	zc_control_unlock();
	return 0;
}

ZC_EXPORT unsigned int
zcnet_worker_count(void)
{
	return zc_nworkers;
}

ZC_EXPORT int
zcnet_worker_info_get(unsigned int index, struct zcnet_worker_info *info)
{
	const struct zc_worker *worker = &zc_workers[index];

	if (index >= zc_nworkers)
		return -EINVAL;
	zc_control_lock();
	*info = (struct zcnet_worker_info){
		.lcore = worker->lcore,
		.socket = (int)rte_lcore_to_socket_id(worker->lcore),
		.streams = worker->list->n,
		.frames = worker->figures.frames - worker->base.frames,
		.bursts = worker->figures.bursts - worker->base.bursts,
		.busy_cycles = worker->figures.busy_cycles - worker->base.busy_cycles,
		.idle_cycles = worker->figures.idle_cycles - worker->base.idle_cycles,
		.tsc_hz = rte_get_tsc_hz(),
	};
	zc_control_unlock();
	return 0;
}

ZC_EXPORT void
zcnet_worker_stats_clear(void)
{
	zc_control_lock();
	for (unsigned int i = 0; i < zc_nworkers; i++)
		zc_workers[i].base = zc_workers[i].figures;
	zc_control_unlock();
}

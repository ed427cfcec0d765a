/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers: EAL worker lcores that poll. Each (port, queue) belongs to one of them.
 */
#ifndef ZCNET_WORKER_H
#define ZCNET_WORKER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Launch a worker on every EAL worker lcore and place the streams of all connections.
 *
 * @return 0, -ENODEV when EAL has no worker lcore (give it two, -l 0,1), -EALREADY when they run
 */
int zcnet_workers_start(void);

/** Stop polling and wait for the lcores. Guests keep their buffers posted. */
int zcnet_workers_stop(void);

/** Workers there are, 0 before the first zcnet_workers_start(). */
unsigned int zcnet_worker_count(void);

struct zcnet_worker_info {
	unsigned int lcore;
	int socket;
	unsigned int streams; /**< one-way queue-to-queue streams it polls */
	uint64_t frames;
	uint64_t bursts;      /**< turns of a stream that moved at least one frame */
	uint64_t busy_cycles; /**< TSC cycles of turns that did anything, completion included */
	uint64_t idle_cycles; /**< TSC cycles of turns that did nothing */
	uint64_t tsc_hz;
};

/** Figures of worker @p index since the last clear. */
int zcnet_worker_info_get(unsigned int index, struct zcnet_worker_info *info);

/** Forget the figures of all workers. */
void zcnet_worker_stats_clear(void);

#ifdef __cplusplus
}
#endif

#endif

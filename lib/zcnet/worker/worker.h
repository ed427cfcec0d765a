/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers: one poll loop a lcore over the streams that place.c gave it.
 *
 * The list of streams is the worker's from its publication on: control stores the new list with
 * release order, waits for every worker to pass between two turns, and frees the old one.
 */
#ifndef ZC_WORKER_WORKER_H
#define ZC_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "../fwd/conn.h"

#define ZC_WORKERS_MAX 128

struct zc_stream_list {
	/* constant once published */
	unsigned int n;
	/* worker: the order of streams, those polled in every turn first */
	unsigned int nbusy;
	unsigned int next;  /* quiet stream to poll next */
	uint64_t quiet_tsc; /* quiet streams have had their share of polls up to here */
	struct zc_stream *stream[];
};

/** Figures of a worker. Only it adds; control clears by remembering a base. */
struct zc_worker_figures {
	uint64_t frames;
	uint64_t bursts;
	uint64_t busy_cycles;
	uint64_t idle_cycles;
};

struct zc_worker {
	/* control writes, the worker reads */
	struct zc_stream_list *list;
	bool stop;
	/* constant */
	unsigned int index;
	unsigned int lcore;
	uint64_t reap_cycles;
	uint64_t wait_cycles;
	uint64_t quiet_cycles;
	uint64_t long_cycles;
	/* worker */
	struct zc_worker_figures figures __rte_cache_aligned;
	/* control */
	struct zc_worker_figures base __rte_cache_aligned;
} __rte_cache_aligned;

extern struct zc_worker zc_workers[ZC_WORKERS_MAX];
extern unsigned int zc_nworkers;
extern bool zc_workers_running;

/**
 * Poll once: every busy stream, and of the quiet ones all or those whose time has come (turn.c).
 *
 * Runs on: the worker.
 *
 * @param now  TSC
 * @param idle nothing was done in the turn before: there is time for every stream
 * @return true when a frame was taken or given, used entries published, or a guest interrupted
 */
bool zc_turn(struct zc_worker *worker, struct zc_stream_list *list, uint64_t now, bool idle);

/**
 * Give every stream to a worker. Lock held. Called whenever ports, queues or connections
 * change.
 */
void zc_place(void);

/**
 * Publish @p list, NULL for none, and free the old one. Waits for nothing; the caller does, and
 * frees what it gets.
 */
struct zc_stream_list *zc_worker_publish(struct zc_worker *worker, struct zc_stream_list *list);

/** Start and stop the thread that ticks ports and connections. */
int zc_housekeeping_start(void);
void zc_housekeeping_stop(void);

#endif

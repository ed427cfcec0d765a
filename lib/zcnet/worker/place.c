/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placement: which worker polls which stream.
 *
 * All streams of a connection's group go to one worker, because they share queues. A group goes
 * to the worker that has one of its queues already, as on a NIC that guests share; else to the
 * one that its connection names, else to the one with the fewest streams. All streams
 * are taken from all workers first; that costs microseconds, and nobody ever sees a queue with
 * two owners.
 */
#include <stdlib.h>

#include <rte_lcore.h>

#include "../core/error.h"
#include "../core/quiesce.h"
#include "worker.h"

/* Free the workers' lists once no worker can be in them. */
static void
publish(struct zc_stream_list *const *list)
{
	struct zc_stream_list *old[ZC_WORKERS_MAX];

	for (unsigned int i = 0; i < zc_nworkers; i++)
		old[i] = zc_worker_publish(&zc_workers[i], list != NULL ? list[i] : NULL);
	zc_quiesce_wait();
	for (unsigned int i = 0; i < zc_nworkers; i++)
		free(old[i]);
}

static unsigned int
least_loaded(struct zc_stream_list *const *list)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < zc_nworkers; i++)
		if (list[i]->n < list[best]->n)
			best = i;
	return best;
}

static int
choose(int wanted, struct zc_stream_list *const *list)
{
	return wanted >= 0 ? wanted % (int)zc_nworkers : (int)least_loaded(list);
}

static void
set_owner(struct zcnet_port *port, uint16_t queue, int worker)
{
	struct zc_ctor *ctor = port->ops->ctor != NULL ? port->ops->ctor(port, queue) : NULL;

	port->worker[queue] = worker;
	if (ctor != NULL)
		ctor->owner = worker >= 0 ? zc_workers[worker].lcore : LCORE_ID_ANY - 1;
}

static void
give(struct zc_stream_list *list, struct zc_stream *stream, unsigned int worker)
{
	list->stream[list->n++] = stream;
	set_owner(stream->src, stream->src_queue, worker);
	set_owner(stream->dst, stream->dst_queue, worker);
}

/* All of a share's streams end in the same queues. They are placed first. */
static void
place_share(struct zc_share *share, struct zc_stream_list *const *list)
{
	int worker = choose(share->worker, list);

	for (uint16_t i = 0; i < share->nic->nqueues; i++)
		if (!share->own[i])
			give(list[worker], &share->stream[i], worker);
}

static int
owner_of(const struct zc_stream *stream)
{
	int worker = stream->src->worker[stream->src_queue];

	return worker >= 0 ? worker : stream->dst->worker[stream->dst_queue];
}

static void
place_conn(struct zcnet_conn *conn, struct zc_stream_list *const *list)
{
	int worker_of[ZCNET_QUEUES_MAX];

	for (unsigned int g = 0; g < ZCNET_QUEUES_MAX; g++)
		worker_of[g] = -1;
	for (uint16_t i = 0; i < conn->nstreams; i++) {
		int *worker = &worker_of[conn->stream[i].group];

		if (*worker < 0)
			*worker = owner_of(&conn->stream[i]);
		if (*worker < 0)
			*worker = choose(conn->worker, list);
		give(list[*worker], &conn->stream[i], *worker);
	}
}

static void
disown_all(void)
{
	struct zcnet_port *port = NULL;

	while ((port = zcnet_port_next(port)) != NULL)
		for (uint16_t i = 0; i < port->nqueues; i++)
			set_owner(port, i, -1);
}

static bool
make_lists(struct zc_stream_list **list, unsigned int room)
{
	for (unsigned int i = 0; i < zc_nworkers; i++) {
		list[i] = calloc(1, sizeof(*list[i]) + room * sizeof(list[i]->stream[0]));
		if (list[i] == NULL) {
			while (i-- > 0)
				free(list[i]);
			return false;
		}
	}
	return true;
}

void
zc_place(void)
{
	static bool placing; /* laying streams out may change queues, which calls here again */
	struct zc_stream_list *list[ZC_WORKERS_MAX];
	struct zcnet_conn *conn = NULL;
	struct zc_share *share = NULL;
	unsigned int streams = 0;

	if (placing)
		return;
	placing = true;
	publish(NULL);
	disown_all();
	while ((share = zc_share_next(share)) != NULL) {
		zc_share_clear(share);
		streams += share->nic->nqueues;
	}
	while ((conn = zcnet_conn_next(conn)) != NULL) {
		zc_conn_layout(conn);
		streams += conn->nstreams;
	}
	if (zc_workers_running && make_lists(list, streams)) {
		while ((share = zc_share_next(share)) != NULL)
			if (share->nmembers > 0)
				place_share(share, list);
		while ((conn = zcnet_conn_next(conn)) != NULL)
			place_conn(conn, list);
		publish(list);
	} else if (zc_workers_running) {
		ZC_LOG(ERR, "out of memory: workers stand still until the next change");
	}
	placing = false;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placement: which worker polls which stream.
 *
 * All streams of a connection's group go to one worker, because they share queues. A group goes
 * to the worker that has one of its queues already, as on a NIC that guests share; else to the
 * one that its connection names, else to the one with the fewest streams.
 *
 * Streams that are to be laid out anew are taken from their workers first, so that nobody ever sees
 * a queue with two owners. All others stay where they are and go on: a guest that starts and stops
 * its queues as fast as it can must not hold up its neighbours. When a connection has gone, all
 * streams are spread anew.
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

/* ---- what stays and what goes ---- */

static unsigned int
count_common(const struct zc_share *share)
{
	unsigned int n = 0;

	for (uint16_t i = 0; share->nmembers > 0 && i < share->nic->nqueues; i++)
		n += !share->own[i];
	return n;
}

/* Streams as they were last laid out. */
static unsigned int
count_laid_out(void)
{
	const struct zcnet_conn *conn = NULL;
	const struct zc_share *share = NULL;
	unsigned int n = 0;

	while ((share = zc_share_next(share)) != NULL)
		n += count_common(share);
	while ((conn = zcnet_conn_next(conn)) != NULL)
		n += conn->nstreams;
	return n;
}

static unsigned int
count_placed(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < zc_nworkers; i++)
		n += zc_workers[i].list->n;
	return n;
}

/* What hangs together is stale together. @return whether anything is */
static bool
mark_stale(bool all)
{
	struct zcnet_conn *conn = NULL;
	struct zc_share *share = NULL;
	bool any = all;

	while ((share = zc_share_next(share)) != NULL)
		share->stale = all;
	while ((conn = zcnet_conn_next(conn)) != NULL) {
		conn->stale = all || zc_conn_is_stale(conn);
		any |= conn->stale;
		if (conn->share != NULL)
			conn->share->stale |= conn->stale;
	}
	while ((conn = zcnet_conn_next(conn)) != NULL)
		if (conn->share != NULL)
			conn->stale = conn->share->stale;
	return any;
}

static void
keep_stream(struct zc_stream_list *const *list, struct zc_stream *stream)
{
	struct zc_stream_list *own = list[stream->src->worker[stream->src_queue]];

	own->stream[own->n++] = stream;
}

/* What isn't stale, where it is. */
static void
keep(struct zc_stream_list *const *list)
{
	struct zcnet_conn *conn = NULL;
	struct zc_share *share = NULL;

	while ((share = zc_share_next(share)) != NULL)
		for (uint16_t i = 0; !share->stale && i < share->nic->nqueues; i++)
			if (!share->own[i])
				keep_stream(list, &share->stream[i]);
	while ((conn = zcnet_conn_next(conn)) != NULL)
		for (uint16_t i = 0; !conn->stale && i < conn->nstreams; i++)
			keep_stream(list, &conn->stream[i]);
}

static void
disown(const struct zc_stream *stream)
{
	set_owner(stream->src, stream->src_queue, -1);
	set_owner(stream->dst, stream->dst_queue, -1);
}

static void
disown_stale(void)
{
	struct zcnet_conn *conn = NULL;
	struct zc_share *share = NULL;

	while ((share = zc_share_next(share)) != NULL)
		for (uint16_t i = 0; share->stale && i < share->nic->nqueues; i++)
			disown(&share->stream[i]);
	while ((conn = zcnet_conn_next(conn)) != NULL)
		for (uint16_t i = 0; conn->stale && i < conn->nstreams; i++)
			disown(&conn->stream[i]);
}

/* ---- the steps ---- */

/* Take what is stale from the workers. */
static void
take_stale(bool all)
{
	struct zc_stream_list *list[ZC_WORKERS_MAX];

	if (all || !make_lists(list, count_placed())) {
		mark_stale(true);
		publish(NULL);
		disown_all();
		return;
	}
	keep(list);
	publish(list);
	disown_stale();
}

static void
lay_out_all(void)
{
	struct zcnet_conn *conn = NULL;
	struct zc_share *share = NULL;

	while ((share = zc_share_next(share)) != NULL)
		if (share->stale)
			zc_share_clear(share);
	while ((conn = zcnet_conn_next(conn)) != NULL)
		zc_conn_layout(conn);
}

/* Give it to workers again. */
static void
give_stale(void)
{
	struct zc_stream_list *list[ZC_WORKERS_MAX];
	struct zcnet_conn *conn = NULL;
	struct zc_share *share = NULL;

	if (!make_lists(list, count_laid_out())) {
		publish(NULL);
		ZC_LOG(ERR, "out of memory: workers stand still until the next change");
		return;
	}
	keep(list);
	while ((share = zc_share_next(share)) != NULL)
		if (share->stale && share->nmembers > 0)
			place_share(share, list);
	while ((conn = zcnet_conn_next(conn)) != NULL)
		if (conn->stale)
			place_conn(conn, list);
	publish(list);
}

void
zc_place(void)
{
	static bool placing; /* laying streams out may change queues, which calls here again */
	bool all, any;

	if (placing)
		return;
	placing = true;
	/* Streams that are gone: the others may be spread better. */
	all = !zc_workers_running || count_placed() != count_laid_out();
	any = mark_stale(all);
	if (any)
		take_stale(all);
	lay_out_all();
	if (any && zc_workers_running)
		give_stale();
	placing = false;
}

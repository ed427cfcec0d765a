/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One turn of a worker over its streams.
 *
 * A stream that carries frames is polled in every turn. One that has carried none for a while, and
 * holds no buffer of a guest, is quiet: while others keep the worker busy it is polled by time, so
 * that a guest doesn't pay for its neighbours' silence. A worker with nothing to do polls all.
 *
 *     stream[]   0 ............ nbusy ......... next .......... n
 *                | every turn    |  quiet, polled from next on, round and round
 *
 * Streams change sides by trading places with the one at the border.
 *
 * A burst is bounded in frames, bytes and descriptors, and may take long all the same: when pages
 * of a guest's memory aren't there, above all. So who had a long run rests as long as makes it even
 * with the others that are busy: it has its share of the time, and no more.
 */
#include "worker.h"

#include <rte_cycles.h>

/* Polled in every turn, quiet or not: as many cost little beside a burst. */
#define LEAST 4
/* Longest rest, in long runs: somebody else may have had the CPU. */
#define REST_MOST 100

static inline void
run_once(struct zc_worker *worker, struct zc_stream *stream, uint64_t now)
{
	uint16_t n = zc_stream_run(stream, now, worker->reap_cycles);

	worker->figures.frames += n;
	worker->figures.bursts += n > 0;
}

/* Beside so many others that are busy. @return it did anything */
static inline bool
run(struct zc_worker *worker, struct zc_stream *stream, uint64_t now, unsigned int others)
{
	uint64_t begin, cycles;

	if (others == 0) {
		run_once(worker, stream, now);
		return stream->work_tsc == now;
	}
	if (unlikely(now < stream->rest_tsc))
		return false;
	begin = rte_rdtsc();
	run_once(worker, stream, now);
	cycles = rte_rdtsc() - begin;
	if (unlikely(cycles > worker->long_cycles))
		stream->rest_tsc = now + cycles +
				RTE_MIN(cycles * others, REST_MOST * worker->long_cycles);
	return stream->work_tsc == now;
}

static void
trade(struct zc_stream_list *list, unsigned int i, unsigned int k)
{
	struct zc_stream *stream = list->stream[i];

	list->stream[i] = list->stream[k];
	list->stream[k] = stream;
}

/* How many quiet streams to poll now, so that each has its turn within wait_cycles. */
static unsigned int
share(const struct zc_worker *worker, struct zc_stream_list *list, uint64_t now, bool idle)
{
	unsigned int quiet = list->n - list->nbusy;
	uint64_t passed = now - list->quiet_tsc;

	list->quiet_tsc = now;
	if (idle || quiet <= LEAST || passed >= worker->wait_cycles)
		return quiet;
	return RTE_MAX((unsigned int)(quiet * passed / worker->wait_cycles) + 1,
			(unsigned int)LEAST);
}

static bool
poll_quiet(struct zc_worker *worker, struct zc_stream_list *list, unsigned int polls, uint64_t now)
{
	bool worked = false;

	for (; polls > 0; polls--) {
		struct zc_stream *stream;

		if (list->next < list->nbusy || list->next >= list->n)
			list->next = list->nbusy;
		stream = list->stream[list->next];
		worked |= run(worker, stream, now, list->nbusy);
		if (stream->busy_tsc == now)
			trade(list, list->next, list->nbusy++);
		else
			list->next++;
	}
	return worked;
}

bool
zc_turn(struct zc_worker *worker, struct zc_stream_list *list, uint64_t now, bool idle)
{
	unsigned int polls;
	bool worked = false;

	/* All workers share the empty list. */
	if (list->n == 0)
		return false;
	polls = share(worker, list, now, idle);
	for (unsigned int i = 0; i < list->nbusy;) {
		struct zc_stream *stream = list->stream[i];

		worked |= run(worker, stream, now, list->nbusy - 1);
		if (unlikely(now - stream->busy_tsc > worker->quiet_cycles))
			trade(list, i, --list->nbusy);
		else
			i++;
	}
	return poll_quiet(worker, list, polls, now) || worked;
}

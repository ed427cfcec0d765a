/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is polled when: streams between fake ports that carry what a test says, and a clock that goes
 * as it says. Nothing here knows how turn.c orders its list.
 */
#include "rig.h"

#include <rte_cycles.h>

#include "worker/worker.h"

#define STREAMS 512
#define TURN 2000 /* cycles of a turn with a busy stream */
#define WAIT 125000
#define QUIET 2500000
#define REAP 250000

/* A port of one queue that gives frames, has buffers out, or publishes some, as told. */
struct source {
	struct zcnet_port port;
	uint16_t frames; /* in each poll */
	uint32_t out;
	bool publishes;  /* in each poll */
	uint64_t cycles; /* that a poll takes */
	uint64_t taken;  /* and all took */
	uint32_t polls;
	uint64_t last; /* when it was polled last */
	uint64_t gap;  /* the longest between two polls since it was cleared */
	uint8_t state;
};

static struct source source[STREAMS];
static struct zcnet_port sink;
static bool sink_is_full, sink_kicks;
static struct zc_stream stream[STREAMS];
static struct zc_stream_list *list;
static struct zc_worker worker;
static uint64_t now;
static bool moved;

static void
take_time(struct source *s)
{
	uint64_t begin = rte_rdtsc();

	if (s->cycles == 0)
		return;
	while (rte_rdtsc() < begin + s->cycles)
		;
	s->taken += rte_rdtsc() - begin;
}

static uint16_t
source_rx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct source *s = container_of(port, struct source, port);

	(void)queue;
	memset(pkts, 0, n * sizeof(pkts[0]));
	take_time(s);
	s->polls++;
	s->gap = RTE_MAX(s->gap, now - s->last);
	s->last = now;
	return RTE_MIN(n, s->frames);
}

static struct zc_done
source_complete(struct zcnet_port *port, uint16_t queue, uint64_t when)
{
	const struct source *s = container_of(port, struct source, port);

	(void)queue, (void)when;
	return (struct zc_done){ .out = s->out, .worked = s->publishes };
}

static uint16_t
sink_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	(void)port, (void)queue, (void)pkts;
	return sink_is_full ? 0 : n;
}

static bool
sink_notify(struct zcnet_port *port, uint16_t queue)
{
	(void)port, (void)queue;
	return sink_kicks;
}

static const struct zc_port_ops source_ops = { .rx = source_rx, .complete = source_complete };
static const struct zc_port_ops sink_ops = { .tx = sink_tx, .notify = sink_notify };

static int
make(void **state)
{
	(void)state;
	memset(source, 0, sizeof(source));
	memset(stream, 0, sizeof(stream));
	list = test_calloc(1, sizeof(*list) + STREAMS * sizeof(list->stream[0]));
	list->n = STREAMS;
	worker = (struct zc_worker){ .reap_cycles = REAP,
		.wait_cycles = WAIT,
		.quiet_cycles = QUIET,
		.long_cycles = UINT64_MAX / 1000 };
	sink.ops = &sink_ops;
	sink_is_full = sink_kicks = false;
	now = 1000000000;
	moved = false;
	for (unsigned int i = 0; i < STREAMS; i++) {
		source[i].port.ops = &source_ops;
		source[i].state = ZC_QUEUE_LIVE;
		stream[i] = (struct zc_stream){ .src = &source[i].port,
			.dst = &sink,
			.src_state = &source[i].state };
		list->stream[i] = &stream[i];
	}
	return 0;
}

static int
drop(void **state)
{
	(void)state;
	test_free(list);
	return 0;
}

static void
clear(void)
{
	for (unsigned int i = 0; i < STREAMS; i++) {
		source[i].polls = 0;
		source[i].gap = 0;
		source[i].last = now;
	}
}

/* @return turns */
static uint32_t
turns_until(uint64_t end)
{
	uint32_t n = 0;

	for (; now < end; n++, now += TURN)
		moved = zc_turn(&worker, list, now, !moved);
	return n;
}

static uint32_t
polls_of_all(void)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < list->n; i++)
		n += source[i].polls;
	return n;
}

/* One guest floods and 511 streams are silent: they cost it a poll each in 50 us, and no more. */
static void
test_silence_is_polled_by_time(void **state)
{
	uint32_t turns;

	(void)state;
	source[300].frames = ZC_BURST;
	turns_until(now + 2 * QUIET);
	clear();
	turns = turns_until(now + 40 * WAIT);
	assert_int_equal(source[300].polls, turns);
	for (unsigned int i = 0; i < STREAMS; i++)
		assert_true(source[i].gap <= WAIT + TURN);
	assert_true(polls_of_all() - turns <= 41 * STREAMS + turns);
}

static void
test_an_idle_worker_polls_all(void **state)
{
	uint32_t turns;

	(void)state;
	turns = turns_until(now + 10 * QUIET);
	assert_int_equal(polls_of_all(), turns * STREAMS);
}

static void
test_few_are_polled_in_every_turn(void **state)
{
	uint32_t turns;

	(void)state;
	list->n = 5;
	source[2].frames = 1;
	turns = turns_until(now + 10 * QUIET);
	assert_int_equal(polls_of_all(), turns * 5);
}

/* A buffer that is out has to come back without new traffic. */
static void
test_a_buffer_out_is_no_silence(void **state)
{
	uint32_t turns;

	(void)state;
	source[0].frames = ZC_BURST;
	source[400].out = 1;
	turns_until(now + 2 * QUIET);
	clear();
	turns = turns_until(now + 10 * QUIET);
	assert_int_equal(source[400].polls, turns);
}

/* A stream that wakes up is polled in every turn until it has been silent for a while. */
static void
test_waking_up_and_falling_silent(void **state)
{
	uint32_t turns;

	(void)state;
	source[0].frames = ZC_BURST;
	turns_until(now + 2 * QUIET);
	source[7].frames = 1;
	turns_until(now + WAIT + TURN);
	clear();
	turns = turns_until(now + WAIT);
	assert_int_equal(source[7].polls, turns);
	source[7].frames = 0;
	clear();
	turns = turns_until(now + QUIET);
	assert_int_equal(source[7].polls, turns);
	turns_until(now + 2 * TURN);
	clear();
	turns_until(now + 10 * WAIT);
	assert_true(source[7].polls <= 11 + 10);
}

/* A queue that control holds is left alone, however long, and is there again afterwards. */
static void
test_held_meanwhile(void **state)
{
	(void)state;
	source[0].frames = ZC_BURST;
	source[9].frames = 1;
	turns_until(now + WAIT);
	source[9].state = ZC_QUEUE_HELD;
	clear();
	turns_until(now + 2 * QUIET);
	assert_int_equal(source[9].polls, 0);
	source[9].state = ZC_QUEUE_LIVE;
	turns_until(now + WAIT + TURN);
	assert_true(source[9].polls > 0);
}

static bool
turn(void)
{
	now += TURN;
	return zc_turn(&worker, list, now, false);
}

/* Whatever was done makes a turn a busy one; waiting for buffers or for room doesn't. */
static void
test_what_is_work(void **state)
{
	(void)state;
	list->n = 1;
	assert_false(turn());
	source[0].out = 1;
	assert_false(turn());
	source[0].publishes = true;
	assert_true(turn());
	source[0].publishes = false;
	assert_false(turn());
	sink_kicks = true;
	assert_true(turn());
	source[0].state = ZC_QUEUE_HELD;
	assert_true(turn());
	source[0].state = ZC_QUEUE_LIVE;
	sink_kicks = false;
	assert_false(turn());
	assert_int_equal(worker.figures.frames + worker.figures.bursts, 0);
	source[0].frames = 3;
	sink_is_full = true;
	assert_true(turn());
	now += REAP;
	assert_false(turn());
	assert_int_equal(worker.figures.frames + worker.figures.bursts, 0);
	sink_is_full = false;
	source[0].frames = 0;
	now += REAP;
	assert_true(turn());
	assert_int_equal(worker.figures.frames, 3);
	assert_int_equal(worker.figures.bursts, 1);
	assert_false(turn());
}

/* Streams wake up and fall silent as they like: none is lost or there twice, none waits longer. */
static void
test_any_order(void **state)
{
	uint64_t rng = 4;

	(void)state;
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 20; i++)
			source[rng_range(&rng, 1, STREAMS - 1)].frames = rng_range(&rng, 0, 3) == 0;
		source[0].frames = rng_range(&rng, 0, 1);
		clear();
		turns_until(now + rng_range(&rng, 1, 3 * WAIT));
		for (unsigned int i = 0; i < STREAMS; i++) {
			bool there = false;

			assert_true(now - source[i].last <= 2 * WAIT);
			for (unsigned int k = 0; k < STREAMS; k++)
				there |= list->stream[k] == &stream[i];
			assert_true(there);
		}
	}
}

/* The first @p n streams are busy, and the first one's runs are long: turns in real time. */
static uint64_t
real_turns(unsigned int n)
{
	const uint64_t all = 200000000;
	uint64_t begin = rte_rdtsc();

	list->n = n;
	for (unsigned int i = 0; i < n; i++)
		source[i].frames = 1;
	source[0].cycles = 500000;
	source[1].cycles = 1000;
	worker.long_cycles = 50000;
	for (now = begin; now < begin + all; now = rte_rdtsc())
		zc_turn(&worker, list, now, false);
	return now - begin;
}

static void
test_a_long_run_is_rested_for(void **state)
{
	uint64_t all = real_turns(2);

	(void)state;
	print_message("%.2f of the time, %u runs beside %u\n", (double)source[0].taken / all,
			source[0].polls, source[1].polls);
	assert_true(source[0].taken < all * 0.6);
	assert_true(source[0].polls * 50 < source[1].polls);
}

/* It rests for so long that it is quiet meanwhile. */
static void
test_who_rests_is_not_polled_as_quiet(void **state)
{
	uint64_t all;

	(void)state;
	worker.quiet_cycles = 100000;
	all = real_turns(2);
	assert_true(source[0].taken < all * 0.6);
}

static void
test_who_is_alone_does_not_rest(void **state)
{
	uint64_t all = real_turns(1);

	(void)state;
	assert_true(source[0].taken > all * 0.9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silence_is_polled_by_time, make, drop),
		cmocka_unit_test_setup_teardown(test_an_idle_worker_polls_all, make, drop),
		cmocka_unit_test_setup_teardown(test_few_are_polled_in_every_turn, make, drop),
		cmocka_unit_test_setup_teardown(test_a_buffer_out_is_no_silence, make, drop),
		cmocka_unit_test_setup_teardown(test_waking_up_and_falling_silent, make, drop),
		cmocka_unit_test_setup_teardown(test_held_meanwhile, make, drop),
		cmocka_unit_test_setup_teardown(test_what_is_work, make, drop),
		cmocka_unit_test_setup_teardown(test_any_order, make, drop),
		cmocka_unit_test_setup_teardown(test_a_long_run_is_rested_for, make, drop),
		cmocka_unit_test_setup_teardown(test_who_rests_is_not_polled_as_quiet, make, drop),
		cmocka_unit_test_setup_teardown(test_who_is_alone_does_not_rest, make, drop),
	};

	return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}

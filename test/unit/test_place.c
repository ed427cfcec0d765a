/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which worker has which streams, while connections come, go and change their queues. Ports are
 * fake; no worker runs: the lists that are published are looked at.
 */
#include "rig.h"

#include <stdlib.h>

#include "core/control.h"
#include "core/quiesce.h"
#include "eal.h"
#include "worker/worker.h"

#define CONNS 3
#define WORKERS 2
#define QUEUES 4

struct nic {
	struct zcnet_port port;
	uint16_t used; /* queues */
};

static struct nic nics[CONNS][2];
static struct zcnet_conn *conns[CONNS];
static bool kept[CONNS]; /* workers had its streams while something was laid out */
static uint8_t live = ZC_QUEUE_LIVE;

static bool
has(unsigned int worker, const struct zc_stream *stream)
{
	const struct zc_stream_list *list = zc_workers[worker].list;
	unsigned int found = 0;

	for (unsigned int i = 0; i < list->n; i++)
		found += list->stream[i] == stream;
	assert_true(found <= 1);
	return found == 1;
}

/* The worker that has all streams of the connection, -1: none has any. */
static int
worker_of(const struct zcnet_conn *conn)
{
	unsigned int found[WORKERS] = { 0 };

	for (unsigned int w = 0; w < WORKERS; w++)
		for (uint16_t i = 0; i < conn->nstreams; i++)
			found[w] += has(w, &conn->stream[i]);
	if (found[0] + found[1] == 0)
		return -1;
	assert_true(found[0] == conn->nstreams || found[1] == conn->nstreams);
	return found[1] > 0;
}

static uint16_t
nic_used(const struct zcnet_port *port)
{
	return container_of(port, const struct nic, port)->used;
}

static void
nic_takes(const struct zcnet_port *port, struct zc_port_takes *takes)
{
	(void)port;
	memset(takes, 0, sizeof(*takes));
	for (unsigned int i = 0; i < CONNS; i++)
		kept[i] = conns[i] != NULL && worker_of(conns[i]) >= 0;
}

static const uint8_t *
nic_state(struct zcnet_port *port, uint16_t queue)
{
	(void)port, (void)queue;
	return &live;
}

static const struct zc_port_ops nic_ops = { .queues_used = nic_used,
	.takes = nic_takes,
	.source_state = nic_state };

static void
bind_nics(unsigned int i, int worker)
{
	char name[8];
	const struct zcnet_conn_conf conf = { .name = name,
		.a = &nics[i][0].port,
		.b = &nics[i][1].port,
		.worker = worker };

	snprintf(name, sizeof(name), "c%u", i);
	conns[i] = zcnet_conn_create(&conf);
	assert_non_null(conns[i]);
}

static void
unbind(unsigned int i)
{
	struct zcnet_conn *conn = conns[i];

	conns[i] = NULL;
	zcnet_conn_destroy(conn);
}

static int
setup(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CONNS; i++)
		for (unsigned int k = 0; k < 2; k++) {
			char name[8];

			snprintf(name, sizeof(name), "n%u-%u", i, k);
			memset(&nics[i][k], 0, sizeof(nics[i][k]));
			nics[i][k].used = 1;
			zc_port_add(&nics[i][k].port, &nic_ops, name, ZCNET_PORT_ETHDEV, QUEUES,
					false);
		}
	zc_nworkers = WORKERS;
	for (unsigned int i = 0; i < WORKERS; i++)
		zc_workers[i].list = calloc(1, sizeof(*zc_workers[i].list));
	zc_workers_running = true;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CONNS; i++) {
		if (conns[i] != NULL)
			unbind(i);
		for (unsigned int k = 0; k < 2; k++)
			zc_port_remove(&nics[i][k].port);
	}
	zc_workers_running = false;
	zc_place();
	assert_int_equal(zc_workers[0].list->n + zc_workers[1].list->n, 0);
	return 0;
}

static void
set_used(unsigned int i, uint16_t used)
{
	nics[i][0].used = nics[i][1].used = used;
	zc_control_changed();
}

static void
others_go_on_while_one_changes_its_queues(void **state)
{
	(void)state;
	bind_nics(0, -1);
	bind_nics(1, 0);
	for (uint16_t used = 2; used <= QUEUES; used++) {
		set_used(0, used);
		assert_false(kept[0]);
		assert_true(kept[1]);
		assert_int_equal(conns[0]->nstreams, 2 * used);
		assert_int_equal(zc_workers[0].list->n + zc_workers[1].list->n, 2 * used + 2);
		assert_int_equal(worker_of(conns[1]), 0);
	}
}

static void
nothing_moves_when_nothing_changed(void **state)
{
	const struct zc_stream_list *list;

	(void)state;
	bind_nics(0, 0);
	bind_nics(1, 0);
	list = zc_workers[0].list;
	zc_control_changed();
	assert_ptr_equal(zc_workers[0].list, list);
	assert_true(kept[0] && kept[1]);
}

static void
frames_to_be_dropped_are_taken_from_the_worker(void **state)
{
	(void)state;
	bind_nics(0, 0);
	bind_nics(1, 0);
	conns[0]->flush = true;
	zc_control_changed();
	assert_false(kept[0]);
	assert_true(kept[1]);
	assert_false(conns[0]->flush);
	assert_int_equal(worker_of(conns[0]), 0);
}

static void
what_one_leaves_is_spread_anew(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CONNS; i++)
		bind_nics(i, -1);
	assert_int_equal(worker_of(conns[0]), 0);
	assert_int_equal(worker_of(conns[1]), 1);
	assert_int_equal(worker_of(conns[2]), 0);
	unbind(1);
	assert_int_equal(worker_of(conns[0]), 0);
	assert_int_equal(worker_of(conns[2]), 1);
	assert_int_equal(nics[1][0].port.worker[0], -1);
}

static void
who_comes_disturbs_nobody(void **state)
{
	(void)state;
	bind_nics(0, -1);
	bind_nics(1, -1);
	bind_nics(2, 1);
	assert_true(kept[0] && kept[1]);
	assert_int_equal(worker_of(conns[2]), 1);
}

/* A guest that gave up its own NIC queue too often gets it again. */
static void
a_pause_ends(void **state)
{
	uint64_t minute = 60 * rte_get_tsc_hz(), end = 100 * minute;

	(void)state;
	bind_nics(0, -1);
	zc_control_lock();
	conns[0]->member.pauses = true;
	conns[0]->restarts_tsc = end;
	zc_conn_end_pause(conns[0], end - 4 * minute);
	assert_true(conns[0]->member.pauses);
	zc_conn_end_pause(conns[0], end - 3 * minute);
	assert_false(conns[0]->member.pauses);
	zc_control_unlock();
}

static int
group_setup(void **state)
{
	if (unit_eal_init(state) < 0 || zc_quiesce_init() < 0)
		return -1;
	zc_control_on_change(zc_place);
	return 0;
}

static int
group_teardown(void **state)
{
	zc_quiesce_fini();
	return unit_eal_fini(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(others_go_on_while_one_changes_its_queues, setup,
				teardown),
		cmocka_unit_test_setup_teardown(nothing_moves_when_nothing_changed, setup,
				teardown),
		cmocka_unit_test_setup_teardown(frames_to_be_dropped_are_taken_from_the_worker,
				setup, teardown),
		cmocka_unit_test_setup_teardown(what_one_leaves_is_spread_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(who_comes_disturbs_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pause_ends, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

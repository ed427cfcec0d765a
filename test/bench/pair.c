/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that floods and one that sinks, in one loop on one core; or one guest that does both.
 * Two processes on one core would take turns of milliseconds, and the switch would see one of
 * them at a time.
 *
 *   pair SENDER RECEIVER SIZE BUFSIZE    sockets; the same one twice for one guest. Until SIGTERM
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "flood.h"

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static struct frontend *
connect_to(const char *path, unsigned int bytes)
{
	struct frontend_conf conf;
	struct frontend *fe;

	frontend_conf_init(&conf);
	conf.path = path;
	conf.slot_bytes = (bytes + 4096) & ~4095u;
	fe = frontend_create(&conf);
	if (fe == NULL || frontend_connect(fe) < 0 || frontend_start(fe) < 0) {
		fprintf(stderr, "pair: %s: %s\n", path,
				fe != NULL ? frontend_error(fe) : "no memory");
		exit(2);
	}
	return fe;
}

static void
flood_start(struct flood *f, struct frontend *fe, unsigned int queue, unsigned int size)
{
	struct flood_conf conf;

	flood_conf_init(&conf);
	conf.size = size;
	conf.plan = (struct frame_plan){ .dst = { { 2, 0, 0, 0, 0, 2 } },
		.src = { { 2, 0, 0, 0, 0, 1 } } };
	if (flood_init(f, fe, queue, &conf) < 0) {
		fprintf(stderr, "pair: cannot flood queue %u\n", queue);
		exit(2);
	}
}

static int
run(struct flood *tx, struct flood *rx)
{
	while (!stop) {
		if (flood_poll(rx) < 0 || flood_poll(tx) < 0) {
			fprintf(stderr, "pair: %s\n", rx->err != NULL ? rx->err : tx->err);
			return 1;
		}
	}
	printf("{\"busy_cycles_per_chain\": %.1f}\n",
			(double)(tx->busy_cycles + rx->busy_cycles) / (double)(rx->count + 1));
	return 0;
}

int
main(int argc, char **argv)
{
	struct frontend *from, *to;
	struct flood tx, rx;
	unsigned int bytes;
	int status;

	if (argc != 5)
		return 2;
	bytes = (unsigned int)(atoi(argv[3]) > atoi(argv[4]) ? atoi(argv[3]) : atoi(argv[4]));
	signal(SIGTERM, on_signal);
	to = connect_to(argv[2], bytes);
	from = strcmp(argv[1], argv[2]) == 0 ? to : connect_to(argv[1], bytes);
	flood_start(&rx, to, frontend_rxq(0), (unsigned int)atoi(argv[4]));
	flood_start(&tx, from, frontend_txq(0), (unsigned int)atoi(argv[3]));
	status = run(&tx, &rx);
	flood_fini(&tx);
	flood_fini(&rx);
	frontend_stop(to);
	frontend_destroy(to);
	if (from != to) {
		frontend_stop(from);
		frontend_destroy(from);
	}
	return status;
}

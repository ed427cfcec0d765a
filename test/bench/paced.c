/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that sends at a given rate and tells how long its frames took to come back, or to come
 * to another guest. Both guests are in one loop on one core, as in pair.c, so that one clock stamps
 * and reads.
 *
 * The stamp is the time at which a frame was due, not the time at which there was room for it:
 * what waited in the sender counts.
 *
 *   paced SENDER RECEIVER SIZE RATE [irq]    sockets; the same twice for one guest. Until SIGTERM
 *
 * The receiver polls. With irq it does as a kernel's driver: when nothing is left it asks for an
 * interrupt and looks again only after that.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "flood.h"

#define STAMP_AT 48 /* bytes into the frame */
#define STAMP_EVERY 8
#define BUFFER 2048
#define SAMPLES (1 << 20)
#define WARM_US 200000
/* A sender that is later than this was not running: it starts anew from now. */
#define LATE_US 1000

static volatile sig_atomic_t stop;

struct run {
	struct flood tx, rx;
	struct frontend *from, *to;
	double step; /* cycles between two frames */
	double due;
	uint64_t warm, late_most, late;
	uint64_t sent, received;
	bool irq, asleep;
	uint64_t calls;
	uint32_t nsamples;
	uint32_t sample[SAMPLES]; /* cycles */
};

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void
die(const char *what)
{
	fprintf(stderr, "paced: %s\n", what);
	exit(2);
}

static struct frontend *
connect_to(const char *path)
{
	struct frontend_conf conf;
	struct frontend *fe;

	frontend_conf_init(&conf);
	conf.path = path;
	conf.slot_bytes = 4096;
	fe = frontend_create(&conf);
	if (fe == NULL || frontend_connect(fe) < 0 || frontend_start(fe) < 0)
		die(fe != NULL ? frontend_error(fe) : "no memory");
	return fe;
}

static void
prepare(struct flood *f, struct frontend *fe, unsigned int queue, unsigned int size)
{
	struct flood_conf conf;

	flood_conf_init(&conf);
	conf.size = size;
	conf.plan = (struct frame_plan){ .dst = { { 2, 0, 0, 0, 0, 2 } },
		.src = { { 2, 0, 0, 0, 0, 1 } } };
	if (flood_init(f, fe, queue, &conf) < 0)
		die("no room for the buffers");
}

/* Where the stamp of the chain at a position is. */
static uint64_t *
stamp_of(const struct flood *f, uint16_t pos)
{
	const struct vring_desc *d = &f->q->ring.split.desc[f->head[pos & (f->chains - 1)]];

	return gmem_va(f->q->mem, d->addr + f->q->hdr_len + STAMP_AT, sizeof(uint64_t));
}

static uint16_t
used_of(const struct flood *f)
{
	return __atomic_load_n(&f->q->ring.split.used->idx, __ATOMIC_ACQUIRE);
}

static void
publish(struct flood *f)
{
	f->q->ring.avail_idx = f->avail;
	frontend_publish(f->fe, f->index);
}

/* Frames that are due, as far as their chains are back. */
static void
send_due(struct run *run, uint64_t now)
{
	struct flood *f = &run->tx;
	uint16_t free = used_of(f) - (uint16_t)(f->avail - f->chains), n = 0;

	if (now > run->due + run->late_most) {
		run->late++;
		run->due = now;
	}
	for (; n < free && run->due <= now; n++, run->due += run->step) {
		bool stamped = run->sent++ % STAMP_EVERY == 0 && now > run->warm;

		*stamp_of(f, f->avail++) = stamped ? (uint64_t)run->due : 0;
	}
	if (n > 0)
		publish(f);
}

static void
take_one(struct run *run, uint64_t now)
{
	struct flood *f = &run->rx;
	uint64_t stamp;

	if (f->q->ring.split.used->ring[f->used & f->mask].id != f->head[f->used & (f->chains - 1)])
		die("receive buffers came back in another order");
	stamp = *stamp_of(f, f->used++);
	if (stamp != 0 && run->nsamples < SAMPLES)
		run->sample[run->nsamples++] = now > stamp ? now - stamp : 0;
	run->received++;
}

/* @return whether the receiver may look at its ring */
static bool
is_awake(struct run *run)
{
	uint64_t n = 0;

	if (!run->asleep)
		return true;
	if (read(run->to->queue[run->rx.index].call_fd, &n, sizeof(n)) != sizeof(n))
		return false;
	run->calls += n;
	run->asleep = false;
	drv_ring_call_never(&run->rx.q->ring);
	return true;
}

static void
receive(struct run *run)
{
	struct flood *f = &run->rx;
	uint16_t end, n;

	if (!is_awake(run))
		return;
	end = used_of(f);
	n = end - f->used;
	for (uint64_t now = clock_cycles(); f->used != end;)
		take_one(run, now);
	f->q->ring.used_idx = f->used;
	f->avail += n;
	if (n > 0)
		publish(f);
	if (n > 0 || !run->irq)
		return;
	/* Asks first, then looks once more. */
	drv_ring_call_after(&f->q->ring, 1);
	run->asleep = used_of(f) == f->used;
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
report(struct run *run, double mhz)
{
	uint32_t n = run->nsamples;
	uint64_t kicks =
			run->from->queue[run->tx.index].kicks + run->to->queue[run->rx.index].kicks;

	qsort(run->sample, n, sizeof(run->sample[0]), by_value);
	printf("{\"sent\": %llu, \"received\": %llu, \"late\": %llu, \"samples\": %u",
			(unsigned long long)run->sent, (unsigned long long)run->received,
			(unsigned long long)run->late, n);
	if (n > 0)
		printf(", \"p50_us\": %.3f, \"p99_us\": %.3f", run->sample[n / 2] / mhz,
				run->sample[n / 100 * 99] / mhz);
	printf(", \"kicks_per_1000\": %.3f, \"calls_per_1000\": %.3f}\n",
			1000.0 * (double)kicks / (double)(run->sent + 1),
			1000.0 * (double)run->calls / (double)(run->received + 1));
}

static double
clock_mhz(void)
{
	uint64_t us = clock_us(), cycles = clock_cycles();

	while (clock_us() - us < 20000)
		;
	return (double)(clock_cycles() - cycles) / (double)(clock_us() - us);
}

int
main(int argc, char **argv)
{
	static struct run run;
	double mhz = clock_mhz();

	if (argc < 5 || atof(argv[4]) <= 0 || atoi(argv[3]) > BUFFER - 64)
		die("usage: paced SENDER RECEIVER SIZE RATE [irq]");
	signal(SIGTERM, on_signal);
	run.to = connect_to(argv[2]);
	run.from = strcmp(argv[1], argv[2]) == 0 ? run.to : connect_to(argv[1]);
	prepare(&run.rx, run.to, frontend_rxq(0), BUFFER);
	prepare(&run.tx, run.from, frontend_txq(0), (unsigned int)atoi(argv[3]));
	drv_ring_call_never(&run.tx.q->ring);
	drv_ring_call_never(&run.rx.q->ring);
	run.irq = argc > 5;
	run.step = mhz * 1e6 / atof(argv[4]);
	run.due = clock_cycles();
	run.warm = run.due + mhz * WARM_US;
	run.late_most = mhz * LATE_US;
	while (!stop) {
		receive(&run);
		send_due(&run, clock_cycles());
	}
	report(&run, mhz);
	frontend_stop(run.to);
	if (run.from != run.to)
		frontend_stop(run.from);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet-guest: a guest on a vhost-user socket, for functional tests and the bench.
 *
 * Each mode is one function over a started front-end. Results are one JSON object a line on
 * stdout, complaints go to stderr. Exit status: 0 fine, 1 the mode's check failed, 2 bad usage or
 * no connection.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "guest.h"

/* How often a flood looks whether the back-end is there. */
#define ALIVE_US 50000

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

bool
stopped(void)
{
	return stop;
}

void
say_ready(void)
{
	puts("{\"mode\":\"ready\"}");
	fflush(stdout);
}

static int
check_alive(struct frontend *fe)
{
	if (frontend_alive(fe))
		return 0;
	complain("the back-end closed the connection");
	return -EPIPE;
}

/* ---- memory that goes away ---- */

static bool
stdin_ended(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;

	return poll(&p, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) == 0;
}

/* All rings lie in the first, buffers in the others. */
static int
cut_memory(struct frontend *fe, enum cut cut)
{
	unsigned int first = cut == CUT_RINGS ? 0 : 1, end = cut == CUT_RINGS ? 1 : fe->mem.n;

	for (unsigned int i = first; i < end; i++) {
		int ret = frontend_mem_lose(fe, i);

		if (ret < 0) {
			complain("%s", frontend_error(fe));
			return ret;
		}
	}
	printf("{\"cut\":%u}\n", end - first);
	return 0;
}

/* Without rings there is nothing left to do here but to be there. */
static void
stay_without_rings(struct frontend *fe)
{
	while (!stop && frontend_alive(fe))
		clock_nap_us(1000);
	_exit(0);
}

/* The back-end has mapped the memory; it is gone when rings are set up in it again. */
static int
mode_cut(struct frontend *fe, const struct options *o)
{
	int ret = frontend_stop(fe);

	(void)o;
	if (ret == 0)
		ret = cut_memory(fe, CUT_RINGS);
	if (ret < 0)
		return ret;
	printf("{\"mode\":\"cut\",\"started\":%d}\n", frontend_start(fe));
	_exit(0);
}

/* ---- flood and sink ---- */

static int
floods_start(struct frontend *fe, const struct options *o, bool rx, struct flood *f)
{
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		struct flood_conf conf = o->flood;
		int ret;

		if (rx)
			conf.size = o->bufsize;
		conf.plan = o->plan;
		ret = flood_init(&f[i], fe, rx ? frontend_rxq(i) : frontend_txq(i), &conf);
		if (ret < 0) {
			complain("cannot flood queue %u: %s", i, strerror(-ret));
			while (i > 0)
				flood_fini(&f[--i]);
			return ret;
		}
	}
	return 0;
}

struct flood_sum {
	uint64_t chains, frames, bytes, busy, turns, dry, gap_us;
	bool ordered;
};

static struct flood_sum
floods_sum(const struct flood *f, unsigned int n)
{
	struct flood_sum s = { .ordered = true };

	for (unsigned int i = 0; i < n; i++) {
		s.chains += f[i].count;
		s.frames += f[i].frames;
		s.bytes += f[i].bytes;
		s.busy += f[i].busy_cycles;
		s.turns += f[i].turns;
		s.dry += f[i].dry;
		s.gap_us = f[i].gap_us > s.gap_us ? f[i].gap_us : s.gap_us;
		s.ordered &= f[i].ordered;
	}
	return s;
}

static int
floods_run(struct frontend *fe, struct flood *f, const struct options *o, uint64_t end_us)
{
	uint64_t now, looked_us = 0;
	enum cut cut = o->cut;

	for (unsigned int turn = 1; !stop; turn++) {
		for (unsigned int i = 0; i < fe->conf.pairs; i++) {
			if (flood_poll(&f[i]) < 0) {
				complain("queue %u: %s", i, f[i].err);
				return -EPROTO;
			}
		}
		if (o->nap_us > 0)
			clock_nap_us(o->nap_us);
		else if (turn % 64 != 0)
			continue;
		if (cut != CUT_NOTHING && stdin_ended()) {
			if (cut_memory(fe, cut) < 0)
				return -EIO;
			if (cut == CUT_RINGS)
				stay_without_rings(fe);
			cut = CUT_NOTHING;
		}
		now = clock_us();
		if (now >= end_us)
			break;
		if (now - looked_us < ALIVE_US)
			continue;
		looked_us = now;
		if (check_alive(fe) < 0)
			return -EPIPE;
	}
	return 0;
}

static void
floods_print(const struct options *o, const struct flood_sum *s, double seconds)
{
	bool rx = strcmp(o->mode, "sink") == 0;
	uint64_t frames = rx && o->flood.exact ? s->frames : s->chains;
	uint64_t bytes = rx && o->flood.exact ? s->bytes : frames * o->flood.size;

	printf("{\"mode\":\"%s\",\"frames\":%llu,\"seconds\":%.6f,\"pps\":%.0f,", o->mode,
			(unsigned long long)frames, seconds, (double)frames / seconds);
	if (!rx || o->flood.exact)
		printf("\"bits_per_second\":%.0f,", 8.0 * (double)bytes / seconds);
	printf("\"chains\":%llu,\"chains_per_turn\":%.1f,\"busy_cycles_per_chain\":%.1f,"
	       "\"dry\":%.3f,\"gap_us\":%llu,\"in_order\":%s}\n",
			(unsigned long long)s->chains,
			s->turns ? (double)s->chains / (double)s->turns : 0.0,
			s->chains ? (double)s->busy / (double)s->chains : 0.0,
			s->turns ? (double)s->dry / (double)s->turns : 0.0,
			(unsigned long long)s->gap_us, s->ordered ? "true" : "false");
}

/* Flood and sink: prebuilt chains for a time. */
static int
mode_flood(struct frontend *fe, const struct options *o)
{
	bool rx = strcmp(o->mode, "sink") == 0;
	struct flood *f = calloc(fe->conf.pairs, sizeof(*f));
	uint64_t start = clock_us();
	struct flood_sum sum;
	int ret = f == NULL ? -ENOMEM : floods_start(fe, o, rx, f);

	if (ret < 0) {
		free(f);
		return ret;
	}
	ret = floods_run(fe, f, o, start + (uint64_t)(o->seconds * SECOND_US));
	sum = floods_sum(f, fe->conf.pairs);
	floods_print(o, &sum, (double)(clock_us() - start) / SECOND_US);
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		if (!rx && ret == 0 && flood_drain(&f[i], o->timeout_ms * 1000) < 0) {
			complain("queue %u: chains still out after %u ms of silence", i,
					o->timeout_ms);
			ret = -ETIMEDOUT;
		}
		flood_fini(&f[i]);
	}
	free(f);
	return ret;
}

/* ---- receive side of the other modes ---- */

int
post_buffers(struct frontend *fe, const struct options *o)
{
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		int ret = gqueue_rx_fill(frontend_rx(fe, i), o->bufsize, &o->layout);

		if (ret < 0) {
			complain("cannot post buffers of %u bytes: %s; see --slot-bytes",
					o->bufsize, strerror(-ret));
			return ret;
		}
		frontend_publish(fe, frontend_rxq(i));
	}
	return 0;
}

static uint64_t
end_of(const struct options *o)
{
	return o->seconds > 0 ? clock_us() + (uint64_t)(o->seconds * SECOND_US) : UINT64_MAX;
}

static void
discard(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	(void)pair;
	(void)frame;
	(void)len;
	(void)hdr;
	++*(uint64_t *)arg;
}

static int
mode_idle(struct frontend *fe, const struct options *o)
{
	uint64_t end = end_of(o), frames = 0;
	int ret = post_buffers(fe, o);

	while (ret == 0 && !stop && clock_us() < end) {
		for (unsigned int i = 0; i < fe->conf.pairs && ret >= 0; i++)
			ret = frontend_rx_burst(fe, i, 64, o->bufsize, &o->layout, discard,
					&frames);
		if (ret < 0)
			complain("%s", frontend_error(fe));
		else
			ret = check_alive(fe);
		clock_nap_us(1000);
	}
	printf("{\"mode\":\"idle\",\"frames\":%llu}\n", (unsigned long long)frames);
	return ret;
}

struct echo {
	struct frontend *fe;
	const struct options *o;
	uint64_t frames, dropped;
};

static void
echo_one(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct echo *e = arg;
	uint64_t end = clock_us() + 1000ULL * e->o->timeout_ms;
	const void *f = frame;

	(void)hdr;
	while (frontend_tx_burst(e->fe, pair, &e->o->layout, &f, &len, 1) != 1) {
		if (stop || clock_us() > end || !frontend_alive(e->fe)) {
			e->dropped++;
			return;
		}
	}
	e->frames++;
}

static int
mode_echo(struct frontend *fe, const struct options *o)
{
	struct echo e = { .fe = fe, .o = o };
	uint64_t end = end_of(o);
	int ret = post_buffers(fe, o);

	while (ret >= 0 && !stop && clock_us() < end) {
		int n = 0;

		for (unsigned int i = 0; i < fe->conf.pairs && ret >= 0; i++) {
			ret = frontend_rx_burst(fe, i, 32, o->bufsize, &o->layout, echo_one, &e);
			n += ret > 0 ? ret : 0;
		}
		if (ret < 0)
			complain("%s", frontend_error(fe));
		else if (n == 0 && (ret = check_alive(fe)) == 0)
			clock_nap_us(20);
	}
	printf("{\"mode\":\"echo\",\"frames\":%llu,\"dropped\":%llu}\n",
			(unsigned long long)e.frames, (unsigned long long)e.dropped);
	return ret < 0 ? ret : 0;
}

/* ---- burst ---- */

/* Frames, then silence: how long until the last buffer is back. */
static int
burst_queue(struct frontend *fe, const struct options *o, unsigned int pair)
{
	struct gqueue *q = frontend_tx(fe, pair);
	unsigned char frame[FRAME_LEN_MAX] = { 0 };
	uint64_t start;
	int ret = 0;

	frame_plain(frame, o->flood.size, &o->plan);
	for (uint64_t i = 0; i < o->count && ret >= 0; i++)
		ret = gqueue_tx_frame(q, &o->layout, NULL, frame, o->flood.size);
	if (ret < 0) {
		complain("%llu frames of %u bytes do not fit the ring: %s",
				(unsigned long long)o->count, o->flood.size, strerror(-ret));
		return ret;
	}
	start = clock_us();
	frontend_publish(fe, frontend_txq(pair));
	ret = frontend_wait_used(fe, frontend_txq(pair), (unsigned int)o->count,
			o->timeout_ms * 1000, o->by_call);
	printf("{\"mode\":\"burst\",\"queue\":%u,\"frames\":%llu,\"back\":%d,\"us\":%llu}\n", pair,
			(unsigned long long)o->count, ret,
			(unsigned long long)(clock_us() - start));
	if (ret < 0 || (uint64_t)ret < o->count)
		return -ETIMEDOUT;
	if (gqueue_tx_reclaim(q) < 0) {
		complain("transmit queue %u: %s", pair, q->err);
		return -EPROTO;
	}
	return 0;
}

static int
mode_burst(struct frontend *fe, const struct options *o)
{
	int ret = 0;

	while (o->hold && getchar() != EOF)
		;
	for (unsigned int n = 0; n < o->repeat && ret == 0 && !stop; n++)
		for (unsigned int i = 0; i < fe->conf.pairs && ret == 0; i++)
			ret = burst_queue(fe, o, i);
	return ret;
}

/* ---- the program ---- */

const struct mode modes[] = {
	{ "flood", mode_flood, "send frames of --size as fast as possible for --seconds" },
	{ "sink", mode_flood, "receive as fast as possible for --seconds into --bufsize" },
	{ "echo", mode_echo, "send back every frame received, until SIGTERM or --seconds" },
	{ "random", mode_frames, "send --count frames a queue, --min to --max bytes, by --seed" },
	{ "verify", mode_frames, "receive and check what another guest's random mode sends" },
	{ "both", mode_frames, "random, and verify what comes back or another's both sends" },
	{ "burst", mode_burst, "send --count frames, then wait for their buffers" },
	{ "duplex", mode_duplex, "flood and sink at once, until SIGTERM or after --resets" },
	{ "punch", mode_punch,
			"flood and sink while holes are punched into memory, until SIGTERM" },
	{ "refault", mode_refault,
			"flood and sink from buffers that are holes each time, until SIGTERM" },
	{ "words", mode_words, "as stdin says: send frames of one word, note those received" },
	{ "kick", mode_attack, "kick every ring, until SIGTERM" },
	{ "reset", mode_attack, "reset the device, until SIGTERM" },
	{ "break", mode_attack, "break every ring and reset the device, until SIGTERM" },
	{ "reconnect", mode_attack, "connect and start the device, until SIGTERM" },
	{ "toggle", mode_attack, "disable and enable every ring, until SIGTERM" },
	{ "tables", mode_attack, "new memory tables with buffers posted, until SIGTERM" },
	{ "reset-rx", mode_attack, "receive a frame and reset the device, until SIGTERM" },
	{ "malformed-rx", mode_attack,
			"post chains that break the rules and reset the device, until SIGTERM" },
	{ "malformed", mode_malformed, "send chains that break the rules, until SIGTERM" },
	{ "cut", mode_cut, "stop, lose the file that the rings lie in, and start again" },
	{ "idle", mode_idle, "post receive buffers and discard, until SIGTERM or --seconds" },
	{ 0 },
};

int
main(int argc, char **argv)
{
	struct options o;
	struct frontend *fe;
	int ret, status = 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (options_parse(&o, argc, argv) < 0)
		return 2;
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	fe = frontend_create(&o.fe);
	if (fe == NULL)
		return 2;
	ret = frontend_connect(fe);
	if (ret == 0)
		ret = frontend_start(fe);
	if (ret < 0) {
		complain("%s", frontend_error(fe));
	} else {
		status = o.run(fe, &o) < 0;
		if (frontend_alive(fe) && frontend_stop(fe) < 0) {
			complain("%s", frontend_error(fe));
			status = 1;
		}
	}
	frontend_destroy(fe);
	return status;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet-wire: what hangs on the cable of a NIC, for functional tests: a packet socket on a network
 * interface that sends and checks the frames that zcnet-guest checks and sends.
 *
 * One JSON object on stdout when it listens, one at its end. Exit status: 0 fine, 1 a frame was
 * lost, altered or out of order, 2 bad usage or no interface.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "checker.h"
#include "clock.h"

#define SECOND_US 1000000ULL
#define RCVBUF (64 << 20)
/* What is made up for when the machine was late: more would be a burst that the kernel drops. */
#define LATE_US 10000

struct wire {
	const char *interface;
	struct frame_plan plan, peer;
	uint64_t send, expect; /* frames; expect: from each queue */
	unsigned int queues;
	uint64_t rate, window;
	unsigned int timeout_ms;
	bool peer_seed_given;
	int sock;
	uint64_t sent, due_us;
	struct checker checker;
};

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static const struct {
	const char *name;
	const char *help;
} opts[] = {
	{ "interface", "network interface" },
	{ "send", "frames to send (0)" },
	{ "expect", "frames to receive from each queue of the peer (0)" },
	{ "queues", "of the peer (1)" },
	{ "seed", "of the frames to send (1)" },
	{ "peer-seed", "of the frames to receive (one's own, echoed)" },
	{ "min", "shortest frame, from 60 (60)" },
	{ "max", "longest frame (1514)" },
	{ "rate", "frames a second (no limit)" },
	{ "window", "frames out and not answered, when some are expected (64; 0: no limit)" },
	{ "dst", "destination MAC (02:00:00:00:00:02)" },
	{ "timeout", "milliseconds without progress before giving up (5000)" },
	{ "help", "this" },
};

#define N_OPTS (sizeof(opts) / sizeof(opts[0]))

static void
usage(FILE *to)
{
	fprintf(to, "usage: zcnet-wire --interface NAME [OPTION]...\n\n");
	for (size_t i = 0; i < N_OPTS; i++)
		fprintf(to, "  --%-12s %s\n", opts[i].name, opts[i].help);
}

static int
number(const char *name, const char *text, uint64_t lo, uint64_t hi, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno == 0 && end != text && *end == '\0' && *text != '-' && *value >= lo &&
			*value <= hi)
		return 0;
	fprintf(stderr, "zcnet-wire: --%s %s: give a number from %llu to %llu\n", name, text,
			(unsigned long long)lo, (unsigned long long)hi);
	return -EINVAL;
}

static int
set_option(struct wire *w, const char *name, const char *text)
{
	uint64_t v = 0;
	int ret;

#define TAKE(opt, lo, hi, field) \
	if (strcmp(name, opt) == 0) { \
		ret = number(name, text, lo, hi, &v); \
		field = v; \
		return ret; \
	}
	TAKE("send", 0, UINT64_MAX, w->send)
	TAKE("expect", 0, UINT64_MAX, w->expect)
	TAKE("queues", 1, 128, w->queues)
	TAKE("seed", 0, UINT64_MAX, w->plan.seed)
	TAKE("min", FRAME_LEN_MIN, FRAME_LEN_MAX, w->plan.len_min)
	TAKE("max", FRAME_LEN_MIN, FRAME_LEN_MAX, w->plan.len_max)
	TAKE("rate", 1, SECOND_US, w->rate)
	TAKE("window", 0, 1 << 20, w->window)
	TAKE("timeout", 1, 3600000, w->timeout_ms)
	TAKE("peer-seed", 0, UINT64_MAX, w->peer.seed)
#undef TAKE
	if (strcmp(name, "dst") == 0) {
		ret = frame_mac_parse(text, &w->plan.dst);
		if (ret < 0)
			fprintf(stderr, "zcnet-wire: --dst %s: give a MAC address\n", text);
		return ret;
	}
	w->interface = text;
	return 0;
}

static int
parse(struct wire *w, int argc, char **argv)
{
	struct option longs[N_OPTS + 1] = { 0 };
	int i, c;

	for (size_t k = 0; k < N_OPTS; k++)
		longs[k] = (struct option){ opts[k].name, required_argument, NULL, 0 };
	longs[N_OPTS - 1].has_arg = no_argument;
	while ((c = getopt_long(argc, argv, "", longs, &i)) != -1) {
		if (c == '?')
			return -EINVAL;
		if (strcmp(opts[i].name, "help") == 0) {
			usage(stdout);
			exit(0);
		}
		if (set_option(w, opts[i].name, optarg) < 0)
			return -EINVAL;
		w->peer_seed_given |= strcmp(opts[i].name, "peer-seed") == 0;
	}
	if (w->interface == NULL || optind != argc || w->plan.len_min > w->plan.len_max) {
		usage(stderr);
		return -EINVAL;
	}
	return 0;
}

static int
open_socket(struct wire *w)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
		.sll_protocol = htons(FRAME_ETHERTYPE),
		.sll_ifindex = (int)if_nametoindex(w->interface) };
	int size = RCVBUF;

	w->sock = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->sock < 0 || ll.sll_ifindex == 0 ||
			bind(w->sock, (struct sockaddr *)&ll, sizeof(ll)) < 0) {
		fprintf(stderr, "zcnet-wire: %s: %s\n", w->interface, strerror(errno));
		return -errno;
	}
	if (setsockopt(w->sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(w->sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return 0;
}

/* ---- frames ---- */

static bool
may_send(const struct wire *w, uint64_t now)
{
	if (w->sent >= w->send || w->due_us > now)
		return false;
	return w->expect == 0 || w->window == 0 || w->sent < w->checker.frames + w->window;
}

static uint64_t
latest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* @return 1, 0 when the interface has no room, or a negative errno */
static int
send_one(struct wire *w)
{
	uint8_t frame[FRAME_LEN_MAX + 8];
	uint32_t len = frame_make(&w->plan, 0, w->sent, frame);

	if (send(w->sock, frame, len, 0) != (ssize_t)len) {
		if (errno == EAGAIN || errno == ENOBUFS)
			return 0;
		fprintf(stderr, "zcnet-wire: a frame of %u bytes: %s\n", len, strerror(errno));
		return -errno;
	}
	w->sent++;
	if (w->rate != 0)
		w->due_us = latest(w->due_us + SECOND_US / w->rate, clock_us() - LATE_US);
	return 1;
}

static int
receive(struct wire *w)
{
	uint8_t frame[FRAME_LEN_MAX];
	ssize_t len = recv(w->sock, frame, sizeof(frame), 0);
	struct frame_tag tag = { 0 };
	int64_t bad;

	if (len < 0)
		return 0;
	bad = checker_take(&w->checker, frame, (uint32_t)len);
	if (bad < 0 || w->checker.altered > 10)
		return 1;
	frame_tag_get(frame, (uint32_t)len, &tag);
	fprintf(stderr, "zcnet-wire: frame %llu of queue %u, %zd bytes: byte %lld is wrong\n",
			(unsigned long long)tag.seq, tag.queue, len, (long long)bad);
	return 1;
}

static bool
done(const struct wire *w)
{
	return w->sent >= w->send && checker_done(&w->checker);
}

static int
run(struct wire *w)
{
	uint64_t now = clock_us(), moved = now;

	w->due_us = now;
	while (!stop && !done(w)) {
		int sent, got;

		now = clock_us();
		sent = may_send(w, now) ? send_one(w) : 0;
		if (sent < 0)
			return sent;
		got = receive(w);
		if (sent + got > 0) {
			moved = now;
		} else if (now - moved > 1000ULL * w->timeout_ms) {
			fprintf(stderr, "zcnet-wire: nothing moved for %u ms\n", w->timeout_ms);
			return -ETIMEDOUT;
		} else {
			poll(&(struct pollfd){ .fd = w->sock, .events = POLLIN }, 1, 1);
		}
	}
	return 0;
}

static void
init(struct wire *w)
{
	*w = (struct wire){ .queues = 1, .window = 64, .timeout_ms = 5000, .sock = -1 };
	w->plan = (struct frame_plan){ .seed = 1,
		.len_min = FRAME_LEN_MIN,
		.len_max = 1514,
		.dst = { { 2, 0, 0, 0, 0, 2 } },
		.src = { { 2, 0, 0, 0, 0, 1 } } };
}

int
main(int argc, char **argv)
{
	uint64_t seed, start;
	struct wire w;
	int ret;

	init(&w);
	if (parse(&w, argc, argv) < 0)
		return 2;
	seed = w.peer_seed_given ? w.peer.seed : w.plan.seed;
	w.peer = w.plan;
	w.peer.seed = seed;
	if (open_socket(&w) < 0 || checker_init(&w.checker, &w.peer, w.queues, w.expect) < 0)
		return 2;
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("{\"mode\":\"ready\"}");
	start = clock_us();
	ret = run(&w);
	printf("{\"mode\":\"wire\",");
	checker_print(&w.checker);
	printf(",\"sent\":%llu,\"seconds\":%.6f}\n", (unsigned long long)w.sent,
			(double)(clock_us() - start) / SECOND_US);
	ret = ret == 0 && w.sent >= w.send && checker_fine(&w.checker) ? 0 : 1;
	checker_fini(&w.checker);
	close(w.sock);
	return ret;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet-said: a front-end that does one thing by the letter of the specification, or against it.
 *
 *     zcnet-said --list
 *     zcnet-said SOCKET CASE...
 *
 * A line for each case that passed; the first that didn't ends it with status 1 and the reason.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "said.h"

#define ECHO_BYTES 600
#define ECHO_US 10000000
#define SETTLE_US 300000
#define WINDOW 32

int
said_fail(struct said *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->why, sizeof(s->why), format, ap);
	va_end(ap);
	return -1;
}

int
said_create(struct said *s, const struct frontend_conf *conf)
{
	struct frontend_conf own = *conf;

	frontend_destroy(s->fe);
	own.path = s->path;
	s->fe = frontend_create(&own);
	return s->fe != NULL ? 0 : said_fail(s, "no front-end");
}

int
said_settle(struct said *s)
{
	struct vhu_msg m = { .request = VHU_GET_FEATURES };

	return frontend_call(s->fe, &m, NULL, 0) == 0 ? 0 :
							said_fail(s, "%s", frontend_error(s->fe));
}

int
said_start(struct said *s)
{
	if (frontend_connect(s->fe) < 0 || frontend_start(s->fe) < 0)
		return said_fail(s, "%s", frontend_error(s->fe));
	for (unsigned int i = 0; i < s->fe->conf.pairs; i++) {
		gqueue_rx_fill(frontend_rx(s->fe, i), 2048, &layouts[0]);
		frontend_publish(s->fe, frontend_rxq(i));
	}
	return said_settle(s);
}

/* ---- echo ---- */

struct echo {
	unsigned int got, wrong;
};

static void
fill(uint8_t *frame, unsigned int number)
{
	memset(frame, 2, 12);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	for (unsigned int i = 14; i < ECHO_BYTES; i++)
		frame[i] = (uint8_t)(number * 7 + i);
}

static void
echoed(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct echo *e = arg;
	uint8_t want[ECHO_BYTES];

	(void)pair, (void)hdr;
	fill(want, e->got++);
	e->wrong += len != ECHO_BYTES || memcmp(frame, want, ECHO_BYTES) != 0;
}

int
said_echo(struct said *s, unsigned int n)
{
	uint64_t begun = clock_us(), end = begun + ECHO_US;
	struct echo e = { 0 };
	unsigned int sent = 0;

	while (e.got < n) {
		uint8_t frame[ECHO_BYTES];
		const void *frames[] = { frame };
		const uint32_t len = ECHO_BYTES;

		fill(frame, sent);
		if (sent < n && sent - e.got < WINDOW)
			sent += frontend_tx_burst(s->fe, 0, &layouts[0], frames, &len, 1) == 1;
		if (frontend_rx_burst(s->fe, 0, WINDOW, 2048, &layouts[0], echoed, &e) < 0)
			return said_fail(s, "%s", frontend_error(s->fe));
		/* The first ones may be dropped while rings that were just touched settle. */
		if (e.got == 0 && sent == WINDOW && clock_us() > begun + SETTLE_US) {
			begun = clock_us();
			sent = 0;
		}
		if (clock_us() > end)
			return said_fail(s, "%u of %u frames came back", e.got, n);
	}
	return e.wrong == 0 ? 0 : said_fail(s, "%u of %u frames were altered", e.wrong, n);
}

/* ---- the program ---- */

static const struct said_case *const lists[] = { message_cases, ring_cases };

static const struct said_case *
find(const char *name)
{
	for (unsigned int i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct said_case *c = lists[i]; c->name != NULL; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

static int
run(const struct said_case *c, const char *path)
{
	struct said s = { .path = path };
	struct frontend_conf conf;
	int ret;

	frontend_conf_init(&conf);
	ret = said_create(&s, &conf);
	if (ret == 0)
		ret = c->run(&s);
	frontend_destroy(s.fe);
	printf("%s%s%s\n", c->name, ret < 0 ? ": " : "", s.why);
	return ret;
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (unsigned int i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
			for (const struct said_case *c = lists[i]; c->name != NULL; c++)
				printf("%s: %s\n", c->name, c->text);
		return 0;
	}
	if (argc < 3) {
		fprintf(stderr, "usage: zcnet-said --list | zcnet-said SOCKET CASE...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		const struct said_case *c = find(argv[i]);

		if (c == NULL) {
			fprintf(stderr, "zcnet-said: no case %s; see --list\n", argv[i]);
			return 2;
		}
		if (run(c, argv[1]) < 0)
			return 1;
	}
	return 0;
}

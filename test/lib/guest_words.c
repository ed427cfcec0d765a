/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet-guest's words: every frame repeats one word that says for whom it is, and the guest notes
 * which ones it was given.
 *
 * It is told by lines of four letters on stdin:
 *
 *   A012    send frames of this word from now on
 *   stop    reset the device, and fill all memory with a pattern
 *   back    see whether any of it was written since, and start the device again
 *
 * Each is answered by a line on stdout.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "guest.h"

#define BATCH 16
#define LETTERS 128
#define NUMBERS 1000
#define PATTERN 0xa5
#define ETHER 14
#define VLAN_TAG 4

struct words {
	struct frontend *fe;
	const struct options *o;
	char word[FRAME_WORD]; /* to send; all zeros: nothing */
	uint64_t sent, frames;
	uint64_t mixed; /* frames of more than one word, or of none */
	bool running;
	bool seen[LETTERS][NUMBERS];
};

/* ---- receiving ---- */

static bool
is_word(const uint8_t *w)
{
	return isalpha(w[0]) && isdigit(w[1]) && isdigit(w[2]) && isdigit(w[3]);
}

static bool
is_tagged(const uint8_t *frame)
{
	return frame[12] == 0x81 && frame[13] == 0x00;
}

static void
note(void *arg, unsigned int pair, const void *data, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct words *w = arg;
	const uint8_t *frame = data;
	uint32_t at = len > ETHER && is_tagged(frame) ? ETHER + VLAN_TAG : ETHER;

	(void)pair, (void)hdr;
	w->frames++;
	if (len < at + FRAME_WORD || !is_word(frame + at) ||
			memcmp(frame + at, frame + at + FRAME_WORD, len - at - FRAME_WORD) != 0) {
		w->mixed++;
		return;
	}
	frame += at;
	w->seen[frame[0]][(frame[1] - '0') * 100 + (frame[2] - '0') * 10 + frame[3] - '0'] = true;
}

static int
receive_turn(struct words *w)
{
	int n = 0, ret = 0;

	for (unsigned int i = 0; i < w->fe->conf.pairs && ret >= 0; i++) {
		ret = frontend_rx_burst(w->fe, i, 64, w->o->bufsize, &w->o->layout, note, w);
		n += ret;
	}
	return ret < 0 ? ret : n;
}

/* ---- sending ---- */

static int
send_turn(struct words *w)
{
	uint8_t frame[FRAME_LEN_MAX];
	const void *frames[] = { frame };
	int n = 0, ret = 1;

	while (w->word[0] != 0 && n < BATCH && ret == 1) {
		uint32_t len = frame_words(&w->o->plan, 0, w->sent, w->word, frame);

		ret = frontend_tx_burst(w->fe, 0, &w->o->layout, frames, &len, 1);
		n += ret;
		w->sent += ret == 1;
	}
	return ret < 0 ? ret : n;
}

/* ---- orders ---- */

static int
stop_device(struct words *w)
{
	int ret = frontend_stop(w->fe);

	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i < w->fe->mem.n; i++)
		memset(w->fe->mem.region[i].va, PATTERN, w->fe->mem.region[i].size);
	w->running = false;
	return 0;
}

static uint64_t
written(const struct words *w)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < w->fe->mem.n; i++)
		for (uint64_t at = 0; at < w->fe->mem.region[i].size; at++)
			n += w->fe->mem.region[i].va[at] != PATTERN;
	return n;
}

static int
start_device(struct words *w)
{
	uint64_t n = written(w);
	int ret;

	frontend_reset(w->fe);
	ret = frontend_start(w->fe);
	if (ret == 0)
		ret = post_buffers(w->fe, w->o);
	w->running = ret == 0;
	printf("{\"mode\":\"back\",\"written\":%llu}\n", (unsigned long long)n);
	return ret;
}

static int
obey(struct words *w, const char *order)
{
	int ret = 0;

	if (strcmp(order, "back") == 0)
		return start_device(w);
	if (strcmp(order, "stop") == 0)
		ret = stop_device(w);
	else
		memcpy(w->word, order, FRAME_WORD);
	printf("{\"mode\":\"%s\"}\n", order);
	return ret;
}

static int
order_turn(struct words *w)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[FRAME_WORD + 1];

	if (poll(&p, 1, 0) != 1 || read(STDIN_FILENO, line, sizeof(line)) != sizeof(line))
		return 0;
	line[FRAME_WORD] = '\0';
	return obey(w, line);
}

/* ---- the mode ---- */

static void
print(const struct words *w)
{
	const char *comma = "";

	printf("{\"mode\":\"words\",\"frames\":%llu,\"sent\":%llu,\"mixed\":%llu,\"seen\":[",
			(unsigned long long)w->frames, (unsigned long long)w->sent,
			(unsigned long long)w->mixed);
	for (unsigned int letter = 0; letter < LETTERS; letter++)
		for (unsigned int number = 0; number < NUMBERS; number++)
			if (w->seen[letter][number]) {
				printf("%s\"%c%03u\"", comma, letter, number);
				comma = ",";
			}
	printf("]}\n");
}

static int
turn(struct words *w)
{
	int got = w->running ? receive_turn(w) : 0;
	int sent = got >= 0 && w->running ? send_turn(w) : 0;
	int ret = got < 0 ? got : sent < 0 ? sent : order_turn(w);

	if (ret < 0)
		complain("%s", frontend_error(w->fe));
	else if (!frontend_alive(w->fe))
		ret = -EPIPE;
	else if (got + sent == 0)
		clock_nap_us(20);
	return ret;
}

int
mode_words(struct frontend *fe, const struct options *o)
{
	struct words w = { .fe = fe, .o = o, .running = true };
	int ret = post_buffers(fe, o);

	while (ret >= 0 && !stopped())
		ret = turn(&w);
	print(&w);
	return ret;
}

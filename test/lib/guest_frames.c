/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet-guest's random, verify and both: frames made from a seed go out, frames made from a seed
 * come in. With --moves the guest's buffers wander to new memory meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checker.h"
#include "clock.h"
#include "guest.h"

struct sender {
	uint64_t seq, rng;
	uint64_t due_us;
};

struct traffic {
	struct frontend *fe;
	const struct options *o;
	bool sends, receives;
	struct sender *sender; /* by pair */
	struct checker checker;
	struct frame_plan peer; /* who sends what comes in */
	uint64_t bad_header;
	uint64_t sent;
	uint64_t moved_us; /* last progress */
	unsigned int moves;
	bool moving;
	bool released; /* nothing is held back any more */
};

/* ---- waiting for the end of stdin ---- */

static int
release(struct traffic *t)
{
	t->released = true;
	for (unsigned int i = 0; i < t->fe->conf.pairs; i++)
		t->sender[i].due_us = clock_us();
	return t->receives && t->o->late ? post_buffers(t->fe, t->o) : 0;
}

/* stdin says nothing but its end. */
static int
release_turn(struct traffic *t)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	if (t->released || ((t->o->hold || t->o->late) && poll(&p, 1, 0) == 0))
		return 0;
	return release(t);
}

/* ---- sending ---- */

static int
send_one(struct traffic *t, unsigned int pair, struct sender *s)
{
	const struct options *o = t->o;
	uint8_t frame[FRAME_LEN_MAX + 8];
	struct layout l = o->layout_given ? o->layout :
					    layout_random(&s->rng, t->fe->features, o->may);
	uint32_t len = frame_make(&o->plan, pair, s->seq, frame);
	const void *f = frame;
	int ret = frontend_tx_burst(t->fe, pair, &l, &f, &len, 1);

	if (ret == 1) {
		s->seq++;
		t->sent++;
	}
	return ret;
}

static bool
may_send(const struct traffic *t, const struct sender *s, uint64_t now)
{
	if (s->seq >= t->o->count || s->due_us > now)
		return false;
	return !t->receives || t->o->window == 0 ||
			t->sent < t->checker.frames + t->o->window * t->fe->conf.pairs;
}

static int
send_turn(struct traffic *t, uint64_t now)
{
	int ret, n = 0;

	for (unsigned int i = 0; i < t->fe->conf.pairs; i++) {
		struct sender *s = &t->sender[i];

		if (!may_send(t, s, now))
			continue;
		ret = send_one(t, i, s);
		if (ret < 0)
			return ret;
		if (ret == 1 && t->o->rate != 0)
			s->due_us += SECOND_US / t->o->rate;
		n += ret;
	}
	return n;
}

static bool
all_sent(const struct traffic *t)
{
	return !t->sends || t->sent >= t->o->count * t->fe->conf.pairs;
}

/* What was sent and is done: nobody else asks once all is sent. */
static int
reclaim_tx(struct traffic *t, unsigned int pair)
{
	struct gqueue *q = frontend_tx(t->fe, pair);
	int ret = gqueue_tx_reclaim(q);

	if (ret < 0)
		complain("transmit queue %u: %s", pair, q->err);
	return ret;
}

static int
drain_tx(struct traffic *t)
{
	uint64_t end = clock_us() + 1000ULL * t->o->timeout_ms;

	for (unsigned int i = 0; i < t->fe->conf.pairs; i++) {
		struct gqueue *q = frontend_tx(t->fe, i);

		while (drv_ring_pending(&q->ring) > 0) {
			if (reclaim_tx(t, i) < 0)
				return -EPROTO;
			if (clock_us() > end || !frontend_alive(t->fe)) {
				complain("transmit queue %u: %u chains still out", i,
						drv_ring_pending(&q->ring));
				return -ETIMEDOUT;
			}
			clock_nap_us(20);
		}
	}
	return 0;
}

/* ---- receiving ---- */

static void
receive_one(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct traffic *t = arg;
	struct frame_tag tag = { 0 };
	int64_t bad = checker_take(&t->checker, frame, len);

	t->bad_header += hdr->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	if (bad < 0 || t->checker.altered > 10)
		return;
	frame_tag_get(frame, len, &tag);
	complain("queue %u: frame %llu of queue %u, %u bytes: byte %lld is wrong", pair,
			(unsigned long long)tag.seq, tag.queue, len, (long long)bad);
}

static int
receive_turn(struct traffic *t)
{
	int ret, n = 0;

	for (unsigned int i = 0; i < t->fe->conf.pairs; i++) {
		ret = frontend_rx_burst(t->fe, i, 64, t->o->bufsize, &t->o->layout, receive_one, t);
		if (ret < 0)
			return ret;
		n += ret;
	}
	return n;
}

/* ---- moving ---- */

static bool
old_memory_used(const struct traffic *t)
{
	const struct gmem_region *old = &t->fe->mem.region[1];

	for (unsigned int i = 0; i < 2 * t->fe->conf.pairs; i++)
		if (gqueue_uses(&t->fe->queue[i].gq, old->gpa, old->size))
			return true;
	return false;
}

/*
 * At equal distances, as received frames count, new memory is added and all further buffers lie
 * in it; when the device has given back the last of the others, theirs goes away.
 */
static int
move_turn(struct traffic *t)
{
	uint64_t total = t->o->count * t->fe->conf.pairs;
	int ret = 0;

	if (t->moves == t->o->moves)
		return 0;
	if (!t->moving) {
		if (t->checker.frames < total / (t->o->moves + 1) * (t->moves + 1))
			return 0;
		t->moving = true;
		return frontend_mem_move(t->fe);
	}
	for (unsigned int i = 0; t->sends && i < t->fe->conf.pairs; i++)
		if (reclaim_tx(t, i) < 0)
			return -EPROTO;
	if (old_memory_used(t))
		return 0;
	ret = frontend_mem_del(t->fe, 1);
	t->moves++;
	t->moving = false;
	return ret;
}

/* ---- a mode ---- */

static bool
done(const struct traffic *t)
{
	return all_sent(t) && (!t->receives || checker_done(&t->checker)) &&
			(t->released || !t->o->hold);
}

static int
turn(struct traffic *t)
{
	bool sends = t->sends && (t->released || !t->o->hold);
	uint64_t now = clock_us();
	int sent = sends ? send_turn(t, now) : 0;
	int got = sent >= 0 && t->receives ? receive_turn(t) : 0;
	int ret = sent < 0 ? sent : got < 0 ? got : move_turn(t);

	if (release_turn(t) < 0)
		return -EINVAL;
	if (ret < 0) {
		complain("%s", frontend_error(t->fe));
		return ret;
	}
	if (sent + got > 0 || !t->released)
		t->moved_us = now;
	if (now - t->moved_us > 1000ULL * t->o->timeout_ms || !frontend_alive(t->fe)) {
		complain("no frame %s for %u ms", all_sent(t) ? "received" : "taken",
				t->o->timeout_ms);
		return -ETIMEDOUT;
	}
	if (sent + got == 0)
		clock_nap_us(20);
	return 0;
}

static uint64_t
out_of_order(const struct traffic *t)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < 2 * t->fe->conf.pairs; i++)
		n += t->fe->queue[i].gq.ring.out_of_order;
	return n;
}

static void
print(const struct traffic *t, double seconds)
{
	printf("{\"mode\":\"%s\",", t->o->mode);
	if (t->receives)
		checker_print(&t->checker);
	else
		printf("\"frames\":%llu", (unsigned long long)t->sent);
	if (t->sends && t->receives)
		printf(",\"sent\":%llu", (unsigned long long)t->sent);
	if (t->receives)
		printf(",\"bad_header\":%llu", (unsigned long long)t->bad_header);
	printf(",\"out_of_order\":%llu,\"moves\":%u,\"seconds\":%.6f}\n",
			(unsigned long long)out_of_order(t), t->moves, seconds);
}

static int
verdict(const struct traffic *t)
{
	if (t->moves != t->o->moves) {
		complain("buffers were moved %u times only: give more frames", t->moves);
		return -EBADMSG;
	}
	return !t->receives || (checker_fine(&t->checker) && t->bad_header == 0) ? 0 : -EBADMSG;
}

static int
begin(struct traffic *t)
{
	t->sender = calloc(t->fe->conf.pairs, sizeof(*t->sender));
	if (t->sender == NULL)
		return -ENOMEM;
	t->moved_us = clock_us();
	for (unsigned int i = 0; i < t->fe->conf.pairs; i++)
		t->sender[i] = (struct sender){ .rng = t->o->plan.seed + i, .due_us = t->moved_us };
	t->peer = t->o->plan;
	if (t->sends && t->o->peer_seed_given)
		t->peer.seed = t->o->peer_seed;
	return t->receives ? checker_init(&t->checker, &t->peer,
					     t->o->peer_queues > 0 ? t->o->peer_queues :
								     t->fe->conf.pairs,
					     t->o->count) :
			     0;
}

/* What was there when a signal came: a ring full at most, since more may come for ever. */
static int
receive_rest(struct traffic *t)
{
	int ret = 1;

	for (unsigned int n = 0; n < t->fe->conf.ring_size && ret > 0; n++)
		ret = receive_turn(t);
	return ret;
}

int
mode_frames(struct frontend *fe, const struct options *o)
{
	struct traffic t = { .fe = fe,
		.o = o,
		.sends = strcmp(o->mode, "verify") != 0,
		.receives = strcmp(o->mode, "random") != 0 };
	uint64_t start = clock_us();
	int ret = begin(&t);

	if (ret == 0 && t.receives && !o->late)
		ret = post_buffers(fe, o);
	if (ret == 0 && t.receives && (!t.sends || o->hold) && !o->late)
		say_ready();
	while (ret >= 0 && !stopped() && !done(&t))
		ret = turn(&t);
	if (ret >= 0 && t.receives && stopped())
		ret = receive_rest(&t);
	if (ret >= 0 && t.sends)
		ret = drain_tx(&t);
	print(&t, (double)(clock_us() - start) / SECOND_US);
	if (ret >= 0)
		ret = verdict(&t);
	checker_fini(&t.checker);
	free(t.sender);
	return ret;
}

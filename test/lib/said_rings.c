/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest may rely on from the program as a whole, and may do to its rings while it runs.
 *
 * The back-end is bound to something that echoes, but for n09_quiet_after_reset: there, frames
 * have to come in all the time, and the test that runs this says by the end of stdin that many
 * have come since.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/mman.h>

#include "clock.h"
#include "frame.h"
#include "hostile.h"
#include "said.h"

#define BIT(n) (1ULL << (n))
#define KICKS 1000000
#define RESETS 100
#define WAIT_US 10000000
#define PATTERN 0xa5
#define PACKED 34
#define ACCESS_PLATFORM 33
#define RING_RESET 40
#define LOG_ALL 26

#define TRY(call) \
	do { \
		int try_ret = (call); \
		if (try_ret < 0) \
			return try_ret; \
	} while (0)

/* A call of the front-end's own. */
#define FE(call) \
	do { \
		if ((call) < 0) \
			return said_fail(s, "%s", frontend_error(s->fe)); \
	} while (0)

static int
start_with(struct said *s, unsigned int pairs, bool no_protocol_features)
{
	struct frontend_conf conf = s->fe->conf;

	conf.pairs = pairs;
	conf.no_protocol_features = no_protocol_features;
	TRY(said_create(s, &conf));
	return said_start(s);
}

/* As after a device reset: stopped, empty, started, buffers posted. */
static int
reset(struct said *s)
{
	FE(frontend_stop(s->fe));
	frontend_reset(s->fe);
	FE(frontend_start(s->fe));
	gqueue_rx_fill(frontend_rx(s->fe, 0), 2048, &layouts[0]);
	frontend_publish(s->fe, frontend_rxq(0));
	return said_settle(s);
}

/* ---- by the letter ---- */

static int
spurious_kicks(struct said *s)
{
	TRY(said_start(s));
	for (unsigned int i = 0; i < KICKS; i++)
		frontend_kick(s->fe, i % 2);
	return said_echo(s, 100);
}

static int
features_consistent(struct said *s)
{
	static const struct {
		uint8_t bit, needs; /* virtio 1.2, 5.1.3.1 */
	} rules[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM },
		{ VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_CSUM },
		{ VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM },
		{ VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM },
		{ VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_CSUM },
		{ VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ },
		{ VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ },
	};
	static const uint8_t absent[] = { RING_RESET, ACCESS_PLATFORM, PACKED, LOG_ALL };
	uint64_t offered;

	FE(frontend_connect(s->fe));
	offered = s->fe->offered;
	for (unsigned int i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if ((offered & BIT(rules[i].bit)) && !(offered & BIT(rules[i].needs)))
			return said_fail(s, "feature %u without %u", rules[i].bit, rules[i].needs);
	for (unsigned int i = 0; i < sizeof(absent); i++)
		if (offered & BIT(absent[i]))
			return said_fail(s, "feature %u isn't served", absent[i]);
	return offered & BIT(VIRTIO_F_VERSION_1) ? 0 : said_fail(s, "VERSION_1 isn't offered");
}

static int
same_features_again(struct said *s)
{
	uint64_t offered;

	TRY(said_start(s));
	offered = s->fe->offered;
	for (unsigned int i = 0; i < RESETS; i++) {
		TRY(reset(s));
		TRY(said_echo(s, 1));
		if (i % 10 != 0)
			continue;
		FE(frontend_stop(s->fe));
		frontend_disconnect(s->fe);
		frontend_reset(s->fe);
		TRY(said_start(s));
		if (s->fe->offered != offered)
			return said_fail(s, "%#llx is offered, %#llx was",
					(unsigned long long)s->fe->offered,
					(unsigned long long)offered);
	}
	return 0;
}

/* ---- after a reset ---- */

static void
count(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	(void)pair, (void)frame, (void)len, (void)hdr;
	++*(unsigned int *)arg;
}

static int
receive(struct said *s, unsigned int n)
{
	uint64_t end = clock_us() + WAIT_US;
	unsigned int got = 0;

	while (got < n) {
		FE(frontend_rx_burst(s->fe, 0, 32, 2048, &layouts[0], count, &got));
		if (clock_us() > end)
			return said_fail(s, "%u of %u frames came", got, n);
	}
	return 0;
}

static int
untouched(struct said *s)
{
	uint64_t calls;

	for (unsigned int i = 0; i < s->fe->mem.n; i++)
		for (uint64_t at = 0; at < s->fe->mem.region[i].size; at++)
			if (s->fe->mem.region[i].va[at] != PATTERN)
				return said_fail(s, "byte %llu of region %u was written",
						(unsigned long long)at, i);
	for (unsigned int i = 0; i < 2; i++)
		if (read(s->fe->queue[i].call_fd, &calls, sizeof(calls)) > 0)
			return said_fail(s, "ring %u was notified of", i);
	return 0;
}

static int
quiet_after_reset(struct said *s)
{
	uint64_t calls;

	TRY(said_start(s));
	TRY(receive(s, 10000));
	drv_ring_call_after(&frontend_rx(s->fe, 0)->ring, 1);
	FE(frontend_stop(s->fe));
	for (unsigned int i = 0; i < s->fe->mem.n; i++)
		memset(s->fe->mem.region[i].va, PATTERN, s->fe->mem.region[i].size);
	for (unsigned int i = 0; i < 2; i++)
		while (read(s->fe->queue[i].call_fd, &calls, sizeof(calls)) > 0)
			;
	printf("stopped\n");
	while (getchar() != EOF)
		;
	TRY(untouched(s));
	TRY(reset(s));
	return receive(s, 1000);
}

/* Buffers move to new memory, and no chain with one in the old is out any more. */
static int
leave_region(struct said *s, unsigned int region)
{
	const struct gmem_region *old = &s->fe->mem.region[region];
	uint64_t end = clock_us() + WAIT_US;

	FE(frontend_mem_move(s->fe));
	while (gqueue_uses(frontend_rx(s->fe, 0), old->gpa, old->size)) {
		TRY(receive(s, 32));
		if (clock_us() > end)
			return said_fail(s, "buffers in the old memory stay out");
	}
	return 0;
}

static int
quiet_after_region_removed(struct said *s)
{
	struct frontend_conf conf = s->fe->conf;
	int ret = 0;
	uint64_t size;
	uint8_t *old;

	conf.regions = 2;
	TRY(said_create(s, &conf));
	TRY(said_start(s));
	TRY(receive(s, 1000));
	TRY(leave_region(s, 1));
	size = s->fe->mem.region[1].size;
	old = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fe->memfd[1], 0);
	if (old == MAP_FAILED)
		return said_fail(s, "no second mapping: %s", strerror(errno));
	FE(frontend_mem_del(s->fe, 1));
	memset(old, PATTERN, size);
	ret = receive(s, 10000);
	for (uint64_t at = 0; at < size && ret == 0; at++)
		if (old[at] != PATTERN)
			ret = said_fail(s, "byte %llu was written", (unsigned long long)at);
	munmap(old, size);
	return ret;
}

/* ---- vhost-user: start, stop, enable ---- */

static int
starts_without_enable(struct said *s)
{
	TRY(start_with(s, 1, true));
	return said_echo(s, 100);
}

static int
send_and_wait(struct said *s, unsigned int pair, unsigned int n)
{
	uint8_t frame[256] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	struct gqueue *q = frontend_tx(s->fe, pair);
	int back;

	gqueue_tx_reclaim(q);
	for (unsigned int i = 0; i < n; i++)
		if (gqueue_tx_frame(q, &layouts[0], NULL, frame, sizeof(frame)) < 0)
			return said_fail(s, "%u frames don't fit the ring", n);
	frontend_publish(s->fe, frontend_txq(pair));
	back = frontend_wait_used(s->fe, frontend_txq(pair), n, WAIT_US, false);
	if (back != (int)n)
		return said_fail(s, "%d of %u buffers sent came back", back, n);
	return gqueue_tx_reclaim(q) == (int)n ? 0 : said_fail(s, "%s", q->err);
}

static int
enable(struct said *s, unsigned int index, bool on)
{
	FE(frontend_queue_enable(s->fe, index, on));
	return said_settle(s);
}

static int
waits_for_enable(struct said *s)
{
	struct frontend *fe = s->fe;

	TRY(said_start(s));
	TRY(said_echo(s, 10));
	FE(frontend_stop(fe));
	frontend_reset(fe);
	FE(frontend_set_mem_table(fe));
	for (unsigned int i = 0; i < 2; i++) {
		FE(frontend_queue_enable(fe, i, false));
		FE(frontend_queue_setup(fe, i));
	}
	gqueue_rx_fill(frontend_rx(fe, 0), 2048, &layouts[0]);
	frontend_publish(fe, frontend_rxq(0));
	for (unsigned int i = 0; i < 2; i++)
		TRY(enable(s, i, true));
	return said_echo(s, 100);
}

/*
 * Ring states: a ring that is started and disabled takes what is sent and throws it away, and
 * gives nothing.
 */
static int
disabled_ring_discards(struct said *s)
{
	TRY(said_start(s));
	TRY(said_echo(s, 10));
	TRY(enable(s, frontend_txq(0), false));
	TRY(send_and_wait(s, 0, 100));
	TRY(enable(s, frontend_txq(0), true));
	TRY(enable(s, frontend_rxq(0), false));
	TRY(send_and_wait(s, 0, 100));
	if (drv_ring_used_count(&frontend_rx(s->fe, 0)->ring) != 0)
		return said_fail(s, "a disabled ring was given frames");
	TRY(enable(s, frontend_rxq(0), true));
	return said_echo(s, 10);
}

static int
vring_base_is_the_used_index(struct said *s)
{
	TRY(said_start(s));
	for (unsigned int n = 1; n < 2000; n *= 3) {
		TRY(said_echo(s, n));
		FE(frontend_stop(s->fe));
		for (unsigned int i = 0; i < 2; i++) {
			const struct drv_ring *ring = &s->fe->queue[i].gq.ring;

			if (s->fe->queue[i].base != ring->split.used->idx)
				return said_fail(s, "ring %u: base %u, used index %u", i,
						s->fe->queue[i].base, ring->split.used->idx);
		}
		FE(frontend_start(s->fe));
		TRY(said_settle(s));
	}
	return said_echo(s, 10);
}

static int
need_reply_is_honoured(struct said *s)
{
	static const uint32_t sets[] = { VHU_SET_OWNER, VHU_SET_STATUS, VHU_NET_SET_MTU,
		VHU_SET_VRING_BASE, VHU_SET_VRING_ENABLE };

	FE(frontend_connect(s->fe));
	for (unsigned int i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		for (unsigned int reply = 0; reply < 2; reply++) {
			struct vhu_msg m = { .request = sets[i],
				.flags = VHU_FLAG_VERSION | (reply ? VHU_FLAG_NEED_REPLY : 0),
				.size = 8,
				.u64 = sets[i] == VHU_NET_SET_MTU ? 1500 : 0 };

			FE(frontend_send_raw(s->fe, &m, 20, NULL, 0));
			if (reply) {
				FE(frontend_recv(s->fe, &m));
				if (m.request != sets[i] || m.size != 8 || m.u64 != 0)
					return said_fail(s, "request %u: answer %u of %u bytes",
							sets[i], m.request, m.size);
			}
			/* The next answer is to the next question. */
			m = (struct vhu_msg){ .request = VHU_GET_FEATURES };
			FE(frontend_call(s->fe, &m, NULL, 0));
		}
	return 0;
}

/* ---- queues that break the rules ---- */

static const enum hostile_move breaking[] = { HOSTILE_MOVE_HEAD_RANGE, HOSTILE_MOVE_HEAD_MAX,
	HOSTILE_MOVE_AVAIL_JUMP, HOSTILE_MOVE_AVAIL_BACK };

static bool
lies_by_index(enum hostile_move move)
{
	return move == HOSTILE_MOVE_AVAIL_JUMP || move == HOSTILE_MOVE_AVAIL_BACK;
}

/* Good frames and then the bad thing, seen by the device at once where that can be. */
static int
break_tx(struct said *s, enum hostile_move move)
{
	uint8_t frame[256] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	struct gqueue *q = frontend_tx(s->fe, 0);

	if (lies_by_index(move))
		TRY(send_and_wait(s, 0, 5));
	else
		for (unsigned int i = 0; i < 5; i++)
			gqueue_tx_frame(q, &layouts[0], NULL, frame, sizeof(frame));
	if (hostile_post(q, move) < 0)
		return said_fail(s, "%s can't be posted", hostile_name(move));
	if (!lies_by_index(move))
		frontend_publish(s->fe, frontend_txq(0));
	if (receive(s, 5) < 0)
		return said_fail(s, "%s: good frames ahead of it were lost", hostile_name(move));
	/* The other queue of this guest goes on; its frames come to the same receive queue. */
	TRY(send_and_wait(s, 1, 100));
	if (receive(s, 100) < 0)
		return said_fail(s, "%s: the other queue stopped", hostile_name(move));
	return 0;
}

static int
tx_broken_and_reset(struct said *s)
{
	TRY(start_with(s, 2, false));
	for (unsigned int i = 0; i < sizeof(breaking) / sizeof(breaking[0]); i++) {
		TRY(said_echo(s, 10));
		TRY(break_tx(s, breaking[i]));
		TRY(reset(s));
	}
	return said_echo(s, 100);
}

/* Five good buffers and then the bad thing; frames go on coming. */
static int
break_rx(struct said *s, enum hostile_move move)
{
	struct gqueue *q = frontend_rx(s->fe, 0);
	unsigned int got = 0;

	for (unsigned int i = 0; i < 5; i++)
		gqueue_rx_post(q, 2048, &layouts[0]);
	if (hostile_post(q, move) < 0)
		return said_fail(s, "%s can't be posted", hostile_name(move));
	frontend_publish(s->fe, frontend_rxq(0));
	TRY(send_and_wait(s, 0, 100));
	/* Nothing is posted again: the queue is broken. */
	while (got < 5) {
		uint8_t frame[FRAME_LEN_MAX];

		if (gqueue_rx_frame(q, frame, sizeof(frame), NULL) < 0)
			return said_fail(s, "%s: %u of 5 good buffers were filled",
					hostile_name(move), got);
		got++;
	}
	return drv_ring_used_count(&q->ring) == 0 ? 0 :
						    said_fail(s, "%s was used", hostile_name(move));
}

static int
rx_broken_and_reset(struct said *s)
{
	static const enum hostile_move moves[] = { HOSTILE_MOVE_HEAD_RANGE, HOSTILE_MOVE_HEAD_MAX,
		HOSTILE_MOVE_LOOP, HOSTILE_MOVE_ADDR_HOLE, HOSTILE_MOVE_DIR_WRONG };

	TRY(said_start(s));
	TRY(said_echo(s, 10));
	for (unsigned int i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		FE(frontend_stop(s->fe));
		frontend_reset(s->fe);
		FE(frontend_start(s->fe));
		TRY(said_settle(s));
		TRY(break_rx(s, moves[i]));
		TRY(reset(s));
		TRY(said_echo(s, 100));
	}
	return 0;
}

const struct said_case ring_cases[] = {
	{ "n07_spurious_kicks", spurious_kicks, "1,000,000 kicks on empty rings, then frames" },
	{ "n09_quiet_after_reset", quiet_after_reset,
			"after a reset under load no byte is written and nobody is notified" },
	{ "quiet_after_region_removed", quiet_after_region_removed,
			"memory that was taken out of the table is not written" },
	{ "n18_features_consistent", features_consistent,
			"no feature without the one it needs, none that isn't served" },
	{ "n19_same_features_again", same_features_again,
			"100 resets and 10 new connections: the same features" },
	{ "vhu_starts_without_enable", starts_without_enable,
			"without protocol features a ring starts with its kick" },
	{ "vhu_waits_for_enable", waits_for_enable, "with them it waits for SET_VRING_ENABLE" },
	{ "vhu_disabled_ring_discards", disabled_ring_discards,
			"a disabled ring discards what is sent and is given nothing" },
	{ "vhu_vring_base", vring_base_is_the_used_index,
			"GET_VRING_BASE answers the used index, and frames go on from there" },
	{ "vhu_need_reply", need_reply_is_honoured, "one answer where one is asked for" },
	{ "tx_broken_and_reset", tx_broken_and_reset,
			"good frames ahead are delivered, others go on, a reset mends" },
	{ "rx_broken_and_reset", rx_broken_and_reset,
			"good buffers ahead are filled, a reset mends" },
	{ 0 },
};

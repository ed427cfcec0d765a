/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive order, whatever happens: avail, arrival and used order agree, no chain is lost or used
 * twice, and the NIC never writes into a buffer that the guest has back.
 *
 * A model NIC takes mbufs from the page constructor and fills them first-in first-out. Every frame
 * carries its number, given at arrival; all its bytes follow from it. The guest checks that numbers
 * only go up and that every byte is right; counters say how many frames there have to be. A table
 * says for each of the guest's buffers which mbuf points at it: none may when the guest gets the
 * buffer back, nobody may have written to it while it was the guest's, and never two at a time.
 *
 * Around it, in phases of random length: refills early, late and in bursts, a guest that posts too
 * little or what doesn't fit, receive errors, drops, frames for others that are freed late and by
 * another lcore, a queue that is suspended and resumed, and one that is stopped and started again.
 * For some guests the first bytes of each frame come in a host mbuf, and are all of some frames.
 *
 * usage: test_rx_order [FRAMES [SEED]]
 */
#include <inttypes.h>
#include <stdio.h>

#include <rte_lcore.h>

#include "rig.h"

#include "eal.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"

#define OWNER 5
#define OTHER 9
#define CAPACITY 2048
#define SLOT_BYTES 4096
#define NIC_DESC_MAX 300
#define BURST 32
#define RING_MAX 256
#define ELSEWHERE_MAX 48
#define CANARY 0xc5
#define HEADS 1024

static uint64_t frames_wanted = 300000;
static uint64_t first_seed = 1;

/* What goes wrong, per mille of the frames or steps; and how the others behave. */
struct phase {
	uint32_t frames; /* length */
	uint16_t error, drop, foreign, misfit, hold, stop, regen;
	uint16_t refill; /* of the bursts that refill at all */
	uint16_t post;   /* chains the guest keeps posted, at most */
	uint16_t lazy;   /* per mille of the steps in which the guest doesn't look */
	uint16_t jump;   /* per mille of the frames that don't come first-in first-out */
	bool one_by_one; /* refill by one mbuf at a time, before its frame is handed up */
	bool wait;       /* ZCNET_RX_FULL_WAIT */
	bool steady;     /* the guest takes and posts all it can, always */
};

static struct {
	/* control */
	uint64_t rng, seed;
	struct phase phase;
	const char *doing;
	/* guest */
	struct fake_guest *g;
	struct gqueue *q;
	struct zc_map *map;
	uint16_t ring_size;
	uint64_t last_seq, got;
	struct rte_mbuf *aimed[RING_MAX]; /* by slot: the mbuf that points at its buffer */
	/* switch */
	struct zc_rx rx;
	struct zc_ctor ctor;
	struct rte_mempool *heads;
	struct rte_mbuf *pending[BURST];
	uint16_t npending;
	bool held;
	struct rte_mbuf *elsewhere[ELSEWHERE_MAX];
	unsigned int nelsewhere;
	/* NIC */
	struct rte_mbuf *fifo[NIC_DESC_MAX];
	unsigned int head, n, desc;
	uint64_t seq;
	/* totals */
	uint64_t offered, errors, dropped, foreign, holds, stops, phases, empty;
	uint64_t calm, calm_in_place;
} s;

static void __attribute__((format(printf, 1, 2), noreturn)) broken(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail_msg("seed %" PRIu64 ", frame %" PRIu64 ", phase %" PRIu64 ", %s: %s", s.seed, s.seq,
			s.phases, s.doing, text);
	abort();
}

#define CHECK(cond, ...) \
	do { \
		if (!(cond)) \
			broken(__VA_ARGS__); \
	} while (0)

static bool
chance(uint16_t per_mille)
{
	return per_mille > 0 && rng_range(&s.rng, 0, 999) < per_mille;
}

/* ---- frames ---- */

struct tag {
	uint64_t seq;
	uint32_t len;
	uint32_t inverse; /* of len */
};

static uint64_t
word_of(uint64_t seq, uint32_t at)
{
	return (seq * 0x9e3779b97f4a7c15 + at) ^ (seq << 32);
}

static void
frame_write(uint8_t *to, uint64_t seq, uint32_t len)
{
	const struct tag tag = { .seq = seq, .len = len, .inverse = ~len };

	memcpy(to, &tag, sizeof(tag));
	for (uint32_t at = sizeof(tag); at < len; at += 8) {
		uint64_t word = word_of(seq, at);

		memcpy(to + at, &word, RTE_MIN(len - at, 8u));
	}
}

static uint64_t
frame_read(const uint8_t *from, uint32_t len)
{
	struct tag tag;

	CHECK(len >= sizeof(tag), "a frame of %u bytes", len);
	memcpy(&tag, from, sizeof(tag));
	CHECK(tag.len == len && tag.inverse == ~len, "%u bytes, the tag says %u", len, tag.len);
	for (uint32_t at = sizeof(tag); at < len; at += 8) {
		uint64_t word = word_of(tag.seq, at);

		CHECK(memcmp(from + at, &word, RTE_MIN(len - at, 8u)) == 0,
				"frame %" PRIu64 " of %u bytes is wrong at %u", tag.seq, len, at);
	}
	return tag.seq;
}

/* ---- the guest ---- */

static uint8_t *
slot_memory(unsigned int slot)
{
	return gmem_va(&s.g->mem, gqueue_slot_gpa(s.q, slot, 0), SLOT_BYTES);
}

/* Nobody may touch a buffer while it is the guest's. */
static void
slot_given_back(unsigned int slot)
{
	CHECK(s.aimed[slot] == NULL, "the guest has a buffer back that the NIC may write to");
	memset(slot_memory(slot), CANARY, SLOT_BYTES);
}

static void
slot_taken(unsigned int slot)
{
	const uint8_t *p = slot_memory(slot);

	CHECK(p[0] == CANARY && memcmp(p, p + 1, SLOT_BYTES - 1) == 0,
			"a buffer was written while it was the guest's");
}

static void
guest_post(unsigned int upto)
{
	static const struct layout ways[] = { { .name = "together" },
		{ .name = "alone", .hdr = LAYOUT_HDR_ALONE },
		{ .name = "table", .hdr = LAYOUT_HDR_ALONE, .table = true },
		{ .name = "table-1", .table = true } };
	static const struct layout odd[] = { { .name = "together" },
		{ .name = "split", .hdr = LAYOUT_HDR_SPLIT, .hdr_split = 5 },
		{ .name = "pieces", .hdr = LAYOUT_HDR_ALONE, .pieces = 3 },
		{ .name = "uneven", .pieces = 4, .uneven = 7, .table = true } };

	while (drv_ring_pending(&s.q->ring) < upto && s.q->n_free_slot > 0) {
		unsigned int slot = s.q->free_slot[s.q->n_free_slot - 1];
		bool misfit = chance(s.phase.misfit);
		uint32_t len = 12 +
				(misfit ? rng_range(&s.rng, 100, CAPACITY - 1) :
					  rng_range(&s.rng, CAPACITY, CAPACITY + 200));

		slot_taken(slot);
		if (gqueue_rx_post(s.q, len, &(misfit ? odd : ways)[rng_range(&s.rng, 0, 3)]) < 0) {
			memset(slot_memory(slot), CANARY, SLOT_BYTES);
			break;
		}
	}
	drv_ring_publish(&s.q->ring);
}

static void
guest_consume(unsigned int most)
{
	static uint8_t frame[65536];

	for (; most > 0; most--) {
		uint16_t before = s.q->n_free_slot;
		int len = gqueue_rx_frame(s.q, frame, sizeof(frame), NULL);
		uint64_t seq;

		if (len == -EAGAIN)
			return;
		CHECK(len >= 0, "%d: %s", len, s.q->err != NULL ? s.q->err : "");
		CHECK(s.q->ring.out_of_order == 0, "used order is not avail order");
		seq = frame_read(frame, len);
		CHECK(seq > s.last_seq, "frame %" PRIu64 " after %" PRIu64, seq, s.last_seq);
		s.last_seq = seq;
		s.got++;
		while (before < s.q->n_free_slot)
			slot_given_back(s.q->free_slot[before++]);
	}
}

/* ---- the NIC ---- */

/* The guest's buffer that an mbuf points at, or -1. */
static int
aim_of(struct rte_mbuf *m)
{
	uint64_t gpa = gmem_gpa(&s.g->mem, (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM);

	if (gpa == 0)
		return -1;
	CHECK(m->buf_iova + RTE_PKTMBUF_HEADROOM == RIG_IOVA(gpa), "device address of %#" PRIx64,
			gpa);
	return (gpa - gqueue_slot_gpa(s.q, 0, 0)) / SLOT_BYTES;
}

/* Is there room for all that the NIC may write, in one piece of a chain that is out? */
static void
check_aim(struct rte_mbuf *m, int slot)
{
	const struct gslot *gs = &s.q->slot[slot];
	uint64_t gpa = gmem_gpa(&s.g->mem, (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM);

	CHECK(slot >= 0 && slot < s.ring_size, "aimed at no buffer");
	CHECK(s.aimed[slot] == NULL, "two mbufs point at one buffer");
	for (unsigned int i = 0; i < s.q->n_free_slot; i++)
		CHECK(s.q->free_slot[i] != slot, "armed with a buffer that is the guest's");
	for (unsigned int i = 0; i < gs->n; i++)
		if (gpa >= gs->buf[i].gpa &&
				gpa - gs->buf[i].gpa + s.ctor.capacity <= gs->buf[i].len)
			return;
	broken("the NIC may write past a buffer");
}

static void
nic_got(struct rte_mbuf *m)
{
	int slot = aim_of(m);

	CHECK(rte_mbuf_refcnt_read(m) == 1 && m->next == NULL && m->nb_segs == 1,
			"a used mbuf from the pool");
	CHECK(m->buf_len == RTE_PKTMBUF_HEADROOM + CAPACITY, "buf_len %u", m->buf_len);
	if (slot >= 0) {
		check_aim(m, slot);
		s.aimed[slot] = m;
	} else {
		CHECK(m->buf_addr == zc_priv(m)->host_addr, "a bounce elsewhere");
	}
	s.fifo[(s.head + s.n++) % NIC_DESC_MAX] = m;
}

/* What the constructor dispensed of a frame, or NULL. */
static struct rte_mbuf *
buffer_of(struct rte_mbuf *m)
{
	return m->pool == s.heads ? m->next : m;
}

/* Nobody writes through it any more. */
static void
let_go(struct rte_mbuf *frame)
{
	struct rte_mbuf *m = buffer_of(frame);
	int slot = m != NULL ? aim_of(m) : -1;

	if (slot >= 0 && s.aimed[slot] == m)
		s.aimed[slot] = NULL;
}

static void
free_frame(struct rte_mbuf *m)
{
	let_go(m);
	rte_pktmbuf_free(m);
}

static void
nic_refill(unsigned int n)
{
	struct rte_mbuf *m[NIC_DESC_MAX];

	if (n == 0)
		return;
	memset(m, 0x11, sizeof(m[0]) * n);
	if (rte_mempool_get_bulk(s.ctor.pool.mp, (void **)m, n) < 0) {
		/* Drivers keep what is in their table. */
		for (unsigned int i = 0; i < n; i++)
			CHECK((uintptr_t)m[i] == 0x1111111111111111, "the table was touched");
		s.empty++;
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		nic_got(m[i]);
}

static struct rte_mbuf *
nic_next(void)
{
	struct rte_mbuf *m;

	if (s.n > 1 && chance(s.phase.jump)) {
		unsigned int i = (s.head + rng_range(&s.rng, 1, s.n - 1)) % NIC_DESC_MAX;

		m = s.fifo[i];
		s.fifo[i] = s.fifo[s.head];
		s.fifo[s.head] = m;
	}
	m = s.fifo[s.head];
	s.head = (s.head + 1) % NIC_DESC_MAX;
	s.n--;
	return m;
}

static uint32_t
random_len(void)
{
	switch (rng_range(&s.rng, 0, 7)) {
	case 0:
		return rng_range(&s.rng, 60, CAPACITY);
	case 1:
		return rng_range(&s.rng, CAPACITY - 16, CAPACITY);
	default:
		return rng_range(&s.rng, 60, 300);
	}
}

static void
fill(struct rte_mbuf *m, const uint8_t *from, uint32_t len)
{
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->data_len = len;
	m->pkt_len = len;
	m->ol_flags = 0;
	m->next = NULL;
	m->nb_segs = 1;
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), from, len);
}

/* The next frame, in this buffer, or what isn't in a host mbuf in front. */
static struct rte_mbuf *
nic_frame(struct rte_mbuf *buf)
{
	static uint8_t frame[CAPACITY];
	uint32_t len = random_len(), first = RTE_MIN(len, s.ctor.split);
	struct rte_mbuf *m;

	frame_write(frame, ++s.seq, len);
	fill(buf, frame + first, len - first);
	if (s.ctor.split == 0)
		return buf;
	m = rte_pktmbuf_alloc(s.heads);
	CHECK(m != NULL, "header segments are lost");
	fill(m, frame, first);
	m->next = buf;
	m->nb_segs = 2;
	m->pkt_len = len;
	if (len == first)
		let_go(m);
	return m;
}

/* As a driver's receive burst: frames in, buffers out, some frees on the way. */
static uint16_t
nic_burst(struct rte_mbuf **pkts, uint16_t n)
{
	unsigned int filled = 0;
	uint16_t got = 0;

	while (got < n && s.n > 0 && filled++ < s.desc) {
		struct rte_mbuf *m;

		if (s.phase.one_by_one && s.n < NIC_DESC_MAX - 1)
			nic_refill(1);
		m = nic_next();
		if (chance(s.phase.error)) {
			s.errors++;
			free_frame(m);
			continue;
		}
		pkts[got++] = nic_frame(m);
	}
	if (s.desc > s.n && chance(s.phase.refill))
		nic_refill(chance(700) ? s.desc - s.n : rng_range(&s.rng, 1, s.desc - s.n));
	if (got > 0)
		zc_ctor_received(&s.ctor, pkts, got);
	return got;
}

/* ---- the switch ---- */

/* Somewhere else: what had to be copied is, and the mbuf is freed some time, by anybody. */
static void
send_elsewhere(struct rte_mbuf *m)
{
	s.foreign++;
	if (s.nelsewhere < ELSEWHERE_MAX && chance(500)) {
		s.elsewhere[s.nelsewhere++] = m;
		return;
	}
	if (chance(500)) {
		free_frame(m);
		return;
	}
	unit_be_lcore(OTHER);
	free_frame(m);
	unit_be_lcore(OWNER);
}

static void
free_elsewhere(unsigned int n)
{
	for (; n > 0 && s.nelsewhere > 0; n--) {
		unsigned int i = rng_range(&s.rng, 0, s.nelsewhere - 1);

		unit_be_lcore(chance(300) ? OWNER : OTHER);
		free_frame(s.elsewhere[i]);
		s.elsewhere[i] = s.elsewhere[--s.nelsewhere];
	}
	unit_be_lcore(OWNER);
}

/* Frames for this guest stay in the burst. */
static uint16_t
forward(struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t mine = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (chance(s.phase.drop)) {
			s.dropped++;
			free_frame(pkts[i]);
		} else if (chance(s.phase.foreign)) {
			send_elsewhere(pkts[i]);
		} else {
			pkts[mine++] = pkts[i];
		}
	}
	return mine;
}

static uint64_t
drops(void)
{
	uint64_t n = 0;

	for (unsigned int i = ZCNET_Q_drop_bad_chain; i <= ZCNET_Q_drop_no_guest; i++)
		n += s.rx.counters.value[i];
	return n;
}

static uint64_t
delivered(void)
{
	return s.rx.counters.value[ZCNET_Q_frames];
}

static void
put_pending(void)
{
	uint64_t before = delivered() + drops();
	/* Chains that take long to walk are paid in turns. */
	bool owes = s.rx.debt > 0 || s.rx.walked >= ZC_WALK_TURN;
	uint16_t n;

	/* What is delivered doesn't point anywhere for the NIC any more; see put_back below. */
	for (uint16_t i = 0; i < s.npending; i++)
		let_go(s.pending[i]);
	n = zc_rx_put(&s.rx, s.pending, s.npending);
	CHECK(delivered() + drops() - before == n, "%u frames taken, %" PRIu64 " counted", n,
			delivered() + drops() - before);
	CHECK(n == s.npending || owes || s.rx.debt > 0 || s.rx.full == ZCNET_RX_FULL_WAIT,
			"frames left over");
	CHECK(s.rx.vq.fault == ZC_VQ_OK, "%s", zc_vq_fault_text(s.rx.vq.fault));
	s.offered += n;
	s.npending -= n;
	memmove(s.pending, s.pending + n, sizeof(s.pending[0]) * s.npending);
	for (uint16_t i = 0; i < s.npending; i++) {
		struct rte_mbuf *m = buffer_of(s.pending[i]);
		int slot = m != NULL ? aim_of(m) : -1;

		if (slot < 0 || !zc_priv(m)->armed)
			continue;
		CHECK(s.aimed[slot] == NULL, "two mbufs point at one buffer");
		s.aimed[slot] = m;
	}
}

static void
drop_pending(void)
{
	for (uint16_t i = 0; i < s.npending; i++)
		free_frame(s.pending[i]);
	s.dropped += s.npending;
	s.npending = 0;
}

static void
worker_turn(void)
{
	if (s.npending == 0) {
		s.npending = nic_burst(s.pending, rng_range(&s.rng, 1, BURST));
		s.npending = forward(s.pending, s.npending);
	}
	if (s.npending > 0 && !s.held)
		put_pending();
}

/* ---- control ---- */

static void
hold(void)
{
	s.held = true;
	s.holds++;
	s.ctor.rx = NULL;
}

static void
resume(void)
{
	s.held = false;
	s.ctor.rx = &s.rx;
}

/* A new map of the guest's memory: what is armed from the old one can be told apart. */
static void
regenerate(void)
{
	s.ctor.armed_old = s.ctor.armed;
	s.ctor.gen++;
}

static unsigned int
with_buffer(struct rte_mbuf *const *pkts, unsigned int n)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < n; i++)
		found += buffer_of(pkts[i]) != NULL;
	return found;
}

/* Everything that is counted, counted again. */
static void
recount(void)
{
	unsigned int away =
			with_buffer(s.pending, s.npending) + with_buffer(s.elsewhere, s.nelsewhere);
	uint32_t in_nic = 0, armed = 0, old = 0;

	for (uint32_t i = 0; i < s.ctor.pool.size; i++) {
		const struct zc_priv *priv = zc_priv(s.ctor.pool.mbuf[i]);

		in_nic += priv->in_nic;
		armed += priv->armed != 0;
		old += priv->armed != 0 && zc_armed_gen(priv->armed) != s.ctor.gen;
	}
	CHECK(in_nic == s.ctor.in_nic && in_nic == s.n, "in_nic %u, counted %u, with the NIC %u",
			s.ctor.in_nic, in_nic, s.n);
	CHECK(armed == s.ctor.armed, "armed %u, counted %u", s.ctor.armed, armed);
	CHECK(old == s.ctor.armed_old, "armed_old %u, counted %u", s.ctor.armed_old, old);
	CHECK(s.ctor.nfree + rte_ring_count(s.ctor.returns) + s.n + away == s.ctor.pool.size,
			"mbufs lost: %u free, %u on their way, %u with the NIC", s.ctor.nfree,
			rte_ring_count(s.ctor.returns), s.n);
	CHECK(rte_mempool_avail_count(s.ctor.pool.mp) > 0, "a pool with nothing in it");
}

/* All buffers back from the NIC, and the ring as if they had never been taken. */
static void
stop_queue(void)
{
	s.doing = "stop";
	s.stops++;
	if (!s.held)
		hold();
	drop_pending();
	unit_be_lcore(LCORE_ID_ANY);
	while (s.n > 0)
		free_frame(nic_next());
	while (s.nelsewhere > 0)
		free_frame(s.elsewhere[--s.nelsewhere]);
	zc_ctor_collect(&s.ctor);
	unit_be_lcore(OWNER);
	recount();
	CHECK(s.ctor.armed == 0 && s.ctor.in_nic == 0, "%u armed, %u with the NIC", s.ctor.armed,
			s.ctor.in_nic);
	CHECK(s.ctor.nfree == s.ctor.pool.size, "%u of %u mbufs are back", s.ctor.nfree,
			s.ctor.pool.size);
	for (unsigned int i = 0; i < s.ring_size; i++)
		CHECK(s.aimed[i] == NULL, "a buffer is still aimed at");
	zc_rx_rewind(&s.rx);
	CHECK(zc_rx_undone(&s.rx) == 0, "chains are still taken");
	s.ctor.bound = NULL;
	s.rx.ctor = NULL;
}

static void
start_queue(void)
{
	s.rx.ctor = &s.ctor;
	s.ctor.bound = &s.rx;
	resume();
	s.desc = rng_range(&s.rng, 0, 3) ? rng_range(&s.rng, 1, 128) :
					   rng_range(&s.rng, 1, NIC_DESC_MAX - 1);
	nic_refill(s.desc - s.n);
}

/* The guest's driver and ring stay, the device begins again where the used index is. */
static void
attach_again(void)
{
	struct zc_vq_conf conf;

	zc_rx_detach(&s.rx);
	conf = rig_vq_conf(s.q, s.map);
	assert_int_equal(zc_rx_attach(&s.rx, &conf, true), 0);
}

static void
step(void)
{
	s.doing = "turn";
	worker_turn();
	s.doing = "guest";
	if (s.phase.steady) {
		guest_consume(UINT32_MAX);
		guest_post(s.phase.post);
	} else if (!chance(s.phase.lazy)) {
		guest_consume(chance(800) ? UINT32_MAX : rng_range(&s.rng, 0, 20));
		guest_post(rng_range(&s.rng, s.phase.post / 2, s.phase.post));
	}
	if (s.nelsewhere > 0 && chance(300))
		free_elsewhere(rng_range(&s.rng, 1, 16));
	if (s.held && chance(200))
		resume();
	else if (chance(s.phase.hold))
		hold();
	if (chance(s.phase.regen))
		regenerate();
	if (chance(s.phase.stop)) {
		stop_queue();
		if (chance(500))
			attach_again();
		start_queue();
	}
	if (chance(30))
		recount();
}

static struct phase
random_phase(void)
{
	struct phase p = { .frames = rng_range(&s.rng, 200, 6000), .refill = 1000 };
	uint16_t *const wrong[] = { &p.error, &p.drop, &p.foreign, &p.misfit };

	for (unsigned int i = 0; i < RTE_DIM(wrong); i++)
		if (chance(400))
			*wrong[i] = rng_range(&s.rng, 1, chance(200) ? 500 : 40);
	if (chance(400))
		p.hold = rng_range(&s.rng, 1, 60);
	if (chance(300))
		p.stop = rng_range(&s.rng, 1, 20);
	if (chance(300))
		p.regen = rng_range(&s.rng, 1, 100);
	if (chance(300))
		p.refill = rng_range(&s.rng, 100, 1000);
	if (chance(300))
		p.lazy = rng_range(&s.rng, 1, 900);
	if (chance(100))
		p.jump = rng_range(&s.rng, 1, 300);
	p.post = chance(300) ? rng_range(&s.rng, 1, s.ring_size) : s.ring_size;
	p.one_by_one = chance(400);
	p.wait = chance(500);
	return p;
}

static void
run_phase(const struct phase *phase)
{
	uint64_t end = s.seq + phase->frames, last = s.seq;
	unsigned int still = 0;

	s.phase = *phase;
	s.rx.full = phase->wait ? ZCNET_RX_FULL_WAIT : ZCNET_RX_FULL_DROP;
	s.phases++;
	for (uint64_t steps = 0; s.seq < end; steps++) {
		CHECK(steps < 1000 + 1000ull * phase->frames,
				"nothing moves: %u pending, %u with the NIC, %u posted, %u taken%s",
				s.npending, s.n, drv_ring_pending(&s.q->ring), zc_rx_undone(&s.rx),
				s.held ? ", held" : "");
		step();
		/* A guest that posts too little for a frame would be waited for as long. */
		still = s.seq == last ? still + 1 : 0;
		last = s.seq;
		if (still > 100)
			s.rx.full = ZCNET_RX_FULL_DROP;
		if (s.n == 0)
			nic_refill(RTE_MIN(s.desc, s.ctor.nfree + rte_ring_count(s.ctor.returns)));
	}
}

/* With nothing in its way, every frame is received where the guest wants it. */
static void
calm_down(void)
{
	struct phase calm = { .frames = 3000,
		.refill = 1000,
		.post = s.ring_size,
		.wait = true,
		.steady = true };
	uint64_t frames, in_place;

	free_elsewhere(UINT32_MAX);
	if (s.held)
		resume();
	/* Fewer descriptors than chains that can be posted, of two ring descriptors each. */
	while (s.n > s.ring_size / 4)
		free_frame(nic_next());
	s.desc = s.ring_size / 4;
	/* What was before has to go through. */
	run_phase(&calm);
	frames = delivered() - s.rx.counters.value[ZCNET_Q_copy_small];
	in_place = s.rx.counters.value[ZCNET_Q_zc_frames];
	calm.frames = 5000;
	run_phase(&calm);
	frames = delivered() - s.rx.counters.value[ZCNET_Q_copy_small] - frames;
	in_place = s.rx.counters.value[ZCNET_Q_zc_frames] - in_place;
	CHECK(in_place == frames, "calm, and %" PRIu64 " of %" PRIu64 " in place", in_place,
			frames);
	s.calm += frames;
	s.calm_in_place += in_place;
}

/* All mbufs are back. */
static void
choose_split(void)
{
	static const uint16_t splits[] = { 0, 0, 48, 100 };

	CHECK(rte_mempool_avail_count(s.heads) == HEADS, "a header segment is still out");
	s.ctor.split = splits[rng_range(&s.rng, 0, 3)];
	s.ctor.capacity = CAPACITY - s.ctor.split;
	s.rx.copy_counter = s.ctor.split > 0 ? ZCNET_Q_copy_small : ZCNET_Q_copy_foreign;
}

static void
guest_begin(uint16_t ring_size)
{
	struct zc_vq_conf conf;

	choose_split();
	s.ring_size = ring_size;
	s.g = rig_guest(ring_size, SLOT_BYTES, 0);
	s.q = fake_guest_rx(s.g, 0);
	rig_start_at(s.q, (uint16_t)rng_next(&s.rng));
	drv_ring_shuffle(&s.q->ring, s.rng);
	s.map = rig_map(&s.g->mem);
	for (unsigned int i = 0; i < ring_size; i++)
		slot_given_back(i);
	conf = rig_vq_conf(s.q, s.map);
	assert_int_equal(zc_rx_attach(&s.rx, &conf, true), 0);
	start_queue();
}

static void
guest_end(void)
{
	stop_queue();
	guest_consume(UINT32_MAX);
	CHECK(s.got == delivered(), "%" PRIu64 " frames delivered, the guest has %" PRIu64,
			delivered(), s.got);
	/* What it posted and nobody used is the guest's, untouched but for aborted frames. */
	CHECK(gqueue_detach(s.q) == (unsigned int)(s.q->ring.n_added - s.q->ring.n_used) ||
					s.q->n_free_slot == s.ring_size,
			"chains lost");
	CHECK(s.q->n_free_slot == s.ring_size, "buffers lost");
	zc_rx_detach(&s.rx);
	zc_map_put(s.map);
	fake_guest_destroy(s.g);
}

static void
print_totals(void)
{
	const uint64_t *n = s.rx.counters.value;

	printf("seed %" PRIu64 ": %" PRIu64 " frames arrived, %" PRIu64 " offered, %" PRIu64
	       " delivered\n",
			s.seed, s.seq, s.offered, n[ZCNET_Q_frames]);
	printf("%" PRIu64 " phases, %" PRIu64 " holds, %" PRIu64 " stops, %" PRIu64
	       " receive errors, %" PRIu64 " dropped before, %" PRIu64
	       " sent elsewhere, pool empty %" PRIu64 " times\n",
			s.phases, s.holds, s.stops, s.errors, s.dropped, s.foreign, s.empty);
	printf("undisturbed: %" PRIu64 " of %" PRIu64 " frames in place\n", s.calm_in_place,
			s.calm);
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		if (n[i] > 0)
			printf("  %-18s %12" PRIu64 "\n", zcnet_queue_counter_name(i), n[i]);
}

static void
order_holds_whatever_happens(void **state)
{
	static const uint16_t sizes[] = { 4, 16, 64, 256 };

	(void)state;
	s.seed = s.rng = first_seed;
	s.doing = "start";
	unit_be_lcore(OWNER);
	/* Sometimes there are fewer mbufs than descriptors. */
	assert_int_equal(zc_ctor_init(&s.ctor, unit_pool_name(), NIC_DESC_MAX - 20, CAPACITY,
					 SOCKET_ID_ANY),
			0);
	s.ctor.owner = OWNER;
	s.heads = unit_host_pool(HEADS, CAPACITY);
	for (unsigned int i = 0; s.seq < frames_wanted; i++) {
		guest_begin(sizes[i % RTE_DIM(sizes)]);
		for (unsigned int k = 0; k < 12; k++) {
			const struct phase phase = random_phase();

			run_phase(&phase);
		}
		if (s.ring_size >= 16)
			calm_down();
		guest_end();
	}
	CHECK(s.offered == delivered() + drops(), "%" PRIu64 " offered", s.offered);
	CHECK(delivered() > s.offered / 2, "more dropped than delivered");
	zc_ctor_fini(&s.ctor);
	print_totals();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(order_holds_whatever_happens) };

	if (argc > 1)
		frames_wanted = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 0);
	return cmocka_run_group_tests_name("rx_order", tests, unit_eal_init, unit_eal_fini);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames out of a guest that writes what it likes, and mbufs that are freed at any time, in any
 * order and in pieces.
 *
 * Checked at every step: a chain becomes a frame exactly when the specification says so, with its
 * bytes where they lie; nothing the guest lets us only read is written; chains are used in avail
 * order, once, and not before the last of their buffers is back, but then; bounds hold; a queue
 * that broke stays so.
 */
#include <rte_ether.h>

#include "../unit/eal.h"
#include "guest.h"
#include "zcopy/tx.h"

#define HELD_MAX 128
#define ACTS_MAX 400
#define RING_MAX 64
#define PADDING_MAX 128

/* A frame that is somewhere in the switch or with a NIC. */
struct held {
	struct rte_mbuf *m;
	uint16_t pos;
	bool in_guest; /* some of it */
	bool waits;    /* its chain may not be used before it is freed */
};

static struct {
	struct guest g;
	struct zc_tx tx;
	struct rte_mempool *copy_mp;
	unsigned int mbufs;
	struct held held[HELD_MAX];
	unsigned int n_held;
	uint16_t head[RING_MAX]; /* by position: head when it was taken */
	uint64_t now;
	struct walk walk;
} s;

static void
end_eal(void)
{
	unit_eal_fini(NULL);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	guest_init(&s.g);
	if (unit_eal_start() < 0 || unit_register_ops() < 0)
		abort();
	atexit(end_eal);
	s.copy_mp = unit_host_pool(256, 2048);
	if (s.copy_mp == NULL || zc_tx_init(&s.tx, unit_pool_name(), s.copy_mp, SOCKET_ID_ANY) < 0)
		abort();
	s.mbufs = rte_mempool_avail_count(s.copy_mp);
	return 0;
}

/* ---- frames that are out ---- */

static void
hold(struct rte_mbuf *m, uint16_t pos)
{
	bool in_guest = false;

	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next)
		in_guest |= seg->pool == s.tx.pool.mp;
	s.held[s.n_held++] = (struct held){ m, pos, in_guest, in_guest };
}

static void
drop_held(unsigned int i)
{
	s.held[i] = s.held[--s.n_held];
}

static void
free_one(struct bytes *in)
{
	unsigned int i;

	if (s.n_held == 0)
		return;
	i = bytes_u8(in) % s.n_held;
	rte_pktmbuf_free(s.held[i].m);
	drop_held(i);
}

/* Drivers free segment by segment. */
static void
free_first_segment(struct bytes *in)
{
	struct rte_mbuf *m, *next;
	unsigned int i;

	if (s.n_held == 0)
		return;
	i = bytes_u8(in) % s.n_held;
	m = s.held[i].m;
	next = m->next;
	rte_pktmbuf_free_seg(m);
	s.held[i].m = next;
	if (next == NULL)
		drop_held(i);
}

static void
free_all(void)
{
	while (s.n_held > 0)
		rte_pktmbuf_free(s.held[--s.n_held].m);
}

/* What is out belongs to no chain any more. Later ones may wait for it all the same. */
static void
part_from_chains(void)
{
	for (unsigned int i = 0; i < s.n_held; i++)
		s.held[i].waits = false;
}

static bool
parted_ones_are_out(void)
{
	for (unsigned int i = 0; i < s.n_held; i++)
		if (s.held[i].in_guest && !s.held[i].waits)
			return true;
	return false;
}

/* The NIC says it is done, and keeps the mbufs. */
static void
all_done(void)
{
	zc_tx_all_done(&s.tx);
	part_from_chains();
}

/* ---- taking ---- */

static bool
is_frame(uint16_t head)
{
	uint32_t hdr = s.g.hdr_len;

	return guest_walk(&s.g, head, false, &s.walk) == 0 &&
			s.walk.len >= hdr + RTE_ETHER_HDR_LEN &&
			s.walk.len - hdr <= s.tx.limits.frame_max;
}

/* Good frames that are dropped: no host mbufs, or too many for the NIC. */
static uint64_t
lost_copies(void)
{
	return s.tx.counters.value[ZCNET_Q_drop_no_mbuf] + s.tx.counters.value[ZCNET_Q_drop_segs];
}

static void
check_segment(const struct rte_mbuf *seg)
{
	if (seg->pool != s.tx.pool.mp) {
		FUZZ_CHECK(seg->pool == s.copy_mp, "a segment of no pool");
		return;
	}
	FUZZ_CHECK(rte_pktmbuf_iova(seg) ==
					guest_holds(&s.g, rte_pktmbuf_mtod(seg, uint8_t *),
							seg->data_len),
			"a segment of %u bytes outside of the guest", seg->data_len);
	FUZZ_CHECK(seg->ol_flags & RTE_MBUF_F_EXTERNAL, "no external buffer");
}

/* Zeros make up for what is missing. */
static uint32_t
frame_len(void)
{
	return RTE_MAX(s.walk.len - s.g.hdr_len, s.tx.limits.frame_min);
}

/* Do @len bytes of the frame, from @from on, stand at @at? What is attached lies in its place. */
static bool
is_of_frame(const uint8_t *at, uint32_t len, uint32_t from)
{
	static const uint8_t zeros[PADDING_MAX];
	uint32_t begin = 0;

	from += s.g.hdr_len;
	for (unsigned int i = 0; i < s.walk.n && len > 0; begin += s.walk.piece[i++].len) {
		const struct zc_seg *piece = &s.walk.piece[i];
		uint32_t n, off = from - begin;

		if (off >= piece->len)
			continue;
		n = RTE_MIN(len, piece->len - off);
		if (at != piece->hva + off && memcmp(at, piece->hva + off, n) != 0)
			return false;
		at += n;
		from += n;
		len -= n;
	}
	return len <= sizeof(zeros) && memcmp(at, zeros, len) == 0;
}

static void
check_frame(const struct rte_mbuf *m, uint16_t pos)
{
	uint32_t len = frame_len(), at = 0;
	const char *why = "";

	FUZZ_CHECK(rte_mbuf_check(m, 1, &why) == 0, "%s", why);
	FUZZ_CHECK(m->nb_segs <= s.tx.limits.segs_max, "%u segments", m->nb_segs);
	FUZZ_CHECK(m->pkt_len == len, "%u bytes instead of %u at %u", m->pkt_len, len, pos);
	for (const struct rte_mbuf *seg = m; seg != NULL; seg = seg->next) {
		check_segment(seg);
		FUZZ_CHECK(is_of_frame(rte_pktmbuf_mtod(seg, uint8_t *), seg->data_len, at),
				"wrong bytes at %u of %u", at, len);
		at += seg->data_len;
	}
}

/* What became of the chains from @pos on. */
static void
check_taken(struct rte_mbuf **pkts, uint16_t n, uint16_t pos, bool lost_some)
{
	uint16_t got = 0;

	for (; pos != s.tx.vq.next_avail; pos++) {
		uint16_t head = s.g.avail->ring[pos & (s.g.size - 1)];
		bool frame;

		FUZZ_CHECK(head < s.g.size, "a chain with head %u", head);
		s.head[pos & (s.g.size - 1)] = head;
		frame = is_frame(head);
		if (!frame || (lost_some && got == n))
			continue;
		FUZZ_CHECK(got < n || lost_some, "a good frame was dropped");
		/* Any may be missing. */
		if (lost_some && pkts[got]->pkt_len != frame_len())
			continue;
		if (!lost_some)
			check_frame(pkts[got], pos);
		hold(pkts[got++], pos);
	}
	FUZZ_CHECK(got == n || lost_some, "%u frames from %u good chains", n, got);
	/* Those that could not be told apart. */
	while (got < n)
		rte_pktmbuf_free(pkts[got++]);
}

static void
take(uint8_t want)
{
	uint64_t lost = lost_copies();
	uint32_t out = zc_tx_out(&s.tx);
	uint16_t pos = s.tx.vq.next_avail, n = 1 + want % 32, got;
	bool broken = s.tx.vq.fault != ZC_VQ_OK;
	struct rte_mbuf *pkts[32];

	if (n > HELD_MAX - s.n_held)
		return;
	if (!s.g.overlap)
		guest_keep(&s.g);
	got = zc_tx_take(&s.tx, pkts, n);
	if (!s.g.overlap)
		guest_check_kept(&s.g);
	FUZZ_CHECK(got <= n, "%u of %u", got, n);
	FUZZ_CHECK(!broken || pos == s.tx.vq.next_avail, "taken from a broken queue");
	FUZZ_CHECK((uint16_t)(s.tx.vq.next_avail - s.tx.vq.next_used) <= s.g.size,
			"more chains than the ring has");
	FUZZ_CHECK(zc_tx_out(&s.tx) <= RTE_MAX(out, s.tx.limits.out_max), "%u out, the bound is %u",
			zc_tx_out(&s.tx), s.tx.limits.out_max);
	check_taken(pkts, got, pos, lost_copies() > lost);
}

/* ---- completing ---- */

/* The first position that may not be used yet. */
static uint16_t
first_waiting(uint16_t from)
{
	uint16_t first = s.tx.vq.next_avail - from;

	for (unsigned int i = 0; i < s.n_held; i++)
		if (s.held[i].waits && (uint16_t)(s.held[i].pos - from) < first)
			first = s.held[i].pos - from;
	return from + first;
}

static void
check_used(uint16_t from)
{
	uint16_t end = s.tx.vq.next_used;

	for (uint16_t pos = from; pos != end && !s.g.overlap; pos++) {
		const struct vring_used_elem *e = &s.g.used->ring[pos & (s.g.size - 1)];

		FUZZ_CHECK(e->id == s.head[pos & (s.g.size - 1)] && e->len == 0,
				"used %u with %u bytes at %u, chain %u was taken", e->id, e->len,
				pos, s.head[pos & (s.g.size - 1)]);
	}
	if (from != end && !s.g.overlap)
		FUZZ_CHECK(s.g.used->idx == end, "index %u", s.g.used->idx);
	for (unsigned int i = 0; i < s.n_held; i++)
		FUZZ_CHECK(!s.held[i].waits ||
						(uint16_t)(s.held[i].pos - from) >=
								(uint16_t)(end - from),
				"the guest has a buffer back that is out");
}

static void
complete(uint64_t later)
{
	uint16_t from = s.tx.vq.next_used, first = first_waiting(from);

	s.now += later;
	if (!s.g.overlap)
		guest_keep(&s.g);
	zc_tx_complete(&s.tx, s.now);
	if (!s.g.overlap)
		guest_check_kept(&s.g);
	check_used(from);
	FUZZ_CHECK(parted_ones_are_out() || s.tx.vq.next_used == first,
			"used to %u, %u is the first out", s.tx.vq.next_used, first);
	FUZZ_CHECK(zc_tx_age(&s.tx) <= s.now, "older than time");
}

/* ---- control ---- */

static void
set_limits(struct bytes *in)
{
	uint8_t last;

	s.tx.limits = (struct zc_tx_limits){
		.threshold = bytes_u8(in) * 8,
		.frame_max = 60 + bytes_u16(in),
		.header_bytes = bytes_u8(in),
		.out_max = 1 + bytes_u8(in) * 4,
		.segs_max = 1 + bytes_u8(in),
	};
	last = bytes_u8(in);
	s.tx.limits.frame_min = RTE_ETHER_HDR_LEN + last / 8 * 2;
	s.tx.limits.copy = last % 8 > ZC_TX_COPY_RECOVER ? ZC_TX_ATTACH : last % 8;
}

static void
attach(const struct zc_vq_conf *conf)
{
	if (zc_tx_attach(&s.tx, conf) < 0)
		abort();
}

/* A device reset: what is out stays out. */
static void
reset(struct bytes *in)
{
	struct zc_vq_conf conf;

	part_from_chains();
	zc_tx_detach(&s.tx);
	guest_reset(&s.g, in, &conf);
	attach(&conf);
}

static void
act(struct bytes *in)
{
	uint8_t what = bytes_u8(in);

	switch (what % 16) {
	case 0 ... 5:
		guest_act(&s.g, in, what % 16);
		break;
	case 6 ... 7:
		take(what / 16 * 2);
		break;
	case 8:
		complete(bytes_u8(in));
		break;
	case 9:
		free_one(in);
		break;
	case 10:
		free_first_segment(in);
		break;
	case 11:
		free_all();
		break;
	case 12:
		set_limits(in);
		break;
	case 13:
		all_done();
		break;
	case 14:
		guest_remap(&s.g, &s.tx.vq, what / 16);
		break;
	default:
		reset(in);
		break;
	}
}

static void
begin(struct bytes *in)
{
	struct zc_vq_conf conf;
	uint32_t seg = bytes_u8(in);

	/* Segment numbers wrap; most inputs begin where they soon do. */
	seg = 2 * seg - 384;
	s.tx.seg_head = s.tx.seg_back = s.tx.seg_done = s.tx.mark_seg = seg;
	s.now = 0;
	set_limits(in);
	guest_begin(&s.g, in, &conf);
	attach(&conf);
}

/* Everything comes back, and every chain taken is used. */
static void
finish(void)
{
	free_all();
	complete(1);
	FUZZ_CHECK(zc_tx_out(&s.tx) == 0, "%u out", zc_tx_out(&s.tx));
	FUZZ_CHECK(s.tx.vq.next_used == s.tx.vq.next_avail, "chains stay taken");
	zc_tx_detach(&s.tx);
	FUZZ_CHECK(rte_mempool_avail_count(s.copy_mp) == s.mbufs, "host mbufs are lost");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };

	begin(&in);
	for (unsigned int i = 0; i < ACTS_MAX && bytes_left(&in) > 0; i++)
		act(&in);
	finish();
	return 0;
}

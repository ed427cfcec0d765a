/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames into a guest that writes what it likes: armed, copied into holes, over several buffers;
 * with a NIC that receives first-in first-out, errors, frames for others freed late by other
 * lcores, and queues that are suspended, stopped and reset.
 *
 * Checked at every step: the NIC writes into a buffer only while its chain is taken, and never
 * outside of the guest; chains are used in avail order, once, with lengths that add up to what was
 * delivered; nothing of the pool is lost; a queue that broke stays so.
 */
#include <rte_lcore.h>

#include "../unit/eal.h"
#include "guest.h"
#include "zcopy/ctor.h"
#include "zcopy/rx.h"

#define OWNER 5
#define OTHER 9
#define MBUFS 40
#define KINDS 4
#define ELSEWHERE_MAX 24
#define ACTS_MAX 400
#define RING_MAX 64
#define BURST 16

static const struct {
	uint16_t capacity, split;
} kinds[KINDS] = { { 256, 0 }, { 2048, 0 }, { 192, 64 }, { 2030, 18 } };

static struct {
	struct guest g;
	struct zc_rx rx;
	struct zc_ctor ctors[KINDS];
	struct zc_ctor *ctor; /* of this input */
	struct rte_mempool *host_mp;
	unsigned int mbufs;
	struct rte_mbuf *fifo[MBUFS]; /* with the NIC, oldest first */
	unsigned int n;
	struct rte_mbuf *pending[BURST]; /* received, not put */
	uint16_t n_pending;
	struct rte_mbuf *elsewhere[ELSEWHERE_MAX];
	unsigned int n_elsewhere;
	uint16_t head[RING_MAX]; /* by position: head when it was taken */
	bool held;
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
	unit_be_lcore(OWNER);
	s.host_mp = unit_host_pool(256, 2048);
	for (unsigned int i = 0; i < KINDS; i++) {
		if (zc_ctor_init(&s.ctors[i], unit_pool_name(), MBUFS, kinds[i].capacity,
				    SOCKET_ID_ANY) < 0)
			abort();
		s.ctors[i].owner = OWNER;
		s.ctors[i].split = kinds[i].split;
	}
	s.mbufs = rte_mempool_avail_count(s.host_mp);
	return 0;
}

/* ---- what is taken ---- */

struct before {
	uint16_t next_avail;
	bool broken;
	uint16_t avail[RING_MAX]; /* the guest's ring may be written by its own frames */
};

static void
look(struct before *b)
{
	b->next_avail = s.rx.vq.next_avail;
	b->broken = s.rx.vq.fault != ZC_VQ_OK;
	memcpy(b->avail, s.g.avail->ring, 2 * s.g.size);
}

/* Remember heads of the chains taken since. */
static void
look_again(const struct before *b)
{
	bool same = memcmp(b->avail, s.g.avail->ring, 2 * s.g.size) == 0;

	FUZZ_CHECK(!b->broken || s.rx.vq.fault != ZC_VQ_OK, "mended by itself");
	FUZZ_CHECK(!b->broken || b->next_avail == s.rx.vq.next_avail, "taken from a broken queue");
	FUZZ_CHECK((uint16_t)(s.rx.vq.next_avail - s.rx.vq.next_used) <= s.g.size,
			"more chains than the ring has");
	for (uint16_t pos = b->next_avail; pos != s.rx.vq.next_avail; pos++) {
		uint16_t i = pos & (s.g.size - 1);

		s.head[i] = same ? b->avail[i] : s.rx.vq.window[i].id;
		FUZZ_CHECK(s.head[i] < s.g.size, "a chain with head %u", s.head[i]);
	}
}

static bool
is_taken(uint16_t pos)
{
	uint16_t from = s.rx.vq.next_used;

	return (uint16_t)(pos - from) < (uint16_t)(s.rx.vq.next_avail - from);
}

/* ---- the NIC ---- */

/* The NIC may write all that a buffer holds, from now on. */
static void
nic_writes(struct rte_mbuf *m)
{
	struct zc_priv *priv = zc_priv(m);
	uint8_t *to = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

	FUZZ_CHECK(m->buf_len == RTE_PKTMBUF_HEADROOM + s.ctor->capacity, "%u", m->buf_len);
	if (priv->armed) {
		uint64_t iova = guest_holds(&s.g, to - s.ctor->split,
				s.ctor->split + s.ctor->capacity);

		FUZZ_CHECK(is_taken(zc_armed_pos(priv->armed)),
				"armed with a buffer that the guest has back");
		FUZZ_CHECK(zc_armed_gen(priv->armed) != s.ctor->gen ||
						iova + s.ctor->split ==
								m->buf_iova + RTE_PKTMBUF_HEADROOM,
				"armed outside of the guest");
	} else {
		FUZZ_CHECK(m->buf_addr == priv->host_addr, "a bounce elsewhere");
	}
	memset(to, 0xa7, s.ctor->capacity);
}

static void
refill(unsigned int n)
{
	struct rte_mbuf *m[MBUFS];
	struct before before;

	n = RTE_MIN(n, MBUFS - s.n);
	look(&before);
	if (n == 0 || rte_mempool_get_bulk(s.ctor->pool.mp, (void **)m, n) < 0)
		return;
	look_again(&before);
	for (unsigned int i = 0; i < n; i++)
		s.fifo[s.n++] = m[i];
}

static struct rte_mbuf *
nic_pop(void)
{
	struct rte_mbuf *m = s.fifo[0];

	memmove(s.fifo, s.fifo + 1, --s.n * sizeof(s.fifo[0]));
	return m;
}

/* The first bytes of a frame are in a host mbuf; those of a short one are all there. */
static struct rte_mbuf *
split(struct rte_mbuf *m)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(s.host_mp);

	if (head == NULL)
		abort();
	head->data_len = RTE_MIN(m->data_len, s.ctor->split);
	memset(rte_pktmbuf_mtod(head, void *), 0xc9, head->data_len);
	head->pkt_len = m->pkt_len;
	m->data_len -= head->data_len;
	head->next = m;
	head->nb_segs = 2;
	return head;
}

static void
receive(unsigned int n, uint16_t len)
{
	uint16_t first = s.n_pending;

	for (; n > 0 && s.n > 0 && s.n_pending < BURST; n--) {
		struct rte_mbuf *m = nic_pop();

		nic_writes(m);
		m->data_off = RTE_PKTMBUF_HEADROOM;
		m->data_len = 14 + len % (s.ctor->split + s.ctor->capacity - 13);
		m->pkt_len = m->data_len;
		m->ol_flags = 0;
		m->next = NULL;
		m->nb_segs = 1;
		s.pending[s.n_pending++] = s.ctor->split > 0 ? split(m) : m;
	}
	if (s.n_pending > first)
		zc_ctor_received(s.ctor, s.pending + first, s.n_pending - first);
}

/* A receive error: the driver frees. */
static void
receive_error(void)
{
	if (s.n > 0)
		rte_pktmbuf_free(nic_pop());
}

/* ---- the switch ---- */

/* A frame from elsewhere, in any number of segments. */
static void
host_frame(uint16_t len, uint8_t pieces)
{
	struct rte_mbuf *head = NULL, *m;

	if (s.n_pending == BURST)
		return;
	for (unsigned int i = 0; i <= pieces % 4u; i++) {
		m = rte_pktmbuf_alloc(s.host_mp);
		if (m == NULL)
			break;
		m->data_len = m->pkt_len = 14 + (len + 37 * i) % 2000;
		memset(rte_pktmbuf_mtod(m, void *), 0xb8, m->data_len);
		if (head == NULL)
			head = m;
		else
			rte_pktmbuf_chain(head, m);
	}
	if (head != NULL)
		s.pending[s.n_pending++] = head;
}

static uint64_t
lens_used(uint16_t from)
{
	uint64_t sum = 0;

	for (uint16_t pos = from; pos != s.rx.vq.next_used; pos++) {
		const struct vring_used_elem *e = &s.g.used->ring[pos & (s.g.size - 1)];

		sum += e->len;
		FUZZ_CHECK(s.g.overlap || e->id == s.head[pos & (s.g.size - 1)],
				"used %u at %u, chain %u was taken", e->id, pos,
				s.head[pos & (s.g.size - 1)]);
	}
	return sum;
}

static uint64_t
drops(void)
{
	uint64_t n = 0;

	for (unsigned int i = ZCNET_Q_drop_bad_chain; i <= ZCNET_Q_drop_no_guest; i++)
		n += s.rx.counters.value[i];
	return n;
}

static void
put(void)
{
	const uint64_t *n = s.rx.counters.value;
	uint64_t frames = n[ZCNET_Q_frames], bytes = n[ZCNET_Q_bytes], dropped = drops(), sum;
	uint16_t from = s.rx.vq.next_used, fill = s.rx.fill, done;
	uint32_t debt = s.rx.debt;
	struct before before;

	if (s.held)
		return;
	look(&before);
	done = zc_rx_put(&s.rx, s.pending, s.n_pending);
	look_again(&before);
	FUZZ_CHECK(done <= s.n_pending, "%u of %u", done, s.n_pending);
	/* Chains that take long to walk are paid in turns. */
	FUZZ_CHECK(done == s.n_pending || s.rx.full == ZCNET_RX_FULL_WAIT || debt > 0 ||
					s.rx.debt > 0,
			"frames left over");
	FUZZ_CHECK(n[ZCNET_Q_frames] - frames + drops() - dropped == done, "frames uncounted");
	FUZZ_CHECK(s.rx.vq.next_used == s.rx.fill, "filled and not used");
	FUZZ_CHECK((uint16_t)(s.rx.fill - fill) <= s.g.size, "more than the ring");
	sum = lens_used(from);
	FUZZ_CHECK(s.g.overlap ||
					sum ==
							n[ZCNET_Q_bytes] - bytes +
									(n[ZCNET_Q_frames] -
											frames) *
											s.g.hdr_len,
			"%ju bytes used", (uintmax_t)sum);
	if (from != s.rx.vq.next_used && !s.g.overlap)
		FUZZ_CHECK(s.g.used->idx == s.rx.vq.next_used, "index %u", s.g.used->idx);
	s.n_pending -= done;
	memmove(s.pending, s.pending + done, s.n_pending * sizeof(s.pending[0]));
}

/* For somebody else: freed at once or late, by this lcore or another. */
static void
forward(uint8_t how)
{
	struct rte_mbuf *m;

	if (s.n_pending == 0)
		return;
	m = s.pending[--s.n_pending];
	if ((how & 1) && s.n_elsewhere < ELSEWHERE_MAX) {
		s.elsewhere[s.n_elsewhere++] = m;
		return;
	}
	unit_be_lcore(how & 2 ? OWNER : OTHER);
	rte_pktmbuf_free(m);
	unit_be_lcore(OWNER);
}

static void
free_elsewhere(uint8_t how)
{
	unsigned int i;

	if (s.n_elsewhere == 0)
		return;
	i = how / 2 % s.n_elsewhere;
	unit_be_lcore(how & 1 ? OWNER : OTHER);
	rte_pktmbuf_free(s.elsewhere[i]);
	unit_be_lcore(OWNER);
	s.elsewhere[i] = s.elsewhere[--s.n_elsewhere];
}

/* ---- control ---- */

static void
suspend(bool on)
{
	s.held = on;
	s.ctor->rx = on ? NULL : &s.rx;
}

/* Everything comes back, and the ring is as if it had never been taken. */
static void
stop(void)
{
	suspend(true);
	while (s.n_pending > 0)
		rte_pktmbuf_free(s.pending[--s.n_pending]);
	while (s.n > 0)
		rte_pktmbuf_free(nic_pop());
	while (s.n_elsewhere > 0)
		rte_pktmbuf_free(s.elsewhere[--s.n_elsewhere]);
	zc_ctor_collect(s.ctor);
	FUZZ_CHECK(s.ctor->armed == 0 && s.ctor->in_nic == 0 && s.ctor->armed_old == 0,
			"%u armed, %u old, %u with the NIC", s.ctor->armed, s.ctor->armed_old,
			s.ctor->in_nic);
	FUZZ_CHECK(s.ctor->nfree == MBUFS, "%u mbufs are back", s.ctor->nfree);
	for (uint16_t pos = s.rx.fill; pos != s.rx.vq.next_avail; pos++)
		FUZZ_CHECK(s.rx.hdr[pos & (s.g.size - 1)] == NULL, "still armed at %u", pos);
	zc_rx_rewind(&s.rx);
	s.ctor->bound = NULL;
	s.rx.ctor = NULL;
}

static void
start(uint8_t how)
{
	s.rx.full = how & 1 ? ZCNET_RX_FULL_WAIT : ZCNET_RX_FULL_DROP;
	s.rx.copy_counter = ZCNET_Q_copy_foreign;
	if (how & 4)
		return;
	s.rx.ctor = s.ctor;
	s.ctor->bound = &s.rx;
	suspend(false);
}

static void
attach(const struct zc_vq_conf *conf, uint8_t how)
{
	if (zc_rx_attach(&s.rx, conf, how & 2) < 0)
		abort();
	start(how);
}

/* What can't be armed any more is told apart by its generation. */
static void
remap(uint8_t which)
{
	guest_remap(&s.g, &s.rx.vq, which);
	s.ctor->armed_old = s.ctor->armed;
	s.ctor->gen++;
}

static void
reset(struct bytes *in)
{
	struct zc_vq_conf conf;
	uint8_t how = bytes_u8(in);

	stop();
	if (how & 8) {
		start(how);
		return;
	}
	zc_rx_detach(&s.rx);
	guest_reset(&s.g, in, &conf);
	attach(&conf, how);
}

static void
act(struct bytes *in)
{
	uint8_t what = bytes_u8(in), how = what / 16;

	switch (what % 16) {
	case 0 ... 5:
		guest_act(&s.g, in, what % 16);
		break;
	case 6:
		refill(1 + 2 * how);
		break;
	case 7:
		receive(1 + how, bytes_u16(in));
		break;
	case 8 ... 9:
		put();
		break;
	case 10:
		host_frame(bytes_u16(in), how);
		break;
	case 11:
		forward(how);
		break;
	case 12:
		free_elsewhere(how);
		break;
	case 13:
		if (s.rx.ctor != NULL)
			suspend(how & 1);
		break;
	case 14:
		if (how & 1)
			receive_error();
		else
			remap(how / 2);
		break;
	default:
		reset(in);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };
	struct zc_vq_conf conf;
	uint8_t how = bytes_u8(&in);

	s.ctor = &s.ctors[how / 16 % 2 + 2 * (how >= 0xc0)];
	s.held = false;
	guest_begin(&s.g, &in, &conf);
	attach(&conf, how);
	for (unsigned int i = 0; i < ACTS_MAX && bytes_left(&in) > 0; i++)
		act(&in);
	stop();
	zc_rx_detach(&s.rx);
	FUZZ_CHECK(rte_mempool_avail_count(s.host_mp) == s.mbufs, "host mbufs are lost");
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio-net header on its way from one guest to another: whatever the sender writes into its
 * header, and however both cut header and frame into buffers, the receiver finds a header that the
 * device wrote and the frame as it was.
 *
 * No offload is negotiated today, so a sender's header means nothing (virtio 1.2, 5.1.6.2.2), and a
 * receiver's is zeros but for num_buffers.
 */
#include <linux/virtio_net.h>

#include "../unit/eal.h"
#include "guest.h"
#include "zcopy/rx.h"
#include "zcopy/tx.h"

#define RING 32u
#define FRAME_MAX 4000u

static struct {
	struct guest from, to;
	struct zc_tx tx;
	struct zc_rx rx;
	struct rte_mempool *mp;
	uint8_t frame[FRAME_MAX];
	uint32_t room; /* bytes that the receiver posted, headers included */
	unsigned int posted;
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
	guest_init(&s.from);
	guest_init(&s.to);
	if (unit_eal_start() < 0 || unit_register_ops() < 0)
		abort();
	atexit(end_eal);
	for (uint32_t i = 0; i < FRAME_MAX; i++)
		s.frame[i] = i * 7 + i / 256;
	s.mp = unit_host_pool(128, 2048);
	if (s.mp == NULL || zc_tx_init(&s.tx, unit_pool_name(), s.mp, SOCKET_ID_ANY) < 0)
		abort();
	return 0;
}

/*
 * Chain @head of pieces as the input cuts them: @bytes in all, from @off in region 2. @return
 * descriptors used
 */
static unsigned int
write_chain(struct guest *g, struct bytes *in, unsigned int head, uint32_t off, uint32_t bytes,
		uint16_t flags)
{
	uint64_t base = g->map->region[2].gpa;
	unsigned int i = head;

	for (;;) {
		uint32_t len = 1 + bytes_u8(in) * (bytes_u8(in) % 16);

		if (len > bytes || i + 1 == RING || i - head > 12)
			len = bytes;
		bytes -= len;
		g->desc[i] = (struct vring_desc){ .addr = base + off,
			.len = len,
			.flags = flags | (bytes > 0 ? VRING_DESC_F_NEXT : 0),
			.next = i + 1 };
		off += len;
		i++;
		if (bytes == 0)
			return i - head;
	}
}

static void
post(struct guest *g, unsigned int head)
{
	g->avail->ring[g->avail_idx++ % RING] = head;
	g->avail->idx = g->avail_idx;
}

static void
begin(struct guest *g, struct bytes *in, struct zc_vq_conf *conf, uint8_t hdr_len)
{
	/* A ring of 32 at its place, indirect and no event index, first position from the input. */
	const uint8_t fixed[] = { 0, 4 << 1, bytes_u8(in), bytes_u8(in) };
	struct bytes ring = { fixed, fixed + sizeof(fixed) };

	guest_begin(g, &ring, conf);
	conf->hdr_len = g->hdr_len = hdr_len;
}

static void
send_frame(struct bytes *in, uint32_t len)
{
	uint8_t *at = s.from.mem[2];

	/* Any header, then the frame. */
	bytes_copy(in, at, s.from.hdr_len);
	memcpy(at + s.from.hdr_len, s.frame, len);
	write_chain(&s.from, in, 0, 0, s.from.hdr_len + len, 0);
	post(&s.from, 0);
}

static void
post_buffers(struct bytes *in)
{
	unsigned int head = 0, n;

	s.room = 0;
	s.posted = 0;
	for (n = 1 + bytes_u8(in) % 8; n > 0 && head < RING; n--) {
		uint32_t bytes = s.to.hdr_len + bytes_u16(in) % 2100;

		unsigned int used = write_chain(&s.to, in, head, s.room, bytes, VRING_DESC_F_WRITE);

		post(&s.to, head);
		head += used;
		s.room += bytes;
		s.posted++;
	}
}

/* What the receiver finds, buffer after buffer. */
static void
check_received(uint32_t len, uint16_t first)
{
	unsigned int n = (uint16_t)(s.to.used->idx - first);
	struct virtio_net_hdr_mrg_rxbuf hdr = { 0 };
	uint8_t got[FRAME_MAX + 12];
	uint32_t have = 0;

	FUZZ_CHECK(n >= 1 && n <= s.posted, "%u buffers used of %u", n, s.posted);
	for (unsigned int i = 0; i < n; i++) {
		const struct vring_used_elem *e = &s.to.used->ring[(first + i) % RING];
		struct walk walk;

		FUZZ_CHECK(e->id == s.to.avail->ring[(first + i) % RING], "out of order");
		FUZZ_CHECK(guest_walk(&s.to, e->id, true, &walk) == 0, "a bad chain");
		FUZZ_CHECK(e->len <= walk.len && have + e->len <= sizeof(got), "%u bytes", e->len);
		/* Spec 5.1.6.4: all but the last are full. */
		FUZZ_CHECK(i + 1 == n || e->len == walk.len, "buffer %u is not full", i);
		have += guest_gather(&walk, 0, got + have, e->len);
	}
	FUZZ_CHECK(have == s.to.hdr_len + len, "%u bytes of %u", have, len);
	hdr.num_buffers = n;
	FUZZ_CHECK(memcmp(got, &hdr, s.to.hdr_len) == 0, "a header that isn't the device's");
	FUZZ_CHECK(memcmp(got + s.to.hdr_len, s.frame, len) == 0, "another frame");
}

static void
pass_on(uint32_t len, bool mergeable)
{
	uint16_t first = s.to.used->idx;
	struct rte_mbuf *m;
	uint16_t n = zc_tx_take(&s.tx, &m, 1);

	FUZZ_CHECK(n == 1 && m->pkt_len == len, "%u frames", n);
	FUZZ_CHECK((m->ol_flags & ~RTE_MBUF_F_EXTERNAL) == 0, "offloads from a header: %#jx",
			(uintmax_t)m->ol_flags);
	FUZZ_CHECK(zc_rx_put(&s.rx, &m, 1) == 1, "not taken");
	if (s.to.used->idx != first)
		check_received(len, first);
	else
		FUZZ_CHECK(!mergeable || s.room < len + s.to.hdr_len, "%u bytes fit into %u", len,
				s.room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };
	uint8_t how = bytes_u8(&in);
	struct zc_vq_conf from, to;
	uint32_t len = 14 + bytes_u16(&in) % (FRAME_MAX - 13);

	s.tx.limits = (struct zc_tx_limits){ .threshold = bytes_u8(&in) * 16,
		.frame_min = 14,
		.frame_max = FRAME_MAX,
		.header_bytes = how & 1 ? bytes_u8(&in) : 0,
		.out_max = 1024,
		.segs_max = 2 + bytes_u8(&in) % 64,
		.copy = how & 2 ? ZC_TX_COPY_OFF : ZC_TX_ATTACH };
	begin(&s.from, &in, &from, how & 4 ? 10 : 12);
	begin(&s.to, &in, &to, how & 8 && !(how & 16) ? 10 : 12);
	if (zc_tx_attach(&s.tx, &from) < 0 || zc_rx_attach(&s.rx, &to, how & 16) < 0)
		abort();
	send_frame(&in, len);
	post_buffers(&in);
	pass_on(len, how & 16);
	zc_tx_complete(&s.tx, 0);
	FUZZ_CHECK(s.from.used->idx == s.from.avail_idx, "the sender waits");
	zc_rx_detach(&s.rx);
	zc_tx_detach(&s.tx);
	return 0;
}

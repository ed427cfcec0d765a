/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walk alone: any descriptors, tables and memory tables, compared with a walk that was written
 * for shortness. Then the front of the chain is cut off, at any place.
 */
#include "guest.h"

static struct guest guest;
static struct zc_vq vq;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	guest_init(&guest);
	return 0;
}

static void
same_pieces(const struct walk *walk, uint32_t skip)
{
	unsigned int first = 0;

	while (first < walk->n && skip >= walk->piece[first].len)
		skip -= walk->piece[first++].len;
	FUZZ_CHECK(vq.chain.nseg == walk->n - first, "%u pieces instead of %u", vq.chain.nseg,
			walk->n - first);
	for (unsigned int i = 0; i < vq.chain.nseg; i++) {
		const struct zc_seg *want = &walk->piece[first + i], *got = &vq.chain.seg[i];

		FUZZ_CHECK(got->hva == want->hva + skip && got->iova == want->iova + skip &&
						got->len == want->len - skip,
				"piece %u of %u", i, vq.chain.nseg);
		skip = 0;
	}
}

static void
walk_one(struct bytes *in)
{
	uint16_t head = bytes_u8(in) % guest.size;
	bool writable = bytes_u8(in) & 1;
	uint32_t cut = bytes_u16(in);
	struct walk walk;
	int want = guest_walk(&guest, head, writable, &walk);
	int got = zc_vq_chain(&vq, head, writable, &vq.chain);

	FUZZ_CHECK(got == want, "%d instead of %d", got, want);
	if (got < 0)
		return;
	FUZZ_CHECK(vq.chain.len == walk.len, "%u bytes", vq.chain.len);
	same_pieces(&walk, 0);
	got = zc_chain_trim(&vq.chain, cut);
	FUZZ_CHECK((got < 0) == (cut > walk.len), "%u of %ju cut: %d", cut, (uintmax_t)walk.len,
			got);
	same_pieces(&walk, got < 0 ? 0 : cut);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };
	struct zc_vq_conf conf;

	guest_begin(&guest, &in, &conf);
	if (zc_vq_init(&vq, &conf) < 0)
		abort();
	while (bytes_left(&in) > 0) {
		uint8_t what = bytes_u8(&in);

		if (what % 8 < GUEST_ACTS)
			guest_act(&guest, &in, what % 8);
		else if (what % 8 == 6)
			guest_remap(&guest, &vq, what / 8);
		else
			walk_one(&in);
	}
	zc_vq_fini(&vq);
	return 0;
}

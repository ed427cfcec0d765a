/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walking a descriptor chain that a hostile guest wrote.
 *
 * Every descriptor is copied once and judged on the copy. The walk is bounded by the number of
 * descriptors the table has, so a loop ends as a chain that is too long. A buffer may cross
 * from one region into the next when guest addresses go on; it becomes two pieces.
 */
#include "vq.h"

#include <errno.h>
#include <stddef.h>

#include <rte_branch_prediction.h>

/* Descriptors to walk: the ring's own, or an indirect table, which may itself cross regions. */
struct table {
	const uint8_t *hva; /* contiguous, NULL: not */
	uint64_t gpa;       /* of an indirect table */
	uint32_t count;
	bool indirect;
};

static inline int
read_desc(struct zc_vq *vq, const struct table *table, uint32_t index, struct vring_desc *desc)
{
	const uint8_t *hva;
	uint64_t iova;

	if (unlikely(index >= table->count))
		return -EINVAL;
	if (likely(table->hva != NULL))
		hva = table->hva + index * sizeof(*desc);
	else
		hva = zc_vq_translate(vq, table->gpa + index * sizeof(*desc), sizeof(*desc), &iova);
	if (unlikely(hva == NULL))
		return -EINVAL;
	*desc = zc_desc_read(hva);
	return 0;
}

/* A buffer that crosses from one region into the next: a piece each. */
static int
add_pieces(struct zc_vq *vq, uint64_t gpa, uint32_t len, struct zc_chain *chain)
{
	while (len > 0) {
		const struct zc_region *region = zc_map_region(vq->map, gpa);
		struct zc_seg *seg = &chain->seg[chain->nseg];
		uint64_t off, left;

		if (region == NULL)
			return -EINVAL;
		if (chain->nseg == ZC_CHAIN_SEGS_MAX)
			return -E2BIG;
		off = gpa - region->gpa;
		left = region->size - off;
		seg->hva = region->hva + off;
		seg->iova = region->iova + off;
		seg->len = len < left ? len : (uint32_t)left;
		gpa += seg->len;
		len -= seg->len;
		chain->nseg++;
	}
	return 0;
}

static inline int
add_buffer(struct zc_vq *vq, uint64_t gpa, uint32_t len, struct zc_chain *chain)
{
	struct zc_seg *seg = &chain->seg[chain->nseg];

	if (unlikely(len == 0 || len > UINT32_MAX - chain->len))
		return -EINVAL;
	chain->len += len;
	if (unlikely(chain->nseg == ZC_CHAIN_SEGS_MAX))
		return -E2BIG;
	seg->hva = zc_vq_translate(vq, gpa, len, &seg->iova);
	if (unlikely(seg->hva == NULL))
		return add_pieces(vq, gpa, len, chain);
	seg->len = len;
	chain->nseg++;
	return 0;
}

/*
 * Descriptors in the table that @desc points to, 0: malformed. Its WRITE flag means nothing
 * (spec 2.7.5.3.2). A chain index has 16 bits.
 */
static uint32_t
table_count(const struct zc_vq *vq, const struct vring_desc *desc)
{
	if (!vq->indirect || (desc->flags & VRING_DESC_F_NEXT) || desc->len % sizeof(*desc) != 0 ||
			desc->len / sizeof(*desc) > 65536)
		return 0;
	return desc->len / sizeof(*desc);
}

const struct vring_desc *
zc_vq_table(struct zc_vq *vq, struct vring_desc desc, uint32_t *count)
{
	uint64_t iova;

	*count = table_count(vq, &desc);
	return *count > 0 ? (void *)zc_vq_translate(vq, desc.addr, desc.len, &iova) : NULL;
}

static int
open_indirect(struct zc_vq *vq, struct table *table, const struct vring_desc *desc)
{
	if (table->indirect)
		return -EINVAL;
	table->indirect = true;
	table->gpa = desc->addr;
	table->hva = (const uint8_t *)zc_vq_table(vq, *desc, &table->count);
	return table->count > 0 ? 0 : -EINVAL;
}

static inline int
walk(struct zc_vq *vq, uint16_t head, bool writable, struct zc_chain *chain, uint32_t *walked)
{
	struct table table = { .hva = (const uint8_t *)vq->desc, .count = vq->size };
	uint16_t direction = writable ? VRING_DESC_F_WRITE : 0;
	uint32_t index = head;
	struct vring_desc desc;
	int ret;

	chain->len = 0;
	chain->nseg = 0;
	for (;;) {
		/* Spec 2.7.5.3.1: a chain has no more descriptors than the queue. */
		if (unlikely((*walked)++ > vq->size))
			return -EINVAL;
		ret = read_desc(vq, &table, index, &desc);
		if (unlikely(ret < 0))
			return ret;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			ret = open_indirect(vq, &table, &desc);
			if (ret < 0)
				return ret;
			index = 0;
			continue;
		}
		if (unlikely((desc.flags & VRING_DESC_F_WRITE) != direction))
			return -EINVAL;
		ret = add_buffer(vq, desc.addr, desc.len, chain);
		if (unlikely(ret < 0))
			return ret;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
}

int
zc_vq_chain(struct zc_vq *vq, uint16_t head, bool writable, struct zc_chain *chain)
{
	uint32_t walked = 0;
	int ret = walk(vq, head, writable, chain, &walked);

	chain->walked = walked;
	return ret;
}

int
zc_chain_trim(struct zc_chain *chain, uint32_t bytes)
{
	uint32_t drop = 0;

	if (bytes > chain->len)
		return -EINVAL;
	chain->len -= bytes;
	while (drop < chain->nseg && bytes >= chain->seg[drop].len)
		bytes -= chain->seg[drop++].len;
	if (drop > 0) {
		chain->nseg -= drop;
		for (uint32_t i = 0; i < chain->nseg; i++)
			chain->seg[i] = chain->seg[i + drop];
	}
	if (chain->nseg > 0) {
		chain->seg[0].hva += bytes;
		chain->seg[0].iova += bytes;
		chain->seg[0].len -= bytes;
	}
	return 0;
}

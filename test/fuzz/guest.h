/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest driven by an input: it writes descriptors, tables, indices and plain bytes as the input
 * says, sensible or not.
 *
 * Its memory is three regions between pages that nobody may touch, each as large as its pages, so
 * that a byte too far stops the program at either end. The first two go on from one another in
 * guest addresses. Besides, the guest knows what a chain means by a walk of its own, written for
 * shortness alone, which zcnet's is compared with.
 */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include <stdbool.h>

#include "fuzz.h"
#include "vq/vq.h"

#define GUEST_REGIONS 3
#define GUEST_MAPS 4
/* Device address of a byte: never its address here, so that a mix-up shows. */
#define GUEST_IOVA(gpa) (0x8000000000ULL + ((gpa)&0xffffffffff))

struct guest {
	struct zc_map *maps[GUEST_MAPS]; /* of all regions, and of some */
	const struct zc_map *map;        /* the one in force */
	uint8_t *mem[GUEST_REGIONS];
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;
	uint16_t avail_idx; /* the guest's own */
	bool overlap;       /* the rings may lie over each other or over something else */
	bool event_idx, indirect;
	uint8_t hdr_len;
};

/** Once a process. */
void guest_init(struct guest *g);

/** Memory as new and a ring as the input describes it; it begins at a position of its choice. */
void guest_begin(struct guest *g, struct bytes *in, struct zc_vq_conf *conf);

/** The ring anew, in memory as it is: a device reset. */
void guest_reset(struct guest *g, struct bytes *in, struct zc_vq_conf *conf);

/** Something that a guest can do. */
void guest_act(struct guest *g, struct bytes *in, uint8_t what);
#define GUEST_ACTS 6

/** Another memory table. */
void guest_remap(struct guest *g, struct zc_vq *vq, uint8_t which);

/** Do @p len bytes lie in one region of the map in force? @return their device address, or 0 */
uint64_t guest_holds(const struct guest *g, const uint8_t *hva, uint64_t len);

/** The guest's memory but for the used ring, to see whether anybody writes there. */
void guest_keep(const struct guest *g);
void guest_check_kept(const struct guest *g);

/** Chains as the specification has them. */
struct walk {
	uint64_t len; /* bytes */
	unsigned int n;
	struct zc_seg piece[ZC_CHAIN_SEGS_MAX];
};

/** @return 0, or -EINVAL or -E2BIG as zc_vq_chain() */
int guest_walk(const struct guest *g, uint16_t head, bool writable, struct walk *walk);

/** Copy from a walk. @return bytes copied */
uint32_t guest_gather(const struct walk *walk, uint32_t from, uint8_t *to, uint32_t max);

#endif

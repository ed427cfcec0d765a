/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Test frames whose every byte follows from (seed, queue, sequence number).
 *
 * Ethernet, ethertype 0x88b5, then struct frame_tag, then pseudo-random bytes. The receiver makes
 * the same frame again and compares.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ETHERTYPE 0x88b5
#define FRAME_LEN_MIN 60
#define FRAME_LEN_MAX 65535
#define FRAME_WORD 4

struct frame_mac {
	uint8_t byte[6];
};

struct frame_tag {
	uint32_t magic;
	uint32_t len; /* of the frame, bytes */
	uint64_t seq;
	uint32_t queue;
	uint32_t pad;
} __attribute__((packed));

struct frame_plan {
	uint64_t seed;
	uint32_t len_min, len_max;
	struct frame_mac dst, src;
};

/** @return 0, -EINVAL */
int frame_mac_parse(const char *text, struct frame_mac *mac);

/** Ethernet header, then zeros up to @p len. */
void frame_plain(void *frame, uint32_t len, const struct frame_plan *plan);

/** Length of the frame with number @p seq on @p queue. */
uint32_t frame_len(const struct frame_plan *plan, uint32_t queue, uint64_t seq);

/** Build it; @p frame has room for plan->len_max. @return its length */
uint32_t frame_make(const struct frame_plan *plan, uint32_t queue, uint64_t seq, void *frame);

/**
 * Build one that repeats a word of FRAME_WORD bytes after its Ethernet header; as long as
 * frame_make()'s. @return its length
 */
uint32_t frame_words(const struct frame_plan *plan, uint32_t queue, uint64_t seq, const void *word,
		void *frame);

/** Read the tag of a received frame. @return whether it is one of ours */
bool frame_tag_get(const void *frame, uint32_t len, struct frame_tag *tag);

/**
 * Compare a received frame with what the plan says about its tag.
 *
 * Trailing zeros that a link adds to frames below 60 bytes are not accepted: ask for 60 and more.
 *
 * @return offset of the first wrong byte, or -1 when all are right
 */
int64_t frame_check(const struct frame_plan *plan, const void *frame, uint32_t len);

#endif

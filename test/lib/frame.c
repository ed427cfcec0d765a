/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Test frames made from a seed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "rng.h"

#define ETH_LEN 14
#define MAGIC 0x7a636e31
#define DATA (ETH_LEN + sizeof(struct frame_tag))

int
frame_mac_parse(const char *text, struct frame_mac *mac)
{
	uint8_t *b = mac->byte;
	char rest;

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx%c", &b[0], &b[1], &b[2], &b[3], &b[4],
			    &b[5], &rest) != 6)
		return -EINVAL;
	return 0;
}

static void
eth_put(uint8_t *frame, const struct frame_plan *plan)
{
	memcpy(frame, plan->dst.byte, 6);
	memcpy(frame + 6, plan->src.byte, 6);
	frame[12] = FRAME_ETHERTYPE >> 8;
	frame[13] = FRAME_ETHERTYPE & 0xff;
}

void
frame_plain(void *frame, uint32_t len, const struct frame_plan *plan)
{
	memset(frame, 0, len);
	eth_put(frame, plan);
}

static uint64_t
stream(const struct frame_plan *plan, uint32_t queue, uint64_t seq)
{
	uint64_t state = plan->seed ^ ((uint64_t)queue << 48) ^ seq;

	return rng_next(&state);
}

uint32_t
frame_len(const struct frame_plan *plan, uint32_t queue, uint64_t seq)
{
	uint64_t state = stream(plan, queue, seq);

	return rng_range(&state, plan->len_min, plan->len_max);
}

uint32_t
frame_make(const struct frame_plan *plan, uint32_t queue, uint64_t seq, void *frame)
{
	uint64_t state = stream(plan, queue, seq), word;
	uint32_t len = rng_range(&state, plan->len_min, plan->len_max);
	struct frame_tag tag = { .magic = MAGIC, .len = len, .seq = seq, .queue = queue };
	uint8_t *f = frame;

	eth_put(f, plan);
	memcpy(f + ETH_LEN, &tag, sizeof(tag));
	for (uint32_t at = DATA; at < len; at += sizeof(word)) {
		word = rng_next(&state);
		memcpy(f + at, &word, len - at < sizeof(word) ? len - at : sizeof(word));
	}
	return len;
}

uint32_t
frame_words(const struct frame_plan *plan, uint32_t queue, uint64_t seq, const void *word,
		void *frame)
{
	uint32_t len = frame_len(plan, queue, seq);
	uint8_t *f = frame;

	eth_put(f, plan);
	for (uint32_t at = ETH_LEN; at < len; at += FRAME_WORD)
		memcpy(f + at, word, len - at < FRAME_WORD ? len - at : FRAME_WORD);
	return len;
}

bool
frame_tag_get(const void *frame, uint32_t len, struct frame_tag *tag)
{
	if (len < DATA)
		return false;
	memcpy(tag, (const uint8_t *)frame + ETH_LEN, sizeof(*tag));
	return tag->magic == MAGIC;
}

int64_t
frame_check(const struct frame_plan *plan, const void *frame, uint32_t len)
{
	uint8_t want[FRAME_LEN_MAX + 8];
	const uint8_t *have = frame;
	struct frame_tag tag;

	if (!frame_tag_get(frame, len, &tag))
		return ETH_LEN;
	if (frame_make(plan, tag.queue, tag.seq, want) != len)
		return len;
	if (memcmp(want, have, len) == 0)
		return -1;
	for (uint32_t i = 0; i < len; i++)
		if (want[i] != have[i])
			return i;
	return -1;
}

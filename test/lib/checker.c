/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames that came, against those that were sent.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checker.h"

int
checker_init(struct checker *c, const struct frame_plan *plan, unsigned int queues, uint64_t count)
{
	*c = (struct checker){ .plan = plan, .queues = queues, .count = count };
	c->next = calloc(queues, sizeof(*c->next));
	return c->next != NULL ? 0 : -ENOMEM;
}

void
checker_fini(struct checker *c)
{
	free(c->next);
	c->next = NULL;
}

int64_t
checker_take(struct checker *c, const void *frame, uint32_t len)
{
	struct frame_tag tag;
	int64_t bad;

	if (!frame_tag_get(frame, len, &tag) || tag.queue >= c->queues) {
		c->foreign++;
		return -1;
	}
	c->frames++;
	bad = frame_check(c->plan, frame, len);
	if (bad >= 0) {
		c->altered++;
		return bad;
	}
	if (tag.seq < c->next[tag.queue]) {
		c->reordered++;
		return -1;
	}
	if (c->lost == 0)
		c->first_lost = c->next[tag.queue];
	c->lost += tag.seq - c->next[tag.queue];
	c->next[tag.queue] = tag.seq + 1;
	return -1;
}

bool
checker_done(const struct checker *c)
{
	return checker_missing(c) == 0;
}

uint64_t
checker_missing(const struct checker *c)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < c->queues; i++)
		n += c->next[i] < c->count ? c->count - c->next[i] : 0;
	return n;
}

bool
checker_fine(const struct checker *c)
{
	return c->lost + checker_missing(c) + c->altered + c->reordered == 0;
}

void
checker_print(const struct checker *c)
{
	printf("\"frames\":%llu,\"lost\":%llu,\"altered\":%llu,\"reordered\":%llu,\"foreign\":%llu",
			(unsigned long long)c->frames,
			(unsigned long long)(c->lost + checker_missing(c)),
			(unsigned long long)c->altered, (unsigned long long)c->reordered,
			(unsigned long long)c->foreign);
	if (c->lost > 0)
		printf(",\"first_lost\":%llu", (unsigned long long)c->first_lost);
}

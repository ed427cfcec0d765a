/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holes in the guest's memory under full load both ways: where buffers lie, and then where the
 * rings lie, too, after which only a reset helps.
 */
#include <errno.h>
#include <stdio.h>

#include "clock.h"
#include "guest_duplex.h"
#include "rng.h"

#define PAGE 4096
#define HOLES 64  /* in buffers, between two resets */
#define TURNS 256 /* between two holes */

/* A few pages or many; all of region 0 are rings. */
static int
punch(struct duplex *d, struct frontend *fe, unsigned int region)
{
	uint32_t pages = (uint32_t)(fe->mem.region[region].size / PAGE);
	uint32_t first = rng_range(&d->rng, 0, pages - 1);
	uint32_t n = rng_range(&d->rng, 1, pages - first);

	return frontend_mem_punch(fe, region, (uint64_t)first * PAGE, (uint64_t)n * PAGE);
}

/* What the device says then may be nonsense: its ring was. */
static void
work(struct duplex *d)
{
	for (unsigned int i = 0; i < TURNS && !stopped(); i++)
		if (flood_poll(&d->tx) < 0 || flood_poll(&d->rx) < 0)
			return;
}

static int
life(struct duplex *d, struct frontend *fe, const struct options *o, uint64_t *holes)
{
	int ret = duplex_begin(d, fe, o);

	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i <= HOLES && ret == 0; i++) {
		work(d);
		ret = punch(d, fe, i == HOLES ? 0 : rng_range(&d->rng, 1, fe->mem.n - 1));
		*holes += ret == 0;
	}
	work(d);
	duplex_finish(d);
	if (ret < 0)
		complain("%s", frontend_error(fe));
	return ret == 0 ? duplex_reset(fe) : ret;
}

int
mode_punch(struct frontend *fe, const struct options *o)
{
	struct duplex d = { .rng = o->plan.seed };
	uint64_t holes = 0, resets = 0;
	int ret = 0;

	for (; ret == 0 && !stopped(); resets++)
		ret = life(&d, fe, o, &holes);
	printf("{\"mode\":\"punch\",\"holes\":%llu,\"resets\":%llu,\"sent\":%llu,"
	       "\"received\":%llu}\n",
			(unsigned long long)holes, (unsigned long long)resets,
			(unsigned long long)d.sent, (unsigned long long)d.received);
	return ret;
}

/* Every buffer is a hole whenever the device comes to it. */
int
mode_refault(struct frontend *fe, const struct options *o)
{
	struct duplex d = { .rng = o->plan.seed };
	uint64_t n = 0;
	int ret = duplex_begin(&d, fe, o);

	say_ready();
	for (; ret == 0 && !stopped(); n++) {
		for (unsigned int i = 1; i < fe->mem.n && ret == 0; i++)
			ret = frontend_mem_punch(fe, i, 0, fe->mem.region[i].size);
		if (ret == 0 && (flood_poll(&d.tx) < 0 || flood_poll(&d.rx) < 0))
			ret = -EPROTO;
	}
	if (ret < 0)
		complain("%s", frontend_error(fe));
	duplex_finish(&d);
	printf("{\"mode\":\"refault\",\"done\":%llu}\n", (unsigned long long)n);
	return ret;
}

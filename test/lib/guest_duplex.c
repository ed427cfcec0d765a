/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Full load both ways, and device resets under it: everything stops where it is, as when a guest's
 * kernel reboots, and begins again with empty rings.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "guest_duplex.h"
#include "rng.h"

int
duplex_begin(struct duplex *d, struct frontend *fe, const struct options *o)
{
	struct flood_conf tx = o->flood, rx = o->flood;
	int ret;

	tx.plan = o->plan;
	rx.size = o->bufsize;
	ret = flood_init(&d->tx, fe, frontend_txq(0), &tx);
	if (ret == 0) {
		ret = flood_init(&d->rx, fe, frontend_rxq(0), &rx);
		if (ret < 0)
			flood_fini(&d->tx);
	}
	if (ret < 0)
		complain("cannot flood: %s", strerror(-ret));
	return ret;
}

void
duplex_finish(struct duplex *d)
{
	d->sent += d->tx.count;
	d->received += d->rx.count;
	flood_fini(&d->tx);
	flood_fini(&d->rx);
}

/* Until so many chains came back each way; without progress no longer than the timeout. */
static int
run(struct duplex *d, struct frontend *fe, const struct options *o, uint64_t chains)
{
	uint64_t seen = 0, end = 0;

	while (!stopped() && (d->tx.count < chains || d->rx.count < chains)) {
		if (flood_poll(&d->tx) < 0 || flood_poll(&d->rx) < 0) {
			complain("%s", d->tx.err != NULL ? d->tx.err : d->rx.err);
			return -EPROTO;
		}
		if (d->tx.count + d->rx.count != seen || end == 0) {
			seen = d->tx.count + d->rx.count;
			end = clock_us() + 1000ULL * o->timeout_ms;
		} else if (!frontend_alive(fe) || clock_us() > end) {
			complain("no more chains come back: %llu sent, %llu received",
					(unsigned long long)d->tx.count,
					(unsigned long long)d->rx.count);
			return -ETIMEDOUT;
		}
	}
	return 0;
}

int
duplex_reset(struct frontend *fe)
{
	int ret = frontend_stop(fe);

	if (ret == 0) {
		frontend_reset(fe);
		ret = frontend_start(fe);
	}
	if (ret < 0)
		complain("%s", frontend_error(fe));
	return ret;
}

int
mode_duplex(struct frontend *fe, const struct options *o)
{
	struct duplex d = { .rng = o->plan.seed };
	unsigned int n = 0;
	int ret = duplex_begin(&d, fe, o);

	while (ret == 0) {
		ret = run(&d, fe, o,
				o->resets == 0 ? UINT64_MAX :
						 rng_range(&d.rng, 1, (uint32_t)o->count));
		duplex_finish(&d);
		if (ret < 0 || stopped() || n == o->resets)
			break;
		ret = duplex_reset(fe);
		n++;
		if (ret == 0)
			ret = duplex_begin(&d, fe, o);
	}
	printf("{\"mode\":\"duplex\",\"resets\":%u,\"sent\":%llu,\"received\":%llu}\n", n,
			(unsigned long long)d.sent, (unsigned long long)d.received);
	return ret;
}

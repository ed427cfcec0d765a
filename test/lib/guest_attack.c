/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that wants all of its worker: one thing that costs the back-end something, again and
 * again, as fast as it goes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

#define BUFFER 2048  /* bytes of a receive buffer */
#define WAIT_US 1000 /* for a frame */

static int
reset(struct frontend *fe)
{
	int ret = frontend_stop(fe);

	if (ret < 0)
		return ret;
	frontend_reset(fe);
	return frontend_start(fe);
}

/* More chains than the ring has stop it for good. */
static int
break_and_reset(struct frontend *fe)
{
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		struct drv_ring *ring = &frontend_tx(fe, i)->ring;

		__atomic_store_n(&ring->split.avail->idx, ring->size + 1, __ATOMIC_RELEASE);
		frontend_kick(fe, frontend_txq(i));
	}
	return reset(fe);
}

static int
reconnect(struct frontend *fe)
{
	int ret;

	frontend_disconnect(fe);
	frontend_reset(fe);
	ret = frontend_connect(fe);
	return ret == 0 ? frontend_start(fe) : ret;
}

/* Every ring off and on, the last ones first. */
static int
toggle(struct frontend *fe)
{
	int ret = 0;

	for (unsigned int i = 2 * fe->conf.pairs; i-- > 0 && ret == 0;)
		ret = frontend_queue_enable(fe, i, false);
	for (unsigned int i = 0; i < 2 * fe->conf.pairs && ret == 0; i++)
		ret = frontend_queue_enable(fe, i, true);
	return ret;
}

/* New memory, and away with it, while posted buffers stay where they are. */
static int
tables(struct frontend *fe)
{
	int region;

	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		int ret = gqueue_rx_fill(frontend_rx(fe, i), 12 + 9216, &layouts[0]);

		if (ret < 0)
			return ret;
		frontend_publish(fe, frontend_rxq(i));
	}
	region = frontend_mem_add(fe, 2 << 20);
	return region < 0 ? region : frontend_mem_del(fe, region);
}

/* When the device has them, and has received into some of them in place. */
static int
reset_receiving(struct frontend *fe)
{
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		int ret = gqueue_rx_fill(frontend_rx(fe, i), BUFFER, &layouts[0]);

		if (ret < 0)
			return ret;
		frontend_publish(fe, frontend_rxq(i));
	}
	frontend_wait_used(fe, frontend_rxq(0), fe->conf.ring_size / 2u, WAIT_US, false);
	return reset(fe);
}

/* The first that the device looks at stops the ring; it's another one each time. */
static int
break_receiving(struct frontend *fe)
{
	static unsigned int turn;

	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		int ret = malformed_rx_post(fe, i, BUFFER, turn++);

		if (ret < 0)
			return ret;
	}
	return reset(fe);
}

static int
kick(struct frontend *fe)
{
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++)
		frontend_kick(fe, i);
	return 0;
}

static const struct {
	const char *mode;
	int (*act)(struct frontend *fe);
} attacks[] = {
	{ "kick", kick },
	{ "reset", reset },
	{ "break", break_and_reset },
	{ "reconnect", reconnect },
	{ "toggle", toggle },
	{ "tables", tables },
	{ "reset-rx", reset_receiving },
	{ "malformed-rx", break_receiving },
};

int
mode_attack(struct frontend *fe, const struct options *o)
{
	unsigned int i = 0;
	uint64_t n = 0;
	int ret = 0;

	while (strcmp(attacks[i].mode, o->mode) != 0)
		i++;
	say_ready();
	for (; ret == 0 && !stopped(); n++)
		ret = attacks[i].act(fe);
	if (ret < 0)
		complain("%s", frontend_error(fe));
	printf("{\"mode\":\"%s\",\"done\":%llu}\n", o->mode, (unsigned long long)n);
	return ret;
}

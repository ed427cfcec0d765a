/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that wants all of its worker: one thing that costs the back-end something, again and
 * again, as fast as it goes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "guest.h"

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
};

int
mode_attack(struct frontend *fe, const struct options *o)
{
	unsigned int i = 0;
	uint64_t n = 0;
	int ret = 0;

	while (strcmp(attacks[i].mode, o->mode) != 0)
		i++;
	for (; ret == 0 && !stopped(); n++)
		ret = attacks[i].act(fe);
	if (ret < 0)
		complain("%s", frontend_error(fe));
	printf("{\"mode\":\"%s\",\"done\":%llu}\n", o->mode, (unsigned long long)n);
	return ret;
}

/* ---- chains that break the rules ---- */

/* Make the one descriptor of a good chain a bad one. */
static void
bend(struct vring_desc *d, uint16_t id)
{
	switch (id % 8) {
	case 0:
		d->flags = VRING_DESC_F_NEXT;
		d->next = id;
		break;
	case 1:
		d->len = 0;
		break;
	case 2:
		d->addr = 1;
		break;
	case 3:
		d->addr = UINT64_MAX - 1;
		break;
	case 4:
		d->flags = VRING_DESC_F_WRITE;
		break;
	case 5:
		d->len = UINT32_MAX;
		break;
	case 6:
		d->flags = VRING_DESC_F_INDIRECT;
		d->len = 24;
		break;
	default:
		d->flags = VRING_DESC_F_INDIRECT;
		d->len = 0xfffffff0;
		break;
	}
}

static int
bad_turns(struct flood *f)
{
	int ret = 0;

	while (ret >= 0 && !stopped())
		ret = flood_poll(f);
	if (ret < 0)
		complain("%s", f->err);
	return ret < 0 ? ret : 0;
}

/* The device gives bad chains back too, in order: a ring full of them stays full. */
int
mode_malformed(struct frontend *fe, const struct options *o)
{
	struct flood f;
	int ret = flood_init(&f, fe, frontend_txq(0), &o->flood);

	if (ret < 0) {
		complain("cannot flood: %s", strerror(-ret));
		return ret;
	}
	for (unsigned int i = 0; i < f.chains; i++)
		bend(&f.q->ring.split.desc[f.head[i]], f.head[i]);
	ret = bad_turns(&f);
	printf("{\"mode\":\"malformed\",\"done\":%llu}\n", (unsigned long long)f.count);
	flood_fini(&f);
	return ret;
}

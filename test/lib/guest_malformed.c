/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose chains break the rules, as many as it can: sent, or posted to receive into.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define KINDS 8

/* Make the one descriptor of a good chain a bad one. */
static void
bend(struct gqueue *q, uint16_t id, unsigned int kind)
{
	struct vring_desc *d = &q->ring.split.desc[id];

	switch (kind % KINDS) {
	case 0:
		d->flags |= VRING_DESC_F_NEXT;
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
		d->flags ^= VRING_DESC_F_WRITE;
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

int
malformed_rx_post(struct frontend *fe, unsigned int pair, uint32_t bytes, unsigned int kind)
{
	struct gqueue *q = frontend_rx(fe, pair);

	for (unsigned int i = 0; i < KINDS; i++) {
		int id = gqueue_rx_post(q, bytes, &layouts[0]);

		if (id < 0)
			return id;
		bend(q, (uint16_t)id, kind + i);
	}
	frontend_publish(fe, frontend_rxq(pair));
	return 0;
}

static int
begin(struct flood *f, struct frontend *fe, unsigned int pair, const struct options *o)
{
	int ret = flood_init(f, fe, frontend_txq(pair), &o->flood);

	if (ret < 0) {
		complain("cannot flood queue %u: %s", pair, strerror(-ret));
		return ret;
	}
	for (unsigned int i = 0; i < f->chains; i++)
		bend(f->q, f->head[i], f->head[i]);
	return 0;
}

static int
turn(struct flood *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (flood_poll(&f[i]) < 0) {
			complain("queue %u: %s", i, f[i].err);
			return -EPROTO;
		}
	}
	return 0;
}

static void
finish(struct flood *f, unsigned int n)
{
	unsigned long long done = 0;

	for (unsigned int i = 0; i < n; i++) {
		done += f[i].count;
		flood_fini(&f[i]);
	}
	printf("{\"mode\":\"malformed\",\"done\":%llu}\n", done);
	free(f);
}

/* The device gives bad chains back too, in order: rings full of them stay full. */
int
mode_malformed(struct frontend *fe, const struct options *o)
{
	struct flood *f = calloc(fe->conf.pairs, sizeof(*f));
	int ret = f == NULL ? -ENOMEM : 0;

	for (unsigned int i = 0; i < fe->conf.pairs && ret == 0; i++)
		ret = begin(&f[i], fe, i, o);
	say_ready();
	while (ret == 0 && !stopped())
		ret = turn(f, fe->conf.pairs);
	finish(f, f == NULL ? 0 : fe->conf.pairs);
	return ret;
}

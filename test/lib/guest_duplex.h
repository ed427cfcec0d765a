/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Full load both ways on the first pair of queues.
 */
#ifndef GUEST_DUPLEX_H
#define GUEST_DUPLEX_H

#include "guest.h"

struct duplex {
	struct flood tx, rx;
	uint64_t sent, received; /* before the last reset */
	uint64_t rng;
};

/** Begin on empty rings; complains. */
int duplex_begin(struct duplex *d, struct frontend *fe, const struct options *o);
void duplex_finish(struct duplex *d);

/** Reset the device: rings are empty again; complains. */
int duplex_reset(struct frontend *fe);

#endif

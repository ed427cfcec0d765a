/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Repeatable random numbers (splitmix64): any 64-bit seed is a good one, mixing included.
 */
#ifndef RNG_H
#define RNG_H

#include <stdint.h>

static inline uint64_t
rng_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/** A number from @p lo to @p hi, both included. */
static inline uint32_t
rng_range(uint64_t *state, uint32_t lo, uint32_t hi)
{
	return lo + (uint32_t)(rng_next(state) % ((uint64_t)hi - lo + 1));
}

#endif

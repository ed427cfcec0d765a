/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time for tests: microseconds that never go back, and cycles where the machine has them.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t
clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void
clock_nap_us(unsigned int us)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)us * 1000 }, NULL);
}

/* Constant-rate cycles, or nanoseconds. */
static inline uint64_t
clock_cycles(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
#endif
}

static inline void
clock_pause(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

#endif

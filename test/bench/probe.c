/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What state the machine is in: TSC cycles of a fixed loop on one core, and of a cache line's
 * way to another core and back. Virtual machines have fast and slow spells; figures taken in
 * different ones say nothing about the programs compared.
 *
 *   probe CPU_A CPU_B    {"line": cycles of a round trip, "loop": of 100,000 dependent steps}
 *
 * Low quantiles, so that being preempted for a while changes nothing.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#define ROUNDS 4000
#define LOOPS 15
#define STEPS 100000

static uint32_t line __attribute__((aligned(128)));

static void
pin(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Odd values come from here, even ones from the other core. */
static void *
echo(void *cpu)
{
	pin(cpu);
	for (uint32_t want = 1; want < 2 * ROUNDS; want += 2) {
		while (__atomic_load_n(&line, __ATOMIC_ACQUIRE) != want)
			_mm_pause();
		__atomic_store_n(&line, want + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static uint64_t
line_cycles(void)
{
	static uint64_t took[ROUNDS];

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t start = __rdtsc();

		__atomic_store_n(&line, 2 * i + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&line, __ATOMIC_ACQUIRE) != 2 * i + 2)
			_mm_pause();
		took[i] = __rdtsc() - start;
	}
	qsort(took, ROUNDS, sizeof(took[0]), compare);
	return took[ROUNDS / 4];
}

static uint64_t
loop_cycles(void)
{
	uint64_t took[LOOPS], x = 1;

	for (int i = 0; i < LOOPS; i++) {
		uint64_t start = __rdtsc();

		for (int k = 0; k < STEPS; k++)
			__asm__ volatile("imul $17, %0, %0" : "+r"(x));
		took[i] = __rdtsc() - start;
	}
	qsort(took, LOOPS, sizeof(took[0]), compare);
	return took[LOOPS / 4];
}

int
main(int argc, char **argv)
{
	pthread_t thread;
	uint64_t cycles;

	if (argc != 3 || pthread_create(&thread, NULL, echo, argv[1]) != 0)
		return 2;
	pin(argv[2]);
	cycles = line_cycles();
	pthread_join(thread, NULL);
	printf("{\"line\": %llu, \"loop\": %llu}\n", (unsigned long long)cycles,
			(unsigned long long)loop_cycles());
	return 0;
}

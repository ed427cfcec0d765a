/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking for a cache line that is going to be written. */
#ifndef ZC_CORE_PREFETCH_H
#define ZC_CORE_PREFETCH_H

#include <rte_prefetch.h>

/**
 * Ask for the line at @p p, and take it from whoever has it.
 *
 * rte_prefetch0_write() is a prefetch for reading unless the compiler may use PREFETCHW, which the
 * -march of distributions' DPDK doesn't have: the store would wait for the other core all the same.
 * Every x86-64 processor executes the instruction; those before Broadwell take it as a hint to do
 * nothing (Intel SDM volume 2, PREFETCHW).
 */
static inline void
zc_prefetch_write(const void *p)
{
#ifdef __x86_64__
	asm volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	rte_prefetch0_write(p);
#endif
}

#endif

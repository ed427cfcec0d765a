/* SPDX-License-Identifier: BSD-3-Clause */
/* The SIGBUS handler, and the ranges that it looks through. */
#include "lost.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <rte_common.h>
#include <rte_memory.h>

struct zc_range {
	uintptr_t begin; /* 0: unused */
	uintptr_t end;
	bool lost; /* the handler writes */
	struct zc_range *next;
};

static struct zc_range *ranges; /* grows at its head, with release order */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
/* No allocation at the first touch, which may be in the handler. */
static __thread bool guarded __attribute__((tls_model("initial-exec")));

/* ---- in the handler: no lock, no allocation ---- */

static struct zc_range *
find(uintptr_t addr)
{
	struct zc_range *range = __atomic_load_n(&ranges, __ATOMIC_ACQUIRE);

	for (; range != NULL; range = range->next) {
		uintptr_t begin = __atomic_load_n(&range->begin, __ATOMIC_ACQUIRE);
		uintptr_t end = __atomic_load_n(&range->end, __ATOMIC_ACQUIRE);

		/* The same begin again: the end belongs to it. */
		if (begin != 0 && addr - begin < end - begin &&
				__atomic_load_n(&range->begin, __ATOMIC_ACQUIRE) == begin)
			return range;
	}
	return NULL;
}

static bool
put_zeros(uintptr_t begin, size_t len)
{
	void *at = (void *)begin;

	return mmap(at, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			       0) == at;
}

/* A page of unknown size: a huge one can't be replaced in part. */
static bool
put_zero_page(uintptr_t addr)
{
	static const size_t size[] = { 4096, 2ULL << 20, 1ULL << 30 };

	if (rte_mem_virt2memseg_list((void *)addr) != NULL)
		return false; /* our own hugepages */
	for (size_t i = 0; i < RTE_DIM(size); i++)
		if (put_zeros(addr & ~(size[i] - 1), size[i]))
			return true;
	return false;
}

static bool
replace(uintptr_t addr)
{
	struct zc_range *range = find(addr);

	if (range == NULL)
		return guarded && put_zero_page(addr);
	if (!put_zeros(range->begin, range->end - range->begin))
		return false;
	__atomic_store_n(&range->lost, true, __ATOMIC_RELEASE);
	return true;
}

static void
pass_on(int sig, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, info, context);
	} else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
	} else {
		/* The instruction runs again, and that ends the program. */
		sigaction(SIGBUS, &previous, NULL);
		if (info->si_code <= 0)
			raise(sig);
	}
}

static void
on_sigbus(int sig, siginfo_t *info, void *context)
{
	int err = errno;

	/* Positive: the kernel says so, and the address is that of a fault. */
	if (info->si_code <= 0 || !replace((uintptr_t)info->si_addr))
		pass_on(sig, info, context);
	errno = err;
}

/* ---- control ---- */

int
zc_lost_init(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	return sigaction(SIGBUS, &action, &previous) == 0 ? 0 : -errno;
}

void
zc_lost_fini(void)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
			now.sa_sigaction == on_sigbus)
		sigaction(SIGBUS, &previous, NULL);
}

static struct zc_range *
unused_range(void)
{
	struct zc_range *range = ranges;

	while (range != NULL && range->begin != 0)
		range = range->next;
	if (range != NULL)
		return range;
	range = calloc(1, sizeof(*range));
	if (range == NULL)
		return NULL;
	range->next = ranges;
	__atomic_store_n(&ranges, range, __ATOMIC_RELEASE);
	return range;
}

struct zc_range *
zc_lost_watch(void *base, size_t len)
{
	struct zc_range *range;

	pthread_mutex_lock(&lock);
	range = unused_range();
	if (range != NULL) {
		range->lost = false;
		__atomic_store_n(&range->end, (uintptr_t)base + len, __ATOMIC_RELEASE);
		__atomic_store_n(&range->begin, (uintptr_t)base, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return range;
}

void
zc_lost_unwatch(struct zc_range *range)
{
	pthread_mutex_lock(&lock);
	__atomic_store_n(&range->begin, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

bool
zc_lost_is(const struct zc_range *range)
{
	return __atomic_load_n(&range->lost, __ATOMIC_ACQUIRE);
}

void
zc_lost_guard_thread(void)
{
	guarded = true;
}

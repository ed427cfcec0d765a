/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory that goes away: a front-end can shrink its file, or punch a hole that no hugepage is
 * left for, at any time. Touching such a page raises SIGBUS.
 *
 * Sealed files can't shrink, but hugetlbfs knows no seals and not every front-end sets them, so we
 * go on instead: the handler puts zeroed private memory in place of the whole range and marks it
 * lost; the instruction runs again and finds zeros. Housekeeping sees the mark and takes that port
 * down, rings and all, as if nothing had happened to its memory. What a NIC has pinned stays as it
 * was.
 *
 * A SIGBUS anywhere else is what it always was. Ranges are never freed, only used again, so that
 * the handler can look through them without a lock.
 */
#ifndef ZC_GUEST_LOST_H
#define ZC_GUEST_LOST_H

#include <stdbool.h>
#include <stddef.h>

struct zc_range;

/** Take SIGBUS over; who had it before gets what isn't ours. 0 or a negative errno. */
int zc_lost_init(void);

/** Give it back, unless somebody has taken it over since. */
void zc_lost_fini(void);

/** Watch a mapping. @return NULL: out of memory */
struct zc_range *zc_lost_watch(void *base, size_t len);

/** Before the mapping goes; nobody touches it any more. */
void zc_lost_unwatch(struct zc_range *range);

/** Has memory of it been lost? Any thread. */
bool zc_lost_is(const struct zc_range *range);

/**
 * The calling thread touches memory of guests that others have mapped: librte_vhost does, where
 * we can't know it in time. Pages of files that it misses are replaced too, one by one.
 */
void zc_lost_guard_thread(void);

#endif

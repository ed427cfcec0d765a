/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters of one direction of one queue. Only the owner lcore adds; control reads, and clears
 * by remembering a base, so that the owner's line is never written by anybody else.
 */
#ifndef ZC_CORE_COUNTERS_H
#define ZC_CORE_COUNTERS_H

#include <stdint.h>

#include <zcnet/stats.h>

struct zc_counters {
	uint64_t value[ZCNET_QUEUE_COUNTER_COUNT]; /* owner */
	uint64_t base[ZCNET_QUEUE_COUNTER_COUNT];  /* control */
};

#define ZC_COUNT(counters, name, n) ((counters)->value[ZCNET_Q_##name] += (n))

/** Add what was counted since the last clear to @p sum. */
void zc_counters_add_to(const struct zc_counters *counters,
		uint64_t sum[ZCNET_QUEUE_COUNTER_COUNT]);

void zc_counters_clear(struct zc_counters *counters);

#endif

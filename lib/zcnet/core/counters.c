/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and clearing counters that somebody else is adding to. */
#include "counters.h"

#include <stddef.h>

#include "export.h"

static const struct {
	const char *name;
	const char *text;
} queue_counter[ZCNET_QUEUE_COUNTER_COUNT] = {
#define ZC_COUNTER_ROW(name, text) [ZCNET_Q_##name] = { #name, text },
	ZCNET_QUEUE_COUNTERS(ZC_COUNTER_ROW)
#undef ZC_COUNTER_ROW
};

ZC_EXPORT const char *
zcnet_queue_counter_name(unsigned int counter)
{
	return counter < ZCNET_QUEUE_COUNTER_COUNT ? queue_counter[counter].name : NULL;
}

ZC_EXPORT const char *
zcnet_queue_counter_text(unsigned int counter)
{
	return counter < ZCNET_QUEUE_COUNTER_COUNT ? queue_counter[counter].text : NULL;
}

void
zc_counters_add_to(const struct zc_counters *counters, uint64_t sum[ZCNET_QUEUE_COUNTER_COUNT])
{
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		sum[i] += __atomic_load_n(&counters->value[i], __ATOMIC_RELAXED) -
				counters->base[i];
}

void
zc_counters_clear(struct zc_counters *counters)
{
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		counters->base[i] = __atomic_load_n(&counters->value[i], __ATOMIC_RELAXED);
}

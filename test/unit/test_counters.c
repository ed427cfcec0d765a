/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters: each has a name and a text, clearing never writes the owner's line.
 */
#include "rig.h"

#include "core/counters.h"

static void
every_counter_is_named(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++) {
		const char *name = zcnet_queue_counter_name(i);

		assert_non_null(name);
		assert_non_null(zcnet_queue_counter_text(i));
		assert_true(strlen(zcnet_queue_counter_text(i)) > 5);
		for (unsigned int k = 0; k < i; k++)
			assert_string_not_equal(zcnet_queue_counter_name(k), name);
	}
	assert_string_equal(zcnet_queue_counter_name(ZCNET_Q_copy_small), "copy_small");
	assert_null(zcnet_queue_counter_name(ZCNET_QUEUE_COUNTER_COUNT));
	assert_null(zcnet_queue_counter_text(ZCNET_QUEUE_COUNTER_COUNT));
	assert_null(zcnet_queue_counter_name(UINT32_MAX));
}

static void
clear_keeps_the_values(void **state)
{
	uint64_t sum[ZCNET_QUEUE_COUNTER_COUNT] = { 0 };
	struct zc_counters c = { 0 }, other = { 0 };

	(void)state;
	ZC_COUNT(&c, frames, 5);
	ZC_COUNT(&c, frames, 2);
	ZC_COUNT(&c, broken, 1);
	ZC_COUNT(&other, frames, 100);
	zc_counters_add_to(&c, sum);
	zc_counters_add_to(&other, sum);
	assert_int_equal(sum[ZCNET_Q_frames], 107);
	assert_int_equal(sum[ZCNET_Q_broken], 1);
	assert_int_equal(sum[ZCNET_Q_bytes], 0);
	zc_counters_clear(&c);
	assert_int_equal(c.value[ZCNET_Q_frames], 7);
	ZC_COUNT(&c, frames, 3);
	memset(sum, 0, sizeof(sum));
	zc_counters_add_to(&c, sum);
	assert_int_equal(sum[ZCNET_Q_frames], 3);
	assert_int_equal(sum[ZCNET_Q_broken], 0);
}

static void
counters_go_through_2_64(void **state)
{
	uint64_t sum[ZCNET_QUEUE_COUNTER_COUNT] = { 0 };
	struct zc_counters c = { .value = { [ZCNET_Q_bytes] = UINT64_MAX - 1 } };

	(void)state;
	zc_counters_clear(&c);
	ZC_COUNT(&c, bytes, 10);
	zc_counters_add_to(&c, sum);
	assert_int_equal(sum[ZCNET_Q_bytes], 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_is_named),
		cmocka_unit_test(clear_keeps_the_values),
		cmocka_unit_test(counters_go_through_2_64),
	};

	return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}

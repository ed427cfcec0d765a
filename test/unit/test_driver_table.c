/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver table: who may do what is decided by a row, and nobody gets one by accident.
 */
#include "rig.h"

#include "port/driver.h"

static void
unknown_drivers_have_no_row(void **state)
{
	static const char *const names[] = { "", "net_", "net_tap0", "net_ta", "NET_TAP",
		"net_bonding", "net_tap ", "net_virtio_user", "net_mlx5", "net_ixgbe_vf" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_null(zc_driver_find(names[i]));
		assert_false(zc_driver_sends(zc_driver_find(names[i])));
		assert_false(zc_driver_arms(zc_driver_find(names[i])));
	}
}

static void
rows_make_sense(void **state)
{
	static const struct {
		const char *name;
		bool dma, proven, sends, arms;
	} rows[] = {
		{ "net_tap", false, true, true, true },
		{ "net_null", false, true, true, true },
		{ "net_af_packet", false, true, true, false },
		{ "net_af_xdp", false, false, true, false },
		{ "net_ring", false, true, true, false },
		{ "net_e1000_em", true, true, true, true },
		{ "net_e1000_igb", true, true, true, true },
		{ "net_vmxnet3", true, true, true, true },
		{ "net_ixgbe", true, false, true, true },
		{ "net_i40e", true, false, true, true },
		{ "net_ice", true, false, true, true },
		{ "net_iavf", true, false, true, true },
		{ "mlx5_pci", true, false, false, true },
		{ "net_virtio", true, false, false, false },
		{ "net_ena", true, false, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct zc_driver *d = zc_driver_find(rows[i].name);

		assert_non_null(d);
		assert_string_equal(d->name, rows[i].name);
		/* What does DMA gets zero copy behind an IOMMU only. */
		assert_int_equal(d->dma, rows[i].dma);
		assert_int_equal(d->proven, rows[i].proven);
		assert_int_equal(zc_driver_sends(d), rows[i].sends);
		assert_int_equal(zc_driver_arms(d), rows[i].arms);
		/* The last descriptor tells of its frame only when each frame reports. */
		if (d->tx_done & ZC_DONE_STATUS)
			assert_int_equal(d->tx_rs_thresh, 1);
		assert_true(d->segs_max >= 1 && d->segs_tso >= d->segs_max);
		assert_true(d->dma || !d->own_map);
	}
}

/* Not in step with what is posted, or written where nobody may: never armed. */
static void
order_and_bytes_in_front_forbid_arming(void **state)
{
	struct zc_driver driver = { .name = "some" };

	(void)state;
	assert_true(zc_driver_arms(&driver));
	driver.rx_order = ZC_RX_UNORDERED;
	assert_false(zc_driver_arms(&driver));
	driver.rx_order = ZC_RX_FOREIGN;
	assert_false(zc_driver_arms(&driver));
	driver.rx_order = ZC_RX_FIFO;
	driver.rx_before = 10;
	assert_false(zc_driver_arms(&driver));
}

/* A driver that doesn't tell when it is done can't have a guest's buffer. */
static void
without_completion_nothing_is_sent(void **state)
{
	struct zc_driver driver = { .name = "some", .tx_done = ZC_DONE_CLEANUP };

	(void)state;
	assert_true(zc_driver_sends(&driver));
	driver.tx_done = 0;
	assert_false(zc_driver_sends(&driver));
}

/* net_tap keeps a chain of receive buffers and puts new ones at its head. */
static void
tap_has_one_receive_descriptor(void **state)
{
	(void)state;
	assert_int_equal(zc_driver_find("net_tap")->rx_desc, 1);
}

/* The second command ring is never filled: it has to get host buffers. */
static void
vmxnet3_has_a_second_ring(void **state)
{
	(void)state;
	assert_true(zc_driver_find("net_vmxnet3")->second_ring);
	assert_false(zc_driver_find("net_e1000_em")->second_ring);
}

/* What mlx5 doesn't use it keeps for a round of its ring; ice doesn't split at a length. */
static void
frames_are_split_where_order_holds(void **state)
{
	(void)state;
	assert_int_equal(zc_driver_find("mlx5_pci")->split_max, 59);
	assert_int_equal(zc_driver_find("net_ice")->split_max, 0);
	assert_non_null(zc_driver_find("net_ice")->no_split);
	assert_int_equal(zc_driver_find("net_i40e")->split_max, 0);
}

/* What a NIC is told is rounded down to its steps: the frame must fit what is left. */
static void
buffers_are_rounded_up_to_the_steps(void **state)
{
	static const struct {
		enum zc_granularity grain;
		uint32_t frame, capacity;
	} cases[] = {
		{ ZC_GRAIN_BYTE, 1518, 1518 },
		{ ZC_GRAIN_BYTE, 9018, 9018 },
		{ ZC_GRAIN_128, 1518, 1536 },
		{ ZC_GRAIN_128, 1530, 1664 }, /* with a second VLAN tag and CRC it is 1538 */
		{ ZC_GRAIN_128, 9018, 9088 },
		{ ZC_GRAIN_1K, 1518, 2048 },
		{ ZC_GRAIN_1K, 2042, 3072 },
		{ ZC_GRAIN_1K, 9018, 9216 },
		{ ZC_GRAIN_POWER, 600, 2048 },
		{ ZC_GRAIN_POWER, 1518, 2048 },
		{ ZC_GRAIN_POWER, 2041, 4096 },
		{ ZC_GRAIN_POWER, 9018, 16384 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zc_driver driver = { .grain = cases[i].grain };
		uint32_t capacity = zc_driver_capacity(&driver, cases[i].frame);

		assert_int_equal(capacity, cases[i].capacity);
		assert_int_equal(zc_driver_usable(&driver, capacity), capacity);
	}
}

/* What is left of the buffers that guests post: stock Linux, and DPDK. */
static void
guests_buffers_are_rounded_down(void **state)
{
	static const struct {
		uint32_t bytes, by_128, by_1k, by_power;
	} cases[] = {
		{ 0, 0, 0, 0 },
		{ 1518, 1408, 1024, 1024 },
		{ 1524, 1408, 1024, 1024 },
		{ 2048, 2048, 2048, 2048 },
		{ 4080, 3968, 3072, 2048 },
	};
	const struct zc_driver by_128 = { .grain = ZC_GRAIN_128 };
	const struct zc_driver by_1k = { .grain = ZC_GRAIN_1K };
	const struct zc_driver by_power = { .grain = ZC_GRAIN_POWER };
	const struct zc_driver by_byte = { .grain = ZC_GRAIN_BYTE };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(zc_driver_usable(&by_128, cases[i].bytes), cases[i].by_128);
		assert_int_equal(zc_driver_usable(&by_1k, cases[i].bytes), cases[i].by_1k);
		assert_int_equal(zc_driver_usable(&by_power, cases[i].bytes), cases[i].by_power);
		assert_int_equal(zc_driver_usable(&by_byte, cases[i].bytes), cases[i].bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_drivers_have_no_row),
		cmocka_unit_test(rows_make_sense),
		cmocka_unit_test(order_and_bytes_in_front_forbid_arming),
		cmocka_unit_test(without_completion_nothing_is_sent),
		cmocka_unit_test(tap_has_one_receive_descriptor),
		cmocka_unit_test(vmxnet3_has_a_second_ring),
		cmocka_unit_test(frames_are_split_where_order_holds),
		cmocka_unit_test(buffers_are_rounded_up_to_the_steps),
		cmocka_unit_test(guests_buffers_are_rounded_down),
	};

	return cmocka_run_group_tests_name("driver_table", tests, NULL, NULL);
}

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
		"net_bonding", "net_tap ", "net_virtio_user" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_null(zc_driver_find(names[i]));
}

static void
rows_make_sense(void **state)
{
	static const struct {
		const char *name;
		bool dma;
	} rows[] = { { "net_tap", false }, { "net_null", false }, { "net_af_packet", false },
		{ "net_ring", false }, { "net_e1000_em", true }, { "net_vmxnet3", true } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct zc_driver *d = zc_driver_find(rows[i].name);

		assert_non_null(d);
		assert_string_equal(d->name, rows[i].name);
		/* What does DMA gets zero copy behind an IOMMU only. */
		assert_int_equal(d->dma, rows[i].dma);
		/* The last descriptor tells of its frame only when each frame reports. */
		if (d->tx_done == ZC_DONE_STATUS)
			assert_int_equal(d->tx_rs_thresh, 1);
		assert_true(d->segs_max >= 1);
		assert_true(d->tx_attach || d->rx_arm);
	}
}

/* net_tap keeps a chain of receive buffers and puts new ones at its head. */
static void
tap_has_one_receive_descriptor(void **state)
{
	(void)state;
	assert_true(zc_driver_find("net_tap")->rx_arm);
	assert_int_equal(zc_driver_find("net_tap")->rx_desc, 1);
}

/* What net_ring receives lies wherever the other side took it from. */
static void
ring_is_never_armed(void **state)
{
	(void)state;
	assert_false(zc_driver_find("net_ring")->rx_arm);
	assert_true(zc_driver_find("net_ring")->tx_attach);
}

/* The second command ring is never filled: it has to get host buffers. */
static void
vmxnet3_has_a_second_ring(void **state)
{
	(void)state;
	assert_true(zc_driver_find("net_vmxnet3")->second_ring);
	assert_false(zc_driver_find("net_e1000_em")->second_ring);
}

/* A receive length is rounded to powers of two: other buffers are left short. */
static void
em_writes_powers_of_two(void **state)
{
	(void)state;
	assert_int_equal(zc_driver_find("net_e1000_em")->grain, ZC_GRAIN_POWER);
	assert_int_equal(zc_driver_find("net_vmxnet3")->grain, ZC_GRAIN_BYTE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_drivers_have_no_row),
		cmocka_unit_test(rows_make_sense),
		cmocka_unit_test(tap_has_one_receive_descriptor),
		cmocka_unit_test(ring_is_never_armed),
		cmocka_unit_test(vmxnet3_has_a_second_ring),
		cmocka_unit_test(em_writes_powers_of_two),
	};

	return cmocka_run_group_tests_name("driver_table", tests, NULL, NULL);
}

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
	static const char *const names[] = { "net_tap", "net_null", "net_af_packet", "net_ring" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct zc_driver *d = zc_driver_find(names[i]);

		assert_non_null(d);
		assert_string_equal(d->name, names[i]);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_drivers_have_no_row),
		cmocka_unit_test(rows_make_sense),
		cmocka_unit_test(tap_has_one_receive_descriptor),
		cmocka_unit_test(ring_is_never_armed),
	};

	return cmocka_run_group_tests_name("driver_table", tests, NULL, NULL);
}

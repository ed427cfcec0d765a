/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A NIC port on net_null, with whatever row of the driver table a test wants it to have.
 */
#include "rig.h"

#include <ctype.h>
#include <stdio.h>

#include <rte_ethdev.h>
#include <zcnet/zcnet.h>

#include "core/quiesce.h"
#include "eal.h"

#define zc_driver_find table_find
#include "port/driver.c"
#undef zc_driver_find

const struct zc_driver *zc_driver_find(const char *name);

static struct zc_driver row;

const struct zc_driver *
zc_driver_find(const char *name)
{
	assert_string_equal(name, "net_null");
	return &row;
}

static struct zcnet_port *
create(const char *args, bool zerocopy)
{
	static unsigned int count;
	struct zcnet_ethdev_conf conf;
	char device[64];

	snprintf(device, sizeof(device), "net_null%u%s", count++, args);
	zcnet_ethdev_conf_init(&conf);
	conf.name = "nic";
	conf.device = device;
	conf.zerocopy = zerocopy;
	return zcnet_port_ethdev_create(&conf);
}

static void
accepts(const char *args, bool zerocopy)
{
	struct zcnet_port *port = create(args, zerocopy);

	assert_non_null(port);
	assert_int_equal(zcnet_port_destroy(port), 0);
}

static void
refused_arguments_are_named(void **state)
{
	static const char *const refused[] = { "size", "copy", NULL };

	(void)state;
	row = *table_find("net_null");
	row.refused_args = refused;
	accepts("", true);
	accepts(",copy=0,no-rx=1", true);
	assert_null(create(",copy=1", true));
	assert_int_equal(rte_errno, EINVAL);
	assert_non_null(strstr(zcnet_last_error(), "copy doesn't go with zero copy"));
	accepts(",copy=1", false);
}

/* Without an IOMMU in front of it a NIC that does DMA copies, and a driver's word is a row. */
static void
a_nic_that_does_dma_needs_an_iommu(void **state)
{
	struct zcnet_port_info info;
	struct zcnet_port *port;

	(void)state;
	row = *table_find("net_null");
	row.dma = true;
	port = create("", true);
	assert_non_null(port);
	assert_int_equal(zcnet_port_info_get(port, &info), 0);
	assert_false(info.zerocopy_tx || info.zerocopy_rx);
	assert_non_null(strstr(info.note, "no IOMMU"));
	assert_int_equal(zcnet_port_destroy(port), 0);
}

static void
transmit_offloads_are_segments_alone(void **state)
{
	struct zcnet_port_info info;
	struct rte_eth_conf conf;
	struct zcnet_port *port;

	(void)state;
	row = *table_find("net_null");
	port = create("", true);
	assert_non_null(port);
	assert_int_equal(zcnet_port_info_get(port, &info), 0);
	assert_int_equal(rte_eth_dev_conf_get(info.port_id, &conf), 0);
	assert_int_equal(conf.txmode.offloads & ~RTE_ETH_TX_OFFLOAD_MULTI_SEGS, 0);
	assert_int_equal(zcnet_port_destroy(port), 0);
}

static const struct zcnet_cap *
find(const struct zcnet_cap *caps, int n, const char *name)
{
	int i = 0;

	while (i < n - 1 && strcmp(caps[i].name, name) != 0)
		i++;
	assert_string_equal(caps[i].name, name);
	return &caps[i];
}

/* Every row fits, in names that telemetry takes and in texts that aren't cut. */
static void
every_row_can_be_shown(void **state)
{
	struct zcnet_cap caps[ZCNET_CAPS_MAX];

	(void)state;
	for (size_t i = 0; i < RTE_DIM(drivers); i++) {
		struct zcnet_port *port;
		int n;

		row = drivers[i];
		port = create("", true);
		assert_non_null(port);
		n = zcnet_port_caps_get(port, caps);
		assert_true(n > 0 && n <= ZCNET_CAPS_MAX);
		for (int k = 0; k < n; k++) {
			for (const char *c = caps[k].name; *c != '\0'; c++)
				assert_true(isalnum((unsigned char)*c) || *c == '_');
			assert_true(strlen(caps[k].value) < sizeof(caps[k].value) - 1);
			assert_true(strlen(caps[k].use) < sizeof(caps[k].use) - 1);
		}
		assert_int_equal(strstr(find(caps, n, "driver")->use, "by no test") == NULL,
				row.proven);
		assert_int_equal(strcmp(find(caps, n, "tx_done")->value, "not told") == 0,
				row.tx_done == 0);
		assert_int_equal(zcnet_port_destroy(port), 0);
	}
}

/* Which guests go in place on which steps, at an MTU of 1500. */
static void
guests_that_fit(void **state)
{
	static const struct {
		enum zc_granularity grain;
		bool mergeable, small, big, dpdk;
	} cases[] = {
		{ ZC_GRAIN_BYTE, true, true, true, true },
		{ ZC_GRAIN_128, false, false, true, true },
		{ ZC_GRAIN_1K, false, false, true, true },
		{ ZC_GRAIN_POWER, false, false, true, true },
	};
	struct zcnet_cap caps[ZCNET_CAPS_MAX];

	(void)state;
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct zcnet_port *port;
		int n;

		row = *table_find("net_null");
		row.grain = cases[i].grain;
		port = create("", true);
		assert_non_null(port);
		n = zcnet_port_caps_get(port, caps);
#define IN_PLACE(name) (strstr(find(caps, n, name)->use, "in place") != NULL)
		assert_int_equal(IN_PLACE("guest_mergeable"), cases[i].mergeable);
		assert_int_equal(IN_PLACE("guest_small"), cases[i].small);
		assert_int_equal(IN_PLACE("guest_big"), cases[i].big);
		assert_int_equal(IN_PLACE("guest_dpdk"), cases[i].dpdk);
		assert_int_equal(zcnet_port_destroy(port), 0);
	}
}

static int
group_setup(void **state)
{
	int ret = unit_eal_init(state);

	return ret < 0 ? ret : zc_quiesce_init();
}

static int
group_teardown(void **state)
{
	zc_quiesce_fini();
	return unit_eal_fini(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_arguments_are_named),
		cmocka_unit_test(a_nic_that_does_dma_needs_an_iommu),
		cmocka_unit_test(transmit_offloads_are_segments_alone),
		cmocka_unit_test(every_row_can_be_shown),
		cmocka_unit_test(guests_that_fit),
	};

	return cmocka_run_group_tests_name("ethdev", tests, group_setup, group_teardown);
}

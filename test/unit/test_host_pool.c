/* SPDX-License-Identifier: BSD-3-Clause */
/* What NICs may hold of the host's mbufs is reserved, and so never what others need. */
#include "rig.h"

#include "core/error.h"
#include "eal.h"
#include "port/host_pool.h"

#define RINGS 1024u /* descriptors of a NIC */
#define NICS 9

/* Frames that are under way to NICs whose rings hold all that they can. */
#define UNDER_WAY 1024

static void
hold(struct rte_mempool *mp, void **held, unsigned int n)
{
	assert_int_equal(rte_mempool_get_bulk(mp, held, n), 0);
}

static void
silent_nics_starve_nobody(void **state)
{
	static void *held[NICS][RINGS], *frames[UNDER_WAY];
	struct rte_mempool *mp[NICS];

	(void)state;
	for (unsigned int i = 0; i < NICS; i++) {
		mp[i] = zc_host_pool_reserve(0, RINGS);
		assert_non_null(mp[i]);
		hold(mp[i], held[i], RINGS);
	}
	for (unsigned int i = 0; i < NICS; i++) {
		hold(mp[i], frames, UNDER_WAY);
		rte_mempool_put_bulk(mp[i], frames, UNDER_WAY);
	}
	for (unsigned int i = 0; i < NICS; i++) {
		rte_mempool_put_bulk(mp[i], held[i], RINGS);
		zc_host_pool_unreserve(mp[i], RINGS);
	}
}

static void
what_is_given_up_is_reserved_again(void **state)
{
	struct rte_mempool *mp = zc_host_pool_reserve(0, RINGS);

	(void)state;
	zc_host_pool_unreserve(mp, RINGS);
	for (unsigned int i = 0; i < NICS; i++) {
		assert_ptr_equal(zc_host_pool_reserve(0, RINGS), mp);
		zc_host_pool_unreserve(mp, RINGS);
	}
}

static void
any_node_will_do(void **state)
{
	struct rte_mempool *mp = zc_host_pool_reserve(0, 0);

	(void)state;
	assert_ptr_equal(zc_host_pool_reserve(SOCKET_ID_ANY, 0), mp);
}

static void
rings_larger_than_a_pool(void **state)
{
	unsigned int n = 20000;
	struct rte_mempool *mp = zc_host_pool_reserve(0, n);

	(void)state;
	assert_non_null(mp);
	assert_true(mp->size > n);
	zc_host_pool_unreserve(mp, n);
}

static void
too_large_is_said(void **state)
{
	(void)state;
	assert_null(zc_host_pool_reserve(0, 10000000));
	assert_non_null(strstr(zc_last_error(), "more memory (-m)"));
}

static int
teardown(void **state)
{
	(void)state;
	zc_host_pool_fini();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(silent_nics_starve_nobody, teardown),
		cmocka_unit_test_teardown(what_is_given_up_is_reserved_again, teardown),
		cmocka_unit_test_teardown(any_node_will_do, teardown),
		cmocka_unit_test_teardown(rings_larger_than_a_pool, teardown),
		cmocka_unit_test_teardown(too_large_is_said, teardown),
	};

	return cmocka_run_group_tests(tests, unit_eal_init, unit_eal_fini);
}

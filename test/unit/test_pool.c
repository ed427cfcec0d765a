/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pools behind zero copy: mbufs as drivers want them, calls forwarded to the owner, and an mbuf
 * that comes back once whoever lets go of it last.
 */
#include "rig.h"

#include "eal.h"
#include "zcopy/pool.h"

#define SIZE 64
#define CAPACITY 2048

static struct zc_pool pool;
static struct rte_mempool *host_mp;
static struct rte_mbuf *stock[SIZE]; /* what the owner has */
static unsigned int nstock, enqueued;

static int
stock_dequeue(struct zc_pool *p, struct rte_mbuf **obj, unsigned int n)
{
	assert_ptr_equal(p, &pool);
	if (n > nstock)
		return -ENOBUFS;
	for (unsigned int i = 0; i < n; i++)
		obj[i] = stock[--nstock];
	return 0;
}

static void
stock_enqueue(struct zc_pool *p, struct rte_mbuf *const *obj, unsigned int n)
{
	assert_ptr_equal(p, &pool);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(nstock < SIZE);
		stock[nstock++] = obj[i];
		enqueued++;
	}
}

static unsigned int
stock_count(const struct zc_pool *p)
{
	assert_ptr_equal(p, &pool);
	return nstock > 0 ? nstock : 1;
}

static const struct zc_pool_calls stock_calls = {
	.dequeue = stock_dequeue,
	.enqueue = stock_enqueue,
	.count = stock_count,
};

static struct zc_pool_conf
conf_of(const char *name, uint32_t size)
{
	return (struct zc_pool_conf){
		.name = name,
		.size = size,
		.room = RTE_PKTMBUF_HEADROOM + CAPACITY,
		.capacity = CAPACITY,
		.socket = SOCKET_ID_ANY,
		.calls = &stock_calls,
	};
}

static void
pool_create(void)
{
	struct zc_pool_conf conf = conf_of(unit_pool_name(), SIZE);

	enqueued = nstock = 0;
	assert_int_equal(zc_pool_init(&pool, &conf), 0);
	for (nstock = 0; nstock < SIZE; nstock++)
		stock[nstock] = pool.mbuf[nstock];
}

static void
pool_destroy(void)
{
	assert_int_equal(nstock, SIZE);
	zc_pool_fini(&pool);
}

static void
ops_have_to_be_registered(void **state)
{
	struct zc_pool_conf conf = conf_of("early", SIZE);

	(void)state;
	assert_int_equal(zc_pool_init(&pool, &conf), -ENOENT);
	assert_null(pool.mp);
	assert_null(rte_mempool_lookup("early"));
	zc_pool_fini(&pool);
	assert_int_equal(unit_register_ops(), 0);
	assert_int_equal(unit_register_ops(), 0);
	assert_int_equal(zc_pool_init(&pool, &conf), 0);
	zc_pool_fini(&pool);
}

static void
names_are_unique(void **state)
{
	struct zc_pool_conf conf = conf_of("twice", SIZE);
	struct zc_pool other;

	(void)state;
	assert_int_equal(zc_pool_init(&pool, &conf), 0);
	assert_int_equal(zc_pool_init(&other, &conf), -EEXIST);
	assert_null(other.mp);
	zc_pool_fini(&pool);
	assert_int_equal(zc_pool_init(&pool, &conf), 0);
	zc_pool_fini(&pool);
}

static void
more_than_there_is_memory(void **state)
{
	struct zc_pool_conf conf = conf_of("huge", 1000000);

	(void)state;
	assert_int_equal(zc_pool_init(&pool, &conf), -ENOMEM);
	assert_null(pool.mp);
	conf.size = SIZE;
	assert_int_equal(zc_pool_init(&pool, &conf), 0);
	zc_pool_fini(&pool);
}

static void
mbufs_as_drivers_want_them(void **state)
{
	const char *why = NULL;

	(void)state;
	pool_create();
	assert_int_equal(pool.mp->cache_size, 0);
	assert_int_equal(pool.mp->populated_size, SIZE);
	assert_string_equal(rte_mempool_get_ops(pool.mp->ops_index)->name, ZC_POOL_OPS);
	assert_int_equal(rte_pktmbuf_data_room_size(pool.mp), RTE_PKTMBUF_HEADROOM + CAPACITY);
	assert_int_equal(rte_pktmbuf_priv_size(pool.mp), sizeof(struct zc_priv));
	assert_true(rte_pktmbuf_priv_flags(pool.mp) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF);
	/* Populating is no coming back. */
	assert_int_equal(enqueued, 0);
	for (uint32_t i = 0; i < SIZE; i++) {
		struct rte_mbuf *m = pool.mbuf[i];

		if (rte_mbuf_check(m, 1, &why) < 0)
			fail_msg("mbuf %u: %s", i, why);
		assert_int_equal(zc_priv(m)->index, i);
		assert_ptr_equal(m->pool, pool.mp);
		assert_true(RTE_MBUF_HAS_PINNED_EXTBUF(m));
		assert_ptr_equal(m->shinfo, &zc_priv(m)->shinfo);
		assert_ptr_equal(m->buf_addr, zc_priv(m)->host_addr);
		assert_int_equal(m->buf_iova, zc_priv(m)->host_iova);
		assert_int_equal(m->buf_iova,
				rte_mempool_virt2iova(m) + ((uint8_t *)m->buf_addr - (uint8_t *)m));
		assert_int_equal(rte_pktmbuf_tailroom(m), CAPACITY);
		memset(m->buf_addr, 0xff, m->buf_len);
	}
	/* Buffers don't lie over anybody's mbuf. */
	for (uint32_t i = 0; i < SIZE; i++)
		assert_int_equal(zc_priv(pool.mbuf[i])->index, i);
	pool_destroy();
}

static void
calls_reach_the_owner(void **state)
{
	struct rte_mbuf *m[SIZE];

	(void)state;
	pool_create();
	assert_int_equal(rte_mempool_avail_count(pool.mp), SIZE);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool.mp, m, SIZE), 0);
	assert_int_equal(nstock, 0);
	assert_int_equal(rte_mempool_avail_count(pool.mp), 1);
	assert_null(rte_pktmbuf_alloc(pool.mp));
	rte_pktmbuf_free_bulk(m, 10);
	rte_pktmbuf_free(m[10]);
	rte_mempool_put_bulk(pool.mp, (void **)m + 11, SIZE - 11);
	assert_int_equal(enqueued, SIZE);
	pool_destroy();
}

static void
marks_instead_of_calls(void **state)
{
	static uint8_t back[SIZE];
	struct zc_pool_conf conf = conf_of(unit_pool_name(), SIZE);
	struct rte_mbuf *m;

	(void)state;
	conf.back = back;
	enqueued = 0;
	assert_int_equal(zc_pool_init(&pool, &conf), 0);
	for (uint32_t i = 0; i < SIZE; i++)
		assert_int_equal(back[i], 0);
	m = pool.mbuf[17];
	rte_pktmbuf_free(m);
	for (uint32_t i = 0; i < SIZE; i++)
		assert_int_equal(back[i], i == 17);
	assert_int_equal(enqueued, 0);
	zc_pool_fini(&pool);
}

static void
check_clean(struct rte_mbuf *m)
{
	assert_int_equal(enqueued, 1);
	assert_ptr_equal(stock[nstock - 1], m);
	assert_int_equal(rte_mbuf_refcnt_read(m), 1);
	assert_int_equal(rte_mbuf_ext_refcnt_read(m->shinfo), 1);
	assert_null(m->next);
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_EXTERNAL);
	enqueued = 0;
}

static struct rte_mbuf *
clone_of(struct rte_mbuf *m)
{
	struct rte_mbuf *clone = rte_pktmbuf_clone(m, host_mp);

	assert_non_null(clone);
	return clone;
}

static void
back_once_whoever_is_last(void **state)
{
	struct rte_mbuf *m, *a, *b;

	(void)state;
	pool_create();
	for (int order = 0; order < 6; order++) {
		static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
			{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
		struct rte_mbuf *who[3];

		m = rte_pktmbuf_alloc(pool.mp);
		rte_pktmbuf_append(m, 100);
		a = clone_of(m);
		b = clone_of(a);
		who[0] = m;
		who[1] = a;
		who[2] = b;
		for (int i = 0; i < 3; i++) {
			assert_int_equal(enqueued, 0);
			rte_pktmbuf_free(who[orders[order][i]]);
		}
		check_clean(m);
	}
	pool_destroy();
}

static void
back_clean_from_a_chain(void **state)
{
	struct rte_mbuf *m, *tail, *clone;

	(void)state;
	pool_create();
	m = rte_pktmbuf_alloc(pool.mp);
	tail = rte_pktmbuf_alloc(host_mp);
	rte_pktmbuf_append(m, 100);
	rte_pktmbuf_append(tail, 100);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	clone = clone_of(m);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(clone);
	check_clean(m);
	pool_destroy();
}

static void
back_clean_after_two_frees_at_once(void **state)
{
	struct rte_mbuf *m, *clone;

	(void)state;
	pool_create();
	m = rte_pktmbuf_alloc(pool.mp);
	rte_pktmbuf_append(m, 100);
	clone = clone_of(m);
	rte_mbuf_refcnt_update(m, 1);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(m);
	assert_int_equal(enqueued, 0);
	/* Where both had seen the other's reference, the second leaves 0 behind. */
	rte_mbuf_refcnt_set(m, 0);
	rte_pktmbuf_free(clone);
	check_clean(m);
	pool_destroy();
}

/* rte_mempool_free() takes every object out; the owner is gone by then. */
static void
fini_asks_nobody(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct zc_pool_conf conf = conf_of(unit_pool_name(), 4096);
		struct zc_pool_calls *calls = malloc(sizeof(*calls));

		*calls = stock_calls;
		conf.calls = calls;
		conf.room = 0;
		nstock = 0;
		assert_int_equal(zc_pool_init(&pool, &conf), 0);
		free(calls);
		zc_pool_fini(&pool);
		assert_null(pool.mp);
		zc_pool_fini(&pool);
	}
}

static int
group_setup(void **state)
{
	if (unit_eal_start() < 0)
		return -1;
	(void)state;
	host_mp = unit_host_pool(128, 2048);
	return host_mp != NULL ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ops_have_to_be_registered), /* first */
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(more_than_there_is_memory),
		cmocka_unit_test(mbufs_as_drivers_want_them),
		cmocka_unit_test(calls_reach_the_owner),
		cmocka_unit_test(marks_instead_of_calls),
		cmocka_unit_test(back_once_whoever_is_last),
		cmocka_unit_test(back_clean_from_a_chain),
		cmocka_unit_test(back_clean_after_two_frees_at_once),
		cmocka_unit_test(fini_asks_nobody),
	};

	return cmocka_run_group_tests_name("pool", tests, group_setup, unit_eal_fini);
}

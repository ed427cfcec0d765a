/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory in IOMMUs, with an IOMMU that is a table here: what is mapped when, and that nothing
 * stays in it.
 */
#include "rig.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eal.h"
#include "guest/dma.h"
#include "guest/map.h"

#define PAGE 4096u
#define GUESTS 256

static struct {
	struct rte_device *own;
	const uint8_t *hva;
	uint64_t iova;
	size_t len;
} table[4 * GUESTS];
static unsigned int entries, limit;
static int unmap_fails;
static void (*during_map)(void);

/* As VFIO does: nothing twice, and no more than its limit. */
static int
map_entry(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	if (entries == limit)
		return -ENOSPC;
	for (unsigned int i = 0; i < entries; i++)
		if (table[i].own == own && iova < table[i].iova + table[i].len &&
				table[i].iova < iova + len)
			return -EEXIST;
	table[entries].own = own;
	table[entries].hva = hva;
	table[entries].iova = iova;
	table[entries++].len = len;
	if (during_map != NULL)
		during_map();
	return 0;
}

static int
unmap_entry(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	unsigned int i = 0;

	if (unmap_fails != 0)
		return unmap_fails;
	while (i < entries && (table[i].own != own || table[i].iova != iova))
		i++;
	assert_true(i < entries);
	assert_ptr_equal(table[i].hva, hva);
	assert_int_equal(table[i].len, len);
	/* NICs first: the memory is still ours. */
	assert_int_equal(msync(hva, PAGE, MS_ASYNC), 0);
	table[i] = table[--entries];
	return 0;
}

static struct zc_map *
guest(unsigned int regions, const struct zc_map *prev)
{
	static int fd = -1;
	struct zc_region_desc desc[ZC_MAP_REGIONS_MAX];
	struct zc_map *map;

	/* The first region of @prev is kept: the file is the same. */
	if (prev == NULL) {
		if (fd >= 0)
			close(fd);
		fd = memfd_create("guest", 0);
		assert_int_equal(ftruncate(fd, ZC_MAP_REGIONS_MAX * PAGE), 0);
	}
	for (unsigned int i = 0; i < regions; i++)
		desc[i] = (struct zc_region_desc){
			.fd = fd,
			.offset = i * PAGE,
			.gpa = i * PAGE,
			.uva = 0x10000 + i * PAGE,
			.size = PAGE,
		};
	map = zc_map_create(desc, regions, prev);
	assert_non_null(map);
	return map;
}

static int
setup(void **state)
{
	(void)state;
	limit = RTE_DIM(table);
	unmap_fails = 0;
	during_map = NULL;
	assert_int_equal(entries, 0);
	return 0;
}

/* EAL's own list of such mappings ends at 256. */
static void
two_regions_each_of_256_guests(void **state)
{
	struct zc_iommu *iommu = zc_iommu_get(NULL);
	static struct zc_map *map[GUESTS];

	(void)state;
	for (unsigned int i = 0; i < GUESTS; i++) {
		map[i] = guest(2, NULL);
		assert_false(zc_dma_is_ready(map[i], iommu));
		zc_dma_request(map[i], iommu);
		zc_dma_request(map[i], iommu);
	}
	zc_dma_work();
	assert_int_equal(entries, 2 * GUESTS);
	for (unsigned int i = 0; i < GUESTS; i++) {
		assert_true(zc_dma_is_ready(map[i], iommu));
		assert_null(zc_dma_failure(map[i]));
		zc_map_put(map[i]);
	}
	assert_int_equal(entries, 0);
	zc_iommu_put(iommu);
}

/* No more than fits is mapped; when somebody went, the rest is. */
static void
a_full_iommu(void **state)
{
	struct zc_iommu *iommu = zc_iommu_get(NULL);
	struct zc_map *first = guest(2, NULL), *second = guest(2, NULL);

	(void)state;
	limit = 3;
	zc_dma_request(first, iommu);
	zc_dma_request(second, iommu);
	zc_dma_work();
	assert_true(zc_dma_is_ready(first, iommu));
	assert_false(zc_dma_is_ready(second, iommu));
	assert_non_null(strstr(zc_dma_failure(second), "dma_entry_limit"));
	zc_map_put(first);
	/* A second later it is tried again. */
	for (int i = 0; i < 300 && !zc_dma_is_ready(second, iommu); i++) {
		zc_dma_request(second, iommu);
		zc_dma_work();
		usleep(10000);
	}
	assert_true(zc_dma_is_ready(second, iommu));
	assert_null(zc_dma_failure(second));
	zc_map_put(second);
	zc_iommu_put(iommu);
}

static void
only_what_is_new_is_mapped(void **state)
{
	struct zc_iommu *iommu = zc_iommu_get(NULL);
	struct zc_map *map = guest(1, NULL), *more;

	(void)state;
	zc_dma_request(map, iommu);
	zc_dma_work();
	more = guest(2, map);
	assert_false(zc_dma_is_ready(more, iommu));
	zc_dma_request(more, iommu);
	zc_dma_work();
	assert_int_equal(entries, 2);
	zc_map_put(map);
	assert_int_equal(entries, 2);
	zc_map_put(more);
	zc_iommu_put(iommu);
}

/* NICs after guests, guests after NICs, and the kernel's container in between. */
static void
nics_come_and_go(void **state)
{
	struct zc_iommu *first = zc_iommu_get(NULL), *second = zc_iommu_get(NULL);
	struct zc_map *map = guest(2, NULL);

	(void)state;
	assert_ptr_equal(first, second);
	zc_dma_request(map, first);
	zc_dma_work();
	zc_iommu_put(first);
	assert_true(zc_dma_is_ready(map, second));
	zc_iommu_put(second);
	assert_false(zc_dma_is_ready(map, second));
	assert_int_equal(entries, 0);
	first = zc_iommu_get(NULL);
	assert_false(zc_dma_is_ready(map, first));
	zc_dma_request(map, first);
	zc_dma_work();
	assert_true(zc_dma_is_ready(map, first));
	zc_map_put(map);
	zc_iommu_put(first);
}

/* A driver that maps memory itself has nothing to do with the container. */
static void
drivers_of_their_own(void **state)
{
	struct rte_device *a = (void *)0x1000, *b = (void *)0x2000;
	struct zc_iommu *container = zc_iommu_get(NULL), *of_a = zc_iommu_get(a),
			*of_b = zc_iommu_get(b);
	struct zc_map *map = guest(2, NULL);

	(void)state;
	assert_ptr_not_equal(of_a, of_b);
	zc_dma_request(map, of_a);
	zc_dma_work();
	assert_true(zc_dma_is_ready(map, of_a));
	assert_false(zc_dma_is_ready(map, of_b));
	assert_false(zc_dma_is_ready(map, container));
	zc_dma_request(map, of_b);
	zc_dma_request(map, container);
	zc_dma_work();
	assert_int_equal(entries, 6);
	zc_iommu_put(of_a);
	assert_int_equal(entries, 4);
	assert_true(zc_dma_is_ready(map, of_b) && zc_dma_is_ready(map, container));
	zc_map_put(map);
	assert_int_equal(entries, 0);
	zc_iommu_put(of_b);
	zc_iommu_put(container);
}

static struct zc_iommu *goes;

static void
nic_goes(void)
{
	during_map = NULL;
	zc_iommu_put(goes);
	goes = zc_iommu_get(NULL);
}

/* The NIC goes, and another comes, while housekeeping is mapping. */
static void
a_nic_that_goes_meanwhile(void **state)
{
	struct zc_map *map = guest(1, NULL);

	(void)state;
	goes = zc_iommu_get(NULL);
	during_map = nic_goes;
	zc_dma_request(map, goes);
	zc_dma_work();
	assert_false(zc_dma_is_ready(map, goes));
	assert_int_equal(entries, 0);
	zc_map_put(map);
	zc_iommu_put(goes);
}

/* Device addresses that may still lead to somebody's memory are never given to somebody else. */
static void
addresses_that_are_not_forgotten(void **state)
{
	struct zc_iommu *iommu = zc_iommu_get(NULL);
	struct zc_map *map = guest(1, NULL);
	uint64_t iova = map->region[0].iova;

	(void)state;
	zc_dma_request(map, iommu);
	zc_dma_work();
	unmap_fails = -EIO;
	zc_map_put(map);
	unmap_fails = 0;
	entries = 0;
	map = guest(1, NULL);
	assert_int_not_equal(map->region[0].iova, iova);
	zc_map_put(map);
	zc_iommu_put(iommu);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_regions_each_of_256_guests),
		TEST(a_full_iommu),
		TEST(only_what_is_new_is_mapped),
		TEST(nics_come_and_go),
		TEST(drivers_of_their_own),
		TEST(a_nic_that_goes_meanwhile),
		TEST(addresses_that_are_not_forgotten),
	};

	zc_iommu_calls.map = map_entry;
	zc_iommu_calls.unmap = unmap_entry;
	return cmocka_run_group_tests_name("dma", tests, unit_eal_init, unit_eal_fini);
}

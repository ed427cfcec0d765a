/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest maps: what is mapped, what is shared, what is refused, and where translation ends.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_errno.h>

#include "rig.h"

#include "guest/dma.h"

#define PAGE 4096ULL
#define GIB (1ULL << 30)

static int
file_of(size_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	return fd;
}

static struct zc_region_desc
region(int fd, uint64_t offset, uint64_t gpa, uint64_t size)
{
	return (struct zc_region_desc){ .fd = fd,
		.offset = offset,
		.gpa = gpa,
		.uva = 0x7f0000000000ULL + gpa,
		.size = size };
}

/* Is any byte of the page at @p addr mapped? */
static bool
is_mapped(const void *addr)
{
	unsigned char vec;

	return mincore((void *)((uintptr_t)addr & ~(PAGE - 1)), 1, &vec) == 0;
}

static void
refused(const struct zc_region_desc *desc, unsigned int n, int err)
{
	rte_errno = 0;
	assert_null(zc_map_create(desc, n, NULL));
	assert_int_equal(rte_errno, err);
}

static void
bytes_are_the_files(void **state)
{
	int fd = file_of(8 * PAGE);
	struct zc_region_desc desc = region(fd, 3 * PAGE, GIB, 2 * PAGE);
	struct zc_map *map = zc_map_create(&desc, 1, NULL);
	uint8_t byte = 0x5a;

	(void)state;
	assert_non_null(map);
	assert_int_equal(pwrite(fd, &byte, 1, 3 * PAGE + 17), 1);
	assert_int_equal(*(uint8_t *)zc_map_hva(map, GIB + 17, 1), 0x5a);
	*(uint8_t *)zc_map_hva(map, GIB + 2 * PAGE - 1, 1) = 0x77;
	assert_int_equal(pread(fd, &byte, 1, 5 * PAGE - 1), 1);
	assert_int_equal(byte, 0x77);
	assert_int_equal(map->region[0].uva, desc.uva);
	/* The front-end may close its descriptor. */
	close(fd);
	assert_int_equal(*(uint8_t *)zc_map_hva(map, GIB + 17, 1), 0x5a);
	zc_map_put(map);
}

static void
core_dumps_leave_it_out(void **state)
{
	int fd = file_of(PAGE);
	struct zc_region_desc desc = region(fd, 0, GIB, PAGE);
	struct zc_map *map = zc_map_create(&desc, 1, NULL);
	char begin[32], line[256];
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool here = false, left_out = false;

	(void)state;
	assert_non_null(map);
	assert_non_null(smaps);
	snprintf(begin, sizeof(begin), "%lx-", (unsigned long)map->region[0].hva);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (strncmp(line, begin, strlen(begin)) == 0)
			here = true;
		else if (here && strncmp(line, "VmFlags:", 8) == 0) {
			left_out = strstr(line, " dd ") != NULL;
			break;
		}
	}
	fclose(smaps);
	assert_true(left_out);
	zc_map_put(map);
	close(fd);
}

static void
translation_ends_with_the_region(void **state)
{
	int fd = file_of(4 * PAGE);
	struct zc_region_desc desc[] = {
		region(fd, 0, GIB, PAGE),
		region(fd, PAGE, GIB + PAGE, PAGE),     /* goes on in guest addresses */
		region(fd, 2 * PAGE, 4 * GIB, 2 * PAGE) /* after a hole */
	};
	struct zc_map *map = zc_map_create(desc, 3, NULL);
	uint8_t *hva;

	(void)state;
	assert_non_null(map);
	hva = zc_map_hva(map, GIB, PAGE);
	assert_non_null(hva);
	assert_ptr_equal(zc_map_hva(map, GIB + PAGE - 1, 1), hva + PAGE - 1);
	assert_null(zc_map_hva(map, GIB + PAGE - 1, 2));
	assert_null(zc_map_hva(map, GIB, PAGE + 1));
	assert_non_null(zc_map_hva(map, GIB + PAGE, PAGE));
	assert_null(zc_map_hva(map, GIB - 1, 1));
	assert_null(zc_map_hva(map, GIB - 1, 2));
	assert_null(zc_map_hva(map, GIB + 2 * PAGE, 1));
	assert_null(zc_map_hva(map, 4 * GIB - 1, 1));
	assert_non_null(zc_map_hva(map, 4 * GIB, 2 * PAGE));
	assert_null(zc_map_hva(map, 4 * GIB + 2 * PAGE, 1));
	assert_null(zc_map_hva(map, 0, 1));
	assert_ptr_equal(zc_map_region(map, GIB + PAGE), &map->region[1]);
	assert_null(zc_map_region(map, 2 * GIB));
	zc_map_put(map);
	close(fd);
}

static void
lengths_wrap_at_nothing(void **state)
{
	int fd = file_of(2 * PAGE);
	const uint64_t top = UINT64_MAX - 2 * PAGE;
	struct zc_region_desc desc[] = { region(fd, 0, 0, PAGE), region(fd, PAGE, top, PAGE) };
	struct zc_map *map;

	(void)state;
	desc[1].uva = 0;
	map = zc_map_create(desc, 2, NULL);
	assert_non_null(map);
	assert_null(zc_map_hva(map, 16, UINT64_MAX));
	assert_null(zc_map_hva(map, 16, UINT64_MAX - 15));
	assert_null(zc_map_hva(map, UINT64_MAX, 1));
	assert_null(zc_map_hva(map, UINT64_MAX - 7, 16));
	assert_null(zc_map_hva(map, top + PAGE - 8, UINT64_MAX));
	assert_null(zc_map_hva(map, top + PAGE - 8, 9));
	assert_non_null(zc_map_hva(map, top + PAGE - 8, 8));
	assert_null(zc_map_hva(map, top - 1, 1));
	zc_map_put(map);
	close(fd);
}

static void
bad_tables_are_refused(void **state)
{
	int fd = file_of(16 * PAGE);
	struct zc_region_desc desc[ZC_MAP_REGIONS_MAX + 1];

	(void)state;
	for (unsigned int i = 0; i <= ZC_MAP_REGIONS_MAX; i++)
		desc[i] = region(fd, i * PAGE, i * GIB, PAGE);
	refused(desc, 0, EINVAL);
	refused(desc, ZC_MAP_REGIONS_MAX + 1, EINVAL);
	desc[1].size = 0;
	refused(desc, 2, EINVAL);
	desc[1] = region(fd, 0, UINT64_MAX - PAGE + 2, PAGE);
	refused(desc, 2, EINVAL);
	desc[1] = region(fd, 0, GIB, PAGE);
	desc[1].uva = UINT64_MAX - 5;
	refused(desc, 2, EINVAL);
	desc[1] = region(-1, 0, GIB, PAGE);
	refused(desc, 2, EBADF);
	close(fd);
}

static void
overlaps_are_refused(void **state)
{
	int fd = file_of(16 * PAGE);
	struct zc_region_desc desc[2] = { region(fd, 0, GIB, 4 * PAGE) };
	const struct {
		uint64_t gpa, size;
		bool good;
	} second[] = {
		{ GIB, 4 * PAGE, false },
		{ GIB + PAGE, PAGE, false },
		{ GIB - PAGE, 8 * PAGE, false },
		{ GIB + 3 * PAGE, 2 * PAGE, false },
		{ GIB - PAGE, PAGE + 1, false },
		{ GIB + 4 * PAGE - 1, PAGE, false },
		{ GIB - PAGE, PAGE, true },
		{ GIB + 4 * PAGE, PAGE, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		struct zc_map *map;

		desc[1] = region(fd, 4 * PAGE, second[i].gpa, second[i].size);
		map = zc_map_create(desc, 2, NULL);
		assert_int_equal(map != NULL, second[i].good);
		zc_map_put(map);
	}
	close(fd);
}

static void
file_shorter_than_its_region(void **state)
{
	int fd = file_of(4 * PAGE);
	struct zc_region_desc desc = region(fd, 0, GIB, 4 * PAGE);
	struct zc_map *map;

	(void)state;
	map = zc_map_create(&desc, 1, NULL);
	assert_non_null(map);
	zc_map_put(map);
	desc.size = 4 * PAGE + 1;
	refused(&desc, 1, EINVAL);
	desc = region(fd, PAGE, GIB, 3 * PAGE + 1);
	refused(&desc, 1, EINVAL);
	desc = region(fd, UINT64_MAX - PAGE + 1, GIB, PAGE);
	refused(&desc, 1, EINVAL);
	desc = region(fd, UINT64_MAX - 2 * PAGE, GIB, PAGE);
	refused(&desc, 1, EINVAL);
	close(fd);
}

static void
unchanged_regions_are_shared(void **state)
{
	int a = file_of(4 * PAGE), b = file_of(4 * PAGE), again = dup(a);
	struct zc_region_desc first[] = { region(a, 0, GIB, 4 * PAGE),
		region(b, 0, 2 * GIB, 2 * PAGE) };
	/* Same file by another descriptor, in another place of the table and of the front-end. */
	struct zc_region_desc second[] = { region(b, 2 * PAGE, 2 * GIB, 2 * PAGE),
		region(again, 0, GIB, 4 * PAGE) };
	struct zc_map *old = zc_map_create(first, 2, NULL), *map;
	uint8_t *kept, *gone;

	(void)state;
	assert_non_null(old);
	second[1].uva += GIB;
	map = zc_map_create(second, 2, old);
	assert_non_null(map);
	kept = old->region[0].hva;
	gone = old->region[1].hva;
	assert_ptr_equal(map->region[1].hva, kept);
	assert_ptr_equal(map->region[1].mapping, old->region[0].mapping);
	assert_int_equal(map->region[1].uva, second[1].uva);
	/* Same file and guest address, but other bytes of it. */
	assert_ptr_not_equal(map->region[0].mapping, old->region[1].mapping);
	zc_map_put(old);
	assert_true(is_mapped(kept));
	assert_false(is_mapped(gone));
	*kept = 1;
	zc_map_put(map);
	assert_false(is_mapped(kept));
	close(a);
	close(b);
	close(again);
}

static void
look_alikes_are_not_shared(void **state)
{
	int a = file_of(4 * PAGE), b = file_of(4 * PAGE);
	struct zc_region_desc desc = region(a, 0, GIB, 2 * PAGE);
	const struct zc_region_desc other[] = {
		region(b, 0, GIB, 2 * PAGE),
		region(a, PAGE, GIB, 2 * PAGE),
		region(a, 0, 2 * GIB, 2 * PAGE),
		region(a, 0, GIB, 3 * PAGE),
	};
	struct zc_map *old = zc_map_create(&desc, 1, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct zc_map *map = zc_map_create(&other[i], 1, old);

		assert_non_null(map);
		assert_ptr_not_equal(map->region[0].mapping, old->region[0].mapping);
		zc_map_put(map);
	}
	zc_map_put(old);
	close(a);
	close(b);
}

static void
last_reference_unmaps(void **state)
{
	int fd = file_of(PAGE);
	struct zc_region_desc desc = region(fd, 0, GIB, PAGE);
	struct zc_map *map = zc_map_create(&desc, 1, NULL);
	uint8_t *hva = map->region[0].hva;

	(void)state;
	assert_ptr_equal(zc_map_get(map), map);
	zc_map_put(map);
	assert_true(is_mapped(hva));
	zc_map_put(map);
	assert_false(is_mapped(hva));
	assert_null(zc_map_get(NULL));
	zc_map_put(NULL);
	close(fd);
}

static void
failure_gives_back_what_was_mapped(void **state)
{
	int a = file_of(PAGE), b = file_of(PAGE);
	struct zc_region_desc desc[] = { region(a, 0, GIB, PAGE), region(b, 0, 2 * GIB, 2 * PAGE) };
	struct zc_map *old = zc_map_create(desc, 1, NULL);
	uint8_t *hva = old->region[0].hva;
	char before[64], after[64];
	FILE *f;

	(void)state;
	f = fopen("/proc/self/statm", "r");
	assert_non_null(fgets(before, sizeof(before), f));
	fclose(f);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_null(zc_map_create(desc, 2, NULL));
		assert_null(zc_map_create(desc, 2, old));
	}
	f = fopen("/proc/self/statm", "r");
	assert_non_null(fgets(after, sizeof(after), f));
	fclose(f);
	/* Pages of address space: 1000 leaked mappings would be as many pages. */
	assert_true(strtol(after, NULL, 10) < strtol(before, NULL, 10) + 500);
	zc_map_put(old);
	assert_false(is_mapped(hva));
	close(a);
	close(b);
}

static void
plain_memory_stays_the_callers(void **state)
{
	uint8_t *mem = malloc(PAGE);
	struct zc_region r = { .gpa = GIB, .size = PAGE, .hva = mem, .iova = 0x1000 };
	struct zc_map *map = zc_map_create_plain(&r, 1);

	(void)state;
	assert_ptr_equal(zc_map_hva(map, GIB + 5, 1), mem + 5);
	zc_map_put(map);
	memset(mem, 1, PAGE);
	free(mem);
}

/* ---- device addresses ---- */

#define MIB (1ULL << 20)

static void
ranges_of_the_window(void **state)
{
	static const uint64_t sizes[] = { 1, PAGE, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 300 * MIB,
		GIB, GIB + 1, 3 * GIB };
	static struct {
		uint64_t iova, size;
	} range[400];
	uint64_t rng = 1;
	unsigned int n = 0;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		unsigned int k;
		uint64_t iova, size;

		if (n == 400 || (n > 0 && rng_range(&rng, 0, 2) == 0)) {
			k = rng_range(&rng, 0, n - 1);
			zc_dma_range_give(range[k].iova, range[k].size);
			range[k] = range[--n];
			continue;
		}
		size = sizes[rng_range(&rng, 0, 8)];
		iova = zc_dma_range_take(size);
		if (iova == 0)
			continue;
		assert_true(iova >= ZC_DMA_WINDOW_BEGIN && iova + size <= ZC_DMA_HIGH_END);
		assert_int_equal(iova % (size >= GIB ? GIB : 2 * MIB), 0);
		for (k = 0; k < n; k++)
			assert_true(iova + size <= range[k].iova ||
					range[k].iova + range[k].size <= iova);
		range[n].iova = iova;
		range[n++].size = size;
	}
	while (n > 0) {
		n--;
		zc_dma_range_give(range[n].iova, range[n].size);
	}
	/* All of it is free again. What doesn't fit goes above, and then nowhere. */
	assert_int_equal(zc_dma_range_take(ZC_DMA_WINDOW_END - ZC_DMA_WINDOW_BEGIN),
			ZC_DMA_WINDOW_BEGIN);
	assert_int_equal(zc_dma_range_take(1), ZC_DMA_WINDOW_END);
	assert_int_equal(zc_dma_range_take(1), ZC_DMA_WINDOW_END + GIB);
	assert_int_equal(zc_dma_range_take(ZC_DMA_HIGH_END - ZC_DMA_WINDOW_END - 2 * GIB),
			ZC_DMA_WINDOW_END + 2 * GIB);
	assert_int_equal(zc_dma_range_take(1), 0);
	zc_dma_range_give(0, 5);
	zc_dma_range_give(ZC_DMA_WINDOW_BEGIN, ZC_DMA_WINDOW_END - ZC_DMA_WINDOW_BEGIN);
	zc_dma_range_give(ZC_DMA_WINDOW_END, ZC_DMA_HIGH_END - ZC_DMA_WINDOW_END);
	assert_int_equal(zc_dma_range_take(ZC_DMA_HIGH_END - ZC_DMA_WINDOW_END + 1), 0);
}

static void
device_addresses_are_our_own(void **state)
{
	int fd = file_of(GIB);
	struct zc_region_desc desc[] = { region(fd, 0, GIB, 8 * MIB),
		region(fd, 100 * PAGE, 4 * GIB, 3 * MIB) };
	struct zc_map *map, *next;

	(void)state;
	/* More than the window has, one after the other: each gives its range back. */
	for (int i = 0; i < 600; i++) {
		const struct zc_region_desc whole = region(fd, 0, 0, GIB);

		map = zc_map_create(&whole, 1, NULL);
		assert_non_null(map);
		assert_true(map->region[0].iova != 0);
		zc_map_put(map);
	}
	map = zc_map_create(desc, 2, NULL);
	assert_non_null(map);
	for (int i = 0; i < 2; i++) {
		assert_true(map->region[i].iova >= ZC_DMA_WINDOW_BEGIN);
		assert_true(map->region[i].iova + map->region[i].size <= ZC_DMA_WINDOW_END);
	}
	assert_true(map->region[0].iova + 8 * MIB <= map->region[1].iova ||
			map->region[1].iova + 3 * MIB <= map->region[0].iova);
	/* A region that stays keeps its address: a NIC may be writing there. */
	desc[1].offset += PAGE;
	next = zc_map_create(desc, 2, map);
	assert_non_null(next);
	assert_int_equal(next->region[0].iova, map->region[0].iova);
	assert_int_not_equal(next->region[1].iova, map->region[1].iova);
	zc_map_put(map);
	zc_map_put(next);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_the_files),
		cmocka_unit_test(core_dumps_leave_it_out),
		cmocka_unit_test(translation_ends_with_the_region),
		cmocka_unit_test(lengths_wrap_at_nothing),
		cmocka_unit_test(bad_tables_are_refused),
		cmocka_unit_test(overlaps_are_refused),
		cmocka_unit_test(file_shorter_than_its_region),
		cmocka_unit_test(unchanged_regions_are_shared),
		cmocka_unit_test(look_alikes_are_not_shared),
		cmocka_unit_test(last_reference_unmaps),
		cmocka_unit_test(failure_gives_back_what_was_mapped),
		cmocka_unit_test(plain_memory_stays_the_callers),
		cmocka_unit_test(ranges_of_the_window),
		cmocka_unit_test(device_addresses_are_our_own),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory tables and address translation: tables over real files with any addresses, sizes and
 * offsets, made one after another so that regions are shared, and addresses looked up in them.
 *
 * Checked: a table is taken exactly when every region is in its file and none overlaps another;
 * what a lookup gives lies in its region, can be touched, and is the byte of the file that the
 * table says; mappings go when the last map does.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "guest/map.h"
#include "stay.h"

#define FILES 4
#define MAPS 4
#define ACTS_MAX 100

/* Bytes of the files; the last is no file that can be mapped. */
static const uint64_t lengths[FILES] = { 64 * 1024, 256 * 1024, 4096 * 3 + 1, 0 };

static struct {
	int fd[FILES];
	uint8_t *view[FILES]; /* another mapping of each file */
	struct zc_map *map[MAPS];
	struct zc_region_desc desc[MAPS][ZC_MAP_REGIONS_MAX];
	unsigned int n[MAPS];
} s;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	for (unsigned int i = 0; i + 1 < FILES; i++) {
		s.fd[i] = memfd_create("guest", MFD_CLOEXEC);
		if (s.fd[i] < 0 || ftruncate(s.fd[i], lengths[i]) < 0)
			abort();
		s.view[i] = mmap(NULL, lengths[i], PROT_READ | PROT_WRITE, MAP_SHARED, s.fd[i], 0);
		/* Every byte says where it is. */
		for (uint64_t at = 0; at < lengths[i]; at++)
			s.view[i][at] = at * 31 + at / 256 * 7 + i;
	}
	s.fd[FILES - 1] = eventfd(0, 0);
	return 0;
}

/* ---- tables ---- */

static uint64_t
some_number(struct bytes *in, uint8_t how)
{
	switch (how % 4) {
	case 0:
		return 4096ull * bytes_u8(in);
	case 1:
		return bytes_u16(in);
	case 2:
		return bytes_u64(in);
	default: /* near the end of everything */
		return -(uint64_t)bytes_u16(in);
	}
}

static struct zc_region_desc
some_region(struct bytes *in, int *file)
{
	uint8_t how = bytes_u8(in), more = bytes_u8(in);
	struct zc_region_desc d;

	*file = how % FILES;
	d.fd = s.fd[*file];
	d.gpa = some_number(in, how / 4);
	d.offset = how & 16 ? some_number(in, how / 32) : 0;
	d.size = more & 1 ? some_number(in, more / 2) : lengths[*file];
	d.uva = more & 8 ? some_number(in, more / 16) : 0x70000000;
	return d;
}

/* The rules of map.h, written for shortness. */
static bool
is_right(const struct zc_region_desc *desc, const int *file, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct zc_region_desc *d = &desc[i];
		__uint128_t end = (__uint128_t)d->gpa + d->size;

		if (d->size == 0 || end > UINT64_MAX ||
				(__uint128_t)d->uva + d->size > UINT64_MAX ||
				(__uint128_t)d->offset + d->size > lengths[file[i]])
			return false;
		for (unsigned int j = 0; j < i; j++)
			if (d->gpa < (__uint128_t)desc[j].gpa + desc[j].size && desc[j].gpa < end)
				return false;
	}
	return n > 0 && n <= ZC_MAP_REGIONS_MAX;
}

static void
make_map(struct bytes *in, uint8_t what)
{
	struct zc_region_desc desc[ZC_MAP_REGIONS_MAX + 1] = { 0 };
	unsigned int slot = what % MAPS, n = bytes_u8(in) % (ZC_MAP_REGIONS_MAX + 2);
	const struct zc_map *prev = what & 4 ? s.map[what / 8 % MAPS] : NULL;
	int file[ZC_MAP_REGIONS_MAX + 1] = { 0 };
	struct zc_map *map;

	for (unsigned int i = 0; i < n; i++)
		desc[i] = some_region(in, &file[i]);
	map = zc_map_create(desc, n, prev);
	FUZZ_CHECK((map != NULL) == is_right(desc, file, n), "%u regions, map %p", n, (void *)map);
	if (map == NULL)
		return;
	zc_map_put(s.map[slot]);
	s.map[slot] = map;
	s.n[slot] = n;
	memcpy(s.desc[slot], desc, n * sizeof(desc[0]));
}

/* ---- lookups ---- */

static uint8_t
byte_of_file(const struct zc_region_desc *d, uint64_t off)
{
	for (unsigned int i = 0; i < FILES; i++)
		if (d->fd == s.fd[i])
			return s.view[i][d->offset + off];
	return 0;
}

static const struct zc_region_desc *
region_of(unsigned int slot, uint64_t gpa)
{
	for (unsigned int i = 0; i < s.n[slot]; i++)
		if (gpa >= s.desc[slot][i].gpa && gpa - s.desc[slot][i].gpa < s.desc[slot][i].size)
			return &s.desc[slot][i];
	return NULL;
}

static void
look_up(struct bytes *in, uint8_t what)
{
	unsigned int slot = what % MAPS;
	const struct zc_region_desc *d;
	uint64_t gpa, len;
	uint8_t *hva;

	if (s.map[slot] == NULL)
		return;
	gpa = what & 32 ? some_number(in, what / 64) :
			  s.desc[slot][what / 8 % s.n[slot]].gpa + (int16_t)bytes_u16(in);
	len = what & 4 ? some_number(in, bytes_u8(in)) : bytes_u16(in);
	hva = zc_map_hva(s.map[slot], gpa, len);
	d = region_of(slot, gpa);
	FUZZ_CHECK((hva != NULL) == (d != NULL && len <= d->size - (gpa - d->gpa)),
			"%#jx bytes at %#jx: %p", (uintmax_t)len, (uintmax_t)gpa, (void *)hva);
	if (hva == NULL || len == 0)
		return;
	FUZZ_CHECK(hva[0] == byte_of_file(d, gpa - d->gpa) &&
					hva[len - 1] == byte_of_file(d, gpa - d->gpa + len - 1),
			"another byte at %#jx", (uintmax_t)gpa);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };

	stay_begin();
	for (unsigned int i = 0; i < ACTS_MAX && bytes_left(&in) > 0; i++) {
		uint8_t what = bytes_u8(&in);

		if (what & 128)
			make_map(&in, what);
		else
			look_up(&in, what);
	}
	for (unsigned int i = 0; i < MAPS; i++) {
		zc_map_put(s.map[i]);
		s.map[i] = NULL;
		s.n[i] = 0;
	}
	stay_check_maps();
	return 0;
}

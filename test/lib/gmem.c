/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest-physical memory: translation and copies that cross region borders.
 */
#include <errno.h>
#include <string.h>

#include "gmem.h"

static const struct gmem_region *
find(const struct gmem *mem, uint64_t gpa)
{
	for (unsigned int i = 0; i < mem->n; i++) {
		const struct gmem_region *r = &mem->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size)
			return r;
	}
	return NULL;
}

void *
gmem_va(const struct gmem *mem, uint64_t gpa, uint64_t len)
{
	const struct gmem_region *r = find(mem, gpa);

	if (r == NULL || len > r->size - (gpa - r->gpa))
		return NULL;
	return r->va + (gpa - r->gpa);
}

uint64_t
gmem_gpa(const struct gmem *mem, const void *va)
{
	const uint8_t *p = va;

	for (unsigned int i = 0; i < mem->n; i++) {
		const struct gmem_region *r = &mem->region[i];

		if (p >= r->va && p < r->va + r->size)
			return r->gpa + (uint64_t)(p - r->va);
	}
	return 0;
}

uint64_t
gmem_dead_end(const struct gmem *mem)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i < mem->n; i++)
		if (mem->region[i].gpa + mem->region[i].size > end)
			end = mem->region[i].gpa + mem->region[i].size;
	return end;
}

uint64_t
gmem_hole(const struct gmem *mem)
{
	for (unsigned int i = 0; i < mem->n; i++) {
		uint64_t end = mem->region[i].gpa + mem->region[i].size;

		if (find(mem, end) == NULL && find(mem, end + 4095) == NULL)
			return end;
	}
	return gmem_dead_end(mem);
}

/* Bytes of [gpa, gpa + len) that lie in the region of gpa; *va is where they begin. */
static size_t
piece(const struct gmem *mem, uint64_t gpa, size_t len, uint8_t **va)
{
	const struct gmem_region *r = find(mem, gpa);

	if (r == NULL)
		return 0;
	*va = r->va + (gpa - r->gpa);
	return len < r->size - (gpa - r->gpa) ? len : r->size - (gpa - r->gpa);
}

int
gmem_read(const struct gmem *mem, uint64_t gpa, void *dst, size_t len)
{
	uint8_t *to = dst, *va = NULL;

	while (len > 0) {
		size_t n = piece(mem, gpa, len, &va);

		if (n == 0)
			return -EFAULT;
		memcpy(to, va, n);
		to += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int
gmem_write(const struct gmem *mem, uint64_t gpa, const void *src, size_t len)
{
	const uint8_t *from = src;
	uint8_t *va = NULL;

	while (len > 0) {
		size_t n = piece(mem, gpa, len, &va);

		if (n == 0)
			return -EFAULT;
		memcpy(va, from, n);
		from += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest-physical memory as a test sees it: up to eight regions, each at its own address here.
 *
 * Two regions may touch in guest-physical space and still lie apart here, so bytes are reached with
 * gmem_read() and gmem_write(), which walk; gmem_va() answers only for what one region holds.
 */
#ifndef GMEM_H
#define GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GMEM_REGIONS_MAX 8

struct gmem_region {
	uint64_t gpa;
	uint64_t size; /* bytes */
	uint8_t *va;
};

struct gmem {
	unsigned int n;
	struct gmem_region region[GMEM_REGIONS_MAX];
	uint64_t cross_gpa;  /* border of two regions that touch, free on both sides; 0: none */
	uint64_t cross_room; /* bytes free on either side of it */
	bool cross_busy;     /* a chain lies across it now */
};

/** Address here of @p len bytes at @p gpa, or NULL if no single region holds them all. */
void *gmem_va(const struct gmem *mem, uint64_t gpa, uint64_t len);

/** Guest-physical address of @p va, which must lie in a region. */
uint64_t gmem_gpa(const struct gmem *mem, const void *va);

/** A guest-physical address in no region, with nothing for at least a page after it. */
uint64_t gmem_hole(const struct gmem *mem);

/** Guest-physical address right after a region that no other region continues. */
uint64_t gmem_dead_end(const struct gmem *mem);

/** @return 0, or -EFAULT if a byte of it lies in no region. */
int gmem_read(const struct gmem *mem, uint64_t gpa, void *dst, size_t len);
int gmem_write(const struct gmem *mem, uint64_t gpa, const void *src, size_t len);

#endif

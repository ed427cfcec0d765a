/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that goes away: a front-end that empties its files, punches holes into them, or has no
 * hugepage left for them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <sys/mount.h>

#include "frontend_priv.h"

#define PAGE (2 << 20)

int
frontend_hugetlbfs_create(struct frontend *fe, uint64_t bytes)
{
	int ctx = fsopen("hugetlbfs", FSOPEN_CLOEXEC), fs = -1;
	char size[32];

	snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
	if (ctx >= 0 && fsconfig(ctx, FSCONFIG_SET_STRING, "pagesize", "2M", 0) == 0 &&
			fsconfig(ctx, FSCONFIG_SET_STRING, "size", size, 0) == 0 &&
			fsconfig(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fs = fsmount(ctx, FSMOUNT_CLOEXEC, 0);
	if (fs < 0)
		frontend_failed(fe, -errno, "cannot mount hugetlbfs: %s", strerror(errno));
	if (ctx >= 0)
		close(ctx);
	return fs;
}

/*
 * Its page is free, and somebody else has it before the back-end touches it again. One that was
 * never touched would stay reserved.
 */
static int
give_page_away(struct frontend *fe, unsigned int region, int other, off_t at)
{
	(void)*(volatile uint8_t *)(fe->mem.region[region].va + at);
	do {
		int ret = frontend_mem_punch(fe, region, (uint64_t)at, PAGE);

		if (ret < 0)
			return ret;
	} while (fallocate(other, 0, at, PAGE) < 0);
	return 0;
}

static int
starve(struct frontend *fe, unsigned int region)
{
	char name[] = "other0";
	int other, ret = 0;

	name[5] += (char)region;
	other = openat(fe->hugetlbfs, name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (other < 0)
		return frontend_failed(fe, -errno, "cannot make a file: %s", strerror(errno));
	for (uint64_t at = 0; at < fe->mem.region[region].size && ret == 0; at += PAGE)
		ret = give_page_away(fe, region, other, (off_t)at);
	close(other);
	return ret;
}

int
frontend_mem_lose(struct frontend *fe, unsigned int region)
{
	if (fe->hugetlbfs >= 0)
		return starve(fe, region);
	if (ftruncate(fe->memfd[region], 0) < 0)
		return frontend_failed(fe, -errno, "cannot empty region %u: %s", region,
				strerror(errno));
	return 0;
}

int
frontend_mem_punch(struct frontend *fe, unsigned int region, uint64_t offset, uint64_t bytes)
{
	if (fallocate(fe->memfd[region], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			    (off_t)bytes) < 0)
		return frontend_failed(fe, -errno, "cannot punch a hole: %s", strerror(errno));
	return 0;
}

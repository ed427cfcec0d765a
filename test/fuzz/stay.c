/* SPDX-License-Identifier: BSD-3-Clause */
/* See stay.h. */
#include "stay.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "fuzz.h"

#define OPEN_MAX 256

static bool was_open[OPEN_MAX];
static unsigned int maps;
static unsigned long pages;
static int statm; /* this process's */

static bool
is_open(const struct pollfd *p)
{
	return !(p->revents & POLLNVAL);
}

/* Which descriptors there are. One call, where a folder would have to be read. */
static void
look_at_fds(struct pollfd fds[OPEN_MAX])
{
	for (unsigned int i = 0; i < OPEN_MAX; i++)
		fds[i] = (struct pollfd){ .fd = i };
	if (poll(fds, OPEN_MAX, 0) < 0)
		abort();
}

static void
remember_fds(void)
{
	struct pollfd fds[OPEN_MAX];

	look_at_fds(fds);
	for (unsigned int i = 0; i < OPEN_MAX; i++)
		was_open[i] = is_open(&fds[i]);
}

unsigned int
stay_close_fds(void)
{
	struct pollfd fds[OPEN_MAX];
	unsigned int n = 0;

	look_at_fds(fds);
	for (unsigned int i = 0; i < OPEN_MAX; i++) {
		if (!is_open(&fds[i]) || was_open[i])
			continue;
		close(i);
		n++;
	}
	return n;
}

/* Mappings of guests' files. */
static unsigned int
count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	char line[512];

	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

/* Pages of all mappings. */
static unsigned long
count_pages(void)
{
	char text[32] = "";

	if (pread(statm, text, sizeof(text) - 1, 0) < 0)
		abort();
	return strtoul(text, NULL, 10);
}

/* Looking at each takes longer than an input, and is needed only when the sum is another. */
void
stay_check_maps(void)
{
	unsigned long now = count_pages();

	if (now == pages)
		return;
	FUZZ_CHECK(count_maps() == maps, "mappings stay: %u instead of %u", count_maps(), maps);
	pages = now;
}

static void
begin_process(void)
{
	statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (statm < 0)
		abort();
	maps = count_maps();
	pages = count_pages();
}

void
stay_begin(void)
{
	if (statm == 0)
		begin_process();
	remember_fds();
}

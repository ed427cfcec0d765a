/* SPDX-License-Identifier: BSD-3-Clause */
/* The window of device addresses, and mapping into the default VFIO container. */
#include "dma.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <rte_common.h>
#include <rte_cycles.h>

#include "../core/error.h"
#include "mapping.h"

/* Ranges are whole huge pages, and begin on 1 GB when they are that large, for the IOMMU's sake. */
#define GRANULE (2ULL << 20)
#define LARGE (1ULL << 30)
#define GRANULES ((ZC_DMA_WINDOW_END - ZC_DMA_WINDOW_BEGIN) / GRANULE)
/* After a failure: somebody may have gone meanwhile. */
#define RETRY_S 5

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool taken[GRANULES];

struct request {
	struct zc_map *map;
	STAILQ_ENTRY(request) next;
};

static STAILQ_HEAD(, request) requests = STAILQ_HEAD_INITIALIZER(requests);

static size_t
granules_of(size_t len)
{
	return (len + GRANULE - 1) / GRANULE;
}

static bool
is_free(size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		if (taken[i])
			return false;
	return true;
}

static void
set_taken(size_t first, size_t n, bool value)
{
	for (size_t i = first; i < first + n; i++)
		taken[i] = value;
}

uint64_t
zc_dma_range_take(size_t len)
{
	size_t n = granules_of(len), step = len >= LARGE ? LARGE / GRANULE : 1;
	uint64_t iova = 0;

	pthread_mutex_lock(&lock);
	for (size_t first = 0; first + n <= GRANULES && iova == 0; first += step) {
		if (!is_free(first, n))
			continue;
		set_taken(first, n, true);
		iova = ZC_DMA_WINDOW_BEGIN + first * GRANULE;
	}
	pthread_mutex_unlock(&lock);
	return iova;
}

void
zc_dma_range_give(uint64_t iova, size_t len)
{
	if (iova == 0)
		return;
	pthread_mutex_lock(&lock);
	set_taken((iova - ZC_DMA_WINDOW_BEGIN) / GRANULE, granules_of(len), false);
	pthread_mutex_unlock(&lock);
}

static bool
is_requested(const struct zc_map *map)
{
	const struct request *request;

	STAILQ_FOREACH(request, &requests, next)
		if (request->map == map)
			return true;
	return false;
}

void
zc_dma_request(struct zc_map *map)
{
	struct request *request;

	if (zc_dma_is_ready(map))
		return;
	pthread_mutex_lock(&lock);
	if (!is_requested(map)) {
		request = calloc(1, sizeof(*request));
		if (request != NULL) {
			request->map = zc_map_get(map);
			STAILQ_INSERT_TAIL(&requests, request, next);
		}
	}
	pthread_mutex_unlock(&lock);
}

bool
zc_dma_is_ready(const struct zc_map *map)
{
	for (unsigned int i = 0; i < map->nregions; i++)
		if (!zc_mapping_has_dma(map->region[i].mapping))
			return false;
	return true;
}

static struct request *
next_request(void)
{
	struct request *request;

	pthread_mutex_lock(&lock);
	request = STAILQ_FIRST(&requests);
	if (request != NULL)
		STAILQ_REMOVE_HEAD(&requests, next);
	pthread_mutex_unlock(&lock);
	return request;
}

void
zc_dma_work(void)
{
	static uint64_t retry_tsc;
	struct request *request;

	if (rte_rdtsc() < retry_tsc)
		return;
	while ((request = next_request()) != NULL) {
		for (unsigned int i = 0; i < request->map->nregions; i++)
			if (zc_mapping_map_dma(request->map->region[i].mapping) < 0)
				retry_tsc = rte_rdtsc() + RETRY_S * rte_get_tsc_hz();
		zc_map_put(request->map);
		free(request);
	}
}

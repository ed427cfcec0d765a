/* SPDX-License-Identifier: BSD-3-Clause */
/* The windows of device addresses, and the queue of what is to be mapped. */
#include "dma.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <rte_common.h>

#include "mapping.h"

/*
 * Ranges are whole huge pages, and begin on 1 GB when they are that large, for the IOMMU's sake.
 * The second window counts in GB alone.
 */
#define GRANULE (2ULL << 20)
#define LARGE (1ULL << 30)

static bool low[(ZC_DMA_WINDOW_END - ZC_DMA_WINDOW_BEGIN) / GRANULE];
static bool high[(ZC_DMA_HIGH_END - ZC_DMA_WINDOW_END) / LARGE];

static const struct window {
	uint64_t begin, granule;
	bool *taken;
	size_t n;
} windows[] = {
	{ ZC_DMA_WINDOW_BEGIN, GRANULE, low, RTE_DIM(low) },
	{ ZC_DMA_WINDOW_END, LARGE, high, RTE_DIM(high) },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct request {
	struct zc_map *map;
	const struct zc_iommu *iommu;
	STAILQ_ENTRY(request) next;
};

static STAILQ_HEAD(, request) requests = STAILQ_HEAD_INITIALIZER(requests);

static size_t
granules_of(const struct window *window, size_t len)
{
	return (len + window->granule - 1) / window->granule;
}

static bool
is_free(const struct window *window, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		if (window->taken[i])
			return false;
	return true;
}

static uint64_t
take(const struct window *window, size_t len)
{
	size_t n = granules_of(window, len), step = len >= LARGE ? LARGE / window->granule : 1;

	for (size_t first = 0; first + n <= window->n; first += step)
		if (is_free(window, first, n)) {
			memset(&window->taken[first], true, n);
			return window->begin + first * window->granule;
		}
	return 0;
}

uint64_t
zc_dma_range_take(size_t len)
{
	uint64_t iova = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < RTE_DIM(windows) && iova == 0; i++)
		iova = take(&windows[i], len);
	pthread_mutex_unlock(&lock);
	return iova;
}

void
zc_dma_range_give(uint64_t iova, size_t len)
{
	const struct window *window = &windows[iova >= ZC_DMA_WINDOW_END];

	if (iova == 0)
		return;
	pthread_mutex_lock(&lock);
	memset(&window->taken[(iova - window->begin) / window->granule], false,
			granules_of(window, len));
	pthread_mutex_unlock(&lock);
}

static bool
is_requested(const struct zc_map *map, const struct zc_iommu *iommu)
{
	const struct request *request;

	STAILQ_FOREACH(request, &requests, next)
		if (request->map == map && request->iommu == iommu)
			return true;
	return false;
}

void
zc_dma_request(struct zc_map *map, const struct zc_iommu *iommu)
{
	struct request *request;

	if (zc_dma_is_ready(map, iommu))
		return;
	pthread_mutex_lock(&lock);
	if (!is_requested(map, iommu)) {
		request = calloc(1, sizeof(*request));
		if (request != NULL) {
			request->map = zc_map_get(map);
			request->iommu = iommu;
			STAILQ_INSERT_TAIL(&requests, request, next);
		}
	}
	pthread_mutex_unlock(&lock);
}

bool
zc_dma_is_ready(const struct zc_map *map, const struct zc_iommu *iommu)
{
	for (unsigned int i = 0; i < map->nregions; i++)
		if (!zc_mapping_is_known(map->region[i].mapping, iommu))
			return false;
	return true;
}

/* VFIO_IOMMU_MAP_DMA's errors, from drivers/vfio/vfio_iommu_type1.c of Linux 6.1. */
static const char *
way_out(int error)
{
	switch (-error) {
	case ENOMEM:
		return "locked memory is at its limit: raise LimitMEMLOCK (ulimit -l)";
	case ENOSPC:
		return "too many mappings: raise vfio_iommu_type1's dma_entry_limit";
	case EINVAL:
		return "the IOMMU has too few address bits, or a size isn't whole pages";
	default:
		return strerror(-error);
	}
}

const char *
zc_dma_failure(const struct zc_map *map)
{
	for (unsigned int i = 0; i < map->nregions; i++)
		if (zc_mapping_error(map->region[i].mapping) < 0)
			return way_out(zc_mapping_error(map->region[i].mapping));
	return NULL;
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
	struct request *request;

	while ((request = next_request()) != NULL) {
		for (unsigned int i = 0; i < request->map->nregions; i++)
			zc_mapping_map(request->map->region[i].mapping, request->iommu);
		zc_map_put(request->map);
		free(request);
	}
}

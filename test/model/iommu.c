/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOMMU: ranges of device addresses that zcnet has mapped, and the calls by which it does so.
 *
 * Taking memory away is looked at from the other end too: at that moment no NIC may have a
 * descriptor of it, whether the NIC would have used it soon or not.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_memory.h>
#include <rte_vfio.h>

#include "guest/iommu.h"
#include "model.h"

#define RANGES_MAX 1024

/* Who mapped it. */
enum owner { HOST, CONTAINER, OWN };

struct range {
	enum owner owner;
	uint64_t iova, len;
	uint8_t *va;
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct range range[RANGES_MAX];
static unsigned int nranges;

void
iommu_hold(void)
{
	pthread_rwlock_rdlock(&lock);
}

void
iommu_release(void)
{
	pthread_rwlock_unlock(&lock);
}

static const struct range *
range_of(enum owner owner, uint64_t iova, uint64_t len)
{
	for (unsigned int i = 0; i < nranges; i++)
		if ((range[i].owner == HOST || range[i].owner == owner) && iova >= range[i].iova &&
				len <= range[i].len && iova - range[i].iova <= range[i].len - len)
			return &range[i];
	return NULL;
}

uint8_t *
iommu_reach(const struct model *model, const struct slot *slot, uint32_t before)
{
	const struct range *r;

	if (!model->row->dma)
		return slot->va;
	r = range_of(model->row->own_map ? OWN : CONTAINER, slot->addr - before,
			slot->len + before);
	return r != NULL ? r->va + (slot->addr - r->iova) : NULL;
}

bool
iommu_is_guests(const struct slot *slot)
{
	for (unsigned int i = 0; i < nranges; i++)
		if (range[i].owner == HOST && slot->va >= range[i].va &&
				slot->va < range[i].va + range[i].len)
			return false;
	return true;
}

static int
add(enum owner owner, uint64_t iova, uint64_t len, void *va)
{
	int ret = -ENOSPC;

	pthread_rwlock_wrlock(&lock);
	if (nranges < RANGES_MAX) {
		range[nranges++] = (struct range){ .owner = owner,
			.iova = iova,
			.len = len,
			.va = va };
		ret = 0;
	}
	pthread_rwlock_unlock(&lock);
	return ret;
}

static int
add_host(const struct rte_memseg_list *list, const struct rte_memseg *ms, size_t len, void *arg)
{
	(void)list, (void)arg;
	return add(HOST, ms->iova, len, ms->addr);
}

/* ---- is any of it with a NIC? ---- */

static void
look_at(const struct model *model, const struct slot *slot, unsigned int n, uint64_t from,
		uint64_t len, bool by_va)
{
	for (unsigned int i = 0; i < n; i++) {
		uint64_t at = by_va ? (uintptr_t)slot[i].va : slot[i].addr;

		if (__atomic_load_n(&slot[i].posted, __ATOMIC_ACQUIRE) && at - from < len)
			violation(model, VIOLATION_unmapped_under_nic, "%s %#jx of %#jx+%#jx",
					by_va ? "address" : "device address", (uintmax_t)at,
					(uintmax_t)from, (uintmax_t)len);
	}
}

static void
look_at_all(uint64_t from, uint64_t len, bool by_va)
{
	for (const struct model *model = models; model != NULL; model = model->next) {
		if (!by_va && !model->row->dma)
			continue;
		for (unsigned int i = 0; i < MODEL_QUEUES_MAX; i++) {
			if (model->tx[i] != NULL)
				look_at(model, model->tx[i]->slot, model->tx[i]->size, from, len,
						by_va);
			if (model->rx[i] != NULL)
				look_at(model, model->rx[i]->slot, model->rx[i]->size, from, len,
						by_va);
		}
	}
}

/* ---- what zcnet calls ---- */

static struct zc_iommu_calls real;

int __wrap_access(const char *path, int mode);
int __real_access(const char *path, int mode);
int __wrap_rte_vfio_is_enabled(const char *modname);
int __wrap_rte_vfio_noiommu_is_enabled(void);
int __wrap_munmap(void *va, size_t len);

/* A model is in an IOMMU group of its own. */
int
__wrap_access(const char *path, int mode)
{
	return strstr(path, "/net_model") != NULL ? 0 : __real_access(path, mode);
}

int
__wrap_rte_vfio_is_enabled(const char *modname)
{
	(void)modname;
	return 1;
}

int
__wrap_rte_vfio_noiommu_is_enabled(void)
{
	return 0;
}

/* What is a driver's own goes through EAL, to iommu_own_map(). */
static int
map(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	return own != NULL ? real.map(own, hva, iova, len) : add(CONTAINER, iova, len, hva);
}

int
iommu_own_map(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t len)
{
	(void)vdev;
	return add(OWN, iova, len, va);
}

static int
take_away(enum owner owner, uint64_t iova, uint64_t len)
{
	int ret = -ENOENT;

	engine_lock();
	pthread_rwlock_wrlock(&lock);
	look_at_all(iova, len, false);
	for (unsigned int i = 0; i < nranges && ret < 0; i++) {
		if (range[i].owner != owner || range[i].iova != iova || range[i].len != len)
			continue;
		range[i] = range[--nranges];
		ret = 0;
	}
	pthread_rwlock_unlock(&lock);
	engine_unlock();
	return ret;
}

static int
unmap(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	return own != NULL ? real.unmap(own, hva, iova, len) : take_away(CONTAINER, iova, len);
}

int
iommu_own_unmap(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t len)
{
	(void)vdev, (void)va;
	return take_away(OWN, iova, len);
}

void
iommu_init(void)
{
	if (nranges > 0)
		return;
	rte_memseg_contig_walk(add_host, NULL);
	real = zc_iommu_calls;
	zc_iommu_calls = (struct zc_iommu_calls){ .map = map, .unmap = unmap };
}

int
__wrap_munmap(void *va, size_t len)
{
	int ret;

	engine_lock();
	pthread_rwlock_wrlock(&lock);
	look_at_all((uintptr_t)va, len, true);
	ret = (int)syscall(SYS_munmap, va, len);
	pthread_rwlock_unlock(&lock);
	engine_unlock();
	return ret;
}

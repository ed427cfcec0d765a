/* SPDX-License-Identifier: BSD-3-Clause */
/* Split virtqueue: index handling, publication and notification. Chains are walked in chain.c. */
#include "vq.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_prefetch.h>

#include "kick.h"

static const char *const fault_text[ZC_VQ_FAULT_COUNT] = {
	[ZC_VQ_AVAIL_JUMP] = "avail index is more than a ring ahead",
	[ZC_VQ_BAD_HEAD] = "head index outside of the descriptor table",
	[ZC_VQ_BAD_CHAIN] = "receive chain that can't be used",
};

const char *
zc_vq_fault_text(enum zc_vq_fault fault)
{
	return fault < ZC_VQ_FAULT_COUNT ? fault_text[fault] : NULL;
}

int
zc_vq_init(struct zc_vq *vq, const struct zc_vq_conf *conf)
{
	if (conf->size < 2 || conf->size > 32768 || (conf->size & (conf->size - 1)) != 0)
		return -EINVAL;
	*vq = (struct zc_vq){
		.desc = conf->desc,
		.avail = conf->avail,
		.used = conf->used,
		.size = conf->size,
		.mask = conf->size - 1,
		.next_avail = conf->next_avail,
		.seen_avail = conf->next_avail,
		.next_used = conf->next_used,
		.kicked_used = conf->next_used,
		.hdr_len = conf->hdr_len,
		.event_idx = conf->event_idx,
		.indirect = conf->indirect,
		.callfd = conf->callfd,
		.map = conf->map,
		.hot = conf->map->region[0],
	};
	vq->window = calloc(conf->size, sizeof(*vq->window));
	return vq->window != NULL ? 0 : -ENOMEM;
}

void
zc_vq_fini(struct zc_vq *vq)
{
	free(vq->window);
	vq->window = NULL;
}

void
zc_vq_break(struct zc_vq *vq, enum zc_vq_fault fault)
{
	if (vq->fault == ZC_VQ_OK)
		vq->fault = fault;
	vq->seen_avail = vq->next_avail;
}

/* Descriptors; avail ring and used ring, each with an event index behind it. */
static void
parts_of(const struct zc_vq *vq, struct zc_span part[3])
{
	const uintptr_t begin[] = { (uintptr_t)vq->desc, (uintptr_t)vq->avail,
		(uintptr_t)vq->used };
	const size_t len[] = {
		vq->size * sizeof(vq->desc[0]),
		sizeof(*vq->avail) + (vq->size + 1) * sizeof(vq->avail->ring[0]),
		sizeof(*vq->used) + vq->size * sizeof(vq->used->ring[0]) + sizeof(uint16_t),
	};

	for (unsigned int i = 0; i < 3; i++)
		part[i] = (struct zc_span){ begin[i], begin[i] + len[i] };
}

struct zc_span
zc_vq_ring_span(const struct zc_vq *vq)
{
	struct zc_span part[3], all;

	parts_of(vq, part);
	all = part[0];
	for (unsigned int i = 1; i < 3; i++) {
		all.begin = RTE_MIN(all.begin, part[i].begin);
		all.end = RTE_MAX(all.end, part[i].end);
	}
	return all;
}

bool
zc_vq_is_over_ring(const struct zc_vq *vq, const uint8_t *hva, uint32_t len)
{
	uintptr_t begin = (uintptr_t)hva;
	struct zc_span part[3];

	parts_of(vq, part);
	for (unsigned int i = 0; i < 3; i++)
		if (begin < part[i].end && begin + len > part[i].begin)
			return true;
	return false;
}

/* Where the driver reads the position at which it should notify us next (spec 2.7.10). */
static uint16_t *
avail_event(const struct zc_vq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

/* Where the driver says at which used index it wants to hear from us (spec 2.7.7). */
static uint16_t
used_event(const struct zc_vq *vq)
{
	return __atomic_load_n(&vq->avail->ring[vq->size], __ATOMIC_RELAXED);
}

void
zc_vq_suppress(struct zc_vq *vq)
{
	if (vq->event_idx)
		/*
		 * A position just behind is reached again only after a whole turn of 65536; it
		 * is moved on long before.
		 */
		__atomic_store_n(avail_event(vq), (uint16_t)(vq->next_avail - 1), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vq->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	vq->suppressed_at = vq->next_avail;
}

uint16_t
zc_vq_refresh(struct zc_vq *vq)
{
	/* Acquire: ring entries and descriptors are read after the index that covers them. */
	uint16_t idx = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	uint16_t n = idx - vq->next_avail;

	if (vq->fault != ZC_VQ_OK || n == 0)
		return 0;
	/*
	 * What is posted and what is in the window share the ring; an index that went back
	 * looks far ahead.
	 */
	if (n > vq->size - (uint16_t)(vq->next_avail - vq->next_used)) {
		zc_vq_break(vq, ZC_VQ_AVAIL_JUMP);
		return 0;
	}
	if (vq->event_idx && (uint16_t)(vq->next_avail - vq->suppressed_at) > 16384)
		zc_vq_suppress(vq);
	vq->seen_avail = idx;
	return n;
}

void
zc_vq_publish(struct zc_vq *vq, uint16_t end)
{
	uint16_t n = end - vq->next_used;
	uint16_t first = vq->next_used & vq->mask;
	uint16_t run = vq->size - first;

	if (n == 0)
		return;
	if (run > n)
		run = n;
	memcpy(&vq->used->ring[first], &vq->window[first], run * sizeof(vq->window[0]));
	if (run < n)
		memcpy(&vq->used->ring[0], &vq->window[0], (n - run) * sizeof(vq->window[0]));
	vq->next_used = end;
	/*
	 * Release: entries, and the frames they speak of, are visible before the index that
	 * covers them.
	 */
	__atomic_store_n(&vq->used->idx, end, __ATOMIC_RELEASE);
	rte_prefetch0(vq->event_idx ? (const void *)&vq->avail->ring[vq->size] : vq->avail);
}

bool
zc_vq_wants_kick(struct zc_vq *vq)
{
	uint16_t old = vq->kicked_used;
	uint16_t new = vq->next_used;

	if (old == new)
		return false;
	vq->kicked_used = new;
	/*
	 * The guest writes its wish, then reads used->idx; we write used->idx, then read its
	 * wish.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx)
		return vring_need_event(used_event(vq), new, old);
	return !(__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
}

void
zc_vq_kick(const struct zc_vq *vq)
{
	if (vq->callfd >= 0)
		zc_kick(vq->callfd);
}

bool
zc_vq_notify(struct zc_vq *vq, struct zc_counters *counters)
{
	if (!zc_vq_wants_kick(vq)) {
		ZC_COUNT(counters, kicks_suppressed, 1);
		return false;
	}
	zc_vq_kick(vq);
	ZC_COUNT(counters, kicks_sent, 1);
	return true;
}

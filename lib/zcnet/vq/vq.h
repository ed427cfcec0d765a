/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A split virtqueue, device side: take chains in avail order, publish used entries in avail order.
 *
 *                next_used              next_avail         avail->idx
 *     published     |      the window       |     posted       |
 *   ----------------+-----------------------+------------------+-----> positions (16 bits, as
 *   the ring counts them)
 *
 * The window holds one used entry per chain taken, indexed as the used ring is, so that
 * publishing is at most two memcpys. What is done in the window is the business of zcopy/; this
 * file only moves its two ends.
 *
 * Everything the guest writes is read once into a local, checked there, and never read again.
 * Works on any memory, without EAL. Spec: virtio 1.2, 2.7 (split virtqueues).
 */
#ifndef ZC_VQ_VQ_H
#define ZC_VQ_VQ_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include <rte_common.h>

#include "../core/counters.h"
#include "../core/prefetch.h"
#include "../guest/map.h"

/** Most pieces of guest memory that one chain may have. Longer chains are malformed. */
#define ZC_CHAIN_SEGS_MAX 512

/** Why a queue was stopped until the guest resets it. */
enum zc_vq_fault {
	ZC_VQ_OK,
	ZC_VQ_AVAIL_JUMP, /* avail->idx is more than the ring size ahead */
	ZC_VQ_BAD_HEAD,   /* a head index is outside of the descriptor table */
	ZC_VQ_BAD_CHAIN,  /* a receive chain that can't be used */
	ZC_VQ_FAULT_COUNT
};

/** Text of a fault, NULL for ZC_VQ_OK. */
const char *zc_vq_fault_text(enum zc_vq_fault fault);

/** One contiguous piece of guest memory. */
struct zc_seg {
	uint8_t *hva;
	uint64_t iova;
	uint32_t len;
};

/**
 * Descriptors that a queue may have walked in a turn of its worker, 32 chains of 8: a burst ends
 * there. What one chain has beyond that, and each descriptor of a malformed chain, is paid in turns
 * in which the queue is passed over, so that its neighbours get their share.
 */
#define ZC_WALK_TURN 256

/** A checked chain: all its buffers of one direction. */
struct zc_chain {
	uint32_t len;    /* bytes in all */
	uint32_t nseg;   /* pieces in use; one descriptor may be several where it crosses regions */
	uint32_t walked; /* descriptors read, of a malformed chain too */
	struct zc_seg seg[ZC_CHAIN_SEGS_MAX];
};

struct zc_vq_conf {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;       /* power of two, 2..32768 */
	uint16_t next_avail; /* where to begin */
	uint16_t next_used;
	/* bytes of virtio-net header: 12, or 10 for a legacy guest without mergeable buffers */
	uint8_t hdr_len;
	bool event_idx; /* VIRTIO_RING_F_EVENT_IDX negotiated */
	bool indirect;  /* VIRTIO_RING_F_INDIRECT_DESC negotiated */
	int callfd;     /* eventfd that interrupts the guest, -1: none */
	const struct zc_map *map;
};

/* Owner: the lcore that polls the queue, all fields; control only while the queue is not live. */
struct zc_vq {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_used_elem *window; /* [size] */
	uint16_t size;
	uint16_t mask;
	uint16_t next_avail;    /* next chain to take */
	uint16_t seen_avail;    /* avail->idx as last read */
	uint16_t next_used;     /* next used entry to publish */
	uint16_t kicked_used;   /* used index at the last notification check */
	uint16_t suppressed_at; /* next_avail when avail_event was last written */
	uint8_t hdr_len;
	bool event_idx;
	bool indirect;
	uint8_t fault; /* enum zc_vq_fault */
	int callfd;
	struct zc_region hot; /* region of the last translation */
	const struct zc_map *map;
	struct zc_chain chain; /* room for the walk in progress */
};

/** Set up @p vq on rings that are mapped. -EINVAL for a size that isn't a power of two, -ENOMEM. */
int zc_vq_init(struct zc_vq *vq, const struct zc_vq_conf *conf);
void zc_vq_fini(struct zc_vq *vq);

/** Stop taking chains until zc_vq_init(). The first fault is kept. */
void zc_vq_break(struct zc_vq *vq, enum zc_vq_fault fault);

/**
 * Ask the guest not to notify us (poll mode). With EVENT_IDX the wish ages and is renewed by
 * zc_vq_refresh().
 */
void zc_vq_suppress(struct zc_vq *vq);

/** Read avail->idx again. @return chains that can be taken, 0 on a broken queue */
uint16_t zc_vq_refresh(struct zc_vq *vq);

/** Chains that can be taken; reads avail->idx only when none is known. */
static inline uint16_t
zc_vq_avail(struct zc_vq *vq)
{
	uint16_t n = vq->seen_avail - vq->next_avail;

	return n != 0 ? n : zc_vq_refresh(vq);
}

/** Head of the chain at position @p pos, read once. May be out of range. */
static inline uint16_t
zc_vq_head(const struct zc_vq *vq, uint16_t pos)
{
	return __atomic_load_n(&vq->avail->ring[pos & vq->mask], __ATOMIC_RELAXED);
}

/**
 * Where the ring lies, for loops that keep it in registers: through a pointer it would be loaded
 * again after each store, which may alias it.
 */
struct zc_vq_view {
	const struct vring_desc *desc;
	const uint16_t *head; /* [mask + 1], of chains posted */
	struct vring_used_elem *window;
	uint32_t size;
	uint32_t mask;
};

static inline struct zc_vq_view
zc_vq_view(const struct zc_vq *vq)
{
	return (struct zc_vq_view){ vq->desc, vq->avail->ring, vq->window, vq->size, vq->mask };
}

/** A used element, made so that one store writes it. */
static inline struct vring_used_elem
zc_vq_used(uint32_t id, uint32_t len)
{
	const union {
		uint64_t word;
		struct vring_used_elem used;
	} u = { .word = (uint64_t)len << 32 | id };

	return u.used;
}

/** A descriptor anywhere in guest memory, read once. An indirect table has no alignment. */
static inline struct vring_desc
zc_desc_read(const void *hva)
{
	struct any_address {
		uint64_t word;
	} __attribute__((packed));
	volatile const struct any_address *at = hva;
	union {
		uint64_t word[2];
		struct vring_desc desc;
	} u = { .word = { at[0].word, at[1].word } };

	return u.desc;
}

/** A descriptor of the ring, read once. @p head is in range. */
static inline struct vring_desc
zc_vq_desc(const struct zc_vq *vq, uint16_t head)
{
	return zc_desc_read(&vq->desc[head]);
}

/**
 * Translate one buffer that must lie in one region; the region of the last call is tried first.
 *
 * @return our address, or NULL; @p iova receives the device address
 */
static inline uint8_t *
zc_vq_translate(struct zc_vq *vq, uint64_t gpa, uint32_t len, uint64_t *iova)
{
	const struct zc_region *region;

	if (!zc_region_holds(&vq->hot, gpa, len)) {
		region = zc_map_region(vq->map, gpa);
		if (region == NULL || !zc_region_holds(region, gpa, len))
			return NULL;
		vq->hot = *region;
	}
	*iova = vq->hot.iova + (gpa - vq->hot.gpa);
	return vq->hot.hva + (gpa - vq->hot.gpa);
}

/** Does a buffer lie in one region? If so, that is hot then. */
static inline bool
zc_vq_holds(struct zc_vq *vq, uint64_t gpa, uint32_t len)
{
	uint64_t iova;

	return zc_vq_translate(vq, gpa, len, &iova) != NULL;
}

/**
 * Walk the chain that starts at @p head: direct, indirect, or direct ones and then one indirect
 * table.
 *
 * @param head     in range
 * @param writable true: buffers the device writes (receive), false: buffers it reads (transmit)
 * @return 0; -EINVAL for a loop, a bad index, address, length, direction or table; -E2BIG for
 *   more than
 *   ZC_CHAIN_SEGS_MAX pieces. Nothing is taken from the ring.
 */
int zc_vq_chain(struct zc_vq *vq, uint16_t head, bool writable, struct zc_chain *chain);

/**
 * The indirect table that @p desc points to, when it lies in one region.
 *
 * @param count receives its descriptors, 0 when it is malformed
 * @return the table, which has no alignment (spec 2.7.5.3), or NULL
 */
const struct vring_desc *zc_vq_table(struct zc_vq *vq, struct vring_desc desc, uint32_t *count);

/**
 * Drop @p bytes from the front of a chain, e.g. the virtio-net header.
 *
 * @return 0, -EINVAL when the chain is shorter
 */
int zc_chain_trim(struct zc_chain *chain, uint32_t bytes);

/** Bytes of our address space. */
struct zc_span {
	uintptr_t begin, end;
};

/** The smallest span that holds all three parts of the ring; they may be far apart. */
struct zc_span zc_vq_ring_span(const struct zc_vq *vq);

/** Does a buffer lie over a part of the ring? */
bool zc_vq_is_over_ring(const struct zc_vq *vq, const uint8_t *hva, uint32_t len);

/** Used entry of position @p pos. */
static inline struct vring_used_elem *
zc_vq_entry(struct zc_vq *vq, uint16_t pos)
{
	return &vq->window[pos & vq->mask];
}

/**
 * Ask for the cache lines of the used ring that the next @p n entries from @p pos will be written
 * to: the guest has them, and publication would wait for each.
 */
static inline void
zc_vq_prefetch_used(const struct zc_vq *vq, uint16_t pos, uint16_t n)
{
	for (uint16_t i = 0; i < n; i += RTE_CACHE_LINE_SIZE / sizeof(vq->used->ring[0]))
		zc_prefetch_write(&vq->used->ring[(pos + i) & vq->mask]);
	zc_prefetch_write(&vq->used->idx);
}

/** Publish the window up to position @p end (exclusive): used entries, then one index write. */
void zc_vq_publish(struct zc_vq *vq, uint16_t end);

/**
 * Does the guest want to be told about what was published since the last call?
 * Spec 2.7.7.2 and 2.7.10: flags without EVENT_IDX, used_event with it.
 */
bool zc_vq_wants_kick(struct zc_vq *vq);

/** Interrupt the guest. A full eventfd counts as delivered. */
void zc_vq_kick(const struct zc_vq *vq);

/** Was anything published that the guest has not been asked about? */
static inline bool
zc_vq_owes_kick(const struct zc_vq *vq)
{
	return vq->kicked_used != vq->next_used;
}

/**
 * Interrupt the guest if it wants to know of what was published, and count that.
 *
 * Best called some time after zc_vq_publish(): looking at the guest's wish has to wait until the
 * publication is visible, which takes as long as the guest's core holds those lines, and the wish
 * lies in a line that zc_vq_publish() has asked for.
 *
 * @return it was interrupted
 */
bool zc_vq_notify(struct zc_vq *vq, struct zc_counters *counters);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue kept full for next to nothing.
 *
 * Chains are built once, and the avail ring is filled once in such a way that its entries repeat:
 * position p always names chain p modulo the number of chains, a power of two. While the device
 * gives chains back in order, going round costs one read of the used index and one write of the
 * avail index a batch. The last used entry of each batch and, now and then, all of them are
 * compared with the order expected; after the first difference the flood goes on entry by entry.
 *
 * The same loop serves both directions: chains that come back are frames sent, or received.
 */
#ifndef FLOOD_H
#define FLOOD_H

#include "frame.h"
#include "frontend.h"

struct flood_conf {
	uint32_t size;          /* tx: bytes of a frame; rx: bytes of a buffer, header included */
	unsigned int desc;      /* descriptors in a chain, default 1 */
	bool hdr_alone;         /* one more, for the header */
	bool table;             /* in an indirect table */
	unsigned int buffers;   /* distinct ones, turn by turn; 0: one per chain */
	bool walk;              /* through all of frontend_conf.extra_bytes, out of cache */
	bool exact;             /* rx: read every used entry and header, count frames and bytes */
	unsigned int batch;     /* chains to wait for before going on; 0: 32 or a quarter */
	struct frame_plan plan; /* addresses in the frame */
	const char *worker; /* its schedstat in /proc; NULL: its waits for a CPU are gaps, too */
};

struct flood {
	struct frontend *fe;
	struct gqueue *q;
	struct flood_conf conf;
	unsigned int index;
	uint16_t chains, mask; /* mask: of the ring */
	uint16_t *head;        /* by position modulo chains */
	uint16_t used, avail;  /* positions */
	uint16_t seen;         /* used index at the last look */
	unsigned int still;    /* looks since it moved */
	uint64_t still_us;     /* when there had been many of them */
	uint64_t still_wait_us;
	uint64_t vain_us, nap_us; /* before the last of them; end of the last nap since */
	uint64_t gap_us;          /* the longest that nothing came back, but for worker's waits */
	unsigned int lap;         /* chains until all entries are checked again */
	bool ordered;
	bool *out;     /* entry by entry: by id, whether the device has the chain */
	uint16_t more; /* exact: buffers that belong to the last frame */
	uint64_t buf_gpa, buf_end, buf_next, stride;
	uint64_t count;         /* chains that came back */
	uint64_t frames, bytes; /* rx, exact: what the headers say */
	uint64_t busy_cycles;   /* in turns that did something */
	uint64_t turns, dry;    /* dry: of these, those that found nothing left with the device */
	const char *err;
};

void flood_conf_init(struct flood_conf *conf);

/**
 * Take queue @p index over: started, and nothing posted on it yet. Publishes all chains.
 * @return 0, -EINVAL, -ENOMEM, -ENOSPC (buffers do not fit; raise slot_bytes or extra_bytes)
 */
int flood_init(struct flood *f, struct frontend *fe, unsigned int index,
		const struct flood_conf *conf);
void flood_fini(struct flood *f);

/** One turn. @return chains that came back, or -EPROTO (f->err) */
int flood_poll(struct flood *f);

/** Publish nothing more and wait until all is back. @return 0, -ETIMEDOUT, -EPROTO */
int flood_drain(struct flood *f, unsigned int timeout_us);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a front-end may say: vhost-user messages as an input has them, sensible or not, about a
 * guest with two regions of memory and two queue pairs.
 */
#ifndef FUZZ_SAY_H
#define FUZZ_SAY_H

#include "frontend.h"
#include "fuzz.h"

#define SAY_REGION (64u * 1024)
#define SAY_REGIONS 2
#define SAY_PAIRS 2

/* What a message may come with; regions of memory are first. */
enum {
	SAY_FD_MEM,
	SAY_FD_MEM_2,
	SAY_FD_EVENT,
	SAY_FD_NULL,
	SAY_FD_PIPE,
	SAY_FD_SOCKET,
	SAY_FD_KINDS
};

struct speaker {
	int sock;
	int fd[SAY_FD_KINDS];
	uint8_t *mem[SAY_REGIONS];
};

/** Once a process. */
void say_open(struct speaker *sp);

/** Any bytes with any descriptors; the other end may have hung up. */
void say_bytes(struct speaker *sp, const struct vhu_msg *msg, size_t len, const int *fds,
		unsigned int n);

/** Anything at all, cut anywhere. */
void say_anything(struct speaker *sp, struct bytes *in);

/** All that comes first, until rings work; or less. */
void say_hello(struct speaker *sp, struct bytes *in);

/** A memory table that is nearly right. */
void say_memory(struct speaker *sp, struct bytes *in);

/** Where ring @p index lies; @p wrong moves parts of it. */
void say_ring(struct speaker *sp, uint32_t index, uint8_t wrong, struct bytes *in);

/** Size, state or enabling of a ring. */
void say_about_ring(struct speaker *sp, struct bytes *in);

/** A descriptor for a ring, or for the log. */
void say_fd(struct speaker *sp, struct bytes *in);

/** All that a front-end says until a ring works. */
void say_start_of_ring(struct speaker *sp, uint32_t index, uint16_t size);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Saying one message to a back-end, whole or wrong. Connects again where it hung up. */
#ifndef SAID_SAY_H
#define SAID_SAY_H

#include "said.h"

#define HDR_BYTES 12 /* of a message: request, flags, size */

#define IOTLB_MSG 22
#define CRYPTO_CREATE 26
#define POSTCOPY_ADVISE 28
#define POSTCOPY_LISTEN 29
#define POSTCOPY_END 30

/** Connect again, if the back-end hung up. @return 0, or said_fail() */
int said_reopen(struct said *s);

/** The back-end answers with a failure or hangs up, @return 0, or said_fail() */
int said_refused(struct said *s, struct vhu_msg m, const int *fds, unsigned int n);

/** The back-end says that it took it, @return 0, or said_fail() */
int said_taken(struct said *s, struct vhu_msg m, const int *fds, unsigned int n);

/** It may be either, @return 0, or said_fail() when there was neither */
int said_survived(struct said *s, struct vhu_msg m, const int *fds, unsigned int n);

struct vhu_msg said_msg_u64(uint32_t request, uint64_t value);
struct vhu_msg said_msg_state(uint32_t request, uint32_t index, uint32_t num);

/** Where that ring is. */
struct vhu_msg said_msg_addr(const struct frontend *fe, unsigned int index);

/** All its memory. */
struct vhu_msg said_msg_table(const struct frontend *fe);

struct vhu_msg said_msg_inflight(uint32_t request, uint64_t size, uint64_t offset, uint16_t queues,
		uint16_t ring);

/** Any request, complete and as a front-end would send it. */
struct vhu_msg said_msg_whole(const struct frontend *fe, uint32_t request);

/** How many descriptors belong to it. */
unsigned int said_fds_of(const struct frontend *fe, uint32_t request);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the self-test: memory of this program, lent to a port as a virtual machine lends its
 * own. It sends frames that it knows again when they come back.
 */
#ifndef APP_SELFTEST_GUEST_H
#define APP_SELFTEST_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <zcio.h>

/** Bytes of a buffer: enough for the longest frame of a NIC that counts in powers of two. */
#define APP_GUEST_ROOM 16384

struct app_guest {
	struct zcio *io;
	int fd; /**< of the memory */
	uint8_t *mem;
	uint8_t mac[6]; /**< frames are from it, and for it */
	/** buffers to send from */
	uint8_t *unused[ZCIO_DEPTH];
	unsigned int nunused;
	uint32_t seq;      /**< frames made */
	uint64_t back_tsc; /**< when a buffer came back last */
	uint64_t received;
	uint64_t own;     /**< of these, our own */
	uint64_t altered; /**< our own with other bytes than were sent */
};

/** Lend memory to the port with that socket, and post buffers to receive into. 0 or -errno */
int app_guest_begin(struct app_guest *guest, const char *socket, const uint8_t mac[6]);
void app_guest_end(struct app_guest *guest);

/**
 * Send frames and wait until all buffers are back.
 *
 * @param us receives microseconds from the last frame posted to the last buffer back
 * @return buffers that did not come back within 5 s without any
 */
unsigned int app_guest_send(struct app_guest *guest, uint32_t bytes, unsigned int frames,
		uint64_t *us);

/** Receive what is there. */
void app_guest_poll(struct app_guest *guest);

#endif

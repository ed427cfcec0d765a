/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupting a guest.
 *
 * Its eventfd belongs to the front-end, which may fill the counter and make the file blocking at
 * any time: a write would then wait for ever, and the worker with it. So the kernel is made to
 * signal it, which never waits: as the eventfd of an asynchronous request (io_submit(2), aio_resfd)
 * that is done at once, a poll of a descriptor that is always ready.
 */
#include "kick.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Requests that a thread makes before it takes in that they are done. */
#define REQUESTS 64

/* Something to read, always; -1: not set up. */
static int ready = -1;

/* A thread's own. Threads that interrupt guests live as long as the process. */
static _Thread_local aio_context_t ctx;
static _Thread_local bool tried;

int
zc_kick_init(void)
{
	ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	return ready >= 0 ? 0 : -errno;
}

void
zc_kick_fini(void)
{
	close(ready);
	ready = -1;
}

static void
take_in(void)
{
	struct io_event done[REQUESTS];
	struct timespec now = { 0 };

	syscall(SYS_io_getevents, ctx, 0, REQUESTS, done, &now);
}

static int
submit(int fd)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = ready,
		.aio_buf = POLLIN,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = fd,
	};
	struct iocb *requests[] = { &request };

	return syscall(SYS_io_submit, ctx, 1, requests) == 1 ? 0 : -errno;
}

/* A kernel without such requests, or with no more of them, is asked once. */
static bool
can_submit(void)
{
	if (!tried && ready >= 0) {
		tried = true;
		syscall(SYS_io_setup, REQUESTS, &ctx);
	}
	return ready >= 0 && ctx != 0;
}

void
zc_kick(int fd)
{
	if (!can_submit()) {
		eventfd_write(fd, 1);
		return;
	}
	if (submit(fd) == -EAGAIN) {
		take_in();
		submit(fd);
	}
}

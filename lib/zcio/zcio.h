/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous reads and writes of frames in an application's own memory.
 *
 * The application is to zcnet what a guest is: it lends its memory over the vhost-user socket of a
 * port, and posts buffers of it. A NIC sends from them and receives into them where its driver can;
 * nothing is copied, and a callback tells when the application has a buffer back. The socket may
 * belong to another process or to libzcnet in this one.
 */
#ifndef ZCIO_H
#define ZCIO_H

#include <stddef.h>
#include <stdint.h>

#define ZCIO_DEPTH 256 /* operations of a kind under way at a time, at most */

struct zcio;

/** An operation is done: @p bytes of @p buf were sent, or received. */
typedef void (*zcio_done)(void *arg, void *buf, size_t bytes);

/**
 * Lend memory to a port.
 *
 * @param fd    of the memory: memfd_create(), a file of hugetlbfs
 * @param mem   where fd is mapped, shared, from its beginning on
 * @param bytes a multiple of the page size
 * @return NULL with errno
 */
struct zcio *zcio_open(const char *socket, int fd, void *mem, size_t bytes);

/** The port lets go of the memory. Operations under way are forgotten. */
void zcio_close(struct zcio *io);

/**
 * Send a frame from, or receive one into, lent memory. The buffer is the port's until the callback.
 * @return 0, or -EAGAIN while ZCIO_DEPTH are under way
 */
int zcio_write(struct zcio *io, void *buf, size_t bytes, zcio_done done, void *arg);
int zcio_read(struct zcio *io, void *buf, size_t room, zcio_done done, void *arg);

/** Run the callbacks of what is done. @return how many */
unsigned int zcio_poll(struct zcio *io);

#endif

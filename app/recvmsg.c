/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recvmsg(), before libc's.
 *
 * librte_vhost 22.11.11 reads a message with its file descriptors, and when it is for a ring above
 * 255, returns without closing them and without asking anybody (vhost_user_msg_handler() and
 * vhost_user_check_and_alloc_queue_pair() in vhost_user.c): a front-end that says that again and
 * again uses up the program's. All it reads passes here first. Descriptors with a message about a
 * ring that has none by the vhost-user specification are closed, and the message is not received;
 * librte_vhost then closes the connection.
 *
 * A definition in the program comes before those in libraries, for the libraries, too. A library
 * should not do that to its users, so libzcnet leaves it to the application.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#define HEADER_BYTES 12 /* of a vhost-user message; librte_vhost reads it alone */

enum about_a_ring {
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_ENABLE = 18,
	SET_INFLIGHT_FD = 32, /* has one, but is not offered (port/vhost.c) */
};

static bool
is_header(const struct msghdr *msg, ssize_t len)
{
	return len == HEADER_BYTES && msg->msg_iovlen == 1 &&
			msg->msg_iov[0].iov_len == HEADER_BYTES;
}

static bool
has_no_fds(const struct msghdr *msg)
{
	uint32_t request;

	memcpy(&request, msg->msg_iov[0].iov_base, sizeof(request));
	switch (request) {
	case SET_VRING_NUM:
	case SET_VRING_ADDR:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
	case SET_VRING_ENABLE:
	case SET_INFLIGHT_FD:
		return true;
	default:
		return false;
	}
}

/* @return so many were closed */
static size_t
close_fds(struct msghdr *msg)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		const uint8_t *data = CMSG_DATA(c), *end = (const uint8_t *)c + c->cmsg_len;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (; data < end; data += sizeof(int), n++) {
			int fd;

			memcpy(&fd, data, sizeof(fd));
			close(fd);
		}
	}
	msg->msg_controllen = 0;
	return n;
}

/* The name that librte_vhost's calls are bound to. */
__attribute__((visibility("default"))) ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t (*next)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
	ssize_t len = next(fd, msg, flags);

	if (is_header(msg, len) && has_no_fds(msg) && close_fds(msg) > 0) {
		errno = EPROTO;
		return -1;
	}
	return len;
}

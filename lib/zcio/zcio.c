/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small vhost-user front-end: two split rings, VERSION_1 and no other feature, polled. Addresses
 * in rings are the application's own. See zcio.h.
 */
#include "zcio.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define DESCS (2 * ZCIO_DEPTH) /* header and frame */
#define HDR 12
#define RING_BYTES 32768

enum {
	GET_FEATURES = 1,
	SET_FEATURES,
	SET_OWNER,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR,
	SET_VRING_BASE,
	SET_VRING_KICK = 12,
	SET_VRING_CALL
};

struct region {
	uint64_t gpa, size, uva, offset;
};

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		uint32_t state[2];
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, pad;
			struct region region[2];
		} mem;
	};
} __attribute__((packed));

struct operation {
	void *buf;
	size_t bytes;
	zcio_done done;
	void *arg;
};

/* Memory of a ring and its headers, as it lies in the shared file. */
struct ring_memory {
	struct vring_desc desc[DESCS];
	uint8_t hdr[ZCIO_DEPTH][16];
	struct {
		uint16_t flags, idx, ring[DESCS];
	} avail __attribute__((aligned(64)));
	struct {
		uint16_t flags, idx;
		struct vring_used_elem ring[DESCS];
	} used __attribute__((aligned(64)));
};

_Static_assert(sizeof(struct ring_memory) <= RING_BYTES, "a ring has its room");

struct ring {
	struct ring_memory *mem;
	uint16_t used_idx;
	int kick, call;
	uint16_t nfree;
	uint16_t free[ZCIO_DEPTH]; /* slots: descriptors 2 * slot and 2 * slot + 1 */
	struct operation op[ZCIO_DEPTH];
};

enum { RX, TX };

struct zcio {
	int sock, fd;
	uint8_t *rings;
	struct ring ring[2];
};

static int
say(struct zcio *io, struct message *m, uint32_t request, uint32_t size, const int *fd, int nfd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec part = { .iov_base = m, .iov_len = 12 + size };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };

	m->request = request;
	m->flags = 1;
	m->size = size;
	if (nfd > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfd * sizeof(int));
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(nfd * sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), fd, nfd * sizeof(int));
	}
	return sendmsg(io->sock, &msg, MSG_NOSIGNAL) == (ssize_t)part.iov_len ? 0 : -1;
}

static int
negotiate(struct zcio *io)
{
	struct message m = { 0 };

	if (say(io, &m, GET_FEATURES, 0, NULL, 0) < 0 || recv(io->sock, &m, 20, MSG_WAITALL) != 20)
		return -1;
	m.u64 &= 1ULL << VIRTIO_F_VERSION_1;
	return say(io, &m, SET_FEATURES, 8, NULL, 0) < 0 ? -1 : say(io, &m, SET_OWNER, 0, NULL, 0);
}

static int
lend(struct zcio *io, int fd, void *mem, size_t bytes)
{
	struct message m = { .mem = { .n = 2 } };

	m.mem.region[0] = (struct region){ (uintptr_t)mem, bytes, (uintptr_t)mem, 0 };
	m.mem.region[1] = (struct region){ (uintptr_t)io->rings, 2 * RING_BYTES,
		(uintptr_t)io->rings, 0 };
	return say(io, &m, SET_MEM_TABLE, 8 + 2 * sizeof(struct region), (int[]){ fd, io->fd }, 2);
}

static int
start_ring(struct zcio *io, uint32_t index)
{
	struct ring *r = &io->ring[index];
	struct message m;

	m.state[0] = index;
	m.state[1] = DESCS;
	if (say(io, &m, SET_VRING_NUM, 8, NULL, 0) < 0)
		return -1;
	m.state[1] = 0;
	if (say(io, &m, SET_VRING_BASE, 8, NULL, 0) < 0)
		return -1;
	memset(&m.addr, 0, sizeof(m.addr));
	m.addr.index = index;
	m.addr.desc = (uintptr_t)r->mem->desc;
	m.addr.avail = (uintptr_t)&r->mem->avail;
	m.addr.used = (uintptr_t)&r->mem->used;
	if (say(io, &m, SET_VRING_ADDR, sizeof(m.addr), NULL, 0) < 0)
		return -1;
	m.u64 = index;
	if (say(io, &m, SET_VRING_CALL, 8, &r->call, 1) < 0)
		return -1;
	return say(io, &m, SET_VRING_KICK, 8, &r->kick, 1);
}

static int
make_rings(struct zcio *io)
{
	io->fd = memfd_create("zcio", MFD_CLOEXEC);
	if (io->fd < 0 || ftruncate(io->fd, 2 * RING_BYTES) < 0)
		return -1;
	io->rings = mmap(NULL, 2 * RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, io->fd, 0);
	if (io->rings == MAP_FAILED)
		return -1;
	for (int i = 0; i < 2; i++) {
		struct ring *r = &io->ring[i];

		r->mem = (struct ring_memory *)(void *)(io->rings + i * RING_BYTES);
		r->mem->avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
		r->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		r->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		while (r->nfree < ZCIO_DEPTH)
			r->free[r->nfree] = r->nfree, r->nfree++;
		if (r->kick < 0 || r->call < 0)
			return -1;
	}
	return 0;
}

struct zcio *
zcio_open(const char *socket_path, int fd, void *mem, size_t bytes)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct zcio *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	strncpy(addr.sun_path, socket_path, sizeof(addr.sun_path) - 1);
	io->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	io->fd = io->ring[RX].kick = io->ring[RX].call = io->ring[TX].kick = io->ring[TX].call = -1;
	io->rings = MAP_FAILED;
	if (io->sock >= 0 && connect(io->sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
			make_rings(io) == 0 && negotiate(io) == 0 &&
			lend(io, fd, mem, bytes) == 0 && start_ring(io, RX) == 0 &&
			start_ring(io, TX) == 0)
		return io;
	zcio_close(io);
	return NULL;
}

void
zcio_close(struct zcio *io)
{
	int error = errno;

	if (io->rings != MAP_FAILED)
		munmap(io->rings, 2 * RING_BYTES);
	for (int i = 0; i < 2; i++) {
		close(io->ring[i].kick);
		close(io->ring[i].call);
	}
	close(io->fd);
	close(io->sock);
	free(io);
	errno = error;
}

static int
post(struct ring *r, uint16_t flags, const struct operation *op)
{
	struct ring_memory *mem = r->mem;
	uint16_t slot;

	if (r->nfree == 0)
		return -EAGAIN;
	slot = r->free[--r->nfree];
	r->op[slot] = *op;
	memset(mem->hdr[slot], 0, HDR);
	mem->desc[2 * slot] = (struct vring_desc){ (uintptr_t)mem->hdr[slot], HDR,
		flags | VRING_DESC_F_NEXT, 2 * slot + 1 };
	mem->desc[2 * slot + 1] = (struct vring_desc){ (uintptr_t)op->buf, op->bytes, flags, 0 };
	mem->avail.ring[mem->avail.idx % DESCS] = 2 * slot;
	__atomic_store_n(&mem->avail.idx, mem->avail.idx + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&mem->used.flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY))
		eventfd_write(r->kick, 1);
	return 0;
}

int
zcio_write(struct zcio *io, void *buf, size_t bytes, zcio_done done, void *arg)
{
	return post(&io->ring[TX], 0, &(struct operation){ buf, bytes, done, arg });
}

int
zcio_read(struct zcio *io, void *buf, size_t room, zcio_done done, void *arg)
{
	return post(&io->ring[RX], VRING_DESC_F_WRITE, &(struct operation){ buf, room, done, arg });
}

static unsigned int
reap(struct ring *r, bool received)
{
	unsigned int n = 0;

	for (; r->used_idx != __atomic_load_n(&r->mem->used.idx, __ATOMIC_ACQUIRE); n++) {
		struct vring_used_elem used = r->mem->used.ring[r->used_idx++ % DESCS];
		uint16_t slot = used.id / 2 % ZCIO_DEPTH;
		struct operation op = r->op[slot];

		r->free[r->nfree++] = slot;
		op.done(op.arg, op.buf, received ? used.len - HDR : op.bytes);
	}
	return n;
}

unsigned int
zcio_poll(struct zcio *io)
{
	return reap(&io->ring[RX], true) + reap(&io->ring[TX], false);
}

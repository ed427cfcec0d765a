/* SPDX-License-Identifier: BSD-3-Clause */
/* See say.h. */
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events.h"

#define FDS_MAX 10
#define HDR_BYTES offsetof(struct vhu_msg, u64)

void
say_bytes(struct speaker *sp, const struct vhu_msg *msg, size_t len, const int *fds, unsigned int n)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		struct cmsghdr *c;

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	/* The other end may have hung up, or have much to hear. */
	while (sendmsg(sp->sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
		events_run();
}

static int
some_fd(struct speaker *sp, uint8_t what)
{
	return sp->fd[what % SAY_FD_KINDS];
}

static void
say(struct speaker *sp, struct vhu_msg *msg, const int *fds, unsigned int n)
{
	msg->flags |= VHU_FLAG_VERSION;
	say_bytes(sp, msg, HDR_BYTES + msg->size, fds, n);
}

void
say_anything(struct speaker *sp, struct bytes *in)
{
	struct vhu_msg msg = { .request = bytes_u8(in) % 45, .flags = bytes_u8(in) };
	uint8_t n = bytes_u8(in), cut = bytes_u8(in);
	int fds[FDS_MAX];
	size_t len;

	msg.size = bytes_u8(in) % 4 == 3 ? bytes_u32(in) : bytes_u8(in);
	len = HDR_BYTES + bytes_copy(in, msg.bytes, msg.size < sizeof(msg.bytes) ? msg.size : 16);
	if (msg.size <= sizeof(msg.bytes))
		len = HDR_BYTES + msg.size;
	for (unsigned int i = 0; i < n % FDS_MAX; i++)
		fds[i] = some_fd(sp, bytes_u8(in));
	if (cut % 8 == 7)
		len = len * cut / 256;
	if (len > 0)
		say_bytes(sp, &msg, len, fds, n % FDS_MAX);
}

/* How many regions, then what is wrong with each. */
void
say_memory(struct speaker *sp, struct bytes *in)
{
	struct vhu_msg msg = { .request = VHU_SET_MEM_TABLE };
	uint8_t how = bytes_u8(in);
	unsigned int n = how == 0 ? SAY_REGIONS : how % 9, n_fds = how / 16 == 1 ? how % 7 : n;
	int fds[FDS_MAX];

	msg.mem.n = n;
	msg.size = 8 + n * sizeof(struct vhu_region);
	for (unsigned int i = 0; i < n && i < GMEM_REGIONS_MAX; i++) {
		uint8_t wrong = how == 0 ? 0 : bytes_u8(in);
		struct vhu_region r = { .gpa = 0x100000ull * (1 + i),
			.size = SAY_REGION,
			.va = 0x70000000ull + 0x100000 * i };

		if (wrong & 1)
			r.gpa = bytes_u64(in);
		if (wrong & 2)
			r.size = wrong & 128 ? bytes_u64(in) : bytes_u16(in);
		if (wrong & 4)
			r.offset = wrong & 128 ? bytes_u64(in) : bytes_u16(in);
		if (wrong & 8)
			r.va = bytes_u64(in);
		msg.mem.region[i] = r;
		fds[i] = some_fd(sp, wrong & 16 ? bytes_u8(in) : i % SAY_REGIONS);
	}
	for (unsigned int i = n; i < n_fds; i++)
		fds[i] = some_fd(sp, i);
	say(sp, &msg, fds, n_fds < 8 ? n_fds : 8);
}

static void
say_number(struct speaker *sp, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhu_msg msg = { .request = request, .size = 8, .state = { index, num } };

	say(sp, &msg, NULL, 0);
}

static void
say_u64(struct speaker *sp, uint32_t request, uint64_t value, const int *fd)
{
	struct vhu_msg msg = { .request = request, .size = 8, .u64 = value };

	say(sp, &msg, fd, fd != NULL);
}

/* The parts are an eighth of a region apart. */
void
say_ring(struct speaker *sp, uint32_t index, uint8_t wrong, struct bytes *in)
{
	struct vhu_msg msg = { .request = VHU_SET_VRING_ADDR, .size = sizeof(msg.addr) };
	uint64_t base = 0x70000000ull + index % 2 * 0x100000 + index / 2 % 2 * (SAY_REGION / 2);
	uint64_t off = wrong & 8 ? bytes_u64(in) : wrong & 7 ? bytes_u16(in) : 0;

	msg.addr.index = index;
	msg.addr.flags = wrong & 16 ? bytes_u8(in) : 0;
	msg.addr.log = wrong & 32 ? bytes_u64(in) : 0;
	msg.addr.desc = base + (wrong & 1 ? off : 0);
	msg.addr.avail = base + SAY_REGION / 8 + (wrong & 2 ? off : 0);
	msg.addr.used = base + SAY_REGION / 4 + (wrong & 4 ? off : 0);
	say(sp, &msg, NULL, 0);
}

void
say_start_of_ring(struct speaker *sp, uint32_t index, uint16_t size)
{
	int fd = sp->fd[SAY_FD_EVENT];

	say_number(sp, VHU_SET_VRING_NUM, index, size);
	say_number(sp, VHU_SET_VRING_BASE, index, 0);
	say_ring(sp, index, 0, NULL);
	say_u64(sp, VHU_SET_VRING_CALL, index, &fd);
	say_u64(sp, VHU_SET_VRING_KICK, index, &fd);
	say_number(sp, VHU_SET_VRING_ENABLE, index, 1);
}

void
say_hello(struct speaker *sp, struct bytes *in)
{
	uint64_t features = 1ULL << 32 | 1ULL << VHU_F_PROTOCOL_FEATURES | 3ULL << 28 | 1ULL << 15;
	uint8_t how = bytes_u8(in);

	if (how & 1)
		features ^= 1ULL << bytes_u8(in) % 64;
	say_u64(sp, VHU_SET_PROTOCOL_FEATURES, how & 2 ? bytes_u64(in) : 1 << VHU_PF_MQ, NULL);
	say_u64(sp, VHU_SET_FEATURES, features, NULL);
	if (how & 4)
		return;
	say_memory(sp, &(struct bytes){ 0 });
	for (uint32_t i = 0; i < (how & 8 ? 2 * SAY_PAIRS : 2); i++)
		say_start_of_ring(sp, i, how & 16 ? 8 : 64);
}

void
say_about_ring(struct speaker *sp, struct bytes *in)
{
	static const uint32_t requests[] = { VHU_SET_VRING_NUM, VHU_SET_VRING_BASE,
		VHU_GET_VRING_BASE, VHU_SET_VRING_ENABLE };
	uint8_t what = bytes_u8(in);

	say_number(sp, requests[what % 4], what / 4 % 16 < 12 ? what / 4 % 4 : bytes_u8(in),
			what & 64 ? bytes_u32(in) : bytes_u8(in));
}

void
say_fd(struct speaker *sp, struct bytes *in)
{
	static const uint32_t requests[] = { VHU_SET_VRING_KICK, VHU_SET_VRING_CALL,
		VHU_SET_VRING_ERR, VHU_SET_LOG_FD };
	uint8_t what = bytes_u8(in), kind = bytes_u8(in);
	int fd = some_fd(sp, kind);

	say_u64(sp, requests[what % 4], what / 4 % 4 | (kind & 128 ? 256 : 0),
			kind & 64 ? NULL : &fd);
}

void
say_open(struct speaker *sp)
{
	int pipes[2];

	for (unsigned int i = 0; i < SAY_REGIONS; i++) {
		sp->fd[i] = memfd_create("guest", MFD_CLOEXEC);
		if (ftruncate(sp->fd[i], SAY_REGION) < 0)
			abort();
		sp->mem[i] = mmap(NULL, SAY_REGION, PROT_READ | PROT_WRITE, MAP_SHARED, sp->fd[i],
				0);
	}
	if (pipe(pipes) < 0)
		abort();
	sp->fd[SAY_FD_EVENT] = eventfd(0, EFD_NONBLOCK);
	sp->fd[SAY_FD_NULL] = open("/dev/null", O_RDWR);
	sp->fd[SAY_FD_PIPE] = pipes[1];
	sp->fd[SAY_FD_SOCKET] = socket(AF_UNIX, SOCK_STREAM, 0);
}

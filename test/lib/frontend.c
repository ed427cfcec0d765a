/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user front-end: memory, socket, handshake, ring work.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/memfd.h>
#include <linux/virtio_config.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "frame.h"
#include "frontend.h"

#define MIB (1ULL << 20)
#define GPA_BASE (256 * MIB)
#define GPA_HOLE (16 * MIB)
#define CROSS_ROOM (128 * 1024)
#define HDR_BYTES offsetof(struct vhu_msg, u64)

#define BIT(n) (1ULL << (n))

static int
failed(struct frontend *fe, int ret, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(fe->error, sizeof(fe->error), format, ap);
	va_end(ap);
	return ret;
}

const char *
frontend_error(const struct frontend *fe)
{
	return fe->error;
}

void
frontend_conf_init(struct frontend_conf *conf)
{
	*conf = (struct frontend_conf){
		.pairs = 1,
		.ring_size = 256,
		.table_len = 64,
		.slot_bytes = 16384,
		.regions = 2,
		.features = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
				BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_VQ) |
				BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX),
		.protocol_features = BIT(VHU_PF_MQ) | BIT(VHU_PF_REPLY_ACK),
		.timeout_ms = 5000,
	};
}

/* ---- memory ---- */

static uint64_t
align(uint64_t x, uint64_t a)
{
	return (x + a - 1) & ~(a - 1);
}

static int
region_map(struct frontend *fe, unsigned int i)
{
	struct gmem_region *r = &fe->mem.region[i];
	int fd = memfd_create("guest", MFD_CLOEXEC | (fe->conf.hugepages ? MFD_HUGETLB : 0));
	void *va;

	if (fd < 0)
		return failed(fe, -errno, "cannot create a memfd: %s", strerror(errno));
	if (ftruncate(fd, (off_t)r->size) < 0) {
		close(fd);
		return failed(fe, -errno, "cannot size a memfd: %s", strerror(errno));
	}
	va = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (va == MAP_FAILED) {
		close(fd);
		return failed(fe, -ENOMEM, "cannot map %llu MiB of guest memory%s",
				(unsigned long long)(r->size / MIB),
				fe->conf.hugepages ? ": reserve more hugepages" : "");
	}
	r->va = va;
	fe->memfd[i] = fd;
	return 0;
}

static void
region_unmap(struct frontend *fe, unsigned int i)
{
	munmap(fe->mem.region[i].va, fe->mem.region[i].size);
	close(fe->memfd[i]);
}

/* Reserve bytes in a region that has no memory yet; answers the offset. */
static uint64_t
reserve(struct frontend *fe, unsigned int region, uint64_t bytes)
{
	uint64_t at = fe->mem.region[region].size;

	fe->mem.region[region].size = at + align(bytes, 4096);
	return at;
}

/* Rings in region 0; buffers turn by turn in the others, so that a chain can be spread. */
static unsigned int
buffer_region(const struct frontend *fe, unsigned int turn)
{
	return fe->conf.regions == 1 ? 0 : 1 + turn % (fe->conf.regions - 1);
}

/* Offsets become addresses: the place of each region is known now. */
static void
memory_settle(struct frontend *fe)
{
	uint64_t gpa = GPA_BASE, unit = fe->conf.hugepages ? 2 * MIB : 4096;
	struct gmem *m = &fe->mem;

	for (unsigned int i = 0; i < m->n; i++) {
		struct gmem_region *r = &m->region[i];

		r->size = align(r->size, unit);
		r->gpa = gpa;
		gpa += r->size;
		if (!fe->conf.cross || i + 2 != m->n)
			gpa = align(gpa, 2 * MIB) + GPA_HOLE;
	}
	if (fe->conf.cross) {
		m->cross_gpa = m->region[m->n - 1].gpa;
		m->cross_room = CROSS_ROOM;
	}
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++) {
		struct gqueue_conf *c = &fe->queue[i].gq.conf;

		c->ring_gpa += m->region[0].gpa;
		c->area_gpa[0] += m->region[buffer_region(fe, 2 * i)].gpa;
		c->area_gpa[1] += m->region[buffer_region(fe, 2 * i + 1)].gpa;
		fe->queue[i].extra_gpa += m->region[buffer_region(fe, 2 * i)].gpa;
	}
}

static int
memory_create(struct frontend *fe)
{
	const struct frontend_conf *fc = &fe->conf;
	int ret;

	fe->mem.n = fc->regions;
	if (fc->cross)
		reserve(fe, fc->regions - 1, CROSS_ROOM);
	for (unsigned int i = 0; i < 2 * fc->pairs; i++) {
		struct gqueue_conf *c = &fe->queue[i].gq.conf;
		size_t area = gqueue_area_bytes(fc->ring_size, fc->slot_bytes);

		*c = (struct gqueue_conf){ .rx = i % 2 == 0,
			.size = fc->ring_size,
			.table_len = fc->table_len,
			.slot_bytes = fc->slot_bytes,
			.n_areas = GQ_AREAS_MAX };
		c->ring_gpa = reserve(fe, 0, gqueue_ring_bytes(fc->ring_size, fc->table_len));
		c->area_gpa[0] = reserve(fe, buffer_region(fe, 2 * i), area);
		c->area_gpa[1] = reserve(fe, buffer_region(fe, 2 * i + 1), area);
		fe->queue[i].extra_gpa = reserve(fe, buffer_region(fe, 2 * i), fc->extra_bytes);
	}
	if (fc->cross)
		reserve(fe, fc->regions - 2, CROSS_ROOM);
	for (unsigned int i = 0; i < fc->regions; i++)
		if (fe->mem.region[i].size == 0)
			reserve(fe, i, 4096);
	memory_settle(fe);
	for (unsigned int i = 0; i < fc->regions; i++) {
		ret = region_map(fe, i);
		if (ret < 0) {
			fe->mem.n = i;
			return ret;
		}
	}
	return 0;
}

/* ---- socket ---- */

static int
sock_addr(struct frontend *fe, struct sockaddr_un *un)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if (strlen(fe->conf.path) >= sizeof(un->sun_path))
		return failed(fe, -ENAMETOOLONG, "socket path %s is too long", fe->conf.path);
	strcpy(un->sun_path, fe->conf.path);
	return 0;
}

static int
sock_listen(struct frontend *fe)
{
	struct sockaddr_un un;
	int ret = sock_addr(fe, &un);

	if (ret < 0)
		return ret;
	fe->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fe->listen_fd < 0)
		return failed(fe, -errno, "cannot create a socket: %s", strerror(errno));
	unlink(fe->conf.path);
	if (bind(fe->listen_fd, (struct sockaddr *)&un, sizeof(un)) < 0 ||
			listen(fe->listen_fd, 1) < 0)
		return failed(fe, -errno, "cannot listen on %s: %s", fe->conf.path,
				strerror(errno));
	return 0;
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
nap_us(unsigned int us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000L }, NULL);
}

static int
sock_accept(struct frontend *fe)
{
	struct pollfd p = { .fd = fe->listen_fd, .events = POLLIN };
	int n = poll(&p, 1, (int)fe->conf.timeout_ms);

	if (n == 0)
		return failed(fe, -ETIMEDOUT, "no back-end connected to %s in %u ms", fe->conf.path,
				fe->conf.timeout_ms);
	fe->sock = n < 0 ? -1 : accept4(fe->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fe->sock < 0)
		return failed(fe, -errno, "cannot accept on %s: %s", fe->conf.path,
				strerror(errno));
	return 0;
}

/* The back-end may not listen yet: try until the time is over. */
static int
sock_connect(struct frontend *fe)
{
	uint64_t end = now_us() + 1000ULL * fe->conf.timeout_ms;
	struct sockaddr_un un;
	int ret = sock_addr(fe, &un), err;

	if (ret < 0)
		return ret;
	do {
		fe->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fe->sock < 0)
			return failed(fe, -errno, "cannot create a socket: %s", strerror(errno));
		if (connect(fe->sock, (struct sockaddr *)&un, sizeof(un)) == 0)
			return 0;
		err = errno;
		frontend_disconnect(fe);
		nap_us(5000);
	} while ((err == ENOENT || err == ECONNREFUSED || err == EAGAIN) && now_us() < end);
	return failed(fe, -err, "cannot connect to %s: %s", fe->conf.path, strerror(err));
}

int
frontend_socket_open(struct frontend *fe)
{
	struct timeval t = { .tv_sec = fe->conf.timeout_ms / 1000,
		.tv_usec = fe->conf.timeout_ms % 1000 * 1000 };
	int ret = fe->conf.server ? sock_accept(fe) : sock_connect(fe);

	if (ret < 0)
		return ret;
	setsockopt(fe->sock, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fe->sock, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	return 0;
}

void
frontend_disconnect(struct frontend *fe)
{
	if (fe->sock >= 0)
		close(fe->sock);
	fe->sock = -1;
	fe->started = false;
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++)
		fe->queue[i].started = false;
}

bool
frontend_alive(struct frontend *fe)
{
	ssize_t n;
	char c;

	if (fe->sock < 0)
		return false;
	n = recv(fe->sock, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

/* ---- messages ---- */

int
frontend_send_raw(struct frontend *fe, const void *bytes, size_t len, const int *fds,
		unsigned int n_fds)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 64)
		return failed(fe, -EINVAL, "at most 64 descriptors go with a message");
	if (n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	if (sendmsg(fe->sock, &m, MSG_NOSIGNAL) != (ssize_t)len)
		return failed(fe, errno ? -errno : -EPIPE, "cannot send: %s", strerror(errno));
	fe->stats.msgs_sent++;
	return 0;
}

static int
recv_all(struct frontend *fe, void *to, size_t len)
{
	ssize_t n = len == 0 ? 0 : recv(fe->sock, to, len, MSG_WAITALL);

	if (n == (ssize_t)len)
		return 0;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return failed(fe, -ETIMEDOUT, "no answer in %u ms", fe->conf.timeout_ms);
	return failed(fe, -EPIPE, "the back-end closed the connection");
}

int
frontend_recv(struct frontend *fe, struct vhu_msg *msg)
{
	int ret = recv_all(fe, msg, HDR_BYTES);

	if (ret < 0)
		return ret;
	if (msg->size > sizeof(msg->bytes))
		return failed(fe, -EPROTO, "answer to request %u has %u bytes", msg->request,
				msg->size);
	return recv_all(fe, &msg->u64, msg->size);
}

static bool
has_own_reply(uint32_t request)
{
	switch (request) {
	case VHU_GET_FEATURES:
	case VHU_GET_PROTOCOL_FEATURES:
	case VHU_GET_QUEUE_NUM:
	case VHU_GET_VRING_BASE:
	case VHU_GET_CONFIG:
	case VHU_GET_STATUS:
	case VHU_GET_INFLIGHT_FD:
		return true;
	default:
		return false;
	}
}

int
frontend_call(struct frontend *fe, struct vhu_msg *msg, const int *fds, unsigned int n_fds)
{
	uint32_t request = msg->request;
	bool ack = (fe->protocol_features & BIT(VHU_PF_REPLY_ACK)) && !has_own_reply(request);
	int ret;

	msg->flags |= VHU_FLAG_VERSION | (ack ? VHU_FLAG_NEED_REPLY : 0);
	ret = frontend_send_raw(fe, msg, HDR_BYTES + msg->size, fds, n_fds);
	if (ret < 0 || (!ack && !has_own_reply(request)))
		return ret;
	ret = frontend_recv(fe, msg);
	if (ret < 0)
		return ret;
	fe->stats.replies++;
	if (msg->request != request || (msg->flags & VHU_FLAG_REPLY) == 0)
		return failed(fe, -EPROTO, "request %u was answered with %u, flags %#x", request,
				msg->request, msg->flags);
	if (ack && msg->u64 != 0) {
		fe->stats.nacks++;
		return failed(fe, -EREMOTEIO, "the back-end refused request %u", request);
	}
	return 0;
}

static int
call_none(struct frontend *fe, uint32_t request)
{
	struct vhu_msg m = { .request = request };

	return frontend_call(fe, &m, NULL, 0);
}

static int
call_set(struct frontend *fe, uint32_t request, uint64_t value)
{
	struct vhu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = value };

	return frontend_call(fe, &m, NULL, 0);
}

static int
call_get(struct frontend *fe, uint32_t request, uint64_t *value)
{
	struct vhu_msg m = { .request = request };
	int ret = frontend_call(fe, &m, NULL, 0);

	if (ret == 0)
		*value = m.u64;
	return ret;
}

static int
call_state(struct frontend *fe, uint32_t request, unsigned int index, uint32_t num, uint32_t *out)
{
	struct vhu_msg m = { .request = request,
		.size = sizeof(m.state),
		.state = { .index = index, .num = num } };
	int ret = frontend_call(fe, &m, NULL, 0);

	if (ret == 0 && out != NULL)
		*out = m.state.num;
	return ret;
}

static int
call_fd(struct frontend *fe, uint32_t request, unsigned int index, int fd)
{
	struct vhu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = index };

	return frontend_call(fe, &m, &fd, 1);
}

/* ---- handshake ---- */

static int
protocol_negotiate(struct frontend *fe)
{
	int ret;

	fe->protocol_features = 0;
	if ((fe->offered & BIT(VHU_F_PROTOCOL_FEATURES)) == 0 || fe->conf.no_protocol_features)
		return 0;
	ret = call_get(fe, VHU_GET_PROTOCOL_FEATURES, &fe->protocol_offered);
	if (ret == 0)
		ret = call_set(fe, VHU_SET_PROTOCOL_FEATURES,
				fe->protocol_offered & fe->conf.protocol_features);
	if (ret == 0)
		fe->protocol_features = fe->protocol_offered & fe->conf.protocol_features;
	return ret;
}

static int
queues_negotiate(struct frontend *fe)
{
	int ret;

	fe->max_queues = 1;
	if (fe->protocol_features & BIT(VHU_PF_MQ)) {
		ret = call_get(fe, VHU_GET_QUEUE_NUM, &fe->max_queues);
		if (ret < 0)
			return ret;
	}
	if (fe->conf.pairs > fe->max_queues)
		return failed(fe, -ENOTSUP, "%u queue pairs wanted, the back-end has %llu",
				fe->conf.pairs, (unsigned long long)fe->max_queues);
	return 0;
}

int
frontend_negotiate(struct frontend *fe)
{
	int ret = call_get(fe, VHU_GET_FEATURES, &fe->offered);

	if (ret == 0)
		ret = protocol_negotiate(fe);
	if (ret == 0)
		ret = queues_negotiate(fe);
	if (ret == 0)
		ret = call_none(fe, VHU_SET_OWNER);
	for (unsigned int i = 0; ret == 0 && i < 2 * fe->conf.pairs; i++)
		ret = call_fd(fe, VHU_SET_VRING_CALL, i, fe->queue[i].call_fd);
	fe->features = fe->offered & fe->conf.features;
	return ret;
}

int
frontend_connect(struct frontend *fe)
{
	int ret = frontend_socket_open(fe);

	if (ret == 0)
		ret = frontend_negotiate(fe);
	if (ret < 0)
		frontend_disconnect(fe);
	return ret;
}

int
frontend_set_mem_table(struct frontend *fe)
{
	struct vhu_msg m = { .request = VHU_SET_MEM_TABLE };

	m.mem.n = fe->mem.n;
	m.size = 8 + fe->mem.n * sizeof(struct vhu_region);
	for (unsigned int i = 0; i < fe->mem.n; i++) {
		const struct gmem_region *r = &fe->mem.region[i];

		m.mem.region[i] = (struct vhu_region){ .gpa = r->gpa,
			.size = r->size,
			.va = (uintptr_t)r->va };
	}
	return frontend_call(fe, &m, fe->memfd, fe->mem.n);
}

static int
call_addr(struct frontend *fe, unsigned int index)
{
	const struct drv_ring *r = &fe->queue[index].gq.ring;
	struct vhu_msg m = { .request = VHU_SET_VRING_ADDR, .size = sizeof(m.addr) };

	m.addr.index = index;
	m.addr.desc = (uintptr_t)gmem_va(&fe->mem, r->desc_gpa, 1);
	m.addr.avail = (uintptr_t)gmem_va(&fe->mem, r->driver_gpa, 1);
	m.addr.used = (uintptr_t)gmem_va(&fe->mem, r->device_gpa, 1);
	return frontend_call(fe, &m, NULL, 0);
}

int
frontend_queue_setup(struct frontend *fe, unsigned int index)
{
	struct frontend_queue *q = &fe->queue[index];
	int ret = call_state(fe, VHU_SET_VRING_NUM, index, fe->conf.ring_size, NULL);

	if (ret == 0)
		ret = call_state(fe, VHU_SET_VRING_BASE, index, q->base, NULL);
	if (ret == 0)
		ret = call_addr(fe, index);
	if (ret == 0)
		ret = call_fd(fe, VHU_SET_VRING_KICK, index, q->kick_fd);
	if (ret == 0)
		ret = call_fd(fe, VHU_SET_VRING_CALL, index, q->call_fd);
	q->started = ret == 0;
	return ret;
}

int
frontend_queue_enable(struct frontend *fe, unsigned int index, bool on)
{
	/* Without protocol features a ring is enabled from its start. */
	if ((fe->offered & BIT(VHU_F_PROTOCOL_FEATURES)) == 0 || fe->conf.no_protocol_features)
		return 0;
	return call_state(fe, VHU_SET_VRING_ENABLE, index, on, NULL);
}

/* Ring formats are known once features are. */
static int
rings_place(struct frontend *fe)
{
	for (unsigned int i = 0; i < 2 * fe->conf.pairs && !fe->placed; i++) {
		struct gqueue_conf c = fe->queue[i].gq.conf;
		int ret;

		c.features = fe->features;
		ret = gqueue_init(&fe->queue[i].gq, &fe->mem, &c);
		if (ret < 0) {
			while (i > 0)
				gqueue_fini(&fe->queue[--i].gq);
			return failed(fe, ret, "cannot lay a ring of %u out: %s", c.size,
					strerror(-ret));
		}
		drv_ring_call_never(&fe->queue[i].gq.ring);
	}
	fe->placed = true;
	return 0;
}

static int
status_add(struct frontend *fe, uint64_t status)
{
	if ((fe->protocol_features & BIT(VHU_PF_STATUS)) == 0)
		return 0;
	return call_set(fe, VHU_SET_STATUS, status);
}

int
frontend_start(struct frontend *fe)
{
	uint64_t protocol = fe->conf.no_protocol_features ? 0 : BIT(VHU_F_PROTOCOL_FEATURES);
	int ret = rings_place(fe);

	if (ret == 0)
		ret = call_set(fe, VHU_SET_FEATURES, fe->features | (fe->offered & protocol));
	if (ret == 0)
		ret = frontend_set_mem_table(fe);
	for (unsigned int i = 0; ret == 0 && i < 2 * fe->conf.pairs; i++)
		ret = frontend_queue_setup(fe, i);
	for (unsigned int i = 0; ret == 0 && i < 2 * fe->conf.pairs; i++)
		ret = frontend_queue_enable(fe, i, true);
	if (ret == 0)
		ret = status_add(fe,
				VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
						VIRTIO_CONFIG_S_FEATURES_OK |
						VIRTIO_CONFIG_S_DRIVER_OK);
	fe->started = ret == 0;
	/* What was published while the device was away waits for a kick. */
	for (unsigned int i = 0; ret == 0 && i < 2 * fe->conf.pairs; i++)
		if (drv_ring_pending(&fe->queue[i].gq.ring) > 0)
			frontend_kick(fe, i);
	return ret;
}

int
frontend_queue_stop(struct frontend *fe, unsigned int index)
{
	struct frontend_queue *q = &fe->queue[index];
	int ret = call_state(fe, VHU_GET_VRING_BASE, index, 0, &q->base);

	q->started = false;
	return ret;
}

int
frontend_stop(struct frontend *fe)
{
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < 2 * fe->conf.pairs; i++)
		if (fe->queue[i].started)
			ret = frontend_queue_stop(fe, i);
	if (ret == 0)
		ret = status_add(fe, 0);
	fe->started = false;
	return ret;
}

void
frontend_reset(struct frontend *fe)
{
	for (unsigned int i = 0; i < 2 * fe->conf.pairs && fe->placed; i++) {
		gqueue_reset(&fe->queue[i].gq);
		drv_ring_call_never(&fe->queue[i].gq.ring);
		fe->queue[i].base = 0;
	}
}

int
frontend_reconnect(struct frontend *fe)
{
	uint64_t features = fe->features;
	int ret;

	frontend_disconnect(fe);
	for (unsigned int i = 0; i < 2 * fe->conf.pairs && fe->placed; i++)
		fe->queue[i].base = drv_ring_crash_base(&fe->queue[i].gq.ring);
	ret = frontend_connect(fe);
	if (ret < 0)
		return ret;
	if (fe->placed && (features & ~fe->features) != 0)
		return failed(fe, -ENOTSUP, "the new back-end lacks features %#llx in use",
				(unsigned long long)(features & ~fe->features));
	fe->features = fe->placed ? features : fe->features;
	return frontend_start(fe);
}

int
frontend_mem_add(struct frontend *fe, uint64_t bytes)
{
	unsigned int i = fe->mem.n;
	struct gmem_region *r = &fe->mem.region[i];
	int ret;

	if (i == GMEM_REGIONS_MAX)
		return failed(fe, -ENOSPC, "there are eight regions already");
	r->size = align(bytes, fe->conf.hugepages ? 2 * MIB : 4096);
	r->gpa = align(gmem_dead_end(&fe->mem), 2 * MIB) + GPA_HOLE;
	ret = region_map(fe, i);
	if (ret < 0)
		return ret;
	fe->mem.n++;
	ret = frontend_set_mem_table(fe);
	return ret < 0 ? ret : (int)i;
}

int
frontend_mem_del(struct frontend *fe, unsigned int region)
{
	struct gmem_region gone;
	int fd, ret;

	if (region == 0 || region >= fe->mem.n)
		return failed(fe, -EINVAL, "region %u holds rings or does not exist", region);
	gone = fe->mem.region[region];
	fd = fe->memfd[region];
	fe->mem.n--;
	for (unsigned int i = region; i < fe->mem.n; i++) {
		fe->mem.region[i] = fe->mem.region[i + 1];
		fe->memfd[i] = fe->memfd[i + 1];
	}
	ret = frontend_set_mem_table(fe);
	munmap(gone.va, gone.size);
	close(fd);
	return ret;
}

/* ---- life ---- */

static int
queues_create(struct frontend *fe)
{
	fe->queue = calloc(2 * fe->conf.pairs, sizeof(*fe->queue));
	if (fe->queue == NULL)
		return failed(fe, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++)
		fe->queue[i].kick_fd = fe->queue[i].call_fd = -1;
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++) {
		fe->queue[i].kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		fe->queue[i].call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fe->queue[i].kick_fd < 0 || fe->queue[i].call_fd < 0)
			return failed(fe, -errno, "cannot create an eventfd: %s", strerror(errno));
	}
	return 0;
}

static int
conf_check(struct frontend *fe)
{
	const struct frontend_conf *c = &fe->conf;

	if (c->pairs == 0 || c->pairs > 128)
		return failed(fe, -EINVAL, "%u queue pairs: 1 to 128 are possible", c->pairs);
	if (c->regions == 0 || c->regions > GMEM_REGIONS_MAX)
		return failed(fe, -EINVAL, "%u regions: 1 to 8 are possible", c->regions);
	if (c->cross && c->regions < 3)
		return failed(fe, -EINVAL, "crossing layouts need 3 regions");
	if (c->ring_size == 0 || c->ring_size > 32768 || (c->ring_size & (c->ring_size - 1)) != 0)
		return failed(fe, -EINVAL, "ring size %u is no power of two", c->ring_size);
	if (c->path == NULL)
		return failed(fe, -EINVAL, "no socket path given");
	return 0;
}

struct frontend *
frontend_create(const struct frontend_conf *conf)
{
	struct frontend *fe = calloc(1, sizeof(*fe));
	int ret;

	if (fe == NULL)
		return NULL;
	fe->conf = *conf;
	fe->sock = fe->listen_fd = -1;
	ret = conf_check(fe);
	if (ret == 0)
		ret = queues_create(fe);
	if (ret == 0)
		ret = memory_create(fe);
	if (ret == 0 && conf->server)
		ret = sock_listen(fe);
	if (ret == 0)
		return fe;
	fprintf(stderr, "frontend: %s\n", fe->error);
	frontend_destroy(fe);
	return NULL;
}

void
frontend_destroy(struct frontend *fe)
{
	if (fe == NULL)
		return;
	if (fe->sock >= 0)
		close(fe->sock);
	if (fe->listen_fd >= 0) {
		close(fe->listen_fd);
		unlink(fe->conf.path);
	}
	for (unsigned int i = 0; fe->queue != NULL && i < 2 * fe->conf.pairs; i++) {
		gqueue_fini(&fe->queue[i].gq);
		if (fe->queue[i].kick_fd >= 0)
			close(fe->queue[i].kick_fd);
		if (fe->queue[i].call_fd >= 0)
			close(fe->queue[i].call_fd);
	}
	for (unsigned int i = 0; i < fe->mem.n; i++)
		if (fe->mem.region[i].va != NULL)
			region_unmap(fe, i);
	free(fe->queue);
	free(fe);
}

struct gqueue *
frontend_rx(struct frontend *fe, unsigned int pair)
{
	return &fe->queue[frontend_rxq(pair)].gq;
}

struct gqueue *
frontend_tx(struct frontend *fe, unsigned int pair)
{
	return &fe->queue[frontend_txq(pair)].gq;
}

/* ---- rings ---- */

void
frontend_kick(struct frontend *fe, unsigned int index)
{
	uint64_t one = 1;

	if (write(fe->queue[index].kick_fd, &one, sizeof(one)) == sizeof(one)) {
		fe->queue[index].kicks++;
		__atomic_fetch_add(&fe->stats.kicks, 1, __ATOMIC_RELAXED);
	}
}

void
frontend_publish(struct frontend *fe, unsigned int index)
{
	if (drv_ring_publish(&fe->queue[index].gq.ring))
		frontend_kick(fe, index);
}

static void
call_wait(struct frontend *fe, struct frontend_queue *q, uint64_t us)
{
	struct pollfd p = { .fd = q->call_fd, .events = POLLIN };
	struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
	uint64_t n;

	if (ppoll(&p, 1, &t, NULL) == 1 && read(q->call_fd, &n, sizeof(n)) == sizeof(n)) {
		q->calls += n;
		__atomic_fetch_add(&fe->stats.calls, n, __ATOMIC_RELAXED);
	}
}

int
frontend_wait_used(struct frontend *fe, unsigned int index, unsigned int n, unsigned int timeout_us,
		bool by_call)
{
	struct frontend_queue *q = &fe->queue[index];
	uint64_t now = now_us(), end = now + timeout_us;
	unsigned int have, rounds = 0;

	while ((have = drv_ring_used_count(&q->gq.ring)) < n && now < end) {
		if (by_call) {
			drv_ring_call_after(&q->gq.ring, n);
			if (drv_ring_used_count(&q->gq.ring) < n)
				call_wait(fe, q, end - now < 100000 ? end - now : 100000);
			drv_ring_call_never(&q->gq.ring);
		} else if (++rounds > 200) {
			nap_us(20);
		}
		if (rounds % 1024 == 0 && !frontend_alive(fe))
			return failed(fe, -EPIPE, "the back-end closed the connection");
		now = now_us();
	}
	return (int)have;
}

int
frontend_tx_burst(struct frontend *fe, unsigned int pair, const struct layout *l,
		const void *const *frames, const uint32_t *lens, unsigned int n)
{
	struct gqueue *q = frontend_tx(fe, pair);
	int ret = gqueue_tx_reclaim(q), sent = 0;

	if (ret < 0)
		return failed(fe, ret, "transmit queue %u: %s", pair, q->err);
	for (; sent < (int)n; sent++) {
		ret = gqueue_tx_frame(q, l, NULL, frames[sent], lens[sent]);
		if (ret < 0)
			break;
	}
	frontend_publish(fe, frontend_txq(pair));
	if (ret < 0 && ret != -ENOSPC && ret != -EBUSY && sent == 0)
		return failed(fe, ret, "cannot queue a frame of %u bytes: %s", lens[0],
				strerror(-ret));
	return sent;
}

int
frontend_rx_burst(struct frontend *fe, unsigned int pair, unsigned int n, uint32_t buf_len,
		const struct layout *l, frontend_rx_cb cb, void *arg)
{
	struct gqueue *q = frontend_rx(fe, pair);
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t frame[FRAME_LEN_MAX];
	int ret = 0, got = 0;

	for (; got < (int)n; got++) {
		ret = gqueue_rx_frame(q, frame, sizeof(frame), &hdr);
		if (ret < 0)
			break;
		cb(arg, pair, frame, (uint32_t)ret, &hdr);
	}
	if (ret < 0 && ret != -EAGAIN)
		return failed(fe, ret, "receive queue %u: %s", pair,
				ret == -EPROTO ? q->err : strerror(-ret));
	if (got > 0) {
		gqueue_rx_fill(q, buf_len, l);
		frontend_publish(fe, frontend_rxq(pair));
	}
	return got;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user front-end: socket, messages, handshake.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "clock.h"
#include "frontend_priv.h"

#define HDR_BYTES offsetof(struct vhu_msg, u64)

#define BIT(n) (1ULL << (n))

/* ---- socket ---- */

static int
sock_addr(struct frontend *fe, struct sockaddr_un *un)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if (strlen(fe->conf.path) >= sizeof(un->sun_path))
		return frontend_failed(fe, -ENAMETOOLONG, "socket path %s is too long",
				fe->conf.path);
	strcpy(un->sun_path, fe->conf.path);
	return 0;
}

int
frontend_listen(struct frontend *fe)
{
	struct sockaddr_un un;
	int ret = sock_addr(fe, &un);

	if (ret < 0)
		return ret;
	fe->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fe->listen_fd < 0)
		return frontend_failed(fe, -errno, "cannot create a socket: %s", strerror(errno));
	unlink(fe->conf.path);
	if (bind(fe->listen_fd, (struct sockaddr *)&un, sizeof(un)) < 0 ||
			listen(fe->listen_fd, 1) < 0)
		return frontend_failed(fe, -errno, "cannot listen on %s: %s", fe->conf.path,
				strerror(errno));
	return 0;
}

static int
sock_accept(struct frontend *fe)
{
	struct pollfd p = { .fd = fe->listen_fd, .events = POLLIN };
	int n = poll(&p, 1, (int)fe->conf.timeout_ms);

	if (n == 0)
		return frontend_failed(fe, -ETIMEDOUT, "no back-end connected to %s in %u ms",
				fe->conf.path, fe->conf.timeout_ms);
	fe->sock = n < 0 ? -1 : accept4(fe->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fe->sock < 0)
		return frontend_failed(fe, -errno, "cannot accept on %s: %s", fe->conf.path,
				strerror(errno));
	return 0;
}

/* The back-end may not listen yet: try until the time is over. */
static int
sock_connect(struct frontend *fe)
{
	uint64_t end = clock_us() + 1000ULL * fe->conf.timeout_ms;
	struct sockaddr_un un;
	int ret = sock_addr(fe, &un), err;

	if (ret < 0)
		return ret;
	do {
		fe->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fe->sock < 0)
			return frontend_failed(fe, -errno, "cannot create a socket: %s",
					strerror(errno));
		if (connect(fe->sock, (struct sockaddr *)&un, sizeof(un)) == 0)
			return 0;
		err = errno;
		frontend_disconnect(fe);
		clock_nap_us(5000);
	} while ((err == ENOENT || err == ECONNREFUSED || err == EAGAIN) && clock_us() < end);
	return frontend_failed(fe, -err, "cannot connect to %s: %s", fe->conf.path, strerror(err));
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
		return frontend_failed(fe, -EINVAL, "at most 64 descriptors go with a message");
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
		return frontend_failed(fe, errno ? -errno : -EPIPE, "cannot send: %s",
				strerror(errno));
	fe->stats.msgs_sent++;
	return 0;
}

static int
recv_all(struct frontend *fe, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		ssize_t n = recv(fe->sock, at, len, MSG_WAITALL);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return frontend_failed(fe, -ETIMEDOUT, "no answer in %u ms",
					fe->conf.timeout_ms);
		if (n == 0 || (n < 0 && errno != EINTR))
			return frontend_failed(fe, -EPIPE, "the back-end closed the connection");
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int
frontend_recv(struct frontend *fe, struct vhu_msg *msg)
{
	int ret = recv_all(fe, msg, HDR_BYTES);

	if (ret < 0)
		return ret;
	if (msg->size > sizeof(msg->bytes))
		return frontend_failed(fe, -EPROTO, "answer to request %u has %u bytes",
				msg->request, msg->size);
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
		return frontend_failed(fe, -EPROTO, "request %u was answered with %u, flags %#x",
				request, msg->request, msg->flags);
	if (ack && msg->u64 != 0) {
		fe->stats.nacks++;
		return frontend_failed(fe, -EREMOTEIO, "the back-end refused request %u", request);
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
		return frontend_failed(fe, -ENOTSUP, "%u queue pairs wanted, the back-end has %llu",
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
			return frontend_failed(fe, ret, "cannot lay a ring of %u out: %s", c.size,
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
		return frontend_failed(fe, -ENOTSUP, "the new back-end lacks features %#llx in use",
				(unsigned long long)(features & ~fe->features));
	fe->features = fe->placed ? features : fe->features;
	return frontend_start(fe);
}

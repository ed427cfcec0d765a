/* SPDX-License-Identifier: BSD-3-Clause */
/* Saying a message and hearing what the back-end makes of it; messages as they should be. */
#include "said_say.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

static bool
has_own_reply(uint32_t request)
{
	return request == VHU_GET_FEATURES || request == VHU_GET_PROTOCOL_FEATURES ||
			request == VHU_GET_QUEUE_NUM || request == VHU_GET_VRING_BASE ||
			request == VHU_GET_CONFIG || request == VHU_GET_INFLIGHT_FD ||
			request == POSTCOPY_ADVISE || request == POSTCOPY_END ||
			request == VHU_GET_STATUS || request == VHU_SET_LOG_BASE;
}

int
said_reopen(struct said *s)
{
	if (frontend_alive(s->fe))
		return 0;
	frontend_disconnect(s->fe);
	return frontend_socket_open(s->fe) == 0 ? 0 : said_fail(s, "%s", frontend_error(s->fe));
}

/* 0: taken, -EREMOTEIO: refused, or what went wrong. @p m gets the answer. */
static int
say(struct said *s, struct vhu_msg *m, const int *fds, unsigned int n)
{
	bool own = has_own_reply(m->request);
	int ret = said_reopen(s);

	if (ret < 0)
		return ret;
	if ((m->flags & 0x7) == 0)
		m->flags |= VHU_FLAG_VERSION | (own ? 0 : VHU_FLAG_NEED_REPLY);
	ret = frontend_send_raw(s->fe, m, HDR_BYTES + m->size, fds, n);
	if (ret == 0)
		ret = frontend_recv(s->fe, m);
	if (ret == -EPIPE || ret == -ECONNRESET || (ret == 0 && !own && m->u64 != 0))
		return -EREMOTEIO;
	return ret == 0 ? 0 : said_fail(s, "request %u: %s", m->request, frontend_error(s->fe));
}

int
said_refused(struct said *s, struct vhu_msg m, const int *fds, unsigned int n)
{
	const struct vhu_msg was = m;
	int ret = say(s, &m, fds, n);

	if (ret == 0)
		return said_fail(s, "request %u of %u bytes with %u descriptors was taken",
				was.request, was.size, n);
	return ret == -EREMOTEIO ? 0 : ret;
}

int
said_taken(struct said *s, struct vhu_msg m, const int *fds, unsigned int n)
{
	int ret = say(s, &m, fds, n);

	return ret == -EREMOTEIO ? said_fail(s, "request %u was refused", m.request) : ret;
}

int
said_survived(struct said *s, struct vhu_msg m, const int *fds, unsigned int n)
{
	int ret = say(s, &m, fds, n);

	return ret == -EREMOTEIO ? 0 : ret;
}

/* ---- messages ---- */

struct vhu_msg
said_msg_u64(uint32_t request, uint64_t value)
{
	return (struct vhu_msg){ .request = request, .size = sizeof(value), .u64 = value };
}

struct vhu_msg
said_msg_state(uint32_t request, uint32_t index, uint32_t num)
{
	return (struct vhu_msg){ .request = request,
		.size = 8,
		.state = { .index = index, .num = num } };
}

struct vhu_msg
said_msg_addr(const struct frontend *fe, unsigned int index)
{
	const struct drv_ring *r = &fe->queue[index].gq.ring;

	return (struct vhu_msg){ .request = VHU_SET_VRING_ADDR,
		.size = sizeof(((struct vhu_msg *)NULL)->addr),
		.addr = { .index = index,
				.desc = (uintptr_t)gmem_va(&fe->mem, r->desc_gpa, 1),
				.avail = (uintptr_t)gmem_va(&fe->mem, r->driver_gpa, 1),
				.used = (uintptr_t)gmem_va(&fe->mem, r->device_gpa, 1) } };
}

struct vhu_msg
said_msg_table(const struct frontend *fe)
{
	struct vhu_msg m = { .request = VHU_SET_MEM_TABLE };

	m.mem.n = fe->mem.n;
	m.size = 8 + fe->mem.n * sizeof(struct vhu_region);
	for (unsigned int i = 0; i < fe->mem.n; i++)
		m.mem.region[i] = (struct vhu_region){ .gpa = fe->mem.region[i].gpa,
			.size = fe->mem.region[i].size,
			.va = (uintptr_t)fe->mem.region[i].va };
	return m;
}

struct vhu_msg
said_msg_inflight(uint32_t request, uint64_t size, uint64_t offset, uint16_t queues, uint16_t ring)
{
	struct vhu_msg m = { .request = request, .size = 24 };

	memcpy(m.bytes, &size, 8);
	memcpy(m.bytes + 8, &offset, 8);
	memcpy(m.bytes + 16, &queues, 2);
	memcpy(m.bytes + 18, &ring, 2);
	return m;
}

struct vhu_msg
said_msg_whole(const struct frontend *fe, uint32_t request)
{
	switch (request) {
	case VHU_SET_MEM_TABLE:
		return said_msg_table(fe);
	case VHU_SET_VRING_ADDR:
		return (struct vhu_msg){ .request = request, .size = 40 };
	case VHU_SET_VRING_NUM:
		return said_msg_state(request, 0, 256);
	case VHU_SET_FEATURES:
		return said_msg_u64(request, 1ULL << VIRTIO_F_VERSION_1);
	case VHU_NET_SET_MTU:
		return said_msg_u64(request, 1500);
	case VHU_GET_INFLIGHT_FD:
	case VHU_SET_INFLIGHT_FD:
		return said_msg_inflight(request, 4096, 0, 1, 256);
	case VHU_GET_FEATURES:
	case VHU_SET_OWNER:
	case VHU_GET_PROTOCOL_FEATURES:
	case VHU_GET_QUEUE_NUM:
	case VHU_GET_STATUS:
		return (struct vhu_msg){ .request = request };
	default:
		return said_msg_u64(request, 0);
	}
}

unsigned int
said_fds_of(const struct frontend *fe, uint32_t request)
{
	if (request == VHU_SET_MEM_TABLE)
		return fe->mem.n;
	return request >= VHU_SET_VRING_KICK && request <= VHU_SET_VRING_ERR;
}

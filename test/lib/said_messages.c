/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that a back-end has to refuse, or to take without harm.
 *
 * Refused is: answered with a failure, or the connection is closed. That nothing leaks and that
 * other guests go on is looked at from outside, by the test that runs this.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "clock.h"
#include "rng.h"
#include "said_say.h"

#define NO_FD 0x100
#define RINGS_OFFERED 4 /* two queue pairs */
#define REPEATS 10000

/* What zcnet serves. */
static const uint8_t served[] = { VHU_GET_FEATURES, VHU_SET_FEATURES, VHU_SET_OWNER,
	VHU_SET_MEM_TABLE, VHU_SET_VRING_NUM, VHU_SET_VRING_ADDR, VHU_SET_VRING_BASE,
	VHU_GET_VRING_BASE, VHU_SET_VRING_KICK, VHU_SET_VRING_CALL, VHU_SET_VRING_ERR,
	VHU_GET_PROTOCOL_FEATURES, VHU_SET_PROTOCOL_FEATURES, VHU_GET_QUEUE_NUM,
	VHU_SET_VRING_ENABLE, VHU_NET_SET_MTU, VHU_SET_STATUS, VHU_GET_STATUS };

#define DIM(array) (sizeof(array) / sizeof((array)[0]))

#define TRY(call) \
	do { \
		int try_ret = (call); \
		if (try_ret < 0) \
			return try_ret; \
	} while (0)

/* ---- what isn't whole ---- */

static int
closed(struct said *s)
{
	struct vhu_msg m;

	return frontend_recv(s->fe, &m) == -EPIPE ? 0 : said_fail(s, "the connection stayed open");
}

static int
truncated(struct said *s)
{
	const struct vhu_msg m = { .request = VHU_SET_FEATURES,
		.flags = VHU_FLAG_VERSION,
		.size = 8 };
	static const size_t cut[] = { 1, 5, 11, 12, 13, 19 };

	for (unsigned int i = 0; i < DIM(cut); i++) {
		TRY(said_reopen(s));
		if (frontend_send_raw(s->fe, &m, cut[i], NULL, 0) < 0)
			return said_fail(s, "%s", frontend_error(s->fe));
		/* The rest never comes, and the socket stays open. */
		TRY(closed(s));
	}
	return 0;
}

static int
too_short(struct said *s)
{
	for (unsigned int i = 0; i < DIM(served); i++) {
		struct vhu_msg m = said_msg_whole(s->fe, served[i]);
		unsigned int n = said_fds_of(s->fe, served[i]);

		if (m.size == 0)
			continue;
		m.size -= 1;
		TRY(said_refused(s, m, n > 1 ? s->fe->memfd : &s->fe->queue[0].kick_fd, n));
		m.size = 0;
		TRY(said_refused(s, m, n > 1 ? s->fe->memfd : &s->fe->queue[0].kick_fd, n));
	}
	return 0;
}

static int
too_long(struct said *s)
{
	static const uint32_t sizes[] = { 65535, 0x7fffffff, 0xffffffff };
	struct vhu_msg m = { .request = VHU_SET_FEATURES, .flags = VHU_FLAG_VERSION };

	for (unsigned int i = 0; i < DIM(sizes); i++) {
		TRY(said_reopen(s));
		m.size = sizes[i];
		if (frontend_send_raw(s->fe, &m, sizeof(m), NULL, 0) < 0)
			return said_fail(s, "%s", frontend_error(s->fe));
		TRY(closed(s));
	}
	return 0;
}

static int
of_another_version(struct said *s)
{
	for (uint32_t flags = 2; flags < 8; flags++) {
		struct vhu_msg m = said_msg_u64(VHU_SET_FEATURES, 1ULL << VIRTIO_F_VERSION_1);

		m.flags = flags;
		TRY(said_reopen(s));
		if (frontend_send_raw(s->fe, &m, HDR_BYTES + m.size, NULL, 0) < 0)
			return said_fail(s, "%s", frontend_error(s->fe));
		TRY(closed(s));
	}
	return 0;
}

static int
not_served(struct said *s)
{
	static const uint32_t more[] = { 0, 63, 64, 255, 256, 65536, 0x80000000, 0xffffffff };
	const int fds[] = { s->fe->queue[0].kick_fd };

	for (uint32_t request = 1; request < 48; request++) {
		bool known = false;

		for (unsigned int i = 0; i < DIM(served); i++)
			known |= served[i] == request;
		if (known)
			continue;
		TRY(said_refused(s, (struct vhu_msg){ .request = request }, NULL, 0));
		TRY(said_refused(s, said_msg_whole(s->fe, request), fds, 1));
	}
	for (unsigned int i = 0; i < DIM(more); i++)
		TRY(said_refused(s, (struct vhu_msg){ .request = more[i] }, NULL, 0));
	return 0;
}

/* ---- order ---- */

static int
out_of_order(struct said *s)
{
	uint64_t rng = 1;

	for (unsigned int i = 0; i < 1000; i++) {
		uint32_t request = served[rng_range(&rng, 0, sizeof(served) - 1)];
		unsigned int n = said_fds_of(s->fe, request);
		struct vhu_msg m = said_msg_whole(s->fe, request);

		if (m.size == 8 && request != VHU_SET_FEATURES)
			m.state.index = rng_range(&rng, 0, RINGS_OFFERED - 1);
		if (request == VHU_SET_VRING_ENABLE)
			m.state.num = rng_range(&rng, 0, 1);
		if (request == VHU_SET_VRING_ADDR) {
			m.addr.desc = (uintptr_t)s->fe->mem.region[0].va;
			m.addr.avail = m.addr.desc + 4096;
			m.addr.used = m.addr.desc + 8192;
		}
		TRY(said_survived(s, m, n > 1 ? s->fe->memfd : &s->fe->queue[0].kick_fd, n));
		if (rng_range(&rng, 0, 50) == 0)
			frontend_disconnect(s->fe);
	}
	return 0;
}

static int
repeated(struct said *s)
{
	uint64_t protocol = 1ULL << VHU_F_PROTOCOL_FEATURES;
	uint64_t features;

	TRY(said_start(s));
	TRY(said_echo(s, 100));
	features = s->fe->features | (s->fe->offered & protocol);
	for (unsigned int i = 0; i < 20; i++) {
		unsigned int index = i % 2;

		TRY(said_taken(s, said_msg_u64(VHU_SET_FEATURES, features), NULL, 0));
		TRY(said_taken(s, said_msg_table(s->fe), s->fe->memfd, s->fe->mem.n));
		TRY(said_taken(s, said_msg_state(VHU_SET_VRING_NUM, index, 256), NULL, 0));
		TRY(said_taken(s, said_msg_addr(s->fe, index), NULL, 0));
		TRY(said_taken(s, said_msg_u64(VHU_SET_VRING_KICK, index),
				&s->fe->queue[index].kick_fd, 1));
		TRY(said_taken(s, said_msg_u64(VHU_SET_VRING_CALL, index),
				&s->fe->queue[index].call_fd, 1));
		TRY(said_taken(s, said_msg_state(VHU_SET_VRING_ENABLE, index, 1), NULL, 0));
		TRY(said_echo(s, 10));
	}
	return 0;
}

static int
features(struct said *s)
{
	TRY(said_start(s));
	TRY(said_refused(s, said_msg_u64(VHU_SET_FEATURES, ~0ULL), NULL, 0));
	TRY(said_refused(s, said_msg_u64(VHU_SET_FEATURES, 1ULL << VIRTIO_NET_F_HOST_TSO4), NULL,
			0));
	TRY(said_refused(s, said_msg_u64(VHU_SET_PROTOCOL_FEATURES, ~0ULL), NULL, 0));
	/* Of a device that runs. */
	TRY(said_refused(s,
			said_msg_u64(VHU_SET_FEATURES,
					s->fe->features & ~(1ULL << VIRTIO_F_VERSION_1)),
			NULL, 0));
	TRY(said_refused(s, said_msg_u64(VHU_NET_SET_MTU, 0), NULL, 0));
	TRY(said_refused(s, said_msg_u64(VHU_NET_SET_MTU, 65536), NULL, 0));
	TRY(said_refused(s, said_msg_u64(VHU_SET_STATUS, 256), NULL, 0));
	return said_echo(s, 100);
}

static int
answers_unread(struct said *s)
{
	const struct vhu_msg m = { .request = VHU_GET_FEATURES, .flags = VHU_FLAG_VERSION };

	TRY(said_reopen(s));
	/* Its answers fill the socket; it doesn't wait for them, nor does the back-end. */
	for (unsigned int i = 0; i < 500; i++)
		if (frontend_send_raw(s->fe, &m, HDR_BYTES, NULL, 0) < 0)
			break;
	return 0;
}

/* ---- memory ---- */

static int
bad_tables(struct said *s)
{
	struct vhu_msg good = said_msg_table(s->fe), m;
	const struct vhu_region r = good.mem.region[1];
	int fds[9];

	for (unsigned int i = 0; i < DIM(fds); i++)
		fds[i] = s->fe->memfd[i > 0];
	TRY(said_start(s));
#define REGION(field, value) \
	do { \
		m = good; \
		m.mem.region[1].field = (value); \
		TRY(said_refused(s, m, fds, 2)); \
	} while (0)
	REGION(size, 0);
	REGION(size, r.size + 4096);
	REGION(size, 1ULL << 46);
	REGION(size, UINT64_MAX);
	REGION(gpa, good.mem.region[0].gpa);
	REGION(gpa, good.mem.region[0].gpa + good.mem.region[0].size - 1);
	REGION(gpa, UINT64_MAX - 4095);
	REGION(va, UINT64_MAX - 4095);
	REGION(offset, 4096);
	REGION(offset, UINT64_MAX - 4095);
	REGION(offset, -r.size);
#undef REGION
	m = good;
	TRY(said_refused(s, m, fds, 1));
	TRY(said_refused(s, m, NULL, 0));
	TRY(said_refused(s, m, fds, 3));
	m.mem.n = 0;
	TRY(said_refused(s, m, NULL, 0));
	m.mem.n = 65535;
	TRY(said_refused(s, m, fds, 2));
	m.mem.n = 9;
	m.size = 8 + 9 * sizeof(struct vhu_region);
	TRY(said_refused(s, m, fds, 8));
	return 0;
}

static int
bad_table_keeps_the_good(struct said *s)
{
	struct vhu_msg m = said_msg_table(s->fe);

	TRY(said_start(s));
	m.mem.region[1].gpa = m.mem.region[0].gpa;
	for (unsigned int i = 0; i < 10; i++) {
		TRY(said_refused(s, m, s->fe->memfd, 2));
		TRY(said_echo(s, 100));
	}
	return 0;
}

/* A file that nobody may write, one that nobody may map for that any more, and no file at all. */
static int
unmappable(struct said *s)
{
	int fds[3] = { -1, memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING),
		s->fe->queue[0].kick_fd };
	struct vhu_msg m = said_msg_table(s->fe);
	char path[32];
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fe->memfd[1]);
	fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	if (fds[0] < 0 || fds[1] < 0 || ftruncate(fds[1], (off_t)m.mem.region[1].size) < 0 ||
			fcntl(fds[1], F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		return said_fail(s, "%s", strerror(errno));
	TRY(said_start(s));
	for (unsigned int i = 0; i < DIM(fds) && ret == 0; i++) {
		int pair[2] = { s->fe->memfd[0], fds[i] };

		ret = said_refused(s, m, pair, 2);
		if (ret == 0)
			ret = said_echo(s, 100);
	}
	close(fds[0]);
	close(fds[1]);
	return ret;
}

/* ---- rings ---- */

static int
bad_sizes(struct said *s)
{
	static const uint32_t sizes[] = { 0, 1, 3, 255, 257, 32769, 65535, 65536, 65792, 0x80000000,
		0xffffffff };

	for (unsigned int i = 0; i < DIM(sizes); i++)
		for (uint32_t ring = 0; ring < 2; ring++)
			TRY(said_refused(s, said_msg_state(VHU_SET_VRING_NUM, ring, sizes[i]), NULL,
					0));
	return 0;
}

static int
refused_with_fds(struct said *s, struct vhu_msg m)
{
	int fds[8];

	for (unsigned int i = 0; i < DIM(fds); i++)
		fds[i] = s->fe->queue[0].kick_fd;
	TRY(said_refused(s, m, NULL, 0));
	TRY(said_refused(s, m, fds, 1));
	return said_refused(s, m, fds, 8);
}

static int
ring_index(struct said *s)
{
	static const uint32_t indices[] = { RINGS_OFFERED, 255, 256, 257, 65535, 65536, 0x10001,
		0x80000000, 0xffffffff };
	static const uint32_t by_index[] = { VHU_SET_VRING_NUM, VHU_SET_VRING_BASE,
		VHU_GET_VRING_BASE, VHU_SET_VRING_ENABLE };
	static const uint32_t by_bits[] = { VHU_SET_VRING_KICK, VHU_SET_VRING_CALL,
		VHU_SET_VRING_ERR };

	for (unsigned int i = 0; i < DIM(indices); i++) {
		struct vhu_msg addr = said_msg_whole(s->fe, VHU_SET_VRING_ADDR);

		for (unsigned int k = 0; k < DIM(by_index); k++)
			TRY(refused_with_fds(s, said_msg_state(by_index[k], indices[i], 256)));
		addr.addr.index = indices[i];
		TRY(refused_with_fds(s, addr));
	}
	for (unsigned int k = 0; k < DIM(by_bits); k++) {
		TRY(said_refused(s, said_msg_u64(by_bits[k], RINGS_OFFERED),
				&s->fe->queue[0].kick_fd, 1));
		TRY(said_refused(s, said_msg_u64(by_bits[k], 255), &s->fe->queue[0].kick_fd, 1));
		TRY(said_refused(s, said_msg_u64(by_bits[k], 255 | NO_FD), NULL, 0));
	}
	return 0;
}

/* Where the rings are not: the device doesn't come up, and does after a good address. */
static int
outside_of_memory(struct said *s)
{
	struct vhu_msg good, m;
	uint64_t end;

	TRY(said_start(s));
	TRY(said_echo(s, 10));
	good = said_msg_addr(s->fe, 1);
	end = (uintptr_t)s->fe->mem.region[0].va + s->fe->mem.region[0].size;
#define RING_AT(field, value) \
	do { \
		if (frontend_stop(s->fe) < 0) \
			return said_fail(s, "%s", frontend_error(s->fe)); \
		if (frontend_start(s->fe) < 0) \
			return said_fail(s, "%s", frontend_error(s->fe)); \
		m = good; \
		m.addr.field = (value); \
		TRY(said_survived(s, m, NULL, 0)); \
		TRY(said_survived(s, said_msg_u64(VHU_SET_VRING_KICK, 1), \
				&s->fe->queue[1].kick_fd, 1)); \
		TRY(said_taken(s, good, NULL, 0)); \
		TRY(said_taken(s, said_msg_u64(VHU_SET_VRING_KICK, 1), &s->fe->queue[1].kick_fd, \
				1)); \
		TRY(said_settle(s)); \
		TRY(said_echo(s, 10)); \
	} while (0)
	RING_AT(desc, 0);
	RING_AT(desc, end - 16);
	RING_AT(desc, end);
	RING_AT(avail, UINT64_MAX - 15);
	RING_AT(avail, end - 64);
	RING_AT(used, end - 4);
	RING_AT(used, 4096);
#undef RING_AT
	return 0;
}

static int
call_is_no_eventfd(struct said *s)
{
	int fds[2];

	if (pipe(fds) < 0)
		return said_fail(s, "pipe: %s", strerror(errno));
	TRY(said_start(s));
	for (unsigned int i = 0; i < 2; i++) {
		TRY(said_taken(s, said_msg_u64(VHU_SET_VRING_CALL, i), &fds[1], 1));
		TRY(said_taken(s, said_msg_u64(VHU_SET_VRING_KICK, i), &fds[0], 1));
	}
	drv_ring_call_after(&frontend_rx(s->fe, 0)->ring, 1);
	TRY(said_echo(s, 1000));
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* ---- CVEs ---- */

static int
too_many_fds(struct said *s, uint32_t request)
{
	struct vhu_msg m = said_msg_whole(s->fe, request);
	unsigned int more = said_fds_of(s->fe, request) + 1;
	int fds[20];

	for (unsigned int i = 0; i < DIM(fds); i++)
		fds[i] = s->fe->queue[0].kick_fd;
	TRY(said_refused(s, m, fds, more));
	TRY(said_refused(s, m, fds, 8));
	TRY(said_refused(s, m, fds, 20));
	if (more > 1)
		TRY(said_refused(s, m, NULL, 0));
	return 0;
}

/* CVE-2019-14818: SET_VRING_NUM leaked memory, surplus descriptors leaked. */
static int
vring_num_again(struct said *s)
{
	for (unsigned int i = 0; i < REPEATS; i++)
		TRY(said_taken(s,
				said_msg_state(VHU_SET_VRING_NUM, i % RINGS_OFFERED, 2U << i % 12),
				NULL, 0));
	for (unsigned int i = 0; i < DIM(served); i++)
		TRY(too_many_fds(s, served[i]));
	return 0;
}

/* CVE-2022-0669: descriptors that nobody asked for leaked. */
static int
fds_of_others(struct said *s)
{
	static const uint32_t others[] = { VHU_SET_LOG_BASE, VHU_SET_LOG_FD, VHU_SEND_RARP,
		VHU_SET_SLAVE_REQ_FD, IOTLB_MSG, VHU_GET_CONFIG, VHU_SET_CONFIG, CRYPTO_CREATE,
		POSTCOPY_ADVISE, POSTCOPY_LISTEN, POSTCOPY_END, VHU_GET_INFLIGHT_FD,
		VHU_SET_INFLIGHT_FD, VHU_RESET_OWNER, 200 };

	for (unsigned int i = 0; i < DIM(served); i++)
		TRY(too_many_fds(s, served[i]));
	for (unsigned int i = 0; i < DIM(others); i++)
		TRY(too_many_fds(s, others[i]));
	return 0;
}

/* CVE-2020-10722: size and offset of the log wrapped. */
static int
log_base(struct said *s)
{
	static const uint64_t areas[][2] = { { 0, 0 }, { 1, 0 }, { 4096, 0 }, { 4096, 4096 },
		{ UINT64_MAX, 0 }, { UINT64_MAX, 1 }, { UINT64_MAX - 4095, 8192 }, { 4096, -4096 },
		{ 4096, UINT64_MAX }, { 1ULL << 46, 0 } };

	for (unsigned int i = 0; i < DIM(areas); i++) {
		struct vhu_msg m = { .request = VHU_SET_LOG_BASE, .size = 16 };

		memcpy(m.bytes, areas[i], 16);
		TRY(said_refused(s, m, s->fe->memfd, 1));
		TRY(said_refused(s, m, NULL, 0));
	}
	TRY(said_refused(s, (struct vhu_msg){ .request = VHU_SET_LOG_FD }, s->fe->memfd, 1));
	return 0;
}

/* CVE-2020-10726: each GET_INFLIGHT_FD leaked a descriptor and its mapping. */
static int
get_inflight(struct said *s)
{
	/* The connection stays, so that this is fast. */
	for (unsigned int i = 0; i < REPEATS; i++) {
		struct vhu_msg m = said_msg_inflight(VHU_GET_INFLIGHT_FD, 0, 0, 2, 256);

		TRY(said_reopen(s));
		m.flags = VHU_FLAG_VERSION | VHU_FLAG_NEED_REPLY;
		if (frontend_send_raw(s->fe, &m, HDR_BYTES + m.size, NULL, 0) < 0 ||
				frontend_recv(s->fe, &m) < 0)
			return said_fail(s, "%s", frontend_error(s->fe));
		if (m.size != 8 || m.u64 == 0)
			return said_fail(s, "an in-flight area of %u bytes", m.size);
	}
	/* 68 GB, to be cleared. */
	TRY(said_refused(s, said_msg_inflight(VHU_GET_INFLIGHT_FD, 0, 0, 65535, 65535), NULL, 0));
	return 0;
}

/* CVE-2021-3839: the area was believed to hold as many queues as the message said. */
static int
set_inflight(struct said *s)
{
	static const uint16_t counts[] = { 0, 1, 2, 200, 255, 256, 257, 65535 };
	static const uint64_t sizes[] = { 0, 1, 64, 4096, UINT64_MAX };

	for (unsigned int i = 0; i < DIM(counts); i++)
		for (unsigned int k = 0; k < DIM(sizes); k++) {
			struct vhu_msg m = said_msg_inflight(VHU_SET_INFLIGHT_FD, sizes[k], 0,
					counts[i], 65535);

			TRY(said_refused(s, m, NULL, 0));
			TRY(said_refused(s, m, s->fe->memfd, 1));
			TRY(said_refused(s, m, &s->fe->queue[0].kick_fd, 1));
		}
	return 0;
}

const struct said_case message_cases[] = {
	{ "msg_truncated", truncated, "a message ends in the middle, and the socket stays open" },
	{ "msg_too_short", too_short, "each message with a payload shorter than its fields" },
	{ "msg_too_long", too_long, "payloads of 64 KB to 4 GB are announced" },
	{ "msg_of_another_version", of_another_version, "another version, or an answer" },
	{ "msg_not_served", not_served, "each request that isn't served, with a descriptor" },
	{ "msg_out_of_order", out_of_order, "1,000 messages in any order, on rings 0 to 3" },
	{ "msg_repeated", repeated, "the whole handshake again and again while frames pass" },
	{ "msg_features", features, "features that aren't offered, or change while it runs" },
	{ "msg_answers_unread", answers_unread, "500 questions whose answers nobody reads" },
	{ "msg_bad_tables", bad_tables, "regions that overlap, wrap, are empty or too many" },
	{ "msg_bad_table_keeps_the_good", bad_table_keeps_the_good,
			"a table that is refused leaves the one before in use" },
	{ "msg_unmappable", unmappable, "regions of files that can't be mapped" },
	{ "msg_bad_sizes", bad_sizes, "rings of 0, 1, 3, 65535 and more descriptors" },
	{ "msg_outside_of_memory", outside_of_memory, "rings outside of memory or across its end" },
	{ "msg_call_is_no_eventfd", call_is_no_eventfd, "a pipe for the interrupt" },
	{ "cve_2019_14818_vring_num_and_fds", vring_num_again,
			"SET_VRING_NUM 10,000 times, surplus descriptors" },
	{ "cve_2020_10722_log_wraps", log_base, "log areas that wrap, are empty or too small" },
	{ "cve_2020_10723_ring_index", ring_index,
			"ring indices that don't exist, up to 2^32 - 1" },
	{ "cve_2020_10726_get_inflight", get_inflight, "GET_INFLIGHT_FD 10,000 times" },
	{ "cve_2021_3839_set_inflight", set_inflight,
			"SET_INFLIGHT_FD of 0 to 65535 queues in small areas" },
	{ "cve_2022_0669_fds", fds_of_others, "descriptors with each message that takes none" },
	{ 0 },
};

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that says what it likes: messages whole, cut or repeated, with descriptors that are
 * right, wrong, missing or too many, rings anywhere, while its queues are polled; then it hangs up.
 * librte_vhost and a vhost port are the real ones, in this process.
 *
 * Checked: the port serves the next front-end; another guest's frames go on both ways meanwhile;
 * when the connection is gone so are its descriptors, its mappings and its mbufs.
 *
 * Two ways in which librte_vhost itself loses descriptors (22.11.11) are allowed for: those of a
 * message for a ring that can't be, and that of a region that can't be mapped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_log.h>

#include <zcnet/zcnet.h>

#include "../unit/eal.h"
#include "core/control.h"
#include "core/quiesce.h"
#include "fuzz.h"
#include "frontend.h"
#include "port/vhost.h"

#define REGION (64u * 1024)
#define REGIONS 2
#define PAIRS 2
#define ACTS_MAX 64
#define FDS_MAX 10
#define OPEN_MAX 1024
#define PATIENCE_MS 10000
#define HDR_BYTES offsetof(struct vhu_msg, u64)

enum { FD_MEM, FD_MEM_2, FD_EVENT, FD_NULL, FD_PIPE, FD_SOCKET, FD_KINDS };

static struct {
	char folder[32];
	struct zcnet_port *port, *other;
	struct frontend *neighbour; /* the guest of the other port */
	struct rte_mempool *mp;
	int reader;
	uint8_t *mem[REGIONS];
	int fd[FD_KINDS];
	int sock;
	uint16_t avail[2 * PAIRS];
	/* while nobody is connected */
	bool open[OPEN_MAX];
	unsigned int maps, mbufs;
	unsigned int may_stay; /* descriptors that librte_vhost may lose */
} s;

static uint64_t
now_ms(void)
{
	return rte_rdtsc() / (rte_get_tsc_hz() / 1000);
}

/* ---- what must not grow ---- */

/* Descriptors that are open, and were not before the connection. @return how many; closes them */
static unsigned int
new_fds(bool remember, bool shut)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;
	struct dirent *e;

	if (remember)
		memset(s.open, 0, sizeof(s.open));
	while ((e = readdir(dir)) != NULL) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.' || fd == dirfd(dir) || fd >= OPEN_MAX)
			continue;
		if (remember)
			s.open[fd] = true;
		n += !s.open[fd];
		if (!s.open[fd] && shut)
			close(fd);
	}
	closedir(dir);
	return n;
}

/* Mappings of guests' files. */
static unsigned int
count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	char line[512];

	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

/* ---- the data path ---- */

static void
poll_queue(struct zcnet_port *port, uint16_t queue)
{
	struct rte_mbuf *pkts[16];
	uint16_t n, sent;

	zc_quiesce_enter(s.reader);
	port->ops->complete(port, queue, rte_rdtsc());
	n = port->ops->rx(port, queue, pkts, 16);
	sent = port->ops->tx(port, queue, pkts, n);
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	if (rte_pktmbuf_alloc_bulk(s.mp, pkts, 2) == 0) {
		for (unsigned int i = 0; i < 2; i++)
			pkts[i]->data_len = pkts[i]->pkt_len = 60 + 1000 * i;
		sent = port->ops->tx(port, queue, pkts, 2);
		rte_pktmbuf_free_bulk(pkts + sent, 2 - sent);
	}
	port->ops->complete(port, queue, rte_rdtsc());
	zc_quiesce_leave(s.reader);
}

/* ---- the neighbour ---- */

static void
open_neighbour(void)
{
	struct frontend_conf conf;
	char path[64];

	snprintf(path, sizeof(path), "%s/b", s.folder);
	frontend_conf_init(&conf);
	conf.path = path;
	conf.timeout_ms = PATIENCE_MS;
	s.neighbour = frontend_create(&conf);
	if (s.neighbour == NULL || frontend_connect(s.neighbour) < 0 ||
			frontend_start(s.neighbour) < 0)
		abort();
}

/* A frame from it, and one to it. */
static void
check_neighbour(void)
{
	const uint64_t *rx = vhost_port(s.other)->queue[0]->tx.counters.value;
	const uint64_t *tx = vhost_port(s.other)->queue[0]->rx.counters.value;
	uint64_t received = rx[ZCNET_Q_frames], sent = tx[ZCNET_Q_frames],
		 end = now_ms() + PATIENCE_MS;
	static uint8_t frame[2048];

	gqueue_rx_fill(frontend_rx(s.neighbour, 0), 2048, &layouts[0]);
	frontend_publish(s.neighbour, frontend_rxq(0));
	FUZZ_CHECK(gqueue_tx_frame(frontend_tx(s.neighbour, 0), &layouts[0], NULL, frame, 600) >= 0,
			"the neighbour's ring is full");
	frontend_publish(s.neighbour, frontend_txq(0));
	while (rx[ZCNET_Q_frames] == received || tx[ZCNET_Q_frames] == sent) {
		FUZZ_CHECK(now_ms() < end, "the neighbour is not served any more");
		poll_queue(s.other, 0);
	}
	while (gqueue_rx_frame(frontend_rx(s.neighbour, 0), frame, sizeof(frame), NULL) >= 0)
		;
	poll_queue(s.other, 0);
	gqueue_tx_reclaim(frontend_tx(s.neighbour, 0));
}

/* ---- the connection ---- */

static bool
is_gone(const struct vhost_port *vp)
{
	bool gone;

	zc_control_lock();
	gone = vp->vid < 0 && vp->waiting.vid < 0 && vp->map == NULL && vp->retired == NULL;
	zc_control_unlock();
	return gone;
}

/* The event thread answers the neighbour, so it is through with all it did before. */
static void
ask_neighbour(void)
{
	struct vhu_msg msg = { .request = VHU_GET_QUEUE_NUM };
	uint64_t end = now_ms() + PATIENCE_MS;
	int ret = frontend_call(s.neighbour, &msg, NULL, 0);

	/* Socket timeouts were seen to end early on a machine that was not scheduled. */
	while (ret == -ETIMEDOUT && now_ms() < end)
		ret = frontend_recv(s.neighbour, &msg);
	FUZZ_CHECK(ret == 0, "the neighbour: %s", frontend_error(s.neighbour));
}

/* Until the back-end has closed its end, too. */
static void
wait_closed(uint64_t end)
{
	struct pollfd p = { .fd = s.sock, .events = POLLIN };
	uint8_t bytes[4096];

	shutdown(s.sock, SHUT_WR);
	for (;;) {
		FUZZ_CHECK(now_ms() < end, "the back-end doesn't hang up");
		if (poll(&p, 1, 100) > 0 && recv(s.sock, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			break;
	}
	close(s.sock);
}

static void
hang_up(void)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	wait_closed(end);
	while (!is_gone(vhost_port(s.port))) {
		FUZZ_CHECK(now_ms() < end, "the connection stays");
		usleep(20);
	}
	ask_neighbour();
	FUZZ_CHECK(new_fds(false, false) <= s.may_stay, "%u descriptors stay",
			new_fds(false, false));
	if (s.may_stay > 0)
		new_fds(false, true);
	s.may_stay = 0;
}

static void
send_message(const struct vhu_msg *msg, size_t len, const int *fds, unsigned int n)
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
	/* The other end may have hung up. */
	if (sendmsg(s.sock, &m, MSG_NOSIGNAL) < 0)
		return;
}

/* Everything said so far has been heard, or the back-end hung up: false. */
static bool
wait_heard(void)
{
	struct vhu_msg msg = { .request = VHU_GET_QUEUE_NUM, .flags = VHU_FLAG_VERSION };
	uint64_t end = now_ms() + PATIENCE_MS;
	struct pollfd p = { .fd = s.sock, .events = POLLIN };
	uint8_t bytes[4096];

	/* Its answer ends with this many queue pairs, whatever came before. */
	send_message(&msg, HDR_BYTES, NULL, 0);
	while (now_ms() < end) {
		ssize_t n = poll(&p, 1, 100) > 0 ?
				recv(s.sock, bytes, sizeof(bytes), MSG_DONTWAIT) :
				1;

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n >= (ssize_t)HDR_BYTES + 8 && bytes[n - 20] == VHU_GET_QUEUE_NUM &&
				bytes[n - 12] == 8)
			return true;
	}
	FUZZ_CHECK(false, "no answer");
	return false;
}

static void
call_port(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/a", s.folder);
	s.sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s.sock < 0 || connect(s.sock, (struct sockaddr *)&un, sizeof(un)) < 0)
		abort();
}

/* ---- messages ---- */

static int
some_fd(uint8_t what)
{
	return s.fd[what % FD_KINDS];
}

static void
say(struct vhu_msg *msg, const int *fds, unsigned int n)
{
	msg->flags |= VHU_FLAG_VERSION;
	send_message(msg, HDR_BYTES + msg->size, fds, n);
}

/* Anything at all, cut anywhere. */
static void
say_anything(struct bytes *in)
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
		fds[i] = some_fd(bytes_u8(in));
	if (cut % 8 == 7)
		len = len * cut / 256;
	if (len > 0)
		send_message(&msg, len, fds, n % FDS_MAX);
	s.may_stay += n % FDS_MAX;
}

/* A memory table that is nearly right: how many regions, then what is wrong with each. */
static void
say_memory(struct bytes *in)
{
	struct vhu_msg msg = { .request = VHU_SET_MEM_TABLE };
	uint8_t how = bytes_u8(in);
	unsigned int n = how == 0 ? REGIONS : how % 9, n_fds = how / 16 == 1 ? how % 7 : n;
	int fds[FDS_MAX];

	msg.mem.n = n;
	msg.size = 8 + n * sizeof(struct vhu_region);
	for (unsigned int i = 0; i < n && i < GMEM_REGIONS_MAX; i++) {
		uint8_t wrong = how == 0 ? 0 : bytes_u8(in);
		struct vhu_region r = { .gpa = 0x100000ull * (1 + i),
			.size = REGION,
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
		fds[i] = some_fd(wrong & 16 ? bytes_u8(in) : i % REGIONS);
	}
	s.may_stay += how != 0;
	for (unsigned int i = n; i < n_fds; i++)
		fds[i] = some_fd(i);
	say(&msg, fds, n_fds < 8 ? n_fds : 8);
}

static void
say_number(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhu_msg msg = { .request = request, .size = 8, .state = { index, num } };

	say(&msg, NULL, 0);
}

static void
say_u64(uint32_t request, uint64_t value, const int *fd)
{
	struct vhu_msg msg = { .request = request, .size = 8, .u64 = value };

	say(&msg, fd, fd != NULL);
}

/* Parts of ring @index, each an eighth of a region; @wrong moves one of them. */
static void
say_ring(uint32_t index, uint8_t wrong, struct bytes *in)
{
	struct vhu_msg msg = { .request = VHU_SET_VRING_ADDR, .size = sizeof(msg.addr) };
	uint64_t base = 0x70000000ull + index % 2 * 0x100000 + index / 2 % 2 * (REGION / 2);
	uint64_t off = wrong & 8 ? bytes_u64(in) : wrong & 7 ? bytes_u16(in) : 0;

	msg.addr.index = index;
	msg.addr.flags = wrong & 16 ? bytes_u8(in) : 0;
	msg.addr.log = wrong & 32 ? bytes_u64(in) : 0;
	msg.addr.desc = base + (wrong & 1 ? off : 0);
	msg.addr.avail = base + REGION / 8 + (wrong & 2 ? off : 0);
	msg.addr.used = base + REGION / 4 + (wrong & 4 ? off : 0);
	say(&msg, NULL, 0);
}

/* All that a front-end says until a ring works. */
static void
say_start_of_ring(uint32_t index, uint16_t size)
{
	int fd = s.fd[FD_EVENT];

	say_number(VHU_SET_VRING_NUM, index, size);
	say_number(VHU_SET_VRING_BASE, index, 0);
	say_ring(index, 0, NULL);
	say_u64(VHU_SET_VRING_CALL, index, &fd);
	say_u64(VHU_SET_VRING_KICK, index, &fd);
	say_number(VHU_SET_VRING_ENABLE, index, 1);
}

static void
say_hello(struct bytes *in)
{
	uint64_t features = 1ULL << 32 | 1ULL << VHU_F_PROTOCOL_FEATURES | 3ULL << 28 | 1ULL << 15;
	uint8_t how = bytes_u8(in);

	if (how & 1)
		features ^= 1ULL << bytes_u8(in) % 64;
	say_u64(VHU_SET_PROTOCOL_FEATURES, how & 2 ? bytes_u64(in) : 1 << VHU_PF_MQ, NULL);
	say_u64(VHU_SET_FEATURES, features, NULL);
	if (how & 4)
		return;
	say_memory(&(struct bytes){ 0 });
	for (uint32_t i = 0; i < (how & 8 ? 2 * PAIRS : 2); i++)
		say_start_of_ring(i, how & 16 ? 8 : 64);
}

static void
say_about_ring(struct bytes *in)
{
	static const uint32_t requests[] = { VHU_SET_VRING_NUM, VHU_SET_VRING_BASE,
		VHU_GET_VRING_BASE, VHU_SET_VRING_ENABLE };
	uint8_t what = bytes_u8(in);

	say_number(requests[what % 4], what / 4 % 16 < 12 ? what / 4 % 4 : bytes_u8(in),
			what & 64 ? bytes_u32(in) : bytes_u8(in));
}

static void
say_fd(struct bytes *in)
{
	static const uint32_t requests[] = { VHU_SET_VRING_KICK, VHU_SET_VRING_CALL,
		VHU_SET_VRING_ERR, VHU_SET_LOG_FD };
	uint8_t what = bytes_u8(in), kind = bytes_u8(in);
	int fd = some_fd(kind);

	say_u64(requests[what % 4], what / 4 % 4 | (kind & 128 ? 256 : 0), kind & 64 ? NULL : &fd);
}

/* ---- guest memory ---- */

static void
post(struct bytes *in)
{
	uint8_t what = bytes_u8(in);
	uint32_t index = what % 4, i;
	uint8_t *base = s.mem[index % 2] + index / 2 * (REGION / 2);
	struct vring_desc *d = (void *)base;
	struct vring_avail *avail = (void *)(base + REGION / 8);

	for (i = 0; i < 8; i++)
		d[i] = (struct vring_desc){ .addr = 0x100000 + 4096 * i,
			.len = 12 + 1500,
			.flags = index % 2 ? 0 : VRING_DESC_F_WRITE };
	if (what & 16)
		d[0] = (struct vring_desc){ .addr = bytes_u32(in),
			.len = bytes_u16(in),
			.flags = bytes_u8(in) };
	for (i = 0; i < 1u + what / 64; i++)
		avail->ring[s.avail[index]++ % 8] = i;
	avail->idx = what & 32 ? bytes_u16(in) : s.avail[index];
}

static void
act(struct bytes *in)
{
	uint8_t what = bytes_u8(in);

	switch (what % 12) {
	case 0:
		say_hello(in);
		break;
	case 1 ... 2:
		say_anything(in);
		break;
	case 3:
		say_memory(in);
		break;
	case 4:
		say_ring(bytes_u8(in) % 8, bytes_u8(in), in);
		break;
	case 5 ... 6:
		say_about_ring(in);
		break;
	case 7:
		say_fd(in);
		break;
	case 8:
		post(in);
		break;
	case 9:
		poll_queue(s.port, what / 16 % PAIRS);
		break;
	case 10:
		if (what & 16 && wait_heard())
			break;
		hang_up();
		call_port();
		break;
	default:
		say_start_of_ring(what / 16 % 4, 64);
		break;
	}
}

/* ---- the process ---- */

static void
end_process(void)
{
	frontend_destroy(s.neighbour);
	zcnet_fini();
	rmdir(s.folder);
	unit_eal_fini(NULL);
}

static struct zcnet_port *
new_port(const char *name)
{
	const struct zc_port_takes takes = { .attached = true,
		.segs_max = 64,
		.frame_min = 14,
		.frame_max = 65553 };
	struct zcnet_vhost_conf conf;
	struct zcnet_port *port;
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", s.folder, name);
	zcnet_vhost_conf_init(&conf);
	conf.name = name;
	conf.path = path;
	conf.queues = PAIRS;
	port = zcnet_port_vhost_create(&conf);
	if (port == NULL)
		abort();
	zc_control_lock();
	zc_vhost_set_takes(port, &takes);
	zc_control_unlock();
	return port;
}

static void
open_fds(void)
{
	int pipes[2];

	for (unsigned int i = 0; i < REGIONS; i++) {
		s.fd[i] = memfd_create("guest", MFD_CLOEXEC);
		if (ftruncate(s.fd[i], REGION) < 0)
			abort();
		s.mem[i] = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED, s.fd[i], 0);
	}
	if (pipe(pipes) < 0)
		abort();
	s.fd[FD_EVENT] = eventfd(0, EFD_NONBLOCK);
	s.fd[FD_NULL] = open("/dev/null", O_RDWR);
	s.fd[FD_PIPE] = pipes[1];
	s.fd[FD_SOCKET] = socket(AF_UNIX, SOCK_STREAM, 0);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	strcpy(s.folder, "/tmp/zcnet-fuzz.XXXXXX");
	if (mkdtemp(s.folder) == NULL || unit_eal_start() < 0 || unit_register_ops() < 0 ||
			zcnet_init() < 0)
		abort();
	/* What is refused is said to nobody, a thousand times a second. */
	rte_log_set_global_level(RTE_LOG_EMERG);
	s.mp = unit_host_pool(256, 2048);
	s.port = new_port("a");
	s.other = new_port("b");
	zc_control_lock();
	s.reader = zc_quiesce_reader_add();
	zc_control_unlock();
	open_fds();
	open_neighbour();
	check_neighbour();
	s.mbufs = rte_mempool_avail_count(s.mp);
	atexit(end_process);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };

	for (unsigned int i = 0; i < REGIONS; i++)
		memset(s.mem[i], 0, REGION);
	memset(s.avail, 0, sizeof(s.avail));
	new_fds(true, false);
	s.maps = count_maps();
	call_port();
	for (unsigned int i = 0; i < ACTS_MAX && bytes_left(&in) > 0; i++)
		act(&in);
	for (uint16_t i = 0; i < PAIRS && wait_heard(); i++)
		poll_queue(s.port, i);
	check_neighbour();
	hang_up();
	FUZZ_CHECK(count_maps() == s.maps, "mappings stay: %u instead of %u", count_maps(), s.maps);
	FUZZ_CHECK(rte_mempool_avail_count(s.mp) == s.mbufs, "mbufs stay");
	return 0;
}

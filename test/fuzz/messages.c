/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that says what it likes: messages whole, cut or repeated, with descriptors that are
 * right, wrong, missing or too many, rings anywhere, while its queues are polled; then it hangs up.
 * librte_vhost and a vhost port are the real ones, in this process and this thread: events.h. Ticks
 * come when the input says so.
 *
 * Checked: the port serves the next front-end; another guest's frames go on both ways meanwhile;
 * when the connection is gone so are its descriptors, its mappings and its mbufs.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_log.h>

#include <zcnet/zcnet.h>

#include "../unit/eal.h"
#include "core/control.h"
#include "core/quiesce.h"
#include "events.h"
#include "fuzz.h"
#include "port/vhost.h"
#include "say.h"
#include "stay.h"
#include "worker/worker.h"

#define ACTS_MAX 64
#define HDR_BYTES offsetof(struct vhu_msg, u64)

static struct {
	char folder[32];
	struct zcnet_port *port, *other;
	struct frontend *neighbour; /* the guest of the other port */
	struct rte_mempool *mp;
	int reader;
	struct speaker speaker;
	unsigned int mbufs; /* while nobody is connected */
	uint16_t avail[2 * SAY_PAIRS];
} s;

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

static void
tick(void)
{
	zc_control_lock();
	s.port->ops->tick(s.port, rte_rdtsc());
	zc_control_unlock();
}

/* ---- the neighbour ---- */

static void *
connect_neighbour(void *done)
{
	if (frontend_connect(s.neighbour) < 0 || frontend_start(s.neighbour) < 0)
		abort();
	__atomic_store_n((bool *)done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void
open_neighbour(void)
{
	struct frontend_conf conf;
	bool done = false;
	pthread_t thread;
	char path[64];

	snprintf(path, sizeof(path), "%s/b", s.folder);
	frontend_conf_init(&conf);
	conf.path = path;
	s.neighbour = frontend_create(&conf);
	/* It waits for answers. */
	if (s.neighbour == NULL || pthread_create(&thread, NULL, connect_neighbour, &done) != 0)
		abort();
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		events_run();
	pthread_join(thread, NULL);
}

/* A frame from it, and one to it. */
static void
check_frames(void)
{
	const uint64_t *rx = vhost_port(s.other)->queue[0]->tx.counters.value;
	const uint64_t *tx = vhost_port(s.other)->queue[0]->rx.counters.value;
	uint64_t received = rx[ZCNET_Q_frames], sent = tx[ZCNET_Q_frames];
	static uint8_t frame[2048];

	gqueue_rx_fill(frontend_rx(s.neighbour, 0), 2048, &layouts[0]);
	frontend_publish(s.neighbour, frontend_rxq(0));
	FUZZ_CHECK(gqueue_tx_frame(frontend_tx(s.neighbour, 0), &layouts[0], NULL, frame, 600) >= 0,
			"the neighbour's ring is full");
	frontend_publish(s.neighbour, frontend_txq(0));
	poll_queue(s.other, 0);
	FUZZ_CHECK(rx[ZCNET_Q_frames] > received && tx[ZCNET_Q_frames] > sent,
			"the neighbour is not served any more");
	while (gqueue_rx_frame(frontend_rx(s.neighbour, 0), frame, sizeof(frame), NULL) >= 0)
		;
	poll_queue(s.other, 0);
	gqueue_tx_reclaim(frontend_tx(s.neighbour, 0));
}

static void
check_answer(void)
{
	struct vhu_msg msg = { .request = VHU_GET_QUEUE_NUM, .flags = VHU_FLAG_VERSION };
	int ret = frontend_send_raw(s.neighbour, &msg, HDR_BYTES, NULL, 0);

	events_run();
	if (ret == 0)
		ret = frontend_recv(s.neighbour, &msg);
	FUZZ_CHECK(ret == 0, "the neighbour: %s", frontend_error(s.neighbour));
}

/* ---- the connection ---- */

static bool
is_gone(const struct vhost_port *vp)
{
	return vp->vid < 0 && vp->waiting.vid < 0 && vp->map == NULL && vp->retired == NULL;
}

static uint8_t heard[64 * 1024];

/* What there is to be heard from the other end. @return bytes, or 0 when it hung up */
static size_t
hear(void)
{
	ssize_t n;

	events_run();
	n = recv(s.speaker.sock, heard, sizeof(heard), MSG_DONTWAIT);
	return n >= 0 ? (size_t)n : errno == EAGAIN ? SIZE_MAX : 0;
}

static void
hang_up(void)
{
	unsigned int stay;
	size_t n;

	shutdown(s.speaker.sock, SHUT_WR);
	do
		n = hear();
	while (n > 0 && n != SIZE_MAX);
	FUZZ_CHECK(n == 0, "the back-end doesn't hang up");
	close(s.speaker.sock);
	tick();
	FUZZ_CHECK(is_gone(vhost_port(s.port)), "the connection stays");
	stay = stay_close_fds();
	FUZZ_CHECK(stay == 0, "%u descriptors stay", stay);
}

enum reply { NOTHING, ANSWER, HUNG_UP };

/* Ask for something whose answer shows: it ends with a number. */
static enum reply
ask(void)
{
	struct vhu_msg msg = { .request = VHU_GET_QUEUE_NUM, .flags = VHU_FLAG_VERSION };
	size_t n, len = HDR_BYTES + 8;

	say_bytes(&s.speaker, &msg, HDR_BYTES, NULL, 0);
	n = hear();
	if (n == 0)
		return HUNG_UP;
	if (n == SIZE_MAX || n < len || heard[n - len] != VHU_GET_QUEUE_NUM ||
			heard[n - 8] != SAY_PAIRS)
		return NOTHING;
	return ANSWER;
}

/* Everything said so far has been heard, or the back-end hung up: false. */
static bool
is_heard(void)
{
	enum reply reply = ask();

	/* A message that was cut may have had the question for its rest. */
	if (reply == NOTHING)
		reply = ask();
	FUZZ_CHECK(reply != NOTHING, "no answer");
	return reply == ANSWER;
}

static void
call_port(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/a", s.folder);
	s.speaker.sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s.speaker.sock < 0 || connect(s.speaker.sock, (struct sockaddr *)&un, sizeof(un)) < 0)
		abort();
}

/* ---- guest memory ---- */

static void
post(struct bytes *in)
{
	uint8_t what = bytes_u8(in);
	uint32_t index = what % 4, i;
	uint8_t *base = s.speaker.mem[index % 2] + index / 2 * (SAY_REGION / 2);
	struct vring_desc *d = (void *)base;
	struct vring_avail *avail = (void *)(base + SAY_REGION / 8);

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
		say_hello(&s.speaker, in);
		break;
	case 1 ... 2:
		say_anything(&s.speaker, in);
		break;
	case 3:
		say_memory(&s.speaker, in);
		break;
	case 4:
		say_ring(&s.speaker, bytes_u8(in) % 8, bytes_u8(in), in);
		break;
	case 5 ... 6:
		say_about_ring(&s.speaker, in);
		break;
	case 7:
		say_fd(&s.speaker, in);
		break;
	case 8:
		post(in);
		break;
	case 9:
		poll_queue(s.port, what / 16 % SAY_PAIRS);
		if (what & 64)
			tick();
		break;
	case 10:
		if (what & 16 && is_heard())
			break;
		/* Or it is there again before it is seen to have gone. */
		if (what & 32)
			close(s.speaker.sock);
		else
			hang_up();
		call_port();
		break;
	default:
		say_start_of_ring(&s.speaker, what / 16 % 4, 64);
		break;
	}
	/* Else this is heard together with what is said next. */
	if (!(what & 128))
		events_run();
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
	conf.queues = SAY_PAIRS;
	port = zcnet_port_vhost_create(&conf);
	if (port == NULL)
		abort();
	zc_control_lock();
	zc_vhost_set_takes(port, &takes);
	zc_control_unlock();
	return port;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	strcpy(s.folder, "/tmp/zcnet-fuzz.XXXXXX");
	if (mkdtemp(s.folder) == NULL || unit_eal_start() < 0 || unit_register_ops() < 0 ||
			zcnet_init() < 0)
		abort();
	zc_housekeeping_stop();
	/* What is refused is said to nobody, a thousand times a second. */
	rte_log_set_global_level(RTE_LOG_EMERG);
	s.mp = unit_host_pool(256, 2048);
	s.port = new_port("a");
	s.other = new_port("b");
	zc_control_lock();
	s.reader = zc_quiesce_reader_add();
	zc_control_unlock();
	say_open(&s.speaker);
	open_neighbour();
	check_frames();
	s.mbufs = rte_mempool_avail_count(s.mp);
	atexit(end_process);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, data + size };

	for (unsigned int i = 0; i < SAY_REGIONS; i++)
		memset(s.speaker.mem[i], 0, SAY_REGION);
	memset(s.avail, 0, sizeof(s.avail));
	stay_begin();
	call_port();
	for (unsigned int i = 0; i < ACTS_MAX && bytes_left(&in) > 0; i++)
		act(&in);
	for (uint16_t i = 0; i < SAY_PAIRS && is_heard(); i++)
		poll_queue(s.port, i);
	check_frames();
	check_answer();
	hang_up();
	stay_check_maps();
	FUZZ_CHECK(rte_mempool_avail_count(s.mp) == s.mbufs, "mbufs stay");
	return 0;
}

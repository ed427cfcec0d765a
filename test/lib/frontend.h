/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bare vhost-user front-end: what QEMU is to a back-end, without QEMU.
 *
 * One struct frontend is one guest: memory in memfds, a socket, queue pairs. Nothing is global, so
 * a process can hold hundreds; one thread at a time may use a front-end's control side, and one
 * thread a queue. The handshake follows QEMU's order. Rings are worked through gqueue.h.
 *
 *     frontend_conf_init(&conf); conf.path = "/tmp/sock";
 *     fe = frontend_create(&conf);
 *     frontend_connect(fe);                      socket, features, owner
 *     frontend_start(fe);                        memory table, rings, enable
 *     gqueue_rx_fill(frontend_rx(fe, 0), ...); frontend_publish(fe, frontend_rxq(0));
 *     ...
 *     frontend_stop(fe); frontend_start(fe);     the rings go on where they stopped
 *     frontend_destroy(fe);
 *
 * Functions return 0 or a negative errno; frontend_error() has the sentence.
 */
#ifndef FRONTEND_H
#define FRONTEND_H

#include "gqueue.h"

#define FRONTEND_FDS_MAX 8

enum vhu_request {
	VHU_GET_FEATURES = 1,
	VHU_SET_FEATURES = 2,
	VHU_SET_OWNER = 3,
	VHU_RESET_OWNER = 4,
	VHU_SET_MEM_TABLE = 5,
	VHU_SET_LOG_BASE = 6,
	VHU_SET_LOG_FD = 7,
	VHU_SET_VRING_NUM = 8,
	VHU_SET_VRING_ADDR = 9,
	VHU_SET_VRING_BASE = 10,
	VHU_GET_VRING_BASE = 11,
	VHU_SET_VRING_KICK = 12,
	VHU_SET_VRING_CALL = 13,
	VHU_SET_VRING_ERR = 14,
	VHU_GET_PROTOCOL_FEATURES = 15,
	VHU_SET_PROTOCOL_FEATURES = 16,
	VHU_GET_QUEUE_NUM = 17,
	VHU_SET_VRING_ENABLE = 18,
	VHU_SEND_RARP = 19,
	VHU_NET_SET_MTU = 20,
	VHU_SET_SLAVE_REQ_FD = 21,
	VHU_GET_CONFIG = 24,
	VHU_SET_CONFIG = 25,
	VHU_GET_INFLIGHT_FD = 31,
	VHU_SET_INFLIGHT_FD = 32,
	VHU_SET_STATUS = 39,
	VHU_GET_STATUS = 40,
};

enum vhu_protocol_feature {
	VHU_PF_MQ = 0,
	VHU_PF_LOG_SHMFD = 1,
	VHU_PF_RARP = 2,
	VHU_PF_REPLY_ACK = 3,
	VHU_PF_NET_MTU = 4,
	VHU_PF_SLAVE_REQ = 5,
	VHU_PF_CONFIG = 9,
	VHU_PF_STATUS = 16,
};

#define VHU_FLAG_VERSION 0x1
#define VHU_FLAG_REPLY 0x4
#define VHU_FLAG_NEED_REPLY 0x8
#define VHU_F_PROTOCOL_FEATURES 30

struct vhu_region {
	uint64_t gpa, size, va, offset;
};

struct vhu_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, pad;
			struct vhu_region region[GMEM_REGIONS_MAX];
		} mem;
		uint8_t bytes[512];
	};
} __attribute__((packed));

struct frontend_conf {
	const char *path;     /* socket */
	bool server;          /* listen, and let the back-end connect */
	unsigned int pairs;   /* queue pairs, default 1 */
	uint16_t ring_size;   /* default 256 */
	uint16_t table_len;   /* indirect descriptors in a chain, default 64 */
	uint32_t slot_bytes;  /* room for one chain, default 16 KiB */
	unsigned int regions; /* of memory, 1..8, default 2 */
	uint64_t extra_bytes; /* more memory, per queue, for the flood */
	bool cross;           /* let the last two regions touch, for crossing layouts; needs 3 */
	bool hugepages;
	bool hugetlbfs;    /* of its own, no larger than the memory; with hugepages */
	uint64_t features; /* wanted; default VERSION_1, MRG_RXBUF, MQ, INDIRECT, EVENT_IDX */
	uint64_t protocol_features; /* wanted; default MQ, REPLY_ACK */
	bool no_protocol_features;  /* do as if we had never heard of them */
	unsigned int timeout_ms;    /* for replies and connections, default 5000 */
};

struct frontend_stats {
	uint64_t msgs_sent, replies, nacks;
	uint64_t kicks, calls;
};

struct frontend_queue {
	struct gqueue gq;
	int kick_fd, call_fd;
	uint32_t base; /* ring state for the next start */
	bool started;
	uint64_t extra_gpa; /* conf.extra_bytes of memory for the flood */
	uint64_t kicks, calls;
};

struct frontend {
	struct frontend_conf conf;
	int sock, listen_fd;
	struct gmem mem;
	int memfd[GMEM_REGIONS_MAX];
	int hugetlbfs;              /* that the memory lies in, or -1 */
	uint64_t features;          /* negotiated */
	uint64_t offered;           /* by the back-end */
	uint64_t protocol_features; /* negotiated */
	uint64_t protocol_offered;
	uint64_t max_queues;          /* queue pairs that the back-end can do */
	struct frontend_queue *queue; /* 2 * pairs: rx 0, tx 0, rx 1, tx 1, ... */
	bool placed;                  /* rings are laid out */
	bool started;
	struct frontend_stats stats;
	char error[160];
};

void frontend_conf_init(struct frontend_conf *conf);

/** Allocate memory and, in server mode, listen. @return NULL with a message on stderr */
struct frontend *frontend_create(const struct frontend_conf *conf);
void frontend_destroy(struct frontend *fe);
const char *frontend_error(const struct frontend *fe);

static inline unsigned int
frontend_rxq(unsigned int pair)
{
	return 2 * pair;
}
static inline unsigned int
frontend_txq(unsigned int pair)
{
	return 2 * pair + 1;
}
struct gqueue *frontend_rx(struct frontend *fe, unsigned int pair);
struct gqueue *frontend_tx(struct frontend *fe, unsigned int pair);

/** Connect or accept, then negotiate: features, protocol features, queue number, owner. */
int frontend_connect(struct frontend *fe);
/** Only the first half of it: a socket without a word said. */
int frontend_socket_open(struct frontend *fe);
int frontend_negotiate(struct frontend *fe);
void frontend_disconnect(struct frontend *fe);
/** Whether the back-end still holds its end of the socket. */
bool frontend_alive(struct frontend *fe);

/** Memory table, rings, enable. Rings go on from where they stopped. */
int frontend_start(struct frontend *fe);
/** Fetch every ring's state, as at a guest's shutdown or the end of a migration. */
int frontend_stop(struct frontend *fe);
/** Forget what is in the rings, as after a device reset; only while stopped. */
void frontend_reset(struct frontend *fe);
/**
 * Connect again after the back-end went away, and go on where its used indices stand.
 * What it had not given back is worked on again by the new one.
 */
int frontend_reconnect(struct frontend *fe);

/* The parts of a start, for tests that stop half way or repeat one. */
int frontend_set_mem_table(struct frontend *fe);
int frontend_queue_setup(struct frontend *fe, unsigned int index);
int frontend_queue_enable(struct frontend *fe, unsigned int index, bool on);
int frontend_queue_stop(struct frontend *fe, unsigned int index);

/**
 * Add @p bytes of memory after everything there is, a hole between, and tell the back-end.
 * @return index of the region, -ENOSPC with eight of them, ...
 */
int frontend_mem_add(struct frontend *fe, uint64_t bytes);
/** Take a region away that holds no ring. Later regions move down by one. */
int frontend_mem_del(struct frontend *fe, unsigned int region);

/**
 * Add memory and put all further buffers there; chains that are out keep theirs, for which the
 * regions they lie in have to stay. @return as frontend_mem_add()
 */
int frontend_mem_move(struct frontend *fe);

/** Take the memory behind a region away: whoever touches it gets SIGBUS. */
int frontend_mem_lose(struct frontend *fe, unsigned int region);
/** Punch a hole into it: there are zeros from now on. */
int frontend_mem_punch(struct frontend *fe, unsigned int region, uint64_t offset, uint64_t bytes);

/** Publish what was added to a queue and kick if the device wants it. */
void frontend_publish(struct frontend *fe, unsigned int index);
void frontend_kick(struct frontend *fe, unsigned int index);

/**
 * Sleep until the queue has @p n used entries, or all the timeout is over.
 *
 * With @p by_call the back-end is asked for a call; else the used index is polled.
 *
 * @return used entries waiting, or -EPIPE when the back-end is gone
 */
int frontend_wait_used(struct frontend *fe, unsigned int index, unsigned int n,
		unsigned int timeout_us, bool by_call);

/** Queue @p n frames of equal layout and publish. @return how many fitted, or negative. */
int frontend_tx_burst(struct frontend *fe, unsigned int pair, const struct layout *l,
		const void *const *frames, const uint32_t *lens, unsigned int n);

typedef void (*frontend_rx_cb)(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr);
/**
 * Receive up to @p n frames, call @p cb for each, post as many buffers of @p buf_len again.
 * @return frames, or negative: -EPROTO with the reason in frontend_error()
 */
int frontend_rx_burst(struct frontend *fe, unsigned int pair, unsigned int n, uint32_t buf_len,
		const struct layout *l, frontend_rx_cb cb, void *arg);

/* Messages by hand. */

/** Send; wait for the answer if @p msg->flags asks for one. @return 0, -EREMOTEIO on a nack */
int frontend_call(struct frontend *fe, struct vhu_msg *msg, const int *fds, unsigned int n_fds);
/** Any bytes with any descriptors. */
int frontend_send_raw(struct frontend *fe, const void *bytes, size_t len, const int *fds,
		unsigned int n_fds);
/** Receive one message. @return 0, -ETIMEDOUT, -EPIPE, -EPROTO */
int frontend_recv(struct frontend *fe, struct vhu_msg *msg);

#endif

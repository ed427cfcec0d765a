/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a front-end may say. Each message is looked at here before librte_vhost acts on it.
 *
 * librte_vhost 22.11.11 checks much, but a front-end could still make it leak descriptors or
 * memory (GET_INFLIGHT_FD, SET_INFLIGHT_FD, POSTCOPY_ADVISE, RESET_OWNER), write behind a
 * mapping (SET_INFLIGHT_FD), act on bytes that never came (any message that is too short), or
 * throw away a good memory table for one that can't be used. So: only what is served, in its
 * full length, with its descriptors and its ring, passes.
 */
#include <inttypes.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <sys/stat.h>

#include <rte_common.h>

#include "../core/compat.h"
#include "../core/error.h"
#include "vhost.h"

#define FDS_MAX 8
#define VERSION_AND_REPLY 0x7
#define VERSION 0x1
#define NO_FD 0x100
#define RING_SIZE_MAX 32768

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	NET_SET_MTU = 20,
	SET_STATUS = 39,
	GET_STATUS = 40,
};

struct region {
	uint64_t gpa, size, uva, offset;
};

/* librte_vhost's struct vhu_msg_context, of which external handlers get a pointer. */
struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t n, pad;
			struct region region[FDS_MAX];
		} mem;
		uint8_t bytes[ZC_VHOST_PAYLOAD_MAX];
	};
	int fd[FDS_MAX];
	int nfds;
} __attribute__((packed));

enum ring {
	RING_NONE,
	RING_INDEX, /* in the first word */
	RING_BITS,  /* in the low byte, with NO_FD beside it */
};

/* Everything that is served. */
static const struct rule {
	const char *name;
	uint8_t bytes; /* of payload, at least */
	uint8_t ring;  /* enum ring */
} rules[] = {
	[GET_FEATURES] = { "GET_FEATURES", 0, RING_NONE },
	[SET_FEATURES] = { "SET_FEATURES", 8, RING_NONE },
	[SET_OWNER] = { "SET_OWNER", 0, RING_NONE },
	[SET_MEM_TABLE] = { "SET_MEM_TABLE", 8, RING_NONE },
	[SET_VRING_NUM] = { "SET_VRING_NUM", 8, RING_INDEX },
	[SET_VRING_ADDR] = { "SET_VRING_ADDR", sizeof(struct vhost_vring_addr), RING_INDEX },
	[SET_VRING_BASE] = { "SET_VRING_BASE", 8, RING_INDEX },
	[GET_VRING_BASE] = { "GET_VRING_BASE", 8, RING_INDEX },
	[SET_VRING_KICK] = { "SET_VRING_KICK", 8, RING_BITS },
	[SET_VRING_CALL] = { "SET_VRING_CALL", 8, RING_BITS },
	[SET_VRING_ERR] = { "SET_VRING_ERR", 8, RING_BITS },
	[GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", 0, RING_NONE },
	[SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", 8, RING_NONE },
	[GET_QUEUE_NUM] = { "GET_QUEUE_NUM", 0, RING_NONE },
	[SET_VRING_ENABLE] = { "SET_VRING_ENABLE", 8, RING_INDEX },
	[NET_SET_MTU] = { "NET_SET_MTU", 8, RING_NONE },
	[SET_STATUS] = { "SET_STATUS", 8, RING_NONE },
	[GET_STATUS] = { "GET_STATUS", 0, RING_NONE },
};

/*
 * Descriptors of the table that was let through last. When a region of it can't be mapped after
 * all, since its file was sealed meanwhile, librte_vhost 22.11.11 closes all but that region's
 * (vhost_user_set_mem_table()). Its event thread has one message at a time in hand, of all sockets.
 */
static struct {
	unsigned int n;
	int fd[FDS_MAX];
	dev_t dev[FDS_MAX];
	ino_t ino[FDS_MAX];
} table;

static const struct rule *
rule_of(const struct message *m)
{
	return m->request < RTE_DIM(rules) && rules[m->request].name != NULL ? &rules[m->request] :
									       NULL;
}

static int
fds_wanted(const struct message *m, const struct rule *rule)
{
	if (m->request == SET_MEM_TABLE)
		return m->mem.n;
	return rule->ring == RING_BITS && !(m->u64 & NO_FD);
}

/* As far as it can be told before the table is mapped. 0 or what zc_fail() gave */
static int
check_table(const struct message *m)
{
	struct zc_region_desc desc[ZC_MAP_REGIONS_MAX];

	if (m->mem.n > RTE_DIM(desc) || m->size < 8 + m->mem.n * sizeof(m->mem.region[0]))
		return zc_fail(EINVAL, "%u regions in %u bytes", m->mem.n, m->size);
	for (uint32_t i = 0; i < m->mem.n; i++)
		desc[i] = (struct zc_region_desc){
			.fd = m->fd[i],
			.offset = m->mem.region[i].offset,
			.gpa = m->mem.region[i].gpa,
			.uva = m->mem.region[i].uva,
			.size = m->mem.region[i].size,
		};
	return zc_map_check(desc, m->mem.n);
}

static int
check(const struct message *m, uint16_t nrings)
{
	const struct rule *rule = rule_of(m);
	uint32_t ring = 0;

	if (rule == NULL)
		return zc_fail(ENOTSUP, "it isn't served");
	if ((m->flags & VERSION_AND_REPLY) != VERSION)
		return zc_fail(EINVAL, "flags %#x", m->flags);
	if (m->size < rule->bytes)
		return zc_fail(EINVAL, "%u bytes instead of %u", m->size, rule->bytes);
	if (m->nfds != fds_wanted(m, rule))
		return zc_fail(EINVAL, "%d file descriptors", m->nfds);
	if (rule->ring == RING_INDEX)
		ring = m->state.index;
	else if (rule->ring == RING_BITS)
		ring = m->u64 & 0xff;
	if (ring >= nrings)
		return zc_fail(EINVAL, "ring %u of %u", ring, nrings);
	if (m->request == SET_VRING_NUM && (m->state.num < 2 || m->state.num > RING_SIZE_MAX))
		return zc_fail(EINVAL, "a ring of %u descriptors", m->state.num);
	return m->request == SET_MEM_TABLE ? check_table(m) : 0;
}

/* librte_vhost leaves the descriptors of a message that we refuse to us. */
static void
close_fds(struct message *m)
{
	for (int i = 0; i < m->nfds && i < FDS_MAX; i++) {
		if (m->fd[i] >= 0)
			close(m->fd[i]);
		m->fd[i] = -1;
	}
	m->nfds = 0;
}

/* ---- what librte_vhost loses ---- */

static bool
has_fd(const struct message *m, int fd)
{
	for (int i = 0; i < m->nfds && i < FDS_MAX; i++)
		if (m->fd[i] == fd)
			return true;
	return false;
}

/* The same file behind the same number, and not this message's: librte_vhost uses it no more. */
static void
close_lost(const struct message *m)
{
	struct stat st;

	for (unsigned int i = 0; i < table.n; i++)
		if (!has_fd(m, table.fd[i]) && fstat(table.fd[i], &st) == 0 &&
				st.st_dev == table.dev[i] && st.st_ino == table.ino[i])
			close(table.fd[i]);
	table.n = 0;
}

static void
note_fds(const struct message *m)
{
	struct stat st;

	for (uint32_t i = 0; i < m->mem.n; i++) {
		if (fstat(m->fd[i], &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		table.fd[table.n] = m->fd[i];
		table.dev[table.n] = st.st_dev;
		table.ino[table.n++] = st.st_ino;
	}
}

void
zc_vhost_msg_table_taken(void)
{
	table.n = 0;
}

/* ---- judging ---- */

enum rte_vhost_msg_result
zc_vhost_msg_check(const struct vhost_port *vp, void *msg)
{
	struct message *m = msg;

	close_lost(m);
	if (check(m, 2 * vp->port.nqueues) < 0) {
		ZC_LOG(WARNING, "port %s: message %u (%s) is refused: %s", vp->port.name,
				m->request, rule_of(m) != NULL ? rule_of(m)->name : "?",
				zc_last_error());
		close_fds(m);
		return RTE_VHOST_MSG_RESULT_ERR;
	}
	if (m->request == SET_MEM_TABLE)
		note_fds(m);
	if (m->request != GET_QUEUE_NUM)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	/* librte_vhost would tell its own bound. */
	m->u64 = vp->port.nqueues;
	m->size = sizeof(m->u64);
	return RTE_VHOST_MSG_RESULT_REPLY;
}

bool
zc_vhost_msg_is_table(const void *msg)
{
	return ((const struct message *)msg)->request == SET_MEM_TABLE;
}

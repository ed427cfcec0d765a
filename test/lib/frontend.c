/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user front-end: its memory, its life, its rings. What it says: vhu.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/memfd.h>
#include <linux/virtio_config.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "clock.h"
#include "frame.h"
#include "frontend_priv.h"

#define MIB (1ULL << 20)
#define GPA_BASE (256 * MIB)
#define GPA_HOLE (16 * MIB)
#define CROSS_ROOM (128 * 1024)

#define BIT(n) (1ULL << (n))

int
frontend_failed(struct frontend *fe, int ret, const char *format, ...)
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
memory_file(struct frontend *fe, unsigned int i)
{
	char name[] = "guest0";

	if (fe->hugetlbfs < 0)
		return memfd_create("guest", MFD_CLOEXEC | (fe->conf.hugepages ? MFD_HUGETLB : 0));
	name[5] += (char)i;
	return openat(fe->hugetlbfs, name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
}

static int
region_map(struct frontend *fe, unsigned int i)
{
	struct gmem_region *r = &fe->mem.region[i];
	int fd = memory_file(fe, i);
	void *va;

	if (fd < 0)
		return frontend_failed(fe, -errno, "cannot create a file: %s", strerror(errno));
	if (ftruncate(fd, (off_t)r->size) < 0) {
		close(fd);
		return frontend_failed(fe, -errno, "cannot size a memfd: %s", strerror(errno));
	}
	va = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (va == MAP_FAILED) {
		close(fd);
		return frontend_failed(fe, -ENOMEM, "cannot map %llu MiB of guest memory%s",
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
files_create(struct frontend *fe)
{
	uint64_t bytes = 0;
	int ret = 0;

	for (unsigned int i = 0; i < fe->mem.n; i++)
		bytes += fe->mem.region[i].size;
	if (fe->conf.hugetlbfs) {
		fe->hugetlbfs = frontend_hugetlbfs_create(fe, bytes);
		if (fe->hugetlbfs < 0)
			return fe->hugetlbfs;
	}
	for (unsigned int i = 0; i < fe->conf.regions && ret == 0; i++) {
		ret = region_map(fe, i);
		if (ret < 0)
			fe->mem.n = i;
	}
	return ret;
}

static int
memory_create(struct frontend *fe)
{
	const struct frontend_conf *fc = &fe->conf;

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
	return files_create(fe);
}

int
frontend_mem_add(struct frontend *fe, uint64_t bytes)
{
	unsigned int i = fe->mem.n;
	struct gmem_region *r = &fe->mem.region[i];
	int ret;

	if (i == GMEM_REGIONS_MAX)
		return frontend_failed(fe, -ENOSPC, "there are eight regions already");
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
frontend_mem_move(struct frontend *fe)
{
	size_t area = gqueue_area_bytes(fe->conf.ring_size, fe->conf.slot_bytes);
	int region = frontend_mem_add(fe, 2ULL * fe->conf.pairs * GQ_AREAS_MAX * area);
	uint64_t gpa;

	if (region < 0)
		return region;
	gpa = fe->mem.region[region].gpa;
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++)
		for (unsigned int a = 0; a < GQ_AREAS_MAX; a++, gpa += area)
			gqueue_move(&fe->queue[i].gq, a, gpa);
	return region;
}

int
frontend_mem_del(struct frontend *fe, unsigned int region)
{
	struct gmem_region gone;
	int fd, ret;

	if (region == 0 || region >= fe->mem.n)
		return frontend_failed(fe, -EINVAL, "region %u holds rings or does not exist",
				region);
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
		return frontend_failed(fe, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++)
		fe->queue[i].kick_fd = fe->queue[i].call_fd = -1;
	for (unsigned int i = 0; i < 2 * fe->conf.pairs; i++) {
		fe->queue[i].kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		fe->queue[i].call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fe->queue[i].kick_fd < 0 || fe->queue[i].call_fd < 0)
			return frontend_failed(fe, -errno, "cannot create an eventfd: %s",
					strerror(errno));
	}
	return 0;
}

static int
conf_check(struct frontend *fe)
{
	const struct frontend_conf *c = &fe->conf;

	if (c->pairs == 0 || c->pairs > 128)
		return frontend_failed(fe, -EINVAL, "%u queue pairs: 1 to 128 are possible",
				c->pairs);
	if (c->regions == 0 || c->regions > GMEM_REGIONS_MAX)
		return frontend_failed(fe, -EINVAL, "%u regions: 1 to 8 are possible", c->regions);
	if (c->cross && c->regions < 3)
		return frontend_failed(fe, -EINVAL, "crossing layouts need 3 regions");
	if (c->ring_size == 0 || c->ring_size > 32768 || (c->ring_size & (c->ring_size - 1)) != 0)
		return frontend_failed(fe, -EINVAL, "ring size %u is no power of two",
				c->ring_size);
	if (c->path == NULL)
		return frontend_failed(fe, -EINVAL, "no socket path given");
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
	fe->sock = fe->listen_fd = fe->hugetlbfs = -1;
	ret = conf_check(fe);
	if (ret == 0)
		ret = queues_create(fe);
	if (ret == 0)
		ret = memory_create(fe);
	if (ret == 0 && conf->server)
		ret = frontend_listen(fe);
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
	if (fe->hugetlbfs >= 0)
		close(fe->hugetlbfs);
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
	uint64_t now = clock_us(), end = now + timeout_us;
	unsigned int have, rounds = 0;

	while ((have = drv_ring_used_count(&q->gq.ring)) < n && now < end) {
		if (by_call) {
			drv_ring_call_after(&q->gq.ring, n);
			if (drv_ring_used_count(&q->gq.ring) < n)
				call_wait(fe, q, end - now < 100000 ? end - now : 100000);
			drv_ring_call_never(&q->gq.ring);
		} else if (++rounds > 200) {
			clock_nap_us(20);
		}
		if (rounds % 1024 == 0 && !frontend_alive(fe))
			return frontend_failed(fe, -EPIPE, "the back-end closed the connection");
		now = clock_us();
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
		return frontend_failed(fe, ret, "transmit queue %u: %s", pair, q->err);
	for (; sent < (int)n; sent++) {
		ret = gqueue_tx_frame(q, l, NULL, frames[sent], lens[sent]);
		if (ret < 0)
			break;
	}
	frontend_publish(fe, frontend_txq(pair));
	if (ret < 0 && ret != -ENOSPC && ret != -EBUSY && sent == 0)
		return frontend_failed(fe, ret, "cannot queue a frame of %u bytes: %s", lens[0],
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
		return frontend_failed(fe, ret, "receive queue %u: %s", pair,
				ret == -EPROTO ? q->err : strerror(-ret));
	if (got > 0) {
		gqueue_rx_fill(q, buf_len, l);
		frontend_publish(fe, frontend_rxq(pair));
	}
	return got;
}

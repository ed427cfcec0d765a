/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An application that reads and writes frames in its own memory, through a port and a NIC of
 * libzcnet in the same process:
 *
 *     async-io -l 0,1 --vdev net_null0,size=1024 -- /run/async.sock net_null0 100000
 *
 * Each buffer is written and read over and over; after so many frames each way the counters of the
 * port are printed. With ZCIO alone it would do the same as another process, without DPDK.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>

#include <zcnet/zcnet.h>
#include <zcnet_mempool_guest.h>

#include <zcio.h>

#define BUFFERS ZCIO_DEPTH
#define ROOM 2048
#define FRAME 1024
#define SECONDS 60

static struct zcio *io;
static unsigned long written, read_in, wanted;

static void
was_written(void *arg, void *buf, size_t bytes)
{
	if (++written < wanted)
		zcio_write(io, buf, bytes, was_written, arg);
}

static void
was_read(void *arg, void *buf, size_t bytes)
{
	(void)bytes;
	if (++read_in < wanted)
		zcio_read(io, buf, ROOM, was_read, arg);
}

static int
bring_up(const char *socket, const char *device)
{
	struct zcnet_vhost_conf own;
	struct zcnet_ethdev_conf nic;
	struct zcnet_conn_conf conn = { .name = "uplink", .worker = -1 };

	zcnet_vhost_conf_init(&own);
	own.name = "own";
	own.path = socket;
	zcnet_ethdev_conf_init(&nic);
	nic.name = "nic";
	nic.device = device;
	conn.a = zcnet_port_vhost_create(&own);
	conn.b = zcnet_port_ethdev_create(&nic);
	if (conn.a == NULL || conn.b == NULL || zcnet_conn_create(&conn) == NULL)
		return -1;
	return zcnet_workers_start();
}

/* All that is asked for, both ways. */
static int
transfer(const char *socket)
{
	int fd = memfd_create("frames", MFD_CLOEXEC);
	size_t bytes = 2UL * BUFFERS * ROOM;
	time_t end = time(NULL) + SECONDS;
	uint8_t *mem;

	if (fd < 0 || ftruncate(fd, bytes) < 0)
		return -1;
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return -1;
	io = zcio_open(socket, fd, mem, bytes);
	if (io == NULL)
		return -1;
	for (size_t i = 0; i < BUFFERS; i++) {
		zcio_read(io, mem + 2 * i * ROOM, ROOM, was_read, NULL);
		zcio_write(io, mem + (2 * i + 1) * ROOM, FRAME, was_written, NULL);
	}
	while ((written < wanted || read_in < wanted) && time(NULL) < end)
		zcio_poll(io);
	zcio_close(io);
	return written >= wanted && read_in >= wanted ? 0 : -1;
}

static void
show(void)
{
	struct zcnet_queue_stats out = { 0 }, in = { 0 };

	zcnet_port_stats_get(zcnet_port_find("own"), ZCNET_RX, &out);
	zcnet_port_stats_get(zcnet_port_find("own"), ZCNET_TX, &in);
	printf("written %lu, without copy %lu of %lu; read %lu, without copy %lu of %lu\n", written,
			out.counter[ZCNET_Q_zc_frames], out.counter[ZCNET_Q_frames], read_in,
			in.counter[ZCNET_Q_zc_frames], in.counter[ZCNET_Q_frames]);
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	int status = 1;

	if (used < 0 || argc - used != 4) {
		fprintf(stderr, "usage: async-io EAL... -- SOCKET DEVICE FRAMES\n");
		return 2;
	}
	wanted = strtoul(argv[used + 3], NULL, 10);
	if (zcnet_mempool_guest_register() < 0 || zcnet_init() < 0 ||
			bring_up(argv[used + 1], argv[used + 2]) < 0)
		fprintf(stderr, "async-io: %s\n", zcnet_last_error());
	else if (transfer(argv[used + 1]) < 0)
		perror("async-io");
	else
		status = 0;
	if (zcnet_port_find("own") != NULL)
		show();
	zcnet_fini();
	rte_eal_cleanup();
	return status;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest on a NIC, both ways, without copying where the NIC's driver can:
 *
 *     guest-to-nic -l 0,1 --vdev net_tap0 -- /run/guest0.sock net_tap0
 *
 * One worker polls on lcore 1. What went through is printed every second, until Ctrl-C.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_eal.h>

#include <zcnet/zcnet.h>
#include <zcnet_mempool_guest.h>

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	stop = sig;
}

/* Guest, NIC, what binds them, and somebody who polls. */
static int
bring_up(const char *socket, const char *device)
{
	struct zcnet_vhost_conf guest;
	struct zcnet_ethdev_conf nic;
	struct zcnet_conn_conf conn = { .name = "uplink", .worker = -1 };

	zcnet_vhost_conf_init(&guest);
	guest.name = "guest";
	guest.path = socket;
	zcnet_ethdev_conf_init(&nic);
	nic.name = "nic";
	nic.device = device;
	conn.a = zcnet_port_vhost_create(&guest);
	if (conn.a == NULL)
		return -1;
	conn.b = zcnet_port_ethdev_create(&nic);
	if (conn.b == NULL || zcnet_conn_create(&conn) == NULL)
		return -1;
	return zcnet_workers_start();
}

static void
show(const struct zcnet_port *port)
{
	struct zcnet_queue_stats sent = { 0 }, received = { 0 };

	zcnet_port_stats_get(port, ZCNET_RX, &sent);
	zcnet_port_stats_get(port, ZCNET_TX, &received);
	printf("from the guest %lu frames, %lu of them without copy; to it %lu, %lu\n",
			sent.counter[ZCNET_Q_frames], sent.counter[ZCNET_Q_zc_frames],
			received.counter[ZCNET_Q_frames], received.counter[ZCNET_Q_zc_frames]);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	int status = 1;

	if (used < 0 || argc - used != 3) {
		fprintf(stderr, "usage: guest-to-nic EAL... -- SOCKET DEVICE\n");
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (zcnet_mempool_guest_register() == 0 && zcnet_init() == 0 &&
			bring_up(argv[used + 1], argv[used + 2]) == 0)
		status = 0;
	else
		fprintf(stderr, "guest-to-nic: %s\n", zcnet_last_error());
	while (status == 0 && !stop) {
		sleep(1);
		show(zcnet_port_find("guest"));
	}
	zcnet_fini();
	rte_eal_cleanup();
	return status;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A forwarding engine of one's own: guests polled by the program, not by zcnet's workers.
 *
 *     forward -l 0 -- /run/guest0.sock /run/guest1.sock ...
 *
 * Guest N has the address 02:00:00:00:00:NN. A frame goes to the guest that it is addressed to, one
 * for many to all others. Frames are mbufs that point into the sender's memory; it has its buffers
 * back when the last of them is freed, and between two guests they are copied exactly once.
 */
#include <signal.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <zcnet/zcnet.h>
#include <zcnet_mempool_guest.h>

#define GUESTS_MAX 64
#define BURST 32

static struct zcnet_poll *guest[GUESTS_MAX];
static unsigned int nguests;
static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	stop = sig;
}

static int
add_guest(const char *socket)
{
	struct zcnet_vhost_conf conf;
	struct zcnet_port *port;
	char name[16];

	snprintf(name, sizeof(name), "guest%u", nguests);
	zcnet_vhost_conf_init(&conf);
	conf.name = name;
	conf.path = socket;
	port = zcnet_port_vhost_create(&conf);
	if (port == NULL)
		return -rte_errno;
	guest[nguests] = zcnet_poll_open(port, NULL, NULL);
	return guest[nguests++] != NULL ? 0 : -rte_errno;
}

/* The mbuf is ours: given away or freed. What a guest has no room for is lost. */
static void
give(unsigned int to, struct rte_mbuf *m)
{
	if (to >= nguests || zcnet_poll_tx(guest[to], 0, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

static void
forward(unsigned int from, struct rte_mbuf *m)
{
	struct rte_ether_hdr room;
	const struct rte_ether_hdr *eth = rte_pktmbuf_read(m, 0, sizeof(room), &room);
	/* The guest may change what it has sent at any time: decide on a copy. */
	struct rte_ether_addr dst = eth->dst_addr;

	if (!rte_is_multicast_ether_addr(&dst)) {
		give(dst.addr_bytes[5], m);
		return;
	}
	for (unsigned int to = 0; to < nguests; to++) {
		if (to == from)
			continue;
		/* A reference each; the frame itself stays where it is. */
		for (struct rte_mbuf *seg = m; seg != NULL; seg = seg->next)
			rte_mbuf_refcnt_update(seg, 1);
		give(to, m);
	}
	rte_pktmbuf_free(m);
}

static void
turn(void)
{
	struct rte_mbuf *pkts[BURST];

	for (unsigned int from = 0; from < nguests; from++) {
		uint16_t n = zcnet_poll_rx(guest[from], 0, pkts, BURST);

		for (uint16_t i = 0; i < n; i++)
			forward(from, pkts[i]);
	}
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv), ret;

	if (used < 0 || argc - used < 3 || argc - used > GUESTS_MAX) {
		fprintf(stderr, "usage: forward EAL... -- SOCKET SOCKET...\n");
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	ret = zcnet_mempool_guest_register();
	if (ret == 0)
		ret = zcnet_init();
	for (int i = used + 1; ret == 0 && i < argc; i++)
		ret = add_guest(argv[i]);
	if (ret < 0)
		fprintf(stderr, "forward: %s\n", zcnet_last_error());
	while (ret == 0 && !stop)
		turn();
	for (unsigned int i = 0; i < nguests; i++)
		zcnet_poll_close(guest[i]);
	zcnet_fini();
	rte_eal_cleanup();
	return ret < 0;
}

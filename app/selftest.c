/* SPDX-License-Identifier: BSD-3-Clause */
/* See selftest.h. */
#include "selftest.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "control.h"

#define CONN "selftest"
#define BURST 31
#define TRIES 3
#define WELL_S 3
#define BURST_BYTES 1024
#define LINK_S 15
#define MAPPED_S 10
#define RECEIVED_ENOUGH 1000

static int
fail(const char *why)
{
	fprintf(stderr, "zcnet: selftest: %s\n", why);
	return -EINVAL;
}

/* Ask until it is so, or the time is up, or somebody wants us to end. */
static bool
wait_for(bool (*probe)(struct app_selftest *test), struct app_selftest *test, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds * 100; i++) {
		if (probe(test))
			return true;
		if (app_stopping())
			break;
		rte_delay_us_sleep(10000);
	}
	return probe(test);
}

static bool
is_mapped(struct app_selftest *test)
{
	zcnet_port_info_get(test->guest_port, &test->guest_info);
	if (!test->guest_info.link_up)
		return false;
	return test->guest_info.zerocopy_tx || !test->nic_info.zerocopy_tx;
}

static bool
has_link(struct app_selftest *test)
{
	zcnet_port_info_get(test->nic_port, &test->nic_info);
	return test->nic_info.link_up;
}

static int
choose_device(struct app_selftest *test)
{
	uint16_t port_id = rte_eth_find_next(0);
	char name[RTE_ETH_NAME_MAX_LEN];

	if (test->conf.nic.device[0] != '\0')
		return 0;
	if (port_id >= RTE_MAX_ETHPORTS || rte_eth_dev_get_name_by_port(port_id, name) < 0)
		return fail("DPDK has no NIC: -a ADDRESS of one on vfio-pci, or --vdev");
	snprintf(test->conf.nic.device, sizeof(test->conf.nic.device), "%s", name);
	return 0;
}

static int
make_nic(struct app_selftest *test)
{
	char why[APP_ERROR_MAX];

	if (app_port_create(&test->conf.nic, why, sizeof(why)) < 0)
		return fail(why);
	test->nic_port = zcnet_port_find(test->conf.nic.name);
	zcnet_port_info_get(test->nic_port, &test->nic_info);
	test->ncaps = zcnet_port_caps_get(test->nic_port, test->cap);
	return 0;
}

static int
make_guest_port(struct app_selftest *test, const char *socket)
{
	struct zcnet_conn_conf conn = { .name = CONN, .worker = -1, .b = test->nic_port };
	struct zcnet_vhost_conf vhost;

	zcnet_vhost_conf_init(&vhost);
	vhost.name = "guest";
	vhost.path = socket;
	vhost.threshold = 0; /* short frames say as much about the NIC */
	vhost.rx_full = ZCNET_RX_FULL_WAIT;
	test->guest_port = conn.a = zcnet_port_vhost_create(&vhost);
	if (conn.a == NULL || zcnet_conn_create(&conn) == NULL)
		return fail(zcnet_last_error());
	return 0;
}

static int
make_ports(struct app_selftest *test, const char *socket)
{
	int ret;

	app_lock();
	ret = make_nic(test);
	if (ret == 0)
		ret = make_guest_port(test, socket);
	app_unlock();
	return ret;
}

/* The NIC starts when the guest's buffers are there, so that it takes none of the host's. */
static int
bring_up(struct app_selftest *test, const char *socket)
{
	int ret;

	if (zcnet_port_stop(test->nic_port) < 0)
		return fail(zcnet_last_error());
	ret = app_guest_begin(&test->guest, socket, test->nic_info.mac);
	if (ret < 0)
		return fail(strerror(-ret));
	wait_for(is_mapped, test, MAPPED_S);
	ret = app_witness_begin(&test->witness, test->nic_info.port_id, test->guest.fd);
	if (ret < 0)
		return fail("DPDK has no callbacks, or the guest's memory isn't mapped");
	zcnet_port_stats_clear(test->guest_port);
	if (zcnet_port_start(test->nic_port) < 0)
		return fail(zcnet_last_error());
	wait_for(has_link, test, LINK_S);
	/* No address is ours that a NIC may use while it resets. */
	app_witness_faults(&test->witness);
	return 0;
}

static bool
is_well(struct app_selftest *test)
{
	struct zcnet_conn_info info;

	(void)test;
	zcnet_conn_info_get(zcnet_conn_find(CONN), &info);
	return !info.copying;
}

static void
try_size(struct app_selftest *test, uint32_t bytes, struct app_sent *sent)
{
	struct zcnet_queue_stats before, after;

	zcnet_port_stats_get(test->guest_port, ZCNET_RX, &before);
	sent->bytes = bytes;
	sent->lost = app_guest_send(&test->guest, bytes, APP_SELFTEST_FRAMES, &sent->us);
	zcnet_port_stats_get(test->guest_port, ZCNET_RX, &after);
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		sent->counter[i] = after.counter[i] - before.counter[i];
}

/* A machine that stalls for once isn't what we are after; one that goes on is. */
static void
send_size(struct app_selftest *test, uint32_t bytes)
{
	struct app_sent *sent = &test->sent[test->nsent++];

	for (unsigned int i = 0; i < TRIES; i++) {
		wait_for(is_well, test, WELL_S);
		try_size(test, bytes, sent);
		if (sent->counter[ZCNET_Q_copy_recover] == 0)
			break;
	}
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Few frames, then silence. */
static void
send_bursts(struct app_selftest *test)
{
	for (unsigned int i = 0; i < APP_SELFTEST_BURSTS; i++)
		app_guest_send(&test->guest, BURST_BYTES, BURST, &test->burst_us[i]);
	qsort(test->burst_us, APP_SELFTEST_BURSTS, sizeof(test->burst_us[0]), by_value);
}

static void
send_all(struct app_selftest *test)
{
	static const uint32_t sizes[] = { 60, 128, 256, 512, 1024, 1514, 4096 };
	uint32_t most = test->nic_info.mtu + RTE_ETHER_HDR_LEN;

	if (most + RTE_ETHER_CRC_LEN > APP_GUEST_ROOM)
		most = APP_GUEST_ROOM - RTE_ETHER_CRC_LEN;
	for (unsigned int i = 0; i < RTE_DIM(sizes) && !app_stopping(); i++)
		if (sizes[i] < most)
			send_size(test, sizes[i]);
	send_size(test, most);
	send_bursts(test);
}

/* Our own frames come back where there is a cable or an echo; anybody else's will do. */
static void
receive(struct app_selftest *test)
{
	uint64_t end = rte_rdtsc() + test->conf.seconds * rte_get_tsc_hz(), us;

	while (rte_rdtsc() < end && test->guest.received < RECEIVED_ENOUGH && !app_stopping()) {
		if (app_guest_send(&test->guest, BURST_BYTES, BURST, &us) > 0)
			break;
		for (unsigned int i = 0; i < 100; i++)
			app_guest_poll(&test->guest);
	}
}

static void
take_figures(struct app_selftest *test)
{
	zcnet_port_stats_get(test->guest_port, ZCNET_RX, &test->out);
	zcnet_port_stats_get(test->guest_port, ZCNET_TX, &test->in);
	zcnet_port_info_get(test->guest_port, &test->guest_info);
	test->faults = app_witness_faults(&test->witness);
}

static int
run(struct app_selftest *test, const char *socket)
{
	int ret = choose_device(test);

	if (ret == 0)
		ret = make_ports(test, socket);
	if (ret == 0)
		ret = bring_up(test, socket);
	if (ret < 0)
		return ret;
	send_all(test);
	receive(test);
	take_figures(test);
	return app_selftest_report(test) ? 0 : -EIO;
}

int
app_selftest_run(const struct app_selftest_conf *conf)
{
	struct app_selftest test = { .conf = *conf, .guest.fd = -1, .witness.log = -1 };
	char folder[] = "/tmp/zcnet-selftest-XXXXXX", socket[sizeof(folder) + 8];
	int ret;

	if (mkdtemp(folder) == NULL)
		return fail("no folder for a socket can be made in /tmp");
	snprintf(socket, sizeof(socket), "%s/sock", folder);
	ret = run(&test, socket);
	app_guest_end(&test.guest);
	zcnet_workers_stop(); /* nobody is in the witness's callbacks any more */
	app_witness_end(&test.witness);
	unlink(socket);
	rmdir(folder);
	return ret;
}

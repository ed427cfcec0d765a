/* SPDX-License-Identifier: BSD-3-Clause */
/* What the self-test found, and what to change. */
#include <inttypes.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "columns.h"
#include "control.h"
#include "figures.h"
#include "selftest.h"

#define SILENCE_US 10000

/* An entry of the NIC's row, NULL: there is no such entry. */
static const struct zcnet_cap *
find_cap(const struct app_selftest *test, const char *name)
{
	for (int i = 0; i < test->ncaps; i++)
		if (strcmp(test->cap[i].name, name) == 0)
			return &test->cap[i];
	return NULL;
}

static bool
cap_is(const struct app_selftest *test, const char *name, const char *value)
{
	const struct zcnet_cap *cap = find_cap(test, name);

	return cap != NULL && strcmp(cap->value, value) == 0;
}

/* ---- the NIC ---- */

static void
print_cap(const struct app_selftest *test, const char *label, const char *name)
{
	const struct zcnet_cap *cap = find_cap(test, name);

	if (cap != NULL)
		printf("  %-14s %s%s%s\n", label, cap->value, cap->use[0] != '\0' ? "; " : "",
				cap->use);
}

/* The name of the IOMMU's group is its number, the last part of a link. */
static void
print_group(const char *device)
{
	char path[128], link[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	if (n > 0)
		printf("group %s", strrchr(link, '/') + 1);
	else
		printf("none");
}

static void
print_iommu(const struct app_selftest *test)
{
	const char *memory = "mapped for the NIC";

	printf("  %-14s ", "iommu");
	if (cap_is(test, "dma", "no"))
		printf("not needed: the driver does no DMA");
	else
		print_group(test->nic_info.device);
	if (!test->nic_info.zerocopy_tx && !test->nic_info.zerocopy_rx)
		memory = "not lent to the NIC";
	else if (!test->guest_info.zerocopy_tx && test->nic_info.zerocopy_tx)
		memory = "NOT mapped";
	else if (cap_is(test, "dma", "no"))
		memory = "shared with the driver";
	printf("; DPDK's IOVA mode %s; guest memory %s\n",
			rte_eal_iova_mode() == RTE_IOVA_VA ? "VA" : "PA", memory);
}

static void
print_nic(const struct app_selftest *test)
{
	const struct zcnet_port_info *nic = &test->nic_info;
	char mac[18];

	printf("NIC\n");
	printf("  %-14s %s, driver %s, MAC %s, MTU %u\n", "device", nic->device, nic->driver,
			app_mac(nic->mac, mac), nic->mtu);
	printf("  %-14s %s, %u Mbit/s\n", "link", nic->link_up ? "up" : "down", nic->link_mbps);
	print_cap(test, "driver table", "driver");
	print_iommu(test);
	print_cap(test, "sends", "tx");
	print_cap(test, "segments", "tx_segments");
	print_cap(test, "done is told", "tx_done");
	print_cap(test, "receives", "rx");
	print_cap(test, "buffers in", "rx_steps");
}

/* ---- frames ---- */

/* "copy_off 3 drop_link_down 1", "-" for none. */
static void
reasons(const uint64_t *counter, char *text, size_t size)
{
	size_t at = 0;

	snprintf(text, size, "-");
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT && at < size; i++) {
		const char *name = zcnet_queue_counter_name(i);

		if (counter[i] > 0 &&
				(strncmp(name, "copy_", 5) == 0 || strncmp(name, "drop_", 5) == 0))
			at += snprintf(text + at, size - at, "%s%s %" PRIu64, at > 0 ? ", " : "",
					name, counter[i]);
	}
}

static void
add_size(struct app_columns *c, const struct app_sent *sent)
{
	char percent[16], text[128];

	app_cell(c, "%u", sent->bytes);
	app_cell(c, "%" PRIu64, sent->counter[ZCNET_Q_frames]);
	app_cell(c, "%s",
			app_percent(sent->counter[ZCNET_Q_zc_frames], APP_SELFTEST_FRAMES,
					percent));
	app_cell(c, "%" PRIu64, sent->us);
	reasons(sent->counter, text, sizeof(text));
	app_cell(c, "%s", text);
}

static void
print_seen(const struct app_seen *seen, const char *way)
{
	printf("  addresses: of %" PRIu64 " frames that the driver %s, %" PRIu64
	       " lay in the guest's memory",
			seen->frames, way, seen->inside);
	if (seen->inside > 0)
		printf(", the first at 0x%" PRIx64 ", 0x%" PRIx64 " to the NIC", seen->address,
				seen->iova);
	printf("\n");
}

static void
print_sent(const struct app_selftest *test)
{
	static const char *const heads[] = { "bytes", "frames", "no copy %", "last back us",
		"<copied or dropped" };
	struct app_columns c;

	printf("\nFrom the guest's memory to the NIC, %u frames of each size\n",
			APP_SELFTEST_FRAMES);
	app_columns_init(&c, heads, RTE_DIM(heads));
	for (unsigned int i = 0; i < test->nsent; i++)
		add_size(&c, &test->sent[i]);
	app_columns_print(&c);
	print_seen(&test->witness.sent, "was given");
	printf("  silence after 31 frames, %u times: the last buffer is back after %" PRIu64
	       " us (median), %" PRIu64 " us (worst)\n",
			APP_SELFTEST_BURSTS, test->burst_us[APP_SELFTEST_BURSTS / 2],
			test->burst_us[APP_SELFTEST_BURSTS - 1]);
}

static void
print_received(const struct app_selftest *test)
{
	const uint64_t *counter = test->in.counter;
	char percent[16], text[128];

	printf("\nFrom the NIC into the guest's memory\n");
	if (test->guest.received == 0) {
		printf("  nothing arrived within %u s\n", test->conf.seconds);
		return;
	}
	reasons(counter, text, sizeof(text));
	printf("  %" PRIu64 " frames, %s %% in place; copied or dropped: %s\n",
			counter[ZCNET_Q_frames],
			app_percent(counter[ZCNET_Q_zc_frames], counter[ZCNET_Q_frames], percent),
			text);
	printf("  %" PRIu64 " of them our own that came back, %" PRIu64 " altered\n",
			test->guest.own, test->guest.altered);
	print_seen(&test->witness.received, "gave");
}

static void
print_errors(const struct app_selftest *test)
{
	struct rte_eth_stats stats = { 0 };

	rte_eth_stats_get(test->nic_info.port_id, &stats);
	printf("\nErrors\n  NIC: %" PRIu64 " to send, %" PRIu64 " to receive, %" PRIu64
	       " without a buffer\n",
			stats.oerrors, stats.ierrors, stats.imissed + stats.rx_nombuf);
	if (test->faults < 0)
		printf("  DMA: the kernel's messages can't be read here: dmesg | grep -i fault\n");
	else
		printf("  DMA: %d faults in the kernel's messages\n", test->faults);
}

/* ---- what to change ---- */

static const struct {
	enum zcnet_queue_counter counter;
	const char *advice;
} advices[] = {
	{ ZCNET_Q_copy_off, "see what is said of the NIC" },
	{ ZCNET_Q_copy_dma, "raise locked memory (ulimit -l, LimitMEMLOCK)" },
	{ ZCNET_Q_copy_recover, "a cable, a peer, or a NIC that sends what it is given" },
	{ ZCNET_Q_copy_segs, "frames in fewer pieces: larger buffers in the guest" },
	{ ZCNET_Q_copy_short, "nothing: so few bytes are copied at no cost" },
	{ ZCNET_Q_copy_bounce, "a guest that posts buffers faster, a larger ring than rx-desc" },
	{ ZCNET_Q_copy_hole, "a larger ring in the guest than rx-desc" },
	{ ZCNET_Q_drop_bad_size, "mtu" },
	{ ZCNET_Q_drop_link_down, "plug in the cable, or set the peer up" },
};

static void
advise_counters(const uint64_t *counter)
{
	for (unsigned int i = 0; i < RTE_DIM(advices); i++)
		if (counter[advices[i].counter] > 0)
			printf("- %" PRIu64 " frames %s. Change: %s\n", counter[advices[i].counter],
					zcnet_queue_counter_text(advices[i].counter),
					advices[i].advice);
}

/* The NIC's step and the buffers of guests. */
static void
advise_guests(const struct app_selftest *test)
{
	static const char *const names[] = { "guest_mergeable", "guest_small", "guest_big",
		"guest_dpdk" };

	if (!test->nic_info.zerocopy_rx)
		return;
	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		const struct zcnet_cap *cap = find_cap(test, names[i]);

		if (cap != NULL && strncmp(cap->use, "copied", 6) == 0)
			printf("- buffers of %s receive copies (%s). Change: on such a NIC, for a "
			       "Linux guest mergeable = off and guest-tso = on, or a smaller "
			       "mtu\n",
					strchr(cap->use, ':') + 2, cap->value);
	}
}

static void
advise_nic(const struct app_selftest *test)
{
	const struct zcnet_port_info *nic = &test->nic_info;
	struct rte_eth_dev_info info = { 0 };
	uint32_t most;

	if (nic->note[0] != '\0')
		printf("- the NIC: %s\n", nic->note);
	if (find_cap(test, "tx") == NULL)
		printf("- Change: a NIC whose driver has a row, or a row for this one: "
		       "lib/zcnet/port/driver.c\n");
	if (!nic->link_up)
		printf("- the link is down. Change: plug in the cable, or set the peer up\n");
	if (nic->zerocopy_tx && !test->guest_info.zerocopy_tx && test->guest_info.note[0] != '\0')
		printf("- the guest's memory: %s\n", test->guest_info.note);
	if (rte_eth_dev_info_get(nic->port_id, &info) < 0)
		return;
	most = RTE_MIN((uint32_t)info.max_mtu,
			info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN);
	if (most > nic->mtu)
		printf("- frames longer than MTU %u were not tried; the driver says it takes %u. "
		       "Change: selftest %s mtu N\n",
				nic->mtu, most, nic->device);
}

static void
advise_all(const struct app_selftest *test)
{
	printf("\nWhat limits it, and what to change\n");
	advise_nic(test);
	advise_counters(test->out.counter);
	advise_counters(test->in.counter);
	advise_guests(test);
	if (test->burst_us[APP_SELFTEST_BURSTS - 1] > SILENCE_US)
		printf("- buffers came back late. Change: a core of its own for the worker "
		       "(isolcpus)\n");
	if (test->guest.received == 0 && cap_is(test, "loopback", "yes"))
		printf("- the NIC has a loopback. Change: selftest %s loopback on\n",
				test->nic_info.device);
	if (test->guest.received == 0)
		printf("- receiving was not seen. Change: connect a peer that sends or echoes, or "
		       "a loop cable, for example on the peer: dpdk-testpmd -a ADDRESS -- "
		       "--forward-mode=txonly --txpkts=1024\n");
	printf("- in use, guests' frames below threshold (256 bytes) are copied on purpose, and "
	       "guests compute checksums themselves: no offloads are offered\n");
}

/* ---- verdict ---- */

static bool
sends(const struct app_selftest *test)
{
	if (test->nsent == 0 || test->witness.sent.inside < test->out.counter[ZCNET_Q_zc_frames])
		return false;
	for (unsigned int i = 0; i < test->nsent; i++)
		if (test->sent[i].lost > 0 ||
				app_ppm(test->sent[i].counter[ZCNET_Q_zc_frames],
						APP_SELFTEST_FRAMES) < 990000)
			return false;
	return true;
}

/*
 * A flood finds this guest's thread too slow, and no buffer posted: that is no fault of the NIC, as
 * long as it isn't the rule.
 */
static bool
receives(const struct app_selftest *test)
{
	const uint64_t *counter = test->in.counter;
	uint64_t in_time = counter[ZCNET_Q_frames] - counter[ZCNET_Q_copy_bounce];

	return test->guest.received > 0 && test->guest.altered == 0 &&
			test->witness.received.inside >= counter[ZCNET_Q_zc_frames] &&
			app_ppm(counter[ZCNET_Q_zc_frames], in_time) >= 990000 &&
			2 * counter[ZCNET_Q_zc_frames] >= counter[ZCNET_Q_frames];
}

static bool
print_verdict(const struct app_selftest *test)
{
	bool out = sends(test), in = receives(test);

	printf("\nVerdict\n  sending: %s\n  receiving: %s\n",
			out ? "zero copy holds" : "zero copy does NOT hold",
			in                                        ? "zero copy holds" :
					test->guest.received == 0 ? "NOT SEEN: nothing arrived" :
								    "zero copy does NOT hold");
	if (test->faults > 0)
		printf("  NOT SAFE: the IOMMU refused addresses\n");
	if (app_stopping())
		printf("  ended early by a signal\n");
	return out && in && test->faults <= 0 && !app_stopping();
}

bool
app_selftest_report(const struct app_selftest *test)
{
	printf("zcnet %s: selftest of %s\n\n", zcnet_version(), test->nic_info.device);
	print_nic(test);
	print_sent(test);
	print_received(test);
	print_errors(test);
	advise_all(test);
	return print_verdict(test);
}

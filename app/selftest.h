/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "selftest": does zero copy hold on this machine with this NIC, what limits it, what to change?
 *
 *   selftest.c         NIC, port, frames out, frames in
 *   selftest_guest.c   the guest: this program's own memory
 *   witness.c          looks at what the NIC's driver is given
 *   selftest_report.c  figures, sentences, verdict
 *
 * Shares and reasons are the library's counters.
 */
#ifndef APP_SELFTEST_H
#define APP_SELFTEST_H

#include "keys.h"
#include "selftest_guest.h"
#include "witness.h"

#define APP_SELFTEST_SIZES 8
#define APP_SELFTEST_FRAMES 1000
#define APP_SELFTEST_BURSTS 20

/** Frames of one size out of the guest. */
struct app_sent {
	uint32_t bytes;
	uint64_t us;       /**< from the last frame to the last buffer back */
	unsigned int lost; /**< buffers not back */
	uint64_t counter[ZCNET_QUEUE_COUNTER_COUNT]; /**< what the guest's port counted */
};

/** As asked for. */
struct app_selftest_conf {
	struct app_port nic;  /**< device: "" is the first there is */
	unsigned int seconds; /**< to wait for frames from the wire */
};

/** As found. */
struct app_selftest {
	struct app_selftest_conf conf;
	struct zcnet_port *nic_port, *guest_port;
	struct zcnet_port_info nic_info, guest_info;
	struct zcnet_cap cap[ZCNET_CAPS_MAX];
	int ncaps;
	struct app_guest guest;
	struct app_witness witness;
	struct app_sent sent[APP_SELFTEST_SIZES];
	unsigned int nsent;
	uint64_t burst_us[APP_SELFTEST_BURSTS]; /**< of 31 frames: until the last buffer was back */
	struct zcnet_queue_stats out, in;       /**< of the guest's port, at the end */
	int faults;                             /**< of DMA, -1: unknown */
};

/** Run and report. The workers run. @return 0 when zero copy holds both ways, else -errno */
int app_selftest_run(const struct app_selftest_conf *conf);

/* selftest_report.c */

/** Print it all. @return does zero copy hold both ways? */
bool app_selftest_report(const struct app_selftest *test);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libzcnet: a zero-copy vSwitch dataplane for KVM guests.
 *
 * Order of use: rte_eal_init(), zcnet_mempool_guest_register(), zcnet_init(), create ports,
 * connect them, zcnet_workers_start(); and back: zcnet_fini(), rte_eal_cleanup().
 *
 * Errors: int functions return 0 or a negative errno; functions that create return NULL and set
 * rte_errno. The reason in words goes to the log (log type "lib.zcnet") and to
 * zcnet_last_error().
 *
 * Threads: every function here is for control threads (any thread that is not a zcnet worker);
 * calls are serialised inside. None may be called from a worker lcore, but the bursts of poll.h.
 */
#ifndef ZCNET_ZCNET_H
#define ZCNET_ZCNET_H

#include <zcnet/caps.h>
#include <zcnet/conn.h>
#include <zcnet/poll.h>
#include <zcnet/port.h>
#include <zcnet/stats.h>
#include <zcnet/worker.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Set up the library. Once, after rte_eal_init() and zcnet_mempool_guest_register(), on the
 * main lcore.
 */
int zcnet_init(void);

/** Stop workers, tell every guest, destroy connections and ports. Idempotent. */
void zcnet_fini(void);

/** "0.1.0" */
const char *zcnet_version(void);

/**
 * Why the last failing call of this thread failed, as one sentence that names the thing and the
 * way out.
 *
 * @return thread-local text, valid until the next zcnet call of the thread; "" when none failed
 */
const char *zcnet_last_error(void);

#ifdef __cplusplus
}
#endif

#endif

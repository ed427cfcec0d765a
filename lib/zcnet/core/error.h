/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One error style: zc_fail() keeps the sentence for the caller, logs it, and gives back the
 * negative errno, so that "return zc_fail(EINVAL, ...)" is the whole error path.
 */
#ifndef ZC_CORE_ERROR_H
#define ZC_CORE_ERROR_H

#include <rte_errno.h>
#include <rte_log.h>

extern int zc_logtype;

#define ZC_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, zc_logtype, "zcnet: " fmt "\n", ##__VA_ARGS__)

/**
 * Keep and log why a call fails.
 *
 * Runs on: control threads.
 *
 * @param err positive errno
 * @return -err; rte_errno is set to err
 */
int zc_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The last sentence of this thread, "" when there is none. */
const char *zc_last_error(void);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Why the last call failed, a sentence a thread. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

RTE_LOG_REGISTER(zc_logtype, lib.zcnet, NOTICE)

static __thread char last_error[256];

int
zc_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	ZC_LOG(INFO, "%s", last_error);
	rte_errno = err;
	return -err;
}

const char *
zc_last_error(void)
{
	return last_error;
}

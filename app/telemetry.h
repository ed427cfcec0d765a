/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the shell shows, as JSON for programs, under /zcnet/ on EAL's telemetry socket. Handlers
 * only read.
 */
#ifndef APP_TELEMETRY_H
#define APP_TELEMETRY_H

/** @return 0 or a negative errno */
int app_telemetry_register(void);

#endif

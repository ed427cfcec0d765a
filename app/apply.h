/* SPDX-License-Identifier: BSD-3-Clause */
/* From plain structs to the library. The caller holds the lock of control.h. */
#ifndef APP_APPLY_H
#define APP_APPLY_H

#include "config.h"

/** @return 0 or -errno; @p err says what and why */
int app_port_create(const struct app_port *port, char *err, size_t size);

/** @return 0 or -errno; @p err says what and why */
int app_conn_create(const struct app_conn *conn, char *err, size_t size);

/**
 * Check what only EAL knows: that there is a worker lcore, and each worker that a connection
 * names.
 */
int app_config_check_workers(const char *path, const struct app_config *config, char *err,
		size_t size);

/** Create ports and connections, up to the first that fails. */
int app_config_apply(const char *path, const struct app_config *config, char *err, size_t size);

#endif

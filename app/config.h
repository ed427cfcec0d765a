/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file: read and checked as a whole into plain structs, before anything is
 * started.
 *
 * Nothing here needs EAL.
 */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include "keys.h"

struct app_config {
	struct app_port *ports;
	unsigned int port_count;
	struct app_conn *conns;
	unsigned int conn_count;
};

/**
 * Read a configuration file.
 *
 * @param err receives one sentence that names file, section and key (or line), APP_ERROR_MAX is
 * enough
 * @return 0, -EINVAL, -ENOMEM, or why the file can't be read; on failure @p config is empty
 */
int app_config_load(const char *path, struct app_config *config, char *err, size_t size);

void app_config_free(struct app_config *config);

/**
 * Check the lines that rte_cfgfile would pass over, cut or misread. Same errors as
 * app_config_load().
 */
int app_lines_check(const char *path, char *err, size_t size);

#endif

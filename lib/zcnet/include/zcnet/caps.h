/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a NIC's driver is known for, and what zcnet makes of it: the port's row of the driver table,
 * as text for people and programs.
 */
#ifndef ZCNET_CAPS_H
#define ZCNET_CAPS_H

#include <zcnet/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most entries of a port. */
#define ZCNET_CAPS_MAX 24

/** One entry. */
struct zcnet_cap {
	const char *name; /**< letters, digits and '_' */
	char value[48];   /**< what the driver does */
	char use[112];    /**< what zcnet does with it */
};

/**
 * The entries of an ethdev port.
 *
 * @return how many, at most ZCNET_CAPS_MAX; -ENOTSUP for a vhost port
 */
int zcnet_port_caps_get(const struct zcnet_port *port, struct zcnet_cap caps[ZCNET_CAPS_MAX]);

#ifdef __cplusplus
}
#endif

#endif

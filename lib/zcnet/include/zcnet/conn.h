/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections: a cross-connect binds two ports, every frame of one leaves by the other. Queue i
 * of the one goes to queue i of the other; where one side has fewer queues, i modulo that
 * number.
 *
 * Connections that name the guest's address share a NIC: a guest gets the frames for its
 * address and those for many, and all that it sends leaves by the NIC. Frames between guests of one
 * NIC go over the wire.
 */
#ifndef ZCNET_CONN_H
#define ZCNET_CONN_H

#include <stdint.h>
#include <zcnet/port.h>

#ifdef __cplusplus
extern "C" {
#endif

struct zcnet_conn;

struct zcnet_conn_conf {
	const char *name;
	struct zcnet_port *a;
	struct zcnet_port *b;
	int worker; /**< index of the worker that serves all of it, -1: spread over the workers */
	uint8_t mac[6]; /**< of the guest, on a NIC that others share; all 0: it is not shared */
	uint16_t vlan;  /**< with mac: only frames with this tag are the guest's, 0: any frame */
};

/**
 * Bind two ports that are not bound yet. Frames flow at once when the workers run.
 *
 * @return the connection, or NULL with rte_errno EINVAL, EEXIST (name or address in use), EBUSY (a
 *   port is bound already), ENOSPC (too many share the NIC)
 */
struct zcnet_conn *zcnet_conn_create(const struct zcnet_conn_conf *conf);

/** Unbind; every guest buffer under way comes back first. NULL is accepted. */
void zcnet_conn_destroy(struct zcnet_conn *conn);

struct zcnet_conn *zcnet_conn_find(const char *name);

/** Connections in order of creation: the first for NULL, NULL after the last. */
struct zcnet_conn *zcnet_conn_next(const struct zcnet_conn *prev);

struct zcnet_conn_info {
	char name[ZCNET_NAME_MAX];
	struct zcnet_port *a;
	struct zcnet_port *b;
	uint16_t streams;   /**< one-way queue-to-queue streams at present */
	int worker;         /**< as configured */
	bool copying;       /**< zero copy suspended after a stall or while the link is down */
	uint8_t mac[6];     /**< as configured */
	uint16_t vlan;      /**< as configured */
	uint16_t own_queue; /**< NIC queue that is steered to the guest alone, 0: none */
	char note[160]; /**< why a guest that shares its NIC has no such queue, "" when it has */
};

int zcnet_conn_info_get(const struct zcnet_conn *conn, struct zcnet_conn_info *info);

#ifdef __cplusplus
}
#endif

#endif

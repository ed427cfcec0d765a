/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys: every setting of a port or connection is one row of a table, which gives its place, its
 * range and its help. The configuration file, "port add", "set port", the help and the documents
 * all read this table.
 *
 * Nothing here needs EAL.
 */
#ifndef APP_KEYS_H
#define APP_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zcnet/zcnet.h>

/** Longest device name or devargs with the terminating 0. */
#define APP_DEVICE_MAX 256
/** Longest user or group name with the terminating 0. */
#define APP_USER_MAX 33
/** Enough for any error text of keys and configuration. */
#define APP_ERROR_MAX 512

/** What a set of keys describes. */
enum app_object {
	APP_VHOST,
	APP_ETHDEV,
	APP_CONNECT,
};

/**
 * A port as somebody asks for it. The pointers in vhost and ethdev are unused: see
 * app_port_create().
 */
struct app_port {
	char name[ZCNET_NAME_MAX];
	enum zcnet_port_type type;
	char path[ZCNET_PATH_MAX];
	char owner[APP_USER_MAX];
	char group[APP_USER_MAX];
	char device[APP_DEVICE_MAX];
	struct zcnet_vhost_conf vhost;
	struct zcnet_ethdev_conf ethdev;
};

/** A connection as somebody asks for it. */
struct app_conn {
	char name[ZCNET_NAME_MAX];
	char a[ZCNET_NAME_MAX];
	char b[ZCNET_NAME_MAX];
	int worker;     /**< -1: spread over the workers */
	uint8_t mac[6]; /**< all 0: not given */
	uint16_t vlan;  /**< 0: any */
};

enum app_key_kind {
	APP_KEY_NUMBER,
	APP_KEY_SWITCH,
	APP_KEY_TEXT,
	APP_KEY_NAME,
	APP_KEY_USER,
	APP_KEY_GROUP,
	APP_KEY_MODE,
	APP_KEY_RX_FULL,
	APP_KEY_MAC,
};

struct app_key {
	const char *name;
	enum app_key_kind kind;
	bool required;
	bool live;          /**< "set port" changes it on a running port */
	size_t offset;      /**< of the field in its struct app_port or app_conn */
	size_t size;        /**< of the field, bytes */
	uint32_t min, max;  /**< of a number; where min is not 0, a default of 0 is accepted too */
	const char *preset; /**< default, as help prints it */
	const char *help;
};

struct app_pair {
	const char *key;
	const char *value;
};

/** The keys of an object, ended by a row whose name is NULL. */
const struct app_key *app_keys(enum app_object object);

/** NULL when there is no such key. */
const struct app_key *app_key_find(enum app_object object, const char *name);

/** "1..16", "on|off": what the key accepts. */
void app_key_values(const struct app_key *key, char *text, size_t size);

/** Set one field. On -EINVAL @p err says which values are right. */
int app_key_set(const struct app_key *key, void *target, const char *value, char *err, size_t size);

/** Set many, each at most once and the required ones all. On -EINVAL @p err begins with the key. */
int app_keys_set(enum app_object object, void *target, const struct app_pair *pairs, unsigned int n,
		char *err, size_t size);

/** Check a name for a port or connection. */
int app_name_check(const char *name, char *err, size_t size);

/** A port with every default. The name has been checked. */
void app_port_init(struct app_port *port, const char *name, enum zcnet_port_type type);

/**
 * Check what only makes sense together, once the keys are set. On -EINVAL @p err begins with a
 * key.
 */
int app_port_check(const struct app_port *port, char *err, size_t size);

/** A connection with every default. The name has been checked. */
void app_conn_init(struct app_conn *conn, const char *name);

/** Keep an error text. @return -EINVAL */
int app_error(char *err, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of keys, and how a value becomes a field. */
#include "keys.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <rte_ether.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(type, field) \
	.offset = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define PORT(field) FIELD(app_port, field)
#define CONN(field) FIELD(app_conn, field)

static const struct app_key vhost_keys[] = {
	{ "path", APP_KEY_TEXT, .required = true, PORT(path), .preset = "none",
			.help = "UNIX socket of the guest's vhost-user device" },
	{ "queues", APP_KEY_NUMBER, PORT(vhost.queues), .min = 1, .max = ZCNET_QUEUES_MAX,
			.preset = "1", .help = "queue pairs offered to the guest" },
	{ "client", APP_KEY_SWITCH, PORT(vhost.client), .preset = "off",
			.help = "on: zcnet connects to the socket; off: zcnet listens on it" },
	{ "mergeable", APP_KEY_SWITCH, PORT(vhost.mergeable), .preset = "on",
			.help = "offer mergeable receive buffers to the guest" },
	{ "guest-tso", APP_KEY_SWITCH, PORT(vhost.guest_tso), .preset = "off",
			.help = "offer GUEST_TSO4; with mergeable = off Linux posts buffers of "
				"4 KB" },
	{ "zerocopy", APP_KEY_SWITCH, .live = true, PORT(vhost.zerocopy), .preset = "on",
			.help = "off: copy every frame" },
	{ "threshold", APP_KEY_NUMBER, .live = true, PORT(vhost.threshold), .max = 65535,
			.preset = "256",
			.help = "bytes; shorter frames from the guest are copied" },
	{ "header-bytes", APP_KEY_NUMBER, .live = true, PORT(vhost.header_bytes), .max = 256,
			.preset = "0",
			.help = "bytes copied to a private segment in front of the attached "
				"payload" },
	{ "out-max", APP_KEY_NUMBER, PORT(vhost.out_max), .min = 1, .max = 1024, .preset = "1024",
			.help = "most guest buffers with the NIC at a time, for each queue" },
	{ "rx-full", APP_KEY_RX_FULL, .live = true, PORT(vhost.rx_full), .preset = "drop",
			.help = "a frame for a guest without a buffer: drop it and count it, "
				"or wait" },
	{ "owner", APP_KEY_USER, PORT(owner), .preset = "as created",
			.help = "user that owns the socket; with client = off" },
	{ "group", APP_KEY_GROUP, PORT(group), .preset = "as created",
			.help = "group of the socket; with client = off" },
	{ "mode", APP_KEY_MODE, PORT(vhost.mode), .preset = "as created",
			.help = "permissions of the socket; with client = off" },
	{ 0 },
};

static const struct app_key ethdev_keys[] = {
	{ "device", APP_KEY_TEXT, .required = true, PORT(device), .preset = "none",
			.help = "a device that EAL probed (net_tap0, a PCI address), or "
				"devargs to probe" },
	{ "queues", APP_KEY_NUMBER, PORT(ethdev.queues), .min = 1, .max = ZCNET_QUEUES_MAX,
			.preset = "1", .help = "receive and transmit queue pairs" },
	{ "rx-desc", APP_KEY_NUMBER, PORT(ethdev.rx_desc), .max = 32768, .preset = "0",
			.help = "descriptors of a receive queue; 0: what suits zero copy on "
				"the driver" },
	{ "tx-desc", APP_KEY_NUMBER, PORT(ethdev.tx_desc), .max = 32768, .preset = "0",
			.help = "descriptors of a transmit queue; 0: what suits zero copy on "
				"the driver" },
	{ "mtu", APP_KEY_NUMBER, PORT(ethdev.mtu), .min = 68, .max = 65535, .preset = "0",
			.help = "bytes; 0: leave it as it is" },
	{ "split-bytes", APP_KEY_NUMBER, PORT(ethdev.split_bytes), .min = ZCNET_SPLIT_MIN,
			.max = ZCNET_SPLIT_MAX, .preset = "0",
			.help = "first bytes of a frame that are copied to the guest when it is "
				"delivered; 0: none" },
	{ "promiscuous", APP_KEY_SWITCH, PORT(ethdev.promiscuous), .preset = "on",
			.help = "receive frames for any address" },
	{ "loopback", APP_KEY_SWITCH, PORT(ethdev.loopback), .preset = "off",
			.help = "on: the NIC receives what it sends, for tests; net_ixgbe and "
				"net_i40e" },
	{ "zerocopy", APP_KEY_SWITCH, PORT(ethdev.zerocopy), .preset = "on",
			.help = "on: where the driver is known to allow it; off: copy every "
				"frame" },
	{ 0 },
};

static const struct app_key connect_keys[] = {
	{ "a", APP_KEY_NAME, .required = true, CONN(a), .preset = "none", .help = "one port" },
	{ "b", APP_KEY_NAME, .required = true, CONN(b), .preset = "none",
			.help = "the other port" },
	{ "worker", APP_KEY_NUMBER, CONN(worker), .max = 127, .preset = "spread",
			.help = "index of the worker that serves all its queues, in order of "
				"lcores" },
	{ "mac", APP_KEY_MAC, CONN(mac), .preset = "none",
			.help = "address of the guest, on a NIC that it shares with others that "
				"name theirs" },
	{ "vlan", APP_KEY_NUMBER, CONN(vlan), .min = 1, .max = 4094, .preset = "any",
			.help = "with mac: only frames with this VLAN tag are for the guest" },
	{ 0 },
};

const struct app_key *
app_keys(enum app_object object)
{
	switch (object) {
	case APP_VHOST:
		return vhost_keys;
	case APP_ETHDEV:
		return ethdev_keys;
	default:
		return connect_keys;
	}
}

int
app_error(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

const struct app_key *
app_key_find(enum app_object object, const char *name)
{
	const struct app_key *key;

	for (key = app_keys(object); key->name != NULL; key++)
		if (strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

void
app_key_values(const struct app_key *key, char *text, size_t size)
{
	switch (key->kind) {
	case APP_KEY_NUMBER:
		snprintf(text, size, "%s%u..%u",
				key->min != 0 && strcmp(key->preset, "0") == 0 ? "0 or " : "",
				key->min, key->max);
		break;
	case APP_KEY_SWITCH:
		snprintf(text, size, "on|off");
		break;
	case APP_KEY_TEXT:
		snprintf(text, size, "1..%zu characters", key->size - 1);
		break;
	case APP_KEY_NAME:
		snprintf(text, size, "the name of a port");
		break;
	case APP_KEY_USER:
		snprintf(text, size, "the name of a user here");
		break;
	case APP_KEY_GROUP:
		snprintf(text, size, "the name of a group here");
		break;
	case APP_KEY_MODE:
		snprintf(text, size, "octal, 0001..0777");
		break;
	case APP_KEY_RX_FULL:
		snprintf(text, size, "drop|wait");
		break;
	case APP_KEY_MAC:
		snprintf(text, size, "an address such as 52:54:00:00:00:01");
		break;
	}
}

/* Digits only, so that "-1", "0x10" and "4k" are mistakes. -1 for anything else or too much. */
static long
parse_digits(const char *text, int base)
{
	char *end;
	long value;

	if (!isdigit((unsigned char)text[0]) || strlen(text) > 9)
		return -1;
	value = strtol(text, &end, base);
	return *end == '\0' ? value : -1;
}

static int
set_number(const struct app_key *key, void *field, const char *value)
{
	long number = parse_digits(value, 10);
	bool preset = number == 0 && strcmp(key->preset, "0") == 0;

	if (!preset && (number < (long)key->min || number > (long)key->max))
		return -EINVAL;
	if (key->size == sizeof(uint16_t))
		*(uint16_t *)field = number;
	else
		*(uint32_t *)field = number;
	return 0;
}

static int
set_switch(bool *field, const char *value)
{
	*field = strcmp(value, "on") == 0 || strcmp(value, "yes") == 0;
	return *field || strcmp(value, "off") == 0 || strcmp(value, "no") == 0 ? 0 : -EINVAL;
}

static int
set_text(const struct app_key *key, char *field, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= key->size)
		return -EINVAL;
	strcpy(field, value);
	return 0;
}

static int
set_mode(mode_t *field, const char *value)
{
	long mode = parse_digits(value, 8);

	if (mode < 1 || mode > 0777)
		return -EINVAL;
	*field = mode;
	return 0;
}

static int
set_rx_full(enum zcnet_rx_full *field, const char *value)
{
	*field = strcmp(value, "wait") == 0 ? ZCNET_RX_FULL_WAIT : ZCNET_RX_FULL_DROP;
	return *field == ZCNET_RX_FULL_WAIT || strcmp(value, "drop") == 0 ? 0 : -EINVAL;
}

/* One guest's own: neither nobody's nor that of many. */
static int
set_mac(uint8_t *field, const char *value)
{
	struct rte_ether_addr address;

	if (rte_ether_unformat_addr(value, &address) < 0 ||
			!rte_is_valid_assigned_ether_addr(&address))
		return -EINVAL;
	memcpy(field, address.addr_bytes, sizeof(address.addr_bytes));
	return 0;
}

static int
set_field(const struct app_key *key, void *field, const char *value)
{
	switch (key->kind) {
	case APP_KEY_NUMBER:
		return set_number(key, field, value);
	case APP_KEY_SWITCH:
		return set_switch(field, value);
	case APP_KEY_USER:
		return getpwnam(value) != NULL ? set_text(key, field, value) : -EINVAL;
	case APP_KEY_GROUP:
		return getgrnam(value) != NULL ? set_text(key, field, value) : -EINVAL;
	case APP_KEY_MODE:
		return set_mode(field, value);
	case APP_KEY_RX_FULL:
		return set_rx_full(field, value);
	case APP_KEY_MAC:
		return set_mac(field, value);
	default:
		return set_text(key, field, value);
	}
}

int
app_key_set(const struct app_key *key, void *target, const char *value, char *err, size_t size)
{
	char values[64];

	if (set_field(key, (char *)target + key->offset, value) == 0)
		return 0;
	app_key_values(key, values, sizeof(values));
	return app_error(err, size, "'%s' is not %s", value, values);
}

static int
unknown_key(enum app_object object, const char *name, char *err, size_t size)
{
	const struct app_key *key;
	char known[256] = "";

	for (key = app_keys(object); key->name != NULL; key++) {
		strcat(known, " ");
		strcat(known, key->name);
	}
	return app_error(err, size, "%s: no such key here; there are:%s", name, known);
}

static int
check_required(enum app_object object, uint32_t seen, char *err, size_t size)
{
	const struct app_key *keys = app_keys(object);
	char values[64];
	unsigned int i;

	for (i = 0; keys[i].name != NULL; i++) {
		if (!keys[i].required || (seen & (1u << i)) != 0)
			continue;
		app_key_values(&keys[i], values, sizeof(values));
		return app_error(err, size, "%s: missing; it is %s (%s)", keys[i].name,
				keys[i].help, values);
	}
	return 0;
}

int
app_keys_set(enum app_object object, void *target, const struct app_pair *pairs, unsigned int n,
		char *err, size_t size)
{
	const struct app_key *keys = app_keys(object), *key;
	char why[APP_ERROR_MAX / 2];
	uint32_t seen = 0, bit;
	unsigned int i;

	for (i = 0; i < n; i++) {
		key = app_key_find(object, pairs[i].key);
		if (key == NULL)
			return unknown_key(object, pairs[i].key, err, size);
		bit = 1u << (key - keys);
		if ((seen & bit) != 0)
			return app_error(err, size, "%s: given twice", key->name);
		seen |= bit;
		if (app_key_set(key, target, pairs[i].value, why, sizeof(why)) < 0)
			return app_error(err, size, "%s: %s", key->name, why);
	}
	return check_required(object, seen, err, size);
}

int
app_name_check(const char *name, char *err, size_t size)
{
	static const char accepted[] = "abcdefghijklmnopqrstuvwxyz"
				       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";

	if (name[0] == '\0' || strlen(name) >= ZCNET_NAME_MAX ||
			name[strspn(name, accepted)] != '\0')
		return app_error(err, size,
				"'%s' is no name; accepted: 1..%d letters, digits, '_', '-', "
				"'.', ':'",
				name, ZCNET_NAME_MAX - 1);
	if (strcmp(name, "all") == 0)
		return app_error(err, size, "'all' is no name: commands use it for all ports");
	return 0;
}

void
app_port_init(struct app_port *port, const char *name, enum zcnet_port_type type)
{
	memset(port, 0, sizeof(*port));
	strncpy(port->name, name, sizeof(port->name) - 1);
	port->type = type;
	zcnet_vhost_conf_init(&port->vhost);
	zcnet_ethdev_conf_init(&port->ethdev);
}

int
app_port_check(const struct app_port *port, char *err, size_t size)
{
	if (port->type != ZCNET_PORT_VHOST || !port->vhost.client)
		return 0;
	if (port->owner[0] != '\0' || port->group[0] != '\0' || port->vhost.mode != 0)
		return app_error(err, size,
				"client: on, so the socket is the other side's; leave out "
				"owner, group, mode");
	return 0;
}

void
app_conn_init(struct app_conn *conn, const char *name)
{
	memset(conn, 0, sizeof(*conn));
	strncpy(conn->name, name, sizeof(conn->name) - 1);
	conn->worker = -1;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sections become ports and connections. rte_cfgfile keeps sections of the same name and keys of
 * the same name side by side and finds the first alone, so everything here goes by index.
 */
#include "config.h"

#include <errno.h>
#include <rte_cfgfile.h>
#include <stdlib.h>
#include <string.h>

/* One section of the file, for messages and its keys. */
struct section {
	const char *file;
	char name[CFG_NAME_LEN]; /* "port g1" */
	const char *object;      /* "g1" */
	struct rte_cfgfile_entry *entries;
	unsigned int entry_count;
};

/* Says why a section is wrong: "FILE: [SECTION] why". */
#define SECTION_ERROR(s, err, size, fmt, ...) \
	app_error(err, size, "%s: [%s] " fmt, (s)->file, (s)->name, ##__VA_ARGS__)

static int
read_section(struct rte_cfgfile *cfg, int index, struct section *s)
{
	int n = rte_cfgfile_section_num_entries_by_index(cfg, s->name, index);

	s->entries = calloc(n + 1, sizeof(*s->entries));
	if (s->entries == NULL)
		return -ENOMEM;
	s->entry_count = rte_cfgfile_section_entries_by_index(cfg, index, s->name, s->entries, n);
	return 0;
}

/* The object's name when the section is of this kind, NULL when it isn't. */
static const char *
section_object(const struct section *s, const char *kind)
{
	size_t len = strlen(kind);

	if (strncmp(s->name, kind, len) != 0 || (s->name[len] != ' ' && s->name[len] != '\t'))
		return NULL;
	return s->name + len + strspn(s->name + len, " \t");
}

/* Set the keys of a section but the one at index skip. */
static int
set_keys(const struct section *s, enum app_object object, void *target, int skip, char *err,
		size_t size)
{
	struct app_pair *pairs = calloc(s->entry_count + 1, sizeof(*pairs));
	char why[APP_ERROR_MAX];
	unsigned int i, n = 0;
	int ret;

	if (pairs == NULL)
		return -ENOMEM;
	for (i = 0; i < s->entry_count; i++)
		if ((int)i != skip)
			pairs[n++] = (struct app_pair){ s->entries[i].name, s->entries[i].value };
	ret = app_keys_set(object, target, pairs, n, why, sizeof(why));
	free(pairs);
	return ret < 0 ? SECTION_ERROR(s, err, size, "%s", why) : 0;
}

/* The index of the key "type", which says which other keys there are. */
static int
find_type(const struct section *s, enum app_object *object, char *err, size_t size)
{
	const char *value;
	unsigned int i;

	*object = APP_VHOST;
	for (i = 0; i < s->entry_count; i++)
		if (strcmp(s->entries[i].name, "type") == 0)
			break;
	if (i == s->entry_count)
		return SECTION_ERROR(s, err, size, "type: missing; it is vhost|ethdev");
	value = s->entries[i].value;
	if (strcmp(value, "vhost") != 0 && strcmp(value, "ethdev") != 0)
		return SECTION_ERROR(s, err, size, "type: '%s' is not vhost|ethdev", value);
	if (strcmp(value, "ethdev") == 0)
		*object = APP_ETHDEV;
	return i;
}

/* A device is named by what stands in front of its arguments. */
static bool
same_device(const char *x, const char *y)
{
	size_t len = strcspn(x, ",");

	return len == strcspn(y, ",") && strncmp(x, y, len) == 0;
}

static int
check_port_unique(const struct section *s, const struct app_config *config,
		const struct app_port *port, char *err, size_t size)
{
	const struct app_port *other;
	unsigned int i;

	for (i = 0; i < config->port_count; i++) {
		other = &config->ports[i];
		if (strcmp(other->name, port->name) == 0)
			return SECTION_ERROR(s, err, size, "there are two ports of this name");
		if (other->type != port->type)
			continue;
		if (port->type == ZCNET_PORT_VHOST && strcmp(other->path, port->path) == 0)
			return SECTION_ERROR(s, err, size, "path: '%s' is port %s's", port->path,
					other->name);
		if (port->type == ZCNET_PORT_ETHDEV && same_device(other->device, port->device))
			return SECTION_ERROR(s, err, size, "device: '%s' is port %s's",
					port->device, other->name);
	}
	return 0;
}

static int
check_name(const struct section *s, char *err, size_t size)
{
	char why[APP_ERROR_MAX / 2];

	if (app_name_check(s->object, why, sizeof(why)) < 0)
		return SECTION_ERROR(s, err, size, "%s", why);
	return 0;
}

static int
add_port(struct app_config *config, const struct section *s, char *err, size_t size)
{
	struct app_port *ports, *port;
	char why[APP_ERROR_MAX / 2];
	enum app_object object;
	int ret, type;

	ret = check_name(s, err, size);
	if (ret < 0)
		return ret;
	type = find_type(s, &object, err, size);
	if (type < 0)
		return type;
	ports = reallocarray(config->ports, config->port_count + 1, sizeof(*ports));
	if (ports == NULL)
		return -ENOMEM;
	config->ports = ports;
	port = &ports[config->port_count];
	app_port_init(port, s->object, object == APP_VHOST ? ZCNET_PORT_VHOST : ZCNET_PORT_ETHDEV);
	ret = set_keys(s, object, port, type, err, size);
	if (ret == 0 && app_port_check(port, why, sizeof(why)) < 0)
		ret = SECTION_ERROR(s, err, size, "%s", why);
	if (ret == 0)
		ret = check_port_unique(s, config, port, err, size);
	if (ret == 0)
		config->port_count++;
	return ret;
}

/* What shares a NIC is for the library to judge, which knows NICs. */
static bool
is_shared(const struct app_conn *conn)
{
	static const uint8_t none[sizeof(conn->mac)];

	return memcmp(conn->mac, none, sizeof(none)) != 0;
}

static int
check_conn_unique(const struct section *s, const struct app_config *config,
		const struct app_conn *conn, char *err, size_t size)
{
	const struct app_conn *other;
	const char *twice;
	unsigned int i;

	if (strcmp(conn->a, conn->b) == 0)
		return SECTION_ERROR(s, err, size, "b: '%s' is a, too", conn->b);
	for (i = 0; i < config->conn_count; i++) {
		other = &config->conns[i];
		if (strcmp(other->name, conn->name) == 0)
			return SECTION_ERROR(s, err, size,
					"there are two connections of this name");
		if (is_shared(conn) && is_shared(other))
			continue;
		twice = strcmp(other->a, conn->a) == 0 || strcmp(other->b, conn->a) == 0 ? "a" :
				strcmp(other->a, conn->b) == 0 || strcmp(other->b, conn->b) == 0 ?
											   "b" :
											   NULL;
		if (twice != NULL)
			return SECTION_ERROR(s, err, size,
					"%s: '%s' is bound by connection %s already", twice,
					twice[0] == 'a' ? conn->a : conn->b, other->name);
	}
	return 0;
}

static int
add_conn(struct app_config *config, const struct section *s, char *err, size_t size)
{
	struct app_conn *conns, *conn;
	int ret;

	ret = check_name(s, err, size);
	if (ret < 0)
		return ret;
	conns = reallocarray(config->conns, config->conn_count + 1, sizeof(*conns));
	if (conns == NULL)
		return -ENOMEM;
	config->conns = conns;
	conn = &conns[config->conn_count];
	app_conn_init(conn, s->object);
	ret = set_keys(s, APP_CONNECT, conn, -1, err, size);
	if (ret == 0)
		ret = check_conn_unique(s, config, conn, err, size);
	if (ret == 0)
		config->conn_count++;
	return ret;
}

static int
add_section(struct app_config *config, struct section *s, char *err, size_t size)
{
	s->object = section_object(s, "port");
	if (s->object != NULL)
		return add_port(config, s, err, size);
	s->object = section_object(s, "connect");
	if (s->object != NULL)
		return add_conn(config, s, err, size);
	return SECTION_ERROR(s, err, size,
			"no such section; there are [port NAME], [connect NAME]");
}

/* Connections may stand in front of their ports, so this comes last. */
static int
check_references(const char *file, const struct app_config *config, char *err, size_t size)
{
	const struct app_conn *conn;
	const char *name;
	unsigned int i, j, side;

	for (i = 0; i < config->conn_count; i++) {
		conn = &config->conns[i];
		for (side = 0; side < 2; side++) {
			name = side == 0 ? conn->a : conn->b;
			for (j = 0; j < config->port_count; j++)
				if (strcmp(config->ports[j].name, name) == 0)
					break;
			if (j == config->port_count)
				return app_error(err, size,
						"%s: [connect %s] %s: there is no [port %s]", file,
						conn->name, side == 0 ? "a" : "b", name);
		}
	}
	return 0;
}

static int
read_sections(struct rte_cfgfile *cfg, const char *path, struct app_config *config, char *err,
		size_t size)
{
	int i, n = rte_cfgfile_num_sections(cfg, NULL, 0), ret = 0;
	struct section s = { .file = path };

	for (i = 0; i < n && ret == 0; i++) {
		ret = read_section(cfg, i, &s);
		if (ret == 0)
			ret = add_section(config, &s, err, size);
		free(s.entries);
	}
	return ret < 0 ? ret : check_references(path, config, err, size);
}

int
app_config_load(const char *path, struct app_config *config, char *err, size_t size)
{
	const struct rte_cfgfile_parameters params = { .comment_character = '#' };
	struct rte_cfgfile *cfg;
	int ret;

	memset(config, 0, sizeof(*config));
	ret = app_lines_check(path, err, size);
	if (ret < 0)
		return ret;
	cfg = rte_cfgfile_load_with_params(path, 0, &params);
	if (cfg == NULL)
		return app_error(err, size, "%s: rte_cfgfile can't read it", path);
	ret = read_sections(cfg, path, config, err, size);
	rte_cfgfile_close(cfg);
	if (ret == -ENOMEM)
		app_error(err, size, "%s: out of memory", path);
	if (ret < 0)
		app_config_free(config);
	return ret;
}

void
app_config_free(struct app_config *config)
{
	free(config->ports);
	free(config->conns);
	memset(config, 0, sizeof(*config));
}

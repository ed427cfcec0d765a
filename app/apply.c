/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports and connections are made here, for the configuration file and the shell alike. */
#include "apply.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <string.h>

/* Why the library failed, in its own words where it has some. */
static int
library_error(char *err, size_t size)
{
	int ret = rte_errno != 0 ? -rte_errno : -EINVAL;
	const char *why = zcnet_last_error();

	app_error(err, size, "%s", why[0] != '\0' ? why : strerror(-ret));
	return ret;
}

static const char *
text_or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

int
app_port_create(const struct app_port *port, char *err, size_t size)
{
	struct zcnet_vhost_conf vhost = port->vhost;
	struct zcnet_ethdev_conf ethdev = port->ethdev;
	struct zcnet_port *made;

	if (port->type == ZCNET_PORT_VHOST) {
		vhost.name = port->name;
		vhost.path = port->path;
		vhost.owner = text_or_null(port->owner);
		vhost.group = text_or_null(port->group);
		made = zcnet_port_vhost_create(&vhost);
	} else {
		ethdev.name = port->name;
		ethdev.device = port->device;
		made = zcnet_port_ethdev_create(&ethdev);
	}
	return made != NULL ? 0 : library_error(err, size);
}

int
app_conn_create(const struct app_conn *conn, char *err, size_t size)
{
	struct zcnet_conn_conf conf = {
		.name = conn->name,
		.a = zcnet_port_find(conn->a),
		.b = zcnet_port_find(conn->b),
		.worker = conn->worker,
		.vlan = conn->vlan,
	};

	memcpy(conf.mac, conn->mac, sizeof(conf.mac));
	if (conf.a == NULL || conf.b == NULL)
		return app_error(err, size, "there is no port '%s'",
				conf.a == NULL ? conn->a : conn->b);
	if (conn->worker >= (int)rte_lcore_count() - 1)
		return app_error(err, size, "worker: '%d' is not 0..%d", conn->worker,
				(int)rte_lcore_count() - 2);
	return zcnet_conn_create(&conf) != NULL ? 0 : library_error(err, size);
}

int
app_config_check_workers(const char *path, const struct app_config *config, char *err, size_t size)
{
	int workers = (int)rte_lcore_count() - 1;
	unsigned int i;

	if (workers == 0)
		return app_error(err, size,
				"EAL has no worker lcore: give it two, for example -l 0,1");
	for (i = 0; i < config->conn_count; i++)
		if (config->conns[i].worker >= workers)
			return app_error(err, size,
					"%s: [connect %s] worker: '%d' is not 0..%d; EAL has "
					"%d lcores",
					path, config->conns[i].name, config->conns[i].worker,
					workers - 1, workers + 1);
	return 0;
}

/* The ports of one kind, in the order of the file. */
static int
create_ports(const char *path, const struct app_config *config, enum zcnet_port_type type,
		char *err, size_t size)
{
	char why[APP_ERROR_MAX];
	unsigned int i;
	int ret;

	for (i = 0; i < config->port_count; i++) {
		if (config->ports[i].type != type)
			continue;
		ret = app_port_create(&config->ports[i], why, sizeof(why));
		if (ret < 0) {
			app_error(err, size, "%s: [port %s] %s", path, config->ports[i].name, why);
			return ret;
		}
	}
	return 0;
}

int
app_config_apply(const char *path, const struct app_config *config, char *err, size_t size)
{
	char why[APP_ERROR_MAX];
	unsigned int i;
	int ret;

	/* A NIC that is not there, or can't do this, is found before a guest sees a socket. */
	ret = create_ports(path, config, ZCNET_PORT_ETHDEV, err, size);
	if (ret == 0)
		ret = create_ports(path, config, ZCNET_PORT_VHOST, err, size);
	if (ret < 0)
		return ret;
	for (i = 0; i < config->conn_count; i++) {
		ret = app_conn_create(&config->conns[i], why, sizeof(why));
		if (ret < 0) {
			app_error(err, size, "%s: [connect %s] %s", path, config->conns[i].name,
					why);
			return ret;
		}
	}
	return 0;
}

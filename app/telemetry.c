/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handlers run on telemetry's threads, one a client, while the shell may remove what they look at:
 * hence the lock around each. Dictionary keys may hold letters, digits, '_' and '/' alone, so names
 * of ports are values and never keys. There are no fractions: shares are in millionths (ppm).
 */
#include "telemetry.h"

#include "compat.h"
#include "control.h"
#include "figures.h"

#include <errno.h>
#include <rte_common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A container to fill and then to add; NULL: out of memory. */
static struct rte_tel_data *
new_dict(void)
{
	struct rte_tel_data *dict = rte_tel_data_alloc();

	if (dict != NULL)
		rte_tel_data_start_dict(dict);
	return dict;
}

static int
add_dict(struct rte_tel_data *parent, const char *name, struct rte_tel_data *dict)
{
	int ret = rte_tel_data_add_dict_container(parent, name, dict, 0);

	if (ret < 0)
		rte_tel_data_free(dict);
	return ret;
}

static struct zcnet_port *
find_port(const char *params)
{
	return params != NULL ? zcnet_port_find(params) : NULL;
}

static int
tel_version(const char *params, struct rte_tel_data *d)
{
	(void)params;
	return rte_tel_data_string(d, zcnet_version());
}

static int
tel_port_list(const char *params, struct rte_tel_data *d)
{
	struct zcnet_port *port;
	int ret;

	(void)params;
	ret = rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	for (port = zcnet_port_next(NULL); ret == 0 && port != NULL; port = zcnet_port_next(port))
		ret = rte_tel_data_add_array_string(d, zcnet_port_name(port));
	return ret;
}

static void
add_vhost(struct rte_tel_data *d, const struct zcnet_port_info *info)
{
	char features[20];

	snprintf(features, sizeof(features), "0x%lx", info->features);
	rte_tel_data_add_dict_string(d, "path", info->path);
	rte_tel_data_add_dict_int(d, "client", info->client);
	rte_tel_data_add_dict_string(d, "features", features);
	rte_tel_data_add_dict_int(d, "threshold_bytes", info->threshold);
	rte_tel_data_add_dict_int(d, "header_bytes", info->header_bytes);
	rte_tel_data_add_dict_int(d, "out_max", info->out_max);
	rte_tel_data_add_dict_string(d, "rx_full", app_rx_full_name(info->rx_full));
	rte_tel_data_add_dict_int(d, "ring_size", info->ring_size);
}

static void
add_ethdev(struct rte_tel_data *d, const struct zcnet_port_info *info)
{
	char mac[18];

	rte_tel_data_add_dict_string(d, "device", info->device);
	rte_tel_data_add_dict_string(d, "driver", info->driver);
	rte_tel_data_add_dict_int(d, "port_id", info->port_id);
	rte_tel_data_add_dict_int(d, "rx_desc", info->rx_desc);
	rte_tel_data_add_dict_int(d, "tx_desc", info->tx_desc);
	rte_tel_data_add_dict_int(d, "mtu_bytes", info->mtu);
	rte_tel_data_add_dict_int(d, "split_bytes", info->split_bytes);
	app_tel_add_uint(d, "link_mbps", info->link_mbps);
	rte_tel_data_add_dict_string(d, "mac", app_mac(info->mac, mac));
	rte_tel_data_add_dict_int(d, "socket", info->socket);
}

static int
tel_port_info(const char *params, struct rte_tel_data *d)
{
	const struct zcnet_port *port = find_port(params);
	struct zcnet_port_info info;

	if (port == NULL || zcnet_port_info_get(port, &info) < 0)
		return -ENOENT;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", info.name);
	rte_tel_data_add_dict_string(d, "type", app_type_name(info.type));
	rte_tel_data_add_dict_int(d, "started", info.started);
	rte_tel_data_add_dict_int(d, "link_up", info.link_up);
	rte_tel_data_add_dict_int(d, "queues", info.queues);
	rte_tel_data_add_dict_int(d, "queues_used", info.queues_used);
	rte_tel_data_add_dict_int(d, "zerocopy", info.zerocopy);
	rte_tel_data_add_dict_int(d, "zerocopy_tx", info.zerocopy_tx);
	rte_tel_data_add_dict_int(d, "zerocopy_rx", info.zerocopy_rx);
	rte_tel_data_add_dict_string(d, "note", info.note);
	if (info.type == ZCNET_PORT_VHOST)
		add_vhost(d, &info);
	else
		add_ethdev(d, &info);
	return 0;
}

static int
tel_port_caps(const char *params, struct rte_tel_data *d)
{
	const struct zcnet_port *port = find_port(params);
	struct zcnet_cap cap[ZCNET_CAPS_MAX];
	int n = port != NULL ? zcnet_port_caps_get(port, cap) : -ENOENT;

	if (n < 0)
		return n;
	rte_tel_data_start_dict(d);
	for (int i = 0; i < n; i++) {
		struct rte_tel_data *dict = new_dict();

		if (dict == NULL)
			return -ENOMEM;
		rte_tel_data_add_dict_string(dict, "driver", cap[i].value);
		rte_tel_data_add_dict_string(dict, "zcnet", cap[i].use);
		if (add_dict(d, cap[i].name, dict) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Into a dictionary that was started. */
static void
add_stats(struct rte_tel_data *d, const struct zcnet_queue_stats *stats)
{
	const uint64_t *counter = stats->counter;
	unsigned int i;

	for (i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		app_tel_add_uint(d, zcnet_queue_counter_name(i), counter[i]);
	app_tel_add_uint(d, "out", stats->out);
	app_tel_add_uint(d, "out_peak", stats->out_peak);
	app_tel_add_uint(d, "oldest_us", stats->oldest_us);
	app_tel_add_uint(d, "holes", stats->holes);
	app_tel_add_uint(d, "bounces", stats->bounces);
	app_tel_add_uint(d, "frames_offered", app_frames_offered(stats));
	app_tel_add_uint(d, "zc_share_ppm",
			app_ppm(counter[ZCNET_Q_zc_frames], app_frames_offered(stats)));
	app_tel_add_uint(d, "zc_bytes_share_ppm",
			app_ppm(counter[ZCNET_Q_zc_bytes], counter[ZCNET_Q_bytes]));
}

static int
tel_port_stats(const char *params, struct rte_tel_data *d)
{
	const struct zcnet_port *port = find_port(params);
	struct zcnet_queue_stats stats;
	struct rte_tel_data *dict;
	unsigned int dir;

	if (port == NULL)
		return -ENOENT;
	rte_tel_data_start_dict(d);
	for (dir = ZCNET_RX; dir <= ZCNET_TX; dir++) {
		dict = new_dict();
		if (dict == NULL || zcnet_port_stats_get(port, dir, &stats) < 0) {
			rte_tel_data_free(dict);
			return -ENOMEM;
		}
		add_stats(dict, &stats);
		if (add_dict(d, app_dir_name(dir), dict) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* "NAME,DIR,QUEUE" */
static int
tel_queue_stats(const char *params, struct rte_tel_data *d)
{
	struct zcnet_queue_stats stats;
	struct zcnet_port *port;
	char name[ZCNET_NAME_MAX], dir[3];
	unsigned int queue;

	if (params == NULL || sscanf(params, "%31[^,],%2[rtx],%5u", name, dir, &queue) != 3)
		return -EINVAL;
	if (strcmp(dir, "rx") != 0 && strcmp(dir, "tx") != 0)
		return -EINVAL;
	port = zcnet_port_find(name);
	if (port == NULL || queue > UINT16_MAX ||
			zcnet_queue_stats_get(port, dir[0] == 'r' ? ZCNET_RX : ZCNET_TX, queue,
					&stats) < 0)
		return -ENOENT;
	rte_tel_data_start_dict(d);
	add_stats(d, &stats);
	rte_tel_data_add_dict_int(d, "enabled", stats.enabled);
	rte_tel_data_add_dict_string(d, "broken_why", stats.broken != NULL ? stats.broken : "");
	return rte_tel_data_add_dict_int(d, "worker", stats.worker);
}

static int
tel_conn_list(const char *params, struct rte_tel_data *d)
{
	struct zcnet_conn_info info;
	struct zcnet_conn *conn;
	int ret;

	(void)params;
	ret = rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	for (conn = zcnet_conn_next(NULL); ret == 0 && conn != NULL; conn = zcnet_conn_next(conn))
		if (zcnet_conn_info_get(conn, &info) == 0)
			ret = rte_tel_data_add_array_string(d, info.name);
	return ret;
}

static int
tel_conn_info(const char *params, struct rte_tel_data *d)
{
	struct zcnet_conn *conn = params != NULL ? zcnet_conn_find(params) : NULL;
	struct zcnet_conn_info info;
	char mac[18];

	if (conn == NULL || zcnet_conn_info_get(conn, &info) < 0)
		return -ENOENT;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", info.name);
	rte_tel_data_add_dict_string(d, "a", zcnet_port_name(info.a));
	rte_tel_data_add_dict_string(d, "b", zcnet_port_name(info.b));
	rte_tel_data_add_dict_int(d, "streams", info.streams);
	rte_tel_data_add_dict_int(d, "worker", info.worker);
	rte_tel_data_add_dict_string(d, "mac", app_mac(info.mac, mac));
	rte_tel_data_add_dict_int(d, "vlan", info.vlan);
	rte_tel_data_add_dict_int(d, "own_queue", info.own_queue);
	rte_tel_data_add_dict_string(d, "note", info.note);
	return rte_tel_data_add_dict_int(d, "copying", info.copying);
}

/* The lcores, in order of workers. */
static int
tel_worker_list(const char *params, struct rte_tel_data *d)
{
	struct zcnet_worker_info info;
	unsigned int i;
	int ret;

	(void)params;
	ret = rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
	for (i = 0; ret == 0 && i < zcnet_worker_count(); i++)
		if (zcnet_worker_info_get(i, &info) == 0)
			ret = rte_tel_data_add_array_int(d, info.lcore);
	return ret;
}

static void
add_worker(struct rte_tel_data *d, unsigned int index, const struct zcnet_worker_info *info)
{
	rte_tel_data_add_dict_int(d, "worker", index);
	rte_tel_data_add_dict_int(d, "lcore", info->lcore);
	rte_tel_data_add_dict_int(d, "socket", info->socket);
	rte_tel_data_add_dict_int(d, "streams", info->streams);
	app_tel_add_uint(d, "frames", info->frames);
	app_tel_add_uint(d, "bursts", info->bursts);
	app_tel_add_uint(d, "busy_cycles", info->busy_cycles);
	app_tel_add_uint(d, "idle_cycles", info->idle_cycles);
	app_tel_add_uint(d, "tsc_hz", info->tsc_hz);
	app_tel_add_uint(d, "cycles_per_frame", app_mean(info->busy_cycles, info->frames));
	app_tel_add_uint(d, "frames_per_burst", app_mean(info->frames, info->bursts));
	app_tel_add_uint(d, "idle_share_ppm",
			app_ppm(info->idle_cycles, info->idle_cycles + info->busy_cycles));
}

/* A dictionary by index: an array of dictionaries is more than 22.11 can say. */
static int
tel_worker_stats(const char *params, struct rte_tel_data *d)
{
	struct zcnet_worker_info info;
	struct rte_tel_data *dict;
	char index[12];
	unsigned int i;

	(void)params;
	rte_tel_data_start_dict(d);
	for (i = 0; i < zcnet_worker_count(); i++) {
		if (zcnet_worker_info_get(i, &info) < 0)
			continue;
		dict = new_dict();
		if (dict == NULL)
			return -ENOMEM;
		add_worker(dict, i, &info);
		snprintf(index, sizeof(index), "%u", i);
		if (add_dict(d, index, dict) < 0)
			return -ENOSPC;
	}
	return 0;
}

static const struct {
	const char *path;
	int (*answer)(const char *params, struct rte_tel_data *d);
	const char *help;
} endpoints[] = {
	{ "/zcnet/version", tel_version, "Version of zcnet. No parameters." },
	{ "/zcnet/port/list", tel_port_list, "Names of all ports. No parameters." },
	{ "/zcnet/port/info", tel_port_info, "State and settings of a port. Parameters: NAME" },
	{ "/zcnet/port/caps", tel_port_caps,
			"What a NIC's driver is known for, and what is made of it. "
			"Parameters: NAME" },
	{ "/zcnet/port/stats", tel_port_stats, "Counters of a port, rx and tx. Parameters: NAME" },
	{ "/zcnet/queue/stats", tel_queue_stats,
			"Counters of a queue. Parameters: NAME,DIR,QUEUE with rx or tx" },
	{ "/zcnet/conn/list", tel_conn_list, "Names of all connections. No parameters." },
	{ "/zcnet/conn/info", tel_conn_info, "Ports and state of a connection. Parameters: NAME" },
	{ "/zcnet/worker/list", tel_worker_list, "Lcores of all workers. No parameters." },
	{ "/zcnet/worker/stats", tel_worker_stats, "Figures of workers, by index. No parameters." },
};

/* One entry for all: it is what holds the lock. A negative answer becomes null. */
static int
answer(const char *path, const char *params, struct rte_tel_data *d)
{
	unsigned int i;
	int ret = -ENOENT;

	if (!app_lock_if_up())
		return -EAGAIN;
	for (i = 0; i < RTE_DIM(endpoints); i++)
		if (strcmp(endpoints[i].path, path) == 0)
			ret = endpoints[i].answer(params, d);
	app_unlock();
	return ret;
}

int
app_telemetry_register(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < RTE_DIM(endpoints) && ret == 0; i++)
		ret = rte_telemetry_register_cmd(endpoints[i].path, answer, endpoints[i].help);
	return ret;
}

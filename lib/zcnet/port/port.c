/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of ports, and the public calls that are the same for every kind. */
#include "port.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"

static TAILQ_HEAD(, zcnet_port) ports = TAILQ_HEAD_INITIALIZER(ports);

static bool
name_is_good(const char *name)
{
	size_t len = name != NULL ? strlen(name) : 0;

	if (len == 0 || len >= ZCNET_NAME_MAX)
		return false;
	for (; *name != '\0'; name++)
		if (!isalnum((unsigned char)*name) && strchr("_-.:", *name) == NULL)
			return false;
	return true;
}

int
zc_port_check(const char *name, uint16_t queues)
{
	if (!name_is_good(name))
		return zc_fail(EINVAL,
				"port name '%s': 1 to %d letters, digits or any of _-.: are needed",
				name != NULL ? name : "", ZCNET_NAME_MAX - 1);
	if (zcnet_port_find(name) != NULL)
		return zc_fail(EEXIST, "port %s exists already: choose another name", name);
	if (queues < 1 || queues > ZCNET_QUEUES_MAX)
		return zc_fail(EINVAL, "port %s: %u queues, 1 to %d are possible", name, queues,
				ZCNET_QUEUES_MAX);
	return 0;
}

void
zc_port_add(struct zcnet_port *port, const struct zc_port_ops *ops, const char *name,
		enum zcnet_port_type type, uint16_t queues, bool zerocopy)
{
	port->ops = ops;
	snprintf(port->name, sizeof(port->name), "%s", name);
	port->type = type;
	port->nqueues = queues;
	port->zerocopy = zerocopy;
	memset(port->worker, -1, sizeof(port->worker));
	TAILQ_INSERT_TAIL(&ports, port, next);
}

void
zc_port_remove(struct zcnet_port *port)
{
	TAILQ_REMOVE(&ports, port, next);
}

ZC_EXPORT struct zcnet_port *
zcnet_port_find(const char *name)
{
	struct zcnet_port *port;

	TAILQ_FOREACH(port, &ports, next)
		if (strcmp(port->name, name) == 0)
			return port;
	return NULL;
}

ZC_EXPORT struct zcnet_port *
zcnet_port_next(const struct zcnet_port *prev)
{
	return prev == NULL ? TAILQ_FIRST(&ports) : TAILQ_NEXT(prev, next);
}

ZC_EXPORT const char *
zcnet_port_name(const struct zcnet_port *port)
{
	return port->name;
}

ZC_EXPORT int
zcnet_port_start(struct zcnet_port *port)
{
	int ret = 0;

	zc_control_lock();
	if (!port->started)
		ret = port->ops->start(port);
	if (ret == 0)
		port->started = true;
	zc_control_changed();
	zc_control_unlock();
	return ret;
}

ZC_EXPORT int
zcnet_port_stop(struct zcnet_port *port)
{
	int ret = 0;

	zc_control_lock();
	if (port->started)
		ret = port->ops->stop(port);
	if (ret == 0)
		port->started = false;
	zc_control_changed();
	zc_control_unlock();
	return ret;
}

ZC_EXPORT int
zcnet_port_destroy(struct zcnet_port *port)
{
	if (port == NULL)
		return 0;
	zc_control_lock();
	if (port->bound != NULL) {
		zc_control_unlock();
		return zc_fail(EBUSY, "port %s is bound: unbind it first", port->name);
	}
	zcnet_port_stop(port);
	zc_port_remove(port);
	port->ops->destroy(port);
	zc_control_unlock();
	return 0;
}

ZC_EXPORT int
zcnet_port_info_get(const struct zcnet_port *port, struct zcnet_port_info *info)
{
	zc_control_lock();
	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "%s", port->name);
	info->type = port->type;
	info->started = port->started;
	info->queues = port->nqueues;
	info->queues_used = port->ops->queues_used(port);
	info->zerocopy = port->zerocopy;
	info->socket = -1;
	port->ops->info(port, info);
	zc_control_unlock();
	return 0;
}

ZC_EXPORT int
zcnet_queue_stats_get(const struct zcnet_port *port, enum zcnet_dir dir, uint16_t queue,
		struct zcnet_queue_stats *stats)
{
	if (queue >= port->nqueues)
		return -EINVAL;
	zc_control_lock();
	memset(stats, 0, sizeof(*stats));
	stats->worker = port->worker[queue];
	port->ops->stats(port, dir, queue, stats);
	zc_control_unlock();
	return 0;
}

static void
sum_up(struct zcnet_queue_stats *sum, const struct zcnet_queue_stats *one)
{
	for (unsigned int i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		sum->counter[i] += one->counter[i];
	sum->enabled |= one->enabled;
	if (sum->broken == NULL)
		sum->broken = one->broken;
	sum->out += one->out;
	sum->holes += one->holes;
	sum->bounces += one->bounces;
	sum->out_peak = RTE_MAX(sum->out_peak, one->out_peak);
	sum->oldest_us = RTE_MAX(sum->oldest_us, one->oldest_us);
	sum->worker = one->worker;
}

ZC_EXPORT int
zcnet_port_stats_get(const struct zcnet_port *port, enum zcnet_dir dir,
		struct zcnet_queue_stats *stats)
{
	struct zcnet_queue_stats one;

	memset(stats, 0, sizeof(*stats));
	for (uint16_t i = 0; i < port->nqueues; i++) {
		zcnet_queue_stats_get(port, dir, i, &one);
		sum_up(stats, &one);
	}
	return 0;
}

ZC_EXPORT void
zcnet_port_stats_clear(struct zcnet_port *port)
{
	zc_control_lock();
	port->ops->stats_clear(port);
	zc_control_unlock();
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * show queue: a line for each direction of each queue, and then every reason to copy, drop or wait
 * that counted.
 */
#include "columns.h"
#include "commands.h"
#include "figures.h"

#include <errno.h>
#include <rte_common.h>
#include <stdio.h>
#include <string.h>

/* One direction of one queue. */
struct stream {
	const struct zcnet_port *port;
	enum zcnet_dir dir;
	uint16_t queue;
	struct zcnet_queue_stats stats;
};

static void
add_queue(const struct stream *s, void *columns)
{
	const struct zcnet_queue_stats *stats = &s->stats;
	char percent[16];

	app_cell(columns, "%s", zcnet_port_name(s->port));
	app_cell(columns, "%s", app_dir_name(s->dir));
	app_cell(columns, "%u", s->queue);
	app_cell(columns, "%s", stats->broken != NULL ? "broken" : stats->enabled ? "on" : "off");
	if (stats->worker < 0)
		app_cell(columns, "-");
	else
		app_cell(columns, "%d", stats->worker);
	app_cell(columns, "%lu", stats->counter[ZCNET_Q_frames]);
	app_cell(columns, "%lu", stats->counter[ZCNET_Q_bytes]);
	app_cell(columns, "%s", app_zc_percent(stats, percent));
	app_cell(columns, "%lu", app_counter_sum(stats, "drop_"));
	app_cell(columns, "%lu", stats->counter[ZCNET_Q_kicks_sent]);
	app_cell(columns, "%lu", stats->counter[ZCNET_Q_kicks_suppressed]);
	app_cell(columns, "%u", stats->out);
	app_cell(columns, "%u", stats->out_peak);
	app_cell(columns, "%lu", stats->oldest_us);
	app_cell(columns, "%u", stats->holes);
	app_cell(columns, "%u", stats->bounces);
}

static bool
is_reason(unsigned int counter)
{
	const char *name = zcnet_queue_counter_name(counter);

	return strncmp(name, "copy_", 5) == 0 || strncmp(name, "drop_", 5) == 0 ||
			counter == ZCNET_Q_waits || counter == ZCNET_Q_broken;
}

static void
add_reasons(const struct stream *s, void *columns)
{
	unsigned int i;

	for (i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++) {
		if (!is_reason(i) || s->stats.counter[i] == 0)
			continue;
		app_cell(columns, "%s", zcnet_port_name(s->port));
		app_cell(columns, "%s", app_dir_name(s->dir));
		app_cell(columns, "%u", s->queue);
		app_cell(columns, "%lu", s->stats.counter[i]);
		app_cell(columns, "%s", zcnet_queue_counter_name(i));
		if (i == ZCNET_Q_broken && s->stats.broken != NULL)
			app_cell(columns, "now: %s", s->stats.broken);
		else
			app_cell(columns, "%s", zcnet_queue_counter_text(i));
	}
}

static void
each_queue(const struct zcnet_port *port, void (*add)(const struct stream *, void *), void *columns)
{
	struct stream s = { .port = port };
	struct zcnet_port_info info;
	unsigned int dir;

	if (zcnet_port_info_get(port, &info) < 0)
		return;
	for (s.queue = 0; s.queue < info.queues; s.queue++)
		for (dir = ZCNET_RX; dir <= ZCNET_TX; dir++) {
			s.dir = dir;
			if (zcnet_queue_stats_get(port, dir, s.queue, &s.stats) == 0)
				add(&s, columns);
		}
}

static void
show_queues(const struct zcnet_port *only, const char *const *heads, unsigned int count,
		void (*add)(const struct stream *, void *), bool empty_too)
{
	struct zcnet_port *port;
	struct app_columns c;

	app_columns_init(&c, heads, count);
	for (port = zcnet_port_next(NULL); port != NULL; port = zcnet_port_next(port))
		if (only == NULL || port == only)
			each_queue(port, add, &c);
	if (c.used == 0 && !empty_too)
		return;
	if (!empty_too)
		printf("\n");
	app_columns_print(&c);
}

/* show queue [PORT|all] */
int
app_cmd_show_queue(struct app_shell *shell, const struct app_words *words)
{
	static const char *const queue_heads[] = { "<port", "<dir", "queue", "<state", "worker",
		"frames", "bytes", "zc %", "dropped", "kicks", "not kicked", "out", "peak",
		"oldest us", "holes", "bounces" };
	static const char *const reason_heads[] = { "<port", "<dir", "queue", "count", "<reason",
		"<meaning" };
	const char *name = words->word[2];
	const struct zcnet_port *only = NULL;

	if (name[0] != '\0' && strcmp(name, "all") != 0) {
		only = app_find_port(shell, name);
		if (only == NULL)
			return -ENOENT;
	}
	show_queues(only, queue_heads, RTE_DIM(queue_heads), add_queue, true);
	show_queues(only, reason_heads, RTE_DIM(reason_heads), add_reasons, false);
	return 0;
}

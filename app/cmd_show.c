/* SPDX-License-Identifier: BSD-3-Clause */
/* show worker, mempool, conn, stats. */
#include "columns.h"
#include "commands.h"
#include "control.h"
#include "figures.h"
#include "rates.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
app_cmd_show_worker(struct app_shell *shell, const struct app_words *words)
{
	static const char *const heads[] = { "worker", "lcore", "numa", "streams", "frames",
		"frames/burst", "cycles/frame", "idle %" };
	struct zcnet_worker_info info;
	struct app_columns c;
	char percent[16];
	unsigned int i;

	(void)shell;
	(void)words;
	app_columns_init(&c, heads, RTE_DIM(heads));
	for (i = 0; i < zcnet_worker_count(); i++) {
		if (zcnet_worker_info_get(i, &info) < 0)
			continue;
		app_cell(&c, "%u", i);
		app_cell(&c, "%u", info.lcore);
		app_cell(&c, "%d", info.socket);
		app_cell(&c, "%u", info.streams);
		app_cell(&c, "%lu", info.frames);
		app_cell(&c, "%.1f", info.bursts == 0 ? 0.0 : (double)info.frames / info.bursts);
		app_cell(&c, "%.1f",
				info.frames == 0 ? 0.0 : (double)info.busy_cycles / info.frames);
		app_cell(&c, "%s",
				app_percent(info.idle_cycles, info.idle_cycles + info.busy_cycles,
						percent));
	}
	app_columns_print(&c);
	return 0;
}

static void
add_mempool(struct rte_mempool *pool, void *columns)
{
	struct rte_mempool_ops *ops = rte_mempool_get_ops(pool->ops_index);
	unsigned int in_use = rte_mempool_in_use_count(pool);

	app_cell(columns, "%s", pool->name);
	app_cell(columns, "%s", ops->name);
	app_cell(columns, "%d", pool->socket_id);
	app_cell(columns, "%u", pool->size);
	app_cell(columns, "%u", in_use);
	app_cell(columns, "%u", pool->elt_size);
}

int
app_cmd_show_mempool(struct app_shell *shell, const struct app_words *words)
{
	static const char *const heads[] = { "<pool", "<driver", "numa", "objects", "in use",
		"bytes each" };
	struct app_columns c;

	(void)shell;
	(void)words;
	app_columns_init(&c, heads, RTE_DIM(heads));
	rte_mempool_walk(add_mempool, &c);
	app_columns_print(&c);
	return 0;
}

static void
add_conn(struct app_columns *c, const struct zcnet_conn_info *info)
{
	char mac[18];

	app_cell(c, "%s", info->name);
	app_cell(c, "%s", zcnet_port_name(info->a));
	app_cell(c, "%s", zcnet_port_name(info->b));
	app_cell(c, "%s", app_mac(info->mac, mac));
	if (info->vlan == 0)
		app_cell(c, "-");
	else
		app_cell(c, "%u", info->vlan);
	if (info->own_queue == 0)
		app_cell(c, "-");
	else
		app_cell(c, "%u", info->own_queue);
	app_cell(c, "%u", info->streams);
	if (info->worker < 0)
		app_cell(c, "spread");
	else
		app_cell(c, "%d", info->worker);
	app_cell(c, "%s",
			info->copying ? "copying: the NIC stalled or its link is down" :
					info->note[0] != '\0' ? info->note :
								"ok");
}

/* show conn [CONN] */
int
app_cmd_show_conn(struct app_shell *shell, const struct app_words *words)
{
	static const char *const heads[] = { "<connection", "<a", "<b", "<mac", "vlan", "own queue",
		"streams", "worker", "<state" };
	struct zcnet_conn_info info;
	struct zcnet_conn *conn;
	struct app_columns c;

	if (words->word[2][0] != '\0' && zcnet_conn_find(words->word[2]) == NULL)
		return app_complain(shell, "there is no connection '%s'", words->word[2]);
	app_columns_init(&c, heads, RTE_DIM(heads));
	for (conn = zcnet_conn_next(NULL); conn != NULL; conn = zcnet_conn_next(conn))
		if (zcnet_conn_info_get(conn, &info) == 0 &&
				(words->word[2][0] == '\0' ||
						strcmp(info.name, words->word[2]) == 0))
			add_conn(&c, &info);
	app_columns_print(&c);
	return 0;
}

static void
add_shares(struct app_columns *c, const struct zcnet_queue_stats *stats)
{
	char percent[16];
	const char *frames = app_zc_percent(stats, percent);
	bool known = frames[0] != '-';

	app_cell(c, "%s", frames);
	app_cell(c, "%s",
			known ? app_percent(stats->counter[ZCNET_Q_zc_bytes],
						stats->counter[ZCNET_Q_bytes], percent) :
				"-");
}

static int
show_totals(void)
{
	static const char *const heads[] = { "<port", "<dir", "frames", "bytes", "zc %",
		"zc bytes %", "copied", "dropped" };
	struct zcnet_queue_stats stats;
	struct zcnet_port *port;
	struct app_columns c;
	unsigned int dir;

	app_columns_init(&c, heads, RTE_DIM(heads));
	for (port = zcnet_port_next(NULL); port != NULL; port = zcnet_port_next(port))
		for (dir = ZCNET_RX; dir <= ZCNET_TX; dir++) {
			if (zcnet_port_stats_get(port, dir, &stats) < 0)
				continue;
			app_cell(&c, "%s", zcnet_port_name(port));
			app_cell(&c, "%s", app_dir_name(dir));
			app_cell(&c, "%lu", stats.counter[ZCNET_Q_frames]);
			app_cell(&c, "%lu", stats.counter[ZCNET_Q_bytes]);
			add_shares(&c, &stats);
			app_cell(&c, "%lu", app_counter_sum(&stats, "copy_"));
			app_cell(&c, "%lu", app_counter_sum(&stats, "drop_"));
		}
	app_columns_print(&c);
	return 0;
}

static void
print_rates(const struct app_rate *rates, unsigned int count, double seconds)
{
	static const char *const heads[] = { "<port", "<dir", "Mframes/s", "Gbit/s", "zc %",
		"zc bytes %", "copied/s", "dropped/s" };
	const struct zcnet_queue_stats *stats;
	struct app_columns c;
	unsigned int i, dir;

	app_columns_init(&c, heads, RTE_DIM(heads));
	for (i = 0; i < count; i++)
		for (dir = ZCNET_RX; dir <= ZCNET_TX; dir++) {
			stats = &rates[i].stats[dir];
			app_cell(&c, "%s", rates[i].name);
			app_cell(&c, "%s", app_dir_name(dir));
			app_cell(&c, "%.4f", stats->counter[ZCNET_Q_frames] / seconds / 1e6);
			app_cell(&c, "%.4f", stats->counter[ZCNET_Q_bytes] * 8 / seconds / 1e9);
			add_shares(&c, stats);
			app_cell(&c, "%.0f", app_counter_sum(stats, "copy_") / seconds);
			app_cell(&c, "%.0f", app_counter_sum(stats, "drop_") / seconds);
		}
	printf("over %.2f s\n", seconds);
	app_columns_print(&c);
}

/* Two looks a second apart when there was none before; telemetry goes on meanwhile. */
static int
show_rates(void)
{
	struct app_rate *rates;
	unsigned int count;
	double seconds;

	if (!app_rates_known()) {
		free(app_rates_take(&seconds, &count));
		app_unlock();
		app_wait(-1, 1000);
		app_lock();
	}
	rates = app_rates_take(&seconds, &count);
	if (rates == NULL)
		return -ENOMEM;
	if (seconds > 0)
		print_rates(rates, count, seconds);
	free(rates);
	return 0;
}

/* show stats [rate] */
int
app_cmd_show_stats(struct app_shell *shell, const struct app_words *words)
{
	if (words->word[2][0] == '\0')
		return show_totals();
	return show_rates() < 0 ? app_complain(shell, "out of memory") : 0;
}

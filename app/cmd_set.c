/* SPDX-License-Identifier: BSD-3-Clause */
/* set, clear. */
#include "commands.h"
#include "figures.h"
#include "rates.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_log.h>
#include <string.h>

int
app_cmd_clear_stats(struct app_shell *shell, const struct app_words *words)
{
	struct zcnet_port *port;

	(void)shell;
	(void)words;
	for (port = zcnet_port_next(NULL); port != NULL; port = zcnet_port_next(port))
		zcnet_port_stats_clear(port);
	zcnet_worker_stats_clear();
	app_rates_clear();
	return 0;
}

int
app_cmd_clear_port(struct app_shell *shell, const struct app_words *words)
{
	struct zcnet_port *port = app_find_port(shell, words->word[2]);

	if (port == NULL)
		return -ENOENT;
	zcnet_port_stats_clear(port);
	app_rates_clear();
	return 0;
}

/* key is one of those in the syntax of "set port". */
static int
set_live(struct zcnet_port *port, enum app_object object, const char *key,
		const struct app_port *to)
{
	if (strcmp(key, "threshold") == 0)
		return zcnet_port_set_threshold(port, to->vhost.threshold);
	if (strcmp(key, "header-bytes") == 0)
		return zcnet_port_set_header_bytes(port, to->vhost.header_bytes);
	if (strcmp(key, "rx-full") == 0)
		return zcnet_port_set_rx_full(port, to->vhost.rx_full);
	return zcnet_port_set_zerocopy(port,
			object == APP_VHOST ? to->vhost.zerocopy : to->ethdev.zerocopy);
}

/* set port PORT KEY VALUE */
int
app_cmd_set_port(struct app_shell *shell, const struct app_words *words)
{
	const char *name = words->word[2], *value = words->word[4];
	struct zcnet_port *port = app_find_port(shell, name);
	struct zcnet_port_info info;
	const struct app_key *key;
	char why[APP_ERROR_MAX];
	enum app_object object;
	struct app_port to;
	int ret;

	if (port == NULL || zcnet_port_info_get(port, &info) < 0)
		return -ENOENT;
	object = info.type == ZCNET_PORT_VHOST ? APP_VHOST : APP_ETHDEV;
	key = app_key_find(object, words->word[3]);
	if (key == NULL || !key->live)
		return app_complain(shell, "%s: %s can't be set on a running %s port", name,
				words->word[3], app_type_name(info.type));
	app_port_init(&to, name, info.type);
	ret = app_key_set(key, &to, value, why, sizeof(why));
	if (ret < 0)
		return app_complain(shell, "%s: %s: %s", name, key->name, why);
	ret = set_live(port, object, key->name, &to);
	return ret < 0 ? app_complain(shell, "%s: %s: %s", name, key->name, zcnet_last_error()) : 0;
}

/* set log LEVEL */
int
app_cmd_set_log(struct app_shell *shell, const struct app_words *words)
{
	static const struct {
		const char *name;
		uint32_t level;
	} levels[] = {
		{ "error", RTE_LOG_ERR },
		{ "warning", RTE_LOG_WARNING },
		{ "notice", RTE_LOG_NOTICE },
		{ "info", RTE_LOG_INFO },
		{ "debug", RTE_LOG_DEBUG },
	};
	unsigned int i;

	(void)shell;
	for (i = 0; i < RTE_DIM(levels); i++)
		if (strcmp(levels[i].name, words->word[2]) == 0)
			return rte_log_set_level_pattern("lib.zcnet*", levels[i].level);
	return -EINVAL;
}

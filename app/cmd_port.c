/* SPDX-License-Identifier: BSD-3-Clause */
/* port add, del, start, stop. */
#include "apply.h"
#include "commands.h"

#include <errno.h>
#include <string.h>

struct zcnet_port *
app_find_port(const struct app_shell *shell, const char *name)
{
	struct zcnet_port *port = zcnet_port_find(name);

	if (port == NULL)
		app_complain(shell, "there is no port '%s'", name);
	return port;
}

/* The words are: port add TYPE NAME KEY VALUE [KEY VALUE]... */
static int
port_add(struct app_shell *shell, const struct app_words *words, enum zcnet_port_type type)
{
	const char *name = words->word[3];
	unsigned int i, n = (app_words_count(words) - 4) / 2;
	struct app_pair pairs[APP_WORDS_MAX / 2];
	char why[APP_ERROR_MAX];
	struct app_port port;
	int ret;

	ret = app_name_check(name, why, sizeof(why));
	if (ret < 0)
		return app_complain(shell, "%s", why);
	for (i = 0; i < n; i++)
		pairs[i] = (struct app_pair){ words->word[4 + 2 * i], words->word[5 + 2 * i] };
	app_port_init(&port, name, type);
	ret = app_keys_set(type == ZCNET_PORT_VHOST ? APP_VHOST : APP_ETHDEV, &port, pairs, n, why,
			sizeof(why));
	if (ret == 0)
		ret = app_port_check(&port, why, sizeof(why));
	if (ret < 0)
		return app_complain(shell, "%s: %s", name, why);
	ret = app_port_create(&port, why, sizeof(why));
	return ret < 0 ? app_complain(shell, "%s", why) : 0;
}

int
app_cmd_port_add_vhost(struct app_shell *shell, const struct app_words *words)
{
	return port_add(shell, words, ZCNET_PORT_VHOST);
}

int
app_cmd_port_add_ethdev(struct app_shell *shell, const struct app_words *words)
{
	return port_add(shell, words, ZCNET_PORT_ETHDEV);
}

/* port VERB PORT */
static int
port_do(struct app_shell *shell, const struct app_words *words, int (*verb)(struct zcnet_port *))
{
	struct zcnet_port *port = app_find_port(shell, words->word[2]);
	const char *why;
	int ret;

	if (port == NULL)
		return -ENOENT;
	ret = verb(port);
	if (ret == 0)
		return 0;
	why = zcnet_last_error();
	app_complain(shell, "%s", why[0] != '\0' ? why : strerror(-ret));
	return ret;
}

int
app_cmd_port_del(struct app_shell *shell, const struct app_words *words)
{
	return port_do(shell, words, zcnet_port_destroy);
}

int
app_cmd_port_start(struct app_shell *shell, const struct app_words *words)
{
	return port_do(shell, words, zcnet_port_start);
}

int
app_cmd_port_stop(struct app_shell *shell, const struct app_words *words)
{
	return port_do(shell, words, zcnet_port_stop);
}

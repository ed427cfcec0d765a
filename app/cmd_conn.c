/* SPDX-License-Identifier: BSD-3-Clause */
/* bind, unbind. */
#include "apply.h"
#include "commands.h"

/* bind NAME PORT PORT [worker INDEX] */
int
app_cmd_bind(struct app_shell *shell, const struct app_words *words)
{
	const char *name = words->word[1];
	struct app_pair pairs[] = {
		{ "a", words->word[2] },
		{ "b", words->word[3] },
		{ "worker", words->word[5] },
	};
	unsigned int n = words->word[5][0] != '\0' ? 3 : 2;
	char why[APP_ERROR_MAX];
	struct app_conn conn;
	int ret;

	ret = app_name_check(name, why, sizeof(why));
	if (ret < 0)
		return app_complain(shell, "%s", why);
	app_conn_init(&conn, name);
	ret = app_keys_set(APP_CONNECT, &conn, pairs, n, why, sizeof(why));
	if (ret < 0)
		return app_complain(shell, "%s: %s", name, why);
	ret = app_conn_create(&conn, why, sizeof(why));
	return ret < 0 ? app_complain(shell, "%s", why) : 0;
}

int
app_cmd_unbind(struct app_shell *shell, const struct app_words *words)
{
	struct zcnet_conn *conn = zcnet_conn_find(words->word[1]);

	if (conn == NULL)
		return app_complain(shell, "there is no connection '%s'", words->word[1]);
	zcnet_conn_destroy(conn);
	return 0;
}

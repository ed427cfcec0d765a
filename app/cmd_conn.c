/* SPDX-License-Identifier: BSD-3-Clause */
/* bind, unbind. */
#include "apply.h"
#include "commands.h"

/* The words are: bind NAME PORT PORT [KEY VALUE]... */
int
app_cmd_bind(struct app_shell *shell, const struct app_words *words)
{
	const char *name = words->word[1];
	struct app_pair pairs[APP_WORDS_MAX / 2] = {
		{ "a", words->word[2] },
		{ "b", words->word[3] },
	};
	unsigned int n = app_words_count(words) / 2;
	char why[APP_ERROR_MAX];
	struct app_conn conn;
	int ret;

	ret = app_name_check(name, why, sizeof(why));
	if (ret < 0)
		return app_complain(shell, "%s", why);
	for (unsigned int i = 2; i < n; i++)
		pairs[i] = (struct app_pair){ words->word[2 * i], words->word[2 * i + 1] };
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

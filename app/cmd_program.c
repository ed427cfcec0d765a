/* SPDX-License-Identifier: BSD-3-Clause */
/* help, load, quit. */
#include "commands.h"
#include "control.h"

#include <stdio.h>

int
app_cmd_help(struct app_shell *shell, const struct app_words *words)
{
	unsigned int i, n = app_words_count(words);
	char topic[APP_WORD_MAX] = "";
	size_t used = 0;

	for (i = 1; i < n && used < sizeof(topic); i++)
		used += snprintf(topic + used, sizeof(topic) - used, "%s%s", i > 1 ? " " : "",
				words->word[i]);
	if (app_help_print(topic) < 0)
		return app_complain(shell, "no help for '%s'; 'help' lists all there is", topic);
	return 0;
}

/* Each line of the file takes the lock for itself. */
int
app_cmd_load(struct app_shell *shell, const struct app_words *words)
{
	int ret;

	app_unlock();
	ret = app_shell_file(shell, words->word[1]);
	app_lock();
	return ret;
}

int
app_cmd_quit(struct app_shell *shell, const struct app_words *words)
{
	(void)words;
	shell->quit = true;
	return 0;
}

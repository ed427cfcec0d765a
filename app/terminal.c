/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The person at the terminal: line editing and completion by librte_cmdline, one character at a
 * time, so that a signal ends it between two of them.
 */
#include "commands.h"
#include "control.h"
#include "shell.h"

#include <cmdline.h>
#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PROMPT "zcnet> "

static int
put_char(struct rdline *rdl, char c)
{
	(void)rdl;
	return write(STDOUT_FILENO, &c, 1);
}

static void
line_given(struct rdline *rdl, const char *text, unsigned int size)
{
	(void)size;
	app_shell_line(rdline_get_opaque(rdl), text);
}

static int
tab_pressed(struct rdline *rdl, const char *text, char *answer, unsigned int size, int *state)
{
	struct app_shell *shell = rdline_get_opaque(rdl);

	return cmdline_complete(shell->cl, text, state, answer, size);
}

/* The buffer ends with a newline, a history item doesn't. */
static void
remember(struct rdline *rdl)
{
	const char *text = rdline_get_buffer(rdl), *last = rdline_get_history_item(rdl, 0);
	size_t len = strcspn(text, "\n");

	if (len > 0 && (last == NULL || strlen(last) != len || memcmp(last, text, len) != 0))
		rdline_add_history(rdl, text);
}

static void
talk(struct app_shell *shell, struct rdline *rdl)
{
	int ret;
	char c;

	rdline_newline(rdl, PROMPT);
	while (!shell->quit && app_wait(STDIN_FILENO, -1)) {
		if (read(STDIN_FILENO, &c, 1) != 1)
			break;
		ret = rdline_char_in(rdl, c);
		if (ret == RDLINE_RES_EOF)
			break;
		if (ret == RDLINE_RES_VALIDATED && !shell->quit) {
			remember(rdl);
			rdline_newline(rdl, PROMPT);
		}
	}
	if (!shell->quit)
		put_char(rdl, '\n');
}

int
app_shell_terminal(struct app_shell *shell)
{
	struct termios saved, raw;
	struct rdline *rdl;

	rdl = rdline_new(put_char, line_given, tab_pressed, shell);
	if (rdl == NULL)
		return -ENOMEM;
	tcgetattr(STDIN_FILENO, &saved);
	raw = saved;
	raw.c_lflag &= ~(ICANON | ECHO | ISIG);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	shell->origin = NULL;
	shell->line = 0;
	talk(shell, rdl);
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	rdline_free(rdl);
	return 0;
}

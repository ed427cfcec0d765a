/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running lines. cmdline_parse() gives a status for a line that fits no command, and a handler's
 * own is kept in the shell, so that nothing that fails goes unseen.
 */
#include "shell.h"

#include "commands.h"
#include "control.h"
#include "parse.h"

#include <cmdline.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest line of a script, with its end. */
#define LINE_BYTES 8192
/* Scripts that load scripts that load scripts. */
#define DEPTH_MAX 8

int
app_shell_init(struct app_shell *shell)
{
	cmdline_parse_ctx_t *context;

	memset(shell, 0, sizeof(*shell));
	context = app_parse_init(shell);
	if (context == NULL)
		return -ENOMEM;
	shell->cl = cmdline_new(context, "", -1, -1);
	return shell->cl != NULL ? 0 : -ENOMEM;
}

void
app_shell_fini(struct app_shell *shell)
{
	cmdline_free(shell->cl);
	shell->cl = NULL;
}

int
app_complain(const struct app_shell *shell, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	if (shell->origin != NULL && shell->line != 0)
		fprintf(stderr, "%s:%u: ", shell->origin, shell->line);
	else if (shell->origin != NULL)
		fprintf(stderr, "%s: ", shell->origin);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EINVAL;
}

unsigned int
app_words_count(const struct app_words *words)
{
	unsigned int n = 0;

	while (n < APP_WORDS_MAX && words->word[n][0] != '\0')
		n++;
	return n;
}

/* What cmdline would cut or misread. */
static int
check_words(const struct app_shell *shell, const char *line)
{
	unsigned int n = 0;
	size_t len;

	for (line += strspn(line, " \t"); *line != '\0' && *line != '#';
			line += len, line += strspn(line, " \t")) {
		len = strcspn(line, " \t");
		if (memchr(line, '#', len) != NULL)
			return app_complain(shell,
					"'%.*s': a '#' starts a comment, put a blank in front "
					"of it",
					(int)len, line);
		if (len >= APP_WORD_MAX)
			return app_complain(shell, "a word of more than %d characters",
					APP_WORD_MAX - 1);
		if (++n > APP_WORDS_MAX)
			return app_complain(shell, "more than %d words", APP_WORDS_MAX);
	}
	return 0;
}

/* How many of the leading words of the line are the syntax's. */
static unsigned int
words_in_common(const char *line, const char *syntax)
{
	unsigned int n = 0;
	size_t len;

	for (;;) {
		line += strspn(line, " \t");
		len = strcspn(line, " \t");
		if (len == 0 || strcspn(syntax, " ") != len || memcmp(line, syntax, len) != 0)
			return n;
		n++;
		line += len;
		syntax += len;
		syntax += *syntax == ' ';
	}
}

/* The line fits no command: show the commands that come nearest. */
static int
complain_syntax(const struct app_shell *shell, const char *line)
{
	unsigned int i, n, best = 0;

	line += strspn(line, " \t");
	for (i = 0; i < app_command_count; i++) {
		n = words_in_common(line, app_commands[i].syntax);
		if (n > best)
			best = n;
	}
	if (best == 0)
		return app_complain(shell, "there is no command '%.*s'; 'help' lists them",
				(int)strcspn(line, " \t"), line);
	for (i = 0; i < app_command_count; i++)
		if (words_in_common(line, app_commands[i].syntax) == best)
			app_complain(shell, "syntax: %s", app_commands[i].syntax);
	return -EINVAL;
}

int
app_shell_line(struct app_shell *shell, const char *line)
{
	char text[LINE_BYTES + 2];
	int ret;

	if (snprintf(text, sizeof(text), "%s", line) >= LINE_BYTES)
		return app_complain(shell, "a line of more than %d bytes", LINE_BYTES - 1);
	text[strcspn(text, "\r\n")] = '\0';
	ret = check_words(shell, text);
	if (ret < 0)
		return ret;
	strcat(text, "\n");
	shell->status = 0;
	app_lock();
	ret = cmdline_parse(shell->cl, text);
	app_unlock();
	fflush(stdout);
	if (ret >= 0)
		return shell->status;
	text[strcspn(text, "\n")] = '\0';
	return complain_syntax(shell, text);
}

/* Bytes of a script that are not run yet. */
struct input {
	int fd;
	size_t used;
	bool ended;
	char text[LINE_BYTES];
};

/* Read on. @return false at a signal or an error, which errno tells apart (0: signal) */
static bool
fill(struct input *in)
{
	ssize_t n;

	if (!app_wait(in->fd, -1)) {
		/* Other signals may have interrupted the wait before the one that ends it. */
		errno = 0;
		return false;
	}
	errno = 0;
	n = read(in->fd, in->text + in->used, sizeof(in->text) - 1 - in->used);
	if (n < 0)
		return false;
	in->ended = n == 0;
	in->used += n;
	return true;
}

/* Cut the first line off. @return its length, -1 when it isn't complete */
static ssize_t
take_line(struct input *in, char *line)
{
	char *end = memchr(in->text, '\n', in->used);
	size_t len = end != NULL ? (size_t)(end - in->text) : in->used;

	if (end == NULL && !in->ended)
		return -1;
	memcpy(line, in->text, len);
	line[len] = '\0';
	in->used -= len + (end != NULL);
	memmove(in->text, in->text + len + 1, in->used);
	return len;
}

static int
run_input(struct app_shell *shell, struct input *in)
{
	char line[LINE_BYTES];
	ssize_t len;
	int ret = 0;

	while (ret == 0 && !shell->quit && !app_stopping()) {
		len = take_line(in, line);
		if (len < 0) {
			if (in->used == sizeof(in->text) - 1)
				return app_complain(shell, "a line of more than %d bytes",
						LINE_BYTES - 1);
			if (!fill(in))
				return errno != 0 ? app_complain(shell, "%s", strerror(errno)) : 0;
			continue;
		}
		if (len == 0 && in->ended && in->used == 0)
			break;
		shell->line++;
		ret = (size_t)len == strlen(line) ? app_shell_line(shell, line) :
						    app_complain(shell, "a zero byte in the line");
	}
	return ret;
}

int
app_shell_lines(struct app_shell *shell, int fd, const char *name)
{
	const char *origin = shell->origin;
	unsigned int line = shell->line;
	struct input *in;
	int ret;

	in = calloc(1, sizeof(*in));
	if (in == NULL)
		return app_complain(shell, "out of memory");
	in->fd = fd;
	shell->origin = name;
	shell->line = 0;
	shell->depth++;
	ret = run_input(shell, in);
	shell->depth--;
	shell->line = line;
	shell->origin = origin;
	free(in);
	return ret;
}

int
app_shell_file(struct app_shell *shell, const char *path)
{
	int fd, ret;

	if (shell->depth >= DEPTH_MAX)
		return app_complain(shell, "%s: %d scripts load each other", path, DEPTH_MAX);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return app_complain(shell, "%s: %s", path, strerror(errno));
	ret = app_shell_lines(shell, fd, path);
	close(fd);
	return ret;
}

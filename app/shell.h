/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shell: one line at a time through librte_cmdline, from the command line, a script or a
 * terminal.
 *
 * A command is one row of a table (commands.c). Its syntax is what help prints and what is parsed:
 * see parse.h. A handler returns 0, or complains and returns a negative errno; a script stops
 * there.
 */
#ifndef APP_SHELL_H
#define APP_SHELL_H

#include "keys.h"

/**
 * Most words of a command, longest word with the terminating 0; rte_cmdline's result buffer is
 * their product.
 */
#define APP_WORDS_MAX 32
#define APP_WORD_MAX 256

struct cmdline;

/** The words of a line; empty ones behind the last. */
struct app_words {
	char word[APP_WORDS_MAX][APP_WORD_MAX];
};

struct app_shell {
	struct cmdline *cl;
	const char *origin; /**< where the line comes from, for messages; NULL: a person types it */
	unsigned int line;  /**< its number there, 0: it has none */
	unsigned int depth; /**< scripts that load scripts */
	int status;         /**< of the command that ran last */
	bool quit;          /**< "quit" was given */
};

struct app_command {
	const char *syntax;
	int (*run)(struct app_shell *shell, const struct app_words *words);
	const char *section;
	const char *help;
	enum app_object keys; /**< what KEY in the syntax stands for */
};

/** @return 0 or -ENOMEM */
int app_shell_init(struct app_shell *shell);
void app_shell_fini(struct app_shell *shell);

/** Run one line. @return 0, or a negative errno after a message */
int app_shell_line(struct app_shell *shell, const char *line);

/**
 * Run the lines of @p fd until the first that fails, "quit" or a signal. Same result as
 * app_shell_line().
 */
int app_shell_lines(struct app_shell *shell, int fd, const char *name);

/** Run the lines of a file. */
int app_shell_file(struct app_shell *shell, const char *path);

/** Talk to the person at the terminal on stdin until "quit", end of file or a signal. */
int app_shell_terminal(struct app_shell *shell);

/** Say on stderr why the line fails, with its place. @return -EINVAL */
int app_complain(const struct app_shell *shell, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

unsigned int app_words_count(const struct app_words *words);

#endif

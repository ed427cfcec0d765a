/* SPDX-License-Identifier: BSD-3-Clause */
/* The handlers of the shell's commands, a file a group, and the table that names them. */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

#include "shell.h"

extern const struct app_command app_commands[];
extern const unsigned int app_command_count;

/* show_port.c, show_queue.c, cmd_show.c */
int app_cmd_show_port(struct app_shell *shell, const struct app_words *words);
int app_cmd_show_queue(struct app_shell *shell, const struct app_words *words);
int app_cmd_show_worker(struct app_shell *shell, const struct app_words *words);
int app_cmd_show_caps(struct app_shell *shell, const struct app_words *words);
int app_cmd_show_mempool(struct app_shell *shell, const struct app_words *words);
int app_cmd_show_conn(struct app_shell *shell, const struct app_words *words);
int app_cmd_show_stats(struct app_shell *shell, const struct app_words *words);

/* cmd_set.c */
int app_cmd_clear_stats(struct app_shell *shell, const struct app_words *words);
int app_cmd_clear_port(struct app_shell *shell, const struct app_words *words);
int app_cmd_set_port(struct app_shell *shell, const struct app_words *words);
int app_cmd_set_log(struct app_shell *shell, const struct app_words *words);

/* cmd_port.c */
int app_cmd_port_add_vhost(struct app_shell *shell, const struct app_words *words);
int app_cmd_port_add_ethdev(struct app_shell *shell, const struct app_words *words);
int app_cmd_port_del(struct app_shell *shell, const struct app_words *words);
int app_cmd_port_start(struct app_shell *shell, const struct app_words *words);
int app_cmd_port_stop(struct app_shell *shell, const struct app_words *words);

/* cmd_conn.c */
int app_cmd_bind(struct app_shell *shell, const struct app_words *words);
int app_cmd_unbind(struct app_shell *shell, const struct app_words *words);

/* cmd_program.c */
int app_cmd_help(struct app_shell *shell, const struct app_words *words);
int app_cmd_load(struct app_shell *shell, const struct app_words *words);
int app_cmd_quit(struct app_shell *shell, const struct app_words *words);

/** The port of that name, or NULL after a complaint. */
struct zcnet_port *app_find_port(const struct app_shell *shell, const char *name);

/* help.c */
/** The nth topic of "help" besides commands; NULL behind the last. */
const char *app_help_topic(int n);

/**
 * Print a topic: a section, "config", or the first words of commands; "" is everything. @return 0,
 * -ENOENT
 */
int app_help_print(const char *topic);

#endif

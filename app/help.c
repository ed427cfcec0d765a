/* SPDX-License-Identifier: BSD-3-Clause */
/* Help, printed from the tables of commands and keys. */
#include "columns.h"
#include "commands.h"

#include <errno.h>
#include <rte_common.h>
#include <stdio.h>
#include <string.h>

static const char *const topics[] = { "program", "show", "set", "port", "connection", "config" };

const char *
app_help_topic(int n)
{
	return n < (int)RTE_DIM(topics) ? topics[n] : NULL;
}

static void
print_keys(enum app_object object)
{
	static const char *const heads[] = { "<  key", "<accepted", "<default", "<while running",
		"<meaning" };
	const struct app_key *key;
	struct app_columns c;
	char values[64];

	app_columns_init(&c, heads, RTE_DIM(heads));
	for (key = app_keys(object); key->name != NULL; key++) {
		app_key_values(key, values, sizeof(values));
		app_cell(&c, "  %s", key->name);
		app_cell(&c, "%s", values);
		app_cell(&c, "%s", key->required ? "required" : key->preset);
		app_cell(&c, "%s", key->live ? "set port" : "-");
		app_cell(&c, "%s", key->help);
	}
	app_columns_print(&c);
}

static void
print_config(void)
{
	printf("config: [port NAME] with type = vhost (required), a guest\n");
	print_keys(APP_VHOST);
	printf("\nconfig: [port NAME] with type = ethdev (required), a NIC\n");
	print_keys(APP_ETHDEV);
	printf("\nconfig: [connect NAME], two ports\n");
	print_keys(APP_CONNECT);
}

static void
print_command(const struct app_command *command)
{
	printf("  %s\n      %s\n", command->syntax, command->help);
}

static unsigned int
print_section(const char *section)
{
	unsigned int i, printed = 0;

	for (i = 0; i < app_command_count; i++) {
		if (strcmp(app_commands[i].section, section) != 0)
			continue;
		if (printed++ == 0)
			printf("%s:\n", section);
		print_command(&app_commands[i]);
	}
	return printed;
}

/* Commands that begin with these words; one that creates a port with its keys. */
static unsigned int
print_matching(const char *words)
{
	size_t len = strlen(words);
	const struct app_command *command;
	unsigned int i, printed = 0;

	for (i = 0; i < app_command_count; i++) {
		command = &app_commands[i];
		if (strncmp(command->syntax, words, len) != 0 ||
				(command->syntax[len] != ' ' && command->syntax[len] != '\0'))
			continue;
		printed++;
		print_command(command);
		if (strstr(command->syntax, "KEY") != NULL)
			print_keys(command->keys);
	}
	return printed;
}

int
app_help_print(const char *topic)
{
	unsigned int i, printed = 0;

	if (strcmp(topic, "config") == 0) {
		print_config();
		return 0;
	}
	if (topic[0] != '\0')
		return print_section(topic) > 0 || print_matching(topic) > 0 ? 0 : -ENOENT;
	for (i = 0; i < RTE_DIM(topics); i++) {
		if (printed > 0)
			printf("\n");
		printed = print_section(topics[i]);
	}
	printf("Tab completes and lists. A '#' starts a comment. Keys of ports: help config\n");
	return 0;
}

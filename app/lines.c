/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What rte_cfgfile would swallow: it skips a line without '=', drops what follows a ']', cuts long
 * names and values, reads a folder as an empty file, and gives no reason when it refuses. So each
 * line is looked at first, with the rules in the documents, and what passes here means the same to
 * rte_cfgfile.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <rte_cfgfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* rte_cfgfile reads into a buffer of this and four more. */
#define LINE_MAX_CHARS (CFG_NAME_LEN + CFG_VALUE_LEN)

/* Cut blanks at both ends, in place. */
static char *
trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

static int
check_section(char *text, char *err, size_t size)
{
	char *end = strchr(text, ']');

	if (end == NULL || end[1] != '\0')
		return app_error(err, size, "a section is [port NAME] or [connect NAME], alone");
	*end = '\0';
	if (strlen(trim(text + 1)) >= CFG_NAME_LEN)
		return app_error(err, size, "a section of more than %d characters",
				CFG_NAME_LEN - 1);
	return 0;
}

static int
check_entry(char *text, char *err, size_t size)
{
	char *value = strchr(text, '=');
	char *key;

	if (value == NULL)
		return app_error(err, size, "'%.40s' is neither [SECTION] nor KEY = VALUE", text);
	*value++ = '\0';
	key = trim(text);
	value = trim(value);
	if (key[0] == '\0')
		return app_error(err, size, "no key in front of '='");
	if (value[0] == '\0')
		return app_error(err, size, "%.63s: no value behind '='", key);
	if (strlen(key) >= CFG_NAME_LEN)
		return app_error(err, size, "a key of more than %d characters", CFG_NAME_LEN - 1);
	if (strlen(value) >= CFG_VALUE_LEN)
		return app_error(err, size, "%s: a value of more than %d characters", key,
				CFG_VALUE_LEN - 1);
	return 0;
}

/* line is changed. */
static int
check_line(char *line, size_t len, bool *in_section, char *err, size_t size)
{
	char *comment;

	if (strlen(line) != len)
		return app_error(err, size, "a zero byte: this is not a text file");
	if (len > 0 && line[len - 1] == '\n')
		line[--len] = '\0';
	if (len > LINE_MAX_CHARS)
		return app_error(err, size, "more than %d characters", LINE_MAX_CHARS);
	comment = strchr(line, '#');
	if (comment != NULL && comment > line && comment[-1] == '\\')
		return app_error(err, size, "a '#' starts a comment, '\\' does not change that");
	if (comment != NULL)
		*comment = '\0';
	line = trim(line);
	if (line[0] == '\0')
		return 0;
	if (line[0] == '[') {
		*in_section = true;
		return check_section(line, err, size);
	}
	if (!*in_section)
		return app_error(err, size, "in front of the first [SECTION]");
	return check_entry(line, err, size);
}

static int
check_file(FILE *file, const char *path, char *err, size_t size)
{
	char why[APP_ERROR_MAX / 2], *line = NULL;
	bool in_section = false;
	unsigned int number = 0;
	size_t room = 0;
	ssize_t len;
	int ret = 0;

	while (ret == 0 && (len = getline(&line, &room, file)) >= 0) {
		number++;
		if (check_line(line, len, &in_section, why, sizeof(why)) < 0)
			ret = app_error(err, size, "%s:%u: %s", path, number, why);
	}
	free(line);
	if (ret == 0 && ferror(file))
		ret = app_error(err, size, "%s: it can't be read to its end", path);
	return ret;
}

int
app_lines_check(const char *path, char *err, size_t size)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	int ret;

	if (file == NULL) {
		ret = -errno;
		app_error(err, size, "%s: %s", path, strerror(-ret));
		return ret;
	}
	/* It is read twice. */
	if (fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode))
		ret = app_error(err, size, "%s: not a regular file", path);
	else
		ret = check_file(file, path, err, size);
	fclose(file);
	return ret;
}

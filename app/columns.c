/* SPDX-License-Identifier: BSD-3-Clause */
/* Columns: as wide as their widest cell, two blanks apart. */
#include "columns.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
app_columns_init(struct app_columns *columns, const char *const *heads, unsigned int count)
{
	memset(columns, 0, sizeof(*columns));
	columns->heads = heads;
	columns->count = count;
}

void
app_cell(struct app_columns *columns, const char *fmt, ...)
{
	char **cells;
	va_list ap;

	if (columns->used == columns->room) {
		columns->room = columns->room * 2 + 64;
		cells = reallocarray(columns->cells, columns->room, sizeof(*cells));
		if (cells == NULL)
			abort();
		columns->cells = cells;
	}
	va_start(ap, fmt);
	if (vasprintf(&columns->cells[columns->used++], fmt, ap) < 0)
		abort();
	va_end(ap);
}

static const char *
text_of(const struct app_columns *columns, size_t row, unsigned int column)
{
	if (row == 0)
		return columns->heads[column] + (columns->heads[column][0] == '<');
	return columns->cells[(row - 1) * columns->count + column];
}

static size_t
width_of(const struct app_columns *columns, size_t rows, unsigned int column)
{
	size_t row, len, width = 0;

	for (row = 0; row < rows; row++) {
		len = strlen(text_of(columns, row, column));
		if (len > width)
			width = len;
	}
	return width;
}

/*
 * No blanks at the end of a line: the last column, where it goes to the left, is as wide as its
 * text.
 */
static void
print_cell(const struct app_columns *columns, const char *text, unsigned int column, size_t width)
{
	if (columns->heads[column][0] != '<')
		printf("%*s", (int)width, text);
	else
		printf("%-*s", column + 1 < columns->count ? (int)width : 0, text);
	printf("%s", column + 1 < columns->count ? "  " : "\n");
}

void
app_columns_print(struct app_columns *columns)
{
	size_t rows = 1 + columns->used / columns->count, row, i;
	size_t width[columns->count];
	unsigned int column;

	for (column = 0; column < columns->count; column++)
		width[column] = width_of(columns, rows, column);
	for (row = 0; row < rows; row++)
		for (column = 0; column < columns->count; column++)
			print_cell(columns, text_of(columns, row, column), column, width[column]);
	for (i = 0; i < columns->used; i++)
		free(columns->cells[i]);
	free(columns->cells);
	app_columns_init(columns, columns->heads, columns->count);
}

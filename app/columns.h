/* SPDX-License-Identifier: BSD-3-Clause */
/* Columns for people: cells first, widths afterwards. */
#ifndef APP_COLUMNS_H
#define APP_COLUMNS_H

#include <stddef.h>

struct app_columns {
	const char *const
			*heads; /**< one a column; '<' in front: to the left, and is not printed */
	unsigned int count;     /**< columns */
	char **cells;           /**< row by row */
	size_t used;
	size_t room;
};

void app_columns_init(struct app_columns *columns, const char *const *heads, unsigned int count);

/** Add the next cell, from left to right and line by line. */
void app_cell(struct app_columns *columns, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

/** Print to stdout and forget. */
void app_columns_print(struct app_columns *columns);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's own arguments: those behind "--". */
#ifndef APP_ARGS_H
#define APP_ARGS_H

#include <stdbool.h>

#include "selftest.h"

/** "-e COMMAND" or "-f FILE", in the order given. */
struct app_action {
	bool file;
	const char *text;
};

struct app_args {
	int eal_argc; /**< arguments in front of "--", argv[0] included */
	const char *config;
	bool interactive;
	struct app_action *actions; /**< room for all */
	unsigned int action_count;
	bool selftest; /**< that, and nothing else */
	struct app_selftest_conf test;
};

enum app_args_result {
	APP_ARGS_RUN,
	APP_ARGS_DONE,  /**< --help or --version has been printed */
	APP_ARGS_WRONG, /**< a message has been printed */
};

/** Parse. Needs no EAL. */
enum app_args_result app_args_parse(int argc, char **argv, struct app_args *args);

void app_args_free(struct app_args *args);

#endif

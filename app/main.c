/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet, the program: arguments and configuration are checked before anything is started; then EAL,
 * the library, the ports and connections of the configuration, the workers; then commands; then
 * everything in reverse order.
 */
#include "apply.h"
#include "args.h"
#include "control.h"
#include "shell.h"
#include "telemetry.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zcnet_mempool_guest.h>

/* Say what failed; the library's own sentence where it has one. @return -1 */
static int
fail(const char *what, int ret)
{
	const char *why = zcnet_last_error();

	fprintf(stderr, "zcnet: %s: %s\n", what, why[0] != '\0' ? why : strerror(-ret));
	return -1;
}

static int
library_up(void)
{
	int ret = zcnet_mempool_guest_register();

	if (ret < 0)
		return fail("mempool driver", ret);
	ret = zcnet_init();
	if (ret < 0)
		return fail("start", ret);
	ret = app_telemetry_register();
	return ret < 0 ? fail("telemetry", ret) : 0;
}

/* Ports, connections, workers. Telemetry waits for the end of it. */
static int
bring_up(const struct app_args *args, const struct app_config *config)
{
	char why[APP_ERROR_MAX];
	int ret;

	app_lock();
	ret = app_config_apply(args->config, config, why, sizeof(why));
	if (ret < 0)
		fprintf(stderr, "zcnet: %s\n", why);
	if (ret == 0) {
		ret = zcnet_workers_start();
		if (ret < 0)
			fail("workers", ret);
	}
	app_set_up(true);
	app_unlock();
	return ret;
}

static int
run_actions(struct app_shell *shell, const struct app_args *args)
{
	const struct app_action *action;
	char origin[64];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < args->action_count && ret == 0 && !shell->quit && !app_stopping(); i++) {
		action = &args->actions[i];
		snprintf(origin, sizeof(origin), "-%c '%.50s'", action->file ? 'f' : 'e',
				action->text);
		shell->origin = origin;
		shell->line = 0;
		ret = action->file ? app_shell_file(shell, action->text) :
				     app_shell_line(shell, action->text);
	}
	shell->origin = NULL;
	return ret;
}

static int
run(struct app_shell *shell, const struct app_args *args)
{
	int ret = run_actions(shell, args);

	if (ret < 0 || shell->quit)
		return ret;
	if (args->interactive && isatty(STDIN_FILENO))
		return app_shell_terminal(shell);
	if (args->interactive)
		return app_shell_lines(shell, STDIN_FILENO, "stdin");
	if (args->config != NULL) {
		printf("zcnet %s: running\n", zcnet_version());
		fflush(stdout);
		app_wait(-1, -1);
	}
	return 0;
}

static int
run_with_eal(const struct app_args *args, const struct app_config *config)
{
	char why[APP_ERROR_MAX];
	struct app_shell shell;
	int ret;

	if (app_config_check_workers(args->config, config, why, sizeof(why)) < 0) {
		fprintf(stderr, "zcnet: %s\n", why);
		return -1;
	}
	ret = app_shell_init(&shell);
	if (ret < 0)
		return fail("shell", ret);
	ret = library_up();
	if (ret == 0)
		ret = bring_up(args, config);
	if (ret == 0)
		ret = args->selftest ? app_selftest_run(&args->test) : run(&shell, args);
	app_lock();
	app_set_up(false);
	app_unlock();
	zcnet_fini();
	app_shell_fini(&shell);
	return ret;
}

static int
run_program(char **argv, const struct app_args *args)
{
	struct app_config config = { 0 };
	char why[APP_ERROR_MAX];
	int ret;

	if (args->config != NULL && app_config_load(args->config, &config, why, sizeof(why)) < 0) {
		fprintf(stderr, "zcnet: %s\n", why);
		return -1;
	}
	ret = app_signals_init();
	if (ret < 0)
		return fail("signals", ret);
	if (rte_eal_init(args->eal_argc, argv) < 0) {
		fprintf(stderr, "zcnet: EAL did not start: %s\n", rte_strerror(rte_errno));
		ret = -1;
	} else {
		ret = run_with_eal(args, &config);
		rte_eal_cleanup();
	}
	app_config_free(&config);
	return ret;
}

int
main(int argc, char **argv)
{
	struct app_args args;
	int ret;

	switch (app_args_parse(argc, argv, &args)) {
	case APP_ARGS_DONE:
		return EXIT_SUCCESS;
	case APP_ARGS_WRONG:
		app_args_free(&args);
		return 2;
	default:
		break;
	}
	ret = run_program(argv, &args);
	app_args_free(&args);
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

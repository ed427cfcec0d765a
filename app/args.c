/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments, read before EAL reads its own, so that a mistake costs nothing. */
#include "args.h"

#include "commands.h"

#include <getopt.h>
#include <rte_common.h>
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
		"usage: zcnet [EAL arguments] -- [-c FILE] [-i] [-e 'COMMAND']... [-f FILE]...\n"
		"       zcnet [EAL arguments] -- selftest [-t SECONDS] [DEVICE [KEY VALUE]...]\n"
		"       zcnet --help[=shell|=config] | --version\n"
		"\n"
		"  -c FILE        configuration file; its ports and connections are made first\n"
		"  -e 'COMMAND'   then run a command of the shell\n"
		"  -f FILE        then run the commands of a file; -e and -f in the order given\n"
		"  -i             then the shell; when stdin is no terminal, it is a script\n"
		"  --help=shell   all commands\n"
		"  --help=config  all keys of the configuration file\n"
		"\n"
		"selftest tells whether zero copy holds with this machine's NIC, each way, what\n"
		"limits it and what to change: it sends frames of many sizes out of memory of\n"
		"its own, waits SECONDS (5) for some to come in, and prints figures. DEVICE is a\n"
		"name of DPDK's, by default the first; keys are those of a port of type ethdev.\n"
		"Status 0: it holds both ways; 1: it doesn't, or nothing came in; 2: wrong\n"
		"arguments.\n"
		"\n"
		"With -i it ends with the shell. Without it: with -c it runs until SIGINT or\n"
		"SIGTERM, else it ends after -e and -f. The first thing that fails ends it with\n"
		"a status that is not 0.\n"
		"\n"
		"EAL needs two lcores or more: the first is for control, each other one is a\n"
		"worker that polls. For example:\n"
		"\n"
		"  zcnet -l 0,1 -a 0000:03:00.0 -- selftest\n"
		"  zcnet -l 0,1 -a 0000:03:00.0 -- -c zcnet.conf -i\n";

static void
print_usage(void)
{
	printf("zcnet %s: a zero-copy vSwitch dataplane for KVM guests\n\n%s", zcnet_version(),
			usage);
}

/* --help and --version anywhere, but not as the value of -c, -e or -f. */
static bool
print_wanted(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "-e") == 0 ||
				strcmp(argv[i], "-f") == 0) {
			i++;
		} else if (strcmp(argv[i], "--version") == 0) {
			printf("zcnet %s, %s\n", zcnet_version(), rte_version());
			return true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_usage();
			return true;
		} else if (strncmp(argv[i], "--help=", 7) == 0) {
			if (strcmp(argv[i], "--help=shell") == 0)
				app_help_print("");
			else if (strcmp(argv[i], "--help=config") == 0)
				app_help_print("config");
			else
				print_usage();
			return true;
		}
	}
	return false;
}

static enum app_args_result
wrong(const char *why)
{
	fprintf(stderr,
			"zcnet: %s\nusage: zcnet [EAL arguments] -- [-c FILE] [-i] [-e 'COMMAND'] "
			"[-f FILE]\n"
			"       zcnet [EAL arguments] -- selftest [-t SECONDS] [DEVICE [KEY "
			"VALUE]...]; --help says more\n",
			why);
	return APP_ARGS_WRONG;
}

/* DEVICE KEY VALUE KEY VALUE... */
static enum app_args_result
parse_nic(int argc, char **argv, struct app_port *nic)
{
	struct app_pair pairs[APP_WORDS_MAX / 2] = { { "device", argv[0] } };
	unsigned int n = 1;
	char why[APP_ERROR_MAX];
	int i;

	if (argc == 0)
		return APP_ARGS_RUN;
	if (argc % 2 == 0)
		return wrong("selftest: behind the device there are keys with a value each");
	for (i = 1; i < argc && n < RTE_DIM(pairs); i += 2)
		pairs[n++] = (struct app_pair){ argv[i], argv[i + 1] };
	if (app_keys_set(APP_ETHDEV, nic, pairs, n, why, sizeof(why)) < 0)
		return wrong(why);
	return APP_ARGS_RUN;
}

static enum app_args_result
parse_selftest(int argc, char **argv, struct app_selftest_conf *test)
{
	char *end = "";
	int opt;

	app_port_init(&test->nic, "nic", ZCNET_PORT_ETHDEV);
	test->seconds = 5;
	optind = 1;
	while ((opt = getopt(argc, argv, "+:t:")) != -1) {
		if (opt != 't')
			return wrong("selftest takes -t SECONDS");
		test->seconds = strtoul(optarg, &end, 10);
		if (*end != '\0' || test->seconds == 0 || test->seconds > 3600)
			return wrong("selftest: SECONDS are 1 to 3600");
	}
	return parse_nic(argc - optind, argv + optind, &test->nic);
}

static enum app_args_result
parse_own(int argc, char **argv, struct app_args *args)
{
	int opt;

	optind = 1;
	while ((opt = getopt(argc, argv, "+:c:e:f:i")) != -1) {
		switch (opt) {
		case 'c':
			if (args->config != NULL)
				return wrong("-c is given twice");
			args->config = optarg;
			break;
		case 'e':
		case 'f':
			args->actions[args->action_count++] =
					(struct app_action){ .file = opt == 'f', .text = optarg };
			break;
		case 'i':
			args->interactive = true;
			break;
		case ':':
			return wrong("the last argument needs a value");
		default:
			return wrong("behind '--' there are -c, -e, -f, -i");
		}
	}
	if (optind == 1 && argc > 1 && strcmp(argv[1], "selftest") == 0) {
		args->selftest = true;
		return parse_selftest(argc - 1, argv + 1, &args->test);
	}
	if (optind < argc)
		return wrong("behind '--' there are -c, -e, -f, -i and their values, no other "
			     "words");
	if (args->config == NULL && args->action_count == 0 && !args->interactive)
		return wrong("nothing to do: give -c, -e, -f, -i or selftest");
	return APP_ARGS_RUN;
}

enum app_args_result
app_args_parse(int argc, char **argv, struct app_args *args)
{
	memset(args, 0, sizeof(*args));
	if (print_wanted(argc, argv))
		return APP_ARGS_DONE;
	for (args->eal_argc = 1; args->eal_argc < argc; args->eal_argc++)
		if (strcmp(argv[args->eal_argc], "--") == 0)
			break;
	if (args->eal_argc == argc)
		return wrong("there is no '--' between EAL's arguments and those of zcnet");
	args->actions = calloc(argc, sizeof(*args->actions));
	if (args->actions == NULL)
		return wrong("out of memory");
	return parse_own(argc - args->eal_argc, argv + args->eal_argc, args);
}

void
app_args_free(struct app_args *args)
{
	free(args->actions);
	args->actions = NULL;
}

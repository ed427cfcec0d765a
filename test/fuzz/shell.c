/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shell's parser: any lines, as typed, completed, or loaded from a file. Handlers that would
 * touch the machine are replaced by one that looks at what it was given: every word of the line, in
 * order, and nothing else.
 */
#include <sys/mman.h>
#include <unistd.h>

#include <cmdline.h>

#include "commands.h"
#include "fuzz.h"
#include "shell.h"

#define LINES_MAX 8

static struct app_shell shell;
static char path[64];
static int fd;
static const char *line; /* that is run now; NULL: it comes from a file */

static int
look(struct app_shell *sh, const struct app_words *words)
{
	const char *at = line;
	unsigned int n = app_words_count(words);

	FUZZ_CHECK(sh == &shell && n > 0, "%u words", n);
	for (unsigned int i = 0; i < n && at != NULL; i++) {
		size_t len = strnlen(words->word[i], APP_WORD_MAX);

		at += strspn(at, " \t");
		FUZZ_CHECK(len < APP_WORD_MAX && strncmp(at, words->word[i], len) == 0,
				"word %u isn't the line's", i);
		at += len;
		FUZZ_CHECK(strchr(" \t\r\n", *at) != NULL, "word %u was cut", i);
	}
	if (at != NULL)
		at += strspn(at, " \t");
	FUZZ_CHECK(at == NULL || strchr("#\r\n", *at) != NULL, "'%s' was not parsed", at);
	return 0;
}

/* As "port add" does: everything behind the name and the address is pairs. */
static int
look_at_keys(struct app_shell *sh, const struct app_words *words, enum app_object object)
{
	unsigned int n = app_words_count(words), used = 0;
	struct app_pair pairs[APP_WORDS_MAX];
	char why[APP_ERROR_MAX];
	struct app_port port;

	look(sh, words);
	app_port_init(&port, "p", object == APP_VHOST ? ZCNET_PORT_VHOST : ZCNET_PORT_ETHDEV);
	for (unsigned int i = 4; i + 1 < n; i += 2)
		pairs[used++] = (struct app_pair){ words->word[i], words->word[i + 1] };
	if (app_keys_set(object, &port, pairs, used, why, sizeof(why)) < 0)
		FUZZ_CHECK(why[0] != '\0', "refused without a reason");
	app_name_check(words->word[3], why, sizeof(why));
	return 0;
}

#define LOOK(name) \
	int app_cmd_##name(struct app_shell *sh, const struct app_words *words) \
	{ \
		return look(sh, words); \
	}
/* All of the table but help, load and quit. */
LOOK(show_port)
LOOK(show_caps)
LOOK(show_queue)
LOOK(show_worker)
LOOK(show_mempool)
LOOK(show_conn)
LOOK(show_stats)
LOOK(clear_stats)
LOOK(clear_port)
LOOK(set_port)
LOOK(set_log)
LOOK(port_del)
LOOK(port_start)
LOOK(port_stop)
LOOK(bind)
LOOK(unbind)

int
app_cmd_port_add_vhost(struct app_shell *sh, const struct app_words *words)
{
	return look_at_keys(sh, words, APP_VHOST);
}

int
app_cmd_port_add_ethdev(struct app_shell *sh, const struct app_words *words)
{
	return look_at_keys(sh, words, APP_ETHDEV);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	fd = memfd_create("lines", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* Help and complaints go nowhere; libFuzzer and the sanitizers write to descriptors. */
	stderr = fopen("/dev/null", "w");
	if (fd < 0 || stderr == NULL || freopen("/dev/null", "w", stdout) == NULL ||
			app_shell_init(&shell) < 0)
		abort();
	return 0;
}

static void
complete(const char *text)
{
	char out[64];
	int state = 0;

	for (unsigned int i = 0; i < 100; i++) {
		if (cmdline_complete(shell.cl, text, &state, out, sizeof(out)) <= 0)
			return;
		FUZZ_CHECK(memchr(out, '\0', sizeof(out)) != NULL, "no end");
	}
}

static void
run_lines(char *text)
{
	char *save = NULL;
	unsigned int n = 0;

	for (char *l = strtok_r(text, "\n", &save); l != NULL && n < LINES_MAX;
			l = strtok_r(NULL, "\n", &save), n++) {
		char with_end[8200];

		if (n == 0)
			complete(l);
		snprintf(with_end, sizeof(with_end), "%s\n", l);
		line = with_end;
		app_shell_line(&shell, with_end);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	shell.quit = false;
	shell.origin = "fuzz";
	if (data[0] == '@') {
		line = NULL;
		if (ftruncate(fd, 0) < 0 || pwrite(fd, data + 1, size - 1, 0) < 0)
			abort();
		app_shell_file(&shell, path);
		return 0;
	}
	text = calloc(1, size + 1);
	memcpy(text, data, size);
	run_lines(text);
	free(text);
	return 0;
}

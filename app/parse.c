/* SPDX-License-Identifier: BSD-3-Clause */
/* Tokens of commands: made once, asked for by cmdline, completed from the library's names. */
#include "parse.h"

#include "commands.h"

#include <cmdline.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* hdr is first: cmdline hands it back. */
struct token {
	struct cmdline_token_hdr hdr;
	const char *spec; /* "on|off", "PORT|all" */
	enum app_object keys;
};

struct row {
	const struct app_command *command;
	struct cmdline_inst *inst;
	char *words;           /* the syntax, cut up */
	unsigned int required; /* words in front of the '[' */
	unsigned int group;    /* words between the brackets */
	unsigned int total;    /* most words */
	struct token tokens[APP_WORDS_MAX];
};

static struct app_shell *the_shell;
static struct row *rows;
static cmdline_parse_ctx_t *context;
/* Did the last word that was parsed end its line? Decides whether optional words are asked for. */
static bool at_end;

/* The next of the alternatives "a|b|c", copied. */
static bool
next_alternative(const char **spec, char *text, size_t size)
{
	size_t len = strcspn(*spec, "|");

	if (**spec == '\0')
		return false;
	if (len >= size)
		len = size - 1;
	memcpy(text, *spec, len);
	text[len] = '\0';
	*spec += strcspn(*spec, "|");
	*spec += **spec == '|';
	return true;
}

/* Capitals stand for something else. */
static bool
is_literal(const char *text)
{
	return !isupper((unsigned char)text[0]);
}

static const char *
nth_port(int n)
{
	struct zcnet_port *port = zcnet_port_next(NULL);

	while (port != NULL && n-- > 0)
		port = zcnet_port_next(port);
	return port != NULL ? zcnet_port_name(port) : NULL;
}

static const char *
nth_conn(int n)
{
	static struct zcnet_conn_info info;
	struct zcnet_conn *conn = zcnet_conn_next(NULL);

	while (conn != NULL && n-- > 0)
		conn = zcnet_conn_next(conn);
	return conn != NULL && zcnet_conn_info_get(conn, &info) == 0 ? info.name : NULL;
}

static const char *
nth_key(enum app_object object, int n)
{
	const struct app_key *key = app_keys(object);

	while (key->name != NULL && n-- > 0)
		key++;
	return key->name;
}

/* The nth word that can stand for one alternative; NULL behind the last. */
static const char *
nth_of(const struct token *token, const char *alternative, int n)
{
	if (is_literal(alternative))
		return n == 0 ? alternative : NULL;
	if (strcmp(alternative, "PORT") == 0)
		return nth_port(n);
	if (strcmp(alternative, "CONN") == 0)
		return nth_conn(n);
	if (strcmp(alternative, "KEY") == 0)
		return nth_key(token->keys, n);
	if (strcmp(alternative, "TOPIC") == 0)
		return app_help_topic(n);
	return NULL;
}

/* The nth completion of a token, copied; counts all when text is NULL. */
static int
complete(const struct token *token, int n, char *text, unsigned int size)
{
	const char *spec = token->spec, *word;
	char alternative[64];
	int i, seen = 0;

	while (next_alternative(&spec, alternative, sizeof(alternative)))
		for (i = 0; (word = nth_of(token, alternative, i)) != NULL; i++, seen++) {
			if (text == NULL || seen != n)
				continue;
			if (strlen(word) >= size)
				return -1;
			strcpy(text, word);
			return 0;
		}
	return text == NULL ? seen : -1;
}

static int
complete_count(cmdline_parse_token_hdr_t *hdr)
{
	return complete((const struct token *)hdr, -1, NULL, 0);
}

static int
complete_nth(cmdline_parse_token_hdr_t *hdr, int n, char *text, unsigned int size)
{
	return complete((const struct token *)hdr, n, text, size);
}

static int
token_help(cmdline_parse_token_hdr_t *hdr, char *text, unsigned int size)
{
	strncpy(text, ((const struct token *)hdr)->spec, size - 1);
	text[size - 1] = '\0';
	return 0;
}

/* Does the word stand among the alternatives, or may it be any? */
static bool
accepts(const struct token *token, const char *word, size_t len)
{
	const char *spec = token->spec;
	char alternative[64];

	while (next_alternative(&spec, alternative, sizeof(alternative)))
		if (!is_literal(alternative) ||
				(strlen(alternative) == len && memcmp(alternative, word, len) == 0))
			return true;
	return false;
}

static int
parse_word(cmdline_parse_token_hdr_t *hdr, const char *text, void *result, unsigned int size)
{
	size_t len = 0, end;

	while (!cmdline_isendoftoken(text[len]))
		len++;
	if (len == 0 || len >= APP_WORD_MAX || !accepts((const struct token *)hdr, text, len))
		return -1;
	end = len + strspn(text + len, " \t");
	/*
	 * Without a result it is for completion, and the next word is about to be asked for. The
	 * 0 at the end of the text counts as found.
	 */
	at_end = result != NULL && strchr("#\r\n", text[end]) != NULL;
	if (result != NULL && size < APP_WORD_MAX)
		return -1;
	if (result != NULL) {
		memcpy(result, text, len);
		((char *)result)[len] = '\0';
	}
	return len;
}

static struct cmdline_token_ops word_ops = {
	.parse = parse_word,
	.complete_get_nb = complete_count,
	.complete_get_elt = complete_nth,
	.get_help = token_help,
};

/* Which word of which row an entry of inst->tokens[] is. */
static struct token *
find_token(cmdline_parse_token_hdr_t **entry)
{
	unsigned int i, n;
	struct row *row;

	for (i = 0; i < app_command_count; i++) {
		row = &rows[i];
		if (entry < row->inst->tokens || entry > row->inst->tokens + APP_WORDS_MAX)
			continue;
		n = entry - row->inst->tokens;
		if (n == 0)
			at_end = false;
		if (n >= row->total)
			return NULL;
		if (n >= row->required && at_end &&
				(row->group == 0 || (n - row->required) % row->group == 0))
			return NULL;
		return &row->tokens[n];
	}
	return NULL;
}

/* cmdline's one function: without cl it asks for a token, else the line has been parsed. */
static void
token_or_run(void *result, struct cmdline *cl, void *data)
{
	const struct row *row = data;
	struct token *token;

	if (cl == NULL) {
		token = find_token(data);
		*(cmdline_parse_token_hdr_t **)result = token != NULL ? &token->hdr : NULL;
		return;
	}
	the_shell->status = row->command->run(the_shell, result);
}

/* Words of the syntax become tokens; those of a repeated group as often as there is room. */
static void
compile(struct row *row)
{
	char *save = NULL, *word;
	bool repeat, optional = false;
	unsigned int n = 0;

	repeat = strstr(row->words, "...") != NULL;
	for (word = strtok_r(row->words, " ", &save); word != NULL;
			word = strtok_r(NULL, " ", &save)) {
		optional = optional || word[0] == '[';
		word += word[0] == '[';
		word[strcspn(word, "].")] = '\0';
		row->tokens[n++].spec = word;
		if (optional)
			row->group++;
		else
			row->required++;
	}
	while (repeat && n + row->group <= APP_WORDS_MAX)
		for (unsigned int i = 0; i < row->group; i++, n++)
			row->tokens[n].spec = row->tokens[n - row->group].spec;
	row->total = n;
}

static bool
row_init(struct row *row, const struct app_command *command)
{
	unsigned int i;

	row->command = command;
	row->words = strdup(command->syntax);
	row->inst = calloc(1,
			sizeof(*row->inst) + (APP_WORDS_MAX + 1) * sizeof(row->inst->tokens[0]));
	if (row->words == NULL || row->inst == NULL)
		return false;
	compile(row);
	for (i = 0; i < APP_WORDS_MAX; i++) {
		row->tokens[i].hdr.ops = &word_ops;
		row->tokens[i].hdr.offset = i * APP_WORD_MAX;
		row->tokens[i].keys = command->keys;
	}
	row->inst->f = token_or_run;
	row->inst->data = row;
	row->inst->help_str = command->help;
	return true;
}

cmdline_parse_ctx_t *
app_parse_init(struct app_shell *shell)
{
	unsigned int i;

	the_shell = shell;
	rows = calloc(app_command_count, sizeof(*rows));
	context = calloc(app_command_count + 1, sizeof(*context));
	if (rows == NULL || context == NULL)
		return NULL;
	for (i = 0; i < app_command_count; i++) {
		if (!row_init(&rows[i], &app_commands[i]))
			return NULL;
		context[i] = rows[i].inst;
	}
	return context;
}

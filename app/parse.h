/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the syntax of a command, as help prints it, to the tokens of librte_cmdline.
 *
 *   show          this word            PORT  CONN  KEY   a word; completed from what there is
 *   on|off        one of these         other capitals    a word
 *   [WORD WORD]   may be left out, at the end only; [...]... any number of times
 *
 * The tokens are dynamic: cmdline asks for them one by one, so that one row serves with and without
 * its optional words.
 */
#ifndef APP_PARSE_H
#define APP_PARSE_H

#include "shell.h"

#include <cmdline_parse.h>

/** The instructions of all commands, for cmdline_new(). NULL: out of memory. They run on @p shell.
 */
cmdline_parse_ctx_t *app_parse_init(struct app_shell *shell);

#endif

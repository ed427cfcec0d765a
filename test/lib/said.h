/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cases of zcnet-said: what a front-end, or the guest behind it, may and may not do to a back-end
 * that runs. Each case is one function over a front-end of its own.
 */
#ifndef SAID_H
#define SAID_H

#include "frontend.h"

struct said {
	const char *path;
	struct frontend *fe;
	char why[256];
};

struct said_case {
	const char *name;
	int (*run)(struct said *s); /* 0, or said_fail() */
	const char *text;
};

/** Each list ends with an entry without name. */
extern const struct said_case message_cases[], ring_cases[];

/** Say why. @return -1 */
int said_fail(struct said *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Another front-end instead of the one there is. @return 0, or said_fail() */
int said_create(struct said *s, const struct frontend_conf *conf);

/** Everything said so far has been acted upon: librte_vhost may answer before it acts. */
int said_settle(struct said *s);

/** Connect and start it, receive buffers posted. */
int said_start(struct said *s);

/**
 * Send @p n frames and get the same back: the back-end is bound to something that echoes.
 * @return 0, or said_fail()
 */
int said_echo(struct said *s, unsigned int n);

#endif

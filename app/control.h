/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may go on: the lock that keeps the shell and telemetry apart, and the signals that end the
 * program.
 *
 * libzcnet serialises single calls. A handler makes several, with pointers to ports between them,
 * so the shell and telemetry hold this lock around a whole command.
 */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

#include <stdbool.h>

/**
 * Block SIGINT, SIGTERM and SIGHUP, and wait for them from here on. Before any thread is made:
 * threads inherit what is blocked.
 *
 * @return 0 or -errno
 */
int app_signals_init(void);

/** Has a signal asked the program to end? */
bool app_stopping(void);

/**
 * Wait for input on @p fd (-1: none), a signal, or @p ms (-1: for ever). @return true when there
 * is input
 */
bool app_wait(int fd, int ms);

void app_lock(void);
void app_unlock(void);

/** Take the lock if the library is up. @return false when it isn't; the lock is not taken */
bool app_lock_if_up(void);

/** The library is up, or down from here on. The caller holds the lock. */
void app_set_up(bool up);

#endif

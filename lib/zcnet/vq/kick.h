/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupting a guest. See kick.c. */
#ifndef ZC_VQ_KICK_H
#define ZC_VQ_KICK_H

/** Before the first queue and after the last one. @return 0, -EMFILE. Runs on: control. */
int zc_kick_init(void);
void zc_kick_fini(void);

/**
 * Add 1 to a front-end's eventfd. Runs on: any thread.
 *
 * Never blocks, whatever was done to it, where the kernel has asynchronous requests (CONFIG_AIO,
 * and room below fs.aio-max-nr); elsewhere it is a write, which doesn't block as long as the
 * front-end leaves the file non-blocking.
 */
void zc_kick(int fd);

#endif

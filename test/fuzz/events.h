/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * librte_vhost's event thread without the thread: it goes on when it is told to, until it has
 * nothing more to do. So what a message leads to is there when events_run() is back, nobody waits,
 * and the same messages always meet the same state.
 *
 * A front-end that keeps part of a message to itself isn't waited for: the rest is there, or the
 * time for it counts as over.
 */
#ifndef FUZZ_EVENTS_H
#define FUZZ_EVENTS_H

/** On one thread only. Returns at once while no port has been made. */
void events_run(void);

#endif

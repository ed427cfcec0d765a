/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Publish and quiesce: how control threads take something away from polling workers.
 *
 * Control stores the new state with release order (a NULL pointer, a cleared flag), calls
 * zc_quiesce_wait(), and from then on no worker still uses the old state. Workers report once a
 * turn, when they hold no pointer into control's objects.
 */
#ifndef ZC_CORE_QUIESCE_H
#define ZC_CORE_QUIESCE_H

/** Most workers that report. */
#define ZC_QUIESCE_MAX 128
/** Most readers beside them. */
#define ZC_QUIESCE_READERS 1024

int zc_quiesce_init(void);
void zc_quiesce_fini(void);

/** Runs on: the worker, before its first turn and after its last. @p id 0..ZC_QUIESCE_MAX-1. */
void zc_quiesce_online(unsigned int id);
void zc_quiesce_offline(unsigned int id);

/** Runs on: the worker, between turns. */
void zc_quiesce_report(unsigned int id);

/**
 * @name Lcores that aren't workers, whose program decides when they poll: each says when it begins
 * and when it is through. One at a time for an id.
 */
/**@{*/
/** Runs on: control, lock held. @return an id, or -ENOSPC */
int zc_quiesce_reader_add(void);
/** Runs on: control, lock held. Nobody is inside. */
void zc_quiesce_reader_del(int id);
/** Runs on: any lcore, about 20 cycles for both. */
void zc_quiesce_enter(int id);
void zc_quiesce_leave(int id);
/**@}*/

/**
 * Runs on: control threads. Returns when every online worker has reported since the call, and every
 * reader that was inside has left; bounded by one turn.
 */
void zc_quiesce_wait(void);

#endif

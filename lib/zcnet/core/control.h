/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control plane's one lock, and the one call upwards.
 *
 * Public calls, librte_vhost's callbacks and housekeeping take the lock; workers never do.
 * Whoever holds it must not wait for librte_vhost's event thread (rte_vhost_driver_unregister()
 * does), because that thread may be waiting for the lock.
 */
#ifndef ZC_CORE_CONTROL_H
#define ZC_CORE_CONTROL_H

/** Recursive. */
void zc_control_lock(void);
void zc_control_unlock(void);

/**
 * Tell the highest room, which places streams on workers, that ports, queues or connections
 * changed. Lock held.
 */
void zc_control_changed(void);

/** Who is told. NULL: nobody. */
void zc_control_on_change(void (*changed)(void));

#endif

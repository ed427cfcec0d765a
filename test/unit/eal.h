/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EAL for one test program: no hugepages, no PCI, nothing left behind.
 */
#ifndef UNIT_EAL_H
#define UNIT_EAL_H

#include <rte_mbuf.h>
#include <rte_mempool.h>

/** Group setup and teardown for cmocka. The mempool ops of the page constructor are registered. */
int unit_eal_init(void **state);
int unit_eal_fini(void **state);

/** The two steps of unit_eal_init(). 0 or negative */
int unit_eal_start(void);
int unit_register_ops(void);

/** Host mbufs with @p room data bytes each, from a pool that has no cache. */
struct rte_mempool *unit_host_pool(unsigned int n, uint16_t room);

/** A name that no pool has yet. Valid until the next call. */
const char *unit_pool_name(void);

/** Pretend to be lcore @p id on this thread. */
void unit_be_lcore(unsigned int id);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Quiescent state of the workers, on rte_rcu_qsbr. */
#include "quiesce.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>

#define WAIT_US 20
#define IDS (ZC_QUIESCE_MAX + ZC_QUIESCE_READERS)

static struct rte_rcu_qsbr *qsbr;
static bool reader[ZC_QUIESCE_READERS]; /* control: in use */

int
zc_quiesce_init(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(IDS);

	qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (qsbr == NULL)
		return -ENOMEM;
	return -rte_rcu_qsbr_init(qsbr, IDS);
}

void
zc_quiesce_fini(void)
{
	free(qsbr);
	qsbr = NULL;
}

void
zc_quiesce_online(unsigned int id)
{
	rte_rcu_qsbr_thread_register(qsbr, id);
	rte_rcu_qsbr_thread_online(qsbr, id);
}

void
zc_quiesce_offline(unsigned int id)
{
	rte_rcu_qsbr_thread_offline(qsbr, id);
	rte_rcu_qsbr_thread_unregister(qsbr, id);
}

void
zc_quiesce_report(unsigned int id)
{
	rte_rcu_qsbr_quiescent(qsbr, id);
}

int
zc_quiesce_reader_add(void)
{
	for (int i = 0; i < ZC_QUIESCE_READERS; i++) {
		if (reader[i])
			continue;
		reader[i] = true;
		rte_rcu_qsbr_thread_register(qsbr, ZC_QUIESCE_MAX + i);
		return ZC_QUIESCE_MAX + i;
	}
	return -ENOSPC;
}

void
zc_quiesce_reader_del(int id)
{
	rte_rcu_qsbr_thread_unregister(qsbr, id);
	reader[id - ZC_QUIESCE_MAX] = false;
}

void
zc_quiesce_enter(int id)
{
	rte_rcu_qsbr_thread_online(qsbr, id);
}

void
zc_quiesce_leave(int id)
{
	rte_rcu_qsbr_thread_offline(qsbr, id);
}

void
zc_quiesce_wait(void)
{
	uint64_t token = rte_rcu_qsbr_start(qsbr);

	/* rte_rcu_qsbr_synchronize() spins; a worker may need this very CPU to get on. */
	while (!rte_rcu_qsbr_check(qsbr, token, false))
		usleep(WAIT_US);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EAL for tests, and the few DPDK objects that most of them need.
 */
#include "eal.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_per_lcore.h>

#include "zcnet_mempool_guest.h"

static char runtime_dir[256];

/* One lcore on every CPU we may use, so that threads of a test can spread. */
static void
lcores_arg(char *arg, size_t size)
{
	size_t n = snprintf(arg, size, "0@(");
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	for (int cpu = 0; cpu < RTE_MAX_LCORE && n < size - 8; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			n += snprintf(arg + n, size - n, "%d,", cpu);
	arg[n - 1] = ')';
}

int
unit_eal_start(void)
{
	char prefix[64], lcores[1024];
	char *argv[] = { "test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m",
		"256", "--log-level", "*:error", "--lcores", lcores, prefix };

	lcores_arg(lcores, sizeof(lcores));
	snprintf(prefix, sizeof(prefix), "--file-prefix=unit%d", getpid());
	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		return -1;
	snprintf(runtime_dir, sizeof(runtime_dir), "%s", rte_eal_get_runtime_dir());
	return 0;
}

int
unit_register_ops(void)
{
	return zcnet_mempool_guest_register();
}

int
unit_eal_init(void **state)
{
	(void)state;
	return unit_eal_start() < 0 ? -1 : unit_register_ops();
}

/* EAL leaves its folder, without shared files an empty one. */
int
unit_eal_fini(void **state)
{
	(void)state;
	rte_eal_cleanup();
	rmdir(runtime_dir);
	return 0;
}

struct rte_mempool *
unit_host_pool(unsigned int n, uint16_t room)
{
	return rte_pktmbuf_pool_create(unit_pool_name(), n, 0, 0, RTE_PKTMBUF_HEADROOM + room,
			SOCKET_ID_ANY);
}

const char *
unit_pool_name(void)
{
	static char name[RTE_MEMPOOL_NAMESIZE];
	static unsigned int count;

	snprintf(name, sizeof(name), "unit%u", count++);
	return name;
}

void
unit_be_lcore(unsigned int id)
{
	RTE_PER_LCORE(_lcore_id) = id;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Differences between DPDK 22.11 and 24.11 that the program meets. */
#ifndef APP_COMPAT_H
#define APP_COMPAT_H

#include <rte_telemetry.h>
#include <rte_version.h>

/* 23.03 renamed it. */
static inline int
app_tel_add_uint(struct rte_tel_data *dict, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	return rte_tel_data_add_dict_uint(dict, name, value);
#else
	return rte_tel_data_add_dict_u64(dict, name, value);
#endif
}

#endif

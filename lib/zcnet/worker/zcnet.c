/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's beginning and end. */
#include <zcnet/zcnet.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "../core/quiesce.h"
#include "../guest/lost.h"
#include "../port/host_pool.h"
#include "../vq/kick.h"
#include "worker.h"

static bool ready;

ZC_EXPORT int
zcnet_init(void)
{
	int ret;

	if (ready)
		return 0;
	ret = zc_quiesce_init();
	if (ret < 0)
		return zc_fail(-ret, "out of memory");
	ret = zc_lost_init();
	if (ret < 0) {
		zc_fail(-ret, "SIGBUS: %s", rte_strerror(-ret));
		goto quiesce_fini;
	}
	ret = zc_kick_init();
	if (ret < 0) {
		zc_fail(-ret, "eventfd: %s", rte_strerror(-ret));
		goto lost_fini;
	}
	ret = zc_housekeeping_start();
	if (ret < 0)
		goto kick_fini;
	zc_control_on_change(zc_place);
	ready = true;
	return 0;

kick_fini:
	zc_kick_fini();
lost_fini:
	zc_lost_fini();
quiesce_fini:
	zc_quiesce_fini();
	return ret;
}

ZC_EXPORT void
zcnet_fini(void)
{
	if (!ready)
		return;
	while (zcnet_conn_next(NULL) != NULL)
		zcnet_conn_destroy(zcnet_conn_next(NULL));
	while (zcnet_port_next(NULL) != NULL)
		zcnet_port_destroy(zcnet_port_next(NULL));
	zcnet_workers_stop();
	zc_housekeeping_stop();
	zc_control_on_change(NULL);
	zc_host_pool_fini();
	zc_kick_fini();
	zc_lost_fini();
	zc_quiesce_fini();
	ready = false;
}

ZC_EXPORT const char *
zcnet_version(void)
{
	return ZCNET_VERSION;
}

ZC_EXPORT const char *
zcnet_last_error(void)
{
	return zc_last_error();
}

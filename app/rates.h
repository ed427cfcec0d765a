/* SPDX-License-Identifier: BSD-3-Clause */
/* What happened between two looks at the counters, for rates a second. */
#ifndef APP_RATES_H
#define APP_RATES_H

#include <zcnet/zcnet.h>

/** Growth of one direction of one port. */
struct app_rate {
	char name[ZCNET_NAME_MAX];
	struct zcnet_queue_stats stats[2]; /**< by enum zcnet_dir; counters that grew */
};

/** Is there an earlier look to compare with? */
bool app_rates_known(void);

/**
 * Look at every port now, and compare with the look before.
 *
 * @param seconds receives the time between the two looks; 0 when this is the first
 * @param count receives the number of ports
 * @return an array for free(); NULL: out of memory, or no port
 */
struct app_rate *app_rates_take(double *seconds, unsigned int *count);

/** The counters were cleared: forget the look before. */
void app_rates_clear(void);

#endif

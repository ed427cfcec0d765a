/* SPDX-License-Identifier: BSD-3-Clause */
/* The look before is kept by name: a port that came in the meantime grew from 0. */
#include "rates.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct app_rate *last;
static unsigned int last_count;
static struct timespec last_time;
static bool known;

static struct app_rate *
look(unsigned int *count)
{
	struct zcnet_port *port;
	struct app_rate *rates;
	unsigned int n = 0;

	for (port = zcnet_port_next(NULL); port != NULL; port = zcnet_port_next(port))
		n++;
	rates = calloc(n + 1, sizeof(*rates));
	*count = 0;
	if (rates == NULL)
		return NULL;
	for (port = zcnet_port_next(NULL); port != NULL; port = zcnet_port_next(port), ++*count) {
		strncpy(rates[*count].name, zcnet_port_name(port), ZCNET_NAME_MAX - 1);
		zcnet_port_stats_get(port, ZCNET_RX, &rates[*count].stats[ZCNET_RX]);
		zcnet_port_stats_get(port, ZCNET_TX, &rates[*count].stats[ZCNET_TX]);
	}
	return rates;
}

/* A counter below what it was belongs to a new port of the same name. */
static void
subtract(struct zcnet_queue_stats *now, const struct zcnet_queue_stats *before)
{
	unsigned int i;

	for (i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		if (now->counter[i] >= before->counter[i])
			now->counter[i] -= before->counter[i];
}

static void
subtract_last(struct app_rate *rate)
{
	unsigned int i;

	for (i = 0; i < last_count; i++) {
		if (strcmp(last[i].name, rate->name) != 0)
			continue;
		subtract(&rate->stats[ZCNET_RX], &last[i].stats[ZCNET_RX]);
		subtract(&rate->stats[ZCNET_TX], &last[i].stats[ZCNET_TX]);
		return;
	}
}

bool
app_rates_known(void)
{
	return known;
}

struct app_rate *
app_rates_take(double *seconds, unsigned int *count)
{
	struct app_rate *now = look(count), *grown;
	struct timespec time;
	unsigned int i;

	clock_gettime(CLOCK_MONOTONIC, &time);
	*seconds = known ? (time.tv_sec - last_time.tv_sec) +
					(time.tv_nsec - last_time.tv_nsec) / 1e9 :
			   0;
	grown = calloc(*count + 1, sizeof(*grown));
	if (now == NULL || grown == NULL) {
		free(now);
		free(grown);
		return NULL;
	}
	memcpy(grown, now, *count * sizeof(*now));
	for (i = 0; i < *count; i++)
		subtract_last(&grown[i]);
	free(last);
	last = now;
	last_count = *count;
	last_time = time;
	known = true;
	return grown;
}

void
app_rates_clear(void)
{
	free(last);
	last = NULL;
	last_count = 0;
	known = false;
}

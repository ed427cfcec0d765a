/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics: the library's counters under ethdev's names, and all of them as xstats. */
#include <stdio.h>
#include <string.h>

#include "net_zcnet.h"

#define COUNTERS ZCNET_QUEUE_COUNTER_COUNT
#define XSTATS (2 * COUNTERS)

static uint64_t
dropped(const struct zcnet_queue_stats *stats)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < COUNTERS; i++)
		if (strncmp(zcnet_queue_counter_name(i), "drop_", 5) == 0)
			n += stats->counter[i];
	return n;
}

static void
queue_stats(const struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_stats *stats)
{
	struct zcnet_queue_stats rx, tx;

	if (zcnet_queue_stats_get(net_device(dev)->port, ZCNET_RX, queue, &rx) < 0 ||
			zcnet_queue_stats_get(net_device(dev)->port, ZCNET_TX, queue, &tx) < 0)
		return;
	stats->ipackets += rx.counter[ZCNET_Q_frames];
	stats->ibytes += rx.counter[ZCNET_Q_bytes];
	stats->rx_nombuf += rx.counter[ZCNET_Q_drop_no_mbuf];
	stats->ierrors += dropped(&rx) - rx.counter[ZCNET_Q_drop_no_mbuf];
	stats->opackets += tx.counter[ZCNET_Q_frames];
	stats->obytes += tx.counter[ZCNET_Q_bytes];
	stats->oerrors += dropped(&tx);
	if (queue >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	stats->q_ipackets[queue] = rx.counter[ZCNET_Q_frames];
	stats->q_ibytes[queue] = rx.counter[ZCNET_Q_bytes];
	stats->q_opackets[queue] = tx.counter[ZCNET_Q_frames];
	stats->q_obytes[queue] = tx.counter[ZCNET_Q_bytes];
}

int
net_zcnet_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	for (uint16_t i = 0; i < net_device(dev)->queues; i++)
		queue_stats(dev, i, stats);
	return 0;
}

int
net_zcnet_stats_reset(struct rte_eth_dev *dev)
{
	zcnet_port_stats_clear(net_device(dev)->port);
	return 0;
}

int
net_zcnet_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n)
{
	(void)dev;
	for (unsigned int i = 0; names != NULL && i < RTE_MIN(n, XSTATS); i++)
		snprintf(names[i].name, sizeof(names[i].name), "%s_zcnet_%s",
				i < COUNTERS ? "rx" : "tx", zcnet_queue_counter_name(i % COUNTERS));
	return XSTATS;
}

int
net_zcnet_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	struct zcnet_queue_stats stats[2];

	if (n < XSTATS)
		return XSTATS;
	zcnet_port_stats_get(net_device(dev)->port, ZCNET_RX, &stats[0]);
	zcnet_port_stats_get(net_device(dev)->port, ZCNET_TX, &stats[1]);
	for (unsigned int i = 0; i < XSTATS; i++) {
		xstats[i].id = i;
		xstats[i].value = stats[i / COUNTERS].counter[i % COUNTERS];
	}
	return XSTATS;
}

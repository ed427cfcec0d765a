/* SPDX-License-Identifier: BSD-3-Clause */
/* Shares and means. */
#include "figures.h"

#include <stdio.h>
#include <string.h>

uint64_t
app_counter_sum(const struct zcnet_queue_stats *stats, const char *prefix)
{
	size_t len = strlen(prefix);
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < ZCNET_QUEUE_COUNTER_COUNT; i++)
		if (strncmp(zcnet_queue_counter_name(i), prefix, len) == 0)
			sum += stats->counter[i];
	return sum;
}

uint64_t
app_frames_offered(const struct zcnet_queue_stats *stats)
{
	return stats->counter[ZCNET_Q_frames] + app_counter_sum(stats, "drop_");
}

uint64_t
app_ppm(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (uint64_t)((double)part * 1e6 / whole);
}

uint64_t
app_mean(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (part + whole / 2) / whole;
}

/* Cut rather than rounded: what is shown as 99.00 is at least 99. */
const char *
app_percent(uint64_t part, uint64_t whole, char text[static 16])
{
	uint64_t hundredths = app_ppm(part, whole) / 100;

	if (whole == 0)
		return "-";
	if (hundredths == 0 && part != 0)
		return "<0.01";
	snprintf(text, 16, "%u.%02u", (unsigned int)(hundredths / 100) % 1000,
			(unsigned int)(hundredths % 100));
	return text;
}

const char *
app_zc_percent(const struct zcnet_queue_stats *stats, char text[static 16])
{
	uint64_t zc = stats->counter[ZCNET_Q_zc_frames];

	if (stats->counter[ZCNET_Q_frames] != 0 && zc + app_counter_sum(stats, "copy_") == 0)
		return "-";
	return app_percent(zc, app_frames_offered(stats), text);
}

const char *
app_type_name(enum zcnet_port_type type)
{
	return type == ZCNET_PORT_VHOST ? "vhost" : "ethdev";
}

const char *
app_dir_name(enum zcnet_dir dir)
{
	return dir == ZCNET_RX ? "rx" : "tx";
}

const char *
app_rx_full_name(enum zcnet_rx_full rx_full)
{
	return rx_full == ZCNET_RX_FULL_WAIT ? "wait" : "drop";
}

const char *
app_mac(const uint8_t mac[6], char text[static 18])
{
	static const uint8_t none[6];

	if (memcmp(mac, none, sizeof(none)) == 0)
		return "-";
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
			mac[5]);
	return text;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures made of counters: shares, means. Shell and telemetry show the same ones. */
#ifndef APP_FIGURES_H
#define APP_FIGURES_H

#include <zcnet/zcnet.h>

/** Sum of the counters whose names begin with @p prefix: "drop_", "copy_". */
uint64_t app_counter_sum(const struct zcnet_queue_stats *stats, const char *prefix);

/** Frames offered: moved and dropped. */
uint64_t app_frames_offered(const struct zcnet_queue_stats *stats);

/** @p part of @p whole in millionths, 0 of nothing. */
uint64_t app_ppm(uint64_t part, uint64_t whole);

/** @p part a @p whole, rounded, 0 of nothing. */
uint64_t app_mean(uint64_t part, uint64_t whole);

/** "99.98", "-" of nothing: a share in percent, for a column. 100 is exact, and so is 0. */
const char *app_percent(uint64_t part, uint64_t whole, char text[static 16]);

/**
 * Share of frames offered that went without a copy, for a column; "-" where the library says of no
 * frame whether it was copied, as for a NIC's queues: the guest's have it.
 */
const char *app_zc_percent(const struct zcnet_queue_stats *stats, char text[static 16]);

/** "vhost", "ethdev" */
const char *app_type_name(enum zcnet_port_type type);

/** "rx", "tx" */
const char *app_dir_name(enum zcnet_dir dir);

/** "drop", "wait" */
const char *app_rx_full_name(enum zcnet_rx_full rx_full);

/** "52:54:00:00:00:01", "-" of none */
const char *app_mac(const uint8_t mac[6], char text[static 18]);

#endif

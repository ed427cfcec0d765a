/* SPDX-License-Identifier: BSD-3-Clause */
/* show port, show port caps. */
#include "columns.h"
#include "commands.h"
#include "figures.h"

#include <errno.h>
#include <rte_common.h>
#include <stdio.h>
#include <string.h>

/* What the switch does without a copy through this port: into it, out of it. */
static const char *
zerocopy_text(const struct zcnet_port_info *info)
{
	if (info->zerocopy_rx && info->zerocopy_tx)
		return "both ways";
	if (info->type == ZCNET_PORT_VHOST)
		return info->zerocopy_tx ? "from guest" : "no";
	return info->zerocopy_tx ? "send" : info->zerocopy_rx ? "receive" : "no";
}

static void
add_port(struct app_columns *c, const struct zcnet_port_info *info)
{
	app_cell(c, "%s", info->name);
	app_cell(c, "%s", app_type_name(info->type));
	app_cell(c, "%s", info->started ? "started" : "stopped");
	app_cell(c, "%s", info->link_up ? "up" : "down");
	app_cell(c, "%u/%u", info->queues_used, info->queues);
	app_cell(c, "%s", zerocopy_text(info));
	app_cell(c, "%s", info->type == ZCNET_PORT_VHOST ? info->path : info->device);
	app_cell(c, "%s", info->note[0] != '\0' ? info->note : "-");
}

static int
show_ports(void)
{
	static const char *const heads[] = { "<port", "<type", "<state", "<link", "queues",
		"<zero copy", "<where", "<note" };
	struct zcnet_port_info info;
	struct zcnet_port *port;
	struct app_columns c;

	app_columns_init(&c, heads, RTE_DIM(heads));
	for (port = zcnet_port_next(NULL); port != NULL; port = zcnet_port_next(port))
		if (zcnet_port_info_get(port, &info) == 0)
			add_port(&c, &info);
	app_columns_print(&c);
	return 0;
}

static void
print_features(uint64_t features)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{ 0, "CSUM" },
		{ 1, "GUEST_CSUM" },
		{ 3, "MTU" },
		{ 5, "MAC" },
		{ 7, "GUEST_TSO4" },
		{ 8, "GUEST_TSO6" },
		{ 11, "HOST_TSO4" },
		{ 12, "HOST_TSO6" },
		{ 15, "MRG_RXBUF" },
		{ 16, "STATUS" },
		{ 17, "CTRL_VQ" },
		{ 21, "GUEST_ANNOUNCE" },
		{ 22, "MQ" },
		{ 26, "LOG_ALL" },
		{ 28, "INDIRECT_DESC" },
		{ 29, "EVENT_IDX" },
		{ 30, "PROTOCOL_FEATURES" },
		{ 32, "VERSION_1" },
		{ 33, "ACCESS_PLATFORM" },
		{ 34, "RING_PACKED" },
		{ 35, "IN_ORDER" },
	};
	unsigned int i;

	printf("  features       0x%lx", features);
	for (i = 0; i < RTE_DIM(names); i++)
		if ((features & (UINT64_C(1) << names[i].bit)) != 0)
			printf(" %s", names[i].name);
	printf("\n");
}

static void
print_vhost(const struct zcnet_port_info *info)
{
	printf("  socket         %s, zcnet %s\n", info->path,
			info->client ? "connects" : "listens");
	printf("  guest          %s, %u of %u queue pairs in use, rings of %u\n",
			info->link_up ? "ready" : "not there", info->queues_used, info->queues,
			info->ring_size);
	print_features(info->features);
	printf("  threshold      %u bytes, shorter frames are copied\n", info->threshold);
	printf("  header-bytes   %u copied in front of the payload\n", info->header_bytes);
	printf("  out-max        %u guest buffers a queue\n", info->out_max);
	printf("  rx-full        %s\n", app_rx_full_name(info->rx_full));
}

static void
print_ethdev(const struct zcnet_port_info *info)
{
	char mac[18];

	printf("  device         %s, driver %s, DPDK port %u, NUMA node %d\n", info->device,
			info->driver, info->port_id, info->socket);
	printf("  link           %s, %u Mbit/s\n", info->link_up ? "up" : "down", info->link_mbps);
	printf("  mac            %s\n", app_mac(info->mac, mac));
	printf("  mtu            %u bytes\n", info->mtu);
	printf("  split-bytes    %u copied when a frame is delivered\n", info->split_bytes);
	printf("  queues         %u, descriptors rx %u, tx %u\n", info->queues, info->rx_desc,
			info->tx_desc);
}

static int
show_one(const struct zcnet_port *port)
{
	struct zcnet_port_info info;
	int ret = zcnet_port_info_get(port, &info);

	if (ret < 0)
		return ret;
	printf("%s: %s, %s\n", info.name, app_type_name(info.type),
			info.started ? "started" : "stopped");
	if (info.type == ZCNET_PORT_VHOST)
		print_vhost(&info);
	else
		print_ethdev(&info);
	printf("  zerocopy       %s; now: %s%s%s\n", info.zerocopy ? "on" : "off",
			zerocopy_text(&info), info.note[0] != '\0' ? "; " : "", info.note);
	return 0;
}

/* show port PORT caps */
int
app_cmd_show_caps(struct app_shell *shell, const struct app_words *words)
{
	static const char *const heads[] = { "<what", "<driver", "<zcnet" };
	const struct zcnet_port *port = app_find_port(shell, words->word[2]);
	struct zcnet_cap cap[ZCNET_CAPS_MAX];
	struct app_columns c;
	int n;

	if (port == NULL)
		return -ENOENT;
	n = zcnet_port_caps_get(port, cap);
	if (n < 0)
		return app_complain(shell, "%s", zcnet_last_error());
	app_columns_init(&c, heads, RTE_DIM(heads));
	for (int i = 0; i < n; i++) {
		app_cell(&c, "%s", cap[i].name);
		app_cell(&c, "%s", cap[i].value);
		app_cell(&c, "%s", cap[i].use[0] != '\0' ? cap[i].use : "-");
	}
	app_columns_print(&c);
	return 0;
}

/* show port [PORT|all] */
int
app_cmd_show_port(struct app_shell *shell, const struct app_words *words)
{
	const char *name = words->word[2];
	struct zcnet_port *port;

	if (name[0] == '\0' || strcmp(name, "all") == 0)
		return show_ports();
	port = app_find_port(shell, name);
	return port != NULL ? show_one(port) : -ENOENT;
}

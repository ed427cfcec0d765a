/* SPDX-License-Identifier: BSD-3-Clause */
/* Every command: syntax (see parse.h), handler, section of the help, and what it does. */
#include "commands.h"

#include <rte_common.h>

const struct app_command app_commands[] = {
	{ "help [TOPIC]...", app_cmd_help, "program",
			"Explain everything, a section, a command, or the keys of the "
			"configuration (config)." },
	{ "load FILE", app_cmd_load, "program",
			"Run the commands of a file; the first that fails ends it." },
	{ "quit", app_cmd_quit, "program", "End the program; every guest is told." },

	{ "show port [PORT|all]", app_cmd_show_port, "show",
			"Ports, their links and settings; all of one port when it is named." },
	{ "show port PORT caps", app_cmd_show_caps, "show",
			"What a NIC's driver is known for, and what zcnet makes of it; which "
			"guests' buffers are received into." },
	{ "show queue [PORT|all]", app_cmd_show_queue, "show",
			"Counters of each queue, guest buffers out, and every reason to copy, "
			"drop or wait." },
	{ "show stats [rate]", app_cmd_show_stats, "show",
			"Frames, bytes, and the share of frames offered, drops included, that "
			"went without a copy (zc). "
			"With rate: a second, since the last time or over one second." },
	{ "show conn [CONN]", app_cmd_show_conn, "show",
			"Connections: their ports, streams and workers." },
	{ "show worker", app_cmd_show_worker, "show",
			"Workers: cycles a frame (TSC, of turns that did anything), frames a "
			"burst, idle share." },
	{ "show mempool", app_cmd_show_mempool, "show",
			"Buffer pools and how much of them is in use." },

	{ "clear stats", app_cmd_clear_stats, "set",
			"Forget the counters and peaks of all ports and workers." },
	{ "clear port PORT", app_cmd_clear_port, "set",
			"Forget the counters and peaks of one port." },
	{ "set port PORT threshold|header-bytes|zerocopy|rx-full VALUE", app_cmd_set_port, "set",
			"Change a running port; the values are those of the configuration "
			"(help config)." },
	{ "set log error|warning|notice|info|debug", app_cmd_set_log, "set",
			"What zcnet writes to the log: this level and the graver ones; notice "
			"to begin with." },

	{ "port add vhost NAME path PATH [KEY VALUE]...", app_cmd_port_add_vhost, "port",
			"Create a guest port and offer its socket.", APP_VHOST },
	{ "port add ethdev NAME device DEVICE [KEY VALUE]...", app_cmd_port_add_ethdev, "port",
			"Create a NIC port over a device and start it.", APP_ETHDEV },
	{ "port del PORT", app_cmd_port_del, "port",
			"Stop a port and remove it; unbind it first." },
	{ "port start PORT", app_cmd_port_start, "port", "Start a stopped port." },
	{ "port stop PORT", app_cmd_port_stop, "port",
			"Stop moving frames through a port; every guest buffer goes back to "
			"its guest." },

	{ "bind NAME PORT PORT [KEY VALUE]...", app_cmd_bind, "connection",
			"Connect two ports; mac, vlan: of a guest that shares its NIC with "
			"others.",
			APP_CONNECT },
	{ "unbind CONN", app_cmd_unbind, "connection", "Remove a connection; its ports stay." },
};

const unsigned int app_command_count = RTE_DIM(app_commands);

/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver table. File and line are of DPDK 22.11. */
#include "driver.h"

#include <stddef.h>
#include <string.h>

static const struct zc_driver drivers[] = {
	{
			/*
		 * drivers/net/tap/rte_eth_tap.c: tx writev()s and frees in the burst
		 * (tap_write_mbufs, 590). rx keeps a chain of mbufs and puts new ones at its
		 * head (pmd_rx_burst, 480-486): in order only with one descriptor. Without
		 * RX_OFFLOAD_SCATTER one iovec takes the frame (446).
		 */
			.name = "net_tap",
			.tx_attach = true,
			.rx_arm = true,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 64,
			.rx_desc = 1,
	},
	{
			/*
			 * drivers/net/null/rte_eth_null.c: eth_null_tx frees in the burst
			 * (192), eth_null_rx allocates in it (93).
			 */
			.name = "net_null",
			.tx_attach = true,
			.rx_arm = true,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1024,
	},
	{
			/*
		 * drivers/net/af_packet/rte_eth_af_packet.c: eth_af_packet_tx copies every
		 * segment to the kernel's ring and frees (251-262). eth_af_packet_rx puts a
		 * stripped VLAN tag back with rte_vlan_insert() (158), which refuses mbufs with
		 * external buffers.
		 */
			.name = "net_af_packet",
			.tx_attach = true,
			.rx_arm = false,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1024,
	},
	{
			/*
		 * drivers/net/ring/rte_eth_ring.c: mbufs are handed over as they are and come
		 * back when the other side frees them; stopping returns nothing. What it
		 * receives lies in whatever the other side sent.
		 */
			.name = "net_ring",
			.tx_attach = true,
			.rx_arm = false,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1024,
			.note = "stopping the port doesn't give buffers back",
	},
	{
			/*
		 * drivers/net/e1000/em_rxtx.c: receive ring first-in first-out, one mbuf replaced a
		 * frame (eth_em_recv_pkts, 690); em_rctl_bsize() (1610) rounds down to powers of
		 * two. Transmit frees when a slot is used again (529); with tx_rs_thresh 1 each
		 * frame's last descriptor tells when it is done (eth_em_tx_descriptor_status).
		 */
			.name = "net_e1000_em",
			.tx_attach = true,
			.rx_arm = true,
			.dma = true,
			.tx_done = ZC_DONE_STATUS,
			.grain = ZC_GRAIN_POWER,
			.segs_max = 64,
			.tx_rs_thresh = 1,
	},
	{
			/*
		 * drivers/net/vmxnet3/vmxnet3_rxtx.c: two command rings filled at start
		 * (vmxnet3_dev_rxtx_init, 1300); frames that fit one buffer use the first, in
		 * order. vmxnet3_xmit_pkts() frees what is done before it sends (411).
		 */
			.name = "net_vmxnet3",
			.tx_attach = true,
			.rx_arm = true,
			.dma = true,
			.second_ring = true,
			.tx_done = ZC_DONE_EMPTY,
			.segs_max = 16,
	},
};

const struct zc_driver *
zc_driver_find(const char *name)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(drivers[i].name, name) == 0)
			return &drivers[i];
	return NULL;
}

uint32_t
zc_driver_capacity(const struct zc_driver *driver, uint32_t frame)
{
	uint32_t size = 2048;

	if (driver->grain == ZC_GRAIN_BYTE)
		return frame;
	while (size < frame)
		size *= 2;
	return size;
}

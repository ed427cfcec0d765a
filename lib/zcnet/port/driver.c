/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver table. File and line are of DPDK 22.11.11, below drivers/net.
 *
 * The transmit paths of e1000, ixgbe, i40e, ice and iavf free an mbuf when its ring slot is used
 * again, and write "done" back every tx_rs_thresh descriptors. With 1 each frame reports, so that
 * the last one before silence does too, and the driver chooses its full path: the vector paths have
 * no cleanup.
 */
#include "driver.h"

#include <stddef.h>
#include <string.h>

#include <rte_ether.h>

#include "../core/compat.h"

/*
 * ixgbe, i40e and ice: cleanup walks from the slot after the tail up to the tail, and so misses one
 * mbuf when the ring was once around since the last cleanup. The status of the last descriptor is
 * asked first; cleanup clears it.
 */
#define STATUS_AND_CLEANUP (ZC_DONE_STATUS | ZC_DONE_CLEANUP)

/*
 * mlx5.c, 52 and 55: several frames into one buffer of its own, and writes that are padded to a
 * cache line, past the frame. Both are off unless asked for.
 */
static const char *const mlx5_refused[] = { "mprq_en", "rxq_pkt_pad_en", NULL };

static const struct zc_driver drivers[] = {
	/*
	 * tap/rte_eth_tap.c: tx writev()s and frees in the burst (tap_write_mbufs, 590). rx
	 * keeps a chain of mbufs and puts new ones at its head (pmd_rx_burst, 480-486): in order
	 * only with one descriptor. Without RX_OFFLOAD_SCATTER one iovec takes the frame (446).
	 * rx_queue_stop (1964) frees nothing.
	 */
	{ .name = "net_tap",
			.proven = true,
			.steer = ZC_STEER_FLOW,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 64,
			.segs_tso = 64,
			.rx_desc = 1 },
	/*
	 * af_packet/rte_eth_af_packet.c: eth_af_packet_tx copies every segment to the kernel's
	 * ring and frees (251-262). eth_af_packet_rx puts a stripped VLAN tag back with
	 * rte_vlan_insert() (158).
	 */
	{ .name = "net_af_packet",
			.proven = true,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1024,
			.segs_tso = 1024,
			.no_rx = "it puts VLAN tags back with a call that refuses guest buffers" },
	/*
	 * af_xdp/rte_eth_af_xdp.c: af_xdp_tx_zc copies an mbuf of another pool as if it were one
	 * segment, and frees it (545-570). What it receives into is the pool's own memory,
	 * registered with the kernel at start (1123).
	 */
	{ .name = "net_af_xdp",
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1,
			.segs_tso = 1,
			.no_rx = "the kernel receives into memory that is registered at start" },
	/*
	 * null/rte_eth_null.c: eth_null_tx frees in the burst (192), eth_null_rx allocates in it
	 * (93).
	 */
	{ .name = "net_null",
			.proven = true,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1024,
			.segs_tso = 1024 },
	/*
	 * ring/rte_eth_ring.c: mbufs are handed over as they are and come back when the other
	 * side frees them; stopping returns nothing.
	 */
	{ .name = "net_ring",
			.proven = true,
			.tx_done = ZC_DONE_IN_BURST,
			.segs_max = 1024,
			.segs_tso = 1024,
			.rx_order = ZC_RX_FOREIGN,
			.note = "stopping the port doesn't give buffers back" },
	/*
	 * e1000/em_rxtx.c: first-in first-out, one mbuf replaced a frame (eth_em_recv_pkts,
	 * 690); em_rctl_bsize() (1617) rounds down to powers of two. Transmit frees when a slot
	 * is used again (529), and there is no cleanup: eth_em_tx_descriptor_status() (1540).
	 * Short frames are padded by the NIC (TCTL_PSP, 1962). No queue stop:
	 * em_dev_clear_queues() (1567) at port stop.
	 */
	{ .name = "net_e1000_em",
			.proven = true,
			.dma = true,
			.tx_done = ZC_DONE_STATUS,
			.tx_rs_thresh = 1,
			.segs_max = 64,
			.segs_tso = 64,
			.grain = ZC_GRAIN_POWER },
	/*
	 * e1000/igb_rxtx.c: first-in first-out, one mbuf replaced a frame (eth_igb_recv_pkts,
	 * 805); SRRCTL counts buffers in KB (2404). Each frame reports (599). Never
	 * igb_tx_done_cleanup() (1292): it makes every descriptor of a frame its own last (1351),
	 * and eth_igb_xmit_pkts() (479) then waits for ever for one in the middle to be done.
	 * IGB_TX_MAX_MTU_SEG 255 (e1000_ethdev.h, 130). Short frames are padded by the NIC
	 * (TCTL_PSP, 2615). No queue stop: igb_dev_clear_queues() (1843) at port stop.
	 * igb_flow.c's ethertype filter matches no MAC. VMDq: igb_vmdq_rx_hw_configure() (2131);
	 * a pool's first queue has the pool's number; it takes VLAN tags out of frames.
	 */
	{ .name = "net_e1000_igb",
			.proven = true,
			.dma = true,
			.steer = ZC_STEER_VMDQ,
			.vmdq_gap = 1,
			.tx_done = ZC_DONE_STATUS,
			.tx_rs_thresh = 1,
			.segs_max = 255,
			.segs_tso = 255,
			.grain = ZC_GRAIN_1K },
	/*
	 * vmxnet3/vmxnet3_rxtx.c: two command rings filled at start (vmxnet3_dev_rxtx_init,
	 * 1304); frames that fit one buffer use the first, in order. vmxnet3_xmit_pkts() frees
	 * what is done before it sends (411); 16 segments without segmentation (362).
	 */
	{ .name = "net_vmxnet3",
			.proven = true,
			.dma = true,
			.tx_done = ZC_DONE_EMPTY,
			.segs_max = 16,
			.segs_tso = 255,
			.second_ring = true },
	/*
	 * ixgbe/ixgbe_rxtx.c: first-in first-out (ixgbe_recv_pkts, 1871; 32 at a time in
	 * ixgbe_rx_alloc_bufs, 1642); SRRCTL counts buffers in KB (5144). ixgbe_xmit_cleanup()
	 * (565), ixgbe_tx_done_cleanup_full() (2354), ixgbe_dev_tx_descriptor_status() (3311).
	 * IXGBE_TX_MAX_SEG 40, IXGBE_TX_MIN_PKT_LEN 14 (ixgbe_rxtx.h, 54). Queue stop:
	 * ixgbe_ethdev.c (517). IXGBE_LPBK_TX_RX (ixgbe_ethdev.h, 69): all but 82598
	 * (ixgbe_rxtx.c, 5275). VMDq: 64 pools of two queues.
	 */
	{ .name = "net_ixgbe",
			.dma = true,
			.queue_stop = true,
			.loopback = true,
			.steer = ZC_STEER_FLOW | ZC_STEER_VMDQ,
			.vmdq_gap = 2,
			.tx_done = STATUS_AND_CLEANUP,
			.tx_rs_thresh = 1,
			.segs_max = 40,
			.segs_tso = 40,
			.grain = ZC_GRAIN_1K },
	/*
	 * i40e/i40e_rxtx.c: first-in first-out (i40e_recv_pkts, 750; 32 at a time, 597); buffers
	 * in steps of 128 (2924). i40e_xmit_cleanup() (383), i40e_tx_done_cleanup_full() (2666),
	 * i40e_dev_tx_descriptor_status() (2210). I40E_TX_MAX_MTU_SEG 8, I40E_TX_MIN_PKT_LEN 17
	 * (i40e_rxtx.h, 37-39): more or less stops the queue (malicious driver detection). Queue
	 * stop: i40e_ethdev.c (474). I40E_AQ_LB_MODE_EN: i40e_ethdev.c (2424). VMDq's pools have
	 * queues behind all of the host's: not used.
	 */
	{ .name = "net_i40e",
			.dma = true,
			.queue_stop = true,
			.loopback = true,
			.steer = ZC_STEER_FLOW,
			.tx_done = STATUS_AND_CLEANUP,
			.tx_rs_thresh = 1,
			.segs_max = 8,
			.segs_tso = 255,
			.tx_min = 17,
			.grain = ZC_GRAIN_128 },
	/*
	 * ice/ice_rxtx.c: first-in first-out (ice_recv_pkts, 2559; 64 at a time, 1870); buffers
	 * in steps of 128, rounded down since 22.11.3 (262). ice_xmit_cleanup() (2817),
	 * ice_tx_done_cleanup_full() (3197), ice_tx_descriptor_status() (2334).
	 * ICE_TX_MTU_SEG_MAX 8, ICE_TX_MIN_PKT_LEN 17 (ice_rxtx.h, 46-59). Queue stop:
	 * ice_ethdev.c (225). Split: each frame takes a buffer of both pools (1906, 2599), but
	 * without a protocol the queue isn't started (297). By protocol, a NIC may put what doesn't
	 * match into the last pool whole (rte_ethdev.h, 1031-1042), and which frames with VLAN tags
	 * match is said nowhere. The size of the last pool's buffers is taken from the first (260).
	 */
	{ .name = "net_ice",
			.dma = true,
			.queue_stop = true,
			.steer = ZC_STEER_FLOW,
			.tx_done = STATUS_AND_CLEANUP,
			.tx_rs_thresh = 1,
			.segs_max = 8,
			.segs_tso = 255,
			.tx_min = 17,
			.grain = ZC_GRAIN_128,
			.no_split = "by protocol: what doesn't match would be the guest's whole" },
	/*
	 * iavf/iavf_rxtx.c: first-in first-out (iavf_recv_pkts, 1386; 32 at a time, 2204);
	 * buffers in steps of 128 (659). iavf_tx_done_cleanup_full() (3311) begins at the tail
	 * and misses nothing. IAVF_TX_MAX_MTU_SEG 8, IAVF_TX_MIN_PKT_LEN 17 (iavf_rxtx.h,
	 * 59-61). Queue stop: iavf_ethdev.c (216).
	 */
	{ .name = "net_iavf",
			.dma = true,
			.queue_stop = true,
			.steer = ZC_STEER_FLOW,
			.tx_done = ZC_DONE_CLEANUP,
			.tx_rs_thresh = 1,
			.segs_max = 8,
			.segs_tso = 255,
			.tx_min = 17,
			.grain = ZC_GRAIN_128 },
	/*
	 * mlx5: mlx5_rx.c replaces one mbuf a frame, first-in first-out (mlx5_rx_burst, 1006),
	 * and finds the NIC's key by the buffer's address (mlx5_mr_mb2mr_bh in
	 * common/mlx5/mlx5_common_mr.c). mlx5_tx.h asks for a completion when 32 mbufs were sent
	 * since the last (mlx5_tx_request_completion, 730). Segments: mlx5_ethdev.c (299), from
	 * the device. Queue stop: mlx5.c (2241). Split: rx-desc counts both segments, each of which
	 * is replaced from its own pool when it was used (1006). A frame that ends in the first
	 * leaves the second for the ring's next round (1079, 1095), which is out of order: so the
	 * first is shorter than any frame on the wire. The second is written from its offset on, as
	 * far as its length, without a headroom of its own (mlx5_rxq.c, 1796-1816).
	 */
	{ .name = "mlx5_pci",
			.dma = true,
			.own_map = true,
			.queue_stop = true,
			.steer = ZC_STEER_FLOW,
			.refused_args = mlx5_refused,
			.no_tx = "the last 31 buffers wait until more is sent",
			.tx_done = 0,
			.segs_max = 40,
			.segs_tso = 40,
			.split_max = RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN - 1 },
	/*
	 * virtio/virtio_rxtx.c: the device writes its header in front of the frame (330);
	 * transmit frees only when its ring is nearly full (virtio_xmit_pkts), has no cleanup
	 * and no status.
	 */
	{ .name = "net_virtio",
			.dma = true,
			.no_tx = "it doesn't tell of finished transmits in silence",
			.tx_done = 0,
			.segs_max = 64,
			.segs_tso = 64,
			.rx_before = 12 },
	/*
	 * ena/ena_ethdev.c: buffers come back by number, in any order (empty_rx_reqs, 1668);
	 * ena_tx_cleanup() (3036) frees all that is done. ENA_PKT_MAX_BUFS 17 (ena_ethdev.h,
	 * 28).
	 */
	{ .name = "net_ena",
			.dma = true,
			.tx_done = ZC_DONE_CLEANUP,
			.segs_max = 17,
			.segs_tso = 17,
			.rx_order = ZC_RX_UNORDERED },
};

const struct zc_driver *
zc_driver_find(const char *name)
{
	for (size_t i = 0; i < RTE_DIM(drivers); i++)
		if (strcmp(drivers[i].name, name) == 0)
			return &drivers[i];
	return NULL;
}

bool
zc_driver_sends(const struct zc_driver *driver)
{
	return driver != NULL && driver->tx_done != 0 && driver->no_tx == NULL;
}

bool
zc_driver_arms(const struct zc_driver *driver)
{
	return driver != NULL && driver->no_rx == NULL && driver->rx_order == ZC_RX_FIFO &&
			driver->rx_before == 0;
}

uint32_t
zc_driver_capacity(const struct zc_driver *driver, uint32_t frame)
{
	/* With room for a second VLAN tag and the CRC, drivers chain no buffers. */
	uint32_t most = frame + 8;

	switch (driver->grain) {
	case ZC_GRAIN_BYTE:
		break;
	case ZC_GRAIN_128:
		return RTE_ALIGN_CEIL(most, 128);
	case ZC_GRAIN_1K:
		return RTE_ALIGN_CEIL(most, 1024);
	case ZC_GRAIN_POWER:
		return RTE_MAX(rte_align32pow2(most), 2048u);
	}
	return frame;
}

uint32_t
zc_driver_usable(const struct zc_driver *driver, uint32_t bytes)
{
	switch (driver->grain) {
	case ZC_GRAIN_BYTE:
		break;
	case ZC_GRAIN_128:
		return RTE_ALIGN_FLOOR(bytes, 128);
	case ZC_GRAIN_1K:
		return RTE_ALIGN_FLOOR(bytes, 1024);
	case ZC_GRAIN_POWER:
		return bytes > 0 ? rte_align32prevpow2(bytes) : 0;
	}
	return bytes;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* A NIC's row of the driver table in words, and what this port makes of it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <zcnet/caps.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/export.h"
#include "ethdev.h"

struct list {
	struct zcnet_cap *cap;
	int n;
};

/* The next entry, with its value; what zcnet does is written by use(). */
static void __rte_format_printf(3, 4) add(struct list *list, const char *name, const char *fmt, ...)
{
	struct zcnet_cap *cap = &list->cap[list->n++];
	va_list ap;

	cap->name = name;
	cap->use[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(cap->value, sizeof(cap->value), fmt, ap);
	va_end(ap);
}

static void __rte_format_printf(2, 3) use(struct list *list, const char *fmt, ...)
{
	struct zcnet_cap *cap = &list->cap[list->n - 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cap->use, sizeof(cap->use), fmt, ap);
	va_end(ap);
}

static const char *
refusal(const struct ethdev_port *ep)
{
	return !ep->port.zerocopy ? "zerocopy = off" : ep->refused;
}

static void
add_driver(struct list *list, const struct ethdev_port *ep)
{
	const struct zc_driver *driver = ep->driver;

	add(list, "driver", "%s", ep->dev_info.driver_name);
	if (driver == NULL)
		use(list, "not in the driver table: copies both ways");
	else if (driver->proven)
		use(list, "run by zcnet's tests");
	else
		use(list, "from the driver's source alone, run by no test: compare payloads first");
	add(list, "dma", "%s", driver == NULL ? "-" : driver->dma ? "yes" : "no");
	if (driver != NULL && driver->dma)
		use(list, "%s",
				driver->own_map ? "guest memory is not registered with it: copies" :
						  "guest memory is mapped in VFIO's container");
}

static void
add_done(struct list *list, const struct zc_driver *driver)
{
	static const struct {
		enum zc_tx_done bit;
		const char *text;
	} ways[] = {
		{ ZC_DONE_IN_BURST, "in the burst" },
		{ ZC_DONE_STATUS, "descriptor_status" },
		{ ZC_DONE_CLEANUP, "done_cleanup" },
		{ ZC_DONE_EMPTY, "empty burst" },
	};
	char text[48] = "";
	size_t at = 0;

	for (size_t i = 0; i < RTE_DIM(ways); i++)
		if (driver->tx_done & ways[i].bit)
			at += snprintf(text + at, sizeof(text) - at, "%s%s", at > 0 ? ", " : "",
					ways[i].text);
	add(list, "tx_done", "%s", at > 0 ? text : "not told");
	if (driver->tx_done & ZC_DONE_IN_BURST)
		use(list, "nothing to ask");
	else if (at > 0)
		use(list, "asked every 100 us while buffers are out%s",
				driver->tx_rs_thresh == 1 ? "; tx_rs_thresh 1" : "");
}

static void
add_transmit(struct list *list, const struct ethdev_port *ep)
{
	const struct zc_driver *driver = ep->driver;
	bool sends = zc_driver_sends(driver);
	struct zc_port_takes takes;

	ep->port.ops->takes(&ep->port, &takes);
	add(list, "tx", "%s", takes.attached ? "from guest memory" : "copies");
	if (!takes.attached)
		use(list, "%s", sends ? refusal(ep) : driver->no_tx);
	add_done(list, driver);
	add(list, "tx_segments", "%u, %u with segmentation", driver->segs_max, driver->segs_tso);
	use(list, "frames of more than %u are copied, of more copies dropped", takes.segs_max);
	add(list, "tx_shortest", "%u bytes", RTE_MAX(driver->tx_min, RTE_ETHER_HDR_LEN));
	use(list,
			driver->tx_min > 0 ? "shorter frames are copied and padded" :
					     "shorter frames are dropped");
	add(list, "tx_fast_free", "%s",
			ep->dev_info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE ?
					"offered" :
					"not offered");
	use(list, "never enabled: it puts mbufs back that still point at guest memory");
}

static void
add_guest(struct list *list, const struct ethdev_port *ep, const char *name, uint32_t bytes,
		const char *who)
{
	uint32_t need = zc_ethdev_capacity(ep), usable = zc_ethdev_usable(ep, bytes);

	add(list, name, "%u bytes, %u usable", bytes, usable);
	if (!zc_ethdev_can_arm(ep))
		use(list, "copied: %s", who);
	else
		use(list, "%s: %s", usable >= need ? "in place" : "copied", who);
}

static void
add_guests(struct list *list, const struct ethdev_port *ep)
{
	add_guest(list, ep, "guest_mergeable", 1524, "Linux, mergeable buffers (the default)");
	add_guest(list, ep, "guest_small", 1518, "Linux, mrg_rxbuf=off");
	add_guest(list, ep, "guest_big", 4064, "Linux, guest-tso = on and mergeable = off");
	add_guest(list, ep, "guest_dpdk", 2048, "DPDK, mbufs of 2048 bytes");
}

static void
add_receive(struct list *list, const struct ethdev_port *ep)
{
	static const char *const orders[] = { [ZC_RX_FIFO] = "first in, first out",
		[ZC_RX_UNORDERED] = "any",
		[ZC_RX_FOREIGN] = "others' buffers" };
	static const char *const grains[] = { [ZC_GRAIN_BYTE] = "1 byte",
		[ZC_GRAIN_128] = "128 bytes",
		[ZC_GRAIN_1K] = "1024 bytes",
		[ZC_GRAIN_POWER] = "powers of two" };
	const struct zc_driver *driver = ep->driver;
	bool arms = zc_ethdev_can_arm(ep);

	add(list, "rx", "%s", arms ? "into guest memory" : "copies");
	if (!arms)
		use(list, "%s",
				zc_driver_arms(driver) ? refusal(ep) :
						driver->no_rx != NULL ?
							 driver->no_rx :
							 "by its order or bytes in front");
	add(list, "rx_order", "%s", orders[driver->rx_order]);
	use(list, driver->rx_order == ZC_RX_FIFO ? "in step with the guest's ring" : "never armed");
	add(list, "rx_steps", "%s", grains[driver->grain]);
	use(list, "at MTU %u: guest buffers of %u bytes and more, behind the header", ep->mtu,
			zc_ethdev_capacity(ep));
	add(list, "rx_before", "%u bytes", driver->rx_before);
	if (driver->rx_before > 0)
		use(list, "never armed: it writes in front of the frame");
	add(list, "rx_scatter", "%s",
			ep->dev_info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER ? "offered" :
										    "not offered");
	if (!arms)
		use(list, "used for long frames");
	else
		use(list, "%s: one buffer holds %s", ep->port.split > 0 ? "on" : "off",
				ep->port.split > 0 ? "the rest of a frame" : "a frame");
	add(list, "rx_rings", "%u of %u", driver->second_ring ? 2 : 1, ep->rx_desc);
	use(list,
			driver->second_ring                 ? "the second gets host buffers" :
					driver->rx_desc > 0 ? "no other number is in order" :
							      "fewer than the guest's ring has");
	add_guests(list, ep);
}

static void
add_split(struct list *list, const struct ethdev_port *ep)
{
	const struct zc_driver *driver = ep->driver;
	bool offered = ep->dev_info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;

	if (driver->split_max > 0 && zc_ethdev_splits(ep))
		add(list, "split", "at up to %u bytes",
				RTE_MIN(driver->split_max, ZCNET_SPLIT_MAX));
	else
		add(list, "split", "%s", offered ? "offered" : "not offered");
	if (ep->port.split > 0)
		use(list, "the first %u bytes are copied from the host's memory", ep->port.split);
	else if (offered && driver->no_split != NULL)
		use(list, "not used: %s", driver->no_split);
	else
		use(list, "not used%s", driver->split_max > 0 ? ": split-bytes = 0" : "");
}

static void
add_queues(struct list *list, const struct ethdev_port *ep)
{
	static const char *const ways[] = { "none known", "rte_flow", "VMDq", "rte_flow, VMDq" };

	add(list, "queue_stop", "%s", ep->driver->queue_stop ? "yes" : "no");
	use(list,
			ep->driver->queue_stop ? "a queue is stopped to get receive buffers back" :
						 "the port is stopped to get buffers back");
	add_split(list, ep);
	add(list, "steering", "%s", ways[ep->driver->steer & 3]);
	use(list, "%s",
			ep->driver->steer != 0 && ep->driver->proven ?
					"guests that share the NIC have queues of their own" :
					"guests that share the NIC receive copies");
	add(list, "loopback", "%s", ep->driver->loopback ? "yes" : "not known");
	if (ep->driver->loopback)
		use(list, "loopback = on: it receives what it sends, for tests");
}

ZC_EXPORT int
zcnet_port_caps_get(const struct zcnet_port *port, struct zcnet_cap caps[ZCNET_CAPS_MAX])
{
	const struct ethdev_port *ep = (const struct ethdev_port *)(const void *)port;
	struct list list = { .cap = caps };

	if (port->type != ZCNET_PORT_ETHDEV)
		return zc_fail(ENOTSUP, "port %s: capabilities are those of a NIC", port->name);
	zc_control_lock();
	add_driver(&list, ep);
	if (ep->driver != NULL) {
		add_transmit(&list, ep);
		add_receive(&list, ep);
		add_queues(&list, ep);
	}
	zc_control_unlock();
	return list.n;
}

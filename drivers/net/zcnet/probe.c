/* SPDX-License-Identifier: BSD-3-Clause */
/* Devargs, probe, remove. */
#include <errno.h>
#include <stdlib.h>

#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_kvargs.h>

#include <zcnet_mempool_guest.h>

#include "net_zcnet.h"

RTE_LOG_REGISTER(net_zcnet_logtype, pmd.net.zcnet, NOTICE);

static const char *const keys[] = { "iface", "queues", "client", "threshold", "copy", NULL };

struct number {
	unsigned long min, max, value;
};

static int
take_text(const char *key, const char *value, void *arg)
{
	if (value == NULL || value[0] == '\0') {
		NET_LOG(ERR, "%s= needs a value", key);
		return -EINVAL;
	}
	*(const char **)arg = value;
	return 0;
}

static int
take_number(const char *key, const char *value, void *arg)
{
	struct number *number = arg;
	char *end;

	if (value == NULL)
		value = "";
	errno = 0;
	number->value = strtoul(value, &end, 10);
	if (errno == 0 && end != value && *end == '\0' && value[0] != '-' &&
			number->value >= number->min && number->value <= number->max)
		return 0;
	NET_LOG(ERR, "%s=%s: a number from %lu to %lu is needed", key, value, number->min,
			number->max);
	return -EINVAL;
}

static int
parse(struct rte_kvargs *args, struct zcnet_vhost_conf *conf)
{
	struct number queues = { 1, ZCNET_QUEUES_MAX, conf->queues };
	struct number client = { 0, 1, conf->client };
	struct number threshold = { 0, UINT16_MAX, conf->threshold };
	struct number copy = { 0, 1, !conf->zerocopy };

	if (rte_kvargs_process(args, "iface", take_text, &conf->path) < 0 ||
			rte_kvargs_process(args, "queues", take_number, &queues) < 0 ||
			rte_kvargs_process(args, "client", take_number, &client) < 0 ||
			rte_kvargs_process(args, "threshold", take_number, &threshold) < 0 ||
			rte_kvargs_process(args, "copy", take_number, &copy) < 0)
		return -EINVAL;
	if (conf->path == NULL) {
		NET_LOG(ERR, "%s: iface=SOCKET is needed", conf->name);
		return -EINVAL;
	}
	conf->queues = queues.value;
	conf->client = client.value;
	conf->threshold = threshold.value;
	conf->zerocopy = !copy.value;
	/* What doesn't fit stays the application's, as with any NIC. */
	conf->rx_full = ZCNET_RX_FULL_WAIT;
	return 0;
}

/* The port behind the ethdev, stopped. */
static int
open_port(struct rte_eth_dev *dev, const struct zcnet_vhost_conf *conf)
{
	struct net_device *net = net_device(dev);

	net->port = zcnet_port_vhost_create(conf);
	if (net->port == NULL)
		return -rte_errno;
	zcnet_port_stop(net->port);
	net->poll = zcnet_poll_open(net->port, net_zcnet_changed, dev);
	if (net->poll == NULL) {
		int ret = -rte_errno;

		zcnet_port_destroy(net->port);
		return ret;
	}
	return 0;
}

static int
create(struct rte_vdev_device *vdev, const struct zcnet_vhost_conf *conf)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct net_device));
	struct net_device *net;
	int ret;

	if (dev == NULL)
		return -ENOMEM;
	net = net_device(dev);
	net->queues = conf->queues;
	rte_eth_random_addr(net->mac.addr_bytes);
	dev->data->mac_addrs = &net->mac;
	dev->data->promiscuous = 1;
	dev->data->all_multicast = 1;
	dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	dev->dev_ops = &net_zcnet_ops;
	dev->rx_pkt_burst = net_zcnet_rx;
	dev->tx_pkt_burst = net_zcnet_tx;
	ret = open_port(dev, conf);
	if (ret < 0) {
		dev->data->mac_addrs = NULL; /* part of dev_private */
		rte_eth_dev_release_port(dev);
		return ret;
	}
	net_zcnet_link_update(dev, 0);
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int
probe(struct rte_vdev_device *vdev)
{
	struct zcnet_vhost_conf conf;
	struct rte_kvargs *args;
	int ret;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		NET_LOG(ERR, "%s: guest memory is mapped in the primary process alone",
				rte_vdev_device_name(vdev));
		return -ENOTSUP;
	}
	ret = zcnet_mempool_guest_register();
	if (ret == 0)
		ret = zcnet_init();
	if (ret < 0)
		return ret;
	args = rte_kvargs_parse(rte_vdev_device_args(vdev), keys);
	if (args == NULL) {
		NET_LOG(ERR, "%s: %s: keys are iface, queues, client, threshold, copy",
				rte_vdev_device_name(vdev), rte_vdev_device_args(vdev));
		return -EINVAL;
	}
	zcnet_vhost_conf_init(&conf);
	conf.name = rte_vdev_device_name(vdev);
	ret = parse(args, &conf);
	if (ret == 0)
		ret = create(vdev, &conf);
	rte_kvargs_free(args);
	return ret;
}

static int
unplug(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return 0; /* closed already */
	net_zcnet_close(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver net_zcnet_driver = {
	.probe = probe,
	.remove = unplug,
};

RTE_PMD_REGISTER_VDEV(net_zcnet, net_zcnet_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_zcnet,
		"iface=<path> queues=<1-16> client=<0|1> threshold=<bytes> copy=<0|1>");

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devargs, probe, remove, and the driver table as zcnet sees it here.
 *
 *   row=NAME      a row of zcnet's table; the device says that this is its driver
 *   or dma= own-map= queue-stop= done= rs= segs= tx-min= order= grain= before= second= rxdesc=
 *   steer=        a row of its own, which zcnet is given; known=0: zcnet has no row for it
 *   split=        see enum split; with a row of its own, that says how far too
 *   share=        so many guests; vlan= of the first of them
 *   the rest      what no row says, see struct traits, and the frames
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include <ethdev_vdev.h>
#include <rte_kvargs.h>

#include <zcnet/port.h>

#include "model.h"

#define LOGGED_MAX 5
#define SHORTEST_FRAME 60 /* on a wire, without CRC */

struct model *models;
uint64_t violations[VIOLATIONS];

static const char *const violation_text[] = {
#define X(name, text) text,
	MODEL_VIOLATIONS(X)
#undef X
};

static struct {
	struct rte_vdev_driver driver;
	struct zc_driver row;
	char name[RTE_ETH_NAME_MAX_LEN];
	bool known;
} alias[RTE_MAX_ETHPORTS];

void
violation(const struct model *model, enum violation what, const char *format, ...)
{
	char text[128];
	va_list ap;

	if (__atomic_fetch_add(&violations[what], 1, __ATOMIC_RELAXED) >= LOGGED_MAX)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fprintf(stderr, "VIOLATION: %s: %s: %s\n", model->data->name, violation_text[what], text);
}

/* ---- rows ---- */

const struct zc_driver *__wrap_zc_driver_find(const char *name);
const struct zc_driver *__real_zc_driver_find(const char *name);

const struct zc_driver *
__wrap_zc_driver_find(const char *name)
{
	for (unsigned int i = 0; i < RTE_DIM(alias); i++)
		if (strcmp(alias[i].name, name) == 0)
			return alias[i].known ? &alias[i].row : NULL;
	return __real_zc_driver_find(name);
}

const struct rte_driver *
model_alias(const struct rte_eth_dev *dev)
{
	return &alias[dev->data->port_id].driver.driver;
}

/* ---- devargs ---- */

struct args {
	const char *row, *order, *grain, *refill, *split;
	uint64_t dma, own_map, queue_stop, done, rs, segs, tx_min, before, second, rxdesc, known;
	uint64_t steer, share, vlan, rules, spread;
	uint64_t engine_frees, keeps_rx, keeps_tx, scatter, lsc, batch, delay;
	uint64_t seed, plan, peer, min, max;
};

#define TEXT(key, field) \
	{ \
		key, offsetof(struct args, field), true \
	}
#define NUMBER(key, field) \
	{ \
		key, offsetof(struct args, field), false \
	}

static const struct {
	const char *key;
	size_t at;
	bool text;
} keys[] = {
	TEXT("row", row),
	TEXT("order", order),
	TEXT("grain", grain),
	TEXT("refill", refill),
	TEXT("split", split),
	NUMBER("dma", dma),
	NUMBER("own-map", own_map),
	NUMBER("queue-stop", queue_stop),
	NUMBER("done", done),
	NUMBER("tx-min", tx_min),
	NUMBER("before", before),
	NUMBER("second", second),
	NUMBER("rs", rs),
	NUMBER("segs", segs),
	NUMBER("rxdesc", rxdesc),
	NUMBER("known", known),
	NUMBER("steer", steer),
	NUMBER("share", share),
	NUMBER("vlan", vlan),
	NUMBER("rules", rules),
	NUMBER("spread", spread),
	NUMBER("engine-frees", engine_frees),
	NUMBER("keeps-rx", keeps_rx),
	NUMBER("keeps-tx", keeps_tx),
	NUMBER("scatter", scatter),
	NUMBER("lsc", lsc),
	NUMBER("batch", batch),
	NUMBER("delay", delay),
	NUMBER("seed", seed),
	NUMBER("plan", plan),
	NUMBER("peer", peer),
	NUMBER("min", min),
	NUMBER("max", max),
};

static int
set(const char *key, const char *value, void *opaque)
{
	for (size_t i = 0; i < RTE_DIM(keys); i++) {
		char *at = (char *)opaque + keys[i].at, *end = NULL;

		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (value == NULL)
			return -EINVAL;
		if (keys[i].text) {
			*(const char **)(void *)at = value;
			return 0;
		}
		*(uint64_t *)(void *)at = strtoull(value, &end, 0);
		return *end == '\0' ? 0 : -EINVAL;
	}
	fprintf(stderr, "net_model: unknown key %s\n", key);
	return -EINVAL;
}

/* Which of the words @value is. */
static int
word(const char *value, const char *const *words, int n)
{
	for (int i = 0; value != NULL && i < n; i++)
		if (strcmp(value, words[i]) == 0)
			return i;
	return 0;
}

static enum split
split_of(const struct args *a)
{
	static const char *const splits[] = { "none", "empty", "kept", "protocol" };

	return word(a->split, splits, RTE_DIM(splits));
}

static int
make_row(const struct args *a, const char *device, uint16_t port_id)
{
	static const char *const orders[] = { "fifo", "unordered", "foreign" };
	static const char *const grains[] = { "byte", "128", "1k", "power" };
	struct zc_driver *row = &alias[port_id].row;

	if (a->row != NULL) {
		const struct zc_driver *real = __real_zc_driver_find(a->row);

		if (real == NULL) {
			fprintf(stderr, "net_model: zcnet has no row %s\n", a->row);
			return -EINVAL;
		}
		*row = *real;
		snprintf(alias[port_id].name, sizeof(alias[port_id].name), "%s", a->row);
	} else {
		*row = (struct zc_driver){
			.dma = a->dma,
			.own_map = a->own_map,
			.queue_stop = a->queue_stop,
			.steer = a->steer,
			.vmdq_gap = 1,
			.tx_done = a->done,
			.tx_rs_thresh = a->rs,
			.segs_max = a->segs,
			/* Nobody tells but the row. */
			.tx_min = a->known ? a->tx_min : 0,
			.rx_order = word(a->order, orders, RTE_DIM(orders)),
			.grain = word(a->grain, grains, RTE_DIM(grains)),
			.rx_before = a->before,
			.second_ring = a->second,
			.rx_desc = a->rxdesc,
			.split_max = split_of(a) == SPLIT_EMPTY   ? ZCNET_SPLIT_MAX :
					split_of(a) == SPLIT_KEPT ? SHORTEST_FRAME - 1 :
								    0,
		};
		snprintf(alias[port_id].name, sizeof(alias[port_id].name), "of_%.32s", device);
	}
	row->name = alias[port_id].name;
	row->proven = true; /* it is being */
	alias[port_id].known = a->known;
	return 0;
}

static void
make_model(struct model *model, const struct args *a)
{
	static const char *const refills[] = { "one", "32", "64", "all", "ring" };

	model->traits = (struct traits){
		.refill = word(a->refill, refills, RTE_DIM(refills)),
		.split = split_of(a),
		/* Who needs no asking. */
		.engine_frees = a->engine_frees && (model->row->tx_done & ZC_DONE_IN_BURST),
		.keeps_rx = a->keeps_rx,
		.keeps_tx = a->keeps_tx,
		.scatter = a->scatter,
		.lsc = a->lsc,
		.spread = a->spread,
		.rules = a->rules,
		.batch = RTE_MAX(a->batch, 1),
		.delay_us = a->delay,
	};
	model->seed = a->seed;
	model->len_max = a->max;
}

/* A guest is 02:00:00:00:01:N, its frames are of the seeds plus N. */
static void
make_guest_wire(struct model *model, const struct args *a, unsigned int i)
{
	struct wire *wire = &model->wire[i];

	wire->plan.seed += i;
	wire->peer.seed += i;
	wire->plan.dst = (struct frame_mac){ { 2, 0, 0, 0, 1, i } };
	if (i == model->guests)
		memset(&wire->plan.dst, 0xff, sizeof(wire->plan.dst));
	wire->peer.dst = wire->plan.dst;
	/* So that no guest takes a broadcast for one of its own frames. */
	wire->tag = i < model->guests ? 0 : MODEL_QUEUES_MAX;
	wire->vlan = i == 0 ? a->vlan : 0;
}

static int
make_wires(struct model *model, const struct args *a)
{
	const struct frame_plan plan = { .seed = a->plan,
		.len_min = a->min,
		.len_max = a->max,
		.dst = { { 2, 0, 0, 0, 0, 2 } },
		.src = { { 2, 0, 0, 0, 0, 1 } } };
	int ret = 0;

	if (a->share > MODEL_GUESTS_MAX)
		return -EINVAL;
	model->guests = a->share;
	for (unsigned int i = 0; i < MODEL_WIRES_MAX && ret == 0; i++) {
		struct wire *wire = &model->wire[i];

		wire->plan = wire->peer = plan;
		wire->peer.seed = a->peer;
		wire->tag = i;
		if (model->guests > 0)
			make_guest_wire(model, a, i);
		ret = checker_init(&wire->checker, &wire->peer, MODEL_QUEUES_MAX, 0);
	}
	return ret;
}

/* ---- probe and remove ---- */

static struct rte_vdev_driver net_model_driver;

static int
add(struct rte_eth_dev *dev, const struct args *a)
{
	struct model *model = model_of(dev);
	uint16_t port_id = dev->data->port_id;
	int ret = make_row(a, dev->data->name, port_id);

	if (ret < 0)
		return ret;
	alias[port_id].driver = net_model_driver;
	alias[port_id].driver.driver.name = alias[port_id].name;
	model->data = dev->data;
	model->row = &alias[port_id].row;
	model->known = a->known;
	make_model(model, a);
	ret = make_wires(model, a);
	if (ret < 0)
		return ret;
	engine_lock();
	model->next = models;
	models = model;
	engine_unlock();
	return 0;
}

void
model_forget(struct model *model)
{
	struct model **at = &models;

	engine_lock();
	while (*at != NULL && *at != model)
		at = &(*at)->next;
	if (*at != NULL)
		*at = model->next;
	engine_unlock();
	for (unsigned int i = 0; i < MODEL_WIRES_MAX; i++)
		checker_fini(&model->wire[i].checker);
}

static int
create(struct rte_vdev_device *vdev, const struct args *a)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct model));
	struct model *model;
	int ret;

	if (dev == NULL)
		return -ENOMEM;
	model = model_of(dev);
	rte_eth_random_addr(model->mac[0].addr_bytes);
	dev->data->mac_addrs = model->mac;
	dev->data->dev_flags |= a->lsc ? RTE_ETH_DEV_INTR_LSC : 0;
	dev->dev_ops = &model_ops;
	dev->rx_pkt_burst = model_rx;
	dev->tx_pkt_burst = model_tx;
	dev->tx_descriptor_status = model_tx_status;
	ret = add(dev, a);
	if (ret < 0) {
		dev->data->mac_addrs = NULL; /* part of dev_private */
		rte_eth_dev_release_port(dev);
		return ret;
	}
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int
probe(struct rte_vdev_device *vdev)
{
	struct args args = { .known = 1, .scatter = 1, .min = 60, .max = 1514, .rules = 64 };
	struct rte_kvargs *kvargs = rte_kvargs_parse(rte_vdev_device_args(vdev), NULL);
	int ret;

	if (kvargs == NULL)
		return -EINVAL;
	ret = rte_kvargs_process(kvargs, NULL, set, &args);
	iommu_init();
	if (ret == 0)
		ret = ask_init();
	if (ret == 0)
		ret = engine_start();
	if (ret == 0)
		ret = create(vdev, &args);
	rte_kvargs_free(kvargs);
	return ret;
}

static int
unplug(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return 0; /* closed already */
	model_close(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver net_model_driver = {
	.probe = probe,
	.remove = unplug,
	.dma_map = iommu_own_map,
	.dma_unmap = iommu_own_unmap,
};

RTE_PMD_REGISTER_VDEV(net_model, net_model_driver);

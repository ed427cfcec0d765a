/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telemetry, for the test:
 *
 *   /model/info,NAME            what came over the cables of a device, and all violations
 *   /model/set,NAME,KEY,VALUE   KEY: frames, word, stall-tx, stall-rx, refuse, link-down, reset (it
 *                               asks for one); on one that guests share frames are each guest's,
 *                               and there are broadcasts, strangers, mislead (the strangers); of
 *                               the cable N alone: wordN, macN (a guest's number), vlanN
 */
#include <errno.h>
#include <stdlib.h>

#include <rte_telemetry.h>

#include "compat.h"
#include "model.h"

static struct rte_eth_dev *
device(const char *name)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(name);

	return dev != NULL && dev->dev_ops == &model_ops ? dev : NULL;
}

static void
add_sums(struct rte_tel_data *d, const struct model *model)
{
	struct wire sum = { 0 };

	for (unsigned int i = 0; i < MODEL_WIRES_MAX; i++) {
		const struct wire *w = &model->wire[i];

		sum.seen += w->seen;
		sum.checker.lost += w->checker.lost;
		sum.checker.reordered += w->checker.reordered;
		sum.tx_flushed += w->tx_flushed;
		sum.seq += w->seq - (w->len > 0);
		sum.rx_flushed += w->rx_flushed;
		sum.oversize += w->oversize;
		sum.no_mbuf += w->no_mbuf;
		sum.bounced += w->bounced;
	}
	app_tel_add_uint(d, "tx_frames", sum.seen);
	app_tel_add_uint(d, "tx_lost", sum.checker.lost);
	app_tel_add_uint(d, "tx_reordered", sum.checker.reordered);
	app_tel_add_uint(d, "tx_flushed", sum.tx_flushed);
	app_tel_add_uint(d, "rx_frames", sum.seq);
	app_tel_add_uint(d, "rx_flushed", sum.rx_flushed);
	app_tel_add_uint(d, "rx_oversize", sum.oversize);
	app_tel_add_uint(d, "rx_no_mbuf", sum.no_mbuf);
	app_tel_add_uint(d, "rx_bounced", sum.bounced);
	app_tel_add_uint(d, "rules", steer_rules(model));
	app_tel_add_uint(d, "starts", model->starts);
	app_tel_add_uint(d, "resets", model->resets);
}

static int
info(const char *command, const char *params, struct rte_tel_data *d)
{
	const struct rte_eth_dev *dev = params != NULL ? device(params) : NULL;

	(void)command;
	if (dev == NULL)
		return -ENODEV;
	rte_tel_data_start_dict(d);
	engine_lock();
	add_sums(d, model_of(dev));
	engine_unlock();
#define X(name, text) app_tel_add_uint(d, #name, violations[VIOLATION_##name]);
	MODEL_VIOLATIONS(X)
#undef X
	return 0;
}

/* @n cables from number @first on send so many. */
static int
set_frames(struct model *model, unsigned int first, unsigned int n, uint64_t frames)
{
	for (unsigned int i = first; i < first + n; i++)
		__atomic_store_n(&model->wire[i].frames, frames, __ATOMIC_RELAXED);
	return 0;
}

/* A frame that waits on the cable is of what was before. */
static void
set_word(struct wire *wire, uint32_t word)
{
	wire->word = word;
	wire->len = 0;
}

static int
set_words(struct model *model, uint32_t word)
{
	engine_lock();
	for (unsigned int i = 0; i < MODEL_WIRES_MAX; i++)
		set_word(&model->wire[i], word);
	engine_unlock();
	return 0;
}

/* A key that ends with the number of a cable. */
static bool
set_wire(struct model *model, const char *key, uint64_t value)
{
	size_t len = strcspn(key, "0123456789");
	unsigned int number = (unsigned int)(key[len] - '0');
	struct wire *wire = &model->wire[number];
	bool known = true;

	if (key[len] == '\0' || number >= MODEL_WIRES_MAX)
		return false;
	engine_lock();
	if (strncmp(key, "word", len) == 0)
		set_word(wire, (uint32_t)value);
	else if (strncmp(key, "mac", len) == 0)
		wire->plan.dst.byte[5] = (uint8_t)value;
	else if (strncmp(key, "vlan", len) == 0)
		wire->vlan = (uint16_t)value;
	else
		known = false;
	engine_unlock();
	return known;
}

static int
apply(struct rte_eth_dev *dev, const char *key, uint64_t value)
{
	struct model *model = model_of(dev);
	const struct {
		const char *key;
		bool *flag;
	} flags[] = {
		{ "stall-tx", &model->stall_tx },
		{ "stall-rx", &model->stall_rx },
		{ "refuse", &model->refuse },
		{ "link-down", &model->link_down },
		{ "mislead", &model->mislead },
	};

	if (strcmp(key, "word") == 0)
		return set_words(model, (uint32_t)value);
	if (set_wire(model, key, value))
		return 0;
	if (strcmp(key, "frames") == 0)
		return set_frames(model, 0, model->guests > 0 ? model->guests : MODEL_QUEUES_MAX,
				value);
	if (strcmp(key, "reset") == 0)
		return rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_RESET, NULL);
	if (strcmp(key, "broadcasts") == 0 && model->guests > 0)
		return set_frames(model, model->guests, 1, value);
	if (strcmp(key, "strangers") == 0 && model->guests > 0)
		return set_frames(model, model->guests + 1, 1, value);
	for (size_t i = 0; i < RTE_DIM(flags); i++) {
		if (strcmp(key, flags[i].key) != 0)
			continue;
		__atomic_store_n(flags[i].flag, value != 0, __ATOMIC_RELAXED);
		if (flags[i].flag == &model->link_down && model->traits.lsc) {
			model_link_update(dev, 0);
			rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
		}
		return 0;
	}
	return -EINVAL;
}

static int
change(const char *command, const char *params, struct rte_tel_data *d)
{
	char name[RTE_ETH_NAME_MAX_LEN], key[16];
	unsigned long long value;
	struct rte_eth_dev *dev;
	int ret;

	(void)command;
	if (params == NULL || sscanf(params, "%63[^,],%15[^,],%llu", name, key, &value) != 3)
		return -EINVAL;
	dev = device(name);
	if (dev == NULL)
		return -ENODEV;
	ret = apply(dev, key, value);
	if (ret < 0)
		return ret;
	return rte_tel_data_string(d, "done");
}

int
ask_init(void)
{
	static bool done;
	int ret = 0;

	if (!done) {
		ret = rte_telemetry_register_cmd("/model/info", info, "A model NIC: NAME");
		if (ret == 0)
			ret = rte_telemetry_register_cmd("/model/set", change,
					"Change a model NIC: NAME,KEY,VALUE");
	}
	done = true;
	return ret;
}

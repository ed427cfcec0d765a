/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Command line of zcnet-guest.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "guest.h"

void
complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("zcnet-guest: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static const struct {
	const char *name;
	int bit;
} feature_names[] = {
	{ "event_idx", VIRTIO_RING_F_EVENT_IDX },
	{ "indirect", VIRTIO_RING_F_INDIRECT_DESC },
	{ "version_1", VIRTIO_F_VERSION_1 },
	{ "mergeable", VIRTIO_NET_F_MRG_RXBUF },
	{ "mq", VIRTIO_NET_F_MQ },
};

static const struct {
	const char *name;
	bool arg;
	const char *help;
} opts[] = {
	{ "socket", true, "PATH of the vhost-user socket" },
	{ "server", false, "listen on it instead of connecting" },
	{ "queues", true, "queue pairs (1)" },
	{ "ring-size", true, "descriptors, a power of two (256)" },
	{ "mergeable", true, "0 or 1: offer mergeable receive buffers (1)" },
	{ "features", true, "comma list of event_idx, indirect, version_1, mq; 'none' (all)" },
	{ "hugepages", false, "guest memory on 2 MB pages" },
	{ "hugetlbfs", false, "these of a file system of one's own, which --cut leaves none of" },
	{ "regions", true, "memory regions, 1 to 8; from 3 on buffers may cross two (3)" },
	{ "slot-bytes", true, "room for one chain (16384)" },
	{ "size", true, "bytes of a frame in flood and burst (64)" },
	{ "bufsize", true, "bytes of a receive buffer, header included (2048)" },
	{ "seconds", true, "how long (flood, sink: 5; else no limit)" },
	{ "count", true, "frames a queue (1000)" },
	{ "seed", true, "of random and verify (1)" },
	{ "min", true, "shortest random frame, from 60 (60)" },
	{ "max", true, "longest random frame (1514)" },
	{ "rate", true, "frames a second and queue in random (no limit)" },
	{ "hold", false, "random, both, burst: send nothing before stdin ends; verify: stay" },
	{ "late", false, "verify, both: post no receive buffer before stdin ends" },
	{ "peer-seed", true, "both: seed of the peer's frames (one's own, echoed)" },
	{ "peer-queues", true, "verify, both: queues that the peer sends from (one's own)" },
	{ "window", true, "both: frames a queue to have out unanswered (64; 0: no limit)" },
	{ "moves", true, "both: times that all buffers move to new memory; needs --regions 2" },
	{ "timeout", true, "milliseconds without progress before giving up (5000)" },
	{ "dst", true, "destination MAC (02:00:00:00:00:02)" },
	{ "src", true, "source MAC (02:00:00:00:00:01)" },
	{ "layout", true, "descriptor layout by name; 'list' shows them (random: any)" },
	{ "no-mixed", false, "random: no table after direct descriptors (librte_vhost fails)" },
	{ "desc", true, "flood, sink: descriptors of a frame (1)" },
	{ "hdr-alone", false, "flood, sink: one more descriptor for the header" },
	{ "table", false, "flood, sink: descriptors in an indirect table" },
	{ "buffers", true, "flood, sink: distinct buffers in use (one a chain)" },
	{ "walk", true, "flood, sink: MiB of memory to walk through, out of cache" },
	{ "batch", true, "flood, sink: chains to wait for (32)" },
	{ "nap", true, "flood, sink: microseconds to sleep between two turns (0)" },
	{ "worker", true, "flood: the worker's schedstat; what it waits for its CPU is no gap" },
	{ "exact", false, "sink: read every header, count frames and bytes" },
	{ "cut", true, "flood, sink: when stdin ends, lose the file of 'rings' or 'buffers'" },
	{ "resets", true, "duplex: resets of the device, each after up to --count chains (0)" },
	{ "repeat", true, "burst: so many times (1)" },
	{ "call", false, "burst: wait for the call instead of polling" },
	{ "help", false, "this" },
};

#define N_OPTS (sizeof(opts) / sizeof(opts[0]))

static void
usage(FILE *to)
{
	fprintf(to, "usage: zcnet-guest --socket PATH [OPTION]... MODE\n\nModes:\n");
	for (const struct mode *m = modes; m->name != NULL; m++)
		fprintf(to, "  %-10s %s\n", m->name, m->help);
	fprintf(to, "\nOptions:\n");
	for (size_t i = 0; i < N_OPTS; i++)
		fprintf(to, "  --%-12s %s\n", opts[i].name, opts[i].help);
}

static void
options_init(struct options *o)
{
	memset(o, 0, sizeof(*o));
	frontend_conf_init(&o->fe);
	o->fe.regions = 3;
	flood_conf_init(&o->flood);
	o->plan = (struct frame_plan){ .seed = 1,
		.len_min = FRAME_LEN_MIN,
		.len_max = 1514,
		.dst = { { 2, 0, 0, 0, 0, 2 } },
		.src = { { 2, 0, 0, 0, 0, 1 } } };
	o->layout = layouts[0];
	o->may = LAYOUT_MAY_CROSS | LAYOUT_MAY_MIX;
	o->bufsize = 2048;
	o->count = 1000;
	o->window = 64;
	o->repeat = 1;
	o->timeout_ms = 5000;
}

static int
number(const char *name, const char *text, uint64_t lo, uint64_t hi, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno == 0 && end != text && *end == '\0' && *text != '-' && *value >= lo &&
			*value <= hi)
		return 0;
	complain("--%s %s: give a number from %llu to %llu", name, text, (unsigned long long)lo,
			(unsigned long long)hi);
	return -EINVAL;
}

static int
set_features(struct options *o, char *list)
{
	uint64_t known = 0, wanted = 0;

	for (size_t i = 0; i < sizeof(feature_names) / sizeof(feature_names[0]); i++)
		if (feature_names[i].bit != VIRTIO_NET_F_MRG_RXBUF)
			known |= 1ULL << feature_names[i].bit;
	for (char *save, *name = strtok_r(list, ",", &save); name;
			name = strtok_r(NULL, ",", &save)) {
		size_t i = 0, n = sizeof(feature_names) / sizeof(feature_names[0]);

		if (strcmp(name, "none") == 0)
			continue;
		while (i < n && strcmp(feature_names[i].name, name) != 0)
			i++;
		if (i == n) {
			complain("--features: %s is unknown", name);
			return -EINVAL;
		}
		wanted |= 1ULL << feature_names[i].bit;
	}
	o->fe.features = (o->fe.features & ~known) | wanted;
	return 0;
}

static int
set_layout(struct options *o, const char *name)
{
	const struct layout *l = layout_by_name(name);

	if (l == NULL) {
		complain("--layout %s: known are", name);
		for (l = layouts; l->name != NULL; l++)
			fprintf(stderr, "  %s\n", l->name);
		return -EINVAL;
	}
	o->layout = *l;
	o->layout_given = true;
	return 0;
}

static int
set_cut(struct options *o, const char *what)
{
	o->cut = strcmp(what, "rings") == 0          ? CUT_RINGS :
			strcmp(what, "buffers") == 0 ? CUT_BUFFERS :
						       CUT_NOTHING;
	if (o->cut != CUT_NOTHING)
		return 0;
	complain("--cut %s: give rings or buffers", what);
	return -EINVAL;
}

static int
set_mac(const char *name, const char *text, struct frame_mac *mac)
{
	int ret = frame_mac_parse(text, mac);

	if (ret < 0)
		complain("--%s %s: give a MAC address like 02:00:00:00:00:01", name, text);
	return ret;
}

static int
set_number(struct options *o, const char *name, const char *text)
{
	uint64_t v = 0;
	int ret;

#define TAKE(opt, lo, hi, field) \
	if (strcmp(name, opt) == 0) { \
		ret = number(name, text, lo, hi, &v); \
		field = v; \
		return ret; \
	}
	TAKE("queues", 1, 128, o->fe.pairs)
	TAKE("ring-size", 1, 32768, o->fe.ring_size)
	TAKE("regions", 1, GMEM_REGIONS_MAX, o->fe.regions)
	TAKE("slot-bytes", 256, 1 << 20, o->fe.slot_bytes)
	TAKE("size", 14, FRAME_LEN_MAX, o->flood.size)
	TAKE("bufsize", 16, 1 << 20, o->bufsize)
	TAKE("count", 1, UINT64_MAX, o->count)
	TAKE("seed", 0, UINT64_MAX, o->plan.seed)
	TAKE("min", FRAME_LEN_MIN, FRAME_LEN_MAX, o->plan.len_min)
	TAKE("max", FRAME_LEN_MIN, FRAME_LEN_MAX, o->plan.len_max)
	TAKE("rate", 1, SECOND_US, o->rate)
	TAKE("resets", 0, 1000000, o->resets)
	TAKE("repeat", 1, 1000000, o->repeat)
	TAKE("window", 0, 1 << 20, o->window)
	TAKE("peer-queues", 1, 128, o->peer_queues)
	TAKE("moves", 0, 1000, o->moves)
	TAKE("timeout", 1, 3600000, o->timeout_ms)
	TAKE("desc", 1, GQ_PIECES_MAX - 2, o->flood.desc)
	TAKE("buffers", 1, 32768, o->flood.buffers)
	TAKE("batch", 1, 16384, o->flood.batch)
	TAKE("nap", 0, 999999, o->nap_us)
#undef TAKE
	if (strcmp(name, "peer-seed") == 0) {
		o->peer_seed_given = true;
		return number(name, text, 0, UINT64_MAX, &o->peer_seed);
	}
	if (strcmp(name, "mergeable") == 0) {
		ret = number(name, text, 0, 1, &v);
		o->fe.features &= ~(1ULL << VIRTIO_NET_F_MRG_RXBUF);
		o->fe.features |= v << VIRTIO_NET_F_MRG_RXBUF;
		return ret;
	}
	ret = number(name, text, 1, 1 << 20, &v);
	o->fe.extra_bytes = v << 20;
	o->flood.walk = true;
	return ret;
}

static int
set_option(struct options *o, const char *name, char *arg)
{
	if (strcmp(name, "socket") == 0)
		o->fe.path = arg;
	else if (strcmp(name, "server") == 0)
		o->fe.server = true;
	else if (strcmp(name, "hugepages") == 0)
		o->fe.hugepages = true;
	else if (strcmp(name, "hugetlbfs") == 0)
		o->fe.hugepages = o->fe.hugetlbfs = true;
	else if (strcmp(name, "no-mixed") == 0)
		o->may &= ~(unsigned int)LAYOUT_MAY_MIX;
	else if (strcmp(name, "hdr-alone") == 0)
		o->flood.hdr_alone = true;
	else if (strcmp(name, "table") == 0)
		o->flood.table = true;
	else if (strcmp(name, "exact") == 0)
		o->flood.exact = true;
	else if (strcmp(name, "hold") == 0)
		o->hold = true;
	else if (strcmp(name, "late") == 0)
		o->late = true;
	else if (strcmp(name, "call") == 0)
		o->by_call = true;
	else if (strcmp(name, "worker") == 0)
		o->flood.worker = arg;
	else if (strcmp(name, "seconds") == 0)
		o->seconds = strtod(arg, NULL);
	else if (strcmp(name, "dst") == 0)
		return set_mac(name, arg, &o->plan.dst);
	else if (strcmp(name, "src") == 0)
		return set_mac(name, arg, &o->plan.src);
	else if (strcmp(name, "cut") == 0)
		return set_cut(o, arg);
	else if (strcmp(name, "features") == 0)
		return set_features(o, arg);
	else if (strcmp(name, "layout") == 0)
		return set_layout(o, arg);
	else
		return set_number(o, name, arg);
	return 0;
}

static int
options_check(struct options *o, int argc, char **argv)
{
	const struct mode *m = modes;

	if (argc - optind != 1 || o->fe.path == NULL || o->plan.len_min > o->plan.len_max) {
		usage(stderr);
		return -EINVAL;
	}
	o->mode = argv[optind];
	while (m->name != NULL && strcmp(m->name, o->mode) != 0)
		m++;
	if (m->name == NULL) {
		complain("%s is no mode; see --help", o->mode);
		return -EINVAL;
	}
	o->run = m->run;
	if (o->moves > 0 && (o->fe.regions != 2 || strcmp(o->mode, "both") != 0)) {
		complain("--moves is for both, with --regions 2");
		return -EINVAL;
	}
	if (o->cut != CUT_NOTHING && o->fe.regions == 1) {
		complain("--cut needs 2 regions or more");
		return -EINVAL;
	}
	if (o->seconds == 0 && (strcmp(o->mode, "flood") == 0 || strcmp(o->mode, "sink") == 0))
		o->seconds = 5;
	if (o->timeout_ms > o->fe.timeout_ms)
		o->fe.timeout_ms = o->timeout_ms;
	o->fe.cross = o->fe.regions >= 3;
	if (!o->fe.cross)
		o->may &= ~(unsigned int)LAYOUT_MAY_CROSS;
	return 0;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	struct option longs[N_OPTS + 1] = { 0 };
	int i, c;

	for (size_t k = 0; k < N_OPTS; k++)
		longs[k] = (struct option){ opts[k].name, opts[k].arg, NULL, 0 };
	options_init(o);
	while ((c = getopt_long(argc, argv, "", longs, &i)) != -1) {
		if (c == '?')
			return -EINVAL;
		if (strcmp(opts[i].name, "help") == 0) {
			usage(stdout);
			exit(0);
		}
		if (set_option(o, opts[i].name, optarg) < 0)
			return -EINVAL;
	}
	return options_check(o, argc, argv);
}

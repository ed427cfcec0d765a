/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zcnet-guest: a guest on a vhost-user socket, for functional tests and the bench.
 *
 * Each mode is one function over a started front-end. Results are one JSON object a line on
 * stdout, complaints go to stderr. Exit status: 0 fine, 1 the mode's check failed, 2 bad usage or
 * no connection.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "clock.h"
#include "flood.h"
#include "frame.h"
#include "frontend.h"
#include "rng.h"

#define SECOND_US 1000000ULL

struct options {
	struct frontend_conf fe;
	const char *mode;
	struct frame_plan plan;
	struct flood_conf flood;
	struct layout layout;
	bool layout_given;
	unsigned int may; /* LAYOUT_MAY_ of random */
	uint32_t bufsize;
	uint64_t count;
	double seconds;
	uint64_t rate;           /* frames a second and queue; 0: as fast as it goes */
	unsigned int timeout_ms; /* without progress */
	bool by_call;
};

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void __attribute__((format(printf, 1, 2))) complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("zcnet-guest: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* ---- flood and sink ---- */

static int
floods_start(struct frontend *fe, const struct options *o, bool rx, struct flood *f)
{
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		struct flood_conf conf = o->flood;
		int ret;

		if (rx)
			conf.size = o->bufsize;
		conf.plan = o->plan;
		ret = flood_init(&f[i], fe, rx ? frontend_rxq(i) : frontend_txq(i), &conf);
		if (ret < 0) {
			complain("cannot flood queue %u: %s", i, strerror(-ret));
			while (i > 0)
				flood_fini(&f[--i]);
			return ret;
		}
	}
	return 0;
}

struct flood_sum {
	uint64_t chains, frames, bytes, busy, turns;
	bool ordered;
};

static struct flood_sum
floods_sum(const struct flood *f, unsigned int n)
{
	struct flood_sum s = { .ordered = true };

	for (unsigned int i = 0; i < n; i++) {
		s.chains += f[i].count;
		s.frames += f[i].frames;
		s.bytes += f[i].bytes;
		s.busy += f[i].busy_cycles;
		s.turns += f[i].turns;
		s.ordered &= f[i].ordered;
	}
	return s;
}

static int
floods_run(struct frontend *fe, struct flood *f, uint64_t end_us)
{
	for (unsigned int turn = 1; !stop; turn++) {
		for (unsigned int i = 0; i < fe->conf.pairs; i++) {
			if (flood_poll(&f[i]) < 0) {
				complain("queue %u: %s", i, f[i].err);
				return -EPROTO;
			}
		}
		if (turn % 64 == 0 && clock_us() >= end_us)
			break;
		if (turn % 65536 == 0 && !frontend_alive(fe)) {
			complain("the back-end closed the connection");
			return -EPIPE;
		}
	}
	return 0;
}

static void
floods_print(const struct options *o, const struct flood_sum *s, double seconds)
{
	bool rx = strcmp(o->mode, "sink") == 0;
	uint64_t frames = rx && o->flood.exact ? s->frames : s->chains;
	uint64_t bytes = rx && o->flood.exact ? s->bytes : frames * o->flood.size;

	printf("{\"mode\":\"%s\",\"frames\":%llu,\"seconds\":%.6f,\"pps\":%.0f,", o->mode,
			(unsigned long long)frames, seconds, (double)frames / seconds);
	if (!rx || o->flood.exact)
		printf("\"bits_per_second\":%.0f,", 8.0 * (double)bytes / seconds);
	printf("\"chains\":%llu,\"chains_per_turn\":%.1f,\"busy_cycles_per_chain\":%.1f,"
	       "\"in_order\":%s}\n",
			(unsigned long long)s->chains,
			s->turns ? (double)s->chains / (double)s->turns : 0.0,
			s->chains ? (double)s->busy / (double)s->chains : 0.0,
			s->ordered ? "true" : "false");
}

/* Flood and sink: prebuilt chains for a time. */
static int
mode_flood(struct frontend *fe, const struct options *o)
{
	bool rx = strcmp(o->mode, "sink") == 0;
	struct flood *f = calloc(fe->conf.pairs, sizeof(*f));
	uint64_t start = clock_us();
	struct flood_sum sum;
	int ret = f == NULL ? -ENOMEM : floods_start(fe, o, rx, f);

	if (ret < 0) {
		free(f);
		return ret;
	}
	ret = floods_run(fe, f, start + (uint64_t)(o->seconds * SECOND_US));
	sum = floods_sum(f, fe->conf.pairs);
	floods_print(o, &sum, (double)(clock_us() - start) / SECOND_US);
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		if (!rx && ret == 0 && flood_drain(&f[i], o->timeout_ms * 1000) < 0) {
			complain("queue %u: chains still out after %u ms of silence", i,
					o->timeout_ms);
			ret = -ETIMEDOUT;
		}
		flood_fini(&f[i]);
	}
	free(f);
	return ret;
}

/* ---- receive side of the other modes ---- */

static int
post_buffers(struct frontend *fe, const struct options *o)
{
	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		int ret = gqueue_rx_fill(frontend_rx(fe, i), o->bufsize, &o->layout);

		if (ret < 0) {
			complain("cannot post buffers of %u bytes: %s; see --slot-bytes",
					o->bufsize, strerror(-ret));
			return ret;
		}
		frontend_publish(fe, frontend_rxq(i));
	}
	return 0;
}

static int
check_alive(struct frontend *fe)
{
	if (frontend_alive(fe))
		return 0;
	complain("the back-end closed the connection");
	return -EPIPE;
}

static uint64_t
end_of(const struct options *o)
{
	return o->seconds > 0 ? clock_us() + (uint64_t)(o->seconds * SECOND_US) : UINT64_MAX;
}

static void
discard(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	(void)pair;
	(void)frame;
	(void)len;
	(void)hdr;
	++*(uint64_t *)arg;
}

static int
mode_idle(struct frontend *fe, const struct options *o)
{
	uint64_t end = end_of(o), frames = 0;
	int ret = post_buffers(fe, o);

	while (ret == 0 && !stop && clock_us() < end) {
		for (unsigned int i = 0; i < fe->conf.pairs && ret >= 0; i++)
			ret = frontend_rx_burst(fe, i, 64, o->bufsize, &o->layout, discard,
					&frames);
		if (ret < 0)
			complain("%s", frontend_error(fe));
		else
			ret = check_alive(fe);
		clock_nap_us(1000);
	}
	printf("{\"mode\":\"idle\",\"frames\":%llu}\n", (unsigned long long)frames);
	return ret;
}

struct echo {
	struct frontend *fe;
	const struct options *o;
	uint64_t frames, dropped;
};

static void
echo_one(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct echo *e = arg;
	uint64_t end = clock_us() + 1000ULL * e->o->timeout_ms;
	const void *f = frame;

	(void)hdr;
	while (frontend_tx_burst(e->fe, pair, &e->o->layout, &f, &len, 1) != 1) {
		if (stop || clock_us() > end || !frontend_alive(e->fe)) {
			e->dropped++;
			return;
		}
	}
	e->frames++;
}

static int
mode_echo(struct frontend *fe, const struct options *o)
{
	struct echo e = { .fe = fe, .o = o };
	uint64_t end = end_of(o);
	int ret = post_buffers(fe, o);

	while (ret >= 0 && !stop && clock_us() < end) {
		int n = 0;

		for (unsigned int i = 0; i < fe->conf.pairs && ret >= 0; i++) {
			ret = frontend_rx_burst(fe, i, 32, o->bufsize, &o->layout, echo_one, &e);
			n += ret > 0 ? ret : 0;
		}
		if (ret < 0)
			complain("%s", frontend_error(fe));
		else if (n == 0 && (ret = check_alive(fe)) == 0)
			clock_nap_us(20);
	}
	printf("{\"mode\":\"echo\",\"frames\":%llu,\"dropped\":%llu}\n",
			(unsigned long long)e.frames, (unsigned long long)e.dropped);
	return ret < 0 ? ret : 0;
}

/* ---- random and verify ---- */

struct sender {
	uint64_t seq, rng;
	uint64_t due_us;
};

static int
send_one(struct frontend *fe, const struct options *o, unsigned int pair, struct sender *s)
{
	uint8_t frame[FRAME_LEN_MAX + 8];
	struct layout l =
			o->layout_given ? o->layout : layout_random(&s->rng, fe->features, o->may);
	uint32_t len = frame_make(&o->plan, pair, s->seq, frame);
	const void *f = frame;
	int ret = frontend_tx_burst(fe, pair, &l, &f, &len, 1);

	if (ret < 0)
		complain("%s", frontend_error(fe));
	s->seq += ret == 1;
	return ret;
}

static int
drain_tx(struct frontend *fe, const struct options *o)
{
	uint64_t end = clock_us() + 1000ULL * o->timeout_ms;

	for (unsigned int i = 0; i < fe->conf.pairs; i++) {
		struct gqueue *q = frontend_tx(fe, i);

		while (drv_ring_pending(&q->ring) > 0) {
			if (gqueue_tx_reclaim(q) < 0) {
				complain("transmit queue %u: %s", i, q->err);
				return -EPROTO;
			}
			if (clock_us() > end || !frontend_alive(fe)) {
				complain("transmit queue %u: %u chains still out", i,
						drv_ring_pending(&q->ring));
				return -ETIMEDOUT;
			}
			clock_nap_us(20);
		}
	}
	return 0;
}

static uint64_t
tx_frames(struct frontend *fe)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < fe->conf.pairs; i++)
		n += frontend_tx(fe, i)->frames;
	return n;
}

static int
mode_random(struct frontend *fe, const struct options *o)
{
	struct sender *s = calloc(fe->conf.pairs, sizeof(*s));
	uint64_t start = clock_us(), moved = start, done = 0;
	int ret = s == NULL ? -ENOMEM : 0;

	for (unsigned int i = 0; s != NULL && i < fe->conf.pairs; i++)
		s[i] = (struct sender){ .rng = o->plan.seed + i, .due_us = start };
	while (ret >= 0 && !stop && done < fe->conf.pairs) {
		uint64_t now = clock_us();

		done = 0;
		for (unsigned int i = 0; i < fe->conf.pairs && ret >= 0; i++) {
			done += s[i].seq >= o->count;
			if (s[i].seq >= o->count || s[i].due_us > now)
				continue;
			ret = send_one(fe, o, i, &s[i]);
			moved = ret == 1 ? now : moved;
			if (ret == 1 && o->rate != 0)
				s[i].due_us += SECOND_US / o->rate;
		}
		if (now - moved > 1000ULL * o->timeout_ms || !frontend_alive(fe)) {
			complain("no frame taken for %u ms", o->timeout_ms);
			ret = -ETIMEDOUT;
		}
	}
	if (ret >= 0)
		ret = drain_tx(fe, o);
	printf("{\"mode\":\"random\",\"frames\":%llu,\"seconds\":%.6f}\n",
			(unsigned long long)tx_frames(fe),
			(double)(clock_us() - start) / SECOND_US);
	free(s);
	return ret;
}

struct verify {
	const struct options *o;
	unsigned int pairs;
	uint64_t *next; /* sequence number expected, by the sender's queue */
	uint64_t frames, foreign, lost, altered, reordered, bad_hdr;
};

static void
verify_one(void *arg, unsigned int pair, const void *frame, uint32_t len,
		const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct verify *v = arg;
	struct frame_tag tag;
	int64_t bad;

	if (!frame_tag_get(frame, len, &tag) || tag.queue >= v->pairs) {
		v->foreign++;
		return;
	}
	v->frames++;
	v->bad_hdr += hdr->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	bad = frame_check(&v->o->plan, frame, len);
	if (bad >= 0) {
		if (v->altered++ < 10)
			complain("queue %u: frame %llu of queue %u, %u bytes: byte %lld is wrong",
					pair, (unsigned long long)tag.seq, tag.queue, len,
					(long long)bad);
		return;
	}
	if (tag.seq < v->next[tag.queue]) {
		v->reordered++;
		return;
	}
	v->lost += tag.seq - v->next[tag.queue];
	v->next[tag.queue] = tag.seq + 1;
}

static int
verify_result(struct verify *v)
{
	uint64_t tail = 0;

	for (unsigned int i = 0; i < v->pairs; i++)
		tail += v->next[i] < v->o->count ? v->o->count - v->next[i] : 0;
	printf("{\"mode\":\"verify\",\"frames\":%llu,\"lost\":%llu,\"altered\":%llu,"
	       "\"reordered\":%llu,\"bad_header\":%llu,\"foreign\":%llu}\n",
			(unsigned long long)v->frames, (unsigned long long)(v->lost + tail),
			(unsigned long long)v->altered, (unsigned long long)v->reordered,
			(unsigned long long)v->bad_hdr, (unsigned long long)v->foreign);
	return v->lost + tail + v->altered + v->reordered + v->bad_hdr == 0 ? 0 : -EBADMSG;
}

static bool
verify_done(const struct verify *v)
{
	for (unsigned int i = 0; i < v->pairs; i++)
		if (v->next[i] < v->o->count)
			return false;
	return true;
}

static int
mode_verify(struct frontend *fe, const struct options *o)
{
	struct verify v = { .o = o, .pairs = fe->conf.pairs };
	uint64_t moved = clock_us();
	int ret = post_buffers(fe, o), res;

	v.next = calloc(fe->conf.pairs, sizeof(*v.next));
	if (v.next == NULL)
		return -ENOMEM;
	while (ret >= 0 && !stop && !verify_done(&v)) {
		int n = 0;

		for (unsigned int i = 0; i < fe->conf.pairs && ret >= 0; i++) {
			ret = frontend_rx_burst(fe, i, 64, o->bufsize, &o->layout, verify_one, &v);
			n += ret > 0 ? ret : 0;
		}
		if (ret < 0) {
			complain("%s", frontend_error(fe));
		} else if (n > 0) {
			moved = clock_us();
		} else if (clock_us() - moved > 1000ULL * o->timeout_ms || !frontend_alive(fe)) {
			complain("nothing received for %u ms", o->timeout_ms);
			break;
		}
	}
	res = verify_result(&v);
	free(v.next);
	return ret < 0 ? ret : res;
}

/* ---- burst ---- */

/* Frames, then silence: how long until the last buffer is back. */
static int
burst_queue(struct frontend *fe, const struct options *o, unsigned int pair)
{
	struct gqueue *q = frontend_tx(fe, pair);
	unsigned char frame[FRAME_LEN_MAX] = { 0 };
	uint64_t start;
	int ret = 0;

	frame_plain(frame, o->flood.size, &o->plan);
	for (uint64_t i = 0; i < o->count && ret >= 0; i++)
		ret = gqueue_tx_frame(q, &o->layout, NULL, frame, o->flood.size);
	if (ret < 0) {
		complain("%llu frames of %u bytes do not fit the ring: %s",
				(unsigned long long)o->count, o->flood.size, strerror(-ret));
		return ret;
	}
	start = clock_us();
	frontend_publish(fe, frontend_txq(pair));
	ret = frontend_wait_used(fe, frontend_txq(pair), (unsigned int)o->count,
			o->timeout_ms * 1000, o->by_call);
	printf("{\"mode\":\"burst\",\"queue\":%u,\"frames\":%llu,\"back\":%d,\"us\":%llu}\n", pair,
			(unsigned long long)o->count, ret,
			(unsigned long long)(clock_us() - start));
	if (ret < 0 || (uint64_t)ret < o->count)
		return -ETIMEDOUT;
	if (gqueue_tx_reclaim(q) < 0) {
		complain("transmit queue %u: %s", pair, q->err);
		return -EPROTO;
	}
	return 0;
}

static int
mode_burst(struct frontend *fe, const struct options *o)
{
	int ret = 0;

	for (unsigned int i = 0; i < fe->conf.pairs && ret == 0; i++)
		ret = burst_queue(fe, o, i);
	return ret;
}

/* ---- command line ---- */

static const struct {
	const char *name;
	int (*run)(struct frontend *fe, const struct options *o);
	const char *help;
} modes[] = {
	{ "flood", mode_flood, "send frames of --size as fast as possible for --seconds" },
	{ "sink", mode_flood, "receive as fast as possible for --seconds into --bufsize" },
	{ "echo", mode_echo, "send back every frame received, until SIGTERM or --seconds" },
	{ "random", mode_random, "send --count frames a queue, --min to --max bytes, by --seed" },
	{ "verify", mode_verify, "receive and check what another guest's random mode sends" },
	{ "burst", mode_burst, "send --count frames, then wait for their buffers" },
	{ "idle", mode_idle, "post receive buffers and discard, until SIGTERM or --seconds" },
};

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
	{ "exact", false, "sink: read every header, count frames and bytes" },
	{ "call", false, "burst: wait for the call instead of polling" },
	{ "help", false, "this" },
};

#define N_OPTS (sizeof(opts) / sizeof(opts[0]))

static void
usage(FILE *to)
{
	fprintf(to, "usage: zcnet-guest --socket PATH [OPTION]... MODE\n\nModes:\n");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		fprintf(to, "  %-10s %s\n", modes[i].name, modes[i].help);
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
	TAKE("timeout", 1, 3600000, o->timeout_ms)
	TAKE("desc", 1, GQ_PIECES_MAX - 2, o->flood.desc)
	TAKE("buffers", 1, 32768, o->flood.buffers)
	TAKE("batch", 1, 16384, o->flood.batch)
#undef TAKE
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
	else if (strcmp(name, "no-mixed") == 0)
		o->may &= ~(unsigned int)LAYOUT_MAY_MIX;
	else if (strcmp(name, "hdr-alone") == 0)
		o->flood.hdr_alone = true;
	else if (strcmp(name, "table") == 0)
		o->flood.table = true;
	else if (strcmp(name, "exact") == 0)
		o->flood.exact = true;
	else if (strcmp(name, "call") == 0)
		o->by_call = true;
	else if (strcmp(name, "seconds") == 0)
		o->seconds = strtod(arg, NULL);
	else if (strcmp(name, "dst") == 0)
		return set_mac(name, arg, &o->plan.dst);
	else if (strcmp(name, "src") == 0)
		return set_mac(name, arg, &o->plan.src);
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
	if (argc - optind != 1 || o->fe.path == NULL || o->plan.len_min > o->plan.len_max) {
		usage(stderr);
		return -EINVAL;
	}
	o->mode = argv[optind];
	if (o->seconds == 0 && (strcmp(o->mode, "flood") == 0 || strcmp(o->mode, "sink") == 0))
		o->seconds = 5;
	o->fe.cross = o->fe.regions >= 3;
	if (!o->fe.cross)
		o->may &= ~(unsigned int)LAYOUT_MAY_CROSS;
	return 0;
}

static int
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

static int
run(struct frontend *fe, const struct options *o)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, o->mode) == 0)
			return modes[i].run(fe, o);
	complain("%s is no mode; see --help", o->mode);
	return -EINVAL;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct frontend *fe;
	int ret, status = 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (options_parse(&o, argc, argv) < 0)
		return 2;
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	fe = frontend_create(&o.fe);
	if (fe == NULL)
		return 2;
	ret = frontend_connect(fe);
	if (ret == 0)
		ret = frontend_start(fe);
	if (ret < 0) {
		complain("%s", frontend_error(fe));
	} else {
		status = run(fe, &o) < 0;
		if (frontend_alive(fe) && frontend_stop(fe) < 0) {
			complain("%s", frontend_error(fe));
			status = 1;
		}
	}
	frontend_destroy(fe);
	return status;
}

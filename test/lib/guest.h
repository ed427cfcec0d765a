/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the command line of zcnet-guest can say.
 */
#ifndef GUEST_H
#define GUEST_H

#include "flood.h"
#include "frame.h"
#include "frontend.h"

#define SECOND_US 1000000ULL

struct options;

struct mode {
	const char *name;
	int (*run)(struct frontend *fe, const struct options *o);
	const char *help;
};

/* Whose memory goes away. */
enum cut { CUT_NOTHING, CUT_RINGS, CUT_BUFFERS };

struct options {
	struct frontend_conf fe;
	const char *mode; /* its name */
	int (*run)(struct frontend *fe, const struct options *o);
	struct frame_plan plan;
	struct flood_conf flood;
	struct layout layout;
	bool layout_given;
	unsigned int may; /* LAYOUT_MAY_ of random */
	uint32_t bufsize;
	uint64_t count;
	double seconds;
	unsigned int repeat;     /* burst */
	unsigned int resets;     /* duplex */
	uint64_t rate;           /* frames a second and queue; 0: as fast as it goes */
	unsigned int timeout_ms; /* without progress */
	uint64_t peer_seed;      /* of both's peer; not given: an echo */
	bool peer_seed_given;
	unsigned int peer_queues; /* 0: as many as there are pairs */
	uint64_t window; /* of both: frames a queue that may be out and not answered; 0: any */
	unsigned int moves;
	unsigned int nap_us; /* flood, sink: between two turns */
	enum cut cut;        /* flood, sink */
	bool hold, late;
	bool by_call;
};

/** All there are; ends with an entry without name. */
extern const struct mode modes[];

/** random, verify and both. */
int mode_frames(struct frontend *fe, const struct options *o);

/** duplex. */
int mode_duplex(struct frontend *fe, const struct options *o);

/** punch, refault. */
int mode_punch(struct frontend *fe, const struct options *o);
int mode_refault(struct frontend *fe, const struct options *o);

/** words. */
int mode_words(struct frontend *fe, const struct options *o);

/** kick, reset, break, reconnect, toggle, tables, reset-rx and malformed-rx. */
int mode_attack(struct frontend *fe, const struct options *o);

/** malformed. */
int mode_malformed(struct frontend *fe, const struct options *o);

/**
 * Post chains of @p bytes on a receive queue that break the rules, one of each kind; @p kind is
 * the first one's. @return 0, or as gqueue_rx_post()
 */
int malformed_rx_post(struct frontend *fe, unsigned int pair, uint32_t bytes, unsigned int kind);

/** Post receive buffers on every queue; complains. */
int post_buffers(struct frontend *fe, const struct options *o);

/** Whether a signal asked for the end. */
bool stopped(void);

/** Whoever sends to it may begin; or its attacks do. */
void say_ready(void);

/** A line on stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Fill @p o from the command line; prints what is wrong with it. @return 0, -EINVAL */
int options_parse(struct options *o, int argc, char **argv);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_model: a NIC that shows what emulated ones can't.
 *
 *   probe.c    devargs, rows, probe and remove
 *   device.c   the driver's half: configure, queues, start, stop, link
 *   tx.c, rx.c the driver's bursts, and what the NIC does with a descriptor
 *   steer.c    rte_flow and VMDq: to which queue a frame goes
 *   engine.c   the NIC's half: a thread that does the DMA, when it likes to
 *   iommu.c    which memory the NIC may reach, and who takes it away too early
 *   ask.c      telemetry: /model/info,NAME and /model/set,NAME,KEY,VALUE
 *
 * A device is given a row of zcnet's driver table, or one of its own, and behaves as badly as the
 * row allows: what the row doesn't promise is drawn at random. The program around it is zcnet
 * itself, linked again with the calls in iommu.c and probe.c wrapped.
 *
 * On its cable hang both a sender and a checker of the frames in test/lib/frame.h. Whatever zcnet
 * must never do is counted as a violation and said on stderr.
 *
 * There is a pair of them for each queue; or, with share=N, for each of N guests by their
 * addresses, and two senders more: to everybody and to a stranger. Which queues those frames go to
 * is up to rules, and what no rule matches to the NIC. With VMDq each address is a rule.
 *
 * Two threads share a queue. The lcore that polls it posts descriptors and takes what is done; the
 * engine does what is posted. Each side's index is written with release order. Control calls
 * stop the engine by its lock.
 */
#ifndef MODEL_H
#define MODEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>

#include <port/driver.h>

#include "checker.h"

#define MODEL_QUEUES_MAX 4
#define MODEL_GUESTS_MAX 5
#define MODEL_MACS_MAX 8
#define MODEL_WIRES_MAX (MODEL_GUESTS_MAX + 2)
#define MODEL_MTU_MAX 9000
#define MODEL_FRAME_MAX (MODEL_MTU_MAX + 18)

/* What must not be. */
#define MODEL_VIOLATIONS(X) \
	X(unmapped_rx, "a receive buffer isn't in memory that is mapped for the NIC") \
	X(unmapped_tx, "a segment to send isn't in memory that is mapped for the NIC") \
	X(unmapped_under_nic, "memory was taken away while the NIC had a descriptor of it") \
	X(too_many_segments, "a frame has more segments than the NIC takes") \
	X(too_short, "a frame is shorter than the NIC takes") \
	X(bad_frame, "the lengths of a frame's segments don't add up") \
	X(changed_under_nic, "an mbuf was changed while the NIC had it") \
	X(dirty_buffer, "a receive buffer isn't as a driver wants it") \
	X(altered, "a frame came with wrong bytes") \
	X(foreign, "a frame came that nobody sent") \
	X(touched_after_stop, "a burst ran on a queue that doesn't") \
	X(armed_unsteered, "a queue that no rule gives to a guest has a guest's buffer") \
	X(stray, "a frame that no rule gives to a guest was written to a guest's buffer") \
	X(header_in_guest, "the first segment of a frame isn't in the host's memory") \
	X(kept, "a frame ended in its first segment, on a NIC that keeps the second then")

enum violation {
#define X(name, text) VIOLATION_##name,
	MODEL_VIOLATIONS(X)
#undef X
			VIOLATIONS
};

/* When a receive queue takes new buffers. */
enum refill {
	REFILL_ONE, /* one, before the frame it replaces is given out */
	REFILL_32,
	REFILL_64,
	REFILL_ALL,  /* as many as there is room for, or none */
	REFILL_RING, /* all at once, when the last one is used up */
};

/* How a frame is cut in two, and what becomes of the second buffer when one is enough. */
enum split {
	SPLIT_NONE,
	SPLIT_EMPTY,    /* at a length; it is given out empty */
	SPLIT_KEPT,     /* at a length; it stays where it is */
	SPLIT_PROTOCOL, /* not at a length */
};

/* What the row doesn't say. */
struct traits {
	enum refill refill;
	enum split split;
	bool engine_frees; /* sent mbufs are freed in the NIC's thread */
	bool keeps_rx;     /* stop keeps receive buffers until the queue is set up again */
	bool keeps_tx;     /* stop keeps what is to be sent; the NIC goes on */
	bool scatter;      /* offers to use several buffers for one frame */
	bool lsc;          /* tells when the link changes */
	bool spread;       /* what no rule matches goes to any queue, by its address; else to 0 */
	uint16_t rules;    /* that it takes */
	uint16_t batch;    /* descriptors done at once, at most */
	uint32_t delay_us; /* from posted to done, at most */
};

struct slot {
	uint64_t addr;
	uint8_t *va; /* the same in this process, for a NIC without DMA */
	uint32_t len;
	uint32_t got; /* bytes received */
	bool posted;  /* owner sets, engine clears */
	bool last;    /* of a frame */
	uint64_t due_us;
	struct rte_mbuf *mbuf;
};

/* The cable at a queue, or to a guest, whatever becomes of the queue. Engine. */
struct wire {
	/* from zcnet */
	struct frame_plan peer;
	struct checker checker;
	uint64_t seen, tx_flushed;
	uint8_t sent[MODEL_FRAME_MAX];
	/* to zcnet */
	struct frame_plan plan;
	uint32_t tag; /* queue that frames say they are of */
	/* /model/set writes */
	uint16_t vlan;   /* they have this tag, 0: none */
	uint32_t word;   /* all that they say, 0: they are made from their number */
	uint64_t frames; /* to send */
	uint64_t seq;    /* frames made */
	uint64_t due_us;
	uint64_t rx_flushed, oversize, no_mbuf;
	uint64_t bounced; /* a rule's frames that its queue had no guest's buffer for */
	uint32_t len;     /* of the frame that is next, 0: none made */
	uint8_t next[MODEL_FRAME_MAX + 12];
};

struct model;

struct tx_queue {
	struct model *model;
	struct wire *wire;
	bool running; /* control */
	bool busy;    /* owner: within a burst */
	bool rs_each; /* each frame's last descriptor tells when it is done */
	uint16_t index;
	uint16_t size;
	struct slot *slot;
	/* owner */
	uint32_t tail;    /* descriptors posted */
	uint32_t freed;   /* of those done, whose mbufs were freed */
	uint32_t cleaned; /* tail at the last cleanup */
	uint64_t rng;
	/* engine */
	uint32_t done;
};

struct rx_queue {
	struct model *model;
	struct wire *wire;
	bool running; /* control */
	bool busy;    /* owner: within a burst */
	bool scatter;
	bool fifo;
	uint16_t index;
	uint16_t size;
	uint16_t told; /* bytes of a buffer, as the mempool says */
	uint16_t room; /* of these, what the NIC can be told of */
	uint16_t at;   /* bytes ahead of them, in an mbuf */
	struct slot *slot;
	struct rte_mempool *mp;
	/* what holds the first bytes of a frame, NULL: all of it goes to slot */
	struct rte_mempool *head_mp;
	struct slot *head; /* [size] goes with slot */
	uint16_t split;    /* so many bytes */
	/* owner */
	uint16_t *empty; /* [size] slots to be refilled, oldest first */
	uint32_t empty_head, empty_tail;
	uint32_t done_head;
	struct rte_mbuf **parked; /* the second ring's, never filled */
	uint16_t nparked;
	struct rte_mbuf **head_spare; /* [size] taken for heads */
	uint16_t nhead_spare;
	/* owner to engine, engine to owner: slots */
	uint16_t *posted, *done;
	uint32_t posted_tail, done_tail;
	/* engine */
	uint32_t posted_head, done_written;
	uint16_t *pool; /* [size] posted slots to choose from */
	uint16_t npool;
	uint64_t rng;
};

/* dev_private */
struct model {
	struct rte_eth_dev_data *data;
	const struct zc_driver *row;
	bool known; /* zcnet has the row too */
	struct traits traits;
	struct rte_ether_addr mac[MODEL_MACS_MAX];
	bool vmdq;        /* configured for it; control */
	uint32_t len_max; /* of frames */
	uint64_t seed;
	uint16_t guests;       /* that share it, 0: frames are by queue */
	uint64_t starts;       /* control */
	uint64_t resets;       /* control */
	struct rte_flow *rule; /* the first; control writes, with the engine's lock */
	/* /model/set writes, engine and owner read */
	bool stall_tx, stall_rx, refuse, link_down;
	bool mislead; /* frames for a stranger go to queue 1, as if a rule said so */
	struct tx_queue *tx[MODEL_QUEUES_MAX];
	struct rx_queue *rx[MODEL_QUEUES_MAX];
	struct wire wire[MODEL_WIRES_MAX];
	struct model *next;
};

static inline struct model *
model_of(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/** Is it set, by whatever thread? */
static inline bool
model_is(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

/** Does the NIC send later than in the burst? */
static inline bool
tx_is_async(const struct tx_queue *q)
{
	return !(q->model->row->tx_done & ZC_DONE_IN_BURST) || q->model->traits.engine_frees;
}

/* ---- probe.c ---- */

/** All devices. Held still by engine_lock(). */
extern struct model *models;

/** The driver that a device says it has. */
const struct rte_driver *model_alias(const struct rte_eth_dev *dev);

/** Not one of @ref models any more. Runs on: control, without the engine's lock. */
void model_forget(struct model *model);

void violation(const struct model *model, enum violation what, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
extern uint64_t violations[VIOLATIONS];

/* ---- device.c ---- */

extern const struct eth_dev_ops model_ops;
int model_link_update(struct rte_eth_dev *dev, int wait);
int model_close(struct rte_eth_dev *dev);

/* ---- ask.c ---- */

int ask_init(void);

/* ---- tx.c ---- */

uint16_t model_tx(void *queue, struct rte_mbuf **pkts, uint16_t n);
int model_tx_status(void *queue, uint16_t offset);
int model_tx_cleanup(void *queue, uint32_t n);

/** Do what is due, and has been posted. Runs on: the engine. @return descriptors done */
unsigned int tx_work(struct tx_queue *q, uint64_t now);

/** Give every mbuf back. Runs on: control, with the engine's lock. */
void tx_flush(struct tx_queue *q);

/* ---- rx.c ---- */

uint16_t model_rx(void *queue, struct rte_mbuf **pkts, uint16_t n);

/** Fill the ring for the first time. 0 or -ENOMEM. Runs on: control */
int rx_fill(struct rx_queue *q);

/** Receive what comes by one cable. Runs on: the engine. @return frames */
unsigned int rx_work(struct model *model, struct wire *wire, uint64_t now);
void rx_flush(struct rx_queue *q);

/** Does the queue have a guest's buffer? Runs on: control, with the engine's lock. */
bool rx_has_guests(const struct rx_queue *q);

/* ---- steer.c ---- */

/** The driver's calls. */
int model_flow_ops(struct rte_eth_dev *dev, const struct rte_flow_ops **ops);
int model_mac_add(struct rte_eth_dev *dev, struct rte_ether_addr *mac, uint32_t index,
		uint32_t pool);
void model_mac_remove(struct rte_eth_dev *dev, uint32_t index);
void steer_flush(struct model *model);

/** The NIC forgot all addresses: ethdev gives them again. Control, with the engine's lock. */
void steer_restart(struct model *model);

/** Which queues a frame goes to, a bit each. Runs on: the engine. */
uint32_t steer_frame(const struct model *model, const uint8_t *frame);

/** Of these, the ones where it may lie in a guest's memory. */
uint32_t steer_ruled(const struct model *model, const uint8_t *frame);

/** Does a rule give this queue to one address? While no rule changes. */
bool steer_gives(const struct model *model, uint16_t queue);

/** Rules in force. */
unsigned int steer_rules(const struct model *model);

/* ---- engine.c ---- */

/** Start the thread, once. */
int engine_start(void);
void engine_lock(void);
void engine_unlock(void);

/* ---- iommu.c ---- */

/** Let the NICs reach the host's own memory, once. */
void iommu_init(void);

/** Mappings of drivers that do it themselves: in struct rte_vdev_driver. */
int iommu_own_map(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t len);
int iommu_own_unmap(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t len);

/** While addresses are used: no memory is unmapped meanwhile. Any thread. */
void iommu_hold(void);
void iommu_release(void);

/**
 * Where the NIC gets to with the address in a descriptor, and @p before bytes ahead of it. Between
 * iommu_hold() and iommu_release().
 *
 * @return NULL: nowhere, or not with all of its bytes
 */
uint8_t *iommu_reach(const struct model *model, const struct slot *slot, uint32_t before);

/** Is the slot's memory a guest's, not the host's? Likewise. */
bool iommu_is_guests(const struct slot *slot);

#endif

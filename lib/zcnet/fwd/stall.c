/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A NIC that keeps a guest's buffers.
 *
 * Used entries are published in avail order, so one buffer that a NIC keeps would stop its
 * guest's queue. The answer, for a guest bound to a NIC: when the oldest buffer has been out
 * for STALL_MS, or the link goes down, the NIC is stopped and started, which gives every buffer
 * back; the guest's frames are copied from then on, and attached again after the NIC has been
 * well for CLEAN_MS. A NIC that takes no frame for STALL_MS is treated the same, though copies
 * that wait for it hold no buffer.
 */
#include "conn.h"

#include <rte_cycles.h>

#include "../core/control.h"
#include "../core/error.h"
#include "../core/quiesce.h"

#define STALL_MS 100
#define CLEAN_MS 1000

void
zc_conn_recover(struct zcnet_conn *conn, struct zcnet_port *guest, bool on)
{
	conn->recovery.on = on;
	for (uint16_t i = 0; i < guest->nqueues; i++)
		zc_vhost_set_recover(guest, i, on);
}

static uint32_t
out_of(struct zcnet_port *guest)
{
	uint32_t out = 0;

	for (uint16_t i = 0; i < guest->nqueues; i++)
		out += zc_tx_out(zc_vhost_tx(guest, i));
	return out;
}

/*
 * Get the guest's buffers back. Frames that wait for the NIC would go right back into it: they are
 * dropped, unless they are copies. A NIC that has no buffer and takes frames is left alone:
 * restarting it might bring up a link that somebody took down.
 */
static void
take_back(struct zcnet_conn *conn, struct zcnet_port *guest, struct zcnet_port *nic, bool refuses,
		uint64_t now)
{
	conn->recovery.release_tsc = now;
	conn->flush = out_of(guest) > 0;
	zc_control_changed();
	/* The worker has to see first that what was dropped is back. */
	for (unsigned int i = 0; i < ZC_CONN_SETTLE_MS && out_of(guest) > 0; i++)
		rte_delay_us_sleep(1000);
	if (out_of(guest) > 0 || refuses)
		nic->ops->release(nic);
}

static uint64_t
taken_by(const struct zc_stream *stream)
{
	struct zcnet_queue_stats stats = { 0 };

	stream->dst->ops->stats(stream->dst, ZCNET_TX, stream->dst_queue, &stats);
	return stats.counter[ZCNET_Q_frames] + stats.counter[ZCNET_Q_drop_link_down];
}

static bool
is_refused(struct zc_stream *stream, uint64_t now)
{
	uint64_t taken = taken_by(stream);

	if (__atomic_load_n(&stream->npending, __ATOMIC_RELAXED) == 0 || taken != stream->taken) {
		stream->taken = taken;
		stream->taken_tsc = now;
		return false;
	}
	if (now - stream->taken_tsc < rte_get_tsc_hz() / 1000 * STALL_MS)
		return false;
	/* A worker that wasn't scheduled is no slow NIC: it has tried once more after this. */
	zc_quiesce_wait();
	return taken_by(stream) == taken;
}

/* Does the NIC take nothing of what waits for it? */
static bool
refuses(struct zcnet_conn *conn, const struct zcnet_port *nic, uint64_t now)
{
	bool refuses = false;

	for (uint16_t i = 0; i < conn->nstreams; i++)
		if (conn->stream[i].dst == nic)
			refuses |= is_refused(&conn->stream[i], now);
	return refuses;
}

static uint64_t
oldest(struct zcnet_port *guest)
{
	uint64_t age = 0;

	for (uint16_t i = 0; i < guest->nqueues; i++)
		age = RTE_MAX(age, zc_tx_age(zc_vhost_tx(guest, i)));
	return age;
}

static void
tick(struct zcnet_conn *conn, struct zcnet_port *guest, struct zcnet_port *nic, uint64_t now)
{
	struct zc_conn_recovery *recovery = &conn->recovery;
	uint64_t ms = rte_get_tsc_hz() / 1000;
	uint64_t age = oldest(guest);
	bool link_up = zc_ethdev_link_up(nic);
	bool refused, well;

	if (!nic->started)
		return;
	refused = link_up && refuses(conn, nic, now);
	well = link_up && !refused && age < STALL_MS * ms;
	if (!well)
		recovery->clean_tsc = now;
	if (!recovery->on && !well) {
		ZC_LOG(WARNING, "connection %s: %s: copying, getting %s's buffers back from %s",
				conn->name,
				!link_up                ? "link down" :
						refused ? "no frame was taken for 100 ms" :
							  "a buffer has been out for 100 ms",
				guest->name, nic->name);
		zc_conn_recover(conn, guest, true);
		take_back(conn, guest, nic, refused, now);
	} else if (recovery->on && !well && now - recovery->release_tsc > CLEAN_MS * ms) {
		take_back(conn, guest, nic, refused, now);
	} else if (recovery->on && now - recovery->clean_tsc > CLEAN_MS * ms) {
		ZC_LOG(NOTICE, "connection %s: %s has been well for a second: zero copy again",
				conn->name, nic->name);
		zc_conn_recover(conn, guest, false);
	}
}

void
zc_conn_tick(struct zcnet_conn *conn, uint64_t now)
{
	zc_conn_end_pause(conn, now);
	if (zc_is_nic(conn->a) != zc_is_nic(conn->b))
		tick(conn, zc_conn_guest(conn), zc_conn_nic(conn), now);
}

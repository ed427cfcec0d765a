/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose frame is it? See share.h. */
#include "share.h"

#include <errno.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "../core/error.h"

/* 64 slow bursts more than a quarter of the others: then a member rests. */
#define SLOW_STEP 4
#define SLOW_MOST 256

static TAILQ_HEAD(, zc_share) shares = TAILQ_HEAD_INITIALIZER(shares);

/* ---- data path ---- */

uint64_t
zc_share_mac(const uint8_t *bytes)
{
	uint64_t mac = 0;

	memcpy(&mac, bytes, RTE_ETHER_ADDR_LEN);
	return mac;
}

static bool
is_for_many(uint64_t mac)
{
	return *(const uint8_t *)&mac & 1;
}

/* VLAN of the outer tag, 0: none. */
static uint16_t
vlan_of(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_vlan_hdr *tag = (const struct rte_vlan_hdr *)(eth + 1);

	if (eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) ||
			m->data_len < sizeof(*eth) + sizeof(*tag))
		return 0;
	return rte_be_to_cpu_16(tag->vlan_tci) & (RTE_ETHER_MAX_VLAN_ID);
}

struct address {
	uint64_t mac;
	uint16_t vlan;
};

/* A frame too short to have one is for nobody, nor is one whose tag was taken out. */
static struct address
address_of(const struct rte_mbuf *m)
{
	struct address to = { 0 };

	if (m->data_len < RTE_ETHER_HDR_LEN || (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
		return to;
	to.mac = zc_share_mac(rte_pktmbuf_mtod(m, const uint8_t *));
	to.vlan = vlan_of(m);
	return to;
}

static bool
is_for(const struct zc_member *member, struct address to)
{
	return (member->mac == to.mac || is_for_many(to.mac)) &&
			(member->vlan == 0 || member->vlan == to.vlan);
}

/*
 * A NIC that took the tag out didn't ask. These frames lie in the host's memory, behind a headroom.
 */
static void
put_tag_back(struct rte_mbuf *m)
{
	struct rte_vlan_hdr *tag;
	uint8_t *frame;

	if (m->data_len < RTE_ETHER_HDR_LEN || rte_pktmbuf_headroom(m) < sizeof(*tag))
		return;
	frame = (uint8_t *)rte_pktmbuf_prepend(m, sizeof(*tag));
	memmove(frame, frame + sizeof(*tag), 2 * RTE_ETHER_ADDR_LEN);
	tag = (struct rte_vlan_hdr *)(frame + RTE_ETHER_HDR_LEN);
	*(rte_be16_t *)(frame + 2 * RTE_ETHER_ADDR_LEN) = rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
	tag->vlan_tci = rte_cpu_to_be_16(m->vlan_tci);
	m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
}

/* A bit for each member that the frame is for. */
static uint64_t
addressees(const struct zc_share *share, const struct rte_mbuf *m)
{
	struct address to = address_of(m);
	uint64_t found = 0;

	for (uint16_t i = 0; i < share->nmembers; i++)
		if (is_for(share->member[i], to))
			found |= UINT64_C(1) << i;
	return found;
}

/* Members that it comes to by their own queues as well. */
static uint64_t
served(const struct zc_share *share, const struct rte_mbuf *m)
{
	return share->copied != 0 && is_for_many(zc_share_mac(rte_pktmbuf_mtod(m, uint8_t *))) ?
			share->copied :
			0;
}

static void
drop(struct zc_share *share, uint16_t queue, enum zcnet_queue_counter why, struct rte_mbuf **pkts,
		uint16_t n)
{
	if (n == 0)
		return;
	rte_pktmbuf_free_bulk(pkts, n);
	share->nic->ops->dropped(share->nic, queue, why, n);
}

/* For many: each of them frees all of it once. */
static void
hold(struct rte_mbuf *m, int times)
{
	for (; m != NULL; m = m->next)
		rte_mbuf_refcnt_update(m, (int16_t)times);
}

/*
 * Now and then the worker loses its CPU in a burst, and new memory isn't there at first: that
 * doesn't make a member slow.
 */
static void
judge(const struct zc_share *share, struct zc_member *member, uint64_t now, uint64_t cycles)
{
	if (likely(cycles < share->long_cycles)) {
		member->slow -= member->slow > 0;
		return;
	}
	member->slow = RTE_MIN(member->slow + SLOW_STEP, 2 * SLOW_MOST);
	if (member->slow > SLOW_MOST)
		member->rest_tsc = now + cycles * RTE_MAX(share->nmembers - 1, 1);
}

/* @return how many it took */
static uint16_t
give_member(const struct zc_share *share, struct zc_member *member, struct rte_mbuf **pkts,
		uint16_t n)
{
	uint64_t begin = rte_rdtsc(), end;
	uint16_t taken;

	if (unlikely(begin < member->rest_tsc))
		return 0;
	taken = member->guest->ops->tx(member->guest, 0, pkts, n);
	end = rte_rdtsc();
	judge(share, member, end, end - begin);
	return taken;
}

/* The frames of one member, in order. */
static void
give(struct zc_share *share, uint16_t queue, unsigned int member, struct rte_mbuf **pkts,
		const uint64_t *to, uint16_t n)
{
	struct rte_mbuf *mine[ZC_BURST];
	uint16_t count = 0, taken;

	for (uint16_t i = 0; i < n; i++)
		if (to[i] >> member & 1)
			mine[count++] = pkts[i];
	taken = give_member(share, share->member[member], mine, count);
	drop(share, queue, ZCNET_Q_drop_not_taken, mine + taken, count - taken);
}

static uint16_t
share_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct zc_share *share = container_of(port, struct zc_share, port);
	struct rte_mbuf *nobodys[ZC_BURST];
	uint64_t to[ZC_BURST], all = 0;
	uint16_t none = 0;

	for (uint16_t i = 0; i < n; i++) {
		uint64_t whose;

		if (unlikely(pkts[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
			put_tag_back(pkts[i]);
		whose = addressees(share, pkts[i]);
		to[i] = whose & ~served(share, pkts[i]);
		all |= to[i];
		if (whose == 0)
			nobodys[none++] = pkts[i];
		else if (to[i] == 0)
			rte_pktmbuf_free(pkts[i]);
		else if (to[i] & (to[i] - 1))
			hold(pkts[i], __builtin_popcountll(to[i]) - 1);
	}
	share->given |= all;
	for (; all != 0; all &= all - 1)
		give(share, queue, __builtin_ctzll(all), pkts, to, n);
	drop(share, queue, ZCNET_Q_drop_no_member, nobodys, none);
	return n;
}

/* Tell those that were given something. @return one was interrupted */
static bool
notify(struct zc_share *share)
{
	bool kicked = false;

	for (; share->given != 0; share->given &= share->given - 1) {
		struct zcnet_port *guest = share->member[__builtin_ctzll(share->given)]->guest;

		kicked |= guest->ops->notify(guest, 0);
	}
	return kicked;
}

static bool
share_notify(struct zcnet_port *port, uint16_t queue)
{
	(void)queue;
	return notify(container_of(port, struct zc_share, port));
}

static const struct zc_port_ops share_ops = {
	.tx = share_tx,
	.notify = share_notify,
};

/*
 * From a member's own queue. The NIC is trusted to steer, and checked: another guest's frame isn't
 * delivered. The line is written next, by its virtio-net header.
 */
static uint16_t
gate_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct zc_member *member = container_of(port, struct zc_member, gate);
	uint16_t done = 0;

	while (done < n) {
		uint16_t run = 0, taken;

		while (done + run < n && is_for(member, address_of(pkts[done + run])))
			run++;
		taken = member->guest->ops->tx(member->guest, queue, pkts + done, run);
		done += taken;
		if (taken < run)
			return done;
		if (done < n)
			drop(member->share, member->queue, ZCNET_Q_drop_wrong_queue, pkts + done++,
					1);
	}
	return n;
}

static const struct zc_port_ops gate_ops = {
	.tx = gate_tx,
};

/* ---- control ---- */

static struct zc_share *
create(struct zcnet_port *nic, int worker)
{
	struct zc_share *share = rte_zmalloc("zc_share", sizeof(*share), RTE_CACHE_LINE_SIZE);

	if (share == NULL) {
		zc_fail(ENOMEM, "port %s: out of memory", nic->name);
		return NULL;
	}
	share->port.ops = &share_ops;
	share->nic = nic;
	share->worker = worker;
	share->long_cycles = rte_get_tsc_hz() / 1000000 * ZC_LONG_RUN_US;
	for (uint16_t i = 0; i < nic->nqueues; i++)
		share->stream[i] = (struct zc_stream){
			.src = nic,
			.dst = &share->port,
			.src_state = nic->ops->source_state(nic, i),
			.src_queue = i,
			.dst_queue = i,
		};
	nic->bound = share;
	TAILQ_INSERT_TAIL(&shares, share, next);
	return share;
}

struct zc_share *
zc_share_find(const struct zcnet_port *nic)
{
	struct zc_share *share;

	TAILQ_FOREACH(share, &shares, next)
		if (share->nic == nic)
			return share;
	return NULL;
}

struct zc_share *
zc_share_get(struct zcnet_port *nic, int worker)
{
	struct zc_share *share = zc_share_find(nic);

	if (share == NULL)
		share = create(nic, worker);
	if (share != NULL)
		share->users++;
	return share;
}

void
zc_share_put(struct zc_share *share)
{
	if (--share->users > 0)
		return;
	share->nic->bound = NULL;
	TAILQ_REMOVE(&shares, share, next);
	rte_free(share);
}

struct zc_share *
zc_share_next(const struct zc_share *prev)
{
	return prev == NULL ? TAILQ_FIRST(&shares) : TAILQ_NEXT(prev, next);
}

void
zc_share_clear(struct zc_share *share)
{
	notify(share);
	share->nmembers = 0;
	share->copied = 0;
	memset(share->own, 0, sizeof(share->own));
}

void
zc_share_add(struct zc_share *share, struct zc_member *member)
{
	share->member[share->nmembers] = member;
	if (member->steered)
		share->own[member->queue] = true;
	if (member->copied) {
		share->copied |= UINT64_C(1) << share->nmembers;
		/* What comes by queues that are nobody's comes by queue 0 too. */
		memset(share->own + 1, true, share->nic->nqueues - 1);
	}
	share->nmembers++;
}

void
zc_share_init_gate(struct zc_share *share, struct zc_member *member)
{
	member->share = share;
	member->gate.ops = &gate_ops;
}

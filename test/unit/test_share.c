/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose frame is it, among guests that share a NIC; and every mbuf comes back. */
#include "rig.h"

#include <rte_cycles.h>
#include <rte_ether.h>

#include "eal.h"
#include "fwd/share.h"

#define MBUFS 256
#define GUESTS 3
#define NIC_QUEUES 3
#define VLAN 7

static struct rte_mempool *mp;

/* A guest that takes so many, and remembers the last byte of each, frees it, and on which queue. */
struct guest {
	struct zcnet_port port;
	uint16_t room, count, queue;
	uint8_t got[64];
	uint64_t cycles; /* that a burst takes */
};

static struct guest guests[GUESTS];
static struct zcnet_port nic;
static uint64_t drops[ZCNET_QUEUE_COUNTER_COUNT];
static uint8_t nic_state;
static struct zc_member members[GUESTS];
static struct zc_share *share;

static uint16_t
guest_tx(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct guest *guest = container_of(port, struct guest, port);

	uint64_t begin = rte_rdtsc();

	while (rte_rdtsc() < begin + guest->cycles)
		;
	guest->queue = queue;
	n = RTE_MIN(n, guest->room);
	for (uint16_t i = 0; i < n; i++)
		guest->got[guest->count++] = *rte_pktmbuf_mtod_offset(pkts[i], uint8_t *, 63);
	guest->room -= n;
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static void
nic_dropped(struct zcnet_port *port, uint16_t queue, enum zcnet_queue_counter why, uint16_t n)
{
	assert_ptr_equal(port, &nic);
	assert_true(queue < NIC_QUEUES);
	drops[why] += n;
}

static const uint8_t *
nic_source_state(struct zcnet_port *port, uint16_t queue)
{
	(void)port, (void)queue;
	return &nic_state;
}

static const struct zc_port_ops guest_ops = { .tx = guest_tx };
static const struct zc_port_ops nic_ops = { .dropped = nic_dropped,
	.source_state = nic_source_state };

/* @tag is its last byte. */
static struct rte_mbuf *
frame(const uint8_t *dst, uint16_t vlan, uint8_t tag)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(mp);
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, 64);

	memset(data, 0, 64);
	memcpy(data, dst, 6);
	if (vlan > 0) {
		data[12] = 0x81;
		data[14] = 0xe0 | vlan >> 8; /* with a priority */
		data[15] = vlan;
	}
	data[63] = tag;
	return m;
}

static const uint8_t mac[GUESTS][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 },
	{ 2, 0, 0, 0, 0, 3 } };
static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t stranger[6] = { 2, 0, 0, 0, 0, 9 };

static int
setup(void **state)
{
	(void)state;
	memset(guests, 0, sizeof(guests));
	memset(drops, 0, sizeof(drops));
	nic = (struct zcnet_port){ .ops = &nic_ops, .nqueues = NIC_QUEUES };
	share = zc_share_get(&nic, -1);
	assert_non_null(share);
	for (unsigned int i = 0; i < GUESTS; i++) {
		guests[i].port.ops = &guest_ops;
		guests[i].room = 64;
		members[i] = (struct zc_member){ .guest = &guests[i].port,
			.mac = zc_share_mac(mac[i]),
			.vlan = i == 2 ? VLAN : 0 };
		zc_share_init_gate(share, &members[i]);
		zc_share_add(share, &members[i]);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_avail_count(mp), MBUFS);
	zc_share_put(share);
	assert_null(zc_share_find(&nic));
	assert_null(nic.bound);
	return 0;
}

static void
put(struct zcnet_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	assert_int_equal(port->ops->tx(port, queue, pkts, n), n);
}

static void
got(unsigned int guest, const char *tags)
{
	assert_int_equal(guests[guest].count, strlen(tags));
	assert_memory_equal(guests[guest].got, tags, strlen(tags));
	assert_int_equal(guests[guest].queue, 0);
}

static void
each_gets_its_own_in_order(void **state)
{
	struct rte_mbuf *pkts[] = { frame(mac[0], 0, 'a'), frame(mac[1], 0, 'b'),
		frame(everybody, 0, 'c'), frame(mac[0], 5, 'd'), frame(stranger, 0, 'e'),
		frame(mac[1], VLAN, 'f'), frame(mac[0], 0, 'g') };

	(void)state;
	put(&share->port, 0, pkts, RTE_DIM(pkts));
	got(0, "acdg");
	got(1, "bcf");
	got(2, "");
	assert_int_equal(drops[ZCNET_Q_drop_no_member], 1);
}

/* Each segment is everybody's, not the first alone. */
static void
all_of_a_frame_is_for_many(void **state)
{
	struct rte_mbuf *m = frame(everybody, 0, 'a'), *tail = rte_pktmbuf_alloc(mp);

	(void)state;
	memset(rte_pktmbuf_append(tail, 64), 0, 64);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	guests[1].room = 0;
	put(&share->port, 0, &m, 1);
	got(0, "a");
	got(1, "");
	assert_int_equal(drops[ZCNET_Q_drop_not_taken], 1);
}

static void
a_vlan_is_its_own(void **state)
{
	struct rte_mbuf *pkts[] = { frame(mac[2], 0, 'a'), frame(mac[2], VLAN, 'b'),
		frame(mac[2], VLAN + 1, 'c'), frame(everybody, VLAN, 'd'),
		frame(everybody, VLAN + 1, 'e'), frame(everybody, 0, 'f'),
		frame(mac[2], VLAN + 256, 'g') };

	(void)state;
	put(&share->port, 1, pkts, RTE_DIM(pkts));
	got(0, "def");
	got(1, "def");
	got(2, "bd");
	assert_int_equal(drops[ZCNET_Q_drop_no_member], 3);
}

static void
who_has_no_room_holds_up_nobody(void **state)
{
	struct rte_mbuf *pkts[] = { frame(everybody, 0, 'a'), frame(mac[0], 0, 'b'),
		frame(everybody, 0, 'c'), frame(mac[1], 0, 'd') };

	(void)state;
	guests[0].room = 1;
	put(&share->port, 0, pkts, RTE_DIM(pkts));
	got(0, "a");
	got(1, "acd");
	assert_int_equal(drops[ZCNET_Q_drop_not_taken], 2);
}

static void
too_short_is_nobodys(void **state)
{
	struct rte_mbuf *m = frame(mac[0], 0, 'a');

	(void)state;
	rte_pktmbuf_trim(m, 64 - 13);
	put(&share->port, 0, &m, 1);
	got(0, "");
	assert_int_equal(drops[ZCNET_Q_drop_no_member], 1);
	m = frame(mac[2], VLAN, 'b');
	rte_pktmbuf_trim(m, 64 - 16); /* cut off within its tag */
	put(&share->port, 0, &m, 1);
	got(2, "");
	assert_int_equal(drops[ZCNET_Q_drop_no_member], 2);
}

/* The NIC went wrong: whoever's frame it is, it isn't delivered from this guest's memory. */
static void
own_queue_brings_no_others(void **state)
{
	struct zcnet_port *gate = &members[1].gate;
	struct rte_mbuf *pkts[] = { frame(mac[1], 0, 'a'), frame(mac[0], 0, 'b'),
		frame(mac[1], 9, 'c'), frame(stranger, 0, 'd'), frame(mac[2], VLAN, 'e'),
		frame(mac[1], 0, 'f') };

	(void)state;
	members[1].queue = 2;
	put(gate, 0, pkts, RTE_DIM(pkts));
	got(0, "");
	got(1, "acf");
	got(2, "");
	assert_int_equal(drops[ZCNET_Q_drop_wrong_queue], 3);
}

/* What the guest doesn't take stays the stream's, in order. */
static void
own_queue_waits(void **state)
{
	struct zcnet_port *gate = &members[1].gate;
	struct rte_mbuf *pkts[] = { frame(mac[1], 0, 'a'), frame(mac[0], 0, 'b'),
		frame(mac[1], 0, 'c'), frame(mac[1], 0, 'd') };

	(void)state;
	guests[1].room = 2;
	assert_int_equal(gate->ops->tx(gate, 0, pkts, 4), 3);
	got(1, "ac");
	guests[1].room = 1;
	put(gate, 0, pkts + 3, 1);
	got(1, "acd");
	assert_int_equal(drops[ZCNET_Q_drop_wrong_queue], 1);
}

static void
steered_queues_are_not_common(void **state)
{
	(void)state;
	zc_share_clear(share);
	members[1].queue = 2;
	members[1].steered = true;
	members[0].queue = 1;
	zc_share_add(share, &members[0]);
	zc_share_add(share, &members[1]);
	assert_false(share->own[0]);
	assert_false(share->own[1]);
	assert_true(share->own[2]);
}

/* By VMDq: what is for many comes to its own queue, so it has no second copy of it. */
static void
the_nic_copies(void **state)
{
	struct rte_mbuf *common[] = { frame(everybody, 0, 'a'), frame(mac[0], 0, 'b'),
		frame(mac[1], 0, 'c') };
	struct rte_mbuf *own[] = { frame(everybody, 0, 'd'), frame(mac[1], 0, 'e') };

	(void)state;
	zc_share_clear(share);
	members[1].queue = 2;
	members[1].steered = members[1].copied = true;
	for (unsigned int i = 0; i < GUESTS; i++)
		zc_share_add(share, &members[i]);
	assert_false(share->own[0]);
	assert_true(share->own[1]);
	assert_true(share->own[2]);
	put(&share->port, 0, common, RTE_DIM(common));
	put(&members[1].gate, 0, own, RTE_DIM(own));
	got(0, "ab");
	got(1, "cde");
	assert_int_equal(drops[ZCNET_Q_drop_wrong_queue], 0);
}

/* Each has its copy by its own queue: there is nobody left, and that is no loss. */
static void
the_nic_copies_for_all(void **state)
{
	struct rte_mbuf *m = frame(everybody, VLAN, 'a');

	(void)state;
	zc_share_clear(share);
	for (unsigned int i = 0; i < GUESTS; i++) {
		members[i].steered = members[i].copied = true;
		zc_share_add(share, &members[i]);
	}
	put(&share->port, 0, &m, 1);
	got(0, "");
	assert_int_equal(drops[ZCNET_Q_drop_no_member], 0);
}

/* As a NIC that takes it out gives it. */
static struct rte_mbuf *
stripped(const uint8_t *dst, uint16_t vlan, uint8_t tag)
{
	struct rte_mbuf *m = frame(dst, 0, tag);

	m->vlan_tci = 0xe000 | vlan;
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	return m;
}

static void
a_tag_is_put_back(void **state)
{
	struct rte_mbuf *pkts[] = { stripped(mac[2], VLAN, 'a'), stripped(mac[2], VLAN + 1, 'b'),
		stripped(mac[0], VLAN, 'c') };
	const uint8_t want[] = { 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x81, 0, 0xe0, VLAN, 0, 0 };

	(void)state;
	rte_mbuf_refcnt_update(pkts[2], 1);
	put(&share->port, 0, pkts, RTE_DIM(pkts));
	assert_int_equal(rte_pktmbuf_pkt_len(pkts[2]), 64 + 4);
	assert_memory_equal(rte_pktmbuf_mtod(pkts[2], uint8_t *), want, sizeof(want));
	rte_pktmbuf_free(pkts[2]);
	assert_int_equal(guests[0].count, 1);
	assert_int_equal(guests[2].count, 1);
	assert_int_equal(drops[ZCNET_Q_drop_no_member], 1);
}

/* There is no room for its tag in the guest's memory. */
static void
an_own_queue_takes_no_stripped_frame(void **state)
{
	struct rte_mbuf *m = stripped(mac[1], VLAN, 'a');

	(void)state;
	put(&members[1].gate, 0, &m, 1);
	got(1, "");
	assert_int_equal(drops[ZCNET_Q_drop_wrong_queue], 1);
}

/* Bursts for two, the first of which is slow. @return those that the first one missed */
static unsigned int
slow_bursts(unsigned int n)
{
	unsigned int missed = 0;

	share->long_cycles = 5000000; /* nothing that the other one does, whoever has the CPU */
	guests[0].cycles = 5000000;
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *pkts[2];

		for (unsigned int k = 0; k < 2; k++) {
			pkts[k] = frame(mac[k], 0, 'a' + k);
			guests[k].room = 1;
			guests[k].count = 0;
		}
		put(&share->port, 0, pkts, RTE_DIM(pkts));
		missed += guests[0].count == 0;
		got(1, "b");
	}
	assert_int_equal(drops[ZCNET_Q_drop_not_taken], missed);
	return missed;
}

static void
who_is_slow_rests(void **state)
{
	(void)state;
	assert_true(slow_bursts(100) >= 100 - 66);
}

static void
new_memory_is_not_slow(void **state)
{
	(void)state;
	assert_int_equal(slow_bursts(64), 0);
}

static int
init(void **state)
{
	int ret = unit_eal_init(state);

	mp = unit_host_pool(MBUFS, 2048);
	return ret;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(each_gets_its_own_in_order),
		TEST(all_of_a_frame_is_for_many),
		TEST(a_vlan_is_its_own),
		TEST(who_has_no_room_holds_up_nobody),
		TEST(too_short_is_nobodys),
		TEST(own_queue_brings_no_others),
		TEST(own_queue_waits),
		TEST(steered_queues_are_not_common),
		TEST(the_nic_copies),
		TEST(the_nic_copies_for_all),
		TEST(a_tag_is_put_back),
		TEST(an_own_queue_takes_no_stripped_frame),
		TEST(who_is_slow_rests),
		TEST(new_memory_is_not_slow),
#undef TEST
	};

	return cmocka_run_group_tests(tests, init, unit_eal_fini);
}

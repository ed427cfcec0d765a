/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's memory changes while its NIC does DMA: nothing that the IOMMU doesn't know yet may be
 * lent. The guest is a memory table and two rings without a front-end.
 */
#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/compat.h"
#include "eal.h"
#include "port/vhost_guest.c"

#define REGION (2u << 20)
#define SET_MEM_TABLE 5 /* vhost-user specification */

static struct vhost_port *vp;
static struct zc_ctor ctor;
static unsigned int released;

static struct zc_ctor *
nic_ctor(struct zcnet_port *port, uint16_t queue)
{
	(void)port, (void)queue;
	return &ctor;
}

static void
nic_release_rx(struct zcnet_port *port, uint16_t queue)
{
	(void)port, (void)queue;
	released++;
}

static unsigned int mapped;
static int map_fails; /* with this */

static int
map_memory(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	(void)own, (void)hva, (void)iova, (void)len;
	mapped += map_fails == 0;
	return map_fails;
}

static int
unmap_memory(struct rte_device *own, void *hva, uint64_t iova, size_t len)
{
	(void)own, (void)hva, (void)iova, (void)len;
	mapped--;
	return 0;
}

static const struct zc_port_ops nic_ops = { .ctor = nic_ctor, .release_rx = nic_release_rx };
static struct zcnet_port nic = { .ops = &nic_ops, .name = "nic" };

static int memory_fd[2];

/* The first @p n regions of the guest. */
static void
learn(unsigned int n)
{
	free(vp->mem);
	vp->mem = calloc(1, sizeof(*vp->mem) + n * sizeof(vp->mem->regions[0]));
	assert_non_null(vp->mem);
	vp->mem->nregions = n;
	for (unsigned int i = 0; i < n; i++)
		vp->mem->regions[i] = (struct rte_vhost_mem_region){
			.fd = memory_fd[i],
			.guest_phys_addr = i * (uint64_t)REGION,
			.size = REGION,
		};
}

static int
setup(void **state)
{
	struct zc_port_takes takes = { .attached = true,
		.dma = zc_iommu_get(NULL),
		.nic = &nic,
		.segs_max = 8,
		.frame_max = 1518 };
	struct zcnet_vhost_conf conf;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "unit%d.sock", getpid());
	zcnet_vhost_conf_init(&conf);
	conf.name = "guest";
	conf.path = path;
	vp = vhost_port(zcnet_port_vhost_create(&conf));
	assert_non_null(vp);
	for (unsigned int i = 0; i < 2; i++) {
		memory_fd[i] = memfd_create("guest", 0);
		assert_int_equal(ftruncate(memory_fd[i], REGION), 0);
	}
	learn(1);
	vp->map = make_map(vp);
	assert_non_null(vp->map);
	zc_vhost_set_takes(&vp->port, &takes);
	memset(&ctor, 0, sizeof(ctor));
	released = 0;
	vp->queue[0]->rx_enabled = true;
	vp->queue[0]->rx_state = ZC_QUEUE_LIVE;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	vp->queue[0]->rx_state = ZC_QUEUE_DOWN;
	zc_iommu_put(vp->takes.dma);
	ctor.armed = 0;
	vp->queue[0]->rx.ctor = NULL;
	zc_vhost_retire_map(vp, vp->map);
	vp->map = NULL;
	forget_memory(vp);
	assert_int_equal(zcnet_port_destroy(&vp->port), 0);
	assert_int_equal(mapped, 0);
	close(memory_fd[0]);
	close(memory_fd[1]);
	return 0;
}

static uint8_t
copy_reason(void)
{
	return vp->queue[0]->tx.limits.copy;
}

/* Housekeeping's part, and what the port sees of it. */
static void
memory_is_mapped(void)
{
	vp->port.ops->tick(&vp->port, rte_rdtsc());
	zc_dma_work();
	vp->port.ops->tick(&vp->port, rte_rdtsc());
}

static void
nothing_is_lent_before_it_is_mapped(void **state)
{
	(void)state;
	zc_vhost_set_source(&vp->port, 0, &nic, 0);
	assert_int_equal(copy_reason(), ZC_TX_COPY_DMA);
	assert_null(vp->queue[0]->rx.ctor);
	memory_is_mapped();
	assert_int_equal(copy_reason(), ZC_TX_ATTACH);
	assert_ptr_equal(vp->queue[0]->rx.ctor, &ctor);
	assert_ptr_equal(ctor.rx, &vp->queue[0]->rx);
}

static void
new_memory_is_not_lent_before_it_is_mapped(void **state)
{
	(void)state;
	zc_vhost_set_source(&vp->port, 0, &nic, 0);
	memory_is_mapped();
	ctor.armed = 3;
	learn(2);
	guest_memory_changed(vp);
	assert_int_equal(copy_reason(), ZC_TX_COPY_DMA);
	assert_null(ctor.rx);
	/* What is armed stays so, in the old map: no NIC is stopped for it. */
	assert_ptr_equal(ctor.bound, &vp->queue[0]->rx);
	assert_int_equal(ctor.armed_old, 3);
	assert_int_equal(vp->queue[0]->rx_state, ZC_QUEUE_LIVE);

	memory_is_mapped();
	assert_int_equal(copy_reason(), ZC_TX_ATTACH);
	assert_ptr_equal(ctor.rx, &vp->queue[0]->rx);
	assert_int_equal(released, 0);
}

/* A ring that is turned off and on meanwhile doesn't begin to arm either. */
static void
a_ring_that_flaps_waits_too(void **state)
{
	(void)state;
	zc_vhost_set_source(&vp->port, 0, &nic, 0);
	memory_is_mapped();
	learn(2);
	guest_memory_changed(vp);
	zc_vhost_suspend(vp, 0);
	zc_vhost_resume_held(vp);
	assert_int_equal(vp->queue[0]->rx_state, ZC_QUEUE_LIVE);
	assert_null(ctor.rx);
}

/* A NIC that is armed and doesn't send from guest memory. */
static void
receiving_alone_waits_for_the_mapping(void **state)
{
	struct zc_port_takes takes = vp->takes;

	(void)state;
	takes.attached = false;
	zc_vhost_set_takes(&vp->port, &takes);
	zc_vhost_set_source(&vp->port, 0, &nic, 0);
	assert_null(vp->queue[0]->rx.ctor);
	memory_is_mapped();
	assert_int_equal(copy_reason(), ZC_TX_COPY_OFF);
	assert_ptr_equal(ctor.rx, &vp->queue[0]->rx);
}

static int
group_setup(void **state)
{
	int ret = unit_eal_init(state);

	zc_iommu_calls.map = map_memory;
	zc_iommu_calls.unmap = unmap_memory;
	return ret < 0 ? ret : zc_quiesce_init();
}

static int
group_teardown(void **state)
{
	zc_quiesce_fini();
	return unit_eal_fini(state);
}

/* The port copies, says why, and stops when it may. */
static void
cve_2019_3882_mapping_is_refused(void **state)
{
	struct zcnet_port_info info;

	(void)state;
	map_fails = -ENOSPC;
	vp->port.bound = &nic;
	zc_vhost_set_source(&vp->port, 0, &nic, 0);
	memory_is_mapped();
	assert_int_equal(copy_reason(), ZC_TX_COPY_DMA);
	assert_null(vp->queue[0]->rx.ctor);
	assert_int_equal(vp->queue[0]->rx.copy_counter, ZCNET_Q_copy_dma);
	assert_int_equal(zcnet_port_info_get(&vp->port, &info), 0);
	assert_non_null(strstr(info.note, "dma_entry_limit"));
	map_fails = 0;
	for (int i = 0; i < 300 && copy_reason() != ZC_TX_ATTACH; i++) {
		memory_is_mapped();
		usleep(10000);
	}
	assert_int_equal(copy_reason(), ZC_TX_ATTACH);
	assert_int_equal(zcnet_port_info_get(&vp->port, &info), 0);
	assert_null(strstr(info.note, "copies"));
	vp->port.bound = NULL;
}

/* The container forgets everything with its last NIC: what was ready isn't for the next one. */
static void
the_next_nic_waits_for_a_mapping_of_its_own(void **state)
{
	const struct zc_port_takes takes = vp->takes, nothing = { 0 };

	(void)state;
	memory_is_mapped();
	assert_int_equal(copy_reason(), ZC_TX_ATTACH);
	zc_vhost_set_takes(&vp->port, &nothing);
	zc_iommu_put(takes.dma);
	assert_int_equal(mapped, 0);
	assert_ptr_equal(zc_iommu_get(NULL), takes.dma);
	zc_vhost_set_takes(&vp->port, &takes);
	assert_int_equal(copy_reason(), ZC_TX_COPY_DMA);
	memory_is_mapped();
	assert_int_equal(copy_reason(), ZC_TX_ATTACH);
	assert_int_equal(mapped, 1);
}

struct said {
	uint32_t request, flags, size;
	union {
		struct {
			uint32_t n, pad;
			uint64_t gpa, size, uva, offset;
		} table; /* of one region */
		uint8_t bytes[ZC_VHOST_PAYLOAD_MAX];
	};
	int fd[8], nfds;
} __attribute__((packed));

static int
said_table(struct said *m, int fd)
{
	*m = (struct said){ .request = SET_MEM_TABLE,
		.flags = 1,
		.size = sizeof(m->table),
		.table = { .n = 1, .size = REGION },
		.fd = { fd },
		.nfds = 1 };
	return zc_vhost_msg_check(vp, m);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* librte_vhost loses the one descriptor of a table whose region it can't map. */
static void
lost_descriptors_are_closed(void **state)
{
	int lost = dup(memory_fd[0]), next = dup(memory_fd[0]);
	struct said m;

	(void)state;
	assert_int_equal(said_table(&m, lost), RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	assert_int_equal(said_table(&m, next), RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	assert_false(is_open(lost));
	/* librte_vhost closed it, and the next message brings the same file under that number */
	assert_int_equal(said_table(&m, next), RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	assert_true(is_open(next));
	/* or the number is another file's. */
	assert_int_equal(dup2(memory_fd[1], next), next);
	assert_int_equal(said_table(&m, memory_fd[1]), RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	assert_true(is_open(next));
	close(next);
	zc_vhost_msg_table_taken();
}

static void
descriptors_in_use_stay_open(void **state)
{
	struct said m;

	(void)state;
	assert_int_equal(said_table(&m, memory_fd[0]), RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	zc_vhost_msg_table_taken();
	assert_int_equal(said_table(&m, memory_fd[1]), RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	assert_true(is_open(memory_fd[0]));
	zc_vhost_msg_table_taken();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_lent_before_it_is_mapped),
		TEST(new_memory_is_not_lent_before_it_is_mapped),
		TEST(a_ring_that_flaps_waits_too),
		TEST(receiving_alone_waits_for_the_mapping),
		TEST(cve_2019_3882_mapping_is_refused),
		TEST(the_next_nic_waits_for_a_mapping_of_its_own),
		TEST(lost_descriptors_are_closed),
		TEST(descriptors_in_use_stay_open),
	};

	return cmocka_run_group_tests_name("guest_memory", tests, group_setup, group_teardown);
}

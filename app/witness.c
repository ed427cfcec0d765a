/* SPDX-License-Identifier: BSD-3-Clause */
/* See witness.h. */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_inside(const struct app_witness *witness, const struct rte_mbuf *m)
{
	uint64_t begin = rte_pktmbuf_mtod(m, uint64_t);
	unsigned int i;

	for (i = 0; i < witness->nmaps; i++)
		if (begin >= witness->map[i].begin && begin + m->data_len <= witness->map[i].end)
			return true;
	return false;
}

static void
look(const struct app_witness *witness, const struct rte_mbuf *m, struct app_seen *seen)
{
	const struct rte_mbuf *seg;

	seen->frames++;
	for (seg = m; seg != NULL; seg = seg->next)
		if (!is_inside(witness, seg))
			return;
	if (seen->inside++ == 0) {
		seen->address = rte_pktmbuf_mtod(m, uint64_t);
		seen->iova = rte_pktmbuf_iova(m);
	}
}

static uint16_t
on_tx(uint16_t port_id, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct app_witness *witness = arg;

	(void)port_id, (void)queue;
	for (uint16_t i = 0; i < n; i++)
		look(witness, pkts[i], &witness->sent);
	return n;
}

/* Of a frame that is split, the first segment isn't meant to be the guest's. */
static uint16_t
on_rx(uint16_t port_id, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n, uint16_t most,
		void *arg)
{
	struct app_witness *witness = arg;

	(void)port_id, (void)queue, (void)most;
	for (uint16_t i = 0; i < n; i++)
		look(witness, pkts[i]->next != NULL ? pkts[i]->next : pkts[i], &witness->received);
	return n;
}

/* One line of /proc/self/maps; is it of that file? */
static void
look_at_map(struct app_witness *witness, const char *line, const struct stat *file)
{
	unsigned long begin, end, inode;

	if (sscanf(line, "%lx-%lx %*s %*x %*x:%*x %lu", &begin, &end, &inode) != 3 ||
			inode != file->st_ino || witness->nmaps == APP_WITNESS_MAPS)
		return;
	/* Files without a folder have inodes of their own, but others may have the same. */
	if (strstr(line, "/memfd:") == NULL)
		return;
	witness->map[witness->nmaps].begin = begin;
	witness->map[witness->nmaps++].end = end;
}

static int
find_maps(struct app_witness *witness, int fd)
{
	char line[512];
	struct stat file;
	FILE *maps;

	if (fstat(fd, &file) < 0)
		return -errno;
	maps = fopen("/proc/self/maps", "re");
	if (maps == NULL)
		return -errno;
	while (fgets(line, sizeof(line), maps) != NULL)
		look_at_map(witness, line, &file);
	fclose(maps);
	return witness->nmaps > 0 ? 0 : -ENOENT;
}

int
app_witness_begin(struct app_witness *witness, uint16_t port_id, int fd)
{
	int ret;

	memset(witness, 0, sizeof(*witness));
	witness->port_id = port_id;
	witness->log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (witness->log >= 0)
		lseek(witness->log, 0, SEEK_END);
	ret = find_maps(witness, fd);
	if (ret < 0)
		return ret;
	witness->tx_hook = rte_eth_add_tx_callback(port_id, 0, on_tx, witness);
	witness->rx_hook = rte_eth_add_rx_callback(port_id, 0, on_rx, witness);
	return witness->tx_hook != NULL && witness->rx_hook != NULL ? 0 : -ENOTSUP;
}

void
app_witness_end(struct app_witness *witness)
{
	if (witness->tx_hook != NULL)
		rte_eth_remove_tx_callback(witness->port_id, 0, witness->tx_hook);
	if (witness->rx_hook != NULL)
		rte_eth_remove_rx_callback(witness->port_id, 0, witness->rx_hook);
	if (witness->log >= 0)
		close(witness->log);
}

/* What drivers/iommu of Linux says: Intel's, AMD's, Arm's. */
static bool
is_fault(const char *message)
{
	static const char *const texts[] = { "DMAR: [DMA", "IO_PAGE_FAULT", "arm-smmu" };
	unsigned int i;

	for (i = 0; i < RTE_DIM(texts); i++)
		if (strstr(message, texts[i]) != NULL)
			return true;
	return false;
}

int
app_witness_faults(struct app_witness *witness)
{
	char message[8192];
	int faults = 0;
	ssize_t n;

	if (witness->log < 0)
		return -1;
	/* One message a read; EPIPE: some were overwritten, go on with the oldest there is. */
	while ((n = read(witness->log, message, sizeof(message) - 1)) > 0 ||
			(n < 0 && errno == EPIPE)) {
		message[n > 0 ? n : 0] = '\0';
		faults += is_fault(message);
	}
	return faults;
}

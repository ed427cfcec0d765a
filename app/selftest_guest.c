/* SPDX-License-Identifier: BSD-3-Clause */
/* See selftest_guest.h. */
#include "selftest_guest.h"

#include <errno.h>
#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"

#define BUFFERS ZCIO_DEPTH
#define MEM_BYTES (2UL * BUFFERS * APP_GUEST_ROOM)
#define ETHERTYPE 0x88b5 /* IEEE 802: for local experiments */
#define PATIENCE_S 5

/* A frame: this, then bytes that follow from seq. */
struct head {
	struct rte_ether_hdr eth;
	char magic[6];
	uint32_t seq;
	uint16_t bytes;
} __rte_packed __rte_aligned(2);

static const char magic[6] = "zcself";

static uint8_t
fill(uint32_t seq, uint32_t i)
{
	return seq * 31 + i + (i >> 8);
}

static void
make_frame(struct app_guest *guest, uint8_t *frame, uint32_t bytes)
{
	struct head head = { .seq = guest->seq++, .bytes = bytes };

	/* For itself: a switch drops it, a cable or an echo brings it back. */
	memcpy(&head.eth.dst_addr, guest->mac, sizeof(guest->mac));
	memcpy(&head.eth.src_addr, guest->mac, sizeof(guest->mac));
	head.eth.ether_type = rte_cpu_to_be_16(ETHERTYPE);
	memcpy(head.magic, magic, sizeof(magic));
	memcpy(frame, &head, sizeof(head));
	for (uint32_t i = sizeof(head); i < bytes; i++)
		frame[i] = fill(head.seq, i);
}

static bool
is_exact(const uint8_t *frame, const struct head *head)
{
	for (uint32_t i = sizeof(*head); i < head->bytes; i++)
		if (frame[i] != fill(head->seq, i))
			return false;
	return true;
}

static void
judge(struct app_guest *guest, const uint8_t *frame, size_t bytes)
{
	struct head head;

	guest->received++;
	if (bytes < sizeof(head))
		return;
	memcpy(&head, frame, sizeof(head));
	if (head.eth.ether_type != rte_cpu_to_be_16(ETHERTYPE) ||
			memcmp(head.magic, magic, sizeof(magic)) != 0)
		return;
	guest->own++;
	/* NICs pad short frames. */
	guest->altered += bytes < head.bytes || !is_exact(frame, &head);
}

static void
was_read(void *arg, void *buf, size_t bytes)
{
	struct app_guest *guest = arg;

	judge(guest, buf, bytes);
	zcio_read(guest->io, buf, APP_GUEST_ROOM, was_read, guest);
}

static void
was_written(void *arg, void *buf, size_t bytes)
{
	struct app_guest *guest = arg;

	(void)bytes;
	guest->unused[guest->nunused++] = buf;
	guest->back_tsc = rte_rdtsc();
}

static int
make_memory(struct app_guest *guest)
{
	guest->fd = memfd_create("zcnet-selftest", MFD_CLOEXEC);
	if (guest->fd < 0 || ftruncate(guest->fd, MEM_BYTES) < 0)
		return -errno;
	guest->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, guest->fd, 0);
	return guest->mem == MAP_FAILED ? -errno : 0;
}

int
app_guest_begin(struct app_guest *guest, const char *socket, const uint8_t mac[6])
{
	int ret;

	memset(guest, 0, sizeof(*guest));
	memcpy(guest->mac, mac, sizeof(guest->mac));
	guest->mem = MAP_FAILED;
	ret = make_memory(guest);
	if (ret < 0)
		return ret;
	guest->io = zcio_open(socket, guest->fd, guest->mem, MEM_BYTES);
	if (guest->io == NULL)
		return -errno;
	for (size_t i = 0; i < BUFFERS; i++) {
		zcio_read(guest->io, guest->mem + 2 * i * APP_GUEST_ROOM, APP_GUEST_ROOM, was_read,
				guest);
		guest->unused[guest->nunused++] = guest->mem + (2 * i + 1) * APP_GUEST_ROOM;
	}
	return 0;
}

void
app_guest_end(struct app_guest *guest)
{
	if (guest->io != NULL)
		zcio_close(guest->io);
	if (guest->mem != NULL && guest->mem != MAP_FAILED)
		munmap(guest->mem, MEM_BYTES);
	if (guest->fd >= 0)
		close(guest->fd);
}

/* Is something still to be hoped for? */
static bool
has_patience(const struct app_guest *guest, uint64_t since)
{
	if (guest->back_tsc > since)
		since = guest->back_tsc;
	return !app_stopping() && rte_rdtsc() - since < PATIENCE_S * rte_get_tsc_hz();
}

/* Others may need this CPU: a NIC's own threads, where it is made of software. */
static void
poll(struct app_guest *guest)
{
	if (zcio_poll(guest->io) == 0)
		rte_delay_us_sleep(10);
}

unsigned int
app_guest_send(struct app_guest *guest, uint32_t bytes, unsigned int frames, uint64_t *us)
{
	uint64_t posted_tsc = rte_rdtsc();
	uint8_t *frame;

	while (frames > 0 && has_patience(guest, posted_tsc)) {
		for (; frames > 0 && guest->nunused > 0; frames--) {
			frame = guest->unused[--guest->nunused];
			make_frame(guest, frame, bytes);
			zcio_write(guest->io, frame, bytes, was_written, guest);
			posted_tsc = rte_rdtsc();
		}
		poll(guest);
	}
	while (guest->nunused < BUFFERS && has_patience(guest, posted_tsc))
		poll(guest);
	*us = guest->back_tsc > posted_tsc ?
			(guest->back_tsc - posted_tsc) * 1000000 / rte_get_tsc_hz() :
			0;
	return frames + BUFFERS - guest->nunused;
}

void
app_guest_poll(struct app_guest *guest)
{
	poll(guest);
}

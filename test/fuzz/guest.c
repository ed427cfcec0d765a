/* SPDX-License-Identifier: BSD-3-Clause */
/* See guest.h. */
#include "guest.h"

#include <errno.h>
#include <sys/mman.h>

#define PAGE 4096u
#define GUARD (256 * PAGE)

/* The third is large enough for a frame of more than 65535 bytes. */
static const uint64_t sizes[GUEST_REGIONS] = { 2 * PAGE, PAGE, 34 * PAGE };
/* Region 1 goes on where region 0 ends, and region 2 ends where addresses do. */
static const uint64_t gpas[GUEST_REGIONS] = { 0x10000, 0x10000 + 2 * PAGE, UINT64_MAX - 34 * PAGE };
/* Regions of each map, a bit each. */
static const unsigned int map_bits[GUEST_MAPS] = { 7, 3, 5, 1 };

static uint8_t kept[2 * PAGE + PAGE];

static uint8_t *
guarded(uint64_t size)
{
	uint8_t *p = mmap(NULL, size + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + GUARD, size, PROT_READ | PROT_WRITE) < 0)
		abort();
	return p + GUARD;
}

void
guest_init(struct guest *g)
{
	for (unsigned int i = 0; i < GUEST_REGIONS; i++)
		g->mem[i] = guarded(sizes[i]);
	for (unsigned int m = 0; m < GUEST_MAPS; m++) {
		struct zc_region region[GUEST_REGIONS] = { 0 };
		unsigned int n = 0;

		for (unsigned int i = 0; i < GUEST_REGIONS; i++)
			if (map_bits[m] >> i & 1)
				region[n++] = (struct zc_region){ .gpa = gpas[i],
					.size = sizes[i],
					.hva = g->mem[i],
					.iova = GUEST_IOVA(gpas[i]) };
		g->maps[m] = zc_map_create_plain(region, n);
	}
}

/* ---- rings ---- */

/* Where the rings lie: as a driver has them, or anywhere in the first region. */
static void
place_rings(struct guest *g, struct bytes *in, uint8_t how)
{
	uint32_t at[3] = { 0, 64 * 16, 64 * 16 + 256 };

	g->overlap = how & 1;
	if (g->overlap) {
		at[0] = bytes_u16(in) % (2 * PAGE - 16 * g->size + 1) & ~15u;
		at[1] = bytes_u16(in) % (2 * PAGE - 2 * (3 + g->size) + 1) & ~1u;
		at[2] = bytes_u16(in) % (2 * PAGE - 6 - 8 * g->size + 1) & ~3u;
	}
	g->desc = (void *)(g->mem[0] + at[0]);
	g->avail = (void *)(g->mem[0] + at[1]);
	g->used = (void *)(g->mem[0] + at[2]);
}

void
guest_reset(struct guest *g, struct bytes *in, struct zc_vq_conf *conf)
{
	uint8_t how = bytes_u8(in);
	uint16_t start = bytes_u16(in);

	g->size = 2u << (how >> 1) % 6;
	g->event_idx = how & 16;
	g->indirect = !(how & 32);
	g->hdr_len = how & 64 ? 10 : 12;
	place_rings(g, in, how);
	g->map = g->maps[0];
	g->avail_idx = start;
	g->avail->idx = start;
	g->used->idx = start;
	*conf = (struct zc_vq_conf){ .desc = g->desc,
		.avail = g->avail,
		.used = g->used,
		.size = g->size,
		.next_avail = start,
		.next_used = start,
		.hdr_len = g->hdr_len,
		.event_idx = g->event_idx,
		.indirect = g->indirect,
		.callfd = -1,
		.map = g->map };
}

void
guest_begin(struct guest *g, struct bytes *in, struct zc_vq_conf *conf)
{
	uint8_t fill = bytes_u8(in);

	for (unsigned int i = 0; i < GUEST_REGIONS; i++)
		memset(g->mem[i], i == 2 ? 0x5a : fill, sizes[i]);
	guest_reset(g, in, conf);
}

void
guest_remap(struct guest *g, struct zc_vq *vq, uint8_t which)
{
	g->map = g->maps[which % GUEST_MAPS];
	vq->map = g->map;
	vq->hot = g->map->region[0];
}

/* ---- what a guest does ---- */

/* An address, mostly in a region; bit 3 counts from its end. */
static uint64_t
some_gpa(struct bytes *in)
{
	uint8_t how = bytes_u8(in);
	unsigned int i = how % 4;
	uint64_t off;

	if (i == 3)
		return bytes_u64(in);
	off = bytes_u16(in);
	if (how & 4)
		off = sizes[i] - off % 64;
	else
		off = off * (i == 2 ? 3 : 1) % sizes[i];
	return gpas[i] + off;
}

static uint32_t
some_len(struct bytes *in, uint64_t gpa)
{
	uint8_t how = bytes_u8(in);

	switch (how % 8) {
	case 0:
		return bytes_u32(in);
	case 1: /* to the end of its region, and a few bytes more or less */
		for (unsigned int i = 0; i < GUEST_REGIONS; i++)
			if (gpa - gpas[i] < sizes[i])
				return sizes[i] - (gpa - gpas[i]) + how / 8 - 16;
		return how;
	case 2:
		return bytes_u8(in);
	case 3:
		return how / 8;
	default:
		return bytes_u16(in);
	}
}

static struct vring_desc
some_desc(struct bytes *in)
{
	struct vring_desc d = { .addr = some_gpa(in) };
	uint8_t flags = bytes_u8(in);

	d.len = some_len(in, d.addr);
	d.flags = flags & 7;
	if (flags & 8)
		d.flags |= bytes_u8(in) << 8;
	d.next = flags & 16 ? bytes_u16(in) : bytes_u8(in) % 64;
	return d;
}

/* Write to guest memory, as far as it goes. */
static void
poke(struct guest *g, uint64_t gpa, const void *bytes, size_t len)
{
	for (unsigned int i = 0; i < GUEST_REGIONS; i++) {
		uint64_t off = gpa - gpas[i];

		if (off < sizes[i])
			memcpy(g->mem[i] + off, bytes, len < sizes[i] - off ? len : sizes[i] - off);
	}
}

static void
write_table(struct guest *g, struct bytes *in)
{
	uint64_t gpa = some_gpa(in);
	uint8_t how = bytes_u8(in);
	unsigned int n = how % 32;
	uint16_t first = bytes_u8(in) % g->size;

	/* The descriptor that points to it; good ones may lie behind its end. */
	g->desc[first] = (struct vring_desc){ .addr = gpa,
		.len = n * sizeof(struct vring_desc) - how / 32 * 8,
		.flags = VRING_DESC_F_INDIRECT };
	for (unsigned int i = 0; i < n && bytes_left(in) > 0; i++) {
		struct vring_desc d = some_desc(in);

		poke(g, gpa + i * sizeof(d), &d, sizeof(d));
	}
}

static void
write_bytes(struct guest *g, struct bytes *in)
{
	uint64_t gpa = some_gpa(in);
	uint8_t data[32];
	size_t n = bytes_copy(in, data, bytes_u8(in) % sizeof(data));

	poke(g, gpa, data, n);
}

static void
post(struct guest *g, struct bytes *in)
{
	uint8_t how = bytes_u8(in);

	for (unsigned int n = 1 + how / 64; n > 0; n--)
		g->avail->ring[g->avail_idx++ & (g->size - 1)] = (how & 63) + n - 1;
	g->avail->idx = g->avail_idx;
}

void
guest_act(struct guest *g, struct bytes *in, uint8_t what)
{
	unsigned int i;

	switch (what % GUEST_ACTS) {
	case 0: /* behind the ring, too */
		i = bytes_u8(in) % (g->overlap ? g->size : 64u);
		g->desc[i] = some_desc(in);
		break;
	case 1:
		write_table(g, in);
		break;
	case 2:
		write_bytes(g, in);
		break;
	case 3: /* any index at all */
		g->avail->idx = bytes_u16(in);
		g->avail->flags = bytes_u8(in);
		break;
	case 4: /* any head at all, and a used_event */
		g->avail->ring[bytes_u8(in) % (g->size + 1)] = bytes_u16(in);
		break;
	default:
		post(g, in);
		break;
	}
}

/* ---- what it knows ---- */

uint64_t
guest_holds(const struct guest *g, const uint8_t *hva, uint64_t len)
{
	for (unsigned int i = 0; i < g->map->nregions; i++) {
		const struct zc_region *r = &g->map->region[i];
		uint64_t off = (uintptr_t)hva - (uintptr_t)r->hva;

		if (off < r->size && len <= r->size - off)
			return r->iova + off;
	}
	return 0;
}

void
guest_keep(const struct guest *g)
{
	memcpy(kept, g->mem[0], sizes[0]);
	memcpy(kept + sizes[0], g->mem[1], sizes[1]);
}

void
guest_check_kept(const struct guest *g)
{
	size_t from = (uint8_t *)g->used - g->mem[0];
	size_t to = from + 6 + 8 * g->size;

	FUZZ_CHECK(memcmp(kept, g->mem[0], from) == 0, "written in front of the used ring");
	FUZZ_CHECK(memcmp(kept + to, g->mem[0] + to, sizes[0] - to) == 0,
			"written behind the used ring");
	FUZZ_CHECK(memcmp(kept + sizes[0], g->mem[1], sizes[1]) == 0, "written elsewhere");
}

/* ---- the walk ---- */

static const struct zc_region *
region_of(const struct guest *g, uint64_t gpa)
{
	for (unsigned int i = 0; i < g->map->nregions; i++)
		if (gpa - g->map->region[i].gpa < g->map->region[i].size)
			return &g->map->region[i];
	return NULL;
}

static int
add_piece(const struct guest *g, const struct vring_desc *d, struct walk *walk)
{
	uint64_t gpa = d->addr, left = d->len;

	walk->len += d->len;
	if (d->len == 0 || walk->len > UINT32_MAX)
		return -EINVAL;
	while (left > 0) {
		const struct zc_region *r = region_of(g, gpa);
		uint64_t n;

		/* The order of these two is zcnet's. */
		if (walk->n == ZC_CHAIN_SEGS_MAX)
			return -E2BIG;
		if (r == NULL)
			return -EINVAL;
		n = r->size - (gpa - r->gpa);
		n = n < left ? n : left;
		walk->piece[walk->n++] = (struct zc_seg){ .hva = r->hva + (gpa - r->gpa),
			.iova = r->iova + (gpa - r->gpa),
			.len = n };
		gpa += n;
		left -= n;
	}
	return 0;
}

/* Descriptor @i of the ring, or of an indirect table. */
static int
get_desc(const struct guest *g, const uint64_t *table, uint32_t i, struct vring_desc *d)
{
	const struct zc_region *r;
	uint64_t gpa;

	if (table == NULL) {
		*d = g->desc[i];
		return 0;
	}
	gpa = *table + 16ull * i;
	r = region_of(g, gpa);
	if (r == NULL || r->size - (gpa - r->gpa) < sizeof(*d))
		return -EINVAL;
	memcpy(d, r->hva + (gpa - r->gpa), sizeof(*d));
	return 0;
}

int
guest_walk(const struct guest *g, uint16_t head, bool writable, struct walk *walk)
{
	uint32_t count = g->size, i = head;
	bool in_table = false;
	uint64_t table = 0;
	struct vring_desc d;
	int ret;

	walk->len = 0;
	walk->n = 0;
	for (unsigned int left = g->size + 1u; left > 0; left--) {
		if (i >= count || get_desc(g, in_table ? &table : NULL, i, &d) < 0)
			return -EINVAL;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!g->indirect || in_table || (d.flags & VRING_DESC_F_NEXT) ||
					d.len == 0 || d.len % 16 != 0 || d.len / 16 > 65536)
				return -EINVAL;
			in_table = true;
			table = d.addr;
			count = d.len / 16;
			i = 0;
			continue;
		}
		if (!(d.flags & VRING_DESC_F_WRITE) != !writable)
			return -EINVAL;
		ret = add_piece(g, &d, walk);
		if (ret < 0)
			return ret;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
	return -EINVAL;
}

uint32_t
guest_gather(const struct walk *walk, uint32_t from, uint8_t *to, uint32_t max)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < walk->n && n < max; i++) {
		const struct zc_seg *s = &walk->piece[i];
		uint32_t skip = from < s->len ? from : s->len, len = s->len - skip;

		from -= skip;
		len = len < max - n ? len : max - n;
		memcpy(to + n, s->hva + skip, len);
		n += len;
	}
	return n;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How text is changed on the way to the next input: half of the time as libFuzzer does it, byte by
 * byte, which seldom leaves a file that is accepted; else a line or a word is dropped, or one that
 * stands elsewhere is put in or takes its place.
 */
#include "fuzz.h"

#define PIECES_MAX 256
#define BYTES_MAX 4096

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

struct piece {
	size_t at, len;
};

static unsigned int
pick(unsigned int *seed, unsigned int n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % n;
}

/* Cut at each of @ends, which stays with the piece in front of it. @return pieces */
static unsigned int
cut(const uint8_t *data, size_t size, const char *ends, struct piece *piece)
{
	unsigned int n = 0;
	size_t at = 0;

	for (size_t i = 0; i < size && n < PIECES_MAX; i++) {
		if (i + 1 < size && (data[i] == '\0' || strchr(ends, data[i]) == NULL))
			continue;
		piece[n++] = (struct piece){ at, i + 1 - at };
		at = i + 1;
	}
	return n;
}

/* Put @len bytes where @out was. @return bytes in all */
static size_t
put(uint8_t *data, size_t size, size_t max, struct piece out, const uint8_t *in, size_t len)
{
	if (size - out.len + len > max)
		return size;
	memmove(data + out.at + len, data + out.at + out.len, size - out.at - out.len);
	memcpy(data + out.at, in, len);
	return size - out.len + len;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	struct piece piece[PIECES_MAX], to, from = { 0 };
	uint8_t copy[BYTES_MAX];
	unsigned int n, how = pick(&seed, 8);

	if (how < 4 || size == 0 || size > sizeof(copy))
		return LLVMFuzzerMutate(data, size, max);
	n = cut(data, size, how & 1 ? "\n" : " \t\n", piece);
	to = piece[pick(&seed, n)];
	if (how >= 6 || pick(&seed, 3) > 0)
		from = piece[pick(&seed, n)];
	/* In front of the other one. */
	if (how >= 6)
		to.len = 0;
	memcpy(copy, data + from.at, from.len);
	return put(data, size, max, to, copy, from.len);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every fuzz target needs: libFuzzer's two entry points, the input read piece by piece, and
 * checks that stop the program where they stand.
 *
 * A target behaves the same for the same input, whatever ran before it in the process.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Not to stderr, which a target may have turned off. DPDK has a macro dprintf() that does nothing:
 * in parentheses it is the function.
 */
#define FUZZ_CHECK(cond, ...) \
	do { \
		if (!(cond)) { \
			(dprintf)(STDERR_FILENO, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			(dprintf)(STDERR_FILENO, __VA_ARGS__); \
			(dprintf)(STDERR_FILENO, "\n"); \
			abort(); \
		} \
	} while (0)

/** What is left of an input. Behind its end are zeros. */
struct bytes {
	const uint8_t *at;
	const uint8_t *end;
};

static inline size_t
bytes_left(const struct bytes *in)
{
	return in->end - in->at;
}

static inline uint8_t
bytes_u8(struct bytes *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint16_t
bytes_u16(struct bytes *in)
{
	uint16_t low = bytes_u8(in);

	return low | bytes_u8(in) << 8;
}

static inline uint32_t
bytes_u32(struct bytes *in)
{
	uint32_t low = bytes_u16(in);

	return low | (uint32_t)bytes_u16(in) << 16;
}

static inline uint64_t
bytes_u64(struct bytes *in)
{
	uint64_t low = bytes_u32(in);

	return low | (uint64_t)bytes_u32(in) << 32;
}

/** Copy up to @p len bytes out. @return how many */
static inline size_t
bytes_copy(struct bytes *in, void *to, size_t len)
{
	size_t n = len < bytes_left(in) ? len : bytes_left(in);

	memcpy(to, in->at, n);
	in->at += n;
	return n;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between frontend.c and vhu.c.
 */
#ifndef FRONTEND_PRIV_H
#define FRONTEND_PRIV_H

#include "frontend.h"

/** Keep the sentence for frontend_error(). @return @p ret */
int frontend_failed(struct frontend *fe, int ret, const char *format, ...)
		__attribute__((format(printf, 3, 4)));

/**
 * Memory files of a hugetlbfs of their own that holds no more than these @p bytes. Its
 * descriptor, or negative.
 */
int frontend_hugetlbfs_create(struct frontend *fe, uint64_t bytes);

/** Begin to listen on conf.path. */
int frontend_listen(struct frontend *fe);

#endif

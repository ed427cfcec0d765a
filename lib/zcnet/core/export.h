/* SPDX-License-Identifier: BSD-3-Clause */
/* What libzcnet.so shows: the public API, and the few calls that our own drivers forward to. */
#ifndef ZC_CORE_EXPORT_H
#define ZC_CORE_EXPORT_H

#define ZC_EXPORT __attribute__((visibility("default")))

#endif

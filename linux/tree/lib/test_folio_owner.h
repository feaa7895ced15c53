/* SPDX-License-Identifier: GPL-2.0-only */
/* What the test drivers of owners share. */
#ifndef _LIB_TEST_FOLIO_OWNER_H
#define _LIB_TEST_FOLIO_OWNER_H

#include <linux/atomic.h>

struct tfo_args;

/* The order of what happens to all objects. */
extern atomic64_t tfo_clock;

/* test_folio_pool.c */
int tfp_cycle(struct tfo_args *args);

#endif /* _LIB_TEST_FOLIO_OWNER_H */

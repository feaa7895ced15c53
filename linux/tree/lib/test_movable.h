/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the test driver for movable pages share. */
#ifndef _LIB_TEST_MOVABLE_H
#define _LIB_TEST_MOVABLE_H

#include <linux/list.h>
#include "test_movable_uapi.h"

/* test_movable.c */
void tm_migrate_list(struct list_head *list, struct tm_args *args);

/* test_movable_users.c */
int tm_zsmalloc(struct tm_args *args);
int tm_balloon(struct tm_args *args);

#endif /* _LIB_TEST_MOVABLE_H */

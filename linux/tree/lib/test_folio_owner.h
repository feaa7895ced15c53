/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test drivers of owners share.
 *
 * test_folio_owner.c		objects, their commands, and folios with an owner
 * test_folio_owner_ops.c	the ops of an object's owner
 * test_folio_pool.c		a pool that owns its folios
 * test_userptr.c		mirrors of user memory
 */
#ifndef _LIB_TEST_FOLIO_OWNER_H
#define _LIB_TEST_FOLIO_OWNER_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/shmem_owner.h>
#include <linux/spinlock.h>
#include "test_folio_owner_uapi.h"

struct folio_owner;

struct tfo_object {
	struct mutex lock;		/* pages */
	spinlock_t stats_lock;		/* stats */
	struct tfo_stats stats;
	struct file *file;
	unsigned long nr;
	struct folio **pages;
	unsigned long *resting;
	unsigned long *cut;		/* truncated: they read as zeroes */
	u8 *attempts;			/* by page; stats_lock */
	unsigned int tries;
	struct folio *held;
	struct shmem_owner_ops ops;
	enum tfo_behaviour behaviour;
	struct completion inside, go;
	struct mmu_notifier notifier;
	struct mm_struct *mm;
	struct folio_owner *content, *frame;
};

/* The order of what happens to all objects. */
extern atomic64_t tfo_clock;

static inline void tfo_count(struct tfo_object *obj, u32 *what)
{
	unsigned long flags;

	spin_lock_irqsave(&obj->stats_lock, flags);
	(*what)++;
	spin_unlock_irqrestore(&obj->stats_lock, flags);
}

/* test_folio_owner_ops.c */
void tfo_wake(struct tfo_object *obj);
void tfo_lock(struct tfo_object *obj);
int tfo_register(struct tfo_object *obj, struct tfo_args *args);
unsigned long tfo_attempts(struct tfo_object *obj, bool maybe);
void tfo_change_ops(struct tfo_object *obj);

/* test_folio_pool.c */
int tfp_cycle(struct tfo_args *args);

#endif /* _LIB_TEST_FOLIO_OWNER_H */

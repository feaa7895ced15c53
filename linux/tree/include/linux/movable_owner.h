/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owners of movable pages that are on no LRU list. See mm/movable_owner.c.
 */
#ifndef _LINUX_MOVABLE_OWNER_H
#define _LINUX_MOVABLE_OWNER_H

#include <linux/err.h>
#include <linux/jump_label.h>
#include <linux/migrate.h>

struct movable_owner;
struct movable_owner_batch;

/**
 * struct movable_owner_ops - what the owner of movable pages is asked
 * @name: who this is, for messages and traces; mandatory
 * @min_mode: the cheapest mode in which @migrate can do anything. Below it no
 *	op is called, and a page is not moved (-EBUSY).
 * @patience: in a mode that may wait, how many jiffies to wait for
 *	movable_owner_ready() after @migrate has answered -EAGAIN. 0: not at all.
 * @isolate: Optional; NULL: always yes. @page is wanted elsewhere: may it be
 *	taken? From a yes until @migrate has moved it or @putback is called,
 *	page->lru is the core's: take the page off the owner's list.
 *
 *	Called: process context; @page is locked; must not sleep.
 *	Answer: 0: yes. Anything else: no, and why; it goes into the trace.
 * @migrate: Mandatory. Copy @src to @dst and point everything at it. On success
 *	the core marks @dst as the owner's and @src as nobody's, and moves the
 *	reference that the owner holds from the one to the other.
 *
 *	Called: process context; both pages are locked; may sleep as @mode says.
 *	Answer: 0: done. -EAGAIN: when movable_owner_ready() has been called.
 *	Anything else: not in this attempt. After an error @src is as it was.
 * @putback: Optional. @page stays where it is; page->lru is the owner's again.
 *	Called exactly once for each yes of @isolate that did not end in a
 *	success of @migrate, movable_owner_clear() or movable_owner_revoke().
 *
 *	Called: process context; @page is locked; must not sleep.
 * @batch_begin: Optional, with @batch_end. @nr pages of the owner are about to
 *	be handed to @migrate.
 *
 *	Called: process context; they are locked; may sleep as @mode says.
 * @batch_end: Optional, with @batch_begin. Each of them has moved or has failed.
 */
struct movable_owner_ops {
	const char *name;
	enum migrate_mode min_mode;
	unsigned long patience;
	int (*isolate)(struct page *page, isolate_mode_t mode, void *private);
	int (*migrate)(struct page *dst, struct page *src,
		       enum migrate_mode mode, void *private);
	void (*putback)(struct page *page, void *private);
	void (*batch_begin)(unsigned int nr, enum migrate_mode mode,
			    void *private);
	void (*batch_end)(void *private);
};

#define MOVABLE_OWNER_MAX_BATCH	4

#ifdef CONFIG_MOVABLE_OWNER

DECLARE_STATIC_KEY_FALSE(movable_owner_key);

struct movable_owner *movable_owner_register(const struct movable_owner_ops *ops,
					     void *private);
void movable_owner_revoke(struct movable_owner *owner);
void movable_owner_unregister(struct movable_owner *owner);
int movable_owner_set(struct page *page, struct movable_owner *owner);
void movable_owner_clear(struct page *page);
void movable_owner_ready(struct movable_owner *owner, struct page *page);

/* For the memory management. */

struct movable_owner_batch * __cold
__movable_owner_batch_begin(struct list_head *folios, enum migrate_mode mode);
void __cold __movable_owner_batch_end(struct movable_owner_batch *batch);

/* NULL: nobody has to be told of the end of the batch. */
static inline struct movable_owner_batch *
movable_owner_batch_begin(struct list_head *folios, enum migrate_mode mode)
{
	return static_branch_unlikely(&movable_owner_key) ?
		       __movable_owner_batch_begin(folios, mode) :
		       NULL;
}

static inline void movable_owner_batch_end(struct movable_owner_batch *batch)
{
	if (unlikely(batch))
		__movable_owner_batch_end(batch);
}

#else /* !CONFIG_MOVABLE_OWNER */

static inline struct movable_owner *
movable_owner_register(const struct movable_owner_ops *ops, void *private)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void movable_owner_revoke(struct movable_owner *owner)
{
}

static inline void movable_owner_unregister(struct movable_owner *owner)
{
}

static inline int movable_owner_set(struct page *page,
				    struct movable_owner *owner)
{
	return -EOPNOTSUPP;
}

static inline void movable_owner_clear(struct page *page)
{
}

static inline void movable_owner_ready(struct movable_owner *owner,
				       struct page *page)
{
}

static inline struct movable_owner_batch *
movable_owner_batch_begin(struct list_head *folios, enum migrate_mode mode)
{
	return NULL;
}

static inline void movable_owner_batch_end(struct movable_owner_batch *batch)
{
}

#endif /* CONFIG_MOVABLE_OWNER */
#endif /* _LINUX_MOVABLE_OWNER_H */

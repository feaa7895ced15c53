// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of movable pages that are on no LRU list.
 *
 * A driver can make its own pages movable with struct movable_operations. What
 * that leaves to it is hard to get right, and some of it cannot be done: it
 * cannot say why a page stays, nor when it would move; it is asked ten times at
 * once for what cannot work yet; and it cannot be unloaded while pages of its
 * are left, for each of them points at its ops.
 *
 * An owner stands between the two. Its pages carry the ops of this file, inside
 * of struct movable_owner, and these call the driver's as long as they may.
 *
 * Invariants:
 *
 *   - A page of an owner has owner->mops as its movable_operations, counts in
 *     owner->pages, and keeps the owner's memory. Both change under the page
 *     lock. So whoever finds the ops of a page under its lock may use them.
 *   - owner->refs = 1 while registered and not revoked + the ops running. At 0
 *     no op can start any more, and owner->gone completes: all of the owner's
 *     pages stop being movable in one moment, whoever holds their locks.
 *   - PG_isolated set and not revoked: isolate() has said yes, and the driver
 *     has heard of nothing since.
 *
 * Lock order: page lock > whatever the driver takes in its ops.
 */
#include <linux/completion.h>
#include <linux/export.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/migrate_blocker.h>
#include <linux/mm.h>
#include <linux/movable_owner.h>
#include <linux/page-flags.h>
#include <linux/pageblock-flags.h>
#include <linux/pagemap.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait.h>

struct movable_owner {
	struct movable_operations mops;	/* what the pages point at */
	struct movable_owner_ops ops;
	void *private;
	char name[32];			/* outlives the driver */
	refcount_t refs;
	struct completion gone;
	struct kref memory;		/* the registration, and each page */
	atomic_t ready;			/* counts movable_owner_ready() */
	wait_queue_head_t wait;
	bool revoked;			/* by one call; the others wait for it */
};

DEFINE_STATIC_KEY_FALSE(movable_owner_key);

static bool movable_owner_isolate(struct page *page, isolate_mode_t mode);
static int movable_owner_migrate(struct page *dst, struct page *src,
				 enum migrate_mode mode);
static void movable_owner_putback(struct page *page);

/* The owner of a page whose lock is held, if it has one of ours. */
static struct movable_owner *movable_owner_of(struct page *page)
{
	const struct movable_operations *mops;

	if (!PageMovable(page))
		return NULL;
	mops = page_movable_ops(page);
	if (mops->migrate_page != movable_owner_migrate)
		return NULL;
	return container_of(mops, struct movable_owner, mops);
}

static bool movable_owner_get(struct movable_owner *owner)
{
	return refcount_inc_not_zero(&owner->refs);
}

static void movable_owner_put(struct movable_owner *owner)
{
	if (refcount_dec_and_test(&owner->refs))
		complete(&owner->gone);
}

static void movable_owner_free(struct kref *memory)
{
	kfree(container_of(memory, struct movable_owner, memory));
}

static void movable_owner_blocks(struct movable_owner *owner, struct page *page,
				 int rc)
{
	migrate_blocker_note(page_folio(page), rc == -EAGAIN ?
			     MIGRATE_BLOCKER_DRIVER_AGAIN :
			     MIGRATE_BLOCKER_DRIVER_REFUSED, rc,
			     owner->name, NULL, page_ref_count(page),
			     page_ref_count(page));
}

/*
 * A no is not seen by anybody who could report it, so it is reported here. Who
 * takes unevictable pages, too, is after a contiguous range.
 */
static bool movable_owner_isolate(struct page *page, isolate_mode_t mode)
{
	struct movable_owner *owner = movable_owner_of(page);
	int rc = 0;

	if (!movable_owner_get(owner)) {
		rc = -ENODEV;
	} else {
		if (mode & ISOLATE_ASYNC_MIGRATE &&
		    owner->ops.min_mode > MIGRATE_ASYNC)
			rc = -EBUSY;
		else if (owner->ops.isolate)
			rc = owner->ops.isolate(page, mode, owner->private);
		movable_owner_put(owner);
	}
	if (rc) {
		movable_owner_blocks(owner, page, rc);
		migrate_blocker_refused(page_folio(page),
					mode & ISOLATE_ASYNC_MIGRATE ?
					MIGRATE_ASYNC : MIGRATE_SYNC,
					mode & ISOLATE_UNEVICTABLE ?
					MR_CONTIG_RANGE : MR_COMPACTION);
	}
	return !rc;
}

/*
 * -EAGAIN of the driver means: when I have called movable_owner_ready(). To ask
 * again at once, ten times, cannot help. Where it may be waited for, it is, and
 * as often as the driver says that it is ready; otherwise the attempt is over.
 */
static int movable_owner_try(struct movable_owner *owner, struct page *dst,
			     struct page *src, enum migrate_mode mode)
{
	unsigned long left = owner->ops.patience;
	int ready, rc;

	for (;;) {
		ready = atomic_read_acquire(&owner->ready);
		rc = owner->ops.migrate(dst, src, mode, owner->private);
		if (rc != -EAGAIN || mode == MIGRATE_ASYNC || !left ||
		    READ_ONCE(owner->revoked))
			break;
		left = wait_event_timeout(owner->wait,
					  atomic_read(&owner->ready) != ready,
					  left);
	}
	return rc;
}

static int movable_owner_migrate(struct page *dst, struct page *src,
				 enum migrate_mode mode)
{
	struct movable_owner *owner = movable_owner_of(src);
	int rc = -EBUSY;

	if (!movable_owner_get(owner)) {
		movable_owner_blocks(owner, src, -ENODEV);
		return -ENODEV;
	}
	if (mode >= owner->ops.min_mode)
		rc = movable_owner_try(owner, dst, src, mode);
	if (!rc) {
		/* The reference of the owner, and its mark, change places. */
		get_page(dst);
		__SetPageMovable(dst, &owner->mops);
		__ClearPageMovable(src);
		put_page(src);
	} else {
		movable_owner_blocks(owner, src, rc);
	}
	movable_owner_put(owner);
	return rc == -EAGAIN ? -EBUSY : rc;
}

static void movable_owner_putback(struct page *page)
{
	struct movable_owner *owner = movable_owner_of(page);

	if (!movable_owner_get(owner))
		return;
	if (owner->ops.putback)
		owner->ops.putback(page, owner->private);
	movable_owner_put(owner);
}

/**
 * movable_owner_register() - become somebody whose pages can move
 * @ops: what to call; copied. See struct movable_owner_ops
 * @private: handed to each call
 *
 * Context: process context; may sleep.
 * Return: the owner; ERR_PTR(-EINVAL) if @ops lacks what is mandatory or has
 * one part of a batch without the other; ERR_PTR(-ENOMEM).
 */
struct movable_owner *movable_owner_register(const struct movable_owner_ops *ops,
					     void *private)
{
	struct movable_owner *owner;

	if (!ops || !ops->name || !ops->migrate ||
	    !ops->batch_begin != !ops->batch_end)
		return ERR_PTR(-EINVAL);
	owner = kzalloc(sizeof(*owner), GFP_KERNEL);
	if (!owner)
		return ERR_PTR(-ENOMEM);
	owner->mops.isolate_page = movable_owner_isolate;
	owner->mops.migrate_page = movable_owner_migrate;
	owner->mops.putback_page = movable_owner_putback;
	owner->ops = *ops;
	owner->private = private;
	strscpy(owner->name, ops->name, sizeof(owner->name));
	refcount_set(&owner->refs, 1);
	init_completion(&owner->gone);
	kref_init(&owner->memory);
	init_waitqueue_head(&owner->wait);
	static_branch_inc(&movable_owner_key);
	return owner;
}
EXPORT_SYMBOL_GPL(movable_owner_register);

/**
 * movable_owner_revoke() - no page of an owner moves any more
 * @owner: from movable_owner_register()
 *
 * No op starts any more, on any page, and those that run are waited for.
 * Afterwards the pages stay where they are and no callback comes, not even
 * putback(): what @owner had isolated has been given back to it.
 *
 * Context: process context; sleeps as long as the ops do. Not from an op, and
 * with no lock that an op waits for.
 */
void movable_owner_revoke(struct movable_owner *owner)
{
	if (!xchg(&owner->revoked, true)) {
		/* Who waits for us to become ready need not. */
		movable_owner_ready(owner, NULL);
		movable_owner_put(owner);
	}
	wait_for_completion(&owner->gone);
	/* For the next one, if there are several. */
	complete_all(&owner->gone);
}
EXPORT_SYMBOL_GPL(movable_owner_revoke);

/**
 * movable_owner_unregister() - stop being an owner
 * @owner: from movable_owner_register(), or an error, or NULL
 *
 * Revokes @owner. Its code and data may go, even if there are pages left that
 * it has not cleared: they stay where they are until they are freed, and a few
 * bytes that they point at stay with them.
 *
 * Context: as movable_owner_revoke().
 */
void movable_owner_unregister(struct movable_owner *owner)
{
	if (IS_ERR_OR_NULL(owner))
		return;
	movable_owner_revoke(owner);
	static_branch_dec(&movable_owner_key);
	kref_put(&owner->memory, movable_owner_free);
}
EXPORT_SYMBOL_GPL(movable_owner_unregister);

/**
 * movable_owner_set() - make a page movable
 * @page: a page of order 0 that the caller has locked, and which nobody else
 *	has a use for
 * @owner: whom to ask; it holds one reference to @page
 *
 * Context: any in which a page can be locked.
 * Return: 0; -EINVAL if @page is part of a larger one, has a mapping or is of
 * another type, on the LRU or slab memory, for one; -ENODEV if @owner has been
 * revoked.
 */
int movable_owner_set(struct page *page, struct movable_owner *owner)
{
	if (PageCompound(page) || page_has_type(page) || PageLRU(page) ||
	    (page->mapping && !__PageMovable(page)) || PageMovable(page))
		return -EINVAL;
	if (!movable_owner_get(owner))
		return -ENODEV;
	kref_get(&owner->memory);
	__SetPageMovable(page, &owner->mops);
	movable_owner_put(owner);
	return 0;
}
EXPORT_SYMBOL_GPL(movable_owner_set);

/**
 * movable_owner_clear() - a page is not movable any more
 * @page: from movable_owner_set(), or where migrate() has moved it; locked
 *
 * No op is called for @page after this, even if it is isolated. To free it,
 * unlock it and drop the reference.
 *
 * Context: any in which a page can be locked. After movable_owner_revoke(), too.
 */
void movable_owner_clear(struct page *page)
{
	struct movable_owner *owner = movable_owner_of(page);

	if (WARN_ON_ONCE(!owner))
		return;
	__ClearPageMovable(page);
	kref_put(&owner->memory, movable_owner_free);
}
EXPORT_SYMBOL_GPL(movable_owner_clear);

/**
 * movable_owner_ready() - what could not be moved now can
 * @owner: whose migrate() has answered -EAGAIN, or isolate() no
 * @page: which page, or NULL if it is more than one. The caller keeps it from
 *	being freed
 *
 * Wakes up who waits for it, and lets compaction look at the block of @page
 * again: it may have noted that there is nothing to be got there.
 *
 * Context: any.
 */
void movable_owner_ready(struct movable_owner *owner, struct page *page)
{
	atomic_inc(&owner->ready);
	if (page)
		clear_pageblock_skip(page);
	wake_up_all(&owner->wait);
}
EXPORT_SYMBOL_GPL(movable_owner_ready);

/* The owners that have been told of a batch. They are held until its end. */
struct movable_owner_batch {
	unsigned int nr;
	struct movable_owner *owners[MOVABLE_OWNER_MAX_BATCH];
	unsigned int pages[MOVABLE_OWNER_MAX_BATCH];
};

/* All of @folios are locked. Allocated: see __shmem_owner_batch_begin(). */
struct movable_owner_batch *
__movable_owner_batch_begin(struct list_head *folios, enum migrate_mode mode)
{
	struct movable_owner_batch *batch = NULL;
	struct movable_owner *owner;
	struct folio *folio;
	unsigned int i;

	list_for_each_entry(folio, folios, lru) {
		owner = movable_owner_of(&folio->page);
		if (!owner || !owner->ops.batch_begin ||
		    mode < owner->ops.min_mode)
			continue;
		if (!batch)
			batch = kzalloc(sizeof(*batch),
					GFP_NOWAIT | __GFP_NOWARN);
		if (!batch)
			return NULL;
		for (i = 0; i < batch->nr; i++)
			if (batch->owners[i] == owner)
				break;
		if (i == MOVABLE_OWNER_MAX_BATCH)
			continue;
		if (i == batch->nr) {
			if (!movable_owner_get(owner))
				continue;
			batch->owners[i] = owner;
			batch->nr++;
		}
		batch->pages[i]++;
	}
	for (i = 0; batch && i < batch->nr; i++) {
		owner = batch->owners[i];
		owner->ops.batch_begin(batch->pages[i], mode, owner->private);
	}
	return batch;
}

void __movable_owner_batch_end(struct movable_owner_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->nr; i++) {
		struct movable_owner *owner = batch->owners[i];

		owner->ops.batch_end(owner->private);
		/* Its pages may have been cleared, and it be waiting for us. */
		movable_owner_put(owner);
	}
	kfree(batch);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of folios: who is called when the last reference to a folio goes.
 *
 * An owned folio has PG_owned set on its (head) page, and folio_owners holds
 * its owner at the number of each of its page frames. Both outlive whatever
 * else is done with the folio - lists, page tables, locks, the page cache -
 * for they overlay nothing: an owner is set once and stays until it is
 * cleared. One entry for each frame, not for each folio, because splitting a
 * large folio then needs no memory: the parts find their owner where it was.
 *
 * Invariants:
 *
 *   - While PG_owned is set and the owner is registered, every frame of the
 *     folio has an entry, and they are equal. A folio without PG_owned has
 *     none, except between the two calls of a migration, when the entries of
 *     the destination are reserved (xa_load() answers NULL).
 *   - The number of entries of an owner is owner->nr_pages.
 *   - An entry of a folio whose count is 0 is FOLIO_RESTING if the folio is,
 *     or is about to be, in the hands of its owner; otherwise somebody is on
 *     the way to __folio_owner_free() with it.
 *
 * PG_owned and the entries change under the lock of folio_owners, by somebody
 * who holds a reference or who brought the count to 0. The lock is taken with
 * interrupts disabled and nests inside everything.
 */
#include <linux/export.h>
#include <linux/folio_owner.h>
#include <linux/memcontrol.h>
#include <linux/migrate_blocker.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

/* Marks on the entry of the first frame of a folio. */
#define FOLIO_RESTING	XA_MARK_0
#define FOLIO_MIGRATED	XA_MARK_1

struct folio_owner {
	const struct folio_owner_ops *ops;
	void *private;
	atomic_long_t nr_pages;
	bool dying;
	struct rcu_head rcu;
};

DEFINE_STATIC_KEY_FALSE(folio_owner_key);

static DEFINE_XARRAY_FLAGS(folio_owners, XA_FLAGS_LOCK_IRQ);

/*
 * Take the entries of @folio away, those of @only or (NULL) all. By somebody
 * with a reference, or with the count at 0 and the folio in his hands.
 */
static long folio_owner_erase(struct folio *folio, struct folio_owner *only)
{
	unsigned long pfn = folio_pfn(folio), end = pfn + folio_nr_pages(folio);
	struct folio_owner *owner;
	unsigned long flags;
	long nr = 0;

	xa_lock_irqsave(&folio_owners, flags);
	for (; pfn < end; pfn++) {
		owner = xa_load(&folio_owners, pfn);
		if (!owner || (only && owner != only))
			continue;
		__xa_erase(&folio_owners, pfn);
		atomic_long_dec(&owner->nr_pages);
		nr++;
	}
	if (nr || !only)
		folio_clear_owned(folio);
	xa_unlock_irqrestore(&folio_owners, flags);
	return nr;
}

/**
 * folio_owner_register() - become somebody who can own folios
 * @ops: what to call; see struct folio_owner_ops
 * @private: handed to each call
 *
 * Context: process context; may sleep.
 * Return: the owner, or ERR_PTR(-EINVAL) if @ops lacks what is mandatory or is
 * not aligned to 4 bytes, or ERR_PTR(-ENOMEM).
 */
struct folio_owner *folio_owner_register(const struct folio_owner_ops *ops,
					 void *private)
{
	struct folio_owner *owner;

	if (!ops || !IS_ALIGNED((unsigned long)ops, 4) || !ops->free ||
	    !ops->name)
		return ERR_PTR(-EINVAL);
	owner = kzalloc(sizeof(*owner), GFP_KERNEL);
	if (!owner)
		return ERR_PTR(-ENOMEM);
	owner->ops = ops;
	owner->private = private;
	static_branch_inc(&folio_owner_key);
	return owner;
}
EXPORT_SYMBOL_GPL(folio_owner_register);

/*
 * One pass over what @owner still has. A folio that can be referenced is let
 * go of; so is one that rests with its owner. What has count 0 and does not
 * rest is frozen for a moment (a split, a commit of a migration), or about to
 * be freed and will let go by itself: the caller comes back.
 */
static void folio_owner_disown(struct folio_owner *owner)
{
	struct folio_owner *entry;
	unsigned long pfn;

	xa_for_each(&folio_owners, pfn, entry) {
		struct folio *folio = NULL;
		bool resting = false;

		if (entry != owner)
			continue;
		/*
		 * With the entry there and the lock held, the frame cannot
		 * have reached the page allocator.
		 */
		xa_lock_irq(&folio_owners);
		if (xa_load(&folio_owners, pfn) == owner &&
		    !PageTail(pfn_to_page(pfn))) {
			folio = pfn_folio(pfn);
			if (!folio_try_get(folio)) {
				resting = xa_get_mark(&folio_owners, pfn,
						      FOLIO_RESTING);
				if (!resting)
					folio = NULL;
			}
		}
		xa_unlock_irq(&folio_owners);
		if (folio)
			folio_owner_erase(folio, owner);
		if (folio && !resting)
			folio_put(folio);
		cond_resched();
	}
}

/**
 * folio_owner_unregister() - stop being an owner
 * @owner: from folio_owner_register()
 *
 * Whatever @owner still owns is let go of: from now on the last reference to
 * such a folio frees it as usual. Folios that rest with the owner, their
 * count 0, remain its own to dispose of; it must not touch them while this
 * runs. Afterwards no call of @owner's ops runs or will run, and its code and
 * data may go.
 *
 * Context: process context; sleeps. Not from an op (they may not sleep).
 */
void folio_owner_unregister(struct folio_owner *owner)
{
	if (IS_ERR_OR_NULL(owner))
		return;
	/* Pairs with folio_owner_set(), which counts first and looks then. */
	WRITE_ONCE(owner->dying, true);
	/* Whoever saw it alive has left its op after this. */
	synchronize_rcu();
	folio_owner_disown(owner);
	while (atomic_long_read(&owner->nr_pages)) {
		schedule_timeout_uninterruptible(1);
		folio_owner_disown(owner);
	}
	static_branch_dec(&folio_owner_key);
	kfree_rcu(owner, rcu);
}
EXPORT_SYMBOL_GPL(folio_owner_unregister);

/**
 * folio_owner_nr_pages() - how much an owner owns
 * @owner: from folio_owner_register()
 *
 * Return: the number of pages of all folios of @owner, those resting with it
 * included.
 */
unsigned long folio_owner_nr_pages(struct folio_owner *owner)
{
	return atomic_long_read(&owner->nr_pages);
}
EXPORT_SYMBOL_GPL(folio_owner_nr_pages);

/**
 * folio_owner_set() - give a folio an owner
 * @folio: a folio; the caller holds a reference
 * @owner: whom to call when its last reference goes
 * @gfp: how to allocate the entries, 8 bytes a page and the tree above them
 *
 * The owner stays through everything that can happen to a folio, until
 * folio_owner_clear() or folio_owner_unregister(): lists, page tables, the
 * page cache, reclaim. It follows the content in a migration, if the owner
 * allows one, and goes to each part when a large folio is split.
 *
 * Context: process context, interrupts enabled; sleeps if @gfp allows.
 * Return: 0; -EEXIST if @folio has an owner; -EINVAL for what has an owner of
 * another kind (hugetlb, device memory, slab, movable_operations, charged
 * kernel memory); -ENODEV if @owner is being unregistered; -ENOMEM.
 */
int folio_owner_set(struct folio *folio, struct folio_owner *owner, gfp_t gfp)
{
	unsigned long pfn = folio_pfn(folio);
	long i, nr = folio_nr_pages(folio);
	int err = 0;

	if (folio_test_hugetlb(folio) || folio_is_zone_device(folio) ||
	    folio_test_slab(folio) || __folio_test_movable(folio) ||
	    folio_memcg_kmem(folio))
		return -EINVAL;

	/* Who inserts the first entry has won. */
	for (i = 0; i < nr; i++) {
		err = xa_insert_irq(&folio_owners, pfn + i, owner, gfp);
		if (err)
			break;
	}
	atomic_long_add(i, &owner->nr_pages);
	if (!err) {
		folio_set_owned(folio);
		/* Either we see it dying, or it sees what we have counted. */
		smp_mb__after_atomic();
		if (!READ_ONCE(owner->dying))
			return 0;
		folio_owner_erase(folio, owner);
		return -ENODEV;
	}

	while (i--)
		if (xa_cmpxchg_irq(&folio_owners, pfn + i, owner, NULL, 0) == owner)
			atomic_long_dec(&owner->nr_pages);
	return err == -EBUSY ? -EEXIST : err;
}
EXPORT_SYMBOL_GPL(folio_owner_set);

/**
 * folio_owner_clear() - take a folio's owner away
 * @folio: a folio; the caller holds a reference, or is the owner and the folio
 *	rests with it, its count 0
 *
 * The last reference then frees @folio as usual.
 *
 * Context: any.
 * Return: 0, or -ENOENT if @folio has no owner.
 */
int folio_owner_clear(struct folio *folio)
{
	if (!folio_test_owned(folio) || !folio_owner_erase(folio, NULL))
		return -ENOENT;
	return 0;
}
EXPORT_SYMBOL_GPL(folio_owner_clear);

/**
 * folio_owner_ops() - the ops of a folio's owner
 * @folio: a folio; the caller holds a reference
 *
 * Context: any.
 * Return: the ops table, or NULL if @folio has no owner. It is stable only
 * where something keeps the owner registered.
 */
const struct folio_owner_ops *folio_owner_ops(struct folio *folio)
{
	const struct folio_owner_ops *ops = NULL;
	struct folio_owner *owner;

	if (!folio_is_owned(folio))
		return NULL;
	rcu_read_lock();
	owner = xa_load(&folio_owners, folio_pfn(folio));
	if (owner)
		ops = owner->ops;
	rcu_read_unlock();
	return ops;
}
EXPORT_SYMBOL_GPL(folio_owner_ops);

static void folio_owner_mark(struct folio *folio, xa_mark_t mark, bool set)
{
	unsigned long flags;

	xa_lock_irqsave(&folio_owners, flags);
	if (set)
		__xa_set_mark(&folio_owners, folio_pfn(folio), mark);
	else
		__xa_clear_mark(&folio_owners, folio_pfn(folio), mark);
	xa_unlock_irqrestore(&folio_owners, flags);
}

/**
 * folio_owner_revive() - put a folio that rests with its owner to use again
 * @folio: a folio of count 0 that free() has answered true for
 *
 * Its count becomes 1, and free() is called again when it next falls to 0.
 *
 * Context: any.
 * Return: 0, or -EINVAL if @folio has a reference.
 */
int folio_owner_revive(struct folio *folio)
{
	if (WARN_ON_ONCE(folio_ref_count(folio)))
		return -EINVAL;
	folio_owner_mark(folio, FOLIO_RESTING, false);
	/* What the owner wrote into the folio is seen by who gets it. */
	folio_ref_unfreeze(folio, 1);
	return 0;
}
EXPORT_SYMBOL_GPL(folio_owner_revive);

/* The count of @folio is 0 and PG_owned is set. */
bool __folio_owner_free(struct folio *folio)
{
	enum folio_owner_reason reason = FOLIO_OWNER_LAST_REF;
	unsigned long pfn = folio_pfn(folio);
	struct folio_owner *owner;
	bool taken = false;

	VM_WARN_ON_ONCE_FOLIO(folio_ref_count(folio), folio);
	VM_WARN_ON_ONCE_FOLIO(folio_test_lru(folio), folio);

	rcu_read_lock();
	owner = xa_load(&folio_owners, pfn);
	if (owner && !READ_ONCE(owner->dying)) {
		if (xa_get_mark(&folio_owners, pfn, FOLIO_MIGRATED)) {
			reason = FOLIO_OWNER_MIGRATED;
			folio_owner_mark(folio, FOLIO_MIGRATED, false);
		}
		/* Before the call: it may revive the folio at once. */
		folio_owner_mark(folio, FOLIO_RESTING, true);
		/* An anonymous folio is one until it is freed; that is now. */
		if (folio_test_anon(folio))
			mod_mthp_stat(folio_order(folio), MTHP_STAT_NR_ANON,
				      -1);
		folio->mapping = NULL;
		taken = owner->ops->free(folio, reason, owner->private);
	}
	if (!taken)
		folio_owner_erase(folio, NULL);
	rcu_read_unlock();
	return taken;
}

/*
 * Both folios are locked, @dst is known to nobody, and the content is about to
 * move. Reserves the entries of @dst, so that the end cannot fail; PG_owned on
 * @dst says that this was done.
 */
int folio_owner_migrate_begin(struct folio *dst, struct folio *src)
{
	const struct folio_owner_ops *ops = folio_owner_ops(src);
	unsigned long pfn = folio_pfn(dst);
	long i, nr = folio_nr_pages(dst);

	if (!ops)
		return 0;
	if (!ops->migrate) {
		migrate_blocker_note(src, MIGRATE_BLOCKER_OWNED_FRAME, -EBUSY,
				     ops->name, NULL,
				     folio_expected_ref_count(src) + 1,
				     folio_ref_count(src));
		return -EBUSY;
	}
	for (i = 0; i < nr; i++) {
		if (!xa_reserve_irq(&folio_owners, pfn + i,
				    GFP_NOWAIT | __GFP_NOWARN))
			continue;
		while (i--)
			xa_erase_irq(&folio_owners, pfn + i);
		return -ENOMEM;
	}
	folio_set_owned(dst);
	return 0;
}

/* Both folios are still locked; @rc is how the migration ended. */
void folio_owner_migrate_end(struct folio *dst, struct folio *src, int rc)
{
	unsigned long pfn = folio_pfn(dst);
	long i, nr = folio_nr_pages(dst);
	struct folio_owner *owner = NULL;
	unsigned long flags;

	/* No owner any more when this began. */
	if (!folio_test_owned(dst))
		return;
	rcu_read_lock();
	xa_lock_irqsave(&folio_owners, flags);
	if (!rc)
		owner = xa_load(&folio_owners, folio_pfn(src));
	if (owner && READ_ONCE(owner->dying))
		owner = NULL;
	for (i = 0; i < nr; i++) {
		if (owner)
			__xa_store(&folio_owners, pfn + i, owner, 0);
		else
			__xa_erase(&folio_owners, pfn + i);
	}
	if (owner) {
		atomic_long_add(nr, &owner->nr_pages);
		__xa_set_mark(&folio_owners, folio_pfn(src), FOLIO_MIGRATED);
	} else {
		folio_clear_owned(dst);
	}
	xa_unlock_irqrestore(&folio_owners, flags);
	if (owner)
		owner->ops->migrate(dst, src, owner->private);
	rcu_read_unlock();
}

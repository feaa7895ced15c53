// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver with movable pages of its own, which does as it is told.
 *
 * tools/testing/selftests/mm/movable_owner.c tells it by ioctl what to do and
 * looks at what became of the pages. It is written as drivers are, with struct
 * movable_operations, and (TM_OWNER) with struct movable_owner where there is
 * one. It builds without that option, so that the rules can be tested on the
 * kernel as it is.
 *
 * pool->pages[i] is page i or NULL; its page_private() is the slot. A page that
 * is not isolated is on pool->list by page->lru, and one that is isolated is
 * not (slot->listed). All of this changes under pool->lock, which nests inside
 * the page lock.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/movable_owner.h>
#include <linux/pageblock-flags.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include "test_movable.h"

struct tm_slot {
	struct tm_pool *pool;
	struct page *page;
	struct page *held;
	bool listed;			/* the page is on pool->list */
	bool late;			/* to be freed by the worker */
};

struct tm_pool {
	spinlock_t lock;		/* slots, list, stats, behaviour */
	struct list_head list;		/* pages that are not isolated */
	struct tm_slot *slots;
	unsigned int nr;
	struct movable_owner *owner;
	enum tm_behaviour behaviour;
	struct tm_stats stats;
	struct completion inside, go;
	struct mutex isolated_lock;	/* isolated */
	struct list_head isolated;	/* what the tests have isolated */
	struct work_struct free_work;
	atomic_t readers;		/* of the content */
};

struct tm_target {
	unsigned int taken, returned;
};

static void tm_list_add(struct tm_slot *slot, struct page *page)
{
	list_add(&page->lru, &slot->pool->list);
	slot->listed = true;
	slot->pool->stats.listed++;
}

static void tm_list_del(struct tm_slot *slot, struct page *page)
{
	list_del_init(&page->lru);
	slot->listed = false;
	slot->pool->stats.listed--;
}

static u64 tm_word(unsigned int index, unsigned int i)
{
	return (index + 1) * 0xd1342543de82ef95ULL + i;
}

static void tm_fill(struct page *page, unsigned int index)
{
	u64 *p = kmap_local_page(page);
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		p[i] = tm_word(index, i);
	kunmap_local(p);
}

static bool tm_intact(struct page *page, unsigned int index)
{
	u64 *p = kmap_local_page(page);
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*p); i++)
		if (p[i] != tm_word(index, i))
			break;
	kunmap_local(p);
	return i == PAGE_SIZE / sizeof(*p);
}

static struct tm_slot *tm_slot(struct page *page)
{
	return (struct tm_slot *)page_private(page);
}

/* The ops. Each first checks what it was promised. */

static void tm_expect(struct tm_pool *pool, bool good)
{
	if (!good)
		pool->stats.violations++;
}

static int tm_do_isolate(struct page *page, isolate_mode_t mode)
{
	struct tm_slot *slot = tm_slot(page);
	struct tm_pool *pool = slot->pool;
	int rc = 0;

	spin_lock(&pool->lock);
	pool->stats.isolates++;
	pool->stats.isolate_mode = (__force u32)mode;
	/* The owner's reference, and the core's; the test's, if it holds one. */
	tm_expect(pool, PageLocked(page) && !PageIsolated(page) &&
		  slot->page == page &&
		  page_ref_count(page) >= 2 + !!slot->held);
	if (pool->behaviour == TM_REFUSE) {
		rc = -EPERM;
	} else {
		tm_list_del(slot, page);
		pool->stats.taken++;
	}
	spin_unlock(&pool->lock);
	return rc;
}

static int tm_do_migrate(struct page *dst, struct page *src,
			 enum migrate_mode mode)
{
	struct tm_slot *slot = tm_slot(src);
	struct tm_pool *pool = slot->pool;
	enum tm_behaviour behaviour;

	spin_lock(&pool->lock);
	behaviour = pool->behaviour;
	if (behaviour == TM_AGAIN_ONCE)
		pool->behaviour = TM_NORMAL;
	pool->stats.migrates[mode]++;
	tm_expect(pool, PageLocked(src) && PageLocked(dst) &&
		  PageIsolated(src) && !page_mapped(src) &&
		  slot->page == src && page_ref_count(dst) && !dst->mapping);
	spin_unlock(&pool->lock);

	switch (behaviour) {
	case TM_AGAIN:
	case TM_AGAIN_ONCE:
		return -EAGAIN;
	case TM_BUSY:
		return -EBUSY;
	case TM_WAIT:
		complete(&pool->inside);
		wait_for_completion(&pool->go);
		break;
	default:
		break;
	}

	if (atomic_read(&pool->readers))
		return -EAGAIN;
	spin_lock(&pool->lock);
	copy_highpage(dst, src);
	set_page_private(dst, (unsigned long)slot);
	set_page_private(src, 0);
	slot->page = dst;
	/* It is ours from here on, and so is its lru; that of src is not. */
	tm_list_add(slot, dst);
	pool->stats.moved++;
	spin_unlock(&pool->lock);
	return 0;
}

static void tm_do_putback(struct page *page)
{
	struct tm_slot *slot = tm_slot(page);
	struct tm_pool *pool = slot->pool;

	spin_lock(&pool->lock);
	pool->stats.putbacks++;
	tm_expect(pool, PageLocked(page) && PageIsolated(page) &&
		  slot->page == page);
	tm_list_add(slot, page);
	spin_unlock(&pool->lock);
}

/* As a driver does it by itself. */

static const struct movable_operations tm_mops;

static bool tm_isolate_page(struct page *page, isolate_mode_t mode)
{
	return !tm_do_isolate(page, mode);
}

static int tm_migrate_page(struct page *dst, struct page *src,
			   enum migrate_mode mode)
{
	int rc = tm_do_migrate(dst, src, mode);

	if (rc)
		return rc;
	get_page(dst);
	__SetPageMovable(dst, &tm_mops);
	__ClearPageMovable(src);
	put_page(src);
	return 0;
}

static const struct movable_operations tm_mops = {
	.isolate_page = tm_isolate_page,
	.migrate_page = tm_migrate_page,
	.putback_page = tm_do_putback,
};

/* As an owner. */

static int tm_owner_isolate(struct page *page, isolate_mode_t mode,
			    void *private)
{
	return tm_do_isolate(page, mode);
}

static int tm_owner_migrate(struct page *dst, struct page *src,
			    enum migrate_mode mode, void *private)
{
	return tm_do_migrate(dst, src, mode);
}

static void tm_owner_putback(struct page *page, void *private)
{
	tm_do_putback(page);
}

static void tm_batch_begin(unsigned int nr, enum migrate_mode mode,
			   void *private)
{
	struct tm_pool *pool = private;

	spin_lock(&pool->lock);
	pool->stats.batches++;
	pool->stats.batch_pages += nr;
	spin_unlock(&pool->lock);
}

static void tm_batch_end(void *private)
{
	struct tm_pool *pool = private;

	spin_lock(&pool->lock);
	pool->stats.batches_ended++;
	spin_unlock(&pool->lock);
}

/* The pool. */

static void tm_clear(struct page *page)
{
	if (page_movable_ops(page) == &tm_mops)
		__ClearPageMovable(page);
	else
		movable_owner_clear(page);
}

/* Take the page of a slot out of the pool; it is locked. */
static void tm_release(struct tm_slot *slot, struct page *page)
{
	struct tm_pool *pool = slot->pool;

	if (PageMovable(page))
		tm_clear(page);
	spin_lock(&pool->lock);
	slot->page = NULL;
	if (slot->listed)
		tm_list_del(slot, page);
	else
		pool->stats.released++;
	spin_unlock(&pool->lock);
	set_page_private(page, 0);
	unlock_page(page);
	put_page(page);
}

/*
 * The page of a slot may move while its lock is waited for: take a reference,
 * wait, and look again.
 */
static void tm_free_slot(struct tm_slot *slot)
{
	struct tm_pool *pool = slot->pool;
	struct page *page;

	for (;;) {
		spin_lock(&pool->lock);
		page = slot->page;
		if (page)
			get_page(page);
		spin_unlock(&pool->lock);
		if (!page)
			return;
		lock_page(page);
		if (slot->page == page)
			break;
		unlock_page(page);
		put_page(page);
	}
	tm_release(slot, page);
	put_page(page);
}

static void tm_free_work(struct work_struct *work)
{
	struct tm_pool *pool = container_of(work, struct tm_pool, free_work);
	unsigned int i;

	for (i = 0; i < pool->nr; i++) {
		if (!xchg(&pool->slots[i].late, false))
			continue;
		tm_free_slot(&pool->slots[i]);
		spin_lock(&pool->lock);
		pool->stats.freed_late++;
		spin_unlock(&pool->lock);
	}
}

/* From where one cannot wait for a page lock. */
static void tm_free_nowait(struct tm_slot *slot)
{
	struct tm_pool *pool = slot->pool;
	struct page *page;

	spin_lock(&pool->lock);
	page = slot->page;
	if (page)
		get_page(page);
	spin_unlock(&pool->lock);
	if (!page)
		return;
	if (trylock_page(page)) {
		if (slot->page == page) {
			tm_release(slot, page);
			put_page(page);
			return;
		}
		unlock_page(page);
	}
	put_page(page);
	slot->late = true;
	schedule_work(&pool->free_work);
}

static int tm_create(struct tm_pool *pool, struct tm_args *args)
{
	struct movable_owner_ops ops = {
		.name = "test pool",
		.min_mode = args->mode,
		.patience = msecs_to_jiffies(args->value),
		.isolate = tm_owner_isolate,
		.migrate = tm_owner_migrate,
		.putback = tm_owner_putback,
	};

	if (pool->slots || !args->count || args->count > 1 << 16)
		return -EINVAL;
	if (args->flags & TM_BATCH) {
		ops.batch_begin = tm_batch_begin;
		ops.batch_end = tm_batch_end;
	}
	if (args->flags & TM_OWNER) {
		pool->owner = movable_owner_register(&ops, pool);
		if (IS_ERR(pool->owner)) {
			args->result = PTR_ERR(pool->owner);
			pool->owner = NULL;
			return 0;
		}
	}
	pool->slots = kvcalloc(args->count, sizeof(*pool->slots), GFP_KERNEL);
	if (!pool->slots)
		return -ENOMEM;
	for (; pool->nr < args->count; pool->nr++) {
		struct tm_slot *slot = &pool->slots[pool->nr];
		struct page *page = alloc_page(GFP_HIGHUSER_MOVABLE);

		if (!page)
			return -ENOMEM;
		tm_fill(page, pool->nr);
		slot->pool = pool;
		slot->page = page;
		set_page_private(page, (unsigned long)slot);
		lock_page(page);
		spin_lock(&pool->lock);
		tm_list_add(slot, page);
		spin_unlock(&pool->lock);
		if (pool->owner)
			args->result = movable_owner_set(page, pool->owner);
		else
			__SetPageMovable(page, &tm_mops);
		unlock_page(page);
		cond_resched();
	}
	return 0;
}

static u64 tm_verify(struct tm_pool *pool)
{
	struct page *page;
	unsigned int i, listed = 0;
	u64 wrong = 0;

	spin_lock(&pool->lock);
	list_for_each_entry(page, &pool->list, lru) {
		wrong += tm_slot(page)->page != page;
		listed++;
	}
	wrong += listed != pool->stats.listed;
	spin_unlock(&pool->lock);
	for (i = 0; i < pool->nr; i++) {
		spin_lock(&pool->lock);
		page = pool->slots[i].page;
		if (page)
			wrong += !tm_intact(page, i);
		spin_unlock(&pool->lock);
		cond_resched();
	}
	return wrong;
}

/* Isolating and migrating, as the core does. */

static struct folio *tm_new_folio(struct folio *src, unsigned long private)
{
	struct tm_target *target = (struct tm_target *)private;

	target->taken++;
	return folio_alloc(GFP_HIGHUSER_MOVABLE, folio_order(src));
}

static void tm_return_folio(struct folio *dst, unsigned long private)
{
	struct tm_target *target = (struct tm_target *)private;

	target->returned++;
	folio_put(dst);
}

void tm_migrate_list(struct list_head *list, struct tm_args *args)
{
	struct tm_target target = {};
	unsigned int moved = 0;

	args->result = migrate_pages(list, tm_new_folio, tm_return_folio,
				     (unsigned long)&target, args->mode,
				     MR_SYSCALL, &moved);
	args->moved = moved;
	args->dst_taken = target.taken;
	args->dst_returned = target.returned;
}

static int tm_isolate(struct tm_pool *pool, struct tm_args *args)
{
	unsigned int i;

	args->result = 0;
	mutex_lock(&pool->isolated_lock);
	for (i = args->index; i < args->index + args->count && i < pool->nr; i++) {
		struct page *page = READ_ONCE(pool->slots[i].page);

		if (page && isolate_movable_page(page, (__force isolate_mode_t)args->mode)) {
			list_add(&page->lru, &pool->isolated);
			args->result++;
		}
	}
	mutex_unlock(&pool->isolated_lock);
	return 0;
}

static void tm_look(struct page *page, struct tm_args *args)
{
	unsigned long mapping = (unsigned long)READ_ONCE(page->mapping);

	args->pfn = page_to_pfn(page);
	args->result = page_ref_count(page);
	args->value = 0;
	if (__PageMovable(page))
		args->value |= TM_IS_TAGGED;
	if (PageLocked(page)) {
		args->value |= TM_IS_LOCKED;
	} else if (page_ref_count(page) && trylock_page(page)) {
		if (PageMovable(page))
			args->value |= TM_IS_MOVABLE;
		unlock_page(page);
	}
	if (PageIsolated(page))
		args->value |= TM_IS_ISOLATED;
	if ((mapping & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_MOVABLE)
		args->value |= TM_IS_ALIGNED;
	if (!mapping)
		args->value |= TM_IS_CLEAN;
}

/* Pages that look like ours, or could. */
static int tm_others(struct tm_args *args)
{
	struct page *page;
	void *slab;

	switch (args->value) {
	case TM_SLAB:
		slab = kmalloc(64, GFP_KERNEL);
		if (!slab)
			return -ENOMEM;
		args->result = isolate_movable_page(virt_to_page(slab), 0);
		kfree(slab);
		return 0;
	case TM_LRU:
		page = alloc_page(GFP_HIGHUSER_MOVABLE);
		if (!page)
			return -ENOMEM;
		args->result = isolate_movable_page(page, 0);
		put_page(page);
		return 0;
	case TM_FREED:
		page = alloc_page(GFP_HIGHUSER_MOVABLE);
		if (!page)
			return -ENOMEM;
		lock_page(page);
		__SetPageMovable(page, &tm_mops);
		unlock_page(page);
		page_ref_freeze(page, 1);
		args->result = isolate_movable_page(page, 0);
		page_ref_unfreeze(page, 1);
		lock_page(page);
		__ClearPageMovable(page);
		unlock_page(page);
		put_page(page);
		return 0;
	case TM_TAIL:
	case TM_HEAD:
		page = alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_COMP, 2);
		if (!page)
			return -ENOMEM;
		if (args->value == TM_TAIL)
			args->result = isolate_movable_page(page + 1, 0);
		put_page(page);
		return 0;
	default:
		return -EINVAL;
	}
}

static int tm_contig(struct page *page, struct tm_args *args)
{
	unsigned long pfn = page_to_pfn(page);

	args->pfn = pfn;
	args->result = alloc_contig_range(pfn, pfn + 1, MIGRATE_MOVABLE,
					  GFP_KERNEL);
	if (!args->result)
		free_contig_range(pfn, 1);
	return 0;
}

static void tm_wait_with(struct tm_pool *pool)
{
	complete(&pool->inside);
	wait_for_completion(&pool->go);
}

static int tm_page_command(struct tm_pool *pool, unsigned int cmd,
			   struct tm_args *args)
{
	struct tm_slot *slot;
	struct page *page;
	unsigned int i;

	if (args->index >= pool->nr)
		return -EINVAL;
	slot = &pool->slots[args->index];
	page = READ_ONCE(slot->page);
	if (cmd == TM_FREE) {
		for (i = 0; i < args->count && args->index + i < pool->nr; i++) {
			if (args->flags & TM_NO_WAIT)
				tm_free_nowait(slot + i);
			else
				tm_free_slot(slot + i);
		}
		return 0;
	}
	if (cmd == TM_RELEASE) {
		page = xchg(&slot->held, NULL);
		if (page)
			put_page(page);
		return 0;
	}
	if (!page)
		return -ENOENT;
	switch (cmd) {
	case TM_CLEAR:
		lock_page(page);
		tm_clear(page);
		unlock_page(page);
		return 0;
	case TM_LOOK:
		tm_look(page, args);
		return 0;
	case TM_HOLD:
		get_page(page);
		page = xchg(&slot->held, page);
		if (page)
			put_page(page);
		return 0;
	case TM_LOCK:
		get_page(page);
		lock_page(page);
		tm_wait_with(pool);
		unlock_page(page);
		put_page(page);
		return 0;
	case TM_CONTIG:
		return tm_contig(page, args);
	case TM_SKIP:
		if (args->flags & 1)
			set_pageblock_skip(page);
		args->value = !!get_pageblock_skip(page);
		return 0;
	case TM_READY:
		if (pool->owner)
			movable_owner_ready(pool->owner, page);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int tm_command(struct tm_pool *pool, unsigned int cmd,
		      struct tm_args *args)
{
	struct movable_owner *owner;

	switch (cmd) {
	case TM_CREATE:
		return tm_create(pool, args);
	case TM_BEHAVE:
		WRITE_ONCE(pool->behaviour, args->value);
		return 0;
	case TM_WAIT_INSIDE:
		return wait_for_completion_timeout(&pool->inside, 3 * HZ) ?
		       0 : -ETIMEDOUT;
	case TM_GO:
		WRITE_ONCE(pool->behaviour, TM_NORMAL);
		complete_all(&pool->go);
		return 0;
	case TM_VERIFY:
		args->value = tm_verify(pool);
		return 0;
	case TM_REVOKE:
		if (pool->owner)
			movable_owner_revoke(pool->owner);
		return 0;
	case TM_UNREGISTER:
		owner = xchg(&pool->owner, NULL);
		movable_owner_unregister(owner);
		return 0;
	case TM_READ:
		atomic_inc(&pool->readers);
		tm_wait_with(pool);
		atomic_dec(&pool->readers);
		return 0;
	case TM_ISOLATE:
		return tm_isolate(pool, args);
	case TM_MIGRATE:
		mutex_lock(&pool->isolated_lock);
		tm_migrate_list(&pool->isolated, args);
		mutex_unlock(&pool->isolated_lock);
		return 0;
	case TM_PUTBACK:
		mutex_lock(&pool->isolated_lock);
		putback_movable_pages(&pool->isolated);
		INIT_LIST_HEAD(&pool->isolated);
		mutex_unlock(&pool->isolated_lock);
		return 0;
	case TM_LOOK_PFN:
		if (!pfn_valid(args->pfn))
			return -EINVAL;
		tm_look(pfn_to_page(args->pfn), args);
		return 0;
	case TM_OTHERS:
		return tm_others(args);
	case TM_ZSMALLOC:
		return tm_zsmalloc(args);
	case TM_BALLOON:
		return tm_balloon(args);
	default:
		return tm_page_command(pool, cmd, args);
	}
}

static int tm_copy_stats(struct tm_pool *pool, void __user *to)
{
	struct tm_stats stats;

	flush_work(&pool->free_work);
	spin_lock(&pool->lock);
	stats = pool->stats;
	memset(&pool->stats, 0, sizeof(pool->stats));
	pool->stats.listed = stats.listed;
	spin_unlock(&pool->lock);
	return copy_to_user(to, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static long tm_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct tm_pool *pool = filp->private_data;
	void __user *user = (void __user *)arg;
	struct tm_args args;
	int err;

	if (cmd == TM_STATS)
		return tm_copy_stats(pool, user);
	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	err = tm_command(pool, cmd, &args);
	if (!err && copy_to_user(user, &args, sizeof(args)))
		err = -EFAULT;
	return err;
}

static int tm_open(struct inode *inode, struct file *filp)
{
	struct tm_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);

	if (!pool)
		return -ENOMEM;
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->list);
	mutex_init(&pool->isolated_lock);
	INIT_LIST_HEAD(&pool->isolated);
	init_completion(&pool->inside);
	init_completion(&pool->go);
	INIT_WORK(&pool->free_work, tm_free_work);
	filp->private_data = pool;
	return 0;
}

static int tm_close(struct inode *inode, struct file *filp)
{
	struct tm_pool *pool = filp->private_data;
	unsigned int i;

	if (!list_empty(&pool->isolated))
		putback_movable_pages(&pool->isolated);
	flush_work(&pool->free_work);
	if (pool->owner)
		movable_owner_revoke(pool->owner);
	for (i = 0; i < pool->nr; i++) {
		tm_free_slot(&pool->slots[i]);
		if (pool->slots[i].held)
			put_page(pool->slots[i].held);
	}
	movable_owner_unregister(pool->owner);
	kvfree(pool->slots);
	kfree(pool);
	return 0;
}

static const struct file_operations tm_fops = {
	.owner = THIS_MODULE,
	.open = tm_open,
	.release = tm_close,
	.unlocked_ioctl = tm_ioctl,
};

static struct miscdevice tm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "movable",
	.fops = &tm_fops,
	.mode = 0600,
};

builtin_misc_device(tm_device);

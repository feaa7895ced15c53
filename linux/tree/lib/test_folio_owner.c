// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that owns shmem files and folios and does as it is told.
 *
 * It keeps an object in a shmem file, as a graphics driver does, and pins its
 * pages. tools/testing/selftests/mm/folio_owner.c tells it by ioctl what to do
 * and looks at what became of it. It builds without the options that it tests,
 * so that the same pins can be shown to be in the way there.
 *
 * The owner's table: obj->pages[i] is the folio that page i is pinned through,
 * or NULL, with one reference for each page; it changes under obj->lock, which
 * the ops take by trylock, holding folio locks. During a batch the pins are
 * dropped: obj->resting has a bit for each page that is to be pinned again, at
 * the end of the batch or whenever the lock is next taken.
 */
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/folio_owner.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/init.h>
#include <linux/migrate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/shmem_owner.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/writeback.h>
#include "test_folio_owner.h"

atomic64_t tfo_clock;

/* What one migration asks for destinations with. */
struct tfo_target {
	unsigned int taken, returned;
};

/* The content of page @index; no two pages are alike. */
static u64 tfo_word(unsigned long index, unsigned int i)
{
	return (index + 1) * 0x9e3779b97f4a7c15ULL + i;
}

static struct folio *tfo_folio(struct tfo_object *obj, unsigned long index)
{
	if (!obj->file || index >= obj->nr)
		return ERR_PTR(-EINVAL);
	return shmem_read_folio(obj->file->f_mapping, index);
}

/* The ops of folios that have an owner. */

static bool tfo_free(struct folio *folio, enum folio_owner_reason reason,
		     void *private)
{
	struct tfo_object *obj = private;
	unsigned long flags;

	spin_lock_irqsave(&obj->stats_lock, flags);
	obj->stats.freed[reason]++;
	obj->stats.freed_pages += folio_nr_pages(folio);
	obj->stats.freed_early += folio_ref_count(folio) != 0;
	spin_unlock_irqrestore(&obj->stats_lock, flags);
	return false;
}

static void tfo_follow(struct folio *dst, struct folio *src, void *private)
{
	struct tfo_object *obj = private;

	tfo_count(obj, &obj->stats.followed);
}

static const struct folio_owner_ops tfo_content_ops = {
	.name = "test content",
	.free = tfo_free,
	.migrate = tfo_follow,
};

static const struct folio_owner_ops tfo_frame_ops = {
	.name = "test frame",
	.free = tfo_free,
};

static int tfo_invalidate(struct mmu_notifier *notifier,
			  const struct mmu_notifier_range *range)
{
	struct tfo_object *obj = container_of(notifier, struct tfo_object,
					      notifier);

	tfo_count(obj, &obj->stats.notifications);
	obj->stats.invalidated_at = atomic64_inc_return(&tfo_clock);
	return 0;
}

static const struct mmu_notifier_ops tfo_notifier_ops = {
	.invalidate_range_start = tfo_invalidate,
};

/* Commands. */

static void tfo_free_tables(struct tfo_object *obj)
{
	bitmap_free(obj->resting);
	bitmap_free(obj->cut);
	kvfree(obj->attempts);
	kvfree(obj->pages);
	obj->resting = NULL;
	obj->cut = NULL;
	obj->attempts = NULL;
	obj->pages = NULL;
}

static int tfo_create(struct tfo_object *obj, struct tfo_args *args)
{
	loff_t size = (loff_t)args->count << PAGE_SHIFT;
	struct file *file;
	unsigned long i;

	if (obj->file || !args->count || args->count > 1 << 20)
		return -EINVAL;
	if (args->flags & TFO_PUBLIC)
		file = shmem_file_setup("folio_owner", size, VM_NORESERVE);
	else
		file = shmem_kernel_file_setup("folio_owner", size,
					       VM_NORESERVE);
	if (IS_ERR(file))
		return PTR_ERR(file);
	obj->pages = kvcalloc(args->count, sizeof(*obj->pages), GFP_KERNEL);
	obj->resting = bitmap_zalloc(args->count, GFP_KERNEL);
	obj->cut = bitmap_zalloc(args->count, GFP_KERNEL);
	obj->attempts = kvzalloc(args->count, GFP_KERNEL);
	if (!obj->pages || !obj->resting || !obj->cut || !obj->attempts) {
		tfo_free_tables(obj);
		fput(file);
		return -ENOMEM;
	}
	obj->file = file;
	obj->nr = args->count;
	for (i = 0; i < obj->nr; i++) {
		struct folio *folio = tfo_folio(obj, i);
		unsigned int w;
		u64 *p;

		if (IS_ERR(folio))
			return PTR_ERR(folio);
		p = kmap_local_folio(folio, offset_in_folio(folio, i << PAGE_SHIFT));
		for (w = 0; w < PAGE_SIZE / sizeof(*p); w++)
			p[w] = tfo_word(i, w);
		kunmap_local(p);
		folio_mark_dirty(folio);
		folio_put(folio);
		cond_resched();
	}
	return 0;
}

/* Of [first, first + nr): pages whose content, or whose pin, is not right. */
static unsigned long tfo_verify(struct tfo_object *obj, unsigned long first,
				unsigned long nr)
{
	unsigned long i, wrong = 0;

	for (i = first; i < first + nr; i++) {
		struct folio *folio = tfo_folio(obj, i);
		unsigned int w;
		u64 *p;

		if (IS_ERR(folio)) {
			wrong++;
			continue;
		}
		tfo_lock(obj);
		if (obj->pages[i] && obj->pages[i] != folio)
			wrong++;
		mutex_unlock(&obj->lock);
		p = kmap_local_folio(folio, offset_in_folio(folio, i << PAGE_SHIFT));
		for (w = 0; w < PAGE_SIZE / sizeof(*p); w++)
			if (p[w] != (test_bit(i, obj->cut) ? 0 : tfo_word(i, w)))
				break;
		wrong += w < PAGE_SIZE / sizeof(*p);
		kunmap_local(p);
		folio_put(folio);
		cond_resched();
	}
	return wrong;
}

static int tfo_pin(struct tfo_object *obj, unsigned long first,
		   unsigned long nr, bool pin)
{
	unsigned long i;

	if (first > obj->nr || nr > obj->nr - first)
		return -EINVAL;
	for (i = first; i < first + nr; i++) {
		struct folio *folio = NULL;

		if (pin) {
			folio = tfo_folio(obj, i);
			if (IS_ERR(folio))
				return PTR_ERR(folio);
		}
		tfo_lock(obj);
		swap(folio, obj->pages[i]);
		mutex_unlock(&obj->lock);
		if (folio)
			folio_put(folio);
	}
	return 0;
}

static struct folio *tfo_new_folio(struct folio *src, unsigned long private)
{
	struct tfo_target *target = (struct tfo_target *)private;

	target->taken++;
	return folio_alloc(GFP_HIGHUSER_MOVABLE, folio_order(src));
}

static void tfo_return_folio(struct folio *dst, unsigned long private)
{
	struct tfo_target *target = (struct tfo_target *)private;

	target->returned++;
	folio_put(dst);
}

static void tfo_migrate_list(struct list_head *list, struct tfo_args *args)
{
	struct tfo_target target = {};
	unsigned int moved = 0;

	args->result = migrate_pages(list, tfo_new_folio, tfo_return_folio,
				     (unsigned long)&target, args->mode,
				     MR_SYSCALL, &moved);
	if (args->result)
		putback_movable_pages(list);
	args->moved = moved;
	args->dst_taken = target.taken;
	args->dst_returned = target.returned;
}

static int tfo_migrate(struct tfo_object *obj, struct tfo_args *args)
{
	unsigned long i, end;
	LIST_HEAD(list);

	if (args->mode > MIGRATE_SYNC || args->index > obj->nr ||
	    args->count > obj->nr - args->index)
		return -EINVAL;
	lru_add_drain_all();
	end = args->index + args->count;
	for (i = args->index; i < end;) {
		struct folio *folio = filemap_get_folio(obj->file->f_mapping, i);

		if (IS_ERR(folio)) {
			i++;
			continue;
		}
		i = folio_next_index(folio);
		isolate_folio_to_list(folio, &list);
		folio_put(folio);
	}
	if (list_empty(&list))
		return -ENOENT;
	tfo_migrate_list(&list, args);
	return 0;
}

/* The folio at args->addr, or at args->index of the object; with a reference. */
static struct folio *tfo_target_folio(struct tfo_object *obj,
				      struct tfo_args *args)
{
	struct page *page;
	int n;

	if (!args->addr)
		return tfo_folio(obj, args->index);
	n = get_user_pages_fast(args->addr, 1, FOLL_WRITE, &page);
	if (n != 1)
		return ERR_PTR(n ?: -EFAULT);
	return page_folio(page);
}

static void tfo_use(struct folio *folio)
{
	folio_get(folio);
	folio_lock(folio);
	folio_mark_dirty(folio);
	folio_start_writeback(folio);
	folio_end_writeback(folio);
	folio_unlock(folio);
	folio_mark_accessed(folio);
	folio_put(folio);
}

/* Only when needed: to unregister takes a grace period of RCU. */
static int tfo_own(struct tfo_object *obj, struct folio *folio, bool frame)
{
	struct folio_owner **owner = frame ? &obj->frame : &obj->content;
	int err;

	mutex_lock(&obj->lock);
	if (!*owner)
		*owner = folio_owner_register(frame ? &tfo_frame_ops :
					      &tfo_content_ops, obj);
	if (IS_ERR(*owner)) {
		err = PTR_ERR(*owner);
		*owner = NULL;
	} else {
		err = folio_owner_set(folio, *owner, GFP_KERNEL);
	}
	mutex_unlock(&obj->lock);
	return err;
}

static int tfo_folio_command(struct tfo_object *obj, unsigned int cmd,
			     struct tfo_args *args)
{
	struct folio *folio = tfo_target_folio(obj, args);
	LIST_HEAD(list);
	int err = 0;

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	args->pfn = folio_pfn(folio);
	args->count = folio_nr_pages(folio);
	switch (cmd) {
	case TFO_OWN:
		args->result = tfo_own(obj, folio, args->flags & TFO_FRAME);
		break;
	case TFO_DISOWN:
		args->result = folio_owner_clear(folio);
		break;
	case TFO_OWNED:
		args->value = !!folio_owner_ops(folio);
		break;
	case TFO_USE:
		tfo_use(folio);
		break;
	case TFO_SPLIT:
		folio_lock(folio);
		args->result = folio_test_large(folio) ? split_folio(folio) :
							 -EINVAL;
		folio_unlock(folio);
		break;
	case TFO_MOVE:
		lru_add_drain_all();
		if (isolate_folio_to_list(folio, &list)) {
			folio_put(folio);
			tfo_migrate_list(&list, args);
			return 0;
		}
		err = -EBUSY;
		break;
	case TFO_PRIVATE:
		if (args->value)
			folio->private = (void *)(unsigned long)args->value;
		else
			args->value = (unsigned long)folio->private;
		break;
	default:
		break;
	}
	folio_put(folio);
	return err;
}

static int tfo_notify(struct tfo_object *obj)
{
	int err;

	if (obj->mm)
		return -EEXIST;
	obj->notifier.ops = &tfo_notifier_ops;
	err = mmu_notifier_register(&obj->notifier, current->mm);
	if (err)
		return err;
	obj->mm = current->mm;
	mmgrab(obj->mm);
	return 0;
}

/* Allocate the page at args->index, or (TFO_SLAB) one of ours, where it is. */
static int tfo_contig(struct tfo_object *obj, struct tfo_args *args)
{
	struct folio *folio = tfo_folio(obj, args->index);
	unsigned long start, end;

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	start = page_to_pfn(folio_file_page(folio, args->index));
	folio_put(folio);
	if (args->flags & TFO_SLAB)
		start = page_to_pfn(virt_to_page(obj));
	end = start + 1;
	args->pfn = start;
	args->result = alloc_contig_range(start, end, MIGRATE_MOVABLE,
					  GFP_KERNEL);
	if (!args->result)
		free_contig_range(start, end - start);
	return 0;
}

static int tfo_copy_stats(struct tfo_object *obj, void __user *to)
{
	struct tfo_stats stats;

	spin_lock_irq(&obj->stats_lock);
	stats = obj->stats;
	memset(&obj->stats, 0, sizeof(obj->stats));
	spin_unlock_irq(&obj->stats_lock);
	return copy_to_user(to, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static int tfo_command(struct tfo_object *obj, unsigned int cmd,
		       struct tfo_args *args)
{
	struct folio *folio;
	loff_t start = (loff_t)args->index << PAGE_SHIFT;

	switch (cmd) {
	case TFO_CREATE:
		return tfo_create(obj, args);
	case TFO_BEHAVE:
		obj->tries = 0;
		WRITE_ONCE(obj->behaviour, args->value);
		return 0;
	case TFO_WAIT_INSIDE:
		/* Without the hook nobody ever is. */
		return wait_for_completion_timeout(&obj->inside, 3 * HZ) ?
		       0 : -ETIMEDOUT;
	case TFO_DRAIN:
		lru_add_drain_all();
		return 0;
	case TFO_GO:
		WRITE_ONCE(obj->behaviour, TFO_NORMAL);
		complete_all(&obj->go);
		return 0;
	case TFO_NOTIFIER:
		return tfo_notify(obj);
	case TFO_CYCLE:
		return tfp_cycle(args);
	case TFO_OWN:
	case TFO_DISOWN:
	case TFO_OWNED:
	case TFO_USE:
	case TFO_SPLIT:
	case TFO_MOVE:
	case TFO_PRIVATE:
		return tfo_folio_command(obj, cmd, args);
	default:
		break;
	}

	if (!obj->file)
		return -EINVAL;
	switch (cmd) {
	case TFO_REGISTER:
		args->result = tfo_register(obj, args);
		return 0;
	case TFO_UNREGISTER:
		args->result = shmem_owner_unregister(obj->file);
		return 0;
	case TFO_ATTEMPTS:
		args->value = tfo_attempts(obj, false);
		return 0;
	case TFO_CHANGE_OPS:
		tfo_change_ops(obj);
		return 0;
	case TFO_PIN:
	case TFO_UNPIN:
		return tfo_pin(obj, args->index, args->count, cmd == TFO_PIN);
	case TFO_HOLD:
		folio = tfo_folio(obj, args->index);
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		folio = xchg(&obj->held, folio);
		if (folio)
			folio_put(folio);
		return 0;
	case TFO_RELEASE:
		folio = xchg(&obj->held, NULL);
		if (folio)
			folio_put(folio);
		return 0;
	case TFO_LOCK:
		mutex_lock(&obj->lock);
		complete(&obj->inside);
		wait_for_completion(&obj->go);
		mutex_unlock(&obj->lock);
		return 0;
	case TFO_LOCK_FOLIO:
		folio = tfo_folio(obj, args->index);
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		folio_lock(folio);
		complete(&obj->inside);
		wait_for_completion(&obj->go);
		folio_unlock(folio);
		folio_put(folio);
		return 0;
	case TFO_PFN:
		folio = tfo_folio(obj, args->index);
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		args->pfn = page_to_pfn(folio_file_page(folio, args->index));
		args->count = folio_nr_pages(folio);
		folio_put(folio);
		return 0;
	case TFO_VERIFY:
		args->value = tfo_verify(obj, 0, obj->nr);
		return 0;
	case TFO_MIGRATE:
		return tfo_migrate(obj, args);
	case TFO_CONTIG:
		return tfo_contig(obj, args);
	case TFO_TRUNCATE:
		if (args->index > obj->nr || args->count > obj->nr - args->index)
			return -EINVAL;
		shmem_truncate_range(file_inode(obj->file), start, start +
				     ((loff_t)args->count << PAGE_SHIFT) - 1);
		bitmap_set(obj->cut, args->index, args->count);
		return 0;
	default:
		return -ENOTTY;
	}
}

static long tfo_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct tfo_object *obj = filp->private_data;
	void __user *user = (void __user *)arg;
	struct tfo_args args;
	int err;

	if (cmd == TFO_STATS)
		return tfo_copy_stats(obj, user);
	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	err = tfo_command(obj, cmd, &args);
	if (!err && copy_to_user(user, &args, sizeof(args)))
		err = -EFAULT;
	return err;
}

static int tfo_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct tfo_object *obj = filp->private_data;

	if (!obj->file)
		return -EINVAL;
	vma_set_file(vma, obj->file);
	return call_mmap(obj->file, vma);
}

static int tfo_open(struct inode *inode, struct file *filp)
{
	struct tfo_object *obj = kzalloc(sizeof(*obj), GFP_KERNEL);

	if (!obj)
		return -ENOMEM;
	mutex_init(&obj->lock);
	spin_lock_init(&obj->stats_lock);
	init_completion(&obj->inside);
	init_completion(&obj->go);
	filp->private_data = obj;
	return 0;
}

static int tfo_release(struct inode *inode, struct file *filp)
{
	struct tfo_object *obj = filp->private_data;

	if (obj->mm) {
		mmu_notifier_unregister(&obj->notifier, obj->mm);
		mmdrop(obj->mm);
	}
	if (obj->held)
		folio_put(obj->held);
	if (obj->file) {
		tfo_pin(obj, 0, obj->nr, false);
		if (obj->behaviour != TFO_FORGET)
			shmem_owner_unregister(obj->file);
		fput(obj->file);
	}
	folio_owner_unregister(obj->content);
	folio_owner_unregister(obj->frame);
	tfo_free_tables(obj);
	kfree(obj);
	return 0;
}

static const struct file_operations tfo_fops = {
	.owner = THIS_MODULE,
	.open = tfo_open,
	.release = tfo_release,
	.unlocked_ioctl = tfo_ioctl,
	.mmap = tfo_mmap,
};

static struct miscdevice tfo_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "folio_owner",
	.fops = &tfo_fops,
	.mode = 0600,
};

builtin_misc_device(tfo_device);

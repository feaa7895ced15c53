// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that mirrors user memory, as the userptr objects of graphics drivers
 * do: it looks up the pages behind a range of addresses and hears by an interval
 * notifier when they are not behind it any more. It can keep a reference to each
 * (UP_PIN), which it drops when it hears that.
 *
 * tools/testing/selftests/mm/userptr.c uses it beside the objects of
 * lib/test_folio_owner.c to show when a notifier helps and when an owner does.
 *
 * mirror->pages[i] is what page i of the range was found to be, or NULL. It is
 * published under mirror->lock and only if no invalidation came meanwhile, so
 * after invalidate() it never names a page that is not mapped there any more.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "test_folio_owner.h"
#include "test_userptr_uapi.h"

struct up_mirror {
	struct mutex lock;		/* pages, the counts below */
	struct mmu_interval_notifier notifier;
	bool subscribed;
	bool pin;
	unsigned long start;
	unsigned long nr;
	struct page **pages;
	u32 notifications;
	u64 at;
};

static void up_drop(struct up_mirror *mirror, unsigned long i)
{
	if (mirror->pages[i] && mirror->pin)
		put_page(mirror->pages[i]);
	mirror->pages[i] = NULL;
}

static bool up_invalidate(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct up_mirror *mirror = container_of(notifier, struct up_mirror,
						notifier);
	unsigned long i, addr;

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&mirror->lock);
	else if (!mutex_trylock(&mirror->lock))
		return false;
	mmu_interval_set_seq(notifier, cur_seq);
	mirror->notifications++;
	mirror->at = atomic64_inc_return(&tfo_clock);
	for (i = 0; i < mirror->nr; i++) {
		addr = mirror->start + (i << PAGE_SHIFT);
		if (addr + PAGE_SIZE > range->start && addr < range->end)
			up_drop(mirror, i);
	}
	mutex_unlock(&mirror->lock);
	return true;
}

static const struct mmu_interval_notifier_ops up_ops = {
	.invalidate = up_invalidate,
};

/* Begin, look up, lock, look whether it still holds, publish. */
static int up_refresh(struct up_mirror *mirror)
{
	unsigned long i;

	if (!mirror->subscribed || mirror->notifier.mm != current->mm)
		return -EINVAL;
	for (i = 0; i < mirror->nr; i++) {
		unsigned long addr = mirror->start + (i << PAGE_SHIFT);
		struct page *page;
		unsigned long seq;
		int n;

again:
		seq = mmu_interval_read_begin(&mirror->notifier);
		n = get_user_pages_fast(addr, 1, FOLL_WRITE, &page);
		if (n != 1)
			return n ?: -EFAULT;
		mutex_lock(&mirror->lock);
		if (mmu_interval_read_retry(&mirror->notifier, seq)) {
			mutex_unlock(&mirror->lock);
			put_page(page);
			if (signal_pending(current))
				return -EINTR;
			goto again;
		}
		up_drop(mirror, i);
		mirror->pages[i] = page;
		mutex_unlock(&mirror->lock);
		if (!mirror->pin)
			put_page(page);
	}
	return 0;
}

static int up_subscribe(struct up_mirror *mirror, struct up_args *args)
{
	int err;

	if (mirror->subscribed || !args->count || args->count > 1 << 16)
		return -EINVAL;
	mirror->pages = kvcalloc(args->count, sizeof(*mirror->pages),
				 GFP_KERNEL);
	if (!mirror->pages)
		return -ENOMEM;
	mirror->start = args->addr & PAGE_MASK;
	mirror->nr = args->count;
	mirror->pin = args->flags & UP_PIN;
	err = mmu_interval_notifier_insert(&mirror->notifier, current->mm,
					   mirror->start,
					   mirror->nr << PAGE_SHIFT, &up_ops);
	if (err) {
		kvfree(mirror->pages);
		mirror->pages = NULL;
		mirror->nr = 0;
		return err;
	}
	mirror->subscribed = true;
	return up_refresh(mirror);
}

static long up_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct up_mirror *mirror = filp->private_data;
	void __user *user = (void __user *)arg;
	struct up_args args;
	int err = 0;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	switch (cmd) {
	case UP_MIRROR:
		err = up_subscribe(mirror, &args);
		break;
	case UP_REFRESH:
		err = up_refresh(mirror);
		break;
	case UP_LOOK:
		if (args.index >= mirror->nr)
			return -EINVAL;
		mutex_lock(&mirror->lock);
		args.pfn = mirror->pages[args.index] ?
			   page_to_pfn(mirror->pages[args.index]) : 0;
		mutex_unlock(&mirror->lock);
		break;
	case UP_STATS:
		mutex_lock(&mirror->lock);
		args.notifications = mirror->notifications;
		args.at = mirror->at;
		mirror->notifications = 0;
		mirror->at = 0;
		mutex_unlock(&mirror->lock);
		break;
	case UP_CONTIG:
		if (!pfn_valid(args.pfn))
			return -EINVAL;
		args.result = alloc_contig_range(args.pfn, args.pfn + 1,
						 MIGRATE_MOVABLE, GFP_KERNEL);
		if (!args.result)
			free_contig_range(args.pfn, 1);
		break;
	default:
		return -ENOTTY;
	}
	if (!err && copy_to_user(user, &args, sizeof(args)))
		err = -EFAULT;
	return err;
}

static int up_open(struct inode *inode, struct file *filp)
{
	struct up_mirror *mirror = kzalloc(sizeof(*mirror), GFP_KERNEL);

	if (!mirror)
		return -ENOMEM;
	mutex_init(&mirror->lock);
	filp->private_data = mirror;
	return 0;
}

static int up_release(struct inode *inode, struct file *filp)
{
	struct up_mirror *mirror = filp->private_data;
	unsigned long i;

	if (mirror->subscribed)
		mmu_interval_notifier_remove(&mirror->notifier);
	for (i = 0; i < mirror->nr; i++)
		up_drop(mirror, i);
	kvfree(mirror->pages);
	kfree(mirror);
	return 0;
}

static const struct file_operations up_fops = {
	.owner = THIS_MODULE,
	.open = up_open,
	.release = up_release,
	.unlocked_ioctl = up_ioctl,
};

static struct miscdevice up_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "userptr",
	.fops = &up_fops,
	.mode = 0600,
};

builtin_misc_device(up_device);

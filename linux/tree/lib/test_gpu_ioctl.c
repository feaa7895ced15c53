// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device file of the mock graphics driver; see test_gpu_uapi.h.
 */
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/migrate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include "test_gpu.h"

/* Objects. */

static int tgpu_create(struct tgpu_device *gpu, struct tgpu_args *args)
{
	struct tgpu_bo *bo;
	int err;

	bo = tgpu_bo_create(gpu, args->count, args->value, &args->result);
	if (IS_ERR(bo))
		return PTR_ERR(bo);
	err = xa_alloc(&gpu->bos, &args->handle, bo, XA_LIMIT(1, INT_MAX),
		       GFP_KERNEL);
	if (err)
		tgpu_bo_put(bo);
	return err;
}

static int tgpu_destroy(struct tgpu_device *gpu, struct tgpu_args *args)
{
	struct tgpu_bo *bo = xa_erase(&gpu->bos, args->handle);

	if (!bo)
		return -ENOENT;
	tgpu_bo_put(bo);
	return 0;
}

static int tgpu_read(struct tgpu_bo *bo, struct tgpu_args *args)
{
	char __user *to = u64_to_user_ptr(args->addr);
	unsigned int i;
	int err = 0;

	for (i = args->index; !err && i < args->index + args->count; i++) {
		struct folio *folio;
		void *p;

		err = tgpu_bo_fill(bo, i, &folio);
		if (err)
			break;
		p = kmap_local_folio(folio, offset_in_folio(folio, i << PAGE_SHIFT));
		if (copy_to_user(to, p, PAGE_SIZE))
			err = -EFAULT;
		kunmap_local(p);
		folio_put(folio);
		to += PAGE_SIZE;
	}
	return err;
}

static int tgpu_hold(struct tgpu_bo *bo, struct tgpu_args *args)
{
	struct folio *folio;
	int err = tgpu_bo_fill(bo, args->index, &folio);

	if (err)
		return err;
	folio = xchg(&bo->gpu->held, folio);
	if (folio)
		folio_put(folio);
	return 0;
}

/* What one migration asks for destinations with. */
struct tgpu_target {
	unsigned int taken, returned;
};

static struct folio *tgpu_new_folio(struct folio *src, unsigned long private)
{
	struct tgpu_target *target = (struct tgpu_target *)private;

	target->taken++;
	return folio_alloc(GFP_HIGHUSER_MOVABLE, folio_order(src));
}

static void tgpu_return_folio(struct folio *dst, unsigned long private)
{
	struct tgpu_target *target = (struct tgpu_target *)private;

	target->returned++;
	folio_put(dst);
}

static int tgpu_migrate(struct tgpu_bo *bo, struct tgpu_args *args)
{
	struct tgpu_target target = {};
	unsigned int i, moved = 0;
	LIST_HEAD(list);

	if (args->mode > MIGRATE_SYNC)
		return -EINVAL;
	lru_add_drain_all();
	for (i = args->index; i < args->index + args->count; i++) {
		struct folio *folio = filemap_get_folio(bo->file->f_mapping, i);

		if (IS_ERR(folio))
			continue;
		isolate_folio_to_list(folio, &list);
		folio_put(folio);
	}
	if (list_empty(&list))
		return -ENOENT;
	args->result = migrate_pages(&list, tgpu_new_folio, tgpu_return_folio,
				     (unsigned long)&target, args->mode,
				     MR_SYSCALL, &moved);
	if (args->result)
		putback_movable_pages(&list);
	args->moved = moved;
	args->dst_taken = target.taken;
	args->dst_returned = target.returned;
	return 0;
}

static int tgpu_pfn(struct tgpu_bo *bo, struct tgpu_args *args)
{
	struct folio *folio;
	int err = tgpu_bo_fill(bo, args->index, &folio);

	if (err)
		return err;
	args->pfn = page_to_pfn(folio_file_page(folio, args->index));
	folio_put(folio);
	return 0;
}

static void tgpu_stall(struct tgpu_device *gpu, struct tgpu_bo *bo)
{
	reinit_completion(&gpu->inside);
	reinit_completion(&gpu->go);
	WRITE_ONCE(gpu->stall, bo);
}

static int tgpu_submit(struct tgpu_device *gpu, struct tgpu_bo *bo,
		       struct tgpu_args *args)
{
	struct tgpu_bo *bos[TGPU_JOB_OBJECTS] = { bo };
	u32 __user *handles = u64_to_user_ptr(args->addr);
	unsigned int i, j, nr = 1;
	int err = 0;
	u32 handle;

	if (args->others >= TGPU_JOB_OBJECTS)
		return -EINVAL;
	for (i = 0; !err && i < args->others; i++) {
		if (get_user(handle, handles + i)) {
			err = -EFAULT;
			break;
		}
		bos[nr] = tgpu_bo_get(gpu, handle);
		if (!bos[nr]) {
			err = -ENOENT;
			break;
		}
		/* None is locked twice. */
		for (j = 0; j < nr; j++)
			if (bos[j] == bos[nr])
				err = -EINVAL;
		nr++;
	}
	if (!err)
		err = tgpu_run(gpu, bos, nr, args->value, args->count);
	while (nr > 1)
		tgpu_bo_put(bos[--nr]);
	return err;
}

static int tgpu_bo_command(struct tgpu_device *gpu, struct tgpu_bo *bo,
			   unsigned int cmd, struct tgpu_args *args)
{
	switch (cmd) {
	case TGPU_BIND:
		return tgpu_bo_bind(bo);
	case TGPU_UNBIND:
		tgpu_bo_unbind(bo);
		return 0;
	case TGPU_BOUND:
		args->value = READ_ONCE(bo->bound);
		return 0;
	case TGPU_TRUNCATE:
		return tgpu_bo_truncate(bo, args->count);
	case TGPU_READ:
		return tgpu_read(bo, args);
	case TGPU_PFN:
		return tgpu_pfn(bo, args);
	case TGPU_SUM:
		mutex_lock(&bo->lock);
		args->value = bo->sum;
		tgpu_bo_unlock(bo);
		return 0;
	case TGPU_UNREGISTER:
		args->result = shmem_owner_unregister(bo->file);
		bo->registered = false;
		return 0;
	case TGPU_HOLD:
		return tgpu_hold(bo, args);
	case TGPU_MIGRATE:
		return tgpu_migrate(bo, args);
	case TGPU_STALL:
		tgpu_stall(gpu, bo);
		return 0;
	case TGPU_RUN:
		return tgpu_submit(gpu, bo, args);
	default:
		return -ENOTTY;
	}
}

/* The device. */

static int tgpu_copy_stats(struct tgpu_device *gpu, void __user *to)
{
	struct tgpu_stats stats;
	unsigned long handle;
	struct tgpu_bo *bo;

	spin_lock_irq(&gpu->stats_lock);
	stats = gpu->stats;
	spin_unlock_irq(&gpu->stats_lock);
	stats.least_runs = U64_MAX;
	xa_lock(&gpu->bos);
	xa_for_each(&gpu->bos, handle, bo) {
		stats.objects++;
		stats.objects_bound += READ_ONCE(bo->bound);
		if (READ_ONCE(bo->endless))
			stats.least_runs = min(stats.least_runs, bo->runs);
	}
	xa_unlock(&gpu->bos);
	return copy_to_user(to, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static int tgpu_command(struct tgpu_device *gpu, unsigned int cmd,
			struct tgpu_args *args)
{
	struct folio *folio;
	struct tgpu_bo *bo;
	int err;

	switch (cmd) {
	case TGPU_CREATE:
		return tgpu_create(gpu, args);
	case TGPU_DESTROY:
		return tgpu_destroy(gpu, args);
	case TGPU_RELEASE:
		folio = xchg(&gpu->held, NULL);
		if (folio)
			folio_put(folio);
		return 0;
	case TGPU_STOP:
		tgpu_stop_endless(gpu);
		return 0;
	case TGPU_FINISH:
		return wait_event_interruptible(gpu->wait,
						!READ_ONCE(gpu->nr_finite));
	case TGPU_INSIDE:
		return wait_for_completion_timeout(&gpu->inside, 3 * HZ) ?
		       0 : -ETIMEDOUT;
	case TGPU_GO:
		complete_all(&gpu->go);
		return 0;
	case TGPU_SUSPEND:
	case TGPU_RESUME:
		tgpu_suspend(gpu, cmd == TGPU_SUSPEND);
		return 0;
	case TGPU_POOL_TAKE:
		return tgpu_pool_take(gpu, args->value);
	case TGPU_POOL_LIST:
		return tgpu_pool_list(gpu, args);
	case TGPU_PLACE:
		return tgpu_pool_place(gpu, args);
	case TGPU_POOL_DROP:
		tgpu_pool_drop(gpu);
		return 0;
	case TGPU_DRAIN:
		lru_add_drain_all();
		drain_all_pages(NULL);
		return 0;
	case TGPU_CONTIG:
		return tgpu_contig(args);
	default:
		break;
	}

	bo = tgpu_bo_get(gpu, args->handle);
	if (!bo)
		return -ENOENT;
	err = tgpu_bo_command(gpu, bo, cmd, args);
	tgpu_bo_put(bo);
	return err;
}

static long tgpu_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct tgpu_device *gpu = filp->private_data;
	void __user *user = (void __user *)arg;
	struct tgpu_args args;
	int err;

	if (cmd == TGPU_STATS)
		return tgpu_copy_stats(gpu, user);
	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	err = tgpu_command(gpu, cmd, &args);
	if (!err && copy_to_user(user, &args, sizeof(args)))
		err = -EFAULT;
	return err;
}

static int tgpu_open(struct inode *inode, struct file *filp)
{
	struct tgpu_device *gpu = kvzalloc(sizeof(*gpu), GFP_KERNEL);
	int err;

	if (!gpu)
		return -ENOMEM;
	spin_lock_init(&gpu->stats_lock);
	mutex_init(&gpu->pool_lock);
	xa_init_flags(&gpu->bos, XA_FLAGS_ALLOC1);
	err = tgpu_engine_start(gpu);
	if (err) {
		kvfree(gpu);
		return err;
	}
	filp->private_data = gpu;
	return 0;
}

static int tgpu_release(struct inode *inode, struct file *filp)
{
	struct tgpu_device *gpu = filp->private_data;
	unsigned long handle;
	struct tgpu_bo *bo;

	tgpu_engine_stop(gpu);
	if (gpu->held)
		folio_put(gpu->held);
	xa_for_each(&gpu->bos, handle, bo) {
		xa_erase(&gpu->bos, handle);
		tgpu_bo_put(bo);
	}
	xa_destroy(&gpu->bos);
	tgpu_pool_drop(gpu);
	bitmap_free(gpu->pool);
	kvfree(gpu);
	return 0;
}

static const struct file_operations tgpu_fops = {
	.owner = THIS_MODULE,
	.open = tgpu_open,
	.release = tgpu_release,
	.unlocked_ioctl = tgpu_ioctl,
};

static struct miscdevice tgpu_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "test_gpu",
	.fops = &tgpu_fops,
	.mode = 0600,
};

builtin_misc_device(tgpu_device);

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mock graphics driver: buffer objects and how they give way.
 *
 * An object is a shmem file. Binding it pins all its pages and enters them in
 * the page table of the engine, which reads and writes through that table
 * alone. The driver owns the file: when the core wants a page elsewhere, the
 * migrate op waits for the engine to be done with the object, as long as the
 * mode allows, unbinds it, and lets the page move. The engine binds the object
 * again before its next job on it, but not before nobody has asked for one of
 * its pages for a while: else it would pin the object between two pages of one
 * compaction.
 *
 * It builds without CONFIG_SHMEM_OWNER. The same pins are then in the way.
 */
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include "test_gpu.h"

/* How long an object is left alone after one of its pages was wanted. */
#define TGPU_GRACE	(HZ / 50)

/* How long the op may wait for the engine, by mode. A job takes less. */
static const unsigned int tgpu_budget[] = {
	[MIGRATE_ASYNC] = 0,
	[MIGRATE_SYNC_LIGHT] = HZ / 10,
	[MIGRATE_SYNC] = HZ,
};

/* The page table. bo->lock is held. */

static void tgpu_enter(struct tgpu_bo *bo, struct folio **folios)
{
	unsigned int i;

	for (i = 0; i < bo->nr; i++) {
		struct page *page = folio_file_page(folios[i], i);

		bo->folios[i] = folios[i];
		bo->pt[i] = page_to_pfn(page) << PAGE_SHIFT | TGPU_VALID;
	}
	bo->bound = true;
	tgpu_count(bo->gpu, &bo->gpu->stats.bound);
}

static void tgpu_leave(struct tgpu_bo *bo)
{
	unsigned int i;

	bo->bound = false;
	for (i = 0; i < bo->nr; i++)
		bo->pt[i] = 0;
	tgpu_tlb_flush(bo);
	for (i = 0; i < bo->nr; i++) {
		folio_put(bo->folios[i]);
		bo->folios[i] = NULL;
	}
}

/* The migrate op. */

static bool tgpu_bo_is_binding(struct tgpu_bo *bo)
{
	return READ_ONCE(bo->binding) && !READ_ONCE(bo->bound);
}

static bool tgpu_bo_trylock(struct tgpu_bo *bo)
{
	return !tgpu_bo_is_binding(bo) && mutex_trylock(&bo->lock);
}

/*
 * Lock the object as @mode allows, with no pin just being taken. By trylock
 * even where waiting is allowed: this thread may hold the lock itself, and a
 * budget ends that.
 */
static bool tgpu_bo_lock_by_mode(struct tgpu_bo *bo, enum migrate_mode mode)
{
	if (tgpu_bo_trylock(bo))
		return true;
	if (mode != MIGRATE_ASYNC) {
		if (wait_event_timeout(bo->wait, tgpu_bo_trylock(bo),
				       tgpu_budget[mode])) {
			tgpu_count(bo->gpu, &bo->gpu->stats.waited[mode]);
			return true;
		}
	}
	if (tgpu_bo_is_binding(bo))
		tgpu_count(bo->gpu, &bo->gpu->stats.binding);
	else
		tgpu_count(bo->gpu, &bo->gpu->stats.busy[mode]);
	return false;
}

/* Unbind, so that no pin of ours is left. bo->lock is held. */
static int tgpu_give_way(struct tgpu_bo *bo)
{
	/* It has begun since the lock was tried. */
	if (tgpu_bo_is_binding(bo)) {
		tgpu_count(bo->gpu, &bo->gpu->stats.binding);
		return -EAGAIN;
	}
	if (!bo->bound)
		return 0;
	/* Its TLB cannot be flushed, and waking it could need memory. */
	if (READ_ONCE(bo->gpu->suspended)) {
		tgpu_count(bo->gpu, &bo->gpu->stats.asleep);
		return -EBUSY;
	}
	tgpu_leave(bo);
	tgpu_count(bo->gpu, &bo->gpu->stats.unbound);
	return 0;
}

static int tgpu_move(struct tgpu_bo *bo, struct address_space *mapping,
		     struct folio *dst, struct folio *src,
		     enum migrate_mode mode)
{
	struct tgpu_device *gpu = bo->gpu;
	int rc = shmem_owner_migrate_folio(mapping, dst, src, mode);

	switch (rc) {
	case 0:
		tgpu_count(gpu, &gpu->stats.moved);
		if (READ_ONCE(bo->jobs))
			tgpu_count(gpu, &gpu->stats.moved_in_use);
		if (READ_ONCE(gpu->running))
			tgpu_count(gpu, &gpu->stats.moved_running);
		break;
	case -EBUSY:
		tgpu_count(gpu, &gpu->stats.foreign);
		break;
	case -EAGAIN:
		tgpu_count(gpu, &gpu->stats.again);
		break;
	default:
		tgpu_count(gpu, &gpu->stats.other_error);
		break;
	}
	return rc;
}

static int tgpu_ask(struct tgpu_bo *bo, struct address_space *mapping,
		    struct folio *dst, struct folio *src, enum migrate_mode mode)
{
	int rc;

	/* Who wants one page will want more of them. */
	WRITE_ONCE(bo->wanted, jiffies + TGPU_GRACE);

	if (!shmem_owner_pinned(src)) {
		rc = tgpu_move(bo, mapping, dst, src, mode);
		if (!rc)
			tgpu_count(bo->gpu, &bo->gpu->stats.moved_direct);
		return rc;
	}
	if (!tgpu_bo_lock_by_mode(bo, mode))
		return -EAGAIN;
	rc = tgpu_give_way(bo);
	if (!rc)
		rc = tgpu_move(bo, mapping, dst, src, mode);
	tgpu_bo_unlock(bo);
	return rc;
}

static int tgpu_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode,
			      void *private)
{
	unsigned long slept = current->nvcsw;
	struct tgpu_bo *bo = private;
	int rc;

	tgpu_count(bo->gpu, &bo->gpu->stats.calls[mode]);
	if (!folio_test_locked(src) || !folio_test_locked(dst) ||
	    folio_mapped(src) || folio_test_writeback(src) ||
	    !folio_ref_count(dst) || dst->mapping ||
	    src->mapping != mapping || src->index >= TGPU_MAX_PAGES)
		tgpu_count(bo->gpu, &bo->gpu->stats.violations);

	rc = tgpu_ask(bo, mapping, dst, src, mode);
	if (mode == MIGRATE_ASYNC && current->nvcsw != slept)
		tgpu_count(bo->gpu, &bo->gpu->stats.violations);
	return rc;
}

static const struct shmem_owner_ops tgpu_owner_ops = {
	.name = "test gpu",
	.migrate_folio = tgpu_migrate_folio,
};

/* Objects. */

void tgpu_bo_unlock(struct tgpu_bo *bo)
{
	mutex_unlock(&bo->lock);
	if (wq_has_sleeper(&bo->wait))
		wake_up(&bo->wait);
}

/* A page of the object, with its content and a reference. */
int tgpu_bo_fill(struct tgpu_bo *bo, unsigned int index, struct folio **result)
{
	struct folio *folio;
	unsigned int w;
	u64 *p;

	if (index >= bo->nr)
		return -EINVAL;
	/*
	 * Without the folio's lock, if it is there: who migrates it holds that,
	 * and waits for us. What has our reference cannot be replaced.
	 */
	if (test_bit_acquire(index, bo->filled)) {
		folio = filemap_get_folio(bo->file->f_mapping, index);
		if (!IS_ERR(folio)) {
			*result = folio;
			return 0;
		}
	}
	mutex_lock(&bo->fill_lock);
	folio = shmem_read_folio(bo->file->f_mapping, index);
	if (IS_ERR(folio)) {
		mutex_unlock(&bo->fill_lock);
		return PTR_ERR(folio);
	}
	/* Our reference keeps it where it is while it is written. */
	if (!test_bit(index, bo->filled)) {
		p = kmap_local_folio(folio, offset_in_folio(folio, index << PAGE_SHIFT));
		for (w = 0; w < TGPU_WORDS; w++)
			p[w] = tgpu_word(bo->seed, index, w);
		kunmap_local(p);
		folio_mark_dirty(folio);
		/* Pairs with test_bit_acquire(). */
		smp_mb__before_atomic();
		set_bit(index, bo->filled);
	}
	mutex_unlock(&bo->fill_lock);
	*result = folio;
	return 0;
}

struct tgpu_bo *tgpu_bo_create(struct tgpu_device *gpu, unsigned int nr, u64 seed,
			       int *registered)
{
	struct tgpu_bo *bo;

	if (!nr || nr > TGPU_MAX_PAGES)
		return ERR_PTR(-EINVAL);
	bo = kzalloc(sizeof(*bo), GFP_KERNEL);
	if (!bo)
		return ERR_PTR(-ENOMEM);
	bo->gpu = gpu;
	bo->nr = nr;
	bo->seed = seed;
	bo->wanted = jiffies;
	kref_init(&bo->refs);
	mutex_init(&bo->bind_lock);
	mutex_init(&bo->fill_lock);
	mutex_init(&bo->lock);
	init_waitqueue_head(&bo->wait);
	bo->file = shmem_kernel_file_setup("gpu", (loff_t)nr << PAGE_SHIFT,
					   VM_NORESERVE);
	if (IS_ERR(bo->file)) {
		int err = PTR_ERR(bo->file);

		kfree(bo);
		return ERR_PTR(err);
	}
	*registered = shmem_owner_register(bo->file, &tgpu_owner_ops, bo);
	bo->registered = !*registered;
	return bo;
}

static void tgpu_bo_release(struct kref *refs)
{
	struct tgpu_bo *bo = container_of(refs, struct tgpu_bo, refs);

	tgpu_bo_unbind(bo);
	if (bo->registered)
		shmem_owner_unregister(bo->file);
	fput(bo->file);
	kfree(bo);
}

struct tgpu_bo *tgpu_bo_get(struct tgpu_device *gpu, u32 handle)
{
	struct tgpu_bo *bo;

	xa_lock(&gpu->bos);
	bo = xa_load(&gpu->bos, handle);
	if (bo)
		kref_get(&bo->refs);
	xa_unlock(&gpu->bos);
	return bo;
}

void tgpu_bo_put(struct tgpu_bo *bo)
{
	if (bo)
		kref_put(&bo->refs, tgpu_bo_release);
}

/* Binding. */

int tgpu_bo_bind(struct tgpu_bo *bo)
{
	struct folio *folios[TGPU_MAX_PAGES];
	unsigned int i = 0;
	int err = 0;

	mutex_lock(&bo->bind_lock);
	if (bo->bound)
		goto out;
	/* What is pinned shall not be paged out, and not looked at for that. */
	mapping_set_unevictable(bo->file->f_mapping);
	WRITE_ONCE(bo->binding, true);
	while (i < bo->nr) {
		err = tgpu_bo_fill(bo, i, &folios[i]);
		if (err)
			break;
		i++;
	}
	if (err) {
		while (i)
			folio_put(folios[--i]);
		tgpu_count(bo->gpu, &bo->gpu->stats.bind_failed);
	} else {
		mutex_lock(&bo->lock);
		tgpu_enter(bo, folios);
		tgpu_bo_unlock(bo);
	}
	WRITE_ONCE(bo->binding, false);
	wake_up(&bo->wait);
out:
	mutex_unlock(&bo->bind_lock);
	return err;
}

static void tgpu_make_evictable(struct tgpu_bo *bo)
{
	struct folio_batch batch;
	unsigned int i;

	mapping_clear_unevictable(bo->file->f_mapping);
	folio_batch_init(&batch);
	for (i = 0; i < bo->nr; i++) {
		struct folio *folio = filemap_get_folio(bo->file->f_mapping, i);

		if (!IS_ERR(folio) && !folio_batch_add(&batch, folio)) {
			check_move_unevictable_folios(&batch);
			folio_batch_release(&batch);
		}
	}
	check_move_unevictable_folios(&batch);
	folio_batch_release(&batch);
}

static void tgpu_bo_unbind_all(struct tgpu_bo *bo)
{
	mutex_lock(&bo->lock);
	if (bo->bound)
		tgpu_leave(bo);
	tgpu_bo_unlock(bo);
}

void tgpu_bo_unbind(struct tgpu_bo *bo)
{
	mutex_lock(&bo->bind_lock);
	tgpu_bo_unbind_all(bo);
	tgpu_make_evictable(bo);
	mutex_unlock(&bo->bind_lock);
}

/* Leave the object @nr pages. The engine sees the old size or the new one. */
int tgpu_bo_truncate(struct tgpu_bo *bo, unsigned int nr)
{
	int err = 0;

	mutex_lock(&bo->bind_lock);
	if (!nr || nr > bo->nr) {
		err = -EINVAL;
	} else {
		tgpu_bo_unbind_all(bo);
		mutex_lock(&bo->lock);
		bo->nr = nr;
		tgpu_bo_unlock(bo);
		shmem_truncate_range(file_inode(bo->file),
				     (loff_t)nr << PAGE_SHIFT, (loff_t)-1);
	}
	mutex_unlock(&bo->bind_lock);
	return err;
}

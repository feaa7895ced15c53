// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of the mock graphics driver: who gets which page frame.
 *
 * Which frames hold what decides what compaction can do, and no two boots
 * allocate alike. So the pool takes nearly all memory, and user space says which
 * of its frames shall hold which page. A frame that was freed a moment ago is
 * the next one to be allocated: it is the first of its per-CPU list.
 */
#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include "test_gpu.h"

#define TGPU_POOL_GFP	((GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | __GFP_NOWARN)

static void tgpu_pool_free(struct tgpu_device *gpu, unsigned long pfn)
{
	if (test_and_clear_bit(pfn, gpu->pool))
		__free_page(pfn_to_page(pfn));
}

/*
 * Take all, and give back the lowest frames until @leave are free: so it is the
 * same ones that are left to the kernel, boot by boot.
 */
int tgpu_pool_take(struct tgpu_device *gpu, unsigned long leave)
{
	unsigned long pfn, least = min(leave, 4UL << (20 - PAGE_SHIFT));
	struct page *page;

	mutex_lock(&gpu->pool_lock);
	if (!gpu->pool) {
		gpu->pool_bits = get_num_physpages() + (SZ_16M >> PAGE_SHIFT);
		gpu->pool = bitmap_zalloc(gpu->pool_bits, GFP_KERNEL);
	}
	if (!gpu->pool) {
		mutex_unlock(&gpu->pool_lock);
		return -ENOMEM;
	}
	lru_add_drain_all();
	drain_all_pages(NULL);
	while (nr_free_pages() > least && !fatal_signal_pending(current)) {
		page = alloc_page(TGPU_POOL_GFP);
		if (!page)
			break;
		if (page_to_pfn(page) >= gpu->pool_bits) {
			__free_page(page);
			break;
		}
		__set_bit(page_to_pfn(page), gpu->pool);
		cond_resched();
	}
	for_each_set_bit(pfn, gpu->pool, gpu->pool_bits) {
		int type = get_pageblock_migratetype(pfn_to_page(pfn));

		/* Such a frame would not come back for a movable page. */
		if (nr_free_pages() < leave || type != MIGRATE_MOVABLE)
			tgpu_pool_free(gpu, pfn);
	}
	mutex_unlock(&gpu->pool_lock);
	return 0;
}

int tgpu_pool_list(struct tgpu_device *gpu, struct tgpu_args *args)
{
	unsigned long bytes = BITS_TO_LONGS(gpu->pool_bits) * sizeof(long);

	if (!gpu->pool)
		return -EINVAL;
	bytes = min_t(unsigned long, bytes, args->count);
	args->value = gpu->pool_bits;
	return copy_to_user(u64_to_user_ptr(args->addr), gpu->pool, bytes) ?
	       -EFAULT : 0;
}

/* A page of the caller's memory: where it was allocated, or an error. */
static long tgpu_touch(u64 addr)
{
	struct page *page;
	long pfn;

	if (put_user(0UL, (unsigned long __user *)u64_to_user_ptr(addr)))
		return -EFAULT;
	if (get_user_pages_fast(addr, 1, 0, &page) != 1)
		return -EFAULT;
	pfn = page_to_pfn(page);
	put_page(page);
	return pfn;
}

static long tgpu_place_one(struct tgpu_device *gpu, const struct tgpu_place *place)
{
	struct folio *folio;
	struct tgpu_bo *bo;
	long pfn;

	if (place->addr)
		return tgpu_touch(place->addr);
	bo = tgpu_bo_get(gpu, place->handle);
	if (!bo)
		return -ENOENT;
	pfn = tgpu_bo_fill(bo, place->index, &folio);
	if (!pfn) {
		pfn = page_to_pfn(folio_file_page(folio, place->index));
		folio_put(folio);
	}
	tgpu_bo_put(bo);
	return pfn;
}

int tgpu_pool_place(struct tgpu_device *gpu, struct tgpu_args *args)
{
	struct tgpu_place __user *user = u64_to_user_ptr(args->addr);
	struct tgpu_place place;
	unsigned int i;
	long pfn = 0;

	args->value = 0;
	mutex_lock(&gpu->pool_lock);
	for (i = 0; gpu->pool && i < args->count; i++) {
		if (copy_from_user(&place, user + i, sizeof(place))) {
			pfn = -EFAULT;
			break;
		}
		/* On the processor to whose list the frame goes. */
		migrate_disable();
		if (place.pfn < gpu->pool_bits)
			tgpu_pool_free(gpu, place.pfn);
		pfn = tgpu_place_one(gpu, &place);
		migrate_enable();
		if (pfn < 0)
			break;
		args->value += pfn == place.pfn;
		cond_resched();
	}
	mutex_unlock(&gpu->pool_lock);
	return pfn < 0 ? pfn : 0;
}

void tgpu_pool_drop(struct tgpu_device *gpu)
{
	unsigned long pfn;

	mutex_lock(&gpu->pool_lock);
	if (gpu->pool) {
		for_each_set_bit(pfn, gpu->pool, gpu->pool_bits)
			tgpu_pool_free(gpu, pfn);
	}
	mutex_unlock(&gpu->pool_lock);
}

#ifdef CONFIG_CONTIG_ALLOC
int tgpu_contig(struct tgpu_args *args)
{
	struct page *page;

	if (!args->count)
		return -EINVAL;
	page = alloc_contig_pages(args->count, GFP_KERNEL | __GFP_NOWARN,
				  numa_node_id(), NULL);
	args->result = page ? 0 : -ENOMEM;
	args->pfn = page ? page_to_pfn(page) : 0;
	if (page)
		free_contig_range(args->pfn, args->count);
	return 0;
}
#else
int tgpu_contig(struct tgpu_args *args)
{
	return -EOPNOTSUPP;
}
#endif

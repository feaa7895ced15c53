/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mock graphics driver: what its files share.
 *
 * test_gpu.c		objects, their bindings, and the migrate op
 * test_gpu_engine.c	the engine and its jobs
 * test_gpu_pool.c	who gets which page frame; contiguous memory
 * test_gpu_ioctl.c	the device file
 */
#ifndef _LIB_TEST_GPU_H
#define _LIB_TEST_GPU_H

#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/shmem_owner.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include "test_gpu_uapi.h"

#define TGPU_TLB		1024

struct tgpu_bo;

/* What the engine remembers of a page table. */
struct tgpu_tlb {
	struct tgpu_bo *bo;
	unsigned long index;
	unsigned long pfn;
};

struct tgpu_device {
	spinlock_t stats_lock;		/* stats */
	struct tgpu_stats stats;
	struct xarray bos;		/* by handle */

	/* the engine */
	struct task_struct *engine;
	struct mutex engine_lock;	/* to lock more than one object */
	spinlock_t jobs_lock;		/* jobs, nr_finite, running, each bo->jobs */
	struct list_head jobs;
	unsigned int nr_finite;		/* queued or running */
	unsigned int nr_endless;
	bool running;
	bool stopping;			/* endless jobs end */
	bool suspended;
	wait_queue_head_t wait;		/* for all of these */
	spinlock_t tlb_lock;
	struct tgpu_tlb tlb[TGPU_TLB];
	struct tgpu_bo *stall;		/* compared, never followed */
	struct completion inside, go;

	/* the pool: a bit for each page frame */
	struct mutex pool_lock;
	unsigned long *pool;
	unsigned long pool_bits;

	struct folio *held;
};

/*
 * A buffer object: up to TGPU_MAX_PAGES pages of a shmem file.
 *
 * bo->bound = each of the bo->nr pages has a reference through bo->folios[] and
 * a valid entry in bo->pt[]. Only what has a valid entry is in the TLB. All of
 * this changes under bo->lock, which the engine holds while it executes a job
 * on the object.
 *
 * Lock order: bind_lock > fill_lock > folio lock > lock > tlb_lock, stats_lock;
 * lock by trylock where a folio lock is held; engine_lock > several lock.
 * Under bo->lock no folio lock is taken and no memory allocated: the migrate op
 * may be what an allocation runs into. It never takes bind_lock or fill_lock.
 */
struct tgpu_bo {
	struct tgpu_device *gpu;
	struct kref refs;
	struct file *file;
	u64 seed;
	unsigned int nr;
	bool registered;
	DECLARE_BITMAP(filled, TGPU_MAX_PAGES);

	struct mutex bind_lock;		/* bound and nr, against each other */
	struct mutex fill_lock;		/* filled, and the first content */
	struct mutex lock;
	wait_queue_head_t wait;		/* for lock */
	bool binding;			/* references taken, not yet in folios[] */
	bool bound;
	u64 sum;			/* that jobs have added to each word */
	u64 runs;			/* of endless jobs */
	unsigned int jobs;		/* that will use it */
	unsigned int endless;		/* ... and write to it, for ever */
	unsigned long wanted;		/* jiffies until which it is left alone */
	unsigned long put_off;		/* jiffies since which a job waits, or 0 */
	struct folio *folios[TGPU_MAX_PAGES];
	u64 pt[TGPU_MAX_PAGES];
};

#define TGPU_VALID	1ULL		/* in pt[], above it the address */

static inline void tgpu_add(struct tgpu_device *gpu, u64 *counter, u64 n)
{
	unsigned long flags;

	spin_lock_irqsave(&gpu->stats_lock, flags);
	*counter += n;
	spin_unlock_irqrestore(&gpu->stats_lock, flags);
}

static inline void tgpu_count(struct tgpu_device *gpu, u64 *counter)
{
	tgpu_add(gpu, counter, 1);
}

/* test_gpu.c */
struct tgpu_bo *tgpu_bo_create(struct tgpu_device *gpu, unsigned int nr, u64 seed,
			       int *registered);
struct tgpu_bo *tgpu_bo_get(struct tgpu_device *gpu, u32 handle);
void tgpu_bo_put(struct tgpu_bo *bo);
int tgpu_bo_fill(struct tgpu_bo *bo, unsigned int index, struct folio **folio);
int tgpu_bo_bind(struct tgpu_bo *bo);
void tgpu_bo_unbind(struct tgpu_bo *bo);
int tgpu_bo_truncate(struct tgpu_bo *bo, unsigned int nr);
void tgpu_bo_unlock(struct tgpu_bo *bo);

/* test_gpu_engine.c */
int tgpu_engine_start(struct tgpu_device *gpu);
void tgpu_engine_stop(struct tgpu_device *gpu);
int tgpu_run(struct tgpu_device *gpu, struct tgpu_bo **bos, unsigned int nr,
	     u64 value, unsigned int times);
void tgpu_stop_endless(struct tgpu_device *gpu);
void tgpu_suspend(struct tgpu_device *gpu, bool suspend);
void tgpu_tlb_flush(struct tgpu_bo *bo);

/* test_gpu_pool.c */
int tgpu_pool_take(struct tgpu_device *gpu, unsigned long leave);
int tgpu_pool_list(struct tgpu_device *gpu, struct tgpu_args *args);
int tgpu_pool_place(struct tgpu_device *gpu, struct tgpu_args *args);
void tgpu_pool_drop(struct tgpu_device *gpu);
int tgpu_contig(struct tgpu_args *args);

#endif /* _LIB_TEST_GPU_H */

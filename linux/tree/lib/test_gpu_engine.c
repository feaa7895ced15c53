// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine of the mock graphics driver.
 *
 * A thread executes jobs, one at a time. A job reads every word of some objects,
 * compares it with what it must be, and adds a number to each word of the
 * first. Addresses come from the object's page table through a small TLB,
 * never from the page cache: where unbinding leaves a stale translation the
 * job works on a page that is somebody else's by now, and the object's words
 * are not what they must be.
 *
 * What the words must be: tgpu_word() + the sum of all that jobs have added.
 */
#include <linux/hash.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "test_gpu.h"

/* A job goes ahead after this long, wanted or not. */
#define TGPU_PATIENCE	(HZ / 4)

struct tgpu_job {
	struct list_head list;
	struct tgpu_device *gpu;
	struct tgpu_bo *bos[TGPU_JOB_OBJECTS];	/* the first is written to */
	unsigned int nr;
	u64 value;
	unsigned int times;
	bool endless;
};

/* Translation. */

static struct tgpu_tlb *tgpu_tlb_slot(struct tgpu_bo *bo, unsigned long index)
{
	return &bo->gpu->tlb[(hash_ptr(bo, 32) + index) % TGPU_TLB];
}

/* bo->lock is held, so nobody refills what is flushed here. */
void tgpu_tlb_flush(struct tgpu_bo *bo)
{
	unsigned int i;

	spin_lock(&bo->gpu->tlb_lock);
	for (i = 0; i < bo->nr; i++) {
		struct tgpu_tlb *tlb = tgpu_tlb_slot(bo, i);

		if (tlb->bo == bo)
			tlb->bo = NULL;
	}
	spin_unlock(&bo->gpu->tlb_lock);
}

static bool tgpu_translate(struct tgpu_bo *bo, unsigned long index,
			   unsigned long *pfn)
{
	struct tgpu_tlb *tlb = tgpu_tlb_slot(bo, index);
	bool valid = true;

	spin_lock(&bo->gpu->tlb_lock);
	if (tlb->bo == bo && tlb->index == index) {
		*pfn = tlb->pfn;
	} else if (bo->pt[index] & TGPU_VALID) {
		*pfn = bo->pt[index] >> PAGE_SHIFT;
		tlb->bo = bo;
		tlb->index = index;
		tlb->pfn = *pfn;
	} else {
		valid = false;
	}
	spin_unlock(&bo->gpu->tlb_lock);
	return valid;
}

/* Jobs. */

/* Check page @index, and add @value to each word. */
static void tgpu_work(struct tgpu_bo *bo, unsigned int index, u64 value)
{
	unsigned long pfn, wrong = 0;
	unsigned int w;
	u64 *p;

	if (!tgpu_translate(bo, index, &pfn)) {
		tgpu_count(bo->gpu, &bo->gpu->stats.faults);
		return;
	}
	p = kmap_local_page(pfn_to_page(pfn));
	for (w = 0; w < TGPU_WORDS; w++) {
		u64 word = READ_ONCE(p[w]);

		wrong += word != tgpu_word(bo->seed, index, w) + bo->sum;
		if (value)
			WRITE_ONCE(p[w], word + value);
	}
	kunmap_local(p);
	tgpu_add(bo->gpu, &bo->gpu->stats.words, TGPU_WORDS);
	if (wrong)
		tgpu_add(bo->gpu, &bo->gpu->stats.wrong, wrong);
}

/* All objects are bound and locked. */
static void tgpu_execute(struct tgpu_job *job)
{
	struct tgpu_device *gpu = job->gpu;
	struct tgpu_bo *bo = job->bos[0];
	unsigned int i, j;

	for (i = 0; i < bo->nr; i++) {
		if (i == bo->nr / 2 && READ_ONCE(gpu->stall) == bo) {
			WRITE_ONCE(gpu->stall, NULL);
			complete(&gpu->inside);
			wait_for_completion(&gpu->go);
		}
		tgpu_work(bo, i, job->value);
		cond_resched();
	}
	bo->sum += job->value;
	if (job->endless)
		bo->runs++;
	for (j = 1; j < job->nr; j++)
		for (i = 0; i < job->bos[j]->nr; i++)
			tgpu_work(job->bos[j], i, 0);
	tgpu_count(gpu, &gpu->stats.jobs);
}

/* Whether it was executed; else an object was wanted once more. */
static bool tgpu_try(struct tgpu_job *job)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < job->nr; i++)
		if (!READ_ONCE(job->bos[i]->bound) && tgpu_bo_bind(job->bos[i]))
			return false;
	mutex_lock(&job->gpu->engine_lock);
	for (i = 0; i < job->nr; i++) {
		mutex_lock_nest_lock(&job->bos[i]->lock, &job->gpu->engine_lock);
		good = good && job->bos[i]->bound;
	}
	if (good)
		tgpu_execute(job);
	while (i)
		tgpu_bo_unlock(job->bos[--i]);
	mutex_unlock(&job->gpu->engine_lock);
	return good;
}

static void tgpu_job_end(struct tgpu_job *job)
{
	struct tgpu_device *gpu = job->gpu;
	unsigned int i;

	spin_lock(&gpu->jobs_lock);
	for (i = 0; i < job->nr; i++)
		job->bos[i]->jobs--;
	if (job->endless) {
		job->bos[0]->endless--;
		gpu->nr_endless--;
	} else {
		gpu->nr_finite--;
	}
	spin_unlock(&gpu->jobs_lock);
	for (i = 0; i < job->nr; i++)
		tgpu_bo_put(job->bos[i]);
	kfree(job);
}

/*
 * Is somebody moving the object's pages? Then its jobs wait, but not for ever:
 * somebody may be moving them all the time.
 */
static bool tgpu_put_off(struct tgpu_bo *bo)
{
	bool wanted = time_before(jiffies, READ_ONCE(bo->wanted));

	if (wanted && !bo->put_off) {
		bo->put_off = jiffies | 1;
		tgpu_count(bo->gpu, &bo->gpu->stats.deferred);
	}
	if (wanted && time_before(jiffies, bo->put_off + TGPU_PATIENCE))
		return true;
	if (wanted)
		tgpu_count(bo->gpu, &bo->gpu->stats.overdue);
	bo->put_off = 0;
	return false;
}

static bool tgpu_job_waits(struct tgpu_job *job)
{
	unsigned int i;

	for (i = 0; i < job->nr; i++)
		if (tgpu_put_off(job->bos[i]))
			return true;
	return false;
}

static struct tgpu_job *tgpu_next_job(struct tgpu_device *gpu)
{
	struct tgpu_job *job, *found = NULL;

	spin_lock(&gpu->jobs_lock);
	list_for_each_entry(job, &gpu->jobs, list) {
		if (gpu->suspended && !gpu->stopping)
			break;
		if ((gpu->stopping && job->endless) ||
		    !tgpu_job_waits(job)) {
			found = job;
			list_del(&job->list);
			gpu->running = true;
			break;
		}
	}
	spin_unlock(&gpu->jobs_lock);
	return found;
}

static void tgpu_job_done(struct tgpu_device *gpu, struct tgpu_job *job, bool done)
{
	bool again;

	spin_lock(&gpu->jobs_lock);
	if (done && !job->endless)
		job->times--;
	again = job->endless ? !gpu->stopping : job->times > 0;
	if (again)
		list_add_tail(&job->list, &gpu->jobs);
	spin_unlock(&gpu->jobs_lock);
	if (!again)
		tgpu_job_end(job);
	spin_lock(&gpu->jobs_lock);
	gpu->running = false;
	spin_unlock(&gpu->jobs_lock);
	wake_up_all(&gpu->wait);
}

static int tgpu_engine(void *data)
{
	struct tgpu_device *gpu = data;

	while (!kthread_should_stop()) {
		struct tgpu_job *job = tgpu_next_job(gpu);

		if (job) {
			bool run = !READ_ONCE(gpu->stopping);

			tgpu_job_done(gpu, job, run && tgpu_try(job));
			cond_resched();
		} else {
			/* What was put off becomes due, and nobody says so. */
			wait_event_interruptible_timeout(gpu->wait,
							 kthread_should_stop(),
							 1);
		}
	}
	return 0;
}

/* A job on @bos, which are @nr different ones; it takes a reference to each. */
int tgpu_run(struct tgpu_device *gpu, struct tgpu_bo **bos, unsigned int nr,
	     u64 value, unsigned int times)
{
	struct tgpu_job *job = kzalloc(sizeof(*job), GFP_KERNEL);
	unsigned int i;

	if (!job)
		return -ENOMEM;
	job->gpu = gpu;
	job->nr = nr;
	job->value = value;
	job->times = times;
	job->endless = !times;
	spin_lock(&gpu->jobs_lock);
	for (i = 0; i < nr; i++) {
		kref_get(&bos[i]->refs);
		job->bos[i] = bos[i];
		bos[i]->jobs++;
	}
	if (job->endless) {
		bos[0]->endless++;
		gpu->nr_endless++;
	} else {
		gpu->nr_finite++;
	}
	list_add_tail(&job->list, &gpu->jobs);
	spin_unlock(&gpu->jobs_lock);
	return 0;
}

void tgpu_stop_endless(struct tgpu_device *gpu)
{
	WRITE_ONCE(gpu->stopping, true);
	wait_event(gpu->wait, !READ_ONCE(gpu->nr_endless));
	WRITE_ONCE(gpu->stopping, false);
}

void tgpu_suspend(struct tgpu_device *gpu, bool suspend)
{
	spin_lock(&gpu->jobs_lock);
	gpu->suspended = suspend;
	spin_unlock(&gpu->jobs_lock);
	if (suspend)
		wait_event(gpu->wait, !READ_ONCE(gpu->running));
}

int tgpu_engine_start(struct tgpu_device *gpu)
{
	mutex_init(&gpu->engine_lock);
	spin_lock_init(&gpu->jobs_lock);
	spin_lock_init(&gpu->tlb_lock);
	INIT_LIST_HEAD(&gpu->jobs);
	init_waitqueue_head(&gpu->wait);
	init_completion(&gpu->inside);
	init_completion(&gpu->go);
	gpu->engine = kthread_run(tgpu_engine, gpu, "test_gpu");
	return PTR_ERR_OR_ZERO(gpu->engine);
}

void tgpu_engine_stop(struct tgpu_device *gpu)
{
	struct tgpu_job *job, *next;

	complete_all(&gpu->go);
	kthread_stop(gpu->engine);
	list_for_each_entry_safe(job, next, &gpu->jobs, list) {
		list_del(&job->list);
		tgpu_job_end(job);
	}
}

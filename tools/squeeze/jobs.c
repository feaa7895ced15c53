/* SPDX-License-Identifier: MIT */
#include "jobs.h"

#include <errno.h>
#include <gem/gem.h>
#include <stdlib.h>

#include "content.h"
#include "watch.h"

#define JOBS 4u	  /* of one thread at once */
#define COPIES 4u /* one job in so many is a copy */

struct page {
	const struct thing *thing;
	uint32_t n;	 /* counting those of all things */
	uint32_t before; /* its sequence */
};

struct job {
	bool live, copy;
	struct page src, dst; /* dst: of a copy */
	struct gem_ticket ticket;
	struct gem_done done;
};

struct jobs {
	struct job job[JOBS];
	struct work_sum sum;
	uint64_t buffer[CONTENT_WORDS];
};

struct jobs *jobs_create(void)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (j)
		j->sum.first_thing = UINT64_MAX;
	return j;
}

const struct work_sum *jobs_sum(const struct jobs *j)
{
	return &j->sum;
}

void jobs_destroy(struct jobs *j)
{
	free(j);
}

static void wrong(struct jobs *j, const struct stage *s, const struct page *page, uint64_t bytes)
{
	if (!j->sum.wrong)
		j->sum.first_thing = (uint64_t)(page->thing - s->things);
	j->sum.wrong += bytes;
}

static void count_error(struct jobs *j, int err)
{
	j->sum.errors++;
	if (!j->sum.error)
		j->sum.error = err;
}

/* Chooses a page of a thing, and takes its sequence. */
static bool take(struct stage *s, uint32_t thing, uint64_t random, struct page *page)
{
	page->thing = &s->things[thing];
	page->n = page->thing->page + ((uint32_t)random & ((1u << page->thing->order) - 1));
	return sequence_lock(&s->sequence[page->n], &page->before);
}

/* Gives back a page that was not changed. */
static void leave(struct stage *s, const struct page *page)
{
	sequence_cancel(&s->sequence[page->n], page->before);
}

static uint64_t offset(const struct page *page)
{
	return (uint64_t)(page->thing->at + page->n - page->thing->page) * CONTENT_PAGE;
}

static int submit(struct arena *a, struct job *job)
{
	struct gem_object *src = a->objects[job->src.thing->unit];

	job->done = (struct gem_done){ 0 };
	if (!job->copy)
		return gem_submit(a->gem,
				  GEM_JOB(.kind = GEM_SUM, .no_wait = 1, .src = src,
					  .src_at = offset(&job->src), .bytes = CONTENT_PAGE,
					  .done = &job->done),
				  &job->ticket);
	return gem_submit(
		a->gem,
		GEM_JOB(.kind = GEM_COPY, .no_wait = 1, .src = src, .src_at = offset(&job->src),
			.dst = a->objects[job->dst.thing->unit], .dst_at = offset(&job->dst),
			.bytes = CONTENT_PAGE, .done = &job->done),
		&job->ticket);
}

static void start(struct jobs *j, struct arena *a, struct job *job, uint64_t random, uint32_t near)
{
	struct stage *s = a->stage;
	size_t n = s->nused[HOLDER_GEM];
	uint32_t other = s->used[HOLDER_GEM][(random >> 40) % n];
	int err;

	if (!take(s, near, random, &job->src))
		return;
	job->copy = (random >> 8) % COPIES == 0 && take(s, other, random >> 16, &job->dst);
	if (job->copy && random >> 63) { /* what is on the move is written to as well */
		struct page swap = job->src;

		job->src = job->dst;
		job->dst = swap;
	}
	err = submit(a, job);
	job->live = !err;
	if (!err)
		return;
	if (err != -EAGAIN)
		count_error(j, err);
	if (job->copy)
		leave(s, &job->dst);
	leave(s, &job->src);
}

static bool copied(struct jobs *j, struct arena *a, const struct job *job)
{
	const struct stage *s = a->stage;
	uint64_t base = s->base[job->src.n];
	size_t n;

	if (gem_object_read(a->objects[job->dst.thing->unit], offset(&job->dst), j->buffer,
			    sizeof(j->buffer))) {
		j->sum.errors++;
		return false;
	}
	n = content_wrong(j->buffer, base, 0, sizeof(j->buffer));
	if (n)
		wrong(j, s, &job->dst, n);
	__atomic_store_n(&a->stage->base[job->dst.n], base, __ATOMIC_RELAXED);
	return !n;
}

/* The job is done: was it what it should have been? */
static void judge(struct jobs *j, struct arena *a, struct job *job)
{
	struct stage *s = a->stage;
	bool right = false;

	job->live = false;
	if (job->done.code) {
		count_error(j, job->done.code);
	} else if (job->copy) {
		right = copied(j, a, job);
	} else {
		right = job->done.sum == content_sum(s->base[job->src.n], 0);
		if (!right)
			wrong(j, s, &job->src, CONTENT_PAGE);
	}
	if (job->copy && !job->done.code)
		sequence_unlock(&s->sequence[job->dst.n], job->dst.before);
	else if (job->copy)
		leave(s, &job->dst);
	leave(s, &job->src);
	j->sum.done += right;
	j->sum.overlapped += right && job->done.overlapped;
}

void jobs_step(struct jobs *j, struct arena *a, uint64_t random, uint32_t near)
{
	const struct stage *s = a->stage;
	struct job *spare = NULL;
	size_t n = s->nused[HOLDER_GEM];

	if (!n)
		return;
	for (unsigned i = 0; i < JOBS; i++) {
		struct job *job = &j->job[i];

		/* a nanosecond: is it done? */
		if (job->live && !gem_wait(a->gem, job->ticket, 1))
			judge(j, a, job);
		if (!job->live)
			spare = job;
	}
	if (near == WATCH_NOTHING || s->things[near].holder != HOLDER_GEM ||
	    !s->things[near].in_use)
		near = s->used[HOLDER_GEM][(random >> 20) % n];
	if (spare)
		start(j, a, spare, random, near);
}

void jobs_finish(struct jobs *j, struct arena *a)
{
	for (unsigned i = 0; i < JOBS; i++) {
		struct job *job = &j->job[i];

		if (!job->live)
			continue;
		if (gem_wait(a->gem, job->ticket, 0))
			j->sum.errors++; /* its end was waited for in vain; gem_destroy() will say
					  */
		else
			judge(j, a, job);
	}
}

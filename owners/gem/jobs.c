/* SPDX-License-Identifier: MIT */
/*
 * jobs.c: the driver's side of jobs.
 *
 * A job is queued, then taken on (its objects are bound, it is in flight, in the ring), then run,
 * then done. The engine's thread does all but the first. It takes on as many as options.depth says:
 * so an object can have several jobs in flight, and who wants it idle has to wait for all of them.
 *
 * A queued job is passed over while somebody holds an object of it. Whatever shares an object with
 * a job that was passed over is passed over as well, so such jobs never overtake one another.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void list_add(struct gem_list *list, struct gem_slot *slot)
{
	slot->next = NULL;
	if (list->last)
		list->last->next = slot;
	else
		list->first = slot;
	list->last = slot;
}

static void list_del(struct gem_list *list, struct gem_slot *slot, struct gem_slot *before)
{
	if (before)
		before->next = slot->next;
	else
		list->first = slot->next;
	if (list->last == slot)
		list->last = before;
	slot->next = NULL;
}

/* --- submitting --------------------------------------------------------------------------- */

static int check_range(const struct gem_object *object, uint64_t at, uint64_t bytes)
{
	uint64_t all = gem_object_bytes(object);

	if (at % 8)
		return -EINVAL;
	return at > all || bytes > all - at ? -ERANGE : 0;
}

static int check_job(const struct gem *gem, const struct gem_job *job)
{
	bool dst = job->kind != GEM_SUM, src = job->kind != GEM_FILL;
	int rc = 0;

	if ((unsigned)job->kind > GEM_BLUR || (job->dst != NULL) != dst ||
	    (job->src != NULL) != src || !job->bytes || job->bytes % 8)
		return -EINVAL;
	if ((dst && job->dst->gem != gem) || (src && job->src->gem != gem))
		return -EINVAL;
	if (dst)
		rc = check_range(job->dst, job->dst_at, job->bytes);
	if (src && !rc)
		rc = check_range(job->src, job->src_at, job->bytes);
	if (!rc && dst && job->dst == job->src && job->dst_at < job->src_at + job->bytes &&
	    job->src_at < job->dst_at + job->bytes)
		rc = -EINVAL;
	return rc;
}

static bool is_gone(const struct gem_object *object)
{
	return object && !object->refs;
}

/* NULL: no ticket of this gem's. */
static struct gem_slot *slot_of(struct gem *gem, struct gem_ticket ticket)
{
	uint64_t i = ticket.n & 0xffff;

	return ticket.n && i < gem->options.queue ? &gem->slot[i] : NULL;
}

static bool is_pending_locked(const struct gem_slot *slot, struct gem_ticket ticket)
{
	return slot->state != GEM_SPARE && slot->ticket == ticket.n;
}

/* A job that has been checked. */
static int submit(struct gem *gem, const struct gem_job *job, struct gem_ticket *ticket)
{
	uint64_t until = gem_until(gem, 0);
	struct gem_slot *slot;
	int rc = 0;

	if (gem_is_forked(gem))
		return -ENXIO;
	pthread_mutex_lock(&gem->lock);
	while (!(slot = gem->spare)) {
		rc = job->no_wait ? -EAGAIN : gem_is_engine(gem) ? -EDEADLK : 0;
		if (rc)
			goto out;
		if (!gem_wait_changed(gem, until)) {
			rc = -ETIMEDOUT;
			goto out;
		}
	}
	if (is_gone(job->dst) || is_gone(job->src)) {
		rc = -ESTALE;
		goto out;
	}
	gem->spare = slot->next;
	if (job->dst)
		job->dst->refs++;
	if (job->src)
		job->src->refs++;
	slot->ticket = ++gem->tickets << 16 | (uint64_t)(slot - gem->slot);
	slot->state = GEM_QUEUED;
	slot->job = *job;
	slot->held = slot->overlapped = slot->same = false;
	if (ticket)
		ticket->n = slot->ticket;
	list_add(&gem->queue, slot);
	gem->left++;
	gem_tally(gem, submitted);
	pthread_cond_signal(&gem->work);
out:
	pthread_mutex_unlock(&gem->lock);
	return rc;
}

int gem_submit(struct gem *gem, const struct gem_job *job, struct gem_ticket *ticket)
{
	struct gem_job copy;
	int rc;

	if (!job || job->size < sizeof(size_t))
		return -EINVAL;
	memset(&copy, 0, sizeof(copy));
	memcpy(&copy, job, job->size < sizeof(copy) ? job->size : sizeof(copy));
	rc = check_job(gem, &copy);
	return rc ? rc : submit(gem, &copy, ticket);
}

/* To bind is to fill no bytes. */
int gem_object_bind_soon(struct gem_object *object)
{
	const struct gem_job job = { .kind = GEM_FILL, .dst = object, .no_wait = 1 };

	return submit(object->gem, &job, NULL);
}

int gem_object_bind(struct gem_object *object, uint64_t deadline_ns)
{
	struct gem *gem = object->gem;
	struct gem_done done = { 0 };
	const struct gem_job job = { .kind = GEM_FILL, .dst = object, .done = &done };
	struct gem_ticket ticket;
	struct gem_slot *slot;
	int rc;

	if (gem_is_engine(gem))
		return -EDEADLK;
	rc = submit(gem, &job, &ticket);
	if (rc)
		return rc;
	rc = gem_wait(gem, ticket, deadline_ns);
	if (!rc)
		return done.code;
	/* nobody is told any more */
	slot = slot_of(gem, ticket);
	pthread_mutex_lock(&gem->lock);
	if (is_pending_locked(slot, ticket))
		slot->job.done = NULL;
	else
		rc = done.code;
	pthread_mutex_unlock(&gem->lock);
	return rc;
}

int gem_wait(struct gem *gem, struct gem_ticket ticket, uint64_t deadline_ns)
{
	uint64_t until = gem_until(gem, deadline_ns);
	const struct gem_slot *slot = slot_of(gem, ticket);
	int rc = 0;

	if (!slot)
		return 0;
	pthread_mutex_lock(&gem->lock);
	while (!rc && is_pending_locked(slot, ticket)) {
		if (gem_is_engine(gem))
			rc = -EDEADLK;
		else if (!gem_wait_changed(gem, until))
			rc = -ETIMEDOUT;
	}
	pthread_mutex_unlock(&gem->lock);
	return rc;
}

int gem_idle(struct gem *gem, uint64_t deadline_ns)
{
	uint64_t until = gem_until(gem, deadline_ns);
	int rc = 0;

	pthread_mutex_lock(&gem->lock);
	while (!rc && gem->left) {
		if (gem_is_engine(gem))
			rc = -EDEADLK;
		else if (!gem_wait_changed(gem, until))
			rc = -ETIMEDOUT;
	}
	pthread_mutex_unlock(&gem->lock);
	return rc;
}

/* --- fences ------------------------------------------------------------------------------- */

struct quire_fence *gem_slot_fence_locked(struct gem *gem, struct gem_slot *slot)
{
	char name[64];

	if (!slot->fence) {
		snprintf(name, sizeof(name), "%.30s job %llu", quire_owner_name(gem->owner),
			 (unsigned long long)(slot->ticket >> 16));
		if (quire_fence_create(gem->quire, name, &slot->fence))
			slot->fence = NULL;
	}
	return quire_fence_get(slot->fence);
}

static bool names(const struct gem_slot *slot, const struct gem_object *object)
{
	return slot && (slot->job.dst == object || slot->job.src == object);
}

struct gem_slot *gem_last_in_flight_locked(struct gem *gem, const struct gem_object *object)
{
	struct gem_slot *last = NULL;

	for (struct gem_slot *slot = gem->ring.first; slot; slot = slot->next)
		if (names(slot, object))
			last = slot;
	return names(gem->binding, object) ? gem->binding : last;
}

int gem_fence(struct gem *gem, struct gem_ticket ticket, struct quire_fence **fence)
{
	struct gem_slot *slot = slot_of(gem, ticket);
	int rc = -ENOENT;

	if (!slot)
		return rc;
	pthread_mutex_lock(&gem->lock);
	if (is_pending_locked(slot, ticket)) {
		*fence = gem_slot_fence_locked(gem, slot);
		rc = *fence ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&gem->lock);
	return rc;
}

/* --- taking on ---------------------------------------------------------------------------- */

static bool passed_over(const struct gem *gem, const struct gem_object *object)
{
	return object && object->scan == gem->scan;
}

static bool is_held(const struct gem_object *object)
{
	return object && object->holder;
}

static void pass_over(struct gem *gem, struct gem_object *object)
{
	if (object)
		object->scan = gem->scan;
}

/* The first job that may be taken on, off the queue. */
static struct gem_slot *pick_locked(struct gem *gem)
{
	struct gem_slot *before = NULL;

	gem->scan++;
	for (struct gem_slot *slot = gem->queue.first; slot; before = slot, slot = slot->next) {
		struct gem_object *dst = slot->job.dst, *src = slot->job.src;

		if (is_held(dst) || is_held(src)) {
			if (!slot->held)
				gem_tally(gem, held_back);
			slot->held = true;
		} else if (!passed_over(gem, dst) && !passed_over(gem, src)) {
			list_del(&gem->queue, slot, before);
			return slot;
		}
		pass_over(gem, dst);
		pass_over(gem, src);
	}
	return NULL;
}

/*
 * Pins every folio that has no pin yet, then fills the page table. In the engine's thread, with the
 * object in flight. The frame is looked up under the pin: it stays what it is until that goes.
 */
static int bind(struct gem *gem, struct gem_object *object)
{
	size_t i, fresh = 0;
	int rc = 0;

	if (!object || __atomic_load_n(&object->bound, __ATOMIC_RELAXED))
		return 0;
	for (i = 0; i < object->n && !rc; i++) {
		struct gem_folio *part = &object->folio[i];
		struct quire_pin *pin;

		if (part->pin)
			continue;
		rc = quire_pin_long(part->folio, gem->owner, &pin);
		if (rc)
			break;
		/* release: the op that finds it may drop it, once it has the object */
		__atomic_store_n(&part->pin, pin, __ATOMIC_RELEASE);
		__atomic_fetch_add(&gem->pinned_bytes, quire_folio_bytes(part->folio),
				   __ATOMIC_RELAXED);
		gem_tally(gem, pins);
		part->fresh = true;
		fresh++;
	}
	if (rc) {
		while (fresh && i-- > 0)
			if (object->folio[i].fresh) {
				gem_folio_unpin(&object->folio[i]);
				object->folio[i].fresh = false;
				fresh--;
			}
		return rc;
	}
	for (i = 0; i < object->n; i++) {
		struct gem_folio *part = &object->folio[i];
		uint32_t frame = quire_folio_frame(part->folio).n;
		uint32_t n = 1u << quire_folio_order(part->folio);

		part->fresh = false;
		for (uint32_t k = 0; k < n; k++)
			object->table[part->first + k] = frame + k;
	}
	if (!gem->engine.base)
		gem->engine.base = (char *)quire_pin_address(object->folio[0].pin) -
				   ((size_t)object->table[0] << QUIRE_FRAME_SHIFT);
	__atomic_store_n(&object->bound, true, __ATOMIC_RELEASE);
	gem_tally(gem, binds);
	if (object->flushed)
		gem_tally(gem, rebinds);
	return 0;
}

/* --- done --------------------------------------------------------------------------------- */

static void leave_locked(struct gem_object *object, struct gem_object **down)
{
	if (!object)
		return;
	object->inflight--;
	gem_object_put_locked(object, down);
}

/* Drops the lock for a moment. */
static void finish_locked(struct gem *gem, struct gem_slot *slot, int code, uint64_t sum)
{
	struct gem_done *done = slot->job.done;
	struct gem_object *down = NULL;

	if (done) {
		done->code = code;
		done->overlapped = slot->overlapped;
		done->sum = sum;
	}
	if (code) {
		gem_tally(gem, jobs_failed);
	} else {
		gem_tally(gem, jobs);
		gem_tally_n(gem, GEM_N_job_bytes, slot->job.bytes);
		if (slot->overlapped)
			gem_tally(gem, overlapped_jobs);
		if (slot->overlapped && slot->same)
			gem_tally(gem, overlapped_same);
	}
	leave_locked(slot->job.dst, &down);
	leave_locked(slot->job.src, &down);
	if (slot->fence) {
		quire_fence_signal(slot->fence);
		quire_fence_put(slot->fence);
		slot->fence = NULL;
	}
	slot->state = GEM_SPARE;
	slot->next = gem->spare;
	gem->spare = slot;
	gem->flight--;
	pthread_cond_broadcast(&gem->changed);
	if (down) { /* idle is only who has these behind him */
		pthread_mutex_unlock(&gem->lock);
		gem_objects_down(down);
		pthread_mutex_lock(&gem->lock);
		pthread_cond_broadcast(&gem->changed);
	}
	gem->left--;
}

/* Fills the ring. */
static void take_on_locked(struct gem *gem)
{
	struct gem_slot *slot;
	int rc;

	while (gem->flight < gem->options.depth && (slot = pick_locked(gem))) {
		slot->state = GEM_FLIGHT;
		gem->flight++;
		if (slot->job.dst)
			slot->job.dst->inflight++;
		if (slot->job.src)
			slot->job.src->inflight++;
		gem->binding = slot;
		pthread_mutex_unlock(&gem->lock);
		rc = bind(gem, slot->job.dst);
		if (!rc)
			rc = bind(gem, slot->job.src);
		pthread_mutex_lock(&gem->lock);
		gem->binding = NULL;
		if (rc)
			finish_locked(gem, slot, rc, 0);
		else
			list_add(&gem->ring, slot);
	}
}

/* Is some folio isolated, and not yet published? Of an object of this job? */
static void look_for_moves_locked(struct gem *gem, struct gem_slot *slot)
{
	for (const struct gem_folio *part = gem->isolated; part; part = part->iso_next) {
		if (!quire_folio_on_the_move(part->moving))
			continue;
		slot->overlapped = true;
		if (names(slot, part->object)) {
			slot->same = true;
			return;
		}
	}
}

static void run_locked(struct gem *gem, struct gem_slot *slot)
{
	struct gem_engine *engine = &gem->engine;
	struct gem_ticket ticket = { slot->ticket };
	bool flush = engine->flush_seen != gem->flush_wanted;
	uint64_t sum = 0;
	int rc;

	engine->flush_seen = gem->flush_wanted;
	gem->running = slot;
	look_for_moves_locked(gem, slot);
	pthread_mutex_unlock(&gem->lock);
	if (flush) {
		gem_engine_flush(engine);
		gem_tally(gem, tlb_flushes);
	}
	if (gem->options.on_job)
		gem->options.on_job(gem->options.arg, ticket);
	engine->hits = engine->misses = engine->faults = 0;
	rc = gem_engine_run(engine, &slot->job, &sum);
	gem_tally_n(gem, GEM_N_tlb_hits, engine->hits);
	gem_tally_n(gem, GEM_N_tlb_misses, engine->misses);
	gem_tally_n(gem, GEM_N_faults, engine->faults);
	pthread_mutex_lock(&gem->lock);
	gem->running = NULL;
	list_del(&gem->ring, slot, NULL);
	finish_locked(gem, slot, rc, sum);
}

void *gem_thread(void *arg)
{
	struct gem *gem = arg;

	pthread_mutex_lock(&gem->lock);
	for (;;) {
		take_on_locked(gem);
		if (gem->ring.first)
			run_locked(gem, gem->ring.first);
		else if (gem->stop && !gem->left)
			break;
		else
			pthread_cond_wait(&gem->work, &gem->lock);
	}
	pthread_mutex_unlock(&gem->lock);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * gem.c: making and ending a gem, waiting, counting, validating.
 */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GEM_QUEUE 256u
#define GEM_QUEUE_MAX 65536u
#define GEM_DEPTH 4u
#define GEM_TLB 64u
#define GEM_TLB_MAX (1u << 20)
#define GEM_PATIENCE_NS 100000000ull
#define GEM_DEADLINE_NS 10000000000ull
/* How long gem_destroy() waits for movers and readers. */
#define GEM_DESTROY_NS 1000000000ull

uint64_t gem_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static uint64_t later(uint64_t ns)
{
	uint64_t now = gem_now();

	return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

uint64_t gem_until(const struct gem *gem, uint64_t deadline_ns)
{
	return later(deadline_ns ? deadline_ns : gem->options.deadline_ns);
}

bool gem_wait_changed(struct gem *gem, uint64_t until)
{
	uint64_t seconds = until / 1000000000ull;
	struct timespec at;

	if (until == 0 || gem_now() >= until)
		return false;
	/* no time that is too far for a timespec; the caller waits again then */
	at.tv_sec = (time_t)(seconds < INT32_MAX ? seconds : INT32_MAX);
	at.tv_nsec = (long)(until % 1000000000ull);
	pthread_cond_timedwait(&gem->changed, &gem->lock, &at);
	return true;
}

bool gem_is_forked(const struct gem *gem)
{
	return gem->pid != getpid();
}

struct quire_owner *gem_owner(struct gem *gem)
{
	return gem->owner;
}

/* --- making ------------------------------------------------------------------------------- */

static int read_options(const struct gem_options *options, struct gem_options *to)
{
	memset(to, 0, sizeof(*to));
	if (options) {
		if (options->size < sizeof(size_t))
			return -EINVAL;
		memcpy(to, options, options->size < sizeof(*to) ? options->size : sizeof(*to));
	}
	to->queue = to->queue ? to->queue : GEM_QUEUE;
	to->depth = to->depth ? to->depth : (to->queue < GEM_DEPTH ? to->queue : GEM_DEPTH);
	to->tlb = to->tlb ? to->tlb : GEM_TLB;
	to->patience_ns = to->patience_ns ? to->patience_ns : GEM_PATIENCE_NS;
	to->deadline_ns = to->deadline_ns ? to->deadline_ns : GEM_DEADLINE_NS;
	if (to->queue > GEM_QUEUE_MAX || to->depth > to->queue || to->tlb > GEM_TLB_MAX ||
	    (to->tlb & (to->tlb - 1)) || (to->seeds & ~3u))
		return -EINVAL;
	return 0;
}

static int init_locks(struct gem *gem)
{
	pthread_condattr_t monotonic;
	int rc = pthread_condattr_init(&monotonic);

	if (rc)
		return -rc;
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&gem->changed, &monotonic);
	pthread_cond_init(&gem->work, NULL);
	pthread_mutex_init(&gem->lock, NULL);
	pthread_condattr_destroy(&monotonic);
	return 0;
}

static void give_back(struct gem *gem)
{
	pthread_cond_destroy(&gem->changed);
	pthread_cond_destroy(&gem->work);
	pthread_mutex_destroy(&gem->lock);
	gem_engine_finish(&gem->engine);
	free(gem->slot);
	free(gem);
}

int gem_create(struct quire *quire, const struct gem_options *options, struct gem **out)
{
	struct gem_options all;
	struct gem *gem;
	int rc = read_options(options, &all);

	if (rc)
		return rc;
	gem = calloc(1, sizeof(*gem));
	if (!gem)
		return -ENOMEM;
	gem->quire = quire;
	gem->options = all;
	gem->pid = getpid();
	gem->slot = calloc(all.queue, sizeof(*gem->slot));
	rc = gem->slot ? gem_engine_init(&gem->engine, all.tlb) : -ENOMEM;
	if (rc)
		goto free_gem;
	rc = init_locks(gem);
	if (rc)
		goto free_engine;
	for (uint32_t i = all.queue; i-- > 0;) {
		gem->slot[i].next = gem->spare;
		gem->spare = &gem->slot[i];
	}
	rc = quire_owner_create(quire, all.name ? all.name : "gem", &gem_ops, gem, &gem->owner);
	if (rc) {
		give_back(gem);
		return rc;
	}
	rc = -pthread_create(&gem->thread, NULL, gem_thread, gem);
	if (rc) {
		(void)quire_owner_destroy(gem->owner);
		give_back(gem);
		return rc;
	}
	*out = gem;
	return 0;
free_engine:
	gem_engine_finish(&gem->engine);
free_gem:
	free(gem->slot);
	free(gem);
	return rc;
}

/* --- the end ------------------------------------------------------------------------------ */

/* The child has neither the engine nor the folios: what describes them goes. */
static int destroy_forked(struct gem *gem)
{
	struct gem_object *object;

	while ((object = gem->objects)) {
		gem->objects = object->next;
		free(object->table);
		free(object);
	}
	gem_engine_finish(&gem->engine);
	free(gem->slot);
	free(gem);
	return 0;
}

static int end_engine(struct gem *gem)
{
	int rc = gem_idle(gem, 0);

	if (rc)
		return rc;
	pthread_mutex_lock(&gem->lock);
	gem->stop = true;
	pthread_cond_signal(&gem->work);
	pthread_mutex_unlock(&gem->lock);
	pthread_join(gem->thread, NULL);
	gem->ended = true;
	return 0;
}

/* Drops what is left of each object's references; who has one for himself takes it down. */
static void drop_objects(struct gem *gem)
{
	struct gem_object *down = NULL;

	pthread_mutex_lock(&gem->lock);
	for (struct gem_object *object = gem->objects; object; object = object->next) {
		if (!object->refs)
			continue;
		object->refs = 1;
		gem_object_put_locked(object, &down);
	}
	pthread_mutex_unlock(&gem->lock);
	gem_objects_down(down);
}

int gem_destroy(struct gem *gem)
{
	uint64_t until;
	int rc;

	if (!gem)
		return 0;
	if (gem_is_forked(gem))
		return destroy_forked(gem);
	if (gem_is_engine(gem))
		return -EDEADLK;
	/* nothing is moved by this; it says whether something could be */
	if (quire_move_folios(gem->quire, NULL, 0, QUIRE_SYNC, 0) == -EDEADLK)
		return -EDEADLK;
	if (!gem->ended) {
		rc = end_engine(gem);
		if (rc)
			return rc;
	}
	drop_objects(gem);
	/* -EBUSY: folios freed wait for a reader to leave, or a mover has a reference still */
	until = later(GEM_DESTROY_NS);
	while ((rc = quire_owner_destroy(gem->owner)) == -EBUSY && gem_now() < until) {
		quire_reclaim(gem->quire);
		sched_yield();
	}
	if (!rc)
		give_back(gem);
	return rc;
}

/* --- counters ----------------------------------------------------------------------------- */

static uint64_t counted(const struct gem *gem, enum gem_tally which)
{
	return __atomic_load_n(&gem->n[which], __ATOMIC_RELAXED);
}

/* What is counted one after the other may be met in another order. */
static uint64_t over(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

int gem_stats_get(struct gem *gem, struct gem_stats *stats)
{
	struct gem_stats all = { .size = stats->size };

	if (stats->size < offsetof(struct gem_stats, submitted) + sizeof(stats->submitted))
		return -EINVAL;
#define GEM_STATS_FILL_(name, text) all.name = counted(gem, GEM_N_##name);
	GEM_COUNTERS(GEM_STATS_FILL_)
#undef GEM_STATS_FILL_
	all.objects = over(all.objects_created, all.objects_freed);
	all.folios = over(all.folios_created, all.folios_freed);
	pthread_mutex_lock(&gem->lock);
	all.queued = gem->left;
	pthread_mutex_unlock(&gem->lock);
	all.pinned_bytes = __atomic_load_n(&gem->pinned_bytes, __ATOMIC_RELAXED);
	memcpy(stats, &all, stats->size < sizeof(all) ? stats->size : sizeof(all));
	return 0;
}

/* --- validation --------------------------------------------------------------------------- */

static int validate_object(const struct gem_object *object, uint64_t *pinned, const char **what)
{
	uint64_t frames = 0;

	*what = "a job is in flight";
	if (object->inflight)
		return -EUCLEAN;
	*what = "somebody has an object and did not let go";
	if (object->holder || !object->refs)
		return -EUCLEAN;
	for (size_t i = 0; i < object->n; i++) {
		const struct gem_folio *part = &object->folio[i];
		uint32_t n = 1u << quire_folio_order(part->folio);

		*what = "a folio is not where it should be in its object";
		if (part->object != object || part->first != frames ||
		    quire_folio_private(part->folio) != part)
			return -EUCLEAN;
		*what = "a bound object has a folio without a pin";
		if (object->bound && !part->pin)
			return -EUCLEAN;
		*pinned += part->pin != NULL;
		for (uint32_t k = 0; k < n; k++) {
			uint32_t frame = object->table[frames + k];

			*what = "an entry of the page table is not the folio's frame";
			if (object->bound ? frame != quire_folio_frame(part->folio).n + k
					  : frame != GEM_INVALID)
				return -EUCLEAN;
		}
		frames += n;
	}
	*what = "an object's folios are not all of it";
	return frames == object->frames ? 0 : -EUCLEAN;
}

static int validate_counts(const struct gem *gem, uint64_t pinned, const char **what)
{
	*what = "a translation found no valid entry";
	if (counted(gem, GEM_N_faults))
		return -EUCLEAN;
	*what = "ops were called against the contract";
	if (counted(gem, GEM_N_unbalanced))
		return -EUCLEAN;
	*what = "jobs submitted and jobs ended differ";
	if (counted(gem, GEM_N_submitted) !=
	    counted(gem, GEM_N_jobs) + counted(gem, GEM_N_jobs_failed))
		return -EUCLEAN;
	*what = "pins taken, dropped and there differ";
	if (counted(gem, GEM_N_pins) != counted(gem, GEM_N_unpins) + pinned)
		return -EUCLEAN;
	return 0;
}

int gem_validate(struct gem *gem, const char **what)
{
	const char *why = "jobs are not done";
	uint64_t pinned = 0;
	int rc = 0;

	pthread_mutex_lock(&gem->lock);
	if (gem->left || gem->queue.first || gem->ring.first || gem->flight)
		rc = -EUCLEAN;
	for (struct gem_object *object = gem->objects; object && !rc; object = object->next)
		rc = validate_object(object, &pinned, &why);
	if (!rc && gem->isolated) {
		why = "a folio is still isolated";
		rc = -EUCLEAN;
	}
	pthread_mutex_unlock(&gem->lock);
	if (!rc)
		rc = validate_counts(gem, pinned, &why);
	if (what)
		*what = rc ? why : NULL;
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * owner.c: the ops: what happens when somebody wants folios of gem's to move.
 *
 *	isolate   never refuses, but in mode ASYNC an object with jobs in flight: that costs the
 *mover no destination yet migrate   hold, quiesce, flush, unpin, commit, let go; see below putback
 *nothing to undo: pins that were dropped come back with the next bind (H-A5) free      takes the
 *folio off the list of the isolated, if it is there
 *
 * Every isolation ends in exactly one of three ways, and is counted: moved (in the migrate op), put
 * back, freed.
 *
 * The batch by objects. Of folios without a pin of gem's no address is known: they need nothing and
 * no lock is taken for them (contract A8). If a job binds one of them at that very moment, either
 * the commit sees the pin, or the bind waits for the move. Every other folio belongs to an object
 * that has to be held. Holding one, the op waits for no other hold: two ops with the same objects
 * cannot wait for each other. All of them are held before the first is waited for, so what is in
 * flight on all of them comes to its end together.
 */
#include "internal.h"

#include <errno.h>

/* How long the op waits where waits have to be short. */
#define GEM_LIGHT_NS 500000ull
#define GEM_BATCH_MAX QUIRE_BLOCK_FRAMES
/* A bind that came between quiesce and commit is undone, but not without end. */
#define GEM_PASSES 3

/* A migrate op that runs. Its address is what it holds objects by. */
struct gem_op {
	struct gem *gem;
	struct quire_batch *batch;
	enum quire_mode mode;
	uint64_t until;
	struct gem_object *objects; /* held */
	bool skipped[GEM_BATCH_MAX];
	bool unpinned[GEM_BATCH_MAX];
};

static struct gem_folio *part_of(const struct gem_op *op, size_t i)
{
	return quire_folio_private(quire_batch_folio(op->batch, i));
}

/* To be tried again, after the fence if there is one; takes the reference. */
static void skip(struct gem_op *op, size_t i, struct quire_fence *fence)
{
	op->skipped[i] = true;
	(void)quire_batch_skip(op->batch, i, -EAGAIN);
	if (fence)
		(void)quire_op_wait(quire_batch_folio(op->batch, i), fence);
	quire_fence_put(fence);
}

/* What ends an object's being busy. */
static struct quire_fence *busy_fence_locked(struct gem *gem, const struct gem_object *object)
{
	struct gem_slot *last = gem_last_in_flight_locked(gem, object);

	return last ? gem_slot_fence_locked(gem, last) : NULL;
}

/* --- the isolated ------------------------------------------------------------------------- */

static void list_isolated_locked(struct gem *gem, struct gem_folio *part, struct quire_folio *folio)
{
	if (part->moving) {
		gem_tally(gem, unbalanced);
		return;
	}
	part->moving = folio;
	part->in_vain = false;
	part->iso_prev = NULL;
	part->iso_next = gem->isolated;
	if (part->iso_next)
		part->iso_next->iso_prev = part;
	gem->isolated = part;
}

/* false: it was not isolated. */
static bool unlist_isolated_locked(struct gem *gem, struct gem_folio *part)
{
	if (!part->moving)
		return false;
	part->moving = NULL;
	if (part->iso_prev)
		part->iso_prev->iso_next = part->iso_next;
	else
		gem->isolated = part->iso_next;
	if (part->iso_next)
		part->iso_next->iso_prev = part->iso_prev;
	return true;
}

/* --- isolate, putback, free --------------------------------------------------------------- */

static int op_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct gem *gem = arg;
	struct gem_folio *part = quire_folio_private(folio);
	struct gem_object *object = part->object;
	struct quire_fence *fence = NULL;
	bool busy;

	pthread_mutex_lock(&gem->lock);
	busy = mode == QUIRE_ASYNC && object->inflight;
	if (busy) {
		fence = busy_fence_locked(gem, object);
	} else {
		list_isolated_locked(gem, part, folio);
		if (gem->running) {
			const struct gem_job *job = &gem->running->job;

			gem->running->overlapped = true;
			gem->running->same |= job->dst == object || job->src == object;
		}
	}
	pthread_mutex_unlock(&gem->lock);
	if (busy) {
		gem_tally(gem, busy);
		if (fence)
			(void)quire_op_wait(folio, fence);
		quire_fence_put(fence);
		return -EAGAIN;
	}
	gem_tally(gem, isolated);
	if (gem->options.on_isolate)
		gem->options.on_isolate(gem->options.arg, folio);
	return 0;
}

static void op_putback(struct quire_folio *folio, void *arg)
{
	struct gem *gem = arg;
	struct gem_folio *part = quire_folio_private(folio);
	bool listed, in_vain, first;

	pthread_mutex_lock(&gem->lock);
	listed = unlist_isolated_locked(gem, part);
	in_vain = part->in_vain;
	first = in_vain && part->object->lost;
	part->in_vain = false;
	part->object->lost &= !in_vain;
	pthread_mutex_unlock(&gem->lock);
	gem_tally_n(gem, listed ? GEM_N_putbacks : GEM_N_unbalanced, 1);
	if (in_vain)
		gem_tally(gem, flushed_in_vain);
	if (first && gem->options.rebind_at_putback && !gem_object_bind_soon(part->object))
		gem_tally(gem, putback_binds);
}

static void op_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct gem *gem = arg;
	struct gem_folio *part = quire_folio_private(folio);
	bool listed;

	(void)reason;
	pthread_mutex_lock(&gem->lock);
	listed = unlist_isolated_locked(gem, part);
	pthread_mutex_unlock(&gem->lock);
	if (listed)
		gem_tally(gem, freed_isolated);
	gem_tally(gem, folios_freed);
	gem_object_part_gone(part->object);
}

/* --- migrate ------------------------------------------------------------------------------ */

/*
 * Holds the object of every folio that has a pin, and skips those whose object somebody else has.
 * Returns how many folios need what comes next.
 */
static size_t hold_objects(struct gem_op *op)
{
	size_t n = quire_batch_count(op->batch), pinned = 0;

	for (size_t i = 0; i < n; i++) {
		struct gem_folio *part = part_of(op, i);
		struct gem_object *object = part->object;
		struct quire_fence *fence = NULL;
		bool held, mine;

		if (op->skipped[i] || quire_batch_moved(op->batch, i) ||
		    !__atomic_load_n(&part->pin, __ATOMIC_ACQUIRE))
			continue;
		pthread_mutex_lock(&op->gem->lock);
		mine = object->holder == op;
		held = gem_object_hold_locked(object, op, op->objects ? 0 : op->until);
		if (!held)
			fence = gem_object_hold_fence_locked(object);
		pthread_mutex_unlock(&op->gem->lock);
		if (!held) {
			gem_tally(op->gem, locked_out);
			skip(op, i, fence);
			continue;
		}
		if (!mine) {
			object->held_next = op->objects;
			op->objects = object;
		}
		pinned++;
	}
	return pinned;
}

/* Waits for the engine by the mode. Objects that stay busy are skip_busy()'s. */
static void quiesce(struct gem_op *op)
{
	struct gem *gem = op->gem;
	bool busy = false, all = true;

	pthread_mutex_lock(&gem->lock);
	for (struct gem_object *object = op->objects; object; object = object->held_next)
		busy |= object->inflight != 0;
	busy &= op->mode != QUIRE_ASYNC;
	if (busy)
		gem_tally(gem, waits);
	for (struct gem_object *object = op->objects; object; object = object->held_next)
		all &= gem_object_quiesce_locked(object, op->until);
	pthread_mutex_unlock(&gem->lock);
	if (busy && !all)
		gem_tally(gem, wait_timeouts);
}

/* Ends the holds: of all objects, or of those that did not become quiet. */
static void release(struct gem_op *op, bool all)
{
	struct gem_object **at = &op->objects, *down = NULL;

	pthread_mutex_lock(&op->gem->lock);
	while (*at) {
		struct gem_object *object = *at;

		if (!all && object->quiet) {
			at = &object->held_next;
			continue;
		}
		*at = object->held_next;
		gem_object_release_locked(object, &down);
	}
	pthread_mutex_unlock(&op->gem->lock);
	gem_objects_down(down);
}

static bool is_mine(const struct gem_op *op, const struct gem_object *object)
{
	/* relaxed: nobody but this op stores its address */
	return __atomic_load_n(&object->holder, __ATOMIC_RELAXED) == op;
}

/* Folio i is to be moved, and its object is held by this op. */
static bool is_ours(const struct gem_op *op, size_t i)
{
	return !op->skipped[i] && !quire_batch_moved(op->batch, i) &&
	       is_mine(op, part_of(op, i)->object);
}

/* Lets go of what is still busy, with the folios that are of it. */
static void skip_busy(struct gem_op *op)
{
	size_t n = quire_batch_count(op->batch);

	for (size_t i = 0; i < n; i++) {
		struct quire_fence *fence;

		if (!is_ours(op, i) || part_of(op, i)->object->quiet)
			continue;
		pthread_mutex_lock(&op->gem->lock);
		fence = busy_fence_locked(op->gem, part_of(op, i)->object);
		pthread_mutex_unlock(&op->gem->lock);
		gem_tally(op->gem, busy);
		skip(op, i, fence);
	}
	release(op, false);
}

/* One flush for an object and batch, however many folios of it are to move (contract H-A3). */
static void flush_and_unpin(struct gem_op *op)
{
	size_t n = quire_batch_count(op->batch);

	for (struct gem_object *object = op->objects; object; object = object->held_next)
		gem_object_flush(object);
	for (size_t i = 0; i < n; i++) {
		struct gem_folio *part = part_of(op, i);

		if (!is_ours(op, i) || !part->pin)
			continue;
		gem_folio_unpin(part);
		op->unpinned[i] = true;
	}
}

/* What became of each folio; before the objects are let go, so that no job comes in between. */
static void note_results(struct gem_op *op)
{
	struct gem *gem = op->gem;
	size_t n = quire_batch_count(op->batch);

	for (size_t i = 0; i < n; i++) {
		struct gem_folio *part = part_of(op, i);
		bool moved = quire_batch_moved(op->batch, i), listed;

		pthread_mutex_lock(&gem->lock);
		listed = !moved || unlist_isolated_locked(gem, part);
		part->in_vain = !moved && op->unpinned[i];
		part->object->lost |= part->in_vain;
		pthread_mutex_unlock(&gem->lock);
		if (!listed)
			gem_tally(gem, unbalanced);
		if (moved) {
			gem_tally(gem, moved);
			if (is_mine(op, part->object) && part->object->was_busy)
				gem_tally(gem, moved_busy);
		} else if (!op->skipped[i]) {
			gem_tally(gem, foreign_pins);
		}
	}
}

static uint64_t patience_until(const struct gem *gem, enum quire_mode mode)
{
	uint64_t ns = gem->options.patience_ns, now;

	if (mode == QUIRE_ASYNC)
		return 0;
	if (mode == QUIRE_SYNC_LIGHT && ns > GEM_LIGHT_NS)
		ns = GEM_LIGHT_NS;
	now = gem_now();
	return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

static int op_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct gem *gem = arg;
	struct gem_op op = { .gem = gem, .batch = batch, .mode = mode };
	bool locks = false;
	int rc = 0;

	gem_tally(gem, migrations);
	op.until = patience_until(gem, mode);
	for (unsigned pass = 0; pass < GEM_PASSES; pass++) {
		if (hold_objects(&op)) {
			locks = true;
			quiesce(&op);
			skip_busy(&op);
			flush_and_unpin(&op);
		} else if (pass) {
			break; /* what keeps them now is no pin of gem's */
		}
		rc = quire_move_commit(batch);
		if (rc != -EAGAIN)
			break;
	}
	if (!locks)
		gem_tally(gem, unpinned_batches);
	note_results(&op);
	release(&op, true);
	return rc;
}

const struct quire_owner_ops gem_ops = {
	.size = sizeof(struct quire_owner_ops),
	.isolate = op_isolate,
	.migrate = op_migrate,
	.putback = op_putback,
	.free = op_free,
};

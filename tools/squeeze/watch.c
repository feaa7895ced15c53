/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

/* What becomes of one thing where owners are made to refuse. */
struct fate {
	uint8_t asked;	 /* it was said "not now" once */
	uint8_t refused; /* enum quire_reason: for good */
	uint16_t tries;	 /* of migrate that ended in "not now" */
};

/* One owner: whom the library calls, and who is called then. */
struct watched {
	struct watch *watch;
	struct watched *next;
	const struct quire_owner *owner;
	struct quire_owner_ops ops; /* the owner's own */
	void *arg;
	char name[64];
	struct watch_counts counts; /* atomic each: free runs in any thread */
};

struct watch {
	struct watch_options options;
	struct watched *first, **last;
	uint32_t *thing_at; /* by frame */
	struct fate *fate;  /* by thing */
	uint64_t batches;   /* of all owners, while refusals are on */
	uint64_t fired[INJECT_COUNT];
	bool refuse;
};

static struct watch *current;

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* Is this thing one of the chosen so many per cent? The same ones for the same seed. */
static bool chosen(const struct watch *w, enum inject_fault fault, uint32_t thing)
{
	double pct = w->options.inject->pct[fault];
	uint64_t r = rng_mix(w->options.seed + rng_mix((uint64_t)fault << 32 | thing));

	return pct > 0 && (double)(r >> 11) < pct / 100 * (double)(1ull << 53);
}

/* 0, or what isolate answers in the owner's name. */
static int refuse_isolate(struct watch *w, uint32_t thing)
{
	struct fate *f = &w->fate[thing];

	if (chosen(w, INJECT_veto, thing)) {
		f->refused = QUIRE_REASON_VETO;
		w->fired[INJECT_veto]++;
		return -EPERM;
	}
	if (!f->asked && chosen(w, INJECT_isolate, thing)) {
		f->asked = 1;
		w->fired[INJECT_isolate]++;
		return -EAGAIN;
	}
	return 0;
}

/* Where an owner has no migrate op, moves are not seen here; its folios know their thing. */
static uint32_t thing_of(const struct watched *o, const struct quire_folio *folio)
{
	uintptr_t private = (uintptr_t)quire_folio_private(folio);

	if (o->ops.migrate)
		return watch_thing_at(o->watch, quire_folio_frame(folio).n);
	return private && private <= o->watch->options.things ? (uint32_t)(private - 1)
							      : WATCH_NOTHING;
}

static int watched_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct watched *o = arg;
	struct watch *w = o->watch;
	uint32_t thing = thing_of(o, folio);
	int err = 0;

	add(&o->counts.asked, 1);
	if (w->refuse && thing != WATCH_NOTHING)
		err = refuse_isolate(w, thing);
	if (!err && o->ops.isolate)
		err = o->ops.isolate(folio, mode, o->arg);
	if (err)
		return err;
	add(&o->counts.isolated, 1);
	if (thing != WATCH_NOTHING)
		w->options.isolated(w->options.arg, thing, folio);
	return 0;
}

/* 0, or what migrate answers in the owner's name; then nothing of the batch has moved. */
static int refuse_migrate(struct watch *w, const uint32_t *things, size_t n)
{
	uint64_t eagain = w->options.inject->n[INJECT_eagain];
	uint64_t busy = w->options.inject->n[INJECT_busy];
	bool again = false;

	for (size_t i = 0; i < n; i++)
		again |= things[i] != WATCH_NOTHING && w->fate[things[i]].tries < eagain;
	for (size_t i = 0; i < n && again; i++)
		if (things[i] != WATCH_NOTHING && w->fate[things[i]].tries < UINT16_MAX)
			w->fate[things[i]].tries++;
	if (again) {
		w->fired[INJECT_eagain]++;
		return -EAGAIN;
	}
	w->batches++;
	if (!busy || w->batches % busy)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (things[i] != WATCH_NOTHING)
			w->fate[things[i]].refused = QUIRE_REASON_OWNER_BUSY;
	w->fired[INJECT_busy]++;
	return -EBUSY;
}

/* What was moved stays moved whatever an owner says after it. */
static int fail_late(struct watch *w)
{
	uint64_t late = w->options.inject->n[INJECT_late];

	if (!late || w->batches % late)
		return 0;
	w->fired[INJECT_late]++;
	return -EIO;
}

static int watched_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct watched *o = arg;
	struct watch *w = o->watch;
	uint32_t things[QUIRE_BLOCK_FRAMES], from[QUIRE_BLOCK_FRAMES];
	size_t n = quire_batch_count(batch), moved = 0;
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		from[i] = quire_folio_frame(quire_batch_folio(batch, i)).n;
		things[i] = watch_thing_at(w, from[i]);
	}
	add(&o->counts.batches, 1);
	add(&o->counts.tries, n);
	if (w->refuse)
		err = refuse_migrate(w, things, n);
	if (err)
		return err;
	err = o->ops.migrate(batch, mode, o->arg);
	for (size_t i = 0; i < n; i++) {
		if (!quire_batch_moved(batch, i))
			continue;
		moved++;
		w->thing_at[from[i]] = WATCH_NOTHING;
		w->thing_at[quire_folio_frame(quire_batch_folio(batch, i)).n] = things[i];
	}
	add(&o->counts.moved, moved);
	if (w->refuse && !err && moved == n)
		err = fail_late(w);
	return err;
}

static void watched_putback(struct quire_folio *folio, void *arg)
{
	struct watched *o = arg;

	add(&o->counts.putbacks, 1);
	if (o->ops.putback)
		o->ops.putback(folio, o->arg);
}

static void watched_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct watched *o = arg;

	o->ops.free(folio, reason, o->arg);
}

static int watched_frame_get(unsigned order, enum quire_mode mode, struct quire_frame *frame,
			     void *arg)
{
	struct watched *o = arg;

	return o->ops.frame_get(order, mode, frame, o->arg);
}

static void watched_frame_put(unsigned order, struct quire_frame frame, void *arg)
{
	struct watched *o = arg;

	o->ops.frame_put(order, frame, o->arg);
}

int __real_quire_owner_create(struct quire *quire, const char *name,
			      const struct quire_owner_ops *ops, void *arg,
			      struct quire_owner **owner);
int __wrap_quire_owner_create(struct quire *quire, const char *name,
			      const struct quire_owner_ops *ops, void *arg,
			      struct quire_owner **owner);
void *__real_quire_owner_arg(const struct quire_owner *owner);
void *__wrap_quire_owner_arg(const struct quire_owner *owner);

int __wrap_quire_owner_create(struct quire *quire, const char *name,
			      const struct quire_owner_ops *ops, void *arg,
			      struct quire_owner **owner)
{
	struct quire_owner_ops watched;
	struct watched *o;
	int err;

	if (!current)
		return __real_quire_owner_create(quire, name, ops, arg, owner);
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->watch = current;
	o->arg = arg;
	if (ops)
		memcpy(&o->ops, ops, ops->size < sizeof(o->ops) ? ops->size : sizeof(o->ops));
	watched = o->ops;
	watched.size = sizeof(watched);
	watched.isolate = watched_isolate;
	/* whoever has no migrate op cannot drop its pins, and the planner counts on that */
	watched.migrate = o->ops.migrate ? watched_migrate : NULL;
	watched.putback = watched_putback;
	watched.free = o->ops.free ? watched_free : NULL;
	watched.frame_get = o->ops.frame_get ? watched_frame_get : NULL;
	watched.frame_put = o->ops.frame_put ? watched_frame_put : NULL;
	err = __real_quire_owner_create(quire, name, &watched, o, owner);
	if (err) {
		free(o);
		return err;
	}
	o->owner = *owner;
	strncpy(o->name, quire_owner_name(*owner), sizeof(o->name) - 1);
	o->counts.name = o->name;
	*current->last = o;
	current->last = &o->next;
	return 0;
}

void *__wrap_quire_owner_arg(const struct quire_owner *owner)
{
	for (const struct watched *o = current ? current->first : NULL; o; o = o->next)
		if (o->owner == owner)
			return o->arg;
	return __real_quire_owner_arg(owner);
}

int watch_begin(const struct watch_options *options, struct watch **watch)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->options = *options;
	w->last = &w->first;
	w->thing_at = malloc((size_t)options->frames * sizeof(*w->thing_at));
	w->fate = calloc(options->things, sizeof(*w->fate));
	if (!w->thing_at || !w->fate) {
		watch_end(w);
		return -ENOMEM;
	}
	memset(w->thing_at, 0xff, (size_t)options->frames * sizeof(*w->thing_at));
	current = w;
	*watch = w;
	return 0;
}

void watch_place(struct watch *w, uint32_t frame, uint32_t thing)
{
	if (frame < w->options.frames)
		w->thing_at[frame] = thing;
}

uint32_t watch_thing_at(const struct watch *w, uint32_t frame)
{
	return frame < w->options.frames ? w->thing_at[frame] : WATCH_NOTHING;
}

void watch_refuse(struct watch *w, bool refuse)
{
	w->refuse = refuse && w->options.inject;
}

enum quire_reason watch_refused(const struct watch *w, uint32_t thing)
{
	return (enum quire_reason)w->fate[thing].refused;
}

void watch_fired(const struct watch *w, uint64_t fired[INJECT_COUNT])
{
	for (unsigned f = 0; f < INJECT_COUNT; f++)
		fired[f] += w->fired[f];
}

bool watch_counts(const struct watch *w, size_t nth, struct watch_counts *counts)
{
	const struct watched *o = w->first;

	while (o && nth--)
		o = o->next;
	if (!o)
		return false;
	*counts = o->counts;
	if (!o->ops.migrate) {
		counts->tries = counts->isolated;
		counts->moved = counts->isolated - counts->putbacks;
	}
	return true;
}

void watch_end(struct watch *w)
{
	struct watched *o, *next;

	if (!w)
		return;
	if (current == w)
		current = NULL;
	for (o = w->first; o; o = next) {
		next = o->next;
		free(o);
	}
	free(w->thing_at);
	free(w->fate);
	free(w);
}

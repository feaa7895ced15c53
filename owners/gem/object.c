/* SPDX-License-Identifier: MIT */
/*
 * object.c: objects: their folios, references, who has one for himself, and their end.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The holder of an object that is being taken down: there is no other any more. */
static const char going_down;

uint64_t gem_object_bytes(const struct gem_object *object)
{
	return object->frames * QUIRE_FRAME_BYTES;
}

size_t gem_object_folios(const struct gem_object *object)
{
	return object->n;
}

struct quire_folio *gem_object_folio(const struct gem_object *object, size_t i)
{
	return i < object->n ? object->folio[i].folio : NULL;
}

bool gem_object_bound(const struct gem_object *object)
{
	return __atomic_load_n(&object->bound, __ATOMIC_ACQUIRE);
}

struct gem_object *gem_folio_object(const struct quire_folio *folio, uint64_t *at)
{
	const struct gem_folio *part = quire_folio_private(folio);

	if (at)
		*at = part->first * QUIRE_FRAME_BYTES;
	return part->object;
}

/* --- making ------------------------------------------------------------------------------- */

void gem_object_part_gone(struct gem_object *object)
{
	if (__atomic_sub_fetch(&object->parts, 1, __ATOMIC_ACQ_REL))
		return;
	free(object->table);
	free(object);
}

static int make_part(struct gem_object *object, const struct quire_folio_args *place)
{
	struct gem_folio *part = &object->folio[object->n];
	struct quire_folio_args args = *place;
	void *content;
	int rc;

	part->object = object;
	part->first = object->frames;
	args.private_data = part;
	/* From its creation on a mover can have it, and with that the object. */
	__atomic_fetch_add(&object->parts, 1, __ATOMIC_RELAXED);
	rc = quire_folio_create_with(object->gem->owner, &args, &part->folio);
	if (rc) {
		__atomic_fetch_sub(&object->parts, 1, __ATOMIC_RELAXED);
		return rc;
	}
	gem_tally(object->gem, folios_created);
	object->n++;
	object->frames += 1u << place->order;
	content = quire_pin(part->folio);
	if (!content)
		return -ENOMEM;
	memset(content, 0, quire_folio_bytes(part->folio));
	quire_unpin(part->folio);
	return 0;
}

/* places NULL: frames in folios of `order` and, for the rest, below. */
static int make(struct gem *gem, const struct gem_place *places, size_t n, uint64_t frames,
		unsigned order, struct gem_object **out)
{
	struct gem_object *object = calloc(1, sizeof(*object) + n * sizeof(struct gem_folio));
	int rc = 0;

	if (!object)
		return -ENOMEM;
	object->gem = gem;
	object->parts = 1;
	object->refs = 1;
	object->table = malloc(frames * sizeof(*object->table));
	if (!object->table)
		rc = -ENOMEM;
	else
		memset(object->table, 0xff, frames * sizeof(*object->table));
	for (size_t i = 0; i < n && !rc; i++) {
		if (places) {
			rc = make_part(object, QUIRE_FOLIO(.order = places[i].order, .at_set = 1,
							   .at = places[i].at));
		} else {
			while (1ull << order > frames - object->frames)
				order--;
			rc = make_part(object, QUIRE_FOLIO(.order = order));
		}
	}
	if (rc) {
		for (n = object->n; n-- > 0;)
			quire_folio_put(object->folio[n].folio);
		gem_object_part_gone(object);
		return rc;
	}
	pthread_mutex_lock(&gem->lock);
	object->id = ++gem->ids;
	object->next = gem->objects;
	if (object->next)
		object->next->prev = object;
	gem->objects = object;
	pthread_mutex_unlock(&gem->lock);
	gem_tally(gem, objects_created);
	gem_object_part_gone(object); /* the creator is done; its folios keep it */
	*out = object;
	return 0;
}

int gem_object_create(struct gem *gem, uint64_t bytes, unsigned order, struct gem_object **object)
{
	uint64_t frames, n;

	if (!bytes || bytes > GEM_OBJECT_MAX || order > QUIRE_MAX_ORDER)
		return -EINVAL;
	if (gem_is_forked(gem))
		return -ENXIO;
	frames = (bytes + QUIRE_FRAME_BYTES - 1) / QUIRE_FRAME_BYTES;
	n = (frames >> order) + (uint64_t)__builtin_popcountll(frames & ((1ull << order) - 1));
	return make(gem, NULL, n, frames, order, object);
}

int gem_object_create_at(struct gem *gem, const struct gem_place *places, size_t n,
			 struct gem_object **object)
{
	uint64_t frames = 0;

	if (!places || !n || n > GEM_OBJECT_MAX / QUIRE_FRAME_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (places[i].order > QUIRE_MAX_ORDER)
			return -EINVAL;
		frames += 1u << places[i].order;
	}
	if (frames > GEM_OBJECT_MAX / QUIRE_FRAME_BYTES)
		return -EINVAL;
	if (gem_is_forked(gem))
		return -ENXIO;
	return make(gem, places, n, frames, 0, object);
}

/* --- who has it --------------------------------------------------------------------------- */

static void set_holder(struct gem_object *object, const void *holder)
{
	__atomic_store_n(&object->holder, holder, __ATOMIC_RELAXED);
}

static void goes_locked(struct gem_object *object, struct gem_object **down)
{
	set_holder(object, &going_down);
	object->down = *down;
	*down = object;
}

bool gem_object_hold_locked(struct gem_object *object, const void *me, uint64_t until)
{
	while (object->holder && object->holder != me) {
		if (!object->refs || !gem_wait_changed(object->gem, until))
			return false;
	}
	if (object->holder == me)
		return true;
	set_holder(object, me);
	object->quiet = false;
	object->was_busy = object->inflight != 0;
	return true;
}

bool gem_object_quiesce_locked(struct gem_object *object, uint64_t until)
{
	while (object->inflight)
		if (!gem_wait_changed(object->gem, until))
			return false;
	object->quiet = true;
	return true;
}

struct quire_fence *gem_object_hold_fence_locked(struct gem_object *object)
{
	char name[64];

	if (!object->refs) /* it goes down; nobody lets go of it any more */
		return NULL;
	if (!object->hold_over) {
		snprintf(name, sizeof(name), "%.30s object %llu held",
			 quire_owner_name(object->gem->owner), (unsigned long long)object->id);
		if (quire_fence_create(object->gem->quire, name, &object->hold_over))
			object->hold_over = NULL;
	}
	return quire_fence_get(object->hold_over);
}

void gem_object_release_locked(struct gem_object *object, struct gem_object **down)
{
	struct gem *gem = object->gem;

	set_holder(object, NULL);
	if (object->hold_over) {
		quire_fence_signal(object->hold_over);
		quire_fence_put(object->hold_over);
		object->hold_over = NULL;
	}
	if (!object->refs)
		goes_locked(object, down);
	pthread_cond_signal(&gem->work);
	pthread_cond_broadcast(&gem->changed);
}

void gem_folio_unpin(struct gem_folio *part)
{
	struct gem *gem = part->object->gem;
	struct quire_pin *pin = part->pin;

	if (!pin)
		return;
	__atomic_store_n(&part->pin, (struct quire_pin *)NULL, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&gem->pinned_bytes, quire_folio_bytes(part->folio), __ATOMIC_RELAXED);
	gem_tally(gem, unpins);
	quire_unpin_long(pin);
}

void gem_object_flush(struct gem_object *object)
{
	struct gem *gem = object->gem;

	if (!object->bound || (gem->options.seeds & GEM_SEED_NO_FLUSH))
		return;
	memset(object->table, 0xff, object->frames * sizeof(*object->table));
	__atomic_store_n(&object->bound, false, __ATOMIC_RELEASE);
	object->flushed = true;
	gem_tally(gem, flushes);
	if (gem->options.seeds & GEM_SEED_NO_TLB_FLUSH)
		return;
	/* The engine empties its TLB before its next job; until then it uses nothing of this
	 * object, for no job on it is in flight. */
	pthread_mutex_lock(&gem->lock);
	gem->flush_wanted++;
	pthread_mutex_unlock(&gem->lock);
}

int gem_object_unbind(struct gem_object *object, uint64_t deadline_ns)
{
	struct gem *gem = object->gem;
	uint64_t until = gem_until(gem, deadline_ns);
	struct gem_object *down = NULL;
	bool quiet;

	if (gem_is_engine(gem))
		return -EDEADLK;
	pthread_mutex_lock(&gem->lock);
	if (!gem_object_hold_locked(object, &until, until)) {
		pthread_mutex_unlock(&gem->lock);
		return -ETIMEDOUT;
	}
	quiet = gem_object_quiesce_locked(object, until);
	if (quiet) {
		pthread_mutex_unlock(&gem->lock);
		gem_object_flush(object);
		for (size_t i = 0; i < object->n; i++)
			gem_folio_unpin(&object->folio[i]);
		pthread_mutex_lock(&gem->lock);
	}
	gem_object_release_locked(object, &down);
	pthread_mutex_unlock(&gem->lock);
	gem_objects_down(down);
	return quiet ? 0 : -ETIMEDOUT;
}

/* --- references, and the end -------------------------------------------------------------- */

struct gem_object *gem_object_get(struct gem_object *object)
{
	pthread_mutex_lock(&object->gem->lock);
	object->refs++;
	pthread_mutex_unlock(&object->gem->lock);
	return object;
}

void gem_object_put_locked(struct gem_object *object, struct gem_object **down)
{
	/* the holder sees it as he lets go */
	if (--object->refs == 0 && !object->holder)
		goes_locked(object, down);
}

void gem_object_put(struct gem_object *object)
{
	struct gem_object *down = NULL;
	struct gem *gem;

	if (!object)
		return;
	gem = object->gem;
	pthread_mutex_lock(&gem->lock);
	gem_object_put_locked(object, &down);
	pthread_mutex_unlock(&gem->lock);
	gem_objects_down(down);
}

static void take_down(struct gem_object *object)
{
	struct gem *gem = object->gem;
	size_t n = object->n;

	gem_object_flush(object);
	for (size_t i = 0; i < n; i++)
		gem_folio_unpin(&object->folio[i]);
	pthread_mutex_lock(&gem->lock);
	if (object->prev)
		object->prev->next = object->next;
	else
		gem->objects = object->next;
	if (object->next)
		object->next->prev = object->prev;
	pthread_mutex_unlock(&gem->lock);
	gem_tally(gem, objects_freed);
	/* With the last of them the object is gone, unless a mover still has one. */
	__atomic_fetch_add(&object->parts, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n; i++)
		quire_folio_put(object->folio[i].folio);
	gem_object_part_gone(object);
}

void gem_objects_down(struct gem_object *down)
{
	while (down) {
		struct gem_object *object = down;

		down = object->down;
		take_down(object);
	}
}

/* --- the CPU's way ------------------------------------------------------------------------ */

/* The folio that has a byte of the object. */
static struct gem_folio *part_at(struct gem_object *object, uint64_t at)
{
	uint64_t frame = at / QUIRE_FRAME_BYTES;
	size_t low = 0, high = object->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (object->folio[mid].first <= frame)
			low = mid;
		else
			high = mid;
	}
	return &object->folio[low];
}

static int check_access(const struct gem_object *object, uint64_t at, const void *bytes, size_t n)
{
	uint64_t all = gem_object_bytes(object);

	if (!bytes && n)
		return -EINVAL;
	return at > all || n > all - at ? -ERANGE : 0;
}

/* Pins the folio of a byte; *content is that byte, *n as much of it as the folio has. */
static struct quire_folio *pin_piece(struct gem_object *object, uint64_t at, char **content,
				     size_t *n)
{
	struct gem_folio *part = part_at(object, at);
	size_t offset = (size_t)(at - part->first * QUIRE_FRAME_BYTES);
	size_t left = quire_folio_bytes(part->folio) - offset;
	char *address = quire_pin(part->folio);

	if (!address)
		return NULL;
	*content = address + offset;
	*n = *n < left ? *n : left;
	return part->folio;
}

int gem_object_read(struct gem_object *object, uint64_t at, void *to, size_t n)
{
	int rc = check_access(object, at, to, n);

	for (size_t done = 0, now; done < n && !rc; done += now) {
		struct quire_folio *folio;
		char *content;

		now = n - done;
		folio = pin_piece(object, at + done, &content, &now);
		if (!folio)
			return -ENOMEM;
		memcpy((char *)to + done, content, now);
		quire_unpin(folio);
	}
	return rc;
}

int gem_object_write(struct gem_object *object, uint64_t at, const void *from, size_t n)
{
	int rc = check_access(object, at, from, n);

	for (size_t done = 0, now; done < n && !rc; done += now) {
		struct quire_folio *folio;
		char *content;

		now = n - done;
		folio = pin_piece(object, at + done, &content, &now);
		if (!folio)
			return -ENOMEM;
		memcpy(content, (const char *)from + done, now);
		quire_unpin(folio);
	}
	return rc;
}

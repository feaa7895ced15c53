// SPDX-License-Identifier: MIT
#include "folio/extent.h"

#include "folio/folios.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/mem.h"

#include <errno.h>

struct extents {
	pthread_mutex_t lock;
	struct quire_extent **at;
	size_t n, capacity;
	uint64_t frames;
};

/* --- under the lock --- */

/* How many begin before this frame. */
static size_t place_of(const struct extents *x, uint32_t frame)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (x->at[mid]->first < frame)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int insert(struct extents *x, struct quire_extent *e)
{
	struct quire_extent **grown =
		mem_grow(x->at, &x->capacity, x->n + 1, sizeof(struct quire_extent *));
	size_t i;
	int error;

	if (!grown)
		return -ENOMEM;
	x->at = grown;
	error = node_take_run(e->q->node, e->first, e->frames);
	if (error)
		return error;
	i = place_of(x, e->first);
	memmove(&grown[i + 1], &grown[i], (x->n - i) * sizeof(struct quire_extent *));
	grown[i] = e;
	x->n++;
	x->frames += e->frames;
	return 0;
}

/* --- making --- */

int extent_make(struct quire_owner *owner, uint32_t first, uint32_t frames, const char *site,
		const void *maker, struct quire_extent **extent)
{
	struct extents *x = owner->quire->extents;
	struct quire_extent *e = mem_zalloc(1, sizeof(*e));
	int error;

	if (!e)
		return -ENOMEM;
	*e = (struct quire_extent){
		.q = owner->quire,
		.owner = owner,
		.site = site ? site : "",
		.maker = maker,
		.since = os_clock_coarse_ns(),
		.first = first,
		.frames = frames,
		.tid = load_relaxed(&thread_self()->tid),
	};
	pthread_mutex_lock(&x->lock);
	error = insert(x, e);
	pthread_mutex_unlock(&x->lock);
	if (error) {
		mem_free(e);
		return error;
	}
	fetch_add(&owner->folios, 1u);
	count(owner->quire, extents, 1);
	*extent = e;
	return 0;
}

void extent_hand_over(struct quire_extent *e)
{
	pthread_mutex_lock(&e->q->extents->lock);
	e->maker = NULL;
	pthread_mutex_unlock(&e->q->extents->lock);
}

/* --- for the owner --- */

struct quire_frame quire_extent_frame(const struct quire_extent *e)
{
	return quire_frame(e->first);
}

uint64_t quire_extent_frames(const struct quire_extent *e)
{
	return e->frames;
}

void *quire_extent_data(const struct quire_extent *e)
{
	return e->q->forked ? NULL : node_base(e->q->node) + (uint64_t)e->first * QUIRE_FRAME_BYTES;
}

struct quire_owner *quire_extent_owner(const struct quire_extent *e)
{
	return e->owner;
}

int quire_extent_trim(struct quire_extent *e, uint64_t skip, uint64_t frames)
{
	struct extents *x = e->q->extents;
	uint32_t first = e->first, end = e->first + e->frames;

	if (e->q->forked)
		return -ENXIO;
	if (!frames || frames > e->frames || skip > e->frames - frames)
		return -EINVAL;
	/* Its order in the table stays: it begins no earlier, and ends no later. */
	pthread_mutex_lock(&x->lock);
	x->frames -= e->frames - frames;
	e->first += (uint32_t)skip;
	e->frames = (uint32_t)frames;
	pthread_mutex_unlock(&x->lock);
	node_free_run(e->q->node, first, e->first - first);
	node_free_run(e->q->node, e->first + e->frames, end - e->first - e->frames);
	movers_event(e->q);
	return 0;
}

void quire_extent_free(struct quire_extent *e)
{
	struct extents *x;
	struct quire *q;
	size_t i;

	if (!e || e->q->forked)
		return;
	q = e->q;
	x = q->extents;
	pthread_mutex_lock(&x->lock);
	i = place_of(x, e->first);
	CHECK(i < x->n && x->at[i] == e);
	x->n--;
	memmove(&x->at[i], &x->at[i + 1], (x->n - i) * sizeof(struct quire_extent *));
	x->frames -= e->frames;
	pthread_mutex_unlock(&x->lock);
	node_free_run(q->node, e->first, e->frames);
	owner_put(e->owner);
	mem_free(e);
	movers_event(q);
}

/* --- looking --- */

int extents_look(struct quire *q, struct extents_seen *seen)
{
	struct extents *x = q->extents;
	int error = 0;

	seen->n = 0;
	seen->at = NULL;
	pthread_mutex_lock(&x->lock);
	if (x->n) {
		seen->at = mem_alloc(x->n, sizeof(*seen->at));
		error = seen->at ? 0 : -ENOMEM;
	}
	for (; !error && seen->n < x->n; seen->n++)
		seen->at[seen->n] = *x->at[seen->n];
	pthread_mutex_unlock(&x->lock);
	return error;
}

void extents_finish_look(struct extents_seen *seen)
{
	mem_free(seen->at);
	seen->at = NULL;
	seen->n = 0;
}

const struct quire_extent *extents_find(const struct extents_seen *seen, uint32_t frame)
{
	size_t low = 0, high = seen->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct quire_extent *e = &seen->at[mid];

		if (frame >= e->first && frame - e->first < e->frames)
			return e;
		if (e->first < frame)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void extent_describe(const struct quire_extent *e, uint32_t frame, struct quire_blocker *who)
{
	uint64_t now = os_clock_coarse_ns();

	*who = (struct quire_blocker){
		.frame = quire_frame(frame),
		.owner = e->owner->name,
		.reason = quire_reason_text(QUIRE_REASON_EXTENT),
		.site = e->site,
		.why = QUIRE_REASON_EXTENT,
		.code = -EBUSY,
		.thread = e->tid,
		.age_ns = now > e->since ? now - e->since : 0,
	};
}

void extents_each(struct quire *q, void (*fn)(const struct quire_extent *extent, void *arg),
		  void *arg)
{
	struct extents *x = q->extents;

	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; i < x->n; i++)
		fn(x->at[i], arg);
	pthread_mutex_unlock(&x->lock);
}

uint64_t extents_frames(struct quire *q)
{
	uint64_t n;

	pthread_mutex_lock(&q->extents->lock);
	n = q->extents->frames;
	pthread_mutex_unlock(&q->extents->lock);
	return n;
}

uint32_t extents_in_block(struct quire *q, uint32_t block)
{
	uint64_t from = (uint64_t)block * QUIRE_BLOCK_FRAMES, end = from + QUIRE_BLOCK_FRAMES;
	struct extents *x = q->extents;
	uint64_t n = 0;

	pthread_mutex_lock(&x->lock);
	for (size_t i = place_of(x, (uint32_t)from + 1), k = i ? i - 1 : 0; k < x->n; k++) {
		uint64_t first = x->at[k]->first, last = first + x->at[k]->frames;

		if (first >= end)
			break;
		first = first > from ? first : from;
		last = last < end ? last : end;
		n += last > first ? last - first : 0;
	}
	pthread_mutex_unlock(&x->lock);
	return (uint32_t)n;
}

const char *extents_validate(struct quire *q)
{
	struct extents *x = q->extents;
	uint64_t frames = 0, end = 0;
	const char *wrong = NULL;
	struct node_block block;

	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; i < x->n; i++) {
		const struct quire_extent *e = x->at[i];

		if (e->first < end)
			wrong = "extents overlap";
		for (uint32_t f = e->first; f < e->first + e->frames; f++) {
			node_look(q->node, f / QUIRE_BLOCK_FRAMES, &block);
			if (!bits_test(&block.used, f % QUIRE_BLOCK_FRAMES) ||
			    node_tag(q->node, quire_frame(f)))
				wrong = "an extent's frame is not its own";
		}
		end = (uint64_t)e->first + e->frames;
		frames += e->frames;
	}
	if (frames != x->frames)
		wrong = "the frames of extents are counted wrong";
	pthread_mutex_unlock(&x->lock);
	return wrong;
}

/* --- the layer --- */

static int extents_init(struct quire *q)
{
	struct extents *x = mem_zalloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	pthread_mutex_init(&x->lock, NULL);
	q->extents = x;
	return 0;
}

/* Somebody has their address: as with a pin. */
static int extents_busy(struct quire *q)
{
	return extents_frames(q) ? -EBUSY : 0;
}

static void extents_finish(struct quire *q)
{
	struct extents *x = q->extents;

	for (size_t i = 0; i < x->n; i++) /* in a child of fork() */
		mem_free(x->at[i]);
	mem_free(x->at);
	pthread_mutex_destroy(&x->lock);
	mem_free(x);
	q->extents = NULL;
}

const struct quire_layer extents_layer = {
	.init = extents_init,
	.busy = extents_busy,
	.finish = extents_finish,
};

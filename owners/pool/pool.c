// SPDX-License-Identifier: MIT
/*
 * pool.c: a pool of frames as an owner of folios.
 *
 * Invariants, whenever the lock is free:
 *   chunks                   =  chunks taken - chunks given
 *   a bit is set             =>  its frame is lent, or was offered and refused (see below)
 *
 * The library asks for a place by frame_get, when a folio is made and when one is to move, and
 * returns it by frame_put when the folio has gone or left and no reader can see it there. In
 * between the place is the folio's. So the pool keeps no list of folios, and its lock covers bits
 * and counters alone; nothing is called with it held but quire_frames_give().
 *
 * Places that others choose (quire_folio_args.at, quire_move.to) are lent without the pool being
 * asked. It learns of them in two ways: the library refuses what it then offers (-EPROTO), which
 * leaves its bit set, so that the next offer is another place; and frame_put comes, which clears
 * it.
 */
#include "frames.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Offers that are refused in a row: places that others have chosen. */
#define CREATE_TRIES 8u

struct pool {
	struct quire *quire;
	struct quire_owner *owner;
	void (*on_free)(void *arg, struct quire_folio *folio);
	void *arg;
	pthread_mutex_t lock;
	struct frames frames;
	struct pool_stats stats;
};

/* -ENOMEM: no frames; -ENOSPC: none that are together. */
static int op_frame_get(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	struct pool *pool = arg;
	int rc = 0;

	(void)mode; /* it never waits */
	pthread_mutex_lock(&pool->lock);
	if (!frames_take(&pool->frames, order, frame)) {
		rc = pool->frames.free < 1u << order ? -ENOMEM : -ENOSPC;
		pool->stats.exhausted++;
	} else {
		pool->stats.got++;
	}
	pthread_mutex_unlock(&pool->lock);
	return rc;
}

static void op_frame_put(unsigned order, struct quire_frame frame, void *arg)
{
	struct pool *pool = arg;
	int n;

	pthread_mutex_lock(&pool->lock);
	n = frames_give(&pool->frames, order, frame);
	pool->stats.back++;
	pool->stats.placed += n >= 0 && n < 1 << order;
	pool->stats.unbalanced += n < 0;
	pthread_mutex_unlock(&pool->lock);
}

static void op_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct pool *pool = arg;

	(void)reason;
	if (pool->on_free)
		pool->on_free(pool->arg, folio);
	pthread_mutex_lock(&pool->lock);
	pool->stats.freed++;
	pthread_mutex_unlock(&pool->lock);
}

static const struct quire_owner_ops pool_ops = {
	.size = sizeof(struct quire_owner_ops),
	.free = op_free,
	.frame_get = op_frame_get,
	.frame_put = op_frame_put,
};

static int give_chunk(struct pool *pool, struct quire_frame first)
{
	return quire_frames_give(pool->owner, pool->frames.order, first);
}

int pool_grow(struct pool *pool, uint64_t n)
{
	struct quire_frame *first;
	uint64_t taken = 0;
	int rc = 0;

	if (!n)
		return 0;
	if (n > UINT32_MAX >> pool->frames.order) /* no arena has so many */
		return -ENOMEM;
	first = malloc(n * sizeof(*first));
	if (!first)
		return -ENOMEM;
	for (; taken < n && !rc; taken += !rc)
		rc = quire_frames_take(pool->owner, pool->frames.order, &first[taken]);
	if (rc)
		goto give;
	pthread_mutex_lock(&pool->lock);
	rc = frames_reserve(&pool->frames, n);
	if (!rc) {
		for (uint64_t i = 0; i < n; i++)
			frames_add(&pool->frames, first[i]);
		pool->stats.chunks_taken += n;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!rc)
		goto out;
give:
	while (taken)
		(void)give_chunk(pool, first[--taken]);
out:
	free(first);
	return rc;
}

uint64_t pool_shrink(struct pool *pool, uint64_t n)
{
	struct quire_frame first;
	uint64_t given = 0;
	size_t kept = 0;

	/* With the lock: a place in the chunk may come back, and must find it, until it is given.
	 */
	pthread_mutex_lock(&pool->lock);
	while (given < n && frames_remove_empty(&pool->frames, kept, &first)) {
		if (give_chunk(pool, first)) { /* somebody else has chosen a place in it */
			frames_add(&pool->frames, first);
			kept++;
		} else {
			pool->stats.chunks_given++;
			given++;
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return given;
}

static bool has_place(struct pool *pool, unsigned order)
{
	bool has;

	pthread_mutex_lock(&pool->lock);
	has = frames_largest(&pool->frames) >= (int)order;
	pthread_mutex_unlock(&pool->lock);
	return has;
}

int pool_folio_create(struct pool *pool, unsigned order, void *private_data,
		      struct quire_folio **folio)
{
	const struct quire_folio_args args = { .size = sizeof(args),
					       .order = order,
					       .private_data = private_data };
	unsigned tries = 0;
	int rc;

	if (!folio || order > pool->frames.order)
		return -EINVAL;
	do {
		rc = quire_folio_create_with(pool->owner, &args, folio);
		/* what was freed may be out of every reader's sight by now */
		if (rc == -ENOSPC)
			quire_reclaim(pool->quire);
	} while ((rc == -ENOSPC || rc == -EPROTO) && tries++ < CREATE_TRIES);
	if ((rc == -ENOMEM || rc == -EPROTO) && !has_place(pool, order))
		rc = -ENOSPC;
	if (rc)
		return rc;
	pthread_mutex_lock(&pool->lock);
	pool->stats.created++;
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

struct quire_owner *pool_owner(const struct pool *pool)
{
	return pool->owner;
}

bool pool_has(struct pool *pool, struct quire_frame frame)
{
	bool has;

	pthread_mutex_lock(&pool->lock);
	has = frames_chunk(&pool->frames, frame) != NULL;
	pthread_mutex_unlock(&pool->lock);
	return has;
}

int pool_stats_get(struct pool *pool, struct pool_stats *stats)
{
	struct pool_stats all;
	int largest;

	if (stats->size < offsetof(struct pool_stats, frames) + sizeof(stats->frames))
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	all = pool->stats;
	all.frames = (uint64_t)pool->frames.n << pool->frames.order;
	all.free = pool->frames.free;
	largest = frames_largest(&pool->frames);
	pthread_mutex_unlock(&pool->lock);
	all.largest = largest < 0 ? 0 : 1ull << largest;
	all.size = stats->size;
	memcpy(stats, &all, stats->size < sizeof(all) ? stats->size : sizeof(all));
	return 0;
}

int pool_validate(struct pool *pool, const char **what)
{
	const struct pool_stats *s = &pool->stats;
	const char *wrong;

	pthread_mutex_lock(&pool->lock);
	wrong = frames_validate(&pool->frames);
	if (!wrong && pool->frames.n != s->chunks_taken - s->chunks_given)
		wrong = "chunks are miscounted";
	if (!wrong && s->unbalanced)
		wrong = "a place came back that is not the pool's";
	if (!wrong && s->back > s->got + s->placed)
		wrong = "more places came back than went out";
	pthread_mutex_unlock(&pool->lock);
	if (what)
		*what = wrong;
	return wrong ? -EUCLEAN : 0;
}

static void pool_free(struct pool *pool)
{
	pthread_mutex_destroy(&pool->lock);
	free(pool->frames.chunk);
	free(pool);
}

int pool_create(struct quire *quire, const struct pool_options *options, struct pool **made)
{
	struct pool_options o = { .size = sizeof(o) };
	struct pool *pool;
	int rc;

	if (!quire || !made || (options && options->size < sizeof(options->size)))
		return -EINVAL;
	if (options)
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	if (!o.chunk_order_set)
		o.chunk_order = QUIRE_MAX_ORDER;
	if (o.chunk_order > QUIRE_MAX_ORDER)
		return -EINVAL;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->quire = quire;
	pool->on_free = o.on_free;
	pool->arg = o.arg;
	pool->frames.order = o.chunk_order;
	pthread_mutex_init(&pool->lock, NULL);
	rc = quire_owner_create(quire, o.name ? o.name : "pool", &pool_ops, pool, &pool->owner);
	if (rc)
		goto free_pool;
	rc = pool_grow(pool, o.chunks);
	if (rc)
		goto destroy_owner;
	*made = pool;
	return 0;
destroy_owner:
	(void)quire_owner_destroy(pool->owner); /* it has had no folio, and has no frame */
free_pool:
	pool_free(pool);
	return rc;
}

int pool_destroy(struct pool *pool)
{
	int rc;

	if (!pool)
		return 0;
	/* its idle frames go with it */
	rc = quire_owner_destroy(pool->owner);
	if (!rc)
		pool_free(pool);
	return rc;
}

int pool_detach(struct pool *pool, uint64_t deadline_ns, struct quire_blocker *who)
{
	int rc;

	if (!pool)
		return -EINVAL;
	rc = quire_owner_detach(pool->owner, deadline_ns, who);
	if (rc)
		return rc;
	rc = quire_owner_destroy(pool->owner);
	if (!rc)
		pool_free(pool);
	return rc;
}

// SPDX-License-Identifier: MIT
/*
 * pool.c: folios that live in their owner's own frames: it grows and shrinks, runs full, and its
 * folios are asked to move like all others. Each folio has to be where the pool is.
 */
#include "pool/pool.h"

#include "all.h"

#define FOLIOS 64u
#define CHUNKS_MOST 6u
#define CHUNK_ORDER 7u

static struct pool *pool;
static struct {
	struct quire_folio *folio;
	uint64_t cookie;
} held[FOLIOS];

static void look(struct all *all, unsigned i, bool write)
{
	void *content = quire_pin(held[i].folio);

	if (!content) {
		all_wrong(all, "a folio of the pool cannot be pinned");
		return;
	}
	if (!pool_has(pool, quire_folio_frame(held[i].folio)))
		all_wrong(all, "a folio of the pool is in frame %u, which is not the pool's",
			  quire_folio_frame(held[i].folio).n);
	if (write)
		content_write(content, ++held[i].cookie, quire_folio_bytes(held[i].folio));
	else if (!content_is(content, held[i].cookie, quire_folio_bytes(held[i].folio)))
		all_wrong(all, "a folio of the pool holds wrong bytes");
	quire_unpin(held[i].folio);
}

static void make(struct all *all, unsigned i, uint64_t r)
{
	int error = pool_folio_create(pool, (unsigned)r % 5, NULL, &held[i].folio);

	if (error == -ENOSPC)
		error = -ENOMEM; /* it is full: no room now */
	if (all_refused(all, "pool_folio_create", error))
		held[i].folio = NULL;
	else
		look(all, i, true);
}

static void begin(struct all *all)
{
	assert_int_equal(pool_create(all->q,
				     POOL_OPTIONS(.chunks = 2, .chunk_order = CHUNK_ORDER,
						  .chunk_order_set = 1),
				     &pool),
			 0);
}

static uint64_t work(struct worker *w, uint64_t n)
{
	struct pool_stats s = { .size = sizeof(s) };

	n = n < 32 ? n : 32;
	for (uint64_t k = 0; k < n; k++) {
		uint64_t r = prng(&w->random);
		unsigned i = (unsigned)(r >> 32) % FOLIOS;

		if (r % 256 == 0) {
			(void)pool_stats_get(pool, &s);
			if (s.frames < (uint64_t)CHUNKS_MOST << CHUNK_ORDER)
				all_refused(w->all, "pool_grow", pool_grow(pool, 1));
		} else if (r % 256 == 1) {
			(void)pool_shrink(pool, 1);
		} else if (!held[i].folio) {
			make(w->all, i, r >> 8);
		} else if (r % 8 == 2) {
			look(w->all, i, false);
			quire_folio_put(held[i].folio);
			held[i].folio = NULL;
		} else {
			look(w->all, i, r % 4 == 0);
		}
	}
	return n;
}

static void end(struct all *all)
{
	struct pool_stats s = { .size = sizeof(s) };
	const char *what;

	for (unsigned i = 0; i < FOLIOS; i++) {
		if (!held[i].folio)
			continue;
		look(all, i, false);
		quire_folio_put(held[i].folio);
	}
	(void)quire_reclaim(all->q);
	if (pool_validate(pool, &what))
		all_wrong(all, "pool_validate: %s", what);
	assert_int_equal(pool_stats_get(pool, &s), 0);
	assert_int_equal(s.free, s.frames);
	assert_int_equal(s.got + s.placed, s.back);
	assert_int_equal(s.unbalanced, 0);
	printf("# pool: %llu folios, %llu places handed out, %llu times full; %llu chunks taken, "
	       "%llu given back before the end\n",
	       (unsigned long long)s.created, (unsigned long long)s.got,
	       (unsigned long long)s.exhausted, (unsigned long long)s.chunks_taken,
	       (unsigned long long)s.chunks_given);
	assert_int_equal(pool_destroy(pool), 0);
}

const struct role pool_role = { "pool", 1, begin, work, end };

// SPDX-License-Identifier: MIT
/*
 * test_pool.c: the owner pool: its folios live in its frames, and nobody else's do.
 */
#include "pool/pool.h"
#include "support.h"

#include <stdlib.h>

#define BLOCKS 8u

/* A quire of eight blocks, two of which are the pool's; and another owner. */
struct both {
	struct quire *q;
	struct pool *pool;
	struct probe other;
	unsigned frees;	 /* calls of on_free */
	uint64_t cookie; /* of the content that on_free has to find; 0: any */
};

static void on_free(void *arg, struct quire_folio *folio)
{
	struct both *b = arg;

	BUMP(&b->frees);
	if (b->cookie)
		CHECK(content_is(quire_folio_content(folio), b->cookie, quire_folio_bytes(folio)));
}

static struct pool_stats pool_stats_of(struct pool *pool)
{
	struct pool_stats stats = { .size = sizeof(stats) };

	assert_int_equal(pool_stats_get(pool, &stats), 0);
	return stats;
}

static void both_start(struct both *b, unsigned chunk_order)
{
	*b = (struct both){ .q = make_quire(BLOCKS) };
	assert_int_equal(
		pool_create(b->q,
			    POOL_OPTIONS(.chunks = 1024u >> chunk_order, .chunk_order = chunk_order,
					 .chunk_order_set = 1, .on_free = on_free, .arg = b),
			    &b->pool),
		0);
	make_probe(b->q, "other", OP_NONE, &b->other);
}

/* Nothing of the pool's is in use, and all of its frames are there. */
static void all_back(struct both *b)
{
	const char *what = NULL;
	struct pool_stats s;

	assert_int_equal(quire_reclaim(b->q), 0);
	if (pool_validate(b->pool, &what))
		fail_msg("%s", what);
	s = pool_stats_of(b->pool);
	assert_int_equal(s.free, s.frames);
	assert_int_equal(s.got + s.placed, s.back);
	assert_int_equal(s.created, s.freed);
	assert_int_equal(stats_of(b->q).frames_idle, s.frames);
	assert_int_equal(b->frees, s.freed);
}

static void both_end(struct both *b)
{
	all_back(b);
	assert_int_equal(pool_destroy(b->pool), 0);
	assert_frames_free(b->q, BLOCKS * 512);
	assert_int_equal(stats_of(b->q).frames_idle, 0);
	assert_ledger_closed(b->q);
	end_quire(b->q);
}

static struct quire_folio *pool_folio(struct both *b, unsigned order, uint64_t cookie)
{
	struct quire_folio *folio = NULL;

	assert_int_equal(pool_folio_create(b->pool, order, NULL, &folio), 0);
	assert_true(pool_has(b->pool, quire_folio_frame(folio)));
	content_write(quire_pin(folio), cookie, quire_folio_bytes(folio));
	quire_unpin(folio);
	return folio;
}

static bool folio_holds(struct quire_folio *folio, uint64_t cookie)
{
	bool ok = content_is(quire_pin(folio), cookie, quire_folio_bytes(folio));

	quire_unpin(folio);
	return ok;
}

/* Fills whatever is left to others; returns how many frames that was. */
static size_t fill_the_rest(struct both *b, struct item *items)
{
	size_t n = 0;

	while (!quire_folio_create(b->other.owner, 0, &items[n].folio)) {
		CHECK(!pool_has(b->pool, quire_folio_frame(items[n].folio)));
		n++;
	}
	return n;
}

/*
 * Nothing lies over the owner's word, a pool's least of all: folios of a pool and of an owner with
 * ops of its own go through one call beside each other, and to each owner go its own and no others.
 */
static void test_HE5_a_pool_is_an_owner_like_any_other(void **state)
{
	struct quire_move move[8] = { 0 };
	struct quire_folio *mine[4];
	struct item theirs[4];
	struct probe probe;
	struct both b;

	(void)state;
	both_start(&b, 9);
	make_probe(b.q, "with ops", OP_ALL, &probe);
	for (unsigned i = 0; i < 4; i++) {
		mine[i] = pool_folio(&b, i, 100 + i);
		place(&probe, &theirs[i], i, ANYWHERE, 200 + i);
		move[2 * i].folio = mine[i];
		move[2 * i + 1].folio = theirs[i].folio;
	}
	assert_int_equal(quire_move_folios(b.q, move, COUNT_OF(move), QUIRE_ASYNC, 0), 0);
	assert_int_equal(probe.isolates, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(folio_holds(mine[i], 100 + i));
		assert_intact(&theirs[i]);
		assert_true(pool_has(b.pool, quire_folio_frame(mine[i])));
		assert_false(pool_has(b.pool, quire_folio_frame(theirs[i].folio)));
	}
	for (unsigned i = 0; i < 4; i++) {
		quire_folio_put(mine[i]);
		assert_int_equal(b.frees, i + 1);
		assert_int_equal(probe.frees, i);
		drop(&theirs[i]);
		assert_int_equal(b.frees, i + 1);
		assert_int_equal(probe.frees, i + 1);
	}
	both_end(&b);
}

/* Others fill the arena before, between and after: not one of the pool's frames becomes theirs. */
static void test_E8_frames_never_reach_the_general_allocator(void **state)
{
	struct item *items = calloc(BLOCKS * 512, sizeof(*items));
	struct quire_folio *folio[1024], *more;
	struct both b;
	size_t n;

	(void)state;
	assert_non_null(items);
	both_start(&b, 9);
	n = fill_the_rest(&b, items);
	assert_int_equal(n, (BLOCKS - 2) * 512);
	assert_int_equal(stats_of(b.q).frames_free, 0);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT_OF(folio); i++)
			folio[i] = pool_folio(&b, 0, i);
		/* exhausted, and it says so; others have nothing either */
		assert_int_equal(pool_folio_create(b.pool, 0, NULL, &more), -ENOSPC);
		for (size_t i = 0; i < COUNT_OF(folio); i++) {
			assert_true(folio_holds(folio[i], i));
			quire_folio_put(folio[i]);
		}
		assert_int_equal(quire_reclaim(b.q), 0);
		assert_int_equal(pool_stats_of(b.pool).free, 1024);
		assert_int_equal(quire_folio_create(b.other.owner, 0, &more), -ENOMEM);
	}
	drop_row(items, n);
	free(items);
	both_end(&b);
}

/* In each mode, from wherever to wherever: within the pool, and the old place comes back. */
static void test_HE4_a_move_stays_in_the_pool(void **state)
{
	struct both b;

	(void)state;
	both_start(&b, 9);
	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++) {
		struct quire_folio *folio = pool_folio(&b, order, order);

		for (unsigned mode = QUIRE_ASYNC; mode <= QUIRE_SYNC; mode++) {
			uint32_t old = quire_folio_frame(folio).n;

			assert_int_equal(move_folio(folio, (enum quire_mode)mode, 0).code, 0);
			assert_int_not_equal(quire_folio_frame(folio).n, old);
			assert_true(pool_has(b.pool, quire_folio_frame(folio)));
			assert_true(folio_holds(folio, order));
			assert_int_equal(quire_reclaim(b.q), 0);
			assert_int_equal(pool_stats_of(b.pool).free, 1024 - (1u << order));
			assert_int_equal(stats_of(b.q).frames_free, (BLOCKS - 2) * 512);
		}
		b.cookie = order;
		quire_folio_put(folio);
		b.cookie = 0;
		assert_int_equal(quire_reclaim(b.q), 0);
	}
	both_end(&b);
}

/* A full pool: a move has no place though the arena has, and the folio stays. */
static void test_HE4_a_full_pool_has_no_place_for_a_move(void **state)
{
	struct quire_folio *folio[2], *more;
	struct quire_move move;
	struct both b;

	(void)state;
	both_start(&b, 9);
	folio[0] = pool_folio(&b, 9, 1);
	folio[1] = pool_folio(&b, 9, 2);
	move = move_folio(folio[0], QUIRE_SYNC, 1);
	assert_int_equal(move.code, -ENOMEM);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_FRAMES);
	assert_true(folio_holds(folio[0], 1));
	assert_int_equal(pool_folio_create(b.pool, 0, NULL, &more), -ENOSPC);
	assert_int_equal(pool_stats_of(b.pool).largest, 0);
	assert_int_equal(stats_of(b.q).frames_free, (BLOCKS - 2) * 512);
	quire_folio_put(folio[1]);
	assert_int_equal(pool_folio_create(b.pool, 9, NULL, &more), 0);
	quire_folio_put(more);
	quire_folio_put(folio[0]);
	both_end(&b);
}

/* Frames enough, but none that are together and aligned: another error, another reason. */
static void test_HE4_a_pool_in_pieces_says_so(void **state)
{
	struct quire_folio *filler, *folio, *piece[6], *more;
	struct quire_move move;
	struct both b;

	(void)state;
	both_start(&b, 9);
	filler = pool_folio(&b, 9, 1);
	folio = pool_folio(&b, 7, 2);
	for (size_t i = 0; i < COUNT_OF(piece); i++)
		piece[i] = pool_folio(&b, 6, i);
	for (size_t i = 0; i < COUNT_OF(piece); i += 2)
		quire_folio_put(piece[i]);
	assert_int_equal(quire_reclaim(b.q), 0);
	assert_int_equal(pool_stats_of(b.pool).free, 192);
	assert_int_equal(pool_stats_of(b.pool).largest, 64);
	move = move_folio(folio, QUIRE_SYNC, 1);
	assert_int_equal(move.code, -ENOSPC);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_PLACE);
	assert_int_equal(pool_folio_create(b.pool, 7, NULL, &more), -ENOSPC);
	assert_int_equal(pool_folio_create(b.pool, 6, NULL, &more), 0);
	quire_folio_put(more);
	assert_true(folio_holds(folio, 2));
	/* what joins two pieces was freed, and nobody has reclaimed it: the pool does */
	quire_folio_put(piece[1]);
	assert_int_equal(pool_folio_create(b.pool, 7, NULL, &more), 0);
	quire_folio_put(more);
	quire_folio_put(piece[3]);
	quire_folio_put(piece[5]);
	quire_folio_put(folio);
	quire_folio_put(filler);
	both_end(&b);
}

/* Freed or moved away from: not before the last reader and the last pin. */
static void test_E4_places_come_back_after_readers_and_pins(void **state)
{
	struct quire_folio *folio, *more;
	struct hand hand;
	struct deed d;
	struct both b;

	(void)state;
	both_start(&b, 0);
	assert_int_equal(pool_shrink(b.pool, 1022), 1022);
	hand_start(&hand);
	folio = pool_folio(&b, 0, 1);
	d = (struct deed){ .folio = folio };
	hand_do(&hand, deed_enter, &d);
	assert_int_equal(move_folio(folio, QUIRE_SYNC, 1).code, 0);
	assert_int_equal(quire_reclaim(b.q), 1);
	assert_int_equal(pool_stats_of(b.pool).free, 0);
	assert_int_equal(pool_folio_create(b.pool, 0, NULL, &more), -ENOSPC);
	hand_do(&hand, deed_leave, &d);
	/* making one takes back what can be had */
	assert_int_equal(pool_folio_create(b.pool, 0, NULL, &more), 0);
	quire_folio_put(more);
	hand_do(&hand, deed_pin, &d);
	b.cookie = 1;
	quire_folio_put(folio);
	b.cookie = 0;
	assert_int_equal(b.frees, 2); /* told at once; the place comes later */
	assert_int_equal(quire_reclaim(b.q), 1);
	assert_int_equal(pool_stats_of(b.pool).free, 1);
	assert_int_equal(pool_destroy(b.pool), -EBUSY);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	both_end(&b);
}

/* Whatever step of a move fails, the destination is the pool's again. */
static void test_HE4_a_failed_move_gives_its_place_back(void **state)
{
	struct quire_folio *folio;
	struct both b;

	(void)state;
	both_start(&b, 9);
	folio = pool_folio(&b, 2, 5);
	quire_fault_arm_("copy", 1, -EIO);
	assert_int_equal(move_folio(folio, QUIRE_SYNC, 1).code, -EIO);
	assert_true(quire_fault_disarm_());
	assert_non_null(quire_pin(folio));
	assert_int_equal(move_folio(folio, QUIRE_ASYNC, 0).code, -EAGAIN);
	quire_unpin(folio);
	assert_int_equal(quire_reclaim(b.q), 0);
	assert_int_equal(pool_stats_of(b.pool).free, 1020);
	assert_int_equal(pool_stats_of(b.pool).got, pool_stats_of(b.pool).back + 1);
	assert_true(folio_holds(folio, 5));
	quire_folio_put(folio);
	both_end(&b);
}

/* A plan for everything gets everything but the pool, and names it. */
static void test_HE4_a_plan_names_the_pool(void **state)
{
	struct quire_result result = { .size = sizeof(result) };
	struct quire_folio *folio;
	struct quire_plan *plan;
	struct item it;
	struct both b;
	size_t named = 0;

	(void)state;
	both_start(&b, 9);
	folio = pool_folio(&b, 0, 1);
	place(&b.other, &it, 0, ANYWHERE, 2);
	assert_int_equal(quire_plan_create(b.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = BLOCKS),
					   &plan),
			 0);
	assert_int_not_equal(quire_plan_execute(plan, NULL, &result), 0);
	assert_int_equal(result.obtained, BLOCKS - 3);
	for (size_t i = 0; i < quire_plan_blockers(plan); i++) {
		const struct quire_blocker *who = quire_plan_blocker(plan, i);

		if (who->why != QUIRE_REASON_POOL)
			continue;
		assert_string_equal(who->owner, "pool");
		assert_true(pool_has(b.pool, who->frame));
		named++;
	}
	assert_true(named >= 1);
	quire_plan_destroy(plan);
	assert_true(folio_holds(folio, 1));
	assert_intact(&it);
	drop(&it);
	quire_folio_put(folio);
	both_end(&b);
}

static void test_HE4_grows_and_shrinks(void **state)
{
	struct quire_folio *folio;
	struct item it[BLOCKS];
	struct both b;

	(void)state;
	both_start(&b, 9);
	assert_int_equal(pool_grow(b.pool, 3), 0);
	assert_int_equal(pool_stats_of(b.pool).frames, 5 * 512);
	/* three blocks are left: four are none */
	assert_int_equal(pool_grow(b.pool, 4), -ENOMEM);
	assert_int_equal(pool_grow(b.pool, UINT64_MAX), -ENOMEM);
	assert_int_equal(pool_stats_of(b.pool).frames, 5 * 512);
	assert_int_equal(stats_of(b.q).frames_free, 3 * 512);
	/* one in which something lives stays */
	folio = pool_folio(&b, 0, 4);
	assert_int_equal(pool_shrink(b.pool, 2), 2);
	assert_int_equal(pool_shrink(b.pool, UINT64_MAX), 2);
	assert_int_equal(pool_shrink(b.pool, 1), 0);
	assert_int_equal(pool_stats_of(b.pool).frames, 512);
	assert_int_equal(stats_of(b.q).frames_free, 7 * 512);
	assert_true(pool_has(b.pool, quire_folio_frame(folio)));
	/* what was given back is anybody's */
	for (size_t i = 0; i < 7; i++)
		place(&b.other, &it[i], 9, ANYWHERE, i);
	assert_true(folio_holds(folio, 4));
	drop_row(it, 7);
	quire_folio_put(folio);
	both_end(&b);
}

/* Places that others choose: it learns of them, and none is ever two folios'. */
static void test_HE4_places_that_others_choose(void **state)
{
	struct quire_move move = { .to_set = 1 };
	struct quire_folio *placed, *folio[7], *more;
	struct quire_frame first;
	struct both b;

	(void)state;
	both_start(&b, 3);
	assert_int_equal(pool_shrink(b.pool, 127), 127); /* eight frames */
	folio[0] = pool_folio(&b, 0, 0);
	first = quire_folio_frame(folio[0]);
	/* the second is taken behind its back */
	assert_int_equal(quire_folio_create_with(
				 pool_owner(b.pool),
				 QUIRE_FOLIO(.at_set = 1, .at = quire_frame(first.n + 1)), &placed),
			 0);
	for (uint32_t i = 1; i < 7; i++) {
		folio[i] = pool_folio(&b, 0, i);
		assert_int_equal(quire_folio_frame(folio[i]).n, first.n + i + 1);
	}
	assert_int_equal(pool_folio_create(b.pool, 0, NULL, &more), -ENOSPC);
	/* a place outside of the pool is refused */
	move.folio = folio[0];
	move.to = quire_frame(BLOCKS * 512 - 1);
	assert_int_equal(quire_move_folios(b.q, &move, 1, QUIRE_SYNC, 1), 1);
	assert_int_not_equal(move.code, 0);
	assert_true(pool_has(b.pool, quire_folio_frame(folio[0])));
	for (uint32_t i = 0; i < 7; i++) {
		assert_true(folio_holds(folio[i], i));
		quire_folio_put(folio[i]);
	}
	quire_folio_put(placed);
	assert_int_equal(quire_reclaim(b.q), 0);
	assert_int_equal(pool_stats_of(b.pool).free, 8);
	assert_int_equal(pool_validate(b.pool, NULL), 0);
	assert_int_equal(pool_destroy(b.pool), 0);
	assert_frames_free(b.q, BLOCKS * 512);
	end_quire(b.q);
}

/* It does not know of the place until that comes back; till then the chunk is not empty. */
static void test_HE4_a_chunk_with_a_chosen_place_is_kept(void **state)
{
	struct quire_frame first;
	struct quire_folio *placed;
	struct both b;

	(void)state;
	both_start(&b, 3);
	placed = pool_folio(&b, 0, 0);
	first = quire_folio_frame(placed);
	quire_folio_put(placed);
	assert_int_equal(quire_reclaim(b.q), 0);
	assert_int_equal(quire_folio_create_with(
				 pool_owner(b.pool),
				 QUIRE_FOLIO(.at_set = 1, .at = quire_frame(first.n + 5)), &placed),
			 0);
	assert_int_equal(pool_shrink(b.pool, UINT64_MAX), 127);
	assert_int_equal(pool_shrink(b.pool, 1), 0);
	assert_int_equal(pool_stats_of(b.pool).frames, 8);
	assert_true(pool_has(b.pool, first));
	assert_int_equal(stats_of(b.q).frames_idle, 7);
	quire_folio_put(placed);
	assert_int_equal(quire_reclaim(b.q), 0);
	assert_int_equal(pool_validate(b.pool, NULL), 0);
	assert_int_equal(pool_stats_of(b.pool).placed, 1);
	assert_int_equal(pool_shrink(b.pool, 2), 1);
	assert_int_equal(pool_destroy(b.pool), 0);
	assert_frames_free(b.q, BLOCKS * 512);
	end_quire(b.q);
}

/* Detached with folios alive: they go on as ordinary ones, and no frame is lost. */
static void test_HE8_detach_gives_everything_back(void **state)
{
	struct quire_folio *folio[3];
	struct item it[BLOCKS];
	struct both b;

	(void)state;
	both_start(&b, 9);
	for (size_t i = 0; i < COUNT_OF(folio); i++)
		folio[i] = pool_folio(&b, 2, i);
	assert_int_equal(pool_destroy(b.pool), -EBUSY);
	assert_int_equal(pool_detach(b.pool, 0, NULL), 0);
	assert_int_equal(stats_of(b.q).frames_idle, 0);
	assert_int_equal(stats_of(b.q).frames_free, BLOCKS * 512 - 3 * 4);
	/* the block that had none in use is anybody's; out of the other they can be moved */
	for (size_t i = 0; i < 7; i++)
		place(&b.other, &it[i], 9, ANYWHERE, i);
	drop_row(it, 7);
	for (size_t i = 0; i < COUNT_OF(folio); i++) {
		struct quire_move move = { .folio = folio[i],
					   .to_set = 1,
					   .to = quire_frame((BLOCKS - 1) * 512 +
							     (uint32_t)i * 4) };

		assert_int_equal(quire_reclaim(b.q), 0);
		assert_int_equal(quire_move_folios(b.q, &move, 1, QUIRE_SYNC, 1), 0);
		assert_true(folio_holds(folio[i], i));
		quire_folio_put(folio[i]);
	}
	assert_int_equal(b.frees, 0); /* nobody is told any more */
	assert_frames_free(b.q, BLOCKS * 512);
	end_quire(b.q);
}

static void try_to_end(void *arg)
{
	struct both *b = arg;

	CHECK(pool_destroy(b->pool) == -EDEADLK);
	CHECK(pool_detach(b->pool, 1, NULL) == -EDEADLK);
}

static void end_in_free(void *arg, struct quire_folio *folio)
{
	(void)folio;
	try_to_end(arg);
	BUMP(&((struct both *)arg)->frees);
}

static void test_HA1_not_from_within_an_op(void **state)
{
	struct quire_folio *folio;
	struct both b;

	(void)state;
	b = (struct both){ .q = make_quire(BLOCKS) };
	assert_int_equal(pool_create(b.q,
				     POOL_OPTIONS(.chunks = 1, .on_free = end_in_free, .arg = &b),
				     &b.pool),
			 0);
	make_probe(b.q, "other", OP_NONE, &b.other);
	folio = pool_folio(&b, 0, 0);
	quire_folio_put(folio);
	assert_int_equal(b.frees, 1);
	both_end(&b);
}

static void test_HE4_pool_options_and_arguments(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_folio *folio;
	struct pool *pool;

	(void)state;
	assert_int_equal(pool_create(NULL, NULL, &pool), -EINVAL);
	assert_int_equal(pool_create(q, NULL, NULL), -EINVAL);
	assert_int_equal(pool_create(q, &(struct pool_options){ .size = 1 }, &pool), -EINVAL);
	assert_int_equal(pool_create(q, POOL_OPTIONS(.name = ""), &pool), -EINVAL);
	assert_int_equal(
		pool_create(q, POOL_OPTIONS(.chunk_order = 10, .chunk_order_set = 1), &pool),
		-EINVAL);
	assert_int_equal(pool_create(q, POOL_OPTIONS(.chunks = 3), &pool), -ENOMEM);
	assert_frames_free(q, 1024);
	assert_int_equal(pool_create(q, NULL, &pool), 0);
	assert_int_equal(pool_folio_create(pool, 0, NULL, &folio), -ENOSPC);
	assert_int_equal(pool_folio_create(pool, 10, NULL, &folio), -EINVAL);
	assert_int_equal(pool_folio_create(pool, 0, NULL, NULL), -EINVAL);
	assert_false(pool_has(pool, quire_frame(0)));
	assert_string_equal(quire_owner_name(pool_owner(pool)), "pool");
	assert_int_equal(pool_grow(pool, 1), 0);
	assert_int_equal(pool_folio_create(pool, 0, NULL, &folio), 0);
	quire_folio_put(folio);
	assert_int_equal(pool_destroy(pool), 0); /* freed, and nobody has reclaimed it */
	assert_int_equal(pool_destroy(NULL), 0);
	assert_int_equal(pool_detach(NULL, 0, NULL), -EINVAL);
	end_quire(q);
}

/* Run with memory failing at the first step, the second, ...: nothing is lost by any. */
static void test_HE4_undo_wherever_memory_fails(void **state)
{
	struct quire *q = make_quire(BLOCKS);
	uint64_t n;

	(void)state;
	for (n = 1;; n++) {
		struct quire_folio *folio;
		struct pool *pool;
		int rc;

		quire_fault_arm_("mem", n, -ENOMEM);
		rc = pool_create(q, POOL_OPTIONS(.chunks = 3), &pool);
		assert_true(rc == 0 || rc == -ENOMEM);
		if (!rc) {
			rc = pool_folio_create(pool, 0, NULL, &folio);
			assert_true(rc == 0 || rc == -ENOMEM);
			if (!rc) {
				struct quire_move move = { .folio = folio };

				(void)!quire_move_folios(q, &move, 1, QUIRE_SYNC, 1);
				assert_true(pool_has(pool, quire_folio_frame(folio)));
				quire_folio_put(folio);
			}
			assert_int_equal(quire_reclaim(q), 0);
			assert_int_equal(pool_stats_of(pool).free, 3 * 512);
			assert_int_equal(pool_destroy(pool), 0);
		}
		assert_frames_free(q, BLOCKS * 512);
		if (!quire_fault_disarm_())
			break;
	}
	printf("# %llu edges\n", (unsigned long long)n - 1);
	assert_true(n > 2);
	end_quire(q);
}

/* --- everybody at once -------------------------------------------------------------------- */

#define EACH 24u
#define STEPS 1500u

struct user {
	struct both *b;
	uint64_t seed;
	pthread_t thread;
	unsigned refused;
};

/* Makes, moves, checks and frees folios of its own. */
static void *use(void *arg)
{
	struct user *u = arg;
	struct quire_folio *folio[EACH] = { NULL };

	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t r = prng(&u->seed);
		size_t i = (size_t)(r % EACH);
		uint64_t cookie = u->seed ^ i;

		if (!folio[i]) {
			if (pool_folio_create(u->b->pool, (unsigned)(r >> 8) % 6, NULL,
					      &folio[i])) {
				folio[i] = NULL;
				u->refused++;
				continue;
			}
			content_write(quire_pin(folio[i]), cookie, quire_folio_bytes(folio[i]));
			quire_unpin(folio[i]);
			quire_folio_set_private(folio[i], (void *)(uintptr_t)cookie);
		} else if (r & 1024) {
			struct quire_move move = { .folio = folio[i] };

			(void)!quire_move_folios(u->b->q, &move, 1,
						 (enum quire_mode)((r >> 16) % 3), 1000000);
		} else {
			CHECK(pool_has(u->b->pool, quire_folio_frame(folio[i])));
			CHECK(folio_holds(folio[i], (uintptr_t)quire_folio_private(folio[i])));
			quire_folio_put(folio[i]);
			folio[i] = NULL;
		}
	}
	for (size_t i = 0; i < EACH; i++)
		quire_folio_put(folio[i]);
	return NULL;
}

static void test_E8_users_of_a_pool_in_several_threads(void **state)
{
	uint64_t seed = seed_of("pool", 11);
	struct user user[3];
	struct both b;

	(void)state;
	both_start(&b, 9);
	for (unsigned i = 0; i < COUNT_OF(user); i++) {
		user[i] = (struct user){ .b = &b, .seed = prng(&seed) };
		assert_int_equal(pthread_create(&user[i].thread, NULL, use, &user[i]), 0);
	}
	/* chunks come and go meanwhile */
	for (unsigned i = 0; i < 200; i++) {
		if (pool_grow(b.pool, 1 + i % 3))
			continue;
		(void)pool_shrink(b.pool, 1 + i % 3); /* two are always left */
		assert_int_equal(pool_validate(b.pool, NULL), 0);
	}
	for (unsigned i = 0; i < COUNT_OF(user); i++)
		pthread_join(user[i].thread, NULL);
	printf("# %llu folios made, %llu moves, %u refused\n",
	       (unsigned long long)pool_stats_of(b.pool).created,
	       (unsigned long long)stats_of(b.q).moved,
	       user[0].refused + user[1].refused + user[2].refused);
	assert_true(stats_of(b.q).moved > 0);
	both_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_E8_frames_never_reach_the_general_allocator),
		TEST(test_HE5_a_pool_is_an_owner_like_any_other),
		TEST(test_HE4_a_move_stays_in_the_pool),
		TEST(test_HE4_a_full_pool_has_no_place_for_a_move),
		TEST(test_HE4_a_pool_in_pieces_says_so),
		TEST(test_E4_places_come_back_after_readers_and_pins),
		TEST(test_HE4_a_failed_move_gives_its_place_back),
		TEST(test_HE4_a_plan_names_the_pool),
		TEST(test_HE4_grows_and_shrinks),
		TEST(test_HE4_places_that_others_choose),
		TEST(test_HE4_a_chunk_with_a_chosen_place_is_kept),
		TEST(test_HE8_detach_gives_everything_back),
		TEST(test_HA1_not_from_within_an_op),
		TEST(test_HE4_pool_options_and_arguments),
		TEST(test_HE4_undo_wherever_memory_fails),
		TEST(test_E8_users_of_a_pool_in_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

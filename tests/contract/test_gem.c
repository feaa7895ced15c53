// SPDX-License-Identifier: MIT
/*
 * test_gem.c: gem as an owner: what its ops do, by the rules of the contract (groups A, C, X).
 *
 * The engine is a thread of its own. Where the order matters it is stopped in on_job, movers are
 * stopped at sync points, and nothing sleeps.
 */
#include "gem/gem.h"
#include "support.h"

#include <sched.h>
#include <stdlib.h>

#define FRAME QUIRE_FRAME_BYTES

struct rig {
	struct quire *q;
	struct gem *g;
	uint64_t frames;
	void (*on_job)(struct rig *rig, struct gem_ticket ticket);
	void (*on_isolate)(struct rig *rig, struct quire_folio *folio);
	struct gate gate, other;
	struct gem_object *a, *b;
	struct gem_done done;
	struct hand hand;
	struct deed deed;
	int code;
};

static void rig_job(void *arg, struct gem_ticket ticket)
{
	struct rig *rig = arg;

	if (rig->on_job)
		rig->on_job(rig, ticket);
}

static void rig_isolate(void *arg, struct quire_folio *folio)
{
	struct rig *rig = arg;

	CHECK(quire_folio_on_the_move(folio));
	if (rig->on_isolate)
		rig->on_isolate(rig, folio);
}

static void rig_start_with(struct rig *rig, uint32_t seeds, uint64_t patience_ns)
{
	memset(rig, 0, sizeof(*rig));
	rig->q = make_quire(8);
	rig->frames = stats_of(rig->q).frames_free;
	gate_init(&rig->gate);
	gate_init(&rig->other);
	assert_int_equal(
		gem_create(rig->q,
			   GEM_OPTIONS(.seeds = seeds, .patience_ns = patience_ns,
				       .on_job = rig_job, .on_isolate = rig_isolate, .arg = rig),
			   &rig->g),
		0);
}

static void rig_start(struct rig *rig)
{
	rig_start_with(rig, 0, 20 * SEC);
}

static struct gem_stats gs(const struct rig *rig)
{
	struct gem_stats stats = { .size = sizeof(stats) };

	assert_int_equal(gem_stats_get(rig->g, &stats), 0);
	return stats;
}

/* Whatever happened: every isolation ended, and gem and quire agree on how. */
static void assert_books(struct rig *rig)
{
	struct gem_stats g = gs(rig);
	struct quire_stats s = stats_of(rig->q);
	const char *what = NULL;

	if (gem_validate(rig->g, &what))
		fail_msg("gem_validate: %s", what);
	assert_ledger_closed(rig->q);
	assert_int_equal(g.isolated, g.moved + g.putbacks + g.freed_isolated);
	assert_int_equal(g.isolated, s.isolated);
	assert_int_equal(g.moved, s.moved);
	assert_int_equal(g.putbacks, s.putbacks);
	assert_int_equal(g.freed_isolated, s.freed_isolated);
}

static void rig_end(struct rig *rig)
{
	no_points();
	assert_int_equal(gem_idle(rig->g, 0), 0);
	assert_books(rig);
	assert_int_equal(gem_destroy(rig->g), 0);
	assert_frames_free(rig->q, rig->frames);
	end_quire(rig->q);
}

static struct gem_object *object_of(struct rig *rig, unsigned frames, unsigned order)
{
	struct gem_object *object = NULL;

	assert_int_equal(gem_object_create(rig->g, (uint64_t)frames * FRAME, order, &object), 0);
	return object;
}

static struct gem_done run_job(struct rig *rig, const struct gem_job *job)
{
	struct gem_done done = { .code = 1 };
	struct gem_job with = *job;
	struct gem_ticket ticket;

	with.done = &done;
	if (!CHECK(gem_submit(rig->g, &with, &ticket) == 0) ||
	    !CHECK(gem_wait(rig->g, ticket, 0) == 0))
		done.code = -EIO;
	return done;
}

static void fill(struct rig *rig, struct gem_object *object, uint64_t value)
{
	CHECK(run_job(rig, GEM_JOB(.kind = GEM_FILL, .dst = object,
				   .bytes = gem_object_bytes(object), .value = value))
		      .code == 0);
}

static uint64_t sum_of(struct rig *rig, struct gem_object *object)
{
	struct gem_done done = run_job(
		rig, GEM_JOB(.kind = GEM_SUM, .src = object, .bytes = gem_object_bytes(object)));

	CHECK(done.code == 0);
	return done.sum;
}

static uint64_t sum_if_filled(const struct gem_object *object, uint64_t value)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < gem_object_bytes(object) / 8; i++)
		sum += gem_sum_word(i, gem_fill_word(value, i));
	return sum;
}

/* As the CPU sees it, by handle. */
static bool is_filled(struct gem_object *object, uint64_t value)
{
	uint64_t word[64];

	for (uint64_t at = 0; at < gem_object_bytes(object); at += sizeof(word)) {
		if (!CHECK(gem_object_read(object, at, word, sizeof(word)) == 0))
			return false;
		for (size_t i = 0; i < COUNT_OF(word); i++)
			if (word[i] != gem_fill_word(value, at / 8 + i))
				return false;
	}
	return true;
}

/* As the engine and the CPU see it. */
static bool is_right(struct rig *rig, struct gem_object *object, uint64_t value)
{
	return sum_of(rig, object) == sum_if_filled(object, value) && is_filled(object, value);
}

/* All folios of an object, in one call. */
static long move_object(struct rig *rig, struct gem_object *object, enum quire_mode mode,
			struct quire_move *moves)
{
	struct quire_move own[64];
	size_t n = gem_object_folios(object);

	if (!moves)
		moves = own;
	CHECK(n <= COUNT_OF(own));
	memset(moves, 0, n * sizeof(*moves));
	for (size_t i = 0; i < n; i++)
		moves[i].folio = gem_object_folio(object, i);
	return quire_move_folios(rig->q, moves, n, mode, 20 * SEC);
}

static struct quire_move move_first(struct rig *rig, struct gem_object *object,
				    enum quire_mode mode)
{
	(void)rig;
	return move_folio(gem_object_folio(object, 0), mode, 20 * SEC);
}

/* --- in use, and yet it moves ------------------------------------------------------------- */

static void test_A6_A7_a_bound_object_moves_in_every_mode(void **state)
{
	struct rig rig;
	struct gem_object *object;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 11, 2);
	assert_int_equal(gem_object_folios(object), 4);
	for (unsigned mode = QUIRE_ASYNC; mode <= QUIRE_SYNC; mode++) {
		uint32_t from[4];

		fill(&rig, object, mode);
		assert_true(gem_object_bound(object));
		assert_int_equal(gs(&rig).pinned_bytes, 11 * FRAME);
		for (size_t i = 0; i < 4; i++)
			from[i] = quire_folio_frame(gem_object_folio(object, i)).n;
		assert_int_equal(move_object(&rig, object, (enum quire_mode)mode, NULL), 0);
		for (size_t i = 0; i < 4; i++)
			assert_int_not_equal(quire_folio_frame(gem_object_folio(object, i)).n,
					     from[i]);
		/* its pins went for the move, and come back with the next job */
		assert_false(gem_object_bound(object));
		assert_int_equal(gs(&rig).pinned_bytes, 0);
		assert_true(is_right(&rig, object, mode));
		assert_true(gem_object_bound(object));
	}
	assert_int_equal(gs(&rig).binds, 4);
	assert_int_equal(gs(&rig).rebinds, 3);
	assert_int_equal(gs(&rig).moved, 12);
	rig_end(&rig);
}

/* What gem is there for: where nobody is asked, what is bound stays, by the name of its bind. */
static void test_A5_pins_of_who_is_not_asked_stay_and_are_named(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_owner *other;
	struct quire_pin *pin;
	struct quire_move move;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 1, 0);
	fill(&rig, object, 1);
	assert_int_equal(quire_owner_create(rig.q, "other", NULL, NULL, &other), 0);
	assert_int_equal(quire_pin_long(gem_object_folio(object, 0), other, &pin), 0);
	move = move_first(&rig, object, QUIRE_ASYNC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_LONG_PIN);
	assert_string_equal(move.who.owner, "other");
	assert_non_null(strstr(move.who.site, "test_gem.c:"));
	assert_int_equal(gs(&rig).foreign_pins, 1);
	/* H-A5: what was given up for nothing is had again with the next job, and counted */
	assert_int_equal(gs(&rig).flushed_in_vain, 1);
	assert_true(is_right(&rig, object, 1));
	assert_int_equal(gs(&rig).rebinds, 1);
	quire_unpin_long(pin);
	assert_int_equal(move_first(&rig, object, QUIRE_ASYNC).code, 0);
	assert_true(is_right(&rig, object, 1));
	assert_int_equal(quire_owner_destroy(other), 0);
	rig_end(&rig);
}

/* A plan counts on gem's pins going, and names the place where a job was bound for a foreign one.
 */
static void test_A17_plans_ask_for_what_is_mapped_nowhere(void **state)
{
	struct rig rig;
	struct gem_object *object[16];
	struct quire_plan *plan;
	struct quire_result result = { .size = sizeof(result) };

	(void)state;
	rig_start(&rig);
	for (unsigned i = 0; i < 16; i++) {
		struct gem_place place[2] = { { quire_frame(i * 256), 0 },
					      { quire_frame(i * 256 + 8), 3 } };

		assert_int_equal(gem_object_create_at(rig.g, place, 2, &object[i]), 0);
		fill(&rig, object[i], i);
	}
	assert_int_equal(empty_blocks(rig.q), 0);
	plan = plan_of(rig.q, 512, QUIRE_MAX);
	assert_int_equal(info_of(plan).runs, 7);
	assert_int_equal(quire_plan_execute(plan, NULL, &result), 0);
	assert_int_equal(result.obtained, 7);
	assert_int_equal(quire_plan_blockers(plan), 0);
	quire_plan_destroy(plan);
	assert_int_equal(empty_blocks(rig.q), 7);
	for (unsigned i = 0; i < 16; i++)
		assert_true(is_right(&rig, object[i], i));
	rig_end(&rig);
}

/* --- wrong bytes without the flush --------------------------------------------------------- */

/*
 * Does the engine follow the move? The CPU stores by handle, so the new place is the content; who
 * has stale frames reads the old place, and writes into what is by now somebody else's.
 */
static void through_a_move(uint32_t seeds, bool *reads_right, bool *writes_right,
			   bool *victim_intact)
{
	struct rig rig;
	struct gem_object *object;
	struct probe probe;
	struct item victim;
	struct quire_frame old;
	uint64_t words[FRAME / 8];

	rig_start_with(&rig, seeds, 20 * SEC);
	object = object_of(&rig, 1, 0);
	fill(&rig, object, 1);
	old = quire_folio_frame(gem_object_folio(object, 0));
	assert_int_equal(move_first(&rig, object, QUIRE_SYNC).code, 0);
	for (size_t i = 0; i < COUNT_OF(words); i++)
		words[i] = gem_fill_word(2, i);
	assert_int_equal(gem_object_write(object, 0, words, sizeof(words)), 0);
	*reads_right = sum_of(&rig, object) == sum_if_filled(object, 2);
	assert_int_equal(quire_reclaim(rig.q), 0);
	make_probe(rig.q, "victim", OP_ALL, &probe);
	place(&probe, &victim, 0, old, 77);
	fill(&rig, object, 3);
	*writes_right = is_filled(object, 3);
	*victim_intact = item_intact(&victim);
	drop(&victim);
	if (!seeds)
		assert_books(&rig);
	gem_object_put(object);
	assert_int_equal(gem_destroy(rig.g), 0);
	assert_int_equal(quire_reclaim(rig.q), 0);
	assert_int_equal(quire_owner_destroy(probe.owner), 0);
	end_quire(rig.q);
}

static void test_A9_the_engine_follows_the_move(void **state)
{
	bool reads, writes, victim;

	(void)state;
	through_a_move(0, &reads, &writes, &victim);
	assert_true(reads);
	assert_true(writes);
	assert_true(victim);
}

static void test_A9_without_the_flush_there_are_wrong_bytes(void **state)
{
	bool reads, writes, victim;

	(void)state;
	through_a_move(GEM_SEED_NO_FLUSH, &reads, &writes, &victim);
	assert_false(reads);
	assert_false(writes);
	assert_false(victim);
}

static void test_A9_without_the_tlb_flush_there_are_wrong_bytes(void **state)
{
	bool reads, writes, victim;

	(void)state;
	through_a_move(GEM_SEED_NO_TLB_FLUSH, &reads, &writes, &victim);
	assert_false(reads);
	assert_false(writes);
	assert_false(victim);
}

/* --- the engine at work ------------------------------------------------------------------- */

static void job_stops(struct rig *rig, struct gem_ticket ticket)
{
	(void)ticket;
	gate_open(&rig->other);
	gate_pass(&rig->gate);
}

static struct gem_ticket submit_fill(struct rig *rig, struct gem_object *object, uint64_t value)
{
	struct gem_ticket ticket = { 0 };

	CHECK(gem_submit(rig->g,
			 GEM_JOB(.kind = GEM_FILL, .dst = object, .bytes = gem_object_bytes(object),
				 .value = value),
			 &ticket) == 0);
	return ticket;
}

static void test_X1_A10_async_answers_eagain_while_a_job_is_in_flight(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_move move;
	uint64_t isolated;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 2, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, object, 5);
	gate_pass(&rig.other);
	isolated = gs(&rig).isolated;
	move = move_first(&rig, object, QUIRE_ASYNC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.tries, 1);
	assert_int_equal(gs(&rig).busy, 1);
	assert_int_equal(gs(&rig).waits, 0);
	/* refused before a destination was looked for */
	assert_int_equal(gs(&rig).isolated, isolated);
	assert_true(gem_object_bound(object));
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_int_equal(move_first(&rig, object, QUIRE_ASYNC).code, 0);
	assert_true(is_right(&rig, object, 5));
	rig_end(&rig);
}

static void isolate_makes_it_busy(struct rig *rig, struct quire_folio *folio)
{
	struct gem_object *object = gem_folio_object(folio, NULL);

	rig->on_isolate = NULL;
	rig->on_job = job_stops;
	submit_fill(rig, object, 6);
	gate_pass(&rig->other);
}

static void test_A9_async_answers_eagain_in_migrate_as_well(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_move move;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 5);
	rig.on_isolate = isolate_makes_it_busy;
	move = move_first(&rig, object, QUIRE_ASYNC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(gs(&rig).busy, 1);
	assert_int_equal(gs(&rig).putbacks, 1);
	assert_int_equal(gs(&rig).flushes, 0);
	assert_int_equal(gs(&rig).waits, 0);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_true(is_right(&rig, object, 6));
	rig_end(&rig);
}

/* The job in flight ends when the mover is known to wait for it. */
static void job_ends_when_awaited(struct rig *rig, struct gem_ticket ticket)
{
	(void)ticket;
	gate_open(&rig->other);
	while (!gs(rig).waits)
		sched_yield();
}

static void test_A9_sync_waits_for_every_job_in_flight(void **state)
{
	struct rig rig;
	struct gem_object *object;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 4, 1);
	rig.on_job = job_ends_when_awaited;
	for (uint64_t i = 0; i < 3; i++)
		submit_fill(&rig, object, i);
	gate_pass(&rig.other);
	assert_int_equal(move_object(&rig, object, QUIRE_SYNC, NULL), 0);
	assert_int_equal(gs(&rig).waits, 1);
	assert_int_equal(gs(&rig).wait_timeouts, 0);
	assert_int_equal(gs(&rig).moved_busy, 2);
	rig.on_job = NULL;
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_true(is_right(&rig, object, 2));
	rig_end(&rig);
}

static void test_A10_patience_is_bounded(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_move move;

	(void)state;
	rig_start_with(&rig, 0, 1);
	object = object_of(&rig, 1, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, object, 9);
	gate_pass(&rig.other);
	for (unsigned mode = QUIRE_SYNC_LIGHT; mode <= QUIRE_SYNC; mode++) {
		move = move_folio(gem_object_folio(object, 0), (enum quire_mode)mode, 1);
		assert_int_equal(move.code, -EAGAIN);
	}
	assert_int_equal(gs(&rig).flushes, 0);
	assert_true(gs(&rig).wait_timeouts >= 2);
	assert_int_equal(gs(&rig).wait_timeouts, gs(&rig).waits);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_int_equal(move_first(&rig, object, QUIRE_SYNC).code, 0);
	assert_true(is_right(&rig, object, 9));
	rig_end(&rig);
}

/* Stops the mover inside of the commit, with the object held. */
static void stop_here(void *arg)
{
	struct rig *rig = arg;

	gate_open(&rig->other);
	gate_pass(&rig->gate);
}

static void move_by_hand(struct rig *rig, struct quire_folio *folio)
{
	hand_start(&rig->hand);
	rig->deed.folio = folio;
	rig->deed.mode = QUIRE_SYNC;
	rig->deed.deadline = 20 * SEC;
	at_point_nth("commit:marked", folio, 1, 1, stop_here, rig);
	hand_post(&rig->hand, deed_move, &rig->deed);
	gate_pass(&rig->other);
}

static void mover_goes_on(struct rig *rig)
{
	gate_open(&rig->gate);
	hand_stop(&rig->hand);
	assert_int_equal(rig->deed.move.code, 0);
}

static void test_A9_jobs_on_the_object_are_held_back_and_others_go_on(void **state)
{
	struct rig rig;
	struct gem_object *a, *b, *c;
	struct gem_ticket late, after;

	(void)state;
	rig_start(&rig);
	a = object_of(&rig, 1, 0);
	b = object_of(&rig, 1, 0);
	c = object_of(&rig, 1, 0);
	fill(&rig, a, 1);
	fill(&rig, b, 2);
	fill(&rig, c, 3);
	move_by_hand(&rig, gem_object_folio(a, 0));
	/* b is named by a job that has to wait for a: what comes after it has to wait as well */
	assert_int_equal(gem_submit(rig.g,
				    GEM_JOB(.kind = GEM_COPY, .dst = a, .src = b, .bytes = FRAME),
				    &late),
			 0);
	after = submit_fill(&rig, b, 5);
	fill(&rig, c, 4);
	assert_int_equal(gem_wait(rig.g, late, 1), -ETIMEDOUT);
	assert_int_equal(gem_wait(rig.g, after, 1), -ETIMEDOUT);
	assert_int_equal(gs(&rig).held_back, 1);
	assert_int_equal(gs(&rig).queued, 2);
	assert_true(is_right(&rig, c, 4));
	mover_goes_on(&rig);
	assert_int_equal(gem_wait(rig.g, late, 0), 0);
	assert_int_equal(gem_wait(rig.g, after, 0), 0);
	assert_true(is_right(&rig, a, 2));
	assert_true(is_right(&rig, b, 5));
	rig_end(&rig);
}

/* --- the object's lock -------------------------------------------------------------------- */

static void test_A10_an_object_in_another_movers_hands(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_move move;
	struct deed second = { .mode = QUIRE_SYNC, .deadline = 20 * SEC };
	struct hand hand;

	(void)state;
	rig_start_with(&rig, 0, MSEC);
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 1);
	move_by_hand(&rig, gem_object_folio(object, 0));
	second.folio = gem_object_folio(object, 1);
	move = move_folio(second.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_int_equal(gs(&rig).locked_out, 1);
	move = move_folio(second.folio, QUIRE_SYNC_LIGHT, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_true(gs(&rig).locked_out > 1);
	/* SYNC is there until the first one is done */
	hand_start(&hand);
	hand_post(&hand, deed_move, &second);
	while (gs(&rig).migrations < 4)
		sched_yield();
	mover_goes_on(&rig);
	hand_stop(&hand);
	assert_int_equal(second.move.code, 0);
	assert_true(is_right(&rig, object, 1));
	rig_end(&rig);
}

static void test_A8_without_a_pin_no_lock_is_taken(void **state)
{
	struct rig rig;
	struct gem_object *object;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 1);
	/* folio 0 has lost its pin to a move, folio 1 has one still */
	assert_int_equal(move_first(&rig, object, QUIRE_SYNC).code, 0);
	assert_int_equal(gs(&rig).pinned_bytes, FRAME);
	move_by_hand(&rig, gem_object_folio(object, 1));
	/* somebody has the object, and folio 0 moves all the same */
	assert_int_equal(move_first(&rig, object, QUIRE_ASYNC).code, 0);
	assert_int_equal(gs(&rig).unpinned_batches, 1);
	assert_int_equal(gs(&rig).locked_out, 0);
	mover_goes_on(&rig);
	assert_true(is_right(&rig, object, 1));
	rig_end(&rig);
}

static void bind_now(void *arg)
{
	struct rig *rig = arg;

	fill(rig, rig->a, 8);
}

/* A job binds the object between the op's look and the commit: that is undone, and it moves. */
static void test_A8_a_bind_in_between_is_undone(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 2, 0);
	/* at the first folio's mark the second is not marked yet: the bind waits for neither */
	rig.b = object_of(&rig, 1, 0);
	fill(&rig, rig.b, 7);
	at_point_nth("migrate:before", gem_object_folio(rig.a, 0), 1, 1, bind_now, &rig);
	assert_int_equal(move_object(&rig, rig.a, QUIRE_SYNC, NULL), 0);
	assert_int_equal(gs(&rig).moved, 2);
	assert_int_equal(gs(&rig).flushes, 1);
	assert_true(is_right(&rig, rig.a, 8));
	rig_end(&rig);
}

/* --- batches ------------------------------------------------------------------------------ */

static void test_HA3_one_flush_for_an_object_and_batch(void **state)
{
	struct rig rig;
	struct gem_object *object[3];
	struct quire_move moves[3 * 16];
	size_t n = 0;
	struct gem_stats before, after;

	(void)state;
	rig_start(&rig);
	for (size_t i = 0; i < 3; i++) {
		object[i] = object_of(&rig, 16, 0);
		fill(&rig, object[i], i);
	}
	memset(moves, 0, sizeof(moves));
	for (size_t k = 0; k < 16; k++) /* in turns: folios of one object are not neighbours */
		for (size_t i = 0; i < 3; i++)
			moves[n++].folio = gem_object_folio(object[i], k);
	before = gs(&rig);
	assert_int_equal(quire_move_folios(rig.q, moves, n, QUIRE_SYNC, 0), 0);
	after = gs(&rig);
	assert_int_equal(after.migrations - before.migrations, 1);
	assert_int_equal(after.flushes - before.flushes, 3);
	assert_int_equal(after.moved - before.moved, 48);
	for (size_t i = 0; i < 3; i++)
		assert_true(is_right(&rig, object[i], i));
	after = gs(&rig);
	assert_int_equal(after.tlb_flushes - before.tlb_flushes, 1);
	assert_int_equal(after.rebinds - before.rebinds, 3);
	rig_end(&rig);
}

/* --- failures ----------------------------------------------------------------------------- */

static void test_C16_HA5_putback_exactly_once_however_a_move_fails(void **state)
{
	struct rig rig;
	struct gem_object *object;
	uint64_t failed = 0;
	bool fired = true;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 8, 1);
	fill(&rig, object, 0);
	for (uint64_t n = 1; fired; n++) {
		uint64_t vain = gs(&rig).flushed_in_vain, putbacks = gs(&rig).putbacks;
		long left;

		quire_fault_arm_(NULL, n, -ENOMEM);
		left = move_object(&rig, object, QUIRE_ASYNC, NULL);
		fired = quire_fault_disarm_();
		if (left > 0) {
			failed++;
			assert_int_equal(gs(&rig).putbacks - putbacks, left);
			assert_true(gs(&rig).flushed_in_vain - vain <= (uint64_t)left);
		}
		assert_books(&rig);
		assert_true(is_filled(object, n - 1));
		assert_true(is_right(&rig, object, n - 1));
		fill(&rig, object, n);
	}
	print_message("# %llu of the faults kept a folio\n", (unsigned long long)failed);
	assert_true(failed > 0);
	assert_true(gs(&rig).flushed_in_vain > 0);
	rig_end(&rig);
}

static void test_A9_a_bind_that_fails_fails_the_job_alone(void **state)
{
	struct rig rig;
	struct gem_object *object;
	unsigned fired = 0;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 4, 0);
	for (uint64_t n = 1;; n++) {
		struct gem_done done;

		quire_fault_arm_(NULL, n, -ENOMEM);
		done = run_job(&rig, GEM_JOB(.kind = GEM_FILL, .dst = object, .bytes = 4 * FRAME,
					     .value = 3));
		if (!quire_fault_disarm_()) {
			assert_int_equal(done.code, 0);
			break;
		}
		fired++;
		assert_int_equal(done.code, -ENOMEM);
		/* nothing is left of it: no pin, no entry, no byte */
		assert_books(&rig);
		assert_false(gem_object_bound(object));
		assert_int_equal(gs(&rig).pinned_bytes, 0);
		assert_int_equal(gs(&rig).jobs_failed, n);
	}
	assert_int_equal(fired, 4);
	assert_true(is_right(&rig, object, 3));
	rig_end(&rig);
}

/* --- freed meanwhile ---------------------------------------------------------------------- */

static void put_object(void *arg)
{
	struct rig *rig = arg;

	gem_object_put(rig->a);
}

static void test_C18_A15_the_object_goes_while_it_moves(void **state)
{
	static const char *const points[] = {
		"isolate:marked", "isolate:done",  "migrate:before",
		"commit:marked",  "commit:copied", "commit:published",
	};

	(void)state;
	for (size_t p = 0; p < COUNT_OF(points); p++) {
		for (unsigned busy = 0; busy < 2; busy++) {
			struct quire_folio *folio[3];
			struct quire_move moves[3];
			struct at_point *put;
			struct rig rig;

			rig_start(&rig);
			rig.a = object_of(&rig, 3, 0);
			for (size_t i = 0; i < 3; i++)
				folio[i] = gem_object_folio(rig.a, i);
			if (busy)
				fill(&rig, rig.a, 1);
			memset(moves, 0, sizeof(moves));
			for (size_t i = 0; i < 3; i++)
				moves[i].folio = folio[i];
			put = at_point_nth(points[p], folio[1], 1, 1, put_object, &rig);
			/* references of the caller, as quire_move_folios() asks for */
			for (size_t i = 0; i < 3; i++)
				assert_true(quire_folio_get(folio[i]));
			assert_int_equal(quire_move_folios(rig.q, moves, 3, QUIRE_SYNC, 0), 0);
			for (size_t i = 0; i < 3; i++)
				quire_folio_put(folio[i]);
			assert_int_equal(hits(put), 1);
			assert_int_equal(gs(&rig).objects, 0);
			assert_int_equal(gs(&rig).folios, 0);
			assert_int_equal(gs(&rig).pinned_bytes, 0);
			rig_end(&rig);
		}
	}
}

/* The mover's are the last references: no op but free hears of the folios (C18 a, b, c). */
static void test_C18_freed_with_the_movers_reference_the_last(void **state)
{
	static const char *const points[] = { "isolate:done", "migrate:before", "commit:copied" };

	(void)state;
	for (size_t p = 0; p < COUNT_OF(points); p++) {
		struct quire_plan *plan;
		struct gem_place at = { quire_frame(0), 0 }, far = { quire_frame(512), 3 };
		struct gem_object *stays;
		struct at_point *put;
		struct rig rig;

		rig_start(&rig);
		assert_int_equal(gem_object_create_at(rig.g, &at, 1, &rig.a), 0);
		assert_int_equal(gem_object_create_at(rig.g, &far, 1, &stays), 0);
		fill(&rig, rig.a, 1);
		fill(&rig, stays, 2);
		put = at_point_nth(points[p], gem_object_folio(rig.a, 0), 1, 1, put_object, &rig);
		plan = plan_of(rig.q, 512, QUIRE_MAX);
		assert_int_equal(quire_plan_execute(plan, NULL, NULL), 0);
		quire_plan_destroy(plan);
		assert_int_equal(hits(put), 1);
		assert_int_equal(gs(&rig).folios, 1);
		assert_true(is_right(&rig, stays, 2));
		rig_end(&rig);
	}
}

static void destroy_gem(void *arg)
{
	struct rig *rig = arg;

	gate_open(&rig->other);
	rig->code = gem_destroy(rig->g);
}

static void test_A15_the_gem_goes_while_a_mover_is_at_it(void **state)
{
	struct rig rig;
	struct hand ender;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 4, 0);
	fill(&rig, rig.a, 1);
	hand_start(&ender);
	move_by_hand(&rig, gem_object_folio(rig.a, 1));
	hand_post(&ender, destroy_gem, &rig);
	gate_pass(&rig.other);
	gate_open(&rig.gate);
	hand_stop(&rig.hand);
	hand_stop(&ender);
	assert_int_equal(rig.code, 0);
	no_points();
	assert_frames_free(rig.q, rig.frames);
	end_quire(rig.q);
}

static void test_A15_the_gem_stays_while_somebody_has_a_folio(void **state)
{
	struct rig rig;
	struct quire_folio *folio;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 2, 0);
	fill(&rig, rig.a, 1);
	folio = gem_object_folio(rig.a, 0);
	assert_true(quire_folio_get(folio));
	assert_int_equal(gem_destroy(rig.g), -EBUSY);
	quire_folio_put(folio);
	assert_int_equal(gem_destroy(rig.g), 0);
	assert_frames_free(rig.q, rig.frames);
	end_quire(rig.q);
}

static void put_and_destroy(struct rig *rig, struct quire_folio *folio)
{
	(void)folio;
	rig->code = gem_destroy(rig->g);
}

static void test_HA1_the_gem_cannot_be_ended_by_an_op(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	fill(&rig, rig.a, 1);
	rig.on_isolate = put_and_destroy;
	assert_int_equal(move_first(&rig, rig.a, QUIRE_SYNC).code, 0);
	assert_int_equal(rig.code, -EDEADLK);
	assert_true(is_right(&rig, rig.a, 1));
	rig_end(&rig);
}

/* --- on the move -------------------------------------------------------------------------- */

static void job_on_b(void *arg)
{
	struct rig *rig = arg;

	rig->done = run_job(rig, GEM_JOB(.kind = GEM_FILL, .dst = rig->b, .bytes = FRAME));
}

static void job_on_a(struct rig *rig, struct quire_folio *folio)
{
	(void)folio;
	rig->done =
		run_job(rig, GEM_JOB(.kind = GEM_FILL, .dst = rig->a, .bytes = FRAME, .value = 21));
}

/* A job counts as overlapped from a folio's isolation to its publication, not a step longer. */
static void test_C25_jobs_go_on_while_folios_are_on_the_move(void **state)
{
	static const struct {
		const char *point;
		bool overlapped;
	} at[] = { { "isolate:marked", false },	  { "isolate:done", true },
		   { "migrate:before", true },	  { "commit:copied", true },
		   { "commit:published", false }, { "putback:before", true } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		bool fails = !strcmp(at[i].point, "putback:before");
		struct rig rig;

		rig_start(&rig);
		rig.a = object_of(&rig, 1, 0);
		rig.b = object_of(&rig, 1, 0);
		fill(&rig, rig.a, 1);
		fill(&rig, rig.b, 1);
		at_point_nth(at[i].point, gem_object_folio(rig.a, 0), 1, 1, job_on_b, &rig);
		if (fails)
			quire_fault_arm_("copy", 1, -EIO);
		assert_int_equal(move_first(&rig, rig.a, QUIRE_SYNC).code, fails ? -EIO : 0);
		quire_fault_disarm_();
		assert_int_equal(rig.done.code, 0);
		assert_int_equal(rig.done.overlapped, at[i].overlapped);
		assert_int_equal(gs(&rig).overlapped_jobs, at[i].overlapped);
		assert_int_equal(gs(&rig).overlapped_same, 0);
		assert_true(is_right(&rig, rig.a, 1));
		assert_int_equal(gs(&rig).overlapped_jobs, at[i].overlapped);
		rig_end(&rig);
	}
}

static void test_C25_a_job_on_the_object_itself_while_it_is_isolated(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	fill(&rig, rig.a, 1);
	rig.on_isolate = job_on_a;
	assert_int_equal(move_first(&rig, rig.a, QUIRE_SYNC).code, 0);
	assert_true(rig.done.overlapped);
	assert_int_equal(gs(&rig).overlapped_same, 1);
	assert_true(is_right(&rig, rig.a, 21));
	rig_end(&rig);
}

/* A job that runs already when a folio is isolated is one as well. */
static void job_sees_an_isolation(struct rig *rig, struct gem_ticket ticket)
{
	(void)ticket;
	rig->on_job = NULL;
	gate_open(&rig->other);
	while (!gs(rig).isolated)
		sched_yield();
}

static void test_C25_a_job_that_runs_when_a_folio_is_isolated(void **state)
{
	struct rig rig;
	struct gem_done done = { .code = 1 };
	struct gem_ticket ticket;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	rig.b = object_of(&rig, 1, 0);
	rig.on_job = job_sees_an_isolation;
	assert_int_equal(
		gem_submit(rig.g,
			   GEM_JOB(.kind = GEM_FILL, .dst = rig.b, .bytes = FRAME, .done = &done),
			   &ticket),
		0);
	gate_pass(&rig.other);
	assert_int_equal(move_first(&rig, rig.a, QUIRE_ASYNC).code, 0);
	assert_int_equal(gem_wait(rig.g, ticket, 0), 0);
	assert_int_equal(done.code, 0);
	assert_true(done.overlapped);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_A6_A7_a_bound_object_moves_in_every_mode),
		TEST(test_A5_pins_of_who_is_not_asked_stay_and_are_named),
		TEST(test_A17_plans_ask_for_what_is_mapped_nowhere),
		TEST(test_A9_the_engine_follows_the_move),
		TEST(test_A9_without_the_flush_there_are_wrong_bytes),
		TEST(test_A9_without_the_tlb_flush_there_are_wrong_bytes),
		TEST(test_X1_A10_async_answers_eagain_while_a_job_is_in_flight),
		TEST(test_A9_async_answers_eagain_in_migrate_as_well),
		TEST(test_A9_sync_waits_for_every_job_in_flight),
		TEST(test_A10_patience_is_bounded),
		TEST(test_A9_jobs_on_the_object_are_held_back_and_others_go_on),
		TEST(test_A10_an_object_in_another_movers_hands),
		TEST(test_A8_without_a_pin_no_lock_is_taken),
		TEST(test_A8_a_bind_in_between_is_undone),
		TEST(test_HA3_one_flush_for_an_object_and_batch),
		TEST(test_C16_HA5_putback_exactly_once_however_a_move_fails),
		TEST(test_A9_a_bind_that_fails_fails_the_job_alone),
		TEST(test_C18_A15_the_object_goes_while_it_moves),
		TEST(test_C18_freed_with_the_movers_reference_the_last),
		TEST(test_A15_the_gem_goes_while_a_mover_is_at_it),
		TEST(test_A15_the_gem_stays_while_somebody_has_a_folio),
		TEST(test_HA1_the_gem_cannot_be_ended_by_an_op),
		TEST(test_C25_jobs_go_on_while_folios_are_on_the_move),
		TEST(test_C25_a_job_on_the_object_itself_while_it_is_isolated),
		TEST(test_C25_a_job_that_runs_when_a_folio_is_isolated),
	};

	return cmocka_run_group_tests_name("gem", tests, NULL, NULL);
}

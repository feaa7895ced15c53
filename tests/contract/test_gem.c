// SPDX-License-Identifier: MIT
/*
 * test_gem.c: gem as an owner: what its ops do, by the rules of the contract (groups A, C, X).
 */
#include "gem_rig.h"

#include <sched.h>

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

/* gem drops its own pins; what somebody else holds stays, by his name and his line. */
static void test_A7_somebody_elses_pin_stays_and_is_named(void **state)
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
	move = move_first(object, QUIRE_ASYNC);
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
	assert_int_equal(move_first(object, QUIRE_ASYNC).code, 0);
	assert_true(is_right(&rig, object, 1));
	assert_int_equal(quire_owner_destroy(other), 0);
	rig_end(&rig);
}

/* A plan counts on gem's pins going, and asks: nothing else knows what an engine uses. */
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
	assert_int_equal(move_first(object, QUIRE_SYNC).code, 0);
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
	submit_fill(&rig, object_of(&rig, 1, 0), 3);
	gate_pass(&rig.other);
	submit_fill(&rig, object, 4);
	submit_fill(&rig, object, 5);
	gate_open(&rig.gate);
	gate_pass(&rig.other);
	/* two are in flight on it: the fence is the last one's */
	isolated = gs(&rig).isolated;
	move = move_first(object, QUIRE_ASYNC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.tries, 1);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	assert_string_equal(move.who.site, "gem job 3");
	assert_int_equal(gs(&rig).busy, 1);
	assert_int_equal(gs(&rig).waits, 0);
	/* refused before a destination was looked for */
	assert_int_equal(gs(&rig).isolated, isolated);
	assert_true(gem_object_bound(object));
	rig.on_job = NULL;
	assert_false(quire_fence_signaled(move.wait));
	gate_open(&rig.gate);
	assert_int_equal(quire_fence_wait(move.wait, 20 * SEC), 0);
	quire_fence_put(move.wait);
	assert_int_equal(move_first(object, QUIRE_ASYNC).code, 0);
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
	move = move_first(object, QUIRE_ASYNC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	assert_string_equal(move.who.site, "gem job 2");
	assert_int_equal(gs(&rig).busy, 1);
	assert_int_equal(gs(&rig).putbacks, 1);
	assert_int_equal(gs(&rig).flushes, 0);
	assert_int_equal(gs(&rig).waits, 0);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(quire_fence_wait(move.wait, 20 * SEC), 0);
	quire_fence_put(move.wait);
	assert_true(is_right(&rig, object, 6));
	rig_end(&rig);
}

/* The engine is stuck in a job on something else: the op neither needs it nor wakes it. */
static void test_A12_the_op_has_no_need_of_the_engine(void **state)
{
	struct rig rig;
	struct gem_object *object;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 5);
	rig.on_job = job_stops;
	submit_fill(&rig, object_of(&rig, 1, 0), 1);
	gate_pass(&rig.other);
	assert_true(gem_object_bound(object));
	assert_int_equal(move_object(&rig, object, QUIRE_ASYNC, NULL), 0);
	assert_true(is_filled(object, 5));
	assert_int_equal(gs(&rig).waits, 0);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_true(is_right(&rig, object, 5));
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
		assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
		assert_string_equal(move.who.owner, "gem");
		assert_string_equal(move.who.site, "gem job 1");
		quire_fence_put(move.wait);
	}
	assert_int_equal(gs(&rig).flushes, 0);
	assert_true(gs(&rig).wait_timeouts >= 2);
	assert_int_equal(gs(&rig).wait_timeouts, gs(&rig).waits);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_int_equal(move_first(object, QUIRE_SYNC).code, 0);
	assert_true(is_right(&rig, object, 9));
	rig_end(&rig);
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
	mover_stops(&rig, gem_object_folio(a, 0));
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

/* Both folios come back: the object is bound again, once, and no job had to ask for it. */
static void test_HA5_bound_again_at_the_putback(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_pin *pin;

	(void)state;
	rig_start_by(&rig, GEM_OPTIONS(.rebind_at_putback = 1));
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 1);
	quire_fault_arm_("copy", 1, -EIO);
	assert_int_equal(quire_pin_long(gem_object_folio(object, 1), gem_owner(rig.g), &pin), 0);
	assert_int_equal(move_object(&rig, object, QUIRE_ASYNC, NULL), 2);
	assert_true(quire_fault_disarm_());
	quire_unpin_long(pin);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_true(gem_object_bound(object));
	assert_int_equal(gs(&rig).flushed_in_vain, 2);
	assert_int_equal(gs(&rig).putback_binds, 1);
	assert_int_equal(gs(&rig).rebinds, 1);
	assert_true(is_right(&rig, object, 1));
	/* after a move that came to be, the next job does it */
	assert_int_equal(move_object(&rig, object, QUIRE_ASYNC, NULL), 0);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_false(gem_object_bound(object));
	assert_int_equal(gs(&rig).putback_binds, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_A6_A7_a_bound_object_moves_in_every_mode),
		TEST(test_A7_somebody_elses_pin_stays_and_is_named),
		TEST(test_A17_plans_ask_for_what_is_mapped_nowhere),
		TEST(test_A9_the_engine_follows_the_move),
		TEST(test_A9_without_the_flush_there_are_wrong_bytes),
		TEST(test_A9_without_the_tlb_flush_there_are_wrong_bytes),
		TEST(test_X1_A10_async_answers_eagain_while_a_job_is_in_flight),
		TEST(test_A9_async_answers_eagain_in_migrate_as_well),
		TEST(test_A12_the_op_has_no_need_of_the_engine),
		TEST(test_A9_sync_waits_for_every_job_in_flight),
		TEST(test_A10_patience_is_bounded),
		TEST(test_A9_jobs_on_the_object_are_held_back_and_others_go_on),
		TEST(test_HA3_one_flush_for_an_object_and_batch),
		TEST(test_C16_HA5_putback_exactly_once_however_a_move_fails),
		TEST(test_HA5_bound_again_at_the_putback),
		TEST(test_A9_a_bind_that_fails_fails_the_job_alone),
	};

	return cmocka_run_group_tests_name("gem", tests, NULL, NULL);
}

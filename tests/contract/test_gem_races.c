// SPDX-License-Identifier: MIT
/*
 * test_gem_races.c: gem when others come in between: movers that want the same object, objects and
 * the gem itself that go while something moves, jobs that run on the way.
 */
#include "gem_rig.h"

#include <sched.h>

/* --- the object's lock -------------------------------------------------------------------- */

static void test_A10_an_object_in_another_movers_hands(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct quire_move move;
	struct deed second = { .mode = QUIRE_SYNC, .deadline = 20 * SEC };
	struct quire_fence *over;
	struct hand hand;
	uint64_t before;

	(void)state;
	rig_start_with(&rig, 0, MSEC);
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 1);
	mover_stops(&rig, gem_object_folio(object, 0));
	second.folio = gem_object_folio(object, 1);
	move = move_folio(second.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	assert_string_equal(move.who.site, "gem object 1 held");
	assert_int_equal(gs(&rig).locked_out, 1);
	over = move.wait;
	move = move_folio(second.folio, QUIRE_SYNC_LIGHT, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_ptr_equal(move.wait, over);
	quire_fence_put(move.wait);
	assert_true(gs(&rig).locked_out > 1);
	assert_false(quire_fence_signaled(over));
	/* SYNC is there until the first one is done */
	before = gs(&rig).migrations;
	hand_start(&hand);
	hand_post(&hand, deed_move, &second);
	while (gs(&rig).migrations == before)
		sched_yield();
	mover_goes_on(&rig);
	hand_stop(&hand);
	assert_int_equal(second.move.code, 0);
	assert_true(quire_fence_signaled(over));
	quire_fence_put(over);
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
	assert_int_equal(move_first(object, QUIRE_SYNC).code, 0);
	assert_int_equal(gs(&rig).pinned_bytes, FRAME);
	mover_stops(&rig, gem_object_folio(object, 1));
	/* somebody has the object, and folio 0 moves all the same */
	assert_int_equal(move_first(object, QUIRE_ASYNC).code, 0);
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
	struct quire_move moves[2] = { 0 };
	struct at_point *bound;
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	rig.b = object_of(&rig, 1, 0);
	moves[0].folio = gem_object_folio(rig.b, 0);
	moves[1].folio = gem_object_folio(rig.a, 0);
	/* the second folio is not marked yet, so the bind waits for nothing */
	bound = at_point_nth("commit:marked", moves[0].folio, 1, 1, bind_now, &rig);
	assert_int_equal(quire_move_folios(rig.q, moves, 2, QUIRE_ASYNC, 0), 0);
	assert_true(hits(bound) > 0);
	assert_int_equal(gs(&rig).moved, 2);
	assert_int_equal(gs(&rig).migrations, 1);
	assert_int_equal(gs(&rig).flushes, 1);
	assert_int_equal(stats_of(rig.q).commits, 2);
	assert_true(is_right(&rig, rig.a, 8));
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
			assert_int_equal(hits(put), 1);
			assert_int_equal(gs(&rig).objects_freed, 1);
			assert_int_equal(gs(&rig).folios_freed, 0);
			for (size_t i = 0; i < 3; i++)
				quire_folio_put(folio[i]);
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
	mover_stops(&rig, gem_object_folio(rig.a, 1));
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
	assert_int_equal(move_first(rig.a, QUIRE_SYNC).code, 0);
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
		assert_int_equal(move_first(rig.a, QUIRE_SYNC).code, fails ? -EIO : 0);
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
	assert_int_equal(move_first(rig.a, QUIRE_SYNC).code, 0);
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
	assert_int_equal(move_first(rig.a, QUIRE_ASYNC).code, 0);
	assert_int_equal(gem_wait(rig.g, ticket, 0), 0);
	assert_int_equal(done.code, 0);
	assert_true(done.overlapped);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_A10_an_object_in_another_movers_hands),
		TEST(test_A8_without_a_pin_no_lock_is_taken),
		TEST(test_A8_a_bind_in_between_is_undone),
		TEST(test_C18_A15_the_object_goes_while_it_moves),
		TEST(test_C18_freed_with_the_movers_reference_the_last),
		TEST(test_A15_the_gem_goes_while_a_mover_is_at_it),
		TEST(test_A15_the_gem_stays_while_somebody_has_a_folio),
		TEST(test_HA1_the_gem_cannot_be_ended_by_an_op),
		TEST(test_C25_jobs_go_on_while_folios_are_on_the_move),
		TEST(test_C25_a_job_on_the_object_itself_while_it_is_isolated),
		TEST(test_C25_a_job_that_runs_when_a_folio_is_isolated),
	};

	return cmocka_run_group_tests_name("gem_races", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_goals.c: a range that the caller names is emptied, for what lives in it.
 */
#include "field.h"

static void test_X33_a_range_is_emptied_for_what_lives_in_it(void **state)
{
	static const uint32_t ranges[][2] = { { 0, 1 }, { 7, 1 }, { 3, 2 }, { 1, 3 }, { 5, 3 } };
	static struct field f;
	uint64_t seed = seed_of("range", 33);

	(void)state;
	for (size_t k = 0; k < COUNT_OF(ranges) * 4; k++) {
		uint32_t first = ranges[k % COUNT_OF(ranges)][0];
		uint32_t n = ranges[k % COUNT_OF(ranges)][1];
		struct quire_plan *plan;
		struct quire_result r;
		uint64_t bytes, elsewhere;

		field_start(&f);
		field_fill(&f, seed + k);
		bytes = bytes_in(&f, first, n);
		elsewhere = bytes_in(&f, 0, BLOCKS) - bytes;
		plan = range_of(f.q, first, n);
		assert_int_equal(info_of(plan).runs, n);
		assert_int_equal(info_of(plan).bytes, bytes);
		assert_int_equal(info_of(plan).lower_bound_bytes, bytes);
		assert_int_equal(info_of(plan).alignment_extra_bytes, 0);
		r = run(plan, NULL, 0);
		assert_int_equal(r.obtained, n);
		assert_int_equal(r.bytes_moved, bytes);
		assert_int_equal(r.bytes_recopied + r.bytes_wasted, 0);
		assert_int_equal(quire_plan_blockers(plan), 0);
		assert_int_equal(bytes_in(&f, first, n), 0);
		assert_int_equal(bytes_in(&f, 0, BLOCKS), bytes + elsewhere);
		assert_int_equal(free_blocks(f.q, first, n), n);
		quire_plan_destroy(plan);
		field_end(&f);
	}
}

static void test_X33_an_empty_range_costs_nothing(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	put_at(&f, 0, 0);
	plan = range_of(f.q, 1, BLOCKS - 1);
	assert_int_equal(info_of(plan).runs_free, BLOCKS - 1);
	assert_int_equal(info_of(plan).lower_bound_bytes, 0);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, BLOCKS - 1);
	assert_int_equal(r.tries, 0);
	quire_plan_destroy(plan);
	field_end(&f);
}

static void test_X33_what_makes_no_range_is_refused(void **state)
{
	static const struct quire_goal goals[] = {
		{ .first = { 0 }, .frames = 0 },
		{ .first = { 1 }, .frames = 512 },
		{ .first = { 0 }, .frames = 511 },
		{ .first = { 0 }, .frames = BLOCKS * 512 + 512 },
		{ .first = { BLOCKS * 512 }, .frames = 512 },
		{ .first = { 512 }, .frames = UINT32_MAX - 511 },
		{ .first = { UINT32_MAX - 511 }, .frames = 1024 },
		{ .first = { 0 }, .frames = 512, .count = 1 },
		{ .first = { 0 }, .frames = 512, .flags = 2 },
	};
	struct quire *q = make_quire(BLOCKS);
	struct quire_plan *plan;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(goals); i++) {
		struct quire_goal goal = goals[i];

		goal.size = sizeof(goal);
		goal.kind = QUIRE_GOAL_RANGE;
		plan = (struct quire_plan *)q;
		assert_int_equal(quire_plan_create(q, &goal, &plan), -EINVAL);
		assert_null(plan);
	}
	/* Runs are anywhere: a first frame says that something else was meant. */
	assert_int_equal(quire_plan_create(q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = 1, .first = { 512 }),
					   &plan),
			 -EINVAL);
	end_quire(q);
}

/* Everything is in the range, and it is all there is, or there is one frame too few outside. */
static void test_X33_no_place_is_in_the_range(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	put_at(&f, 0, 5);
	plan = range_of(f.q, 0, BLOCKS);
	assert_int_equal(info_of(plan).no_place, 1);
	assert_int_equal(info_of(plan).lower_bound_bytes, 4096);
	r = run(plan, NULL, -ENOSPC);
	assert_int_equal(r.obtained, BLOCKS - 1);
	assert_int_equal(r.bytes_moved, 0);
	quire_plan_destroy(plan);
	field_end(&f);

	/* Blocks 2 to 7 are full, 0 is to be emptied, and 1, of the range as well, is free. */
	field_start(&f);
	for (uint32_t b = 2; b < BLOCKS; b++)
		put_at(&f, 9, b * 512);
	put_at(&f, 3, 0);
	plan = range_of(f.q, 0, 2);
	r = run(plan, NULL, -ENOSPC);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 0);
	quire_plan_destroy(plan);
	field_end(&f);

	/* The same, but something in 1 stays, so that 1 is no window to be emptied. */
	field_start(&f);
	for (uint32_t b = 2; b < BLOCKS; b++)
		put_at(&f, 9, b * 512);
	put_at(&f, 3, 0);
	put_at(&f, 0, 512);
	assert_non_null(quire_pin(f.item[f.n - 1].folio));
	plan = range_of(f.q, 0, 2);
	assert_int_equal(info_of(plan).no_place, 1);
	assert_int_equal(info_of(plan).bytes, 0);
	r = run(plan, NULL, -EBUSY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	quire_plan_destroy(plan);
	quire_unpin(f.item[f.n - 1].folio);
	field_end(&f);
}

/*
 * What an earlier look remembers is what a new one would find, whatever happens in between: folios
 * come, go, move, are pinned, are dropped under a pin or in sight of a reader.
 */
static void remember_all(struct field *f)
{
	for (uint32_t b = 0; b < BLOCKS; b++) {
		struct quire_plan *plan = range_of(f->q, b, 1);

		assert_int_equal(info_of(plan).lower_bound_bytes, bytes_in(f, b, 1));
		quire_plan_destroy(plan);
	}
}

static void test_W1_what_a_plan_remembers_is_what_there_is(void **state)
{
	uint64_t seed = seed_of("remember", 11);
	static struct field f;
	struct quire_plan *plan;

	(void)state;
	field_start(&f);
	field_fill(&f, seed);
	remember_all(&f);
	for (unsigned step = 0; step < 300; step++) {
		struct item *item = &f.item[prng(&seed) % f.n];
		unsigned what = (unsigned)(prng(&seed) % 6);
		struct quire_pin *pin = NULL;

		if (!item->folio)
			continue;
		if (what == 0) {
			leave(item);
		} else if (what == 1) {
			(void)move_folio(item->folio, QUIRE_SYNC, 0);
		} else if (what == 2) {
			/* As many frames, by other folios: the count alone would not show it. */
			uint32_t at = at_frame(item);
			unsigned order = item->order;
			struct probe *p = item->probe;

			leave(item);
			assert_int_equal(quire_reclaim(f.q), 0);
			if (order)
				place(p, item, order - 1, quire_frame(at), 7);
			else
				place(p, item, 0, quire_frame(at), 7);
		} else if (what == 3) {
			assert_int_equal(quire_pin_long(item->folio, item->probe->owner, &pin), 0);
			plan = range_of(f.q, at_frame(item) / 512, 1);
			assert_int_equal(quire_plan_blockers(plan), item->probe == &f.without);
			quire_plan_destroy(plan);
			quire_unpin_long(pin);
		} else if (what == 4) {
			assert_non_null(quire_pin(item->folio));
			plan = range_of(f.q, at_frame(item) / 512, 1);
			assert_int_equal(quire_plan_blockers(plan), 1);
			quire_plan_destroy(plan);
			quire_unpin(item->folio);
		} else {
			/* Gone, but for the pin: no folio that lives, and named. */
			uint32_t block = at_frame(item) / 512;
			struct quire_folio *folio = item->folio;

			assert_non_null(quire_pin(folio));
			leave(item);
			plan = range_of(f.q, block, 1);
			assert_int_equal(info_of(plan).lower_bound_bytes, bytes_in(&f, block, 1));
			assert_int_equal(quire_plan_blockers(plan), 1);
			assert_int_equal(quire_plan_blocker(plan, 0)->why, QUIRE_REASON_RETIRED);
			quire_plan_destroy(plan);
			quire_unpin(folio);
		}
		remember_all(&f);
	}
	field_end(&f);
}

/* As many frames of a block that is never empty are other folios': their places are theirs. */
static void test_W1_what_a_plan_remembers_ends_with_an_allocation(void **state)
{
	static struct item large, stays, small[16], single[32];
	struct quire *q = make_quire(2);
	struct quire_plan *plan;
	struct probe p;

	(void)state;
	make_probe(q, "plain", 0, &p);
	place(&p, &large, 4, quire_frame(0), 1);
	place(&p, &stays, 0, quire_frame(100), 2);
	for (uint32_t i = 0; i < COUNT_OF(single); i++)
		place(&p, &single[i], 0, quire_frame(512 + i * 16), 100 + i);
	plan = range_of(q, 0, 1);
	assert_int_equal(info_of(plan).no_place, 1);
	quire_plan_destroy(plan);
	drop(&large);
	assert_int_equal(quire_reclaim(q), 0);
	for (uint32_t i = 0; i < COUNT_OF(small); i++)
		place(&p, &small[i], 0, quire_frame(i), 200 + i);
	plan = range_of(q, 0, 1);
	assert_int_equal(info_of(plan).no_place, 0);
	assert_int_equal(info_of(plan).runs, 1);
	quire_plan_destroy(plan);
	drop(&stays);
	drop_row(small, COUNT_OF(small));
	drop_row(single, COUNT_OF(single));
	end_quire(q);
}

/* One pinned folio: its block stays, the others are emptied, and it alone is named. */
static void test_X33_what_stays_in_a_range_is_named_and_the_rest_goes(void **state)
{
	static struct field f;
	const struct quire_blocker *b;
	struct quire_plan *plan;
	struct quire_result r;
	struct item *pinned, *outside;
	const char *site;
	uint64_t bytes, kept;

	(void)state;
	field_start(&f);
	for (uint32_t i = 0; i < 4; i++)
		for (uint32_t k = 0; k < 10; k++)
			put_at(&f, 1, i * 512 + k * 6);
	pinned = &f.item[13];
	outside = &f.item[31];
	assert_non_null(quire_pin(pinned->folio)), site = QUIRE_SITE;
	assert_non_null(quire_pin(outside->folio));
	plan = range_of(f.q, 0, 3);
	bytes = bytes_in(&f, 0, 3);
	kept = bytes_in(&f, 1, 1);
	assert_int_equal(info_of(plan).lower_bound_bytes, bytes);
	assert_int_equal(info_of(plan).bytes, bytes - kept);
	assert_int_equal(info_of(plan).alignment_extra_bytes, 0);
	for (unsigned after = 0; after < 2; after++) {
		assert_int_equal(quire_plan_blockers(plan), 1);
		b = quire_plan_blocker(plan, 0);
		assert_ptr_equal(b->folio, pinned->folio);
		assert_int_equal(b->frame.n, at_frame(pinned));
		assert_string_equal(b->site, site);
		if (after)
			break;
		r = run(plan, NULL, -EBUSY);
		assert_int_equal(r.obtained, 2);
		assert_int_equal(r.bytes_moved, bytes - kept);
	}
	assert_int_equal(bytes_in(&f, 0, 1) + bytes_in(&f, 2, 1), 0);
	assert_int_equal(bytes_in(&f, 1, 1), kept);
	quire_plan_destroy(plan);
	quire_unpin(pinned->folio);
	quire_unpin(outside->folio);
	/* Then the rest goes as well, and it alone. */
	plan = range_of(f.q, 0, 3);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, 3);
	assert_int_equal(r.bytes_moved, kept);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* A pin that has gone since the plan was made is no reason to leave its block. */
static void test_X33_a_pin_that_went_is_in_no_ranges_way(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	put_at(&f, 0, 7);
	assert_non_null(quire_pin(f.item[0].folio));
	plan = range_of(f.q, 0, 1);
	assert_int_equal(quire_plan_blockers(plan), 1);
	quire_unpin(f.item[0].folio);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_planned, 0);
	assert_int_equal(r.bytes_moved, 4096);
	assert_int_equal(quire_plan_blockers(plan), 0);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* An owner that refuses one folio of a block keeps that block alone. */
static void test_X33_a_refusal_keeps_its_block_alone(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	for (uint32_t i = 0; i < 20; i++) /* odd ones have an owner that is asked */
		put_at(&f, 0, i % 2 ? 512 + i : i);
	f.with.isolate_says = SCRIPT(-EBUSY);
	plan = range_of(f.q, 0, 2);
	assert_int_equal(quire_plan_blockers(plan), 0);
	r = run(plan, NULL, -EBUSY);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 10 * 4096);
	assert_int_equal(bytes_in(&f, 0, 1), 0);
	assert_int_equal(bytes_in(&f, 1, 1), 10 * 4096);
	assert_true(quire_plan_blockers(plan) > 0);
	for (size_t i = 0; i < quire_plan_blockers(plan); i++) {
		assert_string_equal(quire_plan_blocker(plan, i)->owner, "with");
		assert_int_equal(quire_plan_blocker(plan, i)->frame.n / 512, 1);
	}
	quire_plan_destroy(plan);
	f.with.isolate_says = SCRIPT(0);
	field_end(&f);
}

static int nothing_to_lend(unsigned order, enum quire_mode mode, struct quire_frame *frame,
			   void *arg)
{
	(void)order, (void)mode, (void)frame, (void)arg;
	return -ENOSPC;
}

static void nothing_lent(unsigned order, struct quire_frame frame, void *arg)
{
	(void)order, (void)frame, (void)arg;
	CHECK(false);
}

static void test_X33_frames_that_an_owner_keeps_are_named(void **state)
{
	struct quire *q = make_quire(2);
	const struct quire_blocker *b;
	struct quire_frame frame;
	struct quire_plan *plan;
	struct quire_result r;
	struct probe p;

	(void)state;
	make_probe(q, "keeper", OP_ALL, &p);
	assert_int_equal(quire_owner_destroy(p.owner), 0);
	p.ops.frame_get = nothing_to_lend;
	p.ops.frame_put = nothing_lent;
	assert_int_equal(quire_owner_create(q, "keeper", &p.ops, &p, &p.owner), 0);
	assert_int_equal(quire_frames_take(p.owner, 0, &frame), 0);
	plan = range_of(q, frame.n / 512, 1);
	r = run(plan, NULL, -EBUSY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(quire_plan_blockers(plan), 1);
	b = quire_plan_blocker(plan, 0);
	assert_int_equal(b->why, QUIRE_REASON_POOL);
	assert_string_equal(b->owner, "keeper");
	assert_int_equal(b->frame.n, frame.n);
	quire_plan_destroy(plan);
	quire_frames_give(p.owner, 0, frame);
	end_quire(q);
}

/* While it runs nothing is allocated in the range, not in its free blocks and those that stay. */
struct meanwhile {
	struct field *f;
	struct quire_folio *made[64];
	unsigned n;
	unsigned open;
};

static void allocate_meanwhile(void *arg)
{
	struct meanwhile *m = arg;

	for (uint32_t b = 0; b < 3; b++)
		m->open += !is_claimed(m->f->q, b);
	CHECK(!quire_folio_create(m->f->without.owner, 0, &m->made[m->n]));
	CHECK(quire_folio_frame(m->made[m->n]).n >= 3 * 512);
	m->n++;
}

static void test_X33_nobody_allocates_in_a_range_meanwhile(void **state)
{
	static struct field f;
	struct meanwhile m = { .f = &f };
	struct quire_plan *plan;
	struct item *stays;

	(void)state;
	field_start(&f);
	for (uint32_t i = 0; i < 20; i++)
		put_at(&f, 0, i);
	stays = put_at(&f, 0, 512);
	for (uint32_t i = 0; i < 20; i++)
		put_at(&f, 0, 5 * 512 + i * 2);
	assert_non_null(quire_pin(stays->folio));
	plan = range_of(f.q, 0, 3);
	at_point_nth("migrate:before", NULL, 1, 20, allocate_meanwhile, &m);
	run(plan, NULL, -EBUSY);
	no_points();
	assert_true(m.n > 0);
	assert_int_equal(m.open, 0);
	quire_plan_destroy(plan);
	for (unsigned i = 0; i < m.n; i++)
		quire_folio_put(m.made[i]);
	quire_unpin(stays->folio);
	field_end(&f);
}

/* Of two plans that want one block the first has it; the second changes nothing, and says so. */
struct second {
	struct quire_plan *plan;
	struct quire_result r;
	int code;
	unsigned claimed;
	struct quire *q;
};

static void execute_second(void *arg)
{
	struct second *s = arg;

	s->code = quire_plan_execute(s->plan, NULL, &s->r);
	s->claimed = is_claimed(s->q, 2);
}

static void test_X33_of_two_ranges_that_overlap_one_wins(void **state)
{
	static struct field f;
	struct second s = { .r.size = sizeof(s.r) };
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < 3; b++)
		put_at(&f, 0, b * 512);
	plan = range_of(f.q, 0, 2);
	s.q = f.q;
	s.plan = range_of(f.q, 1, 2);
	at_point_nth("plan:claimed", plan, 1, 1, execute_second, &s);
	r = run(plan, NULL, 0);
	no_points();
	assert_int_equal(r.obtained, 2);
	assert_int_equal(s.code, -EBUSY);
	assert_int_equal(s.claimed, 0);
	assert_int_equal(s.r.obtained, 0);
	assert_int_equal(s.r.tries, 0);
	assert_int_equal(quire_plan_blockers(s.plan), 1);
	assert_int_equal(quire_plan_blocker(s.plan, 0)->why, QUIRE_REASON_CLAIMED);
	assert_int_equal(quire_plan_blocker(s.plan, 0)->frame.n, 512);
	assert_int_equal(at_frame(&f.item[2]), 2 * 512);
	quire_plan_destroy(s.plan);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* What was moved when the bytes of the budget are used up stays moved. */
static void test_X33_a_budget_ends_it_and_what_was_done_stays(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < 3; b++)
		for (uint32_t i = 0; i < 8; i++)
			put_at(&f, 0, b * 512 + i);
	plan = range_of(f.q, 0, 3);
	r = run(plan, QUIRE_BUDGET(.bytes = 17 * 4096), -EDQUOT);
	assert_int_equal(r.bytes_moved, 16 * 4096);
	assert_int_equal(r.obtained, 2);
	assert_int_equal(bytes_in(&f, 0, 3), 8 * 4096);
	quire_plan_destroy(plan);
	field_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_X33_a_range_is_emptied_for_what_lives_in_it),
		TEST(test_X33_an_empty_range_costs_nothing),
		TEST(test_X33_what_makes_no_range_is_refused),
		TEST(test_X33_no_place_is_in_the_range),
		TEST(test_W1_what_a_plan_remembers_is_what_there_is),
		TEST(test_W1_what_a_plan_remembers_ends_with_an_allocation),
		TEST(test_X33_what_stays_in_a_range_is_named_and_the_rest_goes),
		TEST(test_X33_a_pin_that_went_is_in_no_ranges_way),
		TEST(test_X33_a_refusal_keeps_its_block_alone),
		TEST(test_X33_frames_that_an_owner_keeps_are_named),
		TEST(test_X33_nobody_allocates_in_a_range_meanwhile),
		TEST(test_X33_of_two_ranges_that_overlap_one_wins),
		TEST(test_X33_a_budget_ends_it_and_what_was_done_stays),
	};

	return cmocka_run_group_tests_name("goals", tests, NULL, NULL);
}

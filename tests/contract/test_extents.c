/* SPDX-License-Identifier: MIT */
/*
 * test_extents.c: one run of any length at any place, and runs that are handed out as extents.
 */
#include "field.h"

static struct quire_plan *run_of(struct quire *q, uint32_t frames, uint32_t align,
				 struct quire_owner *owner)
{
	struct quire_plan *plan = NULL;

	assert_int_equal(quire_plan_create(q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUN, .frames = frames,
						      .align = align, .owner = owner),
					   &plan),
			 0);
	return plan;
}

/* Bytes of the folios that meet these frames. */
static uint64_t bytes_meeting(const struct field *f, uint32_t first, uint32_t frames)
{
	uint64_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		uint32_t at = f->item[i].folio ? at_frame(&f->item[i]) : QUIRE_FRAME_NONE_N;

		if (at < first + frames && at + (1u << f->item[i].order) > first)
			n += 4096ull << f->item[i].order;
	}
	return n;
}

/* The least of all positions, by brute force. */
static uint64_t least_of(const struct field *f, uint32_t frames, uint32_t align)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t at = 0; at + frames <= BLOCKS * 512; at += align) {
		uint64_t n = bytes_meeting(f, at, frames);

		least = n < least ? n : least;
	}
	return least;
}

static struct quire_extent *only_extent(struct quire_plan *plan)
{
	struct quire_extent *e = quire_plan_take_extent(plan);

	assert_non_null(e);
	assert_null(quire_plan_take_extent(plan));
	return e;
}

static void test_W5_a_run_of_any_length_is_made_for_the_least(void **state)
{
	static const uint32_t lengths[][2] = { { 1, 1 },   { 3, 1 },   { 100, 1 },  { 100, 64 },
					       { 511, 1 }, { 513, 1 }, { 1000, 8 }, { 700, 512 },
					       { 777, 1 }, { 1500, 1 } };
	uint64_t seed = seed_of("run", 5);
	static struct field f;

	(void)state;
	for (size_t k = 0; k < COUNT_OF(lengths); k++) {
		uint32_t frames = lengths[k % COUNT_OF(lengths)][0];
		uint32_t align = lengths[k % COUNT_OF(lengths)][1];
		struct quire_plan *plan;
		struct quire_extent *e;
		struct quire_result r;
		uint64_t least, all;

		field_start(&f);
		field_fill(&f, seed + k);
		least = least_of(&f, frames, align);
		all = bytes_in(&f, 0, BLOCKS);
		plan = run_of(f.q, frames, align, f.without.owner);
		assert_int_equal(info_of(plan).runs, 1);
		assert_int_equal(info_of(plan).bytes, least);
		assert_int_equal(info_of(plan).lower_bound_bytes, least);
		r = run(plan, NULL, 0);
		assert_int_equal(r.obtained, 1);
		assert_int_equal(r.bytes_moved, least);
		assert_int_equal(r.bytes_recopied + r.bytes_wasted, 0);
		e = only_extent(plan);
		assert_int_equal(quire_extent_frames(e), frames);
		assert_int_equal(quire_extent_frame(e).n % align, 0);
		assert_int_equal(bytes_meeting(&f, quire_extent_frame(e).n, frames), 0);
		assert_int_equal(bytes_in(&f, 0, BLOCKS), all);
		assert_int_equal(stats_of(f.q).frames_extents, frames);
		/* Nobody else has it: what is written there stays, and harms nobody. */
		memset(quire_extent_data(e), 0x5a, frames * 4096ull);
		for (size_t i = 0; i < f.n; i++)
			assert_intact(&f.item[i]);
		quire_plan_destroy(plan);
		quire_extent_free(e);
		field_end(&f);
	}
}

/* Without an owner it is ordinary free memory, and named where it is not to be had. */
static void test_W5_a_run_that_nobody_owns_is_free_memory(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < BLOCKS; b++) /* free gaps are of 511 frames at most */
		put_at(&f, 0, b * 512 + 256);
	plan = run_of(f.q, 700, 0, NULL);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 4096);
	assert_null(quire_plan_take_extent(plan));
	quire_plan_destroy(plan);
	plan = run_of(f.q, 700, 0, NULL);
	assert_int_equal(info_of(plan).bytes, 0);
	assert_int_equal(info_of(plan).runs_free, 1);
	quire_plan_destroy(plan);
	assert_frames_free(f.q, (BLOCKS - 1) * 512 + 504);
	field_end(&f);
}

/* What straddles an edge moves whole, and the rest of its block stays where it is. */
static void test_W5_what_straddles_an_edge_moves_whole(void **state)
{
	static struct field f;
	struct item *folio;
	struct quire_plan *plan;
	struct quire_extent *e;
	struct quire_result r;

	(void)state;
	field_start(&f);
	for (uint32_t b = 2; b < BLOCKS; b++)
		put_at(&f, 9, b * 512);
	/* It has to begin behind 99, and to end in the midst of the folio at 1008. */
	put_at(&f, 0, 99);
	assert_non_null(quire_pin(f.item[f.n - 1].folio));
	put_at(&f, 4, 1008);
	for (uint32_t i = 0; i < 99; i += 16)
		put_at(&f, 0, i);
	folio = &f.item[BLOCKS - 2 + 1];
	for (unsigned room = 0; room < 2; room++) {
		plan = run_of(f.q, 912, 0, f.with.owner);
		if (room)
			break;
		/* No place of 16 frames is left for it outside. */
		assert_int_equal(info_of(plan).runs, 0);
		assert_int_equal(info_of(plan).no_place, 1);
		assert_int_equal(info_of(plan).lower_bound_bytes, 0);
		r = run(plan, NULL, -EBUSY);
		assert_int_equal(r.bytes_moved, 0);
		quire_plan_destroy(plan);
		leave(&f.item[f.n - 3]);
	}
	assert_int_equal(info_of(plan).lower_bound_bytes, 16 * 4096);
	r = run(plan, NULL, 0);
	assert_int_equal(r.bytes_moved, 16 * 4096);
	e = only_extent(plan);
	assert_int_equal(quire_extent_frame(e).n, 100);
	assert_int_equal(at_frame(folio), 64);
	put_at(&f, 2, 1012); /* what it left outside of the run is free */
	quire_plan_destroy(plan);
	quire_extent_free(e);
	quire_unpin(f.item[BLOCKS - 2].folio);
	field_end(&f);
}

/* A pin in the cheapest place: named, and the next cheapest is taken. */
static void test_W5_what_stays_is_gone_around(void **state)
{
	static struct field f;
	const struct quire_blocker *b;
	struct quire_plan *plan;
	struct quire_extent *e;
	struct quire_result r;
	const char *site;

	(void)state;
	field_start(&f);
	for (uint32_t i = 0; i < BLOCKS; i++)
		for (uint32_t k = 0; k < 512; k += i == 3 ? 8 : 4)
			put_at(&f, 0, i * 512 + k);
	assert_non_null(quire_pin(f.item[3 * 128 + 32].folio)), site = QUIRE_SITE;
	plan = run_of(f.q, 400, 0, f.without.owner);
	assert_int_equal(quire_plan_blockers(plan), 1);
	b = quire_plan_blocker(plan, 0);
	assert_string_equal(b->site, site);
	assert_int_equal(b->frame.n, 3 * 512 + 256);
	r = run(plan, NULL, 0);
	e = only_extent(plan);
	assert_true(quire_extent_frame(e).n > 3 * 512 + 256 ||
		    quire_extent_frame(e).n + 400 <= 3 * 512 + 256);
	assert_int_equal(r.bytes_moved, info_of(plan).lower_bound_bytes);
	quire_plan_destroy(plan);
	quire_extent_free(e);
	quire_unpin(f.item[3 * 128 + 32].folio);
	field_end(&f);
}

/* A refusal is met only when it is asked: the run goes elsewhere, and what was moved is counted. */
static void test_W5_a_refusal_moves_the_run_elsewhere(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_extent *e;
	struct quire_result r;

	(void)state;
	field_start(&f);
	f.with.isolate_says = SCRIPT(-EBUSY, 0);
	for (uint32_t i = 0; i < BLOCKS; i++)
		for (uint32_t k = 0; k < 512; k += 2)
			if (f.n < MOST - 1)
				put_at(&f, 0, i * 512 + k);
	plan = run_of(f.q, 100, 0, f.with.owner);
	r = run(plan, NULL, 0);
	assert_true(r.replans > 0);
	e = only_extent(plan);
	assert_int_equal(quire_extent_frames(e), 100);
	assert_true(quire_plan_blockers(plan) > 0);
	assert_string_equal(quire_plan_blocker(plan, 0)->owner, "with");
	quire_plan_destroy(plan);
	quire_extent_free(e);
	field_end(&f);
}

static void test_W5_each_of_several_runs_is_an_extent(void **state)
{
	struct quire_extent *e[BLOCKS];
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;
	size_t n = 0;

	(void)state;
	field_start(&f);
	field_fill(&f, seed_of("runs", 9));
	assert_int_equal(quire_plan_create(f.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = 3, .owner = f.with.owner),
					   &plan),
			 0);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, 3);
	assert_int_equal(r.bytes_moved, info_of(plan).lower_bound_bytes);
	while ((e[n] = quire_plan_take_extent(plan)) != NULL) {
		assert_int_equal(quire_extent_frames(e[n]), 512);
		assert_ptr_equal(quire_extent_owner(e[n]), f.with.owner);
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(stats_of(f.q).frames_extents, 3 * 512);
	assert_int_equal(stats_of(f.q).extents, 3);
	quire_plan_destroy(plan);
	for (size_t i = 0; i < n; i++)
		quire_extent_free(e[i]);
	field_end(&f);
}

/* Those that nobody takes over go back with their plan. */
static void test_W5_extents_that_nobody_takes_go_with_the_plan(void **state)
{
	static struct field f;
	struct quire_plan *plan;

	(void)state;
	field_start(&f);
	put_at(&f, 0, 5);
	plan = run_of(f.q, 1000, 0, f.with.owner);
	assert_int_equal(quire_owner_destroy(f.with.owner), -EBUSY);
	run(plan, NULL, 0);
	assert_frames_free(f.q, BLOCKS * 512 - 1001);
	quire_plan_destroy(plan);
	assert_frames_free(f.q, BLOCKS * 512 - 1);
	field_end(&f);
}

/* A range is one extent, if all of it is free, and else stays free memory. */
static void test_X33_a_range_is_one_extent_or_none(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_extent *e;
	struct quire_result r;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < 3; b++)
		put_at(&f, 1, b * 512 + 8);
	for (unsigned pinned = 0; pinned < 2; pinned++) {
		if (pinned)
			assert_non_null(quire_pin(f.item[1].folio));
		assert_int_equal(
			quire_plan_create(f.q,
					  QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE,
						     .first = quire_frame(512 * 1), .frames = 1024,
						     .owner = f.with.owner),
					  &plan),
			0);
		if (pinned) {
			r = run(plan, NULL, -EBUSY);
			assert_int_equal(r.obtained, 0);
			assert_null(quire_plan_take_extent(plan));
		} else {
			r = run(plan, NULL, 0);
			assert_int_equal(r.obtained, 2);
			e = only_extent(plan);
			assert_int_equal(quire_extent_frame(e).n, 512);
			assert_int_equal(quire_extent_frames(e), 1024);
			quire_extent_free(e);
			quire_plan_destroy(plan);
			drop(&f.item[1]);
			place(f.item[1].probe, &f.item[1], 1, quire_frame(512 + 16), 2);
			continue;
		}
		quire_plan_destroy(plan);
		quire_unpin(f.item[1].folio);
	}
	field_end(&f);
}

/* To others it is in the way, and named: owner, site, thread. It is never moved, nor given back. */
static void test_W13_an_extent_is_named_where_it_is_in_the_way(void **state)
{
	static struct field f;
	struct quire_block_info info = { .size = sizeof(info) };
	const struct quire_blocker *b;
	struct quire_plan *plan;
	struct quire_extent *e;
	const char *site;

	(void)state;
	field_start(&f);
	put_at(&f, 0, 0);
	assert_int_equal(quire_plan_create(f.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUN, .frames = 1000,
						      .owner = f.with.owner),
					   &plan),
			 0);
	site = __FILE__;
	run(plan, NULL, 0);
	e = only_extent(plan);
	quire_plan_destroy(plan);
	assert_int_equal(quire_extent_frame(e).n, 1);
	assert_int_equal(quire_block_info(f.q, 1, &info), 0);
	assert_int_equal(info.extents, 1001 - 512);
	assert_int_equal(info.used, 1001 - 512);
	plan = range_of(f.q, 0, 3);
	assert_int_equal(quire_plan_blockers(plan), 2);
	for (unsigned i = 0; i < 2; i++) {
		b = quire_plan_blocker(plan, i);
		assert_int_equal(b->why, QUIRE_REASON_EXTENT);
		assert_int_equal(b->frame.n, i ? 512 : 1);
		assert_string_equal(b->owner, "with");
		assert_memory_equal(b->site, site, strlen(site));
		assert_int_equal(b->thread, thread_id());
		assert_null(b->folio);
	}
	run(plan, NULL, -EBUSY);
	quire_plan_destroy(plan);
	/* A run goes around it: the largest that is left. */
	plan = run_of(f.q, BLOCKS * 512 - 1001, 0, NULL);
	run(plan, NULL, 0);
	quire_plan_destroy(plan);
	plan = run_of(f.q, BLOCKS * 512 - 1000, 0, NULL);
	assert_int_equal(info_of(plan).feasible, 0);
	run(plan, NULL, -EBUSY);
	quire_plan_destroy(plan);
	assert_int_equal(quire_destroy(f.q), -EBUSY);
	quire_extent_free(e);
	field_end(&f);
}

static void test_extents_are_given_back_in_parts(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_extent *e;
	char *data;

	(void)state;
	field_start(&f);
	plan = run_of(f.q, 1500, 0, f.with.owner);
	run(plan, NULL, 0);
	e = only_extent(plan);
	quire_plan_destroy(plan);
	data = quire_extent_data(e);
	assert_int_equal(quire_extent_trim(e, 0, 0), -EINVAL);
	assert_int_equal(quire_extent_trim(e, 1, 1500), -EINVAL);
	assert_int_equal(quire_extent_trim(e, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(quire_extent_trim(e, 0, 1501), -EINVAL);
	assert_frames_free(f.q, BLOCKS * 512 - 1500);
	data[13 * 4096] = 'x';
	assert_int_equal(quire_extent_trim(e, 13, 600), 0);
	assert_frames_free(f.q, BLOCKS * 512 - 600);
	assert_int_equal(quire_extent_frame(e).n, 13);
	assert_int_equal(quire_extent_frames(e), 600);
	assert_ptr_equal(quire_extent_data(e), data + 13 * 4096);
	assert_int_equal(*(char *)quire_extent_data(e), 'x');
	put_at(&f, 0, 12);
	put_at(&f, 0, 613);
	quire_extent_free(e);
	quire_extent_free(NULL);
	field_end(&f);
}

static void test_W5_what_makes_no_run_is_refused(void **state)
{
	static const struct quire_goal goals[] = {
		{ .frames = 0 },
		{ .frames = BLOCKS * 512 + 1 },
		{ .frames = 5, .count = 1 },
		{ .frames = 5, .first = { 512 } },
		{ .frames = 5, .align = 3 },
		{ .frames = 5, .flags = 2 },
		{ .frames = UINT32_MAX, .align = 1 },
	};
	struct quire *q = make_quire(BLOCKS), *other = make_quire(1);
	struct quire_plan *plan;
	struct probe p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(goals); i++) {
		struct quire_goal goal = goals[i];

		goal.size = sizeof(goal);
		goal.kind = QUIRE_GOAL_RUN;
		assert_int_equal(quire_plan_create(q, &goal, &plan), -EINVAL);
	}
	/* Alignment is a RUN's; an owner is of the same quire. */
	assert_int_equal(quire_plan_create(q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = 1, .align = 1024),
					   &plan),
			 -EINVAL);
	make_probe(other, "other", OP_NONE, &p);
	assert_int_equal(
		quire_plan_create(q,
				  QUIRE_GOAL(.kind = QUIRE_GOAL_RUN, .frames = 5, .owner = p.owner),
				  &plan),
		-EINVAL);
	end_quire(other);
	end_quire(q);
}

/* Whoever allocates while the run is emptied gets none of it, not even when all else is used. */
struct grabbing {
	struct field *f;
	struct quire_folio *got[BLOCKS * 512];
	unsigned n, in_run;
	uint32_t first, frames;
};

static void grab(void *arg)
{
	struct grabbing *g = arg;
	uint32_t at;

	while (g->n < COUNT_OF(g->got) &&
	       !quire_folio_create(g->f->without.owner, 0, &g->got[g->n])) {
		at = quire_folio_frame(g->got[g->n++]).n;
		g->in_run += at >= g->first && at < g->first + g->frames;
	}
}

static void test_W5_nobody_gets_a_frame_of_what_is_taken(void **state)
{
	static struct field f;
	static struct grabbing g;
	struct quire_plan *plan;
	struct quire_extent *e;

	(void)state;
	memset(&g, 0, sizeof(g));
	field_start(&f);
	g.f = &f;
	/* After the first of two runs was taken, and before the plan ends. */
	put_at(&f, 0, 512 + 3);
	for (uint32_t b = 2; b < BLOCKS; b++)
		put_at(&f, 9, b * 512);
	g.frames = 512;
	assert_int_equal(quire_plan_create(f.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = 1, .owner = f.with.owner),
					   &plan),
			 0);
	at_point("plan:taken", plan, grab, &g);
	run(plan, NULL, 0);
	no_points();
	e = only_extent(plan);
	assert_int_equal(quire_extent_frame(e).n, 0);
	assert_int_equal(g.n, 511);
	assert_int_equal(g.in_run, 0);
	quire_plan_destroy(plan);
	quire_extent_free(e);
	for (unsigned i = 0; i < g.n; i++)
		quire_folio_put(g.got[i]);
	field_end(&f);
}

/* Somebody takes a frame of it just before: it is not handed out, and no frame is lost. */
static void test_W5_a_frame_that_somebody_took_is_not_taken_twice(void **state)
{
	static struct field f;
	static struct grabbing g;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	memset(&g, 0, sizeof(g));
	field_start(&f);
	for (uint32_t b = 1; b < BLOCKS; b++)
		put_at(&f, 9, b * 512);
	g.f = &f;
	plan = run_of(f.q, 500, 0, f.with.owner);
	at_point_nth("plan:free", NULL, 1, 1, grab, &g);
	r = run(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), -EBUSY);
	no_points();
	assert_int_equal(r.obtained, 0);
	assert_null(quire_plan_take_extent(plan));
	assert_int_equal(g.n, 512);
	quire_plan_destroy(plan);
	for (unsigned i = 0; i < g.n; i++)
		quire_folio_put(g.got[i]);
	field_end(&f);
}

/* Each allocation of planning, executing and handing out fails once; nothing is lost. */
static void test_W5_each_step_of_an_extent_fails_once(void **state)
{
	static const char *const points[] = { "mem", "frame:alloc" };
	static struct field f;
	unsigned ended = 0;

	(void)state;
	for (size_t k = 0; k < COUNT_OF(points); k++) {
		for (uint64_t nth = 1; nth; nth++) {
			struct quire_plan *plan = NULL;
			struct quire_result r = { .size = sizeof(r) };
			int error;

			field_start(&f);
			for (uint32_t b = 0; b < BLOCKS; b++)
				put_at(&f, 2, b * 512 + 128);
			quire_fault_arm_(points[k], nth, -ENOMEM);
			error = quire_plan_create(f.q,
						  QUIRE_GOAL(.kind = QUIRE_GOAL_RUN, .frames = 900,
							     .owner = f.with.owner),
						  &plan);
			if (!error)
				error = quire_plan_execute(plan, NULL, &r);
			if (!quire_fault_disarm_()) {
				assert_int_equal(error, 0);
				nth = UINT64_MAX; /* the last one */
			}
			assert_true(!error || error == -ENOMEM || error == -EBUSY ||
				    error == -ENOSPC);
			ended += error != 0;
			quire_plan_destroy(plan);
			assert_int_equal(stats_of(f.q).frames_extents, 0);
			assert_frames_free(f.q, BLOCKS * (512 - 4));
			field_end(&f);
		}
	}
	assert_true(ended > 5);
}

/* A budget that ends it leaves no extent, and keeps what was moved. */
static void test_W6_a_budget_ends_a_run_and_what_was_moved_stays(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;
	uint64_t bytes;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < BLOCKS; b++)
		for (uint32_t k = 0; k < 512; k += 4)
			put_at(&f, 0, b * 512 + k);
	plan = run_of(f.q, 1200, 512, f.with.owner);
	bytes = info_of(plan).bytes;
	assert_int_equal(bytes, 300 * 4096);
	r = run(plan, QUIRE_BUDGET(.bytes = 200 * 4096), -EDQUOT);
	assert_int_equal(r.bytes_moved, 128 * 4096);
	assert_int_equal(r.obtained, 0);
	assert_null(quire_plan_take_extent(plan));
	quire_plan_destroy(plan);
	plan = run_of(f.q, 1200, 512, f.with.owner);
	assert_int_equal(info_of(plan).bytes, bytes - 128 * 4096);
	/* The time is over at once, with the batch that runs; which is the last one. */
	r = run(plan, QUIRE_BUDGET(.deadline_ns = 1), 0);
	assert_int_equal(r.obtained, 1);
	quire_plan_destroy(plan);
	field_end(&f);
}

static unsigned larger_ones;

static int put_a_larger_one(void *arg, const struct quire_result *so_far)
{
	struct quire_owner *owner = arg;
	struct quire_folio *folio;

	(void)so_far;
	if (!quire_folio_create_with(
		    owner, QUIRE_FOLIO(.order = 3, .at_set = 1, .at = quire_frame(0)), &folio))
		larger_ones++;
	return 0;
}

/*
 * Somebody has a frame when it is looked at, and by the next look it is the head of a folio of
 * eight frames: all of that folio stays, and the run goes around it.
 */
static void test_W5_a_frame_that_stays_is_of_a_folio_that_stays(void **state)
{
	struct quire *q = make_quire(2);
	struct item one;
	struct probe p;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	make_probe(q, "with", OP_NONE, &p);
	place(&p, &one, 0, quire_frame(1000), 1);
	plan = run_of(q, 900, 1, NULL);
	r = run(plan,
		QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1, .progress = put_a_larger_one,
			     .arg = p.owner),
		0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(larger_ones, 1);
	quire_plan_destroy(plan);
	assert_intact(&one);
	drop(&one);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_W5_a_run_of_any_length_is_made_for_the_least),
		TEST(test_W5_a_run_that_nobody_owns_is_free_memory),
		TEST(test_W5_what_straddles_an_edge_moves_whole),
		TEST(test_W5_what_stays_is_gone_around),
		TEST(test_W5_a_refusal_moves_the_run_elsewhere),
		TEST(test_W5_each_of_several_runs_is_an_extent),
		TEST(test_W5_extents_that_nobody_takes_go_with_the_plan),
		TEST(test_X33_a_range_is_one_extent_or_none),
		TEST(test_W13_an_extent_is_named_where_it_is_in_the_way),
		TEST(test_extents_are_given_back_in_parts),
		TEST(test_W5_what_makes_no_run_is_refused),
		TEST(test_W5_nobody_gets_a_frame_of_what_is_taken),
		TEST(test_W5_a_frame_that_somebody_took_is_not_taken_twice),
		TEST(test_W5_each_step_of_an_extent_fails_once),
		TEST(test_W6_a_budget_ends_a_run_and_what_was_moved_stays),
		TEST(test_W5_a_frame_that_stays_is_of_a_folio_that_stays),
	};

	return cmocka_run_group_tests_name("extents", tests, NULL, NULL);
}

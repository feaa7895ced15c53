/* SPDX-License-Identifier: MIT */
/*
 * test_goals.c: goals other than a number of runs: a range that the caller names is emptied, memory
 * that nobody uses goes back to the system. What lives in a range is counted by brute force, folio
 * by folio, before and after.
 */
#include "support.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 8
#define MOST 2048

static struct quire_plan *range_of(struct quire *q, uint32_t block, uint32_t blocks)
{
	struct quire_plan *plan = NULL;

	assert_int_equal(quire_plan_create(q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE,
						      .first = quire_frame(block * 512),
						      .frames = blocks * 512),
					   &plan),
			 0);
	return plan;
}

static struct quire_result run(struct quire_plan *plan, const struct quire_budget *budget,
			       int expected)
{
	struct quire_result r = { .size = sizeof(r) };

	assert_int_equal(quire_plan_execute(plan, budget, &r), expected);
	return r;
}

/* --- a quire full of folios --------------------------------------------------------------- */

struct field {
	struct quire *q;
	struct probe with, without;
	struct item item[MOST];
	size_t n;
};

static void field_start(struct field *f)
{
	memset(f, 0, sizeof(*f));
	f->q = make_quire(BLOCKS);
	make_probe(f->q, "with", OP_ALL, &f->with);
	make_probe(f->q, "without", OP_NONE, &f->without);
}

static struct item *put_at(struct field *f, unsigned order, uint32_t at)
{
	struct item *item = &f->item[f->n];

	assert_true(f->n < MOST);
	place(f->n % 2 ? &f->with : &f->without, item, order, quire_frame(at), f->n + 1);
	f->n++;
	return item;
}

/* Folios of all sizes up to 16 frames in all blocks, half of the frames free, by a seed. */
static void field_fill(struct field *f, uint64_t seed)
{
	for (uint32_t b = 0; b < BLOCKS; b++) {
		for (uint32_t i = 0; i < 512;) {
			unsigned order = (unsigned)(prng(&seed) % 5);

			while (i & ((1u << order) - 1))
				order--;
			if (prng(&seed) % 2)
				put_at(f, order, b * 512 + i);
			i += 1u << order;
		}
	}
}

/* By brute force: bytes of the folios that meet these blocks. */
static uint64_t bytes_in(const struct field *f, uint32_t block, uint32_t blocks)
{
	uint64_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		uint32_t at = f->item[i].folio ? at_frame(&f->item[i]) : QUIRE_FRAME_NONE_N;
		uint32_t end = at + (1u << f->item[i].order);

		if (at != QUIRE_FRAME_NONE_N && at < (block + blocks) * 512 && end > block * 512)
			n += 4096u << f->item[i].order;
	}
	return n;
}

static unsigned free_blocks(struct quire *q, uint32_t block, uint32_t blocks)
{
	unsigned n = 0;

	for (uint32_t b = block; b < block + blocks; b++) {
		struct quire_block_info info = { .size = sizeof(info) };

		assert_int_equal(quire_block_info(q, b, &info), 0);
		n += !info.used;
	}
	return n;
}

static void leave(struct item *item)
{
	drop(item);
	item->folio = NULL;
}

static void field_end(struct field *f)
{
	assert_nothing_claimed(f->q);
	assert_ledger_closed(f->q);
	for (size_t i = 0; i < f->n; i++) {
		if (!f->item[i].folio)
			continue;
		assert_intact(&f->item[i]);
		if (f->item[i].probe == &f->with)
			assert_item_ledger(&f->item[i]);
		drop(&f->item[i]);
	}
	assert_frames_free(f->q, BLOCKS * 512);
	end_quire(f->q);
}

/* --- a range ------------------------------------------------------------------------------ */

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
		{ .first = { 0 }, .frames = 512, .flags = 1 },
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

/* --- giving back -------------------------------------------------------------------------- */

#define BLOCK_BYTES (512u * 4096)

/* The direct map, by way of a folio in it. */
static unsigned char *base_of(struct item *item)
{
	unsigned char *address = quire_pin(item->folio);

	assert_non_null(address);
	quire_unpin(item->folio);
	return address - (size_t)at_frame(item) * 4096;
}

/* Pages of the memory file that are in memory, by the kernel's word. */
static size_t resident(unsigned char *base, uint32_t block, uint32_t blocks)
{
	unsigned char page[512];
	size_t n = 0;

	for (uint32_t b = block; b < block + blocks; b++) {
		assert_int_equal(mincore(base + (size_t)b * BLOCK_BYTES, BLOCK_BYTES, page), 0);
		for (size_t i = 0; i < 512; i++)
			n += page[i] & 1;
	}
	return n;
}

/* Every frame of the arena was touched; after it nothing lives but what fill says. */
static unsigned char *field_touch(struct field *f)
{
	unsigned char *base;

	for (uint32_t b = 0; b < BLOCKS; b++)
		put_at(f, 9, b * 512);
	base = base_of(&f->item[0]);
	assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
	for (uint32_t b = 0; b < BLOCKS; b++)
		leave(&f->item[b]);
	assert_frames_free(f->q, BLOCKS * 512);
	/* Freed memory is still the program's. */
	assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
	return base;
}

static void test_give_back_what_is_resident_follows_what_lives(void **state)
{
	static struct field f;
	static const char zero[4096];
	struct quire_plan *plan;
	unsigned char *base;
	unsigned free;
	struct item *new;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	field_fill(&f, seed_of("give back", 7));
	for (size_t i = 0; i < f.n; i++)
		if (f.item[i].folio && i % 3)
			leave(&f.item[i]);
	plan = plan_of(f.q, 512, QUIRE_MAX);
	run(plan, NULL, 0);
	quire_plan_destroy(plan);
	free = free_blocks(f.q, 0, BLOCKS);
	assert_in_range(free, 4, BLOCKS - 1);
	assert_int_equal(quire_give_back(f.q, QUIRE_MAX), free * BLOCK_BYTES);
	assert_int_equal(resident(base, 0, BLOCKS), (BLOCKS - free) * 512);
	assert_int_equal(stats_of(f.q).given_back_bytes, free * BLOCK_BYTES);
	assert_int_equal(free_blocks(f.q, 0, BLOCKS), free);
	for (size_t i = 0; i < f.n; i++)
		if (f.item[i].folio)
			assert_intact(&f.item[i]);
	/* There is nothing to give twice. */
	assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 0);
	assert_int_equal(stats_of(f.q).given_back_bytes, free * BLOCK_BYTES);
	/* What was given back is as good as new. */
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (!resident(base, b, 1))
			for (size_t i = 0; i < 512; i++)
				assert_memory_equal(base + b * BLOCK_BYTES + i * 4096, zero, 4096);
	for (uint32_t b = 0; b < BLOCKS; b++) {
		if (free_blocks(f.q, b, 1)) {
			new = put_at(&f, 9, b * 512);
			assert_intact(new);
		}
	}
	field_end(&f);
}

static void test_give_back_takes_whole_blocks_and_no_more_than_asked(void **state)
{
	static struct field f;
	unsigned char *base;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	put_at(&f, 0, 7 * 512 + 3);
	assert_int_equal(quire_give_back(f.q, 0), 0);
	assert_int_equal(quire_give_back(f.q, 1), BLOCK_BYTES);
	assert_int_equal(resident(base, 6, 1), 0); /* the last free one */
	assert_int_equal(quire_give_back(f.q, BLOCK_BYTES + 1), 2 * BLOCK_BYTES);
	assert_int_equal(resident(base, 4, 3), 0);
	assert_int_equal(resident(base, 0, 4) + resident(base, 7, 1), 5 * 512);
	/* Frames of a block are counted by what the file has there. */
	put_at(&f, 2, 5 * 512 + 8);
	leave(&f.item[f.n - 1]);
	assert_frames_free(f.q, BLOCKS * 512 - 1);
	assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 4 * 4096 + 4 * BLOCK_BYTES);
	assert_int_equal(resident(base, 0, BLOCKS), 512);
	assert_int_equal(quire_give_back(NULL, 1), -EINVAL);
	field_end(&f);
}

/* A reader in a section may look at a place that was moved away from, or freed, until it leaves. */
static void test_give_back_leaves_what_a_reader_may_see(void **state)
{
	static struct two two;
	struct quire_plan *plan;
	struct quire_result r;
	unsigned char *base;
	const char *old;
	uint32_t block;

	(void)state;
	two_start(&two);
	base = base_of(&two.it);
	block = two.old / 512;
	hand_do(&two.hand, deed_enter, &two.d);
	old = two.d.view.data;
	assert_true(content_is(old, two.it.cookie, 4096));
	/* The folio goes to the other block; a reader keeps its old place from being free. */
	plan = range_of(two.q, block, 1);
	r = run(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), -EBUSY);
	assert_int_equal(r.bytes_moved, 4096);
	assert_int_equal(quire_plan_blockers(plan), 1);
	assert_int_equal(quire_plan_blocker(plan, 0)->why, QUIRE_REASON_READER);
	assert_int_equal(quire_plan_blocker(plan, 0)->thread, two.hand.tid);
	quire_plan_destroy(plan);
	assert_true(at_frame(&two.it) / 512 != block);
	assert_int_equal(quire_give_back(two.q, QUIRE_MAX), 0);
	assert_true(content_is(old, two.it.cookie, 4096));
	assert_int_equal(resident(base, block, 1), 1);
	hand_do(&two.hand, deed_leave, &two.d);
	assert_int_equal(quire_give_back(two.q, QUIRE_MAX), 4096);
	assert_int_equal(resident(base, block, 1), 0);
	two_end(&two);
}

/* What a plan works on it leaves alone, and the plan notices nothing. */
struct giving {
	struct quire *q;
	int64_t given;
	struct quire_folio *made;
	struct probe *probe;
	uint32_t not_in;
	unsigned n;
};

static void give_now(void *arg)
{
	struct giving *g = arg;

	g->given = quire_give_back(g->q, QUIRE_MAX);
}

static void test_give_back_leaves_what_a_plan_works_on(void **state)
{
	static struct field f;
	struct giving g = { 0 };
	struct quire_plan *plan;
	struct quire_result r;
	unsigned char *base;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	put_at(&f, 0, 3);
	g.q = f.q;
	plan = range_of(f.q, 0, 3);
	at_point_nth("plan:claimed", plan, 1, 1, give_now, &g);
	r = run(plan, NULL, 0);
	no_points();
	assert_int_equal(r.obtained, 3);
	assert_int_equal(g.given, 5 * BLOCK_BYTES);
	assert_int_equal(resident(base, 0, 3), 3 * 512);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* Whoever wants frames while a block is punched gets none of that block, until it is done. */
static void create_now(void *arg)
{
	struct giving *g = arg;

	if (g->n++)
		return;
	CHECK(!quire_folio_create(g->probe->owner, 9, &g->made));
	CHECK(quire_folio_frame(g->made).n / 512 != g->not_in);
}

static void create_in_vain(void *arg)
{
	struct giving *g = arg;
	struct quire_folio *folio;

	if (g->n++)
		return;
	CHECK(quire_folio_create(g->probe->owner, 0, &folio) == -ENOMEM);
}

static void test_give_back_nobody_gets_frames_of_a_block_meanwhile(void **state)
{
	static struct field f;
	struct giving g = { 0 };
	const char *points[] = { "shrink:taken", "shrink:punched" };
	unsigned char *base;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(points); i++) {
		memset(&g, 0, sizeof(g));
		field_start(&f);
		base = field_touch(&f);
		g.probe = &f.without;
		g.not_in = 7;
		for (uint32_t b = 0; b < 6; b++)
			put_at(&f, 9, b * 512);
		at_point(points[i], NULL, create_now, &g);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), BLOCK_BYTES);
		assert_int_equal(g.n, 1);
		assert_int_equal(resident(base, 7, 1), 0);
		no_points();
		quire_folio_put(g.made);

		/* Where it is the last block there is nothing to be had, as the header says. */
		put_at(&f, 9, 6 * 512);
		put_at(&f, 9, 7 * 512);
		leave(&f.item[f.n - 1]);
		g.n = 0;
		at_point(points[i], NULL, create_in_vain, &g);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), BLOCK_BYTES);
		assert_int_equal(g.n, 1);
		no_points();
		field_end(&f);
	}
}

/* A punch that fails: the block is free as before, and what was given back is said. */
static void test_give_back_a_punch_that_fails_loses_nothing(void **state)
{
	static const char *const calls[] = { "os:punch", "os:data" };
	static struct field f;
	unsigned char *base;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		unsigned each = i ? 2 : 1; /* passed for each block */

		field_start(&f);
		base = field_touch(&f);
		put_at(&f, 0, 9);
		quire_fault_arm_(calls[i], 1, -EIO);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), -EIO);
		assert_true(quire_fault_disarm_());
		assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
		assert_int_equal(free_blocks(f.q, 0, BLOCKS), 7);
		assert_int_equal(stats_of(f.q).given_back_bytes, 0);
		quire_fault_arm_(calls[i], 2 * each + 1, -EIO);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 2 * BLOCK_BYTES);
		assert_true(quire_fault_disarm_());
		assert_int_equal(stats_of(f.q).given_back_bytes, 2 * BLOCK_BYTES);
		assert_int_equal(free_blocks(f.q, 0, BLOCKS), 7);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 5 * BLOCK_BYTES);
		field_end(&f);
	}
}

/* The file is the parent's. */
static void test_give_back_a_child_gives_nothing_of_its_parents(void **state)
{
	static struct field f;
	unsigned char *base;
	pid_t child;
	int status;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	put_at(&f, 0, 9);
	child = fork();
	if (!child) {
		alarm(10);
		_exit(quire_give_back(f.q, QUIRE_MAX) != -ENXIO);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
	field_end(&f);
}

/* Two threads make and drop folios while a third gives back: no content is ever lost. */
#define ROUNDS 600

struct worker {
	struct probe *probe;
	uint64_t seed;
	unsigned *running;
	unsigned rounds;
};

static void make_and_drop(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->rounds; i++) {
		unsigned order = (unsigned)(prng(&w->seed) % 10);
		struct quire_folio *folio;
		char *address;

		if (quire_folio_create(w->probe->owner, order, &folio))
			continue;
		address = quire_pin(folio);
		CHECK(address != NULL);
		content_write(address, w->seed, 4096u << order);
		sched_yield();
		CHECK(content_is(address, w->seed, 4096u << order));
		quire_unpin(folio);
		quire_folio_put(folio);
	}
	__atomic_sub_fetch(w->running, 1, __ATOMIC_SEQ_CST);
}

static void test_give_back_while_folios_come_and_go(void **state)
{
	struct quire *q = make_quire(4);
	unsigned running = 2;
	struct worker worker[2];
	struct hand hand[2];
	uint64_t given = 0;
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_NONE, &p);
	for (unsigned i = 0; i < 2; i++) {
		worker[i] = (struct worker){ &p, i + 1, &running, ROUNDS };
		hand_start(&hand[i]);
		hand_post(&hand[i], make_and_drop, &worker[i]);
	}
	while (SEE(&running)) {
		int64_t n = quire_give_back(q, QUIRE_MAX);

		CHECK(n >= 0);
		given += (uint64_t)n;
	}
	for (unsigned i = 0; i < 2; i++)
		hand_stop(&hand[i]);
	assert_int_equal(stats_of(q).given_back_bytes, given);
	assert_true(given > 0);
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_X33_a_range_is_emptied_for_what_lives_in_it),
		TEST(test_X33_an_empty_range_costs_nothing),
		TEST(test_X33_what_makes_no_range_is_refused),
		TEST(test_X33_no_place_is_in_the_range),
		TEST(test_X33_what_stays_in_a_range_is_named_and_the_rest_goes),
		TEST(test_X33_a_pin_that_went_is_in_no_ranges_way),
		TEST(test_X33_a_refusal_keeps_its_block_alone),
		TEST(test_X33_frames_that_an_owner_keeps_are_named),
		TEST(test_X33_nobody_allocates_in_a_range_meanwhile),
		TEST(test_X33_of_two_ranges_that_overlap_one_wins),
		TEST(test_X33_a_budget_ends_it_and_what_was_done_stays),
		TEST(test_give_back_what_is_resident_follows_what_lives),
		TEST(test_give_back_takes_whole_blocks_and_no_more_than_asked),
		TEST(test_give_back_leaves_what_a_reader_may_see),
		TEST(test_give_back_leaves_what_a_plan_works_on),
		TEST(test_give_back_nobody_gets_frames_of_a_block_meanwhile),
		TEST(test_give_back_a_punch_that_fails_loses_nothing),
		TEST(test_give_back_a_child_gives_nothing_of_its_parents),
		TEST(test_give_back_while_folios_come_and_go),
	};

	return cmocka_run_group_tests_name("goals", tests, NULL, NULL);
}

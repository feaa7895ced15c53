/* SPDX-License-Identifier: MIT */
/*
 * test_plan.c: plan and execute: what is promised in plan.h, on layouts that are placed by hand,
 * with every folio's content looked at afterwards. Layouts by seed are in test_layouts.c.
 */
#include "support.h"

#define HELLO 8192

static struct quire_result execute(struct quire_plan *plan, const struct quire_budget *budget,
				   int expected)
{
	struct quire_result r = { .size = sizeof(r) };

	assert_int_equal(quire_plan_execute(plan, budget, &r), expected);
	return r;
}

/* The blocker that names this folio, or NULL. */
static const struct quire_blocker *blocker_of(const struct quire_plan *plan,
					      const struct item *item)
{
	const struct quire_blocker *found = NULL;

	for (size_t i = 0; i < quire_plan_blockers(plan); i++) {
		const struct quire_blocker *b = quire_plan_blocker(plan, i);

		if (b->folio != item->folio)
			continue;
		assert_null(found); /* one entry for each folio that stays */
		found = b;
	}
	return found;
}

/* --- the example's figures ---------------------------------------------------------------- */

static void test_plan_hello_30_of_32_runs_and_the_pin_named(void **state)
{
	static struct item f[HELLO];
	const struct quire_blocker *b;
	struct quire_plan_info info;
	struct quire *q = make_quire(32);
	struct quire_plan *plan;
	struct quire_result r;
	struct probe cache;
	const char *site;

	(void)state;
	make_probe(q, "cache", OP_NONE, &cache);
	for (size_t i = 0; i < HELLO; i++)
		place(&cache, &f[i], 0, ANYWHERE, i);
	for (size_t i = 0; i < HELLO; i++)
		if (i % 8)
			drop(&f[i]);
	assert_non_null(quire_pin(f[0].folio)), site = QUIRE_SITE;
	plan = plan_of(q, 512, QUIRE_MAX);
	info = info_of(plan);
	assert_int_equal(info.runs, 30);
	assert_int_equal(info.runs_free, 16);
	assert_int_equal(info.feasible, 31);
	assert_int_equal(info.bytes, 7 * 512 * 1024);
	assert_int_equal(info.lower_bound_bytes, info.bytes);
	assert_int_equal(info.alignment_extra_bytes, 0);
	assert_int_equal(info.folios, 896);
	assert_int_equal(quire_plan_blockers(plan), 1);
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 30);
	assert_int_equal(r.bytes_moved, 7 * 512 * 1024);
	assert_int_equal(r.bytes_planned, r.bytes_moved);
	assert_int_equal(r.bytes_wasted, 0);
	assert_int_equal(r.bytes_recopied, 0);
	assert_int_equal(r.folios_moved, 896);
	assert_int_equal(r.folios_failed, 0);
	assert_int_equal(quire_plan_blockers(plan), 1);
	b = quire_plan_blocker(plan, 0);
	assert_string_equal(b->owner, "cache");
	assert_string_equal(b->reason, "pinned");
	assert_string_equal(b->site, site);
	assert_int_equal(b->thread, thread_id());
	assert_ptr_equal(b->folio, f[0].folio);
	assert_int_equal(empty_blocks(q), 30);
	quire_plan_destroy(plan);
	quire_unpin(f[0].folio);
	for (size_t i = 0; i < HELLO; i += 8) {
		assert_intact(&f[i]);
		drop(&f[i]);
	}
	assert_frames_free(q, 32 * 512);
	end_quire(q);
}

/* --- goals -------------------------------------------------------------------------------- */

/* Four blocks with 10, 20, 30, 40 folios of order 0 at their starts. */
#define STAIRS 4
struct stairs {
	struct quire *q;
	struct probe p;
	struct item items[STAIRS][40];
};

static void stairs_start(struct stairs *s, unsigned ops, unsigned blocks)
{
	s->q = make_quire(blocks);
	make_probe(s->q, "stairs", ops, &s->p);
	for (uint32_t b = 0; b < STAIRS; b++)
		place_row(&s->p, s->items[b], (b + 1) * 10, 0, b * 512, b * 1000);
}

static void stairs_end(struct stairs *s)
{
	assert_nothing_claimed(s->q);
	assert_ledger_closed(s->q);
	assert_frames_free(s->q, stats_of(s->q).frames - 100);
	for (uint32_t b = 0; b < STAIRS; b++) {
		assert_row_intact(s->items[b], (b + 1) * 10);
		drop_row(s->items[b], (b + 1) * 10);
	}
	assert_frames_free(s->q, stats_of(s->q).frames);
	end_quire(s->q);
}

static void test_plan_counts_and_the_cheapest_windows_first(void **state)
{
	static const uint64_t bytes[] = { 10, 30, 60 };
	static struct stairs s;

	(void)state;
	for (uint64_t count = 1; count <= 3; count++) {
		struct quire_plan *plan;
		struct quire_result r;

		stairs_start(&s, OP_ALL, 4);
		plan = plan_of(s.q, 512, count);
		assert_int_equal(info_of(plan).runs, count);
		assert_int_equal(info_of(plan).bytes, bytes[count - 1] * 4096);
		r = execute(plan, NULL, 0);
		assert_int_equal(r.obtained, count);
		assert_int_equal(r.bytes_moved, bytes[count - 1] * 4096);
		assert_int_equal(empty_blocks(s.q), count);
		for (uint32_t b = 0; b < count; b++)
			for (size_t i = 0; i < (b + 1) * 10; i++)
				assert_true(at_frame(&s.items[b][i]) / 512 >= count);
		quire_plan_destroy(plan);
		stairs_end(&s);
	}
}

static void test_plan_takes_free_runs_first_and_moves_nothing_for_them(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 8);
	plan = plan_of(s.q, 512, 4);
	assert_int_equal(info_of(plan).runs_free, 4);
	assert_int_equal(info_of(plan).bytes, 0);
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 4);
	assert_int_equal(r.bytes_moved, 0);
	assert_int_equal(s.p.isolates, 0);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

static void test_plan_long_windows(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 1024, 1);
	assert_int_equal(info_of(plan).feasible, 2);
	assert_int_equal(info_of(plan).bytes, 30 * 4096);
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 30 * 4096);
	for (uint32_t b = 0; b < 2; b++)
		for (size_t i = 0; i < (b + 1) * 10; i++)
			assert_true(at_frame(&s.items[b][i]) >= 1024);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

static void test_plan_refuses_goals_that_make_no_sense(void **state)
{
	static const struct quire_goal goals[] = {
		{ sizeof(struct quire_goal), (enum quire_goal_kind)0, 512, 1 },
		{ sizeof(struct quire_goal), (enum quire_goal_kind)99, 512, 1 },
		{ sizeof(struct quire_goal), QUIRE_GOAL_RUNS, 0, 1 },
		{ sizeof(struct quire_goal), QUIRE_GOAL_RUNS, 256, 1 },
		{ sizeof(struct quire_goal), QUIRE_GOAL_RUNS, 513, 1 },
		{ sizeof(struct quire_goal), QUIRE_GOAL_RUNS, 768, 1 },
		{ sizeof(struct quire_goal), QUIRE_GOAL_RUNS, 1u << 19, 1 },
		{ sizeof(struct quire_goal), QUIRE_GOAL_RUNS, 512, 0 },
		{ 0, QUIRE_GOAL_RUNS, 512, 1 },
	};
	struct quire *q = make_quire(2);
	struct quire_plan_info none = { .size = 0 };
	struct quire_plan *plan;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(goals); i++) {
		plan = NULL;
		assert_int_equal(quire_plan_create(q, &goals[i], &plan), -EINVAL);
		assert_null(plan);
	}
	plan = plan_of(q, 512, 1);
	assert_int_equal(quire_plan_info(plan, &none), -EINVAL);
	quire_plan_destroy(plan);
	quire_plan_destroy(NULL);
	end_quire(q);
}

/* --- what execute returns ----------------------------------------------------------------- */

static void test_plan_ebusy_when_pins_stand_in_every_window(void **state)
{
	struct deed d[STAIRS];
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;
	struct probe foreign;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	make_probe(s.q, "foreign", OP_NONE, &foreign);
	for (size_t b = 0; b < STAIRS; b++) {
		d[b] = (struct deed){ .folio = s.items[b][3].folio, .who = foreign.owner };
		deed_pin_long(&d[b]);
		assert_int_equal(d[b].code, 0);
	}
	plan = plan_of(s.q, 512, 1);
	assert_int_equal(info_of(plan).feasible, 0);
	assert_int_equal(info_of(plan).runs, 0);
	assert_int_equal(quire_plan_blockers(plan), STAIRS); /* known before */
	r = execute(plan, NULL, -EBUSY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	assert_int_equal(quire_plan_blockers(plan), STAIRS);
	for (size_t b = 0; b < STAIRS; b++) {
		const struct quire_blocker *who = quire_plan_blocker(plan, b);

		assert_ptr_equal(who->folio, s.items[b][3].folio); /* in the order of frames */
		assert_int_equal(who->why, QUIRE_REASON_LONG_PIN);
		assert_string_equal(who->owner, "foreign");
		assert_string_equal(who->site, d[b].site);
		deed_unpin_long(&d[b]);
	}
	quire_plan_destroy(plan);
	stairs_end(&s);
}

static void test_plan_enospc_when_nothing_finds_a_place(void **state)
{
	static struct item a[300], b[300];
	struct quire *q = make_quire(2);
	struct quire_plan *plan;
	struct quire_result r;
	struct probe p;

	(void)state;
	make_probe(q, "full", OP_ALL, &p);
	place_row(&p, a, 300, 0, 0, 0);
	place_row(&p, b, 300, 0, 512, 1000);
	plan = plan_of(q, 512, 1);
	assert_int_equal(info_of(plan).runs, 0);
	assert_int_equal(info_of(plan).feasible, 2);
	assert_int_equal(info_of(plan).no_place, 2);
	assert_int_equal(quire_plan_blockers(plan), 0);
	r = execute(plan, NULL, -ENOSPC);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	quire_plan_destroy(plan);
	assert_row_intact(a, 300);
	assert_row_intact(b, 300);
	assert_frames_free(q, 424);
	drop_row(a, 300);
	drop_row(b, 300);
	end_quire(q);
}

/* Frames enough, but none of them side by side where a large folio could go. */
static void test_plan_enospc_for_want_of_an_aligned_place(void **state)
{
	static struct item rows[2][256];
	struct quire *q = make_quire(3);
	struct quire_plan *plan;
	struct item large;
	struct probe p;

	(void)state;
	make_probe(q, "odd", OP_NONE, &p);
	place(&p, &large, 4, quire_frame(0), 7);
	for (uint32_t b = 0; b < 2; b++)
		for (uint32_t i = 0; i < 256; i++)
			place(&p, &rows[b][i], 0, quire_frame((b + 1) * 512 + i * 2), i);
	plan = plan_of(q, 512, 1);
	/* Block 0 is cheapest, but its folio of order 4 has no place; a block of 256 small folios
	 * fits into the gaps and behind the large one. */
	assert_int_equal(info_of(plan).runs, 1);
	assert_int_equal(info_of(plan).no_place, 1);
	assert_int_equal(info_of(plan).bytes, 256 * 4096);
	assert_int_equal(info_of(plan).lower_bound_bytes, 16 * 4096);
	assert_int_equal(info_of(plan).alignment_extra_bytes, 240 * 4096);
	assert_int_equal(execute(plan, NULL, 0).bytes_moved, 256 * 4096);
	quire_plan_destroy(plan);
	assert_intact(&large);
	for (uint32_t b = 0; b < 2; b++) {
		assert_row_intact(rows[b], 256);
		drop_row(rows[b], 256);
	}
	drop(&large);
	assert_frames_free(q, 3 * 512);
	end_quire(q);
}

static void test_plan_etimedout_names_what_it_waited_for(void **state)
{
	const struct quire_blocker *who;
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	quire_clock_set_(CLOCK_START);
	s.p.migrate_says = SCRIPT(-EAGAIN);
	plan = plan_of(s.q, 512, 1);
	r = execute(plan, QUIRE_BUDGET(.deadline_ns = 50 * MSEC, .folio_ns = 10 * SEC), -ETIMEDOUT);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	assert_in_range(r.elapsed_ns, 50 * MSEC, 70 * MSEC);
	assert_true(s.p.migrates > 1);
	assert_true(quire_plan_blockers(plan) >= 1);
	who = blocker_of(plan, &s.items[0][0]);
	assert_non_null(who);
	assert_int_equal(who->why, QUIRE_REASON_OWNER_BUSY);
	assert_string_equal(who->owner, "stairs");
	quire_plan_destroy(plan);
	s.p.migrate_says = SCRIPT(0);
	stairs_end(&s);
}

/* Waiting for one folio has an end of its own; then other windows are tried, and it is named. */
static void test_plan_folio_ns_ends_the_wait_for_one_folio(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;
	struct hand hand;
	struct deed d;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	hand_start(&hand);
	d = (struct deed){ .folio = s.items[0][2].folio };
	hand_do(&hand, deed_pin, &d);
	quire_clock_set_(CLOCK_START);
	plan = plan_of(s.q, 512, 1);
	assert_int_equal(info_of(plan).bytes, 10 * 4096); /* a short pin is expected to go */
	r = execute(plan, QUIRE_BUDGET(.folio_ns = 20 * MSEC), 0);
	assert_int_equal(r.obtained, 1);
	assert_true(r.replans >= 1);
	assert_int_equal(r.bytes_wasted, 9 * 4096);
	assert_in_range(r.elapsed_ns, 20 * MSEC, 40 * MSEC);
	assert_non_null(blocker_of(plan, &s.items[0][2]));
	assert_string_equal(blocker_of(plan, &s.items[0][2])->site, d.site);
	quire_plan_destroy(plan);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	stairs_end(&s);
}

static void test_plan_edquot_stops_at_the_byte_budget(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 512, 2);
	r = execute(plan, QUIRE_BUDGET(.bytes = 20 * 4096), -EDQUOT);
	assert_true(r.bytes_moved <= 20 * 4096);
	assert_int_equal(r.obtained, 1); /* the first window fits into it and is done */
	assert_int_equal(r.bytes_moved, 10 * 4096);
	assert_int_equal(empty_blocks(s.q), 1);
	quire_plan_destroy(plan);
	plan = plan_of(s.q, 512, 2); /* exactly enough */
	r = execute(plan, QUIRE_BUDGET(.bytes = 20 * 4096), 0);
	assert_int_equal(r.obtained, 2);
	assert_int_equal(r.bytes_moved, 20 * 4096);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

struct progress {
	unsigned calls, stop_at;
	uint64_t last_bytes;
};

static int on_progress(void *arg, const struct quire_result *so_far)
{
	struct progress *p = arg;

	CHECK(so_far->bytes_moved >= p->last_bytes);
	p->last_bytes = so_far->bytes_moved;
	return ++p->calls == p->stop_at;
}

static void test_plan_ecanceled_by_progress(void **state)
{
	struct progress never = { 0 }, first = { .stop_at = 1 };
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 512, 3);
	r = execute(plan, QUIRE_BUDGET(.progress = on_progress, .arg = &first), -ECANCELED);
	assert_int_equal(first.calls, 1);
	assert_int_equal(r.bytes_moved, first.last_bytes);
	quire_plan_destroy(plan);
	assert_nothing_claimed(s.q);
	plan = plan_of(s.q, 512, 3);
	r = execute(plan, QUIRE_BUDGET(.progress = on_progress, .arg = &never), 0);
	assert_int_equal(r.obtained, 3);
	assert_true(never.calls >= 1);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

static void test_plan_ealready_the_second_time(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 512, 1);
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(quire_plan_execute(plan, NULL, NULL), -EALREADY);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

/* --- vetoes ------------------------------------------------------------------------------- */

static void veto_some(struct probe *p, struct quire_folio *folio)
{
	struct item *it = quire_folio_private(folio);

	p->isolate_says = it->cookie == *(uint64_t *)p->arg ? SCRIPT(-EPERM) : SCRIPT(0);
}

static void test_plan_a_veto_abandons_the_window_and_another_is_chosen(void **state)
{
	static const uint64_t at[] = { 0, 5, 9 }; /* the first, a middle, the last of its window */

	(void)state;
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		const struct quire_blocker *who;
		static struct stairs s;
		struct quire_plan *plan;
		struct quire_result r;
		uint64_t cookie = at[i];

		stairs_start(&s, OP_ALL, 4);
		s.p.on_isolate = veto_some;
		s.p.arg = &cookie;
		plan = plan_of(s.q, 512, 1);
		assert_int_equal(info_of(plan).bytes, 10 * 4096);
		assert_int_equal(quire_plan_blockers(plan), 0); /* nobody knows it yet */
		r = execute(plan, NULL, 0);
		assert_int_equal(r.obtained, 1);
		assert_int_equal(r.replans, 1);
		/* Nothing was moved out of the first window: all of it for the second. */
		assert_int_equal(r.bytes_moved, 20 * 4096);
		assert_int_equal(r.bytes_wasted, 0);
		for (uint32_t k = 0; k < 10; k++) {
			assert_int_equal(at_frame(&s.items[0][k]), k);
			assert_int_equal(s.items[0][k].moved, 0);
			assert_item_ledger(&s.items[0][k]);
		}
		who = blocker_of(plan, &s.items[0][at[i]]);
		assert_non_null(who);
		assert_int_equal(who->why, QUIRE_REASON_VETO);
		assert_int_equal(who->code, -EPERM);
		assert_string_equal(who->owner, "stairs");
		assert_int_equal(who->frame.n, at[i]);
		assert_int_equal(quire_plan_blockers(plan), 1);
		quire_plan_destroy(plan);
		stairs_end(&s);
	}
}

static void test_plan_vetoes_everywhere_are_ebusy_with_all_of_them_named(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	s.p.isolate_says = SCRIPT(-EPERM);
	plan = plan_of(s.q, 512, 2);
	r = execute(plan, NULL, -EBUSY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	assert_int_equal(s.p.putbacks, 0);
	for (size_t b = 0; b < STAIRS; b++)
		assert_non_null(blocker_of(plan, &s.items[b][0]));
	quire_plan_destroy(plan);
	s.p.isolate_says = SCRIPT(0);
	stairs_end(&s);
}

/* An owner drops its own long pins when its migrate op asks for it: a plan counts on that. */
struct yielding {
	struct quire_pin *pin[40];
	struct item *items;
};

static int yields(struct probe *p, struct quire_batch *batch, int answer)
{
	struct yielding *y = p->arg;

	for (size_t i = 0; i < quire_batch_count(batch); i++) {
		struct item *it = quire_folio_private(quire_batch_folio(batch, i));
		size_t k = (size_t)(it - y->items);

		if (k < 40 && y->pin[k]) {
			quire_unpin_long(y->pin[k]);
			y->pin[k] = NULL;
		}
	}
	return probe_commit(p, batch, answer);
}

static void test_plan_counts_on_owners_to_drop_their_own_pins(void **state)
{
	static struct yielding y;
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	y = (struct yielding){ .items = s.items[0] };
	s.p.on_migrate = yields;
	s.p.arg = &y;
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(quire_pin_long(s.items[0][i].folio, s.p.owner, &y.pin[i]), 0);
	plan = plan_of(s.q, 512, 1);
	assert_int_equal(info_of(plan).bytes, 10 * 4096);
	assert_int_equal(quire_plan_blockers(plan), 0);
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 10 * 4096);
	for (size_t i = 0; i < 10; i++)
		assert_null(y.pin[i]);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

/* --- a plan is of its moment -------------------------------------------------------------- */

static void test_plan_copes_with_what_was_freed_since(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 512, 1);
	for (size_t i = 0; i < 10; i++) {
		drop(&s.items[0][i]);
		place(&s.p, &s.items[0][i], 0, quire_frame((uint32_t)(3 * 512 + 100 + i)), i);
	}
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_planned, 10 * 4096);
	assert_int_equal(r.bytes_moved, 0);
	quire_plan_destroy(plan);
	stairs_end(&s);
}

static void test_plan_copes_with_what_came_since(void **state)
{
	static struct item more[30];
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 512, 1);
	place_row(&s.p, more, 30, 0, 100, 77);
	/* Of another size than what the plan has a place for. */
	drop(&s.items[0][0]);
	assert_int_equal(quire_reclaim(s.q), 0);
	place(&s.p, &s.items[0][0], 3, quire_frame(200), 0);
	r = execute(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_planned, 10 * 4096);
	assert_int_equal(r.bytes_moved, (9 + 8 + 30) * 4096);
	for (size_t i = 0; i < 30; i++)
		assert_true(at_frame(&more[i]) >= 512);
	assert_row_intact(more, 30);
	drop_row(more, 30);
	quire_plan_destroy(plan);
	drop(&s.items[0][0]);
	place(&s.p, &s.items[0][0], 0, ANYWHERE, 0);
	stairs_end(&s);
}

static void put_it(void *arg)
{
	drop(arg);
}

static void test_plan_counts_what_is_freed_while_it_runs(void **state)
{
	static struct stairs s;
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	plan = plan_of(s.q, 512, 1);
	at_point("isolate:done", s.items[0][4].folio, put_it, &s.items[0][4]);
	r = execute(plan, NULL, 0);
	assert_int_equal(s.items[0][4].freed, 1);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.folios_freed, 1);
	assert_int_equal(r.folios_moved, 9);
	assert_int_equal(r.bytes_moved, 9 * 4096);
	no_points();
	quire_plan_destroy(plan);
	place(&s.p, &s.items[0][4], 0, ANYWHERE, 4);
	stairs_end(&s);
}

/* The deadline of a stuck reader: the run is not obtained, nothing is lost, the reader is named. */
static void test_plan_names_a_reader_that_stays_in_its_section(void **state)
{
	const struct quire_blocker *who = NULL;
	static struct stairs s;
	struct quire_plan *plan;
	struct hand hand;
	struct deed d;

	(void)state;
	stairs_start(&s, OP_ALL, 4);
	hand_start(&hand);
	d = (struct deed){ .folio = s.items[0][0].folio };
	hand_do(&hand, deed_enter, &d);
	quire_clock_set_(CLOCK_START);
	plan = plan_of(s.q, 512, 1);
	(void)execute(plan, QUIRE_BUDGET(.folio_ns = 20 * MSEC), -EBUSY);
	for (size_t i = 0; i < quire_plan_blockers(plan); i++)
		if (quire_plan_blocker(plan, i)->why == QUIRE_REASON_READER)
			who = quire_plan_blocker(plan, i);
	assert_int_equal(who ? who->thread : -1, hand.tid);
	assert_true(stats_of(s.q).stuck_readers >= 1);
	quire_plan_destroy(plan);
	hand_do(&hand, deed_leave, &d);
	hand_stop(&hand);
	stairs_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plan_hello_30_of_32_runs_and_the_pin_named),
		TEST(test_plan_counts_and_the_cheapest_windows_first),
		TEST(test_plan_takes_free_runs_first_and_moves_nothing_for_them),
		TEST(test_plan_long_windows),
		TEST(test_plan_refuses_goals_that_make_no_sense),
		TEST(test_plan_ebusy_when_pins_stand_in_every_window),
		TEST(test_plan_enospc_when_nothing_finds_a_place),
		TEST(test_plan_enospc_for_want_of_an_aligned_place),
		TEST(test_plan_etimedout_names_what_it_waited_for),
		TEST(test_plan_folio_ns_ends_the_wait_for_one_folio),
		TEST(test_plan_edquot_stops_at_the_byte_budget),
		TEST(test_plan_ecanceled_by_progress),
		TEST(test_plan_ealready_the_second_time),
		TEST(test_plan_a_veto_abandons_the_window_and_another_is_chosen),
		TEST(test_plan_vetoes_everywhere_are_ebusy_with_all_of_them_named),
		TEST(test_plan_counts_on_owners_to_drop_their_own_pins),
		TEST(test_plan_copes_with_what_was_freed_since),
		TEST(test_plan_copes_with_what_came_since),
		TEST(test_plan_counts_what_is_freed_while_it_runs),
		TEST(test_plan_names_a_reader_that_stays_in_its_section),
	};

	return cmocka_run_group_tests_name("plan and execute", tests, NULL, NULL);
}

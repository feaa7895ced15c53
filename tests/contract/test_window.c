/* SPDX-License-Identifier: MIT */
/*
 * test_window.c: contract X30 and X34 as libquire has them: what a plan knows to stay is not
 * touched, a window that turns out to be blocked is given up as a whole, and what was different
 * from the plan is named afterwards.
 */
#include "support.h"

/* Four blocks of 40 folios each, side by side. */
#define ROWS 4
#define EACH 40

struct stage {
	struct quire *q;
	struct probe p;
	struct quire_owner *holder;
	struct item row[ROWS][EACH];
	struct quire_result r;
	struct quire_plan *plan;
};

static void stage_start(struct stage *s)
{
	*s = (struct stage){ .q = make_quire(ROWS), .r = { .size = sizeof(s->r) } };
	make_probe(s->q, "probe", OP_ALL, &s->p);
	assert_int_equal(quire_owner_create(s->q, "holder", NULL, NULL, &s->holder), 0);
	for (uint32_t b = 0; b < ROWS; b++)
		place_row(&s->p, s->row[b], EACH, 0, b * 512, b * 1000);
}

static void stage_plan(struct stage *s, uint64_t count)
{
	assert_int_equal(quire_plan_create(
				 s->q,
				 QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = count),
				 &s->plan),
			 0);
}

/* Everything is intact, every isolation ended, and every frame comes back. */
static void stage_end(struct stage *s)
{
	quire_plan_destroy(s->plan);
	for (uint32_t b = 0; b < ROWS; b++) {
		assert_row_intact(s->row[b], EACH);
		for (size_t i = 0; i < EACH; i++)
			assert_item_ledger(&s->row[b][i]);
		drop_row(s->row[b], EACH);
	}
	assert_ledger_closed(s->q);
	assert_frames_free(s->q, ROWS * 512);
	end_quire(s->q);
}

static unsigned isolations(const struct item *row)
{
	unsigned n = 0;

	for (size_t i = 0; i < EACH; i++)
		n += row[i].isolated;
	return n;
}

static void assert_row_at(const struct item *row, uint32_t frame)
{
	for (size_t i = 0; i < EACH; i++)
		assert_int_equal(at_frame(&row[i]), frame + i);
}

static void test_X30_a_window_with_a_known_pin_is_not_begun(void **state)
{
	const struct quire_blocker *b;
	static struct stage s;
	struct quire_pin *pin;
	const char *site;

	(void)state;
	stage_start(&s);
	assert_int_equal(quire_pin_long(s.row[1][7].folio, s.holder, &pin), 0), site = QUIRE_SITE;
	stage_plan(&s, QUIRE_MAX);
	assert_int_equal(quire_plan_execute(s.plan, NULL, &s.r), 0);
	assert_int_equal(s.r.obtained, ROWS - 1);
	assert_int_equal(isolations(s.row[1]), 0);
	assert_row_at(s.row[1], 512);
	assert_int_equal(s.r.bytes_wasted, 0);
	assert_int_equal(quire_plan_blockers(s.plan), 1);
	b = quire_plan_blocker(s.plan, 0);
	assert_ptr_equal(b->folio, s.row[1][7].folio);
	assert_string_equal(b->owner, "holder");
	assert_string_equal(b->site, site);
	quire_unpin_long(pin);
	stage_end(&s);
}

/* Refuses the folio that arg names. */
static void refuse_one(struct probe *probe, struct quire_folio *folio)
{
	probe->isolate_says = folio == probe->arg ? SCRIPT(-EPERM) : SCRIPT(0);
}

static void test_X30_a_veto_gives_the_window_up_and_puts_back_what_was_taken(void **state)
{
	static struct stage s;
	unsigned taken;

	(void)state;
	stage_start(&s);
	s.p.on_isolate = refuse_one;
	s.p.arg = s.row[0][EACH - 1].folio; /* the last to be asked */
	stage_plan(&s, QUIRE_MAX);
	assert_int_equal(quire_plan_execute(s.plan, NULL, &s.r), 0);
	assert_int_equal(s.r.obtained, ROWS - 1);
	taken = isolations(s.row[0]);
	assert_true(taken >= EACH - 1); /* so the window was begun, */
	assert_row_at(s.row[0], 0);	/* and nothing of it moved */
	assert_int_equal(s.r.bytes_wasted, 0);
	assert_int_equal(quire_plan_blockers(s.plan), 1);
	assert_ptr_equal(quire_plan_blocker(s.plan, 0)->folio, s.row[0][EACH - 1].folio);
	assert_int_equal(quire_plan_blocker(s.plan, 0)->why, QUIRE_REASON_VETO);
	s.p.arg = NULL;
	stage_end(&s);
}

static void test_X34_a_pin_that_came_after_the_plan_is_named_by_its_execution(void **state)
{
	const struct quire_blocker *b;
	static struct stage s;
	struct quire_pin *pin;
	const char *site;

	(void)state;
	stage_start(&s);
	stage_plan(&s, QUIRE_MAX);
	assert_int_equal(quire_plan_blockers(s.plan), 0);
	assert_int_equal(quire_pin_long(s.row[0][3].folio, s.holder, &pin), 0), site = QUIRE_SITE;
	assert_int_equal(
		quire_plan_execute(s.plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), &s.r),
		0);
	assert_int_equal(s.r.obtained, ROWS - 1);
	assert_int_equal(at_frame(&s.row[0][3]), 3);
	assert_int_equal(quire_plan_blockers(s.plan), 1);
	b = quire_plan_blocker(s.plan, 0);
	assert_ptr_equal(b->folio, s.row[0][3].folio);
	assert_string_equal(b->owner, "holder");
	assert_string_equal(b->site, site);
	assert_int_equal(b->why, QUIRE_REASON_LONG_PIN);
	quire_unpin_long(pin);
	stage_end(&s);
}

static void test_X34_a_pin_that_went_after_the_plan_costs_nothing(void **state)
{
	static struct stage s;
	struct quire_pin *pin;

	(void)state;
	stage_start(&s);
	assert_int_equal(quire_pin_long(s.row[2][0].folio, s.holder, &pin), 0);
	stage_plan(&s, QUIRE_MAX);
	assert_int_equal(quire_plan_blockers(s.plan), 1);
	quire_unpin_long(pin);
	assert_int_equal(quire_plan_execute(s.plan, NULL, &s.r), 0);
	assert_int_equal(s.r.obtained, ROWS - 1);
	assert_int_equal(empty_blocks(s.q), ROWS - 1);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_X30_a_window_with_a_known_pin_is_not_begun),
		TEST(test_X30_a_veto_gives_the_window_up_and_puts_back_what_was_taken),
		TEST(test_X34_a_pin_that_came_after_the_plan_is_named_by_its_execution),
		TEST(test_X34_a_pin_that_went_after_the_plan_costs_nothing),
	};

	return cmocka_run_group_tests_name("contract, windows", tests, NULL, NULL);
}

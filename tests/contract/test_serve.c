/* SPDX-License-Identifier: MIT */
/*
 * test_serve.c: what a served host says of itself: who holds what, counters, the heat map, the last
 * plans; while a plan runs, and after it failed.
 */
#include "support.h"

#include "ask.h"

#define FRAMES 512u

/* --- who holds what --- */

static void test_explain_names_owners_and_what_they_have(void **state)
{
	struct quire *q = make_quire(4);
	struct probe small, large;
	struct item a[3], b;
	struct served s;

	(void)state;
	make_probe(q, "small", OP_NONE, &small);
	make_probe(q, "large", OP_ALL, &large);
	place_row(&small, a, COUNT_OF(a), 0, 5, 1);
	place(&large, &b, 9, quire_frame(FRAMES), 2);
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->owners, 2);
	assert_int_equal(owner_of(&s, "small")->folios, 3);
	assert_int_equal(owner_of(&s, "small")->frames, 3);
	assert_int_equal(owner_of(&s, "large")->folios, 1);
	assert_int_equal(owner_of(&s, "large")->frames, 512);
	assert_int_equal(owner_of(&s, "large")->pinned, 0);
	assert_int_equal(s.a->holds, 0);
	assert_int_equal(s.a->process, getpid());
	assert_string_equal(s.a->version, quire_version());
	serve_end(&s);
	drop_row(a, COUNT_OF(a));
	drop(&b);
	end_quire(q);
}

static void test_explain_names_a_long_pin_by_line_thread_and_age(void **state)
{
	struct quire *q = make_quire(2);
	struct probe cache, disk;
	struct quire_pin *pin[3];
	const struct answer_hold *h;
	struct item it[3];
	const char *site;
	struct served s;

	(void)state;
	quire_clock_set_(CLOCK_START);
	make_probe(q, "cache", OP_NONE, &cache);
	make_probe(q, "disk", OP_NONE, &disk);
	place_row(&cache, it, COUNT_OF(it), 1, 0, 1);
	for (size_t i = COUNT_OF(it); i-- > 0;) { /* that of the first frame is the youngest */
		/* clang-format off */
		site = QUIRE_SITE; assert_int_equal(quire_pin_long(it[i].folio, disk.owner, &pin[i]), 0);
		/* clang-format on */
		quire_clock_set_(CLOCK_START + (COUNT_OF(it) - i) * SEC);
	}
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->holds, 1);
	h = &s.a->hold[0];
	assert_string_equal(h->owner, "disk");
	assert_string_equal(h->site, site);
	assert_string_equal(h->reason, "LONG_PIN");
	assert_string_equal(h->text, quire_reason_text(QUIRE_REASON_LONG_PIN));
	assert_int_equal(h->thread, thread_id());
	assert_int_equal(h->pins, 3);
	assert_int_equal(h->frames, 6);
	assert_int_equal(h->age_ns, 3 * SEC);
	assert_true(h->stays);
	assert_int_equal(owner_of(&s, "cache")->pinned, 3);
	/* gone when they are */
	for (size_t i = 0; i < COUNT_OF(it); i++)
		quire_unpin_long(pin[i]);
	ask(&s);
	assert_int_equal(s.a->holds, 0);
	assert_int_equal(owner_of(&s, "cache")->pinned, 0);
	serve_end(&s);
	drop_row(it, COUNT_OF(it));
	end_quire(q);
}

/* An owner's own pin on its own folio goes when it is asked, if it can be. */
static void test_explain_says_which_pins_stay(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_pin *asked, *deaf;
	struct probe yields, legacy;
	struct item a, b;
	struct served s;

	(void)state;
	make_probe(q, "yields", OP_ALL, &yields);
	make_probe(q, "legacy", OP_NONE, &legacy);
	place(&yields, &a, 0, ANYWHERE, 1);
	place(&legacy, &b, 0, ANYWHERE, 2);
	assert_int_equal(quire_pin_long(a.folio, yields.owner, &asked), 0);
	assert_int_equal(quire_pin_long(b.folio, legacy.owner, &deaf), 0);
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->holds, 2);
	assert_false(hold_of(&s, "LONG_PIN", "yields")->stays);
	assert_true(hold_of(&s, "LONG_PIN", "legacy")->stays);
	serve_end(&s);
	quire_unpin_long(asked);
	quire_unpin_long(deaf);
	drop(&a);
	drop(&b);
	end_quire(q);
}

static void test_explain_names_short_pins_of_every_thread(void **state)
{
	struct two t;
	const struct answer_hold *h;
	struct served s;

	(void)state;
	two_start(&t);
	hand_do(&t.hand, deed_pin, &t.d);
	assert_non_null(t.d.address);
	serve(t.q, &s);
	ask(&s);
	assert_int_equal(s.a->holds, 1);
	h = &s.a->hold[0];
	assert_string_equal(h->reason, "SHORT_PIN");
	assert_string_equal(h->owner, quire_owner_name(t.p.owner));
	assert_string_equal(h->site, t.d.site);
	assert_int_equal(h->thread, t.hand.tid);
	assert_int_equal(h->pins, 1);
	assert_int_equal(h->frames, 1);
	hand_do(&t.hand, deed_unpin, &t.d);
	ask(&s);
	assert_int_equal(s.a->holds, 0);
	serve_end(&s);
	two_end(&t);
}

/* The age is that of the first look, or of a mover's first: no time-stamp a pin. */
static void test_explain_short_pin_ages_from_when_it_was_met(void **state)
{
	struct two t;
	struct served s;

	(void)state;
	quire_clock_set_(CLOCK_START);
	two_start(&t);
	hand_do(&t.hand, deed_pin, &t.d);
	serve(t.q, &s);
	ask(&s);
	assert_int_equal(s.a->hold[0].age_ns, 0);
	quire_clock_set_(CLOCK_START + 7 * SEC);
	ask(&s);
	assert_int_equal(s.a->hold[0].age_ns, 7 * SEC);
	serve_end(&s);
	hand_do(&t.hand, deed_unpin, &t.d);
	two_end(&t);
}

/* The ninth is a long one by itself, of the same reason and place. */
static void test_explain_counts_spilled_pins_with_the_short_ones(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_folio *f;
	struct probe p;
	struct item it;
	struct served s;
	uint64_t pins = 0;

	(void)state;
	make_probe(q, "p", OP_NONE, &p);
	place(&p, &it, 0, ANYWHERE, 1);
	f = it.folio;
	for (unsigned i = 0; i < QUIRE_SHORT_PINS + 3; i++)
		assert_non_null(quire_pin(f));
	serve(q, &s);
	ask(&s);
	for (size_t i = 0; i < s.a->holds; i++) {
		assert_string_equal(s.a->hold[i].reason, "SHORT_PIN");
		pins += s.a->hold[i].pins;
	}
	assert_int_equal(pins, QUIRE_SHORT_PINS + 3);
	for (unsigned i = 0; i < QUIRE_SHORT_PINS + 3; i++)
		quire_unpin(f);
	serve_end(&s);
	drop(&it);
	end_quire(q);
}

static void test_explain_names_what_was_freed_but_is_pinned(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_pin *pin;
	struct probe p;
	struct item it;
	struct served s;

	(void)state;
	make_probe(q, "p", OP_NONE, &p);
	place(&p, &it, 2, ANYWHERE, 1);
	assert_int_equal(quire_pin_long(it.folio, p.owner, &pin), 0);
	drop(&it);
	serve(q, &s);
	ask(&s);
	assert_int_equal(hold_of(&s, "RETIRED", "p")->frames, 4);
	assert_true(hold_of(&s, "RETIRED", "p")->stays);
	assert_int_equal(owner_of(&s, "p")->folios, 0);
	serve_end(&s);
	quire_unpin_long(pin);
	end_quire(q);
}

static void test_explain_names_a_reader_that_stays(void **state)
{
	struct two t;
	struct served s;

	(void)state;
	two_start(&t);
	hand_do(&t.hand, deed_enter, &t.d);
	serve(t.q, &s);
	/* something has moved since it entered */
	assert_int_equal(move_folio(t.it.folio, QUIRE_ASYNC, 0).code, 0);
	ask(&s);
	assert_int_equal(hold_of(&s, "READER", "")->thread, t.hand.tid);
	hand_do(&t.hand, deed_leave, &t.d);
	ask(&s);
	assert_null(hold_of(&s, "READER", ""));
	serve_end(&s);
	two_end(&t);
}

static struct served *asked_inside;

static void ask_in_isolate(struct probe *p, struct quire_folio *folio)
{
	(void)p;
	(void)folio;
	ask(asked_inside);
}

static void test_explain_names_an_op_that_runs(void **state)
{
	const struct answer_hold *h;
	struct one one;
	struct served s;

	(void)state;
	one_start(&one, OP_ALL);
	one.p.on_isolate = ask_in_isolate;
	asked_inside = &s;
	serve(one.q, &s);
	assert_int_equal(move_folio(one.it.folio, QUIRE_SYNC, 0).code, 0);
	h = hold_of(&s, "OWNER_BUSY", quire_owner_name(one.p.owner));
	assert_non_null(h);
	assert_string_equal(h->site, "isolate");
	assert_int_equal(h->thread, thread_id());
	one.p.on_isolate = NULL;
	serve_end(&s);
	one_end(&one);
}

/* --- counters and the heat map --- */

static void test_explain_counters_are_those_of_the_library(void **state)
{
	struct quire_stats now;
	struct one one;
	struct served s;

	(void)state;
	one_start(&one, OP_ALL);
	one.p.isolate_says = SCRIPT(-EPERM, 0);
	assert_int_equal(move_folio(one.it.folio, QUIRE_ASYNC, 0).code, -EPERM);
	assert_int_equal(move_folio(one.it.folio, QUIRE_ASYNC, 0).code, 0);
	serve(one.q, &s);
	ask(&s);
	now = stats_of(one.q);
#define SAME(name, text)                                                                           \
	assert_int_equal(answer_number(s.a->counter, s.a->counters, #name), now.name);
	QUIRE_COUNTERS(SAME)
#undef SAME
	assert_int_equal(answer_number(s.a->counter, s.a->counters, "moved"), 1);
	assert_int_equal(answer_number(s.a->state, s.a->states, "frames"), now.frames);
	assert_int_equal(answer_number(s.a->state, s.a->states, "frames_free"), now.frames_free);
	assert_int_equal(answer_number(s.a->state, s.a->states, "folios_live"), 1);
	assert_int_equal(s.a->reasons, 1);
	assert_string_equal(s.a->reason[0].name, "VETO");
	assert_string_equal(s.a->reason[0].text, quire_reason_text(QUIRE_REASON_VETO));
	assert_int_equal(s.a->reason[0].n, 1);
	serve_end(&s);
	one_end(&one);
}

static void test_explain_heat_map_is_that_of_the_blocks(void **state)
{
	struct quire *q = make_quire(6);
	struct quire_block_info info = { .size = sizeof(info) };
	struct item it[4], big;
	struct quire_pin *pin;
	struct served s;
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_NONE, &p);
	place_row(&p, it, COUNT_OF(it), 3, 2 * FRAMES, 1);
	place(&p, &big, 9, quire_frame(4 * FRAMES), 2);
	assert_int_equal(quire_pin_long(it[2].folio, p.owner, &pin), 0);
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->blocks, 6);
	assert_int_equal(s.a->looked, 6);
	assert_int_equal(s.a->per, 1);
	assert_int_equal(s.a->cells, 6);
	for (uint32_t b = 0; b < 6; b++) {
		assert_int_equal(quire_block_info(q, b, &info), 0);
		assert_int_equal(s.a->cell[b].used, info.used);
		assert_int_equal(s.a->cell[b].folios, info.folios);
		assert_int_equal(s.a->cell[b].pinned, info.long_pins);
		assert_int_equal(s.a->cell[b].claimed, info.claimed);
	}
	assert_int_equal(s.a->cell[2].used, 32);
	assert_int_equal(s.a->cell[2].pinned, 1);
	serve_end(&s);
	quire_unpin_long(pin);
	drop_row(it, COUNT_OF(it));
	drop(&big);
	end_quire(q);
}

/* --- plans --- */

/* Blocks 0 and 1 hold a folio each, that of block 1 pinned by legacy. */
struct planned {
	struct quire *q;
	struct probe p, legacy;
	struct item it[2];
	struct quire_pin *pin;
	const char *site;
	struct quire_plan *plan;
	struct served s;
};

static void planned_start(struct planned *t, uint64_t count)
{
	t->q = make_quire(4);
	make_probe(t->q, "mover", OP_ALL, &t->p);
	make_probe(t->q, "legacy", OP_NONE, &t->legacy);
	for (unsigned i = 0; i < 2; i++)
		place(&t->p, &t->it[i], 0, quire_frame(i * FRAMES + 3), i + 1);
	/* clang-format off */
	t->site = QUIRE_SITE; assert_int_equal(quire_pin_long(t->it[1].folio, t->legacy.owner, &t->pin), 0);
	/* clang-format on */
	t->plan = plan_of(t->q, FRAMES, count);
}

static void planned_end(struct planned *t)
{
	serve_end(&t->s);
	quire_plan_destroy(t->plan);
	quire_unpin_long(t->pin);
	drop_row(t->it, 2);
	end_quire(t->q);
}

static void test_explain_tells_of_a_plan_before_it_is_executed(void **state)
{
	const struct answer_plan *p;
	struct quire_plan_info info;
	struct planned t;

	(void)state;
	planned_start(&t, QUIRE_MAX);
	serve(t.q, &t.s);
	ask(&t.s);
	info = info_of(t.plan);
	assert_int_equal(t.s.a->plans, 1);
	p = &t.s.a->plan[0];
	assert_string_equal(p->state, "planned");
	assert_int_equal(p->frames, FRAMES);
	assert_int_equal(p->count, 0); /* as many as there can be */
	assert_int_equal(p->runs, info.runs);
	assert_int_equal(p->bytes, info.bytes);
	assert_int_equal(p->lower_bound_bytes, info.lower_bound_bytes);
	assert_int_equal(p->blockers_all, 1);
	assert_int_equal(p->blockers, 1);
	assert_string_equal(p->blocker[0].owner, "legacy");
	assert_string_equal(p->blocker[0].site, t.site);
	assert_string_equal(p->blocker[0].reason, "LONG_PIN");
	assert_int_equal(p->blocker[0].frame, FRAMES + 3);
	assert_int_equal(p->blocker[0].thread, thread_id());
	assert_int_equal(p->stays, 1);
	assert_int_equal(p->stay[0].n, 1);
	planned_end(&t);
}

static struct quire *asked_quire;

static void ask_now(void *served)
{
	ask(served);
}

/* The executing thread stands still in the middle of a plan, and is asked about. */
static void test_explain_while_a_plan_runs(void **state)
{
	struct at_point *point;
	const struct answer_plan *p;
	struct planned t;
	uint64_t claimed = 0;

	(void)state;
	planned_start(&t, QUIRE_MAX);
	point = at_point("plan:claimed", NULL, ask_now, &t.s);
	serve(t.q, &t.s);
	assert_int_equal(quire_plan_execute(t.plan, NULL, NULL), 0);
	assert_int_equal(hits(point), 1);
	p = &t.s.a->plan[0];
	assert_string_equal(p->state, "running");
	for (size_t i = 0; i < t.s.a->cells; i++)
		claimed += t.s.a->cell[i].claimed;
	assert_int_equal(claimed, p->runs);
	ask(&t.s);
	assert_string_equal(t.s.a->plan[0].state, "ended");
	assert_int_equal(t.s.a->plan[0].number, 1);
	planned_end(&t);
}

static void plan_much_and_ask(void *served)
{
	struct quire_plan *plan;

	for (unsigned i = 0; i < 20; i++) {
		plan = NULL;
		CHECK(!quire_plan_create(
			asked_quire,
			QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = FRAMES, .count = 1), &plan));
		quire_plan_destroy(plan);
	}
	ask(served);
}

/* However many plans are made meanwhile. */
static void test_explain_keeps_the_record_of_a_plan_that_runs(void **state)
{
	struct at_point *point;
	struct planned t;

	(void)state;
	planned_start(&t, QUIRE_MAX);
	asked_quire = t.q;
	point = at_point("plan:claimed", NULL, plan_much_and_ask, &t.s);
	serve(t.q, &t.s);
	assert_int_equal(quire_plan_execute(t.plan, NULL, NULL), 0);
	assert_int_equal(hits(point), 1);
	assert_int_equal(t.s.a->plans, 16);
	assert_int_equal(t.s.a->plan[0].number, 21);
	assert_string_equal(t.s.a->plan[0].state, "planned");
	assert_int_equal(t.s.a->plan[15].number, 1);
	assert_string_equal(t.s.a->plan[15].state, "running");
	planned_end(&t);
}

/* What it gave up so far, by name, while it goes on. */
static void test_explain_names_blockers_while_a_plan_runs(void **state)
{
	struct at_point *point;
	const struct answer_plan *p;
	struct planned t;

	(void)state;
	planned_start(&t, 4);
	t.p.isolate_says = SCRIPT(-EPERM);
	/* the second time, windows are chosen anew: a folio was refused */
	point = at_point_nth("plan:claimed", NULL, 2, 1, ask_now, &t.s);
	serve(t.q, &t.s);
	assert_int_equal(quire_plan_execute(t.plan, NULL, NULL), -EBUSY);
	assert_true(hits(point) >= 2);
	p = &t.s.a->plan[0];
	assert_string_equal(p->state, "running");
	assert_int_equal(p->blockers_all, 1);
	assert_string_equal(p->blocker[0].reason, "VETO");
	assert_string_equal(p->blocker[0].owner, "mover");
	assert_int_equal(p->blocker[0].code, -EPERM);
	assert_int_equal(p->blocker[0].frame, 3);
	planned_end(&t);
}

static void test_explain_after_a_plan_failed(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	const struct answer_plan *p;
	struct planned t;

	(void)state;
	planned_start(&t, 4);
	serve(t.q, &t.s);
	assert_int_equal(quire_plan_execute(t.plan, NULL, &r), -EBUSY);
	quire_plan_destroy(t.plan); /* the record outlives it */
	t.plan = NULL;
	ask(&t.s);
	assert_int_equal(t.s.a->plans, 1);
	p = &t.s.a->plan[0];
	assert_string_equal(p->state, "ended");
	assert_int_equal(p->code, -EBUSY);
	assert_int_equal(p->count, 4);
	assert_int_equal(p->obtained, r.obtained);
	assert_int_equal(p->bytes_moved, r.bytes_moved);
	assert_int_equal(p->folios_moved, r.folios_moved);
	assert_int_equal(p->stays, 1);
	assert_string_equal(p->stay[0].name, "LONG_PIN");
	assert_int_equal(p->stay[0].n, 1);
	assert_int_equal(p->blockers, 1);
	assert_string_equal(p->blocker[0].owner, "legacy");
	assert_string_equal(p->blocker[0].site, t.site);
	planned_end(&t);
}

static void test_explain_outlives_the_owners_it_names(void **state)
{
	struct planned t;

	(void)state;
	planned_start(&t, 4);
	serve(t.q, &t.s);
	assert_int_equal(quire_plan_execute(t.plan, NULL, NULL), -EBUSY);
	quire_plan_destroy(t.plan);
	t.plan = NULL;
	quire_unpin_long(t.pin);
	t.pin = NULL;
	assert_int_equal(quire_owner_destroy(t.legacy.owner), 0);
	ask(&t.s);
	assert_int_equal(t.s.a->owners, 1);
	assert_string_equal(t.s.a->plan[0].blocker[0].owner, "legacy");
	planned_end(&t);
}

/* An owner whose name a plan still has by address, and that is gone when the plan is executed. */
static void test_explain_follows_no_name_of_an_owner_that_is_gone(void **state)
{
	struct planned t;

	(void)state;
	planned_start(&t, QUIRE_MAX);
	serve(t.q, &t.s);
	quire_unpin_long(t.pin);
	t.pin = NULL;
	assert_int_equal(quire_owner_destroy(t.legacy.owner), 0);
	assert_int_equal(quire_plan_execute(t.plan, NULL, NULL), 0);
	ask(&t.s);
	assert_string_equal(t.s.a->plan[0].state, "ended");
	assert_int_equal(t.s.a->plan[0].blockers, 0);
	planned_end(&t);
}

static void test_explain_keeps_the_last_sixteen_plans(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_plan *plan[20];
	struct served s;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(plan); i++)
		plan[i] = plan_of(q, FRAMES, i + 1);
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->plans, 16);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(s.a->plan[i].number, 20 - i);
		assert_int_equal(s.a->plan[i].count, 20 - i);
	}
	/* one that has no record any more gets one when it is executed */
	assert_int_equal(quire_plan_execute(plan[0], NULL, NULL), 0);
	ask(&s);
	assert_int_equal(s.a->plan[0].number, 21);
	assert_int_equal(s.a->plan[0].count, 1);
	assert_string_equal(s.a->plan[0].state, "ended");
	serve_end(&s);
	for (unsigned i = 0; i < COUNT_OF(plan); i++)
		quire_plan_destroy(plan[i]);
	end_quire(q);
}

/* A new plan may lie where one was that is gone; its record is another. */
static void test_explain_plans_that_are_gone_keep_their_record(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_plan *plan;
	struct served s;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		quire_plan_destroy(plan_of(q, FRAMES, 1));
	plan = plan_of(q, FRAMES, 1);
	assert_int_equal(quire_plan_execute(plan, NULL, NULL), 0);
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->plans, 9);
	assert_string_equal(s.a->plan[0].state, "ended");
	for (unsigned i = 1; i < 9; i++)
		assert_string_equal(s.a->plan[i].state, "planned");
	serve_end(&s);
	quire_plan_destroy(plan);
	end_quire(q);
}

static void test_explain_tells_of_a_plan_that_could_not_be_made(void **state)
{
	struct quire *q = make_quire(2);
	struct quire_plan *plan;
	struct served s;

	(void)state;
	quire_fault_arm_("mem", 2, -ENOMEM); /* the plan is made; what it looks with is not */
	assert_int_equal(
		quire_plan_create(q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 7),
				  &plan),
		-ENOMEM);
	assert_true(quire_fault_disarm_());
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->plans, 1);
	assert_string_equal(s.a->plan[0].state, "ended");
	assert_int_equal(s.a->plan[0].code, -ENOMEM);
	assert_int_equal(s.a->plan[0].count, 7);
	serve_end(&s);
	end_quire(q);
}

/* --- what has no room, and what others chose --- */

static void test_explain_counts_what_it_has_no_row_for(void **state)
{
	enum { OWNERS = 300, PINS = 1100 };
	static char site[PINS][16];
	static struct quire_pin *pin[PINS];
	struct quire *q = make_quire(2);
	static struct probe p[OWNERS];
	struct item it;
	struct served s;
	uint64_t pins = 0;

	(void)state;
	for (unsigned i = 0; i < OWNERS; i++) {
		snprintf(site[0], sizeof(site[0]), "owner %u", i);
		make_probe(q, site[0], OP_NONE, &p[i]);
	}
	place(&p[0], &it, 0, ANYWHERE, 1);
	for (unsigned i = 0; i < PINS; i++) {
		snprintf(site[i], sizeof(site[i]), "site.c:%u", i);
		assert_int_equal(quire_pin_long_at_(it.folio, p[i % 4].owner, site[i], &pin[i]), 0);
	}
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->owners, 256);
	assert_int_equal(answer_number(s.a->left, s.a->lefts, "owners"), OWNERS - 256);
	assert_int_equal(s.a->holds, 1024);
	for (size_t i = 0; i < s.a->holds; i++)
		pins += s.a->hold[i].pins;
	assert_int_equal(pins + answer_number(s.a->left, s.a->lefts, "pins"), PINS);
	assert_int_equal(s.a->dropped, 0);
	serve_end(&s);
	for (unsigned i = 0; i < PINS; i++)
		quire_unpin_long(pin[i]);
	drop(&it);
	end_quire(q);
}

static void test_explain_names_cannot_forge_an_answer(void **state)
{
	static const char evil[] = "a\nend\nowner\tfake\t1\t1\t1\n\033[2J\\x0a\x7f";
	struct quire *q = make_quire(2);
	struct probe p;
	struct served s;

	(void)state;
	make_probe(q, evil, OP_NONE, &p);
	serve(q, &s);
	ask(&s);
	assert_int_equal(s.a->owners, 1);
	assert_string_equal(s.a->owner[0].name, "a?end?owner?fake?1?1?1??[2J\\x0a?");
	serve_end(&s);
	end_quire(q);
}

static void test_explain_two_quires_each_for_itself(void **state)
{
	struct quire *q[2] = { make_quire(2), make_quire(2) };
	struct served s[2], again;
	struct probe p[2];
	struct item it;

	(void)state;
	make_probe(q[0], "first", OP_NONE, &p[0]);
	make_probe(q[1], "second", OP_NONE, &p[1]);
	place(&p[0], &it, 0, ANYWHERE, 1);
	assert_non_null(quire_pin(it.folio));
	serve(q[0], &s[0]);
	serve(q[1], &s[1]);
	serve(q[1], &again); /* as many as the host likes */
	for (unsigned i = 0; i < 2; i++) {
		ask(&s[i]);
		assert_int_equal(s[i].a->owners, 1);
		assert_int_equal(s[i].a->holds, i == 0);
	}
	ask(&again);
	assert_string_equal(again.a->owner[0].name, "second");
	quire_unpin(it.folio);
	for (unsigned i = 0; i < 2; i++)
		serve_end(&s[i]);
	serve_end(&again);
	drop(&it);
	end_quire(q[0]);
	end_quire(q[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_explain_names_owners_and_what_they_have),
		TEST(test_explain_names_a_long_pin_by_line_thread_and_age),
		TEST(test_explain_says_which_pins_stay),
		TEST(test_explain_names_short_pins_of_every_thread),
		TEST(test_explain_short_pin_ages_from_when_it_was_met),
		TEST(test_explain_counts_spilled_pins_with_the_short_ones),
		TEST(test_explain_names_what_was_freed_but_is_pinned),
		TEST(test_explain_names_a_reader_that_stays),
		TEST(test_explain_names_an_op_that_runs),
		TEST(test_explain_counters_are_those_of_the_library),
		TEST(test_explain_heat_map_is_that_of_the_blocks),
		TEST(test_explain_tells_of_a_plan_before_it_is_executed),
		TEST(test_explain_while_a_plan_runs),
		TEST(test_explain_keeps_the_record_of_a_plan_that_runs),
		TEST(test_explain_names_blockers_while_a_plan_runs),
		TEST(test_explain_after_a_plan_failed),
		TEST(test_explain_outlives_the_owners_it_names),
		TEST(test_explain_follows_no_name_of_an_owner_that_is_gone),
		TEST(test_explain_keeps_the_last_sixteen_plans),
		TEST(test_explain_plans_that_are_gone_keep_their_record),
		TEST(test_explain_tells_of_a_plan_that_could_not_be_made),
		TEST(test_explain_counts_what_it_has_no_row_for),
		TEST(test_explain_names_cannot_forge_an_answer),
		TEST(test_explain_two_quires_each_for_itself),
	};

	return cmocka_run_group_tests_name("serve", tests, ask_setup, ask_teardown);
}

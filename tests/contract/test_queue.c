/* SPDX-License-Identifier: MIT */
/*
 * test_queue.c: plans that need the same blocks wait for one another, in order (contract W6).
 */
#include "field.h"

/* A plan that another thread executes. */
struct other {
	struct hand hand;
	struct quire_plan *plan;
	struct quire_budget budget;
	struct quire_result r;
	int code;
	struct gate waits; /* opened when it begins to wait for others */
	struct quire_blocker seen[4];
	size_t seen_n;
};

static void execute_other(void *arg)
{
	struct other *o = arg;

	o->code = quire_plan_execute(o->plan, &o->budget, &o->r);
}

static void other_start(struct other *o, struct quire_plan *plan)
{
	memset(o, 0, sizeof(*o));
	o->plan = plan;
	o->r.size = sizeof(o->r);
	o->budget.size = sizeof(o->budget);
	o->budget.queue_ns = 20 * SEC;
	gate_init(&o->waits);
	at_point_nth("queue:waiting", plan, 1, 1, gate_open, &o->waits);
	hand_start(&o->hand);
}

/* At a point of one execution: another begins, and gets as far as waiting for it. */
static void begin_and_wait(void *arg)
{
	struct other *o = arg;

	hand_post(&o->hand, execute_other, o);
	gate_pass(&o->waits);
	o->seen_n = quire_plan_blockers_now(o->plan, o->seen, COUNT_OF(o->seen));
}

static void other_end(struct other *o)
{
	hand_wait(&o->hand);
	hand_stop(&o->hand);
}

static void test_W6_overlapping_ranges_queue(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;
	struct other o;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < 4; b++)
		put_at(&f, 0, b * 512 + 7);
	plan = range_of(f.q, 0, 3);
	other_start(&o, range_of(f.q, 2, 2));
	at_point_nth("migrate:before", NULL, 1, 1, begin_and_wait, &o);
	r = run(plan, NULL, 0);
	other_end(&o);
	no_points();
	assert_int_equal(r.obtained, 3);
	assert_int_equal(r.bytes_moved, 3 * 4096);
	/* It had what the first one left: block 2 as free as it was, and 3 with what came there. */
	assert_int_equal(o.code, 0);
	assert_int_equal(o.r.obtained, 2);
	assert_int_equal(o.r.bytes_moved, 4 * 4096);
	assert_int_equal(bytes_in(&f, 2, 2), 0);
	/* Meanwhile it said whom it waited for. */
	assert_int_equal(o.seen_n, 1);
	assert_int_equal(o.seen[0].why, QUIRE_REASON_CLAIMED);
	assert_int_equal(o.seen[0].thread, thread_id());
	assert_int_equal(o.seen[0].frame.n, 2 * 512);
	quire_plan_destroy(o.plan);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* Of runs the same: one that finds too few elsewhere waits, and gets them. */
static void test_W6_overlapping_runs_queue(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;
	struct other o;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < BLOCKS; b++)
		put_at(&f, 0, b * 512 + 7);
	plan = plan_of(f.q, 512, BLOCKS - 1);
	other_start(&o, plan_of(f.q, 512, BLOCKS - 2));
	at_point_nth("migrate:before", NULL, 1, 1, begin_and_wait, &o);
	r = run(plan, NULL, 0);
	other_end(&o);
	no_points();
	assert_int_equal(r.obtained, BLOCKS - 1);
	assert_int_equal(r.bytes_moved, (BLOCKS - 1) * 4096);
	assert_int_equal(o.code, 0);
	assert_int_equal(o.r.obtained, BLOCKS - 2);
	assert_int_equal(o.r.bytes_moved, 0);
	quire_plan_destroy(o.plan);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* With windows enough elsewhere nobody waits. */
static void execute_at_once(void *arg)
{
	struct other *o = arg;

	hand_do(&o->hand, execute_other, o);
}

static void test_W6_runs_go_elsewhere_before_they_wait(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct other o;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < BLOCKS; b++)
		for (uint32_t k = 0; k <= b; k++)
			put_at(&f, 0, b * 512 + k);
	plan = plan_of(f.q, 512, 2);
	other_start(&o, plan_of(f.q, 512, 2));
	at_point_nth("migrate:before", NULL, 1, 1, execute_at_once, &o);
	run(plan, NULL, 0);
	other_end(&o);
	no_points();
	assert_int_equal(o.code, 0);
	assert_int_equal(o.r.obtained, 2);
	assert_true(o.r.replans > 0);
	assert_true(free_blocks(f.q, 0, BLOCKS) >= 4);
	quire_plan_destroy(o.plan);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* Three, each begun while the one before has or wants what it needs: in that order. */
struct three {
	struct other second, third;
	unsigned order[2], n;
};

static void begin_both(void *arg)
{
	struct three *t = arg;

	begin_and_wait(&t->second);
	begin_and_wait(&t->third);
}

static void second_closed(void *arg)
{
	struct three *t = arg;

	t->order[t->n++] = 2;
}

static void third_closed(void *arg)
{
	struct three *t = arg;

	t->order[t->n++] = 3;
}

static void test_W6_they_wait_in_the_order_they_began(void **state)
{
	static struct field f;
	static struct three t;
	struct quire_plan *plan;

	(void)state;
	memset(&t, 0, sizeof(t));
	field_start(&f);
	for (uint32_t b = 0; b < 5; b++)
		put_at(&f, 0, b * 512 + 7);
	plan = range_of(f.q, 1, 1);
	/* The third one wants a block that nobody has, but that the second one wants as well. */
	other_start(&t.second, range_of(f.q, 1, 2));
	other_start(&t.third, range_of(f.q, 2, 2));
	at_point("plan:closed", t.second.plan, second_closed, &t);
	at_point("plan:closed", t.third.plan, third_closed, &t);
	at_point_nth("migrate:before", NULL, 1, 1, begin_both, &t);
	run(plan, NULL, 0);
	other_end(&t.second);
	other_end(&t.third);
	no_points();
	assert_int_equal(t.second.code, 0);
	assert_int_equal(t.third.code, 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.order[0], 2);
	assert_int_equal(t.order[1], 3);
	assert_int_equal(t.second.seen[0].thread, thread_id());
	assert_int_equal(t.third.seen_n, 1);
	assert_int_equal(t.third.seen[0].thread, t.second.hand.tid);
	quire_plan_destroy(t.second.plan);
	quire_plan_destroy(t.third.plan);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* At the deadline it is in the way, by name; nothing was moved, and nothing is left closed. */
static void test_W6_the_deadline_names_whom_it_waited_for(void **state)
{
	static struct field f;
	const struct quire_blocker *b;
	struct quire_plan *plan;
	struct other o;

	(void)state;
	for (unsigned kind = 0; kind < 5; kind++) {
		field_start(&f);
		for (uint32_t i = 0; i < 4; i++)
			put_at(&f, 0, i * 512 + 7);
		plan = range_of(f.q, 0, 3);
		other_start(&o, range_of(f.q, 2, 2));
		o.budget.queue_ns = kind == 0 ? 2 * MSEC : 20 * SEC;
		o.budget.deadline_ns = kind == 1 ? 2 * MSEC : 0;
		o.budget.flags = kind == 2 ? QUIRE_BUDGET_NO_QUEUE : 0;
		o.budget.mode = kind == 3 ? QUIRE_ASYNC : QUIRE_SYNC_LIGHT;
		o.budget.mode_set = kind >= 3;
		at_point_nth("migrate:before", NULL, 1, 1, execute_at_once, &o);
		run(plan, NULL, 0);
		other_end(&o);
		no_points();
		assert_int_equal(o.code, kind == 1 ? -ETIMEDOUT : -EBUSY);
		assert_int_equal(o.r.obtained, 0);
		assert_int_equal(o.r.tries, 0);
		assert_int_equal(quire_plan_blockers(o.plan), 1);
		b = quire_plan_blocker(o.plan, 0);
		assert_int_equal(b->why, QUIRE_REASON_CLAIMED);
		assert_int_equal(b->frame.n, 2 * 512);
		assert_int_equal(b->thread, thread_id());
		assert_non_null(strstr(b->site, "field.c:"));
		quire_plan_destroy(o.plan);
		quire_plan_destroy(plan);
		field_end(&f);
	}
}

/* Two that want all there is, each of which has some of it: both get it, one after the other. */
struct both {
	struct other o;
	struct gate moves, waits;
};

static void begin_other(void *arg)
{
	struct both *b = arg;

	hand_post(&b->o.hand, execute_other, &b->o);
	gate_pass(&b->moves);
}

/* The other one has claims, and keeps them until the first one waits. */
static void hold_until_it_waits(void *arg)
{
	struct both *b = arg;

	gate_open(&b->moves);
	gate_pass(&b->waits);
}

static void test_W6_no_two_wait_for_each_other(void **state)
{
	static struct field f;
	struct quire_plan *plan;
	struct quire_result r;
	struct both b;

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		uint64_t count = k ? QUIRE_MAX : BLOCKS - 1;

		field_start(&f);
		for (uint32_t i = 0; i < BLOCKS; i++)
			put_at(&f, 0, i * 512 + 7);
		plan = plan_of(f.q, 512, count);
		other_start(&b.o, plan_of(f.q, 512, count));
		gate_init(&b.moves);
		gate_init(&b.waits);
		at_point_nth("plan:window", NULL, 2, 1, begin_other, &b);
		at_point_nth("migrate:before", NULL, 1, 1, hold_until_it_waits, &b);
		at_point_nth("queue:waiting", plan, 1, 1, gate_open, &b.waits);
		r = run(plan, QUIRE_BUDGET(.queue_ns = 20 * SEC), 0);
		other_end(&b.o);
		no_points();
		assert_int_equal(r.obtained, BLOCKS - 1);
		assert_int_equal(b.o.code, 0);
		assert_int_equal(b.o.r.obtained, BLOCKS - 1);
		quire_plan_destroy(b.o.plan);
		quire_plan_destroy(plan);
		field_end(&f);
	}
}

/* Many threads, plans of all kinds over one small arena: all of them end, nothing is lost. */
struct many {
	struct hand hand;
	struct field *f;
	uint64_t seed;
	unsigned met, ended;
};

static void plan_much(void *arg)
{
	struct many *m = arg;

	for (unsigned i = 0; i < 60; i++) {
		uint64_t x = prng(&m->seed);
		struct quire_goal goal = { .size = sizeof(goal) };
		struct quire_result r = { .size = sizeof(r) };
		struct quire_plan *plan;
		int code;

		goal.kind = (enum quire_goal_kind)(x % 3 + 1);
		goal.owner = x >> 8 & 1 ? m->f->without.owner : NULL;
		if (goal.kind == QUIRE_GOAL_RUNS) {
			goal.frames = x >> 16 & 1 ? 1024 : 512;
			goal.count = x >> 24 & 1 ? QUIRE_MAX : 1 + (x >> 32) % 3;
		} else if (goal.kind == QUIRE_GOAL_RANGE) {
			goal.first = quire_frame((uint32_t)(x >> 16) % 6 * 512);
			goal.frames = x >> 24 & 1 ? 1024 : 512;
		} else {
			goal.frames = 1 + (uint32_t)(x >> 16) % 1500;
		}
		CHECK(!quire_plan_create(m->f->q, &goal, &plan));
		code = quire_plan_execute(plan, QUIRE_BUDGET(.queue_ns = 5 * SEC), &r);
		CHECK(!code || code == -EBUSY || code == -ENOSPC);
		m->met += !code;
		m->ended++;
		quire_plan_destroy(plan);
	}
}

static void test_W6_plans_of_all_kinds_at_once_all_end(void **state)
{
	static struct many many[3];
	static struct field f;
	uint64_t seed = seed_of("queue", 6);
	unsigned met = 0;

	(void)state;
	field_start(&f);
	for (uint32_t b = 0; b < BLOCKS; b++)
		for (unsigned i = 0; i < 40; i++)
			put_at(&f, (unsigned)(prng(&seed) % 3), b * 512 + i * 4);
	for (unsigned i = 0; i < COUNT_OF(many); i++) {
		many[i] = (struct many){ .f = &f, .seed = prng(&seed) };
		hand_start(&many[i].hand);
		hand_post(&many[i].hand, plan_much, &many[i]);
	}
	for (unsigned i = 0; i < COUNT_OF(many); i++) {
		hand_join(&many[i].hand);
		assert_int_equal(many[i].ended, 60);
		met += many[i].met;
	}
	print_message("# %u of %u plans met their goal\n", met, 60 * (unsigned)COUNT_OF(many));
	assert_true(met > 0);
	assert_int_equal(stats_of(f.q).frames_extents, 0);
	field_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_W6_overlapping_ranges_queue),
		TEST(test_W6_overlapping_runs_queue),
		TEST(test_W6_runs_go_elsewhere_before_they_wait),
		TEST(test_W6_they_wait_in_the_order_they_began),
		TEST(test_W6_the_deadline_names_whom_it_waited_for),
		TEST(test_W6_no_two_wait_for_each_other),
		TEST(test_W6_plans_of_all_kinds_at_once_all_end),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_commit.c: inside of a migrate op: the commit and what it answers, leaving folios out, pins
 * of one's own, and what any op may and may not call (interfaces/owner.h).
 */
#include "support.h"

/* --- commit and skip ---------------------------------------------------------------------- */

static struct quire_batch *stale_;

static int commits_twice(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)p;
	(void)answer;
	stale_ = batch;
	CHECK(quire_move_commit(batch) == 0);
	CHECK(quire_batch_moved(batch, 0));
	CHECK(quire_move_commit(batch) == -EALREADY);
	CHECK(quire_batch_skip(batch, 0, -EIO) == -EALREADY);
	return 0;
}

static void test_commit_a_second_time_is_ealready(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_migrate = commits_twice;
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(o.it.moved, 1);
	assert_int_equal(stats_of(o.q).moved, 1);
	one_end(&o);
}

static void test_commit_of_a_stale_batch_is_einval(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_migrate = commits_twice;
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(quire_move_commit(stale_), -EINVAL);
	assert_int_equal(quire_move_commit(NULL), -EINVAL);
	assert_int_equal(quire_batch_skip(stale_, 0, -EIO), -EINVAL);
	one_end(&o);
}

struct elsewhere {
	struct hand *hand;
	struct quire_batch *batch;
	int commit, skip;
};

static void commit_elsewhere(void *arg)
{
	struct elsewhere *e = arg;

	/* A thread that the library knows: it has a record, and a batch of its own. */
	CHECK(quire_read_enter() == 0);
	quire_read_leave();
	e->commit = quire_move_commit(e->batch);
	e->skip = quire_batch_skip(e->batch, 0, -EIO);
}

static int has_another_thread_commit(struct probe *p, struct quire_batch *batch, int answer)
{
	struct elsewhere *e = p->arg;

	e->batch = batch;
	hand_do(e->hand, commit_elsewhere, e);
	CHECK(!quire_batch_moved(batch, 0));
	return probe_commit(p, batch, answer);
}

static void test_commit_in_another_thread_is_einval(void **state)
{
	struct elsewhere e = { 0 };
	struct hand hand;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	e.hand = &hand;
	o.p.arg = &e;
	o.p.on_migrate = has_another_thread_commit;
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(e.commit, -EINVAL);
	assert_int_equal(e.skip, -EINVAL);
	assert_int_equal(o.it.moved, 1);
	hand_stop(&hand);
	one_end(&o);
}

static int fails_after_the_commit(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)answer;
	CHECK(quire_move_commit(batch) == 0);
	return *(int *)p->arg;
}

static void test_commit_stands_whatever_the_op_then_returns(void **state)
{
	int errors[] = { -EIO, -EAGAIN, -EBUSY };
	static const unsigned counted[] = { 1, 0,
					    1 }; /* -EAGAIN: for what was not moved, nothing */

	(void)state;
	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		struct quire_move move;
		struct one o;
		uint32_t old;

		one_start(&o, OP_ALL);
		old = at_frame(&o.it);
		o.p.on_migrate = fails_after_the_commit;
		o.p.arg = &errors[i];
		move = move_folio(o.it.folio, QUIRE_SYNC, 0);
		assert_int_equal(move.code, 0);
		assert_int_equal(move.who.why, QUIRE_REASON_NONE);
		assert_int_not_equal(at_frame(&o.it), old);
		assert_int_equal(o.p.migrates, 1);
		assert_int_equal(o.p.putbacks, 0);
		assert_int_equal(stats_of(o.q).owner_errors, counted[i]);
		one_end(&o);
	}
}

/* The old place is freed after the op has returned, not before: a device may still look there. */
static int allocates_all_after_the_commit(struct probe *p, struct quire_batch *batch, int answer)
{
	uint32_t *old = p->arg;
	struct quire_folio *folio;

	CHECK(probe_commit(p, batch, answer) == 0);
	CHECK(quire_folio_create_with(p->owner, QUIRE_FOLIO(.at_set = 1, .at = quire_frame(*old)),
				      &folio) == -EBUSY);
	return 0;
}

static void test_commit_keeps_the_old_place_until_the_op_has_returned(void **state)
{
	struct quire_folio *folio;
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	old = at_frame(&o.it);
	o.p.on_migrate = allocates_all_after_the_commit;
	o.p.arg = &old;
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(quire_reclaim(o.q), 0);
	assert_int_equal(quire_folio_create_with(o.p.owner,
						 QUIRE_FOLIO(.at_set = 1, .at = quire_frame(old)),
						 &folio),
			 0);
	quire_folio_put(folio);
	one_end(&o);
}

struct own_pin {
	struct item *it;
	struct quire_pin *pin;
	int first;
};

static int drops_its_pin_late(struct probe *p, struct quire_batch *batch, int answer)
{
	struct own_pin *own = p->arg;

	(void)answer;
	own->first = quire_move_commit(batch);
	CHECK(!quire_batch_moved(batch, 0));
	quire_unpin_long(own->pin);
	own->pin = NULL;
	return quire_move_commit(batch);
}

static void test_commit_eagain_with_a_pin_then_again(void **state)
{
	struct own_pin own = { 0 };
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &own.pin), 0);
	o.p.on_migrate = drops_its_pin_late;
	o.p.arg = &own;
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_equal(own.first, -EAGAIN);
	assert_null(own.pin);
	assert_int_equal(o.p.migrates, 1);
	assert_int_equal(o.it.moved, 1);
	one_end(&o);
}

static int pins_for_a_while(struct probe *p, struct quire_batch *batch, int answer)
{
	struct quire_folio *folio = quire_batch_folio(batch, 0);
	struct item *it = quire_folio_private(folio);
	struct quire_pin *pin;
	void *content = quire_pin(folio);

	/* Pinning one's own folio between isolate and commit is allowed (no deadlock, no wait). */
	CHECK(content && content_is(content, it->cookie, 4096));
	it->cookie += 17;
	content_write(content, it->cookie, 4096);
	quire_unpin(folio);
	CHECK(quire_pin_long(folio, p->owner, &pin) == 0);
	quire_unpin_long(pin);
	return probe_commit(p, batch, answer);
}

static void test_commit_after_pins_of_ones_own_loses_no_store(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_migrate = pins_for_a_while;
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_intact(&o.it);
	}
	one_end(&o);
}

static int skips_odd_ones(struct probe *p, struct quire_batch *batch, int answer)
{
	size_t n = quire_batch_count(batch);

	(void)p;
	CHECK(quire_batch_skip(batch, n, -EIO) == -EINVAL);
	CHECK(quire_batch_skip(batch, 0, 0) == -EINVAL);
	CHECK(quire_batch_skip(batch, 0, 5) == -EINVAL);
	for (size_t i = 0; i < n; i++) {
		struct item *it = quire_folio_private(quire_batch_folio(batch, i));

		if (it->cookie % 2)
			CHECK(quire_batch_skip(batch, i, -EPERM) == 0);
	}
	CHECK(quire_move_commit(batch) == 0);
	for (size_t i = 0; i < n; i++) {
		struct item *it = quire_folio_private(quire_batch_folio(batch, i));

		CHECK(quire_batch_moved(batch, i) == (it->cookie % 2 == 0));
	}
	return answer;
}

static void test_skip_leaves_a_folio_out(void **state)
{
	static struct item row[10];
	struct quire_move moves[10];
	struct quire *q = make_quire(2);
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	p.on_migrate = skips_odd_ones;
	place_row(&p, row, 10, 0, 0, 0);
	assert_int_equal(move_row(row, 10, moves, QUIRE_SYNC, 0), 5);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(moves[i].code, i % 2 ? -EPERM : 0);
		assert_int_equal(row[i].moved, i % 2 ? 0 : 1);
		assert_int_equal(row[i].putback, i % 2 ? 1 : 0);
		assert_int_equal(row[i].offered, 1);
		assert_item_ledger(&row[i]);
	}
	assert_row_intact(row, 10);
	assert_frames_free(q, 1024 - 10);
	drop_row(row, 10);
	end_quire(q);
}

static int skips_twice(struct probe *p, struct quire_batch *batch, int answer)
{
	if (p->migrates <= 2)
		CHECK(quire_batch_skip(batch, 0, -EAGAIN) == 0);
	return probe_commit(p, batch, answer);
}

static void test_skip_with_eagain_is_tried_again(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_migrate = skips_twice;
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(o.p.migrates, 3);
	o.p.migrates = 0;
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(o.p.migrates, 1);
	one_end(&o);
}

/* A pinned one falls out of the batch; the others go. */
static void test_commit_moves_the_rest_of_a_batch_with_a_pinned_one(void **state)
{
	static struct item row[5];
	struct quire_move moves[5];
	struct quire *q = make_quire(2);
	struct hand hand;
	struct deed d;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, row, 5, 0, 0, 0);
	hand_start(&hand);
	d = (struct deed){ .folio = row[2].folio };
	hand_do(&hand, deed_pin, &d);
	assert_int_equal(move_row(row, 5, moves, QUIRE_ASYNC, 0), 1);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(moves[i].code, i == 2 ? -EAGAIN : 0);
		assert_int_equal(row[i].putback, i == 2 ? 1 : 0);
		assert_item_ledger(&row[i]);
	}
	assert_int_equal(moves[2].who.why, QUIRE_REASON_SHORT_PIN);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	assert_row_intact(row, 5);
	drop_row(row, 5);
	end_quire(q);
}

/* --- what an op may call ------------------------------------------------------------------ */

struct inside {
	struct quire_plan *plan;
	struct quire_folio *other;
	unsigned ran;
};

static void calls_from_inside(struct probe *p, struct quire_folio *folio)
{
	struct inside *in = p->arg;
	struct quire_move move = { .folio = in->other };
	struct quire_plan *plan = NULL;
	struct quire_folio *fresh;

	(void)folio;
	in->ran++;
	CHECK(quire_move_folios(p->quire, &move, 1, QUIRE_ASYNC, 0) == -EDEADLK);
	CHECK(quire_plan_create(p->quire,
				QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 1),
				&plan) == -EDEADLK);
	CHECK(quire_plan_execute(in->plan, NULL, NULL) == -EDEADLK);
	CHECK(quire_owner_destroy(p->owner) == -EDEADLK);
	CHECK(quire_destroy(p->quire) == -EDEADLK);
	/* Allowed: folios, references, pins, statistics. */
	CHECK(quire_folio_create(p->owner, 2, &fresh) == 0);
	CHECK(quire_pin(fresh) != NULL);
	quire_unpin(fresh);
	CHECK(quire_folio_get(fresh));
	quire_folio_put(fresh);
	quire_folio_put(fresh);
	CHECK(stats_of(p->quire).frames == 4 * 512);
	CHECK(quire_owner_name(p->owner)[0] == 'p');
}

static int calls_from_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	calls_from_inside(p, NULL);
	return probe_commit(p, batch, answer);
}

static void test_ops_may_call_much_and_get_edeadlk_for_the_rest(void **state)
{
	struct inside in = { 0 };
	struct item other;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	place(&o.p, &other, 0, ANYWHERE, 2);
	assert_int_equal(
		quire_plan_create(o.q,
				  QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 1),
				  &in.plan),
		0);
	in.other = other.folio;
	o.p.arg = &in;
	o.p.on_isolate = calls_from_inside;
	o.p.on_putback = calls_from_inside;
	o.p.on_migrate = calls_from_migrate;
	o.p.migrate_says = SCRIPT(-EIO, 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, -EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(in.ran, 5);
	/* Outside of the op all of it works again. */
	assert_int_equal(move_folio(other.folio, QUIRE_SYNC, 0).code, 0);
	quire_plan_destroy(in.plan);
	o.p.on_isolate = NULL;
	o.p.on_migrate = NULL;
	drop(&other);
	drop(&o.it);
	assert_frames_free(o.q, 4 * 512);
	end_quire(o.q);
}

struct hang {
	struct gate entered, leave;
};

static int hangs(struct probe *p, struct quire_batch *batch, int answer)
{
	struct hang *h = p->arg;

	gate_open(&h->entered);
	gate_pass(&h->leave);
	return probe_commit(p, batch, answer);
}

static void test_an_op_that_hangs_strands_its_own_folios_only(void **state)
{
	struct hang h;
	struct hand hand;
	struct deed d;
	struct probe other;
	struct item free_;
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	make_probe(o.q, "other", OP_ALL, &other);
	place(&other, &free_, 0, ANYWHERE, 5);
	gate_init(&h.entered);
	gate_init(&h.leave);
	o.p.arg = &h;
	o.p.on_migrate = hangs;
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .mode = QUIRE_SYNC };
	hand_post(&hand, deed_move, &d);
	gate_pass(&h.entered);
	assert_int_equal(move_folio(free_.folio, QUIRE_SYNC, 0).code, 0);
	assert_intact(&o.it); /* pins and readers of the stranded one go on */
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_ISOLATED);
	gate_open(&h.leave);
	hand_wait(&hand);
	assert_int_equal(d.move.code, 0);
	hand_stop(&hand);
	assert_intact(&free_);
	drop(&free_);
	one_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_commit_a_second_time_is_ealready),
		TEST(test_commit_of_a_stale_batch_is_einval),
		TEST(test_commit_in_another_thread_is_einval),
		TEST(test_commit_stands_whatever_the_op_then_returns),
		TEST(test_commit_keeps_the_old_place_until_the_op_has_returned),
		TEST(test_commit_eagain_with_a_pin_then_again),
		TEST(test_commit_after_pins_of_ones_own_loses_no_store),
		TEST(test_skip_leaves_a_folio_out),
		TEST(test_skip_with_eagain_is_tried_again),
		TEST(test_commit_moves_the_rest_of_a_batch_with_a_pinned_one),
		TEST(test_ops_may_call_much_and_get_edeadlk_for_the_rest),
		TEST(test_an_op_that_hangs_strands_its_own_folios_only),
	};

	return cmocka_run_group_tests_name("commit and skip", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_c.c: contract C, isolate, migrate, putback: C5-C18, C25, C27, C28, the holes H-C1 to H-C6,
 * and what an op may and may not call. Not here: C1-C4, C11's copy and C15 (the state word is the
 * library's; an owner cannot touch it), C19-C24, C26 (other owners' own affairs).
 */
#include "support.h"

struct one {
	struct quire *q;
	struct probe p;
	struct item it;
	uint64_t free_before;
};

static void one_start(struct one *o, unsigned ops)
{
	o->q = make_quire(4);
	make_probe(o->q, "probe", ops, &o->p);
	place(&o->p, &o->it, 1, ANYWHERE, 0xbeef);
	o->free_before = stats_of(o->q).frames_free;
}

static void one_end(struct one *o)
{
	assert_intact(&o->it);
	assert_item_ledger(&o->it);
	assert_ledger_closed(o->q);
	assert_false(quire_folio_on_the_move(o->it.folio));
	assert_frames_free(o->q, o->free_before);
	assert_int_equal(o->it.freed, 0);
	drop(&o->it);
	assert_int_equal(o->it.freed, 1);
	assert_frames_free(o->q, 4 * 512);
	end_quire(o->q);
}

/* --- registration ------------------------------------------------------------------------- */

static int any_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	(void)folio;
	(void)mode;
	(void)arg;
	return 0;
}

static int any_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	(void)mode;
	(void)arg;
	return quire_move_commit(batch);
}

static void any_putback(struct quire_folio *folio, void *arg)
{
	(void)folio;
	(void)arg;
}

static void any_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	(void)folio;
	(void)reason;
	(void)arg;
}

#define OPS(...)                                                                                   \
	(&(const struct quire_owner_ops){ .size = sizeof(struct quire_owner_ops), __VA_ARGS__ })

static int try_owner(struct quire *q, const char *name, const struct quire_owner_ops *ops)
{
	struct quire_owner *owner = NULL;
	int code = quire_owner_create(q, name, ops, NULL, &owner);

	if (!code)
		assert_int_equal(quire_owner_destroy(owner), 0);
	return code;
}

static void test_C1_registration_checks_pairs(void **state)
{
	static const struct quire_owner_ops sizeless = { .putback = NULL };
	struct quire *q = make_quire(1);

	(void)state;
	assert_int_equal(try_owner(q, "a", OPS(.isolate = any_isolate)), -EINVAL);
	assert_int_equal(try_owner(q, "a", OPS(.isolate = any_isolate, .migrate = any_migrate)),
			 -EINVAL);
	assert_int_equal(try_owner(q, "a", OPS(.putback = any_putback)), -EINVAL);
	assert_int_equal(try_owner(q, "a", OPS(.putback = any_putback, .free = any_free)), -EINVAL);
	assert_int_equal(try_owner(q, "a", &sizeless), -EINVAL);
	assert_int_equal(try_owner(q, "a", NULL), 0);
	assert_int_equal(try_owner(q, "a", OPS(.free = any_free)), 0);
	assert_int_equal(try_owner(q, "a", OPS(.migrate = any_migrate)), 0);
	assert_int_equal(try_owner(q, "a", OPS(.isolate = any_isolate, .putback = any_putback)), 0);
	assert_int_equal(try_owner(q, "a", OPS(.migrate = any_migrate, .putback = any_putback)), 0);
	end_quire(q);
}

static void test_C1_registration_checks_the_name(void **state)
{
	char name[65], copy[64];
	struct quire_owner *owner, *twin;
	struct quire *q = make_quire(1);

	(void)state;
	memset(name, 'n', sizeof(name));
	name[64] = 0;
	assert_int_equal(try_owner(q, NULL, NULL), -EINVAL);
	assert_int_equal(try_owner(q, "", NULL), -EINVAL);
	assert_int_equal(try_owner(q, name, NULL), -EINVAL);
	name[63] = 0;
	memcpy(copy, name, sizeof(copy));
	assert_int_equal(quire_owner_create(q, name, NULL, &q, &owner), 0);
	name[0] = 'x'; /* it was copied */
	assert_string_equal(quire_owner_name(owner), copy);
	assert_ptr_equal(quire_owner_arg(owner), &q);
	assert_ptr_equal(quire_owner_quire(owner), q);
	/* It need not be unique. */
	assert_int_equal(quire_owner_create(q, copy, NULL, NULL, &twin), 0);
	assert_ptr_not_equal(owner, twin);
	assert_int_equal(quire_owner_destroy(twin), 0);
	assert_int_equal(quire_owner_destroy(owner), 0);
	assert_int_equal(quire_owner_destroy(NULL), 0);
	end_quire(q);
}

/* --- isolate ------------------------------------------------------------------------------ */

static void others_go_on(struct probe *p, struct quire_folio *folio)
{
	struct deed *d = p->arg;

	/* No lock of the library is held: another thread can do anything with this folio (C5). */
	by_hand_pin(d);
	CHECK(d->address != NULL);
	by_hand_unpin(d);
	hand_do(d->hand, deed_get, d);
	CHECK(d->got);
	by_hand_put(d);
	CHECK(quire_folio_on_the_move(folio));
}

static void test_C5_isolate_runs_without_locks_while_others_go_on(void **state)
{
	struct at_point *waits;
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand };
	o.p.arg = &d;
	o.p.on_isolate = others_go_on;
	waits = at_point("pin:waiting", NULL, NULL, NULL);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(o.p.isolates, 1);
	assert_int_equal(hits(waits), 0);
	no_points();
	hand_stop(&hand);
	one_end(&o);
}

static void test_C6_a_veto_is_final_and_nothing_follows(void **state)
{
	static const int vetoes[] = { -EPERM, -EBUSY, -ENOMEM, -EIO };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(vetoes); i++) {
		struct quire_move move;
		struct one o;
		uint32_t old;

		one_start(&o, OP_ALL);
		old = at_frame(&o.it);
		o.p.isolate_says = SCRIPT(vetoes[i], 0);
		move = move_folio(o.it.folio, QUIRE_SYNC, 0);
		assert_int_equal(move.code, vetoes[i]);
		assert_int_equal(move.who.why, QUIRE_REASON_VETO);
		assert_string_equal(move.who.owner, "probe");
		assert_int_equal(o.p.isolates, 1);
		assert_int_equal(o.p.migrates, 0);
		assert_int_equal(o.p.putbacks, 0);
		assert_int_equal(stats_of(o.q).isolated, 0);
		assert_int_equal(stats_of(o.q).putbacks, 0);
		assert_int_equal(at_frame(&o.it), old);
		assert_false(quire_folio_on_the_move(o.it.folio));
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
		one_end(&o);
	}
}

static void test_C6_isolate_eagain_is_tried_again_by_the_mode(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	quire_clock_set_(CLOCK_START);
	o.p.isolate_says = SCRIPT(-EAGAIN);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_int_equal(o.p.isolates, 1);
	o.p.isolate_says = SCRIPT(-EAGAIN, -EAGAIN, -EAGAIN, 0);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(o.p.isolates, 5);
	o.p.isolate_says = SCRIPT(-EAGAIN);
	o.p.isolates = 0;
	move = move_folio(o.it.folio, QUIRE_SYNC, 5 * MSEC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_true(o.p.isolates > 1);
	assert_int_equal(o.p.putbacks, 0); /* none of them was an isolation */
	one_end(&o);
}

static void test_C7_of_two_isolators_one_wins_and_the_loser_asks_nobody(void **state)
{
	static const char *const steps[] = { "isolate:marked", "isolate:done", "migrate:before",
					     "commit:marked", "commit:copied" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct hand hand;
		struct deed d;
		struct one o;

		one_start(&o, OP_ALL);
		hand_start(&hand);
		d = (struct deed){ .folio = o.it.folio, .hand = &hand, .mode = QUIRE_ASYNC };
		at_point(steps[i], o.it.folio, by_hand_move, &d);
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
		assert_int_equal(d.move.code, -EAGAIN);
		assert_int_equal(d.move.who.why, QUIRE_REASON_ISOLATED);
		assert_int_equal(o.p.isolates, 1);
		assert_int_equal(o.p.migrates, 1);
		assert_int_equal(o.p.putbacks, 0);
		no_points();
		hand_stop(&hand);
		one_end(&o);
	}
}

static void inside_isolate_by_hand_move(struct probe *p, struct quire_folio *folio)
{
	(void)folio;
	p->on_isolate = NULL;
	by_hand_move(p->arg);
}

static void test_C7_a_vetoed_winner_leaves_it_to_be_isolated_again(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand, .mode = QUIRE_ASYNC };
	o.p.arg = &d;
	o.p.on_isolate = inside_isolate_by_hand_move;
	o.p.isolate_says = SCRIPT(-EPERM, 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).who.why, QUIRE_REASON_VETO);
	assert_int_equal(d.move.who.why, QUIRE_REASON_ISOLATED);
	assert_int_equal(o.p.isolates, 1);
	hand_do(&hand, deed_move, &d);
	assert_int_equal(d.move.code, 0);
	hand_stop(&hand);
	one_end(&o);
}

/* C9: isolate on a folio that its owner is freeing: the mover's reference keeps it until the end.
 */
static void test_C9_freed_while_being_isolated(void **state)
{
	struct quire_move move;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	d = (struct deed){ .folio = o.it.folio };
	at_point("isolate:marked", o.it.folio, deed_put, &d);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_FREED);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.p.migrates, 0);
	assert_int_equal(o.p.putbacks, 0);
	assert_item_ledger(&o.it);
	assert_ledger_closed(o.q);
	assert_frames_free(o.q, 4 * 512);
	end_quire(o.q);
}

/* --- migrate ------------------------------------------------------------------------------ */

static void test_C12_identity_stays_with_the_folio(void **state)
{
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	for (unsigned i = 0; i < 20; i++) {
		old = at_frame(&o.it);
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
		assert_int_not_equal(at_frame(&o.it), old);
		assert_ptr_equal(quire_folio_private(o.it.folio), &o.it);
		assert_ptr_equal(quire_folio_owner(o.it.folio), o.p.owner);
		assert_int_equal(quire_folio_order(o.it.folio), 1);
		assert_false(quire_folio_on_the_move(o.it.folio));
	}
	assert_int_equal(o.it.isolated, 20);
	assert_int_equal(o.it.moved, 20);
	assert_int_equal(o.p.frees, 0); /* a move is no free (H-E4) */
	one_end(&o);
}

/*
 * C13 as libquire has it: each try is whole. Nothing stays isolated while the mover sleeps, so the
 * owner may use, free or hand out the folio between two tries.
 */
static void test_C13_eagain_undoes_everything_and_tries_again(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	quire_clock_set_(CLOCK_START);
	o.p.migrate_says = SCRIPT(-EAGAIN, -EAGAIN, -EAGAIN, 0);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.tries, 4);
	assert_int_equal(o.p.migrates, 4);
	assert_int_equal(o.p.isolates, 4);
	assert_int_equal(o.p.putbacks, 3);
	one_end(&o);
}

static void test_C13_freed_between_two_tries(void **state)
{
	struct quire_move move;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	quire_clock_set_(CLOCK_START);
	o.p.migrate_says = SCRIPT(-EAGAIN);
	d = (struct deed){ .folio = o.it.folio };
	/* The caller's own reference must live as long as the call: the mover has it here. */
	assert_true(quire_folio_get(o.it.folio));
	at_point_nth("isolate:marked", o.it.folio, 3, 2, deed_put, &d);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_FREED);
	assert_int_equal(o.p.migrates, 3);
	assert_int_equal(o.it.freed, 1);
	assert_item_ledger(&o.it);
	assert_ledger_closed(o.q);
	assert_frames_free(o.q, 4 * 512);
	end_quire(o.q);
}

static void test_C14_any_other_error_is_not_tried_again(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.migrate_says = SCRIPT(-EIO, 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, -EIO);
	assert_int_equal(o.p.migrates, 1);
	assert_int_equal(o.p.putbacks, 1);
	one_end(&o);
}

static int lazy(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)p;
	(void)batch;
	return answer;
}

static void test_C14_an_op_that_returns_0_without_a_commit(void **state)
{
	struct quire_move move;
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	old = at_frame(&o.it);
	o.p.on_migrate = lazy;
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, -EPROTO);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_PROTO);
	assert_int_equal(o.p.migrates, 1);
	assert_int_equal(o.it.putback, 1);
	assert_int_equal(at_frame(&o.it), old);
	assert_int_equal(stats_of(o.q).not_moved[QUIRE_REASON_OWNER_PROTO], 1);
	o.p.on_migrate = NULL;
	one_end(&o);
}

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
	CHECK(content && content_is(content, it->cookie, 8192));
	it->cookie += 17;
	content_write(content, it->cookie, 8192);
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

/* --- putback ------------------------------------------------------------------------------ */

enum failure {
	FAIL_EIO,
	FAIL_EAGAIN,
	FAIL_PROTO,
	FAIL_SHORT_PIN,
	FAIL_LONG_PIN,
	FAIL_COPY,
	FAIL_BARRIER,
	FAIL_FRAMES,
	FAIL_SKIP,
	FAIL_KINDS,
};

static int skips_all(struct probe *p, struct quire_batch *batch, int answer)
{
	CHECK(quire_batch_skip(batch, 0, -EPERM) == 0);
	return probe_commit(p, batch, answer);
}

static void test_C16_putback_exactly_once_however_a_move_fails(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < FAIL_KINDS; kind++) {
		struct quire_move move;
		struct probe foreign;
		struct hand hand;
		struct deed d;
		struct one o;
		uint32_t old;

		one_start(&o, OP_ALL);
		make_probe(o.q, "foreign", OP_NONE, &foreign);
		hand_start(&hand);
		old = at_frame(&o.it);
		d = (struct deed){ .folio = o.it.folio, .who = foreign.owner };
		quire_clock_set_(CLOCK_START);
		switch (kind) {
		case FAIL_EIO:
			o.p.migrate_says = SCRIPT(-EIO);
			break;
		case FAIL_EAGAIN:
			o.p.migrate_says = SCRIPT(-EAGAIN);
			break;
		case FAIL_PROTO:
			o.p.on_migrate = lazy;
			break;
		case FAIL_SHORT_PIN:
			hand_do(&hand, deed_pin, &d);
			break;
		case FAIL_LONG_PIN:
			hand_do(&hand, deed_pin_long, &d);
			break;
		case FAIL_COPY:
			quire_fault_arm_("copy", 1, -EHWPOISON);
			break;
		case FAIL_BARRIER:
			quire_fault_arm_("os:membarrier", 1, -ENOSYS);
			break;
		case FAIL_FRAMES:
			quire_fault_arm_("frame:alloc", 1, -ENOMEM);
			break;
		default:
			o.p.on_migrate = skips_all;
			break;
		}
		move = move_folio(o.it.folio, kind == FAIL_EAGAIN ? QUIRE_SYNC : QUIRE_ASYNC,
				  10 * MSEC);
		if (kind == FAIL_COPY || kind == FAIL_BARRIER || kind == FAIL_FRAMES)
			assert_true(quire_fault_disarm_());
		assert_int_not_equal(move.code, 0);
		assert_int_equal(at_frame(&o.it), old);
		assert_true(o.it.isolated >= 1);
		assert_int_equal(o.it.putback, o.it.isolated);
		assert_int_equal(o.p.frees, 0);
		assert_item_ledger(&o.it);
		assert_int_equal(stats_of(o.q).putbacks, o.it.putback);
		if (kind == FAIL_SHORT_PIN)
			hand_do(&hand, deed_unpin, &d);
		if (kind == FAIL_LONG_PIN)
			hand_do(&hand, deed_unpin_long, &d);
		o.p.on_migrate = NULL;
		o.p.migrate_says = SCRIPT(0);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		hand_stop(&hand);
		one_end(&o);
	}
}

static void still_mine(struct probe *p, struct quire_folio *folio)
{
	/* Isolated until the op has returned: nobody else can have it meanwhile. */
	by_hand_move(p->arg);
	CHECK(((struct deed *)p->arg)->move.who.why == QUIRE_REASON_ISOLATED);
	CHECK(quire_folio_on_the_move(folio));
}

static void test_C16_putback_runs_before_the_isolation_ends(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand, .mode = QUIRE_ASYNC };
	o.p.arg = &d;
	o.p.on_putback = still_mine;
	o.p.migrate_says = SCRIPT(-EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, -EIO);
	assert_int_equal(o.p.putbacks, 1);
	assert_int_equal(o.p.isolates, 1);
	hand_stop(&hand);
	one_end(&o);
}

static void test_C17_the_mover_puts_back(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .mode = QUIRE_SYNC };
	o.p.migrate_says = SCRIPT(-EIO);
	hand_do(&hand, deed_move, &d);
	assert_int_equal(d.move.code, -EIO);
	assert_int_equal(o.p.putbacks, 1);
	assert_int_equal(o.p.thread, hand.tid);
	hand_stop(&hand);
	one_end(&o);
}

static void test_C16_an_owner_without_isolate_gets_putback_too(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_MIGRATE | OP_PUTBACK);
	o.p.migrate_says = SCRIPT(-EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, -EIO);
	assert_int_equal(o.p.putbacks, 1);
	assert_intact(&o.it);
	drop(&o.it);
	assert_ledger_closed(o.q);
	end_quire(o.q);
}

/* --- C18: the owner frees after isolation ------------------------------------------------- */

static void free_at(const char *point, int migrate_answer, unsigned migrates)
{
	struct quire_move move;
	struct deed d;
	struct one o;

	one_start(&o, OP_ALL);
	d = (struct deed){ .folio = o.it.folio };
	o.p.migrate_says = SCRIPT(migrate_answer);
	at_point(point, o.it.folio, deed_put, &d);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(o.p.isolates, 1);
	assert_int_equal(o.p.migrates, migrates);
	assert_int_equal(o.p.putbacks, 0);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_reason, QUIRE_FREE_PUT);
	assert_item_ledger(&o.it);
	assert_ledger_closed(o.q);
	assert_frames_free(o.q, 4 * 512);
	no_points();
	end_quire(o.q);
}

static void test_C18a_freed_before_migrate_reaches_no_op(void **state)
{
	(void)state;
	free_at("isolate:done", 0, 0);
}

static void test_C18b_freed_between_reaches_no_op(void **state)
{
	(void)state;
	free_at("migrate:before", 0, 0);
}

static void test_C18c_freed_before_putback_reaches_no_putback(void **state)
{
	(void)state;
	free_at("putback:before", -EIO, 1);
}

static void test_C18_freed_during_the_commit(void **state)
{
	(void)state;
	free_at("commit:marked", 0, 1);
	free_at("commit:scanned", 0, 1);
	free_at("commit:copied", 0, 1);
	free_at("commit:published", 0, 1);
}

static int put_then_commit(struct probe *p, struct quire_batch *batch, int answer)
{
	deed_put(p->arg);
	return probe_commit(p, batch, answer);
}

static int commit_then_put(struct probe *p, struct quire_batch *batch, int answer)
{
	int code = probe_commit(p, batch, answer);

	deed_put(p->arg);
	return code;
}

static void test_C18_freed_inside_of_migrate(void **state)
{
	int (*const ways[])(struct probe *, struct quire_batch *, int) = { put_then_commit,
									   commit_then_put };
	static const int answers[] = { 0, -EIO, -EAGAIN };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ways) * COUNT_OF(answers); i++) {
		struct quire_move move;
		struct deed d;
		struct one o;

		one_start(&o, OP_ALL);
		d = (struct deed){ .folio = o.it.folio };
		o.p.arg = &d;
		o.p.on_migrate = ways[i % 2];
		o.p.migrate_says = SCRIPT(answers[i / 2]);
		move = move_folio(o.it.folio, QUIRE_SYNC, 0);
		assert_int_equal(move.code, 0);
		assert_int_equal(o.p.migrates, 1);
		assert_int_equal(o.p.putbacks, 0);
		assert_int_equal(o.it.freed, 1);
		assert_int_equal(o.it.free_thread, thread_id());
		assert_item_ledger(&o.it);
		assert_ledger_closed(o.q);
		assert_frames_free(o.q, 4 * 512);
		end_quire(o.q);
	}
}

/* The same in a batch: the others are not disturbed. */
static void test_C18_one_of_many_is_freed(void **state)
{
	static const char *const steps[] = { "isolate:done", "migrate:before", "commit:copied" };

	(void)state;
	for (size_t s = 0; s < COUNT_OF(steps); s++) {
		static struct item row[6];
		struct quire_move moves[6];
		struct quire *q = make_quire(2);
		struct probe p;
		struct deed d;

		make_probe(q, "probe", OP_ALL, &p);
		place_row(&p, row, 6, 0, 0, 0);
		d = (struct deed){ .folio = row[3].folio };
		at_point(steps[s], row[3].folio, deed_put, &d);
		assert_int_equal(move_row(row, 6, moves, QUIRE_SYNC, 0), 0);
		assert_int_equal(p.putbacks, 0);
		for (size_t i = 0; i < 6; i++) {
			assert_int_equal(row[i].freed, i == 3);
			assert_item_ledger(&row[i]);
			if (i == 3)
				continue;
			assert_int_equal(row[i].moved, 1);
			assert_intact(&row[i]);
			drop(&row[i]);
		}
		assert_frames_free(q, 1024);
		no_points();
		end_quire(q);
	}
}

static void put_then_get(void *arg)
{
	struct deed *d = arg;

	/* A reader found it in the index, its owner lets it go, the reader takes a reference. */
	hand_do(d->hand, deed_enter, d);
	deed_put(d);
	d->got = quire_folio_get(d->folio);
	hand_do(d->hand, deed_leave, d);
}

/* Down to the mover's reference alone, and found again before the mover looked: it lives on. */
static void test_C18_let_go_and_found_again(void **state)
{
	static const char *const steps[] = { "isolate:marked", "isolate:done", "migrate:before",
					     "commit:copied", "putback:before" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct quire_move move;
		struct hand hand;
		struct deed d;
		struct one o;

		one_start(&o, OP_ALL);
		hand_start(&hand);
		d = (struct deed){ .folio = o.it.folio, .hand = &hand };
		if (i == 4)
			o.p.migrate_says = SCRIPT(-EIO);
		at_point(steps[i], o.it.folio, put_then_get, &d);
		move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
		assert_true(d.got);
		assert_int_equal(move.code, i == 4 ? -EIO : 0);
		assert_int_equal(move.who.why,
				 i == 4 ? QUIRE_REASON_OWNER_ERROR : QUIRE_REASON_NONE);
		assert_int_equal(o.p.frees, 0);
		no_points();
		hand_stop(&hand);
		one_end(&o);
	}
}

/* --- C25 to C28 and the holes ------------------------------------------------------------- */

static void test_C25_who_uses_the_content_blocks_the_move_and_no_longer(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	old = at_frame(&o.it);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_pin, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EAGAIN);
	assert_int_equal(at_frame(&o.it), old);
	o.it.cookie = 4711;
	content_write(d.address, o.it.cookie, 8192); /* the address held */
	hand_do(&hand, deed_unpin, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	hand_stop(&hand);
	one_end(&o);
}

static void test_C27_folios_of_every_order_move(void **state)
{
	struct quire *q = make_quire(8);
	struct item it;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++) {
		place(&p, &it, order, ANYWHERE, order);
		for (unsigned i = 0; i < 3; i++) {
			uint32_t old = at_frame(&it);

			assert_int_equal(move_folio(it.folio, QUIRE_SYNC, 0).code, 0);
			assert_int_not_equal(at_frame(&it), old);
			assert_int_equal(at_frame(&it) & ((1u << order) - 1), 0);
			assert_intact(&it);
		}
		drop(&it);
		assert_frames_free(q, 8 * 512);
	}
	end_quire(q);
}

/* C28: what is no live folio is rejected before anything is touched. A descriptor is type-stable,
 * so looking at a dead one is defined. */
static void test_C28_a_dead_folio_is_rejected_untouched(void **state)
{
	struct quire_move move;
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_enter, &d); /* keeps the descriptor from being used again */
	drop(&o.it);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_true(move.code < 0);
	assert_int_equal(move.who.why, QUIRE_REASON_STALE);
	assert_int_equal(o.p.isolates, 0);
	assert_int_equal(o.it.freed, 1);
	hand_do(&hand, deed_leave, &d);
	hand_stop(&hand);
	assert_frames_free(o.q, 4 * 512);
	end_quire(o.q);
}

struct again {
	struct hand *hand;
	struct quire *q;
	unsigned ready;
};

static void get_ready(void *arg)
{
	struct again *a = arg;

	PUT(&a->ready, 1u);
	quire_movable_again(a->q);
}

static int busy_until_ready(struct probe *p, struct quire_batch *batch, int answer)
{
	struct again *a = p->arg;

	if (p->migrates == 1) {
		hand_post(a->hand, get_ready, a);
		return -EAGAIN;
	}
	return SEE(&a->ready) ? probe_commit(p, batch, answer) : -EAGAIN;
}

/* H-C2: there is an event to wait for, so a busy owner is not polled through the deadline. */
static void test_HC2_movable_again_ends_the_wait(void **state)
{
	struct again a = { 0 };
	struct hand hand;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	a = (struct again){ .hand = &hand, .q = o.q };
	o.p.arg = &a;
	o.p.on_migrate = busy_until_ready;
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 30 * SEC).code, 0);
	hand_wait(&hand);
	hand_stop(&hand);
	quire_movable_again(o.q); /* with nobody waiting: nothing */
	one_end(&o);
}

static void test_HC3_one_op_for_a_batch(void **state)
{
	static struct item row[100];
	struct quire *q = make_quire(2);
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, row, 100, 0, 0, 0);
	assert_int_equal(move_row(row, 100, NULL, QUIRE_SYNC, 0), 0);
	assert_int_equal(p.isolates, 100);
	assert_in_range(p.migrates, 1, 10);
	drop_row(row, 100);
	end_quire(q);
}

static void test_HC4_every_reason_has_a_text_and_a_counter(void **state)
{
	(void)state;
	for (unsigned i = 0; i < QUIRE_REASON_COUNT; i++) {
		const char *text = quire_reason_text((enum quire_reason)i);

		assert_non_null(text);
		assert_true(strlen(text) > 3);
		assert_string_not_equal(text, "unknown");
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(text, quire_reason_text((enum quire_reason)k));
	}
	assert_string_equal(quire_reason_text(QUIRE_REASON_COUNT), "unknown");
	assert_string_equal(quire_reason_text((enum quire_reason)12345), "unknown");
}

static void test_HC6_owner_destroy_waits_for_nothing_and_loses_nothing(void **state)
{
	struct quire *q = make_quire(2);
	struct probe p, holder;
	struct quire_pin *pin;
	struct item it;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	make_probe(q, "holder", OP_NONE, &holder);
	place(&p, &it, 0, ANYWHERE, 1);
	assert_int_equal(quire_pin_long(it.folio, holder.owner, &pin), 0);
	assert_int_equal(quire_owner_destroy(p.owner), -EBUSY);
	assert_int_equal(quire_owner_destroy(holder.owner), -EBUSY); /* it holds a named pin */
	assert_intact(&it);
	drop(&it);
	assert_int_equal(p.frees, 1);
	assert_int_equal(quire_owner_destroy(p.owner), -EBUSY); /* retired counts */
	quire_unpin_long(pin);
	assert_int_equal(quire_owner_destroy(holder.owner), 0);
	assert_int_equal(quire_reclaim(q), 0);
	assert_int_equal(quire_owner_destroy(p.owner), 0);
	assert_int_equal(p.frees, 1);
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
		TEST(test_C1_registration_checks_pairs),
		TEST(test_C1_registration_checks_the_name),
		TEST(test_C5_isolate_runs_without_locks_while_others_go_on),
		TEST(test_C6_a_veto_is_final_and_nothing_follows),
		TEST(test_C6_isolate_eagain_is_tried_again_by_the_mode),
		TEST(test_C7_of_two_isolators_one_wins_and_the_loser_asks_nobody),
		TEST(test_C7_a_vetoed_winner_leaves_it_to_be_isolated_again),
		TEST(test_C9_freed_while_being_isolated),
		TEST(test_C12_identity_stays_with_the_folio),
		TEST(test_C13_eagain_undoes_everything_and_tries_again),
		TEST(test_C13_freed_between_two_tries),
		TEST(test_C14_any_other_error_is_not_tried_again),
		TEST(test_C14_an_op_that_returns_0_without_a_commit),
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
		TEST(test_C16_putback_exactly_once_however_a_move_fails),
		TEST(test_C16_putback_runs_before_the_isolation_ends),
		TEST(test_C17_the_mover_puts_back),
		TEST(test_C16_an_owner_without_isolate_gets_putback_too),
		TEST(test_C18a_freed_before_migrate_reaches_no_op),
		TEST(test_C18b_freed_between_reaches_no_op),
		TEST(test_C18c_freed_before_putback_reaches_no_putback),
		TEST(test_C18_freed_during_the_commit),
		TEST(test_C18_freed_inside_of_migrate),
		TEST(test_C18_one_of_many_is_freed),
		TEST(test_C18_let_go_and_found_again),
		TEST(test_C25_who_uses_the_content_blocks_the_move_and_no_longer),
		TEST(test_C27_folios_of_every_order_move),
		TEST(test_C28_a_dead_folio_is_rejected_untouched),
		TEST(test_HC2_movable_again_ends_the_wait),
		TEST(test_HC3_one_op_for_a_batch),
		TEST(test_HC4_every_reason_has_a_text_and_a_counter),
		TEST(test_HC6_owner_destroy_waits_for_nothing_and_loses_nothing),
		TEST(test_ops_may_call_much_and_get_edeadlk_for_the_rest),
		TEST(test_an_op_that_hangs_strands_its_own_folios_only),
	};

	return cmocka_run_group_tests_name("contract C", tests, NULL, NULL);
}

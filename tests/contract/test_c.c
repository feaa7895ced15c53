/* SPDX-License-Identifier: MIT */
/*
 * test_c.c: contract C, isolate, migrate, putback: C5-C17, C25, C27, C28, and the holes H-C1 to
 * H-C6. What an op's commit does is in test_commit.c, owners that free in the middle in
 * test_c_free.c. Not here: C1-C4, C11's copy and C15 (the state word is the library's; an owner
 * cannot touch it), C19-C24, C26 (other owners' own affairs).
 */
#include "support.h"

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
		assert_int_equal(quire_folio_order(o.it.folio), 0);
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
	content_write(d.address, o.it.cookie, 4096); /* the address held */
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
		TEST(test_C12_identity_stays_with_the_folio),
		TEST(test_C13_eagain_undoes_everything_and_tries_again),
		TEST(test_C14_any_other_error_is_not_tried_again),
		TEST(test_C14_an_op_that_returns_0_without_a_commit),
		TEST(test_C16_putback_exactly_once_however_a_move_fails),
		TEST(test_C16_putback_runs_before_the_isolation_ends),
		TEST(test_C17_the_mover_puts_back),
		TEST(test_C16_an_owner_without_isolate_gets_putback_too),
		TEST(test_C25_who_uses_the_content_blocks_the_move_and_no_longer),
		TEST(test_C27_folios_of_every_order_move),
		TEST(test_C28_a_dead_folio_is_rejected_untouched),
		TEST(test_HC2_movable_again_ends_the_wait),
		TEST(test_HC3_one_op_for_a_batch),
		TEST(test_HC4_every_reason_has_a_text_and_a_counter),
		TEST(test_HC6_owner_destroy_waits_for_nothing_and_loses_nothing),
	};

	return cmocka_run_group_tests_name("contract C", tests, NULL, NULL);
}

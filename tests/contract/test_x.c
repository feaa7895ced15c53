/* SPDX-License-Identifier: MIT */
/*
 * test_x.c: contract X, the core rules of a move, as they apply to handles: X1-X18, X21, X24, X26,
 * X33. Not here because a handle has no such thing: X12 (inaccessible mappings), X19 (the dirty
 * bit), X20 (writeback), X22 and X23 (page tables), X27 to X32.
 */
#include "support.h"

/* A quire of four blocks with one folio of an owner that has all ops. */
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
	place(&o->p, &o->it, 0, ANYWHERE, 0xc0ffee);
	o->free_before = stats_of(o->q).frames_free;
}

/* Whatever happened: the content is there, nothing is left isolated, no frame is lost. */
static void one_end(struct one *o)
{
	assert_intact(&o->it);
	assert_item_ledger(&o->it);
	assert_ledger_closed(o->q);
	assert_frames_free(o->q, o->free_before);
	drop(&o->it);
	assert_frames_free(o->q, stats_of(o->q).frames);
	end_quire(o->q);
}

/* --- X1, X2: modes ------------------------------------------------------------------------ */

static void test_X1_the_mode_is_handed_to_the_ops(void **state)
{
	static const enum quire_mode modes[] = { QUIRE_ASYNC, QUIRE_SYNC_LIGHT, QUIRE_SYNC };
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		uint32_t old = at_frame(&o.it);

		o.p.mode = (enum quire_mode)99;
		assert_int_equal(move_folio(o.it.folio, modes[i], 0).code, 0);
		assert_int_equal(o.p.mode, modes[i]);
		assert_int_not_equal(at_frame(&o.it), old);
	}
	one_end(&o);
}

static void test_X1_a_wrong_mode_is_refused(void **state)
{
	struct one o;
	struct quire_move move;

	(void)state;
	one_start(&o, OP_ALL);
	move = (struct quire_move){ .folio = o.it.folio };
	assert_int_equal(quire_move_folios(o.q, &move, 1, (enum quire_mode)3, 0), -EINVAL);
	assert_int_equal(o.p.isolates, 0);
	one_end(&o);
}

static void test_X1_async_tries_a_pinned_folio_once(void **state)
{
	struct quire_move move;
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_pin, &d);
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_ASYNC, SEC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.tries, 1);
	/* The clock stands still where nobody waits: it was met just now. */
	assert_int_equal(move.who.age_ns, 0);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	one_end(&o);
}

/* How long a mover has waited is to be seen in the age of the pin that it met: "at least". */
static void test_X1_sync_light_waits_a_millisecond_at_most(void **state)
{
	struct quire_move move;
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_pin, &d);
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_SYNC_LIGHT, 0);
	assert_int_not_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_SHORT_PIN);
	assert_true(move.tries > 1);
	assert_in_range(move.who.age_ns, 1, MSEC);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	one_end(&o);
}

static void test_X1_sync_waits_until_the_deadline(void **state)
{
	struct quire_move move;
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_pin, &d);
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_SYNC, 40 * MSEC);
	assert_int_not_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_SHORT_PIN);
	assert_in_range(move.who.age_ns, 10 * MSEC, 40 * MSEC);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	one_end(&o);
}

static void test_X1_sync_goes_on_once_the_pin_is_gone(void **state)
{
	static const enum quire_mode modes[] = { QUIRE_SYNC_LIGHT, QUIRE_SYNC };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		struct quire_move move;
		struct hand hand;
		struct deed d;
		struct one o;
		uint32_t old;

		one_start(&o, OP_ALL);
		old = at_frame(&o.it);
		hand_start(&hand);
		d = (struct deed){ .folio = o.it.folio, .hand = &hand };
		hand_do(&hand, deed_pin, &d);
		quire_clock_set_(CLOCK_START);
		/* The pin goes while the third try is on: it, or the fourth, finds it gone. */
		at_point_nth("commit:marked", o.it.folio, 3, 1, by_hand_unpin, &d);
		move = move_folio(o.it.folio, modes[i], 0);
		assert_int_equal(move.code, 0);
		assert_in_range(move.tries, 3, 4);
		assert_int_not_equal(at_frame(&o.it), old);
		no_points();
		hand_stop(&hand);
		one_end(&o);
	}
}

/* X2 and W14: a short wait is what SYNC_LIGHT is for, whatever owner the folio has. */
static void test_X2_sync_light_tries_a_busy_owner_again(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	quire_clock_set_(CLOCK_START);
	o.p.migrate_says = SCRIPT(-EAGAIN, -EAGAIN, 0);
	move = move_folio(o.it.folio, QUIRE_SYNC_LIGHT, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(o.p.migrates, 3);
	one_end(&o);
}

/* --- X3: retries, by deadline instead of by number ---------------------------------------- */

static void test_X3_async_asks_a_busy_owner_once(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.migrate_says = SCRIPT(-EAGAIN);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_int_equal(o.p.migrates, 1);
	assert_int_equal(move.tries, 1);
	one_end(&o);
}

static void test_X3_sync_gives_up_at_the_deadline_and_says_so(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	quire_clock_set_(CLOCK_START);
	o.p.migrate_says = SCRIPT(-EAGAIN);
	move = move_folio(o.it.folio, QUIRE_SYNC, 20 * MSEC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_string_equal(move.who.owner, "probe");
	assert_true(o.p.migrates > 1);
	assert_true(o.p.migrates < 10000); /* not blindly, W12 */
	one_end(&o);
}

/* --- X5: batches -------------------------------------------------------------------------- */

static void test_X5_a_batch_is_512_frames_at_most(void **state)
{
	static struct item small[600], large[2];
	struct quire *q = make_quire(12);
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, small, COUNT_OF(small), 0, 0, 1);
	place_row(&p, large, COUNT_OF(large), 9, 1024, 1000);
	assert_int_equal(move_row(small, COUNT_OF(small), NULL, QUIRE_SYNC, 0), 0);
	/* The probe itself checks every batch; here: batches are used, and used well (W7, H-C3). */
	assert_in_range(p.migrates, 2, 20);
	assert_true(p.batch_frames > 64);
	assert_int_equal(move_row(large, COUNT_OF(large), NULL, QUIRE_SYNC, 0), 0);
	assert_int_equal(p.batch_frames, 512);
	assert_row_intact(small, COUNT_OF(small));
	assert_row_intact(large, COUNT_OF(large));
	drop_row(small, COUNT_OF(small));
	drop_row(large, COUNT_OF(large));
	end_quire(q);
}

/* --- X6-X13: what a result means ---------------------------------------------------------- */

static void test_X6_a_move_frees_the_old_place(void **state)
{
	struct quire_stats before, after;
	struct quire_move move;
	struct item usurper;
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	old = at_frame(&o.it);
	before = stats_of(o.q);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_NONE);
	after = stats_of(o.q);
	assert_int_equal(after.moved - before.moved, 1);
	assert_int_equal(after.moved_bytes - before.moved_bytes, 4096);
	assert_int_equal(after.isolated - before.isolated, 1);
	assert_int_equal(after.putbacks, before.putbacks);
	assert_int_equal(after.recopied_bytes, before.recopied_bytes);
	assert_int_equal(quire_reclaim(o.q), 0);
	place(&o.p, &usurper, 0, quire_frame(old), 7); /* it is free: somebody else may have it */
	assert_intact(&o.it);
	assert_intact(&usurper);
	drop(&usurper);
	one_end(&o);
}

static void test_X6_to_a_place_of_the_callers_choice(void **state)
{
	struct item other;
	struct one o;
	struct quire_move move;

	(void)state;
	one_start(&o, OP_ALL);
	move = (struct quire_move){ .folio = o.it.folio, .to_set = 1, .to = quire_frame(1777) };
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_SYNC, 0), 0);
	assert_int_equal(at_frame(&o.it), 1777);
	assert_intact(&o.it);
	/* Taken: it stays where it is, and so does who lives there. */
	place(&o.p, &other, 0, quire_frame(1778), 8);
	move = (struct quire_move){ .folio = o.it.folio, .to_set = 1, .to = quire_frame(1778) };
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_ASYNC, 0), 1);
	assert_true(move.code < 0);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_PLACE);
	assert_int_equal(at_frame(&o.it), 1777);
	assert_intact(&other);
	/* Outside of the arena. */
	move = (struct quire_move){ .folio = o.it.folio, .to_set = 1, .to = quire_frame(4 * 512) };
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_ASYNC, 0), 1);
	assert_true(move.code < 0);
	assert_int_equal(at_frame(&o.it), 1777);
	drop(&other);
	one_end(&o);
}

static void test_X6_a_place_not_aligned_to_the_order_is_refused(void **state)
{
	struct quire *q = make_quire(4);
	struct quire_move move;
	struct item it;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place(&p, &it, 3, quire_frame(64), 3);
	move = (struct quire_move){ .folio = it.folio, .to_set = 1, .to = quire_frame(1028) };
	assert_int_equal(quire_move_folios(q, &move, 1, QUIRE_SYNC, 0), 1);
	assert_true(move.code < 0);
	assert_int_equal(at_frame(&it), 64);
	assert_item_ledger(&it);
	assert_intact(&it);
	drop(&it);
	assert_frames_free(q, stats_of(q).frames);
	end_quire(q);
}

/* X8 improved: between two tries the folio is in use as ever; nobody sleeps on it. */
static int busy_while_others_use_it(struct probe *p, struct quire_batch *batch, int answer)
{
	struct deed *d = p->arg;

	if (answer == -EAGAIN) {
		by_hand_pin(d);
		CHECK(d->address != NULL);
		by_hand_unpin(d);
		return answer;
	}
	return probe_commit(p, batch, answer);
}

static void test_X8_a_folio_that_is_tried_again_stays_usable(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;
	struct at_point *waits;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand };
	o.p.arg = &d;
	o.p.on_migrate = busy_while_others_use_it;
	o.p.migrate_says = SCRIPT(-EAGAIN, -EAGAIN, -EAGAIN, 0);
	waits = at_point("pin:waiting", o.it.folio, NULL, NULL);
	quire_clock_set_(CLOCK_START);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(hits(waits), 0);
	assert_int_equal(o.p.migrates, 4);
	no_points();
	hand_stop(&hand);
	one_end(&o);
}

static void test_X9_no_free_frame_leaves_everything_as_it_was(void **state)
{
	static struct item row[512];
	struct quire *q = make_quire(1);
	static struct quire_move moves[4];
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, row, COUNT_OF(row), 0, 0, 50);
	assert_int_equal(move_row(row, COUNT_OF(moves), moves, QUIRE_SYNC, 0), COUNT_OF(moves));
	for (size_t i = 0; i < COUNT_OF(moves); i++) {
		assert_true(moves[i].code < 0);
		assert_int_equal(moves[i].who.why, QUIRE_REASON_NO_FRAMES);
		assert_int_equal(at_frame(&row[i]), i);
		assert_item_ledger(&row[i]);
	}
	assert_int_equal(p.migrates, 0); /* the op is called with a destination or not at all */
	assert_row_intact(row, COUNT_OF(row));
	assert_frames_free(q, 0);
	drop_row(row, COUNT_OF(row));
	assert_frames_free(q, 512);
	end_quire(q);
}

static void test_X9_no_memory_for_one_leaves_the_others_alone(void **state)
{
	static struct item row[8];
	struct quire *q = make_quire(4);
	struct quire_move moves[8];
	uint64_t free_before;
	struct probe p;
	unsigned failed = 0;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, row, COUNT_OF(row), 0, 0, 50);
	free_before = stats_of(q).frames_free;
	quire_fault_arm_("frame:alloc", 3, -ENOMEM);
	assert_int_equal(move_row(row, COUNT_OF(row), moves, QUIRE_ASYNC, 0), 1);
	assert_true(quire_fault_disarm_());
	for (size_t i = 0; i < COUNT_OF(row); i++) {
		if (moves[i].code) {
			failed++;
			assert_int_equal(moves[i].code, -ENOMEM);
			assert_true(moves[i].who.why == QUIRE_REASON_NO_FRAMES ||
				    moves[i].who.why == QUIRE_REASON_NO_PLACE);
			assert_int_equal(at_frame(&row[i]), i);
			assert_int_equal(row[i].putback, 1);
		}
		assert_item_ledger(&row[i]);
	}
	assert_int_equal(failed, 1);
	assert_row_intact(row, COUNT_OF(row));
	assert_frames_free(q, free_before);
	drop_row(row, COUNT_OF(row));
	end_quire(q);
}

static void test_X10_any_other_error_is_final(void **state)
{
	static const int errors[] = { -EBUSY, -EINVAL, -EIO, -EOPNOTSUPP, -EHWPOISON, -ENOMEM };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		struct quire_move move;
		struct one o;
		uint32_t old;

		one_start(&o, OP_ALL);
		old = at_frame(&o.it);
		o.p.migrate_says = SCRIPT(errors[i], 0);
		move = move_folio(o.it.folio, QUIRE_SYNC, 0);
		assert_int_equal(move.code, errors[i]);
		assert_int_equal(move.who.code, errors[i]);
		if (errors[i] != -EBUSY) /* -EBUSY: somebody else's pin */
			assert_int_equal(move.who.why, QUIRE_REASON_OWNER_ERROR);
		assert_int_equal(move.tries, 1);
		assert_int_equal(o.p.migrates, 1);
		assert_int_equal(o.p.putbacks, 1);
		assert_int_equal(at_frame(&o.it), old);
		/* Final for that call only. */
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
		one_end(&o);
	}
}

static void test_X11_a_copy_that_fails_leaves_the_source(void **state)
{
	static struct item row[4];
	struct quire *q = make_quire(4);
	struct quire_move moves[4];
	uint64_t free_before;
	unsigned failed = 0;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	/* Not side by side: runs are merged, and one failed copy is one folio here. */
	for (size_t i = 0; i < COUNT_OF(row); i++)
		place(&p, &row[i], 0, quire_frame((uint32_t)(i * 7)), 90 + i);
	free_before = stats_of(q).frames_free;
	quire_fault_arm_("copy", 1, -EHWPOISON);
	assert_true(move_row(row, COUNT_OF(row), moves, QUIRE_SYNC, 0) >= 1);
	assert_true(quire_fault_disarm_());
	for (size_t i = 0; i < COUNT_OF(row); i++) {
		assert_item_ledger(&row[i]);
		if (!moves[i].code)
			continue;
		failed++;
		assert_int_equal(moves[i].code, -EHWPOISON);
		assert_int_equal(moves[i].who.why, QUIRE_REASON_COPY);
		assert_int_equal(at_frame(&row[i]), i * 7);
		assert_int_equal(row[i].putback, 1);
	}
	assert_true(failed >= 1);
	assert_row_intact(row, COUNT_OF(row));
	assert_frames_free(q, free_before);
	assert_int_equal(move_row(row, COUNT_OF(row), NULL, QUIRE_SYNC, 0), 0);
	assert_row_intact(row, COUNT_OF(row));
	assert_frames_free(q, free_before);
	drop_row(row, COUNT_OF(row));
	end_quire(q);
}

/* X13 and W13: each folio has a result of its own, with who and why. */
static void test_X13_each_folio_has_its_own_result(void **state)
{
	struct quire *q = make_quire(4);
	struct probe free_, veto, busy, foreign;
	struct quire_move moves[5];
	struct item a, b, c, d, e;
	struct quire_pin *pin;
	const char *site;
	struct item *all[] = { &a, &b, &c, &d, &e };

	(void)state;
	make_probe(q, "free", OP_NONE, &free_);
	make_probe(q, "veto", OP_ALL, &veto);
	make_probe(q, "busy", OP_ALL, &busy);
	make_probe(q, "foreign", OP_NONE, &foreign);
	veto.isolate_says = SCRIPT(-EPERM);
	busy.migrate_says = SCRIPT(-EAGAIN);
	place(&free_, &a, 0, ANYWHERE, 1);
	place(&veto, &b, 1, ANYWHERE, 2);
	place(&busy, &c, 2, ANYWHERE, 3);
	place(&free_, &d, 3, ANYWHERE, 4);
	place(&free_, &e, 9, ANYWHERE, 5);
	assert_int_equal(quire_pin_long(d.folio, foreign.owner, &pin), 0), site = QUIRE_SITE;
	for (size_t i = 0; i < COUNT_OF(all); i++)
		moves[i] = (struct quire_move){ .folio = all[i]->folio };
	assert_int_equal(quire_move_folios(q, moves, 5, QUIRE_ASYNC, 0), 3);
	assert_int_equal(moves[0].code, 0);
	assert_int_equal(moves[1].code, -EPERM);
	assert_int_equal(moves[1].who.why, QUIRE_REASON_VETO);
	assert_string_equal(moves[1].who.owner, "veto");
	assert_int_equal(moves[2].code, -EAGAIN);
	assert_int_equal(moves[2].who.why, QUIRE_REASON_OWNER_BUSY);
	assert_string_equal(moves[2].who.owner, "busy");
	assert_true(moves[3].code < 0);
	assert_int_equal(moves[3].who.why, QUIRE_REASON_LONG_PIN);
	assert_string_equal(moves[3].who.owner, "foreign");
	assert_string_equal(moves[3].who.site, site);
	assert_int_equal(moves[4].code, 0);
	for (size_t i = 1; i < 4; i++) {
		assert_ptr_equal(moves[i].who.folio, all[i]->folio);
		assert_int_equal(moves[i].who.frame.n, at_frame(all[i]));
		assert_string_equal(moves[i].who.site, i == 3 ? site : "");
	}
	quire_unpin_long(pin);
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		assert_intact(all[i]);
		drop(all[i]);
	}
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

static void test_X13_nothing_to_move_is_nothing_left(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_move none;

	(void)state;
	assert_int_equal(quire_move_folios(q, &none, 0, QUIRE_SYNC, 0), 0);
	end_quire(q);
}

/* --- X14: the balance --------------------------------------------------------------------- */

#define MIX 48

static int mixed_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	uint64_t *rng = p->arg;

	for (size_t i = 0; i < quire_batch_count(batch); i++)
		if (prng(rng) % 4 == 0)
			CHECK(quire_batch_skip(batch, i, prng(rng) % 2 ? -EAGAIN : -EIO) == 0);
	if (answer)
		return answer;
	answer = quire_move_commit(batch);
	return prng(rng) % 4 == 0 ? -EIO : answer; /* an error after the commit */
}

static void test_X14_frames_balance_after_any_mix_of_failures(void **state)
{
	static const char *const points[] = { "copy", "frame:alloc", "os:membarrier", "mem" };
	static struct item items[MIX];
	static struct quire_move moves[MIX];
	uint64_t rng = seed_of("X14", 14);
	struct quire *q = make_quire(6);
	unsigned moved = 0, stayed = 0;
	struct quire_pin *pins[3];
	struct probe probes[3];
	uint64_t free_before;

	(void)state;
	make_probe(q, "a", OP_ALL, &probes[0]);
	make_probe(q, "b", OP_ALL, &probes[1]);
	make_probe(q, "c", OP_NONE, &probes[2]);
	probes[0].on_migrate = mixed_migrate;
	probes[0].arg = &rng;
	for (size_t i = 0; i < MIX; i++)
		place(&probes[i % 3], &items[i], (unsigned)(prng(&rng) % 5), ANYWHERE, i);
	free_before = stats_of(q).frames_free;
	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(quire_pin_long(items[prng(&rng) % MIX].folio,
							probes[prng(&rng) % 3].owner, &pins[i]),
					 0);
		probes[0].isolate_says = SCRIPT(0, -EPERM, 0, -EAGAIN, 0, 0);
		probes[1].isolate_says = SCRIPT(0, 0, -EPERM, 0);
		probes[1].migrate_says = prng(&rng) % 2 ? SCRIPT(0) : SCRIPT(-EIO, -EAGAIN);
		quire_fault_arm_(points[prng(&rng) % 4], 1 + prng(&rng) % 20, -ENOMEM);
		quire_clock_set_(CLOCK_START);
		move_row(items, MIX, moves, prng(&rng) % 2 ? QUIRE_ASYNC : QUIRE_SYNC_LIGHT, 0);
		quire_fault_disarm_();
		for (size_t i = 0; i < 3; i++)
			quire_unpin_long(pins[i]);
		for (size_t i = 0; i < MIX; i++) {
			assert_int_equal(SEE(&items[i].taken), 0);
			if (probes[i % 3].ops.isolate)
				assert_item_ledger(&items[i]);
			moved += moves[i].code == 0;
			stayed += moves[i].code != 0;
		}
		assert_frames_free(q, free_before);
		assert_ledger_closed(q);
	}
	assert_row_intact(items, MIX);
	/* The mix was one. */
	assert_true(moved > 100);
	assert_true(stayed > 100);
	drop_row(items, MIX);
	assert_frames_free(q, stats_of(q).frames);
	end_quire(q);
}

/* --- X15-X18: the sequence, counts and readers -------------------------------------------- */

#define LETTER(s) ((char[]){ s })
static char sequence_[64];

static void mark(void *letter)
{
	size_t n = strlen(sequence_);

	if (n + 1 < sizeof(sequence_)) {
		sequence_[n] = *(const char *)letter;
		sequence_[n + 1] = 0;
	}
}

static void mark_isolate(struct probe *p, struct quire_folio *folio)
{
	(void)p;
	(void)folio;
	mark(LETTER("I"));
}

static int mark_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	int code;

	mark(LETTER("M"));
	code = probe_commit(p, batch, answer);
	mark(LETTER("m"));
	return code;
}

static void test_X15_the_order_of_the_steps(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_isolate = mark_isolate;
	o.p.on_migrate = mark_migrate;
	sequence_[0] = 0;
	at_point("isolate:marked", o.it.folio, mark, LETTER("1"));
	at_point("isolate:done", o.it.folio, mark, LETTER("2"));
	at_point("migrate:before", o.it.folio, mark, LETTER("3"));
	at_point("commit:marked", o.it.folio, mark, LETTER("4"));
	at_point("commit:scanned", o.it.folio, mark, LETTER("5"));
	at_point("commit:copied", o.it.folio, mark, LETTER("6"));
	at_point("commit:published", o.it.folio, mark, LETTER("7"));
	at_point("putback:before", o.it.folio, mark, LETTER("8"));
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_string_equal(sequence_, "1I23M4567m");
	no_points();
	one_end(&o);
}

/* X16: the last other reference went, so only the mover's is left. */
static void test_X16_count_one_is_freed_and_success(void **state)
{
	struct quire_move move;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	d = (struct deed){ .folio = o.it.folio };
	at_point("isolate:done", o.it.folio, deed_put, &d);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_FREED);
	assert_int_equal(o.p.migrates, 0);
	assert_int_equal(o.p.putbacks, 0);
	assert_int_equal(o.p.frees, 1);
	assert_int_equal(stats_of(o.q).moved, 0);
	assert_int_equal(stats_of(o.q).freed_isolated, 1);
	assert_item_ledger(&o.it);
	assert_frames_free(o.q, 4 * 512);
	end_quire(o.q);
}

static void test_X17_references_never_block_a_move(void **state)
{
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	old = at_frame(&o.it);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(quire_folio_get(o.it.folio));
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_not_equal(at_frame(&o.it), old);
	for (unsigned i = 0; i < 1000; i++)
		drop(&o.it);
	assert_int_equal(o.p.frees, 0);
	one_end(&o);
}

static void test_X17_a_reference_taken_at_any_step_does_not_block(void **state)
{
	static const char *const steps[] = {
		"isolate:marked", "migrate:before", "commit:marked",
		"commit:scanned", "commit:copied",  "commit:published"
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct one o;
		struct deed d;

		one_start(&o, OP_ALL);
		d = (struct deed){ .folio = o.it.folio };
		at_point(steps[i], o.it.folio, deed_get, &d);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_true(d.got);
		no_points();
		drop(&o.it);
		assert_int_equal(o.p.frees, 0);
		one_end(&o);
	}
}

static void test_X17_a_reader_in_its_section_never_blocks_a_move(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;
	uint32_t old;

	(void)state;
	one_start(&o, OP_ALL);
	old = at_frame(&o.it);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_enter, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_not_equal(at_frame(&o.it), old);
	hand_do(&hand, deed_leave, &d);
	hand_stop(&hand);
	one_end(&o);
}

/* A pin taken between mark and publish waits, and sees the new place; the move does not fail. */
static void test_X17_a_pin_during_the_copy_waits_and_sees_the_new_place(void **state)
{
	static const char *const steps[] = { "commit:scanned", "commit:copied" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct gate gate;
		struct hand hand;
		struct deed d;
		struct one o;
		uint32_t old;
		void *was;

		one_start(&o, OP_ALL);
		gate_init(&gate);
		hand_start(&hand);
		old = at_frame(&o.it);
		was = quire_folio_content(o.it.folio);
		d = (struct deed){ .folio = o.it.folio, .hand = &hand, .gate = &gate };
		at_point("pin:waiting", o.it.folio, gate_open, &gate);
		at_point(steps[i], o.it.folio, by_hand_pin_until_it_waits, &d);
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
		hand_wait(&hand);
		assert_int_not_equal(at_frame(&o.it), old);
		assert_non_null(d.address);
		assert_ptr_not_equal(d.address, was);
		assert_ptr_equal(d.address, quire_folio_content(o.it.folio));
		assert_true(content_is(d.address, o.it.cookie, 4096));
		assert_true(stats_of(o.q).pin_waits >= 1);
		hand_do(&hand, deed_unpin, &d);
		no_points();
		hand_stop(&hand);
		one_end(&o);
	}
}

static void read_by_hand(void *arg)
{
	struct deed *d = arg;

	d->got = item_reads(quire_folio_private(d->folio));
}

static void by_hand_read(void *arg)
{
	struct deed *d = arg;

	hand_do(d->hand, read_by_hand, d);
	CHECK(d->got);
	d->code++;
}

static void test_X18_readers_see_old_before_or_new_after_at_every_step(void **state)
{
	struct hand hand;
	struct deed d;
	struct at_point *waits;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand };
	waits = at_point("pin:waiting", NULL, NULL, NULL);
	at_point("isolate:marked", o.it.folio, by_hand_read, &d);
	at_point("isolate:done", o.it.folio, by_hand_read, &d);
	at_point("commit:marked", o.it.folio, by_hand_read, &d);
	at_point("commit:scanned", o.it.folio, by_hand_read, &d);
	at_point("commit:copied", o.it.folio, by_hand_read, &d);
	at_point("commit:published", o.it.folio, by_hand_read, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(d.code, 6);
	assert_int_equal(hits(waits), 0);
	no_points();
	hand_stop(&hand);
	one_end(&o);
}

/* --- X21: many readers and pinners on a folio that moves all the time --------------------- */

struct hammer {
	struct item *it;
	unsigned *stop;
	unsigned reads, pins;
};

static void hammer(void *arg)
{
	struct hammer *h = arg;

	while (!SEE(h->stop)) {
		CHECK(item_reads(h->it));
		h->reads++;
		CHECK(item_intact(h->it));
		h->pins++;
	}
}

static void test_X21_threads_hammer_a_folio_that_moves(void **state)
{
	struct hammer h[2];
	struct hand hands[2];
	unsigned stop = 0, moved = 0;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	for (size_t i = 0; i < 2; i++) {
		h[i] = (struct hammer){ .it = &o.it, .stop = &stop };
		hand_start(&hands[i]);
		hand_post(&hands[i], hammer, &h[i]);
	}
	for (unsigned i = 0; i < 2000; i++)
		moved += move_folio(o.it.folio, QUIRE_SYNC, 0).code == 0;
	PUT(&stop, 1u);
	for (size_t i = 0; i < 2; i++) {
		hand_wait(&hands[i]); /* every thread resumes */
		hand_stop(&hands[i]);
		assert_true(h[i].reads > 0 && h[i].pins > 0);
	}
	assert_true(moved > 0);
	assert_int_equal(o.p.frees, 0);
	one_end(&o);
}

/* --- X24: two movers ---------------------------------------------------------------------- */

static void test_X24_the_second_mover_finds_it_taken(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand, .mode = QUIRE_ASYNC };
	at_point("isolate:marked", o.it.folio, by_hand_move, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(d.move.code, -EAGAIN);
	assert_int_equal(d.move.who.why, QUIRE_REASON_ISOLATED);
	assert_int_equal(o.p.isolates, 1); /* the loser did not call the owner (C7) */
	assert_int_equal(stats_of(o.q).isolated, 1);
	no_points();
	hand_stop(&hand);
	one_end(&o);
}

#define PAIR 16

struct pair {
	struct item *items;
	unsigned moved;
	unsigned rounds;
};

static void move_all(void *arg)
{
	struct pair *pair = arg;
	struct quire_move moves[PAIR];

	for (unsigned i = 0; i < pair->rounds; i++) {
		CHECK(move_row(pair->items, PAIR, moves, i % 2 ? QUIRE_SYNC : QUIRE_ASYNC, 0) >= 0);
		for (size_t k = 0; k < PAIR; k++)
			pair->moved += moves[k].code == 0;
	}
}

static void test_X24_two_movers_of_the_same_folios(void **state)
{
	static struct item items[PAIR];
	struct quire *q = make_quire(4);
	struct pair a = { items, 0, 300 }, b = { items, 0, 300 };
	struct hand hand;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (size_t i = 0; i < PAIR; i++)
		place(&p, &items[i], (unsigned)i % 3, ANYWHERE, i);
	hand_start(&hand);
	hand_post(&hand, move_all, &a);
	move_all(&b);
	hand_wait(&hand);
	hand_stop(&hand);
	assert_int_equal(stats_of(q).moved, a.moved + b.moved);
	assert_true(a.moved > 0 && b.moved > 0);
	for (size_t i = 0; i < PAIR; i++) {
		assert_item_ledger(&items[i]);
		assert_intact(&items[i]);
	}
	assert_ledger_closed(q);
	drop_row(items, PAIR);
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

/* --- X26: the pinned ---------------------------------------------------------------------- */

static void test_X26_a_short_pin_is_named_and_the_folio_put_back_unchanged(void **state)
{
	struct quire_move move;
	struct hand hand;
	struct deed d;
	struct one o;
	uint64_t word;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_pin, &d);
	word = o.it.folio->word_;
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_SHORT_PIN);
	assert_string_equal(move.who.site, d.site);
	assert_int_equal(move.who.thread, hand.tid);
	assert_ptr_equal(move.who.folio, o.it.folio);
	assert_int_equal(move.who.frame.n, at_frame(&o.it));
	assert_true(o.it.folio->word_ == word); /* place, version and flags */
	assert_int_equal(o.p.putbacks, 1);
	assert_int_equal(stats_of(o.q).not_moved[QUIRE_REASON_SHORT_PIN], 1);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	one_end(&o);
}

static void test_X26_a_long_pin_is_named_with_its_age(void **state)
{
	struct quire_move move;
	struct probe holder;
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	quire_clock_set_(CLOCK_START);
	one_start(&o, OP_ALL);
	make_probe(o.q, "holder", OP_NONE, &holder);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .who = holder.owner };
	hand_do(&hand, deed_pin_long, &d);
	assert_int_equal(d.code, 0);
	quire_clock_set_(CLOCK_START + 7 * SEC);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_true(move.code < 0);
	assert_int_equal(move.who.why, QUIRE_REASON_LONG_PIN);
	assert_string_equal(move.who.owner, "holder");
	assert_string_equal(move.who.site, d.site);
	assert_int_equal(move.who.thread, hand.tid);
	assert_true(move.who.age_ns == 7 * SEC);
	assert_ptr_equal(d.address, quire_folio_content(o.it.folio));
	quire_unpin_long(d.pin); /* any thread may */
	hand_stop(&hand);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	one_end(&o);
}

/* --- X33 as a property: claimed windows --------------------------------------------------- */

struct claim {
	struct quire *q;
	struct probe *p;
	struct item items[64];
	struct hand *hand;
	unsigned claimed, in_claimed;
	int second;
	uint64_t second_runs;
};

static bool is_claimed(struct quire *q, uint32_t block)
{
	struct quire_block_info info = { .size = sizeof(info) };

	CHECK(quire_block_info(q, block, &info) == 0);
	return info.claimed != 0;
}

static void allocate_meanwhile(void *arg)
{
	struct claim *c = arg;

	for (uint32_t b = 0; b < quire_blocks(c->q); b++)
		c->claimed += is_claimed(c->q, b);
	for (size_t i = 0; i < COUNT_OF(c->items); i++) {
		c->items[i] = (struct item){ .probe = c->p, .cookie = 500 + i };
		CHECK(quire_folio_create(c->p->owner, 0, &c->items[i].folio) == 0);
		c->in_claimed += is_claimed(c->q, at_frame(&c->items[i]) / 512);
	}
}

static struct quire_plan *plan_runs(struct quire *q, uint64_t count)
{
	struct quire_plan *plan = NULL;

	assert_int_equal(quire_plan_create(
				 q,
				 QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = count),
				 &plan),
			 0);
	return plan;
}

static void assert_nothing_claimed(struct quire *q)
{
	for (uint32_t b = 0; b < quire_blocks(q); b++)
		assert_false(is_claimed(q, b));
}

/*
 * Two windows are emptied. Of the rest one block is full, and the other holds a page that stays and
 * has room. An allocator that packs would choose the fuller ones, which are the windows.
 */
static void test_X33_claimed_windows_are_closed_to_allocation(void **state)
{
	static struct item rows[2][40], full[512], stays;
	static struct claim c;
	struct quire *q = make_quire(4);
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct quire_pin *pin;
	struct probe p, foreign;

	(void)state;
	make_probe(q, "probe", OP_NONE, &p);
	make_probe(q, "foreign", OP_NONE, &foreign);
	place_row(&p, rows[0], 40, 0, 0, 0);
	place_row(&p, rows[1], 40, 0, 512, 100);
	place_row(&p, full, 512, 0, 1024, 200);
	place(&p, &stays, 0, quire_frame(1536), 1);
	assert_int_equal(quire_pin_long(stays.folio, foreign.owner, &pin), 0);
	plan = plan_runs(q, 2);
	c = (struct claim){ .q = q, .p = &p };
	at_point("plan:claimed", NULL, allocate_meanwhile, &c);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	assert_int_equal(r.obtained, 2);
	assert_int_equal(c.claimed, 2);
	assert_int_equal(c.in_claimed, 0);
	assert_nothing_claimed(q);
	assert_int_equal(empty_blocks(q), 2);
	no_points();
	quire_plan_destroy(plan);
	quire_unpin_long(pin);
	for (uint32_t b = 0; b < 2; b++) {
		assert_row_intact(rows[b], 40);
		drop_row(rows[b], 40);
	}
	assert_row_intact(full, 512);
	drop_row(full, 512);
	drop(&stays);
	drop_row(c.items, COUNT_OF(c.items));
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

static void execute_second(void *arg)
{
	struct claim *c = arg;
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan = NULL;

	CHECK(quire_plan_create(
		      c->q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
		      &plan) == 0);
	c->second = quire_plan_execute(plan, QUIRE_BUDGET(.deadline_ns = SEC), &r);
	c->second_runs = r.obtained;
	quire_plan_destroy(plan);
}

static void by_hand_execute(void *arg)
{
	struct claim *c = arg;

	hand_do(c->hand, execute_second, c);
}

/* Overlapping plans: one has a window, the other does without it, and undoes what it claimed. */
static void test_X33_overlapping_plans_share_no_window(void **state)
{
	static struct item rows[4][40];
	static struct claim c;
	struct quire *q = make_quire(4);
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct hand hand;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (uint32_t b = 0; b < 4; b++)
		place_row(&p, rows[b], 40, 0, b * 512, b * 100);
	hand_start(&hand);
	plan = plan_runs(q, 2);
	c = (struct claim){ .q = q, .p = &p, .hand = &hand };
	at_point("plan:claimed", plan, by_hand_execute, &c);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	assert_int_equal(r.obtained, 2);
	assert_int_equal(c.second, 0); /* QUIRE_MAX: what could be done was */
	assert_nothing_claimed(q);
	assert_true(empty_blocks(q) >= 2);
	assert_frames_free(q, 3 * 512 + 512 - 160);
	assert_ledger_closed(q);
	no_points();
	quire_plan_destroy(plan);
	hand_stop(&hand);
	for (uint32_t b = 0; b < 4; b++) {
		assert_row_intact(rows[b], 40);
		drop_row(rows[b], 40);
	}
	end_quire(q);
}

static void test_X33_a_failed_plan_leaves_the_accounts_as_they_were(void **state)
{
	static struct item rows[4][40];
	struct quire *q = make_quire(4);
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	uint64_t free_before;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	p.isolate_says = SCRIPT(-EPERM);
	for (uint32_t b = 0; b < 4; b++)
		place_row(&p, rows[b], 40, 0, b * 512, b * 100);
	free_before = stats_of(q).frames_free;
	plan = plan_runs(q, 2);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), -EBUSY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	assert_nothing_claimed(q);
	assert_frames_free(q, free_before);
	assert_int_equal(p.putbacks, 0);
	quire_plan_destroy(plan);
	for (uint32_t b = 0; b < 4; b++) {
		for (size_t i = 0; i < 40; i++)
			assert_int_equal(at_frame(&rows[b][i]), b * 512 + i);
		assert_row_intact(rows[b], 40);
		drop_row(rows[b], 40);
	}
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_X1_the_mode_is_handed_to_the_ops),
		TEST(test_X1_a_wrong_mode_is_refused),
		TEST(test_X1_async_tries_a_pinned_folio_once),
		TEST(test_X1_sync_light_waits_a_millisecond_at_most),
		TEST(test_X1_sync_waits_until_the_deadline),
		TEST(test_X1_sync_goes_on_once_the_pin_is_gone),
		TEST(test_X2_sync_light_tries_a_busy_owner_again),
		TEST(test_X3_async_asks_a_busy_owner_once),
		TEST(test_X3_sync_gives_up_at_the_deadline_and_says_so),
		TEST(test_X5_a_batch_is_512_frames_at_most),
		TEST(test_X6_a_move_frees_the_old_place),
		TEST(test_X6_to_a_place_of_the_callers_choice),
		TEST(test_X6_a_place_not_aligned_to_the_order_is_refused),
		TEST(test_X8_a_folio_that_is_tried_again_stays_usable),
		TEST(test_X9_no_free_frame_leaves_everything_as_it_was),
		TEST(test_X9_no_memory_for_one_leaves_the_others_alone),
		TEST(test_X10_any_other_error_is_final),
		TEST(test_X11_a_copy_that_fails_leaves_the_source),
		TEST(test_X13_each_folio_has_its_own_result),
		TEST(test_X13_nothing_to_move_is_nothing_left),
		TEST(test_X14_frames_balance_after_any_mix_of_failures),
		TEST(test_X15_the_order_of_the_steps),
		TEST(test_X16_count_one_is_freed_and_success),
		TEST(test_X17_references_never_block_a_move),
		TEST(test_X17_a_reference_taken_at_any_step_does_not_block),
		TEST(test_X17_a_reader_in_its_section_never_blocks_a_move),
		TEST(test_X17_a_pin_during_the_copy_waits_and_sees_the_new_place),
		TEST(test_X18_readers_see_old_before_or_new_after_at_every_step),
		TEST(test_X21_threads_hammer_a_folio_that_moves),
		TEST(test_X24_the_second_mover_finds_it_taken),
		TEST(test_X24_two_movers_of_the_same_folios),
		TEST(test_X26_a_short_pin_is_named_and_the_folio_put_back_unchanged),
		TEST(test_X26_a_long_pin_is_named_with_its_age),
		TEST(test_X33_claimed_windows_are_closed_to_allocation),
		TEST(test_X33_overlapping_plans_share_no_window),
		TEST(test_X33_a_failed_plan_leaves_the_accounts_as_they_were),
	};

	return cmocka_run_group_tests_name("contract X", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_x.c: contract X, the core rules of a move, as they apply to handles: modes, retries,
 * batches, results, and the balance of frames (X1-X14). The steps of a move are in test_x_steps.c.
 * Not here because a handle has no such thing: X12 (inaccessible mappings).
 */
#include "support.h"

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
	};

	return cmocka_run_group_tests_name("contract X: results", tests, NULL, NULL);
}

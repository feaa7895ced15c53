/* SPDX-License-Identifier: MIT */
/*
 * test_c_free.c: contract C9 and C18: the owner lets a folio go while a mover has it. Wherever that
 * happens, no op hears of the folio any more but free, exactly once, and its frames come back.
 */
#include "support.h"

/* --- between the steps -------------------------------------------------------------------- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_C9_freed_while_being_isolated),
		TEST(test_C13_freed_between_two_tries),
		TEST(test_C18a_freed_before_migrate_reaches_no_op),
		TEST(test_C18b_freed_between_reaches_no_op),
		TEST(test_C18c_freed_before_putback_reaches_no_putback),
		TEST(test_C18_freed_during_the_commit),
		TEST(test_C18_freed_inside_of_migrate),
		TEST(test_C18_one_of_many_is_freed),
		TEST(test_C18_let_go_and_found_again),
	};

	return cmocka_run_group_tests_name("contract C: freed meanwhile", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_pins.c: pins in any order and number, of threads that are gone, in signal handlers, and in a
 * child of fork().
 */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- unpinning ---------------------------------------------------------------------------- */

static void test_unpin_in_every_order(void **state)
{
	static const unsigned char orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
						    { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct quire *q = make_quire(2);
	struct item it[3];
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (size_t i = 0; i < 3; i++)
		place(&p, &it[i], 0, ANYWHERE, i);
	for (size_t o = 0; o < 6; o++) {
		for (size_t i = 0; i < 3; i++)
			assert_non_null(quire_pin(it[i].folio));
		for (size_t i = 0; i < 3; i++) {
			quire_unpin(it[orders[o][i]].folio);
			/* The others are still pinned, this one is not. */
			for (size_t k = 0; k < 3; k++) {
				bool held = true;

				for (size_t j = 0; j <= i; j++)
					held &= orders[o][j] != k;
				assert_int_equal(move_folio(it[k].folio, QUIRE_ASYNC, 0).code != 0,
						 held);
			}
		}
		/* Whatever the order was, eight pins have a slot each. */
		for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
			assert_non_null(quire_pin(it[i % 3].folio));
		for (unsigned i = QUIRE_SHORT_PINS; i-- > 0;)
			quire_unpin(it[i % 3].folio);
		assert_int_equal(stats_of(q).spilled_pins, 0);
	}
	assert_row_intact(it, 3);
	drop_row(it, 3);
	assert_frames_free(q, 1024);
	end_quire(q);
}

/* Hand over hand, as lists are walked: two pins at a time, the older one goes first. */
static void test_unpin_hand_over_hand_never_spills(void **state)
{
	struct quire *q = make_quire(2);
	struct item it[20];
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (size_t i = 0; i < COUNT_OF(it); i++)
		place(&p, &it[i], 0, ANYWHERE, i);
	for (size_t i = 0; i < 100; i++) {
		assert_non_null(quire_pin(it[i % 20].folio));
		if (i)
			quire_unpin(it[(i - 1) % 20].folio);
	}
	quire_unpin(it[99 % 20].folio);
	assert_int_equal(stats_of(q).spilled_pins, 0);
	assert_int_equal(move_row(it, COUNT_OF(it), NULL, QUIRE_ASYNC, 0), 0);
	drop_row(it, COUNT_OF(it));
	end_quire(q);
}

static void test_unpin_of_one_of_two_pins_of_a_folio(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	assert_non_null(quire_pin(o.it.folio));
	assert_non_null(quire_pin(o.it.folio));
	quire_unpin(o.it.folio);
	hand_do(&o.hand, deed_move, &o.d);
	assert_int_equal(o.d.move.who.why, QUIRE_REASON_SHORT_PIN);
	quire_unpin(o.it.folio);
	hand_do(&o.hand, deed_move, &o.d);
	assert_int_equal(o.d.move.code, 0);
	two_end(&o);
}

static void test_the_ninth_pin_spills_and_is_named_as_the_others(void **state)
{
	struct item it[QUIRE_SHORT_PINS + 3];
	struct deed pin[QUIRE_SHORT_PINS + 3];
	struct quire *q = make_quire(2);
	struct hand hand;
	struct probe p;
	struct deed d;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	hand_start(&hand);
	for (unsigned round = 0; round < 3; round++) {
		uint64_t spilled = stats_of(q).spilled_pins;

		if (!round)
			for (size_t i = 0; i < COUNT_OF(it); i++)
				place(&p, &it[i], 0, ANYWHERE, i);
		for (size_t i = 0; i < COUNT_OF(it); i++) {
			pin[i] = (struct deed){ .folio = it[i].folio };
			deed_pin(&pin[i]);
			assert_true(content_is(pin[i].address, it[i].cookie, 4096));
		}
		assert_int_equal(stats_of(q).spilled_pins - spilled, 3);
		for (size_t i = 0; i < COUNT_OF(it); i++) {
			d = (struct deed){ .folio = it[i].folio, .mode = QUIRE_ASYNC };
			hand_do(&hand, deed_move, &d);
			assert_true(d.move.code < 0);
			assert_int_equal(d.move.who.thread, thread_id());
			assert_string_equal(d.move.who.site, pin[i].site);
		}
		/* First in first out, last in first out, and every other one first. */
		for (size_t i = 0; i < COUNT_OF(it); i++) {
			size_t k = round == 0	? i
				   : round == 1 ? COUNT_OF(it) - 1 - i
						: (i * 2) % COUNT_OF(it);

			quire_unpin(it[k].folio);
			d = (struct deed){ .folio = it[k].folio, .mode = QUIRE_ASYNC };
			hand_do(&hand, deed_move, &d);
			assert_int_equal(d.move.code, 0);
		}
	}
	hand_stop(&hand);
	assert_row_intact(it, COUNT_OF(it));
	drop_row(it, COUNT_OF(it));
	assert_frames_free(q, 1024);
	end_quire(q);
}

static void test_the_ninth_pin_without_memory_is_null_and_harmless(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
		assert_non_null(quire_pin(o.it.folio));
	quire_fault_arm_("mem", 1, -ENOMEM);
	assert_null(quire_pin(o.it.folio));
	assert_true(quire_fault_disarm_());
	assert_non_null(quire_pin(o.it.folio));
	for (unsigned i = 0; i <= QUIRE_SHORT_PINS; i++)
		quire_unpin(o.it.folio);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	two_end(&o);
}

/* --- threads that go, signals, fork ------------------------------------------------------- */

static void test_a_thread_that_is_gone_is_named(void **state)
{
	const struct quire_blocker *who;
	struct quire_plan *plan = NULL;
	struct quire_move move;
	static struct probe p;
	static struct item it;
	struct quire *haunted;
	struct hand hand;
	struct deed d;

	(void)state;
	haunted = make_quire(2);
	make_probe(haunted, "probe", OP_ALL, &p);
	place(&p, &it, 0, ANYWHERE, 1);
	hand_start(&hand);
	d = (struct deed){ .folio = it.folio };
	hand_do(&hand, deed_pin, &d);
	hand_stop(&hand);
	quire_clock_set_(CLOCK_START);
	move = move_folio(it.folio, QUIRE_SYNC, 0); /* and waiting for it would be in vain */
	assert_true(move.code < 0);
	assert_int_equal(move.who.why, QUIRE_REASON_THREAD_GONE);
	assert_string_equal(move.who.site, d.site);
	assert_int_equal(move.who.thread, hand.tid);
	assert_int_equal(move.tries, 1);
	assert_intact(&it);
	assert_int_equal(quire_plan_create(haunted,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = QUIRE_MAX),
					   &plan),
			 0);
	assert_int_equal(quire_plan_blockers(plan), 1);
	who = quire_plan_blocker(plan, 0);
	assert_int_equal(who->why, QUIRE_REASON_THREAD_GONE);
	assert_string_equal(who->site, d.site);
	quire_plan_destroy(plan);
	/* The next thread has a record of its own and takes nothing over. */
	hand_start(&hand);
	hand_do(&hand, deed_pin, &d);
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	move = move_folio(it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_THREAD_GONE);
	/* Nobody is left to release that pin: it does not keep the quire. */
	end_quire(haunted);
	assert_int_equal(it.freed, 1);
	assert_int_equal(it.free_reason, QUIRE_FREE_DESTROY);
}

static struct item *handlers_;
static unsigned handled_;

static void on_signal(int number)
{
	struct item *it = handlers_;

	(void)number;
	handled_ += item_intact(it) && item_reads(it);
}

static void interrupt(void *arg)
{
	(void)arg;
	raise(SIGUSR1);
}

/* The handler runs between the slot's store and the re-check: it takes the next slot. */
static void test_a_signal_handler_may_pin(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, before;
	struct item other;
	void *address;
	struct two o;

	(void)state;
	two_start(&o);
	place(&o.p, &other, 0, ANYWHERE, 6);
	sigaction(SIGUSR1, &action, &before);
	handled_ = 0;
	at_point("pin:published", o.it.folio, interrupt, NULL);
	handlers_ = &other;
	address = quire_pin(o.it.folio);
	assert_int_equal(handled_, 1);
	assert_true(two_here(&o, address));
	assert_int_equal(quire_thread_self_->npins, 1);
	quire_unpin(o.it.folio);
	/* The same folio, and within a section. */
	handlers_ = &o.it;
	at_point("pin:published", other.folio, interrupt, NULL);
	at_point("read:viewed", other.folio, interrupt, NULL);
	assert_intact(&other);
	assert_true(item_reads(&other));
	assert_int_equal(handled_, 3);
	assert_int_equal(quire_thread_self_->npins, 0);
	assert_int_equal(quire_thread_self_->nest, 0);
	no_points();
	sigaction(SIGUSR1, &before, NULL);
	drop(&other);
	two_end(&o);
}

/*
 * The handler comes between the count and the slot's store (pin.h, 1 and 2). There is no sync point
 * in between, so the test plays the interrupted pin by hand. However the handler pins and unpins,
 * the slot that was counted stays the interrupted pin's.
 */
static void test_a_signal_handler_leaves_a_counted_slot_alone(void **state)
{
	static const unsigned char orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
						    { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct quire *q = make_quire(2);
	struct quire_thread_ *t;
	struct item it[4];
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (size_t i = 0; i < 4; i++)
		place(&p, &it[i], 0, ANYWHERE, i);
	t = quire_thread_self_;
	for (size_t o = 0; o < 6; o++) {
		uint32_t i = t->npins++;

		for (size_t k = 0; k < 3; k++)
			assert_non_null(quire_pin(it[k].folio));
		for (size_t k = 0; k < 3; k++)
			quire_unpin(it[orders[o][k]].folio);
		assert_true(t->npins > i);
		__atomic_store_n(&t->slot[i].folio, it[3].folio, __ATOMIC_RELEASE);
		for (size_t k = 0; k < 3; k++)
			assert_non_null(quire_pin(it[k].folio));
		assert_ptr_equal(t->slot[i].folio, it[3].folio);
		for (size_t k = 3; k-- > 0;)
			quire_unpin(it[k].folio);
		assert_int_equal(move_folio(it[3].folio, QUIRE_ASYNC, 0).code, -EAGAIN);
		quire_unpin(it[3].folio);
		assert_int_equal(move_row(it, 4, NULL, QUIRE_ASYNC, 0), 0);
	}
	assert_int_equal(stats_of(q).spilled_pins, 0);
	drop_row(it, 4);
	end_quire(q);
}

static int child_answers(struct two *o)
{
	struct quire_move move = { .folio = o->it.folio };
	struct quire_plan *plan = NULL;
	struct quire_folio *folio = NULL;
	struct quire_owner *owner = NULL;
	struct quire_pin *pin = NULL;

	if (quire_folio_create(o->p.owner, 0, &folio) != -ENXIO)
		return 1;
	if (quire_move_folios(o->q, &move, 1, QUIRE_SYNC, 0) != -ENXIO)
		return 2;
	if (quire_plan_create(o->q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 1),
			      &plan) != -ENXIO)
		return 3;
	if (quire_pin(o->it.folio))
		return 4;
	if (quire_pin_long(o->it.folio, o->p.owner, &pin) == 0)
		return 5;
	if (quire_owner_create(o->q, "child", NULL, NULL, &owner) != -ENXIO)
		return 6;
	quire_folio_put(o->it.folio); /* does nothing: the folio is the parent's */
	(void)quire_reclaim(o->q);
	if (o->p.frees)
		return 7;
	if (quire_destroy(o->q))
		return 8;
	/* A child may make a quire of its own. */
	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 2 << 20), &o->q) ||
	    quire_owner_create(o->q, "child", NULL, NULL, &owner) ||
	    quire_folio_create(owner, 0, &folio) || !quire_pin(folio))
		return 9;
	quire_unpin(folio);
	if (quire_destroy(o->q))
		return 10;
	return 0;
}

static void test_a_forks_child_is_told_that_it_has_no_arena(void **state)
{
	struct two o;
	pid_t child;
	int status = -1;

	(void)state;
	two_start(&o);
	fflush(NULL);
	child = fork();
	if (!child)
		_exit(child_answers(&o));
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0); /* the parent goes on */
	two_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unpin_in_every_order),
		TEST(test_unpin_hand_over_hand_never_spills),
		TEST(test_unpin_of_one_of_two_pins_of_a_folio),
		TEST(test_the_ninth_pin_spills_and_is_named_as_the_others),
		TEST(test_the_ninth_pin_without_memory_is_null_and_harmless),
		TEST(test_a_thread_that_is_gone_is_named),
		TEST(test_a_signal_handler_may_pin),
		TEST(test_a_signal_handler_leaves_a_counted_slot_alone),
		TEST(test_a_forks_child_is_told_that_it_has_no_arena),
	};

	return cmocka_run_group_tests_name("pins", tests, NULL, NULL);
}

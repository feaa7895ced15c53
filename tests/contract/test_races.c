/* SPDX-License-Identifier: MIT */
/*
 * test_races.c: the races of the contract, forced both ways: one side goes first, then the other.
 * What test_protocol.c (pin, long pin and reader against mark, scan and publication; free around
 * it), test_c_free.c (let go of before an op) and test_e.c (the count at 0) force is not repeated.
 */
#include "support.h"

#include <sched.h>

/* --- C18: let go of while an op runs ------------------------------------------------------- */

static void put_by_hand(struct probe *p, struct quire_folio *folio)
{
	(void)folio;
	by_hand_put(p->arg);
}

/* C18 a, the other way: isolate went first. It was told, so it hears the end: free, once. */
static void test_C18a_freed_while_isolate_runs(void **state)
{
	static const int answers[] = { 0, -EBUSY, -EAGAIN };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		struct two o;

		two_start(&o);
		o.p.arg = &o.d;
		o.p.on_isolate = put_by_hand;
		o.p.isolate_says = SCRIPT(answers[i]);
		(void)move_folio(o.it.folio, QUIRE_ASYNC, 0);
		assert_int_equal(o.p.isolates, 1);
		assert_int_equal(o.p.migrates, 0);
		assert_int_equal(o.p.putbacks, 0);
		assert_int_equal(o.it.freed, 1);
		assert_int_equal(o.it.free_thread, thread_id()); /* the mover's was the last */
		two_end(&o);
	}
}

/* C18 b, the other way: migrate went first. It ends as it would, and free follows it. */
static int put_in_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	int code;

	by_hand_put(p->arg);
	CHECK(p->frees == 0); /* not while an op of it runs */
	code = probe_commit(p, batch, answer);
	CHECK(p->frees == 0);
	return code;
}

static void test_C18b_freed_while_migrate_runs(void **state)
{
	static const int answers[] = { 0, -EIO, -EAGAIN };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		struct two o;

		two_start(&o);
		o.p.arg = &o.d;
		o.p.on_migrate = put_in_migrate;
		o.p.migrate_says = SCRIPT(answers[i]);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_int_equal(o.p.migrates, 1);
		assert_int_equal(o.p.putbacks, 0);
		assert_int_equal(o.it.freed, 1);
		two_end(&o);
	}
}

/* C18 c, the other way: putback went first, exactly once; then free, exactly once. */
static void test_C18c_freed_while_putback_runs(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	o.p.arg = &o.d;
	o.p.on_putback = put_by_hand;
	o.p.migrate_says = SCRIPT(-EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO);
	assert_int_equal(o.p.putbacks, 1);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_thread, thread_id());
	two_end(&o);
}

/* --- H-E1: the last put against a mover ---------------------------------------------------- */

static void mover_finds_nothing(void *arg)
{
	struct two *o = arg;

	by_hand_move(&o->d);
	CHECK(o->d.move.code == -ESTALE);
	CHECK(o->p.isolates == 0);
}

/* The put goes first: a mover that comes at any step of it finds no folio, and asks nobody. */
static void test_HE1_the_put_first(void **state)
{
	static const char *const steps[] = { "put:zero", "put:dead", "retire:queued",
					     "retire:freeing" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct at_point *rule;
		struct two o;

		two_start(&o);
		rule = at_point(steps[i], o.it.folio, mover_finds_nothing, &o);
		drop(&o.it);
		(void)quire_reclaim(o.q);
		assert_int_equal(hits(rule), 1);
		assert_int_equal(o.it.freed, 1);
		assert_int_equal(o.it.free_thread, thread_id());
		two_end(&o);
	}
}

/* The mover goes first: then its reference is the last, wherever it is, and free is its to call. */
static void test_HE1_the_mover_first(void **state)
{
	static const char *const steps[] = { "isolate:marked",	"isolate:done",	  "migrate:before",
					     "commit:marked",	"commit:scanned", "commit:copied",
					     "commit:published" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct at_point *rule;
		struct two o;

		two_start(&o);
		rule = at_point(steps[i], o.it.folio, by_hand_put, &o.d);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_int_equal(hits(rule), 1);
		assert_int_equal(o.it.freed, 1);
		assert_int_equal(o.it.free_thread, thread_id());
		assert_int_equal(o.p.putbacks, 0);
		two_end(&o);
	}
}

/* --- pin against DEAD ---------------------------------------------------------------------- */

struct held {
	struct two o;
	struct gate published, go_on;
};

static void held_at_published(void *arg)
{
	struct held *h = arg;

	gate_open(&h->published);
	gate_pass(&h->go_on);
}

/* The slot is filled before DEAD is set and looked at after: the pin is refused, the frame held. */
static void test_E8_pin_published_before_dead_is_refused_and_holds_the_frame(void **state)
{
	struct quire_blocker who;
	struct held h;

	(void)state;
	memset(&who, 0, sizeof(who));
	two_start(&h.o);
	gate_init(&h.published);
	gate_init(&h.go_on);
	at_point("pin:published", h.o.it.folio, held_at_published, &h);
	hand_post(&h.o.hand, deed_pin, &h.o.d);
	gate_pass(&h.published);
	drop(&h.o.it);
	assert_int_equal(h.o.it.freed, 1);
	/* Its slot is seen, whatever it will decide: the frame waits. */
	assert_int_equal(quire_reclaim(h.o.q), 1);
	gate_open(&h.go_on);
	hand_wait(&h.o.hand);
	assert_null(h.o.d.address);
	assert_int_equal(quire_reclaim(h.o.q), 0);
	two_end(&h.o);
}

static void reclaim_here(void *arg)
{
	CHECK(quire_reclaim(arg) == 1);
}

/* The same of a long pin: counted before it looks. */
static void by_hand_drop(void *arg)
{
	struct two *o = arg;

	by_hand_put(&o->d);
	reclaim_here(o->q);
}

static void test_E8_long_pin_counted_before_dead_is_refused_and_holds_the_frame(void **state)
{
	struct quire_pin *pin;
	struct two o;

	(void)state;
	two_start(&o);
	at_point("pin-long:counted", o.it.folio, by_hand_drop, &o);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), -ESTALE);
	assert_null(pin);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(quire_reclaim(o.q), 0);
	two_end(&o);
}

/* --- those who wait ------------------------------------------------------------------------ */

/* Until the thread sleeps; it passed "pin:waiting", and only the futex is left to sleep in. */
static bool asleep(int tid)
{
	char path[64], text[256] = "";
	const char *after;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	(void)fclose(f);
	after = strrchr(text, ')'); /* behind the name, which may hold anything */
	return after && after[1] == ' ' && after[2] == 'S';
}

static void by_hand_pin_until_it_sleeps(void *arg)
{
	struct two *o = arg;

	by_hand_pin_until_it_waits(&o->d);
	while (!asleep(o->hand.tid))
		(void)sched_yield();
}

/* Its wait has no end of its own, so that it ends by being woken, or not at all. */
static void wait_without_end(struct two *o)
{
	at_point("pin:waiting", o->it.folio, gate_open, &o->gate);
	quire_fault_arm_("os:futex-timeout", 1, 1);
}

static void test_a_waiter_is_woken_by_a_publication(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	wait_without_end(&o);
	at_point("commit:scanned", o.it.folio, by_hand_pin_until_it_sleeps, &o);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_true(quire_fault_disarm_());
	hand_wait(&o.hand);
	assert_true(two_here(&o, o.d.address));
	assert_int_not_equal(at_frame(&o.it), o.old);
	hand_do(&o.hand, deed_unpin, &o.d);
	two_end(&o);
}

/* The folio is pinned, so the mover takes its mark back; a second pin met the mark meanwhile. */
static void test_a_waiter_is_woken_by_a_move_that_fails(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	assert_non_null(quire_pin(o.it.folio));
	wait_without_end(&o);
	at_point("commit:marked", o.it.folio, by_hand_pin_until_it_sleeps, &o);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EAGAIN);
	assert_true(quire_fault_disarm_());
	hand_wait(&o.hand);
	assert_true(two_here(&o, o.d.address));
	assert_int_equal(at_frame(&o.it), o.old);
	hand_do(&o.hand, deed_unpin, &o.d);
	quire_unpin(o.it.folio);
	two_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_C18a_freed_while_isolate_runs),
		TEST(test_C18b_freed_while_migrate_runs),
		TEST(test_C18c_freed_while_putback_runs),
		TEST(test_HE1_the_put_first),
		TEST(test_HE1_the_mover_first),
		TEST(test_E8_pin_published_before_dead_is_refused_and_holds_the_frame),
		TEST(test_E8_long_pin_counted_before_dead_is_refused_and_holds_the_frame),
		TEST(test_a_waiter_is_woken_by_a_publication),
		TEST(test_a_waiter_is_woken_by_a_move_that_fails),
	};

	return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}

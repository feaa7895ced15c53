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

/* C18 a: the free goes first: no op hears of the folio, isolate neither. */
static void put_the_other(struct probe *p, struct quire_folio *folio)
{
	struct item *it = quire_folio_private(folio), *row = p->arg;

	if (it == row)
		drop(&row[1]);
}

static void test_C18a_freed_before_isolate_reaches_no_op(void **state)
{
	struct quire_move moves[2];
	struct quire *q = make_quire(2);
	struct item row[2];
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, row, 2, 0, 0, 0);
	p.arg = row;
	p.on_isolate = put_the_other;
	assert_int_equal(move_row(row, 2, moves, QUIRE_ASYNC, 0), 0);
	assert_int_equal(moves[1].who.why, QUIRE_REASON_FREED);
	assert_int_equal(p.isolates, 1);
	assert_int_equal(row[1].freed, 1);
	assert_int_equal(row[0].moved, 1);
	assert_intact(&row[0]);
	assert_item_ledger(&row[0]);
	drop(&row[0]);
	assert_ledger_closed(q);
	assert_frames_free(q, 1024);
	end_quire(q);
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

static void until_asleep(struct two *o)
{
	while (!asleep(o->hand.tid))
		(void)sched_yield();
}

static void by_hand_pin_until_it_sleeps(void *arg)
{
	struct two *o = arg;

	by_hand_pin_until_it_waits(&o->d);
	until_asleep(o);
}

/* The pin is published, and goes on to its re-check: it is done, or sleeps. */
static void by_hand_pin_to_its_end(void *arg)
{
	struct two *o = arg;

	hand_post(&o->hand, deed_pin, &o->d);
	gate_pass(&o->gate);
	until_asleep(o);
}

static void by_hand_pin_long_to_its_end(void *arg)
{
	struct two *o = arg;

	hand_post(&o->hand, deed_pin_long, &o->d);
	gate_pass(&o->gate);
	until_asleep(o);
}

/* X17: a pin that comes when the pins were counted is not given the place that is left. */
static void test_X17_a_pin_after_the_scan_never_has_the_old_place(void **state)
{
	static const char *const steps[] = { "commit:scanned", "commit:copied" };

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(steps); i++) {
		bool is_long = i % 2;
		struct two o;

		two_start(&o);
		hand_do(&o.hand, deed_pin, &o.d); /* its first one is not inline */
		hand_do(&o.hand, deed_unpin, &o.d);
		at_point(is_long ? "pin-long:counted" : "pin:published", o.it.folio, gate_open,
			 &o.gate);
		at_point(steps[i / 2], o.it.folio,
			 is_long ? by_hand_pin_long_to_its_end : by_hand_pin_to_its_end, &o);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		hand_wait(&o.hand);
		assert_int_not_equal(at_frame(&o.it), o.old);
		assert_true(two_here(&o, o.d.address));
		hand_do(&o.hand, is_long ? deed_unpin_long : deed_unpin, &o.d);
		two_end(&o);
	}
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

/* A mover between two tries, without an end of its wait either: what is to wake it has to. */
static void mover_sleeps(struct two *o)
{
	o->d.mode = QUIRE_SYNC;
	o->d.deadline = 3600 * SEC;
	at_point("putback:before", o->it.folio, gate_open, &o->gate);
	quire_fault_arm_("os:futex-timeout", 1, 1);
	hand_post(&o->hand, deed_move, &o->d);
	gate_pass(&o->gate);
	until_asleep(o);
	assert_true(quire_fault_disarm_());
}

static void test_HC2_the_owners_word_wakes_the_mover(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	o.p.migrate_says = SCRIPT(-EAGAIN, 0);
	mover_sleeps(&o);
	quire_movable_again(o.q);
	hand_wait(&o.hand);
	assert_int_equal(o.d.move.code, 0);
	assert_int_equal(o.p.migrates, 2);
	two_end(&o);
}

static void test_HC2_the_end_of_a_long_pin_wakes_the_mover(void **state)
{
	struct quire_pin *pin;
	struct two o;

	(void)state;
	two_start(&o);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0);
	mover_sleeps(&o);
	quire_unpin_long(pin);
	hand_wait(&o.hand);
	assert_int_equal(o.d.move.code, 0);
	two_end(&o);
}

struct sleeper {
	struct two o;
	struct quire_fence *fence;
	int code;
};

static void detach_it(void *arg)
{
	struct sleeper *s = arg;

	s->code = quire_owner_detach(s->o.p.owner, 3600 * SEC, NULL);
}

static int detach_meanwhile(struct probe *p, struct quire_batch *batch, int answer)
{
	struct sleeper *s = p->arg;

	hand_post(&s->o.hand, detach_it, s);
	gate_pass(&s->o.gate);
	until_asleep(&s->o);
	return probe_commit(p, batch, answer);
}

/* H-A1: the detach sleeps until the op has ended, and is told of it. */
static void test_HA1_detach_is_woken_by_the_end_of_the_op(void **state)
{
	struct sleeper s = { .code = 1 };

	(void)state;
	two_start(&s.o);
	s.o.p.arg = &s;
	s.o.p.on_migrate = detach_meanwhile;
	at_point("detach:waiting", s.o.p.owner, gate_open, &s.o.gate);
	quire_fault_arm_("os:futex-timeout", 1, 1);
	assert_int_equal(move_folio(s.o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_true(quire_fault_disarm_());
	hand_wait(&s.o.hand);
	assert_int_equal(s.code, 0);
	assert_int_equal(s.o.p.migrates, 1);
	assert_intact(&s.o.it);
	no_points();
	hand_stop(&s.o.hand);
	drop(&s.o.it);
	assert_int_equal(s.o.p.frees, 0); /* the owner is gone */
	assert_frames_free(s.o.q, 1024);
	end_quire(s.o.q);
}

static void wait_for_it(void *arg)
{
	struct sleeper *s = arg;

	s->code = quire_fence_wait(s->fence, 3600 * SEC);
}

static void test_HC1_who_waits_for_a_fence_is_woken(void **state)
{
	struct sleeper s = { .code = 1 };

	(void)state;
	two_start(&s.o);
	assert_int_equal(quire_fence_create(s.o.q, "job", &s.fence), 0);
	at_point("fence:waiting", s.fence, gate_open, &s.o.gate);
	quire_fault_arm_("os:futex-timeout", 1, 1);
	hand_post(&s.o.hand, wait_for_it, &s);
	gate_pass(&s.o.gate);
	until_asleep(&s.o);
	assert_true(quire_fault_disarm_());
	quire_fence_signal(s.fence);
	hand_wait(&s.o.hand);
	assert_int_equal(s.code, 0);
	quire_fence_put(s.fence);
	two_end(&s.o);
}

/* --- plans, puts --------------------------------------------------------------------------- */

struct rival {
	struct quire *q;
	struct hand *hand;
	struct quire_plan *plan;
	unsigned claimed;
	int code;
};

static unsigned claimed_blocks(struct quire *q)
{
	unsigned n = 0;

	for (uint32_t b = 0; b < quire_blocks(q); b++)
		n += is_claimed(q, b);
	return n;
}

static void execute_rival(void *arg)
{
	struct rival *r = arg;

	r->code = quire_plan_execute(r->plan, NULL, NULL);
}

static void by_hand_execute_rival(void *arg)
{
	struct rival *r = arg;

	hand_do(r->hand, execute_rival, r);
	r->claimed = claimed_blocks(r->q);
}

/* X33: two plans chose the same window; who comes second leaves it to the first. */
static void test_X33_a_window_claimed_since_the_plan_is_left_alone(void **state)
{
	struct quire *q = make_quire(3);
	struct item rows[3][4];
	struct quire_plan *plan;
	struct rival r = { .q = q };
	struct hand hand;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (uint32_t b = 0; b < 3; b++)
		place_row(&p, rows[b], 4, 0, b * 512, b * 100);
	hand_start(&hand);
	r.hand = &hand;
	plan = plan_of(q, 512, 1);
	r.plan = plan_of(q, 512, 1);
	at_point("plan:claimed", plan, by_hand_execute_rival, &r);
	assert_int_equal(quire_plan_execute(plan, NULL, NULL), 0);
	assert_int_equal(r.code, 0); /* it chose another */
	assert_int_equal(r.claimed, 1);
	assert_int_equal(claimed_blocks(q), 0);
	assert_true(empty_blocks(q) >= 1);
	quire_plan_destroy(plan);
	quire_plan_destroy(r.plan);
	hand_stop(&hand);
	for (uint32_t b = 0; b < 3; b++) {
		assert_row_intact(rows[b], 4);
		drop_row(rows[b], 4);
	}
	no_points();
	end_quire(q);
}

/* H-E1: one put too many, of a folio that is gone and that a reader still knows. */
static void test_HE1_a_put_too_many_changes_nothing(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	assert_int_equal(quire_read_enter(), 0);
	drop(&o.it);
	quire_folio_put(o.it.folio);
	assert_int_equal(o.it.freed, 1);
	assert_false(quire_folio_get(o.it.folio));
	quire_read_leave();
	two_end(&o);
}

static void test_a_program_of_another_abi_is_refused(void **state)
{
	struct quire_options options = *QUIRE_OPTIONS(.arena_bytes = 1 << 21);
	struct quire *q = NULL;

	(void)state;
	options.abi++;
	assert_int_equal(quire_create(&options, &q), -EPROTO);
	assert_null(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_C18a_freed_while_isolate_runs),
		TEST(test_C18a_freed_before_isolate_reaches_no_op),
		TEST(test_C18b_freed_while_migrate_runs),
		TEST(test_C18c_freed_while_putback_runs),
		TEST(test_HE1_the_put_first),
		TEST(test_HE1_the_mover_first),
		TEST(test_E8_pin_published_before_dead_is_refused_and_holds_the_frame),
		TEST(test_E8_long_pin_counted_before_dead_is_refused_and_holds_the_frame),
		TEST(test_a_waiter_is_woken_by_a_publication),
		TEST(test_a_waiter_is_woken_by_a_move_that_fails),
		TEST(test_X17_a_pin_after_the_scan_never_has_the_old_place),
		TEST(test_HC2_the_owners_word_wakes_the_mover),
		TEST(test_HC2_the_end_of_a_long_pin_wakes_the_mover),
		TEST(test_HA1_detach_is_woken_by_the_end_of_the_op),
		TEST(test_HC1_who_waits_for_a_fence_is_woken),
		TEST(test_X33_a_window_claimed_since_the_plan_is_left_alone),
		TEST(test_HE1_a_put_too_many_changes_nothing),
		TEST(test_a_program_of_another_abi_is_refused),
	};

	return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}

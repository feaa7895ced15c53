/* SPDX-License-Identifier: MIT */
/*
 * test_edges.c: where two rules of the contract meet: handlers inside of a half-entered section,
 * records that pass from thread to thread, a fork in the middle of a move, budgets that end in the
 * moment the goal is met, windows that something other than a live folio keeps.
 */
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

struct edge {
	struct quire *q;
	struct probe p;
	struct item it;
	struct hand hand;
	struct deed d;
};

static void edge_start(struct edge *o, unsigned blocks)
{
	o->q = make_quire(blocks);
	make_probe(o->q, "probe", OP_ALL, &o->p);
	place(&o->p, &o->it, 0, quire_frame(0), 0xed6e);
	hand_start(&o->hand);
	o->d = (struct deed){ .folio = o->it.folio, .who = o->p.owner, .hand = &o->hand };
	hand_do(&o->hand, deed_enter, &o->d);
	hand_do(&o->hand, deed_leave, &o->d);
}

/* The folio was dropped. */
static void edge_end(struct edge *o)
{
	no_points();
	hand_stop(&o->hand);
	assert_int_equal(o->it.freed, 1);
	assert_ledger_closed(o->q);
	assert_frames_free(o->q, stats_of(o->q).frames);
	end_quire(o->q);
}

/* --- handlers and sections ---------------------------------------------------------------- */

/*
 * A handler that comes when the interrupted section has counted itself and not announced its epoch
 * yet is in a section all the same. There is no sync point between the two, so the test plays the
 * interrupted section by hand.
 */
static void test_a_handlers_section_is_announced_wherever_it_comes(void **state)
{
	struct quire_thread_ *t;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	assert_int_equal(quire_read_enter(), 0);
	quire_read_leave();
	t = quire_thread_self_;
	t->nest++;
	assert_int_equal(quire_read_enter(), 0);
	assert_int_not_equal(t->epoch, 0);
	hand_do(&o.hand, deed_put, &o.d);
	assert_int_equal(quire_reclaim(o.q), 1); /* and so it keeps what is freed meanwhile */
	quire_read_leave();
	quire_read_leave();
	assert_int_equal(t->nest, 0);
	assert_int_equal(t->epoch, 0);
	edge_end(&o);
}

/* --- records that pass from thread to thread ---------------------------------------------- */

static void note_record(void *record)
{
	*(struct quire_thread_ **)record = quire_thread_self_;
}

/* What stands above the top of the slots is empty, for the next thread too. */
static void test_a_record_is_left_without_holes(void **state)
{
	struct quire_thread_ *record = NULL;
	struct item other;
	struct hand hand;
	struct deed first, second;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	place(&o.p, &other, 0, ANYWHERE, 2);
	first = (struct deed){ .folio = o.it.folio };
	second = (struct deed){ .folio = other.folio };
	hand_start(&hand);
	hand_do(&hand, deed_pin, &first);
	hand_do(&hand, deed_pin, &second);
	hand_do(&hand, deed_unpin, &first);
	hand_do(&hand, deed_unpin, &second);
	hand_do(&hand, note_record, &record);
	hand_stop(&hand);
	assert_non_null(record);
	assert_int_equal(record->npins, 0);
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
		assert_null(record->slot[i].folio);
	drop(&other);
	drop(&o.it);
	edge_end(&o);
}

/* The age of a pin is not inherited from a thread that had the record before. */
static void test_a_new_threads_pin_is_young(void **state)
{
	struct quire_thread_ *before = NULL, *after = NULL;
	struct quire_move move;
	struct hand hand;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	quire_clock_set_(CLOCK_START);
	hand_start(&hand);
	hand_do(&hand, deed_pin, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EAGAIN);
	hand_do(&hand, deed_unpin, &o.d);
	hand_do(&hand, note_record, &before);
	hand_stop(&hand);
	quire_clock_set_(CLOCK_START + 10 * SEC);
	hand_start(&hand);
	hand_do(&hand, deed_pin, &o.d);
	hand_do(&hand, note_record, &after);
	assert_ptr_equal(before, after);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.who.thread, hand.tid);
	assert_int_equal(move.who.age_ns, 0);
	hand_do(&hand, deed_unpin, &o.d);
	hand_stop(&hand);
	drop(&o.it);
	edge_end(&o);
}

/* A ninth pin is a short one all the same: its thread is gone, so nobody is left to release it. */
static void test_a_spilled_pin_of_a_thread_that_is_gone(void **state)
{
	struct quire_move move;
	static struct edge o;
	struct hand hand;

	(void)state;
	edge_start(&o, 2);
	hand_start(&hand);
	for (unsigned i = 0; i < QUIRE_SHORT_PINS + 1; i++)
		hand_do(&hand, deed_pin, &o.d);
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++) /* the spilled one stays */
		hand_do(&hand, deed_unpin, &o.d);
	hand_stop(&hand);
	assert_int_equal(stats_of(o.q).spilled_pins, 1);
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_THREAD_GONE);
	assert_int_equal(move.who.thread, hand.tid);
	assert_string_equal(move.who.site, o.d.site);
	assert_int_equal(move.tries, 1);
	hand_stop(&o.hand);
	end_quire(o.q);
	assert_int_equal(o.it.free_reason, QUIRE_FREE_DESTROY);
}

/* --- fork --------------------------------------------------------------------------------- */

struct forking {
	struct edge o;
	int status;
};

/* Nobody will ever finish the move that the child sees half done. */
static void fork_and_pin(void *arg)
{
	struct forking *f = arg;
	struct quire_pin *pin;
	pid_t child = fork();

	if (!child) {
		alarm(20);
		_exit(quire_pin(f->o.it.folio)					    ? 1
		      : quire_pin_long(f->o.it.folio, f->o.p.owner, &pin) != -ENXIO ? 2
										    : 0);
	}
	CHECK(child > 0);
	CHECK(waitpid(child, &f->status, 0) == child);
}

static void test_a_child_forked_in_a_move_does_not_wait_for_it(void **state)
{
	struct forking f = { .status = -1 };

	(void)state;
	edge_start(&f.o, 2);
	at_point("commit:copied", f.o.it.folio, fork_and_pin, &f);
	assert_int_equal(move_folio(f.o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_true(WIFEXITED(f.status));
	assert_int_equal(WEXITSTATUS(f.status), 0);
	drop(&f.o.it);
	edge_end(&f.o);
}

/* Counters and blocks stand under locks that another thread may have held when the child was made.
 */
static void test_a_child_gets_no_counters(void **state)
{
	struct quire_block_info info = { .size = sizeof(info) };
	struct quire_stats stats = { .size = sizeof(stats) };
	int status = -1;
	struct edge o;
	pid_t child;

	(void)state;
	edge_start(&o, 2);
	fflush(NULL);
	child = fork();
	if (!child)
		_exit(quire_stats_get(o.q, &stats) != -ENXIO ||
		      quire_block_info(o.q, 0, &info) != -ENXIO);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	drop(&o.it);
	edge_end(&o);
}

/* --- errno -------------------------------------------------------------------------------- */

static void test_errno_is_left_alone(void **state)
{
	struct quire_folio *folio;
	struct quire_move move;
	struct edge o;
	size_t n = 0;

	(void)state;
	edge_start(&o, 1);
	hand_do(&o.hand, deed_pin, &o.d);
	errno = 77;
	move = move_folio(o.it.folio, QUIRE_SYNC_LIGHT, 0); /* waits a millisecond */
	assert_int_equal(errno, 77);
	assert_int_equal(move.code, -EAGAIN);
	assert_true(move.tries > 1);
	hand_do(&o.hand, deed_unpin, &o.d);
	while (!quire_folio_create(o.p.owner, 0, &folio) && ++n < 512)
		quire_folio_set_private(folio, NULL);
	assert_int_equal(errno, 77);
	assert_int_equal(n, 511);
	no_points();
	hand_stop(&o.hand);
	errno = 77;
	end_quire(o.q);
	assert_int_equal(errno, 77);
}

/* --- references ---------------------------------------------------------------------------- */

/* One reference too many for the count is refused; it does not become a pin. */
static void test_references_do_not_overflow(void **state)
{
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	o.it.folio->count_ += UINT32_MAX - 2; /* as if so many had been taken */
	assert_false(quire_folio_get(o.it.folio));
	quire_folio_put(o.it.folio);
	assert_true(quire_folio_get(o.it.folio));
	assert_false(quire_folio_get(o.it.folio));
	o.it.folio->count_ -= UINT32_MAX - 2;
	assert_int_equal(o.it.freed, 0);
	drop(&o.it);
	edge_end(&o);
}

static int create_in_destroy_;

static void create_in_free(struct probe *probe, struct quire_folio *folio)
{
	struct quire_folio *another = NULL;
	struct item *it = quire_folio_private(folio);

	if (it->free_reason != QUIRE_FREE_DESTROY)
		return;
	create_in_destroy_ =
		quire_folio_create_with(probe->owner, QUIRE_FOLIO(.private_data = NULL), &another);
}

/* What an op makes while its quire goes would never be told that it went: it is not made. */
static void test_nothing_is_made_in_a_quire_that_goes(void **state)
{
	static struct item low;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	/* A free descriptor below those alive: the walk has passed it by then. */
	place(&o.p, &low, 0, ANYWHERE, 3);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 0);
	o.p.on_free = create_in_free;
	create_in_destroy_ = 0;
	hand_stop(&o.hand);
	end_quire(o.q);
	assert_int_equal(low.freed, 1);
	assert_int_equal(create_in_destroy_, -ESHUTDOWN);
}

/* --- creation ----------------------------------------------------------------------------- */

static void by_hand_move_it(void *arg)
{
	struct edge *o = arg;

	by_hand_move(&o->d);
}

/*
 * A mover may reach a folio from the moment it has a reference, by a handle of the life before. By
 * then everything about it stands, and what the move changes is not overwritten.
 */
static void test_a_folio_can_move_from_its_first_reference_on(void **state)
{
	struct quire_block_info info = { .size = sizeof(info) };
	struct quire_folio *again = NULL;
	static struct item second;
	uint32_t was;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	second = (struct item){ .probe = &o.p };
	was = at_frame(&o.it);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 0);
	o.d.mode = QUIRE_ASYNC;
	at_point("create:counted", o.it.folio, by_hand_move_it, &o);
	assert_int_equal(quire_folio_create_with(o.p.owner,
						 QUIRE_FOLIO(.at_set = 1, .at = quire_frame(was),
							     .private_data = &second),
						 &again),
			 0);
	assert_ptr_equal(again, o.it.folio);
	assert_int_equal(o.d.move.code, 0);
	assert_int_not_equal(quire_folio_frame(again).n, was);
	(void)quire_reclaim(o.q);
	assert_int_equal(quire_block_info(o.q, was / 512, &info), 0);
	assert_int_equal(info.used, 1);
	assert_int_equal(info.folios, 1);
	assert_null(folios_validate(o.q));
	quire_folio_put(again);
	assert_int_equal(second.freed, 1);
	assert_item_ledger(&second);
	edge_end(&o);
}

struct crowded {
	struct edge o;
	struct gate full;
	struct quire_folio *made;
	int error;
};

static void create_one(void *arg)
{
	struct crowded *c = arg;

	c->error =
		quire_folio_create_with(c->o.p.owner, QUIRE_FOLIO(.private_data = NULL), &c->made);
}

static void somebody_creates(void *arg)
{
	struct crowded *c = arg;

	hand_post(&c->o.hand, create_one, c);
	gate_pass(&c->full);
}

/* Frames that another thread is about to give back are not "no memory". */
static void test_create_waits_for_a_reclaim_that_runs(void **state)
{
	static struct item fill[511];
	struct crowded c = { .error = 1 };

	(void)state;
	edge_start(&c.o, 1);
	gate_init(&c.full);
	place_row(&c.o.p, fill, 511, 0, 1, 100);
	drop(&c.o.it);
	at_point("create:full", NULL, gate_open, &c.full);
	at_point("retire:freeing", c.o.it.folio, somebody_creates, &c);
	assert_int_equal(quire_reclaim(c.o.q), 0);
	hand_wait(&c.o.hand);
	assert_int_equal(c.error, 0);
	c.o.p.on_free = NULL;
	quire_folio_put(c.made);
	drop_row(fill, 511);
	edge_end(&c.o);
}

/* --- plans -------------------------------------------------------------------------------- */

/* "In every case the result says what was done." */
static void test_a_refused_execution_says_that_nothing_was_done(void **state)
{
	struct quire_plan *plan;
	struct quire_result r;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	plan = plan_of(o.q, 512, 1);
	memset(&r, 0xa5, sizeof(r));
	r.size = sizeof(r);
	assert_int_equal(quire_read_enter(), 0);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), -EDEADLK);
	quire_read_leave();
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.folios_moved, 0);
	assert_int_equal(quire_plan_execute(plan, NULL, NULL), 0);
	memset(&r, 0xa5, sizeof(r));
	r.size = sizeof(r);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), -EALREADY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	quire_plan_destroy(plan);
	drop(&o.it);
	edge_end(&o);
}

static int slow_migrate(struct probe *probe, struct quire_batch *batch, int answer)
{
	quire_clock_set_(CLOCK_START + 10 * SEC);
	return probe_commit(probe, batch, answer);
}

static void test_a_goal_met_at_the_deadline_is_met(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct item other;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	place(&o.p, &other, 0, quire_frame(512), 9);
	o.p.on_migrate = slow_migrate;
	quire_clock_set_(CLOCK_START);
	plan = plan_of(o.q, 512, 1);
	assert_int_equal(quire_plan_execute(plan, QUIRE_BUDGET(.deadline_ns = SEC), &r), 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 4096);
	quire_plan_destroy(plan);
	drop(&o.it);
	drop(&other);
	edge_end(&o);
}

/* The budget of bytes is for what moves, not for old places that a reader keeps. */
static void test_a_reader_uses_up_no_bytes(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct item other;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	place(&o.p, &other, 0, quire_frame(512), 9);
	hand_do(&o.hand, deed_enter, &o.d);
	quire_clock_set_(CLOCK_START);
	plan = plan_of(o.q, 512, 1);
	assert_int_equal(
		quire_plan_execute(plan, QUIRE_BUDGET(.bytes = 4096, .folio_ns = 20 * MSEC), &r),
		-EBUSY);
	assert_int_equal(r.bytes_moved, 4096);
	assert_int_equal(quire_plan_blockers(plan), 1);
	assert_int_equal(quire_plan_blocker(plan, 0)->why, QUIRE_REASON_READER);
	assert_int_equal(quire_plan_blocker(plan, 0)->thread, o.hand.tid);
	quire_plan_destroy(plan);
	hand_do(&o.hand, deed_leave, &o.d);
	drop(&o.it);
	drop(&other);
	edge_end(&o);
}

/* Freed under a pin after the plan was made: that is named, and no reader, for there is none. */
static void test_what_was_freed_under_a_pin_is_named_as_such(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct item others[2];
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	place_row(&o.p, others, 2, 0, 512, 7);
	quire_clock_set_(CLOCK_START);
	hand_do(&o.hand, deed_pin, &o.d);
	plan = plan_of(o.q, 512, 1);
	drop(&o.it);
	assert_int_equal(quire_plan_execute(plan, QUIRE_BUDGET(.folio_ns = 20 * MSEC), &r), 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.bytes_moved, 2 * 4096);
	assert_int_equal(quire_plan_blockers(plan), 1);
	assert_int_equal(quire_plan_blocker(plan, 0)->why, QUIRE_REASON_RETIRED);
	assert_int_equal(quire_plan_blocker(plan, 0)->thread, o.hand.tid);
	assert_string_equal(quire_plan_blocker(plan, 0)->site, o.d.site);
	quire_plan_destroy(plan);
	hand_do(&o.hand, deed_unpin, &o.d);
	drop_row(others, 2);
	edge_end(&o);
}

/* SYNC_LIGHT: a millisecond a call, however often windows are chosen anew. */
static void test_sync_light_is_a_millisecond_for_all_windows(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct item it[6];
	struct deed d[6];
	struct edge o;

	(void)state;
	edge_start(&o, 8);
	quire_clock_set_(CLOCK_START);
	for (uint32_t i = 0; i < 6; i++) {
		place(&o.p, &it[i], 0, quire_frame((i + 1) * 512), i);
		d[i] = (struct deed){ .folio = it[i].folio };
		hand_do(&o.hand, deed_pin, &d[i]);
	}
	hand_do(&o.hand, deed_pin, &o.d);
	plan = plan_of(o.q, 512, 2); /* one is free, any other one would do */
	assert_int_equal(
		quire_plan_execute(plan, QUIRE_BUDGET(.mode = QUIRE_SYNC_LIGHT, .mode_set = 1), &r),
		-EBUSY);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(quire_plan_blockers(plan), 7);
	assert_in_range(r.elapsed_ns, MSEC / 2, 2 * MSEC);
	quire_plan_destroy(plan);
	hand_do(&o.hand, deed_unpin, &o.d);
	for (unsigned i = 6; i-- > 0;) {
		hand_do(&o.hand, deed_unpin, &d[i]);
		drop(&it[i]);
	}
	drop(&o.it);
	edge_end(&o);
}

/* A window in which freed frames still wait for a reader is not free already. */
static void test_a_window_that_waits_is_not_free_yet(void **state)
{
	struct quire_plan_info info = { .size = sizeof(info) };
	struct quire_plan *plan;
	struct edge o;

	(void)state;
	edge_start(&o, 2);
	hand_do(&o.hand, deed_enter, &o.d);
	drop(&o.it);
	plan = plan_of(o.q, 512, 2);
	assert_int_equal(quire_plan_info(plan, &info), 0);
	assert_int_equal(info.runs, 2);
	assert_int_equal(info.runs_free, 1);
	quire_plan_destroy(plan);
	hand_do(&o.hand, deed_leave, &o.d);
	edge_end(&o);
}

/* A reader that goes on is waited for, one that does not is not waited for long. */
struct leaver {
	struct hand *hand;
	struct deed *deed;
};

static void leaver_leaves(void *arg)
{
	struct leaver *l = arg;

	hand_do(l->hand, deed_leave, l->deed);
}

static void test_create_waits_for_a_reader_that_goes_on(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_owner *owner;
	struct quire_folio *big, *next = NULL;
	struct leaver l;
	struct hand hand;
	struct deed d;

	(void)state;
	assert_int_equal(quire_owner_create(q, "owner", NULL, NULL, &owner), 0);
	assert_int_equal(quire_folio_create(owner, 9, &big), 0);
	hand_start(&hand);
	d = (struct deed){ .folio = big };
	hand_do(&hand, deed_enter, &d);
	quire_folio_put(big);
	quire_clock_set_(CLOCK_START);
	assert_int_equal(quire_folio_create(owner, 9, &next), -ENOMEM);
	/* In a section of one's own there is nothing to wait for but oneself. */
	assert_int_equal(quire_read_enter(), 0);
	assert_int_equal(quire_folio_create(owner, 9, &next), -ENOMEM);
	quire_read_leave();
	l = (struct leaver){ .hand = &hand, .deed = &d };
	at_point_nth("create:waiting", NULL, 1, 1, leaver_leaves, &l);
	assert_int_equal(quire_folio_create(owner, 9, &next), 0);
	no_points();
	quire_folio_put(next);
	hand_stop(&hand);
	end_quire(q);
}

/* What is pinned long does not spread over all blocks. */
static void test_pinned_long_folios_keep_together(void **state)
{
	struct quire *q = make_quire(8);
	struct quire_folio *movable[1200], *pinned[120];
	struct quire_owner *owner;
	bool in[8] = { false };
	unsigned n = 0, blocks = 0;

	(void)state;
	assert_int_equal(quire_owner_create(q, "owner", NULL, NULL, &owner), 0);
	for (unsigned i = 0; i < COUNT_OF(movable); i++) {
		assert_int_equal(quire_folio_create(owner, 0, &movable[i]), 0);
		if (i % 10)
			continue;
		assert_int_equal(
			quire_folio_create_with(owner, QUIRE_FOLIO(.pinned_long = 1), &pinned[n]),
			0);
		in[quire_folio_frame(pinned[n++]).n / 512] = true;
	}
	for (unsigned b = 0; b < COUNT_OF(in); b++)
		blocks += in[b];
	assert_int_equal(blocks, 1);
	for (unsigned i = 0; i < COUNT_OF(movable); i++)
		quire_folio_put(movable[i]);
	while (n--)
		quire_folio_put(pinned[n]);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pinned_long_folios_keep_together),
		TEST(test_a_handlers_section_is_announced_wherever_it_comes),
		TEST(test_a_record_is_left_without_holes),
		TEST(test_a_new_threads_pin_is_young),
		TEST(test_a_spilled_pin_of_a_thread_that_is_gone),
		TEST(test_a_child_forked_in_a_move_does_not_wait_for_it),
		TEST(test_a_child_gets_no_counters),
		TEST(test_errno_is_left_alone),
		TEST(test_references_do_not_overflow),
		TEST(test_nothing_is_made_in_a_quire_that_goes),
		TEST(test_a_folio_can_move_from_its_first_reference_on),
		TEST(test_create_waits_for_a_reclaim_that_runs),
		TEST(test_a_refused_execution_says_that_nothing_was_done),
		TEST(test_a_goal_met_at_the_deadline_is_met),
		TEST(test_a_reader_uses_up_no_bytes),
		TEST(test_what_was_freed_under_a_pin_is_named_as_such),
		TEST(test_sync_light_is_a_millisecond_for_all_windows),
		TEST(test_a_window_that_waits_is_not_free_yet),
		TEST(test_create_waits_for_a_reader_that_goes_on),
	};

	return cmocka_run_group_tests_name("contract, edges", tests, NULL, NULL);
}

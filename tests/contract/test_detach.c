/* SPDX-License-Identifier: MIT */
/*
 * test_detach.c: owners that go before their folios. What runs when the detach begins is stopped
 * inside of an op by a gate; the detach goes on, or gives up, at its sync points.
 */
#include "support.h"

enum which { THE_ISOLATE, THE_MIGRATE, THE_PUTBACK, THE_FREE, WHICH };
static const char *const op_name[] = { "isolate", "migrate", "putback", "free" };

/* A folio, and a hand that stands in one of its ops until it is let go. */
struct held {
	struct one o;
	struct hand hand;
	struct gate in, go;
	struct deed d;
	enum which which;
	unsigned ended; /* the op has returned */
};

static void stand(struct held *h, enum which here)
{
	if (h->which != here)
		return;
	gate_open(&h->in);
	gate_pass(&h->go);
	PUT(&h->ended, 1u);
}

static void held_isolate(struct probe *p, struct quire_folio *folio)
{
	(void)folio;
	stand(p->arg, THE_ISOLATE);
}

static int held_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	stand(p->arg, THE_MIGRATE);
	return probe_commit(p, batch, answer);
}

static void held_putback(struct probe *p, struct quire_folio *folio)
{
	(void)folio;
	stand(p->arg, THE_PUTBACK);
}

static void held_free(struct probe *p, struct quire_folio *folio)
{
	(void)folio;
	stand(p->arg, THE_FREE);
}

/* Returns once the hand stands in the op. */
static void held_start(struct held *h, enum which which)
{
	memset(h, 0, sizeof(*h));
	h->which = which;
	one_start(&h->o, OP_ALL);
	gate_init(&h->in);
	gate_init(&h->go);
	hand_start(&h->hand);
	h->o.p.arg = h;
	h->o.p.on_isolate = held_isolate;
	h->o.p.on_migrate = held_migrate;
	h->o.p.on_putback = held_putback;
	h->o.p.on_free = held_free;
	if (which == THE_PUTBACK)
		h->o.p.migrate_says = SCRIPT(-EIO, 0);
	h->d = (struct deed){ .folio = h->o.it.folio, .mode = QUIRE_SYNC };
	hand_post(&h->hand, which == THE_FREE ? deed_put : deed_move, &h->d);
	gate_pass(&h->in);
}

/* The folio is gone or not, its owner is attached or not: all of it is put away. */
static void held_end(struct held *h, bool detached)
{
	unsigned told = h->o.it.freed || !detached; /* that it went */

	hand_stop(&h->hand);
	assert_item_ledger(&h->o.it);
	assert_ledger_closed(h->o.q);
	h->which = WHICH;
	if (!h->o.it.freed) {
		assert_intact(&h->o.it);
		drop(&h->o.it);
	}
	assert_int_equal(h->o.it.freed, told);
	assert_frames_free(h->o.q, 4 * 512);
	assert_int_equal(quire_owner_destroy(h->o.p.owner), 0);
	no_points();
	end_quire(h->o.q);
}

static void let_go(void *held)
{
	gate_open(&((struct held *)held)->go);
}

/* The detach comes while an op runs, and returns after it. */
static void test_HA1_detach_waits_for_the_op_that_runs(void **state)
{
	(void)state;
	for (enum which which = THE_ISOLATE; which < WHICH; which++) {
		unsigned isolates;
		struct held h;

		held_start(&h, which);
		at_point("detach:waiting", h.o.p.owner, let_go, &h);
		assert_int_equal(quire_owner_detach(h.o.p.owner, 30 * SEC, NULL), 0);
		assert_int_equal(SEE(&h.ended), 1);
		/* What was under way came to its end: moved, put back, or freed, once. */
		assert_int_equal(SEE(&h.o.it.taken), 0);
		hand_wait(&h.hand);
		assert_int_equal(h.o.it.moved, which == THE_ISOLATE || which == THE_MIGRATE);
		assert_int_equal(h.o.it.putback, which == THE_PUTBACK);
		/* From now on nobody asks. */
		isolates = h.o.p.isolates;
		if (which != THE_FREE)
			assert_int_equal(move_folio(h.o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_int_equal(h.o.p.isolates, isolates);
		assert_int_equal(quire_owner_detach(h.o.p.owner, 0, NULL), -ENOENT);
		held_end(&h, true);
	}
}

/* The other outcome: the op outlasts the deadline, is named, and the owner is as it was. */
static void test_HA1_detach_names_the_op_at_its_deadline(void **state)
{
	(void)state;
	for (enum which which = THE_ISOLATE; which < WHICH; which++) {
		struct quire_blocker who;
		struct held h;

		held_start(&h, which);
		quire_clock_set_(CLOCK_START);
		assert_int_equal(quire_owner_detach(h.o.p.owner, 50 * MSEC, &who), -ETIMEDOUT);
		quire_clock_set_(UINT64_MAX);
		assert_int_equal(SEE(&h.ended), 0);
		assert_int_equal(who.why, QUIRE_REASON_OWNER_BUSY);
		assert_int_equal(who.code, -ETIMEDOUT);
		assert_string_equal(who.site, op_name[which]);
		assert_string_equal(who.owner, "probe");
		assert_int_equal(who.thread, h.hand.tid);
		assert_ptr_equal(who.folio, h.o.it.folio);
		let_go(&h);
		hand_wait(&h.hand);
		h.which = WHICH;
		if (which != THE_FREE) {
			assert_int_equal(move_folio(h.o.it.folio, QUIRE_ASYNC, 0).code, 0);
			assert_int_equal(h.o.p.isolates, 2); /* asked as before */
		}
		held_end(&h, false);
		assert_int_equal(h.o.p.frees, 1);
	}
}

/* The op ends just when the detach has decided to give up: it has happened, then. */
static void test_HA1_detach_that_comes_to_its_end_at_the_deadline(void **state)
{
	struct held h;

	(void)state;
	held_start(&h, THE_MIGRATE);
	quire_clock_set_(CLOCK_START);
	at_point("detach:late", h.o.p.owner, let_go, &h);
	at_point("detach:late", h.o.p.owner, (void (*)(void *))hand_wait, &h.hand);
	assert_int_equal(quire_owner_detach(h.o.p.owner, MSEC, NULL), 0);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(quire_owner_detach(h.o.p.owner, 0, NULL), -ENOENT);
	held_end(&h, true);
}

static struct item *second_item_;

/* Moves both: the second's folio waits in the batch while the first's migrate stands. */
static void move_two(void *arg)
{
	struct held *h = arg;
	struct quire_move move[2] = { { .folio = h->o.it.folio },
				      { .folio = second_item_->folio } };

	h->d.code = quire_move_folios(h->o.q, move, 2, QUIRE_SYNC, 0);
}

/* A folio is isolated, but no op of its owner runs: another owner's does, in the same batch. */
static void test_HC6_detach_names_a_folio_that_a_mover_has(void **state)
{
	struct quire_blocker who;
	struct probe second;
	struct item it;
	struct held h;

	(void)state;
	held_start(&h, THE_MIGRATE);
	let_go(&h);
	hand_wait(&h.hand);
	make_probe(h.o.q, "second", OP_ALL, &second);
	place(&second, &it, 0, ANYWHERE, 5);
	second_item_ = &it;
	hand_post(&h.hand, move_two, &h);
	gate_pass(&h.in);
	quire_clock_set_(CLOCK_START);
	assert_int_equal(quire_owner_detach(second.owner, MSEC, &who), -ETIMEDOUT);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(who.why, QUIRE_REASON_ISOLATED);
	assert_string_equal(who.owner, "second");
	assert_ptr_equal(who.folio, it.folio);
	let_go(&h);
	hand_wait(&h.hand);
	assert_int_equal(h.d.code, 0);
	assert_int_equal(it.moved, 1);
	assert_int_equal(quire_owner_detach(second.owner, 0, &who), 0);
	drop(&it);
	assert_int_equal(quire_owner_destroy(second.owner), 0);
	held_end(&h, false);
}

/* --- what may not begin meanwhile --------------------------------------------------------- */

struct meanwhile {
	struct held h;
	struct item other, third;
	struct hand mover;
	struct deed d;
	unsigned isolates, frees;
};

/* While the detach waits: no isolation begins, a free is told as ever. */
static void do_others(void *arg)
{
	struct meanwhile *m = arg;

	hand_do(&m->mover, deed_move, &m->d);
	m->isolates = SEE(&m->h.o.p.isolates);
	m->d.folio = m->third.folio;
	hand_do(&m->mover, deed_put, &m->d);
	m->frees = SEE(&m->h.o.p.frees);
	let_go(&m->h);
}

static void test_HA1_no_isolation_begins_while_detach_waits(void **state)
{
	struct meanwhile m;

	(void)state;
	held_start(&m.h, THE_MIGRATE);
	place(&m.h.o.p, &m.other, 0, ANYWHERE, 6);
	place(&m.h.o.p, &m.third, 0, ANYWHERE, 7);
	hand_start(&m.mover);
	m.d = (struct deed){ .folio = m.other.folio, .mode = QUIRE_ASYNC };
	at_point("detach:waiting", m.h.o.p.owner, do_others, &m);
	assert_int_equal(quire_owner_detach(m.h.o.p.owner, 30 * SEC, NULL), 0);
	assert_int_equal(m.d.move.code, -EAGAIN);
	assert_int_equal(m.d.move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_int_equal(m.isolates, 1);
	assert_int_equal(m.frees, 1);
	assert_int_equal(m.third.freed, 1);
	assert_item_ledger(&m.other);
	/* And afterwards it moves without being asked, and goes without being told. */
	assert_int_equal(move_folio(m.other.folio, QUIRE_ASYNC, 0).code, 0);
	assert_intact(&m.other);
	drop(&m.other);
	assert_int_equal(m.other.freed, 0);
	assert_int_equal(m.other.isolated, 0);
	hand_stop(&m.mover);
	held_end(&m.h, true);
}

struct entering {
	struct one o;
	struct hand hand;
	long code;
};

static void do_detach(void *arg)
{
	struct entering *e = arg;

	e->code = quire_owner_detach(e->o.p.owner, 30 * SEC, NULL);
}

static void by_hand_detach(void *arg)
{
	struct entering *e = arg;

	hand_do(&e->hand, do_detach, e);
}

static void by_hand_detach_until_it_waits(void *arg)
{
	struct entering *e = arg;

	hand_post(&e->hand, do_detach, e);
}

/* Both orders of an isolation that begins and a detach that does. */
static void test_HA1_detach_before_an_isolation_begins(void **state)
{
	struct entering e = { 0 };

	(void)state;
	one_start(&e.o, OP_ALL);
	hand_start(&e.hand);
	at_point("owner:entering", e.o.p.owner, by_hand_detach, &e);
	assert_int_equal(move_folio(e.o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_equal(e.code, 0);
	assert_int_equal(e.o.p.isolates, 0);
	assert_int_equal(e.o.p.migrates, 0);
	hand_stop(&e.hand);
	assert_intact(&e.o.it);
	drop(&e.o.it);
	assert_int_equal(e.o.it.freed, 0);
	assert_frames_free(e.o.q, 4 * 512);
	assert_ledger_closed(e.o.q);
	no_points();
	end_quire(e.o.q);
}

static void test_HA1_detach_after_an_isolation_began(void **state)
{
	struct entering e = { 0 };
	struct gate gate;

	(void)state;
	one_start(&e.o, OP_ALL);
	hand_start(&e.hand);
	gate_init(&gate);
	at_point("isolate:marked", e.o.it.folio, by_hand_detach_until_it_waits, &e);
	at_point("isolate:marked", e.o.it.folio, gate_pass, &gate);
	at_point("detach:waiting", e.o.p.owner, gate_open, &gate);
	assert_int_equal(move_folio(e.o.it.folio, QUIRE_ASYNC, 0).code, 0);
	hand_wait(&e.hand);
	assert_int_equal(e.code, 0);
	assert_int_equal(e.o.p.isolates, 1);
	assert_int_equal(e.o.p.migrates, 1);
	assert_item_ledger(&e.o.it);
	hand_stop(&e.hand);
	drop(&e.o.it);
	assert_int_equal(e.o.it.freed, 0);
	assert_frames_free(e.o.q, 4 * 512);
	no_points();
	end_quire(e.o.q);
}

/* Of two at once one detaches; the other waits to know, and is told that it came second. */
static void detach_too(void *arg)
{
	struct meanwhile *m = arg;

	m->d.code = quire_owner_detach(m->h.o.p.owner, 30 * SEC, NULL);
}

static void second_detach(void *arg)
{
	struct meanwhile *m = arg;

	at_point("detach:waiting", m->h.o.p.owner, let_go, &m->h);
	hand_post(&m->mover, detach_too, m);
}

static void test_HA1_of_two_detaches_one_wins(void **state)
{
	struct meanwhile m;

	(void)state;
	held_start(&m.h, THE_MIGRATE);
	hand_start(&m.mover);
	at_point("detach:announced", m.h.o.p.owner, second_detach, &m);
	assert_int_equal(quire_owner_detach(m.h.o.p.owner, 30 * SEC, NULL), 0);
	hand_wait(&m.mover);
	assert_int_equal(m.d.code, -ENOENT);
	hand_stop(&m.mover);
	held_end(&m.h, true);
}

/* The first gives up; the second goes on in its place. */
static void test_HA1_a_second_detach_succeeds_where_the_first_gave_up(void **state)
{
	struct quire_blocker who;
	struct held h;

	(void)state;
	held_start(&h, THE_ISOLATE);
	quire_clock_set_(CLOCK_START);
	assert_int_equal(quire_owner_detach(h.o.p.owner, MSEC, &who), -ETIMEDOUT);
	quire_clock_set_(UINT64_MAX);
	at_point("detach:waiting", h.o.p.owner, let_go, &h);
	assert_int_equal(quire_owner_detach(h.o.p.owner, 30 * SEC, NULL), 0);
	held_end(&h, true);
}

/* --- the calls ---------------------------------------------------------------------------- */

static void detach_isolate(struct probe *p, struct quire_folio *folio)
{
	(void)folio;
	CHECK(quire_owner_detach(p->owner, 0, NULL) == -EDEADLK);
	CHECK(quire_owner_detach(p->arg, 0, NULL) == -EDEADLK); /* another one's */
}

static int detach_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	detach_isolate(p, NULL);
	return probe_commit(p, batch, answer);
}

static void test_HA1_detach_in_an_op_is_refused(void **state)
{
	struct probe other;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	make_probe(o.q, "other", OP_NONE, &other);
	o.p.arg = other.owner;
	o.p.on_isolate = o.p.on_putback = o.p.on_free = detach_isolate;
	o.p.on_migrate = detach_migrate;
	o.p.migrate_says = SCRIPT(-EIO, 0);
	assert_int_equal(quire_owner_detach(NULL, 0, NULL), -EINVAL);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	one_end(&o);
	assert_int_equal(o.p.frees, 1);
}

/* Without ops there is nothing to wait for, and nothing to count. */
static void test_HE8_an_owner_without_ops_detaches_at_once(void **state)
{
	struct probe p;
	struct item it;
	struct quire *q = make_quire(2);

	(void)state;
	make_probe(q, "plain", OP_NONE, &p);
	place(&p, &it, 3, ANYWHERE, 9);
	assert_int_equal(quire_owner_detach(p.owner, 0, NULL), 0);
	assert_int_equal(quire_owner_detach(p.owner, 0, NULL), -ENOENT);
	assert_int_equal(move_folio(it.folio, QUIRE_ASYNC, 0).code, 0);
	drop(&it);
	assert_int_equal(quire_owner_destroy(p.owner), 0);
	end_quire(q);
}

/* A detached owner goes at once; its folios and pins stay, named, and take the rest along. */
static void test_HE8_a_detached_owner_goes_before_its_folios(void **state)
{
	struct quire_move move;
	struct quire_pin *pin;
	struct item it[3];
	struct probe p;
	struct quire *q = make_quire(2);

	(void)state;
	make_probe(q, "husk", OP_ALL, &p);
	place_row(&p, it, 3, 0, 0, 50);
	assert_int_equal(quire_pin_long(it[0].folio, p.owner, &pin), 0);
	assert_int_equal(quire_owner_destroy(p.owner), -EBUSY);
	assert_int_equal(quire_owner_detach(p.owner, 0, NULL), 0);
	assert_int_equal(quire_owner_destroy(p.owner), 0);
	move = move_folio(it[0].folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_LONG_PIN);
	assert_string_equal(move.who.owner, "husk");
	assert_int_equal(move_folio(it[1].folio, QUIRE_ASYNC, 0).code, 0);
	assert_row_intact(it, 3);
	drop(&it[1]);
	drop(&it[0]);
	assert_int_equal(quire_reclaim(q), 1);
	quire_unpin_long(pin);
	assert_int_equal(quire_reclaim(q), 0);
	/* One put too many is told as ever, though the owner itself may be gone. */
	quire_folio_put(it[0].folio);
	/* The last folio is left to the quire's end, and with it what is left of the owner. */
	assert_int_equal(p.isolates + p.migrates + p.putbacks + p.frees, 0);
	end_quire(q);
	assert_int_equal(p.frees, 0);
}

static void heard(void *arg, enum quire_log_level level, const char *message)
{
	(void)level;
	CHECK(strstr(message, "dead folio") != NULL);
	BUMP((unsigned *)arg);
}

/* A stale handle leads to no owner that is gone, husk or not. */
static void test_HE8_a_stale_handle_after_its_owner(void **state)
{
	struct quire_folio *folio;
	struct quire_owner *owner;
	struct quire *q = NULL;
	unsigned told = 0;

	(void)state;
	assert_int_equal(
		quire_create(QUIRE_OPTIONS(.arena_bytes = 2 << 20, .log = heard, .log_arg = &told),
			     &q),
		0);
	for (unsigned detach = 0; detach < 2; detach++) {
		assert_int_equal(quire_owner_create(q, "short-lived", NULL, NULL, &owner), 0);
		assert_int_equal(quire_folio_create(owner, 0, &folio), 0);
		if (detach) {
			assert_int_equal(quire_owner_detach(owner, 0, NULL), 0);
			assert_int_equal(quire_owner_destroy(owner), 0);
		}
		quire_folio_put(folio);
		assert_int_equal(quire_reclaim(q), 0);
		if (!detach)
			assert_int_equal(quire_owner_destroy(owner), 0);
		quire_folio_put(folio);
		assert_int_equal(told, detach + 1);
		assert_null(quire_pin(folio));
		assert_false(quire_folio_get(folio));
	}
	end_quire(q);
}

/* Its own pins are no longer dropped by a migrate op: a plan takes them to stay. */
static void test_HC6_pins_of_a_detached_owner_stay(void **state)
{
	struct quire_plan *plan;
	struct quire_pin *pin;
	struct item it;
	struct probe p;
	struct quire *q = make_quire(3);

	(void)state;
	make_probe(q, "gone", OP_ALL, &p);
	place(&p, &it, 0, quire_frame(600), 1);
	assert_int_equal(quire_pin_long(it.folio, p.owner, &pin), 0);
	plan = plan_of(q, 512, QUIRE_MAX);
	assert_int_equal(quire_plan_blockers(plan), 0);
	quire_plan_destroy(plan);
	assert_int_equal(quire_owner_detach(p.owner, 0, NULL), 0);
	plan = plan_of(q, 512, QUIRE_MAX);
	assert_int_equal(quire_plan_blockers(plan), 1);
	assert_string_equal(quire_plan_blocker(plan, 0)->owner, "gone");
	quire_plan_destroy(plan);
	quire_unpin_long(pin);
	drop(&it);
	end_quire(q);
}

/* --- an isolation that ends in a free ----------------------------------------------------- */

struct goes {
	struct one o;
	struct hand hand;
	int code;
};

static void put_the_folio(void *arg)
{
	quire_folio_put(((struct goes *)arg)->o.it.folio);
}

static void do_detach_briefly(void *arg)
{
	struct goes *g = arg;

	g->code = quire_owner_detach(g->o.p.owner, MSEC, NULL);
}

static void by_hand_detach_briefly(void *arg)
{
	struct goes *g = arg;

	hand_do(&g->hand, do_detach_briefly, g);
}

/* The owner lets a folio go that a mover has isolated: it is told so before a detach ends. */
static void test_HC6_detach_waits_for_the_free_of_an_isolated_folio(void **state)
{
	struct goes g = { .code = 1 };
	struct quire_move move;

	(void)state;
	one_start(&g.o, OP_ALL);
	hand_start(&g.hand);
	at_point("isolate:done", g.o.it.folio, put_the_folio, &g);
	at_point("put:zero", g.o.it.folio, by_hand_detach_briefly, &g);
	move = move_folio(g.o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_FREED);
	assert_int_equal(g.code, -ETIMEDOUT);
	assert_int_equal(g.o.it.isolated, 1);
	assert_int_equal(g.o.it.freed_taken, 1);
	assert_int_equal(quire_owner_detach(g.o.p.owner, 0, NULL), 0);
	hand_stop(&g.hand);
	one_end_freed(&g.o);
}

/* An isolation that was refused, for now or for good, keeps no detach waiting. */
static void test_HA1_a_refusal_keeps_no_detach(void **state)
{
	static const int answers[] = { -EPERM, -EAGAIN };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(answers); i++) {
		struct one o;

		one_start(&o, OP_ALL);
		o.p.isolate_says = SCRIPT(answers[i]);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, answers[i]);
		assert_int_equal(o.p.isolates, 1);
		assert_int_equal(quire_owner_detach(o.p.owner, 1, NULL), 0);
		drop(&o.it);
		assert_int_equal(o.p.frees, 0); /* it is told nothing any more */
		assert_int_equal(quire_owner_destroy(o.p.owner), 0);
		end_quire(o.q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_HA1_a_refusal_keeps_no_detach),
		TEST(test_HA1_detach_waits_for_the_op_that_runs),
		TEST(test_HA1_detach_names_the_op_at_its_deadline),
		TEST(test_HA1_detach_that_comes_to_its_end_at_the_deadline),
		TEST(test_HC6_detach_names_a_folio_that_a_mover_has),
		TEST(test_HA1_no_isolation_begins_while_detach_waits),
		TEST(test_HA1_detach_before_an_isolation_begins),
		TEST(test_HA1_detach_after_an_isolation_began),
		TEST(test_HA1_of_two_detaches_one_wins),
		TEST(test_HA1_a_second_detach_succeeds_where_the_first_gave_up),
		TEST(test_HA1_detach_in_an_op_is_refused),
		TEST(test_HE8_an_owner_without_ops_detaches_at_once),
		TEST(test_HE8_a_detached_owner_goes_before_its_folios),
		TEST(test_HE8_a_stale_handle_after_its_owner),
		TEST(test_HC6_pins_of_a_detached_owner_stay),
		TEST(test_HC6_detach_waits_for_the_free_of_an_isolated_folio),
	};

	return cmocka_run_group_tests_name("detaching owners", tests, NULL, NULL);
}

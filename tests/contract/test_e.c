/* SPDX-License-Identifier: MIT */
/*
 * test_e.c: contract E, who is told when the last reference goes: E1-E8 and the holes H-E1 to H-E8,
 * as libquire completes them: the owner is sticky, the decision falls after the count is 0, free is
 * called exactly once, and the frames follow when no pin and no reader is left.
 */
#include "support.h"

#include <sched.h>

/* --- E1 to E3, E7: the owner -------------------------------------------------------------- */

static void test_E1_a_folio_knows_its_owner(void **state)
{
	struct quire *q = make_quire(2);
	struct probe with, without;
	struct item a, b;

	(void)state;
	make_probe(q, "with", OP_ALL, &with);
	make_probe(q, "without", OP_NONE, &without);
	place(&with, &a, 0, ANYWHERE, 1);
	place(&without, &b, 0, ANYWHERE, 2);
	assert_ptr_equal(quire_folio_owner(a.folio), with.owner);
	assert_ptr_equal(quire_folio_owner(b.folio), without.owner);
	drop(&a);
	drop(&b);
	assert_int_equal(with.frees, 1);
	assert_int_equal(without.frees, 0); /* no ops: nobody to tell */
	assert_frames_free(q, 1024);
	end_quire(q);
}

static void test_E2_every_order_has_one_owner_and_one_free(void **state)
{
	struct quire *q = make_quire(2);
	struct probe p;
	struct item it;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++) {
		place(&p, &it, order, ANYWHERE, order);
		assert_ptr_equal(quire_folio_owner(it.folio), p.owner);
		assert_frames_free(q, 1024 - (1u << order));
		drop(&it);
		assert_int_equal(it.freed, 1);
		assert_int_equal(p.frees, order + 1);
		assert_frames_free(q, 1024);
	}
	end_quire(q);
}

static void owner_is_there(struct probe *p, struct quire_folio *folio)
{
	CHECK(quire_folio_owner(folio) == p->owner);
	CHECK(quire_folio_private(folio) != NULL);
}

static int owner_is_there_in_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	int code;

	owner_is_there(p, quire_batch_folio(batch, 0));
	code = probe_commit(p, batch, answer);
	owner_is_there(p, quire_batch_folio(batch, 0));
	return code;
}

/* E3 and H-E2: not overlaid on anything, so it is there while isolated, too. */
static void test_E3_the_owner_is_sticky_while_isolated(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_isolate = owner_is_there;
	o.p.on_putback = owner_is_there;
	o.p.on_free = owner_is_there;
	o.p.on_migrate = owner_is_there_in_migrate;
	o.p.migrate_says = SCRIPT(-EIO, 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, -EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	drop(&o.it);
	one_end_freed(&o);
}

static void test_E7_the_owner_survives_moves_pins_and_references(void **state)
{
	struct quire_pin *pin;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	for (unsigned i = 0; i < 50; i++) {
		assert_true(quire_folio_get(o.it.folio));
		assert_non_null(quire_pin(o.it.folio));
		quire_unpin(o.it.folio);
		assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0);
		assert_ptr_equal(quire_pin_folio(pin), o.it.folio);
		quire_unpin_long(pin);
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
		drop(&o.it);
		assert_ptr_equal(quire_folio_owner(o.it.folio), o.p.owner);
		assert_int_equal(o.p.frees, 0);
	}
	assert_intact(&o.it);
	drop(&o.it);
	one_end_freed(&o);
}

/* --- E4: free ----------------------------------------------------------------------------- */

static void inside_free(struct probe *p, struct quire_folio *folio)
{
	struct item *it = quire_folio_private(folio);
	struct quire_folio *fresh;
	struct quire_pin *pin;

	/* Dead already: nobody gets it back. */
	CHECK(!quire_folio_get(folio));
	CHECK(quire_pin(folio) == NULL);
	CHECK(quire_pin_long(folio, p->owner, &pin) == -ESTALE);
	CHECK(quire_read_enter() == 0);
	CHECK(quire_view(folio).data == NULL);
	quire_read_leave();
	/* The content is still there to be read. */
	CHECK(content_is(quire_folio_content(folio), it->cookie, 4096));
	/* No lock of the library is held (H-E7): it may be called. */
	CHECK(quire_folio_create(p->owner, 0, &fresh) == 0);
	p->on_free = NULL;
	quire_folio_put(fresh); /* a free inside of a free */
	CHECK(stats_of(p->quire).frames == 4 * 512);
	CHECK(quire_owner_destroy(p->owner) == -EDEADLK);
	(void)quire_reclaim(p->quire);
}

static void test_E4_free_finds_it_dead_with_its_content(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_free = inside_free;
	drop(&o.it);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_reason, QUIRE_FREE_PUT);
	assert_int_equal(o.p.frees, 2); /* of the one made in free, too */
	assert_int_equal(stats_of(o.q).op_free, 2);
	assert_int_equal(stats_of(o.q).folios_freed, 2);
	assert_frames_free(o.q, 4 * 512);
	end_quire(o.q);
}

static void test_E4_free_runs_where_the_last_reference_went(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	assert_true(quire_folio_get(o.it.folio));
	drop(&o.it);
	assert_int_equal(o.p.frees, 0); /* not the last */
	hand_do(&hand, deed_put, &d);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_thread, hand.tid);
	hand_stop(&hand);
	one_end_freed(&o);
}

/* H-E2: the mover's can be the last; the owner is told all the same, in the mover's thread. */
static void test_E4_a_movers_reference_can_be_the_last(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio, .hand = &hand };
	at_point("commit:copied", o.it.folio, by_hand_put, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_thread, thread_id());
	no_points();
	hand_stop(&hand);
	one_end_freed(&o);
}

static void put_another(struct probe *p, struct quire_folio *folio)
{
	struct item *items = p->arg;
	struct item *it = quire_folio_private(folio);

	if (it + 1 < items + 100)
		drop(it + 1);
}

/* E5: frees that follow from frees, with owners in turn; each once. */
static void test_E5_a_chain_of_frees(void **state)
{
	static struct item items[100];
	struct quire *q = make_quire(2);
	struct probe p[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		make_probe(q, i ? "b" : "a", OP_ALL, &p[i]);
		p[i].on_free = put_another;
		p[i].arg = items;
	}
	for (size_t i = 0; i < COUNT_OF(items); i++)
		place(&p[i % 2], &items[i], 0, ANYWHERE, i);
	drop(&items[0]);
	for (size_t i = 0; i < COUNT_OF(items); i++)
		assert_int_equal(items[i].freed, 1);
	assert_int_equal(p[0].frees, 50);
	assert_int_equal(p[1].frees, 50);
	assert_frames_free(q, 1024);
	end_quire(q);
}

/* --- E6, H-E1: after the count is 0 ------------------------------------------------------- */

static void by_hand_get(void *arg)
{
	struct deed *d = arg;

	hand_do(d->hand, deed_get, d);
	d->code += d->got;
}

static void by_hand_move_counted(void *arg)
{
	struct deed *d = arg;

	by_hand_move(d);
	CHECK(d->move.code < 0);
	CHECK(d->move.who.why == QUIRE_REASON_STALE);
}

/* A look-up that comes between the count reaching 0 and the death finds nothing to get. */
static void test_E6_a_speculative_get_fails_from_zero_on(void **state)
{
	static const char *const steps[] = { "put:zero", "put:dead", "retire:queued" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct hand hand;
		struct deed d;
		struct one o;

		one_start(&o, OP_ALL);
		hand_start(&hand);
		d = (struct deed){ .folio = o.it.folio, .hand = &hand };
		assert_int_equal(quire_read_enter(), 0); /* the descriptor stays this folio's */
		at_point(steps[i], o.it.folio, by_hand_get, &d);
		drop(&o.it);
		assert_false(d.got);
		assert_false(quire_folio_get(o.it.folio));
		assert_null(quire_view(o.it.folio).data);
		quire_read_leave();
		no_points();
		hand_stop(&hand);
		one_end_freed(&o);
	}
}

static void test_HE1_a_mover_that_comes_at_zero_finds_nothing(void **state)
{
	static const char *const steps[] = { "put:zero", "put:dead", "retire:queued" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct hand hand;
		struct deed d;
		struct one o;

		one_start(&o, OP_ALL);
		hand_start(&hand);
		d = (struct deed){ .folio = o.it.folio, .hand = &hand };
		at_point(steps[i], o.it.folio, by_hand_move_counted, &d);
		drop(&o.it);
		assert_int_equal(o.p.isolates, 0);
		no_points();
		hand_stop(&hand);
		one_end_freed(&o);
	}
}

#define PUTTERS 2

struct putter {
	struct item *items;
	size_t n;
	unsigned *arrived; /* for each item: who is ready to drop it */
};

static void put_all(void *arg)
{
	struct putter *p = arg;

	uint64_t rng = (uint64_t)thread_id();

	for (size_t i = 0; i < p->n; i++) {
		volatile unsigned lag = prng(&rng) % 32;
		unsigned spins = 0;

		BUMP(&p->arrived[i]);
		while (SEE(&p->arrived[i]) < PUTTERS)
			if (++spins > 2000)
				sched_yield();
		while (lag) /* so that now one, now the other comes first, by nanoseconds */
			lag--;
		drop(&p->items[i]);
	}
}

/* H-E1: many threads drop the last references at once; each folio is freed exactly once. */
static void test_HE1_concurrent_last_puts_free_exactly_once(void **state)
{
	static struct item items[400];
	struct quire *q = make_quire(2);
	struct hand hands[PUTTERS];
	static unsigned arrived[400];
	struct putter putter;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	putter = (struct putter){ items, COUNT_OF(items), arrived };
	for (size_t i = 0; i < PUTTERS; i++)
		hand_start(&hands[i]);
	for (unsigned round = 0; round < 100; round++) {
		p.frees = 0;
		memset(arrived, 0, sizeof(arrived));
		for (size_t i = 0; i < COUNT_OF(items); i++) {
			place(&p, &items[i], 0, ANYWHERE, i);
			for (unsigned k = 1; k < PUTTERS; k++)
				assert_true(quire_folio_get(items[i].folio));
		}
		for (size_t i = 0; i < PUTTERS; i++)
			hand_post(&hands[i], put_all, &putter);
		for (size_t i = 0; i < PUTTERS; i++)
			hand_wait(&hands[i]);
		assert_int_equal(p.frees, COUNT_OF(items));
		for (size_t i = 0; i < COUNT_OF(items); i++)
			assert_int_equal(items[i].freed, 1);
		assert_frames_free(q, 1024);
	}
	for (size_t i = 0; i < PUTTERS; i++)
		hand_stop(&hands[i]);
	end_quire(q);
}

struct chase {
	struct item *items;
	size_t n;
	struct quire *q;
};

/* Isolates and moves whatever lives in the arena, as a plan finds it: by place, not by reference.
 */
static void chase(void *arg)
{
	struct chase *c = arg;

	for (unsigned i = 0; i < 30; i++) {
		struct quire_plan *plan = NULL;

		CHECK(quire_plan_create(c->q,
					QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						   .count = QUIRE_MAX),
					&plan) == 0);
		CHECK(quire_plan_execute(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1),
					 NULL) == 0);
		quire_plan_destroy(plan);
	}
}

/* Owner and mover drop the last reference against each other. */
static void test_HE1_last_puts_against_a_mover_free_exactly_once(void **state)
{
	static struct item items[300];
	struct quire *q = make_quire(4);
	struct chase c = { items, COUNT_OF(items), q };
	struct hand hand;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	hand_start(&hand);
	for (unsigned round = 0; round < 10; round++) {
		p.frees = 0;
		for (size_t i = 0; i < COUNT_OF(items); i++)
			place(&p, &items[i], 0, quire_frame((uint32_t)(i * 5)), i);
		hand_post(&hand, chase, &c);
		for (size_t i = 0; i < COUNT_OF(items); i++) {
			assert_intact(&items[i]);
			drop(&items[i]);
		}
		hand_wait(&hand);
		assert_int_equal(p.frees, COUNT_OF(items));
		for (size_t i = 0; i < COUNT_OF(items); i++) {
			assert_int_equal(items[i].freed, 1);
			assert_item_ledger(&items[i]);
		}
		assert_ledger_closed(q);
		assert_frames_free(q, 4 * 512);
	}
	hand_stop(&hand);
	end_quire(q);
}

static void test_HE4_a_move_is_no_free(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(quire_reclaim(o.q), 0);
	assert_int_equal(o.p.frees, 0);
	assert_int_equal(stats_of(o.q).folios_live, 1);
	drop(&o.it);
	assert_int_equal(stats_of(o.q).folios_live, 0);
	one_end_freed(&o);
}

/* --- E8: the frames ----------------------------------------------------------------------- */

static void test_E8_frames_of_a_freed_folio_wait_for_its_short_pin(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_pin, &d);
	drop(&o.it);
	assert_int_equal(o.it.freed, 1); /* free does not wait */
	assert_int_equal(quire_reclaim(o.q), 1);
	assert_int_equal(stats_of(o.q).folios_retired, 1);
	assert_int_equal(stats_of(o.q).frames_free, 4 * 512 - 1);
	assert_true(content_is(d.address, o.it.cookie, 4096)); /* the address holds */
	hand_do(&hand, deed_unpin, &d);
	hand_stop(&hand);
	one_end_freed(&o);
}

static void test_E8_a_retired_but_pinned_folio_stays_and_is_named(void **state)
{
	const struct quire_blocker *who;
	struct quire_plan *plan;
	struct probe holder;
	struct hand hand;
	struct deed d;
	struct one o;
	uint32_t at;

	(void)state;
	one_start(&o, OP_ALL);
	make_probe(o.q, "holder", OP_NONE, &holder);
	hand_start(&hand);
	at = at_frame(&o.it);
	d = (struct deed){ .folio = o.it.folio, .who = holder.owner };
	hand_do(&hand, deed_pin_long, &d);
	assert_int_equal(d.code, 0);
	drop(&o.it);
	assert_int_equal(o.it.freed, 1);
	plan = plan_of(o.q, 512, QUIRE_MAX);
	assert_int_equal(quire_plan_blockers(plan), 1);
	who = quire_plan_blocker(plan, 0);
	assert_int_equal(who->why, QUIRE_REASON_RETIRED);
	assert_string_equal(who->owner, "holder");
	assert_string_equal(who->site, d.site);
	assert_int_equal(who->thread, hand.tid);
	assert_int_equal(who->frame.n, at);
	assert_ptr_equal(who->folio, o.it.folio);
	assert_null(quire_plan_blocker(plan, 1));
	quire_plan_destroy(plan);
	assert_int_equal(quire_destroy(o.q), -EBUSY);
	assert_true(content_is(d.address, o.it.cookie, 4096));
	hand_do(&hand, deed_unpin_long, &d);
	hand_stop(&hand);
	plan = plan_of(o.q, 512, QUIRE_MAX); /* planning reclaims by itself */
	assert_int_equal(quire_plan_blockers(plan), 0);
	quire_plan_destroy(plan);
	one_end_freed(&o);
}

static void test_E8_frames_come_back_for_a_folio_that_needs_them(void **state)
{
	static struct item row[512];
	struct quire *q = make_quire(1);
	struct quire_folio *folio;
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	place_row(&p, row, 512, 0, 0, 0);
	assert_int_equal(quire_folio_create(p.owner, 0, &folio), -ENOMEM);
	for (size_t i = 0; i < 512; i++)
		drop(&row[i]);
	/* No quire_reclaim() in between: not needed for correctness. */
	assert_int_equal(quire_folio_create(p.owner, 9, &folio), 0);
	quire_folio_put(folio);
	assert_frames_free(q, 512);
	end_quire(q);
}

/* --- destroy ------------------------------------------------------------------------------ */

static void test_E4_destroy_frees_what_is_alive_exactly_once(void **state)
{
	static struct item items[20];
	struct quire *q = make_quire(2);
	struct probe p;

	(void)state;
	make_probe(q, "probe", OP_ALL, &p);
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		place(&p, &items[i], (unsigned)i % 4, ANYWHERE, i);
		if (i % 3 == 0)
			assert_true(quire_folio_get(items[i].folio)); /* two references, one free */
		if (i % 5 == 0)
			assert_int_equal(move_folio(items[i].folio, QUIRE_SYNC, 0).code, 0);
	}
	drop(&items[1]);
	drop(&items[2]);
	end_quire(q);
	assert_int_equal(p.frees, COUNT_OF(items));
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		assert_int_equal(items[i].freed, 1);
		assert_int_equal(items[i].free_reason,
				 i == 1 || i == 2 ? QUIRE_FREE_PUT : QUIRE_FREE_DESTROY);
	}
}

static void content_in_destroy(struct probe *p, struct quire_folio *folio)
{
	struct item *it = quire_folio_private(folio);

	(void)p;
	CHECK(content_is(quire_folio_content(folio), it->cookie, 4096));
	CHECK(!quire_folio_get(folio));
}

static void test_E4_free_in_destroy_can_still_read(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.on_free = content_in_destroy;
	end_quire(o.q);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_reason, QUIRE_FREE_DESTROY);
}

static void test_E4_destroy_is_refused_while_in_use_and_changes_nothing(void **state)
{
	struct quire_plan *plan;
	struct quire_pin *pin;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	assert_non_null(quire_pin(o.it.folio));
	assert_int_equal(quire_destroy(o.q), -EBUSY);
	quire_unpin(o.it.folio);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0);
	assert_int_equal(quire_destroy(o.q), -EBUSY);
	quire_unpin_long(pin);
	plan = plan_of(o.q, 512, QUIRE_MAX);
	assert_int_equal(quire_destroy(o.q), -EBUSY);
	quire_plan_destroy(plan);
	assert_int_equal(o.p.frees, 0);
	assert_intact(&o.it);
	assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(quire_destroy(NULL), 0);
	drop(&o.it);
	one_end_freed(&o);
}

/* H-E8: an owner outlives its folios. */
static void test_HE8_an_owner_cannot_go_before_its_folios(void **state)
{
	struct hand hand;
	struct deed d;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	assert_int_equal(quire_owner_destroy(o.p.owner), -EBUSY);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_enter, &d);
	drop(&o.it);
	/* A reader may still look at the folio's owner to find its arena. */
	assert_int_equal(quire_owner_destroy(o.p.owner), -EBUSY);
	hand_do(&hand, deed_leave, &d);
	hand_stop(&hand);
	assert_int_equal(quire_owner_destroy(o.p.owner), 0);
	one_end_freed(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_E1_a_folio_knows_its_owner),
		TEST(test_E2_every_order_has_one_owner_and_one_free),
		TEST(test_E3_the_owner_is_sticky_while_isolated),
		TEST(test_E4_free_finds_it_dead_with_its_content),
		TEST(test_E4_free_runs_where_the_last_reference_went),
		TEST(test_E4_a_movers_reference_can_be_the_last),
		TEST(test_E4_destroy_frees_what_is_alive_exactly_once),
		TEST(test_E4_free_in_destroy_can_still_read),
		TEST(test_E4_destroy_is_refused_while_in_use_and_changes_nothing),
		TEST(test_E5_a_chain_of_frees),
		TEST(test_E6_a_speculative_get_fails_from_zero_on),
		TEST(test_E7_the_owner_survives_moves_pins_and_references),
		TEST(test_E8_frames_of_a_freed_folio_wait_for_its_short_pin),
		TEST(test_E8_a_retired_but_pinned_folio_stays_and_is_named),
		TEST(test_E8_frames_come_back_for_a_folio_that_needs_them),
		TEST(test_HE1_a_mover_that_comes_at_zero_finds_nothing),
		TEST(test_HE1_concurrent_last_puts_free_exactly_once),
		TEST(test_HE1_last_puts_against_a_mover_free_exactly_once),
		TEST(test_HE4_a_move_is_no_free),
		TEST(test_HE8_an_owner_cannot_go_before_its_folios),
	};

	return cmocka_run_group_tests_name("contract E", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_a.c: what an owner agrees with its movers: once a batch, from which mode on, and what it
 * hears where it has quiesced in vain.
 */
#include "os/os.h"
#include "support.h"

/* --- once a batch ------------------------------------------------------------------------- */

/* However the folios of two owners are mixed, each is asked to quiesce once. */
static void test_HA3_mixed_owners_are_asked_once_each(void **state)
{
	struct quire_move move[100] = { 0 };
	struct item it[100];
	struct probe p[2];
	struct quire *q = make_quire(4);

	(void)state;
	make_probe(q, "even", OP_ALL, &p[0]);
	make_probe(q, "odd", OP_ALL, &p[1]);
	for (uint32_t i = 0; i < 100; i++) {
		place(&p[i % 2], &it[i], i % 3 == 0, quire_frame(i * 2), i);
		move[i].folio = it[i].folio;
	}
	assert_int_equal(quire_move_folios(q, move, 100, QUIRE_SYNC, 0), 0);
	assert_int_equal(p[0].migrates, 1);
	assert_int_equal(p[1].migrates, 1);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(it[i].offered, 1);
		assert_item_ledger(&it[i]);
	}
	assert_row_intact(it, 100);
	drop_row(it, 100);
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

/* --- quiesced in vain --------------------------------------------------------------------- */

struct engine {
	unsigned stopped, started; /* how often */
	struct quire_folio *last;
};

static int stops(struct probe *p, struct quire_batch *batch, int answer)
{
	struct engine *e = p->arg;

	CHECK(e->stopped == e->started);
	e->stopped++;
	answer = probe_commit(p, batch, answer);
	if (quire_batch_moved(batch, 0))
		e->started++;
	return answer;
}

static void starts_again(struct probe *p, struct quire_folio *folio)
{
	struct engine *e = p->arg;

	CHECK(e->stopped == e->started + 1);
	e->started++;
	e->last = folio;
}

/* Whatever made the move fail after it had quiesced, the owner is told, once, and can go on. */
static void test_HA5_putback_tells_of_a_failure_after_quiescing(void **state)
{
	struct engine e = { 0 };
	struct quire_pin *pin;
	struct probe other;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	make_probe(o.q, "other", OP_NONE, &other);
	o.p.arg = &e;
	o.p.on_migrate = stops;
	o.p.on_putback = starts_again;
	assert_int_equal(quire_pin_long(o.it.folio, other.owner, &pin), 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EAGAIN); /* a pin */
	quire_unpin_long(pin);
	quire_fault_arm_("copy", 1, -EHWPOISON);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EHWPOISON);
	quire_fault_arm_("os:membarrier", 1, -ENOMEM);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -ENOMEM);
	assert_true(quire_fault_disarm_());
	o.p.migrate_says = SCRIPT(-EIO, 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO); /* its own */
	assert_int_equal(e.stopped, 4);
	assert_int_equal(e.started, 4);
	assert_ptr_equal(e.last, o.it.folio);
	assert_int_equal(o.p.putbacks, 4);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_equal(o.p.putbacks, 4);
	assert_int_equal(e.started, 5);
	one_end(&o);
}

/* --- the cheapest mode -------------------------------------------------------------------- */

static void one_with_cheapest(struct one *o, enum quire_mode cheapest)
{
	one_start(o, OP_ALL);
	drop(&o->it);
	assert_frames_free(o->q, 4 * 512);
	assert_int_equal(quire_owner_destroy(o->p.owner), 0);
	o->p.ops.cheapest = cheapest;
	assert_int_equal(quire_owner_create(o->q, "patient", &o->p.ops, &o->p, &o->p.owner), 0);
	place(&o->p, &o->it, 0, ANYWHERE, 0xc0ffee);
}

static void test_HA6_ops_are_not_called_in_a_lesser_mode(void **state)
{
	(void)state;
	for (enum quire_mode cheapest = QUIRE_ASYNC; cheapest <= QUIRE_SYNC; cheapest++) {
		struct one o;

		one_with_cheapest(&o, cheapest);
		quire_clock_set_(CLOCK_START);
		for (enum quire_mode mode = QUIRE_ASYNC; mode <= QUIRE_SYNC; mode++) {
			struct quire_move move = move_folio(o.it.folio, mode, 0);

			if (mode >= cheapest) {
				assert_int_equal(move.code, 0);
				continue;
			}
			assert_int_equal(move.code, -EAGAIN);
			assert_int_equal(move.who.why, QUIRE_REASON_MODE);
			assert_string_equal(move.who.reason, "needs a more patient mode");
			assert_string_equal(move.who.owner, "patient");
			assert_int_equal(move.tries, 1);
		}
		/* It does not become possible by waiting, so nobody waited. */
		assert_int_equal(os_clock_override, CLOCK_START);
		quire_clock_set_(UINT64_MAX);
		assert_int_equal(o.p.isolates, QUIRE_SYNC - cheapest + 1);
		assert_int_equal(stats_of(o.q).not_moved[QUIRE_REASON_MODE], cheapest);
		one_end(&o);
	}
}

static void test_HA6_cheapest_must_be_a_mode(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_owner *owner = NULL;
	struct quire_owner_ops ops = { .size = sizeof(ops), .cheapest = (enum quire_mode)3 };

	(void)state;
	assert_int_equal(quire_owner_create(q, "o", &ops, NULL, &owner), -EINVAL);
	assert_null(owner);
	/* A table from before there was such a thing. */
	ops.size = offsetof(struct quire_owner_ops, cheapest);
	assert_int_equal(quire_owner_create(q, "o", &ops, NULL, &owner), 0);
	assert_int_equal(quire_owner_destroy(owner), 0);
	end_quire(q);
}

/* A plan that is executed in a lesser mode names each such folio of the windows it tried. */
static void test_HA6_a_plan_in_a_lesser_mode_names_them(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct item more[7];
	struct one o;

	(void)state;
	one_with_cheapest(&o, QUIRE_SYNC);
	place_row(&o.p, more, 4, 0, 100, 7);
	place_row(&o.p, more + 4, 3, 0, 512, 11);
	plan = plan_of(o.q, 512, 3);
	assert_int_equal(quire_plan_blockers(plan), 0);
	assert_int_equal(
		quire_plan_execute(plan, QUIRE_BUDGET(.mode = QUIRE_SYNC_LIGHT, .mode_set = 1), &r),
		-EBUSY);
	assert_int_equal(r.obtained, 2);
	assert_int_equal(r.bytes_moved, 0);
	assert_int_equal(r.folios_failed, 8);
	assert_int_equal(quire_plan_blockers(plan), 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(quire_plan_blocker(plan, i)->why, QUIRE_REASON_MODE);
	assert_int_equal(o.p.isolates, 0);
	quire_plan_destroy(plan);
	plan = plan_of(o.q, 512, 3);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	quire_plan_destroy(plan);
	drop_row(more, 7);
	one_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_HA3_mixed_owners_are_asked_once_each),
		TEST(test_HA5_putback_tells_of_a_failure_after_quiescing),
		TEST(test_HA6_ops_are_not_called_in_a_lesser_mode),
		TEST(test_HA6_cheapest_must_be_a_mode),
		TEST(test_HA6_a_plan_in_a_lesser_mode_names_them),
	};

	return cmocka_run_group_tests_name("owners and movers", tests, NULL, NULL);
}

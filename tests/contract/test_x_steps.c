/* SPDX-License-Identifier: MIT */
/*
 * test_x_steps.c: contract X, the steps of a move and who meets whom in them: X15-X18, X21, X24,
 * X26, X33. Not here because a handle has no such thing: X19 (the dirty bit), X20 (writeback), X22
 * and X23 (page tables), X27 to X32.
 */
#include "support.h"

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
	size_t n;
	struct hand *hand;
	unsigned in_claimed;
	int second;
};

static void allocate_some(struct claim *c)
{
	unsigned claimed = 0;

	for (uint32_t b = 0; b < quire_blocks(c->q); b++)
		claimed += is_claimed(c->q, b);
	CHECK(claimed == 2);
	for (size_t i = 0; i < 32; i++, c->n++) {
		c->items[c->n] = (struct item){ .probe = c->p };
		CHECK(quire_folio_create(c->p->owner, 0, &c->items[c->n].folio) == 0);
		c->in_claimed += is_claimed(c->q, at_frame(&c->items[c->n]) / 512);
	}
}

static void allocate_meanwhile(void *arg)
{
	allocate_some(arg);
}

static int allocate_between_batches(void *arg, const struct quire_result *so_far)
{
	struct claim *c = arg;

	/* Old places have become free in the windows: still nobody else's. */
	if (so_far->bytes_moved && c->n == 32)
		allocate_some(c);
	return 0;
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
	plan = plan_of(q, 512, 2);
	c = (struct claim){ .q = q, .p = &p };
	at_point("plan:claimed", NULL, allocate_meanwhile, &c);
	assert_int_equal(
		quire_plan_execute(
			plan, QUIRE_BUDGET(.progress = allocate_between_batches, .arg = &c), &r),
		0);
	assert_int_equal(r.obtained, 2);
	assert_int_equal(c.n, COUNT_OF(c.items));
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
	c->second = quire_plan_execute(
		plan, QUIRE_BUDGET(.deadline_ns = SEC, .flags = QUIRE_BUDGET_NO_QUEUE), &r);
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
	plan = plan_of(q, 512, 2);
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
	plan = plan_of(q, 512, 2);
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

	return cmocka_run_group_tests_name("contract X: steps", tests, NULL, NULL);
}

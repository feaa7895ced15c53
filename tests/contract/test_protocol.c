/* SPDX-License-Identifier: MIT */
/*
 * test_protocol.c: "Who may look, pin, move and free": each re-check of the protocol, forced both
 * ways. A test runs one side up to a sync point, has the other side act there, and lets the first
 * go on; what decides is never time. Unpinning, signals, threads that go: test_pins.c.
 */
#include "support.h"

/* --- pin against mark --------------------------------------------------------------------- */

/* The pin is published, then a whole move comes: its scan must see the pin. */
static void test_pin_published_before_the_mark_keeps_the_folio(void **state)
{
	struct two o;
	void *address;

	(void)state;
	two_start(&o);
	at_point("pin:published", o.it.folio, by_hand_move, &o.d);
	address = quire_pin(o.it.folio);
	assert_int_equal(o.d.move.code, -EAGAIN);
	assert_int_equal(o.d.move.who.why, QUIRE_REASON_SHORT_PIN);
	assert_int_equal(o.d.move.who.thread, thread_id());
	assert_true(two_here(&o, address));
	assert_int_equal(at_frame(&o.it), o.old);
	quire_unpin(o.it.folio);
	two_end(&o);
}

struct between {
	struct two o;
	struct gate published, go_on; /* the gates of the pin */
};

static void pin_stops_at_published(void *arg)
{
	struct between *b = arg;

	gate_open(&b->published);
	gate_pass(&b->go_on);
}

static void start_the_pin(void *arg)
{
	struct between *b = arg;

	hand_post(&b->o.hand, deed_pin, &b->o.d);
	gate_pass(&b->published);
}

/* Published after the mark and before the scan: both see each other. The folio stays, the pin has
 * the old address whether it re-checks before or after the mover takes its mark back. */
static void test_pin_published_between_mark_and_scan_keeps_the_folio(void **state)
{
	struct quire_move move;
	struct between b;

	(void)state;
	two_start(&b.o);
	gate_init(&b.published);
	gate_init(&b.go_on);
	at_point("commit:marked", b.o.it.folio, start_the_pin, &b);
	at_point("pin:published", b.o.it.folio, pin_stops_at_published, &b);
	move = move_folio(b.o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_SHORT_PIN);
	assert_int_equal(move.who.thread, b.o.hand.tid);
	gate_open(&b.go_on);
	hand_wait(&b.o.hand);
	assert_true(two_here(&b.o, b.o.d.address));
	assert_int_equal(at_frame(&b.o.it), b.o.old);
	hand_do(&b.o.hand, deed_unpin, &b.o.d);
	two_end(&b.o);
}

/* Published after the scan: it sees the mark, waits, and gets the new address. */
static void test_pin_published_after_the_scan_waits_for_the_new_place(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	at_point("pin:waiting", o.it.folio, gate_open, &o.gate);
	at_point("commit:scanned", o.it.folio, by_hand_pin_until_it_waits, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	hand_wait(&o.hand);
	assert_int_not_equal(at_frame(&o.it), o.old);
	assert_true(two_here(&o, o.d.address));
	assert_int_equal(stats_of(o.q).pin_waits, 1);
	hand_do(&o.hand, deed_unpin, &o.d);
	two_end(&o);
}

static void resume_the_pin(void *arg)
{
	struct between *b = arg;

	gate_open(&b->go_on);
	hand_wait(&b->o.hand);
}

/* Published before the mark is set, looked at only after everything is over. */
static void test_pin_delayed_over_a_whole_move(void **state)
{
	struct between b;

	(void)state;
	two_start(&b.o);
	gate_init(&b.published);
	gate_init(&b.go_on);
	/* The slot is empty while the mover scans: the pin starts after the scan and is held up at
	 * its re-check until the new place is published. */
	at_point("commit:scanned", b.o.it.folio, start_the_pin, &b);
	at_point("pin:published", b.o.it.folio, pin_stops_at_published, &b);
	at_point("commit:published", b.o.it.folio, resume_the_pin, &b);
	assert_int_equal(move_folio(b.o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_not_equal(at_frame(&b.o.it), b.o.old);
	assert_true(two_here(&b.o, b.o.d.address));
	hand_do(&b.o.hand, deed_unpin, &b.o.d);
	two_end(&b.o);
}

/* A mover that fails takes its mark back and wakes whoever waits. */
static void test_pin_waiting_for_a_move_that_fails_gets_the_old_place(void **state)
{
	struct quire_move move;
	struct two o;

	(void)state;
	two_start(&o);
	at_point("pin:waiting", o.it.folio, gate_open, &o.gate);
	at_point("commit:scanned", o.it.folio, by_hand_pin_until_it_waits, &o.d);
	quire_fault_arm_("copy", 1, -EHWPOISON);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EHWPOISON);
	hand_wait(&o.hand);
	assert_int_equal(at_frame(&o.it), o.old);
	assert_true(two_here(&o, o.d.address));
	hand_do(&o.hand, deed_unpin, &o.d);
	two_end(&o);
}

static void test_pins_of_several_threads_all_wake(void **state)
{
	struct hand hands[4];
	struct deed d[4];
	struct two o;

	(void)state;
	two_start(&o);
	at_point_nth("pin:waiting", o.it.folio, 1, 4, gate_open, &o.gate);
	for (size_t i = 0; i < 4; i++) {
		hand_start(&hands[i]);
		d[i] = o.d;
		d[i].hand = &hands[i];
		at_point("commit:scanned", o.it.folio, by_hand_pin_until_it_waits, &d[i]);
	}
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	for (size_t i = 0; i < 4; i++) {
		hand_wait(&hands[i]);
		assert_true(two_here(&o, d[i].address));
		hand_do(&hands[i], deed_unpin, &d[i]);
		hand_stop(&hands[i]);
	}
	two_end(&o);
}

/* Without a barrier nothing may be concluded about pins: nothing moves, and it is named. */
static void test_no_barrier_no_move(void **state)
{
	struct quire_move move;
	struct two o;

	(void)state;
	two_start(&o);
	quire_fault_arm_("os:membarrier", 1, -ENOMEM);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_true(quire_fault_disarm_());
	assert_int_equal(move.code, -ENOMEM);
	assert_int_equal(move.who.why, QUIRE_REASON_BARRIER);
	assert_int_equal(at_frame(&o.it), o.old);
	two_end(&o);
}

/* --- long pins against mark --------------------------------------------------------------- */

static void test_long_pin_counted_before_the_mark_keeps_the_folio(void **state)
{
	struct quire_pin *pin;
	const char *site;
	struct two o;

	(void)state;
	two_start(&o);
	at_point("pin-long:counted", o.it.folio, by_hand_move, &o.d);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0), site = QUIRE_SITE;
	assert_int_equal(o.d.move.code, -EAGAIN);
	assert_int_equal(o.d.move.who.why, QUIRE_REASON_LONG_PIN);
	assert_string_equal(o.d.move.who.site, site); /* on the list before it is counted */
	assert_true(two_here(&o, quire_pin_address(pin)));
	assert_int_equal(at_frame(&o.it), o.old);
	quire_unpin_long(pin);
	two_end(&o);
}

static void test_long_pin_after_the_scan_waits_for_the_new_place(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	at_point("pin:waiting", o.it.folio, gate_open, &o.gate);
	at_point("commit:scanned", o.it.folio, by_hand_pin_long_until_it_waits, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	hand_wait(&o.hand);
	assert_int_equal(o.d.code, 0);
	assert_int_not_equal(at_frame(&o.it), o.old);
	assert_true(two_here(&o, o.d.address));
	assert_ptr_equal(quire_pin_address(o.d.pin), o.d.address);
	hand_do(&o.hand, deed_unpin_long, &o.d);
	two_end(&o);
}

static void start_the_long_pin(void *arg)
{
	struct between *b = arg;

	hand_post(&b->o.hand, deed_pin_long, &b->o.d);
	gate_pass(&b->published);
}

/* Counted while the mark stands and before the scan: the folio stays, the pin has the old place. */
static void test_long_pin_between_mark_and_scan_keeps_the_folio(void **state)
{
	struct quire_move move;
	struct between b;

	(void)state;
	two_start(&b.o);
	gate_init(&b.published);
	gate_init(&b.go_on);
	at_point("commit:marked", b.o.it.folio, start_the_long_pin, &b);
	at_point("pin-long:counted", b.o.it.folio, pin_stops_at_published, &b);
	move = move_folio(b.o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_LONG_PIN);
	gate_open(&b.go_on);
	hand_wait(&b.o.hand);
	assert_int_equal(b.o.d.code, 0);
	assert_true(two_here(&b.o, b.o.d.address));
	assert_int_equal(at_frame(&b.o.it), b.o.old);
	hand_do(&b.o.hand, deed_unpin_long, &b.o.d);
	two_end(&b.o);
}

static void test_long_pin_arguments(void **state)
{
	struct quire *other = make_quire(1);
	struct quire_owner *foreign;
	struct quire_pin *pin;
	struct two o;

	(void)state;
	two_start(&o);
	assert_int_equal(quire_owner_create(other, "foreign", NULL, NULL, &foreign), 0);
	assert_int_equal(quire_pin_long(o.it.folio, NULL, &pin), -EINVAL);
	assert_int_equal(quire_pin_long(o.it.folio, foreign, &pin), -EINVAL);
	quire_fault_arm_("mem", 1, -ENOMEM);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), -ENOMEM);
	assert_true(quire_fault_disarm_());
	quire_unpin_long(NULL);
	end_quire(other);
	two_end(&o);
}

/* --- readers ------------------------------------------------------------------------------ */

/* A reader that looked before the publication: what it reads is right, it is told to look again,
 * and the old place is nobody else's while it is in its section. */
static void test_reader_across_a_publication(void **state)
{
	struct quire_view again;
	struct item fill[512];
	struct quire_folio *folio;
	struct two o;
	size_t n = 0;

	(void)state;
	two_start(&o);
	at_point("commit:copied", o.it.folio, by_hand_enter, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_not_equal(at_frame(&o.it), o.old);
	/* Now everything else is given away and written over. */
	while (n < 512 &&
	       !quire_folio_create_with(o.p.owner, QUIRE_FOLIO(.private_data = NULL), &folio)) {
		void *content = quire_pin(folio);

		memset(content, 0xff, 4096);
		quire_unpin(folio);
		assert_int_not_equal(quire_folio_frame(folio).n, o.old);
		fill[n++].folio = folio;
		if (n == 512)
			break;
	}
	assert_true(content_is(o.d.view.data, o.it.cookie, 4096));
	assert_true(quire_view_stale(o.it.folio, o.d.view));
	assert_int_equal(quire_read_enter(), 0);
	again = quire_view(o.it.folio);
	assert_ptr_equal(again.data, quire_folio_content(o.it.folio));
	assert_true(content_is(again.data, o.it.cookie, 4096));
	assert_false(quire_view_stale(o.it.folio, again));
	quire_read_leave();
	assert_true(quire_reclaim(o.q) >= 1);
	assert_true(stats_of(o.q).frames_limbo >= 1);
	hand_do(&o.hand, deed_leave, &o.d);
	while (n)
		quire_folio_put(fill[--n].folio);
	two_end(&o);
}

/* Every step of a move leaves a view that was taken before it stale or right, never wrong. */
static void test_a_view_is_stale_exactly_from_the_publication_on(void **state)
{
	struct quire_view before, after;
	struct two o;

	(void)state;
	two_start(&o);
	hand_do(&o.hand, deed_enter, &o.d);
	before = o.d.view;
	o.p.migrate_says = SCRIPT(-EIO, 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO);
	assert_false(quire_view_stale(o.it.folio, before)); /* a move that failed changes nothing */
	quire_fault_arm_("copy", 1, -EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO);
	assert_true(quire_fault_disarm_());
	assert_false(quire_view_stale(o.it.folio, before));
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_true(quire_view_stale(o.it.folio, before));
	hand_do(&o.hand, deed_enter, &o.d); /* sections nest */
	after = o.d.view;
	assert_false(quire_view_stale(o.it.folio, after));
	hand_do(&o.hand, deed_leave, &o.d);
	assert_true(stats_of(o.q).frames_limbo >= 1); /* the outer one still stands */
	hand_do(&o.hand, deed_leave, &o.d);
	two_end(&o);
}

/* The word's invariants (abi.h): the frame never changes without the version, and DEAD neither. */
static void test_frame_and_version_change_together(void **state)
{
	const uint64_t version = QUIRE_WORD_VERSION_ONE_;
	struct quire_view view;
	uint64_t word;
	struct two o;

	(void)state;
	two_start(&o);
	for (unsigned i = 0; i < 5; i++) {
		word = o.it.folio->word_;
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_true((o.it.folio->word_ & QUIRE_WORD_FRAME_MASK_) !=
			    (word & QUIRE_WORD_FRAME_MASK_));
		assert_true((o.it.folio->word_ & QUIRE_WORD_VERSION_MASK_) ==
			    ((word + version) & QUIRE_WORD_VERSION_MASK_));
		assert_int_equal(o.it.folio->word_ & (QUIRE_MOVING_ | QUIRE_ISOLATED_), 0);
	}
	/* A failed move changes neither. */
	word = o.it.folio->word_;
	o.p.migrate_says = SCRIPT(-EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO);
	assert_true(o.it.folio->word_ == word);
	assert_int_equal(quire_read_enter(), 0);
	view = quire_view(o.it.folio);
	drop(&o.it);
	assert_true((o.it.folio->word_ & QUIRE_WORD_VERSION_MASK_) ==
		    ((word + version) & QUIRE_WORD_VERSION_MASK_));
	assert_true(o.it.folio->word_ & QUIRE_DEAD_);
	assert_true(quire_view_stale(o.it.folio, view));
	quire_read_leave();
	two_end(&o);
}

static void test_reader_sees_a_freed_folio_as_dead(void **state)
{
	struct quire_view view;
	struct two o;

	(void)state;
	two_start(&o);
	assert_int_equal(quire_read_enter(), 0);
	view = quire_view(o.it.folio);
	assert_true(content_is(view.data, o.it.cookie, 4096));
	hand_do(&o.hand, deed_put, &o.d);
	assert_int_equal(o.it.freed, 1);
	assert_true(quire_view_stale(o.it.folio, view));
	view = quire_view(o.it.folio);
	assert_null(view.data);
	assert_false(quire_view_stale(o.it.folio, view)); /* dead is dead */
	assert_null(quire_pin(o.it.folio));
	quire_read_leave();
	two_end(&o);
}

/* The epoch: neither the frames nor the descriptor of what was freed are used again inside. */
static void test_freed_frames_and_descriptors_wait_for_the_reader(void **state)
{
	struct item others[1023];
	struct quire_folio *one_more;
	struct two o;

	(void)state;
	two_start(&o);
	hand_do(&o.hand, deed_enter, &o.d);
	drop(&o.it);
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		place(&o.p, &others[i], 0, ANYWHERE, i);
		assert_int_not_equal(at_frame(&others[i]), o.old);
		assert_ptr_not_equal(others[i].folio, o.it.folio);
	}
	assert_int_equal(quire_folio_create(o.p.owner, 0, &one_more), -ENOMEM);
	assert_true(content_is(o.d.view.data, o.it.cookie, 4096));
	assert_true(quire_view_stale(o.it.folio, o.d.view));
	assert_int_equal(quire_reclaim(o.q), 1);
	hand_do(&o.hand, deed_leave, &o.d);
	assert_int_equal(quire_folio_create(o.p.owner, 0, &one_more), 0);
	assert_int_equal(quire_folio_frame(one_more).n, o.old);
	quire_folio_put(one_more);
	drop_row(others, COUNT_OF(others));
	two_end(&o);
}

/* A section that was entered after the free does not hold it up. */
static void test_a_later_reader_does_not_hold_up_the_free(void **state)
{
	struct item other;
	struct two o;

	(void)state;
	two_start(&o);
	place(&o.p, &other, 0, ANYWHERE, 5);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 0);
	hand_do(&o.hand, deed_enter, &o.d);
	drop(&other);
	assert_int_equal(quire_reclaim(o.q), 1);
	assert_int_equal(quire_read_enter(), 0); /* a later one, which stays */
	hand_do(&o.hand, deed_leave, &o.d);
	assert_int_equal(quire_reclaim(o.q), 0);
	quire_read_leave();
	two_end(&o);
}

/* --- the index re-check ------------------------------------------------------------------- */

struct index {
	struct quire_folio *slot; /* atomic: what the index says */
	struct two *o;
};

static void unlink_and_put(void *arg)
{
	struct index *index = arg;
	struct quire_folio *folio = index->slot;

	__atomic_store_n(&index->slot, NULL, __ATOMIC_RELEASE);
	quire_folio_put(folio);
}

static void by_hand_unlink(void *arg)
{
	struct index *index = arg;

	hand_do(&index->o->hand, unlink_and_put, index);
}

/* Found in the index, gone before the pin stands: NULL, so look again. */
static void test_index_freed_before_the_pin_is_published(void **state)
{
	struct quire_folio *found;
	struct index index;
	struct two o;

	(void)state;
	two_start(&o);
	index = (struct index){ o.it.folio, &o };
	assert_int_equal(quire_read_enter(), 0);
	found = __atomic_load_n(&index.slot, __ATOMIC_ACQUIRE);
	by_hand_unlink(&index);
	assert_null(quire_pin(found));
	assert_null(__atomic_load_n(&index.slot, __ATOMIC_ACQUIRE));
	quire_read_leave();
	two_end(&o);
}

/* Freed between the slot's store and the word's load: the re-check of DEAD catches it. */
static void test_index_freed_between_publication_and_recheck(void **state)
{
	struct quire_folio *found;
	struct index index;
	struct two o;

	(void)state;
	two_start(&o);
	index = (struct index){ o.it.folio, &o };
	at_point("pin:published", o.it.folio, by_hand_unlink, &index);
	assert_int_equal(quire_read_enter(), 0);
	found = __atomic_load_n(&index.slot, __ATOMIC_ACQUIRE);
	assert_null(quire_pin(found));
	quire_read_leave();
	two_end(&o);
}

/* Freed after the pin stood: the address holds though the index names it no longer. */
static void test_index_freed_after_the_pin_stands(void **state)
{
	struct quire_folio *found;
	struct index index;
	void *address;
	struct two o;

	(void)state;
	two_start(&o);
	index = (struct index){ o.it.folio, &o };
	assert_int_equal(quire_read_enter(), 0);
	found = __atomic_load_n(&index.slot, __ATOMIC_ACQUIRE);
	address = quire_pin(found);
	assert_non_null(address);
	by_hand_unlink(&index);
	assert_null(__atomic_load_n(&index.slot, __ATOMIC_ACQUIRE)); /* the caller's re-check */
	quire_read_leave();
	assert_int_equal(quire_reclaim(o.q), 1);
	assert_true(content_is(address, o.it.cookie, 4096));
	quire_unpin(found);
	two_end(&o);
}

/* --- free against publish ----------------------------------------------------------------- */

static void test_free_around_the_publication(void **state)
{
	static const char *const steps[] = { "commit:marked", "commit:scanned", "commit:copied",
					     "commit:published" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct two o;

		two_start(&o);
		at_point(steps[i], o.it.folio, by_hand_put, &o.d);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_int_equal(o.it.freed, 1);
		assert_int_equal(o.p.putbacks, 0);
		two_end(&o); /* both places are free */
	}
}

/* The reader has the folio's old place, the mover publishes, the owner frees: two retirements. */
static void test_free_after_publication_with_a_reader_in_the_old_place(void **state)
{
	struct two o;

	(void)state;
	two_start(&o);
	hand_do(&o.hand, deed_enter, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 2);
	assert_true(content_is(o.d.view.data, o.it.cookie, 4096));
	assert_true(quire_view_stale(o.it.folio, o.d.view));
	hand_do(&o.hand, deed_leave, &o.d);
	two_end(&o);
}

/* --- sections and calls that do not go together ------------------------------------------- */

static void test_a_read_section_cannot_move(void **state)
{
	struct quire_move move;
	struct quire_plan *plan = NULL;
	struct two o;

	(void)state;
	two_start(&o);
	assert_int_equal(
		quire_plan_create(
			o.q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 1), &plan),
		0);
	move = (struct quire_move){ .folio = o.it.folio };
	assert_int_equal(quire_read_enter(), 0);
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_ASYNC, 0), -EDEADLK);
	assert_int_equal(quire_plan_execute(plan, NULL, NULL), -EDEADLK);
	quire_read_leave();
	assert_int_equal(quire_plan_execute(plan, NULL, NULL), 0); /* it was not executed then */
	quire_plan_destroy(plan);
	two_end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pin_published_before_the_mark_keeps_the_folio),
		TEST(test_pin_published_between_mark_and_scan_keeps_the_folio),
		TEST(test_pin_published_after_the_scan_waits_for_the_new_place),
		TEST(test_pin_delayed_over_a_whole_move),
		TEST(test_pin_waiting_for_a_move_that_fails_gets_the_old_place),
		TEST(test_pins_of_several_threads_all_wake),
		TEST(test_no_barrier_no_move),
		TEST(test_long_pin_counted_before_the_mark_keeps_the_folio),
		TEST(test_long_pin_between_mark_and_scan_keeps_the_folio),
		TEST(test_long_pin_after_the_scan_waits_for_the_new_place),
		TEST(test_long_pin_arguments),
		TEST(test_reader_across_a_publication),
		TEST(test_a_view_is_stale_exactly_from_the_publication_on),
		TEST(test_frame_and_version_change_together),
		TEST(test_reader_sees_a_freed_folio_as_dead),
		TEST(test_freed_frames_and_descriptors_wait_for_the_reader),
		TEST(test_a_later_reader_does_not_hold_up_the_free),
		TEST(test_index_freed_before_the_pin_is_published),
		TEST(test_index_freed_between_publication_and_recheck),
		TEST(test_index_freed_after_the_pin_stands),
		TEST(test_free_around_the_publication),
		TEST(test_free_after_publication_with_a_reader_in_the_old_place),
		TEST(test_a_read_section_cannot_move),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}

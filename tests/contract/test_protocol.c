/* SPDX-License-Identifier: MIT */
/*
 * test_protocol.c: "Who may look, pin, move and free": each re-check of the protocol, forced both
 * ways. A test runs one side up to a sync point, has the other side act there, and lets the first
 * go on; what decides is never time.
 */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct one {
	struct quire *q;
	struct probe p;
	struct item it;
	struct hand hand;
	struct gate gate;
	struct deed d;
	uint32_t old;
};

static void one_start(struct one *o)
{
	o->q = make_quire(2);
	make_probe(o->q, "probe", OP_ALL, &o->p);
	place(&o->p, &o->it, 0, ANYWHERE, 0x9107);
	o->old = at_frame(&o->it);
	hand_start(&o->hand);
	gate_init(&o->gate);
	o->d = (struct deed){ .folio = o->it.folio,
			      .who = o->p.owner,
			      .hand = &o->hand,
			      .gate = &o->gate,
			      .mode = QUIRE_ASYNC };
	/* Its record is there: its first pin is the inline one. */
	hand_do(&o->hand, deed_enter, &o->d);
	hand_do(&o->hand, deed_leave, &o->d);
}

static void one_end(struct one *o)
{
	no_points();
	hand_stop(&o->hand);
	assert_item_ledger(&o->it);
	assert_ledger_closed(o->q);
	if (!o->it.freed) {
		assert_intact(&o->it);
		assert_frames_free(o->q, 1023);
		drop(&o->it);
	}
	assert_int_equal(o->it.freed, 1);
	assert_frames_free(o->q, 1024);
	end_quire(o->q);
}

static bool here(const struct one *o, const void *address)
{
	return address && address == quire_folio_content(o->it.folio) &&
	       content_is(address, o->it.cookie, 4096);
}

/* --- pin against mark --------------------------------------------------------------------- */

/* The pin is published, then a whole move comes: its scan must see the pin. */
static void test_pin_published_before_the_mark_keeps_the_folio(void **state)
{
	struct one o;
	void *address;

	(void)state;
	one_start(&o);
	at_point("pin:published", o.it.folio, by_hand_move, &o.d);
	address = quire_pin(o.it.folio);
	assert_int_equal(o.d.move.code, -EAGAIN);
	assert_int_equal(o.d.move.who.why, QUIRE_REASON_SHORT_PIN);
	assert_int_equal(o.d.move.who.thread, thread_id());
	assert_true(here(&o, address));
	assert_int_equal(at_frame(&o.it), o.old);
	quire_unpin(o.it.folio);
	one_end(&o);
}

struct between {
	struct one o;
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
	one_start(&b.o);
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
	assert_true(here(&b.o, b.o.d.address));
	assert_int_equal(at_frame(&b.o.it), b.o.old);
	hand_do(&b.o.hand, deed_unpin, &b.o.d);
	one_end(&b.o);
}

/* Published after the scan: it sees the mark, waits, and gets the new address. */
static void test_pin_published_after_the_scan_waits_for_the_new_place(void **state)
{
	struct one o;

	(void)state;
	one_start(&o);
	at_point("pin:waiting", o.it.folio, gate_open, &o.gate);
	at_point("commit:scanned", o.it.folio, by_hand_pin_until_it_waits, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	hand_wait(&o.hand);
	assert_int_not_equal(at_frame(&o.it), o.old);
	assert_true(here(&o, o.d.address));
	assert_int_equal(stats_of(o.q).pin_waits, 1);
	hand_do(&o.hand, deed_unpin, &o.d);
	one_end(&o);
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
	one_start(&b.o);
	gate_init(&b.published);
	gate_init(&b.go_on);
	/* The slot is empty while the mover scans: the pin starts after the scan and is held up at
	 * its re-check until the new place is published. */
	at_point("commit:scanned", b.o.it.folio, start_the_pin, &b);
	at_point("pin:published", b.o.it.folio, pin_stops_at_published, &b);
	at_point("commit:published", b.o.it.folio, resume_the_pin, &b);
	assert_int_equal(move_folio(b.o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_not_equal(at_frame(&b.o.it), b.o.old);
	assert_true(here(&b.o, b.o.d.address));
	hand_do(&b.o.hand, deed_unpin, &b.o.d);
	one_end(&b.o);
}

/* A mover that fails takes its mark back and wakes whoever waits. */
static void test_pin_waiting_for_a_move_that_fails_gets_the_old_place(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o);
	at_point("pin:waiting", o.it.folio, gate_open, &o.gate);
	at_point("commit:scanned", o.it.folio, by_hand_pin_until_it_waits, &o.d);
	quire_fault_arm_("copy", 1, -EHWPOISON);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, -EHWPOISON);
	hand_wait(&o.hand);
	assert_int_equal(at_frame(&o.it), o.old);
	assert_true(here(&o, o.d.address));
	hand_do(&o.hand, deed_unpin, &o.d);
	one_end(&o);
}

static void test_pins_of_several_threads_all_wake(void **state)
{
	struct hand hands[4];
	struct deed d[4];
	struct one o;

	(void)state;
	one_start(&o);
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
		assert_true(here(&o, d[i].address));
		hand_do(&hands[i], deed_unpin, &d[i]);
		hand_stop(&hands[i]);
	}
	one_end(&o);
}

/* Without a barrier nothing may be concluded about pins: nothing moves, and it is named. */
static void test_no_barrier_no_move(void **state)
{
	struct quire_move move;
	struct one o;

	(void)state;
	one_start(&o);
	quire_fault_arm_("os:membarrier", 1, -ENOMEM);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_true(quire_fault_disarm_());
	assert_int_equal(move.code, -ENOMEM);
	assert_int_equal(move.who.why, QUIRE_REASON_BARRIER);
	assert_int_equal(at_frame(&o.it), o.old);
	one_end(&o);
}

/* --- long pins against mark --------------------------------------------------------------- */

static void test_long_pin_counted_before_the_mark_keeps_the_folio(void **state)
{
	struct quire_pin *pin;
	const char *site;
	struct one o;

	(void)state;
	one_start(&o);
	at_point("pin-long:counted", o.it.folio, by_hand_move, &o.d);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0), site = QUIRE_SITE;
	assert_int_equal(o.d.move.code, -EAGAIN);
	assert_int_equal(o.d.move.who.why, QUIRE_REASON_LONG_PIN);
	assert_string_equal(o.d.move.who.site, site); /* on the list before it is counted */
	assert_true(here(&o, quire_pin_address(pin)));
	assert_int_equal(at_frame(&o.it), o.old);
	quire_unpin_long(pin);
	one_end(&o);
}

static void test_long_pin_after_the_scan_waits_for_the_new_place(void **state)
{
	struct one o;

	(void)state;
	one_start(&o);
	at_point("pin:waiting", o.it.folio, gate_open, &o.gate);
	at_point("commit:scanned", o.it.folio, by_hand_pin_long_until_it_waits, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	hand_wait(&o.hand);
	assert_int_equal(o.d.code, 0);
	assert_int_not_equal(at_frame(&o.it), o.old);
	assert_true(here(&o, o.d.address));
	assert_ptr_equal(quire_pin_address(o.d.pin), o.d.address);
	hand_do(&o.hand, deed_unpin_long, &o.d);
	one_end(&o);
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
	one_start(&b.o);
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
	assert_true(here(&b.o, b.o.d.address));
	assert_int_equal(at_frame(&b.o.it), b.o.old);
	hand_do(&b.o.hand, deed_unpin_long, &b.o.d);
	one_end(&b.o);
}

static void test_long_pin_arguments(void **state)
{
	struct quire *other = make_quire(1);
	struct quire_owner *foreign;
	struct quire_pin *pin;
	struct one o;

	(void)state;
	one_start(&o);
	assert_int_equal(quire_owner_create(other, "foreign", NULL, NULL, &foreign), 0);
	assert_int_equal(quire_pin_long(o.it.folio, NULL, &pin), -EINVAL);
	assert_int_equal(quire_pin_long(o.it.folio, foreign, &pin), -EINVAL);
	quire_fault_arm_("mem", 1, -ENOMEM);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), -ENOMEM);
	assert_true(quire_fault_disarm_());
	quire_unpin_long(NULL);
	end_quire(other);
	one_end(&o);
}

/* --- readers ------------------------------------------------------------------------------ */

/* A reader that looked before the publication: what it reads is right, it is told to look again,
 * and the old place is nobody else's while it is in its section. */
static void test_reader_across_a_publication(void **state)
{
	struct quire_view again;
	struct item fill[512];
	struct quire_folio *folio;
	struct one o;
	size_t n = 0;

	(void)state;
	one_start(&o);
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
	one_end(&o);
}

/* Every step of a move leaves a view that was taken before it stale or right, never wrong. */
static void test_a_view_is_stale_exactly_from_the_publication_on(void **state)
{
	struct quire_view before, after;
	struct one o;

	(void)state;
	one_start(&o);
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
	one_end(&o);
}

/* The word's invariants (abi.h): the frame never changes without the version, and DEAD neither. */
static void test_frame_and_version_change_together(void **state)
{
	const uint64_t version = QUIRE_WORD_VERSION_ONE_;
	struct quire_view view;
	uint64_t word;
	struct one o;

	(void)state;
	one_start(&o);
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
	one_end(&o);
}

static void test_reader_sees_a_freed_folio_as_dead(void **state)
{
	struct quire_view view;
	struct one o;

	(void)state;
	one_start(&o);
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
	one_end(&o);
}

/* The epoch: neither the frames nor the descriptor of what was freed are used again inside. */
static void test_freed_frames_and_descriptors_wait_for_the_reader(void **state)
{
	struct item others[1023];
	struct quire_folio *one_more;
	struct one o;

	(void)state;
	one_start(&o);
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
	one_end(&o);
}

/* A section that was entered after the free does not hold it up. */
static void test_a_later_reader_does_not_hold_up_the_free(void **state)
{
	struct item other;
	struct one o;

	(void)state;
	one_start(&o);
	place(&o.p, &other, 0, ANYWHERE, 5);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 0);
	hand_do(&o.hand, deed_enter, &o.d);
	drop(&other);
	assert_int_equal(quire_reclaim(o.q), 1);
	hand_do(&o.hand, deed_leave, &o.d);
	one_end(&o);
}

/* --- the index re-check ------------------------------------------------------------------- */

struct index {
	struct quire_folio *slot; /* atomic: what the index says */
	struct one *o;
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
	struct one o;

	(void)state;
	one_start(&o);
	index = (struct index){ o.it.folio, &o };
	assert_int_equal(quire_read_enter(), 0);
	found = __atomic_load_n(&index.slot, __ATOMIC_ACQUIRE);
	by_hand_unlink(&index);
	assert_null(quire_pin(found));
	assert_null(__atomic_load_n(&index.slot, __ATOMIC_ACQUIRE));
	quire_read_leave();
	one_end(&o);
}

/* Freed between the slot's store and the word's load: the re-check of DEAD catches it. */
static void test_index_freed_between_publication_and_recheck(void **state)
{
	struct quire_folio *found;
	struct index index;
	struct one o;

	(void)state;
	one_start(&o);
	index = (struct index){ o.it.folio, &o };
	at_point("pin:published", o.it.folio, by_hand_unlink, &index);
	assert_int_equal(quire_read_enter(), 0);
	found = __atomic_load_n(&index.slot, __ATOMIC_ACQUIRE);
	assert_null(quire_pin(found));
	quire_read_leave();
	one_end(&o);
}

/* Freed after the pin stood: the address holds though the index names it no longer. */
static void test_index_freed_after_the_pin_stands(void **state)
{
	struct quire_folio *found;
	struct index index;
	void *address;
	struct one o;

	(void)state;
	one_start(&o);
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
	one_end(&o);
}

/* --- free against publish ----------------------------------------------------------------- */

static void test_free_around_the_publication(void **state)
{
	static const char *const steps[] = { "commit:marked", "commit:scanned", "commit:copied",
					     "commit:published" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct one o;

		one_start(&o);
		at_point(steps[i], o.it.folio, by_hand_put, &o.d);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
		assert_int_equal(o.it.freed, 1);
		assert_int_equal(o.p.putbacks, 0);
		one_end(&o); /* both places are free */
	}
}

/* The reader has the folio's old place, the mover publishes, the owner frees: two retirements. */
static void test_free_after_publication_with_a_reader_in_the_old_place(void **state)
{
	struct one o;

	(void)state;
	one_start(&o);
	hand_do(&o.hand, deed_enter, &o.d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 2);
	assert_true(content_is(o.d.view.data, o.it.cookie, 4096));
	assert_true(quire_view_stale(o.it.folio, o.d.view));
	hand_do(&o.hand, deed_leave, &o.d);
	one_end(&o);
}

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
	struct one o;

	(void)state;
	one_start(&o);
	assert_non_null(quire_pin(o.it.folio));
	assert_non_null(quire_pin(o.it.folio));
	quire_unpin(o.it.folio);
	hand_do(&o.hand, deed_move, &o.d);
	assert_int_equal(o.d.move.who.why, QUIRE_REASON_SHORT_PIN);
	quire_unpin(o.it.folio);
	hand_do(&o.hand, deed_move, &o.d);
	assert_int_equal(o.d.move.code, 0);
	one_end(&o);
}

static void test_the_ninth_pin_spills_and_is_named_as_the_others(void **state)
{
	struct item it[QUIRE_SHORT_PINS + 3];
	const char *site[QUIRE_SHORT_PINS + 3];
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
			void *address = quire_pin(it[i].folio);

			site[i] = "tests/contract/test_protocol.c";
			assert_true(content_is(address, it[i].cookie, 4096));
		}
		assert_int_equal(stats_of(q).spilled_pins - spilled, 3);
		for (size_t i = 0; i < COUNT_OF(it); i++) {
			d = (struct deed){ .folio = it[i].folio, .mode = QUIRE_ASYNC };
			hand_do(&hand, deed_move, &d);
			assert_true(d.move.code < 0);
			assert_int_equal(d.move.who.thread, thread_id());
			assert_memory_equal(d.move.who.site, site[i], strlen(site[i]));
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
	struct one o;

	(void)state;
	one_start(&o);
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
		assert_non_null(quire_pin(o.it.folio));
	quire_fault_arm_("mem", 1, -ENOMEM);
	assert_null(quire_pin(o.it.folio));
	assert_true(quire_fault_disarm_());
	assert_non_null(quire_pin(o.it.folio));
	for (unsigned i = 0; i <= QUIRE_SHORT_PINS; i++)
		quire_unpin(o.it.folio);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	one_end(&o);
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
	struct one o;

	(void)state;
	one_start(&o);
	place(&o.p, &other, 0, ANYWHERE, 6);
	sigaction(SIGUSR1, &action, &before);
	handled_ = 0;
	at_point("pin:published", o.it.folio, interrupt, NULL);
	handlers_ = &other;
	address = quire_pin(o.it.folio);
	assert_int_equal(handled_, 1);
	assert_true(here(&o, address));
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
	one_end(&o);
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

static int child_answers(struct one *o)
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
	struct one o;
	pid_t child;
	int status = -1;

	(void)state;
	one_start(&o);
	fflush(NULL);
	child = fork();
	if (!child)
		_exit(child_answers(&o));
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0); /* the parent goes on */
	one_end(&o);
}

/* --- sections and calls that do not go together ------------------------------------------- */

static void test_a_read_section_cannot_move(void **state)
{
	struct quire_move move;
	struct quire_plan *plan = NULL;
	struct one o;

	(void)state;
	one_start(&o);
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
	one_end(&o);
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
		TEST(test_unpin_in_every_order),
		TEST(test_unpin_hand_over_hand_never_spills),
		TEST(test_unpin_of_one_of_two_pins_of_a_folio),
		TEST(test_the_ninth_pin_spills_and_is_named_as_the_others),
		TEST(test_the_ninth_pin_without_memory_is_null_and_harmless),
		TEST(test_a_thread_that_is_gone_is_named),
		TEST(test_a_signal_handler_may_pin),
		TEST(test_a_signal_handler_leaves_a_counted_slot_alone),
		TEST(test_a_forks_child_is_told_that_it_has_no_arena),
		TEST(test_a_read_section_cannot_move),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}

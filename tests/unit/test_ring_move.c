// SPDX-License-Identifier: MIT
/*
 * test_ring_move.c: buffers of the owner ring move, with I/O in flight on them and without.
 *
 * "In flight" is made by reading from an empty pipe: such an I/O is under way until the test feeds
 * the pipe. What happens inside of an op happens at its sync points, in the mover's thread.
 */
#include "rings.h"

#include <unistd.h>

#define FULL(rig) ((rig)->kind != KIND_THREADS)

/* One buffer of one frame, a read of 512 bytes of the pipe under way into it. */
struct flight {
	struct rig rig;
	struct ring_buffer *b;
	struct ring_request *request;
	struct ring_request *more; /* submitted at a sync point */
	uint32_t old;
};

static void flight_start(struct flight *f, void **state, const struct ring_options *options)
{
	memset(f, 0, sizeof(*f));
	rig_start(&f->rig, state, options);
	f->b = buffer_of(&f->rig, 0);
	assert_int_equal(ring_buffer_registered(f->b), FULL(&f->rig));
	buffer_fill(f->b, 1);
	f->old = buffer_frame(f->b);
	f->request = read_pipe(&f->rig, f->b, 0, 512);
}

/* The 512 bytes have come, to where the buffer is; the others are as they were. */
static bool flight_arrived(struct flight *f)
{
	char want[4096], got[4096];

	content_write(got, 1, sizeof(got));
	content_write(want, 9, sizeof(want));
	memcpy(want + 512, got + 512, sizeof(want) - 512);
	quire_read_bytes(got, quire_pin(ring_buffer_folio(f->b)), sizeof(got));
	quire_unpin(ring_buffer_folio(f->b));
	return memcmp(got, want, sizeof(got)) == 0;
}

static void land(void *arg)
{
	struct flight *f = arg;

	feed(&f->rig, 9, 512);
}

static void land_and_wait(void *arg)
{
	struct flight *f = arg;

	land(f);
	while (!ring_done(f->request))
		sched_yield();
}

/* Reads from the file work by what the buffer now is. */
static void works_there(struct flight *f)
{
	struct ring_result r =
		io_now(&f->rig, false,
		       RING_IO(.buffer = f->b, .fd = f->rig.file, .offset = 512, .bytes = 4096));

	assert_int_equal(r.code, 4096);
	assert_int_equal(r.fixed, FULL(&f->rig));
	assert_true(buffer_holds_file(f->b, 0, 512, 4096));
}

/* --- the three modes ---------------------------------------------------------------------- */

static void test_HC1_ring_async_names_the_io_in_flight(void **state)
{
	struct quire_move move;
	struct ring_result r;
	struct flight f;

	flight_start(&f, state, NULL);
	move = move_buffer(f.b, QUIRE_ASYNC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	assert_string_equal(move.who.owner, "ring");
	assert_string_equal(move.who.site, "I/O in flight");
	assert_int_equal(move.tries, 1);
	assert_non_null(move.wait);
	assert_false(quire_fence_signaled(move.wait));
	assert_int_equal(buffer_frame(f.b), f.old);
	assert_false(ring_done(f.request));
	land(&f);
	r = wait_for(f.request);
	assert_int_equal(r.code, 512);
	assert_int_equal(r.overlapped, 0); /* it was never isolated */
	assert_int_equal(quire_fence_wait(move.wait, 30 * SEC), 0);
	quire_fence_put(move.wait);
	assert_true(flight_arrived(&f));
	/* and then it goes */
	move = move_buffer(f.b, QUIRE_ASYNC);
	assert_int_equal(move.code, 0);
	assert_int_not_equal(buffer_frame(f.b), f.old);
	assert_true(flight_arrived(&f));
	assert_int_equal(ring_stats_of(f.rig.ring).updates, FULL(&f.rig));
	works_there(&f);
	rig_end(&f.rig);
}

/* The pipe is fed at the second refusal; the mover waits for the fence and moves it then. */
static void test_HC1_ring_sync_light_waits_for_the_fence(void **state)
{
	struct quire_move move;
	struct at_point *busy;
	struct ring_result r;
	struct flight f;

	flight_start(&f, state, NULL);
	quire_clock_set_(CLOCK_START);
	busy = at_point("ring:busy", f.b, land_and_wait, &f);
	move = move_buffer(f.b, QUIRE_SYNC_LIGHT);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.tries, 2);
	assert_int_equal(hits(busy), 1);
	r = wait_for(f.request);
	assert_int_equal(r.code, 512);
	assert_int_not_equal(buffer_frame(f.b), f.old);
	assert_true(flight_arrived(&f));
	works_there(&f);
	rig_end(&f.rig);
}

static void test_HC1_ring_sync_light_gives_up_and_names_it(void **state)
{
	struct quire_move move;
	struct flight f;

	flight_start(&f, state, NULL);
	quire_clock_set_(CLOCK_START);
	move = move_buffer(f.b, QUIRE_SYNC_LIGHT);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	assert_string_equal(move.who.site, "I/O in flight");
	quire_fence_put(move.wait);
	assert_int_equal(buffer_frame(f.b), f.old);
	assert_int_equal(ring_stats_of(f.rig.ring).isolated, 0);
	land_and_wait(&f);
	assert_int_equal(wait_for(f.request).code, 512);
	assert_true(flight_arrived(&f));
	rig_end(&f.rig);
}

/* The op waits for the I/O, has it moved, and the bytes are where the buffer is. */
static void test_ring_sync_waits_for_the_io(void **state)
{
	struct at_point *quiescing;
	struct quire_move move;
	struct ring_result r;
	struct flight f;

	flight_start(&f, state, NULL);
	quiescing = at_point("ring:quiescing", f.b, land, &f);
	move = move_buffer(f.b, QUIRE_SYNC);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.tries, 1);
	assert_int_equal(hits(quiescing), 1);
	r = wait_for(f.request);
	assert_int_equal(r.code, 512);
	assert_int_equal(r.overlapped, 1);
	assert_int_equal(r.held, 0);
	assert_int_not_equal(buffer_frame(f.b), f.old);
	assert_true(flight_arrived(&f));
	assert_int_equal(ring_stats_of(f.rig.ring).quiesced, 1);
	assert_int_equal(ring_stats_of(f.rig.ring).updates, FULL(&f.rig));
	assert_int_equal(ring_stats_of(f.rig.ring).overlapped, 1);
	works_there(&f);
	rig_end(&f.rig);
}

/* I/O that does not end: the op gives up after quiesce_ns, and the buffer goes on. */
static void test_ring_sync_has_a_deadline(void **state)
{
	struct quire_move move;
	struct flight f;

	flight_start(&f, state, RING_OPTIONS(.quiesce_ns = 1));
	move = move_folio(ring_buffer_folio(f.b), QUIRE_SYNC, 1);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	quire_fence_put(move.wait);
	assert_int_equal(buffer_frame(f.b), f.old);
	assert_true(ring_stats_of(f.rig.ring).quiesce_timeouts >= 1);
	assert_int_equal(ring_stats_of(f.rig.ring).updates, 0);
	assert_int_equal(ring_buffer_registered(f.b), FULL(&f.rig));
	/* more I/O is not held back any longer */
	assert_int_equal(io_now(&f.rig, false,
				RING_IO(.buffer = f.b, .fd = f.rig.file, .at = 512, .bytes = 1))
				 .held,
			 0);
	land_and_wait(&f);
	assert_int_equal(wait_for(f.request).code, 512);
	/* rig_end() waits for as long as it takes, not for one nanosecond */
	f.rig.ring->quiesce_ns = 30 * SEC;
	rig_end(&f.rig);
}

/* --- held back ---------------------------------------------------------------------------- */

static void submit_more(void *arg)
{
	struct flight *f = arg;

	CHECK(ring_read(f->rig.ring,
			RING_IO(.buffer = f->b, .fd = f->rig.file, .offset = 4096, .at = 1024,
				.bytes = 1024),
			&f->more) == 0);
	CHECK(!ring_done(f->more));
}

static void submit_more_and_land(void *arg)
{
	submit_more(arg);
	land(arg);
}

/* I/O submitted while its buffer moves begins afterwards, at the new place. */
static void test_ring_io_is_held_back_by_a_move(void **state)
{
	struct ring_result r;
	struct flight f;

	flight_start(&f, state, NULL);
	at_point("ring:quiescing", f.b, submit_more_and_land, &f);
	assert_int_equal(move_buffer(f.b, QUIRE_SYNC).code, 0);
	assert_int_equal(wait_for(f.request).code, 512);
	r = wait_for(f.more);
	assert_int_equal(r.code, 1024);
	assert_int_equal(r.held, 1);
	assert_int_equal(r.overlapped, 1);
	assert_int_equal(r.fixed, FULL(&f.rig));
	assert_int_not_equal(buffer_frame(f.b), f.old);
	assert_true(buffer_holds_file(f.b, 1024, 4096, 1024));
	assert_int_equal(ring_stats_of(f.rig.ring).held, 1);
	rig_end(&f.rig);
}

/* And by a move that then does not happen: it begins, at the old place. */
static void test_ring_io_held_back_by_a_failed_move(void **state)
{
	struct ring_result r;
	struct quire_move move;
	struct flight f;

	flight_start(&f, state, NULL);
	at_point("ring:quiescing", f.b, submit_more_and_land, &f);
	quire_fault_arm_("copy", 1, -EIO);
	move = move_buffer(f.b, QUIRE_SYNC);
	assert_true(quire_fault_disarm_());
	assert_int_equal(move.code, -EIO);
	assert_int_equal(wait_for(f.request).code, 512);
	r = wait_for(f.more);
	assert_int_equal(r.code, 1024);
	assert_int_equal(r.held, 1);
	assert_int_equal(buffer_frame(f.b), f.old);
	assert_true(buffer_holds_file(f.b, 1024, 4096, 1024));
	assert_int_equal(ring_buffer_registered(f.b), FULL(&f.rig));
	assert_int_equal(ring_stats_of(f.rig.ring).updates, 0);
	works_there(&f);
	rig_end(&f.rig);
}

static void fail_starts(void *arg)
{
	submit_more_and_land(arg);
	proxy.start = -EAGAIN;
}

/* What was held back and cannot be started: a result, as any other error. */
static void test_ring_held_io_that_cannot_be_started(void **state)
{
	struct ring_result r;
	struct flight f;

	flight_start(&f, state, NULL);
	at_point("ring:quiescing", f.b, fail_starts, &f);
	assert_int_equal(move_buffer(f.b, QUIRE_SYNC).code, 0);
	proxy.start = 0;
	assert_int_equal(wait_for(f.request).code, 512);
	r = wait_for(f.more);
	assert_int_equal(r.code, -EAGAIN);
	assert_int_equal(r.overlapped, 1);
	assert_int_equal(ring_stats_of(f.rig.ring).failed, 1);
	works_there(&f);
	rig_end(&f.rig);
}

static void put_it(void *arg)
{
	struct flight *f = arg;

	submit_more(f);
	ring_buffer_put(f->b);
	land(f);
}

/* Put in the middle of a move, with I/O in flight and I/O held back: both end, then it is gone. */
static void test_C18_ring_put_while_it_moves(void **state)
{
	struct quire_move move;
	struct flight f;

	flight_start(&f, state, NULL);
	at_point("ring:quiescing", f.b, put_it, &f);
	move = move_buffer(f.b, QUIRE_SYNC);
	assert_int_equal(move.code, 0);
	assert_int_equal(wait_for(f.request).code, 512);
	assert_int_equal(wait_for(f.more).code, 1024);
	assert_int_equal(ring_stats_of(f.rig.ring).buffers, 0);
	rig_end(&f.rig);
}

static void destroy_in_an_op(struct probe *p, struct quire_folio *folio)
{
	struct rig *rig = p->arg;

	(void)folio;
	CHECK(ring_destroy(rig->ring) == -EDEADLK);
}

/* In an op of another owner nothing can be waited for: refused, and nothing has changed. */
static void test_HA1_ring_destroy_in_an_op_changes_nothing(void **state)
{
	struct ring_buffer *b;
	struct probe other;
	struct item it;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	make_probe(rig.q, "other", OP_ALL, &other);
	other.arg = &rig;
	other.on_isolate = destroy_in_an_op;
	place(&other, &it, 0, ANYWHERE, 1);
	other.isolate_says = SCRIPT(-EBUSY); /* the books of the quire are those of the ring */
	assert_int_equal(move_folio(it.folio, QUIRE_ASYNC, 0).code, -EBUSY);
	assert_int_equal(other.isolates, 1);
	assert_int_equal(ring_stats_of(rig.ring).buffers, 1);
	assert_int_equal(
		io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 512)).code, 512);
	ring_buffer_put(b);
	drop(&it);
	rig_end(&rig);
}

/* --- the hook ----------------------------------------------------------------------------- */

static void hook(void *arg, struct quire_folio *folio)
{
	struct flight *f = arg;

	CHECK(ring_folio_buffer(folio) == f->b);
	CHECK(quire_folio_on_the_move(folio));
	CHECK(ring_destroy(f->rig.ring) == -EDEADLK);
	CHECK(ring_read(f->rig.ring,
			RING_IO(.buffer = f->b, .fd = f->rig.file, .offset = 4096, .at = 1024,
				.bytes = 1024),
			&f->more) == 0);
	CHECK(ring_wait(f->more, SEC, NULL) == -EDEADLK);
}

/* I/O submitted by the hook is on the move from its beginning; the move waits for it. */
static void test_ring_hook_submits_io(void **state)
{
	struct ring_result r;
	struct flight f;

	memset(&f, 0, sizeof(f));
	rig_start(&f.rig, state, RING_OPTIONS(.on_isolate = hook, .arg = &f));
	f.b = buffer_of(&f.rig, 0);
	f.old = buffer_frame(f.b);
	assert_int_equal(move_buffer(f.b, QUIRE_SYNC).code, 0);
	r = wait_for(f.more);
	assert_int_equal(r.code, 1024);
	assert_int_equal(r.overlapped, 1);
	assert_int_equal(r.held, 0);
	assert_int_not_equal(buffer_frame(f.b), f.old);
	assert_true(buffer_holds_file(f.b, 1024, 4096, 1024));
	/* after the move nothing is overlapped any more */
	r = io_now(&f.rig, false, RING_IO(.buffer = f.b, .fd = f.rig.file, .bytes = 1));
	assert_int_equal(r.overlapped, 0);
	rig_end(&f.rig);
}

/* --- registrations ------------------------------------------------------------------------ */

/* Every order, registered, moves there and back by every mode; each time the file comes in. */
static void test_ring_every_order_by_every_mode(void **state)
{
	struct rig rig;

	rig_start(&rig, state, NULL);
	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++) {
		struct ring_buffer *b = buffer_of(&rig, order);
		size_t n = ring_buffer_bytes(b);

		for (unsigned mode = QUIRE_ASYNC; mode <= QUIRE_SYNC; mode++) {
			uint32_t old = buffer_frame(b);
			struct ring_result r;

			buffer_fill(b, mode);
			assert_int_equal(move_buffer(b, (enum quire_mode)mode).code, 0);
			assert_int_not_equal(buffer_frame(b), old);
			assert_true(buffer_holds(b, mode));
			r = io_now(&rig, false,
				   RING_IO(.buffer = b, .fd = rig.file, .offset = n, .bytes = n));
			assert_int_equal(r.code, (long)n);
			assert_int_equal(r.fixed, FULL(&rig));
			assert_true(buffer_holds_file(b, 0, n, n));
		}
		ring_buffer_put(b);
	}
	rig_end(&rig);
}

/*
 * The trap. The registration is left as it was: the read says that all is well, and the bytes are
 * in the pages that the buffer had before.
 */
static void test_ring_trap_without_the_update_bytes_are_missed(void **state)
{
	struct quire_owner *other;
	struct quire_folio *there;
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;
	uint32_t old;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	buffer_fill(b, 3);
	old = buffer_frame(b);
	proxy.skip = true;
	assert_int_equal(move_buffer(b, QUIRE_SYNC).code, 0);
	proxy.skip = false;
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	assert_int_equal(r.fixed, 1);
	assert_true(buffer_holds(b, 3)); /* nothing has come */
	assert_int_equal(quire_reclaim(rig.q), 0);
	assert_int_equal(quire_owner_create(rig.q, "other", NULL, NULL, &other), 0);
	assert_int_equal(quire_folio_create_with(
				 other, QUIRE_FOLIO(.at_set = 1, .at = quire_frame(old)), &there),
			 0);
	assert_true(content_is(quire_pin(there), FILE_COOKIE, 4096)); /* it is all here */
	quire_unpin(there);
	quire_folio_put(there);
	/* with the update they come */
	assert_int_equal(move_buffer(b, QUIRE_SYNC).code, 0);
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	assert_int_equal(r.fixed, 1);
	assert_true(buffer_holds_file(b, 0, 0, 4096));
	rig_end(&rig);
	/* (the owner went with the quire) */
}

/* The new place cannot be registered: I/O goes on by address, and the next move tries again. */
static void test_ring_update_that_fails(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 2);
	for (unsigned i = 0; i < 2; i++) {
		buffer_fill(b, 4);
		proxy.bind = -ENOMEM;
		assert_int_equal(move_buffer(b, QUIRE_ASYNC).code, 0);
		proxy.bind = 0;
		assert_true(buffer_holds(b, 4));
		assert_false(ring_buffer_registered(b));
		/* the second time it was not registered before the move, either */
		assert_int_equal(ring_stats_of(rig.ring).update_failures, 1);
		assert_int_equal(ring_stats_of(rig.ring).registered, 0);
		rig_quiet(&rig);
		r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 16384));
		assert_int_equal(r.code, 16384);
		assert_int_equal(r.fixed, 0);
		assert_true(buffer_holds_file(b, 0, 0, 16384));
	}
	assert_int_equal(move_buffer(b, QUIRE_ASYNC).code, 0);
	assert_true(ring_buffer_registered(b));
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .offset = 5, .bytes = 16384));
	assert_int_equal(r.code, 16384);
	assert_int_equal(r.fixed, 1);
	assert_true(buffer_holds_file(b, 0, 5, 16384));
	assert_int_equal(ring_stats_of(rig.ring).register_failures, 0);
	rig_end(&rig);
}

/* And the old one cannot be taken back: its slot is never used again. */
static void test_ring_update_that_fails_and_leaves_a_slot(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.slots = 1));
	b = buffer_of(&rig, 0);
	proxy.bind = proxy.unbind = -ENOMEM;
	assert_int_equal(move_buffer(b, QUIRE_ASYNC).code, 0);
	proxy.bind = proxy.unbind = 0;
	assert_int_equal(ring_stats_of(rig.ring).slots_stuck, 1);
	assert_int_equal(ring_stats_of(rig.ring).update_failures, 1);
	assert_int_equal(move_buffer(b, QUIRE_ASYNC).code, 0);
	assert_false(ring_buffer_registered(b));
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	assert_int_equal(r.fixed, 0);
	assert_true(buffer_holds_file(b, 0, 0, 4096));
	rig_end(&rig);
}

/* A move that fails leaves the registration alone: the kernel is not even asked. */
static void test_ring_failed_move_keeps_the_registration(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	proxy.binds = proxy.unbinds = 0;
	assert_non_null(quire_pin(ring_buffer_folio(b)));
	assert_int_equal(move_buffer(b, QUIRE_ASYNC).code, -EAGAIN);
	quire_unpin(ring_buffer_folio(b));
	assert_int_equal(proxy.binds + proxy.unbinds, 0);
	assert_true(ring_buffer_registered(b));
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 4096));
	assert_int_equal(r.fixed, 1);
	assert_true(buffer_holds_file(b, 0, 0, 4096));
	rig_end(&rig);
}

/* --- plans -------------------------------------------------------------------------------- */

/* All the runs there can be, with a buffer in every fifth frame of half of the arena. */
static void test_ring_registered_buffers_are_in_nobodys_way(void **state)
{
	struct quire_result result = { .size = sizeof(result) };
	struct ring_buffer *b[400];
	struct quire_plan *plan;
	struct rig rig;

	rig_start(&rig, state, NULL);
	for (uint32_t i = 0; i < COUNT_OF(b); i++) {
		assert_int_equal(ring_buffer_create_at(rig.ring, quire_frame(i * 5), 0, &b[i]), 0);
		assert_int_equal(ring_buffer_registered(b[i]), FULL(&rig));
		buffer_fill(b[i], i);
	}
	assert_int_equal(quire_plan_create(rig.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = QUIRE_MAX),
					   &plan),
			 0);
	assert_int_equal(quire_plan_execute(plan, NULL, &result), 0);
	assert_int_equal(quire_plan_blockers(plan), 0);
	quire_plan_destroy(plan);
	assert_int_equal(result.obtained, 7);
	assert_int_equal(result.folios_failed, 0);
	for (uint32_t i = 0; i < COUNT_OF(b); i++) {
		struct ring_result r;

		assert_true(buffer_holds(b[i], i));
		r = io_now(&rig, false,
			   RING_IO(.buffer = b[i], .fd = rig.file, .offset = i, .bytes = 4096));
		assert_int_equal(r.code, 4096);
		assert_int_equal(r.fixed, FULL(&rig));
		assert_true(buffer_holds_file(b[i], 0, i, 4096));
	}
	assert_int_equal(ring_stats_of(rig.ring).registered, FULL(&rig) ? COUNT_OF(b) : 0);
	rig_end(&rig);
}

/* One of a batch has I/O in flight that does not end: the others move, and that one is named. */
static void test_ring_one_busy_buffer_holds_up_no_other(void **state)
{
	struct quire_move moves[16];
	struct ring_buffer *b[16];
	struct ring_request *request;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.quiesce_ns = 1));
	for (size_t i = 0; i < COUNT_OF(b); i++) {
		b[i] = buffer_of(&rig, 0);
		buffer_fill(b[i], i);
		moves[i] = (struct quire_move){ .folio = ring_buffer_folio(b[i]) };
	}
	request = read_pipe(&rig, b[5], 0, 8);
	assert_int_equal(quire_move_folios(rig.q, moves, COUNT_OF(b), QUIRE_SYNC, 1), 1);
	for (size_t i = 0; i < COUNT_OF(b); i++) {
		assert_int_equal(moves[i].code, i == 5 ? -EAGAIN : 0);
		if (i != 5)
			assert_true(buffer_holds(b[i], i));
	}
	assert_int_equal(moves[5].who.why, QUIRE_REASON_FENCE);
	quire_fence_put(moves[5].wait);
	feed(&rig, 1, 8);
	assert_int_equal(wait_for(request).code, 8);
	rig.ring->quiesce_ns = 30 * SEC;
	rig_end(&rig);
}

int main(void)
{
#define ON_ALL(f) ON(f, uring), ON(f, threads)
#define ON_TABLES(f) ON(f, uring), ON(f, pretend)
	const struct CMUnitTest tests[] = {
		ON_ALL(test_HC1_ring_async_names_the_io_in_flight),
		ON_ALL(test_HC1_ring_sync_light_waits_for_the_fence),
		ON_ALL(test_HC1_ring_sync_light_gives_up_and_names_it),
		ON_ALL(test_ring_sync_waits_for_the_io),
		ON_ALL(test_ring_sync_has_a_deadline),
		ON_ALL(test_ring_io_is_held_back_by_a_move),
		ON_ALL(test_ring_io_held_back_by_a_failed_move),
		ON_TABLES(test_ring_held_io_that_cannot_be_started),
		ON_ALL(test_C18_ring_put_while_it_moves),
		ON_ALL(test_HA1_ring_destroy_in_an_op_changes_nothing),
		ON_ALL(test_ring_hook_submits_io),
		ON_ALL(test_ring_every_order_by_every_mode),
		ON(test_ring_trap_without_the_update_bytes_are_missed, uring),
		ON_TABLES(test_ring_update_that_fails),
		ON_TABLES(test_ring_update_that_fails_and_leaves_a_slot),
		ON_TABLES(test_ring_failed_move_keeps_the_registration),
		ON_ALL(test_ring_registered_buffers_are_in_nobodys_way),
		ON_ALL(test_ring_one_busy_buffer_holds_up_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

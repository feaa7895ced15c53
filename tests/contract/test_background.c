/* SPDX-License-Identifier: MIT */
/*
 * test_background.c: who works in the background: what wakes it, what it may spend, how it begins
 * and ends. Most of it without a thread and with a clock that the test moves, so that each look is
 * a call.
 */
#include "field.h"

#include <core/instance.h>
#include <frame/node.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_BYTES (512ull * 4096)
#define NEVER UINT64_MAX

/* --- a quire of which the background has charge ------------------------------------------- */

/*
 * Eight blocks; in each of the first six a folio of one page is all that lives, so that six runs
 * are to be had for six pages, as long as these may move.
 */
struct bed {
	struct quire *q;
	struct probe p;
	struct item it[6];
	struct item big[8];
};

static void bed_start(struct bed *bed, unsigned ops)
{
	memset(bed, 0, sizeof(*bed));
	bed->q = make_quire(8);
	make_probe(bed->q, "bed", ops, &bed->p);
	for (unsigned i = 0; i < COUNT_OF(bed->it); i++)
		place(&bed->p, &bed->it[i], 0, quire_frame(i * 512 + i), i + 1);
}

static struct quire_background_stats seen(struct quire *q)
{
	struct quire_background_stats s = { .size = sizeof(s) };

	assert_int_equal(quire_background_stats_get(q, &s), 0);
	return s;
}

static void bed_end(struct bed *bed)
{
	for (unsigned i = 0; i < COUNT_OF(bed->it); i++) {
		if (!bed->it[i].folio)
			continue;
		assert_intact(&bed->it[i]);
		drop(&bed->it[i]);
	}
	for (unsigned i = 0; i < COUNT_OF(bed->big); i++)
		if (bed->big[i].folio)
			drop(&bed->big[i]);
	assert_int_equal(quire_background_stop(bed->q, 0), 0);
	assert_int_equal(seen(bed->q).state, QUIRE_BACKGROUND_OFF);
	end_quire(bed->q);
}

#define START(q, ...)                                                                              \
	assert_int_equal(                                                                          \
		quire_background_start(                                                            \
			(q), QUIRE_BACKGROUND_OPTIONS(.flags = QUIRE_BACKGROUND_NO_THREAD,         \
						      .share = 1000, __VA_ARGS__)),                \
		0)

static int step(struct quire *q, uint64_t *next)
{
	return quire_background_step(q, next);
}

/* Steps until there is nothing to do for now; returns how many, and until when in *next. */
static unsigned steps(struct quire *q, uint64_t *next)
{
	unsigned n = 0;
	int did;

	while ((did = step(q, next)) == 1)
		assert_true(++n < 100);
	assert_int_equal(did, 0);
	return n;
}

/* Would an event loop be woken? */
static bool is_raised(struct quire *q)
{
	struct pollfd fd = { .fd = quire_background_fd(q), .events = POLLIN };

	assert_true(fd.fd >= 0);
	return poll(&fd, 1, 0) == 1;
}

/* --- runs are ready ----------------------------------------------------------------------- */

/* The thread has nothing to do, and is about to sleep. */
struct sleeper {
	struct gate gate;
	struct at_point *rule;
};

static void sleeper_start(struct sleeper *s)
{
	gate_init(&s->gate);
	s->rule = at_point("background:sleeps", NULL, gate_open, &s->gate);
}

static void test_W28_a_thread_keeps_runs_ready(void **state)
{
	struct sleeper s;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	assert_int_equal(empty_blocks(bed.q), 2);
	sleeper_start(&s);
	assert_int_equal(quire_background_start(
				 bed.q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 5, .share = 1000)),
			 0);
	while (seen(bed.q).state != QUIRE_BACKGROUND_RESTING)
		gate_pass(&s.gate);
	assert_true(empty_blocks(bed.q) >= 7); /* runs_high: 7 */
	assert_int_equal(seen(bed.q).runs, 5);
	assert_int_equal(seen(bed.q).moved_bytes, 5 * 4096);
	assert_int_equal(seen(bed.q).next_ns, NEVER);
	/* And again, once some of them are taken. */
	for (unsigned i = 0; i < 4; i++)
		place(&bed.p, &bed.big[i], 9, ANYWHERE, 100 + i);
	for (unsigned i = 0; i < 4; i++)
		drop(&bed.big[i]);
	bed_end(&bed);
}

/* --- when it wakes ------------------------------------------------------------------------ */

static void test_W3_sleeps_without_a_limit_while_nothing_is_wanted(void **state)
{
	uint64_t next = 0, asked;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .runs_low = 2, .runs_high = 2);
	assert_true(is_raised(bed.q));
	assert_int_equal(steps(bed.q, &next), 0);
	assert_int_equal(next, NEVER);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_RESTING);
	asked = seen(bed.q).asked;
	/* What takes none of the runs it watches is no reason to look. */
	for (unsigned i = 0; i < 300; i++) {
		struct quire_pin *pin;
		struct item one = { 0 };

		place(&bed.p, &one, i % 4, ANYWHERE, 7);
		assert_int_equal(quire_pin_long(one.folio, bed.p.owner, &pin), 0);
		quire_unpin_long(pin);
		quire_movable_again(bed.q);
		assert_int_equal(move_folio(one.folio, QUIRE_SYNC, 0).code, 0);
		drop(&one);
		assert_false(is_raised(bed.q));
	}
	assert_int_equal(seen(bed.q).asked, asked);
	bed_end(&bed);
}

static void test_W3_a_run_taken_below_the_mark_wakes(void **state)
{
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .runs_low = 2, .runs_high = 4);
	assert_int_equal(steps(bed.q, &next), 0);
	/* Two are free, and may be; the next one that is begun is one too many. */
	place(&bed.p, &bed.big[0], 0, quire_frame(6 * 512), 50);
	assert_true(is_raised(bed.q));
	assert_int_equal(steps(bed.q, &next), 1);
	assert_true(empty_blocks(bed.q) >= 4);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_RESTING);
	assert_int_equal(seen(bed.q).events[QUIRE_EVENT_LOW], 1);
	assert_int_equal(next, NEVER);
	/* A run that is given back and taken again, above the mark, is nothing. */
	for (unsigned i = 0; i < 3; i++) {
		place(&bed.p, &bed.big[1], 9, ANYWHERE, 51);
		drop(&bed.big[1]);
		assert_frames_free(bed.q, 8 * 512 - 7);
		assert_false(is_raised(bed.q));
	}
	bed_end(&bed);
}

/* Nobody can get the blocks of a node that is offline: they are not the runs that are wanted. */
static void test_W3_runs_of_a_node_that_is_offline_are_not_ready(void **state)
{
	const struct quire_node_options node[2] = { { .bytes = 8u << 20 }, { .bytes = 8u << 20 } };
	struct item one[4], big[3];
	struct probe p;
	struct quire *q;
	uint64_t next;

	(void)state;
	assert_int_equal(quire_create(QUIRE_OPTIONS(.nodes = 2, .node = node), &q), 0);
	make_probe(q, "with", OP_NONE, &p);
	for (uint32_t b = 0; b < 4; b++)
		place(&p, &one[b], 0, quire_frame(b * 512), b);
	assert_int_equal(quire_node_offline(q, 1), 0);
	START(q, .runs_low = 3, .runs_high = 3);
	(void)steps(q, &next);
	assert_int_equal(seen(q).runs, 3);
	assert_int_equal(seen(q).runs_free, 3);
	for (unsigned i = 0; i < 3; i++)
		place(&p, &big[i], 9, ANYWHERE, 10 + i);
	drop_row(big, 3);
	assert_row_intact(one, 4);
	drop_row(one, 4);
	assert_int_equal(quire_background_stop(q, 0), 0);
	end_quire(q);
}

static void test_W3_a_folio_without_a_place_wakes(void **state)
{
	struct quire_folio *none;
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .runs_low = 1, .runs_high = 2);
	place(&bed.p, &bed.big[0], 9, ANYWHERE, 50);
	assert_int_equal(steps(bed.q, &next), 0);
	place(&bed.p, &bed.big[1], 9, ANYWHERE, 51);
	assert_int_equal(quire_folio_create(bed.p.owner, 9, &none), -ENOMEM);
	assert_int_equal(stats_of(bed.q).no_place, 1);
	assert_true(is_raised(bed.q));
	assert_true(steps(bed.q, &next) > 0);
	assert_true(seen(bed.q).events[QUIRE_EVENT_FAILED] == 1);
	place(&bed.p, &bed.big[2], 9, ANYWHERE, 52);
	bed_end(&bed);
}

static void test_W3_runs_of_several_blocks_are_watched_too(void **state)
{
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .run_frames = 1024, .runs_low = 1, .runs_high = 2);
	assert_int_equal(steps(bed.q, &next), 0);
	assert_int_equal(seen(bed.q).runs_free, 1);
	place(&bed.p, &bed.big[0], 0, quire_frame(7 * 512), 50);
	assert_true(is_raised(bed.q));
	assert_int_equal(steps(bed.q, &next), 1);
	assert_true(seen(bed.q).runs_free >= 2);
	assert_int_equal(next, NEVER);
	bed_end(&bed);
}

/* --- what was in vain --------------------------------------------------------------------- */

/*
 * All six pages are kept, so nothing can be done: it waits, and takes the next step only when
 * something has been let go.
 */
static void be_blocked(struct bed *bed, uint64_t *next)
{
	START(bed->q, .runs_low = 3, .runs_high = 3);
	(void)steps(bed->q, next);
	assert_int_equal(seen(bed->q).state, QUIRE_BACKGROUND_BLOCKED);
	assert_int_equal(seen(bed->q).blockers, 6);
	assert_int_equal(seen(bed->q).runs_wanted, 3);
	assert_int_equal(empty_blocks(bed->q), 2);
	assert_false(is_raised(bed->q));
}

/* It was woken, by this, and has a run more. */
static void assert_goes_on(struct bed *bed, enum quire_event why)
{
	uint64_t next, before = seen(bed->q).events[why];

	assert_true(is_raised(bed->q));
	assert_true(steps(bed->q, &next) >= 1);
	assert_int_equal(seen(bed->q).events[why], before + 1);
	assert_int_equal(empty_blocks(bed->q), 3);
	assert_int_equal(seen(bed->q).state, QUIRE_BACKGROUND_RESTING);
	assert_int_equal(next, NEVER);
}

static void pin_all(struct bed *bed, struct quire_owner *who, struct quire_pin **pin)
{
	for (unsigned i = 0; i < COUNT_OF(bed->it); i++)
		assert_int_equal(quire_pin_long(bed->it[i].folio, who, &pin[i]), 0);
}

static void test_W3_a_released_pin_ends_the_wait(void **state)
{
	struct quire_pin *pin[6], *second, *other;
	struct probe stranger;
	struct item one = { 0 };
	struct bed bed;
	uint64_t next, plans;

	(void)state;
	bed_start(&bed, OP_ALL);
	make_probe(bed.q, "stranger", OP_NONE, &stranger);
	pin_all(&bed, stranger.owner, pin);
	be_blocked(&bed, &next);
	assert_int_equal(next, NEVER);
	plans = stats_of(bed.q).plans;
	/* Other pins are nothing to it, unless the filter takes them for one of these. */
	place(&bed.p, &one, 0, quire_frame(511), 9);
	assert_int_equal(quire_pin_long(one.folio, stranger.owner, &other), 0);
	assert_int_equal(quire_pin_long(bed.it[2].folio, stranger.owner, &second), 0);
	quire_unpin_long(other);
	(void)steps(bed.q, &next);
	assert_false(is_raised(bed.q));
	/* One of two pins of a folio: it is looked at, and no plan is made. */
	quire_unpin_long(second);
	assert_true(is_raised(bed.q));
	assert_int_equal(steps(bed.q, &next), 0);
	assert_int_equal(stats_of(bed.q).plans, plans);
	assert_int_equal(next, NEVER);
	quire_unpin_long(pin[2]);
	assert_goes_on(&bed, QUIRE_EVENT_UNBLOCKED);
	for (unsigned i = 0; i < 6; i++)
		if (i != 2)
			quire_unpin_long(pin[i]);
	drop(&one);
	bed_end(&bed);
}

static void test_W3_a_pin_released_before_it_is_watched_is_not_missed(void **state)
{
	struct quire_pin *pin[6];
	struct probe stranger;
	struct deed d = { 0 };
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	make_probe(bed.q, "stranger", OP_NONE, &stranger);
	pin_all(&bed, stranger.owner, pin);
	START(bed.q, .runs_low = 3, .runs_high = 3);
	d.pin = pin[0];
	/* The plan has named it; what it is watched by is not in place yet. */
	at_point_nth("background:hold", NULL, 1, 1, deed_unpin_long, &d);
	(void)steps(bed.q, &next);
	no_points();
	assert_int_equal(empty_blocks(bed.q), 3);
	for (unsigned i = 1; i < 6; i++)
		quire_unpin_long(pin[i]);
	bed_end(&bed);
}

static void test_W3_a_folio_that_goes_ends_the_wait(void **state)
{
	struct quire_pin *pin[6];
	struct probe stranger;
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	make_probe(bed.q, "stranger", OP_NONE, &stranger);
	bed.p.isolate_says = SCRIPT(-EPERM);
	be_blocked(&bed, &next);
	assert_int_equal(next, NEVER);
	pin_all(&bed, stranger.owner, pin);
	for (unsigned i = 0; i < 6; i++)
		quire_unpin_long(pin[i]); /* not why they stay */
	(void)steps(bed.q, &next);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_BLOCKED);
	drop(&bed.it[4]);
	bed.it[4].folio = NULL;
	assert_goes_on(&bed, QUIRE_EVENT_UNBLOCKED);
	bed_end(&bed);
}

static void test_W3_an_owners_word_ends_the_wait(void **state)
{
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	bed.p.isolate_says = SCRIPT(-EPERM);
	be_blocked(&bed, &next);
	assert_int_equal(next, NEVER);
	bed.p.isolate_says = SCRIPT(0);
	quire_movable_again(bed.q);
	assert_goes_on(&bed, QUIRE_EVENT_MOVABLE);
	bed_end(&bed);
}

static void test_W3_an_owner_detached_ends_the_wait(void **state)
{
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	bed.p.isolate_says = SCRIPT(-EPERM);
	be_blocked(&bed, &next);
	assert_int_equal(quire_owner_detach(bed.p.owner, 0, NULL), 0);
	assert_goes_on(&bed, QUIRE_EVENT_MOVABLE);
	bed_end(&bed);
}

static int busy_until(struct probe *p, struct quire_batch *batch, int answer)
{
	struct quire_fence *fence = p->arg;

	(void)answer;
	if (quire_fence_signaled(fence))
		return quire_move_commit(batch);
	for (size_t i = 0; i < quire_batch_count(batch); i++)
		CHECK(!quire_op_wait(quire_batch_folio(batch, i), fence));
	return -EAGAIN;
}

static void test_W3_a_signaled_fence_ends_the_wait(void **state)
{
	struct quire_fence *fence, *other;
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	assert_int_equal(quire_fence_create(bed.q, "a job", &fence), 0);
	assert_int_equal(quire_fence_create(bed.q, "another", &other), 0);
	bed.p.on_migrate = busy_until;
	bed.p.arg = fence;
	quire_clock_set_(CLOCK_START);
	be_blocked(&bed, &next);
	assert_int_equal(next, NEVER);
	quire_fence_signal(other);
	(void)steps(bed.q, &next);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_BLOCKED);
	quire_fence_signal(fence);
	assert_goes_on(&bed, QUIRE_EVENT_UNBLOCKED);
	bed_end(&bed);
	quire_fence_put(fence);
	quire_fence_put(other);
}

static void test_W3_room_for_what_is_in_the_way_ends_the_wait(void **state)
{
	static struct item fill[6 * 511];
	struct bed bed;
	uint64_t next;
	unsigned n = 0;

	(void)state;
	bed_start(&bed, OP_ALL);
	/* No frame is free but those of the two blocks: nobody could go anywhere. */
	for (uint32_t f = 0; f < 6 * 512; f++)
		if (f % 512 != f / 512)
			place(&bed.p, &fill[n++], 0, quire_frame(f), f);
	START(bed.q, .runs_low = 3, .runs_high = 3);
	(void)steps(bed.q, &next);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_BLOCKED);
	assert_int_equal(seen(bed.q).blockers, 0);
	assert_int_equal(next, NEVER);
	/* Frames here and there, a block's worth; then there is. */
	for (unsigned i = 0; i < n; i += 5)
		drop(&fill[i]);
	assert_frames_free(bed.q, 2 * 512 + (n + 4) / 5);
	assert_goes_on(&bed, QUIRE_EVENT_FREED);
	for (unsigned i = 0; i < n; i++)
		if (i % 5) {
			assert_intact(&fill[i]);
			drop(&fill[i]);
		}
	bed_end(&bed);
}

static void test_W3_a_silent_pin_is_looked_for_when_the_wait_has_doubled(void **state)
{
	struct hand hand[6];
	struct deed d[6] = { 0 };
	uint64_t next, plans, now, waited = 0;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	for (unsigned i = 0; i < 6; i++) {
		hand_start(&hand[i]);
		d[i].folio = bed.it[i].folio;
		hand_do(&hand[i], deed_pin, &d[i]);
	}
	quire_clock_set_(CLOCK_START);
	be_blocked(&bed, &next);
	plans = stats_of(bed.q).plans;
	now = CLOCK_START + 60 * SEC;
	/* Looks, and no plans, 1 ms, 2 ms, 4 ms after the other. */
	for (unsigned i = 0; i < 12; i++) {
		uint64_t expected = MSEC << i;

		assert_int_equal(next, expected);
		quire_clock_set_(now += next);
		waited += next;
		if (i == 0) /* by its own clock before */
			assert_true(step(bed.q, &next) == 0);
		else
			assert_int_equal(step(bed.q, &next), 0);
		assert_int_equal(stats_of(bed.q).plans, plans);
		assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_BLOCKED);
	}
	assert_true(next <= waited + 2 * MSEC);
	hand_do(&hand[3], deed_unpin, &d[3]);
	assert_false(is_raised(bed.q)); /* it pays nothing, so it says nothing */
	quire_clock_set_(now + next);
	assert_true(steps(bed.q, &next) >= 1);
	assert_int_equal(empty_blocks(bed.q), 3);
	assert_int_equal(next, NEVER);
	for (unsigned i = 0; i < 6; i++) {
		if (i != 3)
			hand_do(&hand[i], deed_unpin, &d[i]);
		hand_stop(&hand[i]);
	}
	quire_clock_set_(UINT64_MAX);
	bed_end(&bed);
}

static void test_W3_the_host_may_have_everything_tried_again(void **state)
{
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	bed.p.isolate_says = SCRIPT(-EPERM);
	be_blocked(&bed, &next);
	bed.p.isolate_says = SCRIPT(0);
	assert_int_equal(quire_background_wake(bed.q), 0);
	assert_goes_on(&bed, QUIRE_EVENT_ASKED);
	assert_int_equal(quire_background_wake(NULL), -EINVAL);
	bed_end(&bed);
}

/* --- others come first -------------------------------------------------------------------- */

static int step_meanwhile(void *arg, const struct quire_result *so_far)
{
	struct bed *bed = arg;
	uint64_t next = 0;

	(void)so_far;
	CHECK(seen(bed->q).state != QUIRE_BACKGROUND_OTHERS);
	/* Inside of an execution, though of this thread: nothing is begun. */
	CHECK(quire_background_step(bed->q, &next) == 0);
	CHECK(seen(bed->q).state == QUIRE_BACKGROUND_OTHERS && next == NEVER);
	CHECK(!is_raised(bed->q));
	return -1;
}

static void test_W28_no_step_begins_while_a_plan_of_others_runs(void **state)
{
	struct quire_plan *plan;
	struct quire_result r;
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .runs_low = 4, .runs_high = 4);
	plan = plan_of(bed.q, 512, 3);
	r = run(plan, QUIRE_BUDGET(.progress = step_meanwhile, .arg = &bed), -ECANCELED);
	(void)r;
	/* Its end is the word. */
	assert_true(is_raised(bed.q));
	quire_plan_destroy(plan);
	assert_true(steps(bed.q, &next) >= 1);
	assert_int_equal(seen(bed.q).events[QUIRE_EVENT_ENDED], 1);
	assert_true(seen(bed.q).gave_way >= 1);
	assert_int_equal(empty_blocks(bed.q), 4);
	bed_end(&bed);
}

struct intruder {
	struct bed *bed;
	struct hand hand;
	struct gate began, go;
	long moved;
};

static int stay_a_while(struct probe *p, struct quire_batch *batch, int answer)
{
	struct intruder *in = p->arg;

	(void)answer;
	if (thread_id() == in->hand.tid) {
		gate_open(&in->began);
		gate_pass(&in->go);
	}
	return quire_move_commit(batch);
}

static void intrude(void *arg)
{
	struct intruder *in = arg;

	in->moved = move_folio(in->bed->it[5].folio, QUIRE_SYNC, 0).code;
}

static void let_in(void *arg)
{
	struct intruder *in = arg;

	hand_post(&in->hand, intrude, in);
	gate_pass(&in->began);
}

static void test_W28_a_step_ends_with_its_batch_when_others_begin(void **state)
{
	struct intruder in = { 0 };
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	bed.p.on_migrate = stay_a_while;
	bed.p.arg = &in;
	in.bed = &bed;
	gate_init(&in.began);
	gate_init(&in.go);
	hand_start(&in.hand);
	START(bed.q, .runs_low = 3, .runs_high = 3);
	at_point_nth("background:batch", NULL, 1, 1, let_in, &in);
	assert_int_equal(step(bed.q, &next), 1);
	no_points();
	assert_int_equal(seen(bed.q).gave_way, 1);
	assert_int_equal(seen(bed.q).in_vain, 0);
	gate_open(&in.go);
	hand_wait(&in.hand);
	assert_int_equal(in.moved, 0);
	bed.p.on_migrate = NULL;
	(void)steps(bed.q, &next);
	assert_true(empty_blocks(bed.q) >= 3);
	hand_stop(&in.hand);
	bed_end(&bed);
}

struct taker {
	struct bed *bed;
	unsigned times, waits;
};

/* Who began in between has all that could be emptied. */
static void take_blocks(void *arg)
{
	struct taker *t = arg;

	CHECK(node_claim(t->bed->q->node, 0, COUNT_OF(t->bed->it), t) == 0);
	t->times++;
}

static void let_blocks_go(struct taker *t)
{
	node_unclaim(t->bed->q->node, 0, COUNT_OF(t->bed->it), t);
}

static void waits(void *arg)
{
	struct taker *t = arg;

	t->waits++;
	let_blocks_go(t);
}

/* The second try is the patient one: it may wait for folios, not for plans. */
static void test_W28_a_step_does_not_queue_for_others(void **state)
{
	struct taker t = { 0 };
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	t.bed = &bed;
	START(bed.q, .runs_low = 3, .runs_high = 3);
	for (unsigned i = 1; i <= 2; i++) {
		/* The empty blocks are the first that it claims. */
		at_point_nth("plan:window", NULL, 1, 1, take_blocks, &t);
		at_point("queue:waiting", NULL, waits, &t);
		assert_int_equal(step(bed.q, &next), 1);
		no_points();
		assert_int_equal(t.times, i);
		assert_int_equal(t.waits, 0);
		assert_int_equal(empty_blocks(bed.q), 2);
		let_blocks_go(&t);
	}
	assert_int_equal(seen(bed.q).in_vain, 1);
	assert_int_equal(quire_background_wake(bed.q), 0);
	(void)steps(bed.q, &next);
	assert_int_equal(empty_blocks(bed.q), 3);
	bed_end(&bed);
}

/* --- the budget --------------------------------------------------------------------------- */

static void test_W28_bytes_are_kept_to_the_budget(void **state)
{
	const uint64_t rate = 1 << 20; /* a second; a block is two */
	uint64_t next, now = CLOCK_START, moved;
	static struct field f;
	unsigned rounds = 0;

	(void)state;
	field_start(&f);
	field_fill(&f, seed_of("budget", 11));
	quire_clock_set_(now);
	assert_int_equal(quire_background_start(
				 f.q, QUIRE_BACKGROUND_OPTIONS(.flags = QUIRE_BACKGROUND_NO_THREAD,
							       .runs_low = 3, .runs_high = 3,
							       .share = 1000, .bytes_per_s = rate)),
			 0);
	for (;;) {
		int did = step(f.q, &next);

		moved = seen(f.q).moved_bytes + seen(f.q).recopied_bytes;
		assert_true(moved <= 2 * rate + (now - CLOCK_START) * rate / SEC);
		if (did)
			continue;
		if (seen(f.q).state != QUIRE_BACKGROUND_BUDGET)
			break;
		/* Not a moment before it may move a block, and no long sleep either. */
		assert_true(next > 0 && next <= 2 * SEC + 1000);
		now += next;
		quire_clock_set_(now);
		assert_true(++rounds < 100);
	}
	assert_int_equal(seen(f.q).state, QUIRE_BACKGROUND_RESTING);
	assert_int_equal(free_blocks(f.q, 0, BLOCKS), 3);
	assert_true(rounds >= 1);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(quire_background_stop(f.q, 0), 0);
	field_end(&f);
}

/* Each batch takes two milliseconds of the test's clock. */
static uint64_t ticking;
static void tick(void *arg)
{
	(void)arg;
	ticking += 2 * MSEC;
	quire_clock_set_(ticking);
}

static void test_W28_time_is_kept_to_the_budget(void **state)
{
	uint64_t next;
	static struct field f;
	unsigned n = 0;

	(void)state;
	field_start(&f);
	field_fill(&f, seed_of("time", 12));
	ticking = CLOCK_START;
	quire_clock_set_(ticking);
	at_point("background:batch", NULL, tick, NULL);
	assert_int_equal(quire_background_start(
				 f.q, QUIRE_BACKGROUND_OPTIONS(.flags = QUIRE_BACKGROUND_NO_THREAD,
							       .runs_low = 3, .runs_high = 3,
							       .share = 50, .step_ns = MSEC)),
			 0);
	for (;;) {
		int did = step(f.q, &next);

		if (did) {
			/* Begun within the step's time, it ends with the batch. */
			assert_true(seen(f.q).longest_step_ns <= 3 * MSEC);
			continue;
		}
		if (seen(f.q).state != QUIRE_BACKGROUND_BUDGET)
			break;
		/* One twentieth of the time, so nineteen times as long is rested. */
		assert_true(next >= 19 * 2 * MSEC && next <= 19 * 6 * MSEC);
		quire_clock_set_(ticking += next);
		assert_true(seen(f.q).worked_ns * 20 <= ticking - CLOCK_START);
		assert_true(++n < 1000);
	}
	no_points();
	assert_true(n >= 1);
	assert_int_equal(free_blocks(f.q, 0, BLOCKS), 3);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(quire_background_stop(f.q, 0), 0);
	field_end(&f);
}

static int slow_op(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)answer;
	(void)p;
	quire_clock_set_(ticking += 5 * MSEC);
	return quire_move_commit(batch);
}

static void commit_takes_time(void *arg)
{
	(void)arg;
	quire_clock_set_(ticking += MSEC);
}

static void test_W28_stalls_are_counted_for_each_owner(void **state)
{
	struct quire_owner_stalls s = { .size = sizeof(s) }, o = { .size = sizeof(o) };
	struct probe other;
	struct item theirs = { 0 };
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	make_probe(bed.q, "other", OP_NONE, &other);
	place(&other, &theirs, 3, quire_frame(256), 77);
	bed.p.on_migrate = slow_op;
	ticking = CLOCK_START;
	quire_clock_set_(ticking);
	at_point("commit:copied", theirs.folio, commit_takes_time, NULL);
	START(bed.q, .runs_low = 7, .runs_high = 7, .step_ns = SEC);
	(void)steps(bed.q, &next);
	no_points();
	assert_int_equal(quire_owner_stalls(bed.p.owner, &s), 0);
	assert_int_equal(quire_owner_stalls(other.owner, &o), 0);
	assert_int_equal(s.ops, bed.p.migrates);
	assert_int_equal(s.op_ns, bed.p.migrates * 5 * MSEC);
	assert_int_equal(s.longest_op_ns, 5 * MSEC);
	assert_int_equal(s.bytes, s.folios * 4096);
	assert_int_equal(s.closed_ns, 0);
	assert_int_equal(o.ops + o.op_ns, 0);
	assert_int_equal(o.folios, o.bytes / 8 / 4096);
	assert_int_equal(o.closed_ns, o.folios * MSEC);
	assert_int_equal(o.longest_closed_ns, o.folios ? MSEC : 0);
	assert_int_equal(s.folios + o.folios, stats_of(bed.q).moved);
	s.size = 0;
	assert_int_equal(quire_owner_stalls(bed.p.owner, &s), -EINVAL);
	assert_int_equal(quire_owner_stalls(NULL, &o), -EINVAL);
	quire_clock_set_(UINT64_MAX);
	drop(&theirs);
	bed_end(&bed);
}

/* --- the policy --------------------------------------------------------------------------- */

struct script_policy {
	struct quire_policy_choice say[8];
	unsigned n, at;
	struct quire_policy_view view; /* the latest */
	struct quire *q;	       /* to do what is forbidden with; NULL: nothing */
	int stop, destroy, step;
};

static void choose_by_script(const struct quire_policy_view *view,
			     struct quire_policy_choice *choice, void *arg)
{
	struct script_policy *p = arg;
	size_t size = choice->size;

	CHECK(size == sizeof(*choice) && view->size == sizeof(*view));
	p->view = *view;
	if (p->q) {
		p->stop = quire_background_stop(p->q, 0);
		p->destroy = quire_destroy(p->q);
		p->step = quire_background_step(p->q, NULL);
	}
	*choice = p->say[p->at < p->n ? p->at : p->n - 1];
	choice->size = size;
	p->at++;
}

static const struct quire_policy_ops scripted = {
	.size = sizeof(scripted),
	.choose = choose_by_script,
};

static void test_W28_a_policy_is_checked(void **state)
{
	static const struct quire_policy_choice nonsense[] = {
		{ .what = (enum quire_choice)77 },
		{ .what = QUIRE_CHOICE_RUNS },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 512 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 511, .count = 1 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 768, .count = 1 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 256, .count = 1 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 1u << 19, .count = 1 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 512, .count = 9 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 1024, .count = 5 },
		{ .what = QUIRE_CHOICE_RUNS, .frames = 512, .count = 1, .bytes = 4096 },
		{ .what = QUIRE_CHOICE_GIVE_BACK },
		{ .what = QUIRE_CHOICE_REST, .after_ns = 999999 },
	};
	struct quire_stats before;
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	before = stats_of(bed.q);
	for (unsigned i = 0; i < COUNT_OF(nonsense); i++) {
		struct script_policy p = { .say = { nonsense[i] }, .n = 1 };

		START(bed.q, .policy = &scripted, .policy_arg = &p);
		assert_int_equal(steps(bed.q, &next), 0);
		assert_int_equal(p.at, 1);
		assert_int_equal(next, NEVER);
		assert_int_equal(seen(bed.q).bad_choices, i + 1);
		assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_RESTING);
		assert_int_equal(quire_background_stop(bed.q, 0), 0);
	}
	assert_int_equal(stats_of(bed.q).plans, before.plans);
	bed_end(&bed);
}

static void test_W28_a_policy_that_insists_makes_no_plans(void **state)
{
	struct script_policy p = {
		.say = { { .what = QUIRE_CHOICE_RUNS, .frames = 512, .count = 8 } },
		.n = 1,
	};
	struct bed bed;
	uint64_t next, plans;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .policy = &scripted, .policy_arg = &p);
	(void)steps(bed.q, &next); /* eight of eight cannot be had */
	assert_int_equal(empty_blocks(bed.q), 7);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_BLOCKED);
	assert_int_equal(p.view.blocked, 1);
	plans = stats_of(bed.q).plans;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(step(bed.q, &next), 0);
	assert_int_equal(stats_of(bed.q).plans, plans);
	bed_end(&bed);
}

static void test_W28_what_a_policy_is_shown(void **state)
{
	struct script_policy p = {
		.say = { { .what = QUIRE_CHOICE_RUNS, .frames = 512, .count = 4 },
			 { .what = QUIRE_CHOICE_GIVE_BACK, .bytes = QUIRE_MAX },
			 { .what = QUIRE_CHOICE_REST, .after_ns = 5 * SEC, .runs_below = 4 } },
		.n = 3,
	};
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	quire_clock_set_(CLOCK_START);
	place(&bed.p, &bed.big[0], 9, quire_frame(7 * 512), 70);
	drop(&bed.big[0]);
	assert_frames_free(bed.q, 8 * 512 - 6);
	START(bed.q, .runs_low = 1, .runs_high = 2, .policy = &scripted, .policy_arg = &p);
	assert_int_equal(step(bed.q, &next), 1);
	assert_int_equal(p.view.now_ns, CLOCK_START);
	assert_int_equal(p.view.frames, 8 * 512);
	assert_int_equal(p.view.frames_free, 8 * 512 - 6);
	assert_int_equal(p.view.folios_freed, 1);
	assert_int_equal(p.view.blocks, 8);
	assert_int_equal(p.view.blocks_by_use[0], 2);
	assert_int_equal(p.view.blocks_by_use[1], 6);
	assert_int_equal(p.view.run_frames, 512);
	assert_int_equal(p.view.runs_low, 1);
	assert_int_equal(p.view.runs_high, 2);
	assert_int_equal(p.view.runs_free, 2);
	assert_int_equal(p.view.events, 1u << QUIRE_EVENT_ASKED);
	assert_int_equal(p.view.last, QUIRE_CHOICE_REST);
	assert_true(p.view.bytes_left == UINT64_MAX);
	assert_int_equal(step(bed.q, &next), 1); /* gives back what was touched */
	assert_int_equal(p.view.last, QUIRE_CHOICE_RUNS);
	assert_int_equal(p.view.last_code, 0);
	assert_int_equal(p.view.last_gain, 2);
	assert_int_equal(p.view.last_bytes, 2 * 4096);
	assert_int_equal(p.view.runs_free, 4);
	assert_true(seen(bed.q).given_back_bytes >= BLOCK_BYTES);
	assert_int_equal(step(bed.q, &next), 0);
	assert_int_equal(p.view.last, QUIRE_CHOICE_GIVE_BACK);
	assert_true(p.view.last_gain >= BLOCK_BYTES);
	assert_int_equal(next, 5 * SEC);
	quire_clock_set_(CLOCK_START + 5 * SEC);
	assert_int_equal(step(bed.q, &next), 0);
	assert_int_equal(p.view.events, 1u << QUIRE_EVENT_TIME);
	quire_clock_set_(UINT64_MAX);
	bed_end(&bed);
}

/* --- beginning and ending ----------------------------------------------------------------- */

static void test_background_options_are_checked(void **state)
{
	static const struct quire_policy_ops none = { .size = sizeof(none) };
	static const struct quire_background_options wrong[] = {
		{ .size = 0 },
		{ .size = sizeof(wrong[0]), .flags = 2 },
		{ .size = sizeof(wrong[0]), .reserved = 1 },
		{ .size = sizeof(wrong[0]), .run_frames = 256 },
		{ .size = sizeof(wrong[0]), .run_frames = 1536 },
		{ .size = sizeof(wrong[0]), .run_frames = 1u << 19 },
		{ .size = sizeof(wrong[0]), .runs_low = 9 },
		{ .size = sizeof(wrong[0]), .runs_low = 3, .runs_high = 2 },
		{ .size = sizeof(wrong[0]), .run_frames = 8192 },
		{ .size = sizeof(wrong[0]), .share = 1001 },
		{ .size = sizeof(wrong[0]), .step_ns = 99999 },
		{ .size = sizeof(wrong[0]), .step_ns = SEC + 1 },
		{ .size = sizeof(wrong[0]), .policy = &none },
	};
	struct quire_background_stats s = { .size = 0 };
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	for (unsigned i = 0; i < COUNT_OF(wrong); i++)
		assert_int_equal(quire_background_start(bed.q, &wrong[i]), -EINVAL);
	assert_int_equal(quire_background_start(NULL, NULL), -EINVAL);
	assert_int_equal(quire_background_stop(NULL, 0), -EINVAL);
	assert_int_equal(quire_background_stop(bed.q, 0), 0);
	assert_int_equal(quire_background_step(bed.q, NULL), -EINVAL);
	assert_int_equal(quire_background_fd(bed.q), -EINVAL);
	assert_int_equal(quire_background_stats_get(bed.q, &s), -EINVAL);
	assert_int_equal(quire_background_start(bed.q, NULL), 0);
	assert_int_equal(quire_background_start(bed.q, NULL), -EALREADY);
	assert_int_equal(quire_background_step(bed.q, NULL), -EINVAL);
	assert_int_equal(quire_background_fd(bed.q), -EINVAL);
	assert_string_equal(quire_background_state_text(QUIRE_BACKGROUND_OFF), "off");
	assert_string_equal(quire_background_state_text((enum quire_background_state)99),
			    "unknown");
	assert_string_equal(quire_event_text((enum quire_event)99), "unknown");
	bed_end(&bed);
}

static void test_W28_stop_inside_of_the_policy_is_a_deadlock(void **state)
{
	struct script_policy p = { .say = { { .what = QUIRE_CHOICE_REST } }, .n = 1 };
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	p.q = bed.q;
	START(bed.q, .policy = &scripted, .policy_arg = &p);
	assert_int_equal(step(bed.q, NULL), 0);
	assert_int_equal(p.stop, -EDEADLK);
	assert_int_equal(p.destroy, -EDEADLK);
	assert_int_equal(p.step, -EDEADLK);
	bed_end(&bed);
}

static int stop_in_op(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)answer;
	CHECK(quire_background_stop(p->quire, 0) == -EDEADLK);
	CHECK(quire_background_start(p->quire, NULL) == -EDEADLK);
	CHECK(quire_destroy(p->quire) == -EDEADLK);
	CHECK(quire_background_wake(p->quire) == 0);
	return quire_move_commit(batch);
}

static void test_W28_stop_inside_of_an_op_is_a_deadlock(void **state)
{
	struct bed bed;
	uint64_t next;

	(void)state;
	bed_start(&bed, OP_ALL);
	bed.p.on_migrate = stop_in_op;
	START(bed.q, .runs_low = 3, .runs_high = 3);
	(void)steps(bed.q, &next);
	assert_int_equal(empty_blocks(bed.q), 3);
	bed.p.on_migrate = NULL;
	bed_end(&bed);
}

/* An op that does not return until it is let. */
struct hung {
	struct gate inside, go;
};

static int hang(struct probe *p, struct quire_batch *batch, int answer)
{
	struct hung *h = p->arg;

	(void)answer;
	gate_open(&h->inside);
	gate_pass(&h->go);
	return quire_move_commit(batch);
}

static void test_W28_stop_has_a_deadline(void **state)
{
	struct hung h;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	gate_init(&h.inside);
	gate_init(&h.go);
	bed.p.on_migrate = hang;
	bed.p.arg = &h;
	assert_int_equal(quire_background_start(
				 bed.q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 3, .runs_high = 3)),
			 0);
	gate_pass(&h.inside);
	assert_int_equal(quire_background_stop(bed.q, MSEC), -ETIMEDOUT);
	assert_int_equal(quire_background_start(bed.q, NULL), -EALREADY);
	gate_open(&h.go);
	assert_int_equal(quire_background_stop(bed.q, 60 * SEC), 0);
	/* What was moved stays moved, and it can begin anew. */
	bed.p.on_migrate = NULL;
	START(bed.q, .runs_low = 3, .runs_high = 3);
	(void)steps(bed.q, NULL);
	assert_int_equal(empty_blocks(bed.q), 3);
	bed_end(&bed);
}

static void stop_now(void *arg)
{
	struct deed *d = arg;

	d->code = quire_background_stop(d->who ? quire_owner_quire(d->who) : NULL, 60 * SEC);
}

static void test_W28_two_may_stop_it_at_once(void **state)
{
	struct hand hand[2];
	struct deed d[2] = { 0 };
	struct hung h;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	gate_init(&h.inside);
	gate_init(&h.go);
	bed.p.on_migrate = hang;
	bed.p.arg = &h;
	assert_int_equal(quire_background_start(
				 bed.q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 3, .runs_high = 3)),
			 0);
	gate_pass(&h.inside);
	for (unsigned i = 0; i < 2; i++) {
		struct gate stopping;

		gate_init(&stopping);
		at_point("background:stopping", NULL, gate_open, &stopping);
		hand_start(&hand[i]);
		d[i].who = bed.p.owner;
		hand_post(&hand[i], stop_now, &d[i]);
		gate_pass(&stopping);
		no_points();
	}
	gate_open(&h.go);
	for (unsigned i = 0; i < 2; i++) {
		hand_wait(&hand[i]);
		assert_int_equal(d[i].code, 0);
		hand_stop(&hand[i]);
	}
	bed.p.on_migrate = NULL;
	bed_end(&bed);
}

static void test_W28_destroy_stops_it(void **state)
{
	struct quire_pin *pin;
	struct sleeper s;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	sleeper_start(&s);
	assert_int_equal(quire_background_start(
				 bed.q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 3, .share = 1000)),
			 0);
	while (seen(bed.q).state != QUIRE_BACKGROUND_RESTING)
		gate_pass(&s.gate);
	/* Where destroy answers -EBUSY nothing was changed: it goes on. */
	assert_int_equal(quire_pin_long(bed.it[0].folio, bed.p.owner, &pin), 0);
	assert_int_equal(quire_destroy(bed.q), -EBUSY);
	quire_unpin_long(pin);
	gate_init(&s.gate);
	for (unsigned i = 0; i < 4; i++)
		place(&bed.p, &bed.big[i], 9, ANYWHERE, 90 + i);
	while (seen(bed.q).runs < 3)
		gate_pass(&s.gate);
	assert_int_equal(quire_destroy(bed.q), 0);
	no_points(); /* not before: its thread looks at them */
}

static void test_W28_destroy_waits_for_a_step_and_no_longer(void **state)
{
	struct quire *q;
	struct hung h;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	q = bed.q;
	gate_init(&h.inside);
	gate_init(&h.go);
	bed.p.on_migrate = hang;
	bed.p.arg = &h;
	assert_int_equal(
		quire_background_start(q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 3, .runs_high = 3)),
		0);
	gate_pass(&h.inside);
	assert_int_equal(quire_destroy(q), -EBUSY); /* after the quire's second */
	gate_open(&h.go);
	bed.p.on_migrate = NULL;
	/* It may be between two batches still, or done. */
	assert_int_equal(quire_background_stop(q, 60 * SEC), 0);
	assert_int_equal(quire_destroy(q), 0);
}

static void test_W28_a_forks_child_has_none(void **state)
{
	struct quire_background_stats s = { .size = sizeof(s) };
	struct sleeper sl;
	struct bed bed;
	int status;
	pid_t pid;

	(void)state;
	bed_start(&bed, OP_ALL);
	sleeper_start(&sl);
	assert_int_equal(quire_background_start(
				 bed.q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 3, .share = 1000)),
			 0);
	gate_pass(&sl.gate);
	no_points();
	pid = fork();
	if (!pid)
		_exit(quire_background_start(bed.q, NULL) != -ENXIO ||
		      quire_background_stop(bed.q, 0) != -ENXIO ||
		      quire_background_step(bed.q, NULL) != -ENXIO ||
		      quire_background_wake(bed.q) != -ENXIO ||
		      quire_background_fd(bed.q) != -ENXIO ||
		      quire_background_stats_get(bed.q, &s) != -ENXIO || quire_destroy(bed.q));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_W28_a_thread_keeps_runs_ready),
		TEST(test_W3_sleeps_without_a_limit_while_nothing_is_wanted),
		TEST(test_W3_a_run_taken_below_the_mark_wakes),
		TEST(test_W3_runs_of_a_node_that_is_offline_are_not_ready),
		TEST(test_W3_a_folio_without_a_place_wakes),
		TEST(test_W3_runs_of_several_blocks_are_watched_too),
		TEST(test_W3_a_released_pin_ends_the_wait),
		TEST(test_W3_a_pin_released_before_it_is_watched_is_not_missed),
		TEST(test_W3_a_folio_that_goes_ends_the_wait),
		TEST(test_W3_an_owners_word_ends_the_wait),
		TEST(test_W3_an_owner_detached_ends_the_wait),
		TEST(test_W3_a_signaled_fence_ends_the_wait),
		TEST(test_W3_room_for_what_is_in_the_way_ends_the_wait),
		TEST(test_W3_a_silent_pin_is_looked_for_when_the_wait_has_doubled),
		TEST(test_W3_the_host_may_have_everything_tried_again),
		TEST(test_W28_no_step_begins_while_a_plan_of_others_runs),
		TEST(test_W28_a_step_ends_with_its_batch_when_others_begin),
		TEST(test_W28_a_step_does_not_queue_for_others),
		TEST(test_W28_bytes_are_kept_to_the_budget),
		TEST(test_W28_time_is_kept_to_the_budget),
		TEST(test_W28_stalls_are_counted_for_each_owner),
		TEST(test_W28_a_policy_is_checked),
		TEST(test_W28_a_policy_that_insists_makes_no_plans),
		TEST(test_W28_what_a_policy_is_shown),
		TEST(test_background_options_are_checked),
		TEST(test_W28_stop_inside_of_the_policy_is_a_deadlock),
		TEST(test_W28_stop_inside_of_an_op_is_a_deadlock),
		TEST(test_W28_stop_has_a_deadline),
		TEST(test_W28_two_may_stop_it_at_once),
		TEST(test_W28_destroy_stops_it),
		TEST(test_W28_destroy_waits_for_a_step_and_no_longer),
		TEST(test_W28_a_forks_child_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

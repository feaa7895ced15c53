/* SPDX-License-Identifier: MIT */
/*
 * test_fence.c: "try again, and this is what to wait for". Tries are counted under a clock that the
 * tests move: waits take no time then, so whatever were tried in a loop would never end.
 */
#include "core/fence.h"
#include "os/os.h"
#include "support.h"

static struct quire_fence *fence_of(struct quire *q, const char *name)
{
	struct quire_fence *fence = NULL;

	assert_int_equal(quire_fence_create(q, name, &fence), 0);
	assert_non_null(fence);
	return fence;
}

static void end_fence(struct quire_fence *fence)
{
	assert_int_equal(SEE(&fence->refs), 1); /* every other reference was given back */
	quire_fence_put(fence);
}

/* --- fences ------------------------------------------------------------------------------- */

static void test_fence_arguments_and_names(void **state)
{
	char name[65];
	struct quire *q = make_quire(1);
	struct quire_fence *fence = (struct quire_fence *)q;

	(void)state;
	memset(name, 'n', 64);
	name[64] = '\0';
	assert_int_equal(quire_fence_create(q, "f", NULL), -EINVAL);
	assert_int_equal(quire_fence_create(NULL, "f", &fence), -EINVAL);
	assert_null(fence);
	assert_int_equal(quire_fence_create(q, NULL, &fence), -EINVAL);
	assert_int_equal(quire_fence_create(q, "", &fence), -EINVAL);
	assert_int_equal(quire_fence_create(q, name, &fence), -EINVAL);
	name[63] = '\0';
	fence = fence_of(q, name);
	assert_string_equal(quire_fence_name(fence), name);
	memset(name, 'x', 63);
	assert_string_not_equal(quire_fence_name(fence), name); /* it is a copy */
	assert_ptr_equal(quire_fence_get(fence), fence);
	quire_fence_put(fence);
	assert_null(quire_fence_get(NULL));
	quire_fence_put(NULL);
	end_fence(fence);
	end_quire(q);
}

static void do_signal(void *fence)
{
	quire_fence_signal(fence);
}

struct signaler {
	struct hand *hand;
	struct quire_fence *fence;
};

static void by_hand_signal(void *arg)
{
	struct signaler *s = arg;

	hand_do(s->hand, do_signal, s->fence);
}

/* Waited for with the real clock: the signal comes when the waiter is about to sleep. */
static void test_fence_wait_ends_with_the_signal(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_fence *fence = fence_of(q, "job");
	struct signaler s;
	struct hand hand;

	(void)state;
	hand_start(&hand);
	s = (struct signaler){ &hand, fence };
	assert_false(quire_fence_signaled(fence));
	at_point("fence:waiting", fence, by_hand_signal, &s);
	assert_int_equal(quire_fence_wait(fence, 30 * SEC), 0);
	assert_true(quire_fence_signaled(fence));
	quire_fence_signal(fence); /* more is nothing */
	assert_int_equal(quire_fence_wait(fence, 1), 0);
	hand_stop(&hand);
	end_fence(fence);
	end_quire(q);
}

static void test_fence_wait_has_a_deadline(void **state)
{
	struct quire_fence *fence;
	struct quire *q = NULL;

	(void)state;
	assert_int_equal(
		quire_create(QUIRE_OPTIONS(.arena_bytes = 2 << 20, .deadline_ns = 7 * MSEC), &q),
		0);
	fence = fence_of(q, "job");
	quire_clock_set_(CLOCK_START);
	assert_int_equal(quire_fence_wait(fence, 3 * MSEC), -ETIMEDOUT);
	assert_int_equal(os_clock_override, CLOCK_START + 3 * MSEC);
	assert_int_equal(quire_fence_wait(fence, 0), -ETIMEDOUT);
	assert_int_equal(os_clock_override, CLOCK_START + 10 * MSEC);
	end_fence(fence);
	end_quire(q);
}

/* A job may end after the quire that it was made for; what the quire was is nobody's by then. */
static void test_fence_outlives_its_quire(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_fence *fence = fence_of(q, "late job");

	(void)state;
	end_quire(q);
	quire_fence_signal(fence);
	assert_int_equal(quire_fence_wait(fence, 0), 0);
	end_fence(fence);
}

/* --- an owner that waits for one ---------------------------------------------------------- */

/* Where an owner says what to wait for. */
enum where { IN_ISOLATE, IN_MIGRATE, IN_SKIP, WHERES };

struct job {
	struct quire_fence *fence;
	enum where where;
	bool refuse; /* busy, until the fence was signaled */
};

static void job_isolate(struct probe *p, struct quire_folio *folio)
{
	struct job *job = p->arg;

	if (job->where != IN_ISOLATE || quire_fence_signaled(job->fence))
		return;
	CHECK(quire_op_wait(folio, job->fence) == 0);
}

static int job_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	struct job *job = p->arg;
	size_t n = quire_batch_count(batch);

	if (job->where == IN_ISOLATE || quire_fence_signaled(job->fence))
		return probe_commit(p, batch, answer);
	for (size_t i = 0; i < n; i++) {
		CHECK(quire_op_wait(quire_batch_folio(batch, i), job->fence) == 0);
		if (job->where == IN_SKIP)
			CHECK(quire_batch_skip(batch, i, -EAGAIN) == 0);
	}
	return job->where == IN_SKIP ? probe_commit(p, batch, answer) : -EAGAIN;
}

static void start_job(struct probe *p, struct job *job, enum where where)
{
	*job = (struct job){ .fence = fence_of(p->quire, "frame 17"), .where = where };
	p->arg = job;
	p->on_isolate = job_isolate;
	p->on_migrate = job_migrate;
	/* Says no once, or for ever: the fence decides which. */
	p->isolate_says = where == IN_ISOLATE ? SCRIPT(-EAGAIN, 0) : SCRIPT(0);
}

static void assert_names_the_fence(const struct quire_blocker *who, const char *owner,
				   const char *name)
{
	assert_int_equal(who->why, QUIRE_REASON_FENCE);
	assert_int_equal(who->code, -EAGAIN);
	assert_string_equal(who->reason, "waits for its owner's fence");
	assert_string_equal(who->owner, owner);
	assert_string_equal(who->site, name);
}

/* The folio is tried when the owner says no, and when the fence was signaled: twice, not more,
 * though the wait is thousands of times as long as any pause between tries. */
static void test_HC1_a_fenced_folio_is_tried_twice(void **state)
{
	(void)state;
	for (enum where where = IN_ISOLATE; where < WHERES; where++) {
		struct quire_move move;
		struct signaler s;
		struct hand hand;
		struct job job;
		struct one o;

		one_start(&o, OP_ALL);
		start_job(&o.p, &job, where);
		hand_start(&hand);
		s = (struct signaler){ &hand, job.fence };
		/* Not before the mover has nothing left but to wait. */
		at_point("retry:waiting", o.q, by_hand_signal, &s);
		move = move_folio(o.it.folio, QUIRE_SYNC, 30 * SEC);
		assert_int_equal(move.code, 0);
		assert_int_equal(move.tries, 2);
		assert_int_equal(o.p.isolates, 2);
		assert_int_equal(o.p.migrates, where == IN_ISOLATE ? 1 : 2);
		assert_null(move.wait);
		assert_int_equal(stats_of(o.q).retries, 1);
		hand_stop(&hand);
		end_fence(job.fence);
		one_end(&o);
	}
}

/* A signal while the op that named the fence still runs is not lost. */
static void test_HC1_a_signal_during_the_op_is_not_lost(void **state)
{
	(void)state;
	for (enum where where = IN_ISOLATE; where < WHERES; where++) {
		struct quire_move move;
		struct signaler s;
		struct hand hand;
		struct job job;
		struct one o;

		one_start(&o, OP_ALL);
		start_job(&o.p, &job, where);
		hand_start(&hand);
		s = (struct signaler){ &hand, job.fence };
		at_point(where == IN_ISOLATE ? "isolate:refused" : "putback:before", o.it.folio,
			 by_hand_signal, &s);
		move = move_folio(o.it.folio, QUIRE_SYNC, 30 * SEC);
		assert_int_equal(move.code, 0);
		assert_int_equal(move.tries, 2);
		hand_stop(&hand);
		end_fence(job.fence);
		one_end(&o);
	}
}

static void test_HC1_at_the_deadline_the_fence_is_named(void **state)
{
	(void)state;
	for (enum where where = IN_ISOLATE; where < WHERES; where++) {
		struct quire_move move;
		struct job job;
		struct one o;

		one_start(&o, OP_ALL);
		start_job(&o.p, &job, where);
		quire_clock_set_(CLOCK_START);
		move = move_folio(o.it.folio, QUIRE_SYNC, 300 * MSEC);
		assert_int_equal(os_clock_override, CLOCK_START + 300 * MSEC);
		assert_int_equal(move.code, -EAGAIN);
		assert_int_equal(move.tries, 1);
		assert_names_the_fence(&move.who, "probe", "frame 17");
		assert_ptr_equal(move.who.folio, o.it.folio);
		assert_ptr_equal(move.wait, job.fence);
		assert_int_equal(stats_of(o.q).not_moved[QUIRE_REASON_FENCE], 1);
		assert_int_equal(stats_of(o.q).retries, 0);
		quire_fence_put(move.wait);
		quire_clock_set_(UINT64_MAX);
		end_fence(job.fence);
		one_end(&o);
	}
}

static void test_HC1_light_waits_for_fences_a_millisecond(void **state)
{
	struct quire_move move;
	struct job job;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	start_job(&o.p, &job, IN_MIGRATE);
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_SYNC_LIGHT, 300 * MSEC);
	assert_int_equal(os_clock_override, CLOCK_START + MSEC);
	assert_int_equal(move.tries, 1);
	assert_names_the_fence(&move.who, "probe", "frame 17");
	quire_fence_put(move.wait);
	quire_clock_set_(UINT64_MAX);
	end_fence(job.fence);
	one_end(&o);
}

static void test_HC1_async_hands_the_fence_to_the_caller(void **state)
{
	struct quire_move move;
	struct job job;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	start_job(&o.p, &job, IN_SKIP);
	quire_clock_set_(CLOCK_START);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(os_clock_override, CLOCK_START);
	assert_int_equal(move.tries, 1);
	assert_names_the_fence(&move.who, "probe", "frame 17");
	assert_ptr_equal(move.wait, job.fence);
	assert_int_equal(SEE(&job.fence->refs), 2);
	quire_fence_signal(job.fence);
	assert_int_equal(quire_fence_wait(move.wait, 0), 0);
	quire_fence_put(move.wait);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.code, 0);
	assert_null(move.wait);
	quire_clock_set_(UINT64_MAX);
	end_fence(job.fence);
	one_end(&o);
}

/* --- no busy loop ------------------------------------------------------------------------- */

/* Tries of a folio that is tried at first, after each pause, and at the deadline once more. */
static unsigned tries_by_the_clock(uint64_t wait)
{
	uint64_t at = 0, pause = 20000;
	unsigned n = 1;

	while (at < wait) {
		at += pause;
		n++;
		if (pause < 5 * MSEC)
			pause *= 2;
	}
	return n + 1;
}

static void assert_tried_by_the_clock(struct one *o)
{
	struct quire_move move;

	quire_clock_set_(CLOCK_START);
	move = move_folio(o->it.folio, QUIRE_SYNC, 200 * MSEC);
	assert_int_equal(move.code, -EAGAIN);
	assert_int_equal(move.tries, tries_by_the_clock(200 * MSEC));
	assert_int_equal(stats_of(o->q).retries, move.tries - 2);
	if (move.wait)
		quire_fence_put(move.wait);
	quire_clock_set_(UINT64_MAX);
}

static void test_HC1_an_owner_that_can_only_fail_is_tried_by_the_clock(void **state)
{
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	o.p.migrate_says = SCRIPT(-EAGAIN);
	assert_tried_by_the_clock(&o);
	one_end(&o);
	one_start(&o, OP_ALL);
	o.p.isolate_says = SCRIPT(-EAGAIN);
	assert_tried_by_the_clock(&o);
	one_end(&o);
}

struct repin {
	struct quire_pin *own, *foreign;
};

static int drops_its_pin(struct probe *p, struct quire_batch *batch, int answer)
{
	struct repin *r = p->arg;

	quire_unpin_long(r->own);
	r->own = NULL;
	return probe_commit(p, batch, answer);
}

static void pins_again(struct probe *p, struct quire_folio *folio)
{
	struct repin *r = p->arg;

	CHECK(quire_pin_long(folio, p->owner, &r->own) == 0);
	quire_movable_again(p->quire); /* it believes so */
}

/* What a mover's own op does is no reason for that mover to try again at once. */
static void test_HC1_an_owner_that_drops_its_pin_in_each_try(void **state)
{
	struct probe other;
	struct repin r;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	make_probe(o.q, "other", OP_NONE, &other);
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &r.own), 0);
	assert_int_equal(quire_pin_long(o.it.folio, other.owner, &r.foreign), 0);
	o.p.arg = &r;
	o.p.on_migrate = drops_its_pin;
	o.p.on_putback = pins_again;
	assert_tried_by_the_clock(&o);
	quire_unpin_long(r.own);
	quire_unpin_long(r.foreign);
	one_end(&o);
}

static int names_what_has_happened(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)answer;
	CHECK(quire_op_wait(quire_batch_folio(batch, 0), p->arg) == 0);
	return -EAGAIN;
}

static void test_HC1_a_fence_that_was_signaled_before_is_no_reason(void **state)
{
	struct quire_fence *fence;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	fence = fence_of(o.q, "done");
	quire_fence_signal(fence);
	o.p.arg = fence;
	o.p.on_migrate = names_what_has_happened;
	assert_tried_by_the_clock(&o);
	end_fence(fence);
	one_end(&o);
}

/* A fence in the batch changes nothing for the others: they keep their pauses. */
struct storm {
	struct quire *q;
	unsigned waits;
};

static void signal_something(void *arg)
{
	struct storm *s = arg;
	struct quire_fence *fence = NULL;

	BUMP(&s->waits);
	CHECK(quire_fence_create(s->q, "other job", &fence) == 0);
	quire_fence_signal(fence);
	quire_fence_put(fence);
}

static void test_HC1_the_others_of_a_batch_keep_their_pauses(void **state)
{
	struct quire_move move[2];
	struct probe busy;
	struct storm storm;
	struct item it;
	struct job job;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	start_job(&o.p, &job, IN_MIGRATE);
	make_probe(o.q, "busy", OP_ALL, &busy);
	busy.migrate_says = SCRIPT(-EAGAIN);
	place(&busy, &it, 0, ANYWHERE, 2);
	storm = (struct storm){ .q = o.q };
	/* Every time the mover is about to sleep some fence is signaled that is not its own. */
	at_point_nth("retry:waiting", o.q, 1, 10, signal_something, &storm);
	move[0] = (struct quire_move){ .folio = o.it.folio };
	move[1] = (struct quire_move){ .folio = it.folio };
	quire_clock_set_(CLOCK_START);
	assert_int_equal(quire_move_folios(o.q, move, 2, QUIRE_SYNC, 200 * MSEC), 2);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(storm.waits, 10);
	assert_int_equal(move[0].tries, 1);
	assert_names_the_fence(&move[0].who, "probe", "frame 17");
	assert_int_equal(move[1].tries, tries_by_the_clock(200 * MSEC));
	assert_int_equal(move[1].who.why, QUIRE_REASON_OWNER_BUSY);
	assert_null(move[1].wait);
	quire_fence_put(move[0].wait);
	end_fence(job.fence);
	drop(&it);
	one_end(&o);
}

/* --- the call itself ---------------------------------------------------------------------- */

struct calls {
	struct quire_fence *first, *last, *foreign;
	struct quire_folio *other; /* a folio that is not in the op */
	int after_commit;
};

static void calls_isolate(struct probe *p, struct quire_folio *folio)
{
	struct calls *c = p->arg;

	CHECK(quire_op_wait(folio, NULL) == -EINVAL);
	CHECK(quire_op_wait(NULL, c->first) == -EINVAL);
	CHECK(quire_op_wait(c->other, c->first) == -EINVAL);
	CHECK(quire_op_wait(folio, c->foreign) == -EINVAL);
	CHECK(quire_op_wait(folio, c->first) == 0); /* and then the answer is yes: it is nothing */
}

static int calls_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	struct quire_folio *folio = quire_batch_folio(batch, 0);
	struct calls *c = p->arg;

	CHECK(SEE(&c->first->refs) == 1); /* isolate said yes */
	CHECK(quire_op_wait(c->other, c->first) == -EINVAL);
	CHECK(quire_op_wait(folio, c->foreign) == -EINVAL);
	CHECK(quire_op_wait(folio, c->first) == 0);
	CHECK(quire_op_wait(folio, c->last) == 0);
	CHECK(SEE(&c->first->refs) == 1); /* the last one counts */
	if (answer)
		return answer;
	CHECK(quire_move_commit(batch) == 0);
	c->after_commit = quire_op_wait(folio, c->first);
	return 0;
}

static void calls_nothing(struct probe *p, struct quire_folio *folio)
{
	struct calls *c = p->arg;

	CHECK(quire_op_wait(folio, c->first) == -EINVAL);
}

static void test_HC1_what_an_op_may_say(void **state)
{
	struct quire *elsewhere = make_quire(1);
	struct quire_move move;
	struct item other;
	struct calls c;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	place(&o.p, &other, 0, ANYWHERE, 3);
	c = (struct calls){ .first = fence_of(o.q, "first"),
			    .last = fence_of(o.q, "last"),
			    .foreign = fence_of(elsewhere, "foreign"),
			    .other = other.folio };
	o.p.arg = &c;
	o.p.on_isolate = calls_isolate;
	o.p.on_migrate = calls_migrate;
	o.p.on_putback = calls_nothing;
	o.p.on_free = calls_nothing;
	assert_int_equal(quire_op_wait(o.it.folio, c.first), -EINVAL);
	o.p.migrate_says = SCRIPT(-EAGAIN, -EBUSY, 0);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_names_the_fence(&move.who, "probe", "last");
	quire_fence_put(move.wait);
	/* With any other answer the fence is nothing. */
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, -EBUSY);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_null(move.wait);
	move = move_folio(o.it.folio, QUIRE_SYNC, 0);
	assert_int_equal(move.code, 0);
	assert_int_equal(c.after_commit, -EALREADY);
	assert_null(move.wait);
	drop(&other);
	assert_int_equal(other.freed, 1);
	o.p.on_free = NULL;
	end_fence(c.first);
	end_fence(c.last);
	end_fence(c.foreign);
	end_quire(elsewhere);
	one_end(&o);
}

static int commits_then_waits(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)answer;
	CHECK(quire_move_commit(batch) == -EAGAIN);
	CHECK(quire_op_wait(quire_batch_folio(batch, 0), p->arg) == 0);
	return -EAGAIN;
}

/* Pinned, and its owner says when that will be over. */
static void test_HC1_a_pinned_folio_may_have_a_fence(void **state)
{
	struct quire_fence *fence;
	struct quire_move move;
	struct quire_pin *pin;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	fence = fence_of(o.q, "dma");
	o.p.arg = fence;
	o.p.on_migrate = commits_then_waits;
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_names_the_fence(&move.who, "probe", "dma");
	quire_fence_put(move.wait);
	quire_unpin_long(pin);
	end_fence(fence);
	one_end(&o);
}

static void says_yes_but_waits(struct probe *p, struct quire_folio *folio)
{
	CHECK(quire_op_wait(folio, p->arg) == 0);
}

static int waits_commits_says_yes(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)answer;
	CHECK(quire_op_wait(quire_batch_folio(batch, 0), p->arg) == 0);
	CHECK(quire_move_commit(batch) == -EAGAIN);
	return 0;
}

/* The op that named the fence did not say "again": what is in the way is something else. */
static void test_HC1_a_fence_counts_with_eagain_of_its_op_only(void **state)
{
	struct quire_fence *fence;
	struct quire_move move;
	struct quire_pin *pin;
	struct one o;

	(void)state;
	one_start(&o, OP_ALL);
	fence = fence_of(o.q, "not this");
	o.p.arg = fence;
	o.p.on_isolate = says_yes_but_waits;
	o.p.migrate_says = SCRIPT(-EAGAIN);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_OWNER_BUSY);
	assert_null(move.wait);
	o.p.on_isolate = NULL;
	o.p.on_migrate = waits_commits_says_yes;
	assert_int_equal(quire_pin_long(o.it.folio, o.p.owner, &pin), 0);
	move = move_folio(o.it.folio, QUIRE_ASYNC, 0);
	assert_int_equal(move.who.why, QUIRE_REASON_LONG_PIN);
	assert_null(move.wait);
	quire_unpin_long(pin);
	end_fence(fence);
	one_end(&o);
}

/* --- plans -------------------------------------------------------------------------------- */

/* Two blocks with folios of two owners, one of which waits for a fence. */
struct planned {
	struct quire *q;
	struct probe job, plain;
	struct item fenced[3], free[40];
	struct job j;
	struct hand hand;
	struct signaler s;
};

static void planned_start(struct planned *p, enum where where)
{
	p->q = make_quire(4);
	make_probe(p->q, "job", OP_ALL, &p->job);
	make_probe(p->q, "plain", OP_ALL, &p->plain);
	start_job(&p->job, &p->j, where);
	place_row(&p->plain, p->free, 20, 0, 0, 1);
	place_row(&p->plain, p->free + 20, 20, 0, 512, 30);
	place_row(&p->job, p->fenced, 2, 0, 20, 70);
	place(&p->job, &p->fenced[2], 0, quire_frame(512 + 20), 72);
	hand_start(&p->hand);
	p->s = (struct signaler){ &p->hand, p->j.fence };
}

static void planned_end(struct planned *p)
{
	hand_stop(&p->hand);
	assert_row_intact(p->free, 40);
	assert_row_intact(p->fenced, 3);
	drop_row(p->free, 40);
	drop_row(p->fenced, 3);
	assert_frames_free(p->q, 4 * 512);
	assert_ledger_closed(p->q);
	assert_nothing_claimed(p->q);
	end_fence(p->j.fence);
	end_quire(p->q);
}

static void test_HC1_a_plan_tries_fenced_folios_twice(void **state)
{
	(void)state;
	for (enum where where = IN_ISOLATE; where < WHERES; where++) {
		struct quire_result r = { .size = sizeof(r) };
		struct quire_plan *plan;
		struct planned p;

		planned_start(&p, where);
		plan = plan_of(p.q, 512, 3);
		/* Some rounds go by first. */
		at_point_nth("retry:waiting", p.q, 6, 1, by_hand_signal, &p.s);
		assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
		assert_int_equal(r.obtained, 3);
		assert_int_equal(r.replans, 0);
		/* The cheaper block is emptied into the other one: it has one fenced folio. */
		assert_int_equal(p.job.isolates, 2);
		assert_int_equal(p.plain.isolates, 20);
		assert_int_equal(r.tries, p.job.isolates + 20u);
		quire_plan_destroy(plan);
		planned_end(&p);
	}
}

static void test_HC1_a_plan_names_fences_at_its_deadline(void **state)
{
	(void)state;
	for (enum where where = IN_ISOLATE; where < WHERES; where++) {
		struct quire_result r = { .size = sizeof(r) };
		const struct quire_blocker *who;
		struct quire_plan *plan;
		struct planned p;
		size_t n;

		planned_start(&p, where);
		p.job.isolate_says = SCRIPT(where == IN_ISOLATE ? -EAGAIN : 0);
		plan = plan_of(p.q, 512, 3);
		quire_clock_set_(CLOCK_START);
		assert_int_equal(quire_plan_execute(plan, QUIRE_BUDGET(.folio_ns = 50 * MSEC), &r),
				 -EBUSY);
		quire_clock_set_(UINT64_MAX);
		assert_int_equal(r.obtained, 2);
		/* The window that was tried, and the one that was chosen instead of it. */
		n = quire_plan_blockers(plan);
		assert_int_equal(n, p.job.isolates);
		assert_int_equal(r.folios_failed, n);
		/* The plan keeps the names, whatever becomes of the fence. */
		quire_fence_get(p.j.fence);
		for (size_t i = 0; i < n; i++) {
			who = quire_plan_blocker(plan, i);
			assert_names_the_fence(who, "job", "frame 17");
		}
		assert_int_equal(SEE(&p.j.fence->refs), 2 + n);
		quire_plan_destroy(plan);
		quire_fence_put(p.j.fence);
		planned_end(&p);
	}
}

static void test_HC1_an_async_plan_names_fences_at_once(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct planned p;

	(void)state;
	planned_start(&p, IN_MIGRATE);
	plan = plan_of(p.q, 512, 3);
	quire_clock_set_(CLOCK_START);
	assert_int_equal(
		quire_plan_execute(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), &r),
		-EBUSY);
	assert_int_equal(os_clock_override, CLOCK_START);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(quire_plan_blockers(plan), p.job.isolates);
	assert_names_the_fence(quire_plan_blocker(plan, 0), "job", "frame 17");
	quire_plan_destroy(plan);
	planned_end(&p);
}

static void drop_fenced(void *arg)
{
	drop_row(((struct planned *)arg)->fenced, 3);
}

/* What waits for a fence may be freed instead: nobody waits for the signal then. */
static void test_HC1_a_plan_sees_a_fenced_folio_go(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct planned p;

	(void)state;
	planned_start(&p, IN_MIGRATE);
	plan = plan_of(p.q, 512, 3);
	quire_clock_set_(CLOCK_START);
	at_point_nth("retry:waiting", p.q, 3, 1, drop_fenced, &p);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	assert_true(os_clock_override < CLOCK_START + 10 * MSEC);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(r.obtained, 3);
	quire_plan_destroy(plan);
	for (size_t i = 0; i < 3; i++)
		place(&p.job, &p.fenced[i], 0, ANYWHERE, 70 + i);
	planned_end(&p);
}

/* Three folios of one block, each with a fence of its own; the higher the handle the lower the
 * place. */
struct three {
	struct quire *q;
	struct probe plain, p;
	struct item there[8], it[3];
	struct quire_fence *fence[3];
	unsigned tried[3];
	unsigned before[3]; /* tried, when the second wait began */
};

static int three_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	struct three *t = p->arg;

	for (size_t i = 0; i < quire_batch_count(batch); i++) {
		struct quire_folio *folio = quire_batch_folio(batch, i);

		for (size_t k = 0; k < 3; k++) {
			if (t->it[k].folio != folio)
				continue;
			t->tried[k]++;
			if (quire_fence_signaled(t->fence[k]))
				continue;
			CHECK(quire_op_wait(folio, t->fence[k]) == 0);
			CHECK(quire_batch_skip(batch, i, -EAGAIN) == 0);
		}
	}
	return probe_commit(p, batch, answer);
}

static void signal_the_second(void *arg)
{
	struct three *t = arg;

	quire_fence_signal(t->fence[1]);
	quire_movable_again(t->q); /* so the next round is a whole one */
}

static void signal_the_others(void *arg)
{
	struct three *t = arg;

	memcpy(t->before, t->tried, sizeof(t->before));
	quire_fence_signal(t->fence[0]);
	quire_fence_signal(t->fence[2]);
}

/* A fence that was signaled is no reason to try those that wait for others. */
static void test_HC1_a_plan_tries_nothing_before_its_own_fence(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct three t = { .q = make_quire(4) };

	(void)state;
	make_probe(t.q, "plain", OP_ALL, &t.plain);
	make_probe(t.q, "three", OP_ALL, &t.p);
	t.p.arg = &t;
	t.p.on_migrate = three_migrate;
	place_row(&t.plain, t.there, 8, 0, 512, 1);
	for (uint32_t i = 0; i < 3; i++) {
		place(&t.p, &t.it[i], 0, quire_frame(40 - i), 10 + i);
		t.fence[i] = fence_of(t.q, "its own");
		assert_true(i == 0 || t.it[i].folio > t.it[i - 1].folio);
	}
	plan = plan_of(t.q, 512, 3);
	quire_clock_set_(CLOCK_START);
	at_point_nth("retry:waiting", t.q, 1, 1, signal_the_second, &t);
	at_point_nth("retry:waiting", t.q, 2, 1, signal_the_others, &t);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(r.obtained, 3);
	assert_int_equal(t.before[0], 1);
	assert_int_equal(t.before[1], 2);
	assert_int_equal(t.before[2], 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(t.tried[i], 2);
	quire_plan_destroy(plan);
	for (size_t i = 0; i < 3; i++)
		end_fence(t.fence[i]);
	assert_row_intact(t.it, 3);
	drop_row(t.it, 3);
	drop_row(t.there, 8);
	assert_ledger_closed(t.q);
	end_quire(t.q);
}

/* --- an owner that goes while others wait for its fence ----------------------------------- */

static void detach_owner(void *owner)
{
	CHECK(quire_owner_detach(owner, 0, NULL) == 0);
}

/* Its folio is an ordinary one then, and moves; the fence may never be signaled any more. */
static void test_HC6_nobody_waits_for_the_fence_of_a_detached_owner(void **state)
{
	(void)state;
	for (enum where where = IN_ISOLATE; where < WHERES; where++) {
		struct quire_move move;
		struct job job;
		struct one o;

		one_start(&o, OP_ALL);
		start_job(&o.p, &job, where);
		quire_clock_set_(CLOCK_START);
		at_point_nth("retry:waiting", o.q, 1, 1, detach_owner, o.p.owner);
		move = move_folio(o.it.folio, QUIRE_SYNC, 300 * MSEC);
		assert_int_equal(os_clock_override, CLOCK_START);
		quire_clock_set_(UINT64_MAX);
		assert_int_equal(move.code, 0);
		assert_int_equal(move.tries, 2);
		assert_null(move.wait);
		assert_int_equal(o.p.isolates, 1);
		end_fence(job.fence);
		assert_intact(&o.it);
		drop(&o.it);
		assert_int_equal(o.it.freed, 0);
		assert_frames_free(o.q, 4 * 512);
		end_quire(o.q);
	}
}

static void test_HC6_no_plan_waits_for_the_fence_of_a_detached_owner(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct planned p;
	unsigned isolates;

	(void)state;
	planned_start(&p, IN_MIGRATE);
	plan = plan_of(p.q, 512, 3);
	quire_clock_set_(CLOCK_START);
	at_point_nth("retry:waiting", p.q, 2, 1, detach_owner, p.job.owner);
	assert_int_equal(quire_plan_execute(plan, QUIRE_BUDGET(.folio_ns = 500 * MSEC), &r), 0);
	assert_true(os_clock_override < CLOCK_START + 10 * MSEC);
	quire_clock_set_(UINT64_MAX);
	assert_int_equal(r.obtained, 3);
	isolates = p.job.isolates;
	assert_int_equal(isolates, 1);
	quire_plan_destroy(plan);
	hand_stop(&p.hand);
	assert_row_intact(p.fenced, 3);
	drop_row(p.free, 40);
	drop_row(p.fenced, 3);
	assert_frames_free(p.q, 4 * 512);
	end_fence(p.j.fence);
	end_quire(p.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fence_arguments_and_names),
		TEST(test_fence_wait_ends_with_the_signal),
		TEST(test_fence_wait_has_a_deadline),
		TEST(test_fence_outlives_its_quire),
		TEST(test_HC1_a_fenced_folio_is_tried_twice),
		TEST(test_HC1_a_signal_during_the_op_is_not_lost),
		TEST(test_HC1_at_the_deadline_the_fence_is_named),
		TEST(test_HC1_light_waits_for_fences_a_millisecond),
		TEST(test_HC1_async_hands_the_fence_to_the_caller),
		TEST(test_HC1_an_owner_that_can_only_fail_is_tried_by_the_clock),
		TEST(test_HC1_an_owner_that_drops_its_pin_in_each_try),
		TEST(test_HC1_a_fence_that_was_signaled_before_is_no_reason),
		TEST(test_HC1_the_others_of_a_batch_keep_their_pauses),
		TEST(test_HC1_what_an_op_may_say),
		TEST(test_HC1_a_pinned_folio_may_have_a_fence),
		TEST(test_HC1_a_fence_counts_with_eagain_of_its_op_only),
		TEST(test_HC1_a_plan_tries_fenced_folios_twice),
		TEST(test_HC1_a_plan_names_fences_at_its_deadline),
		TEST(test_HC1_an_async_plan_names_fences_at_once),
		TEST(test_HC1_a_plan_sees_a_fenced_folio_go),
		TEST(test_HC1_a_plan_tries_nothing_before_its_own_fence),
		TEST(test_HC6_nobody_waits_for_the_fence_of_a_detached_owner),
		TEST(test_HC6_no_plan_waits_for_the_fence_of_a_detached_owner),
	};

	return cmocka_run_group_tests_name("fences", tests, NULL, NULL);
}

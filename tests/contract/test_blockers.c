/* SPDX-License-Identifier: MIT */
/*
 * test_blockers.c: who stands in the way, asked while the plan is executed.
 */
#include "contig/plan.h"
#undef CHECK /* the library's; tests have their own */
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

/* A pinned folio in the first block, five folios in the second, two of which wait for a fence. */
struct busy {
	struct quire *q;
	struct probe plain, fenced;
	struct item it[6];
	struct quire_fence *fence;
	struct quire_pin *pin;
	struct quire_plan *plan;
	struct hand hand;
	/* what the hand was told */
	struct quire_blocker who[16];
	size_t n;
	uint64_t counts[QUIRE_REASON_ROOM];
	unsigned asked;
};

static int waits_for_the_fence(struct probe *p, struct quire_batch *batch, int answer)
{
	struct busy *b = p->arg;

	if (quire_fence_signaled(b->fence))
		return probe_commit(p, batch, answer);
	for (size_t i = 0; i < quire_batch_count(batch); i++)
		CHECK(quire_op_wait(quire_batch_folio(batch, i), b->fence) == 0);
	return -EAGAIN;
}

static void busy_start(struct busy *b)
{
	memset(b, 0, sizeof(*b));
	b->q = make_quire(3);
	make_probe(b->q, "plain", OP_ALL, &b->plain);
	make_probe(b->q, "fenced", OP_ALL, &b->fenced);
	b->fenced.arg = b;
	b->fenced.on_migrate = waits_for_the_fence;
	assert_int_equal(quire_fence_create(b->q, "job 3", &b->fence), 0);
	place_row(&b->plain, b->it, 3, 0, 512, 1);
	place_row(&b->fenced, b->it + 3, 2, 0, 600, 4);
	place(&b->plain, &b->it[5], 0, quire_frame(3), 51);
	assert_int_equal(quire_pin_long(b->it[5].folio, b->fenced.owner, &b->pin), 0);
	hand_start(&b->hand);
}

static void busy_end(struct busy *b)
{
	no_points();
	hand_stop(&b->hand);
	quire_plan_destroy(b->plan);
	quire_fence_put(b->fence);
	quire_unpin_long(b->pin);
	assert_row_intact(b->it, 6);
	drop_row(b->it, 6);
	assert_frames_free(b->q, 3 * 512);
	assert_nothing_claimed(b->q);
	end_quire(b->q);
}

static void do_ask(void *arg)
{
	struct busy *b = arg;

	b->n = quire_plan_blockers_now(b->plan, b->who, COUNT_OF(b->who));
	CHECK(quire_plan_histogram(b->plan, b->counts) == 0);
	b->asked++;
}

static void by_hand_ask(void *arg)
{
	struct busy *b = arg;

	hand_do(&b->hand, do_ask, b);
}

static uint64_t sum(const uint64_t counts[QUIRE_REASON_ROOM])
{
	uint64_t n = 0;

	for (unsigned i = 0; i < QUIRE_REASON_ROOM; i++)
		n += counts[i];
	return n;
}

static void signal_the_fence(void *arg)
{
	quire_fence_signal(((struct busy *)arg)->fence);
}

/* Before, during and after: each time the answer is what holds then. */
static void test_HC4_blockers_can_be_asked_while_a_plan_runs(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct busy b;

	(void)state;
	busy_start(&b);
	b.plan = plan_of(b.q, 512, 2);
	do_ask(&b);
	assert_int_equal(b.n, 1); /* the pinned folio of block 0 */
	assert_int_equal(b.who[0].why, QUIRE_REASON_LONG_PIN);
	assert_int_equal(b.counts[QUIRE_REASON_LONG_PIN], 1);
	at_point_nth("retry:waiting", b.q, 2, 1, by_hand_ask, &b);
	at_point_nth("retry:waiting", b.q, 4, 1, signal_the_fence, &b);
	assert_int_equal(quire_plan_execute(b.plan, NULL, &r), 0);
	assert_int_equal(b.asked, 2);
	assert_int_equal(b.n, 3); /* that one, and the two that it waited for */
	assert_int_equal(b.counts[QUIRE_REASON_LONG_PIN], 1);
	assert_int_equal(b.counts[QUIRE_REASON_FENCE], 2);
	assert_int_equal(sum(b.counts), 3);
	for (size_t i = 1; i < 3; i++) {
		assert_string_equal(b.who[i].owner, "fenced");
		assert_string_equal(b.who[i].site, "job 3");
	}
	/* Afterwards it is what quire_plan_blocker() says. */
	do_ask(&b);
	assert_int_equal(b.n, quire_plan_blockers(b.plan));
	assert_int_equal(b.n, 1);
	assert_memory_equal(&b.who[0], quire_plan_blocker(b.plan, 0), sizeof(b.who[0]));
	/* Less room than there are; none; no plan. */
	assert_int_equal(quire_plan_blockers_now(b.plan, NULL, 0), 1);
	assert_int_equal(quire_plan_blockers_now(NULL, NULL, 0), 0);
	assert_int_equal(quire_plan_histogram(NULL, b.counts), -EINVAL);
	assert_int_equal(quire_plan_histogram(b.plan, NULL), -EINVAL);
	busy_end(&b);
}

struct asker {
	struct quire_plan *plan;
	unsigned stop, asked;
};

static void do_ask_on(void *arg)
{
	struct quire_blocker who[8];
	struct asker *a = arg;
	uint64_t counts[QUIRE_REASON_ROOM];

	while (!SEE(&a->stop)) {
		size_t n = quire_plan_blockers_now(a->plan, who, COUNT_OF(who));

		for (size_t i = 0; i < n && i < COUNT_OF(who); i++) {
			CHECK(who[i].why < QUIRE_REASON_COUNT);
			CHECK(strcmp(who[i].reason, quire_reason_text(who[i].why)) == 0);
			CHECK(strlen(who[i].owner) < 64 && strlen(who[i].site) < 64);
		}
		CHECK(quire_plan_histogram(a->plan, counts) == 0);
		BUMP(&a->asked);
	}
}

static void ask_once_more(void *arg)
{
	struct asker *a = arg;
	unsigned asked = SEE(&a->asked);

	while (SEE(&a->asked) == asked)
		sched_yield();
}

/* Somebody asks all the time while windows are given up and chosen anew. */
static void test_HC4_blockers_asked_during_replans(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct asker a = { 0 };
	struct quire *q = make_quire(12);
	struct item it[60];
	struct probe p;
	struct hand hand;
	uint64_t counts[QUIRE_REASON_ROOM];

	(void)state;
	make_probe(q, "refuses", OP_ALL, &p);
	p.isolate_says = SCRIPT(-EBUSY);
	for (uint32_t i = 0; i < 60; i++)
		place(&p, &it[i], 0, quire_frame((i % 10) * 512 + i), i);
	a.plan = plan_of(q, 512, 12);
	quire_plan_destroy(a.plan);
	a.plan = plan_of(q, 512, 11);
	hand_start(&hand);
	hand_post(&hand, do_ask_on, &a);
	at_point_nth("plan:claimed", NULL, 1, 100, ask_once_more, &a);
	assert_int_equal(quire_plan_execute(a.plan, NULL, &r), -EBUSY);
	PUT(&a.stop, 1u);
	hand_stop(&hand);
	assert_true(r.replans > 0);
	assert_int_equal(quire_plan_histogram(a.plan, counts), 0);
	assert_int_equal(counts[QUIRE_REASON_VETO], quire_plan_blockers(a.plan));
	assert_int_equal(sum(counts), 60);
	no_points();
	quire_plan_destroy(a.plan);
	drop_row(it, 60);
	end_quire(q);
}

/* --- a child of fork() -------------------------------------------------------------------- */

struct keeper {
	struct quire_plan *plan;
	struct gate in, go;
};

/* Stands where a thread is that shows what its plan waits for. */
static void keep_the_lock(void *arg)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->plan->lock);
	gate_open(&k->in);
	gate_pass(&k->go);
	pthread_mutex_unlock(&k->plan->lock);
}

/* The thread that has the plan's lock is not there in the child, which must not wait for it. */
static void test_HC4_a_child_asks_in_vain_not_for_ever(void **state)
{
	struct quire *q = make_quire(2);
	struct keeper k = { .plan = plan_of(q, 512, 1) };
	struct hand hand;
	int status = 0;
	pid_t child;

	(void)state;
	gate_init(&k.in);
	gate_init(&k.go);
	hand_start(&hand);
	hand_post(&hand, keep_the_lock, &k);
	gate_pass(&k.in);
	child = fork();
	if (!child) {
		uint64_t counts[QUIRE_REASON_ROOM];
		struct quire_blocker who;

		alarm(10);
		_exit(quire_plan_blockers_now(k.plan, &who, 1) != 0 ||
		      quire_plan_histogram(k.plan, counts) != -ENXIO);
	}
	gate_open(&k.go);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	hand_stop(&hand);
	quire_plan_destroy(k.plan);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_HC4_blockers_can_be_asked_while_a_plan_runs),
		TEST(test_HC4_blockers_asked_during_replans),
		TEST(test_HC4_a_child_asks_in_vain_not_for_ever),
	};

	return cmocka_run_group_tests_name("blockers", tests, NULL, NULL);
}

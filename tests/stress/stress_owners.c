/* SPDX-License-Identifier: MIT */
/*
 * stress_owners.c: owners that make it hard, all at once: one whose jobs end with fences, one with
 * frames of its own, one that is detached and made anew, one whose folios are split and split again
 * while others look at them. Movers, a planner, somebody who asks it
 * for its blockers, and the jobs run against each other; afterwards every folio is whole, every
 * isolation has one end, every frame and every reference is where it belongs.
 */
#include "core/fence.h"
#include "support.h"

#include <stdlib.h>

#define FOLIOS 96
#define POOL 256

struct scene {
	struct quire *q;
	struct probe fenced, own, mortal;
	struct item item[3][FOLIOS];
	pthread_mutex_t lock; /* of the pool, and of the job */
	uint32_t pool[POOL];
	unsigned idle, gets, puts;
	struct quire_fence *job; /* NULL: nothing runs */
	unsigned stop, rounds, fences, moved, detached, asked, after_ops;
	struct probe parted;
	struct quire_folio *shown; /* one that is split just now, or NULL */
	unsigned splits, asked_to_split, in_the_way, vetoed, looks;
	struct quire_plan *plan; /* under lock: of the planner, while it is executed */
	uint64_t seed;
};

static int fenced_migrate(struct probe *p, struct quire_batch *batch, int answer)
{
	struct scene *s = p->arg;
	struct quire_fence *job;

	pthread_mutex_lock(&s->lock);
	job = quire_fence_get(s->job);
	pthread_mutex_unlock(&s->lock);
	if (!job)
		return probe_commit(p, batch, answer);
	for (size_t i = 0; i < quire_batch_count(batch); i++)
		CHECK(quire_op_wait(quire_batch_folio(batch, i), job) == 0);
	quire_fence_put(job);
	return -EAGAIN;
}

static int pool_get(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	struct scene *s = ((struct probe *)arg)->arg;
	int error = -EAGAIN; /* some are on their way back */

	(void)mode;
	CHECK(order == 0);
	pthread_mutex_lock(&s->lock);
	if (s->idle) {
		*frame = quire_frame(s->pool[--s->idle]);
		s->gets++;
		error = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return error;
}

static void pool_put(unsigned order, struct quire_frame frame, void *arg)
{
	struct scene *s = ((struct probe *)arg)->arg;

	CHECK(order == 0);
	pthread_mutex_lock(&s->lock);
	CHECK(s->idle < POOL);
	s->pool[s->idle++] = frame.n;
	s->puts++;
	pthread_mutex_unlock(&s->lock);
}

/* Its folios have no private pointer; now and then it does not want to. */
static int parted_split(struct quire_folio *const *part, size_t parts, void *arg)
{
	struct scene *s = ((struct probe *)arg)->arg;

	for (size_t i = 1; i < parts; i++)
		CHECK(!quire_folio_get(part[i]));
	CHECK(quire_folio_private(part[0]) == NULL);
	if (BUMP(&s->asked_to_split) % 5)
		return 0;
	BUMP(&s->vetoed);
	return -EPERM;
}

static void fill(struct scene *s)
{
	struct quire_frame frame;

	make_probe(s->q, "own", OP_ALL, &s->own);
	assert_int_equal(quire_owner_destroy(s->own.owner), 0);
	s->own.ops.frame_get = pool_get;
	s->own.ops.frame_put = pool_put;
	s->own.arg = s;
	assert_int_equal(quire_owner_create(s->q, "own", &s->own.ops, &s->own, &s->own.owner), 0);
	assert_int_equal(quire_frames_take(s->own.owner, 8, &frame), 0);
	for (uint32_t i = 0; i < POOL; i++)
		s->pool[s->idle++] = frame.n + i;
	make_probe(s->q, "fenced", OP_ALL, &s->fenced);
	s->fenced.arg = s;
	s->fenced.on_migrate = fenced_migrate;
	make_probe(s->q, "mortal", OP_ALL, &s->mortal);
	make_probe(s->q, "parted", OP_ALL, &s->parted);
	assert_int_equal(quire_owner_destroy(s->parted.owner), 0);
	s->parted.ops.split = parted_split;
	s->parted.arg = s;
	assert_int_equal(
		quire_owner_create(s->q, "parted", &s->parted.ops, &s->parted, &s->parted.owner),
		0);
	for (uint32_t i = 0; i < FOLIOS; i++) {
		place(&s->fenced, &s->item[0][i], i % 4, ANYWHERE, i);
		place(&s->own, &s->item[1][i], 0, ANYWHERE, 1000 + i);
		place(&s->mortal, &s->item[2][i], i % 3, ANYWHERE, 2000 + i);
	}
}

/* The jobs: each begins, and ends with its fence. */
static void do_jobs(void *arg)
{
	struct quire_fence *fence;
	struct scene *s = arg;

	while (!SEE(&s->stop)) {
		CHECK(quire_fence_create(s->q, "job", &fence) == 0);
		pthread_mutex_lock(&s->lock);
		s->job = fence;
		pthread_mutex_unlock(&s->lock);
		sched_yield();
		pthread_mutex_lock(&s->lock);
		s->job = NULL;
		pthread_mutex_unlock(&s->lock);
		quire_fence_signal(fence);
		quire_fence_put(fence);
		BUMP(&s->fences);
		sched_yield();
	}
}

static void do_moves(void *arg)
{
	struct quire_move move[24];
	struct scene *s = arg;
	uint64_t seed = s->seed + 1;
	long left;

	while (!SEE(&s->stop)) {
		enum quire_mode mode = (enum quire_mode)(prng(&seed) % 3);

		for (size_t i = 0; i < COUNT_OF(move); i++) {
			size_t of = prng(&seed) % 3;
			struct item *it = &s->item[of][prng(&seed) % FOLIOS];
			uint32_t to = (uint32_t)(prng(&seed) % (8 * 512)) >> it->order;

			/* Anywhere, so that there is always something to gather. */
			move[i] = (struct quire_move){ .folio = it->folio,
						       .to_set = of != 1 && prng(&seed) % 2,
						       .to = quire_frame(to << it->order) };
		}
		left = quire_move_folios(s->q, move, COUNT_OF(move), mode, 2 * MSEC);
		CHECK(left >= 0);
		for (size_t i = 0; i < COUNT_OF(move); i++) {
			CHECK((move[i].wait != NULL) == (move[i].who.why == QUIRE_REASON_FENCE));
			if (move[i].wait)
				CHECK(strcmp(move[i].who.site, "job") == 0);
			quire_fence_put(move[i].wait);
			if (!move[i].code)
				BUMP(&s->moved);
		}
	}
}

static void do_asks(void *arg)
{
	struct quire_blocker who[16];
	struct scene *s = arg;
	size_t n;

	while (!SEE(&s->stop)) {
		pthread_mutex_lock(&s->lock);
		n = s->plan ? quire_plan_blockers_now(s->plan, who, COUNT_OF(who)) : 0;
		for (size_t i = 0; i < n && i < COUNT_OF(who); i++)
			CHECK(who[i].why < QUIRE_REASON_COUNT && strlen(who[i].site) < 64);
		pthread_mutex_unlock(&s->lock);
		s->asked += n != 0;
		sched_yield();
	}
}

/* An owner whose argument is gone as soon as it is detached. */
struct brief {
	unsigned taken, ops;
};

static int brief_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct brief *b = arg;

	(void)folio;
	(void)mode;
	BUMP(&b->taken);
	BUMP(&b->ops);
	return 0;
}

static int brief_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct brief *b = arg;
	int code = quire_move_commit(batch);

	(void)mode;
	for (size_t i = 0; i < quire_batch_count(batch); i++)
		if (quire_batch_moved(batch, i))
			__atomic_fetch_sub(&b->taken, 1u, __ATOMIC_SEQ_CST);
	return code;
}

static void brief_putback(struct quire_folio *folio, void *arg)
{
	struct brief *b = arg;

	(void)folio;
	__atomic_fetch_sub(&b->taken, 1u, __ATOMIC_SEQ_CST);
}

static const struct quire_owner_ops brief_ops = {
	.size = sizeof(brief_ops),
	.isolate = brief_isolate,
	.migrate = brief_migrate,
	.putback = brief_putback,
};

/* Makes owners, and detaches them while their folios are on the move. */
static void do_deaths(void *arg)
{
	struct scene *s = arg;

	while (!SEE(&s->stop)) {
		struct quire_owner *owner = NULL;
		struct brief *brief = calloc(1, sizeof(*brief));
		struct quire_folio *folio[16];
		int code;

		CHECK(quire_owner_create(s->q, "brief", &brief_ops, brief, &owner) == 0);
		for (size_t i = 0; i < COUNT_OF(folio); i++)
			CHECK(quire_folio_create(owner, 0, &folio[i]) == 0);
		/* A plan, or this one, has them. */
		for (unsigned i = 0; i < 500 && !SEE(&brief->ops); i++)
			sched_yield();
		do
			code = quire_owner_detach(owner, 20 * MSEC, NULL);
		while (code == -ETIMEDOUT);
		CHECK(code == 0);
		CHECK(brief->taken == 0);
		if (brief->ops)
			BUMP(&s->after_ops);
		free(brief);
		CHECK(quire_owner_destroy(owner) == 0);
		for (size_t i = 0; i < COUNT_OF(folio); i++)
			quire_folio_put(folio[i]);
		BUMP(&s->detached);
	}
}

/* --- folios that are split, and those who look at them --- */

/* Each frame has the number of its place in the first whole, so that a part knows its content. */
static bool frames_are(const char *content, uint64_t first, unsigned order)
{
	for (uint64_t i = 0; i < 1u << order; i++)
		if (!content_is(content + i * 4096, first + i, 4096))
			return false;
	return true;
}

/* Splits what is at least of order 1, until all is of order 0, and lets all of it go. */
static void split_all(struct scene *s, struct quire_folio *folio, uint64_t first, uint64_t *seed)
{
	unsigned old = quire_folio_order(folio), order;
	struct quire_folio *part[64];
	struct quire_blocker who;
	char *content;
	int code;

	PUT(&s->shown, folio);
	while (old) {
		order = (unsigned)(prng(seed) % old);
		code = quire_folio_split(folio, order, part, &who);
		CHECK(code == 0 || code == -EBUSY || code == -EAGAIN || code == -EPERM);
		if (!code)
			break;
		if (code != -EPERM) {
			CHECK(who.why == QUIRE_REASON_REFERENCED ||
			      who.why == QUIRE_REASON_ISOLATED ||
			      who.why == QUIRE_REASON_SHORT_PIN);
			BUMP(&s->in_the_way);
		} else {
			BUMP(&s->splits);
		}
		CHECK(quire_folio_order(folio) == old);
		sched_yield();
	}
	PUT(&s->shown, NULL);
	if (old) {
		BUMP(&s->splits);
		for (size_t i = 0; i < 1u << (old - order); i++)
			split_all(s, part[i], first + (i << order), seed);
		return;
	}
	content = quire_pin(folio);
	CHECK(content && frames_are(content, first, 0));
	quire_unpin(folio);
	quire_folio_put(folio);
}

static void do_splits(void *arg)
{
	struct quire_folio *folio;
	struct scene *s = arg;
	uint64_t seed = s->seed + 2;
	char *content;
	int code;

	while (!SEE(&s->stop)) {
		unsigned order = 1 + (unsigned)(prng(&seed) % 6);

		code = quire_folio_create(s->parted.owner, order, &folio);
		CHECK(code == 0 || code == -ENOMEM);
		if (code)
			continue;
		content = quire_pin(folio);
		CHECK(content != NULL);
		for (uint64_t i = 0; content && i < 1u << order; i++)
			content_write(content + i * 4096, 1000000 + i, 4096);
		quire_unpin(folio);
		split_all(s, folio, 1000000, &seed);
	}
}

/* Whoever has a reference, or a pin, may rely on the size; a view tells its own. */
static void do_looks(void *arg)
{
	struct scene *s = arg;
	uint64_t seed = s->seed + 3;

	while (!SEE(&s->stop)) {
		struct quire_folio *folio;
		struct quire_view view;
		size_t bytes;
		uint64_t word, last;

		sched_yield();
		CHECK(quire_read_enter() == 0);
		folio = SEE(&s->shown);
		if (!folio || (prng(&seed) % 4)) {
			/* A view: its first and its last word belong together, if it is not stale.
			 */
			if (folio) {
				view = quire_view(folio);
				bytes = quire_view_bytes(view);
				if (view.data) {
					quire_read_bytes(&word, view.data, 8);
					quire_read_bytes(&last, view.data + bytes - 8, 8);
					BUMP(&s->looks);
				}
				(void)quire_view_stale(folio, view);
			}
			quire_read_leave();
			continue;
		}
		if (!quire_folio_get(folio)) {
			quire_read_leave();
			continue;
		}
		quire_read_leave();
		bytes = quire_folio_bytes(folio);
		CHECK(quire_pin(folio) != NULL);
		CHECK(quire_folio_bytes(folio) >= bytes); /* more: a split was taken back */
		quire_unpin(folio);
		CHECK(quire_folio_bytes(folio) >= bytes);
		quire_folio_put(folio);
		BUMP(&s->looks);
	}
}

static void plan_once(struct scene *s)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan = plan_of(s->q, 512, QUIRE_MAX);
	uint64_t counts[QUIRE_REASON_ROOM];
	int code;

	pthread_mutex_lock(&s->lock);
	s->plan = plan;
	pthread_mutex_unlock(&s->lock);
	code = quire_plan_execute(plan, QUIRE_BUDGET(.folio_ns = MSEC, .deadline_ns = 20 * MSEC),
				  &r);
	CHECK(code == 0 || code == -ETIMEDOUT);
	assert_int_equal(quire_plan_histogram(plan, counts), 0);
	pthread_mutex_lock(&s->lock);
	s->plan = NULL;
	pthread_mutex_unlock(&s->lock);
	quire_plan_destroy(plan);
	s->rounds++;
}

static void test_owners_that_make_it_hard(void **state)
{
	void (*const work[])(
		void *) = { do_jobs, do_moves, do_asks, do_deaths, do_splits, do_looks };
	struct hand hand[COUNT_OF(work)];
	static struct scene s;
	uint64_t rounds = number_of("QUIRE_STRESS_ROUNDS", 200);

	(void)state;
	memset(&s, 0, sizeof(s));
	s.seed = seed_of("owners", 20261121);
	s.q = make_quire(8);
	pthread_mutex_init(&s.lock, NULL);
	fill(&s);
	for (size_t i = 0; i < COUNT_OF(work); i++) {
		hand_start(&hand[i]);
		hand_post(&hand[i], work[i], &s);
	}
	while (!checks_failed() && (s.rounds < rounds || SEE(&s.moved) < 10 * rounds ||
				    SEE(&s.after_ops) < rounds / 4 || SEE(&s.detached) < rounds ||
				    SEE(&s.splits) < 10 * rounds || SEE(&s.looks) < rounds))
		plan_once(&s);
	PUT(&s.stop, 1u);
	for (size_t i = 0; i < COUNT_OF(work); i++)
		hand_stop(&hand[i]);
	printf("# owners: %u plans, %u moves, %u jobs, %u owners detached, %u after ops, ",
	       s.rounds, s.moved, s.fences, s.detached, s.after_ops);
	printf("blockers seen %u times, %u splits, %u in the way, %u vetoed, %u looks\n", s.asked,
	       s.splits, s.in_the_way, s.vetoed, s.looks);
	assert_int_equal(checks_failed(), 0);
	assert_true(s.fences > 0 && s.after_ops > 0);
	assert_ledger_closed(s.q);
	for (size_t o = 0; o < 3; o++) {
		assert_row_intact(s.item[o], FOLIOS);
		for (size_t i = 0; i < FOLIOS; i++)
			assert_item_ledger(&s.item[o][i]);
		drop_row(s.item[o], FOLIOS);
	}
	assert_int_equal(quire_reclaim(s.q), 0);
	assert_int_equal(s.gets, s.puts);
	assert_int_equal(s.idle, POOL);
	assert_frames_free(s.q, 8 * 512 - POOL);
	assert_nothing_claimed(s.q);
	end_quire(s.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_owners_that_make_it_hard),
	};

	return cmocka_run_group_tests_name("stress: owners", tests, NULL, NULL);
}

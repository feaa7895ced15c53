// SPDX-License-Identifier: MIT
/*
 * all.c: the budget, the movers, and the end: when everybody is quiet, all books agree and all
 * frames are free.
 *
 * QUIRE_SEED, QUIRE_STRESS_OPS (operations of all roles together).
 */
#include "all.h"

#include <inttypes.h>
#include <stdarg.h>

#define BLOCKS 24u
#define MOVERS 2u
/* Operations that a worker takes from the budget at once. */
#define SHARE 256u
#if QUIRE_TSAN_ /* some fifteen times as slow */
#define OPS 60000ull
#else
#define OPS 400000ull
#endif

static const struct role *const roles[] = {
	&kv_role, &gem_role, &ring_role, &pool_role, &guest_role,
};
#define ROLES COUNT_OF(roles)
#define WORKERS_MAX 16u

static struct all all_;
static uint64_t plans, runs, scattered;

uint64_t all_word(uint64_t a, uint64_t b)
{
	uint64_t state = a * 0x9e3779b97f4a7c15ull ^ b;

	return prng(&state);
}

void all_wrong(struct all *all, const char *format, ...)
{
	va_list args;

	if (BUMP(&all->wrong) > 20)
		return;
	va_start(args, format);
	printf("# wrong: ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

bool all_refused(struct all *all, const char *what, int error)
{
	if (!error)
		return false;
	if (error != -ENOMEM && error != -EBUSY && error != -EAGAIN && error != -ENOBUFS)
		all_wrong(all, "%s: %d", what, error);
	BUMP(&all->refused);
	return true;
}

void all_scatter(struct worker *w, struct quire_folio *folio)
{
	uint64_t r = prng(&w->random);
	unsigned order = quire_folio_order(folio);
	struct quire_move m = {
		.folio = folio,
		.to_set = 1,
		.to = quire_frame((uint32_t)((r >> 8) % (BLOCKS * 512)) >> order << order),
	};
	long n = quire_move_folios(w->all->q, &m, 1, (enum quire_mode)(r % 3), 2 * MSEC);

	if (n < 0 || n > 1 || (n == 1) != (m.code != 0))
		all_wrong(w->all, "moving a folio: %ld, %d", n, m.code);
	quire_fence_put(m.wait);
	BUMP(&scattered);
}

/* Takes up to SHARE operations out of the budget; 0: it is used up. */
static uint64_t take(struct all *all)
{
	uint64_t left = __atomic_load_n(&all->left, __ATOMIC_RELAXED), n;

	do {
		n = left < SHARE ? left : SHARE;
	} while (n && !__atomic_compare_exchange_n(&all->left, &left, left - n, false,
						   __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return n;
}

static void work(void *arg)
{
	struct worker *w = arg;
	uint64_t n;

	while (!SEE(&w->all->wrong) && (n = take(w->all))) {
		uint64_t done = w->role->work(w, n);

		w->ops += done;
		__atomic_fetch_add(&w->all->left, n - done, __ATOMIC_RELAXED);
	}
	__atomic_fetch_sub(&w->all->working, 1u, __ATOMIC_SEQ_CST);
}

/* As many runs as there can be, again and again: what is freed becomes a hole, so there always is
 * something to move. */
static void move(void *arg)
{
	static const enum quire_mode modes[] = { QUIRE_ASYNC, QUIRE_SYNC_LIGHT, QUIRE_SYNC };
	struct worker *w = arg;
	struct all *all = w->all;

	for (uint64_t i = w->number; SEE(&all->working); i++) {
		struct quire_result result = { .size = sizeof(result) };
		struct quire_plan *plan;
		int error = quire_plan_create(
			all->q,
			QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
			&plan);

		if (error) {
			all_wrong(all, "making a plan: %d", error);
			break;
		}
		error = quire_plan_execute(
			plan,
			QUIRE_BUDGET(.mode = modes[i % 3], .mode_set = 1, .folio_ns = 2 * MSEC),
			&result);
		if (error)
			all_wrong(all, "executing a plan: %d", error);
		quire_plan_destroy(plan);
		BUMP(&plans);
		__atomic_fetch_add(&runs, result.obtained, __ATOMIC_RELAXED);
	}
}

static void test_stress_all_owners(void **state)
{
	static struct worker workers[WORKERS_MAX], movers[MOVERS];
	struct all *all = &all_;
	struct quire_stats s;
	unsigned n = 0;

	(void)state;
	all->seed = seed_of("stress_all", 20261121);
	all->ops = number_of("QUIRE_STRESS_OPS", OPS);
	all->left = all->ops;
	all->q = make_quire(BLOCKS);
	for (size_t r = 0; r < ROLES; r++)
		roles[r]->begin(all);
	for (size_t r = 0; r < ROLES; r++) {
		for (unsigned i = 0; i < roles[r]->workers; i++) {
			struct worker *w = &workers[n++];

			assert_true(n <= WORKERS_MAX);
			w->all = all;
			w->role = roles[r];
			w->number = i;
			w->random = all->seed * 100 + n;
			hand_start(&w->hand);
		}
	}
	all->working = n;
	for (unsigned i = 0; i < MOVERS; i++) {
		movers[i].all = all;
		movers[i].number = i;
		hand_start(&movers[i].hand);
		hand_post(&movers[i].hand, move, &movers[i]);
	}
	for (unsigned i = 0; i < n; i++)
		hand_post(&workers[i].hand, work, &workers[i]);
	for (unsigned i = 0; i < n; i++)
		hand_join(&workers[i].hand);
	for (unsigned i = 0; i < MOVERS; i++)
		hand_join(&movers[i].hand);

	assert_int_equal(all->wrong, 0);
	assert_int_equal(all->left, 0);
	for (size_t r = ROLES; r-- > 0;)
		roles[r]->end(all);
	assert_int_equal(all->wrong, 0);
	for (unsigned i = 0; i < n; i++) {
		printf("# %s %u: %" PRIu64 " operations\n", workers[i].role->name,
		       workers[i].number, workers[i].ops);
		assert_true(workers[i].ops > 0 || all->ops < OPS);
	}
	assert_frames_free(all->q, BLOCKS * 512);
	assert_ledger_closed(all->q);
	s = stats_of(all->q);
	assert_int_equal(s.folios_created, s.folios_freed);
	assert_int_equal(s.owner_errors, 0);
	printf("# all: %" PRIu64 " operations; %" PRIu64 " folios, %" PRIu64 " isolated = %" PRIu64
	       " moved + %" PRIu64 " put back + %" PRIu64 " freed; %" PRIu64 " plans, %" PRIu64
	       " runs, %" PRIu64 " single moves; %" PRIu64 " refused; 0 wrong\n",
	       all->ops, s.folios_created, s.isolated, s.moved, s.putbacks, s.freed_isolated, plans,
	       runs, scattered, all->refused);
	assert_true(s.moved > 0 || all->ops < OPS);
	end_quire(all->q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stress_all_owners),
	};

	return cmocka_run_group_tests_name("stress_all", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * stress_serve.c: looks from outside while owners, folios and pins of every kind come and go and
 * everything moves: nothing that a look follows may have gone meanwhile. To be run under the
 * address and the thread sanitizer; without them it checks that each answer is one, and that no
 * owner is named that there was not.
 *
 * QUIRE_SEED chooses what they do, QUIRE_ROUNDS how often it is asked.
 */
#include "support.h"

#include "ask.h"

#include <sched.h>

#define BLOCKS 4u
#define OWNERS 6u
#define FOLIOS 40u
#define FRAMES 512u

struct life {
	struct quire *q;
	uint64_t random;
	unsigned stop; /* atomic */
	unsigned rounds;
	struct hand hand;
};

/* One generation: owners with folios, pinned by each other, all gone again. */
static void live(struct life *l)
{
	struct quire_owner *owner[OWNERS];
	struct quire_folio *folio[FOLIOS];
	struct quire_pin *pin[FOLIOS];
	char name[32];

	for (unsigned i = 0; i < OWNERS; i++) {
		snprintf(name, sizeof(name), "owner %u", i);
		CHECK(!quire_owner_create(l->q, name, NULL, NULL, &owner[i]));
	}
	for (unsigned i = 0; i < FOLIOS; i++) {
		folio[i] = NULL;
		pin[i] = NULL;
		CHECK(!quire_folio_create(owner[prng(&l->random) % OWNERS],
					  (unsigned)(prng(&l->random) % 4), &folio[i]));
		if (prng(&l->random) % 2)
			CHECK(!quire_pin_long(folio[i], owner[prng(&l->random) % OWNERS], &pin[i]));
		CHECK(quire_pin(folio[i]) != NULL);
		if (i % 7 == 0) { /* freed while it is pinned */
			struct quire_folio *freed = folio[i];

			quire_folio_put(freed);
			folio[i] = NULL;
			quire_unpin(freed);
		} else {
			quire_unpin(folio[i]);
		}
	}
	for (unsigned i = 0; i < FOLIOS; i++) {
		if (folio[i] && prng(&l->random) % 2) {
			quire_folio_put(folio[i]); /* freed, but pinned, perhaps */
			folio[i] = NULL;
		}
		quire_unpin_long(pin[i]);
		if (folio[i])
			quire_folio_put(folio[i]);
	}
	/* Those of whose folios a mover has a reference go with the next ones. */
	for (unsigned i = 0; i < OWNERS; i++)
		while (quire_owner_destroy(owner[i]))
			sched_yield();
	l->rounds++;
}

static void lives(void *life)
{
	struct life *l = life;

	while (!SEE(&l->stop))
		live(l);
}

static void moves(void *life)
{
	struct life *l = life;
	struct quire_plan *plan;

	while (!SEE(&l->stop)) {
		if (quire_plan_create(
			    l->q,
			    QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = FRAMES, .count = BLOCKS),
			    &plan))
			continue;
		(void)!quire_plan_execute(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1),
					  NULL);
		quire_plan_destroy(plan);
		l->rounds++;
	}
}

static void check_names(const struct served *s)
{
	const struct answer *a = s->a;

	for (size_t i = 0; i < a->owners; i++)
		assert_memory_equal(a->owner[i].name, "owner ", 6);
	for (size_t i = 0; i < a->holds; i++)
		if (*a->hold[i].owner)
			assert_memory_equal(a->hold[i].owner, "owner ", 6);
	for (size_t i = 0; i < a->plans; i++)
		for (size_t k = 0; k < a->plan[i].blockers; k++)
			if (*a->plan[i].blocker[k].owner)
				assert_memory_equal(a->plan[i].blocker[k].owner, "owner ", 6);
}

static void test_explain_while_everything_comes_and_goes(void **state)
{
	uint64_t rounds = number_of("QUIRE_ROUNDS", 300), seed = seed_of("looks", 3), holds = 0;
	static struct life life[2], mover;
	struct quire *q = make_quire(BLOCKS);
	struct served s;

	(void)state;
	serve(q, &s);
	for (unsigned i = 0; i < 2; i++) {
		life[i] = (struct life){ .q = q, .random = seed + i };
		hand_start(&life[i].hand);
		hand_post(&life[i].hand, lives, &life[i]);
	}
	mover = (struct life){ .q = q };
	hand_start(&mover.hand);
	hand_post(&mover.hand, moves, &mover);
	for (uint64_t i = 0; i < rounds; i++) {
		ask(&s);
		check_names(&s);
		holds += s.a->holds;
	}
	PUT(&life[0].stop, 1u);
	PUT(&life[1].stop, 1u);
	hand_stop(&life[0].hand);
	hand_stop(&life[1].hand);
	PUT(&mover.stop, 1u);
	hand_stop(&mover.hand);
	printf("# %llu holds seen; %u and %u generations, %u plans\n", (unsigned long long)holds,
	       life[0].rounds, life[1].rounds, mover.rounds);
	assert_true(holds && life[0].rounds && life[1].rounds && mover.rounds);
	serve_end(&s);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_explain_while_everything_comes_and_goes),
	};

	return cmocka_run_group_tests_name("stress_serve", tests, ask_setup, ask_teardown);
}

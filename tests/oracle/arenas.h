/* SPDX-License-Identifier: MIT */
/*
 * arenas.h: small random arenas for the oracle's and the planner's tests, from a seed.
 */
#ifndef QUIRE_TESTS_ARENAS_H
#define QUIRE_TESTS_ARENAS_H

#include "oracle.h"

/* splitmix64 */
struct arena_random {
	uint64_t state;
};

uint64_t arena_next(struct arena_random *random);
/* Uniform enough in [0, below); below is small and not 0. */
unsigned arena_below(struct arena_random *random, unsigned below);

/* The seed of a test program: QUIRE_SEED of the environment, else 1. Prints it. */
uint64_t arena_seed(const char *test);

enum arena_kind {
	ARENA_ORDER_0, /* single frames only */
	ARENA_MIXED,   /* orders 0 to that of the window */
};

struct arena_room {
	struct oracle_folio folios[ORACLE_BRUTE_FRAMES];
	struct oracle_arena arena; /* of these folios */
};

/*
 * 3 to 6 windows of 4 to 16 frames, empty to full, with no, few or many fixed folios. The folios
 * stand in random order.
 */
void arena_make(struct arena_random *random, enum arena_kind kind, struct arena_room *room);

/* Prints what it takes to see a failure by eye. */
void arena_print(const struct oracle_arena *arena);

/* assert_true() that shows the arena first. For programs that include cmocka.h. */
#define ARENA_CHECK(arena, what)                                                                   \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			arena_print(arena);                                                        \
			fail_msg("%s", #what);                                                     \
		}                                                                                  \
	} while (0)

#endif

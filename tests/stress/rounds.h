/* SPDX-License-Identifier: MIT */
/*
 * rounds.h: what the stress tests of single owners share: a seed that a failure names, content that
 * numbers determine, and movers that plan and execute without end, in all modes.
 */
#ifndef QUIRE_TESTS_STRESS_ROUNDS_H
#define QUIRE_TESTS_STRESS_ROUNDS_H

#include <inttypes.h>
#include <quire.h>

extern struct quire *q;
extern uint64_t seed, ops;
extern unsigned round_now;
extern unsigned stop_movers; /* atomic */
extern uint64_t plans;	     /* atomic: executed */

#define LOOK(at) __atomic_load_n((at), __ATOMIC_SEQ_CST)
#define SAY(at, what) __atomic_store_n((at), (what), __ATOMIC_SEQ_CST)
#define ADD(at, n) ((void)__atomic_fetch_add((at), (n), __ATOMIC_RELAXED))

/* Says what is wrong, in which round of which seed, and ends the program. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void equal(const char *what, uint64_t a, uint64_t b);

static inline uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static inline uint64_t next(uint64_t *state)
{
	return mix(++*state);
}

/* A thread: as many runs of 2 MiB as there can be, until stop_movers; arg: its number. */
void *mover(void *arg);

#endif

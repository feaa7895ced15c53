/* SPDX-License-Identifier: MIT */
/*
 * all.h: stress with every owner at once, in one quire, while two movers plan and execute without
 * end in all modes. Each role knows what its memory has to hold and looks.
 *
 * An operation is a call of a role into its owner whose outcome is checked. Roles take operations
 * from one budget, so that a run of 10^9 is one number.
 */
#ifndef QUIRE_TESTS_STRESS_ALL_H
#define QUIRE_TESTS_STRESS_ALL_H

#include "support.h"

#include <stdlib.h>

struct all {
	struct quire *q;
	uint64_t seed;
	uint64_t ops;	  /* the budget */
	uint64_t left;	  /* atomic: of it */
	unsigned working; /* atomic: workers that still run */
	uint64_t wrong;	  /* atomic: bytes, words, answers that were not as they had to be */
	uint64_t refused; /* atomic: calls that found no memory or no place; they change nothing */
};

struct worker {
	struct all *all;
	const struct role *role;
	unsigned number; /* within the role, from 0 */
	uint64_t random;
	uint64_t ops; /* done */
	struct hand hand;
};

struct role {
	const char *name;
	unsigned workers;
	/* Before anybody runs. */
	void (*begin)(struct all *all);
	/* Up to n operations; how many it did. */
	uint64_t (*work)(struct worker *worker, uint64_t n);
	/* Every worker and mover has ended: everything is looked at once more, and given back. */
	void (*end)(struct all *all);
};

extern const struct role kv_role, gem_role, ring_role, pool_role, guest_role;

/* Counts what was wrong, and says the first ones. */
void all_wrong(struct all *all, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 and what stands for "no room now": true, counted; anything else is wrong. */
bool all_refused(struct all *all, const char *what, int error);
/* Moves a folio of the worker's to some place, in some mode; what comes of it may be anything. */
void all_scatter(struct worker *worker, struct quire_folio *folio);
/* A well mixed function of two numbers: the content of everything. */
uint64_t all_word(uint64_t a, uint64_t b);

#endif

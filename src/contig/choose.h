/* SPDX-License-Identifier: MIT */
/*
 * choose.h: which windows to empty, and where their folios go. Pure: arrays in, choices out; the
 * window may have any length, so that tests can compare it with brute force on tiny arenas.
 *
 * The rule, which include/quire/plan.h promises: feasible windows by (cost, number); one is taken
 * if, with it, for every order j
 *
 *	sum over o >= j of moves_o * 2^(o-j)  <=  slots_j
 *
 * where moves_o counts the folios of order o in the windows taken, and slots_j the aligned free
 * 2^j places outside of them. Otherwise it is skipped, and the next one is tried. Where folios may
 * not leave their node, both sums are of one node, and the condition is to hold of each.
 */
#ifndef QUIRE_SRC_CONTIG_CHOOSE_H
#define QUIRE_SRC_CONTIG_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHOOSE_ORDERS 10
#define CHOOSE_NODES 16

/* What is looked at for every window: kept small, since there may be a million of them. */
struct choose_window {
	uint32_t cost; /* frames in use */
	bool feasible; /* nothing in it is known to stay */
	bool chosen;   /* out */
	uint8_t node;  /* whose folios and places these are; 0 if that is no matter */
};

_Static_assert(sizeof(struct choose_window) == 8, "eight of them in a line of the cache");

/* What is looked at only where a window might be taken. */
struct choose_counts {
	uint32_t moves[CHOOSE_ORDERS]; /* folios in it, by order */
	uint32_t slots[CHOOSE_ORDERS]; /* aligned free 2^j places in it; slots[0]: free frames */
};

struct choose_arena {
	struct choose_window *window; /* n of them */
	const struct choose_counts *counts;
	uint64_t slots[CHOOSE_NODES][CHOOSE_ORDERS]; /* the sums over all windows of a node */
	size_t n;
	uint32_t frames; /* of a window: the most that one can cost */
};

struct choose_result {
	uint64_t windows;
	uint64_t feasible;
	uint64_t frames;      /* to move */
	uint64_t lower_bound; /* frames in the `windows` cheapest feasible windows */
	uint64_t
		no_place; /* windows skipped for want of aligned places, before the count was met */
};

/*
 * Chooses up to count windows of an arena; order is for n numbers, those of the feasible windows in
 * the order of the rule. Windows that take part only as destinations are there with feasible =
 * false. 0 or -ENOMEM. Time: linear in n + frames.
 */
int choose_windows(const struct choose_arena *arena, uint64_t count, uint32_t *order,
		   struct choose_result *result);

/*
 * Free places, by order: best fit with splitting, as a buddy allocator's free lists. Places are
 * given out lowest address first within an order.
 */
struct places {
	uint32_t *at[CHOOSE_ORDERS]; /* stacks of first frames */
	size_t n[CHOOSE_ORDERS];
	size_t cap[CHOOSE_ORDERS];
};

void places_init(struct places *places);
void places_finish(struct places *places);
/* 0 or -ENOMEM. Add in ascending order of frames for "lowest first" to hold. */
int places_add(struct places *places, uint32_t frame, unsigned order);
/* 0, -ENOSPC, -ENOMEM. */
int places_take(struct places *places, unsigned order, uint32_t *frame);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * slide.h: where to make one run of any length, at any alignment. Pure: arrays in, a choice out;
 * a block's size is fixed, an arena may have any number of frames, so that tests can compare it
 * with brute force.
 *
 * A position is a first frame. It is feasible if none of its frames stays. Its cost is the sum of
 * the sizes of the folios that meet it, those that straddle its edges whole. It fits if for every
 * order j
 *
 *	sum over o >= j of moves_o * 2^(o-j)  <=  slots_j
 *
 * where moves_o counts the folios that meet it and need a place, and slots_j the aligned free 2^j
 * places that lie outside of it. Chosen is the cheapest feasible position that fits, of equals the
 * first; the lower bound is the cost of the cheapest feasible one.
 *
 * Time: linear in the frames. Two bounds keep most of them from being looked at one by one: the
 * frames in use that all positions of a block, of a word, have in common.
 */
#ifndef QUIRE_SRC_CONTIG_SLIDE_H
#define QUIRE_SRC_CONTIG_SLIDE_H

#include "contig/choose.h"
#include "util/bits.h"

struct slide_block {
	struct block_bits used;	 /* not free */
	struct block_bits live;	 /* of these, of folios that may move */
	struct block_bits head;	 /* of these, the first of each */
	struct block_bits lent;	 /* of these, of those that need no place of ours */
	struct block_bits fixed; /* what stays; no live frame is among them */
};

struct slide_goal {
	uint32_t frames; /* 1 or more */
	uint32_t align;	 /* a power of two */
	/* The blocks may be some of more: the number of their first frame, and places in the rest.
	 */
	uint32_t offset; /* a multiple of 512 */
	uint64_t elsewhere[CHOOSE_ORDERS];
};

struct slide_result {
	bool found;	/* something feasible that fits */
	uint32_t first; /* counted from the first of the blocks */
	uint64_t cost;
	bool cheaper;	      /* something cheaper is feasible, and does not fit */
	uint64_t lower_bound; /* 0 where nothing is feasible */
	uint64_t feasible;    /* positions */
};

/*
 * blocks: n of them, of 512 frames; the frames of the last one that are no frames are fixed. sums:
 * of the same blocks. 0 or -ENOMEM.
 */
int slide(const struct slide_block *blocks, const struct choose_counts *sums, uint32_t n,
	  const struct slide_goal *goal, struct slide_result *result);

#endif

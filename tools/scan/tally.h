/* SPDX-License-Identifier: MIT */
/*
 * tally.h: counts blocks: which are free, which hold only what may move, which are blocked, by
 *what.
 *
 * Invariants:
 *	blocks = free + movable + blocked       of the whole, and of each part
 *	blocked = sum of by_pages[]
 *	alone <= blocks, by_one <= alone        of each kind
 *	one map entry stands for `each` blocks, a power of two; used is their mean
 */
#ifndef SCAN_TALLY_H
#define SCAN_TALLY_H

#include "pages.h"
#include "term.h"

#define TALLY_MAP (1u << 14) /* entries of the map, at most */
#define TALLY_STEPS 5u

struct tally_kind {
	uint64_t pages;
	uint64_t blocks; /* that it blocks */
	uint64_t alone;	 /* that nothing else blocks */
	uint64_t by_one; /* that one single page of it blocks */
};

/* All memory, or one zone of it. */
struct tally_part {
	uint64_t blocks, free, movable, blocked;
	uint64_t pages_moved;	 /* that may move, in blocks that are not blocked */
	uint64_t frames_blocked; /* free frames in blocks that are */
};

struct tally {
	struct tally_kind kind[PAGE_COUNT];
	struct tally_part all;
	size_t parts;
	struct tally_part part[PAGES_ZONES + 1]; /* by zone; the last: what is in none */
	uint64_t by_pages[TALLY_STEPS];		 /* blocked blocks by how many pages do it */
	uint64_t per_cpu;    /* free frames in per-CPU lists, as they were at the start */
	uint64_t unmanaged;  /* frames that are there, and not the page allocator's */
	size_t map, in_last; /* entries; blocks that the last one stands for */
	uint64_t each;
	uint64_t last_used; /* frames in use, of the blocks of the last entry */
	struct heat heat[TALLY_MAP];
};

/* tally is all zero before. */
void tally_begin(struct tally *tally, const struct pages *pages);
void tally_block(struct tally *tally, const struct pages *pages, const struct pages_block *block);
/* After the last block. */
void tally_end(struct tally *tally);

/* by_pages[step] counts blocks that from up to `to` pages block. */
void tally_step(unsigned step, unsigned *from, unsigned *to);

/*
 * Blocks that would be free if all that may move lay as densely as it can, each zone for itself.
 * A bound: what may move need not fit into every gap, and pins cannot be seen from outside.
 */
uint64_t tally_at_best(const struct tally *tally);

#endif

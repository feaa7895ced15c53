/* SPDX-License-Identifier: MIT */
/*
 * blocks.h: which frames are in use: a lock-free allocator over blocks of 512 frames.
 *
 * A block has a field, one bit a frame, and a state, which counts the frames in use. Whoever
 * allocates counts first and then takes bits; whoever frees gives bits back first and then counts.
 * So at any moment
 *
 *	frames in use by the count  >=  set bits of the field			(1)
 *
 * and whoever has counted finds a clear bit; equal when nothing runs. The reference for a field and
 * a counter a block is LLFree (USENIX ATC '23); what is above the block here is not a tree but
 * eight lists of hints:
 *
 *	lists	one bitmap for each class and level of filling, and two for empty blocks. A block
 *		with free frames is marked in the list of its level, or in an emptier one (2);
 *		allocating leaves the mark where it is, freeing sets the right one, and a search
 *		that meets a wrong one puts it right. Where hints find nothing all states are looked
 *		at, so a thread that was stopped between two steps hides no memory.
 *	homes	each slot, that is each thread, goes on in the block it was in before, one for each
 *		class and group of orders, and others keep away from it while there is anything
 *		else, so that threads do not share cache lines.
 *	classes	what is to be pinned long goes to blocks of its own as long as there are empty ones:
 *		a block gets its class with the first frame that is used.
 *	filled	a block with a frame in use is filled, and stays so when it is empty, until
 *		blocks_free_hole(); one that never was, or is a hole again, has no memory. Those
 *		are the second of the lists for empty blocks: they are taken when there is no other.
 *		Where fill is set it is called before a frame of such a block is given out, by who
 *		has all of it in use for that moment.
 *
 * No operation waits: a thread that is stopped anywhere stops no other (test_blocks). An allocation
 * takes the fullest block that has a place, so that what is sparse gets sparser.
 */
#ifndef QUIRE_SRC_FRAME_BLOCKS_H
#define QUIRE_SRC_FRAME_BLOCKS_H

#include "util/bits.h"

#include <quire/base.h>

#define BLOCK_ORDER 9
#define BLOCK_LISTS 8
#define BLOCK_SLOTS 64

enum block_class {
	BLOCK_MOVABLE = 0,
	BLOCK_PINNED = 1, /* of what will be pinned long */
};
#define BLOCK_CLASSES 2
#define BLOCK_GROUPS 3 /* of orders: 0, 1 to 5, 6 to 8 */

/* A thread's; a cache line. */
struct block_slot {
	uint32_t home[BLOCK_CLASSES][BLOCK_GROUPS]; /* a block's number + 1; 0: none yet */
	uint32_t pad[16 - BLOCK_CLASSES * BLOCK_GROUPS];
};

/*
 * Of who watches the empty blocks, blocks_watch(): of one or more struct blocks. While nobody does,
 * nothing is counted.
 */
struct blocks_counts {
	uint32_t watch; /* atomic: enum blocks_watch */
	uint32_t below; /* atomic: low is called when a block is begun and fewer are empty */
	uint32_t empty; /* atomic: blocks with COUNTED in their state, none of which is in use */
	void (*low)(void *arg);
	void *low_arg;
};

struct blocks {
	uint32_t n;
	size_t words; /* of a list */
	struct block_bits *field;
	uint32_t *state;
	const void **claim; /* whose plan keeps allocations out, or NULL */
	uint64_t *list[BLOCK_LISTS];
	size_t *from; /* of each list a hint: the first word with a mark; a cache line of its own */
	void *memory; /* of all of these */
	uint64_t bytes;
	struct block_slot *slot;
	uint8_t *line; /* of each cache line of states: the slot + 1 that has homes there, or 0 */
	/* Brings memory behind a block; NULL: it comes by itself. After an error it has none. */
	int (*fill)(void *arg, uint32_t block);
	void *fill_arg;
	struct blocks_counts *counts;
};

/* n blocks, all free; counts are the caller's, zeroed at first. 0 or -ENOMEM. */
int blocks_init(struct blocks *blocks, uint32_t n, struct blocks_counts *counts);
void blocks_finish(struct blocks *blocks);

/*
 * An aligned place of 2^order frames, order 0 to 9. Blocks that are claimed serve only where
 * claimed_too says so, and nothing else is left. 0 or -ENOMEM.
 */
int blocks_alloc(struct blocks *blocks, unsigned order, enum block_class class, bool claimed_too,
		 uint32_t *frame);
/* That very place, claimed or not. -EINVAL: not aligned or outside; -EBUSY: not free. */
int blocks_alloc_at(struct blocks *blocks, unsigned order, enum block_class class, uint32_t frame);
/* Before: these frames are allocated, as one or in parts. */
void blocks_free(struct blocks *blocks, unsigned order, uint32_t frame);
/* A whole block that is free, claimed or not, to take its memory away. 0 or -EBUSY. */
int blocks_take_whole(struct blocks *blocks, uint32_t block);
/* Frees a whole block whose memory is gone: it is a hole. */
void blocks_free_hole(struct blocks *blocks, uint32_t block);

/* One of these will be called for that frame soon. */
static inline void blocks_prefetch(const struct blocks *blocks, uint32_t frame)
{
	__builtin_prefetch(
		&blocks->field[frame / QUIRE_BLOCK_FRAMES].word[frame / 64 % BLOCK_WORDS], 1);
	__builtin_prefetch(&blocks->state[frame / QUIRE_BLOCK_FRAMES], 1);
}

/* Keeps allocations out of n blocks from first on: all of them, or -EBUSY and none. What has
 * counted before it may still get its place. */
int blocks_claim(struct blocks *blocks, uint32_t first, uint32_t n, const void *who);
/* Lets them in again; blocks that are not who's stay as they are. */
void blocks_unclaim(struct blocks *blocks, uint32_t first, uint32_t n, const void *who);

/* Has it memory, or has it had none so far? Of fill's arrangement; else of no consequence. */
bool blocks_is_filled(const struct blocks *blocks, uint32_t block);
/* Who has it, or NULL. */
const void *blocks_claimed_by(const struct blocks *blocks, uint32_t block);
enum blocks_watch {
	BLOCKS_WATCH_OFF,
	BLOCKS_WATCH_TAKES, /* blocks that become empty later do not count */
	BLOCKS_WATCH_BOTH,  /* they do */
};
/*
 * Watches the empty blocks: from now on whoever begins one of those counted calls low, if fewer
 * than below are left by then. Returns how many there are, exactly: each block is counted in its
 * state, by the same atomic operation that finds it empty. One watcher; it may call again.
 */
uint32_t blocks_watch(struct blocks *blocks, enum blocks_watch watch, uint32_t below);

/* Another level for who watches; what became empty meanwhile is not counted. How many are empty. */
uint32_t blocks_watch_below(struct blocks_counts *counts, uint32_t below);
/* Is it empty, and one of those? */
bool blocks_is_counted(const struct blocks *blocks, uint32_t block);

bool blocks_is_claimed(const struct blocks *blocks, uint32_t block);
/*
 * Another number after each allocation and each free of frames of a block, and each
 * blocks_touch(), until it has come round after 2^18 of them.
 */
uint32_t blocks_stamp(const struct blocks *blocks, uint32_t block);
/* What lives in the block has changed, though no frame was taken or given. */
void blocks_touch(struct blocks *blocks, uint32_t block);
/* Free frames of a block, by its count: 512 means that nobody has or is about to have any. */
uint32_t blocks_free_of(const struct blocks *blocks, uint32_t block);
uint64_t blocks_free_frames(const struct blocks *blocks);
/* The field as it is; NULL is no claim. */
void blocks_look(const struct blocks *blocks, uint32_t block, struct block_bits *used,
		 uint32_t *free, const void **claim);

/*
 * NULL, or which of the invariants above does not hold, when nothing else runs. Adds to *counted
 * what counts->empty has to be, the sum over all of that counts.
 */
const char *blocks_validate(const struct blocks *blocks, uint32_t *counted);

#endif

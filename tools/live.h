/* SPDX-License-Identifier: MIT */
/*
 * live.h: which frames of a machine are allocated now, and in what allocation, while events say
 *what is allocated and freed.
 *
 * An allocation is 2^order aligned frames, order at most 9, with a tag of the caller's. Its frames
 *may be freed in parts, as Linux frees what it has split; with the last of them it is gone. What is
 * allocated while it is in use must have been freed, unseen: whatever had one of its frames is gone
 * then, whole.
 *
 * Invariants:
 *	frames = number of frames in use; used = number of blocks that have one
 *	block.used = number of its frames in use; a frame in use lies within its allocation
 */
#ifndef QUIRE_TOOLS_LIVE_H
#define QUIRE_TOOLS_LIVE_H

#include <stddef.h>
#include <stdint.h>

enum {
	LIVE_BLOCK = 512,
	LIVE_MAX_ORDER = 9,
	LIVE_MAX_BLOCKS = 1 << 17, /* 256 GiB, for which 344 MiB are needed */
};

struct live_block;

struct live {
	uint32_t max_blocks;
	struct live_block *blocks; /* in the order in which they are met */
	uint32_t nblocks, cap_blocks;
	uint32_t *table; /* open addressing; index into blocks + 1, 0: vacant */
	uint32_t table_size;
	uint64_t frames;
	uint32_t used;
	/* Called when an allocation is gone; may be NULL. */
	void (*gone)(void *arg, uint32_t tag);
	void *arg;
};

/* None is in use. At most max_blocks blocks are ever met, no more than LIVE_MAX_BLOCKS. */
void live_init(struct live *live, uint32_t max_blocks, void (*gone)(void *arg, uint32_t tag),
	       void *arg);
void live_finish(struct live *live);

/*
 * Allocated: how many frames were in use before, by allocations that are gone now; -ENOMEM, or
 * -EFBIG for more blocks than there may be.
 */
int live_add(struct live *live, uint64_t pfn, unsigned order, uint32_t tag);

/*
 * Freed: 2^order frames from pfn on, of whatever order. How many of them were in use; *parted is
 * set if an allocation lost some of its frames by that, and not all.
 */
uint64_t live_free(struct live *live, uint64_t pfn, unsigned order, int *parted);

/*
 * All that is in use, in ascending order: allocations that are whole, and single frames of those
 * that are not. 0; what each answered, if not 0; -ENOMEM.
 */
int live_each(const struct live *live,
	      int (*each)(void *arg, uint64_t pfn, unsigned order, uint32_t tag), void *arg);

#endif

// SPDX-License-Identifier: MIT
#include "live.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define VACANT UINT8_MAX

struct live_block {
	uint64_t number;
	uint16_t used;
	uint8_t order[LIVE_BLOCK]; /* of the allocation that a frame is in; VACANT: none */
	uint32_t tag[LIVE_BLOCK];
};

void live_init(struct live *live, uint32_t max_blocks, void (*gone)(void *arg, uint32_t tag),
	       void *arg)
{
	*live = (struct live){ .max_blocks = max_blocks, .gone = gone, .arg = arg };
}

void live_finish(struct live *live)
{
	free(live->blocks);
	free(live->table);
	*live = (struct live){ 0 };
}

/* Where the block is in the table, or where it would be. The table is at most half full. */
static uint32_t *table_slot(const struct live *live, uint64_t number)
{
	uint64_t i = (number * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

	for (;; i++) {
		uint32_t *slot = &live->table[i & (live->table_size - 1)];

		if (!*slot || live->blocks[*slot - 1].number == number)
			return slot;
	}
}

static struct live_block *find(const struct live *live, uint64_t number)
{
	const uint32_t *slot = live->table_size ? table_slot(live, number) : NULL;

	return slot && *slot ? &live->blocks[*slot - 1] : NULL;
}

static int make_room(struct live *live)
{
	uint32_t want = live->cap_blocks ? 2 * live->cap_blocks : 256;
	struct live_block *blocks;
	uint32_t *table;

	if (live->nblocks == live->max_blocks)
		return -EFBIG;
	if (live->blocks && live->nblocks < live->cap_blocks)
		return 0;
	want = want > live->max_blocks ? live->max_blocks : want;
	blocks = reallocarray(live->blocks, want, sizeof(*blocks));
	if (!blocks)
		return -ENOMEM;
	live->blocks = blocks;
	for (uint32_t size = 1024;; size *= 2) {
		if (size < 2 * want)
			continue;
		table = calloc(size, sizeof(*table));
		if (!table)
			return -ENOMEM;
		free(live->table);
		live->table = table;
		live->table_size = size;
		break;
	}
	live->cap_blocks = want;
	for (uint32_t i = 0; i < live->nblocks; i++)
		*table_slot(live, blocks[i].number) = i + 1;
	return 0;
}

static int obtain(struct live *live, uint64_t number, struct live_block **block)
{
	int err;

	*block = find(live, number);
	if (*block)
		return 0;
	err = make_room(live);
	if (err)
		return err;
	*block = &live->blocks[live->nblocks];
	(*block)->number = number;
	(*block)->used = 0;
	for (unsigned i = 0; i < LIVE_BLOCK; i++)
		(*block)->order[i] = VACANT;
	*table_slot(live, number) = ++live->nblocks;
	return 0;
}

static void clear(struct live *live, struct live_block *b, unsigned i)
{
	b->order[i] = VACANT;
	b->used--;
	live->frames--;
	live->used -= !b->used;
}

/* The first frame of the allocation that frame i is in. */
static unsigned head(const struct live_block *b, unsigned i)
{
	return i & ~((1u << b->order[i]) - 1);
}

static bool is_within(const struct live_block *b, unsigned i, unsigned order, uint32_t tag)
{
	return b->order[i] == order && b->tag[i] == tag;
}

/*
 * Takes frames [from, to) from the allocation that frame i is in, as far as they are in it; true if
 * it is gone then.
 */
static bool take(struct live *live, struct live_block *b, unsigned i, unsigned from, unsigned to)
{
	unsigned order = b->order[i], first = head(b, i), end = first + (1u << order);
	uint32_t tag = b->tag[i];
	bool left = false;

	for (unsigned k = first; k < end; k++) {
		if (!is_within(b, k, order, tag))
			continue;
		if (k >= from && k < to)
			clear(live, b, k);
		else
			left = true;
	}
	if (!left && live->gone)
		live->gone(live->arg, tag);
	return !left;
}

int live_add(struct live *live, uint64_t pfn, unsigned order, uint32_t tag)
{
	unsigned from = (unsigned)(pfn % LIVE_BLOCK), to = from + (1u << order);
	struct live_block *b;
	uint64_t before = live->frames;
	int err = obtain(live, pfn / LIVE_BLOCK, &b), taken;

	if (err)
		return err;
	for (unsigned i = from; i < to; i++)
		if (b->order[i] != VACANT)
			(void)take(live, b, i, 0, LIVE_BLOCK);
	for (unsigned i = from; i < to; i++) {
		b->order[i] = (uint8_t)order;
		b->tag[i] = tag;
	}
	taken = (int)(before - live->frames);
	live->used += !b->used;
	b->used = (uint16_t)(b->used + (1u << order));
	live->frames += UINT64_C(1) << order;
	return taken;
}

uint64_t live_free(struct live *live, uint64_t pfn, unsigned order, int *parted)
{
	uint64_t before = live->frames, left = UINT64_C(1) << order;

	while (left) {
		unsigned from = (unsigned)(pfn % LIVE_BLOCK);
		unsigned n = left < LIVE_BLOCK - from ? (unsigned)left : LIVE_BLOCK - from;
		struct live_block *b = find(live, pfn / LIVE_BLOCK);

		for (unsigned i = from; b && b->used && i < from + n; i++)
			if (b->order[i] != VACANT && !take(live, b, i, from, from + n))
				*parted = 1;
		pfn += n;
		left -= n;
	}
	return before - live->frames;
}

static int by_number(const void *a, const void *b)
{
	const struct live_block *const *x = a, *const *y = b;

	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static bool is_whole(const struct live_block *b, unsigned i)
{
	if (head(b, i) != i)
		return false;
	for (unsigned k = i; k < i + (1u << b->order[i]); k++)
		if (!is_within(b, k, b->order[i], b->tag[i]))
			return false;
	return true;
}

int live_each(const struct live *live,
	      int (*each)(void *arg, uint64_t pfn, unsigned order, uint32_t tag), void *arg)
{
	const struct live_block **sorted = calloc(live->nblocks + 1u, sizeof(struct live_block *));
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < live->nblocks; i++)
		sorted[i] = &live->blocks[i];
	qsort(sorted, live->nblocks, sizeof(struct live_block *), by_number);
	for (uint32_t n = 0; n < live->nblocks && !err; n++) {
		const struct live_block *b = sorted[n];

		for (unsigned i = 0, order; i < LIVE_BLOCK && b->used && !err; i += 1u << order) {
			order = 0;
			if (b->order[i] == VACANT)
				continue;
			if (is_whole(b, i))
				order = b->order[i];
			err = each(arg, b->number * LIVE_BLOCK + i, order, b->tag[i]);
		}
	}
	free(sorted);
	return err;
}

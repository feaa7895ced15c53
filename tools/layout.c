/* SPDX-License-Identifier: MIT */
/*
 * layout.c: from bytes to a checked layout, in one pass.
 *
 *	lines_next() -> parse_line() -> add_item() -> arrange()
 *
 * Each line is checked as it comes, an overlap against one bitmap a block, so that the first wrong
 * line is the one that is named, and so that a small file that decompresses to very much ends at
 * its first repetition or at a limit. What is held at any time: what lines.h holds, 8 bytes an
 * item, 80 bytes a block.
 */
#include "layout.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"

#define PFN_BITS 52 /* a 64-bit address in frames of 4 KiB */

struct block {
	uint64_t number;
	uint64_t used[LAYOUT_BLOCK_FRAMES / 64];
};

struct reader {
	struct lines in;
	const struct layout_limits *limits;

	struct block *blocks; /* in the order in which they are met */
	uint32_t nblocks, cap_blocks;
	uint32_t *table; /* open addressing; index into blocks + 1, 0: vacant */
	uint32_t table_size;
	struct layout_item *items; /* block: index into blocks, until arrange() */
	size_t n, cap;
	uint64_t live_frames;
};

static int parse_line(struct reader *r, const unsigned char *line, size_t length, uint64_t *pfn,
		      uint64_t *order, uint64_t *type)
{
	struct lines_field fields[3] = { 0 };
	int error = lines_fields(&r->in, line, length, fields, 3, "PFN ORDER MIGRATETYPE");

	if (!error)
		error = lines_number(&r->in, &fields[0], "PFN", 16, (UINT64_C(1) << PFN_BITS) - 1,
				     pfn);
	if (!error)
		error = lines_number(&r->in, &fields[1], "ORDER", 10, LAYOUT_BLOCK_ORDER, order);
	if (!error)
		error = lines_number(&r->in, &fields[2], "MIGRATETYPE", 10, LAYOUT_TYPES - 1, type);
	if (!error && *pfn & ((UINT64_C(1) << *order) - 1))
		error = lines_fail(&r->in, -EINVAL, "PFN %llx is not aligned to its order %llu",
				   (unsigned long long)*pfn, (unsigned long long)*order);
	return error;
}

/* Grows an array to twice its capacity, bounded by max, which is above it. */
static int grow(struct reader *r, void **array, size_t *cap, size_t max, size_t size)
{
	size_t want = *cap ? 2 * *cap : 1024;
	void *p;

	if (want > max)
		want = max;
	p = reallocarray(*array, want, size);
	if (!p)
		return lines_no_memory(&r->in);
	*array = p;
	*cap = want;
	return 0;
}

/* Where the block is in the table, or where it would be. */
static uint32_t *table_slot(struct reader *r, uint64_t number)
{
	uint64_t i = (number * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

	for (;; i++) {
		uint32_t *slot = &r->table[i & (r->table_size - 1)];

		if (!*slot || r->blocks[*slot - 1].number == number)
			return slot;
	}
}

/* The table is a power of two and at most half full, so that table_slot() ends. */
static int grow_table(struct reader *r)
{
	uint32_t size = r->table_size ? 2 * r->table_size : 4096;

	free(r->table);
	r->table_size = size;
	r->table = calloc(size, sizeof(*r->table));
	if (!r->table)
		return lines_no_memory(&r->in);
	for (uint32_t i = 0; i < r->nblocks; i++)
		*table_slot(r, r->blocks[i].number) = i + 1;
	return 0;
}

static int find_block(struct reader *r, uint64_t number, uint32_t *index)
{
	void *array = r->blocks;
	size_t cap = r->cap_blocks;
	uint32_t *slot;
	int error;

	if (r->nblocks >= r->table_size / 2) {
		error = grow_table(r);
		if (error)
			return error;
	}
	slot = table_slot(r, number);
	if (*slot) {
		*index = *slot - 1;
		return 0;
	}
	if (r->nblocks >= r->limits->blocks)
		return lines_fail(&r->in, -EFBIG, "more than %u blocks of %d frames",
				  r->limits->blocks, LAYOUT_BLOCK_FRAMES);
	if (r->nblocks == cap) {
		error = grow(r, &array, &cap, r->limits->blocks, sizeof(*r->blocks));
		if (error)
			return error;
		r->blocks = array;
		r->cap_blocks = (uint32_t)cap;
	}
	r->blocks[r->nblocks] = (struct block){ .number = number };
	*index = r->nblocks++;
	*slot = r->nblocks;
	return 0;
}

static int add_item(struct reader *r, uint64_t pfn, unsigned order, unsigned type)
{
	unsigned offset = (unsigned)(pfn % LAYOUT_BLOCK_FRAMES);
	void *array = r->items;
	uint32_t index = 0;
	int error;

	if (r->n >= r->limits->items)
		return lines_fail(&r->in, -EFBIG, "more than %zu allocations", r->limits->items);
	error = find_block(r, pfn / LAYOUT_BLOCK_FRAMES, &index);
	if (error)
		return error;
	for (unsigned f = offset; f < offset + (1u << order); f++) {
		uint64_t *word = &r->blocks[index].used[f / 64], bit = UINT64_C(1) << f % 64;

		if (*word & bit)
			return lines_fail(&r->in, -EINVAL, "frame %llx is in use by a line above",
					  (unsigned long long)pfn - offset + f);
		*word |= bit;
	}
	if (r->n == r->cap) {
		error = grow(r, &array, &r->cap, r->limits->items, sizeof(*r->items));
		r->items = array;
		if (error)
			return error;
	}
	r->items[r->n++] = (struct layout_item){
		.block = index,
		.offset = (uint16_t)offset,
		.order = (uint8_t)order,
		.type = (uint8_t)type,
	};
	r->live_frames += UINT64_C(1) << order;
	return 0;
}

struct ranked {
	uint64_t number;
	uint32_t index;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static uint64_t item_key(const struct layout_item *item)
{
	return (uint64_t)item->block * LAYOUT_BLOCK_FRAMES + item->offset;
}

static int compare_items(const void *a, const void *b)
{
	uint64_t x = item_key(a), y = item_key(b);

	return (x > y) - (x < y);
}

/* Numbers the blocks densely, in ascending order, and sorts the items. */
static int arrange(struct reader *r)
{
	struct ranked *ranked = calloc(r->nblocks, sizeof(*ranked));
	uint32_t *rank = calloc(r->nblocks, sizeof(*rank));
	bool sorted = true;
	int error = 0;

	if (!ranked || !rank) {
		error = lines_no_memory(&r->in);
		goto out;
	}
	for (uint32_t i = 0; i < r->nblocks; i++)
		ranked[i] = (struct ranked){ .number = r->blocks[i].number, .index = i };
	qsort(ranked, r->nblocks, sizeof(*ranked), compare_ranked);
	for (uint32_t i = 0; i < r->nblocks; i++)
		rank[ranked[i].index] = i;
	for (size_t i = 0; i < r->n; i++) {
		r->items[i].block = rank[r->items[i].block];
		sorted = sorted && (!i || compare_items(&r->items[i - 1], &r->items[i]) < 0);
	}
	/* Recorded files are sorted already. */
	if (!sorted)
		qsort(r->items, r->n, sizeof(*r->items), compare_items);
out:
	free(rank);
	free(ranked);
	return error;
}

static int read_items(struct reader *r)
{
	const unsigned char *line = NULL;
	uint64_t pfn = 0, order = 0, type = 0;
	size_t length = 0;
	int error;

	while ((error = lines_next(&r->in, &line, &length)) > 0) {
		error = parse_line(r, line, length, &pfn, &order, &type);
		if (!error)
			error = add_item(r, pfn, (unsigned)order, (unsigned)type);
		if (error)
			break;
	}
	if (!error && !r->n)
		error = lines_fail(&r->in, -EINVAL, "empty: no allocation in it");
	return error;
}

int layout_read_within(const char *path, const struct layout_limits *limits, struct layout *l,
		       char *err, size_t err_size)
{
	struct reader r = { .in = { .path = path, .err = err, .err_size = err_size, .fd = -1 },
			    .limits = limits };
	char *name = NULL;
	int error;

	*l = (struct layout){ 0 };
	if (err && err_size)
		err[0] = 0;
	if (!limits->items || limits->items > LAYOUT_MAX_ITEMS || !limits->blocks ||
	    limits->blocks > LAYOUT_MAX_BLOCKS)
		return lines_fail(&r.in, -EINVAL, "limits out of range");
	error = lines_open(&r.in, path, err, err_size);
	if (!error)
		error = read_items(&r);
	if (!error)
		error = arrange(&r);
	if (!error) {
		name = lines_name(path, ".live.zst");
		if (!name)
			error = lines_no_memory(&r.in);
	}
	if (!error) {
		*l = (struct layout){
			.name = name,
			.n = r.n,
			.items = r.items,
			.blocks = r.nblocks,
			.live_frames = r.live_frames,
		};
		r.items = NULL;
	}
	lines_close(&r.in);
	free(r.items);
	free(r.table);
	free(r.blocks);
	return error;
}

int layout_read(const char *path, struct layout *l, char *err, size_t err_size)
{
	static const struct layout_limits limits = {
		.items = LAYOUT_MAX_ITEMS,
		.blocks = LAYOUT_MAX_BLOCKS,
	};

	return layout_read_within(path, &limits, l, err, err_size);
}

void layout_finish(struct layout *l)
{
	free(l->name);
	free(l->items);
	*l = (struct layout){ 0 };
}

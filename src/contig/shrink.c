// SPDX-License-Identifier: MIT
/*
 * shrink.c: free blocks go back to the system, so that what is resident follows what lives; and
 * blocks in use become 2 MiB pages.
 */
#include "core/instance.h"
#include "frame/node.h"

#include <errno.h>
#include <quire/instance.h>

static int64_t give_back(struct quire *q, uint32_t first, uint32_t end, uint64_t bytes)
{
	uint64_t given = 0;

	if (bytes)
		(void)quire_reclaim(q);
	/* From the end: the allocator begins at the start, and will miss these last. */
	for (uint32_t b = end; b-- > first && given < bytes;) {
		int64_t n = node_give_back(q->node, b);

		if (n < 0 && !given)
			return n;
		if (n < 0)
			break;
		given += (uint64_t)n;
	}
	count(q, given_back_bytes, given);
	return (int64_t)given;
}

int64_t quire_give_back(struct quire *q, uint64_t bytes)
{
	if (!q)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	return give_back(q, 0, node_blocks(q->node), bytes);
}

int64_t quire_node_give_back(struct quire *q, uint32_t number, uint64_t bytes)
{
	const struct node *node;

	if (!q || number >= q->node->count)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	node = &q->node->node[number];
	return give_back(q, node->first, node->first + node->blocks.n, bytes);
}

/* Blocks with from to below end frames in use; the bytes that became 2 MiB pages. */
static uint64_t collapse(struct quire *q, uint32_t from, uint32_t end, uint64_t bytes)
{
	uint64_t done = 0;

	for (uint32_t b = 0; b < node_blocks(q->node) && done < bytes; b++) {
		uint32_t used = QUIRE_BLOCK_FRAMES - node_free_of(q->node, b);
		int64_t n = used >= from && used < end ? node_collapse(q->node, b) : 0;

		/* Pinned, or no page just now: that may be otherwise for the next block. */
		if (n > 0)
			done += (uint64_t)n;
	}
	return done;
}

/* The fullest first, as far as a few passes can tell. */
int64_t quire_collapse(struct quire *q, uint32_t used_min, uint64_t bytes)
{
	static const uint32_t level[] = { 385, 257, 129, 1 };
	uint32_t end = QUIRE_BLOCK_FRAMES + 1, from;
	uint64_t done = 0;

	if (!q || !used_min || used_min > QUIRE_BLOCK_FRAMES)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	for (unsigned i = 0; i < sizeof(level) / sizeof(level[0]) && end > used_min; i++) {
		from = level[i] > used_min ? level[i] : used_min;
		if (done < bytes)
			done += collapse(q, from, end, bytes - done);
		end = from;
	}
	count(q, collapsed_bytes, done);
	return (int64_t)done;
}

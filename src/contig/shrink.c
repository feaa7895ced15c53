// SPDX-License-Identifier: MIT
/*
 * shrink.c: free blocks go back to the system, so that what is resident follows what lives.
 */
#include "core/instance.h"
#include "frame/node.h"

#include <errno.h>
#include <quire/instance.h>

int64_t quire_give_back(struct quire *q, uint64_t bytes)
{
	uint64_t given = 0;

	if (!q)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	if (bytes)
		(void)quire_reclaim(q);
	/* From the end: the allocator begins at the start, and will miss these last. */
	for (uint32_t b = node_blocks(q->node); b-- > 0 && given < bytes;) {
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

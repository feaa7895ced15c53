/* SPDX-License-Identifier: MIT */
/*
 * copylimit.h: how fast this machine can copy these pages in this order, if that is all it does.
 */
#ifndef SQUEEZE_COPYLIMIT_H
#define SQUEEZE_COPYLIMIT_H

#include <stddef.h>
#include <stdint.h>

struct copy {
	uint32_t from, to; /* frames */
	uint32_t frames;
};

/*
 * Bytes a second, the median of a few rounds over a memory file of its own; 0 for no copies, and
 * -errno where there is no memory for it. stop, if it becomes true, ends it early.
 */
int copy_limit(const struct copy *copies, size_t n, uint64_t arena_frames, const volatile int *stop,
	       double *bytes_per_second);

#endif

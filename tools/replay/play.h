/* SPDX-License-Identifier: MIT */
/*
 * play.h: a trace happens again, in an arena.
 *
 * What was unmovable is made with .pinned_long, and is pinned by an owner that cannot be asked
 * until it is freed; all else has owners without a say, and may always move. In each page stand
 * some words that follow from the seed, the allocation and the page; they are looked at whenever
 * something is freed, and at the end.
 */
#ifndef REPLAY_PLAY_H
#define REPLAY_PLAY_H

#include <quire.h>
#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

struct play_options {
	uint32_t blocks; /* of the arena */
	uint64_t seed;
	uint64_t every; /* compact after so many events; 0: never */
	/* Told now and then; other than 0 ends it. */
	int (*step)(void *arg, const char *label, uint64_t done, uint64_t all);
	void *arg;
};

/* Blocks that hold something. */
struct play_use {
	uint32_t end, unmovable; /* at the end; of these, with something unmovable */
	uint32_t most;
	double mean;
};

struct play_result {
	struct play_use use;   /* as the allocator left it */
	struct play_use after; /* and after all was squeezed; mean and most are 0 */
	uint32_t least;	       /* blocks that the oracle needs; after.end is to be that */
	bool played;	       /* to the last event */
	bool squeezed;
	uint64_t frames;	 /* in use at the end */
	uint64_t refused;	 /* allocations that found no place */
	uint64_t plans;		 /* executed on the way */
	uint64_t planned_bytes;	 /* moved by those */
	uint64_t squeezed_bytes; /* and when all was squeezed */
	uint64_t pages;		 /* whose content was compared */
	uint64_t wrong;		 /* of these */
	double seconds;		 /* until the last event */
	char why[128];		 /* what else is wrong; "": nothing */
};

/* 0, -ECANCELED if step said so, or -errno; *what then says what failed. */
int play(const struct trace *trace, const struct play_options *options, struct play_result *result,
	 const char **what);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * extent.h: the extents of an instance: runs of frames that are in use, and no folio lives there.
 *
 *	the table is sorted by first frame; no two overlap; all their frames are in use, tag 0
 *	frames = sum of the extents' frames
 *
 * Lock order: the table's lock is taken before the owners'; the allocator's steps are under it.
 */
#ifndef QUIRE_SRC_FOLIO_EXTENT_H
#define QUIRE_SRC_FOLIO_EXTENT_H

#include "core/instance.h"

#include <quire/extent.h>

struct quire_extent {
	struct quire *q;
	struct quire_owner *owner; /* which it keeps */
	const char *site;	   /* where it was asked for */
	const void *maker;	   /* the plan, until the caller takes it over; only compared */
	uint64_t since;
	uint32_t first, frames;
	int tid;
};

extern const struct quire_layer extents_layer;

/*
 * Takes these frames, all of which are free. 0; -EBUSY: not all of them are, and none is taken;
 * -ENOMEM.
 */
int extent_make(struct quire_owner *owner, uint32_t first, uint32_t frames, const char *site,
		const void *maker, struct quire_extent **extent);

/* It is the plan's no more. */
void extent_hand_over(struct quire_extent *extent);

/* Copies of all of them, by first frame; to be finished. 0 or -ENOMEM. */
struct extents_seen {
	struct quire_extent *at;
	size_t n;
};
int extents_look(struct quire *q, struct extents_seen *seen);
void extents_finish_look(struct extents_seen *seen);
/* The one that has this frame, or NULL. */
const struct quire_extent *extents_find(const struct extents_seen *seen, uint32_t frame);
/* What it says of the one that has it; frame is where it is in the way. */
void extent_describe(const struct quire_extent *extent, uint32_t frame, struct quire_blocker *who);

/* Calls fn for each, under the table's lock: nothing of an extent may be called there. */
void extents_each(struct quire *q, void (*fn)(const struct quire_extent *extent, void *arg),
		  void *arg);
uint64_t extents_frames(struct quire *q);
/* Frames of extents in a block. */
uint32_t extents_in_block(struct quire *q, uint32_t block);
/* NULL, or which of the invariants above does not hold. When nothing else runs. */
const char *extents_validate(struct quire *q);

#endif

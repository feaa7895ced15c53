/* SPDX-License-Identifier: MIT */
/*
 * extent.h: a contiguous run of frames that a plan made and handed out, of any length.
 *
 * A goal with an owner (QUIRE_GOAL_*, .owner) asks for it: each run that its execution obtains is
 * taken, in one step with its becoming free, so that nobody else is given a frame of it. An extent
 * never moves and has no reference count: it stays until quire_extent_free(). To other plans it is
 * in the way, and named: by its owner, where it was asked for, and since when.
 *
 * What is in its frames at first is what was there before; they may be resident or not.
 */
#ifndef QUIRE_EXTENT_H
#define QUIRE_EXTENT_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quire_extent;

/* Its first frame; how many there are. */
QUIRE_EXPORT struct quire_frame quire_extent_frame(const struct quire_extent *extent);
QUIRE_EXPORT uint64_t quire_extent_frames(const struct quire_extent *extent);

/*
 * The address of its memory in the direct map, quire_extent_frames() * 4096 bytes that lie there
 * as long as the extent: no pin is needed. NULL in a child of fork().
 */
QUIRE_EXPORT void *quire_extent_data(const struct quire_extent *extent);

QUIRE_EXPORT struct quire_owner *quire_extent_owner(const struct quire_extent *extent);

/*
 * Keeps of it only frames frames, from the skip-th (0: the first) on, and gives back the others,
 * which are ordinary free memory at once. Where one thread does that, no other may use the extent.
 * -EINVAL: frames is 0, or there are not so many; -ENXIO: in a child of fork()
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_extent_trim(struct quire_extent *extent, uint64_t skip,
						  uint64_t frames);

/* Gives all of it back; free(NULL), and free() in a child of fork(), do nothing. */
QUIRE_EXPORT void quire_extent_free(struct quire_extent *extent);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * fenced.h: the folios of a plan that wait for a fence of their owner. They sit out its rounds
 * until the fence was signaled.
 *
 * A folio is known by its address and by the frame and the version of its word: moved, freed or
 * made anew it is another one, and an entry of it means nothing any more. The fences are kept until
 * the plan's end, since its blockers show their names.
 */
#ifndef QUIRE_SRC_CONTIG_FENCED_H
#define QUIRE_SRC_CONTIG_FENCED_H

#include "folio/folios.h"

#include <quire/fence.h>

#define FENCED_NO_WINDOW UINT32_MAX

struct fenced_folio {
	struct quire_folio *folio; /* what the entries are sorted by, so it stays */
	bool done;		   /* it was taken up again */
	uint64_t word;		   /* its frame, order and version */
	struct quire_fence *fence; /* one of held */
	uint32_t window;	   /* the number among the chosen, or FENCED_NO_WINDOW */
	struct quire_blocker who;
};

struct fenced {
	struct fenced_folio *at; /* the first `sorted` by address */
	size_t n, sorted, capacity;
	struct quire_fence **held;
	size_t held_n, held_capacity;
};

/* Keeps a fence, whose reference becomes the plan's. 0 or -ENOMEM, and then it stays the caller's.
 */
int fenced_hold(struct fenced *f, struct quire_fence *fence);
/* A folio that is at frame waits for a fence that is held. 0 or -ENOMEM: it will be just tried. */
int fenced_add(struct fenced *f, struct quire_folio *folio, struct quire_frame frame,
	       struct quire_fence *fence, uint32_t window, const struct quire_blocker *who);
/* Before a round: what was taken up, or is another folio by now, is forgotten. */
void fenced_sort(struct fenced *f);
/* The entry of a folio that waits, or NULL; only what was there at the latest sort. */
struct fenced_folio *fenced_find(const struct fenced *f, const struct quire_folio *folio);
/* Is the folio of the entry still the same, and where it was? */
bool fenced_valid(const struct fenced_folio *entry);
/* Drops everything, the fences too. */
void fenced_finish(struct fenced *f);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * survey.h: one look at the arena, for a plan: what lives in which window, what is known to stay,
 * who has what. Nothing is locked for longer than a look at one block.
 */
#ifndef QUIRE_SRC_CONTIG_SURVEY_H
#define QUIRE_SRC_CONTIG_SURVEY_H

#include "contig/cache.h"
#include "contig/plan.h"
#include "contig/slide.h"
#include "folio/extent.h"
#include "frame/node.h"

struct survey {
	struct quire_plan *plan;
	struct node_block *block;
	struct choose_window *window; /* the last one may stand for an incomplete tail */
	struct choose_counts *counts; /* of each window */
	uint64_t slots[CHOOSE_NODES][CHOOSE_ORDERS]; /* in all windows of a node */
	uint32_t windows;
	struct slide_block *slide; /* of a RUN */
	uint64_t *taken;	   /* a bit for each block that others have, or are to have first */
	struct extents_seen extents;
	struct cached *cached;	       /* of each block, or NULL */
	struct quire_blocker *blocker; /* by frame */
	size_t blocker_count, blocker_capacity;
	struct hazards hazards; /* at its start */
};

/* 0 or -ENOMEM; after 0 it is to be finished. */
int survey(struct quire_plan *plan, struct survey *s);
void survey_finish(struct survey *s);

static inline bool survey_taken(const struct survey *s, uint32_t block)
{
	return s->taken[block / 64] >> (block % 64) & 1;
}

#endif

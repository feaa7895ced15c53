/* SPDX-License-Identifier: MIT */
/*
 * plan.h: what a plan consists of, shared by its making (survey.c, plan.c), its execution
 * (execute.c), and what says who is in its way (blockers.c).
 */
#ifndef QUIRE_SRC_CONTIG_PLAN_H
#define QUIRE_SRC_CONTIG_PLAN_H

#include "contig/choose.h"
#include "contig/fenced.h"
#include "core/instance.h"
#include "folio/extent.h"

#include <pthread.h>
#include <quire/plan.h>

/* One folio that is to move. dst is NONE where no place is planned, or once it was handed on. */
struct plan_move {
	uint32_t src;
	uint32_t dst;
	uint8_t order;
	bool reserved; /* the frames at dst are allocated for this move */
	bool lent;     /* its owner finds the place */
};

/* Frames that are to be free at once. */
struct plan_window {
	uint32_t first;
	uint32_t frames;
	uint32_t cost;
	bool claimed; /* all blocks that it meets */
	bool failed;
	bool taken;	/* it is an extent of the plan by now */
	uint64_t moved; /* bytes moved out of it */
};

static inline uint32_t window_first_block(const struct plan_window *w)
{
	return w->first / QUIRE_BLOCK_FRAMES;
}

/* Behind its last one. */
static inline uint32_t window_end_block(const struct plan_window *w)
{
	return (w->first + w->frames - 1) / QUIRE_BLOCK_FRAMES + 1;
}

/* The frames of block b, one of its own, that are in it: from *from to below *end. */
static inline void window_span(const struct plan_window *w, uint32_t b, unsigned *from,
			       unsigned *end)
{
	uint32_t first = b * QUIRE_BLOCK_FRAMES, last = w->first + w->frames - first;

	*from = w->first > first ? w->first - first : 0;
	*end = last < QUIRE_BLOCK_FRAMES ? last : QUIRE_BLOCK_FRAMES;
}

static inline bool window_meets(const struct plan_window *w, uint32_t frame, unsigned order)
{
	return frame < w->first + w->frames && frame + (1u << order) > w->first;
}

struct quire_plan {
	struct quire *q;
	struct quire_goal goal;
	uint32_t blocks_each; /* blocks a window */
	uint32_t windows;     /* of the arena, whole ones */
	uint32_t from, end;   /* windows that may be emptied: all, or those of a range */
	bool is_range;	      /* closed as a whole while it is executed; no place is in it */
	bool closed;	      /* it is */
	bool is_run;	      /* one window, at any frame */
	bool stay;	      /* nothing leaves its node */
	bool executed;
	struct quire_plan_info info;

	struct plan_window *chosen; /* cheapest first */
	size_t chosen_count, chosen_capacity;
	/* What its execution has obtained for the goal's owner, until it is handed over. */
	struct plan_extents {
		struct quire_extent **at;
		size_t n, capacity, handed; /* n of them; the first `handed` are the caller's */
	} extents;
	/* Blocks that others had, or were to have first, when the plan was computed; or NULL. */
	uint64_t *taken;
	uint32_t taken_count;
	struct plan_move *move; /* by src */
	size_t move_count, move_capacity;
	size_t move_next; /* behind the one found last: blocks are walked in the same order */
	struct quire_blocker *blocker; /* by frame */
	size_t blocker_count, blocker_capacity;
	struct quire_blocker *learned; /* folios that an execution found to stay */
	size_t learned_count, learned_capacity;
	struct fenced fenced;

	/*
	 * What quire_plan_blockers_now() shows: blocker, then fresh, then waiting. Under lock; the
	 * executing thread alone changes them, so it looks at them without.
	 */
	pthread_mutex_t lock;
	struct quire_blocker *fresh; /* learned since blocker was made */
	size_t fresh_count, fresh_capacity;
	struct quire_blocker *waiting; /* found in the way by the latest round, to be tried again */
	size_t waiting_count, waiting_capacity;
	struct quire_blocker *next_waiting; /* what the round that runs has found; not under lock */
	size_t next_count, next_capacity;
};

/*
 * Looks at the arena and makes info, chosen, move and blocker anew; what was chosen before must
 * have been given up, but blocks this plan has claimed are taken as its own. 0 or -ENOMEM, and then
 * the plan may have no windows.
 */
int plan_compute(struct quire_plan *plan);
bool plan_in_range(const struct quire_plan *plan, uint32_t window);
/* May it be emptied, as far as the goal says, and the nodes? */
bool plan_is_meant(const struct quire_plan *plan, uint32_t window);
/* May what moves go there? */
bool plan_offers_places(const struct quire_plan *plan, uint32_t block);
/* Does what keeps window w from being free consist of empty frames of owners alone? */
bool plan_pool_keeps(const struct quire_plan *plan, const struct plan_window *w);
/* Takes free frames for the goal's owner, as an extent of the plan. 0, -EBUSY or -ENOMEM. */
int plan_take(struct quire_plan *plan, uint32_t first, uint32_t frames);
bool plan_window_is_free(const struct quire_plan *plan, const struct plan_window *w);
/* Makes only blocker anew. */
int plan_name_blockers(struct quire_plan *plan);

/* Fills who for a window that something other than a folio keeps, from this frame on. */
void plan_blocker_at(uint32_t frame, enum quire_reason why, struct quire_blocker *who);
/* Remembers a folio that stays, so that no window with it is chosen again. 0 or -ENOMEM. */
int plan_learn(struct quire_plan *plan, const struct quire_blocker *who);
/* Brings what was learned into the order in which it is looked up. */
void plan_sort_learned(struct quire_plan *plan);
/* What was learned of a folio at a place, or NULL. */
const struct quire_blocker *plan_find_learned(const struct quire_plan *plan,
					      const struct quire_folio *folio,
					      struct quire_frame frame);

/* Notes what a round found in the way; without the memory it is just not shown. */
void plan_note_waiting(struct quire_plan *plan, const struct quire_blocker *who);
/* Shows what was noted since the last time instead of what is shown. */
void plan_show_waiting(struct quire_plan *plan);

/* The move planned for a folio at src, or NULL. */
struct plan_move *plan_find_move(struct quire_plan *plan, uint32_t src);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * plan.h: what a plan consists of, shared by its making (plan.c) and its execution (execute.c).
 */
#ifndef QUIRE_SRC_CONTIG_PLAN_H
#define QUIRE_SRC_CONTIG_PLAN_H

#include "contig/choose.h"
#include "contig/fenced.h"
#include "core/instance.h"

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

struct plan_window {
	uint32_t number; /* its first block is number * blocks_each */
	uint32_t cost;
	bool claimed;
	bool failed;
	uint64_t moved; /* bytes moved out of it */
};

struct quire_plan {
	struct quire *q;
	struct quire_goal goal;
	uint32_t blocks_each; /* blocks a window */
	uint32_t windows;     /* of the arena, whole ones */
	uint32_t from, end;   /* windows that may be emptied: all, or those of a range */
	bool is_range;	      /* closed as a whole while it is executed; no place is in it */
	bool closed;	      /* it is */
	bool stay;	      /* nothing leaves its node */
	bool executed;
	struct quire_plan_info info;

	struct plan_window *chosen; /* cheapest first */
	size_t chosen_count, chosen_capacity;
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
/* Does what keeps window w from being free consist of empty frames of owners alone? */
bool plan_pool_keeps(const struct quire_plan *plan, uint32_t window);
/* Makes only blocker anew. */
int plan_name_blockers(struct quire_plan *plan);

/* Fills who for a whole window that something other than a folio keeps. */
void plan_blocker_at(const struct quire_plan *plan, uint32_t window, enum quire_reason why,
		     struct quire_blocker *who);
/* Remembers a folio that stays, so that no window with it is chosen again. 0 or -ENOMEM. */
int plan_learn(struct quire_plan *plan, const struct quire_blocker *who);

/* Notes what a round found in the way; without the memory it is just not shown. */
void plan_note_waiting(struct quire_plan *plan, const struct quire_blocker *who);
/* Shows what was noted since the last time instead of what is shown. */
void plan_show_waiting(struct quire_plan *plan);

/* The move planned for a folio at src, or NULL. */
struct plan_move *plan_find_move(struct quire_plan *plan, uint32_t src);

#endif

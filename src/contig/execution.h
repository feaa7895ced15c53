/* SPDX-License-Identifier: MIT */
/*
 * execution.h: one execution of a plan: what execute.c, which claims and decides, and rounds.c,
 * which moves, share.
 */
#ifndef QUIRE_SRC_CONTIG_EXECUTION_H
#define QUIRE_SRC_CONTIG_EXECUTION_H

#include "contig/plan.h"
#include "contig/queue.h"
#include "migrate/batch.h"
#include "migrate/retry.h"

struct execution {
	struct quire_plan *plan;
	struct quire *q;
	struct mover m;
	struct retry retry;
	struct queue_entry entry;
	struct quire_budget budget;
	struct quire_result r;
	uint64_t start;
	uint64_t failed; /* folios that were given up */
	bool last;	 /* the round after which nothing is tried again */
	bool gave_up;	 /* a window was given up since the plan was computed */
	bool reader;	 /* a reader keeps old places: no other window would become free either */
	int stop;	 /* why it ends early, or 0 */
};

/* Tries windows until all of them are free, or given up, or the time for waiting is over. */
void rounds_run(struct execution *x);
/* After a replan: the windows have other numbers. */
void rounds_find_windows(struct execution *x);
/* Windows that are free by now are taken for the owner who is to have them. */
void rounds_take_free(struct execution *x);
/* What was done so far, into the result. */
void rounds_report(struct execution *x);
bool execution_out_of_time(const struct execution *x);

static inline void window_give_up(struct execution *x, struct plan_window *w)
{
	w->failed = true;
	x->gave_up = true;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * judge.h: was it a PASS? Who stays and why, whether the books agree, what was to be reached.
 *
 * Where no fault was asked for, all that the oracle says must have been freed, and who stays is
 * exactly legacy. Where faults were asked for, less may have been freed, but nothing may be lost:
 * who stays is legacy and those whom a fault that came due explains, each with that reason; the
 * oracle, asked about the end, finds nothing more that could be freed with those in the way; each
 * fault came due.
 */
#ifndef SQUEEZE_JUDGE_H
#define SQUEEZE_JUDGE_H

#include "report.h"
#include "stage.h"

struct judge {
	struct report *report;
	const struct stage *stage;
	struct arena *arena;
	bool interrupted; /* then not all that was to be done was done */
	uint8_t *stays;	  /* of each thing: 1 if it was named; the judge's caller frees it */
};

/* Reads who stays from a plan that was executed, before the plan is destroyed. */
void judge_blockers(struct judge *judge, const struct quire_plan *plan);

/* Nothing moves and nothing else uses the arena: do all counters agree with each other? */
void judge_books(struct judge *judge);

/* After everything was compared: what is bound and registered at the end. */
void judge_users(struct judge *judge);

/* The verdict, when all else is done. */
void judge_result(struct judge *judge);

#endif

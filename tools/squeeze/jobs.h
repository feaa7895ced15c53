/* SPDX-License-Identifier: MIT */
/*
 * jobs.h: what one thread of the load has gem's engine do, and checks.
 *
 * A job sums a page up, or copies one page onto another. Meanwhile the thread has the pages'
 * sequences, so that it knows what must come of it; whoever meets such a page goes elsewhere.
 */
#ifndef SQUEEZE_JOBS_H
#define SQUEEZE_JOBS_H

#include "random.h"
#include "stage.h"

struct jobs;

/* What was verified. */
struct work_sum {
	uint64_t done;	      /* with the right outcome */
	uint64_t overlapped;  /* of these, while pages of that owner were on the move */
	uint64_t errors;      /* refused, or ended in an error */
	int error;	      /* the first of these, -errno; 0: none that says why */
	uint64_t wrong;	      /* bytes */
	uint64_t first_thing; /* where the first of them was; UINT64_MAX: nowhere */
};

/* NULL: no memory. */
struct jobs *jobs_create(void);
/* Looks after the jobs that run, and starts one, near this thing if that is one in use. */
void jobs_step(struct jobs *jobs, struct arena *arena, uint64_t random, uint32_t near);
/* Waits for those that run. */
void jobs_finish(struct jobs *jobs, struct arena *arena);
const struct work_sum *jobs_sum(const struct jobs *jobs);
void jobs_destroy(struct jobs *jobs);

#endif

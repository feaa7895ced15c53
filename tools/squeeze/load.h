/* SPDX-License-Identifier: MIT */
/*
 * load.h: threads that read and write everything while it is moved, and check what they read.
 *
 * An access counts if its folio was on the move when it began: between its isolation and its
 * publication. Its stall is the time from the first attempt until the thread had what it wanted:
 * a pin, or data that no move and no writer had disturbed.
 */
#ifndef SQUEEZE_LOAD_H
#define SQUEEZE_LOAD_H

#include "histogram.h"
#include "jobs.h"
#include "stage.h"

struct load;

struct load_sum {
	uint64_t accesses;	 /* of folios on the move */
	uint64_t all;		 /* of any */
	uint64_t errors;	 /* accesses, jobs and I/Os that were refused or failed */
	int error;		 /* the first of these that says why, -errno; 0: none */
	uint64_t wrong;		 /* bytes */
	uint64_t first_thing;	 /* where the first of them was; UINT64_MAX: nowhere */
	struct work_sum jobs;	 /* of gem; done and overlapped only, the rest is above */
	struct work_sum ios;	 /* of ring */
	struct histogram stalls; /* of accesses to folios on the move */
};

/* Makes a load of so many threads; none runs yet. 0 or -errno. */
int load_create(unsigned threads, struct load **load);

/* Hooks for arena_create(): the load follows the moves by them. */
struct arena_hooks load_hooks(struct load *load);

/* Starts the threads, and returns when all of them work. 0 or -errno. */
int load_start(struct load *load, struct arena *arena, uint64_t seed);

/* Ends the threads and sums up. */
void load_stop(struct load *load, struct load_sum *sum);

void load_destroy(struct load *load);

#endif

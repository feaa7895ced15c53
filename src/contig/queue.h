/* SPDX-License-Identifier: MIT */
/*
 * queue.h: executions that want the same blocks wait for one another, in the order they began
 * (contract W6).
 *
 * Every execution has an entry from its start to its end. One that needs what others have claimed
 * drops its own claims, says what it wants, and waits. So
 *
 *	who waits has no claim: nobody waits for one that waits, but by their order
 *	a block is taken, for execution e, if another one has claimed it, or an older one wants it
 *	the oldest that waits waits for claims alone, of executions that run: no circle is possible
 *
 * What one wants, which is what it waited for and all it had chosen, stands until it ends, so that
 * younger ones do not take it in between.
 *
 * Lock order: the queue's lock is innermost but for the allocator's steps.
 */
#ifndef QUIRE_SRC_CONTIG_QUEUE_H
#define QUIRE_SRC_CONTIG_QUEUE_H

#include "core/instance.h"

#include <quire/plan.h>

extern const struct quire_layer queue_layer;

struct queue_entry {
	struct quire_plan *plan;
	struct queue_entry *next; /* younger */
	const char *site;	  /* where its goal was made */
	uint64_t since;
	int tid;
	uint64_t *wanted; /* a bit for each block, or NULL: it never waited */
};

/* In the executing thread, around all of an execution. */
void queue_enter(struct quire *q, struct queue_entry *entry, struct quire_plan *plan);
void queue_leave(struct quire *q, struct queue_entry *entry);

/* Claims were dropped, or what is wanted changed: who waits looks again. */
void queue_wake(struct quire *q);

/* Adds to bits the blocks that executions older than the plan's (all, if it has none) want. */
void queue_wanted(struct quire *q, const struct quire_plan *plan, uint64_t *bits);

/*
 * Says of a block that is taken by whom: thread, site and age of the execution that has claimed it
 * (claim, only compared), or else of the oldest that wants it, and is older than the plan's.
 * Nothing, if there is none.
 */
void queue_describe(struct quire *q, const struct quire_plan *plan, const void *claim,
		    uint32_t block, struct quire_blocker *who);

/* What one wants from now on; the memory is the entry's. */
void queue_want(struct quire *q, struct queue_entry *entry, uint64_t *wanted);

/*
 * Waits until fewer blocks of what it wants are taken than at first, or until the deadline
 * (os_clock_ns): true if it is worth trying again. false at once where another execution of this
 * very thread has one of them.
 */
bool queue_wait(struct quire *q, struct queue_entry *entry, uint64_t deadline);

#endif

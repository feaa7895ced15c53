/* SPDX-License-Identifier: MIT */
/*
 * thread.h: the records of threads: what pins and read sections publish, and how movers and freers
 * read it. Records are the process's, shared by all instances, and are never freed; a thread that
 * exits without a pin leaves its record to the next one.
 *
 * The asymmetry everything rests on (as in hazard pointers with membarrier, and Linux' SRCU):
 *
 *	thread                            mover or freer
 *	store slot / epoch                store word (MOVING, DEAD) or unlink
 *	signal fence                      membarrier: a full fence in every running thread
 *	load word / index                 load slots / epochs
 *
 * At least one of the two sees the other's store. Where the kernel has no membarrier, `fence` is
 *set in each record and both sides use full fences of their own.
 */
#ifndef QUIRE_SRC_FOLIO_THREAD_H
#define QUIRE_SRC_FOLIO_THREAD_H

#include "util/atomic.h"

#include <quire/base.h>

struct batch_entry;

/* An op that runs in a thread; read by whoever has to name it. Atomic fields. */
struct op_run {
	struct quire_owner *owner; /* NULL: none; stored last */
	struct quire_folio *folio; /* of a batch the first */
	const char *name;
};
/* An op may drop references, and so run free ops in itself; deeper ones are counted, not named. */
#define OPS_NAMED 4

/* The batch that an op of this thread works on; in the record, so that a stale pointer to it is
 * always safe to look at. See migrate/batch.h. */
struct quire_batch {
	struct quire *quire;
	struct batch_entry **entry;
	size_t n;
	struct batch_entry *all; /* of the mover: where entries, and so links of folios, lie */
	size_t all_n;
	enum quire_mode mode;
	bool active; /* between the call of the op and its return */
	bool done;   /* a commit returned 0 */
	uint64_t copy_ns;
	uint64_t recopied; /* bytes copied for nothing */
};

/* When a mover first met the pin that stands in a slot; atomic, racy by nature: a hint of age. */
struct pin_met {
	struct quire_folio *folio;
	const char *site;
	uint64_t since;
};

struct thread {
	struct quire_thread_ pub;
	struct thread *next; /* written once, before the record is published */
	uint32_t used;	     /* atomic: a living thread has it, or a dead one's pins stand in it */
	uint32_t gone;	     /* atomic: the thread exited with pins held */
	int tid;	     /* atomic */
	unsigned in_op;	     /* ops of this thread that run now */
	unsigned movers;     /* moves and plans of this thread that run now */
	bool background; /* it takes a step in the background: its moves are no news to itself */
	struct op_run op[OPS_NAMED];
	struct batch_entry *isolating; /* whose isolate op runs in this thread */
	unsigned spilled;	       /* its spilled pins; by others only once it is gone */
	struct pin_met met[QUIRE_SHORT_PINS];
	struct quire_batch batch;
};

/*
 * A pin that went out of order leaves a hole below the top of the slots: counted, but free to be
 * used again. Not the same as an empty slot below the top, which is one that an interrupted pin has
 * counted and not filled yet: a signal handler must leave that one alone. Equals no folio.
 */
#define SLOT_HOLE ((struct quire_folio *)(uintptr_t)1)

/* This thread's record; NULL: no memory, or a child of fork() without a quire of its own. */
struct thread *thread_self(void);
/*
 * Before the first instance; after fork also before the child's first. 0 or -errno; a kernel
 * without membarrier is no error: then everything works with full fences.
 */
int threads_init(void);

/* Drops the pins of threads that are gone on folios in [from, to): those folios go. */
void threads_forget(const struct quire_folio *from, const struct quire_folio *to);

/* All records, newest first. */
struct thread *threads_first(void);
#define for_each_thread(t) for (struct thread *t = threads_first(); t; t = t->next)

/*
 * The full fence of the other side. 0, or -errno: nothing may be concluded then.
 */
int threads_barrier(void);

/*
 * Epochs. Something unlinked before epoch_advance() returned target, and before a barrier that
 * followed, is out of every reader's sight once epoch_passed(target).
 */
uint64_t epoch_advance(void);
bool epoch_passed(uint64_t target);
/* The same for many targets: those up to this one have passed. */
uint64_t epoch_oldest(void);
/* A thread that keeps target from passing; NULL if none. */
struct thread *epoch_blocker(uint64_t target);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * internal.h: what the parts of gem share.
 *
 *	gem.c     making and ending, counters, validation
 *	object.c  objects: folios, references, who has one for himself, unbinding, the end
 *	jobs.c    the driver's side of jobs: submitting, taking on, binding, finishing
 *	engine.c  the engine's side: TLB, page table, the work itself
 *	owner.c   the ops: what happens when folios are to move
 *
 * Who may touch an object's page table, its pins and `bound`:
 *	the engine's thread, while object->inflight > 0;
 *	whoever is object->holder, once he has seen inflight == 0.
 * A job is taken on only while there is no holder, and a holder waits for inflight == 0: so these
 * exclude each other, and both changes are made under gem->lock. Waiting for inflight == 0 ends,
 * for a job in flight is bound and waits for nobody.
 *
 *	table[i] valid     =>  the folio of frame i is pinned by gem, and is there
 *	bound             <=>  every entry is valid, and every folio has its pin
 *	refs == 0          =>  no job names the object, and it is being taken down, once: by who
 *	                       dropped the last reference, or by the holder as he lets it go
 *
 * Memory of an object lives as long as one of its folios does: ops find it behind the folio's
 * private pointer.
 *
 * Lock order: a hold on an object, gem->lock, what the library has inside. gem->lock is held for a
 * few steps, and never while a folio is made, moved, pinned or put. Who has a hold already does not
 * wait for a second one.
 */
#ifndef QUIRE_OWNERS_GEM_INTERNAL_H
#define QUIRE_OWNERS_GEM_INTERNAL_H

#include "gem.h"

#include <pthread.h>
#include <sys/types.h>

enum gem_tally {
#define GEM_TALLY_(name, text) GEM_N_##name,
	GEM_COUNTERS(GEM_TALLY_)
#undef GEM_TALLY_
		GEM_TALLIES
};

#define GEM_INVALID QUIRE_FRAME_NONE_N /* an entry of a page table */

struct gem_folio {
	struct gem_object *object;
	struct quire_folio *folio; /* set by the creator; ops use what they are handed */
	struct quire_pin *pin;	   /* atomic: ops look for NULL without having the object */
	uint64_t first;		   /* index of its first frame in the object */
	bool fresh;		   /* pinned by the bind that is under way */
	/* under gem->lock: on the list of the isolated, while moving is not NULL */
	struct quire_folio *moving;
	struct gem_folio *iso_next, *iso_prev;
	bool in_vain; /* unpinned for this move, which then did not come to be */
};

struct gem_object {
	struct gem *gem;
	uint64_t id;	 /* never used again */
	uint64_t frames; /* entries of table */
	uint32_t *table;
	uint64_t parts; /* atomic; folios alive, and one for the creator until he is done */
	bool bound;	/* atomic: others may look */
	bool flushed;	/* was bound before: the next bind is a rebind */
	/* under gem->lock */
	uint64_t refs;
	uint32_t inflight;	       /* uses by jobs in flight */
	const void *holder;	       /* atomic besides: an op looks for its own address */
	struct quire_fence *hold_over; /* signaled when the hold ends; NULL: nobody asked */
	bool lost;     /* folios lost their pins for nothing, and none was put back yet */
	uint64_t scan; /* stamp of the latest walk along the queue that passed over a job of it */
	struct gem_object *next, *prev; /* of all objects with a reference */
	struct gem_object *down;	/* list of those to be taken down */
	/* the holder's, if that is a migrate op */
	struct gem_object *held_next;
	bool quiet, was_busy;
	size_t n;
	struct gem_folio folio[];
};

enum gem_state { GEM_SPARE, GEM_QUEUED, GEM_FLIGHT };

struct gem_slot {
	uint64_t ticket;
	enum gem_state state;
	struct gem_job job;
	struct gem_slot *next;
	struct quire_fence *fence; /* signaled when it is done; NULL: nobody asked */
	bool held, overlapped, same;
};

struct gem_list {
	struct gem_slot *first, *last;
};

struct gem_tlb_entry {
	uint64_t object, page; /* object 0: empty */
	uint32_t frame;
};

/* The engine's own: nothing here is looked at by another thread. */
struct gem_engine {
	char *base; /* where frame 0 is; learnt at the first bind */
	struct gem_tlb_entry *tlb;
	uint32_t tlb_mask;
	uint64_t flush_seen;
	uint64_t hits, misses, faults; /* of the job that runs */
};

struct gem {
	struct quire *quire;
	struct quire_owner *owner;
	struct gem_options options;
	pid_t pid;
	pthread_t thread;
	bool ended; /* the engine is, and has been joined */
	struct gem_engine engine;
	pthread_mutex_t lock;
	pthread_cond_t work;	/* for the engine: a job, a hold that has ended, the end */
	pthread_cond_t changed; /* for the others: a job done, a hold that has ended */
	/* under the lock */
	bool stop;
	struct gem_slot *slot;
	struct gem_slot *spare;
	struct gem_list queue; /* submitted, in order */
	struct gem_list ring;  /* in flight, in order; the first of it runs */
	struct gem_slot *binding, *running;
	uint32_t flight; /* jobs in flight */
	uint32_t left;	 /* jobs not done */
	uint64_t tickets;
	uint64_t scan;
	uint64_t flush_wanted;
	uint64_t ids;
	struct gem_object *objects;
	struct gem_folio *isolated;
	/* relaxed: they order nothing, and a sum taken while others count is a moment old */
	uint64_t n[GEM_TALLIES];
	uint64_t pinned_bytes;
};

static inline void gem_tally_n(struct gem *gem, enum gem_tally which, uint64_t n)
{
	__atomic_fetch_add(&gem->n[which], n, __ATOMIC_RELAXED);
}

#define gem_tally(gem, name) gem_tally_n((gem), GEM_N_##name, 1)

/* Monotonic; until is such a time. */
uint64_t gem_now(void);
/* The end of something that may take so long, from now on; 0: deadline_ns of the options. */
uint64_t gem_until(const struct gem *gem, uint64_t deadline_ns);
/* Waits for `changed`; false once the time is over. */
bool gem_wait_changed(struct gem *gem, uint64_t until);
bool gem_is_forked(const struct gem *gem);
static inline bool gem_is_engine(const struct gem *gem)
{
	return !gem->ended && pthread_equal(pthread_self(), gem->thread);
}

/* object.c */

/* Drops a reference; with the last one the object is put before *down, or left to its holder. */
void gem_object_put_locked(struct gem_object *object, struct gem_object **down);
/* Takes down what the above gathered; without the lock. */
void gem_objects_down(struct gem_object *down);
/*
 * Has the object for me alone, as far as other holders go; waits until then. false: somebody else
 * has it, or it is on its way down.
 */
bool gem_object_hold_locked(struct gem_object *object, const void *me, uint64_t until);
/* Until no job on it is in flight; its holder calls it. */
bool gem_object_quiesce_locked(struct gem_object *object, uint64_t until);
/* A reference on a fence that is signaled when the hold ends, or NULL. */
struct quire_fence *gem_object_hold_fence_locked(struct gem_object *object);
/* Ends a hold. */
void gem_object_release_locked(struct gem_object *object, struct gem_object **down);
/* For who has it, quiet: makes the page table invalid, and the TLB. */
void gem_object_flush(struct gem_object *object);
/* The same: drops a folio's pin, if it has one. */
void gem_folio_unpin(struct gem_folio *part);
/* A folio that it lives through is gone, or its creator is done. */
void gem_object_part_gone(struct gem_object *object);

/* engine.c */
int gem_engine_init(struct gem_engine *engine, uint32_t entries);
void gem_engine_finish(struct gem_engine *engine);
void gem_engine_flush(struct gem_engine *engine);
/* The job itself. 0, or -EFAULT: a page without a valid entry. */
int gem_engine_run(struct gem_engine *engine, const struct gem_job *job, uint64_t *sum);

/* jobs.c */

/* Has the object bound in its turn, where the queue has room. */
int gem_object_bind_soon(struct gem_object *object);
/* A reference on a fence that is signaled when the job is done, or NULL. */
struct quire_fence *gem_slot_fence_locked(struct gem *gem, struct gem_slot *slot);
/* The last job in flight on the object, or NULL. */
struct gem_slot *gem_last_in_flight_locked(struct gem *gem, const struct gem_object *object);
void *gem_thread(void *arg);

/* owner.c */
extern const struct quire_owner_ops gem_ops;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * gem.h: buffer objects of an engine; an owner whose memory is in use by something that is not the
 * CPU, as a GPU's is.
 *
 * The engine is a thread that runs jobs on objects. It knows memory through its own page table
 * alone: for each object an array of frame numbers, and a small TLB before it. Nothing but a job's
 * first use of an object, the bind, fills that table, and a bound object is pinned: one named long
 * pin on each of its folios, from the bind on, also while no job uses it. Without an owner that is
 * asked, all of that would stay where it is.
 *
 * gem is asked. When a mover wants folios of an object, gem
 *	holds new jobs on that object back (jobs on others go on),
 *	waits by the mode until the engine has no job on it in flight,
 *	flushes: makes the object's page table invalid, and the TLB,
 *	drops its pins on the folios that are to move,
 *	has them moved,
 * and lets the next job that uses the object bind it again, wherever its folios are by then.
 * One flush serves all folios of an object that are in the batch (contract H-A3).
 *
 *	ASYNC       never waits
 *	SYNC_LIGHT  waits half a millisecond at most
 *	SYNC        waits for the engine, patience_ns at most
 * What is still busy then is answered with -EAGAIN and a fence: the end of the last job in flight,
 * or, where another mover has the object, the end of that. So every mode can succeed, and gem
 * declares none as its cheapest (H-A6).
 *
 * What may run at once: any function here with any other, in any threads, together with movers of
 * the quire; only gem_create(), gem_destroy() and gem_validate() want the gem for themselves (for
 * the last, movers have to rest as well). No function here is for a signal handler.
 *
 * A child of fork() has no engine: making things and submitting jobs answer -ENXIO there, and
 * gem_destroy() is the only other call that it may make.
 *
 * Errors are -errno; what failed has changed nothing. A deadline is in nanoseconds from now;
 * 0: deadline_ns of the options.
 */
#ifndef QUIRE_OWNERS_GEM_H
#define QUIRE_OWNERS_GEM_H

#include <quire.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gem;
struct gem_object;

/* The largest object. */
#define GEM_OBJECT_MAX (1ull << 32)

/* One job of a gem, as gem_submit() names it; n == 0: none. Never used again for another. */
struct gem_ticket {
	uint64_t n;
};

/* Faults that tests put in, to see that they would notice. */
enum gem_seed {
	/* the engine goes on with stale entries: */
	GEM_SEED_NO_FLUSH = 1,	   /* of its page table and its TLB */
	GEM_SEED_NO_TLB_FLUSH = 2, /* of its TLB */
};

struct gem_options {
	size_t size;	      /* sizeof(struct gem_options) */
	const char *name;     /* of the owner; NULL: "gem" */
	uint32_t queue;	      /* jobs not yet done, at most; 0: 256; at most 65536 */
	uint32_t depth;	      /* of these the engine takes on so many at once: they are in flight,
				 bound, and cannot be held back any more; 0: 4; at most queue */
	uint32_t tlb;	      /* entries of the TLB, a power of two; 0: 64 */
	uint32_t seeds;	      /* enum gem_seed, or-ed; 0 outside of tests */
	uint64_t patience_ns; /* how long the migrate op waits in mode SYNC; 0: 100 ms */
	uint64_t deadline_ns; /* of waits whose deadline is given as 0; 0: 10 s */
	/*
	 * Called by the isolate op, in the mover's thread, with the folio isolated: from now on and
	 * until its publication it is "on the move". gem_folio_object() says whose it is. May
	 * submit jobs and wait for them; must not wait for the mover. NULL: none.
	 */
	void (*on_isolate)(void *arg, struct quire_folio *folio);
	/*
	 * Called in the engine's thread right before a job runs, with no lock held. What it does
	 * takes the engine's time; must not wait for the job. NULL: none.
	 */
	void (*on_job)(void *arg, struct gem_ticket ticket);
	void *arg;
	/*
	 * 1: an object that was unbound for a move which then failed is bound again at once, if the
	 * queue has room (contract H-A5). 0: by the next job that uses it.
	 */
	unsigned rebind_at_putback;
};
#define GEM_OPTIONS(...)                                                                           \
	(&(const struct gem_options){ .size = sizeof(struct gem_options), __VA_ARGS__ })

/*
 * Makes a gem: its owner, and its engine. options NULL: all defaults.
 * -EINVAL  options that make no sense     -ENOMEM     -EAGAIN  no thread
 * -ENXIO   in a child of fork()
 */
QUIRE_MUST_USE int gem_create(struct quire *quire, const struct gem_options *options,
			      struct gem **gem);

/*
 * Waits until the engine has run every job, ends it, unbinds and drops all objects (their handles
 * are no longer valid), and ends the owner. Nobody may use the gem any more; movers may still be at
 * its folios. To be called before quire_destroy().
 * -EBUSY      somebody still holds on to a folio: all else is done, call again
 * -ETIMEDOUT  the engine has not come to an end within deadline_ns: nothing was dropped
 * -EDEADLK    in an op, in a read section, or in the engine's thread: nothing was done
 * destroy(NULL) is 0. In a child of fork() it gives the memory back.
 */
int gem_destroy(struct gem *gem);

/* Objects. */

/*
 * Makes an object of at least `bytes` bytes, rounded up to whole frames, with one reference, the
 * caller's. Its folios are of the given order as far as that fits, the rest of smaller ones:
 * 11 frames of order 2 are 4 + 4 + 2 + 1. Its content is all zeros. It is bound to nothing yet.
 * -EINVAL  bytes 0 or over GEM_OBJECT_MAX, order over 9     -ENOMEM  no frames or no memory
 * -ENXIO   in a child of fork()
 */
QUIRE_MUST_USE int gem_object_create(struct gem *gem, uint64_t bytes, unsigned order,
				     struct gem_object **object);

/* A folio of an object, at a given frame. */
struct gem_place {
	struct quire_frame at;
	unsigned order;
};

/*
 * The same with n folios at given frames, in this order: for laying objects out as something else
 * had its pages. They may be moved as any others. Besides:
 * -EINVAL  n 0, a place that is not aligned or not in the arena     -EBUSY  a place is not free
 */
QUIRE_MUST_USE int gem_object_create_at(struct gem *gem, const struct gem_place *places, size_t n,
					struct gem_object **object);

/* One more reference; the caller has one. */
struct gem_object *gem_object_get(struct gem_object *object);
/*
 * Drops a reference; jobs have their own. With the last one the object is unbound and its folios
 * go; a mover that has some of them at that moment finishes it. put(NULL) does nothing.
 */
void gem_object_put(struct gem_object *object);

uint64_t gem_object_bytes(const struct gem_object *object);
size_t gem_object_folios(const struct gem_object *object);
/* Folio i; no reference is taken. NULL: there is none. */
struct quire_folio *gem_object_folio(const struct gem_object *object, size_t i);
/* Is it bound: would the next job find a valid page table? A moment old. */
bool gem_object_bound(const struct gem_object *object);

/*
 * The object that a folio of gem's is part of, and the folio's first byte in it (at may be NULL).
 * For the hook, or while the folio is otherwise kept from being freed. No reference is taken.
 */
struct gem_object *gem_folio_object(const struct quire_folio *folio, uint64_t *at);

/*
 * The CPU's way to the content: under short pins, folio by folio. Not ordered with jobs: wait for
 * those that matter.
 * -ERANGE  past the object's end     -EINVAL  no buffer     -ENOMEM  no memory for a pin; a part
 *          may have been copied
 */
QUIRE_MUST_USE int gem_object_read(struct gem_object *object, uint64_t at, void *to, size_t n);
QUIRE_MUST_USE int gem_object_write(struct gem_object *object, uint64_t at, const void *from,
				    size_t n);

/*
 * Binds an object, as its next job would do: once the jobs on it that were submitted before are
 * taken on.
 * -ENOMEM; -ETIMEDOUT: the deadline passed, it will be bound all the same; or as gem_submit()
 */
QUIRE_MUST_USE int gem_object_bind(struct gem_object *object, uint64_t deadline_ns);

/*
 * Unbinds an object: waits until no job on it is in flight, flushes, drops its pins. The next job
 * binds it again. 0 as well where it was not bound.
 * -ETIMEDOUT  the deadline passed     -EDEADLK  in the engine's thread
 */
QUIRE_MUST_USE int gem_object_unbind(struct gem_object *object, uint64_t deadline_ns);

/* Jobs. */

/*
 * All work on 64-bit words; offsets and lengths are in bytes, multiples of 8.
 *	FILL  word i of dst becomes gem_fill_word(value, i), i counted from the object's start
 *	COPY  dst[dst_at, + bytes) becomes src[src_at, + bytes)
 *	SUM   gem_done.sum becomes gem_sum_word() of each word of src[src_at, + bytes), added up
 *	BLUR  byte i of the range of dst becomes the mean, rounded down, of bytes i - 1, i and i + 1
 *	      of the range of src; the first and the last stand in for the neighbours they lack
 */
enum gem_job_kind {
	GEM_FILL = 0,
	GEM_COPY = 1,
	GEM_SUM = 2,
	GEM_BLUR = 3,
};

/* What became of a job. Written before the job counts as done. */
struct gem_done {
	int code;	 /* 0, or -ENOMEM: an object could not be bound, nothing was changed */
	bool overlapped; /* some folio of this gem was on the move as it ran; see overlapped_jobs */
	uint64_t sum;
};

struct gem_job {
	size_t size; /* sizeof(struct gem_job) */
	enum gem_job_kind kind;
	unsigned no_wait; /* 1: -EAGAIN where the queue is full, rather than to wait for room */
	struct gem_object *dst, *src;
	uint64_t dst_at, src_at;
	uint64_t bytes;
	uint64_t value;
	struct gem_done *done; /* NULL: nobody wants to know. Valid until the job is done */
};
#define GEM_JOB(...) (&(const struct gem_job){ .size = sizeof(struct gem_job), __VA_ARGS__ })

static inline uint64_t gem_fill_word(uint64_t value, uint64_t i)
{
	uint64_t x = value + (i + 1) * 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
	return x ^ (x >> 32);
}

/* Word i of a range, counted from the range's start, as SUM adds it: two words that change places
 * change the sum. */
static inline uint64_t gem_sum_word(uint64_t i, uint64_t word)
{
	return word * (2 * i + 1);
}

/*
 * Hands a job to the engine. Jobs that share an object run in the order they were submitted; others
 * may overtake a job that is held back.
 * -EINVAL  an object missing, of another gem, or one too many for the kind; bytes 0; what is no
 *          multiple of 8; two ranges of one object that overlap
 * -ERANGE  past an object's end     -ESTALE  an object whose last reference is gone
 * -EAGAIN  no_wait, and the queue is full     -ETIMEDOUT  full for deadline_ns
 * -EDEADLK full, in the engine's thread     -ENXIO  in a child of fork()
 * ticket may be NULL.
 */
QUIRE_MUST_USE int gem_submit(struct gem *gem, const struct gem_job *job,
			      struct gem_ticket *ticket);

/* Until that job is done. 0; -ETIMEDOUT; -EDEADLK in the engine's thread. */
QUIRE_MUST_USE int gem_wait(struct gem *gem, struct gem_ticket ticket, uint64_t deadline_ns);
/*
 * A fence that is signaled when that job is done, with a reference that is the caller's to put.
 * -ENOENT: it is done, or never was     -ENOMEM
 */
QUIRE_MUST_USE int gem_fence(struct gem *gem, struct gem_ticket ticket, struct quire_fence **fence);
/* Until every job is done, and gone is each object whose last reference was a job's. */
QUIRE_MUST_USE int gem_idle(struct gem *gem, uint64_t deadline_ns);

/* The owner, for naming it and comparing blockers; it is not to be detached or destroyed. */
struct quire_owner *gem_owner(struct gem *gem);

/*
 * Counters: X(name, what it counts).
 *
 *	isolated = moved + putbacks + freed_isolated      once no mover runs
 *	folios_created = folios_freed + folios            once nobody frees
 *	submitted = jobs + jobs_failed                    once it is idle
 *	pins = unpins + folios of bound objects           once it is idle and no mover runs
 *
 * overlapped_jobs: jobs that ran, to their end and without an error, and at whose start or during
 * whose run at least one folio of this gem was isolated and not yet published, put back or freed.
 * overlapped_same: of these, jobs that used the object of such a folio.
 */
#define GEM_COUNTERS(X)                                                                            \
	X(submitted, "jobs submitted")                                                             \
	X(jobs, "jobs done")                                                                       \
	X(jobs_failed, "jobs that could not be run")                                               \
	X(job_bytes, "bytes that done jobs wrote, or summed up")                                   \
	X(overlapped_jobs, "jobs done while a folio was on the move")                              \
	X(overlapped_same, "of these, on an object with such a folio")                             \
	X(held_back, "jobs held back because an object of theirs was on the move")                 \
	X(binds, "objects bound")                                                                  \
	X(rebinds, "of these, bound again after a flush")                                          \
	X(pins, "long pins taken")                                                                 \
	X(unpins, "long pins dropped")                                                             \
	X(flushes, "page tables of objects made invalid")                                          \
	X(tlb_flushes, "times that the TLB was emptied")                                           \
	X(tlb_hits, "translations by the TLB")                                                     \
	X(tlb_misses, "translations by the page table")                                            \
	X(faults, "translations that found no valid entry: always 0")                              \
	X(migrations, "batches that the migrate op was handed")                                    \
	X(unpinned_batches, "of these, without a pin of gem's: moved without any lock")            \
	X(waits, "times that the migrate op waited for the engine")                                \
	X(wait_timeouts, "of these, in vain")                                                      \
	X(busy, "folios refused with -EAGAIN because a job was in flight")                         \
	X(locked_out, "folios refused with -EAGAIN because another mover had their object")        \
	X(foreign_pins, "folios that somebody else's pin kept")                                    \
	X(isolated, "isolations")                                                                  \
	X(moved, "isolations that ended in a move")                                                \
	X(moved_busy, "of these, of an object with a job in flight when the op was called")        \
	X(putbacks, "isolations that were put back")                                               \
	X(flushed_in_vain, "of these, unpinned for a move that then failed")                       \
	X(putback_binds, "binds submitted for that (rebind_at_putback)")                           \
	X(freed_isolated, "isolations that ended in the folio's free")                             \
	X(unbalanced, "ops called against the contract: always 0")                                 \
	X(objects_created, "objects created")                                                      \
	X(objects_freed, "objects whose last reference went")                                      \
	X(folios_created, "folios created")                                                        \
	X(folios_freed, "folios freed")

struct gem_stats {
	size_t size; /* sizeof(struct gem_stats) */
#define GEM_COUNTER_FIELD_(name, text) uint64_t name;
	GEM_COUNTERS(GEM_COUNTER_FIELD_)
#undef GEM_COUNTER_FIELD_
	uint64_t objects;      /* with a reference, now */
	uint64_t folios;       /* folios now, those on their way out among them */
	uint64_t queued;       /* jobs not yet done */
	uint64_t pinned_bytes; /* under pins of gem's */
};

/* Fills *stats as far as its size goes; -EINVAL: a size that holds no counter. */
int gem_stats_get(struct gem *gem, struct gem_stats *stats);

/*
 * Checks the whole structure against the quire: every valid entry of a page table is the frame of a
 * folio that gem has pinned, counts agree. The engine is idle, nothing else uses the gem, and no
 * mover is at its folios. 0, or -EUCLEAN with *what, if given, saying what is wrong.
 */
int gem_validate(struct gem *gem, const char **what);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * pool.h: folios in frames that are kept for them, and that come back; an owner to learn from.
 *
 * A pool takes chunks of frames out of the arena's general allocator and keeps them. Its folios are
 * made there and nowhere else; one that moves, moves to another place of the pool; the place of one
 * that was freed or has moved away is the pool's again, once no reader can see it any more. What
 * else fills the arena gets nothing of it, and a plan that needs the range names the pool (contract
 * E8, H-E4). So a pool always has the memory it was promised: guest memory, pools of huge pages.
 *
 * Which places its folios have is for the pool to say: making one, or moving one, to a given frame
 * of it (quire_folio_args.at, quire_move.to) works, but the pool learns of it late, and must not
 * shrink meanwhile.
 *
 * What may run at once: any function here with any other, in any threads, together with movers;
 * pool_create(), pool_destroy() and pool_detach() want the pool for themselves. No function here is
 * for a signal handler or a child of fork(). Errors are -errno; what failed has changed nothing.
 */
#ifndef QUIRE_OWNERS_POOL_H
#define QUIRE_OWNERS_POOL_H

#include <quire.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pool;

struct pool_options {
	size_t size;		  /* sizeof(struct pool_options) */
	const char *name;	  /* of the owner; NULL: "pool" */
	uint64_t chunks;	  /* so many to begin with; pool_grow() takes more */
	unsigned chunk_order;	  /* frames of a chunk: 2^this; with chunk_order_set only */
	unsigned chunk_order_set; /* 0: chunks of order 9 */
	/*
	 * The last reference of a folio is gone: its free op. May read the content; must not sleep
	 * (contract E4). Its frames come back later, when no reader is left. NULL: none.
	 */
	void (*on_free)(void *arg, struct quire_folio *folio);
	void *arg;
};
#define POOL_OPTIONS(...)                                                                          \
	(&(const struct pool_options){ .size = sizeof(struct pool_options), __VA_ARGS__ })

/*
 * Makes a pool. options NULL: all defaults, no chunk.
 * -EINVAL  options that make no sense     -ENOMEM  fewer free chunks than asked for, or no memory
 */
QUIRE_MUST_USE int pool_create(struct quire *quire, const struct pool_options *options,
			       struct pool **pool);

/*
 * Gives every frame back to the general allocator and ends the pool.
 * -EBUSY  a folio of it is alive, or a reader may still see one: nothing was changed
 * -EDEADLK  inside of an op
 * destroy(NULL) is 0.
 */
int pool_destroy(struct pool *pool);

/*
 * Ends the pool at once: free frames go back to the general allocator now, the others when their
 * folios leave them. Those are ordinary folios from here on; they move anywhere, and nobody is told
 * when they are freed.
 * -ETIMEDOUT  an op still runs after deadline_ns (0: the quire's), *who (may be NULL) says which;
 *             nothing was changed     -EDEADLK  inside of an op     -EINVAL  pool is NULL
 */
QUIRE_MUST_USE int pool_detach(struct pool *pool, uint64_t deadline_ns, struct quire_blocker *who);

/* Takes n more chunks, or none. -ENOMEM: fewer are free, or no memory. */
QUIRE_MUST_USE int pool_grow(struct pool *pool, uint64_t n);

/*
 * Gives up to n chunks back, those in which nothing is; returns how many. One in which somebody
 * else has chosen a place stays, and the library tells its log so.
 */
uint64_t pool_shrink(struct pool *pool, uint64_t n);

/*
 * Makes a folio in the pool, with one reference, the caller's, and a private pointer.
 * -EINVAL  its order is over the chunks'     -ENOSPC  the pool has no free place of that order
 * -ENOMEM  no memory to describe it
 */
QUIRE_MUST_USE int pool_folio_create(struct pool *pool, unsigned order, void *private_data,
				     struct quire_folio **folio);

/* The owner, for naming it and comparing blockers. */
struct quire_owner *pool_owner(const struct pool *pool);
/* Is it a frame of the pool, free or not? */
bool pool_has(struct pool *pool, struct quire_frame frame);

/*
 * Counters: X(name, what it counts).
 *
 *	got + placed = back + places in use      as long as no place was chosen by somebody else
 *	created = freed + folios
 */
#define POOL_COUNTERS(X)                                                                           \
	X(got, "places handed out, for new folios and for moves")                                  \
	X(back, "places that came back, once no reader saw them any more")                         \
	X(created, "folios created")                                                               \
	X(freed, "folios whose last reference went")                                               \
	X(exhausted, "times that there was no place")                                              \
	X(chunks_taken, "chunks taken from the general allocator")                                 \
	X(chunks_given, "chunks given back to it")                                                 \
	X(placed, "places that came back and that somebody else had chosen")                       \
	X(unbalanced, "places that came back and are not the pool's: always 0")

struct pool_stats {
	size_t size;	  /* sizeof(struct pool_stats) */
	uint64_t frames;  /* of the pool */
	uint64_t free;	  /* of these, not in use */
	uint64_t largest; /* frames of the largest folio that there is a place for now; 0: none */
	uint64_t reserved[3];
	/* Last, since new counters go to the end. */
#define POOL_COUNTER_FIELD_(name, text) uint64_t name;
	POOL_COUNTERS(POOL_COUNTER_FIELD_)
#undef POOL_COUNTER_FIELD_
};

/* Fills *stats as far as its size goes; -EINVAL: a size that holds no counter. */
int pool_stats_get(struct pool *pool, struct pool_stats *stats);

/* Checks the whole structure; 0, or -EUCLEAN with *what (may be NULL) saying what is wrong. */
int pool_validate(struct pool *pool, const char **what);

#ifdef __cplusplus
}
#endif
#endif

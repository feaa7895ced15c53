/* SPDX-License-Identifier: MIT */
/*
 * internal.h: what ring.c (requests and buffers), ops.c (the owner's ops) and the back ends share.
 *
 * Lock order: the ring's lock, a back end's own. Under the ring's lock nothing waits but for memory
 * and for the other lock; it is not held over system calls of I/O and of registration, commits,
 * hooks, done() or quire_folio_put(), since that may run the free op, which takes it.
 */
#ifndef QUIRE_OWNERS_RING_INTERNAL_H
#define QUIRE_OWNERS_RING_INTERNAL_H

#include "ring.h"

#include <pthread.h>

/* A sync point, for tests; nothing where the library has none. */
#define RING_POINT(point, what) QUIRE_SYNC_(point, what)

#define RING_NO_SLOT UINT32_MAX
#define RING_WHY_ROOM 160u

enum ring_request_state {
	RING_REQUEST_FREE,
	RING_REQUEST_HELD,   /* in its buffer's list, not started */
	RING_REQUEST_FLYING, /* the back end's */
	RING_REQUEST_DONE,   /* has its result; ring_wait() gives it back */
};

struct ring_request {
	struct ring *ring;
	struct ring_buffer *buffer;
	struct ring_request *next;     /* in the free list, the buffer's, or the back end's */
	enum ring_request_state state; /* atomic; changed under the lock */
	pthread_cond_t completed;
	/* what to do; does not change until it has completed */
	bool write;
	int fd;
	uint64_t offset;
	size_t at;
	size_t bytes;
	uint32_t slot;	 /* NO_SLOT: by address */
	char *address;	 /* of its first byte, while it flies */
	int error;	 /* it could not be started */
	unsigned handed; /* atomic; the back end's own */
	void (*done)(void *arg, const struct ring_result *result);
	void *arg;
	uint64_t isolations; /* of the buffer, when it was submitted */
	bool on_the_move;    /* the buffer was, when it was submitted */
	struct ring_result result;
};

/*
 * A buffer describes one folio and stands behind its private pointer. Type-stable: chunks of
 * buffers go back in ring_destroy() only. It is taken before its folio is created and goes back to
 * the pool in the free op. All of it is under the ring's lock, but that whoever is the holder may
 * read and write slot and pin without it.
 */
struct ring_buffer {
	struct ring *ring;
	struct quire_folio *folio;  /* NULL: in the pool */
	struct ring_buffer *next;   /* in the pool */
	struct quire_pin *pin;	    /* while registered, or something flies; not while held */
	uint32_t slot;		    /* NO_SLOT: not registered */
	uint32_t flying;	    /* requests the back end has */
	uint32_t outstanding;	    /* those and the held ones */
	uint32_t stops;		    /* > 0: nothing is started */
	const void *holder;	    /* who has it for itself, nothing flying; NULL: nobody */
	struct ring_request *first; /* held requests, oldest first */
	struct ring_request **last;
	uint64_t isolations;
	bool isolated; /* isolate answered 0, and neither move, putback nor free followed */
	bool closed;   /* was put: no more requests */
	bool gone;     /* closed, and nothing of it is left but the folio and its movers */
	bool lost;     /* its registration failed after a move */
	/* An op has said that I/O is in flight; this is how its end is told. */
	struct quire_fence *fence;
};

struct ring_buffer_chunk;

/*
 * A back end. Its start() and bind() are called from any thread, several at once, with no lock
 * held; bind() of one slot never while something flies on it.
 */
struct ring_backend {
	const char *name;
	/*
	 * Starts it, for ring->entries requests at once. *slots is how many registrations are asked
	 * for, and on return how many there can be. 0, and why may say something; or -errno, and
	 * why says what failed.
	 */
	int (*open)(struct ring *ring, unsigned threads, unsigned *slots, void **state, char *why);
	/* Nothing flies. */
	void (*close)(void *state);
	/* Begins a request; ring_complete() follows, in any thread. -errno: nothing was begun. */
	int (*start)(void *state, struct ring_request *request);
	/* Registers bytes at address in a slot, in place of what is there; NULL: nothing is. */
	int (*bind)(void *state, uint32_t slot, void *address, size_t bytes);
};

extern const struct ring_backend ring_backend_threads;
/* NULL where it is not built in. */
extern const struct ring_backend *const ring_backend_uring;

struct ring {
	struct quire *quire;
	struct quire_owner *owner;
	const struct ring_backend *backend;
	void *state;
	char why[RING_WHY_ROOM + 16]; /* which back end, and why */
	unsigned entries;
	uint64_t quiesce_ns;
	uint64_t memlock;
	void (*on_isolate)(void *arg, struct quire_folio *folio);
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t calm; /* a stopped buffer is idle or let go, all requests are free */
	struct ring_request *requests;
	struct ring_request *free_requests;
	unsigned requests_used;
	unsigned callbacks; /* done() calls that run */
	struct ring_buffer *pool;
	struct ring_buffer_chunk *chunks;
	uint64_t *slot_map; /* a bit a slot: taken */
	unsigned slots;
	uint64_t reserved; /* bytes of slots taken */
	uint64_t bound;	   /* of these, known to the kernel */
	struct ring_stats stats;
};

/* As ring_create(), with these back ends; uring NULL: not there. */
int ring_create_with(struct quire *quire, const struct ring_options *options,
		     const struct ring_backend *uring, const struct ring_backend *threads,
		     struct ring **made);

/* From a back end: a request has ended; code is bytes or -errno. */
void ring_complete(struct ring_request *request, long code);

/* The calling thread is inside of a hook or a done() of some ring. */
extern __thread unsigned ring_inside;

extern const struct quire_owner_ops ring_ops;

/* The moment ns from now, by CLOCK_MONOTONIC; UINT64_MAX at most. */
uint64_t ring_deadline(uint64_t ns);
/* Waits for a condition until then; false: the time has come. */
bool ring_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline);

/* request.c */

/* The oldest held request is handed out to be started, with all behind it; NULL: there is none. */
struct ring_request *ring_launch_locked(struct ring_buffer *buffer);
/* Starts what was handed out. No lock held. */
void ring_start(struct ring_request *chain);
/* The lock is held; it drops it. Nobody waits for the request any more. */
void ring_request_free_locked(struct ring_request *request);

/* buffer.c */

/*
 * The holder has a stopped buffer for itself: nothing flies, and only the holder changes slot and
 * pin. ring_hold_locked() waits for that until the deadline (0: not at all); false: not so long.
 * It drops the lock while it waits. ring_let_go() ends it, and the stop with it.
 */
bool ring_hold_locked(struct ring_buffer *buffer, const void *holder, uint64_t deadline);
void ring_let_go(struct ring_buffer *buffer);
/*
 * Called with the lock, which it drops, after a stop or a flight has ended: goes on with whatever
 * waited for that.
 */
void ring_go_on_unlock(struct ring_buffer *buffer);

/* The holder's. The buffer has neither slot nor pin: both, where that is allowed. */
void ring_register(struct ring_buffer *buffer);
/* The holder's. The pin was dropped and the buffer has moved, or has not: as it was, there. */
void ring_register_again(struct ring_buffer *buffer, bool moved);

/*
 * For an op that cannot have it now: what to wait for, NULL for want of memory. It is the buffer's,
 * and signaled once nothing flies and nobody holds it.
 */
struct quire_fence *ring_fence_locked(struct ring_buffer *buffer);
void ring_tell_locked(struct ring_buffer *buffer);

/* For the free op. */
void ring_buffer_free_locked(struct ring_buffer *buffer);
/* Puts all there are. */
void ring_buffers_put(struct ring *ring);
/* The memory of all buffers; none is alive. */
void ring_buffers_finish(struct ring *ring);

#endif

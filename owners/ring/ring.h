/* SPDX-License-Identifier: MIT */
/*
 * ring.h: files read and written into folios that are registered with io_uring; an owner to learn
 * from.
 *
 * A buffer is one folio, of order 0 to 9. Where io_uring is there and RLIMIT_MEMLOCK allows it, the
 * buffer is registered: the kernel pins its pages once, and not for each I/O. What the kernel has
 * pinned so are pages, not addresses: a buffer that moves and is not registered anew would be read
 * into at its old place, silently. So the ring is asked before a buffer moves. It holds new
 * requests of that buffer back, waits for those in flight, lets it move, registers the new place,
 * and goes on. Nobody who uses a buffer notices, but for the time it takes.
 *
 * Where there is no io_uring, or it is refused, threads read and write; ring_backend() says which
 * it is, and why. That is no error, and nothing else here differs.
 *
 * How much is registered: no more than RLIMIT_MEMLOCK, less what the process has locked or pinned
 * already, also for those whom the kernel would allow more; and no more than there are slots. A
 * buffer beyond that is not registered and works all the same: it keeps its address only while
 * I/O is in flight on it. It stays so; one whose registration failed after a move is registered
 * again by its next move, if that works then.
 *
 * What may run at once: any function here with any other, in any threads, together with movers of
 * the quire; ring_create() and ring_destroy() want the ring for themselves. No function here is for
 * a signal handler or a child of fork().
 *
 * Whoever reads or writes the content of a buffer uses quire_pin() or a read section on
 * ring_buffer_folio(), never an address kept from before. Content under I/O belongs to the kernel
 * until that has completed.
 *
 * Errors are -errno; a call that failed has changed nothing. What happens to an I/O is in its
 * result.
 */
#ifndef QUIRE_OWNERS_RING_H
#define QUIRE_OWNERS_RING_H

#include <quire.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ring;
struct ring_buffer;
struct ring_request;

/* A request's file offset: where the file stands; for pipes, sockets, terminals. */
#define RING_STREAM UINT64_MAX

enum ring_choice {
	RING_BEST = 0,	 /* io_uring where it works, else threads */
	RING_THREADS = 1 /* threads */
};

struct ring_options {
	size_t size;		 /* sizeof(struct ring_options) */
	const char *name;	 /* of the owner; NULL: "ring" */
	enum ring_choice choice; /* of the back end */
	unsigned entries;	 /* requests at once, 1 to 4096; 0: 128 */
	unsigned slots;		 /* buffers registered at once, 1 to 16384; 0: 1024 */
	unsigned threads;	 /* of that back end, 1 to 64: as many I/Os run at once; 0: 4 */
	uint64_t memlock;	 /* bytes to register at most; 0: what RLIMIT_MEMLOCK allows */
	uint64_t quiesce_ns;	 /* a move in mode SYNC and ring_destroy() wait so long; 0: 1 s */
	/*
	 * Called by the isolate op, in the mover's thread, with the folio isolated: from now on and
	 * until it has moved or is put back it is "on the move". ring_folio_buffer() says which
	 * buffer it is; the hook may submit I/O on it. NULL: none.
	 */
	void (*on_isolate)(void *arg, struct quire_folio *folio);
	void *arg;
};
#define RING_OPTIONS(...)                                                                          \
	(&(const struct ring_options){ .size = sizeof(struct ring_options), __VA_ARGS__ })

/*
 * Makes a ring, its owner, and the thread or threads that complete I/O. options NULL: all defaults.
 * -EINVAL  options that make no sense     -ENOMEM     -EAGAIN  no thread could be started
 */
QUIRE_MUST_USE int ring_create(struct quire *quire, const struct ring_options *options,
			       struct ring **ring);

/*
 * Puts every buffer and ends the owner. Nobody may use the ring any more; movers may still be at
 * its folios. I/O in flight and movers are waited for, quiesce_ns at most. A folio that somebody
 * else has a reference on stays, and is nobody's. To be called before quire_destroy().
 * -EBUSY    I/O is still in flight, a request was not waited for, or an op runs: call again
 * -EDEADLK  inside of an op, a read section, a hook, or a request's done()
 * destroy(NULL) is 0.
 */
int ring_destroy(struct ring *ring);

/* "io_uring" or "threads: " and why not io_uring; more may follow a ", ". Lives as the ring. */
const char *ring_backend(const struct ring *ring);
bool ring_is_uring(const struct ring *ring);

/*
 * Makes a buffer of 4096 << order bytes, order 0 to 9, and registers it where that is allowed.
 * Its content is whatever its frames held before.
 * -EINVAL  order over 9     -ENOMEM  no aligned free place, or no memory
 */
QUIRE_MUST_USE int ring_buffer_create(struct ring *ring, unsigned order,
				      struct ring_buffer **buffer);
/* The same at a given frame: as quire_folio_create_with(). -EINVAL, -EBUSY, -ENOMEM. */
QUIRE_MUST_USE int ring_buffer_create_at(struct ring *ring, struct quire_frame at, unsigned order,
					 struct ring_buffer **buffer);

/*
 * Gives a buffer up. Requests on it go on to their end; its frames are free after that. Any request
 * submitted later is refused (-ESTALE), until the descriptor is another buffer's. put(NULL) does
 * nothing. May be called from done().
 */
void ring_buffer_put(struct ring_buffer *buffer);

/* Its folio, as long as the buffer was not put. */
struct quire_folio *ring_buffer_folio(const struct ring_buffer *buffer);
size_t ring_buffer_bytes(const struct ring_buffer *buffer);
/* Is it registered now? A hint: a move may change it. */
bool ring_buffer_registered(const struct ring_buffer *buffer);

/* What became of an I/O. */
struct ring_result {
	size_t size;
	long code;	/* bytes done, fewer than asked for at a file's end; or -errno */
	unsigned fixed; /* 1: by its registration */
	unsigned held;	/* 1: it was held back, a move being under way */
	/*
	 * 1: between its submission and its completion there was a moment at which its buffer was
	 * on the move: isolated, and neither moved nor put back yet.
	 */
	unsigned overlapped;
};

/* An I/O. */
struct ring_io {
	size_t size;
	struct ring_buffer *buffer;
	int fd;		 /* open until the I/O has completed */
	uint64_t offset; /* in the file, or RING_STREAM */
	size_t at;	 /* in the buffer */
	size_t bytes;
	/*
	 * Called once, when the I/O has completed, in a thread of the ring and with no lock held;
	 * may be before ring_read() has returned. May submit more and put buffers; ring_wait() and
	 * ring_destroy() answer -EDEADLK. NULL: ring_wait() it is.
	 */
	void (*done)(void *arg, const struct ring_result *result);
	void *arg;
};
#define RING_IO(...) (&(const struct ring_io){ .size = sizeof(struct ring_io), __VA_ARGS__ })

/*
 * Submits a read from a file into a buffer, or a write of a buffer to a file. Never waits for I/O,
 * nor for a move. Several on one buffer run in any order. With done, request is NULL; without, it
 * must be waited for.
 * -EINVAL  at + bytes is past the buffer's end, or neither or both of done and request
 * -ESTALE  the buffer was put     -EAGAIN  as many requests as there are entries     -ENOMEM,
 * -EBUSY, -EAGAIN  the kernel takes no more now
 * All else is the request's result, -EBADF for one.
 */
QUIRE_MUST_USE int ring_read(struct ring *ring, const struct ring_io *io,
			     struct ring_request **request);
QUIRE_MUST_USE int ring_write(struct ring *ring, const struct ring_io *io,
			      struct ring_request **request);

/*
 * Waits until a request has completed, fills *result (may be NULL) as far as its size goes, and
 * gives the request back: it may not be used afterwards.
 * -ETIMEDOUT  not within deadline_ns: wait again     -EDEADLK  in a done() or a hook
 */
int ring_wait(struct ring_request *request, uint64_t deadline_ns, struct ring_result *result);

/* Has it completed? ring_wait() has to follow all the same. */
bool ring_done(const struct ring_request *request);

/* The owner, for naming it and comparing blockers. */
struct quire_owner *ring_owner(const struct ring *ring);
/* The buffer of a folio of the ring's; for the hook, or while the folio is kept from being freed.
 */
struct ring_buffer *ring_folio_buffer(const struct quire_folio *folio);

/*
 * Counters: X(name, what it counts).
 *
 *	isolated = moved + putbacks + freed_isolated     once no mover runs
 *	submitted = done + failed                        once no I/O is in flight
 *	fixed + plain = done + failed                    likewise
 */
#define RING_COUNTERS(X)                                                                           \
	X(submitted, "I/Os submitted")                                                             \
	X(done, "I/Os completed, in full or short")                                                \
	X(failed, "I/Os that ended in an error")                                                   \
	X(ended_short, "of those done, with fewer bytes than asked for")                           \
	X(bytes_read, "bytes read into buffers")                                                   \
	X(bytes_written, "bytes written from buffers")                                             \
	X(fixed, "I/Os by a registration")                                                         \
	X(plain, "I/Os by an address")                                                             \
	X(held, "I/Os held back while their buffer moved")                                         \
	X(overlapped, "I/Os done of which a part fell into a move of their buffer")                \
	X(isolated, "isolations")                                                                  \
	X(moved, "isolations that ended in a move")                                                \
	X(putbacks, "isolations that were put back")                                               \
	X(freed_isolated, "isolations that ended in the folio's free")                             \
	X(unbalanced, "ops called against the contract: always 0")                                 \
	X(busy, "answers of an op that I/O is in flight, with a fence")                            \
	X(quiesced, "buffers whose I/O in flight a move has waited for")                           \
	X(quiesce_timeouts, "such waits that came to their end first")                             \
	X(registrations, "registrations made, those after moves among them")                       \
	X(updates, "registrations made anew after a move")                                         \
	X(update_failures, "registrations lost after a move")                                      \
	X(over_limit, "buffers not registered, the limit being reached")                           \
	X(over_slots, "buffers not registered, all slots being taken")                             \
	X(register_failures, "buffers whose first registration failed")                            \
	X(slots_stuck, "slots given up, the kernel not letting go of what they held")

struct ring_stats {
	size_t size;		   /* sizeof(struct ring_stats) */
	uint64_t buffers;	   /* buffers that were not put */
	uint64_t registered;	   /* buffers registered now */
	uint64_t registered_bytes; /* the sum of their lengths */
	uint64_t in_flight; /* I/Os submitted and not completed, those held back among them */
	uint64_t memlock;   /* bytes that could be registered when it was made */
	uint64_t reserved[3];
	/* Last, since new counters go to the end. */
#define RING_COUNTER_FIELD_(name, text) uint64_t name;
	RING_COUNTERS(RING_COUNTER_FIELD_)
#undef RING_COUNTER_FIELD_
};

/* Fills *stats as far as its size goes; -EINVAL: a size that holds no counter. */
int ring_stats_get(struct ring *ring, struct ring_stats *stats);

#ifdef __cplusplus
}
#endif
#endif

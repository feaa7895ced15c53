/* SPDX-License-Identifier: MIT */
/*
 * base.h: frames, modes, reasons: the words that all other headers use.
 *
 * Errors: every function that can fail returns 0 or a count on success and -errno on failure; errno
 * itself is left alone. The library never aborts, prints or exits. Structures that may grow start
 * with their own size; what a caller's older structure does not have is taken as 0.
 */
#ifndef QUIRE_BASE_H
#define QUIRE_BASE_H

#include <quire/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quire;
struct quire_owner;
struct quire_folio;
struct quire_batch;
struct quire_fence;
struct quire_pin;
struct quire_plan;
struct quire_extent;
struct quire_server;

/* "as many as there are" */
#define QUIRE_MAX UINT64_MAX

/* A place: 4 KiB of an arena, numbered from 0. Never a thing: a folio's frame changes. */
struct quire_frame {
	uint32_t n;
};

#define QUIRE_FRAME_NONE_N UINT32_MAX

static inline struct quire_frame quire_frame(uint32_t n)
{
	struct quire_frame frame;

	frame.n = n;
	return frame;
}

static inline bool quire_frame_is_none(struct quire_frame frame)
{
	return frame.n == QUIRE_FRAME_NONE_N;
}

/*
 * How patient a move is (contract X1, W14). A mode is about waiting only; what is moved is the
 * same.
 *
 *  ASYNC       never waits: what cannot be moved at once is left, and named
 *  SYNC_LIGHT  waits for what is short: short pins, an owner's -EAGAIN; 1 ms a call at most
 *  SYNC        waits for I/O and devices too, up to the deadline
 */
enum quire_mode {
	QUIRE_ASYNC = 0,
	QUIRE_SYNC_LIGHT = 1,
	QUIRE_SYNC = 2,
};

/*
 * Why a folio was not moved: X(name, text). Each is a counter as well (struct quire_stats).
 * The numbers are ABI: new ones go to the end.
 */
#define QUIRE_REASONS(X)                                                                           \
	X(NONE, "moved")                                                                           \
	X(FREED, "freed meanwhile")                                                                \
	X(SHORT_PIN, "pinned")                                                                     \
	X(LONG_PIN, "pinned long")                                                                 \
	X(THREAD_GONE, "pinned, thread gone")                                                      \
	X(ISOLATED, "another mover has it")                                                        \
	X(VETO, "its owner refused")                                                               \
	X(OWNER_BUSY, "its owner is busy")                                                         \
	X(OWNER_ERROR, "its owner failed")                                                         \
	X(OWNER_PROTO, "its owner returned 0 without a commit")                                    \
	X(NO_FRAMES, "no free frames")                                                             \
	X(NO_PLACE, "no aligned place")                                                            \
	X(CLAIMED, "another plan has the range")                                                   \
	X(COPY, "copying failed")                                                                  \
	X(BARRIER, "membarrier failed")                                                            \
	X(NO_MEMORY, "no memory for bookkeeping")                                                  \
	X(READER, "a reader stays in its section")                                                 \
	X(BUDGET, "the budget ended")                                                              \
	X(CANCELED, "canceled")                                                                    \
	X(STALE, "not a live folio")                                                               \
	X(RETIRED, "freed, but still pinned")                                                      \
	X(MODE, "needs a more patient mode")                                                       \
	X(FENCE, "waits for its owner's fence")                                                    \
	X(POOL, "kept empty by its owner")                                                         \
	X(EXTENT, "handed out as an extent")                                                       \
	X(REFERENCED, "others have references")

enum quire_reason {
#define QUIRE_REASON_ENUM_(name, text) QUIRE_REASON_##name,
	QUIRE_REASONS(QUIRE_REASON_ENUM_)
#undef QUIRE_REASON_ENUM_
		QUIRE_REASON_COUNT
};
/* There will not be more of them in this ABI. */
#define QUIRE_REASON_ROOM 32

/* The text of a reason; "unknown" for a number that is none. Never NULL. */
QUIRE_EXPORT const char *quire_reason_text(enum quire_reason reason);

/*
 * Who stands in the way: one folio that stays, and one holder of it. Strings live as long as what
 * handed out the blocker (a plan, an outcome) and the owner or the fence it names.
 */
struct quire_blocker {
	struct quire_frame frame;  /* where the folio is */
	struct quire_folio *folio; /* for comparing; the caller has no reference through it */
	const char *owner;  /* who holds it: the pin's owner, else the folio's. "" if unknown */
	const char *reason; /* quire_reason_text(why) */
	/* "file.c:123" of the pin; a fence's name; the op that runs, in a detach. "" otherwise. */
	const char *site;
	enum quire_reason why;
	int code;   /* the -errno behind it */
	int thread; /* the kernel's thread id of the holder; 0 if none */
	/*
	 * Of a named pin: since when. Of a short pin: since a mover first met one of that site on
	 * the folio in that place of its thread; pins of one site that come and go look like one.
	 */
	uint64_t age_ns;
};

#define QUIRE_STRINGIFY_(x) #x
#define QUIRE_STRINGIFY(x) QUIRE_STRINGIFY_(x)
/* The call site, as pins record it. */
#define QUIRE_SITE (__FILE__ ":" QUIRE_STRINGIFY(__LINE__))

/* "0.1.0" of the library that runs, not of the header. */
QUIRE_EXPORT const char *quire_version(void);

#ifdef __cplusplus
}
#endif
#endif

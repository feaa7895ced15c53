/* SPDX-License-Identifier: MIT */
/*
 * abi.h: what the inline functions of pin.h and read.h need to see.
 *
 * A pin must cost about as much as two stores, so pin, unpin and read sections are inline and the
 * layouts below are part of the ABI: QUIRE_ABI counts their changes, QUIRE_OPTIONS() hands the
 * number the program was compiled with to quire_create(), and quire_create() answers -EPROTO
 * where it is not the library's. Programs use no name of this file that ends in an underscore.
 *
 * The folio's word (64 bits), the one place where its state stands:
 *
 *	 63      42 41    36 35   32 31                0
 *	+----------+--------+-------+-------------------+
 *	| version  | flags  | order |       frame       |
 *	+----------+--------+-------+-------------------+
 *
 * Invariants:
 *  - the frame, and the order, change only together with version + 1, in one release store;
 *  - DEAD is set once, together with version + 1, after the last reference went; nothing clears it
 *    before the descriptor is used again, which is after every reader's epoch has passed;
 *  - the version survives free and reuse: a descriptor never shows the same (frame, version)
 *    twice within 2^22 changes;
 *  - MOVING implies ISOLATED; DEAD excludes both.
 */
#ifndef QUIRE_ABI_H
#define QUIRE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUIRE_ABI 1u

#define QUIRE_EXPORT __attribute__((visibility("default")))
#define QUIRE_MUST_USE __attribute__((warn_unused_result))
#define QUIRE_LIKELY_(x) __builtin_expect(!!(x), 1)

#define QUIRE_FRAME_BYTES 4096u
#define QUIRE_FRAME_SHIFT 12
#define QUIRE_MAX_ORDER 9u
#define QUIRE_BLOCK_FRAMES 512u

#define QUIRE_WORD_ORDER_SHIFT_ 32
#define QUIRE_WORD_FLAG_SHIFT_ 36
#define QUIRE_WORD_VERSION_SHIFT_ 42
#define QUIRE_WORD_FRAME_MASK_ 0xffffffffull
#define QUIRE_WORD_VERSION_ONE_ (1ull << QUIRE_WORD_VERSION_SHIFT_)
#define QUIRE_WORD_VERSION_MASK_ (~0ull << QUIRE_WORD_VERSION_SHIFT_)

/* Flags of the word. Only the library sets them. */
#define QUIRE_MOVING_ (1ull << 36)   /* being copied: a new pin waits */
#define QUIRE_DEAD_ (1ull << 37)     /* the last reference is gone */
#define QUIRE_ISOLATED_ (1ull << 38) /* one mover has it */
#define QUIRE_WAITERS_ (1ull << 39)  /* somebody sleeps until MOVING is clear */
#define QUIRE_MOVED_ (1ull << 40)    /* published; the op that moved it has not returned yet */

/* Short pins a thread may hold at once; the next one becomes a long pin by itself. */
#define QUIRE_SHORT_PINS 8u

struct quire_owner;

/* A folio's descriptor. Type-stable: once one, always one, whatever folio it describes. */
struct quire_folio {
	uint64_t word_;		    /* atomic; see above */
	uint64_t count_;	    /* atomic; references low 32 bits, long pins high 32 bits */
	struct quire_owner *owner_; /* set at creation, sticky */
	void *private_;		    /* atomic; the owner's */
	void *pins_;		    /* named pins; under the pin lock */
	void *link_;		    /* of whoever has it: free list, retire list, or mover */
};

/* The part of an owner that a pin needs: where frame 0 of its arena is mapped. */
struct quire_owner_head_ {
	char *base;
};

/* One short pin: a hazard pointer with its call site. */
struct quire_slot_ {
	struct quire_folio *folio; /* atomic; NULL or 1: no pin */
	const char *site;	   /* atomic; stored before folio */
};

/*
 * A thread's record. Written by its thread alone, read by movers and freers; never freed.
 */
struct quire_thread_ {
	uint32_t npins; /* slots in use; raised before a slot is filled */
	uint32_t nest;	/* read sections open */
	uint64_t epoch; /* atomic; the epoch entered, 0 outside of read sections (nest is 0) */
	uint32_t fence; /* 1 where the kernel has no membarrier: pins need a full fence */
	uint32_t reserved;
	struct quire_slot_ slot[QUIRE_SHORT_PINS];
};

/* NULL until the thread's first pin or read section. */
extern QUIRE_EXPORT __thread struct quire_thread_ *quire_thread_self_
	__attribute__((tls_model("initial-exec")));

/* The current epoch; starts at 1 and only grows. */
extern QUIRE_EXPORT uint64_t quire_epoch_;

/* Out of line: a thread's first time, its ninth pin, a folio on the move, unpins in any order. */
QUIRE_EXPORT void *quire_pin_slow_(struct quire_folio *folio, const char *site);
QUIRE_EXPORT void quire_unpin_slow_(struct quire_folio *folio);
QUIRE_EXPORT struct quire_thread_ *quire_thread_attach_(void);

/*
 * Sync points inside the inline functions, for the library's own tests; nothing otherwise.
 */
#ifdef QUIRE_POINTS
extern void (*quire_sync_hook_)(const char *point, void *what);
#define QUIRE_SYNC_(point, what)                                                                   \
	do {                                                                                       \
		if (quire_sync_hook_)                                                              \
			quire_sync_hook_(point, what);                                             \
	} while (0)
#else
#define QUIRE_SYNC_(point, what)                                                                   \
	do {                                                                                       \
	} while (0)
#endif

/* ThreadSanitizer knows no fences; nothing here relies on them for what it can see. */
#if defined(__SANITIZE_THREAD__)
#define QUIRE_TSAN_ 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define QUIRE_TSAN_ 1
#endif
#endif
#ifndef QUIRE_TSAN_
#define QUIRE_TSAN_ 0
#endif
#if QUIRE_TSAN_
#define QUIRE_FENCE_ACQUIRE_() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define QUIRE_FENCE_FULL_() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define QUIRE_FENCE_ACQUIRE_() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define QUIRE_FENCE_FULL_() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#ifdef __cplusplus
}
#endif
#endif

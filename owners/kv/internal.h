/* SPDX-License-Identifier: MIT */
/*
 * internal.h: what kv.c (the table) and home.c (where values live) share.
 *
 * Lock order: a shard's lock (kv.c), a class's lock, the pool's lock (home.c). Ops take none of
 * them: a free op may run under the first, in whoever drops the last reference.
 */
#ifndef QUIRE_OWNERS_KV_INTERNAL_H
#define QUIRE_OWNERS_KV_INTERNAL_H

#include "kv.h"

#include <pthread.h>

/*
 * Fences around the bytes of values, which are relaxed accesses; all else is ordered by the
 * accesses themselves. ThreadSanitizer has no fences, and needs none for accesses that are all
 * atomic.
 */
#if defined(__SANITIZE_THREAD__)
#define KV_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KV_TSAN 1
#endif
#endif
#ifdef KV_TSAN
#define kv_fence_release() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define kv_fence_acquire() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define kv_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
#define kv_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#endif

/* Counters: a stripe for every few threads, summed up when somebody asks. Relaxed: they order
 * nothing, and a sum taken while others count is a moment old. */
enum kv_tally {
#define KV_TALLY_(name, text) KV_N_##name,
	KV_COUNTERS(KV_TALLY_)
#undef KV_TALLY_
		KV_TALLIES
};

#define KV_STRIPES 32u

struct kv_stripe {
	uint64_t n[KV_TALLIES];
} __attribute__((aligned(64)));

/* The calling thread's stripe. */
unsigned kv_stripe_index(void);

static inline void kv_tally(struct kv_stripe *stripes, enum kv_tally which)
{
	__atomic_fetch_add(&stripes[kv_stripe_index()].n[which], 1, __ATOMIC_RELAXED);
}

/*
 * A home describes one folio of kv's and stands behind its private pointer. Type-stable: chunks of
 * homes are given back in kv_homes_finish() only. It is taken before its folio is created, and
 * goes back to the pool in the free op, when neither ops nor references can reach it any more;
 * readers that still do (kv_home_moving) look at `from` alone and find nothing there.
 */
struct kv_home {
	uint32_t from;		   /* atomic; the frame it was isolated at, NONE while it is not */
	uint16_t kind;		   /* index of its size class, or one of KV_KIND_ */
	uint16_t keyed;		   /* atomic; key is set */
	uint64_t key;		   /* atomic; last one stored here */
	uint64_t used;		   /* slots in use; under the class's lock */
	uint64_t seen;		   /* scratch of validation */
	struct quire_folio *folio; /* NULL while free */
	struct kv_home *next; /* in the class's list of homes with a free slot, under its lock; */
	struct kv_home *prev; /* or next alone in the pool */
};

#define KV_CLASSES 11u
#define KV_KIND_OWN KV_CLASSES		 /* one value, in a folio of the order it needs */
#define KV_KIND_PLACED (KV_CLASSES + 1u) /* one value, in a folio whose order was given */

struct kv_class {
	pthread_mutex_t lock;
	struct kv_home *partial; /* homes of this class with at least one slot used and one free */
} __attribute__((aligned(64)));

struct kv_home_chunk;

struct kv_homes {
	struct quire_owner *owner;
	struct kv_stripe *stripes;
	void (*on_isolate)(void *arg, struct quire_folio *folio);
	void *arg;
	struct kv_class classes[KV_CLASSES];
	pthread_mutex_t pool_lock; /* of free and chunks; the only one that takes from returned */
	struct kv_home *free;
	struct kv_home_chunk *chunks;
	struct kv_home *returned; /* atomic; pushed by free ops, taken whole: no ABA */
};

/* Where a value is: no home for an empty one. */
struct kv_place {
	struct kv_home *home;
	struct quire_folio *folio; /* the home's */
	uint32_t offset;
};

/* Makes the owner too. 0 or -errno; stripes must outlive it. */
int kv_homes_init(struct kv_homes *homes, struct quire *quire, const struct kv_options *options,
		  struct kv_stripe *stripes);
/* As quire_owner_destroy(): after an error everything is as it was. */
int kv_homes_finish(struct kv_homes *homes);

/* A new place for len bytes. 0 or what quire_folio_create_with() answers. */
int kv_place_new(struct kv_homes *homes, size_t len, struct kv_place *place);
/* A folio of its own, at a frame. */
int kv_place_new_at(struct kv_homes *homes, struct quire_frame at, unsigned order,
		    struct kv_place *place);
/* Gives a place back; the caller sees to it that nobody finds it any more. */
void kv_place_free(struct kv_homes *homes, const struct kv_place *place);
/* The place that (folio, offset) names; the caller has the shard's lock, or a quiet table. */
struct kv_place kv_place_of(struct quire_folio *folio, uint32_t offset);
/* Would a value of len bytes be put in a place like this one? */
bool kv_place_fits(const struct kv_place *place, size_t len);
void kv_place_set_key(const struct kv_place *place, uint64_t key);

/* Is the folio isolated, and still at frame? Any context that may read the folio. */
static inline bool kv_home_moving(const struct quire_folio *folio, struct quire_frame frame)
{
	const struct kv_home *home = (const struct kv_home *)quire_folio_private(folio);

	return home && __atomic_load_n(&home->from, __ATOMIC_ACQUIRE) == frame.n;
}

/*
 * Validation, on a quiet table: begin, mark every value's place, end. 0 or -EUCLEAN, with what.
 */
void kv_homes_validate_begin(struct kv_homes *homes);
int kv_homes_validate_mark(const struct kv_place *place, size_t len, const char **what);
int kv_homes_validate_end(struct kv_homes *homes, uint64_t *folios, const char **what);

#endif

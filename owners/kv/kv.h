/* SPDX-License-Identifier: MIT */
/*
 * kv.h: a concurrent hash table whose values live in folios; an owner to learn from.
 *
 * Keys are 64-bit numbers, values have 0 bytes to 2 MiB. Small values share a folio of one frame
 * (slots of one size class), larger ones have a folio of their own, of the smallest order that
 * holds them. Every folio may be moved at any time: readers look through read sections and never
 * wait for a move nor make one fail; writers hold a short pin while they store.
 *
 * What may run at once: any function here with any other, in any threads, on any keys, together
 * with movers of the quire; only kv_create, kv_destroy and kv_validate want the table for
 * themselves (movers may go on even then). Each call is atomic for its key: a reader gets the value
 * as one writer left it, never a mixture of two. Across keys nothing is promised.
 *
 * Errors are -errno; what failed has changed nothing. Buffers are the caller's, outside the arena.
 * No function here is for a signal handler. Within a read section all work, but the writers' may
 * wait, and what waits in a section keeps freed frames from coming back. From the on_isolate hook
 * everything works but kv_create and kv_destroy.
 */
#ifndef QUIRE_OWNERS_KV_H
#define QUIRE_OWNERS_KV_H

#include <quire.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kv;

/* The longest value: a folio of the largest order. */
#define KV_VALUE_MAX ((size_t)QUIRE_FRAME_BYTES << QUIRE_MAX_ORDER)

struct kv_options {
	size_t size;	   /* sizeof(struct kv_options) */
	const char *name;  /* of the owner; NULL: "kv" */
	uint64_t expected; /* so many keys to begin with; the table grows by itself. 0: few */
	unsigned
		watch_moves; /* 1: count accesses to folios on the move; a cache line more a read */
	/*
	 * Called by the isolate op, in the mover's thread, with the folio isolated: from now on and
	 * until its publication it is "on the move". kv_folio_key() says what lives in it. Must not
	 * wait for the mover. NULL: none.
	 */
	void (*on_isolate)(void *arg, struct quire_folio *folio);
	void *arg;
};
#define KV_OPTIONS(...)                                                                            \
	(&(const struct kv_options){ .size = sizeof(struct kv_options), __VA_ARGS__ })

/*
 * Makes a table, and its owner. options NULL: all defaults.
 * -EINVAL  options that make no sense (size 0, expected over 2^40, a name no owner may have)
 * -ENOMEM
 */
QUIRE_MUST_USE int kv_create(struct quire *quire, const struct kv_options *options, struct kv **kv);

/*
 * Deletes every value and ends the owner. Nobody may use the table any more; movers may still be
 * at its folios, and readers of other tables in their sections: they are waited for, one second
 * at most. To be called before quire_destroy().
 * -EBUSY   somebody still holds on to a folio: the table is empty, call again
 * -EDEADLK inside of an op: the table is empty, call again outside
 * destroy(NULL) is 0.
 */
int kv_destroy(struct kv *kv);

/*
 * Sets the value of a key, there or not. Stored in place where the place fits the new length,
 * otherwise in a new place, and the old one is given back.
 * -E2BIG   len over KV_VALUE_MAX     -EINVAL  value NULL with a len
 * -ENOMEM  no frames or no memory: the old value, or its absence, stands
 * -ENXIO   in a child of fork()
 */
QUIRE_MUST_USE int kv_set(struct kv *kv, uint64_t key, const void *value, size_t len);

/*
 * The same, in a folio of its own at a given frame: for laying values out as something else had
 * its pages. It keeps that folio as long as the lengths set later fit into it; it may be moved as
 * any other may.
 * -EINVAL  order over 9, at not aligned to it or not in the arena
 * -E2BIG   len over 4096 << order     -EBUSY  at is not free     the rest as in kv_set()
 */
QUIRE_MUST_USE int kv_set_at(struct kv *kv, uint64_t key, struct quire_frame at, unsigned order,
			     const void *value, size_t len);

/*
 * Overwrites n bytes from offset on, in place, under a short pin.
 * -ENOENT   no such key     -ERANGE  offset + n is past the value's end     -EINVAL  bytes NULL
 * -ENOMEM   no memory for the pin (the thread holds eight already)
 */
QUIRE_MUST_USE int kv_update(struct kv *kv, uint64_t key, size_t offset, const void *bytes,
			     size_t n);

/*
 * Deletes a key; the folio of its value goes with the last value in it. -ENOENT: no such key.
 */
int kv_delete(struct kv *kv, uint64_t key);

/*
 * Copies a value out and returns its length. Takes no lock and no pin, unless writers of this key
 * (or, for an absent one, of its 64th of the table) disturb it 64 times in a row: then it takes
 * their lock, so that no reader waits for ever.
 * -ENOENT  no such key
 * -ERANGE  size is less than its length; -ENOMEM at a thread's first read
 * After an error the buffer's content is undefined.
 */
long kv_get(struct kv *kv, uint64_t key, void *buffer, size_t size);

/*
 * Copies up to n bytes from offset on and returns how many; 0 at and past the value's end. Else as
 * kv_get().
 */
long kv_read(struct kv *kv, uint64_t key, size_t offset, void *buffer, size_t n);

/* The value's length; errors as kv_get(). */
long kv_length(struct kv *kv, uint64_t key);

/* How many keys there are; while others write, how many there were a moment ago. */
uint64_t kv_count(struct kv *kv);

/*
 * Calls fn for every key, with no lock held: fn may call anything here. A key that is there all the
 * while is met once; one that comes or goes meanwhile may be met or not; len is a moment old.
 * What fn returns other than 0 ends it and is returned. -ENOMEM.
 */
int kv_each(struct kv *kv, int (*fn)(void *arg, uint64_t key, size_t len), void *arg);

/* The owner, for naming it and comparing blockers. */
struct quire_owner *kv_owner(struct kv *kv);

/*
 * The key whose value was last stored in a folio of kv's; it may have been deleted since. For the
 * hook, or while the folio is otherwise kept from being freed. -ENOENT: none yet.
 */
int kv_folio_key(const struct quire_folio *folio, uint64_t *key);

/*
 * Counters: X(name, what it counts).
 *
 *	isolated = moved + putbacks + freed_isolated    once no mover runs
 *	folios_created = folios_freed + folios          once nobody frees
 */
#define KV_COUNTERS(X)                                                                             \
	X(reads, "values read, or found absent")                                                   \
	X(misses, "of these, absent")                                                              \
	X(retries_move, "reads begun again because the folio had moved")                           \
	X(retries_writer, "reads begun again because of a writer")                                 \
	X(locked_reads, "reads that took the writers' lock in the end")                            \
	X(writes, "values set, updated or deleted")                                                \
	X(pins, "short pins taken for storing")                                                    \
	X(reads_moving, "reads of a folio on the move (watch_moves)")                              \
	X(writes_moving, "stores into a folio on the move (watch_moves)")                          \
	X(isolated, "isolations")                                                                  \
	X(moved, "isolations that ended in a move")                                                \
	X(putbacks, "isolations that were put back")                                               \
	X(freed_isolated, "isolations that ended in the folio's free")                             \
	X(unbalanced, "ops called against the contract: always 0")                                 \
	X(folios_created, "folios created")                                                        \
	X(folios_freed, "folios freed")                                                            \
	X(grown, "times that a part of the table grew")

struct kv_stats {
	size_t size; /* sizeof(struct kv_stats) */
#define KV_COUNTER_FIELD_(name, text) uint64_t name;
	KV_COUNTERS(KV_COUNTER_FIELD_)
#undef KV_COUNTER_FIELD_
	uint64_t values; /* keys now */
	uint64_t bytes;	 /* the sum of their lengths */
	uint64_t folios; /* folios now, those on their way out among them */
};

/* Fills *stats as far as its size goes; -EINVAL: a size that holds no counter. */
int kv_stats_get(struct kv *kv, struct kv_stats *stats);

/*
 * Checks the whole structure; nothing else may use the table meanwhile, movers may.
 * 0, or -EUCLEAN with *what, if given, saying what is wrong; -ENOMEM.
 */
int kv_validate(struct kv *kv, const char **what);

#ifdef __cplusplus
}
#endif
#endif

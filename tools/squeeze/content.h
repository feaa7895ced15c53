/* SPDX-License-Identifier: MIT */
/*
 * content.h: what every byte of the arena should be, known without looking at the arena.
 *
 * The 8-byte word k of a page (4 KiB) is base(seed, page, version) + k * CONTENT_STEP. So a word in
 * the wrong page, at the wrong place, or of an older version differs, and what is expected costs
 * one addition a word.
 *
 * A page's base stands beside its sequence, outside of the arena: a job of gem's may have made the
 * page a copy of another one. The sequence grows by two with each change, and is odd while somebody
 * writes the page, or has it read by something that must find it at rest. Writers take it with a
 * compare-and-swap; readers check it before and after.
 */
#ifndef SQUEEZE_CONTENT_H
#define SQUEEZE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "random.h"

#define CONTENT_PAGE 4096u
#define CONTENT_WORDS (CONTENT_PAGE / 8)
#define CONTENT_STEP 0x9fb21c651e98df25ull

static inline uint64_t content_base(uint64_t seed, uint32_t page, uint32_t version)
{
	return rng_mix(seed + rng_mix(((uint64_t)page << 32 | version) + 1));
}

/* The whole page, into memory that nobody else sees. */
void content_make(uint64_t page[CONTENT_WORDS], uint64_t base);

/* What gem's engine adds up for a page that begins at word `first` of a job's range (GEM_SUM). */
uint64_t content_sum(uint64_t base, uint64_t first);

/* How many of the n bytes found at this offset are wrong; offset and n are multiples of 8. */
size_t content_wrong(const void *found, uint64_t base, size_t offset, size_t n);

/*
 * The sequence of a page. ThreadSanitizer has no fences; the data between them is read and written
 * by relaxed atomics, which it takes for granted.
 */
#if defined(__SANITIZE_THREAD__)
#define CONTENT_FENCE(order) __atomic_signal_fence(order)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CONTENT_FENCE(order) __atomic_signal_fence(order)
#endif
#endif
#ifndef CONTENT_FENCE
#define CONTENT_FENCE(order) __atomic_thread_fence(order)
#endif

struct sequence {
	uint32_t n; /* atomic */
};

/* Readers: the sequence before reading; odd: a writer is at it. Pairs with sequence_unlock(). */
static inline uint32_t sequence_read(const struct sequence *s)
{
	return __atomic_load_n(&s->n, __ATOMIC_ACQUIRE);
}

/* true: what was read since is of one version. */
static inline bool sequence_same(const struct sequence *s, uint32_t before)
{
	CONTENT_FENCE(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&s->n, __ATOMIC_RELAXED) == before;
}

/* Writers: false if another one is at it. *before is the sequence of what stands there now. */
static inline bool sequence_lock(struct sequence *s, uint32_t *before)
{
	uint32_t n = __atomic_load_n(&s->n, __ATOMIC_RELAXED);

	if (n & 1 || !__atomic_compare_exchange_n(&s->n, &n, n + 1, false, __ATOMIC_ACQUIRE,
						  __ATOMIC_RELAXED))
		return false;
	/* no store of data may become visible before the odd number */
	CONTENT_FENCE(__ATOMIC_RELEASE);
	*before = n;
	return true;
}

static inline void sequence_unlock(struct sequence *s, uint32_t before)
{
	__atomic_store_n(&s->n, before + 2, __ATOMIC_RELEASE);
}

/* Nothing was written after all. */
static inline void sequence_cancel(struct sequence *s, uint32_t before)
{
	__atomic_store_n(&s->n, before, __ATOMIC_RELEASE);
}

static inline uint32_t sequence_version(uint32_t sequence)
{
	return sequence >> 1;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * read.h: reading without a pin.
 *
 * A read section never waits for a move and never makes one fail (contract X17, W16): it reads
 * wherever the folio is and finds out afterwards whether that was right, as a sequence lock does.
 * It guards against moves and frees, not against writers: a structure that is written while it is
 * read keeps a sequence of its own, and its writers store with quire_write_bytes().
 *
 *	quire_read_enter();
 *	folio = the index says so (acquire);
 *	do {
 *		view = quire_view(folio);
 *		if (!view.data)
 *			break;                         // dead: look it up again
 *		quire_read_bytes(buffer, view.data + offset, n);
 *	} while (quire_view_stale(folio, view));
 *	quire_read_leave();
 *
 * Epochs: a section announces the epoch it entered in; what was freed, descriptors and frames both,
 * is used again only when every section that could know it has been left (K. Fraser, 2004). The
 * announcement is a plain store; the freer's membarrier makes it a full fence.
 */
#ifndef QUIRE_READ_H
#define QUIRE_READ_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Enters a read section; sections nest. -ENOMEM at a thread's first one, or in a child of fork()
 * that has no quire of its own; else 0. A signal handler may enter one where its thread has been in
 * a section or has pinned before (the first time allocates).
 */
static inline int quire_read_enter(void)
{
	struct quire_thread_ *t = quire_thread_self_;

	if (!QUIRE_LIKELY_(t != NULL)) {
		t = quire_thread_attach_();
		if (!t)
			return -12; /* -ENOMEM */
	}
	/*
	 * Counted first, announced by whoever finds it not announced: a handler that comes between
	 * the two announces for itself, and what it leaves behind is an epoch that is older, never
	 * one that is missing.
	 */
	t->nest++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&t->epoch, __ATOMIC_RELAXED) == 0) {
		/* acquire: who sees an epoch sees what was unlinked or published before it began */
		__atomic_store_n(&t->epoch, __atomic_load_n(&quire_epoch_, __ATOMIC_ACQUIRE),
				 __ATOMIC_RELEASE);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (!QUIRE_LIKELY_(t->fence == 0))
			QUIRE_FENCE_FULL_();
		QUIRE_SYNC_("read:entered", t);
	}
	return 0;
}

/* Leaves it. Not inside a section: undefined. */
static inline void quire_read_leave(void)
{
	struct quire_thread_ *t = quire_thread_self_;

	if (--t->nest == 0)
		__atomic_store_n(&t->epoch, 0, __ATOMIC_RELEASE);
}

struct quire_view {
	const char *data; /* NULL: the folio is dead */
	uint64_t word_;
};

/* Where the folio's content is now. Within a read section only. */
static inline struct quire_view quire_view(const struct quire_folio *folio)
{
	struct quire_view view;
	const struct quire_owner_head_ *head;

	view.data = NULL;
	view.word_ = __atomic_load_n(&folio->word_, __ATOMIC_ACQUIRE);
	if (QUIRE_LIKELY_((view.word_ & QUIRE_DEAD_) == 0)) {
		head = (const struct quire_owner_head_ *)(const void *)folio->owner_;
		view.data =
			head->base + ((view.word_ & QUIRE_WORD_FRAME_MASK_) << QUIRE_FRAME_SHIFT);
	}
	QUIRE_SYNC_("read:viewed", (void *)(uintptr_t)folio);
	return view;
}

/*
 * How many bytes of content the view has: of a folio that is split the views get smaller
 * (quire_folio_split()), and of one that is dead the answer says nothing.
 */
static inline size_t quire_view_bytes(struct quire_view view)
{
	return (size_t)QUIRE_FRAME_BYTES
	       << ((unsigned)(view.word_ >> QUIRE_WORD_ORDER_SHIFT_) & 15u);
}

/* true: what was read since quire_view() may be another folio's; read again. */
static inline bool quire_view_stale(const struct quire_folio *folio, struct quire_view view)
{
	const uint64_t same = QUIRE_WORD_FRAME_MASK_ | QUIRE_WORD_VERSION_MASK_ | QUIRE_DEAD_;

	QUIRE_FENCE_ACQUIRE_();
	return ((__atomic_load_n(&folio->word_, __ATOMIC_RELAXED) ^ view.word_) & same) != 0;
}

/* Content may have been stored as any type. */
typedef uint64_t __attribute__((may_alias)) quire_word_alias_;

/*
 * Copies n bytes out of a folio that others may write or move meanwhile: relaxed loads, words where
 * the source is aligned. A plain memcpy would be undefined.
 */
static inline void quire_read_bytes(void *to, const void *from, size_t n)
{
	unsigned char *d = (unsigned char *)to;
	const unsigned char *s = (const unsigned char *)from;

	while (n && ((uintptr_t)s & 7)) {
		*d++ = __atomic_load_n(s++, __ATOMIC_RELAXED);
		n--;
	}
	for (; n >= 8; n -= 8, s += 8, d += 8) {
		uint64_t v = __atomic_load_n((const quire_word_alias_ *)(const void *)s,
					     __ATOMIC_RELAXED);

		__builtin_memcpy(d, &v, 8);
	}
	while (n--)
		*d++ = __atomic_load_n(s++, __ATOMIC_RELAXED);
}

/* The writers' side of it, under a pin: relaxed stores. */
static inline void quire_write_bytes(void *to, const void *from, size_t n)
{
	unsigned char *d = (unsigned char *)to;
	const unsigned char *s = (const unsigned char *)from;

	while (n && ((uintptr_t)d & 7)) {
		__atomic_store_n(d++, *s++, __ATOMIC_RELAXED);
		n--;
	}
	for (; n >= 8; n -= 8, s += 8, d += 8) {
		uint64_t v;

		__builtin_memcpy(&v, s, 8);
		__atomic_store_n((quire_word_alias_ *)(void *)d, v, __ATOMIC_RELAXED);
	}
	while (n--)
		__atomic_store_n(d++, *s++, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * pin.h: keeping an address.
 *
 * Short pins are for one thread and a short while: two plain stores and a re-check, no shared cache
 * line is written. The thread that took one releases it. They are published as hazard pointers
 * (M. Michael, 2004), with the call site beside them; a mover that meets one leaves the folio where
 * it is. Long pins outlive the call or cross threads: named objects on the folio.
 *
 * Whoever writes by handle holds a pin while writing: that is why a move cannot lose a store
 * (design, decision 4). Readers may use read sections instead (read.h).
 *
 * The protocol of a short pin; what it pairs with stands in src/migrate/commit.c:
 *   1. npins + 1        so that a signal handler that pins takes the next slot
 *   2. site, then folio (release: what the thread did under an older pin in this slot is before it)
 *   3. signal fence     the mover's membarrier makes it a full one
 *   4. the word, acquire: MOVING -> take the pin back and wait; DEAD -> take it back, NULL
 * Either the mover sees the pin in its scan, or the pin sees MOVING in 4: never neither.
 */
#ifndef QUIRE_PIN_H
#define QUIRE_PIN_H

#include <quire/base.h>
#include <quire/folio.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Pins a folio and returns its address, valid until quire_unpin() in the same thread. The caller
 * has a reference, or found the folio in its index within a read section and checks that the index
 * still names it afterwards. Waits while the folio is being copied (some microseconds).
 * NULL: the folio is dead; or it was the thread's ninth pin and there was no memory for it; or this
 * is a child of fork() and the quire is the parent's.
 * A signal handler may pin what the interrupted thread is not moving, where that thread has pinned
 * before and holds no more than eight pins together with the handler's own, and releases them last
 * in, first out: a thread's first pin and its ninth allocate and take locks.
 */
#define quire_pin(folio) quire_pin_at_((folio), QUIRE_SITE)

static inline void *quire_pin_at_(struct quire_folio *folio, const char *site)
{
	struct quire_thread_ *t = quire_thread_self_;
	const struct quire_owner_head_ *head;
	uint64_t word;
	uint32_t i;

	if (QUIRE_LIKELY_(t != NULL) && QUIRE_LIKELY_((i = t->npins) < QUIRE_SHORT_PINS)) {
		t->npins = i + 1;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		__atomic_store_n(&t->slot[i].site, site, __ATOMIC_RELAXED);
		__atomic_store_n(&t->slot[i].folio, folio, __ATOMIC_RELEASE);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (!QUIRE_LIKELY_(t->fence == 0))
			QUIRE_FENCE_FULL_();
		QUIRE_SYNC_("pin:published", folio);
		word = __atomic_load_n(&folio->word_, __ATOMIC_ACQUIRE);
		if (QUIRE_LIKELY_((word & (QUIRE_MOVING_ | QUIRE_DEAD_)) == 0)) {
			head = (const struct quire_owner_head_ *)(const void *)folio->owner_;
			return head->base + ((word & QUIRE_WORD_FRAME_MASK_) << QUIRE_FRAME_SHIFT);
		}
		__atomic_store_n(&t->slot[i].folio, (struct quire_folio *)0, __ATOMIC_RELEASE);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		t->npins = i;
	}
	return quire_pin_slow_(folio, site);
}

/*
 * Releases this thread's latest pin of the folio. Any order works; last in, first out is fastest.
 */
static inline void quire_unpin(struct quire_folio *folio)
{
	struct quire_thread_ *t = quire_thread_self_;
	uint32_t n;

	if (QUIRE_LIKELY_(t != NULL) && QUIRE_LIKELY_((n = t->npins) != 0) &&
	    QUIRE_LIKELY_(t->slot[n - 1].folio == folio)) {
		/* release: the mover that finds the slot empty sees all that was stored under it */
		__atomic_store_n(&t->slot[n - 1].folio, (struct quire_folio *)0, __ATOMIC_RELEASE);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		t->npins = n - 1;
		return;
	}
	quire_unpin_slow_(folio);
}

/*
 * A long pin: any thread may release it. `who` is the owner that holds it and is named as such; it
 * need not be the folio's. An owner's own pins on its own folios are dropped in its migrate op, so
 * a plan counts on them going; everything else that is pinned long is taken to stay.
 * The caller has a reference; the pin takes none.
 * -ENOMEM; -ESTALE: the folio is dead; -EINVAL: who is NULL or of another quire; -ENXIO: in a child
 * of fork(); -ESHUTDOWN: in a free op that quire_destroy() has called. Not for signal handlers.
 * Waits as quire_pin() does.
 */
#define quire_pin_long(folio, who, pin) quire_pin_long_at_((folio), (who), QUIRE_SITE, (pin))
QUIRE_EXPORT QUIRE_MUST_USE int quire_pin_long_at_(struct quire_folio *folio,
						   struct quire_owner *who, const char *site,
						   struct quire_pin **pin);

/* Releases a long pin; unpin_long(NULL) does nothing. */
QUIRE_EXPORT void quire_unpin_long(struct quire_pin *pin);

/* The address it keeps, and the folio it is on. */
QUIRE_EXPORT void *quire_pin_address(const struct quire_pin *pin);
QUIRE_EXPORT struct quire_folio *quire_pin_folio(const struct quire_pin *pin);

#ifdef __cplusplus
}
#endif
#endif

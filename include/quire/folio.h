/* SPDX-License-Identifier: MIT */
/*
 * folio.h: things with an identity.
 *
 * A folio is 2^order frames of content with one owner. Its handle stays valid when it moves; only
 * its frame changes. A reference keeps it alive and never blocks a move (design, decision 2);
 * addresses come from pins (pin.h) and read sections (read.h).
 */
#ifndef QUIRE_FOLIO_H
#define QUIRE_FOLIO_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes a folio of 4096 << order bytes, order 0 to 9, with one reference, the caller's. Its content
 * is whatever its frames held before: write it before it is read.
 * -EINVAL  order over 9
 * -ENOMEM  no aligned free place, or no memory. What was freed is no free place while a reader may
 *          see it: that is waited for, 20 ms at most, and not in an op or a read section.
 * -ENXIO   in a child of fork(): the arena is the parent's
 * -ESHUTDOWN  in a free op that quire_destroy() has called
 * Of an owner with frames of its own: -EPROTO if what frame_get offered is none of them, or what it
 * answered otherwise.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_folio_create(struct quire_owner *owner, unsigned order,
						   struct quire_folio **folio);

struct quire_folio_args {
	size_t size;
	unsigned order;
	unsigned at_set;       /* 1: at says where; 0: anywhere */
	struct quire_frame at; /* its first frame, aligned to the order */
	void *private_data;    /* there before any op can see the folio */
	/*
	 * 1: it will be pinned long, by something that cannot be asked or that pins what is below
	 * the address, as a registration with the kernel does. Where no place is given it is put
	 * into blocks that hold others of the kind, as long as there are empty blocks; a hint.
	 */
	unsigned pinned_long;
	/*
	 * 1: it is put into the node `node` if there is room, elsewhere otherwise; with node_only
	 * there or nowhere. Later it may be moved to others. 0: in the first node that has room. An
	 * owner with frames of its own is not asked for it.
	 */
	unsigned node_set;
	uint32_t node;
	unsigned node_only;
};
#define QUIRE_FOLIO(...)                                                                           \
	(&(const struct quire_folio_args){ .size = sizeof(struct quire_folio_args), __VA_ARGS__ })

/*
 * The same, with a place, a node or a private pointer. Besides:
 * -EINVAL  at is not aligned or not in the arena; no such node
 * -EBUSY   at is not free, or in a node that is offline; of an owner with frames of its own: not an
 *          idle one of them
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_folio_create_with(struct quire_owner *owner,
							const struct quire_folio_args *args,
							struct quire_folio **folio);

/*
 * Takes one more reference. The caller has one, or is in a read section and gets false if it is
 * dead. false as well where 2^32 - 2 are taken. Waits while the folio is being split (some
 * microseconds).
 */
QUIRE_EXPORT bool quire_folio_get(struct quire_folio *folio);

/*
 * Drops a reference. With the last one the owner's free op runs, here, and the frames go back as
 * soon as no pin and no reader is left. put(NULL) does nothing. Any thread; does not sleep.
 */
QUIRE_EXPORT void quire_folio_put(struct quire_folio *folio);

/*
 * Splits a folio in place into 2^(its order - order) folios of a lower order (contract H-E6).
 * Nothing is copied or moved. parts is room for all of them: parts[0] is the folio itself, which is
 * the first part from then on and keeps its one reference; each of the others has one, the
 * caller's. They have its owner, and lie in its frames as long as they do not move: what was
 * allocated as pinned_long, or lent by the owner, is so as before. Each is moved, freed and told of
 * by itself from now on.
 *
 * The caller has the only reference, and nobody a pin: whoever has one may rely on the order. Who
 * would take one meanwhile waits some microseconds. A reader in its section finds its view stale;
 * quire_view_bytes() says how much a view is of.
 *
 * The owner's split op has the last word (interfaces/owner.h). An owner with other ops and without
 * that one refuses, since its free op would run for each part; of one without any ops, and of one
 * that is detached, each part has the folio's private pointer.
 *
 *  -EBUSY       pinned, or referenced by somebody else (reason REFERENCED; a mover that is about to
 *               ask for it has a reference for a moment)
 *  -EAGAIN      a mover has it (reason ISOLATED), or its owner is being detached (OWNER_BUSY)
 *  -EOPNOTSUPP  its owner has ops, but no split     otherwise what that op answered (reason VETO)
 *  -ENOMEM      no descriptors for the parts        -EINVAL  order is not lower, or NULL
 *  -ESTALE      it is dead                          -ENXIO   in a child of fork()
 *  -ESHUTDOWN   in a free op that quire_destroy() has called; or what the barrier said
 * After an error all is as before, parts[0] is NULL, and *who (may be NULL; not for EINVAL, ENXIO,
 * ESHUTDOWN) says who is in the way. Never waits; allowed in ops and in read sections, not in
 * signal handlers.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_folio_split(struct quire_folio *folio, unsigned order,
						  struct quire_folio **parts,
						  struct quire_blocker *who);

/* Changed by a split alone; without a reference or a pin it may be lower by the time this returns.
 */
static inline unsigned quire_folio_order(const struct quire_folio *folio)
{
	return (unsigned)(__atomic_load_n(&folio->word_, __ATOMIC_RELAXED) >>
			  QUIRE_WORD_ORDER_SHIFT_) &
	       15u;
}

static inline size_t quire_folio_bytes(const struct quire_folio *folio)
{
	return (size_t)QUIRE_FRAME_BYTES << quire_folio_order(folio);
}

/* Where it is now; without a pin it may be elsewhere by the time this returns. */
static inline struct quire_frame quire_folio_frame(const struct quire_folio *folio)
{
	return quire_frame((uint32_t)(__atomic_load_n(&folio->word_, __ATOMIC_RELAXED) &
				      QUIRE_WORD_FRAME_MASK_));
}

/* true from its isolation until its publication or putback. A hint, for statistics. */
static inline bool quire_folio_on_the_move(const struct quire_folio *folio)
{
	return (__atomic_load_n(&folio->word_, __ATOMIC_RELAXED) &
		(QUIRE_ISOLATED_ | QUIRE_MOVED_)) == QUIRE_ISOLATED_;
}

static inline struct quire_owner *quire_folio_owner(const struct quire_folio *folio)
{
	return folio->owner_;
}

/* The owner's pointer. Set it at creation where an op may need it. */
static inline void *quire_folio_private(const struct quire_folio *folio)
{
	return __atomic_load_n(&folio->private_, __ATOMIC_ACQUIRE);
}

static inline void quire_folio_set_private(struct quire_folio *folio, void *data)
{
	__atomic_store_n(&folio->private_, data, __ATOMIC_RELEASE);
}

/*
 * The content of a folio that is dead, inside its free op; of any other folio this is an address
 * that nothing holds still. NULL never.
 */
static inline void *quire_folio_content(const struct quire_folio *folio)
{
	const struct quire_owner_head_ *head =
		(const struct quire_owner_head_ *)(const void *)folio->owner_;

	return head->base + ((size_t)quire_folio_frame(folio).n << QUIRE_FRAME_SHIFT);
}

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * folios.h: descriptors, owners, retirement, named pins: what the layers above need of folios.
 *
 * Invariants of a descriptor, which folios_validate() checks when nothing runs:
 *
 *	live      references >= 1, DEAD clear, tag(frame) names it, its frames are allocated
 *	retired   references = 0, DEAD set, tag(frame) names it, its frames are allocated
 *	free      references = 0, DEAD set, on the free list, no tag names it
 *	isolated  one mover holds a reference and has link_
 *
 * The states of the word, and what may change it: states.def.
 *
 * Lock order: reclaim -> pins -> table -> node; records -> owners. No lock is held in an op.
 */
#ifndef QUIRE_SRC_FOLIO_FOLIOS_H
#define QUIRE_SRC_FOLIO_FOLIOS_H

#include "core/instance.h"
#include "folio/state.h"
#include "folio/thread.h"

#include <pthread.h>
#include <quire/folio.h>
#include <quire/owner.h>
#include <quire/pin.h>

#define PIN_LOCKS 64

/*
 * An owner's life (contract H-A1, H-C6, H-E8), in one word: how many isolations and free ops are
 * under way, and
 *
 *	0 --detach--> DETACHING --the last one ended--> DETACHED
 *	                  `-----deadline----> 0
 *
 * An op runs only between owner_enter() and owner_leave(). The step to DETACHED is taken by
 * whoever brings the count to 0, so nothing can begin in between. Owners without ops count nothing.
 */
#define OWNER_DETACHING (1u << 31)
#define OWNER_DETACHED (1u << 30)
#define OWNER_RUNNING(life) ((life) & (OWNER_DETACHED - 1))

struct quire_owner {
	struct quire_owner_head_ head; /* what pins read; first */
	struct quire *quire;
	struct quire_owner_ops ops; /* as registered, shorter tables filled with NULL */
	void *arg;
	bool has_ops;
	struct quire_owner_stalls stalls; /* atomic; no size in it */
	uint16_t number;		  /* as a lender of frames, lend.c; 0: it is none */
	uint32_t life;			  /* atomic, futex: see above */
	/* atomic: folios, named pins and lent places that need it, and 1 until it is destroyed */
	uint64_t folios;
	struct quire_owner *next;
	char name[64];
};

/* A named pin. On its folio's list, under the folio's pin lock. */
struct quire_pin {
	struct quire_folio *folio;
	struct quire_owner *owner;
	const char *site;
	struct quire_pin *next, *prev;
	uint64_t since;
	int tid;
	bool spilled;	       /* a thread's ninth short pin */
	struct thread *thread; /* of a spilled pin: its thread's record, or NULL if it had none */
};

/* Places that folios were moved away from, until no reader can be looking at them. */
struct limbo {
	struct limbo *next;
	uint64_t target; /* the epoch that must have passed */
	size_t n;
	struct limbo_place {
		struct quire_frame frame;
		uint32_t order;
		struct quire_owner *lender; /* whose frames they are; NULL: the allocator's */
	} place[];
};

/* What is ready to be given back to owners, once no lock is held. */
struct returns {
	struct quire_folio *folio; /* by link_ */
	struct limbo *limbo;
};

struct folios {
	/* Descriptors: address space for one a frame, touched as far as `high`. */
	struct quire_folio *table;
	uint64_t capacity;
	uint64_t high;		  /* under table_lock */
	struct quire_folio *free; /* under table_lock */
	pthread_mutex_t table_lock;

	struct quire_folio *fresh; /* atomic stack: just retired */
	uint32_t fresh_count; /* atomic, about: retirements since the last attempt to reclaim */
	/* atomic: at so many of them a put looks closer: reclaim_due, or 0 where all are told */
	uint32_t reclaim_at;
	uint32_t reclaim_due; /* atomic: at so many of them the next attempt is due */
	/* Under reclaim_lock: */
	struct quire_folio *waiting; /* retired before `target` */
	struct quire_folio *held;    /* retired, out of readers' sight, pinned */
	size_t held_count;
	uint64_t target;
	struct limbo *limbo;
	pthread_mutex_t reclaim_lock;

	uint64_t live;	       /* atomic */
	uint64_t retired;      /* atomic */
	uint64_t limbo_frames; /* atomic */
	uint64_t pins;	       /* atomic: named pins */

	/* The owner of descriptors that are free: a stale handle leads to no memory that is gone.
	 */
	struct quire_owner nobody;
	struct quire_owner *owners;  /* under owners_lock */
	struct quire_owner **lender; /* the same; lend.c */
	size_t lenders, lender_capacity;
	pthread_mutex_t owners_lock;
	pthread_mutex_t pin_lock[PIN_LOCKS];
};

extern const struct quire_layer folios_layer;

/* NULL, or which of the invariants above does not hold. When nothing else runs. */
const char *folios_validate(struct quire *q);

static inline uint32_t word_frame(uint64_t word)
{
	return (uint32_t)(word & QUIRE_WORD_FRAME_MASK_);
}

static inline unsigned word_order(uint64_t word)
{
	return (unsigned)(word >> QUIRE_WORD_ORDER_SHIFT_) & 15u;
}

/* The same version and order in another frame, or flags changed; the version wraps by itself. */
static inline uint64_t word_make(uint64_t version_from, uint32_t frame, unsigned order)
{
	return (version_from & QUIRE_WORD_VERSION_MASK_) |
	       ((uint64_t)order << QUIRE_WORD_ORDER_SHIFT_) | frame;
}

/* A folio's number, as tags have it: 1 and up. */
static inline uint32_t folio_number(const struct folios *folios, const struct quire_folio *folio)
{
	return (uint32_t)(folio - folios->table) + 1;
}

static inline struct quire_folio *folio_from_number(const struct folios *folios, uint32_t number)
{
	return &folios->table[number - 1];
}

static inline bool folio_is_ours(const struct folios *folios, const struct quire_folio *folio)
{
	return folio >= folios->table && folio < folios->table + folios->capacity;
}

/* The futex of a folio: the half of the word with the flags and the version. */
static inline uint32_t *folio_futex(struct quire_folio *folio)
{
	uint32_t *half = (uint32_t *)(void *)&folio->word_;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return half + 1;
#else
	return half;
#endif
}

/*
 * Drops the caller's reference if it is the only one, so that nobody can take another, and returns
 * true; folio_gone() must follow, which is what the last put does otherwise. false: nothing
 * changed. entered: the caller is between owner_enter() and owner_leave(), and folio_gone() is what
 * leaves.
 */
bool folio_put_if_last(struct quire_folio *folio);
void folio_gone(struct quire_folio *folio, bool entered);

/* The folio whose head frame this is, with a reference, or NULL; any time, by anybody. */
struct quire_folio *folio_get_at(struct quire *q, struct quire_frame frame);
/* The same without a reference: only for looking, and it may be another thing at once. */
struct quire_folio *folio_peek_at(struct quire *q, struct quire_frame frame);

/* Sleeps until MOVING is clear. */
void folio_wait_moving(struct quire_folio *folio);
/*
 * Clears flags: MOVING, which is UNMARK and wakes who waits for it, or ISOLATED and MOVED, which is
 * RELEASE.
 */
void folio_clear(struct quire_folio *folio, uint64_t flags);

/*
 * Fills who with the holder of a pin on the folio and returns true, or returns false if there is
 * none. The first looks at named pins alone; fixed_only: at those that no migrate op can be
 * expected to drop, which are spilled ones, those of another owner than the folio's, and those of
 * an owner without a migrate op.
 */
bool folio_pinned_long_by(struct quire *q, struct quire_folio *folio, bool fixed_only,
			  struct quire_blocker *who);
bool folio_pinned_by(struct quire *q, struct quire_folio *folio, struct quire_blocker *who);
/*
 * What short pins hold, gathered once for whoever has many folios to ask about. Start with zeroes;
 * gather may be called again. 0 or -ENOMEM; after a failure too it must be finished.
 */
struct hazards {
	struct quire_folio **folio; /* by address */
	size_t n, capacity;
};
int hazards_gather(struct hazards *h);
bool hazards_have(const struct hazards *h, const struct quire_folio *folio);
void hazards_finish(struct hazards *h);

/* Is the folio at this frame freed, but pinned? who says by whom, with reason RETIRED. */
bool folio_retired_pinned_at(struct quire *q, struct quire_frame frame, struct quire_blocker *who);
/* Fills in who for a folio that nothing pins: its owner, and why. */
void folio_describe(struct quire_folio *folio, enum quire_reason why, int code,
		    struct quire_blocker *who);
/* The same for a short pin in slot i of thread t. */
void slot_describe(struct thread *t, unsigned i, struct quire_folio *folio,
		   struct quire_blocker *who);

/* How long ago a mover, or a look, first met the pin that stands in slot i of t. */
uint64_t slot_age(struct thread *t, unsigned i, struct quire_folio *folio, const char *site);

/* The named pins of a folio, between lock and unlock; what is looked at says why it stays. */
struct pin_look {
	enum quire_reason why;
	bool fixed; /* no migrate op can be expected to drop it */
};
void pins_lock(struct quire *q, const struct quire_folio *folio);
void pins_unlock(struct quire *q, const struct quire_folio *folio);
const struct quire_pin *pins_first(const struct quire_folio *folio);
void pin_look(const struct quire_pin *pin, struct pin_look *look);

/* Spilled pins of threads that are gone: how many; dropped, which is what ends them. */
uint64_t pins_gone(struct quire *q);
void pins_forget(struct quire *q);

/*
 * From now on every folio that goes is told: by notice_of(), and NOTICE_FREED once they had so many
 * frames. 0: no longer. Costs a put nothing while it is off, by the comparison it makes anyway.
 */
void folios_tell_freed(struct quire *q, uint64_t frames);

/* Hands a filled limbo over; it is freed with its places once its readers have left. */
void folios_limbo(struct quire *q, struct limbo *limbo);
/* Reclaims, and waits for readers until the deadline (os_clock_ns): true if nothing is in limbo. */
bool folios_settle(struct quire *q, uint64_t deadline);

static inline bool owner_detached(const struct quire_owner *owner)
{
	return load_acquire(&owner->life) & OWNER_DETACHED;
}

/* Drops what keeps the owner's memory; the last one takes it away. */
void owner_put(struct quire_owner *owner);
/*
 * Around an isolation, from before isolate to after the last op of it. 1: the owner's ops are to be
 * called, and owner_leave() must follow; 0: it has none (any more); -EAGAIN: it is being detached.
 */
int owner_enter(struct quire_owner *owner);
void owner_leave(struct quire_owner *owner);

/*
 * For what cannot wait: it may begin while a detach waits, and is waited for. false: detached, no
 * op may be called. owner_leave() must follow in either case.
 */
bool owner_begin_anyway(struct quire_owner *owner);

/* Makes an owner a lender; 0 or -ENOMEM. */
int lender_add(struct folios *folios, struct quire_owner *owner);
void lender_remove_locked(struct folios *folios, struct quire_owner *owner);
/* Never NULL; as long as the owner. */
const char *lender_name(struct quire *q, uint16_t number);
/* Its frames are ordinary from now on: the idle ones free, the others free later. */
void owner_forget_frames(struct quire_owner *owner);
/* Do its folios live in frames of its own? */
static inline bool owner_lends(const struct quire_owner *owner)
{
	return owner->number && !owner_detached(owner);
}
/*
 * A place for a folio, from its owner, which is entered; the place holds the owner until
 * owner_frame_back(), or until a folio has it: the folio holds it then, and owner_put() follows.
 * -EPROTO: no aligned idle frames of the owner; else what the op answered.
 */
int owner_frame_get(struct quire_owner *owner, unsigned order, enum quire_mode mode,
		    struct quire_frame *frame);
/* The same with a given place. -EINVAL: not aligned, or not in the arena; -EBUSY: not idle. */
int owner_frame_at(struct quire_owner *owner, unsigned order, struct quire_frame frame);
/* No folio is in that place, its tag is 0, no reader sees it. No lock is held. */
void owner_frame_back(struct quire_owner *owner, unsigned order, struct quire_frame frame);

/* For quire_owner_stalls(). */
void owner_note_op(struct quire_owner *owner, uint64_t ns);
void owner_note_closed(struct quire_owner *owner, uint64_t ns);
void owner_note_moved(struct quire_owner *owner, uint64_t folios, uint64_t bytes);

/* Calls of ops, the only ones. All but free: between enter and leave. */
int owner_isolate(struct quire_folio *folio, enum quire_mode mode);
int owner_migrate(struct quire_owner *owner, struct quire_batch *batch, struct quire_folio *first);
void owner_putback(struct quire_folio *folio);
void owner_free(struct quire_folio *folio, enum quire_free_reason reason, bool entered);
int owner_call_frame_get(struct quire_owner *owner, unsigned order, enum quire_mode mode,
			 struct quire_frame *frame);
void owner_call_frame_put(struct quire_owner *owner, unsigned order, struct quire_frame frame);
/*
 * News for movers that wait, unless they come out of an op of a mover: an owner that drops its pins
 * in each try and takes them again would otherwise be tried again at once, for ever (contract
 * H-C1). Movers look again by themselves. Returns whether it was news.
 */
bool movers_event(struct quire *q);

/* 0, or -EDEADLK in an op, -EDEADLK in a read section, -ENXIO after fork, -ENOMEM. */
int may_move(struct quire *q);

#endif

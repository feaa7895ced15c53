/* SPDX-License-Identifier: MIT */
/*
 * batch.h: the engine: one try at moving a batch of folios, from isolation to the freeing of the
 *old frames. Callers (folios given by hand in engine.c, plans in contig/) decide what is tried
 *again.
 *
 * An entry goes through
 *
 *	           isolate            place          migrate
 *	PENDING ------------> ISOLATED ----> ISOLATED ------> MOVED
 *	   |  \                   |             |               |
 *	   |   `-> FREED          `-------------+-> putback     v
 *	   `-----> AGAIN / FAILED <----------------/         finish: old frames to limbo
 *
 * Invariants:
 *  - an entry that is not FREED or without a folio holds one reference, until entry_release();
 *  - ISOLATED is set in the folio's word iff the entry is ISOLATED, or MOVED and its op runs;
 *  - every ISOLATED entry ends as MOVED, as FREED, or with exactly one putback (contract C16);
 *  - entered is set iff ISOLATED and the owner's ops are called for it; the entries of one owner in
 *    a batch agree about that, since an owner is detached only when none of its isolations is left;
 *  - an entry that ends as AGAIN with a fence has the reason FENCE, and the reverse;
 *  - an entry owns the frames at dst unless it is NONE; once MOVED the folio owns them and the
 *    entry owns those at src, until they are in limbo.
 */
#ifndef QUIRE_SRC_MIGRATE_BATCH_H
#define QUIRE_SRC_MIGRATE_BATCH_H

#include "folio/folios.h"

#include <quire/move.h>

#define BATCH_FRAMES 512

enum entry_state {
	ENTRY_PENDING = 0,
	ENTRY_ISOLATED,
	ENTRY_MOVED,
	ENTRY_FREED,  /* its last reference but ours went: nothing to move */
	ENTRY_AGAIN,  /* may work later */
	ENTRY_FAILED, /* not in this call */
};

struct batch_entry {
	struct quire_folio *folio;
	struct quire_frame src, dst;
	uint8_t order;
	uint8_t state;	/* enum entry_state */
	bool pinned;	/* found pinned by the scan that runs */
	bool skipped;	/* quire_batch_skip() */
	bool only_here; /* nothing to do if another mover took it from src meanwhile */
	bool entered;	/* its owner's ops are called in this isolation: owner_enter() */
	bool named;	/* the caller's: it was told that this one stays */
	bool to_node;	/* it is to go to `node`, and nowhere else */
	uint32_t node;
	struct quire_owner *lender; /* whose frames dst are; NULL: the allocator's */
	uint32_t tag;		    /* the caller's */
	uint32_t move;		    /* the caller's */
	struct quire_fence *fence;  /* quire_op_wait(): a reference; kept only if AGAIN */
	struct quire_blocker who;   /* last; nothing, unless it was not moved: code and reason */
};

/* What a sequence of batches shares. */
struct mover {
	struct quire *q;
	enum quire_mode mode;
	struct batch_entry *entry; /* BATCH_FRAMES of them */
	struct batch_entry **list; /* scratch: one owner's group */
	size_t n;
	size_t frames;
	struct limbo
		*limbo; /* room for the old frames of a batch, allocated before anything moves */
	uint64_t bytes_moved, bytes_recopied, copy_ns;
	uint64_t moved, freed, tries;
	bool stay; /* nothing leaves its node */
};

/* 0, -ENOMEM, or as may_move(). */
int mover_init(struct mover *m, struct quire *q, enum quire_mode mode);
void mover_finish(struct mover *m);

/* Empties the batch; every entry must have been released. */
void mover_reset(struct mover *m);
/*
 * Adds a folio; the caller's reference becomes the entry's. NULL: the batch is full, the caller
 * keeps its reference.
 */
struct batch_entry *mover_add(struct mover *m, struct quire_folio *folio, struct quire_frame src,
			      struct quire_frame dst);

/* Asks the owners; entries end ISOLATED, FREED, AGAIN or FAILED. */
void mover_isolate(struct mover *m);
/* Gives up an ISOLATED entry: putback; it ends in the given state with that code and reason. */
void entry_putback(struct mover *m, struct batch_entry *e, enum entry_state state, int code,
		   enum quire_reason why);
/* Finds places for those ISOLATED that have none. Those without are put back as FAILED. */
void mover_place(struct mover *m);
/* Moves what is ISOLATED; none is afterwards. Old frames are handed over. */
void mover_migrate(struct mover *m);
/* Drops the entry's reference, its fence, and its destination if it still owns one. */
void entry_release(struct mover *m, struct batch_entry *e);

/* commit.c: moves what of list is ISOLATED, not skipped, and unpinned. 0 or -EAGAIN. */
int batch_commit(struct quire_batch *batch);
/*
 * copy.c: whole frames; next is what will be copied after them, and need not be right. 0 or -EIO.
 */
int copy_frames(char *to, const char *from, size_t bytes, const char *next);
/* A page will be copied soon. */
void copy_ahead(const char *from);
/* After the last copy and before the first publication. */
void copy_done(void);

#endif

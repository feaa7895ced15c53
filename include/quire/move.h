/* SPDX-License-Identifier: MIT */
/*
 * move.h: moving given folios. For reaching a goal (so many contiguous runs), see plan.h.
 */
#ifndef QUIRE_MOVE_H
#define QUIRE_MOVE_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum quire_move_to {
	QUIRE_TO_ANYWHERE = 0, /* the library chooses; the folio's own node first */
	QUIRE_TO_FRAME = 1,    /* to says where */
	QUIRE_TO_NODE = 2, /* somewhere in to_node; what is there already is left, with code 0 */
};

/* One folio to move, and what became of it. */
struct quire_move {
	struct quire_folio *folio; /* the caller has a reference */
	unsigned to_set;	   /* enum quire_move_to */
	/* A free place, aligned to the folio's order; of an owner with its own frames, idle ones.
	 */
	struct quire_frame to;
	uint32_t to_node;
	/* out */
	int code;		  /* 0: moved (or freed meanwhile: why says FREED); else -errno */
	unsigned tries;		  /* how often it was tried */
	struct quire_blocker who; /* who stands in the way; .why is the reason in any case */
	/*
	 * Where the reason is FENCE: what to wait for before it is tried again, with a reference
	 * that is the caller's to put; who.site is its name. Else NULL.
	 */
	struct quire_fence *wait;
};

/*
 * Moves n folios; each fails or succeeds on its own. Rules (contract X6 to X14 as the design has
 * them): ASYNC tries each once; SYNC_LIGHT and SYNC try -EAGAIN again after the event they wait
 * for, or after a back-off, until deadline_ns (0: the quire's) after the first wait began, 1 ms
 * for SYNC_LIGHT; any other code is final for this call. A folio whose owner named a fence is tried
 * again when that was signaled, and not before. Whatever failed is where it was,
 * unchanged, with its owner, and no frame stays allocated for it. Returns the number of folios not
 * moved; -EDEADLK inside an op or a read section; -EINVAL for a wrong mode, a wrong to_set, or a
 * to_node that there is not; -ENOMEM; -ENXIO in a child of fork(). After a negative answer nothing
 * was tried, and no move was written to.
 */
QUIRE_EXPORT QUIRE_MUST_USE long quire_move_folios(struct quire *quire, struct quire_move *moves,
						   size_t n, enum quire_mode mode,
						   uint64_t deadline_ns);

/*
 * "I can be moved again" (contract H-C2): wakes a mover that waits to try again. Any context; in an
 * op that a mover called it does nothing, since that try is not over yet.
 */
QUIRE_EXPORT void quire_movable_again(struct quire *quire);

#ifdef __cplusplus
}
#endif
#endif

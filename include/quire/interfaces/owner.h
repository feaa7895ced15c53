/* SPDX-License-Identifier: MIT */
/*
 * interfaces/owner.h: for those who implement an owner of folios.
 *
 * An owner is asked before one of its folios moves, and told when one is gone. Where the ideas come
 * from: isolate, migrate and putback are the three functions of Linux' non-LRU movable pages
 * (contract C, S2); free is folio_owner_ops (contract E, S4); migrate with the default move as its
 * helper is the driver hook of shmem files (contract A, S0).
 *
 * What holds for every op:
 *  - it may be called from any thread that moves, plans or drops references, for different folios
 *    in several threads at once, but never twice at once for one folio;
 *  - the library holds no lock while it runs, only the folio's ISOLATED state;
 *  - it may pin, unpin, take and drop references, create folios (that never compacts), and call
 *    any function that is not listed here: planning, executing, moving, detaching and destroying
 *    answer -EDEADLK inside of an op;
 *  - it never sees or sets the library's state: nothing but its return value decides;
 *  - the folio's private pointer is valid until free has been called: an owner that keeps
 *    something behind it gives that back in free, not before (contract C18, H-E1).
 */
#ifndef QUIRE_INTERFACES_OWNER_H
#define QUIRE_INTERFACES_OWNER_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum quire_free_reason {
	QUIRE_FREE_PUT = 0,	/* the last reference went */
	QUIRE_FREE_DESTROY = 1, /* quire_destroy() while references were left */
};

struct quire_owner_ops {
	size_t size; /* sizeof(struct quire_owner_ops) */

	/*
	 * isolate: may this folio be moved?
	 *
	 * Called     once for an isolation, before a destination exists, while pins and readers go
	 *            on as before. The mover holds a reference of its own.
	 * May        take the folio off the owner's lists. May sleep in mode SYNC only.
	 * Must not   wait for other folios of the same call.
	 * Returns    0: yes; exactly one of migrate-with-a-move, putback, or free follows.
	 *            -EAGAIN: not now; tried again by the rules of the mode, reason OWNER_BUSY; or
	 *            after the fence of quire_op_wait(), reason FENCE.
	 *            other: no, for this call; reason VETO. Nothing follows.
	 * NULL       always yes.
	 * Pairs      putback must be there as well.
	 */
	int (*isolate)(struct quire_folio *folio, enum quire_mode mode, void *arg);

	/*
	 * migrate: quiesce, drop your own pins, have the folios moved, re-derive addresses.
	 *
	 * Called     with isolated folios of this owner that all have a destination, at most 512
	 *            frames of them. Those whose last other reference went are not among them, but
	 *            one may lose it while the op runs.
	 * Must       call quire_move_commit(batch) once the content is at rest. Before that, drop
	 *            every long pin of its own on them (pinning in between is allowed).
	 * May        leave folios out: quire_batch_skip(). May sleep by mode: ASYNC never,
	 *            SYNC_LIGHT for short locks, SYNC for I/O and devices.
	 * Must not   keep the batch, or use it in another thread.
	 * Returns    0: done. A folio neither moved nor skipped then is an error of the op:
	 *            -EPROTO, reason OWNER_PROTO, putback.
	 *            -EAGAIN: try what was not moved again; reason OWNER_BUSY, or FENCE as above.
	 *            -EBUSY: somebody else's pin; other: failed for this call. putback follows.
	 *            What was moved stays moved whatever is returned; an error is then counted
	 *            (owner_errors).
	 * NULL       the library commits at once.
	 */
	int (*migrate)(struct quire_batch *batch, enum quire_mode mode, void *arg);

	/*
	 * putback: the folio stays where it is; put it back on your lists.
	 *
	 * Called     exactly once for each isolation that ended neither in a move nor in a free
	 *            (contract C16), while the folio is still isolated.
	 * Must not   fail, or wait for other folios.
	 * NULL       nothing to undo; not allowed where isolate is there.
	 */
	void (*putback)(struct quire_folio *folio, void *arg);

	/*
	 * free: the last reference is gone.
	 *
	 * Called     exactly once, after the count has reached 0 (contract E4, H-E1), in the thread
	 *            that dropped the last reference; that can be a mover's.
	 * May        read the content (quire_folio_content()), free what stands behind the private
	 *            pointer, queue work.
	 * Must not   sleep, keep the folio, or pin it. The folio is dead when this is called:
	 *            taking a reference or a pin fails.
	 * NULL       nothing to do.
	 */
	void (*free)(struct quire_folio *folio, enum quire_free_reason reason, void *arg);

	/*
	 * cheapest: the least patient mode in which isolate and migrate can succeed (contract
	 * H-A6). In a lesser one no op is called: the folio stays, with -EAGAIN and reason MODE,
	 * final for the call. 0: QUIRE_ASYNC, they are always called.
	 */
	enum quire_mode cheapest;

	/*
	 * The owner's own frames (contract H-E4): its folios live in frames that it has taken out
	 * of the general allocator with quire_frames_take(). Both or neither; NULL: the
	 * allocator's.
	 *
	 * frame_get: a place for one of its folios, 2^order frames, aligned.
	 *
	 * Called     when a folio is made without a place, mode SYNC, or ASYNC in an op or a read
	 *            section; and for the destination of a move, between isolate and migrate, in
	 *            the mover's mode. Several times in a row where what it offers is in a block
	 *            that a plan empties: those are given back.
	 * May        call quire_frames_take().
	 * Returns    0 and *frame: idle frames of its own, lent to the library until frame_put.
	 *            Others are refused: -EPROTO, reason OWNER_PROTO, putback, and no frame_put.
	 *            -EAGAIN: not now, reason OWNER_BUSY, tried again by the rules of the mode; it
	 *            can name no fence. Other: no; reason NO_FRAMES.
	 */
	int (*frame_get)(unsigned order, enum quire_mode mode, struct quire_frame *frame,
			 void *arg);

	/*
	 * frame_put: the frames are the owner's again, and idle: their folio was freed or moved
	 * away, or they were not used, and no reader can see them any more.
	 *
	 * Called     once for each frame_get that was accepted, and each place that was given in
	 *            quire_folio_args.at or quire_move.to; of a folio that was split, once for each
	 *            part, with its order; by whatever thread reclaims, also inside of ops. Not by
	 * quire_destroy(), and not once the owner is detached. May        call quire_frames_give():
	 * as long as the owner keeps an idle frame, its block cannot become free (reason POOL).
	 * quire_block_info() tells if a plan wants it. Must not   sleep.
	 */
	void (*frame_put)(unsigned order, struct quire_frame frame, void *arg);

	/*
	 * split: a folio of this owner is to become `parts` folios (contract H-E6).
	 *
	 * Called     by quire_folio_split(), in its thread: what locks its caller holds are held.
	 *            The folio is part[0], isolated, and of its new order already. The other parts
	 *            are dead until this has returned 0: taking a reference or a pin of them fails.
	 *            They have the folio's private pointer.
	 * May        set the private pointers of all parts (quire_folio_set_private()), keep their
	 *            handles, refuse.
	 * Must not   let others know the parts, unless it returns 0; wait for other folios.
	 * Returns    0: yes, nothing can fail any more. From its return on each part is a folio of
	 *            its own, and each gets its own isolate, migrate, putback and free; frames of
	 *            the owner's own come back part by part.
	 *            other: no. The folio is whole again, and the handles of the parts are
	 * nobody's. NULL       the folios are not split: -EOPNOTSUPP, where the owner has any other
	 * op.
	 */
	int (*split)(struct quire_folio *const *part, size_t parts, void *arg);
};

/* Folios in the batch; the index below runs from 0. */
QUIRE_EXPORT size_t quire_batch_count(const struct quire_batch *batch);
QUIRE_EXPORT struct quire_folio *quire_batch_folio(const struct quire_batch *batch, size_t i);
/* true once folio i was moved. */
QUIRE_EXPORT bool quire_batch_moved(const struct quire_batch *batch, size_t i);
/*
 * Leaves folio i out of the move: -EAGAIN is tried again, anything else not in this call.
 * -EALREADY: it was moved. -EINVAL: no such index, code not negative, another thread.
 */
QUIRE_EXPORT int quire_batch_skip(struct quire_batch *batch, size_t i, int code);

/*
 * "-EAGAIN, and this is what to wait for" (contract W12, H-C1). In an isolate or a migrate op, for
 * the folio it is asked about, or one of its batch. It counts if the op then leaves that folio to
 * be tried again: by returning -EAGAIN, or by quire_batch_skip() with -EAGAIN. The folio is put
 * back as always, and tried again once the fence was signaled, not before; until then, or at the
 * deadline, it is named with reason FENCE and the fence's name as site. A mover in mode ASYNC hands
 * the fence to its caller (quire_move.wait). The library takes a reference of its own; of several
 * calls for one folio the last one counts.
 * -EINVAL: not in such an op, not such a folio, or a fence of another quire; -EALREADY: it was
 * moved.
 */
QUIRE_EXPORT int quire_op_wait(struct quire_folio *folio, struct quire_fence *fence);

/*
 * The commit: content is copied, and from then on the folios are at their new places.
 *  0          every folio of the batch was moved or skipped, or failed for good
 *  -EAGAIN    some are pinned; quiesce what is yours and call again, or return
 *  -EALREADY  a call before this one returned 0
 *  -EINVAL    not the batch of an op that runs in this thread
 * Context: inside migrate only. Waits for nobody: pinned folios fall out, named.
 */
QUIRE_EXPORT int quire_move_commit(struct quire_batch *batch);

#ifdef __cplusplus
}
#endif
#endif

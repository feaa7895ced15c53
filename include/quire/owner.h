/* SPDX-License-Identifier: MIT */
/*
 * owner.h: registering owners. What an owner implements stands in interfaces/owner.h.
 */
#ifndef QUIRE_OWNER_H
#define QUIRE_OWNER_H

#include <quire/base.h>
#include <quire/interfaces/owner.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes an owner. The name (1 to 63 bytes, need not be unique) and ops are copied; ops NULL: its
 * folios may always move. arg is handed to every op.
 * -EINVAL  no name or too long, ops->size is no size, isolate without putback, putback with
 *          neither isolate nor migrate, cheapest is no mode, frame_get without frame_put, or the
 *          reverse
 * -ENOMEM     -ENXIO  in a child of fork()
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_owner_create(struct quire *quire, const char *name,
						   const struct quire_owner_ops *ops, void *arg,
						   struct quire_owner **owner);

/*
 * Ends an owner. -EBUSY while it has a folio (a retired one counts) or a named pin; -EDEADLK inside
 * of an op; -ENXIO in a child of fork(). destroy(NULL) is 0. After 0 none of its ops runs or will
 * run. A detached owner may be destroyed while it has folios and pins: they stay as they are, and
 * with the last of them goes what is left of it, its name. Idle frames that it has taken go back to
 * the allocator.
 */
QUIRE_EXPORT int quire_owner_destroy(struct quire_owner *owner);

/*
 * Detaches an owner from its folios (contract H-A1, H-C6, H-E8), for good. No isolation begins any
 * more; those under way come to their end as always, with migrate, putback or free, and are waited
 * for, deadline_ns at most (0: the quire's deadline_ns). From then on its folios are ordinary ones:
 * they move without being asked, and go without anybody being told; nobody waits for the owner's
 * fences any more. Idle frames of its own go back to the allocator, the others do so later, when
 * their folios leave them.
 *
 *  0           done: none of its ops runs or will run, arg is not touched again
 *  -ETIMEDOUT  the owner is attached as before; *who (may be NULL) names what still runs: an op
 *              (reason OWNER_BUSY; site is the op's name; thread), or a folio that a mover has
 *              between two of them (reason ISOLATED)
 *  -ENOENT     it was detached before; a call that meets another one waits to know
 *  -EDEADLK    in an op of whatever owner     -EINVAL  owner is NULL
 *  -ENXIO      in a child of fork()
 * Free and frame ops cannot wait for this, so they may still begin until it returns 0.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_owner_detach(struct quire_owner *owner, uint64_t deadline_ns,
						   struct quire_blocker *who);

/*
 * Takes 2^order aligned empty frames out of the general allocator, for an owner with frame_get and
 * frame_put: idle frames of its own, which it lends in parts as it likes, and gives back likewise.
 * -EINVAL  no such owner, or order over 9     -ENOMEM  no aligned free place
 * -ENOENT  detached     -ENXIO  in a child of fork()
 * -ESHUTDOWN  in a free op of quire_destroy()
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_frames_take(struct quire_owner *owner, unsigned order,
						  struct quire_frame *frame);
/*
 * Gives idle frames back. -EINVAL: not all of them are the owner's, or some are lent; that is told
 * to the log as well, and none is given. -ENXIO: in a child of fork()
 */
QUIRE_EXPORT int quire_frames_give(struct quire_owner *owner, unsigned order,
				   struct quire_frame frame);

/* What moving has cost an owner's users, whoever moved: plans, the background, moves by hand. */
struct quire_owner_stalls {
	size_t size;
	uint64_t folios, bytes; /* moved */
	/* Its migrate op, in which it may keep its users from working. */
	uint64_t ops, op_ns, longest_op_ns;
	/*
	 * Its folios were closed so often, some 64 frames at a time: a pin that comes just then
	 * waits until they are copied. Readers do not wait.
	 */
	uint64_t closed, closed_ns, longest_closed_ns;
};

/* Fills *stalls as far as its size goes. -EINVAL: NULL, or a size of 0; -ENXIO: after fork(). */
QUIRE_EXPORT int quire_owner_stalls(const struct quire_owner *owner,
				    struct quire_owner_stalls *stalls);

QUIRE_EXPORT const char *quire_owner_name(const struct quire_owner *owner);
QUIRE_EXPORT void *quire_owner_arg(const struct quire_owner *owner);
QUIRE_EXPORT struct quire *quire_owner_quire(const struct quire_owner *owner);

#ifdef __cplusplus
}
#endif
#endif

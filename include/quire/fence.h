/* SPDX-License-Identifier: MIT */
/*
 * fence.h: something that will happen once, and that can be waited for: the end of a job, the
 * release of a lock. An owner that cannot let a folio go now says with a fence when it can
 * (quire_op_wait(), in interfaces/owner.h); the mover then tries again when that has happened, and
 * not before.
 */
#ifndef QUIRE_FENCE_H
#define QUIRE_FENCE_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes a fence with one reference, the caller's. The name (1 to 63 bytes) is copied; it is what
 * blockers show as their site. A fence may outlive its quire.
 * -EINVAL  no name, or too long     -ENOMEM     -ENXIO  in a child of fork()
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_fence_create(struct quire *quire, const char *name,
						   struct quire_fence **fence);

/* One more reference; returns the fence. get(NULL) is NULL, put(NULL) does nothing. */
QUIRE_EXPORT struct quire_fence *quire_fence_get(struct quire_fence *fence);
QUIRE_EXPORT void quire_fence_put(struct quire_fence *fence);

/*
 * It has happened: whoever waits goes on, and sees what was stored before. Once is enough, more is
 * nothing. The caller has a reference. Any context: no lock, no memory, signal handlers too.
 */
QUIRE_EXPORT void quire_fence_signal(struct quire_fence *fence);
QUIRE_EXPORT bool quire_fence_signaled(const struct quire_fence *fence);

/*
 * Waits until it was signaled, deadline_ns from now at most (0: the quire's deadline_ns).
 * 0 or -ETIMEDOUT. Allowed everywhere; in an op only as its mode allows, in a read section never a
 * good idea.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_fence_wait(struct quire_fence *fence, uint64_t deadline_ns);

QUIRE_EXPORT const char *quire_fence_name(const struct quire_fence *fence);

#ifdef __cplusplus
}
#endif
#endif

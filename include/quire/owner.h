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
 *          neither isolate nor migrate     -ENOMEM     -ENXIO  in a child of fork()
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_owner_create(struct quire *quire, const char *name,
						   const struct quire_owner_ops *ops, void *arg,
						   struct quire_owner **owner);

/*
 * Ends an owner. -EBUSY while it has a folio (a retired one counts) or a named pin; -EDEADLK inside
 * of an op; -ENXIO in a child of fork(). destroy(NULL) is 0. After 0 none of its ops runs or will
 * run.
 */
QUIRE_EXPORT int quire_owner_destroy(struct quire_owner *owner);

QUIRE_EXPORT const char *quire_owner_name(const struct quire_owner *owner);
QUIRE_EXPORT void *quire_owner_arg(const struct quire_owner *owner);
QUIRE_EXPORT struct quire *quire_owner_quire(const struct quire_owner *owner);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owners of folios: who is called when the last reference to a folio goes.
 * See mm/folio_owner.c.
 */
#ifndef _LINUX_FOLIO_OWNER_H
#define _LINUX_FOLIO_OWNER_H

#include <linux/errno.h>
#include <linux/gfp_types.h>
#include <linux/jump_label.h>
#include <linux/mm_types.h>
#include <linux/page-flags.h>

struct folio_owner;

/**
 * enum folio_owner_reason - why a folio has lost its last reference
 * @FOLIO_OWNER_LAST_REF: everybody has let go of it
 * @FOLIO_OWNER_MIGRATED: its content and its owner have moved to another folio
 */
enum folio_owner_reason {
	FOLIO_OWNER_LAST_REF,
	FOLIO_OWNER_MIGRATED,
};

/**
 * struct folio_owner_ops - what the owner of a folio is asked
 * @name: who this is, for messages; mandatory
 * @free: Mandatory. The last reference to @folio is gone: its count is 0, it
 *	is on no list, mapped nowhere and charged to nobody. Called exactly once
 *	each time the count falls to 0, by whoever dropped the last reference:
 *	any thread, any interrupt; no lock of the memory management is held,
 *	the RCU read lock is. It must not sleep. It may take any lock that is
 *	taken with interrupts disabled, set the count with
 *	folio_owner_revive(), or queue the folio for later.
 *	true: the folio is the owner's, with count 0, and stays owned until
 *	folio_owner_clear(). false: it goes to the page allocator as it would
 *	have without an owner.
 * @migrate: Optional. The content of @src has moved to @dst, and so has its
 *	owner; both are locked. Called before anybody else can unlock @dst,
 *	under the RCU read lock. It must not sleep. @src reaches @free with
 *	FOLIO_OWNER_MIGRATED once its last reference goes.
 *	NULL: the frame is what is owned, not the content; an attempt to
 *	migrate such a folio is answered with -EBUSY.
 *
 * The table must be aligned to 4 bytes and stay as it is while registered.
 */
struct folio_owner_ops {
	const char *name;
	bool (*free)(struct folio *folio, enum folio_owner_reason reason,
		     void *private);
	void (*migrate)(struct folio *dst, struct folio *src, void *private);
};

#ifdef CONFIG_FOLIO_OWNER

DECLARE_STATIC_KEY_FALSE(folio_owner_key);

struct folio_owner *folio_owner_register(const struct folio_owner_ops *ops,
					 void *private);
void folio_owner_unregister(struct folio_owner *owner);
unsigned long folio_owner_nr_pages(struct folio_owner *owner);

int folio_owner_set(struct folio *folio, struct folio_owner *owner, gfp_t gfp);
int folio_owner_clear(struct folio *folio);
const struct folio_owner_ops *folio_owner_ops(struct folio *folio);
int folio_owner_revive(struct folio *folio);

/* For the memory management. */

bool __folio_owner_free(struct folio *folio);
int folio_owner_migrate_begin(struct folio *dst, struct folio *src);
void folio_owner_migrate_end(struct folio *dst, struct folio *src, int rc);

static __always_inline bool folio_is_owned(const struct folio *folio)
{
	return static_branch_unlikely(&folio_owner_key) &&
	       folio_test_owned(folio);
}

/*
 * The count of @folio has just become 0, and it was about to go to the page
 * allocator: does its owner take it? Asked after the count is 0, when nobody
 * else can set or clear the owner any more.
 */
static __always_inline bool folio_owner_free(struct folio *folio)
{
	return folio_is_owned(folio) && __folio_owner_free(folio);
}

#else /* !CONFIG_FOLIO_OWNER */

static inline struct folio_owner *
folio_owner_register(const struct folio_owner_ops *ops, void *private)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void folio_owner_unregister(struct folio_owner *owner)
{
}

static inline int folio_owner_set(struct folio *folio,
				  struct folio_owner *owner, gfp_t gfp)
{
	return -EOPNOTSUPP;
}

static inline int folio_owner_clear(struct folio *folio)
{
	return -ENOENT;
}

static inline const struct folio_owner_ops *folio_owner_ops(struct folio *folio)
{
	return NULL;
}

static inline int folio_owner_revive(struct folio *folio)
{
	return -EINVAL;
}

static inline bool folio_is_owned(const struct folio *folio)
{
	return false;
}

static inline bool folio_owner_free(struct folio *folio)
{
	return false;
}

static inline int folio_owner_migrate_begin(struct folio *dst,
					    struct folio *src)
{
	return 0;
}

static inline void folio_owner_migrate_end(struct folio *dst,
					   struct folio *src, int rc)
{
}

#endif /* CONFIG_FOLIO_OWNER */
#endif /* _LINUX_FOLIO_OWNER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owners of shmem files: who is asked before a folio of the file moves.
 * See mm/shmem_owner.c.
 */
#ifndef _LINUX_SHMEM_OWNER_H
#define _LINUX_SHMEM_OWNER_H

#include <linux/errno.h>
#include <linux/migrate.h>

struct address_space;
struct file;
struct folio;
struct inode;

/**
 * struct shmem_owner_ops - what the owner of a shmem file is asked
 * @migrate_folio: @src, a folio of the file, is wanted elsewhere: make it
 *	movable and move it to @dst. Drop the pins that are the owner's own,
 *	call shmem_owner_migrate_folio(), and point whatever was derived from
 *	the address at the new place, now or lazily. NULL: the default, as if
 *	there were no owner.
 *
 *	Context: process context of any thread, also of one that allocates
 *	memory while it holds the owner's own locks: take those by trylock.
 *	Both folios are locked, so no folio lock may be waited for, and the
 *	file must not be truncated, purged, or registered or unregistered
 *	(-EDEADLK). @src is unmapped and not under writeback; @dst is new, with
 *	one reference. In MIGRATE_ASYNC it must not wait for anything; it may
 *	in the other modes, for as long as @src may stay locked. A sleeping
 *	device must not be woken for this: -EBUSY.
 *
 *	Return: 0: @src has moved, which only shmem_owner_migrate_folio() or a
 *	routine like it can have done. -EAGAIN: not yet, called again soon and
 *	up to ten times. Anything else: not in this attempt; -EBUSY if somebody
 *	else's pin or the owner's state is why. In both cases @src must be as
 *	it was and the owner's pin restored, or restored when next needed.
 *
 *	folio->private of @dst is NULL on entry. If it is still NULL after a
 *	success and @src has a value there, the value goes over.
 *
 *	Only @src and @dst may be relied on: other folios of the file can be
 *	truncated meanwhile.
 */
struct shmem_owner_ops {
	int (*migrate_folio)(struct address_space *mapping, struct folio *dst,
			     struct folio *src, enum migrate_mode mode,
			     void *private);
};

#ifdef CONFIG_SHMEM_OWNER

int shmem_owner_register(struct file *file, const struct shmem_owner_ops *ops,
			 void *private);
int shmem_owner_unregister(struct file *file);
bool shmem_owner_pinned(struct folio *src);
int shmem_owner_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode);

/* For mm/shmem.c. */
int shmem_migrate_folio(struct address_space *mapping, struct folio *dst,
			struct folio *src, enum migrate_mode mode);
void shmem_owner_evict(struct inode *inode);

#else /* !CONFIG_SHMEM_OWNER */

static inline int shmem_owner_register(struct file *file,
				       const struct shmem_owner_ops *ops,
				       void *private)
{
	return -EOPNOTSUPP;
}

static inline int shmem_owner_unregister(struct file *file)
{
	return -ENOENT;
}

static inline bool shmem_owner_pinned(struct folio *src)
{
	return false;
}

static inline int shmem_owner_migrate_folio(struct address_space *mapping,
					    struct folio *dst,
					    struct folio *src,
					    enum migrate_mode mode)
{
	return -EOPNOTSUPP;
}

#define shmem_migrate_folio migrate_folio

static inline void shmem_owner_evict(struct inode *inode)
{
}

#endif /* CONFIG_SHMEM_OWNER */
#endif /* _LINUX_SHMEM_OWNER_H */

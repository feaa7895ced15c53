/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owners of shmem files: who is asked before a folio of the file moves.
 * See mm/shmem_owner.c.
 */
#ifndef _LINUX_SHMEM_OWNER_H
#define _LINUX_SHMEM_OWNER_H

#include <linux/errno.h>
#include <linux/jump_label.h>
#include <linux/migrate.h>
#include <linux/migrate_blocker.h>

struct address_space;
struct file;
struct folio;
struct inode;

/**
 * struct shmem_owner_ops - what the owner of a shmem file is asked
 * @name: who this is, for messages and traces; NULL: the symbol of
 *	@migrate_folio.
 * @min_mode: the cheapest mode in which @isolate, @migrate_folio and
 *	@batch_begin can do anything. They are not called in a lower one; a
 *	folio of the file is then not moved (-EBUSY), and no destination is
 *	allocated for it.
 * @isolate: Optional. @folio is wanted elsewhere: may it be taken? Asked under
 *	the folio lock, before a destination is allocated, and by compaction
 *	before the folio is taken off the LRU. It only asks: a yes promises
 *	nothing to the owner, and changes nothing. If somebody else holds the
 *	folio lock the question is left out, so @migrate_folio must decide, too.
 *
 *	Called: as @migrate_folio, but must not sleep whatever the mode.
 *	Answer: 0: yes. -EAGAIN: not yet, asked again in this attempt. Anything
 *	else: not in this attempt.
 * @migrate_folio: @src, a folio of the file, is wanted elsewhere: make it
 *	movable and move it to @dst. Drop the pins that are the owner's own,
 *	call shmem_owner_migrate_folio(), and point whatever was derived from
 *	the address at the new place, now or lazily. NULL: the default, as if
 *	there were no owner.
 *
 *	Called: process context of any thread, also of one that allocates
 *	memory while it holds the owner's own locks: take those by trylock.
 *	Both folios are locked, so no folio lock may be waited for, and the
 *	file must not be truncated, purged, or registered or unregistered
 *	(-EDEADLK). @src is unmapped and not under writeback; @dst is new, and
 *	nobody but the core keeps it. In MIGRATE_ASYNC it must not wait for anything; it may
 *	in the other modes, for as long as @src may stay locked. A sleeping
 *	device must not be woken for this: -EBUSY.
 *
 *	Answer: 0: @src has moved, which only shmem_owner_migrate_folio() or a
 *	routine like it can have done. -EAGAIN: not yet, called again soon and
 *	up to ten times. Anything else: not in this attempt; -EBUSY if somebody
 *	else's pin or the owner's state is why. In both cases @src must be as
 *	it was and the owner's pin restored, or restored by @putback, or when
 *	next needed.
 *
 *	folio->private of @dst is NULL on entry. If it is still NULL after a
 *	success and @src has a value there, the value goes over.
 *
 *	Only @src and @dst may be relied on: other folios of the file can be
 *	truncated meanwhile.
 * @putback: Optional. The attempt to move @folio is over and it stays where it
 *	is: what @migrate_folio stopped for it can go on. Called exactly once
 *	for each attempt in which @migrate_folio was called and did not move it,
 *	and not if it answers -EAGAIN and is called again. A caller who waits
 *	makes two attempts: one in MIGRATE_ASYNC for many folios, one for each
 *	that is left. To unregister ends an attempt without this call.
 *
 *	Called: as @migrate_folio in MIGRATE_ASYNC; @folio is locked.
 * @batch_begin: Optional, with @batch_end. @nr folios of the file, all of them
 *	between the indexes @first and @last, are about to be handed to
 *	@migrate_folio: what has to be done once for all of them can be done
 *	now, as a notice to the device. Their locks are held.
 *
 *	Called: as @migrate_folio.
 * @batch_end: Optional, with @batch_begin. All of them have moved or were put
 *	back: what was stopped in @batch_begin can go on. If more than
 *	SHMEM_OWNER_MAX_BATCH files meet in one batch the rest goes without;
 *	so do all where there is no memory left to note them.
 *
 *	Called: as @migrate_folio in MIGRATE_ASYNC, without the folio locks.
 * @truncate: Optional. The folios from @first to @last (inclusive) are about to
 *	be dropped from the file, by truncation or a punched hole: let go of
 *	them. Not called when the file itself goes.
 *
 *	Called: process context of whoever truncates, with his locks; without
 *	folio locks. May sleep.
 *
 * Registration passes the size of the table along, so it can grow.
 */
struct shmem_owner_ops {
	const char *name;
	enum migrate_mode min_mode;
	int (*isolate)(struct address_space *mapping, struct folio *folio,
		       enum migrate_mode mode, void *private);
	int (*migrate_folio)(struct address_space *mapping, struct folio *dst,
			     struct folio *src, enum migrate_mode mode,
			     void *private);
	void (*putback)(struct address_space *mapping, struct folio *folio,
			void *private);
	void (*batch_begin)(struct address_space *mapping, pgoff_t first,
			    pgoff_t last, unsigned int nr,
			    enum migrate_mode mode, void *private);
	void (*batch_end)(struct address_space *mapping, void *private);
	void (*truncate)(struct address_space *mapping, pgoff_t first,
			 pgoff_t last, void *private);
};

#define SHMEM_OWNER_MAX_BATCH	8

struct shmem_owner;
struct shmem_owner_batch;

/**
 * shmem_owner_register() - take part in what happens to a shmem file's folios
 * @file: from shmem_kernel_file_setup()
 * @ops: what to call; copied. NULL registers nothing
 * @private: handed to each call
 *
 * See __shmem_owner_register().
 */
#define shmem_owner_register(file, ops, private) \
	__shmem_owner_register(file, ops, sizeof(struct shmem_owner_ops), \
			       private)

#ifdef CONFIG_SHMEM_OWNER

DECLARE_STATIC_KEY_FALSE(shmem_owner_key);

int __shmem_owner_register(struct file *file, const struct shmem_owner_ops *ops,
			   size_t size, void *private);
int shmem_owner_unregister(struct file *file);
bool shmem_owner_pinned(struct folio *src);
int shmem_owner_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode);

/* For the memory management. */

int shmem_migrate_folio(struct address_space *mapping, struct folio *dst,
			struct folio *src, enum migrate_mode mode);
void shmem_owner_evict(struct inode *inode);

bool __shmem_owner_asks(const struct folio *folio);
int __cold __shmem_owner_isolate(struct folio *folio, enum migrate_mode mode,
				 struct list_head *failed);
void __shmem_owner_putback(struct folio *folio);
void __shmem_owner_truncate(struct inode *inode, loff_t start, loff_t end);
struct shmem_owner_batch * __cold
__shmem_owner_batch_begin(struct list_head *folios, enum migrate_mode mode);
void __cold __shmem_owner_batch_end(struct shmem_owner_batch *batch);

/* Is @folio of a file with an owner? The caller holds a reference. */
static inline bool shmem_owner_asks(const struct folio *folio)
{
	return static_branch_unlikely(&shmem_owner_key) &&
	       __shmem_owner_asks(folio);
}

/*
 * May @folio be taken? The caller holds a reference and no lock. After a no
 * that is not -EAGAIN it is on @failed, if that is not NULL.
 */
static inline int shmem_owner_isolate(struct folio *folio,
				      enum migrate_mode mode,
				      struct list_head *failed)
{
	return static_branch_unlikely(&shmem_owner_key) ?
		       __shmem_owner_isolate(folio, mode, failed) :
		       0;
}

/* The same, from compaction, which has not isolated @folio and now will not. */
static inline bool shmem_owner_refuses(struct folio *folio,
				       enum migrate_mode mode, bool contig)
{
	if (!shmem_owner_isolate(folio, mode, NULL))
		return false;
	migrate_blocker_refused(folio, mode, contig ? MR_CONTIG_RANGE :
						      MR_COMPACTION);
	return true;
}

/* The attempt to move @folio ends with -EAGAIN; it is still locked. */
static inline void shmem_owner_putback(struct folio *folio)
{
	if (shmem_owner_asks(folio))
		__shmem_owner_putback(folio);
}

static inline void shmem_owner_truncate(struct inode *inode, loff_t start,
					loff_t end)
{
	if (static_branch_unlikely(&shmem_owner_key))
		__shmem_owner_truncate(inode, start, end);
}

/* NULL: nobody has to be told of the end of the batch. */
static inline struct shmem_owner_batch *
shmem_owner_batch_begin(struct list_head *folios, enum migrate_mode mode)
{
	return static_branch_unlikely(&shmem_owner_key) ?
		       __shmem_owner_batch_begin(folios, mode) :
		       NULL;
}

static inline void shmem_owner_batch_end(struct shmem_owner_batch *batch)
{
	if (unlikely(batch))
		__shmem_owner_batch_end(batch);
}

#else /* !CONFIG_SHMEM_OWNER */

static inline int __shmem_owner_register(struct file *file,
					 const struct shmem_owner_ops *ops,
					 size_t size, void *private)
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

static inline bool shmem_owner_asks(const struct folio *folio)
{
	return false;
}

static inline int shmem_owner_isolate(struct folio *folio,
				      enum migrate_mode mode,
				      struct list_head *failed)
{
	return 0;
}

static inline bool shmem_owner_refuses(struct folio *folio,
				       enum migrate_mode mode, bool contig)
{
	return false;
}

static inline void shmem_owner_putback(struct folio *folio)
{
}

static inline void shmem_owner_truncate(struct inode *inode, loff_t start,
					loff_t end)
{
}

static inline struct shmem_owner_batch *
shmem_owner_batch_begin(struct list_head *folios, enum migrate_mode mode)
{
	return NULL;
}

static inline void shmem_owner_batch_end(struct shmem_owner_batch *batch)
{
}

#endif /* CONFIG_SHMEM_OWNER */
#endif /* _LINUX_SHMEM_OWNER_H */

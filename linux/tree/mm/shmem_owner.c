// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of shmem files: who is asked before a folio of the file moves.
 *
 * A driver that keeps its objects in shmem files pins their pages while its
 * device uses them. To the core such a page is page cache with references that
 * nothing explains: it is mapped nowhere, so no notifier says that somebody
 * wants it moved. The driver registers ops on its file and is asked.
 *
 * Only kernel-internal files can be registered on (S_PRIVATE, from
 * shmem_kernel_file_setup()). No user can open one by name, so neither a tmpfs
 * file nor a memfd can be taken over by somebody who merely got hold of it.
 *
 * Invariants:
 *
 *   - mapping->i_private_data is the owner or NULL. It changes under
 *     mapping->i_private_lock and is read under RCU.
 *   - owner->refs = 1 while registered + the number of ops running. When it
 *     falls to 0 nothing can start an op any more, and owner->gone completes.
 *   - shmem_owner_calls lists every running op with its task.
 *
 * A count for each owner, not one SRCU domain for all: to detach from one
 * file, nobody waits for the op of another that waits for its device.
 *
 * Lock order: folio lock > shmem_owner_calls_lock; i_private_lock alone.
 */
#include <linux/completion.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>
#include <linux/shmem_owner.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

struct shmem_owner {
	struct shmem_owner_ops ops;	/* a copy: it cannot change under us */
	void *private;
	refcount_t refs;
	struct completion gone;
	struct rcu_head rcu;
};

/* A running op, on the stack of the task that runs it. */
struct shmem_owner_call {
	struct list_head list;
	struct task_struct *task;
};

static LIST_HEAD(shmem_owner_calls);
static DEFINE_SPINLOCK(shmem_owner_calls_lock);

static bool shmem_owner_in_call(void)
{
	struct shmem_owner_call *call;
	bool found = false;

	spin_lock(&shmem_owner_calls_lock);
	list_for_each_entry(call, &shmem_owner_calls, list)
		if (call->task == current)
			found = true;
	spin_unlock(&shmem_owner_calls_lock);
	return found;
}

static struct shmem_owner *shmem_owner_get(struct address_space *mapping)
{
	struct shmem_owner *owner;

	rcu_read_lock();
	owner = READ_ONCE(mapping->i_private_data);
	if (owner && !refcount_inc_not_zero(&owner->refs))
		owner = NULL;
	rcu_read_unlock();
	return owner;
}

static void shmem_owner_put(struct shmem_owner *owner)
{
	if (refcount_dec_and_test(&owner->refs))
		complete(&owner->gone);
}

/**
 * shmem_owner_register() - take part in what happens to a shmem file's folios
 * @file: from shmem_kernel_file_setup()
 * @ops: what to call; copied. NULL registers nothing
 * @private: handed to each call
 *
 * In force from the next migration on. There is one owner at most. Unregister
 * before the last reference to @file goes; if that is forgotten, the owner is
 * dropped with the inode, when no op can run any more.
 *
 * Context: process context; may sleep.
 * Return: 0; -EEXIST if the file has an owner, even if it is the same;
 * -EINVAL if @file is no shmem file; -EPERM if it is not kernel-internal;
 * -EDEADLK from inside an op; -ENOMEM.
 */
int shmem_owner_register(struct file *file, const struct shmem_owner_ops *ops,
			 void *private)
{
	struct shmem_owner *owner = NULL;
	struct address_space *mapping;
	int err = 0;

	if (!file || !shmem_file(file))
		return -EINVAL;
	if (!IS_PRIVATE(file_inode(file)))
		return -EPERM;
	if (shmem_owner_in_call())
		return -EDEADLK;

	if (ops) {
		owner = kzalloc(sizeof(*owner), GFP_KERNEL);
		if (!owner)
			return -ENOMEM;
		owner->ops = *ops;
		owner->private = private;
		refcount_set(&owner->refs, 1);
		init_completion(&owner->gone);
	}

	mapping = file->f_mapping;
	spin_lock(&mapping->i_private_lock);
	if (mapping->i_private_data)
		err = -EEXIST;
	else if (owner)
		/* Pairs with READ_ONCE() and the dependency in _get(). */
		smp_store_release(&mapping->i_private_data, owner);
	spin_unlock(&mapping->i_private_lock);
	if (err)
		kfree(owner);
	return err;
}
EXPORT_SYMBOL_GPL(shmem_owner_register);

/**
 * shmem_owner_unregister() - stop taking part
 * @file: as registered
 *
 * No op starts any more, and those that run are waited for, those of this file
 * only. Afterwards the default holds, and what the ops use may go.
 *
 * Context: process context; sleeps as long as the owner's ops do. Hold no lock
 * that an op waits for, and no lock of a folio of the file.
 * Return: 0; -ENOENT if the file has no owner; -EINVAL if @file is no shmem
 * file; -EDEADLK from inside an op.
 */
int shmem_owner_unregister(struct file *file)
{
	struct address_space *mapping;
	struct shmem_owner *owner;

	if (!file || !shmem_file(file))
		return -EINVAL;
	/* Not of another file either: two ops could wait for each other. */
	if (shmem_owner_in_call())
		return -EDEADLK;

	mapping = file->f_mapping;
	spin_lock(&mapping->i_private_lock);
	owner = mapping->i_private_data;
	WRITE_ONCE(mapping->i_private_data, NULL);
	spin_unlock(&mapping->i_private_lock);
	if (!owner)
		return -ENOENT;

	shmem_owner_put(owner);
	wait_for_completion(&owner->gone);
	kfree_rcu(owner, rcu);
	return 0;
}
EXPORT_SYMBOL_GPL(shmem_owner_unregister);

/* The file's folios are gone, hence so is every op. */
void shmem_owner_evict(struct inode *inode)
{
	struct shmem_owner *owner = inode->i_mapping->i_private_data;

	if (!owner)
		return;
	inode->i_mapping->i_private_data = NULL;
	kfree_rcu(owner, rcu);
}

/* References that the page cache, the isolation and folio->private explain. */
static int shmem_owner_expected_refs(struct folio *src)
{
	return folio_expected_ref_count(src) + 1;
}

/**
 * shmem_owner_pinned() - does anybody hold a folio that is to be moved?
 * @src: the folio, as migrate_folio() of an owner got it
 *
 * If not, the owner can go straight to shmem_owner_migrate_folio() without
 * taking its locks, unless it derives more from the address than its pin.
 *
 * Return: true if there are references beyond those that the page cache (one
 * for each page of a large folio), the isolation and PG_private explain.
 */
bool shmem_owner_pinned(struct folio *src)
{
	return folio_ref_count(src) > shmem_owner_expected_refs(src);
}
EXPORT_SYMBOL_GPL(shmem_owner_pinned);

/**
 * shmem_owner_migrate_folio() - the default migration, for an owner's op
 * @mapping: as the op got it
 * @dst: as the op got it
 * @src: as the op got it; the owner has dropped its pins
 * @mode: as the op got it
 *
 * Return: 0; -EBUSY if somebody else holds @src, for whom a retry would not
 * help; otherwise what migrate_folio() answers, -EAGAIN for a reference that
 * came meanwhile.
 */
int shmem_owner_migrate_folio(struct address_space *mapping, struct folio *dst,
			      struct folio *src, enum migrate_mode mode)
{
	if (shmem_owner_pinned(src))
		return -EBUSY;
	return migrate_folio(mapping, dst, src, mode);
}
EXPORT_SYMBOL_GPL(shmem_owner_migrate_folio);

static int shmem_owner_call(struct shmem_owner *owner,
			    struct address_space *mapping, struct folio *dst,
			    struct folio *src, enum migrate_mode mode)
{
	struct shmem_owner_call call = { .task = current };
	void *src_private = src->private;
	bool moved;
	int rc;

	VM_WARN_ON_ONCE_FOLIO(folio_mapped(src), src);
	VM_WARN_ON_ONCE_FOLIO(folio_ref_count(dst) != 1, dst);

	spin_lock(&shmem_owner_calls_lock);
	list_add(&call.list, &shmem_owner_calls);
	spin_unlock(&shmem_owner_calls_lock);

	dst->private = NULL;
	rc = owner->ops.migrate_folio(mapping, dst, src, mode, owner->private);

	spin_lock(&shmem_owner_calls_lock);
	list_del(&call.list);
	spin_unlock(&shmem_owner_calls_lock);

	/*
	 * Whether the folio has moved is what the page cache says, not what
	 * the owner says: to believe it would free a folio that is in use.
	 */
	moved = dst->mapping == mapping;
	if (moved == !!rc) {
		pr_warn_ratelimited("shmem owner: %ps answered %d for a folio that %s\n",
				    owner->ops.migrate_folio, rc,
				    moved ? "has moved" : "has not moved");
		rc = moved ? MIGRATEPAGE_SUCCESS : -EIO;
	}

	/* migrate_folio() does not carry over what PG_private does not cover. */
	if (!rc && !dst->private && !folio_test_swapcache(dst))
		dst->private = src_private;
	return rc;
}

/* shmem's address_space_operations.migrate_folio */
int shmem_migrate_folio(struct address_space *mapping, struct folio *dst,
			struct folio *src, enum migrate_mode mode)
{
	struct shmem_owner *owner = shmem_owner_get(mapping);
	int rc;

	if (!owner)
		return migrate_folio(mapping, dst, src, mode);
	if (owner->ops.migrate_folio)
		rc = shmem_owner_call(owner, mapping, dst, src, mode);
	else
		rc = migrate_folio(mapping, dst, src, mode);
	shmem_owner_put(owner);
	return rc;
}

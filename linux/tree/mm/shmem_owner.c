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
 * An attempt to move a folio asks isolate() before it has a destination, then
 * migrate_folio() until that answers something else than -EAGAIN or the core
 * has enough, and then, if the folio has not moved, putback(). As the folio
 * stays locked from the first migrate_folio() on, nothing needs to be
 * remembered to call putback() exactly once: after any other error at once,
 * after -EAGAIN when the core undoes the attempt.
 *
 * Lock order: folio lock > shmem_owner_calls_lock; i_private_lock alone.
 */
#include <linux/completion.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/migrate_blocker.h>
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
	bool named;		/* who is in the way has been noted */
};

DEFINE_STATIC_KEY_FALSE(shmem_owner_key);

static LIST_HEAD(shmem_owner_calls);
static DEFINE_SPINLOCK(shmem_owner_calls_lock);

static void shmem_owner_enter(struct shmem_owner_call *call)
{
	call->task = current;
	call->named = false;
	spin_lock(&shmem_owner_calls_lock);
	list_add(&call->list, &shmem_owner_calls);
	spin_unlock(&shmem_owner_calls_lock);
}

static void shmem_owner_leave(struct shmem_owner_call *call)
{
	spin_lock(&shmem_owner_calls_lock);
	list_del(&call->list);
	spin_unlock(&shmem_owner_calls_lock);
}

/* The innermost op that the current task runs. */
static struct shmem_owner_call *shmem_owner_current_call(void)
{
	struct shmem_owner_call *call, *found = NULL;

	spin_lock(&shmem_owner_calls_lock);
	list_for_each_entry(call, &shmem_owner_calls, list) {
		if (call->task == current) {
			found = call;
			break;
		}
	}
	spin_unlock(&shmem_owner_calls_lock);
	return found;
}

static bool shmem_owner_in_call(void)
{
	return shmem_owner_current_call();
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
 * __shmem_owner_register() - take part in what happens to a shmem file's folios
 * @file: from shmem_kernel_file_setup()
 * @ops: what to call; copied. NULL registers nothing
 * @size: of *@ops as the caller knows it; what the core knows beyond is NULL
 * @private: handed to each call
 *
 * In force from the next migration on. There is one owner at most. Unregister
 * before the last reference to @file goes; if that is forgotten, the owner is
 * dropped with the inode, when no op can run any more.
 *
 * Context: process context; may sleep.
 * Return: 0; -EEXIST if the file has an owner, even if it is the same;
 * -EINVAL if @file is no shmem file, or if @ops makes no sense: a part of a
 * batch without the other, or @putback without @migrate_folio; -E2BIG if @ops
 * has something that the core does not know; -EPERM if @file is not
 * kernel-internal; -EDEADLK from inside an op; -ENOMEM.
 */
int __shmem_owner_register(struct file *file, const struct shmem_owner_ops *ops,
			   size_t size, void *private)
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
		const size_t known = sizeof(*ops);

		if (size > known &&
		    memchr_inv((const char *)ops + known, 0, size - known))
			return -E2BIG;
		owner = kzalloc(sizeof(*owner), GFP_KERNEL);
		if (!owner)
			return -ENOMEM;
		memcpy(&owner->ops, ops, min(size, known));
		owner->private = private;
		refcount_set(&owner->refs, 1);
		init_completion(&owner->gone);
		if (!owner->ops.batch_begin != !owner->ops.batch_end ||
		    (owner->ops.putback && !owner->ops.migrate_folio) ||
		    owner->ops.min_mode > MIGRATE_SYNC) {
			kfree(owner);
			return -EINVAL;
		}
		static_branch_inc(&shmem_owner_key);
	}

	mapping = file->f_mapping;
	spin_lock(&mapping->i_private_lock);
	if (mapping->i_private_data)
		err = -EEXIST;
	else if (owner)
		/* Pairs with READ_ONCE() and the dependency in _get(). */
		smp_store_release(&mapping->i_private_data, owner);
	spin_unlock(&mapping->i_private_lock);
	if (err && owner) {
		static_branch_dec(&shmem_owner_key);
		kfree(owner);
	}
	return err;
}
EXPORT_SYMBOL_GPL(__shmem_owner_register);

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
	static_branch_dec(&shmem_owner_key);
	kfree_rcu(owner, rcu);
	return 0;
}
EXPORT_SYMBOL_GPL(shmem_owner_unregister);

/* The file's folios are gone, hence so is every op but the end of a batch. */
void shmem_owner_evict(struct inode *inode)
{
	struct shmem_owner *owner = inode->i_mapping->i_private_data;

	if (!owner)
		return;
	inode->i_mapping->i_private_data = NULL;
	shmem_owner_put(owner);
	wait_for_completion(&owner->gone);
	static_branch_dec(&shmem_owner_key);
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
	struct shmem_owner_call *call;

	if (!shmem_owner_pinned(src))
		return migrate_folio(mapping, dst, src, mode);

	/* Somebody who is not the owner: say so as long as the count is right. */
	call = shmem_owner_current_call();
	if (call)
		call->named = true;
	migrate_blocker_note(src, MIGRATE_BLOCKER_PIN, -EBUSY, NULL, NULL,
			     shmem_owner_expected_refs(src),
			     folio_ref_count(src));
	return -EBUSY;
}
EXPORT_SYMBOL_GPL(shmem_owner_migrate_folio);

/* Who says no to moving @folio, and what. */
static void shmem_owner_blocks(struct shmem_owner *owner, struct folio *folio,
			       enum migrate_blocker why, int rc)
{
	migrate_blocker_note(folio, why, rc, owner->ops.name,
			     owner->ops.migrate_folio,
			     shmem_owner_expected_refs(folio),
			     folio_ref_count(folio));
}

static void shmem_owner_put_back(struct shmem_owner *owner,
				 struct address_space *mapping,
				 struct folio *folio)
{
	struct shmem_owner_call call;

	if (!owner->ops.putback)
		return;
	shmem_owner_enter(&call);
	owner->ops.putback(mapping, folio, owner->private);
	shmem_owner_leave(&call);
}

static int shmem_owner_call(struct shmem_owner *owner,
			    struct address_space *mapping, struct folio *dst,
			    struct folio *src, enum migrate_mode mode)
{
	struct shmem_owner_call call;
	void *src_private = src->private;
	bool moved;
	int rc;

	VM_WARN_ON_ONCE_FOLIO(folio_mapped(src), src);
	/* Ours; who looks at pages by number can have one for a moment. */
	VM_WARN_ON_ONCE_FOLIO(!folio_ref_count(dst), dst);

	if (mode < owner->ops.min_mode) {
		shmem_owner_blocks(owner, src, MIGRATE_BLOCKER_OWNER_MODE,
				   -EBUSY);
		return -EBUSY;
	}

	shmem_owner_enter(&call);
	dst->private = NULL;
	rc = owner->ops.migrate_folio(mapping, dst, src, mode, owner->private);
	shmem_owner_leave(&call);

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
	if (!rc)
		return 0;

	if (!call.named)
		shmem_owner_blocks(owner, src, rc == -EAGAIN ?
				   MIGRATE_BLOCKER_OWNER_AGAIN :
				   MIGRATE_BLOCKER_OWNER_REFUSED, rc);
	/* After -EAGAIN: in shmem_owner_putback(), if this was the last try. */
	if (rc != -EAGAIN)
		shmem_owner_put_back(owner, mapping, src);
	return rc;
}

static noinline int
__shmem_migrate_folio(struct address_space *mapping, struct folio *dst,
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

/* shmem's address_space_operations.migrate_folio */
int shmem_migrate_folio(struct address_space *mapping, struct folio *dst,
			struct folio *src, enum migrate_mode mode)
{
	if (static_branch_unlikely(&shmem_owner_key))
		return __shmem_migrate_folio(mapping, dst, src, mode);
	return migrate_folio(mapping, dst, src, mode);
}

/* The mapping of a locked folio that can have an owner, or NULL. */
static struct address_space *shmem_owner_mapping(struct folio *folio)
{
	struct address_space *mapping = READ_ONCE(folio->mapping);

	if (!mapping || (unsigned long)mapping & PAGE_MAPPING_FLAGS)
		return NULL;
	return shmem_mapping(mapping) ? mapping : NULL;
}

/*
 * Without the folio lock. A mapping that the folio had is freed by RCU, and not
 * before the folio has been removed from it.
 */
bool __shmem_owner_asks(const struct folio *folio)
{
	struct address_space *mapping;
	bool asks;

	rcu_read_lock();
	mapping = shmem_owner_mapping((struct folio *)folio);
	asks = mapping && READ_ONCE(mapping->i_private_data);
	rcu_read_unlock();
	return asks;
}

/*
 * No lock is held. It is only tried for, as the question is an offer to save
 * work: who cannot be asked now decides in migrate_folio().
 */
static int shmem_owner_ask(struct folio *folio, enum migrate_mode mode)
{
	struct shmem_owner *owner = NULL;
	struct address_space *mapping;
	struct shmem_owner_call call;
	int rc = 0;

	if (!folio_trylock(folio))
		return 0;
	mapping = shmem_owner_mapping(folio);
	if (mapping)
		owner = shmem_owner_get(mapping);
	if (!owner)
		goto unlock;

	if (mode < owner->ops.min_mode) {
		rc = -EBUSY;
		shmem_owner_blocks(owner, folio, MIGRATE_BLOCKER_OWNER_MODE, rc);
	} else if (owner->ops.isolate) {
		shmem_owner_enter(&call);
		rc = owner->ops.isolate(mapping, folio, mode, owner->private);
		shmem_owner_leave(&call);
		/* To the core -ENOMEM would mean that nothing can be moved. */
		if (rc > 0 || rc == -ENOMEM)
			rc = -EBUSY;
		if (rc)
			shmem_owner_blocks(owner, folio,
					   MIGRATE_BLOCKER_OWNER_VETO, rc);
	}
	shmem_owner_put(owner);
unlock:
	folio_unlock(folio);
	return rc;
}

int __shmem_owner_isolate(struct folio *folio, enum migrate_mode mode,
			  struct list_head *failed)
{
	int rc = __shmem_owner_asks(folio) ? shmem_owner_ask(folio, mode) : 0;

	if (failed && rc && rc != -EAGAIN)
		list_move_tail(&folio->lru, failed);
	return rc;
}

/* @folio is locked since migrate_folio() answered -EAGAIN for it. */
void __shmem_owner_putback(struct folio *folio)
{
	struct address_space *mapping = shmem_owner_mapping(folio);
	struct shmem_owner *owner = mapping ? shmem_owner_get(mapping) : NULL;

	if (!owner)
		return;
	shmem_owner_put_back(owner, mapping, folio);
	shmem_owner_put(owner);
}

/* [@start, @end] in bytes; pages that are cut stay. */
void __shmem_owner_truncate(struct inode *inode, loff_t start, loff_t end)
{
	struct address_space *mapping = inode->i_mapping;
	pgoff_t first = (start + PAGE_SIZE - 1) >> PAGE_SHIFT;
	pgoff_t last = end < 0 ? ULONG_MAX : (pgoff_t)(end + 1) >> PAGE_SHIFT;
	struct shmem_owner_call call;
	struct shmem_owner *owner;

	if (end >= 0 && !last--)
		return;
	/* Who has forgotten to unregister may not be there any more. */
	if (first > last || inode->i_state & I_FREEING)
		return;
	owner = shmem_owner_get(mapping);
	if (!owner)
		return;
	if (owner->ops.truncate) {
		shmem_owner_enter(&call);
		owner->ops.truncate(mapping, first, last, owner->private);
		shmem_owner_leave(&call);
	}
	shmem_owner_put(owner);
}

/* The owners that have been told of a batch. They are held until its end. */
struct shmem_owner_batch {
	unsigned int nr;
	struct shmem_owner_span {
		struct shmem_owner *owner;
		struct address_space *mapping;
		pgoff_t first, last;
		unsigned int nr;
	} spans[SHMEM_OWNER_MAX_BATCH];
};

/*
 * All of @folios are locked. The batch is allocated, and not on the stack of
 * migrate_pages_batch(), which would pay for it with and without owners.
 */
struct shmem_owner_batch *
__shmem_owner_batch_begin(struct list_head *folios, enum migrate_mode mode)
{
	struct shmem_owner_batch *batch = NULL;
	struct shmem_owner_span *span;
	struct folio *folio;
	unsigned int i;

	list_for_each_entry(folio, folios, lru) {
		struct address_space *mapping = shmem_owner_mapping(folio);
		struct shmem_owner *owner;
		pgoff_t last;

		if (!mapping)
			continue;
		last = folio_next_index(folio) - 1;
		for (i = 0; batch && i < batch->nr; i++)
			if (batch->spans[i].mapping == mapping)
				break;
		if (batch && i < batch->nr) {
			span = &batch->spans[i];
			span->first = min(span->first, folio->index);
			span->last = max(span->last, last);
			span->nr++;
			continue;
		}
		if (i == SHMEM_OWNER_MAX_BATCH)
			continue;
		owner = shmem_owner_get(mapping);
		if (!owner)
			continue;
		if (!batch && owner->ops.batch_begin)
			batch = kzalloc(sizeof(*batch),
					GFP_NOWAIT | __GFP_NOWARN);
		if (!batch || !owner->ops.batch_begin ||
		    mode < owner->ops.min_mode) {
			shmem_owner_put(owner);
			continue;
		}
		batch->spans[i] = (struct shmem_owner_span){
			.owner = owner,
			.mapping = mapping,
			.first = folio->index,
			.last = last,
			.nr = 1,
		};
		batch->nr++;
	}

	for (i = 0; batch && i < batch->nr; i++) {
		struct shmem_owner_call call;

		span = &batch->spans[i];
		shmem_owner_enter(&call);
		span->owner->ops.batch_begin(span->mapping, span->first,
					     span->last, span->nr, mode,
					     span->owner->private);
		shmem_owner_leave(&call);
	}
	return batch;
}

void __shmem_owner_batch_end(struct shmem_owner_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->nr; i++) {
		struct shmem_owner_span *span = &batch->spans[i];
		struct shmem_owner_call call;

		shmem_owner_enter(&call);
		span->owner->ops.batch_end(span->mapping, span->owner->private);
		shmem_owner_leave(&call);
		shmem_owner_put(span->owner);
	}
	kfree(batch);
}

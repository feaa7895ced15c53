// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ops of the owner of an object of lib/test_folio_owner.c. They behave as
 * they have been told and first look at what they were promised.
 */
#include <linux/bitmap.h>
#include <linux/folio_owner.h>
#include <linux/fs.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/shmem_owner.h>
#include "test_folio_owner.h"

/*
 * Is putback() to come? An attempt that was under way when the object was
 * registered may end with one, and one that was when it was unregistered does
 * not end with any.
 */
enum { TFO_NO_ATTEMPT, TFO_ATTEMPT, TFO_MAYBE_ATTEMPT };

/* Pin again what rests; under obj->lock. */
void tfo_wake(struct tfo_object *obj)
{
	unsigned long i;

	if (!obj->resting)
		return;
	for_each_set_bit(i, obj->resting, obj->nr) {
		struct folio *folio = filemap_get_folio(obj->file->f_mapping, i);

		__clear_bit(i, obj->resting);
		if (!IS_ERR(folio))
			obj->pages[i] = folio;
	}
}

void tfo_lock(struct tfo_object *obj)
{
	mutex_lock(&obj->lock);
	tfo_wake(obj);
}

/* The migrate op of the object's owner. */

static int tfo_move(struct tfo_object *obj, struct address_space *mapping,
		    struct folio *dst, struct folio *src,
		    enum migrate_mode mode)
{
	unsigned long first = src->index, i, nr = folio_nr_pages(src);
	struct folio *to;
	int rc, mine = 0;

	if (!shmem_owner_pinned(src)) {
		tfo_count(obj, &obj->stats.direct);
		return shmem_owner_migrate_folio(mapping, dst, src, mode);
	}
	if (!mutex_trylock(&obj->lock)) {
		tfo_count(obj, &obj->stats.lock_busy);
		return -EAGAIN;
	}
	for (i = first; i < first + nr; i++)
		mine += obj->pages[i] == src;
	if (mine)
		folio_put_refs(src, mine);
	rc = shmem_owner_migrate_folio(mapping, dst, src, mode);
	to = rc ? src : dst;
	if (mine)
		folio_ref_add(to, mine);
	for (i = first; i < first + nr; i++)
		if (obj->pages[i] == src)
			obj->pages[i] = to;
	mutex_unlock(&obj->lock);
	return rc;
}

static int tfo_behave(struct tfo_object *obj, struct address_space *mapping,
		      struct folio *dst, struct folio *src,
		      enum migrate_mode mode)
{
	int rc;

	switch (READ_ONCE(obj->behaviour)) {
	case TFO_AGAIN:
		return -EAGAIN;
	case TFO_BUSY:
		return -EBUSY;
	case TFO_IO_ERROR:
		return -EIO;
	case TFO_LIE_MOVED:
		return 0;
	case TFO_LIE_FAILED:
		return tfo_move(obj, mapping, dst, src, mode) ?: -EIO;
	case TFO_WAIT:
		complete(&obj->inside);
		wait_for_completion(&obj->go);
		break;
	case TFO_REGISTER_INSIDE:
		obj->stats.inside = shmem_owner_register(obj->file, &obj->ops,
							 obj);
		break;
	case TFO_UNREGISTER_INSIDE:
		obj->stats.inside = shmem_owner_unregister(obj->file);
		break;
	case TFO_AGAIN_TWICE:
		if (obj->tries++ < 2)
			return -EAGAIN;
		break;
	case TFO_SET_PRIVATE:
		dst->private = (void *)0xd57UL;
		break;
	default:
		break;
	}
	rc = tfo_move(obj, mapping, dst, src, mode);
	if (!rc)
		tfo_count(obj, &obj->stats.moved);
	return rc;
}

static int tfo_migrate_folio(struct address_space *mapping, struct folio *dst,
			     struct folio *src, enum migrate_mode mode,
			     void *private)
{
	struct tfo_object *obj = private;
	pgoff_t index = src->index;
	int rc;

	/* Whoever looks at pages by number can have @dst for a moment, too. */
	spin_lock_irq(&obj->stats_lock);
	obj->stats.calls[mode]++;
	obj->stats.migrated_at = atomic64_inc_return(&tfo_clock);
	if (!folio_test_locked(src) || !folio_test_locked(dst) ||
	    folio_mapped(src) || folio_test_writeback(src) ||
	    !folio_ref_count(dst) || dst->mapping || dst->private ||
	    src->mapping != mapping || index >= obj->nr ||
	    folio_nr_pages(dst) != folio_nr_pages(src))
		obj->stats.violations++;
	spin_unlock_irq(&obj->stats_lock);

	rc = tfo_behave(obj, mapping, dst, src, mode);

	spin_lock_irq(&obj->stats_lock);
	/* Whatever rc says. */
	obj->attempts[index] = dst->mapping ? TFO_NO_ATTEMPT : TFO_ATTEMPT;
	spin_unlock_irq(&obj->stats_lock);
	return rc;
}

/* Its other ops. */

static int tfo_isolate(struct address_space *mapping, struct folio *folio,
		       enum migrate_mode mode, void *private)
{
	struct tfo_object *obj = private;

	tfo_count(obj, &obj->stats.asked[mode]);
	if (!folio_test_locked(folio) || folio->mapping != mapping)
		tfo_count(obj, &obj->stats.violations);
	switch (READ_ONCE(obj->behaviour)) {
	case TFO_VETO:
		return -EBUSY;
	case TFO_VETO_AGAIN:
		return -EAGAIN;
	case TFO_VETO_NOMEM:
		return -ENOMEM;
	default:
		return 0;
	}
}

static void tfo_putback(struct address_space *mapping, struct folio *folio,
			void *private)
{
	struct tfo_object *obj = private;

	spin_lock_irq(&obj->stats_lock);
	obj->stats.putbacks++;
	if (!folio_test_locked(folio) || folio->mapping != mapping ||
	    obj->attempts[folio->index] == TFO_NO_ATTEMPT)
		obj->stats.violations++;
	obj->attempts[folio->index] = TFO_NO_ATTEMPT;
	spin_unlock_irq(&obj->stats_lock);
}

static void tfo_batch_begin(struct address_space *mapping, pgoff_t first,
			    pgoff_t last, unsigned int nr,
			    enum migrate_mode mode, void *private)
{
	struct tfo_object *obj = private;
	unsigned long i;

	tfo_count(obj, &obj->stats.batches);
	spin_lock_irq(&obj->stats_lock);
	obj->stats.batch_folios += nr;
	if (nr > last - first + 1 || last >= obj->nr)
		obj->stats.violations++;
	spin_unlock_irq(&obj->stats_lock);
	if (!mutex_trylock(&obj->lock))
		return;
	for (i = first; i <= last; i++) {
		if (!obj->pages[i])
			continue;
		folio_put(obj->pages[i]);
		obj->pages[i] = NULL;
		__set_bit(i, obj->resting);
	}
	mutex_unlock(&obj->lock);
}

static void tfo_batch_end(struct address_space *mapping, void *private)
{
	struct tfo_object *obj = private;

	tfo_count(obj, &obj->stats.batches_ended);
	if (mutex_trylock(&obj->lock)) {
		tfo_wake(obj);
		mutex_unlock(&obj->lock);
	}
}

static void tfo_truncate(struct address_space *mapping, pgoff_t first,
			 pgoff_t last, void *private)
{
	struct tfo_object *obj = private;
	unsigned long i;

	tfo_lock(obj);
	for (i = first; i <= last && i < obj->nr; i++) {
		tfo_count(obj, &obj->stats.truncated);
		if (obj->pages[i])
			folio_put(obj->pages[i]);
		obj->pages[i] = NULL;
	}
	mutex_unlock(&obj->lock);
}

/* What TFO_CHANGE_OPS puts into the table after it was registered. */
static int tfo_wrong_op(struct address_space *mapping, struct folio *dst,
			struct folio *src, enum migrate_mode mode,
			void *private)
{
	struct tfo_object *obj = private;

	tfo_count(obj, &obj->stats.violations);
	return -EBUSY;
}

void tfo_change_ops(struct tfo_object *obj)
{
	obj->ops.migrate_folio = tfo_wrong_op;
}

/* How many attempts are under way; from now on none is, or @maybe any. */
unsigned long tfo_attempts(struct tfo_object *obj, bool maybe)
{
	unsigned long i, n = 0;

	spin_lock_irq(&obj->stats_lock);
	for (i = 0; i < obj->nr; i++) {
		n += obj->attempts[i] == TFO_ATTEMPT;
		obj->attempts[i] = maybe ? TFO_MAYBE_ATTEMPT : TFO_NO_ATTEMPT;
	}
	spin_unlock_irq(&obj->stats_lock);
	return n;
}

int tfo_register(struct tfo_object *obj, struct tfo_args *args)
{
	struct {
		struct shmem_owner_ops known;
		void *more;
	} ops = {
		.known.name = "test object",
		.known.min_mode = args->mode,
	};
	size_t size = sizeof(ops.known);

	tfo_attempts(obj, true);
	if (args->flags & TFO_NO_FILE)
		return shmem_owner_register(NULL, &obj->ops, obj);
	if (args->flags & TFO_NO_OPS)
		return shmem_owner_register(obj->file, NULL, obj);
	if (!args->flags && !args->mode) {
		obj->ops.migrate_folio = tfo_migrate_folio;
		return shmem_owner_register(obj->file, &obj->ops, obj);
	}
	if (!(args->flags & (TFO_EMPTY_OPS | TFO_LONE_PUTBACK)))
		ops.known.migrate_folio = tfo_migrate_folio;
	if (args->flags & TFO_MORE_OPS) {
		ops.known.isolate = tfo_isolate;
		ops.known.batch_begin = tfo_batch_begin;
		ops.known.batch_end = tfo_batch_end;
		ops.known.truncate = tfo_truncate;
	}
	if (args->flags & (TFO_MORE_OPS | TFO_LONE_PUTBACK))
		ops.known.putback = tfo_putback;
	if (args->flags & TFO_HALF_BATCH)
		ops.known.batch_end = NULL;
	if (args->flags & TFO_OLD_SIZE)
		size = offsetofend(struct shmem_owner_ops, migrate_folio);
	if (args->flags & TFO_NEW_SIZE) {
		size = sizeof(ops);
		ops.more = args->value ? obj : NULL;
	}
	return __shmem_owner_register(obj->file, &ops.known, size, obj);
}

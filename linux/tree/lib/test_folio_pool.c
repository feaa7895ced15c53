// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool that owns its folios: they come back when the last reference goes, rest
 * with count 0, and are put to use again. Any number of threads can go through
 * it at once (TFO_CYCLE); who comes first makes the pool, who leaves last takes
 * it apart and looks whether each folio has come back.
 *
 * A folio that rests is on tfp.resting by its lru and has its mark in its first
 * word. tfp.left is a folio that one thread has left for the next to let go of,
 * so that the last reference often goes on another processor.
 */
#include <linux/folio_owner.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page_ref.h>
#include <linux/pagevec.h>
#include <linux/spinlock.h>
#include "test_folio_owner.h"
#include "test_folio_owner_uapi.h"

static struct {
	struct mutex users_lock;	/* users, owner */
	unsigned int users;
	struct folio_owner *owner;
	spinlock_t lock;		/* the rest */
	struct list_head resting;
	unsigned long folios, at_rest, wrong;
	struct folio *left;
} tfp = {
	.users_lock = __MUTEX_INITIALIZER(tfp.users_lock),
	.lock = __SPIN_LOCK_UNLOCKED(tfp.lock),
	.resting = LIST_HEAD_INIT(tfp.resting),
};

static u64 tfp_mark(struct folio *folio)
{
	return folio_pfn(folio) * 0x9e3779b97f4a7c15ULL;
}

static bool tfp_free(struct folio *folio, enum folio_owner_reason reason,
		     void *private)
{
	unsigned long flags;

	spin_lock_irqsave(&tfp.lock, flags);
	tfp.wrong += reason != FOLIO_OWNER_LAST_REF || folio_ref_count(folio) ||
		     *(u64 *)folio_address(folio) != tfp_mark(folio);
	list_add(&folio->lru, &tfp.resting);
	tfp.at_rest++;
	spin_unlock_irqrestore(&tfp.lock, flags);
	return true;
}

static const struct folio_owner_ops tfp_ops = {
	.name = "test pool",
	.free = tfp_free,
};

static struct folio *tfp_take(void)
{
	struct folio *folio;

	spin_lock_irq(&tfp.lock);
	folio = list_first_entry_or_null(&tfp.resting, struct folio, lru);
	if (folio) {
		list_del_init(&folio->lru);
		tfp.at_rest--;
	}
	spin_unlock_irq(&tfp.lock);
	return folio;
}

/* A folio to use: one that rests, or a new one. */
static struct folio *tfp_get(unsigned int order)
{
	struct folio *folio = tfp_take();

	if (folio) {
		if (*(u64 *)folio_address(folio) == tfp_mark(folio) &&
		    !folio_owner_revive(folio))
			return folio;
		spin_lock_irq(&tfp.lock);
		tfp.wrong++;
		spin_unlock_irq(&tfp.lock);
		return NULL;
	}
	folio = folio_alloc(GFP_KERNEL | __GFP_NOWARN, order);
	if (!folio)
		return NULL;
	*(u64 *)folio_address(folio) = tfp_mark(folio);
	if (folio_owner_set(folio, tfp.owner, GFP_KERNEL)) {
		folio_put(folio);
		return NULL;
	}
	spin_lock_irq(&tfp.lock);
	tfp.folios++;
	spin_unlock_irq(&tfp.lock);
	return folio;
}

/* Let go of it, on one of the ways that there are. */
static void tfp_put(struct folio *folio, unsigned int way)
{
	struct folio_batch batch;
	LIST_HEAD(list);

	switch (way % 4) {
	case 0:
		folio_put(folio);
		break;
	case 1:
		folio_batch_init(&batch);
		folio_batch_add(&batch, folio);
		folios_put(&batch);
		break;
	case 2:
		list_add(&folio->lru, &list);
		put_pages_list(&list);
		break;
	case 3:
		folio = xchg(&tfp.left, folio);
		if (folio)
			folio_put(folio);
		break;
	}
}

/* Nobody else is left. Every folio has come back, or is counted as wrong. */
static void tfp_end(void)
{
	struct folio *folio = xchg(&tfp.left, NULL);
	unsigned int n = 0;

	if (folio)
		folio_put(folio);
	tfp.wrong += tfp.at_rest != tfp.folios;
	/* Some go back to the page allocator in use, and some as they rest. */
	while (n++ < tfp.folios / 2 && (folio = tfp_take())) {
		folio_owner_revive(folio);
		tfp.wrong += folio_owner_clear(folio) != 0;
		folio_put(folio);
	}
	folio_owner_unregister(tfp.owner);
	tfp.owner = NULL;
	while ((folio = tfp_take())) {
		folio_ref_unfreeze(folio, 1);
		folio_put(folio);
	}
	tfp.folios = 0;
}

int tfp_cycle(struct tfo_args *args)
{
	struct folio_owner *owner;
	unsigned int i;
	int err = 0;

	mutex_lock(&tfp.users_lock);
	if (!tfp.users) {
		owner = folio_owner_register(&tfp_ops, NULL);
		err = PTR_ERR_OR_ZERO(owner);
		if (!err)
			tfp.owner = owner;
	}
	tfp.users += !err;
	mutex_unlock(&tfp.users_lock);
	if (err)
		return err;

	for (i = 0; i < args->count; i++) {
		struct folio *folio = tfp_get(i % 5 ? 0 : 2);

		if (!folio)
			continue;
		folio_get(folio);
		*(u64 *)folio_address(folio) = tfp_mark(folio);
		folio_put(folio);
		tfp_put(folio, args->index + i);
		cond_resched();
	}

	mutex_lock(&tfp.users_lock);
	if (!--tfp.users)
		tfp_end();
	spin_lock_irq(&tfp.lock);
	args->value = tfp.wrong;
	spin_unlock_irq(&tfp.lock);
	mutex_unlock(&tfp.users_lock);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of folios: KUnit tests of what needs no user space.
 *
 * A test is named after the requirement that it checks.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/folio_owner.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagevec.h>
#include <linux/spinlock.h>
#include <linux/swap.h>

struct fot {
	struct folio_owner *owner;
	atomic_t calls;
	struct folio *last;
	enum folio_owner_reason reason;
	bool take;		/* what free() answers */
	int bad;		/* free() saw what it must not see */
};

/* Another CPU holds it for a moment; a batch that called us, for ever. */
static bool fot_can_lock(spinlock_t *lock)
{
	unsigned long flags;
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		if (spin_trylock_irqsave(lock, flags)) {
			spin_unlock_irqrestore(lock, flags);
			return true;
		}
		cpu_relax();
	}
	return false;
}

static bool fot_free(struct folio *folio, enum folio_owner_reason reason,
		     void *private)
{
	struct fot *fot = private;

	if (!fot_can_lock(&folio_lruvec(folio)->lru_lock) ||
	    folio_ref_count(folio) || folio_test_lru(folio) ||
	    folio_try_get(folio))
		fot->bad++;
	fot->last = folio;
	fot->reason = reason;
	atomic_inc(&fot->calls);
	return fot->take;
}

static const struct folio_owner_ops fot_ops = {
	.name = "kunit",
	.free = fot_free,
};

static int fot_init(struct kunit *test)
{
	struct fot *fot = kunit_kzalloc(test, sizeof(*fot), GFP_KERNEL);

	if (!fot)
		return -ENOMEM;
	fot->take = true;
	fot->owner = folio_owner_register(&fot_ops, fot);
	if (IS_ERR(fot->owner))
		return PTR_ERR(fot->owner);
	test->priv = fot;
	return 0;
}

static void fot_exit(struct kunit *test)
{
	struct fot *fot = test->priv;

	if (!fot)
		return;
	KUNIT_EXPECT_EQ(test, fot->bad, 0);
	KUNIT_EXPECT_EQ(test, folio_owner_nr_pages(fot->owner), 0);
	folio_owner_unregister(fot->owner);
}

static struct folio *fot_alloc(struct kunit *test, unsigned int order)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, order);

	KUNIT_ASSERT_NOT_NULL(test, folio);
	return folio;
}

static struct folio *fot_owned(struct kunit *test, unsigned int order)
{
	struct fot *fot = test->priv;
	struct folio *folio = fot_alloc(test, order);

	KUNIT_ASSERT_EQ(test, folio_owner_set(folio, fot->owner, GFP_KERNEL), 0);
	return folio;
}

/* A folio that rests with its owner goes back to the page allocator. */
static void fot_dispose(struct kunit *test, struct folio *folio)
{
	KUNIT_ASSERT_EQ(test, folio_owner_clear(folio), 0);
	KUNIT_ASSERT_EQ(test, folio_owner_revive(folio), 0);
	folio_put(folio);
}

/* What the owner was not told of is gone: the test must not touch it again. */
static void fot_expect_calls(struct kunit *test, int calls)
{
	struct fot *fot = test->priv;

	KUNIT_ASSERT_EQ(test, atomic_xchg(&fot->calls, 0), calls);
}

static void test_E1_set_get_clear(struct kunit *test)
{
	struct fot *fot = test->priv;
	struct folio *folio = fot_alloc(test, 0);

	KUNIT_EXPECT_NULL(test, folio_owner_ops(folio));
	KUNIT_EXPECT_EQ(test, folio_owner_clear(folio), -ENOENT);
	KUNIT_EXPECT_EQ(test, folio_owner_set(folio, fot->owner, GFP_KERNEL), 0);
	KUNIT_EXPECT_PTR_EQ(test, folio_owner_ops(folio), &fot_ops);
	KUNIT_EXPECT_EQ(test, folio_owner_set(folio, fot->owner, GFP_KERNEL),
			-EEXIST);
	KUNIT_EXPECT_EQ(test, folio_owner_nr_pages(fot->owner), 1);
	KUNIT_EXPECT_EQ(test, folio_owner_clear(folio), 0);
	KUNIT_EXPECT_NULL(test, folio_owner_ops(folio));
	folio_put(folio);
	fot_expect_calls(test, 0);
}

static void test_E1_ops_must_be_whole(struct kunit *test)
{
	const struct folio_owner_ops no_free = { .name = "no free" };
	const struct folio_owner_ops no_name = { .free = fot_free };
	const void *odd = (const char *)&fot_ops + 2;

	KUNIT_EXPECT_EQ(test, PTR_ERR(folio_owner_register(NULL, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(folio_owner_register(&no_free, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(folio_owner_register(&no_name, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(folio_owner_register(odd, NULL)), -EINVAL);
}

static void test_E2_tails_stay_tails(struct kunit *test)
{
	struct folio *folio = fot_owned(test, 3);
	long i;

	KUNIT_EXPECT_FALSE(test, PageTail(&folio->page));
	for (i = 1; i < folio_nr_pages(folio); i++) {
		struct page *page = folio_page(folio, i);

		KUNIT_EXPECT_TRUE(test, PageTail(page));
		KUNIT_EXPECT_FALSE(test, test_bit(PG_owned, &page->flags));
		KUNIT_EXPECT_PTR_EQ(test, page_folio(page), folio);
	}
	folio_put(folio);
	fot_expect_calls(test, 1);
	fot_dispose(test, folio);
}

/* A folio on the LRU, and taken off and put on it again, keeps its owner. */
static void test_E3_owner_outlives_lru(struct kunit *test)
{
	struct folio *folio = fot_owned(test, 0);

	folio_add_lru(folio);
	lru_add_drain_all();
	KUNIT_EXPECT_TRUE(test, folio_test_lru(folio));
	KUNIT_EXPECT_PTR_EQ(test, folio_owner_ops(folio), &fot_ops);
	folio_put(folio);
	fot_expect_calls(test, 1);
	KUNIT_EXPECT_FALSE(test, folio_test_lru(folio));
	fot_dispose(test, folio);
}

static void test_H_E2_isolator_drops_last_ref(struct kunit *test)
{
	struct folio *folio = fot_owned(test, 0);
	LIST_HEAD(list);

	folio_add_lru(folio);
	lru_add_drain_all();
	KUNIT_ASSERT_TRUE(test, isolate_folio_to_list(folio, &list));
	KUNIT_EXPECT_PTR_EQ(test, folio_owner_ops(folio), &fot_ops);
	folio_put(folio);
	fot_expect_calls(test, 0);
	/* The isolator's is the last. */
	list_del(&folio->lru);
	node_stat_sub_folio(folio, NR_ISOLATED_ANON +
			    folio_is_file_lru(folio));
	folio_put(folio);
	fot_expect_calls(test, 1);
	fot_dispose(test, folio);
}

static void test_E4_once_when_last_ref_goes(struct kunit *test)
{
	struct fot *fot = test->priv;
	struct folio *folio = fot_owned(test, 0);

	folio_get(folio);
	folio_put(folio);
	fot_expect_calls(test, 0);
	folio_put(folio);
	fot_expect_calls(test, 1);
	KUNIT_EXPECT_PTR_EQ(test, fot->last, folio);
	KUNIT_EXPECT_EQ(test, (int)fot->reason, (int)FOLIO_OWNER_LAST_REF);
	fot_dispose(test, folio);
	fot_expect_calls(test, 0);
}

/* What free() does not take goes where it would have gone without an owner. */
static void test_E4_not_taken_is_freed(struct kunit *test)
{
	struct fot *fot = test->priv;
	struct folio *folio;

	fot->take = false;
	folio = fot_owned(test, 5);
	folio_put(folio);
	fot_expect_calls(test, 1);
	KUNIT_EXPECT_FALSE(test, test_bit(PG_owned, &folio->page.flags));
	KUNIT_EXPECT_TRUE(test, is_free_buddy_page(&folio->page));
}

static void test_E5_batch_of_mixed_folios(struct kunit *test)
{
	struct folio *folios[9], *owned[3];
	unsigned int refs[9];
	struct folio_batch batch;
	int i, n = 0;

	folio_batch_init(&batch);
	for (i = 0; i < 9; i++) {
		bool mine = i % 3 == 1;

		folios[i] = mine ? fot_owned(test, 0) : fot_alloc(test, 0);
		folio_add_lru(folios[i]);
		if (mine)
			owned[n++] = folios[i];
	}
	lru_add_drain_all();
	/* NULL is one each; the owner sees no lock of the LRU held. */
	for (i = 0; i < 9; i++) {
		folio_get(folios[i]);
		folio_batch_add(&batch, folios[i]);
	}
	folios_put(&batch);
	fot_expect_calls(test, 0);
	for (i = 0; i < 9; i++) {
		folio_get(folios[i]);
		refs[i] = 2;
		folio_batch_add(&batch, folios[i]);
	}
	folios_put_refs(&batch, refs);
	fot_expect_calls(test, 3);
	KUNIT_EXPECT_EQ(test, folio_batch_count(&batch), 0);
	for (i = 0; i < 3; i++)
		fot_dispose(test, owned[i]);
}

static void test_E6_count_zero_then_reuse(struct kunit *test)
{
	struct folio *folio = fot_owned(test, 2);
	int i;

	for (i = 1; i <= 3; i++) {
		folio_put(folio);
		fot_expect_calls(test, 1);
		KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 0);
		KUNIT_EXPECT_FALSE(test, folio_try_get(folio));
		KUNIT_EXPECT_EQ(test, folio_owner_revive(folio), 0);
		KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	}
	folio_put(folio);
	fot_expect_calls(test, 1);
	fot_dispose(test, folio);
}

static void test_E7_survives_use(struct kunit *test)
{
	struct folio *folio = fot_owned(test, 0);

	folio_lock(folio);
	folio_mark_uptodate(folio);
	folio_start_writeback(folio);
	folio_end_writeback(folio);
	folio_unlock(folio);
	folio_mark_accessed(folio);
	KUNIT_EXPECT_PTR_EQ(test, folio_owner_ops(folio), &fot_ops);
	folio_put(folio);
	fot_expect_calls(test, 1);
	fot_dispose(test, folio);
}

static void test_E8_never_reaches_allocator(struct kunit *test)
{
	struct folio *folio = fot_owned(test, 5);

	folio_put(folio);
	fot_expect_calls(test, 1);
	KUNIT_EXPECT_FALSE(test, is_free_buddy_page(&folio->page));
	KUNIT_EXPECT_EQ(test, folio_order(folio), 5);
	KUNIT_EXPECT_EQ(test, folio_owner_revive(folio), 0);
	/* Cleared while the last reference is held, it does. */
	KUNIT_EXPECT_EQ(test, folio_owner_clear(folio), 0);
	folio_put(folio);
	fot_expect_calls(test, 0);
	KUNIT_EXPECT_TRUE(test, is_free_buddy_page(&folio->page));
}

/*
 * One thread puts a batch while the other sets the owner and puts: whoever is
 * last must ask the owner, for the decision comes after the count is 0.
 */
struct fot_race {
	struct folio *folio;
	atomic_t turn;
	struct completion done;
	int rounds;
};

static void fot_meet(atomic_t *turn, int n)
{
	atomic_inc(turn);
	while (atomic_read(turn) < n)
		cpu_relax();
}

static int fot_putter(void *data)
{
	struct fot_race *race = data;
	struct folio_batch batch;
	int i;

	folio_batch_init(&batch);
	for (i = 0; i < race->rounds; i++) {
		fot_meet(&race->turn, 4 * i + 2);
		folio_batch_add(&batch, READ_ONCE(race->folio));
		folios_put(&batch);
		fot_meet(&race->turn, 4 * i + 4);
	}
	complete(&race->done);
	return 0;
}

static void test_H_E1_decided_after_zero(struct kunit *test)
{
	struct fot_race race = { .rounds = 3000 };
	struct fot *fot = test->priv;
	struct task_struct *task;
	int i, lost = 0;

	init_completion(&race.done);
	task = kthread_run(fot_putter, &race, "fot_putter");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	for (i = 0; i < race.rounds; i++) {
		struct folio *folio = folio_alloc(GFP_KERNEL | __GFP_NOFAIL, 0);

		folio_get(folio);
		WRITE_ONCE(race.folio, folio);
		fot_meet(&race.turn, 4 * i + 2);
		folio_owner_set(folio, fot->owner, GFP_KERNEL);
		folio_put(folio);
		fot_meet(&race.turn, 4 * i + 4);
		if (atomic_xchg(&fot->calls, 0) != 1) {
			lost++;
			continue;
		}
		folio_owner_clear(folio);
		folio_owner_revive(folio);
		folio_put(folio);
	}
	wait_for_completion(&race.done);
	KUNIT_EXPECT_EQ(test, lost, 0);
}

/* Every way to drop a last reference. */

struct fot_path {
	const char *name;
	void (*put)(struct folio *folio);
};

static void put_folio_put(struct folio *folio)
{
	folio_put(folio);
}

static void put_put_page(struct folio *folio)
{
	put_page(&folio->page);
}

static void put_folio_put_refs(struct folio *folio)
{
	folio_get(folio);
	folio_put_refs(folio, 2);
}

static void put_folios_put(struct folio *folio)
{
	struct folio_batch batch;

	folio_batch_init(&batch);
	folio_batch_add(&batch, folio);
	folios_put(&batch);
}

static void put_release_pages(struct folio *folio)
{
	struct page *page = &folio->page;

	release_pages(&page, 1);
}

static void put_put_pages_list(struct folio *folio)
{
	LIST_HEAD(list);

	list_add(&folio->lru, &list);
	put_pages_list(&list);
}

static void put_free_pages(struct folio *folio)
{
	__free_pages(&folio->page, folio_order(folio));
}

static void put_free_pages_address(struct folio *folio)
{
	free_pages((unsigned long)folio_address(folio), folio_order(folio));
}

static void put_page_frag_free(struct folio *folio)
{
	page_frag_free(folio_address(folio));
}

static void put_page_frag_drain(struct folio *folio)
{
	__page_frag_cache_drain(&folio->page, 1);
}

static void put_irqs_off(struct folio *folio)
{
	local_irq_disable();
	folio_put(folio);
	local_irq_enable();
}

static void put_under_spinlock(struct folio *folio)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	folio_put(folio);
	spin_unlock(&lock);
}

static const struct fot_path fot_paths[] = {
	{ "folio_put", put_folio_put },
	{ "put_page", put_put_page },
	{ "folio_put_refs", put_folio_put_refs },
	{ "folios_put", put_folios_put },
	{ "release_pages", put_release_pages },
	{ "put_pages_list", put_put_pages_list },
	{ "__free_pages", put_free_pages },
	{ "free_pages", put_free_pages_address },
	{ "page_frag_free", put_page_frag_free },
	{ "__page_frag_cache_drain", put_page_frag_drain },
};

static const struct fot_path fot_contexts[] = {
	{ "interrupts off", put_irqs_off },
	{ "under a spinlock", put_under_spinlock },
};

static void fot_path_name(const struct fot_path *path, char *name)
{
	strscpy(name, path->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(fot_path, fot_paths, fot_path_name);
KUNIT_ARRAY_PARAM(fot_context, fot_contexts, fot_path_name);

static void fot_one_path(struct kunit *test, unsigned int order, bool take)
{
	const struct fot_path *path = test->param_value;
	struct fot *fot = test->priv;
	struct folio *folio = fot_owned(test, order);

	fot->take = take;
	path->put(folio);
	fot_expect_calls(test, 1);
	if (take)
		fot_dispose(test, folio);
}

static void test_H_E3_every_final_put(struct kunit *test)
{
	fot_one_path(test, 0, true);
	fot_one_path(test, 2, true);
	fot_one_path(test, 5, true);
	fot_one_path(test, 0, false);
	fot_one_path(test, 5, false);
}

static void test_H_E7_any_context(struct kunit *test)
{
	fot_one_path(test, 0, true);
	fot_one_path(test, 5, false);
}

/* Unregistering re-routes what is still owned, in use or at rest. */
static void test_H_E8_unregister_reroutes(struct kunit *test)
{
	struct fot *fot = test->priv;
	struct folio *used = fot_owned(test, 5), *rests = fot_owned(test, 5);

	folio_put(rests);
	fot_expect_calls(test, 1);
	KUNIT_EXPECT_EQ(test, folio_owner_nr_pages(fot->owner), 64);
	folio_owner_unregister(fot->owner);
	KUNIT_EXPECT_NULL(test, folio_owner_ops(used));
	KUNIT_EXPECT_FALSE(test, test_bit(PG_owned, &used->page.flags));
	KUNIT_EXPECT_FALSE(test, test_bit(PG_owned, &rests->page.flags));
	folio_put(used);
	fot_expect_calls(test, 0);
	KUNIT_EXPECT_TRUE(test, is_free_buddy_page(&used->page));
	/* What rested remains the owner's to give back. */
	set_page_count(&rests->page, 1);
	folio_put(rests);
	fot_expect_calls(test, 0);

	fot->owner = folio_owner_register(&fot_ops, fot);
	KUNIT_ASSERT_FALSE(test, IS_ERR(fot->owner));
}

/* One thread frees as fast as it can while the other unregisters. */
static int fot_freer(void *data)
{
	struct fot_race *race = data;
	struct folio *folio;

	while ((folio = xchg(&race->folio, NULL)) != ERR_PTR(-EPIPE)) {
		if (folio)
			folio_put(folio);
		cpu_relax();
	}
	complete(&race->done);
	return 0;
}

static void test_H_E8_unregister_races_with_put(struct kunit *test)
{
	struct fot_race race = { };
	struct fot *fot = test->priv;
	struct task_struct *task;
	int i;

	fot->take = false;
	init_completion(&race.done);
	task = kthread_run(fot_freer, &race, "fot_freer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	for (i = 0; i < 100; i++) {
		struct folio *folio = fot_owned(test, i % 6);
		struct folio_owner *owner = fot->owner;

		/* Pairs with xchg() in fot_freer(). */
		smp_store_release(&race.folio, folio);
		folio_owner_unregister(owner);
		fot->owner = folio_owner_register(&fot_ops, fot);
		KUNIT_ASSERT_FALSE(test, IS_ERR(fot->owner));
		while (READ_ONCE(race.folio))
			cpu_relax();
	}
	/* Pairs with xchg() in fot_freer(). */
	smp_store_release(&race.folio, ERR_PTR(-EPIPE));
	wait_for_completion(&race.done);
	KUNIT_EXPECT_LE(test, atomic_xchg(&fot->calls, 0), 100);
}

/* What has an owner of another kind is refused. */
static void test_H_E5_other_owners_refused(struct kunit *test)
{
	struct fot *fot = test->priv;
	void *object = kmalloc(64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, object);
	KUNIT_EXPECT_EQ(test, folio_owner_set(virt_to_folio(object), fot->owner,
					      GFP_KERNEL), -EINVAL);
	kfree(object);
}

static struct kunit_case fot_cases[] = {
	KUNIT_CASE(test_E1_set_get_clear),
	KUNIT_CASE(test_E1_ops_must_be_whole),
	KUNIT_CASE(test_E2_tails_stay_tails),
	KUNIT_CASE(test_E3_owner_outlives_lru),
	KUNIT_CASE(test_E4_once_when_last_ref_goes),
	KUNIT_CASE(test_E4_not_taken_is_freed),
	KUNIT_CASE(test_E5_batch_of_mixed_folios),
	KUNIT_CASE(test_E6_count_zero_then_reuse),
	KUNIT_CASE(test_E7_survives_use),
	KUNIT_CASE(test_E8_never_reaches_allocator),
	KUNIT_CASE(test_H_E1_decided_after_zero),
	KUNIT_CASE(test_H_E2_isolator_drops_last_ref),
	KUNIT_CASE_PARAM(test_H_E3_every_final_put, fot_path_gen_params),
	KUNIT_CASE(test_H_E5_other_owners_refused),
	KUNIT_CASE_PARAM(test_H_E7_any_context, fot_context_gen_params),
	KUNIT_CASE(test_H_E8_unregister_reroutes),
	KUNIT_CASE(test_H_E8_unregister_races_with_put),
	{ }
};

static struct kunit_suite fot_suite = {
	.name = "folio_owner",
	.init = fot_init,
	.exit = fot_exit,
	.test_cases = fot_cases,
};

kunit_test_suite(fot_suite);

MODULE_DESCRIPTION("KUnit tests for owners of folios");
MODULE_LICENSE("GPL");

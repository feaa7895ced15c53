// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many instructions do a final put and a migration take?
 *
 * Reading /sys/kernel/debug/cost measures. It is meant for a machine whose
 * cycle counter advances by one with each instruction (qemu -icount shift=0)
 * and that has one processor. Each window is far shorter than a tick, and of
 * many windows the shortest counts, so what an interrupt or a refill of a
 * per-CPU list adds is left out, and the figure is the same each time.
 *
 * A line: name, instructions of the shortest window less those of an empty
 * one, operations in a window.
 */
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/seq_file.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/timex.h>
#include "../mm/internal.h"

#define WINDOWS		400
#define MANY		16	/* less than a batch of the LRU, or of a pcp list */

/* What a window works on. */
static struct {
	struct folio *folios[MANY];
	struct folio_batch batch;
	struct list_head list;
	struct file *file;
	unsigned long addr;
} w;

static int cost_alloc(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		w.folios[i] = folio_alloc(GFP_KERNEL, 0);
		if (!w.folios[i]) {
			while (i--)
				folio_put(w.folios[i]);
			return -ENOMEM;
		}
	}
	return 0;
}

static void put_run(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		folio_put(w.folios[i]);
}

static int batch_before(unsigned int nr)
{
	unsigned int i;

	if (cost_alloc(nr))
		return -ENOMEM;
	folio_batch_init(&w.batch);
	for (i = 0; i < nr; i++)
		folio_batch_add(&w.batch, w.folios[i]);
	return 0;
}

static void batch_run(unsigned int nr)
{
	folios_put(&w.batch);
}

static int pages_before(unsigned int nr)
{
	unsigned int i;

	if (cost_alloc(nr))
		return -ENOMEM;
	INIT_LIST_HEAD(&w.list);
	for (i = 0; i < nr; i++)
		list_add(&w.folios[i]->lru, &w.list);
	return 0;
}

static void pages_run(unsigned int nr)
{
	put_pages_list(&w.list);
}

/* Folios on the LRU, isolated, ours only by their isolation. */
static int cost_isolate(unsigned int nr)
{
	unsigned int i;
	int err = 0;

	lru_add_drain();
	INIT_LIST_HEAD(&w.list);
	for (i = 0; i < nr; i++) {
		if (folio_isolate_lru(w.folios[i]))
			list_add_tail(&w.folios[i]->lru, &w.list);
		else
			err = -EBUSY;
		folio_put(w.folios[i]);
	}
	if (err)
		putback_movable_pages(&w.list);
	return err;
}

static int shmem_before(unsigned int nr)
{
	unsigned int i;

	w.file = shmem_kernel_file_setup("cost", MANY * PAGE_SIZE, 0);
	if (IS_ERR(w.file))
		return PTR_ERR(w.file);
	for (i = 0; i < nr; i++) {
		w.folios[i] = shmem_read_folio(w.file->f_mapping, i);
		if (IS_ERR(w.folios[i]))
			return PTR_ERR(w.folios[i]);
	}
	return cost_isolate(nr);
}

static int anon_before(unsigned int nr)
{
	struct page *pages[MANY];
	unsigned int i;

	w.addr = vm_mmap(NULL, 0, MANY * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(w.addr))
		return w.addr;
	if (get_user_pages_fast(w.addr, nr, FOLL_WRITE, pages) != nr)
		return -EFAULT;
	for (i = 0; i < nr; i++)
		w.folios[i] = page_folio(pages[i]);
	return cost_isolate(nr);
}

static unsigned int moved;

static void migrate_run(unsigned int nr)
{
	struct migration_target_control mtc = {
		.nid = NUMA_NO_NODE,
		.gfp_mask = GFP_HIGHUSER_MOVABLE,
		.reason = MR_SYSCALL,
	};

	migrate_pages(&w.list, alloc_migration_target, NULL,
		      (unsigned long)&mtc, MIGRATE_SYNC, MR_SYSCALL, &moved);
}

static int cost_all_moved(unsigned int nr)
{
	putback_movable_pages(&w.list);
	return moved == nr ? 0 : -EBUSY;
}

static int shmem_after(unsigned int nr)
{
	fput(w.file);
	return cost_all_moved(nr);
}

static int anon_after(unsigned int nr)
{
	vm_munmap(w.addr, MANY * PAGE_SIZE);
	return cost_all_moved(nr);
}

static void nothing_run(unsigned int nr)
{
}

static const struct cost {
	const char *name;
	unsigned int nr;
	int (*before)(unsigned int nr);
	void (*run)(unsigned int nr);
	int (*after)(unsigned int nr);
} costs[] = {
	{ "folio_put", MANY, cost_alloc, put_run },
	{ "folios_put", MANY, batch_before, batch_run },
	{ "put_pages_list", MANY, pages_before, pages_run },
	{ "migrate_shmem_alone", 1, shmem_before, migrate_run, shmem_after },
	{ "migrate_shmem", MANY, shmem_before, migrate_run, shmem_after },
	{ "migrate_anon_alone", 1, anon_before, migrate_run, anon_after },
	{ "migrate_anon", MANY, anon_before, migrate_run, anon_after },
};

static int cost_measure(const struct cost *c, cycles_t *shortest)
{
	unsigned int i;
	cycles_t t;
	int err;

	*shortest = ~0ULL;
	for (i = 0; i < WINDOWS; i++) {
		err = c->before ? c->before(c->nr) : 0;
		if (err)
			return err;
		t = get_cycles();
		c->run(c->nr);
		t = get_cycles() - t;
		err = c->after ? c->after(c->nr) : 0;
		if (err)
			return err;
		*shortest = min(*shortest, t);
		cond_resched();
	}
	return 0;
}

static int cost_show(struct seq_file *m, void *unused)
{
	static const struct cost nothing = { "nothing", 1, NULL, nothing_run };
	cycles_t empty, t;
	unsigned int i;
	int err;

	err = cost_measure(&nothing, &empty);
	for (i = 0; !err && i < ARRAY_SIZE(costs); i++) {
		err = cost_measure(&costs[i], &t);
		if (!err)
			seq_printf(m, "%s %llu %u\n", costs[i].name, t - empty,
				   costs[i].nr);
	}
	return err;
}
DEFINE_SHOW_ATTRIBUTE(cost);

static int __init cost_init(void)
{
	debugfs_create_file("cost", 0400, NULL, NULL, &cost_fops);
	return 0;
}
late_initcall(cost_init);

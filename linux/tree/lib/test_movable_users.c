// SPDX-License-Identifier: GPL-2.0-only
/* Two who have movable pages in the kernel as it is: zsmalloc, and balloons. */
#include <linux/balloon_compaction.h>
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/zsmalloc.h>
#include "test_movable.h"

/* zsmalloc: objects of many sizes, moved while they are freed and made again. */
int tm_zsmalloc(struct tm_args *args)
{
	unsigned int i, round, nr = args->count;
	unsigned long *handles;
	struct zs_pool *zs;
	int err = -ENOMEM;
	char name[32];

	/* There can be several at once. */
	snprintf(name, sizeof(name), "test_movable-%d", task_pid_nr(current));
	zs = zs_create_pool(name);
	handles = kvcalloc(nr, sizeof(*handles), GFP_KERNEL);
	if (!zs || !handles)
		goto out;
	args->value = 0;
	args->moved = 0;
	for (round = 0; round < args->mode; round++) {
		struct tm_args move = { .mode = MIGRATE_SYNC };
		LIST_HEAD(list);

		for (i = round % 3; i < nr; i += round ? 3 : 1) {
			size_t size = 32 + (i * 97) % 2048;
			u8 *p;

			if (handles[i])
				zs_free(zs, handles[i]);
			handles[i] = zs_malloc(zs, size, GFP_KERNEL |
					       __GFP_HIGHMEM | __GFP_MOVABLE);
			if (IS_ERR_VALUE(handles[i])) {
				handles[i] = 0;
				goto out;
			}
			p = zs_map_object(zs, handles[i], ZS_MM_WO);
			memset(p, i, size);
			zs_unmap_object(zs, handles[i]);
		}
		/* An object that lies in one page is mapped where it is. */
		for (i = 0; i < nr; i++) {
			struct page *page = NULL;
			u8 *p = zs_map_object(zs, handles[i], ZS_MM_RO);

			if (virt_addr_valid(p) && __PageMovable(virt_to_page(p)))
				page = virt_to_page(p);
			zs_unmap_object(zs, handles[i]);
			if (page && isolate_movable_page(page, 0))
				list_add(&page->lru, &list);
		}
		/* Some are freed while they are isolated. */
		for (i = 1; i < nr; i += 3) {
			zs_free(zs, handles[i]);
			handles[i] = zs_malloc(zs, 32 + (i * 97) % 2048,
					       GFP_KERNEL | __GFP_HIGHMEM |
					       __GFP_MOVABLE);
			if (IS_ERR_VALUE(handles[i])) {
				handles[i] = 0;
				putback_movable_pages(&list);
				goto out;
			}
			memset(zs_map_object(zs, handles[i], ZS_MM_WO), i,
			       32 + (i * 97) % 2048);
			zs_unmap_object(zs, handles[i]);
		}
		tm_migrate_list(&list, &move);
		args->moved += move.moved;
		if (move.result)
			putback_movable_pages(&list);
		for (i = 0; i < nr; i++) {
			u8 *p = zs_map_object(zs, handles[i], ZS_MM_RO);

			if (memchr_inv(p, i & 0xff, 32 + (i * 97) % 2048))
				args->value++;
			zs_unmap_object(zs, handles[i]);
		}
		cond_resched();
	}
	err = 0;
out:
	for (i = 0; handles && i < nr; i++)
		if (handles[i])
			zs_free(zs, handles[i]);
	/* What could not be freed at once must be waited for here. */
	if (zs)
		zs_destroy_pool(zs);
	kvfree(handles);
	return err;
}

/* The pages of a balloon, some of them isolated; who is left can be had. */
int tm_balloon(struct tm_args *args)
{
	struct balloon_dev_info balloon;
	struct page *page, *next;
	LIST_HEAD(isolated);
	LIST_HEAD(got);
	unsigned int i;

	balloon_devinfo_init(&balloon);
	for (i = 0; i < args->count; i++) {
		page = balloon_page_alloc();
		if (!page)
			break;
		balloon_page_enqueue(&balloon, page);
	}
	for (i = 0; i < args->index; i++) {
		page = list_first_entry_or_null(&balloon.pages, struct page, lru);
		if (page && isolate_movable_page(page, 0))
			list_add(&page->lru, &isolated);
	}
	args->result = balloon.isolated_pages;
	args->value = balloon_page_list_dequeue(&balloon, &got, args->count);
	putback_movable_pages(&isolated);
	args->moved = balloon_page_list_dequeue(&balloon, &got, args->count);
	list_for_each_entry_safe(page, next, &got, lru) {
		list_del(&page->lru);
		put_page(page);
	}
	return 0;
}

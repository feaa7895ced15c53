// SPDX-License-Identifier: GPL-2.0-only
/*
 * Movable pages that are on no LRU list, through the driver lib/test_movable.c:
 * the rules of struct movable_operations on the kernel as it is.
 */
#define _GNU_SOURCE
#include "movable_device.h"

/* Marking pages */

static int test_C1_marked_by_a_tag(void)
{
	int fd = pool(2);

	CHECK(is(fd, 0, TM_IS_TAGGED));
	CHECK(is(fd, 0, TM_IS_MOVABLE));
	CHECK(is(fd, 0, TM_IS_ALIGNED));
	CHECK(!is(fd, 0, TM_IS_ISOLATED));
	CHECK_EQ(look(fd, 0).result, 1);
	return 0;
}

static int test_C2_cleared_keeps_the_tag(void)
{
	int fd = pool(2);

	TELL(fd, TM_CLEAR, .index = 0);
	CHECK(is(fd, 0, TM_IS_TAGGED));
	CHECK(!is(fd, 0, TM_IS_MOVABLE));
	CHECK(is(fd, 1, TM_IS_MOVABLE));
	return 0;
}

static int test_C3_tag_alone_is_no_proof(void)
{
	int fd = pool(2);

	TELL(fd, TM_CLEAR, .index = 0);
	/* Looked at again under the lock: its driver is not asked. */
	CHECK_EQ(isolate(fd, 0, 1), 0);
	CHECK_EQ(stats(fd).isolates, 0);
	CHECK_EQ(look(fd, 0).result, 1);
	return 0;
}

static int test_C4_isolated_flag_is_the_cores(void)
{
	int fd = pool(1);

	CHECK(!is(fd, 0, TM_IS_ISOLATED));
	CHECK_EQ(isolate(fd, 0, 1), 1);
	CHECK(is(fd, 0, TM_IS_ISOLATED));
	TELL(fd, TM_PUTBACK);
	CHECK(!is(fd, 0, TM_IS_ISOLATED));
	CHECK_EQ(stats(fd).violations, 0);
	return 0;
}

/* isolate_page */

static int test_C5_isolate_lock_is_only_tried(void)
{
	int fd = pool(4);
	struct job holder = { .fd = fd, .cmd = TM_LOCK, .args.index = 1 };
	struct tm_stats s;
	int n;

	job_start(&holder);
	TELL(fd, TM_WAIT_INSIDE);
	n = isolate(fd, 0, 4);
	TELL(fd, TM_GO);
	job_join(&holder);
	CHECK_EQ(n, 3);
	s = stats(fd);
	CHECK_EQ(s.isolates, 3);
	CHECK_EQ(s.violations, 0);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C6_yes_and_no(void)
{
	int fd = pool(1);

	behave(fd, TM_REFUSE);
	CHECK_EQ(isolate(fd, 0, 1), 0);
	CHECK_EQ(look(fd, 0).result, 1);
	CHECK(!is(fd, 0, TM_IS_ISOLATED | TM_IS_LOCKED));
	behave(fd, TM_NORMAL);
	CHECK_EQ(isolate(fd, 0, 1), 1);
	CHECK_EQ(look(fd, 0).result, 2);
	CHECK(!is(fd, 0, TM_IS_LOCKED));
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(look(fd, 0).result, 1);
	return 0;
}

static int test_C7_one_isolator_wins(void)
{
	int fd = pool(256);
	struct job a = { .fd = fd, .cmd = TM_ISOLATE, .args.count = 256 };
	struct job b = a;
	struct tm_stats s;

	job_start(&a);
	job_start(&b);
	job_join(&a);
	job_join(&b);
	CHECK_EQ(a.args.result + b.args.result, 256);
	s = stats(fd);
	CHECK_EQ(s.isolates, 256);
	CHECK_EQ(s.violations, 0);
	/* Who comes second does not ask the driver. */
	CHECK_EQ(isolate(fd, 0, 256), 0);
	CHECK_EQ(stats(fd).isolates, 0);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C8_list_field_is_saved_first(void)
{
	int fd = pool(8);

	CHECK_EQ(isolate(fd, 2, 4), 4);
	CHECK_EQ(stats(fd).listed, 4);
	CHECK_EQ(wrong(fd), 0);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(stats(fd).listed, 8);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C9_freed_while_being_isolated(void)
{
	int round;

	for (round = 0; round < 10; round++) {
		int fd = pool(128), i;
		struct tm_stats s;
		pthread_t thread;

		__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
		pthread_create(&thread, NULL, isolate_loop, &fd);
		for (i = 0; i < 128; i += 2)
			TELL(fd, TM_FREE, .index = i, .count = 1,
			     .flags = i % 4 ? TM_NO_WAIT : 0);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		TELL(fd, TM_PUTBACK);
		s = stats(fd);
		CHECK_EQ(s.violations, 0);
		CHECK_EQ(s.listed, 64);
		CHECK_EQ(wrong(fd), 0);
		close_devices();
	}
	return 0;
}

static int test_C10_mode_reaches_the_driver(void)
{
	int fd = pool(2);

	/* ISOLATE_ASYNC_MIGRATE, ISOLATE_UNEVICTABLE */
	CHECK_EQ(TELL(fd, TM_ISOLATE, .count = 1, .mode = 4).result, 1);
	CHECK_EQ(stats(fd).isolate_mode, 4);
	CHECK_EQ(TELL(fd, TM_ISOLATE, .index = 1, .count = 1, .mode = 8).result, 1);
	CHECK_EQ(stats(fd).isolate_mode, 8);
	TELL(fd, TM_PUTBACK);
	return 0;
}

/* migrate_page */

static int test_C11_both_locked_in_every_mode(void)
{
	int fd = pool(8), mode;

	for (mode = ASYNC; mode <= SYNC; mode++) {
		struct tm_stats s;

		stats(fd);
		CHECK_EQ(isolate(fd, 0, 8), 8);
		CHECK_EQ(migrate(fd, mode).moved, 8);
		s = stats(fd);
		CHECK_EQ(s.violations, 0);
		CHECK_EQ(s.migrates[ASYNC], 8);
		CHECK_EQ(wrong(fd), 0);
	}
	return 0;
}

static int test_C12_reference_is_handed_over(void)
{
	int fd = pool(1);
	struct tm_args before = look(fd, 0), after;

	CHECK_EQ(isolate(fd, 0, 1), 1);
	CHECK_EQ(migrate(fd, SYNC).result, 0);
	after = look(fd, 0);
	CHECK(before.pfn != after.pfn);
	CHECK_EQ(after.result, 1);
	CHECK(after.value & TM_IS_MOVABLE);
	CHECK(!(after.value & TM_IS_ISOLATED));
	/* The old page is free, and nobody's. */
	before = TELL(fd, TM_LOOK_PFN, .pfn = before.pfn);
	CHECK(!(before.value & (TM_IS_ISOLATED | TM_IS_MOVABLE)));
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C13_again_keeps_it_isolated(void)
{
	int fd = pool(1);
	struct tm_args before = look(fd, 0), a;
	struct tm_stats s;

	behave(fd, TM_AGAIN);
	CHECK_EQ(isolate(fd, 0, 1), 1);
	a = migrate(fd, ASYNC);
	CHECK_EQ(a.result, 1);
	/* The same destination in all tries. */
	CHECK_EQ(a.dst_taken, 1);
	CHECK_EQ(a.dst_returned, 1);
	s = stats(fd);
	CHECK_EQ(s.migrates[ASYNC], 10);
	CHECK_EQ(s.violations, 0);
	CHECK(is(fd, 0, TM_IS_ISOLATED));
	behave(fd, TM_NORMAL);
	CHECK_EQ(migrate(fd, ASYNC).moved, 1);
	CHECK(look(fd, 0).pfn != before.pfn);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C14_error_is_final_until_putback(void)
{
	int fd = pool(1);
	struct tm_stats s;

	behave(fd, TM_BUSY);
	CHECK_EQ(isolate(fd, 0, 1), 1);
	CHECK_EQ(migrate(fd, ASYNC).result, 1);
	s = stats(fd);
	CHECK_EQ(s.migrates[ASYNC], 1);
	CHECK_EQ(s.putbacks, 0);
	CHECK(is(fd, 0, TM_IS_ISOLATED));
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(stats(fd).putbacks, 1);
	return 0;
}

static int test_C15_list_field_of_the_new_page(void)
{
	int fd = pool(16);

	CHECK_EQ(isolate(fd, 0, 16), 16);
	CHECK_EQ(stats(fd).listed, 0);
	CHECK_EQ(migrate(fd, ASYNC).moved, 16);
	/* Put on the driver's list in the op, before the core is done. */
	CHECK_EQ(stats(fd).listed, 16);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

/* putback_page */

static int test_C16_putback_exactly_once(void)
{
	int fd = pool(6);
	struct tm_stats s;

	CHECK_EQ(isolate(fd, 0, 6), 6);
	behave(fd, TM_AGAIN);
	migrate(fd, SYNC);
	behave(fd, TM_NORMAL);
	TELL(fd, TM_PUTBACK);
	s = stats(fd);
	CHECK_EQ(s.putbacks, 6);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(s.listed, 6);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(stats(fd).putbacks, 0);
	/* What has moved is not put back. */
	CHECK_EQ(isolate(fd, 0, 6), 6);
	CHECK_EQ(migrate(fd, SYNC).result, 0);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(stats(fd).putbacks, 0);
	return 0;
}

static int test_C17_who_isolated_puts_back(void)
{
	int fd = pool(3);

	CHECK_EQ(isolate(fd, 0, 3), 3);
	behave(fd, TM_BUSY);
	CHECK_EQ(migrate(fd, SYNC).result, 3);
	CHECK_EQ(stats(fd).putbacks, 0);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(stats(fd).putbacks, 3);
	return 0;
}

/* Freeing */

static int test_C18_freed_before_it_is_tried(void)
{
	int fd = pool(4);
	struct tm_args a;
	struct tm_stats s;

	CHECK_EQ(isolate(fd, 0, 4), 4);
	TELL(fd, TM_FREE, .index = 1, .count = 2);
	a = migrate(fd, SYNC);
	CHECK_EQ(a.result, 0);
	CHECK_EQ(a.moved, 4);
	CHECK_EQ(a.dst_taken, 2);
	s = stats(fd);
	CHECK_EQ(migrates(&s), 2);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C18_freed_with_a_reference_left(void)
{
	int fd = pool(1);
	struct tm_args a;
	struct tm_stats s;

	TELL(fd, TM_HOLD, .index = 0);
	CHECK_EQ(isolate(fd, 0, 1), 1);
	TELL(fd, TM_FREE, .index = 0, .count = 1);
	/* The driver has let go; the core does not ask it any more. */
	a = migrate(fd, SYNC);
	CHECK_EQ(a.result, 0);
	CHECK_EQ(a.dst_taken, 1);
	s = stats(fd);
	CHECK_EQ(migrates(&s) + s.putbacks, 0);
	TELL(fd, TM_RELEASE, .index = 0);
	return 0;
}

static int test_C18_freed_before_putback(void)
{
	int fd = pool(4);

	CHECK_EQ(isolate(fd, 0, 4), 4);
	TELL(fd, TM_FREE, .index = 1, .count = 2);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(stats(fd).putbacks, 2);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C19_freed_while_the_lock_is_busy(void)
{
	int fd = pool(2);
	struct job holder = { .fd = fd, .cmd = TM_LOCK, .args.index = 1 };
	struct tm_stats s;

	job_start(&holder);
	TELL(fd, TM_WAIT_INSIDE);
	TELL(fd, TM_FREE, .index = 0, .count = 2, .flags = TM_NO_WAIT);
	TELL(fd, TM_GO);
	job_join(&holder);
	s = stats(fd);
	CHECK_EQ(s.freed_late, 1);
	CHECK_EQ(s.listed, 0);
	return 0;
}

static int test_C19_C20_C22_C25_zsmalloc(void)
{
	int fd = pool(1);
	struct tm_args a = TELL(fd, TM_ZSMALLOC, .count = 3000, .mode = 12);

	/* Moved while objects were freed and made; the pool is gone. */
	CHECK_EQ(a.result, 0);
	CHECK(a.moved > 1000);
	CHECK_EQ(a.value, 0);
	return 0;
}

static int test_C20_end_of_a_pool_waits_for_the_late(void)
{
	int fd = pool(64);
	struct job holder = { .fd = fd, .cmd = TM_LOCK, .args.index = 63 };

	job_start(&holder);
	TELL(fd, TM_WAIT_INSIDE);
	TELL(fd, TM_FREE, .count = 64, .flags = TM_NO_WAIT);
	TELL(fd, TM_GO);
	/* Whether the worker has got there or not. */
	close_devices();
	job_join(&holder);
	return 0;
}

static int test_C21_freed_page_is_clean(void)
{
	int fd = pool(1);
	struct tm_args a = look(fd, 0);

	CHECK_EQ(isolate(fd, 0, 1), 1);
	TELL(fd, TM_FREE, .index = 0, .count = 1);
	/* Still isolated, with the tag, in the core's hands. */
	CHECK(TELL(fd, TM_LOOK_PFN, .pfn = a.pfn).value & TM_IS_TAGGED);
	CHECK_EQ(migrate(fd, SYNC).result, 0);
	a = TELL(fd, TM_LOOK_PFN, .pfn = a.pfn);
	CHECK(!(a.value & (TM_IS_TAGGED | TM_IS_ISOLATED)));
	return 0;
}

static int test_C23_balloon_gives_what_it_has(void)
{
	int fd = pool(1);
	struct tm_args a = TELL(fd, TM_BALLOON, .count = 8, .index = 3);

	CHECK_EQ(a.result, 3);
	CHECK_EQ(a.value, 5);
	CHECK_EQ(a.moved, 3);
	return 0;
}

static int test_C25_reader_blocks_the_move(void)
{
	int fd = pool(1);
	struct job reader = { .fd = fd, .cmd = TM_READ };
	unsigned int moved;

	CHECK_EQ(isolate(fd, 0, 1), 1);
	job_start(&reader);
	TELL(fd, TM_WAIT_INSIDE);
	moved = migrate(fd, SYNC).moved;
	TELL(fd, TM_GO);
	job_join(&reader);
	CHECK_EQ(moved, 0);
	CHECK_EQ(migrate(fd, SYNC).moved, 1);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_C26_not_counted_as_isolated(void)
{
	int fd = pool(512);
	long before = read_vmstat("nr_isolated_anon") + read_vmstat("nr_isolated_file");

	CHECK_EQ(isolate(fd, 0, 512), 512);
	CHECK(read_vmstat("nr_isolated_anon") + read_vmstat("nr_isolated_file") - before < 256);
	TELL(fd, TM_PUTBACK);
	return 0;
}

static int test_C27_C28_what_looks_alike_is_refused(void)
{
	int fd = pool(1), i;

	for (i = TM_SLAB; i <= TM_TAIL; i++)
		CHECK_EQ(TELL(fd, TM_OTHERS, .value = i).result, 0);
	CHECK_EQ(stats(fd).isolates, 0);
	return 0;
}

static int test_X2_locked_page_is_not_waited_for(void)
{
	int fd = pool(1);
	struct job holder = { .fd = fd, .cmd = TM_LOCK };
	struct tm_args a;

	CHECK_EQ(isolate(fd, 0, 1), 1);
	job_start(&holder);
	TELL(fd, TM_WAIT_INSIDE);
	/* It is never uptodate, so SYNC_LIGHT is no better than ASYNC. */
	a = migrate(fd, SYNC_LIGHT);
	TELL(fd, TM_GO);
	job_join(&holder);
	CHECK_EQ(a.moved, 0);
	CHECK_EQ(migrate(fd, SYNC_LIGHT).moved, 1);
	return 0;
}

static const struct test tests[] = {
	KERNEL(test_C1_marked_by_a_tag),
	KERNEL(test_C2_cleared_keeps_the_tag),
	KERNEL(test_C3_tag_alone_is_no_proof),
	KERNEL(test_C4_isolated_flag_is_the_cores),
	KERNEL(test_C5_isolate_lock_is_only_tried),
	KERNEL(test_C6_yes_and_no),
	KERNEL(test_C7_one_isolator_wins),
	KERNEL(test_C8_list_field_is_saved_first),
	KERNEL(test_C9_freed_while_being_isolated),
	KERNEL(test_C10_mode_reaches_the_driver),
	KERNEL(test_C11_both_locked_in_every_mode),
	KERNEL(test_C12_reference_is_handed_over),
	KERNEL(test_C13_again_keeps_it_isolated),
	KERNEL(test_C14_error_is_final_until_putback),
	KERNEL(test_C15_list_field_of_the_new_page),
	KERNEL(test_C16_putback_exactly_once),
	KERNEL(test_C17_who_isolated_puts_back),
	KERNEL(test_C18_freed_before_it_is_tried),
	KERNEL(test_C18_freed_with_a_reference_left),
	KERNEL(test_C18_freed_before_putback),
	KERNEL(test_C19_freed_while_the_lock_is_busy),
	KERNEL(test_C19_C20_C22_C25_zsmalloc),
	KERNEL(test_C20_end_of_a_pool_waits_for_the_late),
	KERNEL(test_C21_freed_page_is_clean),
	KERNEL(test_C23_balloon_gives_what_it_has),
	KERNEL(test_C25_reader_blocks_the_move),
	KERNEL(test_C26_not_counted_as_isolated),
	KERNEL(test_C27_C28_what_looks_alike_is_refused),
	KERNEL(test_X2_locked_page_is_not_waited_for),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_movable_owners());
}

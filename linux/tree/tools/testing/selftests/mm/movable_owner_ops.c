// SPDX-License-Identifier: GPL-2.0-only
/*
 * Movable pages that are on no LRU list, through the driver lib/test_movable.c:
 * what struct movable_owner makes of the rules.
 */
#define _GNU_SOURCE
#include <time.h>
#include "movable_device.h"

/* What an owner makes better */

static int test_H_C1_who_cannot_is_asked_once(void)
{
	int fd = owned_pool(1, 0, ASYNC, 0), mode;
	struct tm_stats s;

	CHECK_EQ(isolate(fd, 0, 1), 1);
	behave(fd, TM_AGAIN);
	for (mode = ASYNC; mode <= SYNC; mode++) {
		stats(fd);
		CHECK_EQ(migrate(fd, mode).result, 1);
		s = stats(fd);
		/* Not ten times; the second is in a mode that may wait. */
		CHECK_EQ(migrates(&s), mode == ASYNC ? 1 : 2);
	}
	behave(fd, TM_NORMAL);
	CHECK_EQ(migrate(fd, ASYNC).moved, 1);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_C2_movable_again_ends_the_wait(void)
{
	int fd = owned_pool(1, 0, SYNC, 20000);
	struct job mover = { .fd = fd, .cmd = TM_MIGRATE, .args.mode = SYNC };
	struct tm_stats s = { 0 };
	struct timespec from, to;

	CHECK_EQ(isolate(fd, 0, 1), 1);
	behave(fd, TM_AGAIN);
	stats(fd);
	job_start(&mover);
	while (!migrates(&s)) {
		s = stats(fd);
		sched_yield();
	}
	behave(fd, TM_NORMAL);
	clock_gettime(CLOCK_MONOTONIC, &from);
	TELL(fd, TM_READY);
	job_join(&mover);
	clock_gettime(CLOCK_MONOTONIC, &to);
	CHECK_EQ(mover.args.moved, 1);
	/* Not because its patience had an end. */
	CHECK(to.tv_sec - from.tv_sec < 15);
	s = stats(fd);
	CHECK_EQ(s.migrates[SYNC], 1);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_C2_patience_has_an_end(void)
{
	int fd = owned_pool(1, 0, SYNC, 20);
	struct tm_stats s;

	CHECK_EQ(isolate(fd, 0, 1), 1);
	behave(fd, TM_AGAIN);
	stats(fd);
	CHECK_EQ(migrate(fd, SYNC).result, 1);
	s = stats(fd);
	/* Once, and once more when the time was over. */
	CHECK_EQ(s.migrates[SYNC], 2);
	return 0;
}

static int test_H_C2_movable_again_is_looked_at_again(void)
{
	int fd = owned_pool(1, 0, ASYNC, 0);

	CHECK_EQ(TELL(fd, TM_SKIP, .flags = 1).value, 1);
	TELL(fd, TM_READY);
	CHECK_EQ(TELL(fd, TM_SKIP).value, 0);
	return 0;
}

static int test_H_C3_one_bracket_for_a_batch(void)
{
	int fd = owned_pool(16, TM_BATCH, ASYNC, 0);
	struct tm_stats s;

	CHECK_EQ(isolate(fd, 0, 16), 16);
	stats(fd);
	CHECK_EQ(migrate(fd, ASYNC).moved, 16);
	s = stats(fd);
	CHECK_EQ(s.batches, 1);
	CHECK_EQ(s.batches_ended, 1);
	CHECK_EQ(s.batch_pages, 16);
	CHECK_EQ(isolate(fd, 0, 16), 16);
	behave(fd, TM_BUSY);
	CHECK_EQ(migrate(fd, SYNC).result, 16);
	s = stats(fd);
	CHECK_EQ(s.batches, 17);
	CHECK_EQ(s.batches_ended, 17);
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_C4_reason_and_name_are_kept(void)
{
	int fd = owned_pool(4, 0, ASYNC, 0);
	long refused = read_vmstat("migrate_blocked_driver_refused"), again;

	behave(fd, TM_REFUSE);
	CHECK_EQ(isolate(fd, 0, 4), 0);
	CHECK_EQ(read_vmstat("migrate_blocked_driver_refused") - refused, 4);
	behave(fd, TM_NORMAL);
	CHECK_EQ(isolate(fd, 0, 4), 4);
	behave(fd, TM_AGAIN);
	again = read_vmstat("migrate_blocked_driver_again");
	CHECK_EQ(migrate(fd, SYNC).result, 4);
	CHECK_EQ(read_vmstat("migrate_blocked_driver_again") - again, 4);
	TELL(fd, TM_PUTBACK);
	return 0;
}

static int test_H_C4_driver_of_today_is_named_too(void)
{
	int fd = pool(4);
	long refused = read_vmstat("migrate_blocked_driver_refused");

	CHECK(refused >= 0);
	CHECK_EQ(isolate(fd, 0, 4), 4);
	behave(fd, TM_BUSY);
	CHECK_EQ(migrate(fd, SYNC).result, 4);
	CHECK_EQ(read_vmstat("migrate_blocked_driver_refused") - refused, 4);
	TELL(fd, TM_PUTBACK);
	return 0;
}

/* An index whose page has as few pages of others in its pageblock as can be. */
static unsigned int index_among_own(int fd, unsigned int pages)
{
	static unsigned int own[1 << 12];
	unsigned int i, best = 0, most = 0;

	memset(own, 0, sizeof(own));
	for (i = 0; i < pages; i++) {
		unsigned int *n = &own[look(fd, i).pfn / 512 % (1 << 12)];

		if (++*n > most) {
			most = *n;
			best = i;
		}
	}
	return best;
}

static int test_X33_H_C4_who_refuses_a_contiguous_allocation(void)
{
	int fd = owned_pool(8192, 0, ASYNC, 0), plain = pool(8192);
	unsigned int i = index_among_own(fd, 8192);
	unsigned int j = index_among_own(plain, 8192);
	long refused = read_vmstat("contig_blocked_driver_refused");

	CHECK(refused >= 0);
	behave(fd, TM_REFUSE);
	behave(plain, TM_BUSY);
	CHECK_EQ(TELL(fd, TM_CONTIG, .index = i).result, -EBUSY);
	CHECK_EQ(read_vmstat("contig_blocked_driver_refused") - refused, 1);
	CHECK_EQ(TELL(plain, TM_CONTIG, .index = j).result, -EBUSY);
	CHECK_EQ(read_vmstat("contig_blocked_driver_refused") - refused, 2);
	behave(fd, TM_NORMAL);
	behave(plain, TM_NORMAL);
	CHECK_EQ(TELL(fd, TM_CONTIG, .index = i).result, 0);
	CHECK_EQ(TELL(plain, TM_CONTIG, .index = j).result, 0);
	CHECK_EQ(wrong(fd) + wrong(plain), 0);
	return 0;
}

static int test_H_C5_isolate_knows_the_mode(void)
{
	int fd = owned_pool(2, 0, SYNC, 0);
	struct tm_stats s;

	/* ISOLATE_ASYNC_MIGRATE: who isolates will not wait. */
	CHECK_EQ(TELL(fd, TM_ISOLATE, .count = 2, .mode = 4).result, 0);
	CHECK_EQ(stats(fd).isolates, 0);
	CHECK_EQ(isolate(fd, 0, 2), 2);
	CHECK_EQ(migrate(fd, SYNC_LIGHT).moved, 0);
	s = stats(fd);
	CHECK_EQ(migrates(&s), 0);
	CHECK_EQ(migrate(fd, SYNC).moved, 2);
	s = stats(fd);
	CHECK_EQ(s.migrates[SYNC], 2);
	CHECK_EQ(s.migrates[ASYNC], 0);
	return 0;
}

static int test_H_C6_revoke_waits_and_ends_all(void)
{
	int fd = owned_pool(8, 0, ASYNC, 0), i;
	struct job mover = { .fd = fd, .cmd = TM_MIGRATE, .args.mode = SYNC };
	struct job revoker = { .fd = fd, .cmd = TM_REVOKE };
	struct tm_stats s;
	bool early;

	CHECK_EQ(isolate(fd, 0, 8), 8);
	behave(fd, TM_WAIT);
	job_start(&mover);
	TELL(fd, TM_WAIT_INSIDE);
	job_start(&revoker);
	usleep(100000);
	early = __atomic_load_n(&revoker.done, __ATOMIC_ACQUIRE);
	TELL(fd, TM_GO);
	job_join(&mover);
	job_join(&revoker);
	CHECK(!early);
	/* The one that was inside has moved, and perhaps a few more. */
	CHECK(mover.args.moved >= 1);
	stats(fd);
	/* From here on: no isolating, no moving, no putting back. */
	TELL(fd, TM_PUTBACK);
	CHECK_EQ(isolate(fd, 0, 8), 0);
	s = stats(fd);
	CHECK_EQ(s.isolates + migrates(&s) + s.putbacks, 0);
	for (i = 0; i < 8; i++)
		CHECK_EQ(look(fd, i).result, 1);
	return 0;
}

static int test_H_C6_pages_outlive_their_owner(void)
{
	int fd = owned_pool(8, 0, ASYNC, 0);
	struct tm_stats s;

	CHECK_EQ(isolate(fd, 0, 4), 4);
	/* As when a module is unloaded with its pages still there. */
	TELL(fd, TM_UNREGISTER);
	CHECK_EQ(isolate(fd, 4, 4), 0);
	CHECK_EQ(migrate(fd, SYNC).result, 4);
	TELL(fd, TM_PUTBACK);
	s = stats(fd);
	CHECK_EQ(migrates(&s) + s.putbacks, 0);
	CHECK_EQ(s.isolates, 4);
	TELL(fd, TM_FREE, .count = 8);
	return 0;
}

static int test_H_C6_revoke_races_with_everything(void)
{
	int round;

	for (round = 0; round < 20; round++) {
		int fd = owned_pool(128, TM_BATCH, ASYNC, 0), i;
		struct tm_stats s;
		pthread_t thread;

		__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
		pthread_create(&thread, NULL, isolate_loop, &fd);
		for (i = 0; i < 128; i += 4)
			TELL(fd, TM_FREE, .index = i, .count = 1);
		TELL(fd, TM_REVOKE);
		s = stats(fd);
		CHECK_EQ(s.violations, 0);
		CHECK_EQ(s.batches, s.batches_ended);
		/* The loop goes on, and nobody hears of it. */
		sched_yield();
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		s = stats(fd);
		CHECK_EQ(s.isolates + migrates(&s) + s.putbacks, 0);
		close_devices();
	}
	return 0;
}

static const struct test tests[] = {
	TEST(test_H_C1_who_cannot_is_asked_once),
	TEST(test_H_C2_movable_again_ends_the_wait),
	TEST(test_H_C2_patience_has_an_end),
	TEST(test_H_C2_movable_again_is_looked_at_again),
	TEST(test_H_C3_one_bracket_for_a_batch),
	TEST(test_H_C4_reason_and_name_are_kept),
	TEST(test_H_C4_driver_of_today_is_named_too),
	TEST(test_X33_H_C4_who_refuses_a_contiguous_allocation),
	TEST(test_H_C5_isolate_knows_the_mode),
	TEST(test_H_C6_revoke_waits_and_ends_all),
	TEST(test_H_C6_pages_outlive_their_owner),
	TEST(test_H_C6_revoke_races_with_everything),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_movable_owners());
}

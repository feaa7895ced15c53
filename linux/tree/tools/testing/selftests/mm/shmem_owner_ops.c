// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of shmem files, through the driver lib/test_folio_owner.c: what an
 * owner is asked and told besides the migration itself.
 */
#define _GNU_SOURCE
#include "folio_owner_device.h"

/* An owner with all of the ops, called from @min_mode on. */
static int full_object(unsigned int pages, unsigned int min_mode)
{
	int fd = object(pages);

	TELL(fd, TFO_REGISTER, .flags = TFO_MORE_OPS, .mode = min_mode);
	TELL(fd, TFO_PIN, .count = pages);
	return fd;
}

static unsigned int asked(const struct tfo_stats *s)
{
	return s->asked[ASYNC] + s->asked[SYNC_LIGHT] + s->asked[SYNC];
}

static int test_H_A2_table_has_a_size(void)
{
	int old = object(4), fd = object(4);
	struct tfo_stats s;

	CHECK_EQ(TELL(old, TFO_REGISTER, .flags = TFO_MORE_OPS | TFO_OLD_SIZE).result, 0);
	TELL(old, TFO_PIN, .count = 4);
	CHECK_EQ(migrate(old, 4, SYNC).moved, 4);
	s = stats(old);
	CHECK_EQ(s.moved, 4);
	/* What lies beyond the size is not there. */
	CHECK_EQ(s.batches, 0);

	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_NEW_SIZE, .value = 1).result, -E2BIG);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_NEW_SIZE).result, 0);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, 0);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_MORE_OPS | TFO_HALF_BATCH).result, -EINVAL);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_LONE_PUTBACK).result, -EINVAL);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .mode = SYNC + 1).result, -EINVAL);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, -ENOENT);
	return 0;
}

static int test_H_A2_veto_before_a_destination(void)
{
	int fd = full_object(8, ASYNC), mode;
	struct tfo_stats s;
	struct tfo_args a;

	TELL(fd, TFO_BEHAVE, .value = TFO_VETO);
	stats(fd);
	for (mode = ASYNC; mode <= SYNC; mode++) {
		a = migrate(fd, 8, mode);
		CHECK_EQ(a.result, 8);
		CHECK_EQ(a.dst_taken, 0);
		s = stats(fd);
		CHECK_EQ(s.asked[ASYNC], 8);
		CHECK_EQ(s.asked[mode], 8);
		CHECK_EQ(calls(&s), 0);
		CHECK_EQ(s.putbacks, 0);
	}
	/* -ENOMEM of an owner is not the core's: the others are asked, too. */
	TELL(fd, TFO_BEHAVE, .value = TFO_VETO_NOMEM);
	a = migrate(fd, 8, ASYNC);
	CHECK_EQ(a.result, 8);
	CHECK_EQ(stats(fd).asked[ASYNC], 8);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	CHECK_EQ(migrate(fd, 8, ASYNC).moved, 8);
	s = stats(fd);
	CHECK_EQ(s.asked[ASYNC], 8);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_A2_veto_for_now_is_asked_again(void)
{
	int fd = full_object(1, ASYNC);
	struct tfo_stats s;
	struct tfo_args a;

	TELL(fd, TFO_BEHAVE, .value = TFO_VETO_AGAIN);
	stats(fd);
	a = migrate(fd, 1, ASYNC);
	CHECK_EQ(a.result, 1);
	CHECK_EQ(a.dst_taken, 0);
	CHECK_EQ(stats(fd).asked[ASYNC], 10);
	a = migrate(fd, 1, SYNC);
	CHECK_EQ(a.dst_taken, 0);
	s = stats(fd);
	CHECK_EQ(s.asked[ASYNC], 3);
	CHECK_EQ(s.asked[SYNC], 7);
	return 0;
}

static int test_H_A2_busy_lock_leaves_the_question_out(void)
{
	int fd = full_object(1, ASYNC);
	struct job holder = { .fd = fd, .cmd = TFO_LOCK_FOLIO };
	struct tfo_args a;
	unsigned int n;
	struct tfo_stats s;

	stats(fd);
	job_start(&holder);
	TELL(fd, TFO_WAIT_INSIDE);
	a = migrate(fd, 1, ASYNC);
	s = stats(fd);
	n = asked(&s);
	TELL(fd, TFO_GO);
	job_join(&holder);
	CHECK_EQ(a.result, 1);
	CHECK_EQ(n, 0);
	CHECK_EQ(migrate(fd, 1, ASYNC).moved, 1);
	CHECK_EQ(stats(fd).asked[ASYNC], 1);
	return 0;
}

static int test_H_A2_veto_before_it_is_isolated(void)
{
	struct tfo_stats s;
	unsigned int i;
	int fd;

	make_room();
	fd = full_object(MANY, ASYNC);
	i = index_among_own(fd, MANY);
	TELL(fd, TFO_DRAIN);
	TELL(fd, TFO_BEHAVE, .value = TFO_VETO);
	stats(fd);
	/* A contiguous allocation isolates as compaction does. */
	CHECK_EQ(TELL(fd, TFO_CONTIG, .index = i).result, -EBUSY);
	s = stats(fd);
	/* In the mode of who compacts, that is before it leaves the LRU. */
	CHECK(s.asked[SYNC] > 0);
	/* migrate_pages() would have begun with an asynchronous pass. */
	CHECK_EQ(s.asked[ASYNC], 0);
	CHECK_EQ(calls(&s), 0);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	CHECK_EQ(TELL(fd, TFO_CONTIG, .index = i).result, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_A2_truncate_lets_go_of_pins(void)
{
	int fd = full_object(8, ASYNC), without = owned_object(8), i;
	struct tfo_stats s;

	for (i = 0; i < 8; i++) {
		CHECK_EQ(TELL(fd, TFO_OWN, .index = i).result, 0);
		CHECK_EQ(TELL(without, TFO_OWN, .index = i).result, 0);
	}
	TELL(fd, TFO_DRAIN);
	TELL(fd, TFO_TRUNCATE, .index = 2, .count = 3);
	s = stats(fd);
	CHECK_EQ(s.truncated, 3);
	CHECK_EQ(s.freed[0], 3);
	TELL(fd, TFO_TRUNCATE, .count = 8);
	CHECK_EQ(stats(fd).freed[0], 5);
	/* Its pins keep them, and nobody could find them any more. */
	TELL(without, TFO_TRUNCATE, .count = 8);
	CHECK_EQ(stats(without).freed[0], 0);
	TELL(without, TFO_UNPIN, .count = 8);
	CHECK_EQ(stats(without).freed[0], 8);
	return 0;
}

static int test_H_A3_one_stop_for_a_batch(void)
{
	int fd = full_object(32, ASYNC);
	struct tfo_stats s;

	stats(fd);
	CHECK_EQ(migrate(fd, 32, ASYNC).moved, 32);
	s = stats(fd);
	CHECK_EQ(s.batches, 1);
	CHECK_EQ(s.batches_ended, 1);
	CHECK_EQ(s.batch_folios, 32);
	CHECK_EQ(s.calls[ASYNC], 32);
	/* The pins went at the beginning: no lock for any of them. */
	CHECK_EQ(s.direct, 32);
	CHECK_EQ(wrong(fd), 0);
	/* At the end they came back, at the new place. */
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, 0);
	CHECK_EQ(migrate(fd, 32, SYNC).moved, 0);
	TELL(fd, TFO_UNPIN, .count = 32);
	CHECK_EQ(migrate(fd, 32, SYNC).moved, 32);
	CHECK_EQ(stats(fd).violations, 0);
	return 0;
}

static int test_H_A3_every_batch_ends(void)
{
	int fd = full_object(16, ASYNC), mode;
	struct tfo_stats s;

	for (mode = ASYNC; mode <= SYNC; mode++) {
		stats(fd);
		TELL(fd, TFO_BEHAVE, .value = TFO_AGAIN);
		CHECK_EQ(migrate(fd, 16, mode).moved, 0);
		s = stats(fd);
		/* Who waits goes on with one folio a batch. */
		CHECK_EQ(s.batches, mode == ASYNC ? 1 : 17);
		CHECK_EQ(s.batches_ended, s.batches);
		CHECK_EQ(wrong(fd), 0);
	}
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	CHECK_EQ(migrate(fd, 16, ASYNC).moved, 16);
	return 0;
}

static void put_back(int fd, int behaviour, unsigned int mode,
		     unsigned int moved, unsigned int putbacks)
{
	struct tfo_stats s;

	stats(fd);
	TELL(fd, TFO_BEHAVE, .value = behaviour);
	CHECK_EQ(migrate(fd, 4, mode).moved, moved);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	s = stats(fd);
	CHECK_EQ(s.putbacks, putbacks);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(wrong(fd), 0);
}

static int test_H_A5_told_of_failure_exactly_once(void)
{
	int fd = full_object(4, ASYNC);

	put_back(fd, TFO_NORMAL, ASYNC, 4, 0);
	put_back(fd, TFO_AGAIN, ASYNC, 0, 4);
	/* Two attempts: one for all without waiting, and one for each. */
	put_back(fd, TFO_AGAIN, SYNC_LIGHT, 0, 8);
	put_back(fd, TFO_AGAIN, SYNC, 0, 8);
	put_back(fd, TFO_IO_ERROR, ASYNC, 0, 4);
	put_back(fd, TFO_IO_ERROR, SYNC, 0, 8);
	put_back(fd, TFO_LIE_MOVED, ASYNC, 0, 4);
	put_back(fd, TFO_LIE_FAILED, ASYNC, 4, 0);
	put_back(fd, TFO_VETO, SYNC, 0, 0);
	/* Between tries of one attempt there is no notice. */
	put_back(fd, TFO_AGAIN_TWICE, ASYNC, 4, 0);
	TELL(fd, TFO_HOLD, .index = 1);
	put_back(fd, TFO_NORMAL, ASYNC, 3, 1);
	put_back(fd, TFO_NORMAL, SYNC, 3, 2);
	return 0;
}

static int test_H_A6_not_called_below_its_mode(void)
{
	int fd = full_object(8, SYNC), light = full_object(8, SYNC_LIGHT), mode;
	struct tfo_stats s;
	struct tfo_args a;

	stats(fd);
	for (mode = ASYNC; mode <= SYNC_LIGHT; mode++) {
		a = migrate(fd, 8, mode);
		CHECK_EQ(a.moved, 0);
		CHECK_EQ(a.dst_taken, 0);
		s = stats(fd);
		CHECK_EQ(calls(&s) + asked(&s) + s.batches + s.putbacks, 0);
	}
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 8);
	s = stats(fd);
	CHECK_EQ(s.calls[ASYNC], 0);
	CHECK_EQ(s.asked[ASYNC], 0);
	CHECK_EQ(s.calls[SYNC], 8);
	CHECK_EQ(s.batches, 8);
	CHECK_EQ(migrate(light, 8, ASYNC).moved, 0);
	CHECK_EQ(migrate(light, 8, SYNC_LIGHT).moved, 8);
	CHECK_EQ(wrong(fd) + wrong(light), 0);
	return 0;
}

static const struct test tests[] = {
	TEST(test_H_A2_table_has_a_size),
	TEST(test_H_A2_veto_before_a_destination),
	TEST(test_H_A2_veto_for_now_is_asked_again),
	TEST(test_H_A2_busy_lock_leaves_the_question_out),
	TEST(test_H_A2_veto_before_it_is_isolated),
	TEST(test_H_A2_truncate_lets_go_of_pins),
	TEST(test_H_A3_one_stop_for_a_batch),
	TEST(test_H_A3_every_batch_ends),
	TEST(test_H_A5_told_of_failure_exactly_once),
	TEST(test_H_A6_not_called_below_its_mode),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_owners());
}

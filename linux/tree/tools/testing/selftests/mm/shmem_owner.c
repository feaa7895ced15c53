// SPDX-License-Identifier: GPL-2.0-only
/* Owners of shmem files, through the driver lib/test_folio_owner.c. */
#define _GNU_SOURCE
#include "folio_owner_device.h"

/* S0: registration */

static int test_A1_first_registration_takes_effect(void)
{
	int fd = object(8);
	struct tfo_stats s;

	TELL(fd, TFO_PIN, .count = 8);
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 0);
	s = stats(fd);
	CHECK_EQ(calls(&s), 0);
	CHECK_EQ(TELL(fd, TFO_REGISTER).result, 0);
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 8);
	s = stats(fd);
	CHECK_EQ(s.moved, 8);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A2_second_registration_eexist(void)
{
	int fd = owned_object(8);

	CHECK_EQ(TELL(fd, TFO_REGISTER).result, -EEXIST);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_EMPTY_OPS).result, -EEXIST);
	/* The first one is still the one: it lets go of its pins. */
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 8);
	CHECK_EQ(stats(fd).moved, 8);
	return 0;
}

static int test_A3_registering_null(void)
{
	int fd = object(1);

	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_NO_OPS).result, 0);
	CHECK_EQ(TELL(fd, TFO_REGISTER).result, 0);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_NO_OPS).result, -EEXIST);
	return 0;
}

static int test_A4_ops_are_per_file(void)
{
	int mine = owned_object(4), other = object(4);

	TELL(other, TFO_PIN, .count = 4);
	CHECK_EQ(migrate(mine, 4, SYNC).moved, 4);
	CHECK_EQ(migrate(other, 4, SYNC).moved, 0);
	return 0;
}

static int test_A4_forgotten_owner_goes_with_the_file(void)
{
	int i;

	for (i = 0; i < 20; i++) {
		int fd = owned_object(4);

		CHECK_EQ(migrate(fd, 4, SYNC).moved, 4);
		TELL(fd, TFO_BEHAVE, .value = TFO_FORGET);
		close_devices();
	}
	return 0;
}

static int test_A5_no_op_is_the_default(void)
{
	int with = object(8), without = object(8);
	struct tfo_args a, b;
	struct tfo_stats s;

	CHECK_EQ(TELL(with, TFO_REGISTER, .flags = TFO_EMPTY_OPS).result, 0);
	a = migrate(with, 8, SYNC);
	b = migrate(without, 8, SYNC);
	CHECK_EQ(a.moved, 8);
	CHECK_EQ(b.moved, 8);
	CHECK_EQ(a.dst_taken, b.dst_taken);
	s = stats(with);
	CHECK_EQ(calls(&s), 0);
	/* A pin is in the way in both. */
	TELL(with, TFO_PIN, .count = 8);
	TELL(without, TFO_PIN, .count = 8);
	a = migrate(with, 8, SYNC);
	b = migrate(without, 8, SYNC);
	CHECK_EQ(a.moved, 0);
	CHECK_EQ(a.result, b.result);
	CHECK_EQ(a.dst_taken, b.dst_taken);
	return 0;
}

static int test_S0_files_of_users_refused(void)
{
	int fd = device();

	TELL(fd, TFO_CREATE, .count = 1, .flags = TFO_PUBLIC);
	CHECK_EQ(TELL(fd, TFO_REGISTER).result, -EPERM);
	CHECK_EQ(TELL(fd, TFO_REGISTER, .flags = TFO_NO_FILE).result, -EINVAL);
	return 0;
}

/* S0: the op */

static int test_A6_call_contract(void)
{
	int fd = owned_object(32), mode;

	for (mode = ASYNC; mode <= SYNC; mode++) {
		struct tfo_stats s;

		CHECK_EQ(migrate(fd, 32, mode).moved, 32);
		s = stats(fd);
		CHECK_EQ(s.violations, 0);
		/* A batch is tried without waiting first, whatever the mode. */
		CHECK_EQ(s.calls[ASYNC], 32);
		CHECK_EQ(wrong(fd), 0);
	}
	return 0;
}

static int huge_object(int *fd)
{
	write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "force");
	*fd = owned_object(512);
	write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "never");
	return TELL(*fd, TFO_PFN).count;
}

static int test_A6_call_contract_large_folio(void)
{
	struct tfo_stats s;
	int fd;

	if (huge_object(&fd) != 512)
		return SKIP;
	CHECK_EQ(migrate(fd, 512, SYNC).moved, 512);
	s = stats(fd);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(s.moved, 1);
	CHECK_EQ(TELL(fd, TFO_PFN).count, 512);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A7_foreign_pin_ebusy(void)
{
	int fd = owned_object(8);
	unsigned long before = pfn(fd, 3);
	struct tfo_args a;
	struct tfo_stats s;

	TELL(fd, TFO_HOLD, .index = 3);
	a = migrate(fd, 8, ASYNC);
	CHECK_EQ(a.moved, 7);
	CHECK_EQ(a.result, 1);
	s = stats(fd);
	/* -EBUSY is final: no second call for the one that is held. */
	CHECK_EQ(calls(&s), 8);
	CHECK_EQ(pfn(fd, 3), before);
	CHECK_EQ(wrong(fd), 0);
	TELL(fd, TFO_RELEASE);
	CHECK_EQ(migrate(fd, 8, ASYNC).moved, 8);
	CHECK(pfn(fd, 3) != before);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A7_foreign_pin_large_folio(void)
{
	struct tfo_stats s;
	int fd;

	if (huge_object(&fd) != 512)
		return SKIP;
	TELL(fd, TFO_HOLD, .index = 100);
	CHECK_EQ(migrate(fd, 512, ASYNC).moved, 0);
	s = stats(fd);
	CHECK(calls(&s) >= 1);
	CHECK_EQ(wrong(fd), 0);
	TELL(fd, TFO_RELEASE);
	CHECK_EQ(migrate(fd, 512, ASYNC).moved, 512);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A8_without_pin_no_lock(void)
{
	int fd = owned_object(8);
	struct job holder = { .fd = fd, .cmd = TFO_LOCK };
	struct tfo_stats s;
	unsigned int moved;

	TELL(fd, TFO_UNPIN, .count = 8);
	job_start(&holder);
	TELL(fd, TFO_WAIT_INSIDE);
	moved = migrate(fd, 8, ASYNC).moved;
	TELL(fd, TFO_GO);
	job_join(&holder);
	CHECK_EQ(moved, 8);
	s = stats(fd);
	CHECK_EQ(s.direct, 8);
	CHECK_EQ(s.lock_busy, 0);
	return 0;
}

static int test_A9_success_moves_the_owners_table(void)
{
	int fd = owned_object(4);
	unsigned long before = pfn(fd, 2);

	CHECK_EQ(migrate(fd, 4, SYNC).result, 0);
	CHECK(pfn(fd, 2) != before);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int failing(int fd, int behaviour, unsigned int mode,
		   unsigned int expect_async, unsigned int expect_sync)
{
	unsigned long before = pfn(fd, 0);
	struct tfo_args a;
	struct tfo_stats s;

	stats(fd);
	TELL(fd, TFO_BEHAVE, .value = behaviour);
	a = migrate(fd, 1, mode);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	s = stats(fd);
	CHECK_EQ(a.result, 1);
	CHECK_EQ(a.moved, 0);
	CHECK_EQ(a.dst_taken, a.dst_returned);
	CHECK_EQ(s.calls[ASYNC], expect_async);
	CHECK_EQ(s.calls[mode], mode == ASYNC ? expect_async : expect_sync);
	CHECK_EQ(pfn(fd, 0), before);
	CHECK_EQ(wrong(fd), 0);
	CHECK_EQ(migrate(fd, 1, mode).moved, 1);
	return 0;
}

static int test_A9_again_is_called_ten_times(void)
{
	int fd = owned_object(1);

	return failing(fd, TFO_AGAIN, ASYNC, 10, 0) ?:
	       failing(fd, TFO_AGAIN, SYNC_LIGHT, 3, 7) ?:
	       failing(fd, TFO_AGAIN, SYNC, 3, 7);
}

static int test_A9_error_ends_the_attempt(void)
{
	int fd = owned_object(1);

	return failing(fd, TFO_IO_ERROR, ASYNC, 1, 0) ?:
	       failing(fd, TFO_IO_ERROR, SYNC, 1, 1);
}

static int test_A9_lies_are_seen_through(void)
{
	int fd = owned_object(1);
	unsigned long before;

	if (failing(fd, TFO_LIE_MOVED, ASYNC, 1, 0))
		return 1;
	before = pfn(fd, 0);
	TELL(fd, TFO_BEHAVE, .value = TFO_LIE_FAILED);
	CHECK_EQ(migrate(fd, 1, ASYNC).moved, 1);
	CHECK(pfn(fd, 0) != before);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A10_owners_lock_by_trylock(void)
{
	int fd = owned_object(1);
	struct job holder = { .fd = fd, .cmd = TFO_LOCK };
	struct tfo_stats s;
	struct tfo_args a;

	job_start(&holder);
	TELL(fd, TFO_WAIT_INSIDE);
	a = migrate(fd, 1, ASYNC);
	TELL(fd, TFO_GO);
	job_join(&holder);
	CHECK_EQ(a.moved, 0);
	s = stats(fd);
	CHECK_EQ(s.lock_busy, 10);
	CHECK_EQ(migrate(fd, 1, ASYNC).moved, 1);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A11_purgeable_ebusy(void)
{
	return failing(owned_object(1), TFO_BUSY, SYNC, 1, 1);
}

static int test_A12_suspended_ebusy(void)
{
	return failing(owned_object(1), TFO_BUSY, ASYNC, 1, 0);
}

static int test_A13_private_goes_over(void)
{
	int fd = owned_object(2);

	TELL(fd, TFO_PRIVATE, .index = 1, .value = 0x1234);
	CHECK_EQ(migrate(fd, 2, ASYNC).moved, 2);
	CHECK_EQ(TELL(fd, TFO_PRIVATE, .index = 0).value, 0);
	CHECK_EQ(TELL(fd, TFO_PRIVATE, .index = 1).value, 0x1234);
	CHECK_EQ(stats(fd).violations, 0);
	TELL(fd, TFO_BEHAVE, .value = TFO_SET_PRIVATE);
	CHECK_EQ(migrate(fd, 2, ASYNC).moved, 2);
	CHECK_EQ(TELL(fd, TFO_PRIVATE, .index = 1).value, 0xd57);
	return 0;
}

static int test_A14_table_follows_mixed_pins(void)
{
	int fd = object(64), round;
	unsigned int i;

	CHECK_EQ(TELL(fd, TFO_REGISTER).result, 0);
	for (i = 1; i < 64; i += 2)
		TELL(fd, TFO_PIN, .index = i, .count = 1);
	for (round = 0; round < 10; round++) {
		struct tfo_stats s;

		CHECK_EQ(migrate(fd, 64, ASYNC).moved, 64);
		s = stats(fd);
		CHECK_EQ(s.direct, 32);
		CHECK_EQ(wrong(fd), 0);
	}
	/* No reference has been lost or kept: by default, too, all move. */
	TELL(fd, TFO_UNPIN, .count = 64);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, 0);
	CHECK_EQ(migrate(fd, 64, ASYNC).moved, 64);
	return 0;
}

static int test_A15_detach_waits_for_the_op(void)
{
	int fd = owned_object(1), other = owned_object(1);
	struct job mover = { .fd = fd, .cmd = TFO_MIGRATE,
			     .args = { .count = 1, .mode = SYNC } };
	struct job detacher = { .fd = fd, .cmd = TFO_UNREGISTER };
	bool early;
	int result;

	CHECK_EQ(TELL(fd, TFO_REGISTER).result, -EEXIST);
	TELL(fd, TFO_BEHAVE, .value = TFO_WAIT);
	job_start(&mover);
	TELL(fd, TFO_WAIT_INSIDE);
	job_start(&detacher);
	usleep(100000);
	early = __atomic_load_n(&detacher.done, __ATOMIC_ACQUIRE);
	/* Nobody else's detach waits for it. */
	result = TELL(other, TFO_UNREGISTER).result;
	TELL(fd, TFO_GO);
	job_join(&mover);
	job_join(&detacher);
	CHECK(!early);
	CHECK_EQ(result, 0);
	CHECK_EQ(detacher.args.result, 0);
	CHECK_EQ(mover.args.moved, 1);
	CHECK_EQ(stats(fd).moved, 1);
	/* Afterwards the pin is in the way again. */
	CHECK_EQ(migrate(fd, 1, SYNC).moved, 0);
	CHECK_EQ(stats(fd).moved, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

/* A thread that migrates an object over and over. */
static bool stop;
static long rounds;

static void *migrate_loop(void *data)
{
	int fd = *(int *)data;
	long moved = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct tfo_args args = { .count = 32, .mode = SYNC };

		if (!ioctl(fd, TFO_MIGRATE, &args))
			moved += args.moved;
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	}
	return (void *)moved;
}

static int test_A15_detach_races_with_the_op(void)
{
	int fd = owned_object(32), i;
	pthread_t thread;
	struct tfo_stats s;
	void *moved;

	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	pthread_create(&thread, NULL, migrate_loop, &fd);
	for (i = 0; i < 200; i++) {
		if (TELL(fd, TFO_UNREGISTER).result ||
		    TELL(fd, TFO_REGISTER).result)
			break;
		sched_yield();
	}
	/* Whatever the races did, the last owner is in force. */
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &moved);
	CHECK_EQ(i, 200);
	stats(fd);
	CHECK_EQ(migrate(fd, 32, SYNC).moved, 32);
	s = stats(fd);
	CHECK_EQ(s.moved, 32);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_A16_truncate_races_with_the_op(void)
{
	int round, fd;
	long total = 0;
	void *moved;

	for (round = 0; round < 20; round++) {
		struct tfo_stats s;
		pthread_t thread;
		int i;

		fd = object(32);
		CHECK_EQ(TELL(fd, TFO_REGISTER).result, 0);
		/* Every other page keeps its pin until it is truncated. */
		for (i = 0; i < 32; i += 2)
			TELL(fd, TFO_PIN, .index = i, .count = 1);
		__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
		rounds = 0;
		pthread_create(&thread, NULL, migrate_loop, &fd);
		while (!__atomic_load_n(&rounds, __ATOMIC_RELAXED))
			sched_yield();
		for (i = 31; i >= 0; i--)
			TELL(fd, TFO_TRUNCATE, .index = i, .count = 1);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, &moved);
		total += (long)moved;
		s = stats(fd);
		CHECK_EQ(s.violations, 0);
		close_devices();
	}
	CHECK(total > 0);
	return 0;
}

static int test_A17_mapped_nowhere(void)
{
	int fd = owned_object(8), i;
	struct tfo_stats s;
	char *map;

	TELL(fd, TFO_NOTIFIER);
	stats(fd);
	CHECK_EQ(migrate(fd, 8, ASYNC).moved, 8);
	s = stats(fd);
	/* Asked, although no notifier said anything. */
	CHECK_EQ(calls(&s), 8);
	CHECK_EQ(s.notifications, 0);

	map = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	for (i = 0; i < 8; i++)
		__atomic_load_n(&map[i * PAGE], __ATOMIC_RELAXED);
	stats(fd);
	i = migrate(fd, 8, ASYNC).moved;
	s = stats(fd);
	munmap(map, 8 * PAGE);
	CHECK_EQ(i, 8);
	CHECK_EQ(calls(&s), 8);
	CHECK(s.notifications >= 8);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_A1_detach(void)
{
	int fd = object(4);

	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, -ENOENT);
	CHECK_EQ(TELL(fd, TFO_REGISTER).result, 0);
	TELL(fd, TFO_PIN, .count = 4);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, 0);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, -ENOENT);
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 0);
	CHECK_EQ(stats(fd).calls[SYNC], 0);
	CHECK_EQ(TELL(fd, TFO_REGISTER).result, 0);
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 4);
	return 0;
}

static int test_H_A1_ops_are_immutable(void)
{
	int fd = owned_object(4);
	struct tfo_stats s;

	TELL(fd, TFO_CHANGE_OPS);
	CHECK_EQ(migrate(fd, 4, ASYNC).moved, 4);
	s = stats(fd);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(s.moved, 4);
	return 0;
}

static int test_H_A1_from_inside_edeadlk(void)
{
	int fd = owned_object(1);

	TELL(fd, TFO_BEHAVE, .value = TFO_REGISTER_INSIDE);
	CHECK_EQ(migrate(fd, 1, ASYNC).moved, 1);
	CHECK_EQ(stats(fd).inside, -EDEADLK);
	TELL(fd, TFO_BEHAVE, .value = TFO_UNREGISTER_INSIDE);
	CHECK_EQ(migrate(fd, 1, ASYNC).moved, 1);
	CHECK_EQ(stats(fd).inside, -EDEADLK);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, 0);
	return 0;
}

static int test_X14_destinations_balance(void)
{
	int fd = owned_object(16);
	struct tfo_args a;

	TELL(fd, TFO_HOLD, .index = 5);
	a = migrate(fd, 16, SYNC);
	CHECK_EQ(a.moved, 15);
	CHECK_EQ(a.dst_taken - a.dst_returned, 15);
	TELL(fd, TFO_RELEASE);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static const struct test tests[] = {
	TEST(test_A1_first_registration_takes_effect),
	TEST(test_A2_second_registration_eexist),
	TEST(test_A3_registering_null),
	TEST(test_A4_ops_are_per_file),
	TEST(test_A4_forgotten_owner_goes_with_the_file),
	TEST(test_A5_no_op_is_the_default),
	TEST(test_S0_files_of_users_refused),
	TEST(test_A6_call_contract),
	TEST(test_A6_call_contract_large_folio),
	TEST(test_A7_foreign_pin_ebusy),
	TEST(test_A7_foreign_pin_large_folio),
	TEST(test_A8_without_pin_no_lock),
	TEST(test_A9_success_moves_the_owners_table),
	TEST(test_A9_again_is_called_ten_times),
	TEST(test_A9_error_ends_the_attempt),
	TEST(test_A9_lies_are_seen_through),
	TEST(test_A10_owners_lock_by_trylock),
	TEST(test_A11_purgeable_ebusy),
	TEST(test_A12_suspended_ebusy),
	TEST(test_A13_private_goes_over),
	TEST(test_A14_table_follows_mixed_pins),
	TEST(test_A15_detach_waits_for_the_op),
	TEST(test_A15_detach_races_with_the_op),
	TEST(test_A16_truncate_races_with_the_op),
	TEST(test_A17_mapped_nowhere),
	TEST(test_H_A1_detach),
	TEST(test_H_A1_ops_are_immutable),
	TEST(test_H_A1_from_inside_edeadlk),
	TEST(test_X14_destinations_balance),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_owners());
}

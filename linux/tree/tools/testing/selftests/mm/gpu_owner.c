// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of shmem files whose pages are in use, through the mock graphics
 * driver lib/test_gpu.c. A test is named after the requirement that it checks.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include "../../../../lib/test_gpu_uapi.h"
#include "owner_selftest.h"

#define PAGES	TGPU_MAX_PAGES

/* One device for each test; what is left running ends with it. */
static int device(void)
{
	return nr_opened ? opened[0] : open_device("/dev/test_gpu");
}

/* Most commands need few of the arguments. */
static struct tgpu_args tell(unsigned int cmd, struct tgpu_args args)
{
	if (ioctl(device(), cmd, &args) < 0) {
		printf("# ioctl %#x: %s\n", cmd, strerror(errno));
		args.result = -errno;
		args.moved = 0;
	}
	return args;
}

#define TELL(cmd, ...) tell(cmd, (struct tgpu_args){ __VA_ARGS__ })

static struct tgpu_stats stats(void)
{
	struct tgpu_stats s = { 0 };

	ioctl(device(), TGPU_STATS, &s);
	return s;
}

/* The seed of an object is its number of pages and one: any will do. */
static unsigned int object(unsigned int pages)
{
	return TELL(TGPU_CREATE, .count = pages, .value = pages + 1).handle;
}

static unsigned int bound_object(unsigned int pages)
{
	unsigned int bo = object(pages);

	TELL(TGPU_BIND, .handle = bo);
	return bo;
}

static struct tgpu_args migrate(unsigned int bo, unsigned int pages,
				unsigned int mode)
{
	return TELL(TGPU_MIGRATE, .handle = bo, .count = pages, .mode = mode);
}

static void run_job(unsigned int bo, unsigned int other, uint64_t value)
{
	TELL(TGPU_RUN, .handle = bo, .others = !!other, .addr = (uintptr_t)&other,
	     .value = value, .count = 1);
}

static unsigned long pfn(unsigned int bo, unsigned int index)
{
	return TELL(TGPU_PFN, .handle = bo, .index = index).pfn;
}

static bool is_bound(unsigned int bo)
{
	return TELL(TGPU_BOUND, .handle = bo).value;
}

/* Words of the object, seen through the page cache, that are not base + @sum. */
static long wrong(unsigned int bo, unsigned int pages, unsigned int seed,
		  uint64_t sum)
{
	static uint64_t content[PAGES][TGPU_WORDS];
	struct tgpu_args a;
	unsigned int i, w;
	long n = 0;

	a = TELL(TGPU_READ, .handle = bo, .count = pages,
		 .addr = (uintptr_t)content);
	if (a.result)
		return -1;
	for (i = 0; i < pages; i++)
		for (w = 0; w < TGPU_WORDS; w++)
			n += content[i][w] != tgpu_word(seed, i, w) + sum;
	return n;
}

/* The object's words, and all that the engine has seen. */
static void check_content(unsigned int bo, unsigned int pages, uint64_t sum)
{
	struct tgpu_stats s = stats();

	CHECK_EQ(s.wrong, 0);
	CHECK_EQ(s.faults, 0);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(TELL(TGPU_SUM, .handle = bo).value, sum);
	CHECK_EQ(wrong(bo, pages, pages + 1, sum), 0);
}

/* A thread that does one command. */
struct task {
	pthread_t thread;
	unsigned int cmd;
	struct tgpu_args args;
};

static void *task_run(void *data)
{
	struct task *task = data;

	task->args = tell(task->cmd, task->args);
	return NULL;
}

static void task_start(struct task *task)
{
	pthread_create(&task->thread, NULL, task_run, task);
}

static void task_join(struct task *task)
{
	pthread_join(task->thread, NULL);
}

static int test_A7_bound_object_gives_way(void)
{
	unsigned int bo = bound_object(PAGES);
	struct tgpu_args a;
	struct tgpu_stats s;

	CHECK(is_bound(bo));
	a = migrate(bo, PAGES, ASYNC);
	CHECK_EQ(a.moved, PAGES);
	CHECK_EQ(a.result, 0);
	s = stats();
	/* The first page unbinds the object, the others have no pin any more. */
	CHECK_EQ(s.unbound, 1);
	CHECK_EQ(s.moved_direct, PAGES - 1);
	CHECK(!is_bound(bo));
	check_content(bo, PAGES, 0);
	return 0;
}

static int test_A7_foreign_pin_under_jobs(void)
{
	unsigned int bo = object(8);
	unsigned long before;
	struct tgpu_args a;

	run_job(bo, 0, 5);
	TELL(TGPU_FINISH);
	before = pfn(bo, 3);
	TELL(TGPU_HOLD, .handle = bo, .index = 3);
	a = migrate(bo, 8, SYNC);
	CHECK_EQ(a.moved, 7);
	CHECK_EQ(a.result, 1);
	CHECK_EQ(a.dst_taken - a.dst_returned, 7);
	CHECK(stats().foreign > 0);
	CHECK_EQ(pfn(bo, 3), before);
	run_job(bo, 0, 6);
	TELL(TGPU_FINISH);
	check_content(bo, 8, 11);
	TELL(TGPU_RELEASE);
	CHECK_EQ(migrate(bo, 8, SYNC).moved, 8);
	check_content(bo, 8, 11);
	return 0;
}

static int test_A8_unbound_needs_no_lock(void)
{
	unsigned int bo = object(8), busy = object(9);
	unsigned int moved;

	/* The engine is inside the other one. */
	CHECK_EQ(wrong(bo, 8, 9, 0), 0);
	TELL(TGPU_STALL, .handle = busy);
	run_job(busy, bo, 1);
	CHECK_EQ(TELL(TGPU_INSIDE).result, 0);
	/* Bound and locked by the job. */
	moved = migrate(bo, 8, ASYNC).moved;
	TELL(TGPU_GO);
	TELL(TGPU_FINISH);
	CHECK_EQ(moved, 0);
	CHECK(stats().busy[ASYNC] > 0);
	TELL(TGPU_UNBIND, .handle = bo);
	TELL(TGPU_STALL, .handle = busy);
	run_job(busy, 0, 1);
	CHECK_EQ(TELL(TGPU_INSIDE).result, 0);
	moved = migrate(bo, 8, ASYNC).moved;
	TELL(TGPU_GO);
	CHECK_EQ(moved, 8);
	TELL(TGPU_FINISH);
	CHECK_EQ(stats().moved_direct, 8);
	check_content(bo, 8, 0);
	check_content(busy, 9, 2);
	return 0;
}

static int test_A9_engine_goes_on_at_the_new_place(void)
{
	unsigned int bo = object(PAGES), round;
	uint64_t sum = 0;

	for (round = 0; round < 10; round++) {
		unsigned long before;

		run_job(bo, 0, round + 1);
		sum += round + 1;
		TELL(TGPU_FINISH);
		CHECK(is_bound(bo));
		before = pfn(bo, 7);
		CHECK_EQ(migrate(bo, PAGES, round % 3).moved, PAGES);
		CHECK(pfn(bo, 7) != before);
		check_content(bo, PAGES, sum);
	}
	return 0;
}

static int test_A10_async_does_not_wait(void)
{
	unsigned int bo = object(4);
	struct tgpu_stats s;
	struct tgpu_args a;
	unsigned long before;

	TELL(TGPU_STALL, .handle = bo);
	run_job(bo, 0, 3);
	CHECK_EQ(TELL(TGPU_INSIDE).result, 0);
	before = pfn(bo, 0);
	a = migrate(bo, 4, ASYNC);
	s = stats();
	TELL(TGPU_GO);
	TELL(TGPU_FINISH);
	CHECK_EQ(a.moved, 0);
	CHECK_EQ(a.dst_taken, a.dst_returned);
	/* -EAGAIN: each of the four is tried ten times. */
	CHECK_EQ(s.busy[ASYNC], 40);
	CHECK_EQ(s.calls[ASYNC], 40);
	CHECK_EQ(s.waited[ASYNC], 0);
	CHECK_EQ(s.violations, 0);
	CHECK_EQ(s.unbound, 0);
	CHECK(is_bound(bo));
	CHECK_EQ(pfn(bo, 0), before);
	CHECK_EQ(migrate(bo, 4, ASYNC).moved, 4);
	check_content(bo, 4, 3);
	return 0;
}

static int test_A10_sync_waits_for_the_engine(void)
{
	unsigned int bo = object(4), i;
	struct task mover = { .cmd = TGPU_MIGRATE,
		.args = { .handle = bo, .count = 4, .mode = SYNC } };
	struct tgpu_stats s;

	TELL(TGPU_STALL, .handle = bo);
	run_job(bo, 0, 3);
	CHECK_EQ(TELL(TGPU_INSIDE).result, 0);
	task_start(&mover);
	for (i = 0; i < 1000 && !stats().calls[SYNC]; i++)
		usleep(1000);
	TELL(TGPU_GO);
	task_join(&mover);
	TELL(TGPU_FINISH);
	s = stats();
	CHECK_EQ(mover.args.moved, 4);
	/* First all of them without waiting, then one waits for the job. */
	CHECK_EQ(s.busy[ASYNC], 12);
	CHECK_EQ(s.waited[SYNC], 1);
	CHECK_EQ(s.busy[SYNC], 0);
	check_content(bo, 4, 3);
	return 0;
}

static int test_A10_waiting_has_an_end(void)
{
	unsigned int bo = object(1);
	struct tgpu_stats s;
	struct tgpu_args a;

	TELL(TGPU_STALL, .handle = bo);
	run_job(bo, 0, 3);
	CHECK_EQ(TELL(TGPU_INSIDE).result, 0);
	a = migrate(bo, 1, SYNC_LIGHT);
	s = stats();
	TELL(TGPU_GO);
	TELL(TGPU_FINISH);
	CHECK_EQ(a.moved, 0);
	CHECK_EQ(a.dst_taken, a.dst_returned);
	CHECK_EQ(s.busy[ASYNC], 3);
	CHECK_EQ(s.busy[SYNC_LIGHT], 7);
	CHECK(is_bound(bo));
	CHECK_EQ(migrate(bo, 1, SYNC_LIGHT).moved, 1);
	check_content(bo, 1, 3);
	return 0;
}

static int test_A12_suspended_device_is_not_woken(void)
{
	unsigned int bo = bound_object(4);
	struct tgpu_stats s;

	TELL(TGPU_SUSPEND);
	CHECK_EQ(migrate(bo, 4, SYNC).moved, 0);
	s = stats();
	CHECK_EQ(s.unbound, 0);
	/* Final in each of the two rounds of a synchronous migration. */
	CHECK_EQ(s.asleep, 8);
	CHECK(is_bound(bo));
	TELL(TGPU_RESUME);
	CHECK_EQ(migrate(bo, 4, SYNC).moved, 4);
	run_job(bo, 0, 1);
	TELL(TGPU_FINISH);
	check_content(bo, 4, 1);
	return 0;
}

/* Endless jobs on @nr objects, every other one reading the one before. */
static void feed(unsigned int *bo, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		bo[i] = object(PAGES - i);
		TELL(TGPU_RUN, .handle = bo[i], .others = i % 2,
		     .addr = (uintptr_t)&bo[i & ~1], .value = i + 1);
	}
	for (i = 0; i < 3000 && !stats().least_runs; i++)
		usleep(1000);
}

static void check_fed(unsigned int *bo, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		check_content(bo[i], PAGES - i,
			      TELL(TGPU_SUM, .handle = bo[i]).value);
}

static int test_A14_table_follows_under_jobs(void)
{
	unsigned int bo[4], round, i;
	struct tgpu_stats before, s;
	unsigned long moved = 0;

	feed(bo, 4);
	before = stats();
	CHECK(before.least_runs > 0);
	for (round = 0; round < 30; round++) {
		for (i = 0; i < 4; i++)
			moved += migrate(bo[i], PAGES - i, round % 3).moved;
		usleep(1000);
	}
	TELL(TGPU_STOP);
	s = stats();
	/* The engine was met at work, and it went on working. */
	CHECK(s.busy[ASYNC] > 0);
	CHECK(s.moved_in_use > 0);
	CHECK(s.moved_running > 0);
	CHECK(s.jobs > before.jobs);
	CHECK_EQ(s.moved, moved);
	/* In the modes that wait nothing stays behind. */
	CHECK(moved >= 20 * (4 * PAGES - 6));
	check_fed(bo, 4);
	return 0;
}

static int test_A9_binding_again_waits_for_the_batch(void)
{
	unsigned int bo, round;
	struct tgpu_stats s;

	feed(&bo, 1);
	for (round = 0; round < 10; round++)
		CHECK_EQ(migrate(bo, PAGES, SYNC).moved, PAGES);
	TELL(TGPU_STOP);
	s = stats();
	CHECK(s.deferred > 0);
	/* Else the engine is in the way again after each page. */
	CHECK(s.unbound <= 40);
	check_fed(&bo, 1);
	return 0;
}

static bool stop;

static void *migrate_loop(void *data)
{
	unsigned int bo = *(unsigned int *)data;
	long moved = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct tgpu_args args = { .handle = bo, .count = PAGES,
					  .mode = SYNC };

		if (!ioctl(device(), TGPU_MIGRATE, &args))
			moved += args.moved;
	}
	return (void *)moved;
}

static int test_A15_detach_under_jobs(void)
{
	unsigned int bo;
	pthread_t thread;
	int result, i;
	void *moved;

	feed(&bo, 1);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	pthread_create(&thread, NULL, migrate_loop, &bo);
	for (i = 0; i < 1000 && stats().moved < 3 * PAGES; i++)
		usleep(1000);
	result = TELL(TGPU_UNREGISTER, .handle = bo).result;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &moved);
	CHECK_EQ(result, 0);
	CHECK(stats().moved >= 3 * PAGES);
	TELL(TGPU_STOP);
	/* The pins are in the way again. */
	TELL(TGPU_BIND, .handle = bo);
	CHECK_EQ(migrate(bo, PAGES, SYNC).moved, 0);
	check_fed(&bo, 1);
	return 0;
}

static int test_A15_object_goes_under_jobs(void)
{
	unsigned int bo[2];
	pthread_t thread;
	struct tgpu_stats s;
	void *moved;
	int i;

	feed(bo, 2);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	pthread_create(&thread, NULL, migrate_loop, &bo[0]);
	for (i = 0; i < 1000 && stats().moved < PAGES; i++)
		usleep(1000);
	TELL(TGPU_DESTROY, .handle = bo[0]);
	TELL(TGPU_STOP);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &moved);
	s = stats();
	CHECK_EQ(s.objects, 1);
	CHECK(s.moved >= PAGES);
	CHECK_EQ(s.wrong + s.faults + s.violations, 0);
	CHECK_EQ(migrate(bo[1], PAGES - 1, SYNC).moved, PAGES - 1);
	return 0;
}

static int test_A16_truncate_under_jobs(void)
{
	unsigned int bo, nr;
	pthread_t thread;
	struct tgpu_stats s;
	void *moved;

	feed(&bo, 1);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	pthread_create(&thread, NULL, migrate_loop, &bo);
	for (nr = PAGES; nr > 1; nr -= 3) {
		CHECK_EQ(TELL(TGPU_TRUNCATE, .handle = bo, .count = nr).result, 0);
		usleep(3000);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &moved);
	TELL(TGPU_STOP);
	s = stats();
	CHECK((long)moved > 0);
	CHECK_EQ(s.wrong + s.faults + s.violations, 0);
	CHECK_EQ(wrong(bo, 1, PAGES + 1, TELL(TGPU_SUM, .handle = bo).value), 0);
	CHECK_EQ(migrate(bo, 1, SYNC).moved, 1);
	return 0;
}

static int test_A17_in_use_and_mapped_nowhere(void)
{
	unsigned int bo = object(8);
	struct tgpu_stats s;

	run_job(bo, 0, 7);
	TELL(TGPU_FINISH);
	/* No address space has it, so only the owner can know. */
	CHECK_EQ(migrate(bo, 8, ASYNC).moved, 8);
	s = stats();
	CHECK_EQ(s.calls[ASYNC], 8);
	CHECK_EQ(s.moved, 8);
	check_content(bo, 8, 7);
	return 0;
}

#define CONTIG	16384			/* pages */
#define EVERY	512
#define MANY	8			/* objects */

/* A page of a bound object in every block of 2 MiB, as far as they reach. */
static unsigned int spread(unsigned int *bo)
{
	static unsigned long pool[1 << 14];
	unsigned long bits, frame;
	unsigned int n = 0, i;

	TELL(TGPU_POOL_TAKE, .value = CONTIG / 2);
	bits = TELL(TGPU_POOL_LIST, .addr = (uintptr_t)pool,
		    .count = sizeof(pool)).value;
	for (frame = 0; frame < bits && n < MANY * PAGES; frame++) {
		struct tgpu_place place = { .pfn = frame, .index = n % PAGES };

		if (!(pool[frame / 64] >> frame % 64 & 1))
			continue;
		if (!place.index)
			bo[n / PAGES] = object(PAGES);
		place.handle = bo[n / PAGES];
		TELL(TGPU_PLACE, .addr = (uintptr_t)&place, .count = 1);
		n++;
		frame |= EVERY - 1;
	}
	n = (n + PAGES - 1) / PAGES;
	for (i = 0; i < n; i++)
		TELL(TGPU_BIND, .handle = bo[i]);
	TELL(TGPU_POOL_DROP);
	TELL(TGPU_DRAIN);
	return n;
}

static int test_X33_contiguous_memory_under_jobs(void)
{
	unsigned int bo[MANY], n = spread(bo), i;
	struct tgpu_args a;
	struct tgpu_stats s;

	CHECK(n > 1);
	for (i = 0; i < n; i++)
		TELL(TGPU_RUN, .handle = bo[i], .others = i % 2,
		     .addr = (uintptr_t)&bo[i & ~1], .value = i + 1);
	for (i = 0; i < 3000 && !stats().least_runs; i++)
		usleep(1000);
	a = TELL(TGPU_CONTIG, .count = CONTIG);
	TELL(TGPU_STOP);
	CHECK_EQ(a.result, 0);
	s = stats();
	/* Not in every block: those left free when the pool was filled have none. */
	CHECK(s.moved_in_use > 0);
	for (i = 0; i < n; i++)
		check_content(bo[i], PAGES,
			      TELL(TGPU_SUM, .handle = bo[i]).value);
	return 0;
}

static const struct test tests[] = {
	TEST(test_A7_bound_object_gives_way),
	TEST(test_A7_foreign_pin_under_jobs),
	TEST(test_A8_unbound_needs_no_lock),
	TEST(test_A9_engine_goes_on_at_the_new_place),
	TEST(test_A10_async_does_not_wait),
	TEST(test_A10_sync_waits_for_the_engine),
	TEST(test_A10_waiting_has_an_end),
	TEST(test_A12_suspended_device_is_not_woken),
	TEST(test_A14_table_follows_under_jobs),
	TEST(test_A9_binding_again_waits_for_the_batch),
	TEST(test_A15_detach_under_jobs),
	TEST(test_A15_object_goes_under_jobs),
	TEST(test_A16_truncate_under_jobs),
	TEST(test_A17_in_use_and_mapped_nowhere),
	TEST(test_X33_contiguous_memory_under_jobs),
	{ 0 }
};

int main(int argc, char **argv)
{
	bool hooks = TELL(TGPU_CREATE, .count = 1).result != -EOPNOTSUPP;

	close_devices();
	return run_tests(argc, argv, tests, hooks);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of shmem files and folios, through the driver lib/test_folio_owner.c.
 *
 * A test is named after the requirement that it checks. Without the options
 * CONFIG_SHMEM_OWNER and CONFIG_FOLIO_OWNER everything is skipped. With
 * --control it is run all the same, and a test is reported good if it fails:
 * that shows, on a kernel without the hooks, that it can.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../../../../lib/test_folio_owner_uapi.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGE	4096UL
#define HUGE	(512 * PAGE)
#define SKIP	77

enum { ASYNC, SYNC_LIGHT, SYNC };

static char why[160];

static jmp_buf failed_at;

static void check(bool good, int line, const char *what)
{
	if (good)
		return;
	snprintf(why, sizeof(why), "line %d: %s", line, what);
	longjmp(failed_at, 1);
}

static void check_equal(long a, long b, int line, const char *what)
{
	if (a == b)
		return;
	snprintf(why, sizeof(why), "line %d: %s is %ld, not %ld", line, what,
		 a, b);
	longjmp(failed_at, 1);
}

/* A test ends with the first of these that does not hold. */
#define CHECK(what)	check(what, __LINE__, #what)
#define CHECK_EQ(a, b)	check_equal(a, b, __LINE__, #a)

/* Objects of the running test; closed when it ends. */
static int opened[8];
static int nr_opened;

static int device(void)
{
	int fd = open("/dev/folio_owner", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		perror("/dev/folio_owner");
		exit(1);
	}
	opened[nr_opened++] = fd;
	return fd;
}

static void close_devices(void)
{
	while (nr_opened)
		close(opened[--nr_opened]);
}

/* Most commands need few of the arguments. */
static struct tfo_args tell(int fd, unsigned int cmd, struct tfo_args args)
{
	if (ioctl(fd, cmd, &args) < 0) {
		printf("# ioctl %#x: %s\n", cmd, strerror(errno));
		args.result = -errno;
		args.moved = 0;
	}
	return args;
}

#define TELL(fd, cmd, ...) tell(fd, cmd, (struct tfo_args){ __VA_ARGS__ })

static struct tfo_stats stats(int fd)
{
	struct tfo_stats s = { 0 };

	ioctl(fd, TFO_STATS, &s);
	return s;
}

static unsigned int calls(const struct tfo_stats *s)
{
	return s->calls[ASYNC] + s->calls[SYNC_LIGHT] + s->calls[SYNC];
}

static int object(unsigned int pages)
{
	int fd = device();

	TELL(fd, TFO_CREATE, .count = pages);
	return fd;
}

static int owned_object(unsigned int pages)
{
	int fd = object(pages);

	TELL(fd, TFO_REGISTER);
	TELL(fd, TFO_PIN, .count = pages);
	return fd;
}

static struct tfo_args migrate(int fd, unsigned int pages, unsigned int mode)
{
	return TELL(fd, TFO_MIGRATE, .count = pages, .mode = mode);
}

static long wrong(int fd)
{
	return TELL(fd, TFO_VERIFY).value;
}

static unsigned long pfn(int fd, unsigned int index)
{
	return TELL(fd, TFO_PFN, .index = index).pfn;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			perror(path);
		close(fd);
	}
}

/* A thread that does one command. */
struct job {
	pthread_t thread;
	int fd;
	unsigned int cmd;
	struct tfo_args args;
	bool done;
};

static void *job_run(void *data)
{
	struct job *job = data;

	job->args = tell(job->fd, job->cmd, job->args);
	__atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void job_start(struct job *job)
{
	pthread_create(&job->thread, NULL, job_run, job);
}

static void job_join(struct job *job)
{
	pthread_join(job->thread, NULL);
}

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

/* S4: folios of user space and of the page cache */

static char *anonymous(size_t size)
{
	char *p = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (size == HUGE)
		p = (char *)(((unsigned long)p + HUGE - 1) & ~(HUGE - 1));
	/* Off by default on a machine as small as this may be. */
	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	if (size == HUGE)
		madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0x5a, size);
	return p;
}

#define ADDR(p) .addr = (unsigned long)(p)

static int test_E7_survives_mapping_and_use(void)
{
	int fd = device();
	char *p = anonymous(PAGE);
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p)).result, 0);
	TELL(fd, TFO_USE, ADDR(p));
	mprotect(p, PAGE, PROT_READ);
	mprotect(p, PAGE, PROT_READ | PROT_WRITE);
	p[1] = 1;
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).value, 1);
	s = stats(fd);
	CHECK_EQ(s.freed[0] + s.freed[1], 0);
	munmap(p, PAGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.freed[1], 0);
	CHECK_EQ(s.freed_early, 0);
	return 0;
}

static int test_E3_page_cache_keeps_owner(void)
{
	int fd = object(8), i;
	struct tfo_stats s;

	for (i = 0; i < 8; i++)
		CHECK_EQ(TELL(fd, TFO_OWN, .index = i).result, 0);
	CHECK_EQ(TELL(fd, TFO_OWN, .index = 3).result, -EEXIST);
	/* Reclaim takes them off the LRU and puts them back. */
	write_file("/proc/sys/vm/drop_caches", "1");
	for (i = 0; i < 8; i++)
		CHECK_EQ(TELL(fd, TFO_OWNED, .index = i).value, 1);
	CHECK_EQ(TELL(fd, TFO_DISOWN, .index = 7).result, 0);
	TELL(fd, TFO_TRUNCATE, .count = 8);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 7);
	CHECK_EQ(s.freed_early, 0);
	return 0;
}

static int test_H_E3_reclaim_asks_the_owner(void)
{
	int fd = device();
	char *p = anonymous(PAGE);

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p)).result, 0);
	TELL(fd, TFO_DRAIN);
	CHECK_EQ(madvise(p, PAGE, MADV_FREE), 0);
	TELL(fd, TFO_DRAIN);
	CHECK_EQ(madvise(p, PAGE, MADV_PAGEOUT), 0);
	CHECK_EQ(p[0], 0);
	CHECK_EQ(stats(fd).freed[0], 1);
	munmap(p, PAGE);
	CHECK_EQ(stats(fd).freed[0], 0);
	return 0;
}

static int test_H_E4_owner_follows_content(void)
{
	int fd = device();
	char *p = anonymous(PAGE);
	struct tfo_args before, after;
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p)).result, 0);
	before = TELL(fd, TFO_OWNED, ADDR(p));
	CHECK_EQ(TELL(fd, TFO_MOVE, ADDR(p), .mode = SYNC).result, 0);
	after = TELL(fd, TFO_OWNED, ADDR(p));
	CHECK(before.pfn != after.pfn);
	CHECK_EQ(after.value, 1);
	CHECK_EQ(p[7], 0x5a);
	s = stats(fd);
	CHECK_EQ(s.followed, 1);
	CHECK_EQ(s.freed[0], 0);
	CHECK_EQ(s.freed[1], 1);
	munmap(p, PAGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.freed[1], 0);
	return 0;
}

static int test_H_E4_owned_frame_stays(void)
{
	int fd = device();
	char *p = anonymous(PAGE);
	struct tfo_args before, a;
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p), .flags = TFO_FRAME).result, 0);
	before = TELL(fd, TFO_OWNED, ADDR(p));
	a = TELL(fd, TFO_MOVE, ADDR(p), .mode = SYNC);
	CHECK_EQ(a.result, 1);
	CHECK_EQ(a.dst_taken, a.dst_returned);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).pfn, before.pfn);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).value, 1);
	munmap(p, PAGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.followed, 0);
	return 0;
}

static int test_H_E4_failed_migration_leaves_owner(void)
{
	int fd = owned_object(1);
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, .index = 0).result, 0);
	TELL(fd, TFO_BEHAVE, .value = TFO_AGAIN);
	CHECK_EQ(migrate(fd, 1, SYNC).moved, 0);
	CHECK_EQ(TELL(fd, TFO_OWNED, .index = 0).value, 1);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	/* Both owners of the same page take part. */
	CHECK_EQ(migrate(fd, 1, SYNC).moved, 1);
	CHECK_EQ(TELL(fd, TFO_OWNED, .index = 0).value, 1);
	s = stats(fd);
	CHECK_EQ(s.followed, 1);
	CHECK_EQ(s.freed[1], 1);
	TELL(fd, TFO_UNPIN, .count = 1);
	TELL(fd, TFO_TRUNCATE, .count = 1);
	CHECK_EQ(stats(fd).freed[0], 1);
	return 0;
}

static int test_H_E6_parts_keep_owner(void)
{
	int fd = device(), i, owned = 0;
	char *p = anonymous(HUGE);
	struct tfo_args a;
	struct tfo_stats s;

	a = TELL(fd, TFO_OWN, ADDR(p));
	if (a.count != 512)
		return SKIP;
	CHECK_EQ(a.result, 0);
	CHECK_EQ(TELL(fd, TFO_SPLIT, ADDR(p)).result, 0);
	for (i = 0; i < 512; i++) {
		a = TELL(fd, TFO_OWNED, ADDR(p + i * PAGE));
		owned += a.value && a.count == 1;
	}
	CHECK_EQ(owned, 512);
	/* Each part is on its own from here on. */
	CHECK_EQ(TELL(fd, TFO_DISOWN, ADDR(p + 9 * PAGE)).result, 0);
	munmap(p, HUGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 511);
	CHECK_EQ(s.freed_pages, 511);
	return 0;
}

static int test_H_E6_large_folio_moves_whole(void)
{
	int fd = device();
	char *p = anonymous(HUGE);
	struct tfo_stats s;
	struct tfo_args a;

	a = TELL(fd, TFO_OWN, ADDR(p));
	if (a.count != 512)
		return SKIP;
	CHECK_EQ(a.result, 0);
	CHECK_EQ(TELL(fd, TFO_MOVE, ADDR(p), .mode = SYNC).moved, 512);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).value, 1);
	munmap(p, HUGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.freed[1], 1);
	CHECK_EQ(s.freed_pages, 1024);
	return 0;
}

static int test_H_E8_owner_goes_first(void)
{
	int fd = device(), other;
	char *p = anonymous(16 * PAGE);
	struct tfo_args a;
	int i;

	for (i = 0; i < 16; i++)
		CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p + i * PAGE)).result, 0);
	close_devices();
	other = device();
	for (i = 0; i < 16; i++) {
		CHECK_EQ(TELL(other, TFO_OWNED, ADDR(p + i * PAGE)).value, 0);
		CHECK_EQ(p[i * PAGE], 0x5a);
	}
	/* Free for another owner. */
	a = TELL(other, TFO_OWN, ADDR(p));
	CHECK_EQ(a.result, 0);
	munmap(p, 16 * PAGE);
	CHECK_EQ(stats(other).freed[0], 1);
	return 0;
}

#define TEST(name) { #name, name }

static const struct {
	const char *name;
	int (*run)(void);
} tests[] = {
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
	TEST(test_E3_page_cache_keeps_owner),
	TEST(test_E7_survives_mapping_and_use),
	TEST(test_H_E3_reclaim_asks_the_owner),
	TEST(test_H_E4_owner_follows_content),
	TEST(test_H_E4_owned_frame_stays),
	TEST(test_H_E4_failed_migration_leaves_owner),
	TEST(test_H_E6_parts_keep_owner),
	TEST(test_H_E6_large_folio_moves_whole),
	TEST(test_H_E8_owner_goes_first),
};

#define NR_TESTS (sizeof(tests) / sizeof(*tests))

static int run(int (*test)(void))
{
	return setjmp(failed_at) ? 1 : test();
}

int main(int argc, char **argv)
{
	bool control = argc > 1 && !strcmp(argv[1], "--control");
	const char *only = argc > 1 && !control ? argv[1] : NULL;
	unsigned int i, n = 0, failed = 0;
	bool hooks;

	setvbuf(stdout, NULL, _IOLBF, 0);
	hooks = TELL(object(1), TFO_REGISTER).result != -EOPNOTSUPP;
	close_devices();

	printf("TAP version 13\n1..%zu\n", only ? 1 : NR_TESTS);
	for (i = 0; i < NR_TESTS; i++) {
		int rc;

		if (only && strcmp(only, tests[i].name))
			continue;
		n++;
		if (!hooks && !control) {
			printf("ok %u %s # SKIP no owners in this kernel\n", n,
			       tests[i].name);
			continue;
		}
		why[0] = 0;
		rc = run(tests[i].run);
		if (rc == SKIP) {
			printf("ok %u %s # SKIP no huge page\n", n, tests[i].name);
		} else if (control) {
			printf("%s %u control: %s fails here\n",
			       rc ? "ok" : "not ok", n, tests[i].name);
			failed += !rc;
		} else {
			printf("%s %u %s\n", rc ? "not ok" : "ok", n, tests[i].name);
			failed += !!rc;
		}
		if (why[0])
			printf("# %s\n", why);
		close_devices();
	}
	return failed || (only && !n);
}

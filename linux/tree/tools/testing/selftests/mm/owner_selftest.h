/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests of owners share: checks, the devices of a test, main().
 *
 * A test is a function that returns 0 or SKIP (and says in why[] what is
 * missing, if it is not a huge page) and leaves at the first CHECK that does not
 * hold. It is named after the requirement that it checks. What
 * needs a hook of ours is skipped on a kernel without; with --control it is run
 * there all the same, and reported good if it fails: that shows that it can.
 * What is marked KERNEL is about the kernel as it is and must pass on both.
 */
#ifndef _OWNER_SELFTEST_H
#define _OWNER_SELFTEST_H

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

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE	4096UL
#define HUGE	(512 * PAGE)
#define SKIP	77

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

enum { ASYNC, SYNC_LIGHT, SYNC };

static char why[160];

static jmp_buf failed_at;

static inline void check(bool good, int line, const char *what)
{
	if (good)
		return;
	snprintf(why, sizeof(why), "line %d: %s", line, what);
	longjmp(failed_at, 1);
}

static inline void check_equal(long a, long b, int line, const char *what)
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

/* What the running test has opened; closed when it ends. */
static int opened[16];
static int nr_opened;

static inline int open_device(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	opened[nr_opened++] = fd;
	return fd;
}

static inline void close_devices(void)
{
	while (nr_opened)
		close(opened[--nr_opened]);
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			perror(path);
		close(fd);
	}
}

/* A counter of /proc/vmstat; -1 if there is none of that name. */
static inline long read_vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char word[80];
	long value, found = -1;

	if (!f)
		return -1;
	while (fscanf(f, "%79s %ld", word, &value) == 2)
		if (!strcmp(word, name))
			found = value;
	fclose(f);
	return found;
}

/* One command; if it says an errno, that is in .result. */
#define DO(fd, cmd, type, ...) ({					\
	struct type args_ = { __VA_ARGS__ };				\
	if (ioctl(fd, cmd, &args_) < 0)					\
		args_.result = -errno;					\
	args_; })

struct test {
	const char *name;
	int (*run)(void);
	bool kernel;		/* about the kernel as it is */
};

/* A table of them ends with an empty one. */
#define TEST(name) { #name, name, false }
#define KERNEL(name) { #name, name, true }

static inline int run_test(int (*test)(void))
{
	return setjmp(failed_at) ? 1 : test();
}

/* @hooks: the kernel has what the tests are about. */
static inline int run_tests(int argc, char **argv, const struct test *tests,
			    bool hooks)
{
	bool control = argc > 1 && !strcmp(argv[1], "--control");
	const char *only = argc > 1 && !control ? argv[1] : NULL;
	unsigned int i, n = 0, nr = 0, failed = 0;

	while (tests[nr].name)
		nr++;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%u\n", only ? 1 : nr);
	for (i = 0; i < nr; i++) {
		bool fails = control && !tests[i].kernel;
		int rc;

		if (only && strcmp(only, tests[i].name))
			continue;
		n++;
		if (!hooks && !control && !tests[i].kernel) {
			printf("ok %u %s # SKIP not in this kernel\n", n,
			       tests[i].name);
			continue;
		}
		why[0] = 0;
		rc = run_test(tests[i].run);
		if (rc == SKIP) {
			printf("ok %u %s # SKIP %s\n", n, tests[i].name,
			       why[0] ? why : "no huge page");
			why[0] = 0;
		} else if (fails) {
			printf("%s %u control: %s fails here\n",
			       rc ? "ok" : "not ok", n, tests[i].name);
			failed += !rc;
		} else {
			printf("%s %u %s%s\n", rc ? "not ok" : "ok", n,
			       control ? "vanilla: " : "", tests[i].name);
			failed += !!rc;
		}
		if (why[0])
			printf("# %s\n", why);
		close_devices();
	}
	return failed || (only && !n);
}

#endif /* _OWNER_SELFTEST_H */

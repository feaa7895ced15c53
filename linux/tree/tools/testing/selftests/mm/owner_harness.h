/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of owners share: checks that end a test, and a runner that prints
 * TAP. With --control a test is reported good if it fails: that shows, on a
 * kernel without the hooks, that it can. A name as argument runs that test only.
 */
#ifndef _MM_OWNER_HARNESS_H
#define _MM_OWNER_HARNESS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define OWNER_SKIP	77

struct owner_test {
	const char *name;
	int (*run)(void);
};

#define TEST(name) { #name, name }

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

/* A test ends with the first of these that does not hold. Main thread only. */
#define CHECK(what)	check(what, __LINE__, #what)
#define CHECK_EQ(a, b)	check_equal(a, b, __LINE__, #a)

static inline int run_one(int (*run)(void))
{
	return setjmp(failed_at) ? 1 : run();
}

/*
 * @hooks: whether the kernel has what is tested; else all is skipped, unless
 * --control. @after cleans up behind each test, however it ended.
 */
static inline int run_tests(const struct owner_test *tests, unsigned int nr,
			    int argc, char **argv, bool hooks,
			    void (*after)(void))
{
	bool control = argc > 1 && !strcmp(argv[1], "--control");
	const char *only = argc > 1 && !control ? argv[1] : NULL;
	unsigned int i, n = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%u\n", only ? 1 : nr);
	for (i = 0; i < nr; i++) {
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
		rc = run_one(tests[i].run);
		after();
		if (rc == OWNER_SKIP) {
			printf("ok %u %s # SKIP\n", n, tests[i].name);
		} else if (control) {
			printf("%s %u control: %s fails here\n",
			       rc ? "ok" : "not ok", n, tests[i].name);
			failed += !rc;
		} else {
			printf("%s %u %s\n", rc ? "not ok" : "ok", n,
			       tests[i].name);
			failed += !!rc;
		}
		if (why[0])
			printf("# %s\n", why);
	}
	return failed || (only && !n);
}

#endif /* _MM_OWNER_HARNESS_H */

/* SPDX-License-Identifier: MIT */
/*
 * test_memory.c: how much memory a squeeze takes there to be, in made-up /proc and /sys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "squeeze/memory.h"

static char folder[64];

/* Writes a file, and the folders that it is in. */
static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	for (char *c = strchr(path + strlen(folder) + 1, '/'); c; c = strchr(c + 1, '/')) {
		*c = '\0';
		mkdir(path, 0700);
		*c = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int make(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test-memory-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	put("/proc/meminfo", "MemTotal: 99 kB\nMemAvailable:    1000 kB\nBuffers: 3 kB\n");
	return 0;
}

static int clear(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void nothing_says(void **state)
{
	(void)state;
	assert_true(memory_available("/nonexistent") == UINT64_MAX);
	assert_true(memory_available("") > 1 << 20);
}

static void the_machine(void **state)
{
	(void)state;
	assert_int_equal(memory_available(folder), 1000 << 10);
	put("/proc/self/cgroup", "0::/\n");
	assert_int_equal(memory_available(folder), 1000 << 10);
}

/* Version 2: the least on the way up, "max" being none. */
static void nested_groups(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "1:name=x:/a\n0::/user.slice/run.scope\n");
	put("/sys/fs/cgroup/user.slice/run.scope/memory.max", "max\n");
	put("/sys/fs/cgroup/user.slice/memory.max", "500000\n");
	assert_int_equal(memory_available(folder), 500000);
	put("/sys/fs/cgroup/memory.max", "400000\n");
	assert_int_equal(memory_available(folder), 400000);
	put("/sys/fs/cgroup/user.slice/run.scope/memory.max", "300000\n");
	assert_int_equal(memory_available(folder), 300000);
}

/* Version 1, in a container that sees the limit at the root only. */
static void old_groups(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "9:cpu:/b\n4:memory:/docker/1f\n0::/\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(memory_available(folder), 1000 << 10);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "600000\n");
	assert_int_equal(memory_available(folder), 600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_says, make, clear),
		cmocka_unit_test_setup_teardown(the_machine, make, clear),
		cmocka_unit_test_setup_teardown(nested_groups, make, clear),
		cmocka_unit_test_setup_teardown(old_groups, make, clear),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_replay.c: quire replay, on traces that are made here.
 *
 * usage: test_replay QUIRE
 */
#include "command.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define PAGES 16384u /* of the made-up machine */

/*
 * Pages come and go at random for a while, from order 0 to 3, some of them unmovable; then four of
 * five go. Where Linux would have put them does not matter: they are everywhere.
 */
static size_t make_trace(char *text, size_t size, unsigned events, long long *live)
{
	static unsigned char order_at[PAGES + 1]; /* 1 + order, at the first page */
	static bool used[PAGES];
	uint64_t x = 1;
	size_t n = 0;

	memset(order_at, 0, sizeof(order_at));
	memset(used, 0, sizeof(used));
	for (unsigned i = 0; i < events + PAGES; i++) {
		bool ending = i >= events, any = false;
		unsigned order, at;

		x = x * 6364136223846793005u + 1442695040888963407u;
		order = x >> 62 ? 0 : (unsigned)(x >> 60 & 3);
		at = ending ? i - events : (unsigned)(x >> 33) % PAGES >> order << order;
		if (order_at[at] && (!ending || (x >> 40) % 5)) {
			order = order_at[at] - 1u;
			n += (size_t)snprintf(text + n, size - n, "%u.%06u f %x %u 1\n", i >> 10,
					      i % 1000, at + 0x1000, order);
			order_at[at] = 0;
			memset(used + at, 0, 1u << order);
			*live -= 1u << order;
			continue;
		}
		if (ending)
			continue;
		for (unsigned k = at; k < at + (1u << order); k++)
			any |= used[k];
		if (any)
			continue;
		n += (size_t)snprintf(text + n, size - n, "%u.%06u a %x %u %u\n", i >> 10, i % 1000,
				      at + 0x1000, order, (x >> 50) % 50 ? 1 : 0);
		order_at[at] = (unsigned char)(order + 1);
		memset(used + at, 1, 1u << order);
		*live += 1u << order;
		assert_true(n + 64 < size);
	}
	return n;
}

static long long live_pages;

static int make_files(void **state)
{
	size_t size = 4 << 20, n, packed;
	char *text = malloc(size), *data = malloc(ZSTD_compressBound(size));

	(void)state;
	assert_non_null(text);
	assert_non_null(data);
	folder_make();
	n = make_trace(text, size, 40000, &live_pages);
	spit(path("made.trace"), text, n);
	packed = ZSTD_compress(data, ZSTD_compressBound(size), text, n, 3);
	spit(path("made.trace.zst"), data, packed);
	spit(path("torn.zst"), data, packed / 2);
	spit(path("wrong"), "0 a 1 0 0\n0 a 2 zero 0\n", 23);
	/* one page in each of three blocks; then a page of each kind in one */
	spit(path("three"),
	     "0 a 200 0 1\n1 a 400 0 1\n2 a 600 0 1\n3 a 800 0 0\n4 a 801 0 1\n5 a 802 0 2\n", 72);
	/* freed twice, allocated twice, freed in parts, backwards, and above order 9 */
	spit(path("odd"),
	     "9 a 10 2 1\n8 f 99 0 0\n9 a 12 0 1\n9 a 20 1 1\n9 f 21 0 1\n9 a 400 10 0\n", 68);
	free(text);
	free(data);
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = { "made.trace", "made.trace.zst", "torn.zst",
					     "wrong",	   "three",	     "odd" };

	(void)state;
	return folder_remove(names, sizeof(names) / sizeof(names[0]));
}

static json_t *replayed(const char *arguments, const char *file)
{
	struct outcome o = run("replay --json %s %s", arguments, path(file));
	json_t *all = json_loads(o.out, JSON_REJECT_DUPLICATES, NULL);

	if (o.status)
		print_error("%s: %s%s", arguments, o.out, o.err);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	assert_non_null(all);
	assert_string_equal(json_string_value(get(all, "schema")), "quire-replay-1");
	assert_string_equal(json_string_value(get(all, "verdict")), "PASS");
	assert_int_equal(whole(all, "pages_wrong"), 0);
	done(&o);
	return all;
}

static void test_replay_counts_what_linux_had(void **state)
{
	json_t *all = replayed("", "three"), *part;

	(void)state;
	part = get(all, "trace");
	assert_int_equal(whole(part, "lines"), 6);
	assert_int_equal(whole(part, "allocations"), 6);
	assert_int_equal(whole(part, "frees"), 0);
	assert_int_equal(whole(part, "live_bytes"), 6 * 4096);
	assert_true(real(part, "seconds") == 5);
	part = get(all, "linux");
	assert_int_equal(whole(part, "blocks"), 4);
	assert_int_equal(whole(part, "blocks_unmovable"), 1);
	assert_int_equal(whole(part, "blocks_most"), 4);
	/* six pages need no four blocks: one, and one for what stays */
	part = get(all, "quire");
	assert_int_equal(whole(part, "blocks"), 2);
	assert_int_equal(whole(part, "blocks_unmovable"), 1);
	part = get(all, "squeezed");
	assert_int_equal(whole(part, "blocks"), whole(part, "blocks_possible"));
	assert_int_equal(whole(part, "blocks"), 1);
	assert_int_equal(whole(part, "bytes_moved"), 5 * 4096);
	assert_int_equal(whole(all, "pages_compared"), 6);
	json_decref(all);
}

static void test_replay_and_squeeze(void **state)
{
	static const char *const arguments[] = { "", "--every 5000 --seed 7" };
	static const char *const files[] = { "made.trace.zst", "made.trace" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		json_t *all = replayed(arguments[i], files[i]), *part = get(all, "trace");
		long long least = (live_pages + 511) / 512, blocks;

		assert_int_equal(whole(part, "live_bytes"), live_pages * 4096);
		assert_string_equal(json_string_value(get(part, "name")),
				    i ? "made.trace" : "made");
		assert_int_equal(whole(get(all, "linux"), "blocks"), PAGES / 512);
		part = get(all, "squeezed");
		blocks = whole(part, "blocks");
		assert_true(blocks >= least);
		assert_true(blocks <= whole(get(all, "quire"), "blocks"));
		assert_int_equal(blocks, whole(part, "blocks_possible"));
		assert_true(whole(part, "blocks_unmovable") <= blocks);
		part = get(all, "quire");
		assert_int_equal(whole(part, "refused"), 0);
		assert_int_equal(whole(part, "plans") > 0, i);
		assert_int_equal(whole(part, "bytes_moved") > 0, i);
		assert_true(whole(all, "pages_compared") > live_pages);
		json_decref(all);
	}
}

/* The table, and the line of each thing that is odd. */
static void test_replay_says_what_is_odd(void **state)
{
	static const char *const says[] = {
		"trace    odd: 5 allocations and 1 free in 0 us\n",
		"\nodd      1 frees of what was not in use: left out, first in line 2\n",
		("\nodd      1 allocations of what was in use: freed before, unseen, first in line "
		 "3\n"),
		"\nodd      1 frees of parts: freed with the last of them, first in line 5\n",
		"\nodd      1 times before the one above: taken as they come, first in line 2\n",
		"\nodd      1 allocations above order 9: as several of order 9, first in line 6\n",
		"\n2 MiB blocks in use  ",
		"\nwith unmovable pages  ",
		"\ncontent     1,031 pages compared, 0 of them wrong\n",
		"\nPASS        ",
	};
	struct outcome o = run("replay %s", path("odd"));

	(void)state;
	assert_int_equal(o.status, 0);
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		if (!strstr(o.out, says[i]))
			print_error("no '%s' in\n%s", says[i], o.out);
		assert_non_null(strstr(o.out, says[i]));
	}
	done(&o);
}

/* An arena that is too small is said, and is no PASS; nothing else goes wrong. */
static void test_replay_without_room(void **state)
{
	struct outcome o = run("replay --arena 4 %s", path("made.trace"));
	json_t *all;

	(void)state;
	assert_int_equal(o.status, 1);
	assert_non_null(strstr(o.out, " found no place\n"));
	assert_null(strstr(o.out, "PASS"));
	done(&o);
	o = run("replay --arena 4 --json %s", path("made.trace"));
	assert_int_equal(o.status, 1);
	all = json_loads(o.out, 0, NULL);
	assert_string_equal(json_string_value(get(all, "verdict")), "FAIL");
	assert_true(whole(get(all, "quire"), "refused") > 0);
	assert_true(whole(get(all, "quire"), "plans") > 0);
	assert_int_equal(whole(all, "pages_wrong"), 0);
	json_decref(all);
	done(&o);
}

static void test_replay_bad_input(void **state)
{
	static const char *const bad[] = {
		"",
		"''",
		"a b",
		"--every 0 x",
		"--every -1 x",
		"--every x x",
		"--arena 1 x",
		"--arena 99999999 x",
		"--seed x x",
		"--nope x",
		"--json=1 x",
		"/nonexistent/trace",
		"/",
	};
	static const char *const files[] = { "torn.zst", "wrong" };
	struct outcome o;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o = run("replay %s", bad[i]);
		if (o.status != 2 || lines(o.err) != 1 || *o.out)
			print_error("%s: exit %d, '%s' '%s'\n", bad[i], o.status, o.err, o.out);
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_string_equal(o.out, "");
		done(&o);
	}
	for (size_t i = 0; i < 2; i++) {
		o = run("replay %s", path(files[i]));
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_non_null(strstr(o.err, files[i]));
		done(&o);
	}
	o = run("replay --help");
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "--every"));
	done(&o);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay_counts_what_linux_had),
		cmocka_unit_test(test_replay_and_squeeze),
		cmocka_unit_test(test_replay_says_what_is_odd),
		cmocka_unit_test(test_replay_without_room),
		cmocka_unit_test(test_replay_bad_input),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s QUIRE\n", argv[0]);
		return 2;
	}
	command = argv[1];
	return cmocka_run_group_tests(tests, make_files, remove_files);
}

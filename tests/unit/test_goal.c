/* SPDX-License-Identifier: MIT */
/*
 * test_goal.c: quire squeeze --want, --drain and --shrink PCT, on layouts whose answer is known
 * without a program: block b of eight holds 10 * (b + 1) single pages.
 *
 * usage: test_goal QUIRE
 */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCKS 8u

static int make_files(void **state)
{
	char text[16384];
	size_t n = 0;

	(void)state;
	folder_make();
	assert_int_equal(chmod(path(""), 0755), 0);
	for (unsigned b = 0; b < BLOCKS; b++)
		for (unsigned i = 0; i < 10 * (b + 1); i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%x 0 1\n",
					      (b + 5) * 512 + i * 3);
	spit(path("steps"), text, n);
	/* 100 blocks of one page each, so that a share of them is a number */
	n = 0;
	for (unsigned b = 0; b < 100; b++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%x 0 1\n", b * 512 + b);
	spit(path("hundred"), text, n);
	/* order 9 twice, and a page: nothing of order 9 finds a place but in the one free block */
	spit(path("large"), "0 9 1\n200 9 1\n400 0 1\n", 21);
	n = make_layout(text, sizeof(text), 16);
	spit(path("mixed"), text, n);
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = { "steps", "hundred", "large", "mixed" };

	(void)state;
	return folder_remove(names, sizeof(names) / sizeof(names[0]));
}

static json_t *squeezed(const char *arguments, const char *layout)
{
	struct outcome o =
		run("squeeze --json --refuse 0 --pins 0 %s --layout %s", arguments, path(layout));
	json_t *all = json_loads(o.out, JSON_REJECT_DUPLICATES, NULL);

	if (o.status)
		print_error("%s: %s%s", arguments, o.out, o.err);
	assert_int_equal(o.status, 0);
	assert_non_null(all);
	done(&o);
	return all;
}

static void expect(const char *arguments, const char *layout, long long runs, long long pages)
{
	json_t *all = squeezed(arguments, layout);
	json_t *quire = get(all, "quire"), *possible = get(all, "possible");

	if (whole(quire, "runs") != runs || whole(quire, "bytes_moved") != pages * 4096)
		print_error("%s: %lld runs, %lld pages\n", arguments, whole(quire, "runs"),
			    whole(quire, "bytes_moved") / 4096);
	assert_int_equal(whole(quire, "runs"), runs);
	assert_int_equal(whole(quire, "bytes_moved"), pages * 4096);
	assert_int_equal(whole(possible, "runs"), runs);
	assert_int_equal(whole(possible, "bytes_moved"), pages * 4096);
	json_decref(all);
}

static void test_goal_exactly_so_many_runs_at_the_fewest_bytes(void **state)
{
	(void)state;
	expect("--want 2M:1", "steps", 1, 10);
	expect("--want 2M:3", "steps", 3, 10 + 20 + 30);
	expect("--want 2MiB:3", "steps", 3, 60);
	expect("--want 2048K:3", "steps", 3, 60);
	/*
	 * What all of it comes to, also where more is asked for: the fullest block has room for the
	 * others, and the free one stays free.
	 */
	expect("--want all", "steps", 7, 280);
	expect("--want 2M:all", "steps", 7, 280);
	expect("--want 2M:1000000", "steps", 7, 280);
}

static void test_goal_longer_runs(void **state)
{
	(void)state;
	expect("--want 4M:1", "steps", 1, 10 + 20);
	expect("--want 4M:2", "steps", 2, 10 + 20 + 30 + 40);
	expect("--want 8M:1", "steps", 1, 10 + 20 + 30 + 40);
	/* block 8 is alone in its window, which is no run: it stays, as a place */
	expect("--want 8M:all", "steps", 2, 360);
	expect("--want 16M:all", "steps", 1, 360);
	expect("--want 0032M:all", "hundred", 6, 96);
	expect("--want 128M:1", "hundred", 1, 64);
	/* an incomplete window at the end is none */
	expect("--want 128M:all", "hundred", 1, 64);
}

static void test_goal_range(void **state)
{
	(void)state;
	expect("--drain 1536..2560", "steps", 2, 40 + 50);
	expect("--drain 6M..10M", "steps", 2, 40 + 50);
	expect("--drain 6MiB..10240K", "steps", 2, 40 + 50);
	expect("--drain 37.5%..62.5%", "steps", 2, 40 + 50);
	expect("--drain 1536..10M", "steps", 2, 40 + 50);
	expect("--drain 0..512", "steps", 1, 10);
	/* with the free block at the end, which does not count as drained */
	expect("--drain 14M..18M", "steps", 1, 80);
	expect("--drain 16M..18M", "steps", 0, 0);
	/* all that there is finds its place in the one block outside */
	expect("--drain 0%..100%", "steps", 8, 360);
}

/* What does not fit elsewhere stays, and the table says so. */
static void test_goal_range_without_a_place(void **state)
{
	struct outcome o;
	json_t *all;

	(void)state;
	expect("--drain 0..1024", "large", 1, 512);
	all = squeezed("--drain 0..1024", "large");
	assert_int_equal(whole(get(all, "quire"), "no_place"), 1);
	json_decref(all);
	o = run("squeeze --refuse 0 --pins 0 --drain 0..1024 --layout %s", path("large"));
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "\ngoal     blocks 0 to 1 empty\n"));
	assert_non_null(strstr(o.out, "\n2 MiB blocks drained "));
	assert_non_null(strstr(o.out, "\nno place    for what lives in 1 of them\n"));
	done(&o);
}

/* A blocker outside of the range is not in its way; one inside keeps its block. */
static void test_goal_range_names_who_is_in_it(void **state)
{
	struct outcome o =
		run("squeeze --json --refuse 10 --drain 0%%..50%% --layout %s", path("mixed"));
	json_t *all = json_loads(o.out, 0, NULL);
	long long named, refusing;

	(void)state;
	assert_int_equal(o.status, 0);
	named = whole(get(all, "reasons"), "pinned long");
	refusing = whole(all, "refusing");
	assert_true(named > 0 && named < refusing);
	json_decref(all);
	done(&o);
}

static void test_goal_share_is_given_back(void **state)
{
	json_t *all;

	(void)state;
	expect("--shrink 25", "steps", 2, 10 + 20);
	expect("--shrink=25", "steps", 2, 10 + 20);
	expect("-k25", "steps", 2, 10 + 20);
	expect("--shrink 25.1", "steps", 3, 10 + 20 + 30);
	expect("--shrink 7", "hundred", 7, 7);
	expect("--shrink 100", "steps", 7, 280);
	expect("--shrink --want 2M:2", "steps", 2, 10 + 20);
	all = squeezed("--shrink 25", "steps");
	/* the 30 pages that moved are in memory at their new places, and no longer at the old */
	assert_true(whole(get(all, "shrunk"), "given_back_bytes") >= 30 * 4096);
	assert_int_equal(whole(get(all, "goal"), "wanted"), 2);
	json_decref(all);
	all = squeezed("--shrink", "steps");
	assert_int_equal(whole(get(all, "quire"), "runs"), 7);
	assert_true(json_is_null(get(get(all, "goal"), "wanted")));
	json_decref(all);
}

/* Under faults, owners who refuse and pages that stay: nothing more could be had than was. */
static void test_goal_holds_under_refusals(void **state)
{
	static const char *const goals[] = { "--want 2M:5", "--want 4M:all", "--drain 10%..60%",
					     "--shrink 30" };

	(void)state;
	for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]); i++) {
		for (unsigned seed = 0; seed < 3; seed++) {
			struct outcome o = run("squeeze --seed %u --pins 10 --refuse 1 %s "
					       "--layout %s",
					       seed, goals[i], path("mixed"));

			if (o.status)
				print_error("%s, seed %u: %s%s", goals[i], seed, o.out, o.err);
			assert_int_equal(o.status, 0);
			done(&o);
		}
	}
}

static void test_goal_bad_input(void **state)
{
	static const char *const bad[] = {
		"--want ''",
		"--want 2M",
		"--want 2M:",
		"--want 2M:0",
		"--want 2M:-1",
		"--want 2M:1.5",
		"--want 2M:all2",
		"--want 512:1",
		"--want 1M:1",
		"--want 3M:1",
		"--want 2G:1",
		"--want 1T:1",
		"--want 99999999999999999999G:1",
		"--want 4503599627370497K:1",
		"--want 1G:1", /* there is no such run */
		"--drain ''",
		"--drain 5",
		"--drain 0..",
		"--drain ..512",
		"--drain 0..511",
		"--drain 0...512",
		"--drain 0..512..1024",
		"--drain 512..512",
		"--drain 1024..512",
		"--drain 1M..4M",
		"--drain 0..18014398509481984T",
		"--drain 0..99999999999999999999",
		"--drain 0..20M", /* the arena has 18 */
		"--drain 10%..20%%",
		"--drain 10%..101%",
		"--drain 10%..11%", /* no whole block */
		"--drain -5%..50%",
		"--drain 0x0..0x200",
		"--drain nan%..50%",
		"--shrink 0",
		"--shrink 101",
		"--shrink x",
		"--shrink ''",
		"--shrink=",
		"--shrink -5",
		"--shrink 5 --want all",
		"--want all --drain 0..512",
		"--drain 0..512 --shrink 5",
		"--kernel --want all",
		"--drain 0..512 --kernel",
		"--kernel=1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome o = run("squeeze %s --layout %s", bad[i], path("steps"));

		if (o.status != 2 || lines(o.err) != 1 || *o.out)
			print_error("quire squeeze %s: exit %d, said '%s' and '%s'\n", bad[i],
				    o.status, o.err, o.out);
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_string_equal(o.out, "");
		done(&o);
	}
}

/* In the child: whoever may read the program, and no more. */
static void nobody(void)
{
	if (chdir("/") || setgid(65534) || setuid(65534))
		_exit(77);
}

/* Without root Linux is not asked: one line says why, and all else is as ever. */
static void test_goal_kernel_without_root(void **state)
{
	struct outcome o;
	json_t *all, *part;

	(void)state;
	command_in_child = nobody;
	o = run("squeeze --json --kernel --refuse 0 --pins 0 --layout %s", path("steps"));
	command_in_child = NULL;
	if (o.status == 77 || o.status == 99) {
		done(&o);
		skip(); /* the program cannot be read by others */
	}
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	all = json_loads(o.out, 0, NULL);
	assert_non_null(all);
	part = get(all, "linux");
	assert_true(json_is_null(get(part, "runs")));
	assert_non_null(strstr(json_string_value(get(part, "why_not")),
			       "nr_hugepages: Permission denied; it takes root"));
	assert_int_equal(whole(get(all, "quire"), "runs"), 7);
	json_decref(all);
	done(&o);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goal_exactly_so_many_runs_at_the_fewest_bytes),
		cmocka_unit_test(test_goal_longer_runs),
		cmocka_unit_test(test_goal_range),
		cmocka_unit_test(test_goal_range_without_a_place),
		cmocka_unit_test(test_goal_range_names_who_is_in_it),
		cmocka_unit_test(test_goal_share_is_given_back),
		cmocka_unit_test(test_goal_holds_under_refusals),
		cmocka_unit_test(test_goal_bad_input),
		cmocka_unit_test(test_goal_kernel_without_root),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s QUIRE\n", argv[0]);
		return 2;
	}
	command = argv[1];
	return cmocka_run_group_tests(tests, make_files, remove_files);
}

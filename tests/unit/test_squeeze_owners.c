/* SPDX-License-Identifier: MIT */
/*
 * test_squeeze_owners.c: the owners in quire squeeze: who has which pages, what they do meanwhile,
 * and what is said where one has less than it would.
 *
 * usage: test_squeeze_owners QUIRE
 */
#include "command.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCKS 48u

static long long in_layout[3]; /* of each type */

static void count_types(const char *text)
{
	for (const char *end; (end = strchr(text, '\n')); text = end + 1)
		in_layout[end[-1] - '0']++;
}

static int make_files(void **state)
{
	size_t size = 1 << 21, n;
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	folder_make();
	n = make_layout(text, size, BLOCKS);
	spit(path("small.txt"), text, n);
	count_types(text);
	spit(path("full"), "200 9 1\n", 8);
	n = 0;
	for (unsigned b = 1; b <= 6; b++)
		for (unsigned i = 0; i < 512; i += 16)
			n += (size_t)snprintf(text + n, size - n, "%x 0 1\n", b * 512 + i);
	spit(path("thin"), text, n);
	free(text);
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = { "small.txt", "full", "thin" };

	(void)state;
	return folder_remove(names, sizeof(names) / sizeof(names[0]));
}

static void bad_lists(void **state)
{
	static const char *const bad[] = {
		"--owners ''",
		"--owners ,",
		"--owners gem,",
		"--owners ,gem",
		"--owners gem,,kv",
		"--owners gem,gem",
		"--owners kv,ring,kv",
		"--owners GEM",
		"--owners gems",
		"--owners ge",
		"--owners legacy",
		"--owners filler",
		"--owners gem kv",
		"--owners gem;kv",
		"--owners all",
		"--owners",
		"--owners kv --pins 1",
		"--pins 0.01 --owners kv",
		"--owners gem,kv,ring,x",
		"--owners gem:1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome o = run("squeeze %s", bad[i]);

		if (o.status != 2 || lines(o.err) != 1)
			print_error("%s: exit %d, said '%s'\n", bad[i], o.status, o.err);
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_string_equal(o.out, "");
		done(&o);
	}
}

/* Runs with --json, and must pass. */
static json_t *pass(const char *args)
{
	struct outcome o = run("squeeze --json %s --layout %s", args, path("small.txt"));
	json_t *all = json_loads(o.out, JSON_REJECT_DUPLICATES, NULL);

	if (o.status || !all)
		print_error("%s: exit %d, said %s%s\n", args, o.status, o.err, o.out);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	assert_non_null(all);
	done(&o);
	return all;
}

/* A number of one owner; -1: it is not there. */
static long long of_owner(json_t *all, const char *name, const char *key)
{
	json_t *each;
	size_t i;

	json_array_foreach(get(all, "owners"), i, each)
	{
		if (!strcmp(json_string_value(get(each, "name")), name))
			return whole(each, key);
	}
	return -1;
}

/* Each list of owners, and whose pages are whose. */
static void who_has_what(void **state)
{
	static const char *const lists[] = { "gem",    "ring",	  "kv",		"gem,ring",
					     "kv,gem", "ring,kv", "kv,ring,gem" };
	char args[64];

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		bool gem = strstr(lists[i], "gem"), ring = strstr(lists[i], "ring");
		bool kv = strstr(lists[i], "kv");
		long long folios, refusing;
		json_t *all;

		snprintf(args, sizeof(args), "--refuse 0.5 --owners %s", lists[i]);
		all = pass(args);
		folios = whole(get(all, "layout"), "folios");
		refusing = whole(all, "refusing");
		assert_int_equal(whole(all, "in_use"), gem || ring ? (folios * 2 + 50) / 100 : 0);
		assert_int_equal(of_owner(all, "gem", "folios") > 0, gem);
		assert_int_equal(of_owner(all, "ring", "folios") > 0, ring);
		assert_int_equal(of_owner(all, "kv", "folios") > 0, kv);
		assert_int_equal(of_owner(all, "filler", "folios") > 0, !kv);
		assert_int_equal(of_owner(all, "legacy", "folios"), refusing);
		assert_int_equal(json_is_null(get(all, "ring")), !ring);
		if (ring)
			assert_int_equal(of_owner(all, "ring", "folios"),
					 gem ? (whole(all, "in_use") + 3) / 4
					     : whole(all, "in_use"));
		json_decref(all);
	}
}

/* gem has what was unmovable, and a tenth of the movable. */
/* What is given back is gone from memory, by the kernel's count, and what lives is whole (PASS). */
static void shrunk(void **state)
{
	json_t *all = pass("--pins 5"), *s;

	(void)state;
	assert_true(json_is_null(get(all, "shrunk")));
	json_decref(all);
	all = pass("--pins 5 --shrink");
	s = get(all, "shrunk");
	assert_true(whole(get(all, "quire"), "bytes_moved") > 0);
	assert_true(whole(s, "given_back_bytes") >= whole(get(all, "quire"), "bytes_moved"));
	assert_int_equal(whole(s, "resident_before_bytes") - whole(s, "resident_after_bytes"),
			 whole(s, "given_back_bytes"));
	json_decref(all);
}

static void unmovable_pages(void **state)
{
	json_t *all = pass("--pins 0 --refuse 0");

	(void)state;
	assert_true(in_layout[0] > 0 && in_layout[1] > 0 && in_layout[2] > 0);
	assert_int_equal(of_owner(all, "gem", "folios"), in_layout[0] + (in_layout[1] + 9) / 10);
	assert_int_equal(of_owner(all, "kv", "folios"),
			 in_layout[1] - (in_layout[1] + 9) / 10 + in_layout[2]);
	assert_int_equal(of_owner(all, "ring", "folios"), -1);
	json_decref(all);
}

/* Jobs and I/Os go on while their pages move, whatever the seed. */
static void verified_on_the_move(void **state)
{
	char args[64];

	(void)state;
	for (unsigned seed = 0; seed < 4; seed++) {
		json_t *all, *load;

		snprintf(args, sizeof(args), "--pins 10 --refuse 0.5 --seed %u", seed);
		all = pass(args);
		load = get(all, "load");
		assert_true(of_owner(all, "gem", "moved") > 0);
		assert_true(of_owner(all, "ring", "moved") > 0);
		assert_true(whole(load, "overlapped_jobs") > 0);
		assert_true(whole(load, "overlapped_jobs") <= whole(load, "jobs"));
		assert_true(whole(load, "overlapped_io") > 0);
		assert_true(whole(load, "overlapped_io") <= whole(load, "io"));
		json_decref(all);
	}
}

/* Nothing of theirs has to move: that is said, and is no failure. */
static void nothing_of_theirs_moved(void **state)
{
	struct outcome o =
		run("squeeze --pins 100 --refuse 0 --owners gem --layout %s", path("full"));

	(void)state;
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "\njobs verified on the move              - none moved"));
	done(&o);
}

static void lockable(rlim_t bytes)
{
	const struct rlimit both = { bytes, bytes };

	if (setrlimit(RLIMIT_MEMLOCK, &both))
		_exit(98);
}

static void little_lockable(void)
{
	lockable(64 << 10);
}

static void nothing_lockable(void)
{
	lockable(0);
}

/* ring has as much as the limit allows, and the report says how much that is. */
static void memlock(void **state)
{
	struct outcome o;
	json_t *all;

	(void)state;
	command_in_child = little_lockable;
	all = pass("--pins 20 --refuse 0");
	assert_true(whole(get(all, "ring"), "registered_bytes") <= 64 << 10);
	assert_true(of_owner(all, "ring", "folios") > 0);
	assert_true(of_owner(all, "ring", "folios") <= 16);
	assert_true(whole(get(all, "ring"), "folios_wanted") > 16);
	assert_int_equal(whole(all, "in_use"), (whole(get(all, "layout"), "folios") + 2) / 5);
	json_decref(all);
	o = run("squeeze --pins 20 --refuse 0 --layout %s", path("small.txt"));
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "RLIMIT_MEMLOCK: not the "));
	done(&o);

	command_in_child = nothing_lockable;
	all = pass("--pins 20 --refuse 0");
	assert_int_equal(of_owner(all, "ring", "folios"), -1);
	assert_true(json_is_null(get(all, "ring")));
	json_decref(all);
	o = run("squeeze --pins 20 --refuse 0 --layout %s", path("small.txt"));
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, " ring: no pages, RLIMIT_MEMLOCK allows none\n"));
	done(&o);
	command_in_child = NULL;
}

static void few_files(void)
{
	const struct rlimit both = { 32, 32 };

	if (setrlimit(RLIMIT_NOFILE, &both))
		_exit(98);
}

/* However many threads there are, they do their I/O in one file. */
static void threads_share_a_file(void **state)
{
	(void)state;
	command_in_child = few_files;
	json_decref(pass("--load 64 --pins 10"));
	command_in_child = NULL;
}

/* The first page on the move may have an I/O at it that keeps everybody else out. */
static void accesses_besides_io(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 32; seed++) {
		struct outcome o = run("squeeze --owners ring --pins 60 --load 2 --seed %u "
				       "--layout %s",
				       seed, path("thin"));

		if (o.status)
			print_error("seed %u: %s%s", seed, o.out, o.err);
		assert_int_equal(o.status, 0);
		done(&o);
	}
}

static rlim_t threads_allowed;

/* A user who has no other threads, and reads the layout that is open already. */
static void few_threads(void)
{
	const struct rlimit both = { threads_allowed, threads_allowed };
	int fd = open(path("small.txt"), O_RDONLY);

	/* a search for leaks takes a thread of its own */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	if (fd < 0 || dup2(fd, 9) < 0 || setrlimit(RLIMIT_NPROC, &both) || setgid(61616) ||
	    /* another one each time: threads of the run before may still be on their way out */
	    setuid(61616 + (uid_t)threads_allowed))
		_exit(98);
}

/*
 * The kernel cancels an I/O that it finds no thread for. That may be a reason to fail, but no byte
 * is wrong for it.
 */
static void too_few_threads_for_io(void **state)
{
	struct outcome o;

	(void)state;
	if (COMMAND_TSAN) {
		print_message("# ThreadSanitizer takes threads of its own\n");
		skip();
	}
	threads_allowed = 64;
	command_in_child = few_threads;
	o = run("version");
	if (o.status) {
		command_in_child = NULL;
		done(&o);
		print_message("# only root can be another user, who can reach this folder\n");
		skip();
	}
	done(&o);
	for (threads_allowed = 1; threads_allowed <= 9; threads_allowed++) {
		o = run("squeeze --load 2 --pins 10 --layout /dev/fd/9");
		assert_in_range(o.status, 0, 2);
		if (o.status != 2)
			assert_non_null(strstr(o.out, ", 0 wrong bytes"));
		done(&o);
	}
	command_in_child = NULL;
}

#ifdef SYS_io_uring_setup
/* As in many containers. */
static void refuse_uring(void)
{
	static struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(98);
}

static void no_uring(void **state)
{
	struct outcome o;
	json_t *all;

	(void)state;
	command_in_child = refuse_uring;
	all = pass("--pins 10 --refuse 0");
	assert_true(json_is_false(get(get(all, "ring"), "io_uring")));
	assert_int_equal(whole(get(all, "ring"), "registered_bytes"), 0);
	assert_true(of_owner(all, "ring", "moved") > 0);
	assert_true(whole(get(all, "load"), "overlapped_io") > 0);
	json_decref(all);
	o = run("squeeze --pins 10 --refuse 0 --layout %s", path("small.txt"));
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "; threads: "));
	done(&o);
	command_in_child = NULL;
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_lists),
		cmocka_unit_test(who_has_what),
		cmocka_unit_test(shrunk),
		cmocka_unit_test(unmovable_pages),
		cmocka_unit_test(verified_on_the_move),
		cmocka_unit_test(nothing_of_theirs_moved),
		cmocka_unit_test(memlock),
		cmocka_unit_test(threads_share_a_file),
		cmocka_unit_test(accesses_besides_io),
		cmocka_unit_test(too_few_threads_for_io),
#ifdef SYS_io_uring_setup
		cmocka_unit_test(no_uring),
#endif
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s QUIRE\n", argv[0]);
		return 2;
	}
	command = argv[1];
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_files, remove_files);
}

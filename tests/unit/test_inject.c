/* SPDX-License-Identifier: MIT */
/*
 * test_inject.c: quire squeeze --inject: whatever fails, nothing is lost, and who stays is named
 * for what was done to it.
 *
 * usage: test_inject QUIRE QUIRE-POINTS
 */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 48u

static const char *installed, *points;

static int make_files(void **state)
{
	size_t size = 1 << 21, n;
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	folder_make();
	n = make_layout(text, size, BLOCKS);
	spit(path("small.txt"), text, n);
	spit(path("full"), "200 9 1\n", 8);
	free(text);
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = { "small.txt", "full" };

	(void)state;
	return folder_remove(names, sizeof(names) / sizeof(names[0]));
}

/* One clear line that names the word, nothing on stdout, exit 2. */
static void bad_words(void **state)
{
	static const struct {
		const char *list, *says;
	} bad[] = {
		{ "''", "empty word" },
		{ ",", "empty word" },
		{ "copy:1,", "empty word" },
		{ ",copy:1", "empty word" },
		{ "copy:1,,alloc:1", "empty word" },
		{ "copy", "copy wants a whole number" },
		{ "copy:", "copy wants a whole number" },
		{ "copy:0", "copy wants a whole number" },
		{ "copy:01", "copy wants a whole number" },
		{ "copy:-1", "copy wants a whole number" },
		{ "copy:+1", "copy wants a whole number" },
		{ "copy:1.5", "copy wants a whole number" },
		{ "copy:0x10", "copy wants a whole number" },
		{ "copy:4294967296", "copy wants a whole number" },
		{ "copy:99999999999999999999999", "copy wants a whole number" },
		{ "copy:5%", "copy wants a whole number" },
		{ "copy:1:2", "no 'copy:1:2'" },
		{ "Copy:1", "no 'Copy:1'" },
		{ "cop:1", "no 'cop:1'" },
		{ "copyy:1", "no 'copyy:1'" },
		{ "nothing", "no 'nothing'" },
		{ "alloc:x", "alloc wants a whole number" },
		{ "isolate:0", "isolate wants a percentage" },
		{ "isolate:100.1", "isolate wants a percentage above 0, up to 100" },
		{ "isolate:nan", "isolate wants a percentage" },
		{ "isolate:-3", "isolate wants a percentage" },
		{ "isolate:0x5", "isolate wants a percentage" },
		{ "isolate:", "isolate wants a percentage" },
		{ "isolate", "isolate wants a percentage" },
		{ "isolate:veto", "isolate:veto wants a percentage" },
		{ "isolate:veto:", "isolate:veto wants a percentage" },
		{ "isolate:veto:1e9", "isolate:veto wants a percentage" },
		{ "migrate:2", "no 'migrate:2'" },
		{ "migrate:eagain", "migrate:eagain wants a whole number" },
		{ "migrate:eagain:0", "migrate:eagain wants a whole number" },
		{ "migrate:busy:no", "migrate:busy wants a whole number" },
		{ "migrate:late:-1", "migrate:late wants a whole number" },
		{ "membarrier:on", "membarrier wants a whole number" },
		{ "membarrier:off,membarrier:off", "'membarrier:off' twice" },
		{ "membarrier:off,membarrier:9", "cannot fail barriers" },
		{ "copy:1,copy:1", "'copy' twice" },
		{ "isolate:5,alloc:7,isolate:6", "'isolate' twice" },
		{ "copy:1,alloc:1,nonsense:3", "no 'nonsense:3'" },
		{ "copy:1111111111111111111111111111111111111111111111111", "copy:1111111" },
		{ "copy:1\nalloc:1", "copy" },
	};
	struct outcome o;
	char *line;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o = run("squeeze --inject %s", bad[i].list);
		if (o.status != 2 || !strstr(o.err, bad[i].says))
			print_error("%s: exit %d, said '%s'\n", bad[i].list, o.status, o.err);
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_string_equal(o.out, "");
		assert_int_equal(strncmp(o.err, "quire squeeze: --inject ", 24), 0);
		assert_non_null(strstr(o.err, bad[i].says));
		assert_null(strstr(strstr(o.err, "--help") + 1, "--help"));
		done(&o);
	}
	line = malloc(400);
	assert_non_null(line);
	memset(line, 'x', 399);
	line[399] = '\0';
	o = run("squeeze --inject %s", line);
	assert_int_equal(o.status, 2);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, "shorter list"));
	done(&o);
	free(line);
}

/* The installed program says what it cannot do, and does the rest. */
static void without_fault_points(void **state)
{
	static const char *const cannot[] = { "copy:5", "alloc:5", "membarrier:5", "membarrier:off",
					      "isolate:5,copy:9" };
	struct outcome o;

	(void)state;
	command = installed;
	for (size_t i = 0; i < sizeof(cannot) / sizeof(cannot[0]); i++) {
		o = run("squeeze --inject %s --layout %s", cannot[i], path("small.txt"));
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_non_null(strstr(o.err, "fault points"));
		assert_string_equal(o.out, "");
		done(&o);
	}
	o = run("squeeze --inject isolate:30,migrate:eagain:1,migrate:late:3 --layout %s",
		path("small.txt"));
	if (o.status)
		print_error("%s%s", o.out, o.err);
	assert_int_equal(o.status, 0);
	done(&o);
	command = points;
}

/* The reasons for which folios may stay, besides the long pins of legacy. */
struct expected {
	const char *list;
	const char *reason; /* NULL: none may stay */
	bool exact;	    /* as many as the fault came due */
	bool all;	    /* all that was possible without it is freed */
};

static long long fired(json_t *all, const char *word)
{
	return whole(get(get(all, "injected"), "times"), word);
}

static long long count_reason(json_t *all, const char *reason)
{
	json_t *n = json_object_get(get(all, "reasons"), reason);

	return n ? json_integer_value(n) : 0;
}

static void nothing_is_lost(void **state)
{
	static const struct expected each[] = {
		{ "copy:1", "copying failed", true, false },
		{ "copy:7", "copying failed", true, false },
		{ "copy:200", "copying failed", true, false },
		{ "alloc:1", "no aligned place", false, false },
		{ "alloc:9", "no aligned place", false, false },
		{ "membarrier:1", "membarrier failed", false, false },
		{ "membarrier:8", "membarrier failed", false, false },
		{ "membarrier:off", NULL, false, true },
		{ "isolate:5", NULL, false, true },
		{ "isolate:100", NULL, false, true },
		{ "isolate:veto:2", "its owner refused", true, false },
		{ "isolate:veto:100", "its owner refused", true, false },
		{ "migrate:eagain:1", NULL, false, true },
		{ "migrate:eagain:3", NULL, false, true },
		{ "migrate:busy:1", "its owner is busy", false, false },
		{ "migrate:busy:3", "its owner is busy", false, false },
		{ "migrate:late:2", NULL, false, true },
	};
	char word[24];

	(void)state;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		const struct expected *e = &each[i];
		struct outcome o = run("squeeze --json --seed 3 --refuse 0.5 --inject %s "
				       "--layout %s",
				       e->list, path("small.txt"));
		json_t *all = json_loads(o.out, JSON_REJECT_DUPLICATES, NULL);
		long long pins, n;

		if (o.status || !all)
			print_error("%s: exit %d: %s%s\n", e->list, o.status, o.out, o.err);
		assert_int_equal(o.status, 0);
		assert_non_null(all);
		assert_string_equal(json_string_value(get(all, "verdict")), "PASS");
		assert_string_equal(json_string_value(get(get(all, "injected"), "asked")), e->list);
		assert_int_equal(whole(get(all, "load"), "wrong_bytes"), 0);
		pins = count_reason(all, "pinned long");
		n = e->reason ? count_reason(all, e->reason) : 0;
		assert_int_equal(json_object_size(get(all, "reasons")), (pins > 0) + (n > 0));
		assert_int_equal(pins, whole(all, "refusing"));
		assert_int_equal(whole(get(all, "quire"), "runs"),
				 whole(get(all, "injected"), "possible_runs"));
		if (e->all)
			assert_int_equal(whole(get(all, "quire"), "runs"),
					 whole(get(all, "possible"), "runs"));
		snprintf(word, sizeof(word), "%.*s", (int)(strrchr(e->list, ':') - e->list),
			 e->list);
		if (strcmp(e->list, "membarrier:off") != 0) {
			n = fired(all, word);
			assert_true(n > 0);
			if (e->reason)
				assert_true(count_reason(all, e->reason) > 0);
			if (e->exact)
				assert_int_equal(count_reason(all, e->reason), n);
		}
		json_decref(all);
		done(&o);
	}
}

/* Several at a time, and a seed chooses the same ones again. */
static void together(void **state)
{
	static const char list[] = "isolate:20,isolate:veto:1,migrate:eagain:1,migrate:late:5,"
				   "copy:900,alloc:400,membarrier:60";
	long long vetoed[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct outcome o = run("squeeze --json --seed %u --inject %s --layout %s", i / 2,
				       list, path("small.txt"));
		json_t *all = json_loads(o.out, 0, NULL);

		if (o.status)
			print_error("%s%s", o.out, o.err);
		assert_int_equal(o.status, 0);
		vetoed[i] = whole(get(all, "without_owners"), "bytes_moved");
		assert_int_equal(json_object_size(get(get(all, "injected"), "times")), 7);
		json_decref(all);
		done(&o);
	}
	assert_int_equal(vetoed[0], vetoed[1]);
	assert_int_not_equal(vetoed[0], vetoed[2]);
}

/* A fault that never came due was not tried, and that is no PASS. */
static void never_due(void **state)
{
	struct outcome o = run("squeeze --inject copy:4000000000 --layout %s", path("small.txt"));

	(void)state;
	assert_int_equal(o.status, 1);
	assert_non_null(strstr(o.out, "\nFAIL        copy never came due\n"));
	done(&o);
	/* where nothing has to move there is nothing to fail, and the line says so */
	o = run("squeeze --inject copy:1 --layout %s --pins 0 --refuse 0", path("full"));
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "\nPASS        no page had to move"));
	done(&o);
}

/* The lines for people. */
static void table(void **state)
{
	struct outcome o = run("squeeze --refuse 0.5 --inject copy:50,membarrier:off --layout %s",
			       path("small.txt"));

	(void)state;
	if (o.status)
		print_error("%s%s", o.out, o.err);
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "\ninjected    membarrier off, copy "));
	assert_non_null(strstr(o.out, "; with those that stay "));
	assert_non_null(strstr(o.out, "\nreasons     "));
	assert_non_null(strstr(o.out, " copying failed\n"));
	done(&o);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_words),	   cmocka_unit_test(without_fault_points),
		cmocka_unit_test(nothing_is_lost), cmocka_unit_test(together),
		cmocka_unit_test(never_due),	   cmocka_unit_test(table),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s QUIRE QUIRE-POINTS\n", argv[0]);
		return 2;
	}
	installed = argv[1];
	points = argv[2];
	command = points;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_files, remove_files);
}

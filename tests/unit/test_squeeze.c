/* SPDX-License-Identifier: MIT */
/*
 * test_squeeze.c: the quire command from outside: what it prints, and how it ends.
 *
 * usage: test_squeeze QUIRE
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <zstd.h>

#define BLOCKS 64u

static int make_files(void **state)
{
	size_t size = 1 << 23, n, packed;
	char *text = malloc(size), *data = malloc(ZSTD_compressBound(size));
	FILE *f;

	(void)state;
	assert_non_null(text);
	assert_non_null(data);
	folder_make();
	n = make_layout(text, size, BLOCKS);
	spit(path("small.txt"), text, n);
	packed = ZSTD_compress(data, ZSTD_compressBound(size), text, n, 3);
	spit(path("small.live.zst"), data, packed);
	spit(path("torn.zst"), data, packed / 2);
	n = make_layout(text, size, 8 * BLOCKS);
	spit(path("larger.txt"), text, n);
	spit(path("empty"), "", 0);
	spit(path("wrong"), "100 0 1\n100 zero 1\n", 20);
	spit(path("full"), "200 9 1\n", 8);
	spit(path("few"), "200 0 1\n400 0 1\n600 8 1\n", 24);
	f = fopen(path("huge"), "w");
	for (unsigned b = 1; f && b <= 400000; b++)
		fprintf(f, "%x 9 1\n", b * 512);
	assert_true(f && !fclose(f));
	free(text);
	free(data);
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = { "small.txt", "small.live.zst", "torn.zst",
					     "empty",	  "wrong",	    "full",
					     "huge",	  "larger.txt",	    "few" };

	(void)state;
	return folder_remove(names, sizeof(names) / sizeof(names[0]));
}

static void other_commands(void **state)
{
	struct outcome o;

	(void)state;
	o = run("version");
	assert_int_equal(o.status, 0);
	assert_int_equal(strncmp(o.out, "quire ", 6), 0);
	assert_int_equal(lines(o.out), 1);
	done(&o);
	o = run("help");
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "squeeze"));
	done(&o);
	o = run("squeeze --help");
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "--refuse"));
	done(&o);
}

/* One clear line on stderr, nothing on stdout, exit 2. */
static void bad_input(void **state)
{
	static const char *const bad[] = {
		"",
		"sqeeze",
		"''",
		"--nope",
		"version now",
		"squeeze --nope",
		"squeeze -x",
		"squeeze extra",
		"squeeze ''",
		"squeeze two\nlines",
		"squeeze --two\nlines",
		"squeeze --pins two\nlines",
		"two\nlines",
		"--two\nlines",
		"squeeze --pins",
		"squeeze --pins ''",
		"squeeze --pins nan",
		"squeeze --pins inf",
		"squeeze --pins -1",
		"squeeze --pins=-0",
		"squeeze --pins 100.5",
		"squeeze --pins 1e3",
		"squeeze --pins 2x",
		"squeeze --pins 0x2",
		"squeeze --pins 2%",
		"squeeze --refuse nan",
		"squeeze --refuse -0.1",
		"squeeze --refuse 101",
		"squeeze --refuse ''",
		"squeeze --pins 60 --refuse 60",
		"squeeze --load 0",
		"squeeze --load -1",
		"squeeze --load 1.5",
		"squeeze --load 1025",
		"squeeze --load 99999999999999999999",
		"squeeze --load ''",
		"squeeze --load two",
		"squeeze --seed -1",
		"squeeze --seed ''",
		"squeeze --seed 9223372036854775808",
		"squeeze --seed 12z",
		"squeeze --seed",
		"squeeze --json=yes",
		"squeeze --layout",
		"squeeze --layout ''",
		"squeeze --layout /nonexistent/layout",
		"squeeze --layout /",
		"squeeze --json --layout /nonexistent/layout",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome o = run("%s", bad[i]);

		if (o.status != 2 || lines(o.err) != 1 || *o.out)
			print_error("quire %s: exit %d, said '%s' and '%s'\n", bad[i], o.status,
				    o.err, o.out);
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_string_equal(o.out, "");
		assert_int_equal(strncmp(o.err, "quire", 5), 0);
		done(&o);
	}
}

static void bad_layouts(void **state)
{
	static const char *const bad[] = { "torn.zst", "empty", "wrong" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome o = run("squeeze --layout %s", path(bad[i]));

		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_non_null(strstr(o.err, bad[i]));
		assert_string_equal(o.out, "");
		done(&o);
	}
}

static void too_little_memory(void **state)
{
	struct sysinfo info;
	struct outcome o;

	(void)state;
	if (sysinfo(&info) || (uint64_t)info.totalram * info.mem_unit > 700ull << 30)
		skip();
	o = run("squeeze --layout %s", path("huge"));
	assert_int_equal(o.status, 2);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, "memory"));
	done(&o);
}

/* The table, line by line, and nothing for terminals in it. */
static void table(void **state)
{
	static const char *const starts[] = {
		"layout   ",
		"in use   ",
		"                          without owners",
		"2 MiB pages freed  ",
		"bytes moved  ",
		"jobs verified on the move  ",
		"I/Os verified on the move  ",
		"owners      gem: ",
		"            ring: ",
		"            kv: ",
		"under load  ",
		"stays       ",
		"PASS        ",
	};
	static const char *const names[] = { "small.txt", "small.live.zst" };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct outcome o = run("squeeze --refuse 0.5 --layout %s", path(names[k]));
		const char *at = o.out;

		if (o.status)
			print_error("%s%s", o.out, o.err);
		assert_int_equal(o.status, 0);
		assert_string_equal(o.err, "");
		assert_int_equal(lines(o.out), sizeof(starts) / sizeof(starts[0]));
		assert_null(strchr(o.out, '\033'));
		assert_null(strchr(o.out, '\r'));
		assert_int_equal(strncmp(o.out, "layout   small: ", 16), 0);
		for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
			assert_int_equal(strncmp(at, starts[i], strlen(starts[i])), 0);
			at = strchr(at, '\n') + 1;
		}
		assert_non_null(strstr(o.out, "\n                          "
					      "without owners      quire   possible\n"));
		assert_non_null(strstr(o.out, "of legacy, pinned at "));
		assert_non_null(strstr(o.out, "tools/squeeze/legacy.c:"));
		assert_non_null(strstr(o.out, ", 0 wrong bytes; a stall p99.9 "));
		done(&o);
	}
}

/* Exactly one object, exactly these keys, and what they say agrees. */
static void json_object_is_whole(void **state)
{
	struct outcome o =
		run("squeeze --json --seed 7 --pins 10 --refuse 0.5 --load 2 --layout %s",
		    path("small.txt"));
	json_t *all, *part, *blocker;
	json_error_t error;
	long long folios;

	(void)state;
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	all = json_loads(o.out, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(all);
	assert_int_equal(json_object_size(all), 19);
	assert_string_equal(json_string_value(get(all, "schema")), "quire-squeeze-1");
	assert_string_equal(json_string_value(get(all, "verdict")), "PASS");
	assert_int_equal(whole(all, "seed"), 7);
	assert_string_equal(json_string_value(get(all, "backing")), "4k");
	assert_true(json_is_null(get(all, "linux")));

	part = get(all, "layout");
	assert_int_equal(json_object_size(part), 4);
	assert_string_equal(json_string_value(get(part, "file")), path("small.txt"));
	assert_int_equal(whole(part, "blocks"), BLOCKS);
	assert_true(whole(part, "live_bytes") > 0);
	folios = whole(part, "folios");
	assert_int_equal(whole(all, "in_use"), (folios * 10 + 50) / 100);
	assert_int_equal(whole(all, "refusing"), (folios * 5 + 500) / 1000);

	part = get(all, "without_owners");
	assert_int_equal(json_object_size(part), 2);
	assert_true(whole(part, "runs") < whole(get(all, "quire"), "runs"));
	assert_true(whole(part, "bytes_moved") >= 0);

	part = get(all, "quire");
	assert_int_equal(json_object_size(part), 8);
	assert_int_equal(whole(part, "runs"), whole(get(all, "possible"), "runs"));
	assert_true(whole(part, "bytes_moved") >= whole(part, "lower_bound_bytes"));
	assert_true(whole(part, "bytes_recopied") >= 0);
	assert_true(real(part, "seconds") > 0);
	assert_true(real(part, "gb_per_s") > 0);
	assert_true(real(part, "copy_limit_gb_per_s") > 0);
	assert_int_equal(json_object_size(get(all, "possible")), 2);

	part = get(all, "load");
	assert_int_equal(json_object_size(part), 9);
	assert_true(whole(part, "accesses") > 0);
	assert_int_equal(whole(part, "wrong_bytes"), 0);
	assert_true(real(part, "stall_p50_us") <= real(part, "stall_p999_us"));
	assert_true(real(part, "stall_p999_us") <= real(part, "stall_max_us"));

	folios = 0;
	assert_int_equal(json_array_size(get(all, "owners")), 4);
	for (size_t i = 0; i < 4; i++) {
		part = json_array_get(get(all, "owners"), i);
		assert_int_equal(json_object_size(part), 4);
		assert_true(json_is_string(get(part, "name")));
		assert_true(whole(part, "moved") <= whole(part, "tries"));
		folios += whole(part, "folios");
	}
	assert_int_equal(folios, whole(get(all, "layout"), "folios"));
	assert_int_equal(json_object_size(get(all, "ring")), 5);
	assert_true(json_is_null(get(all, "injected")));
	assert_true(json_is_null(get(all, "shrunk")));
	assert_int_equal(json_object_size(get(all, "reasons")), 1);
	assert_int_equal(whole(get(all, "reasons"), "pinned long"), whole(all, "refusing"));

	part = get(all, "blockers");
	assert_int_equal(json_array_size(part), 1);
	blocker = json_array_get(part, 0);
	assert_int_equal(json_object_size(blocker), 6);
	assert_string_equal(json_string_value(get(blocker, "owner")), "legacy");
	assert_string_equal(json_string_value(get(blocker, "reason")), "pinned long");
	assert_non_null(strstr(json_string_value(get(blocker, "site")), "legacy.c:"));
	assert_true(whole(blocker, "thread") > 0);
	assert_true(real(blocker, "age_seconds") > 0);
	assert_int_equal(whole(blocker, "folios"), whole(all, "refusing"));
	json_decref(all);
	done(&o);
}

/* The same seed chooses the same folios. */
static void seeds(void **state)
{
	long long moved[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct outcome o = run("squeeze --json --seed %u --refuse 0.5 --layout %s", i / 2,
				       path("small.txt"));
		json_t *all = json_loads(o.out, 0, NULL);

		assert_int_equal(o.status, 0);
		moved[i] = whole(get(all, "without_owners"), "bytes_moved") +
			   whole(get(all, "without_owners"), "runs");
		json_decref(all);
		done(&o);
	}
	assert_int_equal(moved[0], moved[1]);
	assert_int_not_equal(moved[0], moved[2]);
}

static void shares(void **state)
{
	static const char *const pass[] = { "--pins 100 --refuse 0", "--pins 99.5 --refuse 0.5",
					    "--pins 0.5 --refuse 0",
					    "--pins 50 --refuse 1 --load 3" };

	(void)state;
	for (size_t i = 0; i < sizeof(pass) / sizeof(pass[0]); i++) {
		struct outcome o = run("squeeze %s --layout %s", pass[i], path("small.txt"));

		if (o.status)
			print_error("%s: %s%s", pass[i], o.out, o.err);
		assert_int_equal(o.status, 0);
		done(&o);
	}
}

/* Where no page has to move there is nothing to fail at, and the line says so. */
static void nothing_to_move(void **state)
{
	static const char *const args[] = { "--pins 0 --refuse 0", "--pins 100 --refuse 0",
					    "--pins 0 --refuse 100" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct outcome o = run("squeeze %s --layout %s", args[i], path("full"));

		assert_int_equal(o.status, 0);
		assert_non_null(strstr(o.out, "\nunder load  0 accesses "));
		assert_non_null(strstr(o.out, "\nPASS        no page had to move"));
		done(&o);
	}
}

/* However few pages move, one of them is met, whoever they were dealt to. */
static void few_to_move(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 16; seed++) {
		struct outcome o = run("squeeze --pins 0 --seed %u --layout %s", seed, path("few"));

		if (o.status)
			print_error("seed %u: %s%s", seed, o.out, o.err);
		assert_int_equal(o.status, 0);
		assert_null(strstr(o.out, "no page had to move"));
		done(&o);
	}
}

static void limit(int what, rlim_t most)
{
	const struct rlimit both = { most, most };

	if (setrlimit((__rlimit_resource_t)what, &both))
		_exit(98);
}

static void little_address_space(void)
{
	limit(RLIMIT_AS, 160u << 20);
}

static void small_files(void)
{
	limit(RLIMIT_FSIZE, 1 << 20);
}

/* A limit that is in the way is said in one line; it is not the library that failed. */
static void limits(void **state)
{
	static void (*const each[])(void) = { little_address_space, small_files };
	struct outcome o;

	(void)state;
	for (size_t i = COMMAND_SANITIZED ? 1 : 0; i < 2; i++) {
		command_in_child = each[i];
		o = run("squeeze --json --layout %s", path("larger.txt"));
		command_in_child = NULL;
		if (o.status != 2)
			print_error("limit %zu: exit %d, said '%s' and '%s'\n", i, o.status, o.err,
				    o.out);
		assert_int_equal(o.status, 2);
		assert_int_equal(lines(o.err), 1);
		assert_string_equal(o.out, "");
		done(&o);
	}
}

static void full_output(void)
{
	if (!freopen("/dev/full", "w", stdout))
		_exit(98);
}

static void closed_output(void)
{
	close(STDOUT_FILENO);
}

static void nothing_open(void)
{
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
}

/* What cannot be printed is an error, with one line on stderr, and nothing is harmed by it. */
static void lost_output(void **state)
{
	static void (*const each[])(void) = { full_output, closed_output, nothing_open };
	static const char *const commands[] = { "help", "version", "squeeze --help",
						"squeeze --layout", "squeeze --json --layout" };
	struct outcome o;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 5; k++) {
			command_in_child = each[i];
			o = run("%s %s", commands[k], k < 3 ? "" : path("small.txt"));
			command_in_child = NULL;
			if (o.status != 1)
				print_error("%s: exit %d, said '%s'\n", commands[k], o.status,
					    o.err);
			assert_int_equal(o.status, 1);
			assert_string_equal(o.out, "");
			assert_int_equal(lines(o.err), i < 2);
			done(&o);
		}
	}
}

/* Reads what the child prints until it has printed `word`, or ends. */
static bool read_until(int fd, char *text, size_t size, size_t *n, const char *word)
{
	ssize_t got;

	while (*n + 1 < size) {
		if (word && strstr(text, word))
			return true;
		got = read(fd, text + *n, size - 1 - *n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		*n += (size_t)got;
		text[*n] = '\0';
	}
	return false;
}

static void interrupted_early(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char text[8192] = "", line[] = "squeeze", *argv[COMMAND_ARGS];
		size_t n = 0;
		int fd[2];
		pid_t child;

		split(line, argv);
		assert_int_equal(pipe(fd), 0);
		fflush(NULL);
		child = fork();
		if (!child) {
			dup2(fd[1], STDOUT_FILENO);
			close(fd[0]);
			close(fd[1]);
			execv(command, argv);
			_exit(99);
		}
		close(fd[1]);
		assert_true(read_until(fd[0], text, sizeof(text), &n, "\nin use "));
		/* at once again, as timeout(1) does: it is the same one */
		assert_int_equal(kill(child, signals[i]), 0);
		assert_int_equal(kill(child, signals[i]), 0);
		read_until(fd[0], text, sizeof(text), &n, NULL);
		close(fd[0]);
		assert_int_equal(wait_for(child), 1);
		assert_non_null(strstr(text, "\nINTERRUPTED "));
		assert_non_null(strstr(text, "\n2 MiB pages freed "));
	}
}

/* On a terminal, and Ctrl-C on it while memory is moved. */
static void on_a_terminal(const char *type, const char *no_color, bool interrupt, char *text,
			  size_t size, int *status)
{
	static struct winsize window = { .ws_row = 50, .ws_col = 100 };
	char line[256], *argv[COMMAND_ARGS];
	size_t n = 0;
	pid_t child;
	int fd;

	snprintf(line, sizeof(line), "squeeze --refuse 0.5 --layout %s",
		 path(interrupt ? "larger.txt" : "small.txt"));
	split(line, argv);
	text[0] = '\0';
	fflush(NULL);
	child = forkpty(&fd, NULL, NULL, &window);
	assert_true(child >= 0);
	if (!child) {
		setenv("TERM", type, 1);
		setenv("LC_ALL", "C.UTF-8", 1);
		unsetenv("COLORTERM");
		setenv("NO_COLOR", no_color, 1);
		execv(command, argv);
		_exit(99);
	}
	if (interrupt) {
		assert_true(read_until(fd, text, size, &n, "moving under load"));
		assert_int_equal(write(fd, "\003", 1), 1);
	}
	read_until(fd, text, size, &n, NULL);
	*status = wait_for(child);
	close(fd);
}

static void terminal(void **state)
{
	size_t size = 1 << 20;
	char *text = malloc(size);
	int status;

	(void)state;
	assert_non_null(text);
	on_a_terminal("xterm-256color", "", false, text, size, &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(text, "comparing all bytes"));
	assert_non_null(strstr(text, " stay\033[K")); /* asked while the plan runs */
	assert_non_null(strstr(text, "\033[Kbefore   \033[38;5;"));
	assert_non_null(strstr(text, "\nafter    \033[38;5;"));
	assert_non_null(strstr(text, "\nPASS "));

	on_a_terminal("xterm", "1", true, text, size, &status);
	assert_null(strstr(text, "\033[3"));
	assert_null(strstr(text, "\033[4"));
	/* the moves may be over before the key is seen */
	if (status)
		assert_non_null(strstr(text, "\nINTERRUPTED "));
	else
		assert_non_null(strstr(text, "\nPASS "));
	assert_non_null(strstr(text, ", 0 wrong bytes"));

	free(text);
}

/* The copy limit cannot be measured: whatever fails late is a FAIL, and the line says what. */
static void failing(void **state)
{
	static const char *const says[] = {
		"\nFAIL        measuring the copy limit failed: Too many open files",
		"quire squeeze: FAIL: measuring the copy limit failed: Too many open files",
	};
	static const struct rlimit no_files = { 0, 0 };
	size_t size = 1 << 20, n;
	char *text = malloc(size), line[256], *argv[COMMAND_ARGS];
	pid_t child;
	int fd;

	(void)state;
	assert_non_null(text);
	for (int json = 0; json < 2; json++) {
		snprintf(line, sizeof(line), "squeeze %s --layout %s", json ? "--json" : "--pins 1",
			 path("larger.txt"));
		split(line, argv);
		fflush(NULL);
		child = forkpty(&fd, NULL, NULL, NULL);
		assert_true(child >= 0);
		if (!child) {
			setenv("TERM", "xterm", 1);
			execv(command, argv);
			_exit(99);
		}
		n = 0;
		text[0] = '\0';
		assert_true(read_until(fd, text, size, &n, "laying out again"));
		assert_int_equal(prlimit(child, RLIMIT_NOFILE, &no_files, NULL), 0);
		read_until(fd, text, size, &n, NULL);
		assert_int_equal(wait_for(child), 1);
		close(fd);
		assert_non_null(strstr(text, says[json]));
		assert_true(!json || strstr(text, "\"verdict\": \"FAIL\""));
		assert_null(strstr(text, "PASS"));
	}
	free(text);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_commands),  cmocka_unit_test(bad_input),
		cmocka_unit_test(bad_layouts),	   cmocka_unit_test(too_little_memory),
		cmocka_unit_test(table),	   cmocka_unit_test(json_object_is_whole),
		cmocka_unit_test(seeds),	   cmocka_unit_test(shares),
		cmocka_unit_test(nothing_to_move), cmocka_unit_test(few_to_move),
		cmocka_unit_test(limits),	   cmocka_unit_test(lost_output),
		cmocka_unit_test(failing),	   cmocka_unit_test(interrupted_early),
		cmocka_unit_test(terminal),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s QUIRE\n", argv[0]);
		return 2;
	}
	command = argv[1];
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_files, remove_files);
}

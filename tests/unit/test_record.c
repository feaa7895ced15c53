/* SPDX-License-Identifier: MIT */
/*
 * test_record.c: quire record --trace: what pages of the kernel's trace buffer say, made up byte by
 * byte; and the command itself, where the kernel lets a test have a tracefs.
 *
 * usage: test_record QUIRE
 */
#include "command.h"
#include "record/events.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* As Linux 6.18 on x86-64 has them. */
static const char header_page[] = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
				  "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
				  "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
				  "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";
#define COMMON                                                                                     \
	"format:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"            \
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"                     \
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"             \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
static const char alloc_format[] =
	"name: mm_page_alloc\nID: 535\n" COMMON
	"\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
	"\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;\n"
	"\tfield:unsigned long gfp_flags;\toffset:24;\tsize:8;\tsigned:0;\n"
	"\tfield:int migratetype;\toffset:32;\tsize:4;\tsigned:1;\n\n"
	"print fmt: \"page=%p pfn=0x%lx order=%d\", REC->pfn\n";
static const char free_format[] = "name: mm_page_free\nID: 537\n" COMMON
				  "\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
				  "\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;\n";
static const char fork_format[] = "name: sched_process_fork\nID: 312\n" COMMON
				  "\tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
				  "\tfield:pid_t parent_pid;\toffset:24;\tsize:4;\tsigned:1;\n"
				  "\tfield:char child_comm[16];\toffset:28;\tsize:16;\tsigned:0;\n"
				  "\tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n";

static struct event_formats formats(void)
{
	struct event_formats f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(event_page_format(&f, header_page), 0);
	assert_int_equal(event_kind_format(&f, EVENT_ALLOC, alloc_format), 0);
	assert_int_equal(event_kind_format(&f, EVENT_FREE, free_format), 0);
	assert_int_equal(event_kind_format(&f, EVENT_FORK, fork_format), 0);
	assert_int_equal(event_page_bytes(&f), 4096);
	return f;
}

struct page {
	unsigned char bytes[4096];
	size_t n; /* of data */
};

static void put(struct page *p, const void *bytes, size_t n)
{
	memcpy(p->bytes + 16 + p->n, bytes, n);
	p->n += n;
	memcpy(p->bytes + 8, &p->n, 8);
}

static void word(struct page *p, uint32_t w)
{
	put(p, &w, 4);
}

static void begin(struct page *p, uint64_t ns)
{
	memset(p, 0, sizeof(*p));
	memcpy(p->bytes, &ns, 8);
}

struct seen {
	struct event event[16];
	unsigned n;
	int answer;
};

static int see(void *arg, const struct event *event)
{
	struct seen *s = arg;

	if (s->n < 16)
		s->event[s->n] = *event;
	s->n++;
	return s->answer;
}

/* An allocation in 40 bytes, a free in 20, or in a block of another length. */
static void alloc_event(struct page *p, uint32_t delta, uint32_t pid, uint64_t pfn, uint32_t order,
			uint32_t type)
{
	unsigned char data[36] = { 535 & 255, 535 >> 8 };

	memcpy(data + 4, &pid, 4);
	memcpy(data + 8, &pfn, 8);
	memcpy(data + 16, &order, 4);
	memcpy(data + 32, &type, 4);
	word(p, delta << 5 | sizeof(data) / 4);
	put(p, data, sizeof(data));
}

static void free_event(struct page *p, uint32_t delta, uint64_t pfn, uint32_t order, bool longer)
{
	unsigned char data[20] = { 537 & 255, 537 >> 8 };

	memcpy(data + 8, &pfn, 8);
	memcpy(data + 16, &order, 4);
	word(p, delta << 5 | (longer ? 0 : sizeof(data) / 4));
	if (longer)
		word(p, sizeof(data) + 4);
	put(p, data, sizeof(data));
}

static void test_record_reads_every_kind_of_entry(void **state)
{
	struct event_formats f = formats();
	unsigned char fork_data[48] = { 312 & 255, 312 >> 8 }, other[8] = { 1 };
	const uint32_t child = 4242, parent = 77;
	struct seen s = { .n = 0 };
	struct page p;

	(void)state;
	begin(&p, 1000000);
	alloc_event(&p, 0, 77, 0x10818c, 3, 1);
	free_event(&p, 5, 0x10818c, 3, true);
	word(&p, 3u << 5 | 29); /* left out, of 8 bytes */
	word(&p, 8);
	put(&p, other, 4);
	word(&p, 7u << 5 | 30); /* time goes on by 1 << 27, and 7 */
	word(&p, 1);
	memcpy(fork_data + 4, &parent, 4);
	memcpy(fork_data + 44, &child, 4);
	word(&p, 1u << 5 | sizeof(fork_data) / 4);
	put(&p, fork_data, sizeof(fork_data));
	word(&p, 2u << 5 | 2); /* of a kind that nobody asked for */
	put(&p, other, 8);
	word(&p, 11u << 5 | 31); /* the time itself: 2 << 27 and 11 */
	word(&p, 2);
	alloc_event(&p, 1, 1, UINT64_MAX, 0, 0);
	word(&p, 29); /* up to the end */
	put(&p, "garbage!", 8);
	assert_int_equal(event_page(&f, p.bytes, sizeof(p.bytes), see, &s), 0);
	assert_int_equal(s.n, 4);
	assert_true(s.event[0].kind == EVENT_ALLOC && s.event[0].ns == 1000000);
	assert_true(s.event[0].pfn == 0x10818c && s.event[0].order == 3 && s.event[0].type == 1);
	assert_int_equal(s.event[0].pid, 77);
	assert_true(s.event[1].kind == EVENT_FREE && s.event[1].ns == 1000005);
	assert_true(s.event[1].pfn == 0x10818c && s.event[1].order == 3);
	assert_true(s.event[2].kind == EVENT_FORK && s.event[2].ns == 1000016 + (1u << 27));
	assert_true(s.event[2].pfn == child && s.event[2].pid == parent);
	assert_true(s.event[3].ns == (2u << 27) + 12 && s.event[3].pfn == UINT64_MAX);
	/* whoever listens may end it */
	s.n = 0;
	s.answer = -ENOMEM;
	assert_int_equal(event_page(&f, p.bytes, sizeof(p.bytes), see, &s), -ENOMEM);
	assert_int_equal(s.n, 1);
}

static void test_record_torn_pages(void **state)
{
	struct event_formats f = formats();
	struct seen s = { .n = 0 };
	struct page p, torn;

	(void)state;
	begin(&p, 1);
	alloc_event(&p, 0, 1, 5, 0, 1);
	free_event(&p, 1, 5, 0, false);
	assert_int_equal(event_page(&f, p.bytes, sizeof(p.bytes), see, &s), 0);
	assert_int_equal(s.n, 2);
	for (size_t n = 4; n < p.n; n++) {
		if (n == 40)
			continue; /* between the two */
		torn = p;
		memcpy(torn.bytes + 8, &n, 8);
		if (n < 40 || n >= 44)
			assert_int_equal(event_page(&f, torn.bytes, sizeof(torn.bytes), see, &s),
					 -EBADMSG);
	}
	for (size_t n = 0; n < 16 + p.n; n++)
		assert_int_equal(event_page(&f, p.bytes, n, see, &s), -EBADMSG);
	/* an entry that is too short for what it is said to be */
	begin(&p, 1);
	word(&p, 2);
	put(&p, "\x17\x02\0\0\0\0\0\0", 8);
	assert_int_equal(event_page(&f, p.bytes, sizeof(p.bytes), see, &s), -EBADMSG);
	begin(&p, 1);
	word(&p, 0);
	word(&p, 3);
	assert_int_equal(event_page(&f, p.bytes, sizeof(p.bytes), see, &s), -EBADMSG);
	begin(&p, 1);
	word(&p, 0);
	word(&p, UINT32_MAX);
	assert_int_equal(event_page(&f, p.bytes, sizeof(p.bytes), see, &s), -EBADMSG);
}

static void test_record_random_pages(void **state)
{
	struct event_formats f = formats();
	uint64_t x = 1;
	unsigned bad = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		size_t size = 1 + (size_t)(x >> 50) % 300, n;
		unsigned char *page = malloc(size); /* so that a sanitizer sees the end */
		struct seen s = { .n = 0 };
		int got;

		assert_non_null(page);
		for (size_t i = 0; i < size; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			page[i] = (unsigned char)(x >> 56);
		}
		n = size > 16 ? size - 16 : 0;
		if (size >= 16 && round % 4)
			memcpy(page + 8, &n, 8);
		got = event_page(&f, page, size, see, &s);
		assert_true(got == 0 || got == -EBADMSG);
		bad += got != 0;
		free(page);
	}
	assert_true(bad > 1000 && bad < 20000);
}

static void test_record_formats_that_lack_something(void **state)
{
	static const char *const fields[] = { "pfn;",	     "order;",	     "migratetype;",
					      "common_pid;", "common_type;", "ID:" };
	struct event_formats f = formats();
	char text[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		snprintf(text, sizeof(text), "%s", alloc_format);
		*strstr(text, fields[i]) = '_';
		assert_int_equal(event_kind_format(&f, EVENT_ALLOC, text), -EBADMSG);
	}
	snprintf(text, sizeof(text), "%s", header_page);
	strstr(text, "commit")[4] = 'a';
	assert_int_equal(event_page_format(&f, text), -EBADMSG);
	assert_int_equal(event_page_format(&f, ""), -EBADMSG);
	assert_int_equal(event_page_format(&f, "field:u64 timestamp"), -EBADMSG);
}

/* --- the command --- */

static int make(void **state)
{
	(void)state;
	folder_make();
	return mkdir(path("empty"), 0700) || mkdir(path("tracefs"), 0700) ||
	       mkdir(path("fake"), 0700) || mkdir(path("fake/instances"), 0700);
}

static int unmake(void **state)
{
	static const char *const names[] = { "t.trace.zst", "t.live.zst", "t.trace", "t.trace.live",
					     "other" };

	(void)state;
	rmdir(path("empty"));
	rmdir(path("tracefs"));
	rmdir(path("fake/instances"));
	rmdir(path("fake"));
	return folder_remove(names, sizeof(names) / sizeof(names[0]));
}

static void refused(int status, const char *what, const char *arguments)
{
	struct outcome o = run("record %s", arguments);

	if (o.status != status || lines(o.err) != 1 || !strstr(o.err, what))
		print_error("%s: %d '%s', not '%s'\n", arguments, o.status, o.err, what);
	assert_int_equal(o.status, status);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, what));
	assert_string_equal(o.out, "");
	assert_int_equal(files_like("t.trace"), 0);
	done(&o);
}

static void test_record_trace_bad_input(void **state)
{
	char text[512];

	(void)state;
	refused(2, "for how many seconds", "--trace t");
	refused(2, "--trace wants a name", "--trace '' 5");
	refused(2, "--trace wants seconds", "--trace t 0");
	refused(2, "--trace wants seconds", "--trace t 86401");
	refused(2, "--trace wants seconds", "--trace t nan");
	refused(2, "--trace wants seconds", "--trace t 0x5");
	refused(2, "--trace wants seconds", "--trace t 5 5");
	refused(2, "--trace wants seconds", "--trace t 5 true");
	refused(2, "--buffer wants", "--trace t --buffer 5 5");
	refused(2, "--live goes with --trace only", "--live x y");
	refused(2, "goes with none of --range", "--trace t --range 0-fff 5");
	refused(2, "goes with none of --range", "--trace t --blocks 5 5");
	refused(1, "/nonexistent/t: No such file", "--trace /nonexistent/t 5");
	snprintf(text, sizeof(text), "--tracefs %s --trace %s 5", path("empty"), path("t.trace"));
	refused(1, "empty/instances: No such file", text);
	snprintf(text, sizeof(text), "--tracefs %s --trace %s 5", path("fake"), path("t.trace"));
	refused(1, "events/header_page is not understood", text);
	/* what was made is gone again */
	assert_int_equal(rmdir(path("fake/instances")), 0);
	assert_int_equal(mkdir(path("fake/instances"), 0700), 0);
}

/* In the child: a tracefs that nobody else sees. */
static void own_tracefs(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", path("tracefs"), "tracefs", 0, NULL))
		_exit(77);
}

static void test_record_a_command(void **state)
{
	struct outcome o;
	json_t *all;

	(void)state;
	command_in_child = own_tracefs;
	o = run("record --tracefs %s --trace %s 60 -- dd if=/dev/zero of=%s bs=1M count=16",
		path("tracefs"), path("t.trace.zst"), path("other"));
	command_in_child = NULL;
	if (o.status == 77) {
		done(&o);
		skip(); /* no tracefs for this user */
	}
	if (o.status)
		print_error("%s", o.err);
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "recorded  "));
	assert_null(strstr(o.out, "lost "));
	done(&o);
	assert_int_equal(files_like("t."), 2);
	/* the file's 16 MiB are still there: in the trace, and in the layout of its end */
	o = run("replay --json %s", path("t.trace.zst"));
	assert_int_equal(o.status, 0);
	all = json_loads(o.out, 0, NULL);
	assert_true(whole(get(all, "trace"), "live_bytes") >= 16 << 20);
	assert_true(whole(get(all, "trace"), "live_bytes") < 256 << 20);
	assert_int_equal(whole(get(get(all, "odd"), "backwards"), "events"), 0);
	assert_int_equal(whole(get(get(all, "odd"), "unknown"), "events"), 0);
	done(&o);
	o = run("squeeze --json --pins 1 --layout %s", path("t.live.zst"));
	assert_int_equal(o.status, 0);
	done(&o);
	json_decref(all);
}

/* Whatever ends it, its instance is gone, and what it began with is whole. */
static void test_record_leaves_no_instance(void **state)
{
	struct outcome o;

	(void)state;
	command_in_child = own_tracefs;
	o = run("record --tracefs %s --trace %s -- /nonexistent/program", path("tracefs"),
		path("t.trace"));
	if (o.status == 77) {
		command_in_child = NULL;
		done(&o);
		skip();
	}
	assert_int_equal(o.status, 1);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, "/nonexistent/program: No such file"));
	assert_int_equal(files_like("t.trace."), 1); /* of the test before */
	done(&o);
	/* a signal is an end as another, and the command hears of it */
	o = run("record --tracefs %s --trace %s -- sh -c kill${IFS}$PPID;sleep${IFS}60",
		path("tracefs"), path("t.trace"));
	command_in_child = NULL;
	assert_int_equal(o.status, 0);
	assert_non_null(strstr(o.out, "command   ended with signal 15\n"));
	done(&o);
	command_in_child = own_tracefs;
	command = "/bin/ls";
	o = run("%s/instances", path("tracefs"));
	command_in_child = NULL;
	assert_null(strstr(o.out, "quire-"));
	done(&o);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_reads_every_kind_of_entry),
		cmocka_unit_test(test_record_torn_pages),
		cmocka_unit_test(test_record_random_pages),
		cmocka_unit_test(test_record_formats_that_lack_something),
		cmocka_unit_test(test_record_trace_bad_input),
		cmocka_unit_test(test_record_a_command),
		cmocka_unit_test(test_record_leaves_no_instance),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s QUIRE\n", argv[0]);
		return 2;
	}
	command = argv[1];
	return cmocka_run_group_tests(tests, make, unmake);
}

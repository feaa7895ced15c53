/* SPDX-License-Identifier: MIT */
/*
 * test_trace_hostile.c: traces that are wrong, torn, or made to hurt, and such as an honest
 * recording may be though they make no sense. To be run under the address and undefined-behaviour
 * sanitizers too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "arenas.h"
#include "live.h"
#include "trace.h"

static char path[] = "/tmp/quire-trace-XXXXXX";
static uint64_t seed;

static void put(const void *bytes, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* What trace.h promises of every trace that is let through. */
static void check(const struct trace *t)
{
	bool *alive = calloc(t->nallocs + 1, sizeof(*alive));
	uint64_t frames = 0, parted = 0;
	size_t next = 0;

	assert_non_null(alive);
	assert_non_null(t->name);
	assert_true(t->nallocs >= 1 && t->seconds >= 0);
	for (size_t i = 0; i < t->n; i++) {
		uint32_t id = t->events[i] >> 1;

		if (t->events[i] & 1) {
			assert_true(id < next && alive[id]);
			alive[id] = false;
			continue;
		}
		assert_int_equal(id, next++);
		alive[id] = true;
		assert_true(t->allocs[id].order <= LIVE_MAX_ORDER);
		assert_true(t->allocs[id].type < TRACE_TYPES);
	}
	assert_int_equal(next, t->nallocs);
	for (size_t i = 0; i < next; i++)
		frames += alive[i] ? UINT64_C(1) << t->allocs[i].order : 0;
	parted = t->parted.n;
	assert_true(parted ? t->frames_end <= frames : t->frames_end == frames);
	assert_true(t->frames_most >= t->frames_end && t->used_most >= t->used_end);
	assert_true(t->blocks >= t->used_most && t->used_end >= t->unmovable_end);
	assert_int_equal(t->nsamples, t->n / TRACE_STRIDE);
	free(alive);
}

static void turned_down(const struct trace_limits *limits, int error, const char *what)
{
	char err[512], want[512];
	struct trace t;
	int got = limits ? trace_read_within(path, limits, &t, err, sizeof(err))
			 : trace_read(path, &t, err, sizeof(err));

	snprintf(want, sizeof(want), "%s:%s", path, what);
	assert_string_equal(err, want);
	assert_int_equal(got, error);
	assert_true(!t.name && !t.events && !t.allocs && !t.samples);
	trace_finish(&t);
}

#define TEXT(s) (s), sizeof(s) - 1
#define SHAPE "; a line is SECONDS a|f PFN ORDER MIGRATETYPE"
#define OK "0 a 1 0 0\n"

static const struct {
	const char *text;
	size_t size;
	const char *what;
} wrong[] = {
	{ TEXT(""), "1: empty: no allocation in it" },
	{ TEXT("0 f 1 0 0\n"), "2: empty: no allocation in it" },
	{ TEXT("\n"), "1: empty line" SHAPE },
	{ TEXT(OK "\n" OK), "2: empty line" SHAPE },
	{ TEXT("0 a 1 0\n"), "1: fewer than 5 fields" SHAPE },
	{ TEXT(OK "0 a"), "2: fewer than 5 fields" SHAPE },
	{ TEXT(OK "1.5 a 1 0 0 0\n"), "2: more than 5 fields" SHAPE },
	{ TEXT("x a 1 0 0\n"), "1: SECONDS is not a decimal number" },
	{ TEXT("-1 a 1 0 0\n"), "1: SECONDS is negative" },
	{ TEXT("1. a 1 0 0\n"), "1: SECONDS is no number of up to nine decimals" },
	{ TEXT(".5 a 1 0 0\n"), "1: SECONDS is no number of up to nine decimals" },
	{ TEXT("1.0000000001 a 1 0 0\n"), "1: SECONDS is no number of up to nine decimals" },
	{ TEXT("1.5.5 a 1 0 0\n"), "1: SECONDS is not a decimal number" },
	{ TEXT("1.-5 a 1 0 0\n"), "1: SECONDS is negative" },
	{ TEXT("1e3 a 1 0 0\n"), "1: SECONDS is not a decimal number" },
	{ TEXT("nan a 1 0 0\n"), "1: SECONDS is not a decimal number" },
	{ TEXT("4294967297 a 1 0 0\n"), "1: SECONDS is above 4294967296" },
	{ TEXT("99999999999999999999999 a 1 0 0\n"), "1: SECONDS is above 4294967296" },
	{ TEXT("0 b 1 0 0\n"), "1: the second field is neither a nor f" },
	{ TEXT("0 A 1 0 0\n"), "1: the second field is neither a nor f" },
	{ TEXT("0 af 1 0 0\n"), "1: the second field is neither a nor f" },
	{ TEXT("0 a 0x1 0 0\n"), "1: PFN is not a hexadecimal number; write it without 0x" },
	{ TEXT("0 a 10000000000000 0 0\n"), "1: PFN is above fffffffffffff" },
	{ TEXT("0 a ffffffffffffffff 0 0\n"), "1: PFN is above fffffffffffff" },
	{ TEXT("0 a 0 19 0\n"), "1: ORDER is above 18" },
	{ TEXT("0 f 0 19 0\n"), "1: ORDER is above 18" },
	{ TEXT("0 a 0 -1 0\n"), "1: ORDER is negative" },
	{ TEXT("0 a 0 99999999999999999999 0\n"), "1: ORDER is above 18" },
	{ TEXT("0 a 0 0 16\n"), "1: MIGRATETYPE is above 15" },
	{ TEXT(OK "0 a 200 10 0\n"), "2: PFN 200 is not aligned to its order 10" },
	{ TEXT(OK "0 f 3 1 0\n"), "2: PFN 3 is not aligned to its order 1" },
	{ TEXT(OK "0 a 2 0 0\0\n"), "2: a NUL byte" },
	{ TEXT("\x1b[31m a 1 0 0\n"), "1: SECONDS is not a decimal number" },
};

static size_t pack(const void *text, size_t size, void **out)
{
	size_t bound = ZSTD_compressBound(size), n;

	*out = malloc(bound);
	assert_non_null(*out);
	n = ZSTD_compress(*out, bound, text, size, 3);
	assert_false(ZSTD_isError(n));
	return n;
}

static void test_trace_wrong_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		void *packed;
		size_t size = pack(wrong[i].text, wrong[i].size, &packed);

		put(wrong[i].text, wrong[i].size);
		turned_down(NULL, -EINVAL, wrong[i].what);
		put(packed, size);
		turned_down(NULL, -EINVAL, wrong[i].what);
		free(packed);
	}
}

static struct trace read_text(const char *text)
{
	char err[256];
	struct trace t;
	int error;

	put(text, strlen(text));
	error = trace_read(path, &t, err, sizeof(err));
	if (error)
		print_error("%s\n", err);
	assert_int_equal(error, 0);
	check(&t);
	return t;
}

static void check_events(const struct trace *t, const uint32_t *events, size_t n)
{
	assert_int_equal(t->n, n);
	assert_memory_equal(t->events, events, n * sizeof(*events));
}

#define EVENTS(...) ((const uint32_t[]){ __VA_ARGS__ }), sizeof((uint32_t[]){ __VA_ARGS__ }) / 4
#define A(id) ((id) << 1)
#define F(id) ((id) << 1 | 1)

/* What an honest recording may hold: taken, made consistent, counted, with the line of the first.
 */
static void test_trace_oddities_are_counted(void **state)
{
	struct trace t;

	(void)state;
	t = read_text("1.5 a 1 0 0\r\n1.25 f 2 0 1\n2 f 1 0 0\n1 f 1 0 0\n3.000000001\ta  1 0 1");
	check_events(&t, EVENTS(A(0), F(0), A(1)));
	assert_true(t.unknown.n == 2 && t.unknown.line == 2);
	assert_true(t.backwards.n == 2 && t.backwards.line == 2);
	assert_true(t.seconds > 1.5 && t.seconds < 1.500000002);
	assert_int_equal(t.lines, 5);
	trace_finish(&t);

	/* allocated where it was in use: all that overlaps went before, whole */
	t = read_text("0 a 8 3 1\n0 a 10 0 0\n0 a a 0 2\n0 a 0 5 1\n0 f f 0 1\n");
	check_events(&t, EVENTS(A(0), A(1), F(0), A(2), F(2), F(1), A(3)));
	assert_true(t.again.n == 2 && t.again.line == 3);
	assert_true(t.parted.n == 1 && t.parted.line == 5);
	assert_int_equal(t.frames_end, 31);
	trace_finish(&t);

	/* freed in parts, and many at once */
	t = read_text("0 a 4 2 1\n0 f 4 0 1\n0 f 6 1 1\n0 f 5 0 1\n0 a 4 0 1\n0 a 5 0 1\n"
		      "0 a 7 0 1\n0 f 4 2 1\n");
	check_events(&t, EVENTS(A(0), F(0), A(1), A(2), A(3), F(1), F(2), F(3)));
	assert_true(t.parted.n == 2 && t.parted.line == 2);
	assert_int_equal(t.used_end, 0);
	trace_finish(&t);

	/* larger than a block */
	t = read_text("0 a 400 10 3\n0 f 400 0 0\n0 f 400 10 0\n");
	check_events(&t, EVENTS(A(0), A(1), F(0), F(1)));
	assert_true(t.large.n == 1 && t.large.line == 1 && t.allocs[0].type == 0);
	assert_int_equal(t.used_most, 2);
	trace_finish(&t);
}

/* The same, by a reader that has one entry a frame and no idea of anything else. */
#define FRAMES 2048u
#define MOST 3000u

static void test_trace_agrees_with_a_naive_reader(void **state)
{
	static char text[MOST * 32];
	static uint32_t owner[FRAMES], events[4 * MOST], nevents;
	struct arena_random random = { seed };

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		uint32_t nallocs = 0, n = 1 + arena_below(&random, MOST);
		uint64_t unknown = 0, again = 0;
		size_t at = 0;
		struct trace t;

		memset(owner, 0, sizeof(owner));
		nevents = 0;
		for (uint32_t i = 0; i < n; i++) {
			unsigned order = arena_below(&random, 4) ? arena_below(&random, 3)
								 : arena_below(&random, 11);
			unsigned pfn = arena_below(&random, FRAMES >> order) << order;
			bool is_free = i && arena_below(&random, 2), any = false;
			unsigned parts = order > 9 ? 2 : 1, end = pfn + (1u << order);

			at += (size_t)snprintf(text + at, sizeof(text) - at, "%u.%u %c %x %u 1\n",
					       i, i % 10, is_free ? 'f' : 'a', pfn, order);
			/* in the order of frames, as each is met */
			for (unsigned part = 0; part < parts; part++) {
				unsigned from = pfn + part * 512;
				unsigned to = parts == 1 ? end : from + 512;

				for (unsigned f = from; f < to; f++) {
					uint32_t id = owner[f];
					bool left = false;

					if (!id)
						continue;
					any = true;
					for (unsigned k = 0; k < FRAMES; k++) {
						if (owner[k] != id)
							continue;
						if (is_free && (k < from || k >= to))
							left = true;
						else
							owner[k] = 0;
					}
					if (!left)
						events[nevents++] = F(id - 1);
				}
				if (is_free)
					continue;
				events[nevents++] = A(nallocs);
				nallocs++;
				for (unsigned f = from; f < to; f++)
					owner[f] = nallocs;
			}
			unknown += is_free && !any;
			again += !is_free && any;
		}
		t = read_text(text);
		check_events(&t, events, nevents);
		assert_int_equal(t.unknown.n, unknown);
		assert_int_equal(t.again.n, again);
		trace_finish(&t);
	}
}

static void test_trace_limits_and_bombs(void **state)
{
	static const struct trace_limits few = { .events = 3, .blocks = 2 };
	static const struct trace_limits none = { .events = 0, .blocks = 2 };
	static const struct trace_limits many = { .events = 1 << 12, .blocks = 1 << 10 };
	const size_t size = 32 << 20;
	char *text = malloc(size);
	void *packed;
	size_t n;

	(void)state;
	assert_non_null(text);
	put(TEXT("0 a 0 0 0\n0 a 200 0 0\n0 a 400 0 0\n"));
	turned_down(&few, -EFBIG, "3: more than 2 blocks of 512 frames");
	put(TEXT("0 f 0 0 0\n0 f 0 0 0\n0 a 0 0 0\n0 f 1 0 0\n"));
	turned_down(&few, -EFBIG, "4: more than 3 events");
	put(TEXT("0 a 0 11 0\n"));
	turned_down(&few, -EFBIG, "1: more than 2 blocks of 512 frames");
	turned_down(&none, -EINVAL, " limits out of range");
	put(TEXT("0 a 0 18 0\n"));
	turned_down(&few, -EFBIG, "1: more than 2 blocks of 512 frames");
	/* a line without an end, and lines that say nothing, for as long as one likes */
	memset(text, '0', size);
	n = pack(text, size, &packed);
	put(packed, n);
	turned_down(NULL, -EINVAL, "1: line longer than 128 bytes");
	free(packed);
	for (size_t i = 0; i < size / 16 * 16; i++)
		text[i] = "0 f 00000 018 0\n"[i % 16];
	n = pack(text, size, &packed);
	assert_true(n < size / 1000);
	put(packed, n);
	turned_down(&many, -EFBIG, "4097: more than 4096 events");
	free(packed);
	n = pack(TEXT(OK OK OK), &packed);
	put(packed, n - 1);
	turned_down(NULL, -EBADMSG, "1: zstd data is cut off");
	free(packed);
	free(text);
}

/* Bytes changed at random: turned down with a line, or consistent. */
static void test_trace_mutations(void **state)
{
	static const struct trace_limits limits = { .events = 1 << 16, .blocks = 1 << 10 };
	static const char good[] = "0.000000 a 10818c 0 0\n0.000028 a 11cee0 2 1\n"
				   "0.000030 a 10696d 0 2\n0.000031 f 11cee0 2 1\n"
				   "1.000000 a 400 9 1\n1.5 f 10696d 0 0\n2.25 a 11cee4 1 1\n";
	struct arena_random random = { seed };
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		char text[sizeof(good)], err[512] = "";
		size_t n = sizeof(good) - 1;
		struct trace t;
		int error;

		memcpy(text, good, sizeof(good));
		for (unsigned k = 1 + arena_below(&random, 4); k; k--)
			text[arena_below(&random, (unsigned)n)] =
				arena_below(&random, 2)
					? (char)arena_next(&random)
					: "0123456789af \n"[arena_below(&random, 14)];
		n -= arena_below(&random, 3) ? 0 : arena_below(&random, (unsigned)n);
		put(text, n);
		error = trace_read_within(path, &limits, &t, err, sizeof(err));
		if (error) {
			assert_true(*err && !strncmp(err, path, strlen(path)));
			for (const char *c = err; *c; c++)
				assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
			continue;
		}
		check(&t);
		trace_finish(&t);
		taken++;
	}
	assert_true(taken > 40 && taken < 4000);
}

static int make(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	seed = arena_seed("test_trace_hostile");
	return fd < 0 || close(fd);
}

static int unmake(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace_wrong_text),
		cmocka_unit_test(test_trace_oddities_are_counted),
		cmocka_unit_test(test_trace_agrees_with_a_naive_reader),
		cmocka_unit_test(test_trace_limits_and_bombs),
		cmocka_unit_test(test_trace_mutations),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}

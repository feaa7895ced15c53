// SPDX-License-Identifier: MIT
/*
 * idle.c: what a quire costs while nothing happens. An arena of 1 GiB.
 *
 * full-4k ...   bytes that describe a frame when the arena is full of folios of that size, against
 *               the 64 of Linux' struct page; empty: with no folio
 * threads       of the process, against those before
 * processor     time in a second that the program sleeps through, against that second
 */
#include "bench.h"

#include <dirent.h>
#include <quire.h>

#define ARENA (1ull << 30)

static struct quire_folio *folio[ARENA / QUIRE_FRAME_BYTES];

static void row(const char *name, const char *unit, double value, double control, double target)
{
	bench_row(&(struct bench_result){ .name = name,
					  .unit = unit,
					  .value = value,
					  .control = control,
					  .ratio = value / control,
					  .target = target,
					  .aim = target > 0 ? BENCH_AT_MOST : BENCH_NO_TARGET });
}

static int metadata(struct quire *q, const char *name, double target)
{
	struct quire_stats s = { .size = sizeof(s) };

	if (quire_stats_get(q, &s))
		return -1;
	row(name, "B", (double)s.metadata_bytes / (double)s.frames, 64, target);
	return 0;
}

static int full(unsigned order, const char *name, double target)
{
	struct quire_owner *owner;
	struct quire *q;
	int error = -1;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = ARENA), &q))
		return -1;
	if (quire_owner_create(q, "bench", NULL, NULL, &owner))
		goto out;
	for (size_t i = 0; i < sizeof(folio) / sizeof(struct quire_folio *) >> order; i++)
		if (quire_folio_create(owner, order, &folio[i]))
			goto out;
	error = metadata(q, name, target);
out:
	return quire_destroy(q) ? -1 : error;
}

static unsigned threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static double processor_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

int main(void)
{
	const struct timespec second = { .tv_sec = 1 };
	unsigned before = threads();
	struct quire *q;
	double t;

	/* 1.4 and 0.2 % of 4096 bytes */
	if (full(0, "full-4k", 57.3 / 64) || full(4, "full-64k", 8.2 / 64) ||
	    full(9, "full-2m", 0) || quire_create(QUIRE_OPTIONS(.arena_bytes = ARENA), &q) ||
	    metadata(q, "empty", 0)) {
		fprintf(stderr, "idle: out of memory\n");
		return 1;
	}
	row("threads", "", threads(), before, 0);
	t = processor_ns();
	nanosleep(&second, NULL);
	t = processor_ns() - t;
	row("processor", "us", t / 1e3, 1e6, 0);
	return quire_destroy(q) ? 1 : 0;
}

// SPDX-License-Identifier: MIT
/*
 * idle.c: what a quire costs while nothing happens. An arena of 1 GiB.
 *
 * full-4k ...   bytes that describe a frame when the arena is full of folios of that size, against
 *               the 64 of Linux' struct page; empty: with no folio
 * threads       of the process, against those before
 * processor     time in a second that the program sleeps through, against that second
 * background    how often whoever works in the background woke in such a second
 */
#include "bench.h"

#include <dirent.h>
#include <quire.h>
#include <unistd.h>

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

/* Switches of all threads but this one, by the kernel's count. */
static unsigned long switches(void)
{
	unsigned long n = 0, one;
	char line[128];
	DIR *dir = opendir("/proc/self/task");

	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[300];
		FILE *file;

		if (e->d_name[0] == '.' || atoi(e->d_name) == getpid())
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		file = fopen(path, "r");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "voluntary_ctxt_switches: %lu", &one) == 1)
				n += one;
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return n;
}

/* One second after it has found nothing to do. */
static int background(struct quire *q)
{
	const struct timespec second = { .tv_sec = 1 };
	struct quire_background_stats s = { .size = sizeof(s) };
	unsigned long before;

	if (quire_background_start(q, NULL))
		return -1;
	do {
		nanosleep(&(const struct timespec){ .tv_nsec = 10000000 }, NULL);
		if (quire_background_stats_get(q, &s))
			return -1;
	} while (s.state != QUIRE_BACKGROUND_RESTING);
	nanosleep(&(const struct timespec){ .tv_nsec = 10000000 }, NULL);
	before = switches();
	nanosleep(&second, NULL);
	bench_row(&(struct bench_result){ .name = "background",
					  .unit = "wakes",
					  .value = (double)(switches() - before),
					  .control = 2, /* a look every 500 ms */
					  .ratio = (double)(switches() - before) / 2,
					  .target = 0,
					  .aim = BENCH_AT_MOST });
	return quire_background_stop(q, 0);
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
	if (background(q))
		return 1;
	return quire_destroy(q) ? 1 : 0;
}

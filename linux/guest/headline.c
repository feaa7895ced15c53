// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much can compaction do when some of the memory is in use by a device?
 *
 *	headline bound|unbound huge|contig SHARE SEED
 *
 * Memory is filled with the mock graphics driver's objects, of 1 to 64 pages,
 * and anonymous memory, page by page beside each other; 60 % of it goes again,
 * objects whole, anonymous memory by the page. SHARE tenths of a percent of the
 * pages that are left belong to objects that are bound and that the engine works
 * on without pause; "unbound" is the same without them being bound or worked on.
 * Then memory is compacted and nr_hugepages raised as far as it goes, or 64 MiB
 * are asked for in one piece. Every byte is verified. Prints one line.
 *
 * SEED decides about each page frame by its number, so that the layout is the
 * same on every boot and kernel. What would be freed is not made first: it is in
 * the driver's pool until then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "test_gpu_uapi.h"

#define PAGE	4096UL
#define BLOCK	512UL			/* pages of a huge page */
#define STREAMS	64			/* objects that grow at a time */
#define BASE	((96UL << 20) / PAGE)	/* first frame that the layout is about */
#define RESERVE	((40UL << 20) / PAGE)	/* for the kernel, while the layout is made */
#define MARGIN	((8UL << 20) / PAGE)	/* that huge pages may not take */
#define CONTIG	((64UL << 20) / PAGE)
#define READS	3			/* objects that a job reads besides its own */
#define LIVE	40			/* percent */
#define BATCH	1024

/* bits of /proc/kpageflags */
#define KPF_LRU		(1ULL << 5)
#define KPF_BUDDY	(1ULL << 10)
#define KPF_NOPAGE	(1ULL << 20)

struct object {
	uint64_t pfn[TGPU_MAX_PAGES];
	uint32_t handle, size, taken, filled;	/* frames: wanted, met, in the pool */
	bool live;
};

static uint64_t state, seed;
static int device;
static unsigned long *pool;
static uint64_t pool_bits;
static struct object *objects;
static uint32_t nr_objects;
static uint64_t *anon_pfn;
static char *anon;
static long nr_anon, live, bound, placed, misplaced;

static uint32_t dice(uint32_t n)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static struct tgpu_args tell(unsigned int cmd, struct tgpu_args args)
{
	if (ioctl(device, cmd, &args) < 0) {
		fprintf(stderr, "ioctl %#x: ", cmd);
		die("test_gpu");
	}
	return args;
}

#define TELL(cmd, ...) tell(cmd, (struct tgpu_args){ __VA_ARGS__ })

static long number_in(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	size_t n = key ? strlen(key) : 0;
	char line[256];
	long value = -1;

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (!key)
			value = atol(line);
		else if (!strncmp(line, key, n) && (line[n] == ' ' || line[n] == ':'))
			value = atol(line + n + 1);
	}
	fclose(f);
	return value;
}

static void put(const char *path, long n)
{
	FILE *f = fopen(path, "w");

	if (!f || fprintf(f, "%ld\n", n) < 0 || fclose(f))
		die(path);
}

static bool in_pool(uint64_t pfn)
{
	return pool[pfn / 64] >> pfn % 64 & 1;
}

/* The layout. */

static void plan(void)
{
	uint32_t stream[STREAMS], i;
	uint64_t pfn, end = 0;

	pool = calloc(1 << 20, 1);
	if (!pool)
		die("pool");
	TELL(TGPU_POOL_TAKE, .value = RESERVE);
	pool_bits = TELL(TGPU_POOL_LIST, .addr = (uintptr_t)pool, .count = 1 << 20).value;
	objects = calloc(pool_bits, sizeof(*objects) / 16);
	anon_pfn = calloc(pool_bits, sizeof(*anon_pfn));
	if (!objects || !anon_pfn)
		die("plan");
	for (i = 0; i < STREAMS; i++)
		stream[i] = UINT32_MAX;
	/* Below is the kernel, and at the end is what it needs for itself; both vary. */
	for (pfn = 0; pfn < pool_bits; pfn++)
		if (in_pool(pfn))
			end = (pfn | (BLOCK - 1)) + 1;
	end -= end / 24;
	for (pfn = BASE; pfn < end; pfn++) {
		bool object = dice(2), keep = dice(100) < LIVE;
		uint32_t which = dice(STREAMS), size = 1 + dice(TGPU_MAX_PAGES);
		struct object *o;

		if (!object) {
			if (keep && in_pool(pfn))
				anon_pfn[nr_anon++] = pfn;
			continue;
		}
		if (stream[which] == UINT32_MAX) {
			if ((nr_objects + 1) * sizeof(*o) > pool_bits * (sizeof(*o) / 16)) {
				errno = ENOSPC;
				die("objects");
			}
			o = &objects[stream[which] = nr_objects++];
			o->size = size;
			o->live = keep;
		}
		o = &objects[stream[which]];
		if (in_pool(pfn))
			o->pfn[o->filled++] = pfn;
		if (++o->taken == o->size)
			stream[which] = UINT32_MAX;
	}
}

static struct tgpu_place batch[BATCH];
static unsigned int nr_batch;

static void place_batch(void)
{
	long good = TELL(TGPU_PLACE, .addr = (uintptr_t)batch, .count = nr_batch).value;

	placed += nr_batch;
	misplaced += nr_batch - good;
	nr_batch = 0;
}

static void place(struct tgpu_place p)
{
	batch[nr_batch++] = p;
	if (nr_batch == BATCH)
		place_batch();
}

static uint64_t anon_word(long page, int w)
{
	return tgpu_word(seed ^ 0xa707, page, w);
}

static void fill(void)
{
	anon = mmap(NULL, nr_anon * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (anon == MAP_FAILED)
		die("mmap");
	madvise(anon, nr_anon * PAGE, MADV_NOHUGEPAGE);
	for (long i = 0; i < nr_anon; i++)
		place((struct tgpu_place){ .pfn = anon_pfn[i], .addr = (uintptr_t)anon + i * PAGE });
	place_batch();
	for (long i = 0; i < nr_anon; i++)
		for (int w = 0; w < TGPU_WORDS; w++)
			((uint64_t *)(anon + i * PAGE))[w] = anon_word(i, w);
	live = nr_anon;
	for (uint32_t i = 0; i < nr_objects; i++) {
		struct object *o = &objects[i];

		if (!o->live || !o->filled)
			continue;
		o->size = o->filled;
		o->handle = TELL(TGPU_CREATE, .count = o->size, .value = i).handle;
		for (uint32_t p = 0; p < o->size; p++)
			place((struct tgpu_place){ .pfn = o->pfn[p], .handle = o->handle, .index = p });
		live += o->size;
	}
	place_batch();
	TELL(TGPU_POOL_DROP);
	TELL(TGPU_DRAIN);
}

/*
 * Bind objects, in random order, until they have @share of the pages. Each has
 * an endless job that writes to it and reads some that were bound before.
 */
static void bind(long share, bool really)
{
	uint32_t *order = calloc(nr_objects, sizeof(*order)), n = 0, i;
	uint32_t *handles = calloc(nr_objects, sizeof(*handles));
	long want = live * share / 1000;

	for (i = 0; i < nr_objects; i++)
		if (objects[i].handle)
			order[n++] = i;
	for (i = 0; i < n; i++) {
		uint32_t j = i + dice(n - i), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (i = 0; i < n && bound < want; i++) {
		struct object *o = &objects[order[i]];
		uint32_t others = i < READS ? i : READS;

		handles[i] = o->handle;
		bound += o->size;
		if (really)
			TELL(TGPU_RUN, .handle = o->handle, .others = others,
			     .addr = (uintptr_t)&handles[i - others], .value = 2 * order[i] + 1);
	}
	free(handles);
	free(order);
}

static struct tgpu_stats stats(void)
{
	struct tgpu_stats s = { 0 };

	if (ioctl(device, TGPU_STATS, &s))
		die("stats");
	return s;
}

/*
 * As many huge pages as there would be if everything that can be moved were
 * where it is in the way least: first in blocks that hold something that cannot.
 */
static long ideal(void)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	uint64_t flags[BLOCK];
	long blocks = 0, move = 0, room = 0, need;
	ssize_t n;

	if (fd < 0)
		die("/proc/kpageflags");
	while ((n = read(fd, flags, sizeof(flags))) == sizeof(flags)) {
		unsigned long movable = 0, freed = 0;

		for (unsigned long i = 0; i < BLOCK; i++) {
			if (flags[i] & KPF_NOPAGE)
				continue;
			freed += !!(flags[i] & KPF_BUDDY);
			movable += !(flags[i] & KPF_BUDDY) && flags[i] & KPF_LRU;
		}
		if (movable + freed == BLOCK) {
			blocks++;
			move += movable;
		} else {
			room += freed;
		}
	}
	close(fd);
	need = move + (long)MARGIN - room;
	if (need > 0)
		blocks -= (need + BLOCK - 1) / BLOCK;
	return blocks;
}

/* As far as it goes: until three rounds in a row bring nothing. */
static long huge_pages(long cap)
{
	long got = -1, now;

	put("/proc/sys/vm/compact_memory", 1);
	for (int i = 0; i < 3; i++) {
		put("/proc/sys/vm/nr_hugepages", cap);
		now = number_in("/proc/sys/vm/nr_hugepages", NULL);
		if (now > got)
			i = -1;
		got = now;
		if (got >= cap)
			break;
		put("/proc/sys/vm/compact_memory", 1);
	}
	return got;
}

static long verify(void)
{
	static uint64_t page[TGPU_WORDS];
	long wrong = 0;

	for (long i = 0; i < nr_anon; i++)
		for (int w = 0; w < TGPU_WORDS; w++)
			wrong += ((uint64_t *)(anon + i * PAGE))[w] != anon_word(i, w);
	for (uint32_t i = 0; i < nr_objects; i++) {
		struct object *o = &objects[i];
		uint64_t sum;

		if (!o->handle)
			continue;
		sum = TELL(TGPU_SUM, .handle = o->handle).value;
		for (uint32_t p = 0; p < o->size; p++) {
			TELL(TGPU_READ, .handle = o->handle, .index = p, .count = 1,
			     .addr = (uintptr_t)page);
			for (int w = 0; w < TGPU_WORDS; w++)
				wrong += page[w] != tgpu_word(i, p, w) + sum;
		}
	}
	return wrong;
}

static const char *const counters[] = {
	"pgmigrate_success", "pgmigrate_fail", "compact_isolated", "compact_stall",
	"compact_fail", "compact_success", "htlb_buddy_alloc_fail",
};

#define NR_COUNTERS (sizeof(counters) / sizeof(*counters))

/* Which blocked folios are counted by reason only where owners can be named. */
static bool wanted(const char *name)
{
	for (unsigned int i = 0; i < NR_COUNTERS; i++)
		if (!strcmp(name, counters[i]))
			return true;
	return !strncmp(name, "migrate_blocked_", 16) || !strncmp(name, "contig_blocked_", 15);
}

static long before[64];

/* Remember the counters of /proc/vmstat; or print what has been added since. */
static void vmstat(bool print)
{
	FILE *f = fopen("/proc/vmstat", "r");
	unsigned int n = 0;
	char name[64];
	long value;

	if (!f)
		die("/proc/vmstat");
	while (n < 64 && fscanf(f, "%63s %ld", name, &value) == 2) {
		if (!wanted(name))
			continue;
		if (print)
			printf(" %s=%ld", name, value - before[n]);
		else
			before[n] = value;
		n++;
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	long cap, got = 0, wrong;
	struct tgpu_stats a, b;
	bool really, contig;
	unsigned int i;

	if (argc != 5)
		return 2;
	really = !strcmp(argv[1], "bound");
	contig = !strcmp(argv[2], "contig");
	state = seed = strtoull(argv[4], NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	put("/proc/sys/vm/percpu_pagelist_high_fraction", 1000);
	device = open("/dev/test_gpu", O_RDWR);
	if (device < 0)
		die("/dev/test_gpu");

	plan();
	fill();
	bind(atol(argv[3]), really);
	/* Each object has been worked on. */
	do {
		usleep(10000);
		a = stats();
	} while (really && bound && !a.least_runs);

	TELL(TGPU_DRAIN);
	cap = ideal();
	vmstat(false);
	a = stats();
	if (contig)
		got = !TELL(TGPU_CONTIG, .count = CONTIG).result;
	else
		got = huge_pages(cap);
	b = stats();
	TELL(TGPU_STOP);
	printf("live=%ld bound=%ld placed=%ld misplaced=%ld ideal=%ld got=%ld", live, bound, placed,
	       misplaced, cap, got);
	vmstat(true);
	put("/proc/sys/vm/nr_hugepages", 0);
#define SHOW(name) printf(" " #name "=%llu", (unsigned long long)(b.name - a.name))
	SHOW(jobs);
	SHOW(deferred);
	SHOW(overdue);
	SHOW(moved);
	SHOW(moved_direct);
	SHOW(moved_in_use);
	SHOW(moved_running);
	SHOW(unbound);
	printf(" rebound=%llu", (unsigned long long)(b.bound - a.bound));
	SHOW(binding);
	SHOW(foreign);
	SHOW(again);
	SHOW(other_error);
	for (i = 0; i < 3; i++)
		printf(" calls%u=%llu busy%u=%llu waited%u=%llu", i,
		       (unsigned long long)(b.calls[i] - a.calls[i]), i,
		       (unsigned long long)(b.busy[i] - a.busy[i]), i,
		       (unsigned long long)(b.waited[i] - a.waited[i]));
	wrong = verify();
	b = stats();
	printf(" engine_wrong=%llu faults=%llu violations=%llu wrong=%ld\n",
	       (unsigned long long)b.wrong, (unsigned long long)b.faults,
	       (unsigned long long)b.violations, wrong);
	return wrong || b.wrong || b.faults || b.violations;
}

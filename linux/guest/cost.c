// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space can count of the instructions of the kernel: faults, the end of mappings, files
 * in memory. For linux/cost; see with/cost/tree/lib/test_cost.c for what a figure means.
 *
 * A line: name, instructions of the shortest window less those of an empty one, operations in a
 * window.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

enum { WINDOWS = 400, MANY = 16, PAGE = 4096, SPAN = 2 << 20 };

static char *map;
static int fd;
static char buffer[PAGE];

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* Its page table exists before a window begins: the page after the last is touched. */
static void new_map(int flags, int file)
{
	map = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, flags, file, 0);
	must(map != MAP_FAILED, "mmap");
	must(!madvise(map, SPAN, MADV_NOHUGEPAGE), "madvise");
	map[MANY * PAGE] = 1;
}

static void anon_before(void)
{
	new_map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void shmem_before(void)
{
	fd = memfd_create("cost", 0);
	must(fd >= 0, "memfd_create");
	must(!ftruncate(fd, SPAN), "ftruncate");
	new_map(MAP_SHARED, fd);
}

static void touch(void)
{
	for (int i = 0; i < MANY; i++)
		((volatile char *)map)[i * PAGE] = 1;
}

static void touched_before(void)
{
	anon_before();
	touch();
}

static void file_before(void)
{
	shmem_before();
	touch();
}

static void present_before(void)
{
	file_before();
	must(!madvise(map, MANY * PAGE, MADV_DONTNEED), "madvise");
}

static void dontneed(void)
{
	must(!madvise(map, MANY * PAGE, MADV_DONTNEED), "madvise");
}

static void truncated(void)
{
	for (int i = MANY; i--;)
		must(!ftruncate(fd, i * PAGE), "ftruncate");
}

static void reads(void)
{
	for (int i = 0; i < MANY; i++)
		must(pread(fd, buffer, PAGE, i * PAGE) == PAGE, "pread");
}

static void after(void)
{
	if (map)
		munmap(map, SPAN);
	if (fd)
		close(fd);
	map = NULL;
	fd = 0;
}

static void nothing(void)
{
}

static unsigned long long shortest(void (*before)(void), void (*run)(void))
{
	unsigned long long least = -1ULL;

	for (int i = 0; i < WINDOWS; i++) {
		before();
		unsigned long long t = __rdtsc();
		run();
		t = __rdtsc() - t;
		after();
		if (t < least)
			least = t;
	}
	return least;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*before)(void), (*run)(void);
	} costs[] = {
		{"anon_fault", anon_before, touch},
		{"anon_zap", touched_before, dontneed},
		{"shmem_fault", shmem_before, touch},
		{"shmem_fault_present", present_before, touch},
		{"shmem_truncate", file_before, truncated},
		{"shmem_read", file_before, reads},
	};
	unsigned long long empty = shortest(nothing, nothing);

	for (unsigned i = 0; i < sizeof costs / sizeof *costs; i++)
		printf("%s %llu %d\n", costs[i].name, shortest(costs[i].before, costs[i].run) - empty, MANY);
	return 0;
}

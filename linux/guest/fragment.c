// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many huge pages does compaction recover when some of the memory in use
 * is pinned by a driver's objects?
 *
 *	fragment SHARE SEED
 *
 * Fills memory with the test driver's objects (16 pages each) and anonymous
 * pages, interleaved; frees 60 % of both at random; has the driver pin SHARE
 * tenths of a percent of the pages that are left; compacts; and raises
 * nr_hugepages as far as it goes. Prints one line of numbers.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "test_folio_owner_uapi.h"

#define PAGE	4096UL
#define PAGES	16		/* of an object, and of anonymous memory beside it */
#define MARGIN	(48UL << 20)	/* what huge pages may not take */

static uint64_t state;

static uint32_t dice(uint32_t n)
{
	state += 0x9e3779b97f4a7c15ULL;
	uint64_t z = state;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long number_in(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char line[128];
	long n = -1;

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (!key)
			n = atol(line);
		else if (!strncmp(line, key, strlen(key)))
			n = atol(line + strlen(key));
	}
	fclose(f);
	return n;
}

static void put(const char *path, long n)
{
	FILE *f = fopen(path, "w");

	if (!f || fprintf(f, "%ld\n", n) < 0 || fclose(f))
		die(path);
}

int main(int argc, char **argv)
{
	long share = argc > 1 ? atol(argv[1]) : 0, bytes, n, i, left = 0, pinned = 0;
	long cap, got, wrong = 0, want;
	struct rlimit files = { 1 << 17, 1 << 17 };
	struct tfo_args args;
	char *anon;
	int *fds;

	state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	put("/proc/sys/fs/nr_open", 1 << 17);
	if (setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit");

	bytes = number_in("/proc/meminfo", "MemFree:") * 1024 - (64L << 20);
	n = bytes / (2 * PAGES * (long)PAGE);
	fds = calloc(n, sizeof(*fds));
	anon = mmap(NULL, n * PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!fds || anon == MAP_FAILED)
		die("mmap");
	madvise(anon, n * PAGES * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < n; i++) {
		fds[i] = open("/dev/folio_owner", O_RDWR);
		args = (struct tfo_args){ .count = PAGES };
		if (fds[i] < 0 || ioctl(fds[i], TFO_CREATE, &args))
			die("object");
		/* On a kernel without owners the object is pinned all the same. */
		ioctl(fds[i], TFO_REGISTER, &args);
		for (int p = 0; p < PAGES; p++)
			memset(anon + (i * PAGES + p) * PAGE, 1 + i % 255, PAGE);
	}

	/* 60 % go; of anonymous memory by the page. */
	for (i = 0; i < n; i++) {
		if (dice(100) < 60) {
			close(fds[i]);
			fds[i] = -1;
		} else {
			left += PAGES;
		}
	}
	for (i = 0; i < n * PAGES; i++) {
		if (dice(100) < 60)
			madvise(anon + i * PAGE, PAGE, MADV_DONTNEED);
		else
			left++;
	}
	/* What was closed is freed a little later. */
	for (i = 0, got = 0; i < 50; i++) {
		long now = number_in("/proc/meminfo", "MemFree:");

		if (now - got < 256 && i)
			break;
		got = now;
		usleep(100000);
	}
	want = left * share / 1000;
	while (pinned < want) {
		i = dice(n);
		args = (struct tfo_args){ .index = dice(PAGES), .count = 1 };
		if (fds[i] >= 0 && !ioctl(fds[i], TFO_PIN, &args))
			pinned++;
	}

	put("/proc/sys/vm/compact_memory", 1);
	cap = (number_in("/proc/meminfo", "MemFree:") * 1024 - MARGIN) >> 21;
	/* As far as it goes: until three rounds in a row bring nothing. */
	for (i = 0, got = -1; i < 3; i++) {
		long now;

		put("/proc/sys/vm/nr_hugepages", cap);
		put("/proc/sys/vm/compact_memory", 1);
		now = number_in("/proc/sys/vm/nr_hugepages", NULL);
		if (now > got)
			i = -1;
		got = now;
		if (got >= cap)
			break;
	}

	for (i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		ioctl(fds[i], TFO_VERIFY, &args);
		wrong += args.value;
	}
	printf("left %ld pinned %ld cap %ld huge %ld wrong %ld\n", left, pinned, cap,
	       got, wrong);
	return wrong != 0;
}

// SPDX-License-Identifier: MIT
#include "os/os.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE /* since Linux 6.1; headers may be older */
#define MADV_COLLAPSE 25
#endif
#define OS_NUMA_NODES 1024u /* no kernel is built for more */

#ifdef QUIRE_POINTS
int (*os_fail_hook)(const char *call);
uint64_t os_clock_override = UINT64_MAX;
bool os_membarrier_missing;
#endif

int os_memfd(const char *name, uint64_t bytes, enum os_pages pages)
{
	OS_KEEP_ERRNO;
	int error = os_fail(pages == OS_PAGES_HUGETLB ? "os:memfd-huge" : "os:memfd");
	unsigned flags = MFD_CLOEXEC;
	struct rlimit most;
	int fd;

	if (error)
		return error;
	/* beyond this limit ftruncate ends the program, by SIGXFSZ */
	if (!getrlimit(RLIMIT_FSIZE, &most) && bytes > most.rlim_cur)
		return -EFBIG;
	if (pages == OS_PAGES_HUGETLB)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	error = os_fail("os:truncate");
	if (!error && ftruncate(fd, (off_t)bytes))
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

void os_close(int fd)
{
	OS_KEEP_ERRNO;

	close(fd);
}

int os_reserve_arena(uint64_t bytes, void **address)
{
	OS_KEEP_ERRNO;
	const uint64_t mask = OS_BLOCK_BYTES - 1;
	int error = os_fail("os:map");
	char *reserved, *aligned;
	uint64_t head;

	if (error)
		return error;
	if (bytes > SIZE_MAX - OS_BLOCK_BYTES)
		return -ENOMEM;
	reserved = mmap(NULL, bytes + OS_BLOCK_BYTES, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return -errno;
	aligned = (char *)(((uintptr_t)reserved + mask) & ~(uintptr_t)mask);
	head = (uint64_t)(aligned - reserved);
	if (head)
		munmap(reserved, head);
	if (OS_BLOCK_BYTES - head)
		munmap(aligned + bytes, OS_BLOCK_BYTES - head);
	*address = aligned;
	return 0;
}

int os_map_file(int fd, uint64_t bytes, void *address)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:map");
	void *probe;

	if (error)
		return error;
	/*
	 * MAP_FIXED that fails leaves a gap, where another thread's next mapping may come to lie.
	 * What can fail fails elsewhere: huge pages, once promised to the file, are not asked for
	 * again.
	 */
	probe = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (probe == MAP_FAILED)
		return -errno;
	if (mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	    MAP_FAILED)
		error = -errno;
	munmap(probe, bytes);
	if (error)
		return error;
	/* Best effort: without it a child of fork() shares the arena instead of having none. */
	(void)madvise(address, bytes, MADV_DONTFORK);
	return 0;
}

int os_mbind(void *address, uint64_t bytes, unsigned node)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:mbind");
	unsigned long nodes[OS_NUMA_NODES / (8 * sizeof(unsigned long))] = { 0 };
	const unsigned each = 8 * sizeof(*nodes);

	if (error)
		return error;
	if (node >= OS_NUMA_NODES)
		return -EINVAL;
	nodes[node / each] = 1ul << (node % each);
	/* The kernel takes one bit less than it is told. */
	if (!syscall(SYS_mbind, address, bytes, MPOL_BIND, nodes, OS_NUMA_NODES + 1, 0))
		return 0;
	/* A kernel without NUMA has node 0 alone. */
	return errno == ENOSYS && !node ? 0 : -errno;
}

int os_collapse(void *address)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:collapse");

	if (error)
		return error;
	return madvise(address, OS_BLOCK_BYTES, MADV_COLLAPSE) ? -errno : 0;
}

/* Of no bytes: the kernel looks whether it knows the advice, and has nothing to do. */
int os_collapse_exists(void *address)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:collapse-exists");

	if (error)
		return error;
	return madvise(address, 0, MADV_COLLAPSE) ? -errno : 0;
}

int64_t os_file_data(int fd, uint64_t offset, uint64_t bytes)
{
	OS_KEEP_ERRNO;
	off_t end = (off_t)(offset + bytes), at = (off_t)offset;
	int error = os_fail("os:data");
	int64_t n = 0;

	if (error)
		return error;
	for (;;) {
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0 && errno != ENXIO)
			return -errno;
		if (data < 0 || data >= end) /* none from here on */
			return n;
		at = lseek(fd, data, SEEK_HOLE);
		if (at < 0)
			return -errno;
		if (at >= end)
			return n + (end - data);
		n += at - data;
	}
}

int64_t os_file_memory(int fd)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:memory");
	struct stat st;

	if (error)
		return error;
	return fstat(fd, &st) ? -errno : (int64_t)st.st_blocks * 512;
}

int os_punch(int fd, uint64_t offset, uint64_t bytes)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:punch");

	if (error)
		return error;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes))
		return -errno;
	return 0;
}

#define FILL_TRIES 100u

int os_fill(int fd, uint64_t offset, uint64_t bytes)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:fill");

	if (error)
		return error;
	/* A signal ends it early, also one of io_uring's that no handler sees; it is none on
	 * return. */
	for (unsigned tries = 0; tries < FILL_TRIES; tries++) {
		error = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) ? -errno
											: 0;
		if (error != -EINTR)
			break;
	}
	return error;
}

/*
 * Tables that are looked up anywhere: with 4 KiB pages most look-ups miss the TLB, which under
 * virtualization takes as long as two cache misses (bench/move at 4 GiB: 0.04 of the ratio).
 * Smaller ones would be mostly rounding.
 */
#define OS_HUGE_FROM (4u << 20)

int os_reserve(uint64_t bytes, void **address)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:map");
	void *p;

	if (error)
		return error;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	if (bytes >= OS_HUGE_FROM)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	*address = p;
	return 0;
}

void os_unmap(void *address, uint64_t bytes)
{
	munmap(address, bytes);
}

int os_membarrier_register(void)
{
	OS_KEEP_ERRNO;

#ifdef QUIRE_POINTS
	if (os_membarrier_missing)
		return -ENOSYS;
#endif
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		return -errno;
	return 0;
}

int os_membarrier(void)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:membarrier");

	if (error)
		return error;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		return -errno;
	return 0;
}

static struct timespec to_timespec(uint64_t ns)
{
	struct timespec ts;

	ts.tv_sec = (time_t)(ns / 1000000000u);
	ts.tv_nsec = (long)(ns % 1000000000u);
	return ts;
}

void os_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	OS_KEEP_ERRNO;
	struct timespec ts = to_timespec(timeout_ns);

#ifdef QUIRE_POINTS
	uint64_t now = __atomic_load_n(&os_clock_override, __ATOMIC_RELAXED);

	/* A clock that the test moves: the wait takes its whole time, in no time. */
	if (now != UINT64_MAX && timeout_ns != UINT64_MAX) {
		__atomic_store_n(&os_clock_override, now + timeout_ns, __ATOMIC_RELAXED);
		sched_yield();
		return;
	}
#endif
	/* A fault here is a wait without an end: whoever has to wake it had better do so. */
	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected,
		      timeout_ns == UINT64_MAX || os_fail("os:futex-timeout") ? NULL : &ts, NULL,
		      0);
}

void os_futex_wake_all(uint32_t *word)
{
	OS_KEEP_ERRNO;

	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static uint64_t clock_read(clockid_t clock)
{
	struct timespec ts;

#ifdef QUIRE_POINTS
	uint64_t now = __atomic_load_n(&os_clock_override, __ATOMIC_RELAXED);

	if (now != UINT64_MAX)
		return now;
#endif
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t os_clock_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t os_clock_coarse_ns(void)
{
	return clock_read(CLOCK_MONOTONIC_COARSE);
}

int os_thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

void os_yield(void)
{
	sched_yield();
}

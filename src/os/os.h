/* SPDX-License-Identifier: MIT */
/*
 * os.h: every system call of the library. Each states what must hold before and what holds after;
 * each that can fail answers -errno. Tests make any of them fail through os_fail_hook.
 * errno itself stays as it was: a pin that waits may stand in a signal handler.
 */
#ifndef QUIRE_SRC_OS_OS_H
#define QUIRE_SRC_OS_OS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OS_BLOCK_BYTES (2u << 20)

/*
 * At the head of a block: when it is left, errno is what it was. A returned -errno is read before.
 */
#define OS_KEEP_ERRNO                                                                              \
	__attribute__((cleanup(os_errno_restore_), unused)) const int kept_errno_ = errno
static inline void os_errno_restore_(const int *kept)
{
	errno = *kept;
}

#ifdef QUIRE_POINTS
/* Asked before a call that can fail; anything but 0 is the call's answer. NULL: never fails. */
extern int (*os_fail_hook)(const char *call);
/* What os_clock_ns() says while it is not UINT64_MAX. Atomic. */
extern uint64_t os_clock_override;
/* Set before the first registration: this kernel has no membarrier. */
extern bool os_membarrier_missing;
static inline int os_fail(const char *call)
{
	int (*hook)(const char *) = __atomic_load_n(&os_fail_hook, __ATOMIC_ACQUIRE);

	return hook ? hook(call) : 0;
}
#else
#define os_fail(call) 0
#endif

enum os_pages {
	OS_PAGES_SMALL,	  /* whatever the system gives */
	OS_PAGES_HUGETLB, /* 2 MiB, out of those that the system has set aside */
};

/*
 * A memory file of bytes bytes, all holes.
 * Before: bytes is a multiple of the page size (of 2 MiB for huge ones), not 0.  After: a
 * descriptor, close-on-exec, or -errno.
 */
int os_memfd(const char *name, uint64_t bytes, enum os_pages pages);
void os_close(int fd);

/*
 * Address space at an address aligned to 2 MiB, of which no byte can be touched; after: 0 and
 * *address, or -errno and nothing mapped. os_unmap() takes it back, whatever was mapped in it.
 */
int os_reserve_arena(uint64_t bytes, void **address);
/*
 * Maps a whole memory file there, shared, readable and writable; not inherited by fork. Of huge
 * pages as many are promised to it as it has. Before: the address lies in an arena.  After: 0, or
 * -errno (-ENOMEM: so many huge pages are not to be had) and the arena has a gap there.
 */
int os_map_file(int fd, uint64_t bytes, void *address);
/*
 * Wishes the memory of a mapping to come from one NUMA node, and from no other. Before: nothing of
 * it was touched.  After: 0, or -errno and nothing was changed (-EINVAL: no such node).
 */
int os_mbind(void *address, uint64_t bytes, unsigned node);

/*
 * Makes the 2 MiB at address, of a memory file of small pages, one huge page, with the same
 * content; holes in it become zeroes. After: 0, or -errno and all is as it was: -EINVAL nothing is
 * there, or no call of this kernel; -EAGAIN a page of it is pinned, -ENOMEM no huge page is left.
 */
int os_collapse(void *address);
/* Could it work at all? 0 or -errno; nothing happens. Before: a mapping begins at address. */
int os_collapse_exists(void *address);

/*
 * How many bytes of memory the file has from offset on, in bytes bytes: resident or swapped out,
 * but no holes. Before: multiples of the page size, inside of the file.  After: that, or -errno.
 */
int64_t os_file_data(int fd, uint64_t offset, uint64_t bytes);
/* The same of a whole memory file, at once, also of huge pages. */
int64_t os_file_memory(int fd);
/*
 * Makes a hole there: its memory goes back to the system, and whoever touches a mapping of it next
 * finds zeroes. Before: as above, and nobody needs the content.  After: 0, or -errno and some of it
 * may be a hole.
 */
int os_punch(int fd, uint64_t offset, uint64_t bytes);
/* The reverse: memory, zeroes where holes were. After: 0, or -errno and there may be some. */
int os_fill(int fd, uint64_t offset, uint64_t bytes);

/* Address space for tables: zeroes, private, memory only where it is touched. 0 or -errno. */
int os_reserve(uint64_t bytes, void **address);
/* Before: exactly what os_reserve_arena or os_reserve gave. Cannot fail then. */
void os_unmap(void *address, uint64_t bytes);

/*
 * A full memory barrier in every thread of this process that runs now (membarrier(2), private
 * expedited). register: once per process, -errno where the kernel has none.
 */
int os_membarrier_register(void);
int os_membarrier(void);

/*
 * Sleeps while *word is expected, timeout_ns at most (UINT64_MAX: for ever); may wake for no
 * reason.
 */
void os_futex_wait(uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void os_futex_wake_all(uint32_t *word);

/* Nanoseconds, monotonic; coarse is a few ms off and costs a few ns. */
uint64_t os_clock_ns(void);
uint64_t os_clock_coarse_ns(void);

int os_thread_id(void);
void os_yield(void);

#endif

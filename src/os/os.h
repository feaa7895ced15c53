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

/*
 * A memory file of bytes bytes, all holes.
 * Before: bytes is a multiple of the page size, not 0.  After: a descriptor, close-on-exec, or
 * -errno.
 */
int os_memfd(const char *name, uint64_t bytes);
void os_close(int fd);

/*
 * Maps a whole memory file, shared, readable and writable, at an address aligned to 2 MiB; not
 * inherited by fork. After: 0 and *address, or -errno and nothing mapped.
 */
int os_map_file(int fd, uint64_t bytes, void **address);

/*
 * How many bytes of memory the file has from offset on, in bytes bytes: resident or swapped out,
 * but no holes. Before: multiples of the page size, inside of the file.  After: that, or -errno.
 */
int64_t os_file_data(int fd, uint64_t offset, uint64_t bytes);
/*
 * Makes a hole there: its memory goes back to the system, and whoever touches a mapping of it next
 * finds zeroes. Before: as above, and nobody needs the content.  After: 0, or -errno and some of it
 * may be a hole.
 */
int os_punch(int fd, uint64_t offset, uint64_t bytes);

/* Address space for tables: zeroes, private, memory only where it is touched. 0 or -errno. */
int os_reserve(uint64_t bytes, void **address);
/* Before: exactly what os_map_file or os_reserve gave. Cannot fail then. */
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

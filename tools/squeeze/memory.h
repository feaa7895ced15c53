/* SPDX-License-Identifier: MIT */
/*
 * memory.h: how much memory there is for a squeeze, before it begins.
 */
#ifndef SQUEEZE_MEMORY_H
#define SQUEEZE_MEMORY_H

#include <stdint.h>

/* Bytes that this process may lock, or have the kernel pin; UINT64_MAX: any. */
uint64_t memory_lockable(void);

/*
 * Bytes of shared memory that this process has in memory, hugetlb's among them, by
 * /proc/self/status; 0: it says nothing.
 */
uint64_t memory_resident(void);

/*
 * Bytes that can be had without swapping, and within the limits of this process's control groups
 * (of both kinds); UINT64_MAX where nothing says. root: "", or a folder that has proc and sys.
 */
uint64_t memory_available(const char *root);

#endif

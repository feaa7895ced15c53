/* SPDX-License-Identifier: MIT */
/*
 * mem.h: the library's own allocations: zeroed, checked for overflow, made to fail by tests.
 */
#ifndef QUIRE_SRC_UTIL_MEM_H
#define QUIRE_SRC_UTIL_MEM_H

#include "os/os.h"
#include "util/points.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* n zeroed things of size bytes; NULL on overflow, or without memory. n may be 0. */
static inline void *mem_zalloc(size_t n, size_t size)
{
	OS_KEEP_ERRNO;

	if (FAULT_POINT("mem"))
		return NULL;
	return calloc(n ? n : 1, size);
}

/* The same, not zeroed. */
static inline void *mem_alloc(size_t n, size_t size)
{
	OS_KEEP_ERRNO;

	if ((size && n > SIZE_MAX / size) || FAULT_POINT("mem"))
		return NULL;
	return malloc(n && size ? n * size : 1);
}

/*
 * The array, grown to at least want elements, or NULL, and then it is as it was. What it held
 * stays.
 */
static inline void *mem_grow(void *array, size_t *capacity, size_t want, size_t size)
{
	OS_KEEP_ERRNO;
	size_t n = *capacity ? *capacity : 64;
	void *p;

	if (array && want <= *capacity)
		return array;
	while (n < want) {
		if (n > SIZE_MAX / 2 / size)
			return NULL;
		n *= 2;
	}
	if (n > SIZE_MAX / size || FAULT_POINT("mem"))
		return NULL;
	p = realloc(array, n * size);
	if (p)
		*capacity = n;
	return p;
}

static inline void mem_free(void *p)
{
	free(p);
}

#endif

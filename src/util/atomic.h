/* SPDX-License-Identifier: MIT */
/*
 * atomic.h: short names for the compiler's atomic operations. The public headers must compile as
 * C++, so atomic fields are plain integers and pointers; the operation names the ordering.
 */
#ifndef QUIRE_SRC_UTIL_ATOMIC_H
#define QUIRE_SRC_UTIL_ATOMIC_H

#include <stdint.h>

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add_relaxed(p, v) ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
/* Read-modify-writes are sequentially consistent: on x86 that is what they cost anyway. */
#define fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define fetch_sub(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define exchange(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
/* *expected is updated when it fails. */
#define compare_exchange(p, expected, v)                                                           \
	__atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif

// SPDX-License-Identifier: MIT
/*
 * copy.c: copying frames past the caches: what is moved is seldom what is read next, and a store
 * that need not fetch its line first saves a third of the traffic.
 *
 * A non-temporal store is not ordered by a release store: copy_done() is the sfence between the
 * last copy and the first publication, and part of the protocol.
 */
#include "migrate/batch.h"
#include "util/points.h"

#include <string.h>

#if defined(__x86_64__) && !QUIRE_TSAN_
#include <emmintrin.h>

static void copy_line(__m128i *to, const __m128i *from)
{
	__m128i a = _mm_load_si128(from);
	__m128i b = _mm_load_si128(from + 1);
	__m128i c = _mm_load_si128(from + 2);
	__m128i d = _mm_load_si128(from + 3);

	_mm_stream_si128(to, a);
	_mm_stream_si128(to + 1, b);
	_mm_stream_si128(to + 2, c);
	_mm_stream_si128(to + 3, d);
}

/*
 * The processor fetches ahead by itself, but not across pages: so while one page is copied the next
 * one is asked for, wherever it is. For scattered pages that doubles the rate.
 */
static void copy_page(__m128i *to, const __m128i *from, const char *next)
{
	for (size_t i = 0; i < QUIRE_FRAME_BYTES / sizeof(*to); i += 4) {
		_mm_prefetch(next + i * sizeof(*to), _MM_HINT_NTA);
		copy_line(to + i, from + i);
	}
}

static void copy(char *to, const char *from, size_t bytes, const char *next)
{
	const size_t page = QUIRE_FRAME_BYTES;

	for (; bytes; bytes -= page, to += page, from += page)
		copy_page((__m128i *)(void *)to, (const __m128i *)(const void *)from,
			  bytes > page ? from + page : next);
}

void copy_done(void)
{
	_mm_sfence();
}

#else

static void copy(char *to, const char *from, size_t bytes, const char *next)
{
	(void)next;
	memcpy(to, from, bytes);
}

void copy_done(void)
{
}

#endif

void copy_ahead(const char *from)
{
	for (size_t i = 0; i < QUIRE_FRAME_BYTES; i += 64)
		__builtin_prefetch(from + i, 0, 0);
}

int copy_frames(char *to, const char *from, size_t bytes, const char *next)
{
	int error = FAULT_POINT("copy");

	if (error)
		return error;
	copy(to, from, bytes, next);
	return 0;
}

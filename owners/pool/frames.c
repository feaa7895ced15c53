// SPDX-License-Identifier: MIT
/*
 * frames.c: the free frames of a pool.
 *
 * Invariants:
 *   chunk[i].first < chunk[i + 1].first, each aligned to 2^order
 *   chunk.free  =  its bits that are clear
 *   free        =  the sum of theirs
 *
 * A place is looked for in the chunk with the fewest free frames that has one: so chunks fill up
 * one after the other, and others become empty and can be given back. That walks over all chunks;
 * a gigabyte has 512 of order 9.
 */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_PLACE UINT32_MAX

int frames_reserve(struct frames *f, uint64_t n)
{
	struct chunk *more;
	size_t room, bytes;

	if (n <= f->room - f->n)
		return 0;
	if (__builtin_add_overflow(f->n, n, &room) ||
	    __builtin_mul_overflow(room, sizeof(*more), &bytes))
		return -ENOMEM;
	more = realloc(f->chunk, bytes);
	if (!more)
		return -ENOMEM;
	f->chunk = more;
	f->room = room;
	return 0;
}

/* How many chunks begin at or before a frame. */
static size_t chunks_upto(const struct frames *f, uint32_t frame)
{
	size_t low = 0, high = f->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->chunk[mid].first <= frame)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void frames_add(struct frames *f, struct quire_frame first)
{
	size_t at = chunks_upto(f, first.n);
	struct chunk *c = &f->chunk[at];
	uint32_t frames = 1u << f->order;

	memmove(c + 1, c, (f->n - at) * sizeof(*c));
	memset(c, 0, sizeof(*c));
	c->first = first.n;
	c->free = frames;
	for (uint32_t i = 0; i < CHUNK_WORDS; i++)
		if (frames <= i * 64)
			c->used[i] = ~0ull;
		else if (frames < (i + 1) * 64)
			c->used[i] = ~0ull << (frames - i * 64);
	f->n++;
	f->free += frames;
}

bool frames_remove_empty(struct frames *f, size_t skip, struct quire_frame *first)
{
	for (size_t i = f->n; i-- > 0;) {
		struct chunk *c = &f->chunk[i];

		if (c->free != 1u << f->order || skip-- > 0)
			continue;
		*first = quire_frame(c->first);
		f->free -= c->free;
		f->n--;
		memmove(c, c + 1, (f->n - i) * sizeof(*c));
		return true;
	}
	return false;
}

/* The first free place in a chunk, from its beginning; NO_PLACE. */
static uint32_t chunk_find(const struct chunk *c, unsigned order)
{
	/* where places of order 0 to 5 may begin within 64 */
	static const uint64_t begin[] = { ~0ull,
					  0x5555555555555555ull,
					  0x1111111111111111ull,
					  0x0101010101010101ull,
					  0x0001000100010001ull,
					  0x0000000100000001ull };

	if (order < 6) {
		for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
			uint64_t free = ~c->used[i];

			/* bit b: so many from b on are free */
			for (unsigned o = 0; o < order; o++)
				free &= free >> (1u << o);
			free &= begin[order];
			if (free)
				return i * 64 + (uint32_t)__builtin_ctzll(free);
		}
		return NO_PLACE;
	}
	for (uint32_t i = 0, words = 1u << (order - 6); i < CHUNK_WORDS; i += words) {
		uint64_t used = 0;

		for (uint32_t k = 0; k < words; k++)
			used |= c->used[i + k];
		if (!used)
			return i * 64;
	}
	return NO_PLACE;
}

/* The bits of a place in word i. */
static uint64_t place_bits(uint32_t at, unsigned order, uint32_t i)
{
	uint32_t n = 1u << order;

	if (n >= 64)
		return i >= at / 64 && i < (at + n) / 64 ? ~0ull : 0;
	return i == at / 64 ? ((1ull << n) - 1) << (at % 64) : 0;
}

bool frames_take(struct frames *f, unsigned order, struct quire_frame *frame)
{
	struct chunk *best = NULL;
	uint32_t best_at = NO_PLACE;

	if (order > f->order)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		struct chunk *c = &f->chunk[i];
		uint32_t at;

		if (c->free < 1u << order || (best && c->free >= best->free))
			continue;
		at = chunk_find(c, order);
		if (at == NO_PLACE)
			continue;
		best = c;
		best_at = at;
	}
	if (!best)
		return false;
	for (uint32_t i = 0; i < CHUNK_WORDS; i++)
		best->used[i] |= place_bits(best_at, order, i);
	best->free -= 1u << order;
	f->free -= 1u << order;
	*frame = quire_frame(best->first + best_at);
	return true;
}

struct chunk *frames_chunk(const struct frames *f, struct quire_frame frame)
{
	size_t n = chunks_upto(f, frame.n);

	if (!n || frame.n - f->chunk[n - 1].first >= 1u << f->order)
		return NULL;
	return &f->chunk[n - 1];
}

int frames_give(struct frames *f, unsigned order, struct quire_frame frame)
{
	struct chunk *c = frames_chunk(f, frame);
	uint32_t at, n = 0;

	if (!c || order > f->order)
		return -EINVAL;
	at = frame.n - c->first;
	if (at % (1u << order))
		return -EINVAL;
	for (uint32_t i = 0; i < CHUNK_WORDS; i++) {
		uint64_t bits = c->used[i] & place_bits(at, order, i);

		n += (uint32_t)__builtin_popcountll(bits);
		c->used[i] &= ~bits;
	}
	c->free += n;
	f->free += n;
	return (int)n;
}

int frames_largest(const struct frames *f)
{
	int order = (int)f->order;

	for (; order >= 0; order--)
		for (size_t i = 0; i < f->n; i++)
			if (chunk_find(&f->chunk[i], (unsigned)order) != NO_PLACE)
				return order;
	return -1;
}

const char *frames_validate(const struct frames *f)
{
	uint64_t free = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct chunk *c = &f->chunk[i];
		uint32_t clear = 0;

		if (c->first % (1u << f->order))
			return "a chunk is not aligned";
		if (i && c[-1].first >= c->first)
			return "chunks are out of order";
		for (uint32_t w = 0; w < CHUNK_WORDS; w++)
			clear += (uint32_t)__builtin_popcountll(~c->used[w]);
		if (clear != c->free)
			return "a chunk's free frames are miscounted";
		free += clear;
	}
	return free == f->free ? NULL : "free frames are miscounted";
}

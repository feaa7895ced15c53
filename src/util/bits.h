/* SPDX-License-Identifier: MIT */
/*
 * bits.h: the 512-bit field of a block: bit i is frame i, set while it is in use.
 */
#ifndef QUIRE_SRC_UTIL_BITS_H
#define QUIRE_SRC_UTIL_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_WORDS 8
#define BLOCK_NONE 512u

struct block_bits {
	uint64_t word[BLOCK_WORDS];
};

/* 2^order ones, order 0 to 6. */
static inline uint64_t bits_mask(unsigned order)
{
	return order >= 6 ? ~0ull : (1ull << (1u << order)) - 1;
}

static inline bool bits_test(const struct block_bits *b, unsigned i)
{
	return (b->word[i / 64] >> (i % 64)) & 1;
}

/* Are all 2^order frames from i, aligned, free? */
static inline bool bits_range_clear(const struct block_bits *b, unsigned i, unsigned order)
{
	if (order <= 6)
		return ((b->word[i / 64] >> (i % 64)) & bits_mask(order)) == 0;
	for (unsigned w = i / 64; w < (i + (1u << order)) / 64; w++)
		if (b->word[w])
			return false;
	return true;
}

static inline bool bits_range_all_set(const struct block_bits *b, unsigned i, unsigned order)
{
	if (order <= 6)
		return ((~b->word[i / 64] >> (i % 64)) & bits_mask(order)) == 0;
	for (unsigned w = i / 64; w < (i + (1u << order)) / 64; w++)
		if (~b->word[w])
			return false;
	return true;
}

static inline void bits_range_set(struct block_bits *b, unsigned i, unsigned order)
{
	if (order <= 6) {
		b->word[i / 64] |= bits_mask(order) << (i % 64);
		return;
	}
	for (unsigned w = i / 64; w < (i + (1u << order)) / 64; w++)
		b->word[w] = ~0ull;
}

static inline void bits_range_reset(struct block_bits *b, unsigned i, unsigned order)
{
	if (order <= 6) {
		b->word[i / 64] &= ~(bits_mask(order) << (i % 64));
		return;
	}
	for (unsigned w = i / 64; w < (i + (1u << order)) / 64; w++)
		b->word[w] = 0;
}

/* Sets bits from i to below end. */
static inline void bits_span_set(struct block_bits *b, unsigned i, unsigned end)
{
	for (unsigned next; i < end; i = next) {
		next = (i | 63) + 1 < end ? (i | 63) + 1 : end;
		b->word[i / 64] |= (~0ull >> (64 - (next - i))) << (i % 64);
	}
}

/* Are all frames from i to below end free? */
static inline bool bits_span_clear(const struct block_bits *b, unsigned i, unsigned end)
{
	for (unsigned next; i < end; i = next) {
		next = (i | 63) + 1 < end ? (i | 63) + 1 : end;
		if (b->word[i / 64] & (~0ull >> (64 - (next - i))) << (i % 64))
			return false;
	}
	return true;
}

/* In x, bit i of each aligned group of 2^order is set iff the whole group is. */
static inline uint64_t bits_fold(uint64_t x, unsigned order)
{
	static const uint64_t heads[7] = { ~0ull,
					   0x5555555555555555ull,
					   0x1111111111111111ull,
					   0x0101010101010101ull,
					   0x0001000100010001ull,
					   0x0000000100000001ull,
					   1ull };

	for (unsigned o = 0; o < order; o++)
		x &= x >> (1u << o);
	return x & heads[order];
}

/* The first aligned free place of 2^order frames, or BLOCK_NONE. */
static inline unsigned bits_find_clear(const struct block_bits *b, unsigned order)
{
	if (order <= 6) {
		for (unsigned w = 0; w < BLOCK_WORDS; w++) {
			uint64_t x = bits_fold(~b->word[w], order);

			if (x)
				return w * 64 + (unsigned)__builtin_ctzll(x);
		}
		return BLOCK_NONE;
	}
	for (unsigned i = 0; i < 512; i += 1u << order)
		if (bits_range_clear(b, i, order))
			return i;
	return BLOCK_NONE;
}

/* How many aligned free places of 2^order frames. */
static inline unsigned bits_count_clear(const struct block_bits *b, unsigned order)
{
	unsigned n = 0;

	if (order <= 6) {
		for (unsigned w = 0; w < BLOCK_WORDS; w++)
			n += (unsigned)__builtin_popcountll(bits_fold(~b->word[w], order));
		return n;
	}
	for (unsigned i = 0; i < 512; i += 1u << order)
		n += bits_range_clear(b, i, order);
	return n;
}

#endif

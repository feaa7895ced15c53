/* SPDX-License-Identifier: MIT */
/*
 * random.h: random numbers that are the same everywhere for one seed (splitmix64, S. Vigna).
 */
#ifndef SQUEEZE_RANDOM_H
#define SQUEEZE_RANDOM_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

/* A bijection on 64 bits in which every bit of x reaches every bit of the result. */
static inline uint64_t rng_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15ull;
	return rng_mix(r->state);
}

/* 0 to n - 1; n from 1 to 2^32. The bias is below n / 2^32. */
static inline uint32_t rng_below(struct rng *r, uint64_t n)
{
	return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

#endif

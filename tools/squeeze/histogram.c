/* SPDX-License-Identifier: MIT */
/*
 * Values below 64 have a bucket each. A larger one, of e + 1 significant bits (e >= 6), goes by its
 * six highest bits: bucket 64 + (e - 6) * 32 + those bits - 32.
 */
#include "histogram.h"

static unsigned bucket_of(uint64_t ns)
{
	unsigned e;

	if (ns < 64)
		return (unsigned)ns;
	e = 63u - (unsigned)__builtin_clzll(ns);
	return 64 + (e - 6) * 32 + (unsigned)(ns >> (e - 5)) - 32;
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned b)
{
	unsigned shift;

	if (b < 64)
		return b;
	shift = (b - 64) / 32 + 1;
	return (((b - 64) % 32 + 33ull) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->n++;
	h->bucket[bucket_of(ns)]++;
	if (ns > h->max)
		h->max = ns;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	to->n += from->n;
	if (from->max > to->max)
		to->max = from->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
	uint64_t seen = 0, top;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (h->bucket[i] && (double)seen >= share * (double)h->n) {
			top = bucket_top(i);
			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}

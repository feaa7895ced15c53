/* SPDX-License-Identifier: MIT */
/*
 * histogram.h: durations in buckets of at most 1/32 of their value; exact below 64 ns.
 */
#ifndef SQUEEZE_HISTOGRAM_H
#define SQUEEZE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (64 + 58 * 32)

struct histogram {
	uint64_t n;
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The smallest value that at least this share (0 to 1) of what was added does not exceed. */
uint64_t histogram_quantile(const struct histogram *h, double share);

#endif

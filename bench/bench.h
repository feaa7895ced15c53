/* SPDX-License-Identifier: MIT */
/*
 * bench.h: what the benchmarks share: a clock, medians of rounds, and one row of output each.
 *
 * A row is a ratio against a control measured in the same run, round by round, so that a machine
 * whose speed drifts moves both.
 */
#ifndef QUIRE_BENCH_BENCH_H
#define QUIRE_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_ROUNDS 7

static inline double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline int bench_by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double bench_median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), bench_by_value);
	return v[n / 2];
}

/* Keeps a value alive, and the compiler from looking through it. */
#define bench_keep(x) __asm__ __volatile__("" : "+r"(x)::"memory")

static inline void bench_row(const char *name, double value, const char *unit, double control,
			     double ratio)
{
	printf("%-14s %10.2f %-5s  control %10.2f  ratio %6.3f\n", name, value, unit, control,
	       ratio);
}

#endif

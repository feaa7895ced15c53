/* SPDX-License-Identifier: MIT */
/*
 * bench.h: what the benchmarks share: a clock, medians of rounds, and one row of output each.
 *
 * A row is a ratio against a control measured in the same run, round by round, so that a machine
 * whose speed drifts moves both.
 */
#ifndef QUIRE_BENCH_BENCH_H
#define QUIRE_BENCH_BENCH_H

#include <stdbool.h>
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

/* The time that this thread has run. */
static inline double bench_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
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

/* What a row is held against. */
enum bench_aim {
	BENCH_AT_MOST,	/* its ratio is at most the target */
	BENCH_AT_LEAST, /* its ratio is at least the target */
	BENCH_MORE,	/* it is more than its control by at most the target, in its unit */
	BENCH_BELOW,	/* its value is at most the target, in its unit */
	BENCH_NO_TARGET,
};

struct bench_result {
	const char *name, *unit;
	double value, control, ratio, target;
	enum bench_aim aim;
};

/* Prints a row; and appends it as JSON to the file that QUIRE_BENCH_ROWS names, a line each. */
static inline void bench_row(const struct bench_result *r)
{
	const char *file = getenv("QUIRE_BENCH_ROWS");
	bool met = r->aim == BENCH_AT_MOST    ? r->ratio <= r->target
		   : r->aim == BENCH_AT_LEAST ? r->ratio >= r->target
		   : r->aim == BENCH_BELOW    ? r->value <= r->target
					      : r->value - r->control <= r->target;
	FILE *rows;

	printf("%-14s %10.2f %-5s  control %10.2f  ratio %6.3f", r->name, r->value, r->unit,
	       r->control, r->ratio);
	if (r->aim == BENCH_NO_TARGET)
		printf("\n");
	else
		printf("  target %s %.2f%s%s  %s\n",
		       r->aim == BENCH_AT_LEAST ? ">=" : "<=", r->target,
		       r->aim == BENCH_MORE    ? " more, "
		       : r->aim == BENCH_BELOW ? " "
					       : "",
		       r->aim == BENCH_MORE || r->aim == BENCH_BELOW ? r->unit : "",
		       met ? "met" : "missed");
	rows = file ? fopen(file, "a") : NULL;
	if (!rows)
		return;
	fprintf(rows,
		"{\"name\": \"%s\", \"value\": %.4f, \"unit\": \"%s\", \"control\": %.4f, "
		"\"ratio\": %.4f, ",
		r->name, r->value, r->unit, r->control, r->ratio);
	if (r->aim == BENCH_NO_TARGET)
		fprintf(rows, "\"target\": null, \"met\": null}\n");
	else
		fprintf(rows, "\"target\": %.4f, \"met\": %s}\n", r->target,
			met ? "true" : "false");
	fclose(rows);
}

#endif

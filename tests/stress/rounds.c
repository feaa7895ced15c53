// SPDX-License-Identifier: MIT
#include "rounds.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct quire *q;
uint64_t seed, ops;
unsigned round_now;
unsigned stop_movers;
uint64_t plans;

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: QUIRE_SEED=%" PRIu64 " round %u: ", program_invocation_short_name,
		seed, round_now);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

void equal(const char *what, uint64_t a, uint64_t b)
{
	if (a != b)
		fail("%s: %" PRIu64 " is not %" PRIu64, what, a, b);
}

void *mover(void *arg)
{
	static const enum quire_mode modes[] = { QUIRE_ASYNC, QUIRE_SYNC_LIGHT, QUIRE_SYNC };
	uintptr_t i = (uintptr_t)arg;

	while (!LOOK(&stop_movers)) {
		struct quire_result result = { .size = sizeof(result) };
		struct quire_plan *plan;
		int rc = quire_plan_create(
			q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
			&plan);

		if (rc)
			fail("making a plan: %d", rc);
		rc = quire_plan_execute(
			plan,
			QUIRE_BUDGET(.mode = modes[i++ % 3], .mode_set = 1, .folio_ns = 2000000),
			&result);
		if (rc)
			fail("executing a plan: %d", rc);
		quire_plan_destroy(plan);
		ADD(&plans, 1);
	}
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * consumer.c: a program of somebody else, built against the installed library: makes folios,
 * squeezes them together, and says what it got. C11, strict.
 */
#include <inttypes.h>
#include <quire.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	static struct quire_folio *f[2048];
	struct quire_result r = { .size = sizeof r };
	struct quire_owner *owner;
	struct quire_plan *plan;
	struct quire *q;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 16 << 20), &q) ||
	    quire_owner_create(q, "consumer", NULL, NULL, &owner))
		return 1;
	for (int i = 0; i < 2048; i++) {
		if (quire_folio_create(owner, 0, &f[i]))
			return 1;
		memset(quire_pin(f[i]), i, QUIRE_FRAME_BYTES);
		quire_unpin(f[i]);
	}
	for (int i = 0; i < 2048; i++)
		if (i % 4)
			quire_folio_put(f[i]);
	if (quire_plan_create(
		    q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
		    &plan) ||
	    quire_plan_execute(plan, NULL, &r))
		return 1;
	quire_plan_destroy(plan);
	for (int i = 0; i < 2048; i += 4) {
		const unsigned char *p = quire_pin(f[i]);

		if (!p || p[0] != (unsigned char)i || p[QUIRE_FRAME_BYTES - 1] != (unsigned char)i)
			return 1;
		quire_unpin(f[i]);
	}
	printf("%s: %" PRIu64 " runs\n", quire_version(), r.obtained);
	/* 512 folios live: one window keeps them, the other seven are runs */
	return r.obtained == 7 && quire_destroy(q) == 0 ? 0 : 1;
}

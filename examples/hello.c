// SPDX-License-Identifier: MIT
/*
 * hello.c: a cache fills half an arena, drops seven pages in eight, and has what is left squeezed
 * together. One page is pinned, and named.
 */
#include <quire.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct quire *q;
	struct quire_owner *cache;
	struct quire_plan *plan;
	struct quire_result r = { .size = sizeof(r) };
	static struct quire_folio *f[8192];

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 64 << 20), &q) ||
	    quire_owner_create(q, "cache", NULL, NULL, &cache)) /* no ops: may always move */
		return 1;
	for (int i = 0; i < 8192; i++) {
		if (quire_folio_create(cache, 0, &f[i])) /* order 0: 4 KiB */
			return 1;
		memset(quire_pin(f[i]), i, 4096); /* the address holds until unpin */
		quire_unpin(f[i]);
	}
	for (int i = 0; i < 8192; i++)
		if (i % 8)
			quire_folio_put(f[i]); /* one page in eight lives on */
	quire_pin(f[0]);		       /* this one will be named */
	if (quire_plan_create(
		    q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
		    &plan) ||
	    quire_plan_execute(plan, NULL, &r)) /* NULL: no budget */
		return 1;
	printf("%lu runs, %lu bytes moved\n", r.obtained, r.bytes_moved);
	for (size_t i = 0; i < quire_plan_blockers(plan); i++) {
		const struct quire_blocker *b = quire_plan_blocker(plan, i);

		printf("%s: %s at %s\n", b->owner, b->reason, b->site);
	}
	quire_plan_destroy(plan);
	quire_unpin(f[0]);
	return quire_destroy(q) ? 1 : 0;
}

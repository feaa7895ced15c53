/* SPDX-License-Identifier: MIT */
#include "arenas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t arena_next(struct arena_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

unsigned arena_below(struct arena_random *random, unsigned below)
{
	return (unsigned)(arena_next(random) % below);
}

uint64_t arena_seed(const char *test)
{
	const char *text = getenv("QUIRE_SEED");
	uint64_t seed = text && *text ? strtoull(text, NULL, 0) : 1;

	printf("# %s: QUIRE_SEED=%llu\n", test, (unsigned long long)seed);
	return seed;
}

void arena_make(struct arena_random *random, enum arena_kind kind, struct arena_room *room)
{
	static const unsigned fixed_percents[] = { 0, 0, 2, 8, 25 };
	bool used[ORACLE_BRUTE_FRAMES] = { false };
	const unsigned window_order = 2 + arena_below(random, 3);
	const unsigned windows = 3 + arena_below(random, 4);
	const unsigned fixed = fixed_percents[arena_below(random, 5)];
	const unsigned fill = arena_below(random, 101);
	const unsigned small = 1 + arena_below(random, 6); /* the more, the smaller the folios */
	size_t n = 0;

	for (unsigned b = 0; b < windows; b++) {
		/* About every sixth window is free, and every third much fuller or emptier. */
		unsigned kept = arena_below(random, 6), tries = 1u << window_order;
		unsigned percent = kept == 1 ? arena_below(random, 101) : fill;

		for (unsigned t = 0; kept && t < tries; t++) {
			unsigned order = 0, at;
			bool taken = false;

			if (arena_below(random, 100) >= percent)
				continue;
			while (kind == ARENA_MIXED && order < window_order &&
			       !arena_below(random, small))
				order++;
			at = arena_below(random, 1u << (window_order - order)) << order;
			for (unsigned k = 0; k < 1u << order; k++)
				taken = taken || used[(b << window_order) + at + k];
			if (taken)
				continue;
			memset(used + (b << window_order) + at, true, 1u << order);
			room->folios[n++] = (struct oracle_folio){
				.block = b,
				.offset = (uint16_t)at,
				.order = (uint8_t)order,
				.fixed = arena_below(random, 100) < fixed,
			};
		}
	}
	for (size_t i = n; i > 1; i--) {
		size_t k = arena_below(random, (unsigned)i);
		struct oracle_folio f = room->folios[k];

		room->folios[k] = room->folios[i - 1];
		room->folios[i - 1] = f;
	}
	room->arena = (struct oracle_arena){
		.blocks = windows,
		.window_order = window_order,
		.n = n,
		.folios = room->folios,
	};
}

void arena_print(const struct oracle_arena *arena)
{
	printf("# arena: %u windows of %u frames\n", arena->blocks, 1u << arena->window_order);
	for (size_t i = 0; i < arena->n; i++) {
		const struct oracle_folio *f = &arena->folios[i];

		printf("#   window %u offset %u order %u%s\n", f->block, f->offset, f->order,
		       f->fixed ? " fixed" : "");
	}
}

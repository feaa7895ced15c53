// SPDX-License-Identifier: MIT
/*
 * test_slide.c: where one run goes, against brute force: each position on its own, frame by frame.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arenas.h"
#include "contig/slide.h"
#include "util/points.h"

#define BLOCKS_MAX 4
#define FRAMES_MAX (BLOCKS_MAX * 512)

enum what { FREE, OTHER, LIVE, LENT, FIXED };

/* An arena, frame by frame, and the same as slide() wants it. */
struct room {
	uint32_t blocks, frames;
	enum what is[FRAMES_MAX];
	uint32_t first[FRAMES_MAX]; /* of the folio there */
	uint32_t size[FRAMES_MAX];  /* of the folio there; 1 without */
	struct slide_block block[BLOCKS_MAX];
	struct choose_counts sums[BLOCKS_MAX];
};

static void set(struct block_bits *bits, uint32_t f)
{
	bits[0].word[f / 64] |= 1ull << (f % 64);
}

static bool free_at(const struct room *r, uint32_t f, uint32_t n, uint32_t from, uint32_t end)
{
	for (uint32_t i = f; i < f + n; i++)
		if (r->is[i] != FREE || (i >= from && i < end))
			return false;
	return true;
}

/* What of each hundred frames is free, in use by nobody, lent, fixed; the rest is live. */
struct mix {
	unsigned free, other, lent, fixed, top;
};

static void room_make(struct arena_random *random, const struct mix *mix, struct room *r)
{
	memset(r, 0, sizeof(*r));
	r->blocks = 1 + arena_below(random, BLOCKS_MAX);
	r->frames = r->blocks * 512;
	for (uint32_t f = 0, n; f < r->frames; f += n) {
		unsigned order = arena_below(random, mix->top + 1), k = arena_below(random, 100);
		enum what is = k < mix->free		       ? FREE
			       : (k -= mix->free) < mix->other ? OTHER
			       : (k -= mix->other) < mix->lent ? LENT
			       : k - mix->lent < mix->fixed    ? FIXED
							       : LIVE;

		while (f & ((1u << order) - 1))
			order--;
		n = is == OTHER ? 1 : 1u << order;
		for (uint32_t i = f; i < f + n; i++) {
			struct slide_block *b = &r->block[i / 512];

			r->is[i] = is;
			r->first[i] = is >= LIVE ? f : i;
			r->size[i] = is >= LIVE ? n : 1;
			if (is != FREE)
				set(&b->used, i % 512);
			if (is == FIXED)
				set(&b->fixed, i % 512);
			if (is == LIVE || is == LENT)
				set(&b->live, i % 512);
			if (is == LENT)
				set(&b->lent, i % 512);
		}
		if (is == LIVE || is == LENT)
			set(&r->block[f / 512].head, f % 512);
		r->sums[f / 512].moves[order] += is == LIVE;
	}
	for (uint32_t b = 0; b < r->blocks; b++)
		for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
			for (uint32_t f = b * 512; f < (b + 1) * 512; f += 1u << j)
				r->sums[b].slots[j] += free_at(r, f, 1u << j, 0, 0);
}

static bool same(const struct slide_result *a, const struct slide_result *b)
{
	return a->found == b->found && a->first == b->first && a->cost == b->cost &&
	       a->cheaper == b->cheaper && a->lower_bound == b->lower_bound &&
	       a->feasible == b->feasible;
}

/* By the words of slide.h, one position at a time. */
static bool brute_fits(const struct room *r, uint32_t at, uint32_t n)
{
	uint64_t moves[CHOOSE_ORDERS] = { 0 }, slots[CHOOSE_ORDERS] = { 0 };

	for (uint32_t f = at; f < at + n; f++)
		if (r->is[f] == LIVE && (f == at || r->first[f] == f))
			moves[__builtin_ctz(r->size[f])]++;
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
		for (uint32_t f = 0; f < r->frames; f += 1u << j)
			slots[j] += free_at(r, f, 1u << j, at, at + n);
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++) {
		uint64_t need = 0;

		for (unsigned o = j; o < CHOOSE_ORDERS; o++)
			need += moves[o] << (o - j);
		if (need > slots[j])
			return false;
	}
	return true;
}

static void brute(const struct room *r, const struct slide_goal *g, struct slide_result *to)
{
	uint64_t least = UINT64_MAX;

	memset(to, 0, sizeof(*to));
	for (uint32_t at = 0; at + g->frames <= r->frames; at += g->align) {
		uint64_t cost = 0;
		bool feasible = true;

		for (uint32_t f = at; f < at + g->frames; f++) {
			feasible = feasible && r->is[f] != FIXED;
			if (r->is[f] >= LIVE && (f == at || r->first[f] == f))
				cost += r->size[f];
		}
		if (!feasible)
			continue;
		to->feasible++;
		least = cost < least ? cost : least;
		if ((to->found && cost >= to->cost) || !brute_fits(r, at, g->frames))
			continue;
		to->found = true;
		to->first = at;
		to->cost = cost;
	}
	to->lower_bound = to->feasible ? least : 0;
	to->cheaper = to->feasible && (!to->found || least < to->cost);
}

static uint64_t seed;

static void test_W5_a_run_of_any_length_is_the_cheapest(void **state)
{
	static const struct mix mixes[] = {
		{ .free = 50, .top = 0 },
		{ .free = 30, .fixed = 1, .top = 0 },
		{ .free = 40, .other = 3, .lent = 5, .fixed = 1, .top = 4 },
		{ .free = 10, .lent = 20, .top = 9 },
		{ .free = 60, .fixed = 1, .top = 9 },
		{ .free = 3, .top = 3 },
		{ .free = 8, .fixed = 2, .top = 6 },
		{ .free = 100, .top = 5 },
	};
	struct arena_random random = { seed + 70 };
	uint64_t found = 0, straddle = 0, cheaper = 0, none = 0, places = 0;
	static struct room r;

	(void)state;
	for (unsigned t = 0; t < 1600; t++) {
		struct slide_goal g = { .align = 1u << arena_below(&random, 11) };
		struct slide_result got, wanted;

		room_make(&random, &mixes[t % (sizeof(mixes) / sizeof(mixes[0]))], &r);
		if (t % 2)
			g.align = 1;
		g.frames = 1 + arena_below(&random, t % 3 ? 100 : r.frames);
		brute(&r, &g, &wanted);
		assert_int_equal(slide(r.block, r.sums, r.blocks, &g, &got), 0);
		if (!same(&got, &wanted))
			fail_msg("round %u: %u frames at %u of %u: found %d at %u for %llu, least "
				 "%llu, of %llu; wanted %d at %u for %llu, least %llu, of %llu",
				 t, g.frames, g.align, r.frames, got.found, got.first,
				 (unsigned long long)got.cost, (unsigned long long)got.lower_bound,
				 (unsigned long long)got.feasible, wanted.found, wanted.first,
				 (unsigned long long)wanted.cost,
				 (unsigned long long)wanted.lower_bound,
				 (unsigned long long)wanted.feasible);
		found += got.found;
		cheaper += got.cheaper;
		none += !got.feasible;
		places += got.feasible;
		straddle += got.found &&
			    ((r.is[got.first] >= LIVE && r.first[got.first] != got.first) ||
			     got.cost > g.frames);
	}
	printf("# 1600 arenas, %llu positions: %llu runs, %llu of them with a folio across their "
	       "first frame, %llu not the cheapest for want of places; nothing feasible in %llu\n",
	       (unsigned long long)places, (unsigned long long)found, (unsigned long long)straddle,
	       (unsigned long long)cheaper, (unsigned long long)none);
	assert_true(found && straddle && cheaper && none);
}

/* Each allocation fails once: -ENOMEM, and nothing leaks. */
static void test_a_run_without_memory(void **state)
{
	static struct room r;
	struct arena_random random = { seed };
	const struct slide_goal g = { .frames = 100, .align = 1 };
	struct slide_result got;

	(void)state;
	room_make(&random, &(struct mix){ .free = 50 }, &r);
	for (uint64_t nth = 1; nth <= 2; nth++) {
		quire_fault_arm_("mem", nth, -ENOMEM);
		assert_int_equal(slide(r.block, r.sums, r.blocks, &g, &got), -ENOMEM);
		assert_true(quire_fault_disarm_());
	}
	quire_fault_arm_("mem", 3, -ENOMEM);
	assert_int_equal(slide(r.block, r.sums, r.blocks, &g, &got), 0);
	assert_false(quire_fault_disarm_());
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_W5_a_run_of_any_length_is_the_cheapest),
		cmocka_unit_test(test_a_run_without_memory),
	};

	(void)argc;
	seed = arena_seed(argv[0]);
	return cmocka_run_group_tests_name("slide", tests, NULL, NULL);
}

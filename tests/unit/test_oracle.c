/* SPDX-License-Identifier: MIT */
/*
 * test_oracle.c: the judge is judged: by brute force on tiny arenas, by hand on tinier ones, and on
 * the recorded layout by what was counted when it was recorded.
 *
 * Usage: test_oracle LAYOUT
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
#include "layout.h"
#include "oracle.h"

#define ARENAS 4000

static const char *layout_path = "data/linux-6.18-kernel-build.live.zst";
static uint64_t seed;

/* Every set of windows of every arena: the condition says what the search finds. */
static void test_oracle_condition_is_exact(void **state)
{
	uint64_t cases = 0, yes = 0, only_aligned_missing = 0;
	struct arena_room room;

	(void)state;
	for (unsigned kind = ARENA_ORDER_0; kind <= ARENA_MIXED; kind++) {
		struct arena_random random = { seed + kind };

		for (unsigned t = 0; t < ARENAS; t++) {
			const struct oracle_arena *arena = &room.arena;

			arena_make(&random, kind, &room);
			for (unsigned bits = 0; bits < 1u << arena->blocks; bits++) {
				uint8_t set[ORACLE_BRUTE_WINDOWS];
				uint64_t used = 0, windows = 0;
				bool fixed = false;
				int says, is;

				for (unsigned b = 0; b < arena->blocks; b++) {
					set[b] = bits >> b & 1;
					windows += set[b];
				}
				for (size_t i = 0; i < arena->n; i++) {
					used += UINT64_C(1) << arena->folios[i].order;
					fixed = fixed || (set[arena->folios[i].block] &&
							  arena->folios[i].fixed);
				}
				says = oracle_condition(arena, set);
				is = oracle_brute_fits(arena, set, false);
				ARENA_CHECK(arena, says >= 0 && says == is);
				cases++;
				yes += is == 1;
				only_aligned_missing += !is && !fixed &&
							used <= (arena->blocks - windows)
									<< arena->window_order;
				assert_true(kind == ARENA_MIXED || !only_aligned_missing);
			}
		}
	}
	printf("# condition: %llu cases, %llu fit, %llu had frames enough and did not fit; "
	       "no disagreement\n",
	       (unsigned long long)cases, (unsigned long long)yes,
	       (unsigned long long)only_aligned_missing);
	assert_true(yes && only_aligned_missing);
}

/* Single frames: the rule finds the most windows there can be, and moves the least for any count.
 */
static void test_oracle_order_0_is_optimal(void **state)
{
	struct arena_random random = { seed + 10 };
	uint64_t counts = 0, runs = 0, frames = 0;
	struct arena_room room;

	(void)state;
	for (unsigned t = 0; t < ARENAS; t++) {
		const struct oracle_arena *arena = &room.arena;
		struct oracle_brute brute;
		struct oracle_verdict v;

		arena_make(&random, ARENA_ORDER_0, &room);
		assert_int_equal(oracle_brute(arena, false, &brute), 0);
		assert_int_equal(oracle_judge(arena, UINT64_MAX, &v, NULL), 0);
		ARENA_CHECK(arena, v.runs == brute.runs);
		ARENA_CHECK(arena, v.frames == brute.frames[v.runs]);
		ARENA_CHECK(arena, v.runs == v.upper_bound);
		ARENA_CHECK(arena, v.runs + v.skipped == v.feasible);
		runs += v.runs;
		frames += v.frames;
		for (unsigned k = 0; k <= brute.runs; k++, counts++) {
			assert_int_equal(oracle_judge(arena, k, &v, NULL), 0);
			ARENA_CHECK(arena, v.runs == k);
			ARENA_CHECK(arena, v.frames == brute.frames[k]);
			ARENA_CHECK(arena, v.frames == v.lower_bound);
			ARENA_CHECK(arena, v.bytes == v.frames * 4096);
		}
	}
	printf("# order 0: %u arenas, %llu counts: %llu runs, %llu frames, each the optimum\n",
	       ARENAS, (unsigned long long)counts, (unsigned long long)runs,
	       (unsigned long long)frames);
	assert_true(frames);
}

/* Mixed orders: never above what is possible. How often below is printed, not promised. */
static void test_oracle_mixed_is_never_above(void **state)
{
	struct arena_random random = { seed + 20 };
	uint64_t below = 0, lost = 0, runs = 0, dearer = 0, rearranged = 0, gained = 0, tried = 0;
	struct arena_room room;

	(void)state;
	for (unsigned t = 0; t < ARENAS; t++) {
		const struct oracle_arena *arena = &room.arena;
		struct oracle_brute brute, free_hand;
		struct oracle_verdict v;

		arena_make(&random, ARENA_MIXED, &room);
		assert_int_equal(oracle_brute(arena, false, &brute), 0);
		assert_int_equal(oracle_judge(arena, UINT64_MAX, &v, NULL), 0);
		ARENA_CHECK(arena, v.runs <= brute.runs && brute.runs <= v.upper_bound);
		ARENA_CHECK(arena, v.frames >= brute.frames[v.runs]);
		ARENA_CHECK(arena, brute.frames[v.runs] >= v.lower_bound);
		below += v.runs < brute.runs;
		lost += brute.runs - v.runs;
		runs += brute.runs;
		dearer += v.frames > brute.frames[v.runs];
		/* With every folio in play the search explodes: the smaller arenas only. */
		if (arena->blocks << arena->window_order > 32)
			continue;
		assert_int_equal(oracle_brute(arena, true, &free_hand), 0);
		ARENA_CHECK(arena, brute.runs <= free_hand.runs && free_hand.runs <= v.upper_bound);
		tried++;
		rearranged += free_hand.runs > brute.runs;
		gained += free_hand.runs - brute.runs;
	}
	printf("# mixed: %u arenas, %llu runs possible; the rule is below in %llu arenas (%.2f "
	       "%%), "
	       "by "
	       "%llu runs (%.2f %%), and moves more than the least for its count in %llu\n",
	       ARENAS, (unsigned long long)runs, (unsigned long long)below,
	       100.0 * (double)below / ARENAS, (unsigned long long)lost,
	       100.0 * (double)lost / (double)runs, (unsigned long long)dearer);
	printf("# mixed: were folios outside of the windows rearranged too, %llu runs more in %llu "
	       "of "
	       "%llu arenas\n",
	       (unsigned long long)gained, (unsigned long long)rearranged,
	       (unsigned long long)tried);
	assert_true(runs);
}

struct candidate {
	uint64_t cost;
	unsigned number;
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

/* The judge's vectors and the promised words come to the same windows. */
static void test_oracle_judge_follows_the_rule(void **state)
{
	uint64_t arenas = 0, skipped = 0;
	struct arena_room room;

	(void)state;
	for (unsigned kind = ARENA_ORDER_0; kind <= ARENA_MIXED; kind++) {
		struct arena_random random = { seed + 30 + kind };

		for (unsigned t = 0; t < ARENAS; t++, arenas++) {
			uint8_t set[ORACLE_BRUTE_WINDOWS] = { 0 }, taken[ORACLE_BRUTE_WINDOWS];
			struct candidate c[ORACLE_BRUTE_WINDOWS];
			const struct oracle_arena *arena = &room.arena;
			uint64_t want, runs = 0, left_out = 0;
			struct oracle_verdict v;

			arena_make(&random, kind, &room);
			want = t % 2 ? UINT64_MAX : arena_below(&random, arena->blocks + 2);
			for (unsigned b = 0; b < arena->blocks; b++)
				c[b] = (struct candidate){ .number = b };
			for (size_t i = 0; i < arena->n; i++)
				c[arena->folios[i].block].cost += UINT64_C(1)
								  << arena->folios[i].order;
			qsort(c, arena->blocks, sizeof(c[0]), compare_candidates);
			for (unsigned b = 0; b < arena->blocks && runs < want; b++) {
				bool fixed = false;

				for (size_t i = 0; i < arena->n; i++)
					fixed = fixed || (arena->folios[i].fixed &&
							  arena->folios[i].block == c[b].number);
				set[c[b].number] = 1;
				if (!fixed && oracle_condition(arena, set) == 1) {
					runs++;
				} else {
					set[c[b].number] = 0;
					left_out += !fixed;
				}
			}
			assert_int_equal(oracle_judge(arena, want, &v, taken), 0);
			ARENA_CHECK(arena, v.runs == runs && v.skipped == left_out);
			ARENA_CHECK(arena, !memcmp(set, taken, arena->blocks));
			skipped += v.skipped;
		}
	}
	printf("# rule: %llu arenas, the same windows; %llu skipped on the way\n",
	       (unsigned long long)arenas, (unsigned long long)skipped);
	assert_true(skipped);
}

#define FOLIO(b, at, o, f)                                                                         \
	{                                                                                          \
		.block = (b), .offset = (at), .order = (o), .fixed = (f)                           \
	}

static void judge(unsigned window_order, uint32_t blocks, const struct oracle_folio *folios,
		  size_t n, struct oracle_verdict *v, struct oracle_brute *brute)
{
	const struct oracle_arena arena = {
		.blocks = blocks, .window_order = window_order, .n = n, .folios = folios
	};

	assert_int_equal(oracle_judge(&arena, UINT64_MAX, v, NULL), 0);
	assert_int_equal(oracle_brute(&arena, false, brute), 0);
}

/* Worked out by hand. */
static void test_oracle_known_answers(void **state)
{
	/* One order-2 folio in each of two windows of 4, and free pairs, not quads, elsewhere. */
	static const struct oracle_folio pairs[] = {
		FOLIO(0, 0, 2, false),
		FOLIO(1, 0, 1, false),
		FOLIO(2, 2, 1, false),
	};
	/* Window 0 free; keeping it as the destination would free both others. */
	static const struct oracle_folio halves[] = {
		FOLIO(1, 0, 1, false),
		FOLIO(2, 2, 1, false),
		FOLIO(3, 1, 0, true),
		FOLIO(3, 3, 0, true),
	};
	static const struct oracle_folio stuck[] = { FOLIO(0, 3, 0, true), FOLIO(1, 0, 0, true) };
	struct oracle_brute brute;
	struct oracle_verdict v;

	(void)state;
	judge(2, 0, NULL, 0, &v, &brute);
	assert_true(v.runs == 0 && v.upper_bound == 0 && brute.runs == 0);

	judge(2, 3, NULL, 0, &v, &brute);
	assert_true(v.runs == 3 && v.frames == 0 && v.free_frames == 12 && brute.runs == 3);

	/* Either of windows 1 and 2 into the other; the quad of window 0 fits nowhere. */
	judge(2, 3, pairs, 3, &v, &brute);
	assert_true(v.runs == 1 && v.frames == 2 && v.lower_bound == 2 && v.skipped == 2);
	assert_true(brute.runs == 1 && brute.frames[1] == 2 && brute.frames[2] == UINT64_MAX);

	/* The free window costs nothing and is taken first; then one of the pairs can move. */
	judge(2, 4, halves, 4, &v, &brute);
	assert_true(v.runs == 2 && v.frames == 2 && v.feasible == 3 && v.free_frames == 10);
	assert_true(v.upper_bound == 2 && brute.runs == 2 && brute.frames[2] == 2);

	judge(2, 2, stuck, 2, &v, &brute);
	assert_true(v.runs == 0 && v.feasible == 0 && v.free_frames == 6 && v.upper_bound == 0);
	assert_true(brute.runs == 0);
}

static void test_oracle_rejects_nonsense(void **state)
{
	static const struct oracle_folio overlap[] = { FOLIO(0, 0, 1, false),
						       FOLIO(0, 1, 0, false) };
	static const struct oracle_folio askew = FOLIO(0, 1, 1, false);
	static const struct oracle_folio outside = FOLIO(0, 4, 0, false);
	static const struct oracle_folio no_window = FOLIO(2, 0, 0, false);
	static const struct oracle_folio too_large = FOLIO(0, 0, 3, false);
	const struct {
		const struct oracle_folio *folios;
		size_t n;
	} rows[] = {
		{ overlap, 2 }, { &askew, 1 }, { &outside, 1 }, { &no_window, 1 }, { &too_large, 1 }
	};
	struct oracle_arena arena = { .blocks = 2, .window_order = 2 };
	uint8_t set[2] = { 1, 0 };
	struct oracle_brute brute;
	struct oracle_verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		arena.folios = rows[i].folios;
		arena.n = rows[i].n;
		assert_int_equal(oracle_judge(&arena, UINT64_MAX, &v, NULL), -EINVAL);
		assert_int_equal(oracle_condition(&arena, set), -EINVAL);
		assert_int_equal(oracle_brute(&arena, false, &brute), -EINVAL);
	}
	arena = (struct oracle_arena){ .blocks = ORACLE_BRUTE_WINDOWS + 1, .window_order = 2 };
	assert_int_equal(oracle_brute(&arena, false, &brute), -E2BIG);
}

/*
 * The recorded layout, with a random share of its folios fixed. A window of n folios stays feasible
 * with probability (1 - share)^n, so the number of feasible windows is known to within 5 standard
 * deviations; as nearly all folios are single frames, the rule reaches the bound of any method.
 */
static uint64_t recorded(const struct layout *l, unsigned per_mille, uint32_t added,
			 uint64_t with_seed)
{
	const double share = per_mille / 1000.0;
	struct arena_random random = { with_seed };
	double mean = added, variance = 0, q = 1;
	struct oracle_folio *folios;
	struct oracle_verdict v;

	folios = calloc(l->n, sizeof(*folios));
	assert_non_null(folios);
	for (size_t i = 0; i < l->n; i++) {
		const struct layout_item *item = &l->items[i];

		folios[i] = (struct oracle_folio){
			.block = item->block,
			.offset = item->offset,
			.order = item->order,
			.fixed = arena_below(&random, 1000) < per_mille,
		};
		q *= 1 - share;
		if (i + 1 == l->n || item[1].block != item->block) {
			mean += q;
			variance += q * (1 - q);
			q = 1;
		}
	}
	assert_int_equal(oracle_judge(&(struct oracle_arena){ .blocks = l->blocks + added,
							      .window_order = LAYOUT_BLOCK_ORDER,
							      .n = l->n,
							      .folios = folios },
				      UINT64_MAX, &v, NULL),
			 0);
	printf("# layout and %u free blocks, %.1f %% fixed, seed %llu: %llu runs, %llu frames "
	       "(least %llu), %llu feasible (mean %.0f), at most %llu\n",
	       added, per_mille / 10.0, (unsigned long long)with_seed, (unsigned long long)v.runs,
	       (unsigned long long)v.frames, (unsigned long long)v.lower_bound,
	       (unsigned long long)v.feasible, mean, (unsigned long long)v.upper_bound);
	assert_true(((double)v.feasible - mean) * ((double)v.feasible - mean) <= 25 * variance);
	assert_true(v.free_frames == (uint64_t)(l->blocks + added) * 512 - l->live_frames);
	assert_true(v.lower_bound <= v.frames && v.runs <= v.upper_bound);
	assert_true(v.runs + 4 >= v.upper_bound);
	free(folios);
	return v.runs;
}

static void test_oracle_recorded_layout(void **state)
{
	static const unsigned per_mille[] = { 3, 10, 20, 50 };
	struct layout l;
	char err[256];

	(void)state;
	if (layout_read(layout_path, &l, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(l.n, 281516);
	assert_int_equal(l.blocks, 1685);
	assert_int_equal(recorded(&l, 0, 0, seed), 1111);
	assert_int_equal(recorded(&l, 0, 17, seed), 1128);
	for (size_t s = 0; s < sizeof(per_mille) / sizeof(per_mille[0]); s++) {
		for (unsigned t = 0; t < 3; t++)
			recorded(&l, per_mille[s], 0, seed + t);
		recorded(&l, per_mille[s], 17, seed);
	}
	layout_finish(&l);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle_known_answers),
		cmocka_unit_test(test_oracle_rejects_nonsense),
		cmocka_unit_test(test_oracle_condition_is_exact),
		cmocka_unit_test(test_oracle_order_0_is_optimal),
		cmocka_unit_test(test_oracle_mixed_is_never_above),
		cmocka_unit_test(test_oracle_judge_follows_the_rule),
		cmocka_unit_test(test_oracle_recorded_layout),
	};

	if (argc > 1)
		layout_path = argv[1];
	seed = arena_seed(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

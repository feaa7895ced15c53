/* SPDX-License-Identifier: MIT */
/*
 * test_choose.c: which windows the planner chooses, and where it sends their folios, against the
 * oracle on arenas of all sizes and against brute force on tiny ones.
 *
 * Usage: test_choose LAYOUT
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
#include "contig/choose.h"
#include "layout.h"
#include "oracle.h"
#include "util/points.h"

#define ARENAS 4000
#define LARGE_ARENAS 40
#define LARGE_WINDOWS 120

static const char *layout_path = "data/linux-6.18-kernel-build.live.zst";
static uint64_t seed;

/* An arena as the planner sees it. */
struct view {
	struct choose_window *windows;
	struct choose_counts *counts;
	struct choose_arena arena;
	uint32_t *order; /* scratch */
	bool *used;	 /* frame by frame */
	size_t frames;
};

static void view_init(struct view *v, const struct oracle_arena *arena)
{
	const size_t size = (size_t)1 << arena->window_order;

	memset(v, 0, sizeof(*v));
	v->frames = arena->blocks * size;
	v->windows = calloc(arena->blocks + 1, sizeof(*v->windows));
	v->counts = calloc(arena->blocks + 1, sizeof(*v->counts));
	v->order = calloc(arena->blocks + 1, sizeof(*v->order));
	v->used = calloc(v->frames + 1, sizeof(*v->used));
	assert_true(v->windows && v->counts && v->order && v->used);
	for (uint32_t b = 0; b < arena->blocks; b++)
		v->windows[b].feasible = true;
	for (size_t i = 0; i < arena->n; i++) {
		const struct oracle_folio *f = &arena->folios[i];
		struct choose_window *w = &v->windows[f->block];

		w->cost += 1u << f->order;
		v->counts[f->block].moves[f->order]++;
		w->feasible = w->feasible && !f->fixed;
		memset(v->used + f->block * size + f->offset, true, (size_t)1 << f->order);
	}
	for (unsigned j = 0; j <= arena->window_order; j++) {
		for (size_t at = 0; at < v->frames; at += (size_t)1 << j)
			if (!memchr(v->used + at, true, (size_t)1 << j)) {
				v->counts[at / size].slots[j]++;
				v->arena.slots[0][j]++;
			}
	}
	v->arena.window = v->windows;
	v->arena.counts = v->counts;
	v->arena.n = arena->blocks;
	v->arena.frames = (uint32_t)size;
}

static void view_finish(struct view *v)
{
	free(v->windows);
	free(v->counts);
	free(v->order);
	free(v->used);
}

static void choose(struct view *v, uint64_t count, struct choose_result *r)
{
	assert_int_equal(choose_windows(&v->arena, count, v->order, r), 0);
}

/* The same windows for the same price, for one count. */
static void compare(const struct oracle_arena *arena, struct view *view, uint64_t count,
		    struct choose_result *r)
{
	struct oracle_verdict v;
	uint8_t *taken = calloc(arena->blocks + 1, 1);

	assert_non_null(taken);
	assert_int_equal(oracle_judge(arena, count, &v, taken), 0);
	choose(view, count, r);
	ARENA_CHECK(arena, r->windows == v.runs);
	ARENA_CHECK(arena, r->frames == v.frames);
	ARENA_CHECK(arena, r->lower_bound == v.lower_bound);
	ARENA_CHECK(arena, r->feasible == v.feasible);
	ARENA_CHECK(arena, r->no_place == v.skipped);
	for (uint32_t b = 0; b < arena->blocks; b++)
		ARENA_CHECK(arena, view->windows[b].chosen == taken[b]);
	free(taken);
}

static void test_planner_windows_are_the_oracles(void **state)
{
	uint64_t choices = 0, runs = 0, frames = 0, no_place = 0;
	struct arena_room room;

	(void)state;
	for (unsigned kind = ARENA_ORDER_0; kind <= ARENA_MIXED; kind++) {
		struct arena_random random = { seed + kind };

		for (unsigned t = 0; t < ARENAS; t++) {
			struct choose_result r;
			struct view view;

			arena_make(&random, kind, &room);
			view_init(&view, &room.arena);
			for (uint32_t count = 0; count <= room.arena.blocks + 1; count++, choices++)
				compare(&room.arena, &view, count, &r);
			compare(&room.arena, &view, UINT64_MAX, &r);
			choices++;
			runs += r.windows;
			frames += r.frames;
			no_place += r.no_place;
			view_finish(&view);
		}
	}
	printf("# windows: %u arenas, %llu choices; at most %llu runs, %llu frames, %llu windows "
	       "without a place\n",
	       2 * ARENAS, (unsigned long long)choices, (unsigned long long)runs,
	       (unsigned long long)frames, (unsigned long long)no_place);
	assert_true(frames && no_place);
}

/* Single frames: as many windows as any method, and for every count the fewest frames. */
static void test_planner_order_0_is_the_optimum(void **state)
{
	struct arena_random random = { seed + 10 };
	uint64_t counts = 0, frames = 0;
	struct arena_room room;

	(void)state;
	for (unsigned t = 0; t < ARENAS; t++) {
		const struct oracle_arena *arena = &room.arena;
		struct oracle_brute brute;
		struct choose_result r;
		struct view view;

		arena_make(&random, ARENA_ORDER_0, &room);
		view_init(&view, arena);
		assert_int_equal(oracle_brute(arena, false, &brute), 0);
		choose(&view, UINT64_MAX, &r);
		ARENA_CHECK(arena, r.windows == brute.runs);
		for (unsigned k = 0; k <= brute.runs; k++, counts++) {
			choose(&view, k, &r);
			ARENA_CHECK(arena, r.windows == k);
			ARENA_CHECK(arena, r.frames == brute.frames[k]);
			ARENA_CHECK(arena, r.frames == r.lower_bound);
			frames += r.frames;
		}
		view_finish(&view);
	}
	printf("# order 0: %u arenas, %llu counts, %llu frames: each the least\n", ARENAS,
	       (unsigned long long)counts, (unsigned long long)frames);
	assert_true(frames);
}

static void test_planner_mixed_orders_are_never_above(void **state)
{
	struct arena_random random = { seed + 20 };
	uint64_t possible = 0, planned = 0, below = 0, dearer = 0, above_bound = 0;
	struct arena_room room;

	(void)state;
	for (unsigned t = 0; t < ARENAS; t++) {
		const struct oracle_arena *arena = &room.arena;
		struct oracle_brute brute;
		struct choose_result r;
		struct view view;

		arena_make(&random, ARENA_MIXED, &room);
		view_init(&view, arena);
		assert_int_equal(oracle_brute(arena, false, &brute), 0);
		choose(&view, UINT64_MAX, &r);
		ARENA_CHECK(arena, r.windows <= brute.runs);
		ARENA_CHECK(arena, r.lower_bound <= brute.frames[r.windows]);
		ARENA_CHECK(arena, brute.frames[r.windows] <= r.frames);
		possible += brute.runs;
		planned += r.windows;
		below += r.windows < brute.runs;
		dearer += r.frames > brute.frames[r.windows];
		above_bound += r.frames > r.lower_bound;
		view_finish(&view);
	}
	printf("# mixed: %u arenas, %llu runs of %llu possible, below in %llu arenas; more frames "
	       "than the least in %llu, than the lower bound in %llu\n",
	       ARENAS, (unsigned long long)planned, (unsigned long long)possible,
	       (unsigned long long)below, (unsigned long long)dearer,
	       (unsigned long long)above_bound);
	assert_true(planned);
}

/* The free frames outside of the chosen windows, as the largest aligned places. */
static void add_free_places(struct places *places, const struct view *v, unsigned window_order)
{
	for (size_t at = 0; at < v->frames;) {
		unsigned order = window_order;

		if (v->used[at] || v->windows[at >> window_order].chosen) {
			at++;
			continue;
		}
		while (at % ((size_t)1 << order) || memchr(v->used + at, true, (size_t)1 << order))
			order--;
		assert_int_equal(places_add(places, (uint32_t)at, order), 0);
		at += (size_t)1 << order;
	}
}

/* Takes a place for every folio of the chosen windows; the number of folios. */
static uint64_t place_all(const struct oracle_arena *arena, struct view *v)
{
	uint64_t placed = 0, left = 0;
	struct places places;
	uint32_t frame;

	places_init(&places);
	add_free_places(&places, v, arena->window_order);
	for (unsigned order = arena->window_order + 1; order-- > 0;) {
		for (size_t i = 0; i < arena->n; i++) {
			const size_t size = (size_t)1 << order;

			if (arena->folios[i].order != order ||
			    !v->windows[arena->folios[i].block].chosen)
				continue;
			ARENA_CHECK(arena, places_take(&places, order, &frame) == 0);
			ARENA_CHECK(arena, frame % size == 0 && frame + size <= v->frames);
			ARENA_CHECK(arena, !v->windows[frame >> arena->window_order].chosen);
			ARENA_CHECK(arena, !memchr(v->used + frame, true, size));
			memset(v->used + frame, true, size);
			placed++;
		}
	}
	/* What is left over is neither lost nor given out twice. */
	for (size_t at = 0; at < v->frames; at++)
		left += !v->used[at] && !v->windows[at >> arena->window_order].chosen;
	for (; left; left--) {
		ARENA_CHECK(arena, places_take(&places, 0, &frame) == 0);
		ARENA_CHECK(arena, frame < v->frames && !v->used[frame]);
		ARENA_CHECK(arena, !v->windows[frame >> arena->window_order].chosen);
		v->used[frame] = true;
	}
	ARENA_CHECK(arena, places_take(&places, 0, &frame) == -ENOSPC);
	places_finish(&places);
	return placed;
}

static void test_planner_places_every_folio(void **state)
{
	uint64_t placed = 0, plans = 0;
	struct arena_room room;

	(void)state;
	for (unsigned kind = ARENA_ORDER_0; kind <= ARENA_MIXED; kind++) {
		struct arena_random random = { seed + 30 + kind };

		for (unsigned t = 0; t < ARENAS; t++, plans++) {
			uint64_t count;
			struct choose_result r;
			struct view view;

			arena_make(&random, kind, &room);
			count = t % 2 ? UINT64_MAX : arena_below(&random, room.arena.blocks);
			view_init(&view, &room.arena);
			choose(&view, count, &r);
			placed += place_all(&room.arena, &view);
			view_finish(&view);
		}
	}
	printf("# places: %llu plans, %llu folios, each in a free aligned place of its own\n",
	       (unsigned long long)plans, (unsigned long long)placed);
	assert_true(placed);
}

/* Windows of 512 frames, folios of every order: too large for brute force, not for the oracle. */
static void test_planner_large_mixed_arenas(void **state)
{
	struct oracle_folio *folios = calloc(LARGE_WINDOWS * 512, sizeof(*folios));
	struct arena_random random = { seed + 40 };
	uint64_t runs = 0, placed = 0, no_place = 0;

	(void)state;
	assert_non_null(folios);
	for (unsigned t = 0; t < LARGE_ARENAS; t++) {
		const unsigned fill = 10 + arena_below(&random, 85);
		const unsigned top = 1 + arena_below(&random, 10);
		struct oracle_arena arena = { .blocks = LARGE_WINDOWS,
					      .window_order = 9,
					      .folios = folios };
		struct choose_result r;
		struct view view;

		for (uint32_t b = 0; b < LARGE_WINDOWS; b++) {
			unsigned share = arena_below(&random, 2 * fill);

			for (unsigned at = 0; at < 512;) {
				unsigned order = arena_below(&random, top);

				while (at % (1u << order))
					order--;
				if (arena_below(&random, 100) < share)
					folios[arena.n++] = (struct oracle_folio){
						.block = b,
						.offset = (uint16_t)at,
						.order = (uint8_t)order,
						.fixed = !arena_below(&random, 2000),
					};
				at += 1u << order;
			}
		}
		view_init(&view, &arena);
		compare(&arena, &view, LARGE_WINDOWS / 4, &r);
		compare(&arena, &view, UINT64_MAX, &r);
		runs += r.windows;
		no_place += r.no_place;
		placed += place_all(&arena, &view);
		view_finish(&view);
	}
	printf("# large: %u arenas of %u windows, %llu runs, %llu folios placed, %llu windows "
	       "without "
	       "a place\n",
	       LARGE_ARENAS, LARGE_WINDOWS, (unsigned long long)runs, (unsigned long long)placed,
	       (unsigned long long)no_place);
	assert_true(runs && placed && no_place);
	free(folios);
}

/* The recorded layout with one free block in a hundred added. */
static void test_planner_recorded_layout(void **state)
{
	static const unsigned per_mille[] = { 0, 1, 20 };
	struct oracle_folio *folios;
	struct layout l;
	char err[256];

	(void)state;
	if (layout_read(layout_path, &l, err, sizeof(err)))
		fail_msg("%s", err);
	folios = calloc(l.n, sizeof(*folios));
	assert_non_null(folios);
	for (size_t s = 0; s < sizeof(per_mille) / sizeof(per_mille[0]); s++) {
		struct arena_random random = { seed + 50 };
		const struct oracle_arena arena = {
			.blocks = l.blocks + (l.blocks + 99) / 100,
			.window_order = 9,
			.n = l.n,
			.folios = folios,
		};
		struct choose_result r;
		struct view view;
		uint64_t placed;

		for (size_t i = 0; i < l.n; i++) {
			folios[i] = (struct oracle_folio){
				.block = l.items[i].block,
				.offset = l.items[i].offset,
				.order = l.items[i].order,
				.fixed = arena_below(&random, 1000) < per_mille[s],
			};
		}
		view_init(&view, &arena);
		compare(&arena, &view, UINT64_MAX, &r);
		placed = place_all(&arena, &view);
		printf("# layout, %.1f %% fixed: %llu runs, %llu frames, %llu folios placed\n",
		       per_mille[s] / 10.0, (unsigned long long)r.windows,
		       (unsigned long long)r.frames, (unsigned long long)placed);
		assert_true(r.windows && placed);
		view_finish(&view);
	}
	free(folios);
	layout_finish(&l);
}

static void test_planner_nothing_to_choose_from(void **state)
{
	struct choose_window full[2] = { { .cost = 4, .feasible = true },
					 { .cost = 4, .feasible = false } };
	const struct choose_counts counts[2] = { { .moves = { 4 } }, { .moves = { 4 } } };
	struct choose_arena arena = { .window = full, .counts = counts, .frames = 4 };
	struct choose_result r;
	uint32_t order[2];

	(void)state;
	assert_int_equal(choose_windows(&arena, UINT64_MAX, order, &r), 0);
	assert_true(!r.windows && !r.feasible && !r.frames && !r.lower_bound && !r.no_place);

	/* What an earlier choice left behind does not count. */
	arena.n = 2;
	full[0].chosen = full[1].chosen = true;
	assert_int_equal(choose_windows(&arena, UINT64_MAX, order, &r), 0);
	assert_true(!r.windows && r.feasible == 1 && r.no_place == 1 && !r.frames);
	assert_true(!full[0].chosen && !full[1].chosen);

	assert_int_equal(choose_windows(&arena, 0, order, &r), 0);
	assert_true(!r.windows && r.feasible == 1 && !r.no_place);
#ifdef QUIRE_POINTS
	quire_fault_arm_("mem", 1, -ENOMEM);
	assert_int_equal(choose_windows(&arena, 1, order, &r), -ENOMEM);
	assert_true(quire_fault_disarm_());
	assert_true(!r.windows);
#endif
}

/* Best fit, with splitting, the lowest address first within an order. */
static void test_planner_places_best_fit_lowest_first(void **state)
{
	static const struct {
		unsigned order;
		int answer;
		uint32_t frame;
	} takes[] = {
		{ 1, 0, 2 },  { 0, 0, 21 }, /* 21 is single: nothing is split for it */
		{ 1, 0, 8 },  { 1, 0, 12 },	 { 0, 0, 32 }, /* of the quad at 32 stay 33 and the
								  pair at 34 */
		{ 1, 0, 34 }, { 2, -ENOSPC, 0 }, { 0, 0, 33 }, { 0, -ENOSPC, 0 },
	};
	struct places places;
	uint32_t frame;

	(void)state;
	places_init(&places);
	assert_int_equal(places_take(&places, 0, &frame), -ENOSPC);
	assert_int_equal(places_add(&places, 2, 1), 0);
	assert_int_equal(places_add(&places, 8, 1), 0);
	assert_int_equal(places_add(&places, 12, 1), 0);
	assert_int_equal(places_add(&places, 21, 0), 0);
	assert_int_equal(places_add(&places, 32, 2), 0);
	assert_int_equal(places_take(&places, CHOOSE_ORDERS - 1, &frame), -ENOSPC);
	for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
		frame = 0;
		assert_int_equal(places_take(&places, takes[i].order, &frame), takes[i].answer);
		assert_true(takes[i].answer || frame == takes[i].frame);
	}
	places_finish(&places);
	places_finish(&places);
}

/* Random adds and takes: of the smallest order that serves, always the lowest place. */
static void test_planner_places_always_the_lowest(void **state)
{
	struct arena_random random = { seed + 60 };
	uint64_t takes = 0, none = 0;

	(void)state;
	for (unsigned t = 0; t < 400; t++) {
		/* The model: the order + 1 of the place that begins at a frame, 0: none does. */
		uint8_t begins[2048] = { 0 };
		struct places places;
		uint32_t frame;

		places_init(&places);
		for (unsigned step = 0; step < 300; step++) {
			unsigned order = arena_below(&random, CHOOSE_ORDERS), o = order;
			uint32_t at = arena_below(&random, 2048 >> order) << order, lowest = 2048;
			bool vacant = true;

			if (arena_below(&random, 5) < 2) {
				for (uint32_t f = 0; f < 2048; f++) {
					if (begins[f] && f < at + (1u << order) &&
					    at < f + (1u << (begins[f] - 1)))
						vacant = false;
				}
				if (!vacant)
					continue;
				assert_int_equal(places_add(&places, at, order), 0);
				begins[at] = (uint8_t)(order + 1);
				continue;
			}
			for (; o < CHOOSE_ORDERS && lowest == 2048; o += lowest == 2048) {
				for (uint32_t f = 2048; f-- > 0;)
					lowest = begins[f] == o + 1 ? f : lowest;
			}
			takes++;
			if (lowest == 2048) {
				none++;
				assert_int_equal(places_take(&places, order, &frame), -ENOSPC);
				continue;
			}
			assert_int_equal(places_take(&places, order, &frame), 0);
			assert_int_equal(frame, lowest);
			begins[lowest] = 0;
			while (o-- > order)
				begins[lowest + (1u << o)] = (uint8_t)(o + 1);
		}
		places_finish(&places);
	}
	printf("# places: %llu takes, %llu without a place; each the lowest of the best fit\n",
	       (unsigned long long)takes, (unsigned long long)none);
	assert_true(none && none < takes);
}

/* Each allocation fails once: -ENOMEM, nothing leaks, and the same works afterwards. */
static void test_planner_places_without_memory(void **state)
{
#ifdef QUIRE_POINTS
	uint64_t fired = 0;
	bool again = true;

	(void)state;
	for (uint64_t nth = 1; again; nth++) {
		struct places places;
		uint32_t frame = 0;
		int error;

		places_init(&places);
		quire_fault_arm_("mem", nth, -ENOMEM);
		error = places_add(&places, 512, CHOOSE_ORDERS - 1);
		if (!error)
			error = places_take(&places, 0, &frame);
		again = quire_fault_disarm_();
		assert_int_equal(error, again ? -ENOMEM : 0);
		assert_true(again || frame == 512);
		fired += again;
		places_finish(&places);
	}
	printf("# places: %llu allocations failed in turn\n", (unsigned long long)fired);
	assert_int_equal(fired, CHOOSE_ORDERS);
#else
	(void)state;
	skip();
#endif
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_planner_nothing_to_choose_from),
		cmocka_unit_test(test_planner_places_best_fit_lowest_first),
		cmocka_unit_test(test_planner_places_without_memory),
		cmocka_unit_test(test_planner_places_always_the_lowest),
		cmocka_unit_test(test_planner_windows_are_the_oracles),
		cmocka_unit_test(test_planner_order_0_is_the_optimum),
		cmocka_unit_test(test_planner_mixed_orders_are_never_above),
		cmocka_unit_test(test_planner_places_every_folio),
		cmocka_unit_test(test_planner_large_mixed_arenas),
		cmocka_unit_test(test_planner_recorded_layout),
	};

	if (argc > 1)
		layout_path = argv[1];
	seed = arena_seed(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

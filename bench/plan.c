// SPDX-License-Identifier: MIT
/*
 * plan.c: what planning costs, and how near to the least a plan comes.
 *
 * plan-1t, plan-1t-any   choosing windows over 1 TiB of made-up occupancy, from the counters of
 *                        blocks: 1024 runs of 2 MiB; one run of 1 GiB less a page, at any frame;
 *                        plan-1t-short: the same of 1000 pages. Against a quarter of it: 4.0 is
 *                        linear
 * plan-real              the whole of quire_plan_create(), over the largest arena here, a page: it
 *                        looks at every folio
 *                        These three are one thread that computes: by its own time, not the clock's
 * bytes                  order 0, nothing else running: bytes moved, against the lower bound
 * bytes-mixed            folios of all orders in tiny arenas: frames beyond the lower bound that a
 *                        plan moves, against those of the best there is, by brute force, for as
 *                        many runs; both over the frames that live there
 * metadata-4k, -64k      what describes an arena that is full of folios, a byte of it, against 64
 *                        bytes a page
 */
#include "bench.h"

#include "arenas.h"
#include "contig/choose.h"
#include "contig/slide.h"

#include <quire.h>
#include <string.h>

#define TIB_BLOCKS (1u << 19)
#define RUNS 1024u
#define ARENAS 4000u

static uint64_t rng = 88172645463325252ull;

static uint64_t random_next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* --- over 1 TiB --- */

struct tib {
	struct choose_window *window;
	struct choose_counts *counts;
	struct slide_block *block;
	uint32_t *order;
};

/* Single frames, a share of them in use that differs from block to block, in one block of 2048 some
 * fixed. */
static void fill(struct tib *t, uint32_t b)
{
	uint64_t a = random_next(), sparse = random_next() % 8;
	struct slide_block *s = &t->block[b];

	memset(s, 0, sizeof(*s));
	for (unsigned w = 0; w < BLOCK_WORDS; w++) {
		uint64_t bits = a = random_next();

		for (uint64_t k = 0; k < sparse; k++)
			bits = k % 2 ? bits & random_next() : bits | random_next();
		s->used.word[w] = s->live.word[w] = s->head.word[w] = bits;
	}
	t->window[b].feasible = a % 2048 != 0;
	if (!t->window[b].feasible) {
		s->fixed.word[a % 7] = s->used.word[a % 7];
		s->live.word[a % 7] = s->head.word[a % 7] = 0;
	}
	t->window[b].cost = 512 - bits_count_clear(&s->used, 0);
	t->counts[b].moves[0] = t->window[b].cost;
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
		t->counts[b].slots[j] = bits_count_clear(&s->used, j);
}

/* Milliseconds to choose over so many blocks; negative: it failed. */
static double choose_runs(struct tib *t, uint32_t blocks, uint32_t frames)
{
	struct choose_arena arena = {
		.window = t->window, .counts = t->counts, .n = blocks, .frames = frames
	};
	struct choose_result r;
	double began;

	for (uint32_t b = 0; b < blocks; b++)
		for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
			arena.slots[0][j] += t->counts[b].slots[j];
	began = bench_cpu();
	if (choose_windows(&arena, RUNS, t->order, &r) || r.windows != RUNS)
		return -1;
	return (bench_cpu() - began) / 1e6;
}

static double choose_any(struct tib *t, uint32_t blocks, uint32_t frames)
{
	const struct slide_goal goal = { .frames = frames, .align = 1 };
	struct slide_result r;
	double began = bench_cpu();

	if (slide(t->block, t->counts, blocks, &goal, &r) || !r.feasible)
		return -1;
	return (bench_cpu() - began) / 1e6;
}

static int over_1_tib(void)
{
	static const struct {
		const char *name;
		double (*run)(struct tib *t, uint32_t blocks, uint32_t frames);
		uint32_t frames;
		double target;
	} rows[] = { { "plan-1t", choose_runs, 512, 5 },
		     { "plan-1t-any", choose_any, (1u << 18) - 1, 300 },
		     { "plan-1t-short", choose_any, 1000, 300 } };
	struct tib t = {
		.window = calloc(TIB_BLOCKS, sizeof(*t.window)),
		.counts = calloc(TIB_BLOCKS, sizeof(*t.counts)),
		.block = malloc(TIB_BLOCKS * sizeof(*t.block)),
		.order = malloc(TIB_BLOCKS * sizeof(*t.order)),
	};
	int failed = 1;

	if (!t.window || !t.counts || !t.block || !t.order)
		goto out;
	for (uint32_t b = 0; b < TIB_BLOCKS; b++)
		fill(&t, b);
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		double all[BENCH_ROUNDS], part[BENCH_ROUNDS], value, control;

		for (unsigned i = 0; i < BENCH_ROUNDS; i++) {
			part[i] = rows[k].run(&t, TIB_BLOCKS / 4, rows[k].frames);
			all[i] = rows[k].run(&t, TIB_BLOCKS, rows[k].frames);
			if (part[i] < 0 || all[i] < 0)
				goto out;
		}
		value = bench_median(all, BENCH_ROUNDS);
		control = bench_median(part, BENCH_ROUNDS);
		bench_row(&(struct bench_result){ .name = rows[k].name,
						  .unit = "ms",
						  .value = value,
						  .control = control,
						  .ratio = value / control,
						  .target = rows[k].target,
						  .aim = BENCH_BELOW });
	}
	failed = 0;
out:
	free(t.window);
	free(t.counts);
	free(t.block);
	free(t.order);
	return failed;
}

/* --- in an arena --- */

struct arena {
	struct quire *q;
	struct quire_owner *owner;
	struct quire_folio **folio;
	size_t n;
};

/* All of it, by folios of this order, at random left out one in so many; 0: none is. */
static int arena_fill(struct arena *a, uint64_t bytes, unsigned order, unsigned one_in)
{
	size_t places = (size_t)(bytes >> (12 + order));

	memset(a, 0, sizeof(*a));
	a->folio = calloc(places, sizeof(struct quire_folio *));
	if (!a->folio || quire_create(QUIRE_OPTIONS(.arena_bytes = bytes), &a->q) ||
	    quire_owner_create(a->q, "bench", NULL, NULL, &a->owner))
		return 1;
	for (size_t i = 0; i < places; i++) {
		if (one_in && random_next() % one_in == 0)
			continue;
		if (quire_folio_create_with(a->owner,
					    QUIRE_FOLIO(.order = order, .at_set = 1,
							.at = quire_frame((uint32_t)i << order)),
					    &a->folio[a->n]))
			return 1;
		a->n++;
	}
	return 0;
}

static int arena_end(struct arena *a)
{
	for (size_t i = 0; i < a->n; i++)
		quire_folio_put(a->folio[i]);
	free(a->folio);
	return quire_destroy(a->q) ? 1 : 0;
}

static int bytes_order_0(uint64_t bytes)
{
	struct quire_plan_info info = { .size = sizeof(info) };
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct arena a;

	if (arena_fill(&a, bytes, 0, 2) ||
	    quire_plan_create(
		    a.q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
		    &plan) ||
	    quire_plan_info(plan, &info) || quire_plan_execute(plan, NULL, &r))
		return 1;
	bench_row(&(struct bench_result){ .name = "bytes",
					  .unit = "MB",
					  .value = (double)r.bytes_moved / 1e6,
					  .control = (double)info.lower_bound_bytes / 1e6,
					  .ratio = (double)r.bytes_moved /
						   (double)info.lower_bound_bytes,
					  .target = 1,
					  .aim = BENCH_AT_MOST });
	quire_plan_destroy(plan);
	return arena_end(&a);
}

static int metadata(const char *name, uint64_t bytes, unsigned order, double target)
{
	struct quire_stats s = { .size = sizeof(s) };
	struct arena a;
	double of;

	if (arena_fill(&a, bytes, order, 0) || quire_stats_get(a.q, &s))
		return 1;
	of = (double)s.metadata_bytes / (double)bytes;
	bench_row(&(struct bench_result){ .name = name,
					  .unit = "%",
					  .value = 100 * of,
					  .control = 100 * 64.0 / 4096,
					  .ratio = of / (64.0 / 4096),
					  .target = 100 * target,
					  .aim = BENCH_BELOW });
	return arena_end(&a);
}

static int plan_real(uint64_t bytes)
{
	double took[BENCH_ROUNDS], value;
	struct quire_plan *plan;
	struct arena a;

	if (arena_fill(&a, bytes, 0, 2))
		return 1;
	for (unsigned i = 0; i < BENCH_ROUNDS; i++) {
		double began = bench_cpu();

		if (quire_plan_create(
			    a.q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 16),
			    &plan))
			return 1;
		took[i] = (bench_cpu() - began) / (double)(bytes >> 12);
		quire_plan_destroy(plan);
	}
	value = bench_median(took, BENCH_ROUNDS);
	bench_row(&(struct bench_result){ .name = "plan-real",
					  .unit = "ns",
					  .value = value,
					  .control = value,
					  .ratio = 1,
					  .aim = BENCH_NO_TARGET });
	return arena_end(&a);
}

/* --- against brute force --- */

struct sums {
	uint64_t beyond, least, lived;
};

static int judge(const struct oracle_arena *arena, struct sums *sums)
{
	const unsigned size = 1u << arena->window_order;
	struct choose_window window[ORACLE_BRUTE_WINDOWS] = { { 0 } };
	struct choose_counts counts[ORACLE_BRUTE_WINDOWS] = { { { 0 }, { 0 } } };
	struct choose_arena a = {
		.window = window, .counts = counts, .n = arena->blocks, .frames = size
	};
	uint32_t order[ORACLE_BRUTE_WINDOWS];
	struct oracle_brute brute;
	bool used[ORACLE_BRUTE_FRAMES] = { false };

	for (uint32_t b = 0; b < arena->blocks; b++)
		window[b].feasible = true;
	for (size_t i = 0; i < arena->n; i++) {
		const struct oracle_folio *f = &arena->folios[i];

		window[f->block].cost += 1u << f->order;
		window[f->block].feasible = window[f->block].feasible && !f->fixed;
		counts[f->block].moves[f->order]++;
		memset(used + f->block * size + f->offset, true, (size_t)1 << f->order);
		sums->lived += 1u << f->order;
	}
	for (unsigned j = 0; j <= arena->window_order; j++)
		for (size_t at = 0; at < arena->blocks * size; at += (size_t)1 << j)
			if (!memchr(used + at, true, (size_t)1 << j)) {
				counts[at / size].slots[j]++;
				a.slots[0][j]++;
			}
	if (oracle_brute(arena, false, &brute))
		return 1;
	for (uint64_t k = 1; k <= arena->blocks; k++) {
		struct choose_result r;

		if (choose_windows(&a, k, order, &r))
			return 1;
		if (r.windows != k)
			break;
		sums->beyond += r.frames - r.lower_bound;
		sums->least += brute.frames[k] - r.lower_bound;
	}
	return 0;
}

static int bytes_mixed(void)
{
	struct arena_random random = { 1 };
	struct sums sums = { 0, 0, 0 };
	struct arena_room room;

	for (unsigned i = 0; i < ARENAS; i++) {
		arena_make(&random, ARENA_MIXED, &room);
		if (judge(&room.arena, &sums))
			return 1;
	}
	bench_row(&(struct bench_result){ .name = "bytes-mixed",
					  .unit = "%",
					  .value = 100 * (double)sums.beyond / (double)sums.lived,
					  .control = 100 * (double)sums.least / (double)sums.lived,
					  .ratio = (double)sums.beyond / (double)sums.least,
					  .target = 1,
					  .aim = BENCH_AT_MOST });
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t arena = (uint64_t)(argc > 1 ? atoi(argv[1]) : 512) << 20;

	if (over_1_tib() || bytes_order_0(arena) || bytes_mixed() ||
	    metadata("metadata-4k", arena, 0, 0.014) || metadata("metadata-64k", arena, 4, 0.002) ||
	    plan_real(arena)) {
		fprintf(stderr, "plan: out of memory, or a plan failed\n");
		return 1;
	}
	return 0;
}

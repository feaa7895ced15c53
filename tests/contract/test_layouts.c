/* SPDX-License-Identifier: MIT */
/*
 * test_layouts.c: plans on layouts by seed: what was planned is what is done, at order 0 it is the
 * least that can be, and every folio has its content afterwards.
 */
#include "support.h"

#include <stdlib.h>

/* --- layouts by seed ---------------------------------------------------------------------- */

#define BLOCKS 12
#define MOST (BLOCKS * 512)

struct layout {
	struct item *items;
	size_t n;
	uint64_t frames;
};

/* Fills each block to a random share with folios of order 0 to top at random aligned places. */
static void lay_out(struct probe *p, struct layout *l, unsigned top, uint64_t *rng)
{
	static unsigned char used[MOST];

	memset(used, 0, sizeof(used));
	l->n = 0;
	l->frames = 0;
	for (uint32_t b = 0; b < BLOCKS; b++) {
		uint64_t tries = prng(rng) % 120;

		while (tries--) {
			unsigned order = (unsigned)(prng(rng) % (top + 1));
			uint32_t at = b * 512 + (uint32_t)((prng(rng) % (512u >> order)) << order);
			bool taken = false;

			for (uint32_t f = at; f < at + (1u << order); f++)
				taken |= used[f] != 0;
			if (taken)
				continue;
			memset(&used[at], 1, (size_t)1 << order);
			place(p, &l->items[l->n], order, quire_frame(at), prng(rng));
			l->n++;
			l->frames += 1u << order;
		}
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The least that k windows can cost, worked out from the layout alone. */
static uint64_t least(const struct layout *l, uint64_t k)
{
	uint32_t cost[BLOCKS] = { 0 };
	uint64_t sum = 0;

	for (size_t i = 0; i < l->n; i++)
		cost[at_frame(&l->items[i]) / 512] += 1u << l->items[i].order;
	qsort(cost, BLOCKS, sizeof(cost[0]), by_value);
	for (uint64_t i = 0; i < k; i++)
		sum += cost[i];
	return sum * 4096;
}

static void layouts(const char *name, unsigned top, uint64_t otherwise)
{
	uint64_t rng = seed_of(name, otherwise), exact = 0, moved = 0;

	for (unsigned round = 0; round < 25; round++) {
		struct quire *q = make_quire(BLOCKS);
		struct quire_plan_info info;
		struct quire_plan *plan;
		struct quire_result r;
		struct layout l;
		int code;
		struct probe p;
		uint64_t bound;

		l.items = calloc(MOST, sizeof(*l.items));
		assert_non_null(l.items);
		make_probe(q, "layout", round % 2 ? OP_ALL : OP_NONE, &p);
		lay_out(&p, &l, top, &rng);
		plan = plan_of(q, 512, round % 3 ? 1 + prng(&rng) % BLOCKS : QUIRE_MAX);
		info = info_of(plan);
		bound = least(&l, info.runs);
		assert_int_equal(info.lower_bound_bytes, bound);
		assert_int_equal(info.feasible, BLOCKS);
		assert_int_equal(info.bytes, bound + info.alignment_extra_bytes);
		if (!top)
			assert_int_equal(info.alignment_extra_bytes, 0);
		if (!top && round % 3 == 0) /* order 0: all that the free frames allow */
			assert_int_equal(info.runs, BLOCKS - (l.frames + 511) / 512);
		r = (struct quire_result){ .size = sizeof(r) };
		code = quire_plan_execute(plan, NULL, &r);
		assert_true(code == 0 || code == -ENOSPC);
		assert_int_equal(r.obtained, info.runs);
		assert_int_equal(r.bytes_moved, info.bytes);
		assert_int_equal(r.bytes_wasted + r.bytes_recopied + r.folios_failed, 0);
		/* What was planned was done, exactly: nothing else ran. */
		assert_int_equal(stats_of(q).moved_bytes, info.bytes);
		assert_int_equal(stats_of(q).moved, info.folios);
		assert_true(empty_blocks(q) >= info.runs);
		assert_int_equal(stats_of(q).runs, info.runs);
		assert_int_equal(quire_plan_blockers(plan), 0);
		assert_nothing_claimed(q);
		assert_ledger_closed(q);
		assert_frames_free(q, MOST - l.frames);
		exact += info.bytes == info.lower_bound_bytes;
		moved += info.bytes;
		for (size_t i = 0; i < l.n; i++) {
			assert_int_equal(at_frame(&l.items[i]) & ((1u << l.items[i].order) - 1), 0);
			assert_intact(&l.items[i]);
			drop(&l.items[i]);
		}
		quire_plan_destroy(plan);
		assert_frames_free(q, MOST);
		end_quire(q);
		free(l.items);
	}
	assert_true(moved > 0);
	if (!top)
		assert_int_equal(exact, 25);
	printf("# %s: %llu of 25 plans at the lower bound, %llu MiB moved\n", name,
	       (unsigned long long)exact, (unsigned long long)(moved >> 20));
}

static void test_plan_bytes_equal_the_lower_bound_at_order_0(void **state)
{
	(void)state;
	layouts("order 0", 0, 1);
}

static void test_plan_mixed_orders_keep_every_byte(void **state)
{
	(void)state;
	layouts("orders 0 to 3", 3, 2);
	layouts("orders 0 to 6", 6, 3);
}

/* Large folios over whole blocks, small ones in between. */
static void test_plan_folios_as_large_as_the_window(void **state)
{
	struct quire *q = make_quire(6);
	struct item large[2], half[2], small[20];
	struct quire_plan *plan;
	struct quire_result r = { .size = sizeof(r) };
	struct probe p;

	(void)state;
	make_probe(q, "large", OP_ALL, &p);
	place(&p, &large[0], 9, quire_frame(0), 1);
	place(&p, &large[1], 9, quire_frame(2 * 512), 2);
	place(&p, &half[0], 8, quire_frame(3 * 512), 3);
	place(&p, &half[1], 8, quire_frame(4 * 512 + 256), 4);
	place_row(&p, small, 20, 0, 5 * 512, 100);
	plan = plan_of(q, 512, QUIRE_MAX);
	/* 2 of 9, 2 of 8 and 20 small ones need 4 blocks, one of which has room left over. */
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	assert_int_equal(r.bytes_wasted, 0);
	assert_int_equal(empty_blocks(q), r.obtained);
	assert_true(r.obtained >= 2);
	quire_plan_destroy(plan);
	for (size_t i = 0; i < 2; i++) {
		assert_intact(&large[i]);
		assert_intact(&half[i]);
	}
	assert_row_intact(small, 20);
	assert_frames_free(q, 6 * 512 - 2 * 512 - 512 - 20);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plan_bytes_equal_the_lower_bound_at_order_0),
		TEST(test_plan_mixed_orders_keep_every_byte),
		TEST(test_plan_folios_as_large_as_the_window),
	};

	return cmocka_run_group_tests_name("layouts", tests, NULL, NULL);
}

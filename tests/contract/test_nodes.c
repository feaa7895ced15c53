/* SPDX-License-Identifier: MIT */
/*
 * test_nodes.c: several nodes in one quire: what is where, what moves between them, what stays, and
 * a node that is emptied for good.
 */
#include "field.h"

#include <stdlib.h>

/* Three nodes, of 3, 4 and 2 blocks. */
enum { FIRST0 = 0, FIRST1 = 3, FIRST2 = 7, ALL = 9 };
static const uint32_t first_of[] = { FIRST0, FIRST1, FIRST2, ALL };

struct scene {
	struct quire *q;
	struct probe with, without;
	struct item item[2048];
	size_t n;
};
static struct scene s;

static struct quire_node_info node_info(uint32_t node)
{
	struct quire_node_info info = { .size = sizeof(info) };

	assert_int_equal(quire_node_info(s.q, node, &info), 0);
	return info;
}

static void scene_start(void)
{
	static const struct quire_node_options node[] = {
		{ .bytes = 3 << 21 },
		{ .bytes = (4 << 21) - 5, .name = "far" },
		{ .bytes = 2 << 21 },
	};

	memset(&s, 0, sizeof(s));
	assert_int_equal(quire_create(QUIRE_OPTIONS(.nodes = 3, .node = node), &s.q), 0);
	make_probe(s.q, "with", OP_ALL, &s.with);
	make_probe(s.q, "without", OP_NONE, &s.without);
}

static struct item *put(unsigned order, uint32_t at)
{
	struct item *item = &s.item[s.n];

	assert_true(s.n < COUNT_OF(s.item));
	place(s.n % 2 ? &s.with : &s.without, item, order, quire_frame(at), s.n + 1);
	s.n++;
	return item;
}

static void scene_end(void)
{
	assert_nothing_claimed(s.q);
	assert_ledger_closed(s.q);
	for (size_t i = 0; i < s.n; i++) {
		if (!s.item[i].folio)
			continue;
		assert_intact(&s.item[i]);
		if (s.item[i].probe == &s.with)
			assert_item_ledger(&s.item[i]);
		drop(&s.item[i]);
	}
	assert_frames_free(s.q, ALL * 512);
	end_quire(s.q);
}

static int node_of_item(const struct item *item)
{
	return quire_node_of(s.q, quire_folio_frame(item->folio));
}

static unsigned items_in(int node)
{
	unsigned n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.item[i].folio && node_of_item(&s.item[i]) == node;
	return n;
}

static struct quire_plan *plan_for(const struct quire_goal *goal)
{
	struct quire_plan *plan = NULL;

	assert_int_equal(quire_plan_create(s.q, goal, &plan), 0);
	return plan;
}

/* Folios of one frame, every step-th of the blocks first to end - 1. */
static void fill_blocks(uint32_t first, uint32_t end, uint32_t step)
{
	for (uint32_t f = first * 512; f < end * 512; f += step)
		put(0, f);
}

/* --- what is where --- */

static void test_nodes_frames_are_numbered_through(void **state)
{
	static const char *const name[] = { "node0", "far", "node2" };
	struct quire_node_info info;
	struct item *a, *b;
	const char *at;

	(void)state;
	scene_start();
	assert_int_equal(quire_nodes(s.q), 3);
	assert_int_equal(quire_blocks(s.q), ALL);
	assert_int_equal(stats_of(s.q).frames, ALL * 512);
	for (uint32_t i = 0; i < 3; i++) {
		info = node_info(i);
		assert_int_equal(info.first.n, first_of[i] * 512);
		assert_int_equal(info.frames, (first_of[i + 1] - first_of[i]) * 512);
		assert_int_equal(info.frames_free, info.frames);
		assert_int_equal(info.backing, QUIRE_BACKING_4K);
		assert_int_equal(info.offline, 0);
		assert_int_equal(info.memory_bytes, 0);
		assert_string_equal(info.name, name[i]);
		for (uint32_t f = first_of[i] * 512; f < first_of[i + 1] * 512; f++)
			assert_int_equal(quire_node_of(s.q, quire_frame(f)), i);
	}
	assert_int_equal(quire_node_of(s.q, quire_frame(ALL * 512)), -EINVAL);
	assert_int_equal(quire_node_of(s.q, ANYWHERE), -EINVAL);
	/* One arena: the address of a frame follows from its number, whatever its node. */
	a = put(9, 2 * 512);
	b = put(9, 3 * 512);
	at = quire_pin(a->folio);
	assert_ptr_equal(quire_pin(b->folio), at + (2 << 20));
	quire_unpin(a->folio);
	quire_unpin(b->folio);
	assert_int_equal(node_info(0).frames_free, 2 * 512);
	assert_int_equal(node_info(1).frames_free, 3 * 512);
	assert_int_equal(node_info(1).memory_bytes, 2 << 20);
	assert_int_equal(node_info(2).memory_bytes, 0);
	/* An older caller's structure is shorter. */
	memset(&info, 0x55, sizeof(info));
	info.size = offsetof(struct quire_node_info, backing);
	assert_int_equal(quire_node_info(s.q, 1, &info), 0);
	assert_int_equal(info.size, offsetof(struct quire_node_info, backing));
	assert_int_equal(info.frames_free, 3 * 512);
	assert_int_equal(info.offline, 0x55555555);
	info.size = 0;
	assert_int_equal(quire_node_info(s.q, 1, &info), -EINVAL);
	info.size = sizeof(info);
	assert_int_equal(quire_node_info(s.q, 3, &info), -EINVAL);
	assert_int_equal(quire_node_info(s.q, 1, NULL), -EINVAL);
	scene_end();
}

static void refused(const struct quire_options *options)
{
	struct quire *q = (struct quire *)&s;

	assert_int_equal(quire_create(options, &q), -EINVAL);
	assert_null(q);
}

static const struct quire_options *of_size(const struct quire_node_options *node, size_t size)
{
	static struct quire_options o;

	o = *QUIRE_OPTIONS(.nodes = 2, .node = node);
	o.node_size = size;
	return &o;
}

static void test_nodes_options_that_make_no_sense_are_refused(void **state)
{
	static const uint64_t bytes[] = { 1, 1 };
	struct quire_node_options node[17] = { { 0 } };
	struct quire *q = NULL;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(node); i++)
		node[i].bytes = 1;
	refused(QUIRE_OPTIONS(.nodes = 1));
	refused(QUIRE_OPTIONS(.node = node));
	refused(QUIRE_OPTIONS(.arena_bytes = 1, .node = node));
	refused(QUIRE_OPTIONS(.arena_bytes = 1, .nodes = 1, .node = node));
	refused(QUIRE_OPTIONS(.backing = QUIRE_BACKING_2M, .nodes = 1, .node = node));
	refused(QUIRE_OPTIONS(.arena_bytes = 1, .backing = (enum quire_backing)4));
	refused(QUIRE_OPTIONS(.nodes = 17, .node = node));
	refused(of_size(node, 0));
	refused(of_size(node, 7));
	refused(of_size(node, 4097));
	node[1].bytes = 0;
	refused(QUIRE_OPTIONS(.nodes = 2, .node = node));
	node[1].bytes = UINT64_MAX;
	refused(QUIRE_OPTIONS(.nodes = 2, .node = node));
	node[1].bytes = (8ull << 40) - 1; /* rounded up, one block too many with the other */
	refused(QUIRE_OPTIONS(.nodes = 2, .node = node));
	node[1].bytes = 1;
	node[1].backing = (enum quire_backing)99;
	refused(QUIRE_OPTIONS(.nodes = 2, .node = node));
	node[1].backing = QUIRE_BACKING_4K;
	node[1].name = "";
	refused(QUIRE_OPTIONS(.nodes = 2, .node = node));
	node[1].name = "12345678901234567890123456789012";
	refused(QUIRE_OPTIONS(.nodes = 2, .node = node));
	node[1].name = "1234567890123456789012345678901";
	/* An older caller knows of the size alone: names and the rest are as if left out. */
	assert_int_equal(quire_create(of_size((const void *)bytes, sizeof(*bytes)), &q), 0);
	assert_int_equal(quire_nodes(q), 2);
	assert_int_equal(quire_destroy(q), 0);
	assert_int_equal(quire_create(QUIRE_OPTIONS(.nodes = 16, .node = node), &q), 0);
	assert_int_equal(quire_nodes(q), 16);
	assert_int_equal(quire_blocks(q), 16);
	assert_int_equal(quire_destroy(q), 0);
	assert_int_equal(quire_create(QUIRE_OPTIONS(.arena_bytes = 1), &q), 0);
	assert_int_equal(quire_nodes(q), 1);
	assert_int_equal(quire_destroy(q), 0);
}

/* Whatever the options are: a quire as they say, or -EINVAL and nothing. */
static void test_nodes_random_options_are_taken_or_refused(void **state)
{
	uint64_t rng = seed_of("node options", 11);
	unsigned taken = 0, denied = 0;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		struct quire_node_options node[4];
		unsigned nodes = (unsigned)(prng(&rng) % 5), made;
		struct quire *q = (struct quire *)&s;
		uint64_t blocks = 0;
		bool sound = nodes != 0;
		int error;

		memset(node, 0, sizeof(node));
		for (unsigned i = 0; i < nodes && i < 4; i++) {
			uint64_t r = prng(&rng);

			node[i].bytes = r % 8 == 0   ? 0
					: r % 8 == 1 ? prng(&rng)
						     : r % 8 * ((1 << 21) - 1);
			node[i].backing = r >> 8 & 7 ? QUIRE_BACKING_4K
						     : (enum quire_backing)(r >> 16 & 0xff);
			node[i].name = r >> 24 & 3 ? NULL : r >> 26 & 1 ? "a" : "";
			sound &= node[i].bytes && node[i].bytes <= 16 << 21 &&
				 node[i].backing == QUIRE_BACKING_4K &&
				 (!node[i].name || node[i].name[0]);
			blocks += (node[i].bytes + (2u << 20) - 1) >> 21;
		}
		error = quire_create(QUIRE_OPTIONS(.nodes = nodes, .node = node), &q);
		if (error) {
			assert_null(q);
			assert_false(sound);
			denied++;
			continue;
		}
		made = quire_nodes(q);
		assert_int_equal(made, nodes);
		assert_int_equal(quire_blocks(q), blocks);
		assert_int_equal(quire_destroy(q), 0);
		taken++;
	}
	assert_true(taken > 100 && denied > 100);
	printf("# options: %u taken, %u refused\n", taken, denied);
}

/* --- making folios --- */

static int make_in(uint32_t node, unsigned only, unsigned order, struct quire_folio **folio)
{
	return quire_folio_create_with(
		s.with.owner,
		QUIRE_FOLIO(.order = order, .node_set = 1, .node = node, .node_only = only), folio);
}

static void test_nodes_a_folio_is_put_where_it_is_asked_for(void **state)
{
	struct quire_folio *folio[ALL + 1];
	unsigned n = 0;

	(void)state;
	scene_start();
	/* A node that is full: elsewhere, but not where that is not asked for. */
	for (uint32_t node = 0; node < 3; node++) {
		for (uint32_t b = first_of[node]; b < first_of[node + 1]; b++, n++) {
			assert_int_equal(make_in(node, 1, 9, &folio[n]), 0);
			assert_int_equal(quire_node_of(s.q, quire_folio_frame(folio[n])), node);
		}
		assert_int_equal(make_in(node, 1, 0, &folio[n]), -ENOMEM);
		assert_null(folio[n]);
	}
	assert_int_equal(make_in(1, 0, 0, &folio[n]), -ENOMEM);
	while (n)
		quire_folio_put(folio[--n]);
	quire_reclaim(s.q);
	for (uint32_t b = FIRST1; b < FIRST2; b++)
		assert_int_equal(make_in(1, 0, 9, &folio[n++]), 0);
	assert_int_equal(make_in(1, 0, 9, &folio[n]), 0);
	assert_int_equal(quire_node_of(s.q, quire_folio_frame(folio[n++])), 0);
	/* Where nobody says anything it is the first that has room. */
	assert_int_equal(quire_folio_create(s.with.owner, 9, &folio[n]), 0);
	assert_int_equal(quire_node_of(s.q, quire_folio_frame(folio[n++])), 0);
	while (n)
		quire_folio_put(folio[--n]);
	quire_reclaim(s.q);
	/* What is pinned long has blocks of its own in each node. */
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(
			quire_folio_create_with(
				s.with.owner,
				QUIRE_FOLIO(.node_set = 1, .node = 1 + i % 2, .pinned_long = i / 2),
				&folio[n++]),
			0);
	for (uint32_t i = 0; i < 4; i++)
		for (uint32_t k = 0; k < i; k++)
			assert_true(quire_folio_frame(folio[i]).n / 512 !=
				    quire_folio_frame(folio[k]).n / 512);
	while (n)
		quire_folio_put(folio[--n]);
	assert_int_equal(make_in(3, 0, 0, &folio[0]), -EINVAL);
	assert_int_equal(quire_folio_create_with(s.with.owner, QUIRE_FOLIO(.node = 1), &folio[0]),
			 -EINVAL);
	assert_int_equal(
		quire_folio_create_with(s.with.owner, QUIRE_FOLIO(.node_only = 1), &folio[0]),
		-EINVAL);
	scene_end();
}

/* --- moving --- */

static struct quire_move to_node(struct item *item, uint32_t node)
{
	struct quire_move move = { .folio = item->folio, .to_set = QUIRE_TO_NODE, .to_node = node };
	long left = quire_move_folios(s.q, &move, 1, QUIRE_SYNC, 0);

	assert_int_equal(left, move.code != 0);
	return move;
}

static void test_nodes_folios_move_between_nodes(void **state)
{
	struct quire_move move;
	struct item *item, *full[2];
	uint32_t at;

	(void)state;
	scene_start();
	for (unsigned order = 0; order <= 9; order += 3) {
		item = put(order, 0);
		for (uint32_t i = 0; i < 6; i++) {
			move = to_node(item, i % 3);
			assert_int_equal(move.code, 0);
			assert_int_equal(node_of_item(item), i % 3);
			assert_intact(item);
		}
		/* It is there: nothing happens. */
		at = at_frame(item);
		move = to_node(item, 2);
		assert_int_equal(move.code, 0);
		assert_int_equal(move.tries, 0);
		assert_int_equal(move.who.why, QUIRE_REASON_NONE);
		assert_int_equal(at_frame(item), at);
		leave(item);
		quire_reclaim(s.q);
	}
	/* A node without a place, without a frame, offline: it stays, and says why. */
	full[0] = put(9, FIRST2 * 512);
	put(0, FIRST2 * 512 + 512);
	put(0, FIRST2 * 512 + 512 + 256);
	item = put(8, FIRST1 * 512);
	move = to_node(item, 2);
	assert_int_equal(move.code, -ENOMEM);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_PLACE);
	assert_intact(item);
	for (uint32_t f = 1; f < 512; f++)
		if (f != 256)
			put(0, FIRST2 * 512 + 512 + f);
	full[1] = put(0, FIRST1 * 512 + 512);
	move = to_node(full[1], 2);
	assert_int_equal(move.code, -ENOMEM);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_FRAMES);
	assert_int_equal(to_node(full[0], 1).code, 0);
	assert_int_equal(quire_node_offline(s.q, 2), 0);
	assert_int_equal(to_node(full[1], 2).code, -ENOMEM);
	assert_int_equal(quire_node_online(s.q, 2), 0);
	assert_int_equal(to_node(full[1], 2).code, 0);
	/* Nothing is tried of a call that makes no sense. */
	move = (struct quire_move){ .folio = item->folio, .to_set = 3, .code = 77 };
	assert_int_equal(quire_move_folios(s.q, &move, 1, QUIRE_SYNC, 0), -EINVAL);
	assert_int_equal(move.code, 77);
	move.to_set = QUIRE_TO_NODE;
	move.to_node = 3;
	assert_int_equal(quire_move_folios(s.q, &move, 1, QUIRE_SYNC, 0), -EINVAL);
	scene_end();
}

/* --- plans --- */

static void test_nodes_a_plan_goes_to_other_nodes_only_for_want_of_room(void **state)
{
	struct quire_result r;
	struct quire_plan *plan;

	(void)state;
	for (int stay = 0; stay < 2; stay++) {
		scene_start();
		/* Node 1: four blocks, a quarter each; there is room for all of it in one. */
		fill_blocks(FIRST1, FIRST2, 4);
		plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 8,
					   .flags = stay ? QUIRE_GOAL_STAY : 0));
		assert_int_equal(info_of(plan).runs, 8);
		assert_int_equal(info_of(plan).bytes, 3 * 128 * 4096);
		r = run(plan, NULL, 0);
		assert_int_equal(r.bytes_moved, 3 * 128 * 4096);
		quire_plan_destroy(plan);
		assert_int_equal(items_in(1), 512);
		/* All of it somewhere else: only without the flag. */
		plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 4,
					   .node_set = 1, .node = 1,
					   .flags = stay ? QUIRE_GOAL_STAY : 0));
		assert_int_equal(info_of(plan).runs, stay ? 3 : 4);
		assert_int_equal(info_of(plan).no_place, stay);
		(void)run(plan, NULL, stay ? -ENOSPC : 0);
		quire_plan_destroy(plan);
		assert_int_equal(items_in(1), stay ? 512 : 0);
		scene_end();
	}
}

/* Runs of one node are of that node, and none reaches from one into the next. */
static void test_nodes_a_window_is_in_one_node(void **state)
{
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	scene_start();
	/* Nodes have 3, 4 and 2 blocks: pairs at 0, 4 and, across, 2 and 6. */
	plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 1024, .count = QUIRE_MAX));
	assert_int_equal(info_of(plan).runs, 2);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, 2);
	quire_plan_destroy(plan);
	for (uint32_t node = 0; node < 3; node++) {
		plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
					   .count = QUIRE_MAX, .node_set = 1, .node = node));
		assert_int_equal(info_of(plan).runs, first_of[node + 1] - first_of[node]);
		quire_plan_destroy(plan);
	}
	assert_int_equal(quire_plan_create(s.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = 1, .node_set = 1, .node = 3),
					   &plan),
			 -EINVAL);
	assert_int_equal(quire_plan_create(s.q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = 1, .node = 1),
					   &plan),
			 -EINVAL);
	scene_end();
}

/* One run of any length is in one node, aligned by the arena's numbers. */
static void test_nodes_one_run_is_in_one_node(void **state)
{
	struct quire_goal goal = { .size = sizeof(goal), .kind = QUIRE_GOAL_RUN };
	struct quire_plan *plan;
	struct quire_result r;

	(void)state;
	scene_start();
	/* All is free but the first frame of each node: the longest run is the largest node's. */
	for (uint32_t i = 0; i < 3; i++)
		put(0, first_of[i] * 512);
	goal.frames = 4 * 512 - 1;
	plan = plan_for(&goal);
	assert_int_equal(info_of(plan).runs, 1);
	assert_int_equal(info_of(plan).bytes, 0);
	quire_plan_destroy(plan);
	/* All of that node: its one page goes elsewhere, or nowhere where it is to stay. */
	goal.frames = 4 * 512;
	goal.flags = QUIRE_GOAL_STAY;
	plan = plan_for(&goal);
	assert_int_equal(info_of(plan).runs, 0);
	assert_int_equal(info_of(plan).feasible, 1);
	assert_int_equal(info_of(plan).no_place, 1);
	quire_plan_destroy(plan);
	goal.flags = 0;
	plan = plan_for(&goal);
	assert_int_equal(info_of(plan).bytes, 4096);
	r = run(plan, NULL, 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(items_in(1), 0);
	quire_plan_destroy(plan);
	goal.frames++;
	plan = plan_for(&goal);
	assert_int_equal(info_of(plan).feasible, 0);
	quire_plan_destroy(plan);
	/* Block 8 is the only one in the last node at a multiple of 4 MiB. */
	goal.frames = 512;
	goal.align = 2048;
	goal.node_set = 1;
	goal.node = 2;
	plan = plan_for(&goal);
	assert_int_equal(info_of(plan).feasible, 1);
	quire_plan_destroy(plan);
	assert_int_equal(quire_node_offline(s.q, 2), 0);
	plan = plan_for(&goal);
	assert_int_equal(info_of(plan).feasible, 0);
	quire_plan_destroy(plan);
	scene_end();
}

static void test_nodes_what_makes_no_node_goal_is_refused(void **state)
{
	static const struct quire_goal goals[] = {
		{ .node = 3 },
		{ .node = 1, .frames = 512 },
		{ .node = 1, .count = 1 },
		{ .node = 1, .first = { 512 } },
		{ .node = 1, .flags = QUIRE_GOAL_STAY },
		{ .node = 1, .flags = 2 },
		{ .node = 1, .node_set = 1 },
	};
	struct quire_plan *plan;

	(void)state;
	scene_start();
	for (size_t i = 0; i < COUNT_OF(goals); i++) {
		struct quire_goal goal = goals[i];

		goal.size = sizeof(goal);
		goal.kind = QUIRE_GOAL_NODE;
		plan = (struct quire_plan *)&s;
		assert_int_equal(quire_plan_create(s.q, &goal, &plan), -EINVAL);
		assert_null(plan);
	}
	scene_end();
}

/* --- a node that is emptied for good --- */

struct making {
	struct quire_folio *folio[64];
	unsigned n;
};

static void make_one(void *arg)
{
	struct making *m = arg;

	if (m->n < COUNT_OF(m->folio))
		CHECK(make_in(1, 0, 0, &m->folio[m->n++]) == 0);
}

static void test_nodes_a_node_is_emptied_for_good(void **state)
{
	struct quire_folio *folio = NULL;
	struct making making = { .n = 0 };
	struct quire_plan *plan;
	struct quire_result r;
	struct item *item;
	uint64_t live;

	(void)state;
	scene_start();
	fill_blocks(FIRST0, FIRST1, 8);
	fill_blocks(FIRST1, FIRST2, 3);
	live = items_in(1);
	/* Who asks for that node while it goes gets another. */
	assert_int_equal(quire_node_offline(s.q, 1), 0);
	assert_int_equal(quire_node_offline(s.q, 1), 0);
	assert_int_equal(node_info(1).offline, 1);
	at_point_nth("isolate:done", NULL, 1, UINT32_MAX, make_one, &making);
	plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_NODE, .node = 1));
	assert_int_equal(info_of(plan).runs, FIRST2 - FIRST1);
	assert_int_equal(info_of(plan).bytes, live * 4096);
	assert_int_equal(info_of(plan).lower_bound_bytes, live * 4096);
	r = run(plan, NULL, 0);
	no_points();
	quire_plan_destroy(plan);
	assert_int_equal(r.bytes_moved, live * 4096);
	assert_int_equal(making.n, COUNT_OF(making.folio));
	for (unsigned i = 0; i < making.n; i++)
		assert_true(quire_node_of(s.q, quire_folio_frame(making.folio[i])) != 1);
	assert_int_equal(items_in(1), 0);
	assert_int_equal(node_info(1).frames_free, (FIRST2 - FIRST1) * 512);
	/* All of its memory goes; that of the others stays. */
	assert_true(node_info(1).memory_bytes > 0);
	assert_int_equal(quire_node_give_back(s.q, 1, QUIRE_MAX), live * 4096);
	assert_int_equal(node_info(1).memory_bytes, 0);
	assert_true(node_info(0).memory_bytes > 0);
	/* Nobody brings it back: not by a place of his choice, nor by a plan for runs. */
	assert_int_equal(make_in(1, 1, 0, &folio), -ENOMEM);
	assert_int_equal(quire_folio_create_with(
				 s.with.owner,
				 QUIRE_FOLIO(.at_set = 1, .at = quire_frame(FIRST1 * 512)), &folio),
			 -EBUSY);
	plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX));
	(void)run(plan, NULL, 0);
	quire_plan_destroy(plan);
	assert_int_equal(node_info(1).memory_bytes, 0);
	assert_int_equal(quire_node_online(s.q, 1), 0);
	item = put(0, FIRST1 * 512);
	assert_int_equal(node_of_item(item), 1);
	assert_int_equal(quire_node_offline(s.q, 3), -EINVAL);
	assert_int_equal(quire_node_online(s.q, 3), -EINVAL);
	assert_int_equal(quire_node_give_back(s.q, 3, 1), -EINVAL);
	for (unsigned i = 0; i < making.n; i++)
		quire_folio_put(making.folio[i]);
	scene_end();
}

/* What stays in it is named, and the rest goes. */
static void test_nodes_who_stays_in_a_node_is_named(void **state)
{
	const struct quire_blocker *who;
	struct quire_plan *plan;
	struct quire_pin *pin;
	struct item *item;

	(void)state;
	scene_start();
	fill_blocks(FIRST1, FIRST2, 16);
	item = &s.item[5];
	assert_int_equal(quire_pin_long(item->folio, s.without.owner, &pin), 0);
	assert_int_equal(quire_node_offline(s.q, 1), 0);
	plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_NODE, .node = 1));
	(void)run(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), -EBUSY);
	assert_int_equal(quire_plan_blockers(plan), 1);
	who = quire_plan_blocker(plan, 0);
	assert_ptr_equal(who->folio, item->folio);
	assert_int_equal(who->why, QUIRE_REASON_LONG_PIN);
	quire_plan_destroy(plan);
	/* Its block is left as it was. */
	assert_int_equal(items_in(1), 32);
	quire_unpin_long(pin);
	plan = plan_for(QUIRE_GOAL(.kind = QUIRE_GOAL_NODE, .node = 1));
	(void)run(plan, NULL, 0);
	quire_plan_destroy(plan);
	assert_int_equal(items_in(1), 0);
	scene_end();
}

/* --- claims across nodes --- */

struct claiming {
	int code;
	uint32_t why_at;
};

static void claim_everything(void *arg)
{
	struct claiming *c = arg;
	struct quire_plan *plan = range_of(s.q, 0, ALL);

	c->code = quire_plan_execute(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), NULL);
	for (size_t i = 0; i < quire_plan_blockers(plan); i++)
		if (quire_plan_blocker(plan, i)->why == QUIRE_REASON_CLAIMED)
			c->why_at = quire_plan_blocker(plan, i)->frame.n / 512;
	quire_plan_destroy(plan);
	for (uint32_t b = 0; b < ALL; b++)
		CHECK(is_claimed(s.q, b) == (b == FIRST2));
}

/* A range over all nodes, of which one block of the last is another plan's: none is claimed. */
static void test_nodes_a_range_over_several_is_closed_whole_or_not_at_all(void **state)
{
	struct claiming c = { 0 };
	struct quire_plan *plan;

	(void)state;
	scene_start();
	put(0, FIRST2 * 512);
	plan = range_of(s.q, FIRST2, 1);
	at_point_nth("plan:claimed", plan, 1, 1, claim_everything, &c);
	(void)run(plan, NULL, 0);
	no_points();
	assert_int_equal(c.code, -EBUSY);
	assert_int_equal(c.why_at, FIRST2);
	quire_plan_destroy(plan);
	scene_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nodes_frames_are_numbered_through),
		TEST(test_nodes_options_that_make_no_sense_are_refused),
		TEST(test_nodes_random_options_are_taken_or_refused),
		TEST(test_nodes_a_folio_is_put_where_it_is_asked_for),
		TEST(test_nodes_folios_move_between_nodes),
		TEST(test_nodes_a_plan_goes_to_other_nodes_only_for_want_of_room),
		TEST(test_nodes_a_window_is_in_one_node),
		TEST(test_nodes_one_run_is_in_one_node),
		TEST(test_nodes_what_makes_no_node_goal_is_refused),
		TEST(test_nodes_a_node_is_emptied_for_good),
		TEST(test_nodes_who_stays_in_a_node_is_named),
		TEST(test_nodes_a_range_over_several_is_closed_whole_or_not_at_all),
	};

	return cmocka_run_group_tests_name("nodes", tests, NULL, NULL);
}

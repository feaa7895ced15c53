/* SPDX-License-Identifier: MIT */
/*
 * test_shrink.c: memory that nobody uses goes back to the system; what is resident the kernel says.
 */
#include "field.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_BYTES (512u * 4096)

/* The direct map, by way of a folio in it. */
static unsigned char *base_of(struct item *item)
{
	unsigned char *address = quire_pin(item->folio);

	assert_non_null(address);
	quire_unpin(item->folio);
	return address - (size_t)at_frame(item) * 4096;
}

/* Pages of the memory file that are in memory, by the kernel's word. */
static size_t resident(unsigned char *base, uint32_t block, uint32_t blocks)
{
	unsigned char page[512];
	size_t n = 0;

	for (uint32_t b = block; b < block + blocks; b++) {
		assert_int_equal(mincore(base + (size_t)b * BLOCK_BYTES, BLOCK_BYTES, page), 0);
		for (size_t i = 0; i < 512; i++)
			n += page[i] & 1;
	}
	return n;
}

/* Every frame of the arena was touched; after it nothing lives but what fill says. */
static unsigned char *field_touch(struct field *f)
{
	unsigned char *base;

	for (uint32_t b = 0; b < BLOCKS; b++)
		put_at(f, 9, b * 512);
	base = base_of(&f->item[0]);
	assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
	for (uint32_t b = 0; b < BLOCKS; b++)
		leave(&f->item[b]);
	assert_frames_free(f->q, BLOCKS * 512);
	/* Freed memory is still the program's. */
	assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
	return base;
}

static void test_give_back_what_is_resident_follows_what_lives(void **state)
{
	static struct field f;
	static const char zero[4096];
	struct quire_plan *plan;
	unsigned char *base;
	unsigned free;
	struct item *new;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	field_fill(&f, seed_of("give back", 7));
	for (size_t i = 0; i < f.n; i++)
		if (f.item[i].folio && i % 3)
			leave(&f.item[i]);
	plan = plan_of(f.q, 512, QUIRE_MAX);
	run(plan, NULL, 0);
	quire_plan_destroy(plan);
	free = free_blocks(f.q, 0, BLOCKS);
	assert_in_range(free, 4, BLOCKS - 1);
	assert_int_equal(quire_give_back(f.q, QUIRE_MAX), free * BLOCK_BYTES);
	assert_int_equal(resident(base, 0, BLOCKS), (BLOCKS - free) * 512);
	assert_int_equal(stats_of(f.q).given_back_bytes, free * BLOCK_BYTES);
	assert_int_equal(free_blocks(f.q, 0, BLOCKS), free);
	for (size_t i = 0; i < f.n; i++)
		if (f.item[i].folio)
			assert_intact(&f.item[i]);
	/* There is nothing to give twice. */
	assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 0);
	assert_int_equal(stats_of(f.q).given_back_bytes, free * BLOCK_BYTES);
	/* What was given back is as good as new. */
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (!resident(base, b, 1))
			for (size_t i = 0; i < 512; i++)
				assert_memory_equal(base + b * BLOCK_BYTES + i * 4096, zero, 4096);
	for (uint32_t b = 0; b < BLOCKS; b++) {
		if (free_blocks(f.q, b, 1)) {
			new = put_at(&f, 9, b * 512);
			assert_intact(new);
		}
	}
	field_end(&f);
}

static void test_give_back_takes_whole_blocks_and_no_more_than_asked(void **state)
{
	static struct field f;
	unsigned char *base;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	put_at(&f, 0, 7 * 512 + 3);
	assert_int_equal(quire_give_back(f.q, 0), 0);
	assert_int_equal(quire_give_back(f.q, 1), BLOCK_BYTES);
	assert_int_equal(resident(base, 6, 1), 0); /* the last free one */
	assert_int_equal(quire_give_back(f.q, BLOCK_BYTES + 1), 2 * BLOCK_BYTES);
	assert_int_equal(resident(base, 4, 3), 0);
	assert_int_equal(resident(base, 0, 4) + resident(base, 7, 1), 5 * 512);
	/* Frames of a block are counted by what the file has there. */
	put_at(&f, 2, 5 * 512 + 8);
	leave(&f.item[f.n - 1]);
	assert_frames_free(f.q, BLOCKS * 512 - 1);
	assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 4 * 4096 + 4 * BLOCK_BYTES);
	assert_int_equal(resident(base, 0, BLOCKS), 512);
	assert_int_equal(quire_give_back(NULL, 1), -EINVAL);
	field_end(&f);
}

/* A reader in a section may look at a place that was moved away from, or freed, until it leaves. */
static void test_give_back_leaves_what_a_reader_may_see(void **state)
{
	static struct two two;
	struct quire_plan *plan;
	struct quire_result r;
	unsigned char *base;
	const char *old;
	uint32_t block;

	(void)state;
	two_start(&two);
	base = base_of(&two.it);
	block = two.old / 512;
	hand_do(&two.hand, deed_enter, &two.d);
	old = two.d.view.data;
	assert_true(content_is(old, two.it.cookie, 4096));
	/* The folio goes to the other block; a reader keeps its old place from being free. */
	plan = range_of(two.q, block, 1);
	r = run(plan, QUIRE_BUDGET(.mode = QUIRE_ASYNC, .mode_set = 1), -EBUSY);
	assert_int_equal(r.bytes_moved, 4096);
	assert_int_equal(quire_plan_blockers(plan), 1);
	assert_int_equal(quire_plan_blocker(plan, 0)->why, QUIRE_REASON_READER);
	assert_int_equal(quire_plan_blocker(plan, 0)->thread, two.hand.tid);
	quire_plan_destroy(plan);
	assert_true(at_frame(&two.it) / 512 != block);
	assert_int_equal(quire_give_back(two.q, QUIRE_MAX), 0);
	assert_true(content_is(old, two.it.cookie, 4096));
	assert_int_equal(resident(base, block, 1), 1);
	hand_do(&two.hand, deed_leave, &two.d);
	assert_int_equal(quire_give_back(two.q, QUIRE_MAX), 4096);
	assert_int_equal(resident(base, block, 1), 0);
	two_end(&two);
}

/* What a plan works on it leaves alone, and the plan notices nothing. */
struct giving {
	struct quire *q;
	int64_t given;
	struct quire_folio *made;
	struct probe *probe;
	uint32_t not_in;
	unsigned n;
};

static void give_now(void *arg)
{
	struct giving *g = arg;

	g->given = quire_give_back(g->q, QUIRE_MAX);
}

static void test_give_back_leaves_what_a_plan_works_on(void **state)
{
	static struct field f;
	struct giving g = { 0 };
	struct quire_plan *plan;
	struct quire_result r;
	unsigned char *base;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	put_at(&f, 0, 3);
	g.q = f.q;
	plan = range_of(f.q, 0, 3);
	at_point_nth("plan:claimed", plan, 1, 1, give_now, &g);
	r = run(plan, NULL, 0);
	no_points();
	assert_int_equal(r.obtained, 3);
	assert_int_equal(g.given, 5 * BLOCK_BYTES);
	assert_int_equal(resident(base, 0, 3), 3 * 512);
	quire_plan_destroy(plan);
	field_end(&f);
}

/* Whoever wants frames while a block is punched gets none of that block, until it is done. */
static void create_now(void *arg)
{
	struct giving *g = arg;

	if (g->n++)
		return;
	CHECK(!quire_folio_create(g->probe->owner, 9, &g->made));
	CHECK(quire_folio_frame(g->made).n / 512 != g->not_in);
}

static void create_in_vain(void *arg)
{
	struct giving *g = arg;
	struct quire_folio *folio;

	if (g->n++)
		return;
	CHECK(quire_folio_create(g->probe->owner, 0, &folio) == -ENOMEM);
}

static void test_give_back_nobody_gets_frames_of_a_block_meanwhile(void **state)
{
	static struct field f;
	struct giving g = { 0 };
	const char *points[] = { "shrink:taken", "shrink:punched" };
	unsigned char *base;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(points); i++) {
		memset(&g, 0, sizeof(g));
		field_start(&f);
		base = field_touch(&f);
		g.probe = &f.without;
		g.not_in = 7;
		for (uint32_t b = 0; b < 6; b++)
			put_at(&f, 9, b * 512);
		at_point(points[i], NULL, create_now, &g);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), BLOCK_BYTES);
		assert_int_equal(g.n, 1);
		assert_int_equal(resident(base, 7, 1), 0);
		no_points();
		quire_folio_put(g.made);

		/* Where it is the last block there is nothing to be had, as the header says. */
		put_at(&f, 9, 6 * 512);
		put_at(&f, 9, 7 * 512);
		leave(&f.item[f.n - 1]);
		g.n = 0;
		at_point(points[i], NULL, create_in_vain, &g);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), BLOCK_BYTES);
		assert_int_equal(g.n, 1);
		no_points();
		field_end(&f);
	}
}

/* A punch that fails: the block is free as before, and what was given back is said. */
static void test_give_back_a_punch_that_fails_loses_nothing(void **state)
{
	static const char *const calls[] = { "os:punch", "os:data" };
	static struct field f;
	unsigned char *base;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		unsigned each = i ? 2 : 1; /* passed for each block */

		field_start(&f);
		base = field_touch(&f);
		put_at(&f, 0, 9);
		quire_fault_arm_(calls[i], 1, -EIO);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), -EIO);
		assert_true(quire_fault_disarm_());
		assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
		assert_int_equal(free_blocks(f.q, 0, BLOCKS), 7);
		assert_int_equal(stats_of(f.q).given_back_bytes, 0);
		quire_fault_arm_(calls[i], 2 * each + 1, -EIO);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 2 * BLOCK_BYTES);
		assert_true(quire_fault_disarm_());
		assert_int_equal(stats_of(f.q).given_back_bytes, 2 * BLOCK_BYTES);
		assert_int_equal(free_blocks(f.q, 0, BLOCKS), 7);
		assert_int_equal(quire_give_back(f.q, QUIRE_MAX), 5 * BLOCK_BYTES);
		field_end(&f);
	}
}

/* The file is the parent's. */
static void test_give_back_a_child_gives_nothing_of_its_parents(void **state)
{
	static struct field f;
	unsigned char *base;
	pid_t child;
	int status;

	(void)state;
	field_start(&f);
	base = field_touch(&f);
	put_at(&f, 0, 9);
	child = fork();
	if (!child) {
		alarm(10);
		_exit(quire_give_back(f.q, QUIRE_MAX) != -ENXIO);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(resident(base, 0, BLOCKS), BLOCKS * 512);
	field_end(&f);
}

/* Two threads make and drop folios while a third gives back: no content is ever lost. */
#define ROUNDS 600

struct worker {
	struct probe *probe;
	uint64_t seed;
	unsigned *running;
	unsigned rounds;
};

static void make_and_drop(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->rounds; i++) {
		unsigned order = (unsigned)(prng(&w->seed) % 10);
		struct quire_folio *folio;
		char *address;

		if (quire_folio_create(w->probe->owner, order, &folio))
			continue;
		address = quire_pin(folio);
		CHECK(address != NULL);
		content_write(address, w->seed, 4096u << order);
		sched_yield();
		CHECK(content_is(address, w->seed, 4096u << order));
		quire_unpin(folio);
		quire_folio_put(folio);
	}
	__atomic_sub_fetch(w->running, 1, __ATOMIC_SEQ_CST);
}

static void test_give_back_while_folios_come_and_go(void **state)
{
	struct quire *q = make_quire(4);
	unsigned running = 2;
	struct worker worker[2];
	struct hand hand[2];
	uint64_t given = 0;
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_NONE, &p);
	for (unsigned i = 0; i < 2; i++) {
		worker[i] = (struct worker){ &p, i + 1, &running, ROUNDS };
		hand_start(&hand[i]);
		hand_post(&hand[i], make_and_drop, &worker[i]);
	}
	while (SEE(&running)) {
		int64_t n = quire_give_back(q, QUIRE_MAX);

		CHECK(n >= 0);
		given += (uint64_t)n;
	}
	for (unsigned i = 0; i < 2; i++)
		hand_stop(&hand[i]);
	assert_int_equal(stats_of(q).given_back_bytes, given);
	assert_true(given > 0);
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_give_back_what_is_resident_follows_what_lives),
		TEST(test_give_back_takes_whole_blocks_and_no_more_than_asked),
		TEST(test_give_back_leaves_what_a_reader_may_see),
		TEST(test_give_back_leaves_what_a_plan_works_on),
		TEST(test_give_back_nobody_gets_frames_of_a_block_meanwhile),
		TEST(test_give_back_a_punch_that_fails_loses_nothing),
		TEST(test_give_back_a_child_gives_nothing_of_its_parents),
		TEST(test_give_back_while_folios_come_and_go),
	};

	return cmocka_run_group_tests_name("giving back", tests, NULL, NULL);
}

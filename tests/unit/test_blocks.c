// SPDX-License-Identifier: MIT
/*
 * test_blocks.c: the frame allocator alone. What is in use is known to the test frame by frame; a
 * thread is stopped at each of its steps while another one has to get all the rest; and several
 * threads at once never get the same frame.
 */
#include "support.h"

#include <frame/blocks.h>
#include <stdlib.h>

#define MOST 64u

static struct blocks b;
static struct blocks_counts counts;

static const char *validate(void)
{
	uint32_t counted = 0;
	const char *wrong = blocks_validate(&b, &counted);

	return !wrong && counted != counts.empty ? "the empty blocks are counted wrong" : wrong;
}

static void begin(uint32_t n)
{
	memset(&counts, 0, sizeof(counts));
	assert_int_equal(blocks_init(&b, n, &counts), 0);
	assert_int_equal(blocks_free_frames(&b), n * 512);
}

static void end(void)
{
	const char *wrong = validate();

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(blocks_free_frames(&b), b.n * 512);
	blocks_finish(&b);
}

static uint32_t get(unsigned order)
{
	uint32_t frame = UINT32_MAX;

	assert_int_equal(blocks_alloc(&b, order, BLOCK_MOVABLE, false, &frame), 0);
	assert_int_equal(frame & ((1u << order) - 1), 0);
	return frame;
}

/* Every frame of the arena by one order, exactly once; then there is none. */
static void test_every_order_takes_all_frames(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 9; order++) {
		uint32_t n = (5 * 512) >> order, frame;
		uint8_t *seen = calloc(5 * 512, 1);
		uint32_t *got = calloc(n, sizeof(*got));

		assert_true(seen && got);
		begin(5);
		for (uint32_t i = 0; i < n; i++) {
			got[i] = get(order);
			for (uint32_t f = 0; f < 1u << order; f++)
				assert_int_equal(seen[got[i] + f]++, 0);
		}
		assert_int_equal(blocks_alloc(&b, order, BLOCK_MOVABLE, true, &frame), -ENOMEM);
		assert_null(validate());
		for (uint32_t i = 0; i < n; i++)
			blocks_free(&b, order, got[i]);
		end();
		free(seen);
		free(got);
	}
}

/* Random orders, places and frees against a map of the arena; a place is found iff there is one. */
static void test_agrees_with_a_plain_map(void **state)
{
	enum { N = 6, STEPS = 60000 };
	static uint8_t used[N * 512];
	static struct held {
		uint32_t frame;
		unsigned order;
	} held[N * 512];
	uint64_t rng = seed_of("blocks", 1), denied = 0;
	uint32_t n = 0, frame;

	(void)state;
	memset(used, 0, sizeof(used));
	begin(N);
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t r = prng(&rng);
		unsigned order = (unsigned)(r >> 8) % 16;
		int error, there = 0;

		order = order > 9 ? 0 : order;
		if (r % 16 < 7 && n) {
			uint32_t i = (uint32_t)(r >> 32) % n;

			blocks_free(&b, held[i].order, held[i].frame);
			memset(used + held[i].frame, 0, 1u << held[i].order);
			held[i] = held[--n];
			continue;
		}
		if (r % 16 == 7) {
			frame = (uint32_t)(r >> 32) % (N * 512) >> order << order;
			there = !memchr(used + frame, 1, 1u << order);
			error = blocks_alloc_at(&b, order, BLOCK_MOVABLE, frame);
			assert_int_equal(error, there ? 0 : -EBUSY);
		} else {
			for (uint32_t f = 0; f < N * 512; f += 1u << order)
				there |= !memchr(used + f, 1, 1u << order);
			error = blocks_alloc(&b, order, r & 1 ? BLOCK_PINNED : BLOCK_MOVABLE, false,
					     &frame);
			assert_int_equal(error, there ? 0 : -ENOMEM);
		}
		denied += error != 0;
		if (error)
			continue;
		assert_null(memchr(used + frame, 1, 1u << order));
		memset(used + frame, 1, 1u << order);
		held[n].frame = frame;
		held[n++].order = order;
		if (step % 64 == 0)
			assert_null(validate());
	}
	assert_true(denied > 100);
	printf("# blocks: %u steps, %llu denied\n", (unsigned)STEPS, (unsigned long long)denied);
	while (n--)
		blocks_free(&b, held[n].order, held[n].frame);
	end();
}

static void test_refuses_what_is_no_place(void **state)
{
	(void)state;
	begin(2);
	assert_int_equal(blocks_alloc_at(&b, 0, BLOCK_MOVABLE, 1024), -EINVAL);
	assert_int_equal(blocks_alloc_at(&b, 3, BLOCK_MOVABLE, 4), -EINVAL);
	assert_int_equal(blocks_alloc_at(&b, 10, BLOCK_MOVABLE, 0), -EINVAL);
	assert_int_equal(blocks_alloc_at(&b, 9, BLOCK_MOVABLE, 512), 0);
	assert_int_equal(blocks_alloc_at(&b, 0, BLOCK_MOVABLE, 600), -EBUSY);
	/* given back in parts */
	for (uint32_t f = 512; f < 1024; f += 64)
		blocks_free(&b, 6, f);
	end();
}

/* The fullest block that has a place is taken, so that what is sparse gets sparser. */
static void test_the_fullest_block_serves(void **state)
{
	(void)state;
	begin(4);
	for (uint32_t f = 0; f < 500; f++)
		assert_int_equal(blocks_alloc_at(&b, 0, BLOCK_MOVABLE, 1024 + f), 0);
	for (uint32_t f = 0; f < 300; f++)
		assert_int_equal(blocks_alloc_at(&b, 0, BLOCK_MOVABLE, f), 0);
	for (uint32_t i = 0; i < 12; i++)
		assert_int_equal(get(0) / 512, 2);
	assert_int_equal(get(0) / 512, 0);
	assert_int_equal(get(6) / 512, 0);
	assert_int_equal(get(9) / 512, 1);
	blocks_finish(&b);
}

/* What is pinned long stays together as long as there are empty blocks. */
static void test_classes_keep_to_blocks_of_their_own(void **state)
{
	uint32_t frame, pinned_blocks = 0;
	bool pinned[16] = { false };

	(void)state;
	begin(16);
	for (unsigned i = 0; i < 3 * 512; i++) {
		get(0);
		if (i % 4)
			continue;
		assert_int_equal(blocks_alloc(&b, 0, BLOCK_PINNED, false, &frame), 0);
		pinned[frame / 512] = true;
	}
	for (unsigned i = 0; i < 16; i++)
		pinned_blocks += pinned[i];
	assert_int_equal(pinned_blocks, 1);
	/* but no allocation fails for it */
	for (unsigned i = 3 * 512 + 3 * 128; i < 16 * 512; i++)
		assert_int_equal(blocks_alloc(&b, 0, BLOCK_PINNED, false, &frame), 0);
	assert_int_equal(blocks_alloc(&b, 0, BLOCK_PINNED, false, &frame), -ENOMEM);
	assert_null(validate());
	blocks_finish(&b);
}

/* X33: of two claims that overlap one wins, and the other leaves nothing behind. */
static void test_X33_claims_are_whole(void **state)
{
	int one, two;
	uint32_t frame;

	(void)state;
	begin(8);
	assert_int_equal(blocks_claim(&b, 2, 3, &one), 0);
	assert_int_equal(blocks_claim(&b, 0, 3, &two), -EBUSY);
	assert_int_equal(blocks_claim(&b, 4, 4, &two), -EBUSY);
	assert_int_equal(blocks_claim(&b, 1, 3, &one), 0); /* its own do not count */
	assert_false(blocks_is_claimed(&b, 0));
	assert_true(blocks_is_claimed(&b, 1));
	assert_null(validate());
	for (unsigned i = 0; i < 4; i++) {
		frame = get(9);
		assert_true(frame / 512 == 0 || frame / 512 >= 5);
	}
	assert_int_equal(blocks_alloc(&b, 0, BLOCK_MOVABLE, false, &frame), -ENOMEM);
	assert_int_equal(blocks_alloc(&b, 0, BLOCK_MOVABLE, true, &frame), 0);
	assert_in_range(frame / 512, 1, 4);
	blocks_unclaim(&b, 0, 8, &two);
	assert_int_equal(blocks_alloc(&b, 9, BLOCK_MOVABLE, false, &frame), -ENOMEM);
	blocks_unclaim(&b, 0, 8, &one);
	assert_int_equal(blocks_alloc(&b, 9, BLOCK_MOVABLE, false, &frame), 0);
	assert_null(validate());
	blocks_finish(&b);
}

/* --- a thread that is stopped --- */

struct stopped {
	struct hand hand;
	struct gate reached, go;
	unsigned order;
	uint32_t frame;
	bool frees;
};

static void stop_here(void *arg)
{
	struct stopped *s = arg;

	gate_open(&s->reached);
	gate_pass(&s->go);
}

static void alloc_or_free(void *arg)
{
	struct stopped *s = arg;

	if (s->frees)
		blocks_free(&b, s->order, s->frame);
	else
		CHECK(!blocks_alloc(&b, s->order, BLOCK_MOVABLE, false, &s->frame));
}

/*
 * One thread stands still at the given point of an alloc or a free. Everybody else gets every frame
 * that is not its own, and gives it back, again and again; then it goes on as if nothing had been.
 */
static void stop_at(const char *point, unsigned order, bool frees)
{
	static uint32_t got[4 * 512];
	struct stopped s = { .order = order, .frees = frees };
	uint32_t size = 1u << order, least, n;

	no_points();
	begin(4);
	gate_init(&s.reached);
	gate_init(&s.go);
	hand_start(&s.hand);
	if (frees)
		s.frame = get(order);
	at_point_nth(point, NULL, 1, 1, stop_here, &s);
	hand_post(&s.hand, alloc_or_free, &s);
	gate_pass(&s.reached);
	/* The frames that it is about to have, or to give, are nobody's meanwhile. */
	least = 4 * 512 - size;
	for (unsigned round = 0; round < 3; round++) {
		for (n = 0; n < 4 * 512 && !blocks_alloc(&b, 0, BLOCK_MOVABLE, false, &got[n]);)
			n++;
		assert_in_range(n, least, least);
		while (n--)
			blocks_free(&b, 0, got[n]);
	}
	gate_open(&s.go);
	hand_wait(&s.hand);
	hand_stop(&s.hand);
	if (!frees)
		blocks_free(&b, order, s.frame);
	end();
}

static void test_a_stopped_thread_stops_no_other(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 9; order += 3) {
		stop_at("frame:counted", order, false);
		stop_at("frame:cleared", order, true);
	}
}

static void free_block_0(void *arg)
{
	(void)arg;
	blocks_free(&b, 9, 0);
}

/*
 * A block is freed right before its mark, which says that it is empty, is cleared, since it was
 * full; and whoever clears it is stopped before it looks again. So the block is in no list; and yet
 * it is found.
 */
static void test_a_thread_stopped_at_a_mark_hides_nothing(void **state)
{
	static uint32_t got[2 * 512];
	struct stopped s = { .order = 0 };
	uint32_t n;

	(void)state;
	no_points();
	begin(2);
	gate_init(&s.reached);
	gate_init(&s.go);
	hand_start(&s.hand);
	/* Not by its place, which would put the mark right; of another order, for another home. */
	for (n = 0; n < 512; n += 8)
		assert_int_equal(get(3), n);
	at_point_nth("frame:marked-twice", NULL, 1, 1, free_block_0, NULL);
	at_point_nth("frame:mark-cleared", NULL, 1, 1, stop_here, &s);
	hand_post(&s.hand, alloc_or_free, &s);
	gate_pass(&s.reached);
	for (n = 0; n < 1024 && !blocks_alloc(&b, 0, BLOCK_MOVABLE, false, &got[n]);)
		n++;
	assert_int_equal(n, 1024);
	blocks_free(&b, 0, got[--n]);
	gate_open(&s.go);
	hand_wait(&s.hand);
	hand_stop(&s.hand);
	assert_int_equal(s.frame, got[n]);
	blocks_free(&b, 0, s.frame);
	while (n--)
		blocks_free(&b, 0, got[n]);
	end();
}

static void take_frame_64(void *arg)
{
	(void)arg;
	assert_int_equal(blocks_alloc_at(&b, 0, BLOCK_MOVABLE, 64), 0);
}

/* What was found free is another's before it is taken: something else is found, nothing is lost. */
static void test_a_place_taken_meanwhile_is_left_alone(void **state)
{
	(void)state;
	for (unsigned order = 6; order <= 8; order++) {
		no_points();
		begin(1);
		/* Order 6 finds the second word, the others all from the first on. */
		if (order == 6)
			assert_int_equal(blocks_alloc_at(&b, 6, BLOCK_MOVABLE, 0), 0);
		at_point_nth("frame:found", NULL, 1, 1, take_frame_64, NULL);
		assert_int_equal(get(order), order == 8 ? 256 : 128);
		no_points();
		blocks_free(&b, 0, 64);
		blocks_free(&b, order, order == 8 ? 256 : 128);
		if (order == 6)
			blocks_free(&b, 6, 0);
		end();
	}
}

/* --- several threads --- */

#define THREADS 4u

struct runner {
	struct hand hand;
	uint64_t rng;
	unsigned number;
	uint64_t pairs, denied;
};

/* Whose each frame is, as the runners say: number + 1. */
static uint8_t owner_of[MOST * 512];

static void run(void *arg)
{
	enum { HELD = 400 };
	struct runner *r = arg;
	struct {
		uint32_t frame;
		unsigned order;
	} held[HELD];
	unsigned n = 0;

	for (uint64_t i = 0; i < number_of("QUIRE_STRESS_OPS", 200000); i++) {
		uint64_t x = prng(&r->rng);
		unsigned order = (unsigned)(x >> 8) % 24, k = (unsigned)(x >> 32) % HELD;

		if (k < n) {
			for (uint32_t f = 0; f < 1u << held[k].order; f++) {
				uint8_t mine = (uint8_t)(r->number + 1);

				CHECK(__atomic_compare_exchange_n(&owner_of[held[k].frame + f],
								  &mine, 0, false, __ATOMIC_RELAXED,
								  __ATOMIC_RELAXED));
			}
			blocks_free(&b, held[k].order, held[k].frame);
			held[k] = held[--n];
			r->pairs++;
			continue;
		}
		order = order > 9 ? 0 : order;
		if (blocks_alloc(&b, order, x & 1 ? BLOCK_PINNED : BLOCK_MOVABLE, false,
				 &held[n].frame)) {
			r->denied++;
			continue;
		}
		held[n].order = order;
		for (uint32_t f = 0; f < 1u << order; f++) {
			uint8_t nobody = 0;

			CHECK(__atomic_compare_exchange_n(&owner_of[held[n].frame + f], &nobody,
							  (uint8_t)(r->number + 1), false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED));
		}
		n++;
	}
	while (n--) {
		for (uint32_t f = 0; f < 1u << held[n].order; f++)
			__atomic_store_n(&owner_of[held[n].frame + f], 0, __ATOMIC_RELAXED);
		blocks_free(&b, held[n].order, held[n].frame);
	}
}

static void test_no_frame_is_handed_out_twice(void **state)
{
	static struct runner runners[THREADS];
	uint64_t seed = seed_of("blocks", 7), denied = 0, pairs = 0;

	(void)state;
	no_points();
	/* Few blocks, so that they meet in them, and at the end of the memory. */
	begin(6);
	memset(owner_of, 0, sizeof(owner_of));
	for (unsigned i = 0; i < THREADS; i++) {
		runners[i].number = i;
		runners[i].rng = seed + i;
		hand_start(&runners[i].hand);
		hand_post(&runners[i].hand, run, &runners[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		hand_join(&runners[i].hand);
		denied += runners[i].denied;
		pairs += runners[i].pairs;
	}
	printf("# blocks: %llu pairs in %u threads, %llu denied\n", (unsigned long long)pairs,
	       THREADS, (unsigned long long)denied);
	assert_true(denied > 0 && pairs > denied / 10);
	end();
}

/* --- watching ----------------------------------------------------------------------------- */

static unsigned lows;

static void count_low(void *arg)
{
	(void)arg;
	BUMP(&lows);
}

static uint32_t really_empty(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b.n; i++)
		n += blocks_free_of(&b, i) == 512;
	return n;
}

static void test_W3_who_begins_a_block_when_few_are_empty_says_so(void **state)
{
	uint32_t block[8], one;

	(void)state;
	begin(8);
	counts.low = count_low;
	lows = 0;
	one = get(0);
	block[0] = get(9);
	blocks_free(&b, 9, block[0]);
	assert_int_equal(counts.empty, 0); /* nobody watches: nothing is counted */
	assert_int_equal(blocks_watch(&b, BLOCKS_WATCH_BOTH, 3), 7);
	for (unsigned i = 0; i < 4; i++)
		block[i] = get(9);
	assert_int_equal(lows, 0);
	block[4] = get(9);
	assert_int_equal(lows, 1);
	/* One that became empty counts again. */
	blocks_free(&b, 9, block[4]);
	assert_int_equal(counts.empty, 3);
	blocks_free(&b, 9, block[3]);
	block[3] = get(9);
	assert_int_equal(lows, 1);
	block[4] = get(9);
	assert_int_equal(lows, 2);
	/* Unless that is not wanted. */
	assert_int_equal(blocks_watch(&b, BLOCKS_WATCH_TAKES, 2), 2);
	blocks_free(&b, 9, block[4]);
	assert_int_equal(counts.empty, 2);
	block[4] = get(9);
	blocks_free(&b, 9, block[4]);
	assert_int_equal(blocks_watch(&b, BLOCKS_WATCH_TAKES, 2), 3);
	assert_null(validate());
	(void)blocks_watch(&b, BLOCKS_WATCH_OFF, 0);
	assert_int_equal(counts.empty, 0);
	for (unsigned i = 0; i < 4; i++)
		blocks_free(&b, 9, block[i]);
	blocks_free(&b, 0, one);
	assert_int_equal(lows, 2);
	end();
}

static void watch_now(void *arg)
{
	*(uint32_t *)arg = blocks_watch(&b, BLOCKS_WATCH_BOTH, 0);
}

static void test_W3_a_block_is_counted_once_whoever_comes_first(void **state)
{
	uint32_t frame, seen = 0;

	(void)state;
	begin(4);
	counts.low = count_low;
	frame = get(3);
	at_point_nth("frame:cleared", NULL, 1, 1, watch_now, &seen);
	blocks_free(&b, 3, frame);
	no_points();
	assert_int_equal(seen, 3); /* it was not empty yet */
	assert_int_equal(counts.empty, 4);
	at_point_nth("frame:counted", NULL, 1, 1, watch_now, &seen);
	frame = get(3);
	no_points();
	assert_int_equal(seen, 3);
	blocks_free(&b, 3, frame);
	assert_int_equal(counts.empty, 4);
	(void)blocks_watch(&b, BLOCKS_WATCH_OFF, 0);
	end();
}

static void *take_and_give(void *arg)
{
	uint64_t rng = (uintptr_t)arg;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned order = prng(&rng) % 2 ? 9 : (unsigned)(prng(&rng) % 9);
		uint32_t frame;

		if (!blocks_alloc(&b, order, BLOCK_MOVABLE, false, &frame))
			blocks_free(&b, order, frame);
	}
	return NULL;
}

static void test_W3_empty_blocks_are_counted_exactly(void **state)
{
	pthread_t thread[2];

	(void)state;
	begin(16);
	counts.low = count_low;
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, (void *)(i + 1)),
				 0);
	for (unsigned i = 0; i < 500; i++)
		(void)blocks_watch(&b, (enum blocks_watch)(i % 3), 5);
	(void)blocks_watch(&b, BLOCKS_WATCH_BOTH, 5);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(counts.empty, really_empty());
	assert_int_equal(counts.empty, 16);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_order_takes_all_frames),
		TEST(test_agrees_with_a_plain_map),
		TEST(test_refuses_what_is_no_place),
		TEST(test_the_fullest_block_serves),
		TEST(test_classes_keep_to_blocks_of_their_own),
		TEST(test_X33_claims_are_whole),
		TEST(test_a_stopped_thread_stops_no_other),
		TEST(test_a_thread_stopped_at_a_mark_hides_nothing),
		TEST(test_a_place_taken_meanwhile_is_left_alone),
		TEST(test_no_frame_is_handed_out_twice),
		TEST(test_W3_who_begins_a_block_when_few_are_empty_says_so),
		TEST(test_W3_a_block_is_counted_once_whoever_comes_first),
		TEST(test_W3_empty_blocks_are_counted_exactly),
	};

	return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}

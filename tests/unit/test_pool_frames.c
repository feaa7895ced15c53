// SPDX-License-Identifier: MIT
/*
 * test_pool_frames.c: the free frames of a pool, against a model that has a byte for each frame.
 *
 * QUIRE_SEED sets the seed.
 */
#include "pool/frames.h"
#include "support.h"

#include <stdlib.h>

#define FRAMES 16384u
#define CHUNKS 12u
#define STEPS 40000u

static unsigned char owned[FRAMES]; /* by the pool */
static unsigned char used[FRAMES];

static bool range_is(const unsigned char *map, uint32_t at, uint32_t n, unsigned char value)
{
	for (uint32_t i = 0; i < n; i++)
		if (map[at + i] != value)
			return false;
	return true;
}

static void agree(const struct frames *f)
{
	const char *wrong = frames_validate(f);
	uint64_t free = 0;
	int largest = -1;

	if (wrong)
		fail_msg("%s", wrong);
	for (uint32_t i = 0; i < FRAMES; i++) {
		assert_int_equal(frames_chunk(f, quire_frame(i)) != NULL, owned[i]);
		free += owned[i] && !used[i];
	}
	assert_int_equal(f->free, free);
	for (int order = (int)f->order; order >= 0 && largest < 0; order--)
		for (uint32_t at = 0; at < FRAMES; at += 1u << order)
			if (range_is(owned, at, 1u << order, 1) &&
			    range_is(used, at, 1u << order, 0)) {
				largest = order;
				break;
			}
	assert_int_equal(frames_largest(f), largest);
}

static void add_some(struct frames *f, uint64_t *seed)
{
	uint32_t n = 1u << f->order;

	assert_int_equal(frames_reserve(f, CHUNKS), 0);
	while (f->n < CHUNKS) {
		uint32_t at = (uint32_t)(prng(seed) % (FRAMES / n)) * n;

		if (owned[at])
			continue;
		memset(owned + at, 1, n);
		frames_add(f, quire_frame(at));
	}
}

static void one_order(unsigned chunk_order, uint64_t *seed)
{
	struct frames f = { .order = chunk_order };
	struct {
		uint32_t at;
		unsigned order;
	} out[CHUNKS * 512];
	struct quire_frame frame;
	size_t n = 0;

	memset(owned, 0, sizeof(owned));
	memset(used, 0, sizeof(used));
	assert_false(frames_take(&f, 0, &frame));
	agree(&f);
	add_some(&f, seed);
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t r = prng(seed);
		/* fills up and empties, in turns */
		bool fill = (step / 2000) % 2 == 0 ? r % 4 != 0 : r % 4 == 0;

		if (fill) {
			unsigned order = (unsigned)(r >> 8) % (chunk_order + 1);
			int largest = frames_largest(&f);
			bool got = frames_take(&f, order, &frame);

			assert_int_equal(got, (int)order <= largest);
			if (!got)
				continue;
			assert_int_equal(frame.n % (1u << order), 0);
			assert_true(range_is(owned, frame.n, 1u << order, 1));
			assert_true(range_is(used, frame.n, 1u << order, 0));
			memset(used + frame.n, 1, 1u << order);
			out[n].at = frame.n;
			out[n++].order = order;
		} else if (n) {
			size_t i = (size_t)(r >> 8) % n;

			assert_int_equal(frames_give(&f, out[i].order, quire_frame(out[i].at)),
					 1 << out[i].order);
			/* once is enough */
			assert_int_equal(frames_give(&f, out[i].order, quire_frame(out[i].at)), 0);
			memset(used + out[i].at, 0, 1u << out[i].order);
			out[i] = out[--n];
		}
		if (step % 500 == 0)
			agree(&f);
	}
	while (n--) {
		assert_int_equal(frames_give(&f, out[n].order, quire_frame(out[n].at)),
				 1 << out[n].order);
		memset(used + out[n].at, 0, 1u << out[n].order);
	}
	agree(&f);
	for (unsigned i = 0; i < CHUNKS; i++) {
		assert_true(frames_remove_empty(&f, 0, &frame));
		assert_true(range_is(owned, frame.n, 1u << chunk_order, 1));
		memset(owned + frame.n, 0, 1u << chunk_order);
		agree(&f);
	}
	assert_false(frames_remove_empty(&f, 0, &frame));
	free(f.chunk);
}

static void test_pool_frames_against_a_model(void **state)
{
	uint64_t seed = seed_of("pool frames", 5);

	(void)state;
	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++)
		one_order(order, &seed);
}

/* Only what is its own comes back. */
static void test_pool_frames_of_others_are_refused(void **state)
{
	struct frames f = { .order = 4 };
	struct quire_frame frame;

	(void)state;
	assert_int_equal(frames_reserve(&f, 2), 0);
	frames_add(&f, quire_frame(32));
	frames_add(&f, quire_frame(64));
	assert_false(frames_take(&f, 5, &frame));
	assert_true(frames_take(&f, 2, &frame));
	assert_int_equal(frame.n, 32);
	assert_int_equal(frames_give(&f, 1, quire_frame(33)), -EINVAL); /* not aligned */
	assert_int_equal(frames_give(&f, 0, quire_frame(31)), -EINVAL); /* before */
	assert_int_equal(frames_give(&f, 0, quire_frame(48)), -EINVAL); /* between */
	assert_int_equal(frames_give(&f, 0, quire_frame(80)), -EINVAL); /* behind */
	assert_int_equal(frames_give(&f, 0, quire_frame(QUIRE_FRAME_NONE_N)), -EINVAL);
	assert_int_equal(frames_give(&f, 5, quire_frame(32)), -EINVAL);
	assert_int_equal(frames_give(&f, 2, quire_frame(36)), 0); /* free already */
	assert_int_equal(f.free, 28);
	assert_int_equal(frames_give(&f, 3, quire_frame(32)), 4); /* half of it was */
	assert_int_equal(f.free, 32);
	assert_null(frames_validate(&f));
	free(f.chunk);
}

/* A chunk is filled before the next is begun, so others stay empty and can be given back. */
static void test_pool_frames_fill_one_chunk_after_the_other(void **state)
{
	struct frames f = { .order = 3 };
	struct quire_frame frame, first[4];

	(void)state;
	assert_int_equal(frames_reserve(&f, 4), 0);
	for (uint32_t i = 0; i < 4; i++)
		frames_add(&f, quire_frame(i * 8));
	for (uint32_t i = 0; i < 9; i++) {
		assert_true(frames_take(&f, 0, &frame));
		assert_int_equal(frame.n, i);
	}
	/* the second has one in use: the next place is there, though the first has room again */
	assert_int_equal(frames_give(&f, 0, quire_frame(3)), 1);
	assert_true(frames_take(&f, 0, &frame));
	assert_int_equal(frame.n, 3);
	assert_true(frames_remove_empty(&f, 0, &first[0]));
	assert_true(frames_remove_empty(&f, 0, &first[1]));
	assert_false(frames_remove_empty(&f, 0, &first[2]));
	assert_int_equal(f.n, 2);
	free(f.chunk);
}

static void test_pool_frames_room_that_cannot_be_had(void **state)
{
	struct frames f = { .order = 3 };

	(void)state;
	assert_int_equal(frames_reserve(&f, UINT64_MAX), -ENOMEM);
	assert_int_equal(frames_reserve(&f, UINT64_MAX / sizeof(struct chunk) + 1), -ENOMEM);
	assert_int_equal(f.room, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pool_frames_against_a_model),
		TEST(test_pool_frames_of_others_are_refused),
		TEST(test_pool_frames_fill_one_chunk_after_the_other),
		TEST(test_pool_frames_room_that_cannot_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * test_background.c: who works in the background: what wakes it, what it may spend, how it begins
 * and ends. Most of it without a thread and with a clock that the test moves, so that each look is
 * a call.
 */
#include "field.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_BYTES (512ull * 4096)
#define NEVER UINT64_MAX

/* --- a quire of which the background has charge ------------------------------------------- */

/*
 * Eight blocks; in each of the first six a folio of one page is all that lives, so that six runs
 * are to be had for six pages, as long as these may move.
 */
struct bed {
	struct quire *q;
	struct probe p;
	struct item it[6];
	struct item big[8];
};

static void bed_start(struct bed *bed, unsigned ops)
{
	memset(bed, 0, sizeof(*bed));
	bed->q = make_quire(8);
	make_probe(bed->q, "bed", ops, &bed->p);
	for (unsigned i = 0; i < COUNT_OF(bed->it); i++)
		place(&bed->p, &bed->it[i], 0, quire_frame(i * 512 + i), i + 1);
}

static struct quire_background_stats seen(struct quire *q)
{
	struct quire_background_stats s = { .size = sizeof(s) };

	assert_int_equal(quire_background_stats_get(q, &s), 0);
	return s;
}

static void bed_end(struct bed *bed)
{
	for (unsigned i = 0; i < COUNT_OF(bed->it); i++) {
		if (!bed->it[i].folio)
			continue;
		assert_intact(&bed->it[i]);
		drop(&bed->it[i]);
	}
	for (unsigned i = 0; i < COUNT_OF(bed->big); i++)
		if (bed->big[i].folio)
			drop(&bed->big[i]);
	assert_int_equal(quire_background_stop(bed->q, 0), 0);
	assert_int_equal(seen(bed->q).state, QUIRE_BACKGROUND_OFF);
	end_quire(bed->q);
}

#define START(q, ...)                                                                              \
	assert_int_equal(                                                                          \
		quire_background_start((q), QUIRE_BACKGROUND_OPTIONS(                              \
						    .flags = QUIRE_BACKGROUND_NO_THREAD,           \
						    .share = 1000, __VA_ARGS__)),                  \
		0)

static int step(struct quire *q, uint64_t *next)
{
	return quire_background_step(q, next);
}

/* Steps until there is nothing to do for now; returns how many, and until when in *next. */
static unsigned steps(struct quire *q, uint64_t *next)
{
	unsigned n = 0;
	int did;

	while ((did = step(q, next)) == 1)
		assert_true(++n < 100);
	assert_int_equal(did, 0);
	return n;
}

/* Would an event loop be woken? */
static bool is_raised(struct quire *q)
{
	struct pollfd fd = { .fd = quire_background_fd(q), .events = POLLIN };

	assert_true(fd.fd >= 0);
	return poll(&fd, 1, 0) == 1;
}

/* --- runs are ready ----------------------------------------------------------------------- */

/* The thread has nothing to do, and is about to sleep. */
struct sleeper {
	struct gate gate;
	struct at_point *rule;
};

static void sleeper_start(struct sleeper *s)
{
	gate_init(&s->gate);
	s->rule = at_point("background:sleeps", NULL, gate_open, &s->gate);
}

static void test_W28_a_thread_keeps_runs_ready(void **state)
{
	struct sleeper s;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	assert_int_equal(empty_blocks(bed.q), 2);
	sleeper_start(&s);
	assert_int_equal(
		quire_background_start(bed.q, QUIRE_BACKGROUND_OPTIONS(.runs_low = 5, .share = 1000)),
		0);
	while (seen(bed.q).state != QUIRE_BACKGROUND_RESTING)
		gate_pass(&s.gate);
	print_message("# %u empty, free %u runs %lu moved %lu steps %lu vain %lu asked %lu\n", empty_blocks(bed.q), seen(bed.q).runs_free, seen(bed.q).runs, seen(bed.q).moved_bytes, seen(bed.q).steps, seen(bed.q).in_vain, seen(bed.q).asked);
	assert_true(empty_blocks(bed.q) >= 7); /* runs_high: 7 */
	assert_int_equal(seen(bed.q).runs, 5);
	assert_int_equal(seen(bed.q).moved_bytes, 5 * 4096);
	assert_int_equal(seen(bed.q).next_ns, NEVER);
	/* And again, once some of them are taken. */
	for (unsigned i = 0; i < 4; i++)
		place(&bed.p, &bed.big[i], 9, ANYWHERE, 100 + i);
	for (unsigned i = 0; i < 4; i++)
		drop(&bed.big[i]);
	bed_end(&bed);
}

/* --- when it wakes ------------------------------------------------------------------------ */

static void test_W3_sleeps_without_a_limit_while_nothing_is_wanted(void **state)
{
	uint64_t next = 0, asked;
	struct bed bed;

	(void)state;
	bed_start(&bed, OP_ALL);
	START(bed.q, .runs_low = 2, .runs_high = 2);
	assert_true(is_raised(bed.q));
	assert_int_equal(steps(bed.q, &next), 0);
	assert_int_equal(next, NEVER);
	assert_int_equal(seen(bed.q).state, QUIRE_BACKGROUND_RESTING);
	asked = seen(bed.q).asked;
	/* Whatever goes on that takes none of the runs it watches is no reason to look. */
	for (unsigned i = 0; i < 300; i++) {
		struct quire_pin *pin;
		struct item one = { 0 };

		place(&bed.p, &one, i % 4, ANYWHERE, 7);
		assert_int_equal(quire_pin_long(one.folio, bed.p.owner, &pin), 0);
		quire_unpin_long(pin);
		quire_movable_again(NULL == pin ? NULL : bed.q);
		drop(&one);
		if (i == 0) { /* the owner's word is listened to once */
			assert_true(is_raised(bed.q));
			assert_int_equal(steps(bed.q, &next), 0);
			asked = seen(bed.q).asked;
		}
	}
	(void)asked;
	bed_end(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_W28_a_thread_keeps_runs_ready),
		TEST(test_W3_sleeps_without_a_limit_while_nothing_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

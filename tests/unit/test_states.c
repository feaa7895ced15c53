// SPDX-License-Identifier: MIT
/*
 * test_states.c: the check of every store against src/folio/states.def: it lets pass what the table
 * has, and nothing else.
 */
#include "folio/state.h"

/* The order that cmocka.h asks for. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS 32u /* combinations of the five */

static uint64_t word_of(unsigned flags, unsigned version, unsigned order, uint32_t frame)
{
	return (uint64_t)version << QUIRE_WORD_VERSION_SHIFT_ |
	       (uint64_t)flags << QUIRE_WORD_FLAG_SHIFT_ |
	       (uint64_t)order << QUIRE_WORD_ORDER_SHIFT_ | frame;
}

static bool exists(unsigned flags)
{
	for (int s = 0; s < STATE_COUNT; s++)
		if (s != STATE_BLANK && word_is((enum folio_state)s, word_of(flags, 1, 0, 0)))
			return true;
	return false;
}

static void test_states_are_what_the_invariants_say(void **state)
{
	const uint64_t shift = QUIRE_WORD_FLAG_SHIFT_;
	const unsigned moving = (unsigned)(QUIRE_MOVING_ >> shift);
	const unsigned dead = (unsigned)(QUIRE_DEAD_ >> shift);
	const unsigned isolated = (unsigned)(QUIRE_ISOLATED_ >> shift);
	const unsigned waiters = (unsigned)(QUIRE_WAITERS_ >> shift);
	const unsigned moved = (unsigned)(QUIRE_MOVED_ >> shift);

	(void)state;
	for (unsigned f = 0; f < FLAGS; f++) {
		bool fine = !(f & (moving | moved)) || (f & isolated);

		fine = fine && (!(f & waiters) || (f & moving));
		fine = fine && (!(f & dead) || f == dead);
		fine = fine && !((f & moved) && (f & moving));
		assert_int_equal(exists(f), fine);
	}
	assert_true(word_is(STATE_BLANK, 0));
	assert_false(word_is(STATE_BLANK, 1));
}

/* The step's own change of place and version: the only one that passes. */
static uint64_t after(enum folio_step step, uint64_t from, unsigned flags)
{
	unsigned version = (unsigned)(from >> QUIRE_WORD_VERSION_SHIFT_);
	bool next = step == STEP_PUBLISH || step == STEP_RETIRE;

	return word_of(flags, version + next, 3, step == STEP_PUBLISH ? 16 : 8);
}

static void test_only_the_edges_of_the_table_pass(void **state)
{
	/* By hand, from the protocol: how many pairs of flags each step may have. */
	static const unsigned pairs[STEP_COUNT] = {
		[STEP_CREATE] = 1, [STEP_ISOLATE] = 1, [STEP_MARK] = 1,	   [STEP_WAIT] = 1,
		[STEP_UNMARK] = 2, [STEP_PUBLISH] = 4, [STEP_RELEASE] = 2, [STEP_RETIRE] = 1,
	};

	(void)state;
	for (int s = 0; s < STEP_COUNT; s++) {
		enum folio_step step = (enum folio_step)s;
		unsigned n = 0;

		for (unsigned i = 0; i < FLAGS * FLAGS; i++) {
			uint64_t from = word_of(i / FLAGS, 5, 3, 8);
			uint64_t to = after(step, from, i % FLAGS);
			uint64_t other = to ^ QUIRE_WORD_VERSION_ONE_;

			if (!word_step_is(step, from, to))
				continue;
			n++;
			assert_true(exists(i / FLAGS) && exists(i % FLAGS));
			/* the version is part of it, and so is the place */
			assert_false(word_step_is(step, from, other));
			if (step == STEP_PUBLISH)
				assert_false(word_step_is(step, from, (to & ~31ull) | 8));
			else if (step != STEP_CREATE)
				assert_false(word_step_is(step, from, to ^ 24));
			if (step != STEP_CREATE)
				assert_false(word_step_is(step, from, to ^ (1ull << 32)));
		}
		assert_int_equal(n, pairs[s]);
	}
	assert_true(word_step_is(STEP_CREATE, 0, word_of(0, 0, 3, 8)));
	assert_false(word_step_is(STEP_CREATE, word_of(0, 1, 3, 8), word_of(0, 1, 3, 16)));
}

static void test_counts_change_by_their_steps(void **state)
{
	const uint64_t ref = COUNT_REF, pin = COUNT_PIN;

	(void)state;
	assert_true(count_step_is(COUNT_BORN, 0, ref));
	assert_false(count_step_is(COUNT_BORN, ref, ref));
	assert_false(count_step_is(COUNT_BORN, pin, pin + ref));
	assert_true(count_step_is(COUNT_GET, ref, 2 * ref));
	assert_false(count_step_is(COUNT_GET, 0, ref));
	assert_true(count_step_is(COUNT_PUT, ref + pin, pin));
	assert_false(count_step_is(COUNT_PUT, 0, 0 - ref));
	assert_false(count_step_is(COUNT_PUT, 2 * ref, 0));
	assert_true(count_step_is(COUNT_PIN_LONG, 0, pin));
	assert_true(count_step_is(COUNT_UNPIN, pin, 0));
	assert_false(count_step_is(COUNT_UNPIN, ref, ref - pin));
	assert_true(count_step_is(COUNT_UNPIN_LONG, ref + 2 * pin, ref + pin));
	assert_true(count_step_is(COUNT_END, 3 * ref + pin, 0));
	assert_false(count_step_is(COUNT_END, 0, 0));
}

static void wrong_word(struct quire_folio *folio)
{
	word_step_set(folio, STEP_MARK, QUIRE_MOVING_); /* and nobody isolated it */
}

static void wrong_count(struct quire_folio *folio)
{
	count_step_add(folio, COUNT_UNPIN_LONG, -COUNT_PIN);
}

static void test_a_wrong_store_traps(void **state)
{
	void (*const wrong[])(struct quire_folio *) = { wrong_word, wrong_count };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct quire_folio folio = { .word_ = word_of(0, 1, 0, 7), .count_ = COUNT_REF };
		int status = 0;
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child) {
			/* a trap is what is wanted: no handler, and no core */
			(void)signal(SIGILL, SIG_DFL);
			(void)signal(SIGTRAP, SIG_DFL);
			wrong[i](&folio);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_are_what_the_invariants_say),
		cmocka_unit_test(test_only_the_edges_of_the_table_pass),
		cmocka_unit_test(test_counts_change_by_their_steps),
		cmocka_unit_test(test_a_wrong_store_traps),
	};

	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}

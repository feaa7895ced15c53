/* SPDX-License-Identifier: MIT */
/*
 * state.h: every store to a folio's word and count, with the name of its step in states.def. Where
 * CHECK() is on, what was there and what is there now must be that step; the value that was there
 * is the one that the atomic operation itself replaced. Elsewhere these are the bare operations.
 */
#ifndef QUIRE_SRC_FOLIO_STATE_H
#define QUIRE_SRC_FOLIO_STATE_H

#include "util/atomic.h"
#include "util/check.h"

#include <quire/abi.h>

#define COUNT_REF 1ull
#define COUNT_PIN (1ull << 32)
#define COUNT_REFS(c) ((uint32_t)(c))
#define COUNT_PINS(c) ((uint32_t)((c) >> 32))
#define COUNT_FROZEN UINT32_MAX /* in place of the number of references; so many never are */

enum folio_state {
#define STATE(name, flags, meaning) STATE_##name,
#include "folio/states.def"
	STATE_COUNT
};

enum folio_step {
#define STEP(name, place, version, function, who, pairs) STEP_##name,
#include "folio/states.def"
	STEP_COUNT
};

enum count_step {
#define COUNT_STEP(name, refs, refs_change, pins, pins_change, function, meaning) COUNT_##name,
#include "folio/states.def"
	COUNT_STEP_COUNT
};

static inline bool word_is(enum folio_state state, uint64_t word)
{
	static const uint64_t flags[] = {
#define STATE(name, flags, meaning) (flags),
#include "folio/states.def"
	};
	const uint64_t all = QUIRE_WORD_VERSION_ONE_ - (1ull << QUIRE_WORD_FLAG_SHIFT_);

	return state == STATE_BLANK ? !word : (word & all) == flags[state];
}

static inline bool word_step_is(enum folio_step step, uint64_t from, uint64_t to)
{
	enum { PLACE_SAME, PLACE_NEW, PLACE_LESS, PLACE_MORE, PLACE_ANY };
	enum { VERSION_SAME = 0, VERSION_NEXT = 1 };
	static const struct {
		unsigned char place, version;
	} rule[] = {
#define STEP(name, place, version, function, who, pairs) { PLACE_##place, VERSION_##version },
#include "folio/states.def"
	};
	const uint64_t order = 15ull << QUIRE_WORD_ORDER_SHIFT_;
	const uint64_t where = order | QUIRE_WORD_FRAME_MASK_;
	uint64_t next = from + rule[step].version * QUIRE_WORD_VERSION_ONE_;
	bool known = false;

#define EDGE(edge, a, b)                                                                           \
	if (step == STEP_##edge && word_is(STATE_##a, from) && word_is(STATE_##b, to))             \
		known = true;
#include "folio/states.def"
	if ((next ^ to) & QUIRE_WORD_VERSION_MASK_)
		return false;
	if (rule[step].place == PLACE_SAME && ((from ^ to) & where))
		return false;
	if (rule[step].place == PLACE_NEW &&
	    (((from ^ to) & order) || !((from ^ to) & QUIRE_WORD_FRAME_MASK_)))
		return false;
	if ((rule[step].place == PLACE_LESS || rule[step].place == PLACE_MORE) &&
	    (((from ^ to) & QUIRE_WORD_FRAME_MASK_) || (from & order) == (to & order) ||
	     ((from & order) > (to & order)) != (rule[step].place == PLACE_LESS)))
		return false;
	return known;
}

static inline bool count_step_is(enum count_step step, uint64_t from, uint64_t to)
{
	enum { NONE = -1, ALL = -2, ONE = -3, FROZEN = -4 };
	static const struct {
		signed char refs, refs_change, pins, pins_change;
	} rule[] = {
#define COUNT_STEP(name, r, r_change, p, p_change, function, meaning) { r, r_change, p, p_change },
#include "folio/states.def"
	};
	int64_t refs = COUNT_REFS(from), pins = COUNT_PINS(from), after = COUNT_REFS(to);

	switch (rule[step].refs) {
	case NONE:
	case ONE:
		if (refs != (rule[step].refs == ONE))
			return false;
		break;
	case FROZEN:
		if (refs != COUNT_FROZEN)
			return false;
		break;
	default: /* with a reference at least, which is not frozen; or whatever there is */
		if (refs < rule[step].refs || (rule[step].refs && refs == COUNT_FROZEN))
			return false;
	}
	if (rule[step].pins == NONE ? pins != 0 : pins < rule[step].pins)
		return false;
	if (rule[step].refs_change == ALL)
		return !to;
	if (COUNT_PINS(to) != pins + rule[step].pins_change)
		return false;
	if (rule[step].refs_change == ONE || rule[step].refs_change == FROZEN)
		return after == (rule[step].refs_change == ONE ? 1 : (int64_t)COUNT_FROZEN);
	return after == refs + rule[step].refs_change &&
	       (!rule[step].refs_change || after != COUNT_FROZEN);
}

/* Compare and exchange; *from is what was there where it fails. */
static inline bool word_step(struct quire_folio *folio, enum folio_step step, uint64_t *from,
			     uint64_t to)
{
	if (!compare_exchange(&folio->word_, from, to))
		return false;
	CHECK(word_step_is(step, *from, to));
	return true;
}

/* The same, as a release only. */
static inline bool word_step_release(struct quire_folio *folio, enum folio_step step,
				     uint64_t *from, uint64_t to)
{
	if (!__atomic_compare_exchange_n(&folio->word_, from, to, false, __ATOMIC_RELEASE,
					 __ATOMIC_RELAXED))
		return false;
	CHECK(word_step_is(step, *from, to));
	return true;
}

static inline void word_step_set(struct quire_folio *folio, enum folio_step step, uint64_t flags)
{
	uint64_t from = __atomic_fetch_or(&folio->word_, flags, __ATOMIC_SEQ_CST);

	(void)from;
	CHECK(word_step_is(step, from, from | flags));
}

/* A store without a look, for whoever is alone with the word. */
static inline void word_step_store(struct quire_folio *folio, enum folio_step step, uint64_t to)
{
	if (CHECKED) {
		uint64_t from = __atomic_exchange_n(&folio->word_, to, __ATOMIC_RELEASE);

		CHECK(word_step_is(step, from, to));
		return;
	}
	(void)step;
	store_release(&folio->word_, to);
}

static inline bool count_step(struct quire_folio *folio, enum count_step step, uint64_t *from,
			      uint64_t to)
{
	if (!compare_exchange(&folio->count_, from, to))
		return false;
	CHECK(count_step_is(step, *from, to));
	return true;
}

static inline void count_step_add(struct quire_folio *folio, enum count_step step, uint64_t change)
{
	uint64_t from = fetch_add(&folio->count_, change);

	(void)from;
	CHECK(count_step_is(step, from, from + change));
}

static inline void count_step_store(struct quire_folio *folio, enum count_step step, uint64_t to)
{
	if (CHECKED) {
		uint64_t from = exchange(&folio->count_, to);

		CHECK(count_step_is(step, from, to));
		return;
	}
	(void)step;
	__atomic_store_n(&folio->count_, to, __ATOMIC_SEQ_CST);
}

#endif

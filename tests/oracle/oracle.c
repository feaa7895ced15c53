/* SPDX-License-Identifier: MIT */
/*
 * oracle.c: two independent answers to what can be emptied.
 *
 * The judge does not count moves and slots apart. Call an aligned 2^j cell of a window *whole* if
 * no border of a folio runs through its inside: it is entirely free, or a part of one folio of
 * order >= j. With n_o folios of order o to move out of the taken windows T, and S_j free cells
 * outside of them,
 *
 *	   sum over o >= j of n_o * 2^(o-j)  <=  S_j
 *	<=>  whole_j(T)  <=  free_j(everywhere)
 *
 * for a folio of order o >= j covers 2^(o-j) whole cells, and adding the free cells of T to both
 * sides gives the second line. So each window costs a fixed vector whole_j, and the arena has a
 * fixed budget free_j; to take a window is to pay for it. A cell mixed of free frames and folios,
 * or of smaller folios, is worth nothing at order j, and costs nothing.
 *
 * The brute force below uses none of this.
 */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS (ORACLE_MAX_FOLIO_ORDER + 1)

/*
 * One window, frame by frame: the index of the folio in it + 1, 0 for a free frame; and whether a
 * cell is whole, at the order that is looked at.
 */
struct picture {
	size_t *folio;
	bool *whole;
};

struct price {
	uint32_t number;
	uint32_t in_use;
	bool fixed;
	uint32_t whole[ORDERS];
	uint32_t free[ORDERS];
};

/* The largest folio that there can be. */
static unsigned top_order(const struct oracle_arena *arena)
{
	return arena->window_order < ORACLE_MAX_FOLIO_ORDER ? arena->window_order
							    : ORACLE_MAX_FOLIO_ORDER;
}

/*
 * Draws window number from its folios index[0..n). -EINVAL: out of bounds, misaligned, or two on
 * one frame.
 */
static int draw(const struct oracle_arena *arena, const size_t *index, size_t n,
		struct picture *picture)
{
	const uint32_t size = 1u << arena->window_order;

	memset(picture->folio, 0, size * sizeof(*picture->folio));
	for (size_t i = 0; i < n; i++) {
		const struct oracle_folio *f = &arena->folios[index[i]];

		if (f->order > top_order(arena) || f->offset >= size ||
		    f->offset % (1u << f->order))
			return -EINVAL;
		for (uint32_t k = f->offset; k < f->offset + (1u << f->order); k++) {
			if (picture->folio[k])
				return -EINVAL;
			picture->folio[k] = index[i] + 1;
		}
	}
	return 0;
}

/* Halves to wholes: a cell of order j + 1 is whole if both halves are, and show the same. */
static void appraise(const struct oracle_arena *arena, const struct picture *picture,
		     struct price *price)
{
	size_t *cell = picture->folio;
	bool *whole = picture->whole;

	for (uint32_t k = 0; k < 1u << arena->window_order; k++) {
		whole[k] = true;
		price->in_use += cell[k] != 0;
		price->fixed = price->fixed || (cell[k] && arena->folios[cell[k] - 1].fixed);
	}
	for (unsigned j = 0; j <= top_order(arena); j++) {
		const uint32_t cells = 1u << (arena->window_order - j);

		for (uint32_t k = 0; k < cells; k++) {
			price->whole[j] += whole[k];
			price->free[j] += whole[k] && !cell[k];
		}
		for (uint32_t k = 0; k < cells / 2; k++) {
			whole[k] =
				whole[2 * k] && whole[2 * k + 1] && cell[2 * k] == cell[2 * k + 1];
			cell[k] = cell[2 * k];
		}
	}
}

/*
 * The folios of each window: those of window b are index[first[b]..first[b + 1]). Both are the
 * caller's to free, after a failure too.
 */
static int group(const struct oracle_arena *arena, size_t **first, size_t **index)
{
	size_t *end;

	*first = *index = NULL;
	if (arena->window_order > ORACLE_MAX_WINDOW_ORDER || arena->blocks > ORACLE_MAX_BLOCKS ||
	    arena->n > (size_t)arena->blocks << arena->window_order)
		return -EINVAL;
	for (size_t i = 0; i < arena->n; i++) {
		if (arena->folios[i].block >= arena->blocks)
			return -EINVAL;
	}
	*first = calloc((size_t)arena->blocks + 2, sizeof(**first));
	*index = calloc(arena->n + 1, sizeof(**index));
	if (!*first || !*index)
		return -ENOMEM;
	end = *first + 1;
	for (size_t i = 0; i < arena->n; i++)
		end[arena->folios[i].block + 1]++;
	for (uint32_t b = 0; b < arena->blocks; b++)
		end[b + 1] += end[b];
	/* end[b] is where window b starts until its folios are entered, and then where it ends. */
	for (size_t i = 0; i < arena->n; i++)
		(*index)[end[arena->folios[i].block]++] = i;
	return 0;
}

static int appraise_all(const struct oracle_arena *arena, struct price **prices)
{
	struct picture picture = { 0 };
	size_t *first, *index;
	int error = group(arena, &first, &index);

	*prices = NULL;
	if (error)
		goto out;
	error = -ENOMEM;
	picture.folio = calloc((size_t)1 << arena->window_order, sizeof(*picture.folio));
	picture.whole = calloc((size_t)1 << arena->window_order, sizeof(*picture.whole));
	*prices = calloc((size_t)arena->blocks + 1, sizeof(**prices));
	if (!picture.folio || !picture.whole || !*prices)
		goto out;
	error = 0;
	for (uint32_t b = 0; b < arena->blocks && !error; b++) {
		error = draw(arena, index + first[b], first[b + 1] - first[b], &picture);
		(*prices)[b].number = b;
		if (!error)
			appraise(arena, &picture, &(*prices)[b]);
	}
out:
	free(picture.folio);
	free(picture.whole);
	free(first);
	free(index);
	return error;
}

static int cheapest_first(const void *a, const void *b)
{
	const struct price *x = a, *y = b;

	if (x->in_use != y->in_use)
		return x->in_use < y->in_use ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static bool can_pay(const uint64_t *budget, const struct price *price, unsigned top)
{
	for (unsigned j = 0; j <= top; j++) {
		if (price->whole[j] > budget[j])
			return false;
	}
	return true;
}

static void pay(uint64_t *budget, const struct price *price, unsigned top,
		struct oracle_verdict *verdict)
{
	for (unsigned j = 0; j <= top; j++)
		budget[j] -= price->whole[j];
	verdict->runs++;
	verdict->frames += price->in_use;
}

int oracle_judge(const struct oracle_arena *arena, uint64_t count, struct oracle_verdict *verdict,
		 uint8_t *taken)
{
	uint64_t budget[ORDERS] = { 0 }, most;
	const unsigned top = top_order(arena);
	struct oracle_verdict v = { 0 };
	struct price *prices;
	int error = appraise_all(arena, &prices);

	if (error)
		goto out;
	for (uint32_t b = 0; b < arena->blocks; b++) {
		for (unsigned j = 0; j <= top; j++)
			budget[j] += prices[b].free[j];
		v.feasible += !prices[b].fixed;
	}
	v.free_frames = budget[0];
	most = v.free_frames >> arena->window_order;
	v.upper_bound = most < v.feasible ? most : v.feasible;
	if (taken)
		memset(taken, 0, arena->blocks);
	qsort(prices, arena->blocks, sizeof(*prices), cheapest_first);
	for (uint32_t i = 0; i < arena->blocks && v.runs < count; i++) {
		const struct price *p = &prices[i];

		if (p->fixed)
			continue;
		if (!can_pay(budget, p, top)) {
			v.skipped++;
			continue;
		}
		pay(budget, p, top, &v);
		if (taken)
			taken[p->number] = 1;
	}
	v.bytes = v.frames * ORACLE_FRAME_BYTES;
	for (uint64_t i = 0, left = v.runs; left; i++) {
		if (!prices[i].fixed) {
			v.lower_bound += prices[i].in_use;
			left--;
		}
	}
	*verdict = v;
out:
	free(prices);
	return error;
}

/*
 * The free cells of the range are no places, so they are neither in the budget nor paid for: what
 * is left of a price is whole_j - free_j, the cells that its folios cover.
 */
int oracle_judge_range(const struct oracle_arena *arena, uint32_t first, uint32_t end,
		       struct oracle_verdict *verdict, uint8_t *taken)
{
	const unsigned top = top_order(arena);
	uint64_t budget[ORDERS] = { 0 };
	struct oracle_verdict v = { 0 };
	struct price *prices = NULL;
	int error = first < end && end <= arena->blocks ? appraise_all(arena, &prices) : -EINVAL;

	if (error)
		goto out;
	for (uint32_t b = 0; b < arena->blocks; b++) {
		for (unsigned j = 0; j <= top && (b < first || b >= end); j++)
			budget[j] += prices[b].free[j];
	}
	if (taken)
		memset(taken, 0, arena->blocks);
	v.free_frames = budget[0];
	qsort(prices + first, end - first, sizeof(*prices), cheapest_first);
	for (uint32_t b = first; b < end; b++) {
		struct price *p = &prices[b];

		v.lower_bound += p->in_use;
		if (p->fixed)
			continue;
		v.feasible++;
		for (unsigned j = 0; j <= top; j++)
			p->whole[j] -= p->free[j];
		if (!can_pay(budget, p, top)) {
			v.skipped++;
			continue;
		}
		pay(budget, p, top, &v);
		if (taken)
			taken[p->number] = 1;
	}
	v.upper_bound = v.feasible;
	v.bytes = v.frames * ORACLE_FRAME_BYTES;
	*verdict = v;
out:
	free(prices);
	return error;
}

int oracle_condition(const struct oracle_arena *arena, const uint8_t *set)
{
	int64_t left[ORDERS] = { 0 }; /* places outside - places needed */
	struct price *prices;
	int answer = appraise_all(arena, &prices);

	if (answer)
		goto out;
	for (uint32_t b = 0; b < arena->blocks; b++) {
		for (unsigned j = 0; j <= top_order(arena) && !set[b]; j++)
			left[j] += prices[b].free[j];
	}
	for (size_t i = 0; i < arena->n; i++) {
		const struct oracle_folio *f = &arena->folios[i];

		for (unsigned j = 0; j <= f->order && set[f->block]; j++)
			left[j] -= INT64_C(1) << (f->order - j);
	}
	answer = 1;
	for (unsigned j = 0; j <= top_order(arena); j++)
		answer = answer && left[j] >= 0;
	for (uint32_t b = 0; b < arena->blocks; b++)
		answer = answer && !(set[b] && prices[b].fixed);
out:
	free(prices);
	return answer;
}

/*
 * Brute force: the arena as one row of frames, and a search that puts down one folio after the
 * other. Folios of one size are alike, so they go down in ascending order of place; nothing else is
 * assumed, and every other combination is tried before the answer is no.
 *
 * Largest first is quick, and hardly ever has to go back. Smallest first, a place can be wrong for
 * what comes later, and the search has to go back: in the smallest arenas it is done that way, so
 * that the answer owes nothing to the order.
 */
#define SMALLEST_FIRST_FRAMES 24

struct puzzle {
	unsigned window_order;
	unsigned frames;
	unsigned windows;
	bool blocked[ORACLE_BRUTE_FRAMES];
	unsigned n;
	uint8_t order[ORACLE_BRUTE_FRAMES]; /* of the folios to put down, equal ones together */
};

static bool is_free(const struct puzzle *p, unsigned at, unsigned size)
{
	for (unsigned k = at; k < at + size; k++) {
		if (p->blocked[k])
			return false;
	}
	return true;
}

static void mark(struct puzzle *p, unsigned at, unsigned size, bool blocked)
{
	for (unsigned k = at; k < at + size; k++)
		p->blocked[k] = blocked;
}

/* Puts down folios i..n, the first of them no lower than frame from. */
static bool put_down(struct puzzle *p, unsigned i, unsigned from)
{
	unsigned size, alike = 1, places = 0;

	if (i == p->n)
		return true;
	size = 1u << p->order[i];
	while (i + alike < p->n && p->order[i + alike] == p->order[i])
		alike++;
	/* Fewer places left of this size than folios of it: no need to try. */
	for (unsigned at = from; at + size <= p->frames; at += size)
		places += is_free(p, at, size);
	for (unsigned at = from; places >= alike && at + size <= p->frames; at += size) {
		if (!is_free(p, at, size))
			continue;
		places--;
		mark(p, at, size, true);
		if (put_down(p, i + 1, alike > 1 ? at + size : 0))
			return true;
		mark(p, at, size, false);
	}
	return false;
}

/* Sets up the puzzle of emptying set; false: a fixed folio is in it. */
static bool set_up(const struct oracle_arena *arena, const uint8_t *set, bool rearrange,
		   struct puzzle *p)
{
	bool smallest_first;

	*p = (struct puzzle){
		.window_order = arena->window_order,
		.windows = arena->blocks,
		.frames = arena->blocks << arena->window_order,
	};
	for (unsigned b = 0; b < p->windows; b++) {
		if (set[b])
			mark(p, b << p->window_order, 1u << p->window_order, true);
	}
	smallest_first = !rearrange && p->frames <= SMALLEST_FIRST_FRAMES;
	for (unsigned round = 0; round <= p->window_order; round++) {
		const unsigned order = smallest_first ? round : p->window_order - round;

		for (size_t i = 0; i < arena->n; i++) {
			const struct oracle_folio *f = &arena->folios[i];

			if (f->order != order)
				continue;
			if (set[f->block] && f->fixed)
				return false;
			if (set[f->block] || (rearrange && !f->fixed))
				p->order[p->n++] = f->order;
			else
				mark(p, (f->block << p->window_order) + f->offset, 1u << f->order,
				     true);
		}
	}
	return true;
}

static int check_tiny(const struct oracle_arena *arena)
{
	struct price *prices = NULL;
	int error;

	if (arena->blocks > ORACLE_BRUTE_WINDOWS || arena->window_order > ORACLE_MAX_WINDOW_ORDER ||
	    arena->blocks << arena->window_order > ORACLE_BRUTE_FRAMES)
		return -E2BIG;
	error = appraise_all(arena, &prices);
	free(prices);
	return error;
}

int oracle_brute_fits(const struct oracle_arena *arena, const uint8_t *set, bool rearrange)
{
	struct puzzle puzzle;
	int error = check_tiny(arena);

	if (error)
		return error;
	return set_up(arena, set, rearrange, &puzzle) && put_down(&puzzle, 0, 0);
}

int oracle_brute(const struct oracle_arena *arena, bool rearrange, struct oracle_brute *brute)
{
	uint8_t set[ORACLE_BRUTE_WINDOWS];
	struct puzzle puzzle;
	int error = check_tiny(arena);

	if (error)
		return error;
	*brute = (struct oracle_brute){ 0 };
	memset(brute->frames, 0xff, sizeof(brute->frames));
	for (unsigned bits = 0; bits < 1u << arena->blocks; bits++) {
		uint64_t cost = 0;
		unsigned k = 0;

		for (unsigned b = 0; b < arena->blocks; b++) {
			set[b] = bits >> b & 1;
			k += set[b];
		}
		for (size_t i = 0; i < arena->n; i++) {
			if (set[arena->folios[i].block])
				cost += UINT64_C(1) << arena->folios[i].order;
		}
		/* Neither a better count nor a cheaper one: the answer would not matter. */
		if (cost >= brute->frames[k] || !set_up(arena, set, rearrange, &puzzle))
			continue;
		if (put_down(&puzzle, 0, 0)) {
			brute->frames[k] = cost;
			brute->runs = k > brute->runs ? k : brute->runs;
		}
	}
	return 0;
}

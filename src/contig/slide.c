// SPDX-License-Identifier: MIT
#include "contig/slide.h"

#include "util/mem.h"

#include <errno.h>

#define BLOCK 512u
#define NONE UINT64_MAX

struct counts {
	uint32_t moves[CHOOSE_ORDERS], slots[CHOOSE_ORDERS];
};

struct sliding {
	const struct slide_block *block;
	const struct choose_counts *sums;
	uint32_t blocks;
	uint32_t n, align, offset;
	uint64_t slots[CHOOSE_ORDERS]; /* all there are, also elsewhere */
	uint32_t *live;	       /* of each word: live frames before it; one more at the end */
	struct counts *before; /* of each block: the sums of those before it; one more at the end */
	uint64_t best;	/* the cost of the cheapest feasible one that fits, NONE: none so far */
	uint64_t least; /* the same of those that do not fit too */
	uint32_t first;
	uint32_t asked; /* the block that was asked about last */
	bool hopeless;	/* no position that begins in it fits */
};

static uint64_t live_word(const struct sliding *s, uint64_t w)
{
	return s->block[w / BLOCK_WORDS].live.word[w % BLOCK_WORDS];
}

static uint64_t fixed_word(const struct sliding *s, uint64_t w)
{
	return s->block[w / BLOCK_WORDS].fixed.word[w % BLOCK_WORDS];
}

static bool is_live(const struct sliding *s, uint64_t f)
{
	return bits_test(&s->block[f / BLOCK].live, f % BLOCK);
}

static bool is_head(const struct sliding *s, uint64_t f)
{
	return bits_test(&s->block[f / BLOCK].head, f % BLOCK);
}

/* Live frames before f. */
static uint64_t live_before(const struct sliding *s, uint64_t f)
{
	uint64_t n = s->live[f / 64];

	if (f % 64)
		n += (unsigned)__builtin_popcountll(live_word(s, f / 64) &
						    ((1ull << (f % 64)) - 1));
	return n;
}

/* The folio at f, which is live: its first frame, and the frame after its last. */
static uint64_t folio_first(const struct sliding *s, uint64_t f)
{
	while (!is_head(s, f))
		f--;
	return f;
}

static uint64_t folio_end(const struct sliding *s, uint64_t f)
{
	do
		f++;
	while (f % BLOCK && is_live(s, f) && !is_head(s, f));
	return f;
}

static uint64_t cost_at(const struct sliding *s, uint64_t at)
{
	uint64_t end = at + s->n, cost = live_before(s, end) - live_before(s, at);

	if (is_live(s, at))
		cost += at - folio_first(s, at);
	if (is_live(s, end - 1))
		cost += folio_end(s, end - 1) - end;
	return cost;
}

/* What a block at an edge of a position adds to the folios to move, and takes from the places. */
static void count_edge(const struct sliding *s, uint64_t block, uint64_t at, struct counts *c)
{
	const struct slide_block *b = &s->block[block];
	uint64_t first = block * BLOCK, end = at + s->n;
	uint64_t f = at > first ? at : first, last = end < first + BLOCK ? end : first + BLOCK;
	struct block_bits rest = b->used;

	bits_span_set(&rest, (unsigned)(f - first), (unsigned)(last - first));
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
		c->slots[j] += bits_count_clear(&b->used, j) - bits_count_clear(&rest, j);
	if (f < last && is_live(s, f))
		f = folio_first(s, f);
	while (f < last) {
		uint64_t next = f + 1;

		if (is_live(s, f)) {
			next = folio_end(s, f);
			if (!bits_test(&b->lent, f % BLOCK))
				c->moves[__builtin_ctzll(next - f)]++;
		}
		f = next;
	}
}

/* The folios and the places of whole blocks. */
static void count_blocks(const struct sliding *s, uint64_t from, uint64_t end, struct counts *c)
{
	for (unsigned j = 0; from < end && j < CHOOSE_ORDERS; j++) {
		c->moves[j] += s->before[end].moves[j] - s->before[from].moves[j];
		c->slots[j] += s->before[end].slots[j] - s->before[from].slots[j];
	}
}

static bool have_places(const struct sliding *s, const struct counts *c)
{
	uint64_t need = 0; /* in places of order j */

	for (unsigned j = CHOOSE_ORDERS; j-- > 0;) {
		need = 2 * need + c->moves[j];
		if (need + c->slots[j] > s->slots[j])
			return false;
	}
	return true;
}

/*
 * Whether nothing that begins in this block can fit, since what all of it has in common does not:
 * asked once for each block.
 */
static bool is_hopeless(struct sliding *s, uint64_t block)
{
	struct counts c = { 0 };

	if (s->asked != block) {
		count_blocks(s, block + 1, block + s->n / BLOCK, &c);
		s->hopeless = !have_places(s, &c);
		s->asked = (uint32_t)block;
	}
	return s->hopeless;
}

static bool fits(struct sliding *s, uint64_t at)
{
	uint64_t from = at / BLOCK, last = (at + s->n - 1) / BLOCK;
	struct counts c = { 0 };

	if (is_hopeless(s, from))
		return false;
	count_edge(s, from, at, &c);
	if (last > from) {
		count_blocks(s, from + 1, last, &c);
		count_edge(s, last, at, &c);
	}
	return have_places(s, &c);
}

static void consider(struct sliding *s, uint64_t at, uint64_t cost)
{
	if (cost < s->least)
		s->least = cost;
	if (cost < s->best && fits(s, at)) {
		s->best = cost;
		s->first = (uint32_t)at;
	}
}

/* The cheapest that a position from `at` up to `end` can be. */
static uint64_t bound(const struct sliding *s, uint64_t at, uint64_t end)
{
	return end - 1 < at + s->n ? live_before(s, at + s->n) - live_before(s, end - 1) : 0;
}

/* Can one of the positions from `at` up to `end` be better than what was found? */
static bool is_worth_it(struct sliding *s, uint64_t at, uint64_t end)
{
	uint64_t cost = bound(s, at, end);

	return cost < s->best && (cost < s->least || !is_hopeless(s, at / BLOCK));
}

static uint64_t align_up(const struct sliding *s, uint64_t f)
{
	return ((f + s->offset + s->align - 1) & ~(uint64_t)(s->align - 1)) - s->offset;
}

/* Positions from at to below end, one by one: what leaves at the left, and comes at the right. */
static void step(struct sliding *s, uint64_t at, uint64_t end)
{
	uint64_t cost = cost_at(s, at);

	for (;; at++) {
		if (!((at + s->offset) & (s->align - 1)) && cost < s->best)
			consider(s, at, cost);
		if (at + 1 >= end)
			return;
		if (is_live(s, at) &&
		    (at % BLOCK == BLOCK - 1 || !is_live(s, at + 1) || is_head(s, at + 1)))
			cost -= at + 1 - folio_first(s, at);
		if (is_head(s, at + s->n))
			cost += folio_end(s, at + s->n) - (at + s->n);
	}
}

/* All positions from `from` to `last`, none of which meets a frame that stays. */
static void slide_gap(struct sliding *s, uint64_t from, uint64_t last, uint64_t *feasible)
{
	uint64_t at = align_up(s, from), end;

	if (at > last)
		return;
	*feasible += (last - at) / s->align + 1;
	while (at <= last && s->best) {
		end = (at | (BLOCK - 1)) + 1;
		end = end <= last ? end : last + 1;
		if (is_worth_it(s, at, end)) {
			end = (at | 63) + 1;
			end = end <= last ? end : last + 1;
			if (s->align >= 64)
				consider(s, at, cost_at(s, at));
			else if (is_worth_it(s, at, end))
				step(s, at, end);
		}
		at = align_up(s, end);
	}
}

/* The first frame from f on that stays (or that does not); `frames` where there is none. */
static uint64_t next_fixed(const struct sliding *s, uint64_t f, bool fixed)
{
	uint64_t frames = (uint64_t)s->blocks * BLOCK;

	while (f < frames) {
		uint64_t word = fixed_word(s, f / 64) ^ (fixed ? 0 : ~0ull);

		word &= ~0ull << (f % 64);
		if (word)
			return (f & ~63ull) + (unsigned)__builtin_ctzll(word);
		f = (f | 63) + 1;
	}
	return frames;
}

static int sum_up(struct sliding *s)
{
	uint32_t words = s->blocks * BLOCK_WORDS;

	s->live = mem_alloc((size_t)words + 1, sizeof(*s->live));
	s->before = mem_alloc((size_t)s->blocks + 1, sizeof(*s->before));
	if (!s->live || !s->before)
		return -ENOMEM;
	s->live[0] = 0;
	for (uint32_t w = 0; w < words; w++)
		s->live[w + 1] = s->live[w] + (uint32_t)__builtin_popcountll(live_word(s, w));
	memset(&s->before[0], 0, sizeof(s->before[0]));
	for (uint32_t b = 0; b < s->blocks; b++)
		for (unsigned j = 0; j < CHOOSE_ORDERS; j++) {
			s->before[b + 1].moves[j] = s->before[b].moves[j] + s->sums[b].moves[j];
			s->before[b + 1].slots[j] = s->before[b].slots[j] + s->sums[b].slots[j];
		}
	return 0;
}

int slide(const struct slide_block *blocks, const struct choose_counts *sums, uint32_t n,
	  const struct slide_goal *goal, struct slide_result *result)
{
	struct sliding s = { .block = blocks,
			     .sums = sums,
			     .blocks = n,
			     .n = goal->frames,
			     .align = goal->align,
			     .offset = goal->offset,
			     .best = NONE,
			     .least = NONE,
			     .asked = n };
	uint64_t frames = (uint64_t)n * BLOCK;
	int error = sum_up(&s);

	memset(result, 0, sizeof(*result));
	for (unsigned j = 0; !error && j < CHOOSE_ORDERS; j++)
		s.slots[j] = goal->elsewhere[j] + s.before[n].slots[j];
	for (uint64_t from = 0, end; !error && from < frames; from = end) {
		from = next_fixed(&s, from, false);
		end = next_fixed(&s, from, true);
		if (end - from >= s.n)
			slide_gap(&s, from, end - s.n, &result->feasible);
	}
	mem_free(s.live);
	mem_free(s.before);
	if (error)
		return error;
	result->found = s.best != NONE;
	result->cheaper = s.least < s.best;
	result->first = s.first;
	result->cost = result->found ? s.best : 0;
	result->lower_bound = s.least == NONE ? 0 : s.least;
	return 0;
}

// SPDX-License-Identifier: MIT
#include "contig/survey.h"

#include "contig/queue.h"
#include "folio/folios.h"
#include "util/mem.h"

#include <errno.h>

void survey_finish(struct survey *s)
{
	mem_free(s->block);
	mem_free(s->window);
	mem_free(s->counts);
	mem_free(s->slide);
	mem_free(s->taken);
	extents_finish_look(&s->extents);
	mem_free(s->blocker);
	hazards_finish(&s->hazards);
}

/* Of a RUN: frames of a block that stay. */
static void fix(struct survey *s, uint32_t first, uint32_t frames)
{
	uint32_t from = first % QUIRE_BLOCK_FRAMES;

	if (s->slide)
		bits_span_set(&s->slide[first / QUIRE_BLOCK_FRAMES].fixed, from, from + frames);
}

static void fix_folio(struct survey *s, const struct quire_blocker *who)
{
	uint64_t word = who->folio ? load_acquire(&who->folio->word_) : 0;

	fix(s, who->frame.n, word_frame(word) == who->frame.n ? 1u << word_order(word) : 1);
}

static int add_blocker(struct survey *s, const struct quire_blocker *who)
{
	uint32_t window = who->frame.n / QUIRE_BLOCK_FRAMES / s->plan->blocks_each;
	struct quire_blocker *grown;

	/* What stays elsewhere is not in the way of a range. */
	if (s->plan->is_range && !plan_in_range(s->plan, window))
		return 0;
	grown = mem_grow(s->blocker, &s->blocker_capacity, s->blocker_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->blocker = grown;
	s->blocker[s->blocker_count++] = *who;
	s->window[window].feasible = false;
	fix_folio(s, who);
	return 0;
}

/*
 * Is it known that this folio stays? Adds it to the blockers then. Short pins that stay are met in
 * survey_short_pins().
 */
static int check_fixed(struct survey *s, struct quire_folio *folio, struct quire_frame frame)
{
	const struct quire_blocker *learned = plan_find_learned(s->plan, folio, frame);
	struct quire_folio *held;
	struct quire_blocker who;
	int error = 0;

	if (learned)
		return add_blocker(s, learned);
	if (!COUNT_PINS(load_acquire(&folio->count_)))
		return 0;
	held = folio_get_at(s->plan->q, frame);
	if (!held)
		return 0;
	if (held == folio && folio_pinned_long_by(s->plan->q, folio, true, &who)) {
		who.frame = frame;
		error = add_blocker(s, &who);
	}
	quire_folio_put(held);
	return error;
}

/* A folio that was freed, but has a pin: its frames stay in use until the pin goes. */
static int check_retired(struct survey *s, const struct quire_folio *folio,
			 struct quire_frame frame)
{
	struct quire_blocker who;

	if (!COUNT_PINS(load_acquire(&folio->count_)) && !hazards_have(&s->hazards, folio))
		return 0;
	return folio_retired_pinned_at(s->plan->q, frame, &who) ? add_blocker(s, &who) : 0;
}

/*
 * A block that others have, or are to have first: neither a goal nor a destination. Named once a
 * window; for a RUN, once for each stretch of them.
 */
static int add_taken(struct survey *s, uint32_t b)
{
	const struct quire_plan *plan = s->plan;
	uint32_t window = b / plan->blocks_each;
	struct quire_blocker who;
	bool named = !s->window[window].feasible;

	s->taken[b / 64] |= 1ull << (b % 64);
	if (s->slide) {
		named = b && survey_taken(s, b - 1) && s->block[b - 1].claim == s->block[b].claim;
		fix(s, b * QUIRE_BLOCK_FRAMES, QUIRE_BLOCK_FRAMES);
	}
	if (named)
		return 0;
	plan_blocker_at(window * plan->blocks_each * QUIRE_BLOCK_FRAMES, QUIRE_REASON_CLAIMED,
			&who);
	queue_describe(plan->q, plan, s->block[b].claim, b, &who);
	return add_blocker(s, &who);
}

/* The frames of an extent in a block, from frame i on: how many. Named once a window. */
static int add_extent(struct survey *s, const struct quire_extent *e, uint32_t b, unsigned i,
		      unsigned *frames)
{
	uint32_t first = b * QUIRE_BLOCK_FRAMES, end = e->first + e->frames;
	uint32_t window = b / s->plan->blocks_each;
	const struct quire_blocker *last =
		s->blocker_count ? &s->blocker[s->blocker_count - 1] : NULL;
	struct quire_blocker who;

	*frames = (end < first + QUIRE_BLOCK_FRAMES ? end - first : QUIRE_BLOCK_FRAMES) - i;
	fix(s, first + i, *frames);
	if (e->maker == s->plan) { /* what it has obtained is in nobody's way */
		s->window[window].feasible = false;
		return 0;
	}
	if (last && last->why == QUIRE_REASON_EXTENT && last->frame.n >= e->first &&
	    (s->slide || last->frame.n / QUIRE_BLOCK_FRAMES / s->plan->blocks_each == window))
		return 0;
	extent_describe(e, first + i, &who);
	return add_blocker(s, &who);
}

/* An empty frame that its owner keeps. Named once for each owner in a window. */
static int check_pool(struct survey *s, struct quire_frame frame)
{
	uint16_t number = node_idle_taker(s->plan->q->node, frame);
	uint32_t window = frame.n / QUIRE_BLOCK_FRAMES / s->plan->blocks_each;
	struct quire_blocker who;

	if (!number)
		return 0;
	fix(s, frame.n, 1);
	plan_blocker_at(frame.n, QUIRE_REASON_POOL, &who);
	who.owner = lender_name(s->plan->q, number);
	for (size_t i = s->blocker_count; i-- > 0;) {
		const struct quire_blocker *b = &s->blocker[i];

		if (b->frame.n / QUIRE_BLOCK_FRAMES / s->plan->blocks_each != window)
			break;
		if (b->why == QUIRE_REASON_POOL && b->owner == who.owner)
			return 0;
	}
	return add_blocker(s, &who);
}

/* In use, and no folio is there: being made, moved away, or reserved; or an owner's. */
static int add_other(struct survey *s, uint32_t b, unsigned i, unsigned *frames)
{
	struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
	const struct quire_extent *e = extents_find(&s->extents, frame.n);

	*frames = 1;
	if (e)
		return add_extent(s, e, b, i, frames);
	return s->block[b].idle ? check_pool(s, frame) : 0;
}

/* Is something of what was learned in this block? */
static bool has_learned(const struct survey *s, uint32_t b)
{
	const struct quire_plan *plan = s->plan;
	size_t low = 0, high = plan->learned_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->learned[mid].frame.n < b * QUIRE_BLOCK_FRAMES)
			low = mid + 1;
		else
			high = mid;
	}
	return low < plan->learned_count && plan->learned[low].frame.n / QUIRE_BLOCK_FRAMES == b;
}

/* What is known of a block, into the sums. */
static void add_block(struct survey *s, uint32_t b, const struct cached *known)
{
	uint32_t window = b / s->plan->blocks_each;
	struct choose_window *w = &s->window[window];
	struct choose_counts *c = &s->counts[window];
	bool offers = plan_offers_places(s->plan, b);

	w->cost += known->cost;
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++) {
		c->moves[j] += known->moves[j];
		c->slots[j] += offers ? known->slots[j] : 0;
		s->slots[w->node][j] += offers ? known->slots[j] : 0;
	}
}

/* A folio that lives at frame i of a block: counted, and named if it stays. */
static int look_at_live(struct survey *s, uint32_t b, unsigned i, struct quire_folio *folio,
			unsigned order, struct cached *look)
{
	struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
	bool lent = node_is_lent(s->plan->q->node, frame);

	look->cost = (uint16_t)(look->cost + (1u << order));
	/* What lives in its owner's frames needs no place of ours. */
	if (lent)
		look->known = 0;
	else
		look->moves[order]++;
	if (s->slide) {
		bits_span_set(&s->slide[b].live, i, i + (1u << order));
		bits_span_set(&s->slide[b].head, i, i + 1);
		if (lent)
			bits_span_set(&s->slide[b].lent, i, i + (1u << order));
	}
	return check_fixed(s, folio, frame);
}

/* What lives in a block, frame by frame; known: all of it was accounted for. */
static int look_at_block(struct survey *s, uint32_t b, struct cached *look)
{
	const struct node_block *block = &s->block[b];
	unsigned i = 0, frames;
	int error = 0;

	for (; i < QUIRE_BLOCK_FRAMES && !error; i += frames) {
		struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
		struct quire_folio *folio;
		uint64_t word;

		frames = 1;
		if (!bits_test(&block->used, i))
			continue;
		folio = folio_peek_at(s->plan->q, frame);
		if (!folio) {
			error = add_other(s, b, i, &frames);
			continue;
		}
		word = load_acquire(&folio->word_);
		if (word_frame(word) != frame.n)
			continue;
		frames = 1u << word_order(word);
		if (word & QUIRE_DEAD_)
			error = check_retired(s, folio, frame);
		else
			error = look_at_live(s, b, i, folio, word_order(word), look);
	}
	if (look->cost != QUIRE_BLOCK_FRAMES - block->free)
		look->known = 0;
	return error;
}

static int survey_block(struct survey *s, uint32_t b)
{
	struct node_block *block = &s->block[b];
	struct cached *cached = s->cached ? &s->cached[b] : NULL;
	struct cached look = { .stamp = node_stamp(s->plan->q->node, b), .known = 1 };
	int error;

	node_look(s->plan->q->node, b, block);
	if (s->slide)
		s->slide[b].used = block->used;
	if ((block->claim && block->claim != s->plan) || survey_taken(s, b))
		return add_taken(s, b);
	if (cached && cached->known && cached->stamp == look.stamp && !s->slide &&
	    !has_learned(s, b)) {
		add_block(s, b, cached);
		return 0;
	}
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
		look.slots[j] = (uint16_t)bits_count_clear(&block->used, j);
	error = look_at_block(s, b, &look);
	add_block(s, b, &look);
	/* What changed in the meantime is looked at again. */
	if (cached && look.stamp == node_stamp(s->plan->q->node, b))
		*cached = look;
	return error;
}

/* Short pins of this thread, and of threads that are gone, will not go away by waiting. */
static int survey_short_pins(struct survey *s)
{
	struct quire *q = s->plan->q;
	struct quire_folio *folio;
	struct quire_blocker who;
	int error = 0;

	for_each_thread(t)
	{
		if (&t->pub != quire_thread_self_ && !load_acquire(&t->gone))
			continue;
		for (unsigned i = 0; i < QUIRE_SHORT_PINS && !error; i++) {
			bool known = false;

			folio = load_acquire(&t->pub.slot[i].folio);
			if (!folio || !folio_is_ours(q->folios, folio))
				continue;
			for (size_t k = 0; k < s->blocker_count; k++)
				known |= s->blocker[k].folio == folio;
			if (known)
				continue;
			slot_describe(t, i, folio, &who);
			error = add_blocker(s, &who);
		}
	}
	return error;
}

/* Was this said of its window by the look itself? */
static bool is_named(const struct survey *s, const struct quire_blocker *who)
{
	for (size_t i = 0; i < s->blocker_count; i++)
		if (!s->blocker[i].folio && s->blocker[i].why == who->why &&
		    s->blocker[i].frame.n == who->frame.n)
			return true;
	return false;
}

/* Windows of which an execution found out that something other than a folio keeps them. */
static int survey_learned(struct survey *s)
{
	const struct quire_plan *plan = s->plan;
	int error = 0;

	for (size_t i = 0; i < plan->learned_count && !error; i++)
		if (!plan->learned[i].folio && !is_named(s, &plan->learned[i]))
			error = add_blocker(s, &plan->learned[i]);
	return error;
}

static int by_frame(const void *a, const void *b)
{
	const struct quire_blocker *x = a, *y = b;

	return (x->frame.n > y->frame.n) - (x->frame.n < y->frame.n);
}

static int look_around(struct survey *s, uint32_t blocks)
{
	int error = 0;

	queue_wanted(s->plan->q, s->plan, s->taken);
	for (uint32_t w = s->plan->from; w < s->plan->end; w++)
		s->window[w].feasible = plan_is_meant(s->plan, w);
	for (uint32_t w = 0; s->plan->stay && w < s->windows; w++)
		s->window[w].node =
			(uint8_t)node_of_block(s->plan->q->node, w * s->plan->blocks_each);
	for (uint32_t b = 0; !error && b < blocks; b++)
		error = survey_block(s, b);
	if (!error)
		error = survey_short_pins(s);
	return error ? error : survey_learned(s);
}

/*
 * What stays is not live. A folio of which one frame stays, stays as a whole: a frame may have been
 * learned when no folio was there yet, and a folio may have changed since it was looked at.
 */
static void leave_fixed(struct slide_block *b)
{
	uint64_t both = 0;
	unsigned i, end;

	for (unsigned w = 0; w < BLOCK_WORDS; w++)
		both |= b->live.word[w] & b->fixed.word[w];
	for (i = 0; both && i < QUIRE_BLOCK_FRAMES; i = end) {
		end = i + 1;
		if (!bits_test(&b->head, i))
			continue;
		while (end < QUIRE_BLOCK_FRAMES && bits_test(&b->live, end) &&
		       !bits_test(&b->head, end))
			end++;
		if (!bits_span_clear(&b->fixed, i, end))
			bits_span_set(&b->fixed, i, end);
	}
	for (unsigned w = 0; w < BLOCK_WORDS; w++) {
		b->live.word[w] &= ~b->fixed.word[w];
		b->head.word[w] &= ~b->fixed.word[w];
	}
}

int survey(struct quire_plan *plan, struct survey *s)
{
	uint32_t blocks = node_blocks(plan->q->node);
	int error = 0;

	memset(s, 0, sizeof(*s));
	s->plan = plan;
	s->windows = (blocks + plan->blocks_each - 1) / plan->blocks_each;
	plan_sort_learned(plan);
	s->block = mem_zalloc(blocks, sizeof(*s->block));
	s->window = mem_zalloc(s->windows, sizeof(*s->window));
	s->counts = mem_zalloc(s->windows, sizeof(*s->counts));
	s->taken = mem_zalloc((blocks + 63) / 64, sizeof(*s->taken));
	if (plan->is_run)
		s->slide = mem_zalloc(blocks, sizeof(*s->slide));
	if (!s->block || !s->window || !s->counts || !s->taken || (plan->is_run && !s->slide) ||
	    hazards_gather(&s->hazards) || extents_look(plan->q, &s->extents))
		error = -ENOMEM;
	if (!error) {
		s->cached = cache_get(plan->q);
		error = look_around(s, blocks);
		cache_put(plan->q, s->cached);
	}
	if (error) {
		survey_finish(s);
		return error;
	}
	if (s->blocker_count)
		qsort(s->blocker, s->blocker_count, sizeof(*s->blocker), by_frame);
	for (uint32_t b = 0; s->slide && b < blocks; b++)
		leave_fixed(&s->slide[b]);
	return 0;
}

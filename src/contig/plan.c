// SPDX-License-Identifier: MIT
/*
 * plan.c: from a goal to a plan. Nothing is locked for longer than a look at one block, so a plan
 * describes a moment that never was exactly; execution checks everything again.
 */
#include "contig/plan.h"

#include "contig/record.h"
#include "folio/folios.h"
#include "frame/node.h"
#include "util/mem.h"

#include <errno.h>

#define WINDOW_FRAMES_MAX (1u << 18)

/* What one look at the arena yields. */
struct survey {
	struct quire_plan *plan;
	struct node_block *block;
	struct choose_window *window; /* the last one may stand for an incomplete tail */
	uint32_t windows;
	struct quire_blocker *blocker;
	size_t blocker_count, blocker_capacity;
	struct hazards hazards; /* at its start */
};

static void survey_finish(struct survey *s)
{
	mem_free(s->block);
	mem_free(s->window);
	mem_free(s->blocker);
	hazards_finish(&s->hazards);
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
	return 0;
}

static int by_frame_and_folio(const void *a, const void *b)
{
	const struct quire_blocker *x = a, *y = b;

	if (x->frame.n != y->frame.n)
		return x->frame.n < y->frame.n ? -1 : 1;
	return (x->folio > y->folio) - (x->folio < y->folio);
}

/* Brings what was learned into the order in which it is looked up, each folio at a place once. */
static void sort_learned(struct quire_plan *plan)
{
	struct quire_blocker *l = plan->learned;
	size_t n = 0;

	if (plan->learned_count)
		qsort(l, plan->learned_count, sizeof(*l), by_frame_and_folio);
	for (size_t i = 0; i < plan->learned_count; i++)
		if (!n || by_frame_and_folio(&l[n - 1], &l[i]))
			l[n++] = l[i];
	plan->learned_count = n;
}

/* The place of (folio, frame) among what was learned, once that is sorted. */
static size_t learned_place(const struct quire_plan *plan, const struct quire_folio *folio,
			    uint32_t frame)
{
	size_t low = 0, high = plan->learned_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct quire_blocker *l = &plan->learned[mid];

		if (l->frame.n != frame ? l->frame.n < frame : l->folio < folio)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct quire_blocker *find_learned(const struct quire_plan *plan,
						const struct quire_folio *folio,
						struct quire_frame frame)
{
	size_t i = learned_place(plan, folio, frame.n);

	if (i == plan->learned_count || plan->learned[i].folio != folio ||
	    plan->learned[i].frame.n != frame.n)
		return NULL;
	return &plan->learned[i];
}

void plan_blocker_at(const struct quire_plan *plan, uint32_t window, enum quire_reason why,
		     struct quire_blocker *who)
{
	memset(who, 0, sizeof(*who));
	who->frame = quire_frame(window * plan->blocks_each * QUIRE_BLOCK_FRAMES);
	who->owner = "";
	who->site = "";
	who->why = why;
	who->reason = quire_reason_text(why);
	who->code = why == QUIRE_REASON_CLAIMED ? -EBUSY : -EAGAIN;
}

int plan_learn(struct quire_plan *plan, const struct quire_blocker *who)
{
	struct quire_blocker *grown = mem_grow(plan->learned, &plan->learned_capacity,
					       plan->learned_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	plan->learned = grown;
	plan->learned[plan->learned_count++] = *who;
	pthread_mutex_lock(&plan->lock);
	grown = mem_grow(plan->fresh, &plan->fresh_capacity, plan->fresh_count + 1, sizeof(*grown));
	if (grown) {
		plan->fresh = grown;
		plan->fresh[plan->fresh_count++] = *who;
	}
	pthread_mutex_unlock(&plan->lock);
	return grown ? 0 : -ENOMEM;
}

void plan_note_waiting(struct quire_plan *plan, const struct quire_blocker *who)
{
	struct quire_blocker *grown = mem_grow(plan->next_waiting, &plan->next_capacity,
					       plan->next_count + 1, sizeof(*grown));

	if (!grown)
		return;
	plan->next_waiting = grown;
	plan->next_waiting[plan->next_count++] = *who;
}

void plan_show_waiting(struct quire_plan *plan)
{
	struct quire_blocker *shown = plan->waiting;
	size_t capacity = plan->waiting_capacity;

	pthread_mutex_lock(&plan->lock);
	plan->waiting = plan->next_waiting;
	plan->waiting_capacity = plan->next_capacity;
	plan->waiting_count = plan->next_count;
	pthread_mutex_unlock(&plan->lock);
	plan->next_waiting = shown;
	plan->next_capacity = capacity;
	plan->next_count = 0;
}

/*
 * Is it known that this folio stays? Adds it to the blockers then. Short pins that stay are met in
 * survey_short_pins().
 */
static int check_fixed(struct survey *s, struct quire_folio *folio, struct quire_frame frame)
{
	const struct quire_blocker *learned = find_learned(s->plan, folio, frame);
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

/* Something that keeps a whole window, and is no folio. */
static int add_blocker_at(struct survey *s, uint32_t block, enum quire_reason why)
{
	struct quire_blocker who;

	plan_blocker_at(s->plan, block / s->plan->blocks_each, why, &who);
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
	plan_blocker_at(s->plan, window, QUIRE_REASON_POOL, &who);
	who.owner = lender_name(s->plan->q, number);
	for (size_t i = s->blocker_count; i-- > 0;) {
		const struct quire_blocker *b = &s->blocker[i];

		if (b->frame.n / QUIRE_BLOCK_FRAMES / s->plan->blocks_each != window)
			break;
		if (b->why == QUIRE_REASON_POOL && b->owner == who.owner)
			return 0;
	}
	who.frame = frame;
	return add_blocker(s, &who);
}

bool plan_in_range(const struct quire_plan *plan, uint32_t window)
{
	return plan->is_range && window >= plan->from && window < plan->end;
}

bool plan_pool_keeps(const struct quire_plan *plan, uint32_t window)
{
	struct node_block block;
	uint32_t used = 0, idle = 0;

	for (uint32_t b = 0; b < plan->blocks_each; b++) {
		node_look(plan->q->node, window * plan->blocks_each + b, &block);
		used += QUIRE_BLOCK_FRAMES - block.free;
		idle += block.idle;
	}
	return idle && idle == used;
}

static bool is_of_one_node(const struct quire_plan *plan, uint32_t window)
{
	uint32_t first = window * plan->blocks_each, blocks = node_blocks(plan->q->node) - first;

	return node_has_all(plan->q->node, first,
			    blocks < plan->blocks_each ? blocks : plan->blocks_each);
}

/* May it be emptied, as far as the goal says? */
static bool is_meant(const struct quire_plan *plan, uint32_t window)
{
	const struct nodes *nodes = plan->q->node;
	uint32_t node = node_of_block(nodes, window * plan->blocks_each);

	if (plan->is_range)
		return true;
	return is_of_one_node(plan, window) && !node_is_offline(nodes, node) &&
	       (!plan->goal.node_set || plan->goal.node == node);
}

/*
 * A range offers no place, whether it can be emptied or not, nor does a node that is offline. Where
 * nothing leaves its node, a window across two of them has none that could be counted.
 */
static bool offers_places(const struct quire_plan *plan, uint32_t block)
{
	const struct nodes *nodes = plan->q->node;
	uint32_t window = block / plan->blocks_each;

	return !plan_in_range(plan, window) &&
	       !node_is_offline(nodes, node_of_block(nodes, block)) &&
	       (!plan->stay || is_of_one_node(plan, window));
}

static int survey_block(struct survey *s, uint32_t b)
{
	struct choose_window *w = &s->window[b / s->plan->blocks_each];
	struct node_block *block = &s->block[b];
	unsigned i = 0;
	int error = 0;

	node_look(s->plan->q->node, b, block);
	if (block->claim && block->claim != s->plan)
		/* Another plan's: neither a goal nor a destination. Named once a window. */
		return w->feasible ? add_blocker_at(s, b, QUIRE_REASON_CLAIMED) : 0;
	if (offers_places(s->plan, b))
		for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
			w->slots[j] += bits_count_clear(&block->used, j);
	while (i < QUIRE_BLOCK_FRAMES && !error) {
		struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
		struct quire_folio *folio;
		uint64_t word;

		if (!bits_test(&block->used, i++))
			continue;
		folio = folio_peek_at(s->plan->q, frame);
		if (!folio) { /* on its way: being made, moved away, or reserved; or an owner's */
			error = block->idle ? check_pool(s, frame) : 0;
			continue;
		}
		word = load_acquire(&folio->word_);
		if (word_frame(word) != frame.n)
			continue;
		i += (1u << word_order(word)) - 1;
		if (word & QUIRE_DEAD_) {
			error = check_retired(s, folio, frame);
			continue;
		}
		w->cost += 1u << word_order(word);
		/* What lives in its owner's frames needs no place of ours. */
		w->moves[word_order(word)] += !node_is_lent(s->plan->q->node, frame);
		error = check_fixed(s, folio, frame);
	}
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

static int survey(struct quire_plan *plan, struct survey *s)
{
	uint32_t blocks = node_blocks(plan->q->node);
	int error = 0;

	memset(s, 0, sizeof(*s));
	s->plan = plan;
	s->windows = (blocks + plan->blocks_each - 1) / plan->blocks_each;
	sort_learned(plan);
	s->block = mem_zalloc(blocks, sizeof(*s->block));
	s->window = mem_zalloc(s->windows, sizeof(*s->window));
	if (!s->block || !s->window || hazards_gather(&s->hazards))
		error = -ENOMEM;
	for (uint32_t w = plan->from; !error && w < plan->end; w++)
		s->window[w].feasible = is_meant(plan, w);
	for (uint32_t w = 0; !error && plan->stay && w < s->windows; w++)
		s->window[w].node = (uint8_t)node_of_block(plan->q->node, w * plan->blocks_each);
	for (uint32_t b = 0; !error && b < blocks; b++)
		error = survey_block(s, b);
	if (!error)
		error = survey_short_pins(s);
	if (!error)
		error = survey_learned(s);
	if (error) {
		survey_finish(s);
		return error;
	}
	if (s->blocker_count)
		qsort(s->blocker, s->blocker_count, sizeof(*s->blocker), by_frame);
	return 0;
}

static int collect_moves(struct quire_plan *plan, const struct survey *s, uint32_t b)
{
	const struct node_block *block = &s->block[b];
	struct plan_move *grown;

	for (unsigned i = 0; i < QUIRE_BLOCK_FRAMES; i++) {
		struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
		struct quire_folio *folio;
		uint64_t word;

		if (!bits_test(&block->used, i))
			continue;
		folio = folio_peek_at(plan->q, frame);
		if (!folio)
			continue;
		word = load_acquire(&folio->word_);
		if (word_frame(word) != frame.n || (word & QUIRE_DEAD_))
			continue;
		grown = mem_grow(plan->move, &plan->move_capacity, plan->move_count + 1,
				 sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		plan->move = grown;
		plan->move[plan->move_count++] = (struct plan_move){
			.src = frame.n,
			.dst = QUIRE_FRAME_NONE_N,
			.order = (uint8_t)word_order(word),
			.lent = node_is_lent(plan->q->node, frame),
		};
		i += (1u << word_order(word)) - 1;
	}
	return 0;
}

/* The free frames of a block as its largest aligned places. */
static int add_places(struct places *places, const struct block_bits *used, uint32_t b)
{
	unsigned i = 0, order;
	int error;

	while (i < QUIRE_BLOCK_FRAMES) {
		if (bits_test(used, i)) {
			i++;
			continue;
		}
		order = i ? (unsigned)__builtin_ctz(i) : NODE_BLOCK_ORDER;
		while (!bits_range_clear(used, i, order))
			order--;
		error = places_add(places, b * QUIRE_BLOCK_FRAMES + i, order);
		if (error)
			return error;
		i += 1u << order;
	}
	return 0;
}

/* Of each node: in blocks with memory, and in those without. */
struct node_places {
	struct places filled, holes;
};

static int find_places(const struct quire_plan *plan, const struct survey *s,
		       struct node_places *places)
{
	const struct nodes *nodes = plan->q->node;
	int error = 0;

	for (uint32_t b = 0; b < nodes->blocks && !error; b++) {
		const struct node_block *block = &s->block[b];
		struct node_places *of = &places[node_of_block(nodes, b)];

		if (s->window[b / plan->blocks_each].chosen || !offers_places(plan, b) ||
		    (block->claim && block->claim != plan))
			continue;
		error = add_places(block->filled ? &of->filled : &of->holes, &block->used, b);
	}
	return error;
}

static int take_place(struct node_places *places, struct plan_move *move)
{
	int error = places_take(&places->filled, move->order, &move->dst);

	return error == -ENOSPC ? places_take(&places->holes, move->order, &move->dst) : error;
}

/* The folio's own node first; which of the places it gets is no matter to what is left. */
static int place_move(const struct quire_plan *plan, struct node_places *places,
		      struct plan_move *move)
{
	const struct nodes *nodes = plan->q->node;
	uint32_t own = node_of(nodes, quire_frame(move->src));
	int error = take_place(&places[own], move);

	for (uint32_t i = 0; error == -ENOSPC && i < nodes->count && !plan->stay; i++)
		if (i != own)
			error = take_place(&places[i], move);
	if (error == -ENOSPC) { /* the arena changed while we looked */
		move->dst = QUIRE_FRAME_NONE_N;
		error = 0;
	}
	return error;
}

/* Gives every move a place outside the chosen windows: largest first, best fit. */
static int place_moves(struct quire_plan *plan, const struct survey *s)
{
	const struct nodes *nodes = plan->q->node;
	struct node_places *places = mem_zalloc(nodes->count, sizeof(*places));
	int error;

	if (!places)
		return -ENOMEM;
	error = find_places(plan, s, places);
	for (unsigned order = CHOOSE_ORDERS; order-- > 0 && !error;)
		for (size_t i = 0; i < plan->move_count && !error; i++)
			if (plan->move[i].order == order && !plan->move[i].lent)
				error = place_move(plan, places, &plan->move[i]);
	for (uint32_t i = 0; i < nodes->count; i++) {
		places_finish(&places[i].filled);
		places_finish(&places[i].holes);
	}
	mem_free(places);
	return error;
}

static bool is_free(const struct quire_plan *plan, const struct survey *s, uint32_t window)
{
	for (uint32_t b = 0; b < plan->blocks_each; b++)
		if (bits_count_clear(&s->block[window * plan->blocks_each + b].used, 0) !=
		    QUIRE_BLOCK_FRAMES)
			return false;
	return true;
}

/* Frames of all that lives in a range: whoever empties it moves that much. */
static uint64_t frames_in_range(const struct quire_plan *plan, const struct survey *s)
{
	uint64_t n = 0;

	for (uint32_t w = plan->from; w < plan->end; w++)
		n += s->window[w].cost;
	return n;
}

static int choose(struct quire_plan *plan, struct survey *s)
{
	struct choose_result r;
	uint32_t *order = mem_zalloc(s->windows, sizeof(*order));
	struct plan_window *chosen;
	int error = 0;

	if (!order)
		return -ENOMEM;
	choose_windows(s->window, s->windows, plan->goal.count, order, &r);
	chosen = mem_zalloc(r.windows, sizeof(*chosen));
	if (!chosen) {
		mem_free(order);
		return -ENOMEM;
	}
	mem_free(plan->chosen);
	plan->chosen = chosen;
	plan->chosen_count = 0;
	plan->move_count = 0;
	for (size_t i = 0; i < r.feasible; i++) {
		const struct choose_window *w = &s->window[order[i]];

		if (!w->chosen)
			continue;
		plan->info.runs_free += is_free(plan, s, order[i]);
		chosen[plan->chosen_count++] =
			(struct plan_window){ .number = order[i], .cost = w->cost };
	}
	/* In the order of frames, so that a move is found by its source. */
	for (uint32_t w = 0; w < s->windows && !error; w++)
		for (uint32_t b = 0; s->window[w].chosen && b < plan->blocks_each && !error; b++)
			error = collect_moves(plan, s, w * plan->blocks_each + b);
	mem_free(order);
	plan->info.runs = r.windows;
	plan->info.feasible = r.feasible;
	plan->info.no_place = r.no_place;
	plan->info.folios = plan->move_count;
	plan->info.bytes = r.frames * QUIRE_FRAME_BYTES;
	plan->info.lower_bound_bytes =
		(plan->is_range ? frames_in_range(plan, s) : r.lower_bound) * QUIRE_FRAME_BYTES;
	if (!plan->is_range)
		plan->info.alignment_extra_bytes = plan->info.bytes - plan->info.lower_bound_bytes;
	return error ? error : place_moves(plan, s);
}

static void keep_blockers(struct quire_plan *plan, struct survey *s)
{
	pthread_mutex_lock(&plan->lock);
	mem_free(plan->blocker);
	plan->blocker = s->blocker;
	plan->blocker_count = s->blocker_count;
	plan->blocker_capacity = s->blocker_capacity;
	plan->fresh_count = 0;
	pthread_mutex_unlock(&plan->lock);
	s->blocker = NULL;
}

int plan_compute(struct quire_plan *plan)
{
	struct survey s;
	int error;

	(void)quire_reclaim(plan->q);
	memset(&plan->info, 0, sizeof(plan->info));
	plan->info.size = sizeof(plan->info);
	error = survey(plan, &s);
	if (error)
		return error;
	error = choose(plan, &s);
	if (!error)
		keep_blockers(plan, &s);
	survey_finish(&s);
	return error;
}

int plan_name_blockers(struct quire_plan *plan)
{
	struct survey s;
	int error = survey(plan, &s);

	if (error)
		return error;
	keep_blockers(plan, &s);
	survey_finish(&s);
	return 0;
}

struct plan_move *plan_find_move(struct quire_plan *plan, uint32_t src)
{
	size_t low = plan->move_next, high = plan->move_count;

	if (low < high && plan->move[low].src == src)
		return &plan->move[plan->move_next++];
	low = 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->move[mid].src < src)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == plan->move_count || plan->move[low].src != src)
		return NULL;
	plan->move_next = low + 1;
	return &plan->move[low];
}

/* The blocks of a range, checked, into the plan. 0 or -EINVAL. */
static int set_range(struct quire_plan *plan, uint32_t first, uint32_t frames)
{
	uint32_t blocks = node_blocks(plan->q->node), range = frames / QUIRE_BLOCK_FRAMES;

	if (first % QUIRE_BLOCK_FRAMES || !range || frames % QUIRE_BLOCK_FRAMES ||
	    first / QUIRE_BLOCK_FRAMES >= blocks || range > blocks - first / QUIRE_BLOCK_FRAMES)
		return -EINVAL;
	plan->is_range = true;
	plan->blocks_each = 1;
	plan->windows = blocks;
	plan->from = first / QUIRE_BLOCK_FRAMES;
	plan->end = plan->from + range;
	/* From here on it is so many runs of one block. */
	plan->goal.frames = QUIRE_BLOCK_FRAMES;
	plan->goal.count = range;
	return 0;
}

static int set_runs(struct quire_plan *plan, const struct quire_goal *goal)
{
	if (!goal->count || goal->first.n || goal->frames < QUIRE_BLOCK_FRAMES ||
	    goal->frames > WINDOW_FRAMES_MAX || (goal->frames & (goal->frames - 1)))
		return -EINVAL;
	plan->blocks_each = goal->frames / QUIRE_BLOCK_FRAMES;
	plan->windows = node_blocks(plan->q->node) / plan->blocks_each;
	plan->end = plan->windows;
	return 0;
}

/* What a goal says, checked, into the plan. 0 or -EINVAL. */
static int set_goal(struct quire_plan *plan, struct quire *q, const struct quire_goal *goal)
{
	const struct nodes *nodes = q->node;
	const struct node *node;

	plan->q = q;
	plan->goal = *goal;
	plan->stay = goal->flags & QUIRE_GOAL_STAY;
	if ((goal->flags & ~QUIRE_GOAL_STAY) || goal->node >= nodes->count ||
	    (goal->node_set && goal->kind != QUIRE_GOAL_RUNS) ||
	    (goal->node && !goal->node_set && goal->kind != QUIRE_GOAL_NODE))
		return -EINVAL;
	switch (goal->kind) {
	case QUIRE_GOAL_RUNS:
		return set_runs(plan, goal);
	case QUIRE_GOAL_RANGE:
		return goal->count ? -EINVAL : set_range(plan, goal->first.n, goal->frames);
	case QUIRE_GOAL_NODE:
		if (goal->count || goal->frames || goal->first.n || plan->stay)
			return -EINVAL;
		node = &nodes->node[goal->node];
		return set_range(plan, node->first * QUIRE_BLOCK_FRAMES,
				 node->blocks.n * QUIRE_BLOCK_FRAMES);
	default:
		return -EINVAL;
	}
}

int quire_plan_create(struct quire *q, const struct quire_goal *goal, struct quire_plan **result)
{
	struct quire_plan made = { 0 }, *plan;
	struct quire_goal g;
	struct thread *t;
	int error;

	if (!result)
		return -EINVAL;
	*result = NULL;
	if (!q || sized_copy(&g, sizeof(g), goal) || set_goal(&made, q, &g))
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	t = thread_self();
	if (!t)
		return -ENOMEM;
	if (t->in_op)
		return -EDEADLK;
	plan = mem_zalloc(1, sizeof(*plan));
	if (!plan)
		return -ENOMEM;
	*plan = made;
	pthread_mutex_init(&plan->lock, NULL);
	fetch_add(&q->plans, 1u);
	error = plan_compute(plan);
	record_planned(plan, error);
	if (error) {
		quire_plan_destroy(plan);
		return error;
	}
	count(q, plans, 1);
	*result = plan;
	return 0;
}

void quire_plan_destroy(struct quire_plan *plan)
{
	if (!plan)
		return;
	if (!plan->q->forked) {
		record_gone(plan);
		fetch_sub(&plan->q->plans, 1u);
	}
	mem_free(plan->chosen);
	mem_free(plan->move);
	mem_free(plan->blocker);
	mem_free(plan->learned);
	mem_free(plan->fresh);
	mem_free(plan->waiting);
	mem_free(plan->next_waiting);
	pthread_mutex_destroy(&plan->lock);
	fenced_finish(&plan->fenced);
	mem_free(plan);
}

int quire_plan_info(const struct quire_plan *plan, struct quire_plan_info *info)
{
	size_t size;

	if (!plan || !info || info->size < sizeof(size_t))
		return -EINVAL;
	size = info->size;
	memcpy(info, &plan->info, size < sizeof(plan->info) ? size : sizeof(plan->info));
	info->size = size;
	return 0;
}

size_t quire_plan_blockers(const struct quire_plan *plan)
{
	return plan->blocker_count;
}

const struct quire_blocker *quire_plan_blocker(const struct quire_plan *plan, size_t i)
{
	return i < plan->blocker_count ? &plan->blocker[i] : NULL;
}

/* The three lists one after the other; i from 0 to below their sum. Under the lock. */
static const struct quire_blocker *blocker_now(const struct quire_plan *plan, size_t i)
{
	if (i < plan->blocker_count)
		return &plan->blocker[i];
	i -= plan->blocker_count;
	if (i < plan->fresh_count)
		return &plan->fresh[i];
	return &plan->waiting[i - plan->fresh_count];
}

static size_t lock_blockers(const struct quire_plan *plan)
{
	pthread_mutex_lock((pthread_mutex_t *)&plan->lock); /* no plan is ever const */
	return plan->blocker_count + plan->fresh_count + plan->waiting_count;
}

static void unlock_blockers(const struct quire_plan *plan)
{
	pthread_mutex_unlock((pthread_mutex_t *)&plan->lock);
}

size_t quire_plan_blockers_now(const struct quire_plan *plan, struct quire_blocker *to, size_t n)
{
	size_t all;

	/* In a child of fork() nobody may be left to unlock it. */
	if (!plan || (!to && n) || plan->q->forked)
		return 0;
	all = lock_blockers(plan);
	for (size_t i = 0; i < n && i < all; i++)
		to[i] = *blocker_now(plan, i);
	unlock_blockers(plan);
	return all;
}

int quire_plan_histogram(const struct quire_plan *plan, uint64_t counts[QUIRE_REASON_ROOM])
{
	size_t all;

	if (!plan || !counts)
		return -EINVAL;
	memset(counts, 0, QUIRE_REASON_ROOM * sizeof(*counts));
	if (plan->q->forked)
		return -ENXIO;
	all = lock_blockers(plan);
	for (size_t i = 0; i < all; i++)
		counts[blocker_now(plan, i)->why]++;
	unlock_blockers(plan);
	return 0;
}

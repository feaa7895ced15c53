// SPDX-License-Identifier: MIT
/*
 * plan.c: from a goal to a plan. Nothing is locked for longer than a look at one block, so a plan
 * describes a moment that never was exactly; execution checks everything again.
 */
#include "contig/plan.h"

#include "contig/record.h"
#include "contig/survey.h"
#include "folio/folios.h"
#include "frame/node.h"
#include "util/mem.h"

#include <errno.h>

#define WINDOW_FRAMES_MAX (1u << 18)

bool plan_in_range(const struct quire_plan *plan, uint32_t window)
{
	return plan->is_range && window >= plan->from && window < plan->end;
}

static bool is_of_one_node(const struct quire_plan *plan, uint32_t window)
{
	uint32_t first = window * plan->blocks_each, blocks = node_blocks(plan->q->node) - first;

	return node_has_all(plan->q->node, first,
			    blocks < plan->blocks_each ? blocks : plan->blocks_each);
}

static bool is_meant_of(const struct quire_plan *plan, uint32_t node)
{
	return !node_is_offline(plan->q->node, node) &&
	       (!plan->goal.node_set || plan->goal.node == node);
}

bool plan_is_meant(const struct quire_plan *plan, uint32_t window)
{
	uint32_t block = window * plan->blocks_each;

	return plan->is_range || (is_of_one_node(plan, window) &&
				  is_meant_of(plan, node_of_block(plan->q->node, block)));
}

/*
 * A range offers no place, whether it can be emptied or not, nor does a node that is offline. Where
 * nothing leaves its node, a window across two of them has none that could be counted.
 */
bool plan_offers_places(const struct quire_plan *plan, uint32_t block)
{
	const struct nodes *nodes = plan->q->node;
	uint32_t window = block / plan->blocks_each;

	return !plan_in_range(plan, window) &&
	       !node_is_offline(nodes, node_of_block(nodes, block)) &&
	       (!plan->stay || is_of_one_node(plan, window));
}

bool plan_pool_keeps(const struct quire_plan *plan, const struct plan_window *w)
{
	uint32_t used = 0, idle = 0;
	struct node_block block;
	unsigned from, end;

	for (uint32_t b = window_first_block(w); b < window_end_block(w); b++) {
		window_span(w, b, &from, &end);
		node_look(plan->q->node, b, &block);
		for (unsigned i = from; i < end; i++) {
			struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);

			used += bits_test(&block.used, i);
			idle += block.idle && node_idle_taker(plan->q->node, frame);
		}
	}
	return idle && idle == used;
}

bool plan_window_is_free(const struct quire_plan *plan, const struct plan_window *w)
{
	struct node_block block;
	unsigned from, end;

	for (uint32_t b = window_first_block(w); b < window_end_block(w); b++) {
		window_span(w, b, &from, &end);
		node_look(plan->q->node, b, &block);
		/* Of a whole block its count says that nobody is just about to have a frame. */
		if (end - from == QUIRE_BLOCK_FRAMES ? block.free != QUIRE_BLOCK_FRAMES
						     : !bits_span_clear(&block.used, from, end))
			return false;
	}
	return true;
}

/* The folios of a block that meet a window. */
static int collect_moves(struct quire_plan *plan, const struct survey *s,
			 const struct plan_window *w, uint32_t b)
{
	const struct node_block *block = &s->block[b];
	struct plan_move *grown;
	unsigned from, end;

	window_span(w, b, &from, &end);
	for (unsigned i = 0; i < end; i++) {
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
		i += (1u << word_order(word)) - 1;
		if (i < from)
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

/* Marks the frames of a block that are in a window as used. */
static void cover(struct block_bits *used, const struct plan_window *w, uint32_t b)
{
	unsigned from, end;

	if (b < window_first_block(w) || b >= window_end_block(w))
		return;
	window_span(w, b, &from, &end);
	bits_span_set(used, from, end);
}

/* Of each node: in blocks with memory, and in those without. */
struct node_places {
	struct places filled, holes;
	size_t wanted[CHOOSE_ORDERS]; /* moves of what lives there */
};

/*
 * Are there places with memory, of just the right order and in their own nodes, for all moves? Then
 * no others are looked at.
 */
static bool has_enough(const struct node_places *places, uint32_t nodes)
{
	for (uint32_t i = 0; i < nodes; i++)
		for (unsigned o = 0; o < CHOOSE_ORDERS; o++)
			if (places[i].filled.n[o] < places[i].wanted[o])
				return false;
	return true;
}

static int find_places(const struct quire_plan *plan, const struct survey *s,
		       struct node_places *places)
{
	const struct nodes *nodes = plan->q->node;
	int error = 0;

	for (size_t i = 0; i < plan->move_count; i++) {
		const struct plan_move *move = &plan->move[i];

		places[node_of(nodes, quire_frame(move->src))].wanted[move->order] += !move->lent;
	}
	for (uint32_t b = 0; b < nodes->blocks && !error && !has_enough(places, nodes->count);
	     b++) {
		struct node_places *of = &places[node_of_block(nodes, b)];
		struct block_bits used = s->block[b].used;

		if (s->window[b / plan->blocks_each].chosen || !plan_offers_places(plan, b) ||
		    survey_taken(s, b))
			continue;
		if (plan->is_run)
			cover(&used, &plan->chosen[0], b);
		error = add_places(s->block[b].filled ? &of->filled : &of->holes, &used, b);
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

/* Frames of all that lives in a range: whoever empties it moves that much. */
static uint64_t frames_in_range(const struct quire_plan *plan, const struct survey *s)
{
	uint64_t n = 0;

	for (uint32_t w = plan->from; w < plan->end; w++)
		n += s->window[w].cost;
	return n;
}

/* How many windows are still to be found. */
static uint64_t to_find(const struct quire_plan *plan)
{
	return plan->goal.count == QUIRE_MAX ? QUIRE_MAX : plan->goal.count - plan->extents.n;
}

/* Chosen windows that were free when they were looked at. */
static void count_free(struct quire_plan *plan, const struct survey *s)
{
	for (size_t i = 0; i < plan->chosen_count; i++) {
		const struct plan_window *w = &plan->chosen[i];
		bool free = true;
		unsigned from, end;

		for (uint32_t b = window_first_block(w); free && b < window_end_block(w); b++) {
			window_span(w, b, &from, &end);
			free = bits_span_clear(&s->block[b].used, from, end);
		}
		plan->info.runs_free += free;
	}
}

static int choose_aligned(struct quire_plan *plan, struct survey *s)
{
	const uint32_t frames = plan->blocks_each * QUIRE_BLOCK_FRAMES;
	struct choose_arena arena = {
		.window = s->window, .counts = s->counts, .n = s->windows, .frames = frames
	};
	struct choose_result r;
	uint32_t *order = mem_alloc(s->windows, sizeof(*order));

	if (!order)
		return -ENOMEM;
	memcpy(arena.slots, s->slots, sizeof(arena.slots));
	if (!choose_windows(&arena, to_find(plan), order, &r))
		plan->chosen = mem_zalloc(r.windows, sizeof(*plan->chosen));
	if (!plan->chosen) {
		mem_free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < r.feasible; i++) {
		const struct choose_window *w = &s->window[order[i]];

		if (w->chosen)
			plan->chosen[plan->chosen_count++] = (struct plan_window){
				.first = order[i] * frames, .frames = frames, .cost = w->cost
			};
	}
	mem_free(order);
	plan->info.runs = r.windows;
	plan->info.feasible = r.feasible;
	plan->info.no_place = r.no_place;
	plan->info.bytes = r.frames * QUIRE_FRAME_BYTES;
	plan->info.lower_bound_bytes =
		(plan->is_range ? frames_in_range(plan, s) : r.lower_bound) * QUIRE_FRAME_BYTES;
	return 0;
}

/* Places in all of the arena but a node, in which the folios of that node may go. */
static void places_elsewhere(const struct quire_plan *plan, const struct survey *s,
			     const struct node *node, uint64_t slots[CHOOSE_ORDERS])
{
	for (uint32_t b = 0; b < s->windows && !plan->stay; b++)
		if (b < node->first || b >= node->first + node->blocks.n)
			for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
				slots[j] += s->counts[b].slots[j];
}

/* The best of all nodes: no run reaches from one into the next. */
static int slide_nodes(const struct quire_plan *plan, const struct survey *s,
		       struct slide_result *best)
{
	const struct nodes *nodes = plan->q->node;
	int error = 0;

	memset(best, 0, sizeof(*best));
	for (uint32_t i = 0; i < nodes->count && !error; i++) {
		const struct node *node = &nodes->node[i];
		struct slide_goal goal = { .frames = plan->goal.frames,
					   .align = plan->goal.align,
					   .offset = node->first * QUIRE_BLOCK_FRAMES };
		struct slide_result r;

		if (!is_meant_of(plan, i))
			continue;
		places_elsewhere(plan, s, node, goal.elsewhere);
		error = slide(s->slide + node->first, s->counts + node->first, node->blocks.n,
			      &goal, &r);
		if (error || !r.feasible)
			continue;
		if (!best->feasible || r.lower_bound < best->lower_bound)
			best->lower_bound = r.lower_bound;
		best->feasible += r.feasible;
		if (r.found && (!best->found || r.cost < best->cost)) {
			best->found = true;
			best->cost = r.cost;
			best->first = goal.offset + r.first;
		}
	}
	best->cheaper = best->feasible && (!best->found || best->lower_bound < best->cost);
	return error;
}

/* One run, anywhere: the bound is that of any such run, so none where there is none. */
static int choose_run(struct quire_plan *plan, const struct survey *s)
{
	struct slide_result r = { 0 };
	int error = 0;

	plan->chosen = mem_zalloc(1, sizeof(*plan->chosen));
	if (!plan->chosen)
		return -ENOMEM;
	if (to_find(plan))
		error = slide_nodes(plan, s, &r);
	if (error)
		return error;
	if (r.found)
		plan->chosen[plan->chosen_count++] = (struct plan_window){
			.first = r.first, .frames = plan->goal.frames, .cost = (uint32_t)r.cost
		};
	plan->info.runs = r.found;
	plan->info.feasible = r.feasible;
	plan->info.no_place = r.cheaper;
	plan->info.bytes = r.cost * QUIRE_FRAME_BYTES;
	plan->info.lower_bound_bytes = r.found ? r.lower_bound * QUIRE_FRAME_BYTES : 0;
	return 0;
}

static int by_first(const void *a, const void *b)
{
	const struct plan_window *const *x = a, *const *y = b;

	return ((*x)->first > (*y)->first) - ((*x)->first < (*y)->first);
}

/* Of all chosen windows, in the order of frames, so that a move is found by its source. */
static int collect(struct quire_plan *plan, const struct survey *s)
{
	const struct plan_window **sorted =
		mem_alloc(plan->chosen_count, sizeof(struct plan_window *));
	int error = sorted ? 0 : -ENOMEM;

	for (size_t i = 0; !error && i < plan->chosen_count; i++)
		sorted[i] = &plan->chosen[i];
	if (!error && plan->chosen_count)
		qsort(sorted, plan->chosen_count, sizeof(struct plan_window *), by_first);
	for (size_t i = 0; !error && i < plan->chosen_count; i++)
		for (uint32_t b = window_first_block(sorted[i]);
		     !error && b < window_end_block(sorted[i]); b++)
			error = collect_moves(plan, s, sorted[i], b);
	mem_free(sorted);
	return error;
}

static int choose(struct quire_plan *plan, struct survey *s)
{
	int error;

	mem_free(plan->chosen);
	plan->chosen = NULL;
	plan->chosen_count = 0;
	plan->move_count = 0;
	error = plan->is_run ? choose_run(plan, s) : choose_aligned(plan, s);
	if (!error)
		error = collect(plan, s);
	if (error)
		return error;
	count_free(plan, s);
	plan->info.folios = plan->move_count;
	/* What was handed out already was among them. */
	plan->info.runs += plan->extents.n;
	plan->info.runs_free += plan->extents.n;
	if (!plan->is_range)
		plan->info.alignment_extra_bytes = plan->info.bytes - plan->info.lower_bound_bytes;
	return place_moves(plan, s);
}

/* What is to be waited for, if it comes to that. */
static void keep_taken(struct quire_plan *plan, struct survey *s)
{
	uint32_t blocks = node_blocks(plan->q->node);

	mem_free(plan->taken);
	plan->taken = s->taken;
	s->taken = NULL;
	plan->taken_count = 0;
	for (uint32_t w = 0; w < (blocks + 63) / 64; w++)
		plan->taken_count += (uint32_t)__builtin_popcountll(plan->taken[w]);
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
	if (!error) {
		keep_taken(plan, &s);
		keep_blockers(plan, &s);
	}
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

static bool is_power_of_2(uint32_t n)
{
	return n && !(n & (n - 1));
}

static int set_range(struct quire_plan *plan, uint32_t first, uint32_t frames)
{
	uint32_t blocks = node_blocks(plan->q->node), block = first / QUIRE_BLOCK_FRAMES;
	uint32_t range = frames / QUIRE_BLOCK_FRAMES;

	if (first % QUIRE_BLOCK_FRAMES || !range || frames % QUIRE_BLOCK_FRAMES ||
	    block >= blocks || range > blocks - block)
		return -EINVAL;
	plan->is_range = true;
	plan->blocks_each = 1;
	plan->windows = blocks;
	plan->from = block;
	plan->end = block + range;
	/* From here on it is so many runs of one block. */
	plan->goal.frames = QUIRE_BLOCK_FRAMES;
	plan->goal.count = range;
	return 0;
}

static int set_run(struct quire_plan *plan, const struct quire_goal *goal)
{
	uint32_t blocks = node_blocks(plan->q->node);

	if (goal->count || goal->first.n || !goal->frames ||
	    goal->frames > blocks * (uint64_t)QUIRE_BLOCK_FRAMES ||
	    (goal->align && !is_power_of_2(goal->align)))
		return -EINVAL;
	plan->is_run = true;
	plan->blocks_each = 1; /* what is counted, not what is emptied */
	plan->windows = blocks;
	plan->goal.count = 1;
	plan->goal.align = goal->align ? goal->align : 1;
	return 0;
}

static int set_runs(struct quire_plan *plan, const struct quire_goal *goal)
{
	if (!goal->count || goal->first.n || goal->align || goal->frames < QUIRE_BLOCK_FRAMES ||
	    goal->frames > WINDOW_FRAMES_MAX || !is_power_of_2(goal->frames))
		return -EINVAL;
	plan->blocks_each = goal->frames / QUIRE_BLOCK_FRAMES;
	plan->windows = node_blocks(plan->q->node) / plan->blocks_each;
	plan->end = plan->windows;
	return 0;
}

static int set_node(struct quire_plan *plan, const struct quire_goal *goal)
{
	const struct node *node = &plan->q->node->node[goal->node];

	if (goal->frames || goal->first.n || plan->stay)
		return -EINVAL;
	return set_range(plan, node->first * QUIRE_BLOCK_FRAMES,
			 node->blocks.n * QUIRE_BLOCK_FRAMES);
}

/* What a goal says, checked, into the plan. 0 or -EINVAL. */
static int set_goal(struct quire_plan *plan, struct quire *q, const struct quire_goal *goal)
{
	bool range = goal->kind == QUIRE_GOAL_RANGE || goal->kind == QUIRE_GOAL_NODE;

	plan->q = q;
	plan->goal = *goal;
	plan->stay = goal->flags & QUIRE_GOAL_STAY;
	if ((goal->flags & ~QUIRE_GOAL_STAY) || (goal->owner && goal->owner->quire != q) ||
	    goal->node >= q->node->count || goal->node_set > 1 ||
	    (range && (goal->node_set || goal->count || goal->align)) ||
	    (goal->node && !goal->node_set && goal->kind != QUIRE_GOAL_NODE))
		return -EINVAL;
	switch (goal->kind) {
	case QUIRE_GOAL_RUNS:
		return set_runs(plan, goal);
	case QUIRE_GOAL_RANGE:
		return set_range(plan, goal->first.n, goal->frames);
	case QUIRE_GOAL_RUN:
		return set_run(plan, goal);
	case QUIRE_GOAL_NODE:
		return set_node(plan, goal);
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
	if (plan->goal.owner)
		fetch_add(&plan->goal.owner->folios, 1u);
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
		for (struct quire_extent *e; (e = quire_plan_take_extent(plan));)
			quire_extent_free(e);
		if (plan->goal.owner)
			owner_put(plan->goal.owner);
	}
	mem_free(plan->extents.at);
	mem_free(plan->taken);
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

int plan_take(struct quire_plan *plan, uint32_t first, uint32_t frames)
{
	struct plan_extents *e = &plan->extents;
	struct quire_extent **grown =
		mem_grow(e->at, &e->capacity, e->n + 1, sizeof(struct quire_extent *));
	int error;

	if (!grown)
		return -ENOMEM;
	e->at = grown;
	error = extent_make(plan->goal.owner, first, frames, plan->goal.site, plan, &e->at[e->n]);
	e->n += !error;
	return error;
}

struct quire_extent *quire_plan_take_extent(struct quire_plan *plan)
{
	struct quire_extent *e;

	if (!plan || plan->q->forked || plan->extents.handed == plan->extents.n)
		return NULL;
	e = plan->extents.at[plan->extents.handed++];
	extent_hand_over(e);
	return e;
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

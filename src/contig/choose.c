// SPDX-License-Identifier: MIT
#include "contig/choose.h"

#include "util/mem.h"

#include <errno.h>
#include <quire/base.h>

/* --- windows --- */

struct balance {
	uint64_t moves[CHOOSE_ORDERS]; /* folios to place, by order */
	uint64_t slots[CHOOSE_ORDERS]; /* aligned places outside, by order */
};

/* The condition of choose.h with a window taken as well. */
static bool fits(const struct balance *b, const struct choose_counts *c)
{
	uint64_t need = 0; /* in places of order j */

	for (unsigned j = CHOOSE_ORDERS; j-- > 0;) {
		need = 2 * need + b->moves[j] + c->moves[j];
		/* A window's own places are among those outside until it is taken. */
		if (need + c->slots[j] > b->slots[j])
			return false;
	}
	return true;
}

static void take_window(struct balance *b, const struct choose_counts *c)
{
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++) {
		b->moves[j] += c->moves[j];
		b->slots[j] -= c->slots[j];
	}
}

/*
 * The feasible windows by (cost, number): counted, and put in their place. from[c] is where those
 * of cost c begin; frames + 2 of them, zeroed.
 */
static size_t sort_by_cost(const struct choose_arena *arena, uint32_t *from, uint32_t *order)
{
	const struct choose_window *w = arena->window;

	for (size_t i = 0; i < arena->n; i++)
		from[w[i].cost + 1] += w[i].feasible;
	for (size_t c = 0; c <= arena->frames; c++)
		from[c + 1] += from[c];
	for (size_t i = 0; i < arena->n; i++)
		if (w[i].feasible)
			order[from[w[i].cost]++] = (uint32_t)i;
	/* By now each begins where the next did. */
	return from[arena->frames];
}

/* The sum of the k least costs. */
static uint64_t least_sum(const struct choose_arena *arena, const uint32_t *end, uint64_t k)
{
	uint64_t sum = 0, n, before = 0;

	for (size_t c = 0; c <= arena->frames && before < k; c++) {
		n = end[c] < k ? end[c] : k;
		sum += (n - before) * c;
		before = n;
	}
	return sum;
}

int choose_windows(const struct choose_arena *arena, uint64_t count, uint32_t *order,
		   struct choose_result *result)
{
	uint32_t *end = mem_zalloc((size_t)arena->frames + 2, sizeof(*end));
	struct balance b[CHOOSE_NODES] = { 0 };

	memset(result, 0, sizeof(*result));
	if (!end)
		return -ENOMEM;
	for (size_t i = 0; i < arena->n; i++)
		arena->window[i].chosen = false;
	for (unsigned node = 0; node < CHOOSE_NODES; node++)
		memcpy(b[node].slots, arena->slots[node], sizeof(b[node].slots));
	result->feasible = sort_by_cost(arena, end, order);
	for (size_t i = 0; i < result->feasible && result->windows < count; i++) {
		struct choose_window *w = &arena->window[order[i]];
		const struct choose_counts *c = &arena->counts[order[i]];

		if (!fits(&b[w->node], c)) {
			result->no_place++;
			continue;
		}
		take_window(&b[w->node], c);
		w->chosen = true;
		result->windows++;
		result->frames += w->cost;
	}
	result->lower_bound = least_sum(arena, end, result->windows);
	mem_free(end);
	return 0;
}

/* --- places: a min-heap of first frames for each order --- */

void places_init(struct places *places)
{
	memset(places, 0, sizeof(*places));
}

void places_finish(struct places *places)
{
	for (unsigned o = 0; o < CHOOSE_ORDERS; o++)
		mem_free(places->at[o]);
	places_init(places);
}

int places_add(struct places *places, uint32_t frame, unsigned order)
{
	uint32_t *heap = mem_grow(places->at[order], &places->cap[order], places->n[order] + 1,
				  sizeof(*heap));
	size_t i;

	if (!heap)
		return -ENOMEM;
	places->at[order] = heap;
	for (i = places->n[order]++; i && heap[(i - 1) / 2] > frame; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = frame;
	return 0;
}

static uint32_t heap_pop(uint32_t *heap, size_t *n)
{
	uint32_t first = heap[0], last = heap[--*n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < *n) {
		if (child + 1 < *n && heap[child + 1] < heap[child])
			child++;
		if (last <= heap[child])
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return first;
}

int places_take(struct places *places, unsigned order, uint32_t *frame)
{
	unsigned o = order;
	int error;

	while (o < CHOOSE_ORDERS && !places->n[o])
		o++;
	if (o == CHOOSE_ORDERS)
		return -ENOSPC;
	*frame = heap_pop(places->at[o], &places->n[o]);
	/* The upper halves of what was split are places of their own. */
	while (o > order) {
		o--;
		error = places_add(places, *frame + (1u << o), o);
		if (error)
			return error;
	}
	return 0;
}

// SPDX-License-Identifier: MIT
#include "contig/choose.h"

#include "util/mem.h"

#include <errno.h>
#include <quire/base.h>

/* --- windows --- */

/* Heap sort by (cost, number) keeps it free of recursion and of a comparator's context. */
static bool cheaper(const struct choose_window *w, uint32_t a, uint32_t b)
{
	return w[a].cost != w[b].cost ? w[a].cost < w[b].cost : a < b;
}

static void sift(const struct choose_window *w, uint32_t *order, size_t i, size_t n)
{
	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		uint32_t t;

		if (child + 1 < n && cheaper(w, order[child], order[child + 1]))
			child++;
		if (!cheaper(w, order[i], order[child]))
			return;
		t = order[i];
		order[i] = order[child];
		order[child] = t;
	}
}

static void sort_by_cost(const struct choose_window *w, uint32_t *order, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(w, order, i, n);
	for (size_t i = n; i-- > 1;) {
		uint32_t t = order[0];

		order[0] = order[i];
		order[i] = t;
		sift(w, order, 0, i);
	}
}

struct balance {
	uint64_t moves[CHOOSE_ORDERS]; /* folios to place, by order */
	uint64_t slots[CHOOSE_ORDERS]; /* aligned places outside, by order */
};

/* The condition of choose.h with w taken as well. */
static bool fits(const struct balance *b, const struct choose_window *w)
{
	uint64_t need = 0; /* in places of order j */

	for (unsigned j = CHOOSE_ORDERS; j-- > 0;) {
		need = 2 * need + b->moves[j] + w->moves[j];
		/* A window's own places are among those outside until it is taken. */
		if (need + w->slots[j] > b->slots[j])
			return false;
	}
	return true;
}

static void take_window(struct balance *b, struct choose_window *w)
{
	for (unsigned j = 0; j < CHOOSE_ORDERS; j++) {
		b->moves[j] += w->moves[j];
		b->slots[j] -= w->slots[j];
	}
	w->chosen = true;
}

void choose_windows(struct choose_window *w, size_t n, uint64_t count, uint32_t *order,
		    struct choose_result *result)
{
	struct balance b[CHOOSE_NODES] = { 0 };
	size_t feasible = 0;

	memset(result, 0, sizeof(*result));
	for (size_t i = 0; i < n; i++) {
		w[i].chosen = false;
		for (unsigned j = 0; j < CHOOSE_ORDERS; j++)
			b[w[i].node].slots[j] += w[i].slots[j];
		if (w[i].feasible)
			order[feasible++] = (uint32_t)i;
	}
	sort_by_cost(w, order, feasible);
	result->feasible = feasible;
	for (size_t i = 0; i < feasible && result->windows < count; i++) {
		struct choose_window *c = &w[order[i]];

		if (!fits(&b[c->node], c)) {
			result->no_place++;
			continue;
		}
		take_window(&b[c->node], c);
		result->windows++;
		result->frames += c->cost;
	}
	for (size_t i = 0; i < result->windows; i++)
		result->lower_bound += w[order[i]].cost;
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

// SPDX-License-Identifier: MIT
/*
 * blockers.c: who stands in a plan's way: what was learned of folios that stay, what is waited for,
 * and what callers are shown of it.
 */
#include "contig/plan.h"
#include "util/mem.h"

#include <errno.h>

static int by_frame_and_folio(const void *a, const void *b)
{
	const struct quire_blocker *x = a, *y = b;

	if (x->frame.n != y->frame.n)
		return x->frame.n < y->frame.n ? -1 : 1;
	return (x->folio > y->folio) - (x->folio < y->folio);
}

/* Brings what was learned into the order in which it is looked up, each folio at a place once. */
void plan_sort_learned(struct quire_plan *plan)
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

const struct quire_blocker *plan_find_learned(const struct quire_plan *plan,
					      const struct quire_folio *folio,
					      struct quire_frame frame)
{
	size_t i = learned_place(plan, folio, frame.n);

	if (i == plan->learned_count || plan->learned[i].folio != folio ||
	    plan->learned[i].frame.n != frame.n)
		return NULL;
	return &plan->learned[i];
}

void plan_blocker_at(uint32_t frame, enum quire_reason why, struct quire_blocker *who)
{
	memset(who, 0, sizeof(*who));
	who->frame = quire_frame(frame);
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

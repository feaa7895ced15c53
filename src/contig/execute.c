// SPDX-License-Identifier: MIT
/*
 * execute.c: carrying a plan out.
 *
 *	claim the windows, reserve the places
 *	rounds (rounds.c) until all windows are free, or given up, or the time is over
 *	windows were given up: learn who stays, choose others, and go on
 *	too few, and other executions have some: wait for those, without a claim, and go on
 *	let go of claims and places, count, name
 *
 * Whatever ends it early, what was moved stays moved, every reservation is returned and every claim
 * dropped: frames allocated = frames of folios, as before.
 */
#include "contig/execution.h"
#include "contig/record.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/mem.h"
#include "util/points.h"

#include <errno.h>

#define REPLANS_MAX 1000
#define SETTLE_NS 1000000u /* how long a round waits for readers to leave old places */

/* Then what was to be tried again stays, and is named. */
bool execution_out_of_time(const struct execution *x)
{
	return x->budget.deadline_ns && os_clock_ns() - x->start >= x->budget.deadline_ns;
}

/* --- waiting for other executions --- */

static uint64_t after(uint64_t now, uint64_t ns)
{
	return now > UINT64_MAX - ns ? UINT64_MAX : now + ns;
}

/* When waiting for others that begins now has to end: 0, if there is none. */
static uint64_t queue_end(const struct execution *x)
{
	uint64_t ns = x->budget.queue_ns ? x->budget.queue_ns : x->q->options.deadline_ns;
	uint64_t end;

	if (x->budget.mode == QUIRE_ASYNC || x->budget.flags & QUIRE_BUDGET_NO_QUEUE)
		return 0;
	if (x->budget.mode == QUIRE_SYNC_LIGHT && ns > RETRY_LIGHT_NS)
		ns = RETRY_LIGHT_NS;
	end = after(os_clock_ns(), ns);
	if (x->budget.deadline_ns && end > after(x->start, x->budget.deadline_ns))
		end = after(x->start, x->budget.deadline_ns);
	return end;
}

/* What it needs: its range, or what it had chosen and what others have of the arena. */
static uint64_t *what_it_wants(const struct execution *x)
{
	const struct quire_plan *plan = x->plan;
	uint32_t words = (node_blocks(x->q->node) + 63) / 64;
	uint64_t *bits = mem_zalloc(words, sizeof(*bits));

	if (!bits)
		return NULL;
	for (uint32_t b = plan->from; plan->is_range && b < plan->end; b++)
		bits[b / 64] |= 1ull << (b % 64);
	for (uint32_t w = 0; !plan->is_range && plan->taken && w < words; w++)
		bits[w] = plan->taken[w];
	for (size_t i = 0; !plan->is_range && i < plan->chosen_count; i++)
		for (uint32_t b = window_first_block(&plan->chosen[i]);
		     b < window_end_block(&plan->chosen[i]); b++)
			bits[b / 64] |= 1ull << (b % 64);
	return bits;
}

/* Shows in the meantime whom it waits for. */
static void show_taken(struct execution *x)
{
	struct quire_plan *plan = x->plan;
	struct quire_blocker who;

	plan->next_count = 0;
	for (uint32_t b = 0; x->entry.wanted && b < node_blocks(x->q->node); b++) {
		const void *claim = node_claimed_by(x->q->node, b);

		if (!(x->entry.wanted[b / 64] >> (b % 64) & 1))
			continue;
		plan_blocker_at(b * QUIRE_BLOCK_FRAMES, QUIRE_REASON_CLAIMED, &who);
		queue_describe(x->q, plan, claim, b, &who);
		if (!claim && !who.thread)
			continue;
		plan_note_waiting(plan, &who);
		break;
	}
	plan_show_waiting(plan);
}

/*
 * Waits for those who have what it needs; it has no claim itself. *until: 0 at first. true: try
 * again.
 */
static bool wait_turn(struct execution *x, uint64_t *until)
{
	uint64_t *wanted;
	bool again;

	if (x->stop)
		return false;
	if (!*until)
		*until = queue_end(x);
	wanted = *until ? what_it_wants(x) : NULL;
	if (!wanted)
		return false;
	queue_want(x->q, &x->entry, wanted);
	queue_wake(x->q);
	show_taken(x);
	again = queue_wait(x->q, &x->entry, *until);
	plan_show_waiting(x->plan);
	if (execution_out_of_time(x))
		x->stop = -ETIMEDOUT;
	return again && !x->stop;
}

/* --- claims and reservations --- */

/* Is some of the range an older execution's, that waits for it? */
static bool any_of(const uint64_t *bits, uint32_t from, uint32_t end)
{
	for (uint32_t b = from; b < end; b++)
		if (bits[b / 64] >> (b % 64) & 1)
			return true;
	return false;
}

static bool is_wanted(const struct execution *x, uint64_t *bits)
{
	queue_wanted(x->q, x->plan, bits);
	return any_of(bits, x->plan->from, x->plan->end);
}

/* A range that others have: named, though whoever has it may be gone by now. */
static void learn_closed(struct execution *x)
{
	struct quire_plan *plan = x->plan;
	struct quire_blocker who;

	for (uint32_t b = plan->from; b < plan->end; b++) {
		const void *claim = node_claimed_by(x->q->node, b);

		plan_blocker_at((claim ? b : plan->from) * QUIRE_BLOCK_FRAMES, QUIRE_REASON_CLAIMED,
				&who);
		queue_describe(x->q, plan, claim, b, &who);
		if (!claim && !who.thread && b + 1 < plan->end)
			continue;
		who.frame = quire_frame((who.thread ? b : plan->from) * QUIRE_BLOCK_FRAMES);
		(void)plan_learn(plan, &who);
		record_stays(plan, &who);
		count_not_moved(x->q, QUIRE_REASON_CLAIMED);
		break;
	}
}

/*
 * A range is closed before anything else, blocks in which something stays too, so that no place is
 * in it, and stays so until the end, also while windows are chosen anew.
 */
static int close_range(struct execution *x)
{
	struct quire_plan *plan = x->plan;
	uint64_t *bits;
	uint64_t until = 0;

	if (!plan->is_range)
		return 0;
	for (;;) {
		bits = mem_zalloc((node_blocks(x->q->node) + 63) / 64, sizeof(*bits));
		if (!bits)
			return -ENOMEM;
		plan->closed = !is_wanted(x, bits) &&
			       !node_claim(x->q->node, plan->from, plan->end - plan->from, plan);
		mem_free(bits);
		/* All of it is wanted, so what has gone since the plan was made is not in the way.
		 */
		if (plan->closed) {
			SYNC_POINT("plan:closed", plan);
			return plan_compute(plan);
		}
		if (!wait_turn(x, &until))
			break;
	}
	learn_closed(x);
	return x->stop ? x->stop : -EBUSY;
}

static void open_range(struct execution *x)
{
	struct quire_plan *plan = x->plan;

	if (!plan->closed)
		return;
	node_unclaim(x->q->node, plan->from, plan->end - plan->from, plan);
	plan->closed = false;
	queue_wake(x->q);
}

static void claim(struct execution *x)
{
	struct quire_plan *plan = x->plan;
	uint64_t *bits = NULL;

	/* Without the memory nobody is made way for. A range was looked at when it was closed. */
	if (!plan->is_range)
		bits = mem_zalloc((node_blocks(x->q->node) + 63) / 64, sizeof(*bits));
	if (bits)
		queue_wanted(x->q, plan, bits);
	for (size_t i = 0; i < plan->chosen_count; i++) {
		struct plan_window *w = &plan->chosen[i];

		if (bits && !w->taken && any_of(bits, window_first_block(w), window_end_block(w))) {
			window_give_up(x, w);
			continue;
		}
		if (!plan->is_range &&
		    node_claim(x->q->node, window_first_block(w),
			       window_end_block(w) - window_first_block(w), plan)) {
			/* Named by the next look at the arena, if it is so then. */
			window_give_up(x, w);
			continue;
		}
		w->claimed = true;
		SYNC_POINT("plan:window", w);
	}
	mem_free(bits);
	SYNC_POINT("plan:claimed", plan);
}

/* A place that somebody else took meanwhile is found anew when its folio is isolated. */
static void reserve(struct execution *x)
{
	struct quire_plan *plan = x->plan;

	for (size_t i = 0; i < plan->move_count; i++) {
		struct plan_move *move = &plan->move[i];

		if (move->dst == QUIRE_FRAME_NONE_N)
			continue;
		if (node_alloc_at(x->q->node, move->order, quire_frame(move->dst)))
			move->dst = QUIRE_FRAME_NONE_N;
		else
			move->reserved = true;
	}
}

static void unreserve(struct execution *x)
{
	struct quire_plan *plan = x->plan;

	for (size_t i = 0; i < plan->move_count; i++) {
		struct plan_move *move = &plan->move[i];

		if (!move->reserved)
			continue;
		node_free(x->q->node, move->order, quire_frame(move->dst));
		move->reserved = false;
	}
}

static void unclaim(struct execution *x)
{
	struct quire_plan *plan = x->plan;

	for (size_t i = 0; i < plan->chosen_count && !plan->is_range; i++) {
		struct plan_window *w = &plan->chosen[i];

		if (w->claimed)
			node_unclaim(x->q->node, window_first_block(w),
				     window_end_block(w) - window_first_block(w), plan);
		w->claimed = false;
	}
	queue_wake(x->q);
}

/* --- all of it --- */

/* What it was for: counted, or handed out. */
static uint64_t count_obtained(struct execution *x)
{
	struct quire_plan *plan = x->plan;
	uint32_t blocks = plan->end - plan->from;
	struct node_block block;
	uint64_t n = 0;

	/* Of a range, those as well of which it was thought that something stays. */
	for (uint32_t b = plan->from; plan->closed && b < plan->end; b++) {
		node_look(x->q->node, b, &block);
		n += block.free == QUIRE_BLOCK_FRAMES;
	}
	if (plan->goal.owner && plan->closed) {
		int error = n == blocks ? plan_take(plan, plan->from * QUIRE_BLOCK_FRAMES,
						    blocks * QUIRE_BLOCK_FRAMES)
					: -EBUSY;

		if (error == -ENOMEM && !x->stop)
			x->stop = error;
		return error ? 0 : blocks;
	}
	if (plan->goal.owner)
		return plan->extents.n;
	for (size_t i = 0; i < plan->chosen_count && !plan->is_range; i++)
		n += plan->chosen[i].claimed && plan_window_is_free(plan, &plan->chosen[i]);
	return n;
}

static void count_waste(struct execution *x)
{
	for (size_t i = 0; i < x->plan->chosen_count; i++)
		if (x->plan->chosen[i].failed)
			x->r.bytes_wasted += x->plan->chosen[i].moved;
}

/* Chooses windows anew. 0, a reason to end, or 1: nothing is left to try. */
static int replan(struct execution *x)
{
	int error;

	/* Windows already free are chosen again: they cost nothing. */
	unclaim(x);
	error = plan_compute(x->plan);
	if (error)
		return error;
	x->r.replans++;
	return x->plan->info.runs == x->plan->info.runs_free;
}

/* Claims, moves, and chooses anew what was given up, until no window is left to try. */
static int execute(struct execution *x)
{
	int error = 0;

	do {
		x->gave_up = false;
		rounds_find_windows(x);
		claim(x);
		reserve(x);
		rounds_run(x);
		x->plan->next_count = 0;
		plan_show_waiting(x->plan); /* nothing waits any more */
		unreserve(x);
		count_waste(x);
		if (x->stop || !x->gave_up || x->reader || x->r.replans == REPLANS_MAX)
			return x->stop;
		error = replan(x);
	} while (!error);
	return error < 0 ? error : 0;
}

/* Are there too few windows, and others have some? */
static bool is_short(struct execution *x)
{
	const struct quire_plan *plan = x->plan;
	uint64_t n = plan->goal.owner ? plan->extents.n : 0;

	if (plan->is_range || x->stop || x->reader || !plan->taken_count)
		return false;
	for (size_t i = 0; !plan->goal.owner && i < plan->chosen_count; i++)
		n += plan_window_is_free(plan, &plan->chosen[i]);
	return n < plan->goal.count;
}

/* The same, and then once more with what others had of the arena, as long as there is any. */
static int execute_in_turn(struct execution *x)
{
	uint64_t until = 0;
	int error = close_range(x);

	for (;;) {
		if (!error)
			error = execute(x);
		if (error || !is_short(x) || x->r.replans == REPLANS_MAX)
			return error;
		unclaim(x);
		if (!wait_turn(x, &until))
			return x->stop;
		error = replan(x);
		until = 0;
		error = error < 0 ? error : 0;
	}
}

/* A goal that is met is met, though the budget, or the memory for a next plan, ended just then. */
static int verdict(const struct execution *x, int error)
{
	if (x->r.obtained >= x->plan->goal.count && error != -ECANCELED)
		return 0;
	if (error)
		return error;
	if (x->plan->goal.count == QUIRE_MAX)
		return 0;
	return x->plan->blocker_count ? -EBUSY : -ENOSPC;
}

static void give(const struct execution *x, struct quire_result *result)
{
	size_t size;

	if (!result)
		return;
	size = result->size;
	memcpy(result, &x->r, size < sizeof(x->r) ? size : sizeof(x->r));
	result->size = size;
}

int quire_plan_execute(struct quire_plan *plan, const struct quire_budget *budget,
		       struct quire_result *result)
{
	struct execution x = { .plan = plan };
	int error;

	if (!plan || (result && result->size < sizeof(size_t)))
		return -EINVAL;
	give(&x, result); /* nothing was done so far */
	if (budget && sized_copy(&x.budget, sizeof(x.budget), budget))
		return -EINVAL;
	if (!budget || !x.budget.mode_set)
		x.budget.mode = QUIRE_SYNC;
	if ((unsigned)x.budget.mode > QUIRE_SYNC || x.budget.flags & ~QUIRE_BUDGET_NO_QUEUE)
		return -EINVAL;
	if (plan->executed)
		return -EALREADY;
	x.q = plan->q;
	x.start = os_clock_ns();
	x.r.bytes_planned = plan->info.bytes;
	error = mover_init(&x.m, x.q, x.budget.mode);
	if (error)
		return error;
	plan->executed = true;
	x.m.stay = plan->stay;
	record_started(plan, x.budget.mode);
	queue_enter(x.q, &x.entry, plan);
	error = execute_in_turn(&x);
	if (x.m.moved)
		(void)folios_settle(x.q, os_clock_ns() + SETTLE_NS);
	if (!plan->is_range && (!plan->chosen_count || !plan->chosen[0].claimed))
		claim(&x);
	rounds_take_free(&x);
	x.r.obtained = count_obtained(&x);
	error = error ? error : x.stop;
	unclaim(&x);
	open_range(&x);
	/* Younger ones may go on; its own order still says who was in its way. */
	queue_want(x.q, &x.entry, NULL);
	queue_wake(x.q);
	rounds_report(&x);
	mover_finish(&x.m);
	count(x.q, runs, x.r.obtained);
	/* Naming needs memory of its own; without it the names known so far stand. */
	(void)plan_name_blockers(plan);
	queue_leave(x.q, &x.entry);
	give(&x, result);
	error = verdict(&x, error);
	record_ended(plan, error, &x.r);
	return error;
}

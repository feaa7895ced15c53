// SPDX-License-Identifier: MIT
/*
 * rounds.c: emptying windows that are claimed.
 *
 *	round: every window that is not yet free, cheapest first, in batches of 512 frames
 *	       a window of which a folio is refused is given up before anything of it moves
 *	until all windows are free, or given up, or the time for waiting is over
 */
#include "contig/execution.h"
#include "contig/record.h"
#include "core/fence.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/points.h"

#include <errno.h>

#define SETTLE_NS 1000000u /* how long a round waits for readers to leave old places */
#define NO_MOVE UINT32_MAX

/* Is there nothing left to do for a window? With an owner, only once it is an extent. */
static bool is_done(const struct execution *x, const struct plan_window *w)
{
	return x->plan->goal.owner && !x->plan->is_range ? w->taken
							 : plan_window_is_free(x->plan, w);
}

static void learn(struct execution *x, struct plan_window *w, const struct quire_blocker *who)
{
	/* Without the memory to remember it, the window is still given up, only without a name. */
	(void)plan_learn(x->plan, who);
	record_stays(x->plan, who);
	x->failed++;
	count_not_moved(x->q, who->why);
	window_give_up(x, w);
}

static struct plan_window *window_of(struct execution *x, const struct batch_entry *e)
{
	return &x->plan->chosen[e->tag];
}

/* An owner said no: nothing else of that window needs to move. */
static void give_up_refused(struct execution *x)
{
	struct mover *m = &x->m;

	for (size_t i = 0; i < m->n; i++)
		if (m->entry[i].state == ENTRY_FAILED) {
			learn(x, window_of(x, &m->entry[i]), &m->entry[i].who);
			m->entry[i].named = true;
		}
	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];

		if (e->state == ENTRY_ISOLATED && window_of(x, e)->failed)
			entry_putback(m, e, ENTRY_AGAIN, -ECANCELED, QUIRE_REASON_CANCELED);
	}
}

/*
 * Something that may be moved later. The fence it may wait for is the plan's from here on, since
 * its name may be shown; without the memory for that, it is a folio whose owner is busy.
 */
static void settle_again(struct execution *x, struct plan_window *w, struct batch_entry *e)
{
	bool ends = x->last || execution_out_of_time(x) || retry_is_vain(&e->who);
	struct quire_fence *fence = e->fence;

	bool waits = false;

	if (fence && (ends || !quire_fence_signaled(fence)) &&
	    !fenced_hold(&x->plan->fenced, fence)) {
		e->fence = NULL;
		waits = !ends &&
			!fenced_add(&x->plan->fenced, e->folio, e->src, fence, e->tag, &e->who);
	} else if (fence) {
		e->who.site = "";
	}
	/* Every folio that stays is named, not just the first of its window. */
	if (ends)
		learn(x, w, &e->who);
	else if (!waits)
		plan_note_waiting(x->plan, &e->who);
}

static void settle_entry(struct execution *x, struct batch_entry *e)
{
	struct plan_window *w = window_of(x, e);
	struct plan_move *move = e->move == NO_MOVE ? NULL : &x->plan->move[e->move];

	switch (e->state) {
	case ENTRY_MOVED:
		w->moved += (uint64_t)QUIRE_FRAME_BYTES << e->order;
		break;
	case ENTRY_AGAIN:
		if (e->who.why != QUIRE_REASON_CANCELED)
			settle_again(x, w, e);
		break;
	case ENTRY_FAILED:
		if (!e->named)
			learn(x, w, &e->who);
		break;
	default:
		break;
	}
	/* A place that was not used stays reserved for the next try. */
	if (move && e->dst.n == move->dst && !quire_frame_is_none(e->dst)) {
		move->reserved = true;
		e->dst = quire_frame(QUIRE_FRAME_NONE_N);
	}
	entry_release(&x->m, e);
}

void rounds_report(struct execution *x)
{
	x->r.bytes_moved = x->m.bytes_moved;
	x->r.bytes_recopied = x->m.bytes_recopied;
	x->r.folios_moved = x->m.moved;
	x->r.folios_freed = x->m.freed;
	x->r.folios_failed = x->failed;
	x->r.tries = x->m.tries;
	x->r.copy_ns = x->m.copy_ns;
	x->r.elapsed_ns = os_clock_ns() - x->start;
}

static void check_budget(struct execution *x)
{
	rounds_report(x);
	record_progress(x->plan, &x->r);
	if (x->stop)
		return;
	if (x->budget.progress && x->budget.progress(x->budget.arg, &x->r))
		x->stop = -ECANCELED;
	else if (execution_out_of_time(x))
		x->stop = -ETIMEDOUT;
}

static void flush(struct execution *x)
{
	struct mover *m = &x->m;

	if (m->n) {
		mover_isolate(m);
		give_up_refused(x);
		mover_place(m);
		mover_migrate(m);
		for (size_t i = 0; i < m->n; i++) {
			struct batch_entry *e = &m->entry[i];

			settle_entry(x, e);
		}
		mover_reset(m);
	}
	check_budget(x);
}

/* --- one round --- */

static void add(struct execution *x, uint32_t tag, struct quire_folio *folio,
		struct quire_frame src)
{
	struct plan_move *move = plan_find_move(x->plan, src.n);
	struct batch_entry *e;

	e = mover_add(&x->m, folio, src, quire_frame(QUIRE_FRAME_NONE_N));
	if (!e) {
		flush(x);
		e = mover_add(&x->m, folio, src, quire_frame(QUIRE_FRAME_NONE_N));
	}
	e->tag = tag;
	e->only_here = true;
	e->move = NO_MOVE;
	/* Owners find their own places; a plan's could be of use only once they are detached. */
	if (move && move->reserved && move->order == e->order && !owner_lends(folio->owner_)) {
		e->move = (uint32_t)(move - x->plan->move);
		e->dst = quire_frame(move->dst);
		move->reserved = false;
	}
}

/* The frames of what lives in a block; other frames in use may wait for a pin or a reader. */
static size_t live_frames(const struct execution *x, const struct plan_window *w,
			  const struct node_block *block, uint32_t b)
{
	size_t n = 0;

	for (unsigned i = 0; i < QUIRE_BLOCK_FRAMES; i++) {
		struct quire_frame at = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
		struct quire_folio *folio =
			bits_test(&block->used, i) ? folio_peek_at(x->q, at) : NULL;
		uint64_t word = folio ? load_acquire(&folio->word_) : QUIRE_DEAD_;

		if (!(word & QUIRE_DEAD_) && word_frame(word) == at.n &&
		    window_meets(w, at.n, word_order(word)))
			n += 1u << word_order(word);
	}
	return n;
}

/*
 * Does it wait for its fence? An entry of one that need not wait any more is done with. The caller
 * has a reference.
 */
static bool sits_out(struct execution *x, const struct quire_folio *folio)
{
	struct fenced_folio *entry = fenced_find(&x->plan->fenced, folio);

	if (!entry)
		return false;
	entry->done = quire_fence_signaled(entry->fence) || owner_detached(folio->owner_);
	return !entry->done;
}

/* Collects what lives in a block and meets the window; all of it goes into one batch. */
static void gather(struct execution *x, uint32_t tag, uint32_t b)
{
	const struct plan_window *w = &x->plan->chosen[tag];
	struct node_block block;
	uint64_t budget = x->budget.bytes;
	size_t used;

	node_look(x->q->node, b, &block);
	used = QUIRE_BLOCK_FRAMES - block.free;
	if (x->m.frames + used > BATCH_FRAMES)
		flush(x);
	if (budget && !x->stop) {
		used = live_frames(x, w, &block, b);
		if (used && x->m.bytes_moved + (x->m.frames + used) * QUIRE_FRAME_BYTES > budget)
			x->stop = -EDQUOT;
	}
	for (unsigned i = 0; i < QUIRE_BLOCK_FRAMES && !x->stop;) {
		struct quire_frame src = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
		struct quire_folio *folio;

		i++;
		if (!bits_test(&block.used, i - 1))
			continue;
		folio = folio_get_at(x->q, src);
		if (!folio)
			continue;
		i += (1u << quire_folio_order(folio)) - 1;
		if (!window_meets(w, src.n, quire_folio_order(folio)) || sits_out(x, folio))
			quire_folio_put(folio);
		else
			add(x, tag, folio, src);
	}
}

static void run_round(struct execution *x)
{
	struct quire_plan *plan = x->plan;

	fenced_sort(&plan->fenced);
	for (size_t i = 0; i < plan->chosen_count && !x->stop; i++) {
		struct plan_window *w = &plan->chosen[i];

		if (w->failed || plan_window_is_free(plan, w) || w->taken)
			continue;
		for (uint32_t b = window_first_block(w);
		     b < window_end_block(w) && !x->stop && !w->failed; b++)
			gather(x, (uint32_t)i, b);
	}
	flush(x);
}

/* A round of those alone that waited for a fence that was signaled. */
static void run_fenced(struct execution *x)
{
	struct fenced *f = &x->plan->fenced;
	uint64_t budget = x->budget.bytes;
	size_t n;

	fenced_sort(f);
	n = f->n; /* what is added meanwhile is not for this round */
	for (size_t i = 0; i < n && !x->stop; i++) {
		struct quire_frame src = quire_frame(word_frame(f->at[i].word));
		uint32_t window = f->at[i].window;
		struct quire_folio *folio;
		uint64_t frames;

		if (window == FENCED_NO_WINDOW || x->plan->chosen[window].failed ||
		    !quire_fence_signaled(f->at[i].fence))
			continue;
		folio = folio_get_at(x->q, src);
		if (folio && folio != f->at[i].folio) {
			quire_folio_put(folio);
			folio = NULL;
		}
		f->at[i].done = true;
		if (!folio)
			continue;
		frames = x->m.frames + (1u << quire_folio_order(folio));
		if (budget && x->m.bytes_moved + frames * QUIRE_FRAME_BYTES > budget) {
			x->stop = -EDQUOT;
			quire_folio_put(folio);
		} else {
			add(x, window, folio, src);
		}
	}
	flush(x);
}

/* Whether a fence was signaled that a folio of this plan waits for. */
static bool any_signaled(void *execution)
{
	const struct execution *x = execution;
	const struct fenced *f = &x->plan->fenced;

	for (size_t i = 0; i < f->n; i++)
		if (f->at[i].window != FENCED_NO_WINDOW &&
		    !x->plan->chosen[f->at[i].window].failed && fenced_valid(&f->at[i]) &&
		    quire_fence_signaled(f->at[i].fence))
			return true;
	return false;
}

/* After a replan: the windows have other numbers. */
void rounds_find_windows(struct execution *x)
{
	struct fenced *f = &x->plan->fenced;

	fenced_sort(f);
	for (size_t i = 0; i < f->n; i++) {
		f->at[i].window = FENCED_NO_WINDOW;
		for (size_t w = 0; w < x->plan->chosen_count; w++)
			if (window_meets(&x->plan->chosen[w], word_frame(f->at[i].word),
					 word_order(f->at[i].word)))
				f->at[i].window = (uint32_t)w;
	}
}

/* When the time is over: what still waits stays, and is named. */
static void learn_fenced(struct execution *x)
{
	struct fenced *f = &x->plan->fenced;

	for (size_t i = 0; i < f->n; i++) {
		struct fenced_folio *entry = &f->at[i];

		if (entry->window == FENCED_NO_WINDOW || !fenced_valid(entry))
			continue;
		learn(x, &x->plan->chosen[entry->window], &entry->who);
		entry->done = true;
	}
}

/* What the round left for later, for those who look on. */
static void show_waiting(struct execution *x)
{
	const struct fenced *f = &x->plan->fenced;

	for (size_t i = 0; i < f->n; i++)
		if (f->at[i].window != FENCED_NO_WINDOW && fenced_valid(&f->at[i]))
			plan_note_waiting(x->plan, &f->at[i].who);
	plan_show_waiting(x->plan);
}

/* Windows that are neither free nor given up. */
static size_t unfinished(const struct execution *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->plan->chosen_count; i++)
		n += !x->plan->chosen[i].failed && !is_done(x, &x->plan->chosen[i]);
	return n;
}

/* What was freed in a window and is still pinned. */
static size_t learn_retired(struct execution *x, struct plan_window *w)
{
	uint32_t first = window_first_block(w) * QUIRE_BLOCK_FRAMES;
	struct quire_blocker who;
	size_t n = 0;

	for (uint32_t i = first; i < w->first + w->frames; i++) {
		if (!folio_retired_pinned_at(x->q, quire_frame(i), &who) ||
		    !window_meets(w, i, quire_folio_order(who.folio)))
			continue;
		learn(x, w, &who);
		n++;
	}
	return n;
}

/* The first frame of a window that is in use, and no folio is at fault; its first, if none is. */
static uint32_t frame_in_the_way(const struct execution *x, const struct plan_window *w)
{
	struct node_block block;
	unsigned from, end;

	/* Windows of whole blocks are named as a whole. */
	for (uint32_t b = window_first_block(w); x->plan->is_run && b < window_end_block(w); b++) {
		node_look(x->q->node, b, &block);
		window_span(w, b, &from, &end);
		for (; from < end; from++)
			if (bits_test(&block.used, from))
				return b * QUIRE_BLOCK_FRAMES + from;
	}
	return w->first;
}

/*
 * What keeps a window from being free, though no live folio in it is at fault: a pin on what was
 * freed, a reader, or else somebody who was given frames in it: another plan, a folio being made.
 */
static void give_up_unfinished(struct execution *x)
{
	struct thread *reader = epoch_blocker(load_acquire(&quire_epoch_));

	for (size_t i = 0; i < x->plan->chosen_count; i++) {
		struct plan_window *w = &x->plan->chosen[i];
		struct quire_blocker who;

		if (w->failed || is_done(x, w))
			continue;
		if (learn_retired(x, w))
			continue;
		plan_blocker_at(frame_in_the_way(x, w),
				reader ? QUIRE_REASON_READER : QUIRE_REASON_CLAIMED, &who);
		who.thread = reader ? load_relaxed(&reader->tid) : 0;
		learn(x, w, &who);
		x->reader |= reader != NULL;
	}
}

/* Empty but for frames that their owners keep: named by the next look at the arena. */
static void give_up_pooled(struct execution *x)
{
	for (size_t i = 0; i < x->plan->chosen_count; i++) {
		struct plan_window *w = &x->plan->chosen[i];

		if (w->failed || !plan_pool_keeps(x->plan, w))
			continue;
		count_not_moved(x->q, QUIRE_REASON_POOL);
		window_give_up(x, w);
	}
}

/* A window that is free by now is taken for the owner who is to have it. */
void rounds_take_free(struct execution *x)
{
	struct quire_plan *plan = x->plan;
	bool takes = plan->goal.owner && !plan->is_range;
	int error = 0;

	/* Also where it ends early: what is free by then is obtained. */
	for (size_t i = 0; takes && error != -ENOMEM && i < plan->chosen_count; i++) {
		struct plan_window *w = &plan->chosen[i];

		if (!w->claimed || w->failed || w->taken || !plan_window_is_free(plan, w))
			continue;
		SYNC_POINT("plan:free", w);
		/* -EBUSY: somebody was just about to have a frame of it. */
		error = plan_take(plan, w->first, w->frames);
		w->taken = !error;
		SYNC_POINT("plan:taken", plan);
		if (error == -ENOMEM && !x->stop)
			x->stop = error;
	}
}

void rounds_run(struct execution *x)
{
	uint64_t wait_ns = x->budget.folio_ns, passed = os_clock_ns() - x->start, left;
	enum retry_what what = RETRY_ALL;

	if (!wait_ns)
		wait_ns = x->q->options.deadline_ns;
	if (x->budget.deadline_ns) {
		left = x->budget.deadline_ns > passed ? x->budget.deadline_ns - passed : 1;
		wait_ns = left < wait_ns ? left : wait_ns;
	}
	/* SYNC_LIGHT has its millisecond for the whole call, whatever is chosen anew. */
	if (x->budget.mode != QUIRE_SYNC_LIGHT || !x->retry.q)
		retry_init(&x->retry, x->q, x->budget.mode, wait_ns);
	x->last = x->retry.wait_ns == 0;
	rounds_take_free(x);
	for (;;) {
		if (what == RETRY_ALL) {
			/* In the last one what waited is learned, or goes. */
			x->plan->next_count = 0;
			if (x->last)
				plan_show_waiting(x->plan);
			retry_round(&x->retry);
			run_round(x);
			if (!x->last)
				show_waiting(x);
		} else {
			run_fenced(x);
		}
		if (x->stop)
			break;
		(void)folios_settle(x->q, x->retry.wait_ns ? os_clock_ns() + SETTLE_NS : 0);
		rounds_take_free(x);
		give_up_pooled(x);
		if (x->stop)
			break;
		if (!unfinished(x))
			return;
		if (x->last)
			break;
		/* Folios may go by themselves, which nobody says: that is polled, fences or not. */
		what = retry_wait(&x->retry, true, any_signaled, x);
		if (what == RETRY_NOTHING) {
			/* When the time for waiting is over there is one more try, the last. */
			x->last = true;
			what = RETRY_ALL;
		}
	}
	if (x->stop != -ECANCELED && (x->last || execution_out_of_time(x)))
		learn_fenced(x);
	if (!x->stop)
		give_up_unfinished(x);
}

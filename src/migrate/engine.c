// SPDX-License-Identifier: MIT
/*
 * engine.c: moving given folios, and what is tried again.
 *
 * A round tries every folio that is still to be moved, in batches. Between rounds the mover sleeps
 * until something happens (an unpin, an owner's word) or a growing pause is over: short pins end
 * without a word, so waiting for events alone would not do. What waits for a fence sits the rounds
 * out until the fence was signaled. Each round is a whole try: what it does
 * not move is put back, so nothing stays isolated while the mover sleeps.
 */
#include "core/fence.h"
#include "frame/node.h"
#include "migrate/batch.h"
#include "migrate/retry.h"
#include "os/os.h"
#include "util/points.h"

#include <errno.h>
#include <string.h>

#define PENDING 1 /* in quire_move.code while it is undecided */

void retry_init(struct retry *r, struct quire *q, enum quire_mode mode, uint64_t wait_ns)
{
	r->q = q;
	r->ns = RETRY_FIRST_NS;
	r->deadline = 0;
	if (!wait_ns)
		wait_ns = q->options.deadline_ns;
	if (mode == QUIRE_SYNC_LIGHT && wait_ns > RETRY_LIGHT_NS)
		wait_ns = RETRY_LIGHT_NS;
	r->wait_ns = mode == QUIRE_ASYNC ? 0 : wait_ns;
}

void retry_round(struct retry *r)
{
	/* In this order: a signal that comes in between is taken for an event, not the reverse. */
	r->event = load_acquire(&r->q->event);
	r->signals = load_acquire(&r->q->signals);
	r->due = 0;
}

static uint64_t later(uint64_t now, uint64_t ns)
{
	return now > UINT64_MAX - ns ? UINT64_MAX : now + ns;
}

enum retry_what retry_wait(struct retry *r, bool unfenced, bool (*signaled)(void *), void *arg)
{
	uint32_t event, signals, looked = 0;
	bool first = true;
	uint64_t now;

	if (!r->wait_ns)
		return RETRY_NOTHING;
	now = os_clock_ns();
	if (!r->deadline)
		r->deadline = later(now, r->wait_ns);
	if (now >= r->deadline)
		return RETRY_NOTHING;
	if (unfenced && !r->due) {
		r->due = later(now, r->ns);
		r->due = r->due < r->deadline ? r->due : r->deadline;
		if (r->ns < RETRY_LAST_NS)
			r->ns *= 2;
	}
	for (;;) {
		/* Signals first, as in retry_round(); and both before the fences are looked at. */
		signals = load_acquire(&r->q->signals);
		event = load_acquire(&r->q->event);
		if (unfenced && (event - r->event != signals - r->signals || now >= r->due)) {
			count(r->q, retries, 1);
			return RETRY_ALL;
		}
		if ((first || signals != looked) && signaled(arg)) {
			count(r->q, retries, 1);
			return RETRY_FENCED;
		}
		first = false;
		looked = signals;
		if (now >= r->deadline)
			return RETRY_NOTHING;
		SYNC_POINT("retry:waiting", r->q);
		instance_wait(r->q, &event, (unfenced ? r->due : r->deadline) - now);
		now = os_clock_ns();
	}
}

bool retry_is_vain(const struct quire_blocker *who)
{
	if (who->why == QUIRE_REASON_THREAD_GONE)
		return true;
	return who->why == QUIRE_REASON_SHORT_PIN && who->thread == os_thread_id();
}

/* So many folios ahead their places are asked for: taking one is shorter than a cache miss. */
#define PLACES_AHEAD 8

/* The place a move asks for, taken once its folio is isolated. */
static void place_given(struct mover *m, struct quire_move *moves)
{
	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];
		struct quire_move *move = &moves[e->tag];
		struct quire_owner *owner;
		int error;

		if (i + PLACES_AHEAD < m->n && moves[e[PLACES_AHEAD].tag].to_set == QUIRE_TO_FRAME)
			node_prefetch(m->q->node, moves[e[PLACES_AHEAD].tag].to);
		if (e->state != ENTRY_ISOLATED || move->to_set != QUIRE_TO_FRAME)
			continue;
		owner = e->entered && e->folio->owner_->number ? e->folio->owner_ : NULL;
		error = owner ? owner_frame_at(owner, e->order, move->to)
			      : node_alloc_at(m->q->node, e->order, move->to);
		if (error) {
			entry_putback(m, e, ENTRY_FAILED, error, QUIRE_REASON_NO_PLACE);
		} else {
			e->dst = move->to;
			e->lender = owner;
		}
	}
}

/* What is to be moved, and what of it is undecided; the flags are of the latest look(). */
struct undecided {
	struct quire_move *moves;
	size_t n, left;
	size_t failed;
	bool fenced, unfenced; /* does any of them wait for a fence, for none? */
};

static void finish_batch(struct mover *m, struct undecided *u, bool last)
{
	struct quire_move *moves = u->moves;

	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];
		struct quire_move *move = &moves[e->tag];
		bool again = e->state == ENTRY_AGAIN && !last && !retry_is_vain(&e->who);

		move->tries++;
		move->code = again ? PENDING : 0;
		if (e->state == ENTRY_MOVED)
			folio_describe(e->folio, QUIRE_REASON_NONE, 0, &move->who);
		else
			move->who = e->who;
		if (e->state != ENTRY_MOVED && e->state != ENTRY_FREED && !again)
			move->code = e->who.code;
		u->left += again;
		if (move->code < 0) {
			u->failed++;
			count_not_moved(m->q, move->who.why);
		}
		/* The name of a fence is in who, so the caller gets the fence with it. */
		if (e->state == ENTRY_AGAIN && e->fence &&
		    !(again && quire_fence_signaled(e->fence))) {
			move->wait = e->fence;
			e->fence = NULL;
		}
		entry_release(m, e);
	}
	mover_reset(m);
}

static void run_batch(struct mover *m, struct undecided *u, bool last)
{
	mover_isolate(m);
	place_given(m, u->moves);
	mover_place(m);
	mover_migrate(m);
	finish_batch(m, u, last);
}

static void refuse(struct quire *q, struct undecided *u, struct quire_move *move)
{
	u->failed++;
	memset(&move->who, 0, sizeof(move->who));
	move->who.folio = move->folio;
	move->who.why = QUIRE_REASON_STALE;
	move->who.reason = quire_reason_text(QUIRE_REASON_STALE);
	move->who.owner = "";
	move->who.site = "";
	move->who.code = -ESTALE;
	move->code = -ESTALE;
	count_not_moved(q, QUIRE_REASON_STALE);
}

static void look(struct undecided *u)
{
	u->fenced = u->unfenced = false;
	for (size_t i = 0; u->left && i < u->n; i++) {
		if (u->moves[i].code != PENDING)
			continue;
		u->fenced |= u->moves[i].wait != NULL;
		u->unfenced |= u->moves[i].wait == NULL;
	}
}

/* The fence of an owner that is detached is nothing any more. The caller has the folio. */
static bool may_go_on(const struct quire_move *move)
{
	return quire_fence_signaled(move->wait) || owner_detached(move->folio->owner_);
}

static bool any_signaled(void *arg)
{
	const struct undecided *u = arg;

	for (size_t i = 0; u->fenced && i < u->n; i++)
		if (u->moves[i].code == PENDING && u->moves[i].wait && may_go_on(&u->moves[i]))
			return true;
	return false;
}

/* Is it to be tried now? Then it waits for nothing any more. */
static bool take_up(struct quire_move *move, enum retry_what what, bool first)
{
	if (first) {
		move->code = PENDING;
		move->tries = 0;
		move->wait = NULL;
		return true;
	}
	if (move->code != PENDING)
		return false;
	if (!move->wait)
		return what == RETRY_ALL;
	if (!may_go_on(move))
		return false;
	quire_fence_put(move->wait);
	move->wait = NULL;
	return true;
}

/* Is it where it is to go? Then there is nothing to do. The caller has a reference. */
static bool is_there(const struct quire *q, struct quire_move *move)
{
	if (move->to_set != QUIRE_TO_NODE ||
	    node_of(q->node, quire_folio_frame(move->folio)) != move->to_node)
		return false;
	folio_describe(move->folio, QUIRE_REASON_NONE, 0, &move->who);
	move->code = 0;
	return true;
}

/* One try for what is to be tried; true if something is undecided afterwards. */
static bool run_round(struct mover *m, struct undecided *u, enum retry_what what, bool first,
		      bool last)
{
	const struct quire_frame none = quire_frame(QUIRE_FRAME_NONE_N);
	size_t n = u->n;

	for (size_t i = 0; i < n; i++) {
		struct quire_move *move = &u->moves[i];
		struct batch_entry *e;

		if (!take_up(move, what, first))
			continue;
		u->left -= !first;
		if (!move->folio || !folio_is_ours(m->q->folios, move->folio) ||
		    !quire_folio_get(move->folio)) {
			refuse(m->q, u, move);
			continue;
		}
		if (is_there(m->q, move)) {
			quire_folio_put(move->folio);
			continue;
		}
		e = mover_add(m, move->folio, quire_folio_frame(move->folio), none);
		if (!e) {
			run_batch(m, u, last);
			e = mover_add(m, move->folio, quire_folio_frame(move->folio), none);
		}
		e->tag = (uint32_t)i;
		e->to_node = move->to_set == QUIRE_TO_NODE;
		e->node = move->to_node;
	}
	if (m->n)
		run_batch(m, u, last);
	look(u);
	return u->fenced || u->unfenced;
}

/* What still waits for a fence when the time is over stays untried, with what was said of it. */
static void end_fenced(struct quire *q, struct undecided *u)
{
	for (size_t i = 0; u->left && i < u->n; i++) {
		struct quire_move *move = &u->moves[i];

		if (move->code != PENDING)
			continue;
		move->code = move->who.code;
		u->failed += move->code != 0;
		count_not_moved(q, move->who.why);
	}
}

long quire_move_folios(struct quire *q, struct quire_move *moves, size_t n, enum quire_mode mode,
		       uint64_t deadline_ns)
{
	struct undecided u = { .moves = moves, .n = n };
	enum retry_what what = RETRY_ALL;
	bool first = true;
	struct mover m;
	struct retry r;
	int error;

	if (!q || (!moves && n) || n > UINT32_MAX || (unsigned)mode > QUIRE_SYNC)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (moves[i].to_set > QUIRE_TO_NODE ||
		    (moves[i].to_set == QUIRE_TO_NODE && moves[i].to_node >= q->node->count))
			return -EINVAL;
	if (!n)
		return may_move(q);
	error = mover_init(&m, q, mode);
	if (error)
		return error;
	retry_init(&r, q, mode, deadline_ns);
	do {
		if (what == RETRY_ALL)
			retry_round(&r);
		if (!run_round(&m, &u, what, first, !r.wait_ns))
			break;
		first = false;
		what = retry_wait(&r, u.unfenced, any_signaled, &u);
		if (what == RETRY_FENCED && !u.unfenced)
			what = RETRY_ALL;
	} while (what != RETRY_NOTHING);
	/* One last try of what may be tried, after which everything is decided. */
	if (u.fenced || u.unfenced)
		(void)run_round(&m, &u, RETRY_ALL, false, true);
	end_fenced(q, &u);
	mover_finish(&m);
	return (long)u.failed;
}

void quire_movable_again(struct quire *q)
{
	if (movers_event(q))
		notice(q, NOTICE_MOVABLE);
}

// SPDX-License-Identifier: MIT
/*
 * engine.c: moving given folios, and what is tried again.
 *
 * A round tries every folio that is still to be moved, in batches. Between rounds the mover sleeps
 * until something happens (an unpin, an owner's word) or a growing pause is over: short pins end
 * without a word, so waiting for events alone would not do. Each round is a whole try: what it does
 * not move is put back, so nothing stays isolated while the mover sleeps.
 */
#include "frame/node.h"
#include "migrate/batch.h"
#include "migrate/retry.h"
#include "os/os.h"

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
	r->seen = load_acquire(&r->q->event);
}

bool retry_wait(struct retry *r)
{
	uint64_t now;

	if (!r->wait_ns)
		return false;
	now = os_clock_ns();
	if (!r->deadline)
		r->deadline = now > UINT64_MAX - r->wait_ns ? UINT64_MAX : now + r->wait_ns;
	if (now >= r->deadline)
		return false;
	instance_wait(r->q, &r->seen, r->ns < r->deadline - now ? r->ns : r->deadline - now);
	if (r->ns < RETRY_LAST_NS)
		r->ns *= 2;
	count(r->q, retries, 1);
	return true;
}

bool retry_is_vain(const struct quire_blocker *who)
{
	if (who->why == QUIRE_REASON_THREAD_GONE)
		return true;
	return who->why == QUIRE_REASON_SHORT_PIN && who->thread == os_thread_id();
}

/* The place a move asks for, taken once its folio is isolated. */
static void place_given(struct mover *m, struct quire_move *moves)
{
	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];
		struct quire_move *move = &moves[e->tag];
		int error;

		if (e->state != ENTRY_ISOLATED || !move->to_set)
			continue;
		error = node_alloc_at(m->q->node, e->order, move->to);
		if (error)
			entry_putback(m, e, ENTRY_FAILED, error, QUIRE_REASON_NO_PLACE);
		else
			e->dst = move->to;
	}
}

static void finish_batch(struct mover *m, struct quire_move *moves, bool last)
{
	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];
		struct quire_move *move = &moves[e->tag];
		bool again = e->state == ENTRY_AGAIN && !last && !retry_is_vain(&e->who);

		move->tries++;
		move->code = again ? PENDING : 0;
		move->who = e->who;
		if (e->state == ENTRY_MOVED)
			folio_describe(e->folio, QUIRE_REASON_NONE, 0, &move->who);
		else if (e->state != ENTRY_FREED && !again)
			move->code = e->who.code;
		if (move->code < 0)
			count_not_moved(m->q, move->who.why);
		entry_release(m, e);
	}
	mover_reset(m);
}

static void run_batch(struct mover *m, struct quire_move *moves, bool last)
{
	mover_isolate(m);
	place_given(m, moves);
	mover_place(m);
	mover_migrate(m);
	finish_batch(m, moves, last);
}

static void refuse(struct quire *q, struct quire_move *move)
{
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

/* One try for everything that is undecided; true if something still is. */
static bool run_round(struct mover *m, struct quire_move *moves, size_t n, bool last)
{
	const struct quire_frame none = quire_frame(QUIRE_FRAME_NONE_N);
	bool pending = false;

	for (size_t i = 0; i < n; i++) {
		struct quire_move *move = &moves[i];
		struct batch_entry *e;

		if (move->code != PENDING)
			continue;
		if (!move->folio || !folio_is_ours(m->q->folios, move->folio) ||
		    !quire_folio_get(move->folio)) {
			refuse(m->q, move);
			continue;
		}
		e = mover_add(m, move->folio, quire_folio_frame(move->folio), none);
		if (!e) {
			run_batch(m, moves, last);
			e = mover_add(m, move->folio, quire_folio_frame(move->folio), none);
		}
		e->tag = (uint32_t)i;
	}
	if (m->n)
		run_batch(m, moves, last);
	for (size_t i = 0; i < n; i++)
		pending |= moves[i].code == PENDING;
	return pending;
}

long quire_move_folios(struct quire *q, struct quire_move *moves, size_t n, enum quire_mode mode,
		       uint64_t deadline_ns)
{
	struct mover m;
	struct retry r;
	long failed = 0;
	int error;

	if (!q || (!moves && n) || n > UINT32_MAX || (unsigned)mode > QUIRE_SYNC)
		return -EINVAL;
	if (!n)
		return may_move(q);
	error = mover_init(&m, q, mode);
	if (error)
		return error;
	for (size_t i = 0; i < n; i++) {
		moves[i].code = PENDING;
		moves[i].tries = 0;
	}
	retry_init(&r, q, mode, deadline_ns);
	for (;;) {
		retry_round(&r);
		if (!run_round(&m, moves, n, !r.wait_ns))
			break;
		if (!retry_wait(&r)) {
			/* One last try, after which everything is decided. */
			(void)run_round(&m, moves, n, true);
			break;
		}
	}
	mover_finish(&m);
	for (size_t i = 0; i < n; i++)
		failed += moves[i].code != 0;
	return failed;
}

void quire_movable_again(struct quire *q)
{
	instance_event(q);
}

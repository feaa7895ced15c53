// SPDX-License-Identifier: MIT
#include "migrate/batch.h"

#include "core/fence.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/mem.h"

#include <errno.h>

/* So many places an owner may offer before its folio is given up; some blocks' worth of luck. */
#define LEND_TRIES 64

int mover_init(struct mover *m, struct quire *q, enum quire_mode mode)
{
	int error = may_move(q);

	memset(m, 0, sizeof(*m));
	if (error)
		return error;
	m->q = q;
	m->mode = mode;
	m->entry = mem_zalloc(BATCH_FRAMES, sizeof(*m->entry));
	m->list = mem_zalloc(BATCH_FRAMES, sizeof(struct batch_entry *));
	if (!m->entry || !m->list) {
		mem_free(m->entry);
		mem_free(m->list);
		return -ENOMEM;
	}
	fetch_add(&q->ops, 1u);
	thread_self()->movers++;
	return 0;
}

void mover_finish(struct mover *m)
{
	struct thread *t = thread_self();

	t->movers--;
	fetch_sub(&m->q->ops, 1u);
	if (!t->background)
		notice(m->q, NOTICE_ENDED);
	mem_free(m->limbo);
	mem_free(m->entry);
	mem_free(m->list);
}

void mover_reset(struct mover *m)
{
	m->n = 0;
	m->frames = 0;
}

struct batch_entry *mover_add(struct mover *m, struct quire_folio *folio, struct quire_frame src,
			      struct quire_frame dst)
{
	unsigned order = quire_folio_order(folio);
	struct batch_entry *e;

	if (m->n == BATCH_FRAMES || m->frames + (1u << order) > BATCH_FRAMES)
		return NULL;
	e = &m->entry[m->n++];
	memset(e, 0, offsetof(struct batch_entry, who));
	m->frames += 1u << order;
	e->folio = folio;
	e->src = src;
	e->dst = dst;
	e->order = (uint8_t)order;
	return e;
}

static void entry_end(struct mover *m, struct batch_entry *e, enum entry_state state, int code,
		      enum quire_reason why)
{
	(void)m;
	e->state = (uint8_t)state;
	folio_describe(e->folio, why, code, &e->who);
}

static void forget_fence(struct batch_entry *e)
{
	quire_fence_put(e->fence);
	e->fence = NULL;
}

/* What the owner said to wait for counts if it is to be tried again, and is the reason then. */
static void settle_fence(struct batch_entry *e)
{
	if (!e->fence)
		return;
	if (e->state != ENTRY_AGAIN) {
		forget_fence(e);
		return;
	}
	folio_describe(e->folio, QUIRE_REASON_FENCE, -EAGAIN, &e->who);
	e->who.site = e->fence->name;
}

/* ISOLATED is the lock of movers: one wins, and the owner hears of nobody else (contract C7). */
static bool mark_isolated(struct batch_entry *e)
{
	uint64_t word = load_relaxed(&e->folio->word_);

	do {
		if (word & (QUIRE_ISOLATED_ | QUIRE_DEAD_))
			return false;
	} while (!word_step(e->folio, STEP_ISOLATE, &word, word | QUIRE_ISOLATED_));
	e->src = quire_frame(word_frame(word));
	store_relaxed(&e->folio->link_, (void *)e);
	return true;
}

static void unmark_isolated(struct batch_entry *e)
{
	store_relaxed(&e->folio->link_, NULL);
	folio_clear(e->folio, QUIRE_ISOLATED_ | QUIRE_MOVED_);
}

/* After the isolation's last op. Whoever calls it has a reference, which keeps the owner. */
static void leave(struct batch_entry *e)
{
	if (!e->entered)
		return;
	e->entered = false;
	owner_leave(e->folio->owner_);
}

static void entry_freed(struct mover *m, struct batch_entry *e)
{
	entry_end(m, e, ENTRY_FREED, 0, QUIRE_REASON_FREED);
	m->freed++;
}

/*
 * Is only the mover's own reference left? Then its owner let it go (contract X16), and the folio
 * goes here and now: dropping the reference decides, so that nobody who finds the folio just then
 * can bring it back to life after it was taken for dead.
 */
static bool let_go(struct mover *m, struct batch_entry *e)
{
	struct quire_folio *folio = e->folio;
	bool entered;

	if (!folio_put_if_last(folio))
		return false;
	if (load_relaxed(&folio->link_) == e) /* ours, isolated */
		unmark_isolated(e);
	entry_freed(m, e);
	e->folio = NULL;
	entered = e->entered;
	e->entered = false;
	folio_gone(folio, entered); /* free is the isolation's last op */
	return true;
}

/* Asks its owner. ISOLATED is set, and stays so iff the answer is 0. */
static void ask(struct mover *m, struct batch_entry *e)
{
	struct thread *t = thread_self();
	int code = owner_enter(e->folio->owner_);

	e->entered = code > 0;
	SYNC_POINT("isolate:marked", e->folio);
	if (code > 0) {
		t->isolating = e;
		code = owner_isolate(e->folio, m->mode);
		t->isolating = NULL;
	}
	if (!code) {
		forget_fence(e);
		e->state = ENTRY_ISOLATED;
		return;
	}
	SYNC_POINT("isolate:refused", e->folio);
	unmark_isolated(e);
	leave(e);
	if (code == -EAGAIN)
		entry_end(m, e, ENTRY_AGAIN, code, QUIRE_REASON_OWNER_BUSY);
	else
		entry_end(m, e, ENTRY_FAILED, code, QUIRE_REASON_VETO);
	settle_fence(e);
}

static void isolate(struct mover *m, struct batch_entry *e)
{
	const struct quire_owner *owner = e->folio->owner_;
	uint32_t expected = e->src.n;

	m->tries++;
	if (let_go(m, e))
		return;
	if (owner->ops.cheapest > m->mode && !owner_detached(owner)) {
		entry_end(m, e, ENTRY_FAILED, -EAGAIN, QUIRE_REASON_MODE);
		return;
	}
	if (!mark_isolated(e)) {
		entry_end(m, e, ENTRY_AGAIN, -EAGAIN, QUIRE_REASON_ISOLATED);
		return;
	}
	if (e->only_here && e->src.n != expected) {
		unmark_isolated(e);
		entry_freed(m, e);
		return;
	}
	ask(m, e);
	if (e->state == ENTRY_ISOLATED)
		SYNC_POINT("isolate:done", e->folio);
}

void mover_isolate(struct mover *m)
{
	size_t isolated = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (m->entry[i].state != ENTRY_PENDING)
			continue;
		isolate(m, &m->entry[i]);
		isolated += m->entry[i].state == ENTRY_ISOLATED;
	}
	count(m->q, isolated, isolated);
}

/*
 * A folio that was let go since its isolation is done with: none of its owner's ops hears of it but
 * free (contract C18 a, b, c). Looked at as late as can be: right before an op would be called.
 */
static bool ends_let_go(struct mover *m, struct batch_entry *e)
{
	if (!let_go(m, e))
		return false;
	count(m->q, freed_isolated, 1);
	return true;
}

/* Ends an isolation that did not become a move. */
void entry_putback(struct mover *m, struct batch_entry *e, enum entry_state state, int code,
		   enum quire_reason why)
{
	SYNC_POINT("putback:before", e->folio);
	if (ends_let_go(m, e))
		return;
	if (e->entered)
		owner_putback(e->folio);
	unmark_isolated(e);
	leave(e);
	count(m->q, putbacks, 1);
	if (why == QUIRE_REASON_NONE) /* who and why are known */
		e->state = (uint8_t)state;
	else
		entry_end(m, e, state, code, why);
	settle_fence(e);
}

static void dst_back(struct mover *m, struct batch_entry *e)
{
	if (quire_frame_is_none(e->dst))
		return;
	if (e->lender)
		owner_frame_back(e->lender, e->order, e->dst);
	else
		node_free(m->q->node, e->order, e->dst);
	e->dst = quire_frame(QUIRE_FRAME_NONE_N);
	e->lender = NULL;
}

/* Its own node first; where it is to stay, or to go to another, no other will do. */
static struct node_wish wish_of(const struct mover *m, const struct batch_entry *e)
{
	struct node_wish wish = { node_of(m->q->node, e->src), m->stay };

	if (e->to_node)
		wish = (struct node_wish){ e->node, true };
	return wish;
}

/*
 * A place of its owner's own. One in a block that a plan empties will not do, nor one in a wrong
 * node; the owner may have others, so what it offers is kept until it has offered something better,
 * or enough.
 */
static int borrow(struct mover *m, struct batch_entry *e)
{
	const struct node_wish wish = wish_of(m, e);
	struct quire_owner *owner = e->folio->owner_;
	struct quire_frame frame, refused[LEND_TRIES];
	unsigned n = 0;
	int error;

	for (;;) {
		error = owner_frame_get(owner, e->order, m->mode, &frame);
		if (error)
			break;
		if (!node_is_claimed(m->q->node, frame) &&
		    (!wish.only || node_of(m->q->node, frame) == wish.node)) {
			e->dst = frame;
			e->lender = owner;
			break;
		}
		refused[n++] = frame;
		if (n == LEND_TRIES)
			break;
	}
	/* It has frames, but none that will do; unless it says something else than that it has not.
	 */
	if (n && quire_frame_is_none(e->dst) && error != -EAGAIN && error != -EPROTO)
		error = -ENOSPC;
	for (unsigned i = 0; i < n; i++)
		owner_frame_back(owner, e->order, refused[i]);
	return error;
}

static void place_lent(struct mover *m, struct batch_entry *e)
{
	int error = borrow(m, e);

	if (error == -EAGAIN)
		entry_putback(m, e, ENTRY_AGAIN, error, QUIRE_REASON_OWNER_BUSY);
	else if (error)
		entry_putback(m, e, ENTRY_FAILED, error,
			      error == -EPROTO	 ? QUIRE_REASON_OWNER_PROTO
			      : error == -ENOSPC ? QUIRE_REASON_NO_PLACE
						 : QUIRE_REASON_NO_FRAMES);
}

void mover_place(struct mover *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];
		struct node_wish wish;
		int error;

		if (e->state != ENTRY_ISOLATED || !quire_frame_is_none(e->dst))
			continue;
		if (e->entered && e->folio->owner_->number) {
			place_lent(m, e);
			continue;
		}
		wish = wish_of(m, e);
		error = node_alloc(m->q->node, wish, e->order, NODE_UNCLAIMED, BLOCK_MOVABLE,
				   &e->dst);
		if (!error)
			continue;
		e->dst = quire_frame(QUIRE_FRAME_NONE_N);
		entry_putback(m, e, ENTRY_FAILED, error,
			      node_free_for(m->q->node, wish) < (1u << e->order)
				      ? QUIRE_REASON_NO_FRAMES
				      : QUIRE_REASON_NO_PLACE);
	}
}

/* After the op: what was not moved goes back, with what the op, or the scan, said of it. */
static void settle(struct mover *m, struct batch_entry *e, bool has_op, int code)
{
	if (!e->skipped && code != -EAGAIN) /* the op did not say "again" */
		forget_fence(e);
	if (e->state == ENTRY_FAILED) { /* in the copy, or the barrier */
		entry_putback(m, e, ENTRY_FAILED, 0, QUIRE_REASON_NONE);
	} else if (e->skipped) {
		entry_putback(m, e, e->who.code == -EAGAIN ? ENTRY_AGAIN : ENTRY_FAILED, 0,
			      QUIRE_REASON_NONE);
	} else if (e->pinned) {
		/* Named by the scan; a permanent code of the op says not to try again. */
		bool again = !has_op || code == 0 || code == -EAGAIN;

		if (!again)
			e->who.code = code;
		entry_putback(m, e, again ? ENTRY_AGAIN : ENTRY_FAILED, 0, QUIRE_REASON_NONE);
	} else if (code == 0) {
		entry_putback(m, e, ENTRY_FAILED, -EPROTO, QUIRE_REASON_OWNER_PROTO);
	} else if (code == -EAGAIN) {
		entry_putback(m, e, ENTRY_AGAIN, code, QUIRE_REASON_OWNER_BUSY);
	} else {
		entry_putback(m, e, ENTRY_FAILED, code,
			      code == -EBUSY ? QUIRE_REASON_OWNER_BUSY : QUIRE_REASON_OWNER_ERROR);
	}
}

/* Moves m->list[0..n), folios of one owner. */
static void migrate_group(struct mover *m, struct quire_owner *owner, size_t n)
{
	struct quire_batch *batch = &thread_self()->batch;
	bool has_op = m->list[0]->entered && owner->ops.migrate, moved = false;
	uint64_t start;
	int code;

	batch->quire = m->q;
	batch->entry = m->list;
	batch->n = n;
	batch->all = m->entry;
	batch->all_n = m->n;
	batch->mode = m->mode;
	batch->copy_ns = 0;
	batch->recopied = 0;
	batch->done = false;
	if (has_op) {
		batch->active = true;
		start = os_clock_ns();
		code = owner_migrate(owner, batch, m->list[0]->folio);
		owner_note_op(owner, os_clock_ns() - start);
		batch->active = false;
	} else {
		code = batch_commit(batch);
	}
	m->copy_ns += batch->copy_ns;
	m->bytes_recopied += batch->recopied;
	for (size_t i = 0; i < n; i++) {
		struct batch_entry *e = m->list[i];

		if (e->state != ENTRY_MOVED) {
			settle(m, e, has_op, code);
			continue;
		}
		moved = true;
		if (has_op)
			unmark_isolated(e);
		leave(e);
		m->moved++;
		m->bytes_moved += (uint64_t)QUIRE_FRAME_BYTES << e->order;
	}
	if (has_op && moved && code && code != -EAGAIN) {
		count(m->q, owner_errors, 1);
		quire_log(m->q, QUIRE_LOG_WARNING, "owner %s failed with %d after its commit",
			  owner->name, code);
	}
}

/* Room for the old places; without it nothing may move. */
static bool ensure_limbo(struct mover *m)
{
	if (!m->limbo)
		m->limbo = mem_zalloc(1, sizeof(*m->limbo) +
						 BATCH_FRAMES * sizeof(struct limbo_place));
	return m->limbo != NULL;
}

static void old_places(struct mover *m)
{
	struct limbo *limbo = m->limbo;

	limbo->n = 0;
	for (size_t i = 0; i < m->n; i++) {
		struct batch_entry *e = &m->entry[i];
		struct limbo_place *place = &limbo->place[limbo->n];

		if (e->state != ENTRY_MOVED || !e->folio || quire_frame_is_none(e->dst))
			continue;
		*place = (struct limbo_place){ .frame = e->src, .order = e->order };
		if (node_is_lent(m->q->node, e->src)) {
			place->lender = e->folio->owner_;
			fetch_add(&place->lender->folios, 1u);
		}
		limbo->n++;
		/* dst is the folio's now, which holds its owner. */
		if (e->lender)
			owner_put(e->lender);
		e->lender = NULL;
		e->dst = quire_frame(QUIRE_FRAME_NONE_N);
	}
	if (!limbo->n)
		return;
	m->limbo = NULL;
	folios_limbo(m->q, limbo);
}

void mover_migrate(struct mover *m)
{
	struct quire_owner *owner;
	size_t n;

	if (!ensure_limbo(m)) {
		for (size_t i = 0; i < m->n; i++)
			if (m->entry[i].state == ENTRY_ISOLATED)
				entry_putback(m, &m->entry[i], ENTRY_FAILED, -ENOMEM,
					      QUIRE_REASON_NO_MEMORY);
		return;
	}
	/* One owner's folios at a time, in the order of their first ones. */
	for (size_t first = 0; first < m->n; first++) {
		if (m->entry[first].state != ENTRY_ISOLATED || !m->entry[first].folio)
			continue;
		owner = m->entry[first].folio->owner_;
		n = 0;
		for (size_t i = first; i < m->n; i++) {
			struct batch_entry *e = &m->entry[i];

			if (e->state != ENTRY_ISOLATED || e->folio->owner_ != owner)
				continue;
			SYNC_POINT("migrate:before", e->folio);
			if (!ends_let_go(m, e))
				m->list[n++] = e;
		}
		if (n)
			migrate_group(m, owner, n);
	}
	old_places(m);
}

void entry_release(struct mover *m, struct batch_entry *e)
{
	dst_back(m, e);
	if (e->folio) {
		quire_folio_put(e->folio);
		e->folio = NULL;
	}
	quire_fence_put(e->fence);
	e->fence = NULL;
}

/* The entry of a folio that an op of this thread is about, or NULL. */
static struct batch_entry *entry_in_op(const struct thread *t, struct quire_folio *folio)
{
	const struct quire_batch *batch = &t->batch;
	struct batch_entry *e;

	if (t->isolating)
		return t->isolating->folio == folio ? t->isolating : NULL;
	if (!batch->active || !folio_is_ours(batch->quire->folios, folio))
		return NULL;
	/* Of a folio that is not in the batch this is somebody else's, and only compared. */
	e = load_relaxed(&folio->link_);
	if ((uintptr_t)e - (uintptr_t)batch->all >= batch->all_n * sizeof(*e) || e->folio != folio)
		return NULL;
	return folio->owner_ == batch->entry[0]->folio->owner_ ? e : NULL;
}

int quire_op_wait(struct quire_folio *folio, struct quire_fence *fence)
{
	const struct thread *t = (const struct thread *)(const void *)quire_thread_self_;
	struct batch_entry *e = t && folio && fence ? entry_in_op(t, folio) : NULL;

	if (!e || fence->quire != folio->owner_->quire)
		return -EINVAL;
	if (e->state == ENTRY_MOVED)
		return -EALREADY;
	quire_fence_get(fence);
	quire_fence_put(e->fence);
	e->fence = fence;
	return 0;
}

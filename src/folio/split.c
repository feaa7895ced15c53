// SPDX-License-Identifier: MIT
/*
 * split.c: one folio becomes several, in place (contract H-E6).
 *
 * The order of a folio stands still for whoever has a reference or a pin. So it is split only where
 * its one reference is the caller's and nothing pins it, and that is kept so while it shrinks:
 *
 *   1. descriptors for the other parts: dead, and known to nobody
 *   2. ISOLATED: no mover has it, and none gets it; owner_enter(): a detach waits for the end
 *   3. MOVING, one barrier: who pins is seen by the scan, or waits
 *   4. the count is frozen if it says one reference and no long pin: who would take one waits
 *   5. the lower order and version + 1, in one store: a view is of the whole, or of the first part
 *   6. thawed, MOVING cleared: pins and references go on, and find the order that there is now
 *   7. the owner's op. Where it refuses, the old order comes back with version + 1: who met the
 * folio in between took it for smaller than it is, which harms nobody (a mover looks again when it
 *      isolates)
 *   8. the other parts: word, tag and count, as when a folio is made; ISOLATED goes
 *
 * Nothing is copied, and the frames stay allocated all the while: the tags of those that will be
 * heads are 0 until 8, so that to everybody who looks at a frame they belong to something that is
 * being made. All that can fail comes before 8, and nothing of 2 to 7 waits for anybody.
 *
 * invariant: frozen implies MOVING, so that waiting for MOVING is enough for who would take a
 * reference.
 *
 * There is no merging of folios that live: it would end identities whose handles others may have.
 * What is merged is the place, once each part was freed and is out of sight: a folio of the old
 * order can be made there then.
 */
#include "folio/folios.h"
#include "frame/node.h"
#include "util/points.h"

#include <errno.h>

struct split {
	struct quire *q;
	struct quire_folio *folio;
	struct quire_folio **part;
	size_t parts;
	unsigned order, old; /* after and before */
	struct quire_blocker who;
};

static int refused(struct split *s, enum quire_reason why, int code)
{
	folio_describe(s->folio, why, code, &s->who);
	return code;
}

/* Gives up the first n parts, of which the folio itself is one. */
static void forget_parts(struct split *s, size_t n)
{
	while (n-- > 1) {
		descriptor_own(s->part[n], &s->q->folios->nobody, NULL);
		descriptor_put(s->q->folios, s->part[n]);
		s->part[n] = NULL;
	}
	s->part[0] = NULL;
}

static int prepare_parts(struct split *s)
{
	struct quire_folio *part;

	s->part[0] = s->folio;
	for (size_t i = 1; i < s->parts; i++) {
		part = descriptor_get(s->q->folios);
		if (!part) {
			forget_parts(s, i);
			return refused(s, QUIRE_REASON_NO_MEMORY, -ENOMEM);
		}
		if (!load_relaxed(&part->word_))
			word_step_store(part, STEP_UNBORN, QUIRE_DEAD_);
		descriptor_own(part, s->folio->owner_, quire_folio_private(s->folio));
		s->part[i] = part;
	}
	return 0;
}

static int take(struct split *s)
{
	uint64_t word = load_relaxed(&s->folio->word_);

	do {
		if (word & QUIRE_DEAD_)
			return refused(s, QUIRE_REASON_STALE, -ESTALE);
		/* Of another order: somebody else has split it since that was read. */
		if ((word & QUIRE_ISOLATED_) || word_order(word) != s->old)
			return refused(s, QUIRE_REASON_ISOLATED, -EAGAIN);
	} while (!word_step(s->folio, STEP_ISOLATE, &word, word | QUIRE_ISOLATED_));
	SYNC_POINT("split:isolated", s->folio);
	return 0;
}

static int freeze(struct split *s)
{
	uint64_t one = COUNT_REF;

	if (count_step(s->folio, COUNT_FREEZE, &one, COUNT_FROZEN))
		return 0;
	if (!COUNT_PINS(one))
		return refused(s, QUIRE_REASON_REFERENCED, -EBUSY);
	/* A pin that went between the count and its name, or is about to see MOVING, is still why.
	 */
	if (!folio_pinned_long_by(s->q, s->folio, false, &s->who))
		(void)refused(s, QUIRE_REASON_LONG_PIN, -EBUSY);
	return -EBUSY;
}

/* Steps 3 to 6: MOVING is not set before and not after. */
static int shrink(struct split *s)
{
	struct quire_folio *folio = s->folio;
	uint64_t word;
	int error;

	word_step_set(folio, STEP_MARK, QUIRE_MOVING_);
	SYNC_POINT("split:marked", folio);
	count(s->q, barriers, 1);
	error = threads_barrier();
	if (error) {
		(void)refused(s, QUIRE_REASON_BARRIER, error);
	} else if (folio_pinned_by(s->q, folio, &s->who)) {
		error = -EBUSY;
	} else {
		SYNC_POINT("split:scanned", folio);
		error = freeze(s);
	}
	if (!error) {
		SYNC_POINT("split:frozen", folio);
		word = load_relaxed(&folio->word_);
		/* Others may still raise WAITERS. */
		while (!word_step(
			folio, STEP_SPLIT, &word,
			word - ((uint64_t)(s->old - s->order) << QUIRE_WORD_ORDER_SHIFT_) +
				QUIRE_WORD_VERSION_ONE_))
			;
		SYNC_POINT("split:shrunk", folio);
		count_step_add(folio, COUNT_THAW, COUNT_REF - COUNT_FROZEN);
	}
	folio_clear(folio, QUIRE_MOVING_);
	return error;
}

/* Step 7: entered. */
static int ask(struct split *s)
{
	struct quire_folio *folio = s->folio;
	uint64_t word;
	int error;

	SYNC_POINT("split:asking", folio);
	error = owner_split(s->part, s->parts);
	if (!error)
		return 0;
	word = load_relaxed(&folio->word_);
	while (!word_step(folio, STEP_UNSPLIT, &word,
			  word + ((uint64_t)(s->old - s->order) << QUIRE_WORD_ORDER_SHIFT_) +
				  QUIRE_WORD_VERSION_ONE_))
		;
	return refused(s, QUIRE_REASON_VETO, error);
}

/* Step 8. */
static void give_birth(struct split *s)
{
	uint32_t at = quire_folio_frame(s->folio).n;

	/* Lent frames are so each by itself; each part holds the owner as any folio does. */
	fetch_add(&s->folio->owner_->folios, s->parts - 1);
	fetch_add(&s->q->folios->live, s->parts - 1);
	count(s->q, folios_created, s->parts - 1);
	for (size_t i = 1; i < s->parts; i++) {
		SYNC_POINT("split:birth", s->part[i]);
		folio_born(s->part[i], quire_frame(at + ((uint32_t)i << s->order)), s->order);
	}
	/* No frame changed hands, but whoever remembers one folio here has to look again. */
	node_touch(s->q->node, quire_frame(at));
}

/* Steps 2 to 8. */
static int split(struct split *s)
{
	struct quire_owner *owner = s->folio->owner_;
	int error, entered;

	SYNC_POINT("split:prepared", s->folio);
	error = take(s);
	if (error)
		return error;
	entered = owner_enter(owner);
	if (entered < 0)
		error = refused(s, QUIRE_REASON_OWNER_BUSY, entered);
	else if (entered && !owner->ops.split)
		error = refused(s, QUIRE_REASON_VETO, -EOPNOTSUPP);
	if (!error)
		error = shrink(s);
	if (!error && entered)
		error = ask(s);
	if (!error)
		give_birth(s);
	folio_clear(s->folio, QUIRE_ISOLATED_);
	if (entered > 0)
		owner_leave(owner);
	return error;
}

int quire_folio_split(struct quire_folio *folio, unsigned order, struct quire_folio **parts,
		      struct quire_blocker *who)
{
	struct split s = { .folio = folio, .part = parts, .order = order };
	int error;

	if (parts)
		*parts = NULL;
	if (!folio || !parts)
		return -EINVAL;
	s.q = folio->owner_->quire;
	if (s.q->forked)
		return -ENXIO;
	if (s.q->ending)
		return -ESHUTDOWN;
	s.old = quire_folio_order(folio); /* the caller's reference keeps it */
	if (order >= s.old)
		return -EINVAL;
	s.parts = (size_t)1 << (s.old - order);
	/* The owner's op is noted in the thread's record. */
	error = thread_self() ? prepare_parts(&s) : refused(&s, QUIRE_REASON_NO_MEMORY, -ENOMEM);
	if (!error) {
		error = split(&s);
		if (error)
			forget_parts(&s, s.parts);
	}
	if (!error) {
		count(s.q, folios_split, 1);
		return 0;
	}
	count(s.q, splits_refused, 1);
	s.who.code = error;
	if (who)
		*who = s.who;
	return error;
}

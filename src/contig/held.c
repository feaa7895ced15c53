// SPDX-License-Identifier: MIT
/*
 * held.c: what stood in the way of a plan, and whether it still does. No plan is made for that:
 * each of them is looked at where it was.
 *
 * Who goes with a word: a named pin, a fence, a folio (all three by q->watched), an owner that says
 * it can be asked, a plan that ends. Who goes without one: short pins and readers, which are to pay
 * nothing, owners that were busy and named no fence, and whatever failed. For these it looks when
 * the wait has doubled, so a wait of t costs log2(t / 1 ms) looks, and ends at 2 t at the latest.
 */
#include "contig/background.h"
#include "contig/plan.h"
#include "core/fence.h"
#include "folio/folios.h"
#include "os/os.h"

#define PAUSE_FIRST_NS 1000000u
#define FREED_FIRST QUIRE_BLOCK_FRAMES
#define SAME (QUIRE_WORD_FRAME_MASK_ | QUIRE_WORD_VERSION_MASK_ | QUIRE_DEAD_)

static bool is_silent(const struct held_one *one)
{
	switch (one->why) {
	case QUIRE_REASON_LONG_PIN:
	case QUIRE_REASON_THREAD_GONE:
	case QUIRE_REASON_VETO:
	case QUIRE_REASON_POOL:
	case QUIRE_REASON_ISOLATED:
	case QUIRE_REASON_CLAIMED:
	case QUIRE_REASON_NO_FRAMES:
	case QUIRE_REASON_NO_PLACE:
	case QUIRE_REASON_MODE:
		return false;
	case QUIRE_REASON_FENCE:
		return !one->fence;
	default:
		return true;
	}
}

/* The notices that tell that it has gone. */
static uint32_t told_by(const struct held_one *one)
{
	switch (one->why) {
	case QUIRE_REASON_SHORT_PIN:
	case QUIRE_REASON_LONG_PIN:
	case QUIRE_REASON_THREAD_GONE:
	case QUIRE_REASON_RETIRED:
	case QUIRE_REASON_READER:
		return NOTICE_UNBLOCKED;
	case QUIRE_REASON_CLAIMED:
	case QUIRE_REASON_ISOLATED:
		return NOTICE_ENDED | NOTICE_UNBLOCKED;
	default:
		return NOTICE_MOVABLE | NOTICE_UNBLOCKED;
	}
}

/* The fence that a blocker names, with a reference: its site is the fence's name. */
static struct quire_fence *fence_of(const struct quire_plan *plan, const char *site)
{
	for (size_t i = 0; i < plan->fenced.held_n; i++)
		if (plan->fenced.held[i]->name == site)
			return quire_fence_get(plan->fenced.held[i]);
	return NULL;
}

static uint64_t remember(struct held *held, const struct quire_plan *plan,
			 const struct quire_blocker *who)
{
	struct held_one one = { .folio = who->folio, .frame = who->frame, .why = who->why };
	uint64_t bits = 0;

	for (uint32_t i = 0; i < held->n; i++)
		if (held->one[i].folio == one.folio && held->one[i].frame.n == one.frame.n) {
			/* The later word counts: it was said with more patience. */
			quire_fence_put(held->one[i].fence);
			held->one[i] = held->one[--held->n];
			held->all--;
			break;
		}
	if (one.folio) {
		one.word = load_acquire(&one.folio->word_);
		bits = watch_bit(one.folio);
	}
	if (one.why == QUIRE_REASON_FENCE)
		one.fence = fence_of(plan, who->site);
	if (one.fence)
		bits |= watch_bit(one.fence);
	held->listens |= told_by(&one);
	held->all++;
	if (held->n == HELD_MAX) {
		quire_fence_put(one.fence);
		return UINT64_MAX;
	}
	held->one[held->n++] = one;
	return bits;
}

static void forget(struct held *held)
{
	while (held->n)
		quire_fence_put(held->one[--held->n].fence);
	held->blocked = held->silent = false;
	held->all = 0;
	held->listens = NOTICE_FREED;
	held->look_at = UINT64_MAX;
}

static uint64_t later(uint64_t now, uint64_t ns)
{
	return now > UINT64_MAX - ns ? UINT64_MAX : now + ns;
}

void held_by(struct background *b, const struct quire_plan *plan, uint64_t now)
{
	struct held *held = &b->held;
	uint64_t watched = load_acquire(&b->q->watched);

	for (size_t i = 0; plan && i < quire_plan_blockers(plan); i++)
		watched |= remember(held, plan, quire_plan_blocker(plan, i));
	held->silent = !plan || held->all > held->n;
	for (uint32_t i = 0; i < held->n; i++)
		held->silent |= is_silent(&held->one[i]);
	__atomic_store_n(&b->q->watched, watched, __ATOMIC_SEQ_CST);
	if (!held->pause)
		held->pause = PAUSE_FIRST_NS;
	if (!held->freed)
		held->freed = FREED_FIRST;
	if (held->silent)
		held->look_at = later(now, held->pause);
	folios_tell_freed(b->q, held->freed);
}

void held_block(struct background *b)
{
	b->held.blocked = true;
}

void held_forget(struct background *b)
{
	forget(&b->held);
	__atomic_store_n(&b->q->watched, 0, __ATOMIC_SEQ_CST);
	folios_tell_freed(b->q, 0);
}

void held_reset(struct background *b)
{
	held_forget(b);
	b->held.pause = b->held.freed = 0;
}

/* Is the pin gone, of a folio that is still there? */
static bool unpinned(struct quire *q, const struct held_one *one)
{
	struct quire_folio *folio;
	struct quire_blocker who;
	bool pinned;

	if (one->why == QUIRE_REASON_RETIRED)
		return !folio_retired_pinned_at(q, one->frame, &who);
	folio = folio_get_at(q, one->frame);
	if (!folio)
		return true;
	pinned = folio == one->folio &&
		 (one->why == QUIRE_REASON_LONG_PIN ? folio_pinned_long_by(q, folio, false, &who)
						    : folio_pinned_by(q, folio, &who));
	quire_folio_put(folio);
	return !pinned;
}

#define EVENT(name) (1u << QUIRE_EVENT_##name)

/*
 * Has it gone? The silent are looked up when it is time, not before: one that comes and goes would
 * have plans made all the time. Of what cannot be looked up, the time or an event says so.
 */
static bool has_gone(struct quire *q, const struct held_one *one, uint32_t events)
{
	if (one->folio && ((load_acquire(&one->folio->word_) ^ one->word) & SAME))
		return true;
	switch (one->why) {
	case QUIRE_REASON_LONG_PIN:
		return unpinned(q, one);
	case QUIRE_REASON_SHORT_PIN:
		return events & EVENT(TIME) && unpinned(q, one);
	case QUIRE_REASON_RETIRED:
		return events & (EVENT(TIME) | EVENT(UNBLOCKED)) && unpinned(q, one);
	case QUIRE_REASON_READER:
		return events & EVENT(TIME) && !epoch_blocker(load_acquire(&quire_epoch_));
	case QUIRE_REASON_THREAD_GONE:
		return false; /* only with the folio */
	case QUIRE_REASON_CLAIMED:
	case QUIRE_REASON_ISOLATED:
		return events & EVENT(ENDED);
	case QUIRE_REASON_FENCE:
		if (one->fence && quire_fence_signaled(one->fence))
			return true;
		break;
	default:
		break;
	}
	return events & EVENT(MOVABLE) || (is_silent(one) && events & EVENT(TIME));
}

bool held_let_go(struct background *b, uint32_t events, uint64_t now)
{
	struct held *held = &b->held;
	bool in_time = held->silent && now >= held->look_at;
	bool freed = load_acquire(&b->q->freed_frames) >= held->freed;
	bool gone = freed || events & EVENT(ASKED);

	events &= ~EVENT(TIME); /* that was the policy's time, or the budget's */
	if (in_time)
		events |= EVENT(TIME);
	/* Of those that are not kept here, whatever would tell. */
	gone |= held->all > held->n && events & (EVENT(UNBLOCKED) | EVENT(TIME));
	for (uint32_t i = 0; i < held->n && !gone; i++)
		gone = has_gone(b->q, &held->one[i], events);
	/* Whether it was worth it the next plan shows; if so, held_reset(). */
	if (in_time) {
		held->pause *= 2;
		held->look_at = later(now, held->pause);
	}
	if (freed)
		held->freed *= 2;
	return gone;
}

// SPDX-License-Identifier: MIT
/*
 * folio.c: the life of a folio: creation, references, retirement.
 *
 * The freer's side of the protocol:
 *   1. the owner unlinks the folio from its index
 *   2. the count reaches 0; only then is it decided that the folio goes (contract E4, H-E1)
 *   3. DEAD and version + 1: a pin or a view from now on fails
 *   4. the owner's free op
 *   5. onto the retire list
 *   6. for a whole list: the epoch advances, one barrier; once the epoch has passed no reader knows
 *      the folio, and whoever pinned it before 3 is seen in the slots and counts
 *   7. the unpinned lose their frames and their descriptor; the pinned stay, and are named
 * Descriptors are type-stable: a stale handle always points to a descriptor, never to other memory.
 */
#include "folio/folios.h"

#include "folio/extent.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/check.h"
#include "util/mem.h"

#include <errno.h>

/* How long making a folio waits for readers: some time slices of a reader that was preempted. */
#define CREATE_WAIT_NS 20000000u
#define CREATE_FIRST_NS 20000u
#define RECLAIM_EVERY 64u /* retirements between attempts to reclaim, at least */

/* --- descriptors --- */

static struct quire_folio *descriptor_get(struct folios *folios)
{
	struct quire_folio *folio;

	if (FAULT_POINT("mem"))
		return NULL;
	pthread_mutex_lock(&folios->table_lock);
	folio = folios->free;
	if (folio)
		folios->free = load_relaxed(&folio->link_);
	else if (folios->high < folios->capacity)
		folio = &folios->table[folios->high++];
	pthread_mutex_unlock(&folios->table_lock);
	return folio;
}

static void descriptor_put(struct folios *folios, struct quire_folio *folio)
{
	pthread_mutex_lock(&folios->table_lock);
	store_relaxed(&folio->link_, (void *)folios->free);
	folios->free = folio;
	pthread_mutex_unlock(&folios->table_lock);
}

/* --- creation --- */

static int place_once(struct quire *q, const struct quire_folio_args *args,
		      struct quire_frame *frame)
{
	const struct node_wish wish = { args->node, args->node_only };

	if (!args->at_set)
		return node_alloc(q->node, wish, args->order, NODE_ANY,
				  args->pinned_long ? BLOCK_PINNED : BLOCK_MOVABLE, frame);
	*frame = args->at;
	return node_alloc_at(q->node, args->order, args->at);
}

/* Does only a reader keep something that was freed from being free? */
static bool waits_for_readers(struct folios *folios)
{
	bool waits;

	pthread_mutex_lock(&folios->reclaim_lock);
	waits = folios->waiting || folios->limbo || load_acquire(&folios->fresh);
	pthread_mutex_unlock(&folios->reclaim_lock);
	return waits;
}

/*
 * Where there is no place, what was freed may be ready by now, or as soon as a reader that was
 * preempted in its section goes on: that is waited for, briefly. Not where waiting could wait for
 * the caller itself, which is in a section, or in an op. This never moves anything.
 */
static int place(struct quire *q, const struct quire_folio_args *args, struct quire_frame *frame)
{
	int full = args->at_set ? -EBUSY : -ENOMEM, error = place_once(q, args, frame);
	const struct thread *t = thread_self();
	bool may_wait = t && !t->in_op && !t->pub.nest;
	uint64_t start = 0, now, ns = CREATE_FIRST_NS;
	uint32_t seen;

	if (error != full)
		return error;
	SYNC_POINT("create:full", q);
	if (args->order) {
		count(q, no_place, 1);
		notice(q, NOTICE_FAILED);
	}
	for (;;) {
		seen = load_acquire(&q->event);
		(void)quire_reclaim(q);
		error = place_once(q, args, frame);
		if (error != full || !may_wait || !waits_for_readers(q->folios))
			return error;
		now = os_clock_ns();
		start = start ? start : now;
		if (now - start >= CREATE_WAIT_NS)
			return error;
		SYNC_POINT("create:waiting", q);
		now = CREATE_WAIT_NS - (now - start); /* what is left */
		instance_wait(q, &seen, ns < now ? ns : now);
		ns *= 2;
	}
}

/* A place from an owner with frames of its own; 1: it has none (any more). */
static int place_of_owner(struct quire_owner *owner, const struct quire_folio_args *args,
			  struct quire_frame *frame)
{
	const struct thread *t = thread_self();
	enum quire_mode mode = t && !t->in_op && !t->pub.nest ? QUIRE_SYNC : QUIRE_ASYNC;
	int error = 1;

	if (!owner->number)
		return 1;
	if (owner_begin_anyway(owner)) {
		*frame = args->at;
		if (args->at_set) {
			error = owner_frame_at(owner, args->order, args->at);
		} else {
			error = owner_frame_get(owner, args->order, mode, frame);
			if (error == -ENOMEM) { /* what was freed may come back to it */
				(void)quire_reclaim(owner->quire);
				error = owner_frame_get(owner, args->order, mode, frame);
			}
		}
	}
	owner_leave(owner);
	return error;
}

int quire_folio_create_with(struct quire_owner *owner, const struct quire_folio_args *arguments,
			    struct quire_folio **result)
{
	struct quire_folio_args args;
	struct quire_frame frame;
	struct quire_folio *folio;
	struct folios *folios;
	struct quire *q;
	bool lent;
	int error;

	if (!result)
		return -EINVAL;
	*result = NULL;
	if (!owner || sized_copy(&args, sizeof(args), arguments) || args.order > QUIRE_MAX_ORDER)
		return -EINVAL;
	q = owner->quire;
	folios = q->folios;
	if (!args.node_set && (args.node || args.node_only))
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	if (q->ending)
		return -ESHUTDOWN;
	error = place_of_owner(owner, &args, &frame);
	lent = !error;
	if (error == 1)
		error = place(q, &args, &frame);
	if (error)
		return error;
	folio = descriptor_get(folios);
	if (!folio) {
		if (lent)
			owner_frame_back(owner, args.order, frame);
		else
			node_free(q->node, args.order, frame);
		return -ENOMEM;
	}
	/* atomic: a look (look.h) may be at the descriptor, for what it was */
	store_relaxed(&folio->owner_, owner);
	store_relaxed(&folio->pins_, NULL);
	store_relaxed(&folio->private_, args.private_data);
	store_relaxed(&folio->link_, NULL);
	if (!lent) /* else the place has it already */
		fetch_add(&owner->folios, 1u);
	fetch_add(&folios->live, 1u);
	count(q, folios_created, 1);
	/*
	 * The word first, then the tag, then the count, each a release: whoever gets a reference,
	 * be it through a stale tag or a stale handle, finds everything in place, and a move of his
	 * comes after all that is stored here. Without a count the tag leads to nothing.
	 */
	word_step_store(folio, STEP_CREATE,
			word_make(load_relaxed(&folio->word_), frame.n, args.order));
	node_set_tag(q->node, frame, folio_number(folios, folio));
	count_step_store(folio, COUNT_BORN, COUNT_REF);
	SYNC_POINT("create:counted", folio);
	*result = folio;
	return 0;
}

int quire_folio_create(struct quire_owner *owner, unsigned order, struct quire_folio **folio)
{
	return quire_folio_create_with(owner, QUIRE_FOLIO(.order = order), folio);
}

/* --- references --- */

bool quire_folio_get(struct quire_folio *folio)
{
	uint64_t c = load_relaxed(&folio->count_);

	/* The last number is never taken: one more would carry into the pins. */
	while (COUNT_REFS(c) && COUNT_REFS(c) != UINT32_MAX)
		if (count_step(folio, COUNT_GET, &c, c + COUNT_REF))
			return true;
	return false;
}

struct quire_folio *folio_peek_at(struct quire *q, struct quire_frame frame)
{
	uint32_t tag = node_tag(q->node, frame);

	return tag ? folio_from_number(q->folios, tag) : NULL;
}

struct quire_folio *folio_get_at(struct quire *q, struct quire_frame frame)
{
	struct quire_folio *folio = folio_peek_at(q, frame);
	uint64_t word;

	if (!folio || !quire_folio_get(folio))
		return NULL;
	word = load_acquire(&folio->word_);
	if (word_frame(word) == frame.n && !(word & QUIRE_DEAD_))
		return folio;
	quire_folio_put(folio);
	return NULL;
}

static void reclaim_unless_busy(struct quire *q);

/* It is due to reclaim; or every folio that goes is told. */
static __attribute__((noinline)) void retired_some(struct quire *q, const struct quire_folio *folio)
{
	struct folios *folios = q->folios;
	uint64_t frames, at = load_relaxed(&q->freed_at);

	if (at) {
		frames = 1ull << word_order(load_relaxed(&folio->word_));
		if (fetch_add(&q->freed_frames, frames) + frames >= at)
			notice(q, NOTICE_FREED);
		notice_of(q, folio);
	}
	if (load_relaxed(&folios->fresh_count) >= load_relaxed(&folios->reclaim_due))
		reclaim_unless_busy(q);
}

void folios_tell_freed(struct quire *q, uint64_t frames)
{
	struct folios *folios = q->folios;

	pthread_mutex_lock(&folios->reclaim_lock);
	__atomic_store_n(&q->freed_frames, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&q->freed_at, frames, __ATOMIC_SEQ_CST);
	__atomic_store_n(&folios->reclaim_at, frames ? 0 : folios->reclaim_due, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&folios->reclaim_lock);
}

/*
 * Under the lock. While folios that go are told, every one of them is to pass by retired_some().
 */
static void reclaim_next(struct quire *q, uint32_t due)
{
	store_relaxed(&q->folios->reclaim_due, due);
	if (!load_relaxed(&q->freed_at))
		store_relaxed(&q->folios->reclaim_at, due);
}

static void retire(struct quire *q, struct quire_folio *folio)
{
	struct folios *folios = q->folios;
	struct quire_folio *head = load_relaxed(&folios->fresh);

	do
		store_relaxed(&folio->link_, (void *)head);
	while (!compare_exchange(&folios->fresh, &head, folio));
	SYNC_POINT("retire:queued", folio);
	if (fetch_add(&folios->fresh_count, 1u) + 1 >=
	    __atomic_load_n(&folios->reclaim_at, __ATOMIC_SEQ_CST))
		retired_some(q, folio);
}

/* The count is 0: nobody else can change that, so this runs once. */
static void last_put(struct quire_folio *folio, enum quire_free_reason reason, bool entered)
{
	struct quire *q = folio->owner_->quire;
	uint64_t word;

	SYNC_POINT("put:zero", folio);
	word = load_relaxed(&folio->word_);
	while (!word_step(folio, STEP_RETIRE, &word,
			  (word | QUIRE_DEAD_) + QUIRE_WORD_VERSION_ONE_))
		;
	SYNC_POINT("put:dead", folio);
	count(q, folios_freed, 1);
	owner_free(folio, reason, entered);
	fetch_sub(&q->folios->live, 1u);
	fetch_add(&q->folios->retired, 1u);
	retire(q, folio);
}

bool folio_put_if_last(struct quire_folio *folio)
{
	uint64_t c = load_acquire(&folio->count_);

	while (COUNT_REFS(c) == 1)
		if (count_step(folio, COUNT_PUT_LAST, &c, c - COUNT_REF))
			return true;
	return false;
}

void folio_gone(struct quire_folio *folio, bool entered)
{
	last_put(folio, QUIRE_FREE_PUT, entered);
}

void quire_folio_put(struct quire_folio *folio)
{
	uint64_t c;

	if (!folio || folio->owner_->quire->forked)
		return;
	c = load_relaxed(&folio->count_);
	do {
		if (!COUNT_REFS(c)) { /* one put too many: told, and otherwise without effect */
			quire_log(folio->owner_->quire, QUIRE_LOG_ERROR,
				  "a reference to a dead folio of %s was dropped",
				  folio->owner_->name);
			return;
		}
	} while (!count_step(folio, COUNT_PUT, &c, c - COUNT_REF));
	if (COUNT_REFS(c) == 1)
		last_put(folio, QUIRE_FREE_PUT, false);
}

/* --- reclaiming --- */

static void release_frames(struct quire *q, struct quire_folio *folio)
{
	uint64_t word = load_relaxed(&folio->word_);
	struct quire_frame frame = quire_frame(word_frame(word));
	struct quire_owner *owner = folio->owner_;

	store_relaxed(&folio->owner_, &q->folios->nobody);
	if (node_is_lent(q->node, frame)) {
		owner_frame_back(owner, word_order(word), frame);
	} else {
		node_free(q->node, word_order(word), frame);
		owner_put(owner);
	}
	descriptor_put(q->folios, folio);
	fetch_sub(&q->folios->retired, 1u);
}

static void release(struct quire *q, struct quire_folio *folio, struct returns *returns)
{
	SYNC_POINT("retire:freeing", folio);
	node_set_tag(q->node, quire_folio_frame(folio), 0);
	if (folio->owner_->number) { /* perhaps with an op: later */
		store_relaxed(&folio->link_, (void *)returns->folio);
		returns->folio = folio;
	} else {
		release_frames(q, folio);
	}
}

/* What goes back to owners; frame_put is an op, so no lock is held. */
static void give_back(struct quire *q, struct returns *returns)
{
	struct quire_folio *folio;
	struct limbo *limbo;

	while ((folio = returns->folio)) {
		returns->folio = load_relaxed(&folio->link_);
		SYNC_POINT("return:folio", folio);
		release_frames(q, folio);
	}
	while ((limbo = returns->limbo)) {
		returns->limbo = limbo->next;
		for (size_t i = 0; i < limbo->n; i++) {
			owner_frame_back(limbo->place[i].lender, limbo->place[i].order,
					 limbo->place[i].frame);
			fetch_sub(&q->folios->limbo_frames, 1u << limbo->place[i].order);
		}
		mem_free(limbo);
	}
}

static int by_address(const void *a, const void *b)
{
	const struct quire_folio *x = *(struct quire_folio *const *)a;
	const struct quire_folio *y = *(struct quire_folio *const *)b;

	return (x > y) - (x < y);
}

int hazards_gather(struct hazards *h)
{
	struct quire_folio *folio, **grown;

	h->n = 0;
	for_each_thread(t)
	{
		for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++) {
			/* acquire: what was read or stored under a pin that is gone is done */
			folio = load_acquire(&t->pub.slot[i].folio);
			if (!folio || folio == SLOT_HOLE)
				continue;
			grown = mem_grow(h->folio, &h->capacity, h->n + 1,
					 sizeof(struct quire_folio *));
			if (!grown)
				return -ENOMEM;
			h->folio = grown;
			h->folio[h->n++] = folio;
		}
	}
	if (h->n)
		qsort(h->folio, h->n, sizeof(struct quire_folio *), by_address);
	return 0;
}

bool hazards_have(const struct hazards *h, const struct quire_folio *folio)
{
	return h->n && bsearch(&folio, h->folio, h->n, sizeof(struct quire_folio *), by_address);
}

void hazards_finish(struct hazards *h)
{
	mem_free(h->folio);
	memset(h, 0, sizeof(*h));
}

/* Frees what on the list is unpinned; the rest becomes, or stays, held. */
static void release_list(struct quire *q, struct quire_folio *list, const struct hazards *h,
			 struct returns *returns)
{
	struct folios *folios = q->folios;
	struct quire_folio *folio;

	while (list) {
		folio = list;
		list = load_relaxed(&folio->link_);
		if (COUNT_PINS(load_acquire(&folio->count_)) || hazards_have(h, folio)) {
			store_relaxed(&folio->link_, (void *)folios->held);
			folios->held = folio;
			folios->held_count++;
		} else {
			release(q, folio, returns);
		}
	}
}

/* So many places ahead their blocks are asked for: a free takes less than a cache miss. */
#define LIMBO_AHEAD 8u

static void limbo_free(struct quire *q, struct limbo *limbo, struct returns *returns)
{
	size_t lent = 0, frames = 0;

	for (size_t i = 0; i < limbo->n; i++) {
		struct limbo_place place = limbo->place[i];

		if (i + LIMBO_AHEAD < limbo->n)
			node_prefetch(q->node, limbo->place[i + LIMBO_AHEAD].frame);
		if (place.lender) {
			limbo->place[lent++] = place;
			continue;
		}
		node_free(q->node, place.order, place.frame);
		frames += 1u << place.order;
	}
	fetch_sub(&q->folios->limbo_frames, frames);
	limbo->n = lent;
	if (!lent) {
		mem_free(limbo);
		return;
	}
	limbo->next = returns->limbo;
	returns->limbo = limbo;
}

static void limbo_reclaim(struct quire *q, struct returns *returns)
{
	struct limbo **at = &q->folios->limbo, *limbo;

	const uint64_t oldest = epoch_oldest();

	while ((limbo = *at)) {
		if (oldest < limbo->target) {
			at = &limbo->next;
			continue;
		}
		*at = limbo->next;
		limbo_free(q, limbo, returns);
	}
}

static void reclaim_locked(struct quire *q, struct returns *returns)
{
	struct folios *folios = q->folios;
	struct quire_folio *list;
	struct hazards h = { 0 };

	if (folios->limbo && !threads_barrier())
		limbo_reclaim(q, returns);
	store_relaxed(&folios->fresh_count, 0);
	if (!folios->waiting && !folios->held && !load_acquire(&folios->fresh))
		return;
	for (int pass = 0; pass < 2; pass++) {
		if (!folios->waiting) {
			folios->waiting = exchange(&folios->fresh, NULL);
			folios->target = epoch_advance();
		}
		count(q, barriers, 1);
		if (threads_barrier() || !epoch_passed(folios->target) || hazards_gather(&h))
			break;
		list = folios->waiting;
		folios->waiting = NULL;
		release_list(q, list, &h, returns);
		list = folios->held;
		folios->held = NULL;
		folios->held_count = 0;
		release_list(q, list, &h, returns);
		if (!load_acquire(&folios->fresh))
			break;
	}
	hazards_finish(&h);
	/* Looking at what is held again costs no put more than a look at four of them. */
	reclaim_next(q, folios->held_count / 4 > RECLAIM_EVERY ? (uint32_t)(folios->held_count / 4)
							       : RECLAIM_EVERY);
}

/*
 * For a put, which does not sleep: whoever reclaims now does it for this one too, or a later put.
 */
static void reclaim_unless_busy(struct quire *q)
{
	struct returns returns = { 0 };

	if (pthread_mutex_trylock(&q->folios->reclaim_lock))
		return;
	reclaim_locked(q, &returns);
	pthread_mutex_unlock(&q->folios->reclaim_lock);
	give_back(q, &returns);
}

/* Waits for one that runs: what that one frees is not "no memory" or "busy" for the caller. */
size_t quire_reclaim(struct quire *q)
{
	struct folios *folios = q->folios;
	struct returns returns = { 0 };

	if (q->forked)
		return 0;
	pthread_mutex_lock(&folios->reclaim_lock);
	reclaim_locked(q, &returns);
	pthread_mutex_unlock(&folios->reclaim_lock);
	give_back(q, &returns);
	return (size_t)(load_acquire(&folios->retired) + load_acquire(&folios->limbo_frames));
}

bool folio_retired_pinned_at(struct quire *q, struct quire_frame frame, struct quire_blocker *who)
{
	struct quire_folio *folio;
	bool pinned = false;

	/* Retired folios are released under this lock alone, so this one stays while we look. */
	pthread_mutex_lock(&q->folios->reclaim_lock);
	folio = folio_peek_at(q, frame);
	if (folio && (load_acquire(&folio->word_) & QUIRE_DEAD_) &&
	    quire_folio_frame(folio).n == frame.n)
		pinned = folio_pinned_by(q, folio, who);
	pthread_mutex_unlock(&q->folios->reclaim_lock);
	if (pinned) {
		who->frame = frame;
		who->why = QUIRE_REASON_RETIRED;
		who->reason = quire_reason_text(who->why);
	}
	return pinned;
}

void folios_limbo(struct quire *q, struct limbo *limbo)
{
	struct folios *folios = q->folios;
	struct returns returns = { 0 };
	size_t frames = 0;

	for (size_t i = 0; i < limbo->n; i++)
		frames += 1u << limbo->place[i].order;
	fetch_add(&folios->limbo_frames, frames);
	limbo->target = epoch_advance();
	count(q, barriers, 1);
	/*
	 * Without the barrier an entering reader's epoch may still be on its way to us, so the
	 * epoch may not be trusted: then the next one, with a barrier of its own, counts.
	 */
	pthread_mutex_lock(&folios->reclaim_lock);
	if (!threads_barrier() && epoch_passed(limbo->target)) {
		limbo_free(q, limbo, &returns);
	} else {
		limbo->next = folios->limbo;
		folios->limbo = limbo;
	}
	pthread_mutex_unlock(&folios->reclaim_lock);
	give_back(q, &returns);
}

bool folios_settle(struct quire *q, uint64_t deadline)
{
	uint32_t seen = load_acquire(&q->event);
	uint64_t ns = 10000, now;

	for (;;) {
		(void)quire_reclaim(q);
		if (!load_acquire(&q->folios->limbo_frames))
			return true;
		now = os_clock_ns();
		if (now >= deadline) {
			count(q, stuck_readers, 1);
			return false;
		}
		/* Readers leave without a word; this is a poll, with a growing pause. */
		instance_wait(q, &seen, ns < deadline - now ? ns : deadline - now);
		if (ns < 1000000)
			ns *= 2;
	}
}

/* --- the whole structure --- */

static const char *folio_validate(struct quire *q, struct quire_folio *folio, uint64_t *frames)
{
	uint64_t word = load_acquire(&folio->word_);
	struct quire_frame frame = quire_frame(word_frame(word));
	bool live = COUNT_REFS(load_acquire(&folio->count_)) != 0;
	bool placed = node_tag(q->node, frame) == folio_number(q->folios, folio);

	if (live && (word & QUIRE_DEAD_))
		return "a folio with references is dead";
	if (!live && !(word & QUIRE_DEAD_))
		return "a folio without references is not dead";
	if (live && !placed)
		return "a live folio is not where its word says";
	if (word & (QUIRE_MOVING_ | QUIRE_ISOLATED_ | QUIRE_MOVED_ | QUIRE_WAITERS_))
		return "a folio is still on the move";
	if (!!folio->pins_ != !!COUNT_PINS(load_acquire(&folio->count_)))
		return "a folio's named pins and their count disagree";
	if (placed)
		*frames += 1u << word_order(word);
	return NULL;
}

const char *folios_validate(struct quire *q)
{
	struct folios *folios = q->folios;
	uint64_t frames = 0, tags = 0, live = 0, retired = 0, total;
	const char *wrong = NULL;

	for (uint64_t i = 0; i < folios->high && !wrong; i++) {
		struct quire_folio *folio = &folios->table[i];
		bool placed =
			node_tag(q->node, quire_folio_frame(folio)) == folio_number(folios, folio);

		live += COUNT_REFS(load_acquire(&folio->count_)) != 0;
		retired += !COUNT_REFS(load_acquire(&folio->count_)) && placed;
		wrong = folio_validate(q, folio, &frames);
	}
	if (wrong)
		return wrong;
	total = (uint64_t)node_blocks(q->node) * QUIRE_BLOCK_FRAMES;
	for (uint64_t f = 0; f < total; f++)
		tags += node_tag(q->node, quire_frame((uint32_t)f)) != 0;
	if (tags != live + retired)
		return "there are tags of no folio";
	if (live != load_acquire(&folios->live) || retired != load_acquire(&folios->retired))
		return "the counts of folios are wrong";
	frames +=
		load_acquire(&folios->limbo_frames) + node_idle_frames(q->node) + extents_frames(q);
	if (frames + node_free_frames(q->node) != total)
		return "frames are lost, or used twice";
	wrong = extents_validate(q);
	return wrong ? wrong : node_validate(q->node);
}

/* --- the layer --- */

static int folios_init(struct quire *q)
{
	uint64_t frames = (uint64_t)node_blocks(q->node) * QUIRE_BLOCK_FRAMES;
	struct folios *folios;
	void *p = NULL;
	int error;

	error = threads_init();
	if (error)
		return error;
	folios = mem_zalloc(1, sizeof(*folios));
	if (!folios)
		return -ENOMEM;
	folios->reclaim_at = folios->reclaim_due = RECLAIM_EVERY;
	folios->nobody.quire = q;
	folios->nobody.head.base = node_base(q->node);
	memcpy(folios->nobody.name, "nobody", sizeof("nobody"));
	/* One descriptor a frame, and room for retired ones that readers keep. */
	folios->capacity = frames + frames / 8 + 4096;
	error = os_reserve(folios->capacity * sizeof(*folios->table), &p);
	if (error) {
		mem_free(folios);
		return error;
	}
	folios->table = p;
	pthread_mutex_init(&folios->table_lock, NULL);
	pthread_mutex_init(&folios->reclaim_lock, NULL);
	pthread_mutex_init(&folios->owners_lock, NULL);
	for (unsigned i = 0; i < PIN_LOCKS; i++)
		pthread_mutex_init(&folios->pin_lock[i], NULL);
	q->folios = folios;
	return 0;
}

static int folios_busy(struct quire *q)
{
	struct quire_folio *folio;
	struct thread *self = thread_self();
	uint64_t pins;

	if (self && self->in_op)
		return -EDEADLK;
	pins = load_acquire(&q->folios->pins);
	if (pins && pins != pins_gone(q)) /* nobody is left to release those that are gone */
		return -EBUSY;
	for_each_thread(t)
	{
		if (load_acquire(&t->gone))
			continue;
		for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++) {
			folio = load_acquire(&t->pub.slot[i].folio);
			if (folio && folio_is_ours(q->folios, folio))
				return -EBUSY;
		}
	}
	return 0;
}

/* Whatever still has references is told that it goes, then all of it goes. */
static void folios_finish(struct quire *q)
{
	struct folios *folios = q->folios;
	struct quire_owner *owner, *next;
	struct limbo *limbo;

	q->ending = 1;
	for (uint64_t i = 0; !q->forked && i < folios->high; i++) {
		struct quire_folio *folio = &folios->table[i];

		if (!COUNT_REFS(load_acquire(&folio->count_)))
			continue;
		count_step_store(folio, COUNT_END, 0);
		last_put(folio, QUIRE_FREE_DESTROY, false);
	}
	while ((limbo = folios->limbo)) {
		folios->limbo = limbo->next;
		mem_free(limbo);
	}
	if (!q->forked)
		pins_forget(q);
	threads_forget(folios->table, folios->table + folios->capacity);
	for (owner = folios->owners; owner; owner = next) {
		next = owner->next;
		mem_free(owner);
	}
	mem_free(folios->lender);
	for (unsigned i = 0; i < PIN_LOCKS; i++)
		pthread_mutex_destroy(&folios->pin_lock[i]);
	pthread_mutex_destroy(&folios->owners_lock);
	pthread_mutex_destroy(&folios->reclaim_lock);
	pthread_mutex_destroy(&folios->table_lock);
	os_unmap(folios->table, folios->capacity * sizeof(*folios->table));
	mem_free(folios);
	q->folios = NULL;
}

const struct quire_layer folios_layer = {
	.init = folios_init,
	.finish = folios_finish,
	.busy = folios_busy,
};

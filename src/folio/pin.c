// SPDX-License-Identifier: MIT
/*
 * pin.c: what of pinning is not inline, named pins, and telling who holds what.
 *
 * A named pin's protocol is that of a short one with the count in place of the slot:
 *   1. onto the folio's list, so that whoever sees the count finds the name
 *   2. count + 1 (seq_cst)
 *   3. the word (seq_cst): MOVING -> take it back and wait; DEAD -> take it back, -ESTALE
 * The mover sets MOVING (seq_cst) and then reads the count: one of the two sees the other.
 */
#include "folio/folios.h"
#include "os/os.h"
#include "util/mem.h"

#include <errno.h>

#define SPINS 64
#define WAIT_NS 10000000u /* looks again after this long even if nobody wakes it */

static pthread_mutex_t *pin_lock(struct folios *folios, const struct quire_folio *folio)
{
	uint64_t h = folio_number(folios, folio) * 0x9e3779b97f4a7c15ull;

	return &folios->pin_lock[h >> 58];
}

/*
 * Waiters announce themselves by the WAITERS flag, so that a publication without waiters costs no
 * system call. A waiter holds no reference and no pin (contract X21). The futex compares the flags
 * and the version, so a word that changed meanwhile is never slept on.
 */
void folio_wait_moving(struct quire_folio *folio)
{
	uint64_t word;

	for (unsigned i = 0; i < SPINS; i++) {
		if (!(load_acquire(&folio->word_) & QUIRE_MOVING_))
			return;
		cpu_relax();
	}
	count(folio->owner_->quire, pin_waits, 1);
	for (;;) {
		word = load_acquire(&folio->word_);
		if (!(word & QUIRE_MOVING_))
			return;
		if (!(word & QUIRE_WAITERS_) &&
		    !word_step(folio, STEP_WAIT, &word, word | QUIRE_WAITERS_))
			continue;
		SYNC_POINT("pin:waiting", folio);
		os_futex_wait(folio_futex(folio), (uint32_t)((word | QUIRE_WAITERS_) >> 32),
			      WAIT_NS);
	}
}

void folio_clear(struct quire_folio *folio, uint64_t flags)
{
	const enum folio_step step = flags & QUIRE_MOVING_ ? STEP_UNMARK : STEP_RELEASE;
	uint64_t word = load_relaxed(&folio->word_);

	if (flags & QUIRE_MOVING_)
		flags |= QUIRE_WAITERS_;
	while (!word_step(folio, step, &word, word & ~flags))
		;
	if (word & flags & QUIRE_WAITERS_)
		os_futex_wake_all(folio_futex(folio));
}

static void long_pin_unlink(struct folios *folios, struct quire_pin *pin)
{
	pthread_mutex_t *lock = pin_lock(folios, pin->folio);

	pthread_mutex_lock(lock);
	if (pin->prev)
		pin->prev->next = pin->next;
	else
		pin->folio->pins_ = pin->next;
	if (pin->next)
		pin->next->prev = pin->prev;
	pthread_mutex_unlock(lock);
}

static int long_pin(struct quire_folio *folio, struct quire_owner *who, const char *site,
		    bool spilled, struct quire_pin **result)
{
	struct folios *folios = who->quire->folios;
	struct quire_pin *pin = mem_zalloc(1, sizeof(*pin));
	pthread_mutex_t *lock;
	uint64_t word;

	if (!pin)
		return -ENOMEM;
	pin->folio = folio;
	pin->owner = who;
	pin->site = site;
	pin->since = os_clock_coarse_ns();
	pin->tid = os_thread_id();
	pin->spilled = spilled;
	fetch_add(&who->folios, 1u);
	fetch_add(&folios->pins, 1u);
	lock = pin_lock(folios, folio);
	pthread_mutex_lock(lock);
	pin->next = folio->pins_;
	if (pin->next)
		pin->next->prev = pin;
	folio->pins_ = pin;
	pthread_mutex_unlock(lock);
	for (;;) {
		count_step_add(folio, COUNT_PIN_LONG, COUNT_PIN);
		SYNC_POINT("pin-long:counted", folio);
		word = __atomic_load_n(&folio->word_, __ATOMIC_SEQ_CST);
		if (!(word & (QUIRE_MOVING_ | QUIRE_DEAD_)))
			break;
		if (word & QUIRE_DEAD_) {
			/* The name first: without the count the descriptor may be another's. */
			long_pin_unlink(folios, pin);
			count_step_add(folio, COUNT_UNPIN, -COUNT_PIN);
			owner_put(who);
			fetch_sub(&folios->pins, 1u);
			mem_free(pin);
			return -ESTALE;
		}
		count_step_add(folio, COUNT_UNPIN, -COUNT_PIN);
		folio_wait_moving(folio);
	}
	*result = pin;
	return 0;
}

int quire_pin_long_at_(struct quire_folio *folio, struct quire_owner *who, const char *site,
		       struct quire_pin **pin)
{
	if (!pin)
		return -EINVAL;
	*pin = NULL;
	if (!folio || !who || who->quire != folio->owner_->quire)
		return -EINVAL;
	if (who->quire->forked)
		return -ENXIO;
	if (who->quire->ending)
		return -ESHUTDOWN;
	return long_pin(folio, who, site, false, pin);
}

void quire_unpin_long(struct quire_pin *pin)
{
	struct quire_folio *folio;
	struct quire *q;

	if (!pin)
		return;
	q = pin->owner->quire;
	if (q->forked)
		return;
	folio = pin->folio;
	long_pin_unlink(q->folios, pin);
	/* release, by seq_cst: what was stored under the pin is seen by the mover that reads 0 */
	count_step_add(folio, COUNT_UNPIN_LONG, -COUNT_PIN);
	owner_put(pin->owner);
	fetch_sub(&q->folios->pins, 1u);
	mem_free(pin);
	if (movers_event(q))
		notice_of(q, folio);
}

void *quire_pin_address(const struct quire_pin *pin)
{
	return quire_folio_content(pin->folio);
}

struct quire_folio *quire_pin_folio(const struct quire_pin *pin)
{
	return pin->folio;
}

/* The thread has eight pins, or there was no memory for its record: a named pin does it. */
static void *spill(struct thread *t, struct quire_folio *folio, const char *site)
{
	struct quire_pin *pin;

	if (long_pin(folio, folio->owner_, site, true, &pin))
		return NULL;
	if (t) {
		store_release(&pin->thread, t);
		t->spilled++;
	}
	count(folio->owner_->quire, spilled_pins, 1);
	return quire_pin_address(pin);
}

/* Lowers the top below the holes; above the top every slot is empty. */
static void trim_holes(struct quire_thread_ *pub)
{
	uint32_t n = pub->npins;

	while (n && load_relaxed(&pub->slot[n - 1].folio) == SLOT_HOLE)
		n--;
	pub->npins = n;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (; n < QUIRE_SHORT_PINS; n++)
		if (load_relaxed(&pub->slot[n].folio) == SLOT_HOLE)
			store_release(&pub->slot[n].folio, NULL);
}

/* Counts a slot: the one at the top, or a hole where there is none. NULL: eight pins are held. */
static struct quire_slot_ *slot_take(struct quire_thread_ *pub)
{
	if (pub->npins == QUIRE_SHORT_PINS)
		trim_holes(pub);
	if (pub->npins < QUIRE_SHORT_PINS)
		return &pub->slot[pub->npins++];
	for (uint32_t i = 0; i < QUIRE_SHORT_PINS; i++)
		if (load_relaxed(&pub->slot[i].folio) == SLOT_HOLE)
			return &pub->slot[i];
	return NULL;
}

/*
 * Empties a slot of any place. release: the mover that finds it so sees all stored under the pin.
 */
static void slot_drop(struct quire_thread_ *pub, struct quire_slot_ *slot)
{
	store_release(&slot->folio, SLOT_HOLE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	trim_holes(pub);
}

void *quire_pin_slow_(struct quire_folio *folio, const char *site)
{
	struct thread *t = thread_self();
	struct quire_slot_ *slot;
	uint64_t word;

	/* A child of fork() may have got the word in the middle of a move that it will not see end.
	 */
	if (folio->owner_->quire->forked)
		return NULL;
	for (;;) {
		word = load_acquire(&folio->word_);
		if (word & QUIRE_DEAD_)
			return NULL;
		if (word & QUIRE_MOVING_) {
			folio_wait_moving(folio);
			continue;
		}
		slot = t ? slot_take(&t->pub) : NULL;
		if (!slot)
			return spill(t, folio, site);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		store_relaxed(&slot->site, site);
		store_release(&slot->folio, folio);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (t->pub.fence)
			QUIRE_FENCE_FULL_();
		SYNC_POINT("pin:published", folio);
		word = load_acquire(&folio->word_);
		if (!(word & (QUIRE_MOVING_ | QUIRE_DEAD_)))
			return folio->owner_->head.base +
			       ((size_t)word_frame(word) << QUIRE_FRAME_SHIFT);
		slot_drop(&t->pub, slot);
	}
}

/* Not the latest pin of this thread: an older slot, or a spilled pin. */
void quire_unpin_slow_(struct quire_folio *folio)
{
	struct thread *t = thread_self();
	struct folios *folios = folio->owner_->quire->folios;
	struct quire_pin *pin = NULL;
	pthread_mutex_t *lock;
	int tid;

	if (folio->owner_->quire->forked)
		return;
	/* A spilled pin is younger than every slot: it goes first. */
	if (COUNT_PINS(load_acquire(&folio->count_))) {
		tid = os_thread_id();
		lock = pin_lock(folios, folio);
		pthread_mutex_lock(lock);
		for (pin = folio->pins_; pin; pin = pin->next)
			if (pin->spilled && pin->tid == tid && (!pin->thread || pin->thread == t))
				break;
		pthread_mutex_unlock(lock);
		if (pin) {
			if (pin->thread)
				t->spilled--;
			quire_unpin_long(pin);
			return;
		}
	}
	if (!t)
		return;
	for (uint32_t i = t->pub.npins; i-- > 0;) {
		if (load_relaxed(&t->pub.slot[i].folio) != folio)
			continue;
		slot_drop(&t->pub, &t->pub.slot[i]);
		break;
	}
}

void folio_describe(struct quire_folio *folio, enum quire_reason why, int code,
		    struct quire_blocker *who)
{
	memset(who, 0, sizeof(*who));
	who->frame = quire_folio_frame(folio);
	who->folio = folio;
	who->owner = folio->owner_->name;
	who->why = why;
	who->reason = quire_reason_text(why);
	who->site = "";
	who->code = code;
}

uint64_t slot_age(struct thread *t, unsigned i, struct quire_folio *folio, const char *site)
{
	struct pin_met *met = &t->met[i];
	uint64_t now = os_clock_coarse_ns(), since;

	if (load_relaxed(&met->folio) == folio && load_relaxed(&met->site) == site) {
		since = load_relaxed(&met->since);
		return now > since ? now - since : 0;
	}
	store_relaxed(&met->folio, folio);
	store_relaxed(&met->site, site);
	store_relaxed(&met->since, now);
	return 0;
}

void slot_describe(struct thread *t, unsigned i, struct quire_folio *folio,
		   struct quire_blocker *who)
{
	const char *site = load_relaxed(&t->pub.slot[i].site);
	bool gone = load_acquire(&t->gone);

	folio_describe(folio, gone ? QUIRE_REASON_THREAD_GONE : QUIRE_REASON_SHORT_PIN, -EAGAIN,
		       who);
	who->site = site ? site : "";
	who->thread = load_relaxed(&t->tid);
	who->age_ns = slot_age(t, i, folio, who->site);
}

static bool short_pinned_by(struct quire_folio *folio, struct quire_blocker *who)
{
	for_each_thread(t)
	{
		for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++) {
			if (load_acquire(&t->pub.slot[i].folio) != folio)
				continue;
			slot_describe(t, i, folio, who);
			return true;
		}
	}
	return false;
}

static bool pin_is_gone(const struct quire_pin *pin)
{
	struct thread *t = load_acquire(&pin->thread);

	return t && load_acquire(&t->gone);
}

uint64_t pins_gone(struct quire *q)
{
	struct folios *folios = q->folios;
	uint64_t n = 0, high;

	pthread_mutex_lock(&folios->table_lock);
	high = folios->high;
	pthread_mutex_unlock(&folios->table_lock);
	for (uint64_t i = 0; i < high; i++) {
		struct quire_folio *folio = &folios->table[i];
		pthread_mutex_t *lock = pin_lock(folios, folio);

		if (!COUNT_PINS(load_acquire(&folio->count_)))
			continue;
		pthread_mutex_lock(lock);
		for (struct quire_pin *pin = folio->pins_; pin; pin = pin->next)
			n += pin_is_gone(pin);
		pthread_mutex_unlock(lock);
	}
	return n;
}

void pins_forget(struct quire *q)
{
	struct folios *folios = q->folios;
	struct quire_pin *pin;

	for (uint64_t i = 0; i < folios->high; i++) {
		while ((pin = folios->table[i].pins_)) {
			folios->table[i].pins_ = pin->next; /* prev of the next is not looked at */
			pin->thread->spilled--;
			mem_free(pin);
		}
	}
}

static bool pin_is_fixed(const struct quire_pin *pin)
{
	return pin->spilled || pin->owner != pin->folio->owner_ || !pin->owner->ops.migrate ||
	       owner_detached(pin->owner);
}

static enum quire_reason pin_why(const struct quire_pin *pin)
{
	if (pin_is_gone(pin))
		return QUIRE_REASON_THREAD_GONE;
	return pin->spilled ? QUIRE_REASON_SHORT_PIN : QUIRE_REASON_LONG_PIN;
}

void pins_lock(struct quire *q, const struct quire_folio *folio)
{
	pthread_mutex_lock(pin_lock(q->folios, folio));
}

void pins_unlock(struct quire *q, const struct quire_folio *folio)
{
	pthread_mutex_unlock(pin_lock(q->folios, folio));
}

/* Atomic, since a folio that is made anew starts its list without the lock. */
const struct quire_pin *pins_first(const struct quire_folio *folio)
{
	return load_acquire(&folio->pins_);
}

void pin_look(const struct quire_pin *pin, struct pin_look *look)
{
	look->why = pin_why(pin);
	look->fixed = pin_is_fixed(pin);
}

bool folio_pinned_long_by(struct quire *q, struct quire_folio *folio, bool fixed_only,
			  struct quire_blocker *who)
{
	pthread_mutex_t *lock;
	struct quire_pin *pin;
	uint64_t now;

	if (!COUNT_PINS(load_acquire(&folio->count_)))
		return false;
	lock = pin_lock(q->folios, folio);
	pthread_mutex_lock(lock);
	for (pin = folio->pins_; pin; pin = pin->next)
		if (!fixed_only || pin_is_fixed(pin))
			break;
	if (pin) {
		now = os_clock_coarse_ns();
		folio_describe(folio, pin_why(pin), -EAGAIN, who);
		who->owner = pin->owner->name;
		who->site = pin->site;
		who->thread = pin->tid;
		who->age_ns = now > pin->since ? now - pin->since : 0;
	}
	pthread_mutex_unlock(lock);
	return pin != NULL;
}

bool folio_pinned_by(struct quire *q, struct quire_folio *folio, struct quire_blocker *who)
{
	return folio_pinned_long_by(q, folio, false, who) || short_pinned_by(folio, who);
}

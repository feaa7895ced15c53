// SPDX-License-Identifier: MIT
#include "folio/look.h"

#include "folio/extent.h"
#include "frame/node.h"
#include "os/os.h"

#include <stdlib.h>
#include <string.h>

#define CLOCK_EVERY 64u	    /* blocks between looks at the clock */
#define PINS_A_FOLIO 65536u /* more than that is no list that a look walks under a lock */

/* --- owners --- */

static int by_id(const void *a, const void *b)
{
	const struct look_owner *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static void owners_copy(struct quire *q, struct look *look)
{
	struct folios *folios = q->folios;

	pthread_mutex_lock(&folios->owners_lock);
	for (const struct quire_owner *o = folios->owners; o; o = o->next) {
		if (look->owners == LOOK_OWNERS) {
			look->owners_left++;
			continue;
		}
		look->owner[look->owners].id = o;
		memcpy(look->owner[look->owners++].name, o->name, sizeof(o->name));
	}
	pthread_mutex_unlock(&folios->owners_lock);
	qsort(look->owner, look->owners, sizeof(look->owner[0]), by_id);
}

static struct look_owner *owner_row(struct look *look, const struct quire_owner *id)
{
	size_t low = 0, high = look->owners;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (look->owner[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < look->owners && look->owner[low].id == id ? &look->owner[low] : NULL;
}

void owner_name_copy(struct quire *q, const char *name, char to[64])
{
	struct folios *folios = q->folios;

	memset(to, 0, 64);
	pthread_mutex_lock(&folios->owners_lock);
	for (const struct quire_owner *o = folios->owners; o; o = o->next)
		if (o->name == name) {
			memcpy(to, o->name, sizeof(o->name));
			break;
		}
	pthread_mutex_unlock(&folios->owners_lock);
}

/* --- holds --- */

static bool alike(const struct look_hold *a, const struct look_hold *b)
{
	return a->id == b->id && a->site == b->site && a->why == b->why && a->thread == b->thread &&
	       a->stays == b->stays;
}

static void hold_add(struct look *look, const struct look_hold *h, const char name[64])
{
	const uint32_t mask = 2 * LOOK_HOLDS - 1;
	uint64_t x = (uint64_t)(uintptr_t)h->id ^ (uint64_t)(uintptr_t)h->site << 7 ^
		     (uint64_t)(unsigned)h->thread << 32 ^ (uint64_t)h->why;
	uint32_t i = (uint32_t)((x * 0x9e3779b97f4a7c15ull) >> 40) & mask;
	struct look_hold *to;

	/* Half of the places are free at least. */
	for (; look->place[i]; i = (i + 1) & mask) {
		to = &look->hold[look->place[i] - 1];
		if (!alike(to, h))
			continue;
		to->pins++;
		to->frames += h->frames;
		if (to->age_ns < h->age_ns)
			to->age_ns = h->age_ns;
		return;
	}
	if (look->holds == LOOK_HOLDS) {
		look->holds_left++;
		return;
	}
	to = &look->hold[look->holds++];
	look->place[i] = (uint16_t)look->holds;
	*to = *h;
	to->pins = 1;
	memcpy(to->owner, name, sizeof(to->owner));
}

/* Are there any? Then they are added, each of them. */
static bool named_pins(struct quire *q, struct quire_folio *folio, unsigned order, bool dead,
		       struct look *look)
{
	uint64_t now = os_clock_coarse_ns();
	struct pin_look p;
	unsigned n = 0;

	if (!COUNT_PINS(load_acquire(&folio->count_)))
		return false;
	pins_lock(q, folio);
	for (const struct quire_pin *pin = pins_first(folio); pin && n < PINS_A_FOLIO;
	     pin = pin->next, n++) {
		struct look_hold h = {
			.id = pin->owner,
			.site = pin->site,
			.thread = pin->tid,
			.frames = 1ull << order,
			.age_ns = now > pin->since ? now - pin->since : 0,
		};

		pin_look(pin, &p);
		h.why = dead ? QUIRE_REASON_RETIRED : p.why;
		h.stays = dead || p.fixed;
		hold_add(look, &h, pin->owner->name);
	}
	pins_unlock(q, folio);
	return n != 0;
}

static void short_pin(struct quire *q, struct thread *t, unsigned i, struct look *look)
{
	struct quire_folio *folio = load_acquire(&t->pub.slot[i].folio);
	struct look_hold h = { .thread = load_relaxed(&t->tid) };
	static const char nobody[64];
	const struct look_owner *owner;
	uint64_t word;

	if (!folio || folio == SLOT_HOLE || !folio_is_ours(q->folios, folio))
		return;
	h.site = load_relaxed(&t->pub.slot[i].site);
	h.site = h.site ? h.site : "";
	h.id = load_relaxed(&folio->owner_);
	word = load_acquire(&folio->word_);
	h.frames = 1ull << word_order(word);
	h.why = word & QUIRE_DEAD_	 ? QUIRE_REASON_RETIRED
		: load_acquire(&t->gone) ? QUIRE_REASON_THREAD_GONE
					 : QUIRE_REASON_SHORT_PIN;
	h.stays = h.why == QUIRE_REASON_THREAD_GONE;
	h.age_ns = slot_age(t, i, folio, h.site);
	/* A pin that went meanwhile is none; one that came again is as good. */
	if (load_acquire(&t->pub.slot[i].folio) != folio)
		return;
	owner = owner_row(look, h.id);
	hold_add(look, &h, owner ? owner->name : nobody);
}

/* An op that runs: of an owner of this instance, or it has no row. */
static void running_op(struct thread *t, unsigned i, struct look *look)
{
	const struct quire_owner *id = load_acquire(&t->op[i].owner);
	const struct look_owner *owner = id ? owner_row(look, id) : NULL;
	const char *name = load_relaxed(&t->op[i].name);

	if (!owner || !name)
		return;
	hold_add(look,
		 &(struct look_hold){
			 .id = id,
			 .site = name,
			 .why = QUIRE_REASON_OWNER_BUSY,
			 .thread = load_relaxed(&t->tid),
		 },
		 owner->name);
}

static void threads_look(struct quire *q, struct look *look)
{
	uint64_t epoch = load_acquire(&quire_epoch_), entered;
	static const char nobody[64];

	for_each_thread(t)
	{
		if (!load_acquire(&t->used))
			continue;
		for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
			short_pin(q, t, i, look);
		for (unsigned i = 0; i < OPS_NAMED; i++)
			running_op(t, i, look);
		/* A reader in the current epoch is in nobody's way yet. */
		entered = load_acquire(&t->pub.epoch);
		if (entered && entered < epoch)
			hold_add(look,
				 &(struct look_hold){
					 .site = "",
					 .why = QUIRE_REASON_READER,
					 .thread = load_relaxed(&t->tid),
				 },
				 nobody);
	}
}

/* Under the lock of the extents, each of which keeps its owner. */
static void extent_look(const struct quire_extent *e, void *arg)
{
	uint64_t now = os_clock_coarse_ns();
	struct look *look = arg;

	hold_add(look,
		 &(struct look_hold){
			 .id = e->owner,
			 .site = e->site,
			 .why = QUIRE_REASON_EXTENT,
			 .thread = e->tid,
			 .stays = true,
			 .frames = e->frames,
			 .age_ns = now > e->since ? now - e->since : 0,
		 },
		 e->owner->name);
}

/* --- blocks --- */

static void block_look(struct quire *q, uint32_t b, struct look *look)
{
	struct look_cell *cell = &look->cell[b / look->per];
	struct node_block block;
	unsigned i = 0;

	node_look(q->node, b, &block);
	cell->used += QUIRE_BLOCK_FRAMES - block.free;
	cell->claimed += block.claim != NULL;
	while (i < QUIRE_BLOCK_FRAMES) {
		struct quire_frame frame = quire_frame(b * QUIRE_BLOCK_FRAMES + i);
		struct look_owner *owner;
		struct quire_folio *folio;
		bool dead, pinned;
		uint64_t word;

		if (!bits_test(&block.used, i++))
			continue;
		folio = folio_peek_at(q, frame);
		if (!folio)
			continue;
		word = load_acquire(&folio->word_);
		if (word_frame(word) != frame.n)
			continue;
		i += (1u << word_order(word)) - 1;
		dead = word & QUIRE_DEAD_;
		pinned = named_pins(q, folio, word_order(word), dead, look);
		cell->pinned += pinned;
		if (dead)
			continue;
		cell->folios++;
		owner = owner_row(look, load_relaxed(&folio->owner_));
		if (!owner) {
			look->other_frames += 1u << word_order(word);
			continue;
		}
		owner->folios++;
		owner->frames += 1u << word_order(word);
		owner->pinned += pinned;
	}
}

void look_around(struct quire *q, uint64_t deadline, const uint32_t *stop, struct look *look)
{
	memset(look, 0, sizeof(*look));
	owners_copy(q, look);
	threads_look(q, look);
	extents_each(q, extent_look, look);
	look->blocks = node_blocks(q->node);
	look->per = (look->blocks + LOOK_CELLS - 1) / LOOK_CELLS;
	look->cells = (look->blocks + look->per - 1) / look->per;
	for (uint32_t b = 0; b < look->blocks; b++) {
		if (b % CLOCK_EVERY == 0 && (load_relaxed(stop) || os_clock_ns() > deadline))
			break;
		block_look(q, b, look);
		look->looked++;
	}
}

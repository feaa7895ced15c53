/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <errno.h>
#include <kv/kv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "legacy.h"
#include "options.h"
#include "random.h"
#include "users.h"
#include "watch.h"

/* Steps between two looks at the progress callback; a power of two. */
#define STEP 2048u
/* Of those in use every so-manyth is ring's. */
#define RING_EACH 4u
/* As many buffers as io_uring registers at most. */
#define RING_BUFFERS 16384u

static size_t share(double pct, size_t n, size_t most)
{
	double x = floor(pct * (double)n / 100.0 + 0.5);

	return x >= (double)most ? most : (size_t)x;
}

/* Whose thing number `turn` of those in use is. */
static enum holder choose_user(struct stage *s, const struct stage_shares *shares, size_t turn,
			       const struct thing *t, uint64_t *ring_frames)
{
	bool gem = shares->owners & OWNERS_GEM, ring = shares->owners & OWNERS_RING;

	if (!ring || (gem && turn % RING_EACH))
		return HOLDER_GEM;
	s->ring_wanted++;
	if (1u << t->order > *ring_frames || s->held[HOLDER_RING] >= RING_BUFFERS)
		return gem ? HOLDER_GEM : HOLDER_KV;
	*ring_frames -= 1u << t->order;
	return HOLDER_RING;
}

/* Whose one is that nobody uses; movable counts those that Linux held to be so. */
static enum holder choose_idle(const struct stage_shares *shares, unsigned type, size_t *movable)
{
	if (shares->owners & OWNERS_GEM && (type == 0 || (type == 1 && (*movable)++ % 10 == 0)))
		return HOLDER_GEM;
	return HOLDER_KV;
}

static int choose_holders(struct stage *s, const struct layout *layout,
			  const struct stage_shares *shares)
{
	struct rng rng = { rng_mix(s->seed) };
	size_t refuse = share(shares->refuse_pct, s->n, s->n), movable = 0;
	size_t pins = share(shares->pins_pct, s->n, s->n - refuse);
	uint64_t ring_frames = shares->ring_bytes / QUIRE_FRAME_BYTES;
	uint32_t *order = malloc(s->n * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = 0; i < s->n; i++) {
		size_t j = i + rng_below(&rng, s->n - i);
		uint32_t t = order[j];
		enum holder h;

		order[j] = order[i];
		order[i] = t;
		if (i < refuse)
			h = HOLDER_LEGACY;
		else if (i < refuse + pins)
			h = choose_user(s, shares, i - refuse, &s->things[t], &ring_frames);
		else
			h = choose_idle(shares, layout->items[t].type, &movable);
		s->things[t].in_use = i < refuse + pins && (h == HOLDER_GEM || h == HOLDER_RING);
		s->in_use += s->things[t].in_use;
		if (h == HOLDER_KV && !(shares->owners & OWNERS_KV))
			h = HOLDER_FILLER;
		s->things[t].holder = (uint8_t)h;
		s->held[h]++;
	}
	free(order);
	return 0;
}

static int list_used(struct stage *s)
{
	for (unsigned h = HOLDER_GEM; h <= HOLDER_RING; h++) {
		s->used[h] = calloc(s->held[h] + 1, sizeof(*s->used[h]));
		if (!s->used[h])
			return -ENOMEM;
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->things[i].in_use)
			s->used[s->things[i].holder][s->nused[s->things[i].holder]++] = (uint32_t)i;
	return 0;
}

int stage_init(struct stage *s, const struct layout *layout, const struct stage_shares *shares)
{
	uint32_t block = 0;

	memset(s, 0, sizeof(*s));
	s->seed = shares->seed;
	s->huge = shares->huge;
	s->n = layout->n;
	s->recorded = layout->blocks;
	s->blocks = layout->blocks + (layout->blocks + 99) / 100;
	s->pages = (uint32_t)layout->live_frames;
	s->things = calloc(s->n, sizeof(*s->things));
	s->first = calloc((size_t)s->blocks + 1, sizeof(*s->first));
	s->sequence = calloc(s->pages, sizeof(*s->sequence));
	s->base = calloc(s->pages, sizeof(*s->base));
	if (!s->things || !s->first || !s->sequence || !s->base)
		goto no_memory;

	for (size_t i = 0, page = 0; i < s->n; i++) {
		const struct layout_item *item = &layout->items[i];
		struct thing *t = &s->things[i];

		t->frame = item->block * QUIRE_BLOCK_FRAMES + item->offset;
		t->order = item->order;
		t->page = (uint32_t)page;
		page += (size_t)1 << item->order;
		while (block <= item->block)
			s->first[block++] = (uint32_t)i;
	}
	while (block <= s->blocks)
		s->first[block++] = (uint32_t)s->n;

	if (choose_holders(s, layout, shares) || list_used(s))
		goto no_memory;
	return 0;

no_memory:
	stage_finish(s);
	return -ENOMEM;
}

void stage_finish(struct stage *s)
{
	free(s->things);
	free(s->first);
	free(s->sequence);
	free(s->base);
	for (unsigned h = 0; h < HOLDERS; h++)
		free(s->used[h]);
	memset(s, 0, sizeof(*s));
}

uint64_t stage_memory(const struct stage *s)
{
	uint64_t live = (uint64_t)s->pages * QUIRE_FRAME_BYTES;
	uint64_t arena = (uint64_t)s->blocks * QUIRE_BLOCK_FRAMES * QUIRE_FRAME_BYTES;

	/*
	 * a move leaves the old pages of the memory file in place, and huge ones are there as a
	 * whole; 256 bytes a folio for all books
	 */
	return (!s->huge && 2 * live < arena ? 2 * live : arena) + 256 * (uint64_t)s->n +
	       16 * (uint64_t)s->pages + arena / 256 + (32u << 20);
}

enum holder arena_holder(const struct arena *a, const struct thing *t)
{
	if (a->owners)
		return t->holder;
	return t->in_use || t->holder == HOLDER_LEGACY ? HOLDER_LEGACY : HOLDER_FILLER;
}

const char *holder_name(enum holder h)
{
	static const char *const names[HOLDERS] = { "kv", "filler", "gem", "ring", "legacy" };

	return names[h];
}

static void isolated(void *arg, uint32_t thing, struct quire_folio *folio)
{
	struct arena *a = arg;
	struct thing *t = &a->stage->things[thing];

	if (!t->folio) /* nobody but this thread writes it, and once */
		__atomic_store_n(&t->folio, folio, __ATOMIC_RELEASE);
	if (a->hooks.isolated)
		a->hooks.isolated(a->hooks.arg, thing);
}

static int make_watch(struct arena *a)
{
	const struct stage *s = a->stage;
	const struct watch_options options = {
		.frames = s->blocks * QUIRE_BLOCK_FRAMES,
		.things = s->n,
		.inject = a->hooks.inject,
		.seed = s->seed,
		.isolated = isolated,
		.arg = a,
	};
	int err = watch_begin(&options, &a->watch);

	for (size_t i = 0; i < s->n && !err; i++)
		watch_place(a->watch, s->things[i].frame, (uint32_t)i);
	return err;
}

static int make_owners(struct arena *a)
{
	const struct stage *s = a->stage;
	size_t stay = s->held[HOLDER_LEGACY] + (a->owners ? 0 : s->in_use);
	int err = a->owners ? make_watch(a) : 0;

	if (!err && a->owners)
		err = users_create(a);
	if (!err && a->owners && s->held[HOLDER_KV])
		err = kv_create(a->quire, KV_OPTIONS(.expected = s->held[HOLDER_KV]), &a->kv);
	if (!err)
		err = quire_owner_create(a->quire, "filler", NULL, NULL, &a->filler);
	if (!err)
		err = legacy_create(a->quire, "legacy", stay, &a->legacy);
	return err;
}

static void fill(const struct arena *a, const struct thing *t, char *to)
{
	for (uint32_t p = 0; p < 1u << t->order; p++)
		content_make((uint64_t *)(void *)(to + (size_t)p * CONTENT_PAGE),
			     a->stage->base[t->page + p]);
}

/* Puts thing i in place, with its content; buffer has room for the largest folio. */
static int put_in_place(struct arena *a, size_t i, size_t *units, char *buffer)
{
	struct thing *t = &a->stage->things[i];
	struct quire_frame at = quire_frame(t->frame);
	char *to;
	int err = 0;

	switch (arena_holder(a, t)) {
	case HOLDER_GEM:
	case HOLDER_RING:
		break; /* there already */
	case HOLDER_KV:
		t->folio = NULL;
		fill(a, t, buffer);
		return kv_set_at(a->kv, i, at, t->order, buffer, (size_t)CONTENT_PAGE << t->order);
	case HOLDER_LEGACY:
		t->unit = (uint32_t)(*units)++;
		err = legacy_add(a->legacy, at, t->order, &t->folio);
		break;
	default:
		err = quire_folio_create_with(a->filler,
					      QUIRE_FOLIO(.order = t->order, .at_set = 1, .at = at,
							  .private_data = (void *)(i + 1)),
					      &t->folio);
		break;
	}
	if (err)
		return err;
	to = quire_pin(t->folio);
	if (!to)
		return -ENOMEM;
	fill(a, t, to);
	quire_unpin(t->folio);
	return 0;
}

int arena_create(struct arena *a, struct stage *s, bool owners, const struct arena_hooks *hooks,
		 const struct stage_progress *progress, const char **what)
{
	size_t units = 0;
	char *buffer;
	int err;

	memset(a, 0, sizeof(*a));
	a->stage = s;
	a->owners = owners;
	if (hooks)
		a->hooks = *hooks;
	memset(s->sequence, 0, s->pages * sizeof(*s->sequence));
	for (uint32_t p = 0; p < s->pages; p++)
		s->base[p] = content_base(s->seed, p, 0);

	*what = "creating an arena";
	err = quire_create(QUIRE_OPTIONS(.arena_bytes = (uint64_t)s->blocks * QUIRE_BLOCK_FRAMES *
							QUIRE_FRAME_BYTES,
					 .backing = s->huge ? QUIRE_BACKING_2M : QUIRE_BACKING_4K),
			   &a->quire);
	if (err)
		return err;
	*what = "creating owners";
	err = make_owners(a);
	if (err)
		return err;

	*what = "laying out a folio";
	buffer = malloc((size_t)QUIRE_FRAME_BYTES << QUIRE_MAX_ORDER);
	if (!buffer)
		return -ENOMEM;
	for (size_t i = 0; i < s->n && !err; i++) {
		err = put_in_place(a, i, &units, buffer);
		if (!err && i % STEP == 0 && progress->step(progress->arg, i, s->n))
			err = -ECANCELED;
	}
	free(buffer);
	if (err || !owners)
		return err;
	*what = "binding objects";
	return users_begin(a);
}

void arena_find_again(struct arena *a)
{
	const struct stage *s = a->stage;

	for (size_t i = 0; i < s->n; i++)
		if (s->things[i].holder == HOLDER_FILLER &&
		    watch_thing_at(a->watch, s->things[i].frame) == i)
			watch_place(a->watch, s->things[i].frame, WATCH_NOTHING);
	for (size_t i = 0; i < s->n; i++)
		if (s->things[i].holder == HOLDER_FILLER)
			watch_place(a->watch, quire_folio_frame(s->things[i].folio).n, (uint32_t)i);
}

/* The order of the largest aligned free place at frame i of a block; used: its frames. */
static unsigned place_order(const bool used[QUIRE_BLOCK_FRAMES], unsigned i)
{
	unsigned order = i ? (unsigned)__builtin_ctz(i) : QUIRE_MAX_ORDER;

	for (unsigned f = 0; f < 1u << order; f++)
		while (used[i + f] && f < 1u << order)
			order--;
	return order;
}

static int warm_place(struct arena *a, uint32_t frame, unsigned order)
{
	struct quire_folio *folio;
	char *at;
	int err;

	err = quire_folio_create_with(
		a->filler, QUIRE_FOLIO(.order = order, .at_set = 1, .at = quire_frame(frame)),
		&folio);
	if (err)
		return err;
	at = quire_pin(folio);
	for (unsigned f = 0; at && f < 1u << order; f++)
		at[(size_t)f * QUIRE_FRAME_BYTES] = 1;
	if (at)
		quire_unpin(folio);
	quire_folio_put(folio);
	return at ? 0 : -ENOMEM;
}

int arena_warm(struct arena *a, const uint8_t *taken, uint64_t frames,
	       const struct stage_progress *progress)
{
	const struct stage *s = a->stage;
	bool used[QUIRE_BLOCK_FRAMES];
	uint64_t done = 0;
	int err = 0;

	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++) {
		for (uint32_t b = 0; b < s->blocks && done < frames && !err; b++) {
			if (taken[b])
				continue;
			memset(used, 0, sizeof(used));
			for (uint32_t t = s->first[b]; t < s->first[b + 1]; t++)
				memset(&used[s->things[t].frame % QUIRE_BLOCK_FRAMES], true,
				       (size_t)1 << s->things[t].order);
			for (unsigned i = 0; i < QUIRE_BLOCK_FRAMES && !err;) {
				unsigned o = used[i] ? 0 : place_order(used, i);

				if (!used[i] && o == order) {
					err = warm_place(a, b * QUIRE_BLOCK_FRAMES + i, o);
					done += 1u << o;
				}
				i += 1u << o;
			}
			if (progress->step(progress->arg, done, frames))
				err = -ECANCELED;
		}
	}
	(void)quire_reclaim(a->quire);
	return err;
}

static int verify_thing(struct arena *a, size_t i, uint64_t *wrong)
{
	const struct stage *s = a->stage;
	const struct thing *t = &s->things[i];
	enum holder h = arena_holder(a, t);
	uint64_t page[CONTENT_WORDS], base;
	const char *from = NULL;
	long n;

	if (h != HOLDER_KV) {
		from = quire_pin(t->folio);
		if (!from)
			return -ESTALE;
	}
	for (uint32_t p = 0; p < 1u << t->order; p++) {
		base = s->base[t->page + p];
		if (from) {
			*wrong += content_wrong(from + (size_t)p * CONTENT_PAGE, base, 0,
						CONTENT_PAGE);
			continue;
		}
		n = kv_read(a->kv, i, (size_t)p * CONTENT_PAGE, page, sizeof(page));
		if (n != (long)sizeof(page)) {
			*wrong += sizeof(page); /* a lost value is all wrong */
			continue;
		}
		*wrong += content_wrong(page, base, 0, sizeof(page));
	}
	if (from)
		quire_unpin(t->folio);
	return 0;
}

int arena_verify(struct arena *a, const struct stage_progress *progress, uint64_t *wrong)
{
	int err;

	for (size_t i = 0; i < a->stage->n; i++) {
		err = verify_thing(a, i, wrong);
		if (err)
			return err;
		if (i % STEP == 0 && progress->step(progress->arg, i, a->stage->n))
			return -ECANCELED;
	}
	return users_verify(a, wrong);
}

int arena_destroy(struct arena *a)
{
	int err = users_destroy(a);

	legacy_destroy(a->legacy);
	if (!err && a->kv)
		err = kv_destroy(a->kv);
	if (!err && a->quire)
		err = quire_destroy(a->quire);
	watch_end(a->watch);
	memset(a, 0, sizeof(*a));
	return err;
}

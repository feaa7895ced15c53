// SPDX-License-Identifier: MIT
/*
 * guest.c: owners that come and go. Each has all ops, refuses, asks for patience, and pins what it
 * likes; then it is detached with folios left and movers at them, and its memory is given back at
 * once: an op that still came would be seen (by a sanitizer, or by the mark). The folios outlive
 * it.
 */
#include "all.h"

#define WORKERS 2u
#define FOLIOS 40u

struct guest {
	struct all *all;
	struct quire_owner *owner;
	unsigned mark; /* MARK while it may be called */
};
#define MARK 0x600du

static struct house {
	struct guest *guest;
	struct quire_folio *folio[FOLIOS];
	struct quire_pin *pin[FOLIOS];
	uint64_t cookie[FOLIOS];
	uint64_t detached, with_folios;
} houses[WORKERS];

static struct guest *at_home(void *arg)
{
	struct guest *g = arg;

	if (SEE(&g->mark) != MARK)
		abort(); /* nothing here is to be relied on any more */
	return g;
}

static int isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	uint64_t r = all_word(quire_folio_frame(folio).n, (uint64_t)mode);

	at_home(arg);
	if (r % 16 == 0)
		return -EAGAIN;
	if (r % 16 == 1)
		return -EPERM;
	return 0;
}

static int migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct guest *g = at_home(arg);
	size_t n = quire_batch_count(batch);
	int error;

	if (n > 3 && quire_batch_skip(batch, n / 2, mode == QUIRE_ASYNC ? -EAGAIN : -EIO))
		all_wrong(g->all, "skipping");
	error = quire_move_commit(batch);
	at_home(g);
	return error;
}

static void putback(struct quire_folio *folio, void *arg)
{
	(void)folio;
	at_home(arg);
}

static void freed(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	(void)folio;
	(void)reason;
	at_home(arg);
}

static void arrive(struct all *all, struct house *h)
{
	static const struct quire_owner_ops ops = {
		.size = sizeof(ops),
		.isolate = isolate,
		.migrate = migrate,
		.putback = putback,
		.free = freed,
	};
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return;
	g->all = all;
	g->mark = MARK;
	if (all_refused(all, "quire_owner_create",
			quire_owner_create(all->q, "guest", &ops, g, &g->owner))) {
		free(g);
		return;
	}
	h->guest = g;
}

/* Goes, and leaves its folios. */
static void depart(struct all *all, struct house *h)
{
	struct guest *g = h->guest;
	int error;

	for (unsigned i = 0; i < FOLIOS; i++) {
		quire_unpin_long(h->pin[i]);
		h->pin[i] = NULL;
	}
	error = quire_owner_detach(g->owner, 60 * SEC, NULL);
	if (error)
		all_wrong(all, "detaching: %d", error);
	PUT(&g->mark, 0);
	error = quire_owner_destroy(g->owner);
	if (error)
		all_wrong(all, "destroying what was detached: %d", error);
	h->detached++;
	for (unsigned i = 0; i < FOLIOS; i++)
		if (h->folio[i]) {
			h->with_folios++;
			break;
		}
	free(g);
	h->guest = NULL;
}

static void put(struct house *h, unsigned i)
{
	quire_unpin_long(h->pin[i]);
	h->pin[i] = NULL;
	quire_folio_put(h->folio[i]);
	h->folio[i] = NULL;
}

static void touch(struct all *all, struct house *h, unsigned i, bool write)
{
	size_t bytes = quire_folio_bytes(h->folio[i]);
	void *content = quire_pin(h->folio[i]);

	if (!content) {
		all_wrong(all, "a live folio cannot be pinned");
		return;
	}
	if (write) {
		h->cookie[i]++;
		content_write(content, h->cookie[i], bytes);
	} else if (!content_is(content, h->cookie[i], bytes)) {
		all_wrong(all, "a guest's folio holds wrong bytes");
	}
	quire_unpin(h->folio[i]);
}

static void begin(struct all *all)
{
	for (unsigned i = 0; i < WORKERS; i++)
		arrive(all, &houses[i]);
}

static uint64_t work(struct worker *w, uint64_t n)
{
	struct house *h = &houses[w->number];
	struct all *all = w->all;

	n = n < 32 ? n : 32;
	for (uint64_t k = 0; k < n; k++) {
		uint64_t r = prng(&w->random);
		unsigned i = (unsigned)(r >> 32) % FOLIOS;

		if (!h->guest)
			arrive(all, h);
		if (r % 1024 == 0 && h->guest) {
			depart(all, h);
		} else if (!h->folio[i]) {
			if (h->guest &&
			    !all_refused(all, "quire_folio_create",
					 quire_folio_create(h->guest->owner, (unsigned)(r >> 8) % 5,
							    &h->folio[i])))
				touch(all, h, i, true);
			else
				h->folio[i] = NULL;
		} else if (r % 16 == 1) {
			touch(all, h, i, false);
			put(h, i);
		} else if (r % 16 == 2 && h->pin[i]) {
			quire_unpin_long(h->pin[i]);
			h->pin[i] = NULL;
		} else if (r % 64 == 3 && h->guest && !h->pin[i]) {
			if (all_refused(all, "quire_pin_long",
					quire_pin_long(h->folio[i], h->guest->owner, &h->pin[i])))
				h->pin[i] = NULL;
		} else if (r % 16 == 4) {
			all_scatter(w, h->folio[i]);
		} else {
			touch(all, h, i, r % 4 == 0);
		}
	}
	return n;
}

static void end(struct all *all)
{
	uint64_t detached = 0, with_folios = 0;

	for (unsigned w = 0; w < WORKERS; w++) {
		struct house *h = &houses[w];

		for (unsigned i = 0; i < FOLIOS; i++)
			if (h->folio[i])
				touch(all, h, i, false);
		if (h->guest)
			depart(all, h);
		for (unsigned i = 0; i < FOLIOS; i++)
			if (h->folio[i])
				put(h, i);
		detached += h->detached;
		with_folios += h->with_folios;
	}
	printf("# guests: %llu went, %llu of them with folios left\n", (unsigned long long)detached,
	       (unsigned long long)with_folios);
}

const struct role guest_role = { "guest", WORKERS, begin, work, end };

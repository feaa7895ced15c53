/* SPDX-License-Identifier: MIT */
/*
 * home.c: where values live. Folios, slots in folios, and the owner's ops.
 *
 * Invariants:
 *   folio live, of kv        <=>  its private pointer is a home with home->folio == folio
 *   home in a class's list   <=>  0 < slots used < slots of the class
 *   slots used == 0          <=>  kv's reference on the folio has been dropped
 *   home->from != NONE       <=>  isolate answered 0, and neither move, putback nor free followed
 *   isolated                  =   moved + putbacks + freed_isolated + homes with from != NONE
 *
 * The race of a free with a move. Whoever empties a home takes it off its class's list under the
 * class's lock, so nobody allocates from it again, then drops kv's only reference. If no mover has
 * the folio, the free op runs at once; else a mover holds a reference of its own, and the free op
 * runs in the mover when it drops it, after whatever it was doing. In either case nothing but the
 * free op gives the home back, so every op finds one behind the private pointer, and isolate needs
 * no veto: moving a folio without values is waste, not an error.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KV_HOMES_PER_CHUNK 64u

struct kv_home_chunk {
	struct kv_home_chunk *next;
	struct kv_home home[KV_HOMES_PER_CHUNK];
};

/*
 * Slot sizes: multiples of 64 bytes, so that slots share no cache line; those of which a whole
 * number leaves at most 256 of 4096 bytes over, and no two close together.
 */
static const uint16_t kv_class_bytes[KV_CLASSES] = {
	64, 128, 192, 256, 320, 448, 576, 768, 1024, 1344, 2048,
};

static unsigned kv_class_slots(unsigned kind)
{
	return QUIRE_FRAME_BYTES / kv_class_bytes[kind];
}

static uint64_t kv_class_full(unsigned kind)
{
	return ~0ull >> (64u - kv_class_slots(kind));
}

/* The size class of a value, or KV_KIND_OWN. len is 1 or more. */
static unsigned kv_kind_of(size_t len)
{
	unsigned kind = 0;

	while (kind < KV_CLASSES && len > kv_class_bytes[kind])
		kind++;
	return kind;
}

static unsigned kv_order_of(size_t len)
{
	unsigned order = 0;

	while (len > (size_t)QUIRE_FRAME_BYTES << order)
		order++;
	return order;
}

unsigned kv_stripe_index(void)
{
	static unsigned threads;
	static __thread unsigned mine; /* + 1 */

	if (!mine)
		mine = (__atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) % KV_STRIPES) + 1;
	return mine - 1;
}

/* The pool. */

static struct kv_home *kv_home_take(struct kv_homes *homes)
{
	struct kv_home *home;

	pthread_mutex_lock(&homes->pool_lock);
	/* acquire: pairs with the push in kv_op_free(); what is taken is complete */
	if (!homes->free)
		homes->free = __atomic_exchange_n(&homes->returned, NULL, __ATOMIC_ACQUIRE);
	if (!homes->free) {
		struct kv_home_chunk *chunk = calloc(1, sizeof(*chunk));

		if (chunk) {
			chunk->next = homes->chunks;
			homes->chunks = chunk;
			for (size_t i = KV_HOMES_PER_CHUNK; i-- > 0;) {
				chunk->home[i].from = QUIRE_FRAME_NONE_N;
				chunk->home[i].next = homes->free;
				homes->free = &chunk->home[i];
			}
		}
	}
	home = homes->free;
	if (home)
		homes->free = home->next;
	pthread_mutex_unlock(&homes->pool_lock);
	return home;
}

/* Without a lock: the free op calls it, wherever that runs. */
static void kv_home_return(struct kv_homes *homes, struct kv_home *home)
{
	struct kv_home *head = __atomic_load_n(&homes->returned, __ATOMIC_RELAXED);

	home->folio = NULL;
	do {
		home->next = head;
		/* release: the next to take it sees it as left here */
	} while (!__atomic_compare_exchange_n(&homes->returned, &head, home, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

/* The ops. */

static int kv_op_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct kv_homes *homes = arg;
	struct kv_home *home = quire_folio_private(folio);

	(void)mode;
	/* release: an accessor that sees the frame counts itself as "after the isolation" */
	if (__atomic_exchange_n(&home->from, quire_folio_frame(folio).n, __ATOMIC_ACQ_REL) !=
	    QUIRE_FRAME_NONE_N)
		kv_tally(homes->stripes, KV_N_unbalanced);
	kv_tally(homes->stripes, KV_N_isolated);
	if (homes->on_isolate)
		homes->on_isolate(homes->arg, folio);
	return 0;
}

/* The end of an isolation: which of the three ends it was is counted. */
static bool kv_isolation_ends(struct kv_homes *homes, struct kv_home *home, enum kv_tally how)
{
	if (__atomic_exchange_n(&home->from, QUIRE_FRAME_NONE_N, __ATOMIC_ACQ_REL) ==
	    QUIRE_FRAME_NONE_N)
		return false;
	kv_tally(homes->stripes, how);
	return true;
}

/*
 * kv derives nothing from addresses and holds short pins only, so there is nothing to quiesce; the
 * op is there to count, and to show its shape. The mover's reference keeps the homes behind the
 * batch until the op has returned.
 */
static int kv_op_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct kv_homes *homes = arg;
	int rc = quire_move_commit(batch);

	(void)mode;
	for (size_t i = 0; i < quire_batch_count(batch); i++) {
		struct kv_home *home;

		if (!quire_batch_moved(batch, i))
			continue;
		home = quire_folio_private(quire_batch_folio(batch, i));
		if (!kv_isolation_ends(homes, home, KV_N_moved))
			kv_tally(homes->stripes, KV_N_unbalanced);
	}
	return rc;
}

static void kv_op_putback(struct quire_folio *folio, void *arg)
{
	struct kv_homes *homes = arg;

	if (!kv_isolation_ends(homes, quire_folio_private(folio), KV_N_putbacks))
		kv_tally(homes->stripes, KV_N_unbalanced);
}

static void kv_op_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct kv_homes *homes = arg;
	struct kv_home *home = quire_folio_private(folio);

	(void)reason;
	kv_isolation_ends(homes, home, KV_N_freed_isolated);
	kv_tally(homes->stripes, KV_N_folios_freed);
	kv_home_return(homes, home);
}

static const struct quire_owner_ops kv_ops = {
	.size = sizeof(struct quire_owner_ops),
	.isolate = kv_op_isolate,
	.migrate = kv_op_migrate,
	.putback = kv_op_putback,
	.free = kv_op_free,
};

int kv_homes_init(struct kv_homes *homes, struct quire *quire, const struct kv_options *options,
		  struct kv_stripe *stripes)
{
	int rc;

	memset(homes, 0, sizeof(*homes));
	homes->stripes = stripes;
	homes->on_isolate = options->on_isolate;
	homes->arg = options->arg;
	rc = quire_owner_create(quire, options->name ? options->name : "kv", &kv_ops, homes,
				&homes->owner);
	if (rc)
		return rc;
	for (unsigned i = 0; i < KV_CLASSES; i++)
		pthread_mutex_init(&homes->classes[i].lock, NULL);
	pthread_mutex_init(&homes->pool_lock, NULL);
	return 0;
}

int kv_homes_finish(struct kv_homes *homes)
{
	struct kv_home_chunk *chunk;
	int rc = quire_owner_destroy(homes->owner);

	if (rc)
		return rc;
	while ((chunk = homes->chunks)) {
		homes->chunks = chunk->next;
		free(chunk);
	}
	for (unsigned i = 0; i < KV_CLASSES; i++)
		pthread_mutex_destroy(&homes->classes[i].lock);
	pthread_mutex_destroy(&homes->pool_lock);
	return 0;
}

/* Places. */

/* A home and its folio, with no slot used yet. */
static int kv_home_new(struct kv_homes *homes, unsigned kind, const struct quire_folio_args *folio,
		       struct kv_home **out)
{
	struct quire_folio_args args = *folio;
	struct kv_home *home = kv_home_take(homes);
	struct quire_folio *made = NULL;
	int rc;

	if (!home)
		return -ENOMEM;
	home->kind = (uint16_t)kind;
	home->used = 0;
	home->next = NULL;
	home->prev = NULL;
	__atomic_store_n(&home->keyed, 0, __ATOMIC_RELAXED);
	args.private_data = home;
	rc = quire_folio_create_with(homes->owner, &args, &made);
	if (rc) {
		kv_home_return(homes, home);
		return rc;
	}
	kv_tally(homes->stripes, KV_N_folios_created);
	home->folio = made;
	*out = home;
	return 0;
}

static void kv_partial_add(struct kv_class *class, struct kv_home *home)
{
	home->prev = NULL;
	home->next = class->partial;
	if (home->next)
		home->next->prev = home;
	class->partial = home;
}

static void kv_partial_del(struct kv_class *class, struct kv_home *home)
{
	if (home->prev)
		home->prev->next = home->next;
	else
		class->partial = home->next;
	if (home->next)
		home->next->prev = home->prev;
	home->next = NULL;
	home->prev = NULL;
}

/* The lowest free slot of the first home with one, or of a new home. */
static int kv_slot_take(struct kv_homes *homes, unsigned kind, struct kv_place *place)
{
	struct kv_class *class = &homes->classes[kind];
	struct kv_home *home;
	unsigned slot;
	int rc = 0;

	pthread_mutex_lock(&class->lock);
	home = class->partial;
	if (!home) {
		rc = kv_home_new(homes, kind, QUIRE_FOLIO(.order = 0), &home);
		if (rc)
			goto out;
		kv_partial_add(class, home);
	}
	slot = (unsigned)__builtin_ctzll(~home->used);
	home->used |= 1ull << slot;
	if (home->used == kv_class_full(kind))
		kv_partial_del(class, home);
	place->home = home;
	place->folio = home->folio;
	place->offset = slot * kv_class_bytes[kind];
out:
	pthread_mutex_unlock(&class->lock);
	return rc;
}

static void kv_slot_give(struct kv_homes *homes, const struct kv_place *place)
{
	struct kv_home *home = place->home;
	struct kv_class *class = &homes->classes[home->kind];
	bool last;

	pthread_mutex_lock(&class->lock);
	if (home->used == kv_class_full(home->kind))
		kv_partial_add(class, home);
	home->used &= ~(1ull << (place->offset / kv_class_bytes[home->kind]));
	last = home->used == 0;
	if (last)
		kv_partial_del(class, home);
	pthread_mutex_unlock(&class->lock);
	if (last)
		quire_folio_put(place->folio); /* the home is the free op's from here on */
}

static int kv_own_take(struct kv_homes *homes, unsigned kind, const struct quire_folio_args *args,
		       struct kv_place *place)
{
	int rc = kv_home_new(homes, kind, args, &place->home);

	if (rc)
		return rc;
	place->home->used = 1;
	place->folio = place->home->folio;
	place->offset = 0;
	return 0;
}

int kv_place_new(struct kv_homes *homes, size_t len, struct kv_place *place)
{
	unsigned kind;

	memset(place, 0, sizeof(*place));
	if (len == 0)
		return 0;
	kind = kv_kind_of(len);
	if (kind < KV_CLASSES)
		return kv_slot_take(homes, kind, place);
	return kv_own_take(homes, KV_KIND_OWN, QUIRE_FOLIO(.order = kv_order_of(len)), place);
}

int kv_place_new_at(struct kv_homes *homes, struct quire_frame at, unsigned order,
		    struct kv_place *place)
{
	memset(place, 0, sizeof(*place));
	return kv_own_take(homes, KV_KIND_PLACED,
			   QUIRE_FOLIO(.order = order, .at_set = 1, .at = at), place);
}

void kv_place_free(struct kv_homes *homes, const struct kv_place *place)
{
	if (!place->home)
		return;
	if (place->home->kind < KV_CLASSES) {
		kv_slot_give(homes, place);
		return;
	}
	place->home->used = 0;
	quire_folio_put(place->folio);
}

struct kv_place kv_place_of(struct quire_folio *folio, uint32_t offset)
{
	struct kv_place place = { NULL, folio, offset };

	if (folio)
		place.home = quire_folio_private(folio);
	return place;
}

bool kv_place_fits(const struct kv_place *place, size_t len)
{
	if (!place->home)
		return len == 0;
	if (place->home->kind == KV_KIND_PLACED)
		return len <= quire_folio_bytes(place->folio);
	if (len == 0 || kv_kind_of(len) != place->home->kind)
		return false;
	return place->home->kind < KV_CLASSES ||
	       kv_order_of(len) == quire_folio_order(place->folio);
}

void kv_place_set_key(const struct kv_place *place, uint64_t key)
{
	if (!place->home)
		return;
	__atomic_store_n(&place->home->key, key, __ATOMIC_RELAXED);
	/* release: who sees keyed sees a key; which of those lately stored does not matter */
	__atomic_store_n(&place->home->keyed, 1, __ATOMIC_RELEASE);
}

int kv_folio_key(const struct quire_folio *folio, uint64_t *key)
{
	const struct kv_home *home;

	home = quire_folio_private(folio);
	if (!home || !__atomic_load_n(&home->keyed, __ATOMIC_ACQUIRE))
		return -ENOENT;
	*key = __atomic_load_n(&home->key, __ATOMIC_RELAXED);
	return 0;
}

/* Validation. */

void kv_homes_validate_begin(struct kv_homes *homes)
{
	for (struct kv_home_chunk *chunk = homes->chunks; chunk; chunk = chunk->next)
		for (size_t i = 0; i < KV_HOMES_PER_CHUNK; i++)
			chunk->home[i].seen = 0;
}

int kv_homes_validate_mark(const struct kv_place *place, size_t len, const char **what)
{
	struct kv_home *home = place->home;
	uint64_t bit = 1;

	if (!home) {
		*what = "a value without a home has a length";
		return len || place->folio ? -EUCLEAN : 0;
	}
	*what = "a home is of another folio";
	if (home->folio != place->folio)
		return -EUCLEAN;
	*what = "a value reaches over the end of its place";
	if (home->kind < KV_CLASSES) {
		if (len > kv_class_bytes[home->kind] ||
		    place->offset % kv_class_bytes[home->kind] ||
		    place->offset / kv_class_bytes[home->kind] >= kv_class_slots(home->kind))
			return -EUCLEAN;
		bit <<= place->offset / kv_class_bytes[home->kind];
	} else if (place->offset || len > quire_folio_bytes(place->folio)) {
		return -EUCLEAN;
	}
	*what = "two values have one place";
	if (home->seen & bit)
		return -EUCLEAN;
	home->seen |= bit;
	return 0;
}

int kv_homes_validate_end(struct kv_homes *homes, uint64_t *folios, const char **what)
{
	size_t partial = 0, listed = 0;

	*folios = 0;
	for (struct kv_home_chunk *chunk = homes->chunks; chunk; chunk = chunk->next)
		for (size_t i = 0; i < KV_HOMES_PER_CHUNK; i++) {
			struct kv_home *home = &chunk->home[i];

			/* nothing in it: free, or about to be; the rest is the free op's */
			if (!home->used)
				continue;
			++*folios;
			*what = "slots used and values differ";
			if (!home->folio || home->used != home->seen)
				return -EUCLEAN;
			if (home->kind < KV_CLASSES && home->used != kv_class_full(home->kind))
				partial++;
		}
	*what = "a class's list is wrong";
	for (unsigned kind = 0; kind < KV_CLASSES; kind++)
		for (struct kv_home *home = homes->classes[kind].partial; home; home = home->next) {
			if (home->kind != kind || !home->used ||
			    home->used == kv_class_full(kind) ||
			    (home->next && home->next->prev != home))
				return -EUCLEAN;
			listed++;
		}
	return partial == listed ? 0 : -EUCLEAN;
}

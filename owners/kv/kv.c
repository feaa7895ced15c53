/* SPDX-License-Identifier: MIT */
/*
 * kv.c: the table. Keys to records, records to places.
 *
 * The upper bits of a key's hash choose one of 64 shards, the lower ones a bucket of the shard's
 * table. A record is one key: where its value is, how long, and a sequence that is odd while a
 * writer changes any of that or the value's bytes. All writers of a shard hold its lock.
 *
 * Invariants:
 *   a record in a chain        : key hashes to that shard and bucket; extent != GONE
 *   records in chains          =  shard->count
 *   sum of their lengths       =  shard->bytes
 *   record memory              : records for ever; given back in kv_destroy() only, as are tables
 *
 * Readers take no lock. What may go wrong under them, and how they find out:
 *
 * - The value is being written, replaced or deleted: its record's sequence is odd, or has changed
 *   when they look again after the bytes.
 * - The record was deleted and is another key's by now: the same sequence.
 * - They follow a chain that changes. A deleted record keeps its `next`, so whoever stands on it
 *   goes on to what was behind it. Only insertions reuse records, and only growing rehangs them;
 *   both bump the shard's sequence. So "absent" counts only if that was even before the walk and
 *   the same after it; "found" needs no such check, for the record itself says whose it is.
 * - The folio moves: quire_view_stale(). The folio is freed: a place is given back after no record
 *   names it, so a reader that still found it is in a section that began before, and the library
 *   keeps frames and descriptor until that section ends. A slot of a folio that lives on may be
 *   written again at once; then the record's sequence has changed before the first new byte, and
 *   the release fence in kv_store() with the acquire fence after the reader's bytes makes the
 *   reader that saw such a byte see that too.
 *
 * Orderings. A record's and a shard's fields are stored with release and loaded with acquire:
 * whoever sees a field of a change also sees the odd sequence before it (release to acquire), and
 * an acquire load is not overtaken by the load of the sequence after it. The first, odd store of a
 * sequence can be relaxed for the same reason. Stale pointers are safe: they lead to records, which
 * stay records.
 */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KV_SHARD_BITS 6u
#define KV_SHARDS (1u << KV_SHARD_BITS)
#define KV_RECORDS_PER_CHUNK 64u
#define KV_BUCKETS_MIN 8u
/* Tries before a reader takes the lock: a few times what a small write takes. */
#define KV_TRIES 64u
/* Steps along a chain between looks at the shard's sequence: chains are rehung while we walk. */
#define KV_STEPS 32u
/* How long kv_destroy() waits for movers and readers. */
#define KV_DESTROY_NS 1000000000ull

#define KV_GONE UINT64_MAX

struct kv_seq {
	uint64_t n; /* atomic; odd: a change is under way */
};

struct kv_record {
	uint64_t key;		   /* atomic */
	struct kv_seq seq;	   /* of what stands here, and of the value's bytes */
	struct kv_record *next;	   /* atomic; kept after deletion, until reused */
	struct quire_folio *folio; /* atomic; NULL: an empty value, or none */
	uint64_t extent;	   /* atomic; offset << 32 | length, or GONE */
	struct kv_record *spare;   /* next of the free ones; under the shard's lock */
};

struct kv_record_chunk {
	struct kv_record_chunk *next;
	struct kv_record record[KV_RECORDS_PER_CHUNK];
};

struct kv_table {
	struct kv_table *older; /* readers may still be in it */
	uint64_t mask;
	struct kv_record *bucket[]; /* atomic */
};

struct kv_shard {
	pthread_mutex_t lock;
	struct kv_seq seq;	/* of insertions and of growing */
	struct kv_table *table; /* atomic */
	uint64_t count;		/* atomic; written under the lock */
	uint64_t bytes;		/* atomic; written under the lock */
	struct kv_record *spare;
	struct kv_record_chunk *chunks;
} __attribute__((aligned(64)));

struct kv {
	struct quire *quire;
	bool watch;
	struct kv_homes homes;
	struct kv_shard shards[KV_SHARDS];
	struct kv_stripe stripes[KV_STRIPES];
};

static uint64_t kv_hash(uint64_t key)
{
	/* the finalizer of splitmix64 (S. Vigna) */
	key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
	key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
	return key ^ (key >> 31);
}

static struct kv_shard *kv_shard_of(struct kv *kv, uint64_t hash)
{
	return &kv->shards[hash >> (64u - KV_SHARD_BITS)];
}

static uint64_t kv_extent(uint32_t offset, size_t len)
{
	return (uint64_t)offset << 32 | (uint64_t)len;
}

static uint32_t kv_extent_offset(uint64_t extent)
{
	return (uint32_t)(extent >> 32);
}

static size_t kv_extent_len(uint64_t extent)
{
	return (size_t)(extent & UINT32_MAX);
}

/* Sequences; the caller has the shard's lock. */

static void kv_seq_begin(struct kv_seq *seq)
{
	__atomic_store_n(&seq->n, seq->n + 1, __ATOMIC_RELAXED);
}

static void kv_seq_end(struct kv_seq *seq)
{
	__atomic_store_n(&seq->n, seq->n + 1, __ATOMIC_RELEASE);
}

/* Records; the caller has the shard's lock. */

/* The link that leads to the key's record; *link is NULL where there is none. */
static struct kv_record **kv_find_locked(struct kv_shard *shard, uint64_t hash, uint64_t key)
{
	struct kv_record **link = &shard->table->bucket[hash & shard->table->mask];

	while (*link && (*link)->key != key)
		link = &(*link)->next;
	return link;
}

static struct kv_place kv_record_place(const struct kv_record *record)
{
	return kv_place_of(record->folio, kv_extent_offset(record->extent));
}

static void kv_record_set(struct kv_record *record, const struct kv_place *place, size_t len)
{
	__atomic_store_n(&record->folio, place->folio, __ATOMIC_RELEASE);
	__atomic_store_n(&record->extent, kv_extent(place->offset, len), __ATOMIC_RELEASE);
}

static void kv_count_bytes(struct kv_shard *shard, size_t more, size_t less)
{
	__atomic_store_n(&shard->bytes, shard->bytes + more - less, __ATOMIC_RELAXED);
}

/* There is a spare record afterwards. */
static int kv_record_reserve(struct kv_shard *shard)
{
	struct kv_record_chunk *chunk;

	if (shard->spare)
		return 0;
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	chunk->next = shard->chunks;
	shard->chunks = chunk;
	for (size_t i = KV_RECORDS_PER_CHUNK; i-- > 0;) {
		chunk->record[i].extent = KV_GONE;
		chunk->record[i].spare = shard->spare;
		shard->spare = &chunk->record[i];
	}
	return 0;
}

static struct kv_table *kv_table_new(uint64_t buckets)
{
	struct kv_table *table;
	size_t bytes;

	if (__builtin_mul_overflow(buckets, sizeof(void *), &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*table), &bytes))
		return NULL;
	table = calloc(1, bytes);
	if (table)
		table->mask = buckets - 1;
	return table;
}

/*
 * Twice the buckets. It stops this shard's writers, and the readers of keys that are not there,
 * for as long as rehanging takes; the other shards do not notice. Where there is no memory the
 * chains just grow longer. Old tables stay: together they are smaller than the one in use.
 */
static void kv_grow(struct kv *kv, struct kv_shard *shard)
{
	struct kv_table *old = shard->table, *table = kv_table_new((old->mask + 1) * 2);

	if (!table)
		return;
	table->older = old;
	kv_seq_begin(&shard->seq);
	for (uint64_t i = 0; i <= old->mask; i++) {
		struct kv_record *record, *next;

		for (record = old->bucket[i]; record; record = next) {
			struct kv_record **head =
				&table->bucket[kv_hash(record->key) & table->mask];

			next = record->next;
			__atomic_store_n(&record->next, *head, __ATOMIC_RELEASE);
			*head = record; /* nobody is in the new table yet */
		}
	}
	__atomic_store_n(&shard->table, table, __ATOMIC_RELEASE);
	kv_seq_end(&shard->seq);
	kv_tally(kv->stripes, KV_N_grown);
}

/* A record was reserved, and the value is in its place. */
static void kv_insert(struct kv *kv, struct kv_shard *shard, uint64_t hash, uint64_t key,
		      const struct kv_place *place, size_t len)
{
	struct kv_record *record = shard->spare, **head;

	if (shard->count > shard->table->mask)
		kv_grow(kv, shard);
	head = &shard->table->bucket[hash & shard->table->mask];
	shard->spare = record->spare;
	kv_seq_begin(&shard->seq);
	kv_seq_begin(&record->seq);
	__atomic_store_n(&record->key, key, __ATOMIC_RELEASE);
	kv_record_set(record, place, len);
	__atomic_store_n(&record->next, *head, __ATOMIC_RELEASE);
	kv_seq_end(&record->seq);
	__atomic_store_n(head, record, __ATOMIC_RELEASE);
	kv_seq_end(&shard->seq);
	__atomic_store_n(&shard->count, shard->count + 1, __ATOMIC_RELAXED);
	kv_count_bytes(shard, len, 0);
}

static void kv_remove(struct kv *kv, struct kv_shard *shard, struct kv_record **link)
{
	struct kv_record *record = *link;
	struct kv_place place = kv_record_place(record);
	size_t len = kv_extent_len(record->extent);

	__atomic_store_n(link, record->next, __ATOMIC_RELEASE);
	kv_seq_begin(&record->seq);
	__atomic_store_n(&record->folio, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&record->extent, KV_GONE, __ATOMIC_RELEASE);
	kv_seq_end(&record->seq);
	record->spare = shard->spare;
	shard->spare = record;
	__atomic_store_n(&shard->count, shard->count - 1, __ATOMIC_RELAXED);
	kv_count_bytes(shard, 0, len);
	kv_place_free(&kv->homes, &place);
}

/* Storing. */

/*
 * Stores bytes into a place, under a short pin: that is why no move loses them. record is the one
 * that names the place, or NULL while none does; it gets the length len together with the bytes.
 * The pin comes first: it may wait, and it may fail, and readers are held up by neither.
 */
static int kv_store(struct kv *kv, struct kv_record *record, const struct kv_place *place,
		    size_t offset, const void *bytes, size_t n, size_t len)
{
	char *address = NULL;

	if (place->folio) {
		address = quire_pin(place->folio);
		if (!address)
			return -ENOMEM;
		kv_tally(kv->stripes, KV_N_pins);
		if (kv->watch && kv_home_moving(place->folio, quire_folio_frame(place->folio)))
			kv_tally(kv->stripes, KV_N_writes_moving);
	}
	if (record)
		kv_seq_begin(&record->seq);
	if (address && n) {
		/* the odd sequence, and whatever freed this place before, before the bytes; pairs
		 * with the acquire fence of kv_try() */
		kv_fence_release();
		quire_write_bytes(address + place->offset + offset, bytes, n);
	}
	if (record) {
		__atomic_store_n(&record->extent, kv_extent(place->offset, len), __ATOMIC_RELEASE);
		kv_seq_end(&record->seq);
	}
	if (address)
		quire_unpin(place->folio);
	return 0;
}

/*
 * A value into a fresh place, and the key to it: inserted, or its old place given back. When it
 * fails the place is given back.
 */
static int kv_set_place(struct kv *kv, struct kv_shard *shard, uint64_t hash, uint64_t key,
			struct kv_record *record, const struct kv_place *place, const void *value,
			size_t len)
{
	struct kv_place old;
	size_t old_len;
	int rc = 0;

	if (!record)
		rc = kv_record_reserve(shard);
	if (!rc)
		rc = kv_store(kv, NULL, place, 0, value, len, len);
	if (rc) {
		kv_place_free(&kv->homes, place);
		return rc;
	}
	kv_place_set_key(place, key);
	if (!record) {
		kv_insert(kv, shard, hash, key, place, len);
		return 0;
	}
	old = kv_record_place(record);
	old_len = kv_extent_len(record->extent);
	kv_seq_begin(&record->seq);
	kv_record_set(record, place, len);
	kv_seq_end(&record->seq);
	kv_count_bytes(shard, len, old_len);
	kv_place_free(&kv->homes, &old);
	return 0;
}

int kv_set(struct kv *kv, uint64_t key, const void *value, size_t len)
{
	uint64_t hash = kv_hash(key);
	struct kv_shard *shard = kv_shard_of(kv, hash);
	struct kv_record *record;
	struct kv_place place;
	int rc;

	if (len > KV_VALUE_MAX)
		return -E2BIG;
	if (!value && len)
		return -EINVAL;
	pthread_mutex_lock(&shard->lock);
	record = *kv_find_locked(shard, hash, key);
	if (record) {
		place = kv_record_place(record);
		if (kv_place_fits(&place, len)) {
			size_t old_len = kv_extent_len(record->extent);

			rc = kv_store(kv, record, &place, 0, value, len, len);
			if (!rc) {
				kv_place_set_key(&place, key);
				kv_count_bytes(shard, len, old_len);
			}
			goto out;
		}
	}
	rc = kv_place_new(&kv->homes, len, &place);
	if (!rc)
		rc = kv_set_place(kv, shard, hash, key, record, &place, value, len);
out:
	if (!rc)
		kv_tally(kv->stripes, KV_N_writes);
	pthread_mutex_unlock(&shard->lock);
	return rc;
}

int kv_set_at(struct kv *kv, uint64_t key, struct quire_frame at, unsigned order, const void *value,
	      size_t len)
{
	uint64_t hash = kv_hash(key);
	struct kv_shard *shard = kv_shard_of(kv, hash);
	struct kv_record *record;
	struct kv_place place;
	int rc;

	if (order > QUIRE_MAX_ORDER || (!value && len))
		return -EINVAL;
	if (len > (size_t)QUIRE_FRAME_BYTES << order)
		return -E2BIG;
	pthread_mutex_lock(&shard->lock);
	record = *kv_find_locked(shard, hash, key);
	rc = kv_place_new_at(&kv->homes, at, order, &place);
	if (!rc)
		rc = kv_set_place(kv, shard, hash, key, record, &place, value, len);
	if (!rc)
		kv_tally(kv->stripes, KV_N_writes);
	pthread_mutex_unlock(&shard->lock);
	return rc;
}

int kv_update(struct kv *kv, uint64_t key, size_t offset, const void *bytes, size_t n)
{
	uint64_t hash = kv_hash(key);
	struct kv_shard *shard = kv_shard_of(kv, hash);
	struct kv_record *record;
	struct kv_place place;
	size_t len;
	int rc = -ENOENT;

	if (!bytes && n)
		return -EINVAL;
	pthread_mutex_lock(&shard->lock);
	record = *kv_find_locked(shard, hash, key);
	if (!record)
		goto out;
	rc = -ERANGE;
	len = kv_extent_len(record->extent);
	if (offset > len || n > len - offset)
		goto out;
	place = kv_record_place(record);
	rc = kv_store(kv, record, &place, offset, bytes, n, len);
	if (rc)
		goto out;
	kv_place_set_key(&place, key);
	kv_tally(kv->stripes, KV_N_writes);
out:
	pthread_mutex_unlock(&shard->lock);
	return rc;
}

int kv_delete(struct kv *kv, uint64_t key)
{
	uint64_t hash = kv_hash(key);
	struct kv_shard *shard = kv_shard_of(kv, hash);
	struct kv_record **link;
	int rc = -ENOENT;

	pthread_mutex_lock(&shard->lock);
	link = kv_find_locked(shard, hash, key);
	if (*link) {
		kv_remove(kv, shard, link);
		kv_tally(kv->stripes, KV_N_writes);
		rc = 0;
	}
	pthread_mutex_unlock(&shard->lock);
	return rc;
}

/* Reading. */

/* What a reader wants, and what it got. */
struct kv_want {
	uint64_t key;
	uint64_t hash;
	size_t offset;
	void *buffer;
	size_t n;
	bool whole;  /* all of it, or -ERANGE */
	bool moving; /* out: the folio was on the move while it was read */
	size_t len;  /* out: the value's */
};

/* The bytes to copy of a value of want->len, or -ERANGE. */
static long kv_want_bytes(const struct kv_want *want)
{
	size_t n;

	if (want->whole && want->n < want->len)
		return -ERANGE;
	if (want->offset >= want->len)
		return 0;
	n = want->len - want->offset;
	return (long)(want->n < n ? want->n : n);
}

/*
 * The key's record, with its sequence. 1, 0 for absent, or -EAGAIN: disturbed by a writer. Within
 * a read section.
 */
static int kv_try_find(struct kv_shard *shard, const struct kv_want *want, struct kv_record **found,
		       uint64_t *seq)
{
	uint64_t before = __atomic_load_n(&shard->seq.n, __ATOMIC_ACQUIRE);
	struct kv_table *table = __atomic_load_n(&shard->table, __ATOMIC_ACQUIRE);
	struct kv_record *record;
	unsigned steps = 0;

	record = __atomic_load_n(&table->bucket[want->hash & table->mask], __ATOMIC_ACQUIRE);
	for (; record; record = __atomic_load_n(&record->next, __ATOMIC_ACQUIRE)) {
		*seq = __atomic_load_n(&record->seq.n, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&record->key, __ATOMIC_ACQUIRE) == want->key) {
			if (*seq & 1)
				return -EAGAIN;
			if (__atomic_load_n(&record->extent, __ATOMIC_ACQUIRE) != KV_GONE) {
				*found = record;
				return 1;
			}
		}
		if (++steps % KV_STEPS == 0 &&
		    __atomic_load_n(&shard->seq.n, __ATOMIC_ACQUIRE) != before)
			return -EAGAIN;
	}
	/* every load of the walk was an acquire: this one is after them */
	if ((before & 1) || __atomic_load_n(&shard->seq.n, __ATOMIC_RELAXED) != before)
		return -EAGAIN;
	return 0;
}

/* One try without a lock. -EAGAIN: again. Within a read section. */
static long kv_try(struct kv *kv, struct kv_shard *shard, struct kv_want *want)
{
	struct kv_record *record;
	struct quire_folio *folio;
	uint64_t seq, extent;
	long n;
	int rc = kv_try_find(shard, want, &record, &seq);

	if (rc <= 0) {
		if (rc == 0)
			return -ENOENT;
		kv_tally(kv->stripes, KV_N_retries_writer);
		return rc;
	}
	folio = __atomic_load_n(&record->folio, __ATOMIC_ACQUIRE);
	extent = __atomic_load_n(&record->extent, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&record->key, __ATOMIC_ACQUIRE) != want->key ||
	    __atomic_load_n(&record->seq.n, __ATOMIC_ACQUIRE) != seq)
		goto written;
	/* (folio, extent) belong together and to the key, and were so inside of this section */
	want->len = kv_extent_len(extent);
	want->moving = false;
	n = kv_want_bytes(want);
	if (n <= 0 || !folio)
		return n;
	for (;;) {
		struct quire_view view = quire_view(folio);

		if (!view.data)
			goto written;
		want->moving = kv->watch && kv_home_moving(folio, quire_folio_frame(folio));
		quire_read_bytes(want->buffer, view.data + kv_extent_offset(extent) + want->offset,
				 (size_t)n);
		kv_fence_acquire(); /* the bytes before both checks; pairs with kv_store() */
		if (!quire_view_stale(folio, view))
			break;
		/* freed, or only moved? a writer changes the sequence before it frees */
		if (__atomic_load_n(&record->seq.n, __ATOMIC_ACQUIRE) != seq)
			goto written;
		kv_tally(kv->stripes, KV_N_retries_move);
	}
	if (__atomic_load_n(&record->seq.n, __ATOMIC_RELAXED) == seq)
		return n;
written:
	kv_tally(kv->stripes, KV_N_retries_writer);
	return -EAGAIN;
}

/* Under the writers' lock: nothing changes but the place, and a pin holds that. */
static long kv_get_locked(struct kv *kv, struct kv_shard *shard, struct kv_want *want)
{
	struct kv_record *record;
	long n = -ENOENT;

	kv_tally(kv->stripes, KV_N_locked_reads);
	pthread_mutex_lock(&shard->lock);
	record = *kv_find_locked(shard, want->hash, want->key);
	if (record) {
		want->len = kv_extent_len(record->extent);
		want->moving = false;
		n = kv_want_bytes(want);
		if (n > 0 && record->folio) {
			const char *address = quire_pin(record->folio);

			if (address) {
				want->moving = kv->watch &&
					       kv_home_moving(record->folio,
							      quire_folio_frame(record->folio));
				quire_read_bytes(want->buffer,
						 address + kv_extent_offset(record->extent) +
							 want->offset,
						 (size_t)n);
				quire_unpin(record->folio);
			} else {
				n = -ENOMEM;
			}
		}
	}
	pthread_mutex_unlock(&shard->lock);
	return n;
}

static long kv_want_get(struct kv *kv, struct kv_want *want)
{
	struct kv_shard *shard;
	long n = -EAGAIN;

	want->hash = kv_hash(want->key);
	shard = kv_shard_of(kv, want->hash);
	for (unsigned tries = 0; n == -EAGAIN && tries < KV_TRIES; tries++) {
		int rc = quire_read_enter();

		if (rc)
			return rc;
		n = kv_try(kv, shard, want);
		quire_read_leave();
	}
	if (n == -EAGAIN)
		n = kv_get_locked(kv, shard, want);
	if (n < 0 && n != -ENOENT)
		return n;
	kv_tally(kv->stripes, KV_N_reads);
	if (n < 0)
		kv_tally(kv->stripes, KV_N_misses);
	else if (n > 0 && want->moving)
		kv_tally(kv->stripes, KV_N_reads_moving);
	return n;
}

long kv_get(struct kv *kv, uint64_t key, void *buffer, size_t size)
{
	struct kv_want want = { .key = key, .buffer = buffer, .n = size, .whole = true };

	if (!buffer && size)
		return -EINVAL;
	return kv_want_get(kv, &want);
}

long kv_read(struct kv *kv, uint64_t key, size_t offset, void *buffer, size_t n)
{
	struct kv_want want = { .key = key, .offset = offset, .buffer = buffer, .n = n };

	if (!buffer && n)
		return -EINVAL;
	return kv_want_get(kv, &want);
}

long kv_length(struct kv *kv, uint64_t key)
{
	struct kv_want want = { .key = key };
	long rc = kv_want_get(kv, &want);

	return rc < 0 ? rc : (long)want.len;
}

/* The whole. */

uint64_t kv_count(struct kv *kv)
{
	uint64_t count = 0;

	for (size_t i = 0; i < KV_SHARDS; i++)
		count += __atomic_load_n(&kv->shards[i].count, __ATOMIC_RELAXED);
	return count;
}

struct quire_owner *kv_owner(struct kv *kv)
{
	return kv->homes.owner;
}

struct kv_seen {
	uint64_t key;
	size_t len;
};

/* The shard's keys as they are now, in *seen, which has room for *room and grows. */
static int kv_shard_keys(struct kv_shard *shard, struct kv_seen **seen, uint64_t *room, uint64_t *n)
{
	int rc = 0;

	*n = 0;
	pthread_mutex_lock(&shard->lock);
	if (shard->count > *room) {
		struct kv_seen *more = NULL;
		size_t bytes;

		if (!__builtin_mul_overflow(shard->count, sizeof(*more), &bytes))
			more = realloc(*seen, bytes);
		if (!more) {
			rc = -ENOMEM;
			goto out;
		}
		*seen = more;
		*room = shard->count;
	}
	for (uint64_t b = 0; b <= shard->table->mask; b++) {
		const struct kv_record *record = shard->table->bucket[b];

		for (; record && *n < *room; record = record->next) {
			(*seen)[*n].key = record->key;
			(*seen)[*n].len = kv_extent_len(record->extent);
			++*n;
		}
	}
out:
	pthread_mutex_unlock(&shard->lock);
	return rc;
}

int kv_each(struct kv *kv, int (*fn)(void *arg, uint64_t key, size_t len), void *arg)
{
	struct kv_seen *seen = NULL;
	uint64_t room = 0;
	int rc = 0;

	for (size_t i = 0; i < KV_SHARDS && !rc; i++) {
		uint64_t n;

		rc = kv_shard_keys(&kv->shards[i], &seen, &room, &n);
		for (uint64_t k = 0; k < n && !rc; k++)
			rc = fn(arg, seen[k].key, seen[k].len);
	}
	free(seen);
	return rc;
}

int kv_stats_get(struct kv *kv, struct kv_stats *stats)
{
	struct kv_stats all = { .size = stats->size };
	uint64_t sum[KV_TALLIES] = { 0 };

	if (stats->size < offsetof(struct kv_stats, reads) + sizeof(stats->reads))
		return -EINVAL;
	for (size_t s = 0; s < KV_STRIPES; s++)
		for (size_t i = 0; i < KV_TALLIES; i++)
			sum[i] += __atomic_load_n(&kv->stripes[s].n[i], __ATOMIC_RELAXED);
#define KV_STATS_FILL_(name, text) all.name = sum[KV_N_##name];
	KV_COUNTERS(KV_STATS_FILL_)
#undef KV_STATS_FILL_
	for (size_t i = 0; i < KV_SHARDS; i++)
		all.bytes += __atomic_load_n(&kv->shards[i].bytes, __ATOMIC_RELAXED);
	all.values = kv_count(kv);
	/* stripes are summed one after the other: a free may be met whose creation was not */
	all.folios =
		all.folios_created > all.folios_freed ? all.folios_created - all.folios_freed : 0;
	memcpy(stats, &all, stats->size < sizeof(all) ? stats->size : sizeof(all));
	return 0;
}

static int kv_shard_validate(struct kv *kv, size_t index, const char **what)
{
	struct kv_shard *shard = &kv->shards[index];
	uint64_t count = 0, bytes = 0;

	*what = "a shard is being changed";
	if (shard->seq.n & 1)
		return -EUCLEAN;
	for (uint64_t b = 0; b <= shard->table->mask; b++) {
		struct kv_record *record = shard->table->bucket[b];

		for (; record; record = record->next) {
			uint64_t hash = kv_hash(record->key);
			struct kv_place place = kv_record_place(record);
			int rc;

			*what = "a record is in the wrong chain, or in two";
			if (kv_shard_of(kv, hash) != shard || (hash & shard->table->mask) != b ||
			    ++count > shard->count ||
			    *kv_find_locked(shard, hash, record->key) != record)
				return -EUCLEAN;
			*what = "a record is being changed, or free";
			if ((record->seq.n & 1) || record->extent == KV_GONE)
				return -EUCLEAN;
			bytes += kv_extent_len(record->extent);
			rc = kv_homes_validate_mark(&place, kv_extent_len(record->extent), what);
			if (rc)
				return rc;
		}
	}
	for (struct kv_record *record = shard->spare; record; record = record->spare) {
		*what = "a free record has a value";
		if (record->extent != KV_GONE || record->folio)
			return -EUCLEAN;
	}
	*what = "a shard's sums are wrong";
	return count == shard->count && bytes == shard->bytes ? 0 : -EUCLEAN;
}

int kv_validate(struct kv *kv, const char **what)
{
	const char *ignored;
	uint64_t folios;
	int rc = 0;

	if (!what)
		what = &ignored;
	kv_homes_validate_begin(&kv->homes);
	for (size_t i = 0; i < KV_SHARDS && !rc; i++)
		rc = kv_shard_validate(kv, i, what);
	if (!rc)
		rc = kv_homes_validate_end(&kv->homes, &folios, what);
	if (!rc) {
		struct kv_stats stats = { .size = sizeof(stats) };

		kv_stats_get(kv, &stats);
		*what = "ops were called against the contract";
		if (stats.unbalanced)
			return -EUCLEAN;
		/* those that a mover has yet to let go of are more than have values */
		*what = "fewer folios than have values";
		if (stats.folios < folios)
			return -EUCLEAN;
		*what = NULL;
	}
	return rc;
}

static void kv_free(struct kv *kv)
{
	for (size_t i = 0; i < KV_SHARDS; i++) {
		struct kv_shard *shard = &kv->shards[i];
		struct kv_record_chunk *chunk;
		struct kv_table *table;

		while ((table = shard->table)) {
			shard->table = table->older;
			free(table);
		}
		while ((chunk = shard->chunks)) {
			shard->chunks = chunk->next;
			free(chunk);
		}
		pthread_mutex_destroy(&shard->lock);
	}
	free(kv);
}

int kv_create(struct quire *quire, const struct kv_options *options, struct kv **out)
{
	struct kv_options o = { .size = sizeof(o) };
	uint64_t buckets = KV_BUCKETS_MIN;
	struct kv *kv;
	int rc;

	if (!quire || !out || (options && options->size < sizeof(options->size)))
		return -EINVAL;
	if (options)
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	if (o.expected > 1ull << 40)
		return -EINVAL;
	while (buckets * KV_SHARDS < o.expected)
		buckets *= 2;
	kv = aligned_alloc(_Alignof(struct kv), sizeof(*kv));
	if (!kv)
		return -ENOMEM;
	memset(kv, 0, sizeof(*kv));
	kv->quire = quire;
	kv->watch = o.watch_moves != 0;
	rc = -ENOMEM;
	for (size_t i = 0; i < KV_SHARDS; i++)
		pthread_mutex_init(&kv->shards[i].lock, NULL);
	for (size_t i = 0; i < KV_SHARDS; i++) {
		kv->shards[i].table = kv_table_new(buckets);
		if (!kv->shards[i].table)
			goto fail;
	}
	rc = kv_homes_init(&kv->homes, quire, &o, kv->stripes);
	if (rc)
		goto fail;
	*out = kv;
	return 0;
fail:
	kv_free(kv);
	return rc;
}

static uint64_t kv_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int kv_destroy(struct kv *kv)
{
	uint64_t start;
	int rc;

	if (!kv)
		return 0;
	for (size_t i = 0; i < KV_SHARDS; i++) {
		struct kv_shard *shard = &kv->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (uint64_t b = 0; b <= shard->table->mask; b++)
			while (shard->table->bucket[b])
				kv_remove(kv, shard, &shard->table->bucket[b]);
		pthread_mutex_unlock(&shard->lock);
	}
	/* -EBUSY: folios freed wait for a reader to leave, or a mover has a reference still */
	start = kv_now();
	while ((rc = kv_homes_finish(&kv->homes)) == -EBUSY && kv_now() - start < KV_DESTROY_NS) {
		quire_reclaim(kv->quire);
		sched_yield();
	}
	if (!rc)
		kv_free(kv);
	return rc;
}

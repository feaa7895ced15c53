/* SPDX-License-Identifier: MIT */
/*
 * test_kv.c: kv by itself and against a model, with moves in between.
 *
 * QUIRE_SEED sets the seed of the model test, QUIRE_KV_OPS its number of operations.
 */
#include "kv/kv.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MIB (1ull << 20)

/* Every size class, its borders, and those of the orders. */
static const size_t lengths[] = {
	0,	1,	7,	8,	 9,	  63,	   64,	    65,	     127,   128,
	129,	191,	192,	193,	 255,	  256,	   257,	    319,     320,   321,
	447,	448,	449,	575,	 576,	  577,	   767,	    768,     769,   1023,
	1024,	1025,	1343,	1344,	 1345,	  2047,	   2048,    2049,    4095,  4096,
	4097,	8191,	8192,	8193,	 16384,	  16385,   32768,   65536,   65537, 131072,
	262144, 524288, 524289, 1048575, 1048576, 1048577, 2097151, 2097152,
};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static unsigned char want[KV_VALUE_MAX + 8];
static unsigned char got[KV_VALUE_MAX + 8];

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* The bytes of a value, from offset on: any other key, version or position gives others. */
static void fill(unsigned char *to, uint64_t key, uint64_t version, size_t offset, size_t n)
{
	uint64_t base = mix(key) ^ mix(~version);

	for (size_t i = 0; i < n; i++) {
		size_t at = offset + i;
		uint64_t word = mix(base + at / 8);

		to[i] = (unsigned char)(word >> (8 * (at % 8)));
	}
}

static void expect(struct kv *kv, uint64_t key, uint64_t version, size_t len)
{
	memset(got, 0xee, len + 1);
	assert_int_equal(kv_get(kv, key, got, len), (long)len);
	fill(want, key, version, 0, len);
	assert_memory_equal(got, want, len);
	assert_int_equal(got[len], 0xee);
}

static void set(struct kv *kv, uint64_t key, uint64_t version, size_t len)
{
	fill(want, key, version, 0, len);
	assert_int_equal(kv_set(kv, key, want, len), 0);
}

static struct kv_stats stats_of(struct kv *kv)
{
	struct kv_stats stats = { .size = sizeof(stats) };

	assert_int_equal(kv_stats_get(kv, &stats), 0);
	return stats;
}

static struct quire_stats quire_stats_of(struct quire *q)
{
	struct quire_stats stats = { .size = sizeof(stats) };

	assert_int_equal(quire_stats_get(q, &stats), 0);
	return stats;
}

/* What must hold whenever nothing else runs; kv is the quire's only owner. */
static void quiet(struct quire *q, struct kv *kv)
{
	const char *what = NULL;
	int rc = kv_validate(kv, &what);
	struct quire_stats qs;
	struct kv_stats ks;

	if (rc)
		fail_msg("kv_validate: %d: %s", rc, what);
	quire_reclaim(q);
	ks = stats_of(kv);
	qs = quire_stats_of(q);
	assert_int_equal(ks.unbalanced, 0);
	assert_int_equal(ks.isolated, ks.moved + ks.putbacks + ks.freed_isolated);
	assert_int_equal(ks.isolated, qs.isolated);
	assert_int_equal(ks.moved, qs.moved);
	assert_int_equal(ks.putbacks, qs.putbacks);
	assert_int_equal(ks.freed_isolated, qs.freed_isolated);
	assert_int_equal(ks.folios_created, qs.folios_created);
	assert_int_equal(ks.folios_freed, qs.folios_freed);
	assert_int_equal(ks.folios, qs.folios_live);
	assert_int_equal(ks.values, kv_count(kv));
	assert_int_equal(qs.folios_retired, 0);
	assert_int_equal(qs.frames_limbo, 0);
}

static struct quire *quire_of(uint64_t bytes)
{
	struct quire *q;

	assert_int_equal(quire_create(QUIRE_OPTIONS(.arena_bytes = bytes), &q), 0);
	return q;
}

/* All runs there can be; returns how many. */
static uint64_t compact(struct quire *q)
{
	struct quire_result result = { .size = sizeof(result) };
	struct quire_plan *plan;

	assert_int_equal(quire_plan_create(q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512,
						      .count = QUIRE_MAX),
					   &plan),
			 0);
	assert_int_equal(quire_plan_execute(plan, NULL, &result), 0);
	quire_plan_destroy(plan);
	return result.obtained;
}

static void close_all(struct quire *q, struct kv *kv)
{
	struct quire_stats stats;

	assert_int_equal(kv_destroy(kv), 0);
	stats = quire_stats_of(q);
	assert_int_equal(stats.folios_live, 0);
	assert_int_equal(stats.folios_retired, 0);
	assert_int_equal(stats.folios_created, stats.folios_freed);
	assert_int_equal(stats.frames_free, stats.frames);
	assert_int_equal(quire_destroy(q), 0);
}

static void test_create(void **state)
{
	struct quire *q = quire_of(2 * MIB);
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_create(NULL, NULL, &kv), -EINVAL);
	assert_int_equal(kv_create(q, NULL, NULL), -EINVAL);
	assert_int_equal(kv_create(q, KV_OPTIONS(.expected = (1ull << 40) + 1), &kv), -EINVAL);
	assert_int_equal(kv_create(q, KV_OPTIONS(.name = ""), &kv), -EINVAL);
	assert_int_equal(kv_create(q, &(const struct kv_options){ .size = 0 }, &kv), -EINVAL);
	assert_int_equal(kv_destroy(NULL), 0);
	assert_int_equal(kv_create(q, KV_OPTIONS(.name = "cache", .expected = 1000), &kv), 0);
	assert_string_equal(quire_owner_name(kv_owner(kv)), "cache");
	assert_int_equal(kv_count(kv), 0);
	assert_int_equal(kv_stats_get(kv, &(struct kv_stats){ .size = 0 }), -EINVAL);
	quiet(q, kv);
	assert_int_equal(kv_destroy(kv), 0);
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	assert_string_equal(quire_owner_name(kv_owner(kv)), "kv");
	close_all(q, kv);
}

static void test_arguments(void **state)
{
	struct quire *q = quire_of(4 * MIB);
	struct kv *kv;
	unsigned char byte = 0;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	assert_int_equal(kv_get(kv, 1, got, 1), -ENOENT);
	assert_int_equal(kv_read(kv, 1, 0, got, 1), -ENOENT);
	assert_int_equal(kv_length(kv, 1), -ENOENT);
	assert_int_equal(kv_update(kv, 1, 0, &byte, 1), -ENOENT);
	assert_int_equal(kv_delete(kv, 1), -ENOENT);
	assert_int_equal(kv_set(kv, 1, NULL, 1), -EINVAL);
	assert_int_equal(kv_set(kv, 1, want, KV_VALUE_MAX + 1), -E2BIG);
	assert_int_equal(kv_set_at(kv, 1, quire_frame(0), 10, want, 1), -EINVAL);
	assert_int_equal(kv_set_at(kv, 1, quire_frame(0), 0, NULL, 1), -EINVAL);
	assert_int_equal(kv_set_at(kv, 1, quire_frame(1), 1, want, 1), -EINVAL);
	assert_int_equal(kv_set_at(kv, 1, quire_frame(1024), 0, want, 1), -EINVAL);
	assert_int_equal(kv_set_at(kv, 1, quire_frame(0), 0, want, 4097), -E2BIG);
	assert_int_equal(kv_count(kv), 0);
	quiet(q, kv);

	set(kv, 1, 0, 100);
	assert_int_equal(kv_get(kv, 1, got, 99), -ERANGE);
	assert_int_equal(kv_get(kv, 1, NULL, 1), -EINVAL);
	assert_int_equal(kv_read(kv, 1, 0, NULL, 1), -EINVAL);
	assert_int_equal(kv_update(kv, 1, 0, NULL, 1), -EINVAL);
	assert_int_equal(kv_update(kv, 1, 100, &byte, 1), -ERANGE);
	assert_int_equal(kv_update(kv, 1, 101, &byte, 0), -ERANGE);
	assert_int_equal(kv_update(kv, 1, SIZE_MAX, &byte, 2), -ERANGE);
	assert_int_equal(kv_update(kv, 1, 1, &byte, SIZE_MAX), -ERANGE);
	assert_int_equal(kv_update(kv, 1, 100, NULL, 0), 0);
	assert_int_equal(kv_length(kv, 1), 100);
	assert_int_equal(kv_read(kv, 1, 100, got, 1), 0);
	assert_int_equal(kv_read(kv, 1, SIZE_MAX, got, SIZE_MAX), 0);
	assert_int_equal(kv_read(kv, 1, 90, got, sizeof(got)), 10);
	fill(want, 1, 0, 90, 10);
	assert_memory_equal(got, want, 10);
	expect(kv, 1, 0, 100);
	assert_int_equal(kv_set(kv, 1, want, KV_VALUE_MAX + 1), -E2BIG);
	expect(kv, 1, 0, 100);
	/* an empty value is a value */
	assert_int_equal(kv_set(kv, 2, NULL, 0), 0);
	assert_int_equal(kv_get(kv, 2, NULL, 0), 0);
	assert_int_equal(kv_length(kv, 2), 0);
	assert_int_equal(kv_count(kv), 2);
	/* keys at both ends */
	set(kv, 0, 1, 10);
	set(kv, UINT64_MAX, 1, 20);
	expect(kv, 0, 1, 10);
	expect(kv, UINT64_MAX, 1, 20);
	assert_int_equal(kv_delete(kv, 0), 0);
	assert_int_equal(kv_delete(kv, 0), -ENOENT);
	quiet(q, kv);
	close_all(q, kv);
}

/* Every length to every other length: in place or not, the value and the books are right. */
static void test_lengths(void **state)
{
	struct quire *q = quire_of(32 * MIB);
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	for (size_t i = 0; i < LENGTHS; i++) {
		set(kv, i, i, lengths[i]);
		if (lengths[i] <= 16384 || i == LENGTHS - 1)
			continue;
		expect(kv, i, i, lengths[i]);
		assert_int_equal(kv_delete(kv, i), 0);
	}
	for (size_t i = 0; i < LENGTHS; i++)
		if (lengths[i] <= 16384 || i == LENGTHS - 1)
			expect(kv, i, i, lengths[i]);
		else
			assert_int_equal(kv_get(kv, i, got, sizeof(got)), -ENOENT);
	quiet(q, kv);
	for (size_t i = 0; i < LENGTHS; i++)
		for (size_t j = 0; j < LENGTHS; j++) {
			if (lengths[i] > 9000 && lengths[j] > 9000)
				continue;
			set(kv, 1000, i, lengths[i]);
			set(kv, 1000, j, lengths[j]);
			expect(kv, 1000, j, lengths[j]);
			if (lengths[j]) {
				size_t at = lengths[j] / 2, n = (lengths[j] - at + 1) / 2;

				fill(want, 1000, 77, at, n);
				assert_int_equal(kv_update(kv, 1000, at, want, n), 0);
				assert_int_equal(kv_read(kv, 1000, at, got, n), (long)n);
				assert_memory_equal(got, want, n);
				fill(want, 1000, j, 0, at);
				assert_int_equal(kv_read(kv, 1000, 0, got, at), (long)at);
				assert_memory_equal(got, want, at);
			}
		}
	quiet(q, kv);
	close_all(q, kv);
}

/* Small values share folios, and the folio goes with the last of them. */
static void test_sharing(void **state)
{
	struct quire *q = quire_of(4 * MIB);
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	for (uint64_t key = 0; key < 64; key++)
		set(kv, key, 1, 64);
	assert_int_equal(stats_of(kv).folios, 1);
	set(kv, 64, 1, 1);
	assert_int_equal(stats_of(kv).folios, 2);
	for (uint64_t key = 0; key < 63; key++)
		assert_int_equal(kv_delete(kv, key), 0);
	assert_int_equal(stats_of(kv).folios, 2);
	assert_int_equal(kv_delete(kv, 63), 0);
	assert_int_equal(stats_of(kv).folios, 1);
	assert_int_equal(stats_of(kv).folios_freed, 1);
	expect(kv, 64, 1, 1);
	quiet(q, kv);
	set(kv, 64, 2, 4096);
	assert_int_equal(stats_of(kv).folios, 1);
	set(kv, 64, 3, 0);
	assert_int_equal(stats_of(kv).folios, 0);
	quiet(q, kv);
	close_all(q, kv);
}

static uint32_t used_in(struct quire *q, uint32_t block)
{
	struct quire_block_info info = { .size = sizeof(info) };

	assert_int_equal(quire_block_info(q, block, &info), 0);
	return info.used;
}

static void test_placed(void **state)
{
	struct quire *q = quire_of(8 * MIB);
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	fill(want, 5, 1, 0, 60000);
	assert_int_equal(kv_set_at(kv, 5, quire_frame(1024 + 16), 4, want, 60000), 0);
	assert_int_equal(used_in(q, 2), 16);
	expect(kv, 5, 1, 60000);
	assert_int_equal(kv_set_at(kv, 6, quire_frame(1024 + 31), 0, want, 1), -EBUSY);
	assert_int_equal(kv_get(kv, 6, got, 1), -ENOENT);
	/* the frame is not free: the old value stands */
	assert_int_equal(kv_set_at(kv, 5, quire_frame(1024 + 16), 4, want, 1), -EBUSY);
	expect(kv, 5, 1, 60000);
	/* it keeps its folio for whatever fits */
	set(kv, 5, 2, 10);
	set(kv, 5, 3, 0);
	set(kv, 5, 4, 65536);
	expect(kv, 5, 4, 65536);
	assert_int_equal(used_in(q, 2), 16);
	quiet(q, kv);
	/* and leaves it for what does not */
	set(kv, 5, 5, 65537);
	expect(kv, 5, 5, 65537);
	quiet(q, kv);
	assert_int_equal(used_in(q, 0) + used_in(q, 1) + used_in(q, 2) + used_in(q, 3), 32);
	/* a value that was somewhere is laid where it is said */
	fill(want, 5, 6, 0, 3);
	assert_int_equal(kv_set_at(kv, 5, quire_frame(2047), 0, want, 3), 0);
	expect(kv, 5, 6, 3);
	quiet(q, kv);
	assert_int_equal(used_in(q, 0) + used_in(q, 1) + used_in(q, 2), 0);
	assert_int_equal(used_in(q, 3), 1);
	fill(want, 7, 1, 0, KV_VALUE_MAX);
	assert_int_equal(kv_set_at(kv, 7, quire_frame(512), 9, want, KV_VALUE_MAX), 0);
	expect(kv, 7, 1, KV_VALUE_MAX);
	assert_int_equal(kv_delete(kv, 5), 0);
	quiet(q, kv);
	assert_int_equal(used_in(q, 3), 0);
	assert_int_equal(used_in(q, 1), 512);
	close_all(q, kv);
}

struct tally {
	uint64_t keys, sum, bytes;
	int stop;
};

static int tally_one(void *arg, uint64_t key, size_t len)
{
	struct tally *t = arg;

	t->keys++;
	t->sum += key;
	t->bytes += len;
	return t->stop && t->keys == 10 ? t->stop : 0;
}

static void test_growth(void **state)
{
	struct quire *q = quire_of(16 * MIB);
	struct tally t = { 0 };
	struct kv *kv;
	const uint64_t n = 20000;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	for (uint64_t key = 0; key < n; key++)
		set(kv, key * 0x100000001ull, key, key % 300);
	assert_int_equal(kv_count(kv), n);
	assert_true(stats_of(kv).grown >= 64);
	quiet(q, kv);
	for (uint64_t key = 0; key < n; key++)
		expect(kv, key * 0x100000001ull, key, key % 300);
	assert_int_equal(kv_each(kv, tally_one, &t), 0);
	assert_int_equal(t.keys, n);
	assert_int_equal(t.sum, (n * (n - 1) / 2) * 0x100000001ull);
	assert_int_equal(t.bytes, stats_of(kv).bytes);
	t = (struct tally){ .stop = 42 };
	assert_int_equal(kv_each(kv, tally_one, &t), 42);
	assert_int_equal(t.keys, 10);
	close_all(q, kv);

	/* with the number known beforehand nothing grows */
	q = quire_of(16 * MIB);
	assert_int_equal(kv_create(q, KV_OPTIONS(.expected = 4 * n), &kv), 0);
	for (uint64_t key = 0; key < n; key++)
		set(kv, key, key, 16);
	assert_int_equal(stats_of(kv).grown, 0);
	quiet(q, kv);
	close_all(q, kv);
}

/* A full arena: what fails changes nothing, what is there stays usable, room comes back. */
static void test_full(void **state)
{
	static const size_t sizes[] = { 4096, 100, 20000, 1500, 300000, 64, 8192, 700 };
	static struct {
		size_t len;
		uint64_t version;
	} model[8192];
	struct quire *q = quire_of(4 * MIB);
	uint64_t key = 0, failures = 0;
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	for (; failures < 40; key++) {
		size_t len = sizes[mix(key) % 8];
		int rc;

		assert_true(key < 8192);
		fill(want, key, 1, 0, len);
		rc = kv_set(kv, key, want, len);
		model[key].len = len;
		model[key].version = 1;
		if (rc) {
			assert_int_equal(rc, -ENOMEM);
			model[key].version = 0;
			assert_int_equal(kv_length(kv, key), -ENOENT);
			failures++;
		}
	}
	quiet(q, kv);
	/* what does not fit any more leaves the old value, what fits in place still works */
	for (uint64_t k = 0; k < key; k++) {
		if (!model[k].version)
			continue;
		fill(want, k, 2, 0, KV_VALUE_MAX);
		assert_int_equal(kv_set(kv, k, want, KV_VALUE_MAX), -ENOMEM);
		expect(kv, k, 1, model[k].len);
		if (k % 2) {
			set(kv, k, 3, model[k].len);
			model[k].version = 3;
		}
	}
	/* full as it is, it can be compacted */
	compact(q);
	quiet(q, kv);
	for (uint64_t k = 0; k < key; k++)
		if (model[k].version)
			expect(kv, k, model[k].version, model[k].len);
		else
			assert_int_equal(kv_get(kv, k, got, sizeof(got)), -ENOENT);
	for (uint64_t k = 0; k < key; k++)
		if (model[k].version)
			assert_int_equal(kv_delete(kv, k), 0);
	quiet(q, kv);
	assert_int_equal(stats_of(kv).bytes, 0);
	assert_int_equal(quire_stats_of(q).frames_free, quire_stats_of(q).frames);
	set(kv, 1, 9, KV_VALUE_MAX);
	set(kv, 2, 9, KV_VALUE_MAX);
	assert_int_equal(kv_set(kv, 3, want, 1), -ENOMEM);
	expect(kv, 1, 9, KV_VALUE_MAX);
	expect(kv, 2, 9, KV_VALUE_MAX);
	close_all(q, kv);
}

/* Moves: every value is where it belongs afterwards, handles and slots unchanged. */
static void test_moves(void **state)
{
	struct quire *q = quire_of(32 * MIB);
	uint64_t runs_before, runs;
	struct kv *kv;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	for (uint64_t key = 0; key < 7000; key++)
		set(kv, key, key, lengths[mix(key) % 39]);
	for (uint64_t key = 0; key < 7000; key++)
		if (mix(~key) % 10)
			assert_int_equal(kv_delete(kv, key), 0);
	for (uint64_t key = 10000; key < 10010; key++)
		set(kv, key, key, 65536);
	runs_before = 0;
	for (uint32_t b = 0; b < quire_blocks(q); b++)
		runs_before += used_in(q, b) == 0;
	runs = compact(q);
	assert_true(runs > runs_before);
	assert_true(stats_of(kv).moved > 0);
	quiet(q, kv);
	for (uint64_t key = 0; key < 7000; key++)
		if (mix(~key) % 10)
			assert_int_equal(kv_get(kv, key, got, sizeof(got)), -ENOENT);
		else
			expect(kv, key, key, lengths[mix(key) % 39]);
	for (uint64_t key = 10000; key < 10010; key++)
		expect(kv, key, key, 65536);
	close_all(q, kv);
}

/* What the hook does to the folio that is just being isolated. */
struct meddler {
	struct kv *kv;
	int what;
	uint64_t calls;
	uint64_t keys[4096]; /* that it met */
	struct quire_folio *held;
};

enum { LOOK, DELETE, UPDATE, REPLACE, HOLD };

static void meddle(void *arg, struct quire_folio *folio)
{
	struct meddler *m = arg;
	uint64_t key;

	assert_int_equal(kv_folio_key(folio, &key), 0);
	assert_true(m->calls < 4096);
	m->keys[m->calls++] = key;
	switch (m->what) {
	case DELETE:
		assert_int_equal(kv_delete(m->kv, key), 0);
		break;
	case UPDATE:
		fill(want, key, 2, 100, 1000);
		assert_int_equal(kv_update(m->kv, key, 100, want, 1000), 0);
		break;
	case REPLACE:
		set(m->kv, key, 2, 2049);
		break;
	case HOLD:
		if (!m->held && quire_folio_get(folio))
			m->held = folio;
		break;
	default:
		break;
	}
}

/* One value a folio, one folio in eight alive: all of them move, met by a meddling hook. */
static void meddled(int what, struct meddler *m, struct quire **q, struct kv **kv)
{
	memset(m, 0, sizeof(*m));
	m->what = what;
	*q = quire_of(8 * MIB);
	assert_int_equal(
		kv_create(*q, KV_OPTIONS(.on_isolate = meddle, .arg = m, .watch_moves = 1), kv), 0);
	m->kv = *kv;
	for (uint32_t i = 0; i < 2048; i += 8) {
		fill(want, i, 1, 0, 4096);
		assert_int_equal(kv_set_at(*kv, i, quire_frame(i), 0, want, 4096), 0);
	}
	compact(*q);
	assert_true(m->calls > 100);
	quiet(*q, *kv);
}

static void test_hook_looks(void **state)
{
	static struct meddler m;
	struct quire *q;
	struct kv *kv;

	(void)state;
	meddled(LOOK, &m, &q, &kv);
	assert_int_equal(stats_of(kv).moved, m.calls);
	for (uint64_t key = 0; key < 2048; key += 8)
		expect(kv, key, 1, 4096);
	assert_int_equal(stats_of(kv).reads_moving, 0);
	close_all(q, kv);
}

/* The last reference but the mover's goes while the folio is isolated: freed, once. */
static void test_hook_deletes(void **state)
{
	static struct meddler m;
	struct quire *q;
	struct kv *kv;

	(void)state;
	meddled(DELETE, &m, &q, &kv);
	assert_true(stats_of(kv).freed_isolated > 0);
	assert_int_equal(stats_of(kv).isolated, m.calls);
	assert_int_equal(kv_count(kv), 256 - m.calls);
	for (uint64_t i = 0; i < m.calls; i++)
		assert_int_equal(kv_get(kv, m.keys[i], got, sizeof(got)), -ENOENT);
	close_all(q, kv);
}

/* Stores between isolation and commit are not lost. */
static void test_hook_updates(void **state)
{
	static struct meddler m;
	static unsigned char mixed[4096];
	struct quire *q;
	struct kv *kv;

	(void)state;
	meddled(UPDATE, &m, &q, &kv);
	assert_int_equal(stats_of(kv).writes_moving, m.calls);
	for (uint64_t i = 0; i < m.calls; i++) {
		fill(mixed, m.keys[i], 1, 0, 4096);
		fill(mixed + 100, m.keys[i], 2, 100, 1000);
		assert_int_equal(kv_get(kv, m.keys[i], got, sizeof(got)), 4096);
		assert_memory_equal(got, mixed, 4096);
	}
	close_all(q, kv);
}

/* A value is replaced while its folio is isolated; placed, it stays in that folio. */
static void test_hook_replaces(void **state)
{
	static struct meddler m;
	struct quire *q;
	struct kv *kv;

	(void)state;
	meddled(REPLACE, &m, &q, &kv);
	for (uint64_t i = 0; i < m.calls; i++)
		expect(kv, m.keys[i], 2, 2049);
	assert_int_equal(stats_of(kv).values, 256);
	close_all(q, kv);
}

/* A folio in somebody's hands outlives its values, is moved by hand, and holds kv_destroy() up. */
static void test_held(void **state)
{
	static struct meddler m;
	struct quire_move move = { 0 };
	struct quire *q;
	struct kv *kv;
	uint32_t to;

	(void)state;
	meddled(HOLD, &m, &q, &kv);
	assert_non_null(m.held);
	move.folio = m.held;
	assert_int_equal(quire_move_folios(q, &move, 1, QUIRE_SYNC, 0), 0);
	assert_int_equal(move.code, 0);
	expect(kv, m.keys[0], 1, 4096);
	to = quire_folio_frame(m.held).n;
	assert_int_equal(kv_delete(kv, m.keys[0]), 0);
	assert_int_equal(kv_validate(kv, NULL), 0);
	/* empty, and alive: it may still be moved */
	memset(&move, 0, sizeof(move));
	move.folio = m.held;
	assert_int_equal(quire_move_folios(q, &move, 1, QUIRE_ASYNC, 0), 0);
	assert_int_not_equal(quire_folio_frame(m.held).n, to);
	assert_int_equal(kv_destroy(kv), -EBUSY);
	assert_int_equal(kv_count(kv), 0);
	assert_int_equal(kv_set(kv, 1, "again", 5), 0);
	quire_folio_put(m.held);
	close_all(q, kv);
}

/* A pinned folio stays, named, and is put back. */
static void test_pinned(void **state)
{
	static struct meddler m;
	struct quire_move move = { 0 };
	struct kv_stats before, after;
	struct quire *q;
	struct kv *kv;

	(void)state;
	meddled(HOLD, &m, &q, &kv);
	before = stats_of(kv);
	assert_non_null(quire_pin(m.held));
	move.folio = m.held;
	assert_int_equal(quire_move_folios(q, &move, 1, QUIRE_ASYNC, 0), 1);
	assert_true(move.code < 0);
	assert_int_equal(move.who.why, QUIRE_REASON_SHORT_PIN);
	quire_unpin(m.held);
	after = stats_of(kv);
	assert_int_equal(after.putbacks - before.putbacks, after.isolated - before.isolated);
	assert_int_equal(after.moved, before.moved);
	expect(kv, m.keys[0], 1, 4096);
	quire_folio_put(m.held);
	quiet(q, kv);
	close_all(q, kv);
}

static void test_leftovers(void **state)
{
	struct quire *q = quire_of(16 * MIB);
	struct kv *kv, *other;

	(void)state;
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	assert_int_equal(kv_create(q, KV_OPTIONS(.name = "other"), &other), 0);
	for (uint64_t key = 0; key < 500; key++) {
		set(kv, key, key, lengths[key % 45]);
		set(other, key, ~key, lengths[(key * 7) % 40]);
	}
	assert_int_equal(kv_destroy(kv), 0);
	for (uint64_t key = 0; key < 500; key++)
		expect(other, key, ~key, lengths[(key * 7) % 40]);
	quire_reclaim(q);
	assert_int_equal(stats_of(other).folios, quire_stats_of(q).folios_live);
	close_all(q, other);
}

/* Keys that are there all the while are found, whatever the table does around them. */
#define FIRM 64u

struct growth {
	struct kv *kv;
	unsigned stop;
	uint64_t reads, missing;
};

static void *look_for_firm(void *arg)
{
	struct growth *g = arg;

	while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE)) {
		g->missing += kv_length(g->kv, g->reads % FIRM) != 0;
		g->reads++;
	}
	return NULL;
}

static void test_growth_under_readers(void **state)
{
	struct quire *q = quire_of(2 * MIB);

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		struct growth g = { 0 };
		pthread_t reader;

		assert_int_equal(kv_create(q, NULL, &g.kv), 0);
		for (uint64_t key = 0; key < FIRM; key++)
			assert_int_equal(kv_set(g.kv, key, NULL, 0), 0);
		assert_int_equal(pthread_create(&reader, NULL, look_for_firm, &g), 0);
		for (uint64_t key = FIRM; key < 30000; key++)
			assert_int_equal(kv_set(g.kv, key, NULL, 0), 0);
		/* and records that go from one chain to another */
		for (uint64_t key = FIRM; key < 30000; key++) {
			assert_int_equal(kv_delete(g.kv, key), 0);
			assert_int_equal(kv_set(g.kv, key + 30000, NULL, 0), 0);
		}
		__atomic_store_n(&g.stop, 1, __ATOMIC_RELEASE);
		pthread_join(reader, NULL);
		assert_int_equal(g.missing, 0);
		assert_true(stats_of(g.kv).grown >= 64);
		assert_int_equal(kv_validate(g.kv, NULL), 0);
		assert_int_equal(kv_destroy(g.kv), 0);
	}
	assert_int_equal(quire_destroy(q), 0);
}

#ifdef QUIRE_POINTS
/*
 * Races, one step at a time: where one thread passes a point for the folio of key 1, another one
 * does something, to its end, before the first goes on.
 */
static struct {
	const char *point;
	struct kv *kv;
	struct quire_folio *folio; /* NULL: any */
	void (*act)(void);
	unsigned times; /* how often it still acts */
	unsigned acted;
	pthread_t thread; /* that is to be disturbed */
	long rc;
	uint32_t frame;
} race;

static unsigned char race_bytes[16384];

static void *race_act(void *arg)
{
	(void)arg;
	race.act();
	return NULL;
}

static void race_hook(const char *point, void *what)
{
	pthread_t other;

	if (!pthread_equal(pthread_self(), race.thread) || strcmp(point, race.point) != 0 ||
	    (race.folio && what != race.folio) || !race.times)
		return;
	race.times--;
	race.acted++;
	assert_int_equal(pthread_create(&other, NULL, race_act, NULL), 0);
	pthread_join(other, NULL);
}

static void race_at(struct kv *kv, const char *point, unsigned times, void (*act)(void))
{
	race.kv = kv;
	race.point = point;
	race.folio = NULL;
	race.act = act;
	race.times = times;
	race.acted = 0;
	race.thread = pthread_self();
	race.rc = 0;
	quire_sync_hook_ = race_hook;
}

static unsigned race_over(void)
{
	quire_sync_hook_ = NULL;
	return race.acted;
}

/* What may be done meanwhile. None of it uses the buffers of the thread that is disturbed. */

static void act_nothing(void)
{
}

static void act_read(void)
{
	race.rc = kv_get(race.kv, 1, race_bytes, sizeof(race_bytes));
}

static void act_set(void)
{
	fill(race_bytes, 1, 2, 0, 4096);
	race.rc = kv_set(race.kv, 1, race_bytes, 4096);
}

static void act_update(void)
{
	fill(race_bytes, 1, 2, 100, 1000);
	race.rc = kv_update(race.kv, 1, 100, race_bytes, 1000);
}

static void act_replace(void)
{
	fill(race_bytes, 1, 2, 0, 9000);
	race.rc = kv_set(race.kv, 1, race_bytes, 9000);
}

static void act_delete(void)
{
	race.rc = kv_delete(race.kv, 1);
}

/* Key 1 goes, and what was its place is at once another's. */
static void act_reuse(void)
{
	race.rc = kv_delete(race.kv, 1);
	memset(race_bytes, 0xaa, 4096);
	for (uint64_t key = 100; key < 140 && !race.rc; key++)
		race.rc = kv_set(race.kv, key, race_bytes, key % 2 ? 4096 : 100);
}

static void act_return(void)
{
	act_reuse();
	if (!race.rc)
		act_set();
}

/* Another mover takes the folio elsewhere, if it can. */
static struct quire_folio *race_folio;
static struct quire *race_quire;

static void act_move(void)
{
	struct quire_move move = { .folio = race_folio };

	race.rc = quire_move_folios(race_quire, &move, 1, QUIRE_ASYNC, 0);
	race.frame = move.who.frame.n;
	if (race.rc == 1)
		race.rc = move.who.why == QUIRE_REASON_SHORT_PIN ? -EBUSY : -EPROTO;
}

static void hold_any(void *arg, struct quire_folio *folio)
{
	(void)arg;
	if (!race_folio && quire_folio_get(folio))
		race_folio = folio;
}

/*
 * Two blocks: key 1 alone in the first, others in the second: compacting moves key 1. It lies in a
 * folio of its own, or (small) in a slot.
 */
static void race_setup(struct quire **q, struct kv **kv, bool placed, bool hold)
{
	*q = quire_of(4 * MIB);
	race_quire = *q;
	race_folio = NULL;
	assert_int_equal(kv_create(*q, KV_OPTIONS(.on_isolate = hold ? hold_any : NULL), kv), 0);
	for (uint64_t key = 2; key < 5; key++) {
		fill(want, key, 1, 0, 4096);
		assert_int_equal(
			kv_set_at(*kv, key, quire_frame((uint32_t)(512 + key)), 0, want, 4096), 0);
	}
	fill(want, 1, 1, 0, 4096);
	if (placed)
		assert_int_equal(kv_set_at(*kv, 1, quire_frame(7), 0, want, 4096), 0);
	else
		assert_int_equal(kv_set(*kv, 1, want, 4096), 0);
	if (hold) {
		compact(*q);
		assert_non_null(race_folio);
	}
}

static void race_teardown(struct quire *q, struct kv *kv)
{
	for (uint64_t key = 2; key < 5; key++)
		expect(kv, key, 1, 4096);
	quire_folio_put(race_folio);
	race_folio = NULL;
	quiet(q, kv);
	close_all(q, kv);
}

/* A reader between its look at the folio and its loads. */
static void test_reader_disturbed(void **state)
{
	static const struct {
		void (*act)(void);
		long length;
		uint64_t version;
		unsigned by_move, by_writer;
	} cases[] = {
		{ act_nothing, 4096, 1, 0, 0 },	  { act_read, 4096, 1, 0, 0 },
		{ act_set, 4096, 2, 0, 1 },	  { act_replace, 9000, 2, 0, 1 },
		{ act_delete, -ENOENT, 0, 0, 1 }, { act_reuse, -ENOENT, 0, 0, 1 },
		{ act_return, 4096, 2, 0, 1 },	  { act_move, 4096, 1, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t c = i / 2;
		bool move = cases[c].act == act_move;
		struct quire *q;
		struct kv *kv;
		long n;

		race_setup(&q, &kv, move || i % 2, move);
		if (move)
			race.frame = quire_folio_frame(race_folio).n;
		race_at(kv, "read:viewed", 1, cases[c].act);
		n = kv_get(kv, 1, got, sizeof(got));
		assert_int_equal(race_over(), 1);
		assert_int_equal(n, cases[c].length);
		assert_true(race.rc >= 0);
		if (n > 0) {
			fill(want, 1, cases[c].version, 0, (size_t)n);
			assert_memory_equal(got, want, (size_t)n);
		}
		assert_int_equal(stats_of(kv).retries_move, cases[c].by_move);
		assert_int_equal(stats_of(kv).retries_writer, cases[c].by_writer);
		assert_int_equal(stats_of(kv).locked_reads, 0);
		race_teardown(q, kv);
	}
}

/* Disturbed for ever it takes the lock, and gets the value. */
static void test_reader_disturbed_always(void **state)
{
	struct quire *q;
	struct kv *kv;

	(void)state;
	race_setup(&q, &kv, true, false);
	race_at(kv, "read:viewed", 1000, act_set);
	assert_int_equal(kv_get(kv, 1, got, sizeof(got)), 4096);
	assert_int_equal(race_over(), 64);
	fill(want, 1, 2, 0, 4096);
	assert_memory_equal(got, want, 4096);
	assert_int_equal(stats_of(kv).locked_reads, 1);
	assert_int_equal(stats_of(kv).retries_writer, 64);
	race_teardown(q, kv);
}

/* A writer with its pin just published: no move takes the page from under it, no reader waits. */
static void test_writer_disturbed(void **state)
{
	struct quire *q;
	struct kv *kv;

	(void)state;
	race_setup(&q, &kv, true, true);
	race_at(kv, "pin:published", 1, act_move);
	set(kv, 1, 2, 4096);
	assert_int_equal(race_over(), 1);
	assert_int_equal(race.rc, -EBUSY);
	expect(kv, 1, 2, 4096);

	race_at(kv, "pin:published", 1, act_read);
	set(kv, 1, 3, 4096);
	assert_int_equal(race_over(), 1);
	assert_int_equal(race.rc, 4096);
	fill(want, 1, 2, 0, 4096);
	assert_memory_equal(race_bytes, want, 4096);
	expect(kv, 1, 3, 4096);
	assert_int_equal(stats_of(kv).locked_reads, 0);
	race_teardown(q, kv);
}

/* A place is given back when no record names it any more, not before. */
static void test_freer_disturbed(void **state)
{
	struct quire *q;
	struct kv *kv;

	(void)state;
	race_setup(&q, &kv, true, false);
	race_at(kv, "put:zero", 1, act_read);
	set(kv, 1, 2, 9000);
	assert_int_equal(race_over(), 1);
	assert_int_equal(race.rc, 9000);
	fill(want, 1, 2, 0, 9000);
	assert_memory_equal(race_bytes, want, 9000);

	race_at(kv, "put:zero", 1, act_read);
	assert_int_equal(kv_delete(kv, 1), 0);
	assert_int_equal(race_over(), 1);
	assert_int_equal(race.rc, -ENOENT);
	race_teardown(q, kv);
}

/* A mover at each of its steps, and everything that may happen to the value meanwhile. */
static void test_mover_disturbed(void **state)
{
	static const char *const points[] = {
		"isolate:marked", "isolate:done",  "migrate:before",   "commit:marked",
		"commit:scanned", "commit:copied", "commit:published",
	};
	static void (*const acts[])(void) = {
		act_read, act_replace, act_delete, act_reuse, act_return, act_set, act_update,
	};
	static unsigned char mixed[4096];
	uint64_t freed_isolated = 0;

	(void)state;
	for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++)
		for (size_t a = 0; a < sizeof(acts) / sizeof(acts[0]); a++) {
			bool moving = p >= 3 && p < 6;
			struct quire *q;
			struct kv *kv;
			long n;

			/* in place one waits until the copy is done; here that would be for ever */
			if (moving && (acts[a] == act_set || acts[a] == act_update))
				continue;
			race_setup(&q, &kv, true, false);
			race_at(kv, points[p], 1, acts[a]);
			assert_int_equal(compact(q), 1);
			assert_int_equal(race_over(), 1);
			assert_true(race.rc >= 0);
			n = kv_get(kv, 1, got, sizeof(got));
			if (acts[a] == act_read) {
				assert_int_equal(race.rc, 4096);
				fill(want, 1, 1, 0, 4096);
				assert_memory_equal(race_bytes, want, 4096);
				expect(kv, 1, 1, 4096);
			} else if (acts[a] == act_replace) {
				/* it fitted in its place no more */
				expect(kv, 1, 2, 9000);
			} else if (acts[a] == act_delete || acts[a] == act_reuse) {
				assert_int_equal(n, -ENOENT);
			} else if (acts[a] == act_update) {
				fill(mixed, 1, 1, 0, 4096);
				fill(mixed + 100, 1, 2, 100, 1000);
				assert_int_equal(n, 4096);
				assert_memory_equal(got, mixed, 4096);
			} else {
				expect(kv, 1, 2, 4096);
			}
			freed_isolated += stats_of(kv).freed_isolated;
			if (acts[a] == act_reuse || acts[a] == act_return)
				for (uint64_t key = 100; key < 140; key++) {
					memset(want, 0xaa, 4096);
					n = kv_get(kv, key, got, sizeof(got));
					assert_int_equal(n, key % 2 ? 4096 : 100);
					assert_memory_equal(got, want, (size_t)n);
				}
			race_teardown(q, kv);
		}
	assert_true(freed_isolated > 0);
}
#endif

/* The model: what each key should be. */
#define KEYS 600

struct entry {
	bool there;
	size_t len;
	uint64_t version;
	/* one update since then */
	uint64_t update;
	size_t at, n;
};

static struct entry model[KEYS];

static void model_expect(struct kv *kv, uint64_t key)
{
	struct entry *e = &model[key];

	if (!e->there) {
		assert_int_equal(kv_get(kv, key, got, sizeof(got)), -ENOENT);
		return;
	}
	assert_int_equal(kv_get(kv, key, got, sizeof(got)), (long)e->len);
	fill(want, key, e->version, 0, e->len);
	fill(want + e->at, key, e->update, e->at, e->n);
	assert_memory_equal(got, want, e->len);
}

static size_t random_length(uint64_t r)
{
	size_t len = lengths[r % 42];

	switch ((r >> 8) % 16) {
	case 0:
		return lengths[(r >> 16) % LENGTHS];
	case 1:
		return (size_t)((r >> 16) % 70000);
	case 2:
	case 3:
	case 4:
		return len;
	default:
		return (size_t)((r >> 16) % 3000);
	}
}

static void test_model(void **state)
{
	const char *seed_text = getenv("QUIRE_SEED"), *ops_text = getenv("QUIRE_KV_OPS");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL);
	uint64_t ops = ops_text ? strtoull(ops_text, NULL, 0) : 60000;
	uint64_t failed = 0, live = 0, bytes = 0;
	struct quire *q = quire_of(24 * MIB);
	struct kv *kv;

	(void)state;
	print_message("# QUIRE_SEED=%llu\n", (unsigned long long)seed);
	assert_int_equal(kv_create(q, NULL, &kv), 0);
	memset(model, 0, sizeof(model));
	for (uint64_t i = 0; i < ops; i++) {
		uint64_t r = mix(seed + i), key = (r >> 40) % KEYS;
		struct entry *e = &model[key];
		size_t len = random_length(mix(r));
		int rc;

		switch (r % 16) {
		case 0:
		case 1:
		case 2:
		case 3:
		case 4:
			fill(want, key, i, 0, len);
			if (r & 16)
				rc = kv_set(kv, key, want, len);
			else
				rc = kv_set_at(kv, key, quire_frame((uint32_t)((r >> 8) % 6144)), 0,
					       want, len);
			if (rc == 0) {
				live += e->there ? 0 : 1;
				*e = (struct entry){ .there = true, .len = len, .version = i };
			} else {
				assert_true(rc == -ENOMEM || (!(r & 16) && rc == -EBUSY) ||
					    (!(r & 16) && rc == -E2BIG && len > 4096));
				failed++;
			}
			break;
		case 5:
		case 6:
		case 7:
			if (e->there && e->len) {
				size_t at = (size_t)(mix(r) % e->len);
				size_t n = (size_t)(mix(~r) % (e->len - at + 1));

				/* the model remembers one update: the value underneath is laid anew
				 */
				fill(want, key, e->version, 0, e->len);
				assert_int_equal(kv_update(kv, key, 0, want, e->len), 0);
				fill(want, key, i, at, n);
				assert_int_equal(kv_update(kv, key, at, want, n), 0);
				e->update = i;
				e->at = at;
				e->n = n;
			} else {
				assert_int_equal(kv_update(kv, key, 0, "x", 1),
						 e->there ? -ERANGE : -ENOENT);
			}
			break;
		case 8:
		case 9:
		case 10:
			assert_int_equal(kv_delete(kv, key), e->there ? 0 : -ENOENT);
			live -= e->there ? 1 : 0;
			e->there = false;
			break;
		case 11:
			assert_int_equal(kv_length(kv, key), e->there ? (long)e->len : -ENOENT);
			break;
		default:
			model_expect(kv, key);
		}
		if (r % 997 == 0) {
			compact(q);
			quiet(q, kv);
		}
		assert_int_equal(kv_count(kv), live);
	}
	for (uint64_t key = 0; key < KEYS; key++) {
		model_expect(kv, key);
		bytes += model[key].there ? model[key].len : 0;
	}
	assert_int_equal(stats_of(kv).bytes, bytes);
	quiet(q, kv);
	print_message("# %llu ops, %llu refused for want of room, %llu folios moved\n",
		      (unsigned long long)ops, (unsigned long long)failed,
		      (unsigned long long)stats_of(kv).moved);
	assert_true(ops < 10000 || stats_of(kv).moved > 0);
	close_all(q, kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_placed),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_hook_looks),
		cmocka_unit_test(test_hook_deletes),
		cmocka_unit_test(test_hook_updates),
		cmocka_unit_test(test_hook_replaces),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_growth_under_readers),
#ifdef QUIRE_POINTS
		cmocka_unit_test(test_reader_disturbed),
		cmocka_unit_test(test_reader_disturbed_always),
		cmocka_unit_test(test_writer_disturbed),
		cmocka_unit_test(test_freer_disturbed),
		cmocka_unit_test(test_mover_disturbed),
#endif
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

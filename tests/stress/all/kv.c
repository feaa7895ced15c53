// SPDX-License-Identifier: MIT
/*
 * kv.c: two threads at one table. Each key is written by one of them, which knows its value
 * exactly; the other can tell whether a value is one that the key could ever have.
 */
#include "kv/kv.h"

#include "all.h"

#define KEYS 3000u
#define WORKERS 2u
#define LONGEST 9000u

static struct kv *kv;
/* Version of each key, 0: absent; its writer's alone. */
static uint64_t version[KEYS];

/* Key and version determine the length: small values mostly. */
static size_t length_of(uint64_t key, uint64_t v)
{
	uint64_t r = all_word(key, v);

	return 16 + (size_t)(r % 16 ? (r >> 8) % 700 : (r >> 8) % (LONGEST - 16));
}

static void compose(unsigned char *to, uint64_t key, uint64_t v, size_t len)
{
	uint64_t word;

	memcpy(to, &key, 8);
	memcpy(to + 8, &v, 8);
	for (size_t at = 16; at < len; at += 8) {
		word = all_word(key + v * KEYS, at);
		memcpy(to + at, &word, len - at < 8 ? len - at : 8);
	}
}

/* Is that a value of the key? Of version v, if v is not 0. */
static void look(struct all *all, uint64_t key, uint64_t v, const unsigned char *value, size_t n)
{
	unsigned char expected[LONGEST];
	uint64_t head[2];

	if (n < 16) {
		all_wrong(all, "key %llu: %zu bytes", (unsigned long long)key, n);
		return;
	}
	memcpy(head, value, sizeof(head));
	if (head[0] != key || (v && head[1] != v)) {
		all_wrong(all, "key %llu, version %llu: found key %llu, version %llu",
			  (unsigned long long)key, (unsigned long long)v,
			  (unsigned long long)head[0], (unsigned long long)head[1]);
		return;
	}
	if (n > length_of(key, head[1])) {
		all_wrong(all, "key %llu: too long", (unsigned long long)key);
		return;
	}
	compose(expected, key, head[1], n);
	if (memcmp(expected, value, n) != 0)
		all_wrong(all, "key %llu: wrong bytes", (unsigned long long)key);
}

static void read_key(struct worker *w, uint64_t key, size_t part)
{
	unsigned char buffer[LONGEST];
	bool mine = key % WORKERS == w->number;
	long n = part ? kv_read(kv, key, 0, buffer, part) : kv_get(kv, key, buffer, sizeof(buffer));

	if (n == -ENOENT) {
		if (mine && version[key])
			all_wrong(w->all, "key %llu is missing", (unsigned long long)key);
	} else if (n < 0) {
		all_wrong(w->all, "key %llu: %ld", (unsigned long long)key, n);
	} else {
		look(w->all, key, mine ? version[key] : 0, buffer, (size_t)n);
		if (mine && !version[key])
			all_wrong(w->all, "key %llu is there", (unsigned long long)key);
	}
}

static void write_key(struct worker *w, uint64_t key, uint64_t v)
{
	unsigned char buffer[LONGEST];
	size_t len = length_of(key, v);

	compose(buffer, key, v, len);
	if (!all_refused(w->all, "kv_set", kv_set(kv, key, buffer, len)))
		version[key] = v;
}

static void begin(struct all *all)
{
	assert_int_equal(kv_create(all->q, NULL, &kv), 0);
}

static uint64_t work(struct worker *w, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = prng(&w->random), key = (r >> 32) % KEYS;

		switch (r % 32) {
		case 0:
			key -= key % WORKERS;
			key += w->number;
			if (kv_delete(kv, key) != (version[key] ? 0 : -ENOENT))
				all_wrong(w->all, "deleting key %llu", (unsigned long long)key);
			version[key] = 0;
			break;
		case 1:
		case 2:
		case 3:
			key -= key % WORKERS;
			key += w->number;
			write_key(w, key, 1 + (r >> 8) % 0xffffff);
			break;
		case 4:
		case 5:
		case 6:
		case 7:
			read_key(w, key, 0);
			break;
		default:
			read_key(w, key, 48);
		}
	}
	return n;
}

static void end(struct all *all)
{
	struct worker w = { .all = all };
	struct kv_stats s = { .size = sizeof(s) };
	const char *what;

	for (uint64_t key = 0; key < KEYS; key++) {
		w.number = (unsigned)(key % WORKERS);
		read_key(&w, key, 0);
	}
	if (kv_validate(kv, &what))
		all_wrong(all, "kv_validate: %s", what);
	assert_int_equal(kv_stats_get(kv, &s), 0);
	assert_int_equal(s.isolated, s.moved + s.putbacks + s.freed_isolated);
	assert_int_equal(s.unbalanced, 0);
	printf("# kv: %llu reads, %llu writes, %llu folios moved\n", (unsigned long long)s.reads,
	       (unsigned long long)s.writes, (unsigned long long)s.moved);
	assert_int_equal(kv_destroy(kv), 0);
}

const struct role kv_role = { "kv", WORKERS, begin, work, end };

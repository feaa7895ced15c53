/* SPDX-License-Identifier: MIT */
/*
 * stress_kv.c: kv with everybody at it at once: writers who set, update and delete; readers;
 * movers that plan and execute without end, and whose isolations read as well.
 *
 * A value says whose it is: key, version, version of the last partial write, and from there on
 * bytes that key, version and position determine; its length is determined too. So a wrong byte, a
 * torn value, another key's value are all found by whoever reads. Beyond that a reader knows which
 * versions it may see at all: each key has one writer, which announces a version before it begins
 * and again after it has ended. What ended before the read began has to be seen; and if nothing
 * began before the read ended, exactly that.
 *
 * QUIRE_SEED, QUIRE_STRESS_OPS (operations of each writer, all rounds together).
 */
#include "kv/kv.h"
#include "rounds.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS 3000u
#define WRITERS 2u
#define READERS 2u
#define MOVERS 2u
#define ROUNDS 4u
#define ARENA (24ull << 20)
#if QUIRE_TSAN_ /* some fifteen times as slow */
#define OPS 60000ull
#else
#define OPS 300000ull
#endif
#define LONGEST (256u << 10)
#define HEAD 24u /* key, version, version of the last update */

static struct kv *kv;

/* version << 1 | present: begun is stored before, ended after the change. seq_cst: the order
 * between these and the table's own accesses is what the checks rest on. */
static uint64_t begun[KEYS];
static uint64_t ended[KEYS];
static unsigned writers_left, closing;
static uint64_t hooked, checked, exact, refused;

/* What key and version determine. */
static size_t length_of(uint64_t key, uint64_t version)
{
	uint64_t r = mix(key * 31 + version + seed);

	switch (r % 64) {
	case 0:
		return HEAD + (size_t)((r >> 8) % (LONGEST - HEAD));
	case 1:
	case 2:
	case 3:
		return HEAD + (size_t)((r >> 8) % 32000);
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		return HEAD + (size_t)((r >> 8) % 4073);
	default:
		return HEAD + (size_t)((r >> 8) % 1000);
	}
}

/* Updates write [HEAD - 8, updated_to): the version of the update and what follows it. */
static size_t updated_to(uint64_t key, uint64_t version, size_t len)
{
	return HEAD + (size_t)(mix(key + version) % (len - HEAD + 1));
}

/* The eight bytes at a multiple of eight. */
static uint64_t word_of(uint64_t key, uint64_t version, size_t at)
{
	return mix(key * 0x10001 + version * 7 + at / 8);
}

static size_t step(size_t at, size_t end)
{
	size_t n = 8 - at % 8;

	return n < end - at ? n : end - at;
}

static void body(unsigned char *to, uint64_t key, uint64_t version, size_t from, size_t end)
{
	for (size_t at = from, n; at < end; at += n) {
		uint64_t word = word_of(key, version, at) >> (8 * (at % 8));

		n = step(at, end);
		memcpy(to + at, &word, n);
	}
}

/* The first wrong byte, or end. */
static size_t body_wrong(const unsigned char *value, uint64_t key, uint64_t version, size_t from,
			 size_t end)
{
	for (size_t at = from, n; at < end; at += n) {
		uint64_t word = word_of(key, version, at) >> (8 * (at % 8));

		n = step(at, end);
		if (memcmp(value + at, &word, n) != 0)
			return at;
	}
	return end;
}

static void compose(unsigned char *to, uint64_t key, uint64_t version, size_t len)
{
	memcpy(to, &key, 8);
	memcpy(to + 8, &version, 8);
	memcpy(to + 16, &version, 8);
	body(to, key, version, HEAD, len);
}

/* Checks the first n bytes of a value of len, len 0: unknown; returns its newest version. */
static uint64_t check(const unsigned char *value, uint64_t key, size_t n, size_t len)
{
	uint64_t head[3];
	size_t border, real, at;

	if (n < HEAD)
		fail("key %" PRIu64 ": %zu bytes only", key, n);
	memcpy(head, value, sizeof(head));
	real = length_of(key, head[1]);
	if (head[0] != key || head[2] < head[1] || (len ? len != real : n > real))
		fail("key %" PRIu64 ": %zu bytes are of key %" PRIu64 ", versions %" PRIu64
		     " and %" PRIu64 ", %zu long",
		     key, n, head[0], head[1], head[2], real);
	border = updated_to(key, head[1], real);
	if (border > n)
		border = n;
	at = body_wrong(value, key, head[2], HEAD, border);
	if (at == border)
		at = body_wrong(value, key, head[1], border, n);
	if (at != n)
		fail("key %" PRIu64 ": wrong bytes at %zu of %zu, versions %" PRIu64
		     " and %" PRIu64,
		     key, at, real, head[1], head[2]);
	return head[2];
}

/* One read by anybody, with all that can be said about it. */
static void read_one(uint64_t key, unsigned char *buffer, size_t part)
{
	uint64_t before = LOOK(&ended[key]), after, version;
	long n = part ? kv_read(kv, key, 0, buffer, part) : kv_get(kv, key, buffer, LONGEST);

	after = LOOK(&begun[key]);
	if (n == -ENOENT) {
		if (after == before && (before & 1) && !LOOK(&closing))
			fail("key %" PRIu64 ": version %" PRIu64 " is missing", key, before >> 1);
		ADD(&exact, after == before);
		ADD(&checked, 1);
		return;
	}
	if (n < 0)
		fail("key %" PRIu64 ": reading it: %ld", key, n);
	version = check(buffer, key, (size_t)n, part ? 0 : (size_t)n);
	if (version < before >> 1 || version > after >> 1)
		fail("key %" PRIu64 ": version %" PRIu64 ", not %" PRIu64 " to %" PRIu64, key,
		     version, before >> 1, after >> 1);
	if (after == before && !(before & 1))
		fail("key %" PRIu64 ": deleted, and there", key);
	ADD(&exact, after == before);
	ADD(&checked, 1);
}

static void on_isolate(void *arg, struct quire_folio *folio)
{
	unsigned char buffer[1024];
	uint64_t key;

	(void)arg;
	if (kv_folio_key(folio, &key) || key % 4)
		return;
	read_one(key, buffer, sizeof(buffer));
	ADD(&hooked, 1);
}

static void *writer(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg, random = mix(seed + round_now * 100 + me);
	unsigned char *buffer = malloc(LONGEST);
	/* of the keys that are there: what the value was set as */
	uint64_t *base = calloc(KEYS, sizeof(*base));

	if (!buffer || !base)
		fail("no memory");
	for (uint64_t i = 0; i < ops / ROUNDS; i++) {
		uint64_t r = next(&random), key = (r >> 32) % KEYS;
		uint64_t was, version;
		size_t len, border;
		int rc;

		key -= key % WRITERS;
		key += me;
		if (key >= KEYS)
			continue;
		was = LOOK(&ended[key]);
		version = (was >> 1) + 1;
		if ((was & 1) && r % 8 < 3) {
			SAY(&begun[key], version << 1);
			rc = kv_delete(kv, key);
			if (rc)
				fail("key %" PRIu64 ": deleting it: %d", key, rc);
			SAY(&ended[key], version << 1);
			continue;
		}
		SAY(&begun[key], version << 1 | 1);
		if ((was & 1) && r % 8 < 6) {
			len = length_of(key, base[key]);
			border = updated_to(key, base[key], len);
			memcpy(buffer + 16, &version, 8);
			body(buffer, key, version, HEAD, border);
			rc = kv_update(kv, key, 16, buffer + 16, border - 16);
			if (rc)
				fail("key %" PRIu64 ": updating it: %d", key, rc);
		} else {
			len = length_of(key, version);
			compose(buffer, key, version, len);
			if ((r >> 6) % 4 == 0 && len <= 4096)
				rc = kv_set_at(kv, key,
					       quire_frame((uint32_t)((r >> 8) % (ARENA >> 12))), 0,
					       buffer, len);
			else
				rc = kv_set(kv, key, buffer, len);
			if (rc == -ENOMEM || rc == -EBUSY) {
				/* nothing changed; the version will be another's */
				SAY(&begun[key], was);
				ADD(&refused, 1);
				continue;
			}
			if (rc)
				fail("key %" PRIu64 ": setting it: %d", key, rc);
			base[key] = version;
		}
		SAY(&ended[key], version << 1 | 1);
	}
	free(buffer);
	free(base);
	__atomic_fetch_sub(&writers_left, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *reader(void *arg)
{
	uint64_t random = mix(~(seed + round_now * 100 + (uint64_t)(uintptr_t)arg));
	unsigned char *buffer = malloc(LONGEST);

	if (!buffer)
		fail("no memory");
	while (LOOK(&writers_left)) {
		uint64_t r = next(&random);

		read_one((r >> 32) % KEYS, buffer, r % 4 ? 0 : HEAD + (size_t)((r >> 8) % 3000));
	}
	free(buffer);
	return NULL;
}

/* Nothing runs any more: the table is what the writers say, and all books agree. */
static void quiet(const struct quire_stats *start)
{
	unsigned char *buffer = malloc(LONGEST);
	struct quire_stats qs = { .size = sizeof(qs) };
	struct kv_stats ks = { .size = sizeof(ks) };
	uint64_t values = 0, bytes = 0;
	const char *what;

	if (!buffer)
		fail("no memory");
	for (uint64_t key = 0; key < KEYS; key++) {
		long n = kv_length(kv, key);

		equal("begun and ended", LOOK(&begun[key]), LOOK(&ended[key]));
		read_one(key, buffer, 0);
		if (n < 0)
			continue;
		values++;
		bytes += (uint64_t)n;
	}
	free(buffer);
	if (kv_validate(kv, &what))
		fail("kv_validate: %s", what);
	if (quire_reclaim(q))
		fail("something still waits for a reader or a pin");
	kv_stats_get(kv, &ks);
	quire_stats_get(q, &qs);
	equal("values", ks.values, values);
	equal("bytes", ks.bytes, bytes);
	equal("isolations and their ends", ks.isolated, ks.moved + ks.putbacks + ks.freed_isolated);
	equal("unbalanced", ks.unbalanced, 0);
	equal("isolated", ks.isolated, qs.isolated - start->isolated);
	equal("moved", ks.moved, qs.moved - start->moved);
	equal("putbacks", ks.putbacks, qs.putbacks - start->putbacks);
	equal("freed while isolated", ks.freed_isolated, qs.freed_isolated - start->freed_isolated);
	equal("created", ks.folios_created, qs.folios_created - start->folios_created);
	equal("freed", ks.folios_freed, qs.folios_freed - start->folios_freed);
	equal("free ops", ks.folios_freed, qs.op_free - start->op_free);
	equal("folios", ks.folios, qs.folios_live);
	equal("limbo", qs.frames_limbo, 0);
	equal("owner errors", qs.owner_errors, 0);
	printf("round %u: %" PRIu64 " writes, %" PRIu64 " reads (%" PRIu64
	       " retried for a move, %" PRIu64 " for a writer, %" PRIu64
	       " by the lock), on the move %" PRIu64 " reads %" PRIu64 " writes; %" PRIu64
	       " isolated = %" PRIu64 " moved + %" PRIu64 " put back + %" PRIu64 " freed\n",
	       round_now, ks.writes, ks.reads, ks.retries_move, ks.retries_writer, ks.locked_reads,
	       ks.reads_moving, ks.writes_moving, ks.isolated, ks.moved, ks.putbacks,
	       ks.freed_isolated);
	if (ops >= OPS && !ks.moved)
		fail("nothing was moved");
}

static pthread_t start_thread(void *(*run)(void *), uintptr_t arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, (void *)arg))
		fail("no thread");
	return thread;
}

static void stop(const pthread_t *movers)
{
	SAY(&stop_movers, 1);
	for (size_t i = 0; i < MOVERS; i++)
		pthread_join(movers[i], NULL);
}

/* Odd rounds end quietly and are checked; even ones end with the mover still at it. */
static void one_round(void)
{
	pthread_t writers[WRITERS], readers[READERS], movers[MOVERS];
	struct quire_stats start = { .size = sizeof(start) };
	int rc;

	memset(begun, 0, sizeof(begun));
	memset(ended, 0, sizeof(ended));
	quire_stats_get(q, &start);
	closing = 0;
	stop_movers = 0;
	writers_left = WRITERS;
	rc = kv_create(q, KV_OPTIONS(.on_isolate = on_isolate, .watch_moves = 1), &kv);
	if (rc)
		fail("kv_create: %d", rc);
	for (uintptr_t i = 0; i < WRITERS; i++)
		writers[i] = start_thread(writer, i);
	for (uintptr_t i = 0; i < READERS; i++)
		readers[i] = start_thread(reader, i);
	for (uintptr_t i = 0; i < MOVERS; i++)
		movers[i] = start_thread(mover, i);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	if (round_now % 2) {
		stop(movers);
		quiet(&start);
	}
	SAY(&closing, 1);
	rc = kv_destroy(kv);
	if (rc)
		fail("kv_destroy: %d", rc);
	if (round_now % 2 == 0)
		stop(movers);
}

int main(void)
{
	const char *seed_text = getenv("QUIRE_SEED"), *ops_text = getenv("QUIRE_STRESS_OPS");
	struct quire_stats stats = { .size = sizeof(stats) };

	seed = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL);
	ops = ops_text ? strtoull(ops_text, NULL, 0) : OPS;
	printf("QUIRE_SEED=%" PRIu64 " QUIRE_STRESS_OPS=%" PRIu64 "\n", seed, ops);
	fflush(stdout);
	if (quire_create(QUIRE_OPTIONS(.arena_bytes = ARENA), &q))
		fail("quire_create");
	for (round_now = 0; round_now < ROUNDS; round_now++)
		one_round();
	quire_reclaim(q);
	quire_stats_get(q, &stats);
	equal("folios in the end", stats.folios_live, 0);
	equal("retired in the end", stats.folios_retired, 0);
	equal("places in limbo in the end", stats.frames_limbo, 0);
	equal("created and freed", stats.folios_created, stats.folios_freed);
	equal("isolations and their ends", stats.isolated,
	      stats.moved + stats.putbacks + stats.freed_isolated);
	equal("free frames", stats.frames_free, stats.frames);
	if (quire_destroy(q))
		fail("quire_destroy");
	printf("%" PRIu64 " plans, %" PRIu64 " folios moved, %" PRIu64 " reads checked (%" PRIu64
	       " against one version, %" PRIu64 " by isolations), %" PRIu64
	       " sets refused for want of room, 0 wrong bytes\n",
	       plans, stats.moved, checked, exact, hooked, refused);
	return 0;
}

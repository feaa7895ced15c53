// SPDX-License-Identifier: MIT
/*
 * stress_ring.c: ring with everybody at it: writers and readers of a file, pipes that keep I/O in
 * flight for a while, buffers that come and go, movers in all modes.
 *
 * Each block of the file belongs to one worker, which knows what it last wrote there: the bytes
 * follow from block, version and position. What a worker reads is compared with that, byte by byte,
 * wherever its buffer is by then; what it writes is filled in under a pin before. It has several
 * I/Os under way at a time, each on a buffer of its own. A registration that still led to an old
 * place, an I/O that began before the new one was known, a store that a move has lost: all of it
 * is wrong bytes.
 *
 * Even rounds use io_uring where there is one, odd ones threads.
 *
 * QUIRE_SEED, QUIRE_STRESS_OPS (I/Os of each worker, all rounds together).
 */
#include "ring/ring.h"
#include "rounds.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <fcntl.h>

#define WORKERS 3u
#define MOVERS 2u
#define ROUNDS 4u
#define DEPTH 12u   /* I/Os of a worker at a time */
#define BLOCKS 256u /* of the file, of each worker */
#define ARENA (16ull << 20)
#define LARGEST 4u /* order */
#if QUIRE_TSAN_	   /* some fifteen times as slow */
#define OPS 6000ull
#else
#define OPS 30000ull
#endif
#define SECOND 1000000000ull

static struct ring *ring;
static int file;
static uint64_t checked, overlapped;

/* The version last written of each block; its worker's alone. */
static uint64_t version[WORKERS][BLOCKS];

/* One of a worker's I/Os. */
struct job {
	struct ring_buffer *buffer;
	struct ring_request *request;
	enum { READ, WRITE, PIPE } kind;
	unsigned block; /* of the worker's; a pipe's cookie */
	unsigned n;	/* blocks */
};

struct worker {
	unsigned me;
	uint64_t random;
	int pipe[2];
	struct job job[DEPTH];
	pthread_t thread;
};

static uint64_t word_of(unsigned me, uint64_t block, uint64_t v, unsigned i)
{
	return mix(seed ^ ((uint64_t)me << 48) ^ (block << 32) ^ (v << 10) ^ i);
}

static void compose(uint64_t *to, unsigned me, uint64_t block, uint64_t v)
{
	for (unsigned i = 0; i < 512; i++)
		to[i] = word_of(me, block, v, i);
}

static void fill(struct worker *w, struct job *j)
{
	char *content = quire_pin(ring_buffer_folio(j->buffer));
	uint64_t words[512];

	if (!content)
		fail("a buffer cannot be pinned");
	for (unsigned i = 0; i < j->n; i++) {
		compose(words, w->me, j->block + i, ++version[w->me][j->block + i]);
		quire_write_bytes(content + i * 4096, words, 4096);
	}
	quire_unpin(ring_buffer_folio(j->buffer));
}

static void check(struct worker *w, const struct job *j)
{
	const char *content = quire_pin(ring_buffer_folio(j->buffer));
	uint64_t want[512], got[512];

	if (!content)
		fail("a buffer cannot be pinned");
	for (unsigned i = 0; i < j->n; i++) {
		if (j->kind == PIPE)
			compose(want, w->me, BLOCKS, j->block);
		else
			compose(want, w->me, j->block + i, version[w->me][j->block + i]);
		quire_read_bytes(got, content + i * 4096, 4096);
		if (memcmp(want, got, 4096) != 0)
			fail("worker %u block %u: wrong bytes in a %s of %u blocks", w->me,
			     j->block + i, j->kind == PIPE ? "pipe" : "read", j->n);
		ADD(&checked, 1);
	}
	quire_unpin(ring_buffer_folio(j->buffer));
}

static void new_buffer(struct worker *w, struct job *j)
{
	int rc;

	ring_buffer_put(j->buffer);
	do {
		rc = ring_buffer_create(ring, (unsigned)(next(&w->random) % (LARGEST + 1)),
					&j->buffer);
	} while (rc == -ENOMEM && sched_yield() == 0); /* a plan has closed much of the arena */
	if (rc)
		fail("making a buffer: %d", rc);
}

/* No two jobs of a batch touch one block, and there is one of a pipe at most. */
static bool taken(const struct worker *w, unsigned upto, const struct job *j)
{
	for (unsigned i = 0; i < upto; i++) {
		const struct job *o = &w->job[i];

		if (j->kind == PIPE ? o->kind == PIPE
				    : o->kind != PIPE && o->block < j->block + j->n &&
					      j->block < o->block + o->n)
			return true;
	}
	return false;
}

static void choose(struct worker *w, unsigned at)
{
	struct job *j = &w->job[at];
	unsigned room = (unsigned)(ring_buffer_bytes(j->buffer) / 4096);

	do {
		uint64_t r = next(&w->random);

		j->kind = r % 16 == 0 ? PIPE : r % 2 ? READ : WRITE;
		j->n = j->kind == PIPE ? 1 : 1 + (unsigned)(r >> 8) % room;
		j->block = (unsigned)((r >> 32) % (BLOCKS - j->n + 1));
	} while (taken(w, at, j));
}

static void submit(struct worker *w, struct job *j)
{
	uint64_t offset = ((uint64_t)w->me * BLOCKS + j->block) * 4096;
	int rc;

	if (j->kind == PIPE) {
		rc = ring_read(ring,
			       RING_IO(.buffer = j->buffer, .fd = w->pipe[0], .offset = RING_STREAM,
				       .bytes = 4096),
			       &j->request);
	} else if (j->kind == READ) {
		rc = ring_read(ring,
			       RING_IO(.buffer = j->buffer, .fd = file, .offset = offset,
				       .bytes = j->n * 4096),
			       &j->request);
	} else {
		fill(w, j);
		rc = ring_write(ring,
				RING_IO(.buffer = j->buffer, .fd = file, .offset = offset,
					.bytes = j->n * 4096),
				&j->request);
	}
	if (rc)
		fail("worker %u: submitting: %d", w->me, rc);
}

static void complete(struct worker *w, struct job *j)
{
	struct ring_result result = { .size = sizeof(result) };
	uint64_t words[512];
	int rc;

	if (j->kind == PIPE) {
		compose(words, w->me, BLOCKS, j->block);
		if (write(w->pipe[1], words, 4096) != 4096)
			fail("writing to a pipe: %d", errno);
	}
	rc = ring_wait(j->request, 60 * SECOND, &result);
	if (rc)
		fail("worker %u: waiting: %d", w->me, rc);
	if (result.code != (long)j->n * 4096)
		fail("worker %u: an I/O of %u blocks: %ld", w->me, j->n, result.code);
	if (j->kind != WRITE)
		check(w, j);
	ADD(&overlapped, result.overlapped);
}

/* Moves some of what is under way; not in SYNC where this thread is who ends the I/O. */
static void shake(struct worker *w)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t r = next(&w->random);
		struct job *j = &w->job[r % DEPTH];
		struct quire_move move = { .folio = ring_buffer_folio(j->buffer) };
		long left = quire_move_folios(
			q, &move, 1,
			j->kind == PIPE ? QUIRE_ASYNC : (enum quire_mode)((r >> 32) % 3), 2000000);

		if (left < 0)
			fail("moving a buffer: %ld", left);
		quire_fence_put(move.wait);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint64_t i = 0; i < ops / ROUNDS; i += DEPTH) {
		for (unsigned k = 0; k < DEPTH; k++) {
			if (!w->job[k].buffer || next(&w->random) % 8 == 0)
				new_buffer(w, &w->job[k]);
			choose(w, k);
			submit(w, &w->job[k]);
		}
		shake(w);
		for (unsigned k = 0; k < DEPTH; k++)
			complete(w, &w->job[k]);
	}
	return NULL;
}

/* The file, read without any ring, is what the workers wrote. */
static void check_file(void)
{
	uint64_t want[512], got[512];

	for (unsigned me = 0; me < WORKERS; me++)
		for (unsigned b = 0; b < BLOCKS; b++) {
			off_t offset = (off_t)(me * BLOCKS + b) * 4096;

			if (pread(file, got, 4096, offset) != 4096)
				fail("reading the file: %d", errno);
			compose(want, me, b, version[me][b]);
			if (memcmp(want, got, 4096) != 0)
				fail("the file: worker %u block %u is wrong", me, b);
		}
}

static void quiet(const struct quire_stats *start)
{
	struct quire_stats qs = { .size = sizeof(qs) };
	struct ring_stats s = { .size = sizeof(s) };

	if (quire_reclaim(q))
		fail("something still waits for a reader or a pin");
	ring_stats_get(ring, &s);
	quire_stats_get(q, &qs);
	equal("in flight", s.in_flight, 0);
	equal("unbalanced", s.unbalanced, 0);
	equal("failed", s.failed, 0);
	equal("submitted and done", s.submitted, s.done);
	equal("fixed and plain", s.fixed + s.plain, s.done);
	equal("isolations and their ends", s.isolated, s.moved + s.putbacks + s.freed_isolated);
	equal("isolated", s.isolated, qs.isolated - start->isolated);
	equal("moved", s.moved, qs.moved - start->moved);
	equal("put back", s.putbacks, qs.putbacks - start->putbacks);
	equal("freed while isolated", s.freed_isolated, qs.freed_isolated - start->freed_isolated);
	equal("buffers", s.buffers, qs.folios_live);
	equal("limbo", qs.frames_limbo, 0);
	equal("owner errors", qs.owner_errors, 0);
	equal("registrations lost", s.update_failures, 0);
	printf("# round %u, %s: %" PRIu64 " I/Os (%" PRIu64 " by registration, %" PRIu64
	       " held back, %" PRIu64 " overlapped), %" PRIu64 " moves, %" PRIu64
	       " registered anew, %" PRIu64 " waited for, %" PRIu64 " busy, %" PRIu64
	       " over the limit\n",
	       round_now, ring_backend(ring), s.done, s.fixed, s.held, s.overlapped, s.moved,
	       s.updates, s.quiesced, s.busy, s.over_limit);
	if (ops >= OPS && (!s.moved || !s.overlapped))
		fail("%" PRIu64 " moves, %" PRIu64 " I/Os overlapped: that is no test", s.moved,
		     s.overlapped);
}

static void one_round(void)
{
	static struct worker workers[WORKERS];
	struct quire_stats start = { .size = sizeof(start) };
	pthread_t movers[MOVERS];
	int rc;

	quire_stats_get(q, &start);
	rc = ring_create(q,
			 RING_OPTIONS(.choice = round_now % 2 ? RING_THREADS : RING_BEST,
				      /* one each may wait for a pipe */
				      .threads = WORKERS + 1),
			 &ring);
	if (rc)
		fail("ring_create: %d", rc);
	SAY(&stop_movers, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){ .me = i, .random = mix(seed + round_now * 100 + i) };
		if (pipe2(w->pipe, O_CLOEXEC) || pthread_create(&w->thread, NULL, work, w))
			fail("starting a worker");
	}
	for (uintptr_t i = 0; i < MOVERS; i++)
		if (pthread_create(&movers[i], NULL, mover, (void *)i))
			fail("starting a mover");
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	/* in every other pair of rounds the ring ends with movers still at it */
	if (round_now >= 2) {
		rc = ring_destroy(ring);
		if (rc)
			fail("ring_destroy: %d", rc);
	}
	SAY(&stop_movers, 1);
	for (unsigned i = 0; i < MOVERS; i++)
		pthread_join(movers[i], NULL);
	if (round_now < 2) {
		quiet(&start);
		rc = ring_destroy(ring);
		if (rc)
			fail("ring_destroy: %d", rc);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		close(workers[i].pipe[0]);
		close(workers[i].pipe[1]);
	}
	check_file();
}

static void make_file(void)
{
	const char *dir = getenv("TMPDIR");
	uint64_t words[512];
	char path[512];

	snprintf(path, sizeof(path), "%s/quire-stress-ring-XXXXXX", dir && *dir ? dir : "/var/tmp");
	file = mkostemp(path, O_CLOEXEC);
	if (file < 0)
		fail("a file in %s: %d", path, errno);
	unlink(path);
	for (unsigned me = 0; me < WORKERS; me++)
		for (unsigned b = 0; b < BLOCKS; b++) {
			compose(words, me, b, 0);
			if (pwrite(file, words, 4096, (off_t)(me * BLOCKS + b) * 4096) != 4096)
				fail("writing the file: %d", errno);
		}
}

int main(void)
{
	const char *seed_text = getenv("QUIRE_SEED"), *ops_text = getenv("QUIRE_STRESS_OPS");
	struct quire_stats stats = { .size = sizeof(stats) };

	seed = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL);
	ops = ops_text ? strtoull(ops_text, NULL, 0) : OPS;
	printf("# QUIRE_SEED=%" PRIu64 " QUIRE_STRESS_OPS=%" PRIu64 "\n", seed, ops);
	fflush(stdout);
	make_file();
	if (quire_create(QUIRE_OPTIONS(.arena_bytes = ARENA), &q))
		fail("quire_create");
	for (round_now = 0; round_now < ROUNDS; round_now++)
		one_round();
	quire_reclaim(q);
	quire_stats_get(q, &stats);
	equal("folios in the end", stats.folios_live, 0);
	equal("retired in the end", stats.folios_retired, 0);
	equal("created and freed", stats.folios_created, stats.folios_freed);
	equal("isolations and their ends", stats.isolated,
	      stats.moved + stats.putbacks + stats.freed_isolated);
	equal("free frames", stats.frames_free, stats.frames);
	if (quire_destroy(q))
		fail("quire_destroy");
	close(file);
	printf("# %" PRIu64 " plans, %" PRIu64 " folios moved, %" PRIu64
	       " I/Os overlapped, %" PRIu64 " blocks checked, 0 wrong bytes\n",
	       plans, stats.moved, overlapped, checked);
	return 0;
}

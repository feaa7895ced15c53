// SPDX-License-Identifier: MIT
/*
 * stress_gem.c: a gem with everybody at it at once: threads that submit jobs, create and drop
 * objects, unbind, pin and read them; movers that plan and execute without end, in all modes;
 * moves of single folios to random places.
 *
 * Each object has one thread, which keeps the same bytes in plain memory and does there, as it
 * submits a job, what the job will do: jobs on an object run in the order they were submitted. So
 * the result of every job is known before it runs. A wrong byte is found by the next sum over it,
 * by the next look by the CPU, or at the latest at the end of the round, when all bytes are
 * compared.
 *
 * QUIRE_SEED, QUIRE_STRESS_OPS (jobs of each thread, all rounds together). QUIRE_GEM_SEEDS, an
 * or-ed enum gem_seed, leaves flushes out: then this must fail.
 */
#include "gem/gem.h"
#include "rounds.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUBMITTERS 3u
#define MOVERS 2u
#define ROUNDS 4u
#define OBJECTS 16u /* of each thread */
#define PENDING 32u /* jobs of a thread whose result is awaited */
#define FOLIOS_MAX 64u
#define BYTES_MAX (256u << 10)
#define ARENA (24ull << 20)
#if QUIRE_TSAN_
#define OPS 8000ull
#else
#define OPS 60000ull
#endif

static struct gem *gem;
static struct quire_owner *stranger;
static uint64_t seeds;
static uint64_t checked, compared, overlapped, moves, moves_failed, foreign, refused;

struct thing {
	struct gem_object *object; /* NULL: none */
	uint64_t bytes;
	unsigned char *shadow;
};

struct pending {
	struct gem_ticket ticket; /* n 0: none */
	struct gem_done done;
	enum gem_job_kind kind;
	uint64_t sum;
};

struct submitter {
	pthread_t thread;
	uint64_t random;
	uint64_t jobs;
	struct thing thing[OBJECTS];
	struct pending pending[PENDING];
	unsigned at; /* the next of pending */
	/* a pin that somebody else holds on a folio for a while */
	struct quire_pin *pin;
	struct gem_object *pinned;
	unsigned char buffer[BYTES_MAX];
};

static struct submitter submitters[SUBMITTERS];

static uint64_t below(struct submitter *s, uint64_t n)
{
	return next(&s->random) % n;
}

/* --- jobs and their model ----------------------------------------------------------------- */

static void settle(struct pending *p)
{
	int rc;

	if (!p->ticket.n)
		return;
	rc = gem_wait(gem, p->ticket, 0);
	if (rc)
		fail("waiting for a job: %d", rc);
	if (p->done.code)
		fail("a job of kind %d: %d", (int)p->kind, p->done.code);
	if (p->kind == GEM_SUM && p->done.sum != p->sum)
		fail("a sum is %" PRIx64 ", not %" PRIx64, p->done.sum, p->sum);
	ADD(&checked, p->kind == GEM_SUM);
	ADD(&overlapped, p->done.overlapped);
	p->ticket.n = 0;
}

static void settle_all(struct submitter *s)
{
	for (unsigned i = 0; i < PENDING; i++)
		settle(&s->pending[(s->at + i) % PENDING]);
}

/* What the job does, done to the shadows. */
static uint64_t do_shadow(const struct gem_job *job, unsigned char *dst, const unsigned char *src)
{
	uint64_t sum = 0, word;

	switch (job->kind) {
	case GEM_FILL:
		for (uint64_t i = 0; i < job->bytes; i += 8) {
			word = gem_fill_word(job->value, (job->dst_at + i) / 8);
			memcpy(dst + i, &word, 8);
		}
		break;
	case GEM_COPY:
		memmove(dst, src, job->bytes);
		break;
	case GEM_SUM:
		for (uint64_t i = 0; i < job->bytes; i += 8) {
			memcpy(&word, src + i, 8);
			sum += gem_sum_word(i / 8, word);
		}
		break;
	case GEM_BLUR:
		for (uint64_t i = 0; i < job->bytes; i++) {
			unsigned left = src[i ? i - 1 : i], mid = src[i];
			unsigned right = src[i + 1 < job->bytes ? i + 1 : i];

			dst[i] = (unsigned char)((left + mid + right) / 3);
		}
		break;
	}
	return sum;
}

static bool may_run(const struct gem_job *job)
{
	return job->dst != job->src || job->dst_at >= job->src_at + job->bytes ||
	       job->src_at >= job->dst_at + job->bytes;
}

static void one_job(struct submitter *s)
{
	struct thing *d = &s->thing[below(s, OBJECTS)], *f = &s->thing[below(s, OBJECTS)];
	struct pending *p = &s->pending[s->at];
	struct gem_job job = { .size = sizeof(job), .value = next(&s->random), .done = &p->done };
	uint64_t words;
	int rc;

	if (!d->object || !f->object)
		return;
	job.kind = (enum gem_job_kind)below(s, 4);
	words = (f->bytes < d->bytes ? f->bytes : d->bytes) / 8;
	words = 1 + below(s, below(s, 2) ? words : (words < 600 ? words : 600));
	job.bytes = words * 8;
	if (job.kind != GEM_SUM) {
		job.dst = d->object;
		job.dst_at = below(s, d->bytes / 8 - words + 1) * 8;
	}
	if (job.kind != GEM_FILL) {
		job.src = f->object;
		job.src_at = below(s, f->bytes / 8 - words + 1) * 8;
	}
	if (!may_run(&job))
		return;
	settle(p);
	p->kind = job.kind;
	rc = gem_submit(gem, &job, &p->ticket);
	if (rc)
		fail("submitting a job: %d", rc);
	p->sum = do_shadow(&job, d->shadow + job.dst_at, f->shadow + job.src_at);
	s->at = (s->at + 1) % PENDING;
	s->jobs++;
}

/* --- objects ------------------------------------------------------------------------------ */

static void compare(struct submitter *s, struct thing *t)
{
	int rc = gem_object_read(t->object, 0, s->buffer, t->bytes);

	if (rc)
		fail("reading an object: %d", rc);
	for (uint64_t i = 0; i < t->bytes; i++)
		if (s->buffer[i] != t->shadow[i])
			fail("byte %" PRIu64 " of %" PRIu64 " is %02x, not %02x", i, t->bytes,
			     s->buffer[i], t->shadow[i]);
	ADD(&compared, t->bytes);
}

static void drop(struct submitter *s, struct thing *t)
{
	if (!t->object)
		return;
	if (s->pinned == t->object) {
		quire_unpin_long(s->pin);
		s->pin = NULL;
		s->pinned = NULL;
	}
	gem_object_put(t->object); /* jobs on it may be in flight */
	free(t->shadow);
	t->object = NULL;
}

static void make(struct submitter *s, struct thing *t)
{
	uint64_t frames = 1 + below(s, below(s, 3) ? 8 : FOLIOS_MAX);
	unsigned order = (unsigned)below(s, 6);
	struct gem_place place[4];
	int rc;

	if (below(s, 3)) {
		rc = gem_object_create(gem, frames * QUIRE_FRAME_BYTES - below(s, 4000), order,
				       &t->object);
	} else {
		for (unsigned i = 0; i < 4; i++) {
			place[i].order = (unsigned)below(s, 4);
			place[i].at = quire_frame((uint32_t)(below(s, ARENA >> 12 >> 3) << 3));
		}
		rc = gem_object_create_at(gem, place, 1 + below(s, 4), &t->object);
	}
	if (rc == -ENOMEM || rc == -EBUSY) {
		t->object = NULL;
		ADD(&refused, 1);
		return;
	}
	if (rc)
		fail("creating an object: %d", rc);
	t->bytes = gem_object_bytes(t->object);
	t->shadow = calloc(1, t->bytes);
	if (!t->shadow)
		fail("no memory");
}

/* Some folios of an object, to random places or anywhere. */
static void move_some(struct submitter *s, struct thing *t)
{
	struct quire_move move[FOLIOS_MAX];
	size_t n = gem_object_folios(t->object), k = 0;
	long left;

	memset(move, 0, sizeof(move));
	for (size_t i = 0; i < n && k < FOLIOS_MAX; i++) {
		if (below(s, 4) == 0)
			continue;
		move[k].folio = gem_object_folio(t->object, i);
		if (below(s, 2)) {
			move[k].to_set = 1;
			move[k].to = quire_frame((uint32_t)below(s, ARENA >> 12) &
						 ~((1u << quire_folio_order(move[k].folio)) - 1));
		}
		k++;
	}
	if (!k)
		return;
	left = quire_move_folios(q, move, k, (enum quire_mode)below(s, 3), 1000000);
	if (left < 0)
		fail("moving folios: %ld", left);
	for (size_t i = 0; i < k; i++)
		quire_fence_put(move[i].wait);
	ADD(&moves, k);
	ADD(&moves_failed, (uint64_t)left);
}

static void pin_or_unpin(struct submitter *s, struct thing *t)
{
	int rc;

	if (s->pin) {
		quire_unpin_long(s->pin);
		s->pin = NULL;
		s->pinned = NULL;
		return;
	}
	rc = quire_pin_long(gem_object_folio(t->object, 0), stranger, &s->pin);
	if (rc)
		fail("pinning a folio: %d", rc);
	s->pinned = t->object;
	ADD(&foreign, 1);
}

static void other_things(struct submitter *s)
{
	struct thing *t = &s->thing[below(s, OBJECTS)];
	uint64_t at;
	int rc;

	if (!t->object) {
		make(s, t);
		return;
	}
	switch (below(s, 8)) {
	case 0:
		drop(s, t);
		break;
	case 1:
		rc = gem_object_unbind(t->object, 0);
		if (!rc && below(s, 2))
			rc = gem_object_bind(t->object, 0);
		if (rc)
			fail("unbinding or binding an object: %d", rc);
		break;
	case 2:
		settle_all(s);
		compare(s, t);
		at = below(s, t->bytes);
		t->shadow[at] ^= 0x55;
		rc = gem_object_write(t->object, at, &t->shadow[at], 1);
		if (rc)
			fail("writing to an object: %d", rc);
		break;
	case 3:
		pin_or_unpin(s, t);
		break;
	default:
		move_some(s, t);
		break;
	}
}

static void *submitter(void *arg)
{
	struct submitter *s = arg;

	s->random = mix(seed + round_now * 100 + (uint64_t)(s - submitters));
	s->jobs = 0;
	for (unsigned i = 0; i < OBJECTS; i++)
		make(s, &s->thing[i]);
	while (s->jobs < ops / ROUNDS) {
		if (below(s, 4))
			one_job(s);
		else
			other_things(s);
	}
	settle_all(s);
	quire_unpin_long(s->pin);
	s->pin = NULL;
	s->pinned = NULL;
	for (unsigned i = 0; i < OBJECTS; i++)
		if (s->thing[i].object)
			compare(s, &s->thing[i]);
	return NULL;
}

/* --- rounds ------------------------------------------------------------------------------- */

/* Nothing runs any more: all books agree. */
static void quiet(const struct quire_stats *start)
{
	struct quire_stats qs = { .size = sizeof(qs) };
	struct gem_stats gs = { .size = sizeof(gs) };
	const char *what;

	if (gem_idle(gem, 0))
		fail("the engine does not come to rest");
	if (quire_reclaim(q))
		fail("something still waits for a reader or a pin");
	if (gem_validate(gem, &what))
		fail("gem_validate: %s", what);
	gem_stats_get(gem, &gs);
	quire_stats_get(q, &qs);
	equal("isolations and their ends", gs.isolated, gs.moved + gs.putbacks + gs.freed_isolated);
	equal("isolated", gs.isolated, qs.isolated - start->isolated);
	equal("moved", gs.moved, qs.moved - start->moved);
	equal("putbacks", gs.putbacks, qs.putbacks - start->putbacks);
	equal("freed while isolated", gs.freed_isolated, qs.freed_isolated - start->freed_isolated);
	equal("created", gs.folios_created, qs.folios_created - start->folios_created);
	equal("freed", gs.folios_freed, qs.folios_freed - start->folios_freed);
	equal("folios", gs.folios, qs.folios_live);
	equal("failed jobs", gs.jobs_failed, 0);
	equal("owner errors", qs.owner_errors, 0);
	printf("# round %u: %" PRIu64 " jobs, %" PRIu64 " of them overlapped (%" PRIu64
	       " on the object itself), %" PRIu64 " held back; %" PRIu64 " isolated = %" PRIu64
	       " moved (%" PRIu64 " busy) + %" PRIu64 " put back + %" PRIu64 " freed; %" PRIu64
	       " batches, %" PRIu64 " flushes, %" PRIu64 " rebinds, %" PRIu64 " waits (%" PRIu64
	       " in vain), refused %" PRIu64 " busy %" PRIu64 " locked out %" PRIu64 " pinned\n",
	       round_now, gs.jobs, gs.overlapped_jobs, gs.overlapped_same, gs.held_back,
	       gs.isolated, gs.moved, gs.moved_busy, gs.putbacks, gs.freed_isolated, gs.migrations,
	       gs.flushes, gs.rebinds, gs.waits, gs.wait_timeouts, gs.busy, gs.locked_out,
	       gs.foreign_pins);
	if (ops >= OPS && (!gs.moved || !gs.overlapped_jobs || !gs.moved_busy))
		fail("too little happened");
}

static pthread_t start_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg))
		fail("no thread");
	return thread;
}

static void stop(const pthread_t *movers)
{
	SAY(&stop_movers, 1);
	for (size_t i = 0; i < MOVERS; i++)
		pthread_join(movers[i], NULL);
}

/* Odd rounds end quietly and are checked; even ones end with the movers still at it. */
static void one_round(void)
{
	struct quire_stats start = { .size = sizeof(start) };
	pthread_t movers[MOVERS];
	int rc;

	quire_stats_get(q, &start);
	stop_movers = 0;
	rc = gem_create(q,
			GEM_OPTIONS(.seeds = (uint32_t)seeds, .tlb = 16, .queue = 64,
				    .depth = 1 + round_now, .patience_ns = 1000000,
				    .rebind_at_putback = round_now > 1,
				    .deadline_ns = 120000000000ull),
			&gem);
	if (rc)
		fail("gem_create: %d", rc);
	for (size_t i = 0; i < SUBMITTERS; i++)
		submitters[i].thread = start_thread(submitter, &submitters[i]);
	for (uintptr_t i = 0; i < MOVERS; i++)
		movers[i] = start_thread(mover, (void *)i);
	for (size_t i = 0; i < SUBMITTERS; i++)
		pthread_join(submitters[i].thread, NULL);
	if (round_now % 2) {
		stop(movers);
		quiet(&start);
	}
	for (size_t i = 0; i < SUBMITTERS; i++)
		for (size_t k = 0; k < OBJECTS; k++) {
			struct thing *t = &submitters[i].thing[k];

			/* half of them are left to gem_destroy() */
			if (k % 2)
				drop(&submitters[i], t);
			else if (t->object)
				free(t->shadow);
			t->object = NULL;
		}
	while ((rc = gem_destroy(gem)) == -EBUSY && round_now % 2 == 0)
		;
	if (rc)
		fail("gem_destroy: %d", rc);
	if (round_now % 2 == 0)
		stop(movers);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
	struct quire_stats stats = { .size = sizeof(stats) };

	seed = setting("QUIRE_SEED", (uint64_t)time(NULL));
	ops = setting("QUIRE_STRESS_OPS", OPS);
	seeds = setting("QUIRE_GEM_SEEDS", 0);
	printf("# QUIRE_SEED=%" PRIu64 " QUIRE_STRESS_OPS=%" PRIu64 "\n", seed, ops);
	fflush(stdout);
	if (quire_create(QUIRE_OPTIONS(.arena_bytes = ARENA), &q) ||
	    quire_owner_create(q, "stranger", NULL, NULL, &stranger))
		fail("quire_create");
	for (round_now = 0; round_now < ROUNDS; round_now++)
		one_round();
	quire_reclaim(q);
	quire_stats_get(q, &stats);
	equal("folios in the end", stats.folios_live, 0);
	equal("retired in the end", stats.folios_retired, 0);
	equal("places in limbo in the end", stats.frames_limbo, 0);
	equal("isolations and their ends", stats.isolated,
	      stats.moved + stats.putbacks + stats.freed_isolated);
	equal("free frames", stats.frames_free, stats.frames);
	if (quire_owner_destroy(stranger) || quire_destroy(q))
		fail("quire_destroy");
	printf("# %" PRIu64 " plans, %" PRIu64 " folios moved (%" PRIu64 " of %" PRIu64
	       " asked for one by one were not), %" PRIu64 " foreign pins, %" PRIu64
	       " objects refused for want of room; %" PRIu64 " sums checked, %" PRIu64
	       " bytes compared, %" PRIu64 " jobs overlapped, 0 wrong bytes\n",
	       plans, stats.moved, moves_failed, moves, foreign, refused, checked, compared,
	       overlapped);
	return 0;
}

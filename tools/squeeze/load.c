/* SPDX-License-Identifier: MIT */
/*
 * Where a thread goes next. Few of all folios are on the move at a time, for a fraction of a
 * millisecond. Owners that are told of an isolation leave the thing's number in a ring of hints; a
 * thread takes a recent one, or its own last hit, and tries some of that block's things until one
 * is on the move: so what has no ops is met as well. gem and ring have rings of their own, for
 * their folios are few, and those the whole is about. One access in eight goes anywhere.
 *
 * Between accesses each thread looks after some jobs of gem and I/Os of ring, that run by
 * themselves. The pages they are at are left alone by all threads until they have ended.
 */
#include "load.h"

#include <errno.h>
#include <kv/kv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "content.h"
#include "ios.h"
#include "jobs.h"
#include "legacy.h"
#include "random.h"
#include "watch.h"

#define HINTS 32u /* a power of two */
#define TRIES 8u  /* things of a block looked at for one on the move */
#define WRITES 8u /* one access in so many is a write */
#define FULL 16u  /* one read in so many is of the whole page */
#define TURNS 8u  /* accesses between two looks at jobs and I/Os */
#define FIRST_NS 2000000000u
#define ENDED_NS 2000000u
#define NOTHING WATCH_NOTHING

struct worker {
	struct load *load;
	pthread_t thread;
	struct rng rng;
	uint32_t last; /* the thing last met on the move */
	struct load_sum sum;
	struct jobs *jobs;
	struct ios *ios;
	uint64_t buffer[CONTENT_WORDS];
	uint64_t next[CONTENT_WORDS];
};

/* A ring of numbers of things, the latest at head - 1. */
struct hints {
	uint32_t head;	       /* atomic */
	uint32_t thing[HINTS]; /* atomic */
};

/* What the first isolation of its kind waits for. */
struct first {
	int met;    /* atomic */
	int waited; /* atomic */
};

struct load {
	struct arena *arena;
	unsigned n, started;
	int file;	     /* of ios.h */
	unsigned running;    /* atomic */
	int stop;	     /* atomic */
	struct first access; /* an access met a folio on the move */
	struct first ended;  /* and came to its end: nobody else was at the page */
	struct first job;    /* a job was verified while one of gem's was */
	struct first io;     /* an I/O was begun on one of ring's that was */
	struct hints gem, ring, any;
	struct worker *workers;
};

static void relax(unsigned spin)
{
	if (spin % 64 == 63)
		sched_yield();
}

static bool on_the_move(const struct thing *t)
{
	const struct quire_folio *folio = __atomic_load_n(&t->folio, __ATOMIC_ACQUIRE);

	return folio && quire_folio_on_the_move(folio);
}

static void leave_hint(struct hints *h, size_t thing)
{
	uint32_t i = __atomic_fetch_add(&h->head, 1, __ATOMIC_RELAXED);

	__atomic_store_n(&h->thing[i % HINTS], (uint32_t)thing, __ATOMIC_RELAXED);
}

/* One of the latest; NOTHING if there is none yet. */
static uint32_t take_hint(const struct hints *h, uint32_t random)
{
	uint32_t head = __atomic_load_n(&h->head, __ATOMIC_RELAXED), back;

	if (!head)
		return NOTHING;
	back = random % (head < HINTS / 2 ? head : HINTS / 2);
	return __atomic_load_n(&h->thing[(head - 1 - back) % HINTS], __ATOMIC_RELAXED);
}

static struct thing *choose(struct worker *w)
{
	struct load *load = w->load;
	struct stage *s = load->arena->stage;
	uint64_t r = rng_next(&w->rng);
	uint32_t near = NOTHING, block, from, n;

	if (r % 8 == 1 || r % 8 == 2) {
		near = take_hint(r % 8 == 1 ? &load->gem : &load->ring, (uint32_t)(r >> 8));
		if (near != NOTHING && on_the_move(&s->things[near]))
			return &s->things[near];
	} else if (r % 8 > 4) {
		near = take_hint(&load->any, (uint32_t)(r >> 8));
	}
	if (near == NOTHING)
		near = w->last;
	if (near == NOTHING || r % 8 == 0)
		return &s->things[rng_below(&w->rng, s->n)];

	block = s->things[near].frame / QUIRE_BLOCK_FRAMES;
	from = s->first[block];
	n = s->first[block + 1] - from;
	for (unsigned i = 0; i < TRIES; i++) {
		near = from + rng_below(&w->rng, n);
		if (on_the_move(&s->things[near]))
			break;
	}
	return &s->things[near];
}

static void meet(struct first *f)
{
	if (!__atomic_load_n(&f->met, __ATOMIC_RELAXED))
		__atomic_store_n(&f->met, 1, __ATOMIC_RELAXED);
}

/*
 * Pages that jobs or I/Os may be at: they keep them for longer than it would be worth to wait, and
 * their stores are plain ones, so that a reader has to keep them out.
 */
static bool is_shared(const struct arena *a, const struct thing *t)
{
	enum holder h = arena_holder(a, t);

	return h == HOLDER_GEM || h == HOLDER_RING;
}

static void begin_access(struct worker *w, const struct thing *t, bool *counts)
{
	*counts = on_the_move(t);
	if (*counts) {
		w->last = (uint32_t)(t - w->load->arena->stage->things);
		meet(&w->load->access);
	}
	w->sum.all++;
}

static void end_access(struct worker *w, bool counts, uint64_t since)
{
	if (!counts)
		return;
	w->sum.accesses++;
	meet(&w->load->ended);
	histogram_add(&w->sum.stalls, clock_ns() - since);
}

static uint64_t base_of(const struct stage *s, uint32_t page)
{
	return __atomic_load_n(&s->base[page], __ATOMIC_RELAXED);
}

static void check(struct worker *w, const struct thing *t, uint64_t base, const void *found,
		  size_t offset, size_t n)
{
	const struct stage *s = w->load->arena->stage;
	size_t wrong = content_wrong(found, base, offset, n);

	if (!wrong)
		return;
	if (!w->sum.wrong)
		w->sum.first_thing = (uint64_t)(t - s->things);
	w->sum.wrong += wrong;
}

/* Copies out of a thing, wherever it is. false: it could not be reached, which is an error. */
static bool read_some(struct worker *w, const struct thing *t, size_t offset, size_t n)
{
	struct arena *a = w->load->arena;
	struct quire_view view;
	const char *from;
	bool stale;

	switch (arena_holder(a, t)) {
	case HOLDER_KV:
		return kv_read(a->kv, (uint64_t)(t - a->stage->things), offset, w->buffer, n) ==
		       (long)n;
	case HOLDER_LEGACY:
		from = legacy_address(a->legacy, t->unit);
		quire_read_bytes(w->buffer, from + offset, n);
		return true;
	default:
		if (quire_read_enter())
			return false;
		do {
			view = quire_view(t->folio);
			if (!view.data)
				break;
			quire_read_bytes(w->buffer, view.data + offset, n);
			stale = quire_view_stale(t->folio, view);
		} while (stale);
		quire_read_leave();
		return view.data != NULL;
	}
}

/* With the page's sequence. 1: read; 0: somebody is at it; negative: it could not be reached. */
static int read_alone(struct worker *w, const struct thing *t, uint32_t page, size_t offset,
		      size_t n, uint64_t *base)
{
	struct sequence *s = &w->load->arena->stage->sequence[page];
	uint32_t before;
	bool read;

	if (!sequence_lock(s, &before))
		return 0;
	*base = base_of(w->load->arena->stage, page);
	read = read_some(w, t, (size_t)(page - t->page) * CONTENT_PAGE + offset, n);
	sequence_cancel(s, before);
	return read ? 1 : -EIO;
}

/* Whenever nobody writes it meanwhile. The same answers, but 0. */
static int read_between(struct worker *w, const struct thing *t, uint32_t page, size_t offset,
			size_t n, uint64_t *base)
{
	const struct stage *s = w->load->arena->stage;
	uint32_t before;

	for (unsigned spin = 0;; spin++) {
		before = sequence_read(&s->sequence[page]);
		if (before & 1) {
			relax(spin);
			continue;
		}
		*base = base_of(s, page);
		if (!read_some(w, t, (size_t)(page - t->page) * CONTENT_PAGE + offset, n))
			return -EIO;
		if (sequence_same(&s->sequence[page], before))
			return 1;
	}
}

static void reader(struct worker *w, const struct thing *t)
{
	const struct arena *a = w->load->arena;
	uint64_t r = rng_next(&w->rng), since, base = 0;
	uint32_t page = t->page + ((uint32_t)r & ((1u << t->order) - 1));
	size_t offset, n;
	bool counts;
	int got;

	if ((r >> 16) % FULL) {
		n = 64u << (r >> 24) % 4;
		offset = (r >> 32) % (CONTENT_PAGE / n) * n;
	} else {
		n = CONTENT_PAGE;
		offset = 0;
	}
	begin_access(w, t, &counts);
	since = clock_ns();
	if (is_shared(a, t))
		got = read_alone(w, t, page, offset, n, &base);
	else
		got = read_between(w, t, page, offset, n, &base);
	w->sum.errors += got < 0;
	if (got <= 0)
		return;
	end_access(w, counts, since);
	check(w, t, base, w->buffer, offset, n);
}

/*
 * Checks what stands there, so that no lost store is hidden by the next one, and writes the next
 * version. The caller has the page's sequence, and holds the address still.
 */
static void rewrite(struct worker *w, const struct thing *t, uint32_t page, uint32_t before,
		    char *at)
{
	const struct stage *s = w->load->arena->stage;
	uint64_t next = content_base(s->seed, page, sequence_version(before) + 1);

	quire_read_bytes(w->buffer, at, CONTENT_PAGE);
	check(w, t, base_of(s, page), w->buffer, 0, CONTENT_PAGE);
	content_make(w->next, next);
	quire_write_bytes(at, w->next, CONTENT_PAGE);
	__atomic_store_n(&s->base[page], next, __ATOMIC_RELAXED);
}

/* The same through kv's calls, which hold no address for longer than they last. */
static bool kv_rewrite(struct worker *w, const struct thing *t, uint32_t page, uint32_t before)
{
	struct arena *a = w->load->arena;
	uint64_t key = (uint64_t)(t - a->stage->things);
	size_t offset = (size_t)(page - t->page) * CONTENT_PAGE;
	uint64_t next = content_base(a->stage->seed, page, sequence_version(before) + 1);

	content_make(w->next, next);
	if (kv_read(a->kv, key, offset, w->buffer, CONTENT_PAGE) != (long)CONTENT_PAGE ||
	    kv_update(a->kv, key, offset, w->next, CONTENT_PAGE))
		return false;
	__atomic_store_n(&a->stage->base[page], next, __ATOMIC_RELAXED);
	return true;
}

/* Gets hold of a thing's address. NULL: could not. */
static char *hold(struct arena *a, const struct thing *t)
{
	switch (arena_holder(a, t)) {
	case HOLDER_LEGACY:
		return legacy_address(a->legacy, t->unit);
	default:
		return quire_pin(t->folio);
	}
}

static void let_go(const struct arena *a, const struct thing *t)
{
	if (arena_holder(a, t) != HOLDER_LEGACY)
		quire_unpin(t->folio);
}

static void writer(struct worker *w, const struct thing *t)
{
	struct arena *a = w->load->arena;
	struct stage *s = a->stage;
	uint32_t page = t->page + ((uint32_t)rng_next(&w->rng) & ((1u << t->order) - 1));
	bool kv = arena_holder(a, t) == HOLDER_KV, counts;
	uint32_t before = 0;
	uint64_t since, base;
	char *to = NULL;

	begin_access(w, t, &counts);
	since = clock_ns();
	/* the address before the sequence: nobody is kept out of a page by one who waits for a move
	 */
	for (unsigned spin = 0;; spin++) {
		if (!kv) {
			to = hold(a, t);
			if (!to) {
				w->sum.errors++;
				return;
			}
		}
		if (sequence_lock(&s->sequence[page], &before))
			break;
		if (!kv)
			let_go(a, t);
		if (is_shared(a, t))
			return;
		relax(spin);
	}
	if (kv) {
		base = base_of(s, page);
		if (!kv_rewrite(w, t, page, before)) {
			sequence_cancel(&s->sequence[page], before);
			w->sum.errors++;
			return;
		}
		end_access(w, counts, since);
		sequence_unlock(&s->sequence[page], before);
		check(w, t, base, w->buffer, 0, CONTENT_PAGE);
		return;
	}
	end_access(w, counts, since);
	rewrite(w, t, page, before, to + (size_t)(page - t->page) * CONTENT_PAGE);
	sequence_unlock(&s->sequence[page], before);
	let_go(a, t);
}

static void look_after_users(struct worker *w)
{
	struct load *load = w->load;
	uint64_t r = rng_next(&w->rng);

	jobs_step(w->jobs, load->arena, rng_next(&w->rng), take_hint(&load->gem, (uint32_t)r));
	if (jobs_sum(w->jobs)->overlapped)
		meet(&load->job);
	if (ios_step(w->ios, load->arena, rng_next(&w->rng), take_hint(&load->ring, (uint32_t)r)))
		meet(&load->io);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct load *load = w->load;

	__atomic_fetch_add(&load->running, 1, __ATOMIC_RELEASE);
	for (unsigned turn = 0; !__atomic_load_n(&load->stop, __ATOMIC_RELAXED); turn++) {
		const struct thing *t = choose(w);

		if (turn % TURNS == 0)
			look_after_users(w);

		if (rng_next(&w->rng) % WRITES)
			reader(w, t);
		else
			writer(w, t);
	}
	jobs_finish(w->jobs, load->arena);
	ios_finish(w->ios, load->arena);
	return NULL;
}

/*
 * A small layout may be squeezed before a worker gets a turn of the processor; then nothing would
 * have been tried under load. So the first isolation of a kind, and only it, waits until it was
 * met.
 */
static void await_first(struct first *f)
{
	uint64_t until;

	if (__atomic_exchange_n(&f->waited, 1, __ATOMIC_RELAXED))
		return;
	until = clock_ns() + FIRST_NS;
	while (!__atomic_load_n(&f->met, __ATOMIC_RELAXED) && clock_ns() < until)
		sched_yield();
}

/*
 * An access gives up where a job or an I/O is at the page, and these can be there again and again.
 * So each isolation waits a little, until one access has come to its end at any of those before.
 */
static void await_end(const struct first *f)
{
	uint64_t until = clock_ns() + ENDED_NS;

	while (!__atomic_load_n(&f->met, __ATOMIC_RELAXED) && clock_ns() < until)
		sched_yield();
}

/* Hook: a thing is on the move. In the mover's thread. */
static void isolated(void *arg, size_t thing)
{
	struct load *load = arg;
	const struct stage *s = load->arena->stage;

	switch ((enum holder)s->things[thing].holder) {
	case HOLDER_GEM:
		leave_hint(&load->gem, thing);
		if (s->nused[HOLDER_GEM])
			await_first(&load->job);
		break;
	case HOLDER_RING:
		leave_hint(&load->ring, thing);
		await_first(&load->io);
		break;
	default:
		leave_hint(&load->any, thing);
		break;
	}
	await_first(&load->access);
	await_end(&load->ended);
}

int load_create(unsigned threads, struct load **load)
{
	struct load *l = calloc(1, sizeof(*l));
	int err = 0;

	if (!l)
		return -ENOMEM;
	l->workers = calloc(threads, sizeof(*l->workers));
	if (!l->workers) {
		free(l);
		return -ENOMEM;
	}
	l->n = threads;
	l->file = ios_file(threads);
	err = l->file < 0 ? l->file : 0;
	for (unsigned i = 0; i < threads && !err; i++) {
		l->workers[i].jobs = jobs_create();
		l->workers[i].ios = ios_create(l->file, i);
		err = l->workers[i].jobs && l->workers[i].ios ? 0 : -ENOMEM;
	}
	if (err)
		load_destroy(l);
	else
		*load = l;
	return err;
}

struct arena_hooks load_hooks(struct load *load)
{
	const struct arena_hooks hooks = { isolated, load, NULL };

	return hooks;
}

int load_start(struct load *load, struct arena *arena, uint64_t seed)
{
	unsigned i;
	sigset_t all, old;
	int err = 0;

	load->arena = arena;
	/* signals are for the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < load->n && !err; i++) {
		struct worker *w = &load->workers[i];

		w->load = load;
		w->last = NOTHING;
		w->sum.first_thing = UINT64_MAX;
		w->rng.state = rng_mix(seed + 0x10ad + i);
		err = -pthread_create(&w->thread, NULL, work, w);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	load->started = err ? i - 1 : i;
	if (err) {
		load_stop(load, NULL);
		return err;
	}
	while (__atomic_load_n(&load->running, __ATOMIC_ACQUIRE) != load->n)
		sched_yield();
	return 0;
}

static void add_work(struct load_sum *sum, struct work_sum *to, const struct work_sum *from)
{
	to->done += from->done;
	to->overlapped += from->overlapped;
	sum->errors += from->errors;
	if (!sum->error)
		sum->error = from->error;
	sum->wrong += from->wrong;
	if (sum->first_thing == UINT64_MAX)
		sum->first_thing = from->first_thing;
}

void load_stop(struct load *load, struct load_sum *sum)
{
	if (sum) {
		memset(sum, 0, sizeof(*sum));
		sum->first_thing = UINT64_MAX;
	}
	__atomic_store_n(&load->stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < load->started; i++) {
		struct load_sum *s = &load->workers[i].sum;

		pthread_join(load->workers[i].thread, NULL);
		if (!sum)
			continue;
		add_work(sum, &sum->jobs, jobs_sum(load->workers[i].jobs));
		add_work(sum, &sum->ios, ios_sum(load->workers[i].ios));
		sum->accesses += s->accesses;
		sum->all += s->all;
		sum->errors += s->errors;
		sum->wrong += s->wrong;
		if (sum->first_thing == UINT64_MAX)
			sum->first_thing = s->first_thing;
		histogram_merge(&sum->stalls, &s->stalls);
	}
	__atomic_store_n(&load->running, 0, __ATOMIC_RELAXED);
}

void load_destroy(struct load *load)
{
	if (!load)
		return;
	for (unsigned i = 0; i < load->n; i++) {
		jobs_destroy(load->workers[i].jobs);
		ios_destroy(load->workers[i].ios);
	}
	if (load->file >= 0)
		close(load->file);
	free(load->workers);
	free(load);
}

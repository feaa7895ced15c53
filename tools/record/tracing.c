/* SPDX-License-Identifier: MIT */
/*
 * tracing.c: each CPU has a buffer of its own, in the order of time; events of all of them are
 * sorted into one. A round reads every CPU until it has no more, or a bound; what is older than the
 * round's beginning, and than the last event of a CPU that had more, is complete then and goes on.
 *
 * Frees of what was allocated before are left out, and so is what this process allocates. With a
 * command only allocations of its processes are recorded, and the frees of these by whomever.
 */
#include "tracing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "events.h"
#include "interrupt.h"
#include "layout.h"
#include "live.h"
#include "packed.h"
#include "term.h"
#include "text.h"
#include "trace.h"
#include "tracefs.h"

#define FRAME 4096u
#define PAGES_A_ROUND 1024u /* of one CPU */
#define PAUSE_MS 20
#define PIDS (1u << 22) /* the kernel has no more */
#define PFN_END (UINT64_C(1) << 52)
#define ERROR_BYTES 512u

struct pending {
	struct event event;
	uint32_t turn; /* of those with the same time, the first that was read */
};

struct tracer {
	const struct tracing_options *options;
	struct tracefs *tracefs;
	struct packed *out;
	struct live live;
	struct pending *pending;
	size_t n, cap;
	uint64_t latest; /* of the CPU that is read */
	uint64_t start;	 /* when the recording began */
	uint8_t *family; /* a bit a process of the command; NULL: all are recorded */
	uint32_t self;
	uint64_t allocs, frees, unseen;
	uint64_t bad_pages;
	uint32_t type; /* of what was freed last */
	uint32_t unmovable, movable;
	char err[ERROR_BYTES];
};

static bool in_family(const struct tracer *t, uint32_t pid)
{
	return !t->family || (pid < PIDS && t->family[pid / 8] & 1u << pid % 8);
}

static void adopt(struct tracer *t, uint32_t pid, bool ours)
{
	if (pid >= PIDS)
		return;
	if (ours)
		t->family[pid / 8] |= (uint8_t)(1u << pid % 8);
	else /* the number of one that is gone may be another's now */
		t->family[pid / 8] &= (uint8_t) ~(1u << pid % 8);
}

/* --- events in the order of time --- */

static int print(struct tracer *t, const struct event *e, char what, unsigned order, unsigned type)
{
	uint64_t us = e->ns > t->start ? (e->ns - t->start) / 1000 : 0;

	return packed_print(t->out, "%" PRIu64 ".%06u %c %" PRIx64 " %u %u\n", us / 1000000,
			    (unsigned)(us % 1000000), what, e->pfn, order, type);
}

static int freed(struct tracer *t, const struct event *e, unsigned order)
{
	int parted = 0;

	t->type = 1;
	if (!live_free(&t->live, e->pfn, order, &parted))
		return 0;
	t->frees++;
	return print(t, e, 'f', order, t->type);
}

/* Not ours: whatever of ours was there must have been freed. */
static int unseen(struct tracer *t, const struct event *e)
{
	uint64_t before = t->frees;
	int err = freed(t, e, e->order);

	t->unseen += t->frees - before;
	return err;
}

static int allocated(struct tracer *t, const struct event *e)
{
	unsigned order = e->order > LIVE_MAX_ORDER ? LIVE_MAX_ORDER : e->order;
	unsigned type = e->type < TRACE_TYPES ? e->type : 0;
	int err;

	if (e->pid == t->self || !in_family(t, e->pid))
		return unseen(t, e);
	for (uint64_t part = 0; part < UINT64_C(1) << (e->order - order); part++) {
		err = live_add(&t->live, e->pfn + (part << order), order, type);
		if (err < 0)
			return err;
		t->unseen += err > 0;
	}
	t->allocs++;
	return print(t, e, 'a', e->order, type);
}

static int take_event(struct tracer *t, const struct event *e)
{
	if (e->kind == EVENT_FORK) {
		if (t->family && e->pfn < PIDS)
			adopt(t, (uint32_t)e->pfn, in_family(t, e->pid));
		return 0;
	}
	/* an allocation that failed has no page */
	if (e->order > TRACE_MAX_ORDER || e->pfn >= PFN_END - (UINT64_C(1) << e->order) ||
	    e->pfn & ((UINT64_C(1) << e->order) - 1))
		return 0;
	return e->kind == EVENT_ALLOC ? allocated(t, e) : freed(t, e, e->order);
}

static int by_time(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	if (x->event.ns != y->event.ns)
		return x->event.ns < y->event.ns ? -1 : 1;
	return (x->turn > y->turn) - (x->turn < y->turn);
}

/* What is older than `before` goes on, the rest stays pending. */
static int take_pending(struct tracer *t, uint64_t before)
{
	size_t done = 0;
	int err = 0;

	if (t->n)
		qsort(t->pending, t->n, sizeof(*t->pending), by_time);
	while (!err && done < t->n && t->pending[done].event.ns < before)
		err = take_event(t, &t->pending[done++].event);
	if (done)
		memmove(t->pending, t->pending + done, (t->n - done) * sizeof(*t->pending));
	t->n -= done;
	for (size_t i = 0; i < t->n; i++)
		t->pending[i].turn = (uint32_t)i;
	return err;
}

static int add(void *arg, const struct event *event)
{
	struct tracer *t = arg;

	if (t->n == t->cap) {
		size_t want = t->cap ? 2 * t->cap : 1 << 16;
		struct pending *p = reallocarray(t->pending, want, sizeof(*p));

		if (!p)
			return -ENOMEM;
		t->pending = p;
		t->cap = want;
	}
	t->pending[t->n] = (struct pending){ *event, (uint32_t)t->n };
	t->n++;
	t->latest = event->ns;
	return 0;
}

/* Reads them all; `last`: to the end, however long that is. */
static int read_round(struct tracer *t, void *page, bool last)
{
	uint64_t before = last ? UINT64_MAX : clock_ns();
	int err = 0;

	for (unsigned cpu = 0; cpu < tracefs_cpus(t->tracefs) && !err; cpu++) {
		long got = 0;

		t->latest = 0;
		for (unsigned i = 0; (last || i < PAGES_A_ROUND) && !err; i++) {
			got = tracefs_read(t->tracefs, cpu, page);
			if (got <= 0)
				break;
			err = event_page(tracefs_formats(t->tracefs), page, (size_t)got, add, t);
			if (err == -EBADMSG) {
				t->bad_pages++;
				err = 0;
			}
		}
		if (got < 0)
			err = (int)got;
		else if (got && !last && t->latest < before)
			before = t->latest;
	}
	return err ? err : take_pending(t, before);
}

/* --- the command whose memory is recorded --- */

struct child {
	pid_t pid; /* 0: none */
	int go;	   /* it begins when something is written here */
	int said;  /* errno, if it cannot */
	int status;
	bool ended;
};

static int start_child(struct child *c, char **command)
{
	int go[2], said[2];

	if (pipe2(go, O_CLOEXEC) || pipe2(said, O_CLOEXEC))
		return -errno;
	(void)fflush(NULL);
	c->pid = fork();
	if (c->pid < 0)
		return -errno;
	if (!c->pid) {
		char byte;

		close(go[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(127);
		execvp(command[0], command);
		(void)!write(said[1], &errno, sizeof(errno));
		_exit(127);
	}
	close(go[0]);
	close(said[1]);
	c->go = go[1];
	c->said = said[0];
	return 0;
}

/* 0, or -errno if there is no such program. */
static int release_child(struct child *c)
{
	int error = 0;

	(void)!write(c->go, "g", 1);
	close(c->go);
	c->go = -1;
	while (read(c->said, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	close(c->said);
	return -error;
}

/* Has it ended? wait: until it has. */
static bool child_ended(struct child *c, bool wait)
{
	if (c->pid && !c->ended && waitpid(c->pid, &c->status, wait ? 0 : WNOHANG) == c->pid)
		c->ended = true;
	return c->ended;
}

/* It ends with us, if we were told to end; where only the time is over it goes on. */
static void stop_child(struct child *c)
{
	bool began = c->go < 0;

	if (c->pid <= 0 || c->ended)
		return;
	if (!began)
		close(c->go);
	if (interrupted)
		(void)kill(c->pid, SIGTERM);
	if (interrupted || !began)
		(void)child_ended(c, true);
}

/* --- all of it --- */

static void freed_type(void *arg, uint32_t tag)
{
	((struct tracer *)arg)->type = tag;
}

static int print_live(void *arg, uint64_t pfn, unsigned order, uint32_t type)
{
	struct tracer *t = arg;

	*(type ? &t->movable : &t->unmovable) += 1u << order;
	return packed_print(t->out, "%" PRIx64 " %u %" PRIu32 "\n", pfn, order, type);
}

/* x.trace.zst: x.live.zst; others: with .live behind. */
static char *live_name(const struct tracing_options *o)
{
	static const char trace[] = ".trace.zst";
	size_t n = strlen(o->file), end = sizeof(trace) - 1;
	char *name;

	if (o->live)
		return strdup(o->live);
	name = malloc(n + sizeof(trace));
	if (!name)
		return NULL;
	if (n > end && !strcmp(o->file + n - end, trace))
		(void)sprintf(name, "%.*s.live.zst", (int)(n - end), o->file);
	else
		(void)sprintf(name, "%s.live", o->file);
	return name;
}

static int run(struct tracer *t, struct child *c, struct term *term)
{
	size_t bytes = event_page_bytes(tracefs_formats(t->tracefs));
	uint64_t wanted = (uint64_t)(t->options->seconds * 1e9), passed = 0;
	void *page = malloc(bytes);
	int err = page ? tracefs_record(t->tracefs, true, t->err, sizeof(t->err)) : -ENOMEM;

	t->start = clock_ns();
	if (!err && c->pid)
		err = release_child(c);
	if (err && c->pid && !*t->err)
		(void)snprintf(t->err, sizeof(t->err), "%.120s: %s", t->options->command[0],
			       strerror(-err));
	while (!err && !interrupted && !child_ended(c, false) && (!wanted || passed < wanted)) {
		err = read_round(t, page, false);
		(void)poll(NULL, 0, PAUSE_MS);
		passed = clock_ns() - t->start;
		term_progress(term, "recording", wanted ? passed : 1, wanted ? wanted : 1);
	}
	term_clear(term);
	if (!err)
		err = tracefs_record(t->tracefs, false, t->err, sizeof(t->err));
	if (!err)
		err = read_round(t, page, true);
	free(page);
	return err;
}

static void say(const struct tracer *t, const char *live, unsigned long lost, const struct child *c,
		double seconds)
{
	char a[TEXT], b[TEXT], d[TEXT];

	printf("recorded  %s allocation%s and %s free%s in %s\n", text_count(a, t->allocs),
	       text_s(t->allocs), text_count(b, t->frees), text_s(t->frees),
	       text_duration(d, seconds));
	printf("live      %s at the end in %s blocks of 2 MiB: %s\n",
	       text_size(a, t->live.frames * FRAME), text_count(b, t->live.used), live);
	if (t->unseen)
		printf("unseen    %s frees: what was there was allocated again\n",
		       text_count(a, t->unseen));
	if (lost)
		printf("lost      %s events, for which there was no room; --buffer makes more\n",
		       text_count(a, lost));
	if (t->bad_pages)
		printf("lost      %s pages of events that are not understood\n",
		       text_count(a, t->bad_pages));
	if (c->ended && (!WIFEXITED(c->status) || WEXITSTATUS(c->status)))
		printf("command   ended with %s %d\n", WIFEXITED(c->status) ? "status" : "signal",
		       WIFEXITED(c->status) ? WEXITSTATUS(c->status) : WTERMSIG(c->status));
}

static int write_live(struct tracer *t, const char *name)
{
	int err = packed_open(&t->out, name, t->err, sizeof(t->err));

	if (!err) {
		err = live_each(&t->live, print_live, t);
		if (!err)
			err = packed_commit(t->out, t->err, sizeof(t->err));
		else
			packed_abandon(t->out);
		t->out = NULL;
	}
	return err;
}

static int record(struct tracer *t, struct child *c)
{
	const struct tracing_options *o = t->options;
	unsigned long lost = 0;
	double seconds = 0;
	struct term term;
	char *live = live_name(o);
	int err = live ? 0 : -ENOMEM;

	term_init(&term);
	if (!err)
		err = packed_open(&t->out, o->file, t->err, sizeof(t->err));
	if (!err)
		err = tracefs_open(&t->tracefs, o->tracefs, (unsigned)o->buffer_kib,
				   o->command != NULL, t->err, sizeof(t->err));
	if (!err && o->command) {
		err = start_child(c, o->command);
		if (!err)
			adopt(t, (uint32_t)c->pid, true);
	}
	if (!err)
		err = run(t, c, &term);
	if (!err) {
		lost = tracefs_lost(t->tracefs);
		seconds = 1e-9 * (double)(clock_ns() - t->start);
	}
	tracefs_close(t->tracefs);
	stop_child(c);
	if (!err && !t->allocs) {
		(void)snprintf(t->err, sizeof(t->err), "nothing was allocated meanwhile");
		err = -ENODATA;
	}
	if (!err) {
		err = packed_commit(t->out, t->err, sizeof(t->err));
		t->out = NULL;
	}
	packed_abandon(t->out);
	t->out = NULL;
	if (!err && t->live.frames)
		err = write_live(t, live);
	if (!err)
		say(t, t->live.frames ? live : "no layout was written", lost, c, seconds);
	free(live);
	return err;
}

int tracing(const struct tracing_options *options)
{
	struct tracer t = { .options = options, .self = (uint32_t)getpid() };
	struct child c = { .go = -1 };
	int err = 0;

	interrupt_catch(tracefs_remove_now);
	live_init(&t.live, LIVE_MAX_BLOCKS, freed_type, &t);
	if (options->command) {
		t.family = calloc(PIDS / 8, 1);
		err = t.family ? 0 : -ENOMEM;
	}
	if (!err)
		err = record(&t, &c);
	if (err)
		fprintf(stderr, "quire record: %s\n",
			*t.err		 ? t.err
			: err == -EFBIG	 ? "it is all over more than 256 GiB of memory"
			: err == -ENOMEM ? "not enough memory"
					 : strerror(-err));
	live_finish(&t.live);
	free(t.pending);
	free(t.family);
	return err ? 1 : 0;
}

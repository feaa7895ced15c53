/* SPDX-License-Identifier: MIT */
/*
 * trace.c: from bytes to a checked trace, in one pass.
 *
 *	lines_next() -> parse_line() -> allocated() or freed() -> live.h -> add_event()
 *
 * What is held at any time: what lines.h and live.h hold, 4 bytes an event, 2 an allocation.
 */
#include "trace.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "live.h"

#define PFN_BITS 52 /* a 64-bit address in frames of 4 KiB */
#define NS 1000000000u
#define SECONDS_MAX (UINT64_C(1) << 32)

struct reader {
	struct lines in;
	const struct trace_limits *limits;
	struct live live;
	struct trace *t;
	size_t cap_events, cap_allocs, cap_samples;
	uint64_t first_ns, latest_ns;
	bool no_memory; /* within live.h's callback */
};

struct line {
	uint64_t ns, pfn, order, type;
	bool freed;
};

/* Room for one more. */
static int grow(struct reader *r, void **array, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? 2 * *cap : 1024;
	void *p;

	if (n < *cap)
		return 0;
	p = reallocarray(*array, want, size);
	if (!p)
		return lines_no_memory(&r->in);
	*array = p;
	*cap = want;
	return 0;
}

static void note(struct reader *r, struct trace_odd *odd)
{
	if (!odd->n++)
		odd->line = r->in.line;
}

/* Whole seconds, and up to nine decimals. */
static int parse_time(struct reader *r, const struct lines_field *f, uint64_t *ns)
{
	const unsigned char *dot = memchr(f->at, '.', f->length);
	struct lines_field whole = { f->at, dot ? (size_t)(dot - f->at) : f->length };
	struct lines_field part = { dot ? dot + 1 : NULL, dot ? f->length - whole.length - 1 : 0 };
	uint64_t s = 0, fraction = 0;
	int err;

	if (!whole.length || (dot && (!part.length || part.length > 9)))
		return lines_fail(&r->in, -EINVAL, "SECONDS is no number of up to nine decimals");
	err = lines_number(&r->in, &whole, "SECONDS", 10, SECONDS_MAX, &s);
	if (!err && dot)
		err = lines_number(&r->in, &part, "SECONDS", 10, NS, &fraction);
	for (size_t i = part.length; dot && i < 9; i++)
		fraction *= 10;
	*ns = s * NS + fraction;
	return err;
}

static int parse_line(struct reader *r, const unsigned char *text, size_t length, struct line *l)
{
	struct lines_field f[5] = { 0 };
	int err = lines_fields(&r->in, text, length, f, 5, "SECONDS a|f PFN ORDER MIGRATETYPE");

	if (!err)
		err = parse_time(r, &f[0], &l->ns);
	if (!err && (f[1].length != 1 || (f[1].at[0] != 'a' && f[1].at[0] != 'f')))
		err = lines_fail(&r->in, -EINVAL, "the second field is neither a nor f");
	if (!err)
		err = lines_number(&r->in, &f[2], "PFN", 16, (UINT64_C(1) << PFN_BITS) - 1,
				   &l->pfn);
	if (!err)
		err = lines_number(&r->in, &f[3], "ORDER", 10, TRACE_MAX_ORDER, &l->order);
	if (!err)
		err = lines_number(&r->in, &f[4], "MIGRATETYPE", 10, 15, &l->type);
	if (!err && l->pfn & ((UINT64_C(1) << l->order) - 1))
		err = lines_fail(&r->in, -EINVAL, "PFN %llx is not aligned to its order %llu",
				 (unsigned long long)l->pfn, (unsigned long long)l->order);
	l->freed = !err && f[1].at[0] == 'f';
	return err;
}

static int add_event(struct reader *r, uint32_t event)
{
	struct trace *t = r->t;
	void *events = t->events, *samples = t->samples;
	int err;

	if (t->n >= r->limits->events)
		return lines_fail(&r->in, -EFBIG, "more than %zu events", r->limits->events);
	err = grow(r, &events, t->n, &r->cap_events, sizeof(*t->events));
	t->events = events;
	if (err)
		return err;
	t->events[t->n++] = event;
	if (t->n % TRACE_STRIDE)
		return 0;
	err = grow(r, &samples, t->nsamples, &r->cap_samples, sizeof(*t->samples));
	t->samples = samples;
	if (!err)
		t->samples[t->nsamples++] = r->live.used;
	return err;
}

/* Of live.h: nothing of this allocation is left. */
static void gone(void *arg, uint32_t tag)
{
	struct reader *r = arg;

	if (add_event(r, tag << 1 | 1))
		r->no_memory = true;
}

static int allocated(struct reader *r, const struct line *l)
{
	unsigned order = l->order > LIVE_MAX_ORDER ? LIVE_MAX_ORDER : (unsigned)l->order;
	struct trace *t = r->t;
	bool again = false;

	if (l->order > LIVE_MAX_ORDER)
		note(r, &t->large);
	for (uint64_t part = 0; part < UINT64_C(1) << (l->order - order); part++) {
		void *allocs = t->allocs;
		int err = grow(r, &allocs, t->nallocs, &r->cap_allocs, sizeof(*t->allocs));
		int taken;

		t->allocs = allocs;
		if (err)
			return err;
		taken = live_add(&r->live, l->pfn + (part << order), order, (uint32_t)t->nallocs);
		if (r->no_memory)
			return -ENOMEM;
		if (taken == -EFBIG)
			return lines_fail(&r->in, -EFBIG, "more than %u blocks of %d frames",
					  r->limits->blocks, LIVE_BLOCK);
		if (taken < 0)
			return lines_no_memory(&r->in);
		again |= taken > 0;
		t->allocs[t->nallocs].order = (uint8_t)order;
		t->allocs[t->nallocs].type = l->type < TRACE_TYPES ? (uint8_t)l->type : 0;
		err = add_event(r, (uint32_t)t->nallocs++ << 1);
		if (err)
			return err;
	}
	if (again)
		note(r, &t->again);
	t->frames_most = r->live.frames > t->frames_most ? r->live.frames : t->frames_most;
	t->used_most = r->live.used > t->used_most ? r->live.used : t->used_most;
	return 0;
}

static int freed(struct reader *r, const struct line *l)
{
	int parted = 0;
	uint64_t frames = live_free(&r->live, l->pfn, (unsigned)l->order, &parted);

	if (!frames)
		note(r, &r->t->unknown);
	if (parted)
		note(r, &r->t->parted);
	return r->no_memory ? -ENOMEM : 0;
}

static int read_events(struct reader *r)
{
	const unsigned char *text = NULL;
	struct line l = { 0 };
	size_t length = 0;
	int err;

	while ((err = lines_next(&r->in, &text, &length)) > 0) {
		err = parse_line(r, text, length, &l);
		if (err)
			return err;
		if (r->t->lines >= r->limits->events)
			return lines_fail(&r->in, -EFBIG, "more than %zu events",
					  r->limits->events);
		if (!r->t->lines++)
			r->first_ns = r->latest_ns = l.ns;
		if (l.ns < r->latest_ns)
			note(r, &r->t->backwards);
		else
			r->latest_ns = l.ns;
		err = l.freed ? freed(r, &l) : allocated(r, &l);
		if (err)
			return err;
	}
	if (!err && !r->t->nallocs)
		err = lines_fail(&r->in, -EINVAL, "empty: no allocation in it");
	return err;
}

struct end {
	const struct trace *t;
	uint64_t block; /* the latest with something unmovable */
	uint32_t n;
};

static int count_unmovable(void *arg, uint64_t pfn, unsigned order, uint32_t tag)
{
	struct end *e = arg;

	(void)order;
	if (!e->t->allocs[tag].type && e->block != pfn / LIVE_BLOCK) {
		e->block = pfn / LIVE_BLOCK;
		e->n++;
	}
	return 0;
}

static int read_end(struct reader *r)
{
	struct trace *t = r->t;
	struct end end = { t, UINT64_MAX, 0 };

	t->seconds = (double)(r->latest_ns - r->first_ns) / NS;
	t->blocks = r->live.nblocks;
	t->used_end = r->live.used;
	t->frames_end = r->live.frames;
	t->name = lines_name(r->in.path, ".trace.zst");
	if (!t->name || live_each(&r->live, count_unmovable, &end))
		return lines_no_memory(&r->in);
	t->unmovable_end = end.n;
	return 0;
}

int trace_read_within(const char *path, const struct trace_limits *limits, struct trace *t,
		      char *err, size_t err_size)
{
	struct reader r = { .in = { .path = path, .err = err, .err_size = err_size, .fd = -1 },
			    .limits = limits,
			    .t = t };
	int error;

	memset(t, 0, sizeof(*t));
	if (err && err_size)
		err[0] = 0;
	if (!limits->events || limits->events > TRACE_MAX_EVENTS || !limits->blocks ||
	    limits->blocks > LIVE_MAX_BLOCKS)
		return lines_fail(&r.in, -EINVAL, "limits out of range");
	live_init(&r.live, limits->blocks, gone, &r);
	error = lines_open(&r.in, path, err, err_size);
	if (!error)
		error = read_events(&r);
	if (!error)
		error = read_end(&r);
	lines_close(&r.in);
	live_finish(&r.live);
	if (error)
		trace_finish(t);
	return error;
}

int trace_read(const char *path, struct trace *t, char *err, size_t err_size)
{
	static const struct trace_limits limits = {
		.events = TRACE_MAX_EVENTS,
		.blocks = LIVE_MAX_BLOCKS,
	};

	return trace_read_within(path, &limits, t, err, err_size);
}

void trace_finish(struct trace *t)
{
	free(t->name);
	free(t->events);
	free(t->allocs);
	free(t->samples);
	memset(t, 0, sizeof(*t));
}

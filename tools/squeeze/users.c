/* SPDX-License-Identifier: MIT */
#include "users.h"

#include <errno.h>
#include <gem/gem.h>
#include <ring/ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "content.h"

#define IN_USE 16u /* folios of an object in use */
#define IDLE 64u   /* of another */
#define SLOTS 16384u
#define TLB 4096u    /* large: an entry that was not flushed is met again */
#define TRIES 10000u /* for a request, each after one that has ended */

/* One object of n things. */
static int make_object(struct arena *a, uint32_t *things, size_t n)
{
	struct gem_place places[IDLE] = { 0 };
	struct stage *s = a->stage;
	struct gem_object *object;
	uint32_t at = 0;
	int err;

	for (size_t i = 0; i < n; i++) {
		const struct thing *t = &s->things[things[i]];

		places[i].at = quire_frame(t->frame);
		places[i].order = t->order;
	}
	err = gem_object_create_at(a->gem, places, n, &object);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		struct thing *t = &s->things[things[i]];

		t->folio = gem_object_folio(object, i);
		t->unit = (uint32_t)a->nobjects;
		t->at = at;
		at += 1u << t->order;
	}
	a->objects[a->nobjects++] = object;
	return 0;
}

/* Objects of those things of gem that are in use, or of those that are not. */
static int make_objects(struct arena *a, bool in_use)
{
	const struct stage *s = a->stage;
	size_t each = in_use ? IN_USE : IDLE, n = 0;
	uint32_t things[IDLE];
	int err = 0;

	for (size_t i = 0; i < s->n && !err; i++) {
		if (s->things[i].holder != HOLDER_GEM || s->things[i].in_use != in_use)
			continue;
		things[n++] = (uint32_t)i;
		if (n < each)
			continue;
		err = make_object(a, things, n);
		n = 0;
	}
	if (n && !err)
		err = make_object(a, things, n);
	return err;
}

static int make_gem(struct arena *a)
{
	size_t n = a->stage->held[HOLDER_GEM];
	int err;

	if (!n)
		return 0;
	a->objects = calloc(n / IN_USE + 2, sizeof(struct gem_object *));
	if (!a->objects)
		return -ENOMEM;
	err = gem_create(a->quire, GEM_OPTIONS(.tlb = TLB), &a->gem);
	if (!err)
		err = make_objects(a, true);
	a->nobjects_used = a->nobjects;
	return err ? err : make_objects(a, false);
}

static int make_ring(struct arena *a)
{
	struct stage *s = a->stage;
	size_t n = s->nused[HOLDER_RING];
	int err;

	if (!n)
		return 0;
	a->buffers = calloc(n, sizeof(struct ring_buffer *));
	if (!a->buffers)
		return -ENOMEM;
	a->file = memfd_create("squeeze-verify", MFD_CLOEXEC);
	if (a->file < 0)
		return -errno;
	err = ring_create(a->quire, RING_OPTIONS(.slots = n < SLOTS ? (unsigned)n : SLOTS),
			  &a->ring);
	for (size_t i = 0; i < n && !err; i++) {
		struct thing *t = &s->things[s->used[HOLDER_RING][i]];

		err = ring_buffer_create_at(a->ring, quire_frame(t->frame), t->order,
					    &a->buffers[i]);
		if (err)
			break;
		t->folio = ring_buffer_folio(a->buffers[i]);
		t->unit = (uint32_t)i;
	}
	return err;
}

int users_create(struct arena *a)
{
	int err = make_gem(a);

	return err ? err : make_ring(a);
}

static int sum_up(struct arena *a, size_t object, uint64_t *sum)
{
	struct gem_done done = { 0 };
	struct gem_ticket ticket;
	int err = gem_submit(a->gem,
			     GEM_JOB(.kind = GEM_SUM, .src = a->objects[object],
				     .bytes = gem_object_bytes(a->objects[object]), .done = &done),
			     &ticket);

	if (!err)
		err = gem_wait(a->gem, ticket, 0);
	*sum = done.sum;
	return err ? err : done.code;
}

int users_begin(struct arena *a)
{
	uint64_t sum;
	int err = 0;

	for (size_t i = 0; i < a->nobjects_used && !err; i++)
		err = sum_up(a, i, &sum);
	a->registered = users_registered(a).buffers;
	return err;
}

/* The sums of whole objects: an engine that still used an old place would add up what is there. */
static int verify_gem(struct arena *a, uint64_t *wrong)
{
	const struct stage *s = a->stage;
	uint64_t should = 0, sum;
	int err = 0;

	for (size_t i = 0, object = 0; i < s->nused[HOLDER_GEM] && !err; i++) {
		const struct thing *t = &s->things[s->used[HOLDER_GEM][i]];

		for (uint32_t p = 0; p < 1u << t->order; p++)
			should += content_sum(s->base[t->page + p],
					      (uint64_t)(t->at + p) * CONTENT_WORDS);
		if (i + 1 < s->nused[HOLDER_GEM] &&
		    s->things[s->used[HOLDER_GEM][i + 1]].unit == object)
			continue;
		err = sum_up(a, object, &sum);
		if (!err && sum != should)
			*wrong += gem_object_bytes(a->objects[object]);
		object++;
		should = 0;
	}
	return err;
}

static int write_out(struct arena *a, size_t unit, int fd)
{
	struct ring_result result = { .size = sizeof(result) };
	size_t bytes = ring_buffer_bytes(a->buffers[unit]);
	struct ring_request *request;
	int err = ring_write(a->ring, RING_IO(.buffer = a->buffers[unit], .fd = fd, .bytes = bytes),
			     &request);

	for (unsigned i = 0; err == 0 && i < TRIES; i++) {
		err = ring_wait(request, 1000000000, &result);
		if (err != -ETIMEDOUT)
			break;
	}
	a->fixed += !err && result.fixed;
	if (!err && result.code != (long)bytes)
		err = result.code < 0 ? (int)result.code : -EIO;
	return err;
}

/* What the kernel sees through a registration, in a file. */
static int verify_ring(struct arena *a, uint64_t *wrong)
{
	const struct stage *s = a->stage;
	uint64_t page[CONTENT_WORDS];
	int err = 0;

	for (size_t i = 0; i < s->nused[HOLDER_RING] && !err; i++) {
		const struct thing *t = &s->things[s->used[HOLDER_RING][i]];

		err = write_out(a, i, a->file);
		for (uint32_t p = 0; p < 1u << t->order && !err; p++) {
			if (pread(a->file, page, sizeof(page), (off_t)p * CONTENT_PAGE) !=
			    (ssize_t)sizeof(page))
				err = -EIO;
			else
				*wrong +=
					content_wrong(page, s->base[t->page + p], 0, sizeof(page));
		}
	}
	return err;
}

/* New content for what they use, by the CPU: who looks at an old place sees the old one there. */
static int rewrite(struct stage *s, enum holder h)
{
	for (size_t i = 0; i < s->nused[h]; i++) {
		const struct thing *t = &s->things[s->used[h][i]];
		char *to = quire_pin(t->folio);

		if (!to)
			return -ENOMEM;
		for (uint32_t p = t->page; p < t->page + (1u << t->order); p++) {
			s->sequence[p].n += 2;
			s->base[p] = content_base(s->seed, p, sequence_version(s->sequence[p].n));
			content_make(
				(uint64_t *)(void *)(to + (size_t)(p - t->page) * CONTENT_PAGE),
				s->base[p]);
		}
		quire_unpin(t->folio);
	}
	return 0;
}

int users_verify(struct arena *a, uint64_t *wrong)
{
	int err = 0;

	if (a->gem)
		err = rewrite(a->stage, HOLDER_GEM);
	if (a->gem && !err)
		err = verify_gem(a, wrong);
	if (a->ring && !err)
		err = rewrite(a->stage, HOLDER_RING);
	if (a->ring && !err)
		err = verify_ring(a, wrong);
	return err;
}

uint64_t users_bound(const struct arena *a)
{
	struct gem_stats stats = { .size = sizeof(stats) };

	return a->gem && !gem_stats_get(a->gem, &stats) ? stats.pinned_bytes : 0;
}

struct users_registered users_registered(const struct arena *a)
{
	struct ring_stats stats = { .size = sizeof(stats) };
	struct users_registered r = { 0 };

	for (size_t i = 0; i < a->stage->nused[HOLDER_RING] && a->ring; i++) {
		if (!ring_buffer_registered(a->buffers[i]))
			continue;
		r.buffers++;
		r.bytes += ring_buffer_bytes(a->buffers[i]);
	}
	r.fixed = a->fixed;
	if (a->ring && !ring_stats_get(a->ring, &stats))
		r.refused = stats.update_failures;
	return r;
}

int users_destroy(struct arena *a)
{
	int err = gem_destroy(a->gem), end = ring_destroy(a->ring);

	free(a->objects);
	if (a->buffers && a->file >= 0)
		close(a->file);
	free(a->buffers);
	return err ? err : end;
}

// SPDX-License-Identifier: MIT
/*
 * gem.c: an engine that is never idle. Each object has a shadow outside of the arena, to which
 * every job is applied when it is submitted; what a SUM returns and what the objects hold is
 * compared with that.
 */
#include "gem/gem.h"

#include "all.h"

#define OBJECTS 12u
#define LONGEST (96u << 10)
#define FLIGHT 8u

static struct gem *gem;
static struct object {
	struct gem_object *handle;
	uint64_t bytes;
	uint64_t word[LONGEST / 8];
} objects[OBJECTS];

/* Jobs on their way whose answer will be compared. */
static struct {
	struct gem_ticket ticket;
	struct gem_done done;
	uint64_t sum;
	bool is_sum;
} flight[FLIGHT];

static void land(struct all *all, unsigned i)
{
	int error;

	if (!flight[i].ticket.n)
		return;
	error = gem_wait(gem, flight[i].ticket, 60 * SEC);
	if (error || flight[i].done.code)
		all_wrong(all, "a job: %d, %d", error, flight[i].done.code);
	else if (flight[i].is_sum && flight[i].done.sum != flight[i].sum)
		all_wrong(all, "a sum is %llx, not %llx", (unsigned long long)flight[i].done.sum,
			  (unsigned long long)flight[i].sum);
	flight[i].ticket.n = 0;
}

static void make(struct all *all, struct object *o, uint64_t r)
{
	o->bytes = ((1 + r % (LONGEST / 4096)) << 12);
	if (all_refused(all, "gem_object_create",
			gem_object_create(gem, o->bytes, (unsigned)(r >> 32) % 5, &o->handle)))
		o->handle = NULL;
	else
		memset(o->word, 0, sizeof(o->word));
}

static void blur(uint64_t *dst, const uint64_t *src, uint64_t bytes)
{
	const unsigned char *from = (const unsigned char *)src;
	unsigned char *to = (unsigned char *)dst;

	for (uint64_t i = 0; i < bytes; i++) {
		unsigned before = from[i ? i - 1 : 0];
		unsigned after = from[i + 1 < bytes ? i + 1 : i];

		to[i] = (unsigned char)((before + from[i] + after) / 3);
	}
}

/* One job on the object, and on its shadow. */
static void submit(struct all *all, unsigned slot, struct object *dst, struct object *src,
		   uint64_t r)
{
	uint64_t least = src->bytes < dst->bytes ? src->bytes : dst->bytes;
	uint64_t bytes = 8 * (1 + (r >> 20) % (least / 8)), value = r;
	uint64_t dst_at = 8 * ((r >> 8) % ((dst->bytes - bytes) / 8 + 1));
	uint64_t src_at = 8 * ((r >> 12) % ((src->bytes - bytes) / 8 + 1));
	uint64_t *to = dst->word + dst_at / 8, *from = src->word + src_at / 8;
	struct gem_job job = { .size = sizeof(job),
			       .kind = (enum gem_job_kind)((r >> 4) % 4),
			       .bytes = bytes,
			       .value = value,
			       .done = &flight[slot].done };
	int error;

	if (dst == src && job.kind != GEM_SUM)
		job.kind = GEM_FILL;
	if (job.kind != GEM_SUM) {
		job.dst = dst->handle;
		job.dst_at = dst_at;
	}
	if (job.kind != GEM_FILL) {
		job.src = src->handle;
		job.src_at = src_at;
	}
	error = gem_submit(gem, &job, &flight[slot].ticket);
	if (all_refused(all, "gem_submit", error))
		return;
	flight[slot].is_sum = job.kind == GEM_SUM;
	flight[slot].sum = 0;
	switch (job.kind) {
	case GEM_FILL:
		for (uint64_t i = 0; i < bytes / 8; i++)
			to[i] = gem_fill_word(value, dst_at / 8 + i);
		break;
	case GEM_COPY:
		memcpy(to, from, bytes);
		break;
	case GEM_SUM:
		for (uint64_t i = 0; i < bytes / 8; i++)
			flight[slot].sum += gem_sum_word(i, from[i]);
		break;
	case GEM_BLUR:
		blur(to, from, bytes);
		break;
	}
}

static void compare(struct all *all, const struct object *o)
{
	static uint64_t found[LONGEST / 8];

	if (gem_object_read(o->handle, 0, found, o->bytes))
		all_wrong(all, "gem_object_read");
	else if (memcmp(found, o->word, o->bytes) != 0)
		all_wrong(all, "an object holds wrong bytes");
}

static void begin(struct all *all)
{
	assert_int_equal(gem_create(all->q, NULL, &gem), 0);
	for (unsigned i = 0; i < OBJECTS; i++)
		make(all, &objects[i], all_word(all->seed, i));
}

static uint64_t work(struct worker *w, uint64_t n)
{
	n = n < FLIGHT ? n : FLIGHT;
	for (unsigned i = 0; i < n; i++) {
		uint64_t r = prng(&w->random);
		struct object *dst = &objects[(r >> 40) % OBJECTS];
		struct object *src = &objects[(r >> 50) % OBJECTS];

		land(w->all, i);
		if (r % 64 == 0) { /* jobs have references of their own */
			gem_object_put(dst->handle);
			make(w->all, dst, prng(&w->random));
		} else if (r % 64 == 1 && dst->handle) {
			for (unsigned f = 0; f < FLIGHT; f++)
				land(w->all, f);
			compare(w->all, dst);
		} else if (!dst->handle) {
			make(w->all, dst, prng(&w->random));
		} else if (r % 8 == 2) {
			all_scatter(w, gem_object_folio(dst->handle,
							(r >> 8) % gem_object_folios(dst->handle)));
		} else if (src->handle) {
			submit(w->all, i, dst, src, prng(&w->random));
		}
	}
	return n;
}

static void end(struct all *all)
{
	struct gem_stats s = { .size = sizeof(s) };
	const char *what;

	for (unsigned i = 0; i < FLIGHT; i++)
		land(all, i);
	assert_int_equal(gem_idle(gem, 60 * SEC), 0);
	for (unsigned i = 0; i < OBJECTS; i++)
		if (objects[i].handle)
			compare(all, &objects[i]);
	if (gem_validate(gem, &what))
		all_wrong(all, "gem_validate: %s", what);
	for (unsigned i = 0; i < OBJECTS; i++)
		gem_object_put(objects[i].handle);
	assert_int_equal(gem_stats_get(gem, &s), 0);
	assert_int_equal(s.isolated, s.moved + s.putbacks + s.freed_isolated);
	assert_int_equal(s.pins, s.unpins);
	assert_int_equal(s.unbalanced + s.faults + s.jobs_failed, 0);
	printf("# gem: %llu jobs, %llu while something of it moved, %llu rebinds, %llu folios "
	       "moved\n",
	       (unsigned long long)s.jobs, (unsigned long long)s.overlapped_jobs,
	       (unsigned long long)s.rebinds, (unsigned long long)s.moved);
	assert_int_equal(gem_destroy(gem), 0);
}

const struct role gem_role = { "gem", 1, begin, work, end };

/* SPDX-License-Identifier: MIT */
/*
 * engine.c: the engine's side of a job: it reads and writes memory through frame numbers.
 *
 * What the engine knows of memory is base, where frame 0 is; the page table of each object that the
 * job names; and a TLB, a cache of entries of those tables. It sees no folio, no pin and no handle.
 * An entry of the TLB that has outlived its page table's leads to where the folio was.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Content may have been stored as any type. */
typedef uint64_t __attribute__((may_alias)) gem_word;

int gem_engine_init(struct gem_engine *engine, uint32_t entries)
{
	memset(engine, 0, sizeof(*engine));
	engine->tlb = calloc(entries, sizeof(*engine->tlb));
	if (!engine->tlb)
		return -ENOMEM;
	engine->tlb_mask = entries - 1;
	return 0;
}

void gem_engine_finish(struct gem_engine *engine)
{
	free(engine->tlb);
}

void gem_engine_flush(struct gem_engine *engine)
{
	memset(engine->tlb, 0, ((size_t)engine->tlb_mask + 1) * sizeof(*engine->tlb));
}

/* A page's address; NULL: no valid entry. */
static unsigned char *translate(struct gem_engine *engine, const struct gem_object *object,
				uint64_t page)
{
	struct gem_tlb_entry *entry = &engine->tlb[(page + object->id * 7) & engine->tlb_mask];

	if (entry->object == object->id && entry->page == page) {
		engine->hits++;
	} else {
		uint32_t frame = object->table[page];

		engine->misses++;
		if (frame == GEM_INVALID) {
			engine->faults++;
			return NULL;
		}
		entry->object = object->id;
		entry->page = page;
		entry->frame = frame;
	}
	return (unsigned char *)engine->base + ((size_t)entry->frame << QUIRE_FRAME_SHIFT);
}

/* The range's bytes from at on, as far as one page has them: *n of them. */
static unsigned char *span(struct gem_engine *engine, const struct gem_object *object, uint64_t at,
			   uint64_t end, size_t *n)
{
	size_t offset = at % QUIRE_FRAME_BYTES;
	unsigned char *page = translate(engine, object, at / QUIRE_FRAME_BYTES);

	*n = QUIRE_FRAME_BYTES - offset;
	if (*n > end - at)
		*n = (size_t)(end - at);
	return page ? page + offset : NULL;
}

static int run_fill(struct gem_engine *engine, const struct gem_job *job)
{
	uint64_t end = job->dst_at + job->bytes;
	size_t n;

	for (uint64_t at = job->dst_at; at < end; at += n) {
		gem_word *to = (gem_word *)(void *)span(engine, job->dst, at, end, &n);

		if (!to)
			return -EFAULT;
		for (size_t i = 0; i < n / 8; i++)
			to[i] = gem_fill_word(job->value, at / 8 + i);
	}
	return 0;
}

static int run_copy(struct gem_engine *engine, const struct gem_job *job)
{
	size_t n, m;

	for (uint64_t done = 0; done < job->bytes; done += n) {
		const unsigned char *from =
			span(engine, job->src, job->src_at + done, job->src_at + job->bytes, &m);
		unsigned char *to =
			span(engine, job->dst, job->dst_at + done, job->dst_at + job->bytes, &n);

		if (!from || !to)
			return -EFAULT;
		if (n > m)
			n = m;
		memcpy(to, from, n);
	}
	return 0;
}

static int run_sum(struct gem_engine *engine, const struct gem_job *job, uint64_t *sum)
{
	uint64_t end = job->src_at + job->bytes, word = 0;
	size_t n;

	*sum = 0;
	for (uint64_t at = job->src_at; at < end; at += n) {
		const gem_word *from =
			(const gem_word *)(const void *)span(engine, job->src, at, end, &n);

		if (!from)
			return -EFAULT;
		for (size_t i = 0; i < n / 8; i++)
			*sum += gem_sum_word(word++, from[i]);
	}
	return 0;
}

/* The range of src, byte by byte. */
struct stream {
	struct gem_engine *engine;
	const struct gem_object *object;
	uint64_t at, end;
	const unsigned char *next;
	size_t left;
};

static bool stream_fill(struct stream *s)
{
	s->next = span(s->engine, s->object, s->at, s->end, &s->left);
	s->at += s->left;
	return s->next != NULL;
}

static int run_blur(struct gem_engine *engine, const struct gem_job *job)
{
	struct stream s = { .engine = engine,
			    .object = job->src,
			    .at = job->src_at,
			    .end = job->src_at + job->bytes };
	uint64_t end = job->dst_at + job->bytes;
	unsigned left, mid, right;
	size_t n;

	if (!stream_fill(&s))
		return -EFAULT;
	left = mid = *s.next++;
	s.left--;
	for (uint64_t at = job->dst_at; at < end; at += n) {
		unsigned char *to = span(engine, job->dst, at, end, &n);

		if (!to)
			return -EFAULT;
		for (size_t i = 0; i < n; i++) {
			right = mid; /* for the last */
			if (s.left || s.at < s.end) {
				if (!s.left && !stream_fill(&s))
					return -EFAULT;
				right = *s.next++;
				s.left--;
			}
			to[i] = (unsigned char)((left + mid + right) / 3);
			left = mid;
			mid = right;
		}
	}
	return 0;
}

int gem_engine_run(struct gem_engine *engine, const struct gem_job *job, uint64_t *sum)
{
	switch (job->kind) {
	case GEM_FILL:
		return run_fill(engine, job);
	case GEM_COPY:
		return run_copy(engine, job);
	case GEM_SUM:
		return run_sum(engine, job, sum);
	case GEM_BLUR:
		return run_blur(engine, job);
	}
	return -EINVAL;
}

/* SPDX-License-Identifier: MIT */
#include "play.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tests/oracle/oracle.h"
#include "clock.h"
#include "squeeze/random.h"

#define STEP 8192u /* events between two looks at the caller; a power of two */
#define WORDS 8u   /* that are looked at in a page, one in each part of it */
#define PAGE_WORDS (QUIRE_FRAME_BYTES / 8)

enum { UNMOVABLE };

struct playing {
	const struct trace *trace;
	const struct play_options *options;
	struct play_result *result;
	struct quire *quire;
	struct quire_owner *owners[TRACE_TYPES];
	struct quire_folio **folios; /* by allocation; NULL: not in use */
	struct quire_pin **pins;     /* of what is unmovable */
	uint64_t frames;	     /* in use */
	double sum;		     /* of the blocks in use, over the samples */
	size_t samples;
	const char *what;
	const char *label; /* of the plan that runs */
};

/* --- content --- */

static uint64_t page_key(const struct playing *p, uint32_t id, unsigned page)
{
	return rng_mix(p->options->seed + rng_mix((uint64_t)id << 10 | page));
}

/* Where word w of a page is: anywhere in its eighth. */
static size_t word_at(uint64_t key, unsigned w)
{
	return w * (PAGE_WORDS / WORDS) + (key >> 8 * w) % (PAGE_WORDS / WORDS);
}

static void fill(const struct playing *p, uint32_t id, unsigned order, char *to)
{
	for (unsigned page = 0; page < 1u << order; page++) {
		uint64_t key = page_key(p, id, page);
		uint64_t *words = (uint64_t *)(void *)(to + (size_t)page * QUIRE_FRAME_BYTES);

		for (unsigned w = 0; w < WORDS; w++)
			words[word_at(key, w)] = key + w;
	}
}

static int compare(struct playing *p, uint32_t id)
{
	unsigned order = p->trace->allocs[id].order;
	const char *from = quire_pin(p->folios[id]);

	if (!from)
		return -ESTALE;
	for (unsigned page = 0; page < 1u << order; page++) {
		uint64_t key = page_key(p, id, page), found, wrong = 0;

		for (unsigned w = 0; w < WORDS; w++) {
			memcpy(&found,
			       from + (size_t)page * QUIRE_FRAME_BYTES + 8 * word_at(key, w), 8);
			wrong |= found ^ (key + w);
		}
		p->result->wrong += wrong != 0;
	}
	p->result->pages += 1u << order;
	quire_unpin(p->folios[id]);
	return 0;
}

/* --- events --- */

static int plan_progress(void *arg, const struct quire_result *so_far)
{
	const struct playing *p = arg;

	return p->options->step(p->options->arg, p->label, so_far->bytes_moved,
				so_far->bytes_planned);
}

/* Everything that can be freed. */
static int compact(struct playing *p, const char *label, uint64_t *moved)
{
	struct quire_result result = { .size = sizeof(result) };
	struct quire_plan *plan;
	int err = quire_plan_create(p->quire,
				    QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS,
					       .frames = QUIRE_BLOCK_FRAMES, .count = QUIRE_MAX),
				    &plan);

	p->label = label;
	if (err)
		return err;
	err = quire_plan_execute(plan, QUIRE_BUDGET(.progress = plan_progress, .arg = p), &result);
	quire_plan_destroy(plan);
	*moved += result.bytes_moved;
	return err == -EBUSY || err == -ENOSPC ? 0 : err;
}

static int create(struct playing *p, uint32_t id, struct quire_folio **folio)
{
	const struct trace_alloc *a = &p->trace->allocs[id];

	return quire_folio_create_with(
		p->owners[a->type],
		QUIRE_FOLIO(.order = a->order, .pinned_long = a->type == UNMOVABLE), folio);
}

static int allocate(struct playing *p, uint32_t id)
{
	const struct trace_alloc *a = &p->trace->allocs[id];
	struct quire_folio *folio = NULL;
	int err = create(p, id, &folio);
	char *to;

	if (err == -ENOMEM) { /* no aligned place: make some */
		p->what = "compacting for an allocation";
		err = compact(p, "making room", &p->result->planned_bytes);
		p->result->plans++;
		if (!err)
			err = create(p, id, &folio);
	}
	if (err == -ENOMEM) {
		p->result->refused++;
		return 0;
	}
	p->what = "allocating a folio";
	if (err)
		return err;
	p->folios[id] = folio;
	p->frames += 1u << a->order;
	to = quire_pin(folio);
	if (!to)
		return -ENOMEM;
	fill(p, id, a->order, to);
	quire_unpin(folio);
	p->what = "pinning a folio";
	return a->type == UNMOVABLE ? quire_pin_long(folio, p->owners[UNMOVABLE], &p->pins[id]) : 0;
}

static int release(struct playing *p, uint32_t id)
{
	int err;

	if (!p->folios[id]) /* it found no place */
		return 0;
	p->what = "comparing";
	err = compare(p, id);
	if (p->pins[id])
		quire_unpin_long(p->pins[id]);
	p->pins[id] = NULL;
	quire_folio_put(p->folios[id]);
	p->folios[id] = NULL;
	p->frames -= 1u << p->trace->allocs[id].order;
	return err;
}

static uint32_t used_blocks(const struct playing *p)
{
	struct quire_block_info info = { .size = sizeof(info) };
	uint32_t n = 0;

	for (uint32_t b = 0; b < p->options->blocks; b++)
		n += !quire_block_info(p->quire, b, &info) && info.used;
	return n;
}

static void sample(struct playing *p)
{
	uint32_t used;

	(void)quire_reclaim(p->quire);
	used = used_blocks(p);
	p->sum += used;
	p->samples++;
	if (used > p->result->use.most)
		p->result->use.most = used;
}

static int play_events(struct playing *p)
{
	const struct trace *t = p->trace;
	const struct play_options *o = p->options;
	int err = 0;

	for (size_t i = 0; i < t->n && !err; i++) {
		uint32_t id = t->events[i] >> 1;

		err = t->events[i] & 1 ? release(p, id) : allocate(p, id);
		if (!err && o->every && (i + 1) % o->every == 0) {
			p->what = "compacting";
			err = compact(p, "compacting", &p->result->planned_bytes);
			p->result->plans++;
		}
		if ((i + 1) % TRACE_STRIDE == 0)
			sample(p);
		if (!err && i % STEP == 0 && o->step(o->arg, "replaying", i, t->n))
			err = -ECANCELED;
	}
	return err;
}

/* --- the end --- */

/* Which blocks hold something, and something unmovable. */
static int count_use(const struct playing *p, struct play_use *use)
{
	uint8_t *holds = calloc(p->options->blocks, 1);

	if (!holds)
		return -ENOMEM;
	for (size_t id = 0; id < p->trace->nallocs; id++)
		if (p->folios[id])
			holds[quire_folio_frame(p->folios[id]).n / QUIRE_BLOCK_FRAMES] |=
				p->trace->allocs[id].type == UNMOVABLE ? 3 : 1;
	use->end = use->unmovable = 0;
	for (uint32_t b = 0; b < p->options->blocks; b++) {
		use->end += holds[b] != 0;
		use->unmovable += holds[b] == 3;
	}
	free(holds);
	return 0;
}

/* The oracle is asked about the layout as the allocator left it. */
static int ask_oracle(const struct playing *p, uint32_t *least)
{
	struct oracle_folio *folios = calloc(p->trace->nallocs, sizeof(*folios));
	struct oracle_arena arena = { p->options->blocks, 9, 0, folios };
	struct oracle_verdict verdict = { 0 };
	int err;

	if (!folios)
		return -ENOMEM;
	for (size_t id = 0; id < p->trace->nallocs; id++) {
		uint32_t at;

		if (!p->folios[id])
			continue;
		at = quire_folio_frame(p->folios[id]).n;
		folios[arena.n++] = (struct oracle_folio){
			.block = at / QUIRE_BLOCK_FRAMES,
			.offset = at % QUIRE_BLOCK_FRAMES,
			.order = p->trace->allocs[id].order,
			.fixed = p->trace->allocs[id].type == UNMOVABLE,
		};
	}
	err = oracle_judge(&arena, UINT64_MAX, &verdict, NULL);
	*least = (uint32_t)(arena.blocks - verdict.runs);
	free(folios);
	return err;
}

static void judge(struct playing *p)
{
	struct quire_stats stats = { .size = sizeof(stats) };
	struct play_result *r = p->result;

	if (quire_reclaim(p->quire) || quire_stats_get(p->quire, &stats))
		snprintf(r->why, sizeof(r->why), "places that were left are still kept");
	else if (stats.frames - stats.frames_free != p->frames)
		snprintf(r->why, sizeof(r->why),
			 "the books do not agree: %" PRIu64 " frames in use, not %" PRIu64,
			 stats.frames - stats.frames_free, p->frames);
	else if (r->after.end != r->least)
		snprintf(r->why, sizeof(r->why),
			 "squeezed, %u blocks hold something; %u is possible", r->after.end,
			 r->least);
}

static int squeeze(struct playing *p)
{
	struct play_result *r = p->result;
	int err;

	(void)quire_reclaim(p->quire);
	p->what = "the oracle";
	err = count_use(p, &r->use);
	if (!err)
		err = ask_oracle(p, &r->least);
	if (err)
		return err;
	p->what = "squeezing";
	err = compact(p, "squeezing", &r->squeezed_bytes);
	if (!err)
		err = count_use(p, &r->after);
	p->what = "comparing";
	for (size_t id = 0; id < p->trace->nallocs && !err; id++) {
		if (p->folios[id])
			err = compare(p, (uint32_t)id);
		if (!err && id % STEP == 0 &&
		    p->options->step(p->options->arg, "comparing", id, p->trace->nallocs))
			err = -ECANCELED;
	}
	if (err)
		return err;
	r->squeezed = true;
	judge(p);
	return 0;
}

static int begin(struct playing *p)
{
	static const char *const names[TRACE_TYPES] = { "unmovable", "movable", "reclaimable" };
	int err;

	p->what = "remembering what is allocated";
	p->folios = calloc(p->trace->nallocs, sizeof(struct quire_folio *));
	p->pins = calloc(p->trace->nallocs, sizeof(struct quire_pin *));
	if (!p->folios || !p->pins)
		return -ENOMEM;
	p->what = "creating an arena";
	err = quire_create(QUIRE_OPTIONS(.arena_bytes = (uint64_t)p->options->blocks *
							QUIRE_BLOCK_FRAMES * QUIRE_FRAME_BYTES),
			   &p->quire);
	for (unsigned t = 0; t < TRACE_TYPES && !err; t++)
		err = quire_owner_create(p->quire, names[t], NULL, NULL, &p->owners[t]);
	return err;
}

static int end(struct playing *p)
{
	int err = 0;

	for (size_t id = 0; p->pins && id < p->trace->nallocs; id++)
		if (p->pins[id])
			quire_unpin_long(p->pins[id]);
	if (p->quire)
		err = quire_destroy(p->quire);
	free(p->folios);
	free(p->pins);
	return err;
}

int play(const struct trace *trace, const struct play_options *options, struct play_result *result,
	 const char **what)
{
	struct playing p = { .trace = trace, .options = options, .result = result };
	uint64_t from = clock_ns();
	int err, last;

	memset(result, 0, sizeof(*result));
	err = begin(&p);
	if (!err)
		err = play_events(&p);
	result->frames = p.frames;
	result->seconds = 1e-9 * (double)(clock_ns() - from);
	if (!err) {
		sample(&p);
		result->use.mean = p.sum / (double)p.samples;
		result->played = true;
		err = squeeze(&p);
	}
	*what = p.what;
	last = end(&p);
	if (!err && last)
		*what = "ending the arena";
	return err ? err : last;
}

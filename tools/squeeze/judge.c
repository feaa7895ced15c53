/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include <errno.h>
#include <gem/gem.h>
#include <inttypes.h>
#include <kv/kv.h>
#include <ring/ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "users.h"
#include "watch.h"

static void add_blocker(struct report *r, const struct quire_blocker *b)
{
	struct report_group *g;

	if ((unsigned)b->why < QUIRE_REASON_ROOM)
		r->reasons[b->why]++;
	for (size_t i = 0; i < r->ngroups; i++) {
		g = &r->groups[i];
		if (!strcmp(g->owner, b->owner) && !strcmp(g->reason, b->reason) &&
		    !strcmp(g->site, b->site) && g->thread == b->thread) {
			g->folios++;
			if (b->age_ns > g->age_ns)
				g->age_ns = b->age_ns;
			return;
		}
	}
	g = reallocarray(r->groups, r->ngroups + 1, sizeof(*g));
	if (!g)
		return;
	r->groups = g;
	g += r->ngroups++;
	memset(g, 0, sizeof(*g));
	snprintf(g->owner, sizeof(g->owner), "%s", b->owner);
	snprintf(g->reason, sizeof(g->reason), "%s", b->reason);
	snprintf(g->site, sizeof(g->site), "%s", b->site);
	g->thread = b->thread;
	g->age_ns = b->age_ns;
	g->folios = 1;
}

/* Does a fault that came due explain that this thing stays, for this reason? */
static bool explained(const struct judge *j, const struct quire_blocker *b, uint32_t thing)
{
	const uint64_t *fired = j->report->fired;

	switch (b->why) {
	case QUIRE_REASON_VETO:
		return watch_refused(j->arena->watch, thing) == QUIRE_REASON_VETO;
	case QUIRE_REASON_OWNER_BUSY:
		/* refused for good, or "not now" until the time was over */
		return watch_refused(j->arena->watch, thing) == QUIRE_REASON_OWNER_BUSY ||
		       fired[INJECT_eagain];
	case QUIRE_REASON_COPY:
		return fired[INJECT_copy];
	case QUIRE_REASON_NO_FRAMES:
	case QUIRE_REASON_NO_PLACE:
		return fired[INJECT_alloc];
	case QUIRE_REASON_BARRIER:
		return fired[INJECT_membarrier];
	default:
		return false;
	}
}

/* A thing of legacy is named as what it is, or another one as what was done to it. */
static bool rightly_named(const struct judge *j, const struct quire_blocker *b, uint32_t thing)
{
	if (thing == WATCH_NOTHING)
		return false;
	if (j->stage->things[thing].holder == HOLDER_LEGACY)
		return b->why == QUIRE_REASON_LONG_PIN && !strcmp(b->owner, "legacy");
	return explained(j, b, thing);
}

/* Who was to be named, and was not. */
static size_t count_missing(const struct judge *j)
{
	const struct stage *s = j->stage;
	size_t missing = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!j->stays[i] &&
		    ((s->things[i].holder == HOLDER_LEGACY &&
		      goal_has_frame(&j->report->options->goal, s->things[i].frame)) ||
		     watch_refused(j->arena->watch, (uint32_t)i)))
			missing++;
	return missing;
}

/* The plan's own count must be that of its list. */
static void judge_histogram(struct judge *j, const struct quire_plan *plan)
{
	uint64_t counts[QUIRE_REASON_ROOM];

	if (quire_plan_histogram(plan, counts) ||
	    memcmp(counts, j->report->reasons, sizeof(counts)) != 0)
		report_fail(j->report,
			    "the plan counts those that stay otherwise than it names them");
}

void judge_blockers(struct judge *j, const struct quire_plan *plan)
{
	struct report *r = j->report;
	size_t n = quire_plan_blockers(plan), wrong = 0, missing;
	const char *reason = "";

	for (size_t i = 0; i < n; i++) {
		const struct quire_blocker *b = quire_plan_blocker(plan, i);
		uint32_t thing =
			b->folio ? watch_thing_at(j->arena->watch, b->frame.n) : WATCH_NOTHING;

		add_blocker(r, b);
		if (thing != WATCH_NOTHING)
			j->stays[thing] = 1;
		if (rightly_named(j, b, thing))
			continue;
		reason = b->reason;
		wrong++;
	}
	judge_histogram(j, plan);
	if (j->interrupted)
		return;
	if (wrong)
		report_fail(r, "%zu pages stay that should not, or not for '%s'", wrong, reason);
	missing = count_missing(j);
	if (missing)
		report_fail(r, "%zu pages that stay were not named", missing);
	if (r->reasons[QUIRE_REASON_COPY] != r->fired[INJECT_copy])
		report_fail(r, "%" PRIu64 " copies failed, %" PRIu64 " pages were named for it",
			    r->fired[INJECT_copy], r->reasons[QUIRE_REASON_COPY]);
}

static void check(struct report *r, const char *what, uint64_t is, uint64_t should)
{
	if (is != should)
		report_fail(r, "the books do not agree: %s %" PRIu64 ", not %" PRIu64, what, is,
			    should);
}

static void library_books(struct judge *j)
{
	struct quire_stats stats = { .size = sizeof(stats) };
	struct report *r = j->report;

	if (quire_reclaim(j->arena->quire))
		report_fail(r, "places that were moved away from are still kept");
	if (quire_stats_get(j->arena->quire, &stats)) {
		report_fail(r, "the library gives no counters");
		return;
	}
	check(r, "moved, put back or freed", stats.moved + stats.putbacks + stats.freed_isolated,
	      stats.isolated);
	check(r, "folios", stats.folios_live, j->stage->n);
	check(r, "frames in use", stats.frames - stats.frames_free, j->stage->pages);
	check(r, "errors of owners", stats.owner_errors, r->fired[INJECT_late]);
}

/* Every isolation ended once, in a move or a putback. */
static void owners_books(struct judge *j)
{
	struct report *r = j->report;
	struct watch_counts c;

	for (size_t i = 0; watch_counts(j->arena->watch, i, &c); i++) {
		check(r, "an owner's isolations", c.moved + c.putbacks, c.isolated);
		if (r->nowners == REPORT_OWNERS)
			continue;
		snprintf(r->owners[r->nowners].name, sizeof(r->owners[0].name), "%s", c.name);
		r->owners[r->nowners].folios = 0;
		r->owners[r->nowners].moved = c.moved;
		r->owners[r->nowners++].tries = c.tries;
	}
	for (size_t i = 0; i < r->nowners; i++)
		for (unsigned h = 0; h < HOLDERS; h++)
			if (!strcmp(r->owners[i].name, holder_name((enum holder)h)))
				r->owners[i].folios = j->stage->held[h];
}

/* Each thing is where the watch last saw it: nothing moved unseen. */
static void check_places(struct judge *j)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < j->stage->n; i++) {
		const struct thing *t = &j->stage->things[i];

		lost += watch_thing_at(j->arena->watch, thing_frame(t)) != i;
	}
	check(j->report, "pages elsewhere than their owners know:", lost, 0);
}

/* As many are free as the library says, by where each page is. */
static void check_freed(struct judge *j)
{
	const struct goal *goal = &j->report->options->goal;
	uint8_t *occupied = calloc(j->stage->blocks, 1);
	uint64_t said = j->report->quire.runs + goal->free_before, is;

	if (!occupied) {
		report_fail(j->report, "no memory to count the free blocks");
		return;
	}
	for (size_t i = 0; i < j->stage->n; i++)
		occupied[thing_frame(&j->stage->things[i]) / QUIRE_BLOCK_FRAMES] = 1;
	is = goal_count_free(goal, occupied);
	if (j->report->quire.known && is < said)
		check(j->report, "what is free:", is, said);
	free(occupied);
}

void judge_books(struct judge *j)
{
	const char *what = "";

	library_books(j);
	owners_books(j);
	check_places(j);
	check_freed(j);
	if (j->arena->kv && kv_validate(j->arena->kv, &what))
		report_fail(j->report, "kv: %s", what);
	if (j->arena->gem && gem_validate(j->arena->gem, &what))
		report_fail(j->report, "gem: %s", what);
}

static uint64_t used_bytes(const struct stage *s, enum holder h)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->nused[h]; i++)
		bytes += (uint64_t)QUIRE_FRAME_BYTES << s->things[s->used[h][i]].order;
	return bytes;
}

/* What gem and ring had bound before, and still have, now that the engine has been everywhere. */
void judge_users(struct judge *j)
{
	const struct stage *s = j->stage;
	struct users_registered now = users_registered(j->arena);
	struct report *r = j->report;

	r->ring_bytes = used_bytes(s, HOLDER_RING);
	check(r, "bytes bound by gem", users_bound(j->arena), used_bytes(s, HOLDER_GEM));
	/* the limit is the user's: another process may have taken what was free for a moment */
	if (now.fixed + now.refused < j->arena->registered)
		check(r, "registered buffers of ring", now.fixed, j->arena->registered);
	r->registered_bytes = now.bytes;
	r->registered_lost =
		j->arena->registered > now.buffers ? j->arena->registered - now.buffers : 0;
	if (j->arena->ring)
		snprintf(r->ring_backend, sizeof(r->ring_backend), "%s",
			 ring_backend(j->arena->ring));
	r->ring_is_uring = j->arena->ring && ring_is_uring(j->arena->ring);
}

/* Where pages of an owner moved, something of its own must have been verified meanwhile. */
static void judge_overlap(struct judge *j)
{
	struct report *r = j->report;

	for (size_t i = 0; i < r->nowners; i++) {
		const struct report_owner *o = &r->owners[i];

		if (!o->moved)
			continue;
		if (!strcmp(o->name, "gem") && j->stage->nused[HOLDER_GEM] &&
		    !r->load.jobs.overlapped)
			report_fail(r, "no job of gem was verified while its pages moved");
		if (!strcmp(o->name, "ring") && !r->load.ios.overlapped)
			report_fail(r, "no I/O of ring was verified while its pages moved");
	}
}

static void judge_faults(struct judge *j)
{
	const struct inject *in = &j->report->options->inject;
	struct report *r = j->report;

	for (unsigned f = 0; f < INJECT_COUNT; f++)
		if ((in->n[f] || in->pct[f] > 0) && !r->fired[f])
			report_fail(r, "%s never came due", inject_word((enum inject_fault)f));
}

void judge_result(struct judge *j)
{
	struct report *r = j->report;
	const struct report_side *goal = r->options->inject.any ? &r->given : &r->possible;
	char noun[GOAL_TEXT];

	if (r->load.wrong)
		report_fail(r,
			    "%" PRIu64 " wrong bytes, the first read in folio %" PRIu64 ", of %s",
			    r->wrong, r->load.first_thing,
			    holder_name((enum holder)j->stage->things[r->load.first_thing].holder));
	else if (r->wrong)
		report_fail(r, "%" PRIu64 " wrong bytes when all was over", r->wrong);
	if (r->load.errors)
		report_fail(r, "%" PRIu64 " accesses, jobs or I/Os failed%s%s", r->load.errors,
			    r->load.error ? ": " : "",
			    r->load.error ? strerror(-r->load.error) : "");
	if (!r->nwhy && j->interrupted) {
		r->verdict = REPORT_INTERRUPTED;
		return;
	}
	if (r->quire.known && goal->known && r->quire.runs != goal->runs)
		report_fail(r, "%" PRIu64 " of %" PRIu64 " possible: %s", r->quire.runs, goal->runs,
			    goal_noun(&r->options->goal, noun));
	if (r->quire.known && r->quire.bytes && !r->load.accesses)
		report_fail(r, "no access met a page on the move: nothing was tried under load");
	if (r->quire.known)
		judge_overlap(j);
	if (r->quire.known && r->possible.bytes)
		judge_faults(j);
	if (!r->quire.known && !r->nwhy)
		report_fail(r, "nothing was moved");
	r->verdict = r->nwhy ? REPORT_FAIL : REPORT_PASS;
}

/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define STAY_LINES 6 /* groups of what stays that are listed */

void report_fail(struct report *r, const char *format, ...)
{
	va_list args;

	r->verdict = REPORT_FAIL;
	if (r->nwhy == sizeof(r->why) / sizeof(r->why[0]))
		return;
	va_start(args, format);
	vsnprintf(r->why[r->nwhy++], sizeof(r->why[0]), format, args);
	va_end(args);
}

void report_head(const struct report *r)
{
	char live[TEXT], blocks[TEXT], refusing[TEXT], goal[GOAL_TEXT];
	double asked = floor(r->options->pins * (double)r->folios / 100 + 0.5);
	double share = r->options->pins;

	/* ring's limit may have left some out */
	if (asked > (double)r->in_use && r->folios)
		share = 100.0 * (double)r->in_use / (double)r->folios;

	printf("layout   %s: %s live in %s block%s of 2 MiB (%.0f %%)\n", r->name,
	       text_size(live, r->live_bytes), text_count(blocks, r->blocks), text_s(r->blocks),
	       100.0 * (double)r->live_bytes / ((double)r->blocks * (2 << 20)));
	printf("in use   %.3g %% of live pages, %s more refuse to move (seed %" PRIu64 ")\n", share,
	       text_count(refusing, r->refusing), r->options->seed);
	if (*goal_words(&r->options->goal, goal))
		printf("goal     %s\n", goal);
	fflush(stdout);
}

/* The last column is there with --kernel. */
static void row(const struct report *r, const char *what, const char *without, const char *quire,
		const char *possible, const char *by_linux)
{
	printf("%-26s%14s%11s%11s", what, without, quire, possible);
	if (r->options->kernel)
		printf("%11s", by_linux);
	putchar('\n');
}

static const char *side_runs(char text[TEXT], const struct report_side *s)
{
	return s->known ? text_count(text, s->runs) : "-";
}

static const char *side_bytes(char text[TEXT], const struct report_side *s)
{
	return s->known ? text_size(text, s->bytes) : "-";
}

static void text_load(const struct report *r)
{
	char accesses[TEXT], wrong[TEXT], stall[TEXT];

	if (!r->quire.known) {
		puts("under load  -");
		return;
	}
	printf("under load  %s access%s to pages on the move, %s wrong byte%s",
	       text_rough(accesses, r->load.accesses), r->load.accesses == 1 ? "" : "es",
	       text_count(wrong, r->wrong), text_s(r->wrong));
	if (r->load.accesses)
		printf("; a stall p99.9 %s",
		       text_duration(stall,
				     1e-9 * (double)histogram_quantile(&r->load.stalls, 0.999)));
	putchar('\n');
}

/* How much the kernel has pinned for it, and why that is all. */
static void text_ring(const struct report *r, uint64_t folios)
{
	char bytes[TEXT], wanted[TEXT], lost[TEXT];

	if (!r->ring_is_uring)
		printf("; %s", r->ring_backend);
	else
		printf("; %s registered", text_size(bytes, r->registered_bytes));
	if (r->ring_is_uring && r->registered_bytes < r->ring_bytes)
		printf(" of %s", text_size(bytes, r->ring_bytes));
	if (r->registered_lost)
		printf(", %s more until the kernel refused", text_count(lost, r->registered_lost));
	if (folios < r->ring_wanted)
		printf(" (RLIMIT_MEMLOCK: not the %s pages it would have)",
		       text_count(wanted, r->ring_wanted));
}

/* Verified while pages of their owner were on the move. */
static void text_verified(const struct report *r, const char *what, const char *owner,
			  uint64_t overlapped)
{
	const struct report_owner *o = NULL;
	char n[TEXT];

	for (size_t i = 0; i < r->nowners; i++)
		if (!strcmp(r->owners[i].name, owner))
			o = &r->owners[i];
	if (!o || !r->quire.known)
		return;
	printf("%-26s%14s%11s\n", what, "-", o->moved ? text_rough(n, overlapped) : "none moved");
}

static void text_owners(const struct report *r)
{
	char folios[TEXT], moved[TEXT], tries[TEXT];
	bool first = true;

	for (size_t i = 0; i < r->nowners; i++) {
		const struct report_owner *o = &r->owners[i];

		if (!o->folios || !r->quire.known || !strcmp(o->name, "legacy"))
			continue;
		if (!first)
			putchar('\n');
		printf("%-11s %s: %s page%s, %s moved in %s tr%s", first ? "owners" : "", o->name,
		       text_count(folios, o->folios), text_s(o->folios),
		       text_count(moved, o->moved), text_count(tries, o->tries),
		       o->tries == 1 ? "y" : "ies");
		if (!strcmp(o->name, "ring"))
			text_ring(r, o->folios);
		first = false;
	}
	if (!first)
		putchar('\n');
	if (r->quire.known && r->ring_wanted && !*r->ring_backend)
		printf("%-11s ring: no pages, RLIMIT_MEMLOCK allows none\n", "");
}

static void text_shrunk(const struct report *r)
{
	char given[TEXT], before[TEXT], after[TEXT];

	if (r->options->huge && r->backing)
		printf("%-11s %s\n", "backing",
		       !strcmp(r->backing, "hugetlb") ? "2 MiB pages of hugetlb"
		       : !strcmp(r->backing, "collapse")
			       ? "2 MiB pages, by MADV_COLLAPSE"
			       : "4 KiB pages: this system has no others");
	if (r->shrunk)
		printf("%-11s %s of free pages; %s were in memory, %s are\n", "given back",
		       text_size(given, r->given_back), text_size(before, r->resident_before),
		       text_size(after, r->resident_after));
}

static void text_kernel(const struct report *r)
{
	const struct kernel_result *k = &r->kernel;
	char pinned[TEXT], huge[TEXT], cap[TEXT], margin[TEXT];

	if (k->known)
		printf("%-11s %s page%s pinned by io_uring; %s huge pages of %s that were asked "
		       "for, but for %s\n",
		       "Linux", text_count(pinned, k->pinned), text_s(k->pinned),
		       text_count(huge, k->huge), text_count(cap, k->huge_cap),
		       text_size(margin, k->margin));
	else if (*k->why)
		printf("%-11s %s\n", "Linux", k->why);
}

static void text_no_place(const struct report *r)
{
	char n[TEXT];

	if (r->quire.known && r->no_place && r->options->goal.kind == GOAL_RANGE)
		printf("%-11s for what lives in %s of them\n", "no place",
		       text_count(n, r->no_place));
}

/* What was made to fail, and how often it did. */
static void text_inject(const struct report *r)
{
	const struct inject *in = &r->options->inject;
	char times[TEXT], runs[TEXT];
	const char *and = "";

	if (!in->any)
		return;
	printf("%-11s ", "injected");
	if (in->membarrier_off) {
		printf("membarrier off");
		and = ", ";
	}
	for (unsigned f = 0; f < INJECT_COUNT; f++) {
		if (!in->n[f] && !(in->pct[f] > 0))
			continue;
		printf("%s%s %s time%s", and, inject_word((enum inject_fault)f),
		       text_count(times, r->fired[f]), text_s(r->fired[f]));
		and = ", ";
	}
	if (r->given.known)
		printf("; with those that stay %s is possible", text_count(runs, r->given.runs));
	putchar('\n');
}

/* Why what stays does, where there is more than one reason for it. */
static void text_reasons(const struct report *r)
{
	char folios[TEXT];
	unsigned n = 0;

	for (unsigned i = 0; i < QUIRE_REASON_ROOM; i++)
		n += r->reasons[i] != 0;
	if (n < 2)
		return;
	printf("%-11s ", "reasons");
	n = 0;
	for (unsigned i = 0; i < QUIRE_REASON_ROOM; i++)
		if (r->reasons[i])
			printf("%s%s %s", n++ ? ", " : "", text_count(folios, r->reasons[i]),
			       quire_reason_text((enum quire_reason)i));
	putchar('\n');
}

static void text_stays(const struct report *r)
{
	char folios[TEXT], age[TEXT];
	size_t more = 0;

	if (!r->ngroups)
		puts(r->quire.known ? "stays       nothing" : "stays       -");
	for (size_t i = 0; i < r->ngroups; i++) {
		const struct report_group *g = &r->groups[i];

		if (i >= STAY_LINES) {
			more += g->folios;
			continue;
		}
		printf("%-11s %s page%s of %s, ", i ? "" : "stays", text_count(folios, g->folios),
		       text_s(g->folios), *g->owner ? g->owner : "nobody known");
		if (*g->site)
			printf("pinned at %s, %s\n", g->site,
			       text_duration(age, 1e-9 * (double)g->age_ns));
		else
			printf("%s\n", g->reason);
	}
	if (more)
		printf("%-11s %s page%s for other reasons\n", "", text_count(folios, more),
		       text_s(more));
}

static void text_speed(const struct report *r)
{
	char took[TEXT];
	double speed;

	if (!r->quire.known) {
		puts("ended before quire moved anything");
		return;
	}
	if (!r->possible.bytes && !r->quire.bytes) {
		puts("no page had to move, so nothing was tried under load");
		return;
	}
	printf("%s moving", text_duration(took, r->seconds));
	if (r->seconds > 0 && r->quire.bytes >= 1u << 20) { /* less says nothing about a rate */
		speed = (double)r->quire.bytes / r->seconds;
		printf(", %.1f GB/s", speed / 1e9);
		if (r->copy_limit > 0)
			printf(" (%.2f of the copy limit)", speed / r->copy_limit);
	}
	putchar('\n');
}

void report_text(const struct report *r)
{
	char a[TEXT], b[TEXT], c[TEXT], d[TEXT], noun[GOAL_TEXT];

	row(r, "", "without owners", "quire", "possible", "Linux");
	row(r, goal_noun(&r->options->goal, noun), side_runs(a, &r->without),
	    side_runs(b, &r->quire), side_runs(c, &r->possible),
	    r->kernel.known ? text_count(d, r->kernel.runs) : "-");
	row(r, "bytes moved", side_bytes(a, &r->without), side_bytes(b, &r->quire),
	    side_bytes(c, &r->possible), r->kernel.known ? text_size(d, r->kernel.bytes) : "-");
	text_verified(r, "jobs verified on the move", "gem", r->load.jobs.overlapped);
	text_verified(r, "I/Os verified on the move", "ring", r->load.ios.overlapped);
	text_kernel(r);
	text_owners(r);
	text_load(r);
	text_shrunk(r);
	text_inject(r);
	text_no_place(r);
	text_stays(r);
	text_reasons(r);
	switch (r->verdict) {
	case REPORT_PASS:
		printf("%-11s ", "PASS");
		break;
	case REPORT_INTERRUPTED:
		printf("%-11s ", "INTERRUPTED");
		break;
	case REPORT_FAIL:
		for (size_t i = 0; i < r->nwhy; i++)
			printf("%-11s %s\n", i ? "" : "FAIL", r->why[i]);
		printf("%-11s ", "");
		break;
	}
	text_speed(r);
}

static json_t *number(bool known, uint64_t n)
{
	return known ? json_integer((json_int_t)n) : json_null();
}

static json_t *real(bool known, double x)
{
	return known ? json_real(x) : json_null();
}

static double micro(const struct histogram *h, double share)
{
	return 1e-3 * (double)histogram_quantile(h, share);
}

static json_t *json_blockers(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->ngroups; i++) {
		const struct report_group *g = &r->groups[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:i, s:f, s:I}", "owner", g->owner,
						"reason", g->reason, "site", g->site, "thread",
						g->thread, "age_seconds", 1e-9 * (double)g->age_ns,
						"folios", (json_int_t)g->folios));
	}
	return list;
}

static json_t *json_owners(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->nowners; i++) {
		const struct report_owner *o = &r->owners[i];

		if (o->folios)
			json_array_append_new(list,
					      json_pack("{s:s, s:I, s:I, s:I}", "name", o->name,
							"folios", (json_int_t)o->folios, "moved",
							(json_int_t)o->moved, "tries",
							(json_int_t)o->tries));
	}
	return list;
}

static json_t *json_ring(const struct report *r)
{
	if (!*r->ring_backend)
		return json_null();
	return json_pack("{s:s, s:b, s:I, s:I, s:I}", "backend", r->ring_backend, "io_uring",
			 r->ring_is_uring, "registered_bytes", (json_int_t)r->registered_bytes,
			 "registrations_lost", (json_int_t)r->registered_lost, "folios_wanted",
			 (json_int_t)r->ring_wanted);
}

static json_t *json_reasons(const struct report *r)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < QUIRE_REASON_ROOM; i++)
		if (r->reasons[i])
			json_object_set_new(o, quire_reason_text((enum quire_reason)i),
					    json_integer((json_int_t)r->reasons[i]));
	return o;
}

static json_t *json_inject(const struct report *r)
{
	const struct inject *in = &r->options->inject;
	json_t *o, *times;

	if (!in->any)
		return json_null();
	times = json_object();
	for (unsigned f = 0; f < INJECT_COUNT; f++)
		if (in->n[f] || in->pct[f] > 0)
			json_object_set_new(times, inject_word((enum inject_fault)f),
					    json_integer((json_int_t)r->fired[f]));
	o = json_pack("{s:s, s:o, s:o}", "asked", in->text, "times", times, "possible_runs",
		      number(r->given.known, r->given.runs));
	return o;
}

/* Of what can be, "wanted" is null. */
static json_t *json_goal(const struct report *r)
{
	const struct goal *g = &r->options->goal;

	if (g->kind == GOAL_RANGE)
		return json_pack("{s:s, s:I, s:I, s:I}", "kind", "range", "first_frame",
				 (json_int_t)g->first * QUIRE_BLOCK_FRAMES, "frames",
				 (json_int_t)(g->end - g->first) * QUIRE_BLOCK_FRAMES,
				 "free_before", (json_int_t)g->free_before);
	return json_pack("{s:s, s:I, s:o, s:I}", "kind", "runs", "frames",
			 (json_int_t)g->blocks_each * QUIRE_BLOCK_FRAMES, "wanted",
			 number(g->count != GOAL_ALL, g->count), "free_before",
			 (json_int_t)g->free_before);
}

static json_t *json_backing(const struct report *r)
{
	return r->backing ? json_string(r->backing) : json_null();
}

static json_t *json_kernel(const struct report *r)
{
	const struct kernel_result *k = &r->kernel;

	if (!r->options->kernel)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "runs", number(k->known, k->runs),
			 "bytes_moved", number(k->known, k->bytes), "pages_pinned",
			 number(k->known, k->pinned), "huge_pages_before",
			 number(k->known, k->huge_before), "huge_pages", number(k->known, k->huge),
			 "huge_pages_asked", number(k->known, k->huge_cap), "why_not", k->why);
}

static json_t *json_shrunk(const struct report *r)
{
	if (!r->shrunk)
		return json_null();
	return json_pack("{s:I, s:I, s:I}", "given_back_bytes", (json_int_t)r->given_back,
			 "resident_before_bytes", (json_int_t)r->resident_before,
			 "resident_after_bytes", (json_int_t)r->resident_after);
}

/* A file name may be any bytes; JSON is UTF-8. */
static json_t *name(const char *file)
{
	json_t *text = json_string(file);
	char *plain;

	if (text)
		return text;
	plain = strdup(file);
	for (char *c = plain; c && *c; c++)
		if (*c & 0x80)
			*c = '?';
	text = plain ? json_string(plain) : NULL;
	free(plain);
	return text;
}

int report_json(const struct report *r)
{
	static const char *const verdicts[] = { "FAIL", "PASS", "INTERRUPTED" };
	bool ran = r->quire.known, met = r->load.accesses != 0;
	double speed = r->seconds > 0 ? (double)r->quire.bytes / r->seconds : 0;
	json_t *o = json_pack("{s:s, s:I, s:{s:o, s:I, s:I, s:I}, s:I, s:I}", "schema",
			      "quire-squeeze-1", "seed", (json_int_t)r->options->seed, "layout",
			      "file", name(r->file), "live_bytes", (json_int_t)r->live_bytes,
			      "blocks", (json_int_t)r->blocks, "folios", (json_int_t)r->folios,
			      "in_use", (json_int_t)r->in_use, "refusing", (json_int_t)r->refusing);
	json_t *rest = json_pack(
		"{s:{s:o, s:o}, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}, s:{s:o, s:o}, "
		"s:{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o, s:o, s:s}",
		"without_owners", "runs", number(r->without.known, r->without.runs), "bytes_moved",
		number(r->without.known, r->without.bytes), "quire", "runs",
		number(ran, r->quire.runs), "bytes_moved", number(ran, r->quire.bytes),
		"bytes_recopied", number(ran, r->bytes_recopied), "lower_bound_bytes",
		number(ran, r->lower_bound_bytes), "no_place", number(ran, r->no_place), "seconds",
		real(ran, r->seconds), "gb_per_s", real(ran, speed / 1e9), "copy_limit_gb_per_s",
		real(r->copy_limit > 0, r->copy_limit / 1e9), "possible", "runs",
		number(r->possible.known, r->possible.runs), "bytes_moved",
		number(r->possible.known, r->possible.bytes), "load", "accesses",
		(json_int_t)r->load.accesses, "jobs", (json_int_t)r->load.jobs.done,
		"overlapped_jobs", (json_int_t)r->load.jobs.overlapped, "io",
		(json_int_t)r->load.ios.done, "overlapped_io", (json_int_t)r->load.ios.overlapped,
		"wrong_bytes", (json_int_t)r->wrong, "stall_p50_us",
		real(met, micro(&r->load.stalls, 0.5)), "stall_p999_us",
		real(met, micro(&r->load.stalls, 0.999)), "stall_max_us",
		real(met, 1e-3 * (double)r->load.stalls.max), "blockers", json_blockers(r),
		"owners", json_owners(r), "ring", json_ring(r), "reasons", json_reasons(r),
		"injected", json_inject(r), "shrunk", json_shrunk(r), "backing", json_backing(r),
		"goal", json_goal(r), "linux", json_kernel(r), "verdict", verdicts[r->verdict]);
	int err = -ENOMEM;

	if (o && rest && !json_object_update(o, rest) &&
	    !json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) && putchar('\n') != EOF)
		err = 0;
	json_decref(o);
	json_decref(rest);
	return err;
}

/* SPDX-License-Identifier: MIT */
/*
 * replay.c: the command: a recorded trace happens again through libquire, and is compared with what
 * Linux made of it.
 */
#include "replay.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "play.h"
#include "scan/where.h"
#include "squeeze/memory.h"
#include "term.h"
#include "text.h"
#include "trace.h"
#include "usage.h"

#define DEFAULT_SEED 618u
#define BLOCK_BYTES ((uint64_t)QUIRE_BLOCK_FRAMES * QUIRE_FRAME_BYTES)
#define MAX_BLOCKS (1u << 20)

struct options {
	const char *file;
	uint64_t every, seed;
	uint64_t blocks; /* of the arena; 0: as many as Linux used */
	bool json, help;
	char error[256]; /* "": argp found the mistake */
};

static const struct argp_option described[] = {
	{ "every", 'e', "N", 0, "Compact after every N events (default: never)", 0 },
	{ "arena", 'a', "MIB", 0, "Size of the arena (default: every block that Linux used)", 0 },
	{ "seed", 's', "N", 0, "What the pages contain (default 618)", 0 },
	{ "json", 'j', NULL, 0, "Print one JSON object instead of the table", 0 },
	{ "help", 'h', NULL, 0, "Print this", 0 },
	{ 0 },
};

static error_t number(struct options *o, const char *name, const char *arg, uint64_t least,
		      uint64_t most, uint64_t *n)
{
	if (where_number(arg, least, most, n))
		return 0;
	(void)snprintf(o->error, sizeof(o->error),
		       "--%s wants a whole number from %" PRIu64 " to %" PRIu64 ", not '%.40s'",
		       name, least, most, arg);
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	error_t err;

	switch (key) {
	case 'e':
		return number(o, "every", arg, 1, INT64_MAX, &o->every);
	case 'a':
		err = number(o, "arena", arg, 2, 2u * MAX_BLOCKS, &o->blocks);
		o->blocks = (o->blocks + 1) / 2;
		return err;
	case 's':
		return number(o, "seed", arg, 0, INT64_MAX, &o->seed);
	case 'j':
		o->json = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!*arg || o->file) {
			(void)snprintf(o->error, sizeof(o->error),
				       "the name of one trace is wanted");
			return EINVAL;
		}
		o->file = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		described,
		parse_option,
		"TRACE",
		"Lets a recorded trace of allocations happen again through libquire, squeezes what "
		"is left, and compares the 2 MiB blocks that it takes with those that Linux took."
		"\vExit status: 0 no byte was wrong, each allocation found a place, and squeezing "
		"freed all that is possible; 1 it was not so, or it was interrupted; 2 bad input.",
		NULL,
		NULL,
		NULL
	};
	static char name[] = "quire replay";
	int index = argc;

	argv[0] = name;
	o->seed = DEFAULT_SEED;
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &index, o)) {
		usage_unknown(o->error, sizeof(o->error), argc, argv, index);
	} else if (!o->file && !o->help) {
		(void)snprintf(o->error, sizeof(o->error), "which trace?");
	}
	return usage_end(&argp, name, o->help, o->error);
}

static int step(void *arg, const char *label, uint64_t done, uint64_t all)
{
	term_progress(arg, label, done, all);
	return interrupted;
}

static double mean(const struct trace *t)
{
	double sum = 0;

	for (size_t i = 0; i < t->nsamples; i++)
		sum += t->samples[i];
	return t->nsamples ? sum / (double)t->nsamples : t->used_end;
}

/* --- words --- */

static const char row[] = "%-26s%11s%11s%11s%11s\n";

static void odd(const struct trace_odd *o, const char *what)
{
	char n[TEXT];

	if (o->n)
		printf("odd      %s %s, first in line %" PRIu64 "\n", text_count(n, o->n), what,
		       o->line);
}

static void head(const struct trace *t, const struct play_options *o)
{
	char a[TEXT], f[TEXT], live[TEXT], d[TEXT];

	printf("trace    %s: %s allocation%s and %s free%s in %s\n", t->name,
	       text_count(a, t->nallocs), text_s(t->nallocs), text_count(f, t->n - t->nallocs),
	       text_s(t->n - t->nallocs), text_duration(d, t->seconds));
	printf("live     %s at the end, at most %s; an arena of %s blocks of 2 MiB\n",
	       text_size(live, t->frames_end * QUIRE_FRAME_BYTES),
	       text_size(a, t->frames_most * QUIRE_FRAME_BYTES), text_count(f, o->blocks));
	odd(&t->unknown, "frees of what was not in use: left out");
	odd(&t->again, "allocations of what was in use: freed before, unseen");
	odd(&t->parted, "frees of parts: freed with the last of them");
	odd(&t->backwards, "times before the one above: taken as they come");
	odd(&t->large, "allocations above order 9: as several of order 9");
	fflush(stdout);
}

static void table(const struct trace *t, const struct play_options *o, const struct play_result *r)
{
	char a[TEXT], b[TEXT], c[TEXT], d[TEXT];

	printf(row, "2 MiB blocks in use", "Linux", "quire", "squeezed", "possible");
	printf(row, "at the end", text_count(a, t->used_end), text_count(b, r->use.end),
	       text_count(c, r->after.end), text_count(d, r->least));
	printf(row, "with unmovable pages", text_count(a, t->unmovable_end),
	       text_count(b, r->use.unmovable), text_count(c, r->after.unmovable), "-");
	printf(row, "on average", text_count(a, (uint64_t)(mean(t) + 0.5)),
	       text_count(b, (uint64_t)(r->use.mean + 0.5)), "-", "-");
	printf(row, "at most", text_count(a, t->used_most), text_count(b, r->use.most), "-", "-");
	printf(row, "bytes moved", "-", r->plans ? text_size(b, r->planned_bytes) : "-",
	       text_size(c, r->squeezed_bytes), "-");
	if (o->every || r->plans)
		printf("%-11s %s time%s on the way\n", "compacted", text_count(a, r->plans),
		       text_s(r->plans));
	printf("%-11s %s page%s compared, %s of them wrong\n", "content", text_count(a, r->pages),
	       text_s(r->pages), text_count(b, r->wrong));
}

static bool passed(const struct play_result *r)
{
	return r->squeezed && !r->wrong && !r->refused && !*r->why;
}

static void verdict(const struct trace *t, const struct play_result *r)
{
	char a[TEXT], b[TEXT];

	if (!r->squeezed) {
		printf("%-11s before the end\n", "INTERRUPTED");
		return;
	}
	if (*r->why)
		printf("%-11s %s\n", "FAIL", r->why);
	if (r->refused)
		printf("%-11s %s allocation%s found no place\n", "FAIL", text_count(a, r->refused),
		       text_s(r->refused));
	if (r->wrong)
		printf("%-11s wrong pages\n", "FAIL");
	printf("%-11s %s replaying, %s events a second\n", passed(r) ? "PASS" : "",
	       text_duration(a, r->seconds), text_rough(b, (uint64_t)((double)t->n / r->seconds)));
}

/* --- JSON --- */

static json_t *json_odd(const struct trace_odd *o)
{
	return json_pack("{s:I, s:I}", "events", (json_int_t)o->n, "first_line",
			 (json_int_t)o->line);
}

static json_t *json_use(uint32_t end, uint32_t unmovable, double mean_, uint32_t most)
{
	return json_pack("{s:I, s:I, s:f, s:I}", "blocks", (json_int_t)end, "blocks_unmovable",
			 (json_int_t)unmovable, "blocks_mean", mean_, "blocks_most",
			 (json_int_t)most);
}

static int json(const struct trace *t, const struct play_options *o, const struct play_result *r)
{
	const char *said = passed(r) ? "PASS" : r->squeezed ? "FAIL" : "INTERRUPTED";
	json_t *linux_ = json_use(t->used_end, t->unmovable_end, mean(t), t->used_most);
	json_t *quire = json_use(r->use.end, r->use.unmovable, r->use.mean, r->use.most);
	json_t *all = json_pack(
		"{s:s, s:{s:s, s:I, s:I, s:I, s:f, s:I, s:I}, s:{s:o, s:o, s:o, s:o, s:o}, s:o, "
		"s:o, s:{s:I, s:I, s:I, s:I}, s:I, s:I, s:f, s:s}",
		"schema", "quire-replay-1", "trace", "name", t->name, "lines", (json_int_t)t->lines,
		"allocations", (json_int_t)t->nallocs, "frees", (json_int_t)(t->n - t->nallocs),
		"seconds", t->seconds, "live_bytes",
		(json_int_t)(t->frames_end * QUIRE_FRAME_BYTES), "live_bytes_most",
		(json_int_t)(t->frames_most * QUIRE_FRAME_BYTES), "odd", "unknown",
		json_odd(&t->unknown), "again", json_odd(&t->again), "parted", json_odd(&t->parted),
		"backwards", json_odd(&t->backwards), "large", json_odd(&t->large), "linux", linux_,
		"quire", quire, "squeezed", "blocks", (json_int_t)r->after.end, "blocks_unmovable",
		(json_int_t)r->after.unmovable, "blocks_possible", (json_int_t)r->least,
		"bytes_moved", (json_int_t)r->squeezed_bytes, "pages_compared",
		(json_int_t)r->pages, "pages_wrong", (json_int_t)r->wrong, "seconds", r->seconds,
		"verdict", said);
	int err = -ENOMEM;

	if (all && quire && !json_object_set_new(quire, "arena_blocks", json_integer(o->blocks)) &&
	    !json_object_set_new(quire, "refused", json_integer((json_int_t)r->refused)) &&
	    !json_object_set_new(quire, "plans", json_integer((json_int_t)r->plans)) &&
	    !json_object_set_new(quire, "bytes_moved",
				 json_integer((json_int_t)r->planned_bytes)) &&
	    !json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) &&
	    putchar('\n') != EOF)
		err = 0;
	json_decref(all);
	return err;
}

/* As large as asked for, or all that Linux used; never less than what was live at once. */
static bool size_arena(const struct options *o, const struct trace *t, struct play_options *to)
{
	uint64_t live = (t->frames_most + QUIRE_BLOCK_FRAMES - 1) / QUIRE_BLOCK_FRAMES;
	uint64_t blocks = o->blocks, need, have = memory_available("");

	if (!blocks) /* and a little, so that there are places to move to */
		blocks = (t->blocks > live ? t->blocks : live) + live / 50 + TRACE_TYPES;
	to->blocks = (uint32_t)blocks;
	need = 2 * t->frames_most * QUIRE_FRAME_BYTES;
	need = (need < blocks * BLOCK_BYTES ? need : blocks * BLOCK_BYTES) + 32 * t->nallocs;
	if (need <= have)
		return true;
	fprintf(stderr,
		"quire replay: %s: it takes up to %" PRIu64 " MiB of memory, and %" PRIu64
		" MiB are available\n",
		t->name, need >> 20, have >> 20);
	return false;
}

int replay_main(int argc, char **argv)
{
	struct options o = { 0 };
	struct play_options play_options = { 0 };
	struct play_result result;
	struct trace trace;
	struct term term;
	const char *what = "";
	char why[512];
	int err, status = 2;

	if (!parse(&o, argc, argv))
		return 2;
	interrupt_catch(NULL);
	term_init(&term);
	err = trace_read(o.file, &trace, why, sizeof(why));
	if (err) {
		fprintf(stderr, "quire replay: %s\n", why);
		return 2;
	}
	play_options.seed = o.seed;
	play_options.every = o.every;
	play_options.step = step;
	play_options.arg = &term;
	if (!size_arena(&o, &trace, &play_options))
		goto out;
	if (!o.json)
		head(&trace, &play_options);
	err = play(&trace, &play_options, &result, &what);
	term_clear(&term);
	if (err && err != -ECANCELED) {
		fprintf(stderr, "quire replay: %s: %s failed: %s\n", trace.name, what,
			strerror(-err));
		status = 1;
		goto out;
	}
	status = passed(&result) ? 0 : 1;
	if (o.json) {
		if (json(&trace, &play_options, &result)) {
			fprintf(stderr,
				"quire replay: %s makes no JSON object, or memory ran out\n",
				trace.name);
			status = 1;
		}
	} else {
		if (result.squeezed)
			table(&trace, &play_options, &result);
		verdict(&trace, &result);
	}
out:
	trace_finish(&trace);
	return status;
}

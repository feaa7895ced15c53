// SPDX-License-Identifier: MIT
/*
 * scan.c: the command: which 2 MiB blocks of this machine are blocked, and by what kind of page.
 */
#include "scan.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "pages.h"
#include "tally.h"
#include "term.h"
#include "text.h"
#include "usage.h"
#include "where.h"

#define FRAME 4096u
#define ZONE_LINES 24u

struct options {
	struct pages_options where;
	bool json, help;
	char error[256]; /* "": argp found the mistake */
};

static const struct argp_option described[] = {
	WHERE_OPTIONS,
	{ "json", 'j', NULL, 0, "Print a JSON object instead of the tables", 0 },
	{ "help", 'h', NULL, 0, "Print this", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case ARGP_KEY_ARG:
		(void)snprintf(o->error, sizeof(o->error), "'%.40s' is no option", arg);
		return EINVAL;
	default:
		return where_option(key, arg, &o->where, o->error, sizeof(o->error));
	}
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		described,
		parse_option,
		NULL,
		"Says which 2 MiB blocks of this machine's memory are free, which hold only pages "
		"that may move, and which are blocked, by what kind of page. Takes root."
		"\vExit status: 0 it was shown; 1 the kernel does not say, or not to this user; 2 "
		"bad "
		"input.",
		NULL,
		NULL,
		NULL
	};
	static char name[] = "quire scan";
	int index = argc;

	argv[0] = name;
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &index, o))
		usage_unknown(o->error, sizeof(o->error), argc, argv, index);
	return usage_end(&argp, name, o->help, o->error);
}

/* --- for people --- */

static double percent(uint64_t n, uint64_t of)
{
	return of ? 100.0 * (double)n / (double)of : 0;
}

static void head(const struct tally *t, double seconds)
{
	char size[TEXT], blocks[TEXT], took[TEXT], n[TEXT];
	const struct tally_part *a = &t->all;

	printf("memory      %s in %s block%s of 2 MiB, read in %s\n",
	       text_size(size, a->blocks * PAGES_BLOCK * FRAME), text_count(blocks, a->blocks),
	       text_s(a->blocks), text_duration(took, seconds));
	printf("blocks      %s free (%.0f %%), ", text_count(n, a->free),
	       percent(a->free, a->blocks));
	printf("%s with only pages that may move (%.0f %%), ", text_count(n, a->movable),
	       percent(a->movable, a->blocks));
	printf("%s blocked (%.0f %%)\n\n", text_count(n, a->blocked),
	       percent(a->blocked, a->blocks));
}

static void kinds(const struct tally *t, const struct pages *p)
{
	char pages[TEXT], size[TEXT], blocks[TEXT], alone[TEXT], one[TEXT];

	printf("%-18s%14s%12s%10s%12s%16s\n", "kind of page", "pages", "memory", "blocks",
	       "it alone", "a single page");
	for (unsigned k = 0; k < PAGE_COUNT; k++) {
		const struct tally_kind *n = &t->kind[k];

		if (!n->pages)
			continue;
		printf("%-18s%14s%12s", page_kind_text(k), text_count(pages, n->pages),
		       text_size(size, n->pages * FRAME));
		if (pages_moves(p, k))
			printf("%10s%12s%16s\n", "-", "-", "-");
		else
			printf("%10s%12s%16s\n", text_count(blocks, n->blocks),
			       text_count(alone, n->alone), text_count(one, n->by_one));
	}
	putchar('\n');
}

static void zones(const struct tally *t, const struct pages *p)
{
	const struct pages_zone *zone;
	size_t n = pages_zones(p, &zone), lines = 0;
	char all[TEXT], free[TEXT], movable[TEXT], blocked[TEXT], name[40];

	for (size_t i = 0; i <= n; i++) {
		const struct tally_part *part = &t->part[i];

		if (!part->blocks)
			continue;
		if (!lines)
			printf("%-18s%14s%12s%10s%12s\n", "zone", "blocks", "free", "movable",
			       "blocked");
		if (lines++ == ZONE_LINES) {
			puts("and others");
			break;
		}
		if (i < n)
			(void)snprintf(name, sizeof(name), "%.12s, node %u", zone[i].name,
				       zone[i].node);
		else
			(void)snprintf(name, sizeof(name), n ? "in none" : "all");
		printf("%-18s%14s%12s%10s%12s\n", name, text_count(all, part->blocks),
		       text_count(free, part->free), text_count(movable, part->movable),
		       text_count(blocked, part->blocked));
	}
	putchar('\n');
}

static void by_pages(const struct tally *t)
{
	char n[TEXT];
	bool any = false;

	for (unsigned s = 0; s < TALLY_STEPS; s++) {
		unsigned from, to;

		if (!t->by_pages[s])
			continue;
		tally_step(s, &from, &to);
		printf("%s", any ? "; " : "");
		if (!any)
			printf("%-11s ", "blocked by");
		any = true;
		if (to == 1)
			printf("1 page: %s block%s (%.0f %%)", text_count(n, t->by_pages[s]),
			       text_s(t->by_pages[s]), percent(t->by_pages[s], t->all.blocked));
		else if (from == to)
			printf("all %u: %s", to, text_count(n, t->by_pages[s]));
		else
			printf("%u to %u: %s", from, to, text_count(n, t->by_pages[s]));
	}
	if (any)
		putchar('\n');
}

/* Which kind has the most blocks that a single page of it blocks. */
static void worst(const struct tally *t)
{
	unsigned worst = 0;
	char n[TEXT];

	for (unsigned k = 1; k < PAGE_COUNT; k++)
		if (t->kind[k].by_one > t->kind[worst].by_one)
			worst = k;
	if (t->kind[worst].by_one)
		printf("%-11s %s block%s (%.1f %% of all) blocked by nothing but one page (%s)\n",
		       "worst", text_count(n, t->kind[worst].by_one), text_s(t->kind[worst].by_one),
		       percent(t->kind[worst].by_one, t->all.blocks), page_kind_text(worst));
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Frames that no flag names, and what is known about them in sum. */
static void unnamed(const struct tally *t)
{
	uint64_t named = t->kind[PAGE_reserved].pages + t->kind[PAGE_offline].pages;
	uint64_t n = t->kind[PAGE_kernel].pages;
	const char *label = page_kind_text(PAGE_kernel);
	bool kept = n && t->unmanaged > named;
	char text[TEXT];

	if (kept)
		printf("%-11s up to %s of \"%s\" were kept from the page allocator, at boot or by "
		       "a balloon\n",
		       "unnamed", text_count(text, least(t->unmanaged - named, n)), label);
	if (n && t->per_cpu)
		printf("%-11s up to %s of \"%s\" are free, in lists of the CPUs\n",
		       kept ? "" : "unnamed", text_count(text, least(t->per_cpu, n)), label);
}

static void show(const struct term *term, const struct tally *t, const struct pages *p,
		 double seconds)
{
	char n[TEXT], now[TEXT];

	head(t, seconds);
	kinds(t, p);
	zones(t, p);
	by_pages(t);
	worst(t);
	printf("%-11s %s blocks could be free at best, %s are\n", "compaction",
	       text_count(n, tally_at_best(t)), text_count(now, t->all.free));
	unnamed(t);
	term_gap(term);
	term_heat(term, "memory", t->heat, t->map);
	term_legend(term, t->map, (size_t)t->each, "cannot move");
}

/* --- for programs --- */

#define INT(n) ((json_int_t)(n))

static json_t *json_kinds(const struct tally *t, const struct pages *p)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < PAGE_COUNT; k++) {
		const struct tally_kind *n = &t->kind[k];

		json_array_append_new(
			list, json_pack("{s:s, s:b, s:I, s:I, s:I, s:I}", "kind", page_kind_name(k),
					"moves", (int)pages_moves(p, k), "pages", INT(n->pages),
					"blocks", INT(n->blocks), "blocks_alone", INT(n->alone),
					"blocks_by_one_page", INT(n->by_one)));
	}
	return list;
}

static json_t *json_part(const struct tally_part *part)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "all", INT(part->blocks), "free", INT(part->free),
			 "movable", INT(part->movable), "blocked", INT(part->blocked));
}

static json_t *json_zones(const struct tally *t, const struct pages *p)
{
	const struct pages_zone *zone;
	size_t n = pages_zones(p, &zone);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		if (t->part[i].blocks)
			json_array_append_new(list,
					      json_pack("{s:i, s:s, s:o}", "node",
							(int)zone[i].node, "zone", zone[i].name,
							"blocks", json_part(&t->part[i])));
	return list;
}

static json_t *json_by_pages(const struct tally *t)
{
	json_t *list = json_array();

	for (unsigned s = 0; s < TALLY_STEPS; s++) {
		unsigned from, to;

		tally_step(s, &from, &to);
		json_array_append_new(list, json_pack("{s:i, s:i, s:I}", "from", (int)from, "to",
						      (int)to, "blocks", INT(t->by_pages[s])));
	}
	return list;
}

static json_t *json_map(const struct tally *t)
{
	json_t *cells = json_array();

	for (size_t i = 0; i < t->map; i++)
		json_array_append_new(
			cells, json_pack("[i, i]", (int)t->heat[i].used, (int)t->heat[i].stays));
	return json_pack("{s:I, s:[s, s], s:o}", "blocks_a_cell", INT(t->each), "columns",
			 "frames_used", "blocked", "cells", cells);
}

static int show_json(const struct tally *t, const struct pages *p, double seconds)
{
	json_t *o =
		json_pack("{s:s, s:f, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "schema",
			  "quire-scan-1", "seconds", seconds, "blocks", json_part(&t->all), "kinds",
			  json_kinds(t, p), "zones", json_zones(t, p), "blocked_by_pages",
			  json_by_pages(t), "free_at_best", INT(tally_at_best(t)), "per_cpu_free",
			  INT(t->per_cpu), "unmanaged", INT(t->unmanaged), "map", json_map(t));
	int error = -ENOMEM;

	if (o && !json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) &&
	    putchar('\n') != EOF)
		error = 0;
	json_decref(o);
	return error;
}

/* ------------- */

static int count(struct pages *p, struct tally *t, struct term *term, char *err, size_t size)
{
	struct pages_block block;
	int got;

	tally_begin(t, p);
	while ((got = pages_next(p, &block, err, size)) > 0) {
		tally_block(t, p, &block);
		term_progress(term, "reading", pages_done(p), pages_blocks(p));
	}
	tally_end(t);
	term_clear(term);
	return got;
}

int scan_main(int argc, char **argv)
{
	struct options o = { 0 };
	struct pages *p = NULL;
	struct tally *t;
	struct term term;
	char err[PAGES_ERROR];
	uint64_t began;
	double seconds;
	int error;

	if (!parse(&o, argc, argv))
		return 2;
	t = calloc(1, sizeof(*t));
	if (!t) {
		fputs("quire scan: not enough memory\n", stderr);
		return 2;
	}
	term_init(&term);
	began = clock_ns();
	error = pages_open(&o.where, &p, err, sizeof(err));
	if (!error)
		error = count(p, t, &term, err, sizeof(err));
	seconds = 1e-9 * (double)(clock_ns() - began);
	if (error)
		fprintf(stderr, "quire scan: %s\n", err);
	else if (!o.json)
		show(&term, t, p, seconds);
	else if (show_json(t, p, seconds) == -ENOMEM && !ferror(stdout))
		fputs("quire scan: no memory for the JSON object\n", stderr);
	pages_close(p);
	free(t);
	return error ? 1 : 0;
}

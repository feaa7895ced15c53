// SPDX-License-Identifier: MIT
/*
 * record.c: the command: the layout of this machine's memory, as quire squeeze reads it (layout.h).
 *
 * Live are frames that were allocated and could be: neither free nor missing, broken, given to a
 * hypervisor, or kept by the kernel since it booted. A compound page is one allocation, up to 2 MiB
 * each; of others the flags do not say what was allocated together, so each frame is one. Movable
 * is what Linux may move, all else unmovable: that a slab may be reclaimed no flag says, and type 2
 * is never written.
 */
#include "record.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "packed.h"
#include "pages.h"
#include "record/tracing.h"
#include "term.h"
#include "text.h"
#include "usage.h"
#include "where.h"

#define FRAME 4096u
#define BUFFER_KIB 8192u
#define MAX_SECONDS 86400u

struct options {
	struct pages_options where;
	struct tracing_options trace; /* of --trace; without a file: the layout is recorded */
	const char *file;	      /* or the seconds of a trace */
	bool too_many;		      /* such arguments */
	uint64_t blocks;
	bool blocks_set;
	const char *traced; /* an option that goes with --trace only */
	bool help;
	char error[256]; /* "": argp found the mistake */
};

struct record {
	struct packed *out;
	uint64_t items, blocks, frames[2], left_out;
	uint64_t unnamed; /* frames whose flags say nothing */
};

static const struct argp_option described[] = {
	WHERE_OPTIONS,
	{ "blocks", 'b', "N", 0, "At most so many blocks of 2 MiB that hold anything", 0 },
	{ "trace", 't', "FILE", 0,
	  "Record what is allocated and freed meanwhile, and the layout of what is live then", 1 },
	{ "live", 'l', "FILE", 0, "That layout (default: beside the trace)", 1 },
	{ "buffer", 'B', "KIB", 0, "Of events, for each CPU (default 8192)", 1 },
	{ "tracefs", 'T', "DIR", 0, "Where tracefs is mounted (default /sys/kernel/tracing)", 1 },
	{ "help", 'h', NULL, 0, "Print this", 0 },
	{ 0 },
};

/* The name of a file or folder. */
static error_t name(struct options *o, const char *option, char *arg, const char **to)
{
	if (strcmp(option, "trace") != 0)
		o->traced = option;
	*to = arg;
	if (*arg)
		return 0;
	(void)snprintf(o->error, sizeof(o->error), "--%s wants a name", option);
	return EINVAL;
}

/* A file's name, or with --trace the seconds; and what is behind -- as the command to trace. */
static error_t argument(struct options *o, char *arg, struct argp_state *state)
{
	if (state->quoted && state->next > state->quoted) {
		o->trace.command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	}
	o->too_many |= o->file != NULL;
	o->file = arg;
	return 0;
}

static bool seconds(const char *text, double *value)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strpbrk(text, "xX"))
		return false;
	*value = strtod(text, &end);
	return !*end && *value > 0 && *value <= MAX_SECONDS;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'b':
		o->blocks_set = true;
		if (where_number(arg, 1, LAYOUT_MAX_BLOCKS, &o->blocks))
			return 0;
		(void)snprintf(o->error, sizeof(o->error),
			       "--blocks wants a whole number from 1 to %d, not '%.40s'",
			       LAYOUT_MAX_BLOCKS, arg);
		return EINVAL;
	case 't':
		return name(o, "trace", arg, &o->trace.file);
	case 'l':
		return name(o, "live", arg, &o->trace.live);
	case 'T':
		return name(o, "tracefs", arg, &o->trace.tracefs);
	case 'B':
		o->traced = "buffer";
		if (where_number(arg, 64, 1 << 20, &o->trace.buffer_kib))
			return 0;
		(void)snprintf(o->error, sizeof(o->error),
			       "--buffer wants a whole number of KiB from 64 to %d, not '%.40s'",
			       1 << 20, arg);
		return EINVAL;
	case 'h':
		o->help = true;
		return 0;
	case ARGP_KEY_ARG:
		return argument(o, arg, state);
	default:
		return where_option(key, arg, &o->where, o->error, sizeof(o->error));
	}
}

/* What each option alone cannot say. */
static void check_together(struct options *o)
{
	bool where = o->blocks_set || o->where.some || o->where.one_node || o->where.proc;

	if (o->trace.file && where)
		(void)snprintf(o->error, sizeof(o->error),
			       "--trace goes with none of --range, --node, --proc and --blocks");
	else if (o->trace.file && !o->file && !o->trace.command)
		(void)snprintf(o->error, sizeof(o->error),
			       "--trace wants to know for how many seconds, or -- and a command");
	else if (o->trace.file && o->file && (o->too_many || !seconds(o->file, &o->trace.seconds)))
		(void)snprintf(o->error, sizeof(o->error),
			       "--trace wants seconds, up to %u, and a command behind --; not "
			       "'%.40s'",
			       MAX_SECONDS, o->file);
	else if (!o->trace.file && o->traced)
		(void)snprintf(o->error, sizeof(o->error), "--%s goes with --trace only",
			       o->traced);
	else if (!o->trace.file && !o->file && !o->trace.command)
		(void)snprintf(o->error, sizeof(o->error), "which file to write?");
	else if (!o->trace.file && (o->too_many || o->trace.command || !*o->file))
		(void)snprintf(o->error, sizeof(o->error), "the name of one file is wanted");
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		described,
		parse_option,
		"FILE\n--trace=FILE SECONDS\n--trace=FILE [SECONDS] -- COMMAND...",
		"Records what this machine has in its memory, and where, for quire squeeze "
		"--layout; or with --trace what it allocates and frees, for quire replay. "
		"Compressed if "
		"the name ends in .zst. Takes root."
		"\vExit status: 0 it was written; 1 the kernel does not say, or not to this user, "
		"or the file cannot be written; 2 bad input.",
		NULL,
		NULL,
		NULL
	};
	static char name[] = "quire record";
	int index = argc;

	argv[0] = name;
	o->blocks = LAYOUT_MAX_BLOCKS;
	o->trace.buffer_kib = BUFFER_KIB;
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_IN_ORDER, &index, o)) {
		usage_unknown(o->error, sizeof(o->error), argc, argv, index);
	} else if (!o->help) {
		check_together(o);
	}
	return usage_end(&argp, name, o->help, o->error);
}

static int add(struct record *r, uint64_t frame, unsigned order, bool moves)
{
	int error;

	if (r->items == LAYOUT_MAX_ITEMS)
		return -EFBIG;
	error = packed_print(r->out, "%" PRIx64 " %u %d\n", frame, order, moves);
	r->items++;
	r->frames[moves] += UINT64_C(1) << order;
	return error;
}

static bool is_live(uint8_t kind)
{
	return kind != PAGE_free && kind != PAGE_hole && kind != PAGE_reserved &&
	       kind != PAGE_offline && kind != PAGE_hwpoison;
}

/* Frames from `from` up to `to` of one compound page, in as few aligned parts as it takes. */
static int add_run(struct record *r, uint64_t first, unsigned from, unsigned to, bool moves)
{
	int error = 0;

	while (from < to && !error) {
		unsigned order = 0;

		while (order < LAYOUT_BLOCK_ORDER && !(from & ((2u << order) - 1)) &&
		       from + (2u << order) <= to)
			order++;
		error = add(r, first + from, order, moves);
		from += 1u << order;
	}
	return error;
}

static int add_block(struct record *r, const struct pages *p, const struct pages_block *b)
{
	uint64_t before = r->items;
	int error = 0;

	for (unsigned i = 0, end; i < PAGES_BLOCK && !error; i = end) {
		end = i + 1;
		if (!is_live(b->kind[i])) {
			r->left_out += b->kind[i] != PAGE_free && b->kind[i] != PAGE_hole;
			continue;
		}
		while (b->part[i] != PAGE_SINGLE && end < PAGES_BLOCK &&
		       b->part[end] == PAGE_TAIL && is_live(b->kind[end]))
			end++;
		r->unnamed += b->kind[i] == PAGE_kernel ? end - i : 0;
		error = add_run(r, b->number * PAGES_BLOCK, i, end, pages_moves(p, b->kind[i]));
	}
	r->blocks += r->items != before;
	return error;
}

static bool has_live(const struct pages_block *b)
{
	for (unsigned i = 0; i < PAGES_BLOCK; i++)
		if (is_live(b->kind[i]))
			return true;
	return false;
}

/* Frames that no flag names may be none of the page allocator's. */
static uint64_t unmanaged(const struct record *r, const struct pages *p)
{
	const struct pages_zone *zones;
	uint64_t n = 0;

	for (size_t i = pages_zones(p, &zones); i-- > 0;)
		n += zones[i].unmanaged;
	n -= n < r->left_out ? n : r->left_out;
	return n < r->unnamed ? n : r->unnamed;
}

static void say(const struct record *r, const struct pages *p, const struct options *o, bool more)
{
	char live[TEXT], blocks[TEXT], moves[TEXT], stays[TEXT], n[TEXT];

	printf("recorded  %s live in %s block%s of 2 MiB: %s pages movable, %s unmovable\n",
	       text_size(live, (r->frames[0] + r->frames[1]) * FRAME),
	       text_count(blocks, r->blocks), text_s(r->blocks), text_count(moves, r->frames[1]),
	       text_count(stays, r->frames[0]));
	if (r->left_out)
		printf("left out  %s pages: reserved since the boot, broken, or in a balloon\n",
		       text_count(n, r->left_out));
	if (!more && unmanaged(r, p))
		printf("unnamed   up to %s of the unmovable were kept from the page allocator, at "
		       "boot "
		       "or by a balloon\n",
		       text_count(n, unmanaged(r, p)));
	if (more)
		printf("left out  what follows: %s blocks are full\n", text_count(n, o->blocks));
}

/* 0, 1 there is more than was asked for, or -errno with one line in err. */
static int record(struct record *r, struct pages *p, const struct options *o, char *err,
		  size_t size)
{
	struct pages_block block;
	struct term term;
	int got = 0, error = 0, more = 0;

	term_init(&term);
	while (!error && !more && (got = pages_next(p, &block, err, size)) > 0) {
		more = r->blocks == o->blocks && has_live(&block);
		if (!more)
			error = add_block(r, p, &block);
		term_progress(&term, "reading", pages_done(p), pages_blocks(p));
	}
	term_clear(&term);
	if (got < 0)
		return got;
	if (error == -EFBIG)
		(void)snprintf(err, size, "more than %d allocations; --blocks makes it fewer",
			       LAYOUT_MAX_ITEMS);
	else if (error)
		(void)snprintf(err, size, "not enough memory");
	else if (!r->items) {
		(void)snprintf(err, size, "no page is in use there");
		error = -ENXIO;
	}
	return error ? error : more;
}

static int record_layout(const struct options *o)
{
	struct record r = { 0 };
	struct pages *p = NULL;
	char err[PAGES_ERROR] = "";
	int error, status = 1, more = 0;

	error = pages_open(&o->where, &p, err, sizeof(err));
	if (!error) {
		error = packed_open(&r.out, o->file, err, sizeof(err));
		status = error ? 2 : 1;
	}
	if (!error) {
		more = record(&r, p, o, err, sizeof(err));
		error = more < 0 ? more : packed_commit(r.out, err, sizeof(err));
		if (more < 0)
			packed_abandon(r.out);
	}
	if (error) {
		fprintf(stderr, "quire record: %s\n", err);
	} else {
		say(&r, p, o, more > 0);
		status = 0;
	}
	pages_close(p);
	return status;
}

int record_main(int argc, char **argv)
{
	struct options o = { 0 };

	if (!parse(&o, argc, argv))
		return 2;
	return o.trace.file ? tracing(&o.trace) : record_layout(&o);
}

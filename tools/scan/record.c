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
#include <zstd.h>

#include "layout.h"
#include "newfile.h"
#include "pages.h"
#include "term.h"
#include "text.h"
#include "usage.h"
#include "where.h"

#define FRAME 4096u
#define ZSTD_LEVEL 9
#define BUFFER_BYTES (128u << 10)
#define LINE_BYTES 32u

struct options {
	struct pages_options where;
	const char *file;
	uint64_t blocks;
	bool help;
	char error[256]; /* "": argp found the mistake */
};

struct record {
	struct newfile new;
	ZSTD_CCtx *zstd; /* NULL: plain text */
	size_t have;	 /* bytes in text */
	uint64_t items, blocks, frames[2], left_out;
	uint64_t unnamed; /* frames whose flags say nothing */
	char text[BUFFER_BYTES];
	char packed[BUFFER_BYTES];
};

static const struct argp_option described[] = {
	WHERE_OPTIONS,
	{ "blocks", 'b', "N", 0, "At most so many blocks of 2 MiB that hold anything", 0 },
	{ "help", 'h', NULL, 0, "Print this", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'b':
		if (where_number(arg, 1, LAYOUT_MAX_BLOCKS, &o->blocks))
			return 0;
		(void)snprintf(o->error, sizeof(o->error),
			       "--blocks wants a whole number from 1 to %d, not '%.40s'",
			       LAYOUT_MAX_BLOCKS, arg);
		return EINVAL;
	case 'h':
		o->help = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!*arg || o->file) {
			(void)snprintf(o->error, sizeof(o->error),
				       "the name of one file is wanted");
			return EINVAL;
		}
		o->file = arg;
		return 0;
	default:
		return where_option(key, arg, &o->where, o->error, sizeof(o->error));
	}
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		described,
		parse_option,
		"FILE",
		"Records what this machine has in its memory, and where, for quire squeeze "
		"--layout; compressed if the name ends in .zst. Takes root."
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
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &index, o)) {
		usage_unknown(o->error, sizeof(o->error), argc, argv, index);
	} else if (!o->file && !o->help) {
		(void)snprintf(o->error, sizeof(o->error), "which file to write?");
	}
	return usage_end(&argp, name, o->help, o->error);
}

/* Hands what is in the buffer on; `last`: and ends it. An error of the file shows at the commit. */
static int flush(struct record *r, bool last)
{
	ZSTD_inBuffer in = { r->text, r->have, 0 };
	size_t left;

	r->have = 0;
	if (!r->zstd) {
		(void)fwrite(r->text, 1, in.size, r->new.file);
		return 0;
	}
	do {
		ZSTD_outBuffer out = { r->packed, sizeof(r->packed), 0 };

		left = ZSTD_compressStream2(r->zstd, &out, &in,
					    last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return -ENOMEM;
		(void)fwrite(r->packed, 1, out.pos, r->new.file);
	} while (last ? left != 0 : in.pos < in.size);
	return 0;
}

static int add(struct record *r, uint64_t frame, unsigned order, bool moves)
{
	int error = 0;

	if (r->have + LINE_BYTES > sizeof(r->text))
		error = flush(r, false);
	if (error)
		return error;
	if (r->items == LAYOUT_MAX_ITEMS)
		return -EFBIG;
	r->have += (size_t)snprintf(r->text + r->have, LINE_BYTES, "%" PRIx64 " %u %d\n", frame,
				    order, moves);
	r->items++;
	r->frames[moves] += UINT64_C(1) << order;
	return 0;
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
	if (!error)
		error = flush(r, true);
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

static bool is_packed(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcmp(name + n - 4, ".zst");
}

int record_main(int argc, char **argv)
{
	struct options o = { 0 };
	struct pages *p = NULL;
	struct record *r;
	char err[PAGES_ERROR] = "";
	int error, status = 1, more = 0;

	if (!parse(&o, argc, argv))
		return 2;
	r = calloc(1, sizeof(*r));
	if (r && is_packed(o.file)) {
		r->zstd = ZSTD_createCCtx();
		if (!r->zstd ||
		    ZSTD_isError(
			    ZSTD_CCtx_setParameter(r->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(r->zstd, ZSTD_c_checksumFlag, 1))) {
			ZSTD_freeCCtx(r->zstd);
			free(r);
			r = NULL;
		}
	}
	if (!r) {
		fputs("quire record: not enough memory\n", stderr);
		return 2;
	}
	error = pages_open(&o.where, &p, err, sizeof(err));
	if (!error) {
		error = newfile_open(&r->new, o.file, err, sizeof(err));
		status = error ? 2 : 1;
	}
	if (!error) {
		more = record(r, p, &o, err, sizeof(err));
		error = more < 0 ? more : newfile_commit(&r->new, err, sizeof(err));
	}
	if (error) {
		newfile_abandon(&r->new);
		fprintf(stderr, "quire record: %s\n", err);
	} else {
		say(r, p, &o, more > 0);
		status = 0;
	}
	pages_close(p);
	ZSTD_freeCCtx(r->zstd);
	free(r);
	return status;
}

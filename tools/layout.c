/* SPDX-License-Identifier: MIT */
/*
 * layout.c: from bytes to a checked layout, in one pass.
 *
 *	refill() -> next_line() -> parse_line() -> add_item() -> arrange()
 *
 * Each line is checked as it comes, an overlap against one bitmap a block, so that the first wrong
 * line is the one that is named, and so that a small file that decompresses to very much ends at
 * its first repetition or at a limit. What is held at any time: two stream buffers, zstd's window
 * (at most 2^WINDOW_LOG_MAX), 8 bytes an item, 80 bytes a block.
 */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "printable.h"

#define WINDOW_LOG_MAX 27
#define BUFFER_BYTES (128 << 10)
#define LINE_BYTES 128 /* of a line without its end; a regular one has at most 17 */
#define PFN_BITS 52    /* a 64-bit address in frames of 4 KiB */
#define PATH_SHOWN 160

struct block {
	uint64_t number;
	uint64_t used[LAYOUT_BLOCK_FRAMES / 64];
};

struct reader {
	const char *path;
	const struct layout_limits *limits;
	char *err;
	size_t err_size;
	uint64_t line; /* being read, from 1; 0: before the first */

	int fd;
	ZSTD_DStream *zstd; /* NULL: plain text */
	bool inside_frame;  /* zstd expects more */
	bool eof;	    /* of the file */
	ZSTD_inBuffer in;   /* compressed bytes, within raw */
	unsigned char *raw;
	unsigned char *text; /* text[at..end) is yet to be read */
	size_t at, end;

	struct block *blocks; /* in the order in which they are met */
	uint32_t nblocks, cap_blocks;
	uint32_t *table; /* open addressing; index into blocks + 1, 0: vacant */
	uint32_t table_size;
	struct layout_item *items; /* block: index into blocks, until arrange() */
	size_t n, cap;
	uint64_t live_frames;
};

__attribute__((format(printf, 3, 4))) static int fail(struct reader *r, int error,
						      const char *format, ...)
{
	size_t length = strlen(r->path);
	bool cut = length > PATH_SHOWN;
	char what[192], where[24] = "";
	va_list args;

	if (!r->err || !r->err_size)
		return error;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (r->line)
		snprintf(where, sizeof(where), ":%llu", (unsigned long long)r->line);
	snprintf(r->err, r->err_size, "%s%s%s: %s", cut ? "..." : "",
		 r->path + (cut ? length - PATH_SHOWN : 0), where, what);
	make_printable(r->err);
	return error;
}

static int no_memory(struct reader *r)
{
	return fail(r, -ENOMEM, "out of memory");
}

/* Reads from the file until size bytes are there or it ends; a count or -errno. */
static ssize_t read_full(struct reader *r, unsigned char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = read(r->fd, to + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(r, -errno, "%s", strerror(errno));
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* Appends to text, where there is room; the count, 0 at the end, or -errno. */
static ssize_t refill(struct reader *r)
{
	ZSTD_outBuffer out = { .dst = r->text, .size = BUFFER_BYTES, .pos = r->end };
	ssize_t got;

	if (!r->zstd) {
		got = read_full(r, r->text + r->end, BUFFER_BYTES - r->end);
		r->end += got > 0 ? (size_t)got : 0;
		return got;
	}
	while (out.pos == r->end) {
		size_t left;

		if (r->in.pos == r->in.size && !r->eof) {
			got = read_full(r, r->raw, BUFFER_BYTES);
			if (got < 0)
				return got;
			r->in = (ZSTD_inBuffer){ .src = r->raw, .size = (size_t)got };
			r->eof = got < BUFFER_BYTES;
		}
		if (r->in.pos == r->in.size && !r->inside_frame)
			return 0;
		/* With no input left, this flushes what the decoder holds back. */
		left = ZSTD_decompressStream(r->zstd, &out, &r->in);
		if (ZSTD_isError(left))
			return fail(r, -EBADMSG, "zstd data is damaged: %s",
				    ZSTD_getErrorName(left));
		r->inside_frame = left != 0;
		if (out.pos == r->end && left && r->eof && r->in.pos == r->in.size)
			return fail(r, -EBADMSG, "zstd data is cut off");
	}
	got = (ssize_t)(out.pos - r->end);
	r->end = out.pos;
	return got;
}

/* 1 and the line without its end, 0 after the last one, or -errno. Valid until the next call. */
static int next_line(struct reader *r, const unsigned char **line, size_t *length)
{
	r->line++;
	for (;;) {
		const unsigned char *from = r->text + r->at, *newline;
		size_t have = r->end - r->at;
		ssize_t got = 1;

		newline = memchr(from, '\n', have);
		if (!newline && have <= LINE_BYTES) {
			memmove(r->text, from, have);
			from = r->text;
			r->at = 0;
			r->end = have;
			got = refill(r);
			if (got < 0)
				return (int)got;
			if (!got && !have)
				return 0;
			if (got)
				continue;
		}
		*line = from;
		*length = newline ? (size_t)(newline - from) : have;
		r->at += *length + (newline != NULL);
		if (*length > LINE_BYTES)
			return fail(r, -EINVAL, "line longer than %d bytes", LINE_BYTES);
		if (*length && from[*length - 1] == '\r')
			--*length;
		return 1;
	}
}

static int digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

struct field {
	const unsigned char *at;
	size_t length;
};

/* A number in the given base, at most max, which is below 2^60. */
static int parse_number(struct reader *r, const struct field *f, const char *name, unsigned base,
			uint64_t max, uint64_t *number)
{
	*number = 0;
	if (f->at[0] == '-')
		return fail(r, -EINVAL, "%s is negative", name);
	for (size_t i = 0; i < f->length; i++) {
		unsigned d = (unsigned)digit(f->at[i]);

		if (d >= base)
			return fail(r, -EINVAL, "%s is not a %s number%s", name,
				    base == 16 ? "hexadecimal" : "decimal",
				    base == 16 && i == 1 && (f->at[1] | 0x20) == 'x'
					    ? "; write it without 0x"
					    : "");
		*number = *number * base + d;
		if (*number > max)
			return fail(r, -EINVAL, "%s is above %llx", name, (unsigned long long)max);
	}
	return 0;
}

static int parse_line(struct reader *r, const unsigned char *line, size_t length, uint64_t *pfn,
		      uint64_t *order, uint64_t *type)
{
	struct field fields[4];
	size_t n = 0;
	int error;

	if (memchr(line, 0, length))
		return fail(r, -EINVAL, "a NUL byte");
	for (size_t i = 0; i < length && n < 4;) {
		if (line[i] == ' ' || line[i] == '\t') {
			i++;
			continue;
		}
		fields[n].at = line + i;
		while (i < length && line[i] != ' ' && line[i] != '\t')
			i++;
		fields[n].length = (size_t)(line + i - fields[n].at);
		n++;
	}
	if (n != 3)
		return fail(r, -EINVAL, "%s; a line is PFN ORDER MIGRATETYPE",
			    n > 3 ? "more than 3 fields"
			    : n	  ? "fewer than 3 fields"
				  : "empty line");
	error = parse_number(r, &fields[0], "PFN", 16, (UINT64_C(1) << PFN_BITS) - 1, pfn);
	if (!error)
		error = parse_number(r, &fields[1], "ORDER", 10, LAYOUT_BLOCK_ORDER, order);
	if (!error)
		error = parse_number(r, &fields[2], "MIGRATETYPE", 10, LAYOUT_TYPES - 1, type);
	if (!error && *pfn & ((UINT64_C(1) << *order) - 1))
		error = fail(r, -EINVAL, "PFN %llx is not aligned to its order %llu",
			     (unsigned long long)*pfn, (unsigned long long)*order);
	return error;
}

/* Grows an array to twice its capacity, bounded by max, which is above it. */
static int grow(struct reader *r, void **array, size_t *cap, size_t max, size_t size)
{
	size_t want = *cap ? 2 * *cap : 1024;
	void *p;

	if (want > max)
		want = max;
	p = reallocarray(*array, want, size);
	if (!p)
		return no_memory(r);
	*array = p;
	*cap = want;
	return 0;
}

/* Where the block is in the table, or where it would be. */
static uint32_t *table_slot(struct reader *r, uint64_t number)
{
	uint64_t i = (number * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

	for (;; i++) {
		uint32_t *slot = &r->table[i & (r->table_size - 1)];

		if (!*slot || r->blocks[*slot - 1].number == number)
			return slot;
	}
}

/* The table is a power of two and at most half full, so that table_slot() ends. */
static int grow_table(struct reader *r)
{
	uint32_t size = r->table_size ? 2 * r->table_size : 4096;

	free(r->table);
	r->table_size = size;
	r->table = calloc(size, sizeof(*r->table));
	if (!r->table)
		return no_memory(r);
	for (uint32_t i = 0; i < r->nblocks; i++)
		*table_slot(r, r->blocks[i].number) = i + 1;
	return 0;
}

static int find_block(struct reader *r, uint64_t number, uint32_t *index)
{
	void *array = r->blocks;
	size_t cap = r->cap_blocks;
	uint32_t *slot;
	int error;

	if (r->nblocks >= r->table_size / 2) {
		error = grow_table(r);
		if (error)
			return error;
	}
	slot = table_slot(r, number);
	if (*slot) {
		*index = *slot - 1;
		return 0;
	}
	if (r->nblocks >= r->limits->blocks)
		return fail(r, -EFBIG, "more than %u blocks of %d frames", r->limits->blocks,
			    LAYOUT_BLOCK_FRAMES);
	if (r->nblocks == cap) {
		error = grow(r, &array, &cap, r->limits->blocks, sizeof(*r->blocks));
		if (error)
			return error;
		r->blocks = array;
		r->cap_blocks = (uint32_t)cap;
	}
	r->blocks[r->nblocks] = (struct block){ .number = number };
	*index = r->nblocks++;
	*slot = r->nblocks;
	return 0;
}

static int add_item(struct reader *r, uint64_t pfn, unsigned order, unsigned type)
{
	unsigned offset = (unsigned)(pfn % LAYOUT_BLOCK_FRAMES);
	void *array = r->items;
	uint32_t index = 0;
	int error;

	if (r->n >= r->limits->items)
		return fail(r, -EFBIG, "more than %zu allocations", r->limits->items);
	error = find_block(r, pfn / LAYOUT_BLOCK_FRAMES, &index);
	if (error)
		return error;
	for (unsigned f = offset; f < offset + (1u << order); f++) {
		uint64_t *word = &r->blocks[index].used[f / 64], bit = UINT64_C(1) << f % 64;

		if (*word & bit)
			return fail(r, -EINVAL, "frame %llx is in use by a line above",
				    (unsigned long long)pfn - offset + f);
		*word |= bit;
	}
	if (r->n == r->cap) {
		error = grow(r, &array, &r->cap, r->limits->items, sizeof(*r->items));
		r->items = array;
		if (error)
			return error;
	}
	r->items[r->n++] = (struct layout_item){
		.block = index,
		.offset = (uint16_t)offset,
		.order = (uint8_t)order,
		.type = (uint8_t)type,
	};
	r->live_frames += UINT64_C(1) << order;
	return 0;
}

struct ranked {
	uint64_t number;
	uint32_t index;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static uint64_t item_key(const struct layout_item *item)
{
	return (uint64_t)item->block * LAYOUT_BLOCK_FRAMES + item->offset;
}

static int compare_items(const void *a, const void *b)
{
	uint64_t x = item_key(a), y = item_key(b);

	return (x > y) - (x < y);
}

/* Numbers the blocks densely, in ascending order, and sorts the items. */
static int arrange(struct reader *r)
{
	struct ranked *ranked = calloc(r->nblocks, sizeof(*ranked));
	uint32_t *rank = calloc(r->nblocks, sizeof(*rank));
	bool sorted = true;
	int error = 0;

	if (!ranked || !rank) {
		error = no_memory(r);
		goto out;
	}
	for (uint32_t i = 0; i < r->nblocks; i++)
		ranked[i] = (struct ranked){ .number = r->blocks[i].number, .index = i };
	qsort(ranked, r->nblocks, sizeof(*ranked), compare_ranked);
	for (uint32_t i = 0; i < r->nblocks; i++)
		rank[ranked[i].index] = i;
	for (size_t i = 0; i < r->n; i++) {
		r->items[i].block = rank[r->items[i].block];
		sorted = sorted && (!i || compare_items(&r->items[i - 1], &r->items[i]) < 0);
	}
	/* Recorded files are sorted already. */
	if (!sorted)
		qsort(r->items, r->n, sizeof(*r->items), compare_items);
out:
	free(rank);
	free(ranked);
	return error;
}

static char *layout_name(const char *path)
{
	static const char *const suffixes[] = { ".live.zst", ".txt", ".zst" };
	const char *base = strrchr(path, '/');
	char *name = strdup(base ? base + 1 : path);

	for (size_t i = 0; name && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t length = strlen(name), suffix = strlen(suffixes[i]);

		if (length > suffix && !strcmp(name + length - suffix, suffixes[i])) {
			name[length - suffix] = 0;
			break;
		}
	}
	if (name)
		make_printable(name);
	return name;
}

/* zstd frames start with 28 b5 2f fd; some writers put a skippable frame (5x 2a 4d 18) before. */
static bool is_zstd(const unsigned char *b, size_t n)
{
	return n >= 4 && ((b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd) ||
			  ((b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18));
}

static int start(struct reader *r)
{
	ssize_t got;

	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->fd < 0)
		return fail(r, -errno, "%s", strerror(errno));
	r->raw = malloc(BUFFER_BYTES);
	r->text = malloc(BUFFER_BYTES);
	if (!r->raw || !r->text)
		return no_memory(r);
	got = read_full(r, r->raw, BUFFER_BYTES);
	if (got < 0)
		return (int)got;
	if (!is_zstd(r->raw, (size_t)got)) {
		memcpy(r->text, r->raw, (size_t)got);
		r->end = (size_t)got;
		return 0;
	}
	r->in = (ZSTD_inBuffer){ .src = r->raw, .size = (size_t)got };
	r->eof = got < BUFFER_BYTES;
	r->zstd = ZSTD_createDStream();
	if (!r->zstd ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return no_memory(r);
	return 0;
}

static int read_items(struct reader *r)
{
	const unsigned char *line = NULL;
	uint64_t pfn = 0, order = 0, type = 0;
	size_t length = 0;
	int error;

	while ((error = next_line(r, &line, &length)) > 0) {
		error = parse_line(r, line, length, &pfn, &order, &type);
		if (!error)
			error = add_item(r, pfn, (unsigned)order, (unsigned)type);
		if (error)
			break;
	}
	if (!error && !r->n)
		error = fail(r, -EINVAL, "empty: no allocation in it");
	return error;
}

int layout_read_within(const char *path, const struct layout_limits *limits, struct layout *l,
		       char *err, size_t err_size)
{
	struct reader r = {
		.path = path, .limits = limits, .err = err, .err_size = err_size, .fd = -1
	};
	char *name = NULL;
	int error;

	*l = (struct layout){ 0 };
	if (err && err_size)
		err[0] = 0;
	if (!limits->items || limits->items > LAYOUT_MAX_ITEMS || !limits->blocks ||
	    limits->blocks > LAYOUT_MAX_BLOCKS)
		return fail(&r, -EINVAL, "limits out of range");
	error = start(&r);
	if (!error)
		error = read_items(&r);
	if (!error)
		error = arrange(&r);
	if (!error) {
		name = layout_name(path);
		if (!name)
			error = no_memory(&r);
	}
	if (!error) {
		*l = (struct layout){
			.name = name,
			.n = r.n,
			.items = r.items,
			.blocks = r.nblocks,
			.live_frames = r.live_frames,
		};
		r.items = NULL;
	}
	ZSTD_freeDStream(r.zstd);
	free(r.items);
	free(r.table);
	free(r.blocks);
	free(r.text);
	free(r.raw);
	if (r.fd >= 0)
		close(r.fd);
	return error;
}

int layout_read(const char *path, struct layout *l, char *err, size_t err_size)
{
	static const struct layout_limits limits = {
		.items = LAYOUT_MAX_ITEMS,
		.blocks = LAYOUT_MAX_BLOCKS,
	};

	return layout_read_within(path, &limits, l, err, err_size);
}

void layout_finish(struct layout *l)
{
	free(l->name);
	free(l->items);
	*l = (struct layout){ 0 };
}

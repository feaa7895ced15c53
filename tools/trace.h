/* SPDX-License-Identifier: MIT */
/*
 * trace.h: reads a recorded trace: what was allocated and freed, in the order of time.
 *
 * A trace is text, plain or compressed with zstd, one event a line:
 *
 *	SECONDS a PFN ORDER MIGRATETYPE
 *	SECONDS f PFN ORDER MIGRATETYPE
 *
 * SECONDS: with up to nine decimals; a: allocated, f: freed; PFN: hexadecimal without 0x, aligned
 *to the order; ORDER: 0 to 18; MIGRATETYPE: 0 unmovable, 1 movable, 2 reclaimable, anything up to
 *15 that is none of these counts as unmovable; of a free it says nothing. What a layout's lines may
 *look like holds here too (layout.h).
 *
 * A line that is none of this makes the file invalid. What can happen to an honest recording is let
 * through, made consistent, and counted: frees of what was never allocated are left out; what is
 * allocated while it is in use was freed before, unseen; an allocation that is freed in parts lives
 * until the last of them; events whose time lies before that of the one above are taken as they
 *come. Above order 9 an allocation counts as several of order 9.
 *
 * Invariants of what is returned:
 *	events are allocations 0, 1, 2, ... in this order, and frees, each of one that was allocated
 *	before and not freed since
 *	order <= 9, type <= 2
 */
#ifndef QUIRE_TOOLS_TRACE_H
#define QUIRE_TOOLS_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum {
	TRACE_MAX_EVENTS = 1 << 26,
	TRACE_MAX_ORDER = 18,
	TRACE_TYPES = 3,
	TRACE_STRIDE = 4096, /* events from one sample to the next */
};

struct trace_alloc {
	uint8_t order, type;
};

/* How often something happened, and in which line first. */
struct trace_odd {
	uint64_t n, line;
};

struct trace {
	char *name; /* of the file, without folders and without .trace.zst, .txt or .zst */
	uint64_t lines;
	size_t n;
	uint32_t *events; /* number of the allocation << 1 | 1 if it is freed */
	size_t nallocs;
	struct trace_alloc *allocs;
	double seconds; /* from the first event to the latest */

	struct trace_odd unknown;   /* frees of what was not in use */
	struct trace_odd again;	    /* allocations of what was in use */
	struct trace_odd parted;    /* frees of parts */
	struct trace_odd backwards; /* in time */
	struct trace_odd large;	    /* allocations above order 9 */

	/* What it was like on that machine, in blocks of 512 frames: */
	uint32_t blocks;	/* that ever held something */
	uint32_t used_end;	/* that do at the end */
	uint32_t unmovable_end; /* and hold something unmovable */
	uint32_t used_most;
	uint64_t frames_end, frames_most;
	size_t nsamples;
	uint32_t *samples; /* blocks that hold something, after each TRACE_STRIDE events */
};

struct trace_limits {
	size_t events; /* and lines */
	uint32_t blocks;
};

/*
 * Reads the file at path. 0, or -errno with one line without a newline in err that names the file
 * and, where there is one, the line: -EINVAL the text breaks the format, -EBADMSG the zstd data is
 * damaged or cut off, -EFBIG more events or blocks than the limits, -EISDIR, -ENOMEM, or what open
 * and read answer. On failure *t is empty, and trace_finish() on it is harmless.
 */
int trace_read(const char *path, struct trace *t, char *err, size_t err_size);

/* The same within narrower limits; none may exceed TRACE_MAX_EVENTS and LIVE_MAX_BLOCKS. */
int trace_read_within(const char *path, const struct trace_limits *limits, struct trace *t,
		      char *err, size_t err_size);

void trace_finish(struct trace *t);

#endif

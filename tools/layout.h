/* SPDX-License-Identifier: MIT */
/*
 * layout.h: reads a recorded memory layout: what was live, and where.
 *
 * A layout is text, plain or compressed with zstd, one allocation a line:
 *
 *	PFN ORDER MIGRATETYPE
 *
 * PFN: hexadecimal without 0x, aligned to the order; ORDER: 0 to 9; MIGRATETYPE: 0 unmovable,
 * 1 movable, 2 reclaimable. Lines come in any order; blanks between fields are spaces or tabs; a
 * line ends with LF or CR LF, the last one may lack its end. Nothing else is let through: an
 * empty line, a fourth field or two allocations that share a frame make the file invalid.
 *
 * Invariants of what is returned:
 *	items sorted by (block, offset), no two share a frame
 *	offset % 2^order = 0, offset + 2^order <= 512, order <= 9, type <= 2
 *	every block below `blocks` holds an item
 *	live_frames = sum of 2^order over the items, n >= 1
 *
 * Memory is bounded by the limits, whatever the file decompresses to.
 */
#ifndef QUIRE_TOOLS_LAYOUT_H
#define QUIRE_TOOLS_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

enum {
	LAYOUT_BLOCK_ORDER = 9,
	LAYOUT_BLOCK_FRAMES = 1 << LAYOUT_BLOCK_ORDER,
	LAYOUT_TYPES = 3,
	LAYOUT_MAX_ITEMS = 1 << 27,
	LAYOUT_MAX_BLOCKS = 1 << 20,
};

struct layout_item {
	uint32_t block;	 /* blocks are numbered densely, in ascending order of PFN / 512 */
	uint16_t offset; /* first frame within the block */
	uint8_t order;
	uint8_t type;
};

struct layout {
	char *name; /* of the file, without folders and without .live.zst, .txt or .zst */
	size_t n;
	struct layout_item *items;
	uint32_t blocks;
	uint64_t live_frames;
};

struct layout_limits {
	size_t items;
	uint32_t blocks;
};

/*
 * Reads the file at path. 0, or -errno with one line without a newline in err that names the file
 * and, where there is one, the line: -EINVAL the text breaks the format, -EBADMSG the zstd data is
 * damaged or cut off, -EFBIG more items or blocks than the limits, -EISDIR, -ENOMEM, or what open
 * and read answer. On failure *l is empty, and layout_finish() on it is harmless.
 */
int layout_read(const char *path, struct layout *l, char *err, size_t err_size);

/* The same within narrower limits; none may exceed LAYOUT_MAX_ITEMS and LAYOUT_MAX_BLOCKS. */
int layout_read_within(const char *path, const struct layout_limits *limits, struct layout *l,
		       char *err, size_t err_size);

void layout_finish(struct layout *l);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * pages.h: what a machine's page frames are used for, block by block of 2 MiB, as Linux says it.
 *
 * Read are, below the folder given (/proc, or a copy of these files):
 *
 *	iomem        which addresses are RAM; nothing else is looked at
 *	kpageflags   64 bits of flags a frame
 *	zoneinfo     zones and nodes, and how many free frames the per-CPU lists keep; may be
 *missing sys/vm/compact_unevictable_allowed   whether locked memory may move; may be missing
 *
 * kpagecount is not read: it says how often a frame is mapped, not how often it is held, and that
 * it is mapped at all is among the flags.
 *
 * Invariants:
 *	blocks come in ascending order, each at most once
 *	memory in use is bounded, whatever the files contain: PAGES_RANGES, PAGES_ZONES, one buffer
 *
 * A machine goes on while it is read: two frames of one folio may be of different moments.
 */
#ifndef SCAN_PAGES_H
#define SCAN_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGES_BLOCK 512u	    /* frames of 4 KiB */
#define PAGES_RANGES 4096u	    /* of RAM, at most */
#define PAGES_ZONES 1024u	    /* zones of all nodes, at most */
#define PAGES_MAX_BLOCKS (1u << 25) /* 64 TiB: what is read ends in reasonable time */

#define PAGES_ERROR 512u /* room for a line about what went wrong */

/* What a frame is used for. X(name, text, may it move) */
#define PAGE_KINDS(X)                                                                              \
	X(free, "free", true)                                                                      \
	X(anon, "anonymous", true)                                                                 \
	X(file, "file", true)                                                                      \
	X(thp, "large folios, THP", true)                                                          \
	X(hugetlb, "hugetlb", true)                                                                \
	X(unevictable, "unevictable", true)                                                        \
	X(slab, "slab", false)                                                                     \
	X(pgtable, "page tables", false)                                                           \
	X(mapped, "kernel, mapped", false)                                                         \
	X(kernel, "kernel, other", false)                                                          \
	X(reserved, "reserved", false)                                                             \
	X(offline, "offline, balloon", false)                                                      \
	X(hwpoison, "broken", false)                                                               \
	X(hole, "no memory", false)

enum page_kind {
#define KIND(name, text, moves) PAGE_##name,
	PAGE_KINDS(KIND)
#undef KIND
		PAGE_COUNT
};

/* "slab", for programs; then for people. */
const char *page_kind_name(enum page_kind kind);
const char *page_kind_text(enum page_kind kind);

/* Part of a compound page: its first frame, or a later one. */
enum { PAGE_SINGLE, PAGE_HEAD, PAGE_TAIL };

/* Frames, or blocks: from, up to and without to. */
struct pages_range {
	uint64_t from, to;
};

struct pages_zone {
	unsigned node;
	char name[16];
	struct pages_range frames;
	/* of all its frames; 0 where only some of them are asked for */
	uint64_t per_cpu;   /* free frames that no flag shows to be free */
	uint64_t unmanaged; /* frames kept from the page allocator: at boot, or by a balloon */
};

struct pages_block {
	uint64_t number; /* its first frame is 512 times that */
	uint8_t kind[PAGES_BLOCK];
	uint8_t part[PAGES_BLOCK];
};

/* What to look at. */
struct pages_options {
	const char *proc;	  /* the folder; NULL: /proc */
	bool some;		  /* only the addresses of range, whose block is part of it */
	struct pages_range range; /* frames */
	bool one_node;		  /* only this one */
	unsigned node;
};

struct pages;

/*
 * 0, or -errno with one line in err: -EACCES or -EPERM it takes root, -ENOENT the kernel has no
 * such file, -EINVAL a file is not what it should be, -ENXIO there is no such memory, -EFBIG there
 * is too much of it.
 */
int pages_open(const struct pages_options *options, struct pages **pages, char *err, size_t size);

/* 1 and the next block, 0 after the last, or -errno with one line in err. */
int pages_next(struct pages *pages, struct pages_block *block, char *err, size_t size);

bool pages_moves(const struct pages *pages, enum page_kind kind);
uint64_t pages_blocks(const struct pages *pages); /* all that will be looked at */
uint64_t pages_done(const struct pages *pages);	  /* have been */
size_t pages_zones(const struct pages *pages, const struct pages_zone **zones);

/* What the flags of one frame say; of the later frames of a compound page see pages_next(). */
enum page_kind page_kind_of(uint64_t flags);

/* close(NULL) does nothing. */
void pages_close(struct pages *pages);

#endif

// SPDX-License-Identifier: MIT
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "printable.h"

#define FRAME_SHIFT 12
#define BUFFER_BLOCKS 64u		/* read at once */
#define ZERO_FRAMES (UINT64_C(1) << 20) /* so many without a flag at the start are no memory */

/* linux/kernel-page-flags.h has most of them; those from 32 on only the kernel's own header. */
enum {
	KPF_REFERENCED = 2,
	KPF_UPTODATE = 3,
	KPF_LRU = 5,
	KPF_SLAB = 7,
	KPF_BUDDY = 10,
	KPF_MMAP = 11,
	KPF_ANON = 12,
	KPF_SWAPBACKED = 14,
	KPF_COMPOUND_HEAD = 15,
	KPF_COMPOUND_TAIL = 16,
	KPF_HUGE = 17,
	KPF_UNEVICTABLE = 18,
	KPF_HWPOISON = 19,
	KPF_NOPAGE = 20,
	KPF_THP = 22,
	KPF_OFFLINE = 23,
	KPF_ZERO_PAGE = 24,
	KPF_PGTABLE = 26,
	KPF_RESERVED = 32,
	KPF_MLOCKED = 33,
};

#define BIT(n) (UINT64_C(1) << (n))

struct pages {
	char proc[PATH_MAX / 2];
	char path[PATH_MAX]; /* of kpageflags */
	int fd;
	bool unevictable_moves;
	size_t nranges;
	struct pages_range ranges[PAGES_RANGES]; /* of blocks, ascending, apart from each other */
	size_t nzones;
	struct pages_zone zones[PAGES_ZONES];
	uint64_t blocks, done;

	size_t range;	 /* being read */
	uint64_t next;	 /* block */
	size_t at, have; /* blocks in the buffer */
	uint64_t flags[BUFFER_BLOCKS * PAGES_BLOCK];
	enum page_kind head; /* kind of the compound page met last */
	uint64_t frames;     /* read so far */
	bool any;	     /* of them had a flag */
};

__attribute__((format(printf, 4, 5))) static int fail(char *err, size_t size, int error,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, size, format, args);
	va_end(args);
	make_printable(err);
	return error;
}

const char *page_kind_name(enum page_kind kind)
{
	static const char *const names[] = {
#define KIND(name, text, moves) #name,
		PAGE_KINDS(KIND)
#undef KIND
	};

	return names[kind];
}

const char *page_kind_text(enum page_kind kind)
{
	static const char *const texts[] = {
#define KIND(name, text, moves) text,
		PAGE_KINDS(KIND)
#undef KIND
	};

	return texts[kind];
}

bool pages_moves(const struct pages *p, enum page_kind kind)
{
	static const bool moves[] = {
#define KIND(name, text, moves) moves,
		PAGE_KINDS(KIND)
#undef KIND
	};

	return kind == PAGE_unevictable ? p->unevictable_moves : moves[kind];
}

enum page_kind page_kind_of(uint64_t f)
{
	if (f & BIT(KPF_NOPAGE))
		return PAGE_hole;
	if (f & BIT(KPF_HWPOISON))
		return PAGE_hwpoison;
	if (f & BIT(KPF_BUDDY))
		return PAGE_free;
	if (f & BIT(KPF_OFFLINE))
		return PAGE_offline;
	if (f & (BIT(KPF_RESERVED) | BIT(KPF_ZERO_PAGE)))
		return PAGE_reserved;
	if (f & BIT(KPF_SLAB))
		return PAGE_slab;
	if (f & BIT(KPF_PGTABLE))
		return PAGE_pgtable;
	if (f & BIT(KPF_HUGE))
		return PAGE_hugetlb;
	if (f & (BIT(KPF_UNEVICTABLE) | BIT(KPF_MLOCKED)))
		return PAGE_unevictable;
	if (f & BIT(KPF_THP))
		return PAGE_thp;
	if (f & BIT(KPF_ANON))
		return PAGE_anon;
	/* what is about to be put on an LRU list, or was taken off it, is not LRU for a moment */
	if (f & (BIT(KPF_LRU) | BIT(KPF_UPTODATE) | BIT(KPF_REFERENCED) | BIT(KPF_SWAPBACKED)))
		return PAGE_file;
	return f & BIT(KPF_MMAP) ? PAGE_mapped : PAGE_kernel;
}

static FILE *open_text(const struct pages *p, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", p->proc, name);
	return fopen(path, "re");
}

/* --- which memory there is --- */

static int by_from(const void *a, const void *b)
{
	const struct pages_range *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

static int add_range(struct pages *p, uint64_t from, uint64_t to)
{
	if (from >= to)
		return 0;
	if (p->nranges == PAGES_RANGES)
		return -EFBIG;
	p->ranges[p->nranges++] = (struct pages_range){ from, to };
	return 0;
}

/* Sorted, and none that touch; from frames to blocks. */
static void merge_ranges(struct pages *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nranges; i++) {
		struct pages_range *r = &p->ranges[i];

		r->from /= PAGES_BLOCK;
		r->to = (r->to - 1) / PAGES_BLOCK + 1;
	}
	qsort(p->ranges, p->nranges, sizeof(p->ranges[0]), by_from);
	for (size_t i = 0; i < p->nranges; i++) {
		struct pages_range r = p->ranges[i];

		if (n && r.from <= p->ranges[n - 1].to) {
			if (r.to > p->ranges[n - 1].to)
				p->ranges[n - 1].to = r.to;
		} else {
			p->ranges[n++] = r;
		}
	}
	p->nranges = n;
}

/* The part of [from, to) within r. */
static struct pages_range within(uint64_t from, uint64_t to, const struct pages_range *r)
{
	from = from > r->from ? from : r->from;
	to = to < r->to ? to : r->to;
	return (struct pages_range){ from, to > from ? to : from };
}

/* One range of RAM, as far as it was asked for. */
static int add_asked(struct pages *p, const struct pages_options *o, struct pages_range r)
{
	int err = 0;

	if (o->some)
		r = within(r.from, r.to, &o->range);
	if (!o->one_node)
		return add_range(p, r.from, r.to);
	for (size_t i = 0; i < p->nzones && !err; i++)
		if (p->zones[i].node == o->node) {
			struct pages_range z = within(r.from, r.to, &p->zones[i].frames);

			err = add_range(p, z.from, z.to);
		}
	return err;
}

static int read_iomem(struct pages *p, const struct pages_options *o, char *err, size_t size)
{
	char path[PATH_MAX], line[512];
	FILE *f = open_text(p, "iomem", path);
	size_t ram = 0, hidden = 0;
	int error = 0;

	if (!f)
		return fail(err, size, -errno, "%s: %s", path, strerror(errno));
	while (!error && fgets(line, sizeof(line), f)) {
		uint64_t from, to;
		int at = 0;

		if (sscanf(line, " %" SCNx64 "-%" SCNx64 " : %n", &from, &to, &at) != 2 || !at ||
		    strncmp(line + at, "System RAM", 10) != 0)
			continue;
		ram++;
		if (!from && !to) {
			hidden++;
			continue;
		}
		/* a frame that is only partly RAM is not used as such */
		from = (from >> FRAME_SHIFT) + ((from & (BIT(FRAME_SHIFT) - 1)) != 0);
		to = (to >> FRAME_SHIFT) + ((~to & (BIT(FRAME_SHIFT) - 1)) == 0);
		error = add_asked(p, o, (struct pages_range){ from, to });
	}
	if (!error && ferror(f))
		error = fail(err, size, -EIO, "%s: cannot be read", path);
	else if (error)
		fail(err, size, error, "%s: more than %u ranges of RAM", path, PAGES_RANGES);
	fclose(f);
	if (error)
		return error;
	if (!ram)
		return fail(err, size, -EINVAL, "%s: names no System RAM", path);
	if (ram == hidden)
		return fail(err, size, -EPERM, "%s: hides all addresses; it takes root", path);
	merge_ranges(p);
	if (!p->nranges)
		return fail(err, size, -ENXIO, "no RAM there: %s has none %s", path,
			    o->one_node ? "of this node" : "in this range");
	for (size_t i = 0; i < p->nranges; i++) {
		uint64_t n = p->ranges[i].to - p->ranges[i].from;

		if (n > PAGES_MAX_BLOCKS || p->blocks + n > PAGES_MAX_BLOCKS)
			return fail(err, size, -EFBIG, "%s: more than 64 TiB of RAM", path);
		p->blocks += n;
	}
	return 0;
}

/*
 * "Node 0, zone   Normal" begins a zone; "spanned N" and "start_pfn: N" say where it is, "count: N"
 * of each CPU how many free frames its list has.
 */
static int read_zones(struct pages *p, char *err, size_t size)
{
	char path[PATH_MAX], line[512];
	FILE *f = open_text(p, "zoneinfo", path);
	struct pages_zone *z = NULL;
	uint64_t spanned = 0, present = 0, n;
	size_t kept = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		char name[16];
		unsigned node;

		if (sscanf(line, "Node %u, zone %15s", &node, name) == 2) {
			if (p->nzones == PAGES_ZONES) {
				fclose(f);
				return fail(err, size, -EFBIG, "%s: more than %u zones", path,
					    PAGES_ZONES);
			}
			z = &p->zones[p->nzones++];
			*z = (struct pages_zone){ .node = node };
			snprintf(z->name, sizeof(z->name), "%s", make_printable(name));
			spanned = present = 0;
		} else if (z && sscanf(line, " present %" SCNu64, &n) == 1) {
			present = n;
		} else if (z && sscanf(line, " managed %" SCNu64, &n) == 1) {
			z->unmanaged = present > n ? present - n : 0;
		} else if (z && sscanf(line, " spanned %" SCNu64, &n) == 1) {
			spanned = n;
		} else if (z && sscanf(line, " count: %" SCNu64, &n) == 1) {
			z->per_cpu += n;
		} else if (z && sscanf(line, " start_pfn: %" SCNu64, &n) == 1) {
			z->frames.from = n;
			z->frames.to = n + (spanned <= UINT64_MAX - n ? spanned : 0);
		}
	}
	fclose(f);
	/* Empty zones are listed too. */
	for (size_t i = 0; i < p->nzones; i++)
		if (p->zones[i].frames.to > p->zones[i].frames.from)
			p->zones[kept++] = p->zones[i];
	p->nzones = kept;
	return 0;
}

/* With 0, locked memory is left where it is. */
static void read_unevictable(struct pages *p)
{
	char path[PATH_MAX];
	FILE *f = open_text(p, "sys/vm/compact_unevictable_allowed", path);
	int allowed = 1;

	if (f && fscanf(f, "%d", &allowed) != 1)
		allowed = 1;
	if (f)
		fclose(f);
	p->unevictable_moves = allowed != 0;
}

/* Sums of zones say nothing about a part of them. */
static void forget_sums(struct pages *p, const struct pages_options *o)
{
	for (size_t i = 0; i < p->nzones; i++)
		if (o->some || (o->one_node && p->zones[i].node != o->node))
			p->zones[i].per_cpu = p->zones[i].unmanaged = 0;
}

int pages_open(const struct pages_options *o, struct pages **pages, char *err, size_t size)
{
	struct pages *p = calloc(1, sizeof(*p));
	int error, n;

	*pages = NULL;
	if (!p)
		return fail(err, size, -ENOMEM, "not enough memory");
	n = snprintf(p->proc, sizeof(p->proc), "%s", o->proc ? o->proc : "/proc");
	if (n < 0 || (size_t)n >= sizeof(p->proc)) {
		free(p);
		return fail(err, size, -ENAMETOOLONG, "the name of the folder is too long");
	}
	snprintf(p->path, sizeof(p->path), "%s/kpageflags", p->proc);
	/* A fifo that nobody writes to must not be waited for. */
	p->fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (p->fd < 0) {
		error = -errno;
		fail(err, size, error, "%s: %s%s", p->path, strerror(errno),
		     errno == EACCES || errno == EPERM ? "; it takes root"
		     : errno == ENOENT ? "; it takes a kernel with CONFIG_PROC_PAGE_MONITOR"
				       : "");
		free(p);
		return error;
	}
	error = read_zones(p, err, size);
	if (!error)
		error = read_iomem(p, o, err, size);
	if (error) {
		pages_close(p);
		return error;
	}
	forget_sums(p, o);
	read_unevictable(p);
	p->next = p->ranges[0].from;
	*pages = p;
	return 0;
}

void pages_close(struct pages *p)
{
	if (!p)
		return;
	close(p->fd);
	free(p);
}

uint64_t pages_blocks(const struct pages *p)
{
	return p->blocks;
}

uint64_t pages_done(const struct pages *p)
{
	return p->done;
}

size_t pages_zones(const struct pages *p, const struct pages_zone **zones)
{
	*zones = p->zones;
	return p->nzones;
}

/* --- what they are used for --- */

/*
 * The next blocks of a range. The file may end within the last block of RAM, as memory need not end
 * with a block: what then is not there is a hole. Anywhere else its end is an error.
 */
static int refill(struct pages *p, char *err, size_t size)
{
	const struct pages_range *r = &p->ranges[p->range];
	uint64_t blocks = r->to - p->next;
	size_t want, have = 0, frames;

	if (blocks > BUFFER_BLOCKS)
		blocks = BUFFER_BLOCKS;
	want = (size_t)blocks * PAGES_BLOCK * sizeof(p->flags[0]);
	while (have < want) {
		uint64_t at = p->next * PAGES_BLOCK * sizeof(p->flags[0]) + have;
		ssize_t got = pread(p->fd, (char *)p->flags + have, want - have, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(err, size, -errno, "%s: %s", p->path, strerror(errno));
		if (!got)
			break;
		have += (size_t)got;
	}
	if (have % sizeof(p->flags[0]))
		return fail(err, size, -EINVAL, "%s: ends within the flags of frame %" PRIu64,
			    p->path, p->next * PAGES_BLOCK + have / sizeof(p->flags[0]));
	frames = have / sizeof(p->flags[0]);
	if (have < want && (p->range + 1 < p->nranges || p->next + blocks < r->to ||
			    frames <= (blocks - 1) * PAGES_BLOCK))
		return fail(err, size, -EINVAL,
			    "%s: ends at frame %" PRIu64 ", before the RAM that iomem names does",
			    p->path, p->next * PAGES_BLOCK + frames);
	for (size_t i = frames; i < blocks * PAGES_BLOCK; i++)
		p->flags[i] = BIT(KPF_NOPAGE);
	for (size_t i = 0; i < frames && !p->any; i++)
		p->any = p->flags[i] != 0;
	p->frames += frames;
	p->at = 0;
	p->have = (size_t)blocks;
	if (!p->any && (p->frames >= ZERO_FRAMES || p->done + blocks >= p->blocks))
		return fail(err, size, -EPERM,
			    "%s: not one of %" PRIu64 " frames has a flag; the kernel hides them, "
			    "or this is no such file",
			    p->path, p->frames);
	return 0;
}

/* false: there is nothing in it. */
static bool classify(struct pages *p, const uint64_t *flags, struct pages_block *b)
{
	unsigned holes = 0;

	for (unsigned i = 0; i < PAGES_BLOCK; i++) {
		enum page_kind kind = page_kind_of(flags[i]);

		bool used = kind != PAGE_hole && kind != PAGE_free;

		b->part[i] = PAGE_SINGLE;
		if (used && flags[i] & BIT(KPF_COMPOUND_TAIL)) {
			b->part[i] = PAGE_TAIL;
			/* Older kernels say most things of the first frame only. */
			if (kind == PAGE_kernel || kind == PAGE_mapped)
				kind = p->head;
		} else {
			if (used && flags[i] & BIT(KPF_COMPOUND_HEAD))
				b->part[i] = PAGE_HEAD;
			p->head = b->part[i] == PAGE_HEAD ? kind : PAGE_kernel;
		}
		b->kind[i] = (uint8_t)kind;
		holes += kind == PAGE_hole;
	}
	return holes < PAGES_BLOCK;
}

int pages_next(struct pages *p, struct pages_block *b, char *err, size_t size)
{
	for (;;) {
		bool has;
		int error;

		if (p->next == p->ranges[p->range].to) {
			if (p->range + 1 == p->nranges)
				return 0;
			p->next = p->ranges[++p->range].from;
			p->at = p->have = 0;
			p->head = PAGE_kernel;
		}
		if (p->at == p->have) {
			error = refill(p, err, size);
			if (error)
				return error;
		}
		has = classify(p, p->flags + p->at * PAGES_BLOCK, b);
		b->number = p->next++;
		p->at++;
		p->done++;
		if (has)
			return 1;
	}
}

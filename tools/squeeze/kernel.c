/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "random.h"

#define BLOCK QUIRE_BLOCK_FRAMES
#define FRAME QUIRE_FRAME_BYTES
#define BLOCK_BYTES ((uint64_t)BLOCK * FRAME)
#define HUGE_PAGES "/proc/sys/vm/nr_hugepages"
#define COMPACT "/proc/sys/vm/compact_memory"
#define CPU_LISTS "/proc/sys/vm/percpu_pagelist_high_fraction"
#define PAGEMAP "/proc/self/pagemap"
#define PAGE_FLAGS "/proc/kpageflags"

/* Of free memory no less than this is left, nor than a part of all memory. */
#define MARGIN_BYTES (UINT64_C(64) << 20)
#define MARGIN_PART 50u

/* As small as it goes: what is on the lists of the CPUs is free, and no flag says so. */
#define LISTS_FRACTION 1000u

/* Bits of pagemap and kpageflags. */
#define PRESENT (UINT64_C(1) << 63)
#define PFN_MASK ((UINT64_C(1) << 55) - 1)
#define FLAG_BUDDY (UINT64_C(1) << 10)
#define FLAG_HUGE (UINT64_C(1) << 17)

#define CHUNK_BLOCKS 64u    /* filled at a time */
#define RING_BUFFERS 16384u /* that one io_uring takes */
#define ENTRIES 4096u	    /* of pagemap, read at a time */

/* A page of ours: where it is, in physical and in virtual memory. */
struct place {
	uint64_t pfn;
	uint32_t page;
};

struct filled {
	char *base;	      /* reserved as a whole, filled from the start */
	uint32_t pages;	      /* filled */
	uint32_t room;	      /* pages */
	struct place *places; /* sorted by pfn */
	uint64_t *block;      /* of the layout: the first frame of its physical block */
	uint32_t *page;	      /* page[b * BLOCK + i]: of block b, frame i */
	uint8_t *keep;	      /* of each page */
	int *rings;
	size_t nrings, pinned;
	struct rlimit lock; /* as it was */
	bool lock_raised;
};

/* What is changed, and as it was: all that a signal's handler needs. fd: -1 if it is not changed.
 */
static struct setting {
	const char *path;
	int fd;
	uint64_t was;
	char text[24];
} huge_pages = { HUGE_PAGES, -1, 0, "" }, cpu_lists = { CPU_LISTS, -1, 0, "" };

static void put_setting(struct setting *s)
{
	if (s->fd >= 0)
		(void)!pwrite(s->fd, s->text, strlen(s->text), 0);
}

void kernel_put_back_now(void)
{
	put_setting(&huge_pages);
	put_setting(&cpu_lists);
}

const char *kernel_will(void)
{
	return "for the column Linux all memory of this machine is compacted, and what is free, "
	       "but "
	       "for a margin, becomes huge pages for a moment; nr_hugepages and "
	       "percpu_pagelist_high_fraction are put back";
}

static bool number_in(const char *path, const char *key, uint64_t *number)
{
	FILE *f = fopen(path, "re");
	char line[128];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (key && strncmp(line, key, strlen(key)) != 0)
			continue;
		found = sscanf(line + (key ? strlen(key) : 0), "%" SCNu64, number) == 1;
	}
	if (f)
		(void)fclose(f);
	return found;
}

static int explain(struct kernel_result *r, const char *what, int error)
{
	snprintf(r->why, sizeof(r->why), "%s: %s%s", what, strerror(-error),
		 error == -EACCES || error == -EPERM ? "; it takes root" : "");
	return error;
}

static uint64_t free_bytes(void)
{
	uint64_t kib = 0;

	return number_in("/proc/meminfo", "MemFree:", &kib) ? kib << 10 : 0;
}

static uint64_t margin(void)
{
	uint64_t kib = 0, part;

	(void)number_in("/proc/meminfo", "MemTotal:", &kib);
	part = (kib << 10) / MARGIN_PART;
	return part > MARGIN_BYTES ? part : MARGIN_BYTES;
}

bool kernel_can(const struct stage *stage, struct kernel_result *r)
{
	static const struct {
		const char *path;
		int flags;
	} needed[] = { { HUGE_PAGES, O_RDWR },
		       { COMPACT, O_WRONLY },
		       { PAGEMAP, O_RDONLY },
		       { PAGE_FLAGS, O_RDONLY } };
	uint64_t need = stage->recorded * BLOCK_BYTES + margin(), have = memory_available("");

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		int fd = open(needed[i].path, needed[i].flags | O_CLOEXEC);

		if (fd < 0) {
			explain(r, needed[i].path, -errno);
			return false;
		}
		close(fd);
	}
	if (need > have) {
		snprintf(r->why, sizeof(r->why),
			 "it takes %" PRIu64 " MiB, and %" PRIu64 " MiB are available", need >> 20,
			 have >> 20);
		return false;
	}
	return true;
}

/* --- where pages are --- */

static int by_pfn(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->pfn > y->pfn) - (x->pfn < y->pfn);
}

/* Calls with each filled page's frame, 0 where it has none. */
static int each_page(const struct filled *f, void (*each)(void *arg, uint32_t page, uint64_t pfn),
		     void *arg)
{
	static uint64_t entries[ENTRIES];
	int fd = open(PAGEMAP, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	for (uint32_t page = 0; page < f->pages && !err; page += ENTRIES) {
		uint32_t n = f->pages - page < ENTRIES ? f->pages - page : ENTRIES;
		uint64_t at = ((uintptr_t)f->base / FRAME + page) * sizeof(*entries);
		ssize_t got = pread(fd, entries, n * sizeof(*entries), (off_t)at);

		if (got != (ssize_t)(n * sizeof(*entries)))
			err = got < 0 ? -errno : -EIO;
		for (uint32_t i = 0; i < n && !err; i++)
			each(arg, page + i, entries[i] & PRESENT ? entries[i] & PFN_MASK : 0);
	}
	close(fd);
	return err;
}

struct listing {
	struct place *places;
	size_t n;
};

static void list_page(void *arg, uint32_t page, uint64_t pfn)
{
	struct listing *l = arg;

	if (pfn)
		l->places[l->n++] = (struct place){ pfn, page };
}

/* Finds whole physical blocks among the pages, up to so many. 0, -errno; *found says how many. */
static int find_blocks(struct filled *f, uint32_t want, uint32_t *found)
{
	struct listing l = { f->places, 0 };
	int err = each_page(f, list_page, &l);

	*found = 0;
	if (err)
		return err;
	if (!l.n)
		return -EPERM; /* frames are hidden from whoever is not root */
	qsort(f->places, l.n, sizeof(*f->places), by_pfn);
	for (size_t i = 0; i + BLOCK <= l.n && *found < want; i++) {
		if (f->places[i].pfn % BLOCK ||
		    f->places[i + BLOCK - 1].pfn != f->places[i].pfn + BLOCK - 1)
			continue;
		f->block[*found] = f->places[i].pfn;
		for (uint32_t k = 0; k < BLOCK; k++)
			f->page[*found * BLOCK + k] = f->places[i + k].page;
		++*found;
		i += BLOCK - 1;
	}
	return 0;
}

/* --- the layout --- */

static int fill(struct filled *f, uint32_t want, const struct stage_progress *progress,
		struct kernel_result *r)
{
	uint64_t keep = margin();
	uint32_t found = 0;
	int err = f->base ? 0 : -ENOMEM;

	while (!err && found < want) {
		uint32_t missing = (want - found) * BLOCK, to = f->pages + missing;

		/* a few more than are missing, for some blocks are not whole */
		if (missing < CHUNK_BLOCKS * BLOCK)
			to = f->pages + CHUNK_BLOCKS * BLOCK;
		to = to < f->room ? to : f->room;
		if (to == f->pages) {
			snprintf(r->why, sizeof(r->why),
				 "memory has %" PRIu32 " whole blocks of 2 MiB for the %" PRIu32
				 " of the layout",
				 found, want);
			return -ENOSPC;
		}
		while (f->pages < to && !err) {
			if (f->pages % (8 * BLOCK) == 0) {
				if (free_bytes() < keep && memory_available("") < 2 * keep) {
					snprintf(r->why, sizeof(r->why),
						 "memory ran low while it was laid out");
					return -ENOSPC;
				}
				if (progress->step(progress->arg, f->pages, f->room))
					err = -ECANCELED;
			}
			*(uint64_t *)(void *)(f->base + (size_t)f->pages * FRAME) =
				rng_mix(f->pages);
			f->pages++;
		}
		if (!err)
			err = find_blocks(f, want, &found);
	}
	return err;
}

/* Keeps what is live in the layout, and frees all else. */
static int keep_live(struct filled *f, const struct stage *s)
{
	uint32_t from = 0;

	for (size_t i = 0; i < s->n; i++)
		for (uint32_t k = 0; k < 1u << s->things[i].order; k++)
			f->keep[f->page[s->things[i].frame + k]] = 1;
	while (from < f->pages) {
		uint32_t to = from + 1;

		if (f->keep[from++])
			continue;
		while (to < f->pages && !f->keep[to])
			to++;
		if (madvise(f->base + (size_t)(from - 1) * FRAME, (size_t)(to - from + 1) * FRAME,
			    MADV_DONTNEED))
			return -errno;
		from = to;
	}
	return 0;
}

static int add_ring(struct filled *f, struct iovec *pages, unsigned n)
{
	struct io_uring_params params;
	int *rings, fd;

	memset(&params, 0, sizeof(params));
	rings = reallocarray(f->rings, f->nrings + 1, sizeof(*rings));
	if (!rings)
		return -ENOMEM;
	f->rings = rings;
	fd = (int)syscall(SYS_io_uring_setup, 1, &params);
	if (fd < 0)
		return -errno;
	rings[f->nrings++] = fd;
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, pages, n))
		return -errno;
	f->pinned += n;
	return 0;
}

/* Things in use and legacy's: whoever has no owner to ask can only leave them. */
static int pin(struct filled *f, const struct stage *s)
{
	const struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };
	struct iovec *pages = calloc(RING_BUFFERS, sizeof(*pages));
	unsigned n = 0;
	int err = pages ? 0 : -ENOMEM;

	if (!err && !getrlimit(RLIMIT_MEMLOCK, &f->lock))
		f->lock_raised = !setrlimit(RLIMIT_MEMLOCK, &any);
	for (size_t i = 0; i < s->n && !err; i++) {
		const struct thing *t = &s->things[i];

		if (!t->in_use && t->holder != HOLDER_LEGACY)
			continue;
		for (uint32_t k = 0; k < 1u << t->order && !err; k++) {
			pages[n].iov_base = f->base + (size_t)f->page[t->frame + k] * FRAME;
			pages[n++].iov_len = FRAME;
			if (n == RING_BUFFERS) {
				err = add_ring(f, pages, n);
				n = 0;
			}
		}
	}
	if (!err && n)
		err = add_ring(f, pages, n);
	free(pages);
	return err;
}

/* --- what Linux does --- */

static int write_number(const char *path, uint64_t number)
{
	char text[24];
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* Asks for what is free, but for the margin. A signal ends that early, which is no error. */
static int take_huge_pages(struct kernel_result *r)
{
	uint64_t have = free_bytes();
	int err;

	r->margin = margin();
	r->huge_cap = r->huge_before + (have > r->margin ? (have - r->margin) / BLOCK_BYTES : 0);
	err = write_number(HUGE_PAGES, r->huge_cap);
	if (err && err != -EINTR)
		return err;
	return number_in(HUGE_PAGES, NULL, &r->huge) ? 0 : -EIO;
}

/* From now on it is to be put back. Where there is none of it, there is nothing to put back. */
static int remember(struct setting *s)
{
	int fd = open(s->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!number_in(s->path, NULL, &s->was)) {
		close(fd);
		return -EIO;
	}
	snprintf(s->text, sizeof(s->text), "%" PRIu64 "\n", s->was);
	s->fd = fd;
	return 0;
}

static void put_back(struct setting *s, struct kernel_result *r)
{
	uint64_t is = s->was;

	if (s->fd < 0)
		return;
	put_setting(s);
	close(s->fd);
	s->fd = -1;
	if (number_in(s->path, NULL, &is) && is != s->was)
		snprintf(r->why, sizeof(r->why),
			 "%s is %" PRIu64 ", and was %" PRIu64 ": put it back by hand", s->path, is,
			 s->was);
}

struct moved {
	const struct filled *f;
	uint64_t *was; /* by page */
	uint64_t moved;
};

static void note_place(void *arg, uint32_t page, uint64_t pfn)
{
	((struct moved *)arg)->was[page] = pfn;
}

static void count_moved(void *arg, uint32_t page, uint64_t pfn)
{
	struct moved *m = arg;

	m->moved += m->f->keep[page] && pfn != m->was[page];
}

/* Of the layout's blocks, those that are free or a huge page as a whole. */
static int count_freed(const struct filled *f, uint32_t blocks, uint64_t *freed)
{
	uint64_t flags[BLOCK];
	int fd = open(PAGE_FLAGS, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	for (uint32_t b = 0; b < blocks && !err; b++) {
		bool good = true;

		if (pread(fd, flags, sizeof(flags), (off_t)(f->block[b] * sizeof(*flags))) !=
		    (ssize_t)sizeof(flags))
			err = errno ? -errno : -EIO;
		for (uint32_t i = 0; i < BLOCK; i++)
			good = good && flags[i] & (FLAG_BUDDY | FLAG_HUGE);
		*freed += good;
	}
	close(fd);
	return err;
}

/* Every kept page still says what was written to it. */
static bool is_intact(const struct filled *f)
{
	for (uint32_t page = 0; page < f->pages; page++)
		if (f->keep[page] &&
		    *(const uint64_t *)(const void *)(f->base + (size_t)page * FRAME) !=
			    rng_mix(page))
			return false;
	return true;
}

static int compact(struct filled *f, const struct stage *s, const struct stage_progress *progress,
		   struct kernel_result *r)
{
	struct moved m = { f, calloc(f->pages, sizeof(uint64_t)), 0 };
	int err = m.was ? each_page(f, note_place, &m) : -ENOMEM;

	if (!err && progress->step(progress->arg, f->pages, f->pages))
		err = -ECANCELED;
	if (!err)
		err = write_number(COMPACT, 1);
	if (!err && progress->step(progress->arg, f->pages, f->pages))
		err = -ECANCELED;
	if (!err)
		err = remember(&huge_pages);
	if (!err)
		err = take_huge_pages(r);
	if (!err)
		err = count_freed(f, s->recorded, &r->runs);
	put_back(&huge_pages, r);
	if (!err)
		err = each_page(f, count_moved, &m);
	if (!err && !is_intact(f))
		err = -EIO;
	r->bytes = m.moved * FRAME;
	free(m.was);
	return err;
}

static int prepare(struct filled *f, const struct stage *s, struct kernel_result *r)
{
	uint64_t room = s->recorded + s->recorded / 4 + 2 * CHUNK_BLOCKS;
	uint64_t most = (memory_available("") - margin()) / BLOCK_BYTES;

	room = (room < most ? room : most) * BLOCK;
	f->room = (uint32_t)room;
	f->places = calloc(room, sizeof(*f->places));
	f->keep = calloc(room, 1);
	f->block = calloc(s->recorded, sizeof(*f->block));
	f->page = calloc((size_t)s->recorded * BLOCK, sizeof(*f->page));
	if (!f->places || !f->keep || !f->block || !f->page)
		return -ENOMEM;
	f->base = mmap(NULL, room * FRAME, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->base == MAP_FAILED) {
		f->base = NULL;
		return -errno;
	}
	/* single pages, as nearly all of a layout is */
	(void)madvise(f->base, room * FRAME, MADV_NOHUGEPAGE);
	return number_in(HUGE_PAGES, NULL, &r->huge_before) ? 0 : -EIO;
}

static void release(struct filled *f)
{
	for (size_t i = 0; i < f->nrings; i++)
		close(f->rings[i]);
	free(f->rings);
	if (f->base)
		munmap(f->base, (size_t)f->room * FRAME);
	if (f->lock_raised)
		(void)setrlimit(RLIMIT_MEMLOCK, &f->lock);
	free(f->places);
	free(f->keep);
	free(f->block);
	free(f->page);
}

int kernel_squeeze(const struct stage *s, const struct stage_progress *progress,
		   struct kernel_result *r)
{
	struct filled f = { .base = NULL };
	const char *what = "laying it out";
	int err = prepare(&f, s, r);

	if (!err)
		err = fill(&f, s->recorded, progress, r);
	/* kernels that have none are none the worse for it */
	if (!err && !remember(&cpu_lists))
		(void)write_number(CPU_LISTS, LISTS_FRACTION);
	if (!err)
		err = keep_live(&f, s);
	if (!err) {
		what = "pinning by io_uring";
		err = pin(&f, s);
	}
	if (!err) {
		what = "compacting";
		err = compact(&f, s, progress, r);
	}
	put_back(&cpu_lists, r);
	r->pinned = f.pinned;
	r->known = !err;
	if (err && err != -ECANCELED && !*r->why)
		explain(r, what, err);
	release(&f);
	return err == -ECANCELED ? err : 0;
}

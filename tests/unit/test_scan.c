// SPDX-License-Identifier: MIT
/*
 * test_scan.c: quire scan and quire record of a made-up machine, block by block known.
 *
 * usage: test_scan QUIRE
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "command.h"

#define BIT(n) (UINT64_C(1) << (n))
#define UPTODATE BIT(3)
#define LRU BIT(5)
#define SLAB BIT(7)
#define BUDDY BIT(10)
#define MMAP BIT(11)
#define ANON BIT(12)
#define HEAD BIT(15)
#define TAIL BIT(16)
#define HUGE BIT(17)
#define UNEVICTABLE BIT(18)
#define HWPOISON BIT(19)
#define NOPAGE BIT(20)
#define THP BIT(22)
#define OFFLINE BIT(23)
#define PGTABLE BIT(26)
#define RESERVED BIT(32)
#define MLOCKED BIT(33)

#define BLOCK 512u
#define FRAMES (16 * BLOCK + 256) /* memory ends in the middle of block 16 */
#define BLOCKS 9		  /* 0 to 7, and 16 */

static uint64_t flags[FRAMES];

static void fill(unsigned from, unsigned n, uint64_t f)
{
	for (unsigned i = 0; i < n; i++)
		flags[from + i] = f;
}

/* Older kernels say of the frames after a head only that they are tails. */
static void compound(unsigned from, unsigned n, uint64_t f)
{
	flags[from] = f | HEAD;
	fill(from + 1, n - 1, TAIL);
}

static void put_text(const char *name, const char *text)
{
	spit(path(name), text, strlen(text));
}

static void put_flags(size_t bytes)
{
	spit(path("kpageflags"), flags, bytes);
}

static void machine(void)
{
	fill(0, FRAMES, BUDDY);
	/* 0 is free; 1 may move */
	fill(BLOCK + 7, 100, LRU | ANON | MMAP);
	fill(BLOCK + 300, 50, LRU | UPTODATE);
	/* 2: one page of slab; 3: another, and a page table */
	flags[2 * BLOCK + 511] = SLAB;
	fill(3 * BLOCK, 100, LRU | ANON);
	flags[3 * BLOCK + 200] = SLAB;
	flags[3 * BLOCK + 210] = PGTABLE;
	fill(4 * BLOCK, BLOCK, RESERVED);
	compound(5 * BLOCK, BLOCK, LRU | ANON | THP);
	/* 6: a slab of four, and locked memory */
	compound(6 * BLOCK + 4, 4, SLAB);
	fill(6 * BLOCK + 16, 4, LRU | ANON | UNEVICTABLE);
	fill(6 * BLOCK + 20, 4, MMAP | MLOCKED);
	/* 7: a little of everything else */
	flags[7 * BLOCK] = MMAP;
	fill(7 * BLOCK + 1, 3, OFFLINE);
	flags[7 * BLOCK + 4] = HWPOISON | LRU | ANON;
	fill(7 * BLOCK + 5, 10, HUGE | MMAP);
	fill(7 * BLOCK + 15, 7, 0);
	fill(7 * BLOCK + 22, 2, UPTODATE);
	/* not RAM, whatever its flags say */
	fill(8 * BLOCK, 8 * BLOCK, SLAB);
	put_flags(sizeof(flags));
	put_text("iomem", "00000000-00000fff : System RAM\n"
			  "00001000-00ffffff : System RAM\n"
			  "  00200000-003fffff : Kernel code\n"
			  "01000000-01ffffff : Reserved\n"
			  "02000000-020fffff : System RAM\n"
			  "c0001000-eebfffff : PCI Bus 0000:00\n");
	put_text("zoneinfo",
		 "Node 0, zone      DMA\n"
		 "        spanned  2048\n        present  2048\n        managed  2040\n"
		 "  pagesets\n    cpu: 0\n              count:    5\n"
		 "    cpu: 1\n              count:    6\n"
		 "  start_pfn:           0\n"
		 "Node 1, zone   Normal\n"
		 "        spanned  6400\n"
		 "  start_pfn:           2048\n"
		 "Node 1, zone  Movable\n        spanned  0\n  start_pfn:           0\n");
}

static int make(void **state)
{
	(void)state;
	folder_make();
	assert_int_equal(mkdir(path("sys"), 0755), 0);
	assert_int_equal(mkdir(path("sys/vm"), 0755), 0);
	machine();
	return 0;
}

static int remove_all(void **state)
{
	static const char *const names[] = { "kpageflags", "iomem",
					     "zoneinfo",   "sys/vm/compact_unevictable_allowed",
					     "layout.txt", "layout.zst",
					     "link" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(names[i]));
	rmdir(path("sys/vm"));
	rmdir(path("sys"));
	return folder_remove(names, 0);
}

static json_t *scan_json(const char *more)
{
	struct outcome o = run("scan --json --proc %s %s", path(""), more);
	json_t *json;

	if (o.status)
		print_error("%s", o.err);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	json = json_loads(o.out, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(get(json, "schema")), "quire-scan-1");
	done(&o);
	return json;
}

static void check_blocks(json_t *o, long long all, long long free, long long movable,
			 long long blocked)
{
	assert_int_equal(whole(o, "all"), all);
	assert_int_equal(whole(o, "free"), free);
	assert_int_equal(whole(o, "movable"), movable);
	assert_int_equal(whole(o, "blocked"), blocked);
}

static void check_kind(json_t *o, const char *kind, long long pages, long long blocks,
		       long long alone, long long one)
{
	json_t *list = get(o, "kinds"), *found = NULL, *entry;
	size_t i;

	json_array_foreach(list, i, entry) if (!strcmp(json_string_value(get(entry, "kind")), kind))
		found = entry;
	assert_non_null(found);
	if (whole(found, "pages") != pages)
		print_error("%s: %lld pages\n", kind, whole(found, "pages"));
	assert_int_equal(whole(found, "pages"), pages);
	assert_int_equal(whole(found, "blocks"), blocks);
	assert_int_equal(whole(found, "blocks_alone"), alone);
	assert_int_equal(whole(found, "blocks_by_one_page"), one);
}

/* All of the made-up machine: exact figures of each kind, each zone, and the map. */
static void test_scan_counts_exactly(void **state)
{
	static const int map[BLOCKS][2] = { { 0, 0 },	{ 150, 0 }, { 1, 1 },
					    { 102, 1 }, { 512, 1 }, { 512, 0 },
					    { 12, 1 },	{ 24, 1 },  { 256, 1 } };
	static const int by[][3] = {
		{ 1, 1, 1 }, { 2, 8, 2 }, { 9, 64, 1 }, { 65, 511, 1 }, { 512, 512, 1 }
	};
	json_t *o = scan_json(""), *list, *entry;
	size_t i;

	(void)state;
	check_blocks(get(o, "blocks"), BLOCKS, 1, 2, 6);
	check_kind(o, "free", 512 + 362 + 511 + 410 + 500 + 488 + 256, 0, 0, 0);
	check_kind(o, "anon", 200, 0, 0, 0);
	check_kind(o, "file", 52, 0, 0, 0);
	check_kind(o, "thp", 512, 0, 0, 0);
	check_kind(o, "hugetlb", 10, 0, 0, 0);
	check_kind(o, "unevictable", 8, 0, 0, 0);
	check_kind(o, "slab", 6, 3, 2, 1);
	check_kind(o, "pgtable", 1, 1, 0, 0);
	check_kind(o, "mapped", 1, 1, 0, 0);
	check_kind(o, "kernel", 7, 1, 0, 0);
	check_kind(o, "reserved", 512, 1, 1, 0);
	check_kind(o, "offline", 3, 1, 0, 0);
	check_kind(o, "hwpoison", 1, 1, 0, 0);
	check_kind(o, "hole", 256, 1, 1, 0);
	list = get(o, "blocked_by_pages");
	assert_int_equal(json_array_size(list), sizeof(by) / sizeof(by[0]));
	json_array_foreach(list, i, entry)
	{
		assert_int_equal(whole(entry, "from"), by[i][0]);
		assert_int_equal(whole(entry, "to"), by[i][1]);
		assert_int_equal(whole(entry, "blocks"), by[i][2]);
	}
	list = get(o, "zones");
	assert_int_equal(json_array_size(list), 2);
	check_blocks(get(json_array_get(list, 0), "blocks"), 4, 1, 1, 2);
	check_blocks(get(json_array_get(list, 1), "blocks"), 5, 0, 1, 4);
	assert_int_equal(whole(json_array_get(list, 1), "node"), 1);
	assert_int_equal(whole(o, "per_cpu_free"), 11);
	assert_int_equal(whole(o, "unmanaged"), 8);
	/* 150 pages have room in 921 gaps, 512 in 1244 */
	assert_int_equal(whole(o, "free_at_best"), 3);
	assert_int_equal(whole(get(o, "map"), "blocks_a_cell"), 1);
	list = get(get(o, "map"), "cells");
	assert_int_equal(json_array_size(list), BLOCKS);
	json_array_foreach(list, i, entry)
	{
		assert_int_equal(json_integer_value(json_array_get(entry, 0)), map[i][0]);
		assert_int_equal(json_integer_value(json_array_get(entry, 1)), map[i][1]);
	}
	json_decref(o);
}

static void test_scan_text(void **state)
{
	struct outcome o = run("scan --proc %s", path(""));

	(void)state;
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	assert_non_null(strstr(o.out, "18 MiB in 9 blocks of 2 MiB"));
	assert_non_null(strstr(o.out, "1 free (11 %), 2 with only pages that may move (22 %), "
				      "6 blocked (67 %)"));
	assert_non_null(strstr(o.out, "blocked by  1 page: 1 block (17 %); 2 to 8: 2; 9 to 64: 1; "
				      "65 to 511: 1; all 512: 1\n"));
	assert_non_null(strstr(
		o.out,
		"worst       1 block (11.1 % of all) blocked by nothing but one page (slab)\n"));
	/* no map where nobody looks */
	assert_null(strchr(o.out, '\033'));
	assert_null(strstr(o.out, "a cell is"));
	done(&o);
}

static void test_scan_range_and_node(void **state)
{
	json_t *o = scan_json("--range 0-3fffff");

	(void)state;
	check_blocks(get(o, "blocks"), 2, 1, 1, 0);
	/* 150 pages have to be somewhere */
	assert_int_equal(whole(o, "free_at_best"), 1);
	json_decref(o);
	/* part of a block is the block */
	o = scan_json("--range 0x400001-0x400002");
	check_blocks(get(o, "blocks"), 1, 0, 0, 1);
	check_kind(o, "slab", 1, 1, 1, 1);
	json_decref(o);
	o = scan_json("--node 1");
	check_blocks(get(o, "blocks"), 5, 0, 1, 4);
	json_decref(o);
	o = scan_json("--node 1 --range 0-9fffff");
	check_blocks(get(o, "blocks"), 1, 0, 0, 1);
	check_kind(o, "reserved", 512, 1, 1, 0);
	/* sums of whole zones say nothing about these */
	assert_int_equal(whole(o, "per_cpu_free"), 0);
	assert_int_equal(whole(o, "unmanaged"), 0);
	json_decref(o);
	o = scan_json("--node 0");
	assert_int_equal(whole(o, "per_cpu_free"), 11);
	json_decref(o);
}

/* Where locked memory may not be compacted it blocks. */
static void test_scan_unevictable_blocks_where_the_kernel_says_so(void **state)
{
	json_t *o;

	(void)state;
	put_text("sys/vm/compact_unevictable_allowed", "0\n");
	o = scan_json("");
	check_kind(o, "unevictable", 8, 1, 0, 0);
	check_kind(o, "slab", 6, 3, 1, 1);
	json_decref(o);
	put_text("sys/vm/compact_unevictable_allowed", "1\n");
	o = scan_json("");
	check_kind(o, "unevictable", 8, 0, 0, 0);
	json_decref(o);
	unlink(path("sys/vm/compact_unevictable_allowed"));
}

/* Without zoneinfo there is one zone, and all else. */
static void test_scan_without_zones(void **state)
{
	json_t *o;

	(void)state;
	unlink(path("zoneinfo"));
	o = scan_json("");
	check_blocks(get(o, "blocks"), BLOCKS, 1, 2, 6);
	assert_int_equal(json_array_size(get(o, "zones")), 0);
	json_decref(o);
	put_text("zoneinfo", "Node 0\nstart_pfn: 7\n\001\002Node 9, zone\n spanned -1\n");
	o = scan_json("");
	check_blocks(get(o, "blocks"), BLOCKS, 1, 2, 6);
	json_decref(o);
	machine();
}

/* Ends so, with one line on standard error that has this in it, and nothing on the other. */
static void refused(int status, const char *arguments, const char *what)
{
	struct outcome o = run("scan --proc %s %s", path(""), arguments);

	if (o.status != status || lines(o.err) != 1 || !strstr(o.err, what))
		print_error("# %d '%s', not '%s'\n", o.status, o.err, what);
	assert_int_equal(o.status, status);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, what));
	assert_string_equal(o.out, "");
	done(&o);
}

static void test_scan_torn_and_short_files(void **state)
{
	(void)state;
	put_flags(sizeof(flags) - 3);
	refused(1, "", "kpageflags: ends within the flags of frame 8447");
	put_flags(sizeof(flags) - (size_t)256 * 8);
	refused(1, "", "kpageflags: ends at frame 8192, before the RAM");
	put_flags(8);
	refused(1, "--json", "kpageflags: ends at frame 1, before the RAM");
	put_flags(0);
	refused(1, "", "kpageflags: ends at frame 0, before the RAM");
	unlink(path("kpageflags"));
	refused(1, "", "CONFIG_PROC_PAGE_MONITOR");
	assert_int_equal(mkdir(path("kpageflags"), 0755), 0);
	refused(1, "", "kpageflags: Is a directory");
	rmdir(path("kpageflags"));
	assert_int_equal(mkfifo(path("kpageflags"), 0644), 0);
	refused(1, "", "kpageflags: Illegal seek");
	unlink(path("kpageflags"));
	machine();
}

/* A file that pretends to have more memory than there can be is read as far as there is RAM. */
static void test_scan_huge_files(void **state)
{
	json_t *o;

	(void)state;
	assert_int_equal(truncate(path("kpageflags"), (off_t)1 << 40), 0);
	o = scan_json("");
	check_blocks(get(o, "blocks"), BLOCKS, 1, 2, 6);
	json_decref(o);
	put_text("iomem", "0-ffffffffffffffff : System RAM\n");
	refused(1, "", "iomem: more than 64 TiB of RAM");
	/* 32 TiB without a flag end at 4 GiB */
	fill(0, FRAMES, 0);
	put_flags(sizeof(flags));
	assert_int_equal(truncate(path("kpageflags"), (off_t)1 << 40), 0);
	put_text("iomem", "0-1fffffffffff : System RAM\n");
	refused(1, "", "not one of 1048576 frames has a flag");
	machine();
}

static void test_scan_hidden_flags(void **state)
{
	(void)state;
	fill(0, FRAMES, 0);
	put_flags(sizeof(flags));
	refused(1, "", "not one of 4352 frames has a flag; the kernel hides them");
	machine();
	put_text("iomem", "00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n");
	refused(1, "", "iomem: hides all addresses; it takes root");
	machine();
}

static void test_scan_hostile_iomem(void **state)
{
	char *text = malloc(1 << 20);
	size_t n = 0;

	(void)state;
	assert_non_null(text);
	put_text("iomem", "");
	refused(1, "", "iomem: names no System RAM");
	put_text("iomem", "System RAM\n0-\n-5 : System RAM\n0 - 5 : System RAM\n\377\376\n");
	refused(1, "", "iomem: names no System RAM");
	for (unsigned i = 0; i < 5000; i++)
		n += (size_t)sprintf(text + n, "%x-%x : System RAM\n", i << 22,
				     (i << 22) + 0xfffff);
	spit(path("iomem"), text, n);
	refused(1, "", "iomem: more than 4096 ranges of RAM");
	/* longer than any line is */
	memset(text, '0', 1 << 20);
	spit(path("iomem"), text, 1 << 20);
	refused(1, "", "iomem: names no System RAM");
	unlink(path("iomem"));
	refused(1, "", "iomem: No such file");
	machine();
	refused(1, "--range 1000000-1ffffff", "no RAM there");
	refused(1, "--node 7", "no RAM there");
	free(text);
}

/* More blocks than the map has entries: an entry stands for more of them. */
static void test_scan_map_of_a_large_machine(void **state)
{
	const unsigned many = 40000;
	json_t *o, *cells;

	(void)state;
	assert_int_equal(truncate(path("kpageflags"), (off_t)many * BLOCK * 8), 0);
	put_text("iomem", "0-1387fffff : System RAM\n");
	o = scan_json("");
	check_blocks(get(o, "blocks"), 2500, 1, 2, 2497);
	json_decref(o);
	put_text("iomem", "0-1387ffffff : System RAM\n");
	o = scan_json("");
	assert_int_equal(whole(get(o, "blocks"), "all"), many);
	assert_int_equal(whole(get(o, "map"), "blocks_a_cell"), 4);
	cells = get(get(o, "map"), "cells");
	assert_int_equal(json_array_size(cells), many / 4);
	/* blocks 4 to 7: all, all, 12 and 24 frames in use */
	assert_int_equal(json_integer_value(json_array_get(json_array_get(cells, 1), 0)),
			 (512 + 18 + 1) / 2);
	assert_int_equal(json_integer_value(json_array_get(json_array_get(cells, many / 4 - 1), 0)),
			 512);
	json_decref(o);
	machine();
}

static void test_scan_bad_input(void **state)
{
	static const char *const bad[] = {
		"--range",
		"--range 5",
		"--range 5-",
		"--range -5",
		"--range 6-5",
		"--range x-y",
		"--range 1-2-3",
		"--range ''",
		"--node",
		"--node -1",
		"--node 1x",
		"--node 65536",
		"--json=yes",
		"extra",
		"--nope",
		"--proc ''",
		"--range 1-10000000000000000",
		"--range \n1-2",
		"''",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(2, bad[i], "quire scan: ");
}

/* In the child: root that may not read what others may not. */
static void give_up_rights(void)
{
	prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
	prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0);
}

static void test_scan_unprivileged(void **state)
{
	(void)state;
	assert_int_equal(chmod(path("kpageflags"), 0), 0);
	command_in_child = give_up_rights;
	refused(1, "", "kpageflags: Permission denied; it takes root");
	command_in_child = NULL;
	assert_int_equal(chmod(path("kpageflags"), 0644), 0);
}

/* --- record --- */

static size_t expect(char *text, size_t at, unsigned from, unsigned n, unsigned order, int type)
{
	for (unsigned i = 0; i < n; i++)
		at += (size_t)sprintf(text + at, "%x %u %d\n", from + i, order, type);
	return at;
}

/* What is in use in the made-up machine, by hand. */
static char *expected_layout(void)
{
	char *text = malloc(1 << 16);
	size_t at = 0;

	assert_non_null(text);
	at = expect(text, at, 0x207, 100, 0, 1);
	at = expect(text, at, 0x32c, 50, 0, 1);
	at = expect(text, at, 0x5ff, 1, 0, 0);
	at = expect(text, at, 0x600, 100, 0, 1);
	at = expect(text, at, 0x6c8, 1, 0, 0);
	at = expect(text, at, 0x6d2, 1, 0, 0);
	at = expect(text, at, 0xa00, 1, 9, 1);
	at = expect(text, at, 0xc04, 1, 2, 0);
	at = expect(text, at, 0xc10, 8, 0, 1);
	at = expect(text, at, 0xe00, 1, 0, 0);
	at = expect(text, at, 0xe05, 10, 0, 1);
	at = expect(text, at, 0xe0f, 7, 0, 0);
	expect(text, at, 0xe16, 2, 0, 1);
	return text;
}

static void recorded(const char *file, const char *more)
{
	struct outcome o = run("record --proc %s %s %s", path(""), more, path(file));

	if (o.status)
		print_error("%s", o.err);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	assert_int_equal(strncmp(o.out, "recorded  ", 10), 0);
	done(&o);
}

static void check_file(const char *file, const char *want)
{
	char *text = slurp(path(file));

	assert_string_equal(text, want);
	free(text);
}

static void test_record_writes_what_is_live(void **state)
{
	char *want = expected_layout(), *packed, text[8192];
	struct stat st;
	size_t n;

	(void)state;
	recorded("layout.txt", "");
	check_file("layout.txt", want);
	recorded("layout.zst", "");
	packed = slurp(path("layout.zst"));
	assert_int_equal(stat(path("layout.zst"), &st), 0);
	n = ZSTD_decompress(text, sizeof(text) - 1, packed, (size_t)st.st_size);
	assert_false(ZSTD_isError(n));
	text[n] = 0;
	assert_string_equal(text, want);
	free(packed);
	free(want);
}

/* A compound page at an odd place, and one that is larger than a block. */
static void test_record_splits_compound_pages(void **state)
{
	(void)state;
	fill(0, FRAMES, BUDDY);
	compound(2, 6, SLAB);
	compound(16, 3, LRU | ANON);
	fill(24, 2, TAIL | SLAB); /* its head was freed meanwhile */
	compound(2 * BLOCK, 2 * BLOCK, HUGE);
	compound(5 * BLOCK + 508, 12, SLAB);
	put_flags(sizeof(flags));
	recorded("layout.txt", "");
	check_file("layout.txt", "2 1 0\n4 2 0\n10 1 1\n12 0 1\n18 1 0\n400 9 1\n600 9 1\n"
				 "bfc 2 0\nc00 3 0\n");
	machine();
}

static void test_record_limits(void **state)
{
	char *text;

	(void)state;
	recorded("layout.txt", "--range 400000-5fffff");
	check_file("layout.txt", "5ff 0 0\n");
	recorded("layout.txt", "--blocks 1 --range a00000-cfffff");
	check_file("layout.txt", "a00 9 1\n");
	recorded("layout.txt", "--blocks 3");
	text = slurp(path("layout.txt"));
	assert_int_equal(lines(text), 150 + 1 + 102);
	free(text);
	recorded("layout.txt", "--node 1 --range 0-cfffff");
	text = slurp(path("layout.txt"));
	assert_int_equal(lines(text), 1 + 9);
	free(text);
}

/* What squeeze makes of a recorded machine: it frees all that can be, around what is pinned. */
static void test_record_then_squeeze_passes(void **state)
{
	uint64_t x = 1, live = 0;
	struct outcome o;
	json_t *json;

	(void)state;
	fill(0, FRAMES, BUDDY);
	for (unsigned i = 0; i < 8 * BLOCK; i += 8) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		switch (x >> 61) {
		case 0:
			compound(i, 4, SLAB);
			live += 4;
			break;
		case 1:
			compound(i, 8, LRU | ANON | THP);
			live += 8;
			break;
		case 2:
		case 3:
			fill(i + (unsigned)(x >> 58 & 7), 1, LRU | ANON);
			live++;
			break;
		default:
			break;
		}
	}
	put_flags(sizeof(flags));
	recorded("layout.zst", "");
	o = run("squeeze --json --pins 10 --layout %s", path("layout.zst"));
	assert_int_equal(o.status, 0);
	json = json_loads(o.out, 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(get(json, "verdict")), "PASS");
	assert_int_equal(whole(get(json, "layout"), "live_bytes"), live * 4096);
	assert_int_equal(whole(get(json, "layout"), "blocks"), 8);
	assert_true(whole(get(json, "quire"), "runs") > 0);
	json_decref(json);
	done(&o);
	machine();
}

/* Ends so, with one line that has this in it; what is in layout.txt is as it was. */
static void not_recorded(int status, const char *arguments, const char *what)
{
	struct outcome o = run("record --proc %s %s", path(""), arguments);

	if (o.status != status || lines(o.err) != 1 || !strstr(o.err, what))
		print_error("# %d '%s', not '%s'\n", o.status, o.err, what);
	assert_int_equal(o.status, status);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, what));
	assert_string_equal(o.out, "");
	check_file("layout.txt", "as it was\n");
	done(&o);
}

/* In the child: a file cannot become longer than a few lines. */
static void little_room(void)
{
	const struct rlimit few = { 512, 512 };

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &few);
}

static void test_record_leaves_the_old_file(void **state)
{
	struct stat st;
	char old[160], to[256];

	(void)state;
	put_text("layout.txt", "as it was\n");
	snprintf(old, sizeof(old), "%s", path("layout.txt"));
	put_flags(sizeof(flags) - 1);
	not_recorded(1, old, "kpageflags: ends within the flags");
	machine();
	command_in_child = little_room;
	not_recorded(1, old, "layout.txt: File too large");
	command_in_child = NULL;
	snprintf(to, sizeof(to), "%s --range 0-1fffff", old);
	not_recorded(1, to, "no page is in use there");
	not_recorded(2, "/", "/: Is a directory");
	not_recorded(2, "/dev/full", "/dev/full: is no regular file");
	not_recorded(2, "/nonexistent/file", "No such file or directory");
	not_recorded(2, "", "which file to write?");
	not_recorded(2, "a b", "the name of one file");
	not_recorded(2, "''", "the name of one file");
	not_recorded(2, "--blocks 0 a", "--blocks wants");
	not_recorded(2, "--blocks 1048577 a", "--blocks wants");
	not_recorded(2, "--range 5 a", "--range wants");
	assert_int_equal(files_like("layout.txt"), 1);
	/* a link stays one, and the mode what it was */
	assert_int_equal(chmod(old, 0640), 0);
	assert_int_equal(symlink("layout.txt", path("link")), 0);
	recorded("link", "--range 400000-5fffff");
	check_file("layout.txt", "5ff 0 0\n");
	assert_int_equal(lstat(path("link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(old, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_counts_exactly),
		cmocka_unit_test(test_scan_text),
		cmocka_unit_test(test_scan_range_and_node),
		cmocka_unit_test(test_scan_unevictable_blocks_where_the_kernel_says_so),
		cmocka_unit_test(test_scan_without_zones),
		cmocka_unit_test(test_scan_torn_and_short_files),
		cmocka_unit_test(test_scan_huge_files),
		cmocka_unit_test(test_scan_hidden_flags),
		cmocka_unit_test(test_scan_hostile_iomem),
		cmocka_unit_test(test_scan_map_of_a_large_machine),
		cmocka_unit_test(test_scan_bad_input),
		cmocka_unit_test(test_scan_unprivileged),
		cmocka_unit_test(test_record_writes_what_is_live),
		cmocka_unit_test(test_record_splits_compound_pages),
		cmocka_unit_test(test_record_limits),
		cmocka_unit_test(test_record_then_squeeze_passes),
		cmocka_unit_test(test_record_leaves_the_old_file),
	};

	if (argc < 2) {
		fprintf(stderr, "usage: test_scan QUIRE\n");
		return 2;
	}
	command = argv[1];
	return cmocka_run_group_tests(tests, make, remove_all);
}

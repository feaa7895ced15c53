/* SPDX-License-Identifier: MIT */
/*
 * test_layout_hostile.c: layouts that are wrong, torn, or made to hurt. Each must be turned down
 * with one line that names the file and the line; what is let through must keep the invariants of
 * layout.h. To be run under the address and undefined-behaviour sanitizers too.
 *
 * Usage: test_layout_hostile LAYOUT
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "arenas.h"
#include "layout.h"

#define MUTATIONS 20000

static const char *layout_path = "data/linux-6.18-kernel-build.live.zst";
static uint64_t seed;
static char folder[] = "/tmp/quire-layout-XXXXXX";

static void write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)bytes + done, size - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	close(fd);
}

static void in_folder(char *path, size_t size, const char *name)
{
	assert_true((size_t)snprintf(path, size, "%s/%s", folder, name) < size);
}

/* What layout.h promises of every layout that is let through. */
static void check_layout(const struct layout *l)
{
	uint64_t live = 0, end = 0;
	uint32_t block = 0;

	assert_non_null(l->name);
	assert_true(l->n >= 1);
	for (size_t i = 0; i < l->n; i++) {
		const struct layout_item *item = &l->items[i];
		uint64_t at = (uint64_t)item->block * LAYOUT_BLOCK_FRAMES + item->offset;

		assert_true(item->order <= LAYOUT_BLOCK_ORDER && item->type < LAYOUT_TYPES);
		assert_true(item->offset % (1u << item->order) == 0);
		assert_true(item->offset + (1u << item->order) <= LAYOUT_BLOCK_FRAMES);
		assert_true(i == 0 || at >= end);
		assert_true(item->block == block || (i && item->block == block + 1));
		end = at + (UINT64_C(1) << item->order);
		block = item->block;
		live += UINT64_C(1) << item->order;
	}
	assert_int_equal(l->blocks, block + 1);
	assert_int_equal(l->live_frames, live);
}

/* One line, nothing that a terminal obeys, and the file's name in front. */
static void check_error(const char *path, const char *err)
{
	size_t length = strlen(path);

	assert_true(strlen(err) > length && !strncmp(err, path, length) && err[length] == ':');
	for (const char *c = err; *c; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

/* Expects exactly "PATH:WHAT" and the error code. */
static void turned_down_within(const char *path, const struct layout_limits *limits, int error,
			       const char *what)
{
	char err[512], want[512];
	struct layout l;
	int got;

	got = limits ? layout_read_within(path, limits, &l, err, sizeof(err))
		     : layout_read(path, &l, err, sizeof(err));
	snprintf(want, sizeof(want), "%s:%s", path, what);
	assert_string_equal(err, want);
	assert_int_equal(got, error);
	assert_true(!l.name && !l.items && !l.n && !l.blocks && !l.live_frames);
	check_error(path, err);
	layout_finish(&l);
}

static void turned_down(const char *path, int error, const char *what)
{
	turned_down_within(path, NULL, error, what);
}

#define TEXT(s) (s), sizeof(s) - 1
#define FEW "fewer than 3 fields; a line is PFN ORDER MIGRATETYPE"
#define MANY "more than 3 fields; a line is PFN ORDER MIGRATETYPE"
#define BLANK "empty line; a line is PFN ORDER MIGRATETYPE"
#define A16 "aaaaaaaaaaaaaaaa"
#define A128 A16 A16 A16 A16 A16 A16 A16 A16

static const struct {
	const char *text;
	size_t size;
	const char *what; /* ":LINE: message", without the first colon */
} wrong[] = {
	{ TEXT(""), "1: empty: no allocation in it" },
	{ TEXT("\n"), "1: " BLANK },
	{ TEXT("1 0 0\n\n2 0 0\n"), "2: " BLANK },
	{ TEXT("1 0 0\n  \t\n"), "2: " BLANK },
	{ TEXT("1 0 0\n\r\n"), "2: " BLANK },
	{ TEXT("1 0 0\n2\n"), "2: " FEW },
	{ TEXT("1 0 0\n2 0\n"), "2: " FEW },
	{ TEXT("1 0 0\n2 0"), "2: " FEW },
	{ TEXT("1 0 0\n2 0 "), "2: " FEW },
	{ TEXT("1 0 0\r2 0 0\n"), "1: " MANY },
	{ TEXT("1 0 0 0\n"), "1: " MANY },
	{ TEXT("1 0 0 # note\n"), "1: " MANY },
	{ TEXT("# note\n"), "1: " FEW },
	{ TEXT("g 0 0\n"), "1: PFN is not a hexadecimal number" },
	{ TEXT("1,0,0 0 0\n"), "1: PFN is not a hexadecimal number" },
	{ TEXT("0x10 0 0\n"), "1: PFN is not a hexadecimal number; write it without 0x" },
	{ TEXT("0X10 0 0\n"), "1: PFN is not a hexadecimal number; write it without 0x" },
	{ TEXT("+1 0 0\n"), "1: PFN is not a hexadecimal number" },
	{ TEXT("\xef\xbb\xbf"
	       "1 0 0\n"),
	  "1: PFN is not a hexadecimal number" },
	{ TEXT("\x28\xb5\x2f"), "1: " FEW },
	{ TEXT("-1 0 0\n"), "1: PFN is negative" },
	{ TEXT("1 -1 0\n"), "1: ORDER is negative" },
	{ TEXT("1 0 -1\n"), "1: MIGRATETYPE is negative" },
	{ TEXT("10000000000000 0 0\n"), "1: PFN is above fffffffffffff" },
	{ TEXT("10000000000000001 0 0\n"), "1: PFN is above fffffffffffff" },
	{ TEXT("ffffffffffffffffffffffffffffffffffff 0 0\n"), "1: PFN is above fffffffffffff" },
	{ TEXT("1 a 0\n"), "1: ORDER is not a decimal number" },
	{ TEXT("1 0.5 0\n"), "1: ORDER is not a decimal number" },
	{ TEXT("400 10 0\n"), "1: ORDER is above 9" },
	{ TEXT("0 18446744073709551616 0\n"), "1: ORDER is above 9" },
	{ TEXT("0 4294967296 0\n"), "1: ORDER is above 9" },
	{ TEXT("0 0 3\n"), "1: MIGRATETYPE is above 2" },
	{ TEXT("0 0 f\n"), "1: MIGRATETYPE is not a decimal number" },
	{ TEXT("1 0 0\n3 1 0\n"), "2: PFN 3 is not aligned to its order 1" },
	{ TEXT("fffffffffffff 9 0\n"), "1: PFN fffffffffffff is not aligned to its order 9" },
	{ TEXT("1003f5 0 0\n1003f5 0 0\n"), "2: frame 1003f5 is in use by a line above" },
	{ TEXT("1003f5 0 0\n001003F5 0 2\n"), "2: frame 1003f5 is in use by a line above" },
	{ TEXT("8 0 0\n3 0 0\n0 2 0\n"), "3: frame 3 is in use by a line above" },
	{ TEXT("0 9 0\n200 9 0\n1ff 0 0\n"), "3: frame 1ff is in use by a line above" },
	{ TEXT("0 9 1\n0 9 1\n"), "2: frame 0 is in use by a line above" },
	{ TEXT("1 0 0\n2 0 0\0\n"), "2: a NUL byte" },
	{ TEXT("1 0 0\n\0"), "2: a NUL byte" },
	{ TEXT("1 0 0\n\0 0 0 0\n"), "2: a NUL byte" },
	{ TEXT(A128 "a 0 0\n"), "1: line longer than 128 bytes" },
	{ TEXT("1 0 0\n" A128 A128), "2: line longer than 128 bytes" },
	{ TEXT("1 0 0\n" A128 "\r\n"), "2: line longer than 128 bytes" },
	{ TEXT("1 0 0\n" A128 "\n"), "2: " FEW },
	{ TEXT("\x1b[31m 0 0\n"), "1: PFN is not a hexadecimal number" },
};

static size_t squeeze(const void *text, size_t size, void **out)
{
	size_t bound = ZSTD_compressBound(size), n;

	*out = malloc(bound);
	assert_non_null(*out);
	n = ZSTD_compress(*out, bound, text, size, 3);
	assert_false(ZSTD_isError(n));
	return n;
}

/* Every row twice: plain, and as zstd. */
static void test_layout_wrong_text(void **state)
{
	char path[128];

	(void)state;
	in_folder(path, sizeof(path), "wrong.txt");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		void *packed;
		size_t size = squeeze(wrong[i].text, wrong[i].size, &packed);

		write_file(path, wrong[i].text, wrong[i].size);
		turned_down(path, -EINVAL, wrong[i].what);
		write_file(path, packed, size);
		turned_down(path, -EINVAL, wrong[i].what);
		free(packed);
	}
	unlink(path);
	printf("# wrong text: %zu rows, plain and zstd\n", sizeof(wrong) / sizeof(wrong[0]));
}

static void test_layout_right_text(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} right[] = {
		{ "0 0 0\n", 1 },
		{ "0 0 0", 1 },
		{ "0 0 0\r\n1 0 1\r\n", 2 },
		{ "  1003f5\t0   2 \n", 1 },
		{ "fffffffffffff 0 1\n0 9 2\n", 2 },
		{ "00000000000000000000000001 00 02\n", 1 },
		{ "3ff 0 0\n0 9 0\n200 8 1\n300 7 2\n", 4 },
		{ "ABC 2 1\nabb 0 1\n", 2 },
	};
	struct layout l;
	char path[128], err[256];

	(void)state;
	in_folder(path, sizeof(path), "right");
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		write_file(path, right[i].text, strlen(right[i].text));
		if (layout_read(path, &l, err, sizeof(err)))
			fail_msg("%s", err);
		assert_string_equal(err, "");
		assert_int_equal(l.n, right[i].n);
		check_layout(&l);
		layout_finish(&l);
		layout_finish(&l);
	}

	/* Blocks are numbered by ascending PFN, items follow them, whatever the order of lines. */
	write_file(path, "90000 1 2\n203 0 1\n90002 0 0\n200 1 0\n", 36);
	assert_int_equal(layout_read(path, &l, err, sizeof(err)), 0);
	check_layout(&l);
	assert_int_equal(l.blocks, 2);
	assert_int_equal(l.live_frames, 6);
	assert_true(l.items[0].offset == 0 && l.items[0].order == 1 && l.items[0].type == 0);
	assert_true(l.items[1].offset == 3 && l.items[1].order == 0 && l.items[1].type == 1);
	assert_true(l.items[2].block == 1 && l.items[2].order == 1 && l.items[2].type == 2);
	assert_true(l.items[3].block == 1 && l.items[3].offset == 2 && l.items[3].type == 0);
	layout_finish(&l);
	unlink(path);
}

static void test_layout_names(void **state)
{
	static const char *const names[][2] = {
		{ "a.live.zst", "a" }, { "a.zst", "a" },	 { "a.txt", "a" },
		{ "a", "a" },	       { "a.live", "a.live" },	 { "a.b.txt", "a.b" },
		{ ".zst", ".zst" },    { "a.zst.txt", "a.zst" }, { "\x1b[m", "?[m" },
	};
	char path[128], err[256];
	struct layout l;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		in_folder(path, sizeof(path), names[i][0]);
		write_file(path, "1 0 1\n", 6);
		assert_int_equal(layout_read(path, &l, err, sizeof(err)), 0);
		assert_string_equal(l.name, names[i][1]);
		layout_finish(&l);
		unlink(path);
	}
}

static void test_layout_wrong_files(void **state)
{
	char path[128], err[512], far[600];
	struct layout l;

	(void)state;
	in_folder(path, sizeof(path), "none");
	turned_down(path, -ENOENT, " No such file or directory");
	turned_down(folder, -EISDIR, " Is a directory");
	turned_down("/dev/null", -EINVAL, "1: empty: no allocation in it");
	turned_down("/dev/zero", -EINVAL, "1: line longer than 128 bytes");
	assert_int_equal(layout_read("", &l, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, ": No such file or directory");

	/* A name that would break the line. */
	assert_int_equal(layout_read("a\nb\x1b[2J", &l, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "a?b?[2J: No such file or directory");

	/* Of a long path, the end is shown. */
	memset(far, '/', sizeof(far));
	snprintf(far + 400, sizeof(far) - 400, "tmp/none.txt");
	assert_int_equal(layout_read(far, &l, err, 256), -ENOENT);
	assert_int_equal(strncmp(err, "...///", 6), 0);
	assert_string_equal(err + strlen(err) - 39, "tmp/none.txt: No such file or directory");

	/* However little room there is for it. */
	for (size_t room = 0; room < 40; room++) {
		memset(err, 'x', sizeof(err));
		assert_int_equal(layout_read(path, &l, room ? err : NULL, room), -ENOENT);
		assert_true(!room || strlen(err) < room);
		assert_int_equal(err[room], 'x');
	}
}

static void test_layout_limits(void **state)
{
	static const struct layout_limits three = { .items = 3, .blocks = 2 };
	static const struct layout_limits none = { .items = 0, .blocks = 1 };
	static const struct layout_limits beyond = { .items = 1, .blocks = LAYOUT_MAX_BLOCKS + 1 };
	const size_t lines = LAYOUT_MAX_BLOCKS + 1;
	char path[128], err[256], *text;
	size_t size = 0;
	struct layout l;
	void *packed;

	(void)state;
	in_folder(path, sizeof(path), "limits");
	write_file(path, TEXT("1 0 0\n2 0 0\n200 0 0\n"));
	assert_int_equal(layout_read_within(path, &three, &l, err, sizeof(err)), 0);
	check_layout(&l);
	layout_finish(&l);
	turned_down_within(path, &none, -EINVAL, " limits out of range");
	turned_down_within(path, &beyond, -EINVAL, " limits out of range");
	write_file(path, TEXT("1 0 0\n2 0 0\n200 0 0\n3 0 0\n"));
	turned_down_within(path, &three, -EFBIG, "4: more than 3 allocations");
	write_file(path, TEXT("1 0 0\n200 0 0\n400 0 0\n"));
	turned_down_within(path, &three, -EFBIG, "3: more than 2 blocks of 512 frames");

	/* The real limit of blocks, from a file of which zstd makes little. */
	text = malloc(lines * 24);
	assert_non_null(text);
	for (size_t i = 0; i < lines; i++)
		size += (size_t)sprintf(text + size, "%zx 9 1\n", i * LAYOUT_BLOCK_FRAMES);
	size = squeeze(text, size, &packed);
	write_file(path, packed, size);
	turned_down(path, -EFBIG, "1048577: more than 1048576 blocks of 512 frames");
	free(packed);
	free(text);
	unlink(path);
}

/* Enough blocks to make the index grow, each met twice: found again, and its overlaps too. */
static void test_layout_many_blocks(void **state)
{
	const size_t blocks = 10000, lines = 2 * blocks;
	char path[128], err[256], *text = malloc(lines * 24 + 64);
	size_t size = 0;
	struct layout l;

	(void)state;
	assert_non_null(text);
	in_folder(path, sizeof(path), "many");
	for (size_t i = 0; i < lines; i++)
		size += (size_t)sprintf(text + size, "%zx 0 1\n",
					i * 7 % blocks * LAYOUT_BLOCK_FRAMES + i / blocks);
	write_file(path, text, size);
	assert_int_equal(layout_read(path, &l, err, sizeof(err)), 0);
	check_layout(&l);
	assert_int_equal(l.n, lines);
	assert_int_equal(l.blocks, blocks);
	layout_finish(&l);
	size += (size_t)sprintf(text + size, "%x 0 1\n", LAYOUT_BLOCK_FRAMES);
	write_file(path, text, size);
	turned_down(path, -EINVAL, "20001: frame 200 is in use by a line above");
	free(text);
	unlink(path);
}

/* Small files that decompress to much end at the first line that says so. */
static void test_layout_bombs(void **state)
{
	/* A frame whose header asks for a window of 2^28, with one raw block. */
	static const char window[] = "\x28\xb5\x2f\xfd\x00\x90\x31\x00\x00"
				     "1 0 0\n";
	const size_t size = 64 << 20;
	char path[128], *text = malloc(size);
	size_t n;
	void *packed;

	(void)state;
	assert_non_null(text);
	in_folder(path, sizeof(path), "bomb.zst");
	memset(text, 'a', size);
	n = squeeze(text, size, &packed);
	write_file(path, packed, n);
	turned_down(path, -EINVAL, "1: line longer than 128 bytes");
	free(packed);

	for (size_t i = 0; i < size; i++)
		text[i] = "1 0 0\n"[i % 6];
	n = squeeze(text, size, &packed);
	write_file(path, packed, n);
	turned_down(path, -EINVAL, "2: frame 1 is in use by a line above");
	printf("# bombs: %zu bytes for %zu\n", n, size);
	free(packed);

	memset(text, '\n', size);
	n = squeeze(text, size, &packed);
	write_file(path, packed, n);
	turned_down(path, -EINVAL, "1: " BLANK);
	free(packed);
	free(text);

	write_file(path, TEXT(window));
	turned_down(path, -EBADMSG,
		    "1: zstd data is damaged: Frame requires too much memory for decoding");
	unlink(path);
}

static void *read_real(size_t *size)
{
	struct stat st;
	void *bytes;
	int fd = open(layout_path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	bytes = malloc(*size + 16);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, *size), st.st_size);
	close(fd);
	return bytes;
}

static void test_layout_recorded(void **state)
{
	struct layout l;
	char err[256];

	(void)state;
	if (layout_read(layout_path, &l, err, sizeof(err)))
		fail_msg("%s", err);
	check_layout(&l);
	assert_int_equal(l.n, 281516);
	assert_int_equal(l.blocks, 1685);
	assert_int_equal(l.live_frames, 293490);
	assert_string_equal(l.name, "linux-6.18-kernel-build");
	layout_finish(&l);
}

/* The recorded file, torn off anywhere: its head, its tail, and places in between. */
static void test_layout_torn(void **state)
{
	struct arena_random random = { seed };
	unsigned char *bytes;
	char path[128], err[256];
	size_t size, cuts = 0, torn = 0;
	bool tail = false;
	struct layout l;

	(void)state;
	in_folder(path, sizeof(path), "torn.zst");
	bytes = read_real(&size);
	assert_true(size > 1000);
	for (size_t cut = 0; cut < size; cuts++) {
		int error;

		write_file(path, bytes, cut);
		error = layout_read(path, &l, err, sizeof(err));
		assert_int_equal(error, cut < 4 ? -EINVAL : -EBADMSG);
		check_error(path, err);
		if (cut >= 4) {
			assert_non_null(strstr(err, ": zstd data is cut off"));
			torn++;
		}
		layout_finish(&l);
		/* Every byte of both ends; about 60 places in between. */
		if (cut < 24 || tail)
			cut++;
		else
			cut += 1 + arena_below(&random, 11000);
		if (cut > size - 12 && !tail)
			cut = size - 12;
		tail = tail || cut == size - 12;
	}

	/* What follows a frame must be a frame. */
	snprintf((char *)bytes + size, 16, "1 0 0\n");
	write_file(path, bytes, size + 6);
	turned_down(path, -EBADMSG, "281517: zstd data is damaged: Unknown frame descriptor");
	bytes[size] = 0x28;
	write_file(path, bytes, size + 1);
	turned_down(path, -EBADMSG, "281517: zstd data is cut off");
	unlink(path);
	free(bytes);
	printf("# torn: %zu cuts, %zu of them within zstd data\n", cuts, torn);
}

static const char seed_text[] =
	"1003f5 0 0\n1003f7 0 1\n100400 9 1\n100600 8 2\n100700 3 1\n"
	"100708 2 0\n10070c 0 0\n2 1 1\n4 2 1\nfffffffffff00 5 1\n10070d 0 2\n";

/* One to four small changes: bytes flipped, removed, put in, lines doubled, the end torn off. */
static size_t mutate(struct arena_random *random, unsigned char *b, size_t size)
{
	static const char useful[] = "0123456789abcdefx- \t\n\r";

	for (unsigned changes = 1 + arena_below(random, 4); changes && size > 1; changes--) {
		size_t at = arena_below(random, (unsigned)size), line;

		switch (arena_below(random, 6)) {
		case 0:
			b[at] ^= (unsigned char)(1u << arena_below(random, 8));
			break;
		case 1:
			b[at] = (unsigned char)useful[arena_below(random, sizeof(useful) - 1)];
			break;
		case 2:
			memmove(b + at, b + at + 1, --size - at);
			break;
		case 3:
			memmove(b + at + 1, b + at, size - at);
			b[at] = (unsigned char)useful[arena_below(random, sizeof(useful) - 1)];
			size++;
			break;
		case 4:
			line = at;
			while (line < size && b[line] != '\n')
				line++;
			if (line == size || line - at > 20)
				break;
			memmove(b + 2 * line - at + 2, b + line + 1, size - line - 1);
			memcpy(b + line + 1, b + at, line - at + 1);
			size += line - at + 1;
			break;
		default:
			if (!arena_below(random, 4))
				size = at + 1;
			break;
		}
	}
	return size;
}

static void test_layout_mutations(void **state)
{
	struct arena_random random = { seed + 1 };
	uint64_t accepted = 0, refused = 0, damaged = 0;
	int fd = memfd_create("layout", MFD_CLOEXEC);
	char path[64], err[256];
	void *packed;
	size_t packed_size = squeeze(seed_text, sizeof(seed_text) - 1, &packed);

	(void)state;
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (unsigned t = 0; t < MUTATIONS; t++) {
		const bool plain = t % 3;
		unsigned char b[1024];
		size_t size = plain ? sizeof(seed_text) - 1 : packed_size, lines = 0;
		struct layout l;
		int error;

		memcpy(b, plain ? (const void *)seed_text : packed, size);
		size = mutate(&random, b, size);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, b, size, 0), (ssize_t)size);
		error = layout_read(path, &l, err, sizeof(err));
		if (error) {
			check_error(path, err);
			assert_true(error == -EINVAL || error == -EBADMSG);
			assert_false(l.items);
			refused++;
			damaged += error == -EBADMSG;
		} else {
			check_layout(&l);
			for (size_t i = 0; i < size; i++)
				lines += b[i] == '\n' || i + 1 == size;
			assert_true(!plain || l.n == lines);
			accepted++;
		}
		layout_finish(&l);
	}
	free(packed);
	close(fd);
	printf("# mutations: %llu accepted, %llu refused, %llu of them as damaged zstd\n",
	       (unsigned long long)accepted, (unsigned long long)refused,
	       (unsigned long long)damaged);
	assert_true(accepted && refused && damaged);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout_recorded),
		cmocka_unit_test(test_layout_right_text),
		cmocka_unit_test(test_layout_names),
		cmocka_unit_test(test_layout_wrong_text),
		cmocka_unit_test(test_layout_wrong_files),
		cmocka_unit_test(test_layout_limits),
		cmocka_unit_test(test_layout_bombs),
		cmocka_unit_test(test_layout_torn),
		cmocka_unit_test(test_layout_mutations),
		cmocka_unit_test(test_layout_many_blocks),
	};

	if (argc > 1)
		layout_path = argv[1];
	seed = arena_seed(argv[0]);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

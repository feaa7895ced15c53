// SPDX-License-Identifier: MIT
/*
 * test_map.c: the picture that quire squeeze --map draws, read back.
 *
 * usage: test_map QUIRE
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "command.h"
#include "map.h"

/* Five blocks: full; one page; half and one more that moves; free at the start are added to them.
 */
#define LAYOUT "200 9 1\n400 0 1\n600 8 1\n800 8 1\n900 0 1\na00 9 1\n"

static int make(void **state)
{
	(void)state;
	folder_make();
	spit(path("layout"), LAYOUT, sizeof(LAYOUT) - 1);
	return 0;
}

static int remove_all(void **state)
{
	static const char *const names[] = { "layout", "map.png" };

	(void)state;
	return folder_remove(names, 2);
}

/* One line on standard error that has this in it. */
static void refused(int status, const char *file, const char *what, bool early)
{
	struct outcome o = run("squeeze --refuse 0 --layout %s --map %s", path("layout"), file);

	if (o.status != status || !strstr(o.err, what))
		print_error("# %d '%s', not '%s'\n", o.status, o.err, what);
	assert_int_equal(o.status, status);
	assert_int_equal(lines(o.err), 1);
	assert_non_null(strstr(o.err, what));
	assert_true(!early || !*o.out);
	done(&o);
}

#ifdef SQUEEZE_WITH_PNG

#include <png.h>

struct picture {
	png_image head;
	unsigned char *rgb;
};

static void read_picture(struct picture *p)
{
	memset(p, 0, sizeof(*p));
	p->head.version = PNG_IMAGE_VERSION;
	assert_true(png_image_begin_read_from_file(&p->head, path("map.png")));
	p->head.format = PNG_FORMAT_RGB;
	p->rgb = malloc(PNG_IMAGE_SIZE(p->head));
	assert_non_null(p->rgb);
	assert_true(png_image_finish_read(&p->head, NULL, p->rgb, 0, NULL));
}

static unsigned pixel(const struct picture *p, unsigned x, unsigned y)
{
	const unsigned char *at = p->rgb + (y * p->head.width + x) * 3;

	assert_true(x < p->head.width && y < p->head.height);
	return (unsigned)at[0] << 16 | (unsigned)at[1] << 8 | at[2];
}

#define PAPER 0xffffffu
#define FREE 0x262626u
#define FULL 0xffd75fu
#define LITTLE 0x005f87u
#define STAYS 0xff005fu
#define HALF 0x00afafu /* shade 3 of 0 to 6 */

#define LEFT 8u
#define RIGHT (2 * 8u + 188u)
#define TOP (2 * 8u + 14u)

/* The square of block b in a map of three columns. */
static unsigned square(const struct picture *p, unsigned left, unsigned b)
{
	unsigned x = left + b % 3 * 8, y = TOP + b / 3 * 8, colour = pixel(p, x, y);

	/* all of its seven by seven pixels, and the gap after them */
	for (unsigned i = 0; i < 7; i++)
		for (unsigned k = 0; k < 7; k++)
			assert_int_equal(pixel(p, x + i, y + k), colour);
	assert_int_equal(pixel(p, x + 7, y), PAPER);
	assert_int_equal(pixel(p, x, y + 7), PAPER);
	return colour;
}

static unsigned count(const struct picture *p, unsigned left, unsigned blocks, unsigned colour)
{
	unsigned n = 0;

	for (unsigned b = 0; b < blocks; b++)
		n += square(p, left, b) == colour;
	return n;
}

/* Size, both maps square by square, the legend, and nothing else beside them. */
static void test_map_shows_each_block(void **state)
{
	/* in the layout's order; what is free comes after it */
	static const unsigned before[] = { FULL, LITTLE, HALF, HALF, FULL, FREE };
	struct outcome o = run("squeeze --refuse 0 --pins 0 --layout %s --map %s", path("layout"),
			       path("map.png"));
	struct picture p;
	unsigned legend;

	(void)state;
	if (o.status)
		print_error("%s%s", o.out, o.err);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.err, "");
	done(&o);
	read_picture(&p);
	assert_int_equal(p.head.width, 400);
	assert_int_equal(p.head.height, 4 * 8 + 2 * 14 + 2 * 8);
	for (unsigned b = 0; b < 6; b++)
		assert_int_equal(square(&p, LEFT, b), before[b]);
	/* 1 page has moved to one of the halves, which do not fit into one block with it */
	assert_int_equal(count(&p, RIGHT, 6, FREE), 2);
	assert_int_equal(count(&p, RIGHT, 6, FULL), 2);
	assert_int_equal(count(&p, RIGHT, 6, HALF), 2);
	legend = p.head.height - 8 - 14;
	for (unsigned s = 0; s < 7; s++)
		assert_int_not_equal(pixel(&p, 8 + 5 * 12 + s * 14, legend), PAPER);
	assert_int_equal(pixel(&p, 8 + 5 * 12, legend), FREE);
	assert_int_equal(pixel(&p, 8 + 5 * 12 + 6 * 14, legend), FULL);
	assert_int_equal(pixel(&p, 8 + 11 * 12 + 7 * 14, legend), STAYS);
	/* the b of "before" has its stroke, and the margin is empty */
	assert_int_equal(pixel(&p, LEFT, 8), 0);
	assert_int_equal(pixel(&p, LEFT + 4, 8), PAPER);
	for (unsigned x = 0; x < p.head.width; x++) {
		assert_int_equal(pixel(&p, x, 0), PAPER);
		assert_int_equal(pixel(&p, x, p.head.height - 1), PAPER);
	}
	free(p.rgb);
}

/* What stays is marked, before and after, and where. */
static void test_map_marks_what_stays(void **state)
{
	struct outcome o = run("squeeze --refuse 17 --pins 0 --layout %s --map %s", path("layout"),
			       path("map.png"));
	struct picture p;

	(void)state;
	assert_int_equal(o.status, 0);
	done(&o);
	read_picture(&p);
	assert_int_equal(count(&p, LEFT, 6, STAYS), 1);
	for (unsigned b = 0; b < 6; b++)
		assert_int_equal(square(&p, LEFT, b) == STAYS, square(&p, RIGHT, b) == STAYS);
	free(p.rgb);
}

/* More blocks than squares of eight pixels: smaller ones. */
static void test_map_of_many_blocks(void **state)
{
	char *text = malloc(1 << 20);
	struct picture p;
	struct outcome o;
	size_t n = 0;

	(void)state;
	assert_non_null(text);
	n += (size_t)sprintf(text, "0 0 0\n");
	for (unsigned b = 1; b < 10400; b++)
		n += (size_t)sprintf(text + n, "%x 0 1\n", b * 512);
	spit(path("layout"), text, n);
	free(text);
	o = run("squeeze --refuse 0 --layout %s --map %s", path("layout"), path("map.png"));
	if (o.status)
		print_error("%s%s", o.out, o.err);
	assert_int_equal(o.status, 0);
	done(&o);
	read_picture(&p);
	/* 10,400 blocks and 1 % make 103 columns and 102 rows of 4 pixels */
	assert_int_equal(p.head.width, 3 * 8 + 2 * 103 * 4);
	assert_int_equal(p.head.height, 4 * 8 + 2 * 14 + 102 * 4);
	assert_int_equal(pixel(&p, LEFT, TOP), LITTLE);
	assert_int_equal(pixel(&p, LEFT + 3, TOP), PAPER);
	free(p.rgb);
	spit(path("layout"), LAYOUT, sizeof(LAYOUT) - 1);
}

/* Said before the work begins, or after it; what was there stays. */
static void test_map_that_cannot_be_written(void **state)
{
	const struct heat heat[2] = { { 1, false }, { 512, true } };
	const struct map map = { heat, heat, 2 };
	struct rlimit limit, few = { 64, 64 };
	char *old, err[256];

	(void)state;
	refused(2, "/", "/: Is a directory", true);
	refused(2, "/dev/full", "/dev/full: is no regular file", true);
	refused(2, "/nonexistent/map.png", "No such file or directory", true);
	refused(2, "''", "--map wants the name of a file", true);
	spit(path("map.png"), "as it was\n", 10);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	few.rlim_max = limit.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	assert_int_equal(map_write(path("map.png"), &map, err, sizeof(err)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_non_null(strstr(err, "map.png: File too large"));
	assert_int_equal(files_like("map.png"), 1);
	old = slurp(path("map.png"));
	assert_string_equal(old, "as it was\n");
	free(old);
}

#else

static void test_map_without_libpng(void **state)
{
	(void)state;
	refused(2, path("map.png"), "--map: this quire was built without libpng", true);
	assert_int_equal(access(path("map.png"), F_OK), -1);
}

#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#ifdef SQUEEZE_WITH_PNG
		cmocka_unit_test(test_map_shows_each_block),
		cmocka_unit_test(test_map_marks_what_stays),
		cmocka_unit_test(test_map_of_many_blocks),
		cmocka_unit_test(test_map_that_cannot_be_written),
#else
		cmocka_unit_test(test_map_without_libpng),
#endif
	};

	if (argc < 2) {
		fprintf(stderr, "usage: test_map QUIRE\n");
		return 2;
	}
	command = argv[1];
	return cmocka_run_group_tests(tests, make, remove_all);
}

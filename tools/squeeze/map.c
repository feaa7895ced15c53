// SPDX-License-Identifier: MIT
#include "map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "newfile.h"
#include "text.h"

#ifndef SQUEEZE_WITH_PNG

int map_check(const char *path, char *err, size_t size)
{
	(void)path;
	(void)snprintf(err, size, "--map: this quire was built without libpng");
	return -ENOTSUP;
}

int map_write(const char *path, const struct map *map, char *err, size_t size)
{
	(void)map;
	return map_check(path, err, size);
}

#else

#include <png.h>
#include <setjmp.h>

#define BLOCK_FRAMES 512u
#define MARGIN 8u
#define LEAST_WIDTH 400u /* the legend has room */
#define SCALE 2u	 /* of letters */
#define GLYPH_ROWS 7u
#define GLYPH_COLUMNS 5u
#define ADVANCE ((GLYPH_COLUMNS + 1) * SCALE)
#define LINE (GLYPH_ROWS * SCALE)

enum { COLOUR_PAPER = TERM_SHADES + 1, COLOUR_INK, COLOURS };

/* The shades as a terminal of 256 colours has them, then paper and ink. */
static const png_color palette[COLOURS] = {
	{ 38, 38, 38 },	  { 0, 95, 135 },   { 0, 135, 175 }, { 0, 175, 175 },	{ 95, 175, 95 },
	{ 175, 215, 95 }, { 255, 215, 95 }, { 255, 0, 95 },  { 255, 255, 255 }, { 0, 0, 0 },
};

struct canvas {
	size_t width, height;
	uint8_t *pixels; /* index into the palette each */
};

static void fill(const struct canvas *c, size_t x, size_t y, size_t width, size_t height,
		 unsigned colour)
{
	for (size_t row = y; row < y + height && row < c->height; row++)
		for (size_t column = x; column < x + width && column < c->width; column++)
			c->pixels[row * c->width + column] = (uint8_t)colour;
}

/* Five bits a row, the leftmost is the highest. */
static const struct glyph {
	char letter;
	uint8_t row[GLYPH_ROWS];
} glyphs[] = {
	{ '0', { 14, 17, 19, 21, 25, 17, 14 } }, { '1', { 4, 12, 4, 4, 4, 4, 14 } },
	{ '2', { 14, 17, 1, 6, 8, 16, 31 } },	 { '3', { 30, 1, 1, 14, 1, 1, 30 } },
	{ '4', { 2, 6, 10, 18, 31, 2, 2 } },	 { '5', { 31, 16, 30, 1, 1, 17, 14 } },
	{ '6', { 6, 8, 16, 30, 17, 17, 14 } },	 { '7', { 31, 1, 2, 4, 8, 8, 8 } },
	{ '8', { 14, 17, 17, 14, 17, 17, 14 } }, { '9', { 14, 17, 17, 15, 1, 2, 12 } },
	{ ',', { 0, 0, 0, 0, 0, 4, 8 } },	 { 'a', { 0, 0, 14, 1, 15, 17, 15 } },
	{ 'b', { 16, 16, 30, 17, 17, 17, 30 } }, { 'e', { 0, 0, 14, 17, 31, 16, 14 } },
	{ 'f', { 6, 8, 28, 8, 8, 8, 8 } },	 { 'l', { 12, 4, 4, 4, 4, 4, 14 } },
	{ 'o', { 0, 0, 14, 17, 17, 17, 14 } },	 { 'r', { 0, 0, 22, 24, 16, 16, 16 } },
	{ 's', { 0, 0, 15, 16, 14, 1, 30 } },	 { 't', { 8, 8, 28, 8, 8, 8, 6 } },
	{ 'u', { 0, 0, 17, 17, 17, 19, 13 } },	 { 'y', { 0, 0, 17, 17, 15, 1, 14 } },
};

/* Where the next letter would be. What has no glyph is a blank. */
static size_t write_text(const struct canvas *c, size_t x, size_t y, const char *text)
{
	for (; *text; text++, x += ADVANCE)
		for (size_t g = 0; g < sizeof(glyphs) / sizeof(glyphs[0]); g++)
			for (unsigned bit = 0;
			     glyphs[g].letter == *text && bit < GLYPH_ROWS * GLYPH_COLUMNS; bit++) {
				unsigned row = bit / GLYPH_COLUMNS, column = bit % GLYPH_COLUMNS;

				if (glyphs[g].row[row] >> (GLYPH_COLUMNS - 1 - column) & 1)
					fill(c, x + column * SCALE, y + row * SCALE, SCALE, SCALE,
					     COLOUR_INK);
			}
	return x;
}

struct grid {
	size_t columns, rows, side; /* of a square, with the gap to the next */
};

static struct grid grid_of(size_t blocks)
{
	struct grid g = { .columns = 1 };

	while (g.columns * g.columns < blocks)
		g.columns++;
	g.rows = (blocks + g.columns - 1) / g.columns;
	g.side = blocks <= 10000 ? 8 : blocks <= 40000 ? 4 : blocks <= 160000 ? 2 : 1;
	return g;
}

static void panel(const struct canvas *c, size_t x, const char *title, const struct grid *g,
		  const struct heat *heat, size_t blocks)
{
	size_t side = g->side > 2 ? g->side - 1 : g->side, free = 0;
	char line[TEXT + 16], n[TEXT];

	for (size_t b = 0; b < blocks; b++) {
		unsigned s = term_shade(heat[b].used, BLOCK_FRAMES, heat[b].stays);

		free += !heat[b].used;
		fill(c, x + b % g->columns * g->side, 2 * MARGIN + LINE + b / g->columns * g->side,
		     side, side, s);
	}
	(void)snprintf(line, sizeof(line), "%s %s free", title, text_count(n, free));
	write_text(c, x, MARGIN, line);
}

static void legend(const struct canvas *c, size_t y)
{
	size_t x = write_text(c, MARGIN, y, "free ");

	for (unsigned s = 0; s < TERM_SHADES; s++, x += LINE)
		fill(c, x, y, LINE - 1, LINE, s);
	x = write_text(c, x, y, " full ");
	fill(c, x, y, LINE - 1, LINE, TERM_STAYS);
	write_text(c, x + LINE, y, " stays");
}

static int draw(struct canvas *c, const struct map *m)
{
	struct grid g = grid_of(m->blocks);
	size_t panel_width = g.columns * g.side;

	if (panel_width < (LEAST_WIDTH - 3 * MARGIN) / 2)
		panel_width = (LEAST_WIDTH - 3 * MARGIN) / 2;
	c->width = 3 * MARGIN + 2 * panel_width;
	c->height = 4 * MARGIN + 2 * LINE + g.rows * g.side;
	c->pixels = malloc(c->width * c->height);
	if (!c->pixels)
		return -ENOMEM;
	memset(c->pixels, COLOUR_PAPER, c->width * c->height);
	panel(c, MARGIN, "before", &g, m->before, m->blocks);
	panel(c, 2 * MARGIN + panel_width, "after", &g, m->after, m->blocks);
	legend(c, c->height - MARGIN - LINE);
	return 0;
}

/* --- the file --- */

static void on_error(png_structp png, png_const_charp message)
{
	(void)message; /* the commit says what became of the file; all else is memory */
	longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static int encode(FILE *file, const struct canvas *c)
{
	png_structp png =
		png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, NULL);
		return -ENOMEM;
	}
	png_init_io(png, file);
	png_set_IHDR(png, info, (png_uint_32)c->width, (png_uint_32)c->height, 8,
		     PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	png_set_PLTE(png, info, palette, COLOURS);
	png_write_info(png, info);
	for (size_t row = 0; row < c->height; row++)
		png_write_row(png, c->pixels + row * c->width);
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	return 0;
}

int map_check(const char *path, char *err, size_t size)
{
	struct newfile new;
	int error = newfile_open(&new, path, err, size);

	if (!error)
		newfile_abandon(&new);
	return error;
}

int map_write(const char *path, const struct map *map, char *err, size_t size)
{
	struct canvas c = { 0 };
	struct newfile new;
	int error = newfile_open(&new, path, err, size);

	if (error)
		return error;
	error = draw(&c, map);
	if (!error)
		error = encode(new.file, &c);
	free(c.pixels);
	/* where a write failed, the commit names the reason */
	if (!error || ferror(new.file))
		return newfile_commit(&new, err, size);
	newfile_abandon(&new);
	(void)snprintf(err, size, "not enough memory for the map");
	return error;
}

#endif

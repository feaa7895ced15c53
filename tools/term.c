/* SPDX-License-Identifier: MIT */
#include "term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

#define MARGIN 9     /* of the labels in front of a map, as in the report */
#define MAP_ROWS 12u /* lines a map has at most */
#define BAR_NS 50000000u
#define BLOCK_FRAMES 512u

static const char *const shade_utf8[] = { "·", "░", "░", "▒", "▒", "▓", "█", "X" };
static const char *const shade_ascii[] = { ".", ":", "-", "=", "+", "*", "#", "X" };
static const unsigned char shade_256[] = { 235, 24, 31, 37, 71, 149, 221, 197 };
static const unsigned char shade_8[] = { 0, 4, 4, 6, 6, 2, 3, 1 };

static bool set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

void term_init(struct term *t)
{
	const char *type = getenv("TERM");
	bool smart = type && *type && strcmp(type, "dumb") != 0;
	struct winsize size;
	int fd;

	memset(t, 0, sizeof(*t));
	setlocale(LC_CTYPE, "");
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	t->map = isatty(STDOUT_FILENO);
	t->bar = smart && isatty(STDERR_FILENO);
	if (t->map && smart && !set("NO_COLOR"))
		t->colours = strstr(type, "256") || set("COLORTERM") ? 256 : 8;
	t->width = 80;
	fd = t->map ? STDOUT_FILENO : STDERR_FILENO;
	if ((t->map || t->bar) && !ioctl(fd, TIOCGWINSZ, &size) && size.ws_col >= 40)
		t->width = size.ws_col < 160 ? size.ws_col : 160;
}

void term_progress(struct term *t, const char *label, uint64_t done, uint64_t all)
{
	int width = t->width - 34 - (int)sizeof(t->note), full;
	uint64_t now;

	if (!t->bar)
		return;
	now = clock_ns();
	if (t->label == label && now - t->last_ns < BAR_NS)
		return;
	t->label = label;
	t->last_ns = now;
	if (width > 40)
		width = 40;
	if (width < 5)
		width = 5;
	if (done > all)
		done = all;
	full = all ? (int)((double)done / (double)all * width) : 0;
	fprintf(stderr, "\r%-20s ", label);
	for (int i = 0; i < width; i++)
		fputs(i < full ? (t->utf8 ? "█" : "#") : (t->utf8 ? "░" : "."), stderr);
	fprintf(stderr, " %3d %%%s%s\033[K", all ? (int)((double)done / (double)all * 100) : 0,
		*t->note ? "  " : "", t->note);
	fflush(stderr);
}

void term_clear(struct term *t)
{
	if (t->bar && t->label) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	t->label = NULL;
}

/*
 * The grid: cells of `per` blocks each, row by row; in colour with UTF-8 a character shows two
 * rows, the upper one by its foreground.
 */
struct grid {
	size_t columns, per, cells;
	bool halves;
};

static struct grid grid_of(const struct term *t, size_t blocks)
{
	struct grid g = { .halves = t->colours && t->utf8, .per = 1 };
	size_t most;

	g.columns = (size_t)(t->width - MARGIN);
	most = g.columns * MAP_ROWS * (g.halves ? 2 : 1);
	if (blocks > most)
		g.per = (blocks + most - 1) / most;
	g.cells = (blocks + g.per - 1) / g.per;
	return g;
}

unsigned term_shade(size_t used, size_t frames, bool stays)
{
	if (stays)
		return TERM_STAYS;
	if (!used)
		return 0;
	if (used >= frames)
		return TERM_SHADES - 1;
	return 1 + (unsigned)(used * (TERM_SHADES - 2) / frames);
}

static unsigned shade(const struct grid *g, const struct heat *heat, size_t blocks, size_t cell)
{
	size_t from = cell * g->per, to = from + g->per < blocks ? from + g->per : blocks;
	size_t used = 0, frames = (to - from) * BLOCK_FRAMES;
	bool stays = false;

	for (size_t b = from; b < to; b++) {
		used += heat[b].used;
		stays |= heat[b].stays;
	}
	return term_shade(used, frames, stays);
}

static void colour(const struct term *t, bool foreground, unsigned s)
{
	if (t->colours == 256)
		printf("\033[%d;5;%dm", foreground ? 38 : 48, shade_256[s]);
	else
		printf("\033[%dm", (foreground ? 30 : 40) + shade_8[s]);
}

static void cell(const struct term *t, unsigned s)
{
	if (t->colours) {
		colour(t, false, s);
		putchar(' ');
	} else {
		fputs(t->utf8 ? shade_utf8[s] : shade_ascii[s], stdout);
	}
}

void term_heat(const struct term *t, const char *label, const struct heat *heat, size_t blocks)
{
	struct grid g;
	size_t rows;

	if (!t->map)
		return;
	g = grid_of(t, blocks);
	rows = (g.cells + g.columns - 1) / g.columns;
	for (size_t row = 0; row < rows; row += g.halves ? 2 : 1) {
		printf("%-*s", MARGIN, row ? "" : label);
		for (size_t c = 0; c < g.columns; c++) {
			size_t upper = row * g.columns + c, lower = upper + g.columns;

			if (upper >= g.cells)
				break;
			if (!g.halves) {
				cell(t, shade(&g, heat, blocks, upper));
				continue;
			}
			colour(t, true, shade(&g, heat, blocks, upper));
			if (lower < g.cells)
				colour(t, false, shade(&g, heat, blocks, lower));
			else
				fputs("\033[49m", stdout);
			fputs("▀", stdout);
		}
		puts(t->colours ? "\033[0m" : "");
	}
}

void term_gap(const struct term *t)
{
	if (t->map)
		putchar('\n');
}

void term_legend(const struct term *t, size_t entries, size_t blocks_each, const char *does)
{
	struct grid g;

	if (!t->map)
		return;
	g = grid_of(t, entries);
	printf("%-*sfree ", MARGIN, "");
	for (unsigned s = 0; s < TERM_SHADES; s++)
		cell(t, s);
	printf("%s full, ", t->colours ? "\033[0m" : "");
	cell(t, TERM_STAYS);
	printf("%s holds a page that %s; a cell is ", t->colours ? "\033[0m" : "", does);
	printf("%zu MiB\n", 2 * g.per * blocks_each);
}

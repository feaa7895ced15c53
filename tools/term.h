/* SPDX-License-Identifier: MIT */
/*
 * term.h: what is only for eyes: a progress bar on stderr, heat maps of blocks on stdout. Where the
 * stream is no terminal nothing of it is printed.
 */
#ifndef TOOLS_TERM_H
#define TOOLS_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct term {
	bool bar; /* stderr can show a progress bar */
	bool map; /* stdout is a terminal */
	bool utf8;
	int colours; /* 0, 8 or 256 */
	int width;
	const char *label; /* of the bar that stands there; NULL: none does */
	uint64_t last_ns;  /* when it was drawn */
	char note[16];	   /* what else the next bar says at its end; "": nothing */
};

void term_init(struct term *term);

/* Draws the bar, at most 20 times a second for one label. */
void term_progress(struct term *term, const char *label, uint64_t done, uint64_t all);

/* Takes the bar away. */
void term_clear(struct term *term);

/* One block, or the mean of some: frames in use, and whether something in it stays. */
struct heat {
	uint16_t used;
	bool stays;
};

/* Shades of a map: 0 is free, the last of them full; then what holds something that stays. */
enum { TERM_SHADES = 7, TERM_STAYS = TERM_SHADES };

unsigned term_shade(size_t used, size_t frames, bool stays);

/* Prints a map, `label` beside its first line. */
void term_heat(const struct term *term, const char *label, const struct heat *heat, size_t blocks);

/* Prints an empty line between maps. */
void term_gap(const struct term *term);

/* Prints what the cells mean, where each entry of the map stands for so many blocks; what a
 * page does that is marked. */
void term_legend(const struct term *term, size_t entries, size_t blocks_each, const char *does);

#endif

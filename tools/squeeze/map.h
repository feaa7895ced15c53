/* SPDX-License-Identifier: MIT */
/*
 * map.h: a picture of all blocks before and after, side by side, as a PNG file.
 *
 * A square is a block, row by row; its colour says how full it is, as on a terminal, or that
 * something in it stays. Up to 10,000 blocks a square has 8 pixels a side, then 4, 2 and 1.
 */
#ifndef SQUEEZE_MAP_H
#define SQUEEZE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "term.h"

struct map {
	const struct heat *before, *after;
	size_t blocks;
};

/*
 * Whether the picture can be put there, before long work: 0, or -errno with one line in err;
 * -ENOTSUP without libpng.
 */
int map_check(const char *path, char *err, size_t size);

/* 0, or -errno with one line in err; then what was there before still is. */
int map_write(const char *path, const struct map *map, char *err, size_t size);

#endif

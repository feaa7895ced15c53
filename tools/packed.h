/* SPDX-License-Identifier: MIT */
/*
 * packed.h: a text file written piece by piece, compressed with zstd if its name ends in .zst;
 * there whole or not at all (newfile.h).
 */
#ifndef QUIRE_TOOLS_PACKED_H
#define QUIRE_TOOLS_PACKED_H

#include <stddef.h>

#define PACKED_LINE 128u /* no piece is longer */

struct packed;

/* 0, or -errno with one line in err. */
int packed_open(struct packed **packed, const char *path, char *err, size_t size);

/* Adds a piece. 0 or -ENOMEM; what is wrong with the file shows at the commit. */
int packed_print(struct packed *packed, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* All of it is written: it takes its place, and *packed is gone. 0, or -errno with one line in err.
 */
int packed_commit(struct packed *packed, char *err, size_t size);

/* It is not wanted. abandon(NULL) does nothing. */
void packed_abandon(struct packed *packed);

#endif

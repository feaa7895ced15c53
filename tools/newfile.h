/* SPDX-License-Identifier: MIT */
/*
 * newfile.h: a file that is there whole or not at all: written without a name in the folder of its
 * place, then put there. Whatever was there stays until then, and of a program that is killed
 * before nothing is left. Where a file system knows no files without a name: under another one,
 * beside it.
 */
#ifndef TOOLS_NEWFILE_H
#define TOOLS_NEWFILE_H

#include <limits.h>
#include <stddef.h>
#include <stdio.h>

struct newfile {
	FILE *file; /* to write to */
	char path[PATH_MAX];
	char temporary[PATH_MAX + 8]; /* "": it has no name yet */
};

/*
 * 0, or -errno with one line in err that begins with the path: what is there already must be a
 * regular file, or a link to one, which stays a link.
 */
int newfile_open(struct newfile *new, const char *path, char *err, size_t size);

/* All of it is written: it takes its place. 0, or -errno with one line in err; then it is gone. */
int newfile_commit(struct newfile *new, char *err, size_t size);

/* It is not wanted. */
void newfile_abandon(struct newfile *new);

#endif

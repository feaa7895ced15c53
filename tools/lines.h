/* SPDX-License-Identifier: MIT */
/*
 * lines.h: text from a file, plain or compressed with zstd, a line of fields at a time.
 *
 * A line ends with LF or CR LF, the last one may lack its end; blanks between fields are spaces or
 * tabs. Memory is bounded whatever the file decompresses to: two buffers, zstd's window (at most
 * 2^27), and no line is longer than LINES_BYTES.
 */
#ifndef QUIRE_TOOLS_LINES_H
#define QUIRE_TOOLS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#define LINES_BYTES 128 /* without its end */

struct lines {
	const char *path;
	char *err; /* for what is wrong; may be NULL */
	size_t err_size;
	uint64_t line; /* being read, from 1; 0: before the first */

	int fd;
	ZSTD_DStream *zstd; /* NULL: plain text */
	bool inside_frame;  /* zstd expects more */
	bool eof;	    /* of the file */
	ZSTD_inBuffer in;   /* compressed bytes, within raw */
	unsigned char *raw;
	unsigned char *text; /* text[at..end) is yet to be read */
	size_t at, end;
};

/*
 * 0, or -errno with one line without a newline in err, which names the file, and the line where
 * there is one: -EBADMSG the zstd data is damaged or cut off, -ENOMEM, or what open and read
 * answer. To be closed in any case.
 */
int lines_open(struct lines *r, const char *path, char *err, size_t err_size);
void lines_close(struct lines *r);

/*
 * 1 and the line without its end, 0 after the last one, or -errno, -EINVAL if it is too long. Valid
 * until the next call.
 */
int lines_next(struct lines *r, const unsigned char **line, size_t *length);

struct lines_field {
	const unsigned char *at;
	size_t length;
};

/* Exactly so many fields, or -EINVAL; shape says what they are, for the message. */
int lines_fields(struct lines *r, const unsigned char *line, size_t length,
		 struct lines_field *fields, size_t want, const char *shape);

/* A number in the given base, at most max, which is below 2^60; or -EINVAL. */
int lines_number(struct lines *r, const struct lines_field *f, const char *name, unsigned base,
		 uint64_t max, uint64_t *number);

/* Says what is wrong with the file, or its line; returns error. */
int lines_fail(struct lines *r, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with -ENOMEM. */
int lines_no_memory(struct lines *r);

/* A file's name without folders, and without suffix, .txt or .zst, printable; NULL: no memory. */
char *lines_name(const char *path, const char *suffix);

#endif

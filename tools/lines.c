// SPDX-License-Identifier: MIT
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "printable.h"

#define WINDOW_LOG_MAX 27
#define BUFFER_BYTES (128 << 10)
#define PATH_SHOWN 160

int lines_fail(struct lines *r, int error, const char *format, ...)
{
	size_t length = strlen(r->path);
	bool cut = length > PATH_SHOWN;
	char what[192], where[24] = "";
	va_list args;

	if (!r->err || !r->err_size)
		return error;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (r->line)
		snprintf(where, sizeof(where), ":%llu", (unsigned long long)r->line);
	snprintf(r->err, r->err_size, "%s%s%s: %s", cut ? "..." : "",
		 r->path + (cut ? length - PATH_SHOWN : 0), where, what);
	make_printable(r->err);
	return error;
}

int lines_no_memory(struct lines *r)
{
	return lines_fail(r, -ENOMEM, "out of memory");
}

/* Reads from the file until size bytes are there or it ends; a count or -errno. */
static ssize_t read_full(struct lines *r, unsigned char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = read(r->fd, to + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return lines_fail(r, -errno, "%s", strerror(errno));
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* Appends to text, where there is room; the count, 0 at the end, or -errno. */
static ssize_t refill(struct lines *r)
{
	ZSTD_outBuffer out = { .dst = r->text, .size = BUFFER_BYTES, .pos = r->end };
	ssize_t got;

	if (!r->zstd) {
		got = read_full(r, r->text + r->end, BUFFER_BYTES - r->end);
		r->end += got > 0 ? (size_t)got : 0;
		return got;
	}
	while (out.pos == r->end) {
		size_t left;

		if (r->in.pos == r->in.size && !r->eof) {
			got = read_full(r, r->raw, BUFFER_BYTES);
			if (got < 0)
				return got;
			r->in = (ZSTD_inBuffer){ .src = r->raw, .size = (size_t)got };
			r->eof = got < BUFFER_BYTES;
		}
		if (r->in.pos == r->in.size && !r->inside_frame)
			return 0;
		/* With no input left, this flushes what the decoder holds back. */
		left = ZSTD_decompressStream(r->zstd, &out, &r->in);
		if (ZSTD_isError(left))
			return lines_fail(r, -EBADMSG, "zstd data is damaged: %s",
					  ZSTD_getErrorName(left));
		r->inside_frame = left != 0;
		if (out.pos == r->end && left && r->eof && r->in.pos == r->in.size)
			return lines_fail(r, -EBADMSG, "zstd data is cut off");
	}
	got = (ssize_t)(out.pos - r->end);
	r->end = out.pos;
	return got;
}

int lines_next(struct lines *r, const unsigned char **line, size_t *length)
{
	r->line++;
	for (;;) {
		const unsigned char *from = r->text + r->at, *newline;
		size_t have = r->end - r->at;
		ssize_t got = 1;

		newline = memchr(from, '\n', have);
		if (!newline && have <= LINES_BYTES) {
			memmove(r->text, from, have);
			from = r->text;
			r->at = 0;
			r->end = have;
			got = refill(r);
			if (got < 0)
				return (int)got;
			if (!got && !have)
				return 0;
			if (got)
				continue;
		}
		*line = from;
		*length = newline ? (size_t)(newline - from) : have;
		r->at += *length + (newline != NULL);
		if (*length > LINES_BYTES)
			return lines_fail(r, -EINVAL, "line longer than %d bytes", LINES_BYTES);
		if (*length && from[*length - 1] == '\r')
			--*length;
		return 1;
	}
}

int lines_fields(struct lines *r, const unsigned char *line, size_t length,
		 struct lines_field *fields, size_t want, const char *shape)
{
	size_t n = 0;

	if (memchr(line, 0, length))
		return lines_fail(r, -EINVAL, "a NUL byte");
	for (size_t i = 0; i < length && n <= want;) {
		size_t from = i;

		if (line[i] == ' ' || line[i] == '\t') {
			i++;
			continue;
		}
		while (i < length && line[i] != ' ' && line[i] != '\t')
			i++;
		if (n < want) {
			fields[n].at = line + from;
			fields[n].length = i - from;
		}
		n++;
	}
	if (n > want)
		return lines_fail(r, -EINVAL, "more than %zu fields; a line is %s", want, shape);
	if (n == want)
		return 0;
	if (n)
		return lines_fail(r, -EINVAL, "fewer than %zu fields; a line is %s", want, shape);
	return lines_fail(r, -EINVAL, "empty line; a line is %s", shape);
}

static int digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

int lines_number(struct lines *r, const struct lines_field *f, const char *name, unsigned base,
		 uint64_t max, uint64_t *number)
{
	*number = 0;
	if (f->at[0] == '-')
		return lines_fail(r, -EINVAL, "%s is negative", name);
	for (size_t i = 0; i < f->length; i++) {
		unsigned d = (unsigned)digit(f->at[i]);

		if (d >= base)
			return lines_fail(r, -EINVAL, "%s is not a %s number%s", name,
					  base == 16 ? "hexadecimal" : "decimal",
					  base == 16 && i == 1 && (f->at[1] | 0x20) == 'x'
						  ? "; write it without 0x"
						  : "");
		*number = *number * base + d;
		if (*number > max)
			return lines_fail(r, -EINVAL,
					  base == 16 ? "%s is above %llx" : "%s is above %llu",
					  name, (unsigned long long)max);
	}
	return 0;
}

/* zstd frames start with 28 b5 2f fd; some writers put a skippable frame (5x 2a 4d 18) before. */
static bool is_zstd(const unsigned char *b, size_t n)
{
	return n >= 4 && ((b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd) ||
			  ((b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18));
}

int lines_open(struct lines *r, const char *path, char *err, size_t err_size)
{
	ssize_t got;

	*r = (struct lines){ .path = path, .err = err, .err_size = err_size, .fd = -1 };
	if (err && err_size)
		err[0] = 0;
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->fd < 0)
		return lines_fail(r, -errno, "%s", strerror(errno));
	r->raw = malloc(BUFFER_BYTES);
	r->text = malloc(BUFFER_BYTES);
	if (!r->raw || !r->text)
		return lines_no_memory(r);
	got = read_full(r, r->raw, BUFFER_BYTES);
	if (got < 0)
		return (int)got;
	if (!is_zstd(r->raw, (size_t)got)) {
		memcpy(r->text, r->raw, (size_t)got);
		r->end = (size_t)got;
		return 0;
	}
	r->in = (ZSTD_inBuffer){ .src = r->raw, .size = (size_t)got };
	r->eof = got < BUFFER_BYTES;
	r->zstd = ZSTD_createDStream();
	if (!r->zstd ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return lines_no_memory(r);
	return 0;
}

void lines_close(struct lines *r)
{
	ZSTD_freeDStream(r->zstd);
	free(r->text);
	free(r->raw);
	if (r->fd >= 0)
		close(r->fd);
	*r = (struct lines){ .fd = -1 };
}

char *lines_name(const char *path, const char *suffix)
{
	const char *const suffixes[] = { suffix, ".txt", ".zst" };
	const char *base = strrchr(path, '/');
	char *name = strdup(base ? base + 1 : path);

	for (size_t i = 0; name && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t length = strlen(name), end = strlen(suffixes[i]);

		if (length > end && !strcmp(name + length - end, suffixes[i])) {
			name[length - end] = 0;
			break;
		}
	}
	if (name)
		make_printable(name);
	return name;
}

// SPDX-License-Identifier: MIT
#include "packed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "newfile.h"

#define ZSTD_LEVEL 9
#define BUFFER_BYTES (128u << 10)

struct packed {
	struct newfile new;
	ZSTD_CCtx *zstd; /* NULL: plain text */
	size_t have;	 /* bytes in text */
	char text[BUFFER_BYTES];
	char out[BUFFER_BYTES];
};

static bool wants_zstd(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcmp(name + n - 4, ".zst");
}

int packed_open(struct packed **packed, const char *path, char *err, size_t size)
{
	struct packed *p = calloc(1, sizeof(*p));
	int error;

	*packed = NULL;
	if (p && wants_zstd(path)) {
		p->zstd = ZSTD_createCCtx();
		if (!p->zstd ||
		    ZSTD_isError(
			    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1))) {
			ZSTD_freeCCtx(p->zstd);
			free(p);
			p = NULL;
		}
	}
	if (!p) {
		(void)snprintf(err, size, "not enough memory");
		return -ENOMEM;
	}
	error = newfile_open(&p->new, path, err, size);
	if (error) {
		ZSTD_freeCCtx(p->zstd);
		free(p);
		return error;
	}
	*packed = p;
	return 0;
}

/* Hands what is in the buffer on; `last`: and ends it. */
static int flush(struct packed *p, bool last)
{
	ZSTD_inBuffer in = { p->text, p->have, 0 };
	size_t left;

	p->have = 0;
	if (!p->zstd) {
		(void)fwrite(p->text, 1, in.size, p->new.file);
		return 0;
	}
	do {
		ZSTD_outBuffer out = { p->out, sizeof(p->out), 0 };

		left = ZSTD_compressStream2(p->zstd, &out, &in,
					    last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return -ENOMEM;
		(void)fwrite(p->out, 1, out.pos, p->new.file);
	} while (last ? left != 0 : in.pos < in.size);
	return 0;
}

int packed_print(struct packed *p, const char *format, ...)
{
	va_list args;
	int n, error = 0;

	if (p->have + PACKED_LINE > sizeof(p->text))
		error = flush(p, false);
	if (error)
		return error;
	va_start(args, format);
	n = vsnprintf(p->text + p->have, PACKED_LINE, format, args);
	va_end(args);
	p->have += (size_t)n < PACKED_LINE ? (size_t)n : PACKED_LINE - 1;
	return 0;
}

int packed_commit(struct packed *p, char *err, size_t size)
{
	int error = flush(p, true);

	if (error) {
		(void)snprintf(err, size, "not enough memory");
		packed_abandon(p);
		return error;
	}
	error = newfile_commit(&p->new, err, size);
	ZSTD_freeCCtx(p->zstd);
	free(p);
	return error;
}

void packed_abandon(struct packed *p)
{
	if (!p)
		return;
	newfile_abandon(&p->new);
	ZSTD_freeCCtx(p->zstd);
	free(p);
}

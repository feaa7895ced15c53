/* SPDX-License-Identifier: MIT */
/*
 * fuzz_options.c: libFuzzer's way into the options of `quire squeeze`: the words of a command line,
 * each ended by a newline. What is taken is within its limits; what is not is said in one line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS 64
#define BYTES 4096

/* What was printed to fd 2 since, without its end; NULL: that is not one line. */
static char *said(FILE *to)
{
	static char line[BYTES];
	size_t n;

	fflush(stderr);
	rewind(to);
	n = fread(line, 1, sizeof(line) - 1, to);
	line[n] = '\0';
	if (!n || line[n - 1] != '\n' || strchr(line, '\n') != line + n - 1)
		return NULL;
	return line;
}

static void within(const struct squeeze_options *o)
{
	if (!(o->pins >= 0) || !(o->refuse >= 0) || !(o->pins + o->refuse <= 100) || !o->load ||
	    o->load > SQUEEZE_MAX_LOAD || o->seed > INT64_MAX || !o->owners ||
	    (o->owners & ~(unsigned)OWNERS_ALL) || (o->layout && !*o->layout) ||
	    (o->map && !*o->map))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *to;
	static char text[BYTES];
	char *word[WORDS + 2] = { (char *)"squeeze" };
	struct squeeze_options o;
	int argc = 1, err;
	bool good;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *at = text; *at && argc <= WORDS; argc++) {
		word[argc] = at;
		at += strcspn(at, "\n");
		if (*at)
			*at++ = '\0';
		/* That one is answered by a page of help, and the end. */
		if (!strncmp(word[argc], "--h", 3) ||
		    (word[argc][0] == '-' && word[argc][1] != '-' && strchr(word[argc], 'h')))
			return 0;
	}
	if (!to)
		to = tmpfile();
	if (!to || ftruncate(fileno(to), 0))
		abort();
	rewind(to);
	err = dup(2);
	if (err < 0 || dup2(fileno(to), 2) < 0)
		abort();
	good = squeeze_options_parse(&o, argc, word);
	fflush(stderr);
	if (dup2(err, 2) < 0 || close(err))
		abort();
	if (good)
		within(&o);
	else if (!said(to))
		abort();
	return 0;
}

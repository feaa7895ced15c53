/* SPDX-License-Identifier: MIT */
#ifndef SQUEEZE_OPTIONS_H
#define SQUEEZE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "goal.h"
#include "inject.h"

#define SQUEEZE_SEED 618u
#define SQUEEZE_PINS 2.0
#define SQUEEZE_REFUSE 0.05
#define SQUEEZE_MAX_LOAD 1024u

/* Owners that can be asked, as bits. */
enum {
	OWNERS_GEM = 1,
	OWNERS_RING = 2,
	OWNERS_KV = 4,
	OWNERS_ALL = 7,
};

struct squeeze_options {
	const char *layout; /* NULL: the one that comes with quire */
	double pins;	    /* per cent */
	double refuse;
	unsigned load; /* threads */
	uint64_t seed; /* below 2^63, so that JSON has room for it */
	bool json;
	const char *map;  /* file for a picture of the blocks; NULL: none */
	unsigned owners;  /* which take part */
	bool kernel;	  /* Linux itself is asked too */
	struct goal goal; /* what is to be free */
	bool shrink;	  /* what is free then goes back to the system */
	bool huge;	  /* 2 MiB pages behind the arena */
	struct inject inject;
};

/* true, or one line about what is wrong on stderr. --help is answered here, and exits. */
bool squeeze_options_parse(struct squeeze_options *options, int argc, char **argv);

#endif

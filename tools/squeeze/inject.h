/* SPDX-License-Identifier: MIT */
/*
 * inject.h: faults on purpose. A squeeze is told which steps are to fail, and then shows that
 * nothing is lost by it: what could not be moved stays as it was, and is named.
 *
 * Faults of owners are made by watch.c, which stands between the library and every owner. Faults
 * of the library's own steps need its fault points, which only the program quire-points has;
 * inject_possible() says so.
 */
#ifndef SQUEEZE_INJECT_H
#define SQUEEZE_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * X(field, word, what the value is, text). A word with two parts is a family's: its value follows
 * the second colon.
 *	N    1 to 2^32 - 1     PCT  above 0, at most 100
 */
#define INJECT_FAULTS(X)                                                                           \
	X(copy, "copy", N, "every Nth copy of a folio fails")                                      \
	X(alloc, "alloc", N, "every Nth place for a folio is refused")                             \
	X(membarrier, "membarrier", N, "every Nth barrier fails")                                  \
	X(isolate, "isolate", PCT, "of so many per cent of the folios the owner says: not now")    \
	X(veto, "isolate:veto", PCT, "of so many per cent of the folios the owner says: never")    \
	X(eagain, "migrate:eagain", N, "each owner needs N tries more for a batch")                \
	X(busy, "migrate:busy", N, "every Nth batch is refused by its owner for good")             \
	X(late, "migrate:late", N, "every Nth batch moves, and its owner then reports an error")

enum inject_fault {
#define INJECT_ENUM_(field, word, value, text) INJECT_##field,
	INJECT_FAULTS(INJECT_ENUM_)
#undef INJECT_ENUM_
		INJECT_COUNT
};

/* What was asked for. */
struct inject {
	bool any;
	bool membarrier_off;	  /* as on a kernel without it: pins have a full fence instead */
	uint64_t n[INJECT_COUNT]; /* 0: not asked for */
	double pct[INJECT_COUNT]; /* 0: not asked for */
	char text[160];		  /* as it was given */
};

/*
 * Reads a list as of --inject: words separated by commas, each at most once. false, and one line
 * without a newline in error, which leaves *inject undefined.
 */
bool inject_parse(const char *text, struct inject *inject, char *error, size_t size);

/* The word of a fault, as "migrate:eagain". */
const char *inject_word(enum inject_fault fault);

/*
 * Whether this program can make all faults that were asked for; *word then is the first that it
 * cannot make.
 */
bool inject_possible(const struct inject *inject, const char **word);

/* Before the process's first quire: membarrier:off. */
void inject_prepare(const struct inject *inject);

/* Arms and disarms the faults of the library's own steps. */
void inject_arm(const struct inject *inject);
/* Adds how often each of them came due to fired[]. */
void inject_disarm(uint64_t fired[INJECT_COUNT]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * legacy.h: an owner that nobody can ask. It stands for code from before there was a contract: it
 * pins what it uses for as long as it likes, and has no ops. Its folios stay, and are named.
 */
#ifndef SQUEEZE_LEGACY_H
#define SQUEEZE_LEGACY_H

#include <quire.h>

struct legacy;

/* Room for n units. 0 or -errno. */
int legacy_create(struct quire *quire, const char *name, size_t n, struct legacy **legacy);

/* Makes the next unit's folio and pins it for good. Units are numbered from 0. */
int legacy_add(struct legacy *legacy, struct quire_frame at, unsigned order,
	       struct quire_folio **folio);

/* Where it works: the address never changes. */
void *legacy_address(const struct legacy *legacy, size_t unit);

/* Drops all pins. The owner goes with its quire. destroy(NULL) does nothing. */
void legacy_destroy(struct legacy *legacy);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * watch.h: stands between the library and every owner. It counts what owners are asked, tells the
 * load which thing is on the move, and refuses in their name where that is asked for (inject.h).
 *
 * The program is linked so that whoever calls quire_owner_create() calls it through here
 * (-Wl,--wrap): owners are watched as they are, and know nothing of it. Owners made while there is
 * a watch are watched; there is one at a time. Ops run in the thread of the one mover.
 *
 * Where an owner has no migrate op, its folios' private pointers say which thing each is: its
 *number and one.
 *
 * Invariants:
 *	thing_at(frame of a live folio) is its thing, except within a migrate op, and where its
 *	owner has none
 *	isolated = moved + putbacks    of each owner, once nothing moves: nothing is freed meanwhile
 */
#ifndef SQUEEZE_WATCH_H
#define SQUEEZE_WATCH_H

#include <quire.h>

#include "inject.h"

#define WATCH_NOTHING UINT32_MAX /* no thing's number */

struct watch;

struct watch_options {
	uint32_t frames;	     /* of the arena */
	size_t things;		     /* numbered from 0 */
	const struct inject *inject; /* NULL: nothing is refused */
	uint64_t seed;		     /* chooses whom isolate:PCT refuses */
	/*
	 * In the isolate op, in the mover's thread, after the owner said yes: from now on the thing
	 * is on the move. Must not wait for the mover.
	 */
	void (*isolated)(void *arg, uint32_t thing, struct quire_folio *folio);
	void *arg;
};

/* Of one owner. Folios, each time it happened, unless another word stands there. */
struct watch_counts {
	const char *name;
	uint64_t asked;	   /* isolate was called */
	uint64_t isolated; /* and said yes */
	uint64_t batches;  /* calls of migrate */
	uint64_t tries;	   /* folios that were in one */
	uint64_t moved;
	uint64_t putbacks;
};

/* From now on new owners are watched. 0 or -ENOMEM. */
int watch_begin(const struct watch_options *options, struct watch **watch);

/* A thing lives at this frame; said of each before anything moves. NOTHING: none does any more. */
void watch_place(struct watch *watch, uint32_t frame, uint32_t thing);
/* The thing whose folio begins at this frame; WATCH_NOTHING: none. */
uint32_t watch_thing_at(const struct watch *watch, uint32_t frame);

/* Refusals begin, and end. */
void watch_refuse(struct watch *watch, bool refuse);
/* Why this thing was refused for good: VETO, OWNER_BUSY, or NONE. */
enum quire_reason watch_refused(const struct watch *watch, uint32_t thing);
/* Adds how often each fault was made here to fired[]. */
void watch_fired(const struct watch *watch, uint64_t fired[INJECT_COUNT]);

/* The nth owner made, from 0. false: there are not so many. */
bool watch_counts(const struct watch *watch, size_t nth, struct watch_counts *counts);

/* After the quire is gone. end(NULL) does nothing. */
void watch_end(struct watch *watch);

#endif

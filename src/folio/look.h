/* SPDX-License-Identifier: MIT */
/*
 * look.h: who holds what, at a glance, while everything runs: for a thread that is nobody's, has no
 * record of its own and calls no op.
 *
 * A look takes no reference (to drop one could be to free a folio) and follows no pointer that
 * could have gone meanwhile:
 *
 *	owners       names are copied under owners_lock; afterwards only addresses are compared
 *	named pins   read under their folio's pin lock, on whose list a pin keeps its owner
 *	extents      read under their table's lock; each keeps its owner
 *	short pins   slots and descriptors are type-stable; what is read from them is a hint
 *
 * So each row is true of a moment, and all of them of a short while. The rows are of fixed number;
 * what finds no room is counted.
 */
#ifndef QUIRE_SRC_FOLIO_LOOK_H
#define QUIRE_SRC_FOLIO_LOOK_H

#include "folio/folios.h"

#define LOOK_OWNERS 256u
#define LOOK_HOLDS 1024u
#define LOOK_CELLS 4096u

struct look_owner {
	const struct quire_owner *id; /* never followed */
	char name[64];
	uint64_t folios; /* of its own */
	uint64_t frames; /* that they take */
	uint64_t pinned; /* folios of them with named pins */
};

/* Pins or extents that look alike, readers, or ops that run: then the site is the op's name. */
struct look_hold {
	const struct quire_owner *id; /* whose pins; never followed */
	char owner[64];
	const char *site; /* as pins have it: for as long as the program */
	enum quire_reason why;
	int thread;
	bool stays;	 /* no migrate op can be expected to drop it */
	uint64_t pins;	 /* how many */
	uint64_t frames; /* of what they are on, once for each pin */
	uint64_t age_ns; /* of the oldest */
};

/* A cell of the heat map: sums over look.per blocks. */
struct look_cell {
	uint32_t used, folios, pinned, claimed;
};

struct look {
	uint32_t owners, holds, cells;
	uint32_t owners_left;		      /* owners without a row */
	uint32_t holds_left;		      /* pins without a row */
	uint32_t blocks;		      /* of the arena */
	uint32_t looked;		      /* of these: fewer if the time was over */
	uint32_t per;			      /* blocks a cell */
	uint64_t other_frames;		      /* frames of folios whose owner has no row */
	struct look_owner owner[LOOK_OWNERS]; /* by id */
	struct look_hold hold[LOOK_HOLDS];
	struct look_cell cell[LOOK_CELLS];
	uint16_t place[2 * LOOK_HOLDS]; /* hash of holds; 0: free, else index + 1 */
};

/*
 * Fills *look until the deadline (os_clock_ns), or until *stop is not 0. Before: the instance is
 * not of a forked child, and lives until it returns.
 */
void look_around(struct quire *q, uint64_t deadline, const uint32_t *stop, struct look *look);

/*
 * Copies a name that a blocker has, which is a live owner's or nobody's any more: then "". A name
 * from elsewhere that lives on, such as "", is no owner's either.
 */
void owner_name_copy(struct quire *q, const char *name, char to[64]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * goal.h: what is to be free in the end: so many runs, or a range. The same goal is given to the
 * library, as a plan, and to the oracle.
 *
 * Runs are counted besides those that are free at the start: the arena's free blocks are there so
 * that moved pages have a place, and are no part of the recorded layout.
 */
#ifndef SQUEEZE_GOAL_H
#define SQUEEZE_GOAL_H

#include <quire.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../tests/oracle/oracle.h"

#define GOAL_ALL UINT64_MAX

enum goal_kind {
	GOAL_RUNS,  /* aligned runs of blocks_each blocks */
	GOAL_SHARE, /* runs of one block, as many as make a share of the layout */
	GOAL_RANGE, /* blocks first to end - 1 */
};

/* One end of a range: frames, or per cent of the layout's blocks. */
struct goal_edge {
	bool is_share;
	uint64_t frames;
	double pct;
};

struct goal {
	enum goal_kind kind;
	uint32_t blocks_each; /* of a run; of a range 1 */
	uint64_t count;	      /* runs wanted besides those free before; GOAL_ALL */
	double pct;	      /* of GOAL_SHARE */
	struct goal_edge low, high;

	/* Known once there is a layout: */
	uint32_t blocks;      /* of the arena */
	uint32_t first, end;  /* of a range */
	uint64_t free_before; /* runs, or blocks of the range, free at the start */
};

/* All blocks of 2 MiB that can be freed. */
void goal_init(struct goal *goal);

/*
 * SIZE:N, SIZE:all or all: SIZE a power of two from 2M to 1G. false, and one line in error.
 */
bool goal_parse_want(const char *text, struct goal *goal, char *error, size_t size);

/* LO..HI: frames, bytes with K, M, G or T, or per cent; HI is not part of it. The same. */
bool goal_parse_drain(const char *text, struct goal *goal, char *error, size_t size);

/*
 * Fits the goal to an arena of so many blocks, the first `recorded` of which all hold something and
 * the others nothing. false, and one line in error: there is no such range, or no such run.
 */
bool goal_settle(struct goal *goal, uint32_t recorded, uint32_t blocks, char *error, size_t size);

/* For quire_plan_create(). */
struct quire_goal goal_for_plan(const struct goal *goal);

/* Is this frame in the way of the goal, if what is there stays? */
bool goal_has_frame(const struct goal *goal, uint32_t frame);

/*
 * What the oracle says: folios[] names the arena's n folios by their blocks, is changed, and has
 * room for goal_room() more. taken (may be NULL): a byte a block, 1 if it would be emptied. *runs
 * is what the verdict has besides those free before. 0 or -errno.
 */
size_t goal_room(const struct goal *goal);
int goal_judge(const struct goal *goal, struct oracle_folio *folios, size_t n,
	       struct oracle_verdict *verdict, uint64_t *runs, uint8_t *taken);

/* Runs, or blocks of the range, of whose blocks none is occupied, by a byte a block. */
uint64_t goal_count_free(const struct goal *goal, const uint8_t *occupied);

#define GOAL_TEXT 64
/* "2 MiB pages freed". */
const char *goal_noun(const struct goal *goal, char text[GOAL_TEXT]);
/* In words; "" for what is done where nothing is asked for. */
const char *goal_words(const struct goal *goal, char text[GOAL_TEXT]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * oracle.h: what is possible, judged apart from the library.
 *
 * An arena is a row of windows of 2^window_order frames. Folios live in it; some are fixed. To
 * empty a window, each folio in it moves to an aligned free place outside of all windows that are
 * emptied; folios outside stay where they are. Nothing of src/ or include/ is used here: a mistake
 * in the planner must not find its twin in its judge.
 *
 * There are two judges. oracle_judge() applies the planner's promised rule to arenas of any size.
 * oracle_brute() knows no rule: for tiny arenas it tries every set of windows and every placement.
 */
#ifndef QUIRE_TESTS_ORACLE_H
#define QUIRE_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ORACLE_MAX_WINDOW_ORDER = 18,
	ORACLE_MAX_FOLIO_ORDER = 9,
	ORACLE_MAX_BLOCKS = 1 << 22,
	ORACLE_FRAME_BYTES = 4096,
	/* Of an arena that can be judged by brute force. */
	ORACLE_BRUTE_WINDOWS = 8,
	ORACLE_BRUTE_FRAMES = 128,
};

struct oracle_folio {
	uint32_t block;	 /* number of its window */
	uint32_t offset; /* first frame within the window, a multiple of 2^order */
	uint8_t order;	 /* at most window_order, and at most 9 */
	bool fixed;	 /* will never move */
};

struct oracle_arena {
	uint32_t blocks;       /* windows, those without a folio included */
	unsigned window_order; /* 9 for windows of 512 frames */
	size_t n;
	const struct oracle_folio *folios; /* in any order; no two may share a frame */
};

struct oracle_verdict {
	uint64_t runs;	      /* windows that the rule empties, those already free among them */
	uint64_t frames;      /* that this moves */
	uint64_t bytes;	      /* the same in bytes */
	uint64_t lower_bound; /* frames in the `runs` cheapest feasible windows */
	uint64_t feasible;    /* windows without a fixed folio */
	uint64_t skipped;     /* feasible windows met, and left out for want of aligned places */
	uint64_t free_frames;
	/*
	 * min(feasible, floor(free_frames / window)). No method frees more windows, not even one
	 * that rearranges what lives outside of them.
	 */
	uint64_t upper_bound;
};

/*
 * Feasible windows by (frames in use, number); one is taken if with it, for every order j, the
 * folios to move of order o >= j need no more aligned 2^j places, 2^(o-j) each, than are free
 * outside of the windows taken; otherwise the next one is tried. Ends when count are taken;
 * UINT64_MAX: takes what there is. taken: NULL, or one byte a window, set to 1 or 0.
 * 0; -EINVAL folios that overlap, are misaligned or lie outside of the arena; -ENOMEM.
 */
int oracle_judge(const struct oracle_arena *arena, uint64_t count, struct oracle_verdict *verdict,
		 uint8_t *taken);

/*
 * The same for windows [first, end), all of which are to be empty: whatever moves goes elsewhere
 * than into these, a window of them that cannot be emptied included. A window with a fixed folio is
 * left as it is. runs, frames, bytes, feasible and skipped are those of the range; lower_bound is
 * all that lives in it. -EINVAL besides: no such range.
 */
int oracle_judge_range(const struct oracle_arena *arena, uint32_t first, uint32_t end,
		       struct oracle_verdict *verdict, uint8_t *taken);

/* Whether the condition above holds for the set of windows with set[i] != 0: 1, 0 or -errno. */
int oracle_condition(const struct oracle_arena *arena, const uint8_t *set);

struct oracle_brute {
	unsigned runs; /* the most windows that can be empty at once */
	/* The least frames that must move for exactly k windows; UINT64_MAX: k cannot be had. */
	uint64_t frames[ORACLE_BRUTE_WINDOWS + 1];
};

/*
 * Tries it all. rearrange: movable folios outside of the windows may move as well (frames counts
 * those in the windows only). This bounds any method from above: that the end state can be reached
 * move by move is not checked then. -E2BIG: the arena is not tiny; else as oracle_judge().
 */
int oracle_brute(const struct oracle_arena *arena, bool rearrange, struct oracle_brute *brute);

/* Whether a placement exists for this very set of windows, by search: 1, 0 or -errno. */
int oracle_brute_fits(const struct oracle_arena *arena, const uint8_t *set, bool rearrange);

#endif

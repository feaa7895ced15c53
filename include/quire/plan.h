/* SPDX-License-Identifier: MIT */
/*
 * plan.h: plan, then move.
 *
 * A goal yields a plan: which windows to empty, where their folios go, how many bytes that is, the
 * provable least for it, and who stands in the way. The caller may look at it, throw it away, or
 * execute it.
 *
 * What is planned. A window is an aligned run of `frames` frames. It is feasible if nothing in it
 * is known to stay. Windows are taken cheapest first (fewest frames in use, then lowest number);
 * one is left out if with it the folios to move would no longer all find an aligned place outside:
 * for every order j the sum over o >= j of n_o * 2^(o-j) is at most the number of aligned free 2^j
 * places outside the windows. That condition is exact. Places are given out largest folio first,
 * best fit. lower_bound is the sum of what lives in the k cheapest feasible windows, where k is
 * the number of windows planned: no method that empties k windows can move less. The plan meets
 * it unless alignment leaves a cheap window out; the difference is alignment_extra_bytes.
 *
 * One run of any length, at any alignment, is a window that may begin at any frame. It is feasible
 * if no frame of it is known to stay; it costs all the folios that meet it, those that straddle
 * its edges whole. The cheapest one is planned, of equals the lowest, for which the condition above
 * holds with the places that lie outside of it; lower_bound is the cost of the cheapest feasible
 * one. Blocks that it meets in part are closed to allocation as a whole while it runs, as far as
 * frames are left elsewhere, but only what meets the run moves.
 *
 * A range is a goal whose windows the caller names: its blocks of 512 frames, each a window, all of
 * them to be emptied. Folios never stand across the edge of a block, so only whole blocks make a
 * range. Nothing moves from one part of the range to another: places are outside, also of
 * the blocks of it that are free. A block in which something is known to stay is left as it is, the
 * others are emptied all the same. lower_bound is everything that lives in the range, what stays
 * included: no method that empties it can move less; bytes is less than that by what stays, and
 * alignment_extra_bytes is 0. A node is the range of all its frames.
 *
 * With several nodes a window is in one of them, and so is not where it would reach across; places
 * are in the folio's own node as long as there are any, then in the others; and among them in
 * blocks with memory before those that were given back, where each page would have to be made
 * first. With QUIRE_GOAL_STAY the condition above holds of each node by itself. Nodes that are
 * offline have no places, and no windows of RUNS and RUN.
 *
 * A goal with an owner has what it obtains handed out: each run, or the range if all of it is free,
 * becomes an extent (extent.h), in one step with its becoming free.
 */
#ifndef QUIRE_PLAN_H
#define QUIRE_PLAN_H

#include <quire/extent.h>

#ifdef __cplusplus
extern "C" {
#endif

enum quire_goal_kind {
	QUIRE_GOAL_RUNS = 1,  /* count aligned runs of frames frames, free all at once */
	QUIRE_GOAL_RANGE = 2, /* the frames from first on, free all at once */
	QUIRE_GOAL_RUN = 3,   /* one run of frames frames, at any place of that alignment */
	QUIRE_GOAL_NODE = 4,  /* a range, of all frames of a node */
};

#define QUIRE_GOAL_STAY                                                                            \
	1u /* flag: nothing leaves its node; not for NODE, which is the contrary                   \
	    */

struct quire_goal {
	size_t size;
	enum quire_goal_kind kind;
	/*
	 * RUNS: a power of two, 512 to 2^18. RANGE: how many, a multiple of 512, not 0, no more
	 * than the arena has behind first. RUN: any number but 0, no more than the arena has. NODE:
	 * 0.
	 */
	uint32_t frames;
	uint64_t count;		  /* RUNS: 1 or more; QUIRE_MAX: as many as can be. Others: 0 */
	struct quire_frame first; /* RANGE: a multiple of 512. Others: 0, which is left out */
	uint32_t flags;		  /* QUIRE_GOAL_STAY or 0 */
	uint32_t align;		  /* RUN: a power of two, in frames; 0: any place. Others: 0 */
	/* Whose extents the runs become; it cannot be destroyed as long as the plan. NULL: nobody's
	 */
	struct quire_owner *owner;
	const char *site;  /* where it was made, for who waits for it; may be NULL */
	uint32_t node_set; /* RUNS, RUN: 1: in the node `node` alone. Others: 0 */
	uint32_t node;	   /* NODE, and with node_set; else 0 */
};
#define QUIRE_GOAL(...)                                                                            \
	(&(const struct quire_goal){                                                               \
		.size = sizeof(struct quire_goal), .site = QUIRE_SITE, __VA_ARGS__ })

struct quire_plan_info {
	size_t size;
	uint64_t runs;			/* windows planned, those already free among them;
					 * of a range, blocks, here and below */
	uint64_t runs_free;		/* of these, free already */
	uint64_t feasible;		/* windows in which nothing is known to stay;
					 * of a RUN, places where it could be */
	uint64_t folios;		/* folios to move */
	uint64_t bytes;			/* bytes to move */
	uint64_t lower_bound_bytes;	/* the least that this many runs can cost */
	uint64_t alignment_extra_bytes; /* bytes - lower_bound_bytes */
	uint64_t no_place; /* windows left out because a folio finds no aligned place; of a RUN 1
			    * if all are, or a cheaper one than the one planned */
};

/*
 * What an execution did. A caller sets size; the rest is output.
 */
struct quire_result {
	size_t size;
	uint64_t obtained;	/* runs, of a range blocks, that were free when it ended; of a goal
				 * with an owner, those handed out, of a range if all of it was */
	uint64_t bytes_planned; /* of the plan as it was at the start */
	uint64_t bytes_moved;
	uint64_t bytes_recopied; /* copied for nothing, the move failing afterwards */
	uint64_t bytes_wasted;	 /* moved out of windows that then could not be emptied */
	uint64_t folios_moved;
	uint64_t folios_freed; /* gone by themselves meanwhile */
	uint64_t folios_failed;
	uint64_t tries;	  /* tries of single folios */
	uint64_t replans; /* times that windows were chosen anew */
	uint64_t elapsed_ns;
	uint64_t copy_ns; /* of that, copying */
};

struct quire_budget {
	size_t size;
	enum quire_mode mode;
	unsigned mode_set;    /* 0: SYNC */
	uint64_t bytes;	      /* move no more than this; 0: no limit. Blocks of 512 frames are begun
			       * only where all that lives in them fits */
	uint64_t deadline_ns; /* end so long after the start, with the batch that runs; 0: never */
	/*
	 * Wait this long for one folio at most, which is for the windows that are tried together;
	 * when others are chosen instead it starts anew. 0: the quire's deadline_ns. In SYNC_LIGHT
	 * 1 ms for the whole.
	 */
	uint64_t folio_ns;
	/*
	 * Called between batches, in the executing thread, with the result so far; anything but 0
	 * ends the execution with -ECANCELED. NULL: none.
	 */
	int (*progress)(void *arg, const struct quire_result *so_far);
	void *arg;
	uint32_t flags; /* QUIRE_BUDGET_ */
	/*
	 * Wait this long at most, each time, for other plans that have what this one needs. 0: the
	 * quire's deadline_ns; in SYNC_LIGHT 1 ms at most, in ASYNC not at all.
	 */
	uint64_t queue_ns;
};
/* Do not wait for other plans: what they have is in the way. */
#define QUIRE_BUDGET_NO_QUEUE 1u
#define QUIRE_BUDGET(...)                                                                          \
	(&(const struct quire_budget){ .size = sizeof(struct quire_budget), __VA_ARGS__ })

/*
 * Makes a plan. It describes the moment it was made in; executing it copes with what changed.
 * -EINVAL a goal that makes no sense; -ENOMEM; -EDEADLK inside an op; -ENXIO after fork().
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_plan_create(struct quire *quire,
						  const struct quire_goal *goal,
						  struct quire_plan **plan);

/* destroy(NULL) does nothing. */
QUIRE_EXPORT void quire_plan_destroy(struct quire_plan *plan);

/* Fills *info as far as its size goes; -EINVAL for a size of 0. */
QUIRE_EXPORT int quire_plan_info(const struct quire_plan *plan, struct quire_plan_info *info);

/*
 * Executes a plan, once. budget NULL: mode SYNC, no limit but the quire's deadline for each folio.
 * result may be NULL. Windows are closed to allocation meanwhile, as far as frames are left
 * elsewhere; runs obtained are ordinary free memory when it returns, or extents. A range is closed
 * as a whole, from the start to the end, or not at all, and then nothing moves. What stays is
 * looked for anew once it is closed.
 *
 * Plans that are executed at the same time and need the same blocks wait for one another, in the
 * order their executions began (contract W6): runs only once there are too few of them elsewhere.
 * While it waits a plan keeps no block closed, and what it had emptied may be used again; younger
 * ones leave it what it wants. When the budget's queue_ns is over, the others are in its way, and
 * named: reason CLAIMED, with the thread, the goal's site and the age of an execution that has, or
 * is to have first, what was needed. It does not wait for one that its own thread executes.
 *  0           the goal is met, also where the budget ended just then; with QUIRE_MAX:
 *              everything that could be done was
 *  -EBUSY      fewer runs than asked for, a range not free: quire_plan_blocker() says who
 *  -ENOSPC     the same, and no aligned place is left for what lives there
 *  -ETIMEDOUT, -EDQUOT  the budget's time, its bytes were used up    -ECANCELED  by progress
 *  -EALREADY   executed before     -EDEADLK  in an op or a read section     -ENOMEM
 *  -EINVAL     no plan, a size of 0, a wrong mode or flag     -ENXIO  in a child of fork()
 * In every case (but for a result without a size) the result says what was done, and it stays done.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_plan_execute(struct quire_plan *plan,
						   const struct quire_budget *budget,
						   struct quire_result *result);

/*
 * The extents that the execution of a goal with an owner obtained, one at each call, in no order;
 * NULL: there is none left, or this is a child of fork(). It is the caller's then. Those that
 * nobody takes go back with the plan.
 */
QUIRE_EXPORT struct quire_extent *quire_plan_take_extent(struct quire_plan *plan);

/*
 * Who stands in the way: before an execution, what is known to stay; after it, what did. One entry
 * for each folio that stays, in the order of their frames; where no folio keeps a window (a reader,
 * another plan, an extent) one for the window, with folio NULL. Of a range only what is in it.
 * Valid until the plan is executed or destroyed.
 */
QUIRE_EXPORT size_t quire_plan_blockers(const struct quire_plan *plan);
QUIRE_EXPORT const struct quire_blocker *quire_plan_blocker(const struct quire_plan *plan,
							    size_t i);

/*
 * The same at any time, from any thread, so also while the plan is executed: what is known to stay,
 * and what the execution waits for just now. Copies up to n of them to `to` (NULL where n is 0) and
 * returns how many there are, none in a child of fork(). The strings live as long as the plan and
 * the owners they name.
 */
QUIRE_EXPORT size_t quire_plan_blockers_now(const struct quire_plan *plan, struct quire_blocker *to,
					    size_t n);

/* The same, counted by reason. -EINVAL: NULL; -ENXIO: in a child of fork(). */
QUIRE_EXPORT int quire_plan_histogram(const struct quire_plan *plan,
				      uint64_t counts[QUIRE_REASON_ROOM]);

#ifdef __cplusplus
}
#endif
#endif

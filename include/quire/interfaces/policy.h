/* SPDX-License-Identifier: MIT */
/*
 * interfaces/policy.h: for those who decide what is done in the background (background.h).
 *
 * A policy only returns choices: it is shown counters, and says what it wants, how much of it, and
 * when it is to be asked again. It never touches memory, and has no quire to call. What it says is
 * checked; what makes no sense is counted (bad_choices), told to the log, and taken for REST. The
 * mechanism keeps the budget, gives way to plans of others, and tries nothing again that was in
 * vain before something has changed, whatever a policy wants.
 */
#ifndef QUIRE_INTERFACES_POLICY_H
#define QUIRE_INTERFACES_POLICY_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What ends a wait: X(name, text). The numbers are ABI.
 */
#define QUIRE_EVENTS(X)                                                                            \
	X(LOW, "free runs fell below what the policy asked for")                                   \
	X(FAILED, "there was no place for a folio of an order above 0")                            \
	X(UNBLOCKED, "a pin, a fence or a folio that was in the way has gone")                     \
	X(MOVABLE, "an owner can be asked again")                                                  \
	X(FREED, "so much was freed that it may have become possible")                             \
	X(ENDED, "somebody else's plan or move ended")                                             \
	X(ASKED, "the host asked")                                                                 \
	X(TIME, "a time came that the policy or the budget set, or to look after a silent holder")

enum quire_event {
#define QUIRE_EVENT_ENUM_(name, text) QUIRE_EVENT_##name,
	QUIRE_EVENTS(QUIRE_EVENT_ENUM_)
#undef QUIRE_EVENT_ENUM_
		QUIRE_EVENT_COUNT
};
/* There will not be more of them in this ABI. */
#define QUIRE_EVENT_ROOM 16

enum quire_choice {
	QUIRE_CHOICE_REST = 0,	    /* nothing for now */
	QUIRE_CHOICE_RUNS = 1,	    /* have so many runs free at once */
	QUIRE_CHOICE_GIVE_BACK = 2, /* give free blocks back to the system */
};

/*
 * What a policy is shown: one moment, never exactly. It may be longer in later versions.
 */
struct quire_policy_view {
	size_t size;	 /* of what is there */
	uint64_t now_ns; /* monotonic */
	/* The arena. */
	uint64_t frames; /* all of them */
	uint64_t frames_free;
	uint64_t folios_freed;	   /* so far, since the quire was made: how busy it is */
	uint32_t blocks;	   /* of 512 frames */
	uint32_t blocks_by_use[9]; /* [0]: nothing in use; [i]: up to i eighths in use */
	/* What the host wants to have ready (quire_background_options). */
	uint32_t run_frames; /* frames a run */
	uint32_t runs_low, runs_high;
	uint32_t runs_free;	/* aligned runs of run_frames frames that are free now */
	uint32_t events;	/* since it was last asked: a bit for each enum quire_event */
	uint64_t places_missed; /* so far: QUIRE_COUNTERS, no_place */
	/* What the latest choice came to. */
	enum quire_choice last; /* REST at first */
	int last_code;		/* 0, or the -errno it ended with */
	uint64_t last_gain;	/* runs gained, or bytes given back */
	uint64_t last_bytes;	/* bytes moved */
	uint64_t last_ns;	/* time it took */
	uint32_t blocked;	/* 1: RUNS was in vain, and nothing has changed since */
	uint32_t blockers;	/* who stood in the way, folio by folio */
	/* The budget, now. */
	uint64_t bytes_left; /* UINT64_MAX: no limit */
};

struct quire_policy_choice {
	size_t size; /* set by the caller; all else is 0, which is REST until an event */
	enum quire_choice what;
	uint32_t frames; /* RUNS: frames a run, a power of two, 512 to 2^18 */
	/* RUNS: so many, free at once, those that are free already among them; 1 or more */
	uint32_t count;
	uint32_t runs_below; /* LOW: ask again when fewer runs of view->run_frames are free */
	/*
	 * RUNS: move no more than that before asking again, 2 MiB or more; 0: what the budget
	 * allows. GIVE_BACK: so many bytes.
	 */
	uint64_t bytes;
	uint64_t after_ns; /* ask again after so long, 1 ms or more; 0: not by time */
};

struct quire_policy_ops {
	size_t size; /* sizeof(struct quire_policy_ops) */

	/*
	 * choose: what now?
	 *
	 * Called     by whoever works in the background, never twice at once for one quire, with no
	 *            lock held: after each event, and after each step until the answer is REST.
	 * Must not   call the library (quire_background_stop() and quire_destroy() answer
	 * -EDEADLK), keep the view, or sleep.
	 */
	void (*choose)(const struct quire_policy_view *view, struct quire_policy_choice *choice,
		       void *arg);
};

/*
 * What is done where no policy is given, for policies that build on it: runs_high runs as soon as
 * fewer than runs_low are free; nothing is given back. arg is not looked at.
 */
QUIRE_EXPORT void quire_policy_ready(const struct quire_policy_view *view,
				     struct quire_policy_choice *choice, void *arg);

/* The text of an event; "unknown" for a number that is none. */
QUIRE_EXPORT const char *quire_event_text(enum quire_event event);

#ifdef __cplusplus
}
#endif
#endif

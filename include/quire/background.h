/* SPDX-License-Identifier: MIT */
/*
 * background.h: having free runs ready before they are asked for.
 *
 * A quire may have one who works in the background: a thread of the library's, or the host's own
 * event loop, step by step. A policy says what is wanted (interfaces/policy.h); by default, that
 * so many runs of 2 MiB are free. It works in steps, each a plan that is executed within a budget:
 * so many bytes a second, such a share of the time, and no longer at a stretch than a step may be.
 *
 * It wakes for a reason, never to have a look: see QUIRE_EVENTS. What was in vain is tried again
 * when something that stood in the way has gone (contract W3): a named pin is released, a fence
 * signaled, a folio freed, an owner says that it can be asked. Short pins and readers go without a
 * word, since they pay nothing; whether they have gone is looked up, without a plan, when the wait
 * has doubled, from 1 ms on: as long as they stay, and no more than some 40 times in an hour's, or
 * a year's wait. Where nothing is wanted, and where nobody silent is in the way, it sleeps without
 * a limit.
 *
 * Others come first: no step begins while a plan is executed or folios are moved by somebody else,
 * and one that runs ends with its batch.
 *
 * There is none in a child of fork(). What all this has cost an owner's users tells
 * quire_owner_stalls() (contract W28).
 */
#ifndef QUIRE_BACKGROUND_H
#define QUIRE_BACKGROUND_H

#include <quire/base.h>
#include <quire/interfaces/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No thread: the host calls quire_background_step(). */
#define QUIRE_BACKGROUND_NO_THREAD 1u

struct quire_background_options {
	size_t size;	/* sizeof(struct quire_background_options) */
	uint32_t flags; /* QUIRE_BACKGROUND_... */
	/* What is to be ready: runs of run_frames frames, a power of two, 512 to 2^18; 0: 512. */
	uint32_t run_frames;
	uint32_t runs_low; /* 0: one in 64 of the arena's, at least 1 */
	uint32_t
		runs_high; /* runs_low or more, no more than the arena has; 0: 1.5 times runs_low */
	/* The budget. Planning counts as time; bytes copied in vain count as bytes. */
	uint64_t bytes_per_s; /* 0: no limit. At a stretch no more than a second's, or 2 MiB */
	uint32_t share;	      /* of the time, in thousandths, 1 to 1000; 0: 100, a tenth */
	uint32_t reserved;
	/*
	 * How long a step may move, 100 us to 1 s; 0: 5 ms. It ends with the batch of 2 MiB that
	 * runs then; so long frames that it chose may be kept from others at most, and half as long
	 * it may wait for one folio.
	 */
	uint64_t step_ns;
	const struct quire_policy_ops *policy; /* copied; NULL: quire_policy_ready() */
	void *policy_arg;
};
/* QUIRE_BACKGROUND_OPTIONS(.runs_low = 16), in C. */
#define QUIRE_BACKGROUND_OPTIONS(...)                                                              \
	(&(const struct quire_background_options){                                                 \
		.size = sizeof(struct quire_background_options), __VA_ARGS__ })

/*
 * Begins. options NULL: all of them 0.
 * -EINVAL    options that make no sense     -EALREADY  it has begun already
 * -EDEADLK   inside of an op                -ENXIO     in a child of fork()
 * -ENOMEM, or what the system said. Nothing is left behind then.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_background_start(
	struct quire *quire, const struct quire_background_options *options);

/*
 * Ends it: nothing of it runs any more when this returns 0, also where it had not begun. A step
 * that runs ends with its batch; an owner's op in it is waited for, deadline_ns at most (0: the
 * quire's). -ETIMEDOUT  it still runs, and begins nothing more: call again -EDEADLK    inside of an
 * op, or of the policy     -ENXIO  in a child of fork() -EINVAL     no quire
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_background_stop(struct quire *quire, uint64_t deadline_ns);

/*
 * Without a thread: one step, or a look whether there is anything to do. Call again at once where
 * it returns 1; else when the descriptor of quire_background_fd() is ready to be read, or after
 * *next_ns (UINT64_MAX: not by time; next_ns may be NULL). From any thread, one at a time.
 * 1           a step was made     0  nothing to do for now
 * -EINVAL     it has not begun, or has a thread     -EBUSY    a step runs in another thread
 * -EDEADLK    inside of an op, the policy or a read section     -ENXIO  in a child of fork()
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_background_step(struct quire *quire, uint64_t *next_ns);

/*
 * Without a thread: a descriptor to poll for reading, the quire's own, until it is destroyed.
 * -EINVAL  it has not begun, or has a thread     -ENXIO  in a child of fork()
 */
QUIRE_EXPORT int quire_background_fd(struct quire *quire);

/*
 * Has it look at once, as if everything had changed. From any thread, in ops too; signal handlers
 * too. -EINVAL: no quire; -ENXIO: in a child of fork()
 */
QUIRE_EXPORT int quire_background_wake(struct quire *quire);

/* What it does just now: X(name, text). The numbers are ABI. */
#define QUIRE_BACKGROUND_STATES(X)                                                                 \
	X(OFF, "off")                                                                              \
	X(RESTING, "resting: nothing is wanted")                                                   \
	X(WORKING, "working")                                                                      \
	X(BUDGET, "waiting for its budget")                                                        \
	X(BLOCKED, "waiting for what stands in the way")                                           \
	X(OTHERS, "waiting for a plan or a move of others")

enum quire_background_state {
#define QUIRE_BACKGROUND_STATE_ENUM_(name, text) QUIRE_BACKGROUND_##name,
	QUIRE_BACKGROUND_STATES(QUIRE_BACKGROUND_STATE_ENUM_)
#undef QUIRE_BACKGROUND_STATE_ENUM_
		QUIRE_BACKGROUND_STATE_COUNT
};

/* Counters, since the quire was made: X(name, what it counts). */
#define QUIRE_BACKGROUND_COUNTERS(X)                                                               \
	X(wakeups, "ends of waits")                                                                \
	X(asked, "questions to the policy")                                                        \
	X(steps, "plans executed")                                                                 \
	X(in_vain, "steps that found nothing that could be done")                                  \
	X(gave_way, "steps ended, or not begun, for others")                                       \
	X(runs, "runs gained")                                                                     \
	X(moved_bytes, "bytes moved")                                                              \
	X(recopied_bytes, "bytes copied in vain")                                                  \
	X(given_back_bytes, "bytes given back to the system")                                      \
	X(worked_ns, "time in looks, plans and moves")                                             \
	X(longest_ns, "the longest of these")                                                      \
	X(longest_step_ns, "the longest execution of a plan")                                      \
	X(bad_choices, "answers of the policy that made no sense")                                 \
	X(errors, "steps that failed for other reasons")

struct quire_background_stats {
	size_t size; /* sizeof(struct quire_background_stats) */
	enum quire_background_state state;
	uint32_t blockers;    /* BLOCKED: who stands in the way, folio by folio */
	uint32_t runs_free;   /* when it last looked */
	uint32_t runs_wanted; /* by its latest choice; 0: none */
	uint64_t next_ns;     /* until it looks by time; UINT64_MAX: not by time */
	/* How often each event was why; room for events to come. */
	uint64_t events[QUIRE_EVENT_ROOM];
	/* Last, since new counters go to the end. */
#define QUIRE_BACKGROUND_FIELD_(name, text) uint64_t name;
	QUIRE_BACKGROUND_COUNTERS(QUIRE_BACKGROUND_FIELD_)
#undef QUIRE_BACKGROUND_FIELD_
};

/* Fills *stats as far as its size goes. -EINVAL: NULL, or a size of 0; -ENXIO: after fork(). */
QUIRE_EXPORT int quire_background_stats_get(struct quire *quire,
					    struct quire_background_stats *stats);

/* The text of a state; "unknown" for a number that is none. */
QUIRE_EXPORT const char *quire_background_state_text(enum quire_background_state state);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT */
/*
 * background.h: who works in the background, shared by its life (background.c), its steps
 * (compact.c), and what it remembers of those in its way (held.c).
 *
 * Its life is one word, and one who steps at a time:
 *
 *	OFF --start--> STARTING --> ON --stop--> STOPPING --nobody steps--> ENDED --joined--> OFF
 *	busy: somebody is in background_advance(); taken only while ON and not paused
 *
 * Everything that is not atomic belongs to who has busy, or, while it is OFF or STARTING, to who
 * starts it; what others may see of it is copied to `shown` under the lock.
 *
 * How no event is lost: what was noticed is taken, then all is listened to again, then it looks.
 * What happens after that is noticed; what happened before, the look sees, or is what was taken.
 */
#ifndef QUIRE_SRC_CONTIG_BACKGROUND_H
#define QUIRE_SRC_CONTIG_BACKGROUND_H

#include "core/instance.h"

#include <pthread.h>
#include <quire/background.h>
#include <quire/plan.h>

extern const struct quire_layer background_layer;

#define HELD_MAX 64u

/* One that stood in the way, when a plan was in vain. */
struct held_one {
	struct quire_folio *folio; /* NULL: a whole window was kept */
	struct quire_frame frame;
	uint64_t word; /* the folio's: frame and version say whether it is still that one */
	enum quire_reason why;
	struct quire_fence *fence; /* FENCE, with a reference; NULL: it is not known */
};

/*
 * Why nothing can be done, and what would change that. The filter in q->watched has the bits of all
 * folios and fences in it; where there are more than HELD_MAX, every bit.
 */
struct held {
	bool blocked;
	struct held_one one[HELD_MAX];
	uint32_t n;
	uint32_t all;	  /* blockers, those not kept here too */
	uint32_t listens; /* the notices that may tell that one has gone */
	bool silent;	  /* one of them may go without a word */
	uint64_t pause;	  /* how long to wait for the silent; doubles */
	uint64_t look_at; /* when to look for them; UINT64_MAX: never */
	uint64_t freed;	  /* frames that must be freed for another try; doubles */
};

struct background {
	struct quire *q;
	uint32_t life;	 /* atomic, futex */
	uint32_t busy;	 /* atomic, futex */
	uint32_t paused; /* atomic: quire_destroy() is looking */
	int worker;	 /* atomic: the thread that has busy, or 0 */
	pthread_t thread;
	bool has_thread;
	struct quire_background_options options; /* complete */
	struct quire_policy_ops policy;

	/* Of who has busy: */
	uint32_t events;     /* since the policy was asked, bits of enum quire_event */
	uint64_t tokens;     /* bytes that may be moved now */
	uint64_t debt;	     /* bytes that were moved and not paid for; tokens is 0 then */
	uint64_t filled_ns;  /* when tokens were last made */
	uint64_t rest_until; /* by the share of the time */
	uint64_t ask_at;     /* by the policy; UINT64_MAX: not by time */
	struct held held;
	bool told; /* the policy knows that it is blocked */
	/*
	 * How a step is made: without waiting for anybody at first, and patiently once that was in
	 * vain; and with so many windows more than are wanted, where its time ended before one was
	 * met that could be emptied.
	 */
	enum quire_mode mode;
	uint32_t extra;
	uint32_t wanted, wanted_frames; /* of the step that runs */
	enum quire_choice last;
	int last_code;
	uint64_t last_gain, last_bytes, last_ns;
	struct quire_background_stats now;

	pthread_mutex_t lock;
	struct quire_background_stats shown; /* under lock */
};

/* Is it to stop, or to keep still? */
bool background_ends(const struct background *b);

/* --- compact.c --- */

/*
 * At most one thing: 1 when something was done, 0 when there is nothing to do until an event or
 * *until (os_clock_ns; UINT64_MAX: an event). Before: busy is the caller's; it listens.
 */
int background_advance(struct background *b, uint64_t *until);
/* Before the first of them; options are complete. */
void background_begin(struct background *b);
void background_end(struct background *b);

/* --- held.c --- */

/*
 * After a plan that was in vain: who is in its way, besides those known already; they are watched
 * from here on. NULL: none could be made.
 */
void held_by(struct background *b, const struct quire_plan *plan, uint64_t now);
/* Nothing more is to be tried before something has gone. */
void held_block(struct background *b);
/* Something was gained, or all is to be tried again. */
void held_forget(struct background *b);
/* The same, but the pauses begin anew as well. */
void held_reset(struct background *b);
/*
 * After these events (bits): is another plan worth making? If not, the next look is put off.
 */
bool held_let_go(struct background *b, uint32_t events, uint64_t now);

#endif

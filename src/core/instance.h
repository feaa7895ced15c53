/* SPDX-License-Identifier: MIT */
/*
 * instance.h: struct quire, what every layer may know of it, and the table of layers that
 * quire_create() walks. A layer's own state hangs off the instance as an incomplete type.
 */
#ifndef QUIRE_SRC_CORE_INSTANCE_H
#define QUIRE_SRC_CORE_INSTANCE_H

#include "util/atomic.h"

#include <quire/instance.h>

struct nodes;
struct folios;
struct extents;
struct cache;
struct queue;
struct records;
struct background;

struct quire_counts {
#define QUIRE_COUNT_FIELD_(name, text) uint64_t name;
	QUIRE_COUNTERS(QUIRE_COUNT_FIELD_)
#undef QUIRE_COUNT_FIELD_
	uint64_t not_moved[QUIRE_REASON_COUNT];
};

struct quire {
	struct quire_options options;
	struct quire_counts counts; /* atomic, relaxed: statistics order nothing */
	uint32_t forked;	    /* set in a child of fork(), where the arena is not mapped */
	uint32_t ending;	    /* quire_destroy() frees what is alive: nothing new is made */
	uint32_t event;		    /* atomic, futex: something may be movable that was not */
	uint32_t event_waiters;	    /* atomic */
	uint32_t signals;	    /* atomic: those of the events that were a fence's signal */
	uint32_t refs;		    /* atomic: one until it is destroyed, one for each fence */
	uint32_t plans;		    /* atomic: plans alive */
	uint32_t ops;		    /* atomic: moves and plans that run now */
	uint32_t servers;	    /* atomic: threads that look at it for `quire explain` */
	struct nodes *node;
	struct folios *folios;
	struct extents *extents;
	struct queue *queue;
	struct cache *cache;
	struct records *records;
	/* What the one who works in the background waits for; notice(). */
	uint32_t listens;  /* atomic: NOTICE_...: what is to wake it */
	uint32_t noticed;  /* atomic: what did */
	uint32_t notices;  /* atomic, futex: how often */
	uint32_t noticing; /* atomic: threads in instance_notice() */
	int notice_event;  /* a descriptor that is raised as well, or -1; set while none is in */
	uint64_t watched;  /* atomic: a filter of folios and fences, watch_bit() */
	uint64_t freed_frames; /* atomic: of folios, since freed_at was set */
	uint64_t freed_at; /* atomic: NOTICE_FREED is due once they are so many; 0: not counted */
	struct background *background;
	struct quire *next; /* all instances, for fork; under the list's lock */
};

#define count(q, name, n) add_relaxed(&(q)->counts.name, (uint64_t)(n))
#define count_not_moved(q, why) add_relaxed(&(q)->counts.not_moved[why], 1u)

/*
 * A layer: init brings it up for an instance or leaves nothing behind; finish undoes a successful
 * init; busy answers -errno while it must not be finished. The table, lowest first, is in layers.c.
 */
struct quire_layer {
	int (*init)(struct quire *q);
	void (*finish)(struct quire *q);
	int (*busy)(struct quire *q);
	/*
	 * Before busy is asked: what works by itself comes to rest. 0, or -errno and it goes on; if
	 * the quire does not end after all, resume follows.
	 */
	int (*pause)(struct quire *q);
	void (*resume)(struct quire *q);
};

extern const struct quire_layer *const quire_layers[];
extern const unsigned quire_layer_count;

/* Says something through the host's log callback, if there is one. */
void quire_log(struct quire *q, enum quire_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Wakes movers that wait to try something again. */
void instance_event(struct quire *q);
/* The same for those that wait for fences; to the others it is no news. Any context. */
void instance_signal(struct quire *q);

/*
 * For who works in the background: what may end its waiting. It says what it listens to, looks
 * again whether it need wait at all, and sleeps. Each bit is taken by the first that gives it, so a
 * listener is woken once, however often the thing happens; nobody else pays more than a load.
 */
enum notice {
	NOTICE_LOW = 1,	      /* a block was begun when few were empty */
	NOTICE_FAILED = 2,    /* there was no place for a folio of an order above 0 */
	NOTICE_UNBLOCKED = 4, /* something watched was let go: a pin, a fence */
	NOTICE_MOVABLE = 8,   /* an owner says that something may move again */
	NOTICE_FREED = 16,    /* freed_frames has reached freed_at */
	NOTICE_ENDED = 32,    /* somebody else's plan or move ended */
	NOTICE_ASKED = 64,    /* by the host */
	NOTICE_CONTROL = 128, /* it is to pause, to resume, or to end */
	NOTICE_ALL = 255,
};
void instance_notice(struct quire *q, uint32_t what);

/* Any context. seq_cst, and so was what made it true: the listener sees that, or this sees it. */
static inline void notice(struct quire *q, uint32_t what)
{
	if (__builtin_expect(__atomic_load_n(&q->listens, __ATOMIC_SEQ_CST) & what, 0))
		instance_notice(q, what);
}

static inline uint64_t watch_bit(const void *what)
{
	return 1ull << ((uint64_t)(uintptr_t)what * 0x9e3779b97f4a7c15ull >> 58);
}

/* Something that may be watched was let go. Any context. */
void instance_notice_of(struct quire *q, const void *what);
static inline void notice_of(struct quire *q, const void *what)
{
	if (__builtin_expect(__atomic_load_n(&q->watched, __ATOMIC_SEQ_CST) != 0, 0))
		instance_notice_of(q, what);
}

/* Keeps the structure, not what it describes: a fence may be signaled after the quire's end. */
void instance_get(struct quire *q);
void instance_put(struct quire *q);
/*
 * Waits for the next event after *seen was read from q->event, ns nanoseconds at most; returns at
 * once if there was one. Updates *seen.
 */
void instance_wait(struct quire *q, uint32_t *seen, uint64_t ns);

/* Copies as much of a caller's structure as both sides know; the rest of *to is zeroed. */
int sized_copy(void *to, size_t to_size, const void *from);

#endif

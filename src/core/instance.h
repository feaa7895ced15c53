/* SPDX-License-Identifier: MIT */
/*
 * instance.h: struct quire, what every layer may know of it, and the table of layers that
 * quire_create() walks. A layer's own state hangs off the instance as an incomplete type.
 */
#ifndef QUIRE_SRC_CORE_INSTANCE_H
#define QUIRE_SRC_CORE_INSTANCE_H

#include "util/atomic.h"

#include <quire/instance.h>

struct node;
struct folios;
struct extents;
struct cache;
struct queue;
struct records;

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
	struct node *node;
	struct folios *folios;
	struct extents *extents;
	struct queue *queue;
	struct cache *cache;
	struct records *records;
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

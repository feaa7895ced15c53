/* SPDX-License-Identifier: MIT */
/*
 * retry.h: when a move is tried again: after an event or a growing pause, until a deadline that
 * starts with the first wait (design, decision 9; contract W12). What waits for a fence is tried
 * again once that was signaled, whenever that is, and not before; a signal is no event for the
 * rest.
 */
#ifndef QUIRE_SRC_MIGRATE_RETRY_H
#define QUIRE_SRC_MIGRATE_RETRY_H

#include "core/instance.h"

/* The first pause is about what a short pin lasts, the last what a device takes. */
#define RETRY_FIRST_NS 20000u
#define RETRY_LAST_NS 5000000u
/* SYNC_LIGHT waits this long for all folios of a call together. */
#define RETRY_LIGHT_NS 1000000u

struct retry {
	struct quire *q;
	uint64_t wait_ns; /* 0: never waits */
	uint64_t deadline;
	uint64_t ns;  /* the next pause */
	uint64_t due; /* its end; 0: not begun */
	/* The quire's events, and the signals among them, when the last whole round began. */
	uint32_t event, signals;
};

enum retry_what {
	RETRY_NOTHING, /* the deadline has passed */
	RETRY_FENCED,  /* only what waits for a fence that was signaled */
	RETRY_ALL,     /* all but what waits for a fence that was not */
};

void retry_init(struct retry *r, struct quire *q, enum quire_mode mode, uint64_t wait_ns);
/* At the start of a round of all: events from here on end the wait after it. */
void retry_round(struct retry *r);
/*
 * Waits. unfenced: something is left that waits for no fence. signaled(arg): was one of the fences
 * signaled that are waited for? A fence that was signaled already when its folio was found to wait
 * for it is none of them: else an owner that names such a one had it tried without a pause.
 */
enum retry_what retry_wait(struct retry *r, bool unfenced, bool (*signaled)(void *), void *arg);
/* A pin that cannot go away while this thread waits for it. */
bool retry_is_vain(const struct quire_blocker *who);

#endif

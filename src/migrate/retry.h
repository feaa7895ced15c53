/* SPDX-License-Identifier: MIT */
/*
 * retry.h: when a move is tried again: after an event or a growing pause, until a deadline that
 * starts with the first wait (design, decision 9; contract W12).
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
	uint64_t ns; /* the next pause */
	uint32_t seen;
};

void retry_init(struct retry *r, struct quire *q, enum quire_mode mode, uint64_t wait_ns);
/* At the start of a round: events from here on end the wait after it. */
void retry_round(struct retry *r);
/* Waits; false once the deadline has passed. */
bool retry_wait(struct retry *r);
/* A pin that cannot go away while this thread waits for it. */
bool retry_is_vain(const struct quire_blocker *who);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * record.h: what became of the last plans, for whoever asks later, from any thread.
 *
 * The ring is made with the instance, so recording cannot fail: a plan without a record (all of
 * them are of plans that run) is only not recorded. Names are copied, and only of owners that are
 * there still, so that a record outlives them. The lock is held for copies only; owners_lock is
 * taken inside of it.
 *
 *	a record belongs to plan p  iff  record.plan == p; a plan that lost its record gets another
 *	when it is executed
 */
#ifndef QUIRE_SRC_CONTIG_RECORD_H
#define QUIRE_SRC_CONTIG_RECORD_H

#include "core/instance.h"

#include <quire/plan.h>

#define RECORDS 16u
#define RECORD_BLOCKERS 16u

enum record_state {
	RECORD_NONE = 0,
	RECORD_PLANNED, /* not executed yet, or thrown away as it was */
	RECORD_RUNNING,
	RECORD_ENDED,
};

struct record_blocker {
	struct quire_frame frame;
	enum quire_reason why;
	int code, thread;
	uint64_t age_ns; /* when it was recorded */
	char owner[64];
	char site[96]; /* its end, where it is longer */
};

struct record {
	uint64_t number; /* of the plan in its instance, from 1 */
	const struct quire_plan *plan;
	enum record_state state;
	int code; /* of the planning, or of the execution */
	enum quire_mode mode;
	struct quire_goal goal;
	struct quire_plan_info info;
	struct quire_result result;
	uint64_t made_ns, started_ns, ended_ns; /* os_clock_ns */
	/*
	 * Folios that stay: as known when it was planned; while it runs, what it gave up; and all
	 * of them once it has ended.
	 */
	uint64_t stays[QUIRE_REASON_ROOM];
	uint64_t blockers_all;
	uint32_t blockers;
	struct record_blocker blocker[RECORD_BLOCKERS];
};

extern const struct quire_layer records_layer;

/* A plan was made; or it was not, and code says why: then only its goal is looked at. */
void record_planned(const struct quire_plan *plan, int code);
void record_started(const struct quire_plan *plan, enum quire_mode mode);
void record_progress(const struct quire_plan *plan, const struct quire_result *so_far);
/* A folio was given up. */
void record_stays(const struct quire_plan *plan, const struct quire_blocker *who);
void record_ended(const struct quire_plan *plan, int code, const struct quire_result *result);
/* The plan's memory goes. */
void record_gone(const struct quire_plan *plan);

/* The i-th of the records, the newest first. false: there are not so many. */
bool record_get(struct quire *q, unsigned i, struct record *to);

#endif

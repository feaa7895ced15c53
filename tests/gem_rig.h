/* SPDX-License-Identifier: MIT */
/*
 * gem_rig.h: a quire with a gem, for tests: where the order matters the engine is stopped in
 * on_job, movers are stopped at sync points, and nothing sleeps.
 */
#ifndef QUIRE_TESTS_GEM_RIG_H
#define QUIRE_TESTS_GEM_RIG_H

#include "gem/gem.h"
#include "support.h"

#define FRAME QUIRE_FRAME_BYTES

struct rig {
	struct quire *q;
	struct gem *g;
	uint64_t frames; /* free ones at the start */
	/* the hooks; NULL: nothing */
	void (*on_job)(struct rig *rig, struct gem_ticket ticket);
	void (*on_isolate)(struct rig *rig, struct quire_folio *folio);
	struct gate gate, other;
	struct gem_object *a, *b;
	struct gem_done done;
	struct hand hand;
	struct deed deed;
	int code;
};

void rig_start(struct rig *rig);
void rig_start_with(struct rig *rig, uint32_t seeds, uint64_t patience_ns);
/* Its hooks and its books are the rig's; the rest as given. */
void rig_start_by(struct rig *rig, const struct gem_options *options);
/* Ends the gem and the quire: every isolation has ended, no frame is lost. */
void rig_end(struct rig *rig);
struct gem_stats gs(const struct rig *rig);
/* Gem and quire agree on how every isolation ended. */
void assert_books(struct rig *rig);

struct gem_object *object_of(struct rig *rig, unsigned frames, unsigned order);
/* Submits a job and waits for it. */
struct gem_done run_job(struct rig *rig, const struct gem_job *job);
struct gem_ticket submit_fill(struct rig *rig, struct gem_object *object, uint64_t value);
void fill(struct rig *rig, struct gem_object *object, uint64_t value);
uint64_t sum_of(struct rig *rig, struct gem_object *object);
uint64_t sum_if_filled(const struct gem_object *object, uint64_t value);
/* As the CPU sees it, by handle; as the engine and the CPU see it. */
bool is_filled(struct gem_object *object, uint64_t value);
bool is_right(struct rig *rig, struct gem_object *object, uint64_t value);

/* All folios of an object in one call; the first of them. */
long move_object(struct rig *rig, struct gem_object *object, enum quire_mode mode,
		 struct quire_move *moves);
struct quire_move move_first(struct gem_object *object, enum quire_mode mode);

/* For on_job: opens `other` and waits for `gate`. */
void job_stops(struct rig *rig, struct gem_ticket ticket);
/* A mover in the rig's hand, stopped inside of the commit of this folio; and the rest of it. */
void mover_stops(struct rig *rig, struct quire_folio *folio);
void mover_goes_on(struct rig *rig);

#endif

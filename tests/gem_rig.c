// SPDX-License-Identifier: MIT
#include "gem_rig.h"

#include <stdlib.h>

static void rig_job(void *arg, struct gem_ticket ticket)
{
	struct rig *rig = arg;

	if (rig->on_job)
		rig->on_job(rig, ticket);
}

static void rig_isolate(void *arg, struct quire_folio *folio)
{
	struct rig *rig = arg;

	CHECK(quire_folio_on_the_move(folio));
	if (rig->on_isolate)
		rig->on_isolate(rig, folio);
}

void rig_start_by(struct rig *rig, const struct gem_options *options)
{
	struct gem_options all = *options;

	memset(rig, 0, sizeof(*rig));
	rig->q = make_quire(8);
	rig->frames = stats_of(rig->q).frames_free;
	gate_init(&rig->gate);
	gate_init(&rig->other);
	all.on_job = rig_job;
	all.on_isolate = rig_isolate;
	all.arg = rig;
	assert_int_equal(gem_create(rig->q, &all, &rig->g), 0);
}

void rig_start_with(struct rig *rig, uint32_t seeds, uint64_t patience_ns)
{
	rig_start_by(rig, GEM_OPTIONS(.seeds = seeds, .patience_ns = patience_ns));
}

void rig_start(struct rig *rig)
{
	rig_start_with(rig, 0, 20 * SEC);
}

struct gem_stats gs(const struct rig *rig)
{
	struct gem_stats stats = { .size = sizeof(stats) };

	assert_int_equal(gem_stats_get(rig->g, &stats), 0);
	return stats;
}

void assert_books(struct rig *rig)
{
	struct gem_stats g = gs(rig);
	struct quire_stats s = stats_of(rig->q);
	const char *what = NULL;

	if (gem_validate(rig->g, &what))
		fail_msg("gem_validate: %s", what);
	assert_ledger_closed(rig->q);
	assert_int_equal(g.isolated, g.moved + g.putbacks + g.freed_isolated);
	assert_int_equal(g.isolated, s.isolated);
	assert_int_equal(g.moved, s.moved);
	assert_int_equal(g.putbacks, s.putbacks);
	assert_int_equal(g.freed_isolated, s.freed_isolated);
}

void rig_end(struct rig *rig)
{
	no_points();
	assert_int_equal(gem_idle(rig->g, 0), 0);
	assert_books(rig);
	assert_int_equal(gem_destroy(rig->g), 0);
	assert_frames_free(rig->q, rig->frames);
	end_quire(rig->q);
}

struct gem_object *object_of(struct rig *rig, unsigned frames, unsigned order)
{
	struct gem_object *object = NULL;

	assert_int_equal(gem_object_create(rig->g, (uint64_t)frames * FRAME, order, &object), 0);
	return object;
}

struct gem_done run_job(struct rig *rig, const struct gem_job *job)
{
	struct gem_done done = { .code = 1 };
	struct gem_job with = *job;
	struct gem_ticket ticket;

	with.done = &done;
	if (!CHECK(gem_submit(rig->g, &with, &ticket) == 0) ||
	    !CHECK(gem_wait(rig->g, ticket, 0) == 0))
		done.code = -EIO;
	return done;
}

void fill(struct rig *rig, struct gem_object *object, uint64_t value)
{
	CHECK(run_job(rig, GEM_JOB(.kind = GEM_FILL, .dst = object,
				   .bytes = gem_object_bytes(object), .value = value))
		      .code == 0);
}

uint64_t sum_of(struct rig *rig, struct gem_object *object)
{
	struct gem_done done = run_job(
		rig, GEM_JOB(.kind = GEM_SUM, .src = object, .bytes = gem_object_bytes(object)));

	CHECK(done.code == 0);
	return done.sum;
}

uint64_t sum_if_filled(const struct gem_object *object, uint64_t value)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < gem_object_bytes(object) / 8; i++)
		sum += gem_sum_word(i, gem_fill_word(value, i));
	return sum;
}

bool is_filled(struct gem_object *object, uint64_t value)
{
	uint64_t word[64];

	for (uint64_t at = 0; at < gem_object_bytes(object); at += sizeof(word)) {
		if (!CHECK(gem_object_read(object, at, word, sizeof(word)) == 0))
			return false;
		for (size_t i = 0; i < COUNT_OF(word); i++)
			if (word[i] != gem_fill_word(value, at / 8 + i))
				return false;
	}
	return true;
}

bool is_right(struct rig *rig, struct gem_object *object, uint64_t value)
{
	return sum_of(rig, object) == sum_if_filled(object, value) && is_filled(object, value);
}

long move_object(struct rig *rig, struct gem_object *object, enum quire_mode mode,
		 struct quire_move *moves)
{
	struct quire_move own[64];
	size_t n = gem_object_folios(object);

	if (!moves)
		moves = own;
	CHECK(n <= COUNT_OF(own));
	memset(moves, 0, n * sizeof(*moves));
	for (size_t i = 0; i < n; i++)
		moves[i].folio = gem_object_folio(object, i);
	return quire_move_folios(rig->q, moves, n, mode, 20 * SEC);
}

struct quire_move move_first(struct gem_object *object, enum quire_mode mode)
{
	return move_folio(gem_object_folio(object, 0), mode, 20 * SEC);
}

void job_stops(struct rig *rig, struct gem_ticket ticket)
{
	(void)ticket;
	gate_open(&rig->other);
	gate_pass(&rig->gate);
}

struct gem_ticket submit_fill(struct rig *rig, struct gem_object *object, uint64_t value)
{
	struct gem_ticket ticket = { 0 };

	CHECK(gem_submit(rig->g,
			 GEM_JOB(.kind = GEM_FILL, .dst = object, .bytes = gem_object_bytes(object),
				 .value = value),
			 &ticket) == 0);
	return ticket;
}

/* Stops the mover inside of the commit, with the object held. */
static void stop_here(void *arg)
{
	struct rig *rig = arg;

	gate_open(&rig->other);
	gate_pass(&rig->gate);
}

void mover_stops(struct rig *rig, struct quire_folio *folio)
{
	hand_start(&rig->hand);
	rig->deed.folio = folio;
	rig->deed.mode = QUIRE_SYNC;
	rig->deed.deadline = 20 * SEC;
	at_point_nth("commit:marked", folio, 1, 1, stop_here, rig);
	hand_post(&rig->hand, deed_move, &rig->deed);
	gate_pass(&rig->other);
}

void mover_goes_on(struct rig *rig)
{
	gate_open(&rig->gate);
	hand_stop(&rig->hand);
	assert_int_equal(rig->deed.move.code, 0);
}

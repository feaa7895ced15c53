// SPDX-License-Identifier: MIT
#include "serve/answer.h"

#include "contig/record.h"
#include "os/os.h"
#include "os/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <quire/background.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SITE_BYTES 128u /* of a site's end */
#define END_BYTES 8u	/* kept for the last line */

/*
 * The longest answer. An escaped byte is four. Rows: a number has 20 digits and a tab.
 */
#define ROW_OWNER (8 + 4 * 64 + 4 * 21)
#define ROW_HOLD (8 + 32 + 64 + 4 * 64 + 4 * SITE_BYTES + 6 * 21)
#define ROW_CELL (8 + 5 * 11)
#define ROW_BLOCKER (8 + 32 + 64 + 4 * 64 + 4 * 96 + 5 * 21)
#define ROW_REASON (16 + 32 + 64 + 21)
#define ROW_PLAN (8 + 32 + 16 * 21)
#define HEAD (4096 + QUIRE_REASON_ROOM * ROW_REASON + 128 * 64)
_Static_assert(HEAD + LOOK_OWNERS * ROW_OWNER + LOOK_HOLDS * ROW_HOLD + LOOK_CELLS * ROW_CELL +
			       RECORDS * (ROW_PLAN + QUIRE_REASON_ROOM * ROW_REASON +
					  RECORD_BLOCKERS * ROW_BLOCKER) +
			       END_BYTES <=
		       ANSWER_BYTES,
	       "there is room for every row");

/* --- rows --- */

/* A row in the making; where it ends too long it is taken back. */
struct row {
	struct answer *a;
	size_t n; /* where it goes on */
	bool full;
};

static void put(struct row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct row *row, const char *format, ...)
{
	size_t room = ANSWER_BYTES - END_BYTES - row->n;
	va_list args;
	int n;

	if (row->full)
		return;
	va_start(args, format);
	n = vsnprintf(row->a->text + row->n, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		row->full = true;
	else
		row->n += (size_t)n;
}

static struct row row_begin(struct answer *a, const char *key)
{
	struct row row = { .a = a, .n = a->n };

	put(&row, "%s", key);
	return row;
}

static void put_number(struct row *row, uint64_t n)
{
	put(row, "\t%" PRIu64, n);
}

/* Text that others chose: what could be taken for the form of the answer is escaped. */
static void put_text(struct row *row, const char *text)
{
	put(row, "\t");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || c == '\\')
			put(row, "\\x%02x", c);
		else
			put(row, "%c", c);
	}
}

/* The end of it, where the line number is. */
static void put_site(struct row *row, const char *site)
{
	size_t length = strlen(site);

	put_text(row, length > SITE_BYTES ? site + length - SITE_BYTES : site);
}

static void row_end(struct row *row)
{
	put(row, "\n");
	if (!row->full)
		row->a->n = row->n;
}

static const char *reason_name(enum quire_reason why)
{
	static const char *const name[] = {
#define REASON_NAME(name, text) #name,
		QUIRE_REASONS(REASON_NAME)
#undef REASON_NAME
	};

	return (unsigned)why < QUIRE_REASON_COUNT ? name[why] : "UNKNOWN";
}

static void put_reason(struct row *row, enum quire_reason why)
{
	put(row, "\t%s\t%s", reason_name(why), quire_reason_text(why));
}

static void row_number(struct answer *a, const char *key, const char *name, uint64_t n)
{
	struct row row = row_begin(a, key);

	put(&row, "\t%s", name);
	put_number(&row, n);
	row_end(&row);
}

static void row_reason(struct answer *a, const char *key, enum quire_reason why, uint64_t n)
{
	struct row row = row_begin(a, key);

	put_reason(&row, why);
	put_number(&row, n);
	row_end(&row);
}

/* --- what there is --- */

static void head(struct answer *a)
{
	struct row row = row_begin(a, "quire\t1");

	row_end(&row);
	row = row_begin(a, "host");
	put_number(&row, (uint64_t)os_process());
	put_text(&row, program_invocation_short_name);
	put_text(&row, quire_version());
	row_end(&row);
}

static void stats(struct quire *q, struct answer *a)
{
	struct quire_stats s = { .size = sizeof(s) };

	if (quire_stats_get(q, &s))
		return;
	row_number(a, "state", "frames", s.frames);
	row_number(a, "state", "frames_free", s.frames_free);
	row_number(a, "state", "folios_live", s.folios_live);
	row_number(a, "state", "folios_retired", s.folios_retired);
	row_number(a, "state", "frames_limbo", s.frames_limbo);
	row_number(a, "state", "metadata_bytes", s.metadata_bytes);
#define COUNTER(name, text) row_number(a, "counter", #name, s.name);
	QUIRE_COUNTERS(COUNTER)
#undef COUNTER
	for (unsigned i = 1; i < QUIRE_REASON_COUNT; i++)
		if (s.not_moved[i])
			row_reason(a, "not_moved", (enum quire_reason)i, s.not_moved[i]);
}

static void owners(const struct look *look, struct answer *a)
{
	for (uint32_t i = 0; i < look->owners; i++) {
		const struct look_owner *o = &look->owner[i];
		struct row row = row_begin(a, "owner");

		put_text(&row, o->name);
		put_number(&row, o->folios);
		put_number(&row, o->frames);
		put_number(&row, o->pinned);
		row_end(&row);
	}
	if (look->owners_left)
		row_number(a, "left", "owners", look->owners_left);
	if (look->other_frames)
		row_number(a, "left", "frames", look->other_frames);
}

static void holds(const struct look *look, struct answer *a)
{
	for (uint32_t i = 0; i < look->holds; i++) {
		const struct look_hold *h = &look->hold[i];
		struct row row = row_begin(a, "hold");

		put_reason(&row, h->why);
		put_text(&row, h->owner);
		put_site(&row, h->site);
		put_number(&row, (uint64_t)h->thread);
		put_number(&row, h->pins);
		put_number(&row, h->frames);
		put_number(&row, h->age_ns);
		put_number(&row, h->stays);
		row_end(&row);
	}
	if (look->holds_left)
		row_number(a, "left", "pins", look->holds_left);
}

static void heat(const struct look *look, struct answer *a)
{
	struct row row = row_begin(a, "heat");

	put_number(&row, look->blocks);
	put_number(&row, look->per);
	put_number(&row, look->looked);
	row_end(&row);
	for (uint32_t i = 0; i < look->cells; i++) {
		const struct look_cell *c = &look->cell[i];

		if (!c->used && !c->claimed)
			continue;
		row = row_begin(a, "cell");
		put_number(&row, i);
		put_number(&row, c->used);
		put_number(&row, c->folios);
		put_number(&row, c->pinned);
		put_number(&row, c->claimed);
		row_end(&row);
	}
}

static uint64_t since(uint64_t then, uint64_t now)
{
	return now > then ? now - then : 0;
}

static void plan(const struct record *r, struct answer *a)
{
	static const char *const states[] = { "none", "planned", "running", "ended" };
	uint64_t now = os_clock_ns();
	bool begun = r->started_ns != 0;
	struct row row = row_begin(a, "plan");

	put_number(&row, r->number);
	put(&row, "\t%s\t%d", states[r->state], r->code);
	put_number(&row, since(r->made_ns, now));
	put_number(&row, begun ? since(r->started_ns, r->ended_ns ? r->ended_ns : now) : 0);
	put_number(&row, r->goal.frames);
	/* any number at all, as many as there can be */
	put_number(&row, r->goal.count == QUIRE_MAX ? 0 : r->goal.count);
	put_number(&row, r->info.runs);
	put_number(&row, r->info.bytes);
	put_number(&row, r->info.lower_bound_bytes);
	put_number(&row, r->result.obtained);
	put_number(&row, r->result.bytes_moved);
	put_number(&row, r->result.folios_moved);
	put_number(&row, r->result.folios_failed);
	put_number(&row, r->result.replans);
	put_number(&row, r->blockers_all);
	row_end(&row);
	for (unsigned i = 0; i < QUIRE_REASON_COUNT; i++)
		if (r->stays[i])
			row_reason(a, "stays", (enum quire_reason)i, r->stays[i]);
	for (uint32_t i = 0; i < r->blockers; i++) {
		const struct record_blocker *b = &r->blocker[i];

		row = row_begin(a, "blocker");
		put_number(&row, b->frame.n);
		put_reason(&row, b->why);
		put_text(&row, b->owner);
		put_text(&row, b->site);
		put_number(&row, (uint64_t)b->thread);
		put_number(&row, b->age_ns);
		put(&row, "\t%d", b->code);
		row_end(&row);
	}
}

/* What it did in the background, and what it waits for. */
static void background(struct quire *q, struct answer *a)
{
	struct quire_background_stats s = { .size = sizeof(s) };
	struct row row;

	if (quire_background_stats_get(q, &s) || (!s.asked && s.state == QUIRE_BACKGROUND_OFF))
		return;
	row = row_begin(a, "background");
	put_text(&row, quire_background_state_text(s.state));
	put_number(&row, s.runs_free);
	put_number(&row, s.runs_wanted);
	put_number(&row, s.blockers);
	put_number(&row, s.steps);
	put_number(&row, s.in_vain);
	put_number(&row, s.runs);
	put_number(&row, s.moved_bytes);
	put_number(&row, s.given_back_bytes);
	put_number(&row, s.worked_ns);
	put_number(&row, s.wakeups);
	row_end(&row);
}

static void end(struct answer *a)
{
	memcpy(a->text + a->n, "end\n", 4);
	a->n += 4;
}

void answer_make(struct quire *q, uint64_t deadline, const uint32_t *stop, struct look *look,
		 struct answer *a)
{
	struct record r;

	a->n = 0;
	head(a);
	look_around(q, deadline, stop, look);
	stats(q, a);
	owners(look, a);
	holds(look, a);
	heat(look, a);
	for (unsigned i = 0; record_get(q, i, &r); i++)
		plan(&r, a);
	background(q, a);
	end(a);
}

void answer_error(struct answer *a, const char *why)
{
	struct row row;

	a->n = 0;
	head(a);
	row = row_begin(a, "error");
	put_text(&row, why);
	row_end(&row);
	end(a);
}

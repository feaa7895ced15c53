// SPDX-License-Identifier: MIT
#include "show.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

/* Numbers are below 2^63, and text is UTF-8, or the answer would not have been taken. */
#define INT(n) ((json_int_t)(n))

static json_t *numbers(const struct answer_number *row, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(o, row[i].name, json_integer(INT(row[i].n)));
	return o;
}

static json_t *reasons(const struct answer_reason *row, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "reason", row[i].name,
						      "text", row[i].text, "count", INT(row[i].n)));
	return list;
}

static json_t *owners(const struct answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->owners; i++) {
		const struct answer_owner *o = &a->owner[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:I, s:I, s:I}", "owner", o->name, "folios",
						INT(o->folios), "bytes", INT(o->frames) * 4096,
						"pinned_folios", INT(o->pinned)));
	}
	return list;
}

static json_t *holds(const struct answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->holds; i++) {
		const struct answer_hold *h = &a->hold[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:b}", "owner",
					h->owner, "reason", h->reason, "text", h->text, "site",
					h->site, "thread", INT(h->thread), "pins", INT(h->pins),
					"bytes", INT(h->frames) * 4096, "age_seconds",
					1e-9 * (double)h->age_ns, "stays", (int)h->stays));
	}
	return list;
}

static json_t *heat(const struct answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->cells; i++) {
		const struct answer_cell *c = &a->cell[i];

		json_array_append_new(list, json_pack("[I, I, I, I]", INT(c->used), INT(c->folios),
						      INT(c->pinned), INT(c->claimed)));
	}
	return json_pack("{s:I, s:I, s:I, s:[s, s, s, s], s:o}", "blocks", INT(a->blocks),
			 "blocks_looked_at", INT(a->looked), "blocks_a_cell", INT(a->per),
			 "columns", "frames_used", "folios", "folios_pinned", "blocks_claimed",
			 "cells", list);
}

static json_t *blockers(const struct answer_plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->blockers; i++) {
		const struct answer_blocker *b = &p->blocker[i];

		json_array_append_new(list,
				      json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:f, s:I}", "frame",
						INT(b->frame), "owner", b->owner, "reason",
						b->reason, "text", b->text, "site", b->site,
						"thread", INT(b->thread), "age_seconds",
						1e-9 * (double)b->age_ns, "code", INT(b->code)));
	}
	return list;
}

static json_t *plans(const struct answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->plans; i++) {
		const struct answer_plan *p = &a->plan[i];
		json_t *o =
			json_pack("{s:I, s:s, s:I, s:f, s:f, s:I, s:o, s:I, s:I, s:I}", "number",
				  INT(p->number), "state", p->state, "code", INT(p->code),
				  "age_seconds", 1e-9 * (double)p->age_ns, "seconds",
				  1e-9 * (double)p->elapsed_ns, "run_frames", INT(p->frames),
				  "count", p->count ? json_integer(INT(p->count)) : json_null(),
				  "runs_planned", INT(p->runs), "bytes_planned", INT(p->bytes),
				  "lower_bound_bytes", INT(p->lower_bound_bytes));
		json_t *rest = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "runs",
					 INT(p->obtained), "bytes_moved", INT(p->bytes_moved),
					 "folios_moved", INT(p->folios_moved), "folios_failed",
					 INT(p->folios_failed), "replans", INT(p->replans),
					 "blockers_all", INT(p->blockers_all), "stays",
					 reasons(p->stay, p->stays), "blockers", blockers(p));

		if (o && rest)
			json_object_update(o, rest);
		json_decref(rest);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *background(const struct answer_background *b)
{
	if (!*b->state)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I}", "state",
			 b->state, "runs_free", INT(b->runs_free), "runs_wanted",
			 INT(b->runs_wanted), "blockers", INT(b->blockers), "steps", INT(b->steps),
			 "in_vain", INT(b->in_vain), "runs", INT(b->runs), "bytes_moved",
			 INT(b->moved_bytes), "bytes_given_back", INT(b->given_back_bytes),
			 "seconds", 1e-9 * (double)b->worked_ns, "wakeups", INT(b->wakeups));
}

int show_json(const struct answer *a)
{
	json_t *o = json_pack(
		"{s:s, s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "schema",
		"quire-explain-1", "process", INT(a->process), "program", a->program, "version",
		a->version, "state", numbers(a->state, a->states), "counters",
		numbers(a->counter, a->counters), "not_moved", reasons(a->reason, a->reasons),
		"owners", owners(a), "holds", holds(a), "heat", heat(a), "plans", plans(a),
		"background", background(&a->background), "not_listed", numbers(a->left, a->lefts),
		"lines_left_out", INT(a->dropped));
	int error = -ENOMEM;

	if (o && !json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) &&
	    putchar('\n') != EOF)
		error = 0;
	json_decref(o);
	return error;
}

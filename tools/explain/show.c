// SPDX-License-Identifier: MIT
#include "show.h"

#include <inttypes.h>
#include <quire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define OWNER_LINES 40u /* owners, and holds of one, that are listed */
#define NAME_LINES 4u	/* holders that are named for a reason of a plan */
#define FRAME 4096u

/* Text is printable as UTF-8; a terminal of another kind gets ASCII. */
static const char *plain(const struct term *t, const char *text)
{
	static char copy[4][1024];
	static unsigned turn;
	char *to = copy[turn++ % 4];
	size_t n = 0;

	for (; *text && n < sizeof(copy[0]) - 1; text++)
		if (t->utf8 || !(*text & 0x80))
			to[n++] = *text;
		else if ((*text & 0xc0) == 0xc0)
			to[n++] = '?';
	to[n] = '\0';
	return to;
}

static double seconds(uint64_t ns)
{
	return 1e-9 * (double)ns;
}

/* --- who holds what --- */

/* owner, memory, folios, pins, on, where (as wide as it takes), thread, since, why */
#define TABLE_ROW "%-14s %9s %9s %7s %9s  %-*s %8s %7s  %s\n"
#define WHERE_MIN 20
#define WHERE_MAX 48
static int where_width;

static void hold_line(const struct term *t, const struct answer_hold *h, const char *name,
		      const char *memory, const char *folios)
{
	char pins[TEXT], on[TEXT], since[TEXT], thread[TEXT], why[128];

	(void)snprintf(thread, sizeof(thread), "%" PRIu64, h->thread);
	(void)snprintf(why, sizeof(why), "%s%s", plain(t, h->text), h->stays ? ", stays" : "");
	printf(TABLE_ROW, name, memory, folios, text_count(pins, h->pins),
	       h->frames ? text_size(on, h->frames * FRAME) : "-", where_width,
	       *h->site ? plain(t, h->site) : "-", h->thread ? thread : "-",
	       h->age_ns ? text_duration(since, seconds(h->age_ns)) : "-", why);
}

static int by_pins(const void *a, const void *b)
{
	const struct answer_hold *const *x = a, *const *y = b;

	if ((*x)->pins != (*y)->pins)
		return (*x)->pins < (*y)->pins ? 1 : -1;
	return strcmp((*x)->site, (*y)->site);
}

static int by_frames(const void *a, const void *b)
{
	const struct answer_owner *const *x = a, *const *y = b;

	if ((*x)->frames != (*y)->frames)
		return (*x)->frames < (*y)->frames ? 1 : -1;
	return strcmp((*x)->name, (*y)->name);
}

/* The lines of one name: its memory beside the first, as many as it holds. */
static void owner_lines(const struct term *t, const struct answer *a, const char *owner,
			const char *name, const char *memory, const char *folios)
{
	const struct answer_hold *mine[ANSWER_HOLDS];
	char more[TEXT];
	size_t n = 0;

	for (size_t i = 0; i < a->holds; i++)
		if (!strcmp(a->hold[i].owner, owner))
			mine[n++] = &a->hold[i];
	if (!n) {
		if (*memory)
			printf(TABLE_ROW, name, memory, folios, "-", "-", where_width, "-", "-",
			       "-", "-");
		return;
	}
	qsort(mine, n, sizeof(void *), by_pins);
	for (size_t i = 0; i < n && i < OWNER_LINES; i++)
		hold_line(t, mine[i], i ? "" : name, i ? "" : memory, i ? "" : folios);
	if (n > OWNER_LINES)
		printf("%-16s and in %s other places\n", "", text_count(more, n - OWNER_LINES));
}

static bool is_first_of_name(const struct answer_owner *const *order, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(order[k]->name, order[i]->name))
			return false;
	return true;
}

static bool has_owner(const struct answer *a, const char *name)
{
	for (size_t i = 0; i < a->owners; i++)
		if (!strcmp(a->owner[i].name, name))
			return true;
	return false;
}

static void table(const struct term *t, const struct answer *a)
{
	const struct answer_owner *order[ANSWER_OWNERS];
	char memory[TEXT], folios[TEXT];

	where_width = WHERE_MIN;
	for (size_t i = 0; i < a->holds; i++)
		if ((int)strlen(a->hold[i].site) > where_width)
			where_width = (int)strlen(a->hold[i].site);
	where_width = where_width > WHERE_MAX ? WHERE_MAX : where_width;
	printf(TABLE_ROW, "owner", "memory", "folios", "pins", "on", where_width, "where", "thread",
	       "since", "why");
	for (size_t i = 0; i < a->owners; i++)
		order[i] = &a->owner[i];
	if (a->owners)
		qsort(order, a->owners, sizeof(void *), by_frames);
	for (size_t i = 0; i < a->owners && i < OWNER_LINES; i++)
		owner_lines(t, a, is_first_of_name(order, i) ? order[i]->name : "\001",
			    plain(t, order[i]->name),
			    order[i]->frames ? text_size(memory, order[i]->frames * FRAME) : "-",
			    order[i]->folios ? text_count(folios, order[i]->folios) : "-");
	if (a->owners > OWNER_LINES)
		printf("and %s other owners\n", text_count(memory, a->owners - OWNER_LINES));
	/* Holders without an owner: readers, and whose owner is gone or has no row. */
	for (size_t i = 0; i < a->holds; i++) {
		bool seen = has_owner(a, a->hold[i].owner);

		for (size_t k = 0; k < i && !seen; k++)
			seen = !strcmp(a->hold[k].owner, a->hold[i].owner);
		if (!seen)
			owner_lines(t, a, a->hold[i].owner,
				    *a->hold[i].owner ? plain(t, a->hold[i].owner) : "nobody known",
				    "", "");
	}
}

/* --- the rest --- */

static void head(const struct term *t, const struct answer *a)
{
	uint64_t frames = answer_number(a->state, a->states, "frames");
	uint64_t free = answer_number(a->state, a->states, "frames_free"), empty = 0;
	char all[TEXT], used[TEXT], folios[TEXT], blocks[TEXT], none[TEXT];

	printf("%s, process %" PRIu64 ", libquire %s\n", plain(t, a->program), a->process,
	       plain(t, a->version));
	printf("%s: %s in use, %s folios", text_size(all, frames * FRAME),
	       text_size(used, (frames > free ? frames - free : 0) * FRAME),
	       text_count(folios, answer_number(a->state, a->states, "folios_live")));
	for (size_t i = 0; i < a->cells; i++)
		empty += !a->cell[i].used;
	if (a->per == 1 && a->looked == a->blocks)
		printf("; %s of %s blocks of 2 MiB free", text_count(none, empty),
		       text_count(blocks, a->blocks));
	putchar('\n');
}

static const char *counter_text(const char *name)
{
	static const struct {
		const char *name, *text;
	} known[] = {
#define KNOWN(name, text) { #name, text },
		QUIRE_COUNTERS(KNOWN)
#undef KNOWN
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, name))
			return known[i].text;
	return name;
}

static void counters(const struct term *t, const struct answer *a)
{
	static const char row[] = "%-16s %13s  %s\n";
	const char *label = "so far";
	char n[TEXT];

	for (size_t i = 0; i < a->counters; i++) {
		if (!a->counter[i].n)
			continue;
		printf(row, label, text_count(n, a->counter[i].n),
		       plain(t, counter_text(a->counter[i].name)));
		label = "";
	}
	label = "not moved";
	for (size_t i = 0; i < a->reasons; i++) {
		printf(row, label, text_count(n, a->reason[i].n), plain(t, a->reason[i].text));
		label = "";
	}
}

static void heat(const struct term *t, const struct answer *a)
{
	struct heat *map = calloc(a->cells ? a->cells : 1, sizeof(*map));

	if (!map || !a->cells) {
		free(map);
		return;
	}
	for (size_t i = 0; i < a->cells; i++) {
		map[i].used = (uint16_t)((a->cell[i].used + a->per - 1) / a->per);
		map[i].stays = a->cell[i].pinned != 0;
	}
	term_gap(t);
	term_heat(t, "memory", map, a->cells);
	term_legend(t, a->cells, a->per, "is pinned");
	term_gap(t);
	free(map);
}

static bool same_holder(const struct answer_blocker *x, const struct answer_blocker *y)
{
	return !strcmp(x->owner, y->owner) && !strcmp(x->site, y->site) &&
	       !strcmp(x->reason, y->reason);
}

/* Who they are, of those that the record has. */
static void holders(const struct term *t, const struct answer_plan *p, const char *reason)
{
	unsigned lines = 0;

	for (size_t i = 0; i < p->blockers && lines < NAME_LINES; i++) {
		const struct answer_blocker *b = &p->blocker[i];
		bool seen = strcmp(b->reason, reason) != 0;
		char since[TEXT];

		for (size_t k = 0; k < i && !seen; k++)
			seen = same_holder(&p->blocker[k], b);
		if (seen)
			continue;
		lines++;
		printf("%-16s %13s  %s", "", "", *b->owner ? plain(t, b->owner) : "nobody known");
		if (*b->site)
			printf(" at %s", plain(t, b->site));
		if (b->thread)
			printf(", thread %" PRIu64, b->thread);
		if (b->age_ns)
			printf(", %s", text_duration(since, seconds(b->age_ns)));
		putchar('\n');
	}
}

static void plan(const struct term *t, const struct answer_plan *p)
{
	char ago[TEXT], took[TEXT], n[TEXT], m[TEXT], label[48], size[TEXT];
	bool run = strcmp(p->state, "planned") != 0;

	(void)snprintf(label, sizeof(label), "plan %" PRIu64, p->number);
	printf("%-16s %s, made %s ago: ", label, plain(t, p->state),
	       text_duration(ago, seconds(p->age_ns)));
	if (run && p->elapsed_ns)
		printf("%s of %s runs of %s in %s, %s moved", text_count(n, p->obtained),
		       text_count(m, p->count ? p->count : p->runs),
		       text_size(size, p->frames * FRAME),
		       text_duration(took, seconds(p->elapsed_ns)), text_size(ago, p->bytes_moved));
	else
		printf("%s runs of %s, %s to move", text_count(n, p->runs),
		       text_size(size, p->frames * FRAME), text_size(ago, p->bytes));
	if (p->code)
		printf(" (%s)", strerror((int)-p->code));
	putchar('\n');
	for (size_t i = 0; i < p->stays; i++) {
		printf("%-16s %13s  %s\n", "", text_count(n, p->stay[i].n),
		       plain(t, p->stay[i].text));
		holders(t, p, p->stay[i].name);
	}
}

static void background(const struct term *t, const struct answer_background *b)
{
	char n[TEXT], m[TEXT], size[TEXT], back[TEXT], took[TEXT];

	if (!*b->state)
		return;
	printf("%-16s %s; %s runs free", "background", plain(t, b->state),
	       text_count(n, b->runs_free));
	if (b->runs_wanted)
		printf(" of %s wanted", text_count(n, b->runs_wanted));
	if (b->blockers)
		printf(", %s pages in the way", text_count(n, b->blockers));
	printf("\n%-16s %13s  steps: %s runs, %s moved, %s given back, in %s\n", "",
	       text_count(n, b->steps), text_count(m, b->runs), text_size(size, b->moved_bytes),
	       text_size(back, b->given_back_bytes), text_duration(took, seconds(b->worked_ns)));
}

static void left(const struct answer *a)
{
	char n[TEXT];

	for (size_t i = 0; i < a->lefts; i++)
		printf("not listed: %s %s\n", text_count(n, a->left[i].n), a->left[i].name);
	if (a->looked < a->blocks)
		printf("not looked at, for time: %s blocks\n",
		       text_count(n, a->blocks - a->looked));
	if (a->dropped)
		printf("left out: %zu lines\n", a->dropped);
}

void show_text(const struct term *t, const struct answer *a)
{
	head(t, a);
	heat(t, a);
	table(t, a);
	counters(t, a);
	for (size_t i = 0; i < a->plans; i++)
		plan(t, &a->plan[i]);
	background(t, &a->background);
	left(a);
}

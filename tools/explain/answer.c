// SPDX-License-Identifier: MIT
#include "answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIELDS 24

struct parse {
	struct answer *a;
	const char *field[FIELDS]; /* the row's, the key apart; each ends with NUL */
	size_t fields;
	size_t line;
	bool wrong; /* a field was missing or no number */
	uint64_t next_cell;
	char *err;
	size_t err_size;
};

static int fail(struct parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct parse *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(p->err, p->err_size, format, args);
	va_end(args);
	return -EBADMSG;
}

/* --- text --- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Takes \xHH back; what is no such escape stands for itself. Shrinks in place. */
static size_t unescape(char *s)
{
	char *to = s;

	for (const char *c = s; *c; c++) {
		if (c[0] == '\\' && c[1] == 'x' && hex(c[2]) >= 0 && hex(c[3]) >= 0) {
			*to++ = (char)(hex(c[2]) * 16 + hex(c[3]));
			c += 3;
		} else {
			*to++ = *c;
		}
	}
	*to = '\0';
	return (size_t)(to - s);
}

/* Length of the UTF-8 character at s, of which n bytes are left; 0: none is there. */
static size_t character(const unsigned char *s, size_t n, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (length == 1) {
		*code = s[0];
		return 1;
	}
	if (s[0] < 0xc2 || s[0] > 0xf4 || length > n)
		return 0;
	*code = s[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3fu);
	}
	if (*code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return length;
}

/* A character that a terminal or a reader could be fooled by. */
static bool is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x2069) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

/* Makes n bytes printable, and as short as the room for them. */
static void copy_text(char *to, size_t room, const char *from, size_t n)
{
	const unsigned char *s = (const unsigned char *)from;
	size_t at = 0, length;
	uint32_t code = 0;

	for (size_t i = 0; i < n; i += length) {
		length = character(s + i, n - i, &code);
		if (!length || is_harmful(code)) {
			length = length ? length : 1;
			if (at + 1 >= room)
				break;
			to[at++] = '?';
			continue;
		}
		if (at + length >= room)
			break;
		memcpy(to + at, s + i, length);
		at += length;
	}
	to[at] = '\0';
}

/* --- fields --- */

static void take_text(struct parse *p, size_t i, char *to, size_t room)
{
	char plain[ANSWER_LINE];
	size_t n;

	to[0] = '\0';
	if (i >= p->fields) {
		p->wrong = true;
		return;
	}
	n = strlen(p->field[i]);
	memcpy(plain, p->field[i], n + 1);
	n = unescape(plain);
	copy_text(to, room, plain, n);
}
#define TAKE_TEXT(p, i, to) take_text((p), (i), (to), sizeof(to))

static uint64_t take_number(struct parse *p, size_t i)
{
	const char *c = i < p->fields ? p->field[i] : "";
	uint64_t n = 0;

	if (!*c)
		p->wrong = true;
	for (; *c; c++) {
		uint64_t digit = (uint64_t)(*c - '0');

		if (*c < '0' || *c > '9' || n > (INT64_MAX - digit) / 10) {
			p->wrong = true;
			return 0;
		}
		n = n * 10 + digit;
	}
	return n;
}

static int64_t take_code(struct parse *p, size_t i)
{
	bool negative = i < p->fields && p->field[i][0] == '-';
	int64_t n;

	if (negative)
		p->field[i]++;
	n = (int64_t)take_number(p, i);
	if (n > 4095)
		p->wrong = true;
	return negative ? -n : n;
}

/* --- rows --- */

static void number_row(struct parse *p, struct answer_number *row, size_t *n)
{
	struct answer_number r;

	TAKE_TEXT(p, 0, r.name);
	r.n = take_number(p, 1);
	if (*n == ANSWER_NUMBERS)
		p->a->dropped++;
	else
		row[(*n)++] = r;
}

static void reason_row(struct parse *p, struct answer_reason *row, size_t *n)
{
	struct answer_reason r;

	TAKE_TEXT(p, 0, r.name);
	TAKE_TEXT(p, 1, r.text);
	r.n = take_number(p, 2);
	if (*n == ANSWER_REASONS)
		p->a->dropped++;
	else
		row[(*n)++] = r;
}

static void owner_row(struct parse *p)
{
	struct answer_owner *o = &p->a->owner[p->a->owners];

	if (p->a->owners == ANSWER_OWNERS) {
		p->a->dropped++;
		return;
	}
	TAKE_TEXT(p, 0, o->name);
	o->folios = take_number(p, 1);
	o->frames = take_number(p, 2);
	o->pinned = take_number(p, 3);
	p->a->owners++;
}

static void hold_row(struct parse *p)
{
	struct answer_hold *h = &p->a->hold[p->a->holds];

	if (p->a->holds == ANSWER_HOLDS) {
		p->a->dropped++;
		return;
	}
	TAKE_TEXT(p, 0, h->reason);
	TAKE_TEXT(p, 1, h->text);
	TAKE_TEXT(p, 2, h->owner);
	TAKE_TEXT(p, 3, h->site);
	h->thread = take_number(p, 4);
	h->pins = take_number(p, 5);
	h->frames = take_number(p, 6);
	h->age_ns = take_number(p, 7);
	h->stays = take_number(p, 8) != 0;
	p->a->holds++;
}

static int heat_row(struct parse *p)
{
	struct answer *a = p->a;

	if (a->per)
		return fail(p, "line %zu: a second heat map", p->line);
	a->blocks = take_number(p, 0);
	a->per = take_number(p, 1);
	a->looked = take_number(p, 2);
	if (p->wrong || !a->per || a->looked > a->blocks || a->blocks > UINT32_MAX ||
	    a->per > a->blocks)
		return fail(p, "line %zu: no heat map has that size", p->line);
	if ((a->blocks + a->per - 1) / a->per > ANSWER_CELLS)
		return fail(p, "line %zu: a heat map of too many cells", p->line);
	a->cells = (size_t)((a->blocks + a->per - 1) / a->per);
	return 0;
}

static int cell_row(struct parse *p)
{
	struct answer *a = p->a;
	uint64_t at = take_number(p, 0);
	struct answer_cell c = {
		.used = take_number(p, 1),
		.folios = take_number(p, 2),
		.pinned = take_number(p, 3),
		.claimed = take_number(p, 4),
	};

	if (p->wrong)
		return 0;
	if (at >= a->cells || at < p->next_cell || c.used > a->per * 512 || c.claimed > a->per)
		return fail(p, "line %zu: no such cell in the heat map", p->line);
	p->next_cell = at + 1;
	a->cell[at] = c;
	return 0;
}

static void plan_row(struct parse *p)
{
	struct answer_plan *r = &p->a->plan[p->a->plans];

	r->number = take_number(p, 0);
	TAKE_TEXT(p, 1, r->state);
	r->code = take_code(p, 2);
	r->age_ns = take_number(p, 3);
	r->elapsed_ns = take_number(p, 4);
	r->frames = take_number(p, 5);
	r->count = take_number(p, 6);
	r->runs = take_number(p, 7);
	r->bytes = take_number(p, 8);
	r->lower_bound_bytes = take_number(p, 9);
	r->obtained = take_number(p, 10);
	r->bytes_moved = take_number(p, 11);
	r->folios_moved = take_number(p, 12);
	r->folios_failed = take_number(p, 13);
	r->replans = take_number(p, 14);
	r->blockers_all = take_number(p, 15);
	p->a->plans++;
}

static void blocker_row(struct parse *p, struct answer_plan *plan)
{
	struct answer_blocker *b = &plan->blocker[plan->blockers];

	if (plan->blockers == ANSWER_BLOCKERS) {
		p->a->dropped++;
		return;
	}
	b->frame = take_number(p, 0);
	TAKE_TEXT(p, 1, b->reason);
	TAKE_TEXT(p, 2, b->text);
	TAKE_TEXT(p, 3, b->owner);
	TAKE_TEXT(p, 4, b->site);
	b->thread = take_number(p, 5);
	b->age_ns = take_number(p, 6);
	b->code = take_code(p, 7);
	plan->blockers++;
}

static void background_row(struct parse *p)
{
	struct answer_background *b = &p->a->background;

	TAKE_TEXT(p, 0, b->state);
	b->runs_free = take_number(p, 1);
	b->runs_wanted = take_number(p, 2);
	b->blockers = take_number(p, 3);
	b->steps = take_number(p, 4);
	b->in_vain = take_number(p, 5);
	b->runs = take_number(p, 6);
	b->moved_bytes = take_number(p, 7);
	b->given_back_bytes = take_number(p, 8);
	b->worked_ns = take_number(p, 9);
	b->wakeups = take_number(p, 10);
}

/* What belongs to the plan before it. */
static int plan_part(struct parse *p, bool blocker)
{
	struct answer *a = p->a;

	if (!a->plans)
		return fail(p, "line %zu: part of no plan", p->line);
	if (blocker)
		blocker_row(p, &a->plan[a->plans - 1]);
	else
		reason_row(p, a->plan[a->plans - 1].stay, &a->plan[a->plans - 1].stays);
	return 0;
}

static int row(struct parse *p, const char *key)
{
	struct answer *a = p->a;
	int error = 0;

	p->wrong = false;
	if (!strcmp(key, "host")) {
		a->process = take_number(p, 0);
		TAKE_TEXT(p, 1, a->program);
		TAKE_TEXT(p, 2, a->version);
	} else if (!strcmp(key, "error")) {
		TAKE_TEXT(p, 0, a->error);
		if (!a->error[0])
			(void)snprintf(a->error, sizeof(a->error), "no reason is given");
	} else if (!strcmp(key, "state")) {
		number_row(p, a->state, &a->states);
	} else if (!strcmp(key, "counter")) {
		number_row(p, a->counter, &a->counters);
	} else if (!strcmp(key, "left")) {
		number_row(p, a->left, &a->lefts);
	} else if (!strcmp(key, "not_moved")) {
		reason_row(p, a->reason, &a->reasons);
	} else if (!strcmp(key, "owner")) {
		owner_row(p);
	} else if (!strcmp(key, "hold")) {
		hold_row(p);
	} else if (!strcmp(key, "heat")) {
		error = heat_row(p);
	} else if (!strcmp(key, "cell")) {
		error = cell_row(p);
	} else if (!strcmp(key, "plan")) {
		if (a->plans == ANSWER_PLANS)
			return fail(p, "line %zu: too many plans", p->line);
		plan_row(p);
	} else if (!strcmp(key, "background")) {
		background_row(p);
	} else if (!strcmp(key, "stays")) {
		error = plan_part(p, false);
	} else if (!strcmp(key, "blocker")) {
		error = plan_part(p, true);
	}
	if (!error && p->wrong)
		return fail(p, "line %zu: a field is missing or is no number", p->line);
	return error;
}

/* Splits a line, which is changed, into its key and its fields. */
static void split(struct parse *p, char *line)
{
	p->fields = 0;
	for (char *tab = line; (tab = strchr(tab, '\t')) && p->fields < FIELDS;) {
		*tab++ = '\0';
		p->field[p->fields++] = tab;
	}
	if (p->fields == FIELDS) {
		char *more = strchr(p->field[FIELDS - 1], '\t');

		if (more)
			*more = '\0';
	}
}

int answer_parse(const char *text, size_t n, struct answer *a, char *err, size_t err_size)
{
	struct parse p = { .a = a, .err = err, .err_size = err_size };
	char line[ANSWER_LINE];
	bool ended = false;
	int error;

	memset(a, 0, sizeof(*a));
	for (size_t at = 0; at < n;) {
		const char *eol = memchr(text + at, '\n', n - at);
		size_t length;

		p.line++;
		if (ended)
			return fail(&p, "line %zu: something follows the end", p.line);
		if (!eol)
			return fail(&p, "line %zu is cut off", p.line);
		length = (size_t)(eol - (text + at));
		if (length >= sizeof(line))
			return fail(&p, "line %zu is too long", p.line);
		memcpy(line, text + at, length);
		line[length] = '\0';
		at += length + 1;
		if (strlen(line) != length)
			return fail(&p, "line %zu has a zero byte", p.line);
		if (p.line == 1 && strcmp(line, "quire\t1") != 0)
			return fail(&p, "what answers there is no quire of this version");
		ended = !strcmp(line, "end");
		split(&p, line);
		error = row(&p, line);
		if (error)
			return error;
	}
	return ended ? 0 : fail(&p, n ? "the answer has no end" : "there was no answer");
}

uint64_t answer_number(const struct answer_number *number, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(number[i].name, name))
			return number[i].n;
	return 0;
}

// SPDX-License-Identifier: MIT
#include "answers.h"

#include <string.h>

/* Valid UTF-8, ended within its room, and nothing in it that a terminal obeys. */
static bool is_text(const char *s, size_t room)
{
	const unsigned char *c = (const unsigned char *)s;
	size_t n = strnlen(s, room);

	if (n == room)
		return false;
	for (size_t i = 0; i < n;) {
		unsigned more = c[i] < 0x80 ? 0 : c[i] < 0xe0 ? 1 : c[i] < 0xf0 ? 2 : 3;

		if (c[i] < 0x20 || c[i] == 0x7f || (c[i] >= 0x80 && c[i] < 0xc2) || c[i] > 0xf4)
			return false;
		/* C1 controls, and what turns the direction of writing */
		if (c[i] == 0xc2 && c[i + 1] < 0xa0)
			return false;
		if (c[i] == 0xe2 && c[i + 1] == 0x80 && c[i + 2] >= 0xa8 && c[i + 2] <= 0xae)
			return false;
		for (i++; more; more--, i++)
			if ((c[i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

#define TEXT_OK(array) is_text((array), sizeof(array))

static const char *reasons_wrong(const struct answer_reason *r, size_t n)
{
	if (n > ANSWER_REASONS)
		return "too many reasons";
	for (size_t i = 0; i < n; i++)
		if (!TEXT_OK(r[i].name) || !TEXT_OK(r[i].text) || r[i].n > INT64_MAX)
			return "a reason";
	return NULL;
}

static const char *plan_wrong(const struct answer_plan *p)
{
	if (p->blockers > ANSWER_BLOCKERS || !TEXT_OK(p->state))
		return "a plan";
	if (p->code > 4095 || p->code < -4095)
		return "a code";
	for (size_t i = 0; i < p->blockers; i++) {
		const struct answer_blocker *b = &p->blocker[i];

		if (!TEXT_OK(b->reason) || !TEXT_OK(b->text) || !TEXT_OK(b->owner) ||
		    !TEXT_OK(b->site))
			return "a blocker";
	}
	return reasons_wrong(p->stay, p->stays);
}

static const char *heat_wrong(const struct answer *a)
{
	if (a->cells > ANSWER_CELLS || (a->cells && !a->per))
		return "too many cells";
	for (size_t i = 0; i < a->cells; i++)
		if (a->cell[i].used > a->per * 512 || a->cell[i].claimed > a->per)
			return "a cell";
	return NULL;
}

const char *answer_wrong(const struct answer *a)
{
	const char *wrong;

	if (a->states > ANSWER_NUMBERS || a->counters > ANSWER_NUMBERS ||
	    a->lefts > ANSWER_NUMBERS || a->owners > ANSWER_OWNERS || a->holds > ANSWER_HOLDS ||
	    a->plans > ANSWER_PLANS)
		return "too many rows";
	if (!TEXT_OK(a->program) || !TEXT_OK(a->version) || !TEXT_OK(a->error))
		return "the host";
	for (size_t i = 0; i < a->states; i++)
		if (!TEXT_OK(a->state[i].name))
			return "a state";
	for (size_t i = 0; i < a->counters; i++)
		if (!TEXT_OK(a->counter[i].name) || a->counter[i].n > INT64_MAX)
			return "a counter";
	for (size_t i = 0; i < a->lefts; i++)
		if (!TEXT_OK(a->left[i].name))
			return "what was left";
	for (size_t i = 0; i < a->owners; i++)
		if (!TEXT_OK(a->owner[i].name))
			return "an owner";
	for (size_t i = 0; i < a->holds; i++)
		if (!TEXT_OK(a->hold[i].reason) || !TEXT_OK(a->hold[i].text) ||
		    !TEXT_OK(a->hold[i].owner) || !TEXT_OK(a->hold[i].site))
			return "a hold";
	for (size_t i = 0; i < a->plans; i++) {
		wrong = plan_wrong(&a->plan[i]);
		if (wrong)
			return wrong;
	}
	wrong = heat_wrong(a);
	return wrong ? wrong : reasons_wrong(a->reason, a->reasons);
}

const char *message_wrong(const char *message)
{
	if (!*message)
		return "no message";
	for (; *message; message++)
		if ((unsigned char)*message < 0x20 || *message == 0x7f)
			return "a control character";
	return NULL;
}

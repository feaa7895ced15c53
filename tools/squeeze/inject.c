/* SPDX-License-Identifier: MIT */
#include "inject.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef QUIRE_POINTS
#include "os/os.h"
#include "util/points.h"
#endif

#define WORD 24 /* room for the longest word */

enum value { N, PCT };

static const struct {
	const char *word;
	enum value value;
} faults[INJECT_COUNT] = {
#define INJECT_WORD_(field, word, value, text) [INJECT_##field] = { word, value },
	INJECT_FAULTS(INJECT_WORD_)
#undef INJECT_WORD_
};

/* Which fault point of the library makes a fault; NULL: an owner makes it. */
static const struct {
	const char *point;
	int err;
} points[INJECT_COUNT] = {
	[INJECT_copy] = { "copy", -EIO },
	[INJECT_alloc] = { "frame:alloc", -ENOMEM },
	[INJECT_membarrier] = { "os:membarrier", -EIO },
};

const char *inject_word(enum inject_fault fault)
{
	return faults[fault].word;
}

static bool number(const char *text, uint64_t *n)
{
	char *end;

	if (text[0] < '1' || text[0] > '9')
		return false;
	errno = 0;
	*n = strtoull(text, &end, 10);
	return !errno && !*end && *n <= UINT32_MAX;
}

static bool per_cent(const char *text, double *pct)
{
	char *end;

	if ((text[0] < '0' || text[0] > '9') && text[0] != '.')
		return false;
	if (strpbrk(text, "xX"))
		return false;
	*pct = strtod(text, &end);
	return end != text && !*end && isfinite(*pct) && *pct > 0 && *pct <= 100;
}

static bool wrong(char *error, size_t size, const char *format, const char *word)
{
	snprintf(error, size, format, word);
	return false;
}

/* "word:value", and nothing else. */
static bool parse_word(const char *item, struct inject *inject, char *error, size_t size)
{
	const char *value = strrchr(item, ':');
	size_t length;

	for (unsigned f = 0; f < INJECT_COUNT; f++)
		if (!strcmp(item, faults[f].word))
			value = NULL;
	length = value ? (size_t)(value - item) : strlen(item);
	if (!strcmp(item, "membarrier:off")) {
		if (inject->membarrier_off)
			return wrong(error, size, "--inject has '%.40s' twice", item);
		inject->membarrier_off = true;
		return true;
	}
	for (unsigned f = 0; f < INJECT_COUNT; f++) {
		bool pct = faults[f].value == PCT;

		if (strlen(faults[f].word) != length || strncmp(item, faults[f].word, length) != 0)
			continue;
		if (inject->n[f] || inject->pct[f] > 0)
			return wrong(error, size, "--inject has '%.40s' twice", faults[f].word);
		if (!value || !(pct ? per_cent(value + 1, &inject->pct[f])
				    : number(value + 1, &inject->n[f])))
			return wrong(
				error, size,
				pct ? "--inject %.40s wants a percentage above 0, up to 100, as in "
				      "isolate:5"
				    : "--inject %.40s wants a whole number from 1 to 2^32 - 1, "
				      "as in copy:100",
				faults[f].word);
		return true;
	}
	return wrong(error, size, "--inject knows no '%.40s'", item);
}

bool inject_parse(const char *text, struct inject *inject, char *error, size_t size)
{
	char item[2 * WORD];
	const char *at = text;

	memset(inject, 0, sizeof(*inject));
	if (strlen(text) >= sizeof(inject->text))
		return wrong(error, size, "--inject wants a shorter list than '%.20s...'", text);
	snprintf(inject->text, sizeof(inject->text), "%s", text);
	for (;;) {
		size_t n = strcspn(at, ",");

		if (!n)
			return wrong(error, size, "--inject has an empty word in '%.40s'", text);
		snprintf(item, sizeof(item), "%.*s", (int)n, at);
		if (n >= sizeof(item))
			return wrong(error, size, "--inject knows no '%.40s...'", item);
		if (!parse_word(item, inject, error, size))
			return false;
		at += n;
		if (!*at++)
			break;
	}
	if (inject->membarrier_off && inject->n[INJECT_membarrier])
		return wrong(error, size, "--inject cannot fail barriers with %s",
			     "membarrier:off");
	inject->any = true;
	return true;
}

#ifdef QUIRE_POINTS

bool inject_possible(const struct inject *inject, const char **word)
{
	(void)inject;
	(void)word;
	return true;
}

void inject_prepare(const struct inject *inject)
{
	os_membarrier_missing = inject->membarrier_off;
}

void inject_arm(const struct inject *inject)
{
	for (unsigned f = 0; f < INJECT_COUNT; f++)
		if (points[f].point && inject->n[f])
			quire_fault_every_(points[f].point, inject->n[f], points[f].err);
}

void inject_disarm(uint64_t fired[INJECT_COUNT])
{
	for (unsigned f = 0; f < INJECT_COUNT; f++)
		if (points[f].point)
			fired[f] += quire_fault_every_(points[f].point, 0, 0);
}

#else

bool inject_possible(const struct inject *inject, const char **word)
{
	*word = inject->membarrier_off ? "membarrier:off" : NULL;
	for (unsigned f = 0; f < INJECT_COUNT && !*word; f++)
		if (points[f].point && inject->n[f])
			*word = faults[f].word;
	return !*word;
}

void inject_prepare(const struct inject *inject)
{
	(void)inject;
}

void inject_arm(const struct inject *inject)
{
	(void)inject;
}

void inject_disarm(uint64_t fired[INJECT_COUNT])
{
	(void)fired;
}

#endif

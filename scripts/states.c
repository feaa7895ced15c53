// SPDX-License-Identifier: MIT
/*
 * states.c: prints what is made of src/folio/states.def: `docs` the page docs/states.md, `model`
 * the part tests/model/states.pml of the model. scripts/states.sh compiles and runs it.
 */
#include "folio/state.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *text, *meaning;
	uint64_t flags;
} states[] = {
#define STATE(name, flags, meaning) { #name, #flags, meaning, flags },
#include "folio/states.def"
};

static const struct {
	const char *name, *place, *version, *function, *who, *pairs;
} steps[] = {
#define STEP(name, place, version, function, who, pairs)                                           \
	{ #name, #place, #version, function, who, pairs },
#include "folio/states.def"
};

static const struct {
	enum folio_step step;
	enum folio_state from, to;
} edges[] = {
#define EDGE(step, from, to) { STEP_##step, STATE_##from, STATE_##to },
#include "folio/states.def"
};

static const struct {
	const char *name, *refs, *refs_change, *pins, *pins_change, *function, *meaning;
} counts[] = {
#define COUNT_STEP(name, refs, refs_change, pins, pins_change, function, meaning)                  \
	{ #name, #refs, #refs_change, #pins, #pins_change, function, meaning },
#include "folio/states.def"
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name;
	uint64_t flag;
} flags[] = {
	{ "MOVING", QUIRE_MOVING_ },   { "DEAD", QUIRE_DEAD_ },	  { "ISOLATED", QUIRE_ISOLATED_ },
	{ "WAITERS", QUIRE_WAITERS_ }, { "MOVED", QUIRE_MOVED_ },
};

static void print_flags(uint64_t value, const char *between, const char *none)
{
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		if (!(value & flags[i].flag))
			continue;
		printf("%s%s", any ? between : "", flags[i].name);
		any = true;
	}
	if (!any)
		printf("%s", none);
}

static void print_picture(void)
{
	printf("```mermaid\nstateDiagram-v2\n");
	for (size_t i = 0; i < COUNT_OF(edges); i++)
		printf("    %s --> %s: %s\n", states[edges[i].from].name, states[edges[i].to].name,
		       steps[edges[i].step].name);
	printf("    [*] --> BLANK\n```\n");
}

static const char *version_text(const char *rule)
{
	return strcmp(rule, "NEXT") ? "same" : "+ 1";
}

static const char *place_text(const char *rule)
{
	if (!strcmp(rule, "NEW"))
		return "another frame, the same order";
	if (!strcmp(rule, "LESS"))
		return "the same frame, a lower order";
	if (!strcmp(rule, "MORE"))
		return "the same frame, a higher order";
	return strcmp(rule, "ANY") ? "same" : "any";
}

static const char *least_text(const char *rule)
{
	if (!strcmp(rule, "NONE"))
		return "none";
	if (!strcmp(rule, "ONE"))
		return "just 1";
	if (!strcmp(rule, "FROZEN"))
		return "1, frozen";
	return strcmp(rule, "0") ? "1 or more" : "any";
}

static const char *change_text(const char *rule)
{
	if (!strcmp(rule, "ALL"))
		return "to 0";
	if (!strcmp(rule, "FROZEN"))
		return "frozen";
	if (!strcmp(rule, "ONE"))
		return "thawed";
	if (!strcmp(rule, "0"))
		return "";
	return strcmp(rule, "1") ? "- 1" : "+ 1";
}

static void print_docs(void)
{
	printf("<!-- SPDX-License-Identifier: MIT -->\n"
	       "<!-- Made by scripts/states.sh of src/folio/states.def. -->\n"
	       "# The states of a folio\n\n"
	       "A folio's word (`include/quire/abi.h`) is the one place where its state stands. "
	       "These are the\ncombinations of flags that exist, and all that may change them. "
	       "Builds with assertions check every\nstore against this table; the model in "
	       "`tests/model/` is made of it and checked exhaustively.\n\n");
	print_picture();
	printf("\n## States\n\n| state | flags | meaning |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < COUNT_OF(states); i++) {
		printf("| %s | ", states[i].name);
		print_flags(states[i].flags, ", ", "none");
		printf(" | %s |\n", states[i].meaning);
	}
	printf("\n## Steps\n\n| step | from, to | place | version | in | who | pairs with |\n"
	       "| --- | --- | --- | --- | --- | --- | --- |\n");
	for (size_t s = 0; s < COUNT_OF(steps); s++) {
		const char *between = "";

		printf("| %s | ", steps[s].name);
		for (size_t i = 0; i < COUNT_OF(edges); i++) {
			if (edges[i].step != s)
				continue;
			printf("%s%s to %s", between, states[edges[i].from].name,
			       states[edges[i].to].name);
			between = "; ";
		}
		printf(" | %s | %s | `%s()` | %s | %s |\n", place_text(steps[s].place),
		       version_text(steps[s].version), steps[s].function, steps[s].who,
		       steps[s].pairs);
	}
	printf("\n## References and long pins\n\nThey are one number beside the word. \"Before\" "
	       "is what there must be for the step.\n\n"
	       "| step | references before | | long pins before | | in | |\n"
	       "| --- | --- | --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		printf("| %s | %s | %s | %s | %s | `%s()` | %s |\n", counts[i].name,
		       least_text(counts[i].refs), change_text(counts[i].refs_change),
		       least_text(counts[i].pins), change_text(counts[i].pins_change),
		       counts[i].function, counts[i].meaning);
}

static void print_model(void)
{
	printf("/* SPDX-License-Identifier: MIT */\n"
	       "/* Made by scripts/states.sh of src/folio/states.def: flags, states, steps. */\n");
	for (size_t i = 0; i < COUNT_OF(flags); i++)
		printf("#define %s %u\n", flags[i].name,
		       (unsigned)(flags[i].flag >> QUIRE_WORD_FLAG_SHIFT_));
	for (size_t i = 0; i < COUNT_OF(states); i++) {
		printf("#define IN_%s (", states[i].name);
		print_flags(states[i].flags, " | ", "0");
		printf(")\n");
	}
	printf("#define STATES %zu\n#define EDGES %zu\n", COUNT_OF(states), COUNT_OF(edges));
	for (size_t s = 0; s < COUNT_OF(steps); s++) {
		printf("#define NEXT_%s %d\n#define MAY_%s(from, to) (", steps[s].name,
		       !strcmp(steps[s].version, "NEXT"), steps[s].name);
		for (size_t i = 0, n = 0; i < COUNT_OF(edges); i++)
			if (edges[i].step == s)
				printf("%s((from) == IN_%s && (to) == IN_%s)", n++ ? " || " : "",
				       states[edges[i].from].name, states[edges[i].to].name);
		printf(")\n");
	}
	/* Which edge a step was, for counting those that were taken. */
	for (size_t s = 0; s < COUNT_OF(steps); s++) {
		size_t n = 0;

		printf("#define EDGE_%s(from, to) ", steps[s].name);
		for (size_t i = 0; i < COUNT_OF(edges); i++) {
			if (edges[i].step != s)
				continue;
			printf("((from) == IN_%s && (to) == IN_%s -> %zu : ",
			       states[edges[i].from].name, states[edges[i].to].name, i);
			n++;
		}
		printf("%zu", COUNT_OF(edges));
		while (n--)
			printf(")");
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "docs"))
		print_docs();
	else if (argc == 2 && !strcmp(argv[1], "model"))
		print_model();
	else
		return 2;
	return fflush(stdout) || ferror(stdout);
}

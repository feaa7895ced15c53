/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../usage.h"

struct parse {
	struct squeeze_options *options;
	bool help;
	bool pins_set;
	const char *goal; /* the option that set one; NULL: none yet */
	char error[256];  /* "": argp found the mistake */
};

static const struct argp_option described[] = {
	{ "layout", 'l', "FILE", 0, "A recorded layout, plain or zstd (default: a kernel build)",
	  0 },
	{ "pins", 'p', "PCT", 0, "Share of live folios in use by owners that are asked (default 2)",
	  0 },
	{ "refuse", 'r', "PCT", 0, "Share held by an owner that never yields (default 0.05)", 0 },
	{ "load", 'n', "N", 0, "Threads that read and write meanwhile (default: cores - 1)", 0 },
	{ "seed", 's', "N", 0, "Which folios those are, and their content (default 618)", 0 },
	{ "owners", 'o', "LIST", 0, "Which owners take part (default gem,ring,kv)", 0 },
	{ "inject", 'i', "LIST", 0,
	  "Make steps fail: copy:N, alloc:N, membarrier:N, membarrier:off, isolate:PCT, "
	  "isolate:veto:PCT, migrate:eagain:N, migrate:busy:N, migrate:late:N",
	  0 },
	{ "want", 'w', "SIZE:N", 0,
	  "Free N runs of SIZE, 2M to 1G, at the fewest bytes; N may be all (default 2M:all)", 0 },
	{ "drain", 'd', "LO..HI", 0,
	  "Empty this range instead: frames, bytes such as 64M, or per cent; whole blocks of 2M",
	  0 },
	{ "shrink", 'k', "PCT", OPTION_ARG_OPTIONAL,
	  "Give the freed pages back to the system afterwards; with PCT, free no more than make so "
	  "many per cent of the layout",
	  0 },
	{ "backing", 'b', "4k|2m", 0,
	  "Pages behind the arena: 2m: hugetlb if it can be had, else by MADV_COLLAPSE (default "
	  "4k)",
	  0 },
	{ "kernel", 'K', NULL, 0,
	  "Let Linux compact the same layout in this machine's memory, too; takes root, disturbs "
	  "the whole machine",
	  0 },
	{ "map", 'm', "FILE", 0, "Write a picture of all blocks before and after, as PNG", 0 },
	{ "json", 'j', NULL, 0, "Print one JSON object instead of the table", 0 },
	{ "help", 'h', NULL, 0, "Print this", 0 },
	{ 0 },
};

/* A number that fills the whole of text; leading blanks and signs are no part of one. */
static bool digits_first(const char *text)
{
	return text[0] >= '0' && text[0] <= '9';
}

static bool percentage(const char *text, double *value)
{
	char *end;

	if (!digits_first(text) && text[0] != '.')
		return false;
	if (strchr(text, 'x') || strchr(text, 'X'))
		return false;
	*value = strtod(text, &end);
	return end != text && !*end && isfinite(*value) && *value >= 0 && *value <= 100;
}

static bool whole(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;

	if (!digits_first(text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, hex ? 16 : 10);
	return !errno && !*end && *value >= least && *value <= most;
}

/* Names separated by commas, each once. */
static bool owners(const char *text, unsigned *set)
{
	static const char *const names[] = { "gem", "ring", "kv" };
	unsigned bit;
	size_t n;

	for (*set = 0;; text++) {
		n = strcspn(text, ",");
		bit = 0;
		for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strlen(names[i]) == n && !strncmp(text, names[i], n))
				bit = 1u << i;
		if (!bit || (*set & bit))
			return false;
		*set |= bit;
		text += n;
		if (!*text)
			return true;
	}
}

/* One goal at a time. */
static bool take_goal(struct parse *p, const char *option)
{
	if (p->goal && strcmp(p->goal, option) != 0) {
		snprintf(p->error, sizeof(p->error), "--%s and --%s are two goals; give one",
			 p->goal, option);
		return false;
	}
	p->goal = option;
	return true;
}

/* --shrink, --shrink=PCT or --shrink PCT. */
static error_t parse_shrink(struct parse *p, char *arg, struct argp_state *state)
{
	struct goal *goal = &p->options->goal;

	p->options->shrink = true;
	if (!arg && state->next < state->argc && state->argv[state->next][0] != '-')
		arg = state->argv[state->next++];
	if (!arg)
		return 0;
	if (!take_goal(p, "shrink"))
		return EINVAL;
	goal->kind = GOAL_SHARE;
	if (percentage(arg, &goal->pct) && goal->pct > 0)
		return 0;
	snprintf(p->error, sizeof(p->error),
		 "--shrink wants nothing, or a percentage above 0 and up to 100, not '%.40s'", arg);
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	struct squeeze_options *o = p->options;
	uint64_t n = 0;

	switch (key) {
	case 'l':
		o->layout = arg;
		if (*arg)
			return 0;
		snprintf(p->error, sizeof(p->error), "--layout wants the name of a file");
		return EINVAL;
	case 'm':
		o->map = arg;
		if (*arg)
			return 0;
		snprintf(p->error, sizeof(p->error), "--map wants the name of a file");
		return EINVAL;
	case 'p':
	case 'r':
		p->pins_set |= key == 'p';
		if (percentage(arg, key == 'p' ? &o->pins : &o->refuse))
			return 0;
		snprintf(p->error, sizeof(p->error),
			 "--%s wants a percentage from 0 to 100, not '%.40s'",
			 key == 'p' ? "pins" : "refuse", arg);
		return EINVAL;
	case 'n':
		if (!whole(arg, 1, SQUEEZE_MAX_LOAD, &n)) {
			snprintf(p->error, sizeof(p->error),
				 "--load wants a whole number of threads from 1 to %u, not '%.40s'",
				 SQUEEZE_MAX_LOAD, arg);
			return EINVAL;
		}
		o->load = (unsigned)n;
		return 0;
	case 's':
		if (whole(arg, 0, INT64_MAX, &o->seed))
			return 0;
		snprintf(p->error, sizeof(p->error),
			 "--seed wants a whole number from 0 to 2^63 - 1, not '%.40s'", arg);
		return EINVAL;
	case 'o':
		if (owners(arg, &o->owners))
			return 0;
		snprintf(p->error, sizeof(p->error),
			 "--owners wants some of gem, ring and kv, separated by commas, each once, "
			 "not '%.40s'",
			 arg);
		return EINVAL;
	case 'i':
		return inject_parse(arg, &o->inject, p->error, sizeof(p->error)) ? 0 : EINVAL;
	case 'w':
		return take_goal(p, "want") &&
				       goal_parse_want(arg, &o->goal, p->error, sizeof(p->error))
			       ? 0
			       : EINVAL;
	case 'd':
		return take_goal(p, "drain") &&
				       goal_parse_drain(arg, &o->goal, p->error, sizeof(p->error))
			       ? 0
			       : EINVAL;
	case 'k':
		return parse_shrink(p, arg, state);
	case 'b':
		o->huge = !strcmp(arg, "2m");
		if (o->huge || !strcmp(arg, "4k"))
			return 0;
		snprintf(p->error, sizeof(p->error), "--backing wants 4k or 2m, not '%.40s'", arg);
		return EINVAL;
	case 'K':
		o->kernel = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'h':
		p->help = true;
		return 0;
	case ARGP_KEY_ARG:
		snprintf(p->error, sizeof(p->error),
			 "'%.40s' is no option; a layout is given by --layout", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What each option alone cannot say. */
static void check_together(struct parse *p)
{
	struct squeeze_options *o = p->options;
	const char *word;

	if (o->pins + o->refuse > 100)
		snprintf(p->error, sizeof(p->error),
			 "--pins and --refuse are over 100 %% together");
	else if (!(o->owners & (OWNERS_GEM | OWNERS_RING)) && p->pins_set && o->pins > 0)
		snprintf(p->error, sizeof(p->error),
			 "--pins wants gem or ring among the --owners: nobody else has pages in "
			 "use");
	else if (o->kernel && p->goal)
		snprintf(
			p->error, sizeof(p->error),
			"--kernel and --%s do not go together: Linux has one goal, all 2 MiB pages",
			p->goal);
	else if (!inject_possible(&o->inject, &word))
		snprintf(
			p->error, sizeof(p->error),
			"--inject %s needs the library's fault points, which only ./run in quire's "
			"source tree has; isolate and migrate work here",
			word);
	if (!(o->owners & (OWNERS_GEM | OWNERS_RING)))
		o->pins = 0;
}

bool squeeze_options_parse(struct squeeze_options *options, int argc, char **argv)
{
	static const struct argp argp = {
		described,
		parse_option,
		NULL,
		"Lays memory out as a real machine had it, squeezes it together while it is in "
		"use, "
		"and says what was freed and who stood in the way."
		"\vExit status: 0 all that was possible was freed, what stays was named, and no "
		"byte "
		"was wrong; 1 it was not so, or it was interrupted; 2 bad input.",
		NULL,
		NULL,
		NULL
	};
	static char name[] = "quire squeeze";
	struct parse p = { .options = options };
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int index = argc;

	memset(options, 0, sizeof(*options));
	options->pins = SQUEEZE_PINS;
	options->refuse = SQUEEZE_REFUSE;
	options->seed = SQUEEZE_SEED;
	options->owners = OWNERS_ALL;
	goal_init(&options->goal);
	options->load = cores > 2 ? (unsigned)(cores - 1) : 1;
	if (options->load > SQUEEZE_MAX_LOAD)
		options->load = SQUEEZE_MAX_LOAD;

	argv[0] = name;
	/* argp's own messages take two lines, and without them it prints no help either */
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &index, &p)) {
		usage_unknown(p.error, sizeof(p.error), argc, argv, index);
	} else if (!p.help) {
		check_together(&p);
	}
	return usage_end(&argp, name, p.help, p.error);
}

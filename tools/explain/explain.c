// SPDX-License-Identifier: MIT
/*
 * explain.c: the command: finds a server, asks it, shows what it says.
 */
#include "explain.h"

#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "printable.h"
#include "show.h"
#include "usage.h"

#define ANSWER_SECONDS 10u
#define WATCH_MS 1000

struct options {
	const char *socket;
	long process; /* 0: none given */
	bool json, watch, help;
	char error[256]; /* "": argp found the mistake */
};

static const struct argp_option described[] = {
	{ "socket", 's', "PATH", 0, "The socket of the program to ask", 0 },
	{ "pid", 'p', "PID", 0, "The program to ask, by its process", 0 },
	{ "watch", 'w', NULL, 0, "Ask once a second until the program ends", 0 },
	{ "json", 'j', NULL, 0, "Print a JSON object instead of the tables", 0 },
	{ "help", 'h', NULL, 0, "Print this", 0 },
	{ 0 },
};

static bool process_number(const char *text, long *value)
{
	char *end;

	if (*text < '1' || *text > '9')
		return false;
	errno = 0;
	*value = strtol(text, &end, 10);
	return !errno && !*end && *value <= INT32_MAX;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 's':
		o->socket = arg;
		if (*arg)
			return 0;
		(void)snprintf(o->error, sizeof(o->error), "--socket wants the name of a socket");
		return EINVAL;
	case 'p':
		if (process_number(arg, &o->process))
			return 0;
		(void)snprintf(o->error, sizeof(o->error),
			       "--pid wants the number of a process, not '%.40s'", arg);
		return EINVAL;
	case 'w':
		o->watch = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case ARGP_KEY_ARG:
		(void)snprintf(o->error, sizeof(o->error),
			       "'%.40s' is no option; a program is named by --pid or --socket",
			       arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		described,
		parse_option,
		NULL,
		"Says of a running program that serves itself (quire_serve_create): who holds "
		"what, from which line of its source and since when, its counters, and what became "
		"of its last plans. Without options: of the only one there is, or which there are."
		"\vExit status: 0 it was shown; 1 there is nothing to ask, or no good answer; 2 "
		"bad "
		"input.",
		NULL,
		NULL,
		NULL
	};
	static char name[] = "quire explain";
	int index = argc;

	argv[0] = name;
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &index, o)) {
		usage_unknown(o->error, sizeof(o->error), argc, argv, index);
	} else if (o->socket && o->process) {
		(void)snprintf(o->error, sizeof(o->error), "--socket or --pid, not both");
	}
	return usage_end(&argp, name, o->help, o->error);
}

/* What the kernel calls a process, or "". */
static const char *name_of(long process, char name[64])
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", process);
	name[0] = '\0';
	f = fopen(path, "re");
	if (!f)
		return name;
	if (!fgets(name, 64, f))
		name[0] = '\0';
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
	for (char *c = name; *c; c++)
		if (*c & 0x80)
			*c = '?';
	return make_printable(name);
}

/* Which socket to ask; NULL: it has been said why there is none, or which there are. */
static const char *choose(const struct options *o, int *status)
{
	static struct client_place places[CLIENT_PLACES];
	const char *given = getenv("QUIRE_SOCKET");
	char name[64];
	size_t n;

	if (o->socket)
		return o->socket;
	if (!o->process && given && *given)
		return given;
	n = client_find(o->process, places);
	if (n == 1)
		return places[0].path;
	*status = 1;
	if (!n && o->process) {
		fprintf(stderr, "quire explain: process %ld serves nothing that can be found\n",
			o->process);
	} else if (!n) {
		fputs("quire explain: no program serves; one that calls quire_serve_create() does, "
		      "such as examples/serve\n",
		      stderr);
	} else if (o->json || o->watch) {
		fprintf(stderr, "quire explain: there are %zu; --pid or --socket says which\n", n);
	} else {
		*status = 0;
		printf("%8s  %-16s %s\n", "process", "program", "socket");
		for (size_t i = 0; i < n; i++)
			printf("%8ld  %-16s %s\n", places[i].process,
			       name_of(places[i].process, name), make_printable(places[i].path));
	}
	return NULL;
}

static int show(const struct options *o, struct term *t, const struct answer *a)
{
	int error = 0;

	if (o->watch && t->map)
		fputs("\033[H\033[2J", stdout);
	if (o->json)
		error = show_json(a);
	else
		show_text(t, a);
	if (!error && (fflush(stdout) || ferror(stdout)))
		error = -EIO; /* said at the exit */
	return error;
}

int explain_main(int argc, char **argv)
{
	struct options o = { 0 };
	struct answer *a;
	const char *path;
	struct term t;
	char err[256];
	int error, status = 1;
	bool shown = false;

	if (!parse(&o, argc, argv))
		return 2;
	path = choose(&o, &status);
	if (!path)
		return status;
	a = malloc(sizeof(*a));
	if (!a) {
		fputs("quire explain: not enough memory\n", stderr);
		return 2;
	}
	term_init(&t);
	for (;;) {
		error = client_ask(path, ANSWER_SECONDS, a, err, sizeof(err));
		if (error)
			break;
		error = show(&o, &t, a);
		shown = true;
		if (error || !o.watch)
			break;
		(void)poll(NULL, 0, WATCH_MS);
	}
	free(a);
	if (!error)
		return 0;
	/* The program has ended, and what there was of it was shown. */
	if (shown && (error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET))
		return 0;
	if (!shown || error == -EBADMSG || error == -ETIMEDOUT) {
		char where[160];

		(void)snprintf(where, sizeof(where), "%s", path);
		fprintf(stderr, "quire explain: %s: %s\n", make_printable(where), err);
	}
	return 1;
}

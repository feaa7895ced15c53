/* SPDX-License-Identifier: MIT */
/*
 * quire.c: the command. Finds the subcommand and hands it what follows.
 */
#include <argp.h>
#include <fcntl.h>
#include <quire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explain/explain.h"
#include "printable.h"
#include "replay/replay.h"
#include "scan/record.h"
#include "scan/scan.h"
#include "squeeze/squeeze.h"

struct command {
	const char *name;
	const char *does;
	int (*run)(int argc, char **argv);
};

static int version(int argc, char **argv);
static int help(int argc, char **argv);

static const struct command commands[] = {
	{ "squeeze", "squeezes a recorded memory layout together while it is in use",
	  squeeze_main },
	{ "replay", "lets a recorded trace of allocations happen again, and compares with Linux",
	  replay_main },
	{ "explain", "says of a running program who holds what", explain_main },
	{ "scan", "says which 2 MiB blocks of this machine are blocked, and by what", scan_main },
	{ "record", "records the layout of this machine's memory, for squeeze", record_main },
	{ "version", "says the version", version },
	{ "help", "says this", help },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int no_arguments(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	fprintf(stderr, "quire %s: takes no arguments\n", argv[0]);
	return 2;
}

static int version(int argc, char **argv)
{
	if (no_arguments(argc, argv))
		return 2;
	printf("quire %s\n", quire_version());
	return 0;
}

static int help(int argc, char **argv)
{
	if (no_arguments(argc, argv))
		return 2;
	puts("Usage: quire COMMAND [OPTION...]\n"
	     "Compacts memory that is in use, and names what cannot move.\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].does);
	puts("\nquire COMMAND --help lists the options of a command.");
	return 0;
}

struct parse {
	char *command; /* NULL: none was given */
	int at;	       /* where it stands in argv */
	int help, version;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;

	switch (key) {
	case 'h':
		p->help = 1;
		return 0;
	case 'v':
		p->version = 1;
		return 0;
	case ARGP_KEY_ARG:
		/* all that follows is the subcommand's */
		p->command = arg;
		p->at = state->next - 1;
		state->next = state->argc;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/*
 * A standard descriptor that came closed must not become an arena's memory file, which what is
 * printed would then be written to. Opened the wrong way round, its use still fails.
 */
static void occupy_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* At exit: what was printed and did not arrive is an error. */
static void flush_output(void)
{
	int lost = ferror(stdout);

	if (!fflush(stdout) && !lost)
		return;
	fputs("quire: the output cannot be written\n", stderr);
	_exit(1);
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "help", 'h', NULL, 0, "Say what there is", 0 },
		{ "version", 'v', NULL, 0, "Say the version", 0 },
		{ 0 },
	};
	static const struct argp argp = { options, parse_option, NULL, NULL, NULL, NULL, NULL };
	struct parse p = { 0 };
	int index = argc;
	const char *wrong;

	occupy_standard_descriptors();
	atexit(flush_output);
	if (argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_IN_ORDER, &index,
		       &p)) {
		wrong = index > 0 && index <= argc ? make_printable(argv[index - 1]) : "";
		fprintf(stderr, "quire: unknown option '%.80s'; 'quire help' lists the commands\n",
			wrong);
		return 2;
	}
	if (p.help)
		return help(0, NULL);
	if (p.version)
		return version(0, NULL);
	if (!p.command) {
		fputs("quire: no command given; 'quire help' lists them\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(p.command, commands[i].name))
			return commands[i].run(argc - p.at, argv + p.at);
	fprintf(stderr, "quire: unknown command '%.80s'; 'quire help' lists them\n",
		make_printable(p.command));
	return 2;
}

// SPDX-License-Identifier: MIT
#include "usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "printable.h"

void usage_unknown(char *error, size_t size, int argc, char *const *argv, int index)
{
	if (!*error)
		(void)snprintf(error, size, "unknown or incomplete option '%.40s'",
			       index > 0 && index <= argc ? argv[index - 1] : "");
}

bool usage_end(const struct argp *argp, char *name, bool help, char *error)
{
	if (help && !*error) {
		argp_help(argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC,
			  name);
		exit(0);
	}
	if (*error)
		fprintf(stderr, "%s: %s (see %s --help)\n", name, make_printable(error), name);
	return !*error;
}

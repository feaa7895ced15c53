/* SPDX-License-Identifier: MIT */
/*
 * usage.h: how reading a command's options ends: the help, or one line about what is wrong.
 */
#ifndef QUIRE_TOOLS_USAGE_H
#define QUIRE_TOOLS_USAGE_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

/* argp_parse() failed at argv[index]: says so in error, if that does not know better already. */
void usage_unknown(char *error, size_t size, int argc, char *const *argv, int index);

/*
 * help: prints it, and ends the program, if nothing is wrong. Otherwise error, if it is not "", is
 * made printable and printed; true if there was none. name: "quire COMMAND".
 */
bool usage_end(const struct argp *argp, char *name, bool help, char *error);

#endif

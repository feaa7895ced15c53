/* SPDX-License-Identifier: MIT */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

/* The command: 0 it was shown, 1 it could not be, 2 bad input. */
int explain_main(int argc, char **argv);

#endif

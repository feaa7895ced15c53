/* SPDX-License-Identifier: MIT */
#ifndef SQUEEZE_SQUEEZE_H
#define SQUEEZE_SQUEEZE_H

/* The command: 0 PASS, 1 FAIL or interrupted, 2 bad input. */
int squeeze_main(int argc, char **argv);

#endif
